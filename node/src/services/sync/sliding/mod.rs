//! Sliding sync: news of a stretch of somebody's rooms, the liveliest first (proposal 4186).
//!
//! What a client has been told is kept for each of its connections, in memory: it costs nobody a
//! write, and a client whose connection is forgotten begins anew, as the proposal has it. What an
//! answer told counts only when its `pos` comes back, so that an answer that was lost is told again.

mod ahead;
mod answer;
mod asked;
mod connection;
mod extensions;
mod room;
mod rooms;
mod told;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use tokio::time::Instant;
use wayside_specs::limits;

pub(super) use self::connection::Connections;
pub use self::{answer::Answer, asked::Body};
use self::{
    answer::{ListPart, RoomPart},
    asked::{Required, Rule, TIMELINE},
    connection::{Delta, Known, Sent},
    extensions::Shown,
    rooms::{Candidate, Facts},
};
use super::{
    super::{
        Error,
        live::Presence,
        rooms::{Asker, Membership},
    },
    Asked, Sync,
    ahead::ROOMS,
    build::Building,
    token::Token,
};
use crate::store::deletions;

/// What a client asks for.
pub struct Sliding {
    /// The answer before this one; without it the client begins.
    pub pos: Option<String>,
    /// How long to wait for news.
    pub wait: Duration,
    /// How the client is present while it asks.
    pub presence: Option<Presence>,
    /// The rest of it.
    pub body: Body,
    /// The text of the body, which tells whether the client still asks for the same.
    pub text: String,
}

/// What is wanted of a room, by all rules together that it falls under.
#[derive(Default)]
struct Wanted {
    limit: u32,
    required: Required,
    lists: Vec<String>,
    /// Whether it is wanted by its id too.
    by_id: bool,
}

/// One answer while it is built.
struct Round<'r> {
    building: Building<'r>,
    body: &'r Body,
    /// Up to where the device has its messages.
    shown: Option<Shown>,
    known: &'r Known,
    /// Whether the client begins.
    begins: bool,
    facts: Facts,
    delta: Delta,
}

impl Sync {
    /// Answers as soon as there is something to tell, or when the wait is over.
    pub async fn slide(&self, asker: &Asker, asked: &Sliding) -> Result<Answer, Error> {
        asked.body.check().map_err(Error::Invalid)?;
        if let Some(presence) = asked.presence {
            let now_ms = self.ground.clock.now_ms();
            self.live.set_presence(&asker.user_id, presence, None, now_ms);
        }
        let wish = asked.body.extensions.to_device.as_ref();
        let shown = wish.map(|wish| self.shown(asker, wish)).transpose()?.flatten();
        // Nothing is forgotten before the whole request has been found to be right.
        let mut to_forget = shown;
        let mut hasher = DefaultHasher::new();
        asked.text.hash(&mut hasher);
        let digest = hasher.finish();
        let conn_id = asked.body.conn_id.as_deref().unwrap_or_default();
        let connection = match &asked.pos {
            None => self.connections.begin(asker, conn_id),
            Some(_) => self.connections.find(asker, conn_id).ok_or(Error::UnknownPos)?,
        };
        let wait = asked.wait.min(Duration::from_millis(limits::SYNC_WAIT_MS));
        let until = Instant::from_std(self.ground.clock.instant() + wait);
        let bell = self.live.bell(&asker.user_id);
        loop {
            // Listening begins before looking, so that what comes in between is not missed.
            let rung = bell.rung();
            tokio::pin!(rung);
            rung.as_mut().enable();
            {
                let mut connection = connection.lock().await;
                connection.shown(asked.pos.as_deref())?;
                // Boxed, so that whoever waits holds no room for the work of looking.
                let round = self.round(asker, &asked.body, shown, &connection.known, digest);
                let (mut answer, delta) = Box::pin(round).await?;
                if let Some(shown) = to_forget.take() {
                    self.forget_shown(asker, shown);
                }
                let over = Instant::from_std(self.ground.clock.instant()) >= until
                    || self.ground.stop.is_cancelled();
                if asked.pos.is_none() || !answer.is_empty() || over {
                    answer.pos = connection.promise(self.ground.clock, delta);
                    return Ok(answer);
                }
            }
            Box::pin(self.still_in(asker)).await?;
            self.rings_before(rung.as_mut(), until).await;
        }
    }

