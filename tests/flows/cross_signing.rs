//! People sign their devices and each other, and the node passes on what is signed rightly.

use anyhow::{Context, Result, ensure};
use ruma::{
    CanonicalJsonObject,
    serde::Base64,
    signatures::{Ed25519KeyPair, sign_json},
};
use serde_json::{Value, json};
use wayside_tests::{Client, PASSWORD};

use crate::{
    encryption::{device_keys, publish, query},
    stage::{Deeds, Ear, Stage, list, refused, room_of, stories},
};

stories! {
    people_publish_their_keys_and_prove_it_when_they_replace_them;
    devices_and_people_are_signed;
    signatures_that_are_wrong_are_not_kept;
}

pub(crate) const UPLOAD: &str = "/_matrix/client/v3/keys/device_signing/upload";
const SIGN: &str = "/_matrix/client/v3/keys/signatures/upload";

/// A key pair of Ed25519, made from a number.
pub(crate) struct Pair {
    document: Vec<u8>,
    /// The public half in unpadded base64.
    pub(crate) public: String,
}

impl Pair {
    pub(crate) fn of(seed: u8) -> Result<Self> {
        // RFC 8410: version 0, algorithm 1.3.101.112, the seed as a nested octet string.
        let mut document =
            b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        document.extend([seed; 32]);
        let pair = Ed25519KeyPair::from_der(&document, "x".to_owned())?;
        let public = Base64::<ruma::serde::base64::Standard, _>::new(pair.public_key()).encode();
        Ok(Self { document, public })
    }

    /// Signs as somebody, under a device's id or the key's own name.
    pub(crate) fn sign(&self, signer: &Client, name: &str, record: &Value) -> Result<Value> {
        let mut object: CanonicalJsonObject = serde_json::from_value(record.clone())?;
        let pair = Ed25519KeyPair::from_der(&self.document, name.to_owned())?;
        sign_json(signer.id(), &pair, &mut object)?;
        Ok(serde_json::to_value(object)?)
    }

    fn key(&self, of: &Client, usage: &str) -> Value {
        let id = format!("ed25519:{}", self.public);
        json!({ "user_id": of.id(), "usage": [usage], "keys": { id: self.public } })
    }
}

/// The three keys of somebody, the lower two signed by the first.
pub(crate) struct Person {
    master: Pair,
    devices: Pair,
    others: Pair,
}

impl Person {
    pub(crate) fn of(seed: u8) -> Result<Self> {
        let [master, devices, others] = [Pair::of(seed)?, Pair::of(seed + 1)?, Pair::of(seed + 2)?];
        Ok(Self { master, devices, others })
    }

    pub(crate) fn keys(&self, of: &Client) -> Result<Value> {
        let below = |pair: &Pair, usage: &str| {
            self.master.sign(of, &self.master.public, &pair.key(of, usage))
        };
        Ok(json!({
            "master_key": self.master.key(of, "master"),
            "self_signing_key": below(&self.devices, "self_signing")?,
            "user_signing_key": below(&self.others, "user_signing")?,
        }))
    }
}

fn with_proof(mut body: Value, of: &Client, password: &str) -> Value {
    body["auth"] = json!({
        "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.user", "user": of.id() },
    });
    body
}

