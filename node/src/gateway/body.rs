//! Bodies of requests on their way in: waited for, but not for ever, and heard out even when refused.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::clock::Clock;

/// How long a sender may say nothing in the middle of a body.
const SILENCE: Duration = Duration::from_secs(15);
/// How long the rest of a body that nobody wants is listened to.
const FAREWELL: Duration = Duration::from_secs(5);

/// How fast a body must come.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// For how long it may come as slowly as it likes.
    pub grace: Duration,
    /// Bytes a second after that, on the average from its beginning.
    pub bytes_per_second: u32,
}

impl Default for Pace {
    /// A slow line is faster by far; somebody who wants to keep connections open is not.
    fn default() -> Self {
        Self { grace: Duration::from_secs(30), bytes_per_second: 1_024 }
    }
}

/// What bodies need of the node that takes them in.
#[derive(Clone)]
pub(super) struct Intake {
    pub(super) clock: Clock,
    pub(super) tasks: TaskTracker,
    pub(super) stop: CancellationToken,
    pub(super) pace: Pace,
}

/// Whether a body was cut off because it came too slowly: an extension of its request.
#[derive(Clone, Debug)]
pub(super) struct Dawdling {
    cut: Arc<AtomicBool>,
    pace: Pace,
}

impl Dawdling {
    /// The bytes a second that it had to have, if it was.
    pub(super) fn missed(&self) -> Option<u32> {
        self.cut.load(Ordering::Acquire).then_some(self.pace.bytes_per_second)
    }
}

/// A body that breaks off when its sender falls silent or comes too slowly, and whose rest is read
/// and forgotten for a while when nobody wants it.
///
/// A connection that ends with bytes unread is reset, and the reset may overtake the answer: a
/// client that is still sending would not learn why it was refused.
pub(super) struct Patient {
    /// There until its end or its failure.
    body: Option<Incoming>,
    silence: Option<Pin<Box<Sleep>>>,
    /// Since when the node has been waiting for more, if it is.
    since: Option<Instant>,
    /// What has come, and how long the node waited for it; when the node is not ready to take more
    /// in, its sender is not slow.
    come: Come,
    dawdling: Dawdling,
    lingers: bool,
    intake: Intake,
}

#[derive(Clone, Copy, Debug, Default)]
struct Come {
    bytes: u64,
    waited: Duration,
}

impl Come {
    fn keeps_pace(self, pace: Pace) -> bool {
        let due = u128::from(pace.bytes_per_second) * self.waited.as_nanos() / 1_000_000_000;
        self.waited <= pace.grace || u128::from(self.bytes) >= due
    }
}

/// The sender of a body fell silent or broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// Nothing came for too long.
    #[error("receiving a body: nothing came for {SILENCE:?}")]
    Silence,
    /// Too little came.
    #[error("receiving a body: it came too slowly")]
    Slow,
    /// The connection failed.
    #[error("receiving a body")]
    Broken(#[source] hyper::Error),
}

impl Patient {
    /// This body. HTTP/2 can refuse a body without ending its connection, and needs no lingering.
    pub(super) fn new(body: Incoming, lingers: bool, intake: Intake) -> Self {
        Self {
            body: Some(body),
            silence: None,
            since: None,
            come: Come::default(),
            dawdling: Dawdling { cut: Arc::default(), pace: intake.pace },
            lingers,
            intake,
        }
    }

    /// Whether it will have been cut off for coming too slowly.
    pub(super) fn dawdling(&self) -> Dawdling {
        self.dawdling.clone()
    }

    /// Notes what came after a wait, and says whether that is fast enough.
    fn note(&mut self, frame: &Frame<Bytes>) -> bool {
        if let Some(since) = self.since.take() {
            self.come.waited += self.intake.clock.instant().saturating_duration_since(since);
        }
        self.come.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.come.keeps_pace(self.intake.pace)
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let is_cut = self.dawdling.missed().is_some();
        let Some(body) = self.body.as_mut().filter(|_| !is_cut) else { return Poll::Ready(None) };
        let end = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence = None;
                if self.note(&frame) {
                    return Poll::Ready(Some(Ok(frame)));
                }
                // The body stays, so that its sender is heard out and learns why.
                self.dawdling.cut.store(true, Ordering::Release);
                return Poll::Ready(Some(Err(Cut::Slow)));
            }
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => Some(Err(Cut::Broken(error))),
            Poll::Pending => {
                let now = self.intake.clock.instant();
                self.since.get_or_insert(now);
                let silence = self.silence.get_or_insert_with(|| Box::pin(sleep(SILENCE)));
                if silence.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                Some(Err(Cut::Silence))
            }
        };
        self.body = None;
        Poll::Ready(end)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| self.lingers && !body.is_end_stream());
        if let Some(mut rest) = rest {
            let stop = self.intake.stop.clone();
            self.intake.tasks.spawn(async move {
                let forget = async { while let Some(Ok(_)) = rest.frame().await {} };
                // However it ends, the connection ends behind it.
                let _heard_out = timeout(FAREWELL, stop.run_until_cancelled(forget)).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_may_come_slowly_for_a_while_and_then_on_the_average() {
        let come = |seconds, bytes| Come { bytes, waited: Duration::from_secs(seconds) };
        for (seconds, bytes, good) in [
            (0, 0, true),
            (30, 1, true),
            (31, 31 * 1_024 - 1, false),
            (31, 31 * 1_024, true),
            // What came fast before counts.
            (600, 600 * 1_024, true),
            (3_600, 3_600, false),
        ] {
            assert_eq!(
                come(seconds, bytes).keeps_pace(Pace::default()),
                good,
                "{bytes} in {seconds} s"
            );
        }
    }
}
