//! Whether a body may be where its client says (specs/realtime.md, Movement).
//!
//! A client predicts its own movement; the node looks at each step that it says it made. That costs
//! three questions to the scene, where simulating the body anew would cost a hundred times as much.

use super::distance;
use crate::{
    realtime::{Pose, Reason, TICK_HZ},
    scene::Scene,
};

/// How far a body runs in a tick, in metres.
const RUN_M: f32 = 6.0 / TICK_HZ as f32;
/// How far ahead of that a network that stutters may let it come.
const RESERVE_M: f32 = 2.0;
/// How far it may jump at once that says so, as those do who move by pointing.
const JUMP_M: f32 = 8.0;
/// Seconds of a tick.
const TICK_S: f32 = 1.0 / TICK_HZ as f32;
/// How fast a jump begins, in metres a second.
const JUMP_MPS: f32 = 4.6;
/// What pulls down, in metres a second, a second.
const GRAVITY: f32 = 9.81;
/// How far the feet may be from the ground and still stand on it.
const NEAR_M: f32 = 0.15;
/// How far off the reckoning of a jump may be: a step up, and the time of the network.
const SLACK_M: f32 = 0.45;
/// Ticks that a step into the air may come late.
const GRACE_TICKS: u16 = 4;
/// How far below the feet ground is looked for.
const DEPTH_M: f32 = 200.0;
/// The heights at which a step is looked at for walls, above the feet.
const WALL_HEIGHTS: [f32; 2] = [0.55, 1.35];

/// Whether something stands in the way. Who jumps there goes up, across and down, as over the edge of
/// a flight of stairs, and through nothing on any of these.
fn crosses(scene: &Scene, from: [f32; 3], to: [f32; 3], jumped: bool) -> bool {
    let top = from[1].max(to[1]);
    let over = [from, [from[0], top, from[2]], [to[0], top, to[2]], to];
    let straight = [from, to];
    let way: &[[f32; 3]] = if jumped { &over } else { &straight };
    WALL_HEIGHTS.iter().any(|height| {
        let raised = |at: [f32; 3]| [at[0], at[1] + height, at[2]];
        way.windows(2).any(|leg| {
            distance(leg[0], leg[1]) > 0.0 && scene.solid.between(raised(leg[0]), raised(leg[1]))
        })
    })
}

/// How a body came to where it is.
#[derive(Debug)]
pub(super) struct Movement {
    /// Metres that it is ahead of what running makes in the time.
    ahead_m: f32,
    /// The height of the ground on which it stood last.
    ground_y: f32,
    /// Ticks since then.
    air_ticks: u16,
    /// Whether it stood at the last step.
    stands: bool,
}

impl Movement {
    /// Of a body that stands there.
    pub(super) fn standing(at: [f32; 3]) -> Self {
        Self { ahead_m: 0.0, ground_y: at[1], air_ticks: 0, stands: true }
    }

    /// Lets a tick pass.
    pub(super) fn rest(&mut self) {
        self.ahead_m = (self.ahead_m - RUN_M).max(0.0);
        if !self.stands {
            self.air_ticks = self.air_ticks.saturating_add(1);
        }
    }

    /// Looks at a step; where it cannot be, says why and where the body is instead: at `home` if it
    /// has left the world.
    pub(super) fn step(
        &mut self,
        (scene, home): (&Scene, [f32; 3]),
        from: [f32; 3],
        claimed: &Pose,
    ) -> Result<(), (Reason, [f32; 3])> {
        let to = claimed.metres();
        // 1. The world.
        if !scene.solid.holds(to) {
            *self = Self::standing(home);
            return Err((Reason::Outside, home));
        }
        // 2. Speed.
        let walked = distance([from[0], 0.0, from[2]], [to[0], 0.0, to[2]]);
        let most = if claimed.jumped { JUMP_M } else { RESERVE_M };
        if self.ahead_m + walked > most {
            return Err((Reason::Fast, self.back(scene, from)));
        }
        // 3. Walls. Whoever stands in something already, as when a scene is wrong, may get out.
        let crosses = walked > 0.0 && crosses(scene, from, to, claimed.jumped);
        if crosses || (scene.solid.overlaps(to) && !scene.solid.overlaps(from)) {
            return Err((Reason::Wall, self.back(scene, from)));
        }
        // 4. Ground.
        let above = [to[0], to[1].max(from[1]) + WALL_HEIGHTS[0], to[2]];
        let Some(ground) = scene.solid.below(above, DEPTH_M) else {
            return Err((Reason::Outside, self.back(scene, from)));
        };
        let height = to[1] - ground.y;
        if height < -NEAR_M {
            return Err((Reason::Ground, self.back(scene, from)));
        }
        let stands = height <= NEAR_M;
        if stands && !ground.is_walkable() && to[1] > from[1] + 0.01 {
            return Err((Reason::Wall, self.back(scene, from)));
        }
        // 5. Height.
        if to[1] > self.highest() {
            return Err((Reason::High, self.back(scene, from)));
        }
        self.ahead_m += walked;
        self.stands = stands;
        if stands {
            (self.ground_y, self.air_ticks) = (ground.y, 0);
        }
        Ok(())
    }

    /// How high a body can be that left the ground when this one did.
    fn highest(&self) -> f32 {
        let seconds = f32::from(self.air_ticks.saturating_sub(GRACE_TICKS)) * TICK_S;
        let (peak_s, late_s) = (JUMP_MPS / GRAVITY, f32::from(GRACE_TICKS) * TICK_S);
        // Until the top of a jump any height below it can be; from there on it must come down.
        let falling = (seconds - late_s).max(peak_s);
        self.ground_y + SLACK_M + JUMP_MPS * falling - GRAVITY * falling * falling / 2.0
    }

    /// Where a body is that was not believed: where it was, or on the ground below if it had left it.
    fn back(&mut self, scene: &Scene, from: [f32; 3]) -> [f32; 3] {
        if self.stands {
            return from;
        }
        let above = [from[0], from[1] + WALL_HEIGHTS[0], from[2]];
        let ground = scene.solid.below(above, DEPTH_M).map_or(self.ground_y, |ground| ground.y);
        let place = [from[0], ground, from[2]];
        *self = Self { ahead_m: self.ahead_m, ..Self::standing(place) };
        place
    }
}
