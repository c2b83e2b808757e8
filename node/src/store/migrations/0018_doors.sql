-- What other servers have shown of rooms that nobody of this node is in, to people of it who were invited
-- there or knock: a list of stripped state events, and who has shown it.
CREATE TABLE doors (
    room_no BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    server TEXT NOT NULL,
    shown TEXT NOT NULL,
    PRIMARY KEY (room_no, user_id)
);

-- How deep the graph of a room was when this node came into it: what lies before, it asks for only when
-- somebody wants to read it.
ALTER TABLE rooms ADD COLUMN since_depth BIGINT NOT NULL DEFAULT 0;
