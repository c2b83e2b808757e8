//! Tests of inspection: bad files of every kind, conversion, strangers' corpora, damage and time.

mod codes;
mod convert;
mod corpora;
mod fuzz;
mod time;

use std::io::Cursor;

use image::{ImageFormat, RgbaImage};
use serde_json::{Value, json};

use super::{Inspection, Limits, asset, avatar};
use crate::glb::{Builder, container};

/// The bones of the sample: name, parent, and where it is from there, looking along +Z.
const BODY: [(&str, &str, [f32; 3]); 19] = [
    ("hips", "", [0.0, 0.9, 0.0]),
    ("spine", "hips", [0.0, 0.2, 0.0]),
    ("head", "spine", [0.0, 0.4, 0.01]),
    ("leftUpperLeg", "hips", [0.1, 0.0, 0.0]),
    ("leftLowerLeg", "leftUpperLeg", [0.0, -0.4, 0.0]),
    ("leftFoot", "leftLowerLeg", [0.0, -0.4, 0.0]),
    ("rightUpperLeg", "hips", [-0.1, 0.0, 0.0]),
    ("rightLowerLeg", "rightUpperLeg", [0.0, -0.4, 0.0]),
    ("rightFoot", "rightLowerLeg", [0.0, -0.4, 0.0]),
    ("leftUpperArm", "spine", [0.15, 0.3, 0.0]),
    ("leftLowerArm", "leftUpperArm", [0.3, 0.0, 0.0]),
    ("leftHand", "leftLowerArm", [0.3, 0.0, 0.0]),
    ("rightUpperArm", "spine", [-0.15, 0.3, 0.0]),
    ("rightLowerArm", "rightUpperArm", [-0.3, 0.0, 0.0]),
    ("rightHand", "rightLowerArm", [-0.3, 0.0, 0.0]),
    ("leftThumbMetacarpal", "leftHand", [0.02, 0.0, 0.03]),
    ("leftThumbProximal", "leftThumbMetacarpal", [0.02, 0.0, 0.02]),
    ("hair", "head", [0.0, 0.1, -0.1]),
    ("hairTip", "hair", [0.0, -0.1, -0.02]),
];

/// Places in the arrays of the sample.
const HAIR: usize = 17;
const MESH_NODE: usize = 19;

fn node(name: &str) -> usize {
    BODY.iter().position(|(known, ..)| *known == name).unwrap()
}

