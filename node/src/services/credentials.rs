//! Whether what an issuer says is said by it, and still: its key, and the list in which it takes things back.

use std::{sync::Arc, time::Duration};

use quick_cache::sync::Cache;
use serde_json::Value;
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use url::Url;
use wayside_identity::{
    credential::{Credential, CredentialError},
    status::{Entry, Status, StatusError, StatusList},
    time::Moment,
};
use wayside_specs::Did;

use super::{
    Error, Ground,
    dids::{Dids, Resolved, Unresolved},
};

/// How old the document of an issuer may be, in milliseconds.
const ISSUER_MS: i64 = 5 * 60 * 1_000;
/// Longest list as it is published, in bytes.
const LIST_BYTES: usize = 1024 * 1024;
/// Lists that are kept, of up to 16 MiB each.
const LISTS: usize = 8;
/// Most lists of one credential: one for each purpose.
const ENTRIES: usize = 2;
/// How long all of it may take.
const WHOLE: Duration = Duration::from_secs(25);
/// Lists that are unpacked at once.
const UNPACKED_AT_ONCE: usize = 1;

/// Why a credential is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Unbelieved {
    /// It does not prove itself.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// What its issuer says of it is of no use.
    #[error(transparent)]
    Status(#[from] StatusError),
    /// Its issuer is none, or none that says anything.
    #[error("its issuer {0}")]
    Issuer(String),
    /// It was taken back.
    #[error("its issuer has taken it back")]
    Revoked,
    /// It is not good for now.
    #[error("its issuer does not stand by it for now")]
    Suspended,
    /// Whoever would know does not answer.
    #[error("whoever issued it does not answer: {0}")]
    Silent(String),
    /// Something failed here.
    #[error(transparent)]
    Node(#[from] Error),
}

/// The service of credentials.
pub struct Credentials {
    ground: Arc<Ground>,
    dids: Arc<Dids>,
    lists: Cache<String, Arc<StatusList>>,
    unpacking: Arc<Semaphore>,
}

impl Credentials {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, dids: Arc<Dids>) -> Self {
        let unpacking = Arc::new(Semaphore::new(UNPACKED_AT_ONCE));
        Self { ground, dids, lists: Cache::new(LISTS), unpacking }
    }

    /// Whether an issuer stands by a credential now.
    pub async fn stands(&self, credential: &Credential) -> Result<(), Unbelieved> {
        let late = || Unbelieved::Silent("it took too long".to_owned());
        timeout(WHOLE, self.stands_still(credential)).await.map_err(|_| late())?
    }

    async fn stands_still(&self, credential: &Credential) -> Result<(), Unbelieved> {
        let issuer: Did = credential
            .issuer()
            .parse()
            .map_err(|_| Unbelieved::Issuer(format!("{:?} is no DID", credential.issuer())))?;
        let issuer = self.dids.resolve(&issuer, ISSUER_MS).await.map_err(|why| unresolved(&why))?;
        if issuer.webvh.as_ref().is_some_and(|webvh| webvh.deactivated) {
            return Err(Unbelieved::Issuer("has come to its end".to_owned()));
        }
        let now = Moment(self.ground.clock.now_ms());
        credential.verify(&issuer.document, now)?;
        let entries = Entry::all(credential)?;
        if entries.len() > ENTRIES {
            return Err(Unbelieved::Issuer("names too many status lists".to_owned()));
        }
        for entry in entries {
            let list = self.list(&entry, &issuer, now).await?;
            match list.judge(&entry, credential, now)? {
                Status::Good => {}
                Status::Revoked => return Err(Unbelieved::Revoked),
                Status::Suspended => return Err(Unbelieved::Suspended),
            }
        }
        Ok(())
    }

    /// The list of an entry, by its issuer: one that is kept, for as long as it may be.
    async fn list(
        &self,
        entry: &Entry,
        issuer: &Arc<Resolved>,
        now: Moment,
    ) -> Result<Arc<StatusList>, Unbelieved> {
        let key = format!("{} {}", issuer.document.id(), entry.list());
        if let Some(list) = self.lists.get(&key).filter(|list| list.until() > now) {
            return Ok(list);
        }
        let url = Url::parse(entry.list()).map_err(Error::internal)?;
        let bytes = self.dids.published(&url, LIST_BYTES).await;
        let bytes = bytes.map_err(|why| unresolved(&why))?;
        let turn = self.unpacking.clone().acquire_owned().await.map_err(Error::internal)?;
        let issuer = issuer.clone();
        let read = spawn_blocking(move || {
            let _turn = turn;
            let list = Credential::read(&value(&bytes))?;
            StatusList::read(&list, &issuer.document, now)
        });
        let list = Arc::new(read.await.map_err(Error::internal)??);
        self.lists.insert(key, list.clone());
        Ok(list)
    }
}

/// What is published as JSON, or as the text of a token.
fn value(bytes: &[u8]) -> Value {
    let text = || Value::from(String::from_utf8_lossy(bytes).trim());
    serde_json::from_slice(bytes).unwrap_or_else(|_| text())
}

fn unresolved(why: &Unresolved) -> Unbelieved {
    match why {
        Unresolved::Node(error) => Error::internal(anyhow::anyhow!("{error}")).into(),
        absent if absent.is_absence() => Unbelieved::Silent(absent.to_string()),
        broken => Unbelieved::Issuer(broken.to_string()),
    }
}
