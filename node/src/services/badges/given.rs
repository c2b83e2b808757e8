//! What this node gives people, and takes back.

use std::sync::PoisonError;

use bytes::Bytes;
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};
use wayside_identity::{
    badge::{AgeGroup, Badge},
    credential::Credential,
    json,
    status::{Bitstring, Entry, Publication, StatusPurpose},
    time::Moment,
};
use wayside_specs::{Did, limits};

use super::{Badges, Error, What, held};
use crate::{services::persons::Voice, store::badges as kept};

/// Below what path of the node its status lists are.
const LISTS: &str = "_wayside/v1/credentials/status/";
/// A list is given on when half of its places are taken: a free one is found at once, and nobody learns how much
/// was given by how far it has come.
const LIST_FULL: i64 = 65_536;
/// How often a free place is looked for.
const TRIES: usize = 32;
/// How long others may keep a list before they ask again, in milliseconds.
const TTL_MS: i64 = 5 * 60 * 1_000;
/// How long a list is good, in milliseconds.
const LIST_GOOD_MS: i64 = 24 * 60 * 60 * 1_000;
/// How long a list that was published is given out as it is, in milliseconds.
const LIST_KEPT_MS: i64 = 30 * 1_000;
/// Most that is listed at once.
const PAGE: i64 = 500;

/// Something that a node gives somebody.
#[derive(Clone, Debug)]
pub enum Gift {
    /// A badge.
    Badge(Badge),
    /// Its word on their age.
    Age(AgeGroup),
}

/// A badge that this node gives: id, name and description.
pub type Gives = kept::BadgeRow;

/// Something that this node has given.
#[derive(Clone, Debug)]
pub struct Given {
    /// The number by which it is taken back.
    pub number: i64,
    /// To whom.
    pub user_id: OwnedUserId,
    /// What; nothing where a later release gave it.
    pub what: Option<What>,
    /// Who gave it in the node's name.
    pub giver: String,
    /// When it was given.
    pub given_ms: i64,
    /// Until when it is good.
    pub until_ms: Option<i64>,
    /// When it was taken back.
    pub taken_back_ms: Option<i64>,
}

impl Badges {
    /// Gives somebody something in the node's name, here or elsewhere: its number, and the credential.
    pub async fn give(
        &self,
        giver: &str,
        to: &UserId,
        gift: &Gift,
        until_ms: Option<i64>,
    ) -> Result<(i64, Value), Error> {
        let now = Moment(self.ground.clock.now_ms());
        if until_ms.is_some_and(|until_ms| until_ms <= now.0) {
            return Err(Error::Invalid("it would be over already: until_ms is past".to_owned()));
        }
        let did = self.did_of(to).await?;
        // Numbers of places are given out at random: nobody tells by them who was given something first.
        for _ in 0..TRIES {
            let mut snapshot = self.ground.store.snapshot().await?;
            let last = kept::last_list(&mut snapshot).await?;
            let taken = kept::places_taken(&mut snapshot, last).await?;
            drop(snapshot);
            let list_no = if taken >= LIST_FULL { last + 1 } else { last };
            let bit = usize::from_le_bytes(self.ground.clock.random()) % Bitstring::LEAST;
            let credential = self.written(gift, &did, (list_no, bit), (now, until_ms))?;
            let row = kept::Given {
                given_no: 0,
                user_id: to.to_owned(),
                subject: did.subject().to_owned(),
                credential: json::canonical(&credential),
                giver: giver.to_owned(),
                list_no,
                bit: i64::try_from(bit).map_err(Error::internal)?,
                given_ms: now.0,
                taken_back_ms: None,
            };
            if let Some(number) = self.keep_given(row, gift).await? {
                return Ok((number, credential));
            }
        }
        Err(Error::internal(anyhow::anyhow!("no free place in a status list is found")))
    }

