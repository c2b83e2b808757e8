//! Keys of devices and people, and messages between devices.

use std::{collections::BTreeMap, time::Duration};

use ruma::{
    OwnedOneTimeKeyId,
    api::client::{
        keys::{
            claim_keys, get_key_changes, get_keys, upload_keys, upload_signatures,
            upload_signing_keys,
        },
        to_device::send_event_to_device,
    },
    encryption::OneTimeKey,
    serde::Raw,
    to_device::DeviceIdOrAllDevices,
};
use serde_json::{Map, json, value::RawValue};
use wayside_federation::device::Usage;

use super::{
    proof::{confirm, older},
    read::{asker, text},
    rooms::request,
};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        accounts::{Confirmed, Operation},
        encryption::{Addressed, NewKey, PersonKeys, Unsigned, Upload},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Write, upload).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Read, query).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Write, claim).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Read, changes),
        Route::matrix(Access::Account, Rate::Write, upload_person).reading(older).for_suspended(),
        Route::matrix(Access::Account, Rate::Write, upload_signed).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Write, send).large().for_suspended(),
    ]
}

/// How long other servers have to answer where a client does not say.
const WAIT: Duration = Duration::from_secs(10);

async fn upload(asked: Asked<upload_keys::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let upload = Upload {
        device: body.device_keys.as_ref().map(|raw| raw.json().to_owned()),
        one_time: new_keys(&body.one_time_keys),
        fallback: new_keys(&body.fallback_keys),
    };
    if asked.session()?.device_id.as_str().is_empty() {
        return Err(Error::Missing("device_id says whose keys these are".to_owned()).into());
    }
    let counts = asked.app.services.encryption.publish(asked.session()?, upload).await?;
    Ok(reply(&json!({ "one_time_key_counts": counts.one_time })))
}

fn new_keys(given: &BTreeMap<OwnedOneTimeKeyId, Raw<OneTimeKey>>) -> Vec<NewKey> {
    given
        .iter()
        .map(|(id, body)| NewKey {
            algorithm: id.algorithm().to_string(),
            key_id: id.key_name().as_str().to_owned(),
            body: body.json().to_owned(),
        })
        .collect()
}

async fn query(asked: Asked<get_keys::v3::Request>) -> Result<Reply, Fault> {
    let asker = &asked.session()?.user_id;
    let wait = asked.body.timeout.unwrap_or(WAIT);
    text(&asked.app.services.encryption.keys_of(asker, &asked.body.device_keys, wait).await?)
}

async fn claim(asked: Asked<claim_keys::v3::Request>) -> Result<Reply, Fault> {
    let wanted = asked.body.one_time_keys.into_iter().map(|(user, devices)| {
        let named =
            |(device, algorithm): (_, ruma::OneTimeKeyAlgorithm)| (device, algorithm.to_string());
        (user, devices.into_iter().map(named).collect())
    });
    let wait = asked.body.timeout.unwrap_or(WAIT);
    // To its end, also when the client hangs up: what other servers give away they give once.
    let (encryption, wanted) = (asked.app.services.encryption.clone(), wanted.collect());
    let claiming = async move { encryption.claim(wanted, wait).await };
    text(&asked.app.services.ground.to_its_end(claiming).await?)
}

async fn changes(asked: Asked<get_key_changes::v3::Request>) -> Result<Reply, Fault> {
    let (from, to) = (&asked.body.from, &asked.body.to);
    let changed = asked.app.services.sync.keys_changed(&asker(&asked)?, from, to).await?;
    text(&changed)
}

async fn upload_person(asked: Asked<upload_signing_keys::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let given = [
        (Usage::Master, &body.master_key),
        (Usage::SelfSigning, &body.self_signing_key),
        (Usage::UserSigning, &body.user_signing_key),
    ];
    let keys: BTreeMap<Usage, Box<RawValue>> = given
        .into_iter()
        .filter_map(|(usage, raw)| Some((usage, raw.as_ref()?.json().to_owned())))
        .collect();
    let user_id = &asked.session()?.user_id;
    let encryption = &asked.app.services.encryption;
    let keys = PersonKeys(keys);
    // Only the second try costs a proof: the node decides whether one is needed.
    if !encryption.publish_person(user_id, keys.clone(), None).await? {
        let confirmed = if let Some(confirmed) = Confirmed::by_service(asked.session()?) {
            confirmed
        } else {
            asked.app.guessed(user_id)?;
            confirm(&asked, Operation::ReplaceKeys, body.auth.as_ref()).await?
        };
        encryption.publish_person(user_id, keys, Some(confirmed)).await?;
    }
    Ok(done())
}

async fn upload_signed(asked: Asked<upload_signatures::v3::Request>) -> Result<Reply, Fault> {
    let signed = asked.body.signed_keys.iter().flat_map(|(user, keys)| {
        keys.iter().map(|(name, json)| (user.clone(), name.to_owned(), json.to_owned()))
    });
    let user_id = &asked.session()?.user_id;
    let encryption = &asked.app.services.encryption;
    let refused = encryption.keep_signatures(user_id, signed.collect()).await?;
    let mut failures = Map::new();
    for (user, name, why) in refused {
        let (code, error) = match why {
            Unsigned::NotFound => ("M_NOT_FOUND", "there is no such key"),
            Unsigned::Different => ("M_INVALID_PARAM", "this is not what was published"),
            Unsigned::BadSignature => ("M_INVALID_SIGNATURE", "no signature over it is right"),
        };
        let of_user = failures.entry(user.to_string()).or_insert_with(|| json!({}));
        of_user[name] = json!({ "errcode": code, "error": error });
    }
    Ok(reply(&json!({ "failures": failures })))
}

async fn send(asked: Asked<send_event_to_device::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let kind = body.event_type.to_string();
    let session = asked.session()?;
    // Suspended people verify their own devices, and speak to nobody else's.
    if session.held.suspended && body.messages.keys().any(|user| *user != session.user_id) {
        return Err(Error::Suspended.into());
    }
    let request = request(&asked, format!("to_device {kind}"), body.txn_id.as_str())?;
    let messages = body.messages.iter().flat_map(|(user, devices)| {
        devices.iter().map(|(device, content)| Addressed {
            user_id: user.clone(),
            device_id: match device {
                DeviceIdOrAllDevices::DeviceId(id) => Some(id.clone()),
                DeviceIdOrAllDevices::AllDevices => None,
            },
            content: content.json().to_owned(),
        })
    });
    asked.app.services.encryption.send(&kind, messages.collect(), request).await?;
    Ok(done())
}
