-- By what licence somebody wears a body, where the file itself does not let everybody wear it.
ALTER TABLE avatars ADD COLUMN licence TEXT;

-- Files that may be shown and not given on: they are fetched by a reference that ends.
ALTER TABLE assets ADD COLUMN lent BIGINT NOT NULL DEFAULT 0;
UPDATE assets SET lent = 1
    WHERE blob IN (SELECT blob FROM avatars WHERE report LIKE '%"redistribution":false%');

-- Bodies that people of other nodes wear here: the hash under which their home names them, and the form in
-- which they are shown; none of those that cannot be worn. Those that were seen least lately go first.
CREATE TABLE brought_bodies (
    source {bytes} PRIMARY KEY,
    blob {bytes},
    size BIGINT NOT NULL,
    licence TEXT NOT NULL,
    used_ms BIGINT NOT NULL
);
CREATE INDEX brought_bodies_use ON brought_bodies (used_ms, size);
CREATE INDEX brought_bodies_blob ON brought_bodies (blob);
