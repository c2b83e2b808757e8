//! The one way in which an event of this node enters a room.

use std::collections::HashMap;

use ruma::{
    DeviceId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, ServerName, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;
use wayside_federation::{
    acl::ServerAcl,
    auth,
    event::{Draft, Event},
    policy::{self, Policy},
    state::{EventNo, NodeId, StateKey},
};

use super::{
    super::{Error, Ground},
    WORLD,
    membership::{PROVEN, text_of},
    place::place,
    signing::{self, Signings},
    view::has_field,
};
use crate::store::{
    Reads, Tx, accounts, deletions,
    events::{self, StoredEvent},
    relations,
    rooms::{Membership, RoomRow},
    state,
};

/// What somebody wants to say in a room.
#[derive(Clone)]
pub(super) struct Saying {
    pub(super) kind: TimelineEventType,
    pub(super) state_key: Option<String>,
    pub(super) content: Box<RawValue>,
    pub(super) redacts: Option<OwnedEventId>,
    /// When it is to count as sent; now without one.
    pub(super) sent: Option<MilliSecondsSinceUnixEpoch>,
}

impl Saying {
    pub(super) fn state(kind: StateEventType, key: &str, content: Box<RawValue>) -> Self {
        let state_key = Some(key.to_owned());
        Self { kind: kind.into(), state_key, content, redacts: None, sent: None }
    }

    /// Whether it is the same as another, in the same words.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let Self { kind, state_key, content, redacts, sent } = self;
        *kind == other.kind
            && *state_key == other.state_key
            && content.get() == other.content.get()
            && *redacts == other.redacts
            && *sent == other.sent
    }
}

/// A request of a device, which makes one event however often it is repeated.
#[derive(Clone)]
pub struct Request {
    /// Whose.
    pub user_id: OwnedUserId,
    /// By which device.
    pub device_id: ruma::OwnedDeviceId,
    /// Which request: the same id under another path is another request.
    pub scope: String,
    /// The id that the device chose.
    pub txn_id: String,
    /// When what it says is to count as sent, by the word of an application service.
    pub sent: Option<MilliSecondsSinceUnixEpoch>,
}

/// The events of a room's state that hold these keys, by key.
pub(in crate::services) async fn needed(
    from: &mut impl Reads,
    room: &RoomRow,
    keys: Vec<StateKey>,
) -> Result<HashMap<StateKey, StoredEvent>, Error> {
    needed_at(from, room.state_root, keys).await
}

/// Whether the rule of a room lets a server take part now (client-server API, `m.room.server_acl`).
pub(in crate::services) async fn admits(
    from: &mut impl Reads,
    room: &RoomRow,
    server: &ServerName,
) -> Result<bool, Error> {
    let key = StateKey::new(StateEventType::RoomServerAcl, "");
    let held = needed(from, room, vec![key.clone()]).await?;
    let rule = held.get(&key).map(|it| ServerAcl::read(it.event.content()));
    Ok(rule.is_none_or(|rule| rule.admits(server)))
}

/// The same of any state.
pub(in crate::services) async fn needed_at(
    from: &mut impl Reads,
    root: NodeId,
    keys: Vec<StateKey>,
) -> Result<HashMap<StateKey, StoredEvent>, Error> {
    let numbers = state::lookup(from, root, &keys).await?;
    let found: Vec<EventNo> = numbers.iter().copied().flatten().collect();
    let mut stored = events::by_numbers(from, &found).await?;
    Ok(keys
        .into_iter()
        .zip(numbers)
        .filter_map(|(key, number)| Some((key, stored.remove(&number?)?)))
        .collect())
}

