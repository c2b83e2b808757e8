//! Keys of devices: publishing them, asking for others', and being given one for a first message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde_json::value::RawValue;
use wayside_federation::device::{Record, Usage, check_one_time_key};
use wayside_specs::limits;

use super::{Claimed, Encryption, Error, KeysOfPeople, raw, unreachable_server};
use crate::{
    services::accounts::Session,
    store::{
        Tx, accounts,
        keys::{self, KeyCounts, PersonRecord, Signature},
    },
};

/// A key that is given away once, or when no other is left.
pub struct NewKey {
    /// For which algorithm.
    pub algorithm: String,
    /// What the device calls it.
    pub key_id: String,
    /// The key as the device wrote it.
    pub body: Box<RawValue>,
}

/// What a device publishes.
pub struct Upload {
    /// Its own keys.
    pub device: Option<Box<RawValue>>,
    /// Keys to be given away once each.
    pub one_time: Vec<NewKey>,
    /// Keys for when those are used up.
    pub fallback: Vec<NewKey>,
}

impl Encryption {
    /// Publishes keys of a device, and gives how many are left to be given away.
    pub async fn publish(&self, session: &Session, upload: Upload) -> Result<KeyCounts, Error> {
        let (user_id, device_id) = (session.user_id.clone(), session.device_id.clone());
        let record = match &upload.device {
            Some(json) => Some(Record::read_device(json.get(), &user_id, device_id.as_str())?),
            None => None,
        };
        upload.one_time.iter().chain(&upload.fallback).try_for_each(check_key)?;
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    // A device that is being signed out publishes nothing that would outlive it.
                    if !accounts::is_signed_in(tx, &user_id, device_id.as_str()).await? {
                        return Err(Error::UnknownToken);
                    }
                    if let Some(record) = record {
                        set_record(tx, &user_id, &device_id, &record).await?;
                    }
                    for key in &upload.one_time {
                        add_key(tx, &user_id, &device_id, key).await?;
                    }
                    for NewKey { algorithm, key_id, body } in &upload.fallback {
                        let body = body.get();
                        tx.set_fallback_key(&user_id, &device_id, algorithm, key_id, body).await?;
                    }
                    Ok(keys::counts(tx, &user_id, &device_id).await?)
                })
            })
            .await
    }

    /// The keys of people and of those of their devices that are named, or of all.
    pub async fn keys_of(
        &self,
        asker: &UserId,
        wanted: &BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> Result<KeysOfPeople, Error> {
        if wanted.len() > limits::KEYS_QUERY_PEOPLE {
            let most = limits::KEYS_QUERY_PEOPLE;
            return Err(Error::TooLarge(format!("ask for the keys of at most {most} people")));
        }
        let mut answer = KeysOfPeople::default();
        let (own, others): (Vec<&UserId>, Vec<&UserId>) =
            wanted.keys().map(AsRef::as_ref).partition(|user| self.ground.is_local(user));
        for user in others {
            answer.failures.insert(user.server_name().to_owned(), unreachable_server());
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let devices = keys::device_records(&mut snapshot, &own).await?;
        let people = keys::person_records(&mut snapshot, &own).await?;
        let signatures = keys::signatures(&mut snapshot, &own, asker).await?;
        drop(snapshot);
        let signatures = by_key(&signatures);
        for user in own {
            answer.device_keys.insert(user.to_owned(), BTreeMap::new());
        }
        for device in devices {
            let named = &wanted[&device.user_id];
            if !named.is_empty() && !named.contains(&device.device_id) {
                continue;
            }
            let record = Record::read(&device.record, &device.user_id).map_err(Error::internal)?;
            let more = signatures.get(&(&*device.user_id, device.device_id.as_str()));
            let record = record.signed(more.into_iter().flatten().copied());
            let json = record.with_device_name(device.name.as_deref()).json();
            let of_person = answer.device_keys.entry(device.user_id).or_default();
            of_person.insert(device.device_id, raw(json)?);
        }
        for PersonRecord { user_id, usage, public_key, record } in people {
            let record = Record::read(&record, &user_id).map_err(Error::internal)?;
            let more = signatures.get(&(&*user_id, public_key.as_str()));
            let json = raw(record.signed(more.into_iter().flatten().copied()).json())?;
            match usage {
                Usage::Master => drop(answer.master_keys.insert(user_id, json)),
                Usage::SelfSigning => drop(answer.self_signing_keys.insert(user_id, json)),
                // Whom somebody has verified is theirs to know.
                Usage::UserSigning if user_id == asker => {
                    drop(answer.user_signing_keys.insert(user_id, json));
                }
                Usage::UserSigning => {}
            }
        }
        Ok(answer)
    }

    /// Gives a key of each device away, for a first message to it.
    pub async fn claim(
        &self,
        wanted: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>,
    ) -> Result<Claimed, Error> {
        let (own, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            wanted.into_iter().partition(|(user, _)| self.ground.is_local(user));
        let others: BTreeSet<_> =
            others.into_keys().map(|user| user.server_name().to_owned()).collect();
        let one_time_keys = self
            .ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut given: BTreeMap<OwnedUserId, BTreeMap<_, _>> = BTreeMap::new();
                    for (user_id, devices) in own {
                        for (device_id, algorithm) in devices {
                            let key = tx.claim_key(&user_id, &device_id, &algorithm).await?;
                            let Some((key_id, body)) = key else { continue };
                            let named = format!("{algorithm}:{key_id}");
                            let key = BTreeMap::from([(named, raw(body)?)]);
                            given.entry(user_id.clone()).or_default().insert(device_id, key);
                        }
                    }
                    Ok::<_, Error>(given)
                })
            })
            .await?;
        let failures = others.into_iter().map(|it| (it, unreachable_server())).collect();
        Ok(Claimed { one_time_keys, failures })
    }
}

