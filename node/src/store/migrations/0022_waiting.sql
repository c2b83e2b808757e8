-- The events that wait for other servers stand at places of their own, among those of `outgoing_edus`: one
-- that is passed on later than it came here waits behind what waited before. `nth` counts those of a
-- server, so that it is noticed now and then how many there are. `pdu` is the event itself where its room
-- was deleted here.
CREATE TABLE outgoing_events (
    server TEXT NOT NULL,
    position BIGINT NOT NULL,
    room_no BIGINT NOT NULL,
    event_no BIGINT NOT NULL,
    nth BIGINT NOT NULL,
    pdu TEXT,
    PRIMARY KEY (server, position)
) {compact};
INSERT INTO outgoing_events (server, position, room_no, event_no, nth)
    SELECT o.server, o.event_no, e.room_no, o.event_no,
           row_number() OVER (PARTITION BY o.server ORDER BY o.event_no)
    FROM outgoing o JOIN events e ON e.event_no = o.event_no;
DROP TABLE outgoing;
CREATE UNIQUE INDEX outgoing_events_event ON outgoing_events (event_no, server);

-- The rooms of which a server has missed more than waits singly: it gets what is newest there when it is
-- back, and asks for the rest. The last event that it should have had, and where that would stand.
CREATE TABLE outgoing_rooms (
    room_no BIGINT NOT NULL,
    server TEXT NOT NULL,
    position BIGINT NOT NULL,
    event_no BIGINT NOT NULL,
    PRIMARY KEY (room_no, server)
) {compact};
CREATE INDEX outgoing_rooms_place ON outgoing_rooms (server, position);

-- The messages to devices that wait for a server are counted in the same way, and weighed.
ALTER TABLE outgoing_edus ADD COLUMN nth BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outgoing_edus ADD COLUMN bytes BIGINT NOT NULL DEFAULT 0;
UPDATE outgoing_edus SET bytes = octet_length(body) WHERE kind = 'letters';
CREATE INDEX outgoing_edus_letters ON outgoing_edus (server, position, user_id, bytes, nth)
    WHERE kind = 'letters';

-- Why a server did not answer last, for those who run this node.
ALTER TABLE destinations ADD COLUMN why TEXT;
-- Names of servers that never answered are forgotten.
CREATE INDEX destinations_never ON destinations (failing_ms) WHERE reached_ms IS NULL;
