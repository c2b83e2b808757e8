//! Holding people back: who runs the node locks, suspends and looks up, and nobody else does.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::SinkExt;
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{CallError, Client};

use crate::{
    stage::{
        Deeds, Ear, Stage, bodies, comes_true, escaped, list, part, redact, refused, room_of,
        stories,
    },
    worlds::{Visit, connect, floor, hello, ticket, until, world_of},
};

stories! {
    whoever_is_locked_gets_nowhere_until_they_are_unlocked;
    whoever_is_suspended_reads_and_changes_nothing;
    nobody_else_holds_anybody_and_nobody_those_who_run_the_node;
    who_is_held_leaves_the_worlds;
    an_operator_holds_people_by_commands;
    an_operator_sees_from_where_somebody_is_here;
}

const V3: &str = "/_matrix/client/v3";

fn hold(kind: &str, user_id: &str) -> String {
    format!("/_matrix/client/v1/admin/{kind}/{}", escaped(user_id))
}

/// Checks that a call was refused as one of a locked person, whose client keeps what it has.
fn locked_out(answer: Result<Value, CallError>) -> Result<()> {
    if let Err(CallError::Refused { body, .. }) = &answer {
        ensure!(body["soft_logout"] == true, "{body}");
    }
    refused(answer, 401, "M_USER_LOCKED")
}

// Operations: getAdminLockUser, setAdminLockUser.
async fn whoever_is_locked_gets_nowhere_until_they_are_unlocked(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let desk = Client::login(stage.node.http(), "ann").await?;
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let lock = hold("lock", ann.id());
    ensure!(root.get(&lock).await? == json!({"locked": false}));

    // Those who wait for news are told at once.
    let ear = Ear::of(&ann).await?;
    let slide = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    let first = desk.post(&format!("{slide}?timeout=0"), &json!({})).await?;
    let pos = first["pos"].as_str().context("a pos")?;
    let sliding = format!("{slide}?timeout=60000&pos={pos}");
    let begun = Instant::now();
    // However late they come to wait, they are refused.
    let (nothing, yes) = (json!({}), json!({"locked": true}));
    let (heard, slid, done) = tokio::join!(
        ear.wait(Duration::from_mins(1)),
        desk.post(&sliding, &nothing),
        root.put(&lock, &yes)
    );
    ensure!(done? == json!({"locked": true}));
    locked_out(heard)?;
    locked_out(slid)?;
    ensure!(begun.elapsed() < Duration::from_secs(30), "they waited {:?}", begun.elapsed());
    ensure!(root.get(&lock).await? == json!({"locked": true}));

    for path in ["/account/whoami", "/sync?timeout=0", "/joined_rooms", "/capabilities"] {
        locked_out(ann.get(&format!("{V3}{path}")).await)?;
    }
    locked_out(ann.deed(&room, "leave", None).await)?;
    locked_out(ann.post("/_wayside/v1/invitations", &json!({"role": "guest"})).await)?;
    let upload = ann.send_bytes("/_matrix/media/v3/upload", b"x".to_vec()).await;
    locked_out(upload)?;
    let proof = json!({
        "type": "m.login.password", "password": wayside_tests::PASSWORD,
        "identifier": {"type": "m.id.user", "user": "ann"},
    });
    let nobody = Client::nobody(stage.node.http())?;
    locked_out(nobody.post(&format!("{V3}/login"), &proof).await)?;
    // Who cannot prove to be Ann does not learn it.
    let mut wrong = proof.clone();
    wrong["password"] = "not the password".into();
    refused(nobody.post(&format!("{V3}/login"), &wrong).await, 403, "M_FORBIDDEN")?;
    // Others go on speaking with them in absence, and signing out works.
    bob.say(&room, "where is ann?").await?;
    desk.post(&format!("{V3}/logout"), &json!({})).await?;
    refused(desk.get(&format!("{V3}/account/whoami")).await, 401, "M_UNKNOWN_TOKEN")?;

    stage.restart().await?;
    let (root, ann) = (root.at(stage.node.http()), ann.at(stage.node.http()));
    locked_out(ann.get(&format!("{V3}/account/whoami")).await)?;
    root.put(&lock, &json!({"locked": false})).await?;
    ensure!(ann.get(&format!("{V3}/account/whoami")).await?["user_id"] == ann.id());
    let (_ear, now) = Ear::begin(&ann, "").await?;
    let said = bodies(&list(part(&now, &room, "join/timeline")));
    ensure!(said == ["where is ann?"], "{said:?}");
    Ok(())
}

