//! Decentralized identifiers: how each method finds a document, and what makes one trustworthy.
//!
//! [`plan`] says what has to be known to resolve a DID: nothing (did:key and did:jwk hold their
//! document in their name), or what stands at an address. Whoever does the fetching hands the bytes to
//! [`web::read`] or [`webvh::History::read`], which decide. The methods are those of
//! `specs/identity.md`: did:key 0.9, did:jwk, did:web and did:webvh 1.0.
//!
//! ```
//! use wayside_identity::did::{Plan, plan};
//! use wayside_specs::Did;
//!
//! let ada: Did = "did:web:example.org:people:ada".parse()?;
//! let Plan::Web(address) = plan(&ada)? else { unreachable!() };
//! assert_eq!(address.as_str(), "https://example.org/people/ada/did.json");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod document;
mod key;
pub mod place;
pub mod web;
pub mod webvh;

use url::Url;
use wayside_specs::Did;

pub use document::{Document, Method, Service};

use crate::{json::NoJson, key::NoKey, proof::ProofError};

/// What has to be fetched to resolve a DID.
#[derive(Debug)]
pub enum Plan {
    /// Nothing.
    Known(Box<Document>),
    /// The document, at this address.
    Web(Url),
    /// The log, at [`webvh::Place::log`], and the proofs of witnesses beside it where it has some.
    Webvh(webvh::Place),
}

/// Why a DID has no document.
#[derive(Debug, thiserror::Error)]
pub enum DidError {
    /// It is of a method that is not known here.
    #[error(
        "DIDs of the method {0:?} are not known here: did:key, did:jwk, did:web and did:webvh are"
    )]
    UnknownMethod(String),
    /// It breaks the rules of its method.
    #[error("the DID is none of its method: {0}")]
    BadDid(&'static str),
    /// What was fetched is no JSON that can be trusted.
    #[error(transparent)]
    NoJson(#[from] NoJson),
    /// What was fetched is larger than it may be.
    #[error("{what} is larger than {most} bytes")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Most bytes of it.
        most: usize,
    },
    /// What was fetched is no document.
    #[error("the DID document is none: {0}")]
    BadDocument(&'static str),
    /// What was fetched is the document of somebody else.
    #[error("the DID document is that of {0}")]
    OtherSubject(String),
    /// A key in it is none.
    #[error(transparent)]
    NoKey(#[from] NoKey),
    /// The log breaks a rule.
    #[error("version {version} of the log of the DID: {why}")]
    BadLog {
        /// The version, counted from 1.
        version: usize,
        /// The rule.
        why: webvh::Fault,
    },
}

impl DidError {
    /// The word of DID resolution for it (did-resolution, section 4.3; the test suite of did:webvh).
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownMethod(_) => "methodNotSupported",
            Self::BadDocument(_) | Self::NoKey(_) | Self::OtherSubject(_) => "invalidDidDocument",
            Self::BadDid(_) | Self::NoJson(_) | Self::TooLarge { .. } => "invalidDid",
            Self::BadLog { why, .. } => match why {
                webvh::Fault::Proof(ProofError::Expired(_) | ProofError::FromTheFuture(_)) => {
                    "invalidDid"
                }
                webvh::Fault::Proof(_) | webvh::Fault::OtherSigner(_) => "invalidProof",
                webvh::Fault::Parameters(_) | webvh::Fault::NotCommitted => "invalidParameters",
                _ => "invalidDid",
            },
        }
    }
}

/// What to fetch for a DID.
pub fn plan(did: &Did) -> Result<Plan, DidError> {
    match did.method() {
        "key" => key::document(did).map(|it| Plan::Known(Box::new(it))),
        "jwk" => key::jwk_document(did).map(|it| Plan::Known(Box::new(it))),
        "web" => web::address(did).map(Plan::Web),
        "webvh" => webvh::Place::of(did).map(Plan::Webvh),
        other => Err(DidError::UnknownMethod(other.to_owned())),
    }
}
