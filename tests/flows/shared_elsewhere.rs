//! Rooms of Synapse in which people of a node are too, and invitations in both directions.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{CallError, Client, Engine, RoomId};

use crate::{
    pair::Pair,
    shared_rooms::{LETTING_IN, hears, let_in, set, state},
    stage::{Deeds, Ear, VERSIONS, bodies, comes_true, list, one, part, refused},
};

/// How somebody stands to a room, as another sees it.
async fn standing(seen_by: &Client, room: &RoomId, who: &Client) -> Result<Option<String>> {
    let entry = format!("m.room.member/{}", who.id());
    let said = state(seen_by, room, &entry).await?;
    Ok(said.and_then(|it| it["membership"].as_str().map(str::to_owned)))
}

pub(crate) async fn stands(
    seen_by: &Client,
    room: &RoomId,
    who: &Client,
    wanted: &str,
) -> Result<()> {
    comes_true(&format!("{} is {wanted}", who.id()), async || {
        Ok(standing(seen_by, room, who).await?.as_deref() == Some(wanted))
    })
    .await
}

/// Knocks at a room by way of a server.
pub(crate) async fn knock(who: &Client, room: &RoomId, server: &str) -> Result<Value, CallError> {
    let path = format!("/_matrix/client/v3/knock/{room}?via={server}&server_name={server}");
    who.post(&path, &json!({ "reason": "may I?" })).await
}

/// Waits until somebody is told that they are in a room no more, or shall not be.
async fn put_out(ear: &mut Ear, room: &RoomId) -> Result<()> {
    ear.hear(|news| part(news, room, "leave").as_object().map(|_| ())).await
}

/// Waits for an invitation, and gives what is shown of the room.
async fn invited(ear: &mut Ear, room: &RoomId) -> Result<Vec<Value>> {
    ear.hear(|news| {
        let shown = list(part(news, room, "invite/invite_state"));
        (!shown.is_empty()).then_some(shown)
    })
    .await
    .context("waiting for an invitation")
}

/// Somebody comes into an open room of Synapse, hears and is heard, goes, and comes back.
async fn open_room(pair: &Pair, version: &str) -> Result<()> {
    let (ann, sam) = (&pair.ann, &pair.sam);
    let server = pair.other.server_name();
    let request = json!({
        "preset": "public_chat", "room_version": version, "name": "Harbour", "topic": "boats",
    });
    let room = sam.create_room(&request).await?;
    sam.say(&room, "before anybody came").await?;
    let mut ann_hears = Ear::of(ann).await?;
    let mut sam_hears = Ear::of(sam).await?;
    ann.join_through(&room, &server).await?;
    ann_hears
        .hear(|news| {
            let state = list(part(news, &room, "join/state"));
            let name = one(&state, "m.room.name", Some(""))?;
            (name["content"]["name"] == "Harbour").then_some(())
        })
        .await
        .context("what the room is called")?;
    stands(sam, &room, ann, "join").await?;
    for (who, ear, text) in [(ann, &mut sam_hears, "to s"), (sam, &mut ann_hears, "to a")] {
        who.say(&room, text).await?;
        hears(ear, &room, text).await?;
    }
    for round in 0..5 {
        let (left, right) = (format!("left {round}"), format!("right {round}"));
        try_join!(ann.say(&room, &left), sam.say(&room, &right))?;
        hears(&mut ann_hears, &room, &right).await?;
        hears(&mut sam_hears, &room, &left).await?;
    }
    set(sam, &room, "m.room.topic", json!({ "topic": "ships" })).await?;
    comes_true("a topic", async || {
        Ok(state(ann, &room, "m.room.topic/").await?.is_some_and(|it| it["topic"] == "ships"))
    })
    .await?;
    // A second one of this node comes in by what this node knows.
    let bob = Client::register(pair.node.http(), &format!("bob{version}")).await?;
    bob.join(&room).await?;
    stands(sam, &room, &bob, "join").await?;
    bob.deed(&room, "leave", None).await?;
    ann.deed(&room, "leave", None).await?;
    stands(sam, &room, ann, "leave").await?;
    // Nobody here hears this; whoever comes back knows it.
    set(sam, &room, "m.room.topic", json!({ "topic": "meanwhile" })).await?;
    set(sam, &room, "m.room.name", json!({ "name": "Haven" })).await?;
    ann.join_through(&room, &server).await?;
    let said = state(ann, &room, "m.room.topic/").await?.context("a topic")?;
    ensure!(said["topic"] == "meanwhile", "{said}");
    ann.say(&room, "back").await?;
    hears(&mut sam_hears, &room, "back").await?;
    sam.say(&room, "welcome").await?;
    hears(&mut ann_hears, &room, "welcome").await?;
    sam.deed(&room, "kick", Some(ann)).await?;
    put_out(&mut ann_hears, &room).await.context("being led out")?;
    sam.deed(&room, "ban", Some(ann)).await?;
    stands(sam, &room, ann, "ban").await?;
    let path = format!("/_matrix/client/v3/join/{room}?via={server}");
    refused(ann.post(&path, &json!({})).await, 403, "M_FORBIDDEN")
}

