-- Files of other servers of which this node keeps a copy, among the blobs of its own files. Those that
-- were used least lately go first where there are too many.
CREATE TABLE remote_media (
    server TEXT NOT NULL,
    media_id TEXT NOT NULL,
    blob {bytes} NOT NULL,
    size BIGINT NOT NULL,
    content_type TEXT,
    file_name TEXT,
    used_ms BIGINT NOT NULL,
    PRIMARY KEY (server, media_id)
);
CREATE INDEX remote_media_use ON remote_media (used_ms, size);
CREATE INDEX remote_media_blob ON remote_media (blob);

-- Files of any server that those who run this node let nobody have.
CREATE TABLE blocked_media (
    server TEXT NOT NULL,
    media_id TEXT NOT NULL,
    blocked_by TEXT NOT NULL,
    blocked_ms BIGINT NOT NULL,
    PRIMARY KEY (server, media_id)
) {compact};
