//! What this node is and can.

use bytes::Bytes;
use http::Method;
use ruma::api::client::discovery::{discover_homeserver, get_capabilities, get_supported_versions};
use serde_json::{Value, json};
use wayside_federation::version::RoomVersion;
use wayside_specs::Role;

use crate::gateway::{
    fault::Fault,
    table::{Access, Asked, Call, Rate, Reply, Route, json as reply},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Public, Rate::Free, versions),
        Route::matrix(Access::Public, Rate::Free, well_known),
        Route::own(
            Method::GET,
            "/.well-known/matrix/server",
            Access::Public,
            Rate::Free,
            well_known_server,
        ),
        Route::matrix(Access::Account, Rate::Read, capabilities),
    ]
}

async fn versions(_: Asked<get_supported_versions::Request>) -> Result<Reply, Fault> {
    let versions = [
        "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10",
        "v1.11", "v1.12", "v1.13", "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
    ];
    // Sliding sync is a proposal (MSC4186). The others have long been in the specification, but clients
    // that are in use look for them here before they set up signing or ask for kinds of public rooms.
    let unstable = json!({
        "org.matrix.simplified_msc3575": true,
        "org.matrix.e2e_cross_signing": true,
        "org.matrix.msc3827.stable": true,
    });
    Ok(reply(&json!({ "versions": versions, "unstable_features": unstable })))
}

async fn well_known(asked: Asked<discover_homeserver::Request>) -> Result<Reply, Fault> {
    Ok(reply(&json!({ "m.homeserver": { "base_url": asked.app.places.public } })))
}

/// Where other servers find this node (server-server API, server discovery).
async fn well_known_server(call: Call<Bytes>) -> Result<Reply, Fault> {
    Ok(reply(&json!({ "m.server": call.app.places.federation })))
}

async fn capabilities(asked: Asked<get_capabilities::v3::Request>) -> Result<Reply, Fault> {
    let available: serde_json::Map<String, Value> =
        RoomVersion::ALL.iter().map(|it| (it.as_str().to_owned(), "stable".into())).collect();
    let mut capabilities = json!({
        "m.change_password": { "enabled": true },
        "m.room_versions": { "default": RoomVersion::DEFAULT.as_str(), "available": available },
        "m.set_displayname": { "enabled": true },
        "m.set_avatar_url": { "enabled": true },
        "m.profile_fields": { "enabled": true },
        "m.3pid_changes": { "enabled": asked.app.services.emails.are_sent() },
        "m.get_login_token": { "enabled": true },
    });
    if asked.session()?.role == Role::Operator {
        capabilities["m.account_moderation"] = json!({ "suspend": true, "lock": true });
    }
    Ok(reply(&json!({ "capabilities": capabilities })))
}
