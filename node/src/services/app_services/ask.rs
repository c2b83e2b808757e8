//! What services are asked: for users, aliases and other networks, and whether they answer at all.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use ruma::{OwnedRoomId, RoomAliasId, RoomOrAliasId, UserId};
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use super::{super::Error, AppService, AppServices, Method, Proof, Reached, Unreached};
use crate::{outbound::escaped, store::accounts};

/// How long a service may take to answer a question.
const ANSWER: Duration = Duration::from_secs(20);
/// How long nobody is asked again for what they said is not there, in milliseconds.
const MISSED_MS: i64 = 5_000;
/// Names that are remembered as not being there.
const MISSES: usize = 10_000;
/// Entries of one answer about another network.
const FOUND: usize = 1_000;
/// Bytes of an answer that are shown to a service whose ping failed.
const SHOWN_BYTES: usize = 1_000;

/// Names that are not there, and until when nobody is asked for them again.
pub(super) type Misses = HashMap<String, i64>;

/// What is looked up in other networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Places and the rooms that lead to them.
    Location,
    /// People and the users who stand for them.
    User,
}

impl Lookup {
    fn word(self) -> &'static str {
        match self {
            Self::Location => "location",
            Self::User => "user",
        }
    }

    /// The field that names what is of this node.
    fn name(self) -> &'static str {
        match self {
            Self::Location => "alias",
            Self::User => "userid",
        }
    }
}

impl AppServices {
    /// The room that a name or id stands for; where an alias names none, whoever keeps such aliases
    /// is asked to make it.
    pub async fn resolve(&self, name: &RoomOrAliasId) -> Result<OwnedRoomId, Error> {
        let found = self.rooms.resolve(name).await;
        let (Err(Error::NotFound(_)), Ok(alias)) = (&found, <&RoomAliasId>::try_from(name)) else {
            return found;
        };
        let owner = |service: &&Arc<AppService>| service.owns_alias(alias);
        let service = self.ground.app_services.all().iter().find(owner);
        if let Some(service) = service
            && self.exists(service, "rooms", alias.as_str()).await
        {
            return self.rooms.resolve(name).await;
        }
        found
    }

    /// Lets whoever keeps such users make one that is not there yet.
    pub async fn summon(&self, user_id: &UserId) -> Result<(), Error> {
        if !self.ground.is_local(user_id) {
            return Ok(());
        }
        let owner = |service: &&Arc<AppService>| service.owns(user_id);
        let Some(service) = self.ground.app_services.all().iter().find(owner) else {
            return Ok(());
        };
        let mut snapshot = self.ground.store.snapshot().await?;
        let known = accounts::account(&mut snapshot, user_id).await?.is_some();
        drop(snapshot);
        if !known {
            // Whether it was made, shows when it is looked for.
            let _made = self.exists(service, "users", user_id.as_str()).await;
        }
        Ok(())
    }

    /// Asks a service whether something of its own exists; it makes it then.
    async fn exists(&self, service: &AppService, what: &str, name: &str) -> bool {
        let now_ms = self.ground.clock.now_ms();
        if self.misses().get(name).is_some_and(|until_ms| *until_ms > now_ms) {
            return false;
        }
        let path = format!("/_matrix/app/v1/{what}/{}", escaped(name));
        match self.question(service, &path).await {
            Ok(reached) if reached.is_success() => return true,
            Ok(_) => {}
            Err(error) => {
                let service = &*service.id;
                tracing::warn!(service, %error, "an application service was asked and did not answer");
            }
        }
        let mut misses = self.misses();
        if misses.len() >= MISSES {
            misses.clear();
        }
        misses.insert(name.to_owned(), now_ms + MISSED_MS);
        false
    }

    /// What the services say of the networks to which they lead: of one, or of all.
    pub async fn protocols(&self, only: Option<&str>) -> Result<BTreeMap<String, Value>, Error> {
        let all = self.ground.app_services.all().iter();
        let asked = all.flat_map(|service| {
            let named = service.protocols.iter().filter(|name| only.is_none_or(|it| it == *name));
            named.map(move |protocol| async move {
                let path = format!("/_matrix/app/v1/thirdparty/protocol/{}", escaped(protocol));
                (protocol, service, self.object_of(service, &path).await)
            })
        });
        let mut known: BTreeMap<String, Value> = BTreeMap::new();
        for (protocol, service, told) in join_all(asked).await {
            let Some(mut told) = told.and_then(protocol_of) else { continue };
            let instances = told["instances"].as_array_mut().map(std::mem::take);
            let instances = instances.unwrap_or_default().into_iter().filter_map(|mut instance| {
                let network = instance.get("network_id")?.as_str()?;
                instance["instance_id"] = format!("{}|{network}", service.id).into();
                Some(instance)
            });
            let instances: Vec<Value> = instances.take(FOUND).collect();
            let whole = known.entry(protocol.clone()).or_insert(told);
            if let Some(list) = whole["instances"].as_array_mut() {
                list.extend(instances);
            }
        }
        Ok(known)
    }

