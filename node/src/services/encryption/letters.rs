//! Messages from device to device, each kept until its device has fetched it.

use std::collections::{BTreeMap, HashMap};

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, UserId};
use serde::Serialize;
use serde_json::value::RawValue;
use wayside_specs::limits;

use super::{Encryption, Error};
use crate::{
    services::rooms::Request,
    store::{StoreError, accounts, edus, letters},
};

/// A message to a device of somebody, or to all of them.
pub struct Addressed {
    /// To whom.
    pub user_id: OwnedUserId,
    /// To which device; all without one.
    pub device_id: Option<OwnedDeviceId>,
    /// What it says.
    pub content: Box<RawValue>,
}

/// Messages to devices of one server (server-server API, `m.direct_to_device`).
#[derive(Serialize)]
struct Content<'c> {
    sender: &'c UserId,
    #[serde(rename = "type")]
    kind: &'c str,
    message_id: String,
    messages: BTreeMap<&'c UserId, BTreeMap<&'c str, &'c RawValue>>,
}

/// Bytes of messages that go to a server as one unit, unless one alone has more: some servers take no
/// larger ones.
const PARCEL_BYTES: usize = 50_000;

impl Encryption {
    /// Leaves messages for devices; a repeated request leaves none a second time. Devices that do
    /// not exist are passed over, because whoever sends knows them only from a list.
    pub async fn send(
        &self,
        kind: &str,
        messages: Vec<Addressed>,
        request: Request,
    ) -> Result<(), Error> {
        if kind.len() > limits::ID_BYTES {
            return Err(Error::TooLarge("a type has at most 255 bytes".to_owned()));
        }
        if messages.len() > limits::LETTERS_AT_ONCE {
            let most = limits::LETTERS_AT_ONCE;
            return Err(Error::TooLarge(format!("send at most {most} messages at once")));
        }
        for message in &messages {
            let text = message.content.get();
            if !text.trim_start().starts_with('{') {
                return Err(Error::BadJson("the content of a message is an object".to_owned()));
            }
            if text.len() > limits::EVENT_BYTES {
                return Err(Error::TooLarge("a message has at most 65535 bytes".to_owned()));
            }
        }
        let (messages, others): (Vec<Addressed>, Vec<Addressed>) =
            messages.into_iter().partition(|it| self.ground.is_local(&it.user_id));
        let parcels = self.parcels(&request.user_id, kind, &others)?;
        let now_ms = self.ground.clock.now_ms();
        let kind = kind.to_owned();
        let written = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let Request { user_id, device_id, scope, txn_id, .. } = &request;
                if !tx.is_first(user_id, device_id, scope, txn_id, now_ms).await? {
                    return Ok(0);
                }
                let mut forgotten = 0;
                for (server, content) in &parcels {
                    forgotten += tx.send_letters(server, user_id, content).await?;
                }
                let mut bytes = 0;
                for Addressed { user_id: to, device_id, content } in &messages {
                    let devices = match device_id {
                        Some(one) if accounts::has_device(tx, to, one.as_str()).await? => {
                            vec![one.clone()]
                        }
                        Some(_) => Vec::new(),
                        None => {
                            let all = accounts::devices(tx, to).await?;
                            all.into_iter().map(|device| device.device_id).collect()
                        }
                    };
                    bytes += devices.len() * content.get().len();
                    if bytes > limits::LETTER_BYTES_AT_ONCE {
                        let most = limits::LETTER_BYTES_AT_ONCE;
                        let why = format!("send at most {most} bytes at once, to all devices");
                        return Err(Error::TooLarge(why));
                    }
                    for device in devices {
                        tx.add_letter(to, &device, user_id, &kind, content.get()).await?;
                    }
                }
                Ok(forgotten)
            })
        });
        match written.await? {
            0 => {}
            forgotten => {
                tracing::warn!(
                    forgotten,
                    "messages that waited for a server gave way to newer ones"
                );
            }
        }
        Ok(())
    }

    /// Messages to people of other servers as those are told of them: each parcel has an id of its own,
    /// by which it is known when it comes again, and is not larger than others like it.
    fn parcels(
        &self,
        sender: &UserId,
        kind: &str,
        messages: &[Addressed],
    ) -> Result<Vec<(OwnedServerName, String)>, Error> {
        let mut by_server: BTreeMap<&ServerName, Vec<Content<'_>>> = BTreeMap::new();
        let mut sizes: HashMap<&ServerName, usize> = HashMap::new();
        for Addressed { user_id, device_id, content } in messages {
            let server = user_id.server_name();
            if !self.servers.meets(server) {
                continue;
            }
            let parcels = by_server.entry(server).or_default();
            let size = sizes.entry(server).or_default();
            let more = content.get().len() + user_id.as_str().len() + limits::TOKEN_BYTES;
            if parcels.is_empty() || *size + more > PARCEL_BYTES {
                *size = 0;
                let message_id = hex::encode(self.ground.clock.random::<16>());
                let messages = BTreeMap::new();
                parcels.push(Content { sender, kind, message_id, messages });
            }
            *size += more;
            if let Some(parcel) = parcels.last_mut() {
                let device = device_id.as_ref().map_or("*", |id| id.as_str());
                parcel.messages.entry(user_id).or_default().insert(device, content);
            }
        }
        let mut all = Vec::new();
        for (server, parcels) in by_server {
            for parcel in parcels {
                let text = serde_json::to_string(&parcel).map_err(Error::internal)?;
                all.push((server.to_owned(), text));
            }
        }
        Ok(all)
    }

    /// Forgets the oldest messages of devices that have not fetched theirs for very long; to be
    /// called now and then.
    pub async fn forget_letters(&self) {
        if let Err(error) = self.forget_overfull().await {
            tracing::warn!(%error, "forgetting messages between devices failed; it is tried again");
        }
    }

    async fn forget_overfull(&self) -> Result<(), StoreError> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let of_sender = (limits::LETTERS_OF_SENDER, limits::LETTER_BYTES_OF_SENDER);
        let found = letters::overfull(&mut snapshot, of_sender, limits::LETTERS_PER_DEVICE).await?;
        drop(snapshot);
        self.forget_ids().await?;
        for over in found {
            let forget = self.ground.store.write::<(), StoreError>(move |tx| {
                Box::pin(async move { tx.forget_overfull(&over).await })
            });
            forget.await?;
        }
        Ok(())
    }

    /// Forgets the ids of messages that no other server sends again.
    async fn forget_ids(&self) -> Result<(), StoreError> {
        let before_ms = self.ground.clock.now_ms() - limits::TRANSACTION_MS;
        let mut snapshot = self.ground.store.snapshot().await?;
        let oldest_ms = edus::oldest_letter(&mut snapshot).await?;
        drop(snapshot);
        if oldest_ms.is_none_or(|oldest_ms| oldest_ms >= before_ms) {
            return Ok(());
        }
        let store = &self.ground.store;
        store.forget(move |tx| Box::pin(async move { tx.forget_letter_ids(before_ms).await })).await
    }
}
