//! Rooms that are deleted: the work of it, from which it goes on after a restart, and what is blocked.

use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::value::RawValue;
use wayside_federation::state::{EventNo, Node, NodeId};

use super::{Reads, StoreError, Tx, bus::Change, db::Row, loose, state};

/// A room that is being deleted, or was.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// The name of the work.
    pub delete_id: String,
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its number here.
    pub room_no: i64,
    /// What was asked for, as JSON.
    pub wish: String,
    /// How far it is.
    pub stage: Stage,
    /// Why it failed.
    pub error: Option<String>,
    /// Whom it removed and what it moved, as JSON.
    pub result: String,
    /// How many events it has purged.
    pub purged: i64,
}

/// How far the deletion of a room is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Under way.
    Active,
    /// Done.
    Complete,
    /// It will not be done.
    Failed,
}

impl Stage {
    /// The word for it, in the store and outside.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Active, Self::Complete, Self::Failed].into_iter().find(|it| it.as_str() == word)
    }
}

/// A room that was deleted, for somebody who stood in it.
#[derive(Clone, Debug)]
pub struct Gone {
    /// The number that it had here.
    pub room_no: i64,
    /// The room.
    pub room_id: OwnedRoomId,
    /// Where in the stream they were out.
    pub position: i64,
    /// The event that led them out, as clients see it.
    pub event: Option<Box<RawValue>>,
}

/// Works that are remembered; the oldest are forgotten.
const REMEMBERED: i64 = 1_000;
/// Nodes of state trees that are removed in one go.
const NODES_AT_ONCE: usize = 2_000;
/// Tables that hold something of a room by its number, beside its events.
const OF_A_ROOM: &[&str] = &[
    "DELETE FROM aliases WHERE room_no = $1",
    "DELETE FROM room_state WHERE room_no = $1",
    "DELETE FROM memberships WHERE room_no = $1",
    "DELETE FROM account_data WHERE room_no = $1",
    "DELETE FROM receipts WHERE room_no = $1",
    "DELETE FROM relations WHERE room_no = $1",
    "DELETE FROM unread WHERE room_no = $1",
    "DELETE FROM places WHERE room_no = $1",
    "DELETE FROM list_bans WHERE room_no = $1",
    "DELETE FROM admitted WHERE room_no = $1",
    "DELETE FROM room_servers WHERE room_no = $1",
    "DELETE FROM auth_edges WHERE room_no = $1",
    "DELETE FROM doors WHERE room_no = $1",
    "DELETE FROM gaps WHERE room_no = $1",
    "DELETE FROM early_redactions WHERE room_no = $1",
    "DELETE FROM network_rooms WHERE room_no = $1",
    "DELETE FROM outgoing_rooms WHERE room_no = $1",
    "DELETE FROM rooms WHERE room_no = $1",
];

/// The rooms that are deleted and that somebody was led out of after a position.
pub async fn gone_after(
    from: &mut impl Reads,
    user_id: &UserId,
    position: i64,
) -> Result<Vec<Gone>, StoreError> {
    // One that other servers still have may be known here again.
    let sql = "SELECT g.room_no, g.room_id, g.position, g.event FROM gone_rooms g \
               WHERE g.user_id = $1 AND g.position > $2 \
               AND NOT EXISTS (SELECT 1 FROM rooms r WHERE r.room_id = g.room_id) ORDER BY g.position";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(position);
    query
        .all()
        .await?
        .iter()
        .map(|row| {
            let event: Option<String> = row.get(3)?;
            let event = event.map(RawValue::from_string).transpose();
            Ok(Gone {
                room_no: row.get(0)?,
                room_id: row.parse(1)?,
                position: row.get(2)?,
                event: event.map_err(|_| StoreError::Damaged("an event is no JSON"))?,
            })
        })
        .collect()
}

/// The work of that name.
pub async fn deletion(
    from: &mut impl Reads,
    delete_id: &str,
) -> Result<Option<Deletion>, StoreError> {
    let sql = "SELECT delete_id, room_id, room_no, wish, status, error, result, purged \
               FROM room_deletions WHERE delete_id = $1";
    let row = from.conn().0.query(sql).bind(delete_id).one().await?;
    row.as_ref().map(read).transpose()
}

