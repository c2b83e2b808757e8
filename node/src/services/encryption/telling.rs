//! The devices and keys of people here as other servers are told of them (server-server API, device management).

use std::collections::BTreeMap;

use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use wayside_federation::device::{Record, Usage};

use super::{Encryption, Error, raw};
use crate::store::{
    Reads, accounts,
    edus::{self, About},
    keys::{self, DeviceRecord, Signature},
};

/// All devices of somebody that have published keys (server-server API, `GET /user/devices/{userId}`).
#[derive(Debug, Serialize)]
pub struct DevicesOf {
    user_id: OwnedUserId,
    stream_id: i64,
    devices: Vec<DeviceOf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_key: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    self_signing_key: Option<Box<RawValue>>,
}

#[derive(Debug, Serialize)]
struct DeviceOf {
    device_id: OwnedDeviceId,
    keys: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_display_name: Option<String>,
}

impl Encryption {
    /// The devices of somebody here, for another server.
    pub async fn devices_of(&self, user_id: &UserId) -> Result<DevicesOf, Error> {
        let unknown = || Error::NotFound(format!("{user_id} does not live here"));
        let mut snapshot = self.ground.store.snapshot().await?;
        if !self.ground.is_local(user_id)
            || accounts::account(&mut snapshot, user_id).await?.is_none()
        {
            return Err(unknown());
        }
        let stream_id = edus::device_stream(&mut snapshot, user_id).await?;
        let signatures = keys::signatures(&mut snapshot, &[user_id], None).await?;
        let mut devices = Vec::new();
        for device in keys::device_records(&mut snapshot, &[user_id]).await? {
            let keys = signed(&device, &signatures)?;
            let DeviceRecord { device_id, name, .. } = device;
            devices.push(DeviceOf { device_id, keys, device_display_name: name });
        }
        let mut people = person_keys(&mut snapshot, user_id).await?;
        let [master_key, self_signing_key] =
            [Usage::Master, Usage::SelfSigning].map(|usage| people.remove(&usage));
        let user_id = user_id.to_owned();
        Ok(DevicesOf { user_id, stream_id, devices, master_key, self_signing_key })
    }

    /// What is told of something that waits, as an ephemeral data unit.
    pub(in crate::services) async fn told_of(
        &self,
        from: &mut impl Reads,
        position: i64,
        about: About,
    ) -> Result<String, Error> {
        let edu = |kind: &str, content: Value| {
            json!({ "edu_type": kind, "content": content }).to_string()
        };
        Ok(match about {
            About::Letters(content) => {
                format!("{{\"content\":{content},\"edu_type\":\"m.direct_to_device\"}}")
            }
            About::Device(user_id, device_id, before) => {
                let mut content = json!({
                    "user_id": user_id, "device_id": device_id, "stream_id": position,
                    "prev_id": [before],
                });
                let all = keys::device_records(from, &[&user_id]).await?;
                match all.into_iter().find(|it| it.device_id == device_id) {
                    Some(device) => {
                        let signatures = keys::signatures(from, &[&user_id], None).await?;
                        content["keys"] = value(&signed(&device, &signatures)?)?;
                        if let Some(name) = device.name {
                            content["device_display_name"] = name.into();
                        }
                    }
                    None => content["deleted"] = true.into(),
                }
                edu("m.device_list_update", content)
            }
            About::Person(user_id) => {
                let mut content = json!({ "user_id": user_id });
                let people = person_keys(from, &user_id).await?;
                for (usage, name) in
                    [(Usage::Master, "master_key"), (Usage::SelfSigning, "self_signing_key")]
                {
                    if let Some(key) = people.get(&usage) {
                        content[name] = value(key)?;
                    }
                }
                edu("m.signing_key_update", content)
            }
        })
    }
}

fn value(json: &RawValue) -> Result<Value, Error> {
    serde_json::from_str(json.get()).map_err(Error::internal)
}

/// The keys of a device with the signatures that came after them.
fn signed(device: &DeviceRecord, signatures: &[Signature]) -> Result<Box<RawValue>, Error> {
    let record = Record::read(&device.record, &device.user_id).map_err(Error::internal)?;
    let over = signatures.iter().filter(|it| it.key_name == device.device_id.as_str());
    raw(record.signed(over.map(by)).json())
}

/// The keys of a person with the signatures that came after them.
async fn person_keys(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<BTreeMap<Usage, Box<RawValue>>, Error> {
    let signatures = keys::signatures(from, &[user_id], None).await?;
    let mut found = BTreeMap::new();
    for key in keys::person_records(from, &[user_id]).await? {
        let record = Record::read(&key.record, user_id).map_err(Error::internal)?;
        let over = signatures.iter().filter(|it| it.key_name == key.public_key);
        found.insert(key.usage, raw(record.signed(over.map(by)).json())?);
    }
    Ok(found)
}

fn by(made: &Signature) -> (&UserId, &str, &str) {
    (&made.signer, &made.signer_key, &made.signature)
}
