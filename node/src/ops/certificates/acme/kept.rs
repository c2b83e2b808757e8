//! What is kept between starts: the account, the certificate, and how the last attempts went.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use instant_acme::AccountCredentials;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::super::{CertificateError, Served, bounded, file, pem, usable};

/// The folder of one directory of an authority. Another directory has another folder, so that who tries
/// one out and moves to another begins there anew, and finds everything when coming back.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    folder: PathBuf,
}

/// An account of an authority, as it lies on disk.
#[derive(Serialize, Deserialize)]
pub(super) struct Account {
    /// The directory, for whoever looks into the file.
    pub(super) directory: String,
    /// What the authority was told of how to reach the operator.
    pub(super) contact: Option<String>,
    /// Under which id it knew the operator when the account was made.
    #[serde(default)]
    pub(super) key_id: Option<String>,
    /// Its address and key.
    pub(super) credentials: AccountCredentials,
}

/// How the attempts went since the last certificate. On disk before an attempt is made, so that a
/// node that ends in the middle of each does not come back faster than one that waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// What they were for. Whoever asks for other names has changed something, and need not wait.
    pub(super) names: Vec<String>,
    /// How many failed in a row.
    pub(super) failures: u32,
    /// When the last one failed, in milliseconds since the epoch.
    pub(super) failed_ms: Option<i64>,
    /// When the next one may be made, in milliseconds since the epoch.
    pub(super) next_ms: i64,
    /// When the last one was made because the authority wished so, in milliseconds since the epoch.
    #[serde(default)]
    pub(super) wished_ms: Option<i64>,
}

impl Kept {
    /// Opens the folder of a directory below that of all, or makes it.
    pub(super) fn open(all: &Path, directory: &str) -> Result<Self, CertificateError> {
        let folder = all.join(hex::encode(&Sha256::digest(directory)[..8]));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(file(&folder))?;
        Ok(Self { folder })
    }

    /// The account, if there is one that can be read.
    pub(super) fn account(&self) -> Option<Account> {
        self.json("account.json")
    }

    pub(super) fn keep_account(&self, account: &Account) -> Result<(), CertificateError> {
        self.keep_json("account.json", account)
    }

    /// Notes that the authority has been told of another contact.
    pub(super) fn note_contact(&self, contact: Option<String>) -> Result<(), CertificateError> {
        match self.account() {
            Some(account) => self.keep_account(&Account { contact, ..account }),
            None => Ok(()),
        }
    }

    /// Sets an account aside that the authority does not know any more.
    pub(super) fn forget_account(&self) -> Result<(), CertificateError> {
        let path = self.folder.join("account.json");
        fs::rename(&path, path.with_extension("json.unknown")).map_err(file(&path))
    }

    /// How the attempts for these names went.
    pub(super) fn attempts(&self, names: &[String]) -> Attempts {
        let kept: Option<Attempts> = self.json("attempts.json");
        kept.filter(|it| it.names == names)
            .unwrap_or_else(|| Attempts { names: names.to_vec(), ..Attempts::default() })
    }

    pub(super) fn keep_attempts(&self, attempts: &Attempts) -> Result<(), CertificateError> {
        self.keep_json("attempts.json", attempts)
    }

    /// Where the attempts are kept: who has mended what was wrong, and removes it, need not wait.
    pub(super) fn attempts_path(&self) -> PathBuf {
        self.folder.join("attempts.json")
    }

    /// The certificate with its chain and key, if there is one that can be read.
    pub(super) fn certificate(&self) -> Option<Served> {
        let path = self.certificate_path();
        if !path.exists() {
            return None;
        }
        let read = bounded(&path).and_then(|text| self.read_certificate(&text));
        read.map_err(|error| complain(&path, &error.into())).ok()
    }

    /// Keeps a certificate that [`Kept::read_certificate`] can read.
    pub(super) fn keep_certificate(&self, text: &[u8]) -> Result<(), CertificateError> {
        replace(&self.certificate_path(), text)
    }

    /// Reads a certificate: its key and its chain in PEM, in one text so that they change as one.
    pub(super) fn read_certificate(&self, text: &[u8]) -> Result<Served, CertificateError> {
        let path = &self.certificate_path();
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let key = PrivateKeyDer::from_pem_slice(text).map_err(pem(path, "key"))?;
        usable(chain.map_err(pem(path, "certificate"))?, key, path)
    }

