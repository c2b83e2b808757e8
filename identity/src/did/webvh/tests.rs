//! Logs written and read, and every way to break one.

use serde_json::{Value, json};
use wayside_specs::limits;

use super::{
    Fault, History, Place, VersionId,
    write::{Draft, begin, commitment, go_on, witnessed},
};
use crate::{did::DidError, key::SigningKey, time::Moment};

const START: i64 = 1_700_000_000_000;
const NOW: Moment = Moment(START + 1_000_000_000);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn multikey(seed: u8) -> String {
    key(seed).public().to_multikey()
}

fn document(scid: &str, host: &str) -> Value {
    let did = format!("did:webvh:{scid}:{host}:people:ada");
    json!({"@context": ["https://www.w3.org/ns/did/v1"], "id": did})
}

/// A log that is written step by step.
struct Log {
    text: String,
    history: History,
}

impl Log {
    fn begun(parameters: Value, signer: u8) -> Self {
        let document = document("{SCID}", "a.example");
        let text = begin(&Draft { parameters, document, time: Moment(START) }, &key(signer)) + "\n";
        let (history, _) = History::read_to_fault(text.as_bytes(), None, NOW).unwrap();
        Self { text, history }
    }

    /// The log with one version more, whether it is good or not.
    fn with(&self, parameters: Value, document: Value, signer: u8) -> String {
        let seconds = i64::try_from(self.history.versions().len()).unwrap();
        let time = Moment(START + seconds * 1_000);
        let draft = Draft { parameters, document, time };
        format!("{}{}\n", self.text, go_on(&self.history, &draft, &key(signer)))
    }

    fn gone_on(&self, parameters: Value, signer: u8) -> Self {
        self.moved(parameters, self.history.latest().document.value().clone(), signer)
    }

    fn moved(&self, parameters: Value, document: Value, signer: u8) -> Self {
        let text = self.with(parameters, document, signer);
        let history = read(&text).unwrap();
        Self { text, history }
    }
}

fn read(text: &str) -> Result<History, DidError> {
    History::read(text.as_bytes(), None, NOW)
}

fn fault(text: &str) -> (usize, Fault) {
    match read(text) {
        Err(DidError::BadLog { version, why }) => (version, why),
        other => panic!("{other:?}"),
    }
}

/// A person as a node makes one: portable, committed to the keys that come next.
fn committed() -> Log {
    Log::begun(
        json!({"updateKeys": [multikey(1)], "portable": true,
            "nextKeyHashes": [commitment(&multikey(2)), commitment(&multikey(3))]}),
        1,
    )
}

#[test]
fn a_log_goes_on_with_the_keys_that_it_committed_to() {
    let log = committed();
    let next = json!({"updateKeys": [multikey(2)], "nextKeyHashes": [commitment(&multikey(3))]});
    let log = log.gone_on(next, 2);
    let latest = log.history.latest();
    assert_eq!((latest.id.number, latest.parameters.commits()), (2, true));
    assert_eq!(latest.parameters.update_keys, [multikey(2)]);
    assert!(log.history.continues(&log.history.versions()[0].id));
    // Commitment is given up by a version that was committed to; the next is signed by its keys.
    let log = log.gone_on(json!({"updateKeys": [multikey(3)], "nextKeyHashes": []}), 3);
    let log = log.gone_on(json!({}), 3);
    assert!(matches!(
        fault(&log.with(json!({}), document("x", "y"), 4)),
        (5, Fault::OtherSigner(_))
    ));
    let end = json!({"updateKeys": [], "deactivated": true});
    let log = log.gone_on(end, 3);
    assert!(log.history.latest().parameters.deactivated);
    let after = log.with(json!({}), log.history.latest().document.value().clone(), 3);
    assert!(matches!(fault(&after), (6, Fault::AfterTheEnd)));
}

