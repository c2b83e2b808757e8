//! Triangles of the shapes of `OMI_physics_shape`.

use parry3d::{
    math::Vec3,
    shape::{Ball, Capsule, Cone, ConvexPolyhedron, Cuboid, Cylinder},
};
use serde_json::Value;

use crate::inspect::Triangles;

/// Sides of what is round.
const SIDES: u32 = 16;

/// The triangles of a shape that needs no mesh, or nothing for one that does and for unknown ones.
pub(super) fn simple(shape: &Value) -> Option<Triangles> {
    let kind = shape["type"].as_str()?;
    let own = &shape[kind];
    let number = |name: &str, default: f32| match own[name].as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "scenes are measured in floats")]
        Some(value) => value as f32,
        None => default,
    };
    let (bottom, top) = (number("radiusBottom", 0.5), number("radiusTop", 0.5));
    let (corners, triangles) = match kind {
        "box" => {
            let size = own["size"].as_array().map(Vec::as_slice).unwrap_or_default();
            #[expect(clippy::cast_possible_truncation, reason = "scenes are measured in floats")]
            let edge = |at: usize| size.get(at).and_then(Value::as_f64).unwrap_or(1.0) as f32;
            Cuboid::new(Vec3::new(edge(0), edge(1), edge(2)) / 2.0).to_trimesh()
        }
        "sphere" => Ball::new(number("radius", 0.5)).to_trimesh(SIDES, SIDES),
        // A tapered one is as wide everywhere as at its wider end: nobody gets stuck in it.
        "capsule" => {
            Capsule::new_y(number("height", 1.0) / 2.0, bottom.max(top)).to_trimesh(SIDES, SIDES)
        }
        "cylinder" => {
            let half = number("height", 2.0) / 2.0;
            if top == 0.0 {
                Cone::new(half, bottom).to_trimesh(SIDES)
            } else {
                Cylinder::new(half, bottom.max(top)).to_trimesh(SIDES)
            }
        }
        _ => return None,
    };
    Some((corners.into_iter().map(Into::into).collect(), triangles))
}

/// The hull of points; nothing where they have none.
pub(super) fn convex(points: &[[f32; 3]]) -> Option<Triangles> {
    let points: Vec<Vec3> = points.iter().copied().map(Vec3::from).collect();
    let (corners, triangles) = ConvexPolyhedron::from_convex_hull(&points)?.to_trimesh();
    Some((corners.into_iter().map(Into::into).collect(), triangles))
}