/// Signatures by the key that they are over.
type ByKey<'s> = HashMap<(&'s UserId, &'s str), Vec<(&'s UserId, &'s str, &'s str)>>;

fn by_key(signatures: &[Signature]) -> ByKey<'_> {
    let mut found: ByKey<'_> = HashMap::new();
    for made in signatures {
        let over = (&*made.user_id, made.key_name.as_str());
        let by = (&*made.signer, made.signer_key.as_str(), made.signature.as_str());
        found.entry(over).or_default().push(by);
    }
    found
}

/// The form of a key that is given away: a text, or an object with signatures.
fn check_key(key: &NewKey) -> Result<(), Error> {
    let text = key.body.get();
    check_one_time_key(text)?;
    if text.len() > limits::KEY_BYTES {
        return Err(Error::TooLarge(format!("a key has at most {} bytes", limits::KEY_BYTES)));
    }
    let named = |name: &str| !name.is_empty() && name.len() <= limits::TOKEN_BYTES;
    if named(&key.algorithm) && named(&key.key_id) {
        Ok(())
    } else {
        Err(Error::Invalid("a key is named by an algorithm and an id of 1 to 255 bytes".to_owned()))
    }
}

async fn set_record(
    tx: &mut Tx,
    user_id: &UserId,
    device_id: &DeviceId,
    record: &Record,
) -> Result<(), Error> {
    let json = record.json();
    if let Some(before) = keys::device_record(tx, user_id, device_id).await? {
        if before == json {
            return Ok(());
        }
        let before = Record::read(&before, user_id).map_err(Error::internal)?;
        if !before.says_the_same(record) {
            tx.forget_signatures(user_id, device_id.as_str()).await?;
        }
    }
    tx.set_device_record(user_id, device_id, &json).await?;
    Ok(tx.note_key_change(user_id, None).await?)
}

async fn add_key(
    tx: &mut Tx,
    user_id: &UserId,
    device_id: &DeviceId,
    key: &NewKey,
) -> Result<(), Error> {
    let NewKey { algorithm, key_id, body } = key;
    if let Some(before) = keys::one_time_key(tx, user_id, device_id, algorithm, key_id).await? {
        let same = |one: &str, other: &str| -> Option<bool> {
            let value = serde_json::from_str::<serde_json::Value>(one).ok()?;
            Some(value == serde_json::from_str::<serde_json::Value>(other).ok()?)
        };
        if same(&before, body.get()) == Some(true) {
            return Ok(());
        }
        let why = format!("the one-time key {algorithm}:{key_id} is there already, and another");
        return Err(Error::Invalid(why));
    }
    if !keys::has_room_for_keys(tx, user_id, device_id).await? {
        let most = limits::ONE_TIME_KEYS_PER_DEVICE;
        return Err(Error::TooLarge(format!("a device has at most {most} one-time keys")));
    }
    Ok(tx.add_one_time_key(user_id, device_id, algorithm, key_id, body.get()).await?)
}
