//! What every body keeps to, read back from its file by a reader that is not ours.

use super::assemble::Body;
use super::mood::EXPRESSIONS;
use super::thin::TOLERANCE;
use super::*;
use gltf::Gltf;
use serde_json::Value;

/// People that are looked at; in the full run many more.
fn seeds() -> u64 {
    let full = std::env::var("WAYSIDE_TEST_EXTENT").is_ok_and(|extent| extent == "full");
    if full { 400 } else { 40 }
}

const MOST_TRIANGLES: usize = 12_000;

/// The humanoid bones that VRM 1.0 wants of every body.
const REQUIRED: [&str; 15] = [
    "hips",
    "spine",
    "head",
    "leftUpperLeg",
    "leftLowerLeg",
    "leftFoot",
    "rightUpperLeg",
    "rightLowerLeg",
    "rightFoot",
    "leftUpperArm",
    "leftLowerArm",
    "leftHand",
    "rightUpperArm",
    "rightLowerArm",
    "rightHand",
];

/// The expressions that VRM 1.0 names.
const PRESETS: [&str; 18] = [
    "happy",
    "angry",
    "sad",
    "relaxed",
    "surprised",
    "aa",
    "ih",
    "ou",
    "ee",
    "oh",
    "blink",
    "blinkLeft",
    "blinkRight",
    "lookUp",
    "lookDown",
    "lookLeft",
    "lookRight",
    "neutral",
];

#[test]
fn every_person_keeps_to_the_limits() {
    let (mut largest, mut most, mut different) = (0, 0, std::collections::BTreeSet::new());
    for seed in 0..seeds() {
        let file = vrm(seed);
        let triangles = check(seed, &file);
        largest = largest.max(file.len());
        most = most.max(triangles);
        assert!(file.len() <= MOST_BYTES, "seed {seed}: {} bytes", file.len());
        assert!(triangles <= MOST_TRIANGLES, "seed {seed}: {triangles} triangles");
        different.insert(file);
    }
    assert_eq!(different.len() as u64, seeds());
    println!("the largest has {largest} bytes, the finest {most} triangles");
}

/// Those of the first two thousand that would be too large with all of their clay, and one that is not.
#[test]
fn who_would_be_too_large_keeps_less_clay() {
    for seed in [365, 1581] {
        let whole = super::vrm::write(&Body::of(seed, TOLERANCE));
        let file = vrm(seed);
        check(seed, &file);
        assert!(whole.len() > MOST_BYTES && file.len() <= MOST_BYTES, "{seed}: {}", file.len());
    }
    assert_eq!(vrm(1), super::vrm::write(&Body::of(1, TOLERANCE)));
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    for seed in [0, 7, u64::MAX] {
        assert_eq!(vrm(seed), vrm(seed));
    }
}

/// Looks through a file, and tells how many triangles it has.
fn check(seed: u64, file: &[u8]) -> usize {
    let gltf = Gltf::from_slice_without_validation(file).unwrap();
    let blob = gltf.blob.as_deref().unwrap();
    check_humanoid(seed, &gltf);
    let skin = gltf.skins().next().unwrap();
    let joints = skin.joints().count();
    let mut triangles = 0;
    for primitive in gltf.meshes().flat_map(|mesh| mesh.primitives().collect::<Vec<_>>()) {
        let reader = primitive.reader(|_| Some(blob));
        let points: Vec<[f32; 3]> = reader.read_positions().unwrap().collect();
        let normals = reader.read_normals().unwrap();
        assert!(points.iter().flatten().all(|number| number.abs() < 2.5), "seed {seed}");
        for [x, y, z] in normals {
            assert!((x.hypot(y).hypot(z) - 1.0).abs() < 1e-3, "seed {seed}: a normal is not one");
        }
        for weights in reader.read_weights(0).unwrap().into_u8() {
            assert_eq!(weights.iter().map(|share| u32::from(*share)).sum::<u32>(), 255);
        }
        for held in reader.read_joints(0).unwrap().into_u16() {
            assert!(held.iter().all(|joint| usize::from(*joint) < joints), "seed {seed}");
        }
        let corners: Vec<u32> = reader.read_indices().unwrap().into_u32().collect();
        assert!(corners.iter().all(|corner| (*corner as usize) < points.len()), "seed {seed}");
        triangles += corners.len() / 3;
        for (moved, _, _) in reader.read_morph_targets() {
            let moved: Vec<[f32; 3]> = moved.unwrap().collect();
            assert_eq!(moved.len(), points.len());
            assert!(moved.iter().flatten().all(|number| number.abs() < 0.1), "seed {seed}");
        }
    }
    triangles
}

