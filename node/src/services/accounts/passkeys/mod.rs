//! Passkeys: a person's own keys that sign them in, without a password and past every fishing page.
//!
//! Browsers bind each to the host name of this node (Web Authentication Level 3). A passkey is
//! discoverable, so that nobody names an account to use it, and verifies its person, so that holding
//! a telephone is not enough.

mod ceremony;
mod showing;

use ruma::UserId;
use serde_json::{Map, Value, json};
use url::Url;
use wayside_specs::{Role, limits};
use webauthn_rs::prelude::{
    Passkey, PasskeyRegistration, RegisterPublicKeyCredential, Uuid, Webauthn, WebauthnBuilder,
    WebauthnError, WebauthnResult,
};

use self::ceremony::{Purpose, over};
pub(super) use self::showing::Asserted;
pub use self::{ceremony::CEREMONY_MS, showing::Use};
use super::{Accounts, Confirmed, may_come};
use crate::{
    services::Error,
    store::{
        StoreError, Tx, accounts,
        passkeys::{self, PasskeyRow},
    },
};

/// Letters of the short name of a passkey.
const ID_CHARS: usize = 12;
/// Answered challenges that are forgotten in one go.
const AT_ONCE: i64 = 1_000;

/// A ceremony that begins.
pub struct Begun {
    /// What the page brings back with the answer.
    pub ceremony: String,
    /// What it asks the browser for, in the JSON of Web Authentication (5.1.8 and 5.1.9).
    pub options: Value,
}

/// What somebody shows.
pub struct Shown {
    /// The ceremony that it answers.
    pub ceremony: String,
    /// The browser's answer, in the JSON of Web Authentication (5.1).
    pub credential: Map<String, Value>,
}

/// Where browsers keep passkeys for this node, which is no address but a name, reached in a way that
/// nobody on the line can change.
fn site(public: &str, name: &str) -> Option<Webauthn> {
    let url = Url::parse(public).ok()?;
    let host = url.domain()?;
    let own = host == "localhost" || host.ends_with(".localhost");
    if url.scheme() != "https" && !own {
        return None;
    }
    let origin = Url::parse(&url.origin().ascii_serialization()).ok()?;
    WebauthnBuilder::new(host, &origin).ok()?.rp_name(name).build().ok()
}

impl Accounts {
    /// Offers passkeys, where the address that people type lets browsers keep them.
    pub fn offer_passkeys(&self, public: &str) {
        if let Some(site) = site(public, self.ground.server_name.as_str()) {
            // The address is settled once, before the doors open.
            let _settled = self.site.get_or_init(|| site);
        } else {
            tracing::info!("no passkeys here: public_url is no https address with a name");
        }
    }

    /// Whether this node offers passkeys.
    #[must_use]
    pub fn offers_passkeys(&self) -> bool {
        self.site.get().is_some()
    }

    fn site(&self) -> Result<&Webauthn, Error> {
        self.site.get().ok_or(Error::NoPasskeys)
    }

