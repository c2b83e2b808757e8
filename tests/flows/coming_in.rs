//! What a server is told of a room when its first person comes in, as it wishes to be told.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{Answer, Client, PeerRoom, RoomId};

use crate::{
    abroad::Abroad,
    stage::{Deeds, VERSIONS, escaped, list},
};

/// People of the node in the room, beside whoever made it.
const PEOPLE: usize = 7;

/// Comes in with a query, and gives what is told.
async fn come(
    abroad: &Abroad,
    (room, version): (&str, &str),
    who: &str,
    query: &str,
) -> Result<Answer> {
    let peer = abroad.town.peer()?.start().await?;
    let (to, user) = (abroad.node.destination(), peer.user(who));
    let path = format!(
        "/_matrix/federation/v1/make_join/{}/{}?ver={version}",
        escaped(room),
        escaped(&user)
    );
    let made = peer.ask(&to, Method::GET, &path, None).await?;
    let empty = PeerRoom::told(&peer, version, room, Vec::new())?;
    let join = empty.seal(&made.json()["event"])?;
    let path =
        format!("/_matrix/federation/v2/send_join/{}/{}{query}", escaped(room), escaped(&join.id));
    peer.ask(&to, Method::PUT, &path, Some(&join.json)).await
}

fn kinds(events: &[Value]) -> HashSet<&str> {
    events.iter().filter_map(|it| it["type"].as_str()).collect()
}

fn members(events: &[Value]) -> Vec<&str> {
    let is_member = |it: &&Value| it["type"] == "m.room.member";
    events.iter().filter(is_member).filter_map(|it| it["state_key"].as_str()).collect()
}

/// A room with people in it, told with them and without.
async fn told_without_people(abroad: &Abroad, version: &str, named: bool) -> Result<()> {
    let mut request = json!({ "preset": "public_chat", "room_version": version });
    if named {
        request["name"] = json!("Harbour");
    }
    let room = abroad.ann.create_room(&request).await?;
    for number in 0..PEOPLE {
        let name = format!("p{number}v{version}{named}");
        Client::register(abroad.node.http(), &name).await?.join(&room).await?;
    }
    let place = (room.as_str(), version);
    let whole = come(abroad, place, "one", "?omit_members=false").await?.json();
    ensure!(whole["members_omitted"] == false, "{}", whole["members_omitted"]);
    ensure!(members(&list(&whole["state"])).len() == PEOPLE + 1, "not all are told");
    let short = come(abroad, place, "two", "?omit_members=true").await?.json();
    ensure!(short["members_omitted"] == true, "{}", short["members_omitted"]);
    let (state, chain) = (list(&short["state"]), list(&short["auth_chain"]));
    let servers = list(&short["servers_in_room"]);
    ensure!(servers.contains(&json!(abroad.node.destination().name)), "{servers:?}");
    let told = members(&state);
    if named {
        ensure!(told.is_empty(), "{told:?}");
    } else {
        // By those who came first the room is called.
        ensure!(told.len() == 5 && told.contains(&abroad.ann.id()), "{told:?}");
    }
    let missing: Vec<_> = kinds(&list(&whole["state"]))
        .into_iter()
        .filter(|kind| *kind != "m.room.member" && !kinds(&state).contains(kind))
        .map(str::to_owned)
        .collect();
    ensure!(missing.is_empty(), "{missing:?} are left out too");
    // What the rest stands by is there, and nothing twice.
    let both = [state.clone(), chain.clone()].concat();
    let ids: HashSet<String> = both.iter().map(ToString::to_string).collect();
    ensure!(ids.len() == both.len(), "something is told twice");
    ensure!(members(&chain).contains(&abroad.ann.id()) || !named, "its maker is missing");
    ensure!(kinds(&both).contains("m.room.create"), "{chain:?}");
    Ok(())
}

/// A room that lets the people of another one in; somebody of the node with less power is there too.
async fn restricted(abroad: &Abroad, version: &str, club: &str) -> Result<RoomId> {
    let allow = json!([{ "type": "m.room_membership", "room_id": club }]);
    let rule = json!({ "join_rule": "restricted", "allow": allow });
    let rules = json!([{ "type": "m.room.join_rules", "state_key": "", "content": rule }]);
    abroad
        .ann
        .create_room(&json!({
            "room_version": version, "initial_state": rules,
            "power_level_content_override": { "invite": 50 },
        }))
        .await
}

/// A server that cannot let somebody in says whether another may be able to.
#[tokio::test]
async fn a_server_is_told_whether_to_ask_another() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (ann, to) = (&abroad.ann, abroad.node.destination());
    let bob = Client::register(abroad.node.http(), "bob").await?;
    for version in VERSIONS {
        let peer = abroad.town.peer()?.start().await?;
        let mallory = peer.user("mallory");
        let asks = async |room: &RoomId, status: u16, code: &str| {
            let (room, user) = (escaped(room.as_str()), escaped(&mallory));
            let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver={version}");
            let answer = peer.ask(&to, Method::GET, &path, None).await?;
            let says = answer.json()["errcode"].as_str().unwrap_or_default().to_owned();
            ensure!(answer.status == status && says == code, "{code}: {}", answer.short());
            anyhow::Ok(())
        };
        let unseen = restricted(&abroad, version, "!elsewhere:elsewhere.test").await?;
        asks(&unseen, 400, "M_UNABLE_TO_AUTHORISE_JOIN").await?;
        let club = json!({ "preset": "public_chat", "room_version": version });
        let club = ann.create_room(&club).await?;
        bob.join(&club).await?;
        let room = restricted(&abroad, version, club.as_str()).await?;
        bob.join(&room).await?;
        asks(&room, 403, "M_FORBIDDEN").await?;
        peer.enter(&to, club.as_str(), version, &mallory).await?;
        asks(&room, 200, "").await?;
        ann.deed(&room, "leave", None).await?;
        asks(&room, 400, "M_UNABLE_TO_GRANT_JOIN").await?;
        // Of a room that all of this node have left, it is not known who is there.
        let left = restricted(&abroad, version, club.as_str()).await?;
        asks(&left, 200, "").await?;
        for person in [ann, &bob] {
            person.deed(&club, "leave", None).await?;
        }
        asks(&left, 400, "M_UNABLE_TO_AUTHORISE_JOIN").await?;
    }
    abroad.end().await
}

#[tokio::test]
async fn a_server_that_wishes_so_is_told_of_no_people() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        for named in [true, false] {
            told_without_people(&abroad, version, named)
                .await
                .with_context(|| format!("version {version}, named: {named}"))?;
        }
    }
    let room = abroad.ann.create_room(&json!({ "preset": "public_chat" })).await?;
    let answer = come(&abroad, (room.as_str(), "12"), "three", "?omit_members=perhaps").await?;
    ensure!(answer.status == 400, "{}", answer.short());
    ensure!(answer.json()["errcode"] == "M_INVALID_PARAM", "{}", answer.short());
    abroad.end().await
}
