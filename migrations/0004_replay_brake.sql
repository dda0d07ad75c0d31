-- The brake of a job: who sends reads it before every batch, so that it holds across restarts.
ALTER TABLE replay_jobs ADD COLUMN state TEXT NOT NULL DEFAULT 'ready'
    CHECK (state IN ('ready', 'paused'));
-- Why it is paused.
ALTER TABLE replay_jobs ADD COLUMN reason TEXT;
ALTER TABLE replay_jobs ADD COLUMN not_before_ms INTEGER;
ALTER TABLE replay_jobs ADD COLUMN events_per_second INTEGER;
-- Canary steps that were passed; absent without a ramp.
ALTER TABLE replay_jobs ADD COLUMN ramp_step INTEGER;
ALTER TABLE replay_jobs ADD COLUMN stop_percent INTEGER;
ALTER TABLE replay_jobs ADD COLUMN stop_count INTEGER;
-- Deaths that somebody knew of when they resumed the job: they do not stop it again.
ALTER TABLE replay_jobs ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0;

-- Counts of a job are maintained, never aggregated while a page waits.
CREATE TABLE replay_job_counts (
    job    TEXT NOT NULL REFERENCES replay_jobs (id),
    state  TEXT NOT NULL,
    events INTEGER NOT NULL,
    PRIMARY KEY (job, state)
) STRICT, WITHOUT ROWID;

INSERT INTO replay_job_counts (job, state, events)
    SELECT job, state, COUNT(*) FROM replays GROUP BY job, state;

CREATE TRIGGER replay_is_planned AFTER INSERT ON replays BEGIN
    INSERT INTO replay_job_counts (job, state, events) VALUES (NEW.job, NEW.state, 1)
    ON CONFLICT (job, state) DO UPDATE SET events = events + 1;
END;

CREATE TRIGGER replay_changes_state AFTER UPDATE OF state ON replays
WHEN NEW.state <> OLD.state BEGIN
    UPDATE replay_job_counts SET events = events - 1 WHERE job = OLD.job AND state = OLD.state;
    INSERT INTO replay_job_counts (job, state, events) VALUES (NEW.job, NEW.state, 1)
    ON CONFLICT (job, state) DO UPDATE SET events = events + 1;
END;

-- Jobs that have something to send, and what it is, in the order of sending.
CREATE INDEX replay_jobs_to_send ON replay_job_counts (job) WHERE state = 'planned' AND events > 0;
CREATE INDEX replays_planned ON replays (job, id) WHERE state = 'planned';
