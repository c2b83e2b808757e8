//! A peer that looks over what is said in rooms, as a policy server does.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use ruma::{RoomVersionId, canonical_json::redact};
use serde_json::{Value, json};

use super::{Peer, PeerReply};
use crate::{SigningKey, signing::canonical, verify};

/// Where policy servers are asked.
pub const SIGN: &str = "/_matrix/policy/v1/sign";
/// What it says to spam.
pub const NO_SPAM: &str = "The message appears to contain possible spam";

/// The key of a policy server, which is another than that of its transactions.
#[derive(Clone, Debug)]
pub struct PolicyKey {
    server: String,
    key: Arc<SigningKey>,
}

impl PolicyKey {
    /// A new key of a server.
    pub fn generate(server: &str) -> Result<Self> {
        let key = SigningKey::generate("policy_server")?;
        Ok(Self { server: server.to_owned(), key: Arc::new(key) })
    }

    /// The content of the event by which a room makes it its policy server.
    #[must_use]
    pub fn policy(&self) -> Value {
        json!({ "via": self.server, "public_keys": { "ed25519": self.key.public() } })
    }

    /// What it gives for an event of a room of a version: its signature alone.
    pub fn sign(&self, version: &str, event: &Value) -> Result<Value> {
        let rules = RoomVersionId::try_from(version)?.rules().context("no rules")?;
        let mut bare = canonical(event)?;
        bare.remove("signatures");
        bare.remove("unsigned");
        let bare = redact(bare, &rules.redaction, None)?;
        let signed = self.key.sign(&self.server, &serde_json::to_value(bare)?)?;
        Ok(signed["signatures"].clone())
    }

    /// The event with its signature beside those that it has.
    pub fn signed(&self, version: &str, event: &Value) -> Result<Value> {
        let signature = self.sign(version, event)?;
        let mut signed = event.clone();
        let id = self.key.id();
        signed["signatures"][&self.server][&id] = signature[&self.server][&id].clone();
        Ok(signed)
    }

    /// Checks that an event carries its signature.
    pub fn check(&self, version: &str, event: &Value) -> Result<()> {
        let rules = RoomVersionId::try_from(version)?.rules().context("no rules")?;
        let id = self.key.id();
        let there = &event["signatures"][&self.server][&id];
        ensure!(there.is_string(), "no signature of the policy server: {event}");
        let mut bare = canonical(event)?;
        bare.remove("unsigned");
        let mut bare = serde_json::to_value(redact(bare, &rules.redaction, None)?)?;
        bare["signatures"] = json!({ &self.server: { &id: there } });
        let published = json!({ "verify_keys": { &id: { "key": self.key.public() } } });
        verify(&bare, &self.server, &published)
    }
}

impl Peer {
    /// Signs what is said in rooms of a version, unless it speaks of spam.
    pub fn look_over(&self, version: &str) -> Result<PolicyKey> {
        let key = PolicyKey::generate(self.server_name())?;
        self.sign_by(&key, version);
        Ok(key)
    }

    /// The same with a key that it has already.
    pub fn sign_by(&self, key: &PolicyKey, version: &str) {
        let (key, version) = (key.clone(), version.to_owned());
        self.answer(Method::POST, SIGN, move |request| {
            let event = request.json();
            if event["content"].to_string().contains("spam") {
                return PeerReply::refusal(400, "M_FORBIDDEN", NO_SPAM);
            }
            match key.sign(&version, &event) {
                Ok(signature) => PeerReply::json(&signature),
                Err(error) => PeerReply::refusal(400, "M_BAD_JSON", &format!("{error:#}")),
            }
        });
    }
}
