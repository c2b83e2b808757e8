-- What those who run the node hold people to: the locked get nowhere until they are unlocked, the
-- suspended read and change nothing. Both since when, in milliseconds since the epoch.
ALTER TABLE accounts ADD COLUMN locked_ms BIGINT;
ALTER TABLE accounts ADD COLUMN suspended_ms BIGINT;

-- The application services that are known, since which position, and the transaction that each was
-- offered last: it is offered again, as it is, until it was taken.
CREATE TABLE app_services (
    service TEXT PRIMARY KEY,
    since BIGINT NOT NULL,
    txn_no BIGINT,
    upto BIGINT,
    body TEXT
);

-- The events that wait for each.
CREATE TABLE app_service_events (
    service TEXT NOT NULL,
    event_no BIGINT NOT NULL,
    PRIMARY KEY (service, event_no)
) {compact};
INSERT INTO walks (name, reached, goal)
    SELECT 'app_services', coalesce(max(event_no), 0), NULL FROM events;

-- The rooms that each service lists under one of its networks.
CREATE TABLE network_rooms (
    service TEXT NOT NULL,
    network TEXT NOT NULL,
    room_no BIGINT NOT NULL,
    PRIMARY KEY (service, network, room_no)
) {compact};
CREATE INDEX network_rooms_room ON network_rooms (room_no);

-- The work of deleting rooms, from which it goes on after a restart, and what became of it.
CREATE TABLE room_deletions (
    delete_id TEXT PRIMARY KEY,
    room_id TEXT NOT NULL,
    room_no BIGINT NOT NULL,
    wish TEXT NOT NULL,
    status TEXT NOT NULL,
    error TEXT,
    result TEXT NOT NULL,
    purged BIGINT NOT NULL,
    begun_ms BIGINT NOT NULL
);
CREATE INDEX room_deletions_room ON room_deletions (room_id);

-- Rooms into which nobody comes any more.
CREATE TABLE blocked_rooms (
    room_id TEXT PRIMARY KEY,
    blocked_by TEXT NOT NULL,
    blocked_ms BIGINT NOT NULL
);
