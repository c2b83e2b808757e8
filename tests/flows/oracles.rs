//! What others judge who wrote their own: credentials, and the page that shows who somebody is.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_identity::{
    did::{Document, Plan, plan},
    login::{self, Asked},
    proof::{Claims, Cryptosuite, Proof, Purpose},
    time::Moment,
};
use wayside_tests::{Browser, PASSWORD, Script, hosts, pages};

use crate::{
    dids::{key, multikey, now},
    homes::Homes,
};

const LIMIT: Duration = Duration::from_mins(1);
const SOON: Duration = Duration::from_secs(30);
/// Contexts of version 1.1 of the data model, which is what `DIDKit` knows, with the terms of its proofs.
const CONTEXTS: [&str; 2] =
    ["https://www.w3.org/2018/credentials/v1", "https://w3id.org/security/suites/ed25519-2020/v1"];
const SUITE: &str = "Ed25519Signature2020";
const DOMAIN: &str = "origin:https://b.example";
const CHALLENGE: &str = "a-challenge-of-16";

fn known(did: &str) -> Result<Document> {
    let Plan::Known(document) = plan(&did.parse()?)? else { anyhow::bail!("{did} is elsewhere") };
    Ok(*document)
}

/// Whether a credential of `DIDKit` is its issuer's.
fn verified(credential: &Value, now: Moment) -> Result<()> {
    let mut bare = credential.clone();
    let proofs = Proof::take_from(&mut bare)?;
    let issuer = known(bare["issuer"].as_str().context("an issuer")?)?;
    for proof in &proofs {
        let own = issuer.own_key(proof.verification_method(), proof.purpose());
        proof.is_current(now, 0)?;
        proof.verify(&proof.covered(&bare, &proofs)?, own.context("a key of the issuer")?)?;
    }
    Ok(())
}

/// A credential of version 1.1 and a presentation of it, as the node would sign them.
fn issued(now: Moment) -> Result<[Value; 2]> {
    let did = format!("did:key:{}", multikey(9));
    let method = format!("{did}#{}", multikey(9));
    let claims = Claims {
        verification_method: &method,
        purpose: Purpose::AssertionMethod,
        created: now,
        expires: None,
        domain: None,
        challenge: None,
    };
    let mut credential = json!({
        "@context": CONTEXTS, "id": "urn:uuid:1b2b0b5e-1111-4444-8888-0123456789ab",
        "type": ["VerifiableCredential"], "issuer": did, "issuanceDate": "2024-01-01T00:00:00Z",
        "credentialSubject": { "id": "did:web:a.example:people:ada" },
    });
    let suite = Cryptosuite::Ed25519Signature2020;
    credential["proof"] = Proof::sign_rdf(suite, &credential, &claims, &key(9))?;
    let mut presentation = json!({
        "@context": CONTEXTS, "type": ["VerifiablePresentation"], "holder": did,
        "verifiableCredential": credential,
    });
    let claims = Claims {
        purpose: Purpose::Authentication,
        domain: Some(DOMAIN),
        challenge: Some(CHALLENGE),
        ..claims
    };
    presentation["proof"] = Proof::sign_rdf(suite, &presentation, &claims, &key(9))?;
    Ok([credential, presentation])
}

