//! Under which names people are found, and which rooms two of them share.

use std::collections::HashMap;

use ruma::{OwnedRoomId, OwnedUserId, UserId};

use super::{
    Reads, StoreError, Tx,
    db::{self, LIST_MOST},
};

/// Somebody as a search shows them.
#[derive(Clone, Debug)]
pub struct Found {
    /// Who.
    pub user_id: OwnedUserId,
    /// The name that they show.
    pub name: Option<String>,
    /// Their picture, an mxc URI.
    pub avatar_url: Option<String>,
}

/// People whose names fit who are looked at for one search, so that a single letter does not weigh
/// the standing of everybody.
const LOOKED_AT: i64 = 2_000;

/// People whose id or name holds a text in small letters, and whom `asker` may find: they share a room,
/// or are in one that is open to all. Those whose id begins with it come first.
pub async fn find(
    from: &mut impl Reads,
    asker: &UserId,
    text: &str,
    limit: i64,
) -> Result<Vec<Found>, StoreError> {
    let sql = "SELECT n.user_id, n.name, n.avatar_url FROM (SELECT user_id, name, avatar_url, \
        CASE WHEN folded LIKE $2 ESCAPE '~' THEN 0 ELSE 1 END AS place FROM names \
        WHERE folded LIKE $1 ESCAPE '~' AND user_id <> $3 ORDER BY 4, user_id LIMIT $4) AS n \
        WHERE EXISTS (SELECT 1 FROM memberships a JOIN memberships b ON b.room_no = a.room_no \
        WHERE a.user_id = n.user_id AND a.membership = 'join' AND b.user_id = $3 AND b.membership = 'join') \
        OR EXISTS (SELECT 1 FROM memberships a JOIN rooms r ON r.room_no = a.room_no \
        WHERE a.user_id = n.user_id AND a.membership = 'join' AND r.open = 1) \
        ORDER BY n.place, n.user_id LIMIT $5";
    let plain: String = text
        .chars()
        .flat_map(|letter| {
            let escaped = matches!(letter, '%' | '_' | '~').then_some('~');
            escaped.into_iter().chain([letter])
        })
        .collect();
    let begins = format!("@{}%", plain.trim_start_matches('@'));
    let query = from.conn().0.query(sql).bind(format!("%{plain}%")).bind(begins);
    let query = query.bind(asker.as_str()).bind(LOOKED_AT).bind(limit);
    let rows = query.all().await?;
    rows.iter()
        .map(|row| Ok(Found { user_id: row.parse(0)?, name: row.get(1)?, avatar_url: row.get(2)? }))
        .collect()
}

/// The rooms in which both people are, by their numbers, starting behind one.
pub async fn shared(
    from: &mut impl Reads,
    (one, other): (&UserId, &UserId),
    behind: i64,
    limit: i64,
) -> Result<Vec<(i64, OwnedRoomId)>, StoreError> {
    let sql = "SELECT r.room_no, r.room_id FROM memberships a JOIN memberships b ON b.room_no = a.room_no \
               JOIN rooms r ON r.room_no = a.room_no WHERE a.user_id = $1 AND a.membership = 'join' \
               AND b.user_id = $2 AND b.membership = 'join' AND a.room_no > $3 ORDER BY a.room_no LIMIT $4";
    let query = from.conn().0.query(sql).bind(one.as_str()).bind(other.as_str());
    let rows = query.bind(behind).bind(limit).all().await?;
    rows.iter().map(|row| Ok((row.get(0)?, row.parse(1)?))).collect()
}

/// In how many rooms both people are.
pub async fn shared_count(
    from: &mut impl Reads,
    one: &UserId,
    other: &UserId,
) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM memberships a JOIN memberships b ON b.room_no = a.room_no \
               WHERE a.user_id = $1 AND a.membership = 'join' AND b.user_id = $2 AND b.membership = 'join'";
    let row = from.conn().0.query(sql).bind(one.as_str()).bind(other.as_str()).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

impl Tx {
    /// Notes under which names people are found: those of their profiles, for those who have one here.
    /// Nobody stands twice among them.
    pub async fn note_names(&mut self, people: &[&UserId]) -> Result<(), StoreError> {
        let mut rows = Vec::with_capacity(people.len());
        for part in people.chunks(LIST_MOST) {
            let shown = self.shown_names(part).await?;
            let shown_as = |user_id: &UserId, name: &str| {
                shown.get(&(user_id.to_string(), name.to_owned())).cloned()
            };
            rows.extend(part.iter().map(|user_id| -> [db::Value; 4] {
                let name = shown_as(user_id, "displayname");
                let folded = format!("{user_id}\n{}", name.as_deref().unwrap_or_default());
                let avatar_url = shown_as(user_id, "avatar_url");
                let folded = folded.to_lowercase();
                [user_id.as_str().into(), folded.into(), name.into(), avatar_url.into()]
            }));
        }
        let sql = "INSERT INTO names (user_id, folded, name, avatar_url) VALUES (ROWS) \
                   ON CONFLICT (user_id) DO UPDATE SET folded = excluded.folded, name = excluded.name, \
                   avatar_url = excluded.avatar_url";
        self.insert(sql, &rows).await
    }

    /// The texts of people's profiles by which they are known, by their ids and the fields' names.
    async fn shown_names(
        &mut self,
        people: &[&UserId],
    ) -> Result<HashMap<(String, String), String>, StoreError> {
        let ids: Vec<&str> = people.iter().map(|user_id| user_id.as_str()).collect();
        let sql = "SELECT user_id, name, value FROM profile_fields \
                   WHERE name IN ('displayname', 'avatar_url') AND user_id IN (LIST)";
        let mut shown = HashMap::new();
        for row in self.query(sql).list(&ids).all().await? {
            let value: String = row.get(2)?;
            let text: Option<String> = serde_json::from_str(&value).ok();
            if let Some(text) = text.filter(|text| !text.contains('\0')) {
                shown.insert((row.get(0)?, row.get(1)?), text);
            }
        }
        Ok(shown)
    }

    /// Notes whether anybody may come into a room or read it.
    pub async fn open_room(&mut self, room_no: i64, open: bool) -> Result<(), StoreError> {
        let sql = "UPDATE rooms SET open = $2 WHERE room_no = $1";
        self.query(sql).bind(room_no).bind(open).run().await.map(drop)
    }
}
