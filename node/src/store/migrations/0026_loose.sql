-- States that perhaps nothing names any more, or not yet: since when.
CREATE TABLE loose_states (
    room_no BIGINT NOT NULL,
    root {bytes} NOT NULL,
    since_ms BIGINT NOT NULL,
    PRIMARY KEY (room_no, root)
) {compact};

-- By which collection a node is about to be removed; whoever writes it again takes it out of that.
ALTER TABLE state_nodes ADD COLUMN condemned BIGINT NOT NULL DEFAULT 0;
