-- Engines move thousands of replays a second, and each index that a change of state touches costs as much as the
-- row. So the large indexes hang on the stage: from *planned* to *sending* none of them changes.
ALTER TABLE replays ADD COLUMN stage TEXT NOT NULL DEFAULT 'to_send'
    CHECK (stage IN ('to_send', 'unknown', 'ended'));
UPDATE replays SET stage = CASE state WHEN 'unknown' THEN 'unknown' ELSE 'ended' END
    WHERE state NOT IN ('planned', 'sending');

-- No dead letter has two active replays, whatever the code does.
DROP INDEX replays_active;
CREATE UNIQUE INDEX replays_active ON replays (dead_letter) WHERE stage <> 'ended';

-- What is planned, in the order of sending; the few that are being sent are among it.
DROP INDEX replays_planned;
CREATE INDEX replays_to_send ON replays (job, cluster, id) WHERE stage = 'to_send';
CREATE INDEX replays_sending ON replays (cluster, id) WHERE state = 'sending';

DROP INDEX replays_by_state;
CREATE INDEX replays_by_state ON replays (state, updated_at_ms) WHERE stage <> 'to_send';
