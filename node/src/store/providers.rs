//! Who is known by which provider of identities.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx};

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

    /// Lets none vouch for somebody whose account ends.
    pub async fn unlink_all(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM provider_links WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }
}
