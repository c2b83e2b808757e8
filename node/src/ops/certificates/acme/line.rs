//! The line to an ACME directory: a library speaks the protocol, the node's own HTTP client calls.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, StatusCode, Uri,
    header::{RETRY_AFTER, USER_AGENT},
    uri::Scheme,
};
use http_body_util::{BodyExt, Collected};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient, Problem};

use super::pace;
use crate::{
    clock::Clock,
    outbound::{Chosen, Unreached},
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);

/// The line. The operator names the directory, which names all else: that may be a private address,
/// but is encrypted, and every answer is bounded.
#[derive(Clone)]
pub(super) struct Line {
    client: Chosen,
    clock: Clock,
    wish_ms: Arc<AtomicI64>,
}

/// Why a call had no answer that the protocol knows.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The directory leads to an address without encryption.
    #[error("the directory leads to {0}, which is no https:// address")]
    Plain(Uri),
    /// Nothing came back.
    #[error("calling {host}")]
    Unreached {
        /// Who was called.
        host: String,
        /// Why.
        source: Unreached,
    },
    /// Something came back that does not say what is wrong.
    #[error("{host} answered {status} and does not say why")]
    Status {
        /// Who was called.
        host: String,
        /// What came back.
        status: StatusCode,
    },
}

impl Line {
    pub(super) fn new(client: Chosen, clock: Clock) -> Self {
        Self { client, clock, wish_ms: Arc::default() }
    }

    /// When the directory wants to be called again, if a refusal said so.
    pub(super) fn wish_ms(&self) -> Option<i64> {
        Some(self.wish_ms.load(Ordering::Acquire)).filter(|it| *it > 0)
    }

    /// Calls an address of the directory or one to which it leads.
    pub(super) async fn call(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, LineError> {
        let (mut head, body) = request.into_parts();
        if head.uri.scheme() != Some(&Scheme::HTTPS) {
            return Err(LineError::Plain(head.uri));
        }
        let host = head.uri.host().unwrap_or_default().to_owned();
        // The node calls itself by its own name (RFC 8555, 6.1).
        head.headers.remove(USER_AGENT);
        let body: Result<_, Infallible> = body.collect().await.map(Collected::to_bytes);
        let Ok(body) = body;
        let answer = self.client.exchange(Request::from_parts(head, body), ANSWER).await;
        let answer =
            answer.map_err(|source| LineError::Unreached { host: host.clone(), source })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let wish = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok());
        if let Some(ms) = wish.and_then(|it| pace::retry_after_ms(it, self.clock.now_ms())) {
            self.wish_ms.fetch_max(ms, Ordering::AcqRel);
        }
        // What leads elsewhere is no problem to the library, and no answer to the node.
        if status.is_redirection() || serde_json::from_slice::<Problem>(answer.body()).is_err() {
            return Err(LineError::Status { host, status });
        }
        Ok(answer)
    }
}

impl HttpClient for Line {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let line = self.clone();
        Box::pin(async move {
            let answer = line.call(request).await.map_err(|error| Error::Other(error.into()))?;
            let (parts, body) = answer.into_parts();
            Ok(BytesResponse { parts, body: Box::new(body) })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_directory_leads_to_encrypted_addresses_only() {
        let line = Line::new(Chosen::new(None).unwrap(), Clock);
        for plain in ["http://127.0.0.1:1/order", "/order", "127.0.0.1:1"] {
            let request = Request::builder().uri(plain).body(BodyWrapper::default()).unwrap();
            let refused = line.clone().call(request).await.unwrap_err();
            assert!(matches!(refused, LineError::Plain(_)), "{plain}: {refused}");
        }
        assert_eq!(line.wish_ms(), None);
    }
}
