-- What people say of a failure group, and who takes care of it.

CREATE TABLE failure_group_notes (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    failure_group TEXT NOT NULL,
    author        TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    text          TEXT NOT NULL
) STRICT;

CREATE INDEX failure_group_notes_by_group ON failure_group_notes (failure_group, id);

CREATE TABLE failure_group_assignees (
    failure_group  TEXT PRIMARY KEY,
    assignee       TEXT NOT NULL,
    assigned_by    TEXT NOT NULL,
    assigned_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
