//! HTTP as bytes on a socket, for stories about those who do not keep to its rules.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use reqwest::Url;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// Longest wait for an answer: more than any wait that a node grants a client.
const ANSWER_LIMIT: Duration = Duration::from_secs(40);
/// Longest answer that is taken in.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A door of a node, spoken to in bytes. Nothing is escaped, completed or repeated.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    secure: Option<TlsConnector>,
    /// What the certificate must be for.
    name: ServerName<'static>,
    host: String,
}

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, their names in lower case, in their order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Wire {
    /// The plain HTTP door at an address of digits.
    pub fn to(base: &Url) -> Result<Self> {
        let addresses = base.socket_addrs(|| None).context("finding where the node answers")?;
        let address = addresses.first().copied().context("an address of digits names one place")?;
        let name = ServerName::IpAddress(address.ip().into());
        Ok(Self { address, secure: None, name, host: "a.test".to_owned() })
    }

    /// The same door, called by a name, for which its certificate must be.
    pub fn named(self, name: &str) -> Result<Self> {
        Ok(Self { name: ServerName::try_from(name.to_owned())?, ..self })
    }

    /// The encrypted door of a node with this authority, a PEM file; speaks `protocol` as ALPN names it.
    pub fn secure(base: &Url, authority: &Path, protocol: &str) -> Result<Self> {
        let mut trusted = RootCertStore::empty();
        trusted.add(CertificateDer::from_pem_file(authority)?)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?;
        let mut config = config.with_root_certificates(trusted).with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        Ok(Self { secure: Some(TlsConnector::from(Arc::new(config))), ..Self::to(base)? })
    }

    /// Asks for another host than `a.test` in well-formed requests.
    #[must_use]
    pub fn hosted(self, host: &str) -> Self {
        Self { host: host.to_owned(), ..self }
    }

    /// A new connection.
    pub async fn open(&self) -> Result<Box<dyn Stream>> {
        let stream = TcpStream::connect(self.address).await?;
        // The end of a large request does not wait until its beginning is acknowledged.
        stream.set_nodelay(true)?;
        Ok(match &self.secure {
            None => Box::new(stream),
            Some(tls) => Box::new(tls.connect(self.name.clone(), stream).await?),
        })
    }

    /// One well-formed request on a connection of its own; the target goes out as it is.
    pub async fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let mut head = vec![format!("{method} {target} HTTP/1.1")];
        head.extend([format!("host: {}", self.host), "connection: close".to_owned()]);
        if !body.is_empty() || method != "GET" {
            head.push(format!("content-length: {}", body.len()));
        }
        head.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
        let head = head.join("\r\n") + "\r\n\r\n";
        let answer = self.send(&[head.as_bytes(), body].concat()).await;
        answer.with_context(|| format!("{method} {target}"))
    }

    /// These bytes on a connection of its own, and the first answer to them.
    pub async fn send(&self, bytes: &[u8]) -> Result<Answer> {
        let all = self.converse(bytes).await?;
        Answer::first(&all)
    }

    /// These bytes on a connection of its own, and all that comes back until the node ends it.
    pub async fn converse(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let (mut reading, mut writing) = io::split(self.open().await?);
        let mut all = Vec::new();
        let talk = async {
            // What is encrypted is not under way before it is flushed.
            let write = async {
                writing.write_all(bytes).await?;
                writing.flush().await
            };
            // Who answers early need not read on: then only the answer counts.
            let (_cut_off, read) = tokio::join!(write, read_all(&mut reading, &mut all));
            read
        };
        match timeout(ANSWER_LIMIT, talk).await {
            Ok(_ended_or_reset) => Ok(all),
            Err(_) => bail!("no end of the answer after {ANSWER_LIMIT:?}: {} bytes", all.len()),
        }
    }
}

async fn read_all(
    from: &mut (impl AsyncReadExt + Unpin),
    all: &mut Vec<u8>,
) -> std::io::Result<()> {
    while all.len() < ANSWER_BYTES && from.read_buf(all).await? > 0 {}
    Ok(())
}

impl Answer {
    /// The first answer in these bytes that is not `100 Continue`.
    pub fn first(bytes: &[u8]) -> Result<Self> {
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.with_context(|| format!("no HTTP answer: {:?}", shown()))?;
        let head = std::str::from_utf8(&bytes[..end])?;
        let rest = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let status = status.and_then(|status| status.parse().ok());
        let status: u16 = status.with_context(|| format!("no status: {:?}", shown()))?;
        if status == 100 {
            return Self::first(rest);
        }
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let mut answer = Self { status, headers, body: Vec::new() };
        answer.body = if answer.header("transfer-encoding") == Some("chunked") {
            unchunked(rest)?
        } else {
            let length = answer.header("content-length").and_then(|it| it.parse().ok());
            rest[..length.unwrap_or(rest.len()).min(rest.len())].to_vec()
        };
        Ok(answer)
    }

    /// Whether the node did what was asked.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The Matrix error code of a refusal; empty where there is none.
    #[must_use]
    pub fn errcode(&self) -> String {
        self.json()["errcode"].as_str().unwrap_or_default().to_owned()
    }

    /// Status and body in short, for messages.
    #[must_use]
    pub fn short(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        format!("{} {}", self.status, text.chars().take(300).collect::<String>())
    }
}

fn unchunked(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").context("a chunk has no size")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line])?, 16)?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend(rest.get(..size).context("a chunk is cut off")?);
        rest = rest.get(size + 2..).context("a chunk has no end")?;
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn answers_are_read_as_they_stand() {
        let read = |text: &str| Answer::first(text.as_bytes());
        let plain = read("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\n{}HTTP").unwrap();
        assert_eq!(
            (plain.status, plain.header("a"), &plain.body[..]),
            (200, Some("b"), &b"{}"[..])
        );
        let chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{\"\r\n1\r\n}\r\n0\r\n\r\n";
        let chunked = read(chunked).unwrap();
        assert_eq!((chunked.status, &chunked.body[..]), (404, &b"{\"}"[..]));
        for wrong in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 ok\r\n\r\n"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
