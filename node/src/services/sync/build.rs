//! One answer of `/sync`, part by part.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use ruma::{
    OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;
use tokio::time::timeout;
use wayside_federation::state::{EventNo, NodeId, StateKey};
use wayside_identity::friend;
use wayside_specs::limits;

use super::{
    super::{
        Error,
        filter::EventFormat,
        push::Threads,
        rooms::{
            Asker, DOOR, Ignored, blocks_invitations,
            format::{self, Form},
            related,
            view::{self, Reach},
        },
    },
    Asked, Events, Sync,
    ahead::{self, Ahead},
    answer::{Answer, InvitePart, JoinedPart, KnockPart, LeftPart, StatefulTimeline, TimelinePart},
    beside::shown_data,
    news::Changed,
    page_token,
    token::{Rest, Token},
};
use crate::store::{
    Snapshot, deletions, doors,
    events::{self, StoredEvent, Stretch},
    graph, people,
    rooms::{self, MemberRow, Membership, RoomRow, StateOf},
    state,
};

/// Timeline events of a room where the client names no number.
const TIMELINE: u32 = 10;
/// How often a view is taken anew for which the memory of news was behind.
const VIEWS: u32 = 3;
/// How many pages are read to fill a timeline from which a filter takes much away.
const FILTER_PAGES: usize = 8;
/// How long an answer to somebody who knows nothing yet waits for others to be built.
const TURN: Duration = Duration::from_secs(20);
/// What is said to whom that took too long, in milliseconds.
const TRY_AGAIN_MS: u64 = 5_000;

/// What one answer is built from.
pub(super) struct Building<'a> {
    pub(super) sync: &'a Sync,
    pub(super) snapshot: Snapshot,
    pub(super) asker: &'a Asker,
    pub(super) asked: &'a Asked,
    /// The token of the answer before; a client without one knows nothing.
    pub(super) told: Option<Token>,
    /// Up to where the client knows of what is being looked at; 0 where it knows nothing.
    pub(super) since: i64,
    /// The count of moments up to where the client knows.
    pub(super) serial: u64,
    /// Whether that count says nothing about who typed, so that everything is told again.
    pub(super) forgot_typing: bool,
    pub(super) now: i64,
    /// What changed, where that is remembered.
    pub(super) changed: Option<Changed>,
    /// Those with whom the person shares a room since then, whose presence they do not know yet.
    pub(super) met: HashSet<OwnedUserId>,
    /// Whom the person does not want to hear.
    pub(super) ignored: Ignored,
    /// Where the answer was full.
    rest: Option<Rest>,
    /// What the person has not read, by room.
    pub(super) unread: HashMap<i64, Threads>,
    /// Up to where messages to the device are told in it.
    letters_told: Option<i64>,
    /// What was read for the next rooms.
    pub(super) ahead: Ahead,
}

impl Sync {
    pub(super) async fn build(
        &self,
        asker: &Asker,
        asked: &Asked,
        since: Option<Token>,
    ) -> Result<Answer, Error> {
        // Few at a time of those answers that can be large and cost much.
        let whole = asked.full_state || since.is_none_or(|token| token.rest.is_some());
        let _turn = if whole {
            let turn = timeout(TURN, self.whole.acquire()).await;
            Some(turn.map_err(|_late| Error::TooOften { retry_ms: TRY_AGAIN_MS })?)
        } else {
            None
        };
        // The count is read before the store: what comes in between is told twice rather than never.
        let (serial_now, typing) = (self.live.serial(), self.live.anybody_types());
        let mut building = self.building(asker, asked, since).await?;
        let mut answer = building.answer().await?;
        let (rest, letters) = (building.rest, building.letters_told);
        answer.more = rest.is_some();
        let boot = self.live.boot();
        let token =
            Token { position: building.now, serial: serial_now, boot, typing, rest, letters };
        answer.next_batch = token.seal(&self.ground.token_key, &asker.user_id);
        Ok(answer)
    }

