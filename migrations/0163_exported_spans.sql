-- Spans that an OTLP backend was sent, or that it refused: none is sent again.
CREATE TABLE exported_spans (
    trace BLOB NOT NULL,
    span  BLOB NOT NULL,
    -- The later one of its export and of what it tells.
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (trace, span)
) STRICT, WITHOUT ROWID;

CREATE INDEX exported_spans_by_time ON exported_spans (at_ms);

-- Up to where all was exported. One row.
CREATE TABLE trace_export (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    -- Row IDs.
    event     INTEGER NOT NULL,
    letter    INTEGER NOT NULL,
    replay_ms INTEGER NOT NULL
) STRICT;
