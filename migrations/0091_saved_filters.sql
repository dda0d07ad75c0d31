-- Filters that people gave a name, for everybody.
CREATE TABLE saved_filters (
    name          TEXT PRIMARY KEY,
    filter        TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    created_by    TEXT NOT NULL
) STRICT, WITHOUT ROWID;
