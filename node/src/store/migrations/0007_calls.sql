-- Where people want to be told of what happens while none of their clients listens. Each goes with the
-- device that set it. `reached`: up to where in the stream its gateway was told of events; `badge`: the
-- count of unread events that it was told last; `failing_ms`: since when it has not answered.
CREATE TABLE pushers (
    user_id TEXT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    device_id TEXT NOT NULL,
    app_name TEXT NOT NULL,
    device_name TEXT NOT NULL,
    profile_tag TEXT,
    lang TEXT NOT NULL,
    data TEXT NOT NULL,
    set_ms BIGINT NOT NULL,
    reached BIGINT NOT NULL,
    badge BIGINT NOT NULL,
    failing_ms BIGINT,
    PRIMARY KEY (user_id, app_id, pushkey)
);
CREATE INDEX pushers_key ON pushers (app_id, pushkey);

-- Pictures of pages that people link to: files that nobody uploaded, which go after a while.
CREATE TABLE previewed_media (
    media_id TEXT PRIMARY KEY,
    size BIGINT NOT NULL,
    kept_ms BIGINT NOT NULL
);
CREATE INDEX previewed_media_age ON previewed_media (kept_ms, media_id);

-- The addresses of accounts: each is one account's.
CREATE TABLE emails (
    address TEXT PRIMARY KEY,
    user_id TEXT NOT NULL,
    validated_ms BIGINT NOT NULL,
    added_ms BIGINT NOT NULL
);
CREATE INDEX emails_owner ON emails (user_id, added_ms);

-- Proofs that somebody reads what is sent to an address: asked for, given, used once.
CREATE TABLE email_proofs (
    sid TEXT PRIMARY KEY,
    purpose TEXT NOT NULL,
    address TEXT NOT NULL,
    secret_hash {bytes} NOT NULL,
    token_hash {bytes} NOT NULL,
    attempt BIGINT NOT NULL,
    mails BIGINT NOT NULL,
    validated_ms BIGINT,
    expires_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX email_proofs_client ON email_proofs (address, purpose, secret_hash);
CREATE INDEX email_proofs_expiry ON email_proofs (expires_ms);