// Operations: uploadCrossSigningKeys.
async fn people_publish_their_keys_and_prove_it_when_they_replace_them(
    stage: &mut Stage,
) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let _room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let mut ear = Ear::of(&bob).await?;
    let (first, second) = (Person::of(10)?, Person::of(20)?);
    let keys = first.keys(&ann)?;
    for name in ["self_signing_key", "user_signing_key"] {
        let alone = json!({ name: keys[name] });
        refused(ann.post(UPLOAD, &alone).await, 400, "M_MISSING_PARAM")?;
    }
    let mut wrong = keys.clone();
    wrong["self_signing_key"] = second.keys(&ann)?["self_signing_key"].clone();
    refused(ann.post(UPLOAD, &wrong).await, 400, "M_INVALID_SIGNATURE")?;
    refused(ann.post(UPLOAD, &first.keys(&bob)?).await, 400, "M_INVALID_PARAM")?;
    let shown = query(&bob, &ann).await?;
    ensure!(shown["master_keys"] == json!({}), "what was refused left something: {shown}");

    ann.post(UPLOAD, &keys).await?;
    let heard = ear.next().await?;
    ensure!(list(&heard["device_lists"]["changed"]) == [ann.id()], "{heard}");
    let (own, others) = (query(&ann, &ann).await?, query(&bob, &ann).await?);
    for (part, name, public) in [
        ("master_keys", "master_key", true),
        ("self_signing_keys", "self_signing_key", true),
        ("user_signing_keys", "user_signing_key", false),
    ] {
        ensure!(own[part][ann.id()] == keys[name], "{own}");
        let expected = if public { &keys[name] } else { &Value::Null };
        ensure!(others[part][ann.id()] == *expected, "{others}");
    }
    // The same again says nothing new and needs no proof; others do.
    ann.post(UPLOAD, &keys).await?;
    let quiet = ear.now().await?;
    ensure!(quiet.get("device_lists").is_none(), "{quiet}");
    let others = second.keys(&ann)?;
    let asks = ann.post(UPLOAD, &others).await.err().context("a proof is wanted")?;
    ensure!(asks.to_string().contains("m.login.password"), "{asks}");
    let wrong = with_proof(others.clone(), &ann, "not my password");
    refused(ann.post(UPLOAD, &wrong).await, 401, "M_FORBIDDEN")?;
    let shown = query(&bob, &ann).await?;
    ensure!(shown["master_keys"][ann.id()] == keys["master_key"], "{shown}");
    // A new master key alone leaves none below it that it did not sign.
    let alone = json!({ "master_key": others["master_key"] });
    ann.post(UPLOAD, &with_proof(alone, &ann, PASSWORD)).await?;
    let shown = query(&ann, &ann).await?;
    ensure!(shown["master_keys"][ann.id()] == others["master_key"], "{shown}");
    for part in ["self_signing_keys", "user_signing_keys"] {
        ensure!(shown[part] == json!({}), "{shown}");
    }
    Ok(())
}

/// Somebody whose device's key is `pair`, published and signed by itself.
async fn with_device(client: &Client, pair: &Pair) -> Result<Value> {
    let device = client.session().device_id.clone();
    let mut record = device_keys(client);
    record["keys"][format!("ed25519:{device}")] = pair.public.as_str().into();
    record["signatures"].take();
    record["signatures"] = json!({});
    let record = pair.sign(client, &device, &record)?;
    publish(client, &json!({ "device_keys": record })).await?;
    Ok(record)
}

