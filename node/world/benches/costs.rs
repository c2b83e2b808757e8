//! What bodies and scenes cost, in milliseconds of CPU.
//!
//! Standard output gets a JSON object a line for each number, for `make bench`.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot build its bodies has nothing to measure"
)]

use std::{fs, hint::black_box};

use serde_json::{Value, json};
use wayside_world::{body, glb, inspect, plaza, scene::Scene};

/// Bodies that are made, each from a seed of its own.
const BODIES: u64 = 40;
/// Bytes of the body that is inspected.
const LARGE: usize = 20_000_000;
const PLAZAS: u32 = 3;

fn main() {
    let made: Vec<Vec<u8>> = (0..BODIES).map(body::vrm).collect();
    let before = cpu_ms();
    (0..BODIES).for_each(|seed| drop(black_box(body::vrm(seed + BODIES))));
    #[expect(clippy::cast_precision_loss, reason = "a small count")]
    let each = (cpu_ms() - before) / BODIES as f64;
    let note = format!("the mean of {BODIES} seeds");
    row("world.body_ms", each, "ms", Some(50.0), &note);
    #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
    let largest = made.iter().map(Vec::len).max().unwrap() as f64 / 1_000.0;
    row("world.body_kb", largest, "kB", Some(300.0), &format!("the largest of {BODIES} seeds"));

    let large = padded(&made[0], LARGE);
    let before = cpu_ms();
    let looked = black_box(inspect::avatar(&large));
    let took = (cpu_ms() - before) / 1_000.0;
    assert!(looked.report.accepted, "{:?}", looked.report.issues);
    let note = format!("{LARGE} bytes, normalised and looked at again");
    row("world.inspect_s", took, "s", Some(0.5), &note);

    let before = cpu_ms();
    (0..PLAZAS).for_each(|_| drop(black_box(plaza::glb())));
    row("world.plaza_ms", (cpu_ms() - before) / f64::from(PLAZAS), "ms", None, "the first world");
    let plaza = plaza::glb();
    #[expect(clippy::cast_precision_loss, reason = "sizes of files")]
    let bytes = plaza.len() as f64 / 1e6;
    row("world.plaza_mb", bytes, "MB", Some(4.0), "its size");
    let before = cpu_ms();
    black_box(Scene::read(&plaza).unwrap());
    row("world.scene_ms", cpu_ms() - before, "ms", None, "reading the first world for an instance");
}

fn row(name: &str, value: f64, unit: &str, limit: Option<f64>, note: &str) {
    let ok = limit.is_none_or(|limit| value <= limit);
    let row = json!({
        "name": name, "value": value, "unit": unit, "limit": limit, "better": "lower", "ok": ok,
        "note": note,
    });
    println!("{row}");
}

/// The same body with a mesh beside it that makes it so large.
fn padded(vrm: &[u8], bytes: usize) -> Vec<u8> {
    let json_bytes = usize::try_from(u32::from_le_bytes(vrm[12..16].try_into().unwrap())).unwrap();
    let mut json: Value = serde_json::from_slice(&vrm[20..20 + json_bytes]).unwrap();
    let mut bin = vrm[28 + json_bytes..].to_vec();
    // Vectors of four: with fewer numbers each there would be more of them than an avatar may have.
    let count = (bytes - vrm.len()) / 16;
    let view = json!({ "buffer": 0, "byteOffset": bin.len(), "byteLength": count * 16 });
    bin.resize(bin.len() + count * 16, 0);
    json["buffers"][0]["byteLength"] = bin.len().into();
    let views = json["bufferViews"].as_array_mut().unwrap();
    views.push(view);
    let view = views.len() - 1;
    let accessor =
        json!({ "bufferView": view, "componentType": 5126, "count": count, "type": "VEC4" });
    json["accessors"].as_array_mut().unwrap().push(accessor);
    glb::container(&json.to_string(), bin)
}

/// The CPU time of this process in milliseconds, in the system's ticks of ten.
fn cpu_ms() -> f64 {
    let stat = fs::read_to_string("/proc/self/schedstat").unwrap();
    let ns: f64 = stat.split_whitespace().next().unwrap().parse().unwrap();
    ns / 1e6
}
