//! All that differs between the two engines: migrations' type names, locks, and how an error reads.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr};

/// The migrations in order; one text for both engines, but for what stands between `{only ENGINE}` and
/// `{end}`. They only go forward and are never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "ground", include_str!("migrations/0001_ground.sql")),
    (2, "graph", include_str!("migrations/0002_graph.sql")),
    (3, "worlds", include_str!("migrations/0003_worlds.sql")),
    (4, "encryption", include_str!("migrations/0004_encryption.sql")),
    (5, "talk", include_str!("migrations/0005_talk.sql")),
    (6, "push", include_str!("migrations/0006_push.sql")),
    (7, "calls", include_str!("migrations/0007_calls.sql")),
    (8, "running", include_str!("migrations/0008_running.sql")),
    (9, "tokens", include_str!("migrations/0009_tokens.sql")),
    (10, "passkeys", include_str!("migrations/0010_passkeys.sql")),
    (11, "providers", include_str!("migrations/0011_providers.sql")),
    (12, "confirmations", include_str!("migrations/0012_confirmations.sql")),
    (13, "registrations", include_str!("migrations/0013_registrations.sql")),
    (14, "erased", include_str!("migrations/0014_erased.sql")),
    (15, "gone", include_str!("migrations/0015_gone.sql")),
    (16, "servers", include_str!("migrations/0016_servers.sql")),
    (17, "shared", include_str!("migrations/0017_shared.sql")),
    (18, "doors", include_str!("migrations/0018_doors.sql")),
    (19, "edus", include_str!("migrations/0019_edus.sql")),
    (21, "remote_media", include_str!("migrations/0021_remote_media.sql")),
    (22, "waiting", include_str!("migrations/0022_waiting.sql")),
    (24, "gaps", include_str!("migrations/0024_gaps.sql")),
    (25, "holes", include_str!("migrations/0025_holes.sql")),
    (26, "loose", include_str!("migrations/0026_loose.sql")),
    (27, "bindings", include_str!("migrations/0027_bindings.sql")),
    (28, "dids", include_str!("migrations/0028_dids.sql")),
    (29, "persons", include_str!("migrations/0029_persons.sql")),
    (30, "visitors", include_str!("migrations/0030_visitors.sql")),
    (31, "travelling", include_str!("migrations/0031_travelling.sql")),
    (32, "friends", include_str!("migrations/0032_friends.sql")),
    (33, "moving", include_str!("migrations/0033_moving.sql")),
    (34, "badges", include_str!("migrations/0034_badges.sql")),
];

/// PostgreSQL's advisory lock that orders the writers of one node, until their group ends.
macro_rules! lock_writers {
    () => {
        "SELECT pg_advisory_xact_lock(7421830)"
    };
}
pub(super) use lock_writers;

/// PostgreSQL's advisory lock of the one process that serves a database, until its session ends.
pub(super) const LOCK_SERVING: &str = "SELECT pg_advisory_lock(7421831)";

/// What tells a session of PostgreSQL from all others, also from a later one with its number.
pub(super) const THIS_SESSION: &str = "SELECT CAST(pid AS BIGINT), CAST(backend_start AS TEXT) \
                                       FROM pg_stat_activity WHERE pid = pg_backend_pid()";

/// Ends a session of PostgreSQL that has lost its client, and with it the locks that it holds.
pub(super) const END_SESSION: &str = "SELECT CAST(pg_terminate_backend(pid) AS TEXT) \
                                      FROM pg_stat_activity \
                                      WHERE pid = $1 AND CAST(backend_start AS TEXT) = $2";

/// The newest events that fit a question of SQLite's full-text search, and how well each does in
/// millionths. Of words that many hold, no more are read than are asked for.
pub(super) const SQLITE_WORDS: &str = "SELECT rowid, CAST(bm25(words, 1.0, 1.0, 1.0, 0.0) * -1000000 AS BIGINT) \
                                       FROM words WHERE words MATCH $1 AND rowid <= $2 \
                                       ORDER BY rowid DESC LIMIT $3";

/// The same for PostgreSQL's, where the second question is the first without the rooms.
pub(super) const POSTGRES_WORDS: &str = "SELECT event_no, CAST(ts_rank(words, CAST($2 AS TSQUERY)) * 1000000 AS BIGINT) \
                                         FROM words WHERE words @@ CAST($1 AS TSQUERY) AND event_no <= $3 \
                                         ORDER BY event_no DESC LIMIT $4";

/// The items of a list in JSON, which is `$1`: many rows in one statement, as each way to the engine and
/// back takes longer than a row.
macro_rules! items {
    (sqlite) => {
        "json_each($1) AS item"
    };
    (postgres) => {
        "json_array_elements(CAST($1 AS JSON)) AS item (value)"
    };
}

