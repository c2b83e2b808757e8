-- Addresses that people have bound with identity servers through this node.
CREATE TABLE bindings (
    user_id TEXT NOT NULL,
    id_server TEXT NOT NULL,
    medium TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (user_id, id_server, medium, address)
) {compact};
