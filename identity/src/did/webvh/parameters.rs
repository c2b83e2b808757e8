//! The parameters of a log: who may write its next version, and by what rules.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use wayside_specs::limits;

use super::{Fault, hash};
use crate::key::PublicKey;

/// The rules that are known here.
pub(super) const METHOD: &str = "did:webvh:1.0";
/// How long a document may be believed where the log does not say, in seconds.
const TTL_S: u64 = 3_600;
/// The longest that a log may say.
const MOST_TTL_S: u64 = 1 << 31;

/// What is in force from a version on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// The keys, as Multikeys, one of which signs the next version; of this version, if it was
    /// committed to.
    pub update_keys: Vec<String>,
    /// Hashes of the keys of the next version. While there are some, no other key can come.
    pub next_key_hashes: Vec<String>,
    /// Who has to stand by every version, if anybody.
    pub witness: Option<Witnesses>,
    /// Where copies of the log are kept.
    pub watchers: Vec<String>,
    /// Whether the DID may move to another place.
    pub portable: bool,
    /// Whether this was the end.
    pub deactivated: bool,
    /// How long the document may be believed, in seconds.
    pub ttl_s: u64,
}

/// Who has to stand by a version, and how many of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witnesses {
    /// How many.
    pub threshold: usize,
    /// Their keys, as Multikeys.
    pub keys: BTreeSet<String>,
}

impl Parameters {
    /// Whether only keys that were committed to may come next.
    #[must_use]
    pub fn commits(&self) -> bool {
        !self.next_key_hashes.is_empty()
    }

    /// What is in force after a version says so, and the SCID where it is the first.
    pub(super) fn after(
        before: Option<&Self>,
        said: &Map<String, Value>,
    ) -> Result<(Self, Option<String>), Fault> {
        const NAMES: [&str; 9] = [
            "method",
            "scid",
            "updateKeys",
            "nextKeyHashes",
            "witness",
            "watchers",
            "portable",
            "deactivated",
            "ttl",
        ];
        if !said.keys().all(|name| NAMES.contains(&name.as_str())) {
            return Err(Fault::Parameters("one is not known in did:webvh 1.0"));
        }
        method(said.get("method"), before.is_none())?;
        let scid = match (said.get("scid"), before) {
            (Some(Value::String(scid)), None) => Some(scid.clone()),
            (None, Some(_)) => None,
            _ => {
                return Err(Fault::Parameters(
                    "scid stands in the first version, and nowhere else",
                ));
            }
        };
        let mut now = before.cloned().unwrap_or_else(Self::first);
        if let Some(keys) = texts(said, "updateKeys", KEYS)? {
            now.update_keys = keys;
        } else if before.is_none() {
            return Err(Fault::Parameters("the first version must name its updateKeys"));
        }
        if let Some(hashes) = texts(said, "nextKeyHashes", KEYS)? {
            now.next_key_hashes = hashes;
        }
        if let Some(watchers) = texts(said, "watchers", (limits::DID_WATCHERS, limits::URL_BYTES))?
        {
            now.watchers = watchers;
        }
        if let Some(before) = before.filter(|before| before.commits()) {
            before.commits_to(said, &now)?;
        }
        if let Some(witness) = said.get("witness") {
            now.witness = witnesses(witness)?;
        }
        if let Some(portable) = truth(said, "portable")? {
            if portable && before.is_some_and(|before| !before.portable) {
                return Err(Fault::Parameters("portable may be said in the first version only"));
            }
            now.portable = portable;
        }
        if let Some(deactivated) = truth(said, "deactivated")? {
            now.deactivated = deactivated;
        }
        match said.get("ttl") {
            None => {}
            Some(Value::Null) => now.ttl_s = TTL_S,
            Some(ttl) => {
                let ttl = ttl.as_u64().filter(|ttl| *ttl <= MOST_TTL_S);
                now.ttl_s = ttl.ok_or(Fault::Parameters("ttl is no number of seconds"))?;
            }
        }
        Ok((now, scid))
    }

    fn first() -> Self {
        Self {
            update_keys: Vec::new(),
            next_key_hashes: Vec::new(),
            witness: None,
            watchers: Vec::new(),
            portable: false,
            deactivated: false,
            ttl_s: TTL_S,
        }
    }

