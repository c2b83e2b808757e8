//! What people take along from node to node: their body; and the doors by which they go: portals.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use wayside_identity::{
    credential::Draft,
    status::{Bitstring, Entry, Publication, StatusPurpose},
    time::Moment,
};
use wayside_tests::{Client, Node};

use crate::{
    abroad::end,
    dids::{Host, key, multikey, now},
    hostile_bodies::sound,
    pictures::png,
    stage::{Deeds, refused},
    visitors::{Journey, answered, visitors_of},
    worlds::{Visit, connect, floor, glb, world_of},
};

const AVATARS: &str = "/_wayside/v1/avatars";

/// A body whose author allows what `meta` says.
pub(crate) fn body(meta: &Value) -> Result<Vec<u8>> {
    let (mut json, bin) = sound()?;
    let told = json["extensions"]["VRMC_vrm"]["meta"].as_object_mut().context("a licence")?;
    told.extend(meta.as_object().context("an object")?.clone());
    Ok(glb(&json, &bin))
}

/// Uploads a body and wears it; gives its hash.
pub(crate) async fn wear(who: &Client, node: &Node, bytes: Vec<u8>) -> Result<String> {
    let url = node.http().join(AVATARS)?;
    let request = reqwest::Client::new().post(url).bearer_auth(who.session().token());
    let answer = request.header(header::CONTENT_TYPE, "model/gltf-binary").body(bytes);
    let kept: Value = answer.send().await?.error_for_status()?.json().await?;
    let hash = kept["sha256"].as_str().context("a hash")?;
    who.put("/_wayside/v1/avatar", &json!({ "sha256": hash })).await?;
    Ok(hash.to_owned())
}

/// What her author says of a body, as his client signs it.
fn licence(did: &str, hash: &str, allows: &Value) -> Result<Value> {
    let mut subject = json!({ "type": "LicensedAvatar", "sha256": hash });
    let told = subject.as_object_mut().context("an object")?;
    told.extend(allows.as_object().context("an object")?.clone());
    let draft = Draft {
        issuer: json!(did),
        types: &["AvatarLicence"],
        subject,
        from: Moment(now()?.0 - 1_000),
        until: None,
        status: None,
    };
    Ok(draft.signed(&format!("{did}#{}", multikey(20)), &key(20)))
}

/// Ada comes into a world of the other node.
async fn come(journey: &Journey, alias: &str) -> Result<Visit> {
    let body = answered(journey, |_| {}).await?;
    let granted = journey.nobody.post(&visitors_of(alias), &body).await?;
    let ticket = granted["ticket"].as_str().context("a ticket")?;
    Visit::on(connect(&journey.commons).await?, ticket).await
}

/// The reference under which somebody is seen, as soon as it is that of a file of their own.
pub(crate) async fn seen(visit: &mut Visit, who: &str) -> Result<String> {
    loop {
        let entered = visit.next(0x43).await?;
        let mut texts = texts(&entered[6..]).into_iter();
        if texts.next().as_deref() == Some(who) {
            let avatar = texts.nth(1).context("an avatar")?;
            if avatar.contains("/assets/") {
                return Ok(avatar);
            }
        }
    }
}

/// The texts at the end of a frame (specs/realtime.md).
fn texts(mut bytes: &[u8]) -> Vec<String> {
    let mut all = Vec::new();
    while let [low, high, rest @ ..] = bytes {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        all.push(String::from_utf8_lossy(&rest[..length]).into_owned());
        bytes = &rest[length..];
    }
    all
}

/// What somebody is told of their body.
async fn told(visit: &mut Visit) -> Result<String> {
    let notice = visit.next(0x4c).await?;
    texts(&notice[1..]).into_iter().next().context("a notice without words")
}

