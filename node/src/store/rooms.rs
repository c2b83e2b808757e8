//! The rooms: where their graphs end, and who is in them.

use std::collections::{HashMap, HashSet};

use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId};
use wayside_federation::{
    room::{self, Head, Room},
    state::{EventNo, NodeId},
    version::RoomVersion,
};
use wayside_specs::Role;

use super::{
    Reads, StoreError, Tx,
    db::{LIST_MOST, Row, Value},
    text::{escape, unescape},
};

/// People who stand for a room without a name.
const HEROES: i64 = 5;

/// A room as this node sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRow {
    /// Its number here.
    pub room_no: i64,
    /// Its id everywhere.
    pub room_id: OwnedRoomId,
    /// Which rules it follows.
    pub version: RoomVersion,
    /// The `type` of its create event.
    pub kind: Option<String>,
    /// The events that no other event names yet; none where this node has not been in the room.
    pub heads: Vec<Head>,
    /// The current state.
    pub state_root: NodeId,
    /// The position of its newest event.
    pub last_position: i64,
    /// How many have joined.
    pub joined: i64,
    /// How many are invited.
    pub invited: i64,
    /// Whether the public directory lists it.
    pub published: bool,
    /// How many other servers have people in it.
    pub others: i64,
    /// How deep its graph was when this node last came in; 0 where it was made here.
    pub since_depth: i64,
}

impl RoomRow {
    /// The room as decisions see it.
    #[must_use]
    pub fn decided(&self) -> Room {
        Room {
            id: self.room_id.clone(),
            version: self.version,
            heads: self.heads.clone(),
            state: self.state_root,
        }
    }

    /// Its heads as an event of this node names them.
    #[must_use]
    pub fn prev_events(&self) -> Vec<(ruma::OwnedEventId, u64)> {
        room::prev_events(&self.heads)
    }
}

/// How somebody stands to a room (client-server API, `m.room.member`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Membership {
    /// Asked to come.
    Invite,
    /// In it.
    Join,
    /// Asks to come.
    Knock,
    /// Was in it, or never was.
    Leave,
    /// Shut out.
    Ban,
}

impl Membership {
    /// The word in events and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Join => "join",
            Self::Knock => "knock",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }

    /// Reads the word of an event.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Invite, Self::Join, Self::Knock, Self::Leave, Self::Ban]
            .into_iter()
            .find(|membership| membership.as_str() == word)
    }
}

/// One person's standing in one room.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// Who.
    pub user_id: OwnedUserId,
    /// Where.
    pub room_no: i64,
    /// How.
    pub membership: Membership,
    /// The event that says so.
    pub event_no: EventNo,
    /// When it was said.
    pub position: i64,
    /// Where they last left it, for those who have ever been in it and have not forgotten it.
    pub left: Option<i64>,
    /// Whether they asked not to be shown the room any more.
    pub forgotten: bool,
}

/// Rows of one question; whoever asks for all of something that can be long goes on behind the last.
const PAGE: i64 = 10_000;

/// The room of that id.
pub async fn room(from: &mut impl Reads, room_id: &RoomId) -> Result<Option<RoomRow>, StoreError> {
    let sql = "SELECT room_no, room_id, version, kind, heads, state_root, last_position, joined, invited, \
               published, others, since_depth FROM rooms WHERE room_id = $1";
    let row = from.conn().0.query(sql).bind(room_id.as_str()).one().await?;
    row.as_ref().map(read_room).transpose()
}

/// The rooms of these numbers; unknown ones are left out.
pub async fn by_numbers(
    from: &mut impl Reads,
    numbers: &[i64],
) -> Result<Vec<RoomRow>, StoreError> {
    let mut found = Vec::with_capacity(numbers.len());
    for chunk in numbers.chunks(LIST_MOST) {
        let sql = "SELECT room_no, room_id, version, kind, heads, state_root, last_position, joined, \
                   invited, published, others, since_depth FROM rooms WHERE room_no IN (LIST)";
        for row in from.conn().0.query(sql).list(chunk).all().await? {
            found.push(read_room(&row)?);
        }
    }
    Ok(found)
}

