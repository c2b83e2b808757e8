//! What relates to an event: told with it in sum, and listed page by page.

use std::collections::{BTreeMap, HashMap, HashSet};

use ruma::{EventId, OwnedEventId, RoomId};
use serde_json::value::RawValue;

use super::{
    super::{Error, Ground, filter::EventFilter},
    Rooms,
    format::{Bundle, Form, Thread},
    ignored::Ignored,
    view::{self, Asker, Known, Reach, Rendered},
};
use crate::store::{
    Reads, Snapshot,
    events::{self, StoredEvent, Stretch},
    relations::{self, RelatedAsked, Tally},
    rooms,
};

/// Which events that relate to one are asked for.
#[derive(Clone, Debug)]
pub struct RelationsAsked {
    /// Only those that relate in this way.
    pub rel_type: Option<String>,
    /// Only those of this type.
    pub kind: Option<String>,
    /// Where to begin; without it at the end that the direction starts from.
    pub from: Option<i64>,
    /// Where to stop.
    pub to: Option<i64>,
    /// Whether to go back in time.
    pub back: bool,
    /// At most so many events.
    pub limit: i64,
    /// Whether what relates to those that relate counts too.
    pub recurse: bool,
}

/// A page of a list of events.
#[derive(Debug)]
pub struct Listing {
    /// The events.
    pub events: Vec<Rendered>,
    /// Where the next page begins, if there is one.
    pub end: Option<i64>,
}

