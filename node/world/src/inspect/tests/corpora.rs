//! Files of strangers, where they lie beside the project: no panic, and the verdicts of others.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::*;

/// Where the corpora are, if they are.
fn corpora() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpora");
    let folder = std::env::var_os("WAYSIDE_CORPORA").map_or(beside, PathBuf::from);
    folder.is_dir().then_some(folder)
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path
            .extension()
            .is_some_and(|kind| kind == "vrm" || kind == "glb" || kind == "gltf")
        {
            found.push(path);
        }
    }
}

/// A GLB of a text glTF and the files beside it, as far as those can be found.
fn packed(path: &Path) -> Option<Vec<u8>> {
    let mut root: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let beside = |uri: &Value| {
        let uri = uri.as_str()?;
        if let Some((_, base64)) = uri.split_once(";base64,") {
            return decoded(base64);
        }
        fs::read(path.parent()?.join(uri.replace("%20", " "))).ok()
    };
    let mut bin = Vec::new();
    if let Some(buffer) = root.get_mut("buffers").and_then(|all| all.get_mut(0))
        && let Some(bytes) = buffer.get("uri").and_then(beside)
    {
        buffer.as_object_mut()?.remove("uri");
        bin = bytes;
    }
    let images = root.get("images").and_then(Value::as_array).cloned().unwrap_or_default();
    for (at, image) in images.iter().enumerate() {
        let Some(bytes) = image.get("uri").and_then(beside) else { continue };
        // Only where there is a buffer to put it into, so that nothing else changes.
        if root["buffers"].as_array().is_none_or(|all| all.len() != 1)
            || !root["bufferViews"].is_array()
        {
            continue;
        }
        bin.resize(bin.len().next_multiple_of(4), 0);
        let view = json!({ "buffer": 0, "byteOffset": bin.len(), "byteLength": bytes.len() });
        let mime = crate::picture::probe(&bytes)
            .map_or("image/png", |picture| picture.format.content_type());
        bin.extend(bytes);
        root["buffers"][0]["byteLength"] = bin.len().into();
        let views = root["bufferViews"].as_array_mut()?;
        views.push(view);
        let mut packed = json!({ "bufferView": views.len() - 1, "mimeType": mime });
        if let Some(name) = image.get("name") {
            packed["name"] = name.clone();
        }
        root["images"][at] = packed;
    }
    Some(container(&root.to_string(), bin))
}

fn decoded(base64: &str) -> Option<Vec<u8>> {
    let mut bits = (0u32, 0);
    let mut bytes = Vec::new();
    for letter in base64.bytes().filter(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits.0 << 6 | u32::from(value), bits.1 + 6);
        if bits.1 >= 8 {
            bits.1 -= 8;
            bytes.push(u8::try_from(bits.0 >> bits.1 & 0xFF).ok()?);
        }
    }
    Some(bytes)
}

/// What is wrong with a file for us, if anything: codes of errors and warnings.
fn complaints(file: &[u8]) -> (bool, Vec<String>) {
    let report = match asset(file, &Limits::SCENE) {
        Ok(asset) => asset.report().clone(),
        Err(report) => report,
    };
    let wrong =
        report.issues.iter().filter(|issue| issue.severity != super::super::Severity::Information);
    (report.accepted, wrong.map(|issue| format!("{} {}", issue.code, issue.pointer)).collect())
}

#[test]
fn strangers_files_never_panic() {
    let Some(folder) = corpora() else {
        println!("skipped: strangers_files_never_panic");
        return;
    };
    let (mut all, mut seen, mut taken) = (Vec::new(), 0, 0);
    files(&folder, &mut all);
    for path in &all {
        let Ok(raw) = fs::read(path) else { continue };
        for file in [Some(raw), packed(path)].into_iter().flatten() {
            seen += 1;
            taken += usize::from(asset(&file, &Limits::SCENE).is_ok());
            if avatar(&file).report.accepted {
                accepted(&file);
            }
        }
    }
    println!("{} files, looked at in {seen} forms, {taken} sound", all.len());
}

#[test]
fn the_worlds_and_avatars_are_sound() {
    let Some(folder) = corpora() else {
        println!("skipped: the_worlds_and_avatars_are_sound");
        return;
    };
    let mut worlds = Vec::new();
    files(&folder.join("world-cc0"), &mut worlds);
    for path in &worlds {
        let file = if path.extension().is_some_and(|kind| kind == "gltf") {
            packed(path)
        } else {
            fs::read(path).ok()
        };
        let (sound, wrong) = complaints(&file.unwrap());
        // Files that leave their pictures outside are not to be had as one.
        let outside = wrong.iter().any(|what| what.starts_with("EXTERNAL_URI"));
        assert!(sound || outside, "{}: {wrong:?}", path.display());
    }
    for name in [
        "vrm-samples-official",
        "avatars-cc0-vrm1",
        "avatars-vrm0",
        "vrm-univrm-tests",
        "vrm-blender-addon",
    ] {
        let mut avatars = Vec::new();
        files(&folder.join(name), &mut avatars);
        for path in avatars {
            accepted(&fs::read(&path).unwrap());
        }
    }
    let mut malformed = Vec::new();
    files(&folder.join("vrm-fixtures-tiny"), &mut malformed);
    malformed.retain(|path| path.to_string_lossy().contains("malformed"));
    for path in malformed {
        assert!(!avatar(&fs::read(&path).unwrap()).report.accepted, "{}", path.display());
    }
}

#[test]
fn the_validator_agrees() {
    let Some(folder) = corpora()
        .map(|folder| folder.join("gltf-validator-tests"))
        .filter(|folder| folder.is_dir())
    else {
        println!("skipped: the_validator_agrees");
        return;
    };
    let mut all = Vec::new();
    files(&folder, &mut all);
    let (mut wrong, mut caught, mut right, mut sound) = (0, 0, 0, 0);
    for path in all {
        let Ok(report) = fs::read(format!("{}.report.json", path.display())) else { continue };
        let report: Value = serde_json::from_slice(&report).unwrap();
        let binary = path.extension().is_some_and(|kind| kind == "glb");
        let file = if binary { fs::read(&path).ok() } else { packed(&path) };
        let Some(file) = file else { continue };
        let (accepted, complaints) = complaints(&file);
        let errors = report["issues"]["numErrors"].as_u64().unwrap_or(0);
        if errors == 0 {
            right += 1;
            sound += usize::from(accepted);
            if !accepted {
                println!(
                    "refused, though the validator finds no error: {} {complaints:?}",
                    path.display()
                );
            }
            continue;
        }
        wrong += 1;
        if complaints.is_empty() {
            let messages = report["issues"]["messages"].as_array().unwrap();
            let codes: Vec<&Value> = messages
                .iter()
                .filter(|one| one["severity"] == 0)
                .map(|one| &one["code"])
                .collect();
            println!("passed, though the validator finds {codes:?}: {}", path.display());
            assert!(!binary, "{}", path.display());
        } else {
            caught += 1;
        }
    }
    println!(
        "of {wrong} files with errors {caught} are complained of; of {right} without, {sound} are accepted"
    );
    assert!(caught * 100 >= wrong * 70 && sound * 100 >= right * 70);
}