/// How a person stands to a room; nothing if they never had to do with it.
pub async fn membership(
    from: &mut impl Reads,
    room_no: i64,
    user_id: &UserId,
) -> Result<Option<MemberRow>, StoreError> {
    let sql = "SELECT user_id, room_no, membership, event_no, position, left_position, forgotten FROM memberships \
               WHERE user_id = $1 AND room_no = $2";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).bind(room_no).one().await?;
    row.as_ref().map(read_member).transpose()
}

/// How those of some people stand to a room who have to do with it.
pub async fn memberships_among(
    from: &mut impl Reads,
    room_no: i64,
    people: &[&UserId],
) -> Result<HashMap<OwnedUserId, MemberRow>, StoreError> {
    let sql = "SELECT user_id, room_no, membership, event_no, position, left_position, forgotten \
               FROM memberships WHERE room_no = $1 AND user_id IN (LIST)";
    let mut found = HashMap::with_capacity(people.len());
    for chunk in people.chunks(LIST_MOST) {
        let names: Vec<&str> = chunk.iter().map(|user_id| user_id.as_str()).collect();
        for row in from.conn().0.query(sql).bind(room_no).list(&names).all().await? {
            let row = read_member(&row)?;
            found.insert(row.user_id.clone(), row);
        }
    }
    Ok(found)
}

/// How a person stands to each of these rooms that they have to do with.
pub async fn memberships_in(
    from: &mut impl Reads,
    user_id: &UserId,
    numbers: &[i64],
) -> Result<Vec<MemberRow>, StoreError> {
    let mut found = Vec::new();
    for chunk in numbers.chunks(LIST_MOST) {
        let sql = "SELECT user_id, room_no, membership, event_no, position, left_position, forgotten \
                   FROM memberships WHERE user_id = $1 AND room_no IN (LIST)";
        for row in from.conn().0.query(sql).bind(user_id.as_str()).list(chunk).all().await? {
            found.push(read_member(&row)?);
        }
    }
    Ok(found)
}

