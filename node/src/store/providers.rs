//! Who is known by which provider of identities.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx};

/// A provider that vouches for somebody.
#[derive(Clone, Debug)]
pub struct Link {
    /// Which.
    pub issuer: String,
    /// When they were made known to each other, in milliseconds since the epoch.
    pub linked_ms: i64,
    /// When it last vouched.
    pub used_ms: i64,
}

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

/// The providers that vouch for somebody.
pub async fn links(from: &mut impl Reads, user_id: &UserId) -> Result<Vec<Link>, StoreError> {
    let sql = "SELECT issuer, linked_ms, used_ms FROM provider_links WHERE user_id = $1 \
               ORDER BY linked_ms, issuer";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).all().await?;
    rows.iter()
        .map(|row| Ok(Link { issuer: row.get(0)?, linked_ms: row.get(1)?, used_ms: row.get(2)? }))
        .collect()
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
        let sql = "INSERT INTO provider_links (issuer, subject, user_id, linked_ms, used_ms) \
                   VALUES ($1, $2, $3, $4, $4) ON CONFLICT (issuer, subject) DO NOTHING";
        let query = self.query(sql).bind(issuer).bind(subject).bind(user_id.as_str());
        Ok(query.bind(now_ms).run().await? > 0)
    }

    /// Notes that a provider vouched for somebody.
    pub async fn note_link(
        &mut self,
        issuer: &str,
        subject: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE provider_links SET used_ms = $3 WHERE issuer = $1 AND subject = $2";
        self.query(sql).bind(issuer).bind(subject).bind(now_ms).run().await.map(drop)
    }

    /// Lets a provider vouch for somebody no more; false where it did not.
    pub async fn unlink(&mut self, issuer: &str, user_id: &UserId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM provider_links WHERE issuer = $1 AND user_id = $2";
        Ok(self.query(sql).bind(issuer).bind(user_id.as_str()).run().await? > 0)
    }

    /// Lets none vouch for somebody whose account ends.
    pub async fn unlink_all(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM provider_links WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }
}
