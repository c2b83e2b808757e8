//! Badges: a node gives them, people hold and show them, and doors open to them.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_identity::{
    badge::Badge,
    credential::Credential,
    did::Document,
    status::{Entry, Status, StatusList},
    time::Moment,
};
use wayside_tests::{Browser, Client, Node, PASSWORD, RoomId, hosts, pages};

use crate::{
    abroad::words,
    dids::{Host, key, multikey, now},
    homes::{Homes, IDENTITY, Person, named, write},
    stage::{Deeds, comes_true, refused},
    visitors::{Journey, answered_with, unproven, visitors_of, visits_of},
    worlds::{Visit, connect, floor, over, ticket, world_of},
};

const GIVEN: &str = "/_wayside/v1/given";
const WORLDS: &str = "/_wayside/v1/worlds";
/// The reason of BYE for those who were turned out (specs/realtime.md).
const REMOVED: u8 = 5;

pub(crate) fn held() -> String {
    format!("{IDENTITY}/credentials")
}

/// Somebody who runs a node.
pub(crate) async fn root(node: &Node) -> Result<Client> {
    let root = Client::register(node.http(), "root").await?;
    let done = node.command(&["user", "role", "root", "--role", "moderator"]).await?;
    ensure!(done.status.success(), "{done:?}");
    Ok(root)
}

pub(crate) fn first_light(to: &str) -> Value {
    let badge = json!({ "id": "first-light", "name": "First light", "description": "Came on the first day" });
    json!({ "user_id": to, "badge": badge })
}

/// Whether the node that gave something stands by it, as anybody reads it who knows the specification.
async fn status(node: &Node, credential: &Value) -> Result<Status> {
    let credential = Credential::read(credential)?;
    let entry = Entry::all(&credential)?.pop().context("a place in a list")?;
    let document = reqwest::get(node.http().join("/.well-known/did.json")?).await?;
    let document = Document::from_value(document.error_for_status()?.json().await?)?;
    let now = now()?;
    credential.verify(&document, now)?;
    let path = url::Url::parse(entry.list())?.path().to_owned();
    let list = reqwest::get(node.http().join(&path)?).await?.error_for_status()?;
    ensure!(list.headers()["content-type"] == "application/vc", "{list:?}");
    let list = StatusList::read(&Credential::read(&list.json().await?)?, &document, now)?;
    Ok(list.judge(&entry, &credential, now)?)
}

/// Comes into a world of the other node with all that the home shows there.
async fn come(journey: &Journey, alias: &str, asks: &Value) -> Result<(Visit, Value)> {
    let body = answered_with(journey, asks, &[]).await?;
    let granted = journey.nobody.post(&visitors_of(alias), &body).await?;
    let ticket = granted["ticket"].as_str().context("a ticket")?;
    Ok((Visit::on(connect(&journey.commons).await?, ticket).await?, granted))
}

/// The badges of somebody, as an ENTERED tells them (specs/realtime.md).
fn badges(entered: &[u8]) -> Result<(String, Vec<(String, String)>)> {
    let mut rest = &entered[6..];
    let mut text = || -> Result<String> {
        let (length, behind) = rest.split_at_checked(2).context("a length")?;
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        let (text, behind) = behind.split_at_checked(length).context("a text")?;
        rest = behind;
        Ok(String::from_utf8(text.to_vec())?)
    };
    let who = text()?;
    for _name_avatar_fallback in 0..3 {
        text()?;
    }
    let (count, behind) = rest.split_first().context("a count")?;
    rest = behind;
    let mut text = || -> Result<String> {
        let length = usize::from(u16::from_le_bytes([rest[0], rest[1]]));
        let (text, behind) = rest[2..].split_at_checked(length).context("a text")?;
        rest = behind;
        Ok(String::from_utf8(text.to_vec())?)
    };
    let all = (0..*count).map(|_| Ok((text()?, text()?))).collect::<Result<_>>()?;
    Ok((who, all))
}

/// Waits until somebody is seen with badges.
pub(crate) async fn adorned(visit: &mut Visit, who: &str) -> Result<Vec<(String, String)>> {
    loop {
        let (name, badges) = badges(&visit.next(0x43).await?)?;
        if name == who && !badges.is_empty() {
            return Ok(badges);
        }
    }
}

pub(crate) async fn give(root: &Client, what: &Value) -> Result<(i64, Value)> {
    let given = root.post(GIVEN, what).await?;
    let number = given["number"].as_i64().context("a number")?;
    Ok((number, given["credential"].clone()))
}

