//! The keys of other servers: fetched from them, or from notaries while they are away, and kept while anybody of them may have said something.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedServerName, ServerName};
use serde_json::value::RawValue;
use tokio::time::{Instant as Deadline, timeout, timeout_at};
use wayside_federation::key::{PublicKeys, ServerKeys};

use super::{AskError, Error, Question, Server, Servers, notary};
use crate::store::servers::{KEYS, KeyRow};

/// However long a document says that it is valid, in milliseconds (room version 5, signing key validity).
const BELIEVED_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// A server whose keys were fetched, or could not be, is not asked for them again so soon.
const AGAIN: Duration = Duration::from_secs(30);
/// What the keys of a server may cost: as many as one document may list take 10 KiB, and it is kept with
/// each of them.
const DOCUMENT: (usize, Duration) = (16 * 1024, Duration::from_secs(15));

/// Servers whose keys are fetched at the same time for one answer.
const AT_ONCE: usize = 128;

/// The ids of the keys with which servers say to have signed something, and when at the latest.
pub type Wanted = BTreeMap<OwnedServerName, BTreeMap<Vec<String>, MilliSecondsSinceUnixEpoch>>;

/// What is known of the keys of some servers.
pub struct Keyring(HashMap<OwnedServerName, Arc<Server>>);

impl Keyring {
    /// The keys with which a server may have signed something of that time.
    #[must_use]
    pub fn at(&self, name: &ServerName, at: MilliSecondsSinceUnixEpoch) -> PublicKeys {
        let known = self.0.get(name).map(|server| server.keys().valid_at(name, since_epoch(at)));
        known.unwrap_or_default()
    }
}

/// The known keys of one server.
pub(super) struct Known {
    rows: Vec<KeyRow>,
}

impl Known {
    pub(super) fn of(rows: Vec<KeyRow>) -> Self {
        Self { rows }
    }

    /// The documents that tell of these keys, or of any, and are believed until then or longer; the
    /// newest first, each once.
    pub(super) fn documents(&self, key_ids: &[String], until_ms: i64) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        let wanted = |row: &&KeyRow| key_ids.is_empty() || key_ids.contains(&row.key_id);
        for row in self.rows.iter().filter(wanted).filter(|row| row.valid_until_ms >= until_ms) {
            if !found.contains(&row.document) {
                found.push(row.document.clone());
            }
        }
        // Without a wish, the newest tells of all keys that the server still owns up to.
        found.truncate(if key_ids.is_empty() { 1 } else { found.len() });
        found
    }

    /// The keys with which something of that time may be signed.
    fn valid_at(&self, server: &ServerName, at_ms: i64) -> PublicKeys {
        let mut keys = PublicKeys::new();
        for row in &self.rows {
            if at_ms <= until_ms(row)
                && let Err(error) = keys.insert(server, &row.key_id, &row.public)
            {
                tracing::warn!(%error, "a stored key of a server does not read");
            }
        }
        keys
    }

    fn holds(&self, key_id: &str, at_ms: i64) -> bool {
        self.rows.iter().any(|row| row.key_id == key_id && at_ms <= until_ms(row))
    }

    /// Takes in what was fetched; what it says of a key counts in place of what was known.
    fn learn(&mut self, rows: Vec<KeyRow>) {
        self.rows.retain(|row| rows.iter().all(|new| new.key_id != row.key_id));
        self.rows.splice(0..0, rows);
        self.rows.truncate(KEYS);
    }
}

fn since_epoch(at: MilliSecondsSinceUnixEpoch) -> i64 {
    i64::try_from(u64::from(at.get())).unwrap_or(i64::MAX)
}

/// Until when something may be signed with a key.
fn until_ms(row: &KeyRow) -> i64 {
    row.expired_ms.unwrap_or(row.valid_until_ms.min(row.fetched_ms.saturating_add(BELIEVED_MS)))
}

impl Servers {
    /// Lets the next start of the node take another key.
    pub async fn retire_key(&self) -> Result<(), Error> {
        let retire = self
            .ground
            .store
            .write::<_, Error>(|tx| Box::pin(async move { Ok(tx.retire_signing_key().await?) }));
        retire.await
    }

    /// The keys by which a request of a server is checked that names one of them. Before any are
    /// fetched, `may_fetch` is asked.
    pub(super) async fn request_keys(
        &self,
        name: &ServerName,
        key_id: &str,
        may_fetch: impl FnOnce() -> Result<(), Error> + Send,
    ) -> Result<PublicKeys, Error> {
        let now_ms = self.ground.clock.now_ms();
        let server = self.server(name).await?;
        let is_known = server.keys().holds(key_id, now_ms);
        if !is_known {
            // While others fetch them, nobody is called for this one.
            let asked = server.asked.try_lock().is_ok_and(|asked| !self.is_recent(*asked));
            if asked {
                may_fetch()?;
            }
            self.fetch_keys(&server).await?;
        }
        Ok(server.keys().valid_at(name, now_ms))
    }

