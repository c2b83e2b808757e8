//! Rooms: making them, speaking in them, coming and going, and reading what was said.
//!
//! Every event passes `append`: it is built, hashed, signed and authorised by the pure federation
//! crate and stored in the same transaction, so that two people who speak at once are ordered and
//! what was acknowledged is on disk. In a room with a policy server, that has signed it before
//! (`signing`).

mod append;
mod catchup;
mod collect;
mod create;
mod decisions;
mod directory;
pub mod format;
mod heads;
mod ignored;
mod invitations;
mod membership;
mod near;
mod networks;
mod place;
mod read;
pub mod related;
mod retention;
mod signing;
mod spaces;
mod upgrade;
pub mod view;

use std::sync::Arc;

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;
use wayside_specs::limits;

pub use self::{
    append::Request,
    create::{NewRoom, Preset},
    directory::{DirectoryPage, DirectoryPlace, DirectoryQuery, Listed, WORLD},
    ignored::Ignored,
    invitations::{Proposal, Proposed, Wording, blocks_invitations},
    membership::Step,
    near::Shared,
    networks::Network,
    read::{Around, MembersAsked, Page, PageAsked},
    related::{DEPTH, Listing, RelationsAsked, ThreadsAsked},
    spaces::{Branch, Shown, Summary, TreeAsked, TreePage},
    upgrade::Upgrade,
    view::{Asker, Rendered},
};
use self::{append::Saying, signing::Signings};
pub(in crate::services) use self::{
    append::{admits, membership_in, membership_of, needed, needed_at},
    decisions::{Decisions, join_beside},
    directory::listed,
    heads::join_heads,
    invitations::redeemed,
    membership::{is_elsewhere, person, vouch_for},
    place::{Arrival, add_outliers, move_outside, settle, shift},
    signing::in_force,
    spaces::children,
};
use super::{
    Error, Ground,
    servers::{Servers, Urgency},
};
use crate::store::{
    Reads, StoreError, Tx,
    events::{self, StoredEvent},
    rooms::{self, RoomRow},
};
pub use crate::store::{names::Found, rooms::Membership};

/// State that is shown to those who are invited or knock (client-server API, stripped state).
pub(in crate::services) const DOOR: [StateEventType; 8] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomGuestAccess,
];

/// Old requests forgotten in one go, so that nobody waits long behind it.
const FORGOTTEN_AT_ONCE: i64 = 5_000;

/// The service of rooms.
pub struct Rooms {
    ground: Arc<Ground>,
    servers: Arc<Servers>,
}

impl Rooms {
    /// The service on its ground, with the servers whom rooms let look over what is said.
    #[must_use]
    pub fn new(ground: Arc<Ground>, servers: Arc<Servers>) -> Self {
        Self { ground, servers }
    }

    /// Says something in a room; a repeated request gives the event that it made the first time.
    pub async fn send(
        &self,
        room_id: &RoomId,
        kind: TimelineEventType,
        content: Box<RawValue>,
        request: Request,
    ) -> Result<OwnedEventId, Error> {
        created_once(&kind)?;
        let mut saying = if kind == TimelineEventType::RoomRedaction {
            redaction(&content)?
        } else {
            Saying { kind, state_key: None, content, redacts: None, sent: None }
        };
        saying.sent = request.sent;
        self.say(room_id, saying, Some(request.clone()), request.user_id).await
    }

    /// Sets state in a room, said to have been sent then.
    pub async fn set_state(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        kind: TimelineEventType,
        state_key: String,
        content: Box<RawValue>,
        sent: Option<MilliSecondsSinceUnixEpoch>,
    ) -> Result<OwnedEventId, Error> {
        if kind == TimelineEventType::RoomMember {
            return self.set_member(room_id, sender, &state_key, &content, sent).await;
        }
        created_once(&kind)?;
        if kind == TimelineEventType::RoomRedaction {
            return Err(Error::Forbidden("a redaction is no state".to_owned()));
        }
        if kind == TimelineEventType::RoomCanonicalAlias {
            self.check_canonical_alias(room_id, &content).await?;
        }
        let saying = Saying { kind, state_key: Some(state_key), content, redacts: None, sent };
        self.say(room_id, saying, None, sender.to_owned()).await
    }

    /// Empties an event.
    pub async fn redact(
        &self,
        room_id: &RoomId,
        target: &EventId,
        reason: Option<&str>,
        request: Request,
    ) -> Result<OwnedEventId, Error> {
        let content = match reason {
            Some(reason) => serde_json::json!({ "reason": reason }),
            None => serde_json::json!({}),
        };
        let saying = Saying {
            kind: TimelineEventType::RoomRedaction,
            state_key: None,
            content: serde_json::value::to_raw_value(&content).map_err(Error::internal)?,
            redacts: Some(target.to_owned()),
            sent: None,
        };
        self.say(room_id, saying, Some(request.clone()), request.user_id).await
    }

