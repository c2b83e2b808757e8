//! One connection of a load client that costs as little as can be, the same for every server.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use wayside_tests::{Destination, Peer};

/// A connection that stays.
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    /// Of whoever uses it; none where each request says who it is from.
    authorization: String,
}

impl Line {
    /// A client's connection, with the token of whoever uses it.
    pub(crate) async fn open(base: &Url, token: &str) -> Result<Self> {
        let address = base.socket_addrs(|| None)?.first().copied().context("no address")?;
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Self::over(stream, address.to_string(), format!("Bearer {token}")).await
    }

    /// A server's encrypted connection to another, whose requests are signed one by one.
    pub(crate) async fn between(peer: &Peer, to: &Destination) -> Result<Self> {
        let stream = peer.door(to)?.open().await?;
        Self::over(stream, to.name.clone(), String::new()).await
    }

    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        host: String,
        authorization: String,
    ) -> Result<Self> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what breaks it is told by the next request.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, host, authorization })
    }

    /// Asks, and reads the answer to its end; another one than success is an error.
    pub(crate) async fn ask(&mut self, method: &str, target: &str, body: &str) -> Result<Bytes> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        let authorization = self.authorization.clone();
        self.ask_as(&authorization, method, target, body).await
    }

    /// Asks in the name of whoever this header is of.
    pub(crate) async fn ask_as(
        &mut self,
        authorization: &str,
        method: &str,
        target: &str,
        body: Bytes,
    ) -> Result<Bytes> {
        let (status, bytes) = self.call(authorization, method, target, body).await?;
        ensure!(
            status.is_success(),
            "{method} {target}: {status} {}",
            String::from_utf8_lossy(&bytes)
        );
        Ok(bytes)
    }

    /// Whether there is something at a place.
    pub(crate) async fn has(&mut self, target: &str) -> Result<bool> {
        let authorization = self.authorization.clone();
        let (status, bytes) = self.call(&authorization, "GET", target, Bytes::new()).await?;
        let is_told = status.is_success() || status == StatusCode::NOT_FOUND;
        ensure!(is_told, "GET {target}: {status} {}", String::from_utf8_lossy(&bytes));
        Ok(status.is_success())
    }

    async fn call(
        &mut self,
        authorization: &str,
        method: &str,
        target: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}
