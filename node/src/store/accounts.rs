//! Accounts, their devices, and invitations.

use std::{collections::HashSet, sync::Arc};

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use wayside_specs::{Role, limits};

use super::{
    Reads, StoreError, Tx,
    bus::Change,
    db::{LIST_MOST, Row},
    keys,
};

/// An account of this node.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its name.
    pub user_id: OwnedUserId,
    /// The password's Argon2id hash; a guest has none.
    pub password: Option<String>,
    /// What it may do here.
    pub role: Role,
    /// When it was ended, in milliseconds since the epoch; an ended account's name stays taken.
    pub ended_ms: Option<i64>,
    /// What those who run the node hold its person to.
    pub held: Held,
}

/// What those who run a node hold somebody to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// They get nowhere; their devices stay, and come to life again.
    pub locked: bool,
    /// They read, and change nothing.
    pub suspended: bool,
}

/// One of the ways in which somebody is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// See [`Held::locked`].
    Locked,
    /// See [`Held::suspended`].
    Suspended,
}

impl Held {
    /// Whether they are held in this way.
    #[must_use]
    pub fn is(self, hold: Hold) -> bool {
        match hold {
            Hold::Locked => self.locked,
            Hold::Suspended => self.suspended,
        }
    }

    /// Whether they are held in any way.
    #[must_use]
    pub fn any(self) -> bool {
        self.locked || self.suspended
    }
}

/// How a device stands to its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Signed in.
    SignedIn,
    /// Signed out, or the account has ended.
    SignedOut,
    /// Signed in, but the account is locked.
    Locked,
}

/// A signed-in client.
#[derive(Clone, Debug)]
pub struct Device {
    /// Its id within the account.
    pub device_id: OwnedDeviceId,
    /// What its person calls it.
    pub name: Option<String>,
    /// When it last asked for something, to the minute, in milliseconds since the epoch.
    pub seen_ms: i64,
    /// From where.
    pub seen_address: Option<String>,
}

/// What an access token stands for.
#[derive(Clone, Debug)]
pub struct Session {
    /// Whose it is.
    pub user_id: OwnedUserId,
    /// On which device.
    pub device_id: OwnedDeviceId,
    /// What the account may do.
    pub role: Role,
    /// What those who run the node hold its person to.
    pub held: Held,
    /// When the device was last noted as seen.
    pub seen_ms: i64,
    /// When the token ends, in milliseconds since the epoch, where it does.
    pub expires_ms: Option<i64>,
    /// Whether the token was used before; the one that it replaces lasts until then.
    pub confirmed: bool,
    /// The application service that speaks for them, if one does; then the device may have no name.
    pub service: Option<Arc<str>>,
}

/// A link that lets somebody make an account.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// What the new account may do.
    pub role: Role,
    /// How many more accounts it may make.
    pub uses_left: i64,
    /// When it ends, in milliseconds since the epoch.
    pub expires_ms: Option<i64>,
}

/// A device to be signed in.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// Its id; an existing device of that id gets the new token.
    pub device_id: OwnedDeviceId,
    /// What its person calls it.
    pub name: Option<String>,
    /// What opens it.
    pub tokens: NewTokens,
    /// The OAuth client that asked for it.
    pub client_id: Option<String>,
}

/// An access token and what renews it, by their SHA-256.
#[derive(Clone, Debug)]
pub struct NewTokens {
    /// Of the access token.
    pub access_hash: [u8; 32],
    /// Of the refresh token and the end of the access token, in milliseconds since the epoch; one
    /// without it lasts.
    pub renewal: Option<([u8; 32], i64)>,
}

