//! What clients need to encrypt from end to end: keys, messages between devices, backups of keys.
//!
//! The node passes on what devices publish and holds no secret of theirs. What it can check it
//! checks, so that nobody publishes for somebody else and no signature is passed on that is wrong.

mod backup;
mod keys;
mod letters;
mod signing;

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

pub use self::{
    backup::{BackupInfo, Changed, KeyPages},
    keys::{NewKey, Upload},
    letters::Addressed,
    signing::{PersonKeys, Unsigned},
};
use super::{Error, Ground};
pub use crate::store::{
    backups::{BackupKey, Part},
    keys::KeyCounts,
};

/// The service of encryption.
pub struct Encryption {
    ground: Arc<Ground>,
}

/// The keys of people and their devices (client-server API, `POST /keys/query`).
#[derive(Debug, Default, Serialize)]
pub struct KeysOfPeople {
    /// Of devices.
    pub device_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, Box<RawValue>>>,
    /// Of people: what signs their other two.
    pub master_keys: BTreeMap<OwnedUserId, Box<RawValue>>,
    /// Of people: what signs their devices.
    pub self_signing_keys: BTreeMap<OwnedUserId, Box<RawValue>>,
    /// The asker's own that signs other people.
    pub user_signing_keys: BTreeMap<OwnedUserId, Box<RawValue>>,
    /// Servers that could not be asked, and why.
    pub failures: BTreeMap<OwnedServerName, serde_json::Value>,
}

/// Keys that were given away, each once (client-server API, `POST /keys/claim`).
#[derive(Debug, Default, Serialize)]
pub struct Claimed {
    /// By person, device and name of the key.
    pub one_time_keys:
        BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, Box<RawValue>>>>,
    /// Servers that could not be asked, and why.
    pub failures: BTreeMap<OwnedServerName, serde_json::Value>,
}

impl Encryption {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        Self { ground }
    }
}

/// What is said of a server that is not this one.
fn unreachable_server() -> serde_json::Value {
    serde_json::json!({
        "errcode": "M_UNREACHABLE",
        "error": "that server cannot be reached from here",
    })
}

/// JSON of the store as it is sent on.
fn raw(json: String) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(json).map_err(Error::internal)
}
