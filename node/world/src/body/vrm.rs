//! The file of a body: nodes, mesh, and the humanoid that VRM 1.0 describes.

use super::assemble::Body;
use super::looks::Looks;
use super::material::{self, Textures};
use super::mood::EXPRESSIONS;
use super::skin::Skinned;
use super::springs;
use crate::glb::Builder;
use crate::rig::Rig;
use serde_json::{Map, Value, json};

/// The bytes of the GLB.
pub(super) fn write(body: &Body) -> Vec<u8> {
    let mut builder = Builder::new();
    skeleton(&mut builder, &body.rig);
    let textures = textures(&mut builder, body);
    builder.uses("VRMC_materials_mtoon");
    let materials = [material::body(textures), material::face(textures)]
        .map(|material| builder.add("materials", material));
    let skin = skin(&mut builder, &body.rig);
    let flesh = primitive(&mut builder, &body.flesh, materials[0]);
    let flesh = builder.add("meshes", json!({ "name": "body", "primitives": [flesh] }));
    let face = face_mesh(&mut builder, body, materials[1]);
    let flesh = builder.add("nodes", json!({ "name": "body", "mesh": flesh, "skin": skin }));
    let face = builder.add("nodes", json!({ "name": "face", "mesh": face, "skin": skin }));
    let thumbnail = 0;
    builder.extend(
        "VRMC_vrm",
        json!({
            "specVersion": "1.0",
            "meta": meta(&body.looks, thumbnail),
            "humanoid": { "humanBones": human_bones(&body.rig) },
            "firstPerson": { "meshAnnotations": [
                { "node": flesh, "type": "auto" },
                { "node": face, "type": "thirdPersonOnly" },
            ] },
            "lookAt": look_at(body),
            "expressions": expressions(face),
        }),
    );
    if let Some(springs) = springs::write(body) {
        builder.extend("VRMC_springBone", springs);
    }
    builder.finish(&[0, flesh, face], "person")
}

/// A node for every bone, so that nodes and bones have the same numbers.
fn skeleton(builder: &mut Builder, rig: &Rig) {
    for (number, bone) in rig.bones.iter().enumerate() {
        let from = bone.parent.map(|parent| rig.bones[parent].at).unwrap_or_default();
        let children: Vec<usize> =
            (0..rig.bones.len()).filter(|child| rig.bones[*child].parent == Some(number)).collect();
        let mut node = json!({ "name": bone.name, "translation": (bone.at - from).array() });
        if !children.is_empty() {
            node["children"] = children.into();
        }
        builder.add("nodes", node);
    }
}

