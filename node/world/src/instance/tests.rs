//! What bodies can do in a room, and what they are told.

use std::collections::{BTreeMap, BTreeSet};

use bolero::check;

use super::*;
use crate::{
    realtime::{Motion, Reason, Tracked},
    scene::tests::room,
};

struct Play {
    instance: Instance,
    sequence: u16,
}

impl Play {
    fn new() -> Self {
        let scene = Arc::new(Scene::read(&room()).unwrap());
        Self { instance: Instance::new(scene, 50), sequence: 0 }
    }

    fn enter(&mut self, name: &str, at: [f32; 3]) -> Slot {
        let who = Visitor { user_id: format!("@{name}:a.test"), ..Visitor::default() };
        let slot = self.instance.enter(who, Some(Pose::standing(at, 0.0)), &[]).unwrap();
        self.instance.drain();
        slot
    }

    /// Says that a body is there; why not, if it is not believed.
    fn says(&mut self, slot: Slot, motion: Motion, at: [f32; 3], jumped: bool) -> Option<Reason> {
        self.sequence = self.sequence.wrapping_add(1);
        let pose = Pose { motion, jumped, ..Pose::standing(at, 0.0) };
        self.instance.take(slot, &FromClient::Input { sequence: self.sequence, pose }).unwrap();
        let told: Vec<FromNode> = self.frames(slot);
        told.iter().find_map(|frame| match frame {
            FromNode::Correction { reason, .. } => Some(*reason),
            _ => None,
        })
    }

    /// Says it in steps of a tick each, until one is not believed.
    fn goes(
        &mut self,
        slot: Slot,
        from: [f32; 3],
        to: [f32; 3],
        mps: f32,
    ) -> Result<(), (Reason, [f32; 3])> {
        let length = distance(from, to);
        let step = mps / f32::from(TICK_HZ);
        let mut gone = 0.0;
        while gone < length {
            gone = (gone + step).min(length);
            let share = gone / length;
            let at: Vec<f32> = from.iter().zip(to).map(|(a, b)| a + (b - a) * share).collect();
            if let Some(reason) = self.says(slot, Motion::Run, [at[0], at[1], at[2]], false) {
                return Err((reason, self.at(slot)));
            }
            self.instance.tick();
        }
        Ok(())
    }

    fn frames(&mut self, slot: Slot) -> Vec<FromNode> {
        let out: Vec<Bytes> = self.instance.drain().filter_map(|out| out.frame_for(slot)).collect();
        out.iter().map(|frame| FromNode::read(frame).unwrap()).collect()
    }

    fn at(&self, slot: Slot) -> [f32; 3] {
        self.instance.bodies[usize::from(slot)].as_ref().unwrap().pose.metres()
    }
}

#[test]
fn who_comes_is_told_of_and_told_all() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, 0.0]);
    let who = Visitor { user_id: "@bob:a.test".to_owned(), guest: true, ..Visitor::default() };
    let bob = play.instance.enter(who, None, &[]).unwrap();
    let out: Vec<Out> = play.instance.drain().collect();
    let to_bob: Vec<FromNode> = out
        .iter()
        .filter(|out| out.to == To::One(bob))
        .map(|out| FromNode::read(&out.frame).unwrap())
        .collect();
    assert!(matches!(to_bob[0], FromNode::Welcome { slot, .. } if slot == bob));
    assert!(matches!(&to_bob[1], FromNode::Entered { slot, own: false, .. } if *slot == ann));
    assert!(matches!(&to_bob[2], FromNode::Entered { slot, own: true, .. } if *slot == bob));
    assert!(matches!(&to_bob[3], FromNode::Snapshot { bodies, .. } if bodies.len() == 2));
    let others: Vec<&Out> = out.iter().filter(|out| out.to == To::AllBut(bob)).collect();
    assert_eq!(others.len(), 1);
    assert!(play.instance.leave(bob).is_some());
    assert_eq!(play.frames(ann), [FromNode::Left { slot: bob }]);
    assert_eq!(play.instance.bodies.iter().flatten().count(), 1);
    assert_eq!(play.enter("eve", [1.0, 0.0, 0.0]), bob, "a slot is used again");
}

