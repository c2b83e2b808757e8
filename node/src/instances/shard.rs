//! One thread of instances: takes commands, lets ticks pass on time, hands out frames.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::Ordering,
        mpsc::{Receiver, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId, UserId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use wayside_identity::blocks::Blocks;
use wayside_world::{
    instance::{Instance, Slot, To},
    realtime::{Bye, FromClient, Pose, TICK_HZ, Visitor, is_snapshot},
    scene::{Place, Scene},
};

use super::{
    Changed, Closed, Crowd, MAILBOX, Meeting, Meter, Shard, Stood, Worn,
    visit::{Batch, Ending},
};
use crate::clock::Clock;

/// Between two ticks.
const PERIOD: Duration = Duration::from_nanos(1_000_000_000 / TICK_HZ as u64);
/// A shard that is later than this leaves ticks out instead of hurrying after them.
const TOO_LATE: Duration = Duration::from_millis(250);
/// An instance without people ends after so many ticks: a minute.
const EMPTY_TICKS: u32 = 60 * TICK_HZ as u32;
/// Where people stand is remembered every ten seconds, for the case that the node is killed.
const REMEMBER_TICKS: u32 = 10 * TICK_HZ as u32;
/// A connection that takes nothing for so many ticks is too slow: ten seconds.
const SLOW_TICKS: u32 = 10 * TICK_HZ as u32;
/// Ticks between two times that a client says whom its person blocks: half a second.
const BLOCK_TICKS: u32 = TICK_HZ as u32 / 2;
/// Most bytes of frames that wait for a connection, those included that it was handed and has not
/// taken.
const BACKLOG_BYTES: usize = 2 * 1024 * 1024;
/// Bytes that a frame costs beside its own.
const FRAME_COST: usize = 64;

/// A visit: its place in the instance, and which of those that had that place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) slot: Slot,
    pub(super) nth: u64,
}

/// What a shard is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Open an instance.
    Open { instance: usize, world: World, crowd: Arc<Crowd> },
    /// Let somebody in.
    Enter { instance: usize, entering: Box<Entering> },
    /// A client said something.
    Frame { instance: usize, visit: Number, frame: FromClient },
    /// Show an event of the room.
    Show { instance: usize, sender: OwnedUserId, event: String },
    /// Whom somebody blocks changed.
    Block { instance: usize, user_id: OwnedUserId, blocks: Arc<Blocks> },
    /// End somebody's visit.
    Remove { instance: usize, user_id: OwnedUserId, why: Bye },
    /// Somebody's name or body changed.
    Change { instance: usize, user_id: OwnedUserId, changed: Changed },
    /// The body of one visit came late.
    Dress { instance: usize, visit: Number, changed: Changed },
    /// Of somebody's devices only these are still signed in.
    SignOut { instance: usize, user_id: OwnedUserId, staying: Arc<[OwnedDeviceId]> },
    /// Look whether it is time to end.
    Look,
}

/// Of what an instance is a copy.
#[derive(Clone, Debug)]
pub struct World {
    /// Its room.
    pub room_id: OwnedRoomId,
    /// What it shows.
    pub scene: Arc<Scene>,
    /// How many fit in.
    pub capacity: u16,
    /// Where people arrive, where it says so itself.
    pub spawn: Option<Place>,
    /// Whether it is for violence and sexual acts as well.
    pub mature: bool,
}

/// Somebody who wants to come in.
#[derive(Clone, Debug)]
pub struct Coming {
    /// Who.
    pub user_id: OwnedUserId,
    /// With which of their devices.
    pub device_id: OwnedDeviceId,
    /// What the others are told of them.
    pub who: Visitor,
    /// Whom they meet.
    pub meeting: Meeting,
    /// As in [`Worn`].
    pub unfit: Option<&'static str>,
    /// Why their own body is not shown, if it is not.
    pub unworn: Option<&'static str>,
    /// Where they stood when they were there last.
    pub at: Option<Pose>,
}

/// Somebody who comes in.
#[derive(Debug)]
pub(super) struct Entering {
    pub(super) coming: Coming,
    pub(super) spawn: Option<Place>,
    pub(super) frames: mpsc::Sender<Batch>,
    pub(super) ending: Ending,
    pub(super) entered: oneshot::Sender<Result<Number, Closed>>,
}