async fn take_back(root: &Client, number: i64) -> Result<()> {
    root.call(Method::DELETE, &format!("{GIVEN}/{number}"), None).await?;
    Ok(())
}

/// A world that asks for something.
async fn asking(owner: &Client, name: &str, asks: &Value) -> Result<Value> {
    let scene = owner.upload("model/gltf-binary", floor()).await?;
    let scene = format!("mxc://{}", scene.place());
    let wish = json!({ "name": name, "scene": scene, "public": false, "asks": asks });
    Ok(owner.post(WORLDS, &wish).await?)
}

fn alias(made: &Value) -> Result<String> {
    Ok(made["alias"].as_str().context("an alias")?.to_owned())
}

#[tokio::test]
async fn what_a_node_gives_is_held_shown_and_taken_back() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let (ada, root) = (&journey.homes.ada, root(&journey.commons).await?);
    let bob = Client::register(journey.commons.http(), "bob").await?;
    refused(bob.post(GIVEN, &first_light(ada.id())).await, 403, "M_FORBIDDEN")?;
    refused(root.post(GIVEN, &first_light(bob.id())).await, 404, "M_NOT_FOUND")?;
    let (number, credential) = give(&root, &first_light(ada.id())).await?;
    ensure!(credential["credentialSubject"]["id"] == journey.did.as_str(), "{credential}");
    ensure!(status(&journey.commons, &credential).await? == Status::Good);
    let told = bob.get("/_wayside/v1/badges").await?;
    ensure!(told["badges"][0]["name"] == "First light", "{told}");

    // The node tells her when she comes, and her home keeps it for her and nobody else.
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let mut inside = Visit::begin(&journey.commons, &bob, &alias).await?;
    let (visit, granted) = come(&journey, &alias, &json!([])).await?;
    ensure!(granted["given"] == json!([credential]), "{granted}");
    drop(visit);
    let body = json!({ "credential": credential });
    let eve = Client::register(journey.homes.home.http(), "eve").await?;
    refused(eve.post(&held(), &body).await, 404, "M_NOT_FOUND")?;
    let person = Person::of(&eve).await?;
    write(&eve, &(Person::begun(person.document(), Person::parameters(1))? + "\n")).await?;
    refused(eve.post(&held(), &body).await, 400, "M_INVALID_PARAM")?;
    let mut changed = credential.clone();
    changed["credentialSubject"]["name"] = "Ruler of all".into();
    refused(ada.post(&held(), &json!({ "credential": changed })).await, 403, "M_FORBIDDEN")?;
    let mine = ada.post(&held(), &body).await?;
    let again = ada.post(&held(), &body).await?;
    ensure!(mine == again && mine["shown"] == false, "{mine} {again}");
    let all = ada.get(&held()).await?;
    ensure!(all["credentials"].as_array().is_some_and(|it| it.len() == 1), "{all}");
    ensure!(mine["issuer_name"].as_str().is_some_and(|it| it.starts_with("commons.test:")));
    // What somebody gives themselves is shown to nobody as a badge of their home.
    let badge = Badge::new("chief", "Chief of all", None, None).context("a badge")?;
    let did = journey.did.parse()?;
    let own = badge.draft(&did, &did, Moment(now()?.0 - 1_000), None);
    let own = own.signed(&format!("{did}#{}", multikey(20)), &key(20));
    let chief = ada.post(&held(), &json!({ "credential": own })).await?;
    ensure!(chief["issuer_name"].as_str().is_some_and(|it| it.ends_with("/people/ada")), "{chief}");
    let path = format!("{}/{}", held(), chief["id"].as_str().context("an id")?);
    ada.put(&path, &json!({ "shown": true })).await?;

    // Others see it when she wants that.
    let one = format!("{}/{}", held(), mine["id"].as_str().context("an id")?);
    refused(eve.put(&one, &json!({ "shown": true })).await, 404, "M_NOT_FOUND")?;
    ada.put(&one, &json!({ "shown": true })).await?;
    let (_visit, granted) = come(&journey, &alias, &json!([])).await?;
    ensure!(granted["given"] == json!([]), "she is told again: {granted}");
    let issuer = mine["issuer_name"].as_str().context("an issuer")?.to_owned();
    let shown = adorned(&mut inside, ada.id()).await?;
    ensure!(shown == [(issuer, "First light".to_owned())], "{shown:?}");

    // What is taken back is shown no more, and the list says so to everybody.
    refused(
        bob.call(Method::DELETE, &format!("{GIVEN}/{number}"), None).await,
        403,
        "M_FORBIDDEN",
    )?;
    take_back(&root, number).await?;
    ensure!(status(&journey.commons, &credential).await? == Status::Revoked);
    let (mut visit, granted) = come(&journey, &alias, &json!([])).await?;
    ensure!(granted["given"] == json!([]), "{granted}");
    let (number, second) = give(&root, &first_light(ada.id())).await?;
    ensure!(second != credential && number > 0);
    let (who, none) = badges(&visit.next(0x43).await?)?;
    ensure!(none.is_empty(), "{who} {none:?}");
    // A badge keeps its name.
    let mut renamed = first_light(ada.id());
    renamed["badge"]["name"] = "Last light".into();
    refused(root.post(GIVEN, &renamed).await, 400, "M_INVALID_PARAM")?;
    let listed = root.get(&format!("{GIVEN}?user_id={}", ada.id())).await?;
    let listed = listed["given"].as_array().context("a list")?;
    ensure!(listed.len() == 2 && listed[0]["taken_back_ms"].is_i64(), "{listed:?}");
    ensure!(listed[1]["taken_back_ms"].is_null() && listed[1]["giver"] == root.id());
    ada.call(Method::DELETE, &one, None).await?;
    refused(ada.call(Method::DELETE, &one, None).await, 404, "M_NOT_FOUND")?;
    journey.end().await
}

