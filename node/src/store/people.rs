//! What belongs to a person: profile, account data, filters, receipts.

use std::collections::HashMap;

use ruma::{EventId, OwnedEventId, OwnedUserId, UserId};
use serde_json::value::RawValue;
use wayside_specs::limits;

use super::{
    Reads, StoreError, Tx,
    bus::Change,
    db::{LIST_MOST, Row},
};

/// One item of account data.
#[derive(Clone, Debug)]
pub struct DataItem {
    /// The room it belongs to, 0 for the account as a whole.
    pub room_no: i64,
    /// Its type.
    pub kind: String,
    /// Its content, a JSON object.
    pub content: String,
}

impl DataItem {
    /// The item as an event.
    pub fn event(&self) -> serde_json::Result<Box<RawValue>> {
        let kind = serde_json::to_string(&self.kind)?;
        RawValue::from_string(format!("{{\"type\":{kind},\"content\":{}}}", self.content))
    }
}

/// How far somebody has read in a room.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Who.
    pub user_id: OwnedUserId,
    /// `m.read` or `m.read.private`.
    pub kind: String,
    /// The thread, `main`, or nothing for the whole room.
    pub thread: Option<String>,
    /// The newest event that was read.
    pub event_id: OwnedEventId,
    /// When, in milliseconds since the epoch.
    pub sent_ms: i64,
}

/// Most receipts of one room in one answer: older ones of others are not told.
pub(super) const RECEIPTS: i64 = 2_000;

