//! E-mail addresses of accounts, and proofs that somebody reads what is sent to one.

use ruma::{OwnedUserId, UserId};

use super::{Reads, StoreError, Tx, db::Row};

/// An address of an account.
#[derive(Clone, Debug)]
pub struct EmailRow {
    /// The address, in small letters.
    pub address: String,
    /// When it was proven, in milliseconds since the epoch.
    pub validated_ms: i64,
    /// When it became the account's.
    pub added_ms: i64,
}

/// A proof that somebody reads what is sent to an address, or one that is still to be given.
#[derive(Clone, Debug)]
pub struct ProofRow {
    /// Its id.
    pub sid: String,
    /// What it is for.
    pub purpose: String,
    /// The address, in small letters.
    pub address: String,
    /// SHA-256 of the secret of the client that asked for it.
    pub secret_hash: [u8; 32],
    /// SHA-256 of what the mail holds.
    pub token_hash: [u8; 32],
    /// The client's number of the newest mail.
    pub attempt: i64,
    /// When it was given, in milliseconds since the epoch.
    pub validated_ms: Option<i64>,
    /// When it ends.
    pub expires_ms: i64,
}

/// The addresses of an account, the oldest first; at most `limit`.
pub async fn of_person(
    from: &mut impl Reads,
    user_id: &UserId,
    limit: i64,
) -> Result<Vec<EmailRow>, StoreError> {
    let sql = "SELECT address, validated_ms, added_ms FROM emails WHERE user_id = $1 \
               ORDER BY added_ms, address LIMIT $2";
    let rows = from.conn().0.query(sql).bind(user_id.as_str()).bind(limit).all().await?;
    let read = |row: &Row| {
        let address = row.get(0)?;
        Ok(EmailRow { address, validated_ms: row.get(1)?, added_ms: row.get(2)? })
    };
    rows.iter().map(read).collect()
}

/// Whose an address is.
pub async fn owner(
    from: &mut impl Reads,
    address: &str,
) -> Result<Option<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM emails WHERE address = $1";
    let row = from.conn().0.query(sql).bind(address).one().await?;
    row.map(|row| row.parse(0)).transpose()
}

/// The proof of that id.
pub async fn proof(from: &mut impl Reads, sid: &str) -> Result<Option<ProofRow>, StoreError> {
    let sql = "SELECT sid, purpose, address, secret_hash, token_hash, attempt, validated_ms, expires_ms \
               FROM email_proofs WHERE sid = $1";
    let row = from.conn().0.query(sql).bind(sid).one().await?;
    row.as_ref().map(read_proof).transpose()
}

/// The proof that a client has asked for before.
pub async fn proof_of(
    from: &mut impl Reads,
    purpose: &str,
    address: &str,
    secret_hash: &[u8; 32],
) -> Result<Option<ProofRow>, StoreError> {
    let sql = "SELECT sid, purpose, address, secret_hash, token_hash, attempt, validated_ms, expires_ms \
               FROM email_proofs WHERE purpose = $1 AND address = $2 AND secret_hash = $3";
    let query = from.conn().0.query(sql).bind(purpose).bind(address);
    let row = query.bind(secret_hash.as_slice()).one().await?;
    row.as_ref().map(read_proof).transpose()
}

/// How many mails were sent to an address for proofs that have not ended.
pub async fn mails_to(
    from: &mut impl Reads,
    address: &str,
    now_ms: i64,
) -> Result<i64, StoreError> {
    let sql = "SELECT CAST(COALESCE(SUM(mails), 0) AS BIGINT) FROM email_proofs \
               WHERE address = $1 AND expires_ms > $2";
    let row = from.conn().0.query(sql).bind(address).bind(now_ms).one().await?;
    row.ok_or(StoreError::Damaged("a sum gave no row"))?.get(0)
}

fn read_proof(row: &Row) -> Result<ProofRow, StoreError> {
    Ok(ProofRow {
        sid: row.get(0)?,
        purpose: row.get(1)?,
        address: row.get(2)?,
        secret_hash: row.array(3)?,
        token_hash: row.array(4)?,
        attempt: row.get(5)?,
        validated_ms: row.get(6)?,
        expires_ms: row.get(7)?,
    })
}

impl Tx {
    /// Makes an address an account's; [`StoreError::Taken`] where it is one's already.
    pub async fn add_email(
        &mut self,
        user_id: &UserId,
        email: &EmailRow,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO emails (address, user_id, validated_ms, added_ms) \
                   VALUES ($1, $2, $3, $4) ON CONFLICT (address) DO NOTHING";
        let query = self.query(sql).bind(email.address.as_str()).bind(user_id.as_str());
        let added = query.bind(email.validated_ms).bind(email.added_ms).run().await?;
        if added == 0 { Err(StoreError::Taken) } else { Ok(()) }
    }

    /// Takes an address from an account.
    pub async fn remove_email(
        &mut self,
        user_id: &UserId,
        address: &str,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM emails WHERE user_id = $1 AND address = $2";
        self.query(sql).bind(user_id.as_str()).bind(address).run().await.map(drop)
    }

    /// Takes all addresses from an account that has ended.
    pub(super) async fn forget_emails(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "DELETE FROM emails WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }

    /// Writes a proof down that a mail asks for, or that a further mail asks for it.
    pub async fn ask_proof(&mut self, proof: &ProofRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO email_proofs (sid, purpose, address, secret_hash, token_hash, attempt, mails, expires_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6, 1, $7) \
                   ON CONFLICT (sid) DO UPDATE SET token_hash = excluded.token_hash, \
                   attempt = excluded.attempt, mails = email_proofs.mails + 1";
        self.query(sql)
            .bind(proof.sid.as_str())
            .bind(proof.purpose.as_str())
            .bind(proof.address.as_str())
            .bind(proof.secret_hash.as_slice())
            .bind(proof.token_hash.as_slice())
            .bind(proof.attempt)
            .bind(proof.expires_ms)
            .run()
            .await
            .map(drop)
    }

    /// Notes that the newest mail of a proof did not go out, so that the same number asks for it again.
    pub async fn note_unsent(&mut self, sid: &str, attempt: i64) -> Result<(), StoreError> {
        let sql = "UPDATE email_proofs SET attempt = $2 - 1 WHERE sid = $1 AND attempt = $2";
        self.query(sql).bind(sid).bind(attempt).run().await.map(drop)
    }

    /// Notes that a proof was given.
    pub async fn give_proof(&mut self, sid: &str, now_ms: i64) -> Result<(), StoreError> {
        let sql =
            "UPDATE email_proofs SET validated_ms = COALESCE(validated_ms, $2) WHERE sid = $1";
        self.query(sql).bind(sid).bind(now_ms).run().await.map(drop)
    }

    /// Removes a proof that was used.
    pub async fn remove_proof(&mut self, sid: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM email_proofs WHERE sid = $1";
        self.query(sql).bind(sid).run().await.map(drop)
    }

    /// Removes proofs that have ended, a few at once.
    pub async fn forget_proofs(&mut self, now_ms: i64, limit: i64) -> Result<u64, StoreError> {
        let sql = "DELETE FROM email_proofs WHERE sid IN \
                   (SELECT sid FROM email_proofs WHERE expires_ms <= $1 ORDER BY expires_ms LIMIT $2)";
        self.query(sql).bind(now_ms).bind(limit).run().await
    }
}
