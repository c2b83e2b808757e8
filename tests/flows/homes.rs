//! Nodes that people reach by a name, and people who write their DIDs there.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wayside_identity::{
    did::webvh::{
        History,
        write::{Draft, begin, commitment, go_on},
    },
    time::Moment,
};
use wayside_tests::{CallError, Client, Node};

use crate::{
    abroad::{Abroad, end},
    dids::{key, multikey, now},
    stage::{Deeds, escaped},
};

pub(crate) const IDENTITY: &str = "/_wayside/v1/identity";

/// A node that people reach by a name, beside one that finds it by that name.
pub(crate) struct Homes {
    pub(crate) abroad: Abroad,
    pub(crate) home: Node,
    pub(crate) ada: Client,
}

impl Homes {
    pub(crate) async fn begin() -> Result<Option<Self>> {
        let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(None) };
        let home = named(&abroad, "home", "home.test").await?;
        let ada = Client::register(home.http(), "ada").await?;
        Ok(Some(Self { abroad, home, ada }))
    }

    /// What the other node finds for a DID.
    pub(crate) async fn resolved(&self, did: &str) -> Result<Value> {
        let path = format!("/_wayside/v1/dids/{}", escaped(did));
        Ok(self.abroad.ann.get(&path).await?)
    }

    pub(crate) async fn end(mut self) -> Result<()> {
        end(&mut self.home).await?;
        self.abroad.end().await
    }
}

/// Starts a node that is found by a name of the story's, by https.
pub(crate) async fn named(abroad: &Abroad, label: &str, name: &str) -> Result<Node> {
    wayside_tests::named(&abroad.town, &abroad.names, label, name).await
}

/// Somebody who writes their DID as their client does.
pub(crate) struct Person {
    pub(crate) place: String,
    pub(crate) account: String,
    pub(crate) node_key: String,
}

impl Person {
    /// As the node says that it has to be.
    pub(crate) async fn of(client: &Client) -> Result<Self> {
        let told = client.get(IDENTITY).await?;
        let text = |name: &str| told[name].as_str().with_context(|| format!("no {name}: {told}"));
        let host = text("host")?.replace(':', "%3A");
        let path = told["path"].as_array().context("a path")?.iter().filter_map(Value::as_str);
        let place = [host].into_iter().chain(path.map(str::to_owned)).collect::<Vec<_>>().join(":");
        let account = client.id().trim_start_matches('@').to_owned();
        Ok(Self { place, account, node_key: text("node_key")?.to_owned() })
    }

    /// The document of a first version.
    pub(crate) fn document(&self) -> Value {
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

    pub(crate) fn parameters(seed: u8) -> Value {
        let mut parameters = Self::committing([seed + 1, 10]);
        parameters["updateKeys"] = json!([multikey(seed)]);
        parameters
    }

    pub(crate) fn committing(next: [u8; 2]) -> Value {
        let next = next.map(|seed| commitment(&multikey(seed)));
        json!({"updateKeys": [multikey(1)], "nextKeyHashes": next, "portable": true})
    }

    pub(crate) fn begun(document: Value, parameters: Value) -> Result<String> {
        Ok(begin(&Draft { parameters, document, time: Moment(now()?.0 - 600_000) }, &key(1)))
    }

    /// A document of the same person at another place, and of another account.
    pub(crate) fn moved(document: &mut Value, from: &str, to: &str, account: &str) {
        let old = document["id"].clone();
        let text = document.to_string().replace(from, to);
        *document = serde_json::from_str(&text).unwrap_or_default();
        document["alsoKnownAs"] = json!([old, format!("matrix:u/{account}")]);
    }

    /// The version after, with a changed document.
    pub(crate) fn gone_on(log: &str, seed: u8, change: impl FnOnce(&mut Value)) -> Result<String> {
        let history = History::read(log.as_bytes(), None, Moment(i64::MAX / 2))?;
        let mut document = history.latest().document.value().clone();
        change(&mut document);
        let mut parameters = Self::parameters(seed);
        parameters.as_object_mut().context("parameters")?.remove("portable");
        let time = Moment(history.latest().time.0 + 1_000);
        Ok(go_on(&history, &Draft { parameters, document, time }, &key(seed)))
    }
}

pub(crate) async fn write(client: &Client, log: &str) -> Result<Value, CallError> {
    client.post(IDENTITY, &json!({ "log": log })).await
}
