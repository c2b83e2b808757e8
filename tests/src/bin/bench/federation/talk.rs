//! Somebody who talks in a room of their own while their server is at something else.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use reqwest::Url;
use serde_json::json;
use wayside_tests::{Client, RoomId};

use crate::line::Line;

/// Messages by which the server is warm.
const WARMING: usize = 200;

#[derive(Clone)]
pub(super) struct Talk {
    base: Url,
    bob: Client,
    room: RoomId,
}

impl Talk {
    pub(super) async fn begin(base: &Url) -> Result<Self> {
        let bob = Client::register(base, "bob").await?;
        let room = bob.create_room(&json!({ "preset": "public_chat" })).await?;
        let talk = Self { base: base.clone(), bob, room };
        talk.say("warm", |said| said < WARMING).await?;
        Ok(talk)
    }

    /// Says one message after the other; how long each took until it was accepted, in order.
    pub(super) async fn say(
        &self,
        name: &str,
        goes_on: impl Fn(usize) -> bool,
    ) -> Result<Vec<Duration>> {
        let mut line = Line::open(&self.base, self.bob.session().token()).await?;
        let path = format!("/_matrix/client/v3/rooms/{}/send/m.room.message", self.room);
        let body = r#"{"msgtype":"m.text","body":"meanwhile"}"#;
        let mut sent = Vec::new();
        while goes_on(sent.len()) {
            let begun = Instant::now();
            line.ask("PUT", &format!("{path}/{name}{}", sent.len()), body).await?;
            sent.push(begun.elapsed());
        }
        sent.sort_unstable();
        Ok(sent)
    }

    /// Goes on talking until something else is done.
    pub(super) async fn during<T>(
        &self,
        name: &str,
        deed: impl Future<Output = Result<T>>,
    ) -> Result<(T, Vec<Duration>)> {
        let (talk, name) = (self.clone(), name.to_owned());
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let talking =
            tokio::spawn(async move { talk.say(&name, |_| !over.load(Ordering::Relaxed)).await });
        let done = deed.await;
        is_over.store(true, Ordering::Relaxed);
        let sent = talking.await??;
        Ok((done?, sent))
    }
}