/// Puts events into the index of words: each item is an event's number and what is found by it.
pub(super) const fn add_words(postgres: bool) -> &'static str {
    if postgres {
        concat!(
            "INSERT INTO words (event_no, words) ",
            "SELECT event_no, CAST(item.value->>1 AS TSVECTOR) FROM ",
            items!(postgres),
            " JOIN events ON event_no = CAST(item.value->>0 AS BIGINT) ON CONFLICT (event_no) DO NOTHING"
        )
    } else {
        concat!(
            "INSERT INTO words (rowid, body, name, topic, room) ",
            "SELECT event_no, item.value->>1, item.value->>2, item.value->>3, item.value->>4 FROM ",
            items!(sqlite),
            " JOIN events ON event_no = CAST(item.value->>0 AS BIGINT)"
        )
    }
}

/// Writes down what people have not read of a room, `$2`: each item is a person, a thread and two counts.
pub(super) const fn add_unread(postgres: bool) -> &'static str {
    macro_rules! add {
        ($engine:ident) => {
            concat!(
                "INSERT INTO unread (user_id, room_no, thread, notified, highlighted) ",
                "SELECT item.value->>0, room_no, item.value->>1, ",
                "CAST(item.value->>2 AS BIGINT), CAST(item.value->>3 AS BIGINT) FROM ",
                items!($engine),
                " JOIN rooms ON room_no = $2"
            )
        };
    }
    if postgres { add!(postgres) } else { add!(sqlite) }
}

/// Takes an emptied event out of the index of words.
pub(super) const fn forget_words(postgres: bool) -> &'static str {
    if postgres {
        "DELETE FROM words WHERE event_no = (SELECT event_no FROM events WHERE event_id = $1 AND redacted_by IS NOT NULL)"
    } else {
        "DELETE FROM words WHERE rowid = (SELECT event_no FROM events WHERE event_id = $1 AND redacted_by IS NOT NULL)"
    }
}

/// Takes events out of the index of words, by their numbers.
pub(super) const fn drop_words(postgres: bool) -> &'static str {
    if postgres {
        "DELETE FROM words WHERE event_no IN (LIST)"
    } else {
        "DELETE FROM words WHERE rowid IN (LIST)"
    }
}

/// What is counted of a room.
macro_rules! room_columns {
    () => {
        "SELECT r.room_id, (SELECT count(*) FROM memberships m JOIN accounts a ON a.user_id = m.user_id \
         WHERE m.room_no = r.room_no AND m.membership = 'join'), \
         (SELECT count(*) FROM room_state s WHERE s.room_no = r.room_no), \
         (SELECT e.sender FROM room_state s JOIN events e ON e.event_no = s.event_no \
         WHERE s.room_no = r.room_no AND s.kind = 'm.room.create' AND s.state_key = '') "
    };
}
pub(super) use room_columns;

/// A text in the content of the event that holds a state; for PostgreSQL, which takes no NUL out of
/// JSON, nothing where there is one.
macro_rules! state_text {
    (sqlite, $kind:literal, $name:literal) => {
        concat!(
            "coalesce((SELECT CAST(json_extract(e.pdu, '$.content.",
            $name,
            "') AS TEXT) FROM room_state s JOIN events e ON e.event_no = s.event_no \
             WHERE s.room_no = r.room_no AND s.kind = '",
            $kind,
            "' AND s.state_key = ''), '')"
        )
    };
    (postgres, $kind:literal, $name:literal) => {
        concat!(
            "coalesce((SELECT CASE WHEN strpos(e.pdu, '\\u0000') > 0 THEN '' \
             ELSE CAST(e.pdu AS JSON) -> 'content' ->> '",
            $name,
            "' END FROM room_state s JOIN events e ON e.event_no = s.event_no \
             WHERE s.room_no = r.room_no AND s.kind = '",
            $kind,
            "' AND s.state_key = ''), '')"
        )
    };
}

macro_rules! rooms_with {
    ($engine:ident) => {
        concat!(
            "FROM rooms r WHERE ($1 = '' OR lower(r.room_id) LIKE $1 ESCAPE '!' OR lower(",
            state_text!($engine, "m.room.name", "name"),
            ") LIKE $1 ESCAPE '!' OR lower(",
            state_text!($engine, "m.room.canonical_alias", "alias"),
            ") LIKE $1 ESCAPE '!')"
        )
    };
}

macro_rules! rooms_by {
    ($engine:ident, $numbers:literal, $texts:literal) => {
        concat!(
            room_columns!(),
            rooms_with!($engine),
            " ORDER BY CASE $2 WHEN 'joined_members' THEN r.joined WHEN 'size' THEN r.joined \
             WHEN 'joined_local_members' THEN (SELECT count(*) FROM memberships m \
             JOIN accounts a ON a.user_id = m.user_id WHERE m.room_no = r.room_no AND m.membership = 'join') \
             WHEN 'state_events' THEN (SELECT count(*) FROM room_state s WHERE s.room_no = r.room_no) \
             WHEN 'version' THEN CAST(r.version AS BIGINT) WHEN 'public' THEN r.published ELSE 0 END ",
            $numbers,
            ", CASE $2 WHEN 'canonical_alias' THEN lower(",
            state_text!($engine, "m.room.canonical_alias", "alias"),
            ") WHEN 'creator' THEN (SELECT e.sender FROM room_state s JOIN events e ON e.event_no = s.event_no \
             WHERE s.room_no = r.room_no AND s.kind = 'm.room.create' AND s.state_key = '') \
             WHEN 'name' THEN lower(",
            state_text!($engine, "m.room.name", "name"),
            ") WHEN 'alphabetical' THEN lower(",
            state_text!($engine, "m.room.name", "name"),
            ") ELSE '' END ",
            $texts,
            ", r.room_no LIMIT $3 OFFSET $4"
        )
    };
}