    /// The DID of whom something is to be given.
    async fn did_of(&self, to: &UserId) -> Result<Did, Error> {
        if self.ground.is_local(to) {
            return self.persons.did_of(to).await;
        }
        let none =
            || Error::NotFound(format!("{to} names no DID to which anything could be given"));
        self.persons.named_by(to).await?.ok_or_else(none)
    }

    fn written(
        &self,
        gift: &Gift,
        did: &Did,
        (list_no, bit): (i64, usize),
        (from, until_ms): (Moment, Option<i64>),
    ) -> Result<Value, Error> {
        let none = || Error::NotFound("this node has no DID, and gives nothing".to_owned());
        let voice = self.persons.voice().ok_or_else(none)?;
        let until = until_ms.map(Moment);
        let mut draft = match gift {
            Gift::Badge(badge) => badge.draft(&voice.did, did, from, until),
            Gift::Age(age) => {
                let missing = || Error::Missing("until_ms: people grow out of an age".to_owned());
                age.draft(&voice.did, did, from, until.ok_or_else(missing)?)
            }
        };
        let url = list_url(&voice, list_no);
        let entry = Entry::new(StatusPurpose::Revocation, bit, &url).map_err(Error::internal)?;
        draft.status = Some(entry.to_value());
        Ok(draft.signed(&voice.method, voice.key))
    }

