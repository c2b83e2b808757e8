//! The node's own authority, which vouches for it until the operator has a certificate.

use std::{
    fs,
    io::Write,
    net::IpAddr,
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sha2::{Digest, Sha256};

use super::{CertificateError, file};

/// The node's own authority, made once and kept in the data folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// Where its certificate lies, for whoever wants to trust it.
    pub path: PathBuf,
}

/// How long a certificate of the authority lasts, in milliseconds.
pub(super) const LEAF_MS: i64 = 90 * DAY_MS;
/// Clocks of others may go so far behind this one, in milliseconds.
const SLACK_MS: i64 = DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A certificate with what vouches for it, and its key.
pub(super) struct Leaf {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    /// From when to when it is used, in milliseconds since the epoch: its last third is left to
    /// whatever may hinder the next one.
    pub(super) used_ms: Range<i64>,
}

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

    /// A certificate for these names and addresses, valid from now on.
    pub(super) fn leaf(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now_ms: i64,
    ) -> Result<Leaf, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.subject_alt_names.extend(addresses.iter().map(|it| rcgen::SanType::IpAddress(*it)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.clone());
        }
        params.not_before = at_ms(now_ms - SLACK_MS);
        params.not_after = at_ms(now_ms + LEAF_MS);
        let leaf = params.signed_by(&key, &self.issuer)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|_| CertificateError::Pem { path: self.path.clone(), what: "key" })?;
        Ok(Leaf { chain, key, used_ms: now_ms - SLACK_MS..now_ms + LEAF_MS / 3 * 2 })
    }
}

fn at_ms(ms: i64) -> time::OffsetDateTime {
    time::OffsetDateTime::from_unix_timestamp(ms / 1000).unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), CertificateError> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut opened = opened.map_err(file(path))?;
    opened.write_all(bytes).and_then(|()| opened.sync_all()).map_err(file(path))
}
