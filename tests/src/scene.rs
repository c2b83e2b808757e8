//! Small scenes of the stories, written by hand.

use serde_json::{Value, json};

/// A scene of one floor of 20 by 20 m, with a seat, a place to come in, and one for a portal.
#[must_use]
pub fn floor() -> Vec<u8> {
    let corners: [[f32; 3]; 4] =
        [[-10.0, 0.0, -10.0], [-10.0, 0.0, 10.0], [10.0, 0.0, 10.0], [10.0, 0.0, -10.0]];
    let indices: [u16; 6] = [0, 1, 2, 0, 2, 3];
    let mut bin: Vec<u8> = corners.iter().flatten().flat_map(|it| it.to_le_bytes()).collect();
    bin.extend(indices.iter().flat_map(|it| it.to_le_bytes()));
    let json = json!({
        "asset": { "version": "2.0" },
        "scene": 0,
        "scenes": [{ "nodes": [0, 1, 2, 3] }],
        "nodes": [
            { "mesh": 0 },
            { "translation": [1.5, 0, 0.5], "extensions": { "OMI_seat": {
                "back": [0, 0.45, 0], "foot": [0, 0, 0.45], "knee": [0, 0.45, 0.45],
            } } },
            { "translation": [0, 0, 2], "extensions": { "OMI_spawn_point": {} } },
            { "name": "portal_1", "translation": [0, 0, -6] },
        ],
        "meshes": [{ "primitives": [{ "attributes": { "POSITION": 0 }, "indices": 1 }] }],
        "accessors": [
            { "bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3",
              "min": [-10, 0, -10], "max": [10, 0, 10] },
            { "bufferView": 1, "componentType": 5123, "count": 6, "type": "SCALAR" },
        ],
        "bufferViews": [
            { "buffer": 0, "byteLength": 48, "target": 34962 },
            { "buffer": 0, "byteOffset": 48, "byteLength": 12, "target": 34963 },
        ],
        "buffers": [{ "byteLength": bin.len() }],
        "extensionsUsed": ["OMI_seat", "OMI_spawn_point"],
    });
    glb(&json, &bin)
}

/// A GLB of its two parts (glTF 2.0, chapter 4).
///
/// # Panics
/// When they have 4 GiB.
#[must_use]
pub fn glb(json: &Value, bin: &[u8]) -> Vec<u8> {
    let mut text = json.to_string().into_bytes();
    text.resize(text.len().next_multiple_of(4), b' ');
    let mut bin = bin.to_vec();
    bin.resize(bin.len().next_multiple_of(4), 0);
    let word = |number: usize| u32::try_from(number).expect("a small file").to_le_bytes();
    let total = word(28 + text.len() + bin.len());
    let (json_head, bin_head) = (word(text.len()), word(bin.len()));
    let parts: [&[u8]; 9] =
        [b"glTF", &word(2), &total, &json_head, b"JSON", &text, &bin_head, b"BIN\0", &bin];
    parts.concat()
}
