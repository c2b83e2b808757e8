//! What is of the moment, for other servers: who types, who is there, how far people have read.
//!
//! It waits in memory, the newest of each; who types is not told to a server that is away.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, MutexGuard, PoisonError},
};

use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde_json::json;
use tokio::sync::broadcast;
use wayside_federation::moments::{Moments, Reader};

use super::{
    super::{
        live::{Presence, Present},
        place,
    },
    Error, Federation,
};
use crate::store::{
    Snapshot,
    bus::{Change, Commit},
    edus, people,
    rooms::{self, Membership, RoomRow},
};

/// Servers for which something of the moment waits; further ones are not told.
const SERVERS: usize = 10_000;
/// People whose presence a server is told of that comes into a room.
const GREETED: usize = 100;

/// What was told of the moment so far.
struct Felt {
    /// Up to which count.
    serial: u64,
    /// Who of this node types, by room.
    typing: HashMap<i64, BTreeSet<OwnedUserId>>,
}

impl Federation {
    /// Gathers what is of the moment, until the node ends; `commits` tells of receipts.
    pub async fn feel(self: Arc<Self>, mut commits: broadcast::Receiver<Arc<Commit>>) {
        let mut stirs = self.live.stirs();
        let mut felt = Felt { serial: self.live.serial(), typing: HashMap::new() };
        let stop = self.ground.stop.clone();
        let following = async {
            loop {
                let gathered = tokio::select! {
                    commit = commits.recv() => match commit {
                        Ok(commit) => self.hear_commit(&commit).await,
                        // What was missed is of a moment that is over.
                        Err(broadcast::error::RecvError::Lagged(_)) => Ok(()),
                        Err(broadcast::error::RecvError::Closed) => return,
                    },
                    stirred = stirs.changed() => match stirred {
                        Ok(()) => self.feel_moments(&mut felt).await,
                        Err(_) => return,
                    },
                };
                if let Err(error) = gathered {
                    tracing::warn!(%error, "a moment was not told to other servers");
                }
            }
        };
        let _ended = stop.run_until_cancelled(following).await;
    }

