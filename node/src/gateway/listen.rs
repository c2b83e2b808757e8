//! The listeners: sockets, TLS, and connections that end when the node does.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body};
use http::{Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::{rt::Executor, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::{
    Arrival,
    body::{Intake, Pace, Patient},
    crowd::{Crowd, Staying},
    http::only_https,
};
use crate::{clock::Clock, ops::certificates::ACME_TLS};

/// How long a connection may take to say what it wants, and to shake hands.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a connection may stay open between requests.
const IDLE: Duration = Duration::from_mins(2);
/// How long a connection with requests may go without one beginning or ending: more than the
/// longest wait for news, and than a file takes on a slow line.
const BUSY: Duration = Duration::from_hours(1);
/// How long a connection that is to end may take to do so.
const FAREWELL: Duration = Duration::from_secs(5);
/// Most bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
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
        proxies: Arc<[IpAddr]>,
    },
    /// Encrypted.
    Secure(Arc<ServerConfig>),
}

/// What all listeners of a node share.
#[derive(Clone)]
pub struct Hall {
    /// Time.
    pub clock: Clock,
    /// Every connection is a task of it, and every request of HTTP/2.
    pub tasks: TaskTracker,
    /// Falls when the node ends: nobody more is let in, and what is under way finishes.
    pub stop: CancellationToken,
    /// Falls when that has taken long enough: whatever still goes on is dropped.
    pub cut: CancellationToken,
    /// How many are here.
    pub crowd: Arc<Crowd>,
    /// How fast bodies must come.
    pub pace: Pace,
}

impl Hall {
    fn intake(&self) -> Intake {
        let (clock, tasks, stop) = (self.clock, self.tasks.clone(), self.stop.clone());
        Intake { clock, tasks, stop, pace: self.pace }
    }
}

/// Lets HTTP/2 do what belongs to a connection beside it, and ends that with everything else.
impl<F> Executor<F> for Hall
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, work: F) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move { cut.run_until_cancelled(work).await });
    }
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

    /// Answers until the node ends; then lets what is under way finish, until it is cut off.
    pub async fn serve(self, hall: Hall) {
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = hall.stop.cancelled() => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    continue;
                }
            };
            let Some(place) = hall.crowd.enter(peer.ip()) else { continue };
            let (door, router, inside) = (self.door.clone(), self.router.clone(), hall.clone());
            let staying = Staying::new(place);
            hall.tasks.spawn(async move {
                // Boxed: each layer of futures around it would hold room for it again.
                let talk = Box::pin(connection(stream, peer, door, router, &inside, staying));
                // Over, or cut off: either way nothing of it goes on but what it was upgraded to.
                let _over = inside.cut.run_until_cancelled(talk).await;
            });
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    door: Door,
    router: Router,
    hall: &Hall,
    staying: Staying,
) {
    // A small answer shall not wait for the next one; where the system refuses, it only comes later.
    let _refused = stream.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    match door {
        Door::Plain { https, proxies } => {
            let only_to = (!may_come_plainly(peer, &proxies)).then_some(https);
            let arrival = Arrival { peer, secure: false };
            Box::pin(converse(stream, arrival, router, only_to, hall, Some(staying))).await;
        }
        Door::Secure(config) => {
            let shaking = timeout(PATIENCE, TlsAcceptor::from(config).accept(stream));
            let Some(shaken) = hall.stop.run_until_cancelled(shaking).await else { return };
            match shaken {
                // An authority looks at a certificate that is there to be looked at (RFC 8737, 3): on such
                // a connection nothing is served, whatever is said on it.
                Ok(Ok(mut stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) => {
                    let _gone_before = timeout(FAREWELL, stream.shutdown()).await;
                }
                Ok(Ok(stream)) => {
                    let arrival = Arrival { peer, secure: true };
                    Box::pin(converse(stream, arrival, router, None, hall, Some(staying))).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        }
    }
}

/// What is said without encryption stays on this machine, or comes from a proxy that is trusted.
fn may_come_plainly(peer: IpAddr, proxies: &[IpAddr]) -> bool {
    peer.is_loopback() || proxies.contains(&peer)
}

async fn converse<S>(
    stream: S,
    arrival: Arrival,
    router: Router,
    only_to: Option<String>,
    hall: &Hall,
    staying: Option<Staying>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let doing = Arc::new(Doing::default());
    let (said, intake) = (doing.clone(), hall.intake());
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let (router, only_to) = (router.clone(), only_to.clone());
        let (answering, intake) = (Answering::begin(&said), intake.clone());
        let staying = staying.clone();
        async move {
            let lingers = request.version() < Version::HTTP_2;
            let (head, body) = request.into_parts();
            let body = Patient::new(body, lingers, intake);
            let dawdling = body.dawdling();
            let mut request = Request::from_parts(head, Body::new(body));
            request.extensions_mut().insert(arrival);
            request.extensions_mut().insert(dawdling);
            if let Some(staying) = staying {
                request.extensions_mut().insert(staying);
            }
            if let Some(https) = only_to {
                return Ok(only_https(&https, request.headers()));
            }
            let mut reply: Response<Body> = router.oneshot(request).await?;
            if arrival.secure {
                let always = header::HeaderValue::from_static("max-age=15552000");
                reply.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, always);
            }
            // A request is over when its answer has gone out.
            let reply = reply.map(|body| {
                Body::new(body.map_frame(move |frame| {
                    let _held_until_then = &answering;
                    frame
                }))
            });
            Ok::<_, std::convert::Infallible>(reply)
        }
    });
    let mut builder = auto::Builder::new(hall.clone());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PATIENCE)
        .max_concurrent_streams(256);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = hall.stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = doing.nothing() => {
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke off");
    }
}

