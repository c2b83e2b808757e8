//! Backups of people's keys of rooms.

use axum::body::Body;
use ruma::{
    OwnedRoomId, RoomId,
    api::client::backup::{
        add_backup_keys, add_backup_keys_for_room, add_backup_keys_for_session,
        create_backup_version, delete_backup_keys, delete_backup_keys_for_room,
        delete_backup_keys_for_session, delete_backup_version, get_backup_info, get_backup_keys,
        get_backup_keys_for_room, get_backup_keys_for_session, get_latest_backup_info,
        update_backup_version,
    },
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::read::text;
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply, json_bytes},
    },
    services::{
        Error,
        encryption::{BackupInfo, BackupKey, Changed},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Write, begin).for_suspended(),
        Route::matrix(Access::Account, Rate::Read, newest),
        Route::matrix(Access::Account, Rate::Read, one),
        Route::matrix(Access::Account, Rate::Write, change).for_suspended(),
        Route::matrix(Access::Account, Rate::Write, remove).for_suspended(),
        Route::matrix(Access::Account, Rate::Write, put_all).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Write, put_room).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Write, put_session).for_suspended(),
        Route::matrix(Access::Account, Rate::Read, all),
        Route::matrix(Access::Account, Rate::Read, of_room),
        Route::matrix(Access::Account, Rate::Read, of_session),
        Route::matrix(Access::Account, Rate::Write, remove_all).for_suspended(),
        Route::matrix(Access::Account, Rate::Write, remove_room).for_suspended(),
        Route::matrix(Access::Account, Rate::Write, remove_session).for_suspended(),
    ]
}

async fn begin(asked: Asked<create_backup_version::v3::Request>) -> Result<Reply, Fault> {
    let (algorithm, auth_data) = algorithm(asked.body.algorithm.json())?;
    let user_id = &asked.session()?.user_id;
    let encryption = &asked.app.services.encryption;
    let version = encryption.begin_backup(user_id, algorithm, auth_data).await?;
    Ok(reply(&json!({ "version": version })))
}

async fn newest(asked: Asked<get_latest_backup_info::v3::Request>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    info(&asked.app.services.encryption.backup(user_id, None).await?)
}

async fn one(asked: Asked<get_backup_info::v3::Request>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    info(&asked.app.services.encryption.backup(user_id, Some(&asked.body.version)).await?)
}

fn info(backup: &BackupInfo) -> Result<Reply, Fault> {
    let auth_data: Value = serde_json::from_str(backup.auth_data.get()).map_err(Error::internal)?;
    Ok(reply(&json!({
        "algorithm": backup.algorithm,
        "auth_data": auth_data,
        "count": backup.count,
        "etag": backup.etag,
        "version": backup.version,
    })))
}

async fn change(asked: Asked<update_backup_version::v3::Request>) -> Result<Reply, Fault> {
    let named = asked.json.get("version").filter(|named| !named.is_null());
    if named.is_some_and(|named| named.as_str() != Some(asked.body.version.as_str())) {
        return Err(Fault::BadParameter("the body names another version".to_owned()));
    }
    let (algorithm, auth_data) = algorithm(asked.body.algorithm.json())?;
    let user_id = &asked.session()?.user_id;
    let encryption = &asked.app.services.encryption;
    encryption.change_backup(user_id, &asked.body.version, algorithm, auth_data).await?;
    Ok(done())
}

async fn remove(asked: Asked<delete_backup_version::v3::Request>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    asked.app.services.encryption.remove_backup(user_id, &asked.body.version).await?;
    Ok(done())
}

fn algorithm(raw: &RawValue) -> Result<(String, Box<RawValue>), Fault> {
    #[derive(Deserialize)]
    struct Given {
        algorithm: String,
        auth_data: Box<RawValue>,
    }
    let given: Given = serde_json::from_str(raw.get()).map_err(|error| {
        Fault::BadJson(format!("a backup has algorithm and auth_data: {error}"))
    })?;
    Ok((given.algorithm, given.auth_data))
}

async fn put_all(asked: Asked<add_backup_keys::v3::Request>) -> Result<Reply, Fault> {
    let mut keys = Vec::new();
    for (room_id, room) in &asked.body.rooms {
        for (session, raw) in &room.sessions {
            keys.push(key(room_id.clone(), session, raw.json())?);
        }
    }
    put(&asked, &asked.body.version, keys).await
}

