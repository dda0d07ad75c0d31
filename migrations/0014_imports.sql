-- The name of this store in what it exports.
CREATE TABLE installation (
    id TEXT NOT NULL
) STRICT;
INSERT INTO installation VALUES (lower(hex(randomblob(16))));

-- Dead letters that came from an export.
CREATE TABLE imported_dead_letters (
    -- The installation that first held it and its number there.
    origin      TEXT PRIMARY KEY,
    dead_letter INTEGER NOT NULL UNIQUE REFERENCES dead_letters (id) ON DELETE CASCADE,
    -- Its topic's ID there. In `dead_letters` another takes its place, so that the offsets of a
    -- namesake that is read here do not meet those of the import.
    topic_id    TEXT
) STRICT, WITHOUT ROWID;
