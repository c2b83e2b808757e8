//! E-mail addresses of accounts, proofs that somebody reads what is sent to them, and who is told of them.

use ruma::{
    UInt,
    api::client::{
        account::{
            add_3pid, bind_3pid, delete_3pid, get_3pids, request_3pid_management_token_via_email,
            request_password_change_token_via_email, request_registration_token_via_email,
            unbind_3pid,
        },
        uiaa::ThirdpartyIdCredentials,
    },
    thirdparty::Medium,
};
use serde_json::{Value, json};
use wayside_specs::Role;

use super::proof::{confirm, older};
use crate::{
    gateway::{
        fault::Fault,
        json::Kind,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        accounts::Operation,
        emails::{Purpose, Shown, Wanted},
        identity_servers::{Named, ThirdPartyId},
    },
};

pub(super) fn routes() -> Vec<Route> {
    let member = Access::AtLeast(Role::Member);
    vec![
        Route::matrix(Access::Public, Rate::Guess, ask_to_add).typed(ELSEWHERE),
        Route::matrix(Access::Public, Rate::Guess, ask_to_register).typed(ELSEWHERE),
        Route::matrix(Access::Public, Rate::Guess, ask_for_password).typed(ELSEWHERE),
        Route::matrix(Access::Account, Rate::Read, list),
        Route::matrix(member, Rate::Guess, add).reading(older),
        Route::matrix(member, Rate::Write, delete),
        Route::matrix(member, Rate::Write, bind),
        Route::matrix(member, Rate::Write, unbind),
    ]
}

/// What an identity server is told, which is asked nothing here; the request's types overlook what is
/// wrong with it.
const ELSEWHERE: &[(&str, Kind)] = &[("id_server", Kind::Text), ("id_access_token", Kind::Text)];

async fn ask<T>(
    asked: &Asked<T>,
    purpose: Purpose,
    (secret, attempt): (&str, UInt),
    address: &str,
) -> Result<Reply, Fault> {
    let emails = &asked.app.services.emails;
    let client = (secret, attempt.into());
    let (public, language) = (&asked.app.places.public, asked.language);
    let sid = emails.ask(Wanted { purpose, public, language }, client, address).await?;
    Ok(reply(&json!({ "sid": sid })))
}

async fn ask_to_add(
    asked: Asked<request_3pid_management_token_via_email::v3::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    let client = (body.client_secret.as_str(), body.send_attempt);
    ask(&asked, Purpose::Add, client, &body.email).await
}

async fn ask_to_register(
    asked: Asked<request_registration_token_via_email::v3::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    let client = (body.client_secret.as_str(), body.send_attempt);
    ask(&asked, Purpose::Register, client, &body.email).await
}

async fn ask_for_password(
    asked: Asked<request_password_change_token_via_email::v3::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    let client = (body.client_secret.as_str(), body.send_attempt);
    ask(&asked, Purpose::Password, client, &body.email).await
}

async fn list(asked: Asked<get_3pids::v3::Request>) -> Result<Reply, Fault> {
    let found = asked.app.services.emails.list(&asked.session()?.user_id).await?;
    let found: Vec<Value> = found
        .iter()
        .map(|it| {
            json!({
                "medium": "email",
                "address": it.address,
                "validated_at": it.validated_ms,
                "added_at": it.added_ms,
            })
        })
        .collect();
    Ok(reply(&json!({ "threepids": found })))
}

async fn add(asked: Asked<add_3pid::v3::Request>) -> Result<Reply, Fault> {
    let auth = asked.body.auth.as_ref();
    let confirmed = confirm(&asked, Operation::AddEmail, auth).await?;
    asked.app.services.accounts.spend(confirmed).await?;
    let (sid, client_secret) = (asked.body.sid.to_string(), asked.body.client_secret.to_string());
    let shown = Shown { sid, client_secret };
    let user_id = &asked.session()?.user_id;
    asked.app.services.emails.add(user_id, Purpose::Add, shown).await?;
    Ok(done())
}

async fn delete(asked: Asked<delete_3pid::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    if body.medium != Medium::Email {
        return Err(Error::MediumUnsupported.into());
    }
    let user_id = &asked.session()?.user_id;
    asked.app.services.emails.remove(user_id, &body.address).await?;
    // It is gone from here, whatever becomes of it elsewhere.
    let told = forget(&asked, &body.medium, &body.address, body.id_server.as_deref()).await;
    told.or_else(|_| Ok(reply(&unbound(false))))
}

/// Has an identity server know that an address is the asker's, which they have shown to it.
async fn bind(asked: Asked<bind_3pid::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let named = &body.identity_server_info;
    let at = Named::read(&named.id_server, &named.id_access_token)?;
    let (sid, client_secret) = (body.sid.to_string(), body.client_secret.to_string());
    asked.app.calls(asked.session()?)?;
    let services = &asked.app.services;
    let identity_servers = services.identity_servers.clone();
    let user_id = asked.session()?.user_id.clone();
    // To its end, also when the client hangs up: what was bound there is to be known here.
    let work = async move { identity_servers.bind(&at, (&sid, &client_secret), &user_id).await };
    services.ground.to_its_end(work).await?;
    Ok(done())
}

async fn unbind(asked: Asked<unbind_3pid::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    forget(&asked, &body.medium, &body.address, body.id_server.as_deref()).await
}

async fn forget<T>(
    asked: &Asked<T>,
    medium: &Medium,
    address: &str,
    id_server: Option<&str>,
) -> Result<Reply, Fault> {
    let id = ThirdPartyId::read(medium.as_str(), address)?;
    asked.app.calls(asked.session()?)?;
    let services = &asked.app.services;
    let identity_servers = services.identity_servers.clone();
    let (user_id, id_server) = (asked.session()?.user_id.clone(), id_server.map(ToOwned::to_owned));
    let work = async move { identity_servers.unbind(&user_id, &id, id_server.as_deref()).await };
    let forgotten = services.ground.to_its_end(work).await?;
    Ok(reply(&unbound(forgotten)))
}

/// What is said of identity servers that were to forget addresses.
pub(super) fn unbound(forgotten: bool) -> Value {
    json!({ "id_server_unbind_result": if forgotten { "success" } else { "no-support" } })
}

/// The proof that a stage of authentication shows.
pub(super) fn shown(credentials: &ThirdpartyIdCredentials) -> Shown {
    Shown { sid: credentials.sid.to_string(), client_secret: credentials.client_secret.to_string() }
}
