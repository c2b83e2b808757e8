-- Files that anybody may fetch who knows their hash: scenes, their pictures, bodies.
CREATE TABLE assets (
    blob {bytes} PRIMARY KEY,
    size BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);

-- The bodies that people have uploaded, as they were accepted.
CREATE TABLE avatars (
    user_id TEXT NOT NULL,
    blob {bytes} NOT NULL,
    name TEXT NOT NULL,
    report TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (user_id, blob)
);
CREATE INDEX avatars_blob ON avatars (blob);

-- The body that somebody wears: an upload, or which of the generated ones.
CREATE TABLE worn (
    user_id TEXT PRIMARY KEY,
    variant BIGINT NOT NULL,
    blob {bytes}
);

-- Where people stood in a world when they were there last.
CREATE TABLE places (
    room_no BIGINT NOT NULL,
    user_id TEXT NOT NULL,
    pose {bytes} NOT NULL,
    left_ms BIGINT NOT NULL,
    PRIMARY KEY (room_no, user_id)
);
CREATE INDEX places_age ON places (left_ms);
