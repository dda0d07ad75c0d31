-- What is told by webhooks: failure groups that are new or came back, on their way from the transaction
-- that finds them to the message that a receiver has taken.

-- Written by triggers, so that a group and the event of its coming are one transaction.
CREATE TABLE failure_group_events (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    failure_group TEXT NOT NULL,
    kind          TEXT NOT NULL CHECK (kind IN ('new', 'regressed'))
) STRICT;

CREATE TRIGGER failure_group_is_new AFTER INSERT ON failure_groups BEGIN
    INSERT INTO failure_group_events (failure_group, kind) VALUES (NEW.id, 'new');
END;

CREATE TRIGGER failure_group_regresses AFTER UPDATE OF regressed_ms ON failure_groups
WHEN NEW.regressed_ms IS NOT OLD.regressed_ms BEGIN
    INSERT INTO failure_group_events (failure_group, kind) VALUES (NEW.id, 'regressed');
END;

-- What lay in a DLQ when it was discovered is told in one notification, not once per group.
CREATE TABLE dlq_backlogs (
    cluster  TEXT NOT NULL,
    -- '' on Kafka.
    vhost    TEXT NOT NULL,
    dlq      TEXT NOT NULL,
    -- The newest dead letter when it had been read; absent while it is being read.
    through  INTEGER,
    -- New or regressed groups found in it.
    groups   INTEGER NOT NULL DEFAULT 0,
    is_told  INTEGER NOT NULL DEFAULT 0 CHECK (is_told IN (0, 1)),
    PRIMARY KEY (cluster, vhost, dlq)
) STRICT, WITHOUT ROWID;

-- DLQs that an older Redrive has read are no news.
INSERT INTO dlq_backlogs (cluster, vhost, dlq, through, is_told)
    SELECT DISTINCT cluster, vhost, dlq, (SELECT MAX(id) FROM dead_letters), 1 FROM dead_letters;

-- What a receiver shall be told and no message says yet.
CREATE TABLE notices (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    -- Name of the entry in [[notifications]].
    target        TEXT NOT NULL,
    -- What it is about: the same is not told twice at once.
    subject       TEXT NOT NULL,
    content       TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    UNIQUE (target, subject)
) STRICT;

-- Notices beyond the bound, of which only the number is kept.
CREATE TABLE notices_beyond (
    target TEXT PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The outbox: a message keeps its ID and its bytes through all attempts.
CREATE TABLE notifications (
    id              TEXT PRIMARY KEY,
    target          TEXT NOT NULL,
    body            TEXT NOT NULL,
    created_at_ms   INTEGER NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_ms INTEGER NOT NULL,
    finished_at_ms  INTEGER,
    is_delivered    INTEGER NOT NULL DEFAULT 0 CHECK (is_delivered IN (0, 1)),
    -- Why the last attempt failed.
    problem         TEXT
) STRICT;

CREATE UNIQUE INDEX notifications_unfinished ON notifications (target) WHERE finished_at_ms IS NULL;
CREATE INDEX notifications_by_time ON notifications (target, created_at_ms);
