//! Requests that servers sign, and the header that carries the signature (server-server API, "Request Authentication").

use ruma::{OwnedServerName, ServerName};
use serde_json::json;

use crate::{
    canonical::{self, CanonicalError},
    key::{KeyError, PublicKeys, ServerKey},
};

/// The scheme of the header.
const SCHEME: &str = "X-Matrix";
/// Most bytes of a header that are read.
const HEADER_BYTES: usize = 4 * 1024;

/// Why a request is not known to come from a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The header is none of this scheme.
    #[error("a request of a server carries `Authorization: X-Matrix`")]
    OtherScheme,
    /// The header does not parse.
    #[error("reading the X-Matrix header: {0}")]
    BadHeader(String),
    /// The body is no JSON.
    #[error("reading the body of a signed request: {0}")]
    BadBody(#[from] CanonicalError),
    /// The signature is wrong, or of a key that is not known.
    #[error("checking the signature of a request: {0}")]
    BadSignature(#[from] KeyError),
}

/// What a request asks, as far as its signature covers it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method of HTTP.
    pub method: &'a str,
    /// The path and the query, from `/_matrix` on.
    pub uri: &'a str,
    /// The body, for requests that have one.
    pub content: Option<&'a str>,
}

impl Request<'_> {
    /// The value of the `Authorization` header by which `origin` says that it asks `destination`.
    pub fn sign(
        self,
        origin: &ServerName,
        destination: &ServerName,
        key: &ServerKey,
    ) -> Result<String, RequestError> {
        let text = self.text(origin, Some(("destination", destination)))?;
        let signature = key.sign_bytes(text.as_bytes());
        Ok(format!(
            r#"{SCHEME} origin="{origin}",destination="{destination}",key="{}",sig="{signature}""#,
            key.key_id()
        ))
    }

    /// The same for an identity server. The ones in use (Sydent, and Synapse as it asks them) have its
    /// name under `destination_is` in what is signed, and nowhere in the header.
    pub fn sign_for_identity_server(
        self,
        origin: &ServerName,
        destination: &ServerName,
        key: &ServerKey,
    ) -> Result<String, RequestError> {
        let text = self.text(origin, Some(("destination_is", destination)))?;
        let signature = key.sign_bytes(text.as_bytes());
        Ok(format!(r#"{SCHEME} origin="{origin}",key="{}",sig="{signature}""#, key.key_id()))
    }

    /// The canonical JSON that is signed, with who is asked under that name.
    fn text(
        self,
        origin: &ServerName,
        destination: Option<(&str, &ServerName)>,
    ) -> Result<String, CanonicalError> {
        let text = |value: &str| json!(value).to_string();
        let mut parts = Vec::with_capacity(5);
        if let Some(content) = self.content {
            parts.push(format!(r#""content":{}"#, canonical::normal(content)?));
        }
        if let Some((name, destination)) = destination {
            parts.push(format!("{}:{}", text(name), text(destination.as_str())));
        }
        parts.push(format!(r#""method":{}"#, text(self.method)));
        parts.push(format!(r#""origin":{}"#, text(origin.as_str())));
        parts.push(format!(r#""uri":{}"#, text(self.uri)));
        Ok(format!("{{{}}}", parts.join(",")))
    }
}

/// What the header says. Nothing is believed yet: call [`XMatrix::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XMatrix {
    /// The server that says it asks.
    pub origin: OwnedServerName,
    /// The server that it wants to ask; older servers leave it out.
    pub destination: Option<OwnedServerName>,
    /// The id of the key with which it signs.
    pub key_id: String,
    signature: String,
}

impl XMatrix {
    /// Reads the value of an `Authorization` header (RFC 9110, section 11.4). As servers in use
    /// write them, values with colons are taken without quotes too.
    pub fn parse(header: &str) -> Result<Self, RequestError> {
        let (scheme, rest) = header.split_once(' ').ok_or(RequestError::OtherScheme)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(RequestError::OtherScheme);
        }
        let bad = |why: &str| RequestError::BadHeader(why.to_owned());
        if rest.len() > HEADER_BYTES {
            return Err(bad("it is too long"));
        }
        let (mut origin, mut destination, mut key, mut signature) = (None, None, None, None);
        for (name, value) in parameters(rest).ok_or_else(|| bad("want name=\"value\", ..."))? {
            let slot = match name.to_ascii_lowercase().as_str() {
                "origin" => &mut origin,
                "destination" => &mut destination,
                "key" => &mut key,
                "sig" => &mut signature,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(bad(&format!("{name} stands there twice")));
            }
        }
        let server = |name: String| {
            OwnedServerName::try_from(name).map_err(|error| bad(&format!("server name: {error}")))
        };
        Ok(Self {
            origin: server(origin.ok_or_else(|| bad("origin is missing"))?)?,
            destination: destination.map(server).transpose()?,
            key_id: key.ok_or_else(|| bad("key is missing"))?,
            signature: signature.ok_or_else(|| bad("sig is missing"))?,
        })
    }

    /// Checks that the origin signed this request with the key that it names.
    pub fn verify(&self, request: Request<'_>, keys: &PublicKeys) -> Result<(), RequestError> {
        let named = self.destination.as_deref().map(|it| ("destination", it));
        let text = request.text(&self.origin, named)?;
        keys.verify_bytes(&self.origin, &self.key_id, &self.signature, text.as_bytes())?;
        Ok(())
    }
}

/// The parameters of a header: names and values, the quotes and backslashes taken away.
fn parameters(mut rest: &str) -> Option<Vec<(&str, String)>> {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(found);
        }
        let (name, behind) = rest.split_once('=')?;
        let name = name.trim_end_matches([' ', '\t']);
        let is_token =
            |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_token) {
            return None;
        }
        let behind = behind.trim_start_matches([' ', '\t']);
        let (value, behind) = if let Some(quoted) = behind.strip_prefix('"') {
            unquote(quoted)?
        } else {
            let end = behind.find([',', ' ', '\t']).unwrap_or(behind.len());
            (behind[..end].to_owned(), &behind[end..])
        };
        found.push((name, value));
        rest = behind.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// The text up to the closing quote, and what stands behind that.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(letters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use ruma::{CanonicalJsonValue, owned_server_name, server_name};

    use super::*;

    fn key() -> ServerKey {
        ServerKey::from_seed([3; 32], "k1").unwrap()
    }

    fn known() -> PublicKeys {
        let mut keys = PublicKeys::new();
        keys.insert(server_name!("a.test"), "ed25519:k1", &key().public_key_base64()).unwrap();
        keys
    }

    const ASKED: Request<'_> = Request {
        method: "PUT",
        uri: "/_matrix/federation/v1/send/1?x=%2F",
        content: Some(r#"{ "b": [1, 2.5, {"z": "é", "a": null}], "a": "\u0041" }"#),
    };

    /// The story `addresses` holds it against Sydent.
    #[test]
    fn identity_servers_are_named_in_what_is_signed_alone() {
        let (from, to) = (server_name!("a.test"), server_name!("id.test"));
        let header = ASKED.sign_for_identity_server(from, to, &key()).unwrap();
        assert!(!header.contains("destination") && !header.contains(", "), "{header}");
        let text = ASKED.text(from, Some(("destination_is", to))).unwrap();
        assert!(text.contains(r#","destination_is":"id.test","method":"#), "{text}");
        assert!(header.ends_with(&format!(r#"sig="{}""#, key().sign_bytes(text.as_bytes()))));
    }

    #[test]
    fn what_is_signed_verifies_and_nothing_else_does() {
        let header = ASKED.sign(server_name!("a.test"), server_name!("b.test"), &key()).unwrap();
        let read = XMatrix::parse(&header).unwrap();
        assert_eq!(read.origin, "a.test");
        assert_eq!(read.destination.as_deref(), Some(server_name!("b.test")));
        assert_eq!(read.verify(ASKED, &known()), Ok(()));
        // The same JSON in other words.
        let same =
            Request { content: Some(r#"{"a":"A","b":[1,2.5,{"a":null,"z":"é"}]}"#), ..ASKED };
        assert_eq!(read.verify(same, &known()), Ok(()));
        for other in [
            Request { method: "GET", ..ASKED },
            Request { uri: "/_matrix/federation/v1/send/2?x=%2F", ..ASKED },
            Request { uri: "/_matrix/federation/v1/send/1?x=/", ..ASKED },
            Request { content: None, ..ASKED },
            Request { content: Some("{}"), ..ASKED },
        ] {
            assert!(matches!(read.verify(other, &known()), Err(RequestError::BadSignature(_))));
        }
        for wrong in [
            XMatrix { origin: owned_server_name!("c.test"), ..read.clone() },
            XMatrix { destination: None, ..read.clone() },
            XMatrix { destination: Some(owned_server_name!("c.test")), ..read.clone() },
            XMatrix { key_id: "ed25519:k2".to_owned(), ..read.clone() },
            XMatrix { signature: "AAAA".to_owned(), ..read.clone() },
            XMatrix { signature: "\u{e9}".to_owned(), ..read.clone() },
        ] {
            assert!(matches!(wrong.verify(ASKED, &known()), Err(RequestError::BadSignature(_))));
        }
        let no_json = Request { content: Some("{"), ..ASKED };
        assert!(matches!(read.verify(no_json, &known()), Err(RequestError::BadBody(_))));
    }

    /// The text that is signed is the one that the specification describes, key by key.
    #[test]
    fn the_signed_text_is_canonical() {
        let text = ASKED
            .text(server_name!("a.test"), Some(("destination", server_name!("b.test"))))
            .unwrap();
        assert_eq!(
            text,
            r#"{"content":{"a":"A","b":[1,2.5,{"a":null,"z":"é"}]},"destination":"b.test","method":"PUT","origin":"a.test","uri":"/_matrix/federation/v1/send/1?x=%2F"}"#
        );
        let get = Request { content: None, ..ASKED };
        let object = canonical::parse_object(&get.text(server_name!("a.test"), None).unwrap());
        let object = object.unwrap();
        assert_eq!(object.get("origin").and_then(CanonicalJsonValue::as_str), Some("a.test"));
        assert!(!object.contains_key("content") && !object.contains_key("destination"));
    }

    #[test]
    fn headers_are_read_as_servers_write_them() {
        let wanted = |destination: Option<&str>| XMatrix {
            origin: owned_server_name!("a.test:8448"),
            destination: destination.map(|it| it.try_into().unwrap()),
            key_id: "ed25519:k1".to_owned(),
            signature: "a+b/c".to_owned(),
        };
        for (header, destination) in [
            (
                r#"X-Matrix origin="a.test:8448",destination="b.test",key="ed25519:k1",sig="a+b/c""#,
                Some("b.test"),
            ),
            (r#"X-Matrix origin="a.test:8448",key="ed25519:k1",sig="a+b/c""#, None),
            ("x-matrix  origin=a.test:8448, key=ed25519:k1 , sig=a+b/c", None),
            (
                r#"X-Matrix Sig="a+b/c",KEY="ed25519:k\1",,ORIGIN = "a.test:8448",more="x\"y,z""#,
                None,
            ),
        ] {
            assert_eq!(XMatrix::parse(header), Ok(wanted(destination)), "{header}");
        }
        for wrong in [
            "",
            "Bearer abc",
            "X-Matrix",
            "X-Matrix ",
            r#"X-Matrix origin="a.test",key="ed25519:k1""#,
            r#"X-Matrix origin="a.test",sig="x""#,
            r#"X-Matrix key="ed25519:k1",sig="x""#,
            r#"X-Matrix origin="a test",key="ed25519:k1",sig="x""#,
            r#"X-Matrix origin="a.test",destination="",key="ed25519:k1",sig="x""#,
            r#"X-Matrix origin="a.test",origin="b.test",key="ed25519:k1",sig="x""#,
            r#"X-Matrix origin="a.test",key="ed25519:k1",sig="x"#,
            r#"X-Matrix origin="a.test" key="ed25519:k1" sig="x""#,
            r#"X-Matrix origin="a.test",key="ed25519:k1",sig="x"y"#,
            r#"X-Matrix origin="a.test",k ey="ed25519:k1",sig="x""#,
        ] {
            assert!(XMatrix::parse(wrong).is_err(), "{wrong}");
        }
        let long =
            format!(r#"X-Matrix origin="a.test",key="ed25519:k1",sig="{}""#, "x".repeat(5_000));
        assert!(XMatrix::parse(&long).is_err());
    }

    #[test]
    fn no_header_makes_it_panic() {
        bolero::check!().with_type::<String>().for_each(|text| {
            let _read = XMatrix::parse(&format!("X-Matrix {text}"));
        });
    }
}
