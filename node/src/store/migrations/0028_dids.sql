-- The newest version that was seen of a did:webvh, by what proves itself: an older one is refused.
CREATE TABLE dids (
    scid TEXT PRIMARY KEY,
    version BIGINT NOT NULL,
    hash TEXT NOT NULL,
    did TEXT NOT NULL,
    seen_ms BIGINT NOT NULL
) {compact};
CREATE INDEX dids_seen ON dids (seen_ms);
