//! What becomes of VRM 0.x.

use serde_json::{Value, json};

use super::*;

fn near(value: &Value, right: &[f64]) {
    let numbers: Vec<f64> =
        value.as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
    assert_eq!(numbers.len(), right.len(), "{value}");
    for (is, right) in numbers.iter().zip(right) {
        assert!((is - right).abs() < 1e-5, "{numbers:?} is not {right:?}");
    }
}

fn converted() -> (Value, Vec<u8>) {
    let bytes = accepted(&bytes(&old()));
    let json_bytes = u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize;
    (json_of(&bytes), bytes[28 + json_bytes..].to_vec())
}

#[test]
fn an_old_body_turns_round() {
    let (old, modern) = (converted(), modern());
    // The sample of 0.x is that of 1.0 turned round: turned back, they are the same.
    assert!(old.1[..modern.1.len().min(old.1.len())].iter().zip(&modern.1).take(1_000).count() > 0);
    for at in 0..BODY.len() {
        let place = |root: &Value| root["nodes"][at]["translation"].clone();
        let right: Vec<f64> =
            place(&modern.0).as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
        near(&place(&old.0), &right);
    }
    for accessor in ["POSITION", "NORMAL"] {
        let floats = |(root, bin): &(Value, Vec<u8>)| {
            let at = root["meshes"][0]["primitives"][0]["attributes"][accessor].as_u64().unwrap();
            let view = &root["bufferViews"][usize::try_from(at).unwrap()];
            let start = usize::try_from(view["byteOffset"].as_u64().unwrap_or(0)).unwrap();
            bin[start..start + 36]
                .as_chunks()
                .0
                .iter()
                .map(|four| f32::from_le_bytes(*four) + 0.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(floats(&old), floats(&modern), "{accessor}");
    }
    near(&old.0["accessors"][1]["min"], &[-0.1, 1.0, 0.05]);
    let bytes = container(&old.0.to_string(), old.1);
    assert!(!avatar(&bytes).report.has("POSE_BACKWARDS"));
}

#[test]
fn skins_fit_after_the_turn() {
    let bytes = accepted(&bytes(&old()));
    let asset =
        asset(&bytes, &Limits::AVATAR).unwrap_or_else(|report| panic!("{:#?}", report.issues));
    let binds = asset.parts.accessors[0].floats(asset.bin());
    for (joint, bind) in binds.as_chunks::<16>().0.iter().enumerate() {
        let world = asset.world_transform(joint);
        for axis in 0..3 {
            assert!((world[3][axis] + bind[12 + axis]).abs() < 1e-5, "joint {joint}");
        }
    }
}

#[test]
fn old_words_become_new_ones() {
    let (root, _) = converted();
    let vrm = &root["extensions"]["VRMC_vrm"];
    let bones = &vrm["humanoid"]["humanBones"];
    assert_eq!(bones["leftThumbMetacarpal"]["node"], 15);
    assert_eq!(bones["leftThumbProximal"]["node"], 16);
    let meta = &vrm["meta"];
    assert_eq!((&meta["name"], &meta["authors"]), (&json!("Old"), &json!(["Somebody"])));
    assert_eq!(meta["commercialUsage"], "personalProfit");
    assert_eq!(
        (&meta["modification"], &meta["allowRedistribution"]),
        (&json!("prohibited"), &json!(true))
    );
    assert_eq!(meta["otherLicenseUrl"], "https://creativecommons.org/licenses/by-nd/4.0/");
    assert_eq!((meta.get("references"), &meta["thumbnailImage"]), (None, &json!(0)));
    let expressions = &vrm["expressions"];
    assert_eq!(
        expressions["preset"]["happy"]["morphTargetBinds"],
        json!([{ "node": MESH_NODE, "index": 0, "weight": 0.5 }])
    );
    let custom = &expressions["custom"]["happy_"];
    assert_eq!(
        (&custom["isBinary"], &custom["materialColorBinds"][0]["type"]),
        (&json!(true), &json!("color"))
    );
    near(&custom["materialColorBinds"][0]["targetValue"], &[0.214_041, 0.0, 0.0, 1.0]);
    near(&custom["textureTransformBinds"][0]["offset"], &[0.25, 0.5]);
    assert_eq!(
        vrm["firstPerson"]["meshAnnotations"],
        json!([{ "node": MESH_NODE, "type": "thirdPersonOnly" }])
    );
    assert_eq!(vrm["lookAt"]["type"], "expression");
    near(&vrm["lookAt"]["offsetFromHeadBone"], &[-0.01, 0.06, 0.02]);
    assert_eq!(
        vrm["lookAt"]["rangeMapHorizontalInner"],
        json!({ "inputMaxValue": 45.0, "outputScale": 0.5 })
    );
    assert_eq!(vrm["lookAt"]["rangeMapVerticalUp"]["outputScale"], 1.0);
    assert!(!super::super::uses(&root, "VRM") && root["extensions"].get("VRM").is_none());
}

#[test]
fn old_springs_become_chains() {
    let (root, _) = converted();
    let springs = &root["extensions"]["VRMC_springBone"];
    let spring = &springs["springs"][0];
    let joints: Vec<u64> = spring["joints"]
        .as_array()
        .unwrap()
        .iter()
        .map(|joint| joint["node"].as_u64().unwrap())
        .collect();
    let end = root["nodes"].as_array().unwrap().len() as u64 - 1;
    assert_eq!(
        joints,
        [HAIR as u64, HAIR as u64 + 1, end],
        "a node is added where the last bone points"
    );
    let along = &root["nodes"][usize::try_from(end).unwrap()]["translation"];
    near(along, &[0.0, -0.068_641, -0.013_728]);
    near(&spring["joints"][0]["gravityDir"], &[-0.5, -1.0, 0.25]);
    assert_eq!((&spring["name"], &spring["colliderGroups"]), (&json!("hair"), &json!([0])));
    near(&springs["colliders"][0]["shape"]["sphere"]["offset"], &[-0.1, 0.2, 0.3]);
}

#[test]
fn old_toons_become_new_ones() {
    let (root, _) = converted();
    let material = &root["materials"][0];
    near(&material["pbrMetallicRoughness"]["baseColorFactor"], &[0.214_041, 1.0, 1.0, 0.25]);
    let transform = &material["pbrMetallicRoughness"]["baseColorTexture"]["extensions"]["KHR_texture_transform"];
    near(&transform["offset"], &[0.1, 0.3]);
    assert_eq!((&material["alphaMode"], &material["doubleSided"]), (&json!("MASK"), &json!(true)));
    near(&json!([material["alphaCutoff"]]), &[0.4]);
    let toon = &material["extensions"]["VRMC_materials_mtoon"];
    near(&json!([toon["shadingToonyFactor"], toon["shadingShiftFactor"]]), &[0.95, -0.05]);
    assert_eq!(toon["outlineWidthMode"], "worldCoordinates");
    near(
        &json!([toon["outlineWidthFactor"], toon["uvAnimationScrollYSpeedFactor"]]),
        &[0.005, -0.5],
    );
    near(&toon["shadeColorFactor"], &[0.933_107, 0.620_916, 0.710_566]);
    assert_eq!(toon["shadeMultiplyTexture"]["index"], 0, "the shade wears what the light wears");
}

#[test]
fn stale_indices_of_old_files_are_left_out() {
    let mut parts = old();
    let vrm = &mut parts.0["extensions"]["VRM"];
    vrm["blendShapeMaster"]["blendShapeGroups"][0]["binds"][0]["index"] = 7.into();
    vrm["secondaryAnimation"]["boneGroups"][0]["bones"] = json!([-1, HAIR, 4_000]);
    vrm["secondaryAnimation"]["boneGroups"][0]["colliderGroups"] = json!([5]);
    vrm["materialProperties"][0]["textureProperties"]["_BumpMap"] = 9.into();
    vrm["firstPerson"]["meshAnnotations"][0]["mesh"] = 3.into();
    vrm["meta"]["texture"] = json!(-1);
    let bytes = bytes(&parts);
    let report = avatar(&bytes).report;
    assert!(report.has("MORPH_OUT_OF_RANGE") && report.has("INDEX_OUT_OF_RANGE"));
    let root = json_of(&accepted(&bytes));
    let springs = &root["extensions"]["VRMC_springBone"];
    assert_eq!(springs["springs"][0].get("colliderGroups"), None);
    assert_eq!(springs["springs"].as_array().unwrap().len(), 1);
}

#[test]
fn branches_of_hair_each_get_a_chain() {
    let mut parts = old();
    let nodes = parts.0["nodes"].as_array_mut().unwrap();
    let branch = nodes.len();
    nodes.push(json!({ "name": "branch", "translation": [0.05, 0, 0] }));
    nodes[HAIR]["children"] = json!([HAIR + 1, branch]);
    let root = json_of(&accepted(&bytes(&parts)));
    let springs = root["extensions"]["VRMC_springBone"]["springs"].as_array().unwrap();
    assert_eq!(springs.len(), 2);
    assert_eq!(springs[1]["joints"][0]["node"], branch);
}
