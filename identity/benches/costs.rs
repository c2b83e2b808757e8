//! What it costs to know who somebody is, in CPU time of one core, from the bytes as they arrive.
//!
//! Standard output gets a JSON object a line for each number, for `make bench`. Beside them stands what
//! one signature costs alone, which is the floor under all of them.

#![expect(
    clippy::unwrap_used,
    reason = "a bench that cannot make its proofs has nothing to measure"
)]

use std::{fs, hint::black_box, thread};

use serde_json::{Value, json};
use wayside_identity::{
    did::{
        Plan, plan,
        webvh::{
            History,
            write::{Draft, begin, commitment, go_on},
        },
    },
    json,
    key::SigningKey,
    login::{self, Asked},
    proof::{Claims, Cryptosuite, Proof, Purpose},
    time::Moment,
};

const START: i64 = 1_700_000_000_000;
const NOW: Moment = Moment(START + 1_000_000_000);
/// What is asked of one core.
const PROOFS_PER_S: f64 = 5_000.0;
const CREDENTIALS_PER_S: f64 = 3_000.0;
const ENTRIES: i64 = 100;
const LOG_MS: f64 = 20.0;

fn main() {
    let floor = 1e6 / signature();
    row("identity.signatures_per_s", floor, "/s", None, "verifying Ed25519 alone, for comparison");
    let note = "from the bytes of a presentation by a did:key to who it is";
    let proofs = 1e6 / presentation();
    row("identity.did_proofs_per_s", proofs, "/s", Some((PROOFS_PER_S, true)), note);
    let (log_us, bytes) = log();
    let note = format!("{ENTRIES} entries with keys committed to, {bytes} bytes");
    row("identity.webvh_log_ms", log_us / 1_000.0, "ms", Some((LOG_MS, false)), &note);
    let note = "from the bytes of a membership by eddsa-jcs-2022";
    let credentials = 1e6 / credential(Cryptosuite::EddsaJcs2022);
    row("identity.jcs_credentials_per_s", credentials, "/s", Some((CREDENTIALS_PER_S, true)), note);
    let note = "the same by eddsa-rdfc-2022, what it says as RDF first";
    let credentials = 1e6 / credential(Cryptosuite::EddsaRdfc2022);
    row("identity.rdfc_credentials_per_s", credentials, "/s", None, note);
}

fn row(name: &str, value: f64, unit: &str, limit: Option<(f64, bool)>, note: &str) {
    let (limit, higher) = limit.map_or((None, unit == "/s"), |(limit, it)| (Some(limit), it));
    let ok = limit.is_none_or(|limit| if higher { value >= limit } else { value <= limit });
    let better = if higher { "higher" } else { "lower" };
    let row = json!({
        "name": name, "value": value, "unit": unit, "limit": limit, "better": better, "ok": ok,
        "note": note,
    });
    println!("{row}");
}

/// Time that this thread has been on a core, as the kernel counts it.
fn cpu_us() -> f64 {
    // Who is on a core is counted at a tick of the clock, or when it might give way.
    thread::yield_now();
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1000.0
}

