//! The doors of a peer: HTTPS, each request noted down before it is answered.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Limited};
use hyper::{Request, Response, body::Incoming, http::uri::Authority, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use super::{PeerRequest, State, reply::Dripping};

/// Largest body that is taken in.
const BODY_BYTES: usize = 64 * 1024 * 1024;

/// Binds a door, and returns what serves behind it as long as it is polled.
pub(super) async fn open(
    place: SocketAddr,
    tls: Arc<ServerConfig>,
    state: Arc<State>,
) -> Result<impl Future<Output = ()> + Send + use<>> {
    let listener = TcpListener::bind(place).await.with_context(|| format!("binding {place}"))?;
    let acceptor = TlsAcceptor::from(tls);
    Ok(async move {
        // They end with the door.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, acceptor.clone(), Arc::clone(&state)));
            while connections.try_join_next().is_some() {}
        }
    })
}

/// Who breaks off is no concern of the peer: the story sees what came and what did not.
async fn serve(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let certificate_of = stream.get_ref().1.server_name().map(str::to_owned);
    let service =
        service_fn(move |request| answer(request, certificate_of.clone(), Arc::clone(&state)));
    let server = auto::Builder::new(TokioExecutor::new());
    let _broken_off = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    certificate_of: Option<String>,
    state: Arc<State>,
) -> Result<Response<Dripping>> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, BODY_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!("reading a body: {error}"))?.to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let named = head.headers.get("host").and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(Authority::as_str);
    let host = named.or(authority).unwrap_or_default().to_owned();
    let authority = authority.map(str::to_owned);
    let (method, headers) = (head.method, head.headers);
    let request = PeerRequest { method, path, host, authority, certificate_of, headers, body };
    state.reply(request).send().await
}
