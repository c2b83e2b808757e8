//! The duty that decides which service an event concerns, and notes it durably.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ruma::{RoomId, UserId, events::TimelineEventType};
use serde_json::{Value, json};
use tokio::{
    sync::{broadcast, watch},
    time::sleep,
};

use super::{
    super::{Error, live::Presence},
    AppService, AppServices,
    moments::About,
};
use crate::store::{
    Snapshot, app_services,
    bus::{Change, Commit},
    directory,
    events::{self, StoredEvent},
    people,
    rooms::{self, Membership, RoomRow},
    walks,
};

/// The name of the walk.
const WALK: &str = "app_services";
/// Events that are looked at together.
const PAGE: i64 = 100;
/// Events that concern nobody are not worth a write, until there were so many of them.
const UNWRITTEN: i64 = 20_000;
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Rooms of which it is remembered who is concerned; beyond, all are looked up again.
const ROOMS: usize = 20_000;
/// People of a room that are looked at together.
const PEOPLE: usize = 1_000;
/// Events that wait for one service; beyond, the oldest are dropped.
const QUEUED: i64 = 1_000_000;

/// What is known of rooms, and how far the duty has come.
#[derive(Default)]
struct Gathering {
    /// Whose users are in a room, by the numbers of the services.
    inside: HashMap<i64, Vec<bool>>,
    /// Up to where events were looked at.
    read: i64,
    /// Up to where that is written down.
    written: i64,
    /// Up to which count moments were told.
    serial: u64,
}

impl AppServices {
    /// Follows the store and the moment until the node stops.
    pub async fn gather(self: Arc<Self>) {
        if self.ground.app_services.all().is_empty() {
            return;
        }
        let mut commits = self.ground.store.bus().listen();
        let mut stirs = self.live.stirs();
        let mut gathering = Gathering { serial: self.live.serial(), ..Gathering::default() };
        let stop = self.ground.stop.clone();
        let following = async {
            loop {
                if let Err(error) = self.gather_events(&mut gathering).await {
                    tracing::warn!(%error, "finding what concerns application services broke off; it is tried again");
                    sleep(AGAIN).await;
                    continue;
                }
                if !self.next(&mut gathering, &mut commits, &mut stirs).await {
                    return;
                }
            }
        };
        // Cut off or closed: the node ends either way.
        let _ended = stop.run_until_cancelled(following).await;
    }

    /// Waits until there may be new events, and tells of moments meanwhile; false when there will be
    /// none any more.
    async fn next(
        &self,
        gathering: &mut Gathering,
        commits: &mut broadcast::Receiver<Arc<Commit>>,
        stirs: &mut watch::Receiver<()>,
    ) -> bool {
        loop {
            let told = tokio::select! {
                commit = commits.recv() => match commit {
                    Ok(commit) if !commit.lost => {
                        let told = self.hear(gathering, &commit).await;
                        let is_event = |change: &Change| matches!(change, Change::Event { .. });
                        if commit.changes.iter().any(is_event) {
                            return true;
                        }
                        told
                    }
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {
                        gathering.inside.clear();
                        return true;
                    }
                    Err(broadcast::error::RecvError::Closed) => return false,
                },
                stirred = stirs.changed() => {
                    if stirred.is_err() {
                        return false;
                    }
                    self.feel(gathering).await
                }
            };
            if let Err(error) = told {
                tracing::warn!(%error, "a moment was not told to an application service");
            }
        }
    }

