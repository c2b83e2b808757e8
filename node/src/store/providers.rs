//! Who is known by which provider of identities.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// Whom a provider means by a name.
pub async fn linked(
    from: &mut impl Reads,
    issuer: &str,
    subject: &str,
) -> Result<Option<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM provider_links WHERE issuer = $1 AND subject = $2";
    let row = from.conn().0.query(sql).bind(issuer).bind(subject).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

/// Somebody's name with a provider.
#[derive(Clone, Debug)]
pub struct LinkRow {
    /// Whose name it is.
    pub issuer: String,
    /// The name.
    pub subject: String,
    /// When it was made known, in milliseconds since the epoch.
    pub linked_ms: i64,
}

/// By which names somebody is known, the oldest first.
pub async fn of_person(
    from: &mut impl Reads,
    user_id: &UserId,
    limit: i64,
) -> Result<Vec<LinkRow>, StoreError> {
    let sql = "SELECT issuer, subject, linked_ms FROM provider_links \
               WHERE user_id = $1 ORDER BY linked_ms, issuer, subject LIMIT $2";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).bind(limit).all().await?;
    let read = |row: &Row| {
        Ok(LinkRow { issuer: row.get(0)?, subject: row.get(1)?, linked_ms: row.get(2)? })
    };
    rows.iter().map(read).collect()
}

impl Tx {
    /// Makes somebody known by a provider; false where that name of it is somebody's already.
    pub async fn link(
        &mut self,
        issuer: &str,
        subject: &str,
        user_id: &UserId,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO provider_links (issuer, subject, user_id, linked_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (issuer, subject) DO NOTHING";
        let query = self.query(sql).bind(issuer).bind(subject).bind(user_id.as_str());
        Ok(query.bind(now_ms).run().await? > 0)
    }

    /// Lets a provider vouch no longer for somebody by that name; false where it did not.
    pub async fn unlink(
        &mut self,
        issuer: &str,
        subject: &str,
        user_id: &UserId,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM provider_links \
                   WHERE issuer = $1 AND subject = $2 AND user_id = $3";
        let query = self.query(sql).bind(issuer).bind(subject).bind(user_id.as_str());
        Ok(query.run().await? > 0)
    }

    /// Lets none vouch for somebody whose account ends.
    pub async fn unlink_all(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM provider_links WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }
}