#[test]
fn keys_that_were_not_committed_to_change_nothing() {
    let log = committed();
    let document = log.history.latest().document.value().clone();
    let next = [commitment(&multikey(9))];
    for (parameters, signer) in [
        // The key of before, stolen: it may neither go on nor bring its own.
        (json!({"updateKeys": [multikey(1)], "nextKeyHashes": next}), 1),
        (json!({"updateKeys": [multikey(9)], "nextKeyHashes": next}), 9),
        (json!({"updateKeys": [multikey(2), multikey(9)], "nextKeyHashes": next}), 9),
        (json!({"updateKeys": [multikey(2)], "nextKeyHashes": next}), 1),
        (json!({"nextKeyHashes": next}), 1),
        (json!({"updateKeys": [], "nextKeyHashes": next}), 1),
        (json!({"updateKeys": null, "nextKeyHashes": next}), 1),
        (json!({"updateKeys": [multikey(2)]}), 2),
        (json!({}), 1),
    ] {
        let (version, why) = fault(&log.with(parameters.clone(), document.clone(), signer));
        assert_eq!(version, 2);
        let right =
            matches!(why, Fault::NotCommitted | Fault::Parameters(_) | Fault::OtherSigner(_));
        assert!(right, "{parameters}: {why}");
    }
}

#[test]
fn a_person_moves_and_stays_the_same() {
    let log = committed();
    let scid = log.history.scid().to_owned();
    let old = log.history.did().clone();
    let mut document = document(&scid, "c.example");
    document["alsoKnownAs"] = json!([old.as_str(), "matrix:u/ada:c.example"]);
    let next = json!({"updateKeys": [multikey(2)], "nextKeyHashes": [commitment(&multikey(3))]});
    let moved = log.moved(next.clone(), document.clone(), 2);
    assert_eq!(moved.history.did().as_str(), format!("did:webvh:{scid}:c.example:people:ada"));
    assert_eq!(moved.history.scid(), scid);
    assert!(moved.history.has_name(&old) && moved.history.has_name(moved.history.did()));
    let place = Place::of(moved.history.did()).unwrap();
    assert_eq!(place.log().as_str(), "https://c.example/people/ada/did.jsonl");
    // Without the old name, or under the SCID of another, it is no move.
    let mut nameless = document.clone();
    nameless.as_object_mut().unwrap().remove("alsoKnownAs");
    assert!(matches!(fault(&log.with(next.clone(), nameless, 2)), (2, Fault::Name(_))));
    let stranger = Log::begun(json!({"updateKeys": [multikey(8)]}), 8);
    document["id"] = json!(stranger.history.did().as_str());
    assert!(matches!(fault(&log.with(next, document, 2)), (2, Fault::Name(_))));
    // Nor does a DID move that is not portable, or became so later.
    let mut document = stranger.history.latest().document.value().clone();
    document["id"] = json!(stranger.history.did().as_str().replace("a.example", "c.example"));
    document["alsoKnownAs"] = json!([stranger.history.did().as_str()]);
    let text = stranger.with(json!({}), document.clone(), 8);
    assert!(matches!(fault(&text), (2, Fault::Name(_))));
    let text = stranger.with(json!({"portable": true}), document, 8);
    assert!(matches!(fault(&text), (2, Fault::Parameters(_))));
}

#[test]
fn whatever_is_changed_breaks_the_chain() {
    let next = json!({"updateKeys": [multikey(2)], "nextKeyHashes": [commitment(&multikey(3))]});
    let log = committed().gone_on(next, 2);
    for (from, to, version) in [
        ("a.example:people:ada\"}", "a.example:people:eve\"}", 1),
        (":true", ":false", 1),
        ("2023-11-14T22:13:20Z", "2023-11-14T22:13:19Z", 1),
        ("2023-11-14T22:13:21Z", "2023-11-14T22:13:22Z", 2),
        ("\"2-", "\"3-", 2),
        ("\"1-", "\"0-", 1),
        ("\"1-", "\"01-", 1),
    ] {
        assert!(log.text.contains(from), "{from}");
        assert_eq!(fault(&log.text.replace(from, to)).0, version, "{from}");
    }
    let lines: Vec<&str> = log.text.lines().collect();
    for text in [lines[1].to_owned(), [lines[1], lines[0]].join("\n"), [lines[0]; 2].join("\n")] {
        read(&text).unwrap_err();
    }
    let mut entry: Value = serde_json::from_str(lines[1]).unwrap();
    for (member, value) in [
        ("more", json!(1)),
        ("proof", json!([])),
        ("proof", Value::Null),
        ("parameters", json!([])),
        ("state", json!("ada")),
        ("versionTime", json!(7)),
        ("versionId", json!("2")),
    ] {
        let kept = entry[member].clone();
        entry[member] = value;
        assert_eq!(fault(&format!("{}\n{entry}", lines[0])).0, 2, "{member}");
        entry[member] = kept;
        entry.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    }
    read(&format!("{}\n{entry}", lines[0])).unwrap();
    let twice = lines[1].replacen("{\"", "{\"versionTime\":\"2023-11-14T22:13:21Z\",\"", 1);
    assert!(matches!(fault(&format!("{}\n{twice}", lines[0])), (2, Fault::NoJson(_))));
}

