//! Who somebody is who shows it: their keys say so, their home does, and both name each other.

use std::sync::{Arc, atomic::Ordering};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedUserId, UserId, matrix_uri::MatrixId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wayside_identity::{
    avatar,
    credential::{Credential, presented},
    did::Document,
    login::{self, Asked},
    rdf::Contexts,
    tag,
    time::Moment,
};
use wayside_specs::Did;

use super::{PROFILE_FIELD, Persons};
use crate::services::{
    Error, Unproven,
    dids::{Resolved, Unresolved},
};

/// The type of the word of a home.
pub const MEMBERSHIP: &str = "urn:wayside:HomeMembership";
/// How old the document may be by whose keys somebody shows who they are: a key that was taken out of it
/// opens nothing any more.
const FRESH_MS: i64 = 1_000;
/// The same of whoever vouches for them.
const HOME_FRESH_MS: i64 = 60 * 1_000;
/// Longest name of somebody that is taken over, in bytes.
const NAME_BYTES: usize = 255;

/// Most credentials that are looked at of what somebody shows.
const SHOWN_AT_ONCE: usize = 16;

/// How long somebody may take to show who they are, in milliseconds.
pub const CHALLENGE_MS: i64 = 5 * 60 * 1_000;
/// Tells the seals of challenges from all others under the same key.
const LABEL: &[u8] = b"visit challenge";
/// After so many people who came it is looked whether too many are remembered.
const TIDYING: u64 = 1_000;

/// What somebody is asked to sign, to show this node who they are.
pub struct Challenge {
    /// The text.
    pub text: String,
    /// By what this node is known in the answer: the origin of its pages.
    pub domain: String,
}

/// Somebody who has shown who they are.
#[derive(Clone, Debug)]
pub struct Shown {
    /// What their DID is called now.
    pub did: Did,
    /// Their account at home, which names the DID as the DID names it.
    pub account: OwnedUserId,
    /// What they are called there.
    pub name: Option<String>,
    /// What their profile says of the body that they wear.
    pub wears: Option<Value>,
    /// All credentials that they show, the word of their home among them: what each is worth says who issued it, and
    /// whether they stand by it.
    pub others: Vec<Credential>,
    /// The accounts that their DID named before and names no more, the latest first: whoever did not see for
    /// themselves that one of them was theirs has only their word for it.
    pub formerly: Vec<OwnedUserId>,
}

impl Persons {
    /// A challenge for whoever comes from elsewhere. Nothing is kept of it: it knows its own end, and of
    /// answers the node remembers only that they were given.
    pub fn challenge(&self) -> Result<Challenge, Error> {
        let domain = self.domain()?;
        let random = URL_SAFE_NO_PAD.encode(self.ground.clock.random::<16>());
        let body = format!("{random}.{}", self.ground.clock.now_ms() + CHALLENGE_MS);
        let seal = tag::seal(&self.ground.token_key, &[LABEL, body.as_bytes()]);
        Ok(Challenge { text: format!("{body}.{}", URL_SAFE_NO_PAD.encode(seal)), domain })
    }

