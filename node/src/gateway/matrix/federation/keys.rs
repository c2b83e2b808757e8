//! The keys of this node, and as a notary those of others (server-server API, "Retrieving server keys").

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;

use crate::{
    gateway::{
        fault::Fault,
        json::{Kind, object},
        table::{Access, Call, Rate, Reply, Route, json_bytes},
    },
    services::servers::Wishes,
};

pub(super) fn routes() -> Vec<Route> {
    let (get, public) = (Method::GET, Access::Public);
    vec![
        Route::own(get.clone(), "/_matrix/key/v2/server", public, Rate::Read, own),
        Route::own(get.clone(), "/_matrix/key/v2/server/{key_id}", public, Rate::Read, own),
        // The same without an id, as Sydent asks for it.
        Route::own(get.clone(), "/_matrix/key/v2/server/", public, Rate::Read, own),
        // Whoever asks may make this node call others.
        Route::own(get, "/_matrix/key/v2/query/{server}", public, Rate::Outside, of_one),
        Route::own(Method::POST, "/_matrix/key/v2/query", public, Rate::Outside, of_many)
            .typed(&[("server_keys", Kind::Object), ("server_keys/*/*", Kind::Object)]),
    ]
}

async fn own(call: Call<Bytes>) -> Result<Reply, Fault> {
    Ok(json_bytes(call.app.services.ground.published_keys()?))
}

async fn of_one(call: Call<Bytes>) -> Result<Reply, Fault> {
    let name = call.path.first().map(String::as_str).unwrap_or_default();
    let name = ServerName::parse(name)
        .map_err(|_| Fault::BadParameter(format!("{name:?} is no name of a server")))?;
    let query = call.request.uri().query().unwrap_or_default();
    let mut fields = url::form_urlencoded::parse(query.as_bytes());
    let until = fields.find(|(field, _)| field == "minimum_valid_until_ts");
    let until_ms = match until {
        Some((_, text)) => text.parse().map_err(|_| {
            Fault::BadParameter(format!(
                "minimum_valid_until_ts: {text:?} is no time in milliseconds"
            ))
        })?,
        None => 0,
    };
    told(&call, BTreeMap::from([(name, (Vec::new(), until_ms))])).await
}

/// The keys that somebody asks for: by server and id.
#[derive(Deserialize)]
struct Wanted {
    server_keys: BTreeMap<OwnedServerName, BTreeMap<String, Criteria>>,
}

#[derive(Deserialize)]
struct Criteria {
    #[serde(default)]
    minimum_valid_until_ts: i64,
}

async fn of_many(call: Call<Bytes>) -> Result<Reply, Fault> {
    let body = object(call.request.body())?;
    let wanted = Wanted::deserialize(body).map_err(|error| Fault::BadJson(error.to_string()))?;
    let wishes = wanted.server_keys.into_iter().map(|(name, keys)| {
        let until_ms = keys.values().map(|it| it.minimum_valid_until_ts).max().unwrap_or(0);
        (name, (keys.into_keys().collect(), until_ms))
    });
    told(&call, wishes.collect()).await
}

async fn told(call: &Call<Bytes>, wishes: Wishes) -> Result<Reply, Fault> {
    let documents = call.app.services.servers.vouch(wishes).await?;
    Ok(json_bytes(format!(r#"{{"server_keys":[{}]}}"#, documents.join(","))))
}