#[test]
fn an_instance_fills_up() {
    let scene = Arc::new(Scene::read(&room()).unwrap());
    let mut instance = Instance::new(scene, 2);
    assert!(instance.enter(Visitor::default(), None, &[]).is_ok());
    assert!(instance.enter(Visitor::default(), None, &[]).is_ok());
    assert_eq!(instance.enter(Visitor::default(), None, &[0, 1]), Err(Full));
}

#[test]
fn running_is_as_fast_as_it_gets() {
    let mut play = Play::new();
    let slot = play.enter("ann", [0.0, 0.0, 15.0]);
    assert_eq!(play.goes(slot, [0.0, 0.0, 15.0], [0.0, 0.0, -15.0], 5.9), Ok(()));
    let (reason, at) = play.goes(slot, [0.0, 0.0, -15.0], [0.0, 0.0, 15.0], 12.0).unwrap_err();
    assert_eq!(reason, Reason::Fast);
    assert!(at[2] < -8.0, "the reserve is used up after some metres: {at:?}");
    for _ in 0..60 {
        play.instance.tick();
    }
    let [x, y, z] = play.at(slot);
    assert_eq!(play.says(slot, Motion::Stand, [x, y, z + 3.0], false), Some(Reason::Fast));
    assert_eq!(play.says(slot, Motion::Stand, [x, y, z + 7.0], true), None);
    assert_eq!(play.says(slot, Motion::Stand, [x, y, z], true), Some(Reason::Fast));
}

#[test]
fn walls_hold() {
    let mut play = Play::new();
    let slot = play.enter("ann", [0.0, 0.0, 0.0]);
    let (reason, at) = play.goes(slot, [0.0, 0.0, 0.0], [9.0, 0.0, 0.0], 3.0).unwrap_err();
    assert_eq!(reason, Reason::Wall);
    assert!((4.2..4.85).contains(&at[0]), "{at:?}");
    for _ in 0..60 {
        play.instance.tick();
    }
    assert_eq!(play.says(slot, Motion::Stand, [6.0, 0.0, 0.0], true), Some(Reason::Wall));
    let up_the_step = play.goes(slot, at, [-3.9, 0.0, 0.0], 3.0);
    assert_eq!(up_the_step, Ok(()));
    assert_eq!(play.says(slot, Motion::Walk, [-4.05, 0.3, 0.0], false), None);
}

#[test]
fn who_jumps_goes_over_edges_and_through_nothing() {
    let mut play = Play::new();
    let slot = play.enter("ann", [-11.5, 3.0, 0.0]);
    // The straight line from well behind the edge to the ground before it runs through the ledge.
    assert_eq!(play.says(slot, Motion::Stand, [-8.5, 0.0, 0.0], true), None);
    for _ in 0..60 {
        play.instance.tick();
    }
    assert!(play.says(slot, Motion::Stand, [-11.5, 3.0, 0.0], true).is_some(), "it is too high");
    assert_eq!(play.says(slot, Motion::Stand, [-11.0, 0.0, 0.0], true), Some(Reason::Wall));
    let at_the_wall = play.enter("bob", [4.0, 0.0, 0.0]);
    assert_eq!(play.says(at_the_wall, Motion::Stand, [6.0, 0.0, 0.0], true), Some(Reason::Wall));
}

#[test]
fn nobody_flies() {
    let mut play = Play::new();
    let slot = play.enter("ann", [0.0, 0.0, 0.0]);
    // A real jump is believed.
    for tick in 0..28 {
        let seconds = f32::from(u8::try_from(tick).unwrap()) / f32::from(TICK_HZ);
        let height = (4.6 * seconds - 4.905 * seconds * seconds).max(0.0);
        assert_eq!(play.says(slot, Motion::Air, [0.0, height, 0.0], false), None, "{height}");
        play.instance.tick();
    }
    // Nobody gets higher, or stays up.
    assert_eq!(play.says(slot, Motion::Air, [0.0, 1.7, 0.0], false), Some(Reason::High));
    let stays_for = (0..90).position(|_| {
        let refused = play.says(slot, Motion::Air, [0.0, 1.0, 0.0], false);
        play.instance.tick();
        refused == Some(Reason::High)
    });
    assert!((15..40).contains(&stays_for.unwrap()), "{stays_for:?}");
    assert!(play.at(slot)[1] < 0.01, "and is on the ground again");
    // Three metres up at once is no step, and the ground is not passed through.
    let near_ledge = play.enter("bob", [-9.5, 0.0, 0.0]);
    let up = play.says(near_ledge, Motion::Run, [-10.5, 3.0, 0.0], false);
    assert!(up.is_some());
    assert_eq!(play.says(near_ledge, Motion::Run, [-9.5, -0.3, 0.0], false), Some(Reason::Ground));
}

