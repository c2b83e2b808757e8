//! The work on a transaction: its events one after the other, each after what it names.

use std::collections::{BTreeSet, HashMap, VecDeque};

use ruma::OwnedEventId;
use wayside_federation::{
    event::Event,
    room::{Missing, Outcome},
    state::NodeId,
};

use crate::{
    node::Node,
    plant::Plant,
    stage::{Ask, Message, Reply, Stage, Timer, short},
};

/// Questions for events that are missing, for one event of a transaction.
const SEARCHES: u32 = 8;
/// Questions in all; those after the searches are for a state.
const QUESTIONS: u32 = 20;
/// Answers of the sender that help nobody, after which its event is dropped.
const USELESS: u32 = 3;

pub(crate) struct Job {
    from: usize,
    /// The id of the transaction; none where the node fills gaps of its own accord.
    id: Option<String>,
    /// Gaps to be filled.
    wanted: Vec<OwnedEventId>,
    items: VecDeque<(String, Option<Event>)>,
    edus: Vec<String>,
    /// The text that is worked on.
    text: Option<String>,
    /// Its event, and above it those that must come before.
    stack: Vec<Event>,
    /// What was fetched and is not yet placed.
    pool: HashMap<OwnedEventId, Event>,
    /// States before events that were told, and believed.
    given: HashMap<OwnedEventId, NodeId>,
    /// What was told of the state before an event, and by whom.
    words: HashMap<OwnedEventId, Vec<(usize, BTreeSet<OwnedEventId>)>>,
    questions: u32,
    useless: u32,
    /// The question that is open, and whom it was put to.
    asked: Option<(u64, usize)>,
}

impl Node {
    /// A transaction arrives.
    pub(crate) fn take(
        &mut self,
        stage: &mut Stage,
        from: usize,
        id: String,
        pdus: Vec<String>,
        edus: Vec<String>,
    ) {
        // Who is not in the room answers nothing: it may be on its way in.
        if self.is_tired() {
            stage.send(self.at, from, Message::Answer { id });
            return;
        }
        let Some(memory) = &self.kept.memory else { return };
        if self.kept.answered.contains(&(from, id.clone())) {
            stage.send(self.at, from, Message::Answer { id });
            return;
        }
        if self.lost.jobs.values().any(|job| job.from == from) {
            return;
        }
        stage.note(|| format!("n{} hears of {} events from n{from}", self.at, pdus.len()));
        let room = memory.room.id.clone();
        let mut read = |text: String| {
            let event = stage.receive(&text).filter(|event| event.room_id() == room);
            (text, event)
        };
        let items = pdus.into_iter().map(&mut read).collect();
        self.begin(stage, Job { items, edus, ..Job::new(from, Some(id)) });
    }

    fn begin(&mut self, stage: &mut Stage, job: Job) {
        let number = self.next_number();
        self.lost.jobs.insert(number, job);
        self.wake(stage, 1, Timer::Step { job: number });
    }

    /// Looks for what lies in the gaps before which a state was believed.
    pub(crate) fn fill_gaps(&mut self, stage: &mut Stage) {
        let is_at_it = self.lost.jobs.values().any(|job| job.id.is_none());
        if !self.kept.gaps.is_empty() && !is_at_it {
            let wanted = self.kept.gaps.iter().cloned().collect();
            self.begin(stage, Job { wanted, ..Job::new(self.at, None) });
        }
    }

