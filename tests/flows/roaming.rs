//! People hold their identity in the browser, and come in at other nodes by it.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{
    Browser, Client, Engine, Node, PASSWORD, RoomId, Script, Town, at_home, hosts, pages,
};

use crate::{
    friends::{befriend, stands},
    homes::{Homes, IDENTITY, named},
    meeting::corpora,
    stage::{Deeds, comes_true},
    travelling::{seen, wear},
    worlds::{Visit, floor, world_of},
};

/// For a phase of what a client of others does.
const LIMIT: Duration = Duration::from_mins(1);

/// A node at a name for which browsers keep passkeys, though nobody knows its certificate.
async fn here(town: &Town) -> Result<Node> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    at_home(town, town.server("home")?, "localhost", at).await
}

/// Somebody who has just made her account on a page of her own.
struct Ada {
    pages: Browser,
    node: Node,
    /// Last, so that its folder goes when the node has.
    _town: Town,
}

impl Ada {
    async fn begin() -> Result<Option<Self>> {
        let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(None) };
        let Some(mut pages) = Browser::open("identity.mjs")? else { return Ok(None) };
        let node = here(&town).await?;
        let url = wayside_tests::pages(&node).await?;
        pages.step("open", json!({ "url": url })).await?;
        let own = json!({ "user": "ada", "password": PASSWORD, "api": node.http() });
        pages.step("signUp", own).await?;
        Ok(Some(Self { pages, node, _town: town }))
    }

    async fn end(mut self) -> Result<()> {
        self.pages.close().await?;
        self.node.stop().await?;
        Ok(())
    }
}

/// What the account and the node say of an identity.
async fn state(pages: &mut Browser, is: &str, portable: bool, devices: usize) -> Result<Value> {
    let state = pages.step("state", json!({})).await?;
    let own = state["authentication"].as_array().context("keys")?.len();
    ensure!(
        state["identity"] == is && state["saved"] == portable && own == devices,
        "wanted {is}, {portable}, {devices}: {state}"
    );
    Ok(state)
}

#[tokio::test]
async fn client_keeps_an_identity() -> Result<()> {
    let Some(mut ada) = Ada::begin().await? else { return Ok(()) };
    let pages = &mut ada.pages;
    let card = pages.step("card", json!({})).await?;
    ensure!(card.as_str().is_some_and(|said| said.contains("identity")), "{card}");
    pages.step("later", json!({})).await?;
    let first = state(pages, "mine", false, 1).await?;
    pages.step("signOut", json!({ "warned": true })).await?;
    let words = pages.step("save", json!({ "from": "account" })).await?;
    pages.step("card", json!({ "gone": true })).await?;
    state(pages, "mine", true, 1).await?;

    // Another browser becomes a device by the passphrase, and is taken out again.
    let secret = "nine red boats at noon";
    pages.step("lock", json!({ "passphrase": secret })).await?;
    pages.step("second", json!({ "name": "Elsewhere", "passphrase": secret })).await?;
    let both = state(pages, "mine", true, 2).await?;
    ensure!(both["did"] == first["did"], "{both}");
    pages.step("become", json!({ "name": "Ada" })).await?;
    pages.step("renew", json!({})).await?;
    pages.step("remove", json!({})).await?;
    state(pages, "mine", true, 1).await?;

    // All devices are lost: the words bring her back, or three of five friends.
    let split = json!({ "words": words, "count": 5, "needed": 3 });
    let shares = pages.step("guardians", split).await?;
    pages.step("picture", json!({})).await?;
    pages.step("second", json!({ "name": "By words" })).await?;
    pages.step("recover", json!({ "words": words })).await?;
    let back = state(pages, "mine", true, 1).await?;
    ensure!(back["did"] == first["did"], "{back}");
    ensure!(back["authentication"] != first["authentication"], "the keys are others: {back}");
    pages.step("second", json!({ "name": "By friends" })).await?;
    let some: Vec<_> = [0, 2, 4].map(|at| shares[at].clone()).to_vec();
    pages.step("recover", json!({ "shares": some })).await?;
    state(pages, "mine", true, 1).await?;
    pages.step("signOut", json!({})).await?;
    ada.end().await
}

#[tokio::test]
async fn client_keeps_an_identity_by_a_passkey_or_a_file() -> Result<()> {
    let Some(mut ada) = Ada::begin().await? else { return Ok(()) };
    let pages = &mut ada.pages;
    let file = pages.step("file", json!({})).await?;
    for step in ["authenticator", "passkey", "lockByPasskey"] {
        pages.step(step, json!({})).await?;
    }
    pages.step("signOut", json!({})).await?;
    pages.step("signIn", json!({ "user": "ada", "password": PASSWORD })).await?;
    pages.step("joinByPasskey", json!({})).await?;
    state(pages, "mine", true, 2).await?;
    pages.step("second", json!({ "name": "By file", "phone": true })).await?;
    pages.step("recover", json!({ "file": file })).await?;
    state(pages, "mine", true, 1).await?;
    ada.end().await
}