#[tokio::test]
async fn others_verify_what_is_signed_here_and_the_reverse() -> Result<()> {
    let didkit = Script::of_client("didkit/oracle.py", &["WAYSIDE_DIDKIT"])?;
    let Some(didkit) = didkit else { return Ok(()) };
    // Theirs, by the rules of here. It is signed while this waits for it.
    let subject = "did:web:a.example:people:ada";
    let asked = ["issue", subject, DOMAIN, CHALLENGE];
    let theirs = didkit.ask(&asked, &Value::Null, LIMIT).await?;
    let now = now()?;
    let mut common = 0;
    for item in theirs.as_array().context("a list")? {
        if item["format"] != SUITE {
            continue;
        }
        common += 1;
        let judge = |document: &Value| {
            if item.get("challenge").is_none() {
                return verified(document, now);
            }
            let asked = Asked { domain: DOMAIN, challenge: CHALLENGE, now };
            let holder = login::plausible(document, &asked)?;
            login::verify(document, &known(holder.as_str())?, &asked)?;
            Ok(())
        };
        judge(&item["document"]).with_context(|| item["document"].to_string())?;
        let mut changed = item["document"].clone();
        changed["id"] = "urn:uuid:00000000-1111-4444-8888-0123456789ab".into();
        ensure!(judge(&changed).is_err(), "changed, and it verifies: {changed}");
    }
    ensure!(common == 2, "a credential and a presentation are in common, not {common}: {theirs}");

    // Ours, by theirs.
    // Of a time it signs what it would have written itself, and writes parts of a second otherwise.
    let [credential, presentation] = issued(Moment(now.0 / 1_000 * 1_000))?;
    let mut changed = credential.clone();
    changed["issuanceDate"] = "2024-01-02T00:00:00Z".into();
    let shown =
        |challenge| json!({"document": presentation, "domain": DOMAIN, "challenge": challenge});
    let ours = json!([
        { "document": credential }, shown(CHALLENGE), { "document": changed }, shown("another"),
    ]);
    let faults = didkit.ask(&["verify"], &ours, LIMIT).await?;
    let faults = faults.as_array().context("a list")?;
    let wrong: Vec<bool> = faults.iter().map(|fault| !fault.is_null()).collect();
    ensure!(wrong == [false, false, true, true], "{faults:?}");
    Ok(())
}

#[tokio::test]
async fn client_shows_who_somebody_is_to_a_verifier_of_others() -> Result<()> {
    let verifier = Script::of_client("openid4vp/verifier.mjs", &["WAYSIDE_OPENID4VP"])?;
    let Some(verifier) = verifier else { return Ok(()) };
    let Some(mut ada) = Browser::open("visitor.mjs")? else { return Ok(()) };
    let Some(homes) = Homes::begin().await? else { return Ok(()) };
    let home = pages(&homes.home).await?;
    let hosts = hosts(&[(&home, &homes.home)])?;
    let own = json!({ "url": home, "user": "ada", "password": PASSWORD, "hosts": hosts });
    let did = ada.step("home", own).await?["did"].clone();
    let wallet = home.join("present")?;
    let resolver = homes.home.http().join("/_wayside/v1/dids/")?;
    let leaf = homes.abroad.town.authority().leaf(&["localhost"])?;
    let [certificate, key] = [&leaf.certificate, &leaf.key].map(|path| path.to_str());
    let (certificate, key) = (certificate.context("a path")?, key.context("a path")?);
    let token = homes.ada.session().token();
    let begin = |mode| {
        verifier.start(&[mode, wallet.as_str(), "0", resolver.as_str(), certificate, key, token])
    };
    for mode in ["direct_post", "fragment"] {
        let mut asks = begin(mode)?;
        let question = asks.next(SOON).await?;
        ada.step("shows", json!({ "url": question["request"] })).await?;
        let verdict = asks.next(SOON).await?;
        let shown = &verdict["shown"];
        ensure!(
            shown["holder"] == did
                && shown["account"] == format!("matrix:u/ada:{}", homes.home.server_name()),
            "{mode}: {verdict}"
        );
        // And nothing where she does not want to.
        let mut asks_again = begin(mode)?;
        let question = asks_again.next(SOON).await?;
        ada.step("declines", json!({ "url": question["request"] })).await?;
        let verdict = asks_again.next(SOON).await?;
        ensure!(verdict["declined"] == "access_denied", "{mode}: {verdict}");
        asks.end().await?;
        asks_again.end().await?;
    }
    ada.close().await?;
    homes.end().await
}
