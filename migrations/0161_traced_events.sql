-- Events that the tap of the traces saw: identity, time and place, no content.
CREATE TABLE traced_events (
    id                INTEGER PRIMARY KEY,
    cluster           TEXT NOT NULL,
    topic             TEXT NOT NULL,
    partition         INTEGER NOT NULL,
    log_offset        INTEGER NOT NULL,
    at_ms             INTEGER NOT NULL,
    -- 1: the record has no time, and this is when it was seen.
    observed          INTEGER NOT NULL,
    correlation_id    TEXT NOT NULL,
    event_id          TEXT,
    event_type        TEXT,
    causation_id      TEXT,
    aggregate_id      TEXT,
    replay            TEXT,
    application_trace TEXT
) STRICT;

CREATE UNIQUE INDEX traced_events_by_place
    ON traced_events (cluster, topic, partition, log_offset);
CREATE INDEX traced_events_by_correlation ON traced_events (correlation_id, at_ms);
CREATE INDEX traced_events_by_event ON traced_events (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX traced_events_by_aggregate
    ON traced_events (aggregate_id) WHERE aggregate_id IS NOT NULL;
CREATE INDEX traced_events_by_time ON traced_events (at_ms);