#[test]
fn nobody_leaves_the_world() {
    let mut play = Play::new();
    let slot = play.enter("ann", [0.0, 0.0, 19.0]);
    let over_the_edge = play.goes(slot, [0.0, 0.0, 19.0], [0.0, 0.0, 25.0], 3.0);
    assert_eq!(over_the_edge.unwrap_err().0, Reason::Outside);
    assert_eq!(play.says(slot, Motion::Air, [0.0, -90.0, 19.0], true), Some(Reason::Outside));
    assert!((play.at(slot)[2] - 2.0).abs() < 0.1, "who falls out comes in again");
}

#[test]
fn people_arrive_where_the_world_says() {
    let mut play = Play::new();
    let mut arrives = |spawn: Option<Place>| {
        play.instance.arrive_at(spawn);
        let slot = play.instance.enter(Visitor::default(), None, &[]).unwrap();
        let place = play.instance.bodies[usize::from(slot)].as_ref().unwrap().pose;
        // Whoever falls out of the world comes back to where people arrive.
        assert_eq!(play.says(slot, Motion::Air, [0.0, -90.0, 0.0], true), Some(Reason::Outside));
        let home = play.at(slot);
        (place.metres(), f32::from(place.yaw) / 65_536.0, home)
    };
    let near = |at: [f32; 3], place: [f32; 3]| distance(at, place) < 2.0;
    let own = [0.0, 0.0, 2.0];
    let there = Place { at: [-10.0, 0.0, -15.0], yaw: std::f32::consts::PI };
    let (at, turn, home) = arrives(Some(there));
    assert!(near(at, there.at) && near(home, there.at), "{at:?} {home:?}");
    assert!((turn - 0.5).abs() < 0.001, "{turn}");
    let (beside, ..) = arrives(Some(there));
    assert!(near(beside, there.at) && distance(at, beside) > 0.4, "{at:?} and {beside:?}");
    // Where nobody can stand, outside, and nowhere: as the scene says.
    let nowhere = [[500.0, 0.0, 0.0], [0.0, 50.0, 0.0], [0.0, -50.0, 0.0], [f32::NAN; 3]];
    for spawn in nowhere.map(|at| Some(Place { at, yaw: 0.0 })).into_iter().chain([None]) {
        let (at, turn, home) = arrives(spawn);
        assert!(near(home, own) && distance(at, own) < 3.0, "{spawn:?}: {home:?} {at:?}");
        assert!((turn - 0.25).abs() < 0.001, "{spawn:?}: {turn}");
    }
}

#[test]
fn a_seat_holds_one_body() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, -5.0]);
    let bob = play.enter("bob", [1.0, 0.0, -5.0]);
    let far = play.enter("eve", [0.0, 0.0, 15.0]);
    let sit = |play: &mut Play, slot, seat| {
        play.instance.take(slot, &FromClient::Sit { seat }).unwrap();
        play.frames(slot)
    };
    assert_eq!(sit(&mut play, ann, 0), [FromNode::Seated { slot: ann, seat: 0 }]);
    let refused = |reason| [FromNode::Refused { kind: 3, reason }];
    assert_eq!(sit(&mut play, bob, 0), refused(Refused::Taken));
    assert_eq!(sit(&mut play, bob, 2), refused(Refused::Unknown));
    assert_eq!(sit(&mut play, far, 1), refused(Refused::Far));
    assert_eq!(sit(&mut play, ann, 1), refused(Refused::NotNow), "one seat a body");
    let seat = play.at(ann);
    assert_eq!(play.says(ann, Motion::Walk, [0.0, 0.0, -4.0], false), Some(Reason::Seated));
    assert!(distance(play.at(ann), seat) < 1e-6);
    play.instance.take(ann, &FromClient::Stand).unwrap();
    play.frames(ann);
    assert!((play.at(ann)[2] - -5.2).abs() < 0.01, "in front of the seat: {:?}", play.at(ann));
    assert_eq!(sit(&mut play, bob, 0), [FromNode::Seated { slot: bob, seat: 0 }]);
    play.instance.leave(bob);
    play.instance.drain();
    assert_eq!(sit(&mut play, ann, 0), [FromNode::Seated { slot: ann, seat: 0 }]);
    assert_eq!(play.says(ann, Motion::Sit, [9.0, 9.0, 9.0], false), None, "who sits looks around");
}

