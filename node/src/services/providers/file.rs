//! What the operator's files say of providers of identities, read strictly.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use url::{Host, Url};

/// Most providers of a node: each is a button on the page.
const PROVIDERS: usize = 16;
/// Largest file in bytes.
const FILE_BYTES: usize = 16 * 1024;
/// Longest id.
const ID_CHARS: usize = 32;
/// Longest name, which stands on a button.
const NAME_CHARS: usize = 40;

/// A file as the operator writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderFile {
    id: String,
    name: String,
    issuer: String,
    client_id: String,
    client_secret: Option<String>,
    #[serde(default = "usual_scopes")]
    scopes: Vec<String>,
    #[serde(default = "newcomers_may_come")]
    registration: bool,
    brand: Option<String>,
}

/// Somebody else who knows people (`OpenID` Connect Core 1.0), as its file describes it.
#[derive(Debug)]
pub struct Provider {
    /// What clients call it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose look its button has, in the words of the client-server API.
    pub brand: Option<String>,
    /// Whether those whom it knows may make accounts.
    pub registration: bool,
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    /// What the node asks for, parted by spaces.
    pub(super) scope: String,
}

fn usual_scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

fn newcomers_may_come() -> bool {
    true
}

/// Reads the files that the settings name.
pub(super) fn read(files: &[PathBuf]) -> anyhow::Result<Vec<Provider>> {
    ensure!(files.len() <= PROVIDERS, "identity_providers names more than {PROVIDERS} files");
    let mut all: Vec<Provider> = Vec::new();
    for path in files {
        let provider = one(path).with_context(|| format!("reading {}", path.display()))?;
        if let Some(other) =
            all.iter().find(|it| it.id == provider.id || it.issuer == provider.issuer)
        {
            bail!(
                "{} describes the same provider as the file of {:?}: each has an id and an issuer of \
                 its own",
                path.display(),
                other.id
            );
        }
        all.push(provider);
    }
    Ok(all)
}

fn one(path: &Path) -> anyhow::Result<Provider> {
    let text = fs::read_to_string(path)?;
    ensure!(text.len() <= FILE_BYTES, "the file has more than {FILE_BYTES} bytes");
    let said: ProviderFile = toml::from_str(&text)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    let id = &said.id;
    ensure!(
        (1..=ID_CHARS).contains(&id.len()) && id.chars().all(plain),
        "id has 1 to {ID_CHARS} small letters, digits, - and _"
    );
    ensure!(id != super::BY_DID, "id is not {:?}: people come by that of their own", super::BY_DID);
    let name = said.name.trim();
    ensure!(
        (1..=NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control),
        "name has 1 to {NAME_CHARS} characters: people read it on a button"
    );
    let issuer =
        Url::parse(&said.issuer).context("issuer is an address such as https://id.example.org")?;
    ensure!(
        is_sealed(&issuer) && issuer.query().is_none() && issuer.fragment().is_none(),
        "issuer begins with https:// and has neither ? nor #: it is written as the provider itself writes it"
    );
    ensure!(
        !said.client_id.is_empty(),
        "client_id is the name that the provider gave to this node"
    );
    ensure!(
        said.client_secret.as_ref().is_none_or(|it| !it.is_empty()),
        "client_secret is empty: leave it out where the provider gave none"
    );
    let word = |scope: &String| !scope.is_empty() && scope.chars().all(|c| c.is_ascii_graphic());
    ensure!(
        said.scopes.iter().all(word) && said.scopes.iter().any(|it| it == "openid"),
        "scopes are words without spaces, and \"openid\" is one of them"
    );
    Ok(Provider {
        id: said.id,
        name: name.to_owned(),
        brand: said.brand,
        registration: said.registration,
        issuer: said.issuer,
        client_id: said.client_id,
        client_secret: said.client_secret,
        scope: said.scopes.join(" "),
    })
}

/// Whether nobody on the way reads along: HTTPS, or a provider on this machine.
pub(super) fn is_sealed(url: &Url) -> bool {
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    let bare = url.username().is_empty() && url.password().is_none();
    bare && (url.scheme() == "https" || (url.scheme() == "http" && local))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "id = \"club\"\nname = \"The Club\"\nissuer = \"https://id.example.org\"\n\
                        client_id = \"wayside\"\n";

    fn complaint(files: &[String]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .enumerate()
            .map(|(number, text)| {
                let path = folder.path().join(format!("{number}.toml"));
                fs::write(&path, text).unwrap();
                path
            })
            .collect();
        read(&paths).err().map(|error| format!("{error:#}"))
    }

    #[test]
    fn a_file_says_what_is_needed_and_nothing_else() {
        assert_eq!(complaint(&[GOOD.to_owned()]), None);
        let local = GOOD.replace("https://id.example.org", "http://localhost:9000/a");
        assert_eq!(complaint(&[GOOD.to_owned(), local.replace("club", "other")]), None);
        for (from, to, word) in [
            ("\"club\"", "\"The Club\"", "small letters"),
            ("\"club\"", "\"\"", "small letters"),
            ("\"club\"", "\"did\"", "their own"),
            ("\"The Club\"", "\" \"", "on a button"),
            ("https://", "http://", "https://"),
            ("https://id.example.org", "https://ann:secret@id.example.org", "https://"),
            ("https://id.example.org", "https://id.example.org?a=b", "neither ?"),
            ("https://id.example.org", "id", "issuer"),
            ("client_id = \"wayside\"", "", "client_id"),
            ("client_id = \"wayside\"", "client_id = \"\"", "client_id"),
            ("client_id = \"wayside\"", "client_id = \"w\"\nclient_secret = \"\"", "client_secret"),
            ("client_id = \"wayside\"", "client_id = \"w\"\nscopes = [\"email\"]", "openid"),
            ("client_id = \"wayside\"", "client_id = \"w\"\nscopes = [\"openid a\"]", "openid"),
            ("client_id = \"wayside\"", "client_id = \"w\"\nsecret = \"typo\"", "secret"),
        ] {
            let told = complaint(&[GOOD.replace(from, to)]).expect(to);
            assert!(told.contains(word) && told.contains("0.toml"), "{to}: {told}");
        }
        let twice = complaint(&[GOOD.to_owned(), GOOD.replace("club", "other")]).unwrap();
        assert!(twice.contains("1.toml") && twice.contains("issuer"), "{twice}");
        assert!(read(&vec![PathBuf::from("x"); 17]).is_err());
    }
}
