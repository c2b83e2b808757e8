-- Access tokens stand apart from the devices that they open. One that was renewed lives on beside the pair
-- that replaces it, whose `spent_hash` names the refresh token it was given for, until something of that
-- pair is used (`confirmed`): whoever lost the answer may ask again. `client_id` names the OAuth client.
CREATE TABLE access_tokens (
    token_hash {bytes} PRIMARY KEY,
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    expires_ms BIGINT,
    refresh_hash {bytes},
    spent_hash {bytes},
    confirmed BIGINT NOT NULL,
    client_id TEXT
);
INSERT INTO access_tokens (token_hash, user_id, device_id, confirmed)
    SELECT token_hash, user_id, device_id, 1 FROM devices;
CREATE INDEX access_tokens_device ON access_tokens (user_id, device_id);
CREATE UNIQUE INDEX access_tokens_refresh ON access_tokens (refresh_hash);
CREATE INDEX access_tokens_spent ON access_tokens (spent_hash);
CREATE INDEX access_tokens_client ON access_tokens (client_id);

CREATE TABLE known_devices (
    user_id TEXT NOT NULL,
    device_id TEXT NOT NULL,
    name TEXT,
    created_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    seen_address TEXT,
    PRIMARY KEY (user_id, device_id)
);
INSERT INTO known_devices (user_id, device_id, name, created_ms, seen_ms, seen_address)
    SELECT user_id, device_id, name, created_ms, seen_ms, seen_address FROM devices;
DROP TABLE devices;
ALTER TABLE known_devices RENAME TO devices;

-- What somebody has let a client fetch, once and soon: a login token, or an authorization code with what
-- was asked for. One that was used is kept until its end with the device it made, so that a second use is
-- told from a wrong one.
CREATE TABLE login_grants (
    grant_hash {bytes} PRIMARY KEY,
    user_id TEXT NOT NULL,
    asked TEXT,
    used_by TEXT,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX login_grants_expiry ON login_grants (expires_ms);

-- Programs that have introduced themselves (RFC 7591). The same words make the same client.
CREATE TABLE oauth_clients (
    client_id TEXT PRIMARY KEY,
    metadata TEXT NOT NULL,
    used_ms BIGINT NOT NULL
);
CREATE INDEX oauth_clients_use ON oauth_clients (used_ms);

-- Devices that wait until somebody lets them in on another one (RFC 8628).
CREATE TABLE device_grants (
    device_hash {bytes} PRIMARY KEY,
    user_code TEXT NOT NULL UNIQUE,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    allowed BIGINT,
    user_id TEXT,
    asked_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX device_grants_expiry ON device_grants (expires_ms);
