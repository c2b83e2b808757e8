//! Arriving: somebody who moves here finds what was kept of them, and unpacks what they brought.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use tokio::time::timeout;
use wayside_identity::{avatar::Body, did::webvh::History, luggage::Luggage};
use wayside_specs::{Did, limits};

use super::{Carried, Copy, Error, Moving, handing::path};
use crate::{
    services::{friends::Standing, servers::Question},
    store::moving::{self as kept, ToMeet},
};

/// Servers that are asked for one person.
pub const ASKED: usize = 16;
/// People whose friends are met at once.
const MET_AT_ONCE: i64 = 16;
/// When a friend is told again whose server did not answer, in milliseconds: after a while, and longer each time.
const AGAIN_MS: i64 = 60 * 1_000;
const LONGEST_MS: i64 = 24 * 60 * 60 * 1_000;
/// How often it is tried: for about a month.
const TRIES: i64 = 40;
/// Between two looks at friends who are to be told again.
const ROUND: Duration = Duration::from_mins(1);
/// How long somebody waits for their body.
const DRESSING: Duration = Duration::from_secs(40);
/// How long a server may take to look, and most bytes of what it has: a log, luggage, and what JSON escapes of both.
const LOOKING: Duration = Duration::from_secs(15);
const COPY_BYTES: usize = 2 * limits::DID_LOG_BYTES + 2 * limits::LUGGAGE_BYTES;

/// Who is looked for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Whoever has that DID.
    Did(Did),
    /// Whoever had that account.
    Account(OwnedUserId),
}

/// What a server said of somebody who is looked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Which.
    pub server: OwnedServerName,
    /// Why it has nothing that is of use; none where it has.
    pub why: Option<String>,
}

/// What was found of somebody.
#[derive(Clone, Debug)]
pub struct Found {
    /// The longest log of their DID.
    pub log: String,
    /// Their luggage as it was sealed, what was packed last first.
    pub sealed: Vec<String>,
    /// Who was asked, and what came of it.
    pub asked: Vec<Asked>,
}

/// What came of unpacking.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Friends who are told.
    pub friends: usize,
    /// People who are blocked now.
    pub blocked: usize,
    /// What they were given that they hold here now.
    pub credentials: usize,
    /// Whether they wear what they wore, where they wore something.
    pub avatar: Option<bool>,
    /// Those of whom the luggage speaks and who are nobody's account.
    pub failed: Vec<String>,
}

/// What one server has of somebody.
struct Kept {
    server: OwnedServerName,
    copy: Copy,
    history: Arc<History>,
}