#[tokio::test]
async fn client_comes_in_by_an_identity() -> Result<()> {
    let Some(mut pages_of) = Browser::open("visitor.mjs")? else { return Ok(()) };
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let mut commons = named(&homes.abroad, "commons", "commons.test").await?;
    Client::register(commons.http(), "bob").await?;
    let (home, there) = (pages(&homes.home).await?, pages(&commons).await?);
    let place =
        format!("{}:{}", home.host_str().context("a host")?, home.port().context("a port")?);
    let hosts = hosts(&[(&home, &homes.home), (&there, &commons)])?;
    let ada = json!({ "url": home, "user": "ada", "password": PASSWORD, "hosts": hosts });
    let told = pages_of.step("home", ada).await?;
    ensure!(told["did"].as_str().is_some_and(|did| did.starts_with("did:webvh:")), "{told}");

    // An account of there is opened by it while they are linked.
    let bob = json!({ "url": there, "user": "bob", "password": PASSWORD, "home": place });
    let own = format!("@bob:{}", commons.server_name());
    ensure!(pages_of.step("link", bob).await?["user"] == own);
    ensure!(pages_of.step("again", json!({ "url": there })).await?["user"] == own);
    pages_of.step("unlink", json!({ "url": there, "password": PASSWORD })).await?;
    pages_of.step("stranger", json!({ "url": there })).await?;

    // And an account of her own, which is the same person.
    let come = json!({ "url": there, "home": place, "name": "ada" });
    let came = pages_of.step("visit", come).await?;
    let own = format!("@ada:{}", commons.server_name());
    ensure!(came["user"] == own && came["isNew"] == true, "{came}");
    ensure!(pages_of.step("again", json!({ "url": there })).await?["user"] == own);
    pages_of.step("refuse", json!({ "url": there })).await?;
    pages_of.close().await?;
    crate::abroad::end(&mut commons).await?;
    homes.end().await
}

/// Ada goes from a world of hers into one of another node, in a body of her own, and is heard there by everybody:
/// whoever is inside, and whoever is in the room from a server of others.
#[tokio::test]
async fn client_walks_through_a_portal() -> Result<()> {
    let Some(mut pages_of) = Browser::open("portals.mjs")? else { return Ok(()) };
    let Some(nio) = Script::find("meet.py")? else { return Ok(()) };
    let Some(corpora) = corpora() else { return Ok(()) };
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let Some(synapse) = homes.abroad.town.synapse("s")? else { return Ok(()) };
    let mut synapse = synapse.start().await?;
    let mut commons = named(&homes.abroad, "commons", "commons.test").await?;
    let bob = Client::register(commons.http(), "bob").await?;
    let garden = world_of(&bob, "The Garden", floor(), 20).await?;
    let hall = world_of(&homes.ada, "The Hall", floor(), 20).await?;
    let knight = fs::read(corpora.join("avatars-cc0-vrm1/kaykit_knight.vrm"))?;
    let hash = wear(&homes.ada, &homes.home, knight).await?;
    let state = homes.abroad.town.folder().join("nio.json").display().to_string();
    let there = synapse.http().to_string();
    nio.run(&["join", &state, &there, &garden], LIMIT).await?;

    let (home, other) = (pages(&homes.home).await?, pages(&commons).await?);
    let hosts = hosts(&[(&home, &homes.home), (&other, &commons)])?;
    let ada = json!({ "url": home, "user": "ada", "password": PASSWORD, "hosts": hosts });
    pages_of.step("home", ada).await?;
    let url = home.join(&format!("w/{}", hall.trim_start_matches('#')))?;
    pages_of.step("enter", json!({ "url": url })).await?;
    let asked = json!({ "to": garden, "arch": "portal_1" });
    let added = pages_of.step("add", asked).await?;
    let one = &added["portals"][0];
    ensure!(one["name"] == "The Garden" && one["trouble"].is_null(), "{added}");

    // She walks through, and is there in her body.
    let mut inside = Visit::begin(&commons, &bob, &garden).await?;
    let walked = json!({ "arch": "portal_1", "asks": true, "back": false });
    let walked = pages_of.step("walk", walked).await?;
    ensure!(
        walked["told"].as_str().is_some_and(|told| told.contains(commons.server_name()))
            && walked["there"]["world"] == "The Garden",
        "{walked}"
    );
    let account = format!("@ada:{}", homes.home.server_name());
    let avatar = seen(&mut inside, &account).await?;
    ensure!(avatar.contains(&hash), "{avatar}");
    pages_of.step("wears", json!({ "hash": hash })).await?;

    // What she says is heard inside and on a server of others, whose answer she hears.
    pages_of.step("say", json!({ "text": "hello from the hall" })).await?;
    while !String::from_utf8_lossy(&inside.next(0x49).await?).contains("hello from the hall") {}
    nio.run(&["talk", &state, &there, "hello from synapse", "hello from the hall"], LIMIT).await?;
    pages_of.step("hears", json!({ "text": "hello from synapse" })).await?;

    // Back in the browser is back in the hall, and she is nowhere twice.
    let back = pages_of.step("back", json!({})).await?;
    ensure!(back["world"] == "The Hall", "{back}");
    inside.next(0x44).await?;
    let room = walked["there"]["room"].as_str().context("a room")?;
    let ban = json!({ "user_id": account });
    bob.join(&RoomId::known(room)).await?;
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/ban"), &ban).await?;
    let stays = pages_of.step("refused", json!({ "name": "The Garden" })).await?;
    ensure!(
        stays["world"] == "The Hall"
            && stays["text"].as_str().is_some_and(|text| text.contains("shut you out")),
        "{stays}"
    );
    pages_of.step("remove", json!({ "name": "The Garden" })).await?;
    pages_of.close().await?;
    synapse.stop().await?;
    crate::abroad::end(&mut commons).await?;
    homes.end().await
}

