//! The doors of passkeys: adding and removing one's own, and showing one to come in.

use bytes::Bytes;
use http::Method;
use ruma::api::client::uiaa::AuthData;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wayside_specs::Role;

use super::{
    fault::Fault,
    http::{read, unkept},
    json::{Kind, object},
    matrix::client::{BY_PASSKEY, Wanting, older, prove},
    table::{Access, Call, Rate, Reply, Route, done, json as reply},
};
use crate::services::{
    Error,
    accounts::{
        Confirmed, LOGIN_TOKEN_MS, Operation, Session,
        passkeys::{Begun, CEREMONY_MS, Shown, Use, told},
    },
};

const ALL: &str = "/_wayside/v1/passkeys";
const ONE: &str = "/_wayside/v1/passkeys/{passkey}";

/// What a browser shows: lists would be taken for these, too.
const SHOWN: &[(&str, Kind)] =
    &[("credential/response", Kind::Object), ("credential/clientExtensionResults", Kind::Object)];
/// The same within a larger body.
pub(super) const PASSKEY: [(&str, Kind); 3] = [
    ("passkey", Kind::Object),
    ("passkey/credential/response", Kind::Object),
    ("passkey/credential/clientExtensionResults", Kind::Object),
];

pub(super) fn routes() -> Vec<Route> {
    let (member, public) = (Access::AtLeast(Role::Member), Access::Public);
    let below = |path: &str| format!("{ALL}/{path}");
    let (post, guess) = (Method::POST, Rate::Guess);
    vec![
        Route::own(Method::GET, ALL, member, Rate::Read, list),
        Route::own(post.clone(), &below("add"), member, guess, begin_adding),
        Route::own(post.clone(), ALL, member, guess, add).typed(SHOWN),
        Route::own(Method::PUT, ONE, member, Rate::Write, rename).for_suspended(),
        Route::own(Method::DELETE, ONE, member, guess, remove).with_body().for_suspended(),
        Route::own(post.clone(), &below("confirm"), member, Rate::Read, confirm).for_suspended(),
        Route::own(post.clone(), &below("show"), public, Rate::Read, show),
        Route::own(post.clone(), &below("token"), public, guess, token).typed(SHOWN),
        Route::own(post, &below("password"), public, guess, password).typed(SHOWN),
    ]
}

/// A passkey that is shown in a body.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShownPasskey {
    ceremony: String,
    credential: Map<String, Value>,
}

impl From<ShownPasskey> for Shown {
    fn from(ShownPasskey { ceremony, credential }: ShownPasskey) -> Self {
        Self { ceremony, credential }
    }
}

/// Whether a stage of user-interactive authentication shows a passkey.
pub(super) fn is_shown(auth: &AuthData) -> bool {
    auth.auth_type().is_some_and(|stage| stage.as_str() == BY_PASSKEY)
}

/// The passkey that it shows.
pub(super) fn shown(auth: &AuthData) -> Result<Shown, Fault> {
    let data = Value::Object(auth.data().into_owned());
    let read = serde_json::from_value::<ShownPasskey>(data);
    let read = read.map_err(|error| Fault::BadJson(format!("auth is not right: {error}")))?;
    Ok(read.into())
}

/// Lets only those on who show again who they are.
pub(super) async fn proven(call: &Call<Bytes>, operation: Operation) -> Result<Confirmed, Fault> {
    let session = person(call)?;
    let mut body = match call.request.body() {
        body if body.is_empty() => json!({}),
        body => object(body)?,
    };
    older(&mut body)?;
    let auth = match body.get("auth") {
        None | Some(Value::Null) => None,
        Some(auth @ Value::Object(_)) => Some(serde_json::from_value::<AuthData>(auth.clone())),
        Some(_) => return Err(Fault::bad_json("auth is an object")),
    };
    let auth = auth.transpose();
    let auth = auth.map_err(|error| Fault::BadJson(format!("auth is not right: {error}")))?;
    let wanting = Wanting { app: &call.app, session, operation, body: &body };
    prove(wanting, auth.as_ref()).await
}