// Operations: uploadCrossSigningSignatures.
async fn devices_and_people_are_signed(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cleo) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cleo").await?);
    let _room = room_of(&[&ann, &bob, &cleo], &json!({ "preset": "public_chat" })).await?;
    let (annes, bobs, desk) = (Person::of(10)?, Person::of(20)?, Pair::of(1)?);
    let record = with_device(&ann, &desk).await?;
    let device = ann.session().device_id.clone();
    ann.post(UPLOAD, &annes.keys(&ann)?).await?;
    bob.post(UPLOAD, &bobs.keys(&bob)?).await?;
    let mut ears = [Ear::of(&ann).await?, Ear::of(&bob).await?, Ear::of(&cleo).await?];

    let own = annes.devices.sign(&ann, &annes.devices.public, &record)?;
    let master = desk.sign(&ann, &device, &annes.master.key(&ann, "master"))?;
    let bobs_master = bobs.master.key(&bob, "master");
    let theirs = annes.others.sign(&ann, &annes.others.public, &bobs_master)?;
    let signed = json!({
        ann.id(): { &device: own, &annes.master.public: master },
        bob.id(): { &bobs.master.public: theirs },
    });
    let answer = ann.post(SIGN, &signed).await?;
    ensure!(answer["failures"] == json!({}), "{answer}");
    // That Ann vouches for Bob, Ann alone hears.
    let heard = ears[0].next().await?;
    let changed: Vec<Value> = list(&heard["device_lists"]["changed"]);
    ensure!(changed == [ann.id(), bob.id()], "{heard}");
    for ear in &mut ears[1..] {
        let heard = ear.next().await?;
        ensure!(list(&heard["device_lists"]["changed"]) == [ann.id()], "{heard}");
    }
    let shown = query(&cleo, &ann).await?;
    let by_ann = &shown["device_keys"][ann.id()][&device]["signatures"][ann.id()];
    ensure!(by_ann[format!("ed25519:{}", annes.devices.public)].is_string(), "{shown}");
    ensure!(by_ann[format!("ed25519:{device}")].is_string(), "{shown}");
    let over = &shown["master_keys"][ann.id()]["signatures"][ann.id()];
    ensure!(over[format!("ed25519:{device}")].is_string(), "{shown}");
    for (asker, sees) in [(&ann, true), (&bob, false), (&cleo, false)] {
        let shown = query(asker, &bob).await?;
        let over = &shown["master_keys"][bob.id()]["signatures"][ann.id()];
        let by = &over[format!("ed25519:{}", annes.others.public)];
        ensure!(by.is_string() == sees, "{}: {shown}", asker.id());
    }
    // Another key of the device has not been signed by anybody.
    let replaced = with_device(&ann, &Pair::of(2)?).await?;
    let shown = query(&cleo, &ann).await?;
    let shown = &shown["device_keys"][ann.id()][&device];
    ensure!(shown["signatures"] == replaced["signatures"], "{shown}");
    Ok(())
}

async fn signatures_that_are_wrong_are_not_kept(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let (annes, bobs, desk) = (Person::of(10)?, Person::of(20)?, Pair::of(1)?);
    let record = with_device(&ann, &desk).await?;
    let device = ann.session().device_id.clone();
    ann.post(UPLOAD, &annes.keys(&ann)?).await?;
    bob.post(UPLOAD, &bobs.keys(&bob)?).await?;
    let mut changed = record.clone();
    changed["algorithms"] = json!(["none"]);
    let master = annes.master.key(&ann, "master");
    let name = annes.devices.public.as_str();
    let cases = [
        // By a key that is another's, or that may not sign this.
        (ann.id(), &*device, bobs.devices.sign(&ann, name, &record)?, "M_INVALID_SIGNATURE"),
        (
            ann.id(),
            &*device,
            annes.others.sign(&ann, &annes.others.public, &record)?,
            "M_INVALID_SIGNATURE",
        ),
        (ann.id(), &*annes.master.public, master.clone(), "M_INVALID_SIGNATURE"),
        (
            ann.id(),
            &*annes.master.public,
            desk.sign(&ann, "OTHER", &master)?,
            "M_INVALID_SIGNATURE",
        ),
        // Over something else than what was published, or than is there.
        (ann.id(), &*device, annes.devices.sign(&ann, name, &changed)?, "M_INVALID_PARAM"),
        (ann.id(), "NONE", annes.devices.sign(&ann, name, &record)?, "M_NOT_FOUND"),
        (ann.id(), &*device, json!({}), "M_INVALID_PARAM"),
        // Of others only the master key can be signed, by the key for that.
        (
            bob.id(),
            &*bobs.devices.public,
            annes.others.sign(&ann, &annes.others.public, &bobs.keys(&bob)?["self_signing_key"])?,
            "M_NOT_FOUND",
        ),
        (
            bob.id(),
            &*bobs.master.public,
            annes.devices.sign(&ann, name, &bobs.master.key(&bob, "master"))?,
            "M_INVALID_SIGNATURE",
        ),
    ];
    let before = (query(&ann, &ann).await?, query(&ann, &bob).await?);
    for (user, key, signed, code) in cases {
        let answer = ann.post(SIGN, &json!({ user: { key: signed } })).await?;
        let failure = &answer["failures"][user][key]["errcode"];
        ensure!(*failure == code, "{user} {key}: wanted {code}, got {answer}");
    }
    let after = (query(&ann, &ann).await?, query(&ann, &bob).await?);
    ensure!(before == after, "{after:?}");
    Ok(())
}
