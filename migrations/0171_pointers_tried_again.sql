-- Pointers of share groups whose originals could not be read for now wait among the bodies that are not kept.
ALTER TABLE unkept_bodies ADD COLUMN is_pointer INTEGER NOT NULL DEFAULT 0;

-- Those that were given up before there was a second try.
INSERT OR IGNORE INTO unkept_bodies (dead_letter, is_pointer)
    SELECT d.id, 1 FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id
    WHERE d.system = 'kafka' AND d.custody = 'broker' AND b.body IS NULL
    AND b.body_omitted LIKE 'the broker dead-lettered only a pointer to %'
    AND (b.body_omitted LIKE '%, and reading it failed: %' OR b.body_omitted LIKE '%, and Kafka did not give it within %');
UPDATE bodies SET body_omitted = replace(body_omitted,
        '; give key and value by an edit, or set errors.deadletterqueue.copy.record.enable = true for the group',
        '; Redrive tries again by itself')
    WHERE dead_letter IN (SELECT dead_letter FROM unkept_bodies WHERE is_pointer);
