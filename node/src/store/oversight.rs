//! What those who run the node see of all accounts and rooms.

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use wayside_specs::Role;

use super::{Reads, StoreError, accounts::Held, db::Row, dialect};

/// Which way round a list goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// As its order says.
    #[default]
    Forth,
    /// The other way round.
    Back,
}

/// Which accounts are looked for, and in which order.
#[derive(Clone, Debug, Default)]
pub struct UsersAsked {
    /// A part of the name before the colon, or of the name that is shown, in small letters.
    pub name: Option<String>,
    /// A part of the whole user id, in small letters.
    pub user_id: Option<String>,
    /// Guests too.
    pub guests: bool,
    /// Those that have ended too.
    pub ended: bool,
    /// Those that are locked too.
    pub locked: bool,
    /// Only those who run the node, or only others.
    pub operators: Option<bool>,
    /// The word of the field by which they are ordered.
    pub order: String,
    /// Which way round.
    pub way: Way,
    /// How many are passed over.
    pub from: i64,
    /// At most so many.
    pub limit: i64,
}

/// An account with what belongs to it.
#[derive(Clone, Debug)]
pub struct UserListed {
    /// Its name.
    pub user_id: OwnedUserId,
    /// What it may do.
    pub role: Role,
    /// When it was made, in milliseconds since the epoch.
    pub created_ms: i64,
    /// Whether it has ended.
    pub ended: bool,
    /// What its person is held to.
    pub held: Held,
    /// The name that is shown, as JSON.
    pub displayname: Option<String>,
    /// The picture that is shown, as JSON.
    pub avatar_url: Option<String>,
    /// When one of its devices was seen last, in milliseconds since the epoch.
    pub seen_ms: Option<i64>,
}

/// Which rooms are looked for, and in which order.
#[derive(Clone, Debug, Default)]
pub struct RoomsAsked {
    /// A part of the name, of the main alias or of the id, in small letters.
    pub words: Option<String>,
    /// The word of the field by which they are ordered.
    pub order: String,
    /// Which way round.
    pub way: Way,
    /// How many are passed over.
    pub from: i64,
    /// At most so many.
    pub limit: i64,
}

/// A room with what is counted of it.
#[derive(Clone, Debug)]
pub struct RoomCounted {
    /// The room.
    pub room_id: OwnedRoomId,
    /// How many of this node's people are in it.
    pub joined_local: i64,
    /// How many entries its state has.
    pub state_events: i64,
    /// Who made it.
    pub creator: Option<String>,
}

macro_rules! user_columns {
    () => {
        "SELECT a.user_id, a.role, a.created_ms, a.ended_ms, a.locked_ms, a.suspended_ms, p.value, v.value, \
         (SELECT max(d.seen_ms) FROM devices d WHERE d.user_id = a.user_id) FROM accounts a \
         LEFT JOIN profile_fields p ON p.user_id = a.user_id AND p.name = 'displayname' \
         LEFT JOIN profile_fields v ON v.user_id = a.user_id AND v.name = 'avatar_url' "
    };
}

macro_rules! users_asked {
    () => {
        "WHERE ($1 = '' OR lower(a.user_id) LIKE $1 ESCAPE '!' OR lower(p.value) LIKE $2 ESCAPE '!') \
         AND ($3 = '' OR lower(a.user_id) LIKE $3 ESCAPE '!') AND ($4 = 1 OR a.role <> 'guest') \
         AND ($5 = 1 OR a.ended_ms IS NULL) AND ($6 = 1 OR a.locked_ms IS NULL) \
         AND ($7 < 0 OR $7 = CASE WHEN a.role = 'operator' THEN 1 ELSE 0 END)"
    };
}

macro_rules! users_in_order {
    ($way:literal) => {
        concat!(
            user_columns!(),
            users_asked!(),
            " ORDER BY CASE $8 WHEN 'is_guest' THEN CASE WHEN a.role = 'guest' THEN 1 ELSE 0 END \
             WHEN 'admin' THEN CASE WHEN a.role = 'operator' THEN 1 ELSE 0 END \
             WHEN 'deactivated' THEN CASE WHEN a.ended_ms IS NULL THEN 0 ELSE 1 END \
             WHEN 'creation_ts' THEN a.created_ms WHEN 'last_seen_ts' THEN \
             coalesce((SELECT max(d.seen_ms) FROM devices d WHERE d.user_id = a.user_id), 0) ELSE 0 END ",
            $way,
            ", CASE $8 WHEN 'name' THEN a.user_id WHEN 'displayname' THEN coalesce(lower(p.value), '') \
             WHEN 'avatar_url' THEN coalesce(v.value, '') ELSE '' END ",
            $way,
            ", a.user_id LIMIT $9 OFFSET $10"
        )
    };
}

