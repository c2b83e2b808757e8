//! Keys of rooms are kept for who loses every device, and only the better of two copies stays.

use anyhow::{Context, Result, ensure};
use serde_json::{Map, Value, json};
use wayside_tests::{CallError, Client};

use crate::stage::{Deeds, Stage, refused, stories};

stories! {
    backups_are_made_changed_and_removed;
    keys_go_into_the_newest_backup_and_come_back;
    a_worse_copy_never_replaces_a_better;
    a_large_backup_comes_back_whole;
}

const VERSION: &str = "/_matrix/client/v3/room_keys/version";
const KEYS: &str = "/_matrix/client/v3/room_keys/keys";
const ALGORITHM: &str = "m.megolm_backup.v1.curve25519-aes-sha2";

async fn begin(person: &Client) -> Result<String> {
    let auth_data = json!({ "public_key": "YWJj", "signatures": {} });
    let body = json!({ "algorithm": ALGORITHM, "auth_data": auth_data });
    let answer = person.post(VERSION, &body).await?;
    Ok(answer["version"].as_str().context("a version is a text")?.to_owned())
}

fn key(first: u32, forwarded: u32, verified: bool, text: &str) -> Value {
    json!({
        "first_message_index": first, "forwarded_count": forwarded, "is_verified": verified,
        "session_data": { "ciphertext": text },
    })
}

fn wrong_version(answer: Result<Value, CallError>, current: &str) -> Result<()> {
    match answer {
        Err(CallError::Refused { status, body, .. }) => {
            let fits = status.as_u16() == 403
                && body["errcode"] == "M_WRONG_ROOM_KEYS_VERSION"
                && body["current_version"] == current;
            ensure!(fits, "{status} {body}");
            Ok(())
        }
        other => anyhow::bail!("keys were taken for an old backup: {other:?}"),
    }
}

// Operations: getRoomKeysVersionCurrent, postRoomKeysVersion, deleteRoomKeysVersion,
// getRoomKeysVersion, putRoomKeysVersion.
async fn backups_are_made_changed_and_removed(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    refused(ann.get(VERSION).await, 404, "M_NOT_FOUND")?;
    let (old, new) = (begin(&ann).await?, begin(&ann).await?);
    ensure!(old != new, "two backups have one name");
    let newest = ann.get(VERSION).await?;
    let expected = json!({
        "algorithm": ALGORITHM, "auth_data": { "public_key": "YWJj", "signatures": {} },
        "count": 0, "etag": newest["etag"], "version": new,
    });
    ensure!(newest == expected, "{newest}");
    let changed = json!({ "public_key": "YWJj", "signatures": { ann.id(): { "ed25519:X": "s" } } });
    let body = json!({ "algorithm": ALGORITHM, "auth_data": changed, "version": new });
    ann.put(&format!("{VERSION}/{new}"), &body).await?;
    let one = ann.get(&format!("{VERSION}/{new}")).await?;
    ensure!(one["auth_data"] == changed, "{one}");
    for (name, value) in [("version", json!(old)), ("algorithm", json!("org.example.other"))] {
        let mut wrong = body.clone();
        wrong[name] = value;
        let answer = ann.put(&format!("{VERSION}/{new}"), &wrong).await;
        refused(answer, 400, "M_INVALID_PARAM")?;
    }
    for path in ["0", "none", &new] {
        let path = format!("{VERSION}/{path}");
        refused(bob.get(&path).await, 404, "M_NOT_FOUND")?;
        refused(bob.delete(&path).await, 404, "M_NOT_FOUND")?;
    }
    ann.delete(&format!("{VERSION}/{new}")).await?;
    ensure!(ann.get(VERSION).await?["version"] == *old, "the one before is the newest again");
    refused(ann.get(&format!("{VERSION}/{new}")).await, 404, "M_NOT_FOUND")?;
    ensure!(begin(&ann).await? != new, "a name was given twice");
    Ok(())
}

