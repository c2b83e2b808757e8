//! People who make rooms that contradict themselves, take names of others, or hand back tokens that they were not given.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, Engine};

use crate::{
    hostile::Siege,
    hostile_events::{BAD, GOOD, LARGE, NO, VERSIONS, id_of, nested},
};

const C: &str = "/_matrix/client/v3";

#[tokio::test]
async fn hostile_rooms_tokens_and_transactions() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    let (alice, bob) = (siege.person("alice").await?, siege.person("bob").await?);
    let room = alice.create_room(&json!({"invite": [id_of(&bob)]})).await?;
    bob.join(&room).await?;

    let first = alice.send_text(&room, "t", "one").await?;
    let again = alice.send_text(&room, "t", "two").await?;
    ensure!(first == again, "a transaction id made two events");
    let other = Client::login(siege.node.http(), "alice").await?;
    let theirs =
        [other.send_text(&room, "t", "three").await?, bob.send_text(&room, "t", "four").await?];
    ensure!(!theirs.contains(&first), "a transaction id counts for other devices or people");
    let path = format!("{C}/rooms/{room}/redact/{first}/t");
    let emptied = siege.expect("the id of a sending", &alice, ("PUT", &path, "{}"), GOOD).await?;
    ensure!(emptied.json()["event_id"] != first.as_str(), "a redaction was taken for a sending");
    let (page, _) = alice.messages(&room, None, 50).await?;
    let said = page.iter().filter(|it| it["type"] == "m.room.message").count();
    ensure!(said == 3, "{said} messages of 3");

    let (_, mine) = alice.sync(None, Duration::ZERO).await?;
    let (_, bobs) = bob.sync(None, Duration::ZERO).await?;
    let mine = mine.as_str();
    let altered = mine.replacen('s', "s9", 1);
    let cut = &mine[..mine.len() - 1];
    let longer = format!("{mine}0");
    let upper = mine.to_uppercase();
    let long = "s".repeat(6_000);
    let since = [
        bobs.as_str(),
        &altered,
        cut,
        &longer,
        &upper,
        &long,
        "junk",
        "s1_1_1_0000000000000000",
        "s",
        "_",
        "t5",
        "-1",
        "0",
        "%00",
        "s-1_0_0_0000000000000000",
        "%F0%9F%98%80",
    ];
    for token in since {
        let path = format!("{C}/sync?timeout=0&since={token}");
        siege.expect(&format!("since {token}"), &alice, ("GET", &path, ""), BAD).await?;
    }
    let pages = [
        bobs.as_str(),
        &altered,
        cut,
        "junk",
        "t",
        "t--1",
        "t-99999999999999999999",
        "t1.5",
        "t99999999999999999999",
        "t5x",
        "%00",
        "T5",
        "t4000000000",
        "p4000000000_x",
        &long,
    ];
    for token in pages {
        for query in [
            format!("messages?dir=b&from={token}"),
            format!("messages?dir=f&to={token}&from=t0"),
            format!("members?at={token}"),
        ] {
            let path = format!("{C}/rooms/{room}/{query}");
            siege.expect(&query, &alice, ("GET", &path, ""), BAD).await?;
        }
    }
    for place in ["junk", "1_2_3", "n1", "n_", "p99999999999999999999_1", "%00"] {
        let path = format!("{C}/publicRooms?since={place}");
        siege.expect(&path, &alice, ("GET", &path, ""), BAD).await?;
    }
    filters(&mut siege, &alice, &bob).await?;
    siege.lift().await
}

