//! What a request costs before it is known whose it is.

use std::net::Ipv4Addr;

use wayside_identity::token::{Kind, Secret};

use super::*;
use crate::{
    app,
    config::Config,
    ops::certificates::{Authority, Certificates},
};

/// A node without listeners on a folder of its own, which goes with it.
async fn node() -> (App, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = Config { data: folder.path().join("data"), ..Config::default() };
    let services = app::open(config).await.unwrap().services;
    let ground = services.ground.clone();
    let authority = Authority::open(&folder.path().join("tls"), "a.test").unwrap();
    let now_ms = ground.clock.now_ms();
    let own = Certificates::own(authority, vec!["a.test".to_owned()], Vec::new(), now_ms).unwrap();
    let metrics = Metrics::new(ground.clock, ground.store.clone(), Arc::new(own));
    let places = Places { public: String::new(), https: String::new() };
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
    let ask = async || session(&app, &whoami, &headers, None, address).await;
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