/// All rooms that a person has to do with, by their numbers.
pub async fn memberships_of(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<MemberRow>, StoreError> {
    let sql = "SELECT user_id, room_no, membership, event_no, position, left_position, forgotten FROM memberships \
               WHERE user_id = $1 AND room_no > $2 ORDER BY room_no LIMIT $3";
    let mut found: Vec<MemberRow> = Vec::new();
    loop {
        let behind = found.last().map_or(i64::MIN, |row| row.room_no);
        let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(behind);
        let rows = query.bind(PAGE).all().await?;
        for row in &rows {
            found.push(read_member(row)?);
        }
        if !is_full(&rows) {
            return Ok(found);
        }
    }
}

/// The rooms that a person was invited to after a position, the newest first; at most `limit`.
pub async fn invited_after(
    from: &mut impl Reads,
    user_id: &UserId,
    after: i64,
    limit: i64,
) -> Result<Vec<MemberRow>, StoreError> {
    let sql = "SELECT user_id, room_no, membership, event_no, position, left_position, forgotten FROM memberships \
               WHERE user_id = $1 AND position > $2 AND membership = 'invite' \
               ORDER BY position DESC LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(after).bind(limit);
    query.all().await?.iter().map(read_member).collect()
}

/// Whether somebody has ever had to do with a room of this node.
pub async fn has_been_here(from: &mut impl Reads, user_id: &UserId) -> Result<bool, StoreError> {
    let sql = "SELECT room_no FROM memberships WHERE user_id = $1 LIMIT 1";
    Ok(from.conn().0.query(sql).bind(user_id.as_str()).one().await?.is_some())
}

/// All who stand to a room in this way, by their ids.
pub async fn members(
    from: &mut impl Reads,
    room_no: i64,
    membership: Membership,
) -> Result<Vec<MemberRow>, StoreError> {
    let sql = "SELECT user_id, room_no, membership, event_no, position, left_position, forgotten FROM memberships \
               WHERE room_no = $1 AND membership = $2 AND user_id > $3 ORDER BY user_id LIMIT $4";
    let mut found: Vec<MemberRow> = Vec::new();
    loop {
        let behind = found.last().map_or("", |row| row.user_id.as_str());
        let query = from.conn().0.query(sql).bind(room_no).bind(membership.as_str());
        let rows = query.bind(behind).bind(PAGE).all().await?;
        for row in &rows {
            found.push(read_member(row)?);
        }
        if !is_full(&rows) {
            return Ok(found);
        }
    }
}

/// Those who stand for a room without a name, those first who came first, somebody left aside
/// (client-server API, `m.heroes`).
pub async fn heroes(
    from: &mut impl Reads,
    room_no: i64,
    aside: &UserId,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM memberships WHERE room_no = $1 AND membership IN ($2, $3) \
               AND user_id <> $4 ORDER BY position LIMIT $5";
    for standings in [[Membership::Join, Membership::Invite], [Membership::Leave, Membership::Ban]]
    {
        let [one, other] = standings.map(Membership::as_str);
        let query = from.conn().0.query(sql).bind(room_no).bind(one).bind(other);
        let rows = query.bind(aside.as_str()).bind(HEROES).all().await?;
        if !rows.is_empty() {
            return rows.iter().map(|row| row.parse(0)).collect();
        }
    }
    Ok(Vec::new())
}

/// Those of `people` who are in a room.
pub async fn joined_among(
    from: &mut impl Reads,
    room_no: i64,
    people: &[&UserId],
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM memberships \
               WHERE room_no = $1 AND membership = 'join' AND user_id IN (LIST)";
    let mut found = Vec::new();
    for chunk in people.chunks(LIST_MOST) {
        let names: Vec<&str> = chunk.iter().map(|user_id| user_id.as_str()).collect();
        for row in from.conn().0.query(sql).bind(room_no).list(&names).all().await? {
            found.push(row.parse(0)?);
        }
    }
    Ok(found)
}

/// The people of this node who are in a room, in any role or in this one, by their ids; at most
/// `limit`, and only those whose id comes behind `behind`.
pub async fn own_people_in(
    from: &mut impl Reads,
    room_no: i64,
    role: Option<Role>,
    behind: &str,
    limit: usize,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT m.user_id FROM memberships m JOIN accounts a ON a.user_id = m.user_id \
               WHERE m.room_no = $1 AND m.membership = 'join' AND ($2 = '' OR a.role = $2) \
               AND m.user_id > $3 ORDER BY m.user_id LIMIT $4";
    let role = role.map_or("", Role::as_str);
    let query = from.conn().0.query(sql).bind(room_no).bind(role).bind(behind);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    query.bind(limit).all().await?.iter().map(|row| row.parse(0)).collect()
}

/// The people of this node who are in a room, or were until a position or longer, by their ids; at
/// most `limit`, and only those whose id comes behind `behind`.
pub async fn own_people_until(
    from: &mut impl Reads,
    room_no: i64,
    position: i64,
    behind: &str,
    limit: usize,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT m.user_id FROM memberships m JOIN accounts a ON a.user_id = m.user_id \
               WHERE m.room_no = $1 AND (m.membership = 'join' OR m.left_position >= $2) \
               AND m.user_id > $3 ORDER BY m.user_id LIMIT $4";
    let query = from.conn().0.query(sql).bind(room_no).bind(position);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    query.bind(behind).bind(limit).all().await?.iter().map(|row| row.parse(0)).collect()
}

/// A part of a room's state.
#[derive(Clone, Copy, Debug)]
pub enum StateOf<'a> {
    /// All of it.
    All,
    /// Only that of one type.
    Kind(&'a str),
    /// What does not say who is in the room.
    BesideMembers,
}

impl StateOf<'_> {
    /// All of it, with or without members.
    #[must_use]
    pub fn all(members: bool) -> Self {
        if members { Self::All } else { Self::BesideMembers }
    }
}