/// Rooms for those who run the node: numbers from the largest on and texts from the first on, or the
/// other way round.
pub(super) const fn rooms_in_order(postgres: bool, back: bool) -> &'static str {
    match (postgres, back) {
        (false, false) => rooms_by!(sqlite, "DESC", "ASC"),
        (false, true) => rooms_by!(sqlite, "ASC", "DESC"),
        (true, false) => rooms_by!(postgres, "DESC", "ASC"),
        (true, true) => rooms_by!(postgres, "ASC", "DESC"),
    }
}

/// How many of them there are.
pub(super) const fn rooms_counted(postgres: bool) -> &'static str {
    if postgres {
        concat!("SELECT count(*) ", rooms_with!(postgres))
    } else {
        concat!("SELECT count(*) ", rooms_with!(sqlite))
    }
}

/// The migrations in the words of one engine.
pub(super) fn migrator(postgres: bool) -> Migrator {
    let words: [(&str, &str); 2] = if postgres {
        [("{bytes}", "BYTEA"), ("{compact}", "")]
    } else {
        [("{bytes}", "BLOB"), ("{compact}", "WITHOUT ROWID")]
    };
    let migrations = MIGRATIONS.iter().map(|(version, name, text)| {
        let text = own_part(text, if postgres { "postgres" } else { "sqlite" });
        let sql = words.iter().fold(text, |sql, (word, put)| sql.replace(word, put));
        Migration::new(
            *version,
            (*name).into(),
            MigrationType::Simple,
            AssertSqlSafe(sql).into_sql_str(),
            false,
        )
    });
    Migrator::with_migrations(migrations.collect())
}

/// The text of a migration without what is for the other engine only.
fn own_part(text: &str, engine: &str) -> String {
    let mut own = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, marked)) = rest.split_once("{only ") {
        own += before;
        let (name, marked) = marked.split_once('}').unwrap_or((marked, ""));
        let (part, after) = marked.split_once("{end}").unwrap_or((marked, ""));
        own += if name == engine { part } else { "" };
        rest = after;
    }
    own + rest
}

/// What an engine's error code means to a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// No room is left on the disk.
    Full,
    /// The disk failed, for want of room or otherwise.
    Io,
    /// Two rows claim the same name.
    Taken,
    /// Somebody else holds a lock for longer than was waited for.
    Locked,
    /// Anything else.
    Other,
}

/// Reads the code of an engine's error: SQLite's result code, or PostgreSQL's SQLSTATE.
pub(super) fn trouble(error: &dyn sqlx::error::DatabaseError) -> Trouble {
    if error.is_unique_violation() {
        return Trouble::Taken;
    }
    error.code().map_or(Trouble::Other, |code| meaning(&code))
}

/// The primary code of `SQLITE_IOERR`; the kinds of it carry more in their higher bits.
const SQLITE_IOERR: u32 = 10;

fn meaning(code: &str) -> Trouble {
    match code {
        // disk_full of PostgreSQL, SQLITE_FULL.
        "53100" | "13" => Trouble::Full,
        // io_error and lock_not_available of PostgreSQL.
        "58030" => Trouble::Io,
        "55P03" => Trouble::Locked,
        // SQLSTATEs have five characters, and result codes of SQLite at most four.
        sqlite if sqlite.len() < 5 => match sqlite.parse::<u32>() {
            Ok(number) if number % 256 == SQLITE_IOERR => Trouble::Io,
            _ => Trouble::Other,
        },
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_reads_what_is_for_both_and_for_itself() {
        let text = "a {only sqlite}b{end} c {only postgres}d{end} e";
        assert_eq!(own_part(text, "sqlite"), "a b c  e");
        assert_eq!(own_part(text, "postgres"), "a  c d e");
        assert_eq!(own_part("all of it", "sqlite"), "all of it");
        for (_, name, text) in MIGRATIONS {
            assert_eq!(text.matches("{only ").count(), text.matches("{end}").count(), "{name}");
        }
    }

    #[test]
    fn only_a_full_disk_is_called_full() {
        for full in ["13", "53100"] {
            assert_eq!(meaning(full), Trouble::Full, "{full}");
        }
        // Of writing, syncing, truncating, growing shared memory, closing, and io_error.
        for failed in ["10", "778", "1034", "1546", "4874", "4106", "58030"] {
            assert_eq!(meaning(failed), Trouble::Io, "{failed}");
        }
        for other in ["", "1", "5", "11", "266x", "40001", "22010", "57014"] {
            assert_eq!(meaning(other), Trouble::Other, "{other}");
        }
    }
}
