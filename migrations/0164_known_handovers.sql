-- Which service was seen to publish because of events of which topic or exchange, by their causation IDs.
CREATE TABLE known_handovers (
    cluster     TEXT NOT NULL,
    channel     TEXT NOT NULL,
    service     TEXT NOT NULL,
    PRIMARY KEY (cluster, channel, service)
) STRICT, WITHOUT ROWID;
