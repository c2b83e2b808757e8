//! What holds bodies: triangles, asked for ground, walls and room.

use parry3d::{
    bounding_volume::{Aabb, BoundingVolume},
    math::{Pose, Vec3},
    query::{Ray, RayCast, intersection_test},
    shape::{Capsule, TriMesh},
};

/// Half of the width that walls are kept at: below that of the body, so that a client which slides
/// along a wall by its own arithmetic is not held for walking into it.
const RADIUS: f32 = 0.18;
/// The height over which walls count: what is lower is a step.
const KNEE: f32 = 0.45;
/// The height of a body.
const HEIGHT: f32 = 1.6;
/// The steepest ground that is walked on: 50° of slope, and a little for its measuring.
const WALKABLE_UP: f32 = 0.63;
/// How far around its triangles a scene goes on, in metres.
const MARGIN: f32 = 30.0;

/// The triangles that hold bodies.
#[derive(Debug)]
pub struct Solid {
    mesh: TriMesh,
    bounds: Aabb,
}

/// The ground under a point.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    /// Its height.
    pub y: f32,
    /// The upward part of its normal: 1 where it is level.
    pub up: f32,
}

impl Ground {
    /// Whether a body stands there and does not slide.
    #[must_use]
    pub fn is_walkable(self) -> bool {
        self.up >= WALKABLE_UP
    }
}

impl Solid {
    /// The triangles of these corners; none where there are none, or they have no extent.
    #[must_use]
    pub fn new(corners: &[[f32; 3]], triangles: Vec<[u32; 3]>) -> Option<Self> {
        let corners = corners.iter().copied().map(Vec3::from).collect();
        let mesh = TriMesh::new(corners, triangles).ok()?;
        let bounds = mesh.local_aabb().loosened(MARGIN);
        Some(Self { mesh, bounds })
    }

    /// How many triangles there are.
    #[must_use]
    pub fn triangles(&self) -> usize {
        self.mesh.num_triangles()
    }

    /// The first ground below a point, at most so many metres below.
    #[must_use]
    pub fn below(&self, from: [f32; 3], within: f32) -> Option<Ground> {
        let ray = Ray::new(from.into(), Vec3::NEG_Y);
        let hit = self.mesh.cast_local_ray_and_get_normal(&ray, within, false)?;
        Some(Ground { y: from[1] - hit.time_of_impact, up: hit.normal.y.abs() })
    }

    /// Whether something stands between two points.
    #[must_use]
    pub fn between(&self, from: [f32; 3], to: [f32; 3]) -> bool {
        let (from, to) = (Vec3::from(from), Vec3::from(to));
        let ray = Ray::new(from, to - from);
        self.mesh.cast_local_ray(&ray, 1.0, false).is_some()
    }

    /// Whether a body whose feet are there would stand in something.
    #[must_use]
    pub fn overlaps(&self, feet: [f32; 3]) -> bool {
        let body = Capsule::new_y((HEIGHT - KNEE) / 2.0 - RADIUS, RADIUS);
        let middle = Vec3::new(feet[0], feet[1] + f32::midpoint(HEIGHT, KNEE), feet[2]);
        let pose = Pose::from_translation(middle);
        let tested = intersection_test(&Pose::IDENTITY, &self.mesh, &pose, &body);
        // Every pair of a mesh and a capsule can be tested.
        tested.is_ok_and(|found| found.intersecting)
    }

    /// Whether a point is inside the world, which goes on a little beyond its triangles.
    #[must_use]
    pub fn holds(&self, at: [f32; 3]) -> bool {
        self.bounds.contains_local_point(at.into())
    }
}
