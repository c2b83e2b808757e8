//! Passkeys of accounts, and the challenges that were answered with them.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// A passkey.
#[derive(Clone, Debug)]
pub struct PasskeyRow {
    /// Its short name.
    pub passkey_id: String,
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// What its owner calls it.
    pub name: String,
    /// Its public key and what is remembered of it, as JSON.
    pub credential: String,
    /// When it was added, in milliseconds since the epoch.
    pub created_ms: i64,
    /// When it was used last, in milliseconds since the epoch.
    pub used_ms: Option<i64>,
}

/// The passkeys of an account, the oldest first.
pub async fn of_person(
    from: &mut impl Reads,
    user_id: &UserId,
    limit: i64,
) -> Result<Vec<PasskeyRow>, StoreError> {
    let sql = "SELECT passkey_id, user_id, name, credential, created_ms, used_ms FROM passkeys \
               WHERE user_id = $1 ORDER BY created_ms, passkey_id LIMIT $2";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).bind(limit).all().await?;
    rows.iter().map(read).collect()
}

/// The passkey of that credential.
pub async fn by_credential(
    from: &mut impl Reads,
    credential_id: &[u8],
) -> Result<Option<PasskeyRow>, StoreError> {
    let sql = "SELECT passkey_id, user_id, name, credential, created_ms, used_ms FROM passkeys \
               WHERE credential_id = $1";
    let row = from.conn().0.query(sql).bind(credential_id).one().await?;
    row.map(|row| read(&row)).transpose()
}

/// What authenticators know an account by, if any ever did.
pub async fn handle(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Option<[u8; 16]>, StoreError> {
    let sql = "SELECT handle FROM passkey_owners WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.map(|row| row.array(0)).transpose()
}

fn read(row: &Row) -> Result<PasskeyRow, StoreError> {
    Ok(PasskeyRow {
        passkey_id: row.get(0)?,
        user_id: row.parse(1)?,
        name: row.get(2)?,
        credential: row.get(3)?,
        created_ms: row.get(4)?,
        used_ms: row.get(5)?,
    })
}

impl Tx {
    /// What authenticators know an account by: what they do already, or else this.
    pub async fn settle_handle(
        &mut self,
        user_id: &UserId,
        fresh: &[u8; 16],
    ) -> Result<[u8; 16], StoreError> {
        let sql = "INSERT INTO passkey_owners (user_id, handle) VALUES ($1, $2) \
                   ON CONFLICT (user_id) DO NOTHING";
        self.query(sql).bind(user_id.as_str()).bind(fresh.as_slice()).run().await?;
        let known = handle(self, user_id).await?;
        known.ok_or(StoreError::Damaged("a handle that was just written is not there"))
    }

    /// Makes a passkey an account's; [`StoreError::Taken`] where its credential is one's already.
    pub async fn add_passkey(
        &mut self,
        credential_id: &[u8],
        passkey: &PasskeyRow,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO passkeys (credential_id, passkey_id, user_id, name, credential, created_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (credential_id) DO NOTHING";
        let query = self.query(sql).bind(credential_id).bind(passkey.passkey_id.as_str());
        let query = query.bind(passkey.user_id.as_str()).bind(passkey.name.as_str());
        let query = query.bind(passkey.credential.as_str()).bind(passkey.created_ms);
        if query.run().await? == 0 { Err(StoreError::Taken) } else { Ok(()) }
    }

    /// Renames a passkey of an account; false where it has none of that id.
    pub async fn rename_passkey(
        &mut self,
        user_id: &UserId,
        passkey_id: &str,
        name: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE passkeys SET name = $3 WHERE user_id = $1 AND passkey_id = $2";
        Ok(self.query(sql).bind(user_id.as_str()).bind(passkey_id).bind(name).run().await? > 0)
    }

    /// Removes a passkey of an account; false where it has none of that id.
    pub async fn remove_passkey(
        &mut self,
        user_id: &UserId,
        passkey_id: &str,
    ) -> Result<bool, StoreError> {
        let sql = "DELETE FROM passkeys WHERE user_id = $1 AND passkey_id = $2";
        Ok(self.query(sql).bind(user_id.as_str()).bind(passkey_id).run().await? > 0)
    }

    /// Notes that a passkey was used, and what is remembered of it now; false where it is gone, or
    /// something else is remembered of it than before.
    pub async fn use_passkey(
        &mut self,
        passkey_id: &str,
        before: &str,
        after: &str,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE passkeys SET credential = $3, used_ms = $4 \
                   WHERE passkey_id = $1 AND credential = $2";
        let query = self.query(sql).bind(passkey_id).bind(before).bind(after).bind(now_ms);
        Ok(query.run().await? > 0)
    }

    /// Notes that a challenge was answered; false where it was before.
    pub async fn spend_challenge(
        &mut self,
        challenge_hash: &[u8; 32],
        expires_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO spent_challenges (challenge_hash, expires_ms) VALUES ($1, $2) \
                   ON CONFLICT (challenge_hash) DO NOTHING";
        let query = self.query(sql).bind(challenge_hash.as_slice()).bind(expires_ms);
        Ok(query.run().await? > 0)
    }

    /// Forgets challenges that nobody may answer any more, a few at once; how many.
    pub async fn forget_challenges(&mut self, now_ms: i64, limit: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM spent_challenges WHERE challenge_hash IN \
                   (SELECT challenge_hash FROM spent_challenges WHERE expires_ms <= $1 \
                   ORDER BY expires_ms LIMIT $2)";
        self.query(sql).bind(now_ms).bind(limit).run().await
    }

    /// Takes all passkeys from an account that has ended.
    pub(super) async fn forget_passkeys(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM passkeys WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await?;
        let sql = "DELETE FROM passkey_owners WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }
}