/// Which threads of a room are asked for.
#[derive(Clone, Copy, Debug)]
pub struct ThreadsAsked {
    /// Only those in which the asker took part.
    pub own: bool,
    /// Where to begin.
    pub from: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// Through how many others something may relate to an event, with `recurse`.
pub const DEPTH: i64 = 3;
/// How many times a page is looked for where ignoring or the room's rules take much away.
const LOOKS: usize = 8;

impl Rooms {
    /// A page of the events that relate to one, which the asker must be able to see.
    pub async fn relations(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        target: &EventId,
        asked: RelationsAsked,
    ) -> Result<Listing, Error> {
        let unknown =
            || Error::NotFound("there is no such event, or it is not for you to see".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = rooms::room(&mut snapshot, room_id).await?.ok_or_else(unknown)?;
        self.seen(&mut snapshot, asker, &room, target).await?.ok_or_else(unknown)?;
        let reach = view::reach(&mut snapshot, &room, asker).await?;
        let ignored = Ignored::of(&mut snapshot, &asker.user_id).await?;
        let start = asked.from.unwrap_or(if asked.back { i64::MAX } else { i64::MIN });
        let mut stretch = if asked.back {
            Stretch::Back { upto: start, after: asked.to.unwrap_or(i64::MIN) }
        } else {
            Stretch::Forth { after: start, upto: asked.to.unwrap_or(i64::MAX) }
        };
        let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        let (mut kept, mut end) = (Vec::new(), None);
        for _ in 0..LOOKS {
            let wanted = RelatedAsked {
                room_no: room.room_no,
                target,
                rel_type: asked.rel_type.as_deref(),
                kind: asked.kind.as_deref(),
                through: if asked.recurse { DEPTH - 1 } else { 0 },
                stretch,
                limit: asked.limit - i64::try_from(kept.len()).unwrap_or(0) + 1,
            };
            let found = related(&mut snapshot, &wanted).await?;
            let room_left = limit - kept.len();
            let more = found.len() > room_left;
            let found: Vec<StoredEvent> = found.into_iter().take(room_left).collect();
            end = found.last().and_then(|it| it.position).filter(|_| more);
            end = end.map(|last| if asked.back { last - 1 } else { last });
            let seen = view::visible(&mut snapshot, asker, reach, found).await?;
            kept.extend(ignored.heard(seen));
            let Some(end) = end.filter(|_| kept.len() < limit) else { break };
            stretch = stretch.from(end);
        }
        let events =
            view::render(&self.ground, &mut snapshot, asker, &kept, Form::default()).await?;
        Ok(Listing { events, end })
    }

    /// A page of the threads of a room by their first events, the one with the newest reply first.
    pub async fn threads(
        &self,
        asker: &Asker,
        room_id: &RoomId,
        asked: ThreadsAsked,
    ) -> Result<Listing, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (room, reach) = self.readable(&mut snapshot, asker, room_id).await?;
        let upto = self.newest_seen(&mut snapshot, asker, &room, reach).await?;
        let ignored = Ignored::of(&mut snapshot, &asker.user_id).await?;
        let by = asked.own.then_some(&*asker.user_id);
        let limit = usize::try_from(asked.limit).unwrap_or(usize::MAX);
        let mut before = asked.from.unwrap_or(i64::MAX).min(upto);
        let (mut kept, mut end) = (Vec::new(), None);
        for _ in 0..LOOKS {
            let wanted = asked.limit - i64::try_from(kept.len()).unwrap_or(0);
            let place = (before, upto);
            let mut found =
                relations::threads(&mut snapshot, room.room_no, place, by, wanted + 1).await?;
            let more = i64::try_from(found.len()).is_ok_and(|count| count > wanted);
            found.truncate(usize::try_from(wanted).unwrap_or(usize::MAX));
            end = found.last().map(|(_, newest)| newest - 1).filter(|_| more);
            let roots: Vec<OwnedEventId> = found.into_iter().map(|(root, _)| root).collect();
            let mut roots = events::by_ids(&mut snapshot, &roots).await?;
            roots.retain(|it| it.room_no == room.room_no);
            let seen = view::visible(&mut snapshot, asker, reach, roots).await?;
            kept.extend(ignored.heard(seen));
            let Some(end) = end.filter(|_| kept.len() < limit) else { break };
            before = end;
        }
        let events =
            view::render(&self.ground, &mut snapshot, asker, &kept, Form::default()).await?;
        Ok(Listing { events, end })
    }
}

/// The events themselves, in the order of the stretch.
async fn related(
    snapshot: &mut Snapshot,
    wanted: &RelatedAsked<'_>,
) -> Result<Vec<StoredEvent>, Error> {
    let numbers = relations::related(snapshot, wanted).await?;
    let mut found = events::by_numbers(snapshot, &numbers).await?;
    Ok(numbers.iter().filter_map(|number| found.remove(number)).collect())
}

/// The events of a page of one room that a filter takes: by themselves, and by what relates to them.
pub async fn taken(
    from: &mut impl Reads,
    filter: &EventFilter,
    mut page: Vec<StoredEvent>,
) -> Result<Vec<StoredEvent>, Error> {
    page.retain(|it| filter.takes_event(&it.event));
    let Some(room_no) = page.first().map(|it| it.room_no) else { return Ok(page) };
    if filter.asks_for_relations() {
        let ids: Vec<&EventId> = page.iter().map(|it| it.event.id()).collect();
        let found = relations::kinds(from, room_no, &ids).await?;
        let fit = found.into_iter().filter(|(_, kind, sender)| filter.takes_relation(kind, sender));
        let fit: HashSet<OwnedEventId> = fit.map(|(target, ..)| target).collect();
        page.retain(|it| fit.contains(it.event.id()));
    }
    Ok(page)
}

/// What is told with each event of a page of one room of what relates to it (client-server API,
/// aggregations of child events). A page to which nothing relates costs one question.
pub(super) async fn bundles(
    ground: &Ground,
    from: &mut impl Reads,
    asker: &Asker,
    page: &[StoredEvent],
    form: Form<'_>,
) -> Result<HashMap<OwnedEventId, Bundle>, Error> {
    let Some(room_no) = page.first().map(|it| it.room_no) else { return Ok(HashMap::new()) };
    let ids: Vec<&EventId> = page.iter().map(|it| it.event.id()).collect();
    let own = &asker.user_id;
    let mut tallies = relations::tallies(from, room_no, &ids, own, i64::MAX, false).await?;
    if tallies.is_empty() {
        return Ok(HashMap::new());
    }
    let room = rooms::by_numbers(from, &[room_no]).await?.pop();
    let Some(room) = room else { return Ok(HashMap::new()) };
    let reach = view::reach(from, &room, asker).await?;
    let ignored = Ignored::of(from, own).await?;
    // Whoever has gone is not told of what came behind them, nor anybody of whom they ignore.
    let upto = if let Reach::Until(left) = reach { left } else { i64::MAX };
    if upto < i64::MAX || !ignored.is_empty() {
        let apart = !ignored.is_empty();
        tallies = relations::tallies(from, room_no, &ids, own, upto, apart).await?;
        tallies = heard(tallies, &ignored);
    }
    let mut summing = Summing { ground, from, asker, page, form, reach, ignored, upto };
    summing.sum(&tallies).await
}

/// The sums of several senders in one, without those who are ignored.
fn heard(tallies: Vec<Tally>, ignored: &Ignored) -> Vec<Tally> {
    let mut sums: BTreeMap<(OwnedEventId, String), Tally> = BTreeMap::new();
    for tally in tallies {
        if tally.sender.as_ref().is_some_and(|sender| ignored.has(sender)) {
            continue;
        }
        match sums.get_mut(&(tally.target.clone(), tally.rel_type.clone())) {
            Some(sum) => {
                sum.count += tally.count;
                sum.newest = sum.newest.max(tally.newest);
                sum.own |= tally.own;
            }
            None => {
                sums.insert((tally.target.clone(), tally.rel_type.clone()), tally);
            }
        }
    }
    sums.into_values().collect()
}

/// What sums are made from.
struct Summing<'a, R: Reads> {
    ground: &'a Ground,
    from: &'a mut R,
    asker: &'a Asker,
    page: &'a [StoredEvent],
    form: Form<'a>,
    reach: Reach,
    ignored: Ignored,
    upto: i64,
}

