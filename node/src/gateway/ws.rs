//! The door of the real-time protocol on WebSocket (specs/realtime.md).
//!
//! A connection is one visit. What it sends is counted before it is read, so that whoever sends too
//! much costs nobody else anything, and what it does not take does not pile up here: the shard holds
//! what must arrive, drops what need not, and ends a visit that is too slow.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{
    FutureExt, SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{Method, Request, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message,
        handshake::server::create_response,
        protocol::{Role, WebSocketConfig},
    },
};
use wayside_world::realtime::{self, Bye, FromClient, FromNode};

use super::{
    App,
    crowd::Staying,
    fault::Fault,
    table::{Access, Call, Rate, Reply, Route},
};
use crate::{
    clock::Clock,
    instances::{Batches, Over, Visit},
};

/// How long a connection may take to say which visit it is (REALTIME-2).
const HELLO: Duration = Duration::from_secs(10);
/// How long a client may be silent: it tells where it stands every second.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the last word may take to go out.
const FAREWELL: Duration = Duration::from_secs(1);
/// Frames a second that a client may send: inputs of every tick, and as many others again.
const FRAMES_PER_SECOND: u32 = 2 * realtime::TICK_HZ as u32;
/// Frames that it may send at once after a while.
const FRAMES_AT_ONCE: u32 = 2 * FRAMES_PER_SECOND;
/// Frames beyond that after which it is shown out.
const FRAMES_TOO_MANY: u32 = 1_000;
/// Bytes that are written to the connection together.
const WRITE_BYTES: usize = 16 * 1024;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) fn routes() -> Vec<Route> {
    let path = "/_wayside/v1/realtime";
    vec![Route::streaming(Method::GET, path, Access::Public, Rate::Read, open)]
}

/// Makes a WebSocket of the connection.
async fn open(call: Call<Body>) -> Result<Reply, Fault> {
    let Call { app, mut request, .. } = call;
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.version_mut() = request.version();
    head.headers_mut().clone_from(request.headers());
    let Ok(response) = create_response(&head) else {
        let mut reply = Fault::BadParameter("this address speaks WebSocket: open one".to_owned())
            .into_reply(app.services.ground.clock);
        *reply.status_mut() = StatusCode::UPGRADE_REQUIRED;
        let websocket = http::HeaderValue::from_static("websocket");
        reply.headers_mut().insert(header::UPGRADE, websocket);
        return Ok(reply);
    };
    // The connection keeps its place among those that are open, though HTTP is done with it.
    let staying = request.extensions_mut().remove::<Staying>();
    let upgrading = hyper::upgrade::on(&mut request);
    let tasks = app.services.ground.tasks.clone();
    tasks.spawn(async move {
        let Ok(upgraded) = upgrading.await else { return };
        let config = WebSocketConfig::default()
            .max_message_size(Some(realtime::CLIENT_FRAME_BYTES))
            .max_frame_size(Some(realtime::CLIENT_FRAME_BYTES))
            .write_buffer_size(WRITE_BYTES);
        let io = TokioIo::new(upgraded);
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        visit(&app, socket).await;
        drop(staying);
    });
    Ok(response.map(|()| Body::empty()))
}

async fn visit(app: &Arc<App>, mut socket: Socket) {
    let stop = app.services.ground.stop.clone();
    let hello = timeout(HELLO, socket.next());
    let Some(hello) = stop.run_until_cancelled(hello).await else {
        return farewell(&mut socket, Over::of(Bye::Ending)).await;
    };
    let begun = match hello {
        Ok(Some(Ok(Message::Binary(bytes)))) => begin(app, &bytes).await,
        _ => Err(Over::of(Bye::Protocol)),
    };
    let over = match begun {
        Ok(mut visit) => {
            let (mut sink, stream) = socket.split();
            let over = converse(app.services.ground.clock, &mut visit, &mut sink, stream).await;
            return farewell(&mut sink, over).await;
        }
        Err(over) => over,
    };
    farewell(&mut socket, over).await;
}

async fn begin(app: &App, bytes: &[u8]) -> Result<Visit, Over> {
    match FromClient::read(bytes) {
        Ok(FromClient::Hello { version: realtime::VERSION, ticket }) => {
            app.services.worlds.begin(&ticket).await
        }
        Ok(FromClient::Hello { .. }) => Err(Over::of(Bye::Version)),
        _ => Err(Over::of(Bye::Protocol)),
    }
}

