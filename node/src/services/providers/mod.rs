//! Signing in with an account elsewhere, by the word of who knows them there.
//!
//! That is a provider of identities (`OpenID` Connect), or the home of somebody who shows who they are by their DID.
//!
//! Nothing is kept of those who are on their way. What they carry is sealed with a key of this node,
//! bound to the browser that they set out with, and soon over; the provider's code is good once.

mod file;
mod openid;
mod wallets;

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;
use wayside_identity::tag::{is_sealed, seal};

pub use self::{file::Provider, wallets::Wallets};
use self::{
    openid::{Exchange, Person, Talk, TalkError},
    wallets::Asking,
};
use super::{
    Error, Ground, Unproven,
    accounts::{Accounts, Confirmed, Known, link_id},
    persons::{BY_DID, Shown},
};
use crate::{outbound::Chosen, store::providers::LinkRow};

/// How long somebody may be away with their provider, in milliseconds.
const AWAY_MS: i64 = 15 * 60 * 1_000;
/// How long ago somebody may have shown their provider who they are, in seconds. Whoever confirms
/// something does so after they set out; this has the provider say when it was.
const PRESENT_S: &str = "300";
/// How long a newcomer may think about a name, in milliseconds.
const TICKET_MS: i64 = 30 * 60 * 1_000;
/// What a browser keeps for itself while its person is away.
const BROWSER_BYTES: std::ops::RangeInclusive<usize> = 32..=128;
/// Longest code and longest state.
const CODE_BYTES: usize = 4_096;
/// Longest name that a provider may give somebody here, in bytes.
const DISPLAYNAME_BYTES: usize = 255;
/// Longest name of an account, without the server's.
const LOCALPART_CHARS: usize = 64;

/// The service.
pub struct Providers {
    ground: Arc<Ground>,
    accounts: Arc<Accounts>,
    all: Vec<(Provider, Talk)>,
    wallets: Wallets,
}

/// With whom somebody is to be vouched for.
#[derive(Clone, Copy)]
pub struct Whom<'w> {
    /// The id of a provider, or [`BY_DID`].
    pub id: &'w str,
    /// Where their home is who come by their DID, in their words.
    pub home: Option<&'w str>,
}

/// What somebody comes back with.
pub struct Return<'r> {
    /// What they carried.
    pub state: &'r str,
    /// What stands for them.
    pub brought: Brought<'r>,
}

/// What stands for somebody who comes back.
pub enum Brought<'r> {
    /// The word of their provider.
    Code {
        /// What it gives for the asking.
        code: &'r str,
        /// Who says so (RFC 9207).
        issuer: Option<&'r str>,
    },
    /// What they show of themselves.
    Presentations(&'r Presentations),
}

/// Presentations by the id of what was asked for (`OpenID` for Verifiable Presentations 1.0, 8.1).
pub type Presentations = BTreeMap<String, Vec<Value>>;

/// Somebody who came back from their provider.
pub enum Arrived {
    /// They have an account here.
    Known {
        /// Whose.
        user_id: OwnedUserId,
        /// A login token.
        login_token: String,
    },
    /// They have none that is known to be theirs.
    Newcomer(Newcomer),
    /// They confirm what they were asked for on the page that they left.
    Confirming {
        /// Who.
        user_id: OwnedUserId,
        /// What they show for it.
        word: String,
    },
    /// They set out to have their provider vouch for them from now on.
    Linked {
        /// Who.
        user_id: OwnedUserId,
        /// What their provider is called.
        provider: String,
    },
}

/// An account elsewhere by which somebody is known.
pub struct Link {
    /// Its short name.
    pub id: String,
    /// The id of the provider, where this node still knows it.
    pub provider: Option<String>,
    /// What people call it.
    pub name: Option<String>,
    /// The provider's name for itself.
    pub issuer: String,
    /// The DID by whose keys they come, where it is one.
    pub did: Option<String>,
    /// Since when, in milliseconds since the epoch.
    pub linked_ms: i64,
}

/// For what somebody sets out.
pub enum Errand {
    /// To come in.
    SignIn,
    /// To confirm something, for which they say anew who they are.
    Confirm,
    /// To have the provider vouch for them from now on.
    Link(OwnedUserId),
}

/// Somebody whom a provider knows, and this node does not.
pub struct Newcomer {
    /// What they show when they have decided.
    pub ticket: String,
    /// What their provider is called.
    pub provider: String,
    /// A name that their account could have.
    pub name: Option<String>,
    /// What people call them.
    pub displayname: Option<String>,
    /// Whether they may make an account.
    pub registration: bool,
}

