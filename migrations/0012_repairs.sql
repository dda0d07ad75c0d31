-- Repairs of many payloads by one jq program: a selection that is frozen when it is confirmed and then
-- worked off in chunks, each a transaction of its own with its revisions and its audit entry.

CREATE TABLE repairs (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    program         TEXT NOT NULL,
    note            TEXT,
    -- The filter as it was typed, or the named IDs as a JSON list.
    selection       TEXT NOT NULL,
    selected_by     TEXT NOT NULL CHECK (selected_by IN ('filter', 'ids')),
    requested_at_ms INTEGER NOT NULL,
    requested_by    TEXT NOT NULL,
    address         TEXT NOT NULL,
    -- Dead letters up to `position` are done; those beyond `through` came after the confirmation.
    position        INTEGER NOT NULL DEFAULT 0,
    through         INTEGER NOT NULL,
    changed         INTEGER NOT NULL DEFAULT 0,
    unchanged       INTEGER NOT NULL DEFAULT 0,
    failed          INTEGER NOT NULL DEFAULT 0,
    finished_at_ms  INTEGER,
    -- Why it ended early.
    problem         TEXT
) STRICT;

CREATE INDEX repairs_unfinished ON repairs (id) WHERE finished_at_ms IS NULL;

-- What became of each dead letter that the program did not leave as it is.
CREATE TABLE repair_results (
    repair      INTEGER NOT NULL REFERENCES repairs (id),
    dead_letter INTEGER NOT NULL REFERENCES dead_letters (id),
    -- The revision that it made; null where it failed.
    revision    INTEGER,
    problem     TEXT,
    PRIMARY KEY (repair, dead_letter)
) STRICT, WITHOUT ROWID;

CREATE INDEX repair_results_by_dead_letter ON repair_results (dead_letter);