/// The least CPU time of five rounds, in microseconds for each piece of work.
fn time<T>(mut work: impl FnMut() -> T) -> f64 {
    const ROUND_US: f64 = 150_000.0;
    let mut best = f64::MAX;
    for _ in 0..5 {
        let (begun, mut pieces) = (cpu_us(), 0_u32);
        while cpu_us() - begun < ROUND_US {
            for _ in 0..20 {
                black_box(work());
            }
            pieces += 20;
        }
        best = best.min((cpu_us() - begun) / f64::from(pieces));
    }
    best
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

fn signature() -> f64 {
    let (key, message) = (key(1), [7; 64]);
    let signature = key.sign(&message);
    let public = key.public();
    time(|| public.verify(black_box(&message), &signature).unwrap())
}

fn presentation() -> f64 {
    let key = key(1);
    let multikey = key.public().to_multikey();
    let did = format!("did:key:{multikey}").parse().unwrap();
    let asked = Asked { domain: "b.example", challenge: "visit.0123456789abcdef", now: NOW };
    let bytes = login::present(&did, &format!("{did}#{multikey}"), &asked, &[], &key).to_string();
    time(|| {
        let shown = json::read(black_box(bytes.as_bytes())).unwrap();
        let did = login::holder(&shown).unwrap();
        let Plan::Known(document) = plan(&did).unwrap() else { unreachable!() };
        login::verify(&shown, &document, &asked).unwrap()
    })
}

/// A person as a node writes them: a device, the node's key, where they live.
fn person() -> Value {
    let did = "did:webvh:{SCID}:a.example:people:ada";
    let method = |seed| {
        let multikey = key(seed).public().to_multikey();
        json!({"id": format!("{did}#{multikey}"), "type": "Multikey", "controller": did,
            "publicKeyMultibase": multikey})
    };
    let methods = [method(200), method(201)];
    json!({
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": did,
        "alsoKnownAs": ["matrix:u/ada:a.example"],
        "authentication": [methods[0]["id"]],
        "assertionMethod": [methods[0]["id"], methods[1]["id"]],
        "verificationMethod": methods,
        "service": [{"id": format!("{did}#home"), "type": "WaysideHome",
            "serviceEndpoint": "https://a.example"}],
    })
}

fn log() -> (f64, usize) {
    let keys: Vec<_> = (0..=u8::try_from(ENTRIES).unwrap()).map(key).collect();
    let multikeys: Vec<_> = keys.iter().map(|key| key.public().to_multikey()).collect();
    let parameters = |index: usize| {
        let next = [commitment(&multikeys[index + 1]), commitment(&multikeys[0])];
        json!({"updateKeys": [multikeys[index]], "nextKeyHashes": next, "portable": true})
    };
    let draft = Draft { parameters: parameters(0), document: person(), time: Moment(START) };
    let mut log = begin(&draft, &keys[0]) + "\n";
    for index in 1..ENTRIES {
        let history = History::read(log.as_bytes(), None, NOW).unwrap();
        let document = history.latest().document.value().clone();
        let time = Moment(START + index * 1_000);
        let index = usize::try_from(index).unwrap();
        let draft = Draft { parameters: parameters(index), document, time };
        log.push_str(&go_on(&history, &draft, &keys[index]));
        log.push('\n');
    }
    let spent = time(|| {
        let history = History::read(black_box(log.as_bytes()), None, NOW).unwrap();
        assert_eq!(history.versions().len(), 100);
    });
    (spent, log.len())
}

fn credential(suite: Cryptosuite) -> f64 {
    let mut credential = json!({
        "@context": [
            "https://www.w3.org/ns/credentials/v2",
            "https://w3id.org/security/data-integrity/v2",
        ],
        "id": "https://a.example/credentials/1",
        "type": ["VerifiableCredential"],
        "issuer": "did:web:a.example",
        "validFrom": "2026-01-01T00:00:00Z",
        "validUntil": "2026-02-01T00:00:00Z",
        "credentialStatus": {
            "id": "https://a.example/status/1#42",
            "type": "BitstringStatusListEntry",
            "statusPurpose": "revocation",
            "statusListIndex": "42",
            "statusListCredential": "https://a.example/status/1",
        },
        "credentialSubject": {"id": "did:web:a.example:people:ada"},
    });
    let claims = Claims {
        verification_method: "did:web:a.example#key",
        purpose: Purpose::AssertionMethod,
        created: NOW,
        expires: None,
        domain: None,
        challenge: None,
    };
    credential["proof"] = match suite {
        Cryptosuite::EddsaJcs2022 => Proof::sign(&credential, &claims, &key(1)),
        suite => Proof::sign_rdf(suite, &credential, &claims, &key(1)).unwrap(),
    };
    let (bytes, public) = (credential.to_string(), key(1).public());
    time(|| {
        let mut credential = json::read(black_box(bytes.as_bytes())).unwrap();
        let proofs = Proof::take_from(&mut credential).unwrap();
        proofs[0].verify(&credential, &public).unwrap();
    })
}