/// The account of that name, ended or not.
pub async fn account(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<Option<Account>, StoreError> {
    let sql = "SELECT user_id, password, role, ended_ms, locked_ms, suspended_ms FROM accounts \
               WHERE user_id = $1";
    let row = from.conn().0.query(sql).bind(user_id.as_str()).one().await?;
    row.map(|row| {
        Ok(Account {
            user_id: row.parse(0)?,
            password: row.get(1)?,
            role: row.parse(2)?,
            ended_ms: row.get(3)?,
            held: read_held(&row, 4)?,
        })
    })
    .transpose()
}

/// Two columns that say since when somebody is locked and suspended.
fn read_held(row: &Row, at: usize) -> Result<Held, StoreError> {
    let since = |at| Ok::<_, StoreError>(row.get::<Option<i64>>(at)?.is_some());
    Ok(Held { locked: since(at)?, suspended: since(at + 1)? })
}

/// How many accounts of a role there are that have not ended.
pub async fn count(from: &mut impl Reads, role: Role) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM accounts WHERE role = $1 AND ended_ms IS NULL";
    let row = from.conn().0.query(sql).bind(role.as_str()).one().await?;
    row.ok_or(StoreError::Damaged("a count gave no row"))?.get(0)
}

/// Accounts after `after` in order of their names, at most `limit`.
pub async fn list(
    from: &mut impl Reads,
    after: &str,
    limit: i64,
) -> Result<Vec<Account>, StoreError> {
    let sql = "SELECT user_id, role, ended_ms, locked_ms, suspended_ms FROM accounts \
               WHERE user_id > $1 ORDER BY user_id LIMIT $2";
    let rows = from.conn().0.query(sql).bind(after).bind(limit).all().await?;
    rows.iter()
        .map(|row| {
            Ok(Account {
                user_id: row.parse(0)?,
                password: None,
                role: row.parse(1)?,
                ended_ms: row.get(2)?,
                held: read_held(row, 3)?,
            })
        })
        .collect()
}

/// Those of these people who wished that what they said is kept from those who come later.
pub async fn erased(
    from: &mut impl Reads,
    people: &[&UserId],
) -> Result<HashSet<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM accounts WHERE erased = 1 AND user_id IN (LIST)";
    let mut found = HashSet::new();
    for chunk in people.chunks(LIST_MOST) {
        let names: Vec<&str> = chunk.iter().map(|user_id| user_id.as_str()).collect();
        for row in from.conn().0.query(sql).list(&names).all().await? {
            found.insert(row.parse(0)?);
        }
    }
    Ok(found)
}

/// Those whose accounts have ended and who are in a room all the same, or at its door: after
/// `after` in order of their names, at most `limit`.
pub async fn ended_in_rooms(
    from: &mut impl Reads,
    after: &str,
    limit: i64,
) -> Result<Vec<OwnedUserId>, StoreError> {
    let sql = "SELECT user_id FROM accounts WHERE ended_ms IS NOT NULL AND user_id > $1 \
               AND EXISTS (SELECT 1 FROM memberships WHERE memberships.user_id = accounts.user_id \
               AND membership IN ('join', 'invite', 'knock')) ORDER BY user_id LIMIT $2";
    let rows = from.conn().0.query(sql).bind(after).bind(limit).all().await?;
    rows.iter().map(|row| row.parse(0)).collect()
}

/// What a token's hash stands for, if it stands for anything.
pub async fn session(
    from: &mut impl Reads,
    token_hash: &[u8; 32],
) -> Result<Option<Session>, StoreError> {
    // A device whose address is not known yet has not been seen.
    let sql = "SELECT d.user_id, d.device_id, a.role, \
               CASE WHEN d.seen_address IS NULL THEN 0 ELSE d.seen_ms END, a.locked_ms, a.suspended_ms, \
               t.expires_ms, t.confirmed \
               FROM access_tokens t JOIN devices d ON d.user_id = t.user_id AND d.device_id = t.device_id \
               JOIN accounts a ON a.user_id = t.user_id WHERE t.token_hash = $1 AND a.ended_ms IS NULL";
    let row = from.conn().0.query(sql).bind(token_hash.as_slice()).one().await?;
    row.map(|row| {
        let device_id: String = row.get(1)?;
        Ok(Session {
            user_id: row.parse(0)?,
            device_id: device_id.into(),
            role: row.parse(2)?,
            held: read_held(&row, 4)?,
            seen_ms: row.get(3)?,
            expires_ms: row.get(6)?,
            confirmed: row.get::<i64>(7)? != 0,
            service: None,
        })
    })
    .transpose()
}

