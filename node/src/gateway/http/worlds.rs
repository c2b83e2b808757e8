//! Our own API of worlds and visits.

use bytes::Bytes;
use http::{Method, StatusCode};
use ruma::{OwnedMxcUri, OwnedRoomOrAliasId, RoomOrAliasId};
use serde::Deserialize;
use serde_json::{Value, json};
use wayside_identity::blocks::Blocks;
use wayside_specs::Role;

use super::{badges::asked, nodes, read, unkept, visitors_ask};
use crate::{
    config::Visitors,
    gateway::{
        assets, claims,
        fault::Fault,
        json::Kind,
        table::{Access, Admits, Call, Rate, Reply, Route, json as reply},
    },
    services::{
        Error,
        content::asset_path,
        persons::{CHALLENGE_MS, Challenge},
        rooms::Membership,
        worlds::{Granted, Made, NewWorld, Portal, RATINGS, Stands, Target, Welcomed, World},
    },
};

/// What somebody shows of themselves, which is looked at last.
const SHOWN: &[(&str, Kind)] = &[("presentation", Kind::Object)];

pub(super) fn routes() -> Vec<Route> {
    let (public, member) = (Access::Public, Access::AtLeast(Role::Member));
    let worlds = "/_wayside/v1/worlds";
    let visits = "/_wayside/v1/worlds/{world}/visits";
    let (ask, visitors) =
        ("/_wayside/v1/visitors/challenge", "/_wayside/v1/worlds/{world}/visitors");
    vec![
        Route::own(Method::GET, worlds, public, Rate::Read, list),
        Route::own(Method::POST, worlds, member, Rate::Media, make),
        shown_to_all(),
        Route::own(Method::GET, "/_wayside/v1/worlds/{world}/portals", public, Rate::Read, portals),
        Route::own(
            Method::GET,
            "/_wayside/v1/previews/{server}/{hash}",
            public,
            Rate::Read,
            preview,
        ),
        Route::own(Method::POST, visits, Access::Account, Rate::Write, visit),
        Route::own(Method::POST, ask, public, Rate::Read, challenge),
        Route::own(Method::POST, visitors, public, Rate::Guess, visitor).typed(SHOWN),
    ]
}

/// The one by which other nodes see what is behind a portal of theirs.
pub(super) fn shown_to_all() -> Route {
    Route::own(Method::GET, "/_wayside/v1/worlds/{world}", Access::Public, Rate::Read, get)
}

/// The worlds of this node, and of those that are private the asker's. Who is in them is told to those
/// who live here.
async fn list(call: Call<Bytes>) -> Result<Reply, Fault> {
    let asker = asker(&call).await?;
    let asker = asker.as_ref().map(|session| &*session.user_id);
    let worlds = call.app.services.worlds.list(asker).await?;
    let visitors = visitors(&call);
    let shown = |world| shown(&call, world, visitors, asker.is_some());
    let worlds: Vec<Value> = worlds.iter().map(shown).collect();
    Ok(reply(&json!({ "worlds": worlds })))
}

async fn get(call: Call<Bytes>) -> Result<Reply, Fault> {
    let asker = asker(&call).await?;
    let asker = asker.as_ref().map(|session| &*session.user_id);
    let world = call.app.services.worlds.get(&named(&call)?, asker).await?;
    Ok(reply(&shown(&call, &world, visitors(&call), asker.is_some())))
}

/// The doors of a world to others, with what their nodes show of those.
async fn portals(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (worlds, name) = (&call.app.services.worlds, named(&call)?);
    let asker = match asker(&call).await? {
        Some(session) => Some(session.user_id),
        None => match pass(&call) {
            Some(pass) => worlds.passed(&name, &pass).await?,
            None => None,
        },
    };
    let portals = worlds.portals(&name, asker.as_deref()).await?;
    let portals: Vec<Value> = portals.iter().map(portal).collect();
    Ok(reply(&json!({ "portals": portals })))
}

/// What a visitor of another node shows, who has no token here.
fn pass(call: &Call<Bytes>) -> Option<String> {
    let query = call.request.uri().query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(name, _)| name == "pass").map(|(_, pass)| pass.into_owned())
}

fn portal(portal: &Portal) -> Value {
    let (node, place) = match &portal.stands {
        Some(Stands::Node(node)) => (Some(node), None),
        Some(Stands::At(place)) => (None, Some(place)),
        None => (None, None),
    };
    json!({
        "id": portal.id,
        "uri": portal.uri,
        "name": portal.name,
        "node": node,
        "position": place.map(|place| place.at),
        "yaw": place.map(|place| place.yaw),
        "address": portal.address,
        "server_name": portal.server,
        "target": portal.target.as_ref().ok().map(target),
        "trouble": portal.target.as_ref().err().map(|why| why.name()),
    })
}

fn target(target: &Target) -> Value {
    json!({
        "name": target.name,
        "description": target.description,
        "rating": target.rating,
        "people": target.people,
        "capacity": target.capacity,
        "public": target.public,
        "preview": target.preview,
        "visitors": target.visitors.map_or("home", Visitors::name),
    })
}