    async fn round(
        &self,
        asker: &Asker,
        body: &Body,
        shown: Option<Shown>,
        known: &Known,
        digest: u64,
    ) -> Result<(Answer, Delta), Error> {
        let asked = Asked::default();
        // The count is read before the store: what comes in between is told twice rather than never.
        let serial = self.live.serial();
        let begins = known.position == 0;
        let token = Token {
            position: known.position,
            serial: known.serial,
            boot: self.live.boot(),
            typing: false,
            rest: None,
            letters: None,
        };
        let building = self.building(asker, &asked, (!begins).then_some(token)).await?;
        let withheld = known.withheld.clone();
        let delta = Delta { position: building.now, serial, digest, withheld, ..Delta::default() };
        let facts = Facts::default();
        let mut round = Round { building, body, shown, known, begins, facts, delta };
        round.check_shown()?;
        let mut answer = Answer::default();
        round.fill(&mut answer, digest == known.digest).await?;
        Ok((answer, round.delta))
    }
}

impl Round<'_> {
    async fn fill(&mut self, answer: &mut Answer, same: bool) -> Result<(), Error> {
        // What is wanted of some rooms only needs to be known which these are.
        let wanted = if same && self.is_quiet() && !self.body.extensions.is_scoped() {
            answer.lists.clone_from(&self.known.lists);
            BTreeMap::new()
        } else {
            let candidates = self.candidates().await?;
            let wanted = self.windows(&candidates, answer).await?;
            self.rooms(answer, &candidates, &wanted).await?;
            wanted
        };
        self.delta.lists.clone_from(&answer.lists);
        self.extensions(answer, &wanted).await
    }

    /// Whether nothing happened that could concern any room of the person.
    fn is_quiet(&self) -> bool {
        self.building.changed.as_ref().is_some_and(|changed| {
            changed.rooms.is_empty() && changed.receipts.is_empty() && !changed.own
        })
    }

    /// Which rooms the lists and subscriptions of the request take in, and what is wanted of each.
    async fn windows(
        &mut self,
        candidates: &[Candidate],
        answer: &mut Answer,
    ) -> Result<BTreeMap<i64, Wanted>, Error> {
        let me = self.building.asker.user_id.clone();
        let mut wanted: BTreeMap<i64, Wanted> = BTreeMap::new();
        for (name, list) in &self.body.lists {
            let rule = Rule::of(&list.room.required_state, me.as_str());
            let matching = self.matching(candidates, list.filters.as_ref()).await?;
            for (first, last) in list.stretches() {
                let (first, last) = (first as usize, last as usize);
                let stretch = matching.iter().skip(first).take(last - first + 1);
                for candidate in stretch {
                    let of_room = wanted.entry(candidate.room.room_no).or_default();
                    of_room.add(list.room.timeline_limit, &rule);
                    of_room.lists.push(name.clone());
                }
            }
            answer.lists.insert(name.clone(), ListPart { count: matching.len() });
        }
        let by_id: HashMap<_, i64> =
            candidates.iter().map(|it| (&it.room.room_id, it.room.room_no)).collect();
        for (room_id, wish) in &self.body.room_subscriptions {
            let Some(room_no) = by_id.get(room_id) else { continue };
            let rule = Rule::of(&wish.required_state, me.as_str());
            let of_room = wanted.entry(*room_no).or_default();
            of_room.add(wish.timeline_limit, &rule);
            of_room.by_id = true;
        }
        Ok(wanted)
    }

    /// Tells of the rooms of which there is something to tell.
    async fn rooms(
        &mut self,
        answer: &mut Answer,
        candidates: &[Candidate],
        wanted: &BTreeMap<i64, Wanted>,
    ) -> Result<(), Error> {
        let direct = self.direct().await?;
        let told: Vec<(&Candidate, &Wanted)> = candidates
            .iter()
            .filter_map(|it| Some((it, wanted.get(&it.room.room_no)?)))
            .filter(|(candidate, wanted)| {
                self.has_news(candidate, wanted, &direct) || self.may_count_anew(candidate)
            })
            .collect();
        let members: Vec<_> = told.iter().map(|(candidate, _)| candidate.member.clone()).collect();
        self.building.load_unread(&members).await?;
        let mut bytes = 0;
        for (at, (candidate, wanted)) in told.iter().copied().enumerate() {
            // What finds no room now is told with the next request, which finds it untold.
            if bytes >= limits::SYNC_BYTES {
                answer.more = true;
                self.count_later(candidate);
                continue;
            }
            if at % ROOMS == 0 {
                let next = &told[at..told.len().min(at + ROOMS)];
                Box::pin(self.look_ahead(next)).await?;
            }
            let before = self.known.rooms.get(&candidate.room.room_no);
            if !self.has_news(candidate, wanted, &direct) && !self.counts_anew(candidate) {
                self.counted(candidate);
                continue;
            }
            let Some((part, sent)) = self.room(candidate, wanted, before).await? else { continue };
            bytes += part.bytes();
            self.delta.rooms.push((candidate.room.room_no, sent));
            answer.rooms.insert(candidate.room.room_id.clone(), part);
        }
        for candidate in candidates.iter().filter(|it| !wanted.contains_key(&it.room.room_no)) {
            self.count_later(candidate);
        }
        self.gone(answer).await
    }

    /// Tells of rooms that were deleted since, in which the client believes the person to be.
    async fn gone(&mut self, answer: &mut Answer) -> Result<(), Error> {
        if self.begins || !self.building.may_have_lost_rooms() {
            return Ok(());
        }
        let own = &self.building.asker.user_id;
        let snapshot = &mut self.building.snapshot;
        for gone in deletions::gone_after(snapshot, own, self.known.position).await? {
            let Some(sent) = self.known.rooms.get(&gone.room_no) else { continue };
            if sent.upto < gone.position {
                let sent = Sent { inside: false, upto: gone.position, ..sent.clone() };
                self.delta.rooms.push((gone.room_no, sent));
                let part = RoomPart {
                    membership: Membership::Leave.as_str(),
                    bump_stamp: Some(gone.position),
                    timeline: gone.event.into_iter().collect(),
                    ..RoomPart::default()
                };
                answer.rooms.insert(gone.room_id, part);
            }
        }
        Ok(())
    }

    fn has_news(&self, candidate: &Candidate, wanted: &Wanted, direct: &HashSet<String>) -> bool {
        let room = &candidate.room;
        let Some(sent) = self.known.rooms.get(&room.room_no) else { return true };
        let gone = matches!(candidate.member.membership, Membership::Leave | Membership::Ban);
        let turned = !gone && sent.direct != direct.contains(room.room_id.as_str());
        // Of a room that somebody looks at from outside they were told all there is.
        let short = sent.inside && sent.falls_short_of(wanted);
        candidate.newest() > sent.upto || short || turned
    }

    /// Whether somebody may have read what was unread, as far as can be said without looking.
    fn may_count_anew(&self, candidate: &Candidate) -> bool {
        let room_no = candidate.room.room_no;
        let Some(sent) = self.known.rooms.get(&room_no) else { return false };
        let moved = self.building.changed.as_ref().is_none_or(|it| it.receipts.contains(&room_no));
        candidate.is_inside() && sent.inside && (sent.recount || moved)
    }

    /// Whether what is unread is another count than the client was told.
    fn counts_anew(&self, candidate: &Candidate) -> bool {
        let room_no = candidate.room.room_no;
        let sent = self.known.rooms.get(&room_no);
        sent.is_some_and(|sent| sent.unread != self.building.unread_beside_threads(room_no))
    }

    /// Remembers that the client knows the count of a room.
    fn counted(&mut self, candidate: &Candidate) {
        let room_no = candidate.room.room_no;
        if let Some(sent) = self.known.rooms.get(&room_no).filter(|sent| sent.recount) {
            self.delta.rooms.push((room_no, Sent { recount: false, ..sent.clone() }));
        }
    }

    /// Remembers of a room that is not told now that its count may be another.
    fn count_later(&mut self, candidate: &Candidate) {
        let room_no = candidate.room.room_no;
        let sent = self.known.rooms.get(&room_no).filter(|sent| !sent.recount);
        if let Some(sent) = sent
            && self.may_count_anew(candidate)
        {
            self.delta.rooms.push((room_no, Sent { recount: true, ..sent.clone() }));
        }
    }
}

impl Wanted {
    fn add(&mut self, limit: u32, rule: &Rule) {
        self.limit = self.limit.max(limit.min(TIMELINE));
        self.required.add(rule);
    }
}

impl Sent {
    /// Whether more is wanted of a room than was told.
    fn falls_short_of(&self, wanted: &Wanted) -> bool {
        wanted.limit > self.limit || self.state.falls_short_of(&wanted.required, self.upto)
    }
}
