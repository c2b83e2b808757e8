//! Backups of people's keys of rooms, encrypted by themselves (client-server API, server-side key backups).

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream::try_unfold};
use ruma::{OwnedRoomId, RoomId, UserId};
use serde_json::value::RawValue;
use wayside_specs::limits;

use super::{Encryption, Error, Ground, raw};
use crate::store::{
    Reads, Tx,
    backups::{self, Backup, BackupKey, Part},
};

/// A backup as its owner sees it.
pub struct BackupInfo {
    /// Its name.
    pub version: String,
    /// How it is encrypted.
    pub algorithm: String,
    /// What the algorithm wants kept beside it.
    pub auth_data: Box<RawValue>,
    /// Changes with the keys in it.
    pub etag: String,
    /// How many keys it holds.
    pub count: i64,
}

/// What a backup is after a change.
pub struct Changed {
    /// Changes with the keys in it.
    pub etag: String,
    /// How many keys it holds.
    pub count: i64,
}

/// The keys of a backup, read from the store while they are sent.
pub struct KeyPages {
    ground: Arc<Ground>,
    user_id: ruma::OwnedUserId,
    version: i64,
    only: Option<OwnedRoomId>,
}

/// Keys of a backup that are read together.
const PAGE: i64 = 1_000;

impl Encryption {
    /// Begins a new backup, which is the newest then; gives its name.
    pub async fn begin_backup(
        &self,
        user_id: &UserId,
        algorithm: String,
        auth_data: Box<RawValue>,
    ) -> Result<String, Error> {
        check_auth_data(&algorithm, &auth_data)?;
        let user_id = user_id.to_owned();
        let begin = self.ground.store.write::<i64, Error>(move |tx| {
            Box::pin(async move { Ok(tx.add_backup(&user_id, &algorithm, auth_data.get()).await?) })
        });
        Ok(begin.await?.to_string())
    }

