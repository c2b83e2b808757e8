//! Finding rooms: aliases and the public directory.

use ruma::{
    ServerName,
    api::client::{
        alias::{create_alias, delete_alias, get_alias},
        directory::{
            get_public_rooms, get_public_rooms_filtered, get_room_visibility, set_room_visibility,
        },
        room::{Visibility, aliases},
    },
    directory::{RoomNetwork, RoomTypeFilter},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wayside_specs::Role;

use crate::{
    gateway::{
        App,
        fault::Fault,
        json::Kind,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::rooms::{DirectoryPage, DirectoryPlace, DirectoryQuery, Listed, Network},
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Perhaps, Rate::Read, public_rooms),
        Route::matrix(Access::Account, Rate::Read, public_rooms_filtered)
            .typed(FILTERED)
            .for_suspended(),
        Route::matrix(Access::Public, Rate::Read, visibility),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, set_visibility)
            .reading(|body| Ok(listed_by_default(body))),
        Route::matrix(Access::Perhaps, Rate::Read, alias),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, add_alias),
        Route::matrix(Access::AtLeast(Role::Member), Rate::Write, remove_alias),
        Route::matrix(Access::Account, Rate::Read, aliases_of),
    ]
}

/// Rooms of a page where the client names no number, and the most it gets.
const PAGE: (usize, usize) = (50, 200);

async fn public_rooms(asked: Asked<get_public_rooms::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    if let Some(server) = elsewhere(&asked, body.server.as_deref()) {
        let wish = json!({ "limit": limit(body.limit.map(u64::from)), "since": body.since });
        return of_server(&asked, server, &wish).await;
    }
    let query = DirectoryQuery {
        limit: limit(body.limit.map(u64::from)),
        place: place(body.since.as_deref())?,
        ..DirectoryQuery::default()
    };
    Ok(page(asked.app.services.rooms.directory(&query).await?))
}

/// What the request's type overlooks where it is wrong, or takes a list for.
pub(in crate::gateway::matrix) const FILTERED: &[(&str, Kind)] = &[
    ("include_all_networks", Kind::Truth),
    ("third_party_instance_id", Kind::Text),
    ("filter", Kind::Object),
];

async fn public_rooms_filtered(
    asked: Asked<get_public_rooms_filtered::v3::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    if let Some(server) = elsewhere(&asked, body.server.as_deref()) {
        return of_server(&asked, server, &asked.json).await;
    }
    let kinds = (!body.filter.room_types.is_empty()).then(|| {
        let kind = |kind: &RoomTypeFilter| match kind {
            RoomTypeFilter::Default => None,
            kind => kind.as_str().map(str::to_owned),
        };
        body.filter.room_types.iter().map(kind).collect()
    });
    let network = match &body.room_network {
        RoomNetwork::Matrix => Network::Own,
        RoomNetwork::All => Network::All,
        RoomNetwork::ThirdParty(id) => asked.app.services.rooms.network(id),
        _ => return Err(Fault::BadParameter("this network is unknown".to_owned())),
    };
    let query = DirectoryQuery {
        limit: limit(body.limit.map(u64::from)),
        place: place(body.since.as_deref())?,
        words: body.filter.generic_search_term.clone(),
        kinds,
        network,
    };
    Ok(page(asked.app.services.rooms.directory(&query).await?))
}

/// What another server wants to know of the directory, in the words of a client.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wish {
    limit: Option<u64>,
    since: Option<String>,
    filter: Option<Filter>,
    include_all_networks: Option<bool>,
    third_party_instance_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filter {
    generic_search_term: Option<String>,
    room_types: Option<Vec<Option<String>>>,
}

/// The directory of this node for another server (server-server API, published room directory).
pub(in crate::gateway::matrix) async fn answer_server(
    app: &App,
    wish: &Value,
) -> Result<Reply, Fault> {
    let wish = Wish::deserialize(wish).map_err(|error| Fault::BadJson(error.to_string()))?;
    let filter = wish.filter.unwrap_or_default();
    let network = match wish.third_party_instance_id {
        Some(id) => app.services.rooms.network(&id),
        None if wish.include_all_networks == Some(true) => Network::All,
        None => Network::Own,
    };
    let query = DirectoryQuery {
        limit: limit(wish.limit),
        place: place(wish.since.as_deref())?,
        words: filter.generic_search_term,
        kinds: filter.room_types,
        network,
    };
    Ok(page(app.services.rooms.directory(&query).await?))
}

/// The server whose directory is meant, where that is not this node.
fn elsewhere<'s, T>(asked: &Asked<T>, server: Option<&'s ServerName>) -> Option<&'s ServerName> {
    server.filter(|server| **server != asked.app.services.ground.server_name)
}

/// The directory of another server, for whoever is known here.
async fn of_server<T>(asked: &Asked<T>, server: &ServerName, wish: &Value) -> Result<Reply, Fault> {
    asked.app.calls(asked.session()?)?;
    Ok(reply(&Value::Object(asked.app.services.servers.directory(server, wish).await?)))
}

async fn visibility(asked: Asked<get_room_visibility::v3::Request>) -> Result<Reply, Fault> {
    let published = asked.app.services.rooms.is_published(&asked.body.room_id).await?;
    Ok(reply(&json!({ "visibility": if published { "public" } else { "private" } })))
}

