//! People who show who they are by their DID, on the page of their home.
//!
//! That page holds their keys for them, and is the wallet; this node is the verifier (`OpenID` for Verifiable
//! Presentations 1.0, same-device flow). It is known by where the answer goes (`redirect_uri:`), so that what
//! is signed for one node is worth nothing at another. The challenge is sealed in what the person carries,
//! and answered once.

use std::{sync::Arc, time::Duration};

use ruma::{ServerName, UserId};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};
use url::Url;
use wayside_specs::{Did, limits};

use super::{Presentations, astray};
use crate::{
    config::Registration,
    outbound::{Beyond, Bounds},
    services::{
        Error, Ground, Unproven,
        dids::Dids,
        persons::{MEMBERSHIP, Persons, Shown},
    },
};

/// The service of a DID document that says where its person lives.
const HOME: &str = "WaysideHome";
/// How the answer names the credential that is asked for.
const QUERY: &str = "home";
/// How long a home may take to say where it is, and how much it may say.
const LOOK: Bounds =
    Bounds { bytes: 64 * 1024, beyond: Beyond::Refused, time: Duration::from_secs(10) };
/// How old a document may be that says where somebody lives.
const HOME_FRESH_MS: i64 = 60 * 1_000;

/// The way to homes and what comes back from them.
pub struct Wallets {
    ground: Arc<Ground>,
    dids: Arc<Dids>,
    persons: Arc<Persons>,
}

/// What a node says of itself on its page.
#[derive(Deserialize)]
struct About {
    #[serde(default)]
    dids: bool,
}

/// Where a server says that its clients find it (client-server API, well-known URI).
#[derive(Deserialize)]
struct WellKnown {
    #[serde(rename = "m.homeserver")]
    homeserver: Homeserver,
}

#[derive(Deserialize)]
struct Homeserver {
    base_url: String,
}

/// What is asked of somebody on the page of their home.
pub(super) struct Asking<'a> {
    /// Where the answer goes.
    pub back: &'a str,
    /// What the answer brings back.
    pub state: &'a str,
    /// What is to be signed.
    pub nonce: &'a str,
}

impl Wallets {
    /// The way to homes on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, dids: Arc<Dids>, persons: Arc<Persons>) -> Self {
        Self { ground, dids, persons }
    }

    /// Whether people may come in by a DID: their homes send them back to https names alone.
    pub(super) fn are_taken(&self) -> bool {
        self.persons.are_here()
    }

    /// Whether somebody who comes so may make an account.
    pub(super) fn registration(&self) -> bool {
        self.ground.config.registration == Registration::Open
    }

    /// The page of a home on which its person is asked; `home` is what they typed.
    pub(super) async fn door(&self, home: &str, asking: &Asking<'_>) -> Result<String, Error> {
        if !self.are_taken() {
            return Err(Error::NotFound("nobody comes in here by a DID".to_owned()));
        }
        let mut page = self.home(home).await?;
        page.path_segments_mut().map_err(|()| no_home(home))?.pop_if_empty().push("present");
        let query = json!({"credentials": [{
            "id": QUERY,
            "format": "ldp_vc",
            "meta": {"type_values": [
                ["https://www.w3.org/2018/credentials#VerifiableCredential", MEMBERSHIP],
            ]},
        }]});
        let formats = json!({"ldp_vc": {
            "proof_type_values": ["DataIntegrityProof"],
            "cryptosuite_values": ["eddsa-jcs-2022", "eddsa-rdfc-2022"],
        }});
        let name = self.ground.server_name.as_str();
        let metadata = json!({"client_name": name, "vp_formats_supported": formats});
        page.query_pairs_mut()
            .append_pair("response_type", "vp_token")
            .append_pair("response_mode", "fragment")
            .append_pair("client_id", &client_id(asking.back))
            .append_pair("redirect_uri", asking.back)
            .append_pair("nonce", asking.nonce)
            .append_pair("state", asking.state)
            .append_pair("dcql_query", &query.to_string())
            .append_pair("client_metadata", &metadata.to_string());
        Ok(page.into())
    }

    /// Who answers with that, once.
    pub(super) async fn person(
        &self,
        presentations: &Presentations,
        asking: &Asking<'_>,
        expires_ms: i64,
    ) -> Result<Shown, Error> {
        let shown = match presentations.get(QUERY).map(Vec::as_slice) {
            Some([shown]) if presentations.len() == 1 => shown,
            _ => {
                let why = format!("vp_token must hold one presentation under {QUERY:?}");
                return Err(Unproven::Unshown(why).into());
            }
        };
        let domain = client_id(asking.back);
        let shown = Box::pin(self.persons.shown(shown, &domain, asking.nonce)).await?;
        let challenge: [u8; 32] = Sha256::digest(asking.nonce).into();
        let spend = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.spend_challenge(&challenge, expires_ms).await?) })
        });
        if spend.await? { Ok(shown) } else { Err(astray()) }
    }

    /// The address of the node where somebody lives: by its name, by that of an account or a page there, or
    /// by the DID itself.
    pub(super) async fn home(&self, typed: &str) -> Result<Url, Error> {
        let typed = typed.trim();
        if typed.is_empty() || typed.len() > limits::URL_BYTES {
            return Err(no_name());
        }
        let base = if typed.starts_with("did:") {
            let did: Did = typed.parse().map_err(|why| Error::Invalid(format!("{why}")))?;
            self.home_of(&did).await?
        } else {
            let host = host_of(typed)?;
            if let Some(here) = self.persons.pages().filter(|here| self.is_here(&host, here)) {
                return Ok(here.clone());
            }
            self.found(&host).await?
        };
        let about = base.join("_wayside/v1/node").map_err(|_| no_home(typed))?;
        let answer = self.look(&about).await?.ok_or_else(|| no_home(typed))?;
        let about: Option<About> = serde_json::from_slice(&answer).ok();
        if about.is_some_and(|about| about.dids) { Ok(base) } else { Err(no_home(typed)) }
    }

    /// Whether a host is this node, by its name among servers or that of its pages.
    fn is_here(&self, host: &str, pages: &Url) -> bool {
        let port = pages.port().map(|port| format!(":{port}")).unwrap_or_default();
        let own = pages.host_str().is_some_and(|name| host == format!("{name}{port}"));
        own || host == self.ground.server_name
    }

    async fn home_of(&self, did: &Did) -> Result<Url, Error> {
        let found = self.dids.resolve(did, HOME_FRESH_MS).await;
        let found = found.map_err(|why| Error::NoAnswer(why.to_string()))?;
        let mut services = found.document.services().iter();
        let home = services.find(|service| service.types.iter().any(|kind| kind == HOME));
        let home = home.and_then(|home| home.endpoint.as_str());
        base(home.unwrap_or_default()).ok_or_else(|| no_home(did.as_str()))
    }

    /// Where the clients of a server find it.
    async fn found(&self, host: &str) -> Result<Url, Error> {
        let url = Url::parse(&format!("https://{host}/.well-known/matrix/client"));
        let answer = self.look(&url.map_err(|_| no_name())?).await?.ok_or_else(|| no_home(host))?;
        let read: WellKnown = serde_json::from_slice(&answer).map_err(|_| no_home(host))?;
        base(&read.homeserver.base_url).ok_or_else(|| no_home(host))
    }

    async fn look(&self, url: &Url) -> Result<Option<bytes::Bytes>, Error> {
        let answer = self.ground.outbound.get(url, false, "application/json", LOOK).await;
        let answer = answer.map_err(|why| {
            let host = url.host_str().unwrap_or_default();
            Error::NoAnswer(format!("{host} was asked whether it is your home, and {why}"))
        })?;
        Ok(answer.status.is_success().then_some(answer.bytes))
    }
}