/// The events of a part of a room's current state.
pub async fn state_events(
    from: &mut impl Reads,
    room_no: i64,
    part: StateOf<'_>,
) -> Result<Vec<EventNo>, StoreError> {
    let sql = "SELECT kind, state_key, event_no FROM room_state \
               WHERE room_no = $1 AND ($2 = '' OR kind = $2) AND kind <> $3 \
               AND (kind > $4 OR (kind = $4 AND state_key > $5)) ORDER BY kind, state_key LIMIT $6";
    let only = if let StateOf::Kind(kind) = part { escape(kind) } else { "".into() };
    let but = if let StateOf::BesideMembers = part { "m.room.member" } else { "" };
    let mut found = Vec::new();
    let mut behind: Option<(String, String)> = None;
    loop {
        let (kind, key) = behind.as_ref().map_or(("", ""), |(kind, key)| (kind, key));
        let query = from.conn().0.query(sql).bind(room_no).bind(&*only).bind(but);
        let rows = query.bind(kind).bind(key).bind(PAGE).all().await?;
        for row in &rows {
            found.push(EventNo(row.get(2)?));
        }
        let Some(last) = rows.last().filter(|_| is_full(&rows)) else { return Ok(found) };
        behind = Some((last.get(0)?, last.get(1)?));
    }
}

/// Those of `others` who have a room in common with somebody.
pub async fn who_share_a_room(
    from: &mut impl Reads,
    one: &UserId,
    others: &[&UserId],
) -> Result<HashSet<OwnedUserId>, StoreError> {
    let sql = "SELECT DISTINCT b.user_id FROM memberships a JOIN memberships b ON b.room_no = a.room_no \
               WHERE a.user_id = $1 AND a.membership = 'join' AND b.membership = 'join' AND b.user_id IN (LIST)";
    among(from, sql, one, others).await
}

/// Those of `others` who have an encrypted room in common with somebody.
pub async fn who_share_an_encrypted_room(
    from: &mut impl Reads,
    one: &UserId,
    others: &[&UserId],
) -> Result<HashSet<OwnedUserId>, StoreError> {
    let sql = "SELECT DISTINCT b.user_id FROM memberships a JOIN memberships b ON b.room_no = a.room_no \
               JOIN room_state s ON s.room_no = a.room_no AND s.kind = 'm.room.encryption' AND s.state_key = '' \
               WHERE a.user_id = $1 AND a.membership = 'join' AND b.membership = 'join' AND b.user_id IN (LIST)";
    among(from, sql, one, others).await
}

async fn among(
    from: &mut impl Reads,
    sql: &'static str,
    one: &UserId,
    others: &[&UserId],
) -> Result<HashSet<OwnedUserId>, StoreError> {
    let mut found = HashSet::new();
    for chunk in others.chunks(LIST_MOST) {
        let names: Vec<&str> = chunk.iter().map(|user_id| user_id.as_str()).collect();
        for row in from.conn().0.query(sql).bind(one.as_str()).list(&names).all().await? {
            found.insert(row.parse(0)?);
        }
    }
    Ok(found)
}

/// Those of these rooms that are encrypted.
pub async fn encrypted_among(
    from: &mut impl Reads,
    numbers: &[i64],
) -> Result<HashSet<i64>, StoreError> {
    let sql = "SELECT room_no FROM room_state WHERE kind = 'm.room.encryption' AND state_key = '' \
               AND room_no IN (LIST)";
    let mut found = HashSet::new();
    for chunk in numbers.chunks(LIST_MOST) {
        for row in from.conn().0.query(sql).list(chunk).all().await? {
            found.insert(row.get(0)?);
        }
    }
    Ok(found)
}

