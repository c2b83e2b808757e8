//! Every code once: a file that is wrong in that way alone.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Value, json};

use super::*;

/// A code, whether it refuses the file, and what makes a sound file such.
type Row = (&'static str, bool, fn(&mut Value, &mut Vec<u8>));

/// The same for the bytes of a file.
type RawRow = (&'static str, bool, fn(&mut Vec<u8>));

const REFUSED: bool = true;
const BEARABLE: bool = false;

/// Wrong in the JSON or the BIN chunk of the sample of VRM 1.0.
#[rustfmt::skip]
const STRUCTURE: &[Row] = &[
    ("JSON_TOO_LARGE", REFUSED, |root, _| root["extras"] = vec![0; 400_001].into()),
    ("JSON_TOO_DEEP", REFUSED, |root, _| root["extras"] = (0..70).fold(json!(1), |inner, _| json!([inner]))),
    ("OUT_OF_RANGE", BEARABLE, |root, _| root["materials"][0]["pbrMetallicRoughness"]["metallicFactor"] = 2.into()),
    ("OUT_OF_RANGE", REFUSED, |root, _| root["bufferViews"][0]["byteStride"] = 3.into()),
    ("UNKNOWN_VALUE", REFUSED, |root, _| root["materials"][0]["alphaMode"] = "THIN".into()),
    ("UNKNOWN_VALUE", REFUSED, |root, _| root["accessors"][0]["componentType"] = 5124.into()),
    ("WRONG_TYPE", REFUSED, |root, _| root["nodes"] = json!({})),
    ("WRONG_TYPE", REFUSED, |root, _| root["nodes"][0]["extensions"] = json!([])),
    ("NOT_FINITE", REFUSED, |root, _| root["nodes"][0]["translation"] = json!([1e300, 0, 0])),
    ("NOT_FINITE", REFUSED, |root, _| (0..2).for_each(|node| root["nodes"][node]["scale"] = json!([1e38, 1e38, 1e38]))),
    ("NOT_FINITE", REFUSED, |root, bin| put(bin, place(root, 1), f32::NAN)),
    ("NOT_FINITE", REFUSED, |root, bin| put(bin, place(root, 0), f32::INFINITY)),
    ("INDEX_OUT_OF_RANGE", REFUSED, |root, _| root["nodes"][MESH_NODE]["mesh"] = 1.into()),
    ("INDEX_OUT_OF_RANGE", REFUSED, |root, _| root["animations"][0]["channels"][0]["sampler"] = 1.into()),
    ("INDEX_OUT_OF_RANGE", REFUSED, |root, _| mtoon(root)["matcapTexture"] = json!({ "index": 1 })),
    ("EMPTY_LIST", BEARABLE, |root, _| vrm(root)["meta"]["references"] = json!([])),
    ("MISSING", REFUSED, |root, _| drop(take(root, "asset"))),
    ("GLTF_VERSION", REFUSED, |root, _| root["asset"]["version"] = "1.0".into()),
    ("GLTF_VERSION", REFUSED, |root, _| root["asset"]["minVersion"] = "2.1".into()),
    ("EXTENSION_UNSUPPORTED", REFUSED, |root, _| root["extensionsRequired"] = json!(["KHR_texture_basisu"])),
    ("EXTENSION_UNSUPPORTED", REFUSED, |root, _| root["extensionsUsed"] = json!(["VRMC_vrm", "KHR_draco_mesh_compression"])),
    ("EXTENSION_UNSUPPORTED", REFUSED, |root, _| root["nodes"][0]["extensions"] = json!({ "EXT_mesh_gpu_instancing": {} })),
    ("EXTENSION_UNDECLARED", BEARABLE, |root, _| root["extensions"]["OTHER"] = json!({})),
    ("EXTERNAL_URI", REFUSED, |root, _| root["buffers"][0]["uri"] = "https://example.org/a.bin".into()),
    ("EXTERNAL_URI", REFUSED, |root, _| root["images"][0] = json!({ "uri": "../a.png" })),
    ("BUFFER_OUTSIDE_FILE", REFUSED, |root, _| root["buffers"][0]["byteLength"] = 4_000_000_000u32.into()),
    ("BUFFER_OUTSIDE_FILE", REFUSED, |root, _| push(&mut root["buffers"], json!({ "byteLength": 4 }))),
    ("BIN_LONGER", BEARABLE, |_, bin| bin.extend([0; 8])),
    ("VIEW_OUT_OF_RANGE", REFUSED, |root, _| root["bufferViews"][2]["byteLength"] = 100_000.into()),
    ("MISALIGNED", REFUSED, |root, _| root["accessors"][1]["byteOffset"] = 2.into()),
    ("MISALIGNED", REFUSED, |root, _| root["bufferViews"][1]["byteStride"] = 14.into()),
    ("TOO_MANY_ELEMENTS", REFUSED, |root, _| root["accessors"][1]["count"] = 100_000_000.into()),
    ("TOO_MANY_ELEMENTS", REFUSED, |root, _| push(&mut root["accessors"], json!({ "componentType": 5126, "count": 100_000_000, "type": "VEC3" }))),
    ("NORMALISED_FLOAT", BEARABLE, |root, _| root["accessors"][1]["normalized"] = true.into()),
    ("BOUNDS_WRONG", BEARABLE, |root, _| root["accessors"][1]["max"] = json!([5, 5, 5])),
    ("BOUNDS_WRONG", REFUSED, |root, _| root["accessors"][1]["max"] = json!([5, 5])),
    ("ACCESSORS_OVERLAP", REFUSED, |root, bin| overlapping(root, bin)),
    ("STRIDE_TOO_SMALL", REFUSED, |root, _| root["bufferViews"][1]["byteStride"] = 8.into()),
    ("ACCESSOR_OUT_OF_RANGE", REFUSED, |root, _| root["accessors"][1]["count"] = 4.into()),
    ("SPARSE_OUT_OF_RANGE", REFUSED, |root, _| sparse(root, 4)),
    ("SPARSE_OUT_OF_RANGE", REFUSED, |root, _| sparse(root, 3)),
    ("TOO_MANY_NODES", REFUSED, |root, _| root["nodes"] = vec![json!({}); 8_193].into()),
    ("NODE_TWO_PARENTS", REFUSED, |root, _| root["nodes"][MESH_NODE]["children"] = json!([2])),
    ("MATRIX_AND_PARTS", REFUSED, |root, _| root["nodes"][0]["matrix"] = json!([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1])),
    ("MATRIX_WRONG", REFUSED, |root, _| root["nodes"][MESH_NODE]["matrix"] = json!([1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2])),
    ("ROTATION_WRONG", REFUSED, |root, _| root["nodes"][0]["rotation"] = json!([0, 0, 0, 0])),
    ("ROTATION_WRONG", BEARABLE, |root, _| root["nodes"][0]["rotation"] = json!([0, 0, 0, 0.9])),
    ("NODE_CYCLE", REFUSED, |root, _| root["nodes"][HAIR + 1]["children"] = json!([0])),
    ("NODE_CYCLE", REFUSED, |root, _| push(&mut root["nodes"], json!({ "children": [20] }))),
    ("NODES_TOO_DEEP", REFUSED, |root, _| { (20..300).for_each(|child| push(&mut root["nodes"], json!({ "children": [child + 1] }))); push(&mut root["nodes"], json!({})); }),
    ("SCENE_NODE_TWICE", REFUSED, |root, _| root["scenes"][0]["nodes"] = json!([0, 0, 19])),
    ("SCENE_NODE_NOT_ROOT", REFUSED, |root, _| root["scenes"][0]["nodes"] = json!([0, 1, 19])),
    ("NO_SCENE", REFUSED, |root, _| { take(root, "scene"); take(root, "scenes"); }),
    ("SKIN_JOINT_TWICE", REFUSED, |root, _| root["skins"][0]["joints"][1] = 0.into()),
    ("SKIN_SKELETON", BEARABLE, |root, _| root["skins"][0]["skeleton"] = 2.into()),
    ("SKIN_MATRICES", REFUSED, |root, _| root["skins"][0]["inverseBindMatrices"] = 1.into()),
    ("SKIN_MATRICES", REFUSED, |root, _| root["accessors"][0]["count"] = 5.into()),
    ("SKIN_MATRICES", BEARABLE, |root, bin| put(bin, place(root, 0) + 12, 1.0)),
    ("SKIN_WITHOUT_MESH", BEARABLE, |root, _| root["nodes"][HAIR]["skin"] = 0.into()),
];

#[rustfmt::skip]
const CONTENT: &[Row] = &[
    ("TOO_MANY_DRAWS", REFUSED, |root, _| root["meshes"][0]["primitives"] = vec![primitive(root).clone(); 257].into()),
    ("TOO_MANY_VERTICES", REFUSED, |root, _| grid(root, 600_000, 3)),
    ("TOO_MANY_TRIANGLES", REFUSED, |root, _| { grid(root, 3, 600_000); primitive(root)["mode"] = 5.into(); }),
    ("TOO_MANY_MORPHS", REFUSED, |root, _| primitive(root)["targets"] = vec![json!({ "POSITION": 7 }); 4_097].into()),
    ("TOO_MANY_MORPHS", REFUSED, |root, _| { grid(root, 400_000, 3); primitive(root)["targets"] = vec![json!({}); 51].into(); }),
    ("TOO_MANY_MATERIALS", REFUSED, |root, _| root["materials"] = vec![json!({}); 257].into()),
    ("TOO_MANY_BONES", REFUSED, |root, _| { let skin = root["skins"][0].clone(); root["skins"] = vec![skin; 2_000].into(); }),
    ("MORPHS_UNEQUAL", BEARABLE, |root, _| root["meshes"][0]["weights"] = json!([0, 0])),
    ("MORPHS_UNEQUAL", REFUSED, |root, _| { let mut other = primitive(root).clone(); take(&mut other, "targets"); push(&mut root["meshes"][0]["primitives"], other); }),
    ("SKIN_WITHOUT_JOINTS", BEARABLE, |root, _| { take(attributes(root), "JOINTS_0"); take(attributes(root), "WEIGHTS_0"); }),
    ("JOINT_OUT_OF_RANGE", REFUSED, |root, bin| { let at = place(root, 4); bin[at] = 19; }),
    ("NO_POSITION", BEARABLE, |root, _| drop(take(attributes(root), "POSITION"))),
    ("COUNTS_UNEQUAL", REFUSED, |root, _| root["accessors"][2]["count"] = 2.into()),
    ("ATTRIBUTE_FORM", REFUSED, |root, _| attributes(root)["NORMAL"] = 3.into()),
    ("ATTRIBUTE_FORM", REFUSED, |root, _| attributes(root)["FOREIGN"] = 1.into()),
    ("BOUNDS_MISSING", REFUSED, |root, _| drop(take(&mut root["accessors"][1], "min"))),
    ("TRIANGLES_INCOMPLETE", BEARABLE, |root, _| root["accessors"][6]["count"] = 2.into()),
    ("INDICES_FORM", REFUSED, |root, _| primitive(root)["indices"] = 1.into()),
    ("VERTEX_OUT_OF_RANGE", REFUSED, |root, bin| { let at = place(root, 6); bin[at] = 3; }),
    ("NORMAL_LENGTH", BEARABLE, |root, bin| put(bin, place(root, 2), 3.0)),
    ("WEIGHTS_WRONG", BEARABLE, |root, bin| put(bin, place(root, 5), 0.5)),
    ("WEIGHTS_WRONG", REFUSED, |root, bin| put(bin, place(root, 5) + 4, -0.5)),
    ("WEIGHTS_WRONG", REFUSED, |root, _| drop(take(attributes(root), "WEIGHTS_0"))),
    ("ANIMATION_TIMES", BEARABLE, |root, bin| put(bin, place(root, 8), 2.0)),
    ("ANIMATION_TIMES", REFUSED, |root, _| root["animations"][0]["samplers"][0]["input"] = 1.into()),
    ("ANIMATION_VALUES", REFUSED, |root, _| root["animations"][0]["samplers"][0]["output"] = 1.into()),
    ("ANIMATION_VALUES", REFUSED, |root, _| root["accessors"][9]["count"] = 1.into()),
    ("ANIMATION_VALUES", BEARABLE, |root, bin| put(bin, place(root, 9), 2.0)),
    ("ANIMATION_OF_MATRIX", BEARABLE, |root, _| root["nodes"][0] = json!({ "children": root["nodes"][0]["children"], "matrix": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0.9, 0, 1] })),
    ("TOO_MANY_TEXTURES", REFUSED, |root, _| { let image = root["images"][0].clone(); root["images"] = vec![image; 129].into(); }),
    ("TEXTURES_TOO_LARGE", REFUSED, |root, bin| { let large = picture(root, bin, &png(4_000, 4_000)); root["images"] = vec![large; 9].into(); }),
    ("TEXTURE_TOO_LARGE", REFUSED, |root, bin| drop(picture(root, bin, &png(16_384, 1)))),
    ("TEXTURE_TOO_LARGE", REFUSED, |root, bin| { let mut huge = png(4, 4); claim(&mut huge, 16_384); picture(root, bin, &huge); }),
    ("TEXTURE_EMPTY", BEARABLE, |root, _| push(&mut root["textures"], json!({}))),
    ("IMAGE_MISSING", REFUSED, |root, _| drop(take(&mut root["images"][0], "bufferView"))),
    ("IMAGE_UNSUPPORTED", REFUSED, |root, bin| drop(picture(root, bin, b"not a picture"))),
    ("IMAGE_BROKEN", REFUSED, |root, bin| drop(picture(root, bin, &png(4, 4)[..20]))),
    ("IMAGE_TYPE", BEARABLE, |root, _| root["images"][0]["mimeType"] = "image/jpeg".into()),
    ("TOO_LARGE", REFUSED, |root, _| root["nodes"][0]["scale"] = json!([100, 100, 100])),
    ("TOO_LARGE", REFUSED, |root, _| root["nodes"][MESH_NODE] = json!({ "mesh": 0, "scale": [100, 100, 100] })),
];

/// Wrong as an avatar only.
#[rustfmt::skip]
const AVATAR: &[Row] = &[
    ("NOT_A_VRM", REFUSED, |root, _| drop(take(root, "extensions"))),
    ("VRM_VERSION", REFUSED, |root, _| vrm(root)["specVersion"] = "2.0".into()),
    ("VRM_VERSION", BEARABLE, |root, _| vrm(root)["specVersion"] = "1.0-beta".into()),
    ("WRONG_TYPE", REFUSED, |root, _| vrm(root)["meta"] = "mine".into()),
    ("INDEX_OUT_OF_RANGE", REFUSED, |root, _| root["extensions"]["VRMC_springBone"]["springs"][0]["colliderGroups"] = json!([1])),
    ("NODE_WITHOUT_MESH", BEARABLE, |root, _| vrm(root)["firstPerson"]["meshAnnotations"][0]["node"] = 0.into()),
    ("EXPRESSION_NAME", BEARABLE, |root, _| vrm(root)["expressions"]["preset"]["smug"] = json!({})),
    ("EXPRESSION_NAME", BEARABLE, |root, _| vrm(root)["expressions"]["custom"] = json!({ "happy": {} })),
    ("MORPH_OUT_OF_RANGE", REFUSED, |root, _| vrm(root)["expressions"]["preset"]["happy"]["morphTargetBinds"][0]["index"] = 1.into()),
    ("BONE_MISSING", REFUSED, |root, _| drop(take(bones(root), "hips"))),
    ("BONE_UNKNOWN", BEARABLE, |root, _| bones(root)["tail"] = json!({ "node": HAIR })),
    ("BONE_NODE_TWICE", REFUSED, |root, _| bones(root)["jaw"] = json!({ "node": 2 })),
    ("BONE_WITHOUT_PARENT", BEARABLE, |root, _| { let thumb = take(bones(root), "leftThumbProximal"); bones(root)["leftIndexDistal"] = thumb; }),
    ("BONE_OUTSIDE_SCENE", REFUSED, |root, _| { push(&mut root["nodes"], json!({})); bones(root)["hips"]["node"] = 20.into(); }),
    ("BONE_HIERARCHY", REFUSED, |root, _| { bones(root)["leftFoot"]["node"] = 8.into(); bones(root)["rightFoot"]["node"] = 5.into(); }),
    ("BONE_SCALE", REFUSED, |root, _| root["nodes"][2]["scale"] = json!([1, -1, 1])),
    ("BONE_SCALE", BEARABLE, |root, _| root["nodes"][2]["scale"] = json!([1, 1.1, 1])),
    ("POSE_BACKWARDS", BEARABLE, |root, _| root["nodes"][0]["rotation"] = json!([0, 1, 0, 0])),
    ("POSE_NOT_T", BEARABLE, |root, _| root["nodes"][10]["translation"] = json!([0.1, -0.3, 0])),
    ("SIZE_UNUSUAL", BEARABLE, |root, _| root["nodes"][0]["translation"] = json!([0, 9, 0])),
    ("LICENCE_UNKNOWN", REFUSED, |root, _| vrm(root)["meta"]["licenseUrl"] = "https://example.org/".into()),
    ("MISSING", REFUSED, |root, _| drop(take(&mut vrm(root)["meta"], "licenseUrl"))),
    ("META_MISSING", BEARABLE, |root, _| vrm(root)["meta"]["authors"] = json!([""])),
    ("META_MISSING", BEARABLE, |root, _| drop(take(&mut vrm(root)["meta"], "name"))),
    ("URL_NOT_WEB", BEARABLE, |root, _| vrm(root)["meta"]["otherLicenseUrl"] = "javascript:alert(1)".into()),
    ("LICENCE_RESTRICTED", BEARABLE, |root, _| drop(take(&mut vrm(root)["meta"], "avatarPermission"))),
    ("UNKNOWN_VALUE", REFUSED, |root, _| vrm(root)["meta"]["modification"] = "maybe".into()),
    ("COLLIDER_SHAPE", REFUSED, |root, _| root["extensions"]["VRMC_springBone"]["colliders"][0]["shape"] = json!({})),
    ("SPRING_JOINT_TWICE", BEARABLE, |root, _| { let spring = root["extensions"]["VRMC_springBone"]["springs"][0].clone(); push(&mut root["extensions"]["VRMC_springBone"]["springs"], spring); }),
    ("SPRING_NOT_A_CHAIN", REFUSED, |root, _| root["extensions"]["VRMC_springBone"]["springs"][0]["joints"][1]["node"] = 3.into()),
    ("SPRING_NOT_A_CHAIN", REFUSED, |root, _| root["extensions"]["VRMC_springBone"]["springs"][0]["joints"] = json!([{ "node": HAIR + 1 }, { "node": HAIR }, { "node": HAIR + 1 }])),
    ("SPRING_TOO_SHORT", BEARABLE, |root, _| root["extensions"]["VRMC_springBone"]["springs"][0]["joints"] = json!([{ "node": HAIR }])),
    ("TOO_MANY_SPRINGS", REFUSED, |root, _| root["extensions"]["VRMC_springBone"]["springs"] = vec![root["extensions"]["VRMC_springBone"]["springs"][0].clone(); 1_025].into()),
    ("CONSTRAINT_CYCLE", REFUSED, |root, _| root["nodes"][10]["extensions"] = json!({ "VRMC_node_constraint": { "constraint": { "rotation": { "source": 11 } } } })),
    ("MORE_ISSUES", BEARABLE, |root, _| (0..30).for_each(|number| vrm(root)["expressions"]["preset"][format!("smug{number}")] = json!({}))),
];

/// Wrong in VRM 0.x.
#[rustfmt::skip]
const OLD: &[Row] = &[
    ("VRM_CONVERTED", BEARABLE, |_, _| {}),
    ("BONE_TWICE", REFUSED, |root, _| push(&mut root["extensions"]["VRM"]["humanoid"]["humanBones"], json!({ "bone": "hips", "node": HAIR }))),
    ("BONE_MISSING", REFUSED, |root, _| root["extensions"]["VRM"]["humanoid"]["humanBones"][0]["node"] = json!(-1)),
    ("BONE_UNKNOWN", BEARABLE, |root, _| push(&mut root["extensions"]["VRM"]["humanoid"]["humanBones"], json!({ "bone": "wing", "node": HAIR }))),
    ("INDEX_OUT_OF_RANGE", REFUSED, |root, _| root["extensions"]["VRM"]["humanoid"]["humanBones"][0]["node"] = 99.into()),
    ("META_MISSING", BEARABLE, |root, _| drop(take(&mut root["extensions"]["VRM"], "meta"))),
    ("POSE_BACKWARDS", BEARABLE, |root, _| root["nodes"][0]["rotation"] = json!([0, 1, 0, 0])),
    ("NOT_TURNABLE", REFUSED, |root, _| { root["accessors"][2]["componentType"] = 5120.into(); root["accessors"][2]["normalized"] = true.into(); push(&mut root["extensionsUsed"], "KHR_mesh_quantization".into()); }),
    ("NOT_CONVERTIBLE", REFUSED, |root, _| (20..8_192).for_each(|_| push(&mut root["nodes"], json!({})))),
];

/// Wrong before there is any JSON.
#[rustfmt::skip]
const CONTAINER: &[RawRow] = &[
    ("FILE_TOO_LARGE", REFUSED, |file| file.resize(25_000_001, 0)),
    ("NOT_A_GLB", REFUSED, Vec::clear),
    ("NOT_A_GLB", REFUSED, |file| file[0] = b'G'),
    ("GLB_TRUNCATED", REFUSED, |file| file.truncate(9)),
    ("GLB_TRUNCATED", REFUSED, |file| file.truncate(1_000)),
    ("GLB_TRUNCATED", REFUSED, |file| file[12..16].copy_from_slice(&u32::MAX.to_le_bytes())),
    ("GLB_VERSION", REFUSED, |file| file[4] = 1),
    ("GLB_TRAILING", REFUSED, |file| file.extend([0; 4])),
    ("GLB_UNALIGNED", REFUSED, |file| { file.pop(); let last = chunk(file); lengthen(file, last, -1); }),
    ("GLB_CHUNKS", REFUSED, |file| file[16..20].copy_from_slice(b"BIN\0")),
    ("GLB_CHUNKS", REFUSED, |file| { file.truncate(12); lengthen(file, 8, 0); }),
    ("GLB_UNKNOWN_CHUNK", BEARABLE, |file| { file.extend([0, 0, 0, 0]); file.extend(b"MINE"); lengthen(file, 8, 0); }),
    ("JSON_BROKEN", REFUSED, |file| file[20] = b'['),
    ("JSON_BROKEN", REFUSED, |file| *file = container("[]", Vec::new())),
    ("JSON_BROKEN", REFUSED, |file| *file = container("\u{feff}{}", Vec::new())),
    ("JSON_BROKEN", REFUSED, |file| *file = container("{\"a\":NaN}", Vec::new())),
    ("JSON_BROKEN", REFUSED, |file| *file = container("{\"a\":1e999}", Vec::new())),
];

fn take(value: &mut Value, name: &str) -> Value {
    value.as_object_mut().unwrap().remove(name).unwrap()
}

fn push(list: &mut Value, thing: Value) {
    list.as_array_mut().unwrap().push(thing);
}

fn vrm(root: &mut Value) -> &mut Value {
    &mut root["extensions"]["VRMC_vrm"]
}

fn bones(root: &mut Value) -> &mut Value {
    &mut vrm(root)["humanoid"]["humanBones"]
}

fn mtoon(root: &mut Value) -> &mut Value {
    &mut root["materials"][0]["extensions"]["VRMC_materials_mtoon"]
}

fn primitive(root: &mut Value) -> &mut Value {
    &mut root["meshes"][0]["primitives"][0]
}

fn attributes(root: &mut Value) -> &mut Value {
    &mut primitive(root)["attributes"]
}

/// Where an accessor's elements begin.
fn place(root: &Value, accessor: usize) -> usize {
    let view =
        usize::try_from(root["accessors"][accessor]["bufferView"].as_u64().unwrap()).unwrap();
    usize::try_from(root["bufferViews"][view]["byteOffset"].as_u64().unwrap()).unwrap()
}

fn put(bin: &mut [u8], at: usize, number: f32) {
    bin[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

/// Elements without a view are zero, and need no bytes however many are claimed.
fn grid(root: &mut Value, vertices: usize, corners: usize) {
    let zero = json!([0, 0, 0]);
    push(
        &mut root["accessors"],
        json!({ "componentType": 5126, "count": vertices, "type": "VEC3", "min": zero, "max": zero }),
    );
    push(
        &mut root["accessors"],
        json!({ "componentType": 5125, "count": corners, "type": "SCALAR" }),
    );
    let at = root["accessors"].as_array().unwrap().len();
    root["meshes"][0]["primitives"] =
        json!([{ "attributes": { "POSITION": at - 2 }, "indices": at - 1 }]);
}

fn overlapping(root: &mut Value, bin: &mut Vec<u8>) {
    let start = bin.len();
    bin.resize(start + 400_000, 0);
    root["buffers"][0]["byteLength"] = bin.len().into();
    push(
        &mut root["bufferViews"],
        json!({ "buffer": 0, "byteOffset": start, "byteLength": 400_000 }),
    );
    let view = root["bufferViews"].as_array().unwrap().len() - 1;
    for _ in 0..20 {
        push(
            &mut root["accessors"],
            json!({ "bufferView": view, "componentType": 5126, "count": 100_000, "type": "SCALAR" }),
        );
    }
}

fn sparse(root: &mut Value, count: usize) {
    let place = json!({ "bufferView": 0, "componentType": 5123 });
    root["accessors"][7]["sparse"] =
        json!({ "count": count, "indices": place, "values": { "bufferView": 0 } });
}

/// Puts another picture into the sample.
fn picture(root: &mut Value, bin: &mut Vec<u8>, bytes: &[u8]) -> Value {
    let start = bin.len();
    bin.extend(bytes);
    bin.resize(bin.len().next_multiple_of(4), 0);
    root["buffers"][0]["byteLength"] = bin.len().into();
    push(
        &mut root["bufferViews"],
        json!({ "buffer": 0, "byteOffset": start, "byteLength": bytes.len() }),
    );
    let view = root["bufferViews"].as_array().unwrap().len() - 1;
    let image = json!({ "bufferView": view, "mimeType": "image/png" });
    root["images"][0] = image.clone();
    image
}

/// Writes another size into the header of a PNG, whose sum must then be right again.
fn claim(png: &mut [u8], edge: u32) {
    png[16..20].copy_from_slice(&edge.to_be_bytes());
    png[20..24].copy_from_slice(&edge.to_be_bytes());
    let sum = png[12..29].iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg())
        })
    });
    png[29..33].copy_from_slice(&(!sum).to_be_bytes());
}

