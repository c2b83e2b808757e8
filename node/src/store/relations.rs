//! Which events relate to which: edits, threads, references and whatever else clients make of it.
//!
//! The room stands with a plus before it where the event leads to the few rows that matter: SQLite
//! would else go through all relations of the room.

use std::collections::HashMap;

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use serde_json::Value;
use wayside_federation::{event::Event, state::EventNo};
use wayside_specs::limits;

use super::{
    Reads, StoreError, Tx,
    db::{self, LIST_MOST, Row},
    events::{StoredEvent, Stretch, Verdict},
    text::escape,
};

/// What relates to an event in one of the ways that servers sum up.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The event.
    pub target: OwnedEventId,
    /// How they relate to it.
    pub rel_type: String,
    /// How many there are.
    pub count: i64,
    /// Where the newest of them is.
    pub newest: i64,
    /// Whether the asker sent one of them.
    pub own: bool,
    /// Who sent them, where that was asked.
    pub sender: Option<OwnedUserId>,
}

/// What of the events that relate to one is asked for.
#[derive(Clone, Debug)]
pub struct RelatedAsked<'a> {
    /// The room.
    pub room_no: i64,
    /// The event.
    pub target: &'a EventId,
    /// Only those that relate in this way.
    pub rel_type: Option<&'a str>,
    /// Only those of this type.
    pub kind: Option<&'a str>,
    /// What relates to it through so many others counts too.
    pub through: i64,
    /// Where in the room's timeline.
    pub stretch: Stretch,
    /// At most so many.
    pub limit: i64,
}

/// References of one event that are told with it: the newest.
const REFERENCES: i64 = 100;

/// Annotations of one event by one person among which another one is looked for.
const ANNOTATIONS: i64 = 256;

/// How much relates to each of these events of a room, up to a position: in sum, or for each sender
/// where the asker does not count them all.
pub async fn tallies(
    from: &mut impl Reads,
    room_no: i64,
    targets: &[&EventId],
    asker: &UserId,
    upto: i64,
    by_sender: bool,
) -> Result<Vec<Tally>, StoreError> {
    let together = "SELECT target, rel_type, count(*), max(position), \
        max(CAST(CASE WHEN sender = $2 THEN 1 ELSE 0 END AS BIGINT)), NULL FROM relations \
        WHERE +room_no = $1 AND position <= $3 AND rel_type IN ('m.replace', 'm.thread', 'm.reference') \
        AND target IN (LIST) GROUP BY target, rel_type";
    let apart = "SELECT target, rel_type, count(*), max(position), \
        max(CAST(CASE WHEN sender = $2 THEN 1 ELSE 0 END AS BIGINT)), sender FROM relations \
        WHERE +room_no = $1 AND position <= $3 AND rel_type IN ('m.replace', 'm.thread', 'm.reference') \
        AND target IN (LIST) GROUP BY target, rel_type, sender";
    let mut found = Vec::new();
    for chunk in targets.chunks(LIST_MOST) {
        let ids: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        let query = from.conn().0.query(if by_sender { apart } else { together });
        let query = query.bind(room_no).bind(asker.as_str()).bind(upto).list(&ids);
        for row in query.all().await? {
            found.push(read_tally(&row, by_sender)?);
        }
    }
    Ok(found)
}

fn read_tally(row: &Row, by_sender: bool) -> Result<Tally, StoreError> {
    Ok(Tally {
        target: row.parse(0)?,
        rel_type: row.get(1)?,
        count: row.get(2)?,
        newest: row.get(3)?,
        own: row.get::<i64>(4)? != 0,
        sender: if by_sender { Some(row.parse(5)?) } else { None },
    })
}

/// Pairs of way and sender in which something relates to an event that are told apart at most.
const KINDS: i64 = 20_000;

/// In which ways something relates to each of these events of a room, and of which senders.
pub async fn kinds(
    from: &mut impl Reads,
    room_no: i64,
    targets: &[&EventId],
) -> Result<Vec<(OwnedEventId, String, String)>, StoreError> {
    let sql = "SELECT DISTINCT target, rel_type, sender FROM relations \
               WHERE +room_no = $1 AND target IN (LIST) LIMIT $2";
    let mut found = Vec::new();
    for chunk in targets.chunks(LIST_MOST) {
        let ids: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        let query = from.conn().0.query(sql).bind(room_no).bind(KINDS).list(&ids);
        for row in query.all().await? {
            found.push((row.parse(0)?, row.get(1)?, row.get(2)?));
        }
    }
    Ok(found)
}

