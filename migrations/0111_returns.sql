-- Dead letters that were taken from a RabbitMQ queue and put back into it. Written before the message
-- leaves, so that a crash in between is known afterwards.
CREATE TABLE returns (
    dead_letter  INTEGER PRIMARY KEY REFERENCES dead_letters (id) ON DELETE CASCADE,
    -- sending, returned, or unknown: it may lie in the queue or not.
    state        TEXT NOT NULL,
    -- Of the message as it lies in the queue then.
    fingerprint  TEXT NOT NULL,
    requested_by TEXT NOT NULL,
    at_ms        INTEGER NOT NULL
) STRICT;

CREATE INDEX returns_by_state ON returns (state);
