-- The did:webvh of people of this node: the log as it is published, and when its recovery was saved.
CREATE TABLE persons (
    user_id TEXT PRIMARY KEY,
    scid TEXT NOT NULL UNIQUE,
    did TEXT NOT NULL,
    log {bytes} NOT NULL,
    saved_ms BIGINT
) {compact};