/// Whoever asks, who is no puppet: an application service comes in by its own token.
pub(super) fn person(call: &Call<Bytes>) -> Result<&Session, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    if session.service.is_some() {
        let why = "the users of application services come in by its token alone";
        return Err(Error::Forbidden(why.to_owned()).into());
    }
    Ok(session)
}

pub(super) fn one(call: &Call<Bytes>) -> &str {
    call.path.first().map(String::as_str).unwrap_or_default()
}

fn begun_json(Begun { ceremony, options }: Begun) -> Reply {
    let body = json!({ "ceremony": ceremony, "options": options, "expires_in_ms": CEREMONY_MS });
    unkept(reply(&body))
}

async fn list(call: Call<Bytes>) -> Result<Reply, Fault> {
    let passkeys = call.app.services.accounts.passkeys(&person(&call)?.user_id).await?;
    let passkeys: Vec<Value> = passkeys.iter().map(told).collect();
    Ok(reply(&json!({ "passkeys": passkeys })))
}

async fn begin_adding(call: Call<Bytes>) -> Result<Reply, Fault> {
    let confirmed = proven(&call, Operation::AddPasskey).await?;
    Ok(begun_json(call.app.services.accounts.begin_passkey(confirmed).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBody {
    ceremony: String,
    credential: Map<String, Value>,
    name: String,
}

async fn add(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = &person(&call)?.user_id;
    let AddBody { ceremony, credential, name } = read(call.request.body())?;
    let shown = Shown { ceremony, credential };
    let added = call.app.services.accounts.add_passkey(user_id, shown, &name).await?;
    Ok(reply(&told(&added)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RenameBody {
    name: String,
}

async fn rename(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = &person(&call)?.user_id;
    let RenameBody { name } = read(call.request.body())?;
    call.app.services.accounts.rename_passkey(user_id, one(&call), &name).await?;
    Ok(done())
}

async fn remove(call: Call<Bytes>) -> Result<Reply, Fault> {
    let passkey = one(&call).to_owned();
    let confirmed = proven(&call, Operation::RemovePasskey { passkey }).await?;
    let user_id = &person(&call)?.user_id;
    call.app.services.accounts.remove_passkey(user_id, one(&call), confirmed).await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingBody {}

/// Begins the stage by which somebody confirms what they do.
async fn confirm(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = &person(&call)?.user_id;
    let NothingBody {} = read(call.request.body())?;
    Ok(begun_json(call.app.services.accounts.begin_confirming(user_id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowBody {
    #[serde(rename = "for")]
    goal: Goal,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Goal {
    SignIn,
    Password,
}

/// Begins the showing of a passkey by somebody whom nobody knows yet.
async fn show(call: Call<Bytes>) -> Result<Reply, Fault> {
    let ShowBody { goal } = read(call.request.body())?;
    let goal = match goal {
        Goal::SignIn => Use::SignIn,
        Goal::Password => Use::Password,
    };
    Ok(begun_json(call.app.services.accounts.begin_use(goal)?))
}

/// A login token for whoever shows a passkey.
async fn token(call: Call<Bytes>) -> Result<Reply, Fault> {
    let shown: ShownPasskey = read(call.request.body())?;
    let accounts = &call.app.services.accounts;
    let confirmed = accounts.known_by_passkey(Use::SignIn, shown.into()).await?;
    let token = accounts.login_token(confirmed).await?;
    Ok(unkept(reply(&json!({ "login_token": token, "expires_in_ms": LOGIN_TOKEN_MS }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    ceremony: String,
    credential: Map<String, Value>,
    password: String,
}

/// Sets the password that somebody chose who shows a passkey.
async fn password(call: Call<Bytes>) -> Result<Reply, Fault> {
    let PasswordBody { ceremony, credential, password } = read(call.request.body())?;
    let accounts = &call.app.services.accounts;
    let shown = Shown { ceremony, credential };
    let confirmed = accounts.known_by_passkey(Use::Password, shown).await?;
    let user_id = accounts.reset_by(confirmed, password).await?;
    Ok(reply(&json!({ "user_id": user_id })))
}
