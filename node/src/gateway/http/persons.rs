//! The DIDs of people of this node: what the whole world reads, and what they write themselves.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use ruma::OwnedServerName;
use serde::Deserialize;
use serde_json::{Value, json};
use wayside_specs::{Role, limits};

use super::{badges::asked, read, unkept};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, done, json as reply},
    },
    services::{Error, badges::ToShow, persons::Identity},
};

pub(super) fn routes() -> Vec<Route> {
    let member = Access::AtLeast(Role::Member);
    let (own, saved) = ("/_wayside/v1/identity", "/_wayside/v1/identity/saved");
    let membership = "/_wayside/v1/identity/membership";
    // A whole log, and what JSON escapes of it: every quotation mark.
    let whole = 2 * limits::DID_LOG_BYTES;
    vec![
        Route::own(Method::GET, "/people/{name}/did.jsonl", Access::Public, Rate::Read, log),
        Route::own(Method::GET, "/people/{name}/did.json", Access::Public, Rate::Read, document),
        Route::own(Method::GET, "/.well-known/did.json", Access::Public, Rate::Read, node),
        Route::own(Method::GET, own, member, Rate::Read, look),
        Route::own(Method::POST, own, member, Rate::Write, write).within(whole),
        Route::own(Method::POST, saved, member, Rate::Write, note_saved),
        Route::own(Method::POST, membership, member, Rate::Write, home_says),
    ]
}

async fn log(call: Call<Bytes>) -> Result<Reply, Fault> {
    let log = call.app.services.persons.log(name(&call)).await?.ok_or_else(nobody)?;
    Ok(file(log, "text/jsonl"))
}

async fn document(call: Call<Bytes>) -> Result<Reply, Fault> {
    let document = call.app.services.persons.document(name(&call)).await?.ok_or_else(nobody)?;
    Ok(file(document.to_string().into_bytes(), "application/did+json"))
}

/// The document of the DID by which this node vouches for its people.
async fn node(call: Call<Bytes>) -> Result<Reply, Fault> {
    let document = call.app.services.persons.node_document();
    let document = document.ok_or_else(|| Error::NotFound("this node has no DID".to_owned()))?;
    Ok(file(document.to_string().into_bytes(), "application/did+json"))
}

fn name(call: &Call<Bytes>) -> &str {
    call.path.first().map(String::as_str).unwrap_or_default()
}

fn nobody() -> Error {
    Error::NotFound("nobody of that name has a DID here".to_owned())
}

fn file(bytes: Vec<u8>, kind: &'static str) -> Reply {
    let mut reply = Reply::new(bytes.into());
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // It changes when its person says so, and whoever asks wants to know.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    reply
}

async fn look(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let (identity, copies) = call.app.services.moving.identity(&session.user_id).await?;
    Ok(reply(&told(identity, &copies)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogBody {
    log: String,
}

async fn write(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let body: LogBody = read(call.request.body())?;
    call.app.services.moving.write(&session.user_id, &body.log).await?;
    look(call).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBody {
    seal_key: Option<String>,
}

async fn note_saved(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let body: SavedBody = read(call.request.body())?;
    let moving = &call.app.services.moving;
    moving.note_saved(&session.user_id, body.seal_key.as_deref()).await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipBody {
    /// What is asked of whoever comes in where they show it.
    asks: Option<Value>,
}

/// The node's word that somebody lives here, for whom they show it to, and what else they can show there.
async fn home_says(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let MembershipBody { asks } = read(call.request.body())?;
    let asks = asked(asks.as_ref())?;
    let services = &call.app.services;
    let credential = services.persons.membership(&session.user_id).await?;
    let ToShow { others, asked } = services.badges.to_show(&session.user_id, &asks).await?;
    let told = json!({ "credential": credential, "others": others, "asked": asked });
    Ok(unkept(reply(&told)))
}

/// What a client is told of a DID, and of the servers that keep copies of it.
pub(super) fn told(identity: Identity, copies: &[OwnedServerName]) -> Value {
    let (host, path) = identity.place.unzip();
    json!({
        "did": identity.did.as_ref().map(wayside_specs::Did::as_str),
        "log": identity.log,
        "saved": identity.saved,
        "host": host,
        "path": path,
        "service": identity.service,
        "linked": identity.linked,
        "node_key": identity.node_key.to_multikey(),
        "seal_key": identity.seal_key.map(|key| URL_SAFE_NO_PAD.encode(key)),
        "copies": copies,
    })
}
