-- Arrivals of each failure group in spans of ten minutes of the last day, counted behind intake, and the
-- groups that grow by them.

CREATE TABLE failure_group_arrivals (
    failure_group TEXT NOT NULL,
    -- Milliseconds since 1970, divided by ten minutes.
    span          INTEGER NOT NULL,
    arrivals      INTEGER NOT NULL,
    PRIMARY KEY (failure_group, span)
) STRICT, WITHOUT ROWID;

-- Dead letters up to `through` are counted.
CREATE TABLE arrivals_counted (
    through INTEGER NOT NULL
) STRICT;
INSERT INTO arrivals_counted (through) VALUES (0);

CREATE TABLE growing_failure_groups (
    failure_group TEXT PRIMARY KEY,
    last_hour     INTEGER NOT NULL,
    -- Of the hours before, in a mean.
    usual         REAL NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX failure_groups_regressed ON failure_groups (regressed_ms)
    WHERE regressed_ms IS NOT NULL;
