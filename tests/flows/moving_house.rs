//! People move house: their friends' nodes keep what they need, and they are who they were when their home is dead.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::Method;
use rustls::crypto::{
    aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_128,
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey},
};
use serde_json::{Value, json};
use wayside_identity::luggage::INFO;
use wayside_tests::{Client, RoomId};

use crate::{
    badges,
    dids::multikey,
    friends::{befriend, between, stands},
    homes::{IDENTITY, Person, named, write},
    stage::{Deeds, comes_true, escaped, refused},
    travelling::{body, seen, wear},
    visitors::{Journey, answered, answered_with, visitors_of},
    worlds::{Visit, connect, floor, world_of},
};

const POWERS: &str = "m.room.power_levels";
const COPIES: &str = "/_matrix/federation/unstable/org.wayside/copies/";

fn identity(name: &str) -> String {
    format!("{IDENTITY}/{name}")
}

/// A key to which luggage is sealed, as text, and what opens it.
fn seal() -> Result<(String, HpkePrivateKey)> {
    let (public, private) = DH_KEM_X25519_HKDF_SHA256_AES_128.generate_key_pair()?;
    Ok((URL_SAFE_NO_PAD.encode(public.0), private))
}

/// Opens luggage as the client of its person does.
fn opened(sealed: &Value, scid: &str, key: &HpkePrivateKey) -> Result<Value> {
    let sealed = URL_SAFE_NO_PAD.decode(sealed.as_str().context("luggage")?)?;
    let secret = EncapsulatedSecret(sealed[..32].to_vec());
    let hpke = DH_KEM_X25519_HKDF_SHA256_AES_128;
    let opened = hpke.open(&secret, INFO, scid.as_bytes(), &sealed[32..], key)?;
    Ok(serde_json::from_slice(&opened)?)
}

/// Waits until a server keeps a copy for somebody.
async fn is_kept(who: &Client, server: &str) -> Result<()> {
    let what = format!("{server} keeps a copy for {}", who.id());
    comes_true(&what, async || {
        let told = who.get(IDENTITY).await?;
        let copies = told["copies"].as_array().context("copies")?;
        Ok(copies.iter().any(|it| it == server))
    })
    .await
}

/// The power levels of the people of a room.
async fn powers(who: &Client, room: &str) -> Result<Value> {
    let path = format!("/_matrix/client/v3/rooms/{room}/state/{POWERS}");
    Ok(who.get(&path).await?)
}

/// A world of a friend, in which Ada was in her own body and may do something.
struct Settled {
    alias: String,
    path: String,
    room: String,
    body: String,
}

async fn settle(journey: &Journey, bob: &Client) -> Result<Settled> {
    let (ada, was) = (&journey.homes.ada, journey.homes.ada.id());
    let alias = world_of(bob, "The Floor", floor(), 20).await?;
    let path = visitors_of(&alias);
    let knight = body(&json!({ "avatarPermission": "everyone", "allowRedistribution": true }))?;
    let body = wear(ada, &journey.homes.home, knight).await?;
    let mut inside = Visit::begin(&journey.commons, bob, &alias).await?;
    let granted = journey.nobody.post(&path, &answered(journey, |_| {}).await?).await?;
    let ticket = granted["ticket"].as_str().context("a ticket")?;
    let visit = Visit::on(connect(&journey.commons).await?, ticket).await?;
    ensure!(seen(&mut inside, was).await?.contains(&body), "another body");
    drop(visit);
    let room = granted["world"]["room_id"].as_str().context("a room")?.to_owned();
    ada.join_through(&RoomId::known(&room), journey.commons.server_name()).await?;
    bob.join(&RoomId::known(&room)).await?;
    let mut levels = powers(bob, &room).await?;
    levels["users"][was] = 50.into();
    bob.put(&format!("/_matrix/client/v3/rooms/{room}/state/{POWERS}"), &levels).await?;
    Ok(Settled { alias, path, room, body })
}

/// Somebody gives her a badge, which she shows to everybody.
async fn adorn(journey: &Journey) -> Result<()> {
    let ada = &journey.homes.ada;
    let keeper = badges::root(&journey.commons).await?;
    let (_, badge) = badges::give(&keeper, &badges::first_light(ada.id())).await?;
    let badge = ada.post(&badges::held(), &json!({ "credential": badge })).await?;
    let one = format!("{}/{}", badges::held(), badge["id"].as_str().context("an id")?);
    ada.put(&one, &json!({ "shown": true })).await?;
    Ok(())
}