    async fn hear_commit(&self, commit: &Commit) -> Result<(), Error> {
        for change in &commit.changes {
            match change {
                Change::Receipt { room_no, user_id, private: false, position }
                    if self.ground.is_local(user_id) =>
                {
                    self.gather_receipt(*room_no, user_id, *position).await?;
                }
                Change::Event { room_no, members, .. }
                    if members.iter().any(|it| !self.ground.is_local(it)) =>
                {
                    self.greet(*room_no, members).await?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn gather_receipt(
        &self,
        room_no: i64,
        user_id: &UserId,
        position: i64,
    ) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = self.with_others(&mut snapshot, room_no).await? else { return Ok(()) };
        let receipt = people::receipt_at(&mut snapshot, room_no, user_id, position).await?;
        let Some(receipt) = receipt.filter(|it| it.kind == "m.read") else { return Ok(()) };
        let servers = rooms::servers(&mut snapshot, room_no).await?;
        drop(snapshot);
        let (room_id, user_id) = (room.room_id, receipt.user_id);
        let reader = Reader { thread: receipt.thread, room_id, user_id };
        self.gather(servers, |moments| {
            moments.reads(reader.clone(), receipt.event_id.clone(), receipt.sent_ms);
        });
        Ok(())
    }

    /// Lets the servers of those who came into a room know who is there.
    async fn greet(&self, room_no: i64, members: &[OwnedUserId]) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut servers = BTreeSet::new();
        for member in members.iter().filter(|it| !self.ground.is_local(it)) {
            let row = rooms::membership(&mut snapshot, room_no, member).await?;
            if row.is_some_and(|row| row.membership == Membership::Join) {
                servers.insert(member.server_name().to_owned());
            }
        }
        if servers.is_empty() {
            return Ok(());
        }
        let there = self.live.present();
        let there: Vec<&UserId> =
            there.iter().map(AsRef::as_ref).filter(|it| self.ground.is_local(it)).collect();
        let there = rooms::joined_among(&mut snapshot, room_no, &there).await?;
        drop(snapshot);
        for user_id in there.into_iter().take(GREETED) {
            if let Some(present) = self.live.presence(&user_id) {
                self.gather_presence(servers.iter().cloned(), &user_id, &present);
            }
        }
        Ok(())
    }

    async fn feel_moments(&self, felt: &mut Felt) -> Result<(), Error> {
        let since = std::mem::replace(&mut felt.serial, self.live.serial());
        let rooms = self.live.rooms_typing_since(since);
        let mut present = self.live.present_since(since);
        present.retain(|(user_id, _)| self.ground.is_local(user_id));
        if rooms.is_empty() && present.is_empty() {
            return Ok(());
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        for room_no in rooms {
            let now = self.live.typing_since(room_no, 0).unwrap_or_default();
            let now: BTreeSet<OwnedUserId> =
                now.into_iter().filter(|it| self.ground.is_local(it)).collect();
            let before = felt.typing.remove(&room_no).unwrap_or_default();
            let told = self.live.types_on_since(room_no, since);
            let began = now.iter().filter(|it| !before.contains(*it) || told.contains(*it));
            let changed: BTreeMap<OwnedUserId, bool> = began
                .map(|it| (it.clone(), true))
                .chain(before.difference(&now).map(|it| (it.clone(), false)))
                .collect();
            if !now.is_empty() {
                felt.typing.insert(room_no, now);
            }
            if changed.is_empty() {
                continue;
            }
            let Some(room) = self.with_others(&mut snapshot, room_no).await? else { continue };
            let servers = rooms::servers(&mut snapshot, room_no).await?;
            self.gather(servers, |moments| {
                for (user_id, typing) in &changed {
                    moments.types(room.room_id.clone(), user_id.clone(), *typing);
                }
            });
        }
        for (user_id, present) in present {
            let servers = edus::near_servers(&mut snapshot, &user_id).await?;
            self.gather_presence(servers, &user_id, &present);
        }
        Ok(())
    }

    fn gather_presence(
        &self,
        servers: impl IntoIterator<Item = OwnedServerName>,
        user_id: &UserId,
        present: &Present,
    ) {
        let now_ms = self.ground.clock.now_ms();
        let mut entry = json!({
            "user_id": user_id,
            "presence": present.presence.as_str(),
            "last_active_ago": (now_ms - present.active_ms).max(0),
            "currently_active": present.presence == Presence::Online,
        });
        if let Some(status) = &present.status {
            entry["status_msg"] = status.as_str().into();
        }
        let Some(whereabouts) = &present.whereabouts else {
            let told = |moments: &mut Moments| {
                moments.is_present(user_id.to_owned(), entry.clone());
            };
            self.gather(servers, told);
            return;
        };
        for server in servers {
            let mut entry = entry.clone();
            // In which world they are, for those alone who may know.
            if let Some(told) = whereabouts.for_server(&server) {
                entry[place::FIELD] = told;
            }
            let told = |moments: &mut Moments| {
                moments.is_present(user_id.to_owned(), entry.clone());
            };
            self.gather([server], told);
        }
    }

    /// A room, if other servers are in it.
    async fn with_others(
        &self,
        snapshot: &mut Snapshot,
        room_no: i64,
    ) -> Result<Option<RoomRow>, Error> {
        let room = rooms::by_numbers(snapshot, &[room_no]).await?.pop();
        Ok(room.filter(|room| room.others > 0))
    }

    fn gather(
        &self,
        servers: impl IntoIterator<Item = OwnedServerName>,
        change: impl Fn(&mut Moments),
    ) {
        let mut all = self.moments();
        for server in servers {
            let is_other = server != self.ground.server_name && self.servers.meets(&server);
            if is_other && (all.contains_key(&server) || all.len() < SERVERS) {
                change(all.entry(server).or_default());
            }
        }
        drop(all);
        self.moved.notify_one();
    }

    pub(super) fn has_moments(&self, server: &ServerName) -> bool {
        self.moments().get(server).is_some_and(|moments| !moments.is_empty())
    }

    /// The servers for which something of the moment waits.
    pub(super) fn with_moments(&self) -> HashSet<OwnedServerName> {
        self.moments().keys().cloned().collect()
    }

    pub(super) fn take_moments(&self, server: &ServerName) -> Moments {
        self.moments().remove(server).unwrap_or_default()
    }

    /// Lets what was not told wait again.
    pub(super) fn return_moments(&self, server: &ServerName, untold: Moments) {
        if !untold.is_empty() {
            self.moments().entry(server.to_owned()).or_default().put_back(untold);
        }
    }

    /// A server is away: whoever types now does not when it is back.
    pub(super) fn forget_typing(&self, server: &ServerName) {
        let mut all = self.moments();
        if let Some(moments) = all.get_mut(server) {
            moments.forget_typing();
            if moments.is_empty() {
                all.remove(server);
            }
        }
    }

    fn moments(&self) -> MutexGuard<'_, HashMap<OwnedServerName, Moments>> {
        self.moments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
