//! What opens a device, what renews it, and what somebody has let a client fetch.

use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, accounts::NewTokens, bus::Change, db::Row};

/// A device whose refresh token was shown.
#[derive(Clone, Debug)]
pub struct Renewable {
    /// Whose.
    pub user_id: OwnedUserId,
    /// Which device.
    pub device_id: OwnedDeviceId,
    /// The OAuth client that it was given to.
    pub client_id: Option<String>,
}

/// What a refresh token led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Renewed {
    /// A new pair of tokens.
    Done,
    /// Nothing: it is unknown, or somebody else's.
    Unknown,
    /// It had been replaced by one that is in use: two hold what only one should, so neither
    /// comes in by it any more.
    Twice,
}

/// What somebody has let a client fetch.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Who.
    pub user_id: OwnedUserId,
    /// What was asked for, in the words of who keeps it.
    pub asked: Option<String>,
    /// The device that it made, where it was used.
    pub used_by: Option<String>,
}

/// What a refresh token renews, if anything.
pub async fn renewable(
    from: &mut impl Reads,
    refresh_hash: &[u8; 32],
) -> Result<Option<Renewable>, StoreError> {
    let sql = "SELECT t.user_id, t.device_id, t.client_id FROM access_tokens t \
               JOIN accounts a ON a.user_id = t.user_id \
               WHERE t.refresh_hash = $1 AND a.ended_ms IS NULL";
    let row = from.conn().0.query(sql).bind(refresh_hash.as_slice()).one().await?;
    row.map(|row| read_renewable(&row)).transpose()
}

/// Which device a token opens or renews, and which OAuth client was given it.
pub async fn device_of(
    from: &mut impl Reads,
    hash: &[u8; 32],
) -> Result<Option<Renewable>, StoreError> {
    let sql = "SELECT user_id, device_id, client_id FROM access_tokens \
               WHERE token_hash = $1 OR refresh_hash = $1";
    let row = from.conn().0.query(sql).bind(hash.as_slice()).one().await?;
    row.map(|row| read_renewable(&row)).transpose()
}

fn read_renewable(row: &Row) -> Result<Renewable, StoreError> {
    let device_id: String = row.get(1)?;
    Ok(Renewable { user_id: row.parse(0)?, device_id: device_id.into(), client_id: row.get(2)? })
}

/// The OAuth client that was let in on a device, if one was.
pub async fn client_of(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &str,
) -> Result<Option<String>, StoreError> {
    let sql = "SELECT client_id FROM access_tokens \
               WHERE user_id = $1 AND device_id = $2 AND client_id IS NOT NULL LIMIT 1";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id);
    query.one().await?.map(|row| row.get(0)).transpose()
}

/// What a grant lets its holder do, used or not, if it has not ended.
pub async fn grant(
    from: &mut impl Reads,
    grant_hash: &[u8; 32],
    now_ms: i64,
) -> Result<Option<Grant>, StoreError> {
    let sql = "SELECT g.user_id, g.asked, g.used_by FROM login_grants g \
               JOIN accounts a ON a.user_id = g.user_id \
               WHERE g.grant_hash = $1 AND g.expires_ms > $2 AND a.ended_ms IS NULL";
    let row = from.conn().0.query(sql).bind(grant_hash.as_slice()).bind(now_ms).one().await?;
    row.map(|row| Ok(Grant { user_id: row.parse(0)?, asked: row.get(1)?, used_by: row.get(2)? }))
        .transpose()
}

impl Tx {
    /// Gives a device what opens it; `spent` is the refresh token that was shown for it, which is
    /// good until something of the new pair is used.
    pub(super) async fn add_tokens(
        &mut self,
        user_id: &UserId,
        device_id: &str,
        tokens: &NewTokens,
        client_id: Option<&str>,
        spent: Option<&[u8; 32]>,
    ) -> Result<(), StoreError> {
        let (refresh, expires_ms) = tokens.renewal.unzip();
        let sql = "INSERT INTO access_tokens (token_hash, user_id, device_id, expires_ms, refresh_hash, \
                   spent_hash, confirmed, client_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        self.query(sql)
            .bind(tokens.access_hash.as_slice())
            .bind(user_id.as_str())
            .bind(device_id)
            .bind(expires_ms)
            .bind(refresh.map(|hash| hash.to_vec()))
            .bind(spent.map(|hash| hash.to_vec()))
            .bind(spent.is_none())
            .bind(client_id)
            .run()
            .await
            .map(drop)
    }

