//! Places in a world as its state says them, first of all where people arrive (specs/worlds.md).

use serde_json::{Value, json};
use wayside_specs::limits;
use wayside_world::scene::Place;

/// A place in the form of the state; nothing for one that is too far away to be said.
pub(super) fn written(place: Place) -> Option<Value> {
    let position: Option<Vec<i64>> = place.at.into_iter().map(millimetres).collect();
    let degrees = place.yaw.to_degrees().round();
    #[expect(clippy::cast_possible_truncation, reason = "a turn has 360 degrees")]
    let yaw = degrees.is_finite().then_some(degrees as i64)?;
    Some(json!({ "position_mm": position?, "yaw_deg": yaw.rem_euclid(360) }))
}

/// The place that a world's state names, if it names one.
pub(super) fn named(said: &Value) -> Option<Place> {
    place(said.get("spawn")?)
}

/// A place as state says it.
#[expect(clippy::cast_precision_loss, reason = "worlds are measured in floats")]
pub(super) fn place(said: &Value) -> Option<Place> {
    let position: [i64; 3] = serde_json::from_value(said.get("position_mm")?.clone()).ok()?;
    let within = |millimetres: &i64| millimetres.unsigned_abs() <= limits::WORLD_REACH_MM;
    let yaw = said.get("yaw_deg").map_or(Some(0), Value::as_i64)?;
    (position.iter().all(within) && (-360..=360).contains(&yaw)).then(|| Place {
        at: position.map(|millimetres| millimetres as f32 / 1_000.0),
        yaw: (yaw as f32).to_radians(),
    })
}

fn millimetres(metres: f32) -> Option<i64> {
    let millimetres = (f64::from(metres) * 1_000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "it is held within the reach of worlds")]
    let whole = millimetres.is_finite().then_some(millimetres as i64)?;
    (whole.unsigned_abs() <= limits::WORLD_REACH_MM).then_some(whole)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::{FRAC_PI_2, PI};

    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was_written() {
        for (at, yaw, said) in [
            ([0.0; 3], 0.0, json!({ "position_mm": [0, 0, 0], "yaw_deg": 0 })),
            (
                [1.5, -2.25, 30.0004],
                FRAC_PI_2,
                json!({ "position_mm": [1500, -2250, 30000], "yaw_deg": 90 }),
            ),
            (
                [-16_777.0, 0.0, 16_777.0],
                -FRAC_PI_2,
                json!({ "position_mm": [-16_777_000, 0, 16_777_000], "yaw_deg": 270 }),
            ),
            ([0.0; 3], -PI, json!({ "position_mm": [0, 0, 0], "yaw_deg": 180 })),
        ] {
            let written = written(Place { at, yaw }).unwrap();
            assert_eq!(written, said);
            let back = named(&json!({ "spawn": written })).unwrap();
            assert!(at.iter().zip(back.at).all(|(a, b)| (a - b).abs() < 0.001), "{back:?}");
            assert!((back.yaw - yaw).cos() > 0.999_9, "{back:?}");
        }
        for metres in [16_778.0, f32::NAN, f32::INFINITY] {
            assert!(written(Place { at: [0.0, 0.0, metres], yaw: 0.0 }).is_none());
        }
        assert!(written(Place { at: [0.0; 3], yaw: f32::NAN }).is_none());
    }

    #[test]
    fn what_names_no_place_is_none() {
        let at = json!([0, 0, 0]);
        for spawn in [
            Value::Null,
            json!("the middle"),
            json!({}),
            json!({ "yaw_deg": 0 }),
            json!({ "position_mm": [0, 0] }),
            json!({ "position_mm": [0, 0, 0, 0] }),
            json!({ "position_mm": [0, "0", 0] }),
            json!({ "position_mm": [0, 0.5, 0] }),
            json!({ "position_mm": { "0": 0, "1": 0, "2": 0 } }),
            json!({ "position_mm": [0, 0, 16_777_001] }),
            json!({ "position_mm": [i64::MIN, 0, 0] }),
            json!({ "position_mm": [u64::MAX, 0, 0] }),
            json!({ "position_mm": at, "yaw_deg": 361 }),
            json!({ "position_mm": at, "yaw_deg": -361 }),
            json!({ "position_mm": at, "yaw_deg": "north" }),
            json!({ "position_mm": at, "yaw_deg": null }),
        ] {
            assert_eq!(named(&json!({ "spawn": spawn })), None, "{spawn}");
        }
        assert_eq!(named(&json!({ "spawn": { "position_mm": at } })), Some(Place::default()));
        assert_eq!(named(&json!({})), None);
        assert_eq!(named(&json!([])), None);
    }
}