#[test]
fn nobody_sits_without_a_seat() {
    let mut play = Play::new();
    let slot = play.enter("ann", [0.0, 0.0, 0.0]);
    assert_eq!(play.says(slot, Motion::Sit, [0.0, 0.0, 0.0], false), None);
    assert_eq!(play.instance.bodies[0].as_ref().unwrap().pose.motion, Motion::Stand);
}

#[test]
fn emotes_reach_everybody_and_not_too_often() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, 0.0]);
    let bob = play.enter("bob", [1.0, 0.0, 0.0]);
    play.instance.take(ann, &FromClient::Emote { emote: 1 }).unwrap();
    assert!(matches!(play.frames(bob)[..], [FromNode::Emoted { emote: 1, .. }]));
    play.instance.take(ann, &FromClient::Emote { emote: 2 }).unwrap();
    let refused = FromNode::Refused { kind: 5, reason: Refused::Often };
    assert_eq!(play.frames(ann), [refused]);
    play.instance.take(bob, &FromClient::Emote { emote: 4 }).unwrap();
    let refused = FromNode::Refused { kind: 5, reason: Refused::Unknown };
    assert_eq!(play.frames(bob), [refused]);
}

#[test]
fn a_pose_is_told_while_it_is_new_and_now_and_then() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, 0.0]);
    let mut told = 0;
    for _ in 0..120 {
        play.instance.tick();
        told += play.frames(ann).len();
    }
    assert_eq!(told, 9 + 4, "nine of the first ticks, then one in thirty");
}

#[test]
fn many_bodies_take_several_datagrams() {
    let scene = Arc::new(Scene::read(&room()).unwrap());
    let mut instance = Instance::new(scene, 200);
    for _ in 0..100 {
        instance.enter(Visitor::default(), None, &[]).unwrap();
    }
    instance.drain();
    instance.tick();
    let frames: Vec<Out> = instance.drain().filter(|out| !out.reliable).collect();
    assert_eq!(frames.len(), 2);
    assert!(frames.iter().all(|out| out.frame.len() <= DATAGRAM_BYTES && out.to == To::All));
}

#[test]
fn late_and_repeated_inputs_say_nothing() {
    let mut play = Play::new();
    let slot = play.enter("ann", [0.0, 0.0, 0.0]);
    play.sequence = 65_534;
    assert_eq!(play.says(slot, Motion::Walk, [0.1, 0.0, 0.0], false), None);
    assert_eq!(play.says(slot, Motion::Walk, [0.2, 0.0, 0.0], false), None);
    play.sequence = 65_533;
    assert_eq!(play.says(slot, Motion::Walk, [0.0, 9.0, 0.0], false), None);
    assert!((play.at(slot)[0] - 0.2).abs() < 0.003, "{:?}", play.at(slot));
}

/// What a client believes by the frames that it got, and by nothing else.
#[derive(Debug, Default)]
struct View {
    /// Who has each slot, and where they sit.
    people: BTreeMap<Slot, (Visitor, u16)>,
    poses: BTreeMap<Slot, Pose>,
}