/// Carries frames in both directions until either side is done.
async fn converse(
    clock: Clock,
    visit: &mut Visit,
    sink: &mut SplitSink<Socket, Message>,
    stream: SplitStream<Socket>,
) -> Over {
    let (ended, batches) = (visit.ended(), visit.batches());
    tokio::select! {
        why = take_in(clock, visit, stream) => Over::of(why),
        () = give_out(batches, sink) => visit.over(),
        () = ended.cancelled() => visit.over(),
    }
}

/// Hands the client's frames to the shard; gives why it ends.
async fn take_in(clock: Clock, visit: &Visit, mut stream: SplitStream<Socket>) -> Bye {
    let mut budget = Budget::new(clock);
    loop {
        let Ok(message) = timeout(SILENCE, stream.next()).await else { return Bye::Gone };
        match message {
            None | Some(Err(_) | Ok(Message::Close(_))) => return Bye::Gone,
            Some(Ok(message)) => {
                match budget.take() {
                    Allowed::Yes => {}
                    Allowed::Dropped => {
                        // A client that sends as fast as it can leaves no pause by itself.
                        tokio::task::yield_now().await;
                        continue;
                    }
                    Allowed::TooMany => return Bye::Flood,
                }
                let bytes = match message {
                    Message::Binary(bytes) => bytes,
                    Message::Ping(_) | Message::Pong(_) => continue,
                    _ => return Bye::Protocol,
                };
                let Ok(frame) = FromClient::read(&bytes) else { return Bye::Protocol };
                if let Err(why) = visit.put(frame) {
                    return why;
                }
            }
        }
    }
}

/// Writes what the shard hands out, as much as there is together.
async fn give_out(mut batches: Batches, sink: &mut SplitSink<Socket, Message>) {
    while let Some(batch) = batches.recv().await {
        let mut next = Some(batch);
        while let Some(batch) = next {
            for frame in batch {
                if sink.feed(Message::Binary(frame)).await.is_err() {
                    return;
                }
            }
            next = batches.recv().now_or_never().flatten();
        }
        if sink.flush().await.is_err() {
            return;
        }
    }
}

/// Says why it is over, to those who still listen.
async fn farewell<S: SinkExt<Message> + Unpin>(sink: &mut S, over: Over) {
    let bye: Bytes = FromNode::Bye { reason: over.why, again_ms: over.again_ms }.bytes();
    let _nobody_listens = timeout(FAREWELL, async {
        let _gone = sink.send(Message::Binary(bye)).await;
        let _gone = sink.close().await;
    })
    .await;
}

/// How many frames a connection may still send.
struct Budget {
    clock: Clock,
    begin: std::time::Instant,
    /// Until when the budget is used up, counted in frames since the beginning.
    used: u64,
    too_many: u32,
}

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
enum Allowed {
    Yes,
    Dropped,
    TooMany,
}

impl Budget {
    fn new(clock: Clock) -> Self {
        Self { clock, begin: clock.instant(), used: 0, too_many: 0 }
    }

    fn take(&mut self) -> Allowed {
        let since = self.clock.instant().saturating_duration_since(self.begin);
        self.take_at(since)
    }

    fn take_at(&mut self, since_begin: Duration) -> Allowed {
        let per_second = u128::from(FRAMES_PER_SECOND);
        let earned = since_begin.as_millis() * per_second / 1_000;
        let earned = u64::try_from(earned).unwrap_or(u64::MAX);
        self.used = self.used.max(earned);
        if self.used - earned < u64::from(FRAMES_AT_ONCE) {
            self.used += 1;
            return Allowed::Yes;
        }
        self.too_many += 1;
        if self.too_many > FRAMES_TOO_MANY { Allowed::TooMany } else { Allowed::Dropped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_dropped_and_then_shown_out() {
        let mut budget = Budget::new(Clock);
        let second = Duration::from_secs(1);
        // What an honest client sends is never dropped.
        for frame in 0..600 {
            assert_eq!(budget.take_at(second * frame / 40), Allowed::Yes);
        }
        let now = second * 15;
        let yes = (0..500).filter(|_| budget.take_at(now) == Allowed::Yes).count();
        assert!((1..=FRAMES_AT_ONCE as usize).contains(&yes), "{yes}");
        let ends = (0..2_000).position(|_| budget.take_at(now) == Allowed::TooMany);
        assert!(ends.is_some());
    }
}
