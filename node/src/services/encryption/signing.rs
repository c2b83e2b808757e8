//! Cross-signing: the keys of a person, and the signatures by which devices and people vouch for each other.

use std::collections::BTreeMap;

use ruma::{DeviceId, OwnedUserId, UserId};
use serde_json::value::RawValue;
use wayside_federation::device::{PersonKey, Record, Usage};

use super::{Encryption, Error};
use crate::{
    services::accounts::Confirmed,
    store::{
        Reads, Tx,
        keys::{self, PersonRecord, Signature},
    },
};

/// The keys that a person publishes, each as they wrote it.
#[derive(Clone, Default)]
pub struct PersonKeys(pub BTreeMap<Usage, Box<RawValue>>);

/// Why a signature was not kept.
#[derive(Debug)]
pub enum Unsigned {
    /// There is no such key.
    NotFound,
    /// What is signed is not what was published.
    Different,
    /// No signature over it is right, or none by a key that may sign it.
    BadSignature,
}

impl Encryption {
    /// Publishes a person's keys. Whoever has some already must have shown their password; false,
    /// and nothing is changed, where they have not.
    pub async fn publish_person(
        &self,
        user_id: &UserId,
        given: PersonKeys,
        confirmed: Option<Confirmed>,
    ) -> Result<bool, Error> {
        let user_id = user_id.to_owned();
        let read = |(usage, json): (_, Box<RawValue>)| {
            PersonKey::read(json.get(), &user_id, usage).map(|key| (usage, key))
        };
        let given: BTreeMap<Usage, PersonKey> =
            given.0.into_iter().map(read).collect::<Result<_, _>>()?;
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let held = held(tx, &user_id).await?;
                    let news: Vec<&PersonKey> = given
                        .values()
                        .filter(|key| {
                            let before = held.get(&key.usage);
                            before.is_none_or(|it| it.record.json() != key.record.json())
                        })
                        .collect();
                    if news.is_empty() {
                        return Ok(true);
                    }
                    match confirmed {
                        Some(confirmed) => drop(confirmed.still(tx).await?),
                        // The first keys need no proof: there is nothing yet that they could undo.
                        None if held.contains_key(&Usage::Master) => return Ok(false),
                        None => {}
                    }
                    let master = given.get(&Usage::Master).or(held.get(&Usage::Master));
                    let missing =
                        || Error::Missing("master_key comes before the others".to_owned());
                    let master = master.ok_or_else(missing)?;
                    for key in given.values().filter(|key| key.usage != Usage::Master) {
                        key.must_be_signed_by(&user_id, master)?;
                    }
                    replace(tx, &user_id, &held, &news, master).await?;
                    tx.note_key_change(&user_id, None).await?;
                    tx.tell_person(&user_id).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Keeps signatures that somebody made over their own keys or other people's; those that cannot
    /// be kept are given back with the reason.
    pub async fn keep_signatures(
        &self,
        signer: &UserId,
        signed: Vec<(OwnedUserId, String, Box<RawValue>)>,
    ) -> Result<Vec<(OwnedUserId, String, Unsigned)>, Error> {
        let signer = signer.to_owned();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let own = held(tx, &signer).await?;
                    let mut refused = Vec::new();
                    let (mut over_own, mut over_others) = (false, Vec::new());
                    for (target, name, json) in signed {
                        let Ok(record) = Record::read(json.get(), &target) else {
                            refused.push((target, name, Unsigned::Different));
                            continue;
                        };
                        let made = if target == signer {
                            over_own_key(tx, &signer, &own, &name, &record).await?
                        } else {
                            over_other(tx, &signer, &own, &target, &name, &record).await?
                        };
                        match made {
                            Ok(made) => {
                                for signature in made {
                                    tx.add_signature(&signature).await?;
                                }
                                if target == signer {
                                    over_own = true;
                                    tell(tx, &signer, &own, &name).await?;
                                } else {
                                    over_others.push(target);
                                }
                            }
                            Err(why) => refused.push((target, name, why)),
                        }
                    }
                    if over_own {
                        tx.note_key_change(&signer, None).await?;
                    }
                    for target in over_others {
                        tx.note_key_change(&target, Some(&signer)).await?;
                    }
                    Ok(refused)
                })
            })
            .await
    }
}

/// The keys that a person has published.
pub(in crate::services) async fn held(
    from: &mut impl Reads,
    user_id: &UserId,
) -> Result<BTreeMap<Usage, PersonKey>, Error> {
    let rows = keys::person_records(from, &[user_id]).await?;
    let read = |PersonRecord { usage, record, .. }: PersonRecord| {
        PersonKey::read(&record, user_id, usage).map(|key| (usage, key)).map_err(Error::internal)
    };
    rows.into_iter().map(read).collect()
}

/// Lets other servers hear that a key of somebody was signed by themselves.
async fn tell(
    tx: &mut Tx,
    signer: &UserId,
    own: &BTreeMap<Usage, PersonKey>,
    name: &str,
) -> Result<(), Error> {
    if own.values().any(|key| key.public_key == name) {
        return Ok(tx.tell_person(signer).await?);
    }
    Ok(tx.tell_device(signer, name).await?)
}

