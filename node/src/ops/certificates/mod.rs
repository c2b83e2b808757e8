//! Certificates: the operator's files, an authority's by ACME, or the node's own until there are some.
//!
//! Every encrypted listener asks [`Certificates`] for the key of each new connection, so that
//! another certificate is served without a restart, and connections that stand do not notice.

mod acme;
mod authority;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    net::IpAddr,
    ops::Range,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub use self::{
    acme::{ACME_TLS, Standing, Wish},
    authority::Authority,
};
use self::{
    acme::{Acme, SITE, wants_proof},
    authority::Leaf,
};
use crate::{clock::Clock, config::Config, outbound::Chosen};

/// How often is looked whether another certificate is due or has been put there.
const EVERY: Duration = Duration::from_secs(5);
/// Most bytes of a certificate or key file.
const FILE_BYTES: u64 = 1024 * 1024;
/// A pause after making a certificate failed, in milliseconds.
const AFTER_FAILURE_MS: i64 = 60 * 60 * 1000;

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("working on the certificate file {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no certificate or key in PEM.
    #[error("the file {path} holds no {what} in PEM")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// A file is too long to be a certificate or key.
    #[error("the file {path} has more than the {FILE_BYTES} bytes that are read of it")]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate and its key cannot be used together")]
    Mismatch(#[source] rustls::Error),
    /// The node's own authority failed.
    #[error("making a certificate of the node's own authority")]
    Make(#[from] rcgen::Error),
}

/// The certificate that the listeners serve with, and where the next one comes from.
pub struct Certificates {
    source: Source,
    /// An authority that gives better ones; the source's are served until it has given the first.
    acme: Option<Acme>,
    served: RwLock<Served>,
}

/// Where certificates come from.
enum Source {
    Own(Box<Own>),
    Files {
        certificate: PathBuf,
        key: PathBuf,
        /// What both held at the last look, usable or not.
        seen: Mutex<Seen>,
    },
}

struct Own {
    authority: Authority,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    /// From when to when no other is made, in milliseconds since the epoch.
    used_ms: Mutex<Range<i64>>,
}

struct Served {
    key: Arc<CertifiedKey>,
    /// From when to when it is good, in milliseconds since the epoch.
    valid_ms: Range<i64>,
}

/// Whether the files that the settings name hold what they should.
pub fn check(config: &Config) -> Result<(), CertificateError> {
    if let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) {
        Certificates::files(certificate, key)?;
    }
    // Nothing calls other servers yet; what could not be trusted then is refused already now.
    config.trust_ca.as_deref().map_or(Ok(()), |path| trusted(path).map(drop))
}

/// The authorities in a file.
fn trusted(path: &Path) -> Result<RootCertStore, CertificateError> {
    let authorities: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bounded(path)?).collect();
    let mut trusted = RootCertStore::empty();
    for authority in authorities.map_err(pem(path, "certificate"))? {
        trusted.add(authority).map_err(pem(path, "certificate"))?;
    }
    if trusted.is_empty() { Err(pem(path, "certificate")(())) } else { Ok(trusted) }
}

impl Certificates {
    /// Certificates of the node's own authority for these names and addresses.
    pub fn own(
        authority: Authority,
        names: Vec<String>,
        addresses: Vec<IpAddr>,
        now_ms: i64,
    ) -> Result<Self, CertificateError> {
        let Leaf { chain, key, used_ms } = authority.leaf(&names, &addresses, now_ms)?;
        let served = RwLock::new(usable(chain, key, &authority.path)?);
        let used_ms = Mutex::new(used_ms);
        let source = Source::Own(Box::new(Own { authority, names, addresses, used_ms }));
        Ok(Self { source, acme: None, served })
    }

    /// The same, until an authority has given one by ACME. What it gave is kept below `folder`.
    pub fn until_given(
        mut self,
        wish: Wish,
        folder: &Path,
        client: Chosen,
    ) -> Result<Self, CertificateError> {
        let (acme, given) = Acme::open(wish, folder, client)?;
        if let Some(given) = given {
            self.served = RwLock::new(given);
        }
        self.acme = Some(acme);
        Ok(self)
    }

