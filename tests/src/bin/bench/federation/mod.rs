//! The rows of federation: the node among other servers, beside Synapse in the same place.

mod branches;
mod idle;
mod inbound;
mod large;
mod real;
mod seen;
mod talk;
mod village;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Url;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use wayside_tests::{Client, RoomId, Synapse, Town};

pub(crate) use self::{
    branches::{branches, conflicts},
    idle::idle,
    inbound::inbound,
    large::large_join,
    real::real_join,
    seen::seen,
};
use crate::line::Line;

/// The version of the rooms: what both servers make by themselves now.
const VERSION: &str = "12";

/// A Synapse at its best: nothing of it is limited, and it writes no log of what goes well.
async fn synapse(town: &Town, name: &str) -> Result<Synapse> {
    let options = town.synapse(name)?.context("there is no Synapse (make bench sets it up)")?;
    options.log_level("WARNING").start().await
}

/// How often a server is asked whether it knows all members, where its first answer does not.
const LOOK: Duration = Duration::from_millis(20);
/// After this nobody waits any longer for a server to come into a room.
const LIMIT: Duration = Duration::from_mins(2);

/// How long it takes somebody to come into a room of another server, from the request to when all its
/// members are known and what they say is accepted.
async fn come_in(
    (base, who): (&Url, &Client),
    room: &RoomId,
    through: &str,
    members: usize,
) -> Result<Duration> {
    let mut line = Line::open(base, who.session().token()).await?;
    // Both names of the parameter: servers of before 1.12 know the first alone.
    let join = format!("/_matrix/client/v3/join/{room}?server_name={through}&via={through}");
    let listed = format!("/_matrix/client/v3/rooms/{room}/joined_members");
    let send = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/first");
    let begun = Instant::now();
    let joining = async {
        line.ask("POST", &join, "{}").await?;
        loop {
            let answer: Value = serde_json::from_slice(&line.ask("GET", &listed, "").await?)?;
            if answer["joined"].as_object().is_some_and(|joined| joined.len() >= members) {
                break;
            }
            sleep(LOOK).await;
        }
        line.ask("PUT", &send, r#"{"msgtype":"m.text","body":"hello"}"#).await
    };
    timeout(LIMIT, joining).await.with_context(|| format!("not in {room} after {LIMIT:?}"))??;
    Ok(begun.elapsed())
}
