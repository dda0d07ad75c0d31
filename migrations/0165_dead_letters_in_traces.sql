-- The newest dead letters that are in a trace, and the first and the last of one.
CREATE INDEX dead_letters_in_traces ON dead_letters (id) WHERE correlation_id IS NOT NULL;
DROP INDEX dead_letters_by_correlation;
CREATE INDEX dead_letters_by_correlation
    ON dead_letters (correlation_id, dead_at_ms) WHERE correlation_id IS NOT NULL;
