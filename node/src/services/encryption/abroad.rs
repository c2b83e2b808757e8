//! Keys of people of other servers: asked for, checked, and kept as far as word comes of their changes.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use futures_util::{StreamExt, stream};
use http::Method;
use ruma::{DeviceId, OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tokio::time::{Instant, timeout_at};
use wayside_federation::device::{PersonKey, Record, Usage, check_one_time_key};
use wayside_specs::limits;

use super::{
    super::servers::{AskError, Question},
    Claimed, Claims, Encryption, Error,
};
use crate::store::{
    Tx,
    keys::{DeviceRecord, PersonRecord},
    remote::{self, Begun},
};

/// Servers that are asked at the same time for one client.
const AT_ONCE: usize = 64;
/// People whose keys one server is asked for in one question.
const PEOPLE: usize = 250;
/// Most bytes of an answer.
const BYTES: usize = 8 * 1024 * 1024;
/// The longest that a client waits for other servers.
const WAIT_MOST: Duration = Duration::from_secs(20);
/// Most letters of the reason for which a server could not be asked.
const WHY: usize = 300;

/// What a server told of one of its people, as far as it holds.
pub(super) struct Told {
    pub(super) user_id: OwnedUserId,
    pub(super) devices: Vec<DeviceRecord>,
    pub(super) people: Vec<PersonRecord>,
}

/// What other servers told, and those that did not.
#[derive(Default)]
pub(super) struct Found {
    pub(super) told: Vec<Told>,
    pub(super) failures: BTreeMap<OwnedServerName, Value>,
}

/// What is answered to `POST /user/keys/query`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    #[serde(rename = "device_keys")]
    devices: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Box<RawValue>>>,
    #[serde(rename = "master_keys")]
    masters: BTreeMap<OwnedUserId, Box<RawValue>>,
    #[serde(rename = "self_signing_keys")]
    self_signing: BTreeMap<OwnedUserId, Box<RawValue>>,
}

#[derive(Serialize)]
struct AskedKeys<'a> {
    device_keys: BTreeMap<&'a UserId, Vec<&'a DeviceId>>,
}

#[derive(Serialize)]
struct AskedClaims<'a> {
    one_time_keys: &'a Claims,
}

