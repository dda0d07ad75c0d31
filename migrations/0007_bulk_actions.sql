-- What people do to many dead letters at once: a selection that is frozen when it is confirmed and
-- then worked off in chunks, each a transaction of its own with its audit entry.

CREATE TABLE bulk_actions (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    -- 'discard' or 'restore'.
    kind            TEXT NOT NULL,
    -- The filter as it was typed, or the named IDs as a JSON list.
    selection       TEXT NOT NULL,
    selected_by     TEXT NOT NULL CHECK (selected_by IN ('filter', 'ids')),
    requested_at_ms INTEGER NOT NULL,
    requested_by    TEXT NOT NULL,
    address         TEXT NOT NULL,
    -- Of a discard.
    reason          TEXT,
    expires_at_ms   INTEGER,
    -- Dead letters up to `position` are done; those beyond `through` came after the confirmation.
    position        INTEGER NOT NULL DEFAULT 0,
    through         INTEGER NOT NULL,
    changed         INTEGER NOT NULL DEFAULT 0,
    finished_at_ms  INTEGER,
    -- Why it ended early.
    problem         TEXT
) STRICT;

CREATE INDEX bulk_actions_unfinished ON bulk_actions (id) WHERE finished_at_ms IS NULL;
CREATE INDEX bulk_actions_by_expiry ON bulk_actions (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

-- By which action a dead letter is discarded now.
CREATE TABLE discarded_dead_letters (
    dead_letter INTEGER PRIMARY KEY REFERENCES dead_letters (id),
    action      INTEGER NOT NULL REFERENCES bulk_actions (id)
) STRICT;

CREATE INDEX discarded_dead_letters_by_action ON discarded_dead_letters (action, dead_letter);

-- Whatever brings it back: what is said of its discard ends with it.
CREATE TRIGGER dead_letter_leaves_discard AFTER UPDATE OF status ON dead_letters
WHEN OLD.status = 'discarded' AND NEW.status <> 'discarded' BEGIN
    DELETE FROM discarded_dead_letters WHERE dead_letter = NEW.id;
END;