    /// Who somebody is who answers such a challenge, once.
    pub async fn answered(&self, presentation: &Value, challenge: &str) -> Result<Shown, Error> {
        let expires_ms = self.expiry(challenge).ok_or(Unproven::Late)?;
        let domain = self.domain()?;
        let shown = Box::pin(self.shown(presentation, &domain, challenge)).await?;
        let hash: [u8; 32] = Sha256::digest(challenge).into();
        let (subject, account) = (shown.did.subject().to_owned(), shown.account.clone());
        let now_ms = self.ground.clock.now_ms();
        let tidy = self.came.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIDYING);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                if !tx.spend_challenge(&hash, expires_ms).await? {
                    return Err(Unproven::Late.into());
                }
                tx.see_visitor(&subject, &account, now_ms).await?;
                if tidy {
                    tx.forget_visitors().await?;
                }
                Ok(())
            })
        });
        write.await?;
        Ok(shown)
    }

    /// By what this node is known to those who show it who they are (`OpenID` for Verifiable Presentations
    /// 1.0, A.2, as a page of another origin asks).
    fn domain(&self) -> Result<String, Error> {
        let none = || Error::NotFound("this node has no name by which people visit it".to_owned());
        let site = self.site.get().ok_or_else(none)?;
        Ok(format!("origin:{}", site.base.origin().ascii_serialization()))
    }

    /// When a challenge of this node ends, where it is one and has not ended.
    fn expiry(&self, challenge: &str) -> Option<i64> {
        let (body, seal) = challenge.rsplit_once('.')?;
        let seal = URL_SAFE_NO_PAD.decode(seal).ok()?;
        if !tag::is_sealed(&self.ground.token_key, &[LABEL, body.as_bytes()], &seal) {
            return None;
        }
        let expires_ms = body.split_once('.')?.1.parse().ok()?;
        (expires_ms > self.ground.clock.now_ms()).then_some(expires_ms)
    }

    /// Who somebody is who answers a challenge with a presentation; the caller sees to it that a challenge
    /// is answered once.
    pub async fn shown(
        &self,
        presentation: &Value,
        domain: &str,
        challenge: &str,
    ) -> Result<Shown, Error> {
        let now = Moment(self.ground.clock.now_ms());
        let asked = Asked { domain, challenge, now };
        // What cannot be right whoever they are has nobody asked.
        let holder = login::plausible(presentation, &asked).map_err(|it| unshown(&it))?;
        let credentials = presented(presentation, &Contexts::new()).map_err(|it| unshown(&it))?;
        let read =
            credentials.iter().take(SHOWN_AT_ONCE).filter_map(|it| Credential::read(it).ok());
        let others: Vec<Credential> = read.collect();
        let word = others.iter().position(|it| it.is(MEMBERSHIP) && it.is_plain());
        let word = word.ok_or_else(|| unshown(&"no word of your home is among it"))?;
        let word = others[word].clone();
        // A home speaks of those whose DIDs are with it: nobody vouches for themselves.
        let issuer = home_of(&holder).filter(|home| home.as_str() == word.issuer());
        let issuer = issuer.ok_or_else(|| unshown(&"the word is not that of your home"))?;
        let (found, home) =
            tokio::join!(self.found(&holder, FRESH_MS), self.found(&issuer, HOME_FRESH_MS));
        let found = found?;
        if found.webvh.as_ref().is_some_and(|webvh| webvh.deactivated) {
            return Err(unshown(&"the DID has come to its end"));
        }
        let proven = login::verify(presentation, &found.document, &asked);
        let did = proven.map_err(|it| unshown(&it))?.did().clone();
        word.verify(&home?.document, now).map_err(|it| unshown(&it))?;
        let (account, name) = said_of(&did, &found.document, &word)?;
        let wears = self.must_name(&account, &did).await?;
        let formerly = formerly(&found);
        Ok(Shown { did, account, name, wears, others, formerly })
    }

    /// Whether a DID stands by what an account has given, and each of the two names the other. Gives the accounts
    /// that it named before, as [`Shown::formerly`].
    pub async fn stands_by(
        &self,
        account: &UserId,
        did: &Did,
        credential: &Credential,
    ) -> Result<Vec<OwnedUserId>, Error> {
        let found = self.found(did, HOME_FRESH_MS).await?;
        if found.webvh.as_ref().is_some_and(|webvh| webvh.deactivated) {
            return Err(unshown(&"the DID has come to its end"));
        }
        let uri = account.matrix_uri(false).to_string();
        if !found.document.also_known_as().contains(&uri) {
            return Err(unshown(&"the DID does not name the account"));
        }
        let now = Moment(self.ground.clock.now_ms());
        credential.verify(&found.document, now).map_err(|it| unshown(&it))?;
        self.must_name(account, did).await?;
        Ok(formerly(&found))
    }

    /// The DID that an account of elsewhere names as its own, where that names the account too.
    pub async fn named_by(&self, account: &UserId) -> Result<Option<Did>, Error> {
        let profile = self.servers.profile_now(account).await?;
        let named =
            profile.get(PROFILE_FIELD).and_then(|named| named.as_str()?.parse::<Did>().ok());
        let Some(did) = named else { return Ok(None) };
        let found = self.found(&did, HOME_FRESH_MS).await?;
        let uri = account.matrix_uri(false).to_string();
        Ok(found.document.also_known_as().contains(&uri).then_some(did))
    }

    /// Whether an account names a DID as its own: it is asked at the server that its name names, so that a
    /// home can vouch for nobody who lives elsewhere. Gives what it says of the body that they wear.
    async fn must_name(&self, account: &UserId, did: &Did) -> Result<Option<Value>, Error> {
        let (named, wears) = if self.ground.is_local(account) {
            (self.identity(account).await?.did, None)
        } else {
            let mut profile = self.servers.profile_now(account).await?;
            let named = profile.get(PROFILE_FIELD).and_then(|named| named.as_str()?.parse().ok());
            (named, profile.remove(avatar::PROFILE_FIELD))
        };
        // With its place: whoever has moved is vouched for where they moved to, and nowhere else.
        if named.as_ref() == Some(did) {
            return Ok(wears);
        }
        Err(Unproven::Unnamed(account.to_string()).into())
    }

    async fn found(&self, did: &Did, max_age_ms: i64) -> Result<Arc<Resolved>, Error> {
        self.dids.resolve(did, max_age_ms).await.map_err(|why| match &*why {
            Unresolved::Node(_) => Error::internal(anyhow::anyhow!("{why}")),
            absent if absent.is_absence() => Error::NoAnswer(absent.to_string()),
            broken => unshown(broken),
        })
    }
}

/// The DID of the node with which a DID is: that of the host on which its document is.
fn home_of(did: &Did) -> Option<Did> {
    let mut parts = did.id().split(':');
    let host = match did.method() {
        "webvh" => parts.nth(1)?,
        "web" => parts.next()?,
        _ => return None,
    };
    format!("did:web:{host}").parse().ok()
}

/// What the home of somebody says of them: who they are there, and what they are called.
fn said_of(
    did: &Did,
    document: &Document,
    word: &Credential,
) -> Result<(OwnedUserId, Option<String>), Error> {
    let said = word.says_of(did).ok_or_else(|| unshown(&"your home speaks of another DID"))?;
    let uri = said.get("account").and_then(Value::as_str).unwrap_or_default();
    if !document.also_known_as().iter().any(|name| name == uri) {
        return Err(unshown(&"the DID does not name the account that your home names"));
    }
    let account = account_of(uri).ok_or_else(|| unshown(&"your home names no account"))?;
    let name = said.get("name").and_then(Value::as_str).map(str::trim);
    let name = name.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES);
    Ok((account, name.map(str::to_owned)))
}

/// The accounts that the versions before the last one of a DID named.
fn formerly(found: &Resolved) -> Vec<OwnedUserId> {
    let names = found.webvh.iter().flat_map(|webvh| &webvh.formerly);
    names.filter_map(|uri| account_of(uri)).collect()
}

/// The account that a `matrix:` URI names, where it names one.
pub(super) fn account_of(uri: &str) -> Option<OwnedUserId> {
    match ruma::MatrixUri::parse(uri).ok()?.id() {
        MatrixId::User(user_id) => Some(user_id.clone()),
        _ => None,
    }
}

fn unshown(why: &dyn std::fmt::Display) -> Error {
    Unproven::Unshown(why.to_string()).into()
}
