//! Badges, age groups and roles: what this node gives people, and what its people were given anywhere.
//!
//! A node gives what it says of somebody as a credential of which a bit of a status list tells whether it still
//! stands by it (`given`). People keep what they were given with their home, which knows what fits a door, and show
//! everybody what they want to be shown (`held`); role and home need no keeping: the home says them anew each time.
//! Nothing of it is believed because it is there: whoever is shown it asks whether its issuer stands by it.

mod given;
mod held;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use wayside_identity::{
    badge::{AgeGroup, Ask, Asks, Badge, NodeRole},
    credential::Credential,
    did::{Document, place},
    status::Entry,
    time::Moment,
};
use wayside_specs::{Did, limits};

pub use self::{
    given::{Gift, Given, Gives},
    held::{Holding, ToShow},
};
use super::{
    Error, Ground,
    credentials::{Credentials, Unbelieved},
    persons::Persons,
};
use crate::store::badges as kept;

/// People whose badges are looked into at once.
const LOOKED_INTO: usize = 8;
/// Most that somebody shows of which it is asked at a door whether its issuer stands by it.
const FITTING: usize = 4;
/// How long the badges of somebody may take to be looked into.
const LOOKING: Duration = Duration::from_secs(30);
/// Longest name of an issuer that is shown, in bytes.
const ISSUER_BYTES: usize = 255;

/// The service of badges.
pub struct Badges {
    ground: Arc<Ground>,
    persons: Arc<Persons>,
    credentials: Arc<Credentials>,
    /// Status lists as they were published last, and until when they are.
    lists: Mutex<HashMap<i64, (i64, Bytes)>>,
    looking: Semaphore,
    /// Rings when something was taken back.
    taken_back: Notify,
}

/// What a credential says of somebody.
#[derive(Clone, Debug)]
pub enum What {
    /// They have a badge.
    Badge(Badge),
    /// They are of an age.
    Age(AgeGroup),
    /// They may do something on a node.
    Role(NodeRole),
}

impl What {
    /// Reads what a credential says of somebody.
    #[must_use]
    pub fn of(credential: &Credential, whom: &Did) -> Option<Self> {
        let badge = || Badge::of(credential, whom).map(Self::Badge);
        let age = || AgeGroup::of(credential, whom).map(Self::Age);
        let role = || NodeRole::of(credential, whom).map(Self::Role);
        badge().or_else(age).or_else(role)
    }
}