async fn filters(siege: &mut Siege, alice: &Client, bob: &Client) -> Result<()> {
    let path = format!("{C}/user/{}/filter", id_of(alice));
    let many: Vec<String> = (0..20_000).map(|it| format!("*a*{it}*")).collect();
    let deep = format!(r#"{{"room":{}}}"#, nested(500));
    for (what, body) in [
        ("deep", deep),
        ("a list too long", json!({"room": {"timeline": {"types": many}}}).to_string()),
        ("rooms too many", json!({"room": {"not_rooms": many}}).to_string()),
        ("a limit below nothing", r#"{"room":{"timeline":{"limit":-1}}}"#.to_owned()),
        ("a limit without end", r#"{"room":{"timeline":{"limit":1e99}}}"#.to_owned()),
        ("a list that is none", r#"{"room":{"timeline":{"types":"m.*"}}}"#.to_owned()),
        ("not an object", r#"{"room":[]}"#.to_owned()),
    ] {
        siege.expect(what, alice, ("POST", &path, &body), &[400, 413]).await?;
    }
    for inline in [
        "{",
        "{%22room%22:1}",
        "{%22room%22:{%22timeline%22:{%22limit%22:-1}}}",
        "[]",
        "nothing",
        "{%22a%22:%22%00%22}x",
    ] {
        let path = format!("{C}/sync?timeout=0&filter={inline}");
        siege.expect(&path, alice, ("GET", &path, ""), &[400, 404]).await?;
    }
    let stars = format!(r#"{{"room":{{"timeline":{{"types":["{}b"]}}}}}}"#, "*a".repeat(5_000));
    let made = siege.expect("many stars", alice, ("POST", &path, &stars), &[200, 400]).await?;
    let id = made.json()["filter_id"].as_str().unwrap_or_default().to_owned();
    if !id.is_empty() {
        let path = format!("{C}/sync?timeout=0&filter={id}");
        siege.expect("many stars", alice, ("GET", &path, ""), GOOD).await?;
        siege.expect("somebody else's filter", bob, ("GET", &path, ""), &[400, 404]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn hostile_rooms_and_aliases() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    let (alice, bob) = (siege.person("alice").await?, siege.person("bob").await?);
    let theirs = bob.create_room(&json!({"room_alias_name": "taken"})).await?;
    let room = alice.create_room(&json!({})).await?;
    let to_room = json!({ "room_id": room.as_str() }).to_string();
    let to_theirs = json!({ "room_id": theirs.as_str() }).to_string();
    let long = format!("%23{}:a.test", "x".repeat(250));
    for (what, alias, body, want) in [
        ("of another server", "%23mine:elsewhere.test", &to_room, BAD),
        ("taken", "%23taken:a.test", &to_room, &[409][..]),
        ("for a room outside", "%23new:a.test", &to_theirs, NO),
        ("too long", &long, &to_room, BAD),
        ("with a NUL", "%23a%00b:a.test", &to_room, BAD),
        ("with a space", "%23a%20b:a.test", &to_room, BAD),
        ("with a line end", "%23a%0Ab:a.test", &to_room, BAD),
        ("without a name", "%23:a.test", &to_room, BAD),
        ("without a server", "%23a", &to_room, BAD),
        ("without a sign", "a:a.test", &to_room, BAD),
    ] {
        let path = format!("{C}/directory/room/{alias}");
        let what = format!("an alias {what}");
        siege.expect(&what, &alice, ("PUT", &path, body), want).await?;
    }
    let taken = format!("{C}/directory/room/%23taken:a.test");
    siege.expect("another's alias", &alice, ("DELETE", &taken, ""), NO).await?;
    let canonical = format!("{C}/rooms/{room}/state/m.room.canonical_alias/");
    for body in [
        r##"{"alias":"#taken:a.test"}"##,
        r##"{"alias":"#none:a.test"}"##,
        r##"{"alt_aliases":["#taken:a.test"]}"##,
        r#"{"alias":"taken"}"#,
    ] {
        siege.expect(body, &alice, ("PUT", &canonical, body), &[400, 409]).await?;
    }
    for version in VERSIONS {
        contradictory_rooms(&mut siege, &alice, &bob, version).await?;
        claims(&mut siege, &alice, &bob, version).await?;
    }
    siege.lift().await
}

async fn contradictory_rooms(
    siege: &mut Siege,
    alice: &Client,
    bob: &Client,
    version: &str,
) -> Result<()> {
    let (me, you) = (id_of(alice), id_of(bob));
    let state = |kind: &str, content: Value| json!({"initial_state": [{"type": kind, "state_key": "", "content": content}]});
    let ghosts: Vec<String> = (0..101).map(|it| format!("@ghost{it}:a.test")).collect();
    let many: Vec<Value> =
        (0..201).map(|it| json!({"type": format!("org.example.{it}"), "content": {}})).collect();
    let mut cases = vec![
        ("too many invited", json!({"invite": ghosts}), BAD),
        ("nobody invited", json!({"invite": ["nobody"]}), BAD),
        ("a far one invited", json!({"invite": ["@a:elsewhere.test"]}), &[502]),
        ("too much state", json!({"initial_state": many}), BAD),
        ("levels as texts", json!({"power_level_content_override": {"ban": "50"}}), BAD),
        (
            "levels of nobody",
            json!({"power_level_content_override": {"users": {"nobody": 1}}}),
            BAD,
        ),
        ("levels with fractions", json!({"power_level_content_override": {"ban": 1.5}}), BAD),
        (
            "levels as texts among state",
            state("m.room.power_levels", json!({"users": {you: "1"}})),
            BAD,
        ),
        ("another creation", state("m.room.create", json!({"room_version": version})), BAD),
        ("members as state", state("m.room.member", json!({"membership": "join"})), BAD),
        ("a redaction as state", state("m.room.redaction", json!({"redacts": "$a"})), BAD),
        (
            "another's alias as state",
            state("m.room.canonical_alias", json!({"alias": "#taken:a.test"})),
            BAD,
        ),
        ("an alias taken", json!({"room_alias_name": "taken"}), &[400, 409][..]),
        ("an alias with a colon", json!({"room_alias_name": "a:b"}), BAD),
        ("an alias with a sign", json!({"room_alias_name": "#a"}), BAD),
        ("an alias with a space", json!({"room_alias_name": "a b"}), BAD),
        ("an alias with a NUL", json!({"room_alias_name": "a\0"}), BAD),
        ("an empty alias", json!({"room_alias_name": ""}), BAD),
        ("a long alias", json!({"room_alias_name": "x".repeat(250)}), BAD),
        ("a long name", json!({"name": "x".repeat(66_000)}), LARGE),
        ("a name of no text", json!({"name": {}}), BAD),
        (
            "a creation that is too long",
            json!({"creation_content": {"a": "x".repeat(66_000)}}),
            LARGE,
        ),
        ("a creation with a fraction", json!({"creation_content": {"a": 1.5}}), BAD),
        (
            "a mailbox that no server knows",
            json!({"invite_3pid": [{"id_server": "a/b", "id_access_token": "b", "medium": "email", "address": "c"}]}),
            BAD,
        ),
    ];
    match version {
        "12" => cases.extend([
            ("a creator among users", json!({"power_level_content_override": {"users": {me: 100}}}), BAD),
            ("creators of no name", json!({"creation_content": {"additional_creators": ["nobody"]}}), BAD),
            ("creators as a text", json!({"creation_content": {"additional_creators": you}}), BAD),
            (
                "a creator beside among users",
                json!({"creation_content": {"additional_creators": [you]}, "power_level_content_override": {"users": {you: 100}}}),
                BAD,
            ),
        ]),
        _ => cases.extend([
            (
                "an owner without power",
                json!({"name": "n", "power_level_content_override": {"users": {}, "state_default": 50}}),
                BAD,
            ),
            ("levels above the owner's", json!({"name": "n", "power_level_content_override": {"state_default": 101}}), BAD),
        ]),
    }
    for (what, mut asked, want) in cases {
        asked["room_version"] = version.into();
        let what = format!("v{version} {what}");
        siege
            .expect(&what, alice, ("POST", &format!("{C}/createRoom"), &asked.to_string()), want)
            .await?;
    }
    Ok(())
}

/// What a client claims about the creation that is the node's to say counts for nothing, and what
/// was refused has left nothing behind.
async fn claims(siege: &mut Siege, alice: &Client, bob: &Client, version: &str) -> Result<()> {
    let you = id_of(bob);
    let claims =
        json!({"room_version": version, "creation_content": {"room_version": "1", "creator": you}});
    let room = alice.create_room(&claims).await?;
    let create = alice.state(&room, "m.room.create", "").await?;
    siege.check(create["room_version"] == version && create["creator"] != you, || {
        format!("claimed: {create}")
    });
    let joined = alice.get(&format!("{C}/joined_rooms")).await?;
    let joined = joined["joined_rooms"].as_array().context("no rooms")?.len();
    siege.check(joined <= 4, || format!("v{version}: refused rooms stay: {joined}"));
    for wrong in ["1", "9", "13", "banana", "", "org.matrix.hydra.11"] {
        let asked = json!({ "room_version": wrong }).to_string();
        let call = ("POST", &*format!("{C}/createRoom"), &*asked);
        let answer = siege.expect(&format!("version {wrong:?}"), alice, call, BAD).await?;
        let code = answer.errcode();
        siege.check(code == "M_UNSUPPORTED_ROOM_VERSION" || wrong.is_empty(), || {
            format!("{wrong:?}: {code}")
        });
    }
    Ok(())
}
