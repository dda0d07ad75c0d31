-- What retention did, newest last; only some are kept.
CREATE TABLE retention_runs (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    started_at_ms  INTEGER NOT NULL,
    finished_at_ms INTEGER NOT NULL,
    removed        INTEGER NOT NULL,
    bytes_before   INTEGER NOT NULL,
    bytes_after    INTEGER NOT NULL,
    -- What it could not do.
    problem        TEXT
) STRICT;

-- How many were ever removed: the totals of the groups count them for ever.
CREATE TABLE removed_dead_letters (
    number INTEGER NOT NULL
) STRICT;
INSERT INTO removed_dead_letters (number) VALUES (0);
