//! What is told of one room.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use ruma::{
    OwnedUserId,
    events::{StateEventType, TimelineEventType},
};
use wayside_federation::state::{EventNo, NodeId, StateKey};

use super::{
    Round, Wanted,
    answer::{HeroPart, RoomPart},
    asked::Part,
    connection::Sent,
    rooms::Candidate,
    told::{Behind, ToldState},
};
use crate::{
    services::{
        Error,
        rooms::{
            format::Form,
            view::{self, Reach},
        },
        sync::{answer::UnreadPart, page_token},
    },
    store::{
        events::{self, StoredEvent, Stretch},
        graph,
        rooms::{self, MemberRow, Membership, RoomRow, StateOf},
        state,
    },
};

/// State that changed by more than this is told anew as a whole.
const CHANGES: usize = 1_000;
/// Members that a connection remembers to have told of in one room; beyond, they are told again.
const MEMBERS: usize = 2_000;
/// Types of state of which all entries are read type by type; of more, the whole state is read.
const KINDS: usize = 4;
const MEMBER: &str = "m.room.member";
/// What counts as something happening in a room (proposal 4186, `bump_stamp`).
const BUMPS: [&str; 7] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "m.beacon_info",
];

/// The newest events that are told.
struct Page {
    events: Vec<StoredEvent>,
    limited: bool,
    expanded: bool,
}

/// What changed of a room's state, or that all of it is new to the client.
enum News {
    All,
    These(Changes),
}

/// What changed of a room's state since the client was told of it.
struct Changes {
    /// Its entries.
    latest: Vec<StoredEvent>,
    /// Of what has fallen behind, those that changed since longer ago.
    earlier: Vec<(Behind, Vec<StoredEvent>)>,
    /// What is told as a whole.
    whole: Vec<Arc<Part>>,
}

