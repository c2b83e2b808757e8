-- What newcomers showed on the node's own pages for a registration that waits for it. The session is kept by
-- whoever asked, under the node's seal.
CREATE TABLE registrations (
    session_hash {bytes} PRIMARY KEY,
    invitation_hash {bytes},
    sid TEXT,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX registrations_expiry ON registrations (expires_ms);
