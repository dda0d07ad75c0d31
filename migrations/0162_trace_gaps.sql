-- Times in which events passed that no tap of the traces saw. The place is a topic of Kafka or a virtual host of
-- RabbitMQ.
CREATE TABLE trace_gaps (
    id       INTEGER PRIMARY KEY,
    cluster  TEXT NOT NULL,
    system   TEXT NOT NULL,
    place    TEXT NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER NOT NULL,
    reason   TEXT NOT NULL
) STRICT;

CREATE INDEX trace_gaps_by_end ON trace_gaps (to_ms);

-- Until when a tap is known to have missed nothing.
CREATE TABLE trace_taps (
    cluster   TEXT NOT NULL,
    system    TEXT NOT NULL,
    place     TEXT NOT NULL,
    whole_ms  INTEGER NOT NULL,
    PRIMARY KEY (cluster, system, place)
) STRICT;