/// How a device stands to its account; one without a name is that of an application service, and
/// signed in as long as the account lasts.
pub async fn standing(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &str,
) -> Result<Standing, StoreError> {
    let sql = "SELECT a.locked_ms FROM accounts a WHERE a.user_id = $1 AND a.ended_ms IS NULL AND ($2 = '' \
               OR EXISTS (SELECT 1 FROM access_tokens t WHERE t.user_id = a.user_id AND t.device_id = $2 \
               AND (t.expires_ms IS NULL OR t.expires_ms > 0)))";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id);
    let Some(row) = query.one().await? else { return Ok(Standing::SignedOut) };
    let locked = row.get::<Option<i64>>(0)?.is_some();
    Ok(if locked { Standing::Locked } else { Standing::SignedIn })
}

/// Whether an account has a device of that id, whether or not anything opens it now.
pub async fn has_device(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &str,
) -> Result<bool, StoreError> {
    let sql = "SELECT device_id FROM devices WHERE user_id = $1 AND device_id = $2";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id);
    Ok(query.one().await?.is_some())
}

/// Whether anything still opens a device.
pub async fn is_signed_in(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &str,
) -> Result<bool, StoreError> {
    let sql = "SELECT device_id FROM access_tokens WHERE user_id = $1 AND device_id = $2 \
               AND (expires_ms IS NULL OR expires_ms > 0) LIMIT 1";
    let query = from.conn().0.query(sql).bind(user_id.as_str()).bind(device_id);
    Ok(query.one().await?.is_some())
}

/// The devices of an account.
pub async fn devices(from: &mut impl Reads, user_id: &UserId) -> Result<Vec<Device>, StoreError> {
    let sql = "SELECT device_id, name, seen_ms, seen_address FROM devices WHERE user_id = $1 \
               ORDER BY created_ms, device_id LIMIT $2";
    let rows = from
        .conn()
        .0
        .query(sql)
        .bind(user_id.as_str())
        .bind(limits::DEVICES_PER_USER)
        .all()
        .await?;
    rows.iter().map(read_device).collect()
}

fn read_device(row: &Row) -> Result<Device, StoreError> {
    let device_id: String = row.get(0)?;
    Ok(Device {
        device_id: device_id.into(),
        name: row.get(1)?,
        seen_ms: row.get(2)?,
        seen_address: row.get(3)?,
    })
}

/// The invitation of that token's hash, used up or not.
pub async fn invitation(
    from: &mut impl Reads,
    token_hash: &[u8; 32],
) -> Result<Option<Invitation>, StoreError> {
    let sql = "SELECT role, uses_left, expires_ms FROM invitations WHERE token_hash = $1";
    let row = from.conn().0.query(sql).bind(token_hash.as_slice()).one().await?;
    row.map(|row| {
        Ok(Invitation { role: row.parse(0)?, uses_left: row.get(1)?, expires_ms: row.get(2)? })
    })
    .transpose()
}

impl Tx {
    /// Makes an account; [`StoreError::Taken`] where the name has ever been used.
    pub async fn add_account(
        &mut self,
        user_id: &UserId,
        password: Option<&str>,
        role: Role,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO accounts (user_id, password, role, created_ms) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (user_id) DO NOTHING";
        let added = self
            .query(sql)
            .bind(user_id.as_str())
            .bind(password)
            .bind(role.as_str())
            .bind(now_ms)
            .run()
            .await?;
        if added == 0 { Err(StoreError::Taken) } else { Ok(()) }
    }

    /// Sets the password of an account; false where there is none that lasts.
    pub async fn set_password(
        &mut self,
        user_id: &UserId,
        password: &str,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE accounts SET password = $2 WHERE user_id = $1 AND ended_ms IS NULL";
        Ok(self.query(sql).bind(user_id.as_str()).bind(password).run().await? > 0)
    }