    /// Looks up in another network by what that network calls fields.
    pub async fn look_up(
        &self,
        lookup: Lookup,
        protocol: &str,
        fields: &BTreeMap<String, String>,
    ) -> Result<Vec<Value>, Error> {
        let leads = |service: &&Arc<AppService>| service.protocols.iter().any(|it| it == protocol);
        let mut services = self.ground.app_services.all().iter().filter(leads).peekable();
        if services.peek().is_none() {
            return Err(Error::NotFound(format!("nothing here leads to {protocol:?}")));
        }
        let word = lookup.word();
        let path = format!(
            "/_matrix/app/v1/thirdparty/{word}/{}{}",
            escaped(protocol),
            query(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())))
        );
        self.gather_answers(lookup, services.cloned().collect(), &path).await
    }

    /// Looks up what an alias or a user of this node stands for in other networks.
    pub async fn look_back(&self, lookup: Lookup, name: &str) -> Result<Vec<Value>, Error> {
        let owns = |service: &&Arc<AppService>| match lookup {
            Lookup::Location => {
                RoomAliasId::parse(name).is_ok_and(|alias| service.owns_alias(&alias))
            }
            Lookup::User => UserId::parse(name).is_ok_and(|user_id| service.owns(&user_id)),
        };
        let services = self.ground.app_services.all().iter().filter(owns).cloned().collect();
        let path = format!(
            "/_matrix/app/v1/thirdparty/{}{}",
            lookup.word(),
            query([(lookup.name(), name)].into_iter())
        );
        self.gather_answers(lookup, services, &path).await
    }

    async fn gather_answers(
        &self,
        lookup: Lookup,
        services: Vec<Arc<AppService>>,
        path: &str,
    ) -> Result<Vec<Value>, Error> {
        let asked = services.iter().map(|service| self.question(service, path));
        let mut found = Vec::new();
        for answer in join_all(asked).await {
            let list = answer.ok().filter(Reached::is_success).and_then(|it| it.json());
            let Some(Value::Array(list)) = list else { continue };
            found.extend(list.into_iter().filter(|entry| is_entry(lookup, entry)));
        }
        if found.is_empty() {
            return Err(Error::NotFound("nothing was found in other networks".to_owned()));
        }
        found.truncate(FOUND);
        Ok(found)
    }

    /// Calls a service by its own wish; gives how long it took (application service API, pinging).
    pub async fn ping(&self, id: &str, transaction_id: Option<&str>) -> Result<Duration, Error> {
        let service = self.get(id)?.clone();
        if service.url.is_none() {
            return Err(Error::NoServiceUrl);
        }
        let mut body = json!({});
        if let Some(transaction_id) = transaction_id {
            body["transaction_id"] = transaction_id.into();
        }
        let begun = self.ground.clock.instant();
        let body = Some(body.to_string().into_bytes());
        let called = self.call(&service, Method::POST, "/_matrix/app/v1/ping", body, ANSWER).await;
        let reached = called.map_err(|error| match error {
            Unreached::TooLate => Error::ServiceTimeout,
            other => Error::ServiceConnection(other.to_string()),
        })?;
        if !reached.is_success() {
            let body = String::from_utf8_lossy(&reached.body);
            let body = body.chars().take(SHOWN_BYTES).collect();
            return Err(Error::ServiceStatus { status: reached.status, body });
        }
        // It is there again: what waits for it need wait no longer.
        if let Some(answered) = self.answers.get(&service.id) {
            answered.notify_waiters();
        }
        Ok(self.ground.clock.instant().saturating_duration_since(begun))
    }

    /// Comes when a service that was away has answered elsewhere.
    pub(super) async fn answered(&self, service: &str) {
        let answers = self.answers.get(service).cloned().unwrap_or_else(|| Arc::new(Notify::new()));
        answers.notified().await;
    }

    async fn object_of(&self, service: &AppService, path: &str) -> Option<Map<String, Value>> {
        let reached = self.question(service, path).await.ok().filter(Reached::is_success)?;
        match reached.json()? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    async fn question(&self, service: &AppService, path: &str) -> Result<Reached, Unreached> {
        let turn = self.questions.acquire().await;
        let reached = self.call(service, Method::GET, path, None, ANSWER).await;
        drop(turn);
        reached
    }

    pub(super) async fn call(
        &self,
        service: &AppService,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        wait: Duration,
    ) -> Result<Reached, Unreached> {
        let Some(base) = &service.url else { return Err(Unreached::Nowhere) };
        let proof = Proof::Bearer(service.node_token());
        self.line.call(method, &format!("{base}{path}"), proof, body, wait).await
    }

    fn misses(&self) -> std::sync::MutexGuard<'_, Misses> {
        self.misses.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What a service says of a network, if it has the form that clients are promised.
fn protocol_of(told: Map<String, Value>) -> Option<Value> {
    let is_list = |name: &str| told.get(name).is_some_and(Value::is_array);
    let whole = is_list("user_fields")
        && is_list("location_fields")
        && is_list("instances")
        && told.get("field_types").is_some_and(Value::is_object)
        && told.get("icon").is_some_and(Value::is_string);
    whole.then_some(Value::Object(told))
}

/// Whether an answer names what it found, where, and by which fields.
fn is_entry(lookup: Lookup, entry: &Value) -> bool {
    entry[lookup.name()].is_string() && entry["protocol"].is_string() && entry["fields"].is_object()
}

fn query<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> =
        pairs.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}
