//! Who may come in: registration, sign-in, devices, invitations, guests.

mod confirming;
mod holding;
mod linked;
mod openid;
pub mod passkeys;
mod password;
mod puppets;
mod registering;
mod resets;
mod tokens;
mod ways;

use std::{
    collections::HashSet,
    sync::{Arc, OnceLock},
};

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use tokio::sync::Semaphore;
use wayside_identity::token::{Kind, Secret};
use wayside_specs::{Role, limits};
use webauthn_rs::Webauthn;

pub(super) use self::tokens::may_come;
pub use self::{
    confirming::{Operation, Waiting},
    linked::{Known, link_id},
    openid::OPENID_SECONDS,
    password::Confirmed,
    registering::ShownByNewcomer,
    tokens::{LOGIN_TOKEN_MS, Tokens},
    ways::Ways,
};
use super::{Error, Ground, Unproven};
pub use crate::store::accounts::{Account, Device, Held, Hold, Invitation, Session};
use crate::{
    config::Registration,
    store::{
        Reads, StoreError,
        accounts::{self, Standing},
        people,
    },
};

/// Passwords hashed at the same time; each takes 19 MiB and a core.
const HASHING: usize = 2;
/// Longest name of an account, without the server's.
const LOCALPART_CHARS: usize = 64;

/// The service of accounts.
pub struct Accounts {
    ground: Arc<Ground>,
    hashing: Arc<Semaphore>,
    /// Where browsers keep passkeys for this node, if they can.
    site: OnceLock<Webauthn>,
    /// The providers of identities whose word counts here.
    issuers: OnceLock<Arc<[String]>>,
}

/// A person who came in just now.
pub struct SignedIn {
    /// Who.
    pub user_id: OwnedUserId,
    /// The device and what opens it, unless none was wanted.
    pub device: Option<(OwnedDeviceId, Tokens)>,
}

/// What a device asks for when it signs in.
#[derive(Default)]
pub struct DeviceWish {
    /// An id it had before.
    pub device_id: Option<OwnedDeviceId>,
    /// What it shall be called.
    pub name: Option<String>,
    /// Only make the account.
    pub no_device: bool,
    /// Whether it takes tokens that must be renewed.
    pub renewable: bool,
    /// The OAuth client that asks for it.
    pub client_id: Option<String>,
}

/// An invitation that somebody shows, as far as the node keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Invited([u8; 32]);

impl Invited {
    /// The invitation of this text.
    pub fn by(text: &str) -> Result<Self, Error> {
        invitation_hash(text).map(Self)
    }

    /// The invitation that was shown on a page.
    #[must_use]
    pub fn shown(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

/// Who wants an account.
pub struct Registering {
    /// The wished name; without one the node chooses.
    pub name: Option<String>,
    /// The password; a guest has none.
    pub password: Option<String>,
    /// Their invitation.
    pub invitation: Option<Invited>,
    /// Whether they come as a guest.
    pub guest: bool,
    /// Their device.
    pub device: DeviceWish,
}

/// What becomes of what somebody said, when their account ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traces {
    /// It stays for everybody who may read it.
    Stay,
    /// It stays for those alone who were in the room when it was said.
    Erased,
}

impl Traces {
    /// What somebody wishes.
    #[must_use]
    pub fn of(erase: bool) -> Self {
        if erase { Self::Erased } else { Self::Stay }
    }
}

impl Accounts {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        let hashing = Arc::new(Semaphore::new(HASHING));
        Self { ground, hashing, site: OnceLock::new(), issuers: OnceLock::new() }
    }

    /// Whether a name could be given to a new account now.
    pub async fn name_is_free(&self, name: &str) -> Result<OwnedUserId, Error> {
        let user_id = self.checked_name(name)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        match accounts::account(&mut snapshot, &user_id).await? {
            Some(_) => Err(Error::NameTaken(name.to_owned())),
            None => Ok(user_id),
        }
    }

    /// Whether an invitation would work now.
    pub async fn invitation_is_good(&self, text: &str) -> Result<bool, Error> {
        Ok(self.invitation(text).await?.is_some())
    }

    /// What an invitation gives, if it still gives anything.
    pub async fn invitation(&self, text: &str) -> Result<Option<Invitation>, Error> {
        let Some(secret) = Secret::parse(text) else { return Ok(None) };
        let mut snapshot = self.ground.store.snapshot().await?;
        let invitation = accounts::invitation(&mut snapshot, &secret.hash().0).await?;
        let now_ms = self.ground.clock.now_ms();
        Ok(invitation.filter(|it| it.uses_left > 0 && it.expires_ms.is_none_or(|end| end > now_ms)))
    }

