//! What newcomers showed on the node's own pages, for registrations that wait for it.

use super::{Reads, StoreError, Tx};

/// What somebody showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing, which is enough on an open node.
    Nothing,
    /// An invitation, by its hash.
    Invitation([u8; 32]),
    /// That they read what is sent to an address, by the id of that proof.
    Email(String),
}

/// What was shown in a session, if anything was.
pub async fn shown(
    from: &mut impl Reads,
    session_hash: &[u8; 32],
    now_ms: i64,
) -> Result<Option<Shown>, StoreError> {
    let sql = "SELECT invitation_hash, sid FROM registrations \
               WHERE session_hash = $1 AND expires_ms > $2";
    let query = from.conn().0.query(sql).bind(session_hash.as_slice()).bind(now_ms);
    let Some(row) = query.one().await? else { return Ok(None) };
    let shown = match (row.maybe_array(0)?, row.get::<Option<String>>(1)?) {
        (Some(hash), _) => Shown::Invitation(hash),
        (None, Some(sid)) => Shown::Email(sid),
        (None, None) => Shown::Nothing,
    };
    Ok(Some(shown))
}

impl Tx {
    /// Keeps what was shown in a session; the newest counts.
    pub async fn keep_registration(
        &mut self,
        session_hash: &[u8; 32],
        shown: &Shown,
        expires_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO registrations (session_hash, invitation_hash, sid, expires_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (session_hash) DO UPDATE \
                   SET invitation_hash = excluded.invitation_hash, sid = excluded.sid";
        let (invitation, sid) = match shown {
            Shown::Nothing => (None, None),
            Shown::Invitation(hash) => (Some(hash.to_vec()), None),
            Shown::Email(sid) => (None, Some(sid.clone())),
        };
        let query = self.query(sql).bind(session_hash.as_slice()).bind(invitation).bind(sid);
        query.bind(expires_ms).run().await.map(drop)
    }

    /// Forgets a session that has served.
    pub async fn drop_registration(&mut self, session_hash: &[u8; 32]) -> Result<(), StoreError> {
        let sql = "DELETE FROM registrations WHERE session_hash = $1";
        self.query(sql).bind(session_hash.as_slice()).run().await.map(drop)
    }

    /// Forgets sessions that are over, a few at once; how many.
    pub async fn forget_registrations(
        &mut self,
        now_ms: i64,
        limit: i64,
    ) -> Result<u64, StoreError> {
        let sql = "DELETE FROM registrations WHERE session_hash IN \
                   (SELECT session_hash FROM registrations WHERE expires_ms <= $1 \
                   ORDER BY expires_ms LIMIT $2)";
        self.query(sql).bind(now_ms).bind(limit).run().await
    }
}
