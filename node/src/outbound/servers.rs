//! The line to other servers of Matrix: to the places where they were found, with their own certificates.
//!
//! Whoever names a server is a stranger, so every address is judged, and the connection goes to the
//! very address that was judged. The certificate is for the server's name, which need not be that of
//! the place: each line is a client of its own, and all share what they trust.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use reqwest::{Client, Url, redirect};
use rustls::{
    ClientConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;
use tokio::time::timeout;
use wayside_federation::discovery::{Service, Way};

use super::{
    Answer, Bounds, CallError, Flow, NAME, address, chain, escaped, flow, names::Names, read,
};

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Connections to one server that wait to be used again, and for how long.
const IDLE: (usize, Duration) = (4, Duration::from_mins(2));
/// Addresses of one place that are tried.
const ADDRESSES: usize = 8;

/// Opens lines to other servers.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Missing where this machine has no authorities to prove certificates by.
    tls: Option<ClientConfig>,
    names: Arc<Names>,
    may_call: fn(IpAddr) -> bool,
}

/// A line to one server.
#[derive(Debug)]
pub struct Line {
    doors: Vec<Door>,
    host: HeaderValue,
}

/// One place where the server is.
#[derive(Debug)]
struct Door {
    client: Client,
    base: Url,
}

/// What is asked on a line.
#[derive(Clone, Debug)]
pub struct Asking {
    /// The method of HTTP.
    pub method: Method,
    /// The path and the query.
    pub uri: String,
    /// The header that says who asks, where that matters.
    pub authorization: Option<String>,
    /// JSON.
    pub content: Option<Bytes>,
}

impl Asking {
    /// A question without a body. Nothing of the path and the query is written in two ways, so that what
    /// is signed is what is sent.
    #[must_use]
    pub fn get(path: &[&str], query: &[(&str, &str)]) -> Self {
        let path: Vec<String> = path.iter().map(|part| format!("/{}", escaped(part))).collect();
        let query: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}{mark}{}", path.concat(), query.join("&"));
        Self { method: Method::GET, uri, authorization: None, content: None }
    }

    /// The same with a body.
    #[must_use]
    pub fn with(self, method: Method, content: impl Into<Bytes>) -> Self {
        Self { method, content: Some(content.into()), ..self }
    }
}

