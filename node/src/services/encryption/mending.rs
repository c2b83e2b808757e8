//! Lists of devices of which a change was missed: asked for anew, once at a time, until their server answers.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use wayside_federation::backoff::wait_after;

use super::{
    super::servers::{AskError, Question},
    Encryption, Error,
    abroad::{Told, is_other, put_people, told},
};
use crate::store::{
    Tx,
    remote::{self, Begun},
};

/// Lists that wait at the same time; others are asked for when somebody needs them, or at the next start.
const WAITING: usize = 1_000;
/// What an answer may cost.
const ANSWER: (usize, Duration) = (8 * 1024 * 1024, Duration::from_secs(30));
/// A pause after the store has failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// How often a list is asked for that changes all the time, or that the server does not want to tell.
const TRIES: u32 = 5;

/// The devices of somebody (server-server API, `GET /user/devices/{userId}`).
#[derive(Deserialize)]
struct Answer {
    user_id: OwnedUserId,
    stream_id: i64,
    devices: Vec<Entry>,
    master_key: Option<Box<RawValue>>,
    self_signing_key: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Entry {
    device_id: OwnedDeviceId,
    keys: Option<Box<RawValue>>,
    device_display_name: Option<String>,
}

impl Encryption {
    /// Asks for the lists that an earlier process knew to have gaps.
    pub async fn mend_all(self: Arc<Self>) {
        let stale = async {
            let mut snapshot = self.ground.store.snapshot().await?;
            let most = i64::try_from(WAITING).unwrap_or(i64::MAX);
            remote::stale(&mut snapshot, most).await
        };
        match stale.await {
            Ok(people) => people.into_iter().for_each(|user_id| self.mend(user_id)),
            Err(error) => tracing::warn!(%error, "lists of devices with gaps could not be read"),
        }
    }

    /// Asks for the list of somebody of which a change was missed, unless that is done already.
    pub fn mend(self: &Arc<Self>, user_id: OwnedUserId) {
        {
            let mut mending = self.mending.lock().unwrap_or_else(PoisonError::into_inner);
            if mending.len() >= WAITING || !mending.insert(user_id.clone()) {
                return;
            }
        }
        let this = self.clone();
        self.ground.tasks.spawn(async move {
            let stop = this.ground.stop.clone();
            let _ended = stop.run_until_cancelled(Box::pin(this.mend_until(&user_id))).await;
        });
    }

    async fn mend_until(&self, user_id: &UserId) {
        let mut tries = 0;
        loop {
            match self.mend_once(user_id).await {
                // Left before it is looked again, so that a gap that came in between is seen.
                Ok(true) => {
                    self.leave(user_id);
                    if !self.is_stale(user_id).await || !self.enter(user_id) {
                        return;
                    }
                }
                Err(AskError::Node(error)) => {
                    tracing::warn!(%error, "asking for a list of devices failed here; it is tried again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    continue;
                }
                Err(AskError::Paused { .. } | AskError::Unreached { .. }) => {
                    self.servers.wait_for(user_id.server_name()).await;
                    continue;
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, %user_id, "a list of devices is not told"),
            }
            tries += 1;
            if tries == TRIES {
                // Whoever needs it next asks for it.
                self.leave(user_id);
                return;
            }
            let lot = u64::from_be_bytes(self.ground.clock.random());
            tokio::time::sleep(wait_after(tries, lot)).await;
        }
    }

    /// Asks for a list and keeps it; whether that needs not be done again.
    async fn mend_once(&self, user_id: &UserId) -> Result<bool, AskError> {
        let (own, user) = (self.ground.server_name.clone(), user_id.to_owned());
        let begin = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                if !remote::is_near(tx, &user, &own).await? {
                    // No word of its changes comes any more, so it would be worth nothing.
                    tx.forget_list(&user).await?;
                    return Ok(None);
                }
                Ok(Some(tx.begin_list(&user).await?))
            })
        });
        let Some(begun) = begin.await? else { return Ok(true) };
        let place = self.menders.acquire().await.map_err(Error::internal)?;
        let (stream_id, told) = self.ask_devices(user_id).await?;
        drop(place);
        let keep = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { keep(tx, begun, stream_id, &told).await })
        });
        Ok(keep.await?)
    }

    async fn ask_devices(&self, user_id: &UserId) -> Result<(i64, Told), AskError> {
        let server = user_id.server_name();
        let path = ["_matrix", "federation", "v1", "user", "devices", user_id.as_str()];
        let question = Question::get(&path, &[]).bounded(ANSWER.0, ANSWER.1);
        let answer: Answer = self.servers.ask(server, question).await?;
        if answer.user_id != user_id {
            let why = format!("devices of {} instead of {user_id}", answer.user_id);
            return Err(AskError::BadAnswer { server: server.to_string(), why });
        }
        let devices: Vec<_> = answer
            .devices
            .into_iter()
            .filter_map(|it| Some((it.device_id, it.keys?, it.device_display_name)))
            .collect();
        let (master, own) = (answer.master_key.as_deref(), answer.self_signing_key.as_deref());
        Ok((answer.stream_id, told(server, user_id, devices.into_iter(), master, own)?))
    }

    async fn is_stale(&self, user_id: &UserId) -> bool {
        let list = async {
            let mut snapshot = self.ground.store.snapshot().await?;
            remote::list(&mut snapshot, user_id).await
        };
        list.await.is_ok_and(|list| list.is_some_and(|list| list.stale))
    }

    fn enter(&self, user_id: &UserId) -> bool {
        let mut mending = self.mending.lock().unwrap_or_else(PoisonError::into_inner);
        mending.insert(user_id.to_owned())
    }

    fn leave(&self, user_id: &UserId) {
        self.mending.lock().unwrap_or_else(PoisonError::into_inner).remove(user_id);
    }
}

/// Keeps a list as it was told, and lets those hear of it who share a room with its person.
async fn keep(tx: &mut Tx, begun: Begun, stream_id: i64, told: &Told) -> Result<bool, Error> {
    let changed = is_other(tx, told).await?;
    if !tx.keep_list(&told.user_id, begun, Some(stream_id), &told.devices).await? {
        return Ok(false);
    }
    if changed {
        put_people(tx, &told.user_id, &told.people).await?;
        tx.note_key_change(&told.user_id, None).await?;
    }
    Ok(true)
}