    /// Certificates that the operator keeps in two files, in PEM.
    pub fn files(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        // Looked at before they are read: what is written meanwhile is read again.
        let stamps = Stamps::of(certificate, key);
        let pair = Pair::read(certificate, key)?;
        let served = RwLock::new(pair.usable(certificate, key)?);
        let seen = Mutex::new(Seen { stamps, digest: pair.digest() });
        let source =
            Source::Files { certificate: certificate.to_owned(), key: key.to_owned(), seen };
        Ok(Self { source, acme: None, served })
    }

    /// What a listener serves with: whatever is here when a connection begins.
    pub fn config(self: &Arc<Self>) -> Result<ServerConfig, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Mismatch)?
            .with_no_client_auth()
            .with_cert_resolver(self.clone());
        let shows_proofs = self.acme.is_some().then_some(ACME_TLS);
        config.alpn_protocols = SITE.into_iter().chain(shows_proofs).map(<[u8]>::to_vec).collect();
        Ok(config)
    }

    /// SHA-256 of the node's own authority, where it vouches.
    #[must_use]
    pub fn fingerprint(&self) -> Option<String> {
        match &self.source {
            Source::Own(_) if self.is_given() => None,
            Source::Own(own) => Some(own.authority.fingerprint()),
            Source::Files { .. } => None,
        }
    }

    /// When the certificate that is served ends, in seconds since the epoch.
    #[must_use]
    pub fn expiry_s(&self) -> i64 {
        self.served.read().unwrap_or_else(PoisonError::into_inner).valid_ms.end / 1000
    }

    /// How getting certificates by ACME goes, where they come so.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.acme.as_ref().map(Acme::standing)
    }

    /// Whether an authority has given one by ACME.
    fn is_given(&self) -> bool {
        self.acme.as_ref().is_some_and(Acme::has_certificate)
    }

    /// Looks whether another certificate is to be served, and says whether one is from now on. An
    /// error leaves the one from before, and is given once for what caused it.
    pub fn look(&self, now_ms: i64) -> Result<bool, CertificateError> {
        if self.is_given() {
            return Ok(false);
        }
        let next = match &self.source {
            Source::Own(own) => {
                let mut used_ms = locked(&own.used_ms);
                // Before its time too: then the clock was wrong when it was made.
                if used_ms.contains(&now_ms) {
                    return Ok(false);
                }
                *used_ms = now_ms..now_ms + AFTER_FAILURE_MS;
                let leaf = own.authority.leaf(&own.names, &own.addresses, now_ms)?;
                let next = usable(leaf.chain, leaf.key, &own.authority.path)?;
                *used_ms = leaf.used_ms;
                next
            }
            Source::Files { certificate, key, seen } => {
                let stamps = Stamps::of(certificate, key);
                let mut seen = locked(seen);
                if stamps.is_some() && seen.stamps == stamps {
                    return Ok(false);
                }
                let pair = Pair::read(certificate, key);
                let digest = match &pair {
                    Ok(pair) => pair.digest(),
                    Err(error) => Sha256::digest(format!("{error:?}")).into(),
                };
                // What could not be read may come to be so by other rights, which change no stamp.
                let stamps = stamps.filter(|_| pair.is_ok());
                let before = std::mem::replace(&mut *seen, Seen { stamps, digest });
                if before.digest == digest {
                    return Ok(false);
                }
                pair?.usable(certificate, key)?
            }
        };
        let mut served = self.served.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_given() {
            // It came in the meantime, and is on its way to here.
            return Ok(false);
        }
        // A file that was broken for a while may have come back as it was.
        let is_another = served.key.cert != next.key.cert;
        *served = next;
        Ok(is_another)
    }

    /// Looks now and then whether another certificate is to be served, and gets one where it is to be
    /// got, until `stop` falls.
    pub async fn follow(self: Arc<Self>, clock: Clock, stop: CancellationToken) {
        tokio::join!(self.clone().watch(clock, &stop), self.get(clock, &stop));
    }

    /// Gets certificates by ACME, where they come so.
    async fn get(&self, clock: Clock, stop: &CancellationToken) {
        let Some(acme) = &self.acme else { return };
        acme.announce(clock);
        let mut often = often();
        let mut get = async || {
            often.tick().await;
            acme.ask_when_due(clock).await;
            acme.attempt_when_due(clock).await
        };
        while let Some(got) = stop.run_until_cancelled(get()).await {
            let Some(next) = got else { continue };
            let expiry_s = next.valid_ms.end / 1000;
            *self.served.write().unwrap_or_else(PoisonError::into_inner) = next;
            tracing::info!(expiry_s, "a certificate came by ACME, and new connections get it");
        }
    }

    async fn watch(self: Arc<Self>, clock: Clock, stop: &CancellationToken) {
        let mut often = often();
        let mut look = async || {
            often.tick().await;
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.look(clock.now_ms())).await
        };
        while let Some(looked) = stop.run_until_cancelled(look()).await {
            match looked {
                Ok(Ok(false)) => {}
                Ok(Ok(true)) => tracing::info!("new connections get another certificate"),
                Ok(Err(error)) => {
                    let error = anyhow::Error::from(error);
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the next certificate cannot be used and the one from before stays: see \
                         that tls_cert and tls_key hold a certificate and its own key in PEM; they \
                         are tried again when they change"
                    );
                }
                Err(error) => tracing::error!(%error, "looking for another certificate broke off"),
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(acme) = &self.acme {
            let offered: Vec<&[u8]> = hello.alpn().into_iter().flatten().collect();
            if let Some(may_have_one) = wants_proof(&offered) {
                return acme.proofs.of(hello.server_name().filter(|_| may_have_one)?);
            }
        }
        Some(self.served.read().unwrap_or_else(PoisonError::into_inner).key.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Certificates").finish_non_exhaustive()
    }
}