/// She is called what she was called, and wears what she wore.
async fn is_as_before(ada: &Client, body: &str) -> Result<()> {
    let worn = ada.get("/_wayside/v1/avatar").await?;
    ensure!(worn["worn"]["sha256"] == body, "{worn}");
    let name = ada.get(&format!("/_matrix/client/v3/profile/{}", ada.id())).await?;
    ensure!(name["displayname"] == "Ada of Home", "{name}");
    Ok(())
}

/// A friend is her friend under the account of now, and under no other.
async fn is_followed(friend: &Client, ada: &Client, was: &str) -> Result<()> {
    stands(friend, ada.id(), Some("friend")).await?;
    stands(ada, friend.id(), Some("friend")).await?;
    stands(friend, was, None).await.map(drop)
}

/// Her old home comes back, and is nobody: neither by what it signs nor by what it says of her.
async fn is_nobody_at_the_old_home(
    journey: &mut Journey,
    bob: &Client,
    (old, did, log): (Client, String, &str),
    path: &str,
) -> Result<()> {
    let (was, now) = (old.id().to_owned(), journey.homes.ada.id().to_owned());
    journey.homes.home.restart().await?;
    let old = old.at(journey.homes.home.http());
    let mine = std::mem::replace(&mut journey.did, did.clone());
    let here = journey.lives(old, &json!({ "did": did }), log.to_owned())?;
    let lied = journey.nobody.post(path, &answered(journey, |_| {}).await?).await;
    ensure!(lied.is_err(), "whoever has the old home comes in as her: {lied:?}");
    let old = journey.lives(here, &json!({ "did": mine }), String::new())?;
    let forked = Person::gone_on(log, 2, |document| {
        let text = document.to_string().replace(&multikey(20), &multikey(21));
        *document = serde_json::from_str(&text).unwrap_or_default();
    })?;
    // At home they may say what they want; nobody else takes it in.
    let _written = write(&old, &forked).await;
    let resolved = bob.get(&format!("/_wayside/v1/dids/{}", escaped(&did))).await?;
    ensure!(resolved["didDocument"]["id"] == journey.did.as_str(), "{resolved}");
    old.put(&format!("/_wayside/v1/friends/{}", bob.id()), &json!({})).await.ok();
    ensure!(between(bob, &was).await?["standing"] != "friend", "the old home is his friend");
    ensure!(between(bob, &now).await?["standing"] == "friend");
    Ok(())
}

/// Whoever looks is told of everybody who was asked, and why somebody has nothing.
fn is_told_who_was_asked(found: &Value, commons: &str, home: &str) -> Result<()> {
    let asked = |server: &str| {
        let all = found["asked"].as_array().into_iter().flatten();
        all.filter(|it| it["server"] == server).cloned().collect::<Vec<_>>()
    };
    ensure!(asked(commons) == [json!({ "server": commons, "found": true })], "{found}");
    ensure!(asked(home)[0]["found"] == false && asked(home)[0]["why"].is_string(), "{found}");
    Ok(())
}