fn png(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    RgbaImage::new(width, height).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A body with a skinned triangle, a morph target and a picture, without any extension of VRM.
/// `side` is 1 for a body that looks along +Z, and -1 for one that looks along -Z.
fn body(side: f32) -> Builder {
    let mut builder = Builder::new();
    let turn = |[x, y, z]: [f32; 3]| [x * side, y, z * side];
    let mut places = Vec::<[f32; 3]>::new();
    for (name, parent, place) in BODY {
        let at = builder.add("nodes", json!({ "name": name, "translation": turn(place) }));
        let above = BODY.iter().position(|(known, ..)| *known == parent);
        let base = above.map_or([0.0; 3], |above| places[above]);
        places.push([base[0] + place[0], base[1] + place[1], base[2] + place[2]]);
        if let Some(above) = above {
            let parent = builder.get_mut("nodes", above).unwrap();
            match parent.get_mut("children").and_then(Value::as_array_mut) {
                Some(children) => children.push(at.into()),
                None => parent["children"] = json!([at]),
            }
        }
    }
    let binds: Vec<[f32; 16]> = places
        .iter()
        .map(|place| {
            let [x, y, z] = turn(*place);
            [1., 0., 0., 0., 0., 1., 0., 0., 0., 0., 1., 0., -x, -y, -z, 1.]
        })
        .collect();
    let binds = builder.numbers(&binds, false);
    let joints: Vec<usize> = (0..BODY.len()).collect();
    builder.add("skins", json!({ "joints": joints, "inverseBindMatrices": binds }));
    let corners = [[0.1, 1.0, 0.05], [-0.1, 1.0, 0.05], [0.0, 1.6, 0.1]].map(turn);
    let position = builder.attribute(&corners, true);
    let normal = builder.attribute(&[turn([0.0, 0.0, 1.0]); 3], false);
    let uv = builder.attribute(&[[0.0, 0.0], [1.0, 0.0], [0.5, 1.0]], false);
    let joint = builder.joints(&[[0, 0, 0, 0], [1, 0, 0, 0], [2, 0, 0, 0]]);
    let weight = builder.attribute(&[[1.0, 0.0, 0.0, 0.0]; 3], false);
    let indices = builder.indices(&[0, 1, 2]);
    let moved = builder.attribute(&[[0.0; 3], [0.0; 3], turn([0.1, 0.0, 0.2])], true);
    let image = builder.image(png(4, 4), "image/png", "skin");
    builder.add("textures", json!({ "source": image }));
    builder.add(
        "materials",
        json!({
            "name": "skin", "pbrMetallicRoughness": { "baseColorTexture": { "index": 0 } },
        }),
    );
    let mesh = json!({ "primitives": [{
        "attributes": {
            "POSITION": position, "NORMAL": normal, "TEXCOORD_0": uv, "JOINTS_0": joint, "WEIGHTS_0": weight,
        },
        "indices": indices, "material": 0, "targets": [{ "POSITION": moved }],
    }] });
    builder.add("meshes", mesh);
    builder.add("nodes", json!({ "name": "body", "mesh": 0, "skin": 0 }));
    builder
}

fn parts_of(builder: Builder) -> (Value, Vec<u8>) {
    let bytes = builder.finish(&[0, MESH_NODE], "body");
    let json_bytes = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let mut root: Value = serde_json::from_slice(&bytes[20..20 + json_bytes]).unwrap();
    // The version of this program is not to change the sample.
    root["asset"]["generator"] = "a test".into();
    (root, bytes[28 + json_bytes..].to_vec())
}

/// A VRM 1.0 with something of everything: its JSON and its BIN chunk.
fn modern() -> (Value, Vec<u8>) {
    let mut builder = body(1.0);
    let bones: serde_json::Map<String, Value> = BODY[..HAIR]
        .iter()
        .map(|(name, ..)| ((*name).to_owned(), json!({ "node": node(name) })))
        .collect();
    builder.extend("VRMC_vrm", json!({
        "specVersion": "1.0",
        "meta": {
            "name": "Sample", "authors": ["Nobody"], "avatarPermission": "everyone",
            "licenseUrl": "https://vrm.dev/licenses/1.0/",
        },
        "humanoid": { "humanBones": bones },
        "firstPerson": { "meshAnnotations": [{ "node": MESH_NODE, "type": "auto" }] },
        "lookAt": { "type": "bone" },
        "expressions": {
            "preset": { "happy": { "morphTargetBinds": [{ "node": MESH_NODE, "index": 0, "weight": 1.0 }] } },
        },
    }));
    builder.extend("VRMC_springBone", json!({
        "specVersion": "1.0",
        "colliders": [{ "node": 2, "shape": { "sphere": { "radius": 0.1 } } }],
        "colliderGroups": [{ "colliders": [0] }],
        "springs": [{ "joints": [{ "node": HAIR }, { "node": HAIR + 1 }], "colliderGroups": [0] }],
    }));
    builder.uses("VRMC_materials_mtoon");
    builder.uses("VRMC_node_constraint");
    builder.get_mut("materials", 0).unwrap()["extensions"] = json!({
        "VRMC_materials_mtoon": { "specVersion": "1.0", "shadeMultiplyTexture": { "index": 0 } },
    });
    let roll = json!({ "roll": { "source": 10, "rollAxis": "X" } });
    builder.get_mut("nodes", 11).unwrap()["extensions"] =
        json!({ "VRMC_node_constraint": { "specVersion": "1.0", "constraint": roll } });
    let times = builder.numbers(&[[0.0], [1.0]], true);
    let turns = builder.numbers(&[[0.0, 0.0, 0.0, 1.0]; 2], false);
    builder.add(
        "animations",
        json!({
            "samplers": [{ "input": times, "output": turns }],
            "channels": [{ "sampler": 0, "target": { "node": 0, "path": "rotation" } }],
        }),
    );
    builder.add(
        "cameras",
        json!({ "type": "perspective", "perspective": { "yfov": 1.0, "znear": 0.1 } }),
    );
    parts_of(builder)
}

/// A VRM 0.x with something of everything.
fn old() -> (Value, Vec<u8>) {
    let mut builder = body(-1.0);
    let name = |name: &str| match name {
        "leftThumbMetacarpal" => "leftThumbProximal".to_owned(),
        "leftThumbProximal" => "leftThumbIntermediate".to_owned(),
        other => other.to_owned(),
    };
    let bones: Vec<Value> = BODY[..HAIR]
        .iter()
        .map(|(bone, ..)| json!({ "bone": name(bone), "node": node(bone) }))
        .collect();
    builder.extend("VRM", json!({
        "specVersion": "0.0",
        "meta": {
            "title": "Old", "author": "Somebody", "version": "3", "texture": 0, "licenseName": "CC_BY_ND",
            "allowedUserName": "Everyone", "violentUssageName": "Disallow", "sexualUssageName": "Disallow",
            "commercialUssageName": "Allow", "reference": "", "otherLicenseUrl": "",
        },
        "humanoid": { "humanBones": bones },
        "firstPerson": {
            "firstPersonBone": 2, "firstPersonBoneOffset": { "x": 0.01, "y": 0.06, "z": 0.02 },
            "meshAnnotations": [{ "mesh": 0, "firstPersonFlag": "ThirdPersonOnly" }],
            "lookAtTypeName": "BlendShape",
            "lookAtHorizontalInner": { "curve": [0, 0, 0, 1, 1, 1, 1, 0], "xRange": 45, "yRange": 0.5 },
        },
        "blendShapeMaster": { "blendShapeGroups": [
            { "name": "Joy", "presetName": "joy", "binds": [{ "mesh": 0, "index": 0, "weight": 50 }] },
            { "name": "happy", "presetName": "unknown", "isBinary": true, "materialValues": [
                { "materialName": "skin", "propertyName": "_Color", "targetValue": [0.5, 0, 0, 1] },
                { "materialName": "skin", "propertyName": "_MainTex_ST", "targetValue": [0.5, 0.5, 0.25, 0] },
            ] },
        ] },
        "secondaryAnimation": {
            "boneGroups": [{
                "comment": "hair", "stiffiness": 0.8, "gravityPower": 0.1, "dragForce": 0.3, "center": -1,
                "gravityDir": { "x": 0.5, "y": -1, "z": 0.25 }, "hitRadius": 0.03, "bones": [HAIR], "colliderGroups": [0],
            }],
            "colliderGroups": [{ "node": 2, "colliders": [{ "offset": { "x": 0.1, "y": 0.2, "z": 0.3 }, "radius": 0.1 }] }],
        },
        "materialProperties": [{
            "name": "skin", "shader": "VRM/MToon", "renderQueue": 2450,
            "floatProperties": {
                "_BlendMode": 1, "_Cutoff": 0.4, "_ShadeShift": 0, "_ShadeToony": 0.9, "_OutlineWidth": 0.5,
                "_OutlineWidthMode": 1, "_CullMode": 0, "_UvAnimScrollY": 0.5,
            },
            "vectorProperties": { "_Color": [0.5, 1, 1, 0.25], "_MainTex": [0.1, 0.2, 1, 0.5] },
            "textureProperties": { "_MainTex": 0 },
        }],
    }));
    parts_of(builder)
}

fn bytes(parts: &(Value, Vec<u8>)) -> Vec<u8> {
    container(&parts.0.to_string(), parts.1.clone())
}

fn json_of(bytes: &[u8]) -> Value {
    let json_bytes = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    serde_json::from_slice(&bytes[20..20 + json_bytes]).unwrap()
}

/// Accepted, and the normalised bytes accepted too, giving themselves again.
fn accepted(bytes: &[u8]) -> Vec<u8> {
    let Inspection { report, normalised } = avatar(bytes);
    assert!(report.accepted, "{:#?}", report.issues);
    let normalised = normalised.unwrap();
    let again = avatar(&normalised);
    assert!(again.report.accepted, "{:#?}", again.report.issues);
    assert!(again.normalised.as_deref() == Some(&normalised[..]), "normalised twice, it differs");
    normalised
}

#[test]
fn a_sound_body_is_accepted_without_a_word() {
    let parts = modern();
    let report = avatar(&bytes(&parts)).report;
    assert_eq!(report.issues, Vec::new());
    let counts = &report.counts;
    assert_eq!((counts.triangles, counts.vertices, counts.draws, counts.bones), (1, 3, 1, 19));
    assert_eq!((counts.spring_joints, counts.morph_targets, counts.texture_bytes), (2, 1, 64));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["accepted"], &json["rank"]), (&json!(true), &json!("excellent")));
    assert_eq!(json["licence"]["avatar_permission"], "everyone");
    assert_eq!(json["licence"]["modification"], "prohibited", "silence allows nothing");
    accepted(&bytes(&parts));
}

