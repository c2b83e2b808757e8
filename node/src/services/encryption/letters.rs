//! Messages from device to device, each kept until its device has fetched it.

use ruma::{OwnedDeviceId, OwnedUserId};
use serde_json::value::RawValue;
use wayside_specs::limits;

use super::{Encryption, Error};
use crate::{
    services::rooms::Request,
    store::{StoreError, accounts, letters},
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
        // Those on other servers cannot be reached from here.
        let messages: Vec<Addressed> =
            messages.into_iter().filter(|it| self.ground.is_local(&it.user_id)).collect();
        let now_ms = self.ground.clock.now_ms();
        let kind = kind.to_owned();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let Request { user_id, device_id, scope, txn_id, .. } = &request;
                    if !tx.is_first(user_id, device_id, scope, txn_id, now_ms).await? {
                        return Ok(());
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
                    Ok(())
                })
            })
            .await
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
        for over in found {
            let forget = self.ground.store.write::<(), StoreError>(move |tx| {
                Box::pin(async move { tx.forget_overfull(&over).await })
            });
            forget.await?;
        }
        Ok(())
    }
}