#[tokio::test]
async fn whoever_moves_is_who_they_were_though_their_home_is_dead() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let eve = Client::register(journey.commons.http(), "eve").await?;
    let was = journey.homes.ada.id().to_owned();
    let (home, commons) =
        (journey.homes.home.server_name().to_owned(), journey.commons.server_name().to_owned());
    let (did, from) = (journey.did.clone(), Person::of(&journey.homes.ada).await?);
    let scid = did.split(':').nth(2).context("a SCID")?.to_owned();
    let carol = Client::register(journey.commons.http(), "carol").await?;
    for friend in [&bob, &carol] {
        befriend(&journey.homes.ada, friend).await?;
    }
    journey.homes.ada.put(&format!("/_wayside/v1/blocks/{}", eve.id()), &json!({})).await?;
    let (seal_key, secret) = seal()?;
    journey.homes.ada.post(&identity("saved"), &json!({ "seal_key": seal_key })).await?;

    // She comes into his world, and may do something there.
    let Settled { alias, path, room, body } = settle(&journey, &bob).await?;
    is_kept(&journey.homes.ada, &commons).await?;
    adorn(&journey).await?;
    // What changes is handed out again: she has blocked somebody else.
    journey.homes.ada.put("/_wayside/v1/blocks/@mallory:evil.test", &json!({})).await?;

    // Wherever she looks for what was kept, she is found by friends, under any name.
    let harbour = named(&journey.homes.abroad, "harbour", "harbour.test").await?;
    let ada = Client::register(harbour.http(), "ada").await?;
    let find = json!({ "did": did, "seal_key": seal_key, "at": [bob.id()] });
    comes_true("the copy is as new as what she did", async || {
        let found = ada.post(&identity("search"), &find).await?;
        // The newest is that of her home, which packs it anew.
        let luggage = opened(&found["sealed"][1], &scid, &secret)?;
        Ok(luggage["blocked"].as_array().is_some_and(|it| it.len() == 2))
    })
    .await?;
    journey.homes.home.stop().await?;
    let found = ada.post(&identity("search"), &find).await?;
    is_told_who_was_asked(&found, &commons, &home)?;
    let by_account = json!({ "account": was, "seal_key": seal_key, "at": [commons] });
    let again = ada.post(&identity("search"), &by_account).await?;
    ensure!(again["log"] == found["log"], "{again}");
    let luggage = opened(&found["sealed"][0], &scid, &secret)?;
    ensure!(
        luggage["name"] == "Ada of Home"
            && luggage["account"] == was
            && luggage["friends"][0]["account"] == bob.id()
            && luggage["friends"].as_array().is_some_and(|it| it.len() == 2),
        "{luggage}"
    );
    // Who does not know the key is told of nobody, and who has another opens nothing.
    let (other_key, other) = seal()?;
    let guess = json!({ "account": was, "seal_key": other_key, "at": [commons] });
    refused(ada.post(&identity("search"), &guess).await, 404, "M_NOT_FOUND")?;
    ensure!(opened(&found["sealed"][0], &scid, &other).is_err(), "anybody opens it");

    // Her client writes the version that moves her.
    let log = found["log"].as_str().context("a log")?;
    let moved = Journey::moving(log, &from, &Person::of(&ada).await?)?;
    let early = ada.post(&identity("luggage"), &luggage).await;
    refused(early, 403, "M_FORBIDDEN")?;
    let told = ada.put(&identity("moved"), &json!({ "log": moved })).await?;
    ensure!(told["did"].as_str().is_some_and(|it| it.contains("harbour.test")), "{told}");
    let unpacked = ada.post(&identity("luggage"), &luggage).await?;
    let done =
        json!({ "friends": 2, "blocked": 2, "credentials": 1, "avatar": true, "failed": [] });
    ensure!(unpacked == done, "{unpacked}");
    is_as_before(&ada, &body).await?;

    // His node follows by itself: he is her friend, and a friend of nobody else.
    for friend in [&bob, &carol] {
        is_followed(friend, &ada, &was).await?;
    }
    comes_true("bob knows the DID of ada", async || {
        Ok(between(&bob, ada.id()).await?["did"] == told["did"])
    })
    .await?;
    let known = ada.get("/_wayside/v1/friends").await?;
    let blocked: Vec<_> =
        known["blocked"].as_array().into_iter().flatten().map(|it| &it["user_id"]).collect();
    ensure!(blocked == [eve.id(), "@mallory:evil.test"], "{known}");

    // In his world she is let in as who she is, with what she may do, and the account that she left may nothing.
    let now = ada.id().to_owned();
    let old = journey.lives(ada, &told, moved)?;
    let shown = answered_with(&journey, &json!([]), &[]).await?;
    let granted = journey.nobody.post(&path, &shown).await?;
    let mut inside = Visit::begin(&journey.commons, &bob, &alias).await?;
    let ticket = granted["ticket"].as_str().context("a ticket")?;
    drop(Visit::on(connect(&journey.commons).await?, ticket).await?);
    ensure!(badges::adorned(&mut inside, &now).await?[0].1 == "First light", "another badge");
    let levels = powers(&bob, &room).await?;
    ensure!(levels["users"][&now] == 50 && levels["users"].get(&was).is_none(), "{levels}");
    let members = bob.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await?;
    ensure!(members["joined"].get(&was).is_none(), "{members}");

    is_nobody_at_the_old_home(&mut journey, &bob, (old, did, log), &path).await?;
    let mut harbour = harbour;
    crate::abroad::end(&mut harbour).await?;
    journey.end().await
}