impl Round<'_> {
    pub(super) async fn room(
        &mut self,
        candidate: &Candidate,
        wanted: &Wanted,
        before: Option<&Sent>,
    ) -> Result<Option<(RoomPart, Sent)>, Error> {
        let member = &candidate.member;
        let mut part = RoomPart {
            membership: member.membership.as_str(),
            lists: wanted.lists.clone(),
            initial: before.is_none().then_some(true),
            ..RoomPart::default()
        };
        let mut sent = Sent {
            upto: self.building.now,
            inside: member.membership == Membership::Join,
            limit: wanted.limit,
            state: ToldState::default(),
            members: HashSet::new(),
            direct: self.direct().await?.contains(candidate.room.room_id.as_str()),
            unread: UnreadPart::default(),
            recount: false,
        };
        match member.membership {
            Membership::Join => {
                // What was told of a room that the person came to since was told to an outsider.
                let before = before.filter(|it| it.inside);
                self.inside(candidate, wanted, before, (&mut part, &mut sent)).await?;
            }
            Membership::Invite | Membership::Knock => {
                let Some(shown) = self.building.at_the_door(member).await? else {
                    return Ok(None);
                };
                part.initial = Some(true);
                part.invite_state = Some(shown.events);
                part.bump_stamp = Some(member.position);
                part.is_dm = sent.direct.then_some(true);
            }
            Membership::Leave | Membership::Ban => {
                let ending =
                    events::by_numbers(&mut self.building.snapshot, &[member.event_no]).await?;
                let page: Vec<StoredEvent> = ending.into_values().collect();
                part.timeline = self.rendered(member, &page).await?;
                part.bump_stamp = Some(member.position);
            }
        }
        Ok(Some((part, sent)))
    }

    async fn inside(
        &mut self,
        candidate: &Candidate,
        wanted: &Wanted,
        before: Option<&Sent>,
        (part, sent): (&mut RoomPart, &mut Sent),
    ) -> Result<(), Error> {
        let room = &candidate.room;
        let page = self.page(candidate, wanted, before).await?;
        let news = self.news(room, wanted, before).await?;
        let whole = matches!(news, News::All);
        if whole {
            part.initial = Some(true);
        }
        sent.members = before.map(|it| it.members.clone()).unwrap_or_default();
        if sent.members.len() > MEMBERS || page.limited || whole {
            sent.members.clear();
        }
        let state = self.state(room, wanted, &news, &page, &mut sent.members).await?;
        part.required_state = view::plain(&mut self.building.snapshot, &state, form()).await?;
        self.summary(room, &news, part).await?;
        let direct = before.filter(|_| !whole).is_some_and(|it| it.direct);
        part.is_dm = (direct != sent.direct).then_some(sent.direct);
        sent.unread = self.building.unread_beside_threads(room.room_no);
        part.notification_count = Some(sent.unread.notification_count);
        part.highlight_count = Some(sent.unread.highlight_count);
        part.bump_stamp = self.bump(room, &page, whole).await?;
        let live = |it: &&StoredEvent| it.position.is_some_and(|at| at > self.known.position);
        part.num_live = Some(if self.begins { 0 } else { page.events.iter().filter(live).count() });
        part.limited = Some(page.limited);
        part.expanded_timeline = page.expanded.then_some(true);
        let first = page.events.first().and_then(|it| it.position);
        part.prev_batch = Some(page_token(first.map_or(room.last_position, |first| first - 1)));
        part.timeline = self.rendered(&candidate.member, &page.events).await?;
        let known = before.filter(|_| !page.limited).map_or(0, |it| it.limit);
        sent.limit = wanted.limit.max(known);
        sent.state = match (before, &news) {
            (Some(before), News::These(changes)) => {
                let told: Vec<_> = changes.latest.iter().map(name).collect();
                let told = (&told[..], page.limited);
                before.state.after(&wanted.required, before.upto, sent.upto, told)
            }
            _ => ToldState::anew(&wanted.required, sent.upto),
        };
        Ok(())
    }

    /// The newest events: those since the room was told of, or so many as are wanted.
    async fn page(
        &mut self,
        candidate: &Candidate,
        wanted: &Wanted,
        before: Option<&Sent>,
    ) -> Result<Page, Error> {
        let room = &candidate.room;
        let expanded = before.is_some_and(|it| wanted.limit > it.limit);
        let after = before.filter(|_| !expanded).map_or(i64::MIN, |it| it.upto);
        let limit = wanted.limit as usize;
        let stretch = Stretch::Back { upto: room.last_position, after };
        let most = i64::from(wanted.limit) + 1;
        let building = &mut self.building;
        let mut found = match building.ahead.pages.remove(&room.room_no) {
            Some(found) => found,
            None => events::timeline(&mut building.snapshot, room.room_no, stretch, most).await?,
        };
        let mut limited = found.len() > limit;
        found.truncate(limit);
        // What is missing is had when somebody reads back from there.
        if let Some(hole) = graph::hole_in(&mut building.snapshot, &found, after).await? {
            found.truncate(hole + 1);
            limited = true;
        }
        let mut found = building.ignored.heard(found);
        if after < candidate.member.position {
            let reach = Reach::of(&candidate.member);
            found = view::visible(&mut building.snapshot, building.asker, reach, found).await?;
        }
        found.reverse();
        Ok(Page { events: found, limited, expanded })
    }

    /// What changed of the state since the room was told of.
    async fn news(
        &mut self,
        room: &RoomRow,
        wanted: &Wanted,
        before: Option<&Sent>,
    ) -> Result<News, Error> {
        let Some(before) = before else { return Ok(News::All) };
        let Some(latest) = self.changes_since(room, before.upto).await? else {
            return Ok(News::All);
        };
        let owed = before.state.owed(&wanted.required, before.upto);
        let mut earlier = Vec::new();
        for (since, behind) in owed.since {
            let Some(changes) = self.changes_since(room, since).await? else {
                return Ok(News::All);
            };
            earlier.push((behind, changes));
        }
        Ok(News::These(Changes { latest, earlier, whole: owed.whole }))
    }

    /// The entries of the state that changed since a position; nothing where they are too many.
    async fn changes_since(
        &mut self,
        room: &RoomRow,
        position: i64,
    ) -> Result<Option<Vec<StoredEvent>>, Error> {
        let root = view::root_at(&mut self.building.snapshot, room, position).await?;
        let changed = self.building.changes(root, room.state_root).await?;
        if changed.len() > CHANGES {
            return Ok(None);
        }
        let found = events::by_numbers(&mut self.building.snapshot, &changed).await?;
        let mut found: Vec<StoredEvent> = found.into_values().collect();
        found.sort_by_key(|it| it.event_no);
        Ok(Some(found))
    }

    /// The wanted state that the client does not know.
    async fn state(
        &mut self,
        room: &RoomRow,
        wanted: &Wanted,
        news: &News,
        page: &Page,
        members: &mut HashSet<OwnedUserId>,
    ) -> Result<Vec<StoredEvent>, Error> {
        let required = &wanted.required;
        let parts: Vec<Arc<Part>> = match news {
            News::All => required.parts().cloned().collect(),
            News::These(changes) => changes.whole.clone(),
        };
        let mut found = self.entries(room, &parts).await?;
        if let News::These(changes) = news {
            // Behind a gap the client forgets the members that it knew.
            let all = !page.limited;
            // Who changed comes also with more of the state: those told of before are not told again.
            let latest = |kind: &str, key: &str| {
                required.wants(kind, key) || (required.lazy && all && kind == MEMBER)
            };
            found.extend(chosen(&changes.latest, latest));
            for (behind, changes) in &changes.earlier {
                found.extend(chosen(changes, |kind, key| behind.has(kind, key, all)));
            }
        }
        if required.lazy {
            let speak = self.speakers(room, page, members).await?;
            found.extend(speak);
        }
        let mut found: Vec<StoredEvent> = found.into_values().collect();
        found.sort_by_key(|it| it.event_no);
        Ok(found)
    }

    /// All entries of the state that belong to these parts.
    async fn entries(
        &mut self,
        room: &RoomRow,
        parts: &[Arc<Part>],
    ) -> Result<HashMap<EventNo, StoredEvent>, Error> {
        let (mut names, mut kinds, mut all) = (Vec::new(), BTreeSet::new(), None);
        for part in parts {
            for entry in part.include() {
                match entry {
                    (Some(kind), Some(key)) => names.push(StateKey::new(kind.into(), key)),
                    (Some(kind), None) => _ = kinds.insert(kind),
                    // Members are often most of a room's state.
                    (None, _) => all = Some(all == Some(true) || !part.leaves_members_out()),
                }
            }
        }
        if kinds.len() > KINDS {
            all = Some(all == Some(true) || kinds.contains(MEMBER));
        }
        let building = &mut self.building;
        let snapshot = &mut building.snapshot;
        let mut numbers: Vec<EventNo> = match (all, building.ahead.states.get(&room.room_no)) {
            (Some(false), Some(held)) => held.clone(),
            (Some(members), _) => {
                rooms::state_events(snapshot, room.room_no, StateOf::all(members)).await?
            }
            (None, _) => Vec::new(),
        };
        if all != Some(true) {
            let found = state::lookup(snapshot, room.state_root, &names).await?;
            numbers.extend(found.into_iter().flatten());
            for kind in kinds.into_iter().filter(|kind| all.is_none() || *kind == MEMBER) {
                let part = StateOf::Kind(kind);
                numbers.extend(rooms::state_events(snapshot, room.room_no, part).await?);
            }
        }
        let mut found = events::by_numbers(snapshot, &numbers).await?;
        found.retain(|_, it| {
            let (kind, key) = name(it);
            parts.iter().any(|part| part.wants(&kind, &key))
        });
        Ok(found)
    }

    /// The member events of those who speak or are spoken of in a page and were not told of yet.
    async fn speakers(
        &mut self,
        room: &RoomRow,
        page: &Page,
        members: &mut HashSet<OwnedUserId>,
    ) -> Result<HashMap<EventNo, StoredEvent>, Error> {
        let mut wanted: HashSet<OwnedUserId> = HashSet::new();
        for stored in &page.events {
            wanted.insert(stored.event.sender().to_owned());
            if *stored.event.kind() == TimelineEventType::RoomMember {
                let target = stored.event.state_key().and_then(|key| key.try_into().ok());
                wanted.extend(target);
            }
        }
        wanted.retain(|user_id| members.insert(user_id.clone()));
        let wanted: Vec<OwnedUserId> = wanted.into_iter().collect();
        self.members(room.state_root, &wanted).await
    }

    async fn members(
        &mut self,
        root: NodeId,
        people: &[OwnedUserId],
    ) -> Result<HashMap<EventNo, StoredEvent>, Error> {
        let keys: Vec<StateKey> = people
            .iter()
            .map(|it| StateKey::new(StateEventType::RoomMember, it.as_str()))
            .collect();
        let snapshot = &mut self.building.snapshot;
        let numbers = state::lookup(snapshot, root, &keys).await?;
        let numbers: Vec<EventNo> = numbers.into_iter().flatten().collect();
        Ok(events::by_numbers(snapshot, &numbers).await?)
    }

    /// What stands for the room as a whole, as far as it changed.
    async fn summary(
        &mut self,
        room: &RoomRow,
        news: &News,
        part: &mut RoomPart,
    ) -> Result<(), Error> {
        let changed = |kind: &TimelineEventType| match news {
            News::All => true,
            News::These(changes) => changes.latest.iter().any(|it| it.event.kind() == kind),
        };
        let named = changed(&TimelineEventType::RoomName);
        if named {
            part.name = Some(self.text(room, StateEventType::RoomName, "name").await?.into());
        }
        if changed(&TimelineEventType::RoomAvatar) {
            part.avatar = Some(self.text(room, StateEventType::RoomAvatar, "url").await?.into());
        }
        let moved = changed(&TimelineEventType::RoomMember);
        if moved {
            (part.joined_count, part.invited_count) = (Some(room.joined), Some(room.invited));
        }
        if (moved || named) && !self.building.is_named(room).await? {
            part.heroes = Some(self.heroes(room).await?);
        }
        Ok(())
    }

    async fn text(
        &mut self,
        room: &RoomRow,
        kind: StateEventType,
        field: &str,
    ) -> Result<Option<String>, Error> {
        let snapshot = &mut self.building.snapshot;
        let key = StateKey::new(kind, "");
        let Some(number) = state::lookup(snapshot, room.state_root, &[key]).await?[0] else {
            return Ok(None);
        };
        let held = events::by_numbers(snapshot, &[number]).await?.remove(&number);
        Ok(held.and_then(|it| view::text_in(&it.event, field)).filter(|text| !text.is_empty()))
    }

    async fn heroes(&mut self, room: &RoomRow) -> Result<Vec<HeroPart>, Error> {
        let people = self.building.heroes(room).await?;
        let events = self.members(room.state_root, &people).await?;
        let shown: HashMap<&str, &StoredEvent> =
            events.values().filter_map(|it| Some((it.event.state_key()?, it))).collect();
        let text = |user_id: &OwnedUserId, field: &str| {
            shown.get(user_id.as_str()).and_then(|it| view::text_in(&it.event, field))
        };
        let hero = |user_id: &OwnedUserId| HeroPart {
            displayname: text(user_id, "displayname"),
            avatar_url: text(user_id, "avatar_url"),
            user_id: user_id.clone(),
        };
        Ok(people.iter().map(hero).collect())
    }

    /// Where something happened last, where that is new to the client.
    async fn bump(
        &mut self,
        room: &RoomRow,
        page: &Page,
        whole: bool,
    ) -> Result<Option<i64>, Error> {
        let bumps = |it: &&StoredEvent| BUMPS.contains(&it.event.kind().to_string().as_str());
        let newest = page.events.iter().rev().find(bumps).and_then(|it| it.position);
        if newest.is_some() || !(whole || page.limited) {
            return Ok(newest);
        }
        let last = events::last_of(&mut self.building.snapshot, room.room_no, &BUMPS).await?;
        Ok(Some(last.unwrap_or(room.last_position)))
    }

    async fn rendered(
        &mut self,
        member: &MemberRow,
        page: &[StoredEvent],
    ) -> Result<Vec<Box<serde_json::value::RawValue>>, Error> {
        let building = &mut self.building;
        let ground = &building.sync.ground;
        let known = (&building.ahead.known, Some(member));
        let (snapshot, asker) = (&mut building.snapshot, building.asker);
        let shown = view::render_known(ground, snapshot, asker, page, form(), known).await?;
        Ok(shown.into_iter().map(|it| it.json).collect())
    }
}

/// Those of some entries of the state whose type and key are chosen.
fn chosen<'c>(
    changes: &'c [StoredEvent],
    takes: impl Fn(&str, &str) -> bool + 'c,
) -> impl Iterator<Item = (EventNo, StoredEvent)> + 'c {
    let takes = move |it: &&StoredEvent| {
        let (kind, key) = name(it);
        takes(&kind, &key)
    };
    changes.iter().filter(takes).map(|it| (it.event_no, it.clone()))
}

/// The type and key of an entry of the state.
fn name(entry: &StoredEvent) -> (String, String) {
    let key = entry.event.state_key().unwrap_or_default();
    (entry.event.kind().to_string(), key.to_owned())
}

fn form() -> Form<'static> {
    Form { under_room: true, ..Form::default() }
}
