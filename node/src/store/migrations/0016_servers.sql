-- The keys with which this node signs: the one that has not expired, and those from before, by which
-- others check what it signed then. The next start takes another in place of one that is retiring.
CREATE TABLE signing_keys (
    key_id TEXT PRIMARY KEY,
    seed {bytes} NOT NULL,
    created_ms BIGINT NOT NULL,
    retiring BIGINT NOT NULL,
    expired_ms BIGINT
);
INSERT INTO signing_keys (key_id, seed, created_ms, retiring)
    SELECT 'ed25519:1', value, 0, 0 FROM node_facts WHERE name = 'signing_seed';
DELETE FROM node_facts WHERE name = 'signing_seed';

-- The keys of other servers, each with the newest document that told of it.
CREATE TABLE server_keys (
    server TEXT NOT NULL,
    key_id TEXT NOT NULL,
    public TEXT NOT NULL,
    expired_ms BIGINT,
    valid_until_ms BIGINT NOT NULL,
    fetched_ms BIGINT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (server, key_id)
);

-- How calls of other servers have gone.
CREATE TABLE destinations (
    server TEXT PRIMARY KEY,
    reached_ms BIGINT,
    failures BIGINT NOT NULL,
    failing_ms BIGINT,
    retry_ms BIGINT NOT NULL
);
