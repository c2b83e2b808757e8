//! Certificates that are renewed and replaced while they are served.

use std::{fs, net::Ipv4Addr};

use rcgen::{CertificateParams, KeyPair};

use super::*;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// Some day of 2026.
const NOW_MS: i64 = 1_780_000_000_000;

fn served(certificates: &Certificates) -> CertificateDer<'static> {
    certificates.served.read().unwrap().key.cert[0].clone()
}

#[test]
fn the_own_certificate_is_made_again_at_two_thirds_of_its_life() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::open(folder.path(), "a.test").unwrap();
    let names = vec!["a.test".to_owned()];
    let addresses = vec![Ipv4Addr::LOCALHOST.into()];
    let certificates = Certificates::own(authority, names, addresses, NOW_MS).unwrap();
    let first = served(&certificates);
    assert_eq!(certificates.expiry_s(), (NOW_MS + 90 * DAY_MS) / 1000);
    for quiet in [0, 1, 59 * DAY_MS, 60 * DAY_MS - 1] {
        assert!(!certificates.look(NOW_MS + quiet).unwrap(), "after {quiet} ms");
        assert_eq!(served(&certificates), first);
    }
    assert!(certificates.look(NOW_MS + 60 * DAY_MS).unwrap());
    let second = served(&certificates);
    assert_ne!(second, first);
    assert_eq!(certificates.expiry_s(), (NOW_MS + 150 * DAY_MS) / 1000);
    assert!(!certificates.look(NOW_MS + 61 * DAY_MS).unwrap());
    // A clock that was ahead when the certificate was made, and is put right.
    assert!(certificates.look(NOW_MS - 30 * DAY_MS).unwrap());
    assert_eq!(certificates.expiry_s(), (NOW_MS + 60 * DAY_MS) / 1000);
}

pub(super) fn pair(name: &str) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let made = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    (made.pem(), key.serialize_pem())
}

#[test]
fn files_are_served_when_they_change_and_only_as_a_pair() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let ((one, one_key), (two, two_key)) = (pair("one.test"), pair("two.test"));
    fs::write(&certificate, &one).unwrap();
    assert!(matches!(Certificates::files(&certificate, &key), Err(CertificateError::File { .. })));
    fs::write(&key, &one_key).unwrap();
    let certificates = Certificates::files(&certificate, &key).unwrap();
    let first = served(&certificates);
    assert!(!certificates.look(NOW_MS).unwrap(), "nothing has changed");

    // Each state that cannot be used is complained of once, and the old pair stays.
    let half = &two[..two.len() / 2];
    let not_base64 = two.replace('A', "!");
    let long = "x".repeat(usize::try_from(FILE_BYTES).unwrap() + 1);
    for broken in [two.as_str(), half, not_base64.as_str(), long.as_str(), ""] {
        fs::write(&certificate, broken).unwrap();
        certificates.look(NOW_MS).unwrap_err();
        assert!(!certificates.look(NOW_MS).unwrap(), "said once: {broken:.40}");
        assert_eq!(served(&certificates), first);
    }
    fs::remove_file(&certificate).unwrap();
    assert!(matches!(certificates.look(NOW_MS), Err(CertificateError::File { .. })));
    assert!(!certificates.look(NOW_MS).unwrap(), "said once");
    fs::write(&certificate, &one).unwrap();
    assert!(!certificates.look(NOW_MS).unwrap(), "the same as before is no other");

    fs::write(&certificate, &two).unwrap();
    certificates.look(NOW_MS).unwrap_err();
    fs::write(&key, &two_key).unwrap();
    assert!(certificates.look(NOW_MS).unwrap());
    assert_ne!(served(&certificates), first);
}