    fn certificate_path(&self) -> PathBuf {
        self.folder.join("certificate.pem")
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        let path = self.folder.join(name);
        if !path.exists() {
            return None;
        }
        let bytes = bounded(&path).map_err(|error| complain(&path, &error.into())).ok()?;
        let read = serde_json::from_slice(&bytes);
        // What stands there may be a key: only where it is wrong is said.
        read.map_err(|error| complain(&path, &anyhow!("its line {} is not right", error.line())))
            .ok()
    }

    fn keep_json(&self, name: &str, value: &impl Serialize) -> Result<(), CertificateError> {
        let path = self.folder.join(name);
        let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::from);
        replace(&path, &bytes.map_err(file(&path))?)
    }
}

fn complain(path: &Path, error: &anyhow::Error) {
    tracing::warn!(
        path = %path.display(),
        error = format!("{error:#}"),
        "what was kept for getting certificates cannot be read and counts as absent: it is made anew"
    );
}

/// Puts a file into the place of another, whole or not at all, for its owner's eyes only.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), CertificateError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut options = File::options();
        // One that an earlier process left there may be open to others.
        let _none_there = fs::remove_file(&beside);
        let mut opened = options.write(true).create_new(true).mode(0o600).open(&beside)?;
        opened.write_all(bytes)?;
        opened.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(path.parent().unwrap_or_else(|| Path::new(".")))?.sync_all()
    };
    write().map_err(file(path))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{super::super::tests::pair, *};

    const DIRECTORY: &str = "https://ca.test/dir";

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|it| (*it).to_owned()).collect()
    }

    #[test]
    fn what_is_kept_is_whole_and_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path(), DIRECTORY).unwrap();
        let asked = names(&["a.test"]);
        assert!(kept.certificate().is_none() && kept.account().is_none());
        assert_eq!(kept.attempts(&asked).failures, 0);
        let attempts = Attempts {
            names: asked.clone(),
            failures: 3,
            failed_ms: Some(1),
            next_ms: 2,
            wished_ms: None,
        };
        kept.keep_attempts(&attempts).unwrap();
        let (chain, key) = pair("a.test");
        // The file that a process left which ended while it wrote.
        fs::write(kept.folder.join("certificate.new"), "half").unwrap();
        let text = [key, chain].concat();
        let served = kept.read_certificate(text.as_bytes()).unwrap();
        kept.keep_certificate(text.as_bytes()).unwrap();

        let again = Kept::open(folder.path(), DIRECTORY).unwrap();
        assert_eq!(again.attempts(&asked), attempts);
        assert_eq!(again.attempts(&names(&["a.test", "b.test"])).failures, 0, "other names");
        assert_eq!(again.certificate().unwrap().key.cert, served.key.cert);
        for entry in fs::read_dir(&again.folder).unwrap() {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{:?}", entry.path());
        }
        let elsewhere = Kept::open(folder.path(), "https://other.test/dir").unwrap();
        assert!(elsewhere.certificate().is_none());
        assert_eq!(elsewhere.attempts(&asked).failures, 0);
    }

    #[test]
    fn damaged_files_count_as_absent() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::open(folder.path(), DIRECTORY).unwrap();
        let (chain, key) = pair("a.test");
        let (other, _) = pair("a.test");
        let asked = names(&["a.test"]);
        let long = "x".repeat(2 * 1024 * 1024);
        for broken in ["", "{", "[]", "{\"names\": 1}", "\0", &chain[..40], &chain, &key, &long] {
            for name in ["account.json", "attempts.json", "certificate.pem"] {
                fs::write(kept.folder.join(name), broken).unwrap();
            }
            assert!(kept.account().is_none(), "{broken:.40}");
            assert_eq!(kept.attempts(&asked).next_ms, 0, "{broken:.40}");
            assert!(kept.certificate().is_none(), "{broken:.40}");
        }
        let of_another = [key, other].concat();
        assert!(kept.read_certificate(of_another.as_bytes()).is_err());
        // An account with a key that is none is found out by who would sign with it.
        let account = "{\"directory\":\"\",\"contact\":null,\"credentials\":{\"id\":\"x\",\"key_pkcs8\":\"!\"}}";
        fs::write(kept.folder.join("account.json"), account).unwrap();
        assert!(kept.account().is_none());
    }
}
