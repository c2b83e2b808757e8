//! People of a node have DIDs that they write themselves, and that others believe.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use wayside_tests::{CallError, Client};

use crate::{
    abroad::Abroad,
    dids::multikey,
    homes::{Homes, IDENTITY, Person, write},
    stage::{Deeds, escaped},
};

const FIELD: &str = "org.wayside.did";

/// That a log is refused with a word on why.
async fn refused(client: &Client, log: &str, names: &str) -> Result<()> {
    match write(client, log).await {
        Err(CallError::Refused { status, body, .. }) => {
            let why = body["error"].as_str().unwrap_or_default();
            ensure!(status.is_client_error() && why.contains(names), "{names:?}: {status} {body}");
            Ok(())
        }
        other => bail!("wanted a refusal that names {names:?}, got {other:?}"),
    }
}

#[tokio::test]
async fn a_person_writes_their_did_and_others_believe_it() -> Result<()> {
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let ada = &homes.ada;
    // Until they bring keys, the node holds a DID for them by which nobody can show that they are it.
    let told = ada.get(IDENTITY).await?;
    let held = told["did"].as_str().context("a DID")?;
    ensure!(held.starts_with("did:web:home.test%3A") && held.ends_with(":people:ada"), "{told}");
    ensure!(told["log"].is_null() && told["saved"] == false, "{told}");
    let found = homes.resolved(held).await?;
    let document = &found["didDocument"];
    ensure!(document["authentication"].is_null(), "{found}");
    let account = format!("matrix:u/{}", ada.id().trim_start_matches('@'));
    ensure!(document["alsoKnownAs"] == json!([account]), "{found}");
    let early = ada.post(&format!("{IDENTITY}/saved"), &json!({})).await;
    ensure!(matches!(early, Err(CallError::Refused { status, .. }) if status.as_u16() == 404));

    let person = Person::of(ada).await?;
    let mut log = Person::begun(person.document(), Person::parameters(1))? + "\n";
    let told = write(ada, &log).await?;
    let did = told["did"].as_str().context("a DID")?.to_owned();
    ensure!(did.starts_with("did:webvh:") && told["log"] == json!(log), "{told}");
    let found = homes.resolved(&did).await?;
    ensure!(found["didDocument"]["id"] == json!(did), "{found}");

    // The account names the DID too, and its person does not say otherwise by hand.
    let profile = homes.abroad.profile(ada.id()).await?;
    ensure!(profile[FIELD] == json!(did), "{profile}");
    let path = format!("/_matrix/client/v3/profile/{}/{FIELD}", escaped(ada.id()));
    let forged = ada.put(&path, &json!({ FIELD: "did:web:e.example" })).await;
    ensure!(matches!(forged, Err(CallError::Refused { .. })), "{forged:?}");

    // It goes on, and stays over a restart.
    let next = Person::gone_on(&log, 2, |_| {})? + "\n";
    log.push_str(&next);
    write(ada, &next).await?;
    ada.post(&format!("{IDENTITY}/saved"), &json!({})).await?;
    let told = ada.get(IDENTITY).await?;
    ensure!(told["log"] == json!(log) && told["saved"] == true, "{told}");
    homes.end().await
}