async fn put_room(asked: Asked<add_backup_keys_for_room::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let keys = body.sessions.iter();
    let keys = keys.map(|(session, raw)| key(body.room_id.clone(), session, raw.json()));
    let keys = keys.collect::<Result<_, _>>()?;
    put(&asked, &body.version, keys).await
}

async fn put_session(
    asked: Asked<add_backup_keys_for_session::v3::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    let keys = vec![key(body.room_id.clone(), &body.session_id, body.session_data.json())?];
    put(&asked, &body.version, keys).await
}

async fn put<T>(asked: &Asked<T>, version: &str, keys: Vec<BackupKey>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    Ok(changed(&asked.app.services.encryption.put_keys(user_id, version, keys).await?))
}

/// A room id has something behind its sigil, which the parser of paths does not ask for.
fn room(room_id: &RoomId) -> Result<&RoomId, Fault> {
    if room_id.as_str().len() > 1 {
        Ok(room_id)
    } else {
        Err(Fault::BadParameter(format!("{room_id:?} is no room id")))
    }
}

/// A key as a client writes it (client-server API, `KeyBackupData`).
fn key(room_id: OwnedRoomId, session_id: &str, raw: &RawValue) -> Result<BackupKey, Fault> {
    #[derive(Deserialize)]
    struct Given {
        first_message_index: u32,
        forwarded_count: u32,
        is_verified: bool,
        #[serde(rename = "session_data")]
        _session_data: serde_json::Map<String, Value>,
    }
    let given: Given = serde_json::from_str(raw.get())
        .map_err(|error| Fault::BadJson(format!("a key of a backup is not whole: {error}")))?;
    room(&room_id)?;
    Ok(BackupKey {
        room_id,
        session_id: session_id.to_owned(),
        first_message: given.first_message_index.into(),
        forwarded: given.forwarded_count.into(),
        verified: given.is_verified,
        body: raw.get().to_owned(),
    })
}

fn changed(changed: &Changed) -> Reply {
    reply(&json!({ "count": changed.count, "etag": changed.etag }))
}

async fn all(asked: Asked<get_backup_keys::v3::Request>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    let encryption = &asked.app.services.encryption;
    let pages = encryption.backup_keys(user_id, &asked.body.version, None).await?;
    Ok(json_bytes(Body::from_stream(pages.json())))
}

async fn of_room(asked: Asked<get_backup_keys_for_room::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let user_id = &asked.session()?.user_id;
    let encryption = &asked.app.services.encryption;
    let pages = encryption.backup_keys(user_id, &body.version, Some(room(&body.room_id)?)).await?;
    Ok(json_bytes(Body::from_stream(pages.json())))
}

async fn of_session(
    asked: Asked<get_backup_keys_for_session::v3::Request>,
) -> Result<Reply, Fault> {
    let (body, user_id) = (&asked.body, &asked.session()?.user_id);
    let (encryption, room_id) = (&asked.app.services.encryption, room(&body.room_id)?);
    let found = encryption.backup_key(user_id, &body.version, room_id, &body.session_id);
    text(&found.await?)
}

async fn remove_all(asked: Asked<delete_backup_keys::v3::Request>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    let encryption = &asked.app.services.encryption;
    Ok(changed(&encryption.remove_keys(user_id, &asked.body.version, None, None).await?))
}

async fn remove_room(
    asked: Asked<delete_backup_keys_for_room::v3::Request>,
) -> Result<Reply, Fault> {
    let (body, user_id) = (&asked.body, &asked.session()?.user_id);
    let encryption = &asked.app.services.encryption;
    let room = Some(room(&body.room_id)?);
    Ok(changed(&encryption.remove_keys(user_id, &body.version, room, None).await?))
}

async fn remove_session(
    asked: Asked<delete_backup_keys_for_session::v3::Request>,
) -> Result<Reply, Fault> {
    let (body, user_id) = (&asked.body, &asked.session()?.user_id);
    let encryption = &asked.app.services.encryption;
    let (room, session) = (Some(room(&body.room_id)?), Some(body.session_id.as_str()));
    Ok(changed(&encryption.remove_keys(user_id, &body.version, room, session).await?))
}