/// Builds, signs, authorises and stores an event at the end of a room, and moves `room` on.
///
/// The caller writes the room's row when it has appended all that it wants to. Where the room's policy
/// server has still to sign the event, all of it is undone afterwards (`Signings`).
pub(super) async fn append(
    ground: &Ground,
    tx: &mut Tx,
    signings: &mut Signings,
    room: &mut RoomRow,
    sender: &UserId,
    saying: Saying,
) -> Result<StoredEvent, Error> {
    let (event, held) = match seal(ground, tx, signings, room, sender, saying).await? {
        Sealed::Same(stored) => return Ok(*stored),
        Sealed::New(event, held) => (event, held),
    };
    let stored = place(ground, tx, room, event).await?;
    if let Some(target) = stored.event.redacts() {
        let target = target.to_owned();
        redact(tx, room, &stored, &target, &held).await?;
    }
    Ok(stored)
}

/// What became of something that somebody wants to say.
pub(super) enum Sealed {
    /// The room says it already.
    Same(Box<StoredEvent>),
    /// An event, and what it was allowed by.
    New(Event, HashMap<StateKey, StoredEvent>),
}

/// Builds, signs and authorises an event at the end of a room; or finds the one that was built of this
/// before and has been signed by the room's policy server since, wherever the room ends now.
pub(super) async fn seal(
    ground: &Ground,
    tx: &mut Tx,
    signings: &mut Signings,
    room: &RoomRow,
    sender: &UserId,
    saying: Saying,
) -> Result<Sealed, Error> {
    let version = room.version;
    let (kind, key) = (&saying.kind, saying.state_key.as_deref());
    if kind.to_string().contains('\0') || key.is_some_and(|key| key.contains('\0')) {
        // Events of others may hold it, but there are servers that could not keep ours.
        return Err(Error::Invalid("a type or state key holds no character NUL".to_owned()));
    }
    if *kind == TimelineEventType::RoomMember {
        may_come(tx, room, sender, &saying).await?;
    }
    stays_one_of_both(tx, room, &saying).await?;
    annotates_anew(tx, room, sender, &saying).await?;
    let cited = auth::auth_keys(version, kind, sender, key, &saying.content)?;
    let mut keys = auth::needed_state(version, kind, sender, key, &saying.content)?;
    if let Some(key) = key {
        keys.push(StateKey::new(kind.to_string().into(), key));
    }
    // A room in which nobody of another server is has no policy server.
    let is_looked_over = room.others > 0 && !policy::is_exempt(kind, key);
    keys.extend(is_looked_over.then(Policy::state_key));
    keys.sort();
    keys.dedup();
    let held = needed(tx, room, keys).await?;
    if let Some(same) = unchanged(&held, sender, &saying) {
        return Ok(Sealed::Same(Box::new(same.clone())));
    }
    let named = held.get(&Policy::state_key()).filter(|_| is_looked_over);
    let policy = signing::in_force(tx, ground, room, named).await?;
    let told = policy.as_ref().and_then(|it| signings.take(it, room, sender, &saying));
    if let Some(told) = told {
        let event = told?;
        auth::check(version, &event, |key| held.get(key).map(|it| it.event.clone()))?;
        return Ok(Sealed::New(event, held));
    }
    let asked = policy.map(|policy| (policy, saying.clone()));
    let auth =
        cited.iter().filter_map(|key| held.get(key)).map(|it| it.event.id().to_owned()).collect();
    let draft = Draft {
        kind: saying.kind,
        state_key: saying.state_key,
        sender: sender.to_owned(),
        content: saying.content,
        redacts: saying.redacts,
        origin_server_ts: saying.sent.unwrap_or_else(|| ground.clock.now()),
    };
    let prev = room.prev_events();
    let mut event = draft.seal(version, Some(&room.room_id), &prev, auth, &ground.server_key)?;
    if !ground.is_local(sender) {
        // Nothing is said for others but what an identity server has proven of whom they invite.
        if event.kind() != &TimelineEventType::RoomMember || !has_field(&event, PROVEN) {
            let why = format!("{sender} does not live here");
            return Err(Error::internal(anyhow::anyhow!(why)));
        }
        event = event.sign_instead(version, &ground.server_name, &ground.server_key)?;
    }
    auth::check(version, &event, |key| held.get(key).map(|it| it.event.clone()))?;
    if let Some((policy, said)) = asked {
        signings.ask(policy, version, said, event.clone());
    }
    Ok(Sealed::New(event, held))
}