impl Moving {
    /// Looks for the log and the luggage of somebody who comes to live here: where their DID says, and with
    /// everybody whom they name.
    pub async fn search(
        &self,
        wanted: &Wanted,
        seal_key: Option<&str>,
        at: &[OwnedServerName],
    ) -> Result<Found, Error> {
        let _turn = self.searching.acquire().await.map_err(Error::internal)?;
        let seal_key = seal_key.unwrap_or_default();
        let mut servers = at.to_vec();
        if let Wanted::Account(account) = wanted {
            servers.push(account.server_name().to_owned());
        }
        // Friends may live here too, or those who run this node were given what somebody took along.
        let mut found: Vec<Kept> = self.kept_here(wanted, seal_key).await?.into_iter().collect();
        let mut asked: BTreeMap<OwnedServerName, Option<String>> = BTreeMap::new();
        let mut wanted = wanted.clone();
        let mut published = None;
        // What is found may name the home of before, which has the newest.
        for _ in 0..2 {
            servers.sort();
            servers.dedup();
            servers.retain(|it| *it != self.ground.server_name && !asked.contains_key(it));
            let all = servers.iter().map(|server| self.asked(server, &wanted, seal_key));
            for (server, answer) in servers.iter().zip(join_all(all).await) {
                let (kept, why) = match answer {
                    Ok(kept) => (Some(kept), None),
                    Err(error) => (None, Some(error.to_string())),
                };
                asked.insert(server.clone(), why);
                found.extend(kept);
            }
            servers.clear();
            let best = best_of(&found, &wanted)?;
            servers.extend(best.iter().map(|it| it.copy.account.server_name().to_owned()));
            if let (Some(best), Wanted::Account(_)) = (best.first(), &wanted) {
                wanted = Wanted::Did(best.history.did().clone());
            }
            if let (true, Wanted::Did(did)) = (best.is_empty(), &wanted) {
                published = self.beneath.persons.published(did).await?;
                servers.extend(published.iter().filter_map(|(_, server)| server.clone()));
            }
        }
        let best = best_of(&found, &wanted)?;
        let here = found.iter().filter(|it| it.server == self.ground.server_name);
        asked.extend(here.map(|it| (it.server.clone(), None)));
        let asked = asked.into_iter().map(|(server, why)| Asked { server, why }).collect();
        let (log, sealed) = match best.first() {
            Some(first) => {
                let mut kept: Vec<&Copy> = best.iter().map(|it| &it.copy).collect();
                kept.sort_by_key(|it| std::cmp::Reverse(it.packed_ms));
                let sealed = kept.iter().filter_map(|it| it.sealed.clone()).collect();
                (one_history(&best, first)?.copy.log.clone(), sealed)
            }
            None => (published.map(|(log, _)| log).ok_or_else(nobody_knows)?, Vec::new()),
        };
        Ok(Found { log, sealed, asked })
    }

