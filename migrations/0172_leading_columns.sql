-- What a filter by DLQ or cluster reads, in the order of the list: with the index of both and the time of death
-- every match was sorted for each page.
CREATE INDEX dead_letters_of_dlq ON dead_letters (dlq);
CREATE INDEX dead_letters_of_cluster ON dead_letters (cluster);