impl Encryption {
    /// Asks the servers of people for their keys. What is told of those who are near is kept.
    pub(super) async fn ask_keys(
        &self,
        people: Vec<&UserId>,
        near: &HashSet<OwnedUserId>,
        wait: Duration,
    ) -> Result<Found, Error> {
        let begun = self.begin_lists(near).await?;
        let mut by_server: BTreeMap<&ServerName, Vec<&UserId>> = BTreeMap::new();
        for user_id in people {
            by_server.entry(user_id.server_name()).or_default().push(user_id);
        }
        let questions = by_server.iter().flat_map(|(server, people)| {
            people.chunks(PEOPLE).map(move |people| (*server, people))
        });
        let until = Instant::from_std(self.ground.clock.instant()) + wait.min(WAIT_MOST);
        let asking = questions.map(|(server, people)| async move {
            let asked = self.ask_keys_of(server, people, wait);
            (server, timeout_at(until, asked).await)
        });
        let mut answers = stream::iter(asking.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        let mut found = Found::default();
        while let Some((server, answer)) = answers.next().await {
            match answer {
                Ok(Ok(told)) => found.told.extend(told),
                Ok(Err(AskError::Node(error))) => return Err(error),
                Ok(Err(error)) => drop(found.failures.insert(server.to_owned(), failure(&error))),
                Err(_late) => drop(found.failures.insert(server.to_owned(), too_late())),
            }
        }
        drop(answers);
        self.keep_lists(&begun, &found.told).await?;
        Ok(found)
    }

    async fn ask_keys_of(
        &self,
        server: &ServerName,
        people: &[&UserId],
        wait: Duration,
    ) -> Result<Vec<Told>, AskError> {
        let asked =
            AskedKeys { device_keys: people.iter().map(|user| (*user, Vec::new())).collect() };
        let path = ["_matrix", "federation", "v1", "user", "keys", "query"];
        let question = Question::get(&path, &[]).bounded(BYTES, wait.min(WAIT_MOST));
        let mut answer: Answer =
            self.servers.ask(server, question.with(Method::POST, &asked)?).await?;
        let mut all = Vec::new();
        for user_id in people {
            let devices = answer.devices.remove(*user_id).unwrap_or_default();
            let devices = devices.into_iter().map(|(id, json)| (id, json, None));
            let [master, own] =
                [&mut answer.masters, &mut answer.self_signing].map(|keys| keys.remove(*user_id));
            all.push(told(server, user_id, devices, master.as_deref(), own.as_deref())?);
        }
        Ok(all)
    }

    /// Begins to keep the lists of people, before they are asked for.
    async fn begin_lists(
        &self,
        near: &HashSet<OwnedUserId>,
    ) -> Result<HashMap<OwnedUserId, Begun>, Error> {
        if near.is_empty() {
            return Ok(HashMap::new());
        }
        let near: Vec<OwnedUserId> = near.iter().cloned().collect();
        let begin = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let mut begun = HashMap::new();
                for user_id in near {
                    let at = tx.begin_list(&user_id).await?;
                    begun.insert(user_id, at);
                }
                Ok(begun)
            })
        });
        begin.await
    }

    async fn keep_lists(
        &self,
        begun: &HashMap<OwnedUserId, Begun>,
        told: &[Told],
    ) -> Result<(), Error> {
        let kept: Vec<_> = told
            .iter()
            .filter_map(|told| {
                let at = begun.get(&told.user_id)?;
                Some((told.user_id.clone(), *at, told.devices.clone(), told.people.clone()))
            })
            .collect();
        if kept.is_empty() {
            return Ok(());
        }
        let keep = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                for (user_id, at, devices, people) in kept {
                    if tx.keep_list(&user_id, at, None, &devices).await? {
                        put_people(tx, &user_id, &people).await?;
                    }
                }
                Ok(())
            })
        });
        keep.await
    }

    /// Asks other servers for a key of each device, which they give away.
    pub(super) async fn claim_abroad(
        &self,
        wanted: Claims,
        wait: Duration,
    ) -> Result<Claimed, Error> {
        let mut by_server: BTreeMap<OwnedServerName, Claims> = BTreeMap::new();
        for (user_id, devices) in wanted {
            let of_server = by_server.entry(user_id.server_name().to_owned()).or_default();
            of_server.insert(user_id, devices);
        }
        let asking = by_server.iter().map(|(server, wanted)| async move {
            let path = ["_matrix", "federation", "v1", "user", "keys", "claim"];
            let question = Question::get(&path, &[]).bounded(BYTES, wait.min(WAIT_MOST));
            let asked = AskedClaims { one_time_keys: wanted };
            let answer = match question.with(Method::POST, &asked) {
                Ok(question) => self.servers.ask::<Claimed>(server, question).await,
                Err(error) => Err(AskError::Node(error)),
            };
            (server, wanted, answer)
        });
        let mut answers = stream::iter(asking.collect::<Vec<_>>()).buffer_unordered(AT_ONCE);
        let mut claimed = Claimed::default();
        while let Some((server, wanted, answer)) = answers.next().await {
            match answer {
                Ok(given) => claimed.one_time_keys.extend(asked_for(wanted, given)),
                Err(AskError::Node(error)) => return Err(error),
                Err(error) => drop(claimed.failures.insert(server.clone(), failure(&error))),
            }
        }
        Ok(claimed)
    }
}

/// Of what was given away what was asked for, and is a key.
fn asked_for(wanted: &Claims, given: Claimed) -> super::Given {
    let mut all = given.one_time_keys;
    all.retain(|user_id, devices| {
        let Some(wanted) = wanted.get(user_id) else { return false };
        devices.retain(|device_id, keys| {
            let Some(algorithm) = wanted.get(device_id) else { return false };
            keys.retain(|name, key| {
                let is_of = name.split_once(':').is_some_and(|(of, _)| of == algorithm);
                let fits = key.get().len() <= limits::KEY_BYTES && name.len() <= limits::ID_BYTES;
                is_of && fits && check_one_time_key(key.get()).is_ok()
            });
            keys.len() == 1
        });
        !devices.is_empty()
    });
    all
}