/// Where the header of the second chunk stands.
fn chunk(file: &[u8]) -> usize {
    20 + u32::from_le_bytes(file[12..16].try_into().unwrap()) as usize
}

/// Changes the length that stands at a place, and sets that of the whole file.
fn lengthen(file: &mut [u8], at: usize, by: i32) {
    let length = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    file[at..at + 4].copy_from_slice(&length.wrapping_add_signed(by).to_le_bytes());
    let whole = u32::try_from(file.len()).unwrap();
    file[8..12].copy_from_slice(&whole.to_le_bytes());
}

fn holds(code: &str, refused: bool, file: &[u8], number: usize) {
    let report = avatar(file).report;
    assert!(report.has(code), "row {number}, {code}: {:#?}", report.issues);
    assert_eq!(report.accepted, !refused, "row {number}, {code}: {:#?}", report.issues);
    for issue in &report.issues {
        let pointed = issue.pointer.is_empty() || issue.pointer.starts_with('/');
        assert!(pointed && !issue.message.is_empty(), "{issue:?}");
    }
    if !refused {
        accepted(file);
    }
}

fn rows(rows: &[Row], sample: fn() -> (Value, Vec<u8>)) {
    for (number, (code, refused, change)) in rows.iter().enumerate() {
        let mut parts = sample();
        let (root, bin) = &mut parts;
        change(root, bin);
        holds(code, *refused, &bytes(&parts), number);
    }
}