#[tokio::test]
async fn a_body_comes_along() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let ada = journey.homes.ada.id().to_owned();
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let open = body(&json!({ "avatarPermission": "everyone", "allowRedistribution": true }))?;
    let hash = wear(&journey.homes.ada, &journey.homes.home, open).await?;
    let profile = format!("/_matrix/client/v3/profile/{ada}/org.wayside.avatar");
    let said = journey.homes.ada.get(&profile).await?;
    ensure!(said["org.wayside.avatar"]["sha256"] == hash, "{said}");
    let own = journey.homes.ada.put(&profile, &json!({ "org.wayside.avatar": {} })).await;
    refused(own, 405, "M_BAD_JSON")?;

    // The other node has it, in bytes that it has looked into itself, and others see her in it.
    let mut inside = Visit::begin(&journey.commons, &bob, &alias).await?;
    let mut visit = come(&journey, &alias).await?;
    let avatar = seen(&mut inside, &ada).await?;
    ensure!(avatar == format!("/_wayside/v1/assets/{hash}"), "{avatar}");
    ensure!(seen(&mut visit, &ada).await? == avatar, "she sees herself otherwise");
    let here = reqwest::get(journey.commons.http().join(&avatar)?).await?.error_for_status()?;
    let there = reqwest::get(journey.homes.home.http().join(&avatar)?).await?;
    ensure!(here.bytes().await? == there.error_for_status()?.bytes().await?, "another file");
    // It is known from then on: she comes in it, also while the home has it no more.
    journey.commons.stop().await?;
    journey.commons.restart().await?;
    journey.nobody = Client::nobody(journey.commons.http())?;
    remove(&journey.homes.home, &hash)?;
    let mut visit = come(&journey, &alias).await?;
    ensure!(seen(&mut visit, &ada).await? == avatar, "it is brought again");

    // A generated body is made alike everywhere.
    journey.homes.ada.put("/_wayside/v1/avatar", &json!({ "variant": 3 })).await?;
    let mine = journey.homes.ada.get("/_wayside/v1/avatar").await?;
    let mut visit = come(&journey, &alias).await?;
    let entered = visit.next(0x43).await?;
    let worn = texts(&entered[6..])[2].clone();
    ensure!(mine["worn"]["url"] == worn, "{mine}: {worn}");
    journey.end().await
}

/// Takes a file away from a node, or another one in its place.
fn file(node: &Node, hash: &str) -> Result<std::path::PathBuf> {
    let mut folders = vec![node.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if path.is_dir() {
                folders.push(path);
            } else if hash.ends_with(name) && !name.is_empty() {
                return Ok(path);
            }
        }
    }
    anyhow::bail!("{hash} is nowhere in {}", Path::new(node.data()).display())
}

fn remove(node: &Node, hash: &str) -> Result<()> {
    Ok(fs::remove_file(file(node, hash)?)?)
}

#[tokio::test]
async fn a_body_that_may_not_be_given_on_is_lent() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let ada = journey.homes.ada.id().to_owned();
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let lent = body(&json!({ "avatarPermission": "everyone", "allowRedistribution": false }))?;
    let hash = wear(&journey.homes.ada, &journey.homes.home, lent).await?;
    let mut inside = Visit::begin(&journey.commons, &bob, &alias).await?;
    let _visit = come(&journey, &alias).await?;
    let avatar = seen(&mut inside, &ada).await?;
    let get = async |reference: &str| {
        anyhow::Ok(reqwest::get(journey.commons.http().join(reference)?).await?)
    };
    let shown = get(&avatar).await?.error_for_status()?;
    let kept = shown.headers()[header::CACHE_CONTROL].to_str()?;
    ensure!(kept.starts_with("private"), "{kept}");
    let (bare, loan) = avatar.split_once("?loan=").with_context(|| avatar.clone())?;
    let (until, seal) = loan.split_once('.').context("a seal")?;
    let later = until.parse::<i64>()? + 1;
    let own = format!("/_wayside/v1/assets/{hash}");
    for astray in [
        bare.to_owned(),
        format!("{bare}?loan={later}.{seal}"),
        format!("{bare}?loan={until}."),
        format!("{bare}?loan={until}.{}", "0".repeat(64)),
        format!("{bare}?loan=.{seal}"),
    ] {
        ensure!(get(&astray).await?.status() == StatusCode::FORBIDDEN, "{astray}");
    }
    let media = format!(
        "/_matrix/client/v1/media/download/{}/avatar-{hash}",
        journey.homes.home.server_name()
    );
    refused(journey.homes.ada.get(&media).await, 404, "M_NOT_FOUND")?;
    let at_home = reqwest::get(journey.homes.home.http().join(&own)?).await?;
    ensure!(at_home.status() == StatusCode::FORBIDDEN, "at home it is given on");
    journey.end().await
}