/// Whoever leaves a home that is alive is found where they went, and the home vouches for them no more.
#[tokio::test]
async fn whoever_leaves_a_home_is_told_of_there() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let (did, from) = (journey.did.clone(), Person::of(&journey.homes.ada).await?);
    let log_at_home = journey.homes.home.http().join("/people/ada/did.jsonl")?;
    let (seal_key, secret) = seal()?;
    for bad in ["", "AAAA", &"A".repeat(43), "no key"] {
        let saved = journey.homes.ada.post(&identity("saved"), &json!({ "seal_key": bad })).await;
        refused(saved, 400, "M_INVALID_PARAM")?;
    }
    journey.homes.ada.post(&identity("saved"), &json!({ "seal_key": seal_key })).await?;

    // Without friends, what her home itself tells is all there is.
    let ada = Client::register(journey.commons.http(), "ada").await?;
    let find = json!({ "account": journey.homes.ada.id(), "seal_key": seal_key, "at": [] });
    let found = ada.post(&identity("search"), &find).await?;
    let scid = did.split(':').nth(2).context("a SCID")?;
    let luggage = opened(&found["sealed"][0], scid, &secret)?;
    ensure!(luggage["friends"] == json!([]) && luggage["name"] == "Ada of Home", "{luggage}");
    for (bad, status, code) in [
        (
            json!({ "did": "did:webvh:QmNobody:nowhere.test:people:x", "at": [] }),
            404,
            "M_NOT_FOUND",
        ),
        (json!({ "account": "@nobody:home.test" }), 404, "M_NOT_FOUND"),
        (json!({ "did": did, "account": "@ada:home.test" }), 400, "M_INVALID_PARAM"),
        (json!({ "did": "did:x" }), 400, "M_INVALID_PARAM"),
        (json!({ "did": did, "at": ["a b"] }), 400, "M_INVALID_PARAM"),
        (json!({ "did": did, "at": vec!["a.test"; 17] }), 400, "M_INVALID_PARAM"),
    ] {
        refused(ada.post(&identity("search"), &bad).await, status, code)?;
    }

    // What does not lead here, or to another account, is taken in by nobody.
    let log = found["log"].as_str().context("a log")?;
    let place = Person::of(&ada).await?;
    let whole = Journey::moving(log, &from, &place)?;
    let elsewhere = Person { account: "eve:commons.test".to_owned(), ..Person::of(&ada).await? };
    let of_another = Journey::moving(log, &from, &elsewhere)?;
    for bad in [log, &of_another, &whole[..whole.len() / 2], "{}"] {
        let moved = ada.put(&identity("moved"), &json!({ "log": bad })).await;
        refused(moved, 400, "M_INVALID_PARAM")?;
    }
    // Nor into an account that somebody has saved for themselves.
    let eve = Client::register(journey.commons.http(), "eve").await?;
    let own = Person::of(&eve).await?;
    write(&eve, &Person::begun(own.document(), Person::parameters(1))?).await?;
    eve.post(&identity("saved"), &json!({})).await?;
    let hers = Journey::moving(log, &from, &own)?;
    refused(eve.put(&identity("moved"), &json!({ "log": hers })).await, 403, "M_FORBIDDEN")?;

    // Her account there has been given another identity, as clients do; it goes.
    write(&ada, &Person::begun(place.document(), Person::parameters(1))?).await?;
    let told = ada.put(&identity("moved"), &json!({ "log": whole })).await?;
    ensure!(told["log"] == whole && told["saved"] == false, "{told}");
    comes_true("her home tells where she is", async || {
        Ok(reqwest::get(log_at_home.clone()).await?.text().await? == whole)
    })
    .await?;
    let profile = format!("/_matrix/client/v3/profile/{}", journey.homes.ada.id());
    let profile = journey.homes.ada.get(&profile).await?;
    ensure!(profile.get("org.wayside.did").is_none(), "the old home vouches for her: {profile}");
    let resolved = journey.homes.resolved(&did).await?;
    ensure!(resolved["didDocument"]["id"] == told["did"], "{resolved}");
    let old = journey.lives(ada, &told, whole)?;
    let word = old.post(&identity("membership"), &json!({})).await;
    refused(word, 404, "M_NOT_FOUND")?;
    journey.end().await
}