/// Starts a shard's thread.
pub(super) fn start(
    number: usize,
    clock: Clock,
    meter: Arc<Meter>,
    stood: mpsc::Sender<Stood>,
) -> io::Result<Shard> {
    let (mailbox, commands) = sync_channel(MAILBOX);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let running = Running { clock, meter, stood, halls: BTreeMap::new() };
    let run = move || running.run(&commands, &stopped);
    let thread = thread::Builder::new().name(format!("shard-{number}")).spawn(run)?;
    Ok(Shard { mailbox, stop, thread: Mutex::new(Some(thread)) })
}

/// The instances of one thread.
struct Running {
    clock: Clock,
    meter: Arc<Meter>,
    stood: mpsc::Sender<Stood>,
    halls: BTreeMap<usize, Hall>,
}

impl Running {
    /// Ticks until it is told to stop; then tells everybody that the node ends. Without an instance no
    /// time has to pass: it sleeps until somebody opens one.
    fn run(mut self, commands: &Receiver<Command>, stop: &CancellationToken) {
        let mut due = self.clock.instant() + PERIOD;
        while !stop.is_cancelled() {
            if self.halls.is_empty() {
                let Ok(command) = commands.recv() else { break };
                self.obey(command);
                due = self.clock.instant() + PERIOD;
                continue;
            }
            let begun = self.wait_until(due);
            // 1. What has come.
            while let Ok(command) = commands.try_recv() {
                self.obey(command);
            }
            // 2. Time passes; an instance that breaks off takes nobody else with it.
            self.each(Hall::tick);
            let ended = self.clock.instant();
            self.meter.ticked(begun.saturating_duration_since(due), ended.duration_since(begun));
            due += PERIOD;
            if ended.saturating_duration_since(due) > TOO_LATE {
                due = ended + PERIOD;
            }
        }
        self.each(|hall| {
            hall.end(Bye::Ending);
            false
        });
    }

    fn wait_until(&self, due: Instant) -> Instant {
        loop {
            let now = self.clock.instant();
            match due.checked_duration_since(now) {
                Some(left) if !left.is_zero() => thread::sleep(left),
                _ => return now,
            }
        }
    }

    /// Does something with every instance; those are gone where it says `false`, or breaks off.
    fn each(&mut self, work: impl Fn(&mut Hall) -> bool) {
        let meter = &self.meter;
        self.halls.retain(|number, hall| {
            let stays = catch_unwind(AssertUnwindSafe(|| work(hall)));
            if stays.is_err() {
                tracing::error!(number, "an instance broke off; those in it come again");
                hall.end(Bye::Broken);
            }
            let stays = stays.unwrap_or(false);
            if !stays {
                hall.crowd.end();
                meter.instances.fetch_sub(1, Ordering::Relaxed);
            }
            stays
        });
    }

    fn obey(&mut self, command: Command) {
        let number = match &command {
            Command::Open { instance, .. }
            | Command::Enter { instance, .. }
            | Command::Frame { instance, .. }
            | Command::Show { instance, .. }
            | Command::Block { instance, .. }
            | Command::Remove { instance, .. }
            | Command::Change { instance, .. }
            | Command::Dress { instance, .. }
            | Command::SignOut { instance, .. } => *instance,
            Command::Look => return,
        };
        if let Command::Open { world, crowd, .. } = command {
            self.meter.instances.fetch_add(1, Ordering::Relaxed);
            let hall = Hall::new(world, crowd, self.meter.clone(), self.stood.clone());
            self.halls.insert(number, hall);
            return;
        }
        // Of one that is gone: who comes in learns it by the answer that is dropped.
        let Some(hall) = self.halls.get_mut(&number) else { return };
        if catch_unwind(AssertUnwindSafe(|| hall.obey(command))).is_err() {
            tracing::error!(number, "an instance broke off; those in it come again");
            hall.end(Bye::Broken);
            hall.crowd.end();
            self.meter.instances.fetch_sub(1, Ordering::Relaxed);
            self.halls.remove(&number);
        }
    }
}

/// An instance with the connections of those in it.
struct Hall {
    room_id: OwnedRoomId,
    mature: bool,
    instance: Instance,
    lines: Vec<Option<Line>>,
    crowd: Arc<Crowd>,
    meter: Arc<Meter>,
    stood: mpsc::Sender<Stood>,
    visits: u64,
    empty_ticks: u32,
}

