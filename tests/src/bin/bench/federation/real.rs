//! Coming into a room of hundreds on a real Synapse, whose database is kept from run to run.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use serde_json::json;
use tokio::{process::Command, task::JoinSet};
use wayside_tests::{Address, Client, Engine, RoomId, Synapse, Town};

use super::{VERSION, come_in, synapse};
use crate::{
    ground::town,
    rows::{Better, Row},
    seen::median,
};

const MEMBERS: usize = 500;
/// Of what form the kept database is: another number makes a new one.
const FORM: u32 = 1;
/// The number of the address at which its server is, in every run.
const NUMBER: u8 = 5;
/// People who come in at the same time while it is made.
const AT_ONCE: usize = 4;
/// New nodes that join, one after the other, and new Synapses.
const OURS: usize = 3;
const THEIRS: usize = 3;

/// Where the database is kept: it is of this version of Synapse, and of a room of this version.
fn place() -> Result<PathBuf> {
    let cache = env::var_os("WAYSIDE_CACHE").context("WAYSIDE_CACHE leads to what is kept")?;
    let python = env::var_os("WAYSIDE_SYNAPSE").map(PathBuf::from).unwrap_or_default();
    // Its folder is named by what it is made from.
    let of = python.ancestors().nth(2).and_then(Path::file_name).context("no Synapse")?;
    let name = format!("{}-room-{MEMBERS}-v{VERSION}-{FORM}", of.to_string_lossy());
    Ok(PathBuf::from(cache).join(name))
}

async fn start(town: &Town, folder: &Path) -> Result<Synapse> {
    let options = town.synapse_on(folder, Address::lasting(NUMBER)?)?;
    let options = options.context("there is no Synapse (make bench sets it up)")?;
    options.log_level("WARNING").start().await
}

/// Makes the database, if there is none: all its people register and join as anybody does.
async fn keep(town: &Town) -> Result<PathBuf> {
    let place = place()?;
    if place.exists() {
        return Ok(place);
    }
    eprintln!("  laying out a room of {MEMBERS} on Synapse, once for all runs");
    let making = place.with_extension("making");
    if making.exists() {
        fs::remove_dir_all(&making)?;
    }
    let mut synapse = start(town, &making).await?;
    let base = synapse.http().clone();
    let owner = Client::register(&base, "owner").await?;
    let wish = json!({ "preset": "public_chat", "room_version": VERSION, "name": "Village" });
    let room = owner.create_room(&wish).await?;
    let mut coming = JoinSet::new();
    for part in 0..AT_ONCE {
        let (base, room) = (base.clone(), room.clone());
        coming.spawn(async move {
            for number in (1 + part..MEMBERS).step_by(AT_ONCE) {
                let member = Client::register(&base, &format!("member{number}")).await?;
                member.join(&room).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = coming.join_next().await {
        done??;
    }
    synapse.stop().await?;
    fs::write(making.join("room"), room.as_str())?;
    fs::rename(&making, &place)?;
    Ok(place)
}

/// Lets somebody of a server join the room on a copy of what is kept: nobody else has joined there.
async fn join(town: &Town, kept: &Path, base: &Url) -> Result<f64> {
    let room = RoomId::known(&fs::read_to_string(kept.join("room"))?);
    let folder = town.folder().join("copy");
    let copied = Command::new("cp").arg("-r").args([kept, &folder]).status().await?;
    ensure!(copied.success(), "copying {}: {copied}", kept.display());
    let mut host = start(town, &folder).await?;
    let ann = Client::register(base, "ann").await?;
    let took = come_in((base, &ann), &room, &host.server_name(), MEMBERS + 1).await?;
    host.stop().await?;
    fs::remove_dir_all(&folder)?;
    Ok(took.as_secs_f64())
}

/// New nodes and new Synapses that somebody joins the room from.
pub(crate) async fn real_join() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let kept = keep(&town).await?;
    let (mut took, mut their_took) = (Vec::new(), Vec::new());
    for run in 0..OURS {
        let mut node = town.server(&format!("a{run}"))?.start().await?;
        took.push(join(&town, &kept, node.http()).await?);
        node.stop().await?;
    }
    for run in 0..THEIRS {
        let mut other = synapse(&town, &format!("s{run}")).await?;
        their_took.push(join(&town, &kept, other.http()).await?);
        other.stop().await?;
    }
    let what = format!(
        "from the request until all {MEMBERS} are listed and a message is accepted, on a room of a real Synapse"
    );
    Ok(vec![
        Row::new("federation.join_500_s", median(took), "s", Better::Lower)
            .note(format!("{what}; median of {OURS} new nodes")),
        Row::new("federation.join_500_synapse_s", median(their_took), "s", Better::Lower)
            .note(format!("the same by {THEIRS} new Synapses")),
    ])
}