/// The works on a room, the oldest first; without one, those that are under way.
pub async fn deletions(
    from: &mut impl Reads,
    room_id: Option<&RoomId>,
) -> Result<Vec<Deletion>, StoreError> {
    let sql = "SELECT delete_id, room_id, room_no, wish, status, error, result, purged FROM room_deletions \
               WHERE room_id = $1 OR ($1 = '' AND status = 'active') ORDER BY begun_ms, delete_id LIMIT $2";
    let query = from.conn().0.query(sql).bind(room_id.map(RoomId::as_str).unwrap_or_default());
    query.bind(REMEMBERED).all().await?.iter().map(read).collect()
}

/// Whether nobody may come into a room any more.
pub async fn is_blocked(from: &mut impl Reads, room_id: &RoomId) -> Result<bool, StoreError> {
    let sql = "SELECT room_id FROM blocked_rooms WHERE room_id = $1";
    Ok(from.conn().0.query(sql).bind(room_id.as_str()).one().await?.is_some())
}

fn read(row: &Row) -> Result<Deletion, StoreError> {
    let stage: String = row.get(4)?;
    Ok(Deletion {
        delete_id: row.get(0)?,
        room_id: row.parse(1)?,
        room_no: row.get(2)?,
        wish: row.get(3)?,
        stage: Stage::parse(&stage).ok_or(StoreError::Damaged("a stored stage is unknown"))?,
        error: row.get(5)?,
        result: row.get(6)?,
        purged: row.get(7)?,
    })
}

impl Tx {
    /// Lets nobody come into a room any more.
    pub async fn block_room(
        &mut self,
        room_id: &RoomId,
        by: &UserId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO blocked_rooms (room_id, blocked_by, blocked_ms) VALUES ($1, $2, $3) \
                   ON CONFLICT (room_id) DO NOTHING";
        let query = self.query(sql).bind(room_id.as_str()).bind(by.as_str()).bind(now_ms);
        query.run().await.map(drop)
    }

    /// Writes a work down that begins, and forgets the oldest of those that are over.
    pub async fn begin_deletion(
        &mut self,
        deletion: &Deletion,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO room_deletions (delete_id, room_id, room_no, wish, status, result, purged, begun_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, 0, $7)";
        self.query(sql)
            .bind(deletion.delete_id.as_str())
            .bind(deletion.room_id.as_str())
            .bind(deletion.room_no)
            .bind(deletion.wish.as_str())
            .bind(deletion.stage.as_str())
            .bind(deletion.result.as_str())
            .bind(now_ms)
            .run()
            .await?;
        let sql = "DELETE FROM room_deletions WHERE status <> 'active' AND begun_ms <= \
                   (SELECT begun_ms FROM room_deletions ORDER BY begun_ms DESC LIMIT 1 OFFSET $1)";
        self.query(sql).bind(REMEMBERED).run().await.map(drop)
    }

    /// Notes how far a work is.
    pub async fn note_deletion(&mut self, deletion: &Deletion) -> Result<(), StoreError> {
        let sql = "UPDATE room_deletions SET status = $2, error = $3, result = $4, purged = $5 \
                   WHERE delete_id = $1";
        self.query(sql)
            .bind(deletion.delete_id.as_str())
            .bind(deletion.stage.as_str())
            .bind(deletion.error.as_deref())
            .bind(deletion.result.as_str())
            .bind(deletion.purged)
            .run()
            .await
            .map(drop)
    }

    /// Writes down for somebody that a room is gone in which they stood.
    pub async fn note_gone(&mut self, user_id: &UserId, gone: &Gone) -> Result<(), StoreError> {
        let sql = "INSERT INTO gone_rooms (user_id, room_no, room_id, position, event) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (user_id, room_no) DO NOTHING";
        let query = self.query(sql).bind(user_id.as_str()).bind(gone.room_no);
        let query = query.bind(gone.room_id.as_str()).bind(gone.position);
        query.bind(gone.event.as_deref().map(RawValue::get)).run().await?;
        let position = self.next_number();
        self.announce(Change::Person { user_id: user_id.to_owned(), position });
        Ok(())
    }

    /// Removes a room, so that nothing of it is found any more; its events are purged behind that.
    pub async fn remove_room(&mut self, room_no: i64) -> Result<(), StoreError> {
        for sql in OF_A_ROOM {
            self.query(sql).bind(room_no).run().await?;
        }
        Ok(())
    }