#[test]
fn what_is_wrong_with_a_container_is_said() {
    for (number, (code, refused, change)) in CONTAINER.iter().enumerate() {
        let mut file = bytes(&modern());
        change(&mut file);
        holds(code, *refused, &file, number);
    }
}

#[test]
fn what_is_wrong_with_a_structure_is_said() {
    rows(STRUCTURE, modern);
}

#[test]
fn what_is_wrong_with_its_content_is_said() {
    rows(CONTENT, modern);
}

#[test]
fn what_is_wrong_with_an_avatar_is_said() {
    rows(AVATAR, modern);
}

#[test]
fn what_is_wrong_with_an_old_avatar_is_said() {
    rows(OLD, old);
}

/// The codes in the source of this room: texts of capitals that name no licence.
fn codes_of_source(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            codes_of_source(&path, found);
        } else if path.is_file() {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let words = text.match_indices('"').filter_map(|(at, _)| {
                let rest = &text[at + 1..];
                let end =
                    rest.find(|letter: char| !letter.is_ascii_uppercase() && letter != '_')?;
                rest[end..].starts_with('"').then(|| &rest[..end])
            });
            let codes = words.filter(|word| {
                word.contains('_') && !word.starts_with('_') && !word.ends_with('_')
            });
            let ours = codes.filter(|word| !word.starts_with("CC_"));
            found.extend(ours.map(str::to_owned));
        }
    }
}

#[test]
fn every_code_has_its_row() {
    let mut found = BTreeSet::new();
    codes_of_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/inspect"), &mut found);
    assert!(found.len() > 90, "{found:?}");
    let all = STRUCTURE.iter().chain(CONTENT).chain(AVATAR).chain(OLD).map(|row| row.0);
    let held: BTreeSet<&str> = all.chain(CONTAINER.iter().map(|row| row.0)).collect();
    let missing: Vec<&String> = found.iter().filter(|code| !held.contains(code.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
