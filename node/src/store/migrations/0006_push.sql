-- How many events somebody was told of and has not read: in a room, or in a thread of it.
CREATE TABLE unread (
    user_id TEXT NOT NULL,
    room_no BIGINT NOT NULL,
    thread TEXT NOT NULL,
    notified BIGINT NOT NULL,
    highlighted BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_no, thread)
) {compact};
CREATE INDEX unread_room ON unread (room_no);

-- Up to where in the stream they were counted.
INSERT INTO counters (name, value) SELECT 'counted', value FROM counters WHERE name = 'position';