/// Puts keys of somebody elsewhere, which were checked, in place of those that are held.
pub(in crate::services) async fn take_person(
    tx: &mut Tx,
    user_id: &UserId,
    held: &BTreeMap<Usage, PersonKey>,
    given: Vec<PersonRecord>,
) -> Result<(), Error> {
    let read =
        |it: &PersonRecord| PersonKey::read(&it.record, user_id, it.usage).map_err(Error::internal);
    let given = given.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let master = given.iter().find(|key| key.usage == Usage::Master);
    let Some(master) = master.or_else(|| held.get(&Usage::Master)) else { return Ok(()) };
    replace(tx, user_id, held, &given.iter().collect::<Vec<_>>(), master).await
}

async fn replace(
    tx: &mut Tx,
    user_id: &UserId,
    held: &BTreeMap<Usage, PersonKey>,
    news: &[&PersonKey],
    master: &PersonKey,
) -> Result<(), Error> {
    for key in news {
        let before = held.get(&key.usage).filter(|it| it.public_key != key.public_key);
        if let Some(before) = before {
            tx.forget_signatures(user_id, &before.public_key).await?;
        }
        tx.set_person_record(user_id, key.usage, &key.public_key, &key.record.json()).await?;
    }
    for key in held.values() {
        let stays = key.usage == Usage::Master
            || news.iter().any(|it| it.usage == key.usage)
            || key.must_be_signed_by(user_id, master).is_ok();
        if !stays {
            tx.remove_person_record(user_id, key.usage).await?;
        }
    }
    Ok(())
}

/// Signatures over one's own device by one's own key for that, or over one's master key by a device.
async fn over_own_key(
    tx: &mut Tx,
    signer: &UserId,
    own: &BTreeMap<Usage, PersonKey>,
    name: &str,
    record: &Record,
) -> Result<Result<Vec<Signature>, Unsigned>, Error> {
    if let Some(master) = own.get(&Usage::Master).filter(|master| master.public_key == name) {
        if !record.says_the_same(&master.record) {
            return Ok(Err(Unsigned::Different));
        }
        let mut made = Vec::new();
        for device in record.signed_with(signer).map(ToOwned::to_owned).collect::<Vec<_>>() {
            let stored = keys::device_record(tx, signer, device.as_str().into()).await?;
            let stored = stored.and_then(|json| Record::read(&json, signer).ok());
            let key = stored.as_ref().and_then(|it| it.device_key(&device));
            if key.is_some_and(|key| record.is_signed_by(signer, &device, key)) {
                made.extend(signature(record, signer, name, signer, &device));
            }
        }
        return Ok(if made.is_empty() { Err(Unsigned::BadSignature) } else { Ok(made) });
    }
    let device_id: &DeviceId = name.into();
    let Some(stored) = keys::device_record(tx, signer, device_id).await? else {
        return Ok(Err(Unsigned::NotFound));
    };
    let stored = Record::read(&stored, signer).map_err(Error::internal)?;
    if !record.says_the_same(&stored) {
        return Ok(Err(Unsigned::Different));
    }
    let by = own.get(&Usage::SelfSigning).map(|key| key.public_key.as_str());
    Ok(made_by(record, signer, name, signer, by))
}

/// A signature over another person's master key by one's own key for that.
async fn over_other(
    tx: &mut Tx,
    signer: &UserId,
    own: &BTreeMap<Usage, PersonKey>,
    target: &UserId,
    name: &str,
    record: &Record,
) -> Result<Result<Vec<Signature>, Unsigned>, Error> {
    let theirs = held(tx, target).await?;
    let master = theirs.get(&Usage::Master).filter(|master| master.public_key == name);
    let Some(master) = master else { return Ok(Err(Unsigned::NotFound)) };
    if !record.says_the_same(&master.record) {
        return Ok(Err(Unsigned::Different));
    }
    let by = own.get(&Usage::UserSigning).map(|key| key.public_key.as_str());
    Ok(made_by(record, target, name, signer, by))
}

fn made_by(
    record: &Record,
    target: &UserId,
    name: &str,
    signer: &UserId,
    key: Option<&str>,
) -> Result<Vec<Signature>, Unsigned> {
    let key = key.filter(|key| record.is_signed_by(signer, key, key));
    let made = key.and_then(|key| signature(record, target, name, signer, key));
    made.map(|made| vec![made]).ok_or(Unsigned::BadSignature)
}

fn signature(
    record: &Record,
    target: &UserId,
    name: &str,
    signer: &UserId,
    signer_key: &str,
) -> Option<Signature> {
    Some(Signature {
        user_id: target.to_owned(),
        key_name: name.to_owned(),
        signer: signer.to_owned(),
        signer_key: signer_key.to_owned(),
        signature: record.signature(signer, signer_key)?.to_owned(),
    })
}