#[tokio::test]
async fn a_world_opens_to_who_holds_what_it_asks_for() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let (ada, root) = (&journey.homes.ada, root(&journey.commons).await?);
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let dan = Client::register(journey.commons.http(), "dan").await?;
    let asks = json!([{ "type": "Badge", "badge": "first-light", "name": "First light" }]);
    let made = asking(&bob, "The Attic", &asks).await?;
    let (alias, room) = (alias(&made)?, made["room_id"].as_str().context("a room")?);
    let room = RoomId::known(room);
    let path = visitors_of(&alias);
    // Everybody finds it, with what it asks for, and whose word that has to be.
    let shown = journey.nobody.get(&format!("{WORLDS}/{}", alias.replace('#', "%23"))).await?;
    ensure!(shown["public"] == false && shown["asks"][0]["badge"] == "first-light", "{shown}");
    let issuer = shown["asks"][0]["issuer"].as_str().context("an issuer")?.to_owned();
    ensure!(issuer.starts_with("did:web:commons.test"), "{shown}");
    let all = dan.get(WORLDS).await?;
    ensure!(all["worlds"].as_array().is_some_and(|it| it.iter().any(|it| it["alias"] == alias)));

    // Who holds nothing stands before a door that says so.
    let asks = &shown["asks"];
    let come_in = async |more: &[Value]| {
        let body = answered_with(&journey, asks, more).await?;
        anyhow::Ok(journey.nobody.post(&path, &body).await)
    };
    unproven(&come_in(&[]).await?, "lacking", "asked of whoever comes")?;
    let own = visits_of(&alias);
    unproven(&dan.post(&own, &json!({})).await, "lacking", "asked of whoever comes")?;
    // Neither a badge of another, nor one by whoever calls theirs the same, opens it.
    let evil = Host::open(&journey.homes.abroad, "evil.test").await?;
    let method = format!("{}#{}", evil.own_did(), multikey(40));
    let document = json!({"id": evil.own_did(), "verificationMethod": [{"id": method,
        "type": "Multikey", "controller": evil.own_did(), "publicKeyMultibase": multikey(40)}],
        "assertionMethod": [method]});
    evil.put("/.well-known/did.json", document.to_string());
    let badge = Badge::new("first-light", "First light", None, None).context("a badge")?;
    let from = Moment(now()?.0 - 1_000);
    let theirs = badge.draft(&evil.own_did().parse()?, &journey.did.parse()?, from, None);
    let forged = badge.draft(&issuer.parse()?, &journey.did.parse()?, from, None);
    for credential in [theirs.signed(&method, &key(40)), forged.signed(&method, &key(40))] {
        unproven(&come_in(&[credential]).await?, "lacking", "asked of whoever comes")?;
    }

    // Whoever is given it comes in, and is in the room of the world.
    let (number, credential) = give(&root, &first_light(ada.id())).await?;
    ada.post(&held(), &json!({ "credential": credential })).await?;
    ensure!(come_in(&[]).await??["ticket"].is_string(), "she has what is asked for");
    let server = journey.commons.server_name();
    ada.join_through(&room, server).await?;
    bob.join(&room).await?;
    let standing = async |whom: &str| {
        let state = bob.state(&room, "m.room.member", whom).await;
        anyhow::Ok(state.ok().map(|it| it["membership"].clone()).unwrap_or_default())
    };
    comes_true("she is in", async || Ok(standing(ada.id()).await? == "join")).await?;
    ensure!(come_in(&[]).await??["ticket"].is_string(), "she comes again");
    let person = Person::of(&dan).await?;
    write(&dan, &(Person::begun(person.document(), Person::parameters(1))? + "\n")).await?;
    give(&root, &first_light(dan.id())).await?;
    ticket(&dan, &alias).await?;

    // Whoever came in so lets in nobody else.
    let eve = Client::register(journey.commons.http(), "eve").await?;
    let invite = json!({ "user_id": eve.id() });
    let invited = ada.post(&format!("/_matrix/client/v3/rooms/{room}/invite"), &invite).await;
    refused(invited, 403, "M_FORBIDDEN")?;

    // What is taken back opens nothing any more, and whoever came in by it is out at once.
    let ticket = come_in(&[]).await??["ticket"].as_str().context("a ticket")?.to_owned();
    let mut visit = Visit::on(connect(&journey.commons).await?, &ticket).await?;
    take_back(&root, number).await?;
    ensure!(over(&mut visit.socket).await? == REMOVED, "she is in the world still");
    comes_true("she is out", async || Ok(standing(ada.id()).await? == "leave")).await?;
    unproven(&come_in(&[]).await?, "lacking", "asked of whoever comes")?;
    refused(ada.say(&room, "still here").await.map(Value::from).map_err(lost), 403, "M_FORBIDDEN")?;
    // Whoever is invited needs nothing.
    let invite = json!({ "user_id": ada.id() });
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/invite"), &invite).await?;
    ensure!(come_in(&[]).await??["ticket"].is_string(), "she is invited");

    // A door whose words nobody can read opens to nobody, and says of itself no more than any private world.
    let mut said = bob.state(&room, "org.matrix.msc3815.world", "").await?;
    said["asks"] = "a badge".into();
    bob.set_state(&room, "org.matrix.msc3815.world", "", &said).await?;
    let carl = Client::register(journey.commons.http(), "carl").await?;
    refused(carl.post(&own, &json!({})).await, 403, "M_FORBIDDEN")?;
    let scene = bob.upload("model/gltf-binary", floor()).await?;
    let wish = json!({ "name": "Open", "scene": format!("mxc://{}", scene.place()), "asks": asks });
    refused(bob.post(WORLDS, &wish).await, 400, "M_INVALID_PARAM")?;
    journey.end().await
}

