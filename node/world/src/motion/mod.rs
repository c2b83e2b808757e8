//! Motions: what bodies do, as VRM animations (`VRMC_vrm_animation` 1.0) of our own.
//!
//! Every motion is a curve: for a moment it tells where the hips are, where feet and hands are to be,
//! and how the trunk bends; the joints of limbs follow from that. So feet that stand do not slide. The
//! file holds the curve in keys of 1/30 s, for any humanoid in T-pose.
//!
//! Its invariant: motions that repeat end where they begin.
//!
//! ```
//! use wayside_world::motion::{Motion, vrma};
//!
//! assert_eq!(Motion::from_name("walk"), Some(Motion::Walk));
//! assert_eq!(&vrma(Motion::Walk)[..4], b"glTF");
//! ```

mod dance;
mod file;
mod gait;
mod pose;
mod rest;
#[cfg(test)]
mod tests;

use pose::Pose;

/// What a body can be seen doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Motion {
    /// Stands, breathes, shifts its weight. Repeats.
    Idle,
    /// Goes forward at [`Motion::speed_mps`]. Repeats.
    Walk,
    /// Runs forward at [`Motion::speed_mps`]. Repeats.
    Run,
    /// Sits on a seat of 0.45 m that it has below it, hands in its lap. Repeats.
    Sit,
    /// Leaps, flies, and lands after 0.94 s; whoever plays it moves the body up and down.
    Jump,
    /// Waves with its right hand.
    Wave,
    /// Dances eight beats of half a second. Repeats.
    Dance,
    /// Points ahead with its right hand.
    Point,
}

impl Motion {
    /// All motions.
    pub const ALL: [Motion; 8] = [
        Motion::Idle,
        Motion::Walk,
        Motion::Run,
        Motion::Sit,
        Motion::Jump,
        Motion::Wave,
        Motion::Dance,
        Motion::Point,
    ];

    /// The name in files and addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Motion::Idle => "idle",
            Motion::Walk => "walk",
            Motion::Run => "run",
            Motion::Sit => "sit",
            Motion::Jump => "jump",
            Motion::Wave => "wave",
            Motion::Dance => "dance",
            Motion::Point => "point",
        }
    }

    /// The motion of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Motion> {
        Self::ALL.into_iter().find(|motion| motion.name() == name)
    }

    /// Whether its end goes over into its beginning.
    #[must_use]
    pub fn repeats(self) -> bool {
        match self {
            Motion::Idle | Motion::Walk | Motion::Run | Motion::Sit | Motion::Dance => true,
            Motion::Jump | Motion::Wave | Motion::Point => false,
        }
    }

    /// How long it is, in seconds.
    #[must_use]
    pub fn seconds(self) -> f32 {
        match self {
            Motion::Idle => 6.0,
            Motion::Walk => gait::WALK.seconds,
            Motion::Run => gait::RUN.seconds,
            Motion::Sit | Motion::Dance => 4.0,
            Motion::Jump => 1.3,
            Motion::Wave => 2.6,
            Motion::Point => 2.2,
        }
    }

    /// The speed at which its feet do not slide, in metres a second, for a body whose hips are as high
    /// as `hips_height_m` of the file says; for others it grows with them.
    #[must_use]
    pub fn speed_mps(self) -> Option<f32> {
        match self {
            Motion::Walk => Some(gait::WALK.speed),
            Motion::Run => Some(gait::RUN.speed),
            _ => None,
        }
    }

    /// The pose at a time in seconds.
    fn pose(self, stage: &pose::Stage, at: f32) -> Pose {
        let share = at / self.seconds();
        match self {
            Motion::Idle => rest::idle(stage, share),
            Motion::Walk => gait::pose(stage, &gait::WALK, share),
            Motion::Run => gait::pose(stage, &gait::RUN, share),
            Motion::Sit => rest::sit(stage, share),
            Motion::Jump => rest::jump(stage, at),
            Motion::Wave => rest::wave(stage, at),
            Motion::Dance => dance::dance(stage, share * 8.0),
            Motion::Point => rest::point(stage, at),
        }
    }
}

/// The file of a motion: a GLB with `VRMC_vrm_animation` 1.0; in its `asset.extras` stand `name`,
/// `repeats`, `hips_height_m`, and for what goes forward `speed_mps`.
#[must_use]
pub fn vrma(motion: Motion) -> Vec<u8> {
    file::write(motion)
}
