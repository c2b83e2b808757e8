//! Handing out: the nodes of somebody's friends keep what they need to come back, as it stands now.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use http::Method;
use ruma::{OwnedServerName, OwnedUserId, UserId};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::{
    sync::broadcast,
    time::{sleep, timeout},
};
use wayside_identity::{luggage::Luggage, time::Moment};
use wayside_specs::limits;

use super::{Carried, Copy, Error, Moving, kept};
use crate::{
    services::servers::{AskError, Question},
    store::{
        bus::{Change, Commit},
        friends,
        moving::HandedOut,
        persons,
    },
};

/// What changes within so long is handed out together, in milliseconds.
const GATHERED_MS: i64 = 15_000;
/// Between two looks at whose copies are due.
const PAUSE: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_mins(1);
/// Between two looks at everybody.
const ROUND: Duration = Duration::from_hours(6);
/// People whose copies are brought up to date at once.
const AT_ONCE: usize = 8;
/// When to try again where a server did not answer, in milliseconds.
const AGAIN_MS: i64 = 10 * 60 * 1_000;
/// People who are looked at together after the start, and how long apart, in milliseconds: a large node does not
/// begin with work for hours.
const LOOKED_AT_ONCE: i64 = 100;
const APART_MS: i64 = 50;
/// What stands behind the hash where a server was asked and keeps no copies.
const KEEPS_NONE: u8 = 0;
/// Bytes of the hash alone.
pub(super) const HASH_BYTES: usize = 32;
/// Largest answer of a server to a copy in bytes.
const ANSWER_BYTES: usize = 64 * 1024;
/// How long a server may take for it.
const ANSWER: Duration = Duration::from_secs(20);

impl Moving {
    /// Keeps the copies of everybody up to date, and has those who moved here meet their friends, until the node
    /// ends.
    pub async fn hand_out(self: Arc<Self>, commits: broadcast::Receiver<Arc<Commit>>) {
        let stop = self.ground.stop.clone();
        let handing = async {
            tokio::join!(self.watch(commits), self.work(), self.look_at_all(), self.meet_all());
        };
        let _ended = stop.run_until_cancelled(Box::pin(handing)).await;
    }

    async fn work(self: &Arc<Self>) {
        loop {
            let now_ms = self.ground.clock.now_ms();
            // One server that is slow holds up few others.
            for some in self.take_due(now_ms).chunks(AT_ONCE) {
                join_all(some.iter().map(|user_id| self.look_at(user_id, now_ms))).await;
            }
            sleep(PAUSE).await;
            let _later = timeout(self.until_due(), self.ring.notified()).await;
        }
    }

    async fn look_at(&self, user_id: &UserId, now_ms: i64) {
        match self.bring_up_to_date(user_id).await {
            Ok(true) => {}
            Ok(false) => self.note_due(user_id, now_ms + AGAIN_MS),
            Err(error) => {
                tracing::warn!(%error, %user_id, "copies are handed out later");
                self.note_due(user_id, now_ms + AGAIN_MS);
            }
        }
    }

    /// How long until the next copy is due.
    fn until_due(&self) -> Duration {
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let wait_ms = due.values().min().map(|at_ms| at_ms - self.ground.clock.now_ms());
        let wait = wait_ms.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        wait.unwrap_or(LONGEST).min(LONGEST)
    }

