//! DID documents: the keys of a subject, what each is for, and where the subject is to be found.

use serde_json::{Map, Value};
use wayside_specs::{Did, limits};

use super::DidError;
use crate::{
    json::{self, canonical},
    key::{KeyKind, PublicKey, from_base58},
    proof::Purpose,
};

/// The contexts of the documents that are written here.
pub const CONTEXT: [&str; 3] = [
    "https://www.w3.org/ns/did/v1",
    "https://w3id.org/security/multikey/v1",
    "https://w3id.org/security/suites/jws-2020/v1",
];

/// A DID document (W3C DID 1.0, section 5), read and bounded.
///
/// Ids that begin with `#` are taken as those of the document itself. A method whose key is of a kind
/// that is not known here stays in the document, and verifies nothing; one whose key contradicts its
/// own kind makes the document none.
#[derive(Clone, Debug)]
pub struct Document {
    id: Did,
    controllers: Vec<String>,
    also_known_as: Vec<String>,
    methods: Vec<Method>,
    relationships: Vec<(Purpose, String)>,
    services: Vec<Service>,
    value: Value,
}

/// A verification method.
#[derive(Clone, Debug)]
pub struct Method {
    /// Its DID URL, in full.
    pub id: String,
    /// Who holds the key.
    pub controller: String,
    /// The key, where its kind is known here.
    pub key: Option<PublicKey>,
}

/// A service of the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its DID URL, in full.
    pub id: String,
    /// Its types.
    pub types: Vec<String>,
    /// Where it is, in whatever form the type has.
    pub endpoint: Value,
}

impl Document {
    /// Reads a document from its bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, DidError> {
        if bytes.len() > limits::DID_DOCUMENT_BYTES {
            let most = limits::DID_DOCUMENT_BYTES;
            return Err(DidError::TooLarge { what: "the DID document", most });
        }
        Self::from_value(json::read(bytes)?)
    }

    /// Reads a document from JSON.
    pub fn from_value(value: Value) -> Result<Self, DidError> {
        let members = value.as_object().ok_or(DidError::BadDocument("it is no object"))?;
        let id = members.get("id").and_then(Value::as_str);
        let id = id.and_then(|id| id.parse::<Did>().ok());
        let id = id.ok_or(DidError::BadDocument("its id is no DID"))?;
        let controllers = texts(members.get("controller"))?;
        if !controllers.iter().all(|it| it.parse::<Did>().is_ok()) {
            return Err(DidError::BadDocument("a controller is no DID"));
        }
        let mut reading = Reading { id: &id, methods: Vec::new(), relationships: Vec::new() };
        for method in list(members.get("verificationMethod"))? {
            reading.method(method)?;
        }
        for purpose in Purpose::ALL {
            for named in list(members.get(purpose.as_str()))? {
                reading.relationship(purpose, named)?;
            }
        }
        let Reading { methods, relationships, .. } = reading;
        let services = list(members.get("service"))?.iter().map(|it| service(&id, it));
        let services = services.collect::<Result<_, _>>()?;
        let also_known_as = texts(members.get("alsoKnownAs"))?;
        Ok(Self { id, controllers, also_known_as, methods, relationships, services, value })
    }

    /// Whose document it is.
    #[must_use]
    pub fn id(&self) -> &Did {
        &self.id
    }

    /// Who may change it, where it says so.
    #[must_use]
    pub fn controllers(&self) -> &[String] {
        &self.controllers
    }

    /// Other names of the subject, each of which has to say so too before it is believed.
    #[must_use]
    pub fn also_known_as(&self) -> &[String] {
        &self.also_known_as
    }

    /// All its methods.
    #[must_use]
    pub fn methods(&self) -> &[Method] {
        &self.methods
    }

    /// The key of a method, if the document lets it be used for that.
    #[must_use]
    pub fn key(&self, method: &str, purpose: Purpose) -> Option<&PublicKey> {
        self.keys(purpose).find(|found| found.id == method)?.key.as_ref()
    }

    /// The key of a method that is the subject's own: the document names it below its own id and lets it be
    /// used for that, and nobody else controls it.
    #[must_use]
    pub fn own_key(&self, method: &str, purpose: Purpose) -> Option<&PublicKey> {
        let below = method.strip_prefix(self.id.as_str()).is_some_and(|it| it.starts_with('#'));
        let found = self.keys(purpose).find(|found| below && found.id == method)?;
        found.key.as_ref().filter(|_| found.controller == self.id.as_str())
    }

    /// The methods that may be used for something.
    pub fn keys(&self, purpose: Purpose) -> impl Iterator<Item = &Method> {
        let named = self.relationships.iter().filter(move |(of, _)| *of == purpose);
        named.filter_map(|(_, id)| self.methods.iter().find(|method| method.id == *id))
    }

    /// The ids of all methods under a purpose, also of such as stand in documents of others.
    pub fn named(&self, purpose: Purpose) -> impl Iterator<Item = &str> {
        let named = self.relationships.iter().filter(move |(of, _)| *of == purpose);
        named.map(|(_, id)| id.as_str())
    }

    /// Where the subject is to be found.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// The document as it was read.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }
}

