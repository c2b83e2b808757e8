//! The listeners: sockets, TLS, and connections that end when the node does.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use http::{Request, Response, header};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{Arrival, http::only_https};

/// Connections open at once on one listener; further ones wait to be accepted.
const CONNECTIONS: usize = 16_384;
/// How long a connection may take to say what it wants, and to shake hands.
const PATIENCE: Duration = Duration::from_secs(15);
/// A pause after accepting failed, so that a lack of file descriptors does not spin.
const AFTER_FAILURE: Duration = Duration::from_millis(100);

/// What a listener does with what comes.
#[derive(Clone)]
pub enum Door {
    /// Plain HTTP: everything for this machine and for trusted proxies, the way to HTTPS for others.
    Plain {
        /// The address that others are shown.
        https: String,
        /// Who is let through beside this machine itself.
        proxies: Arc<[std::net::IpAddr]>,
    },
    /// Encrypted.
    Secure(Arc<ServerConfig>),
}

/// One socket that is bound and not yet answered.
pub struct Listener {
    socket: TcpListener,
    door: Door,
    router: Router,
}

impl Listener {
    /// A listener on a bound socket.
    #[must_use]
    pub fn new(socket: TcpListener, door: Door, router: Router) -> Self {
        Self { socket, door, router }
    }

    /// Answers until `stop` falls; then lets what is under way finish. Every connection is a task
    /// of the tracker.
    pub async fn serve(self, tasks: TaskTracker, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    continue;
                }
            };
            let (door, router, stop) = (self.door.clone(), self.router.clone(), stop.clone());
            tasks.spawn(async move {
                connection(stream, peer, door, router, stop).await;
                drop(place);
            });
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    router: Router,
    stop: CancellationToken,
) {
    // A small answer shall not wait for the next one; where the system refuses, it only comes later.
    let _refused = stream.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    match door {
        Door::Plain { https, proxies } => {
            let known = peer.is_loopback() || proxies.contains(&peer);
            let arrival = Arrival { peer, secure: false };
            converse(stream, arrival, router, (!known).then_some(https), stop).await;
        }
        Door::Secure(config) => {
            let shaken = timeout(PATIENCE, TlsAcceptor::from(config).accept(stream)).await;
            match shaken {
                Ok(Ok(stream)) => {
                    converse(stream, Arrival { peer, secure: true }, router, None, stop).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

async fn converse<S>(
    stream: S,
    arrival: Arrival,
    router: Router,
    only_to: Option<String>,
    stop: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (router, only_to) = (router.clone(), only_to.clone());
        async move {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(arrival);
            if let Some(https) = only_to {
                return Ok(only_https(&https));
            }
            let mut reply: Response<Body> = router.oneshot(request).await?;
            if arrival.secure {
                let always = header::HeaderValue::from_static("max-age=15552000");
                reply.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, always);
            }
            Ok::<_, std::convert::Infallible>(reply)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PATIENCE)
        .max_concurrent_streams(256);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}
