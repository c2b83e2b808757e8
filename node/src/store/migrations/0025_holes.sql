-- Where the oldest event here stands that names what is missing: what fills the hole comes below it.
ALTER TABLE gaps ADD COLUMN position BIGINT NOT NULL DEFAULT 0;
UPDATE gaps SET position = COALESCE(
    (SELECT MIN(e.position) FROM events e WHERE e.room_no = gaps.room_no AND e.position IS NOT NULL), 0);
ALTER TABLE gaps DROP COLUMN depth;
CREATE INDEX gaps_places ON gaps (room_no, position);
