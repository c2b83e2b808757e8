//! What opens devices: access tokens, how they are renewed, and tokens that sign another device in.

use std::net::IpAddr;

use ruma::{OwnedUserId, UserId};
use wayside_identity::token::{Kind, Secret};
use wayside_specs::limits;

use super::{Accounts, Confirmed, DeviceWish, Session, SignedIn, checked_device_name};
use crate::{
    services::Error,
    store::{
        accounts::{self, NewDevice, NewTokens},
        tokens::{self, Renewed},
    },
};

/// A device is noted as seen at most this often, in milliseconds.
const SEEN_EVERY_MS: i64 = 60_000;
/// How long an access token lasts that can be renewed, in milliseconds.
const RENEWABLE_MS: i64 = 5 * 60_000;
/// How long a token lasts that signs another device in, in milliseconds.
pub const LOGIN_TOKEN_MS: i64 = 2 * 60_000;

/// What stands where a grant that was used names the device that it made, where it made none.
pub(super) const NO_DEVICE: &str = "";

/// What opens a device.
pub struct Tokens {
    /// The access token.
    pub access: String,
    /// What renews it.
    pub refresh: Option<String>,
    /// How long it lasts, in milliseconds; one that cannot be renewed has no end.
    pub lasts_ms: Option<i64>,
}

impl Accounts {
    /// Whose token this is.
    pub async fn session(&self, token: &str, address: IpAddr) -> Result<Session, Error> {
        let secret = Secret::parse(token).ok_or(Error::UnknownToken)?;
        let hash = secret.hash().0;
        let mut snapshot = self.ground.store.snapshot().await?;
        let session = accounts::session(&mut snapshot, &hash).await?;
        drop(snapshot);
        let session = session.ok_or(Error::UnknownToken)?;
        let now_ms = self.ground.clock.now_ms();
        if session.expires_ms.is_some_and(|end| end <= now_ms) {
            return Err(Error::SoftLogout);
        }
        if now_ms - session.seen_ms > SEEN_EVERY_MS || !session.confirmed {
            self.note_seen(&session, hash, address, now_ms);
        }
        Ok(session)
    }

