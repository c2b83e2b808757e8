//! A peer as the one who asks: requests that are signed, rightly or not (server-server API, "Request Authentication").

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Peer, PeerRequest};
use crate::{Answer, Destination, SigningKey, Wire, verify};

/// How a request is signed.
#[derive(Clone, Copy, Debug)]
pub enum Signing<'a> {
    /// As it should be.
    Right,
    /// Not at all.
    Missing,
    /// With a signature of something else.
    Broken,
    /// With another key, under that key's id.
    By(&'a SigningKey),
    /// For another server than the one that is asked.
    For(&'a str),
    /// Without saying for whom, as servers did before version 1.3.
    ForNobody,
    /// In the name of another server.
    As(&'a str),
}

impl Peer {
    /// Asks another server, signed as it should be. The path goes out, and is signed, as it is.
    pub async fn ask(
        &self,
        to: &Destination,
        method: Method,
        path: &str,
        content: Option<&Value>,
    ) -> Result<Answer> {
        self.ask_signed(to, method, path, content, Signing::Right).await
    }

    /// Asks another server, signed in a way.
    pub async fn ask_signed(
        &self,
        to: &Destination,
        method: Method,
        path: &str,
        content: Option<&Value>,
        signing: Signing<'_>,
    ) -> Result<Answer> {
        let authorization = self.authorization(to, &method, path, content, signing)?;
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(authorization.iter().map(|it| ("authorization", it.as_str())));
        let body = content.map(|content| content.to_string().into_bytes()).unwrap_or_default();
        let door = self.door(to)?;
        door.ask(method.as_str(), path, &headers, &body).await
    }

    /// The door of another server, by the authority that this one trusts.
    pub fn door(&self, to: &Destination) -> Result<Wire> {
        Ok(Wire::secure(&to.url, &self.options.authority, "http/1.1")?.hosted(&to.name))
    }

    /// The header by which it signs a request, or signs it wrongly.
    pub fn authorization(
        &self,
        to: &Destination,
        method: &Method,
        path: &str,
        content: Option<&Value>,
        signing: Signing<'_>,
    ) -> Result<Option<String>> {
        let (mut key, mut origin, mut destination) =
            (&**self.key(), self.server_name(), Some(to.name.as_str()));
        match signing {
            Signing::Missing => return Ok(None),
            Signing::Right | Signing::Broken => {}
            Signing::By(other) => key = other,
            Signing::For(other) => destination = Some(other),
            Signing::ForNobody => destination = None,
            Signing::As(other) => origin = other,
        }
        let signed_path = if matches!(signing, Signing::Broken) { "/" } else { path };
        let object = signed_object(method, signed_path, origin, destination, content);
        let signed = key.sign(origin, &object)?;
        let id = key.id();
        let signature = signed["signatures"][origin][&id].as_str().context("no signature")?;
        let meant = destination.map(|name| format!(",destination=\"{name}\"")).unwrap_or_default();
        let from = format!("origin=\"{origin}\",key=\"{id}\",sig=\"{signature}\"");
        Ok(Some(format!("X-Matrix {from}{meant}")))
    }
}

/// What the header of a signed request says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XMatrix {
    /// Who says to have signed.
    pub origin: String,
    /// For whom.
    pub destination: Option<String>,
    /// With which of its keys.
    pub key: String,
    /// The signature.
    pub signature: String,
}

impl XMatrix {
    /// Reads the header, as strictly as the specification wants it written.
    pub fn parse(header: &str) -> Result<Self> {
        let rest = header.strip_prefix("X-Matrix ").with_context(|| format!("{header:?}"))?;
        let field = |wanted: &str| {
            let mut fields = rest.split(',').filter_map(|field| field.trim().split_once('='));
            let (_, value) = fields.find(|(name, _)| *name == wanted)?;
            Some(value.trim_matches('"').to_owned())
        };
        let must = |wanted: &str| field(wanted).with_context(|| format!("no {wanted}: {header:?}"));
        Ok(Self {
            origin: must("origin")?,
            destination: field("destination"),
            key: must("key")?,
            signature: must("sig")?,
        })
    }

    /// Checks that it signs this request with a key that its origin publishes.
    pub fn verify(&self, request: &PeerRequest, published: &Value) -> Result<()> {
        ensure!(published["server_name"] == self.origin, "keys of another server: {published}");
        let content = (!request.body.is_empty()).then(|| request.json());
        let mut object = signed_object(
            &request.method,
            &request.path,
            &self.origin,
            self.destination.as_deref(),
            content.as_ref(),
        );
        object["signatures"] = json!({ &self.origin: { &self.key: self.signature } });
        verify(&object, &self.origin, published)
    }
}

fn signed_object(
    method: &Method,
    path: &str,
    origin: &str,
    destination: Option<&str>,
    content: Option<&Value>,
) -> Value {
    let mut object = json!({ "method": method.as_str(), "uri": path, "origin": origin });
    if let Some(destination) = destination {
        object["destination"] = json!(destination);
    }
    if let Some(content) = content {
        object["content"] = content.clone();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::XMatrix;

    #[test]
    fn the_header_is_read_field_by_field() {
        let header = r#"X-Matrix origin="a:1",key="ed25519:k",sig="ab+/",destination="b""#;
        let read = XMatrix::parse(header).unwrap();
        assert_eq!((&*read.origin, &*read.key, &*read.signature), ("a:1", "ed25519:k", "ab+/"));
        assert_eq!(read.destination.as_deref(), Some("b"));
        let without = XMatrix::parse("X-Matrix origin=a,key=k,sig=s").unwrap();
        assert_eq!(without.destination, None);
        for wrong in ["", "Bearer a", "X-Matrix origin=a,key=k"] {
            assert!(XMatrix::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