    /// Goes on with some work until an event is stored, so that a crash may come after each.
    pub(crate) fn step(&mut self, stage: &mut Stage, number: u64) {
        let Some(mut job) = self.lost.jobs.remove(&number) else { return };
        loop {
            let Some(top) = job.stack.last().cloned() else {
                if let Some(text) = job.text.take() {
                    self.hand(job.from, text);
                }
                if let Some((text, event)) = job.items.pop_front() {
                    job.text = Some(text);
                    job.stack.extend(event);
                    (job.questions, job.useless) = (0, 0);
                } else if let Some(gap) = job.wanted.pop() {
                    if !self.descend(stage, &mut job, gap) {
                        self.lost.jobs.insert(number, job);
                        return;
                    }
                } else {
                    return self.finish(stage, job);
                }
                continue;
            };
            match self.decide(&top, &job.given) {
                Err(why) => {
                    stage.note(|| format!("n{} drops {}: {why}", self.at, short(top.id())));
                    job.drop_all();
                }
                Ok(Outcome::Known) => job.done(&top),
                Ok(Outcome::Placed(placed)) => {
                    job.done(&top);
                    self.store(stage, &top, *placed);
                    self.lost.jobs.insert(number, job);
                    return self.wake(stage, 1, Timer::Step { job: number });
                }
                Ok(Outcome::Missing(missing)) => {
                    if job.climb(&missing) {
                        continue;
                    }
                    if job.questions >= QUESTIONS {
                        if job.useless < USELESS {
                            // Nobody was to be reached: the sender will come again.
                            return;
                        }
                        stage.note(|| format!("n{} gives up {}", self.at, short(top.id())));
                        job.drop_all();
                        continue;
                    }
                    self.search(stage, &mut job, Some(&top), missing);
                    self.lost.jobs.insert(number, job);
                    return;
                }
            }
        }
    }

    /// Goes to an event of a gap, or asks for it; whether the work can go on.
    fn descend(&mut self, stage: &mut Stage, job: &mut Job, gap: OwnedEventId) -> bool {
        let is_placed = self.memory().is_some_and(|memory| memory.after(&gap).is_some());
        if is_placed || job.questions >= QUESTIONS {
            if is_placed {
                self.kept.gaps.remove(&gap);
            }
            job.questions = 0;
            return true;
        }
        if let Some(event) = job.pool.get(&gap) {
            job.stack.push(event.clone());
            job.wanted.push(gap);
            return true;
        }
        job.wanted.push(gap.clone());
        let missing = Missing { auth: Vec::new(), prev: vec![gap] };
        self.search(stage, job, None, missing);
        false
    }

    /// Puts the next question about what is missing.
    fn search(&mut self, stage: &mut Stage, job: &mut Job, top: Option<&Event>, missing: Missing) {
        job.questions += 1;
        let others: Vec<usize> = (0..self.of).filter(|at| *at != self.at).collect();
        let by_sender = job.id.is_some() && !job.questions.is_multiple_of(3);
        let whom = if by_sender { job.from } else { *stage.pick(&others) };
        let told = top.filter(|_| job.questions > SEARCHES && missing.auth.is_empty());
        let ask = if let Some(top) = told {
            Ask::State { before: top.id().to_owned() }
        } else {
            let mut ids = [missing.prev, missing.auth].concat();
            ids.truncate(20);
            let limit = ids.len() + [0, 5, 15][stage.roll(3)];
            Ask::Events { ids, limit }
        };
        stage.note(|| format!("n{} asks n{whom} {ask:?}", self.at));
        job.asked = Some((self.ask(stage, whom, ask), whom));
    }

    /// A reply came, or none did in time.
    pub(crate) fn resume(&mut self, stage: &mut Stage, question: u64, reply: Option<Reply>) {
        let asked = |job: &Job| job.asked.is_some_and(|(number, _)| number == question);
        let Some((&number, job)) = self.lost.jobs.iter_mut().find(|(_, job)| asked(job)) else {
            return;
        };
        let Some((_, whom)) = job.asked.take() else { return };
        let Some(mut job) = self.lost.jobs.remove(&number) else { return };
        let helped = match reply {
            None => true,
            Some(Reply::Events(texts)) => self.pool(stage, &mut job, &texts),
            Some(Reply::State { state, chain }) => {
                self.believe(stage, &mut job, whom, &state, &chain)
            }
            Some(Reply::Template { .. } | Reply::Refused) => false,
        };
        if !helped && whom == job.from {
            job.useless += 1;
        }
        self.lost.jobs.insert(number, job);
        self.step(stage, number);
    }