fn textures(builder: &mut Builder, body: &Body) -> Textures {
    let sampler = builder.add(
        "samplers",
        // Linear with mipmaps, and held at the edges.
        json!({ "magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071 }),
    );
    let mut texture = |bytes: &[u8], name: &str| {
        let image = builder.image(bytes.to_vec(), "image/png", name);
        builder.add("textures", json!({ "name": name, "sampler": sampler, "source": image }))
    };
    Textures {
        lit: texture(&body.pictures.lit, "lit"),
        shade: texture(&body.pictures.shade, "shade"),
    }
}

fn skin(builder: &mut Builder, rig: &Rig) -> usize {
    // Bones are not turned, so the way back to each is a shift.
    let inverse: Vec<[f32; 16]> = rig
        .bones
        .iter()
        .map(|bone| {
            let [x, y, z] = (-bone.at).array();
            [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, x, y, z, 1.0]
        })
        .collect();
    let inverse = builder.numbers(&inverse, false);
    let joints: Vec<usize> = (0..rig.bones.len()).collect();
    builder.add(
        "skins",
        json!({
            "name": "person", "inverseBindMatrices": inverse, "joints": joints, "skeleton": 0,
        }),
    )
}

fn primitive(builder: &mut Builder, mesh: &Skinned, material: usize) -> Value {
    json!({
        "attributes": {
            "POSITION": builder.attribute(&mesh.at, true),
            "NORMAL": builder.attribute(&mesh.normal, false),
            "TEXCOORD_0": builder.places(&mesh.uv),
            "JOINTS_0": builder.joints(&mesh.joints),
            "WEIGHTS_0": builder.weights(&mesh.weights),
        },
        "indices": builder.indices(&mesh.corners),
        "material": material,
        "mode": 4,
    })
}

fn face_mesh(builder: &mut Builder, body: &Body, material: usize) -> usize {
    let mut face = primitive(builder, &body.face, material);
    let targets: Vec<Value> = body
        .morphs
        .iter()
        .map(|moved| json!({ "POSITION": builder.displacements(moved) }))
        .collect();
    face["targets"] = targets.into();
    let names: Vec<&str> = EXPRESSIONS.iter().map(|expression| expression.name).collect();
    builder.add(
        "meshes",
        json!({
            "name": "face",
            "primitives": [face],
            "weights": vec![0.0; names.len()],
            "extras": { "targetNames": names },
        }),
    )
}

fn human_bones(rig: &Rig) -> Map<String, Value> {
    rig.bones
        .iter()
        .enumerate()
        .filter(|(_, bone)| bone.humanoid)
        .map(|(number, bone)| (bone.name.clone(), json!({ "node": number })))
        .collect()
}

/// Everything is allowed: no other's work is in a generated body.
fn meta(looks: &Looks, thumbnail: usize) -> Value {
    let licence = "https://vrm.dev/licenses/1.0/";
    json!({
        "name": format!("Person {:016x}", looks.seed),
        "version": "1.0",
        "authors": ["Wayside"],
        "copyrightInformation": "Generated by Wayside; may be used like a work in the public domain.",
        "contactInformation": "The operator of the node that serves this body.",
        "references": ["Made from a seed alone."],
        "thirdPartyLicenses": "None: nobody else's work is part of this body.",
        "thumbnailImage": thumbnail,
        "licenseUrl": licence,
        "avatarPermission": "everyone",
        "allowExcessivelyViolentUsage": false,
        "allowExcessivelySexualUsage": false,
        "commercialUsage": "corporation",
        "allowPoliticalOrReligiousUsage": true,
        "allowAntisocialOrHateUsage": false,
        "creditNotation": "unnecessary",
        "allowRedistribution": true,
        "modification": "allowModificationRedistribution",
        "otherLicenseUrl": licence,
    })
}

/// Eyes turn by their bones, far less than the gaze does: they are large.
fn look_at(body: &Body) -> Value {
    let rig = &body.rig;
    let between = rig.at("leftEye").lerp(rig.at("rightEye"), 0.5);
    let map = |output: f32| json!({ "inputMaxValue": 90.0, "outputScale": output });
    json!({
        "type": "bone",
        "offsetFromHeadBone": (between - rig.at("head")).array(),
        "rangeMapHorizontalInner": map(10.0),
        "rangeMapHorizontalOuter": map(12.0),
        "rangeMapVerticalDown": map(10.0),
        "rangeMapVerticalUp": map(9.0),
    })
}

fn expressions(face: usize) -> Value {
    let expression = |targets: &[usize], holds: [&str; 3]| {
        let mut value = json!({
            "isBinary": false,
            "overrideBlink": holds[0],
            "overrideLookAt": holds[1],
            "overrideMouth": holds[2],
        });
        if !targets.is_empty() {
            value["morphTargetBinds"] = targets
                .iter()
                .map(|target| json!({ "node": face, "index": target, "weight": 1.0 }))
                .collect();
        }
        value
    };
    let mut preset = Map::new();
    for (number, mood) in EXPRESSIONS.iter().enumerate() {
        preset.insert(mood.name.into(), expression(&[number], mood.holds));
    }
    let free = ["none"; 3];
    preset.insert("blink".into(), expression(&[0, 1], free));
    // The bones of the eyes do what these would; they are named so that no reader misses them.
    for name in ["neutral", "lookUp", "lookDown", "lookLeft", "lookRight"] {
        preset.insert(name.into(), expression(&[], free));
    }
    json!({ "preset": preset, "custom": {} })
}
