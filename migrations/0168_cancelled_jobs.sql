-- A cancelled job sends nothing more, also nothing of which it turns out later that it never left.
ALTER TABLE replay_jobs ADD COLUMN cancelled_at_ms INTEGER;
-- Events that had been sent when a canary ramp was set: its steps are counted from there.
ALTER TABLE replay_jobs ADD COLUMN ramp_base INTEGER NOT NULL DEFAULT 0;