/// The way to one visit.
struct Line {
    number: Number,
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    meeting: Meeting,
    /// When its client said whom its person blocks, the last time.
    blocked_at: Option<u32>,
    frames: mpsc::Sender<Batch>,
    ending: Ending,
    /// The frames of this tick, and those of earlier ones that must arrive and were not taken yet.
    waiting: Batch,
    waiting_bytes: usize,
    /// Ticks since the connection took frames, while some wait.
    stuck_ticks: u32,
    /// Bytes of each batch that was handed over and may not be taken yet, and of all of them.
    handed: VecDeque<usize>,
    handed_bytes: usize,
}

impl Hall {
    fn new(world: World, crowd: Arc<Crowd>, meter: Arc<Meter>, stood: mpsc::Sender<Stood>) -> Self {
        let World { room_id, scene, capacity, mature, .. } = world;
        let instance = Instance::new(scene, capacity);
        Self {
            room_id,
            mature,
            instance,
            lines: Vec::new(),
            crowd,
            meter,
            stood,
            visits: 0,
            empty_ticks: 0,
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Open { .. } | Command::Look => {}
            Command::Enter { entering, .. } => self.enter(*entering),
            Command::Frame { visit, frame, .. } => {
                // Of a visit whose place somebody else has by now, nothing is believed.
                let Some(line) = self.line(visit.slot).filter(|line| line.number == visit) else {
                    return;
                };
                if let FromClient::Blocks { salt, hashes } = &frame {
                    if line.meeting.keeps_own {
                        let blocks = Blocks::from_parts(*salt, hashes.iter().copied());
                        self.block_anew(visit.slot, blocks);
                    }
                } else if let Err(why) = self.instance.take(visit.slot, &frame) {
                    self.leave(visit.slot, why);
                }
            }
            Command::Show { sender, event, .. } => self.show(&sender, event),
            Command::Block { user_id, blocks, .. } => {
                if let Some(slot) = self.slot_of(&user_id) {
                    self.block(slot, blocks);
                }
            }
            Command::Remove { user_id, why, .. } => {
                if let Some(slot) = self.slot_of(&user_id) {
                    self.leave(slot, why);
                }
            }
            Command::SignOut { user_id, staying, .. } => {
                if let Some(slot) = self.slot_of(&user_id)
                    && self.line(slot).is_some_and(|line| !staying.contains(&line.device_id))
                {
                    self.leave(slot, Bye::SignedOut);
                }
            }
            Command::Change { user_id, changed, .. } => {
                if let Some(slot) = self.slot_of(&user_id) {
                    self.change(slot, user_id, changed);
                }
            }
            Command::Dress { visit, changed, .. } => {
                let line = self.line(visit.slot).filter(|line| line.number == visit);
                if let Some(user_id) = line.map(|line| line.user_id.clone()) {
                    self.change(visit.slot, user_id, changed);
                }
            }
        }
        self.hand_out();
    }

    /// Shows an event to those who do not block its sender.
    fn show(&mut self, sender: &UserId, event: String) {
        // Somebody who is here is known by all their names.
        let here = self.slot_of(sender).and_then(|slot| self.line(slot));
        let names = here.map_or_else(|| vec![sender.to_string()], |it| it.meeting.names.clone());
        let deaf = self.with_lines().filter(|(_, line)| line.meeting.blocks_any(&names));
        let deaf: Vec<Slot> = deaf.map(|(slot, _)| slot).collect();
        self.instance.show_but(event, &deaf);
    }

    /// The same as a client says it, which may not have others come and go as often as it likes.
    fn block_anew(&mut self, slot: Slot, blocks: Blocks) {
        let now = self.instance.now();
        let Some(Some(line)) = self.lines.get_mut(usize::from(slot)) else { return };
        if line.blocked_at.is_some_and(|at| now.wrapping_sub(at) < BLOCK_TICKS) {
            self.leave(slot, Bye::Flood);
            return;
        }
        line.blocked_at = Some(now);
        self.block(slot, Arc::new(blocks));
    }