    /// Notes all events that there are now.
    async fn gather_events(&self, gathering: &mut Gathering) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        if gathering.read == 0 {
            // Nobody is told of what was said before they were registered.
            let since = app_services::oldest(&mut snapshot).await?;
            let reached = walks::walk(&mut snapshot, WALK).await?.reached;
            gathering.written = reached;
            gathering.read = reached.max(since);
        }
        loop {
            let now = snapshot.position().await?;
            let page = events::after(&mut snapshot, gathering.read, PAGE).await?;
            let is_full = i64::try_from(page.len()) == Ok(PAGE);
            let mut noted: Vec<(Arc<str>, i64)> = Vec::new();
            for stored in &page {
                self.concern(gathering, &mut snapshot, stored, &mut noted).await?;
            }
            let last = page.last().map(|it| it.event_no.0).filter(|_| is_full);
            let read = last.unwrap_or(now).max(gathering.read);
            if !noted.is_empty() || read - gathering.written >= UNWRITTEN {
                self.note(read, noted).await?;
                gathering.written = read;
            }
            gathering.read = read;
            if !is_full {
                return Ok(());
            }
            snapshot = self.ground.store.snapshot().await?;
        }
    }

    async fn note(&self, read: i64, noted: Vec<(Arc<str>, i64)>) -> Result<(), Error> {
        let mut concerned: Vec<Arc<str>> = noted.iter().map(|(id, _)| id.clone()).collect();
        concerned.sort();
        concerned.dedup();
        let trimmed = concerned.clone();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    for (service, event_no) in &noted {
                        tx.queue_event(service, *event_no).await?;
                    }
                    for service in &trimmed {
                        if tx.trim_queue(service, QUEUED).await? > 0 {
                            tracing::warn!(
                                service = &**service,
                                "an application service was away for too long: the oldest events for it are dropped"
                            );
                        }
                    }
                    Ok::<_, Error>(tx.walk_on(WALK, read).await?)
                })
            })
            .await?;
        for service in concerned {
            self.ring(&service);
        }
        Ok(())
    }

    /// Adds those whom an event concerns.
    async fn concern(
        &self,
        gathering: &mut Gathering,
        snapshot: &mut Snapshot,
        stored: &StoredEvent,
        noted: &mut Vec<(Arc<str>, i64)>,
    ) -> Result<(), Error> {
        let event = &stored.event;
        let is_member = *event.kind() == TimelineEventType::RoomMember;
        if is_member {
            gathering.inside.remove(&stored.room_no);
        }
        let target = event.state_key().filter(|_| is_member);
        let target = target.and_then(|key| UserId::parse(key).ok());
        let Some(room) = rooms::by_numbers(snapshot, &[stored.room_no]).await?.pop() else {
            return Ok(());
        };
        let concerned = self.concerned(gathering, snapshot, &room, stored.event_no.0).await?;
        for (service, concerned) in self.ground.app_services.all().iter().zip(concerned) {
            let targeted = target.as_ref().is_some_and(|user_id| service.owns(user_id));
            if service.url.is_some() && (concerned || targeted) {
                noted.push((service.id.clone(), stored.event_no.0));
            }
        }
        if is_member {
            // Whoever left with this event is not looked for behind it.
            gathering.inside.remove(&stored.room_no);
        }
        Ok(())
    }

    /// Whom a room concerns at a position: those who name it or an alias of it, and those of whose
    /// users one is in it, or was until then.
    async fn concerned(
        &self,
        gathering: &mut Gathering,
        snapshot: &mut Snapshot,
        room: &RoomRow,
        at: i64,
    ) -> Result<Vec<bool>, Error> {
        let services = self.ground.app_services.all();
        let aliases = if services.iter().any(|service| service.names_aliases()) {
            directory::aliases_of(snapshot, room.room_no).await?
        } else {
            Vec::new()
        };
        if !gathering.inside.contains_key(&room.room_no) {
            let inside = inside(services, snapshot, room.room_no, at).await?;
            if gathering.inside.len() >= ROOMS {
                gathering.inside.clear();
            }
            gathering.inside.insert(room.room_no, inside);
        }
        let inside = &gathering.inside[&room.room_no];
        let named = |service: &AppService| {
            service.names_room(&room.room_id)
                || aliases.iter().any(|alias| service.owns_alias(alias))
        };
        Ok(services.iter().zip(inside).map(|(service, inside)| *inside || named(service)).collect())
    }

    /// Tells of receipts that were committed.
    async fn hear(&self, gathering: &mut Gathering, commit: &Commit) -> Result<(), Error> {
        for change in &commit.changes {
            let Change::Receipt { room_no, user_id, private, position } = change else { continue };
            let mut snapshot = self.ground.store.snapshot().await?;
            let found = people::receipt_at(&mut snapshot, *room_no, user_id, *position).await?;
            let room = rooms::by_numbers(&mut snapshot, &[*room_no]).await?.pop();
            let (Some(receipt), Some(room)) = (found, room) else { continue };
            let concerned = self.concerned(gathering, &mut snapshot, &room, *position).await?;
            let mut told = json!({ "ts": receipt.sent_ms });
            if let Some(thread) = &receipt.thread {
                told["thread_id"] = thread.as_str().into();
            }
            let mut content = json!({});
            content[receipt.event_id.as_str()][&receipt.kind][user_id.as_str()] = told;
            let event = of_room("m.receipt", &room.room_id, &content);
            let thread = receipt.thread.unwrap_or_default();
            let about = About::Receipt(*room_no, format!("{user_id} {}", receipt.kind), thread);
            for (service, concerned) in self.ground.app_services.all().iter().zip(concerned) {
                if concerned && (!private || service.owns(user_id)) {
                    self.tell(service, &about, &event);
                }
            }
        }
        Ok(())
    }

    /// Tells who types and how people are present, as far as that changed.
    async fn feel(&self, gathering: &mut Gathering) -> Result<(), Error> {
        let (since, now) = (gathering.serial, self.live.serial());
        gathering.serial = now;
        let mut snapshot = self.ground.store.snapshot().await?;
        let at = snapshot.position().await?;
        for room_no in self.live.rooms_typing_since(since) {
            let Some(typing) = self.live.typing_since(room_no, since) else { continue };
            let Some(room) = rooms::by_numbers(&mut snapshot, &[room_no]).await?.pop() else {
                continue;
            };
            let concerned = self.concerned(gathering, &mut snapshot, &room, at).await?;
            let event = of_room("m.typing", &room.room_id, &json!({ "user_ids": typing }));
            for (service, concerned) in self.ground.app_services.all().iter().zip(concerned) {
                if concerned {
                    self.tell(service, &About::Typing(room_no), &event);
                }
            }
        }
        for (user_id, present) in self.live.present_since(since) {
            let mut content = json!({
                "presence": present.presence.as_str(),
                "currently_active": present.presence == Presence::Online,
                "last_active_ago": (self.ground.clock.now_ms() - present.active_ms).max(0),
            });
            if let Some(status) = present.status {
                content["status_msg"] = status.into();
            }
            let event = json!({ "type": "m.presence", "sender": user_id, "content": content });
            let mut concerned: Vec<bool> =
                self.ground.app_services.all().iter().map(|it| it.owns(&user_id)).collect();
            for row in rooms::memberships_of(&mut snapshot, &user_id).await? {
                if row.membership != Membership::Join || concerned.iter().all(|it| *it) {
                    continue;
                }
                let room = rooms::by_numbers(&mut snapshot, &[row.room_no]).await?.pop();
                let Some(room) = room else { continue };
                let near = self.concerned(gathering, &mut snapshot, &room, at).await?;
                concerned = concerned.iter().zip(near).map(|(is, near)| *is || near).collect();
            }
            for (service, concerned) in self.ground.app_services.all().iter().zip(concerned) {
                if concerned {
                    self.tell(service, &About::Presence(user_id.to_string()), &event);
                }
            }
        }
        Ok(())
    }

    fn tell(&self, service: &AppService, about: &About, event: &Value) {
        if !service.ephemeral || service.url.is_none() {
            return;
        }
        self.waiting().entry(service.id.clone()).or_default().put(about.clone(), event.clone());
        self.ring(&service.id);
    }
}

fn of_room(kind: &str, room_id: &RoomId, content: &Value) -> Value {
    json!({ "type": kind, "room_id": room_id, "content": content })
}

/// Of which services a user is in a room, or was until that position.
async fn inside(
    services: &[Arc<AppService>],
    snapshot: &mut Snapshot,
    room_no: i64,
    at: i64,
) -> Result<Vec<bool>, Error> {
    let mut inside = vec![false; services.len()];
    let mut behind = String::new();
    loop {
        let page = rooms::own_people_until(snapshot, room_no, at, &behind, PEOPLE).await?;
        for (service, inside) in services.iter().zip(&mut inside) {
            *inside = *inside || page.iter().any(|user_id| service.owns(user_id));
        }
        let Some(last) = page.last().filter(|_| page.len() == PEOPLE) else { return Ok(inside) };
        behind = last.to_string();
    }
}