#[tokio::test]
async fn logs_that_are_not_theirs_are_refused() -> Result<()> {
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let ada = &homes.ada;
    let eve = Client::register(homes.home.http(), "eve").await?;
    let person = Person::of(ada).await?;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document = person.document();
        change(&mut document);
        Person::begun(document, Person::parameters(1))
    };
    let place = person.place.clone();
    let elsewhere = |document: &mut Value| {
        let text = document.to_string().replace(&place, "e.example:people:ada");
        *document = serde_json::from_str(&text).unwrap_or_default();
    };
    let others = |document: &mut Value| document["alsoKnownAs"] = json!(["matrix:u/eve:e.example"]);
    let both = |document: &mut Value| {
        let own = document["alsoKnownAs"][0].clone();
        document["alsoKnownAs"] = json!([own, "matrix:u/eve:e.example"]);
    };
    let node_signs = |document: &mut Value| {
        document["authentication"] = json!([document["verificationMethod"][1]["id"]]);
    };
    let nobody_signs = |document: &mut Value| document["authentication"] = json!([]);
    let node_key = person.node_key.clone();
    let stranger_signs = |document: &mut Value| {
        let own = document["authentication"][0].clone();
        document["authentication"] = json!([own, format!("did:key:{node_key}#{node_key}")]);
    };
    let shouted = |document: &mut Value| {
        let own = document["alsoKnownAs"][0].clone();
        document["alsoKnownAs"] = json!([own, "MATRIX:u/eve:e.example"]);
    };
    let somebody_else = |document: &mut Value| {
        let own = document["alsoKnownAs"][0].clone();
        let scid = "QmW9K6bJYn5LhixSSi7UKD3W7uNGeQtKKuZ9NzqYtUcK69";
        document["alsoKnownAs"] = json!([own, format!("did:webvh:{scid}:e.example")]);
    };
    let eve_signs = |document: &mut Value| {
        document["verificationMethod"][0]["controller"] = json!("did:web:e.example");
    };
    for (log, names) in [
        (changed(&elsewhere)?, "the place that this node gives you"),
        (changed(&others)?, "must name your account"),
        (changed(&both)?, "and no other"),
        (changed(&node_signs)?, "under assertionMethod alone"),
        (changed(&nobody_signs)?, "one at least"),
        (changed(&stranger_signs)?, "stand in the document"),
        (changed(&shouted)?, "and no other"),
        (changed(&somebody_else)?, "what yours was called"),
        (changed(&eve_signs)?, "controlled by its DID"),
        (Person::begun(person.document(), Person::committing([2, 2]))?, "a recovery key"),
        (Person::begun(person.document(), json!({"updateKeys": [multikey(1)]}))?, "portable"),
        (
            Person::begun(
                person.document(),
                json!({"updateKeys": [multikey(1)], "portable": true, "nextKeyHashes": ["x", "y"]}),
            )?,
            "a recovery key",
        ),
        (String::new(), "version 1"),
        ("{}".to_owned(), "version 1"),
        (changed(&|_| {})?.replace("home.test", "hone.test"), "SCID"),
    ] {
        refused(ada, &log, names).await?;
    }
    let log = Person::begun(person.document(), Person::parameters(1))?;
    refused(&eve, &log, "the place that this node gives you").await?;
    write(ada, &log).await?;
    // Neither the same again, nor what the keys of before would write.
    refused(ada, &log, "version 2").await?;
    let stolen = Person::gone_on(&log, 2, |_| {})?.replace(&multikey(2), &multikey(1));
    refused(ada, &stolen, "version 2").await?;
    let next = Person::gone_on(&log, 2, |document| {
        document["authentication"] = document["assertionMethod"].clone();
    })?;
    refused(ada, &next, "under assertionMethod alone").await?;
    let told = ada.get(IDENTITY).await?;
    ensure!(told["log"] == json!(log + "\n"), "{told}");
    homes.end().await
}

#[tokio::test]
async fn whoever_moves_takes_their_did_with_them() -> Result<()> {
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let ada = &homes.ada;
    let person = Person::of(ada).await?;
    let log = Person::begun(person.document(), Person::parameters(1))? + "\n";
    let told = write(ada, &log).await?;
    let did = told["did"].as_str().context("a DID")?.to_owned();
    // Away, to a place where nobody answers: the old one tells what it knows.
    let away = Person::gone_on(&log, 2, |document| {
        Person::moved(document, &person.place, "c.test:people:ada", "ada:c.test");
    })?;
    let told = write(ada, &away).await?;
    let moved = told["did"].as_str().context("a DID")?;
    ensure!(moved.ends_with(":c.test:people:ada"), "{told}");
    let found = homes.resolved(&did).await?;
    ensure!(found["didDocument"]["id"] == json!(moved), "{found}");
    let held = format!("did:web:{}", person.place);
    let vouched = homes.resolved(&held).await;
    ensure!(vouched.is_err(), "whoever is elsewhere is vouched for: {vouched:?}");

    // And back in, by somebody with the keys on another account of the node: the whole log.
    let bea = Client::register(homes.home.http(), "bea").await?;
    let there = Person::of(&bea).await?;
    let log = format!("{log}{away}\n");
    let back = Person::gone_on(&log, 3, |document| {
        Person::moved(document, "c.test:people:ada", &there.place, &there.account);
    })?;
    refused(&bea, &format!("{log}{back}"), "another account here").await?;
    homes.end().await
}

#[tokio::test]
async fn nodes_without_a_name_have_no_dids() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let told = abroad.ann.get(IDENTITY).await?;
    ensure!(told["did"].is_null() && told["host"].is_null(), "{told}");
    refused(&abroad.ann, "{}", "version 1").await?;
    abroad.end().await
}