impl View {
    fn take(&mut self, frame: FromNode) {
        let known = |slot: &Slot| assert!(self.people.contains_key(slot), "nobody told of {slot}");
        match frame {
            FromNode::Entered { slot, seat, who, .. } => {
                self.people.insert(slot, (who, seat));
            }
            FromNode::Left { slot } => {
                known(&slot);
                self.people.remove(&slot);
                self.poses.remove(&slot);
            }
            FromNode::Emoted { slot, .. } => known(&slot),
            FromNode::Seated { slot, seat } => {
                known(&slot);
                self.people.entry(slot).and_modify(|(_, at)| *at = seat);
            }
            FromNode::Snapshot { bodies, .. } => {
                assert!(!bodies.is_empty(), "a snapshot of nobody says how many there are");
                for (slot, pose) in bodies {
                    known(&slot);
                    self.poses.insert(slot, pose);
                }
            }
            _ => {}
        }
    }
}

/// An instance with the views of those in it.
struct Crowd {
    instance: Instance,
    views: BTreeMap<Slot, View>,
    parted: BTreeSet<(Slot, Slot)>,
    inputs: u16,
    visits: u16,
}

impl Crowd {
    const CAPACITY: u16 = 5;

    fn new() -> Self {
        let scene = Arc::new(Scene::read(&room()).unwrap());
        let instance = Instance::new(scene, Self::CAPACITY);
        Self { instance, views: BTreeMap::new(), parted: BTreeSet::new(), inputs: 0, visits: 0 }
    }

    fn act(&mut self, action: u8, a: Slot, b: Slot, more: u8) {
        let pair = (a.min(b), a.max(b));
        let both_here = a != b && self.views.contains_key(&a) && self.views.contains_key(&b);
        match action % 10 {
            0 => self.enter(b, more),
            1 => {
                self.hand_out();
                self.instance.leave(a);
                self.views.remove(&a);
                self.parted.retain(|(one, other)| *one != a && *other != a);
            }
            2 => {
                self.inputs = self.inputs.wrapping_add(1);
                let at = [f32::from(a) * 0.3 + f32::from(more) * 0.002, 0.0, -5.0];
                let tracked = more.is_multiple_of(3).then(Tracked::default);
                let pose = Pose { tracked, ..Pose::standing(at, 0.0) };
                self.says(a, &FromClient::Input { sequence: self.inputs, pose });
            }
            3 => self.says(a, &FromClient::Sit { seat: b % 2 }),
            4 => self.says(a, &FromClient::Stand),
            5 => self.says(a, &FromClient::Emote { emote: more % 4 }),
            6 => {
                self.instance.part(a, b);
                if both_here {
                    self.parted.insert(pair);
                }
            }
            7 => {
                self.instance.meet(a, b);
                self.parted.remove(&pair);
            }
            8 => self.instance.change(a, |who| who.name = more.to_string()),
            _ => self.instance.tick(),
        }
    }

    fn says(&mut self, slot: Slot, frame: &FromClient) {
        if self.views.contains_key(&slot) {
            self.instance.take(slot, frame).unwrap();
        }
    }

    fn enter(&mut self, at: Slot, parted: u8) {
        self.hand_out();
        let parted: Vec<Slot> =
            (0..Self::CAPACITY).filter(|slot| parted >> slot & 1 == 1).collect();
        let who = Visitor { user_id: format!("@{}:a.test", self.visits), ..Visitor::default() };
        self.visits += 1;
        let at = Pose::standing([f32::from(at) * 0.3, 0.0, -5.0], 0.0);
        let Ok(slot) = self.instance.enter(who, Some(at), &parted) else { return };
        let others = parted.into_iter().filter(|it| self.views.contains_key(it) && *it != slot);
        self.parted.extend(others.map(|other| (slot.min(other), slot.max(other))));
        self.views.insert(slot, View::default());
    }

    fn hand_out(&mut self) {
        let out: Vec<Out> = self.instance.drain().collect();
        for (slot, view) in &mut self.views {
            for frame in out.iter().filter_map(|out| out.frame_for(*slot)) {
                view.take(FromNode::read(&frame).unwrap());
            }
        }
    }