/// What the operator's two files hold.
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        Ok(Self { certificate: bounded(certificate)?, key: bounded(key)? })
    }

    fn digest(&self) -> [u8; 32] {
        let parts = [Sha256::digest(&self.certificate), Sha256::digest(&self.key)];
        Sha256::digest(parts.concat()).into()
    }

    fn usable(&self, path: &Path, key_path: &Path) -> Result<Served, CertificateError> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.map_err(pem(path, "certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(pem(key_path, "key"))?;
        usable(chain, key, path)
    }
}

/// A chain and its key, once they are known to belong together.
fn usable(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    path: &Path,
) -> Result<Served, CertificateError> {
    let first = chain.first().ok_or(()).map_err(pem(path, "certificate"))?;
    let (_, parsed) =
        x509_parser::parse_x509_certificate(first).map_err(pem(path, "certificate"))?;
    let validity = parsed.validity();
    let ms = |time: x509_parser::time::ASN1Time| time.timestamp().saturating_mul(1000);
    let valid_ms = ms(validity.not_before)..ms(validity.not_after);
    let key =
        CertifiedKey::from_der(chain, key, &provider()).map_err(CertificateError::Mismatch)?;
    Ok(Served { key: Arc::new(key), valid_ms })
}

/// Two files as they were when they were read last.
struct Seen {
    stamps: Option<Stamps>,
    digest: [u8; 32],
}

/// When two files were written, to the nanosecond, how long they are and which files they are: while all
/// that stays, so does what they hold.
#[derive(PartialEq, Eq)]
struct Stamps([(i64, i64, u64, u64); 2]);

impl Stamps {
    /// Nothing where one of them is not there.
    fn of(certificate: &Path, key: &Path) -> Option<Self> {
        let stamp = |path: &Path| {
            let known = path.metadata().ok()?;
            Some((known.mtime(), known.mtime_nsec(), known.size(), known.ino()))
        };
        Some(Self([stamp(certificate)?, stamp(key)?]))
    }
}

/// How often it is looked whether something is due.
fn often() -> Interval {
    let mut often = interval(EVERY);
    often.set_missed_tick_behavior(MissedTickBehavior::Delay);
    often
}

fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bounded(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let mut bytes = Vec::new();
    let opened = File::open(path).map_err(file(path))?;
    opened.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(file(path))?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(CertificateError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> CertificateError + '_ {
    move |source| CertificateError::File { path: path.to_owned(), source }
}

fn pem<E>(path: &Path, what: &'static str) -> impl Fn(E) -> CertificateError {
    let path = path.to_owned();
    move |_| CertificateError::Pem { path: path.clone(), what }
}