/// Who vouches for somebody.
#[derive(Clone, Copy)]
enum Voucher<'p> {
    /// A provider of identities.
    Provider(&'p Provider, &'p Talk),
    /// They themselves, by their DID.
    Person(&'p Wallets),
}

impl<'p> Voucher<'p> {
    fn id(self) -> &'p str {
        match self {
            Self::Provider(provider, _) => &provider.id,
            Self::Person(_) => BY_DID,
        }
    }

    fn issuer(self) -> &'p str {
        match self {
            Self::Provider(provider, _) => &provider.issuer,
            Self::Person(_) => BY_DID,
        }
    }

    fn lets_make_accounts(self) -> bool {
        match self {
            Self::Provider(provider, _) => provider.registration,
            Self::Person(wallets) => wallets.registration(),
        }
    }
}

/// Somebody for whom somebody vouches.
struct Vouched {
    person: Person,
    /// What people call who vouches.
    by: String,
}

impl From<Shown> for Vouched {
    fn from(Shown { did, account, name, .. }: Shown) -> Self {
        let person = Person {
            sub: did.subject().to_owned(),
            name,
            preferred_username: Some(account.localpart().to_owned()),
            ..Person::default()
        };
        Self { person, by: account.server_name().to_string() }
    }
}

/// What somebody carries on their way.
struct Carried<'p> {
    /// With whom they were.
    voucher: Voucher<'p>,
    /// When they set out.
    began_ms: i64,
    /// Whom that provider vouches for from now on, where they set out for that.
    linking: Option<OwnedUserId>,
}

/// What a ticket says.
#[derive(Serialize, Deserialize)]
struct Ticket {
    provider: String,
    subject: String,
    displayname: Option<String>,
    expires_ms: i64,
}

impl Providers {
    /// The service on its ground and the files that the settings name.
    pub fn new(
        ground: Arc<Ground>,
        accounts: Arc<Accounts>,
        wallets: Wallets,
    ) -> anyhow::Result<Self> {
        let all = file::read(&ground.config.identity_providers);
        let all = all.context("reading identity_providers")?;
        let line = Chosen::new(ground.config.trust_ca.as_deref())?;
        let talk = |provider| (provider, Talk::new(line.clone(), ground.clock));
        let all: Vec<_> = all.into_iter().map(talk).collect();
        Ok(Self { ground, accounts, all, wallets })
    }

    /// Settles whose word opens accounts here, once it is known where this node is found.
    pub fn settle(&self) {
        let by_did = self.wallets.are_taken().then(|| BY_DID.to_owned());
        let issuers = self.all().map(|provider| provider.issuer.clone());
        self.accounts.take_word_of(issuers.chain(by_did));
    }

    /// All of them, in the operator's order.
    pub fn all(&self) -> impl Iterator<Item = &Provider> {
        self.all.iter().map(|(provider, _)| provider)
    }

    /// The one of that id.
    pub fn get(&self, id: &str) -> Result<&Provider, Error> {
        match self.found(id)? {
            Voucher::Provider(provider, _) => Ok(provider),
            Voucher::Person(_) => Err(unknown(id)),
        }
    }

    /// Refuses whoever is none who vouches here.
    pub fn knows(&self, id: &str) -> Result<(), Error> {
        self.found(id).map(drop)
    }

