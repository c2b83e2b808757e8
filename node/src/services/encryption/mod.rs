//! What clients need to encrypt from end to end: keys, messages between devices, backups of keys.
//!
//! The node passes on what devices publish and holds no secret of theirs. What it can check it
//! checks, so that nobody publishes for somebody else and no signature is passed on that is wrong.

pub(super) mod abroad;
mod backup;
mod keys;
mod letters;
mod mending;
mod signing;
mod telling;

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
};

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Semaphore;

pub(super) use self::signing::{held, take_person};
pub use self::{
    backup::{BackupInfo, Changed, KeyPages},
    keys::{NewKey, Upload, Wanted},
    letters::Addressed,
    signing::{PersonKeys, Unsigned},
    telling::DevicesOf,
};
use super::{Error, Ground, servers::Servers};
pub use crate::store::{
    backups::{BackupKey, Part},
    keys::KeyCounts,
};

/// The service of encryption.
pub struct Encryption {
    ground: Arc<Ground>,
    servers: Arc<Servers>,
    /// The people of other servers whose lists of devices are being asked for anew.
    mending: Mutex<HashSet<OwnedUserId>>,
    /// How many are at the same time.
    menders: Semaphore,
}

/// Lists of devices that are asked for anew at the same time.
const MENDERS: usize = 16;

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

/// The devices of which a key is wanted, by person, and for which algorithm.
pub type Claims = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>;
/// Keys by person, device and name of the key.
pub type Given = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, Box<RawValue>>>>;

/// Keys that were given away, each once (client-server API, `POST /keys/claim`).
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Claimed {
    /// The keys.
    pub one_time_keys: Given,
    /// Servers that could not be asked, and why.
    pub failures: BTreeMap<OwnedServerName, serde_json::Value>,
}

impl Encryption {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, servers: Arc<Servers>) -> Self {
        let (mending, menders) = (Mutex::default(), Semaphore::new(MENDERS));
        Self { ground, servers, mending, menders }
    }
}

/// JSON of the store as it is sent on.
fn raw(json: String) -> Result<Box<RawValue>, Error> {
    RawValue::from_string(json).map_err(Error::internal)
}
