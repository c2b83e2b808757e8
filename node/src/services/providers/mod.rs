//! Signing in with an account elsewhere: the node asks a provider of identities whom it knows (`OpenID` Connect).
//!
//! Nothing is kept of those who are on their way. What they carry is sealed with a key of this node,
//! bound to the browser that they set out with, and soon over; the provider's code is good once.

mod file;
mod openid;

use std::sync::Arc;

use anyhow::Context;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wayside_identity::tag::{is_sealed, seal};

pub use self::file::Provider;
use self::openid::{Exchange, Person, Talk, TalkError};
use super::{
    Error, Ground, Unproven,
    accounts::{Accounts, Confirmed, Known, link_id},
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
}

/// What a provider brings somebody back with.
pub struct Return<'r> {
    /// What they carried.
    pub state: &'r str,
    /// What stands for them.
    pub code: &'r str,
    /// Who says so (RFC 9207).
    pub issuer: Option<&'r str>,
}

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
    /// The provider, where this node still knows it.
    pub provider: Option<(String, String)>,
    /// The provider's name for itself.
    pub issuer: String,
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

/// What somebody carries on their way.
struct Carried<'p> {
    /// With whom they were.
    provider: &'p Provider,
    talk: &'p Talk,
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
    pub fn new(ground: Arc<Ground>, accounts: Arc<Accounts>) -> anyhow::Result<Self> {
        let all = file::read(&ground.config.identity_providers);
        let all = all.context("reading identity_providers")?;
        let line = Chosen::new(ground.config.trust_ca.as_deref())?;
        let talk = |provider| (provider, Talk::new(line.clone(), ground.clock));
        let all: Vec<_> = all.into_iter().map(talk).collect();
        accounts.take_word_of(all.iter().map(|(provider, _)| provider.issuer.clone()));
        Ok(Self { ground, accounts, all })
    }

    /// All of them, in the operator's order.
    pub fn all(&self) -> impl Iterator<Item = &Provider> {
        self.all.iter().map(|(provider, _)| provider)
    }

    /// The one of that id.
    pub fn get(&self, id: &str) -> Result<&Provider, Error> {
        self.found(id).map(|(provider, _)| provider)
    }

    /// Where somebody goes to be vouched for. `browser` is a secret of the page that sends them, which
    /// shows it again when they come back; `back` is where they come back to.
    pub async fn begin(
        &self,
        id: &str,
        browser: &str,
        back: &str,
        errand: Errand,
    ) -> Result<String, Error> {
        let (provider, talk) = self.found(id)?;
        let browser = hash_of(browser)?;
        let random = URL_SAFE_NO_PAD.encode(self.ground.clock.random::<16>());
        let expires_ms = self.ground.clock.now_ms() + AWAY_MS;
        let mut body = format!("{}.{random}.{expires_ms}", provider.id);
        if let Errand::Link(user_id) = &errand {
            body = format!("{body}.{}", URL_SAFE_NO_PAD.encode(user_id));
        }
        let state = format!("{body}.{}", self.sealed(&of_state(&body, &browser)));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(self.verifier(&state)));
        let nonce = self.nonce(&state);
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
        if came.code.len() > CODE_BYTES || came.state.len() > CODE_BYTES {
            return Err(astray());
        }
        let Carried { provider, talk, began_ms, linking } = self.carried(came.state, &hash)?;
        let (verifier, nonce) = (self.verifier(came.state), self.nonce(came.state));
        // Whoever confirms something shows that they are there, after they were asked to.
        let since_ms = confirms.is_some().then_some(began_ms);
        let (verifier, nonce) = (verifier.as_str(), nonce.as_str());
        let exchange = Exchange { code: came.code, verifier, nonce, redirect: back, since_ms };
        let person = async {
            talk.came_from(provider, came.issuer).await?;
            talk.person(provider, exchange).await
        };
        let person = person.await.map_err(|why| told(provider, &why))?;
        let known = Known { issuer: provider.issuer.clone(), subject: person.sub.clone() };
        if let Some(user_id) = linking {
            self.accounts.finish_linking(known, &user_id).await?;
            return Ok(Arrived::Linked { user_id, provider: provider.name.clone() });
        }
        let vouched = self.accounts.vouched(&known).await?;
        if let Some(session) = confirms {
            let (user_id, _) = vouched.ok_or_else(|| Unproven::Stranger(provider.name.clone()))?;
            let word = self.accounts.word_for(session, &user_id, &hash)?;
            return Ok(Arrived::Confirming { user_id, word });
        }
        if let Some((user_id, confirmed)) = vouched {
            let login_token = self.accounts.login_token(confirmed).await?;
            return Ok(Arrived::Known { user_id, login_token });
        }
        self.newcomer(provider, person, &hash)
    }

    fn newcomer(
        &self,
        provider: &Provider,
        person: Person,
        browser: &[u8; 32],
    ) -> Result<Arrived, Error> {
        let name = suggestion(&person);
        let displayname = person.name.map(|name| name.trim().to_owned());
        let displayname = displayname.filter(|name| (1..=DISPLAYNAME_BYTES).contains(&name.len()));
        let ticket = Ticket {
            provider: provider.id.clone(),
            subject: person.sub,
            displayname: displayname.clone(),
            expires_ms: self.ground.clock.now_ms() + TICKET_MS,
        };
        let ticket = serde_json::to_vec(&ticket).map_err(Error::internal)?;
        let sealed = self.sealed(&of_ticket(&ticket, browser));
        Ok(Arrived::Newcomer(Newcomer {
            ticket: format!("{}.{sealed}", URL_SAFE_NO_PAD.encode(ticket)),
            provider: provider.name.clone(),
            name,
            displayname,
            registration: provider.registration,
        }))
    }

    /// Makes an account for a newcomer, and gives a login token for it.
    pub async fn register(
        &self,
        ticket: &str,
        browser: &str,
        name: &str,
    ) -> Result<(OwnedUserId, String), Error> {
        let (provider, ticket) = self.shown(ticket, browser)?;
        if !provider.registration {
            let why = format!("{} lets nobody make an account here", provider.name);
            return Err(Error::Forbidden(why));
        }
        let known = Known { issuer: provider.issuer.clone(), subject: ticket.subject };
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
        let (provider, ticket) = self.shown(ticket, browser)?;
        let known = Known { issuer: provider.issuer.clone(), subject: ticket.subject };
        let (user_id, confirmed) = self.accounts.link(known, confirmed).await?;
        Ok((user_id, self.accounts.login_token(confirmed).await?))
    }

    /// The accounts elsewhere by which somebody is known, the oldest first.
    pub async fn links(&self, user_id: &UserId) -> Result<Vec<Link>, Error> {
        let links = self.accounts.links(user_id).await?;
        let read = |link: &LinkRow| Link {
            id: link_id(link),
            provider: self
                .all()
                .find(|provider| provider.issuer == link.issuer)
                .map(|provider| (provider.id.clone(), provider.name.clone())),
            issuer: link.issuer.clone(),
            linked_ms: link.linked_ms,
        };
        Ok(links.iter().map(read).collect())
    }

    fn found(&self, id: &str) -> Result<&(Provider, Talk), Error> {
        let found = self.all.iter().find(|(provider, _)| provider.id == id);
        found.ok_or_else(|| Error::NotFound(format!("this node knows no provider {id:?}")))
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
        let (provider, talk) = self.found(id)?;
        Ok(Carried { provider, talk, began_ms: end - AWAY_MS, linking: linking.transpose()? })
    }

    fn shown(&self, ticket: &str, browser: &str) -> Result<(&Provider, Ticket), Error> {
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
        Ok((self.get(&ticket.provider)?, ticket))
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
