-- Rooms that were deleted, for those who stood in them: clients that were away hear that they are out.
CREATE TABLE gone_rooms (
    user_id TEXT NOT NULL,
    room_no BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    event TEXT,
    PRIMARY KEY (user_id, room_no)
);
CREATE INDEX gone_rooms_position ON gone_rooms (user_id, position);

-- Where in the stream something of a room was last forgotten, so that what is unread is counted anew.
ALTER TABLE rooms ADD COLUMN thinned BIGINT NOT NULL DEFAULT 0;
CREATE INDEX rooms_thinned ON rooms (thinned) WHERE thinned > 0;
