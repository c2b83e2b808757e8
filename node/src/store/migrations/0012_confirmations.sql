-- What people confirmed on the node's own page for a request that asked for a proof. What was asked is
-- kept by whoever asked, under the node's seal; one that was used stays until its end, so that it is used
-- once.
CREATE TABLE confirmations (
    session_hash {bytes} PRIMARY KEY,
    user_id TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    used BIGINT NOT NULL
);
CREATE INDEX confirmations_person ON confirmations (user_id, expires_ms);
CREATE INDEX confirmations_expiry ON confirmations (expires_ms);
