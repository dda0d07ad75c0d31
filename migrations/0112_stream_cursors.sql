-- How far streams were read: the next offset.
CREATE TABLE stream_cursors (
    cluster     TEXT NOT NULL,
    vhost       TEXT NOT NULL,
    queue       TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (cluster, vhost, queue)
) STRICT, WITHOUT ROWID;