fn lost(error: anyhow::Error) -> wayside_tests::CallError {
    error.downcast().unwrap_or_else(|error| panic!("{error:#}"))
}

#[tokio::test]
async fn doors_ask_for_ages_roles_and_homes() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let ada = journey.homes.ada.clone();
    let root = root(&journey.commons).await?;
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let home = journey.home_did()?;
    let asked = |ask: Value| json!([ask]);
    let of_home = asked(json!({ "type": "HomeMembership", "issuer": home }));
    let moderators = asked(json!({ "type": "NodeRole", "issuer": home, "at_least": "moderator" }));
    let adults =
        asked(json!({ "type": "AgeGroup", "at_least": "18plus", "sources": ["verified"] }));
    let mut paths = Vec::new();
    for (name, asks) in [("Hearth", &of_home), ("Bridge", &moderators), ("Bar", &adults)] {
        paths.push(visitors_of(&alias(&asking(&bob, name, asks).await?)?));
    }
    let come_in = async |path: &str, asks: &Value| {
        let body = answered_with(&journey, asks, &[]).await?;
        anyhow::Ok(journey.nobody.post(path, &body).await)
    };
    ensure!(come_in(&paths[0], &of_home).await??["ticket"].is_string(), "she lives there");
    unproven(&come_in(&paths[1], &moderators).await?, "lacking", "")?;
    let done = journey.homes.home.command(&["user", "role", "ada", "--role", "operator"]).await?;
    ensure!(done.status.success(), "{done:?}");
    ensure!(come_in(&paths[1], &moderators).await??["ticket"].is_string(), "she runs it");

    // An age says how it is known, and ends.
    let mut age =
        json!({ "user_id": ada.id(), "age": { "group": "18plus", "source": "verified" } });
    refused(root.post(GIVEN, &age).await, 400, "M_MISSING_PARAM")?;
    age["until_ms"] = 1.into();
    refused(root.post(GIVEN, &age).await, 400, "M_INVALID_PARAM")?;
    age["until_ms"] = (now()?.0 + 86_400_000).into();
    let said =
        Client::nobody(journey.commons.http())?.get(&paths[2].replace("/visitors", "")).await?;
    unproven(&come_in(&paths[2], &said["asks"]).await?, "lacking", "")?;
    let (_, credential) = give(&root, &age).await?;
    let mine = ada.post(&held(), &json!({ "credential": credential })).await?;
    ensure!(mine["age_group"] == "18plus" && mine["until_ms"] == age["until_ms"], "{mine}");
    let one = format!("{}/{}", held(), mine["id"].as_str().context("an id")?);
    refused(ada.put(&one, &json!({ "shown": true })).await, 403, "M_FORBIDDEN")?;
    ensure!(come_in(&paths[2], &said["asks"]).await??["ticket"].is_string(), "she is old enough");
    // Her home tells it apart from what everybody sees: nobody is shown it unless she wants that.
    let told =
        ada.post(&format!("{IDENTITY}/membership"), &json!({ "asks": said["asks"] })).await?;
    ensure!(told["others"] == json!([]) && told["asked"] == json!([mine["credential"]]), "{told}");
    let told = ada.post(&format!("{IDENTITY}/membership"), &json!({})).await?;
    ensure!(told["others"] == json!([]) && told["asked"] == json!([]), "{told}");
    // People of the node itself are asked as well.
    let bobs = visits_of(&alias(
        &asking(
            &root,
            "Study",
            &asked(json!({
                "type": "HomeMembership", "issuer": said["asks"][0]["issuer"],
            })),
        )
        .await?,
    )?);
    unproven(&bob.post(&bobs, &json!({})).await, "lacking", "")?;
    let person = Person::of(&bob).await?;
    write(&bob, &(Person::begun(person.document(), Person::parameters(1))? + "\n")).await?;
    ensure!(bob.post(&bobs, &json!({})).await?["ticket"].is_string(), "he lives there");

    // A node may ask of all visitors, where its worlds are for everybody.
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    for (asks, opens) in [(format!("home {home}"), true), ("badge of-nobody".to_owned(), false)] {
        journey.commons.stop().await?;
        journey.commons.change("--visitors", Some("credentials"));
        journey.commons.change("--visitors-ask", Some(&asks));
        journey.commons.restart().await?;
        journey.nobody = Client::nobody(journey.commons.http())?;
        let about = journey.nobody.get("/_wayside/v1/node").await?;
        let body = answered_with(&journey, &about["visitors_ask"], &[]).await?;
        let answer = journey.nobody.post(&visitors_of(&alias), &body).await;
        if opens {
            ensure!(answer?["ticket"].is_string(), "{asks}");
        } else {
            unproven(&answer, "lacking", "")?;
        }
    }
    let words = ["config", "check", "--visitors-ask", "king arthur"];
    let refusal = journey.commons.command(&words).await?;
    ensure!(!refusal.status.success() && refusal.stderr.contains("visitors-ask"), "{refusal:?}");
    journey.end().await
}