struct Reading<'d> {
    id: &'d Did,
    methods: Vec<Method>,
    relationships: Vec<(Purpose, String)>,
}

impl Reading<'_> {
    /// Takes a method in, and gives its id.
    fn method(&mut self, value: &Value) -> Result<String, DidError> {
        let members = value.as_object();
        let members = members.ok_or(DidError::BadDocument("a verification method is no object"))?;
        let id = full_id(self.id, members.get("id"))?;
        let controller = members.get("controller").and_then(Value::as_str);
        // Logs of did:webvh leave it out, and mean the subject.
        let controller = controller.unwrap_or(self.id.as_str()).to_owned();
        if controller.parse::<Did>().is_err() {
            return Err(DidError::BadDocument("the controller of a verification method is no DID"));
        }
        if self.methods.iter().any(|known| known.id == id) {
            return Err(DidError::BadDocument("two verification methods have one id"));
        }
        if self.methods.len() >= limits::DID_DOCUMENT_ITEMS {
            return Err(DidError::BadDocument("it has too many verification methods"));
        }
        let key = key(members)?;
        self.methods.push(Method { id: id.clone(), controller, key });
        Ok(id)
    }

    fn relationship(&mut self, purpose: Purpose, value: &Value) -> Result<(), DidError> {
        let id = match value {
            Value::String(_) => full_id(self.id, Some(value))?,
            embedded => self.method(embedded)?,
        };
        self.relationships.push((purpose, id));
        Ok(())
    }
}

/// The key of a method: none where its form or kind is not known here.
fn key(members: &Map<String, Value>) -> Result<Option<PublicKey>, DidError> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let kind = text("type").ok_or(DidError::BadDocument("a verification method has no type"))?;
    let forms = ["publicKeyMultibase", "publicKeyJwk", "publicKeyBase58"];
    if forms.iter().filter(|form| members.contains_key(**form)).count() > 1 {
        return Err(DidError::BadDocument("a verification method holds its key twice"));
    }
    let key = match kind {
        "Multikey" | "Ed25519VerificationKey2020" | "X25519KeyAgreementKey2020" => {
            text("publicKeyMultibase").map(PublicKey::from_multikey)
        }
        "JsonWebKey2020" | "JsonWebKey" => members.get("publicKeyJwk").map(PublicKey::from_jwk),
        // Types that once came with a key in either of two forms.
        _ => match (text("publicKeyBase58"), members.get("publicKeyJwk"), kind_of(kind)) {
            (Some(text), _, Some(kind)) => {
                Some(from_base58(text).and_then(|bytes| PublicKey::new(kind, bytes)))
            }
            (None, Some(jwk), Some(_)) => Some(PublicKey::from_jwk(jwk)),
            _ => None,
        },
    };
    let key = key.transpose()?;
    let fits = match (&key, kind_of(kind)) {
        (Some(key), Some(kind)) => key.kind() == kind,
        _ => true,
    };
    if fits { Ok(key) } else { Err(DidError::BadDocument("a key in it is of another type")) }
}

/// The kind of key that a type of methods holds, where it is one.
fn kind_of(method: &str) -> Option<KeyKind> {
    Some(match method {
        "Ed25519VerificationKey2018" | "Ed25519VerificationKey2020" => KeyKind::Ed25519,
        "X25519KeyAgreementKey2019" | "X25519KeyAgreementKey2020" => KeyKind::X25519,
        "EcdsaSecp256k1VerificationKey2019" => KeyKind::Secp256k1,
        "P256Key2021" => KeyKind::P256,
        "Bls12381G1Key2020" => KeyKind::Bls12381G1,
        "Bls12381G2Key2020" => KeyKind::Bls12381G2,
        _ => return None,
    })
}

fn service(of: &Did, value: &Value) -> Result<Service, DidError> {
    let members = value.as_object().ok_or(DidError::BadDocument("a service is no object"))?;
    let id = full_id(of, members.get("id"))?;
    let types = texts(members.get("type"))?;
    let endpoint = members.get("serviceEndpoint").cloned();
    let endpoint = endpoint.filter(|it| it.is_string() || it.is_object() || it.is_array());
    let endpoint = endpoint.ok_or(DidError::BadDocument("a service has no endpoint"))?;
    if types.is_empty() {
        return Err(DidError::BadDocument("a service has no type"));
    }
    Ok(Service { id, types, endpoint })
}

/// An id in full: of another document as it is, of this one with its DID in front.
fn full_id(of: &Did, value: Option<&Value>) -> Result<String, DidError> {
    let text = value.and_then(Value::as_str);
    let text = text.ok_or(DidError::BadDocument("an id is missing, or is no text"))?;
    if text.len() > limits::DID_BYTES + limits::URL_BYTES {
        return Err(DidError::BadDocument("an id is too long"));
    }
    if text.starts_with('#') { Ok(format!("{of}{text}")) } else { Ok(text.to_owned()) }
}

