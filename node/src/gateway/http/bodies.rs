//! Our own API of bodies: what somebody wears, and what they could.

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use wayside_specs::{Role, limits};

use super::{read, worlds::refused};
use crate::{
    gateway::{
        assets::hash_of,
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, done, json as reply},
    },
    services::{
        accounts::Session,
        bodies::{AvatarRow, Bodies, Looked, looks, report_of},
    },
};

pub(super) fn routes() -> Vec<Route> {
    let (account, member) = (Access::Account, Access::AtLeast(Role::Member));
    let (avatar, avatars) = ("/_wayside/v1/avatar", "/_wayside/v1/avatars");
    let mut upload = Route::own(Method::POST, avatars, member, Rate::Media, add);
    (upload.body_bytes, upload.json) = (limits::AVATAR_BYTES, false);
    vec![
        Route::own(Method::GET, avatar, account, Rate::Read, mine),
        Route::own(Method::PUT, avatar, account, Rate::Write, wear),
        upload,
        Route::own(Method::DELETE, "/_wayside/v1/avatars/{hash}", member, Rate::Write, remove),
        Route::own(
            Method::PUT,
            "/_wayside/v1/avatars/{hash}/licence",
            member,
            Rate::Outside,
            license,
        ),
    ]
}

async fn mine(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = &session(&call)?.user_id;
    let bodies = &call.app.services.bodies;
    let wearing = bodies.of(user_id).await?;
    let seed = format!("{:016x}", wearing.seed);
    let worn = match wearing.upload {
        Some(blob) => json!({
            "kind": "uploaded", "url": wearing.avatar, "sha256": hex::encode(blob),
        }),
        None => json!({ "kind": "generated", "url": wearing.avatar, "seed": seed }),
    };
    let uploads = bodies.uploads(user_id).await?;
    let uploads: Vec<Value> = uploads.iter().map(|row| uploaded(bodies, row)).collect();
    Ok(reply(&json!({
        "worn": worn,
        "generated": {
            "url": wearing.fallback(), "seed": seed, "variant": wearing.variant,
        },
        "looks": looks(user_id),
        "uploads": uploads,
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WearBody {
    variant: Option<i64>,
    sha256: Option<String>,
}

async fn wear(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = &session(&call)?.user_id;
    let body: WearBody = read(call.request.body())?;
    let bodies = &call.app.services.bodies;
    match (body.variant, body.sha256) {
        (Some(variant), None) => bodies.wear_generated(user_id, variant).await?,
        (None, Some(hash)) => bodies.wear_upload(user_id, hash_of(&hash)?).await?,
        _ => return Err(Fault::bad_json("either variant or sha256 says which body to wear")),
    }
    Ok(done())
}

#[derive(Deserialize)]
struct Named {
    name: Option<String>,
}

async fn add(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = session(&call)?.user_id.clone();
    let query = axum::extract::Query::<Named>::try_from_uri(call.request.uri());
    let name = query.ok().and_then(|query| query.0.name).unwrap_or_else(|| "body.vrm".to_owned());
    let bytes = call.request.body().to_vec();
    let bodies = &call.app.services.bodies;
    Ok(match bodies.add(&user_id, name, bytes).await? {
        Looked::Kept(row) => reply(&uploaded(bodies, &row)),
        Looked::Refused(report) => refused("this body cannot be worn", &json!(report)),
    })
}

async fn remove(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = &session(&call)?.user_id;
    let hash = hash_of(call.path.first().map(String::as_str).unwrap_or_default())?;
    call.app.services.bodies.remove(user_id, hash).await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LicenceBody {
    credential: Value,
}

/// Keeps what an author allows to the person beside what the file of a body says.
async fn license(call: Call<Bytes>) -> Result<Reply, Fault> {
    let user_id = &session(&call)?.user_id;
    let hash = hash_of(call.path.first().map(String::as_str).unwrap_or_default())?;
    let LicenceBody { credential } = read(call.request.body())?;
    let credential = match &credential {
        Value::Null => None,
        Value::Object(_) => Some(&credential),
        // The three parts of a token (RFC 7515, section 7.1).
        Value::String(text) if text.split('.').count() == 3 => Some(&credential),
        _ => return Err(Fault::bad_json("credential is one, as an object or a token, or null")),
    };
    let services = &call.app.services;
    let did = services.persons.identity(user_id).await?.did;
    Box::pin(services.bodies.license(user_id, did.as_ref(), hash, credential)).await?;
    Ok(done())
}

fn uploaded(bodies: &Bodies, row: &AvatarRow) -> Value {
    let report = report_of(row);
    json!({
        "sha256": hex::encode(row.blob),
        "url": bodies.reference(row),
        "name": row.name,
        "bytes": row.size,
        "rank": report["rank"],
        "licence": report["licence"],
        "licensed": row.licence.is_some(),
        "report": report,
    })
}

fn session(call: &Call<Bytes>) -> Result<&Session, Fault> {
    call.session.as_ref().ok_or(Fault::MissingToken)
}
