-- When a handover was seen last, roughly: one that is not seen any more is forgotten.
ALTER TABLE known_handovers ADD COLUMN seen_ms INTEGER NOT NULL DEFAULT 0;
UPDATE known_handovers SET seen_ms = unixepoch() * 1000;