/// Remembers which request made an event; or finds the event that it made before.
pub(super) async fn once(tx: &mut Tx, request: &Request) -> Result<Option<OwnedEventId>, Error> {
    let Request { user_id, device_id, scope, txn_id, .. } = request;
    Ok(events::made_by(tx, user_id, device_id, scope, txn_id).await?)
}

/// The counterpart of [`once`], after the event was made.
pub(super) async fn remember(
    tx: &mut Tx,
    request: &Request,
    stored: &StoredEvent,
    now: MilliSecondsSinceUnixEpoch,
) -> Result<(), Error> {
    let device: &DeviceId = &request.device_id;
    let (scope, txn_id) = (request.scope.as_str(), request.txn_id.as_str());
    let now_ms = i64::try_from(u64::from(now.get())).unwrap_or(i64::MAX);
    let id = stored.event.id();
    Ok(tx.remember_request(&request.user_id, device, scope, txn_id, id, now_ms).await?)
}

/// State that is set again to what it is by the same person changes nothing and makes no event.
fn unchanged<'a>(
    held: &'a HashMap<StateKey, StoredEvent>,
    sender: &UserId,
    saying: &Saying,
) -> Option<&'a StoredEvent> {
    let key = StateKey::new(saying.kind.to_string().into(), saying.state_key.as_deref()?);
    let now = held.get(&key)?;
    if now.event.sender() != sender {
        return None;
    }
    let old: serde_json::Value = serde_json::from_str(now.event.content().get()).ok()?;
    let new: serde_json::Value = serde_json::from_str(saying.content.get()).ok()?;
    (old == new).then_some(now)
}

/// Whoever's account has ended comes in nowhere any more, also not by a request that was under way
/// then: they have left their rooms, or are about to. And nobody comes into a room that is blocked.
async fn may_come(
    tx: &mut Tx,
    room: &RoomRow,
    sender: &UserId,
    saying: &Saying,
) -> Result<(), Error> {
    let target = saying.state_key.as_deref().and_then(|key| UserId::parse(key).ok());
    let comes = matches!(
        membership_in(&saying.content),
        Some(Membership::Join | Membership::Invite | Membership::Knock)
    );
    let Some(target) = target.filter(|_| comes) else { return Ok(()) };
    if deletions::is_blocked(tx, &room.room_id).await? {
        return Err(Error::Forbidden("those who run this node have closed the room".to_owned()));
    }
    let account = accounts::account(tx, &target).await?;
    if account.is_none_or(|account| account.ended_ms.is_none()) {
        return Ok(());
    }
    if target == sender {
        return Err(Error::AccountEnded);
    }
    Err(Error::Forbidden(format!("the account {target} has ended")))
}

/// A world that anybody may enter is not encrypted, and one that is encrypted is not opened to
/// everybody: whoever comes in could neither read what was said nor be kept from what will be.
async fn stays_one_of_both(tx: &mut Tx, room: &RoomRow, saying: &Saying) -> Result<(), Error> {
    if room.kind.as_deref() != Some(WORLD) || saying.state_key.as_deref() != Some("") {
        return Ok(());
    }
    let word = |content: &RawValue| text_of(content, "join_rule");
    let opens = saying.kind == TimelineEventType::RoomJoinRules
        && word(&saying.content).as_deref() == Some("public");
    if !opens && saying.kind != TimelineEventType::RoomEncryption {
        return Ok(());
    }
    let rules = StateKey::new(StateEventType::RoomJoinRules, "");
    let encryption = StateKey::new(StateEventType::RoomEncryption, "");
    let held = needed(tx, room, vec![rules.clone(), encryption.clone()]).await?;
    if opens && held.contains_key(&encryption) {
        let why = "this world is encrypted, which is for ever, and so not for everybody";
        return Err(Error::Forbidden(why.to_owned()));
    }
    let open = held.get(&rules).and_then(|it| word(it.event.content()));
    if !opens && open.as_deref() == Some("public") {
        let why =
            "a world that anybody may enter is not encrypted: let in only who is invited first";
        return Err(Error::Forbidden(why.to_owned()));
    }
    Ok(())
}

