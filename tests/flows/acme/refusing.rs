//! An ACME directory that never gives anything: each first nonce is a bad one, and no order comes to an end.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    serve::Listener,
};
use reqwest::Url;
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::pebble::OwnCertificate;

/// How long it wants to be left alone, in seconds.
pub(crate) const ALONE_S: u32 = 7_200;

/// What becomes of an order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It is one too many.
    HadEnough,
    /// The proofs of `a.test` are looked at for ever.
    Undecided,
}

/// The directory.
pub(crate) struct Refusing {
    inside: Arc<Inside>,
    /// Where it is.
    pub(crate) directory: Url,
    /// The authority of its own certificate, in PEM.
    pub(crate) trust: PathBuf,
    _open: JoinSet<()>,
}

struct Inside {
    base: String,
    mood: Mood,
    asked: Mutex<Vec<String>>,
}

impl Refusing {
    pub(crate) async fn open(folder: &Path, mood: Mood) -> Result<Self> {
        let own = OwnCertificate::make(folder)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&own.certificate)?],
                PrivateKeyDer::from_pem_file(&own.key)?,
            )?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("https://{}", socket.local_addr()?);
        let directory = Url::parse(&base)?.join("directory")?;
        let inside = Arc::new(Inside { base, mood, asked: Mutex::default() });
        let router = Router::new().fallback(answer).with_state(inside.clone());
        let secure = Secure { socket, tls: TlsAcceptor::from(Arc::new(config)) };
        let mut open = JoinSet::new();
        open.spawn(async move {
            let _ended = axum::serve(secure, router).await;
        });
        Ok(Self { inside, directory, trust: own.trust, _open: open })
    }

    /// How often it was asked for something, such as `POST /order`.
    pub(crate) fn asked(&self, what: &str) -> usize {
        let asked = self.inside.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().filter(|it| *it == what).count()
    }
}

async fn answer(State(inside): State<Arc<Inside>>, method: Method, uri: Uri) -> Response {
    let what = format!("{method} {}", uri.path());
    let is_first = {
        let mut asked = inside.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !asked.contains(&what);
        asked.push(what);
        is_first
    };
    let at = |path: &str| format!("{}/{path}", inside.base);
    let nonce = [("replay-nonce", "bm9uY2U")];
    let problem = |kind: &str, detail: &str| {
        Json(json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail }))
    };
    let challenge = json!({
        "type": "tls-alpn-01", "url": at("challenge"), "token": "dG9rZW4", "status": "pending"
    });
    match (method.as_str(), uri.path()) {
        ("GET", "/directory") => {
            let places = json!({
                "newNonce": at("nonce"), "newAccount": at("account"), "newOrder": at("order")
            });
            Json(places).into_response()
        }
        ("HEAD", "/nonce") => nonce.into_response(),
        ("POST", _) if is_first => {
            let bad = problem("badNonce", "another one, please");
            (StatusCode::BAD_REQUEST, nonce, bad).into_response()
        }
        ("POST", "/account") => {
            let place = [("location", at("account/1"))];
            (StatusCode::CREATED, nonce, place, Json(json!({ "status": "valid" }))).into_response()
        }
        ("POST", "/order") if inside.mood == Mood::HadEnough => {
            let alone = [("retry-after", ALONE_S.to_string())];
            let limited = problem("rateLimited", "too many certificates for a.test");
            (StatusCode::TOO_MANY_REQUESTS, nonce, alone, limited).into_response()
        }
        ("POST", "/order" | "/order/1") => {
            let place = [("location", at("order/1"))];
            let pending = json!({
                "status": "pending", "authorizations": [at("proof")], "finalize": at("finalize")
            });
            (nonce, place, Json(pending)).into_response()
        }
        ("POST", "/proof") => {
            let name = json!({ "type": "dns", "value": "a.test" });
            let pending =
                json!({ "identifier": name, "status": "pending", "challenges": [challenge] });
            (nonce, Json(pending)).into_response()
        }
        ("POST", "/challenge") => (nonce, Json(challenge)).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A socket on which all is encrypted. Who cannot shake hands is nobody.
pub(crate) struct Secure {
    pub(crate) socket: TcpListener,
    pub(crate) tls: TlsAcceptor,
}

impl Listener for Secure {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, peer)) = self.socket.accept().await
                && let Ok(stream) = self.tls.accept(stream).await
            {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}