    /// Makes an account and signs its first device in.
    pub async fn register(&self, wish: Registering) -> Result<SignedIn, Error> {
        let user_id = match &wish.name {
            Some(name) if !wish.guest => self.checked_name(name)?,
            _ => {
                let name = self.ground.clock.random_name(10);
                let prefix = if wish.guest { "guest-" } else { "" };
                self.ground.user_id(&format!("{prefix}{name}")).map_err(Error::internal)?
            }
        };
        let invitation = wish.invitation.map(|Invited(hash)| hash);
        if invitation.is_none() {
            self.may_come_uninvited(wish.guest)?;
        }
        let password = match wish.password {
            Some(password) => Some(self.hash(password).await?),
            None if wish.guest => None,
            None => return Err(Error::Missing("a password is needed".to_owned())),
        };
        let (device, signed_in) = self.new_device(&user_id, wish.device)?;
        let now_ms = self.ground.clock.now_ms();
        let (guest, closed) = (wish.guest, self.is_closed());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let role = match invitation {
                        None if guest => Role::Guest,
                        None => Role::Member,
                        Some(hash) => {
                            let given = tx.use_invitation(&hash, now_ms, closed).await?;
                            let role = given.ok_or_else(bad_invitation)?;
                            // An invitation to be a guest makes no members, and the other way round
                            // a guest holds nothing more than a guest's role.
                            if guest {
                                Role::Guest
                            } else if role == Role::Guest {
                                return Err(Error::Forbidden(
                                    "this link lets guests in: come in as a guest".to_owned(),
                                ));
                            } else {
                                role
                            }
                        }
                    };
                    let name = user_id.localpart().to_owned();
                    tx.add_account(&user_id, password.as_deref(), role, now_ms).await.map_err(
                        |error| match error {
                            StoreError::Taken => Error::NameTaken(name),
                            other => other.into(),
                        },
                    )?;
                    if let Some(device) = &device {
                        tx.sign_in(&user_id, device, now_ms).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(signed_in)
    }

    /// Turns a guest into a member who keeps the same user id.
    pub async fn keep_guest(
        &self,
        session: &Session,
        password: String,
        invitation: Option<&str>,
    ) -> Result<(), Error> {
        let invitation = invitation.map(invitation_hash).transpose()?;
        if invitation.is_none() {
            self.may_come_uninvited(false)?;
        }
        let password = self.hash(password).await?;
        let user_id = session.user_id.clone();
        let (now_ms, closed) = (self.ground.clock.now_ms(), self.is_closed());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut role = Role::Member;
                    if let Some(hash) = invitation {
                        let given = tx.use_invitation(&hash, now_ms, closed).await?;
                        role =
                            given.filter(|role| *role > Role::Guest).ok_or_else(bad_invitation)?;
                    }
                    // Decided here, where nothing comes in between: the session may be an old reading.
                    if tx.keep_guest(&user_id, &password, role).await? {
                        Ok(())
                    } else {
                        let why = "this account is a lasting one already";
                        Err(Error::Invalid(why.to_owned()))
                    }
                })
            })
            .await
    }

    /// Whom a name means that somebody signs in with: a whole user id, or the part before the colon.
    pub fn named(&self, name: &str) -> Result<OwnedUserId, Error> {
        let user_id = if name.starts_with('@') {
            UserId::parse(name)
        } else {
            self.ground.user_id(&name.to_lowercase())
        };
        user_id.map_err(|_| wrong_proof())
    }

    /// Refuses a session whose device was signed out, or its person locked, while it was served.
    pub async fn still_signed_in(&self, session: &Session) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        still_in(&mut snapshot, &session.user_id, session.device_id.as_str()).await
    }

    /// Signs out: one device, or all.
    pub async fn sign_out(&self, user_id: &UserId, only: Option<&str>) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        let only = only.map(str::to_owned);
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move { Ok(tx.remove_devices(&user_id, only.as_deref()).await?) })
            })
            .await
    }

    /// Signs out all of a person's devices that are named, however many names there are: whoever is
    /// told that it was done must not find one of them signed in.
    pub async fn sign_out_named(
        &self,
        user_id: &UserId,
        named: &[OwnedDeviceId],
    ) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        let named: HashSet<OwnedDeviceId> = named.iter().cloned().collect();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    for device in accounts::devices(tx, &user_id).await? {
                        if named.contains(&device.device_id) {
                            tx.remove_devices(&user_id, Some(device.device_id.as_str())).await?;
                        }
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Ends an account for ever: its devices and its profile are gone. Where a password confirmed
    /// it, that must still be the account's.
    pub async fn end(
        &self,
        user_id: &UserId,
        confirmed: Option<Confirmed>,
        traces: Traces,
    ) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if let Some(confirmed) = confirmed {
                        confirmed.still(tx).await?;
                    }
                    // One that has ended before keeps the time of its end.
                    let _first = tx.end_account(&user_id, now_ms).await?;
                    tx.forget_held(&user_id).await?;
                    if traces == Traces::Erased {
                        tx.erase(&user_id).await?;
                        tx.forget_person(&user_id).await?;
                    }
                    for (name, _) in people::profile(tx, &user_id).await? {
                        tx.set_profile_field(&user_id, &name, None).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// The devices of a person.
    pub async fn devices(&self, user_id: &UserId) -> Result<Vec<Device>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(accounts::devices(&mut snapshot, user_id).await?)
    }

    /// Renames a device.
    pub async fn rename_device(
        &self,
        user_id: &UserId,
        device_id: &str,
        name: Option<String>,
    ) -> Result<(), Error> {
        let name = name.map(checked_device_name).transpose()?;
        let (user_id, id) = (user_id.to_owned(), device_id.to_owned());
        let known = self
            .ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    Ok::<_, Error>(tx.rename_device(&user_id, &id, name.as_deref()).await?)
                })
            })
            .await?;
        if known { Ok(()) } else { Err(Error::NotFound("there is no such device".to_owned())) }
    }

    /// Makes an invitation and gives its text, which is shown once and stored only as a hash.
    pub async fn invite(
        &self,
        role: Role,
        uses: i64,
        lasts_ms: Option<i64>,
        by: Option<&UserId>,
    ) -> Result<String, Error> {
        if by.is_some() && self.is_closed() {
            return Err(Error::Forbidden("this node takes no new accounts".to_owned()));
        }
        let kind = if role == Role::Guest { Kind::GuestLink } else { Kind::Invitation };
        let secret = Secret::mint(kind, self.ground.clock.random());
        let hash = secret.hash().0;
        let now_ms = self.ground.clock.now_ms();
        let expires_ms = lasts_ms.map(|lasts| now_ms.saturating_add(lasts));
        let invitation = Invitation { role, uses_left: uses, expires_ms };
        let by = by.map(UserId::to_owned);
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    Ok::<_, Error>(
                        tx.add_invitation(&hash, &invitation, by.as_deref(), now_ms).await?,
                    )
                })
            })
            .await?;
        Ok(secret.reveal().to_owned())
    }

    /// Whether anybody can run this node yet.
    pub async fn has_operator(&self) -> Result<bool, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(accounts::count(&mut snapshot, Role::Operator).await? > 0)
    }

    /// The account of that name.
    pub async fn account(&self, user_id: &UserId) -> Result<Option<Account>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(accounts::account(&mut snapshot, user_id).await?)
    }

    /// All accounts, page by page.
    pub async fn list(&self, after: &str, limit: i64) -> Result<Vec<Account>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(accounts::list(&mut snapshot, after, limit).await?)
    }

    /// Sets what a person may do here; for operators.
    pub async fn set_role(&self, user_id: &UserId, role: Role) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    if tx.set_role(&user_id, role).await? { Ok(()) } else { Err(gone(&user_id)) }
                })
            })
            .await
    }

    /// On a closed node only the links count that its operator makes on its own machine.
    fn is_closed(&self) -> bool {
        self.ground.config.registration == Registration::Closed
    }

    fn may_come_uninvited(&self, guest: bool) -> Result<(), Error> {
        match self.ground.config.registration {
            Registration::Open => Ok(()),
            Registration::Token if guest => Err(Error::Forbidden(
                "guests need a link to this node: ask somebody who lives here for one".to_owned(),
            )),
            Registration::Token => Err(Error::Forbidden(
                "an invitation is needed to make an account here: ask its operator for one"
                    .to_owned(),
            )),
            Registration::Closed => {
                Err(Error::Forbidden("this node takes no new accounts".to_owned()))
            }
        }
    }

    fn checked_name(&self, name: &str) -> Result<OwnedUserId, Error> {
        let wrong =
            |why: &str| Error::NameInvalid(format!("the name {name:?} cannot be used: {why}"));
        // A full user id of this node is as good as the name in it.
        let local = name
            .strip_prefix('@')
            .and_then(|rest| rest.strip_suffix(&format!(":{}", self.ground.server_name)))
            .unwrap_or(name);
        if local.is_empty() || local.len() > LOCALPART_CHARS {
            return Err(wrong("it must have 1 to 64 letters"));
        }
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-/+".contains(c);
        if !local.chars().all(allowed) {
            return Err(wrong("it may hold only a-z, 0-9 and . _ = - / +"));
        }
        if local.starts_with('_') || local.starts_with("guest-") {
            return Err(wrong("names that begin with _ or guest- are kept for the node"));
        }
        let user_id = self.ground.user_id(local).map_err(|_| wrong("it is too long"))?;
        self.ground.app_services.check_user(&user_id)?;
        Ok(user_id)
    }
}

/// Refuses a device that was signed out, or whose person was locked.
pub(super) async fn still_in(
    from: &mut impl Reads,
    user_id: &UserId,
    device_id: &str,
) -> Result<(), Error> {
    match accounts::standing(from, user_id, device_id).await? {
        Standing::SignedIn => Ok(()),
        Standing::SignedOut => Err(Error::UnknownToken),
        Standing::Locked => Err(Error::Locked),
    }
}

fn invitation_hash(text: &str) -> Result<[u8; 32], Error> {
    Secret::parse(text).map(|secret| secret.hash().0).ok_or_else(bad_invitation)
}

fn gone(user_id: &UserId) -> Error {
    Error::NotFound(format!("{user_id} has no account here"))
}

fn wrong_proof() -> Error {
    Unproven::Credentials.into()
}

fn bad_invitation() -> Error {
    Error::Forbidden("the invitation is unknown, used up or over: ask for a new one".to_owned())
}

fn checked_device_name(name: String) -> Result<String, Error> {
    if name.len() > limits::NAME_BYTES {
        return Err(Error::TooLarge("the name of a device has at most 512 bytes".to_owned()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
