//! The node's word: what it says of its people, and the document of the DID by which it says so.

use ruma::UserId;
use serde_json::{Value, json};
use url::Url;
use wayside_identity::{
    badge::NodeRole,
    credential::Draft,
    did::{Document, document::CONTEXT},
    friend::{Friendship, With},
    json,
    key::SigningKey,
    proof::Purpose,
    time::Moment,
};
use wayside_specs::Did;

use super::{Persons, is_at, last_version, own_log};
use crate::{
    services::Error,
    store::{
        Snapshot,
        accounts::{self, Account},
        people,
        persons::{self, PersonRow},
    },
};

/// How long the word that somebody lives here is good, in milliseconds: as long as it takes to show it.
const GOOD_MS: i64 = 10 * 60 * 1_000;

/// What this node says, it says so.
pub struct Voice<'k> {
    /// Its DID.
    pub did: Did,
    /// What its document calls the key.
    pub method: String,
    /// The key.
    pub key: &'k SigningKey,
    /// The address of the node.
    pub base: &'k Url,
}

impl Persons {
    /// How this node says something; none where it has no DID.
    #[must_use]
    pub fn voice(&self) -> Option<Voice<'_>> {
        let (did, base) = (self.node_did()?, self.pages()?);
        let method = format!("{did}#{}", self.key.public().to_multikey());
        Some(Voice { did, method, key: &self.key, base })
    }

    /// The DID of this node: a did:web, since what the node says is as good as the node.
    #[must_use]
    pub fn node_did(&self) -> Option<Did> {
        format!("did:web:{}", self.site.get()?.host).parse().ok()
    }

    /// The document of the node's DID, as the whole world reads it; none where it has none.
    #[must_use]
    pub fn node_document(&self) -> Option<Value> {
        let (did, site) = (self.node_did()?, self.site.get()?);
        let multikey = self.key.public().to_multikey();
        let method = format!("{did}#{multikey}");
        Some(json!({
            "@context": CONTEXT[..2],
            "id": did.as_str(),
            "verificationMethod": [{"id": method, "type": "Multikey", "controller": did.as_str(),
                "publicKeyMultibase": multikey}],
            "assertionMethod": [method],
            "service": [{"id": format!("{did}#node"), "type": "WaysideNode",
                "serviceEndpoint": site.base.as_str()}],
        }))
    }

    /// The word that somebody lives here, for whom they show it to: a credential of home membership.
    pub async fn membership(&self, user_id: &UserId) -> Result<Value, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (voice, row, _) = self.living(&mut snapshot, user_id).await?;
        let profile = people::profile(&mut snapshot, user_id).await?;
        let name = profile.into_iter().find(|(field, _)| field == "displayname");
        let name = name.and_then(|(_, text)| serde_json::from_str::<String>(&text).ok());
        let mut subject =
            json!({"id": row.did.as_str(), "account": user_id.matrix_uri(false).to_string()});
        if let Some(name) = name.filter(|name| !name.trim().is_empty()) {
            subject["name"] = name.into();
        }
        let now = Moment(self.ground.clock.now_ms());
        let draft = Draft {
            issuer: json!({"id": voice.did.as_str(), "name": self.ground.server_name.as_str()}),
            types: &["HomeMembership"],
            subject,
            from: now,
            until: Some(now.plus_ms(GOOD_MS)),
            status: None,
        };
        Ok(draft.signed(&voice.method, voice.key))
    }

    /// What somebody may do here, for whom they show it to.
    pub async fn role(&self, user_id: &UserId) -> Result<Value, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (voice, row, account) = self.living(&mut snapshot, user_id).await?;
        let now = Moment(self.ground.clock.now_ms());
        let role = NodeRole { role: account.role, node: voice.did.clone() };
        let draft = role.draft(&row.did, now, Some(now.plus_ms(GOOD_MS)));
        Ok(draft.signed(&voice.method, voice.key))
    }

    /// The DID by which somebody lives here.
    pub async fn did_of(&self, user_id: &UserId) -> Result<Did, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(self.living(&mut snapshot, user_id).await?.1.did)
    }

    /// Somebody who lives here by a DID of their own, of whom this node may speak.
    async fn living(
        &self,
        snapshot: &mut Snapshot,
        user_id: &UserId,
    ) -> Result<(Voice<'_>, PersonRow, Account), Error> {
        let none = || Error::NotFound("there is no DID of that person here yet".to_owned());
        let voice = self.voice().ok_or_else(none)?;
        let account = accounts::account(snapshot, user_id).await?.ok_or_else(none)?;
        if account.ended_ms.is_some() {
            return Err(Error::AccountEnded);
        }
        let row = persons::of_account(snapshot, user_id).await?.ok_or_else(none)?;
        if !own_log(self.site.get(), user_id).is_some_and(|own| is_at(&row.did, &own)) {
            return Err(Error::NotFound("that DID is elsewhere by now: ask there".to_owned()));
        }
        Ok((voice, row, account))
    }

    /// What somebody says who is somebody's friend, signed by the key with which this node may assert things
    /// for them; nothing where they have written no DID, or do not let it.
    pub async fn befriend(
        &self,
        user_id: &UserId,
        other: &UserId,
        other_did: Option<Did>,
    ) -> Result<Option<Value>, Error> {
        let row = persons::of_account(&mut self.ground.store.snapshot().await?, user_id).await?;
        let Some(row) = row else { return Ok(None) };
        let entry = json::read(last_version(&row.log)).map_err(Error::internal)?;
        let document = Document::from_value(entry["state"].clone()).map_err(Error::internal)?;
        let node = self.key.public();
        let mut methods = document.keys(Purpose::AssertionMethod);
        let Some(method) = methods.find(|method| method.key.as_ref() == Some(&node)) else {
            return Ok(None);
        };
        let with = match other_did {
            Some(did) => With::Person(did),
            None => With::Account(other.to_string()),
        };
        let said = Friendship { from: row.did, account: user_id.to_string(), with };
        let now = Moment(self.ground.clock.now_ms());
        Ok(Some(said.signed(now, &method.id, &self.key)))
    }
}