    /// The keys with which a server may have signed an event of that time, with these among them if
    /// they can be had.
    pub async fn event_keys(
        &self,
        name: &ServerName,
        key_ids: &[String],
        at: MilliSecondsSinceUnixEpoch,
    ) -> Result<PublicKeys, Error> {
        let at_ms = since_epoch(at);
        let server = self.server(name).await?;
        let is_known = {
            let known = server.keys();
            key_ids.iter().any(|key_id| known.holds(key_id, at_ms))
        };
        if !is_known {
            self.fetch_keys(&server).await?;
        }
        Ok(server.keys().valid_at(name, at_ms))
    }

    /// The keys of many servers, those fetched that are not known, many at a time: one by one, those that
    /// do not answer would hold up the others. After so long a time nobody is waited for any more; what
    /// they have signed does not verify then.
    pub async fn keyring(&self, wanted: Wanted, patience: Duration) -> Result<Keyring, Error> {
        let mut ring = HashMap::with_capacity(wanted.len());
        let mut unknown = Vec::new();
        for (name, signed) in wanted {
            let server = self.server(&name).await?;
            let is_known = {
                let known = server.keys();
                let holds = |(ids, at): (&Vec<String>, &MilliSecondsSinceUnixEpoch)| {
                    ids.iter().any(|id| known.holds(id, since_epoch(*at)))
                };
                signed.iter().all(holds)
            };
            if !is_known {
                unknown.push(server.clone());
            }
            ring.insert(name, server);
        }
        let fetch = async |server: Arc<Server>| {
            if let Err(error) = self.fetch_keys(&server).await {
                tracing::warn!(%error, "fetching the keys of a server failed here");
            }
        };
        let fetch_all = stream::iter(unknown).for_each_concurrent(AT_ONCE, fetch);
        if timeout(patience, fetch_all).await.is_err() {
            tracing::info!("the keys of some servers are not waited for any longer");
        }
        Ok(Keyring(ring))
    }

    /// The documents of a server's keys for whoever asks this node as a notary, and waits so long.
    pub(super) async fn documents(
        &self,
        name: &ServerName,
        key_ids: &[String],
        until_ms: i64,
        wait: Deadline,
    ) -> Result<Vec<String>, Error> {
        if !self.meets(name) {
            return Ok(Vec::new());
        }
        let server = self.server(name).await?;
        let found = server.keys().documents(key_ids, until_ms.max(self.ground.clock.now_ms()));
        if !found.is_empty() {
            return Ok(found);
        }
        if let Ok(fetched) = timeout_at(wait, self.fetch_keys(&server)).await {
            fetched?;
        }
        // While a server is away, what it said last is better than nothing.
        Ok(server.keys().documents(key_ids, 0))
    }

    /// Whether it is so short a time ago that a server was asked.
    fn is_recent(&self, asked: Option<Instant>) -> bool {
        let now = self.ground.clock.instant();
        asked.is_some_and(|asked| now < asked + AGAIN)
    }

    /// Fetches the keys of a server, unless that was just done. That they cannot be had is no
    /// failure: nothing that needs them verifies then.
    async fn fetch_keys(&self, server: &Server) -> Result<(), Error> {
        let mut asked = server.asked.lock().await;
        if self.is_recent(*asked) {
            return Ok(());
        }
        *asked = Some(self.ground.clock.instant());
        let rows = match self.published(server).await {
            Ok(rows) => rows,
            Err(AskError::Node(error)) => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "the keys of a server could not be fetched from it");
                self.by_notaries(server).await?
            }
        };
        // Whoever has waited for this does not ask for the same at once, however long it took.
        *asked = Some(self.ground.clock.instant());
        if rows.is_empty() {
            return Ok(());
        }
        let (name, kept) = (server.name.clone(), rows.clone());
        let keep = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.keep_keys(&name, &kept).await?) })
        });
        keep.await?;
        self.fetched.store(true, Ordering::Relaxed);
        server.keys().learn(rows);
        Ok(())
    }

    /// The keys that a server publishes.
    async fn published(&self, server: &Server) -> Result<Vec<KeyRow>, AskError> {
        // Somebody may have been let wait for whoever asks, so it is asked in any case.
        let question = Question::get(&["_matrix", "key", "v2", "server"], &[]);
        let question = question.unsigned().urgent().bounded(DOCUMENT.0, DOCUMENT.1);
        let document: Box<RawValue> = self.ask(&server.name, question).await?;
        let wrong = |why: String| AskError::BadAnswer { server: server.name.to_string(), why };
        let read = ServerKeys::parse(document.get()).map_err(|error| wrong(error.to_string()))?;
        if read.server != server.name {
            return Err(wrong(format!("these are keys of {}", read.server)));
        }
        Ok(rows(&read, document.get(), self.ground.clock.now_ms()))
    }

    /// The same by the word of those whom the operator believes.
    async fn by_notaries(&self, server: &Server) -> Result<Vec<KeyRow>, Error> {
        let mut found = Vec::new();
        let notaries = &self.ground.config.key_notaries;
        // For a notary nobody else vouches: two that were asked for each other's keys would wait for
        // each other.
        let others = notaries.iter().filter(|_| !notaries.contains(&server.name));
        for name in others.filter(|name| **name != self.ground.server_name) {
            match Box::pin(self.ask_notary(name, &server.name)).await {
                Ok(documents) => {
                    let now_ms = self.ground.clock.now_ms();
                    for (read, text) in documents {
                        found.extend(rows(&read, &text, now_ms));
                    }
                }
                Err(AskError::Node(error)) => return Err(error),
                Err(error) => tracing::debug!(%error, "a notary knows no keys"),
            }
            if !found.is_empty() {
                break;
            }
        }
        Ok(found)
    }

    /// What a notary knows of a server's keys, signed by both.
    async fn ask_notary(
        &self,
        notary: &ServerName,
        name: &ServerName,
    ) -> Result<Vec<(ServerKeys, String)>, AskError> {
        let answer = self.ask(notary, notary::question(name)?).await?;
        // Its own keys, of which only it can tell.
        let server = self.server(notary).await?;
        let now_ms = self.ground.clock.now_ms();
        let mut keys = server.keys().valid_at(notary, now_ms);
        if keys == PublicKeys::new() {
            self.fetch_keys(&server).await?;
            keys = server.keys().valid_at(notary, now_ms);
        }
        Ok(notary::read(answer, notary, &keys, name))
    }
}

