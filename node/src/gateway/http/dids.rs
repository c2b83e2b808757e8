//! What a DID leads to, as this node resolves it (DID Resolution 0.3, "HTTP(S) Binding").

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::Value;
use wayside_identity::time;
use wayside_specs::Did;

use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, json as reply},
    },
    services::dids::Asked,
};

/// How old an answer may be, in milliseconds: a page that shows somebody asks for them again and again.
const MAX_AGE_MS: i64 = 60_000;

pub(super) fn routes() -> Vec<Route> {
    let path = "/_wayside/v1/dids/{did}";
    vec![Route::own(Method::GET, path, Access::Account, Rate::Outside, resolve)]
}

async fn resolve(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let did: Did = text.parse().map_err(|error| Fault::BadParameter(format!("{error}")))?;
    let asked = asked(call.request.uri().query().unwrap_or_default())?;
    let dids = &call.app.services.dids;
    let (status, told) = match asked {
        None => match dids.resolve(&did, MAX_AGE_MS).await {
            Ok(resolved) => (200, resolved.told()),
            Err(why) => (why.status(), why.told()),
        },
        Some(asked) => match dids.version(&did, &asked).await {
            Ok(resolved) => (200, resolved.told()),
            Err(why) => (why.status(), why.told()),
        },
    };
    Ok(answer(status, &told))
}

/// Which version is asked for, if one is.
fn asked(query: &str) -> Result<Option<Asked>, Fault> {
    let mut asked = None;
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let wrong = |what| Fault::BadParameter(format!("{name}: {value:?} is no {what}"));
        let this = match name.as_ref() {
            "versionId" => Asked::Id(value.to_string()),
            "versionNumber" => Asked::Number(value.parse().map_err(|_| wrong("number"))?),
            "versionTime" => Asked::Time(time::read(&value).ok_or_else(|| wrong("time in UTC"))?),
            _ => continue,
        };
        if asked.replace(this).is_some() {
            return Err(Fault::BadParameter("one version can be asked for at a time".to_owned()));
        }
    }
    Ok(asked)
}

fn answer(status: u16, told: &Value) -> Reply {
    let mut reply = reply(told);
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static("application/did-resolution");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}
