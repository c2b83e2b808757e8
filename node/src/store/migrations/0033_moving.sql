-- The key to which the luggage of somebody is sealed: only who has the words by which they come back opens it.
ALTER TABLE persons ADD COLUMN seal_key {bytes};

-- What homes of friends of people of this node have left here, for whoever comes back without that home: the log of
-- a DID, and luggage that is sealed for its person.
CREATE TABLE copies (
    scid TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    log {bytes} NOT NULL,
    seal_key TEXT NOT NULL,
    sealed TEXT NOT NULL,
    packed_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX copies_of_account ON copies (user_id);

-- Which servers have a copy of what somebody of this node needs to come back, under what name and of which state.
CREATE TABLE copies_out (
    user_id TEXT NOT NULL,
    server TEXT NOT NULL,
    scid TEXT NOT NULL,
    hash {bytes} NOT NULL,
    PRIMARY KEY (user_id, server)
) {compact};

-- Friends of somebody who has moved here who are still to be told.
CREATE TABLE friends_to_meet (
    user_id TEXT NOT NULL,
    other TEXT NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    next_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, other)
) {compact};
CREATE INDEX friends_to_meet_next ON friends_to_meet (next_ms);

-- The accounts that whoever signed a record says they have left, as JSON: where somebody here is a friend of one of
-- them, they are friends still.
ALTER TABLE friend_records ADD COLUMN formerly TEXT NOT NULL DEFAULT '[]';
