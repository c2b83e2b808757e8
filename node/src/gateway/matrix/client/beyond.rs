//! What leads beyond this node: other services, calls through firewalls, and whoever runs it.

use ruma::api::client::{
    account::request_openid_token, discovery::discover_support, voip::get_turn_server_info,
};
use serde_json::json;
use wayside_identity::turn;

use super::sync::own;
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::{Error, accounts::OPENID_SECONDS},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Write, openid_token),
        Route::matrix(Access::Account, Rate::Read, turn_server),
        Route::matrix(Access::Public, Rate::Free, support),
    ]
}

/// How long credentials for a TURN server are good, in seconds.
const TURN_SECONDS: u64 = 24 * 60 * 60;

async fn openid_token(asked: Asked<request_openid_token::v3::Request>) -> Result<Reply, Fault> {
    let user_id = &asked.session()?.user_id;
    own(asked.body.user_id == *user_id)?;
    let secret = asked.app.services.accounts.openid_token(user_id).await?;
    Ok(reply(&json!({
        "access_token": secret.reveal(),
        "token_type": "Bearer",
        "matrix_server_name": asked.app.services.ground.server_name,
        "expires_in": OPENID_SECONDS,
    })))
}

async fn turn_server(asked: Asked<get_turn_server_info::v3::Request>) -> Result<Reply, Fault> {
    let ground = &asked.app.services.ground;
    let Some(secret) = &ground.config.turn_secret else { return Ok(done()) };
    let now_seconds = u64::try_from(ground.clock.now_ms() / 1_000).unwrap_or_default();
    let user = asked.session()?.user_id.as_str();
    let made = turn::credentials(secret, user, now_seconds + TURN_SECONDS);
    Ok(reply(&json!({
        "username": made.username,
        "password": made.password,
        "uris": ground.config.turn_uris,
        "ttl": TURN_SECONDS,
    })))
}

async fn support(asked: Asked<discover_support::Request>) -> Result<Reply, Fault> {
    let config = &asked.app.services.ground.config;
    let mut contact = json!({ "role": "m.role.admin" });
    if let Some(email) = &config.support_email {
        contact["email_address"] = email.as_str().into();
    }
    if let Some(user_id) = &config.support_matrix_id {
        contact["matrix_id"] = user_id.as_str().into();
    }
    let mut body = json!({});
    if config.support_email.is_some() || config.support_matrix_id.is_some() {
        body["contacts"] = json!([contact]);
    }
    if let Some(page) = &config.support_page {
        body["support_page"] = page.as_str().into();
    }
    if body == json!({}) {
        let why = "whoever runs this node has named no way to reach them";
        return Err(Error::NotFound(why.to_owned()).into());
    }
    Ok(reply(&body))
}
