//! Where friendship is spoken of, and which records of it prove themselves.

use std::collections::HashMap;

use ruma::{OwnedUserId, UserId};
use wayside_federation::state::EventNo;
use wayside_specs::{Did, limits};

use super::{
    Reads, StoreError, Tx,
    db::LIST_MOST,
    rooms::Membership,
    text::{escape, unescape},
};

/// What somebody says of friendship in a room.
#[derive(Clone, Debug)]
pub struct Word {
    /// The room.
    pub room_no: i64,
    /// How whoever asks stands to it.
    pub standing: Membership,
    /// Who says it.
    pub by: OwnedUserId,
    /// How they stand to it.
    pub theirs: Membership,
    /// The event.
    pub event_no: EventNo,
}

/// A record of friendship that was looked into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The DID of whoever says it, where it proves itself.
    pub did: Option<Did>,
    /// The accounts that they say they have left.
    pub formerly: Vec<OwnedUserId>,
    /// When it was looked into, in milliseconds since the epoch.
    pub checked_ms: i64,
}

/// What is said of friendship in the rooms in which somebody is, or to which they were invited: by those who are
/// there too, in rooms of two, and by themselves. Of too many those count first in which they are.
pub async fn words(
    from: &mut impl Reads,
    user_id: &UserId,
    kind: &str,
) -> Result<Vec<Word>, StoreError> {
    let sql = "SELECT m.room_no, m.membership, s.state_key, o.membership, s.event_no \
               FROM memberships m JOIN rooms r ON r.room_no = m.room_no \
               JOIN room_state s ON s.room_no = m.room_no AND s.kind = $2 \
               JOIN memberships o ON o.room_no = m.room_no AND o.user_id = s.state_key \
               AND o.membership IN ('join', 'invite') \
               WHERE m.user_id = $1 AND m.membership IN ('join', 'invite') \
               AND (r.joined <= 2 OR s.state_key = $1) \
               ORDER BY m.membership DESC, m.room_no, s.state_key LIMIT $3";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(&*escape(kind));
    let rows = query.bind(limits::FRIEND_WORDS).all().await?;
    let mut found = Vec::new();
    for row in &rows {
        // Whoever says it without being somebody says nothing.
        let Ok(by) = unescape(row.get(2)?).try_into() else { continue };
        let known = |at: usize| -> Result<Membership, StoreError> {
            let parsed = Membership::parse(&row.get::<String>(at)?);
            parsed.ok_or(StoreError::Damaged("a membership is unknown"))
        };
        let (standing, theirs) = (known(1)?, known(3)?);
        found.push(Word {
            room_no: row.get(0)?,
            standing,
            by,
            theirs,
            event_no: EventNo(row.get(4)?),
        });
    }
    Ok(found)
}

/// What was shown to somebody of rooms elsewhere to which they are invited: room and stripped state, the newest
/// first.
pub async fn at_doors(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Vec<(i64, String)>, StoreError> {
    let sql = "SELECT m.room_no, d.shown FROM memberships m \
               JOIN doors d ON d.room_no = m.room_no AND d.user_id = m.user_id \
               WHERE m.user_id = $1 AND m.membership = 'invite' ORDER BY m.position DESC LIMIT $2";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(limits::FRIENDS);
    query.all().await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

/// Who speaks of friendship in a room.
pub async fn speak_in(
    from: &mut impl Reads,
    room_no: i64,
    kind: &str,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT state_key FROM room_state WHERE room_no = $1 AND kind = $2 LIMIT $3";
    let query = from.conn().0.query(sql).bind(room_no).bind(&*escape(kind));
    let rows = query.bind(limits::FRIEND_WORDS).all().await?;
    let mut found = Vec::new();
    for row in &rows {
        // Whoever says it without being somebody says nothing.
        found.extend(UserId::parse(unescape(row.get(0)?)).ok());
    }
    Ok(found)
}

/// Those of some records that were looked into, by their hashes.
pub async fn checked(
    from: &mut impl Reads,
    hashes: &[[u8; 32]],
) -> Result<HashMap<[u8; 32], Checked>, StoreError> {
    let sql = "SELECT hash, did, checked_ms, formerly FROM friend_records WHERE hash IN (LIST)";
    let mut found = HashMap::new();
    for chunk in hashes.chunks(LIST_MOST) {
        let chunk: Vec<&[u8]> = chunk.iter().map(<[u8; 32]>::as_slice).collect();
        for row in from.conn().0.query(sql).list(&chunk).all().await? {
            let hash: Vec<u8> = row.get(0)?;
            let hash = hash.try_into().map_err(|_| StoreError::Damaged("a hash has 32 bytes"))?;
            let did: Option<String> = row.get(1)?;
            let did = did.and_then(|did| did.parse().ok());
            let formerly = serde_json::from_str(&row.get::<String>(3)?);
            let formerly =
                formerly.map_err(|_| StoreError::Damaged("a list of accounts is none"))?;
            found.insert(hash, Checked { did, formerly, checked_ms: row.get(2)? });
        }
    }
    Ok(found)
}

impl Tx {
    /// Keeps what came of looking into a record: whose it is, or why it is nobody's.
    pub async fn note_checked(
        &mut self,
        hash: &[u8; 32],
        user_id: &UserId,
        came: Result<(&Did, &[OwnedUserId]), &str>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO friend_records (hash, user_id, did, problem, checked_ms, formerly) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (hash) DO UPDATE \
                   SET did = excluded.did, problem = excluded.problem, \
                   checked_ms = excluded.checked_ms, formerly = excluded.formerly";
        let (did, problem) = (came.ok().map(|(did, _)| did.as_str()), came.err());
        let formerly = serde_json::json!(came.map(|(_, formerly)| formerly).unwrap_or_default());
        let query = self.query(sql).bind(&hash[..]).bind(user_id.as_str());
        let query = query.bind(did).bind(problem).bind(now_ms);
        query.bind(formerly.to_string()).run().await?;
        let sql = "DELETE FROM friend_records WHERE checked_ms < \
                   (SELECT checked_ms FROM friend_records ORDER BY checked_ms DESC LIMIT 1 OFFSET $1)";
        self.query(sql).bind(limits::FRIEND_RECORDS).run().await.map(drop)
    }

    /// Notes by what DID an account is compared, and keeps that.
    pub async fn keep_subject(
        &mut self,
        subject: &str,
        user_id: &UserId,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO visitors (subject, user_id, seen_ms, kept) VALUES ($1, $2, $3, 1) \
                   ON CONFLICT (subject, user_id) DO UPDATE SET kept = 1";
        let query = self.query(sql).bind(subject).bind(user_id.as_str()).bind(now_ms);
        query.run().await.map(drop)
    }
}