/// Somebody whose log says that they were somebody else before is a stranger all the same.
#[tokio::test]
async fn nobody_becomes_somebody_by_their_own_word() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let was = journey.homes.ada.id().to_owned();
    befriend(&journey.homes.ada, &bob).await?;
    comes_true("bob knows the DID of ada", async || {
        Ok(between(&bob, &was).await?["did"] == journey.did.as_str())
    })
    .await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let path = visitors_of(&alias);
    let granted = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await?;
    let room = granted["world"]["room_id"].as_str().context("a room")?.to_owned();
    bob.join(&RoomId::known(&room)).await?;
    let mut levels = powers(&bob, &room).await?;
    levels["users"][&was] = 50.into();
    bob.put(&format!("/_matrix/client/v3/rooms/{room}/state/{POWERS}"), &levels).await?;

    // A log that names her account first, at a place where nobody answers, and his own after.
    let mallory = Client::register(journey.homes.home.http(), "mallory").await?;
    let to = Person::of(&mallory).await?;
    let liar = Person {
        place: "nowhere.test:people:ada".to_owned(),
        account: was.trim_start_matches('@').to_owned(),
        node_key: to.node_key.clone(),
    };
    let log = Person::begun(liar.document(), Person::parameters(1))? + "\n";
    let log = Journey::moving(&log, &liar, &to)?;
    let told = mallory.put(&identity("moved"), &json!({ "log": log })).await?;
    mallory.put(&format!("/_wayside/v1/friends/{}", bob.id()), &json!({})).await?;
    comes_true("bob knows the DID of mallory", async || {
        Ok(between(&bob, mallory.id()).await?["did"] == told["did"])
    })
    .await?;
    // What follows from a record that is known is done behind the answer: each look would do it.
    for _ in 0..100 {
        ensure!(between(&bob, mallory.id()).await?["standing"] == "asking", "he was accepted");
        ensure!(between(&bob, &was).await?["standing"] == "friend", "he is in her place");
    }
    let now = mallory.id().to_owned();
    let ada = journey.lives(mallory, &told, log)?;
    journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await?;
    let levels = powers(&bob, &room).await?;
    ensure!(levels["users"][&was] == 50 && levels["users"].get(&now).is_none(), "{levels}");
    drop(ada);
    journey.end().await
}

/// Servers bring copies of their own people alone, whom somebody here knows, and move nobody by it.
#[tokio::test]
async fn copies_are_kept_of_friends_alone() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let mut peer = journey.homes.abroad.town.peer()?.start().await?;
    let (to, mallory) = (journey.homes.home.destination(), peer.user("mallory"));
    let person = Person::of(&journey.homes.ada).await?;
    let told = journey.homes.ada.get(IDENTITY).await?;
    let log = told["log"].as_str().context("a log")?;
    let scid = journey.did.split(':').nth(2).context("a SCID")?;
    let there = Person {
        place: "peer.test:people:mallory".to_owned(),
        account: mallory.trim_start_matches('@').to_owned(),
        node_key: person.node_key.clone(),
    };
    let own = Person::begun(there.document(), Person::parameters(1))? + "\n";
    let moved = Journey::moving(log, &person, &there)?;
    let stays = format!("{log}{}\n", Person::gone_on(log, 2, |_| {})?);
    let ada = journey.homes.ada.id();
    let large = "A".repeat(800_000);
    let key = seal()?.0;
    let copy = |account: &str, log: &str| json!({ "account": account, "log": log, "seal_key": key, "sealed": "AAAA", "packed_ms": 1 });
    let with = |name: &str, value: Value| {
        let mut body = copy(&mallory, &moved);
        body[name] = value;
        body
    };
    for (what, scid, body, status, code) in [
        ("of a stranger", "QmStranger", copy(&mallory, &own), 403, "M_FORBIDDEN"),
        ("of people of others", scid, copy(ada, log), 403, "M_FORBIDDEN"),
        ("of another DID", scid, copy(&mallory, &own), 400, "M_INVALID_PARAM"),
        ("of another account", scid, copy(&mallory, log), 400, "M_INVALID_PARAM"),
        ("without a log", scid, copy(&mallory, "{}"), 400, "M_INVALID_PARAM"),
        ("of whoever stays", scid, copy(&mallory, &stays), 400, "M_INVALID_PARAM"),
        (
            "of later",
            scid,
            with("packed_ms", json!(9_007_199_254_740_991_i64)),
            400,
            "M_INVALID_PARAM",
        ),
        ("for nobody", scid, with("seal_key", json!("AAAA")), 400, "M_INVALID_PARAM"),
        ("too much", scid, with("sealed", json!(large)), 413, "M_TOO_LARGE"),
        ("more than is known", scid, with("x", json!(1)), 400, "M_BAD_JSON"),
    ] {
        let path = format!("{COPIES}{scid}");
        let answer = peer.ask(&to, Method::PUT, &path, Some(&body)).await?;
        ensure!(answer.status == status && answer.errcode() == code, "{what}: {}", answer.short());
        let kept =
            peer.ask(&to, Method::GET, &format!("{COPIES}QmStranger?key={key}"), None).await?;
        ensure!(kept.status == 404, "{what}: {}", kept.short());
    }
    ensure!(journey.homes.ada.get(IDENTITY).await?["log"] == log, "somebody has changed her log");
    // Her own keys have signed that she moved: so it is, whoever brings it.
    let body = copy(&mallory, &moved);
    let answer = peer.ask(&to, Method::PUT, &format!("{COPIES}{scid}"), Some(&body)).await?;
    let told = answer.json();
    ensure!(answer.status == 200 && told == json!({ "kept": false }), "{}", answer.short());
    ensure!(journey.homes.ada.get(IDENTITY).await?["log"] == moved);
    peer.stop().await;
    journey.end().await
}

