//! One body in an instance.

use super::movement::Movement;
use crate::{
    realtime::{FromNode, Motion, NO_SEAT, Pose, Reason, Visitor},
    scene::{Place, Scene},
};

/// One body and whose it is.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) who: Visitor,
    pub(super) pose: Pose,
    /// The pose on the wire, made once for everybody.
    pub(super) encoded: Vec<u8>,
    /// The tick since which it is so.
    pub(super) changed_at: u32,
    pub(super) seat: u16,
    pub(super) before_sitting: Option<Pose>,
    pub(super) emoted_at: Option<u32>,
    pub(super) movement: Movement,
    /// The newest input that was looked at.
    sequence: Option<u16>,
}

impl Body {
    pub(super) fn new(who: Visitor, pose: Pose, tick: u32) -> Self {
        let mut body = Self {
            who,
            pose,
            encoded: Vec::with_capacity(48),
            changed_at: tick,
            seat: NO_SEAT,
            before_sitting: None,
            emoted_at: None,
            movement: Movement::standing(pose.metres()),
            sequence: None,
        };
        body.set(pose, tick);
        body
    }

    /// Who has a slot, as they are told themselves or as the others are.
    pub(super) fn entered(&self, slot: u16, own: bool) -> FromNode {
        FromNode::Entered { slot, own, seat: self.seat, who: self.who.clone() }
    }

    /// Where it stands, or stood before it sat down.
    pub(super) fn standing(&self) -> Pose {
        self.before_sitting.unwrap_or(self.pose)
    }

    /// Takes the word of the client for where the body is, or says why not and where it is: `home`
    /// for whoever left the world.
    pub(super) fn moved(
        &mut self,
        (scene, home): (&Scene, [f32; 3]),
        sequence: u16,
        pose: Pose,
        tick: u32,
    ) -> Result<(), (Reason, Pose)> {
        // What comes late says nothing any more: the newer input was looked at.
        let newer = |last: u16| sequence.wrapping_sub(last) < 1 << 15;
        if self.sequence.is_some_and(|last| last == sequence || !newer(last)) {
            return Ok(());
        }
        self.sequence = Some(sequence);
        if self.seat != NO_SEAT {
            return self.looked_around(pose, tick);
        }
        let claimed = if pose.motion == Motion::Sit {
            // Without a seat nobody sits.
            Pose { motion: Motion::Stand, ..pose }
        } else {
            pose
        };
        match self.movement.step((scene, home), self.pose.metres(), &claimed) {
            Ok(()) => {
                self.set(claimed, tick);
                Ok(())
            }
            Err((reason, at)) => {
                let back = Pose { motion: Motion::Stand, jumped: false, ..self.pose.moved_to(at) };
                self.set(back, tick);
                Err((reason, back))
            }
        }
    }

    /// Whoever sits looks around and moves their hands, and stays where they are.
    fn looked_around(&mut self, claimed: Pose, tick: u32) -> Result<(), (Reason, Pose)> {
        let (look_yaw, look_pitch) = (claimed.look_yaw, claimed.look_pitch);
        let pose = Pose { look_yaw, look_pitch, tracked: claimed.tracked, ..self.pose };
        self.set(pose, tick);
        if claimed.motion == Motion::Sit { Ok(()) } else { Err((Reason::Seated, self.pose)) }
    }

    pub(super) fn sit(&mut self, seat: u16, place: Place, tick: u32) {
        self.before_sitting = Some(Pose { motion: Motion::Stand, jumped: false, ..self.pose });
        self.seat = seat;
        let pose = Pose::standing(place.at, place.yaw);
        self.set(Pose { motion: Motion::Sit, jumped: true, ..pose }, tick);
    }

    /// Rises to stand in front of the seat, or where it stood before.
    pub(super) fn rise(&mut self, front: Option<[f32; 3]>, tick: u32) -> Pose {
        self.seat = NO_SEAT;
        let before = self.before_sitting.take().unwrap_or(self.pose);
        let pose = Pose { yaw: self.pose.yaw, motion: Motion::Stand, jumped: true, ..before };
        let pose = front.map_or(pose, |front| pose.moved_to(front));
        self.movement = Movement::standing(pose.metres());
        self.set(pose, tick);
        pose
    }

    fn set(&mut self, pose: Pose, tick: u32) {
        if pose == self.pose && !self.encoded.is_empty() {
            return;
        }
        self.pose = pose;
        self.encoded.clear();
        pose.put(&mut self.encoded);
        self.changed_at = tick;
    }
}
