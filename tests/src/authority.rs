//! The town's own certificate authority, which vouches for its servers, honest or not.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// When everything that it signs begins to hold, as a year.
const BEGINS: i32 = 2020;
/// When what it signs ends, and when what has ended did.
const ENDS: (i32, i32) = (2100, 2021);

/// An authority with a folder for what it signs.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    pem: PathBuf,
    signed: AtomicU32,
}

/// A certificate with its key, as files in PEM.
#[derive(Clone, Debug)]
pub struct Leaf {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl Authority {
    /// Makes a new one, which nobody trusts who is not told to.
    pub fn found(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let mut wanted = within(CertificateParams::default(), ENDS.0);
        wanted.distinguished_name.push(DnType::CommonName, "Authority of the town");
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(wanted, new_key()?)?;
        let pem = folder.join("authority.pem");
        fs::write(&pem, issuer.pem())?;
        Ok(Self { issuer, folder: folder.to_owned(), pem, signed: AtomicU32::new(0) })
    }

    /// The file that whoever is to trust it is given.
    #[must_use]
    pub fn pem(&self) -> &Path {
        &self.pem
    }

    /// A certificate for these DNS names and addresses, whoever is to have it.
    pub fn leaf(&self, names: &[&str]) -> Result<Leaf> {
        self.sign(names, ENDS.0)
    }

    /// A certificate that has ended years ago.
    pub fn expired_leaf(&self, names: &[&str]) -> Result<Leaf> {
        self.sign(names, ENDS.1)
    }

    fn sign(&self, names: &[&str], ends: i32) -> Result<Leaf> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut wanted = within(CertificateParams::new(names)?, ends);
        wanted.distinguished_name.push(DnType::CommonName, "A server of the town");
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        wanted.use_authority_key_identifier_extension = true;
        let key = new_key()?;
        let signed = wanted.signed_by(&key, &self.issuer)?;
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| self.folder.join(format!("leaf{number}.{kind}.pem"));
        let leaf = Leaf { certificate: file("cert"), key: file("key") };
        fs::write(&leaf.certificate, signed.pem())?;
        fs::write(&leaf.key, key.serialize_pem())?;
        Ok(leaf)
    }
}

impl Leaf {
    /// How a server of the tests' own serves with it, in HTTP/2 or 1.1.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>> {
        let chain = CertificateDer::pem_file_iter(&self.certificate)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&self.key)?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider);
        let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut config = config.with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn new_key() -> Result<KeyPair> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

fn within(mut wanted: CertificateParams, ends: i32) -> CertificateParams {
    wanted.not_before = date_time_ymd(BEGINS, 1, 1);
    wanted.not_after = date_time_ymd(ends, 1, 1);
    wanted
}
