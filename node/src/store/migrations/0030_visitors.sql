-- By which accounts people from elsewhere were here, by what their DID is compared by: who is shut out of a
-- world stays so under another name.
CREATE TABLE visitors (
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL,
    seen_ms BIGINT NOT NULL,
    PRIMARY KEY (subject, user_id)
) {compact};
CREATE INDEX visitors_seen ON visitors (seen_ms);
CREATE INDEX visitors_account ON visitors (user_id);
CREATE INDEX provider_links_account ON provider_links (user_id);