    /// Sets what an account may do; false where there is none that lasts.
    pub async fn set_role(&mut self, user_id: &UserId, role: Role) -> Result<bool, StoreError> {
        let sql = "UPDATE accounts SET role = $2 WHERE user_id = $1 AND ended_ms IS NULL";
        let changed = self.query(sql).bind(user_id.as_str()).bind(role.as_str()).run().await?;
        Ok(self.announce_account(user_id, changed))
    }

    /// Holds somebody in one way, or no longer; false where there is no account that lasts. Whoever
    /// is held already stays held since then.
    pub async fn hold(
        &mut self,
        user_id: &UserId,
        hold: Hold,
        held: bool,
        now_ms: i64,
    ) -> Result<bool, StoreError> {
        let sql = match hold {
            Hold::Locked => {
                "UPDATE accounts SET locked_ms = CASE WHEN $2 = 1 THEN coalesce(locked_ms, $3) END \
                 WHERE user_id = $1 AND ended_ms IS NULL"
            }
            Hold::Suspended => {
                "UPDATE accounts SET suspended_ms = CASE WHEN $2 = 1 THEN coalesce(suspended_ms, $3) END \
                 WHERE user_id = $1 AND ended_ms IS NULL"
            }
        };
        let changed = self.query(sql).bind(user_id.as_str()).bind(held).bind(now_ms).run().await?;
        Ok(self.announce_account(user_id, changed))
    }

    /// Gives a guest a password and a role; false where there is no guest of that name.
    pub async fn keep_guest(
        &mut self,
        user_id: &UserId,
        password: &str,
        role: Role,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE accounts SET password = $2, role = $3 \
                   WHERE user_id = $1 AND role = $4 AND ended_ms IS NULL";
        let query = self.query(sql).bind(user_id.as_str()).bind(password);
        let query = query.bind(role.as_str()).bind(Role::Guest.as_str());
        let kept = query.run().await?;
        Ok(self.announce_account(user_id, kept))
    }

    /// Ends an account: nobody signs in to it again, its devices are gone, its name stays taken.
    /// False where it had ended before.
    pub async fn end_account(&mut self, user_id: &UserId, now_ms: i64) -> Result<bool, StoreError> {
        let sql = "UPDATE accounts SET ended_ms = $2, password = NULL \
                   WHERE user_id = $1 AND ended_ms IS NULL";
        let ended = self.query(sql).bind(user_id.as_str()).bind(now_ms).run().await? > 0;
        self.remove_devices(user_id, None).await?;
        self.forget_person_keys(user_id).await?;
        self.forget_emails(user_id).await?;
        self.forget_passkeys(user_id).await?;
        self.unlink_all(user_id).await?;
        self.drop_confirmations(user_id).await?;
        Ok(ended)
    }