    /// What an answer to who knows all up to `since` is built from.
    pub(super) async fn building<'a>(
        &'a self,
        asker: &'a Asker,
        asked: &'a Asked,
        since: Option<Token>,
    ) -> Result<Building<'a>, Error> {
        let whole = asked.full_state || since.is_none_or(|token| token.rest.is_some());
        // Counts of another start of this process say nothing now.
        let serial = since.filter(|token| token.boot == self.live.boot()).map(|token| token.serial);
        let forgot_typing = since.is_some_and(|token| token.typing)
            && serial.is_none_or(|serial| serial < self.live.typing_floor());
        let remembers = since.is_some() && !whole && !forgot_typing;
        let (mut snapshot, now) = self.view(remembers).await?;
        let position = since.map_or(0, |token| token.position);
        if position > now {
            return Err(Error::from_the_future());
        }
        let ignored = Ignored::of(&mut snapshot, &asker.user_id).await?;
        let changed =
            if remembers { self.news.changed(&asker.user_id, position, now) } else { None };
        Ok(Building {
            sync: self,
            snapshot,
            asker,
            asked,
            told: since,
            since: position,
            serial: serial.unwrap_or(0),
            forgot_typing,
            now,
            changed,
            met: HashSet::new(),
            ignored,
            rest: None,
            letters_told: None,
            unread: HashMap::new(),
            ahead: Ahead::default(),
        })
    }

    /// A view of the store and its position. Where the memory of news is to be asked, it holds all
    /// that the view does, if it can: it is waited for without a view, because views are few.
    async fn view(&self, remembered: bool) -> Result<(Snapshot, i64), Error> {
        let mut tries = if remembered { VIEWS } else { 1 };
        loop {
            tries -= 1;
            let mut snapshot = self.ground.store.snapshot().await?;
            let now = snapshot.position().await?;
            if tries == 0 || self.news.has_reached(now) {
                return Ok((snapshot, now));
            }
            drop(snapshot);
            if !self.news.reach(now).await {
                tries = 1;
            }
        }
    }
}

