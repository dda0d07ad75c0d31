-- Failure groups whose dead letters are replayed without a person.
CREATE TABLE redrive_policies (
    failure_group     TEXT PRIMARY KEY,
    enabled           INTEGER NOT NULL,
    attempts          INTEGER NOT NULL,
    first_delay_ms    INTEGER NOT NULL,
    factor            INTEGER NOT NULL,
    events_per_second INTEGER,
    stop_percent      INTEGER NOT NULL,
    changed_by        TEXT NOT NULL,
    changed_at_ms     INTEGER NOT NULL,
    -- Why it switched itself off.
    stopped           TEXT,
    -- Grows with each change: a run that was prepared before one is not started.
    version           INTEGER NOT NULL,
    -- What it did so far.
    runs              INTEGER NOT NULL DEFAULT 0,
    events            INTEGER NOT NULL DEFAULT 0,
    -- What the last look found, for the page.
    looked_at_ms      INTEGER,
    findings          TEXT
) STRICT, WITHOUT ROWID;

-- The replay jobs that policies made.
CREATE TABLE redrive_runs (
    job           TEXT PRIMARY KEY REFERENCES replay_jobs (id),
    failure_group TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    events        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX redrive_runs_by_group ON redrive_runs (failure_group, started_at_ms);

-- How often policies replayed an event. A dead letter that came back from a replay inherits the number of
-- the one that was replayed, or a poison message would have no last attempt.
CREATE TABLE redrive_attempts (
    dead_letter INTEGER PRIMARY KEY REFERENCES dead_letters (id) ON DELETE CASCADE,
    attempts    INTEGER NOT NULL
) STRICT;
