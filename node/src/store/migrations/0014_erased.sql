-- Whether what somebody said is kept from those who come later, as they wished when their account ended.
ALTER TABLE accounts ADD COLUMN erased BIGINT NOT NULL DEFAULT 0;
