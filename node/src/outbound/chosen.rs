//! The line to those whom the operator names: application services, providers of identities, authorities.
//!
//! Where they are is the operator's word, so it may be a private address. But what they answer leads
//! nowhere else, and is bounded.

use std::{path::Path, time::Duration};

use anyhow::Context;
use bytes::Bytes;
use http::{Request, Response};
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::Value;

use super::{NAME, trusting};

/// Most bytes of an answer.
const ANSWER_BYTES: usize = 1024 * 1024;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);

/// The line.
#[derive(Clone, Debug)]
pub struct Chosen {
    client: Client,
}

/// By what the node is known to whom it calls.
#[derive(Clone, Copy)]
pub enum Proof<'p> {
    /// Nothing.
    None,
    /// A token (RFC 6750).
    Bearer(&'p str),
    /// A name and a password (RFC 7617).
    Basic(&'p str, &'p str),
}

/// What was answered.
#[derive(Debug)]
pub struct Reached {
    /// The status of HTTP.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// Why nothing was answered.
#[derive(Debug, thiserror::Error)]
pub enum Unreached {
    /// It wants no traffic.
    #[error("it has named no address")]
    Nowhere,
    /// It took too long.
    #[error("it did not answer in time")]
    TooLate,
    /// It answered more than it should.
    #[error("it answered with more than {ANSWER_BYTES} bytes")]
    TooLarge,
    /// The connection failed.
    #[error("it could not be reached: {0}")]
    Broken(String),
}

impl Reached {
    /// Whether it did what it was asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, if it is JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Chosen {
    /// A line; `trust` names a further authority in PEM.
    pub fn new(trust: Option<&Path>) -> anyhow::Result<Self> {
        let client = Client::builder()
            .connect_timeout(CONNECT)
            .redirect(redirect::Policy::none())
            .user_agent(NAME);
        let client = trusting(client, trust)?.build();
        let client = client.context("making the HTTP client for those whom the operator names")?;
        Ok(Self { client })
    }

    /// Sends JSON, if any, and gives what comes back.
    pub async fn call(
        &self,
        method: Method,
        url: &str,
        proof: Proof<'_>,
        json: Option<Vec<u8>>,
        wait: Duration,
    ) -> Result<Reached, Unreached> {
        let mut request = self.client.request(method, url);
        if let Some(json) = json {
            request = request.header("content-type", "application/json").body(json);
        }
        answered(proven(request, proof).timeout(wait)).await
    }

    /// Sends a request as it is, and gives what comes back with its headers.
    pub async fn exchange(
        &self,
        request: Request<Bytes>,
        wait: Duration,
    ) -> Result<Response<Bytes>, Unreached> {
        let (head, body) = request.into_parts();
        let request = self.client.request(head.method, head.uri.to_string());
        exchanged(request.headers(head.headers).body(body).timeout(wait)).await
    }

    /// Sends a form, and gives what comes back.
    pub async fn form(
        &self,
        url: &str,
        proof: Proof<'_>,
        form: &[(&str, &str)],
        wait: Duration,
    ) -> Result<Reached, Unreached> {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let request = self.client.post(url).header("accept", "application/json");
        let request =
            request.header("content-type", "application/x-www-form-urlencoded").body(body);
        answered(proven(request, proof).timeout(wait)).await
    }
}

fn proven(request: RequestBuilder, proof: Proof<'_>) -> RequestBuilder {
    match proof {
        Proof::None => request,
        Proof::Bearer(token) => request.bearer_auth(token),
        Proof::Basic(name, password) => request.basic_auth(name, Some(password)),
    }
}

async fn answered(request: RequestBuilder) -> Result<Reached, Unreached> {
    let answer = exchanged(request).await?;
    Ok(Reached { status: answer.status().as_u16(), body: answer.into_body() })
}

async fn exchanged(request: RequestBuilder) -> Result<Response<Bytes>, Unreached> {
    let broken = |error: reqwest::Error| {
        if error.is_timeout() {
            return Unreached::TooLate;
        }
        // The address is the operator's own, and the cause below says more than the top.
        Unreached::Broken(format!("{:#}", anyhow::Error::from(error.without_url())))
    };
    let mut answer = request.send().await.map_err(broken)?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(Unreached::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let mut whole = Response::new(Bytes::from(body));
    (*whole.status_mut(), *whole.headers_mut()) = (status, headers);
    Ok(whole)
}
