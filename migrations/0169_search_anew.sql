-- The index has whole failure messages, what is inside envelopes, and headers of every type. It is filled anew in the
-- background; a page says how far that is.
DROP TABLE search_index;
CREATE VIRTUAL TABLE search_index USING fts5 (
    terms, content = '', contentless_delete = 1, tokenize = 'ascii'
);
UPDATE search_backlog SET through = (SELECT MAX(indexed) FROM search_mark);
