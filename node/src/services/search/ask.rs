//! One question for what was said.

use std::collections::{BTreeMap, HashMap, HashSet};

use ruma::{OwnedRoomId, OwnedUserId, events::StateEventType};
use serde_json::value::RawValue;
use wayside_federation::state::{EventNo, NodeId, StateKey};
use wayside_identity::tag;

use super::{
    super::{
        Error,
        filter::EventFilter,
        rooms::{
            Asker, Ignored, Membership,
            format::Form,
            related,
            view::{self, Reach, Rendered},
        },
    },
    Search,
};
use crate::store::{
    Snapshot,
    events::{self, StoredEvent, Stretch},
    rooms::{self, RoomRow},
    state,
    words::{self, WordsAsked},
};

/// What is asked (client-server API, `POST /search`).
#[derive(Clone, Debug)]
pub struct SearchAsked {
    /// The words, of which all must be there.
    pub text: String,
    /// Which of body, name and topic count.
    pub keys: [bool; 3],
    /// What to leave out; its limit is how many hits a page has.
    pub filter: EventFilter,
    /// Whether the newest come first, and not those that fit best.
    pub recent: bool,
    /// How many events before and after each hit are told, if any.
    pub around: Option<(i64, i64)>,
    /// Whether it is told how those who speak there showed themselves then.
    pub profiles: bool,
    /// The token of the page before.
    pub from: Option<String>,
}

/// A page of hits.
#[derive(Debug, Default)]
pub struct Hits {
    /// The hits in the order asked for.
    pub hits: Vec<Hit>,
    /// About how many there are.
    pub count: usize,
    /// The words that were looked for.
    pub words: Vec<String>,
    /// The token of the next page, if there is one.
    pub next: Option<String>,
}

/// An event that fits.
#[derive(Debug)]
pub struct Hit {
    /// The event.
    pub event: Rendered,
    /// Its id.
    pub event_id: String,
    /// Its room.
    pub room_id: OwnedRoomId,
    /// How well it fits: more is better.
    pub rank: i64,
    /// What stands around it, where that is asked for.
    pub context: Option<Context>,
}

/// What stands around a hit.
#[derive(Debug)]
pub struct Context {
    /// Before it, the newest first.
    pub before: Vec<Rendered>,
    /// After it, the oldest first.
    pub after: Vec<Rendered>,
    /// Where a page going back begins.
    pub start: i64,
    /// Where a page going on begins.
    pub end: i64,
    /// The contents of the member events of those who speak, as they were then.
    pub profiles: BTreeMap<OwnedUserId, Box<RawValue>>,
}

/// The longest question in bytes, and in words.
const QUESTION: (usize, usize) = (512, 20);
/// Hits of a page where the client names no number, and the most it gets.
const PAGE: (usize, usize) = (10, 50);
/// Rooms of one person that are looked in, the newest; and of these at the same time.
const ROOMS: (usize, usize) = (2_000, 200);
/// The newest events that fit, among which a page is looked for.
const NEWEST: usize = 1_000;
/// Of those, how many are read for one page.
const READ: usize = 400;
/// The most events told before, or after, a hit.
const AROUND: i64 = 20;

/// Where a page begins: no event with a higher number counts, and so many are passed over.
#[derive(Clone, Copy)]
struct Place {
    upto: i64,
    skipped: usize,
}

impl Search {
    /// A page of what was said that fits, of what the asker may see.
    pub async fn ask(&self, asker: &Asker, asked: &SearchAsked) -> Result<Hits, Error> {
        if asked.text.len() > QUESTION.0 {
            return Err(Error::Invalid("search_term has at most 512 bytes".to_owned()));
        }
        let mut sought = words::words_of(&asked.text);
        sought.sort();
        sought.dedup();
        if sought.len() > QUESTION.1 {
            return Err(Error::Invalid("search_term has at most 20 words".to_owned()));
        }
        let from = asked.from.as_deref().map(|text| self.read_place(asker, asked, text));
        let from = from.transpose()?;
        if sought.is_empty() {
            return Ok(Hits::default());
        }
        let newest = events::last_number(&mut self.ground.store.snapshot().await?).await?;
        self.reach(newest).await;
        let mut snapshot = self.ground.store.snapshot().await?;
        let place = from.unwrap_or(Place { upto: newest, skipped: 0 });
        let mut asking = Asking {
            search: self,
            ignored: Ignored::of(&mut snapshot, &asker.user_id).await?,
            rooms: rooms_of(&mut snapshot, asker, &asked.filter).await?,
            reaches: HashMap::new(),
            snapshot,
            asker,
            asked,
        };
        asking.page(sought, place).await
    }

