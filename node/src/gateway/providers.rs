//! The doors of those for whom a provider of identities vouches.

use bytes::Bytes;
use http::Method;
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wayside_specs::Role;

use super::{
    App,
    fault::Fault,
    http::{read, unkept},
    json::Kind,
    oauth::{PROVEN, Proof, confirm},
    passkeys::{ShownPasskey, one, person, proven},
    table::{Access, Call, Rate, Reply, Route, done, json as reply},
};
use crate::services::{
    Error, Unproven,
    accounts::{Operation, passkeys::Use},
    providers::{Arrived, Brought, Errand, Link, Presentations, Provider, Return, Whom},
};

const API: &str = "/_wayside/v1/providers";
const LINKS: &str = "/_wayside/v1/links";
const LINK: &str = "/_wayside/v1/links/{link}";

/// The proof of who adds something, which is looked at last.
const SHOWN_AGAIN: &[(&str, Kind)] = &[
    ("auth/type", Kind::Text),
    ("auth/session", Kind::Text),
    ("auth/password", Kind::Text),
    ("auth/identifier", Kind::Object),
    ("auth/identifier/type", Kind::Text),
    ("auth/identifier/user", Kind::Text),
];

pub(super) fn routes() -> Vec<Route> {
    let (post, public, guess) = (Method::POST, Access::Public, Rate::Guess);
    let member = Access::AtLeast(Role::Member);
    let below = |path: &str| format!("{API}/{path}");
    vec![
        Route::own(post.clone(), &below("{provider}/begin"), public, guess, begin),
        Route::own(post.clone(), &below("finish"), public, guess, finish),
        Route::own(post.clone(), &below("register"), public, guess, register),
        Route::own(post.clone(), &below("link"), public, guess, link).typed(PROVEN),
        Route::own(Method::GET, LINKS, member, Rate::Read, links),
        Route::own(post, LINKS, member, guess, add).typed(SHOWN_AGAIN),
        Route::own(Method::DELETE, LINK, member, guess, remove).with_body().for_suspended(),
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
    /// Whether they say anew who they are, to confirm something.
    #[serde(default)]
    confirm: bool,
    /// Where their home is who come by their DID.
    home: Option<String>,
}

/// Says where somebody goes to be vouched for.
async fn begin(call: Call<Bytes>) -> Result<Reply, Fault> {
    let BeginBody { browser, confirm, home } = read(call.request.body())?;
    let errand = if confirm { Errand::Confirm } else { Errand::SignIn };
    let (providers, back) = (&call.app.services.providers, back(&call.app));
    let whom = Whom { id: one(&call), home: home.as_deref() };
    let location = providers.begin(whom, &browser, &back, errand).await?;
    Ok(unkept(reply(&json!({ "location": location }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FinishBody {
    state: String,
    code: Option<String>,
    iss: Option<String>,
    /// What somebody shows who comes by their DID.
    vp_token: Option<Presentations>,
    browser: String,
    /// The session of what they confirm, if they do.
    confirm: Option<String>,
}

/// Takes in whoever comes back.
async fn finish(call: Call<Bytes>) -> Result<Reply, Fault> {
    let FinishBody { state, code, iss, vp_token, browser, confirm } = read(call.request.body())?;
    let brought = match (&code, &vp_token) {
        (Some(code), None) => Brought::Code { code, issuer: iss.as_deref() },
        (None, Some(shown)) if iss.is_none() => Brought::Presentations(shown),
        _ => return Err(Fault::bad_json("either a code is brought or a vp_token")),
    };
    let came = Return { state: &state, brought };
    let (providers, back) = (&call.app.services.providers, back(&call.app));
    let arrived = Box::pin(providers.finish(came, &browser, &back, confirm.as_deref())).await?;
    Ok(unkept(reply(&match arrived {
        Arrived::Known { user_id, login_token } => {
            json!({ "user_id": user_id, "login_token": login_token })
        }
        Arrived::Confirming { user_id, word } => json!({ "user_id": user_id, "word": word }),
        Arrived::Linked { user_id, provider } => {
            json!({ "user_id": user_id, "linked": provider })
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
    Ok(let_in(call.app.services.providers.register(&ticket, &browser, &name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LinkBody {
    ticket: String,
    browser: String,
    proof: Option<Proof>,
    /// The same by a passkey.
    passkey: Option<ShownPasskey>,
}

/// Makes a newcomer known as somebody who has an account here.
async fn link(call: Call<Bytes>) -> Result<Reply, Fault> {
    let LinkBody { ticket, browser, proof, passkey } = read(call.request.body())?;
    let accounts = &call.app.services.accounts;
    let confirmed = match (proof, passkey) {
        (Some(proof @ Proof::Password { .. }), None) => confirm(&call.app, proof).await?,
        (None, Some(shown)) => accounts.known_by_passkey(Use::SignIn, shown.into()).await?,
        // What opens the account for ever takes its person: others hold such a token as well.
        (Some(_), None) => return Err(Error::from(Unproven::Absent).into()),
        _ => return Err(Fault::bad_json("either a proof or a passkey is shown")),
    };
    Ok(let_in(call.app.services.providers.link(&ticket, &browser, confirmed).await?))
}

/// The accounts elsewhere by which somebody is known.
async fn links(call: Call<Bytes>) -> Result<Reply, Fault> {
    let links = call.app.services.providers.links(&person(&call)?.user_id).await?;
    let told = |Link { id, provider, name, issuer, did, linked_ms }: &Link| {
        let mut told = json!({
            "id": id, "provider": provider, "name": name, "issuer": issuer, "linked_ms": linked_ms,
        });
        if let Some(did) = did {
            told["did"] = did.as_str().into();
        }
        told
    };
    let links: Vec<Value> = links.iter().map(told).collect();
    Ok(reply(&json!({ "links": links })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    provider: String,
    browser: String,
    home: Option<String>,
    #[serde(rename = "auth")]
    _auth: Option<Map<String, Value>>,
}

/// Says where somebody goes who wants to be known by one more account elsewhere.
async fn add(call: Call<Bytes>) -> Result<Reply, Fault> {
    let AddBody { provider, browser, home, .. } = read(call.request.body())?;
    call.app.services.providers.knows(&provider)?;
    let adding = Operation::AddLink { provider: provider.clone(), home: home.clone() };
    let confirmed = proven(&call, adding).await?;
    let user_id = call.app.services.accounts.begin_linking(confirmed).await?;
    let (providers, back) = (&call.app.services.providers, back(&call.app));
    let whom = Whom { id: &provider, home: home.as_deref() };
    let location = providers.begin(whom, &browser, &back, Errand::Link(user_id)).await?;
    Ok(unkept(reply(&json!({ "location": location }))))
}

/// Lets a provider vouch no longer for somebody.
async fn remove(call: Call<Bytes>) -> Result<Reply, Fault> {
    let link = one(&call).to_owned();
    let confirmed = proven(&call, Operation::RemoveLink { link }).await?;
    let user_id = &person(&call)?.user_id;
    call.app.services.accounts.unlink(user_id, one(&call), confirmed).await?;
    Ok(done())
}

fn let_in((user_id, login_token): (OwnedUserId, String)) -> Reply {
    unkept(reply(&json!({ "user_id": user_id, "login_token": login_token })))
}
