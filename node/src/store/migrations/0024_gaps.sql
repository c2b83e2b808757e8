-- Events that others name as theirs before and that are not here: how deep the deepest that names one lies.
CREATE TABLE gaps (
    room_no BIGINT NOT NULL,
    missing_id TEXT NOT NULL,
    depth BIGINT NOT NULL,
    PRIMARY KEY (room_no, missing_id)
) {compact};

-- Redactions that came before what they redact.
CREATE TABLE early_redactions (
    room_no BIGINT NOT NULL,
    target_id TEXT NOT NULL,
    event_no BIGINT NOT NULL,
    PRIMARY KEY (room_no, target_id, event_no)
) {compact};
