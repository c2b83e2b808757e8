//! What a peer is asked, and what it answers.

use std::{
    pin::Pin,
    task::{Context as Waker, Poll, ready},
    time::Duration,
};

use anyhow::{Context, Result};
use bytes::Bytes;
use hyper::{
    HeaderMap, Response,
    body::{Body, Frame},
};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Sleep, sleep};

use super::XMatrix;

/// A request that came to a peer.
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// The method.
    pub method: Method,
    /// The path with its query, as it came.
    pub path: String,
    /// For whom it was meant: the header `Host`, or what HTTP/2 has in its place.
    pub host: String,
    /// What HTTP/2 says of that in its own way; nothing in HTTP/1.1.
    pub authority: Option<String>,
    /// Whose certificate was asked for when the connection began; nothing for an address.
    pub certificate_of: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl PeerRequest {
    /// The path without its query and without escapes.
    #[must_use]
    pub fn target(&self) -> String {
        unescaped(self.path.split('?').next().unwrap_or_default())
    }

    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header that can be read as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Who signed it.
    pub fn x_matrix(&self) -> Result<XMatrix> {
        let header = self.header("authorization");
        XMatrix::parse(header.with_context(|| format!("{} is not signed", self.line()))?)
    }

    /// Method and path, for messages.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What a peer answers.
#[derive(Clone, Debug)]
pub struct PeerReply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    after: Duration,
    drops: Option<(usize, Duration)>,
}

impl PeerReply {
    /// 200 with JSON.
    #[must_use]
    pub fn json(body: &Value) -> Self {
        Self::bytes("application/json", body.to_string().into_bytes())
    }

    /// 200 with anything.
    #[must_use]
    pub fn bytes(kind: &str, body: Vec<u8>) -> Self {
        let headers = vec![("content-type".to_owned(), kind.to_owned())];
        let (body, after) = (body.into(), Duration::ZERO);
        Self { status: 200, headers, body, after, drops: None }
    }

    /// A refusal in Matrix's form.
    #[must_use]
    pub fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::json(&json!({ "errcode": code, "error": message })).status(status)
    }

    /// With another status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// With a further header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Begun only after a time.
    #[must_use]
    pub fn after(self, time: Duration) -> Self {
        Self { after: time, ..self }
    }

    /// With a body that drips: so many bytes at a time, and a pause before each of them.
    #[must_use]
    pub fn dripping(self, bytes: usize, pause: Duration) -> Self {
        Self { drops: Some((bytes.max(1), pause)), ..self }
    }

    /// The answer as it goes out, when its time has come.
    pub(super) async fn send(self) -> Result<Response<Dripping>> {
        if !self.after.is_zero() {
            sleep(self.after).await;
        }
        let mut response = Response::builder().status(self.status);
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        let body = match self.drops {
            None => {
                response = response.header("content-length", self.body.len());
                Dripping { rest: self.body, drop: usize::MAX, pause: Duration::ZERO, waiting: None }
            }
            Some((drop, pause)) => Dripping { rest: self.body, drop, pause, waiting: None },
        };
        Ok(response.body(body)?)
    }
}

/// A body that comes in drops.
pub(super) struct Dripping {
    rest: Bytes,
    drop: usize,
    pause: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Body for Dripping {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        waker: &mut Waker<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        if !this.pause.is_zero() {
            let pause = this.pause;
            ready!(this.waiting.get_or_insert_with(|| Box::pin(sleep(pause))).as_mut().poll(waker));
            this.waiting = None;
        }
        let drop = this.rest.split_to(this.drop.min(this.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(drop))))
    }
}

/// Text as it stood before it was escaped for a path; what is no escape stays.
fn unescaped(text: &str) -> String {
    let (mut plain, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        let code = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = code.and_then(|two| u8::from_str_radix(two, 16).ok());
        match byte.filter(|_| *first == b'%') {
            Some(byte) => (plain.push(byte), rest = &after[2..]),
            None => (plain.push(*first), rest = after),
        };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
mod tests {
    use super::unescaped;

    #[test]
    fn escapes_are_taken_away() {
        assert_eq!(unescaped("/%21a%3Ab/%40c:d"), "/!a:b/@c:d");
        assert_eq!(unescaped("100%"), "100%");
        assert_eq!(unescaped("%zz%4"), "%zz%4");
    }
}