#[test]
fn times_go_on_and_have_come() {
    let log = Log::begun(json!({"updateKeys": [multikey(1)]}), 1);
    let document = log.history.latest().document.value().clone();
    let at = |time: i64| {
        let draft = Draft { parameters: json!({}), document: document.clone(), time: Moment(time) };
        read(&format!("{}{}", log.text, go_on(&log.history, &draft, &key(1))))
    };
    at(START + 1).unwrap();
    at(START).unwrap_err();
    at(START - 1).unwrap_err();
    at(NOW.0 + limits::CLOCK_SKEW_MS).unwrap();
    at(NOW.0 + limits::CLOCK_SKEW_MS + 1).unwrap_err();
    // A clock that is ten minutes off is refused, whichever it is.
    at(NOW.0 + 600_000).unwrap_err();
}

#[test]
fn histories_that_are_shorter_or_forked_do_not_continue() {
    let log = committed();
    let seen = log.gone_on(
        json!({"updateKeys": [multikey(2)], "nextKeyHashes": [commitment(&multikey(4))]}),
        2,
    );
    let forked = log.gone_on(
        json!({"updateKeys": [multikey(3)], "nextKeyHashes": [commitment(&multikey(5))]}),
        3,
    );
    let known = &seen.history.latest().id;
    assert!(seen.history.continues(known));
    assert!(!log.history.continues(known) && !forked.history.continues(known));
    assert!(seen.history.continues(&log.history.latest().id));
    assert!(!seen.history.continues(&VersionId { number: 0, hash: known.hash.clone() }));
    assert_eq!(forked.history.scid(), seen.history.scid());
}

#[test]
fn versions_are_found_by_their_time_and_before_a_fault() {
    let log = Log::begun(json!({"updateKeys": [multikey(1)]}), 1);
    let log = log.gone_on(json!({}), 1);
    let at = |time| log.history.at(Moment(time)).map(|version| version.id.number);
    assert_eq!(
        [at(START - 1), at(START), at(START + 999), at(START + 1_000)],
        [None, Some(1), Some(1), Some(2)]
    );
    let broken = log.with(json!({}), log.history.latest().document.value().clone(), 9);
    let (good, why) = History::read_to_fault(broken.as_bytes(), None, NOW).unwrap();
    assert_eq!(good.versions().len(), 2);
    assert!(matches!(why, Some(DidError::BadLog { version: 3, why: Fault::OtherSigner(_) })));
}

fn witnesses(threshold: usize, seeds: &[u8]) -> Value {
    let witnesses = seeds.iter().map(|seed| json!({"id": format!("did:key:{}", multikey(*seed))}));
    json!({"threshold": threshold, "witnesses": witnesses.collect::<Vec<_>>()})
}

fn last_id(text: &str) -> VersionId {
    let entry: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    entry["versionId"].as_str().unwrap().parse().unwrap()
}

/// A file in which those stand by versions.
fn file(records: &[(&VersionId, &[u8])]) -> Vec<u8> {
    let records = records.iter().map(|(id, seeds)| {
        let proofs = seeds.iter().map(|seed| witnessed(id, Moment(START), &key(*seed)));
        json!({"versionId": id.to_string(), "proof": proofs.collect::<Vec<_>>()})
    });
    Value::from(records.collect::<Vec<_>>()).to_string().into_bytes()
}

