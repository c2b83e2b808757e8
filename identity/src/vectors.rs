//! Vectors: those of others, where they lie beside the project, every one by its name; and our own.

mod credentials;
mod data_integrity;
mod own;
mod social;

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    did::{Document, Plan, plan, webvh::History},
    json::canonical,
    key::PublicKey,
    proof::Purpose,
    time::Moment,
};

/// A folder of the corpora, if they are here.
pub(crate) fn corpus(name: &str, test: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpora");
    let folder = std::env::var_os("WAYSIDE_CORPORA").map_or(beside, PathBuf::from);
    if !folder.is_dir() {
        println!("skipped: {test} (WAYSIDE_CORPORA names no folder)");
        return None;
    }
    Some(folder.join(name))
}

pub(crate) fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|it| panic!("{}: {it}", folder.display()));
    let mut entries: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The keys of a document for each purpose, whatever the types and ids of its methods are.
fn keys(document: &Document) -> Vec<(Purpose, Vec<PublicKey>)> {
    let of = |purpose| {
        let keys = document.keys(purpose).map(|method| method.key.clone());
        let mut keys: Vec<_> = keys.map(|key| key.expect("every key is of a known kind")).collect();
        keys.sort();
        (purpose, keys)
    };
    Purpose::ALL.into_iter().map(of).collect()
}

/// The vectors are of 2022: their methods have the types of then, and name keys by fewer purposes.
#[test]
fn vectors_of_did_key() {
    let Some(folder) = corpus("did-key-vectors", "vectors_of_did_key") else { return };
    let mut told = 0;
    for file in
        entries(&folder).iter().filter(|path| path.extension().is_some_and(|it| it == "json"))
    {
        for (did, vector) in read_json(file).as_object().unwrap() {
            if !did.starts_with("did:key:") {
                continue;
            }
            let of = format!("{} {did:.40}", name(file));
            let expected = vector.get("didDocument").unwrap_or(vector);
            let expected = Document::from_value(expected.clone());
            let expected = expected.unwrap_or_else(|error| panic!("{of}: its document: {error}"));
            let planned = plan(&did.parse().unwrap());
            let Plan::Known(document) = planned.unwrap_or_else(|error| panic!("{of}: {error}"))
            else {
                panic!("{of}: nothing is to be fetched for it")
            };
            assert_eq!(document.id(), expected.id(), "{of}");
            for ((purpose, ours), (_, theirs)) in keys(&document).iter().zip(keys(&expected)) {
                assert!(theirs.iter().all(|key| ours.contains(key)), "{of}: {purpose:?}");
                assert!(!ours.is_empty() || theirs.is_empty(), "{of}: {purpose:?}");
            }
            println!("{of}: ok");
            told += 1;
        }
    }
    assert!(told >= 26, "{told} vectors of did:key were found");
}

/// A document without the services that a resolver may add, as some of these did (section "DID URL
/// Handling"): one for files, one for what others say of the subject.
fn without_implied(document: &Value) -> Value {
    let mut document = document.clone();
    let Some(services) = document.get_mut("service").and_then(Value::as_array_mut) else {
        return document;
    };
    services.retain(|service| {
        let id = service["id"].as_str().unwrap_or_default();
        !["#files", "#whois"].iter().any(|end| id.ends_with(end))
    });
    if services.is_empty() {
        document.as_object_mut().unwrap().remove("service");
    }
    document
}

/// Two logs that their own generators took, and that the specification refuses: the version that names
/// new witnesses has to have those of before (section "Witness Lists"). The same log by two other
/// generators stands beside them, and is expected to be refused there.
const DISPUTED: [&str; 2] = ["witness-update java", "witness-update ts"];

fn judge_log(folder: &Path, of: &str) {
    let log = fs::read(folder.join("did.jsonl")).unwrap();
    let witness = fs::read(folder.join("did-witness.json")).ok();
    let expected = read_json(&folder.join("resolutionResult.json"));
    let now = Moment(1_800_000_000_000);
    let read = History::read(&log, witness.as_deref(), now);
    let metadata = &expected["didDocumentMetadata"];
    if expected["didDocument"].is_null() || DISPUTED.contains(&of) {
        let error = read.err().unwrap_or_else(|| panic!("{of}: is taken, and must be refused"));
        let code = expected["didResolutionMetadata"]["error"].as_str();
        assert_eq!(error.code(), code.unwrap_or("invalidDid"), "{of}: {error}");
        println!("{of}: refused: {error}");
        return;
    }
    let history = read.unwrap_or_else(|error| panic!("{of}: {error}"));
    let latest = history.latest();
    let theirs = without_implied(&expected["didDocument"]);
    let ours = without_implied(latest.document.value());
    assert_eq!(canonical(&ours), canonical(&theirs), "{of}");
    for (member, ours) in [
        ("versionId", Value::from(latest.id.to_string())),
        ("versionNumber", latest.id.number.into()),
        ("versionTime", crate::time::write(latest.time).into()),
        ("updated", crate::time::write(latest.time).into()),
        ("created", crate::time::write(history.versions()[0].time).into()),
        ("scid", history.scid().into()),
        ("portable", latest.parameters.portable.into()),
        ("deactivated", latest.parameters.deactivated.into()),
    ] {
        if let Some(theirs) = metadata.get(member) {
            assert_eq!(&ours, theirs, "{of}: {member}");
        }
    }
    println!("{of}: ok");
}

#[test]
fn vectors_of_did_webvh() {
    let Some(folder) = corpus("did-webvh-vectors/vectors", "vectors_of_did_webvh") else { return };
    let (mut logs, mut dids) = (0, 0);
    for scenario in entries(&folder).iter().filter(|path| path.is_dir()) {
        let script = fs::read_to_string(scenario.join("script.yaml")).unwrap();
        for line in script.lines().filter_map(|line| line.trim().strip_prefix("did: \"")) {
            let did = line.trim_end_matches('"');
            // With a SCID that is one, so that what is refused is the place.
            let scid = "QmW9K6bJYn5LhixSSi7UKD3W7uNGeQtKKuZ9NzqYtUcK69";
            let sound = did.replace("Qm0000000000000000000000000000000000000000000000", scid);
            for did in [did, &sound] {
                let planned = did.parse().map_err(|error| format!("{error}"));
                let planned = planned.and_then(|did| plan(&did).map_err(|it| it.code().to_owned()));
                assert!(planned.is_err(), "{}: {did} is taken", name(scenario));
            }
            println!("{}: {did}: refused", name(scenario));
            dids += 1;
        }
        for generator in entries(scenario).iter().filter(|path| path.is_dir()) {
            let log = fs::metadata(generator.join("did.jsonl")).unwrap();
            if log.len() > 0 {
                judge_log(generator, &format!("{} {}", name(scenario), name(generator)));
                logs += 1;
            }
        }
    }
    assert!(logs >= 75 && dids >= 9, "{logs} logs and {dids} DIDs were found");
}

/// A part of a file of vectors, which holds some.
fn section_of(file: &str, section: &str) -> Vec<Value> {
    let mut all: Value = serde_json::from_str(file).unwrap();
    let Value::Array(vectors) = all[section].take() else { panic!("no section {section}") };
    assert!(!vectors.is_empty(), "{section} is empty");
    vectors
}

fn text<'v>(vector: &'v Value, member: &str) -> &'v str {
    vector[member].as_str().unwrap_or_else(|| panic!("{member} of {vector}"))
}