#[tokio::test]
async fn a_body_is_shown_as_its_author_lets_it() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let ada = journey.homes.ada.id().to_owned();
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let (home, did) = (&journey.homes.home, journey.did.clone());
    for (permission, code) in [
        ("onlyAuthor", "body_licence_author"),
        ("onlySeparatelyLicensedPerson", "body_licence_person"),
    ] {
        let closed = body(&json!({ "avatarPermission": permission }))?;
        let hash = wear(&journey.homes.ada, home, closed).await?;
        let mut visit = come(&journey, &alias).await?;
        ensure!(told(&mut visit).await? == code, "{permission}");
        let path = format!("{AVATARS}/{hash}/licence");
        let keep = async |credential: Value| {
            journey.homes.ada.put(&path, &json!({ "credential": credential })).await
        };
        // Of no use: about another body, of nobody, changed, or already over.
        let good = licence(&did, &hash, &json!({}))?;
        let mut changed = good.clone();
        changed["credentialSubject"]["avatarPermission"] = "everyone".into();
        for wrong in
            [licence(&did, &"07".repeat(32), &json!({}))?, changed, json!({}), json!("x.y.z")]
        {
            refused(keep(wrong).await, 400, "M_INVALID_PARAM")?;
        }
        keep(good).await?;
        let mine = journey.homes.ada.get("/_wayside/v1/avatar").await?;
        let licensed = mine["uploads"].as_array().context("uploads")?.iter();
        let licensed = licensed.filter(|one| one["sha256"] == hash && one["licensed"] == true);
        ensure!(licensed.count() == 1, "{mine}");
        let mut visit = come(&journey, &alias).await?;
        ensure!(seen(&mut visit, &ada).await?.contains(&hash), "with a licence she wears it");
        keep(Value::Null).await?;
        let mut visit = come(&journey, &alias).await?;
        ensure!(told(&mut visit).await? == code, "without it she does not");
    }
    journey.end().await
}

#[tokio::test]
async fn a_licence_that_was_taken_back_is_none() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let ada = journey.homes.ada.id().to_owned();
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    // An author with a page of their own, on which they say what they have taken back.
    let studio = Host::open(&journey.homes.abroad, "studio.test").await?;
    let (did, place) = (studio.own_did(), studio.own_did().replace("did:web:", "https://"));
    let place = place.replace("%3A", ":");
    let method = format!("{did}#{}", multikey(30));
    let document = json!({"id": did, "assertionMethod": [method], "verificationMethod": [
        {"id": method, "type": "Multikey", "controller": did, "publicKeyMultibase": multikey(30)},
    ]});
    studio.put("/.well-known/did.json", document.to_string());
    let url = format!("{place}/people/taken-back");
    let mut bits = Bitstring::new(Bitstring::LEAST);
    let publish = |bits: &Bitstring| {
        let list = Publication {
            url: &url,
            issuer: json!(did),
            purpose: StatusPurpose::Revocation,
            bits,
            from: Moment(now()?.0 - 1_000),
            until: None,
            ttl_ms: Some(0),
        };
        studio.put("/people/taken-back", list.signed(&method, &key(30)).to_string());
        anyhow::Ok(())
    };
    publish(&bits)?;
    let named = body(&json!({ "avatarPermission": "onlySeparatelyLicensedPerson" }))?;
    let hash = wear(&journey.homes.ada, &journey.homes.home, named).await?;
    let entry = Entry::new(StatusPurpose::Revocation, 77, &url)?;
    let draft = Draft {
        issuer: json!(did),
        types: &["AvatarLicence"],
        subject: json!({ "type": "LicensedAvatar", "sha256": hash, "allowedUsers": [journey.did],
            "avatarPermission": "onlySeparatelyLicensedPerson" }),
        from: Moment(now()?.0 - 1_000),
        until: None,
        status: Some(entry.to_value()),
    };
    let path = format!("{AVATARS}/{hash}/licence");
    let credential = json!({ "credential": draft.signed(&method, &key(30)) });
    journey.homes.ada.put(&path, &credential).await?;
    let mut visit = come(&journey, &alias).await?;
    ensure!(seen(&mut visit, &ada).await?.contains(&hash), "she may wear it");
    bits.set(77, true)?;
    publish(&bits)?;
    let mut visit = come(&journey, &alias).await?;
    ensure!(told(&mut visit).await? == "body_licence_person", "it was taken back");
    refused(journey.homes.ada.put(&path, &credential).await, 400, "M_INVALID_PARAM")?;
    journey.end().await
}

