//! One connection of a load client that costs as little as can be, the same for every server.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpStream;

/// A connection that stays, with the token of whoever uses it.
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    token: String,
}

impl Line {
    pub(crate) async fn open(base: &Url, token: &str) -> Result<Self> {
        let address = base.socket_addrs(|| None)?.first().copied().context("no address")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what breaks it is told by the next request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host: address.to_string(), token: format!("Bearer {token}") })
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn ask(&mut self, method: &str, target: &str, body: &str) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.token)
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        ensure!(
            status.is_success(),
            "{method} {target}: {status} {}",
            String::from_utf8_lossy(&bytes)
        );
        Ok(bytes)
    }
}