/// Whoever lists a room and says no more shows it to everybody.
fn listed_by_default(body: &mut Value) -> bool {
    let missing = body.get("visibility").is_none();
    if missing {
        body["visibility"] = "public".into();
    }
    missing
}

async fn set_visibility(asked: Asked<set_room_visibility::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let published = match body.visibility {
        Visibility::Public => true,
        Visibility::Private => false,
        _ => return Err(Fault::bad_json("visibility is public or private")),
    };
    let by = &asked.session()?.user_id;
    asked.app.services.rooms.publish(&body.room_id, by, published).await?;
    Ok(done())
}

async fn alias(asked: Asked<get_alias::v3::Request>) -> Result<Reply, Fault> {
    let (alias, services) = (&asked.body.room_alias, &asked.app.services);
    if alias.server_name() != services.ground.server_name {
        asked.app.calls(asked.session()?)?;
        let place = services.servers.alias(alias).await?;
        return Ok(reply(&json!({ "room_id": place.room_id, "servers": place.servers })));
    }
    let room_id = services.app_services.resolve((&**alias).into()).await?;
    let servers = [&services.ground.server_name];
    Ok(reply(&json!({ "room_id": room_id, "servers": servers })))
}

async fn add_alias(asked: Asked<create_alias::v3::Request>) -> Result<Reply, Fault> {
    let (session, body) = (asked.session()?, &asked.body);
    let (by, service) = (&session.user_id, session.service.as_deref());
    asked.app.services.rooms.add_alias(&body.room_alias, &body.room_id, by, service).await?;
    Ok(done())
}

async fn remove_alias(asked: Asked<delete_alias::v3::Request>) -> Result<Reply, Fault> {
    let session = asked.session()?;
    let (by, service) = (&session.user_id, session.service.as_deref());
    asked.app.services.rooms.remove_alias(&asked.body.room_alias, by, service).await?;
    Ok(done())
}

async fn aliases_of(asked: Asked<aliases::v3::Request>) -> Result<Reply, Fault> {
    let asker = &asked.session()?.user_id;
    let found = asked.app.services.rooms.aliases(&asked.body.room_id, asker).await?;
    Ok(reply(&json!({ "aliases": found })))
}

fn limit(wanted: Option<u64>) -> usize {
    let wanted = wanted.map(|wanted| usize::try_from(wanted).unwrap_or(usize::MAX));
    wanted.unwrap_or(PAGE.0).clamp(1, PAGE.1)
}

/// A place in the directory as text: `n` for behind or `p` for before, how many have joined, and
/// the room's number.
fn place(text: Option<&str>) -> Result<DirectoryPlace, Fault> {
    let Some(text) = text else { return Ok(DirectoryPlace::First) };
    let wrong = || Fault::BadParameter(format!("{text:?} is no place in the directory"));
    let read = |rest: &str| -> Option<(i64, i64)> {
        let (joined, number) = rest.split_once('_')?;
        Some((joined.parse().ok()?, number.parse().ok()?))
    };
    let place = |rest| read(rest).ok_or_else(wrong);
    match text.split_at_checked(1) {
        Some(("n", rest)) => place(rest).map(|(it, number)| DirectoryPlace::Behind(it, number)),
        Some(("p", rest)) => place(rest).map(|(it, number)| DirectoryPlace::Before(it, number)),
        _ => Err(wrong()),
    }
}

fn place_text(place: DirectoryPlace) -> Option<String> {
    match place {
        DirectoryPlace::First => None,
        DirectoryPlace::Behind(joined, number) => Some(format!("n{joined}_{number}")),
        DirectoryPlace::Before(joined, number) => Some(format!("p{joined}_{number}")),
    }
}

fn page(found: DirectoryPage) -> Reply {
    let mut body = json!({
        "chunk": found.rooms.into_iter().map(listed).map(Value::Object).collect::<Vec<_>>(),
        "total_room_count_estimate": found.all,
    });
    if let Some(token) = found.next.and_then(place_text) {
        body["next_batch"] = token.into();
    }
    if let Some(token) = found.before.and_then(place_text) {
        body["prev_batch"] = token.into();
    }
    reply(&body)
}

pub(super) fn listed(room: Listed) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("room_id".to_owned(), room.room_id.as_str().into());
    body.insert("num_joined_members".to_owned(), room.joined.into());
    body.insert("world_readable".to_owned(), room.world_readable.into());
    body.insert("guest_can_join".to_owned(), room.guests_can_join.into());
    let texts = [
        ("name", room.name),
        ("topic", room.topic),
        ("avatar_url", room.avatar_url),
        ("canonical_alias", room.alias),
        ("join_rule", room.join_rule),
        ("room_type", room.kind),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            body.insert(name.to_owned(), text.into());
        }
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_reads_is_written_the_same() {
        bolero::check!().with_type::<(String, i64, i64)>().for_each(|(text, joined, number)| {
            let written = [format!("n{joined}_{number}"), format!("p{joined}_{number}")];
            for text in written.iter().chain([text]) {
                if let Ok(found) = place(Some(text)) {
                    let again = place(place_text(found).as_deref()).unwrap();
                    assert_eq!(place_text(found), place_text(again), "{text}");
                }
            }
            assert!(written.iter().all(|text| place(Some(text)).is_ok()));
        });
    }
}
