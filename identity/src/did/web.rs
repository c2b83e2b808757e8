//! did:web: a document at an address that the DID names.

use url::Url;
use wayside_specs::Did;

use super::{DidError, Document, place};

/// Where the document is.
pub fn address(did: &Did) -> Result<Url, DidError> {
    place::address(did.id(), "did.json")
}

/// Reads what stood there, which must be the document of this very DID.
pub fn read(did: &Did, bytes: &[u8]) -> Result<Document, DidError> {
    let document = Document::read(bytes)?;
    if document.id() != did {
        return Err(DidError::OtherSubject(document.id().to_string()));
    }
    Ok(document)
}
