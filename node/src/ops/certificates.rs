//! Certificates: the operator's files, or the node's own authority until there are some.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use sha2::{Digest, Sha256};

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
    /// Certificate and key do not belong together, or are of a kind that is not supported.
    #[error("the certificate and its key cannot be used together")]
    Mismatch(#[source] rustls::Error),
    /// The node's own authority failed.
    #[error("making a certificate of the node's own authority")]
    Make(#[from] rcgen::Error),
}

/// The node's own authority, made once and kept in the data folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Where its certificate lies, for whoever wants to trust it.
    pub path: PathBuf,
}

/// How long a certificate of the authority lasts; a new one is made at every start.
const LEAF_DAYS: i64 = 90;

impl Authority {
    /// Opens the authority in a folder, or makes it.
    pub fn open(folder: &Path, server_name: &str) -> Result<Self, CertificateError> {
        let (key_path, path) = (folder.join("ca.key"), folder.join("ca.pem"));
        fs::create_dir_all(folder).map_err(file(folder))?;
        let key = if key_path.exists() {
            KeyPair::from_pem(&fs::read_to_string(&key_path).map_err(file(&key_path))?)?
        } else {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
            write_secret(&key_path, key.serialize_pem().as_bytes())?;
            key
        };
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, format!("{server_name} (Wayside)"));
        if !path.exists() {
            let made = params.self_signed(&key)?;
            fs::write(&path, made.pem()).map_err(file(&path))?;
        }
        let certificate = CertificateDer::from_pem_file(&path)
            .map_err(|_| CertificateError::Pem { path: path.clone(), what: "certificate" })?;
        Ok(Self { issuer: Issuer::new(params, key), certificate, path })
    }

    /// SHA-256 of the authority's certificate, as browsers show it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(&self.certificate);
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// What a listener serves with, for these names and addresses, valid from `now` on.
    pub fn config(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now_ms: i64,
    ) -> Result<ServerConfig, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.subject_alt_names.extend(addresses.iter().map(|it| rcgen::SanType::IpAddress(*it)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.clone());
        }
        let second = now_ms / 1000;
        let day = 24 * 60 * 60;
        params.not_before = offset(second - day);
        params.not_after = offset(second + LEAF_DAYS * day);
        let leaf = params.signed_by(&key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|_| CertificateError::Pem { path: self.path.clone(), what: "key" })?;
        build(chain, key)
    }
}

fn offset(second: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(second).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// What a listener serves with, from the operator's files.
pub fn from_files(certificate: &Path, key: &Path) -> Result<ServerConfig, CertificateError> {
    let chain =
        CertificateDer::pem_file_iter(certificate).map_err(pem(certificate, "certificate"))?;
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(pem(certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(CertificateError::Pem { path: certificate.to_owned(), what: "certificate" });
    }
    let key = PrivateKeyDer::from_pem_file(key).map_err(pem(key, "key"))?;
    build(chain, key)
}

fn build(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, CertificateError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(CertificateError::Mismatch)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(CertificateError::Mismatch)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), CertificateError> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut opened = opened.map_err(file(path))?;
    opened.write_all(bytes).and_then(|()| opened.sync_all()).map_err(file(path))
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> CertificateError + '_ {
    move |source| CertificateError::File { path: path.to_owned(), source }
}

fn pem<E>(path: &Path, what: &'static str) -> impl Fn(E) -> CertificateError {
    let path = path.to_owned();
    move |_| CertificateError::Pem { path: path.clone(), what }
}
