-- One counter numbers rooms, events and every change of the stream, in commit order.
CREATE TABLE counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);
INSERT INTO counters (name, value) VALUES ('position', 1);

-- What makes this node itself: its name, signing key, token key.
CREATE TABLE node_facts (name TEXT PRIMARY KEY, value {bytes} NOT NULL);

CREATE TABLE accounts (
    user_id TEXT PRIMARY KEY,
    password TEXT,
    role TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    ended_ms BIGINT
);

CREATE TABLE devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    name TEXT,
    token_hash {bytes} NOT NULL,
    created_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    seen_address TEXT,
    PRIMARY KEY (user_id, device_id)
);
CREATE UNIQUE INDEX devices_token ON devices (token_hash);

CREATE TABLE invitations (
    token_hash {bytes} PRIMARY KEY,
    role TEXT NOT NULL,
    uses_left BIGINT NOT NULL,
    created_by TEXT,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT
);

CREATE TABLE profile_fields (
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (user_id, name)
);

CREATE TABLE account_data (
    user_id TEXT NOT NULL,
    room_no BIGINT NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_no, kind)
);
CREATE INDEX account_data_stream ON account_data (user_id, position);

CREATE TABLE filters (
    user_id TEXT NOT NULL,
    filter_id TEXT NOT NULL,
    body TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, filter_id)
);

CREATE TABLE rooms (
    room_no BIGINT PRIMARY KEY,
    room_id TEXT NOT NULL UNIQUE,
    version TEXT NOT NULL,
    kind TEXT,
    heads TEXT NOT NULL,
    state_root {bytes} NOT NULL,
    last_position BIGINT NOT NULL,
    joined BIGINT NOT NULL,
    invited BIGINT NOT NULL,
    published BIGINT NOT NULL
);
CREATE INDEX rooms_published ON rooms (published, joined, room_no);

CREATE TABLE aliases (
    alias TEXT PRIMARY KEY,
    room_no BIGINT NOT NULL,
    created_by TEXT NOT NULL
);
CREATE INDEX aliases_room ON aliases (room_no);

-- The graph. `position` is missing for events that were never part of the timeline (outliers),
-- negative for history fetched later. `verdict`: 0 accepted, 1 soft-failed, 2 rejected.
CREATE TABLE events (
    event_no BIGINT PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    room_no BIGINT NOT NULL,
    position BIGINT,
    verdict BIGINT NOT NULL,
    kind TEXT NOT NULL,
    state_key TEXT,
    sender TEXT NOT NULL,
    state_before {bytes} NOT NULL,
    state_after {bytes} NOT NULL,
    redacted_by TEXT,
    pdu TEXT NOT NULL
);
CREATE INDEX events_timeline ON events (room_no, position);

-- Nodes of the persistent state trees, named by their hash: a change of state adds a few of them.
CREATE TABLE state_nodes (node_id {bytes} PRIMARY KEY, body {bytes} NOT NULL) {compact};

-- The current state, spread out for questions about it.
CREATE TABLE room_state (
    room_no BIGINT NOT NULL,
    kind TEXT NOT NULL,
    state_key TEXT NOT NULL,
    event_no BIGINT NOT NULL,
    PRIMARY KEY (room_no, kind, state_key)
) {compact};

CREATE TABLE memberships (
    user_id TEXT NOT NULL,
    room_no BIGINT NOT NULL,
    membership TEXT NOT NULL,
    event_no BIGINT NOT NULL,
    position BIGINT NOT NULL,
    left_position BIGINT,
    forgotten BIGINT NOT NULL,
    PRIMARY KEY (user_id, room_no)
) {compact};
CREATE INDEX memberships_room ON memberships (room_no, membership, user_id);
CREATE INDEX memberships_stream ON memberships (user_id, position);

-- Which request of a device made which event, so that a repeated request makes no second one.
CREATE TABLE transactions (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    txn_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, scope, txn_id)
) {compact};
CREATE INDEX transactions_event ON transactions (event_id, user_id, device_id);

CREATE TABLE receipts (
    room_no BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    thread TEXT NOT NULL,
    event_id TEXT NOT NULL,
    sent_ms BIGINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (room_no, user_id, kind, thread)
) {compact};
CREATE INDEX receipts_stream ON receipts (room_no, position);

CREATE TABLE media (
    media_id TEXT PRIMARY KEY,
    blob {bytes} NOT NULL,
    size BIGINT NOT NULL,
    content_type TEXT,
    file_name TEXT,
    uploaded_by TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX media_owner ON media (uploaded_by, created_ms);

-- Names of uploads that are still to come.
CREATE TABLE awaited_media (
    media_id TEXT PRIMARY KEY,
    reserved_by TEXT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX awaited_media_owner ON awaited_media (reserved_by, expires_ms);
CREATE INDEX awaited_media_expiry ON awaited_media (expires_ms);

-- Resized pictures that were made once and are kept.
CREATE TABLE thumbnails (
    blob {bytes} NOT NULL,
    width BIGINT NOT NULL,
    height BIGINT NOT NULL,
    method TEXT NOT NULL,
    made_blob {bytes} NOT NULL,
    content_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (blob, width, height, method)
);
