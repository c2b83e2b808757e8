//! Three servers in one room, two nodes and a Synapse, of which two lose sight of each other for a while.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{Client, Engine, Node, RoomId, Synapse, Town};

use crate::{
    clients::is_long_round,
    shared_rooms::{set, state},
    stage::{Deeds, VERSIONS, bodies, comes_true},
};

/// Which of the three makes a room, and its version.
type Making = (usize, &'static str);

/// The newest version by each of the three, and each older one by one of them.
const FEW: [Making; 5] = [(0, "12"), (1, "12"), (2, "12"), (0, "10"), (1, "11")];
/// What is enough for the second engine.
const ONE: [Making; 1] = [(0, "12")];

/// The state of a room as somebody is told it: the ids of its events by type and key.
pub(crate) async fn whole(
    who: &Client,
    room: &RoomId,
) -> Result<BTreeMap<(String, String), String>> {
    let all = who.get(&format!("/_matrix/client/v3/rooms/{room}/state")).await?;
    let text = |event: &Value, name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let entry = |it: &Value| ((text(it, "type"), text(it, "state_key")), text(it, "event_id"));
    Ok(all.as_array().context("a state")?.iter().map(entry).collect())
}

pub(crate) async fn heard(who: &Client, room: &RoomId, text: &str) -> Result<()> {
    comes_true(&format!("{text:?} for {}", who.id()), async || {
        let (events, _) = who.messages(room, None, 100).await?;
        Ok(bodies(&events).contains(&text.to_owned()))
    })
    .await
}

/// Who is in a room, as somebody is told it.
async fn members(who: &Client, room: &RoomId) -> Result<BTreeSet<String>> {
    let all = who.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await?;
    Ok(all["joined"].as_object().context("members")?.keys().cloned().collect())
}

async fn agree(people: [&Client; 3], room: &RoomId) -> Result<()> {
    comes_true("that all three agree", async || {
        let [one, two, three] = people;
        let states = try_join!(whole(one, room), whole(two, room), whole(three, room))?;
        let inside = try_join!(members(one, room), members(two, room), members(three, room))?;
        Ok(states.0 == states.1
            && states.1 == states.2
            && inside.0 == inside.1
            && inside.1 == inside.2)
    })
    .await
}

/// Begins a node anew that does not meet a server, or meets all.
async fn begin_anew(node: &mut Node, shunned: Option<&str>) -> Result<()> {
    node.stop().await?;
    node.change("--never-federate-with", shunned);
    node.restart().await
}

fn host(node: &Node) -> Result<String> {
    node.federation().host_str().map(str::to_owned).context("a node has an address")
}

/// Two nodes and a Synapse, with somebody on each who speaks, and others of whom the story tells.
struct Three {
    a: Node,
    b: Node,
    synapse: Synapse,
    ann: Client,
    bob: Client,
    sam: Client,
    /// Of Ann's node; Ann gives them power, and Bob puts them out.
    abe: Client,
    /// The same the other way round.
    bea: Client,
    /// Of Bob's node; comes in there when Ann has banned them.
    cy: Client,
    /// Last, so that it goes with its folder when all servers are gone.
    _town: Town,
}

impl Three {
    async fn begin(engine: Engine) -> Result<Option<Self>> {
        let Some(town) = Town::found(engine)? else { return Ok(None) };
        let Some(synapse) = town.synapse("s")? else { return Ok(None) };
        let (a, b, synapse) =
            try_join!(town.server("a")?.start(), town.server("b")?.start(), synapse.start())?;
        Ok(Some(Self {
            ann: Client::register(a.http(), "ann").await?,
            abe: Client::register(a.http(), "abe").await?,
            bob: Client::register(b.http(), "bob").await?,
            bea: Client::register(b.http(), "bea").await?,
            cy: Client::register(b.http(), "cy").await?,
            sam: Client::register(synapse.http(), "sam").await?,
            a,
            b,
            synapse,
            _town: town,
        }))
    }

    /// Those who speak.
    fn people(&self) -> [&Client; 3] {
        [&self.ann, &self.bob, &self.sam]
    }

    /// One of the three makes a room, and all others come but Cy.
    async fn make(&self, (maker, version): Making) -> Result<RoomId> {
        let (a, b) = (self.a.destination().name, self.b.destination().name);
        let server = &[a, b, self.synapse.server_name()][maker];
        let people = self.people();
        let maker = people[maker];
        let request = json!({ "preset": "public_chat", "room_version": version });
        let room = maker.create_room(&request).await?;
        let others: Vec<&Client> =
            people.into_iter().filter(|person| person.id() != maker.id()).collect();
        for person in others.iter().chain(&[&self.abe, &self.bea]) {
            person.join_through(&room, server).await?;
        }
        let mut levels = state(maker, &room, "m.room.power_levels/").await?.context("levels")?;
        // The others have less than the maker, and yet so much that they can give of it.
        levels["events"]["m.room.power_levels"] = 50.into();
        for person in others {
            levels["users"][person.id()] = 50.into();
        }
        set(maker, &room, "m.room.power_levels", levels).await?;
        for person in people {
            person.say(&room, &format!("{} is here", person.id())).await?;
        }
        for person in people {
            for other in people {
                heard(person, &room, &format!("{} is here", other.id())).await?;
            }
        }
        agree(people, &room).await?;
        Ok(room)
    }

    /// Begins both nodes anew, which meet each other or do not; their people follow them.
    async fn begin_nodes_anew(&mut self, meet: bool) -> Result<()> {
        let (host_a, host_b) = (host(&self.a)?, host(&self.b)?);
        begin_anew(&mut self.a, (!meet).then_some(&*host_b)).await?;
        begin_anew(&mut self.b, (!meet).then_some(&*host_a)).await?;
        for person in [&mut self.ann, &mut self.abe] {
            *person = person.at(self.a.http());
        }
        for person in [&mut self.bob, &mut self.bea, &mut self.cy] {
            *person = person.at(self.b.http());
        }
        Ok(())
    }

    /// While neither node hears the other, both sides change the same things, each puts out whom the
    /// other gives power, and one bans somebody who comes in on the other.
    async fn differ(&self, room: &RoomId) -> Result<()> {
        let sides = [
            (&self.ann, "by ann", &self.abe, ("ban", &self.bea)),
            (&self.bob, "by bob", &self.bea, ("kick", &self.abe)),
        ];
        for (who, word, raised, (verb, whom)) in sides {
            let mut levels = state(who, room, "m.room.power_levels/").await?.context("levels")?;
            levels["users"][raised.id()] = 50.into();
            set(who, room, "m.room.power_levels", levels).await?;
            who.deed(room, verb, Some(whom)).await?;
            if who.id() == self.ann.id() {
                who.deed(room, "ban", Some(&self.cy)).await?;
            } else {
                self.cy.join(room).await?;
            }
            set(who, room, "m.room.topic", json!({ "topic": word })).await?;
            set(who, room, "m.room.name", json!({ "name": word })).await?;
            who.say(room, word).await?;
        }
        // Sam hears both, and what he says then rests on both.
        heard(&self.sam, room, "by ann").await?;
        heard(&self.sam, room, "by bob").await?;
        self.sam.say(room, "between you").await?;
        heard(&self.ann, room, "between you").await?;
        heard(&self.bob, room, "between you").await
    }

    /// When the nodes hear each other again, all know all of it and hold the same of it for true.
    async fn are_of_one_mind(&self, room: &RoomId) -> Result<()> {
        self.ann.say(room, "again by ann").await?;
        self.bob.say(room, "again by bob").await?;
        heard(&self.ann, room, "again by bob").await?;
        heard(&self.bob, room, "again by ann").await?;
        for who in self.people() {
            for word in ["by ann", "by bob", "between you"] {
                heard(who, room, word).await?;
            }
        }
        agree(self.people(), room).await?;
        // Whoever has more power, or else was first, has raised one and put out the other. A ban comes
        // before who comes.
        let inside = members(&self.ann, room).await?;
        let stay = [&self.abe, &self.bea].map(|person| inside.contains(person.id()));
        ensure!(stay[0] != stay[1], "both sides have won, or none: {inside:?}");
        ensure!(!inside.contains(self.cy.id()), "who is banned is inside: {inside:?}");
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        try_join!(self.a.stop(), self.b.stop(), self.synapse.stop())?;
        Ok(())
    }
}

async fn split(engine: Engine, makings: &[Making]) -> Result<()> {
    let Some(mut three) = Three::begin(engine).await? else { return Ok(()) };
    let mut rooms = Vec::new();
    for making in makings {
        let room = three.make(*making).await;
        rooms.push((making, room.with_context(|| format!("making {making:?}"))?));
    }
    three.begin_nodes_anew(false).await?;
    for (making, room) in &rooms {
        three.differ(room).await.with_context(|| format!("apart in {making:?}"))?;
    }
    three.begin_nodes_anew(true).await?;
    for (making, room) in &rooms {
        let done = three.are_of_one_mind(room).await;
        done.with_context(|| format!("together again in {making:?}"))?;
    }
    three.end().await
}

/// These rooms, or in a long round one of every version by each of the three.
fn makings(few: &[Making]) -> Vec<Making> {
    if !is_long_round() {
        return few.to_vec();
    }
    VERSIONS.into_iter().flat_map(|version| (0..3).map(move |maker| (maker, version))).collect()
}

#[tokio::test]
async fn split_servers_agree_when_they_meet_again_on_sqlite() -> Result<()> {
    split(Engine::Sqlite, &makings(&FEW)).await
}

#[tokio::test]
async fn split_servers_agree_when_they_meet_again_on_postgres() -> Result<()> {
    split(Engine::Postgres, &makings(&ONE)).await
}