/// Whoever has no friends is carried over as files, by those who run the nodes.
#[tokio::test]
async fn operators_carry_an_account_over() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let ada = journey.homes.ada.clone();
    let (did, from) = (journey.did.clone(), Person::of(&ada).await?);
    let folder = journey.homes.abroad.town.folder().join("carried");
    let there = folder.display().to_string();
    let export = ["account", "export", "ada", &there];
    // Nothing can be sealed for somebody who has saved no words.
    let early = journey.homes.home.command(&export).await?;
    ensure!(!early.status.success() && early.stderr.contains("not saved"), "{early:?}");
    let (seal_key, secret) = seal()?;
    ada.post(&identity("saved"), &json!({ "seal_key": seal_key })).await?;
    adorn(&journey).await?;
    let knight = body(&json!({ "avatarPermission": "everyone", "allowRedistribution": true }))?;
    let knight = wear(&ada, &journey.homes.home, knight).await?;
    ada.upload("text/plain", b"a note of mine".to_vec()).await?;
    let done = journey.homes.home.command(&export).await?;
    ensure!(done.status.success(), "{done:?}");
    ensure!(!journey.homes.home.command(&export).await?.status.success(), "it is overwritten");
    ensure!(folder.join("bodies").join(format!("{knight}.vrm")).is_file(), "no body");
    let list = std::fs::read_to_string(folder.join("media.json"))?;
    ensure!(list.contains("text/plain") && !list.contains("First light"), "{list}");
    let whole = std::fs::read_to_string(folder.join("account.json"))?;
    ensure!(!whole.contains("First light"), "anybody reads it: {whole}");
    // Nobody brings in somebody who lives there, nor what does not prove itself.
    let import = ["account", "import", &there];
    ensure!(!journey.homes.home.command(&import).await?.status.success(), "she lives there");
    journey.homes.home.stop().await?;
    let harbour = named(&journey.homes.abroad, "harbour", "harbour.test").await?;
    let sound: Value = serde_json::from_str(&whole)?;
    for (field, bad) in [
        ("version", json!(2)),
        ("scid", json!("QmNobody")),
        ("account", json!("@eve:home.test")),
        ("log", json!("{}")),
        ("seal_key", json!("AAAA")),
        ("packed_ms", json!(i64::MAX)),
        ("more", json!(true)),
    ] {
        let mut changed = sound.clone();
        changed[field] = bad;
        std::fs::write(folder.join("account.json"), changed.to_string())?;
        let refusal = harbour.command(&import).await?;
        ensure!(!refusal.status.success(), "{field}: {refusal:?}");
    }
    std::fs::write(folder.join("account.json"), &whole)?;
    for _again in 0..2 {
        let done = harbour.command(&import).await?;
        ensure!(done.status.success() && done.stdout.contains("1 bodies"), "{done:?}");
    }

    // She finds it there by her words, though nobody else knows her, and is who she was.
    let there = Client::register(harbour.http(), "ada").await?;
    let find = json!({ "did": did, "seal_key": seal_key, "at": [] });
    let found = there.post(&identity("search"), &find).await?;
    let scid = did.split(':').nth(2).context("a SCID")?;
    let luggage = opened(&found["sealed"][0], scid, &secret)?;
    let log = found["log"].as_str().context("a log")?;
    let moved = Journey::moving(log, &from, &Person::of(&there).await?)?;
    there.put(&identity("moved"), &json!({ "log": moved })).await?;
    let unpacked = there.post(&identity("luggage"), &luggage).await?;
    ensure!(unpacked["credentials"] == 1 && unpacked["avatar"] == true, "{unpacked}");
    is_as_before(&there, &knight).await?;
    let mut harbour = harbour;
    crate::abroad::end(&mut harbour).await?;
    journey.homes.home.restart().await?;
    journey.end().await
}