    /// What this node itself keeps of somebody.
    async fn kept_here(&self, wanted: &Wanted, seal_key: &str) -> Result<Option<Kept>, Error> {
        let copy = match wanted {
            Wanted::Did(did) => {
                let Some(scid) = did.subject().strip_prefix("did:webvh:") else { return Ok(None) };
                self.copy(Some(scid), None, seal_key).await
            }
            Wanted::Account(account) => self.copy(None, Some(account), seal_key).await,
        };
        let copy = match copy {
            Ok(copy) => copy,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let history = self.beneath.persons.proven(copy.log.clone().into_bytes()).await?;
        Ok(Some(Kept { server: self.ground.server_name.clone(), copy, history }))
    }

    async fn asked(
        &self,
        server: &ServerName,
        wanted: &Wanted,
        seal_key: &str,
    ) -> Result<Kept, Error> {
        let subject;
        let (scid, query) = match wanted {
            Wanted::Did(did) => {
                subject = did.subject().to_owned();
                (subject.strip_prefix("did:webvh:").unwrap_or("-"), vec![("key", seal_key)])
            }
            Wanted::Account(account) => {
                ("-", vec![("account", account.as_str()), ("key", seal_key)])
            }
        };
        let question = Question::get(&path(scid), &query).urgent().bounded(COPY_BYTES, LOOKING);
        let copy: Copy = self.beneath.servers.ask(server, question).await?;
        let history = self.beneath.persons.proven(copy.log.clone().into_bytes()).await?;
        let is_theirs = match wanted {
            Wanted::Did(did) => history.did().subject() == did.subject(),
            Wanted::Account(account) => history.versions().iter().any(|version| {
                version.document.also_known_as().contains(&account.matrix_uri(false).to_string())
            }),
        };
        if !is_theirs {
            return Err(Error::NoAnswer(format!("{server} answers with somebody else")));
        }
        Ok(Kept { server: server.to_owned(), copy, history })
    }

    /// Unpacks what somebody who has moved here brings: friends are told, whoever they blocked stays blocked, and
    /// they are called what they were.
    pub async fn unpack(&self, user_id: &UserId, luggage: &Luggage) -> Result<Unpacked, Error> {
        let carried = self.beneath.persons.carried(user_id).await?;
        let Some(carried) = carried.filter(|it| it.scid == luggage.scid) else {
            let why = "this luggage is not yours: move in with the identity it belongs to first";
            return Err(Error::Forbidden(why.to_owned()));
        };
        let mut failed = Vec::new();
        let mut accounts = |list: &[wayside_identity::luggage::Known]| {
            let mut read = Vec::new();
            for one in list {
                match UserId::parse(&one.account) {
                    Ok(account) if account != user_id => read.push(account),
                    Ok(_) => {}
                    Err(_) => failed.push(one.account.clone()),
                }
            }
            read
        };
        let (friends, blocked) = (accounts(&luggage.friends), accounts(&luggage.blocked));
        let unpacked = Unpacked {
            friends: friends.len(),
            blocked: blocked.len(),
            credentials: 0,
            avatar: None,
            failed,
        };
        self.note_friends(user_id, friends).await?;
        self.beneath.social.ignore(user_id, &blocked, true).await?;
        let credentials = self.beneath.badges.unpack(user_id, &luggage.credentials).await?;
        let profile = self.beneath.social.profile(user_id).await?;
        if let Some(name) = luggage.name.clone().filter(|_| !profile.contains_key("displayname")) {
            self.beneath
                .social
                .set_profile_field(user_id, "displayname", Some(name.into()))
                .await?;
        }
        // Whoever has no body in their luggage, or one that nobody has, comes in another.
        let avatar = self.dress(user_id, luggage, &carried).await.unwrap_or_else(|error| {
            tracing::info!(%error, %user_id, "somebody who has moved does not wear what they wore");
            Some(false)
        });
        Ok(Unpacked { credentials, avatar, ..unpacked })
    }

    /// Notes whom to tell that somebody lives here now.
    async fn note_friends(&self, user_id: &UserId, friends: Vec<OwnedUserId>) -> Result<(), Error> {
        let (owner, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let before = kept::to_meet_of(tx, &owner).await?;
                let new = friends.iter().filter(|it| !before.contains(it)).count();
                if i64::try_from(before.len() + new).unwrap_or(i64::MAX) > limits::FRIENDS {
                    let why = format!("at most {} friends are told", limits::FRIENDS);
                    return Err(Error::TooLarge(why));
                }
                for other in &friends {
                    tx.note_to_meet(&owner, other, now_ms).await?;
                }
                Ok(())
            })
        });
        write.await?;
        self.meeting.notify_one();
        Ok(())
    }

    /// Has somebody wear what they wore: their home of before has it, or a node on which they were seen in it.
    async fn dress(
        &self,
        user_id: &UserId,
        luggage: &Luggage,
        carried: &Carried,
    ) -> Result<Option<bool>, Error> {
        let Some(body) = luggage.avatar.as_ref().and_then(Body::read) else { return Ok(None) };
        let homes = carried.formerly.iter().map(|it| it.server_name().to_owned());
        let friends = luggage.friends.iter().filter_map(|it| UserId::parse(&it.account).ok());
        let friends = friends.map(|it| it.server_name().to_owned());
        let mut servers: Vec<OwnedServerName> = Vec::new();
        for server in homes.chain(friends) {
            if servers.len() < ASKED
                && server != self.ground.server_name
                && !servers.contains(&server)
            {
                servers.push(server);
            }
        }
        let Some(did) = self.beneath.persons.identity(user_id).await?.did else { return Ok(None) };
        let dressing = self.beneath.bodies.move_in(user_id, &did, &body, &servers);
        match timeout(DRESSING, Box::pin(dressing)).await {
            Ok(dressed) => dressed.map(Some),
            Err(_) => Ok(Some(false)),
        }
    }

    /// Tells friends of people who have moved here where they are now, until the node ends.
    pub(super) async fn meet_all(&self) {
        loop {
            if let Err(error) = self.meet_some().await {
                tracing::warn!(%error, "friends of somebody who has moved here are told later");
            }
            let _sooner = timeout(ROUND, self.meeting.notified()).await;
        }
    }

    /// Tells those whose time has come: of each person one at a time, as they ask one at a time.
    async fn meet_some(&self) -> Result<(), Error> {
        loop {
            let now_ms = self.ground.clock.now_ms();
            let mut snapshot = self.ground.store.snapshot().await?;
            let due = kept::to_meet(&mut snapshot, now_ms, MET_AT_ONCE).await?;
            drop(snapshot);
            if due.is_empty() {
                return Ok(());
            }
            let met = join_all(due.iter().map(|meet| self.meet(meet, now_ms))).await;
            met.into_iter().collect::<Result<(), _>>()?;
        }
    }

    async fn meet(&self, meet: &ToMeet, now_ms: i64) -> Result<(), Error> {
        let tries = meet.tries + 1;
        let is_done = match self.told(meet).await {
            Ok(Standing::Friend) => true,
            // They are found by their next look, or by that of their node.
            Ok(_) => tries >= TRIES,
            Err(error) => {
                tracing::debug!(%error, user_id = %meet.user_id, "a friend is met later");
                tries >= TRIES
            }
        };
        let meet = ToMeet { tries, ..meet.clone() };
        let wait_ms = AGAIN_MS.saturating_mul(1 << tries.min(16)).min(LONGEST_MS);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                if is_done {
                    return Ok(tx.forget_to_meet(&meet.user_id, &meet.other).await?);
                }
                Ok(tx.later_to_meet(&meet, now_ms + wait_ms).await?)
            })
        });
        write.await
    }

    /// Tells a friend, or finds that they know.
    async fn told(&self, meet: &ToMeet) -> Result<Standing, Error> {
        let friends = &self.beneath.friends;
        if !self.ground.is_local(&meet.other) {
            // No room is made for somebody whose server does not answer.
            self.beneath
                .servers
                .profile(&meet.other, Some("displayname"))
                .await
                .map(drop)
                .or_else(
                    |error| if matches!(error, Error::NotFound(_)) { Ok(()) } else { Err(error) },
                )?;
        }
        let carried = self.beneath.persons.carried(&meet.user_id).await?;
        let formerly = carried.map(|it| it.formerly).unwrap_or_default();
        Ok(friends.meet_again(&meet.user_id, &meet.other, &formerly).await?.0)
    }
}

