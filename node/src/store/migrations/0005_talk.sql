-- Which event relates to which, so that a page of events can say what was added to each of them
-- (client-server API, event relationships). `edits` says whether it has the form of an edit.
CREATE TABLE relations (
    event_no BIGINT PRIMARY KEY,
    event_id TEXT NOT NULL,
    room_no BIGINT NOT NULL,
    target TEXT NOT NULL,
    rel_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    sender TEXT NOT NULL,
    sent_ms BIGINT NOT NULL,
    edits BIGINT NOT NULL,
    position BIGINT NOT NULL
);
CREATE INDEX relations_target ON relations (target, rel_type, position, sender, room_no);
CREATE INDEX relations_edits ON relations (target, sent_ms, event_id) WHERE edits = 1;
CREATE INDEX relations_room ON relations (room_no, rel_type, position);

-- How far duties have come that walk through all events by their numbers, and where they end; those
-- that never end follow the stream.
CREATE TABLE walks (name TEXT PRIMARY KEY, reached BIGINT NOT NULL, goal BIGINT);
INSERT INTO walks (name, reached, goal) SELECT 'relations', 0, coalesce(max(event_no), 0) FROM events;

-- Whether anybody may come into a room or read it, so that its people are found by all.
ALTER TABLE rooms ADD COLUMN open BIGINT NOT NULL DEFAULT 0;
CREATE INDEX rooms_open ON rooms (room_no) WHERE open = 1;
INSERT INTO walks (name, reached, goal) SELECT 'open_rooms', 0, coalesce(max(room_no), 0) FROM rooms;

-- Under which names people are looked for: `folded` holds id and name in small letters.
CREATE TABLE names (
    user_id TEXT PRIMARY KEY,
    folded TEXT NOT NULL,
    name TEXT,
    avatar_url TEXT
);
INSERT INTO walks (name, reached, goal) SELECT 'names', 0, coalesce(max(event_no), 0) FROM events;

-- When each event was sent by its sender's clock: the event nearest to a time is looked for by that.
ALTER TABLE events ADD COLUMN sent_ms BIGINT NOT NULL DEFAULT 0;
{only sqlite}
UPDATE events SET sent_ms = coalesce(CAST(json_extract(pdu, '$.origin_server_ts') AS BIGINT), 0);
{end}
{only postgres}
UPDATE events SET sent_ms = coalesce(CAST(CAST(pdu AS JSON) ->> 'origin_server_ts' AS BIGINT), 0);
{end}
CREATE INDEX events_sent ON events (room_no, sent_ms, event_no);

-- The words of what was said, by the numbers of the events, and in which room: for each engine in the
-- form that its full-text search wants.
{only sqlite}
CREATE VIRTUAL TABLE words USING fts5(
    body, name, topic, room, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 0'
);
{end}
{only postgres}
CREATE TABLE words (event_no BIGINT PRIMARY KEY, words TSVECTOR NOT NULL);
CREATE INDEX words_found ON words USING GIN (words);
{end}
INSERT INTO walks (name, reached, goal) VALUES ('words', 0, NULL);

-- What people reported to those who run the node.
CREATE TABLE reports (
    report_no BIGINT PRIMARY KEY,
    reporter TEXT NOT NULL,
    room_id TEXT,
    event_id TEXT,
    user_id TEXT,
    reason TEXT NOT NULL,
    reported_ms BIGINT NOT NULL
);
CREATE INDEX reports_by ON reports (reporter, reported_ms);

-- Tokens by which other services learn who somebody is.
CREATE TABLE openid_tokens (
    token_hash {bytes} PRIMARY KEY,
    user_id TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX openid_tokens_of ON openid_tokens (user_id, expires_ms);
