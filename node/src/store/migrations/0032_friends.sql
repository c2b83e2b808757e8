-- Accounts whose DID somebody of this node needs to know, as a friend's or of whom they block: they are not
-- forgotten for newer ones.
ALTER TABLE visitors ADD COLUMN kept BIGINT NOT NULL DEFAULT 0;

-- Records of friendship that were looked into, by their hash: whose they are if they prove themselves, and why
-- they do not otherwise. Those that were looked into longest ago go first.
CREATE TABLE friend_records (
    hash {bytes} PRIMARY KEY,
    user_id TEXT NOT NULL,
    did TEXT,
    problem TEXT,
    checked_ms BIGINT NOT NULL
);
CREATE INDEX friend_records_checked ON friend_records (checked_ms);

-- Whom the node has banned from the room of a world because a list says so: it takes that back when no list does
-- any more.
CREATE TABLE list_bans (
    room_no BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (room_no, user_id)
) {compact};
