//! The guard keeps what strangers name away from whatever is not public.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

const BOUNDS: Bounds =
    Bounds { bytes: 1_000, beyond: Beyond::Refused, time: Duration::from_secs(20) };

/// A server that answers every request with the same text, and counts them.
struct Server {
    port: u16,
    asked: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Server {
    async fn start(answer: impl Fn(u16) -> String + Send + 'static) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = asked.clone();
        let serving = tokio::task::spawn(async move {
            while let Ok((mut line, _)) = socket.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4_096];
                let _read = line.read(&mut request).await;
                // Whoever has read enough hangs up.
                let _sent = line.write_all(answer(port).as_bytes()).await;
            }
        });
        Self { port, asked, serving }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn ok(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn moved(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

fn names() -> Arc<Names> {
    Arc::new(Names::new(&[]).unwrap())
}

fn guard(may_call: fn(IpAddr) -> bool) -> Guarded {
    let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Guarded::judging(None, may_call, names()).unwrap()
}

/// As if one address of this machine were public, and no other.
fn only_the_first(address: IpAddr) -> bool {
    address == IpAddr::from([127, 0, 0, 1])
}

async fn get(guard: &Guarded, url: &str) -> Result<Answer, CallError> {
    let url = Url::parse(url).unwrap();
    guard.get(&url, true, "*/*", BOUNDS).await
}

#[tokio::test]
async fn names_and_literals_of_this_machine_are_refused_before_a_connection() {
    let server = Server::start(|_| ok("secret")).await;
    let guard = guard(address::is_global);
    let port = server.port;
    for host in
        ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0"]
    {
        let refused = get(&guard, &format!("http://{host}:{port}/")).await;
        assert!(matches!(refused, Err(CallError::Banned)), "{host}: {refused:?}");
        let url = Url::parse(&format!("http://{host}:{port}/")).unwrap();
        let refused = guard.call(&url, true, Call::post(&json!({})), BOUNDS).await;
        assert!(matches!(refused, Err(CallError::Banned)), "{host}: {refused:?}");
    }
    assert_eq!(server.asked(), 0);
    let open = Guarded::new(None, true, names()).unwrap();
    let answer = get(&open, &format!("http://localhost:{port}/")).await.unwrap();
    assert_eq!(&answer.bytes[..], b"secret");
}

#[tokio::test]
async fn a_redirect_is_judged_like_the_first_address() {
    let secret = Server::start(|_| ok("secret")).await;
    let port = secret.port;
    let guard = guard(only_the_first);
    for next in ["127.0.0.2", "[::1]", "0.0.0.0"] {
        let place = format!("http://{next}:{port}/");
        let server = Server::start(move |_| moved(&place)).await;
        let refused = get(&guard, &format!("http://127.0.0.1:{}/", server.port)).await;
        assert!(matches!(refused, Err(CallError::Banned)), "{next}: {refused:?}");
        assert_eq!((server.asked(), secret.asked()), (1, 0), "{next}");
    }
    for (next, why) in [("ftp://127.0.0.1/", "begin"), ("http://a:b@127.0.0.1/", "password")] {
        let server = Server::start(move |_| moved(next)).await;
        let refused = get(&guard, &format!("http://127.0.0.1:{}/", server.port)).await.unwrap_err();
        assert!(refused.to_string().contains(why), "{next}: {refused}");
    }
    // One that is allowed is followed, also where it is relative and the name is looked up.
    let place = format!("http://localhost:{port}/x");
    let server = Server::start(move |_| moved(&place)).await;
    let answer = get(&guard, &format!("http://127.0.0.1:{}/", server.port)).await.unwrap();
    assert_eq!((answer.url.path(), answer.content_type.as_deref()), ("/x", Some("text/x")));
    let round = Server::start(|_| moved("/again")).await;
    let endless = get(&guard, &format!("http://127.0.0.1:{}/", round.port)).await;
    assert!(matches!(endless, Err(CallError::TooManyRedirects)), "{endless:?}");
    assert_eq!(round.asked(), REDIRECTS + 1);
    // What is sent to an address goes no further than there.
    let url = Url::parse(&format!("http://127.0.0.1:{}/", round.port)).unwrap();
    let answer = guard.call(&url, true, Call::post(&json!({})), BOUNDS).await.unwrap();
    assert_eq!((answer.status.as_u16(), round.asked()), (302, REDIRECTS + 2));
}

#[tokio::test]
async fn an_answer_is_counted_while_it_comes() {
    let announced = Server::start(|_| ok(&"x".repeat(1_001))).await;
    // Without a length, it ends with the connection.
    let unknown = Server::start(|_| {
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{}", "x".repeat(5_000))
    })
    .await;
    let guard = guard(only_the_first);
    for server in [&announced, &unknown] {
        let url = format!("http://127.0.0.1:{}/", server.port);
        let refused = get(&guard, &url).await;
        assert!(matches!(refused, Err(CallError::TooLarge(1_000))), "{refused:?}");
        let cut = Bounds { beyond: Beyond::Cut, ..BOUNDS };
        let answer = guard.get(&Url::parse(&url).unwrap(), true, "*/*", cut).await.unwrap();
        assert_eq!(answer.bytes.len(), 1_000);
    }
    let never =
        Server::start(|_| "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345".to_owned()).await;
    let url = Url::parse(&format!("http://127.0.0.1:{}/", never.port)).unwrap();
    let short = Bounds { time: Duration::from_millis(200), ..BOUNDS };
    let ended = guard.get(&url, true, "*/*", short).await.unwrap_err();
    assert!(matches!(ended, CallError::TooSlow(_) | CallError::Failed(_)), "{ended:?}");
}

#[tokio::test]
async fn an_address_is_of_the_web_and_holds_no_password() {
    let guard = guard(address::is_global);
    for right in ["https://example.org/a?b#c", "https://8.8.8.8:8443/", "https://[2606:4700::1]/"] {
        assert!(guard.address(right, false).is_ok(), "{right}");
    }
    assert!(guard.address("http://example.org/", true).is_ok());
    for wrong in [
        "",
        "example.org",
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "data:text/html,x",
        "https://",
        "https://a:b@example.org/",
        "https://a@example.org/",
        "https://127.0.0.1/",
        "https://[fe80::1]/",
        "https://169.254.169.254/latest/meta-data/",
    ] {
        assert!(guard.address(wrong, false).is_err(), "{wrong}");
    }
}