    /// Whoever changes what they would take along, or is made a friend, is looked at soon.
    async fn watch(&self, mut commits: broadcast::Receiver<Arc<Commit>>) {
        loop {
            let commit = match commits.recv().await {
                Ok(commit) => commit,
                // Whoever is missed is found with their next change, or when everybody is looked at.
                Err(broadcast::error::RecvError::Lagged(_)) => continue,
                Err(broadcast::error::RecvError::Closed) => return,
            };
            let soon_ms = self.ground.clock.now_ms() + GATHERED_MS;
            for change in &commit.changes {
                match change {
                    Change::Person { user_id, .. } | Change::Account { user_id, .. } => {
                        self.note_due(user_id, soon_ms);
                    }
                    // A friendship begins and ends with coming and going.
                    Change::Event { room_no, members, .. } if !members.is_empty() => {
                        match self.spoken_of_in(*room_no).await {
                            Ok(people) => people.iter().for_each(|it| self.note_due(it, soon_ms)),
                            Err(error) => tracing::debug!(%error, "a room was not looked at"),
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    /// Who of this node speaks of friendship in a room.
    async fn spoken_of_in(&self, room_no: i64) -> Result<Vec<OwnedUserId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut people =
            friends::speak_in(&mut snapshot, room_no, wayside_identity::friend::EVENT).await?;
        people.retain(|one| self.ground.is_local(one));
        Ok(people)
    }

    /// Looks at everybody now and then: after the start nobody knows what has changed since it was handed out, and
    /// not every change is told.
    async fn look_at_all(&self) {
        loop {
            if let Err(error) = self.look_once().await {
                tracing::warn!(%error, "copies of people that are behind are found later");
            }
            sleep(ROUND).await;
        }
    }

    async fn look_once(&self) -> Result<(), Error> {
        let mut at_ms = self.ground.clock.now_ms() + GATHERED_MS;
        // Those who have copies out and are nobody any more are not among those who have a DID.
        for only_handed_out in [false, true] {
            let mut after = String::new();
            loop {
                let mut snapshot = self.ground.store.snapshot().await?;
                let some = if only_handed_out {
                    kept::handed_out_after(&mut snapshot, &after, LOOKED_AT_ONCE).await?
                } else {
                    persons::all_after(&mut snapshot, &after, LOOKED_AT_ONCE).await?
                };
                drop(snapshot);
                let Some(last) = some.last() else { break };
                after = last.to_string();
                for user_id in &some {
                    at_ms += APART_MS;
                    self.note_due(user_id, at_ms);
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Hands out what changed, and takes back what nobody needs to keep; whether everybody answered.
    async fn bring_up_to_date(&self, user_id: &UserId) -> Result<bool, Error> {
        let handed = kept::handed_out(&mut self.ground.store.snapshot().await?, user_id).await?;
        let carried = self.beneath.persons.carried(user_id).await?;
        let has_none = |it: &Carried| it.seal_key.is_none() && it.formerly.is_empty();
        if handed.is_empty() && carried.as_ref().is_none_or(has_none) {
            return Ok(true);
        }
        let packed = match carried {
            Some(carried) => match self.pack(user_id, &carried).await {
                Ok(luggage) => Some((carried, luggage)),
                // The account has ended, and its copies with it.
                Err(Error::NotFound(_)) => return self.take_back(user_id, handed).await,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let Some((carried, luggage)) = packed else {
            // Whoever has moved is looked after by their new home: what others have of them is for that to replace.
            if self.beneath.persons.has_log(user_id).await? {
                self.forget(user_id, handed).await?;
                return Ok(true);
            }
            return self.take_back(user_id, handed).await;
        };
        let hash = hash_of(&carried, &luggage);
        let wanted = self.keepers(&carried, &luggage, &handed);
        let is_current = |it: &HandedOut| it.scid == carried.scid && it.hash.starts_with(&hash);
        let mut copy = None;
        let mut all = true;
        for server in &wanted {
            if handed.iter().any(|it| it.server == *server && is_current(it)) {
                continue;
            }
            // It is sealed once for all of them, and not at all where nothing changed.
            let copy = match &copy {
                Some(copy) => copy,
                None => copy.insert(self.packed(user_id, carried.clone()).await?),
            };
            let (server, scid, hash) = (server.clone(), carried.scid.clone(), hash.to_vec());
            all &= self.hand_to(HandedOut { server, scid, hash }, copy).await?;
        }
        let (_, others): (Vec<_>, Vec<_>) = handed
            .into_iter()
            .partition(|it| it.scid == carried.scid && wanted.contains(&it.server));
        Ok(self.take_back(user_id, others).await? && all)
    }

    /// Who is told of somebody: where they lived before, so that they are found from there, and servers of friends,
    /// those first that are not known to keep no copies.
    fn keepers(
        &self,
        carried: &Carried,
        luggage: &Luggage,
        handed: &[HandedOut],
    ) -> BTreeSet<OwnedServerName> {
        let own = &self.ground.server_name;
        // Whoever has no words by which they come back has nothing of a copy.
        let friends = luggage.friends.iter().filter(|_| carried.seal_key.is_some());
        let friends = friends.filter_map(|it| UserId::parse(&it.account).ok());
        let friends: BTreeSet<_> =
            friends.map(|it| it.server_name().to_owned()).filter(|it| it != own).collect();
        let keeps_none = |server: &OwnedServerName| {
            handed.iter().any(|it| it.server == *server && it.hash.len() > HASH_BYTES)
        };
        let (none, some): (Vec<_>, Vec<_>) = friends.into_iter().partition(keeps_none);
        let homes = carried.formerly.iter().map(|it| it.server_name().to_owned());
        let homes = homes.filter(|it| it != own).take(limits::COPIES);
        some.into_iter().chain(none).take(limits::COPIES).chain(homes).collect()
    }

    /// Gives a copy to a server; whether it answered.
    async fn hand_to(&self, mut handed: HandedOut, copy: &Copy) -> Result<bool, Error> {
        let question = Question::get(&path(&handed.scid), &[]).with(Method::PUT, copy)?;
        let question = question.bounded(ANSWER_BYTES, ANSWER);
        let answer: Result<Answer, AskError> =
            self.beneath.servers.ask(&handed.server, question).await;
        match answer {
            Ok(Answer { kept: true }) => {}
            // A home of before, another program, or one that wants no so large ones: it is asked again when something
            // changes. Whoever says that nobody there is a friend may not have heard of it yet.
            Ok(Answer { kept: false })
            | Err(
                AskError::Refused { status: 400 | 401 | 404 | 405 | 413, .. } | AskError::Unmet(_),
            ) => {
                handed.hash.push(KEEPS_NONE);
            }
            Err(error) => {
                tracing::debug!(%error, server = %handed.server, "a copy is handed out later");
                return Ok(false);
            }
        }
        let user_id = copy.account.clone();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.note_handed_out(&user_id, &handed).await?) })
        });
        write.await?;
        Ok(true)
    }

    /// Has servers keep no copy any more; whether all of them answered.
    async fn take_back(&self, user_id: &UserId, handed: Vec<HandedOut>) -> Result<bool, Error> {
        let mut all = true;
        for HandedOut { server, scid, .. } in handed {
            let asked = serde_json::json!({ "account": user_id });
            let question = Question::get(&path(&scid), &[]).with(Method::DELETE, &asked)?;
            let question = question.bounded(ANSWER_BYTES, ANSWER);
            let answer: Result<serde_json::Value, Error> =
                self.beneath.servers.ask(&server, question).await.map_err(Error::from);
            if matches!(answer, Err(Error::NoAnswer(_) | Error::Internal(_))) {
                all = false;
                continue;
            }
            self.forget(user_id, vec![HandedOut { server, scid, hash: Vec::new() }]).await?;
        }
        Ok(all)
    }

    /// Forgets that servers have copies.
    async fn forget(&self, user_id: &UserId, handed: Vec<HandedOut>) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                for it in handed {
                    tx.forget_handed_out(&user_id, &it.server).await?;
                }
                Ok(())
            })
        });
        write.await
    }
}

/// What a server says to a copy.
#[derive(Deserialize)]
struct Answer {
    kept: bool,
}

/// Where copies of a person are, of every server.
pub(super) fn path(scid: &str) -> [&str; 6] {
    ["_matrix", "federation", "unstable", "org.wayside", "copies", scid]
}

/// What a copy holds, whenever it was packed.
fn hash_of(carried: &Carried, luggage: &Luggage) -> [u8; HASH_BYTES] {
    let still = Luggage { packed: Moment(0), ..luggage.clone() }.told().to_string();
    let key = carried.seal_key.as_deref().unwrap_or_default();
    let mut hash = Sha256::new();
    for part in [&carried.log[..], still.as_bytes(), key] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