    /// Whether an event is that person's own.
    pub async fn is_by(&self, event_id: &EventId, user_id: &UserId) -> Result<bool, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let stored = events::by_id(&mut snapshot, event_id).await?;
        Ok(stored.is_some_and(|stored| stored.event.sender() == user_id))
    }

    /// Forgets the requests that are too old to be repeated; to be called now and then.
    pub async fn forget_requests(&self) {
        let before_ms = self.ground.clock.now_ms() - limits::TRANSACTION_MS;
        if let Err(error) = self.forget_requests_of_before(before_ms).await {
            tracing::warn!(%error, "forgetting old requests failed; it is tried again");
        }
    }

    async fn forget_requests_of_before(&self, before_ms: i64) -> Result<(), StoreError> {
        // Looked at first, so that a node at rest writes nothing.
        let oldest = events::oldest_request(&mut self.ground.store.snapshot().await?).await?;
        if oldest.is_none_or(|oldest_ms| oldest_ms >= before_ms) {
            return Ok(());
        }
        let forget = self.ground.store.forget(move |tx| {
            Box::pin(async move { tx.forget_requests(before_ms, FORGOTTEN_AT_ONCE).await })
        });
        forget.await
    }

    async fn say(
        &self,
        room_id: &RoomId,
        saying: Saying,
        request: Option<Request>,
        sender: OwnedUserId,
    ) -> Result<OwnedEventId, Error> {
        let spoken = Spoken {
            ground: self.ground.clone(),
            room_id: room_id.to_owned(),
            saying,
            request,
            sender,
        };
        let spoken = Arc::new(spoken);
        let write = self.write(Urgency::Awaited, move |tx, signings| {
            let spoken = spoken.clone();
            Box::pin(async move { spoken.write(tx, signings).await })
        });
        write.await
    }
}

/// What somebody says in a room.
struct Spoken {
    ground: Arc<Ground>,
    room_id: OwnedRoomId,
    saying: Saying,
    request: Option<Request>,
    sender: OwnedUserId,
}

impl Spoken {
    async fn write(&self, tx: &mut Tx, signings: &mut Signings) -> Result<OwnedEventId, Error> {
        let Self { ground, room_id, saying, request, sender } = self;
        if let Some(request) = request
            && let Some(made) = append::once(tx, request).await?
        {
            return Ok(made);
        }
        let mut room = joined_room(tx, room_id, sender).await?;
        let stored =
            append::append(ground, tx, signings, &mut room, sender, saying.clone()).await?;
        if touches_guests(tx, &stored).await? {
            membership::turn_guests_out(ground, tx, signings, &mut room).await?;
        }
        tx.move_room(&room).await?;
        if let Some(request) = request {
            append::remember(tx, request, &stored, ground.clock.now()).await?;
        }
        Ok(stored.event.id().to_owned())
    }
}

/// A room that somebody is in; whoever is not learns only that.
async fn joined_room(
    from: &mut impl Reads,
    room_id: &RoomId,
    user: &UserId,
) -> Result<RoomRow, Error> {
    let outside = || Error::Forbidden(format!("you are not in the room {room_id}"));
    let room = rooms::room(from, room_id).await?.ok_or_else(outside)?;
    let member = rooms::membership(from, room.room_no, user).await?;
    if member.is_some_and(|member| member.membership == Membership::Join) {
        Ok(room)
    } else {
        Err(outside())
    }
}

/// Whether an event sets the rule that lets guests in, or empties it.
async fn touches_guests(from: &mut impl Reads, stored: &StoredEvent) -> Result<bool, Error> {
    let is_rule = |it: &StoredEvent| *it.event.kind() == TimelineEventType::RoomGuestAccess;
    Ok(match stored.event.redacts() {
        Some(target) => events::by_id(from, target).await?.is_some_and(|it| is_rule(&it)),
        None => is_rule(stored),
    })
}

/// Nothing said in a room may pass for its creation.
fn created_once(kind: &TimelineEventType) -> Result<(), Error> {
    if *kind == TimelineEventType::RoomCreate {
        return Err(Error::Forbidden("a room is created once".to_owned()));
    }
    Ok(())
}

/// A redaction as a client writes it, the event that it names taken out of the content: where it
/// stands in the event is the room version's business (client-server API, `PUT /send`).
fn redaction(raw: &RawValue) -> Result<Saying, Error> {
    let mut value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw.get())
        .map_err(|_| Error::BadJson("the content of an event is an object".to_owned()))?;
    let target = value.remove("redacts");
    let target = target.as_ref().and_then(serde_json::Value::as_str);
    let target = target.ok_or_else(|| Error::Missing("redacts names the event".to_owned()))?;
    let target = EventId::parse(target)
        .map_err(|_| Error::Invalid(format!("redacts: {target:?} is no event id")))?;
    Ok(Saying {
        kind: TimelineEventType::RoomRedaction,
        state_key: None,
        content: content(&value.into())?,
        redacts: Some(target),
        sent: None,
    })
}

/// JSON text of a value that this node made itself.
fn content(value: &serde_json::Value) -> Result<Box<RawValue>, Error> {
    serde_json::value::to_raw_value(value).map_err(Error::internal)
}

#[cfg(test)]
mod tests;
