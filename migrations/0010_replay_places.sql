-- What replays are looked up by, out of the JSON beside it.
ALTER TABLE replays ADD COLUMN cluster TEXT NOT NULL DEFAULT '';
-- Of Kafka: where it landed; while it is being sent, the high watermark before.
ALTER TABLE replays ADD COLUMN topic TEXT;
ALTER TABLE replays ADD COLUMN partition INTEGER;
ALTER TABLE replays ADD COLUMN log_offset INTEGER;

UPDATE replays SET
    cluster = json_extract(destination, '$.cluster'),
    topic = json_extract(destination, '$.topic'),
    partition = COALESCE(json_extract(detail, '$.landing.partition'),
                         json_extract(detail, '$.high_watermark.partition')),
    log_offset = COALESCE(json_extract(detail, '$.landing.offset'),
                          json_extract(detail, '$.high_watermark.offset'));

-- What a group may still pass, by its place in the log.
CREATE INDEX replays_landed ON replays (cluster, topic, partition, log_offset)
    WHERE state IN ('sent', 'passed', 'not_seen_again') AND topic IS NOT NULL;

DROP INDEX replays_planned;
CREATE INDEX replays_planned ON replays (job, cluster, id) WHERE state = 'planned';

-- The few events of a job that somebody has to look at; of the others a job is full.
CREATE INDEX replays_off_the_way ON replays (job, state, id)
    WHERE state IN ('unknown', 'failed', 'died_again', 'not_seen_again', 'cancelled');

-- Whoever writes states counts them, once a batch: a trigger would count once a row.
DROP TRIGGER replay_is_planned;
DROP TRIGGER replay_changes_state;

-- A group of which members are on their way back is not at rest: a new member is no regression.
ALTER TABLE failure_groups ADD COLUMN replaying INTEGER NOT NULL DEFAULT 0;
UPDATE failure_groups SET replaying = (
    SELECT COUNT(*) FROM dead_letters d WHERE d.failure_group = failure_groups.id AND d.status = 'replaying'
);

DROP TRIGGER dead_letter_changes_status;
CREATE TRIGGER dead_letter_changes_status AFTER UPDATE OF status ON dead_letters
WHEN OLD.status <> NEW.status BEGIN
    UPDATE failure_groups
    SET open = open + (NEW.status = 'open') - (OLD.status = 'open'),
        replaying = replaying + (NEW.status = 'replaying') - (OLD.status = 'replaying')
    WHERE id = NEW.failure_group;
END;