impl Servers {
    /// `trust` names a further authority in PEM; `private` lets it call any address.
    pub fn new(trust: Option<&Path>, private: bool, names: Arc<Names>) -> anyhow::Result<Self> {
        let may_call = if private { |_| true } else { address::is_global };
        let extra = trust.map(authorities).transpose()?.unwrap_or_default();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let tls = match Verifier::new_with_extra_roots(extra, provider.clone()) {
            Ok(verifier) => {
                let mut tls = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .context("preparing for calls to other servers")?
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(verifier))
                    .with_no_client_auth();
                // HTTP/2 would name another host beside that of the header `Host`: the one it connects to.
                tls.alpn_protocols = vec![b"http/1.1".to_vec()];
                Some(tls)
            }
            Err(error) if trust.is_none() => {
                tracing::warn!(%error, "no other server can be called: is a package of certificate authorities missing?");
                None
            }
            Err(error) => return Err(error).context("reading the authorities to trust"),
        };
        Ok(Self { tls, names, may_call })
    }

    /// The SRV records of a name.
    pub async fn services(&self, name: &str) -> Result<Vec<Service>, CallError> {
        self.names.services(name).await.map_err(|error| CallError::Failed(error.to_string()))
    }

    /// Opens a line along a way: nothing is sent yet.
    pub async fn open(&self, way: &Way) -> Result<Line, CallError> {
        let host = HeaderValue::from_str(&way.host)
            .map_err(|_| CallError::BadAddress("the server's name is no name of a host"))?;
        let (mut doors, mut why) = (Vec::new(), CallError::BadAddress("it offers no service"));
        for target in &way.targets {
            match self.door(&way.certificate, &target.host, target.port).await {
                Ok(door) => doors.push(door),
                Err(error) => why = error,
            }
        }
        if doors.is_empty() { Err(why) } else { Ok(Line { doors, host }) }
    }

    async fn door(&self, certificate: &str, host: &str, port: u16) -> Result<Door, CallError> {
        let addresses = if let Ok(address) = host.parse::<IpAddr>() {
            vec![address]
        } else {
            let found = self.names.addresses(host).await;
            found.map_err(|error| CallError::Failed(error.to_string()))?
        };
        if addresses.is_empty() {
            return Err(CallError::Failed(format!("the name {host} stands for no address")));
        }
        let allowed: Vec<SocketAddr> = addresses
            .into_iter()
            .filter(|address| (self.may_call)(*address))
            .map(|address| SocketAddr::new(address, port))
            .take(ADDRESSES)
            .collect();
        if allowed.is_empty() {
            return Err(CallError::Banned);
        }
        let literal = certificate.parse::<IpAddr>().ok();
        let named = match literal {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => certificate.to_owned(),
        };
        let wrong = CallError::BadAddress("the server's name is no name of a host");
        let base = Url::parse(&format!("https://{named}:{port}")).ok();
        let base = base.ok_or(wrong)?;
        // Some numbers are addresses to the web alone: nobody has judged those.
        if literal.is_none() && base.domain().is_none() {
            return Err(CallError::BadAddress("the server's name is a number that is no address"));
        }
        let client = Client::builder()
            .tls_backend_preconfigured(self.tls.clone().ok_or(CallError::NoAuthorities)?)
            .user_agent(NAME)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE.0)
            .pool_idle_timeout(IDLE.1)
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            // A literal in the URL asks nobody; it was judged above.
            .resolve_to_addrs(base.host_str().unwrap_or_default(), &allowed)
            .build();
        let client = client.map_err(|error| CallError::Failed(chain(&error)))?;
        Ok(Door { client, base })
    }
}

impl Line {
    /// Asks, and gives what is answered; of several places the first counts that can be reached.
    pub async fn call(&self, asking: Asking, bounds: Bounds) -> Result<Answer, CallError> {
        let call = async {
            let begun = timeout(bounds.beginning(), self.reach(asking)).await;
            let (response, base) = begun.map_err(|_| CallError::TooSlow(bounds.beginning()))??;
            read(response, base, bounds).await
        };
        timeout(bounds.time, call).await.map_err(|_| CallError::TooSlow(bounds.time))?
    }

    /// The same for what is read while it comes; it begins within that time.
    pub async fn open(&self, asking: Asking, time: Duration) -> Result<Flow, CallError> {
        let reached = timeout(time, self.reach(asking)).await;
        let (response, _) = reached.map_err(|_| CallError::TooSlow(time))??;
        Ok(flow(response))
    }

    async fn reach(&self, asking: Asking) -> Result<(reqwest::Response, Url), CallError> {
        let mut why = CallError::BadAddress("it offers no service");
        for door in &self.doors {
            match self.through(door, asking.clone()).await {
                Ok(response) => return Ok((response, door.base.clone())),
                Err(error) if error.is_connect() => why = CallError::Failed(chain(&error)),
                Err(error) => return Err(CallError::Failed(chain(&error))),
            }
        }
        Err(why)
    }

    async fn through(&self, door: &Door, asking: Asking) -> reqwest::Result<reqwest::Response> {
        let mut url = door.base.clone();
        let (path, query) = match asking.uri.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&*asking.uri, None),
        };
        url.set_path(path);
        url.set_query(query);
        let mut request =
            door.client.request(asking.method, url).header(header::HOST, self.host.clone());
        if let Some(authorization) = asking.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(content) = asking.content {
            request = request.header(header::CONTENT_TYPE, "application/json").body(content);
        }
        request.send().await
    }
}

/// The authorities in a file of PEM.
fn authorities(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .with_context(|| format!("reading {}", path.display()))?
        .collect();
    found.with_context(|| format!("reading the authorities to trust in {}", path.display()))
}
