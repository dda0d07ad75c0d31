-- Failure groups that grow, judged in the background.
CREATE TABLE growing_failure_groups (
    failure_group TEXT PRIMARY KEY,
    last_hour     INTEGER NOT NULL,
    -- Of the hours before, in a mean.
    usual         REAL NOT NULL
) STRICT, WITHOUT ROWID;