    /// Where somebody goes to be vouched for. `browser` is a secret of the page that sends them, which
    /// shows it again when they come back; `back` is where they come back to.
    pub async fn begin(
        &self,
        whom: Whom<'_>,
        browser: &str,
        back: &str,
        errand: Errand,
    ) -> Result<String, Error> {
        let voucher = self.found(whom.id)?;
        let browser = hash_of(browser)?;
        let random = URL_SAFE_NO_PAD.encode(self.ground.clock.random::<16>());
        let expires_ms = self.ground.clock.now_ms() + AWAY_MS;
        let mut body = format!("{}.{random}.{expires_ms}", voucher.id());
        if let Errand::Link(user_id) = &errand {
            body = format!("{body}.{}", URL_SAFE_NO_PAD.encode(user_id));
        }
        let state = format!("{body}.{}", self.sealed(&of_state(&body, &browser)));
        let nonce = self.nonce(&state);
        let (provider, talk) = match (voucher, whom.home) {
            (Voucher::Person(wallets), Some(home)) => {
                let asking = Asking { back, state: &state, nonce: &nonce };
                return wallets.door(home, &asking).await;
            }
            (Voucher::Provider(provider, talk), None) => (provider, talk),
            (Voucher::Person(_), None) => {
                return Err(Error::Missing("home says where your home is".to_owned()));
            }
            (Voucher::Provider(..), Some(_)) => {
                return Err(Error::Invalid("home goes with a DID alone".to_owned()));
            }
        };
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(&state)));
        let mut words = vec![
            ("redirect_uri", back),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        // Whoever only is signed in there still says what they want here, and by which of their names.
        if !matches!(errand, Errand::SignIn) {
            words.push(("prompt", "login"));
        }
        // A provider that is asked for an age says when it was (OpenID Connect Core 1.0, 3.1.2.1).
        if matches!(errand, Errand::Confirm) {
            words.push(("max_age", PRESENT_S));
        }
        talk.door(provider, &words).await.map_err(|why| told(provider, &why))
    }

    /// Takes in whoever comes back; `confirms` is the session of what they confirm, if they do.
    pub async fn finish(
        &self,
        came: Return<'_>,
        browser: &str,
        back: &str,
        confirms: Option<&str>,
    ) -> Result<Arrived, Error> {
        let hash = hash_of(browser)?;
        if came.state.len() > CODE_BYTES {
            return Err(astray());
        }
        let Carried { voucher, began_ms, linking } = self.carried(came.state, &hash)?;
        // Whoever confirms something shows that they are there, after they were asked to.
        let since_ms = confirms.is_some().then_some(began_ms);
        let Vouched { person, by } = match (voucher, came.brought) {
            (Voucher::Provider(provider, talk), Brought::Code { code, issuer }) => {
                let (verifier, nonce) = (self.verifier(came.state), self.nonce(came.state));
                let (verifier, nonce) = (verifier.as_str(), nonce.as_str());
                if code.len() > CODE_BYTES {
                    return Err(astray());
                }
                let exchange = Exchange { code, verifier, nonce, redirect: back, since_ms };
                let person = async {
                    talk.came_from(provider, issuer).await?;
                    talk.person(provider, exchange).await
                };
                let person = person.await.map_err(|why| told(provider, &why))?;
                Vouched { person, by: provider.name.clone() }
            }
            (Voucher::Person(wallets), Brought::Presentations(shown)) => {
                // What they sign now was asked of them for this: they cannot have signed it before.
                let nonce = self.nonce(came.state);
                let asking = Asking { back, state: came.state, nonce: &nonce };
                wallets.person(shown, &asking, began_ms + AWAY_MS).await?.into()
            }
            _ => return Err(astray()),
        };
        let known = Known { issuer: voucher.issuer().to_owned(), subject: person.sub.clone() };
        if let Some(user_id) = linking {
            self.accounts.finish_linking(known, &user_id).await?;
            return Ok(Arrived::Linked { user_id, provider: by });
        }
        let vouched = self.accounts.vouched(&known).await?;
        if let Some(session) = confirms {
            let (user_id, _) = vouched.ok_or(Unproven::Stranger(by))?;
            let word = self.accounts.word_for(session, &user_id, &hash)?;
            return Ok(Arrived::Confirming { user_id, word });
        }
        if let Some((user_id, confirmed)) = vouched {
            let login_token = self.accounts.login_token(confirmed).await?;
            return Ok(Arrived::Known { user_id, login_token });
        }
        self.newcomer(voucher, Vouched { person, by }, &hash)
    }

    fn newcomer(
        &self,
        voucher: Voucher<'_>,
        Vouched { person, by }: Vouched,
        browser: &[u8; 32],
    ) -> Result<Arrived, Error> {
        let name = suggestion(&person);
        let displayname = person.name.map(|name| name.trim().to_owned());
        let displayname = displayname.filter(|name| (1..=DISPLAYNAME_BYTES).contains(&name.len()));
        let ticket = Ticket {
            provider: voucher.id().to_owned(),
            subject: person.sub,
            displayname: displayname.clone(),
            expires_ms: self.ground.clock.now_ms() + TICKET_MS,
        };
        let ticket = serde_json::to_vec(&ticket).map_err(Error::internal)?;
        let sealed = self.sealed(&of_ticket(&ticket, browser));
        Ok(Arrived::Newcomer(Newcomer {
            ticket: format!("{}.{sealed}", URL_SAFE_NO_PAD.encode(ticket)),
            provider: by,
            name,
            displayname,
            registration: voucher.lets_make_accounts(),
        }))
    }

    /// Makes an account for a newcomer, and gives a login token for it.
    pub async fn register(
        &self,
        ticket: &str,
        browser: &str,
        name: &str,
    ) -> Result<(OwnedUserId, String), Error> {
        let (voucher, ticket) = self.shown(ticket, browser)?;
        if !voucher.lets_make_accounts() {
            let why = "whoever comes so cannot make an account here: sign in to one that you have";
            return Err(Error::Forbidden(why.to_owned()));
        }
        let known = Known { issuer: voucher.issuer().to_owned(), subject: ticket.subject };
        let made = self.accounts.register_known(known, name, ticket.displayname).await?;
        Ok((made.0, self.accounts.login_token(made.1).await?))
    }

    /// Makes a newcomer known as somebody who has an account here, and has just proven it.
    pub async fn link(
        &self,
        ticket: &str,
        browser: &str,
        confirmed: Confirmed,
    ) -> Result<(OwnedUserId, String), Error> {
        let (voucher, ticket) = self.shown(ticket, browser)?;
        let known = Known { issuer: voucher.issuer().to_owned(), subject: ticket.subject };
        let (user_id, confirmed) = self.accounts.link(known, confirmed).await?;
        Ok((user_id, self.accounts.login_token(confirmed).await?))
    }

    /// The accounts elsewhere by which somebody is known, the oldest first.
    pub async fn links(&self, user_id: &UserId) -> Result<Vec<Link>, Error> {
        let links = self.accounts.links(user_id).await?;
        let read = |link: &LinkRow| {
            let by_did = link.issuer == BY_DID;
            let provider = self.all().find(|provider| provider.issuer == link.issuer);
            let id = provider.map(|provider| provider.id.clone());
            Link {
                id: link_id(link),
                provider: id.or_else(|| self.by_did().filter(|_| by_did).map(str::to_owned)),
                name: provider.map(|provider| provider.name.clone()),
                issuer: link.issuer.clone(),
                did: by_did.then(|| link.subject.clone()),
                linked_ms: link.linked_ms,
            }
        };
        Ok(links.iter().map(read).collect())
    }

    /// The address of the node where somebody lives, by what they type.
    pub async fn home(&self, typed: &str) -> Result<Url, Error> {
        self.wallets.home(typed).await
    }

    /// What people come by who come by their DID, where they may.
    #[must_use]
    pub fn by_did(&self) -> Option<&'static str> {
        self.wallets.are_taken().then_some(BY_DID)
    }

    fn found(&self, id: &str) -> Result<Voucher<'_>, Error> {
        if self.by_did() == Some(id) {
            return Ok(Voucher::Person(&self.wallets));
        }
        let found = self.all.iter().find(|(provider, _)| provider.id == id);
        let found = found.map(|(provider, talk)| Voucher::Provider(provider, talk));
        found.ok_or_else(|| unknown(id))
    }

    /// What somebody carries.
    fn carried(&self, state: &str, browser: &[u8; 32]) -> Result<Carried<'_>, Error> {
        let (body, sealed) = state.rsplit_once('.').ok_or_else(astray)?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| astray())?;
        if !is_sealed(&self.ground.token_key, &of_state(body, browser), &sealed) {
            return Err(astray());
        }
        let mut parts = body.split('.');
        let (id, end) = (parts.next(), parts.nth(1).and_then(|end| end.parse::<i64>().ok()));
        let (Some(id), Some(end)) = (id, end) else { return Err(astray()) };
        if end <= self.ground.clock.now_ms() {
            return Err(astray());
        }
        let linking = parts.next().map(|named| {
            let named = URL_SAFE_NO_PAD.decode(named).ok();
            let named = named.and_then(|named| String::from_utf8(named).ok());
            named.and_then(|named| UserId::parse(named).ok()).ok_or_else(astray)
        });
        let voucher = self.found(id)?;
        Ok(Carried { voucher, began_ms: end - AWAY_MS, linking: linking.transpose()? })
    }

    fn shown(&self, ticket: &str, browser: &str) -> Result<(Voucher<'_>, Ticket), Error> {
        let browser = hash_of(browser)?;
        let (body, sealed) = ticket.rsplit_once('.').ok_or_else(astray)?;
        let body = URL_SAFE_NO_PAD.decode(body).map_err(|_| astray())?;
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| astray())?;
        if !is_sealed(&self.ground.token_key, &of_ticket(&body, &browser), &sealed) {
            return Err(astray());
        }
        let ticket: Ticket = serde_json::from_slice(&body).map_err(Error::internal)?;
        if ticket.expires_ms <= self.ground.clock.now_ms() {
            return Err(astray());
        }
        Ok((self.found(&ticket.provider)?, ticket))
    }

    fn sealed(&self, parts: &[&[u8]]) -> String {
        URL_SAFE_NO_PAD.encode(seal(&self.ground.token_key, parts))
    }

    /// What only this node can show together with the code (RFC 7636).
    fn verifier(&self, state: &str) -> String {
        self.sealed(&[b"provider verifier", state.as_bytes()])
    }

    /// What ties the provider's word to this one sign-in.
    fn nonce(&self, state: &str) -> String {
        self.sealed(&[b"provider nonce", state.as_bytes()])
    }
}

