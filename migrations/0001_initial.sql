-- The lists read only `dead_letters` and `failure_groups`; keys, bodies and headers lie apart.

CREATE TABLE failure_groups (
    id            TEXT PRIMARY KEY,
    title         TEXT NOT NULL,
    explanation   TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms  INTEGER NOT NULL,
    -- Set when a dead letter arrives in a group of which none was open any more.
    regressed_ms  INTEGER,
    total         INTEGER NOT NULL DEFAULT 0,
    open          INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX failure_groups_by_last_seen ON failure_groups (last_seen_ms DESC);

CREATE TABLE dead_letters (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    system                TEXT NOT NULL,
    cluster               TEXT NOT NULL,
    -- '' on Kafka.
    vhost                 TEXT NOT NULL,
    -- Topic or queue.
    dlq                   TEXT NOT NULL,
    -- '' where the broker gives none.
    topic_id              TEXT NOT NULL,
    partition             INTEGER,
    log_offset            INTEGER,
    fingerprint           TEXT,
    status                TEXT NOT NULL,
    custody               TEXT NOT NULL,
    dead_at_ms            INTEGER NOT NULL,
    indexed_at_ms         INTEGER NOT NULL,
    reason                TEXT NOT NULL,
    source                TEXT,
    consumer              TEXT,
    failure_class         TEXT,
    failure_message       TEXT,
    event_id              TEXT,
    event_type            TEXT,
    correlation_id        TEXT,
    causation_id          TEXT,
    aggregate_id          TEXT,
    failure_group         TEXT NOT NULL REFERENCES failure_groups (id),
    size                  INTEGER NOT NULL,
    attempts              INTEGER,
    attempts_kind         TEXT,
    latest_revision       INTEGER NOT NULL DEFAULT 0,
    died_from_replay      TEXT,
    possible_duplicate_of INTEGER
) STRICT;

CREATE UNIQUE INDEX dead_letters_by_offset
    ON dead_letters (cluster, dlq, topic_id, partition, log_offset) WHERE system = 'kafka';
CREATE INDEX dead_letters_by_fingerprint
    ON dead_letters (cluster, fingerprint) WHERE system = 'rabbitmq';
CREATE INDEX dead_letters_by_group ON dead_letters (failure_group, id);
CREATE INDEX dead_letters_by_dlq ON dead_letters (cluster, vhost, dlq, status, dead_at_ms);
CREATE INDEX dead_letters_by_status ON dead_letters (status, id);
CREATE INDEX dead_letters_by_correlation
    ON dead_letters (correlation_id) WHERE correlation_id IS NOT NULL;
CREATE INDEX dead_letters_by_event ON dead_letters (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX dead_letters_by_replay
    ON dead_letters (died_from_replay) WHERE died_from_replay IS NOT NULL;

-- Counts of a group are maintained, never aggregated while a page waits.
CREATE TRIGGER dead_letter_joins_group AFTER INSERT ON dead_letters BEGIN
    UPDATE failure_groups
    SET total = total + 1, open = open + (NEW.status = 'open')
    WHERE id = NEW.failure_group;
END;

CREATE TRIGGER dead_letter_changes_status AFTER UPDATE OF status ON dead_letters BEGIN
    UPDATE failure_groups
    SET open = open + (NEW.status = 'open') - (OLD.status = 'open')
    WHERE id = NEW.failure_group;
END;

CREATE TABLE bodies (
    dead_letter  INTEGER PRIMARY KEY REFERENCES dead_letters (id),
    message_key  BLOB,
    body         BLOB,
    headers      TEXT NOT NULL,
    properties   TEXT,
    -- Why the whole body is not here.
    body_omitted TEXT,
    -- What the dialects found, all hops.
    decoded      TEXT NOT NULL
) STRICT;

CREATE TABLE revisions (
    dead_letter   INTEGER NOT NULL REFERENCES dead_letters (id),
    number        INTEGER NOT NULL,
    message_key   BLOB,
    body          BLOB,
    headers       TEXT NOT NULL,
    properties    TEXT,
    author        TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    note          TEXT,
    PRIMARY KEY (dead_letter, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE cursors (
    cluster     TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    topic_id    TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (cluster, topic, partition)
) STRICT, WITHOUT ROWID;

-- Records of a DLQ that were gone before they could be read: counted and shown, never silent.
CREATE TABLE gaps (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster     TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    from_offset INTEGER NOT NULL,
    to_offset   INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    found_at_ms INTEGER NOT NULL
) STRICT;

-- Every dead letter ever seen, for the counter `dlq_messages_total`.
CREATE TABLE dead_letter_totals (
    system  TEXT NOT NULL,
    cluster TEXT NOT NULL,
    dlq     TEXT NOT NULL,
    source  TEXT NOT NULL,
    reason  TEXT NOT NULL,
    total   INTEGER NOT NULL,
    PRIMARY KEY (system, cluster, dlq, source, reason)
) STRICT, WITHOUT ROWID;

CREATE TABLE replay_jobs (
    id            TEXT PRIMARY KEY,
    created_at_ms INTEGER NOT NULL,
    created_by    TEXT NOT NULL,
    selection     TEXT NOT NULL
) STRICT;

CREATE INDEX replay_jobs_by_time ON replay_jobs (created_at_ms DESC);

CREATE TABLE replays (
    id            TEXT PRIMARY KEY,
    job           TEXT NOT NULL REFERENCES replay_jobs (id),
    dead_letter   INTEGER NOT NULL REFERENCES dead_letters (id),
    revision      INTEGER NOT NULL,
    destination   TEXT NOT NULL,
    attempt       INTEGER NOT NULL,
    state         TEXT NOT NULL,
    -- The state with its data.
    detail        TEXT NOT NULL,
    updated_at_ms INTEGER NOT NULL
) STRICT;

-- No dead letter has two active replays, whatever the code does.
CREATE UNIQUE INDEX replays_active
    ON replays (dead_letter) WHERE state IN ('planned', 'sending', 'unknown');
CREATE INDEX replays_by_dead_letter ON replays (dead_letter, attempt);
CREATE INDEX replays_by_job ON replays (job, id);
CREATE INDEX replays_by_state ON replays (state, updated_at_ms);

-- Hash-chained: each entry's hash covers the one before.
CREATE TABLE audit (
    seq           INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms         INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    address       TEXT NOT NULL,
    action        TEXT NOT NULL,
    detail        TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash          TEXT NOT NULL
) STRICT;
