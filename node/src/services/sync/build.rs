//! One answer of `/sync`, part by part.

use std::collections::{BTreeMap, HashMap, HashSet};

use ruma::{OwnedRoomId, OwnedUserId, events::StateEventType};
use serde::Serialize;
use serde_json::{json, value::RawValue};
use wayside_federation::state::{EventNo, NodeId, StateKey};
use wayside_specs::limits;

use super::{
    super::{
        Error,
        live::Present,
        rooms::{Asker, format, view},
    },
    Asked, Events, Sync,
    filter::EventFilter,
    news::Changed,
    page_token,
    token::Token,
};
use crate::store::{
    Snapshot,
    events::{self, StoredEvent, Stretch},
    people,
    rooms::{self, MemberRow, Membership, RoomRow},
    state,
};

/// What is told.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// The token for asking on.
    pub next_batch: String,
    #[serde(skip_serializing_if = "Events::is_empty")]
    account_data: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    presence: Events,
    rooms: RoomsPart,
}

#[derive(Debug, Default, Serialize)]
struct RoomsPart {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    join: BTreeMap<OwnedRoomId, JoinedPart>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    invite: BTreeMap<OwnedRoomId, InvitePart>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    knock: BTreeMap<OwnedRoomId, KnockPart>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    leave: BTreeMap<OwnedRoomId, LeftPart>,
}

#[derive(Debug, Default, Serialize)]
struct JoinedPart {
    summary: SummaryPart,
    #[serde(flatten)]
    timeline: StatefulTimeline,
    #[serde(skip_serializing_if = "Events::is_empty")]
    ephemeral: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    account_data: Events,
}

#[derive(Debug, Default, Serialize)]
struct LeftPart {
    #[serde(flatten)]
    timeline: StatefulTimeline,
}

#[derive(Debug, Default, Serialize)]
struct StatefulTimeline {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Events>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state_after: Option<Events>,
    timeline: TimelinePart,
}

#[derive(Debug, Default, Serialize)]
struct TimelinePart {
    events: Vec<Box<RawValue>>,
    limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct SummaryPart {
    #[serde(rename = "m.heroes", skip_serializing_if = "Option::is_none")]
    heroes: Option<Vec<OwnedUserId>>,
    #[serde(rename = "m.joined_member_count", skip_serializing_if = "Option::is_none")]
    joined: Option<i64>,
    #[serde(rename = "m.invited_member_count", skip_serializing_if = "Option::is_none")]
    invited: Option<i64>,
}

#[derive(Debug, Default, Serialize)]
struct InvitePart {
    invite_state: Events,
}

#[derive(Debug, Default, Serialize)]
struct KnockPart {
    knock_state: Events,
}

/// Timeline events of a room where the client names no number.
const TIMELINE: u32 = 10;
/// How many pages are read to fill a timeline from which a filter takes much away.
const FILTER_PAGES: usize = 8;
/// People who stand for a room without a name.
const HEROES: usize = 5;
/// State that is shown to those who are invited (client-server API, stripped state).
const SHOWN_AT_THE_DOOR: [StateEventType; 8] = [
    StateEventType::RoomCreate,
    StateEventType::RoomName,
    StateEventType::RoomAvatar,
    StateEventType::RoomTopic,
    StateEventType::RoomJoinRules,
    StateEventType::RoomCanonicalAlias,
    StateEventType::RoomEncryption,
    StateEventType::RoomGuestAccess,
];

impl Answer {
    /// Whether there is nothing to tell but a new token.
    pub(super) fn is_empty(&self) -> bool {
        let rooms = &self.rooms;
        self.account_data.is_empty()
            && self.presence.is_empty()
            && rooms.join.is_empty()
            && rooms.invite.is_empty()
            && rooms.knock.is_empty()
            && rooms.leave.is_empty()
    }
}

/// What one answer is built from.
struct Building<'a> {
    sync: &'a Sync,
    snapshot: Snapshot,
    asker: &'a Asker,
    asked: &'a Asked,
    /// Up to where the client knows; 0 for one that knows nothing.
    since: i64,
    /// The count of moments up to where the client knows.
    serial: u64,
    now: i64,
    /// What changed, where that is remembered.
    changed: Option<Changed>,
}

