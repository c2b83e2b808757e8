-- What devices publish so that others can encrypt for them. The server holds no secret half.
CREATE TABLE device_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id)
) {compact};

-- Keys that are given away once each, the oldest first.
CREATE TABLE one_time_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    number BIGINT NOT NULL,
    key_id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm, number)
) {compact};
CREATE UNIQUE INDEX one_time_keys_name ON one_time_keys (user_id, device_id, algorithm, key_id);

-- The key that is given away when those are used up.
CREATE TABLE fallback_keys (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    body TEXT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (user_id, device_id, algorithm)
) {compact};

-- The keys of people: which of their devices are theirs, and whom they have verified.
CREATE TABLE person_keys (
    user_id TEXT NOT NULL,
    usage TEXT NOT NULL,
    public_key TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (user_id, usage)
) {compact};

-- Signatures that came after what they sign: by whom, with which key, over which key of whom.
CREATE TABLE key_signatures (
    user_id TEXT NOT NULL,
    key_name TEXT NOT NULL,
    signer TEXT NOT NULL,
    signer_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (user_id, key_name, signer, signer_key)
) {compact};

CREATE INDEX key_signatures_signer ON key_signatures (signer);

-- When the keys of somebody changed last: for everybody, or (`seen_by`) for one person alone, who
-- signed them.
CREATE TABLE key_changes (
    user_id TEXT NOT NULL,
    seen_by TEXT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (user_id, seen_by)
) {compact};
CREATE INDEX key_changes_stream ON key_changes (position);

-- Messages from device to device, until they were fetched.
CREATE TABLE letters (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    sender TEXT NOT NULL,
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (user_id, device_id, position)
) {compact};

-- Copies of people's keys of rooms, encrypted by themselves.
CREATE TABLE backups (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    auth_data TEXT NOT NULL,
    etag BIGINT NOT NULL,
    keys BIGINT NOT NULL,
    PRIMARY KEY (user_id, version)
) {compact};

CREATE TABLE backup_keys (
    user_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    first_message BIGINT NOT NULL,
    forwarded BIGINT NOT NULL,
    verified BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (user_id, version, room_id, session_id)
) {compact};