/// What suspended people are refused.
#[rustfmt::skip]
fn changes(room: &str, bob: &str, ann: &str, theirs: &str) -> Vec<(Method, String, Value)> {
    let room = format!("{V3}/rooms/{room}");
    vec![
        (Method::PUT, format!("{room}/send/m.room.message/1"), json!({"msgtype": "m.text", "body": "x"})),
        (Method::PUT, format!("{room}/state/m.room.topic/"), json!({"topic": "x"})),
        (Method::POST, format!("{room}/invite"), json!({"user_id": bob})),
        (Method::PUT, format!("{room}/redact/{theirs}/2"), json!({})),
        (Method::PUT, format!("{room}/typing/{ann}"), json!({"typing": true})),
        (Method::POST, format!("{room}/receipt/m.read/{theirs}"), json!({})),
        (Method::POST, format!("{V3}/createRoom"), json!({})),
        (Method::PUT, format!("{V3}/profile/{ann}/displayname"), json!({"displayname": "x"})),
        (Method::PUT, format!("{V3}/presence/{ann}/status"), json!({"presence": "online"})),
        (Method::PUT, format!("{V3}/user/{ann}/account_data/org.example.a"), json!({})),
        (Method::PUT, format!("{V3}/sendToDevice/org.example.a/1"), json!({"messages": {bob: {"*": {}}}})),
        (Method::POST, "/_wayside/v1/invitations".to_owned(), json!({"role": "guest"})),
        (Method::PUT, "/_wayside/v1/avatar".to_owned(), json!({"variant": 3})),
    ]
}

// Operations: getAdminSuspendUser, setAdminSuspendUser.
async fn whoever_is_suspended_reads_and_changes_nothing(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let other = bob.create_room(&json!({"invite": [ann.id()]})).await?;
    let own = ann.say(&room, "mine").await?;
    let theirs = bob.say(&room, "bobs").await?;
    let suspend = hold("suspend", ann.id());
    ensure!(root.put(&suspend, &json!({"suspended": true})).await? == json!({"suspended": true}));
    ensure!(root.get(&suspend).await? == json!({"suspended": true}));
    // The two ways of being held are two.
    ensure!(root.get(&hold("lock", ann.id())).await? == json!({"locked": false}));

    for (method, path, body) in changes(room.as_str(), bob.id(), ann.id(), &theirs) {
        let answer = ann.call(method, &path, Some(&body)).await;
        refused(answer, 403, "M_USER_SUSPENDED")?;
    }
    refused(ann.deed(&other, "join", None).await, 403, "M_USER_SUSPENDED")?;

    // They sign in, read what is said and search it, leave, take back what they said, and keep keys.
    let ann = Client::login(stage.node.http(), "ann").await?;
    let mut ear = Ear::of(&ann).await?;
    bob.say(&room, "do you hear?").await?;
    let heard = ear.next().await?;
    ensure!(bodies(&list(part(&heard, &room, "join/timeline"))) == ["do you hear?"], "{heard}");
    let words = json!({"search_categories": {"room_events": {"search_term": "hear"}}});
    let found = ann.post(&format!("{V3}/search"), &words).await?;
    ensure!(found["search_categories"]["room_events"]["count"] == 1, "{found}");
    let filter = format!("{V3}/user/{}/filter", ann.id());
    ann.post(&filter, &json!({})).await?;
    let secret = format!("{V3}/user/{}/account_data/m.secret_storage.key.a", ann.id());
    ann.put(&secret, &json!({"a": 1})).await?;
    let backup = json!({"algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
                        "auth_data": {"public_key": "YWJj", "signatures": {}}});
    ann.post(&format!("{V3}/room_keys/version"), &backup).await?;
    let own_devices = json!({"messages": {ann.id(): {"*": {}}}});
    ann.put(&format!("{V3}/sendToDevice/org.example.a/2"), &own_devices).await?;
    redact(&ann, &room, &own).await?;
    let emptied = bob.get(&format!("{V3}/rooms/{room}/event/{own}")).await?;
    ensure!(emptied["content"] == json!({}), "{emptied}");
    ann.deed(&other, "leave", None).await?;
    ann.deed(&room, "leave", None).await?;
    let member = bob.state(&room, "m.room.member", &escaped(ann.id())).await?;
    ensure!(member["membership"] == "leave", "{member}");
    // Asking for news does not show them as present.
    ann.get(&format!("{V3}/sync?timeout=0&set_presence=online")).await?;

    root.put(&suspend, &json!({"suspended": false})).await?;
    ann.join(&room).await?;
    ann.say(&room, "back").await?;
    ann.post(&format!("{V3}/logout"), &json!({})).await?;
    Ok(())
}