/// Invitations to people of the other server: refused, taken back, accepted.
async fn invitations(pair: &Pair, version: &str) -> Result<()> {
    for (host, guest) in [(&pair.sam, &pair.ann), (&pair.ann, &pair.sam)] {
        let mut guest_hears = Ear::of(guest).await?;
        let request = json!({
            "preset": "private_chat", "room_version": version, "name": "Cabin",
            "invite": [guest.id()],
        });
        let room = host.create_room(&request).await?;
        let shown = invited(&mut guest_hears, &room).await?;
        let name = one(&shown, "m.room.name", Some("")).context("the name is shown")?;
        ensure!(name["content"]["name"] == "Cabin", "{name}");
        let own = one(&shown, "m.room.member", Some(guest.id())).context("the invitation")?;
        ensure!(own["content"]["membership"] == "invite" && own["sender"] == host.id(), "{own}");
        guest.deed(&room, "leave", None).await?;
        stands(host, &room, guest, "leave").await?;

        host.deed(&room, "invite", Some(guest)).await?;
        invited(&mut guest_hears, &room).await?;
        host.deed(&room, "kick", Some(guest)).await?;
        put_out(&mut guest_hears, &room).await.context("an invitation that is taken back")?;

        host.deed(&room, "invite", Some(guest)).await?;
        invited(&mut guest_hears, &room).await?;
        // Whoever is invited need not say who knows the room.
        guest.join(&room).await?;
        stands(host, &room, guest, "join").await?;
        guest.say(&room, "here I am").await?;
        let mut host_hears = Ear::of(host).await?;
        guest.say(&room, "again").await?;
        hears(&mut host_hears, &room, "again").await?;
        host.say(&room, "good").await?;
        hears(&mut guest_hears, &room, "good").await?;
    }
    Ok(())
}

/// Whoever knocks is asked in, or goes again. Synapse tells nobody of another server that their knock is
/// refused, and nobody that one of its own has gone again.
async fn knocks(pair: &Pair, version: &str) -> Result<()> {
    let servers = [pair.other.server_name(), pair.node.destination().name];
    for ((host, guest), server) in
        [(&pair.sam, &pair.ann), (&pair.ann, &pair.sam)].into_iter().zip(servers)
    {
        let rule = json!([{
            "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" },
        }]);
        let request = json!({ "room_version": version, "name": "Lodge", "initial_state": rule });
        let room = host.create_room(&request).await?;
        let mut guest_hears = Ear::of(guest).await?;
        knock(guest, &room, &server).await?;
        stands(host, &room, guest, "knock").await?;
        guest_hears
            .hear(|news| {
                let shown = list(part(news, &room, "knock/knock_state"));
                one(&shown, "m.room.name", Some("")).map(|_| ())
            })
            .await
            .context("what is shown to who knocks")?;
        let of_nodes = pair.other.is_node();
        if guest.id() == pair.ann.id() || of_nodes {
            guest.deed(&room, "leave", None).await?;
            stands(host, &room, guest, "leave").await?;
            knock(guest, &room, &server).await?;
            stands(host, &room, guest, "knock").await?;
        }
        if of_nodes {
            host.deed(&room, "kick", Some(guest)).await?;
            put_out(&mut guest_hears, &room).await.context("a knock that is refused")?;
            knock(guest, &room, &server).await?;
            stands(host, &room, guest, "knock").await?;
        }
        host.deed(&room, "invite", Some(guest)).await?;
        invited(&mut guest_hears, &room).await?;
        guest.join(&room).await?;
        stands(host, &room, guest, "join").await?;
    }
    Ok(())
}

