//! Invitations between servers: each is signed by the server of whom it invites (server-server API, inviting).

use std::time::Duration;

use http::Method;
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedServerName, RoomId, ServerName, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use wayside_federation::{event::Event, version::RoomVersion};
use wayside_identity::friend;
use wayside_specs::Did;

use super::{
    super::{
        rooms::{self, Membership, Proposal, Wording},
        servers::{AskError, Question},
    },
    Error, Federation, admits,
    verify::{key_ids, with_signatures_of},
};
use crate::store::{
    accounts, deletions,
    rooms::{self as stored, RoomRow},
};

/// State events of a room that are shown to somebody at its door, and bytes of one of them.
const SHOWN: usize = 20;
const SHOWN_BYTES: usize = 65_535;
/// Invitations of one person that are open at the same time in rooms elsewhere.
const OPEN: i64 = 500;
/// Bytes of the answer to an invitation, and how long somebody waits for it.
const ANSWER: (usize, Duration) = (256 * 1024, Duration::from_secs(30));

/// An invitation of another server (server-server API, `PUT /v2/invite`).
#[derive(Deserialize)]
pub struct Invitation {
    room_version: String,
    event: Box<RawValue>,
    #[serde(default)]
    invite_room_state: Vec<Box<RawValue>>,
}

/// An invitation as another server is asked to sign it.
#[derive(Serialize)]
struct Asking<'a> {
    room_version: &'a str,
    event: &'a RawValue,
    invite_room_state: Vec<&'a RawValue>,
}

/// An invitation that was signed.
#[derive(Deserialize)]
struct Signed {
    event: Box<RawValue>,
}

impl Federation {
    /// Sets state in a room. An invitation of somebody who lives elsewhere is signed by their server,
    /// however it is written.
    pub async fn set_state(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        kind: TimelineEventType,
        key: String,
        content: Box<RawValue>,
        sent: Option<MilliSecondsSinceUnixEpoch>,
    ) -> Result<OwnedEventId, Error> {
        let target = UserId::parse(&key).ok().filter(|it| !self.ground.is_local(it));
        let is_invitation = kind == TimelineEventType::RoomMember
            && rooms::membership_in(&content) == Some(Membership::Invite);
        match target.filter(|_| is_invitation) {
            Some(target) => {
                self.invite(room_id, sender, &target, Wording::Given(content, sent)).await
            }
            None => self.rooms.set_state(room_id, sender, kind, key, content, sent).await,
        }
    }

    /// Invites somebody who lives elsewhere; the event that says so.
    pub(super) async fn invite(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        target: &UserId,
        wording: Wording,
    ) -> Result<OwnedEventId, Error> {
        let proposed = match self.rooms.propose(room_id, sender, target, wording).await? {
            Proposal::New(proposed) => *proposed,
            Proposal::Same(id) => return Ok(id),
        };
        let server = target.server_name();
        let (version, id) = (proposed.version, proposed.event.id().to_owned());
        let raw =
            |event: &Event| RawValue::from_string(event.json().to_owned()).map_err(Error::internal);
        let shown = proposed.shown.iter().map(raw).collect::<Result<Vec<_>, _>>()?;
        let asking = Asking {
            room_version: version.as_str(),
            event: &raw(&proposed.event)?,
            invite_room_state: shown.iter().map(|it| &**it).collect(),
        };
        let path = ["_matrix", "federation", "v2", "invite", room_id.as_str(), id.as_str()];
        let question = Question::get(&path, &[]).with(Method::PUT, &asking)?;
        let question = question.bounded(ANSWER.0, ANSWER.1).urgent();
        let signed: Signed = self.servers.ask(server, question).await?;
        let wrong =
            |why: String| Error::from(AskError::BadAnswer { server: server.to_string(), why });
        let event = Event::receive(version, signed.event.get());
        let event = event.map_err(|error| wrong(error.to_string()))?;
        if event.id() != id {
            return Err(wrong("it signs another invitation than it was given".to_owned()));
        }
        // Only its own signature is taken: it may have left out that of the room's policy server.
        let event = with_signatures_of(version, proposed.event, &event, server);
        let event = event.map_err(|error| wrong(error.to_string()))?;
        let ids = key_ids(&event, server);
        let keys = self.servers.event_keys(server, &ids, event.origin_server_ts()).await?;
        event.signed_by(version, server, &keys).map_err(|error| wrong(error.to_string()))?;
        let event = self.believe(version, event).await?.map_err(wrong)?;
        self.rooms.conclude(event).await?;
        Ok(id)
    }