#[tokio::test]
async fn a_body_that_changed_is_not_shown() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let open = body(&json!({ "avatarPermission": "everyone" }))?;
    let hash = wear(&journey.homes.ada, &journey.homes.home, open).await?;
    let path = file(&journey.homes.home, &hash)?;
    let mut bytes = fs::read(&path)?;
    let last = bytes.last_mut().context("an empty file")?;
    *last ^= 1;
    fs::write(&path, bytes)?;
    let mut visit = come(&journey, &alias).await?;
    let code = told(&mut visit).await?;
    ensure!(code == "body_changed", "{code}");
    // What is no body is none, and what is gone is waited for by nobody.
    fs::remove_file(&path)?;
    let other = body(&json!({ "avatarPermission": "everyone", "name": "Another" }))?;
    let hash = wear(&journey.homes.ada, &journey.homes.home, other).await?;
    remove(&journey.homes.home, &hash)?;
    let mut visit = come(&journey, &alias).await?;
    let code = told(&mut visit).await?;
    ensure!(code == "body_unusable", "{code}");
    journey.end().await
}

#[tokio::test]
async fn a_body_is_shown_where_its_author_lets_it() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let ada = journey.homes.ada.id().to_owned();
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let scene = bob.upload("model/gltf-binary", floor()).await?;
    let wish = json!({
        "name": "The Pit", "scene": format!("mxc://{}", scene.place()), "rating": "mature",
    });
    let made = bob.post("/_wayside/v1/worlds", &wish).await?;
    let alias = made["alias"].as_str().context("an alias")?.to_owned();
    let gentle = json!({ "avatarPermission": "everyone" });
    for who in [&journey.homes.ada, &bob] {
        let node = if who.id() == ada { &journey.homes.home } else { &journey.commons };
        wear(who, node, body(&gentle)?).await?;
    }
    let mut own = Visit::begin(&journey.commons, &bob, &alias).await?;
    let mut visit = come(&journey, &alias).await?;
    for visit in [&mut own, &mut visit] {
        let code = told(visit).await?;
        ensure!(code == "body_violent", "{code}");
    }
    // Whoever changes into such a body there is told as well, and is seen in the other.
    let fierce = body(&json!({
        "avatarPermission": "everyone", "allowExcessivelyViolentUsage": true,
        "allowExcessivelySexualUsage": true,
    }))?;
    let hash = wear(&bob, &journey.commons, fierce).await?;
    ensure!(seen(&mut own, bob.id()).await?.contains(&hash), "he is not seen as he may be");
    wear(&bob, &journey.commons, body(&gentle)?).await?;
    ensure!(told(&mut own).await? == "body_violent", "he is not told");
    journey.end().await
}

/// The portals of a world.
async fn portals(who: &Client, alias: &str) -> Result<Vec<Value>> {
    let path = format!("/_wayside/v1/worlds/{}/portals", alias.replace('#', "%23"));
    let told = who.get(&path).await?;
    told["portals"].as_array().cloned().context("no portals")
}

