-- Who is known by which provider of identities. The issuer is the provider's name for ever, whatever the
-- operator's file calls it.
CREATE TABLE provider_links (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL,
    linked_ms BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX provider_links_user ON provider_links (user_id);
