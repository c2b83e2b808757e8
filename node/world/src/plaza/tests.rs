//! The plaza as whoever loads it finds it: what is in it, what it costs, and where people get.

use std::collections::{BTreeMap, VecDeque};

use gltf::Gltf;

use super::{PREVIEW, glb};
use crate::{
    picture::{Format, probe},
    scene::Scene,
};

/// The side of a cell of the map that is walked in tests, in metres.
const CELL: f32 = 0.4;

/// A cell by its column and its row.
type Cell = (i16, i16);

fn scene() -> Scene {
    Scene::read(&glb()).unwrap()
}

fn middle((column, row): Cell) -> (f32, f32) {
    (f32::from(column) * CELL, f32::from(row) * CELL)
}

#[expect(clippy::cast_possible_truncation, reason = "the map is small")]
fn cell(at: [f32; 3]) -> Cell {
    ((at[0] / CELL).round() as i16, (at[2] / CELL).round() as i16)
}

/// The cells that somebody who arrives can walk or jump to, with the floor of each.
fn reached(scene: &Scene, rise: f32) -> BTreeMap<Cell, f32> {
    let mut reached: BTreeMap<Cell, f32> =
        scene.spawns.iter().map(|spawn| (cell(spawn.at), spawn.at[1])).collect();
    let mut open: VecDeque<Cell> = reached.keys().copied().collect();
    while let Some(here) = open.pop_front() {
        let (x, z) = middle(here);
        let level = reached[&here];
        for (column, row) in [(1, 0), (-1, 0), (0, 1), (0, -1)] {
            let next = (here.0 + column, here.1 + row);
            let (to_x, to_z) = middle(next);
            let breast = level + rise + 0.5;
            let wall = scene.solid.between([x, breast, z], [to_x, breast, to_z]);
            let ground = scene.solid.below([to_x, level + rise, to_z], 4.0);
            let Some(ground) = ground.filter(|ground| ground.is_walkable() && !wall) else {
                continue;
            };
            if !reached.contains_key(&next) && !scene.solid.overlaps([to_x, ground.y, to_z]) {
                reached.insert(next, ground.y);
                open.push_back(next);
            }
        }
    }
    reached
}

#[test]
fn it_is_the_same_every_time_and_within_its_budget() {
    let bytes = glb();
    assert!(bytes == glb(), "two worlds differ");
    assert!(bytes.len() <= 3_200_000, "{} bytes", bytes.len());
    let loaded = Gltf::from_slice(&bytes).unwrap();
    let drawn: Vec<_> = loaded.nodes().filter_map(|node| node.mesh()).collect();
    assert!(drawn.len() <= 40, "{} drawn meshes", drawn.len());
    assert!(drawn.iter().all(|mesh| mesh.primitives().len() == 1));
    assert!(drawn.iter().all(|mesh| !mesh.name().unwrap().ends_with("_body")), "bodies are drawn");
    let corners = drawn.iter().flat_map(gltf::Mesh::primitives);
    let corners: usize = corners.map(|primitive| primitive.indices().unwrap().count()).sum();
    assert!(corners / 3 <= 130_000, "{} triangles", corners / 3);
}

#[test]
fn it_has_all_that_a_world_needs() {
    let loaded = Gltf::from_slice(&glb()).unwrap();
    assert!(loaded.extension_value("OMI_environment_sky").is_some());
    assert!(loaded.extension_value("KHR_lights_punctual").is_some());
    let named = |name: &str| loaded.nodes().any(|node| node.name() == Some(name));
    for name in ["water", "sun", "portal_1", "portal_2", "portal_3", "portal_4", "portal_5"] {
        assert!(named(name), "no node is named {name}");
    }
    let scene = scene();
    assert!(scene.spawns.len() >= 8 && scene.seats.len() >= 40);
}

#[test]
fn who_arrives_or_rises_from_a_seat_stands_on_the_floor() {
    let scene = scene();
    let spawns = scene.spawns.iter().map(|spawn| spawn.at);
    for at in spawns.chain(scene.seats.iter().map(|seat| seat.front)) {
        let stand = scene.stand(at);
        let off = stand.map(|stand| (stand[1] - at[1]).abs());
        assert!(off.is_some_and(|off| off < 0.06), "at {at:?}: {stand:?}");
    }
}

#[test]
fn what_is_paved_holds_where_it_is_seen() {
    let scene = scene();
    for (at, level) in [
        ([5.0, 1.0, 5.0], 0.0),
        ([-14.0, 1.0, 21.0], -0.02),
        ([9.0, 1.0, 33.0], -0.02),
        ([3.0, 4.0, -30.0], 3.2),
    ] {
        let floor = scene.solid.below(at, 3.0).unwrap().y;
        assert!((floor - level).abs() < 0.01, "{floor} at {at:?}");
    }
}

#[test]
fn every_seat_and_portal_is_reached() {
    let scene = scene();
    let reached = reached(&scene, 0.35);
    let cells = f32::from(u16::try_from(reached.len()).unwrap());
    let area = cells * CELL * CELL;
    assert!(area > 4_000.0, "only {area} m² can be walked");
    let near = |at: [f32; 3]| {
        let (column, row) = cell(at);
        let around =
            (-1..2).flat_map(|aside| (-1..2).map(move |along| (column + aside, row + along)));
        around.into_iter().any(|cell| reached.contains_key(&cell))
    };
    for seat in &scene.seats {
        assert!(near(seat.front), "nobody gets to {seat:?}");
    }
    let loaded = Gltf::from_slice(&glb()).unwrap();
    for node in loaded.nodes().filter(|node| node.name().unwrap().starts_with("portal_")) {
        let at = node.transform().decomposed().0;
        assert!(near(at), "nobody gets to {}", node.name().unwrap());
    }
    // The stage, and the pavilion over the water.
    assert!(near([-13.0, 0.8, 14.0]) && near([9.0, 0.0, 45.0]));
}

#[test]
fn nobody_leaves_by_walking_or_by_jumping() {
    for (cell, floor) in reached(&scene(), 1.15) {
        let (x, z) = middle(cell);
        let on_pier = (x - 9.0).abs() < 5.0 && z > 23.0 && z < 49.0;
        let on_land = x.abs() < 41.0 && z > -44.0 && z < 24.0;
        assert!(floor > -0.3 && (on_pier || on_land), "somebody got to {x}, {floor}, {z}");
    }
}

#[test]
fn its_picture_is_small_and_wide() {
    let picture = probe(PREVIEW).unwrap();
    assert_eq!((picture.format, picture.width, picture.height), (Format::Jpeg, 960, 540));
    assert!(PREVIEW.len() <= 120 * 1024, "{} bytes", PREVIEW.len());
}