/// Nobody annotates an event in the same way twice (client-server API, annotations).
async fn annotates_anew(
    tx: &mut Tx,
    room: &RoomRow,
    sender: &UserId,
    saying: &Saying,
) -> Result<(), Error> {
    if !saying.content.get().contains("\"m.annotation\"") {
        return Ok(());
    }
    let Some((target, key)) = annotation(&saying.content) else { return Ok(()) };
    let by = (sender, &*saying.kind.to_string());
    let numbers = relations::annotations(tx, room.room_no, &target, by).await?;
    let before = events::by_numbers(tx, &numbers).await?;
    let same = before.values().filter_map(|it| annotation(it.event.content()));
    if same.into_iter().any(|(_, held)| held == key) {
        return Err(Error::AnnotatedAlready);
    }
    Ok(())
}

/// Which event a content annotates, and how.
fn annotation(content: &RawValue) -> Option<(OwnedEventId, String)> {
    let content: serde_json::Value = serde_json::from_str(content.get()).ok()?;
    let said = content.get("m.relates_to").filter(|it| it["rel_type"] == "m.annotation")?;
    let target = said.get("event_id")?.as_str()?.try_into().ok()?;
    Some((target, said.get("key")?.as_str()?.to_owned()))
}

/// What an `m.room.member` event says.
pub(in crate::services) fn membership_of(event: &Event) -> Option<Membership> {
    membership_in(event.content())
}

/// The same by its content alone.
pub(in crate::services) fn membership_in(content: &RawValue) -> Option<Membership> {
    #[derive(serde::Deserialize)]
    struct Content {
        membership: String,
    }
    let content: Content = serde_json::from_str(content.get()).ok()?;
    Membership::parse(&content.membership)
}

/// Empties the event that a redaction names, where the redaction may.
///
/// Among servers the rules let each person of a server redact what others of it sent: that only
/// the moderators of the room do so is for this node to hold (client-server API, redactions).
async fn redact(
    tx: &mut Tx,
    room: &RoomRow,
    redaction: &StoredEvent,
    target: &OwnedEventId,
    held: &HashMap<StateKey, StoredEvent>,
) -> Result<(), Error> {
    let target = events::by_id(tx, target).await?.filter(|it| it.room_no == room.room_no);
    let Some(target) = target else {
        return Err(Error::NotFound("the event to redact is not in this room".to_owned()));
    };
    let state = |key: &StateKey| held.get(key).map(|it| it.event.clone());
    if !auth::may_redact(room.version, &redaction.event, &target.event, state)
        || !own_or_moderated(room, redaction, &target, held)
    {
        return Err(Error::Forbidden("you may not redact this event".to_owned()));
    }
    if *target.event.kind() == TimelineEventType::RoomCreate {
        return Err(Error::Forbidden("the event that made the room stays whole".to_owned()));
    }
    if target.redacted_by.is_some() {
        return Ok(());
    }
    let redacted = target.event.redact(room.version)?;
    Ok(tx.redact_event(&redacted, redaction.event.id()).await?)
}

fn own_or_moderated(
    room: &RoomRow,
    redaction: &StoredEvent,
    target: &StoredEvent,
    held: &HashMap<StateKey, StoredEvent>,
) -> bool {
    let sender = redaction.event.sender();
    if sender == target.event.sender() {
        return true;
    }
    let create = held.get(&StateKey::new(StateEventType::RoomCreate, ""));
    let Some(create) = create else { return false };
    let levels = held.get(&StateKey::new(StateEventType::RoomPowerLevels, ""));
    let levels = auth::power_levels(room.version, &create.event, levels.map(|it| &it.event));
    levels.user(sender) >= levels.redact()
}
