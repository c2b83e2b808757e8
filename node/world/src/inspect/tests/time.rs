//! How long a large file takes, as time of the processor.

use std::time::{Duration, Instant};

use super::*;

/// A body of about 20 MB: a grid of many vertices with morph targets, and large pictures.
fn large() -> Vec<u8> {
    const EDGE: u32 = 340;
    let (mut root, mut bin) = old();
    let mut add = |root: &mut Value, bytes: Vec<u8>, component: u32, count: u32, shape: &str| {
        let start = bin.len();
        let views = root["bufferViews"].as_array_mut().unwrap();
        views.push(json!({ "buffer": 0, "byteOffset": start, "byteLength": bytes.len() }));
        let view = views.len() - 1;
        bin.extend(bytes);
        bin.resize(bin.len().next_multiple_of(4), 0);
        root["buffers"][0]["byteLength"] = bin.len().into();
        let list = root["accessors"].as_array_mut().unwrap();
        let mut accessor = json!({ "bufferView": view, "componentType": component, "count": count, "type": shape });
        if shape == "VEC3" {
            accessor["min"] = json!([0, 0, 0]);
            accessor["max"] = json!([1, 1, 1]);
        }
        list.push(accessor);
        list.len() - 1
    };
    let vertices = EDGE * EDGE;
    #[expect(clippy::cast_precision_loss, reason = "a grid of a few hundred")]
    let points = |x: u32, y: u32| [x as f32 / (EDGE - 1) as f32, y as f32 / (EDGE - 1) as f32, 1.0];
    let grid = (0..vertices).flat_map(|at| points(at % EDGE, at / EDGE));
    let grid: Vec<u8> = grid.flat_map(f32::to_le_bytes).collect();
    let up: Vec<u8> =
        (0..vertices).flat_map(|_| [0f32, 0.0, 1.0]).flat_map(f32::to_le_bytes).collect();
    let weights: Vec<u8> =
        (0..vertices).flat_map(|_| [1f32, 0.0, 0.0, 0.0]).flat_map(f32::to_le_bytes).collect();
    let corners = (0..EDGE - 1).flat_map(|y| (0..EDGE - 1).map(move |x| y * EDGE + x));
    let corners: Vec<u8> = corners
        .flat_map(|at| [at, at + 1, at + EDGE, at + 1, at + EDGE + 1, at + EDGE])
        .flat_map(u32::to_le_bytes)
        .collect();
    let position = add(&mut root, grid.clone(), 5126, vertices, "VEC3");
    let normal = add(&mut root, up, 5126, vertices, "VEC3");
    let joints = add(&mut root, vec![0; vertices as usize * 4], 5121, vertices, "VEC4");
    let weights = add(&mut root, weights, 5126, vertices, "VEC4");
    let count = u32::try_from(corners.len() / 4).unwrap();
    let indices = add(&mut root, corners, 5125, count, "SCALAR");
    let targets: Vec<Value> = (0..8)
        .map(|_| json!({ "POSITION": add(&mut root, grid.clone(), 5126, vertices, "VEC3") }))
        .collect();
    let mesh = json!({ "primitives": [{
        "attributes": { "POSITION": position, "NORMAL": normal, "JOINTS_0": joints, "WEIGHTS_0": weights },
        "indices": indices, "material": 0, "targets": targets,
    }] });
    root["meshes"] = json!([mesh]);
    bytes(&(root, bin))
}

#[test]
fn twenty_megabytes_take_no_second() {
    let file = large();
    assert!((18_000_000..25_000_000).contains(&file.len()), "{} bytes", file.len());
    // The quietest of three: others share this machine.
    let mut least = Duration::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let inspection = avatar(&file);
        least = least.min(start.elapsed());
        assert!(inspection.report.accepted, "{:#?}", inspection.report.issues);
    }
    println!("inspecting and converting {} bytes took {least:?}", file.len());
    // Half a second is what a release build may take; a test build on a busy machine gets more.
    assert!(least < Duration::from_secs(4), "{least:?}");
}