fn of_state<'s>(body: &'s str, browser: &'s [u8; 32]) -> [&'s [u8]; 3] {
    [b"provider state", body.as_bytes(), browser]
}

fn of_ticket<'t>(body: &'t [u8], browser: &'t [u8; 32]) -> [&'t [u8]; 3] {
    [b"provider ticket", body, browser]
}

fn hash_of(browser: &str) -> Result<[u8; 32], Error> {
    if !BROWSER_BYTES.contains(&browser.len()) {
        let why = "browser is a secret of 32 to 128 letters that the page makes";
        return Err(Error::Invalid(why.to_owned()));
    }
    Ok(Sha256::digest(browser).into())
}

fn unknown(id: &str) -> Error {
    Error::NotFound(format!("this node knows no provider {id:?}"))
}

fn astray() -> Error {
    Unproven::Astray.into()
}

/// What people are told when their provider vouches for nobody; the log says more.
fn told(provider: &Provider, why: &TalkError) -> Error {
    let (id, name) = (&provider.id, &provider.name);
    let cause = why.to_string();
    match why {
        TalkError::Refused(_) => {
            tracing::info!(provider = %id, %cause, "a sign-in was not finished");
            Unproven::Unvouched(name.clone()).into()
        }
        TalkError::Undated | TalkError::Stale => {
            tracing::info!(provider = %id, %cause, "nothing was confirmed");
            let name = name.clone();
            let undated = matches!(why, TalkError::Undated);
            if undated { Unproven::Undated(name) } else { Unproven::Stale(name) }.into()
        }
        TalkError::Away { .. } | TalkError::Rests => {
            tracing::warn!(provider = %id, %cause, "a provider of identities is away");
            Error::NoAnswer(format!("{name} does not answer just now: try again in a while"))
        }
        TalkError::Wrong(_) => {
            tracing::warn!(provider = %id, %cause, "a provider of identities cannot be believed");
            let why = "whoever runs this node finds the reason in its log";
            Error::NoAnswer(format!("{name} gave an answer that proves nothing: {why}"))
        }
    }
}

