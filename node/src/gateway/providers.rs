//! The doors of those for whom a provider of identities vouches.

use bytes::Bytes;
use http::Method;
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App,
    fault::Fault,
    http::{read, unkept},
    oauth::{Proof, confirm},
    table::{Access, Call, Rate, Reply, Route, json as reply},
};
use crate::services::providers::{Arrived, Provider, Return};

const API: &str = "/_wayside/v1/providers";

pub(super) fn routes() -> Vec<Route> {
    let (post, public, guess) = (Method::POST, Access::Public, Rate::Guess);
    let below = |path: &str| format!("{API}/{path}");
    vec![
        Route::own(post.clone(), &below("{provider}/begin"), public, guess, begin),
        Route::own(post.clone(), &below("finish"), public, guess, finish),
        Route::own(post.clone(), &below("register"), public, guess, register),
        Route::own(post, &below("link"), public, guess, link),
    ]
}

/// What clients and pages show of the providers (client-server API, `m.login.sso`).
pub(super) fn offered(app: &App) -> Vec<Value> {
    let one = |provider: &Provider| {
        let mut told = json!({ "id": provider.id, "name": provider.name });
        if let Some(brand) = &provider.brand {
            told["brand"] = brand.as_str().into();
        }
        told
    };
    app.services.providers.all().map(one).collect()
}

/// The page to which providers send people back.
fn back(app: &App) -> String {
    format!("{}/sign-in/return", app.places.public)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginBody {
    browser: String,
}

/// Says where somebody goes to be vouched for.
async fn begin(call: Call<Bytes>) -> Result<Reply, Fault> {
    let BeginBody { browser } = read(call.request.body())?;
    let id = call.path.first().map(String::as_str).unwrap_or_default();
    let location = call.app.services.providers.begin(id, &browser, &back(&call.app)).await?;
    Ok(unkept(reply(&json!({ "location": location }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishBody {
    state: String,
    code: String,
    iss: Option<String>,
    browser: String,
}

/// Takes in whoever comes back.
async fn finish(call: Call<Bytes>) -> Result<Reply, Fault> {
    let FinishBody { state, code, iss, browser } = read(call.request.body())?;
    let came = Return { state: &state, code: &code, issuer: iss.as_deref() };
    let arrived = call.app.services.providers.finish(came, &browser, &back(&call.app)).await?;
    Ok(unkept(reply(&match arrived {
        Arrived::Known { user_id, login_token } => {
            json!({ "user_id": user_id, "login_token": login_token })
        }
        Arrived::Newcomer(newcomer) => json!({
            "ticket": newcomer.ticket,
            "provider": newcomer.provider,
            "name": newcomer.name,
            "displayname": newcomer.displayname,
            "registration": newcomer.registration,
        }),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterBody {
    ticket: String,
    browser: String,
    name: String,
}

/// Makes an account for a newcomer.
async fn register(call: Call<Bytes>) -> Result<Reply, Fault> {
    let RegisterBody { ticket, browser, name } = read(call.request.body())?;
    Ok(proven(call.app.services.providers.register(&ticket, &browser, &name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkBody {
    ticket: String,
    browser: String,
    proof: Proof,
}

/// Makes a newcomer known as somebody who has an account here.
async fn link(call: Call<Bytes>) -> Result<Reply, Fault> {
    let LinkBody { ticket, browser, proof } = read(call.request.body())?;
    let confirmed = confirm(&call.app, proof).await?;
    Ok(proven(call.app.services.providers.link(&ticket, &browser, confirmed).await?))
}

fn proven((user_id, login_token): (OwnedUserId, String)) -> Reply {
    unkept(reply(&json!({ "user_id": user_id, "login_token": login_token })))
}
