//! What an authority is shown that looks whether a name leads here (TLS-ALPN-01, RFC 8737).

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use rcgen::{
    CertificateParams, CustomExtension, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256,
};
use rustls::{pki_types::PrivateKeyDer, sign::CertifiedKey};

use super::super::{CertificateError, provider};

/// The protocol by which an authority says that it looks at a proof, and at nothing else.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// What the site speaks, in the order in which it likes to.
pub(in crate::ops::certificates) const SITE: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The proofs of an order that is under way, by the name that each proves.
#[derive(Default)]
pub(in crate::ops::certificates) struct Proofs(RwLock<BTreeMap<String, Arc<CertifiedKey>>>);

/// Whether whoever offers these protocols wants a proof: `None` for those who want the site, else
/// whether they may have one.
///
/// They offer one protocol and no other (RFC 8737, 3). Who offers it beside what the site speaks is
/// served the site; who offers it beside anything else is served nothing.
pub(in crate::ops::certificates) fn wants_proof(offered: &[&[u8]]) -> Option<bool> {
    if !offered.contains(&ACME_TLS) || offered.iter().any(|it| SITE.contains(it)) {
        return None;
    }
    Some(offered == [ACME_TLS])
}

impl Proofs {
    /// The proof of a name, while one is shown.
    pub(in crate::ops::certificates) fn of(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.get(&name.to_ascii_lowercase()).cloned()
    }

    /// Shows the proof of a name: the digest of a key authorisation, from now until [`Shown`] drops.
    pub(super) fn show(&self, name: &str, digest: &[u8; 32]) -> Result<(), CertificateError> {
        let proof = Arc::new(proof(name, digest)?);
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        shown.insert(name.to_ascii_lowercase(), proof);
        Ok(())
    }

    /// Whatever is shown from now on is shown until this drops.
    pub(super) fn while_asked(&self) -> Shown<'_> {
        Shown(self)
    }
}

/// Takes all proofs back when it drops: the order is over, however it ended.
pub(super) struct Shown<'p>(&'p Proofs);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.0.0.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// A certificate that vouches for itself, for one name and with the digest in it (RFC 8737, 3).
fn proof(name: &str, digest: &[u8; 32]) -> Result<CertifiedKey, CertificateError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let chain = vec![params.self_signed(&key)?.der().clone()];
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let key = provider().key_provider.load_private_key(key).map_err(CertificateError::Mismatch)?;
    // Not compared with its certificate: its extension is critical and unknown to whoever compares.
    Ok(CertifiedKey::new(chain, key))
}

#[cfg(test)]
mod tests {
    use x509_parser::{oid_registry::Oid, parse_x509_certificate};

    use super::*;

    #[test]
    fn only_who_offers_the_one_protocol_is_shown_a_proof() {
        let wants = |offered: &[&str]| {
            let offered: Vec<&[u8]> = offered.iter().map(|it| it.as_bytes()).collect();
            wants_proof(&offered)
        };
        let sites =
            [&[][..], &["h2"], &["http/1.1"], &["x"], &["acme-tls/1", "h2"], &["acme-tls/2"]];
        for site in sites {
            assert_eq!(wants(site), None, "{site:?}");
        }
        assert_eq!(wants(&["acme-tls/1"]), Some(true));
        for neither in [&["acme-tls/1", "acme-tls/1"][..], &["acme-tls/1", "x"]] {
            assert_eq!(wants(neither), Some(false), "{neither:?}");
        }
    }

    #[test]
    fn a_proof_holds_the_digest_and_is_shown_only_while_it_is_asked_for() {
        let proofs = Proofs::default();
        let shown = proofs.while_asked();
        proofs.show("A.test", &[7; 32]).unwrap();
        assert!(proofs.of("b.test").is_none() && proofs.of("").is_none());
        let proof = proofs.of("a.TEST").unwrap();
        let (_, parsed) = parse_x509_certificate(&proof.cert[0]).unwrap();
        let identifier = Oid::from(&[1, 3, 6, 1, 5, 5, 7, 1, 31]).unwrap();
        let extension = parsed.get_extension_unique(&identifier).unwrap().unwrap();
        assert!(extension.critical);
        assert_eq!(extension.value, [&[4, 32][..], &[7; 32]].concat());
        let names = parsed.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        drop(shown);
        assert!(proofs.of("a.test").is_none());
    }
}
