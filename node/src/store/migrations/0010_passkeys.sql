-- Passkeys (Web Authentication). `credential` is the public key and what is remembered of it, as JSON;
-- `passkey_id` is its short name in the API.
CREATE TABLE passkeys (
    credential_id {bytes} PRIMARY KEY,
    passkey_id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL,
    name TEXT NOT NULL,
    credential TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    used_ms BIGINT
);
CREATE INDEX passkeys_owner ON passkeys (user_id, created_ms);

-- What authenticators know an account by: it stays the same while the account lasts and says nothing of it.
CREATE TABLE passkey_owners (
    user_id TEXT PRIMARY KEY,
    handle {bytes} NOT NULL UNIQUE
);

-- Challenges that were answered. One that was not is kept by whoever asked for it, under the node's seal.
CREATE TABLE spent_challenges (
    challenge_hash {bytes} PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX spent_challenges_expiry ON spent_challenges (expires_ms);