#[tokio::test]
async fn operators_give_badges_from_their_terminal() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let run = async |words: &[&str]| journey.commons.command(words).await;
    let done = run(&["badge", "give", journey.homes.ada.id(), "x y", "Title"]).await?;
    ensure!(!done.status.success(), "an id with a space");
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let person = Person::of(&bob).await?;
    write(&bob, &(Person::begun(person.document(), Person::parameters(1))? + "\n")).await?;
    let done =
        run(&["badge", "give", "bob", "keeper", "Keeper of the light", "--days", "30"]).await?;
    ensure!(done.status.success(), "{done:?}");
    let done =
        run(&["badge", "age", "bob", "16to17", "--source", "estimated", "--days", "30"]).await?;
    ensure!(done.status.success(), "{done:?}");
    let all = bob.get(&held()).await?;
    ensure!(all["credentials"].as_array().is_some_and(|it| it.len() == 2), "{all}");
    let keeper = all["credentials"].as_array().into_iter().flatten();
    let keeper = keeper.into_iter().find(|it| it["type"] == "Badge").context("a badge")?;
    ensure!(status(&journey.commons, &keeper["credential"]).await? == Status::Good);
    let listed = run(&["badge", "list"]).await?;
    let line = listed.stdout.lines().find(|it| it.contains("keeper")).context("a line")?.to_owned();
    let number = line.split(' ').next().context("a number")?;
    ensure!(run(&["badge", "take-back", number]).await?.status.success());
    ensure!(run(&["badge", "list"]).await?.stdout.contains("taken back"));
    let all = bob.get(&held()).await?;
    ensure!(all["credentials"].as_array().is_some_and(|it| it.len() == 1), "{all}");
    ensure!(!run(&["badge", "take-back", "1"]).await?.status.success(), "nothing has that number");
    let (_, why) = words(bob.call(Method::GET, "/_wayside/v1/credentials/status/9", None).await)?;
    ensure!(why.contains("no such list"), "{why}");
    journey.end().await
}

