-- Which service was seen to publish because of events of which topic or exchange, by their causation IDs.
CREATE TABLE known_handovers (
    cluster     TEXT NOT NULL,
    destination TEXT NOT NULL,
    service     TEXT NOT NULL,
    PRIMARY KEY (cluster, destination, service)
) STRICT, WITHOUT ROWID;
