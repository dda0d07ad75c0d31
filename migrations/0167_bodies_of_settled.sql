-- Dead letters that were replayed or discarded when 0152 ran may be wanted once more, and their bodies with them.
INSERT OR IGNORE INTO unkept_bodies (dead_letter)
    SELECT d.id FROM dead_letters d JOIN bodies b ON b.dead_letter = d.id
    WHERE d.system = 'kafka' AND d.custody = 'broker' AND b.body IS NULL AND b.body_omitted LIKE 'its body of %';
