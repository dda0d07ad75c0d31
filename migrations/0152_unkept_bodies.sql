-- Dead letters of Kafka whose body is too large for the store: it lies in the topic only, until retention.
CREATE TABLE unkept_bodies (
    dead_letter INTEGER PRIMARY KEY REFERENCES dead_letters (id)
) STRICT;

INSERT INTO unkept_bodies (dead_letter)
    SELECT d.id FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id
    WHERE d.system = 'kafka' AND d.custody = 'broker' AND d.status IN ('open', 'replaying')
    AND b.body IS NULL AND b.body_omitted LIKE 'its body of %';