/// The newest edit of each of these events that has one, up to a position (client-server API, event
/// replacements): by the same sender, of the same type, neither being state nor emptied, and not of
/// what is an edit itself.
pub async fn edits(
    from: &mut impl Reads,
    targets: &[&EventId],
    upto: i64,
) -> Result<HashMap<OwnedEventId, EventNo>, StoreError> {
    let sql = "SELECT t.event_id, (SELECT r.event_no FROM relations r WHERE r.target = t.event_id \
               AND r.edits = 1 AND +r.room_no = t.room_no AND r.sender = t.sender AND r.kind = t.kind \
               AND r.position <= $1 ORDER BY r.sent_ms DESC, r.event_id DESC LIMIT 1) FROM events t \
               WHERE t.state_key IS NULL AND t.redacted_by IS NULL AND NOT EXISTS (SELECT 1 FROM relations o \
               WHERE o.event_no = t.event_no AND o.rel_type = 'm.replace') AND t.event_id IN (LIST)";
    let mut found = HashMap::new();
    for chunk in targets.chunks(LIST_MOST) {
        let ids: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        for row in from.conn().0.query(sql).bind(upto).list(&ids).all().await? {
            if let Some(number) = row.get::<Option<i64>>(1)? {
                found.insert(row.parse(0)?, EventNo(number));
            }
        }
    }
    Ok(found)
}

/// The ids of the newest references to each of these events with their senders, the oldest first.
pub async fn references(
    from: &mut impl Reads,
    room_no: i64,
    targets: &[&EventId],
    upto: i64,
) -> Result<Vec<(OwnedEventId, OwnedEventId, OwnedUserId)>, StoreError> {
    let sql = "SELECT target, event_id, sender FROM (SELECT target, event_id, sender, position, \
               row_number() OVER (PARTITION BY target ORDER BY position DESC) AS place FROM relations \
               WHERE +room_no = $1 AND position <= $2 AND rel_type = 'm.reference' AND target IN (LIST)) \
               AS numbered WHERE place <= $3 ORDER BY position";
    let mut found = Vec::new();
    for chunk in targets.chunks(LIST_MOST) {
        let ids: Vec<&str> = chunk.iter().map(|id| id.as_str()).collect();
        let query = from.conn().0.query(sql).bind(room_no).bind(upto).bind(REFERENCES);
        for row in query.list(&ids).all().await? {
            found.push((row.parse(0)?, row.parse(1)?, row.parse(2)?));
        }
    }
    Ok(found)
}

/// The events that relate to one, in the order of the stretch.
pub async fn related(
    from: &mut impl Reads,
    asked: &RelatedAsked<'_>,
) -> Result<Vec<EventNo>, StoreError> {
    // One way and no detour: a walk along the index that ends with the page, however much there is.
    let direct_back = "SELECT event_no FROM relations WHERE target = $1 AND rel_type = $2 AND +room_no = $3 \
        AND position > $4 AND position <= $5 AND ($6 = '' OR kind = $6) ORDER BY position DESC LIMIT $7";
    let direct_forth = "SELECT event_no FROM relations WHERE target = $1 AND rel_type = $2 AND +room_no = $3 \
        AND position > $4 AND position <= $5 AND ($6 = '' OR kind = $6) ORDER BY position ASC LIMIT $7";
    let back = "WITH RECURSIVE tree (event_id, depth) AS (SELECT CAST($1 AS TEXT), CAST(0 AS BIGINT) UNION \
        SELECT r.event_id, t.depth + 1 FROM relations r JOIN tree t ON r.target = t.event_id \
        WHERE t.depth < $2 AND +r.room_no = $3) SELECT event_no FROM relations \
        WHERE target IN (SELECT event_id FROM tree) AND +room_no = $3 AND position > $4 AND position <= $5 \
        AND ($6 = '' OR rel_type = $6) AND ($7 = '' OR kind = $7) ORDER BY position DESC LIMIT $8";
    let forth = "WITH RECURSIVE tree (event_id, depth) AS (SELECT CAST($1 AS TEXT), CAST(0 AS BIGINT) UNION \
        SELECT r.event_id, t.depth + 1 FROM relations r JOIN tree t ON r.target = t.event_id \
        WHERE t.depth < $2 AND +r.room_no = $3) SELECT event_no FROM relations \
        WHERE target IN (SELECT event_id FROM tree) AND +room_no = $3 AND position > $4 AND position <= $5 \
        AND ($6 = '' OR rel_type = $6) AND ($7 = '' OR kind = $7) ORDER BY position ASC LIMIT $8";
    let (going_back, after, upto) = match asked.stretch {
        Stretch::Back { upto, after } => (true, after, upto),
        Stretch::Forth { after, upto } => (false, after, upto),
    };
    let kind = escape(asked.kind.unwrap_or_default());
    if let (0, Some(rel_type)) = (asked.through, asked.rel_type) {
        let sql = if going_back { direct_back } else { direct_forth };
        let query = from.conn().0.query(sql).bind(asked.target.as_str()).bind(rel_type);
        let query = query.bind(asked.room_no).bind(after).bind(upto).bind(&*kind);
        let rows = query.bind(asked.limit).all().await?;
        return rows.iter().map(|row| Ok(EventNo(row.get(0)?))).collect();
    }
    let sql = if going_back { back } else { forth };
    let query = from.conn().0.query(sql).bind(asked.target.as_str()).bind(asked.through);
    let query = query.bind(asked.room_no).bind(after).bind(upto);
    let query = query.bind(asked.rel_type.unwrap_or_default());
    let query = query.bind(&*kind).bind(asked.limit);
    query.all().await?.iter().map(|row| Ok(EventNo(row.get(0)?))).collect()
}