/// The longest of several logs, where all of them tell one history.
fn one_history<'k>(all: &[&'k Kept], first: &'k Kept) -> Result<&'k Kept, Error> {
    let longest = all.iter().copied().max_by_key(|it| it.history.versions().len());
    let longest = longest.unwrap_or(first);
    for other in all {
        if !longest.history.continues(&other.history.latest().id) {
            let why = format!(
                "{} and {} have different histories of this identity: one of them is not to be believed",
                longest.server, other.server
            );
            return Err(Error::Invalid(why));
        }
    }
    Ok(longest)
}

fn nobody_knows() -> Error {
    let why = "nobody who was asked knows this identity: name a friend's address, or give the file";
    Error::NotFound(why.to_owned())
}

/// What was found of the one person who is wanted. By an account alone, servers may tell of anybody: that of the
/// account itself knows best, and otherwise all of them have to mean one person.
fn best_of<'k>(found: &'k [Kept], wanted: &Wanted) -> Result<Vec<&'k Kept>, Error> {
    let mut by_scid: BTreeMap<&str, Vec<&Kept>> = BTreeMap::new();
    for kept in found {
        by_scid.entry(kept.history.scid()).or_default().push(kept);
    }
    match wanted {
        Wanted::Did(did) => {
            let is_theirs = |kept: &&Kept| kept.history.did().subject() == did.subject();
            Ok(found.iter().filter(is_theirs).collect())
        }
        Wanted::Account(account) => {
            let own = found.iter().find(|it| it.server == account.server_name());
            let own = own.and_then(|own| by_scid.remove(own.history.scid()));
            match (own, by_scid.len()) {
                (Some(own), _) => Ok(own),
                (None, 0 | 1) => Ok(by_scid.into_values().next().unwrap_or_default()),
                (None, _) => {
                    let why = format!(
                        "those who were asked know different people by the name {account}: give the file, or the DID"
                    );
                    Err(Error::Invalid(why))
                }
            }
        }
    }
}
