//! How soon somebody sees what another says: messages one after the other, and the disk in between.

use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use reqwest::Url;
use serde_json::json;
use wayside_tests::{Client, RoomId};

use crate::{ground::milliseconds, line::Line};

/// The first messages of a run warm the servers up, and do not count.
pub(crate) const WARMING: usize = 20;
/// What is written before the disk is synced by itself: about what a message takes.
const CONTROL_BYTES: usize = 64 * 1024;

/// Somebody who speaks in a room, and somebody who hears it, on the same server or on another.
pub(crate) struct Pair {
    speaker: (Url, Client),
    listener: (Url, Client),
    room: RoomId,
    /// On the same disk as the database: what it takes to sync it alone is measured between messages.
    control: File,
}

impl Pair {
    pub(crate) fn of(
        speaker: (&Url, &Client),
        listener: (&Url, &Client),
        room: &RoomId,
        folder: &Path,
    ) -> Result<Self> {
        let kept = |(base, client): (&Url, &Client)| (base.clone(), client.clone());
        let (speaker, listener) = (kept(speaker), kept(listener));
        let control = File::create(folder.join("control"))?;
        Ok(Self { speaker, listener, room: room.clone(), control })
    }

    /// How long each message takes until somebody who waits for news has it, one after the other, and
    /// how long a sync of the disk does by itself, both in order.
    pub(crate) async fn run(
        &self,
        name: &str,
        messages: usize,
    ) -> Result<(Vec<Duration>, Vec<Duration>)> {
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message", self.room);
        let sync = "/_matrix/client/v3/sync?set_presence=offline";
        // Those of a run before may have been ended, for nobody has used them for long.
        let line =
            async |(base, client): &(Url, Client)| Line::open(base, client.session().token()).await;
        let (mut speaks, mut hears) = (line(&self.speaker).await?, line(&self.listener).await?);
        let first = hears.ask("GET", &format!("{sync}&timeout=0"), "").await?;
        let mut since = next_batch(&first)?;
        let (mut times, mut control) = (Vec::new(), Vec::new());
        let page = vec![0; CONTROL_BYTES];
        for number in 0..messages {
            let word = format!("seen {name} {number}");
            let body = json!({ "msgtype": "m.text", "body": word }).to_string();
            let target = format!("{path}/s{name}n{number}");
            let begun = Instant::now();
            let says = speaks.ask("PUT", &target, &body);
            let hear = async {
                loop {
                    let wait = format!("{sync}&timeout=30000&since={since}");
                    let news = hears.ask("GET", &wait, "").await?;
                    let now = begun.elapsed();
                    since = next_batch(&news)?;
                    if String::from_utf8_lossy(&news).contains(&word) {
                        return anyhow::Ok(now);
                    }
                }
            };
            let (said, heard) = tokio::join!(says, hear);
            said?;
            times.push(heard?);
            let begun = Instant::now();
            self.control.write_all_at(&page, 0)?;
            self.control.sync_data()?;
            control.push(begun.elapsed());
        }
        times.drain(..WARMING.min(times.len()));
        times.sort_unstable();
        control.sort_unstable();
        Ok((times, control))
    }
}

/// Where the next answer of sync goes on.
pub(crate) fn next_batch(answer: &[u8]) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Batch {
        next_batch: String,
    }
    Ok(serde_json::from_slice::<Batch>(answer).context("an answer of sync")?.next_batch)
}

/// What a part of the times is below, in milliseconds.
pub(crate) fn at(times: &[Duration], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a short list"
    )]
    let index = ((times.len() as f64) * part) as usize;
    milliseconds(times[index.min(times.len() - 1)])
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
