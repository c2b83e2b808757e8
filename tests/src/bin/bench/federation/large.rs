//! Coming into a room of thousands.

use std::time::Duration;

use anyhow::{Context, Result};
use wayside_tests::{Engine, Town};

use super::{VERSION, synapse, talk::Talk, village::Village};
use crate::{
    ground::town,
    process::peak_mb,
    rows::{Better, Row},
    seen::{at, median},
};

/// Nodes that join, one after the other, and Synapses, which take longer.
const OURS: usize = 3;
const THEIRS: usize = 1;

/// How a node did.
struct Joined {
    took_s: f64,
    peak_mb: f64,
    /// How long each message took that somebody sent meanwhile, in order.
    sent: Vec<Duration>,
}

/// Lets somebody of a new node join, while somebody else of it talks in another room if they are to.
async fn join_here(town: &Town, name: &str, village: &Village, talks: bool) -> Result<Joined> {
    let mut node = town.server(name)?.start().await?;
    let pid = node.pid().context("the node has ended by itself")?;
    let talk = Talk::begin(node.http()).await?;
    let joins = village.joined_by(node.http());
    let ((_, took), sent) =
        if talks { talk.during("n", joins).await? } else { (joins.await?, Vec::new()) };
    let joined = Joined { took_s: took.as_secs_f64(), peak_mb: peak_mb(pid)?, sent };
    node.stop().await?;
    Ok(joined)
}

/// A new node and a new Synapse, both on SQLite and on the same disk, in turn.
pub(crate) async fn large_join() -> Result<Vec<Row>> {
    let town = town(Engine::Sqlite)?;
    let village = Village::found(&town).await?;
    let (mut took, mut peak) = (Vec::new(), Vec::new());
    for run in 0..OURS {
        let joined = join_here(&town, &format!("a{run}"), &village, false).await?;
        eprintln!("  joined in {:.2} s", joined.took_s);
        took.push(joined.took_s);
        peak.push(joined.peak_mb);
    }
    let beside = join_here(&town, "b", &village, true).await?;
    let (mut their_took, mut their_peak) = (Vec::new(), Vec::new());
    for run in 0..THEIRS {
        let mut synapse = synapse(&town, &format!("s{run}")).await?;
        let pid = synapse.pid().context("Synapse has ended by itself")?;
        let joined = village.joined_by(synapse.http()).await?.1.as_secs_f64();
        eprintln!("  Synapse joined in {joined:.2} s");
        their_took.push(joined);
        their_peak.push(peak_mb(pid)?);
        synapse.stop().await?;
    }
    let (took, their_took) = (median(took), median(their_took));
    let row = |name: &str, value: f64, unit: &str| Row::new(name, value, unit, Better::Lower);
    Ok(vec![
        row("federation.join_5000_ratio", took / their_took, "x").limit(0.2).note(format!(
            "{took:.2} s beside Synapse's {their_took:.2}; median of {OURS} new nodes"
        )),
        row("federation.join_5000_s", took, "s").note(format!(
            "version {VERSION}, all members of one server; from the request until all are listed and a message is accepted"
        )),
        row("federation.join_5000_synapse_s", their_took, "s")
            .note("a new Synapse, told the same whole state"),
        row("federation.join_5000_rss_mb", median(peak), "MB").note("the peak of the node"),
        row("federation.join_5000_synapse_rss_mb", median(their_peak), "MB")
            .note("the peak of Synapse"),
        row("federation.join_5000_local_send_p99_ms", at(&beside.sent, 0.99), "ms")
            .limit(50.0)
            .note(format!(
                "of {} messages, one after the other, that somebody else sends during a join of {:.2} s",
                beside.sent.len(),
                beside.took_s
            )),
    ])
}
