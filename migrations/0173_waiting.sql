-- The oldest that waits in a DLQ. What comes to wait and what ends to changes it, not every status in between.
DROP INDEX dead_letters_by_dlq;
CREATE INDEX dead_letters_waiting ON dead_letters (cluster, vhost, dlq, dead_at_ms)
    WHERE status IN ('open', 'replaying');

-- What replays bring back is counted once a batch by `store/replay_transitions.rs`, not once a row.
DROP TRIGGER dead_letter_changes_status;
CREATE TRIGGER dead_letter_changes_status AFTER UPDATE OF status ON dead_letters
WHEN OLD.status <> NEW.status AND NOT (OLD.status = 'replaying' AND NEW.status = 'replayed') BEGIN
    UPDATE failure_groups
    SET open = open + (NEW.status = 'open') - (OLD.status = 'open'),
        replaying = replaying + (NEW.status = 'replaying') - (OLD.status = 'replaying')
    WHERE id = NEW.failure_group;
END;

DROP TRIGGER dead_letter_waits_or_not;
CREATE TRIGGER dead_letter_waits_or_not AFTER UPDATE OF status ON dead_letters
WHEN (NEW.status IN ('open', 'replaying')) <> (OLD.status IN ('open', 'replaying'))
    AND NOT (OLD.status = 'replaying' AND NEW.status = 'replayed') BEGIN
    UPDATE dlq_depths
    SET waiting = waiting + (NEW.status IN ('open', 'replaying')) - (OLD.status IN ('open', 'replaying'))
    WHERE cluster = NEW.cluster AND vhost = NEW.vhost AND dlq = NEW.dlq;
END;
