-- Words and fields of every dead letter, written by `store/search_terms.rs`. The index holds no text: what is
-- found is shown from the rows.
CREATE VIRTUAL TABLE search_index USING fts5 (
    terms, content = '', contentless_delete = 1, tokenize = 'ascii'
);

CREATE TRIGGER dead_letter_leaves_search AFTER DELETE ON dead_letters BEGIN
    DELETE FROM search_index WHERE rowid = OLD.id;
END;

-- Dead letters up to `through` are older than the index and not in it yet.
CREATE TABLE search_backlog (
    through INTEGER NOT NULL
) STRICT;
INSERT INTO search_backlog SELECT COALESCE(MAX(id), 0) FROM dead_letters;

CREATE INDEX dead_letters_by_source ON dead_letters (source, id);
CREATE INDEX dead_letters_by_consumer ON dead_letters (consumer, id);
CREATE INDEX dead_letters_by_type ON dead_letters (event_type, id);
CREATE INDEX dead_letters_by_death ON dead_letters (dead_at_ms);
CREATE INDEX dead_letters_by_aggregate
    ON dead_letters (aggregate_id) WHERE aggregate_id IS NOT NULL;
CREATE INDEX dead_letters_edited ON dead_letters (id) WHERE latest_revision > 0;
CREATE INDEX dead_letters_duplicate ON dead_letters (id) WHERE possible_duplicate_of IS NOT NULL;
