//! People of a node have DIDs that they write themselves, and that others believe.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use wayside_identity::{
    did::webvh::{
        History,
        write::{Draft, begin, commitment, go_on},
    },
    time::Moment,
};
use wayside_tests::{Address, CallError, Client, Node, Record};

use crate::{
    abroad::{Abroad, end},
    dids::{key, multikey, now},
    stage::{Deeds, escaped},
};

const IDENTITY: &str = "/_wayside/v1/identity";
const FIELD: &str = "org.wayside.did";

/// A node that people reach by a name, beside one that finds it by that name.
struct Homes {
    abroad: Abroad,
    home: Node,
    ada: Client,
}

impl Homes {
    async fn begin() -> Result<Option<Self>> {
        let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(None) };
        let (address, name) = (Address::claim()?, "home.test");
        let (ip, port) = (address.ip(), address.free_port()?.port());
        let leaf = abroad.town.authority().leaf(&[name, &ip.to_string()])?;
        abroad.names.add(name, Record::A(ip));
        let at = format!("{ip}:{port}");
        let home = abroad
            .town
            .server("home")?
            .at(address)
            .flag("--dns-servers", Some(&abroad.names.place().to_string()))
            .flag("--tls-cert", leaf.certificate.to_str())
            .flag("--tls-key", leaf.key.to_str())
            .flag("--https", Some(&at))
            .flag("--public-url", Some(&format!("https://{name}:{port}")))
            .start()
            .await?;
        let ada = Client::register(home.http(), "ada").await?;
        Ok(Some(Self { abroad, home, ada }))
    }

    /// What the other node finds for a DID.
    async fn resolved(&self, did: &str) -> Result<Value> {
        let path = format!("/_wayside/v1/dids/{}", escaped(did));
        Ok(self.abroad.ann.get(&path).await?)
    }

    async fn end(mut self) -> Result<()> {
        end(&mut self.home).await?;
        self.abroad.end().await
    }
}

/// Somebody who writes their DID as their client does.
struct Person {
    place: String,
    account: String,
    node_key: String,
}

impl Person {
    /// As the node says that it has to be.
    async fn of(client: &Client) -> Result<Self> {
        let told = client.get(IDENTITY).await?;
        let text = |name: &str| told[name].as_str().with_context(|| format!("no {name}: {told}"));
        let host = text("host")?.replace(':', "%3A");
        let path = told["path"].as_array().context("a path")?.iter().filter_map(Value::as_str);
        let place = [host].into_iter().chain(path.map(str::to_owned)).collect::<Vec<_>>().join(":");
        let account = client.id().trim_start_matches('@').to_owned();
        Ok(Self { place, account, node_key: text("node_key")?.to_owned() })
    }

    /// The document of a first version.
    fn document(&self) -> Value {
        let did = format!("did:webvh:{{SCID}}:{}", self.place);
        let method = |multikey: &str| {
            json!({"id": format!("{did}#{multikey}"), "type": "Multikey", "controller": did,
                "publicKeyMultibase": multikey})
        };
        let methods = [method(&multikey(20)), method(&self.node_key)];
        json!({
            "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
            "id": did,
            "alsoKnownAs": [format!("matrix:u/{}", self.account)],
            "authentication": [methods[0]["id"]],
            "assertionMethod": [methods[0]["id"], methods[1]["id"]],
            "verificationMethod": methods,
        })
    }

    fn parameters(seed: u8) -> Value {
        let mut parameters = Self::committing([seed + 1, 10]);
        parameters["updateKeys"] = json!([multikey(seed)]);
        parameters
    }

    fn committing(next: [u8; 2]) -> Value {
        let next = next.map(|seed| commitment(&multikey(seed)));
        json!({"updateKeys": [multikey(1)], "nextKeyHashes": next, "portable": true})
    }

    fn begun(document: Value, parameters: Value) -> Result<String> {
        Ok(begin(&Draft { parameters, document, time: Moment(now()?.0 - 600_000) }, &key(1)))
    }

    /// A document of the same person at another place, and of another account.
    fn moved(document: &mut Value, from: &str, to: &str, account: &str) {
        let old = document["id"].clone();
        let text = document.to_string().replace(from, to);
        *document = serde_json::from_str(&text).unwrap_or_default();
        document["alsoKnownAs"] = json!([old, format!("matrix:u/{account}")]);
    }

    /// The version after, with a changed document.
    fn gone_on(log: &str, seed: u8, change: impl FnOnce(&mut Value)) -> Result<String> {
        let history = History::read(log.as_bytes(), None, Moment(i64::MAX / 2))?;
        let mut document = history.latest().document.value().clone();
        change(&mut document);
        let mut parameters = Self::parameters(seed);
        parameters.as_object_mut().context("parameters")?.remove("portable");
        let time = Moment(history.latest().time.0 + 1_000);
        Ok(go_on(&history, &Draft { parameters, document, time }, &key(seed)))
    }
}

async fn write(client: &Client, log: &str) -> Result<Value, CallError> {
    client.post(IDENTITY, &json!({ "log": log })).await
}

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
