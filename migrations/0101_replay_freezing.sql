-- Jobs whose events are being written down: nothing of them is sent before they are whole.
CREATE TABLE replay_freezings (
    job            TEXT PRIMARY KEY REFERENCES replay_jobs (id),
    -- What was confirmed, as `replay/freezing` writes it.
    request        TEXT NOT NULL,
    -- From where, for the audit.
    address        TEXT NOT NULL,
    -- Dead letters beyond came after the confirmation.
    through        INTEGER NOT NULL,
    -- Selected events that are not part of the job.
    refused        INTEGER NOT NULL DEFAULT 0,
    finished_at_ms INTEGER,
    -- Why it ended early.
    problem        TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX replay_freezings_unfinished ON replay_freezings (job) WHERE finished_at_ms IS NULL;