/// Reads what a server tells of one of its people. A record that is not theirs is left out; more
/// devices than anybody has are no answer.
pub(super) fn told(
    server: &ServerName,
    user_id: &UserId,
    devices: impl ExactSizeIterator<Item = (OwnedDeviceId, Box<RawValue>, Option<String>)>,
    master: Option<&RawValue>,
    self_signing: Option<&RawValue>,
) -> Result<Told, AskError> {
    if devices.len() > limits::REMOTE_DEVICES {
        let why = format!("{user_id} has {} devices", devices.len());
        return Err(AskError::BadAnswer { server: server.to_string(), why });
    }
    let mut read = Vec::with_capacity(devices.len());
    for (device_id, json, name) in devices {
        if let Some(record) = device(user_id, &device_id, &json, name) {
            read.push(record);
        } else {
            tracing::debug!(%server, %user_id, "the keys of a device are not theirs");
        }
    }
    let people = persons(user_id, master, self_signing, None);
    Ok(Told { user_id: user_id.to_owned(), devices: read, people })
}

/// Reads the keys of a device of somebody elsewhere, with the name that it is shown by.
pub(in crate::services) fn device(
    user_id: &UserId,
    device_id: &DeviceId,
    json: &RawValue,
    name: Option<String>,
) -> Option<DeviceRecord> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Shown {
        unsigned: Unsigned,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Unsigned {
        device_display_name: Option<String>,
    }
    let id = device_id.as_str();
    if id.is_empty() || id.len() > limits::TOKEN_BYTES || id.contains('\0') {
        return None;
    }
    let record = Record::read_device(json.get(), user_id, id).ok()?;
    let shown = || serde_json::from_str::<Shown>(json.get()).ok()?.unsigned.device_display_name;
    let fits = |name: &String| name.len() <= limits::NAME_BYTES && !name.contains('\0');
    Some(DeviceRecord {
        user_id: user_id.to_owned(),
        device_id: device_id.to_owned(),
        record: record.with_device_name(None).json(),
        name: name.or_else(shown).filter(fits),
    })
}

/// Reads the keys of somebody elsewhere: those that are theirs, and of which the master key, which may
/// be known from before, signed the other.
pub(in crate::services) fn persons(
    user_id: &UserId,
    master: Option<&RawValue>,
    self_signing: Option<&RawValue>,
    known: Option<&PersonKey>,
) -> Vec<PersonRecord> {
    let read = |json: Option<&RawValue>, usage| PersonKey::read(json?.get(), user_id, usage).ok();
    let given = read(master, Usage::Master);
    let other = read(self_signing, Usage::SelfSigning);
    let signer = given.as_ref().or(known);
    let is_signed =
        |key: &PersonKey| signer.is_some_and(|it| key.must_be_signed_by(user_id, it).is_ok());
    let other = other.filter(is_signed);
    let record = |key: PersonKey| PersonRecord {
        user_id: user_id.to_owned(),
        usage: key.usage,
        record: key.record.json(),
        public_key: key.public_key,
    };
    given.into_iter().chain(other).map(record).collect()
}

/// Puts the keys of somebody elsewhere in place of those that were known.
pub(super) async fn put_people(
    tx: &mut Tx,
    user_id: &UserId,
    people: &[PersonRecord],
) -> Result<(), Error> {
    for usage in [Usage::Master, Usage::SelfSigning] {
        match people.iter().find(|it| it.usage == usage) {
            Some(key) => {
                tx.set_person_record(user_id, usage, &key.public_key, &key.record).await?;
            }
            None => tx.remove_person_record(user_id, usage).await?,
        }
    }
    Ok(())
}