    /// Everybody believes what is so, of those whom they meet and of nobody else.
    fn check(&self, poses_too: bool) {
        for (slot, view) in &self.views {
            let is_met =
                |other: &Slot| !self.parted.contains(&((*slot).min(*other), (*slot).max(*other)));
            let here = (0..).zip(&self.instance.bodies);
            let here = here.filter_map(|(other, body)| Some((other, body.as_ref()?)));
            let here: Vec<_> = here.filter(|(other, _)| is_met(other)).collect();
            let people = here.iter().map(|(other, body)| (*other, (body.who.clone(), body.seat)));
            assert_eq!(view.people, people.collect(), "by {slot}");
            assert!(view.poses.keys().all(is_met), "by {slot}: {:?}", view.poses.keys());
            if poses_too {
                let poses = here.iter().map(|(other, body)| (*other, body.pose));
                assert_eq!(view.poses, poses.collect(), "by {slot}");
            }
        }
    }
}

#[test]
fn who_is_parted_is_told_nothing_of_each_other() {
    check!().with_type::<Vec<(u8, u8, u8, u8)>>().for_each(|acts| {
        let mut crowd = Crowd::new();
        for number in 0..u8::try_from(Crowd::CAPACITY).unwrap() - 1 {
            crowd.enter(number.into(), 0);
        }
        for (action, a, b, more) in acts.iter().take(100) {
            let slots = [a, b].map(|slot| Slot::from(*slot) % Crowd::CAPACITY);
            crowd.act(*action, slots[0], slots[1], *more);
            // Frames are not always handed out at once.
            if action & 1 << 7 == 0 {
                crowd.hand_out();
                crowd.check(false);
            }
        }
        for _ in 0..=REFRESH_TICKS {
            crowd.instance.tick();
        }
        crowd.hand_out();
        crowd.check(true);
    });
}

#[test]
fn whoever_is_parted_at_the_door_is_never_seen() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, 0.0]);
    let bob = play.enter("bob", [1.0, 0.0, 0.0]);
    let eve = play.instance.enter(Visitor::default(), None, &[ann, 40, 2]).unwrap();
    assert_eq!(eve, 2, "nobody is parted from themselves");
    let out: Vec<Out> = play.instance.drain().collect();
    let told = |slot| out.iter().filter_map(move |out| out.frame_for(slot));
    assert_eq!(told(ann).count(), 0);
    assert_eq!(told(bob).count(), 1);
    let to_eve: Vec<_> = told(eve).map(|frame| FromNode::read(&frame).unwrap()).collect();
    assert!(matches!(to_eve[1], FromNode::Entered { slot, own: false, .. } if slot == bob));
    assert!(matches!(to_eve[2], FromNode::Entered { slot, own: true, .. } if slot == eve));
    let FromNode::Snapshot { bodies, .. } = &to_eve[3] else { panic!("{to_eve:?}") };
    assert_eq!(bodies.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), [bob, eve]);
    assert_eq!(to_eve.len(), 4);
    // Whoever has the slot next is somebody else.
    play.instance.leave(eve);
    assert!(play.frames(ann).is_empty(), "nobody whom she knew of has left");
    assert_eq!(play.instance.enter(Visitor::default(), None, &[]), Ok(eve));
    let seen = play.frames(ann);
    assert!(matches!(seen[..], [FromNode::Entered { slot: 2, .. }]), "{seen:?}");
}

#[test]
fn parted_people_lose_and_find_each_other() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, -5.0]);
    let bob = play.enter("bob", [1.0, 0.0, -5.0]);
    let eve = play.enter("eve", [2.0, 0.0, -5.0]);
    play.instance.part(ann, bob);
    play.instance.part(bob, ann);
    let out: Vec<Out> = play.instance.drain().collect();
    for (slot, other) in [(ann, bob), (bob, ann)] {
        let told: Vec<_> = out.iter().filter_map(|out| out.frame_for(slot)).collect();
        assert_eq!(told, [FromNode::Left { slot: other }.bytes()]);
    }
    assert!(out.iter().all(|out| out.frame_for(eve).is_none()));
    // The seat is taken, though nobody is seen there.
    play.instance.take(ann, &FromClient::Sit { seat: 0 }).unwrap();
    play.instance.take(ann, &FromClient::Emote { emote: 1 }).unwrap();
    assert!(play.frames(bob).is_empty());
    play.instance.take(bob, &FromClient::Sit { seat: 0 }).unwrap();
    assert_eq!(play.frames(bob), [FromNode::Refused { kind: 3, reason: Refused::Taken }]);
    // A pose that changed before they met again is told when they do.
    play.instance.meet(bob, ann);
    let at = play.instance.bodies[usize::from(ann)].as_ref().unwrap().pose;
    let told = play.frames(bob);
    assert!(matches!(told[0], FromNode::Entered { slot, seat: 0, .. } if slot == ann), "{told:?}");
    assert!(matches!(&told[1], FromNode::Snapshot { bodies, .. } if *bodies == [(ann, at)]));
    assert_eq!(told.len(), 2);
    play.instance.meet(bob, ann);
    play.instance.part(ann, ann);
    play.instance.part(ann, 40);
    assert!(play.frames(ann).is_empty() && play.instance.partings.is_empty());
}