/// The newest events of a type by which somebody annotates an event.
pub async fn annotations(
    from: &mut impl Reads,
    room_no: i64,
    target: &EventId,
    (sender, kind): (&UserId, &str),
) -> Result<Vec<EventNo>, StoreError> {
    let sql = "SELECT event_no FROM relations WHERE target = $1 AND rel_type = 'm.annotation' \
               AND sender = $2 AND kind = $3 AND +room_no = $4 ORDER BY position DESC LIMIT $5";
    let query = from.conn().0.query(sql).bind(target.as_str()).bind(sender.as_str());
    let query = query.bind(&*escape(kind)).bind(room_no).bind(ANNOTATIONS);
    query.all().await?.iter().map(|row| Ok(EventNo(row.get(0)?))).collect()
}

/// The threads of a room whose newest reply up to `upto` is not behind `before`, the newest first,
/// with the place of that reply; only those in which `by` took part where it names somebody.
pub async fn threads(
    from: &mut impl Reads,
    room_no: i64,
    (before, upto): (i64, i64),
    by: Option<&UserId>,
    limit: i64,
) -> Result<Vec<(OwnedEventId, i64)>, StoreError> {
    let sql = "SELECT r.target, r.position FROM relations r WHERE r.room_no = $1 AND r.rel_type = 'm.thread' \
        AND r.position <= $2 AND NOT EXISTS (SELECT 1 FROM relations n WHERE n.target = r.target \
        AND n.rel_type = 'm.thread' AND +n.room_no = r.room_no AND n.position > r.position AND n.position <= $3) \
        AND ($4 = '' OR EXISTS (SELECT 1 FROM relations m WHERE m.target = r.target AND m.rel_type = 'm.thread' \
        AND +m.room_no = r.room_no AND m.sender = $4) \
        OR EXISTS (SELECT 1 FROM events e WHERE e.event_id = r.target AND e.sender = $4)) \
        ORDER BY r.position DESC LIMIT $5";
    let query = from.conn().0.query(sql).bind(room_no).bind(before).bind(upto);
    let query = query.bind(by.map(UserId::as_str).unwrap_or_default()).bind(limit);
    query.all().await?.iter().map(|row| Ok((row.parse(0)?, row.get(1)?))).collect()
}

impl Tx {
    /// Writes down what events relate to, where they do. What was written down before stays.
    pub async fn relate(&mut self, events: &[StoredEvent]) -> Result<(), StoreError> {
        let sql = "INSERT INTO relations (event_no, event_id, room_no, target, rel_type, kind, sender, \
                   sent_ms, edits, position) VALUES (ROWS) ON CONFLICT (event_no) DO NOTHING";
        let row = |stored: &StoredEvent| -> Option<[db::Value; 10]> {
            let position = stored.position.filter(|_| stored.verdict == Verdict::Accepted)?;
            let (event, relation) = (&stored.event, relation(&stored.event)?);
            Some([
                stored.event_no.0.into(),
                event.id().as_str().into(),
                stored.room_no.into(),
                relation.target.as_str().into(),
                relation.rel_type.as_str().into(),
                (&*escape(&event.kind().to_string())).into(),
                event.sender().as_str().into(),
                stored.sent_ms().into(),
                relation.edits.into(),
                position.into(),
            ])
        };
        let rows: Vec<[db::Value; 10]> = events.iter().filter_map(row).collect();
        self.insert(sql, &rows).await
    }

    /// Forgets what an emptied event related to: its content said it.
    pub(super) async fn unrelate(&mut self, event_id: &EventId) -> Result<(), StoreError> {
        let sql = "DELETE FROM relations WHERE event_no = (SELECT event_no FROM events WHERE event_id = $1)";
        self.query(sql).bind(event_id.as_str()).run().await.map(drop)
    }
}

/// What an event relates to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The event.
    pub target: OwnedEventId,
    /// How.
    pub rel_type: String,
    /// Whether it has the form of an edit.
    pub edits: bool,
}

/// What an event says that it relates to (client-server API, forming relationships between events);
/// nothing where it says so in a way that cannot be.
#[must_use]
pub fn relation(event: &Event) -> Option<Relation> {
    let content = event.content().get();
    if !content.contains("\"m.relates_to\"") {
        return None;
    }
    let content: Value = serde_json::from_str(content).ok()?;
    let said = content.get("m.relates_to")?;
    let rel_type = said.get("rel_type")?.as_str()?;
    if rel_type.is_empty() || rel_type.len() > limits::ID_BYTES || rel_type.contains('\0') {
        return None;
    }
    let target = said.get("event_id")?.as_str().filter(|id| id.len() <= limits::ID_BYTES)?;
    let target = OwnedEventId::try_from(target).ok().filter(|_| !target.contains('\0'))?;
    // What is encrypted hides its new content within.
    let renews = content.get("m.new_content").is_some_and(Value::is_object)
        || event.kind().to_string() == "m.room.encrypted";
    let edits = rel_type == "m.replace" && event.state_key().is_none() && renews;
    Some(Relation { target, rel_type: rel_type.to_owned(), edits })
}
