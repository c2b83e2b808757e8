//! What a JSON-LD document says, as the text that a Data Integrity proof of the `rdfc` kind signs.
//!
//! [`canonical`] reads the document as JSON-LD 1.1 (W3C Recommendation, expansion and
//! deserialisation to RDF in one walk) and writes the dataset as canonical N-Quads after RDFC-1.0
//! (W3C Recommendation, with SHA-256).
//!
//! Its invariant: what is not in the text is not in the document. A property or a type that no
//! context defines, a null, an empty array, a relative address: each would vanish on the way to RDF,
//! and whoever holds the credential could change it under a signature that stays valid. Each is
//! therefore an error, and so is every JSON-LD feature that credentials do not use (`@direction`,
//! `@graph`, `@included`, `@index`, `@list`, `@nest`, `@reverse`, `@set` and contexts written into
//! the document). To refuse is safe; to read differently from the issuer is not. Of an array, RDF
//! keeps neither the order nor how often an item stands in it, and a signature covers neither.
//!
//! Its bounds: a document has [`MAX_BYTES`] and [`MAX_DEPTH`], the text [`MAX_TEXT`], and the search
//! for labels of blank nodes [`MAX_WORK`], because RDFC-1.0 takes exponential time on graphs made
//! for it.

mod canonical;
mod context;
mod reading;

use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

pub(crate) use self::context::is_iri;
use self::{
    canonical::Canonicaliser,
    context::{Entry, Members},
    reading::Reader,
};

/// The longest document, in bytes of its JSON without spaces.
pub const MAX_BYTES: usize = 64 * 1024;
/// How many objects and arrays may lie in one another.
pub const MAX_DEPTH: usize = 64;
/// How often a document may name a context, over all its objects.
pub const MAX_CONTEXTS: usize = 256;
/// The longest canonical text, in bytes: a long identifier is repeated in each of its statements.
pub const MAX_TEXT: usize = 1024 * 1024;
/// The most work to tell blank nodes apart, in bytes hashed and copied.
pub const MAX_WORK: usize = 16 * 1024 * 1024;
/// The longest way from one blank node to another that is walked to tell them apart.
pub const MAX_HOPS: usize = 256;

/// Contexts by their address: each a whole document with its `@context` member.
pub type Contexts = BTreeMap<String, Value>;

/// Why a document has no canonical text here; names stand as they do in the document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A context at an address that is not bundled; nothing is ever fetched.
    #[error("reading a document: its context {0:?} is not one of the bundled contexts")]
    UnknownContext(String),
    /// A context that is written out, or null, where an address should stand.
    #[error("reading a document: a context must be the address of a bundled context")]
    InlineContext,
    /// A protected term that two contexts define differently.
    #[error("reading a document: its contexts define {0:?} in two ways")]
    Conflict(String),
    /// A property or a type that no context defines, and that a signature would not cover.
    #[error("reading a document: no context defines {0:?}")]
    UndefinedTerm(String),
    /// An identifier that is no absolute IRI, and that a signature would not cover.
    #[error("reading a document: {0:?} is not an absolute IRI")]
    NotAnIri(String),
    /// A property that says nothing in RDF (null, an empty array), so that no signature covers it.
    #[error("reading a document: {0:?} holds an empty value, which cannot be signed")]
    Dropped(String),
    /// A keyword of JSON-LD that is not read here.
    #[error("reading a document: {0:?} is not supported")]
    Unsupported(String),
    /// What is not JSON-LD.
    #[error("reading a document: {0}")]
    Malformed(&'static str),
    /// More than [`MAX_BYTES`], [`MAX_CONTEXTS`] or [`MAX_TEXT`].
    #[error("reading a document: it is larger than canonical text is made of here")]
    TooLarge,
    /// More than [`MAX_DEPTH`].
    #[error("reading a document: it is nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// More than [`MAX_WORK`] or [`MAX_HOPS`]: too many blank nodes that look alike.
    #[error("reading a document: its nodes without an id are too many and too alike to be ordered")]
    TooTangled,
    /// A term of a context of ours that uses what is not read here; no bundled one does, as tested.
    #[error("reading a context: the definition of {0:?} is not supported")]
    BadContext(String),
}

/// The canonical N-Quads (RDFC-1.0, SHA-256) of a JSON-LD document, whose contexts are all bundled.
///
/// The caller takes `proof` off a secured document before, or gives the options of a proof with the
/// context of the document. The answer does not depend on the order of keys.
pub fn canonical(document: &Value) -> Result<String, Error> {
    canonical_with(document, &Contexts::new())
}

/// The same with further contexts that the caller vouches for; a bundled address stays what it is.
pub fn canonical_with(document: &Value, more: &Contexts) -> Result<String, Error> {
    let mut left = MAX_BYTES;
    measure(document, MAX_DEPTH, &mut left)?;
    let Value::Object(root) = document else {
        return malformed("a document must be an object");
    };
    let (quads, blanks) = Reader::read(root, more)?;
    Canonicaliser::new(&quads, blanks).run()
}

