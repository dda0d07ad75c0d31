-- Edits that are not finished: one for each dead letter, in no replay's way.
CREATE TABLE drafts (
    dead_letter INTEGER PRIMARY KEY REFERENCES dead_letters (id),
    -- The editor's form, encoded as a browser sends it.
    form        TEXT NOT NULL,
    author      TEXT NOT NULL,
    saved_at_ms INTEGER NOT NULL
) STRICT;