// Operations: deleteRoomKeys, getRoomKeys, putRoomKeys, deleteRoomKeysByRoomId,
// getRoomKeysByRoomId, putRoomKeysByRoomId, deleteRoomKeyBySessionId, getRoomKeyBySessionId,
// putRoomKeyBySessionId.
async fn keys_go_into_the_newest_backup_and_come_back(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let old = begin(&ann).await?;
    let one = key(0, 0, false, "of before");
    ann.put(&format!("{KEYS}/!r:a.test/s?version={old}"), &one).await?;
    let new = begin(&ann).await?;
    let rooms = json!({ "rooms": {
        "!r:a.test": { "sessions": { "s": key(0, 0, true, "1"), "t": key(1, 0, true, "2") } },
        "!q:a.test": { "sessions": { "s": key(2, 0, true, "3") } },
    } });
    let answer = ann.put(&format!("{KEYS}?version={new}"), &rooms).await?;
    ensure!(answer["count"] == 3, "{answer}");
    let again = ann.put(&format!("{KEYS}?version={new}"), &rooms).await?;
    ensure!(again == answer, "the same again changes nothing: {again}");
    let room = json!({ "sessions": { "u": key(3, 0, true, "4") } });
    let answer = ann.put(&format!("{KEYS}/!q:a.test?version={new}"), &room).await?;
    ensure!(answer["count"] == 4 && answer["etag"] != again["etag"], "{answer}");
    wrong_version(ann.put(&format!("{KEYS}?version={old}"), &rooms).await, &new)?;
    wrong_version(ann.delete(&format!("{KEYS}?version={old}")).await, &new)?;

    let mut all = rooms["rooms"].clone();
    all["!q:a.test"]["sessions"]["u"] = key(3, 0, true, "4");
    let found = ann.get(&format!("{KEYS}?version={new}")).await?;
    ensure!(found["rooms"] == all, "{found}");
    let found = ann.get(&format!("{KEYS}/!q:a.test?version={new}")).await?;
    ensure!(found == all["!q:a.test"], "{found}");
    let found = ann.get(&format!("{KEYS}/!q:a.test/u?version={new}")).await?;
    ensure!(found == key(3, 0, true, "4"), "{found}");
    let found = ann.get(&format!("{KEYS}?version={old}")).await?;
    ensure!(found["rooms"] == json!({ "!r:a.test": { "sessions": { "s": one } } }), "{found}");
    let found = ann.get(&format!("{KEYS}/!none:a.test?version={new}")).await?;
    ensure!(found == json!({ "sessions": {} }), "{found}");
    let none = ann.get(&format!("{KEYS}/!q:a.test/none?version={new}")).await;
    refused(none, 404, "M_NOT_FOUND")?;
    refused(ann.get(&format!("{KEYS}?version=77")).await, 404, "M_NOT_FOUND")?;

    let answer = ann.delete(&format!("{KEYS}/!q:a.test/u?version={new}")).await?;
    ensure!(answer["count"] == 3, "{answer}");
    let answer = ann.delete(&format!("{KEYS}/!r:a.test?version={new}")).await?;
    ensure!(answer["count"] == 1, "{answer}");
    let none = ann.delete(&format!("{KEYS}/!r:a.test?version={new}")).await?;
    ensure!(none == answer, "nothing was there to be removed: {none}");
    let answer = ann.delete(&format!("{KEYS}?version={new}")).await?;
    ensure!(answer["count"] == 0, "{answer}");
    let found = ann.get(&format!("{KEYS}?version={new}")).await?;
    ensure!(found == json!({ "rooms": {} }), "{found}");
    let large = key(0, 0, true, &"x".repeat(9_000));
    let path = format!("{KEYS}/!r:a.test/s?version={new}");
    refused(ann.put(&path, &large).await, 413, "M_TOO_LARGE")?;
    refused(ann.put(&path, &json!({ "session_data": {} })).await, 400, "M_BAD_JSON")?;
    Ok(())
}

async fn a_worse_copy_never_replaces_a_better(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let version = begin(&ann).await?;
    let path = format!("{KEYS}/!r:a.test/s?version={version}");
    let mut best = key(5, 5, false, "first");
    ann.put(&path, &best).await?;
    for (better, other) in [
        (false, key(6, 0, false, "opens less")),
        (true, key(4, 9, false, "opens more")),
        (false, key(4, 9, false, "the same, later")),
        (true, key(4, 8, false, "came a shorter way")),
        (true, key(9, 9, true, "verified")),
        (false, key(0, 0, false, "not verified")),
    ] {
        let answer = ann.put(&path, &other).await?;
        ensure!(answer["count"] == 1, "{answer}");
        if better {
            best = other;
        }
        ensure!(ann.get(&path).await? == best, "{best}");
    }
    Ok(())
}

async fn a_large_backup_comes_back_whole(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let version = begin(&ann).await?;
    let mut all = Map::new();
    for part in 0..5 {
        let mut rooms = Map::new();
        for room in 0..3 {
            let sessions: Map<String, Value> = (0..210)
                .map(|n| (format!("{part}\"{n}"), key(n, part, true, &"k".repeat(100))))
                .collect();
            let id = format!("!{room}-{part}:a.test");
            rooms.insert(id, json!({ "sessions": sessions }));
        }
        all.extend(rooms.clone());
        let body = json!({ "rooms": rooms });
        ann.put(&format!("{KEYS}?version={version}"), &body).await?;
    }
    let found = ann.get(&format!("{KEYS}?version={version}")).await?;
    ensure!(found["rooms"] == Value::Object(all.clone()), "what came back is not what was kept");
    let found = ann.get(&format!("{KEYS}/!2-4:a.test?version={version}")).await?;
    ensure!(found == all["!2-4:a.test"], "{found}");
    let info = ann.get(VERSION).await?;
    ensure!(info["count"] == 5 * 3 * 210, "{info}");
    Ok(())
}
