//! What an instance knows of a scene: what holds bodies, where they come in, where they sit.
//!
//! A scene is a GLB. Of all that it draws, the node needs only what movement is checked against
//! (specs/realtime.md, Movement): the static colliders of `OMI_physics_body`, or every triangle in a
//! scene without any; the places of `OMI_spawn_point`; and those of `OMI_seat`.

mod read;
mod shapes;
mod solid;

pub use self::{read::SceneError, solid::Solid};
use crate::inspect::Asset;

/// A place for a body, and where it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// The point between the feet, in metres.
    pub at: [f32; 3],
    /// In radians about +Y; at zero it looks along +Z.
    pub yaw: f32,
}

/// A seat for one body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seat {
    /// Where whoever sits is: below their hips, at the height of the seat's foot.
    pub place: Place,
    /// Where they stand when they rise, if it is free: in front of the seat.
    pub front: [f32; 3],
}

/// What an instance knows of its scene.
#[derive(Debug)]
pub struct Scene {
    /// What holds bodies.
    pub solid: Solid,
    /// Where bodies come in; never empty.
    pub spawns: Vec<Place>,
    /// The seats, in the order of the scene's nodes.
    pub seats: Vec<Seat>,
}

impl Scene {
    /// Reads a scene.
    pub fn read(glb: &[u8]) -> Result<Self, SceneError> {
        read::scene(glb)
    }

    /// What an instance knows of a scene that was inspected.
    pub fn of(asset: &Asset<'_>) -> Result<Self, SceneError> {
        read::of(asset)
    }

    /// Where the body of a visitor comes in: the places are taken in turn, and a little beside each
    /// other, so that people who arrive together do not stand in one another.
    #[must_use]
    pub fn arrival(&self, visit: u32) -> Place {
        let count = u32::try_from(self.spawns.len()).unwrap_or(u32::MAX).max(1);
        let place = self.spawns[usize::try_from(visit % count).unwrap_or(0)];
        self.near(place, visit / count)
            .unwrap_or_else(|| Place { at: self.stand(place.at).unwrap_or(place.at), ..place })
    }

    /// The n-th place where a body fits, at a place or a little beside it, so that each of those who
    /// arrive there gets another; after the last comes the first, and none where there is no room.
    #[must_use]
    pub fn near(&self, place: Place, nth: u32) -> Option<Place> {
        let mut stands = (0..RINGS).filter_map(|ring| self.stand(beside(place, ring)));
        let nth = usize::try_from(nth % RINGS).unwrap_or(0);
        let mut found = Vec::new();
        while found.len() <= nth {
            match stands.next() {
                Some(at) => found.push(at),
                None => break,
            }
        }
        let at = *found.get(nth.checked_rem(found.len())?)?;
        Some(Place { at, ..place })
    }

    /// The ground at a place where a body fits, if there is any.
    #[must_use]
    pub fn stand(&self, at: [f32; 3]) -> Option<[f32; 3]> {
        let above = [at[0], at[1] + 1.0, at[2]];
        let ground = self.solid.below(above, 3.0)?;
        let stand = [at[0], ground.y, at[2]];
        (ground.is_walkable() && !self.solid.overlaps(stand)).then_some(stand)
    }
}

/// Places beside one, before the first is taken again.
const RINGS: u32 = 64;

/// The turn after which points on a spiral never line up, in radians.
const GOLDEN_TURN: f32 = 2.399_963;

/// The n-th place around one, on a spiral that widens.
fn beside(place: Place, nth: u32) -> [f32; 3] {
    let nth = f32::from(u16::try_from(nth % RINGS).unwrap_or(0));
    let (radius, angle) = (0.6 * nth.sqrt(), GOLDEN_TURN * nth + place.yaw);
    [place.at[0] + radius * angle.sin(), place.at[1], place.at[2] + radius * angle.cos()]
}

#[cfg(test)]
pub(crate) mod tests;