/// A name that an account could have, from what the provider says of somebody.
fn suggestion(person: &Person) -> Option<String> {
    let mail = person.email.as_deref().and_then(|it| it.split('@').next());
    let all = [person.preferred_username.as_deref(), person.nickname.as_deref(), mail];
    let of = |text: &str| {
        let text = text.split('@').next().unwrap_or_default().to_lowercase();
        let fits = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c);
        let name: String = text.chars().filter(fits).take(LOCALPART_CHARS).collect();
        name.trim_start_matches('_').to_owned()
    };
    all.into_iter().flatten().map(of).find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_suggested_that_an_account_may_have() {
        let of = |username: Option<&str>, nickname: Option<&str>, email: Option<&str>| {
            suggestion(&Person {
                preferred_username: username.map(str::to_owned),
                nickname: nickname.map(str::to_owned),
                email: email.map(str::to_owned),
                ..Person::default()
            })
        };
        assert_eq!(of(Some("Ann B."), None, None).as_deref(), Some("annb."));
        assert_eq!(of(Some("ann@club.example"), None, None).as_deref(), Some("ann"));
        assert_eq!(of(Some("安"), Some("_an"), None).as_deref(), Some("an"));
        assert_eq!(of(None, None, Some("ann.b@club.example")).as_deref(), Some("ann.b"));
        assert_eq!(of(None, None, None), None);
        assert_eq!(of(Some(&"a".repeat(90)), None, None).map(|it| it.len()), Some(64));
    }
}