/// The version that too few stand by, with how many do and how many have to.
fn unwitnessed(text: &str, file: Option<&[u8]>) -> Option<(usize, usize, usize)> {
    match History::read(text.as_bytes(), file, NOW) {
        Ok(_) => None,
        Err(DidError::BadLog { version, why: Fault::Unwitnessed { found, needed } }) => {
            Some((version, found, needed))
        }
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn enough_witnesses_stand_by_every_version() {
    let parameters = json!({"updateKeys": [multikey(1)], "witness": witnesses(2, &[11, 12, 13])});
    let document = document("{SCID}", "a.example");
    let first = begin(&Draft { parameters, document, time: Moment(START) }, &key(1)) + "\n";
    let one = last_id(&first);
    assert_eq!(unwitnessed(&first, None), Some((1, 0, 2)));
    for (seeds, found) in [(vec![], 0), (vec![11], 1), (vec![11, 11], 1), (vec![11, 1, 14], 1)] {
        let file = file(&[(&one, &seeds)]);
        assert_eq!(unwitnessed(&first, Some(&file)), Some((1, found, 2)), "{seeds:?}");
    }
    let stands = file(&[(&one, &[11, 13])]);
    assert_eq!(unwitnessed(&first, Some(&stands)), None);

    // Others take over after a version that those of before stand by.
    let history = History::read(first.as_bytes(), Some(&stands), NOW).unwrap();
    let log = Log { text: first, history };
    let document = log.history.latest().document.value().clone();
    let next = json!({"witness": witnesses(1, &[14])});
    let second = log.with(next, document.clone(), 1);
    let two = last_id(&second);
    assert_eq!(unwitnessed(&second, Some(&stands)), Some((2, 0, 2)));
    let both = file(&[(&one, &[11, 13]), (&two, &[14])]);
    assert_eq!(unwitnessed(&second, Some(&both)), Some((2, 0, 2)));
    let later = file(&[(&two, &[12, 13])]);
    assert_eq!(unwitnessed(&second, Some(&later)), None);

    let history = History::read(second.as_bytes(), Some(&later), NOW).unwrap();
    let log = Log { text: second, history };
    let third = log.with(json!({"witness": {}}), document, 1);
    let three = last_id(&third);
    assert_eq!(unwitnessed(&third, Some(&later)), Some((3, 0, 1)));
    let all = file(&[(&two, &[12, 13]), (&three, &[14])]);
    assert_eq!(unwitnessed(&third, Some(&all)), None);
    // A proof that was changed, and one of a version that nobody has, are as good as none.
    let changed =
        String::from_utf8(all).unwrap().replace("2023-11-14T22:13:20Z", "2023-11-14T22:13:19Z");
    assert_eq!(unwitnessed(&third, Some(changed.as_bytes())), Some((1, 0, 2)));
    let elsewhere = VersionId { number: 3, hash: one.hash.clone() };
    let stray = file(&[(&two, &[12, 13]), (&elsewhere, &[14])]);
    assert_eq!(unwitnessed(&third, Some(&stray)), Some((3, 0, 1)));
}

#[test]
fn a_log_that_still_holds_what_stands_for_its_scid_is_refused() {
    let mut document = document("{SCID}", "a.example");
    document["alsoKnownAs"] = json!(["urn:{SCID}"]);
    let parameters = json!({"updateKeys": [multikey(1)]});
    let line = begin(&Draft { parameters, document, time: Moment(START) }, &key(1));
    let scid = read(&line).unwrap().scid().to_owned();
    let text = line.replace(&format!("urn:{scid}"), "urn:{SCID}");
    assert!(matches!(fault(&text), (1, Fault::OtherBeginning)));
}

#[test]
fn entries_and_documents_beyond_their_bounds_are_refused() {
    let log = Log::begun(json!({"updateKeys": [multikey(1)]}), 1);
    let mut document = log.history.latest().document.value().clone();
    document["more"] = json!("a".repeat(limits::DID_DOCUMENT_BYTES));
    assert!(matches!(fault(&log.with(json!({}), document, 1)), (2, Fault::Entry(_))));
    let long = format!("{}{}", log.text, " ".repeat(limits::DID_ENTRY_BYTES + 1));
    assert!(matches!(fault(&long), (2, Fault::Entry(_))));
}

#[test]
fn witnesses_who_are_none_are_refused() {
    let mut twice = witnesses(1, &[11]);
    twice["witnesses"] = json!([{"id": multikey(11)}, {"id": format!("did:key:{}", multikey(11))}]);
    for witness in [
        witnesses(0, &[11]),
        witnesses(2, &[11]),
        witnesses(1, &[]),
        twice,
        json!({"threshold": "1", "witnesses": [{"id": multikey(11)}]}),
        json!({"threshold": 1, "witnesses": [{}]}),
        json!({"threshold": 1}),
        json!([]),
    ] {
        let parameters = json!({"updateKeys": [multikey(1)], "witness": witness});
        let document = document("{SCID}", "a.example");
        let text = begin(&Draft { parameters, document, time: Moment(START) }, &key(1));
        assert!(matches!(fault(&text), (1, Fault::Parameters(_))), "{witness}");
    }
}

#[test]
fn parameters_that_are_none_are_refused() {
    let log = Log::begun(json!({"updateKeys": [multikey(1)]}), 1);
    let document = log.history.latest().document.value().clone();
    for parameters in [
        json!({"scid": log.history.scid()}),
        json!({"method": "did:webvh:99.0"}),
        json!({"method": null}),
        json!({"more": 1}),
        json!({"updateKeys": multikey(1)}),
        json!({"updateKeys": [7]}),
        json!({"updateKeys": vec![multikey(1); 101]}),
        json!({"nextKeyHashes": ["a".repeat(3_000)]}),
        json!({"watchers": {}}),
        json!({"portable": "yes"}),
        json!({"deactivated": 1}),
        json!({"ttl": -1}),
        json!({"ttl": 4_294_967_296_u64}),
    ] {
        let (version, why) = fault(&log.with(parameters.clone(), document.clone(), 1));
        let right = matches!(why, Fault::Parameters(_) | Fault::UnknownRules(_));
        assert!(version == 2 && right, "{parameters}: {why}");
    }
    let given_up = json!({"watchers": null, "witness": null, "nextKeyHashes": null, "ttl": null});
    let parameters = log.gone_on(given_up, 1).history.latest().parameters.clone();
    assert_eq!(parameters, log.history.latest().parameters);
    for parameters in [json!({}), json!({"updateKeys": [multikey(2)]})] {
        let document = self::document("{SCID}", "a.example");
        let text = begin(&Draft { parameters, document, time: Moment(START) }, &key(1));
        assert!(matches!(fault(&text), (1, Fault::Parameters(_) | Fault::OtherSigner(_))));
    }
}

#[test]
fn logs_beyond_all_bounds_are_refused() {
    let log = Log::begun(json!({"updateKeys": [multikey(1)]}), 1);
    for text in ["", "\n", "\n\n", "{}", "[]", "x"] {
        read(text).unwrap_err();
    }
    let large = format!("{}{}", log.text, " ".repeat(limits::DID_LOG_BYTES));
    assert!(matches!(read(&large), Err(DidError::TooLarge { .. })));
    let witness = vec![b' '; limits::DID_WITNESS_BYTES + 1];
    let read = History::read(log.text.as_bytes(), Some(&witness), NOW);
    assert!(matches!(read, Err(DidError::TooLarge { .. })));
}

#[test]
fn strange_bytes_never_panic() {
    let log = committed();
    bolero::check!().with_max_len(64).for_each(|bytes: &[u8]| {
        let mut text = log.text.clone().into_bytes();
        let at = bytes.first().map_or(0, |byte| usize::from(*byte) * 3 % text.len());
        let end = (at + bytes.len()).min(text.len());
        text.splice(at..end, bytes.iter().copied());
        let _ = History::read(&text, Some(bytes), NOW);
    });
}
