-- What waits for other servers beside events, in order: messages to devices, devices whose keys
-- changed, people whose keys did. Of the last two it is looked up what they are when they are sent.
CREATE TABLE outgoing_edus (
    server TEXT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    prev_position BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (server, position)
) {compact};
CREATE INDEX outgoing_edus_about ON outgoing_edus (kind, user_id);

-- The number of the last change of a person's list of devices, by which other servers notice gaps.
CREATE TABLE device_streams (
    user_id TEXT PRIMARY KEY,
    stream_id BIGINT NOT NULL
);

-- The messages to devices that other servers have handed over, so that none is left twice.
CREATE TABLE incoming_letters (
    server TEXT NOT NULL,
    message_id TEXT NOT NULL,
    received_ms BIGINT NOT NULL,
    PRIMARY KEY (server, message_id)
) {compact};
CREATE INDEX incoming_letters_age ON incoming_letters (received_ms);

-- The people of other servers whose lists of devices are kept: up to which change of theirs, from
-- which moment on every change was told, whether one was missed, and when one was last heard of.
CREATE TABLE remote_lists (
    user_id TEXT PRIMARY KEY,
    stream_id BIGINT,
    since BIGINT NOT NULL,
    stale BIGINT NOT NULL,
    heard BIGINT NOT NULL
);
CREATE INDEX remote_lists_stale ON remote_lists (stale, user_id);

CREATE TABLE remote_devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    record TEXT NOT NULL,
    name TEXT,
    PRIMARY KEY (user_id, device_id)
) {compact};
