//! A scene of a few boxes, and what is read from it.

use serde_json::{Value, json};

use super::*;
use crate::glb::Builder;

/// A floor of 40 by 40 m at height 0, a wall across x = 5, a step of 0.3 m from x = -4 to -6 and a
/// ledge of 3 m from x = -10 to -12; two seats facing +Z at z = -6, and a place to come in at z = 2
/// which looks to +X.
pub(crate) fn room() -> Vec<u8> {
    let mut builder = Builder::new();
    let mut shapes = Vec::new();
    let mut roots = Vec::new();
    let boxes = [
        ([40.0, 1.0, 40.0], [0.0, -0.5, 0.0]),
        ([0.3, 4.0, 20.0], [5.0, 2.0, 0.0]),
        ([2.0, 0.3, 40.0], [-5.0, 0.15, 0.0]),
        ([2.0, 3.0, 40.0], [-11.0, 1.5, 0.0]),
    ];
    for (size, at) in boxes {
        shapes.push(json!({ "type": "box", "box": { "size": size } }));
        let body =
            json!({ "motion": { "type": "static" }, "collider": { "shape": shapes.len() - 1 } });
        roots.push(builder.add(
            "nodes",
            json!({ "translation": at, "extensions": { "OMI_physics_body": body } }),
        ));
    }
    builder.uses("OMI_physics_body");
    builder.extend("OMI_physics_shape", json!({ "shapes": shapes }));
    builder.uses("OMI_seat");
    builder.uses("OMI_spawn_point");
    let seat = json!({ "back": [0, 0.45, 0], "knee": [0, 0.45, 0.45], "foot": [0, 0, 0.45] });
    for x in [0.0, 1.0] {
        roots.push(builder.add(
            "nodes",
            json!({ "translation": [x, 0, -6], "extensions": { "OMI_seat": seat } }),
        ));
    }
    roots.push(builder.add(
        "nodes",
        json!({
            "translation": [0, 0, 2],
            "rotation": [0, std::f64::consts::FRAC_1_SQRT_2, 0, std::f64::consts::FRAC_1_SQRT_2],
            "extensions": { "OMI_spawn_point": {} },
        }),
    ));
    builder.finish(&roots, "a room")
}

fn near(a: [f32; 3], b: [f32; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-3)
}

#[test]
fn a_scene_tells_its_ground_seats_and_places() {
    let scene = Scene::read(&room()).unwrap();
    assert_eq!(scene.solid.triangles(), 4 * 12);
    assert!((scene.spawns[0].yaw - std::f32::consts::FRAC_PI_2).abs() < 1e-4);
    assert!(near(scene.spawns[0].at, [0.0, 0.0, 2.0]));
    assert_eq!(scene.seats.len(), 2);
    assert!(near(scene.seats[1].place.at, [1.0, 0.0, -5.88]), "{:?}", scene.seats[1]);
    assert!(scene.seats[1].place.yaw.abs() < 1e-4);
    assert!(near(scene.seats[1].front, [1.0, 0.0, -5.2]), "{:?}", scene.seats[1]);
}

#[test]
fn bodies_fit_where_there_is_room() {
    let scene = Scene::read(&room()).unwrap();
    assert!(near(scene.stand([0.0, 0.2, 0.0]).unwrap(), [0.0, 0.0, 0.0]));
    assert!(near(scene.stand([-5.0, 0.2, 0.0]).unwrap(), [-5.0, 0.3, 0.0]));
    assert!(scene.stand([5.0, 0.0, 0.0]).is_none(), "inside the wall");
    assert!(scene.stand([30.0, 0.0, 0.0]).is_none(), "beside the floor");
    assert!(scene.solid.between([0.0, 1.0, 0.0], [9.0, 1.0, 0.0]));
    assert!(!scene.solid.between([0.0, 1.0, 0.0], [4.0, 1.0, 0.0]));
}

#[test]
fn those_who_arrive_together_stand_apart() {
    let scene = Scene::read(&room()).unwrap();
    let places: Vec<[f32; 3]> = (0..20).map(|visit| scene.arrival(visit).at).collect();
    for (at, place) in places.iter().enumerate() {
        for other in &places[at + 1..] {
            let apart = (place[0] - other[0]).hypot(place[2] - other[2]);
            assert!(apart > 0.4, "{place:?} and {other:?}");
        }
    }
}

#[test]
fn without_colliders_everything_drawn_holds() {
    let mut builder = Builder::new();
    let corners = [[-5.0, 1.0, -5.0], [-5.0, 1.0, 5.0], [5.0, 1.0, 5.0], [5.0, 1.0, -5.0]];
    let at = builder.attribute(&corners, true);
    let indices = builder.indices(&[0, 1, 2, 0, 2, 3]);
    let part = json!({ "attributes": { "POSITION": at }, "indices": indices });
    let mesh = builder.add("meshes", json!({ "primitives": [part] }));
    let node = builder.add("nodes", json!({ "mesh": mesh, "scale": [2, 2, 2] }));
    let scene = Scene::read(&builder.finish(&[node], "a floor")).unwrap();
    assert!((scene.solid.below([9.0, 5.0, 9.0], 10.0).unwrap().y - 2.0).abs() < 1e-4);
}

#[test]
fn every_simple_shape_holds() {
    let shapes = [
        json!({ "type": "box" }),
        json!({ "type": "sphere", "sphere": { "radius": 0.5 } }),
        json!({ "type": "capsule" }),
        json!({ "type": "cylinder", "cylinder": { "height": 1.0 } }),
        json!({ "type": "cylinder", "cylinder": { "height": 1.0, "radiusTop": 0 } }),
    ];
    for shape in shapes {
        let (corners, triangles) = shapes::simple(&shape).unwrap();
        let solid = Solid::new(&corners, triangles).unwrap();
        let top = solid.below([0.01, 3.0, 0.01], 5.0).unwrap().y;
        assert!((0.45..=1.01).contains(&top), "{shape}: {top}");
    }
    assert!(shapes::simple(&json!({ "type": "blob" })).is_none());
    assert!(shapes::convex(&[[0.0; 3]; 4]).is_none());
}

#[test]
fn a_scene_of_nothing_is_refused() {
    let empty = Builder::new().finish(&[], "nothing");
    assert!(matches!(Scene::read(&empty), Err(SceneError::Empty)));
    assert!(matches!(Scene::read(b"glTF"), Err(SceneError::Unsound(_))));
    let value: Value = json!({});
    assert!(shapes::simple(&value).is_none());
}
