//! Reading a scene from its GLB.

use parry3d::{glamx::Mat4, math::Vec3};
use serde_json::Value;

use super::{Place, Scene, Seat, Solid, shapes};
use crate::inspect::{self, Asset, Limits, Report, Triangles};

/// Most seats of a scene.
const SEATS: usize = 4_096;
/// Most places to come in.
const SPAWNS: usize = 256;
/// How far in front of the back of a seat the hips of whoever sits are, in metres.
const HIPS_FORWARD: f32 = 0.12;
/// How far in front of the knees they stand who have risen.
const STANDING_FORWARD: f32 = 0.35;

/// A scene cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// It is no sound glTF.
    #[error("the scene is not sound: {}", first_of(.0))]
    Unsound(Box<Report>),
    /// It has no triangles to stand on.
    #[error("the scene has nothing that could hold a body")]
    Empty,
}

fn first_of(report: &Report) -> &str {
    report.issues.first().map_or("it cannot be read", |issue| &issue.message)
}

pub(super) fn scene(glb: &[u8]) -> Result<Scene, SceneError> {
    let asset = inspect::asset(glb, &Limits::SCENE);
    of(&asset.map_err(|report| SceneError::Unsound(Box::new(report)))?)
}

/// What an instance knows of a scene that was inspected.
pub(super) fn of(asset: &Asset<'_>) -> Result<Scene, SceneError> {
    let mut found = Found { parents: parents(asset), ..Found::default() };
    for (node, matrix) in asset.shown_nodes() {
        found.look_at(asset, node, &Mat4::from_cols_array_2d(&matrix));
    }
    let Found { colliders, drawn, mut spawns, seats, .. } = found;
    let (corners, triangles) = if colliders.1.is_empty() { drawn } else { colliders };
    let solid = Solid::new(&corners, triangles).ok_or(SceneError::Empty)?;
    if spawns.is_empty() {
        spawns.push(Place::default());
    }
    Ok(Scene { solid, spawns, seats })
}

/// What is found at the nodes, which come in their order.
#[derive(Default)]
struct Found {
    parents: Vec<Option<usize>>,
    colliders: Triangles,
    drawn: Triangles,
    spawns: Vec<Place>,
    seats: Vec<Seat>,
}

impl Found {
    fn look_at(&mut self, asset: &Asset<'_>, node: usize, matrix: &Mat4) {
        let json = &asset.json()["nodes"][node];
        let extensions = &json["extensions"];
        let collider = extensions["OMI_physics_body"]["collider"]["shape"].as_u64();
        if let Some(shape) = collider.and_then(|shape| usize::try_from(shape).ok())
            && self.is_fixed(asset, node)
            && let Some(triangles) = shape_of(asset, shape)
        {
            append(&mut self.colliders, triangles, matrix);
        }
        if let Some(mesh) = json["mesh"].as_u64().and_then(|mesh| usize::try_from(mesh).ok()) {
            append(&mut self.drawn, mesh_of(asset, mesh), matrix);
        }
        if extensions["OMI_spawn_point"].is_object() && self.spawns.len() < SPAWNS {
            self.spawns.push(place(matrix));
        }
        if self.seats.len() < SEATS {
            self.seats.extend(seat(&extensions["OMI_seat"], matrix));
        }
    }

    /// Whether a node does not move: neither it nor one above it has another motion than `static`.
    fn is_fixed(&self, asset: &Asset<'_>, node: usize) -> bool {
        let mut at = Some(node);
        while let Some(node) = at {
            let motion = &asset.json()["nodes"][node]["extensions"]["OMI_physics_body"]["motion"];
            if motion["type"].as_str().is_some_and(|motion| motion != "static") {
                return false;
            }
            at = self.parents.get(node).copied().flatten();
        }
        true
    }
}

/// The node above each node; an inspected scene has no cycles.
fn parents(asset: &Asset<'_>) -> Vec<Option<usize>> {
    let nodes = asset.json()["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut parents = vec![None; nodes.len()];
    for (parent, node) in nodes.iter().enumerate() {
        let children = node["children"].as_array().map(Vec::as_slice).unwrap_or_default();
        for child in children.iter().filter_map(Value::as_u64) {
            if let Some(above) = usize::try_from(child).ok().and_then(|it| parents.get_mut(it)) {
                *above = Some(parent);
            }
        }
    }
    parents
}

fn shape_of(asset: &Asset<'_>, index: usize) -> Option<Triangles> {
    let shape = asset.json()["extensions"]["OMI_physics_shape"]["shapes"].get(index)?;
    let kind = shape["type"].as_str()?;
    if !matches!(kind, "convex" | "trimesh") {
        return shapes::simple(shape);
    }
    let mesh = usize::try_from(shape[kind]["mesh"].as_u64()?).ok()?;
    let whole = mesh_of(asset, mesh);
    if kind == "convex" { shapes::convex(&whole.0) } else { Some(whole) }
}

/// The triangles of all parts of a mesh, in its own frame.
fn mesh_of(asset: &Asset<'_>, mesh: usize) -> Triangles {
    let mut whole = Triangles::default();
    let parts = asset.json()["meshes"][mesh]["primitives"].as_array().map_or(0, Vec::len);
    for triangles in (0..parts).filter_map(|part| asset.triangles(mesh, part)) {
        append(&mut whole, triangles, &Mat4::IDENTITY);
    }
    whole
}

fn append(all: &mut Triangles, (corners, triangles): Triangles, matrix: &Mat4) {
    let Ok(first) = u32::try_from(all.0.len()) else { return };
    all.0.extend(corners.iter().map(|at| matrix.transform_point3((*at).into()).to_array()));
    all.1.extend(triangles.iter().map(|triangle| triangle.map(|index| index + first)));
}

/// Where a node stands, and where its +Z points.
fn place(matrix: &Mat4) -> Place {
    let forward = matrix.transform_vector3(Vec3::Z);
    Place { at: matrix.transform_point3(Vec3::ZERO).to_array(), yaw: forward.x.atan2(forward.z) }
}

/// A seat of its three points (`OMI_seat`): who sits looks from its back to its knee.
fn seat(value: &Value, matrix: &Mat4) -> Option<Seat> {
    let point = |name: &str| -> Option<Vec3> {
        let list = value[name].as_array()?;
        #[expect(clippy::cast_possible_truncation, reason = "scenes are measured in floats")]
        let number = |at: usize| list.get(at)?.as_f64().map(|value| value as f32);
        Some(matrix.transform_point3(Vec3::new(number(0)?, number(1)?, number(2)?)))
    };
    let (back, foot, knee) = (point("back")?, point("foot")?, point("knee")?);
    let level = Vec3::new(knee.x - back.x, 0.0, knee.z - back.z);
    let forward = level.try_normalize()?;
    let hips = back + forward * HIPS_FORWARD;
    let front = knee + forward * STANDING_FORWARD;
    let place = Place { at: [hips.x, foot.y, hips.z], yaw: forward.x.atan2(forward.z) };
    Some(Seat { place, front: [front.x, foot.y, front.z] })
}