/// All profile fields of a person: name and JSON value.
pub async fn profile(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<(String, String)>, StoreError> {
    let sql = "SELECT name, value FROM profile_fields WHERE user_id = $1 ORDER BY name LIMIT $2";
    // Each field takes more than one byte of those that a profile may have.
    let most = i64::try_from(limits::PROFILE_BYTES).unwrap_or(i64::MAX);
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).bind(most).all().await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// One item of account data.
pub async fn data_item(
    from: &mut impl Reads,
    user_id: &UserId,
    room_no: i64,
    kind: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT content FROM account_data WHERE user_id = $1 AND room_no = $2 AND kind = $3";
    let row =
        from.conn().0.query(sql).bind(user_id.as_str()).bind(room_no).bind(kind).one().await?;
    row.map(|row| row.get(0)).transpose()
}

/// Account data of a person that changed after a position, in the order of the changes.
pub async fn data_since(
    from: &mut impl Reads,
    user_id: &UserId,
    since: i64,
) -> Result<Vec<DataItem>, StoreError> {
    let sql = "SELECT room_no, kind, content FROM account_data WHERE user_id = $1 AND position > $2 \
               ORDER BY position LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(since);
    query.bind(limits::ACCOUNT_DATA_ITEMS).all().await?.iter().map(read_item).collect()
}

/// All account data of a person of one room.
pub async fn data_of_room(
    from: &mut impl Reads,
    user_id: &UserId,
    room_no: i64,
) -> Result<Vec<DataItem>, StoreError> {
    let sql = "SELECT room_no, kind, content FROM account_data WHERE user_id = $1 AND room_no = $2 \
               ORDER BY position LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(room_no);
    query.bind(limits::ACCOUNT_DATA_ITEMS).all().await?.iter().map(read_item).collect()
}

/// How many items of account data a person has, and how many bytes these take.
pub async fn data_size(from: &mut impl Reads, user_id: &UserId) -> Result<(i64, i64), StoreError> {
    let sql = "SELECT count(*), CAST(coalesce(sum(bytes), 0) AS BIGINT) FROM account_data \
               WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    let row = row.ok_or(StoreError::Damaged("a sum gave no row"))?;
    Ok((row.get(0)?, row.get(1)?))
}

fn read_item(row: &Row) -> Result<DataItem, StoreError> {
    Ok(DataItem { room_no: row.get(0)?, kind: row.get(1)?, content: row.get(2)? })
}

/// A filter that a person stored.
pub async fn filter(
    from: &mut impl Reads,
    user_id: &UserId,
    filter_id: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT body FROM filters WHERE user_id = $1 AND filter_id = $2";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).bind(filter_id).one().await?;
    row.map(|row| row.get(0)).transpose()
}

/// Receipts of a room that moved after a position, as far as they are for `asker` to know: the
/// newest of all, and all of their own.
pub async fn receipts_since(
    from: &mut impl Reads,
    room_no: i64,
    asker: &UserId,
    since: i64,
) -> Result<Vec<Receipt>, StoreError> {
    let others = "SELECT user_id, kind, thread, event_id, sent_ms FROM receipts \
                  WHERE room_no = $1 AND position > $2 AND user_id <> $3 AND kind <> 'm.read.private' \
                  ORDER BY position DESC LIMIT $4";
    // In no order, so that the engines look under the person and not through the whole room.
    let own = "SELECT user_id, kind, thread, event_id, sent_ms FROM receipts \
               WHERE room_no = $1 AND position > $2 AND user_id = $3 LIMIT $4";
    let mut found = Vec::new();
    for sql in [others, own] {
        let query = from.conn().0.query(sql).bind(room_no).bind(since).bind(asker.as_str());
        for row in query.bind(RECEIPTS).all().await? {
            found.push(read_receipt(&row)?);
        }
    }
    Ok(found)
}

/// How far somebody has read a room, by all their receipts in it.
pub async fn receipts_of(
    from: &mut impl Reads,
    room_no: i64,
    user_id: &UserId,
) -> Result<Vec<Receipt>, StoreError> {
    let sql = "SELECT user_id, kind, thread, event_id, sent_ms FROM receipts \
               WHERE room_no = $1 AND user_id = $2 LIMIT $3";
    let query = from.conn().0.query(sql).bind(room_no).bind(user_id.as_str()).bind(RECEIPTS);
    query.all().await?.iter().map(read_receipt).collect()
}

/// The event up to which somebody has read a room or a thread of it, by one kind of receipt.
pub async fn receipt(
    from: &mut impl Reads,
    room_no: i64,
    (user_id, kind, thread): (&UserId, &str, Option<&str>),
) -> Result<Option<OwnedEventId>, StoreError> {
    let sql = "SELECT event_id FROM receipts \
               WHERE room_no = $1 AND user_id = $2 AND kind = $3 AND thread = $4";
    let query = from.conn().0.query(sql).bind(room_no).bind(user_id.as_str());
    let row = query.bind(kind).bind(thread.unwrap_or_default()).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

/// The receipt that somebody moved in a room at a position, unless it has moved on.
pub async fn receipt_at(
    from: &mut impl Reads,
    room_no: i64,
    user_id: &UserId,
    position: i64,
) -> Result<Option<Receipt>, StoreError> {
    let sql = "SELECT user_id, kind, thread, event_id, sent_ms FROM receipts \
               WHERE room_no = $1 AND user_id = $2 AND position = $3";
    let query = from.conn().0.query(sql).bind(room_no).bind(user_id.as_str()).bind(position);
    query.one().await?.as_ref().map(read_receipt).transpose()
}

/// Items of account data of one type of a person, by room.
pub async fn data_of_kind(
    from: &mut impl Reads,
    user_id: &UserId,
    kind: &str,
) -> Result<HashMap<i64, String>, StoreError> {
    let sql = "SELECT room_no, content FROM account_data WHERE user_id = $1 AND kind = $2 LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(kind);
    let rows = query.bind(limits::ACCOUNT_DATA_ITEMS).all().await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Items of account data of one type of these people, by person.
pub async fn data_of_people(
    from: &mut impl Reads,
    people: &[&UserId],
    kind: &str,
) -> Result<HashMap<OwnedUserId, String>, StoreError> {
    let sql = "SELECT user_id, content FROM account_data \
               WHERE room_no = 0 AND kind = $1 AND user_id IN (LIST)";
    let mut found = HashMap::new();
    for chunk in people.chunks(LIST_MOST) {
        let names: Vec<&str> = chunk.iter().map(|user_id| user_id.as_str()).collect();
        for row in from.conn().0.query(sql).bind(kind).list(&names).all().await? {
            found.insert(row.parse(0)?, row.get(1)?);
        }
    }
    Ok(found)
}

pub(super) fn read_receipt(row: &Row) -> Result<Receipt, StoreError> {
    let thread: String = row.get(2)?;
    Ok(Receipt {
        user_id: row.parse(0)?,
        kind: row.get(1)?,
        thread: Some(thread).filter(|thread| !thread.is_empty()),
        event_id: row.parse(3)?,
        sent_ms: row.get(4)?,
    })
}

impl Tx {
    /// Sets or removes one field of a profile; who shows another name is found by that.
    pub async fn set_profile_field(
        &mut self,
        user_id: &UserId,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), StoreError> {
        if let Some(value) = value {
            let sql = "INSERT INTO profile_fields (user_id, name, value) VALUES ($1, $2, $3) \
                       ON CONFLICT (user_id, name) DO UPDATE SET value = excluded.value";
            self.query(sql).bind(user_id.as_str()).bind(name).bind(value).run().await?;
        } else {
            let sql = "DELETE FROM profile_fields WHERE user_id = $1 AND name = $2";
            self.query(sql).bind(user_id.as_str()).bind(name).run().await?;
        }
        if matches!(name, "displayname" | "avatar_url") {
            self.note_names(&[user_id]).await
        } else {
            Ok(())
        }
    }

    /// Sets one item of account data and tells its owner's other devices.
    pub async fn set_data_item(
        &mut self,
        user_id: &UserId,
        item: &DataItem,
    ) -> Result<(), StoreError> {
        let position = self.next_number();
        let bytes = i64::try_from(item.kind.len() + item.content.len()).unwrap_or(i64::MAX);
        let sql = "INSERT INTO account_data (user_id, room_no, kind, content, position, bytes) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (user_id, room_no, kind) \
                   DO UPDATE SET content = excluded.content, position = excluded.position, \
                   bytes = excluded.bytes";
        self.query(sql)
            .bind(user_id.as_str())
            .bind(item.room_no)
            .bind(item.kind.as_str())
            .bind(item.content.as_str())
            .bind(position)
            .bind(bytes)
            .run()
            .await?;
        self.announce(Change::Person { user_id: user_id.to_owned(), position });
        Ok(())
    }

    /// Stores a filter; the oldest give way when there are too many.
    pub async fn add_filter(
        &mut self,
        user_id: &UserId,
        filter_id: &str,
        body: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO filters (user_id, filter_id, body, created_ms) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (user_id, filter_id) DO UPDATE SET created_ms = excluded.created_ms";
        self.query(sql)
            .bind(user_id.as_str())
            .bind(filter_id)
            .bind(body)
            .bind(now_ms)
            .run()
            .await?;
        let sql = "DELETE FROM filters WHERE user_id = $1 AND filter_id IN (SELECT filter_id FROM filters \
                   WHERE user_id = $1 ORDER BY created_ms DESC, filter_id LIMIT 1000 OFFSET $2)";
        self.query(sql).bind(user_id.as_str()).bind(limits::FILTERS_PER_USER).run().await.map(drop)
    }

    /// Moves a receipt; of a person's receipts in threads of one room the oldest give way when there
    /// are too many.
    pub async fn set_receipt(
        &mut self,
        room_no: i64,
        user_id: &UserId,
        kind: &str,
        thread: Option<&str>,
        event_id: &EventId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let position = self.next_number();
        let sql = "INSERT INTO receipts (room_no, user_id, kind, thread, event_id, sent_ms, position) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (room_no, user_id, kind, thread) DO UPDATE \
                   SET event_id = excluded.event_id, sent_ms = excluded.sent_ms, position = excluded.position";
        self.query(sql)
            .bind(room_no)
            .bind(user_id.as_str())
            .bind(kind)
            .bind(thread.unwrap_or_default())
            .bind(event_id.as_str())
            .bind(now_ms)
            .bind(position)
            .run()
            .await?;
        if thread.is_some() {
            let sql = "DELETE FROM receipts WHERE room_no = $1 AND user_id = $2 AND thread <> '' \
                       AND position <= (SELECT position FROM receipts WHERE room_no = $1 AND user_id = $2 \
                       AND thread <> '' ORDER BY position DESC LIMIT 1 OFFSET $3)";
            let query = self.query(sql).bind(room_no).bind(user_id.as_str());
            query.bind(limits::THREAD_RECEIPTS_PER_USER).run().await?;
        }
        let private = kind == "m.read.private";
        let user_id = user_id.to_owned();
        self.announce(Change::Receipt { room_no, user_id, private, position });
        Ok(())
    }
}
