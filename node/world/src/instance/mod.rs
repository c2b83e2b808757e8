//! One running copy of a world: who is in it, where their bodies are, and what they are told.
//!
//! An instance is driven from outside: frames of clients go in ([`Instance::take`]), time passes by
//! [`Instance::tick`], and frames to clients come out ([`Instance::drain`]). It knows neither
//! connections nor the clock, so that a run can be repeated from what went in.
//!
//! Two of its people may be parted ([`Instance::part`]): neither is told anything of the other, as if they were
//! not there. Frames are made once for everybody; [`Out::frame_for`] gives what one slot gets of a frame.

mod body;
mod movement;
mod partings;

use std::sync::Arc;

use bytes::Bytes;

use self::{body::Body, partings::Partings};
use crate::{
    realtime::{
        Bye, DATAGRAM_BYTES, FromClient, FromNode, NO_SEAT, Pose, Refused, TICK_HZ, VERSION,
        Visitor, end_snapshot, snapshot, snapshot_without,
    },
    scene::{Place, Scene},
};

/// The place of somebody in an instance.
pub type Slot = u16;

/// A pose that changed is told for so many ticks, so that one lost snapshot hides nothing.
const TOLD_TICKS: u32 = 10;
/// And every pose once in so many.
const REFRESH_TICKS: u32 = 30;
/// Farthest that a seat may be from whoever sits down, in metres.
const REACH_M: f32 = 3.0;
/// How near each other two places to arrive at are one, in metres: what is written of a place is
/// rounded.
const SAME_M: f32 = 0.01;
/// The same of where they look: the cosine of the angle between, about a degree.
const SAME_COS: f32 = 0.999_8;
/// The highest number of an emote.
const EMOTES: u8 = 3;
/// Ticks between two emotes of one body.
const EMOTE_TICKS: u32 = 15;

/// To whom a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Everybody.
    All,
    /// Everybody but one.
    AllBut(Slot),
    /// One.
    One(Slot),
}

/// Of whom a frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Of one.
    About(Slot),
    /// Of where several are: a snapshot.
    Poses,
    /// Of nobody else than who gets it, or of what all may know.
    Other,
}

/// A frame to be sent.
#[derive(Clone, Debug)]
pub struct Out {
    /// To whom.
    pub to: To,
    /// The frame, as those get it who are parted from nobody: see [`Self::frame_for`].
    pub frame: Bytes,
    /// Whether it must arrive; what need not may be dropped for those who are slow.
    pub reliable: bool,
    /// Of whom it tells.
    pub content: Content,
    /// Who was parted from whom when it was made, if anybody was.
    partings: Option<Arc<Partings>>,
}

impl Out {
    /// What a slot gets of the frame: the very same bytes, unless they hold poses of somebody from whom it is
    /// parted, and nothing where they tell of nobody else, or go to others.
    #[must_use]
    pub fn frame_for(&self, slot: Slot) -> Option<Bytes> {
        let is_theirs = match self.to {
            To::All => true,
            To::AllBut(other) => other != slot,
            To::One(one) => one == slot,
        };
        if !is_theirs {
            return None;
        }
        let unseen = self.partings.as_ref().and_then(|partings| partings.of(slot));
        match (unseen, self.content) {
            (Some(unseen), Content::About(other)) if unseen.contains(&other) => None,
            (Some(unseen), Content::Poses) => {
                snapshot_without(&self.frame, |other| unseen.contains(&other))
            }
            _ => Some(self.frame.clone()),
        }
    }
}

/// One running copy of a world.
#[derive(Debug)]
pub struct Instance {
    scene: Arc<Scene>,
    /// Where the world lets people arrive, where that is not where its scene does.
    spawn: Option<Place>,
    /// Where somebody comes back to who has left the world.
    home: Place,
    capacity: u16,
    tick: u32,
    visits: u32,
    bodies: Vec<Option<Body>>,
    seats: Vec<Option<Slot>>,
    /// Who is told nothing of whom. What is to be sent keeps those of its moment.
    partings: Arc<Partings>,
    out: Vec<Out>,
}

/// No more bodies fit in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the instance is full")]
pub struct Full;

impl Instance {
    /// An empty instance of a scene.
    #[must_use]
    pub fn new(scene: Arc<Scene>, capacity: u16) -> Self {
        let seats = vec![None; scene.seats.len()];
        let (bodies, home) = (Vec::new(), scene.arrival(0));
        let (spawn, partings, out) = (None, Arc::default(), Vec::new());
        Self { scene, spawn, home, capacity, tick: 0, visits: 0, bodies, seats, partings, out }
    }

