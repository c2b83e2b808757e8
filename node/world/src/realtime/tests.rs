//! The codec against the vectors of specs/vectors/realtime.json, which were made without it.

use bolero::check;
use serde_json::{Value, json};

use super::*;

const VECTORS: &str = include_str!("../../../../specs/vectors/realtime.json");

fn vectors(of: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(VECTORS).unwrap();
    let list = all[of].as_array().unwrap().clone();
    assert!(!list.is_empty());
    list
}

fn bytes_of(vector: &Value) -> Vec<u8> {
    let digits = vector["hex"].as_str().unwrap().as_bytes();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

fn pose_fields(pose: &Pose) -> Value {
    let motion = format!("{:?}", pose.motion).to_lowercase();
    let mut fields = json!({
        "motion": motion, "jumped": pose.jumped, "at": pose.at, "yaw": pose.yaw,
        "look_yaw": pose.look_yaw, "look_pitch": pose.look_pitch,
    });
    if let Some(tracked) = &pose.tracked {
        let part = |part: &Part| json!({ "at_mm": part.at_mm, "turn": part.turn });
        let parts: Vec<Value> = tracked.parts.iter().map(part).collect();
        fields["tracked"] = json!({ "hands": tracked.hands, "parts": parts });
    }
    fields
}

fn digits(bytes: &[u8; BLOCK_BYTES]) -> String {
    format!("{:032x}", u128::from_be_bytes(*bytes))
}

fn client_fields(frame: &FromClient) -> (&'static str, Value) {
    match frame {
        FromClient::Hello { version, ticket } => {
            ("hello", json!({ "version": version, "ticket": ticket }))
        }
        FromClient::Input { sequence, pose } => {
            ("input", json!({ "sequence": sequence, "pose": pose_fields(pose) }))
        }
        FromClient::Sit { seat } => ("sit", json!({ "seat": seat })),
        FromClient::Stand => ("stand", json!({})),
        FromClient::Emote { emote } => ("emote", json!({ "emote": emote })),
        FromClient::Ping { nonce } => ("ping", json!({ "nonce": nonce })),
        FromClient::Go => ("go", json!({})),
        FromClient::Blocks { salt, hashes } => {
            let hashes: Vec<String> = hashes.iter().map(digits).collect();
            ("blocks", json!({ "salt": digits(salt), "hashes": hashes }))
        }
    }
}

fn node_fields(frame: &FromNode) -> (&'static str, Value) {
    match frame {
        FromNode::Welcome { version, slot, tick_hz, tick, capacity, pose } => (
            "welcome",
            json!({
                "version": version, "slot": slot, "tick_hz": tick_hz, "tick": tick,
                "capacity": capacity, "pose": pose_fields(pose),
            }),
        ),
        FromNode::Snapshot { tick, bodies } => {
            let bodies: Vec<Value> =
                bodies.iter().map(|(slot, pose)| json!([slot, pose_fields(pose)])).collect();
            ("snapshot", json!({ "tick": tick, "bodies": bodies }))
        }
        FromNode::Entered { slot, own, seat, who } => (
            "entered",
            json!({
                "slot": slot, "own": own, "guest": who.guest, "seat": seat, "user_id": who.user_id,
                "name": who.name, "avatar": who.avatar, "fallback": who.fallback, "badges": who.badges,
            }),
        ),
        FromNode::Left { slot } => ("left", json!({ "slot": slot })),
        FromNode::Emoted { slot, emote, tick } => {
            ("emoted", json!({ "slot": slot, "emote": emote, "tick": tick }))
        }
        FromNode::Correction { sequence, reason, pose } => (
            "correction",
            json!({ "sequence": sequence, "reason": *reason as u8, "pose": pose_fields(pose) }),
        ),
        FromNode::Seated { slot, seat } => ("seated", json!({ "slot": slot, "seat": seat })),
        FromNode::Refused { kind, reason } => {
            ("refused", json!({ "kind": kind, "reason": *reason as u8 }))
        }
        FromNode::Event { event } => ("event", json!({ "event": event })),
        FromNode::Pong { nonce, tick } => ("pong", json!({ "nonce": nonce, "tick": tick })),
        FromNode::Notice { code } => ("notice", json!({ "code": code })),
        FromNode::Bye { reason, again_ms } => {
            ("bye", json!({ "reason": *reason as u8, "again_ms": again_ms }))
        }
    }
}

#[test]
fn every_frame_reads_back_and_a_broken_one_is_refused() {
    let mut kinds = std::collections::BTreeSet::new();
    for vector in vectors("frames") {
        let bytes = bytes_of(&vector);
        let (name, fields, written) = if bytes[0] < 0x40 {
            let frame = FromClient::read(&bytes).unwrap();
            let (name, fields) = client_fields(&frame);
            (name, fields, frame.bytes())
        } else {
            let frame = FromNode::read(&bytes).unwrap();
            let (name, fields) = node_fields(&frame);
            (name, fields, frame.bytes())
        };
        assert_eq!((name, &fields), (vector["frame"].as_str().unwrap(), &vector["fields"]));
        assert_eq!(written, bytes, "{vector}");
        kinds.insert(bytes[0]);
    }
    assert_eq!(kinds.len(), 20, "a vector for every kind of frame");
    for vector in vectors("broken") {
        let bytes = bytes_of(&vector);
        let refused = match vector["from"].as_str().unwrap() {
            "client" => FromClient::read(&bytes).err(),
            _ => FromNode::read(&bytes).err(),
        };
        assert!(refused.is_some(), "{vector}");
    }
}

#[test]
fn somebody_blocks_so_many_and_no_more() {
    let frame = |count: usize| FromClient::Blocks {
        salt: [7; BLOCK_BYTES],
        hashes: vec![[8; BLOCK_BYTES]; count],
    };
    let most = wayside_specs::limits::BLOCKS;
    let bytes = frame(most).bytes();
    assert_eq!(bytes.len(), CLIENT_FRAME_BYTES);
    assert_eq!(FromClient::read(&bytes), Ok(frame(most)));
    assert_eq!(FromClient::read(&frame(most + 1).bytes()), Err(Broken::Value));
    assert_eq!(FromClient::read(&bytes[..bytes.len() - 1]), Err(Broken::Short));
}

#[test]
fn a_snapshot_is_told_without_some_of_its_bodies() {
    check!().with_type::<(Vec<(u8, bool)>, u8)>().for_each(|(bodies, hidden)| {
        let pose =
            |tracked: bool| Pose { tracked: tracked.then(Tracked::default), ..Pose::default() };
        let bodies =
            bodies.iter().take(255).map(|(slot, tracked)| (u16::from(*slot % 4), pose(*tracked)));
        let bodies: Vec<_> = bodies.collect();
        let hides = |slot: u16| *hidden >> slot & 1 == 1;
        let frame = FromNode::Snapshot { tick: 9, bodies: bodies.clone() }.bytes();
        let told = snapshot_without(&frame, hides);
        let mut left = bodies.clone();
        left.retain(|(slot, _)| !hides(*slot));
        if left.len() == bodies.len() {
            assert_eq!(told.unwrap().as_ptr(), frame.as_ptr(), "nothing is copied");
        } else if left.is_empty() {
            assert_eq!(told, None);
        } else {
            let left = FromNode::Snapshot { tick: 9, bodies: left };
            assert_eq!(FromNode::read(&told.unwrap()), Ok(left));
        }
    });
    check!().for_each(|bytes: &[u8]| {
        let _told = snapshot_without(&bytes::Bytes::copy_from_slice(bytes), |slot| slot > 7);
    });
}

#[test]
fn a_pose_keeps_to_its_ranges() {
    let frame = |state: u8, pitch: i8| {
        let mut bytes = FromClient::Input { sequence: 1, pose: Pose::default() }.bytes().to_vec();
        bytes[3] = state;
        *bytes.last_mut().unwrap() = pitch.to_le_bytes()[0];
        FromClient::read(&bytes)
    };
    for (state, pitch) in [(0, 0), (4, 64), (3 | 1 << 5, -64)] {
        assert!(frame(state, pitch).is_ok());
    }
    for (state, pitch) in [(5, 0), (15, 0), (1 << 6, 0), (1 << 7, 0), (0, 65), (0, -65)] {
        assert_eq!(frame(state, pitch), Err(Broken::Pose), "{state} {pitch}");
    }
}

#[test]
fn vectors_of_poses_are_what_the_codec_writes() {
    #[expect(clippy::cast_possible_truncation, reason = "the vectors are of floats")]
    let float = |value: &Value| value.as_f64().unwrap() as f32;
    for vector in vectors("places") {
        let metres: Vec<f32> = vector["metres"].as_array().unwrap().iter().map(float).collect();
        let at = [metres[0], metres[1], metres[2]];
        let pose = Pose::standing(at, float(&vector["yaw_radians"]));
        assert_eq!(json!([pose.at, pose.yaw]), json!([vector["at"], vector["yaw"]]), "{vector}");
        let again = Pose::standing(pose.metres(), 0.0);
        assert_eq!(again.at, pose.at, "reading and writing again changes nothing");
    }
    for vector in vectors("turns") {
        let list: Vec<f32> = vector["quaternion"].as_array().unwrap().iter().map(float).collect();
        let quaternion = [list[0], list[1], list[2], list[3]];
        let part = Part::default().turned(quaternion);
        assert_eq!(json!(part.turn), vector["turn"], "{vector}");
        let back = part.quaternion();
        let dot: f32 = quaternion.iter().zip(back).map(|(a, b)| a * b).sum();
        assert!(dot.abs() > 0.999_99, "{quaternion:?} came back as {back:?}");
    }
}

#[test]
fn random_bytes_never_break_a_decoder() {
    check!().for_each(|bytes: &[u8]| {
        if let Ok(frame) = FromClient::read(bytes) {
            assert_eq!(frame.bytes(), bytes);
        }
        if let Ok(frame) = FromNode::read(bytes) {
            assert_eq!(frame.bytes(), bytes);
        }
    });
}
