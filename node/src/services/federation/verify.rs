//! Events of strangers: read, and believed only as far as their signatures go.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use wayside_federation::{
    event::{Event, EventError},
    key::PublicKeys,
    version::RoomVersion,
};

use super::{super::servers::Wanted, Error, Federation, workers::on_each};

/// The field of a member event that names who vouches for somebody.
pub(super) const VOUCHER: &str = "join_authorised_via_users_server";

/// How long the keys of all servers that have signed some events are waited for together: somebody may
/// name any number of servers that never answer.
const PATIENCE: Duration = Duration::from_mins(3);
/// Signatures of one server that are taken over from its copy of an event.
const SIGNATURES: usize = 10;

impl Federation {
    /// Reads events of a room and checks what they are signed with (server-server API, checks 1 to 3);
    /// each stands in its place or says why it does not.
    pub(super) async fn verified(
        &self,
        version: RoomVersion,
        texts: Vec<Box<RawValue>>,
    ) -> Result<Vec<Result<Event, String>>, Error> {
        let read = move |text: Box<RawValue>| {
            Event::receive(version, text.get()).map_err(|error| error.to_string())
        };
        let read = on_each(texts, read).await?;
        self.believed(version, read).await
    }

    /// The same for events that were read.
    pub(super) async fn believed(
        &self,
        version: RoomVersion,
        read: Vec<Result<Event, String>>,
    ) -> Result<Vec<Result<Event, String>>, Error> {
        let signed = |event: Result<Event, String>| event.map(Signed::read);
        let signed = on_each(read, signed).await?;
        let mut wanted = Wanted::new();
        for signed in signed.iter().flatten() {
            let at = signed.event.origin_server_ts();
            for (server, ids) in &signed.by {
                let of_server = wanted.entry(server.clone()).or_default();
                // What is good for the latest is good for those before it.
                let latest = of_server.entry(ids.clone()).or_insert(at);
                *latest = at.max(*latest);
            }
        }
        let own = self.own_keys()?;
        wanted.remove(&self.ground.server_name);
        let known = Arc::new(self.servers.keyring(wanted, PATIENCE).await?);
        let verify = move |Signed { event, by }: Signed| {
            let mut keys = own.clone();
            for (server, _) in by {
                keys.extend(&known.at(&server, event.origin_server_ts()));
            }
            event.verify(version, &keys).map_err(|error| error.to_string())
        };
        on_each(signed, move |event: Result<Signed, String>| event.and_then(&verify)).await
    }

    /// The same for one event.
    pub(super) async fn believe(
        &self,
        version: RoomVersion,
        event: Event,
    ) -> Result<Result<Event, String>, Error> {
        let believed = self.believed(version, vec![Ok(event)]).await?.pop();
        Ok(believed.unwrap_or_else(|| Err("it is no event".to_owned())))
    }

    /// The keys by which this node signs, and signed.
    fn own_keys(&self) -> Result<PublicKeys, Error> {
        let (server, key) = (&self.ground.server_name, &self.ground.server_key);
        let now = [(key.key_id().to_string(), key.public_key_base64())];
        let old = self.ground.old_keys.iter().map(|(id, key, _)| (id.clone(), key.clone()));
        let mut keys = PublicKeys::new();
        for (id, public) in now.into_iter().chain(old) {
            keys.insert(server, &id, &public).map_err(Error::internal)?;
        }
        Ok(keys)
    }
}

/// An event, and the servers that have to have signed it with the ids of the keys with which they say to
/// have: of its sender, and of whoever vouches for them.
struct Signed {
    event: Event,
    by: Vec<(OwnedServerName, Vec<String>)>,
}

impl Signed {
    fn read(event: Event) -> Self {
        let mut signed = signed_by(&event);
        let mut by = Vec::new();
        let sender = event.sender().server_name().to_owned();
        for server in [Some(sender), voucher_of(&event)].into_iter().flatten() {
            if let Some(ids) = signed.remove(&server) {
                by.push((server, ids));
            }
        }
        Self { event, by }
    }
}

/// The ids of the keys with which an event says that it is signed, by server.
fn signed_by(event: &Event) -> BTreeMap<OwnedServerName, Vec<String>> {
    let signatures = signatures(event).into_iter();
    signatures.map(|(name, keys)| (name, keys.into_keys().collect())).collect()
}

/// What an event carries as signatures, by server and key.
fn signatures(event: &Event) -> BTreeMap<OwnedServerName, BTreeMap<String, Value>> {
    #[derive(Deserialize)]
    struct Signed {
        #[serde(default)]
        signatures: BTreeMap<OwnedServerName, BTreeMap<String, Value>>,
    }
    let signed: Option<Signed> = serde_json::from_str(event.json()).ok();
    signed.map(|signed| signed.signatures).unwrap_or_default()
}

/// The ids of the keys with which an event says that a server has signed it.
pub(super) fn key_ids(event: &Event, server: &ServerName) -> Vec<String> {
    signed_by(event).remove(server).unwrap_or_default()
}

/// An event with what a server has signed of another copy of it.
pub(super) fn with_signatures_of(
    version: RoomVersion,
    event: Event,
    copy: &Event,
    server: &ServerName,
) -> Result<Event, EventError> {
    let theirs = signatures(copy).remove(server).unwrap_or_default();
    let texts = theirs.iter().filter_map(|(id, it)| Some((id, it.as_str()?)));
    let mut texts = texts.take(SIGNATURES);
    texts.try_fold(event, |event, (id, text)| event.with_signature(version, server, id, text))
}

/// The server of whoever vouches for a joining.
pub(super) fn voucher_of(event: &Event) -> Option<OwnedServerName> {
    let content: Value = serde_json::from_str(event.content().get()).ok()?;
    let user_id = content.get(VOUCHER)?.as_str()?;
    Some(ruma::UserId::parse(user_id).ok()?.server_name().to_owned())
}
