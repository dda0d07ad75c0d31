-- The past of the charts, thinned: a row holds twelve points of some of a cluster's series.
CREATE TABLE sample_history (
    cluster     TEXT NOT NULL,
    -- Series are spread over pages by their identity, so that one is found without reading all.
    page        INTEGER NOT NULL,
    began_at_ms INTEGER NOT NULL,
    -- Seconds between two points.
    step        INTEGER NOT NULL,
    points      BLOB NOT NULL,
    PRIMARY KEY (cluster, page, began_at_ms, step)
) STRICT;
CREATE INDEX sample_history_by_time ON sample_history (step, began_at_ms);

-- When the end of each partition was where, for time lag after a restart; topics are spread over pages.
CREATE TABLE offset_times (
    cluster     TEXT NOT NULL,
    page        INTEGER NOT NULL,
    saved_at_ms INTEGER NOT NULL,
    topics      BLOB NOT NULL,
    PRIMARY KEY (cluster, page)
) STRICT;