    /// Purges some events of a room that was removed, with all that hangs on them; gives how many.
    /// Nothing is left of the room when it gives none and says that it is done.
    pub async fn purge_events(
        &mut self,
        room_no: i64,
        limit: i64,
    ) -> Result<(i64, bool), StoreError> {
        let sql = "SELECT event_no, event_id, state_before, state_after, room_before, room_after FROM events \
                   WHERE room_no = $1 ORDER BY event_no LIMIT $2";
        let rows = self.query(sql).bind(room_no).bind(limit).all().await?;
        let (mut purged, mut budget) = (0, NODES_AT_ONCE);
        if rows.is_empty() {
            for (root, _) in loose::of_room(self, room_no).await? {
                if !self.forget_tree(root, &mut budget).await? {
                    return Ok((0, false));
                }
                self.fasten(room_no, &[root], i64::MAX).await?;
            }
            return Ok((0, true));
        }
        for row in &rows {
            for at in 2..6 {
                if let Some(root) = row.maybe_array(at)?
                    && !self.forget_tree(NodeId(root), &mut budget).await?
                {
                    return Ok((purged, false));
                }
            }
            let (event_no, event_id): (i64, String) = (row.get(0)?, row.get(1)?);
            let sql = "DELETE FROM transactions WHERE event_id = $1";
            self.query(sql).bind(event_id.as_str()).run().await?;
            self.keep_waiting(EventNo(event_no)).await?;
            self.drop_events(&[EventNo(event_no)]).await?;
            purged += 1;
        }
        Ok((purged, false))
    }

    /// Removes a state tree from its leaves on, as far as the budget of nodes allows; whether all of
    /// it is gone. Trees name events by their numbers, so that no two rooms share a part of one.
    async fn forget_tree(&mut self, root: NodeId, budget: &mut usize) -> Result<bool, StoreError> {
        let mut open = vec![(root, false)];
        while let Some((id, seen)) = open.pop() {
            if id == NodeId::EMPTY {
                continue;
            }
            if !seen {
                // What is not there any more was removed with another tree.
                let Some(node) = state::node(self, id).await? else { continue };
                open.push((id, true));
                if let Node::Branch(branch) = &*node {
                    open.extend(branch.children().map(|(_, child)| (child.id, false)));
                }
                continue;
            }
            let Some(left) = budget.checked_sub(1) else { return Ok(false) };
            *budget = left;
            let sql = "DELETE FROM state_nodes WHERE node_id = $1";
            self.query(sql).bind(id.0.as_slice()).run().await?;
        }
        Ok(true)
    }
}

#[cfg(test)]
impl Tx {
    /// How many rows anywhere belong to a room, and how many nodes of state trees there are in all.
    pub(crate) async fn traces_of_room(&mut self, room_no: i64) -> Result<(i64, i64), StoreError> {
        let mut rows = 0;
        for sql in [
            "SELECT count(*) FROM rooms WHERE room_no = $1",
            "SELECT count(*) FROM events WHERE room_no = $1",
            "SELECT count(*) FROM aliases WHERE room_no = $1",
            "SELECT count(*) FROM room_state WHERE room_no = $1",
            "SELECT count(*) FROM memberships WHERE room_no = $1",
            "SELECT count(*) FROM account_data WHERE room_no = $1",
            "SELECT count(*) FROM receipts WHERE room_no = $1",
            "SELECT count(*) FROM relations WHERE room_no = $1",
            "SELECT count(*) FROM unread WHERE room_no = $1",
            "SELECT count(*) FROM places WHERE room_no = $1",
            "SELECT count(*) FROM network_rooms WHERE room_no = $1",
            "SELECT count(*) FROM outgoing_events WHERE room_no = $1 AND pdu IS NULL",
            "SELECT count(*) FROM outgoing_rooms WHERE room_no = $1",
            "SELECT count(*) FROM loose_states WHERE room_no = $1",
            "SELECT count(*) FROM transactions t WHERE $1 > 0 AND t.event_id <> '' \
             AND NOT EXISTS (SELECT 1 FROM events e WHERE e.event_id = t.event_id)",
        ] {
            let row = self.query(sql).bind(room_no).one().await?;
            rows += row.ok_or(StoreError::Damaged("a count gave no row"))?.get::<i64>(0)?;
        }
        let row = self.query("SELECT count(*) FROM state_nodes").one().await?;
        Ok((rows, row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)?))
    }
}