    /// From now on somebody blocks these, and nobody else.
    fn block(&mut self, slot: Slot, blocks: Arc<Blocks>) {
        let Some(Some(line)) = self.lines.get_mut(usize::from(slot)) else { return };
        line.meeting.blocks = blocks;
        let meeting = line.meeting.clone();
        let others = self.with_lines().filter(|(other, _)| *other != slot);
        let others: Vec<_> =
            others.map(|(other, line)| (other, meeting.parts(&line.meeting))).collect();
        for (other, parted) in others {
            if parted {
                self.instance.part(slot, other);
            } else {
                self.instance.meet(slot, other);
            }
        }
    }

    fn with_lines(&self) -> impl Iterator<Item = (Slot, &Line)> {
        (0..).zip(&self.lines).filter_map(|(slot, line)| Some((slot, line.as_ref()?)))
    }

    fn change(&mut self, slot: Slot, user_id: OwnedUserId, changed: Changed) {
        match changed {
            Changed::Name(name) => {
                self.crowd.put(user_id, name.clone());
                self.instance.change(slot, |who| who.name = name);
            }
            Changed::Avatar(Worn { avatar, unfit }) => match unfit.filter(|_| self.mature) {
                None => self.instance.change(slot, |who| who.avatar = avatar),
                Some(why) => {
                    self.instance.change(slot, |who| who.avatar.clone_from(&who.fallback));
                    self.instance.notice(slot, why);
                }
            },
            Changed::Unworn(why) => self.instance.notice(slot, why),
            Changed::Kept => self.instance.change(slot, |who| who.guest = false),
            Changed::Badges(badges) => self.instance.change(slot, |who| who.badges = badges),
        }
    }

    fn enter(&mut self, entering: Entering) {
        let Entering { coming, spawn, frames, ending, entered } = entering;
        let Coming { user_id, device_id, mut who, meeting, unfit, unworn, mut at } = coming;
        if entered.is_closed() {
            return;
        }
        // One person is here once: a second visit takes the place of the first, where that stood.
        if let Some(slot) = self.slot_of(&user_id) {
            at = self.leave(slot, Bye::Replaced).or(at);
        }
        let unfit = unfit.filter(|_| self.mature);
        if unfit.is_some() {
            who.avatar.clone_from(&who.fallback);
        }
        let name = who.name.clone();
        self.instance.arrive_at(spawn);
        let parted = self.with_lines().filter(|(_, line)| meeting.parts(&line.meeting));
        let parted: Vec<Slot> = parted.map(|(slot, _)| slot).collect();
        let slot = match self.instance.enter(who, at, &parted) {
            Ok(slot) => slot,
            Err(_full) => {
                let _gone = entered.send(Err(Closed::Full));
                return;
            }
        };
        self.visits += 1;
        let number = Number { slot, nth: self.visits };
        let line = Line {
            number,
            user_id: user_id.clone(),
            device_id,
            meeting,
            blocked_at: None,
            frames,
            ending,
            waiting: Batch::new(),
            waiting_bytes: 0,
            stuck_ticks: 0,
            handed: VecDeque::new(),
            handed_bytes: 0,
        };
        let index = usize::from(slot);
        if index >= self.lines.len() {
            self.lines.resize_with(index + 1, || None);
        }
        self.lines[index] = Some(line);
        if let Some(why) = unfit.or(unworn) {
            self.instance.notice(slot, why);
        }
        self.crowd.put(user_id, name);
        self.meter.people.fetch_add(1, Ordering::Relaxed);
        if entered.send(Ok(number)).is_err() {
            self.leave(slot, Bye::Gone);
        }
    }

    fn leave(&mut self, slot: Slot, why: Bye) -> Option<Pose> {
        let line = self.lines.get_mut(usize::from(slot))?.take()?;
        line.ending.end(why);
        self.crowd.remove(&line.user_id);
        self.meter.people.fetch_sub(1, Ordering::Relaxed);
        let pose = self.instance.leave(slot)?;
        self.remember(line.user_id, pose);
        Some(pose)
    }

    fn remember(&self, user_id: OwnedUserId, pose: Pose) {
        let stood = Stood { room_id: self.room_id.clone(), user_id, pose };
        // Where the store is too slow for so many, somebody comes in where everybody does.
        let _full = self.stood.try_send(stood);
    }

