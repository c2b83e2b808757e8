//! The harness of federation proves itself: servers of ours and of others, certificates, names, peers.

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::try_join;
use wayside_tests::{Client, Destination, Engine, Synapse, Town, Wire, verify};

use crate::stage::{Deeds, Ear, bodies, list, part};

/// A Synapse of this town, or nothing where there is none on this machine.
async fn synapse(town: &Town, name: &str) -> Result<Option<Synapse>> {
    match town.synapse(name)? {
        Some(options) => Ok(Some(options.start().await?)),
        None => Ok(None),
    }
}

/// The door of a server for others, by the authority of the town.
fn door(town: &Town, to: &Destination) -> Result<Wire> {
    Wire::secure(&to.url, town.authority().pem(), "http/1.1")
}

#[tokio::test]
async fn two_people_talk_on_synapse_which_keeps_what_they_said() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut server) = synapse(&town, "s").await? else { return Ok(()) };
    let ann = Client::register(server.http(), "ann").await?;
    let bob = Client::register(server.http(), "bob").await?;
    ensure!(ann.id() == format!("@ann:{}", server.server_name()), "{}", ann.id());
    let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    bob.join(&room).await?;
    let mut ear = Ear::of(&bob).await?;
    ann.say(&room, "hello").await?;
    ear.hear(|news| {
        let said = bodies(&list(part(news, &room, "join/timeline")));
        said.contains(&"hello".to_owned()).then_some(())
    })
    .await?;

    // The same data, address and people after it was killed.
    server.kill().await?;
    server.restart().await?;
    let (events, _) = bob.messages(&room, None, 10).await?;
    ensure!(bodies(&events).contains(&"hello".to_owned()), "{events:?}");
    ensure!(server.log().matches("STARTING SERVER").count() == 2, "not two starts are logged");
    server.stop().await
}

#[tokio::test]
async fn two_synapses_of_a_town_federate() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let (a, b) = try_join!(synapse(&town, "s"), synapse(&town, "t"))?;
    let (Some(mut a), Some(mut b)) = (a, b) else { return Ok(()) };
    let ann = Client::register(a.http(), "ann").await?;
    let bob = Client::register(b.http(), "bob").await?;
    let room = ann.create_room(&json!({ "preset": "public_chat" })).await?;
    bob.join_through(&room, &a.server_name()).await?;
    let (mut ann_hears, mut bob_hears) = (Ear::of(&ann).await?, Ear::of(&bob).await?);
    for (who, ear, text) in [(&ann, &mut bob_hears, "to b"), (&bob, &mut ann_hears, "to a")] {
        who.say(&room, text).await?;
        ear.hear(|news| {
            let said = bodies(&list(part(news, &room, "join/timeline")));
            said.contains(&text.to_owned()).then_some(())
        })
        .await?;
    }
    try_join!(a.stop(), b.stop())?;
    Ok(())
}

#[tokio::test]
async fn a_node_of_a_town_answers_others_at_its_name() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.server("a")?.start().await?;
    let destination = node.destination();
    ensure!(destination.url.as_str() == format!("https://{}/", destination.name));
    let door = door(&town, &destination)?;
    let version = door.ask("GET", "/_matrix/federation/v1/version", &[], b"").await?;
    ensure!(version.json()["server"]["name"] == "Wayside", "{}", version.short());
    let keys = door.ask("GET", "/_matrix/key/v2/server", &[], b"").await?;
    verify(&keys.json(), &destination.name, &keys.json())?;
    ensure!(keys.json()["server_name"] == destination.name, "{}", keys.short());
    let ann = Client::register(node.http(), "ann").await?;
    ensure!(ann.id() == format!("@ann:{}", destination.name), "{}", ann.id());

    // Nobody else's authority vouches for it, and no node of this town has its address.
    let Some(elsewhere) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let stranger = Wire::secure(&destination.url, elsewhere.authority().pem(), "http/1.1")?;
    ensure!(stranger.open().await.is_err(), "a stranger's authority is believed");
    let other = town.server("b")?;
    ensure!(other.server_name() != destination.name, "{}", other.server_name());
    node.stop().await?;
    Ok(())
}