fn list(value: Option<&Value>) -> Result<&[Value], DidError> {
    match value {
        None => Ok(&[]),
        Some(Value::Array(items)) if items.len() <= limits::DID_DOCUMENT_ITEMS => Ok(items),
        Some(Value::Array(_)) => Err(DidError::BadDocument("a list in it is too long")),
        Some(_) => Err(DidError::BadDocument("a list in it is none")),
    }
}

/// One text or several.
fn texts(value: Option<&Value>) -> Result<Vec<String>, DidError> {
    let items = match value {
        Some(one @ Value::String(_)) => std::slice::from_ref(one),
        other => list(other)?,
    };
    let texts = items.iter().map(|item| match item {
        Value::String(text) if text.len() <= limits::URL_BYTES => Ok(text.clone()),
        _ => Err(DidError::BadDocument("a list of texts in it holds something else")),
    });
    texts.collect()
}

impl PartialEq for Document {
    /// Two documents are one if they say the same, in whatever order its members stand.
    fn eq(&self, other: &Self) -> bool {
        canonical(&self.value) == canonical(&other.value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Document;
    use crate::{key::SigningKey, proof::Purpose};

    fn document() -> Value {
        let key = SigningKey::from_seed([1; 32]).public().to_multikey();
        json!({
            "id": "did:web:a.example",
            "alsoKnownAs": ["matrix:u/ada:a.example"],
            "verificationMethod": [
                {"id": "#own", "type": "Multikey", "controller": "did:web:a.example",
                 "publicKeyMultibase": key},
                {"id": "did:web:a.example#odd", "type": "KeyOfTomorrow",
                 "controller": "did:web:a.example", "publicKeyTomorrow": "?"},
            ],
            "authentication": ["#own", "did:web:a.example#odd", "did:web:b.example#key"],
            "assertionMethod": [{"id": "#other", "type": "Multikey",
                "controller": "did:web:a.example", "publicKeyMultibase": key}],
            "service": [{"id": "#home", "type": "MatrixHomeserver",
                "serviceEndpoint": "https://a.example"}],
        })
    }

    #[test]
    fn a_key_is_good_for_what_the_document_says() {
        let read = Document::from_value(document()).unwrap();
        let (own, other) = ("did:web:a.example#own", "did:web:a.example#other");
        assert!(read.key(own, Purpose::Authentication).is_some());
        assert!(read.key(own, Purpose::AssertionMethod).is_none());
        assert!(read.key(other, Purpose::AssertionMethod).is_some());
        assert!(read.key(other, Purpose::Authentication).is_none());
        assert!(read.key("did:web:a.example#odd", Purpose::Authentication).is_none());
        assert!(read.key("did:web:b.example#key", Purpose::Authentication).is_none());
        assert_eq!(read.also_known_as(), ["matrix:u/ada:a.example"]);
        assert_eq!(read.services()[0].id, "did:web:a.example#home");
    }

    #[test]
    fn what_is_no_document_is_refused() {
        let key = SigningKey::from_seed([1; 32]).public();
        let point = key.to_x25519().unwrap().to_multikey();
        let method = |member: &str, value: Value| {
            let mut document = document();
            document["verificationMethod"][0][member] = value;
            document
        };
        let with = |member: &str, value: Value| {
            let mut document = document();
            document[member] = value;
            document
        };
        for broken in [
            json!([]),
            with("id", json!("a.example")),
            with("id", Value::Null),
            with("controller", json!("nobody")),
            with("alsoKnownAs", json!([7])),
            with("alsoKnownAs", json!(["a".repeat(3_000)])),
            with("alsoKnownAs", json!(vec!["a"; 201])),
            with("authentication", json!({"id": "#own"})),
            with("authentication", json!([7])),
            with("assertionMethod", json!([{"id": "#own", "type": "Multikey"}])),
            with("service", json!([{"id": "#home", "type": []}])),
            with("service", json!([{"id": "#home", "type": "Home", "serviceEndpoint": 7}])),
            method("id", json!(7)),
            method("id", json!("did:web:a.example#odd")),
            method("type", json!(["Multikey"])),
            method("controller", json!("ada")),
            method("publicKeyMultibase", json!("z6Mk")),
            method("publicKeyJwk", key.to_jwk().unwrap()),
            {
                let mut document = method("type", json!("Ed25519VerificationKey2020"));
                document["verificationMethod"][0]["publicKeyMultibase"] = json!(point);
                document
            },
        ] {
            assert!(Document::from_value(broken.clone()).is_err(), "{broken}");
        }
        let large = with("more", json!("a".repeat(wayside_specs::limits::DID_DOCUMENT_BYTES)));
        assert!(Document::read(large.to_string().as_bytes()).is_err());
        assert!(Document::read(br#"{"id":"did:web:a.example","id":"did:web:b.example"}"#).is_err());
    }
}