/// The servers whose people are in a room, by name.
pub async fn servers(
    from: &mut impl Reads,
    room_no: i64,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let sql = "SELECT server FROM room_servers WHERE room_no = $1 AND joined > 0 ORDER BY server LIMIT $2";
    let rows = from.conn().0.query(sql).bind(room_no).bind(PAGE).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// The other servers with the most people in a room.
pub async fn largest_servers(
    from: &mut impl Reads,
    room_no: i64,
    own: &ServerName,
    limit: i64,
) -> Result<Vec<OwnedServerName>, StoreError> {
    let sql = "SELECT server FROM room_servers WHERE room_no = $1 AND joined > 0 AND server <> $2 \
               ORDER BY joined DESC, server LIMIT $3";
    let query = from.conn().0.query(sql).bind(room_no).bind(own.as_str()).bind(limit);
    query.all().await?.iter().map(|row| row.parse(0)).collect()
}

/// Whether somebody of a server is in a room.
pub async fn has_server(
    from: &mut impl Reads,
    room_no: i64,
    server: &ServerName,
) -> Result<bool, StoreError> {
    let sql = "SELECT joined FROM room_servers WHERE room_no = $1 AND server = $2 AND joined > 0";
    let query = from.conn().0.query(sql).bind(room_no).bind(server.as_str());
    Ok(query.one().await?.is_some())
}

/// Whether somebody of a server is in a room, or was once.
pub async fn knows_server(
    from: &mut impl Reads,
    room_no: i64,
    server: &ServerName,
) -> Result<bool, StoreError> {
    let sql = "SELECT joined FROM room_servers WHERE room_no = $1 AND server = $2";
    let query = from.conn().0.query(sql).bind(room_no).bind(server.as_str());
    Ok(query.one().await?.is_some())
}

/// All rooms by number, for the command line.
pub async fn all(
    from: &mut impl Reads,
    after: i64,
    limit: i64,
) -> Result<Vec<RoomRow>, StoreError> {
    let sql = "SELECT room_no, room_id, version, kind, heads, state_root, last_position, joined, invited, \
               published, others, since_depth FROM rooms WHERE room_no > $1 ORDER BY room_no LIMIT $2";
    let rows = from.conn().0.query(sql).bind(after).bind(limit).all().await?;
    rows.iter().map(read_room).collect()
}

impl Tx {
    /// Writes a new room down.
    pub async fn add_room(&mut self, room: &RoomRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO rooms (room_no, room_id, version, kind, heads, state_root, last_position, \
                   joined, invited, published, others, since_depth) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        self.query(sql)
            .bind(room.room_no)
            .bind(room.room_id.as_str())
            .bind(room.version.as_str())
            .bind(room.kind.as_deref().map(|kind| escape(kind).into_owned()))
            .bind(write_heads(&room.heads))
            .bind(room.state_root.0.as_slice())
            .bind(room.last_position)
            .bind(room.joined)
            .bind(room.invited)
            .bind(room.published)
            .bind(room.others)
            .bind(room.since_depth)
            .run()
            .await
            .map(drop)
    }

    /// Sets of what version a room is, and of what kind, which never changes where somebody was in it.
    pub async fn set_nature(&mut self, room: &RoomRow) -> Result<(), StoreError> {
        let sql = "UPDATE rooms SET version = $2, kind = $3 WHERE room_no = $1";
        let query = self.query(sql).bind(room.room_no).bind(room.version.as_str());
        let kind = room.kind.as_deref().map(|kind| escape(kind).into_owned());
        query.bind(kind).run().await.map(drop)
    }

    /// Moves a room on to its new heads and state.
    pub async fn move_room(&mut self, room: &RoomRow) -> Result<(), StoreError> {
        let sql = "UPDATE rooms SET heads = $2, state_root = $3, last_position = $4, joined = $5, invited = $6, \
                   others = $7, since_depth = $8 WHERE room_no = $1";
        self.query(sql)
            .bind(room.room_no)
            .bind(write_heads(&room.heads))
            .bind(room.state_root.0.as_slice())
            .bind(room.last_position)
            .bind(room.joined)
            .bind(room.invited)
            .bind(room.others)
            .bind(room.since_depth)
            .run()
            .await
            .map(drop)
    }

    /// Sets entries of the current state, each once.
    pub async fn set_state(
        &mut self,
        room_no: i64,
        entries: &[(String, &str, EventNo)],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO room_state (room_no, kind, state_key, event_no) VALUES (ROWS) \
                   ON CONFLICT (room_no, kind, state_key) DO UPDATE SET event_no = excluded.event_no";
        let row = |(kind, key, number): &(String, &str, EventNo)| -> [Value; 4] {
            [room_no.into(), (&*escape(kind)).into(), (&*escape(key)).into(), number.0.into()]
        };
        let rows: Vec<[Value; 4]> = entries.iter().map(row).collect();
        self.insert(sql, &rows).await
    }

    /// Takes away one entry of the current state.
    pub async fn unset_state(
        &mut self,
        room_no: i64,
        kind: &str,
        state_key: &str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM room_state WHERE room_no = $1 AND kind = $2 AND state_key = $3";
        let query = self.query(sql).bind(room_no).bind(&*escape(kind));
        query.bind(&*escape(state_key)).run().await.map(drop)
    }

    /// Counts people of a server who came into a room, or left it; how many are there now.
    pub async fn count_server(
        &mut self,
        room_no: i64,
        server: &ServerName,
        more: i64,
    ) -> Result<i64, StoreError> {
        let sql = "INSERT INTO room_servers (room_no, server, joined) VALUES ($1, $2, $3) \
                   ON CONFLICT (room_no, server) DO UPDATE SET joined = room_servers.joined + excluded.joined \
                   RETURNING joined";
        let row = self.query(sql).bind(room_no).bind(server.as_str()).bind(more).one().await?;
        row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
    }

    /// Sets how people stand to rooms; nobody stands twice to one of them.
    pub async fn set_memberships(&mut self, members: &[MemberRow]) -> Result<(), StoreError> {
        let sql = "INSERT INTO memberships (user_id, room_no, membership, event_no, position, left_position, \
                   forgotten) VALUES (ROWS) ON CONFLICT (user_id, room_no) DO UPDATE \
                   SET membership = excluded.membership, event_no = excluded.event_no, \
                   position = excluded.position, left_position = excluded.left_position, \
                   forgotten = excluded.forgotten";
        let row = |member: &MemberRow| -> [Value; 7] {
            [
                member.user_id.as_str().into(),
                member.room_no.into(),
                member.membership.as_str().into(),
                member.event_no.0.into(),
                member.position.into(),
                member.left.into(),
                member.forgotten.into(),
            ]
        };
        let rows: Vec<[Value; 7]> = members.iter().map(row).collect();
        self.insert(sql, &rows).await
    }

    /// Lets a person forget a room, and with it that they have been in it.
    pub async fn forget_room(&mut self, room_no: i64, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "UPDATE memberships SET forgotten = 1, left_position = NULL \
                   WHERE user_id = $1 AND room_no = $2";
        self.query(sql).bind(user_id.as_str()).bind(room_no).run().await.map(drop)
    }
}

/// Whether there may be more behind these rows.
fn is_full(rows: &[Row]) -> bool {
    i64::try_from(rows.len()).is_ok_and(|count| count >= PAGE)
}

/// Heads as text: a line each, the id, the depth and the root of the state after it.
fn write_heads(heads: &[Head]) -> String {
    let line = |head: &Head| format!("{} {} {}", head.id, head.depth, hex::encode(head.after.0));
    heads.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Before rooms were shared they had one head each, and it did not say that the state after it was the
/// room's own.
fn read_heads(text: &str, state: NodeId) -> Option<Vec<Head>> {
    text.lines()
        .map(|line| {
            let mut words = line.split(' ');
            let (id, depth) = (words.next()?.try_into().ok()?, words.next()?.parse().ok()?);
            let after = match words.next() {
                Some(word) => NodeId(hex::decode(word).ok()?.try_into().ok()?),
                None => state,
            };
            Some(Head { id, depth, after })
        })
        .collect()
}

pub(super) fn read_room(row: &Row) -> Result<RoomRow, StoreError> {
    let version: String = row.get(2)?;
    let heads: String = row.get(4)?;
    let state_root = NodeId(row.array(5)?);
    Ok(RoomRow {
        room_no: row.get(0)?,
        room_id: row.parse(1)?,
        version: RoomVersion::parse(&version)
            .ok_or(StoreError::Damaged("a stored room version is unknown"))?,
        kind: row.get::<Option<String>>(3)?.map(unescape),
        heads: read_heads(&heads, state_root)
            .ok_or(StoreError::Damaged("a room's heads do not parse"))?,
        state_root,
        last_position: row.get(6)?,
        joined: row.get(7)?,
        invited: row.get(8)?,
        published: row.get::<i64>(9)? != 0,
        others: row.get(10)?,
        since_depth: row.get(11)?,
    })
}

fn read_member(row: &Row) -> Result<MemberRow, StoreError> {
    let membership: String = row.get(2)?;
    Ok(MemberRow {
        user_id: row.parse(0)?,
        room_no: row.get(1)?,
        membership: Membership::parse(&membership)
            .ok_or(StoreError::Damaged("a stored membership is unknown"))?,
        event_no: EventNo(row.get(3)?),
        position: row.get(4)?,
        left: row.get(5)?,
        forgotten: row.get::<i64>(6)? != 0,
    })
}
