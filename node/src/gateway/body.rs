//! Bodies of requests on their way in: waited for, but not for ever, and heard out even when refused.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a sender may say nothing in the middle of a body.
const SILENCE: Duration = Duration::from_secs(15);
/// How long the rest of a body that nobody wants is listened to.
const FAREWELL: Duration = Duration::from_secs(5);

/// A body that breaks off when its sender falls silent, and whose rest is read and forgotten for a
/// while when nobody wants it.
///
/// A connection that ends with bytes unread is reset, and the reset may overtake the answer: a
/// client that is still sending would not learn why it was refused.
pub(super) struct Patient {
    /// There until its end or its failure.
    body: Option<Incoming>,
    silence: Option<Pin<Box<Sleep>>>,
    lingers: bool,
    stop: CancellationToken,
}

/// The sender of a body fell silent or broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Cut {
    /// Nothing came for too long.
    #[error("receiving a body: nothing came for {SILENCE:?}")]
    Silence,
    /// The connection failed.
    #[error("receiving a body")]
    Broken(#[source] hyper::Error),
}

impl Patient {
    /// This body. HTTP/2 can refuse a body without ending its connection, and needs no lingering.
    pub(super) fn new(body: Incoming, lingers: bool, stop: CancellationToken) -> Self {
        Self { body: Some(body), silence: None, lingers, stop }
    }
}

impl Body for Patient {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let end = match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.silence = None;
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => None,
            Poll::Ready(Some(Err(error))) => Some(Err(Cut::Broken(error))),
            Poll::Pending => {
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
            let stop = self.stop.clone();
            tokio::spawn(async move {
                let forget = async { while let Some(Ok(_)) = rest.frame().await {} };
                // However it ends, the connection ends behind it.
                let _heard_out = timeout(FAREWELL, stop.run_until_cancelled(forget)).await;
            });
        }
    }
}