/// What types an object is of, as addresses, by the contexts that it names or holds.
///
/// Nothing else is judged: by its types alone a reader knows what something is to be taken for.
pub(crate) fn types(document: &Members, more: &Contexts) -> Result<Vec<String>, Error> {
    let mut context = context::Active::default();
    let named = document.get("@context").map(many).unwrap_or_default();
    if named.len() > MAX_CONTEXTS {
        return Err(Error::TooLarge);
    }
    for one in named {
        let local = match one {
            Value::String(address) => {
                let found = bundled().get(address).or_else(|| more.get(address));
                let local = found.and_then(|document| document.get("@context"));
                local.ok_or_else(|| Error::UnknownContext(address.clone()))?
            }
            held @ Value::Object(_) => {
                measure(held, MAX_DEPTH, &mut { MAX_BYTES })?;
                held
            }
            _ => return malformed("a context must be an address or an object"),
        };
        context = context.apply(local, Entry::Named)?;
    }
    let types = document.get("type").map(many).unwrap_or_default().iter().filter_map(Value::as_str);
    let address = |name: &str| {
        let iri = context.iri(name, true).filter(|iri| is_iri(iri));
        iri.ok_or_else(|| Error::UndefinedTerm(name.to_owned()))
    };
    types.map(address).collect()
}

fn malformed<T>(why: &'static str) -> Result<T, Error> {
    Err(Error::Malformed(why))
}

fn dropped<T>(property: &str) -> Result<T, Error> {
    Err(Error::Dropped(property.to_owned()))
}

fn unsupported<T>(keyword: &str) -> Result<T, Error> {
    Err(Error::Unsupported(keyword.to_owned()))
}

/// The items of an array, or the one that stands for itself.
fn many(value: &Value) -> &[Value] {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice)
}

/// Holds a document against its limits before anything else walks it; `left` counts down.
fn measure(value: &Value, depth: usize, left: &mut usize) -> Result<(), Error> {
    let own = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.len() + 2,
        Value::Object(members) => members.keys().map(|key| key.len() + 4).sum::<usize>() + 2,
    };
    *left = left.checked_sub(own).ok_or(Error::TooLarge)?;
    let is_empty = |item: &Value| item.as_array().is_some_and(Vec::is_empty);
    if value.as_array().is_some_and(|items| items.iter().any(is_empty)) {
        // RDF has no lists in lists: an empty one among others leaves no trace.
        return dropped("[]");
    }
    let inner = depth.checked_sub(1).ok_or(Error::TooDeep);
    match value {
        Value::Array(items) => {
            inner.and_then(|depth| items.iter().try_for_each(|item| measure(item, depth, left)))
        }
        Value::Object(members) => inner
            .and_then(|depth| members.values().try_for_each(|member| measure(member, depth, left))),
        _ => Ok(()),
    }
}

/// The contexts that every node knows, parsed once.
fn bundled() -> &'static Contexts {
    static BUNDLED: OnceLock<Contexts> = OnceLock::new();
    BUNDLED.get_or_init(|| {
        [
            ("https://www.w3.org/ns/credentials/v2", ssi_contexts::CREDENTIALS_V2),
            ("https://www.w3.org/2018/credentials/v1", ssi_contexts::CREDENTIALS_V1),
            ("https://w3id.org/security/data-integrity/v2", ssi_contexts::W3ID_DATA_INTEGRITY_V2),
            ("https://w3id.org/security/data-integrity/v1", ssi_contexts::W3ID_DATA_INTEGRITY_V1),
            ("https://w3id.org/security/multikey/v1", ssi_contexts::W3ID_MULTIKEY_V1),
            ("https://www.w3.org/ns/did/v1", ssi_contexts::DID_V1),
            ("https://w3id.org/security/suites/ed25519-2020/v1", ssi_contexts::W3ID_ED2020_V1),
            (crate::credential::OWN_CONTEXT, include_str!("../../specs/credentials.json")),
        ]
        .into_iter()
        .map(|(address, text)| {
            let context = serde_json::from_str(text).expect("a bundled context is JSON, as tested");
            (address.to_owned(), context)
        })
        .collect()
    })
}

/// A part of a statement, as it is written; blank nodes are numbered as they are met.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// An IRI or a literal in its canonical spelling.
    Fixed(Arc<str>),
    Blank(usize),
}

impl Part {
    fn iri(iri: &str) -> Self {
        Self::Fixed(format!("<{iri}>").into())
    }
}

/// One statement: subject, object and graph can be blank, the predicate cannot.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Quad {
    subject: Part,
    predicate: Arc<str>,
    object: Part,
    graph: Option<Part>,
}

impl Quad {
    /// The blank nodes of a statement, each with its place.
    fn blanks(&self) -> impl Iterator<Item = (usize, char)> + use<> {
        let blank = |part: Option<&Part>, place| match part {
            Some(Part::Blank(blank)) => Some((*blank, place)),
            _ => None,
        };
        let (subject, object) = (blank(Some(&self.subject), 's'), blank(Some(&self.object), 'o'));
        [subject, object, blank(self.graph.as_ref(), 'g')].into_iter().flatten()
    }

    fn line<L: AsRef<str>>(&self, label: impl Fn(usize) -> L) -> String {
        let predicate = Part::iri(&self.predicate);
        let mut line = String::new();
        for part in [&self.subject, &predicate, &self.object].into_iter().chain(&self.graph) {
            match part {
                Part::Fixed(text) => line.push_str(text),
                Part::Blank(blank) => line.push_str(label(*blank).as_ref()),
            }
            line.push(' ');
        }
        line + ".\n"
    }
}

#[cfg(test)]
mod tests;