/// The accounts that are looked for, and how many there are of them in all.
pub async fn users(
    from: &mut impl Reads,
    asked: &UsersAsked,
) -> Result<(Vec<UserListed>, i64), StoreError> {
    let name = asked.name.as_deref().map(like);
    let whole = asked.user_id.as_deref().map(|part| format!("%{}%", like(part)));
    let local = name.as_ref().map(|name| format!("@%{name}%:%")).unwrap_or_default();
    let shown = name.map(|name| format!("%{name}%")).unwrap_or_default();
    let operators = asked.operators.map_or(-1, i64::from);
    let sql = match asked.way {
        Way::Forth => users_in_order!("ASC"),
        Way::Back => users_in_order!("DESC"),
    };
    let count = concat!(
        "SELECT count(*) FROM accounts a \
         LEFT JOIN profile_fields p ON p.user_id = a.user_id AND p.name = 'displayname' ",
        users_asked!()
    );
    let whole = whole.unwrap_or_default();
    let mut answers = Vec::new();
    for sql in [sql, count] {
        let query = from.conn().0.query(sql).bind(local.as_str()).bind(shown.as_str());
        let query = query.bind(whole.as_str()).bind(asked.guests).bind(asked.ended);
        let query = query.bind(asked.locked).bind(operators);
        let query = if sql == count {
            query
        } else {
            query.bind(asked.order.as_str()).bind(asked.limit).bind(asked.from)
        };
        answers.push(query.all().await?);
    }
    let total = answers.pop().unwrap_or_default();
    let total = total.first().ok_or(StoreError::Damaged("a count gave no row"))?.get(0)?;
    let found = answers.pop().unwrap_or_default();
    Ok((found.iter().map(read_user).collect::<Result<_, _>>()?, total))
}

/// One account with what belongs to it.
pub async fn user(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Option<UserListed>, StoreError> {
    let sql = concat!(user_columns!(), "WHERE a.user_id = $1");
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.as_ref().map(read_user).transpose()
}

fn read_user(row: &Row) -> Result<UserListed, StoreError> {
    let since = |at| Ok::<_, StoreError>(row.get::<Option<i64>>(at)?.is_some());
    Ok(UserListed {
        user_id: row.parse(0)?,
        role: row.parse(1)?,
        created_ms: row.get(2)?,
        ended: since(3)?,
        held: Held { locked: since(4)?, suspended: since(5)? },
        displayname: row.get(6)?,
        avatar_url: row.get(7)?,
        seen_ms: row.get(8)?,
    })
}

/// The rooms that are looked for, and how many there are of them in all.
pub async fn rooms(
    from: &mut impl Reads,
    asked: &RoomsAsked,
) -> Result<(Vec<RoomCounted>, i64), StoreError> {
    let postgres = from.conn().0.is_postgres();
    let words = asked.words.as_deref().map(|words| format!("%{}%", like(words)));
    let words = words.unwrap_or_default();
    let sql = dialect::rooms_in_order(postgres, asked.way == Way::Back);
    let query = from.conn().0.query(sql).bind(words.as_str()).bind(asked.order.as_str());
    let rows = query.bind(asked.limit).bind(asked.from).all().await?;
    let query = from.conn().0.query(dialect::rooms_counted(postgres)).bind(words.as_str());
    let total = query.one().await?.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)?;
    Ok((rows.iter().map(read_room).collect::<Result<_, _>>()?, total))
}

/// What is counted of one room.
pub async fn room(from: &mut impl Reads, room_no: i64) -> Result<Option<RoomCounted>, StoreError> {
    let sql = concat!(dialect::room_columns!(), "FROM rooms r WHERE r.room_no = $1");
    let row = from.conn().0.query(sql).bind(room_no).one().await?;
    row.as_ref().map(read_room).transpose()
}

/// How many devices of this node's people are in a room.
pub async fn devices_in(from: &mut impl Reads, room_no: i64) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM memberships m JOIN devices d ON d.user_id = m.user_id \
               WHERE m.room_no = $1 AND m.membership = 'join'";
    let row = from.conn().0.query(sql).bind(room_no).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

fn read_room(row: &Row) -> Result<RoomCounted, StoreError> {
    Ok(RoomCounted {
        room_id: row.parse(0)?,
        joined_local: row.get(1)?,
        state_events: row.get(2)?,
        creator: row.get(3)?,
    })
}

/// Text for a pattern, in which nothing stands for something else.
fn like(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '%' | '_' | '!') {
            escaped.push('!');
        }
        escaped.push(c);
    }
    escaped
}
