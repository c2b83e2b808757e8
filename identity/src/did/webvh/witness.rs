//! Whether enough witnesses stand by every version of a log that needs them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wayside_specs::limits;

use super::{Fault, Version, Witnesses, signer, verify as verify_proof};
use crate::{json, proof::Proof, time::Moment};

/// Most records of a file, and proofs of one, that are looked at.
const RECORDS: usize = 2 * limits::DID_LOG_ENTRIES;

/// Judges the versions by the file of proofs; the first that lacks witnesses is named by its index.
///
/// Whoever stands by a version stands by all before it (section "The Witness Proofs File"); proofs of
/// versions that are not in the log say nothing, and one that does not verify is as good as none.
pub(super) fn verify(versions: &[Version], file: Option<&[u8]>) -> Result<(), (usize, Fault)> {
    let needed: Vec<_> = (0..versions.len()).map(|index| active(versions, index)).collect();
    let Some(first) = needed.iter().position(Option::is_some) else { return Ok(()) };
    let file = json::read(file.unwrap_or(b"[]")).map_err(|error| (first, error.into()))?;
    let claimed = claims(versions, &file).map_err(|fault| (first, fault))?;
    let mut stands = BTreeMap::new();
    for (index, witnesses) in needed.iter().enumerate() {
        let Some(witnesses) = witnesses else { continue };
        let mut stand = |key: &&String| {
            let last = stands.entry((*key).clone());
            // By numbers, which begin at 1: whoever stands by none is less than the first index.
            *last.or_insert_with(|| last_proven(claimed.get(*key))) > Some(index)
        };
        let found = witnesses.keys.iter().filter(|key| stand(key)).count();
        if found < witnesses.threshold {
            return Err((index, Fault::Unwitnessed { found, needed: witnesses.threshold }));
        }
    }
    Ok(())
}

/// Who has to stand by a version: those of the version before it; its own where that had none.
fn active(versions: &[Version], index: usize) -> Option<&Witnesses> {
    let before =
        index.checked_sub(1).and_then(|before| versions[before].parameters.witness.as_ref());
    before.or(versions[index].parameters.witness.as_ref())
}

/// A proof that somebody claims to have made of a version, by the version's number.
type Claim<'v> = (usize, &'v Version, Proof);

/// What the file holds for each key, the last version first.
fn claims<'v>(
    versions: &'v [Version],
    file: &Value,
) -> Result<BTreeMap<String, Vec<Claim<'v>>>, Fault> {
    let records = file.as_array().filter(|records| records.len() <= RECORDS);
    let records = records.ok_or(Fault::Entry("the file of witnesses is no list, or too long"))?;
    let mut claims: BTreeMap<String, Vec<Claim<'v>>> = BTreeMap::new();
    for record in records {
        let id = record["versionId"].as_str().and_then(|id| id.parse::<super::VersionId>().ok());
        let version = id.and_then(|id| {
            let version = versions.get(id.number.checked_sub(1)?)?;
            (version.id == id).then_some(version)
        });
        let (Some(version), Some(proofs)) = (version, record["proof"].as_array()) else { continue };
        for proof in proofs.iter().take(limits::DID_PARAMETER_ITEMS) {
            let Ok(proof) = Proof::read(proof) else { continue };
            let Ok((key, _)) = signer(&proof) else { continue };
            claims.entry(key).or_default().push((version.id.number, version, proof));
        }
    }
    for of_key in claims.values_mut() {
        of_key.sort_by_key(|(number, ..)| std::cmp::Reverse(*number));
    }
    Ok(claims)
}

/// The number of the last version that somebody verifiably stands by.
fn last_proven(claims: Option<&Vec<Claim<'_>>>) -> Option<usize> {
    let proven = claims?.iter().find(|(_, version, proof)| {
        let signed = json!({"versionId": version.id.to_string()});
        // Their time is that of the version, which was judged: a proof of it stays one.
        signer(proof).is_ok_and(|(_, key)| {
            verify_proof(proof, &signed, &key, proof.created().unwrap_or(Moment(0))).is_ok()
        })
    });
    proven.map(|(number, ..)| *number)
}
