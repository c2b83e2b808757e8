//! The rows of travel: how soon somebody stands in a world of another node, and whether they always arrive.

use anyhow::{Context, Result};
use reqwest::Url;
use serde_json::{Value, json};
use wayside_tests::{
    Browser, Client, Engine, Names, Node, PASSWORD, RoomId, Town, floor, hosts, named, pages,
};

use crate::{
    ground::town,
    rows::{Better, Row},
    seen::median,
};

/// Visits of which the middle one counts: between nodes that have just started, and between those that know
/// each other.
const COLD: usize = 9;
const WARM: usize = 15;
/// How often somebody walks through portals, there and back.
const WALKS: usize = 100;

/// Two nodes with a world each, and somebody who lives on the one.
struct Field {
    home: Node,
    there: Node,
    /// Where their pages are.
    places: [Url; 2],
    /// The whole aliases of the worlds, without the sign before them.
    worlds: [String; 2],
    pages: Browser,
    _names: Names,
    _town: Town,
}

impl Field {
    async fn lay() -> Result<Self> {
        let town = town(Engine::Sqlite)?;
        let names = Names::open().await?;
        let home = named(&town, &names, "home", "home.test").await?;
        let there = named(&town, &names, "there", "there.test").await?;
        let places = [pages(&home).await?, pages(&there).await?];
        let ada = Client::register(home.http(), "ada").await?;
        let bob = Client::register(there.http(), "bob").await?;
        let worlds = [world(&ada, "The Hall").await?, world(&bob, "The Garden").await?];
        let mut pages =
            Browser::open("travel.mjs")?.context("there is no browser (make bench sets it up)")?;
        let hosts = hosts(&[(&places[0], &home), (&places[1], &there)])?;
        let own = json!({ "url": places[0].as_str(), "user": "ada", "password": PASSWORD, "hosts": hosts });
        pages.step("home", own).await?;
        portal(&ada, &worlds[0], &worlds[1]).await?;
        portal(&bob, &worlds[1], &worlds[0]).await?;
        Ok(Self { home, there, places, worlds, pages, _names: names, _town: town })
    }

    /// How long a visit took from the click to the first snapshot, in milliseconds.
    async fn visit(&mut self, world: &str) -> Result<f64> {
        let url = self.places[0].join(&format!("w/{world}"))?;
        let told = self.pages.step("visit", json!({ "url": url.as_str() })).await?;
        told["ms"].as_f64().with_context(|| format!("no time: {told}"))
    }

    async fn restart(&mut self) -> Result<()> {
        for node in [&mut self.home, &mut self.there] {
            node.stop().await?;
            node.restart().await?;
        }
        Ok(())
    }

    /// How many are in both worlds together.
    async fn people(&self) -> Result<u64> {
        let mut all = 0;
        for (node, world) in [&self.home, &self.there].into_iter().zip(&self.worlds) {
            let path = format!("/_wayside/v1/worlds/%23{world}");
            let told = Client::nobody(node.http())?.get(&path).await?;
            all += told["people"].as_u64().context("a number")?;
        }
        Ok(all)
    }
}

/// A world with a floor; its whole alias.
async fn world(who: &Client, name: &str) -> Result<String> {
    let scene = who.upload("model/gltf-binary", floor()).await?;
    let wish = json!({ "name": name, "scene": format!("mxc://{}", scene.place()) });
    let made = who.post("/_wayside/v1/worlds", &wish).await?;
    Ok(made["alias"].as_str().context("an alias")?.trim_start_matches('#').to_owned())
}

/// Makes a portal in one world to another.
async fn portal(who: &Client, from: &str, to: &str) -> Result<()> {
    let world = who.get(&format!("/_wayside/v1/worlds/%23{from}")).await?;
    let room = RoomId::known(world["room_id"].as_str().context("a room")?);
    let content = json!({ "uri": format!("matrix:r/{to}") });
    // Whoever makes a world rules its room, and is not in it before they come.
    who.join(&room).await?;
    who.set_state(&room, "org.wayside.portal", "door", &content).await?;
    Ok(())
}

pub(crate) async fn rows() -> Result<Vec<Row>> {
    let mut field = Field::lay().await?;
    let [hall, garden] = field.worlds.clone();
    let (mut cold, mut warm, mut own) = (Vec::new(), Vec::new(), Vec::new());
    eprintln!("  {COLD} visits between nodes that have just started");
    for _ in 0..COLD {
        field.restart().await?;
        cold.push(field.visit(&garden).await?);
    }
    eprintln!("  {WARM} visits between nodes that know each other");
    for _ in 0..WARM {
        warm.push(field.visit(&garden).await?);
        own.push(field.visit(&hall).await?);
    }
    eprintln!("  {WALKS} walks through portals");
    let (mut lost, mut walks) = (0_u32, Vec::new());
    for _ in 0..WALKS {
        let told: Value = field.pages.step("walk", json!({})).await?;
        walks.push(told["ms"].as_f64().context("a time")?);
        lost += u32::from(field.people().await? != 1);
    }
    field.pages.close().await?;
    field.home.stop().await?;
    field.there.stop().await?;
    let lower = Better::Lower;
    Ok(vec![
        Row::new("identity.visit_cold_p50_ms", median(cold), "ms", lower).limit(400.0).note(
            format!("click to first snapshot in Chromium, both nodes just started; of {COLD}"),
        ),
        Row::new("identity.visit_warm_p50_ms", median(warm), "ms", lower)
            .limit(120.0)
            .note(format!(
                "the same between nodes that know each other; of {WARM}. Where a processor draws, about 100 ms of it are \
                 the browser's, which draws the new screen before it hears: see the control"
            )),
        Row::new("identity.visit_home_p50_ms", median(own), "ms", lower)
            .note("control of the same run: a world of the home, without showing who one is"),
        Row::new("identity.portal_walks_lost", f64::from(lost), "", lower).limit(0.0).note(
            format!("of {WALKS} walks between two nodes those after which not one body was there"),
        ),
        Row::new("identity.portal_walk_p50_ms", median(walks), "ms", lower)
            .note("from \"Go\" in one world to the first snapshot of the other"),
    ])
}