impl Sync {
    pub(super) async fn build(
        &self,
        asker: &Asker,
        asked: &Asked,
        since: Option<Token>,
    ) -> Result<Answer, Error> {
        // The count is read before the store: what comes in between is told twice rather than never.
        let serial_now = self.live.serial();
        let mut snapshot = self.ground.store.snapshot().await?;
        let now = snapshot.position().await?;
        let position = since.map_or(0, |token| token.position);
        if position > now {
            return Err(Error::Invalid(
                "the token is from a future that this node does not know".to_owned(),
            ));
        }
        let serial =
            since.filter(|token| token.boot == self.live.boot()).map_or(0, |token| token.serial);
        let changed = match since {
            Some(_) if !asked.full_state => self.news.changed(&asker.user_id, position, now).await,
            _ => None,
        };
        let mut building =
            Building { sync: self, snapshot, asker, asked, since: position, serial, now, changed };
        let mut answer = building.answer().await?;
        let token = Token { position: now, serial: serial_now, boot: self.live.boot() };
        answer.next_batch = token.seal(&self.ground.token_key, &asker.user_id);
        Ok(answer)
    }
}

impl Building<'_> {
    async fn answer(&mut self) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        let (mut own, account_data) = self.account_data().await?;
        answer.account_data = account_data;
        answer.presence = self.presence().await?;
        let typing: HashSet<i64> =
            self.sync.live.rooms_typing_since(self.serial).into_iter().collect();
        for member in self.memberships(&own, &typing).await? {
            let Some(room) = rooms::by_numbers(&mut self.snapshot, &[member.room_no]).await?.pop()
            else {
                continue;
            };
            if !self.asked.filter.room.takes(room.room_id.as_str()) {
                continue;
            }
            let data = own.remove(&member.room_no).unwrap_or_default();
            self.room(&mut answer, &room, &member, data).await?;
        }
        Ok(answer)
    }

    /// The person's rooms that may have something to tell.
    async fn memberships(
        &mut self,
        own: &HashMap<i64, Events>,
        typing: &HashSet<i64>,
    ) -> Result<Vec<MemberRow>, Error> {
        let user_id = &self.asker.user_id;
        let Some(changed) = &self.changed else {
            return Ok(rooms::memberships_of(&mut self.snapshot, user_id).await?);
        };
        let mut numbers: Vec<i64> =
            changed.rooms.iter().chain(&changed.receipts).copied().collect();
        numbers.extend(own.keys().chain(typing));
        numbers.sort_unstable();
        numbers.dedup();
        let mut rows = Vec::new();
        for number in numbers {
            rows.extend(rooms::membership(&mut self.snapshot, number, user_id).await?);
        }
        Ok(rows)
    }

    async fn room(
        &mut self,
        answer: &mut Answer,
        room: &RoomRow,
        member: &MemberRow,
        data: Events,
    ) -> Result<(), Error> {
        let new = member.position > self.since;
        match member.membership {
            Membership::Join => {
                let part = self.joined(room, member, data).await?;
                if let Some(part) = part {
                    answer.rooms.join.insert(room.room_id.clone(), part);
                }
            }
            Membership::Invite if new => {
                let invite_state = self.at_the_door(member).await?;
                answer.rooms.invite.insert(room.room_id.clone(), InvitePart { invite_state });
            }
            Membership::Knock if new => {
                let knock_state = self.at_the_door(member).await?;
                answer.rooms.knock.insert(room.room_id.clone(), KnockPart { knock_state });
            }
            Membership::Leave | Membership::Ban if new && !member.forgotten => {
                if self.since > 0 || self.asked.filter.room.include_leave {
                    let timeline = self.left(room, member).await?;
                    answer.rooms.leave.insert(room.room_id.clone(), LeftPart { timeline });
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn joined(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
        account_data: Events,
    ) -> Result<Option<JoinedPart>, Error> {
        let ephemeral = self.ephemeral(room).await?;
        let first_time = self.since == 0 || self.asked.full_state;
        if room.last_position <= self.since
            && !first_time
            && ephemeral.is_empty()
            && account_data.is_empty()
        {
            return Ok(None);
        }
        let known = self.known_state(room, member).await?;
        let (page, limited) = self.timeline(room, known.is_some(), self.now).await?;
        let summary = self.summary(room, &page, known.is_none()).await?;
        let timeline = self.stateful(room, known, page, limited, room.state_root).await?;
        Ok(Some(JoinedPart { summary, timeline, ephemeral, account_data }))
    }

    async fn left(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
    ) -> Result<StatefulTimeline, Error> {
        let reach = view::reach(&mut self.snapshot, room, self.asker).await?;
        let known = self.known_state(room, member).await?;
        if reach == view::Reach::Never {
            // An invitation that was turned down or taken back: only the event that says so.
            let ending = events::by_numbers(&mut self.snapshot, &[member.event_no]).await?;
            let page: Vec<StoredEvent> = ending.into_values().collect();
            let timeline = self.rendered(&page, false).await?;
            return Ok(StatefulTimeline {
                state: Some(Events::default()),
                state_after: None,
                timeline,
            });
        }
        let (page, limited) = self.timeline(room, known.is_some(), member.position).await?;
        let end = page.last().map_or(room.state_root, |it| it.state_after);
        self.stateful(room, known, page, limited, end).await
    }

    /// The state that the client knows; nothing where it was not in the room then, or wants all.
    async fn known_state(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
    ) -> Result<Option<NodeId>, Error> {
        if self.since == 0 || self.asked.full_state {
            return Ok(None);
        }
        let stretch = Stretch::Forth { after: self.since, upto: i64::MAX };
        let first = events::timeline(&mut self.snapshot, room.room_no, stretch, 1).await?;
        let root = first.first().map_or(room.state_root, |it| it.state_before);
        if member.position <= self.since {
            return Ok(Some(root));
        }
        let key = StateKey::new(StateEventType::RoomMember, self.asker.user_id.as_str());
        let Some(number) = state::lookup(&mut self.snapshot, root, &[key]).await?[0] else {
            return Ok(None);
        };
        let then = events::by_numbers(&mut self.snapshot, &[number]).await?.remove(&number);
        let was_in = then.is_some_and(|it| view::is_joined(&it.event));
        Ok(was_in.then_some(root))
    }

    /// The newest events, the oldest first, and whether some between were left out.
    async fn timeline(
        &mut self,
        room: &RoomRow,
        known: bool,
        upto: i64,
    ) -> Result<(Vec<StoredEvent>, bool), Error> {
        let filter = &self.asked.filter.room.timeline;
        let limit = filter.limit.unwrap_or(TIMELINE).min(limits::SYNC_TIMELINE_EVENTS) as usize;
        let after = if known { self.since } else { 0 };
        let mut kept: Vec<StoredEvent> = Vec::new();
        let mut upto = upto;
        let mut more = true;
        let pages = if filter.takes_all() { 1 } else { FILTER_PAGES };
        for _ in 0..pages {
            let stretch = Stretch::Back { upto, after };
            let wanted = (limit + 1) as i64;
            let found = events::timeline(&mut self.snapshot, room.room_no, stretch, wanted).await?;
            more = found.len() as i64 == wanted;
            if let Some(last) = found.last().and_then(|it| it.position) {
                upto = last - 1;
            }
            kept.extend(found.into_iter().filter(|it| takes(filter, it)));
            if !more || kept.len() > limit {
                break;
            }
        }
        let limited = more || kept.len() > limit;
        kept.truncate(limit);
        if !known {
            let reach = view::reach(&mut self.snapshot, room, self.asker).await?;
            kept = view::visible(&mut self.snapshot, self.asker, reach, kept).await?;
        }
        kept.reverse();
        Ok((kept, limited))
    }

    async fn stateful(
        &mut self,
        room: &RoomRow,
        known: Option<NodeId>,
        page: Vec<StoredEvent>,
        limited: bool,
        end: NodeId,
    ) -> Result<StatefulTimeline, Error> {
        let start = page.first().map_or(end, |it| it.state_before);
        let after = self.asked.state_after;
        let state = self.state(room, known, if after { end } else { start }, &page).await?;
        let timeline = self.rendered(&page, limited).await?;
        let (state, state_after) = if after { (None, Some(state)) } else { (Some(state), None) };
        Ok(StatefulTimeline { state, state_after, timeline })
    }

    async fn rendered(
        &mut self,
        page: &[StoredEvent],
        limited: bool,
    ) -> Result<TimelinePart, Error> {
        let ground = &self.sync.ground;
        let rendered = view::render(ground, &mut self.snapshot, self.asker, page, false).await?;
        let before = page.first().and_then(|it| it.position).map_or(self.now, |first| first - 1);
        Ok(TimelinePart {
            events: rendered.into_iter().map(|it| it.json).collect(),
            limited,
            prev_batch: Some(page_token(before)),
        })
    }

    /// What of the state the client does not know yet.
    async fn state(
        &mut self,
        room: &RoomRow,
        known: Option<NodeId>,
        root: NodeId,
        page: &[StoredEvent],
    ) -> Result<Events, Error> {
        let filter = &self.asked.filter.room.state;
        let numbers: Vec<EventNo> = match known {
            Some(known) => {
                let changes = state::difference(&mut self.snapshot, known, root).await?;
                changes.into_iter().filter_map(|it| it.right).collect()
            }
            None if root == room.state_root && !filter.lazy_load_members => {
                rooms::state_events(&mut self.snapshot, room.room_no, None).await?
            }
            None => {
                state::entries(&mut self.snapshot, root).await?.into_iter().map(|it| it.1).collect()
            }
        };
        let mut found: Vec<StoredEvent> =
            events::by_numbers(&mut self.snapshot, &numbers).await?.into_values().collect();
        if filter.lazy_load_members {
            self.only_speakers(&mut found, root, page).await?;
        }
        found.retain(|it| takes(filter, it));
        found.sort_by_key(|it| it.event_no);
        let plain =
            found.iter().map(|it| format::client_event(it, false, format::Unsigned::default()));
        Ok(Events { events: plain.collect() })
    }

    /// Members who neither speak in the page nor ask are left out; those who speak are all there.
    async fn only_speakers(
        &mut self,
        found: &mut Vec<StoredEvent>,
        root: NodeId,
        page: &[StoredEvent],
    ) -> Result<(), Error> {
        let mut speakers: HashSet<OwnedUserId> =
            page.iter().map(|it| it.event.sender().to_owned()).collect();
        if self.since == 0 {
            speakers.insert(self.asker.user_id.clone());
        }
        let member = |it: &StoredEvent| it.event.kind().to_string() == "m.room.member";
        let speaks = |it: &StoredEvent| {
            it.event.state_key().is_some_and(|key| speakers.iter().any(|user| user == key))
        };
        found.retain(|it| !member(it) || speaks(it));
        let there: HashSet<EventNo> = found.iter().map(|it| it.event_no).collect();
        let keys: Vec<StateKey> = speakers
            .iter()
            .map(|it| StateKey::new(StateEventType::RoomMember, it.as_str()))
            .collect();
        let numbers = state::lookup(&mut self.snapshot, root, &keys).await?;
        let missing: Vec<EventNo> =
            numbers.into_iter().flatten().filter(|number| !there.contains(number)).collect();
        found.extend(events::by_numbers(&mut self.snapshot, &missing).await?.into_values());
        Ok(())
    }

    async fn summary(
        &mut self,
        room: &RoomRow,
        page: &[StoredEvent],
        first_time: bool,
    ) -> Result<SummaryPart, Error> {
        let moved = page.iter().any(|it| it.event.kind().to_string() == "m.room.member");
        if !first_time && !moved {
            return Ok(SummaryPart::default());
        }
        let names = [StateEventType::RoomName, StateEventType::RoomCanonicalAlias];
        let keys = names.map(|kind| StateKey::new(kind, ""));
        let named = state::lookup(&mut self.snapshot, room.state_root, &keys).await?;
        let heroes =
            if named.iter().all(Option::is_none) { Some(self.heroes(room).await?) } else { None };
        Ok(SummaryPart { heroes, joined: Some(room.joined), invited: Some(room.invited) })
    }

    async fn heroes(&mut self, room: &RoomRow) -> Result<Vec<OwnedUserId>, Error> {
        let mut heroes = Vec::new();
        for membership in [Membership::Join, Membership::Invite, Membership::Leave] {
            if membership == Membership::Leave && !heroes.is_empty() {
                break;
            }
            let mut rows = rooms::members(&mut self.snapshot, room.room_no, membership).await?;
            rows.sort_by_key(|row| row.position);
            let others =
                rows.into_iter().map(|row| row.user_id).filter(|it| *it != self.asker.user_id);
            heroes.extend(others.take(HEROES - heroes.len()));
        }
        Ok(heroes)
    }

    /// What is shown to somebody who is invited or knocks, and the event that says so.
    async fn at_the_door(&mut self, member: &MemberRow) -> Result<Events, Error> {
        let own = events::by_numbers(&mut self.snapshot, &[member.event_no]).await?;
        let Some(own) = own.into_values().next() else { return Ok(Events::default()) };
        let keys: Vec<StateKey> =
            SHOWN_AT_THE_DOOR.iter().map(|kind| StateKey::new(kind.clone(), "")).collect();
        let numbers = state::lookup(&mut self.snapshot, own.state_before, &keys).await?;
        let mut numbers: Vec<EventNo> = numbers.into_iter().flatten().collect();
        let inviter = StateKey::new(StateEventType::RoomMember, own.event.sender().as_str());
        numbers.extend(state::lookup(&mut self.snapshot, own.state_before, &[inviter]).await?[0]);
        let shown = events::by_numbers(&mut self.snapshot, &numbers).await?;
        let mut list: Vec<Box<RawValue>> =
            shown.values().map(|it| format::stripped(&it.event)).collect();
        list.push(format::stripped(&own.event));
        Ok(Events { events: list })
    }

    async fn ephemeral(&mut self, room: &RoomRow) -> Result<Events, Error> {
        let filter = &self.asked.filter.room.ephemeral;
        let mut list = Vec::new();
        let moved =
            self.changed.as_ref().is_none_or(|it| it.receipts.contains(&room.room_no) || it.own);
        if moved && filter.takes_type("m.receipt") {
            let receipts =
                people::receipts_since(&mut self.snapshot, room.room_no, self.since).await?;
            let mut content = json!({});
            for receipt in receipts {
                if receipt.kind == "m.read.private" && receipt.user_id != self.asker.user_id {
                    continue;
                }
                let mut told = json!({ "ts": receipt.sent_ms });
                if let Some(thread) = receipt.thread {
                    told["thread_id"] = thread.into();
                }
                content[receipt.event_id.as_str()][&receipt.kind][receipt.user_id.as_str()] = told;
            }
            if content.as_object().is_some_and(|it| !it.is_empty()) {
                list.push(json!({ "type": "m.receipt", "content": content }));
            }
        }
        if filter.takes_type("m.typing")
            && let Some(users) = self.sync.live.typing_since(room.room_no, self.serial)
            && (self.since > 0 || !users.is_empty())
        {
            list.push(json!({ "type": "m.typing", "content": { "user_ids": users } }));
        }
        raw_events(&list)
    }

    /// The person's own data that changed: that of each room, and that of the account.
    async fn account_data(&mut self) -> Result<(HashMap<i64, Events>, Events), Error> {
        let mut of_rooms: HashMap<i64, Events> = HashMap::new();
        let mut global = Events::default();
        if self.changed.as_ref().is_some_and(|changed| !changed.own) {
            return Ok((of_rooms, global));
        }
        let since = if self.asked.full_state { 0 } else { self.since };
        let items = people::data_since(&mut self.snapshot, &self.asker.user_id, since).await?;
        let filter = &self.asked.filter;
        for item in items {
            let (list, wanted) = if item.room_no == 0 {
                (&mut global, filter.account_data.takes_type(&item.kind))
            } else {
                let wanted = filter.room.account_data.takes_type(&item.kind);
                (of_rooms.entry(item.room_no).or_default(), wanted)
            };
            if wanted {
                let kind = serde_json::to_string(&item.kind).map_err(Error::internal)?;
                let json = format!("{{\"type\":{kind},\"content\":{}}}", item.content);
                list.events.push(RawValue::from_string(json).map_err(Error::internal)?);
            }
        }
        of_rooms.retain(|_, events| !events.is_empty());
        Ok((of_rooms, global))
    }

    async fn presence(&mut self) -> Result<Events, Error> {
        let filter = &self.asked.filter.presence;
        let now_ms = self.sync.ground.clock.now_ms();
        let mut list = Vec::new();
        for (user_id, present) in self.sync.live.present_since(self.serial) {
            let own = user_id == self.asker.user_id;
            if !filter.takes("m.presence", user_id.as_str()) {
                continue;
            }
            if own || rooms::share_a_room(&mut self.snapshot, &self.asker.user_id, &user_id).await?
            {
                list.push(presence_event(&user_id, &present, now_ms));
            }
        }
        raw_events(&list)
    }
}

fn takes(filter: &EventFilter, stored: &StoredEvent) -> bool {
    let event = &stored.event;
    let room_id = event.room_id().as_str();
    filter.takes_room(room_id)
        && (filter.takes_all() || filter.takes(&event.kind().to_string(), event.sender().as_str()))
        && (filter.contains_url.is_none() || filter.takes_content(event.content().get()))
}

/// A presence as `/sync` and `/presence` show it.
fn presence_event(user_id: &ruma::UserId, present: &Present, now_ms: i64) -> serde_json::Value {
    let mut content = json!({
        "presence": present.presence.as_str(),
        "last_active_ago": (now_ms - present.active_ms).max(0),
        "currently_active": present.presence == super::Presence::Online,
    });
    if let Some(status) = &present.status {
        content["status_msg"] = status.as_str().into();
    }
    json!({ "type": "m.presence", "sender": user_id, "content": content })
}

fn raw_events(list: &[serde_json::Value]) -> Result<Events, Error> {
    let events = list.iter().map(serde_json::value::to_raw_value).collect::<Result<_, _>>();
    Ok(Events { events: events.map_err(Error::internal)? })
}
