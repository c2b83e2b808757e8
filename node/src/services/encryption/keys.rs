//! Keys of devices: publishing them, asking for others', and being given one for a first message.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde_json::value::RawValue;
use wayside_federation::device::{Record, Usage, check_one_time_key};
use wayside_specs::limits;

use super::{Claimed, Claims, Encryption, Error, Given, KeysOfPeople, raw};
use crate::{
    services::accounts::Session,
    store::{
        Tx, accounts,
        keys::{self, DeviceRecord, KeyCounts, PersonRecord, Signature},
        remote, rooms,
    },
};

/// The people whose keys are asked for, each with the devices that are meant, or none for all.
pub type Wanted = BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>;

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

    /// The keys of people and of those of their devices that are named, or of all. Other servers are
    /// asked for those of theirs that are not kept here, and have until then to answer.
    pub async fn keys_of(
        &self,
        asker: &UserId,
        wanted: &Wanted,
        wait: Duration,
    ) -> Result<KeysOfPeople, Error> {
        check_number(wanted)?;
        let (own, others): (Vec<&UserId>, Vec<&UserId>) =
            wanted.keys().map(AsRef::as_ref).partition(|user| self.ground.is_local(user));
        let mut snapshot = self.ground.store.snapshot().await?;
        let kept = remote::believed(&mut snapshot, asker, &others).await?;
        let (kept, away): (Vec<&UserId>, Vec<&UserId>) =
            others.iter().partition(|user| kept.contains(**user));
        let near = rooms::who_share_a_room(&mut snapshot, asker, &away).await?;
        let mut devices = keys::device_records(&mut snapshot, &own).await?;
        devices.extend(remote::devices(&mut snapshot, &kept).await?);
        let known: Vec<&UserId> = own.iter().chain(&kept).copied().collect();
        let mut people = keys::person_records(&mut snapshot, &known).await?;
        drop(snapshot);
        let mut answer = KeysOfPeople::default();
        for user in &known {
            answer.device_keys.insert((*user).to_owned(), BTreeMap::new());
        }
        if !away.is_empty() {
            let found = self.ask_keys(away, &near, wait).await?;
            for told in found.told {
                answer.device_keys.insert(told.user_id, BTreeMap::new());
                devices.extend(told.devices);
                people.extend(told.people);
            }
            answer.failures = found.failures;
        }
        self.show(&mut answer, Some(asker), wanted, devices, people).await?;
        Ok(answer)
    }

    /// The keys of people of this node, for another server.
    pub async fn keys_for_server(&self, mut wanted: Wanted) -> Result<KeysOfPeople, Error> {
        check_number(&wanted)?;
        wanted.retain(|user, _| self.ground.is_local(user));
        let people: Vec<&UserId> = wanted.keys().map(AsRef::as_ref).collect();
        let mut snapshot = self.ground.store.snapshot().await?;
        let devices = keys::device_records(&mut snapshot, &people).await?;
        let records = keys::person_records(&mut snapshot, &people).await?;
        drop(snapshot);
        let mut answer = KeysOfPeople::default();
        for user in people {
            answer.device_keys.insert(user.to_owned(), BTreeMap::new());
        }
        self.show(&mut answer, None, &wanted, devices, records).await?;
        Ok(answer)
    }

    /// Puts records into an answer, with the signatures that the asker may see.
    async fn show(
        &self,
        answer: &mut KeysOfPeople,
        asker: Option<&UserId>,
        wanted: &Wanted,
        devices: Vec<DeviceRecord>,
        people: Vec<PersonRecord>,
    ) -> Result<(), Error> {
        let all: Vec<&UserId> = wanted.keys().map(AsRef::as_ref).collect();
        let mut snapshot = self.ground.store.snapshot().await?;
        let signatures = keys::signatures(&mut snapshot, &all, asker).await?;
        drop(snapshot);
        let signatures = by_key(&signatures);
        for device in devices {
            let Some(named) = wanted.get(&device.user_id) else { continue };
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
                Usage::UserSigning if Some(&*user_id) == asker => {
                    drop(answer.user_signing_keys.insert(user_id, json));
                }
                Usage::UserSigning => {}
            }
        }
        Ok(())
    }

    /// Gives a key of each device away, for a first message to it; other servers are asked for theirs,
    /// and have until then to answer.
    pub async fn claim(&self, wanted: Claims, wait: Duration) -> Result<Claimed, Error> {
        let (own, others): (Claims, Claims) =
            wanted.into_iter().partition(|(user, _)| self.ground.is_local(user));
        let mut claimed = self.claim_abroad(others, wait).await?;
        claimed.one_time_keys.extend(self.claim_here(own).await?);
        Ok(claimed)
    }

    /// The same for people of this node alone.
    pub async fn claim_here(&self, mut wanted: Claims) -> Result<Given, Error> {
        wanted.retain(|user, _| self.ground.is_local(user));
        if wanted.is_empty() {
            return Ok(Given::new());
        }
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut given = Given::new();
                    for (user_id, devices) in wanted {
                        for (device_id, algorithm) in devices {
                            let key = tx.claim_key(&user_id, &device_id, &algorithm).await?;
                            let Some((key_id, body)) = key else { continue };
                            let named = format!("{algorithm}:{key_id}");
                            let key = BTreeMap::from([(named, raw(body)?)]);
                            given.entry(user_id.clone()).or_default().insert(device_id, key);
                        }
                    }
                    Ok(given)
                })
            })
            .await
    }
}

fn check_number(wanted: &Wanted) -> Result<(), Error> {
    if wanted.len() > limits::KEYS_QUERY_PEOPLE {
        let most = limits::KEYS_QUERY_PEOPLE;
        return Err(Error::TooLarge(format!("ask for the keys of at most {most} people")));
    }
    Ok(())
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
    tx.note_key_change(user_id, None).await?;
    Ok(tx.tell_device(user_id, device_id.as_str()).await?)
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
