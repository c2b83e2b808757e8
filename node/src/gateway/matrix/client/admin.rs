//! Server administration: who is who, and holding people back.

use ruma::api::client::admin::{
    get_user_info, is_user_locked, is_user_suspended, lock_user, suspend_user,
};
use serde_json::json;
use wayside_specs::Role;

use super::sync::own;
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, json as reply},
    },
    services::accounts::Hold,
};

pub(super) fn routes() -> Vec<Route> {
    let operator = Access::AtLeast(Role::Operator);
    vec![
        Route::matrix(Access::Account, Rate::Read, who_is),
        Route::matrix(operator, Rate::Read, is_locked),
        Route::matrix(operator, Rate::Write, lock),
        Route::matrix(operator, Rate::Read, is_suspended),
        Route::matrix(operator, Rate::Write, suspend),
    ]
}

/// From where somebody is here: for themselves, and for those who run the node.
async fn who_is(asked: Asked<get_user_info::v3::Request>) -> Result<Reply, Fault> {
    let (session, user_id) = (asked.session()?, &asked.body.user_id);
    own(session.role == Role::Operator || session.user_id == *user_id)?;
    let accounts = &asked.app.services.accounts;
    accounts.resident(user_id).await?;
    let mut devices = json!({});
    for device in accounts.devices(user_id).await? {
        let mut seen = json!({ "last_seen": device.seen_ms });
        if let Some(address) = device.seen_address {
            seen["ip"] = address.into();
        }
        devices[device.device_id.as_str()] = json!({ "sessions": [{ "connections": [seen] }] });
    }
    Ok(reply(&json!({ "user_id": user_id, "devices": devices })))
}

async fn is_locked(asked: Asked<is_user_locked::v1::Request>) -> Result<Reply, Fault> {
    let held = asked.app.services.accounts.is_held(&asked.body.user_id, Hold::Locked).await?;
    Ok(reply(&json!({ "locked": held })))
}

async fn lock(asked: Asked<lock_user::v1::Request>) -> Result<Reply, Fault> {
    let (user_id, held) = (&asked.body.user_id, asked.body.locked);
    asked.app.services.accounts.hold(user_id, Hold::Locked, held, true).await?;
    Ok(reply(&json!({ "locked": held })))
}

async fn is_suspended(asked: Asked<is_user_suspended::v1::Request>) -> Result<Reply, Fault> {
    let held = asked.app.services.accounts.is_held(&asked.body.user_id, Hold::Suspended).await?;
    Ok(reply(&json!({ "suspended": held })))
}

async fn suspend(asked: Asked<suspend_user::v1::Request>) -> Result<Reply, Fault> {
    let (user_id, held) = (&asked.body.user_id, asked.body.suspended);
    asked.app.services.accounts.hold(user_id, Hold::Suspended, held, true).await?;
    Ok(reply(&json!({ "suspended": held })))
}