/// A document as it is kept.
fn rows(read: &ServerKeys, document: &str, now_ms: i64) -> Vec<KeyRow> {
    let ms = since_epoch;
    let row = |(key_id, key): (&String, &wayside_federation::key::PublishedKey)| KeyRow {
        key_id: key_id.clone(),
        public: key.key.clone(),
        expired_ms: key.expired.map(ms),
        valid_until_ms: ms(read.valid_until),
        fetched_ms: now_ms,
        document: document.to_owned(),
    };
    read.keys.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use wayside_federation::key::ServerKey;

    use super::*;
    use crate::clock::matrix_time;

    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    const NOW_MS: i64 = 1_000 * DAY_MS;

    /// A document with a current and an old key that says to be valid for so long.
    fn document(valid_ms: i64) -> Vec<KeyRow> {
        let key = ServerKey::from_seed([1; 32], "new").unwrap();
        let old = ServerKey::from_seed([2; 32], "old").unwrap();
        let expired =
            ("ed25519:old".to_owned(), old.public_key_base64(), matrix_time(NOW_MS - DAY_MS));
        let until = matrix_time(NOW_MS + valid_ms);
        let text = ServerKeys::publish(server_name!("a.test"), &key, &[expired], until).unwrap();
        rows(&ServerKeys::parse(&text).unwrap(), &text, NOW_MS)
    }

    #[test]
    fn a_key_is_good_while_it_is_said_to_be_and_no_longer_than_a_week() {
        for (valid_ms, at_ms, current) in [
            (DAY_MS, NOW_MS, true),
            (DAY_MS, NOW_MS + DAY_MS, true),
            (DAY_MS, NOW_MS + DAY_MS + 1, false),
            (30 * DAY_MS, NOW_MS + 7 * DAY_MS, true),
            (30 * DAY_MS, NOW_MS + 7 * DAY_MS + 1, false),
            (-DAY_MS, NOW_MS, false),
        ] {
            let known = Known::of(document(valid_ms));
            assert_eq!(known.holds("ed25519:new", at_ms), current, "{valid_ms} {at_ms}");
            assert!(!known.holds("ed25519:old", at_ms));
            assert!(known.holds("ed25519:old", NOW_MS - DAY_MS));
            let keys = known.valid_at(server_name!("a.test"), at_ms);
            assert_eq!(keys.contains(server_name!("a.test"), "ed25519:new"), current);
        }
    }

    #[test]
    fn what_was_fetched_last_counts_and_what_was_known_stays() {
        let mut known = Known::of(document(DAY_MS));
        let mut newer = document(2 * DAY_MS);
        newer.retain(|row| row.key_id == "ed25519:new");
        newer[0].expired_ms = Some(NOW_MS);
        known.learn(newer);
        assert!(!known.holds("ed25519:new", NOW_MS + 1), "it has expired since");
        assert!(known.holds("ed25519:old", NOW_MS - DAY_MS), "it is not told of any more");
        assert_eq!(known.documents(&[], 0).len(), 1);
        let both = ["ed25519:new".to_owned(), "ed25519:old".to_owned()];
        assert_eq!(known.documents(&both, 0).len(), 2);
        assert!(known.documents(&[], NOW_MS + 3 * DAY_MS).is_empty());
        assert!(known.documents(&["ed25519:other".to_owned()], 0).is_empty());
        // Who changes keys all the time does not fill the memory with them.
        for at in 0..2 * KEYS {
            let mut changed = document(DAY_MS);
            changed.truncate(1);
            changed[0].key_id = format!("ed25519:{at}");
            known.learn(changed);
        }
        assert_eq!(known.rows.len(), KEYS);
        assert_eq!(known.rows[0].key_id, format!("ed25519:{}", 2 * KEYS - 1));
    }
}