    fn place_text(&self, asker: &Asker, asked: &SearchAsked, place: Place) -> String {
        let question = format!("{:?} {} {}", asked.keys, asked.recent, asked.text);
        let at = format!("{} {}", place.upto, place.skipped);
        let parts = [b"search", asker.user_id.as_bytes(), question.as_bytes(), at.as_bytes()];
        let seal = hex::encode(tag::tag(&self.ground.token_key, &parts));
        format!("w{}_{}_{seal}", place.upto, place.skipped)
    }

    /// Reads a token; one of somebody else or of another question is none.
    fn read_place(&self, asker: &Asker, asked: &SearchAsked, text: &str) -> Result<Place, Error> {
        let read = || {
            let mut parts = text.strip_prefix('w')?.split('_');
            let upto = parts.next()?.parse().ok()?;
            Some(Place { upto, skipped: parts.next()?.parse().ok()? })
        };
        let fits = |place: &Place| self.place_text(asker, asked, *place) == text;
        read().filter(fits).ok_or_else(|| {
            Error::Invalid("next_batch is no token of this node for this search".to_owned())
        })
    }
}

/// What an answer is made from.
struct Asking<'a> {
    search: &'a Search,
    snapshot: Snapshot,
    asker: &'a Asker,
    asked: &'a SearchAsked,
    ignored: Ignored,
    rooms: HashMap<i64, RoomRow>,
    reaches: HashMap<i64, Reach>,
}

