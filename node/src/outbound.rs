//! The one HTTP client of the node.
//!
//! [`Outbound`] calls one address that whoever runs the node names; the bots use it. [`Guarded`] calls
//! addresses that strangers name, and so reaches nothing but the public Internet: every name is looked
//! up here, every address that it stands for is judged, and the connection goes to the very address
//! that was judged. [`Servers`] does the same for other servers of Matrix, which are found in a way of
//! their own.

mod address;
mod chosen;
mod names;
mod servers;

use std::{
    error::Error as StdError,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, StreamExt};
use http::{StatusCode, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Certificate, Client, ClientBuilder, RequestBuilder, Response,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
pub use reqwest::{Method, Url};
use serde_json::Value;
use tokio::time::timeout;

pub use self::{
    chosen::{Chosen, Proof, Reached, Unreached},
    names::Names,
    servers::{Asking, Line, Servers},
};

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Most bytes of an answer.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How long a connection to an address that a stranger names may take.
const CONNECT: Duration = Duration::from_secs(5);
/// Connections to one such host that wait to be used again, and for how long.
const IDLE: (usize, Duration) = (2, Duration::from_secs(30));
/// How long an answer may take to begin.
const BEGINNING: Duration = Duration::from_mins(1);
/// So much of an answer comes in so much time, or its end: whoever drips holds nobody up for as long as a
/// whole answer may take.
const PACE: (usize, Duration) = (16 * 1024, Duration::from_secs(10));
/// How the node calls itself.
const NAME: &str = concat!("wayside/", env!("CARGO_PKG_VERSION"));

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
        let client = trusting(Client::builder().timeout(ANSWER).user_agent(NAME), trust)?;
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
        let bytes = bounded(answer, ANSWER_BYTES, Beyond::Refused).await;
        let bytes = bytes.with_context(|| format!("reading what {path} answered"))?;
        if !status.is_success() {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes)
    }
}

/// Text as a part of a path or query, where none of its signs means anything (RFC 3986, unreserved).
#[must_use]
pub fn escaped(text: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(text, &KEPT).to_string()
}

/// What becomes of an answer that is larger than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// It is refused.
    Refused,
    /// What came until then is the answer.
    Cut,
}

/// What a call of a stranger's address may cost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most bytes of the answer.
    pub bytes: usize,
    /// What becomes of more.
    pub beyond: Beyond,
    /// How long all of it may take, redirects and the last byte included.
    pub time: Duration,
}

impl Bounds {
    /// How long it may take until an answer begins: one that may be long begins soon all the same, for
    /// whoever waits has others to ask.
    pub(self) fn beginning(&self) -> Duration {
        self.time.min(BEGINNING)
    }
}

/// What a stranger's address is asked.
#[derive(Clone)]
pub struct Call<'c> {
    /// The method.
    pub method: Method,
    /// By what it knows who asks, as the header `Authorization` says it.
    pub authorization: Option<&'c str>,
    /// JSON, if any.
    pub body: Option<&'c Value>,
}

impl<'c> Call<'c> {
    /// Tells something, without a word on who does.
    #[must_use]
    pub fn post(body: &'c Value) -> Self {
        Self { method: Method::POST, authorization: None, body: Some(body) }
    }
}

/// What a stranger's address answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The address that answered, after all redirects.
    pub url: Url,
    /// What the bytes are said to be.
    pub content_type: Option<String>,
    /// How long they may be believed, in the words of the header `Cache-Control`.
    pub cache_control: Option<String>,
    /// The bytes.
    pub bytes: Bytes,
}

/// Why a stranger's address gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The text is no address that this node calls.
    #[error("{0}")]
    BadAddress(&'static str),
    /// It leads to a machine that is not for everybody to reach.
    #[error("the address leads into a network that is not public")]
    Banned,
    /// It leads from one place to the next without an end.
    #[error("the address leads to others more than {REDIRECTS} times")]
    TooManyRedirects,
    /// It did not answer in time.
    #[error("no whole answer came within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// What it answered came in drops, or stopped.
    #[error("its answer stopped, or came more slowly than {} bytes in {} s", PACE.0, PACE.1.as_secs())]
    Dripping,
    /// The answer is too large.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
    /// This machine trusts no authority, so that no certificate can be proven.
    #[error("this machine knows no certificate authorities")]
    NoAuthorities,
    /// The call broke off.
    #[error("the call failed: {0}")]
    Failed(String),
}

/// Places that one address may lead to before there is an answer.
const REDIRECTS: usize = 4;

/// Calls addresses that strangers name: gateways of pushers, pages that people link to, identity servers.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// Missing where this machine has no authorities to prove certificates by.
    client: Option<Client>,
    may_call: fn(IpAddr) -> bool,
}