/// What goes on on a connection.
#[derive(Default)]
struct Doing {
    requests: AtomicUsize,
    changed: Notify,
}

impl Doing {
    /// Waits until nothing has begun or ended for longer than is borne.
    async fn nothing(&self) {
        let mut idle = PATIENCE;
        loop {
            let requests = self.requests.load(Ordering::Acquire);
            let most = if requests > 0 { BUSY } else { idle };
            if timeout(most, self.changed.notified()).await.is_err() {
                return;
            }
            idle = IDLE;
        }
    }
}

/// A request that is being answered.
struct Answering(Arc<Doing>);

impl Answering {
    fn begin(doing: &Arc<Doing>) -> Self {
        doing.requests.fetch_add(1, Ordering::AcqRel);
        doing.changed.notify_one();
        Self(doing.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use axum::routing::get;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::ops::metrics::Connections;

    pub(in crate::gateway) fn hall() -> Hall {
        let crowd = Crowd::new(100, 100, Arc::default(), Connections::default());
        Hall {
            clock: Clock,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
            cut: CancellationToken::new(),
            crowd: Arc::new(crowd),
            pace: Pace::default(),
        }
    }

    /// What a peer gets that asks for `/` without encryption.
    async fn asked_by(peer: &str) -> String {
        let peer = peer.parse().unwrap();
        let proxies = ["192.0.2.9".parse().unwrap()];
        let only_to = (!may_come_plainly(peer, &proxies)).then(|| "https://a.test".to_owned());
        let router = Router::new().route("/", get(|| async { "inside" }));
        let (mut near, far) = tokio::io::duplex(64 * 1024);
        let arrival = Arrival { peer, secure: false };
        let hall = hall();
        let talk = converse(far, arrival, router, only_to, &hall, None);
        let ask = async {
            near.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            let mut reply = String::new();
            near.read_to_string(&mut reply).await.unwrap();
            reply
        };
        tokio::join!(talk, ask).1
    }

    #[tokio::test]
    async fn plain_http_from_other_machines_only_points_to_https() {
        for known in ["127.0.0.1", "::1", "192.0.2.9"] {
            let reply = asked_by(known).await;
            assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("inside"), "{reply}");
        }
        let reply = asked_by("192.0.2.1").await;
        assert!(reply.starts_with("HTTP/1.1 426"), "{reply}");
        assert!(reply.contains("https://a.test") && !reply.contains("inside"), "{reply}");
    }

    /// Far longer than a task takes to end that has been cut off.
    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn what_does_not_end_by_itself_is_cut_off() {
        let (hall, begun) = (hall(), Arc::new(Notify::new()));
        let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = begun.clone();
        let never = move || {
            asked.notify_one();
            std::future::pending::<&str>()
        };
        let router = Router::new().route("/", get(never));
        let door = Door::Plain { https: String::new(), proxies: Arc::default() };
        hall.tasks.spawn(Listener::new(socket, door, router).serve(hall.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        begun.notified().await;
        hall.stop.cancel();
        hall.tasks.close();
        assert_eq!(hall.tasks.len(), 2, "the listener, and the one whose answer does not come");
        hall.cut.cancel();
        timeout(SOON, hall.tasks.wait()).await.expect("all tasks end");
        assert_eq!(client.read(&mut [0; 16]).await.unwrap_or(0), 0);
    }
}