/// Makes a portal, and gives what is seen of it.
async fn portal(who: &Client, alias: &str, id: &str, content: &Value) -> Result<Value> {
    let world = who.get(&format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"))).await?;
    let room = wayside_tests::RoomId::known(world["room_id"].as_str().context("a room")?);
    who.set_state(&room, "org.wayside.portal", id, content).await?;
    let all = portals(who, alias).await?;
    all.into_iter().find(|one| one["id"] == id).with_context(|| format!("no {id}"))
}

/// The `matrix:` URI of an alias.
fn uri(alias: &str) -> String {
    format!("matrix:r/{}", alias.trim_start_matches('#'))
}

/// A world with a picture.
async fn garden(who: &Client) -> Result<String> {
    let scene = who.upload("model/gltf-binary", floor()).await?;
    let preview = who.upload("image/png", png(16, 9, 9)).await?;
    let wish = json!({
        "name": "The Garden", "description": "Flowers", "rating": "teen", "capacity": 7,
        "scene": format!("mxc://{}", scene.place()), "preview": format!("mxc://{}", preview.place()),
    });
    let made = who.post("/_wayside/v1/worlds", &wish).await?;
    Ok(made["alias"].as_str().context("an alias")?.to_owned())
}

#[tokio::test]
async fn a_portal_shows_what_is_behind_it() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let garden = garden(&journey.homes.ada).await?;
    let mut inside = Visit::begin(&journey.commons, &bob, &alias).await?;
    let content = json!({ "uri": uri(&garden), "node": "portal_1" });
    let shown = portal(&bob, &alias, "one", &content).await?;
    let target = &shown["target"];
    ensure!(
        shown["address"] == garden
            && shown["server_name"] == journey.homes.home.server_name()
            && shown["node"] == "portal_1"
            && shown["trouble"].is_null()
            && target["name"] == "The Garden"
            && target["capacity"] == 7
            && target["people"] == 0
            && target["rating"] == "teen"
            && target["visitors"] == "open",
        "{shown}"
    );
    // Those inside hear of it, and its picture is here.
    while !String::from_utf8_lossy(&inside.next(0x49).await?).contains("org.wayside.portal") {}
    let preview = target["preview"].as_str().context("a picture")?;
    let picture = reqwest::get(journey.commons.http().join(preview)?).await?.error_for_status()?;
    ensure!(picture.headers()[header::CONTENT_TYPE] == "image/png", "{preview}");
    let none = format!("/_wayside/v1/previews/b.test/{}", "0".repeat(64));
    let none = reqwest::get(journey.commons.http().join(&none)?).await?;
    ensure!(none.status() == StatusCode::NOT_FOUND, "a picture of no portal");

    // A world here, one that is nowhere, one of a node that takes no visitors.
    let other = world_of(&bob, "The Other Floor", floor(), 20).await?;
    let placed = json!({ "uri": uri(&other), "name": "Over there",
        "position_mm": [1500, 0, 2000], "yaw_deg": 90 });
    let shown = portal(&bob, &alias, "two", &placed).await?;
    ensure!(
        shown["name"] == "Over there"
            && shown["position"] == json!([1.5, 0.0, 2.0])
            && shown["target"]["visitors"] == "home",
        "{shown}"
    );
    let nowhere = json!({ "uri": uri(&garden).replace("garden", "nowhere") });
    let shown = portal(&bob, &alias, "three", &nowhere).await?;
    ensure!(shown["trouble"] == "unknown" && shown["target"].is_null(), "{shown}");
    let closed = world_of(&journey.homes.abroad.ann, "The Attic", floor(), 5).await?;
    let shown = portal(&bob, &alias, "four", &json!({ "uri": uri(&closed) })).await?;
    ensure!(shown["trouble"] == "closed", "{shown}");

    // What is no portal is left out, who may not make one does not, and one is taken away by saying nothing.
    let world = bob.get(&format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"))).await?;
    let room = wayside_tests::RoomId::known(world["room_id"].as_str().context("a room")?);
    bob.set_state(&room, "org.wayside.portal", "bad", &json!({ "uri": "https://b.test" })).await?;
    bob.set_state(&room, "org.wayside.portal", "one", &json!({})).await?;
    let left: Vec<_> = portals(&bob, &alias).await?.iter().map(|it| it["id"].clone()).collect();
    ensure!(left == ["two", "three", "four"], "{left:?}");
    let eve = Client::register(journey.commons.http(), "eve").await?;
    eve.join(&room).await?;
    let path = format!("/_matrix/client/v3/rooms/{room}/state/org.wayside.portal/hers");
    let hers = eve.put(&path, &content).await;
    refused(hers, 403, "M_FORBIDDEN")?;
    // A node that does not answer leaves the others as they are.
    end(&mut journey.homes.home).await?;
    let silent = json!({ "uri": uri(&garden).replace("garden", "gone") });
    let shown = portal(&bob, &alias, "five", &silent).await?;
    ensure!(shown["trouble"] == "silent", "{shown}");
    end(&mut journey.commons).await?;
    journey.homes.abroad.end().await
}