    /// Keeps events that were fetched; whether any is new.
    fn pool(&self, stage: &mut Stage, job: &mut Job, texts: &[String]) -> bool {
        let Some(memory) = self.memory() else { return false };
        let mut helped = false;
        for text in texts {
            let Some(event) = stage.receive(text) else { continue };
            let is_placed = memory.after(event.id()).is_some();
            if event.room_id() == memory.room.id && !is_placed {
                helped |= job.pool.insert(event.id().to_owned(), event).is_none();
            }
        }
        helped
    }

    /// Takes a node's word for the state before an event: where somebody hostile may be, only if a
    /// second node says the same, for two honest nodes would otherwise believe different things.
    fn believe(
        &mut self,
        stage: &mut Stage,
        job: &mut Job,
        whom: usize,
        state: &[String],
        chain: &[String],
    ) -> bool {
        let (Some(memory), Some(top)) = (&mut self.kept.memory, job.stack.last()) else {
            return false;
        };
        let state: Vec<Event> = state.iter().filter_map(|text| stage.receive(text)).collect();
        let chain: Vec<Event> = chain.iter().filter_map(|text| stage.receive(text)).collect();
        let ids: BTreeSet<OwnedEventId> = state.iter().map(|it| it.id().to_owned()).collect();
        let words = job.words.entry(top.id().to_owned()).or_default();
        let confirmed = words.iter().any(|(by, word)| *by != whom && *word == ids);
        words.push((whom, ids.clone()));
        let suspects = stage.hostile.is_some() && self.plant != Some(Plant::BelievedAlone);
        if suspects && !confirmed {
            return true;
        }
        memory.take_outliers(&mut self.lost.shelf, &[chain, state].concat());
        let root = memory.state_of(&ids.into_iter().collect::<Vec<_>>());
        if let Some(root) = root {
            stage.note(|| format!("n{} believes the state before {}", self.at, short(top.id())));
            stage.counts.given += 1;
            job.given.insert(top.id().to_owned(), root);
            let gaps = top.prev_events().iter().filter(|id| memory.after(id).is_none());
            self.kept.gaps.extend(gaps.cloned());
        }
        root.is_some()
    }

    /// Remembers that a text of an origin's queue was worked on.
    fn hand(&mut self, from: usize, text: String) {
        let handed = self.kept.handed.entry(from).or_default();
        if !handed.contains(&text) {
            handed.push(text);
        }
    }

    /// The end of a transaction: all that is beside the room, and its answer, in one step.
    fn finish(&mut self, stage: &mut Stage, job: Job) {
        for edu in job.edus {
            if !self.kept.whispers.contains(&edu) {
                self.kept.whispers.push(edu.clone());
            }
            self.hand(job.from, edu);
        }
        if let Some(id) = job.id {
            self.kept.answered.insert((job.from, id.clone()));
            stage.send(self.at, job.from, Message::Answer { id });
            self.fill_gaps(stage);
        }
    }
}

impl Job {
    fn new(from: usize, id: Option<String>) -> Self {
        Self {
            from,
            id,
            wanted: Vec::new(),
            items: VecDeque::new(),
            edus: Vec::new(),
            text: None,
            stack: Vec::new(),
            pool: HashMap::new(),
            given: HashMap::new(),
            words: HashMap::new(),
            questions: 0,
            useless: 0,
            asked: None,
        }
    }

    /// Goes to one of the missing events that was fetched; whether there is one.
    fn climb(&mut self, missing: &Missing) -> bool {
        let fetched = missing.auth.iter().chain(&missing.prev).find_map(|id| self.pool.get(id));
        let next = fetched.filter(|event| !self.stack.contains(event)).cloned();
        let climbs = next.is_some();
        self.stack.extend(next);
        climbs
    }

    fn done(&mut self, event: &Event) {
        self.pool.remove(event.id());
        self.stack.pop();
    }

    fn drop_all(&mut self) {
        for event in self.stack.drain(..) {
            self.pool.remove(event.id());
        }
    }
}
