//! A directory before that of pebble, which has wishes of certificates that pebble, as it is packed, has not.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{IntoResponse, Response},
};
use reqwest::{Certificate, Client, Url};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use super::{pebble::Pebble, refusing::Secure};

/// The directory.
pub(crate) struct Wishing {
    inside: Arc<Inside>,
    /// Where it is.
    pub(crate) directory: Url,
    _open: JoinSet<()>,
}

struct Inside {
    /// What it shows as its directory.
    places: String,
    /// What it answers of any certificate, if anything.
    wish: Mutex<Option<String>>,
    asked: AtomicUsize,
}

impl Wishing {
    /// Opens it before pebble's, behind the same certificate.
    pub(crate) async fn open(pebble: &Pebble) -> Result<Self> {
        let folder = pebble.trust.parent().context("a folder")?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_file(folder.join("door.pem"))?],
                PrivateKeyDer::from_pem_file(folder.join("door.key"))?,
            )?;
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let base = Url::parse(&format!("https://{}", socket.local_addr()?))?;
        let mut places = directory(pebble, &pebble.trust).await?;
        places["renewalInfo"] = json!(base.join("wishes")?);
        let (places, wish, asked) = (places.to_string(), Mutex::default(), AtomicUsize::new(0));
        let inside = Arc::new(Inside { places, wish, asked });
        let router = Router::new().fallback(answer).with_state(inside.clone());
        let secure = Secure { socket, tls: TlsAcceptor::from(Arc::new(config)) };
        let mut open = JoinSet::new();
        open.spawn(async move {
            let _ended = axum::serve(secure, router).await;
        });
        Ok(Self { inside, directory: base.join("directory")?, _open: open })
    }

    /// From now on it answers this.
    pub(crate) fn wishes(&self, answer: &str) {
        let mut wish = self.inside.wish.lock().unwrap_or_else(PoisonError::into_inner);
        *wish = Some(answer.to_owned());
    }

    /// How often it was asked for its wishes.
    pub(crate) fn asked(&self) -> usize {
        self.inside.asked.load(Ordering::Relaxed)
    }
}

/// The directory of pebble.
async fn directory(pebble: &Pebble, trust: &Path) -> Result<Value> {
    let authority = Certificate::from_pem(&std::fs::read(trust)?)?;
    let client = Client::builder().tls_certs_only([authority]).build()?;
    let answer = client.get(pebble.directory.clone()).send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}

async fn answer(State(inside): State<Arc<Inside>>, uri: Uri) -> Response {
    if uri.path() == "/directory" {
        return inside.places.clone().into_response();
    }
    let known = uri.path().strip_prefix("/wishes/").is_some_and(|id| id.split('.').count() == 2);
    if !known {
        return StatusCode::NOT_FOUND.into_response();
    }
    inside.asked.fetch_add(1, Ordering::Relaxed);
    let wish = inside.wish.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let again = [("retry-after", "21600")];
    wish.map_or(StatusCode::NOT_FOUND.into_response(), |wish| (again, wish).into_response())
}