    /// A backup: the newest, or one by its name.
    pub async fn backup(
        &self,
        user_id: &UserId,
        version: Option<&str>,
    ) -> Result<BackupInfo, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let found = match version {
            None => backups::backup(&mut snapshot, user_id, None).await?.ok_or_else(unknown)?,
            Some(version) => named(&mut snapshot, user_id, version).await?,
        };
        Ok(BackupInfo {
            version: found.version.to_string(),
            algorithm: found.algorithm,
            auth_data: raw(found.auth_data)?,
            etag: found.etag.to_string(),
            count: found.keys,
        })
    }

    /// Changes what is kept beside a backup; how it is encrypted stays.
    pub async fn change_backup(
        &self,
        user_id: &UserId,
        version: &str,
        algorithm: String,
        auth_data: Box<RawValue>,
    ) -> Result<(), Error> {
        check_auth_data(&algorithm, &auth_data)?;
        let (user_id, version) = (user_id.to_owned(), version.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut backup = named(tx, &user_id, &version).await?;
                    if backup.algorithm != algorithm {
                        let why = format!("the algorithm of this backup is {}", backup.algorithm);
                        return Err(Error::Invalid(why));
                    }
                    auth_data.get().clone_into(&mut backup.auth_data);
                    Ok(tx.change_backup(&user_id, &backup).await?)
                })
            })
            .await
    }

    /// Removes a backup with all that is in it.
    pub async fn remove_backup(&self, user_id: &UserId, version: &str) -> Result<(), Error> {
        let (user_id, version) = (user_id.to_owned(), version.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let backup = named(tx, &user_id, &version).await?;
                    Ok(tx.remove_backup(&user_id, backup.version).await?)
                })
            })
            .await
    }

    /// Puts keys into the newest backup; one that is there already gives way only to a better one.
    pub async fn put_keys(
        &self,
        user_id: &UserId,
        version: &str,
        keys: Vec<BackupKey>,
    ) -> Result<Changed, Error> {
        for key in &keys {
            if key.body.len() > limits::KEY_BYTES || key.session_id.len() > limits::ID_BYTES {
                let most = limits::KEY_BYTES;
                let why = format!("a key has at most {most} bytes, and its session's id 255");
                return Err(Error::TooLarge(why));
            }
        }
        let (user_id, version) = (user_id.to_owned(), version.to_owned());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut backup = newest(tx, &user_id, &version).await?;
                    let before = backup.etag;
                    for key in &keys {
                        put(tx, &user_id, &mut backup, key).await?;
                    }
                    if backup.keys > limits::BACKUP_KEYS {
                        let most = limits::BACKUP_KEYS;
                        return Err(Error::TooLarge(format!("a backup has at most {most} keys")));
                    }
                    if backup.etag != before {
                        tx.change_backup(&user_id, &backup).await?;
                    }
                    Ok(changed(&backup))
                })
            })
            .await
    }

    /// Removes keys from the newest backup.
    pub async fn remove_keys(
        &self,
        user_id: &UserId,
        version: &str,
        room_id: Option<&RoomId>,
        session_id: Option<&str>,
    ) -> Result<Changed, Error> {
        let (user_id, version) = (user_id.to_owned(), version.to_owned());
        let (room_id, session_id) = (room_id.map(ToOwned::to_owned), session_id.map(str::to_owned));
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let mut backup = newest(tx, &user_id, &version).await?;
                    let part = match (&room_id, &session_id) {
                        (Some(room_id), Some(session_id)) => Part::Session(room_id, session_id),
                        (Some(room_id), None) => Part::Room(room_id),
                        (None, _) => Part::All,
                    };
                    let removed = tx.remove_backup_keys(&user_id, backup.version, part).await?;
                    if removed > 0 {
                        backup.keys -= i64::try_from(removed).unwrap_or(backup.keys);
                        backup.etag += 1;
                        tx.change_backup(&user_id, &backup).await?;
                    }
                    Ok(changed(&backup))
                })
            })
            .await
    }

    /// One key of a backup.
    pub async fn backup_key(
        &self,
        user_id: &UserId,
        version: &str,
        room_id: &RoomId,
        session_id: &str,
    ) -> Result<Box<RawValue>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let backup = named(&mut snapshot, user_id, version).await?;
        let key = backups::key(&mut snapshot, user_id, backup.version, room_id, session_id).await?;
        let none = || Error::NotFound("the backup has no such key".to_owned());
        raw(key.ok_or_else(none)?.body)
    }

    /// The keys of a backup, of all rooms or of one.
    pub async fn backup_keys(
        &self,
        user_id: &UserId,
        version: &str,
        only: Option<&RoomId>,
    ) -> Result<KeyPages, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let version = named(&mut snapshot, user_id, version).await?.version;
        let (ground, user_id) = (self.ground.clone(), user_id.to_owned());
        Ok(KeyPages { ground, user_id, version, only: only.map(ToOwned::to_owned) })
    }
}

/// How far the keys of a backup have been sent.
#[derive(Default)]
struct Sent {
    behind: (String, String),
    room: Option<OwnedRoomId>,
    ended: bool,
}

impl KeyPages {
    /// The answer as JSON text, page by page: a backup can be larger than what a node likes to hold.
    pub fn json(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        try_unfold((self, Sent::default()), |(pages, mut sent)| async move {
            if sent.ended {
                return Ok(None);
            }
            let mut snapshot = pages.ground.store.snapshot().await?;
            let behind = (sent.behind.0.as_str(), sent.behind.1.as_str());
            let (user_id, only) = (&pages.user_id, pages.only.as_deref());
            let page =
                backups::keys(&mut snapshot, user_id, pages.version, only, behind, PAGE).await?;
            drop(snapshot);
            let text = pages.page(&mut sent, &page)?;
            Ok(Some((Bytes::from(text), (pages, sent))))
        })
    }

