//! Events of strangers: read, and believed only as far as their signatures go.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use wayside_federation::{event::Event, key::PublicKeys, version::RoomVersion};

use super::{Error, Federation};

/// The field of a member event that names who vouches for somebody.
pub(super) const VOUCHER: &str = "join_authorised_via_users_server";

/// Servers whose keys are looked up at the same time.
const SERVERS: usize = 32;
/// Events that are not worth another thread.
const SHARE: usize = 32;

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
        let read = beside(texts, read).await?;
        self.believed(version, read).await
    }

    /// The same for events that were read.
    pub(super) async fn believed(
        &self,
        version: RoomVersion,
        read: Vec<Result<Event, String>>,
    ) -> Result<Vec<Result<Event, String>>, Error> {
        self.look_up_keys(&read).await;
        let mut keyed = Vec::with_capacity(read.len());
        for event in read {
            keyed.push(match event {
                Ok(event) => {
                    let keys = self.keys_of(&event).await?;
                    Ok((event, keys))
                }
                Err(why) => Err(why),
            });
        }
        let verify = move |(event, keys): (Event, PublicKeys)| {
            event.verify(version, &keys).map_err(|error| error.to_string())
        };
        beside(keyed, move |event: Result<_, String>| event.and_then(verify)).await
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

    /// Has the keys of all servers that have signed any of these events looked up, many at a time: one by
    /// one, those that do not answer would hold up the others.
    async fn look_up_keys(&self, read: &[Result<Event, String>]) {
        let mut wanted: BTreeMap<OwnedServerName, &Event> = BTreeMap::new();
        for event in read.iter().flatten() {
            let sender = event.sender().server_name().to_owned();
            for server in [Some(sender), voucher_of(event)].into_iter().flatten() {
                wanted.entry(server).or_insert(event);
            }
        }
        wanted.remove(&self.ground.server_name);
        let look_up = async |(server, event): (OwnedServerName, &Event)| {
            let (ids, at) = (key_ids(event, &server), event.origin_server_ts());
            // What fails here fails again where the key is needed, and is told there.
            let _looked_up = self.servers.event_keys(&server, &ids, at).await;
        };
        stream::iter(wanted).for_each_concurrent(SERVERS, look_up).await;
    }

    /// The keys by which an event is checked: of its sender's server, and of whoever vouches for it.
    async fn keys_of(&self, event: &Event) -> Result<PublicKeys, Error> {
        let signed = signed_by(event);
        let mut keys = PublicKeys::new();
        let mut wanted: Vec<&ServerName> = vec![event.sender().server_name()];
        let voucher = voucher_of(event);
        wanted.extend(voucher.as_deref());
        for server in wanted {
            if *server == self.ground.server_name {
                let key = &self.ground.server_key;
                let own = [(key.key_id().to_string(), key.public_key_base64())];
                let old = self.ground.old_keys.iter().map(|(id, key, _)| (id.clone(), key.clone()));
                for (id, public) in own.into_iter().chain(old) {
                    keys.insert(server, &id, &public).map_err(Error::internal)?;
                }
                continue;
            }
            let Some(ids) = signed.get(server) else { continue };
            let found = self.servers.event_keys(server, ids, event.origin_server_ts()).await?;
            keys.extend(&found);
        }
        Ok(keys)
    }
}

/// Works on each of them beside the threads that answer people, for it costs as much as all else
/// together; on many of them with all cores but one, which is left to whoever speaks meanwhile.
async fn beside<T, U>(
    of: Vec<T>,
    work: impl Fn(T) -> U + Clone + Send + 'static,
) -> Result<Vec<U>, Error>
where
    T: Send + 'static,
    U: Send + 'static,
{
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = of.len().div_ceil(cores.saturating_sub(1).max(1)).max(SHARE);
    let (mut left, mut works) = (of.into_iter().peekable(), Vec::new());
    while left.peek().is_some() {
        let (part, work): (Vec<T>, _) = (left.by_ref().take(share).collect(), work.clone());
        let all = move || part.into_iter().map(work).collect::<Vec<U>>();
        works.push(tokio::task::spawn_blocking(all));
    }
    let mut done = Vec::new();
    for work in works {
        done.extend(work.await.map_err(Error::internal)?);
    }
    Ok(done)
}

/// The ids of the keys with which an event says that it is signed, by server.
fn signed_by(event: &Event) -> BTreeMap<OwnedServerName, Vec<String>> {
    #[derive(Deserialize)]
    struct Signed {
        #[serde(default)]
        signatures: BTreeMap<OwnedServerName, BTreeMap<String, Value>>,
    }
    let signed: Option<Signed> = serde_json::from_str(event.json()).ok();
    let signatures = signed.map(|signed| signed.signatures).unwrap_or_default();
    signatures.into_iter().map(|(name, keys)| (name, keys.into_keys().collect())).collect()
}

/// The ids of the keys with which an event says that a server has signed it.
pub(super) fn key_ids(event: &Event, server: &ServerName) -> Vec<String> {
    signed_by(event).remove(server).unwrap_or_default()
}

/// The server of whoever vouches for a joining.
pub(super) fn voucher_of(event: &Event) -> Option<OwnedServerName> {
    let content: Value = serde_json::from_str(event.content().get()).ok()?;
    let user_id = content.get(VOUCHER)?.as_str()?;
    Some(ruma::UserId::parse(user_id).ok()?.server_name().to_owned())
}