    async fn keep_given(&self, row: kept::Given, gift: &Gift) -> Result<Option<i64>, Error> {
        let named = match gift {
            Gift::Badge(badge) => Some((
                badge.id().to_owned(),
                badge.name().to_owned(),
                badge.description().map(str::to_owned),
            )),
            Gift::Age(_) => None,
        };
        let held =
            self.ground.is_local(&row.user_id).then(|| held::row(&row.credential, row.given_ms));
        let write = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let Some(number) = tx.give(&row).await? else { return Ok(None) };
                if let Some((id, name, description)) = named {
                    let badges = kept::badges(tx).await?;
                    match badges.iter().find(|it| it.0 == id) {
                        Some(known) if known.1 != name || known.2 != description => {
                            let why = format!("the badge {id} is called {:?} here", known.1);
                            return Err(Error::Invalid(why));
                        }
                        Some(_) => {}
                        None if badges.len() >= limits::BADGES => {
                            let why = format!("a node gives at most {} badges", limits::BADGES);
                            return Err(Error::Forbidden(why));
                        }
                        None => tx.name_badge(&id, &name, description.as_deref()).await?,
                    }
                }
                if let Some(held) = held
                    && !tx.keep_held(&row.user_id, &held).await?
                {
                    return Err(held::full());
                }
                Ok(Some(number))
            })
        });
        write.await
    }

    /// Takes back what was given.
    pub async fn take_back(&self, number: i64) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let none = || Error::NotFound(format!("nothing was given by the number {number}"));
                let row = tx.take_back(number, now_ms).await?.ok_or_else(none)?;
                tx.drop_held(&row.user_id, &held::hash(&row.credential)).await?;
                Ok(row.list_no)
            })
        });
        let list_no = write.await?;
        self.lists.lock().unwrap_or_else(PoisonError::into_inner).remove(&list_no);
        self.taken_back.notify_one();
        Ok(())
    }

    /// Gives a badge no more. Who has it keeps it.
    pub async fn forget(&self, badge: &str) -> Result<(), Error> {
        let badge = badge.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.forget_badge(&badge).await?) })
        });
        let none = || Error::NotFound("this node gives no such badge".to_owned());
        if write.await? { Ok(()) } else { Err(none()) }
    }

    /// What was given behind a number, to one person or to all.
    pub async fn given(&self, to: Option<&UserId>, behind: i64) -> Result<Vec<Given>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let rows = kept::given(&mut snapshot, to, behind, PAGE).await?;
        Ok(rows.into_iter().map(told).collect())
    }

    /// The badges that this node gives.
    pub async fn gives(&self) -> Result<Vec<Gives>, Error> {
        Ok(kept::badges(&mut self.ground.store.snapshot().await?).await?)
    }

    /// What this node has given to somebody and still stands by, beside what they show already.
    pub async fn still_given(&self, to: &Did, shown: &[Credential]) -> Result<Vec<Value>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let rows = kept::given_to(&mut snapshot, to.subject(), limits::HELD).await?;
        let now_ms = self.ground.clock.now_ms();
        let texts = rows.iter().filter(|row| {
            let known = shown.iter().any(|it| json::canonical(it.value()) == row.credential);
            !known && until(&row.credential).is_none_or(|until_ms| until_ms > now_ms)
        });
        let read =
            |row: &kept::Given| serde_json::from_str(&row.credential).map_err(Error::internal);
        texts.take(GIVEN_AT_ONCE).map(read).collect()
    }

    /// A status list of this node, as others read it.
    pub async fn list(&self, list_no: i64) -> Result<Bytes, Error> {
        let now_ms = self.ground.clock.now_ms();
        let lists = || self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = lists().get(&list_no).filter(|(until_ms, _)| *until_ms > now_ms) {
            return Ok(list.clone());
        }
        let none = || Error::NotFound("this node has no such list".to_owned());
        let voice = self.persons.voice().ok_or_else(none)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let last = kept::last_list(&mut snapshot).await?;
        if !(1..=last).contains(&list_no) {
            return Err(none());
        }
        let mut bits = Bitstring::new(Bitstring::LEAST);
        for bit in kept::taken_back(&mut snapshot, list_no).await? {
            bits.set(usize::try_from(bit).map_err(Error::internal)?, true)
                .map_err(Error::internal)?;
        }
        drop(snapshot);
        let publication = Publication {
            url: &list_url(&voice, list_no),
            issuer: json!(voice.did.as_str()),
            purpose: StatusPurpose::Revocation,
            bits: &bits,
            from: Moment(now_ms),
            until: Some(Moment(now_ms + LIST_GOOD_MS)),
            ttl_ms: Some(TTL_MS),
        };
        let list = publication.signed(&voice.method, voice.key);
        let list = Bytes::from(serde_json::to_vec(&list).map_err(Error::internal)?);
        lists().insert(list_no, (now_ms + LIST_KEPT_MS, list.clone()));
        Ok(list)
    }

    /// Which list of this node an address names.
    pub(super) fn list_of(&self, url: &str) -> Option<i64> {
        let voice = self.persons.voice()?;
        let number = url.strip_prefix(voice.base.join(LISTS).ok()?.as_str())?;
        number.parse().ok().filter(|list_no| list_url(&voice, *list_no) == url)
    }
}

/// Most that is given on at one visit.
const GIVEN_AT_ONCE: usize = 16;

fn list_url(voice: &Voice<'_>, list_no: i64) -> String {
    // A base of http is always one that others can be joined to.
    voice.base.join(&format!("{LISTS}{list_no}")).map_or_else(|_| String::new(), String::from)
}

fn told(row: kept::Given) -> Given {
    let credential = serde_json::from_str(&row.credential).ok();
    let credential = credential.and_then(|value: Value| Credential::read(&value).ok());
    let what = credential.as_ref().and_then(|it| {
        let whom = it.value()["credentialSubject"]["id"].as_str()?.parse().ok()?;
        What::of(it, &whom)
    });
    Given {
        number: row.given_no,
        user_id: row.user_id,
        what,
        giver: row.giver,
        given_ms: row.given_ms,
        until_ms: credential.and_then(|it| it.valid_until()).map(|until| until.0),
        taken_back_ms: row.taken_back_ms,
    }
}

/// Until when a credential says that it is good.
fn until(credential: &str) -> Option<i64> {
    let value: Value = serde_json::from_str(credential).ok()?;
    Some(Credential::read(&value).ok()?.valid_until()?.0)
}
