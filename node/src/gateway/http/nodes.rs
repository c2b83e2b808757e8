//! Other nodes, for those who walk from one to the next: where their pages are, and where one's home is.

use bytes::Bytes;
use http::Method;
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::json;
use wayside_specs::Role;

use super::{NODE, read, unkept};
use crate::{
    gateway::{
        assets,
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route, json as reply},
    },
    services::servers::Node,
};

pub(super) fn routes() -> Vec<Route> {
    let (one, homes) = ("/_wayside/v1/nodes/{server}", "/_wayside/v1/homes");
    let member = Access::AtLeast(Role::Member);
    vec![
        Route::own(Method::GET, one, member, Rate::Outside, node),
        Route::own(Method::POST, homes, Access::Public, Rate::Guess, home),
    ]
}

/// What other servers are told of this node beside the server-server API.
pub(in crate::gateway) fn federation_routes() -> Vec<Route> {
    let mut all = vec![Route::own(Method::GET, NODE, Access::Public, Rate::Read, super::about)];
    all.push(super::worlds::shown_to_all());
    all.push(assets::shown_to_all());
    all
}

/// What another node says of itself, as it is found among servers.
async fn node(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let name = server_in(text)?;
    let ground = &call.app.services.ground;
    let node = if name == ground.server_name {
        let persons = &call.app.services.persons;
        Node { public_url: call.app.places.public.clone(), dids: persons.are_here() }
    } else {
        call.app.services.servers.node(&name).await?
    };
    Ok(reply(&json!({
        "server_name": name, "name": name, "public_url": node.public_url, "dids": node.dids,
    })))
}

/// The server that a path names.
pub(super) fn server_in(text: &str) -> Result<OwnedServerName, Fault> {
    ServerName::parse(text)
        .map_err(|_| Fault::BadParameter(format!("{text:?} is no name of a server")))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HomeBody {
    home: String,
}

/// Where the pages are of the home that somebody names.
async fn home(call: Call<Bytes>) -> Result<Reply, Fault> {
    let HomeBody { home } = read(call.request.body())?;
    let url = call.app.services.providers.home(&home).await?;
    Ok(unkept(reply(&json!({ "url": url }))))
}
