-- Rooms that other servers are in too. How many of their people are in each, by server; a room that
-- has only this node's needs no telling, so it says how many others there are.
CREATE TABLE room_servers (
    room_no BIGINT NOT NULL,
    server TEXT NOT NULL,
    joined BIGINT NOT NULL,
    PRIMARY KEY (room_no, server)
) {compact};
ALTER TABLE rooms ADD COLUMN others BIGINT NOT NULL DEFAULT 0;
CREATE INDEX room_servers_server ON room_servers (server, room_no);
{only sqlite}
INSERT INTO room_servers (room_no, server, joined)
    SELECT room_no, substr(user_id, instr(user_id, ':') + 1), count(*) FROM memberships
    WHERE membership = 'join' GROUP BY 1, 2;
{end}
{only postgres}
INSERT INTO room_servers (room_no, server, joined)
    SELECT room_no, substr(user_id, strpos(user_id, ':') + 1), count(*) FROM memberships
    WHERE membership = 'join' GROUP BY 1, 2;
{end}

-- Which state events cite which, for telling what an event rests on when branches are joined.
CREATE TABLE auth_edges (
    room_no BIGINT NOT NULL,
    cited_id TEXT NOT NULL,
    event_no BIGINT NOT NULL,
    PRIMARY KEY (room_no, cited_id, event_no)
) {compact};
INSERT INTO walks (name, reached, goal) SELECT 'auth_edges', 0, coalesce(max(event_no), 0) FROM events;

-- The events that wait for other servers, in order.
CREATE TABLE outgoing (
    server TEXT NOT NULL,
    event_no BIGINT NOT NULL,
    PRIMARY KEY (server, event_no)
) {compact};

-- Transactions of other servers that were answered, and how.
CREATE TABLE incoming (
    server TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    answer TEXT NOT NULL,
    answered_ms BIGINT NOT NULL,
    PRIMARY KEY (server, txn_id)
);
CREATE INDEX incoming_age ON incoming (answered_ms);
