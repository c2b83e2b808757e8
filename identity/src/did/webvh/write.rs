//! Logs of did:webvh begun and continued: the entry that the next version is, signed.

use serde_json::{Value, json};

use super::{History, SCID, VersionId, hash, parameters::METHOD, replaced};
use crate::{
    json::canonical,
    key::SigningKey,
    proof::{Claims, Proof, Purpose},
    time::{self, Moment},
};

/// What a version is to say.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The parameters that change. Of the first version, `method` and `scid` are added.
    pub parameters: Value,
    /// The document. In the first version `{SCID}` stands wherever the SCID will.
    pub document: Value,
    /// From when on; after the version before.
    pub time: Moment,
}

/// The first line of a log, without a newline, signed by one of its own update keys.
#[must_use]
pub fn begin(draft: &Draft, key: &SigningKey) -> String {
    let mut parameters = draft.parameters.clone();
    parameters["method"] = METHOD.into();
    parameters["scid"] = SCID.into();
    let entry = json!({
        "versionId": SCID,
        "versionTime": time::write(draft.time),
        "parameters": parameters,
        "state": draft.document,
    });
    let scid = hash(canonical(&entry).as_bytes());
    signed(replaced(entry, SCID, &scid), 1, draft.time, key)
}

/// The next line of a log, without a newline, signed by a key that may.
#[must_use]
pub fn go_on(history: &History, draft: &Draft, key: &SigningKey) -> String {
    let before = &history.latest().id;
    let entry = json!({
        "versionId": before.to_string(),
        "versionTime": time::write(draft.time),
        "parameters": draft.parameters,
        "state": draft.document,
    });
    signed(entry, before.number + 1, draft.time, key)
}

/// What stands in `nextKeyHashes` for a key that is to come.
#[must_use]
pub fn commitment(multikey: &str) -> String {
    hash(multikey.as_bytes())
}

/// The proof of a witness over a version.
#[must_use]
pub fn witnessed(version: &VersionId, time: Moment, key: &SigningKey) -> Value {
    sign(&json!({"versionId": version.to_string()}), time, key)
}

fn signed(mut entry: Value, number: usize, time: Moment, key: &SigningKey) -> String {
    let id = VersionId { number, hash: hash(canonical(&entry).as_bytes()) };
    entry["versionId"] = id.to_string().into();
    let proof = sign(&entry, time, key);
    entry["proof"] = json!([proof]);
    entry.to_string()
}

fn sign(value: &Value, created: Moment, key: &SigningKey) -> Value {
    let multikey = key.public().to_multikey();
    let claims = Claims {
        verification_method: &format!("did:key:{multikey}#{multikey}"),
        purpose: Purpose::AssertionMethod,
        created,
        expires: None,
        domain: None,
        challenge: None,
    };
    Proof::sign(value, &claims, key)
}