    /// Lets those who come arrive at a place, and around it. Where nobody can stand there, and where
    /// there is none, they arrive where the scene says.
    pub fn arrive_at(&mut self, spawn: Option<Place>) {
        let own = self.scene.arrival(0);
        // A scene with several places to come in uses them all, unless the world names another.
        let elsewhere = |place: &Place| {
            distance(place.at, own.at) > SAME_M || (place.yaw - own.yaw).cos() < SAME_COS
        };
        let there = spawn.filter(|place| elsewhere(place) && self.scene.near(*place, 0).is_some());
        self.spawn = there;
        self.home = self.arrival(0);
    }

    fn arrival(&self, visit: u32) -> Place {
        let there = self.spawn.and_then(|place| self.scene.near(place, visit));
        there.unwrap_or_else(|| self.scene.arrival(visit))
    }

    /// The tick that it is.
    #[must_use]
    pub fn now(&self) -> u32 {
        self.tick
    }

    /// Lets somebody in, where they were before if a body still fits there. Those in `parted` are told nothing of
    /// them from the first moment on, nor they of those.
    pub fn enter(&mut self, who: Visitor, at: Option<Pose>, parted: &[Slot]) -> Result<Slot, Full> {
        let free = self.bodies.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.bodies.len());
        let slot = Slot::try_from(slot).ok().filter(|slot| *slot < self.capacity).ok_or(Full)?;
        let back = at.and_then(|pose| {
            let stand = self.scene.stand(pose.metres())?;
            Some(Pose { yaw: pose.yaw, ..Pose::standing(stand, 0.0) })
        });
        let pose = back.unwrap_or_else(|| {
            let place = self.arrival(self.visits);
            Pose::standing(place.at, place.yaw)
        });
        self.visits = self.visits.wrapping_add(1);
        for other in parted {
            if *other != slot && self.is_here(*other) {
                Arc::make_mut(&mut self.partings).part(slot, *other);
            }
        }
        self.welcome(slot, Body::new(who, pose, self.tick));
        Ok(slot)
    }

    /// Tells somebody who comes of those who are here, and those of who comes.
    fn welcome(&mut self, slot: Slot, body: Body) {
        let welcome = FromNode::Welcome {
            version: VERSION,
            slot,
            tick_hz: TICK_HZ,
            tick: self.tick,
            capacity: self.capacity,
            pose: body.pose,
        };
        self.send(To::One(slot), &welcome);
        for other in 0..self.bodies.len() {
            let other = Slot::try_from(other).expect("there are no more slots than a u16 counts");
            if !self.partings.are(slot, other) {
                self.tell_of(other, slot);
            }
        }
        self.send(To::One(slot), &body.entered(slot, true));
        self.tell(To::AllBut(slot), slot, &body.entered(slot, false));
        let index = usize::from(slot);
        if index == self.bodies.len() {
            self.bodies.push(Some(body));
        } else {
            self.bodies[index] = Some(body);
        }
        self.tell_where_all_are(To::One(slot));
    }

    /// From now on neither of two is told anything of the other, after that nobody has that slot any more.
    pub fn part(&mut self, a: Slot, b: Slot) {
        if a == b || !self.is_here(a) || !self.is_here(b) || self.partings.are(a, b) {
            return;
        }
        // Made before they are parted, or they would not get these.
        self.tell_one(a, b, &FromNode::Left { slot: b });
        self.tell_one(b, a, &FromNode::Left { slot: a });
        Arc::make_mut(&mut self.partings).part(a, b);
    }

    /// Lets two who were parted meet again: each is told that the other is here, and where.
    pub fn meet(&mut self, a: Slot, b: Slot) {
        if !self.partings.are(a, b) {
            return;
        }
        Arc::make_mut(&mut self.partings).meet(a, b);
        for (slot, other) in [(a, b), (b, a)] {
            self.tell_of(other, slot);
            let Some(Some(body)) = self.bodies.get(usize::from(other)) else { continue };
            let mut frame = snapshot(self.tick);
            frame.extend(other.to_le_bytes());
            frame.extend(&body.encoded);
            end_snapshot(&mut frame, 1);
            let (to, frame, content) = (To::One(slot), frame.into(), Content::Poses);
            self.out.push(Out { to, frame, reliable: false, content, partings: None });
        }
    }

    /// Changes what the others are told of somebody: their name, their body.
    pub fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Visitor)) {
        let Some(body) = self.body_mut(slot) else { return };
        let before = body.who.clone();
        change(&mut body.who);
        if body.who == before {
            return;
        }
        let (own, others) = (body.entered(slot, true), body.entered(slot, false));
        self.send(To::One(slot), &own);
        self.tell(To::AllBut(slot), slot, &others);
    }

    /// Lets somebody out, and says where they were.
    pub fn leave(&mut self, slot: Slot) -> Option<Pose> {
        let body = self.bodies.get_mut(usize::from(slot))?.take()?;
        if let Some(seat) = self.seats.get_mut(usize::from(body.seat)) {
            *seat = None;
        }
        self.tell(To::AllBut(slot), slot, &FromNode::Left { slot });
        if !self.partings.is_empty() {
            Arc::make_mut(&mut self.partings).forget(slot);
        }
        Some(body.standing())
    }

    /// Where somebody stands, or stood before they sat down.
    #[must_use]
    pub fn pose(&self, slot: Slot) -> Option<Pose> {
        Some(self.bodies.get(usize::from(slot))?.as_ref()?.standing())
    }

    /// Tells everybody of an event of the room, as JSON.
    pub fn show(&mut self, event: String) {
        self.send(To::All, &FromNode::Event { event });
    }

    /// Tells everybody but some of an event of the room.
    pub fn show_but(&mut self, event: String, deaf: &[Slot]) {
        if deaf.is_empty() {
            return self.show(event);
        }
        let frame = FromNode::Event { event }.bytes();
        for (slot, body) in (0..).zip(&self.bodies) {
            if body.is_some() && !deaf.contains(&slot) {
                self.out.push(Out {
                    to: To::One(slot),
                    frame: frame.clone(),
                    reliable: true,
                    content: Content::Other,
                    partings: None,
                });
            }
        }
    }

    /// Lets somebody know something, by its short name.
    pub fn notice(&mut self, slot: Slot, code: &str) {
        self.send(To::One(slot), &FromNode::Notice { code: code.to_owned() });
    }

    /// Does what a client says; `Err` ends its visit.
    pub fn take(&mut self, slot: Slot, frame: &FromClient) -> Result<(), Bye> {
        let kind = frame.kind();
        match *frame {
            FromClient::Hello { .. } => return Err(Bye::Protocol),
            FromClient::Go => return Err(Bye::Gone),
            FromClient::Input { sequence, pose } => self.moved(slot, sequence, pose),
            FromClient::Sit { seat } => {
                if let Err(reason) = self.sit(slot, seat) {
                    self.send(To::One(slot), &FromNode::Refused { kind, reason });
                }
            }
            FromClient::Stand => {
                if let Err(reason) = self.stand(slot) {
                    self.send(To::One(slot), &FromNode::Refused { kind, reason });
                }
            }
            FromClient::Emote { emote } => {
                if let Err(reason) = self.emote(slot, emote) {
                    self.send(To::One(slot), &FromNode::Refused { kind, reason });
                }
            }
            FromClient::Ping { nonce } => {
                self.send(To::One(slot), &FromNode::Pong { nonce, tick: self.tick });
            }
            // Whose names these are hashes of is known outside, and dealt with before.
            FromClient::Blocks { .. } => {}
        }
        Ok(())
    }

    /// Lets a tick pass.
    pub fn tick(&mut self) {
        // 1. Time.
        self.tick = self.tick.wrapping_add(1);
        for body in self.bodies.iter_mut().flatten() {
            body.movement.rest();
        }
        // 2. Where bodies are.
        self.tell_where_all_are(To::All);
    }

    /// What is to be sent since it was asked last.
    pub fn drain(&mut self) -> std::vec::Drain<'_, Out> {
        self.out.drain(..)
    }

    fn moved(&mut self, slot: Slot, sequence: u16, pose: Pose) {
        let (scene, home, tick) = (self.scene.clone(), self.home.at, self.tick);
        let Some(body) = self.body_mut(slot) else { return };
        if let Err((reason, pose)) = body.moved((&scene, home), sequence, pose, tick) {
            self.send(To::One(slot), &FromNode::Correction { sequence, reason, pose });
        }
    }

    fn sit(&mut self, slot: Slot, seat: u16) -> Result<(), Refused> {
        let index = usize::from(seat);
        let place = self.scene.seats.get(index).ok_or(Refused::Unknown)?.place;
        let tick = self.tick;
        if self.seats[index].is_some_and(|other| other != slot) {
            return Err(Refused::Taken);
        }
        let body = self.bodies.get_mut(usize::from(slot)).and_then(Option::as_mut);
        let body = body.ok_or(Refused::NotNow)?;
        if body.seat != NO_SEAT {
            return Err(Refused::NotNow);
        }
        if distance(body.pose.metres(), place.at) > REACH_M {
            return Err(Refused::Far);
        }
        body.sit(seat, place, tick);
        self.seats[index] = Some(slot);
        self.tell(To::All, slot, &FromNode::Seated { slot, seat });
        Ok(())
    }

    fn stand(&mut self, slot: Slot) -> Result<(), Refused> {
        let (scene, tick) = (self.scene.clone(), self.tick);
        let body = self.body_mut(slot).filter(|body| body.seat != NO_SEAT);
        let body = body.ok_or(Refused::NotNow)?;
        let seat = usize::from(body.seat);
        let front = scene.seats.get(seat).and_then(|seat| scene.stand(seat.front));
        let pose = body.rise(front, tick);
        if let Some(seat) = self.seats.get_mut(seat) {
            *seat = None;
        }
        self.tell(To::All, slot, &FromNode::Seated { slot, seat: NO_SEAT });
        let (sequence, reason) = (0, crate::realtime::Reason::Seated);
        self.send(To::One(slot), &FromNode::Correction { sequence, reason, pose });
        Ok(())
    }

    fn emote(&mut self, slot: Slot, emote: u8) -> Result<(), Refused> {
        let tick = self.tick;
        if !(1..=EMOTES).contains(&emote) {
            return Err(Refused::Unknown);
        }
        let body = self.body_mut(slot).ok_or(Refused::NotNow)?;
        if body.emoted_at.is_some_and(|at| tick.wrapping_sub(at) < EMOTE_TICKS) {
            return Err(Refused::Often);
        }
        body.emoted_at = Some(tick);
        self.tell(To::All, slot, &FromNode::Emoted { slot, emote, tick });
        Ok(())
    }

    /// Snapshots of the poses that are due, each frame as full as a datagram allows. They are the
    /// same for everybody, and so made once.
    fn tell_where_all_are(&mut self, to: To) {
        let (everybody, partings) = (to != To::All, self.partings_now());
        let out = |frame: Vec<u8>| Out {
            to,
            frame: frame.into(),
            reliable: false,
            content: Content::Poses,
            partings: partings.clone(),
        };
        let (mut frame, mut count) = (snapshot(self.tick), 0);
        for (slot, body) in (0u16..).zip(&self.bodies) {
            let Some(body) = body else { continue };
            let age = self.tick.wrapping_sub(body.changed_at);
            let refresh = self.tick.wrapping_add(slot.into()).is_multiple_of(REFRESH_TICKS);
            if !everybody && age >= TOLD_TICKS && !refresh {
                continue;
            }
            if frame.len() + 2 + body.encoded.len() > DATAGRAM_BYTES {
                end_snapshot(&mut frame, count);
                self.out.push(out(frame));
                (frame, count) = (snapshot(self.tick), 0);
            }
            frame.extend(slot.to_le_bytes());
            frame.extend(&body.encoded);
            count += 1;
        }
        if count > 0 {
            end_snapshot(&mut frame, count);
            self.out.push(out(frame));
        }
    }

    /// Who is parted from whom, if anybody is.
    fn partings_now(&self) -> Option<Arc<Partings>> {
        (!self.partings.is_empty()).then(|| self.partings.clone())
    }

    fn body_mut(&mut self, slot: Slot) -> Option<&mut Body> {
        self.bodies.get_mut(usize::from(slot))?.as_mut()
    }

    fn is_here(&self, slot: Slot) -> bool {
        self.bodies.get(usize::from(slot)).is_some_and(Option::is_some)
    }

    /// Tells somebody who has a slot.
    fn tell_of(&mut self, other: Slot, to: Slot) {
        let Some(Some(body)) = self.bodies.get(usize::from(other)) else { return };
        let entered = body.entered(other, false);
        self.tell_one(to, other, &entered);
    }

    /// Sends what tells of somebody.
    fn tell(&mut self, to: To, about: Slot, frame: &FromNode) {
        self.push(to, frame.bytes(), true, Content::About(about));
    }

    /// Sends one what tells of somebody from whom they are not parted now: it keeps nobody else's partings, of
    /// which there would be another copy for each that is parted behind it.
    fn tell_one(&mut self, to: Slot, about: Slot, frame: &FromNode) {
        let (to, frame, content) = (To::One(to), frame.bytes(), Content::About(about));
        self.out.push(Out { to, frame, reliable: true, content, partings: None });
    }

    /// Sends what tells of nobody else.
    fn send(&mut self, to: To, frame: &FromNode) {
        self.push(to, frame.bytes(), true, Content::Other);
    }

    fn push(&mut self, to: To, frame: Bytes, reliable: bool, content: Content) {
        let partings = self.partings_now();
        self.out.push(Out { to, frame, reliable, content, partings });
    }
}

fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests;