impl Badges {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, persons: Arc<Persons>, credentials: Arc<Credentials>) -> Self {
        let looking = Semaphore::new(LOOKED_INTO);
        Self {
            ground,
            persons,
            credentials,
            lists: Mutex::default(),
            looking,
            taken_back: Notify::new(),
        }
    }

    /// Waits until something is taken back.
    pub async fn taken_back(&self) {
        self.taken_back.notified().await;
    }

    /// What this node asks of people of other nodes who visit.
    #[must_use]
    pub fn asked_of_visitors(&self) -> Asks {
        Asks::of(&self.ground.config.visitors_ask)
    }

    /// What is asked, with the DIDs of those whose word it has to be, and what people call them.
    #[must_use]
    pub fn told(&self, asks: &Asks) -> Vec<Value> {
        let node = self.persons.node_did();
        let tell = |ask: &Ask| {
            let mut told = ask.told(node.as_ref());
            let issuer = ask.issuer.as_ref().or(node.as_ref());
            told["issuer_name"] = issuer.map(name_of).unwrap_or_default().into();
            told
        };
        asks.all().iter().map(tell).collect()
    }

    /// What somebody shows that is asked for and stands, if they do; an error where whoever would know does not
    /// answer.
    pub async fn fitting<'s>(
        &self,
        asks: &Asks,
        shown: &'s [Credential],
        whom: &Did,
    ) -> Result<Option<&'s Credential>, Error> {
        let Some(node) = self.persons.node_did() else { return Ok(None) };
        let mut silent = None;
        for credential in shown.iter().filter(|it| asks.fit(it, whom, &node)).take(FITTING) {
            match self.stands(credential).await {
                Ok(()) => return Ok(Some(credential)),
                Err(Unbelieved::Node(error)) => return Err(error),
                Err(why @ Unbelieved::Silent(_)) => silent = Some(why),
                Err(why) => tracing::debug!(%why, "what somebody shows opens no door"),
            }
        }
        silent.map_or(Ok(None), |why| Err(Error::NoAnswer(why.to_string())))
    }

    /// The badges among what somebody shows, by whom they were given and what they are called, as far as their
    /// issuers stand by them.
    pub async fn worn(&self, shown: &[Credential], whom: &Did) -> Vec<(String, String)> {
        let named = |credential: &Credential| {
            let badge = Badge::of(credential, whom)?;
            let issuer: Did = credential.issuer().parse().ok()?;
            // What people say of themselves is no badge.
            let is_own = issuer.subject() == whom.subject();
            let issuer = Some(name_of(&issuer)).filter(|it| !is_own && it.len() <= ISSUER_BYTES)?;
            Some((issuer, badge.name().to_owned()))
        };
        let badges = shown.iter().filter_map(|it| Some((it, named(it)?)));
        let looking = badges.take(limits::SHOWN_BADGES).map(|(credential, name)| async move {
            match self.stands_in_turn(credential).await {
                Ok(()) => Some(name),
                Err(why) => {
                    tracing::debug!(%why, "a badge is not shown");
                    None
                }
            }
        });
        join_all(looking).await.into_iter().flatten().collect()
    }

    /// The same as [`Self::stands`], for what nobody waits for: those of other nodes that do not answer keep the
    /// badges of nobody else from being seen for long.
    async fn stands_in_turn(&self, credential: &Credential) -> Result<(), Unbelieved> {
        if self.is_own(credential) {
            return self.stands(credential).await;
        }
        let late = |_| Unbelieved::Silent("it took too long".to_owned());
        let looking = async {
            let _turn = self.looking.acquire().await.map_err(Error::internal)?;
            self.stands(credential).await
        };
        timeout(LOOKING, looking).await.map_err(late)?
    }

    /// Whether the issuer of a credential stands by it now.
    pub async fn stands(&self, credential: &Credential) -> Result<(), Unbelieved> {
        let own = self.persons.node_document().filter(|_| self.is_own(credential));
        let Some(document) = own else { return self.credentials.stands(credential).await };
        // Of its own word the node need ask nobody.
        let document = Document::from_value(document).map_err(Error::internal)?;
        credential.verify(&document, Moment(self.ground.clock.now_ms()))?;
        for entry in Entry::all(credential)? {
            if self.is_taken_back(&entry).await? {
                return Err(Unbelieved::Revoked);
            }
        }
        Ok(())
    }

    async fn is_taken_back(&self, entry: &Entry) -> Result<bool, Error> {
        let list_no = self.list_of(entry.list());
        // A list that is none of this node's was never named by it.
        let Some(list_no) = list_no else { return Ok(true) };
        let bit = i64::try_from(entry.index()).map_err(Error::internal)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(kept::is_taken_back(&mut snapshot, list_no, bit).await?)
    }

    /// Whether something is this node's own word.
    fn is_own(&self, credential: &Credential) -> bool {
        self.persons.node_did().is_some_and(|did| did.as_str() == credential.issuer())
    }
}

/// What people call an issuer: the host on which it is, with the path below it, so that nobody of a node speaks in
/// its name; where it is on none, the DID itself.
#[must_use]
pub fn name_of(issuer: &Did) -> String {
    let mut parts = issuer.id().split(':');
    let host = match issuer.method() {
        "web" => parts.next(),
        "webvh" => parts.nth(1),
        _ => None,
    };
    let Some(host) = host else { return issuer.to_string() };
    parts.fold(place::to_host(host), |name, part| format!("{name}/{part}"))
}