impl Building<'_> {
    /// The answer. Its large parts are boxed: most answers have no room to tell of, and what each of
    /// many takes for a moment leaves holes between what the many who wait keep.
    async fn answer(&mut self) -> Result<Answer, Error> {
        let mut answer = Answer::default();
        let (mut own, account_data) = self.account_data().await?;
        answer.account_data = account_data;
        let typing: HashSet<i64> =
            self.sync.live.rooms_typing_since(self.serial).into_iter().collect();
        let (mut bytes, mut last) = (0, None);
        let members = self.memberships(&own, &typing).await?;
        self.load_unread(&members).await?;
        for (at, member) in members.iter().enumerate() {
            if let Some(beyond) = last.filter(|_| bytes >= limits::SYNC_BYTES) {
                self.rest = Some(Rest { beyond, position: self.rest_from() });
                break;
            }
            if at % ahead::ROOMS == 0 {
                let next = &members[at..members.len().min(at + ahead::ROOMS)];
                Box::pin(self.look_ahead(next)).await?;
            }
            let Some(room) = self.ahead.rooms.remove(&member.room_no) else { continue };
            if !self.asked.filter.room.takes(room.room_id.as_str()) {
                continue;
            }
            self.since = self.told.map_or(0, |token| token.position_of(room.room_no));
            let data = own.remove(&member.room_no).unwrap_or_default();
            bytes += Box::pin(self.room(&mut answer, &room, member, data)).await?;
            last = Some(room.room_no);
        }
        self.since = self.told.map_or(0, |token| token.position);
        Box::pin(self.gone(&mut answer)).await?;
        answer.presence = self.presence().await?;
        (answer.to_device, self.letters_told) = self.letters().await?;
        if let Some(told) = self.told {
            answer.device_lists = Box::pin(self.device_lists(told.position)).await?;
        }
        let counts = self.key_counts().await?;
        answer.device_one_time_keys_count = counts.one_time;
        answer.device_unused_fallback_key_types = counts.unused_fallback;
        Ok(answer)
    }

    /// Tells of rooms that were deleted since, in which the client believes the person to be.
    async fn gone(&mut self, answer: &mut Answer) -> Result<(), Error> {
        let Some(token) = self.told.filter(|_| self.may_have_lost_rooms()) else { return Ok(()) };
        let from = token.rest.map_or(token.position, |rest| rest.position.min(token.position));
        for gone in deletions::gone_after(&mut self.snapshot, &self.asker.user_id, from).await? {
            let is_news = gone.position > token.position_of(gone.room_no);
            if is_news && self.asked.filter.room.takes(gone.room_id.as_str()) {
                let events = gone.event.into_iter().collect();
                let timeline = TimelinePart { events, ..TimelinePart::default() };
                let nothing = Some(Events::default());
                let (state, state_after) =
                    if self.asked.state_after { (None, nothing) } else { (nothing, None) };
                let timeline = StatefulTimeline { state, state_after, timeline };
                answer.rooms.leave.insert(gone.room_id, LeftPart { timeline });
            }
        }
        Ok(())
    }

    /// Whether rooms of the person may have been deleted since they were told of them.
    pub(super) fn may_have_lost_rooms(&self) -> bool {
        self.changed.as_ref().is_none_or(|changed| changed.own)
    }

    /// Up to where a client knows of rooms for which this answer has no room.
    fn rest_from(&self) -> i64 {
        match self.told {
            Some(token) if !self.asked.full_state => {
                token.rest.map_or(token.position, |rest| rest.position)
            }
            _ => 0,
        }
    }

    /// Whether a room is one for which the answers before had no room.
    pub(super) fn is_rest(&self, room: &RoomRow) -> bool {
        let rest = self.told.and_then(|token| token.rest);
        rest.is_some_and(|rest| room.room_no > rest.beyond)
    }

    /// The person's rooms that may have something to tell, by their numbers.
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
        let mut rows = rooms::memberships_in(&mut self.snapshot, user_id, &numbers).await?;
        rows.sort_unstable_by_key(|row| row.room_no);
        Ok(rows)
    }

    /// Tells of a room what there is to tell; gives how large that is, in bytes.
    async fn room(
        &mut self,
        answer: &mut Answer,
        room: &RoomRow,
        member: &MemberRow,
        data: Events,
    ) -> Result<usize, Error> {
        let new = member.position > self.since;
        let id = room.room_id.clone();
        Ok(match member.membership {
            Membership::Join => {
                let Some(part) = self.joined(room, member, data).await? else { return Ok(0) };
                let bytes = part.bytes();
                answer.rooms.join.insert(id, part);
                bytes
            }
            Membership::Invite if new => {
                let Some(invite_state) = self.at_the_door(member).await? else { return Ok(0) };
                let bytes = invite_state.bytes();
                answer.rooms.invite.insert(id, InvitePart { invite_state });
                bytes
            }
            Membership::Knock if new => {
                let Some(knock_state) = self.at_the_door(member).await? else { return Ok(0) };
                let bytes = knock_state.bytes();
                answer.rooms.knock.insert(id, KnockPart { knock_state });
                bytes
            }
            Membership::Leave | Membership::Ban
                if new
                    && !member.forgotten
                    && (self.since > 0 || self.asked.filter.room.include_leave) =>
            {
                let timeline = self.left(room, member).await?;
                let bytes = timeline.bytes();
                answer.rooms.leave.insert(id, LeftPart { timeline });
                bytes
            }
            _ => 0,
        })
    }

    async fn joined(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
        account_data: Events,
    ) -> Result<Option<JoinedPart>, Error> {
        let known = self.known_state(room, member).await?;
        let new = known.is_none();
        let account_data = if (new && self.since > 0) || self.is_rest(room) {
            // What was set before the room was joined has not been told, nor what belongs to one
            // that found no room in the answer before.
            let items = people::data_of_room(&mut self.snapshot, &self.asker.user_id, room.room_no);
            shown_data(&items.await?, &self.asked.filter.room.account_data)?
        } else {
            account_data
        };
        let ephemeral = self.ephemeral(room, new).await?;
        let told = !ephemeral.is_empty() || !account_data.is_empty();
        if room.last_position <= self.since && !self.asked.full_state && !told {
            return Ok(None);
        }
        let (page, limited) = self.timeline(room, member, new, room.last_position).await?;
        self.meet(room, new, &page).await?;
        let summary = self.summary(room, &page, new, limited).await?;
        let end = room.state_root;
        let start = page.first().and_then(|it| it.roots).map_or(end, |roots| roots.room_before);
        let heroes = summary.heroes.as_deref().unwrap_or_default();
        let timeline =
            self.stateful(room, member, known, (start, end), (&page, limited), heroes).await?;
        // A room of which the filter leaves nothing is nothing to wake anybody for.
        if timeline.is_empty() && !told && !new && !self.asked.full_state {
            return Ok(None);
        }
        let (unread_notifications, unread_thread_notifications) = self.unread(room.room_no);
        Ok(Some(JoinedPart {
            summary,
            unread_notifications,
            unread_thread_notifications,
            timeline,
            ephemeral,
            account_data,
        }))
    }

    /// Notes whom the person meets: everybody in a room that is new to them, and who comes to one
    /// in which they are.
    async fn meet(&mut self, room: &RoomRow, new: bool, page: &[StoredEvent]) -> Result<(), Error> {
        if self.since > 0 && new {
            // Of those inside only the present matter, or of the present only those inside.
            let present = self.sync.live.present();
            let few = i64::try_from(present.len()).is_ok_and(|count| count < room.joined);
            if few {
                let present: Vec<&UserId> = present.iter().map(AsRef::as_ref).collect();
                let inside = rooms::joined_among(&mut self.snapshot, room.room_no, &present);
                self.met.extend(inside.await?);
            } else {
                let inside = rooms::members(&mut self.snapshot, room.room_no, Membership::Join);
                self.met.extend(inside.await?.into_iter().map(|row| row.user_id));
            }
        } else if self.since > 0 {
            let comes = |it: &&StoredEvent| {
                *it.event.kind() == TimelineEventType::RoomMember && view::is_joined(&it.event)
            };
            let who = page.iter().filter(comes).filter_map(|it| it.event.state_key());
            self.met.extend(who.filter_map(|who| who.try_into().ok()));
        }
        Ok(())
    }

    async fn left(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
    ) -> Result<StatefulTimeline, Error> {
        if member.left.is_none_or(|left| left <= self.since) {
            // An invitation turned down or taken back, or a ban of who had gone: only the event
            // that says so.
            let ending = events::by_numbers(&mut self.snapshot, &[member.event_no]).await?;
            let page: Vec<StoredEvent> = ending.into_values().collect();
            let timeline = self.rendered(member, &page, false, member.position).await?;
            let state = Some(Events::default());
            return Ok(if self.asked.state_after {
                StatefulTimeline { state: None, state_after: state, timeline }
            } else {
                StatefulTimeline { state, state_after: None, timeline }
            });
        }
        let known = self.known_state(room, member).await?;
        let (page, limited) = self.timeline(room, member, known.is_none(), member.position).await?;
        let left = member.left.unwrap_or(member.position);
        let end = view::root_at(&mut self.snapshot, room, left).await?;
        // Of a ban after leaving, the event is told, but not the state that it came upon.
        let first = page.iter().find(|it| it.position.is_some_and(|position| position <= left));
        let start = first.and_then(|it| it.roots).map_or(end, |roots| roots.room_before);
        self.stateful(room, member, known, (start, end), (&page, limited), &[]).await
    }

    /// The state that the client knows; nothing where it was not in the room then.
    async fn known_state(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
    ) -> Result<Option<NodeId>, Error> {
        if self.since == 0 {
            return Ok(None);
        }
        let root = view::root_at(&mut self.snapshot, room, self.since).await?;
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
        member: &MemberRow,
        new: bool,
        upto: i64,
    ) -> Result<(Vec<StoredEvent>, bool), Error> {
        let filter = &self.asked.filter.room.timeline;
        let wanted = self.page_and_one();
        let limit = usize::try_from(wanted - 1).unwrap_or(0);
        let after = if new { i64::MIN } else { self.since };
        let mut kept: Vec<StoredEvent> = Vec::new();
        let mut upto = upto;
        let mut more = true;
        let takes_all = filter.takes_all() && self.ignored.is_empty();
        let pages = if takes_all { 1 } else { FILTER_PAGES };
        for _ in 0..pages {
            let stretch = Stretch::Back { upto, after };
            // A room of which the client knows something was not read ahead.
            let found = match self.ahead.pages.remove(&room.room_no) {
                Some(found) => found,
                None => events::timeline(&mut self.snapshot, room.room_no, stretch, wanted).await?,
            };
            more = found.len() > limit;
            if let Some(last) = found.last().and_then(|it| it.position) {
                upto = last - 1;
            }
            let heard = self.ignored.heard(found);
            kept.extend(related::taken(&mut self.snapshot, filter, heard).await?);
            if !more || kept.len() > limit {
                break;
            }
        }
        let mut limited = more || kept.len() > limit;
        kept.truncate(limit);
        // What is missing is had when somebody reads back from there.
        if let Some(hole) = graph::hole_in(&mut self.snapshot, &kept, after).await? {
            kept.truncate(hole + 1);
            limited = true;
        }
        // Whoever was in the room all the time since then may see all of it.
        if new || member.position > self.since {
            let reach = Reach::of(member);
            kept = view::visible(&mut self.snapshot, self.asker, reach, kept).await?;
        }
        kept.reverse();
        Ok((kept, limited))
    }

    /// How many events of a room are read, so that it is known whether there are more than wanted.
    pub(super) fn page_and_one(&self) -> i64 {
        let limit = self.asked.filter.room.timeline.limit.unwrap_or(TIMELINE);
        i64::from(limit.min(limits::SYNC_TIMELINE_EVENTS)) + 1
    }

    async fn stateful(
        &mut self,
        room: &RoomRow,
        member: &MemberRow,
        known: Option<NodeId>,
        (start, end): (NodeId, NodeId),
        (page, limited): (&[StoredEvent], bool),
        heroes: &[OwnedUserId],
    ) -> Result<StatefulTimeline, Error> {
        let known = known.filter(|_| !self.asked.full_state);
        let after = self.asked.state_after;
        let stretch = if after { (end, end) } else { (start, end) };
        let state = self.state(room, known, stretch, page, heroes).await?;
        let newest = room.last_position.min(self.now);
        let timeline = self.rendered(member, page, limited, newest).await?;
        let (state, state_after) = if after { (None, Some(state)) } else { (Some(state), None) };
        Ok(StatefulTimeline { state, state_after, timeline })
    }

    async fn rendered(
        &mut self,
        member: &MemberRow,
        page: &[StoredEvent],
        limited: bool,
        newest: i64,
    ) -> Result<TimelinePart, Error> {
        let ground = &self.sync.ground;
        let form = form(self.asked);
        let known = (&self.ahead.known, Some(member));
        let rendered =
            view::render_known(ground, &mut self.snapshot, self.asker, page, form, known).await?;
        let before = page.first().and_then(|it| it.position).map_or(newest, |first| first - 1);
        Ok(TimelinePart {
            events: rendered.into_iter().map(|it| it.json).collect(),
            limited,
            prev_batch: Some(page_token(before)),
        })
    }

    /// What of the state the client does not know yet: before the timeline, and what changed within
    /// it by events that a filter keeps out of it.
    async fn state(
        &mut self,
        room: &RoomRow,
        known: Option<NodeId>,
        (start, end): (NodeId, NodeId),
        page: &[StoredEvent],
        heroes: &[OwnedUserId],
    ) -> Result<Events, Error> {
        let filter = &self.asked.filter.room.state;
        let mut numbers = match known {
            Some(known) => self.changes(known, start).await?,
            None if end == room.state_root => self.whole_state(room, start).await?,
            None => state::entries(&mut self.snapshot, start)
                .await?
                .into_iter()
                .map(|it| it.1)
                .collect(),
        };
        // What changed within the page without being in it was hidden by the filter, or lies in a
        // time that the asker may not see: how the room stands now is theirs to know all the same.
        let shown: HashSet<EventNo> = page.iter().map(|it| it.event_no).collect();
        let hidden = self.changes(start, end).await?;
        numbers.extend(hidden.into_iter().filter(|number| !shown.contains(number)));
        let mut found: Vec<StoredEvent> =
            events::by_numbers(&mut self.snapshot, &numbers).await?.into_values().collect();
        if filter.lazy_load_members {
            self.only_speakers(&mut found, known.is_none(), start, page, heroes).await?;
        }
        found.retain(|it| filter.takes_event(&it.event));
        found.sort_by_key(|it| it.event_no);
        let form = form(self.asked);
        Ok(Events { events: view::plain(&mut self.snapshot, &found, form).await? })
    }

    /// The whole state of a room at one of its last roots: as it is now, but for what changed since.
    /// Where members come one by one, only those that changed since are among it.
    async fn whole_state(&mut self, room: &RoomRow, root: NodeId) -> Result<Vec<EventNo>, Error> {
        let lazy = self.asked.filter.room.state.lazy_load_members;
        let now = match self.ahead.states.remove(&room.room_no) {
            Some(numbers) => numbers,
            None => {
                rooms::state_events(&mut self.snapshot, room.room_no, StateOf::all(!lazy)).await?
            }
        };
        let mut numbers: HashSet<EventNo> = now.into_iter().collect();
        if root != room.state_root {
            for change in state::difference(&mut self.snapshot, root, room.state_root).await? {
                if let Some(now) = change.right {
                    numbers.remove(&now);
                }
                numbers.extend(change.left);
            }
        }
        Ok(numbers.into_iter().collect())
    }

    /// The entries of one state that another does not hold.
    pub(super) async fn changes(
        &mut self,
        from: NodeId,
        to: NodeId,
    ) -> Result<Vec<EventNo>, Error> {
        if from == to {
            return Ok(Vec::new());
        }
        let changes = state::difference(&mut self.snapshot, from, to).await?;
        Ok(changes.into_iter().filter_map(|it| it.right).collect())
    }

    /// Of a whole state only the members who speak in the page, stand for the room or ask; of
    /// changes all, because the client may have been told of those members before.
    async fn only_speakers(
        &mut self,
        found: &mut Vec<StoredEvent>,
        whole: bool,
        root: NodeId,
        page: &[StoredEvent],
        heroes: &[OwnedUserId],
    ) -> Result<(), Error> {
        let mut needed: HashSet<OwnedUserId> =
            page.iter().map(|it| it.event.sender().to_owned()).collect();
        if whole {
            needed.extend(heroes.iter().cloned());
            needed.insert(self.asker.user_id.clone());
            let member = |it: &StoredEvent| *it.event.kind() == TimelineEventType::RoomMember;
            found.retain(|it| !member(it));
        }
        let there: HashSet<EventNo> = found.iter().map(|it| it.event_no).collect();
        let keys: Vec<StateKey> = needed
            .iter()
            .map(|it| StateKey::new(StateEventType::RoomMember, it.as_str()))
            .collect();
        let numbers = state::lookup(&mut self.snapshot, root, &keys).await?;
        let missing: Vec<EventNo> =
            numbers.into_iter().flatten().filter(|number| !there.contains(number)).collect();
        found.extend(events::by_numbers(&mut self.snapshot, &missing).await?.into_values());
        Ok(())
    }

    /// What is shown to somebody who is invited or knocks, and the event that says so; nothing where
    /// somebody invites whom they ignore, or who wants no invitations.
    pub(super) async fn at_the_door(
        &mut self,
        member: &MemberRow,
    ) -> Result<Option<Events>, Error> {
        let own = events::by_numbers(&mut self.snapshot, &[member.event_no]).await?;
        let Some(own) = own.into_values().next() else { return Ok(Some(Events::default())) };
        if self.ignored.has(own.event.sender()) {
            return Ok(None);
        }
        let invited = member.membership == Membership::Invite;
        if invited && blocks_invitations(&mut self.snapshot, &self.asker.user_id).await? {
            return Ok(None);
        }
        let Some(roots) = own.roots else {
            // Another server has shown it.
            let (room_no, user_id) = (member.room_no, &self.asker.user_id);
            let shown = doors::shown(&mut self.snapshot, room_no, user_id).await?;
            let mut list: Vec<Box<RawValue>> = match shown {
                Some(text) => serde_json::from_str(&text).map_err(Error::internal)?,
                None => Vec::new(),
            };
            list.push(format::stripped(&own.event));
            return Ok(Some(Events { events: list }));
        };
        let keys: Vec<StateKey> = DOOR.iter().map(|kind| StateKey::new(kind.clone(), "")).collect();
        let numbers = state::lookup(&mut self.snapshot, roots.state_before, &keys).await?;
        let mut numbers: Vec<EventNo> = numbers.into_iter().flatten().collect();
        let inviter = own.event.sender().as_str();
        let of_inviter = [StateEventType::RoomMember, friend::EVENT.into()];
        let of_inviter = of_inviter.map(|kind| StateKey::new(kind, inviter));
        let of_inviter = state::lookup(&mut self.snapshot, roots.state_before, &of_inviter).await?;
        numbers.extend(of_inviter.into_iter().flatten());
        let shown = events::by_numbers(&mut self.snapshot, &numbers).await?;
        let mut list: Vec<Box<RawValue>> =
            shown.values().map(|it| format::stripped(&it.event)).collect();
        list.push(format::stripped(&own.event));
        Ok(Some(Events { events: list }))
    }
}

/// How the client wants the events of rooms.
fn form(asked: &Asked) -> Form<'_> {
    let filter = &asked.filter;
    Form {
        under_room: true,
        federation: filter.event_format == EventFormat::Federation,
        fields: filter.event_fields.as_ref(),
    }
}
