//! Application services, and the networks to which they lead.

use ruma::api::client::{
    appservice::{request_ping, set_room_visibility},
    room::Visibility,
    thirdparty::{
        get_location_for_protocol, get_location_for_room_alias, get_protocol, get_protocols,
        get_user_for_protocol, get_user_for_user_id,
    },
};
use serde_json::{Value, json};

use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::{Error, app_services::Lookup},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Write, ping),
        Route::matrix(Access::Account, Rate::Write, set_visibility),
        Route::matrix(Access::Account, Rate::Read, protocols),
        Route::matrix(Access::Account, Rate::Read, protocol),
        Route::matrix(Access::Account, Rate::Read, location),
        Route::matrix(Access::Account, Rate::Read, location_of),
        Route::matrix(Access::Account, Rate::Read, user),
        Route::matrix(Access::Account, Rate::Read, user_of),
    ]
}

async fn ping(asked: Asked<request_ping::v1::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let service = asked.service().filter(|service| *service.id == *body.appservice_id);
    let service = service.ok_or_else(|| {
        Error::Forbidden("a service has only itself called, and shows its token".to_owned())
    })?;
    let transaction_id = body.transaction_id.as_ref().map(|id| id.as_str());
    let took = asked.app.services.app_services.ping(&service.id, transaction_id).await?;
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    Ok(reply(&json!({ "duration_ms": took_ms })))
}

async fn set_visibility(asked: Asked<set_room_visibility::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let service = asked.service().ok_or_else(|| {
        Error::Forbidden("only application services keep directories of their own".to_owned())
    })?;
    let listed = match body.visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        _ => return Err(Fault::bad_json("visibility is public or private")),
    };
    let rooms = &asked.app.services.rooms;
    rooms.list_on_network(&service.id, &body.network_id, &body.room_id, listed).await?;
    Ok(done())
}

async fn protocols(asked: Asked<get_protocols::v3::Request>) -> Result<Reply, Fault> {
    let known = asked.app.services.app_services.protocols(None).await?;
    Ok(reply(&json!(known)))
}

async fn protocol(asked: Asked<get_protocol::v3::Request>) -> Result<Reply, Fault> {
    let name = asked.body.protocol.as_str();
    let known = asked.app.services.app_services.protocols(Some(name)).await?.remove(name);
    let known = known.ok_or_else(|| Error::NotFound(format!("nothing here leads to {name:?}")))?;
    Ok(reply(&known))
}

async fn location(asked: Asked<get_location_for_protocol::v3::Request>) -> Result<Reply, Fault> {
    let (services, body) = (&asked.app.services.app_services, &asked.body);
    let mut fields = body.fields.clone();
    forget_token(&mut fields);
    let found = services.look_up(Lookup::Location, &body.protocol, &fields).await?;
    Ok(reply(&Value::Array(found)))
}

async fn location_of(
    asked: Asked<get_location_for_room_alias::v3::Request>,
) -> Result<Reply, Fault> {
    let services = &asked.app.services.app_services;
    let found = services.look_back(Lookup::Location, asked.body.alias.as_str()).await?;
    Ok(reply(&Value::Array(found)))
}

async fn user(asked: Asked<get_user_for_protocol::v3::Request>) -> Result<Reply, Fault> {
    let (services, body) = (&asked.app.services.app_services, &asked.body);
    let mut fields = body.fields.clone();
    forget_token(&mut fields);
    let found = services.look_up(Lookup::User, &body.protocol, &fields).await?;
    Ok(reply(&Value::Array(found)))
}

async fn user_of(asked: Asked<get_user_for_user_id::v3::Request>) -> Result<Reply, Fault> {
    let services = &asked.app.services.app_services;
    let found = services.look_back(Lookup::User, asked.body.userid.as_str()).await?;
    Ok(reply(&Value::Array(found)))
}

/// Older clients show their token in the query, which is none of a service's business.
fn forget_token(fields: &mut std::collections::BTreeMap<String, String>) {
    fields.remove("access_token");
}