/// By what a home knows this node: where the answer goes.
fn client_id(back: &str) -> String {
    format!("redirect_uri:{back}")
}

/// The base of a node's addresses.
fn base(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok()?;
    let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if url.scheme() != "https" || !bare || url.fragment().is_some() {
        return None;
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

/// The host that somebody means, with a port where there is one.
fn host_of(typed: &str) -> Result<String, Error> {
    if typed.starts_with('@') {
        let user_id = UserId::parse(typed).map_err(|_| no_name())?;
        return Ok(user_id.server_name().to_string());
    }
    if typed.contains("://") {
        let url = Url::parse(typed).ok().filter(|url| url.scheme() == "https");
        let url = url.ok_or_else(no_name)?;
        let host = url.host_str().ok_or_else(no_name)?;
        return Ok(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
    }
    let name = typed.trim_end_matches('/').to_ascii_lowercase();
    <&ServerName>::try_from(name.as_str()).map_err(|_| no_name())?;
    Ok(name)
}

fn no_name() -> Error {
    let why =
        "say your home by its name, as a.example, or by your account there, as @ada:a.example";
    Error::Invalid(why.to_owned())
}

fn no_home(typed: &str) -> Error {
    Error::NotFound(format!("{typed} is no node on which people have DIDs"))
}

#[cfg(test)]
mod tests {
    use super::{base, host_of};

    #[test]
    fn a_home_is_said_in_several_ways() {
        for (typed, host) in [
            ("a.example", Some("a.example")),
            ("A.example:8448", Some("a.example:8448")),
            ("a.example/", Some("a.example")),
            ("@ada:a.example", Some("a.example")),
            ("https://a.example/w/home?x=1", Some("a.example")),
            ("https://a.example:8448", Some("a.example:8448")),
            ("http://a.example", None),
            ("ftp://a.example", None),
            ("@ada", None),
            ("a b", None),
            ("a.example/w/home", None),
            ("eve@a.example", None),
        ] {
            assert_eq!(host_of(typed).ok().as_deref(), host, "{typed}");
        }
    }

    #[test]
    fn the_base_of_a_node_is_an_address_without_more() {
        for (text, found) in [
            ("https://a.example", Some("https://a.example/")),
            ("https://a.example/node", Some("https://a.example/node/")),
            ("http://a.example", None),
            ("https://ada@a.example", None),
            ("https://a.example?x=1", None),
            ("https://a.example#x", None),
            ("", None),
        ] {
            assert_eq!(base(text).as_ref().map(url::Url::as_str), found, "{text}");
        }
    }
}
