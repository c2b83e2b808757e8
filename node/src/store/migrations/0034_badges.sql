-- What this node has given people beside its word that they live here: each has a bit of a status list, by which it
-- is taken back.
CREATE TABLE given (
    given_no BIGINT PRIMARY KEY,
    user_id TEXT NOT NULL,
    subject TEXT NOT NULL,
    credential TEXT NOT NULL,
    giver TEXT NOT NULL,
    list_no BIGINT NOT NULL,
    bit BIGINT NOT NULL,
    given_ms BIGINT NOT NULL,
    taken_back_ms BIGINT
);
CREATE UNIQUE INDEX given_bits ON given (list_no, bit);
CREATE INDEX given_to_account ON given (user_id, given_no);
CREATE INDEX given_to_person ON given (subject, given_no);

-- The badges that this node gives, by their ids.
CREATE TABLE badges (
    badge TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    description TEXT
);

-- What people of this node were given, by it or by others, and whether they show it to everybody.
CREATE TABLE held (
    user_id TEXT NOT NULL,
    hash {bytes} NOT NULL,
    credential TEXT NOT NULL,
    shown BIGINT NOT NULL DEFAULT 0,
    held_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

-- Who was let into the room of a world, and for what: they are out when that is over or was taken back.
CREATE TABLE admitted (
    room_no BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    credential TEXT NOT NULL,
    until_ms BIGINT,
    PRIMARY KEY (room_no, user_id)
) {compact};
