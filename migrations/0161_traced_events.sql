-- Events that the taps of the traces saw: identity, time and place, no content.
CREATE TABLE traced_events (
    id                INTEGER PRIMARY KEY,
    cluster           TEXT NOT NULL,
    -- Of a record of Kafka.
    topic             TEXT,
    partition         INTEGER,
    log_offset        INTEGER,
    -- Of a message of RabbitMQ.
    vhost             TEXT,
    exchange          TEXT,
    routing_key       TEXT,
    fingerprint       TEXT,
    at_ms             INTEGER NOT NULL,
    basis             TEXT NOT NULL,
    correlation_id    TEXT NOT NULL,
    event_id          TEXT,
    event_type        TEXT,
    causation_id      TEXT,
    aggregate_id      TEXT,
    source            TEXT,
    is_retry          INTEGER NOT NULL,
    replay            TEXT,
    application_trace TEXT,
    application_span  TEXT
) STRICT;

CREATE UNIQUE INDEX traced_events_by_record
    ON traced_events (cluster, topic, partition, log_offset) WHERE topic IS NOT NULL;
CREATE INDEX traced_events_by_fingerprint
    ON traced_events (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX traced_events_by_correlation ON traced_events (correlation_id, at_ms);
CREATE INDEX traced_events_by_event
    ON traced_events (event_id, correlation_id) WHERE event_id IS NOT NULL;
CREATE INDEX traced_events_by_aggregate
    ON traced_events (aggregate_id) WHERE aggregate_id IS NOT NULL;
CREATE INDEX traced_events_by_time ON traced_events (at_ms);
