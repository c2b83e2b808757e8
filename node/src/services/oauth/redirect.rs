//! Where a program sends its person from, and where they are sent back to.

use serde::Deserialize;
use url::Url;

use super::{CODE, Refusal, Scope, client::Metadata, may};
use crate::services::Error;

/// Most bytes of what a program wants to have back as it was.
const STATE_BYTES: usize = 4_096;
/// Bytes of a SHA-256 in base64url.
const CHALLENGE_BYTES: usize = 43;
/// Schemes that mean no other program but something to do in this page or on this machine.
const DANGEROUS: [&str; 8] =
    ["javascript", "data", "vbscript", "file", "blob", "about", "view-source", "filesystem"];

/// What a program asks for by sending its person to the sign-in page (RFC 6749, 4.1.1; RFC 7636).
#[derive(Clone, Debug, Deserialize)]
pub struct Authorization {
    /// The program.
    pub client_id: String,
    /// Where to go back to.
    pub redirect_uri: String,
    #[serde(default)]
    response_type: String,
    #[serde(default)]
    response_mode: Option<String>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    code_challenge: Option<String>,
    #[serde(default)]
    code_challenge_method: Option<String>,
}

/// Where to go back to, and in which part of the address to say what.
pub(super) struct Target {
    url: Url,
    fragment: bool,
    state: Option<String>,
}

impl Authorization {
    /// Where to go back to. A program that wants its person sent elsewhere than it said, or that
    /// does not say how, is told nothing: nobody is sent anywhere for it.
    pub(super) fn target(&self, client: &Metadata) -> Result<Target, Refusal> {
        let wrong = |why| Refusal::new("invalid_request", why);
        if !client.returns_to(&self.redirect_uri) {
            return Err(wrong("redirect_uri is none of those that the program registered"));
        }
        let url = Url::parse(&self.redirect_uri);
        let url = url.map_err(|_| wrong("redirect_uri is no address"))?;
        let fragment = match self.response_mode.as_deref() {
            None | Some("query") => false,
            Some("fragment") => true,
            Some(_) => return Err(wrong("response_mode is query or fragment")),
        };
        if self.state.as_ref().is_some_and(|state| state.len() > STATE_BYTES) {
            return Err(wrong("state has at most 4,096 bytes"));
        }
        Ok(Target { url, fragment, state: self.state.clone() })
    }

    /// What the program may be let have, and the challenge that it will answer for it.
    pub(super) fn checked(&self, client: &Metadata) -> Result<(Scope, String), Refusal> {
        if self.response_type != "code" {
            return Err(Refusal::new("unsupported_response_type", "response_type is code"));
        }
        may(client, CODE)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let challenge = self
            .code_challenge
            .as_deref()
            .filter(|it| it.len() == CHALLENGE_BYTES && it.chars().all(plain));
        match (challenge, self.code_challenge_method.as_deref()) {
            (Some(challenge), Some("S256")) => {
                Ok((Scope::read(&self.scope)?, challenge.to_owned()))
            }
            _ => Err(Refusal::new(
                "invalid_request",
                "code_challenge is a SHA-256 in base64url, code_challenge_method is S256",
            )),
        }
    }
}

impl Target {
    /// The address with these words in it, with what the program wants to have back, and with who
    /// says it (RFC 9207).
    pub(super) fn with(mut self, words: &[(&str, &str)], issuer: &str) -> String {
        let mut all: Vec<(&str, &str)> = words.to_vec();
        all.extend(self.state.as_deref().map(|state| ("state", state)));
        all.push(("iss", issuer));
        if self.fragment {
            let text =
                url::form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
            self.url.set_fragment(Some(&text));
        } else {
            self.url.query_pairs_mut().extend_pairs(all);
        }
        self.url.into()
    }

    pub(super) fn refused(self, refusal: &Refusal, issuer: &str) -> String {
        self.with(&[("error", refusal.code), ("error_description", &refusal.why)], issuer)
    }
}

/// An address to which somebody can be sent with a login token.
pub(super) fn plain(redirect: &str) -> Result<Url, Error> {
    let wrong = || Error::Invalid("redirectUrl is an address of a page or program".to_owned());
    let url = Url::parse(redirect).map_err(|_| wrong())?;
    if redirect.len() > STATE_BYTES || DANGEROUS.contains(&url.scheme()) {
        return Err(wrong());
    }
    Ok(url)
}

/// The address with the token behind all that stands in it.
pub(super) fn with_login_token(mut url: Url, token: &str) -> String {
    url.query_pairs_mut().append_pair("loginToken", token);
    url.into()
}

/// Who is behind an address, for people: its host, or the program that its scheme stands for.
pub(super) fn shown(url: &Url) -> String {
    url.host_str().map_or_else(|| format!("{}:", url.scheme()), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_behind_what_the_address_holds() {
        let target = |fragment| Target {
            url: Url::parse("https://a.test/cb?x=1").unwrap(),
            fragment,
            state: Some("a b&c".to_owned()),
        };
        let words = [("code", "c")];
        assert_eq!(
            target(false).with(&words, "https://n/"),
            "https://a.test/cb?x=1&code=c&state=a+b%26c&iss=https%3A%2F%2Fn%2F"
        );
        assert_eq!(
            target(true).with(&words, "https://n/"),
            "https://a.test/cb?x=1#code=c&state=a+b%26c&iss=https%3A%2F%2Fn%2F"
        );
    }

    #[test]
    fn a_login_token_goes_to_pages_and_programs_alone() {
        for good in
            ["https://a.test/?x=1", "http://localhost:1/", "element://connect", "io.app:/cb"]
        {
            let url = plain(good).unwrap();
            assert!(with_login_token(url, "t").contains("loginToken=t"), "{good}");
        }
        let wrong =
            ["", "a", "/a", "javascript:alert(1)", "JavaScript:a", "data:text/html,a", "file:///a"];
        for bad in wrong {
            assert!(plain(bad).is_err(), "{bad}");
        }
        assert!(plain(&format!("https://a.test/{}", "x".repeat(5_000))).is_err());
        assert_eq!(shown(&plain("https://a.test/b").unwrap()), "a.test");
        assert_eq!(shown(&plain("io.app:/cb").unwrap()), "io.app:");
    }
}