/// Whoever is in one room of Synapse comes into another that lets its people in.
async fn restricted(pair: &Pair, version: &str) -> Result<()> {
    let (ann, sam, server) = (&pair.ann, &pair.sam, pair.other.server_name());
    let cat = Client::register(pair.node.http(), &format!("cat{version}")).await?;
    for rule in LETTING_IN {
        let done = let_in((sam, ann), &server, (version, rule)).await;
        let (club, room) = done.with_context(|| rule.to_owned())?;
        // Nobody of this node may vouch for another of its people, but Sam's server may.
        cat.join(&club).await?;
        cat.join(&room).await.with_context(|| rule.to_owned())?;
        stands(sam, &room, &cat, "join").await?;
    }
    Ok(())
}

/// A room that is replaced by a newer one: those of the other server are told where, and follow.
async fn upgrades(pair: &Pair, version: &str) -> Result<()> {
    let servers = [pair.other.server_name(), pair.node.destination().name];
    for ((host, guest), server) in
        [(&pair.sam, &pair.ann), (&pair.ann, &pair.sam)].into_iter().zip(servers)
    {
        let request = json!({
            "preset": "public_chat", "room_version": version, "name": "Old Town",
        });
        let old = host.create_room(&request).await?;
        guest.join_through(&old, &server).await?;
        let mut guest_hears = Ear::of(guest).await?;
        let path = format!("/_matrix/client/v3/rooms/{old}/upgrade");
        let new = host.post(&path, &json!({ "new_version": "12" })).await?;
        let new = RoomId::known(new["replacement_room"].as_str().context("a new room")?);
        let told = guest_hears
            .hear(|news| {
                let timeline = list(part(news, &old, "join/timeline"));
                let state = list(part(news, &old, "join/state"));
                let told = [timeline, state].concat();
                one(&told, "m.room.tombstone", Some("")).cloned()
            })
            .await
            .context("the way to the new room")?;
        ensure!(told["content"]["replacement_room"] == new.as_str(), "{told}");
        guest.join_through(&new, &server).await?;
        stands(host, &new, guest, "join").await?;
        let name = state(guest, &new, "m.room.name/").await?.context("a name")?;
        ensure!(name["name"] == "Old Town", "{name}");
        let create = state(guest, &new, "m.room.create/").await?.context("how it was made")?;
        ensure!(create["predecessor"]["room_id"] == old.as_str(), "{create}");
        let path = format!("/_matrix/client/v3/rooms/{old}/send/m.room.message/late");
        let late = guest.put(&path, &json!({ "msgtype": "m.text", "body": "late" })).await;
        refused(late, 403, "M_FORBIDDEN")?;
        let mut host_hears = Ear::of(host).await?;
        guest.say(&new, "moved in").await?;
        hears(&mut host_hears, &new, "moved in").await?;
    }
    Ok(())
}

/// A server that the rule of a room of the other shuts out, until it lets it in again.
async fn shut_out(pair: &Pair, version: &str) -> Result<()> {
    let servers = [pair.other.server_name(), pair.node.destination().name];
    let guests = [pair.node.destination().name, pair.other.server_name()];
    for ((host, guest), (server, shut)) in [(&pair.sam, &pair.ann), (&pair.ann, &pair.sam)]
        .into_iter()
        .zip(servers.into_iter().zip(guests))
    {
        let request = json!({ "preset": "public_chat", "room_version": version });
        let room = host.create_room(&request).await?;
        guest.join_through(&room, &server).await?;
        // Their server has fetched the people too, whom it may leave out at first.
        stands(guest, &room, host, "join").await?;
        let shut = shut.split(':').next().context("a host")?.to_owned();
        let acl =
            |deny: &[&str]| json!({ "allow": ["*"], "deny": deny, "allow_ip_literals": true });
        set(host, &room, "m.room.server_acl", acl(&[&shut])).await?;
        comes_true("the rule is known", async || {
            let rule = state(guest, &room, "m.room.server_acl/").await?;
            Ok(rule.is_some_and(|rule| rule["deny"] == json!([shut])))
        })
        .await?;
        guest.say(&room, "unheard").await?;
        // Their server may not even look.
        let stranger = Client::register(
            if guest.id() == pair.ann.id() { pair.node.http() } else { pair.other.http() },
            &format!("stranger{version}"),
        )
        .await?;
        set(host, &room, "m.room.server_acl", acl(&[])).await?;
        let mut host_hears = Ear::of(host).await?;
        comes_true("it is let in again", async || {
            let rule = state(guest, &room, "m.room.server_acl/").await?;
            Ok(rule.is_some_and(|rule| rule["deny"] == json!([])))
        })
        .await?;
        guest.say(&room, "heard").await?;
        hears(&mut host_hears, &room, "heard").await?;
        stranger.join_through(&room, &server).await?;
        stands(host, &room, &stranger, "join").await?;
    }
    Ok(())
}

