//! Showing a passkey: to come in, to choose a new password, or to confirm what is done.

use ruma::UserId;
use serde_json::{Value, json};
use wayside_specs::limits;
use webauthn_rs::prelude::{DiscoverableAuthentication, PublicKeyCredential, WebauthnError};

use super::{Begun, Purpose, Shown, checked, credential, over, read, wrong};
use crate::{
    services::{
        Error,
        accounts::{Accounts, Confirmed},
    },
    store::{Tx, passkeys},
};

/// What nobody who is signed in shows a passkey for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Coming in.
    SignIn,
    /// Choosing a new password.
    Password,
}

/// A passkey that was shown, and what its use changes.
pub(in crate::services::accounts) struct Asserted {
    passkey_id: String,
    /// What was remembered of it when it was checked.
    before: String,
    /// What is to be remembered from now on: its counter, and whether it is backed up.
    after: String,
    hash: [u8; 32],
    expires_ms: i64,
    now_ms: i64,
}

impl Asserted {
    /// Uses it, once, unless it was removed or used elsewhere since it was checked.
    pub(in crate::services::accounts) async fn spend(&self, tx: &mut Tx) -> Result<(), Error> {
        if !tx.spend_challenge(&self.hash, self.expires_ms).await? {
            return Err(over());
        }
        let (id, now_ms) = (&self.passkey_id, self.now_ms);
        if !tx.use_passkey(id, &self.before, &self.after, now_ms).await? {
            return Err(over());
        }
        Ok(())
    }
}

impl From<Use> for Purpose {
    fn from(goal: Use) -> Self {
        match goal {
            Use::SignIn => Self::SignIn,
            Use::Password => Self::Password,
        }
    }
}

impl Accounts {
    /// Begins a ceremony for whoever has a passkey here; nothing is kept for it.
    pub fn begin_use(&self, goal: Use) -> Result<Begun, Error> {
        self.begin_showing(goal.into(), &[])
    }

    /// Begins a ceremony by which somebody confirms what they do.
    pub async fn begin_confirming(&self, user_id: &UserId) -> Result<Begun, Error> {
        self.site()?;
        let mut known = Vec::new();
        for row in self.passkeys(user_id).await? {
            known.push(read(&row)?.cred_id().clone());
        }
        if known.is_empty() {
            return Err(Error::NotFound("this account has no passkeys".to_owned()));
        }
        self.begin_showing(Purpose::Confirm(user_id.to_owned()), &known)
    }

    fn begin_showing(&self, purpose: Purpose, only: &[Vec<u8>]) -> Result<Begun, Error> {
        let begun = self.site()?.start_discoverable_authentication();
        let (asked, state) = begun.map_err(Error::internal)?;
        let mut options = serde_json::to_value(asked.public_key).map_err(Error::internal)?;
        options["allowCredentials"] = only.iter().map(|id| named(id)).collect();
        let ceremony = self.sealed(purpose, state)?;
        Ok(Begun { ceremony, options })
    }

    /// Whoever shows one of their passkeys.
    pub async fn known_by_passkey(&self, goal: Use, shown: Shown) -> Result<Confirmed, Error> {
        self.shown(&goal.into(), shown).await
    }

    /// Somebody who confirms what they do by showing one of their passkeys.
    pub async fn confirm_by_passkey(
        &self,
        user_id: &UserId,
        shown: Shown,
    ) -> Result<Confirmed, Error> {
        self.shown(&Purpose::Confirm(user_id.to_owned()), shown).await
    }

    async fn shown(&self, purpose: &Purpose, shown: Shown) -> Result<Confirmed, Error> {
        let site = self.site()?.clone();
        let given: PublicKeyCredential = credential(shown.credential)?;
        let answered = self.opened::<DiscoverableAuthentication>(purpose, &shown.ceremony)?;
        let credential_id = given.get_credential_id();
        if credential_id.len() > limits::CREDENTIAL_ID_BYTES {
            return Err(unknown());
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = passkeys::by_credential(&mut snapshot, credential_id).await?;
        let row = row.ok_or_else(unknown)?;
        let handle = passkeys::handle(&mut snapshot, &row.user_id).await?;
        drop(snapshot);
        let handle = handle.as_ref().map(<[u8; 16]>::as_slice);
        let fits = match (purpose, given.get_user_unique_id()) {
            // Where the account is known before, authenticators need not name it.
            (Purpose::Confirm(user_id), None) => *user_id == row.user_id,
            (Purpose::Confirm(user_id), named) => *user_id == row.user_id && named == handle,
            (_, named) => named.is_some() && named == handle,
        };
        if !fits {
            return Err(Error::Forbidden("this passkey is another account's".to_owned()));
        }
        let mut passkey = read(&row)?;
        let (key, state) = (passkey.clone(), answered.state);
        let check = move || site.finish_discoverable_authentication_v2(&given, state, &key);
        let used = match checked(check).await? {
            Ok(used) => used,
            Err(error) => {
                if matches!(error, WebauthnError::CredentialPossibleCompromise) {
                    let id = &row.passkey_id;
                    tracing::warn!(%id, "the counter of a passkey went back: it may have been copied");
                }
                return Err(wrong(&error));
            }
        };
        passkey.update_credential(&used).ok_or_else(unknown)?;
        let asserted = Asserted {
            passkey_id: row.passkey_id,
            before: row.credential,
            after: serde_json::to_string(&passkey).map_err(Error::internal)?,
            hash: answered.hash,
            expires_ms: answered.expires_ms,
            now_ms: self.ground.clock.now_ms(),
        };
        Ok(Confirmed::by_passkey(row.user_id, asserted))
    }
}

fn named(credential_id: &[u8]) -> Value {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    json!({ "type": "public-key", "id": URL_SAFE_NO_PAD.encode(credential_id) })
}

/// Ids of credentials are long and random: to say that one is not known tells nobody anything.
fn unknown() -> Error {
    Error::NotFound("this node does not know this passkey: it may have been removed".to_owned())
}