impl Asking<'_> {
    async fn page(&mut self, sought: Vec<String>, place: Place) -> Result<Hits, Error> {
        let fitting = self.fitting(&sought, place.upto).await?;
        let wanted = self.asked.filter.limit.map_or(PAGE.0, |limit| limit as usize);
        let wanted = wanted.clamp(1, PAGE.1);
        let (mut kept, mut read): (Vec<(StoredEvent, i64)>, usize) = (Vec::new(), 0);
        let mut rest = fitting.iter().skip(place.skipped);
        let mut last = None;
        'reading: while read < READ {
            let some: Vec<(i64, i64)> = rest.by_ref().take(wanted).copied().collect();
            if some.is_empty() {
                break;
            }
            let mut seen = self.seen(&some).await?;
            for (number, rank) in some {
                (read, last) = (read + 1, Some(number));
                if let Some(stored) = seen.remove(&EventNo(number)) {
                    kept.push((stored, rank));
                }
                if kept.len() >= wanted {
                    break 'reading;
                }
            }
        }
        let passed = place.skipped + read;
        let full = fitting.len() >= NEWEST;
        let next = match last {
            // By their age one can go on behind the last without end; by how well they fit, up to the
            // end of those that were put in order.
            Some(last) if self.asked.recent && (full || passed < fitting.len()) => {
                Some(Place { upto: last - 1, skipped: 0 })
            }
            Some(_) if !self.asked.recent && passed < fitting.len() => {
                Some(Place { upto: place.upto, skipped: passed })
            }
            _ => None,
        };
        let mut hits = Vec::with_capacity(kept.len());
        for (stored, rank) in kept {
            hits.push(self.hit(stored, rank).await?);
        }
        let next = next.map(|place| self.search.place_text(self.asker, self.asked, place));
        Ok(Hits { hits, count: fitting.len(), words: sought, next })
    }

    /// The numbers of the newest events that hold the words, in the order asked for.
    async fn fitting(&mut self, sought: &[String], upto: i64) -> Result<Vec<(i64, i64)>, Error> {
        let mut numbers: Vec<i64> = self.rooms.keys().copied().collect();
        numbers.sort_unstable();
        let mut found = Vec::new();
        for rooms in numbers.chunks(ROOMS.1) {
            let asked = WordsAsked {
                words: sought,
                keys: self.asked.keys,
                rooms,
                upto,
                limit: i64::try_from(NEWEST).unwrap_or(i64::MAX),
            };
            found.extend(words::find(&mut self.snapshot, &asked).await?);
        }
        found.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        found.truncate(NEWEST);
        if !self.asked.recent {
            found.sort_by_key(|(_, rank)| std::cmp::Reverse(*rank));
        }
        Ok(found)
    }

    /// Those of some events that the asker may see and wants to.
    async fn seen(&mut self, some: &[(i64, i64)]) -> Result<HashMap<EventNo, StoredEvent>, Error> {
        let numbers: Vec<EventNo> = some.iter().map(|(number, _)| EventNo(*number)).collect();
        let found = events::by_numbers(&mut self.snapshot, &numbers).await?;
        let mut by_room: HashMap<i64, Vec<StoredEvent>> = HashMap::new();
        let filter = &self.asked.filter;
        for stored in found.into_values() {
            if stored.redacted_by.is_none() && !self.ignored.hides(&stored.event) {
                by_room.entry(stored.room_no).or_default().push(stored);
            }
        }
        let mut seen = HashMap::new();
        for (room_no, events) in by_room {
            let reach = self.reach(room_no).await?;
            let events = related::taken(&mut self.snapshot, filter, events).await?;
            let shown = view::visible(&mut self.snapshot, self.asker, reach, events).await?;
            seen.extend(shown.into_iter().map(|it| (it.event_no, it)));
        }
        Ok(seen)
    }

    async fn reach(&mut self, room_no: i64) -> Result<Reach, Error> {
        if let Some(known) = self.reaches.get(&room_no) {
            return Ok(*known);
        }
        let Some(room) = self.rooms.get(&room_no) else { return Ok(Reach::Never) };
        let reach = view::reach(&mut self.snapshot, room, self.asker).await?;
        self.reaches.insert(room_no, reach);
        Ok(reach)
    }

    async fn hit(&mut self, stored: StoredEvent, rank: i64) -> Result<Hit, Error> {
        let context = match self.asked.around {
            Some(around) => Some(self.context(&stored, around).await?),
            None => None,
        };
        let (event_id, room_id) =
            (stored.event.id().to_string(), stored.event.room_id().to_owned());
        let event = self.render(std::slice::from_ref(&stored)).await?.pop();
        let event = event.ok_or_else(|| Error::internal(anyhow::anyhow!("an event was lost")))?;
        Ok(Hit { event, event_id, room_id, rank, context })
    }

    async fn render(&mut self, page: &[StoredEvent]) -> Result<Vec<Rendered>, Error> {
        let ground = &self.search.ground;
        view::render(ground, &mut self.snapshot, self.asker, page, Form::default()).await
    }

    async fn context(
        &mut self,
        hit: &StoredEvent,
        (before, after): (i64, i64),
    ) -> Result<Context, Error> {
        let position = hit.position.unwrap_or_default();
        let back = Stretch::Back { upto: position - 1, after: i64::MIN };
        let forth = Stretch::Forth { after: position, upto: i64::MAX };
        let reach = self.reach(hit.room_no).await?;
        let (mut sides, mut ends) = (Vec::new(), Vec::new());
        for (stretch, count) in [(back, before), (forth, after)] {
            let count = count.clamp(0, AROUND);
            let found = events::timeline(&mut self.snapshot, hit.room_no, stretch, count).await?;
            ends.push(found.last().and_then(|it| it.position).unwrap_or(position));
            let seen = view::visible(&mut self.snapshot, self.asker, reach, found).await?;
            sides.push(self.ignored.heard(seen));
        }
        let mut profiles = BTreeMap::new();
        if self.asked.profiles {
            let all = sides.iter().flatten().chain([hit]);
            let speakers: HashSet<OwnedUserId> =
                all.map(|it| it.event.sender().to_owned()).collect();
            profiles = self.profiles(hit, &speakers).await?;
        }
        let after = self.render(&sides.pop().unwrap_or_default()).await?;
        let before = self.render(&sides.pop().unwrap_or_default()).await?;
        let end = ends.pop().unwrap_or(position);
        let start = ends.pop().unwrap_or(position) - 1;
        Ok(Context { before, after, start, end, profiles })
    }

    /// How people showed themselves when an event was sent.
    async fn profiles(
        &mut self,
        hit: &StoredEvent,
        people: &HashSet<OwnedUserId>,
    ) -> Result<BTreeMap<OwnedUserId, Box<RawValue>>, Error> {
        let root = hit.roots.map_or(NodeId::EMPTY, |roots| roots.room_after);
        let keys: Vec<StateKey> = people
            .iter()
            .map(|it| StateKey::new(StateEventType::RoomMember, it.as_str()))
            .collect();
        let numbers = state::lookup(&mut self.snapshot, root, &keys).await?;
        let numbers: Vec<EventNo> = numbers.into_iter().flatten().collect();
        let members = events::by_numbers(&mut self.snapshot, &numbers).await?;
        Ok(members
            .into_values()
            .filter_map(|it| {
                let who = OwnedUserId::try_from(it.event.state_key()?).ok()?;
                Some((who, it.event.content().to_owned()))
            })
            .collect())
    }
}

/// The rooms in which somebody may find something, by their numbers: those they are in, and those
/// they have left and not forgotten.
async fn rooms_of(
    snapshot: &mut Snapshot,
    asker: &Asker,
    filter: &EventFilter,
) -> Result<HashMap<i64, RoomRow>, Error> {
    let mine = rooms::memberships_of(snapshot, &asker.user_id).await?;
    let readable = mine
        .iter()
        .filter(|row| row.membership == Membership::Join || (row.left.is_some() && !row.forgotten));
    let numbers: Vec<i64> = readable.rev().take(ROOMS.0).map(|row| row.room_no).collect();
    let found = rooms::by_numbers(snapshot, &numbers).await?;
    let wanted = found.into_iter().filter(|room| filter.takes_room(room.room_id.as_str()));
    Ok(wanted.map(|room| (room.room_no, room)).collect())
}