#[test]
fn every_optional_field_is_written() {
    let normalised = json_of(&accepted(&bytes(&modern())));
    let vrm = &normalised["extensions"]["VRMC_vrm"];
    assert_eq!(vrm["meta"]["creditNotation"], "required");
    assert_eq!(
        vrm["lookAt"]["rangeMapVerticalUp"],
        json!({ "inputMaxValue": 90.0, "outputScale": 10.0 })
    );
    assert_eq!(vrm["expressions"]["preset"]["happy"]["overrideBlink"], "none");
    assert_eq!(vrm["expressions"]["custom"], json!({}));
    let toon = &normalised["materials"][0]["extensions"]["VRMC_materials_mtoon"];
    assert_eq!(toon["outlineWidthMode"], "none");
    assert_eq!(
        toon["shadeMultiplyTexture"]["extensions"]["KHR_texture_transform"]["scale"],
        json!([1.0, 1.0])
    );
    let springs = &normalised["extensions"]["VRMC_springBone"];
    assert_eq!(springs["springs"][0]["joints"][0]["dragForce"], 0.5);
    assert_eq!(springs["colliders"][0]["shape"]["sphere"]["offset"], json!([0.0, 0.0, 0.0]));
    assert!(super::uses(&normalised, "KHR_texture_transform"));
}

