//! E-mail addresses of accounts, and proofs that somebody reads what is sent to them.

use ruma::{
    UInt,
    api::client::{
        account::{
            add_3pid, delete_3pid, get_3pids, request_3pid_management_token_via_email,
            request_password_change_token_via_email, request_registration_token_via_email,
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
    if asked.body.medium != Medium::Email {
        return Err(Error::MediumUnsupported.into());
    }
    let user_id = &asked.session()?.user_id;
    asked.app.services.emails.remove(user_id, &asked.body.address).await?;
    // No address is ever bound to an account on an identity server here.
    Ok(reply(&json!({ "id_server_unbind_result": "no-support" })))
}

/// The proof that a stage of authentication shows.
pub(super) fn shown(credentials: &ThirdpartyIdCredentials) -> Shown {
    Shown { sid: credentials.sid.to_string(), client_secret: credentials.client_secret.to_string() }
}
