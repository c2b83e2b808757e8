//! What a request costs before it is known whose it is, and what it is told when the node fails it.

use std::{net::Ipv4Addr, time::Duration};

use ::http::StatusCode;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use wayside_identity::token::{Kind, Secret};

use super::{
    body::Pace,
    listen::{Door, Listener, tests::hall},
    *,
};
use crate::{
    app,
    clock::Clock,
    config::{Config, Registration},
    ops::certificates::{Authority, Certificates},
    services::accounts::{DeviceWish, Registering},
    store::{Purpose, StoreError},
};

/// A node without listeners on a folder of its own, which goes with it.
async fn node() -> (App, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = Config { data, registration: Registration::Open, ..Config::default() };
    let services = app::open(config, Purpose::Serving).await.unwrap().services;
    let ground = services.ground.clone();
    let authority = Authority::open(&folder.path().join("tls"), "a.test").unwrap();
    let now_ms = ground.clock.now_ms();
    let own = Certificates::own(authority, vec!["a.test".to_owned()], Vec::new(), now_ms).unwrap();
    let meter = services.instances.meter();
    let metrics = Metrics::new(ground.clock, ground.store.clone(), Arc::new(own), meter);
    let places = Places { public: String::new(), https: String::new(), federation: String::new() };
    (App::new(services, metrics, places), folder)
}

#[tokio::test]
async fn a_token_that_anybody_made_up_is_paid_for_before_it_is_looked_up() {
    let (app, _folder) = node().await;
    let address = IpAddr::from(Ipv4Addr::LOCALHOST);
    let whoami = routes().into_iter().find(|it| it.paths[0].ends_with("/account/whoami")).unwrap();
    let token = Secret::mint(Kind::Access, [7; 32]);
    let mut headers = HeaderMap::new();
    let bearer = format!("Bearer {}", token.reveal());
    headers.insert(header::AUTHORIZATION, bearer.parse().unwrap());
    let ask = async || session(&app, &whoami, &headers, &Uri::from_static("/"), address).await;
    let unknown = ask().await.unwrap_err();
    assert!(matches!(unknown, Fault::Service(Error::UnknownToken)), "{unknown:?}");

    // Whoever has used up the budget of their address is not looked up any more: it shows where
    // looking up would fail.
    app.services.ground.store.close().await;
    let failed = ask().await.unwrap_err();
    assert!(matches!(failed, Fault::Service(Error::Internal(_))), "{failed:?}");
    while app.limits.take(table::Rate::Shown, &Who::address(address)).is_ok() {}
    let refused = ask().await.unwrap_err();
    assert!(matches!(refused, Fault::Service(Error::TooOften { .. })), "{refused:?}");
}

/// What comes back to a body whose second half comes later than a body may.
async fn dawdled(app: &Arc<App>, path: &str, token: &str) -> String {
    let pace = Pace { grace: Duration::ZERO, bytes_per_second: u32::MAX };
    let hall = listen::Hall { pace, ..hall() };
    let socket = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut client = TcpStream::connect(socket.local_addr().unwrap()).await.unwrap();
    let door = Door::Plain { https: String::new(), proxies: Arc::default() };
    let listener = Listener::new(socket, door, router(app, routes()));
    hall.tasks.spawn(listener.serve(hall.clone()));
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         expect: 100-continue\r\ncontent-length: 2\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // Whoever is asked to go on knows that the body is being waited for.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0);
    }
    client.write_all(b"{").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        assert!(client.read_buf(&mut answer).await.unwrap() > 0);
    }
    hall.cut.cancel();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused_in_words() {
    let (app, _folder) = node().await;
    let app = Arc::new(app);
    let wish = Registering {
        name: None,
        password: None,
        invitation: None,
        guest: true,
        device: DeviceWish::default(),
    };
    let guest = app.services.accounts.register(wish).await.unwrap();
    let (_, tokens) = guest.device.unwrap();
    for path in ["/_matrix/client/v3/login", "/_matrix/media/v3/upload"] {
        let answer = dawdled(&app, path, &tokens.access).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
        assert!(answer.contains("more slowly than"), "{path}: {answer}");
    }
}

#[test]
fn a_store_out_of_reach_is_said_to_be_so_and_a_broken_one_is_not() {
    for (error, status) in [
        (StoreError::Unreachable, StatusCode::SERVICE_UNAVAILABLE),
        (StoreError::Silent(15), StatusCode::SERVICE_UNAVAILABLE),
        (StoreError::Stopped, StatusCode::SERVICE_UNAVAILABLE),
        (StoreError::Full, StatusCode::INSUFFICIENT_STORAGE),
        (StoreError::BrokenOff, StatusCode::INTERNAL_SERVER_ERROR),
        (StoreError::Damaged("a node is missing"), StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let inner = error.to_string();
        let reply = Fault::Service(error.into()).into_reply(Clock);
        assert_eq!(reply.status(), status, "{inner}");
    }
}

#[test]
fn what_answers_under_version_3_answers_under_r0() {
    for route in routes() {
        for path in route.paths.iter().filter(|path| path.contains("/v3/")) {
            let older = path.replacen("/v3/", "/r0/", 1);
            assert!(route.paths.contains(&older), "{} {path}", route.method);
        }
    }
}