#[test]
fn what_is_quantised_sparse_or_a_strip_is_read() {
    let mut builder = Builder::new();
    let mut bin = Vec::new();
    // Four corners of 16 bits, padded to 8 bytes; one of them replaced; a strip.
    for corner in [[0i16, 0, 0], [32_767, 0, 0], [0, 32_767, 0], [32_767, 32_767, 0]] {
        bin.extend(corner.iter().flat_map(|part| part.to_le_bytes()));
        bin.extend([0, 0]);
    }
    bin.extend([3, 0, 0, 0]);
    bin.extend([0x01, 0x80, 0x01, 0x80, 0, 0, 0, 0]);
    builder.uses("KHR_mesh_quantization");
    let (mut root, _) = parts_of_empty(builder);
    root["buffers"] = json!([{ "byteLength": bin.len() }]);
    root["bufferViews"] = json!([
        { "buffer": 0, "byteLength": 32, "byteStride": 8 },
        { "buffer": 0, "byteOffset": 32, "byteLength": 4 },
        { "buffer": 0, "byteOffset": 36, "byteLength": 8 },
    ]);
    root["accessors"] = json!([{
        "bufferView": 0, "componentType": 5122, "normalized": true, "count": 4, "type": "VEC3",
        "min": [-32767, -32767, 0], "max": [32767, 32767, 0],
        "sparse": {
            "count": 1, "indices": { "bufferView": 1, "componentType": 5121 }, "values": { "bufferView": 2 },
        },
    }]);
    root["extensionsRequired"] = json!(["KHR_mesh_quantization"]);
    root["meshes"] = json!([{ "primitives": [{ "attributes": { "POSITION": 0 }, "mode": 5 }] }]);
    root["nodes"] = json!([{ "mesh": 0, "scale": [2, 2, 2], "translation": [0, 1, 0] }]);
    root["scenes"] = json!([{ "nodes": [0] }]);
    let bytes = container(&root.to_string(), bin);
    let asset =
        asset(&bytes, &Limits::SCENE).unwrap_or_else(|report| panic!("{:#?}", report.issues));
    let (points, triangles) = asset.triangles(0, 0).unwrap();
    assert_eq!(points, [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [-1.0, -1.0, 0.0]]);
    assert_eq!(triangles, [[0, 1, 2], [2, 1, 3]]);
    assert_eq!(format!("{:?}", asset.to_scene(0, points[3])), "[-2.0, -1.0, 0.0]");
    assert_eq!(asset.shown_nodes().count(), 1);
    assert_eq!(asset.document().nodes().count(), 1);
    assert_eq!(asset.triangles(0, 1), None);
}

fn parts_of_empty(builder: Builder) -> (Value, Vec<u8>) {
    let bytes = builder.finish(&[], "empty");
    (json_of(&bytes), Vec::new())
}
