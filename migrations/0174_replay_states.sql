-- A replay in two rows: what was planned, which never changes, and how it is. Engines write thousands of states a
-- second, each with its indexes, so a state is short and names by number what is a long text beside it.
CREATE TABLE replay_plans (
    -- In the order of planning.
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT NOT NULL UNIQUE,
    job         TEXT NOT NULL REFERENCES replay_jobs (id),
    dead_letter INTEGER NOT NULL REFERENCES dead_letters (id),
    revision    INTEGER NOT NULL,
    destination TEXT NOT NULL,
    attempt     INTEGER NOT NULL,
    -- What replays are looked up by, out of the JSON beside it.
    cluster     TEXT NOT NULL,
    topic       TEXT,
    -- By which it is ordered, and the bytes of its dead letter: bodies are read once only, when it is sent.
    message_key BLOB,
    size        INTEGER NOT NULL
) STRICT;

-- The jobs, clusters and topics that states name by number.
CREATE TABLE replay_names (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE replay_states (
    number        INTEGER PRIMARY KEY REFERENCES replay_plans (number) ON DELETE CASCADE,
    dead_letter   INTEGER NOT NULL,
    job           INTEGER NOT NULL,
    cluster       INTEGER NOT NULL,
    -- Of Kafka.
    topic         INTEGER,
    state         TEXT NOT NULL,
    -- The large indexes hang on the stage: from *planned* to *sending* none of them changes.
    stage         TEXT NOT NULL CHECK (stage IN ('to_send', 'unknown', 'ended')),
    -- The state with its data.
    detail        TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL,
    -- Of Kafka: where it landed; while it is being sent, the high watermark before.
    partition     INTEGER,
    log_offset    INTEGER
) STRICT;

-- Nobody asks for the key of what has been sent.
INSERT INTO replay_plans
    (id, job, dead_letter, revision, destination, attempt, cluster, topic, size, message_key)
    SELECT r.id, r.job, r.dead_letter, r.revision, r.destination, r.attempt, r.cluster, r.topic, d.size,
        CASE WHEN r.stage = 'ended' THEN NULL
        WHEN r.revision = 0 THEN (SELECT b.message_key FROM bodies b WHERE b.dead_letter = r.dead_letter)
        ELSE (SELECT v.message_key FROM revisions v
            WHERE v.dead_letter = r.dead_letter AND v.number = r.revision) END
    FROM replays r JOIN dead_letters d ON d.id = r.dead_letter ORDER BY r.id;
INSERT INTO replay_names (name)
    SELECT job FROM replays UNION SELECT cluster FROM replays UNION
    SELECT topic FROM replays WHERE topic IS NOT NULL;
INSERT INTO replay_states
    SELECT p.number, r.dead_letter, j.number, c.number, t.number, r.state, r.stage, r.detail, r.updated_at_ms,
        r.partition, r.log_offset
    FROM replay_plans p JOIN replays r ON r.id = p.id
    JOIN replay_names j ON j.name = r.job JOIN replay_names c ON c.name = r.cluster
    LEFT JOIN replay_names t ON t.name = r.topic;

DROP TABLE replays;
CREATE VIEW replays AS
    SELECT s.number, p.id, p.job, p.dead_letter, p.revision, p.destination, p.attempt, p.cluster, p.topic,
        p.message_key, p.size, s.state, s.stage, s.detail, s.updated_at_ms, s.partition, s.log_offset,
        s.job AS job_number, s.cluster AS cluster_number, s.topic AS topic_number
    FROM replay_plans p JOIN replay_states s ON s.number = p.number;

CREATE INDEX replay_plans_by_dead_letter ON replay_plans (dead_letter, attempt);
CREATE INDEX replay_states_by_job ON replay_states (job);

-- No dead letter has two active replays, whatever the code does.
CREATE UNIQUE INDEX replay_states_active ON replay_states (dead_letter) WHERE stage <> 'ended';
-- What is planned, in the order of sending; the few that are being sent are among it.
CREATE INDEX replay_states_to_send ON replay_states (job, cluster) WHERE stage = 'to_send';
CREATE INDEX replay_states_sending ON replay_states (cluster) WHERE state = 'sending';
CREATE INDEX replay_states_by_time ON replay_states (state, updated_at_ms) WHERE stage <> 'to_send';
-- What a group may still pass, by its place in the log.
CREATE INDEX replay_states_landed ON replay_states (cluster, topic, partition, log_offset)
    WHERE state IN ('sent', 'passed', 'not_seen_again') AND topic IS NOT NULL;
-- The few events of a job that somebody has to look at; of the others a job is full.
CREATE INDEX replay_states_off_the_way ON replay_states (job, state)
    WHERE state IN ('unknown', 'failed', 'died_again', 'not_seen_again', 'cancelled');