impl Guarded {
    /// The client. `trust` names a further authority in PEM; `private` lets it call any address.
    pub fn new(trust: Option<&Path>, private: bool, names: Arc<Names>) -> anyhow::Result<Self> {
        let may_call = if private { |_| true } else { address::is_global };
        Self::judging(trust, may_call, names)
    }

    fn judging(
        trust: Option<&Path>,
        may_call: fn(IpAddr) -> bool,
        names: Arc<Names>,
    ) -> anyhow::Result<Self> {
        let client = Client::builder()
            .user_agent(NAME)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE.0)
            .pool_idle_timeout(IDLE.1)
            .redirect(redirect::Policy::none())
            .referer(false)
            // A proxy would look names up itself, and connect to whatever it found.
            .no_proxy()
            .dns_resolver(Arc::new(Judging { may_call, names }));
        let client = match trusting(client, trust)?.build() {
            Ok(client) => Some(client),
            Err(error) if trust.is_none() => {
                let error = chain(&error);
                tracing::warn!(%error, "no address of others can be called: is a package of certificate authorities missing?");
                None
            }
            Err(error) => return Err(error).context("making the HTTP client"),
        };
        Ok(Self { client, may_call })
    }

    /// Reads an address that somebody names: HTTPS, or HTTP too where `plain`, with nobody's password.
    pub fn address(&self, text: &str, plain: bool) -> Result<Url, CallError> {
        let wrong = |_| CallError::BadAddress("this is no address of the web");
        let url = Url::parse(text).map_err(wrong)?;
        self.judge(&url, plain)?;
        Ok(url)
    }

    /// Asks an address something, and gives what it answers. Where it leads elsewhere, that is its answer.
    pub async fn call(
        &self,
        url: &Url,
        plain: bool,
        call: Call<'_>,
        bounds: Bounds,
    ) -> Result<Answer, CallError> {
        let Call { method, authorization, body } = call;
        let call = async {
            self.judge(url, plain)?;
            let mut request = self.client()?.request(method, url.clone());
            if let Some(authorization) = authorization {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            read(send(request).await?, url.clone(), bounds).await
        };
        timeout(bounds.time, call).await.map_err(|_| CallError::TooSlow(bounds.time))?
    }

    /// Fetches what an address of the web holds, wherever it leads: by HTTPS, or by HTTP too where
    /// `plain`.
    pub async fn get(
        &self,
        url: &Url,
        plain: bool,
        accept: &str,
        bounds: Bounds,
    ) -> Result<Answer, CallError> {
        let call = async {
            let (response, url) = self.reach(url, plain, accept).await?;
            read(response, url, bounds).await
        };
        timeout(bounds.time, call).await.map_err(|_| CallError::TooSlow(bounds.time))?
    }

    /// The same for what is read while it comes: it begins within that time, and then goes on as slowly
    /// as whoever reads it lets it.
    pub async fn open(
        &self,
        url: &Url,
        plain: bool,
        accept: &str,
        time: Duration,
    ) -> Result<Flow, CallError> {
        let reached = timeout(time, self.reach(url, plain, accept)).await;
        let (response, _) = reached.map_err(|_| CallError::TooSlow(time))??;
        Ok(flow(response))
    }

    /// Follows an address to where there is an answer.
    async fn reach(
        &self,
        url: &Url,
        plain: bool,
        accept: &str,
    ) -> Result<(Response, Url), CallError> {
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            // Each of them is somebody's word: nothing follows from the one before.
            self.judge(&url, plain)?;
            let request = self.client()?.get(url.clone()).header(header::ACCEPT, accept);
            let response = send(request).await?;
            let Some(next) = leads_to(&url, &response) else { return Ok((response, url)) };
            url = next?;
        }
        Err(CallError::TooManyRedirects)
    }

    fn client(&self) -> Result<&Client, CallError> {
        self.client.as_ref().ok_or(CallError::NoAuthorities)
    }

    /// Judges what stands in an address itself. Of names, the resolver judges what they stand for.
    fn judge(&self, url: &Url, plain: bool) -> Result<(), CallError> {
        let scheme = url.scheme();
        if scheme != "https" && !(plain && scheme == "http") {
            let why = if plain {
                "it must begin with https:// or http://"
            } else {
                "it must begin with https://"
            };
            return Err(CallError::BadAddress(why));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(CallError::BadAddress("it must not hold a name or a password"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or(CallError::BadAddress("it names no host"))?;
        // The connector asks no resolver about an address that stands there as one.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match literal {
            Ok(address) if !(self.may_call)(address) => Err(CallError::Banned),
            _ => Ok(()),
        }
    }
}

/// Looks names up, and gives only addresses that may be called.
#[derive(Debug)]
struct Judging {
    may_call: fn(IpAddr) -> bool,
    names: Arc<Names>,
}

/// Says inside the client's errors that a name stands for nothing that may be called.
#[derive(Debug, thiserror::Error)]
#[error("the name stands for no address that may be called")]
struct NameBanned;

impl Resolve for Judging {
    fn resolve(&self, name: Name) -> Resolving {
        let (may_call, names) = (self.may_call, self.names.clone());
        Box::pin(async move {
            let found = names.addresses(name.as_str()).await?;
            let allowed = found.into_iter().filter(|address| may_call(*address));
            let allowed: Vec<SocketAddr> = allowed.map(|it| SocketAddr::new(it, 0)).collect();
            if allowed.is_empty() {
                return Err(NameBanned.into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

/// The same with a further authority.
fn trusting(client: ClientBuilder, trust: Option<&Path>) -> anyhow::Result<ClientBuilder> {
    let Some(trust) = trust else { return Ok(client) };
    let pem = std::fs::read(trust).with_context(|| format!("reading {}", trust.display()))?;
    let authority = Certificate::from_pem(&pem).context("reading the authority to trust")?;
    Ok(client.add_root_certificate(authority))
}

async fn send(request: RequestBuilder) -> Result<Response, CallError> {
    request.send().await.map_err(|error| {
        let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
        if causes.any(<dyn StdError + 'static>::is::<NameBanned>) {
            return CallError::Banned;
        }
        CallError::Failed(chain(&error))
    })
}

/// Where an answer leads, if it leads elsewhere.
fn leads_to(url: &Url, response: &Response) -> Option<Result<Url, CallError>> {
    let leads = [301, 302, 303, 307, 308].contains(&response.status().as_u16());
    let place = response.headers().get(header::LOCATION).filter(|_| leads)?;
    let wrong = CallError::BadAddress("it leads to what is no address");
    let place = place.to_str().ok().and_then(|place| url.join(place).ok());
    Some(place.ok_or(wrong))
}

/// An answer while it comes: its bytes have no bound but that of whoever reads them.
pub struct Flow {
    /// The status.
    pub status: StatusCode,
    /// What the bytes are said to be.
    pub content_type: Option<String>,
    /// What they are said to be called, as it stands in the header.
    pub disposition: Option<String>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Bytes, CallError>>,
}

impl Flow {
    /// The first bytes, at most so many; what comes until it breaks off.
    pub async fn beginning(mut self, most: usize) -> Vec<u8> {
        let mut begin = Vec::new();
        while begin.len() < most
            && let Some(Ok(chunk)) = self.bytes.next().await
        {
            begin.extend_from_slice(&chunk[..chunk.len().min(most - begin.len())]);
        }
        begin
    }
}

fn flow(response: Response) -> Flow {
    let said = |name| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (content_type, disposition) =
        (said(header::CONTENT_TYPE), said(header::CONTENT_DISPOSITION));
    let status = response.status();
    let bytes = stream::try_unfold(response, |mut response: Response| async move {
        let chunk = response.chunk().await.map_err(|error| CallError::Failed(chain(&error)))?;
        Ok(chunk.map(|chunk| (chunk, response)))
    });
    Flow { status, content_type, disposition, bytes: bytes.boxed() }
}

async fn read(response: Response, url: Url, bounds: Bounds) -> Result<Answer, CallError> {
    let status = response.status();
    let said = |name| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_owned)
    };
    let (content_type, cache_control) = (said(header::CONTENT_TYPE), said(header::CACHE_CONTROL));
    let bytes = bounded(response, bounds.bytes, bounds.beyond).await?;
    Ok(Answer { status, url, content_type, cache_control, bytes })
}

/// Reads an answer while it comes: what it says of its length is only what it says.
async fn bounded(mut response: Response, most: usize, beyond: Beyond) -> Result<Bytes, CallError> {
    let announced = response.content_length().and_then(|bytes| usize::try_from(bytes).ok());
    if beyond == Beyond::Refused && announced.is_some_and(|bytes| bytes > most) {
        return Err(CallError::TooLarge(most));
    }
    let mut bytes = BytesMut::with_capacity(announced.unwrap_or(0).min(most).min(64 * 1024));
    loop {
        let before = bytes.len();
        let stretch = async {
            while bytes.len() - before < PACE.0 {
                let chunk = response.chunk().await;
                let chunk = chunk.map_err(|error| CallError::Failed(chain(&error)))?;
                let Some(chunk) = chunk else { return Ok(true) };
                let left = most - bytes.len();
                if chunk.len() > left {
                    if beyond == Beyond::Refused {
                        return Err(CallError::TooLarge(most));
                    }
                    bytes.extend_from_slice(&chunk[..left]);
                    return Ok(true);
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(false)
        };
        if timeout(PACE.1, stretch).await.map_err(|_| CallError::Dripping)?? {
            return Ok(bytes.freeze());
        }
    }
}

/// An error with all its causes, without the address, which may hold what is nobody's business.
fn chain(error: &reqwest::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let said: Vec<String> = causes.map(ToString::to_string).collect();
    if said.is_empty() { "it broke off".to_owned() } else { said.join(": ") }
}

#[cfg(test)]
mod tests;