    /// Begins to add a passkey to the account of whoever confirmed it.
    pub async fn begin_passkey(&self, confirmed: Confirmed) -> Result<Begun, Error> {
        let site = self.site()?;
        let fresh = Uuid::from_bytes(self.ground.clock.random()).into_bytes();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = confirmed.still(tx).await?;
                let known = of_lasting(tx, &account).await?;
                let handle = tx.settle_handle(&account.user_id, &fresh).await?;
                Ok((account.user_id, handle, known))
            })
        });
        let (user_id, handle, known) = write.await?;
        let known: Vec<Passkey> = known.iter().map(read).collect::<Result<_, _>>()?;
        let exclude = known.iter().map(|it| it.cred_id().clone()).collect();
        let (name, shown) = (user_id.as_str(), user_id.localpart());
        let handle = Uuid::from_bytes(handle);
        let begun = site.start_passkey_registration(handle, name, shown, Some(exclude));
        let (asked, state) = begun.map_err(Error::internal)?;
        let mut options = serde_json::to_value(asked.public_key).map_err(Error::internal)?;
        // Without these an authenticator may keep nothing that could be found again without a name.
        options["authenticatorSelection"]["residentKey"] = "required".into();
        options["authenticatorSelection"]["requireResidentKey"] = true.into();
        let ceremony = self.sealed(Purpose::Add(user_id), state)?;
        Ok(Begun { ceremony, options })
    }

    /// Adds the passkey that somebody made.
    pub async fn add_passkey(
        &self,
        user_id: &UserId,
        shown: Shown,
        name: &str,
    ) -> Result<PasskeyRow, Error> {
        let name = checked_name(name)?;
        let site = self.site()?.clone();
        let purpose = Purpose::Add(user_id.to_owned());
        let given: RegisterPublicKeyCredential = credential(shown.credential)?;
        let answered = self.opened::<PasskeyRegistration>(&purpose, &shown.ceremony)?;
        if given.extensions.cred_props.as_ref().is_some_and(|it| it.rk == Some(false)) {
            let why = "this device keeps no passkeys that sign in by themselves: take another";
            return Err(Error::Invalid(why.to_owned()));
        }
        let state = answered.state;
        let passkey = checked(move || site.finish_passkey_registration(&given, &state)).await?;
        let passkey = passkey.map_err(|error| wrong(&error))?;
        let credential_id = passkey.cred_id().clone();
        let text = serde_json::to_string(&passkey).map_err(Error::internal)?;
        if credential_id.len() > limits::CREDENTIAL_ID_BYTES
            || text.len() > limits::CREDENTIAL_BYTES
        {
            return Err(Error::TooLarge("this passkey is larger than any known kind".to_owned()));
        }
        let row = PasskeyRow {
            passkey_id: self.ground.clock.random_name(ID_CHARS),
            user_id: user_id.to_owned(),
            name,
            credential: text,
            created_ms: self.ground.clock.now_ms(),
            used_ms: None,
        };
        let (hash, expires_ms) = (answered.hash, answered.expires_ms);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = accounts::account(tx, &row.user_id).await?;
                may_come(account.clone())?;
                if let Some(account) = account {
                    of_lasting(tx, &account).await?;
                }
                if !tx.spend_challenge(&hash, expires_ms).await? {
                    return Err(over());
                }
                match tx.add_passkey(&credential_id, &row).await {
                    Ok(()) => Ok(row),
                    Err(StoreError::Taken) => {
                        Err(Error::Invalid("this passkey is an account's already".to_owned()))
                    }
                    Err(error) => Err(error.into()),
                }
            })
        });
        write.await
    }

    /// The passkeys of an account, the oldest first.
    pub async fn passkeys(&self, user_id: &UserId) -> Result<Vec<PasskeyRow>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(passkeys::of_person(&mut snapshot, user_id, limits::PASSKEYS_PER_USER).await?)
    }

    /// Renames a passkey.
    pub async fn rename_passkey(
        &self,
        user_id: &UserId,
        passkey_id: &str,
        name: &str,
    ) -> Result<(), Error> {
        let (user_id, id, name) = (user_id.to_owned(), passkey_id.to_owned(), checked_name(name)?);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.rename_passkey(&user_id, &id, &name).await?) })
        });
        if write.await? { Ok(()) } else { Err(gone()) }
    }

    /// Removes a passkey, unless nothing else opens its account.
    pub async fn remove_passkey(
        &self,
        user_id: &UserId,
        passkey_id: &str,
        confirmed: Confirmed,
    ) -> Result<(), Error> {
        let (user_id, id) = (user_id.to_owned(), passkey_id.to_owned());
        let taken = self.taken();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                confirmed.still(tx).await?;
                if !tx.remove_passkey(&user_id, &id).await? {
                    return Err(gone());
                }
                taken.check(tx, &user_id).await
            })
        });
        write.await
    }

    /// Forgets answered challenges, confirmations and registrations whose time is over.
    pub async fn sweep(&self) {
        let now_ms = self.ground.clock.now_ms();
        loop {
            let forgetting = self.ground.store.write::<u64, StoreError>(move |tx| {
                Box::pin(async move {
                    let challenges = tx.forget_challenges(now_ms, AT_ONCE).await?;
                    let confirmations = tx.forget_confirmations(now_ms, AT_ONCE).await?;
                    let registrations = tx.forget_registrations(now_ms, AT_ONCE).await?;
                    Ok(challenges.max(confirmations).max(registrations))
                })
            });
            match forgetting.await {
                Ok(gone) if i64::try_from(gone).is_ok_and(|gone| gone < AT_ONCE) => return,
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "forgetting answered challenges failed; it is tried again");
                    return;
                }
            }
        }
    }

    fn sealed(&self, purpose: Purpose, state: impl serde::Serialize) -> Result<String, Error> {
        let now_ms = self.ground.clock.now_ms();
        ceremony::seal(&self.ground.token_key, purpose, state, now_ms)
    }

    fn opened<S: serde::de::DeserializeOwned>(
        &self,
        purpose: &Purpose,
        sealed: &str,
    ) -> Result<ceremony::Answered<S>, Error> {
        ceremony::open(&self.ground.token_key, purpose, sealed, self.ground.clock.now_ms())
    }
}