    /// Takes an invitation of another server, and gives it signed.
    pub async fn invited(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        invitation: Invitation,
    ) -> Result<Event, Error> {
        let version = RoomVersion::parse(&invitation.room_version);
        let version =
            version.ok_or_else(|| Error::IncompatibleVersion(invitation.room_version.clone()))?;
        let event = Event::receive(version, invitation.event.get())?;
        let target = check(&event, origin, room_id, event_id)?;
        self.may_take_part(room_id, version, origin).await?;
        self.may_be_invited(room_id, &target).await?;
        let event = self.believe(version, event).await?.map_err(Error::BadJson)?;
        let (own, key) = (&self.ground.server_name, &self.ground.server_key);
        let event = event.cosign(version, own, key)?;
        let shown = stripped(version, room_id, &invitation.invite_room_state);
        if self.is_of_blocked(&target, event.sender(), &shown).await? {
            // Nobody is told whom somebody blocks: it is signed, and goes no further.
            return Ok(event);
        }
        self.stand_outside(version, event.clone(), Some((origin, shown))).await?;
        Ok(event)
    }

    /// Refuses a server that a room shuts out whose rules are known here, and one that says it is of a version
    /// of which it is not.
    async fn may_take_part(
        &self,
        room_id: &RoomId,
        version: RoomVersion,
        origin: &ServerName,
    ) -> Result<(), Error> {
        let other =
            || Err(Error::Invalid(format!("{room_id} is no room of version {}", version.as_str())));
        if version.create_is_room_id() != room_id.server_name().is_none() {
            return other();
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = stored::room(&mut snapshot, room_id).await? else { return Ok(()) };
        let is_known = !rooms::is_elsewhere(&mut snapshot, &room, &self.ground.server_name).await?;
        if !is_known {
            return Ok(());
        }
        if room.version != version {
            return other();
        }
        if admits(&mut snapshot, &room, origin).await? {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the room {room_id} shuts {origin} out")))
    }

    /// Refuses invitations that cannot reach anybody, or that they do not want.
    pub(super) async fn may_be_invited(
        &self,
        room_id: &RoomId,
        target: &UserId,
    ) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        if !self.ground.is_local(target) {
            return Err(Error::Invalid(format!("{target} does not live here")));
        }
        let account = accounts::account(&mut snapshot, target).await?;
        if account.is_none_or(|account| account.ended_ms.is_some()) {
            return Err(Error::NotFound(format!("there is nobody called {target}")));
        }
        if rooms::blocks_invitations(&mut snapshot, target).await? {
            return Err(Error::InviteBlocked(target.to_owned()));
        }
        if deletions::is_blocked(&mut snapshot, room_id).await? {
            let why = "those who run this node have closed the room";
            return Err(Error::Forbidden(why.to_owned()));
        }
        let open = stored::invited_after(&mut snapshot, target, i64::MIN, OPEN).await?;
        if i64::try_from(open.len()).unwrap_or(i64::MAX) >= OPEN {
            let why = format!("{target} is invited to {OPEN} rooms already");
            return Err(Error::Forbidden(why));
        }
        if let Some(room) = stored::room(&mut snapshot, room_id).await? {
            let row = stored::membership(&mut snapshot, room.room_no, target).await?;
            if row.is_some_and(|row| row.membership == Membership::Join) {
                return Err(Error::Forbidden(format!("{target} is in the room")));
            }
        }
        Ok(())
    }

    /// Whether whoever asks says to be a person whom somebody blocks, under another account than then.
    async fn is_of_blocked(
        &self,
        target: &UserId,
        sender: &UserId,
        shown: &[Value],
    ) -> Result<bool, Error> {
        let theirs =
            |event: &&Value| event["type"] == friend::EVENT && event["sender"] == sender.as_str();
        let issuers = shown.iter().filter(theirs).filter_map(|event| {
            let issuer = &event["content"]["record"]["issuer"];
            issuer.as_str().or_else(|| issuer["id"].as_str())?.parse::<Did>().ok()
        });
        let issuers: Vec<Did> = issuers.collect();
        if issuers.is_empty() {
            return Ok(false);
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let ignored = rooms::Ignored::of(&mut snapshot, target).await?;
        Ok(issuers.iter().any(|did| ignored.has_person(did.subject())))
    }

    /// Takes back an invitation or refuses a knock in a room that nobody of this node is in: its rules
    /// are not known here, so whoever invited them may, and whoever speaks for the server that they
    /// knocked at.
    pub(super) async fn turned_away(
        &self,
        origin: &ServerName,
        room: &RoomRow,
        event: Event,
    ) -> Result<(), Error> {
        let nothing = || Err(Error::NotFound("nobody of this node is in that room".to_owned()));
        let user_id = event.state_key().and_then(|key| UserId::parse(key).ok());
        let Some(user_id) = user_id.filter(|it| self.ground.is_local(it)) else { return nothing() };
        let is_member = *event.kind() == TimelineEventType::RoomMember;
        let goes =
            matches!(rooms::membership_of(&event), Some(Membership::Leave | Membership::Ban));
        let is_of = event.room_id() == room.room_id && event.sender().server_name() == origin;
        if !is_member || !goes || !is_of {
            return nothing();
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = stored::membership(&mut snapshot, room.room_no, &user_id).await?;
        let waits = |it: &stored::MemberRow| {
            matches!(it.membership, Membership::Invite | Membership::Knock)
        };
        let Some(row) = row.filter(waits) else { return nothing() };
        let said = crate::store::events::by_numbers(&mut snapshot, &[row.event_no]).await?;
        let Some(said) = said.into_values().next() else { return nothing() };
        let door = crate::store::doors::server(&mut snapshot, room.room_no, &user_id).await?;
        drop(snapshot);
        let is_theirs = said.event.sender().server_name() == origin
            || door.is_some_and(|server: OwnedServerName| server == origin);
        let names_it = event.auth_events().iter().any(|id| id == said.event.id());
        if !is_theirs || !names_it {
            return Err(Error::Forbidden("it does not say to what it is the answer".to_owned()));
        }
        let event = self.believe(room.version, event).await?.map_err(Error::BadJson)?;
        self.stand_outside(room.version, event, None).await
    }
}

/// Whom an invitation invites, if it is the one that it is said to be.
fn check(
    event: &Event,
    origin: &ServerName,
    room_id: &RoomId,
    event_id: &EventId,
) -> Result<ruma::OwnedUserId, Error> {
    super::join::check_said(Membership::Invite, event, origin, room_id, event_id)?;
    let target = event.state_key().and_then(|key| UserId::parse(key).ok());
    target.ok_or_else(|| Error::Invalid("the event invites nobody".to_owned()))
}

/// What another server shows of a room, in the form in which clients are shown it. It may come as whole
/// events or stripped; nobody vouches for it, so what does not read is left out, and so is a create event
/// that does not give the room its id where the right one does (version 12).
pub(super) fn stripped(
    version: RoomVersion,
    room_id: &RoomId,
    shown: &[Box<RawValue>],
) -> Vec<Value> {
    let begins_it = |text: &RawValue| {
        let event = Event::receive(version, text.get());
        event.is_ok_and(|event| event.room_id() == room_id)
    };
    let read = |text: &RawValue| {
        if text.get().len() > SHOWN_BYTES {
            return None;
        }
        let event: Map<String, Value> = serde_json::from_str(text.get()).ok()?;
        let word = |name: &str| event.get(name).and_then(Value::as_str);
        let (kind, key, sender) = (word("type")?, word("state_key")?, word("sender")?);
        let is_shown = rooms::DOOR.contains(&StateEventType::from(kind)) && key.is_empty()
            || kind == "m.room.member"
            || kind == friend::EVENT && key == sender;
        let content = event.get("content").filter(|content| content.is_object())?;
        UserId::parse(sender).ok().filter(|_| is_shown)?;
        if kind == "m.room.create" && version.create_is_room_id() && !begins_it(text) {
            return None;
        }
        Some(serde_json::json!({
            "type": kind, "state_key": key, "sender": sender, "content": content,
        }))
    };
    shown.iter().take(SHOWN).filter_map(|text| read(text)).collect()
}