/// The picture of a world of another node that is behind a portal here.
async fn preview(call: Call<Bytes>) -> Result<Reply, Fault> {
    let part = |at: usize| call.path.get(at).map(String::as_str).unwrap_or_default();
    let (server, hash) = (nodes::server_in(part(0))?, assets::hash_of(part(1))?);
    let picture = call.app.services.worlds.picture_beyond(&server, &hash).await?;
    let picture = picture.ok_or_else(|| Error::NotFound("there is no such picture".to_owned()))?;
    Ok(assets::picture(picture.bytes.clone(), picture.content_type))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MakeBody {
    name: String,
    #[serde(default)]
    description: String,
    scene: OwnedMxcUri,
    preview: Option<OwnedMxcUri>,
    capacity: Option<u16>,
    rating: Option<String>,
    public: Option<bool>,
    encrypted: Option<bool>,
    asks: Option<Value>,
}

async fn make(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let body: MakeBody = read(call.request.body())?;
    let new = NewWorld {
        owner: Some(session.user_id.clone()),
        name: body.name,
        description: body.description,
        scene: body.scene,
        preview: body.preview,
        capacity: body.capacity.unwrap_or(50),
        rating: body.rating.unwrap_or_else(|| RATINGS[0].to_owned()),
        alias: None,
        public: body.public.unwrap_or(true),
        encrypted: body.encrypted.unwrap_or(false),
        asks: asked(body.asks.as_ref())?,
    };
    Ok(match call.app.services.worlds.make(new).await? {
        Made::World { room_id, alias, report } => {
            reply(&json!({ "room_id": room_id, "alias": alias, "report": report }))
        }
        Made::Refused(report) => refused("the scene cannot be used", &json!(report)),
    })
}

/// Nothing can be wished for yet.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VisitBody {}

/// Lets somebody in: the ticket begins a visit at one of the transports (specs/realtime.md).
async fn visit(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let VisitBody {} = read(call.request.body())?;
    let granted = call.app.services.worlds.grant(session, &named(&call)?).await?;
    Ok(reply(&told(&call, &granted)))
}

fn told(call: &Call<Bytes>, granted: &Granted) -> Value {
    json!({
        "ticket": granted.ticket,
        "expires_ms": granted.lasts_ms,
        "transports": [{ "kind": "websocket", "url": "/_wayside/v1/realtime" }],
        "world": shown(call, &granted.world, visitors(call), true),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeBody {}

/// What somebody of another node signs to show who they are.
async fn challenge(call: Call<Bytes>) -> Result<Reply, Fault> {
    let ChallengeBody {} = read(call.request.body())?;
    let Challenge { text, domain } = call.app.services.persons.challenge()?;
    let body = json!({ "challenge": text, "domain": domain, "expires_in_ms": CHALLENGE_MS });
    Ok(unkept(reply(&body)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VisitorBody {
    challenge: String,
    presentation: Value,
    /// Whom they block (specs/social.md).
    blocks: Option<Value>,
}

/// Lets somebody of another node in.
async fn visitor(call: Call<Bytes>) -> Result<Reply, Fault> {
    let VisitorBody { challenge, presentation, blocks } = read(call.request.body())?;
    let blocks = blocks.as_ref().map(Blocks::read).transpose();
    let blocks = blocks.map_err(|error| Fault::bad_json(&error.to_string()))?.unwrap_or_default();
    let worlds = &call.app.services.worlds;
    let name = named(&call)?;
    let granted = worlds.grant_visitor(&presentation, &challenge, blocks, &name);
    let Welcomed { granted, given, pass } = Box::pin(granted).await?;
    let mut told = told(&call, &granted);
    told["given"] = given.into();
    told["pass"] = pass.into();
    // Their client may say anew whom they block.
    told["blocks"] = true.into();
    Ok(unkept(reply(&told)))
}

/// A file was looked into and is not taken.
pub(super) fn refused(why: &str, report: &Value) -> Reply {
    let body = json!({ "errcode": "M_INVALID_PARAM", "error": why, "report": report });
    let mut answer = reply(&body);
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer
}

/// Whom of other nodes this one lets in; nobody where it has no address that they could know.
fn visitors(call: &Call<Bytes>) -> Option<Visitors> {
    let services = &call.app.services;
    services.persons.are_here().then_some(services.ground.config.visitors)
}

fn shown(call: &Call<Bytes>, world: &World, visitors: Option<Visitors>, names: bool) -> Value {
    let mut value = json!({
        "room_id": world.room_id,
        "alias": world.alias,
        "name": world.name,
        "description": world.description,
        "preview": world.preview.map(|blob| asset_path(&blob)),
        "scene": {
            "url": asset_path(&world.scene),
            "sha256": hex::encode(world.scene),
            "bytes": world.scene_bytes,
        },
        "people": world.people,
        "capacity": world.capacity,
        "rating": world.rating,
        "public": world.public,
        "encrypted": world.encrypted,
        "visitors": visitors.map(Visitors::name),
        "asks": call.app.services.badges.told(&world.asks),
        "visitors_ask": visitors_ask(&call.app),
    });
    if names {
        // Who is where not everybody may come is nobody's business outside.
        let names = Some(&world.names).filter(|_| world.public || world.standing.is_some());
        value["names"] = json!(names.map_or(&[][..], |names| names));
        value["invited"] = json!(world.standing == Some(Membership::Invite));
    }
    value
}

fn named(call: &Call<Bytes>) -> Result<OwnedRoomOrAliasId, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    RoomOrAliasId::parse(text)
        .map_err(|_| Fault::BadParameter(format!("{text:?} is no room and no alias")))
}

/// Who asks on a route that anybody may ask, if they say so; a token that is none is refused.
async fn asker(call: &Call<Bytes>) -> Result<Option<crate::services::accounts::Session>, Fault> {
    let request = &call.request;
    let Some(token) = claims::token(request.headers(), request.uri().query()) else {
        return Ok(None);
    };
    let session = call.app.services.accounts.session(&token, call.address).await?;
    Admits::Suspended.check(session.held)?;
    Ok(Some(session))
}