    /// Keeps what somebody said from those who come later, also where their account ended before.
    pub async fn erase(&mut self, user_id: &UserId) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET erased = 1 WHERE user_id = $1";
        self.query(sql).bind(user_id.as_str()).run().await.map(drop)
    }

    /// Signs a device in. The device seen last longest ago gives way when there are too many.
    pub async fn sign_in(
        &mut self,
        user_id: &UserId,
        device: &NewDevice,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO devices (user_id, device_id, name, created_ms, seen_ms) \
                   VALUES ($1, $2, $3, $4, $4) ON CONFLICT (user_id, device_id) DO UPDATE \
                   SET name = COALESCE(excluded.name, devices.name), seen_ms = excluded.seen_ms";
        let device_id = device.device_id.as_str();
        let query = self.query(sql).bind(user_id.as_str()).bind(device_id);
        query.bind(device.name.as_deref()).bind(now_ms).run().await?;
        // What opened it before is worth nothing now.
        self.forget_tokens(user_id, device_id).await?;
        self.add_tokens(user_id, device_id, &device.tokens, device.client_id.as_deref(), None)
            .await?;
        let sql = "SELECT device_id FROM devices WHERE user_id = $1 \
                   ORDER BY seen_ms DESC, device_id LIMIT 1000 OFFSET $2";
        let query = self.query(sql).bind(user_id.as_str()).bind(limits::DEVICES_PER_USER);
        for row in query.all().await? {
            self.remove_device(user_id, &row.get::<String>(0)?).await?;
        }
        Ok(())
    }

    /// Renames a device; false where there is none of that id. Its name is shown beside its keys.
    pub async fn rename_device(
        &mut self,
        user_id: &UserId,
        device_id: &str,
        name: Option<&str>,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE devices SET name = $3 WHERE user_id = $1 AND device_id = $2";
        let changed =
            self.query(sql).bind(user_id.as_str()).bind(device_id).bind(name).run().await?;
        if keys::device_record(self, user_id, device_id.into()).await?.is_some() {
            self.note_key_change(user_id, None).await?;
            self.tell_device(user_id, device_id).await?;
        }
        Ok(changed > 0)
    }

    /// Notes that a device asked for something.
    pub async fn note_seen(
        &mut self,
        user_id: &UserId,
        device_id: &str,
        address: &str,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE devices SET seen_ms = $3, seen_address = $4 WHERE user_id = $1 AND device_id = $2";
        self.query(sql)
            .bind(user_id.as_str())
            .bind(device_id)
            .bind(now_ms)
            .bind(address)
            .run()
            .await
            .map(drop)
    }

    /// Signs devices out: one, or all. With them goes what they published and what waits for them.
    pub async fn remove_devices(
        &mut self,
        user_id: &UserId,
        only: Option<&str>,
    ) -> Result<(), StoreError> {
        if let Some(device_id) = only {
            return self.remove_device(user_id, device_id).await;
        }
        for device in devices(self, user_id).await? {
            self.remove_device(user_id, device.device_id.as_str()).await?;
        }
        Ok(())
    }

    async fn remove_device(&mut self, user_id: &UserId, device_id: &str) -> Result<(), StoreError> {
        let sql = "DELETE FROM devices WHERE user_id = $1 AND device_id = $2";
        let removed = self.query(sql).bind(user_id.as_str()).bind(device_id).run().await?;
        self.forget_tokens(user_id, device_id).await?;
        self.forget_device(user_id, device_id).await?;
        self.forget_pushers(user_id, device_id.into()).await?;
        self.announce_account(user_id, removed);
        Ok(())
    }

    /// Lets those know whom it concerns that so many rows of an account or its devices changed;
    /// whether any did.
    fn announce_account(&mut self, user_id: &UserId, rows: u64) -> bool {
        if rows > 0 {
            let position = self.next_number();
            self.announce(Change::Account { user_id: user_id.to_owned(), position });
        }
        rows > 0
    }

    /// Writes an invitation down.
    pub async fn add_invitation(
        &mut self,
        token_hash: &[u8; 32],
        invitation: &Invitation,
        created_by: Option<&UserId>,
        now_ms: i64,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO invitations (token_hash, role, uses_left, created_by, created_ms, expires_ms) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        self.query(sql)
            .bind(token_hash.as_slice())
            .bind(invitation.role.as_str())
            .bind(invitation.uses_left)
            .bind(created_by.map(UserId::as_str))
            .bind(now_ms)
            .bind(invitation.expires_ms)
            .run()
            .await
            .map(drop)
    }

    /// Uses an invitation once; nothing where it is unknown, used up or over, or where only those
    /// of the node's own machine count and a person made it.
    pub async fn use_invitation(
        &mut self,
        token_hash: &[u8; 32],
        now_ms: i64,
        only_own: bool,
    ) -> Result<Option<Role>, StoreError> {
        let sql = "UPDATE invitations SET uses_left = uses_left - 1 WHERE token_hash = $1 \
                   AND uses_left > 0 AND (expires_ms IS NULL OR expires_ms > $2) \
                   AND ($3 = 0 OR created_by IS NULL)";
        let query = self.query(sql).bind(token_hash.as_slice()).bind(now_ms).bind(only_own);
        if query.run().await? == 0 {
            return Ok(None);
        }
        Ok(invitation(self, token_hash).await?.map(|invitation| invitation.role))
    }
}