    /// Renews what opens a device; `client_id` names the OAuth client that asks, if one does.
    pub async fn renew(&self, token: &str, client_id: Option<&str>) -> Result<Tokens, Error> {
        let shown = Secret::parse(token).filter(|secret| secret.kind() == Kind::Refresh);
        let hash = shown.ok_or(Error::SoftLogout)?.hash().0;
        let (tokens, made) = self.mint(true);
        let client_id = client_id.map(str::to_owned);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                if let Some(known) = tokens::renewable(tx, &hash).await? {
                    may_come(accounts::account(tx, &known.user_id).await?)?;
                }
                Ok(tx.renew(&hash, client_id.as_deref(), &made).await?)
            })
        });
        match write.await? {
            Renewed::Done => Ok(tokens),
            Renewed::Unknown => Err(Error::SoftLogout),
            Renewed::Twice => {
                tracing::warn!("a refresh token was shown twice: its device has to sign in again");
                Err(Error::SoftLogout)
            }
        }
    }

    /// A token that signs one other device of the same person in.
    pub async fn login_token(&self, confirmed: Confirmed) -> Result<String, Error> {
        let secret = Secret::mint(Kind::Login, self.ground.clock.random());
        let hash = secret.hash().0;
        let expires_ms = self.ground.clock.now_ms() + LOGIN_TOKEN_MS;
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = confirmed.still(tx).await?;
                Ok(tx.add_grant(&hash, &account.user_id, None, expires_ms).await?)
            })
        });
        write.await?;
        Ok(secret.reveal().to_owned())
    }

    /// Signs a device in by such a token, which is worth nothing then.
    pub async fn sign_in_by_token(
        &self,
        token: &str,
        device: DeviceWish,
    ) -> Result<SignedIn, Error> {
        let secret = Secret::parse(token).filter(|secret| secret.kind() == Kind::Login);
        let hash = secret.ok_or_else(over)?.hash().0;
        let now_ms = self.ground.clock.now_ms();
        let mut snapshot = self.ground.store.snapshot().await?;
        let grant = tokens::grant(&mut snapshot, &hash, now_ms).await?.ok_or_else(over)?;
        drop(snapshot);
        let (device, signed_in) = self.new_device(&grant.user_id, device)?;
        let device = device.ok_or_else(over)?;
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                // Looked up again where nothing comes in between.
                let grant = tokens::grant(tx, &hash, now_ms).await?.ok_or_else(over)?;
                may_come(accounts::account(tx, &grant.user_id).await?)?;
                if !tx.use_grant(&hash, device.device_id.as_str()).await? {
                    return Err(over());
                }
                Ok(tx.sign_in(&grant.user_id, &device, now_ms).await?)
            })
        });
        write.await?;
        Ok(signed_in)
    }

    /// Whom such a token stands for, which is worth nothing then: they let something else in by it.
    pub async fn spend_login_token(&self, token: &str) -> Result<Confirmed, Error> {
        let secret = Secret::parse(token).filter(|secret| secret.kind() == Kind::Login);
        let hash = secret.ok_or_else(over)?.hash().0;
        let now_ms = self.ground.clock.now_ms();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let grant = tokens::grant(tx, &hash, now_ms).await?.ok_or_else(over)?;
                may_come(accounts::account(tx, &grant.user_id).await?)?;
                if !tx.use_grant(&hash, NO_DEVICE).await? {
                    return Err(over());
                }
                Ok(Confirmed::vouched(grant.user_id))
            })
        });
        write.await
    }

    /// Signs a device out by one of its tokens, whoever shows it (RFC 7009). A token that is unknown is
    /// worth nothing already; one of another client stays good, and nothing is done.
    pub async fn revoke(&self, token: &str, client_id: Option<&str>) -> Result<(), Error> {
        let Some(secret) = Secret::parse(token) else { return Ok(()) };
        let (hash, client_id) = (secret.hash().0, client_id.map(str::to_owned));
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let Some(known) = tokens::device_of(tx, &hash).await? else { return Ok(()) };
                if client_id.is_some() && known.client_id != client_id {
                    return Err(Error::Forbidden("the token is another client's".to_owned()));
                }
                let device_id = known.device_id.as_str();
                Ok(tx.remove_devices(&known.user_id, Some(device_id)).await?)
            })
        });
        write.await
    }

    /// Makes what opens a device, for its owner and for the store.
    fn mint(&self, renewable: bool) -> (Tokens, NewTokens) {
        let clock = self.ground.clock;
        let access = Secret::mint(Kind::Access, clock.random());
        let refresh = renewable.then(|| Secret::mint(Kind::Refresh, clock.random()));
        let kept = NewTokens {
            access_hash: access.hash().0,
            renewal: refresh.as_ref().map(|it| (it.hash().0, clock.now_ms() + RENEWABLE_MS)),
        };
        let tokens = Tokens {
            access: access.reveal().to_owned(),
            refresh: refresh.map(|it| it.reveal().to_owned()),
            lasts_ms: renewable.then_some(RENEWABLE_MS),
        };
        (tokens, kept)
    }

    /// The device that somebody wishes for, as it is kept and as they are told of it.
    pub(in crate::services) fn new_device(
        &self,
        user_id: &UserId,
        wish: DeviceWish,
    ) -> Result<(Option<NewDevice>, SignedIn), Error> {
        let user_id: OwnedUserId = user_id.to_owned();
        if wish.no_device {
            return Ok((None, SignedIn { user_id, device: None }));
        }
        let device_id = match wish.device_id {
            Some(id) if id.as_str().is_empty() || id.as_str().len() > limits::TOKEN_BYTES => {
                return Err(Error::Invalid("a device id has 1 to 255 bytes".to_owned()));
            }
            Some(id) => id,
            None => self.ground.clock.random_name(10).to_uppercase().into(),
        };
        let name = wish.name.map(checked_device_name).transpose()?;
        let (tokens, kept) = self.mint(wish.renewable);
        let client_id = wish.client_id;
        let device = NewDevice { device_id: device_id.clone(), name, tokens: kept, client_id };
        Ok((Some(device), SignedIn { user_id, device: Some((device_id, tokens)) }))
    }

    fn note_seen(&self, session: &Session, token_hash: [u8; 32], address: IpAddr, now_ms: i64) {
        let store = self.ground.store.clone();
        let session = session.clone();
        self.ground.tasks.spawn(async move {
            let noted = store
                .write(move |tx| {
                    Box::pin(async move {
                        if !session.confirmed {
                            tx.confirm_token(&token_hash).await?;
                        }
                        let (user_id, device_id) = (&session.user_id, session.device_id.as_str());
                        tx.note_seen(user_id, device_id, &address.to_string(), now_ms).await
                    })
                })
                .await;
            if let Err(error) = noted {
                tracing::warn!(%error, "noting when a device was seen failed");
            }
        });
    }
}

/// Refuses those whose account has ended or is locked.
pub(in crate::services) fn may_come(account: Option<accounts::Account>) -> Result<(), Error> {
    match account {
        Some(account) if account.held.locked => Err(Error::Locked),
        Some(account) if account.ended_ms.is_none() => Ok(()),
        _ => Err(Error::AccountEnded),
    }
}

fn over() -> Error {
    Error::Forbidden("this login token is unknown, used or over: ask for a new one".to_owned())
}