    /// Lets a tick pass; whether the instance goes on.
    fn tick(&mut self) -> bool {
        if self.lines.iter().all(Option::is_none) {
            self.empty_ticks += 1;
            return self.empty_ticks < EMPTY_TICKS;
        }
        self.empty_ticks = 0;
        self.instance.tick();
        if self.instance.now().is_multiple_of(REMEMBER_TICKS) {
            for (slot, line) in (0..).zip(&self.lines) {
                if let (Some(line), Some(pose)) = (line, self.instance.pose(slot)) {
                    self.remember(line.user_id.clone(), pose);
                }
            }
        }
        self.hand_out();
        let mut slow = Vec::new();
        for (slot, line) in (0..).zip(&mut self.lines) {
            if let Some(line) = line
                && let Err(why) = line.flush(&self.meter)
            {
                slow.push((slot, why));
            }
        }
        for (slot, why) in slow {
            self.leave(slot, why);
        }
        true
    }

    /// Sorts what the instance wants to say by whom it is for, and leaves out what is kept from them.
    fn hand_out(&mut self) {
        for out in self.instance.drain() {
            let put = |slot: Slot, line: &mut Option<Line>| {
                if let Some(line) = line
                    && let Some(frame) = out.frame_for(slot)
                {
                    line.put(frame, out.reliable);
                }
            };
            match out.to {
                To::One(slot) => {
                    if let Some(line) = self.lines.get_mut(usize::from(slot)) {
                        put(slot, line);
                    }
                }
                To::All | To::AllBut(_) => {
                    (0..).zip(&mut self.lines).for_each(|(slot, line)| put(slot, line));
                }
            }
        }
    }

    fn end(&mut self, why: Bye) {
        for (slot, line) in (0..).zip(std::mem::take(&mut self.lines)) {
            let Some(line) = line else { continue };
            line.ending.end(why);
            self.meter.people.fetch_sub(1, Ordering::Relaxed);
            if let Some(pose) = self.instance.pose(slot) {
                self.remember(line.user_id, pose);
            }
        }
    }

    fn line(&self, slot: Slot) -> Option<&Line> {
        self.lines.get(usize::from(slot))?.as_ref()
    }

    fn slot_of(&self, user_id: &UserId) -> Option<Slot> {
        let is_theirs = |line: &Option<Line>| line.as_ref().is_some_and(|it| it.user_id == user_id);
        self.lines.iter().position(is_theirs).and_then(|slot| Slot::try_from(slot).ok())
    }
}

impl Line {
    fn put(&mut self, frame: Bytes, reliable: bool) {
        // Behind frames that wait, one that may be lost would be old when it came.
        if reliable || self.stuck_ticks == 0 {
            self.waiting_bytes += frame.len() + FRAME_COST;
            self.waiting.push(frame);
        }
    }

    /// Hands the frames of this tick over; `Err` where the connection takes them too slowly.
    fn flush(&mut self, meter: &Meter) -> Result<(), Bye> {
        let untaken = self.frames.max_capacity() - self.frames.capacity();
        while self.handed.len() > untaken {
            self.handed_bytes -= self.handed.pop_front().unwrap_or(0);
        }
        if self.waiting.is_empty() {
            return if self.frames.is_closed() { Err(Bye::Gone) } else { Ok(()) };
        }
        if self.handed_bytes > 0 && self.handed_bytes + self.waiting_bytes > BACKLOG_BYTES {
            return Err(Bye::Slow);
        }
        match self.frames.try_send(std::mem::take(&mut self.waiting)) {
            Ok(()) => {
                meter.bytes.fetch_add(self.waiting_bytes as u64, Ordering::Relaxed);
                self.handed.push_back(self.waiting_bytes);
                self.handed_bytes += self.waiting_bytes;
                (self.waiting_bytes, self.stuck_ticks) = (0, 0);
                Ok(())
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Bye::Gone),
            Err(mpsc::error::TrySendError::Full(mut batch)) => {
                let before = batch.len();
                batch.retain(|frame| !is_snapshot(frame));
                meter.dropped.fetch_add((before - batch.len()) as u64, Ordering::Relaxed);
                self.waiting_bytes = batch.iter().map(|frame| frame.len() + FRAME_COST).sum();
                self.waiting = batch;
                self.stuck_ticks += 1;
                if self.stuck_ticks > SLOW_TICKS { Err(Bye::Slow) } else { Ok(()) }
            }
        }
    }
}