/// Whether a list that is kept has changed.
pub(super) async fn is_other(tx: &mut Tx, told: &Told) -> Result<bool, Error> {
    let sorted = |devices: Vec<DeviceRecord>| -> BTreeMap<OwnedDeviceId, (String, Option<String>)> {
        devices.into_iter().map(|it| (it.device_id, (it.record, it.name))).collect()
    };
    let before = sorted(remote::devices(tx, &[&told.user_id]).await?);
    if before != sorted(told.devices.clone()) {
        return Ok(true);
    }
    let keys = |people: Vec<PersonRecord>| -> BTreeMap<Usage, String> {
        people.into_iter().map(|it| (it.usage, it.record)).collect()
    };
    let before = crate::store::keys::person_records(tx, &[&told.user_id]).await?;
    Ok(keys(before) != keys(told.people.clone()))
}

/// What is said of a server that could not be asked.
fn failure(error: &AskError) -> Value {
    let why: String = error.to_string().chars().take(WHY).collect();
    json!({ "errcode": "M_UNREACHABLE", "error": why })
}

fn too_late() -> Value {
    json!({ "errcode": "M_UNREACHABLE", "error": "the server did not answer in time" })
}

#[cfg(test)]
mod tests {
    use ruma::{device_id, user_id};
    use serde_json::value::to_raw_value;

    use super::*;

    #[test]
    fn of_what_is_given_only_what_was_asked_for_is_taken() {
        let ann = user_id!("@ann:b.test").to_owned();
        let algorithm = "signed_curve25519".to_owned();
        let wanted = Claims::from([(ann.clone(), BTreeMap::from([("A".into(), algorithm)]))]);
        let given = |json: Value| asked_for(&wanted, serde_json::from_value(json).unwrap());
        let key = json!({ "key": "k" });
        let good = json!({ ann.as_str(): { "A": { "signed_curve25519:1": key } } });
        assert_eq!(serde_json::to_value(given(json!({ "one_time_keys": good }))).unwrap(), good);
        for wrong in [
            json!({}),
            json!({ "@bob:b.test": { "A": { "signed_curve25519:1": key } } }),
            json!({ ann.as_str(): { "B": { "signed_curve25519:1": key } } }),
            json!({ ann.as_str(): { "A": { "curve25519:1": key } } }),
            json!({ ann.as_str(): { "A": { "signed_curve25519:1": 5 } } }),
            json!({ ann.as_str(): { "A": { "signed_curve25519:1": { "key": "k".repeat(9_000) } } } }),
            json!({ ann.as_str(): {
                "A": { "signed_curve25519:1": key, "signed_curve25519:2": key },
            } }),
        ] {
            let found = given(json!({ "one_time_keys": wrong }));
            assert!(found.is_empty(), "{found:?}");
        }
    }

    #[test]
    fn keys_of_others_are_not_taken_for_somebodys() {
        let (ann, server) = (user_id!("@ann:b.test"), ruma::server_name!("b.test"));
        let keys = |user: &str, device: &str| {
            let keys = json!({ format!("ed25519:{device}"): "e" });
            let keys = json!({
                "user_id": user, "device_id": device, "algorithms": [], "keys": keys,
                "unsigned": { "device_display_name": "desk" },
            });
            to_raw_value(&keys).unwrap()
        };
        let all = [
            (device_id!("A").to_owned(), keys(ann.as_str(), "A"), None),
            (device_id!("B").to_owned(), keys("@bob:b.test", "B"), None),
            (device_id!("C").to_owned(), keys(ann.as_str(), "D"), None),
            (device_id!("E").to_owned(), to_raw_value(&5).unwrap(), None),
        ];
        let found = told(server, ann, all.into_iter(), None, None).unwrap();
        let names: Vec<_> = found.devices.iter().map(|it| (&*it.device_id, &it.name)).collect();
        assert_eq!(names, [(device_id!("A"), &Some("desk".to_owned()))]);
        let many = (0..=limits::REMOTE_DEVICES)
            .map(|n| (format!("D{n}").into(), keys(ann.as_str(), "A"), None))
            .collect::<Vec<_>>();
        assert!(told(server, ann, many.into_iter(), None, None).is_err());
    }
}
