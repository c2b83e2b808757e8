//! What programs say of themselves, checked (RFC 7591; client-server API, client registration).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::{Host, Url};

use super::Refusal;

/// Most addresses to which a program may be sent back.
const REDIRECTS: usize = 16;
/// Most bytes of one address or name.
const BYTES: usize = 1_024;

/// The grants that a program may use.
pub(super) const CODE: &str = "authorization_code";
pub(super) const REFRESH: &str = "refresh_token";
pub(super) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// Where a program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// In a browser.
    #[default]
    Web,
    /// On a device.
    Native,
}

/// What a program says of itself. What it says beyond, nobody here reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metadata {
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
    client_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    logo_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tos_uri: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_uri: Option<String>,
    #[serde(default)]
    redirect_uris: Vec<String>,
    #[serde(default)]
    application_type: Kind,
    #[serde(default = "only_codes")]
    grant_types: Vec<String>,
    #[serde(default = "only_code")]
    response_types: Vec<String>,
    #[serde(default = "no_secret")]
    token_endpoint_auth_method: String,
}

fn only_codes() -> Vec<String> {
    vec![CODE.to_owned()]
}

fn only_code() -> Vec<String> {
    vec!["code".to_owned()]
}

fn no_secret() -> String {
    "none".to_owned()
}

impl Metadata {
    /// What it calls itself, or where it lives.
    #[must_use]
    pub fn name(&self) -> &str {
        self.client_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(&self.client_uri)
    }

    /// Its home page.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.client_uri
    }

    pub(super) fn may(&self, grant: &str) -> bool {
        self.grant_types.iter().any(|it| it == grant)
    }

    /// The id of a program that says just this.
    pub(super) fn client_id(&self) -> Result<(String, String), serde_json::Error> {
        let text = serde_json::to_string(self)?;
        let hash = Sha256::digest(&text);
        Ok((hex::encode(&hash[..16]), text))
    }

    /// Takes what is understood, or says what is wrong.
    pub(super) fn checked(mut self) -> Result<Self, Refusal> {
        let wrong = |why: &str| Refusal::new("invalid_client_metadata", why);
        let home = https(&self.client_uri).ok_or_else(|| {
            wrong("client_uri is an https address without user, query or fragment")
        })?;
        let host = home.domain().ok_or_else(|| wrong("client_uri names a host by its name"))?;
        if self.client_name.as_ref().is_some_and(|name| name.len() > BYTES || hidden(name)) {
            return Err(wrong("client_name is a line of at most 1,024 bytes"));
        }
        let others = [&self.logo_uri, &self.tos_uri, &self.policy_uri];
        let near = |uri: &String| https(uri).is_some_and(|uri| is_below(&uri, host));
        if !others.into_iter().flatten().all(near) {
            return Err(wrong(
                "logo_uri, tos_uri and policy_uri are https addresses below client_uri's host",
            ));
        }
        if self.token_endpoint_auth_method != "none" {
            return Err(wrong("token_endpoint_auth_method is none: no client has a secret here"));
        }
        self.grant_types.retain(|it| [CODE, REFRESH, DEVICE].contains(&it.as_str()));
        self.response_types.retain(|it| it == "code");
        let codes = self.may(CODE);
        if !codes && !self.may(DEVICE) {
            return Err(wrong("grant_types hold authorization_code or the device grant"));
        }
        if codes && self.response_types.is_empty() {
            return Err(wrong("response_types hold code"));
        }
        let kind = self.application_type;
        let wrong = |why: &str| Refusal::new("invalid_redirect_uri", why);
        if self.redirect_uris.len() > REDIRECTS || (codes && self.redirect_uris.is_empty()) {
            return Err(wrong("there are one to sixteen redirect_uris"));
        }
        if !self.redirect_uris.iter().all(|uri| is_redirect(uri, kind, host)) {
            return Err(wrong(match kind {
                Kind::Web => {
                    "redirect_uris are https addresses below client_uri's host, without fragment"
                }
                Kind::Native => {
                    "redirect_uris are http://localhost, 127.0.0.1 or [::1] without port, addresses \
                     below client_uri's host, or of a scheme that is client_uri's host reversed"
                }
            }));
        }
        Ok(self)
    }

    /// Whether it may be sent back there: for programs on the same machine to any port.
    pub(super) fn returns_to(&self, uri: &str) -> bool {
        let portless = |uri: &str| {
            let mut url = Url::parse(uri).ok().filter(is_loopback)?;
            url.set_port(None).ok().map(|()| url)
        };
        self.redirect_uris.iter().any(|known| {
            known == uri
                || (self.application_type == Kind::Native
                    && portless(known).is_some_and(|known| portless(uri) == Some(known)))
        })
    }
}

