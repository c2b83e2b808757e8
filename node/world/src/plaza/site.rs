//! What is gathered while the plaza is built: meshes by material, and what holds, seats and lights.

use super::{
    arithmetic::{Frame, V3, v3},
    mesh::Mesh,
};

/// A simple body that holds people off.
pub(super) enum Solid {
    /// A box by its middle, and its size along the axes of the frame.
    Box(Frame, V3),
    /// An upright cylinder by its middle, with its radius and its height.
    Cylinder(V3, f32, f32),
}

/// The plaza in the making.
#[derive(Default)]
pub(super) struct Site {
    /// Everything of stone, wood, iron and cloth, with flat faces.
    pub(super) matter: Mesh,
    /// The land that people walk on, and the land that they do not reach.
    pub(super) ground: Mesh,
    pub(super) around: Mesh,
    /// Leaves and whatever else grows, seen from both sides.
    pub(super) leaves: Mesh,
    pub(super) woods: Mesh,
    pub(super) grass: Mesh,
    /// What shines: lanterns, windows, the linings of portals.
    pub(super) lanterns: Mesh,
    pub(super) windows: Mesh,
    pub(super) linings: Mesh,
    /// Light that lies on the ground, and the falling water.
    pub(super) pools: Mesh,
    pub(super) spray: Mesh,
    /// Still water in basins.
    pub(super) basin: Mesh,
    /// Islands, hills and clouds that are drawn without light.
    pub(super) far: Mesh,
    /// What people walk on besides the ground; never drawn.
    pub(super) floors: Mesh,
    pub(super) solids: Vec<Solid>,
    pub(super) spawns: Vec<Frame>,
    pub(super) seats: Vec<Frame>,
    pub(super) portals: Vec<Frame>,
    /// Lamps that really light, with their range.
    pub(super) lights: Vec<(V3, f32)>,
}

impl Site {
    /// A block that is seen and holds.
    pub(super) fn solid(&mut self, frame: Frame, foot: V3, size: V3) {
        let middle = foot + v3(0.0, size.y / 2.0, 0.0);
        self.solids.push(Solid::Box(frame.within(middle, 0.0), size));
    }

    /// A post that holds, from its foot.
    pub(super) fn post(&mut self, foot: V3, radius: f32, height: f32) {
        let middle = foot + v3(0.0, height / 2.0, 0.0);
        self.solids.push(Solid::Cylinder(middle, radius, height));
    }
}