impl<R: Reads> Summing<'_, R> {
    async fn sum(&mut self, tallies: &[Tally]) -> Result<HashMap<OwnedEventId, Bundle>, Error> {
        let mut bundles: HashMap<OwnedEventId, Bundle> = HashMap::new();
        for (target, thread) in self.threads(tallies).await? {
            bundles.entry(target).or_default().thread = Some(thread);
        }
        let edited: Vec<&EventId> = targets(tallies, "m.replace").collect();
        for (target, edit) in self.edits(&edited).await? {
            bundles.entry(target).or_default().edit = Some(edit);
        }
        let named: Vec<&EventId> = targets(tallies, "m.reference").collect();
        if !named.is_empty() {
            let room_no = self.page.first().map_or(0, |it| it.room_no);
            let found = relations::references(self.from, room_no, &named, self.upto).await?;
            for (target, by, sender) in found {
                if !self.ignored.has(&sender) {
                    bundles.entry(target).or_default().references.push(by);
                }
            }
        }
        Ok(bundles)
    }

    async fn threads(&mut self, tallies: &[Tally]) -> Result<Vec<(OwnedEventId, Thread)>, Error> {
        let of_threads: Vec<&Tally> =
            tallies.iter().filter(|it| it.rel_type == "m.thread").collect();
        let Some(room_no) = self.page.first().map(|it| it.room_no) else { return Ok(Vec::new()) };
        if of_threads.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<i64> = of_threads.iter().map(|it| it.newest).collect();
        let newest = events::at(self.from, room_no, &places).await?;
        let newest = view::visible(self.from, self.asker, self.reach, newest).await?;
        // The reply is told as any event is, with its newest edit.
        let ids: Vec<&EventId> = newest.iter().map(|it| it.event.id()).collect();
        let edits = self.edits(&ids).await?;
        let bundles = edits
            .into_iter()
            .map(|(id, edit)| (id, Bundle { edit: Some(edit), ..Bundle::default() }));
        let shown = view::dress(
            self.ground,
            self.from,
            self.asker,
            &newest,
            self.form.whole(),
            (bundles.collect(), &Known::default(), None),
        )
        .await?;
        let shown: HashMap<i64, Box<RawValue>> =
            shown.into_iter().map(|it| (it.position, it.json)).collect();
        Ok(of_threads
            .into_iter()
            .filter_map(|tally| {
                let root = self.page.iter().find(|it| it.event.id() == tally.target)?;
                Some((
                    tally.target.clone(),
                    Thread {
                        latest: shown.get(&tally.newest)?.clone(),
                        count: tally.count,
                        own: tally.own || root.event.sender() == self.asker.user_id,
                    },
                ))
            })
            .collect())
    }

    async fn edits(
        &mut self,
        targets: &[&EventId],
    ) -> Result<Vec<(OwnedEventId, Box<RawValue>)>, Error> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let found = relations::edits(self.from, targets, self.upto).await?;
        let numbers: Vec<_> = found.values().copied().collect();
        let newest: Vec<StoredEvent> =
            events::by_numbers(self.from, &numbers).await?.into_values().collect();
        let newest = view::visible(self.from, self.asker, self.reach, newest).await?;
        let none = (HashMap::new(), &Known::default(), None);
        let form = self.form.whole();
        let shown = view::dress(self.ground, self.from, self.asker, &newest, form, none).await?;
        let shown: HashMap<_, _> =
            newest.iter().map(|it| it.event_no).zip(shown.into_iter().map(|it| it.json)).collect();
        Ok(found
            .into_iter()
            .filter_map(|(target, number)| Some((target, shown.get(&number)?.clone())))
            .collect())
    }
}

fn targets<'t>(tallies: &'t [Tally], rel_type: &str) -> impl Iterator<Item = &'t EventId> {
    tallies.iter().filter(move |it| it.rel_type == rel_type).map(|it| &*it.target)
}
