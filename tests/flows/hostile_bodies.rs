//! Bodies and scenes that are broken, endless or huge: refused with a report, and nobody is invisible.

use std::fs;

use anyhow::{Context, Result, ensure};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, package_folder};

use crate::{
    pictures::png,
    stage::{Deeds, Stage},
    worlds::glb,
};

const AVATARS: &str = "/_wayside/v1/avatars";

/// What is wrong with a body, the code by which its report says so, and how a sound one becomes such.
type Bad = (&'static str, &'static str, fn(&mut Value, &mut Vec<u8>));

#[rustfmt::skip]
const BAD: [Bad; 10] = [
    ("a cycle of nodes", "NODE_CYCLE", |root, _| push(&mut root["nodes"][18], "children", json!(0))),
    ("no number", "NOT_FINITE", |root, bin| {
        let at = position(root);
        bin[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    }),
    ("an infinite number", "NOT_FINITE", |root, _| root["nodes"][0]["translation"] = json!([1e300, 0, 0])),
    ("100 million vertices", "TOO_MANY_ELEMENTS", |root, _| root["accessors"][1]["count"] = json!(100_000_000)),
    ("100 million vertices of nothing", "TOO_MANY_ELEMENTS", |root, _| {
        push(root, "accessors", json!({"componentType": 5126, "count": 100_000_000, "type": "VEC3"}));
    }),
    ("no hips", "BONE_MISSING", |root, _| {
        let bones = root["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"].as_object_mut();
        bones.and_then(|bones| bones.remove("hips")).expect("the sample has hips");
    }),
    ("a texture of 16,384 pixels", "TEXTURE_TOO_LARGE", |root, bin| image(root, bin, &png(16_384, 16_384, 1))),
    ("a buffer elsewhere", "EXTERNAL_URI", |root, _| root["buffers"][0]["uri"] = json!("https://example.org/a.bin")),
    ("an image elsewhere", "EXTERNAL_URI", |root, _| root["images"][0] = json!({"uri": "file:///etc/passwd"})),
    ("a buffer of 4 GB", "BUFFER_OUTSIDE_FILE", |root, _| root["buffers"][0]["byteLength"] = json!(4_000_000_000_u32)),
];

/// The sound body of the inspection's seeds: its JSON and its BIN chunk.
pub(crate) fn sound() -> Result<(Value, Vec<u8>)> {
    let path = package_folder().join("../node/world/vectors/seeds/inspect/modern.vrm");
    let file = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let length = usize::try_from(u32::from_le_bytes(file[12..16].try_into()?))?;
    Ok((serde_json::from_slice(&file[20..20 + length])?, file[28 + length..].to_vec()))
}

fn push(value: &mut Value, list: &str, item: Value) {
    match value[list].as_array_mut() {
        Some(items) => items.push(item),
        None => value[list] = json!([item]),
    }
}

/// Where in the BIN chunk the positions of the first part begin.
fn position(root: &Value) -> usize {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap_or(0)).unwrap_or(0);
    let accessor = number(&root["meshes"][0]["primitives"][0]["attributes"]["POSITION"]);
    let accessor = &root["accessors"][accessor];
    let view = &root["bufferViews"][number(&accessor["bufferView"])];
    number(&view["byteOffset"]) + number(&accessor["byteOffset"])
}

/// Puts a picture in the place of the first.
fn image(root: &mut Value, bin: &mut Vec<u8>, picture: &[u8]) {
    bin.resize(bin.len().next_multiple_of(4), 0);
    push(
        root,
        "bufferViews",
        json!({"buffer": 0, "byteOffset": bin.len(), "byteLength": picture.len()}),
    );
    bin.extend(picture);
    root["buffers"][0]["byteLength"] = json!(bin.len());
    let view = root["bufferViews"].as_array().map_or(0, Vec::len) - 1;
    root["images"][0] = json!({"bufferView": view, "mimeType": "image/png"});
}

async fn upload(stage: &Stage, who: &Client, bytes: Vec<u8>) -> Result<(StatusCode, Value)> {
    let url = stage.node.http().join(AVATARS)?;
    let request = reqwest::Client::new().post(url).bearer_auth(who.session().token());
    let answer =
        request.header(header::CONTENT_TYPE, "model/gltf-binary").body(bytes).send().await?;
    Ok((answer.status(), answer.json().await?))
}

fn codes(report: &Value) -> Vec<&str> {
    let issues = report["issues"].as_array().map(Vec::as_slice).unwrap_or_default();
    issues.iter().filter_map(|issue| issue["code"].as_str()).collect()
}

#[tokio::test]
async fn bad_bodies_are_refused_with_their_report() -> Result<()> {
    Stage::play(Engine::Sqlite, async |stage: &mut Stage| {
        let ann = stage.person("ann").await?;
        let (json, bin) = sound()?;
        let whole = glb(&json, &bin);
        let mut cases = vec![
            ("cut off", "GLB_TRUNCATED", whole[..whole.len() / 2].to_vec()),
            ("nothing", "NOT_A_GLB", Vec::new()),
            ("another file", "NOT_A_GLB", png(4, 4, 4)),
        ];
        for (what, code, change) in BAD {
            let (mut json, mut bin) = (json.clone(), bin.clone());
            change(&mut json, &mut bin);
            cases.push((what, code, glb(&json, &bin)));
        }
        for (what, code, bytes) in cases {
            let (status, answer) = upload(stage, &ann, bytes.clone()).await.context(what)?;
            let report = &answer["report"];
            ensure!(status == StatusCode::BAD_REQUEST, "{what}: {status} {answer}");
            ensure!(
                report["accepted"] == false && codes(report).contains(&code),
                "{what}: {report}"
            );
            // Nor is it a world.
            if code != "BONE_MISSING" {
                let scene = ann.upload("model/gltf-binary", bytes).await;
                let Ok(scene) = scene else { continue };
                let wish = json!({"name": what, "scene": format!("mxc://{}", scene.place())});
                let refused = ann.post("/_wayside/v1/worlds", &wish).await.err();
                let refused = refused.with_context(|| format!("{what} is a world"))?.to_string();
                ensure!(refused.contains(code), "{what}: {refused}");
            }
        }
        // Through all of it Ann keeps the body that she has.
        let mine = ann.get("/_wayside/v1/avatar").await?;
        ensure!(mine["worn"]["kind"] == "generated" && mine["uploads"] == json!([]), "{mine}");
        // Bones that nobody knows are told of, and the body is worn.
        let (mut json, bin) = (json, bin);
        json["extensions"]["VRMC_vrm"]["humanoid"]["humanBones"]["tail"] = json!({"node": 17});
        let (status, answer) = upload(stage, &ann, glb(&json, &bin)).await?;
        ensure!(
            status.is_success() && codes(&answer["report"]).contains(&"BONE_UNKNOWN"),
            "{answer}"
        );
        ann.put("/_wayside/v1/avatar", &json!({"sha256": answer["sha256"]})).await?;
        ensure!(ann.get("/_wayside/v1/avatar").await?["worn"]["kind"] == "uploaded");
        Ok(())
    })
    .await
}
