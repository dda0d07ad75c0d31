-- What a batch brings is counted once a batch by `store/arrivals.rs`, not once a row.
DROP TRIGGER dead_letter_joins_group;

-- What waits in each DLQ, maintained: nobody counts rows while a page or a scrape waits.
CREATE TABLE dlq_depths (
    cluster TEXT NOT NULL,
    vhost   TEXT NOT NULL,
    dlq     TEXT NOT NULL,
    system  TEXT NOT NULL,
    -- Open or being replayed.
    waiting INTEGER NOT NULL,
    PRIMARY KEY (cluster, vhost, dlq)
) STRICT, WITHOUT ROWID;

INSERT INTO dlq_depths (cluster, vhost, dlq, system, waiting)
    SELECT cluster, vhost, dlq, MAX(system), SUM(status IN ('open', 'replaying'))
    FROM dead_letters GROUP BY cluster, vhost, dlq;

CREATE TRIGGER dead_letter_waits_or_not AFTER UPDATE OF status ON dead_letters
WHEN (NEW.status IN ('open', 'replaying')) <> (OLD.status IN ('open', 'replaying')) BEGIN
    UPDATE dlq_depths
    SET waiting = waiting + (NEW.status IN ('open', 'replaying')) - (OLD.status IN ('open', 'replaying'))
    WHERE cluster = NEW.cluster AND vhost = NEW.vhost AND dlq = NEW.dlq;
END;

CREATE TRIGGER dead_letter_leaves_dlq AFTER DELETE ON dead_letters
WHEN OLD.status IN ('open', 'replaying') BEGIN
    UPDATE dlq_depths SET waiting = waiting - 1
    WHERE cluster = OLD.cluster AND vhost = OLD.vhost AND dlq = OLD.dlq;
END;

-- Deaths of a failure group by minute, for its sparkline: only of the last day, older ones are removed.
CREATE TABLE failure_group_minutes (
    failure_group TEXT NOT NULL,
    -- Since 1970.
    minute        INTEGER NOT NULL,
    deaths        INTEGER NOT NULL,
    PRIMARY KEY (failure_group, minute)
) STRICT, WITHOUT ROWID;

CREATE INDEX failure_group_minutes_by_time ON failure_group_minutes (minute);

INSERT INTO failure_group_minutes (failure_group, minute, deaths)
    SELECT failure_group, dead_at_ms / 60000, COUNT(*) FROM dead_letters
    WHERE dead_at_ms >= (unixepoch() - 90000) * 1000 GROUP BY 1, 2;

-- The index learns the failure group of each dead letter, so that a search within a group reads only what is
-- in both. It is filled anew in the background; a page says how far that is.
DROP TABLE search_index;
CREATE VIRTUAL TABLE search_index USING fts5 (
    terms, content = '', contentless_delete = 1, tokenize = 'ascii'
);
UPDATE search_backlog SET through = (SELECT COALESCE(MAX(id), 0) FROM dead_letters);

-- Dead letters beyond this one are newer than what is in the index. Those between `search_backlog.through`
-- and it are in the index.
CREATE TABLE search_mark (
    indexed INTEGER NOT NULL
) STRICT;
INSERT INTO search_mark SELECT COALESCE(MAX(id), 0) FROM dead_letters;
