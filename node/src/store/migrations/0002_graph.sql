-- Room for what other servers send. An outlier is an event whose surroundings were never fetched,
-- so nobody knows the state around it. And where a room's graph forks, the room's own state beside
-- an event in the timeline is that of all branches together: `room_before` and `room_after` hold
-- it where it differs from `state_before` and `state_after`. Columns cannot lose their NOT NULL in
-- SQLite, so the rows move to a new table.
CREATE TABLE graph (
    event_no BIGINT PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_no BIGINT NOT NULL,
    position BIGINT,
    verdict BIGINT NOT NULL,
    kind TEXT NOT NULL,
    state_key TEXT,
    sender TEXT NOT NULL,
    state_before {bytes},
    state_after {bytes},
    room_before {bytes},
    room_after {bytes},
    redacted_by TEXT,
    pdu TEXT NOT NULL
);
INSERT INTO graph (event_no, event_id, room_no, position, verdict, kind, state_key, sender, state_before,
                   state_after, redacted_by, pdu)
    SELECT event_no, event_id, room_no, position, verdict, kind, state_key, sender, state_before,
           state_after, redacted_by, pdu FROM events;
DROP TABLE events;
ALTER TABLE graph RENAME TO events;
CREATE INDEX events_timeline ON events (room_no, position);

-- How much somebody keeps here is summed up at each change of it.
ALTER TABLE account_data ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE account_data SET bytes = octet_length(kind) + octet_length(content);
CREATE INDEX account_data_bytes ON account_data (user_id, bytes);

-- Requests are forgotten when nobody repeats them any more.
CREATE INDEX transactions_age ON transactions (created_ms);

-- Those whose account has ended leave their rooms; at a start it is looked for whom that still waits.
CREATE INDEX accounts_ended ON accounts (user_id) WHERE ended_ms IS NOT NULL;

-- Whether anything names a file is asked before it is removed.
CREATE INDEX media_blob ON media (blob);
CREATE INDEX thumbnails_made ON thumbnails (made_blob);