fn check_humanoid(seed: u64, gltf: &Gltf) {
    let vrm = gltf.extension_value("VRMC_vrm").unwrap();
    let bones = &vrm["humanoid"]["humanBones"];
    for bone in REQUIRED.iter().chain(&["neck", "chest", "leftEye", "rightEye", "leftToes"]) {
        let node = bones[bone]["node"].as_u64().unwrap_or_else(|| panic!("seed {seed}: {bone}"));
        let node = gltf.nodes().nth(usize::try_from(node).unwrap()).unwrap();
        assert_eq!(node.name(), Some(*bone));
    }
    for preset in PRESETS {
        assert!(vrm["expressions"]["preset"][preset].is_object(), "seed {seed}: {preset}");
    }
    for material in gltf.materials() {
        let toon = material.extension_value("VRMC_materials_mtoon").unwrap();
        assert_eq!(toon["specVersion"], "1.0");
    }
    if let Some(springs) = gltf.extension_value("VRMC_springBone") {
        let joints = springs["springs"].as_array().unwrap().iter();
        let joints = joints.flat_map(|spring| spring["joints"].as_array().unwrap());
        for joint in joints {
            let node = joint["node"].as_u64().unwrap();
            assert!(usize::try_from(node).unwrap() < gltf.nodes().count());
        }
    }
}

#[test]
fn feet_stand_on_the_ground_and_faces_look_ahead() {
    for seed in 0..20 {
        let body = Body::of(seed, TOLERANCE);
        let low = body.flesh.at.iter().map(|at| at[1]).fold(f32::MAX, f32::min);
        assert!(low.abs() < 0.004, "seed {seed}: feet at {low}");
        let front: f32 = body.face.normal.iter().map(|normal| normal[2]).sum();
        assert!(front > 0.6 * crate::vector::real(body.face.normal.len()), "seed {seed}");
    }
}

#[test]
fn closing_an_eye_hides_it() {
    let body = Body::of(3, TOLERANCE);
    let blink = EXPRESSIONS.iter().position(|mood| mood.name == "blinkLeft").unwrap();
    let moved = body.morphs[blink].iter().filter(|by| by[1] < -0.02).count();
    assert!(moved > 10, "{moved} points of the lid come down");
    let other = body.morphs[blink]
        .iter()
        .zip(&body.face.at)
        .filter(|(by, at)| at[0] < 0.0 && by.iter().any(|number| number.abs() > 1e-6));
    assert_eq!(other.count(), 0, "the other eye stays open");
}

#[test]
fn every_optional_field_is_written() {
    let file = vrm(1);
    let gltf = Gltf::from_slice_without_validation(&file).unwrap();
    let meta = &gltf.extension_value("VRMC_vrm").unwrap()["meta"];
    for field in ["version", "copyrightInformation", "contactInformation", "references"] {
        assert!(!meta[field].is_null(), "{field}");
    }
    assert_eq!(meta["avatarPermission"], "everyone");
    assert_eq!(meta["references"].as_array().map(Vec::len), Some(1));
    let toon = gltf.materials().next().unwrap();
    let toon: &Value = toon.extension_value("VRMC_materials_mtoon").unwrap();
    for field in ["shadeColorFactor", "outlineWidthMode", "rimLightingMixFactor", "matcapFactor"] {
        assert!(!toon[field].is_null(), "{field}");
    }
}
