//! Notaries: servers that vouch for the keys of others (server-server API, "Querying Keys Through Another Server").

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt, TryStreamExt, stream};
use http::Method;
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant as Deadline;
use wayside_federation::{
    canonical,
    key::{PublicKeys, ServerKeys},
};

use super::{Error, Question, Servers};

/// Most servers, and most keys of one, that somebody asks for at once.
const WISHES: usize = 100;
/// Servers of such a wish that are asked at the same time, and how long somebody waits for all of them.
const ASKED: (usize, Duration) = (16, Duration::from_secs(10));
/// Most documents of one answer that are looked at.
const DOCUMENTS: usize = 100;

/// Whose keys somebody wants to know, which of them, and until when at least they shall be valid in
/// milliseconds; no ids stand for all keys.
pub type Wishes = BTreeMap<OwnedServerName, (Vec<String>, i64)>;

/// A notary's answer.
#[derive(Deserialize)]
pub(super) struct Told {
    server_keys: Vec<Box<RawValue>>,
}

/// Asks for the keys of one server.
pub(super) fn question(name: &ServerName) -> Result<Question, Error> {
    let wish = json!({ "server_keys": { name.as_str(): {} } });
    Question::get(&["_matrix", "key", "v2", "query"], &[]).unsigned().with(Method::POST, &wish)
}

/// The documents of an answer that are of this server, and that the notary has signed too.
pub(super) fn read(
    told: Told,
    notary: &ServerName,
    keys: &PublicKeys,
    name: &ServerName,
) -> Vec<(ServerKeys, String)> {
    let documents = told.server_keys.into_iter().take(DOCUMENTS);
    documents
        .filter_map(|document| {
            let object = canonical::parse_object(document.get()).ok()?;
            keys.verify_json(notary, &object).ok()?;
            let read = ServerKeys::parse(document.get()).ok()?;
            (read.server == name).then(|| (read, document.get().to_owned()))
        })
        .collect()
}

impl Servers {
    /// What this node knows as a notary: the documents, each signed by it too, as JSON texts.
    pub async fn vouch(&self, wishes: Wishes) -> Result<Vec<String>, Error> {
        if wishes.len() > WISHES || wishes.values().any(|(ids, _)| ids.len() > WISHES) {
            let why =
                format!("at most {WISHES} servers, and keys of each, can be asked for at once");
            return Err(Error::Invalid(why));
        }
        // One that is away is no reason to let the others' keys wait.
        let wait = Deadline::from_std(self.ground.clock.instant() + ASKED.1);
        let told = stream::iter(wishes)
            .map(|(name, (key_ids, until_ms))| self.vouch_for(name, key_ids, until_ms, wait))
            .buffered(ASKED.0);
        let told: Vec<Vec<String>> = told.try_collect().await?;
        Ok(told.concat())
    }

    async fn vouch_for(
        &self,
        name: OwnedServerName,
        key_ids: Vec<String>,
        until_ms: i64,
        wait: Deadline,
    ) -> Result<Vec<String>, Error> {
        let ground = &self.ground;
        if name == ground.server_name {
            return Ok(vec![ground.published_keys()?]);
        }
        let documents = self.documents(&name, &key_ids, until_ms, wait).await?;
        let signed = documents.iter().map(|document| {
            let mut object = canonical::parse_object(document).map_err(Error::internal)?;
            let signed = ground.server_key.sign_json(&ground.server_name, &mut object);
            signed.map_err(Error::internal)?;
            Ok(canonical::to_string(&object))
        });
        signed.collect()
    }
}