fn https(uri: &str) -> Option<Url> {
    let plain = |url: &Url| {
        url.scheme() == "https"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    (uri.len() <= BYTES).then(|| Url::parse(uri).ok()).flatten().filter(plain)
}

fn is_below(url: &Url, host: &str) -> bool {
    let below = |domain: &str| {
        domain == host || domain.strip_suffix(host).is_some_and(|before| before.ends_with('.'))
    };
    url.domain().is_some_and(below)
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && match url.host() {
            Some(Host::Domain(domain)) => domain == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
}

fn is_redirect(uri: &str, kind: Kind, host: &str) -> bool {
    if uri.len() > BYTES {
        return false;
    }
    let Ok(url) = Url::parse(uri) else { return false };
    if url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    let near = url.scheme() == "https" && is_below(&url, host);
    let reversed = host.rsplit('.').collect::<Vec<_>>().join(".");
    // A scheme of a program holds a dot (RFC 8252, 7.1): one without is no program's own, and some
    // such, as `javascript`, mean something to do in the page.
    let own = |scheme: &str| {
        let rest = scheme.strip_prefix(&reversed);
        reversed.contains('.') && rest.is_some_and(|it| it.is_empty() || it.starts_with('.'))
    };
    near || (kind == Kind::Native
        && ((is_loopback(&url) && url.port().is_none())
            || (own(url.scheme()) && !url.has_authority())))
}

/// Whether a text would not show as the line that it is.
fn hidden(text: &str) -> bool {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().any(|c| c.is_control() || turns(c))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(change: &[(&str, Value)]) -> Result<Metadata, Refusal> {
        let mut said = json!({
            "client_name": "App", "client_uri": "https://example.com/",
            "redirect_uris": ["https://app.example.com/back"],
            "grant_types": ["authorization_code", "refresh_token", "other"],
        });
        for (name, value) in change {
            said[name] = value.clone();
        }
        serde_json::from_value::<Metadata>(said).unwrap().checked()
    }

    #[test]
    fn a_program_stays_below_its_own_host() {
        let good = said(&[]).unwrap();
        assert!(good.may(CODE) && good.may(REFRESH) && !good.may("other") && !good.may(DEVICE));
        assert!(good.returns_to("https://app.example.com/back"));
        for other in ["https://app.example.com/back2", "https://app.example.com:1/back", ""] {
            assert!(!good.returns_to(other), "{other}");
        }
        for (name, value) in [
            ("client_uri", json!("http://example.com/")),
            ("client_uri", json!("https://u@example.com/")),
            ("client_uri", json!("https://example.com/?a")),
            ("client_uri", json!("https://127.0.0.1/")),
            ("logo_uri", json!("https://evil.test/a.png")),
            ("tos_uri", json!("https://notexample.com/")),
            ("policy_uri", json!("javascript:alert(1)")),
            ("client_name", json!("a\nb")),
            ("client_name", json!("a\u{202e}b")),
            ("token_endpoint_auth_method", json!("client_secret_basic")),
            ("grant_types", json!(["implicit"])),
            ("response_types", json!(["token"])),
            ("redirect_uris", json!([])),
            ("redirect_uris", json!(["http://example.com/"])),
            ("redirect_uris", json!(["https://example.com/#a"])),
            ("redirect_uris", json!(["https://evil.test/"])),
            ("redirect_uris", json!(["http://localhost/"])),
            ("redirect_uris", json!(["com.example:/back"])),
            ("redirect_uris", json!(vec!["https://example.com/"; 17])),
        ] {
            assert!(said(&[(name, value.clone())]).is_err(), "{name} {value}");
        }
    }

    #[test]
    fn a_scheme_of_the_browser_belongs_to_no_program() {
        for (host, uri) in [
            ("javascript", "javascript:alert(1)//"),
            ("data", "data:text/html,a"),
            ("intent", "intent:a"),
            ("localhost", "localhost:/back"),
        ] {
            let refused = said(&[
                ("application_type", json!("native")),
                ("client_uri", json!(format!("https://{host}/"))),
                ("redirect_uris", json!([uri])),
            ]);
            assert!(refused.is_err(), "{uri}");
        }
    }

    #[test]
    fn a_program_on_a_device_is_sent_back_to_itself() {
        let native = |uri: &str| {
            said(&[("application_type", json!("native")), ("redirect_uris", json!([uri]))])
        };
        for (known, uri, fits) in [
            ("http://localhost/cb", "http://localhost:4711/cb", true),
            ("http://127.0.0.1/cb", "http://127.0.0.1:4711/cb", true),
            ("http://[::1]/cb", "http://[::1]:4711/cb", true),
            ("http://localhost/cb", "http://127.0.0.1:4711/cb", false),
            ("http://localhost/cb", "http://localhost:4711/other", false),
            ("http://localhost/cb", "https://localhost:4711/cb", false),
            ("com.example.app:/cb", "com.example.app:/cb", true),
            ("com.example.app:/cb", "com.example.app:/other", false),
            ("https://example.com/cb", "https://example.com:4711/cb", false),
        ] {
            assert_eq!(native(known).unwrap().returns_to(uri), fits, "{known} {uri}");
        }
        for bad in
            ["com.examples:/cb", "com.example://host/cb", "http://localhost:1/", "javascript:a"]
        {
            assert!(native(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_same_words_make_the_same_program() {
        let (one, _) = said(&[]).unwrap().client_id().unwrap();
        assert_eq!(said(&[("unknown", json!("x"))]).unwrap().client_id().unwrap().0, one);
        assert_ne!(said(&[("client_name", json!("B"))]).unwrap().client_id().unwrap().0, one);
    }
}