#[test]
fn a_pose_of_before_is_not_told_behind_a_parting() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, 0.0]);
    let bob = play.enter("bob", [1.0, 0.0, 0.0]);
    play.instance.tick();
    play.instance.part(ann, bob);
    play.instance.tick();
    let told = play.frames(ann);
    let left = told.iter().position(|frame| *frame == FromNode::Left { slot: bob });
    let tells = |frame: &FromNode| match frame {
        FromNode::Snapshot { bodies, .. } => bodies.iter().any(|(slot, _)| *slot == bob),
        _ => false,
    };
    assert!(tells(&told[0]) && left == Some(1) && !told[2..].iter().any(tells), "{told:?}");
}

#[test]
fn frames_are_shared_by_those_who_are_parted_from_nobody() {
    let mut play = Play::new();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| play.enter(name, [0.0, 0.0, 0.0]));
    let snapshot_of = |play: &mut Play| {
        play.instance.tick();
        play.instance.drain().find(|out| out.content == Content::Poses).unwrap()
    };
    let out = snapshot_of(&mut play);
    assert!(out.partings.is_none(), "nobody is parted, and nothing is looked up");
    play.instance.part(ann, bob);
    play.instance.drain();
    let out = snapshot_of(&mut play);
    assert_eq!(out.frame_for(eve).unwrap().as_ptr(), out.frame.as_ptr());
    for slot in [ann, bob] {
        let FromNode::Snapshot { bodies, .. } =
            FromNode::read(&out.frame_for(slot).unwrap()).unwrap()
        else {
            panic!("no snapshot")
        };
        assert_eq!(bodies.len(), 2, "of {slot}");
    }
}

#[test]
fn events_are_shown_to_those_who_are_not_deaf() {
    let mut play = Play::new();
    let [ann, bob, eve] = ["ann", "bob", "eve"].map(|name| play.enter(name, [0.0, 0.0, 0.0]));
    let mut heard = |show: &dyn Fn(&mut Instance)| {
        show(&mut play.instance);
        let out: Vec<Out> = play.instance.drain().collect();
        let event = FromNode::Event { event: "{}".to_owned() }.bytes();
        assert!(out.iter().all(|out| out.frame == event && out.reliable));
        [ann, bob, eve].map(|slot| out.iter().filter_map(|out| out.frame_for(slot)).count())
    };
    assert_eq!(heard(&|it| it.show("{}".to_owned())), [1, 1, 1]);
    assert_eq!(heard(&|it| it.show_but("{}".to_owned(), &[])), [1, 1, 1]);
    assert_eq!(heard(&|it| it.show_but("{}".to_owned(), &[bob, 40])), [1, 0, 1]);
    assert_eq!(heard(&|it| it.show_but("{}".to_owned(), &[ann, bob, eve])), [0, 0, 0]);
}

#[test]
fn whom_somebody_blocks_is_dealt_with_outside() {
    let mut play = Play::new();
    let ann = play.enter("ann", [0.0, 0.0, 0.0]);
    let blocks = FromClient::Blocks { salt: [0; 16], hashes: vec![[1; 16]] };
    assert_eq!(play.instance.take(ann, &blocks), Ok(()));
    assert!(play.frames(ann).is_empty());
}