/// Messages that are on their way when the node is killed.
const ON_THEIR_WAY: usize = 60;

/// The node is killed while it takes in what Synapse tells: all of it is there once, in its order.
async fn killed_while_it_listens(pair: &mut Pair) -> Result<()> {
    let room = pair.sam.create_room(&json!({ "preset": "public_chat" })).await?;
    pair.ann.join_through(&room, &pair.other.server_name()).await?;
    for number in 0..ON_THEIR_WAY {
        if number == ON_THEIR_WAY / 2 {
            pair.node.kill().await?;
        }
        pair.sam.say(&room, &format!("on its way {number}")).await?;
    }
    pair.node.restart().await?;
    pair.ann = pair.ann.at(pair.node.http());
    // Their server takes that as a sign that this one is back.
    pair.ann.say(&room, "back").await?;
    let all: Vec<String> = (0..ON_THEIR_WAY).map(|n| format!("on its way {n}")).collect();
    comes_true("all that was said", async || {
        let (mut events, _) = pair.ann.messages(&room, None, 100).await?;
        events.reverse();
        let mut heard = bodies(&events);
        heard.retain(|text| text != "back");
        Ok(heard == all)
    })
    .await?;
    let mut sam_hears = Ear::of(&pair.sam).await?;
    pair.ann.say(&room, "after all").await?;
    hears(&mut sam_hears, &room, "after all").await
}

/// All that needs no more than two servers that run.
async fn visits(pair: &Pair, version: &str) -> Result<()> {
    open_room(pair, version).await.with_context(|| format!("open room, {version}"))?;
    invitations(pair, version).await.with_context(|| format!("invitations, {version}"))?;
    knocks(pair, version).await.with_context(|| format!("knocks, {version}"))?;
    restricted(pair, version).await.with_context(|| format!("restricted, {version}"))?;
    upgrades(pair, version).await.with_context(|| format!("upgrades, {version}"))?;
    shut_out(pair, version).await.with_context(|| format!("shut out, {version}"))
}

async fn elsewhere(engine: Engine, versions: &[&str]) -> Result<()> {
    let Some(mut pair) = Pair::meet(engine).await? else { return Ok(()) };
    for version in versions {
        visits(&pair, version).await?;
    }
    killed_while_it_listens(&mut pair).await?;
    let (events, _) = pair.ann.messages(&first_room(&pair).await?, None, 10).await?;
    ensure!(!bodies(&events).is_empty() || !events.is_empty(), "nothing is kept");
    try_join!(pair.node.stop(), pair.other.stop())?;
    Ok(())
}

async fn first_room(pair: &Pair) -> Result<RoomId> {
    let joined = pair.ann.get("/_matrix/client/v3/joined_rooms").await?;
    let first = joined["joined_rooms"][0].as_str().context("a room")?;
    Ok(RoomId::known(first))
}

#[tokio::test]
async fn people_come_into_rooms_with_a_node() -> Result<()> {
    let Some(pair) = Pair::of_nodes().await? else { return Ok(()) };
    visits(&pair, "12").await?;
    pair.end().await
}

#[tokio::test]
async fn people_come_into_rooms_of_synapse_on_sqlite() -> Result<()> {
    elsewhere(Engine::Sqlite, &VERSIONS).await
}

#[tokio::test]
async fn people_come_into_rooms_of_synapse_on_postgres() -> Result<()> {
    elsewhere(Engine::Postgres, &VERSIONS[2..]).await
}
