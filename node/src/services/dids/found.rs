//! What resolving a DID gives (DID Resolution 0.3, section 3), or why it gives nothing.

use serde_json::{Map, Value, json};
use url::Url;
use wayside_identity::{
    did::{
        DidError, Document,
        webvh::{History, Version, VersionId},
    },
    time::{self, Moment},
};

use crate::{outbound::CallError, services::Error, store::StoreError};

/// Most accounts that somebody has left of which is said so.
const FORMER_ACCOUNTS: usize = 16;
/// Documents beyond so many bytes are fetched again for whoever asks next.
const LARGE_BYTES: usize = 16 * 1024;

/// A document that was found, and is the subject's.
#[derive(Debug)]
pub struct Resolved {
    /// The document.
    pub document: Document,
    /// What its history says, where it has one.
    pub webvh: Option<Webvh>,
    /// How long it may be believed, in milliseconds.
    pub(super) lasts_ms: i64,
    bytes: usize,
}

/// What is known of a did:webvh beside its document.
#[derive(Debug)]
pub struct Webvh {
    /// What proves itself: by this a person is the same wherever they moved.
    pub scid: String,
    /// The version.
    pub version: VersionId,
    /// From when on it is good.
    pub time: Moment,
    /// When the first version was written.
    pub created: Moment,
    /// When the last was.
    pub updated: Moment,
    /// Whether the person may move.
    pub portable: bool,
    /// Whether the DID has come to its end: nobody is it any more.
    pub deactivated: bool,
    /// The `matrix:` URIs that earlier versions named and the last does not, the latest first: accounts that
    /// the person says they have left, and nothing that was proven.
    pub formerly: Vec<String>,
}

impl Resolved {
    pub(super) fn known(document: Document) -> Self {
        Self { document, webvh: None, lasts_ms: i64::MAX, bytes: 0 }
    }

    pub(super) fn web(document: Document, lasts_ms: i64) -> Self {
        let bytes = document.value().to_string().len();
        Self { document, webvh: None, lasts_ms, bytes }
    }

    pub(super) fn webvh(history: &History, version: &Version, lasts_ms: i64) -> Self {
        let latest = history.latest();
        let webvh = Webvh {
            scid: history.scid().to_owned(),
            version: version.id.clone(),
            time: version.time,
            created: history.versions().first().map_or(latest.time, |first| first.time),
            updated: latest.time,
            portable: version.parameters.portable,
            deactivated: latest.parameters.deactivated,
            formerly: formerly(history),
        };
        Self { webvh: Some(webvh), ..Self::web(version.document.clone(), lasts_ms) }
    }

    pub(super) fn is_large(&self) -> bool {
        self.bytes > LARGE_BYTES
    }

    /// What a resolver answers.
    #[must_use]
    pub fn told(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(webvh) = &self.webvh {
            for (name, value) in [
                ("versionId", webvh.version.to_string().into()),
                ("versionNumber", webvh.version.number.into()),
                ("versionTime", time::write(webvh.time).into()),
                ("created", time::write(webvh.created).into()),
                ("updated", time::write(webvh.updated).into()),
                ("scid", webvh.scid.clone().into()),
                ("portable", webvh.portable.into()),
                ("deactivated", webvh.deactivated.into()),
            ] {
                let _new: Option<Value> = metadata.insert(name.to_owned(), value);
            }
        }
        json!({
            "didDocument": self.document.value(),
            "didDocumentMetadata": metadata,
            "didResolutionMetadata": {"contentType": "application/did"},
        })
    }
}

/// The accounts that earlier versions of a history named and the last does not, the latest first.
fn formerly(history: &History) -> Vec<String> {
    let now = history.latest().document.also_known_as();
    let mut found: Vec<String> = Vec::new();
    for version in history.versions().iter().rev() {
        for name in version.document.also_known_as() {
            let is_new =
                name.starts_with("matrix:u/") && !now.contains(name) && !found.contains(name);
            if is_new && found.len() < FORMER_ACCOUNTS {
                found.push(name.clone());
            }
        }
    }
    found
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The DID, or what was found for it, breaks a rule.
    #[error(transparent)]
    Did(#[from] DidError),
    /// Nobody answered.
    #[error("{url} was asked for the DID, and {why}")]
    Unreached {
        /// Where.
        url: Url,
        /// Why.
        #[source]
        why: CallError,
    },
    /// There is nothing.
    #[error("there is nothing at {0}")]
    Absent(Url),
    /// It has no such version.
    #[error("the DID has no such version")]
    NoVersion,
    /// There is something else.
    #[error("{url} answered {status} when asked for the DID")]
    Answered {
        /// Where.
        url: Url,
        /// The status of HTTP.
        status: u16,
    },
    /// It leads elsewhere, and a DID names its place itself.
    #[error("{0} leads elsewhere: a DID is found at its own address alone")]
    Redirected(Url),
    /// It is older than what was seen, or another history.
    #[error("the log of the DID leaves out or changes what was seen of it before")]
    Older,
    /// Two places that the log names tell different histories.
    #[error("the log of the DID tells different histories in two places")]
    Forked,
    /// Too many are looked for.
    #[error("too many DIDs are looked for just now: try again in a while")]
    Crowded,
    /// It took too long.
    #[error("the DID was not found within 20 s")]
    TooSlow,
    /// Something on this node failed.
    #[error(transparent)]
    Node(#[from] Error),
}

impl From<StoreError> for Unresolved {
    fn from(error: StoreError) -> Self {
        Self::Node(error.into())
    }
}

impl Unresolved {
    /// Whether nobody was there, which says nothing about the DID.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Unreached { .. }
            | Self::Absent(_)
            | Self::Answered { .. }
            | Self::Redirected(_)
            | Self::TooSlow
            | Self::Crowded => true,
            Self::Did(_) | Self::NoVersion | Self::Older | Self::Forked | Self::Node(_) => false,
        }
    }

    /// The word of DID resolution for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Did(error) => error.code(),
            Self::Absent(_) | Self::NoVersion => "notFound",
            Self::Older | Self::Forked => "invalidDid",
            Self::Unreached { .. }
            | Self::Answered { .. }
            | Self::Redirected(_)
            | Self::TooSlow
            | Self::Crowded
            | Self::Node(_) => "internalError",
        }
    }

    /// The status of HTTP for it (DID Resolution 0.3, "HTTP(S) Binding").
    #[must_use]
    pub fn status(&self) -> u16 {
        match (self, self.code()) {
            (Self::Unreached { .. } | Self::Answered { .. } | Self::Redirected(_), _) => 502,
            (Self::TooSlow, _) => 504,
            (Self::Crowded, _) => 503,
            (_, "notFound") => 404,
            (_, "methodNotSupported") => 501,
            (_, "internalError") => 500,
            _ => 400,
        }
    }

    /// What a resolver answers.
    #[must_use]
    pub fn told(&self) -> Value {
        json!({
            "didDocument": null,
            "didDocumentMetadata": {},
            "didResolutionMetadata": {
                "error": self.code(),
                "problemDetails": {"title": "the DID could not be resolved", "detail": self.to_string()},
            },
        })
    }
}
