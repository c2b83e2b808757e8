//! The one HTTP client of the node.
//!
//! For now only the bots call anybody: the node that they walk about on, which whoever starts them
//! names.

use std::{path::Path, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
pub use reqwest::Method;
use reqwest::{Certificate, Client, Url};
use serde_json::Value;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const ANSWER_BYTES: u64 = 64 * 1024 * 1024;

/// Calls one node.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client,
    base: Url,
}

impl Outbound {
    /// Calls below that address; `trust` names a further authority in PEM.
    pub fn to(base: &str, trust: Option<&Path>) -> anyhow::Result<Self> {
        let base = Url::parse(base).with_context(|| format!("{base:?} is no address"))?;
        let mut client = Client::builder().timeout(ANSWER).user_agent("wayside");
        if let Some(trust) = trust {
            let pem =
                std::fs::read(trust).with_context(|| format!("reading {}", trust.display()))?;
            let authority =
                Certificate::from_pem(&pem).context("reading the authority to trust")?;
            client = client.add_root_certificate(authority);
        }
        Ok(Self { client: client.build().context("making the HTTP client")?, base })
    }

    /// The address.
    #[must_use]
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Sends JSON and reads JSON.
    pub async fn json(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let bytes = self.call(method, path, token, body).await?;
        serde_json::from_slice(&bytes).with_context(|| format!("{path} did not answer JSON"))
    }

    /// Reads a whole file.
    pub async fn bytes(&self, path: &str) -> anyhow::Result<Bytes> {
        self.call(Method::GET, path, None, None).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Bytes> {
        let url = self.base.join(path).with_context(|| format!("{path:?} is no path"))?;
        let mut request = self.client.request(method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| format!("calling {path}"))?;
        let status = answer.status();
        if answer.content_length().is_some_and(|bytes| bytes > ANSWER_BYTES) {
            bail!("{path} answered with more than {ANSWER_BYTES} bytes");
        }
        let bytes =
            answer.bytes().await.with_context(|| format!("reading what {path} answered"))?;
        if !status.is_success() {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }
}
