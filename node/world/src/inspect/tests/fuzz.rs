//! Damage: whatever the bytes are, there is an answer, and what is accepted stays accepted.

use std::{fs, path::Path};

use bolero::check;
use serde_json::{Value, json};

use super::*;

const MODERN: &[u8] = include_bytes!("../../../vectors/seeds/inspect/modern.vrm");
const OLD: &[u8] = include_bytes!("../../../vectors/seeds/inspect/old.vrm");

fn look(file: &[u8]) {
    if let Some(normalised) = avatar(file).normalised {
        let again = avatar(&normalised);
        assert!(again.report.accepted, "{:#?}", again.report.issues);
        assert!(
            again.normalised.as_deref() == Some(&normalised[..]),
            "normalised twice, it differs"
        );
    }
    if let Ok(asset) = asset(file, &Limits::SCENE) {
        for (number, mesh) in asset.document().meshes().enumerate() {
            for primitive in 0..mesh.primitives().count() {
                if let Some((points, triangles)) = asset.triangles(number, primitive) {
                    let most = triangles.iter().flatten().max().copied().unwrap_or(0);
                    assert!(triangles.is_empty() || (most as usize) < points.len());
                }
            }
        }
        assert!(
            asset
                .shown_nodes()
                .all(|(_, world)| world.as_flattened().iter().all(|one| one.is_finite()))
        );
    }
}

#[test]
fn the_seeds_are_the_samples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/seeds/inspect");
    for (name, seed, sample) in [("modern.vrm", MODERN, modern()), ("old.vrm", OLD, old())] {
        // Where the sample changed on purpose, the seeds are written anew.
        if std::env::var_os("WAYSIDE_WRITE_SEEDS").is_some() {
            fs::write(folder.join(name), bytes(&sample)).unwrap();
        } else {
            assert!(bytes(&sample) == seed, "WAYSIDE_WRITE_SEEDS=1 writes {name} anew");
            look(seed);
        }
    }
}

#[test]
fn damaged_bytes_never_panic() {
    check!().with_type::<(bool, Vec<(u32, u8)>, Option<u16>, Vec<u8>)>().for_each(
        |(old, changes, length, raw)| {
            look(raw);
            let mut file = if *old { OLD } else { MODERN }.to_vec();
            for (at, byte) in changes {
                let at = *at as usize % file.len();
                file[at] = *byte;
            }
            if let Some(length) = length {
                file.truncate(usize::from(*length));
            }
            look(&file);
        },
    );
}

/// A value of the JSON, counted in the order of writing.
fn nth(value: &mut Value, left: &mut usize, change: &Value) -> bool {
    if *left == 0 {
        *value = change.clone();
        return true;
    }
    *left -= 1;
    match value {
        Value::Array(list) => list.iter_mut().any(|one| nth(one, left, change)),
        Value::Object(map) => map.values_mut().any(|one| nth(one, left, change)),
        _ => false,
    }
}

fn changed(kind: u8, number: i64) -> Value {
    match kind % 14 {
        0 => Value::Null,
        1 => json!(number),
        2 => json!(number.rem_euclid(25)),
        3 => json!(-1),
        4 => json!([]),
        5 => json!({}),
        6 => json!("text"),
        7 => json!(true),
        #[expect(clippy::cast_precision_loss, reason = "any number will do")]
        8 => json!(number as f64 * 1e20),
        9 => json!(u32::MAX),
        10 => json!(u64::MAX),
        11 => json!([number.rem_euclid(25), 0, 1]),
        12 => json!({ "index": 0, "node": number.rem_euclid(25) }),
        _ => json!(0.333_333_333_333_333_3),
    }
}

#[test]
fn damaged_json_never_panics() {
    check!().with_type::<(bool, Vec<(u16, u8, i64)>)>().for_each(|(from_old, changes)| {
        let (mut root, bin) = if *from_old { old() } else { modern() };
        for (at, kind, number) in changes.iter().take(4) {
            nth(&mut root, &mut (usize::from(*at) % 900), &changed(*kind, *number));
        }
        look(&bytes(&(root, bin)));
    });
}
