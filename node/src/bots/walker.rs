//! How a bot walks: straight on while there is ground, and another way where there is none.

use wayside_world::{
    realtime::{FromClient, Motion, Pose, TICK_HZ},
    scene::Scene,
};

/// How fast, in metres a second.
const SPEED_MPS: f32 = 1.8;
/// Steps after which it turns though nothing is in its way.
const STRAIGHT: u32 = 150;
/// Ways that it looks for at one place.
const WAYS: u32 = 8;

/// One bot's walk; two of the same number walk the same.
#[derive(Debug)]
pub(super) struct Walker {
    pose: Pose,
    heading: f32,
    sequence: u16,
    steps: u32,
    chance: u64,
}

impl Walker {
    pub(super) fn new(pose: Pose, number: u64) -> Self {
        let mut walker = Self { pose, heading: 0.0, sequence: 0, steps: 0, chance: number + 1 };
        walker.heading = walker.turn();
        walker
    }

    /// Where the node says that it is.
    pub(super) fn put_back(&mut self, pose: Pose) {
        self.pose = pose;
        self.heading = self.turn();
    }

    /// The next step.
    pub(super) fn step(&mut self, scene: &Scene) -> FromClient {
        self.steps += 1;
        if self.steps.is_multiple_of(STRAIGHT) {
            self.heading = self.turn();
        }
        let mut motion = Motion::Stand;
        for _ in 0..WAYS {
            if let Some(at) = self.ahead(scene) {
                self.pose = self.pose.moved_to(at);
                motion = Motion::Walk;
                break;
            }
            self.heading = self.turn();
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.pose =
            Pose { motion, jumped: false, ..Pose::standing(self.pose.metres(), self.heading) };
        FromClient::Input { sequence: self.sequence, pose: self.pose }
    }

    fn ahead(&self, scene: &Scene) -> Option<[f32; 3]> {
        let from = self.pose.metres();
        let length = SPEED_MPS / f32::from(TICK_HZ);
        let (sin, cos) = self.heading.sin_cos();
        let to = scene.stand([from[0] + sin * length, from[1], from[2] + cos * length])?;
        let raised = |at: [f32; 3]| [at[0], at[1] + 0.6, at[2]];
        let free = (to[1] - from[1]).abs() < 0.35 && !scene.solid.between(raised(from), raised(to));
        free.then_some(to)
    }

    /// A way from 0 to a whole turn, by chance that repeats itself (xorshift).
    #[expect(clippy::cast_precision_loss, reason = "a rough direction")]
    fn turn(&mut self) -> f32 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        (self.chance % 6_283) as f32 / 1_000.0
    }
}