/// The passkeys of somebody who may have one more.
async fn of_lasting(tx: &mut Tx, account: &accounts::Account) -> Result<Vec<PasskeyRow>, Error> {
    if account.role == Role::Guest {
        return Err(Error::Guest);
    }
    let most = limits::PASSKEYS_PER_USER;
    let known = passkeys::of_person(tx, &account.user_id, most).await?;
    if i64::try_from(known.len()).is_ok_and(|count| count >= most) {
        return Err(Error::TooLarge(format!("at most {most} passkeys are kept: remove one first")));
    }
    Ok(known)
}

/// What is remembered of a passkey.
fn read(row: &PasskeyRow) -> Result<Passkey, Error> {
    serde_json::from_str(&row.credential).map_err(Error::internal)
}

/// The answer of a browser. The parts of it are objects: what reads them would take lists as well.
fn credential<T: serde::de::DeserializeOwned>(given: Map<String, Value>) -> Result<T, Error> {
    let parts = ["response", "clientExtensionResults", "extensions"];
    if !parts.iter().all(|part| given.get(*part).is_none_or(Value::is_object)) {
        return Err(Error::BadJson("the parts of a credential are objects".to_owned()));
    }
    serde_json::from_value(Value::Object(given))
        .map_err(|error| Error::BadJson(format!("credential is no answer of a browser: {error}")))
}

/// Checks keys and signatures off the async threads.
async fn checked<T: Send + 'static>(
    work: impl FnOnce() -> WebauthnResult<T> + Send + 'static,
) -> Result<WebauthnResult<T>, Error> {
    tokio::task::spawn_blocking(work).await.map_err(Error::internal)
}

fn wrong(error: &WebauthnError) -> Error {
    // What exactly is wrong helps whoever writes a client, and tells nobody else anything.
    Error::Forbidden(format!("this passkey could not be checked: {error}"))
}

fn gone() -> Error {
    Error::NotFound("there is no such passkey".to_owned())
}

fn checked_name(name: &str) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() || name.len() > limits::NAME_BYTES {
        return Err(Error::Invalid("the name of a passkey has 1 to 512 bytes".to_owned()));
    }
    Ok(name.to_owned())
}

/// A passkey as its owner is told of it.
#[must_use]
pub fn told(passkey: &PasskeyRow) -> Value {
    json!({
        "id": passkey.passkey_id,
        "name": passkey.name,
        "created_ms": passkey.created_ms,
        "used_ms": passkey.used_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_answer_of_a_stranger_breaks_the_reading_of_keys() {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let site = site("https://way.example", "a.test").unwrap();
        let (asked, state) =
            site.start_passkey_registration(Uuid::nil(), "ann", "ann", None).unwrap();
        // All but the key is right, so that the key is read at all.
        let client_data = json!({
            "type": "webauthn.create", "origin": "https://way.example",
            "challenge": URL_SAFE_NO_PAD.encode(asked.public_key.challenge),
        });
        let client_data = URL_SAFE_NO_PAD.encode(client_data.to_string());
        bolero::check!().with_type::<(Vec<u8>, bool)>().for_each(|(bytes, whole)| {
            let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData".to_vec();
            if *whole {
                object.clone_from(bytes);
            } else {
                object.extend([0x58, u8::try_from(bytes.len() % 256).unwrap()]);
                object.extend(bytes);
            }
            let given = json!({
                "id": "AAAA", "rawId": "AAAA", "type": "public-key",
                "response": {
                    "clientDataJSON": client_data,
                    "attestationObject": URL_SAFE_NO_PAD.encode(object),
                },
            });
            let Value::Object(given) = given else { unreachable!("it is written so") };
            let given = credential::<RegisterPublicKeyCredential>(given).unwrap();
            assert!(site.finish_passkey_registration(&given, &state).is_err());
        });
    }

    #[test]
    fn passkeys_are_kept_for_names_that_nobody_can_pretend_to_be() {
        for right in [
            "https://example.org",
            "https://example.org:8443/below",
            "http://localhost:8008",
            "http://a.localhost",
            "https://localhost",
        ] {
            let site = site(right, "a.test").unwrap();
            let origin = Url::parse(right).unwrap().origin();
            assert_eq!(site.get_allowed_origins()[0].origin(), origin, "{right}");
        }
        for wrong in [
            "http://example.org",
            "https://192.0.2.1",
            "http://127.0.0.1:8008",
            "https://[::1]:8443",
            "ftp://example.org",
            "",
        ] {
            assert!(site(wrong, "a.test").is_none(), "{wrong}");
        }
    }
}