#[tokio::test]
async fn client_visits_a_world_of_another_node() -> Result<()> {
    let Some(mut pages_of) = Browser::open("roaming.mjs")? else { return Ok(()) };
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let mut commons = named(&homes.abroad, "commons", "commons.test").await?;
    let bob = Client::register(commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let whole = alias.trim_start_matches('#');
    let short = whole.split(':').next().unwrap_or_default();
    let (home, there) = (pages(&homes.home).await?, pages(&commons).await?);
    let place =
        format!("{}:{}", home.host_str().context("a host")?, home.port().context("a port")?);
    let hosts = hosts(&[(&home, &homes.home), (&there, &commons)])?;
    let ada = json!({ "url": home, "user": "ada", "password": PASSWORD, "hosts": hosts });
    pages_of.step("home", ada).await?;
    let mut seen = Visit::begin(&commons, &bob, &alias).await?;
    let url = home.join(&format!("w/{whole}"))?;
    let state = pages_of.step("enter", json!({ "url": url })).await?;
    ensure!(state["node"] == commons.server_name() && state["world"] == "The Floor", "{state}");

    // Bob sees her with her home, and hears what she says; she hears him.
    let account = format!("@ada:{}", homes.home.server_name());
    let shown = |frame: &[u8]| String::from_utf8_lossy(frame).contains(&account);
    while !shown(&seen.next(0x43).await?) {}
    pages_of.step("say", json!({ "text": "hello from home" })).await?;
    while !String::from_utf8_lossy(&seen.next(0x49).await?).contains("hello from home") {}
    let room = RoomId::known(state["room"].as_str().context("a room")?);
    bob.send_text(&room, "1", "hello from the commons").await?;
    pages_of.step("hears", json!({ "text": "hello from the commons" })).await?;
    let list = pages_of.step("people", json!({})).await?;
    let people = list["people"].as_array().context("people")?;
    ensure!(people.len() == 2 && people.iter().any(|it| !it["from"].is_null()), "{list}");

    // The same from a link of the other node, where nobody knows her.
    pages_of.step("leave", json!({})).await?;
    let link = there.join(&format!("w/{short}"))?;
    pages_of.step("from", json!({ "url": link, "home": place })).await?;
    pages_of.step("leave", json!({})).await?;
    let ban = json!({ "user_id": account });
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/ban"), &ban).await?;
    let told = pages_of.step("refused", json!({ "url": url })).await?;
    ensure!(told["text"].as_str().is_some_and(|text| text.contains("shut you out")), "{told}");
    pages_of.close().await?;
    crate::abroad::end(&mut commons).await?;
    homes.end().await
}

#[tokio::test]
async fn client_people_become_friends() -> Result<()> {
    let Some(mut pages_of) = Browser::open("friends.mjs")? else { return Ok(()) };
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let mut commons = named(&homes.abroad, "commons", "commons.test").await?;
    let bob = Client::register(commons.http(), "bob").await?;
    let garden = world_of(&bob, "The Garden", floor(), 20).await?;
    let (home, other) = (pages(&homes.home).await?, pages(&commons).await?);
    let hosts = hosts(&[(&home, &homes.home), (&other, &commons)])?;
    let of = |url: &reqwest::Url, user: &str| json!({ "url": url.as_str(), "user": user, "password": PASSWORD, "hosts": hosts });
    let both = json!({ "ada": of(&home, "ada"), "bob": of(&other, "bob") });
    pages_of.step("homes", both).await?;
    let words = "We met at the Plaza";
    pages_of.step("ask", json!({ "address": bob.id(), "words": words })).await?;
    let ada = homes.ada.id();
    pages_of.step("accept", json!({ "from": ada, "words": words })).await?;
    let url = other.join(&format!("w/{}", garden.trim_start_matches('#')))?;
    let asked = json!({ "url": url.as_str(), "user": bob.id(), "world": "The Garden" });
    let there = pages_of.step("follow", asked).await?;
    ensure!(there["world"] == "The Garden", "{there}");
    let told = pages_of.step("block", json!({ "whom": ada })).await?;
    ensure!(told["blocked"].to_string().contains(ada), "{told}");
    pages_of.close().await?;
    crate::abroad::end(&mut commons).await?;
    homes.end().await
}

/// Ada's home dies; she moves to another node from her recovery file, and is who she was: to her friend, whose node
/// follows by itself, and in his world, where she may do what she might.
#[tokio::test]
async fn client_moves_house() -> Result<()> {
    let Some(mut pages_of) = Browser::open("moving.mjs")? else { return Ok(()) };
    let Some(mut homes) = Homes::begin().await? else { return Ok(()) };
    let mut commons = named(&homes.abroad, "commons", "commons.test").await?;
    let mut harbour = named(&homes.abroad, "harbour", "harbour.test").await?;
    let bob = Client::register(commons.http(), "bob").await?;
    let garden = world_of(&bob, "The Garden", floor(), 20).await?;
    Client::register(harbour.http(), "ada").await?;
    let (home, new) = (pages(&homes.home).await?, pages(&harbour).await?);
    let there = pages(&commons).await?;
    let all = [(&home, &homes.home), (&new, &harbour), (&there, &commons)];
    let hosts = hosts(&all)?;
    let of = |url: &reqwest::Url| json!({ "url": url, "user": "ada", "password": PASSWORD, "hosts": hosts });
    // She has a name, a friend, and somebody whom she does not want to meet.
    let name = format!("/_matrix/client/v3/profile/{}/displayname", homes.ada.id());
    homes.ada.put(&name, &json!({ "displayname": "Ada of Home" })).await?;
    let settled = pages_of.step("settle", json!({ "home": of(&home) })).await?;
    befriend(&homes.ada, &bob).await?;
    homes.ada.put("/_wayside/v1/blocks/@eve:elsewhere.test", &json!({})).await?;
    comes_true("a copy is kept by the node of her friend", async || {
        let told = homes.ada.get(IDENTITY).await?;
        Ok(told["copies"].to_string().contains(commons.server_name())
            && told["seal_key"].is_string())
    })
    .await?;
    pages_of.step("leave", json!({ "who": "old" })).await?;
    homes.home.stop().await?;

    // The friends stand in no file: it was saved before they were friends.
    let asked = json!({ "home": of(&new), "file": settled["file"], "friends": [bob.id()] });
    let moved = pages_of.step("moveIn", asked).await?;
    let scid = |did: &Value| did.as_str().and_then(|did| did.split(':').nth(2)).map(str::to_owned);
    ensure!(
        scid(&moved["did"]) == scid(&settled["did"]) && moved["did"] != settled["did"],
        "{moved}"
    );
    ensure!(moved["saved"] == true && moved["sealKey"].is_string(), "{moved}");
    let now = moved["account"].as_str().context("an account")?;
    stands(&bob, now, Some("friend")).await?;
    stands(&bob, homes.ada.id(), None).await?;
    let known = pages_of.step("friends", json!({ "count": 1 })).await?;
    ensure!(
        known["list"][0]["userId"] == bob.id() && known.to_string().contains("@eve:elsewhere.test"),
        "{known}"
    );
    let url = new.join(&format!("w/{}", garden.trim_start_matches('#')))?;
    let mut seen = Visit::begin(&commons, &bob, &garden).await?;
    pages_of.step("enter", json!({ "url": url })).await?;
    while !String::from_utf8_lossy(&seen.next(0x43).await?).contains(now) {}

    pages_of.step("leave", json!({ "who": "new" })).await?;
    pages_of.close().await?;
    for node in [&mut commons, &mut harbour] {
        crate::abroad::end(node).await?;
    }
    homes.home.restart().await?;
    homes.end().await
}