/// A story told in browsers: given in a world, shown on the page of the account, and a door that opens to it.
#[tokio::test]
async fn client_shows_badges() -> Result<()> {
    let Some(mut pages_of) = Browser::open("badges.mjs")? else { return Ok(()) };
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let mut commons = named(&homes.abroad, "commons", "commons.test").await?;
    let root = root(&commons).await?;
    let garden = world_of(&root, "The Garden", floor(), 20).await?;
    let asks = json!([{ "type": "Badge", "badge": "first-light", "name": "First light" }]);
    let attic = alias(&asking(&root, "The Attic", &asks).await?)?;
    let (home, there) = (pages(&homes.home).await?, pages(&commons).await?);
    let hosts = hosts(&[(&home, &homes.home), (&there, &commons)])?;
    let signs_in = |url: &url::Url, user: &str| json!({ "url": url, "user": user, "password": PASSWORD, "hosts": hosts });
    let people = json!({ "ada": signs_in(&home, "ada"), "root": signs_in(&there, "root") });
    pages_of.step("begin", people).await?;
    let to =
        |base: &url::Url, world: &str| base.join(&format!("w/{}", world.trim_start_matches('#')));
    let attic_from_home = to(&home, &attic)?;
    let lacks = pages_of.step("lacks", json!({ "url": attic_from_home })).await?;
    let said = lacks["text"].as_str().unwrap_or_default();
    ensure!(said.contains("First light") && said.contains("commons.test"), "{lacks}");

    let (hers, theirs) = (to(&home, &garden)?, to(&there, &garden)?);
    pages_of.step("enter", json!({ "who": "root", "url": theirs })).await?;
    pages_of.step("enter", json!({ "who": "ada", "url": hers })).await?;
    let about = "Came on the first day";
    let gift = json!({ "name": "ada", "title": "First light", "about": about });
    pages_of.step("give", gift).await?;
    pages_of.step("enter", json!({ "who": "ada", "url": hers })).await?;
    comes_true("her home keeps it", async || {
        let all = homes.ada.get(&held()).await?;
        Ok(all["credentials"].as_array().is_some_and(|it| it.len() == 1))
    })
    .await?;
    // Nobody is shown it unless she agrees.
    let without = json!({ "url": attic_from_home, "yes": false });
    let without = pages_of.step("asked", without).await?;
    ensure!(without["told"].as_str().is_some_and(|it| it.contains("First light")), "{without}");
    ensure!(without["text"].as_str().is_some_and(|it| it.contains("went without")), "{without}");
    pages_of.step("asked", json!({ "url": attic_from_home, "yes": true })).await?;
    let shown = pages_of.step("show", json!({ "url": home, "title": "First light" })).await?;
    ensure!(shown["text"].as_str().is_some_and(|it| it.contains("commons.test")), "{shown}");
    let asked = json!({ "who": "ada", "url": attic_from_home, "asks": true });
    let told = pages_of.step("enter", asked).await?;
    ensure!(told["told"].as_str().is_some_and(|it| it.contains("First light")), "{told}");
    pages_of.step("enter", json!({ "who": "ada", "url": hers })).await?;
    let seen = pages_of.step("sees", json!({ "name": "ada", "title": "First light" })).await?;
    ensure!(seen["badges"][0]["name"] == "First light", "{seen}");
    // She makes a world of her own for those who hold it.
    let wish = json!({ "url": there, "name": "The Loft", "badge": "First light" });
    let made = pages_of.step("make", wish).await?;
    let loft = format!("{WORLDS}/{}", made["room"].as_str().context("a room")?);
    let loft = Client::nobody(commons.http())?.get(&loft).await?;
    ensure!(loft["asks"][0]["badge"] == "first-light" && loft["public"] == false, "{loft}");
    pages_of.close().await?;
    crate::abroad::end(&mut commons).await?;
    homes.end().await
}