    fn page(&self, sent: &mut Sent, page: &[BackupKey]) -> Result<String, Error> {
        let quoted = |text: &str| serde_json::to_string(text).map_err(Error::internal);
        let mut text = String::new();
        if sent.behind.0.is_empty() {
            text.push_str(if self.only.is_some() { "{\"sessions\":{" } else { "{\"rooms\":{" });
        }
        for key in page {
            let goes_on = sent.room.as_deref() == Some(&*key.room_id);
            if goes_on {
                text.push(',');
            } else if self.only.is_none() {
                text.push_str(if sent.room.is_some() { "}}," } else { "" });
                text.extend([quoted(key.room_id.as_str())?.as_str(), ":{\"sessions\":{"]);
            }
            text.extend([quoted(&key.session_id)?.as_str(), ":", key.body.as_str()]);
            sent.room = Some(key.room_id.clone());
            sent.behind = (key.room_id.to_string(), key.session_id.clone());
        }
        sent.ended = i64::try_from(page.len()).is_ok_and(|count| count < PAGE);
        if sent.ended {
            let open = sent.room.is_some() && self.only.is_none();
            text.push_str(if open { "}}}}" } else { "}}" });
        }
        Ok(text)
    }
}

fn check_auth_data(algorithm: &str, auth_data: &RawValue) -> Result<(), Error> {
    if algorithm.is_empty() || algorithm.len() > limits::ID_BYTES {
        return Err(Error::Invalid("the name of an algorithm has 1 to 255 bytes".to_owned()));
    }
    if !auth_data.get().trim_start().starts_with('{') {
        return Err(Error::BadJson("auth_data is an object".to_owned()));
    }
    if auth_data.get().len() > limits::EVENT_BYTES {
        return Err(Error::TooLarge("auth_data has at most 65535 bytes".to_owned()));
    }
    Ok(())
}

fn unknown() -> Error {
    Error::NotFound("there is no such backup".to_owned())
}

fn changed(backup: &Backup) -> Changed {
    Changed { etag: backup.etag.to_string(), count: backup.keys }
}

async fn named(from: &mut impl Reads, user_id: &UserId, version: &str) -> Result<Backup, Error> {
    let number = version.parse().map_err(|_| unknown())?;
    backups::backup(from, user_id, Some(number)).await?.ok_or_else(unknown)
}

/// The newest backup, if that is the one named: keys are kept in no other.
async fn newest(tx: &mut Tx, user_id: &UserId, version: &str) -> Result<Backup, Error> {
    let newest = backups::backup(tx, user_id, None).await?.ok_or_else(unknown)?;
    let current = newest.version.to_string();
    if current == version { Ok(newest) } else { Err(Error::WrongBackup { current }) }
}

async fn put(
    tx: &mut Tx,
    user_id: &UserId,
    backup: &mut Backup,
    key: &BackupKey,
) -> Result<(), Error> {
    let held = backups::key(tx, user_id, backup.version, &key.room_id, &key.session_id).await?;
    if held.as_ref().is_some_and(|held| !is_better(key, held)) {
        return Ok(());
    }
    backup.keys += i64::from(held.is_none());
    backup.etag += 1;
    Ok(tx.put_backup_key(user_id, backup.version, key).await?)
}

/// Verified before unverified, then who opens more, then who came a shorter way.
fn is_better(key: &BackupKey, held: &BackupKey) -> bool {
    let worth = |it: &BackupKey| (it.verified, -it.first_message, -it.forwarded);
    worth(key) > worth(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_gives_way_only_to_a_better_one() {
        let key = |verified, first_message, forwarded| BackupKey {
            room_id: ruma::room_id!("!r:a.test").to_owned(),
            session_id: "s".to_owned(),
            first_message,
            forwarded,
            verified,
            body: "{}".to_owned(),
        };
        let held = key(false, 5, 2);
        for (better, other) in [
            (true, key(true, 9, 9)),
            (true, key(false, 4, 9)),
            (true, key(false, 5, 1)),
            (false, key(false, 5, 2)),
            (false, key(false, 5, 3)),
            (false, key(false, 6, 0)),
        ] {
            assert_eq!(is_better(&other, &held), better, "{other:?}");
        }
        assert!(!is_better(&key(false, 0, 0), &key(true, 5, 2)));
    }
}