    /// Whether the next version has only keys that this one committed to, and commits to its own.
    fn commits_to(&self, said: &Map<String, Value>, next: &Self) -> Result<(), Fault> {
        let both = said.contains_key("updateKeys") && said.contains_key("nextKeyHashes");
        if !both || next.update_keys.is_empty() {
            return Err(Fault::Parameters(
                "a version that was committed to must name its updateKeys and nextKeyHashes",
            ));
        }
        let committed = |key: &String| self.next_key_hashes.contains(&hash(key.as_bytes()));
        if next.update_keys.iter().all(committed) { Ok(()) } else { Err(Fault::NotCommitted) }
    }
}

fn method(said: Option<&Value>, first: bool) -> Result<(), Fault> {
    match said {
        Some(Value::String(method)) if method == METHOD => Ok(()),
        Some(Value::String(other)) => Err(Fault::UnknownRules(other.chars().take(64).collect())),
        Some(_) => Err(Fault::Parameters("method is no text")),
        None if first => Err(Fault::Parameters("the first version must name its method")),
        None => Ok(()),
    }
}

/// Most keys, or hashes of keys, and the longest of them: every version holds all of them.
const KEYS: (usize, usize) = (limits::DID_PARAMETER_ITEMS, 128);

/// A list of so many texts of so many bytes at most; `null` once stood for an empty one.
fn texts(
    said: &Map<String, Value>,
    name: &str,
    (most, bytes): (usize, usize),
) -> Result<Option<Vec<String>>, Fault> {
    let items = match said.get(name) {
        None => return Ok(None),
        Some(Value::Null) => return Ok(Some(Vec::new())),
        Some(Value::Array(items)) if items.len() <= most => items,
        Some(_) => return Err(Fault::Parameters("a list is none, or is too long")),
    };
    let texts = items.iter().map(|item| match item {
        Value::String(text) if text.len() <= bytes => Ok(text.clone()),
        _ => Err(Fault::Parameters("a list of texts holds something else")),
    });
    texts.collect::<Result<_, _>>().map(Some)
}

fn truth(said: &Map<String, Value>, name: &str) -> Result<Option<bool>, Fault> {
    match said.get(name) {
        None => Ok(None),
        Some(Value::Bool(truth)) => Ok(Some(*truth)),
        Some(_) => Err(Fault::Parameters("portable and deactivated are true or false")),
    }
}

/// Section "The `witness` Parameter". What is not empty and yet none is refused, never taken as empty.
fn witnesses(said: &Value) -> Result<Option<Witnesses>, Fault> {
    let wrong = Fault::Parameters;
    let members = match said {
        Value::Null => return Ok(None),
        Value::Object(members) if members.is_empty() => return Ok(None),
        Value::Object(members) => members,
        _ => return Err(wrong("witness is no object")),
    };
    let list = members.get("witnesses").and_then(Value::as_array);
    let list = list.filter(|list| list.len() <= limits::DID_PARAMETER_ITEMS);
    let list = list.ok_or(wrong("the witnesses are no list, or too many"))?;
    let mut keys = BTreeSet::new();
    for witness in list {
        let id = witness.get("id").and_then(Value::as_str);
        let id = id.filter(|id| id.len() <= limits::DID_BYTES);
        let id = id.ok_or(wrong("a witness has no id"))?;
        // Some write the key alone; both are the same witness.
        let key = id.strip_prefix("did:key:").unwrap_or(id);
        let public = PublicKey::from_multikey(key).ok();
        // One key has one text, lest it be counted for two.
        if public.is_none_or(|public| public.to_multikey() != key) {
            return Err(wrong("a witness is no did:key in base 58"));
        }
        if !keys.insert(key.to_owned()) {
            return Err(wrong("a witness stands twice"));
        }
    }
    let threshold = members.get("threshold").and_then(Value::as_u64);
    let threshold = threshold.and_then(|threshold| usize::try_from(threshold).ok());
    let threshold = threshold.filter(|threshold| (1..=keys.len()).contains(threshold));
    let threshold = threshold.ok_or(wrong("the threshold is none of 1 to all witnesses"))?;
    Ok(Some(Witnesses { threshold, keys }))
}