    /// Makes everything worthless that opens a device.
    pub(super) async fn forget_tokens(
        &mut self,
        user_id: &UserId,
        device_id: &str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM access_tokens WHERE user_id = $1 AND device_id = $2";
        self.query(sql).bind(user_id.as_str()).bind(device_id).run().await.map(drop)
    }

    /// Notes that a token that replaced another is used: the other is worth nothing now.
    pub async fn confirm_token(&mut self, token_hash: &[u8; 32]) -> Result<(), StoreError> {
        let sql = "DELETE FROM access_tokens WHERE refresh_hash = \
                   (SELECT spent_hash FROM access_tokens WHERE token_hash = $1 AND confirmed = 0)";
        self.query(sql).bind(token_hash.as_slice()).run().await?;
        let sql = "UPDATE access_tokens SET confirmed = 1 WHERE token_hash = $1 AND confirmed = 0";
        self.query(sql).bind(token_hash.as_slice()).run().await.map(drop)
    }

    /// Renews what opens a device, for the client to which it was given.
    pub async fn renew(
        &mut self,
        refresh_hash: &[u8; 32],
        client_id: Option<&str>,
        tokens: &NewTokens,
    ) -> Result<Renewed, StoreError> {
        let Some(known) = renewable(self, refresh_hash).await? else {
            return self.shown_twice(refresh_hash).await;
        };
        if known.client_id.as_deref() != client_id {
            return Ok(Renewed::Unknown);
        }
        // By being shown it proves that its own pair arrived.
        let sql = "SELECT token_hash FROM access_tokens WHERE refresh_hash = $1";
        if let Some(row) = self.query(sql).bind(refresh_hash.as_slice()).one().await? {
            self.confirm_token(&row.array(0)?).await?;
        }
        // An answer that was lost is given again, with other tokens.
        let sql = "DELETE FROM access_tokens WHERE spent_hash = $1";
        self.query(sql).bind(refresh_hash.as_slice()).run().await?;
        let (user_id, device_id) = (&known.user_id, known.device_id.as_str());
        self.add_tokens(user_id, device_id, tokens, client_id, Some(refresh_hash)).await?;
        Ok(Renewed::Done)
    }

    async fn shown_twice(&mut self, refresh_hash: &[u8; 32]) -> Result<Renewed, StoreError> {
        let sql = "SELECT user_id, device_id FROM access_tokens WHERE spent_hash = $1";
        let row = self.query(sql).bind(refresh_hash.as_slice()).one().await?;
        let Some(row) = row else { return Ok(Renewed::Unknown) };
        let (user_id, device_id): (OwnedUserId, String) = (row.parse(0)?, row.get(1)?);
        self.lock_device(&user_id, &device_id).await?;
        Ok(Renewed::Twice)
    }

    /// Ends what opens a device, as if its time were over: its keys stay, for when its person signs in
    /// on it again.
    pub async fn lock_device(
        &mut self,
        user_id: &UserId,
        device_id: &str,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE access_tokens SET expires_ms = 0, refresh_hash = NULL, spent_hash = NULL \
                   WHERE user_id = $1 AND device_id = $2";
        self.query(sql).bind(user_id.as_str()).bind(device_id).run().await?;
        let position = self.next_number();
        self.announce(Change::Account { user_id: user_id.to_owned(), position });
        Ok(())
    }

    /// Keeps what somebody lets a client fetch.
    pub async fn add_grant(
        &mut self,
        grant_hash: &[u8; 32],
        user_id: &UserId,
        asked: Option<&str>,
        expires_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO login_grants (grant_hash, user_id, asked, expires_ms) VALUES ($1, $2, $3, $4)";
        let query = self.query(sql).bind(grant_hash.as_slice()).bind(user_id.as_str());
        query.bind(asked).bind(expires_ms).run().await.map(drop)
    }

    /// Notes that a grant was used, by which device; false where it was before.
    pub async fn use_grant(
        &mut self,
        grant_hash: &[u8; 32],
        device_id: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE login_grants SET used_by = $2 WHERE grant_hash = $1 AND used_by IS NULL";
        Ok(self.query(sql).bind(grant_hash.as_slice()).bind(device_id).run().await? > 0)
    }
}