async fn nobody_else_holds_anybody_and_nobody_those_who_run_the_node(
    stage: &mut Stage,
) -> Result<()> {
    let (root, other) = (stage.operator("root").await?, stage.operator("other").await?);
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    for (kind, word) in [("lock", "locked"), ("suspend", "suspended")] {
        let yes = json!({ word: true });
        // Whoever may not hold anybody does not learn who lives here.
        for whom in [bob.id(), ann.id(), root.id(), "@nobody:a.test", "@bob:b.test"] {
            refused(ann.get(&hold(kind, whom)).await, 403, "M_FORBIDDEN")?;
            refused(ann.put(&hold(kind, whom), &yes).await, 403, "M_FORBIDDEN")?;
        }
        for whom in [&root, &other] {
            refused(root.get(&hold(kind, whom.id())).await, 403, "M_FORBIDDEN")?;
            refused(root.put(&hold(kind, whom.id()), &yes).await, 403, "M_FORBIDDEN")?;
        }
        for (whom, status, code) in
            [("@nobody:a.test", 404, "M_NOT_FOUND"), ("@bob:b.test", 400, "M_INVALID_PARAM")]
        {
            refused(root.get(&hold(kind, whom)).await, status, code)?;
            refused(root.put(&hold(kind, whom), &yes).await, status, code)?;
        }
        refused(root.put(&hold(kind, bob.id()), &json!({})).await, 400, "M_MISSING_PARAM")?;
    }
    let gone = stage.person("gone").await?;
    let done = stage.node.command(&["user", "end", "gone"]).await?;
    ensure!(done.status.success(), "{done:?}");
    refused(
        root.put(&hold("lock", gone.id()), &json!({"locked": true})).await,
        404,
        "M_NOT_FOUND",
    )?;
    // Clients are told who may.
    let path = format!("{V3}/capabilities");
    let may = root.get(&path).await?["capabilities"]["m.account_moderation"].clone();
    ensure!(may == json!({"suspend": true, "lock": true}), "{may}");
    ensure!(ann.get(&path).await?["capabilities"].get("m.account_moderation").is_none());
    Ok(())
}

/// The reason of BYE for those who are signed out (specs/realtime.md).
const SIGNED_OUT: u8 = 12;

async fn who_is_held_leaves_the_worlds(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let _near = Visit::begin(&stage.node, &bob, &alias).await?;
    for (kind, word) in [("lock", "locked"), ("suspend", "suspended")] {
        let path = hold(kind, ann.id());
        let mut visit = Visit::begin(&stage.node, &ann, &alias).await?;
        let waiting = ticket(&ann, &alias).await?;
        root.put(&path, &json!({ word: true })).await?;
        let bye = until(&mut visit.socket, 0x4b).await?;
        ensure!(bye[1] == SIGNED_OUT, "{kind}: {bye:?}");
        // What was given out before opens nothing any more.
        let mut late = connect(&stage.node).await?;
        late.send(hello(&waiting)).await?;
        let bye = until(&mut late, 0x4b).await?;
        ensure!(bye[1] == SIGNED_OUT, "{kind}: {bye:?}");
        ensure!(ticket(&ann, &alias).await.is_err(), "{kind}: a new ticket");
        root.put(&path, &json!({ word: false })).await?;
        Visit::begin(&stage.node, &ann, &alias).await?;
    }
    Ok(())
}

async fn an_operator_holds_people_by_commands(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let whoami = format!("{V3}/account/whoami");
    let room = ann.create_room(&json!({})).await?;
    let listed = async |what: &str| {
        let list = stage.node.command(&["user", "list"]).await?;
        ensure!(list.stdout.contains(what), "{list:?}");
        anyhow::Ok(())
    };
    let command = async |word: &str, name: &str| stage.node.command(&["user", word, name]).await;
    ensure!(command("lock", "ann").await?.status.success());
    locked_out(ann.get(&whoami).await)?;
    listed("@ann:a.test member (locked)").await?;
    ensure!(command("unlock", "@ann:a.test").await?.status.success());
    ann.get(&whoami).await?;
    ensure!(command("suspend", "ann").await?.status.success());
    refused(ann.send_text(&room, "t", "x").await, 403, "M_USER_SUSPENDED")?;
    listed("@ann:a.test member (suspended)").await?;
    ensure!(command("unsuspend", "ann").await?.status.success());
    ann.say(&room, "x").await?;
    command("lock", "nobody").await?.names("nobody")?;
    // On the node's own machine its operators can be locked out too.
    let root = stage.operator("root").await?;
    ensure!(command("lock", "root").await?.status.success());
    locked_out(root.get(&whoami).await)
}

// Operations: getWhoIs.
async fn an_operator_sees_from_where_somebody_is_here(stage: &mut Stage) -> Result<()> {
    let root = stage.operator("root").await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let who_is = |whom: &str| format!("{V3}/admin/whois/{}", escaped(whom));
    // From the first call on, which may be the only one.
    ann.get(&format!("{V3}/account/whoami")).await?;
    comes_true("where she came from", async || {
        let found = root.get(&who_is(ann.id())).await?;
        let session = &found["devices"][&ann.session().device_id]["sessions"][0];
        Ok(session["connections"][0]["ip"] == "127.0.0.1")
    })
    .await?;
    for asker in [&ann, &root] {
        let found = asker.get(&who_is(ann.id())).await?;
        ensure!(found["user_id"] == ann.id(), "{found}");
        let device = &found["devices"][&ann.session().device_id];
        let connection = &device["sessions"][0]["connections"][0];
        let shown = ann.get(&format!("{V3}/devices/{}", ann.session().device_id)).await?;
        ensure!(connection["ip"] == shown["last_seen_ip"], "{found} {shown}");
        ensure!(connection["last_seen"] == shown["last_seen_ts"], "{found} {shown}");
    }
    refused(bob.get(&who_is(ann.id())).await, 403, "M_FORBIDDEN")?;
    refused(root.get(&who_is("@nobody:a.test")).await, 404, "M_NOT_FOUND")?;
    refused(root.get(&who_is("@ann:b.test")).await, 400, "M_INVALID_PARAM")
}
