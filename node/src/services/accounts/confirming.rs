//! Confirming on the node's own page what a program asks for: for whoever has no password, or shows it to no program.
//!
//! A request that wants a proof is answered with a session (client-server API, user-interactive
//! authentication). It is good for one request of one device: what the node must know of it is kept
//! by whoever asked, under the node's seal. Only what a person confirms is kept here.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wayside_identity::tag;
use wayside_specs::limits;

use super::{Accounts, Confirmed, Session};
use crate::{
    services::{Error, Unproven},
    store::{
        Tx, accounts,
        confirmations::{self, Stand},
        tokens,
    },
};

/// How long a request may wait for its person, in milliseconds.
const WAIT_MS: i64 = 10 * 60_000;
/// What one person confirmed and no program has used yet, at most.
const KEPT: i64 = 20;
/// Devices that a session names; of more it says how many they are.
const NAMED: usize = 3;
/// Longest session.
const SESSION_BYTES: usize = 12 * 1024;
/// Tell these seals from all others under the same key.
const SESSION: &[u8] = b"confirmation session";
const PARAMETERS: &[u8] = b"confirmation parameters";
const WORD: &[u8] = b"confirmation word of a provider";

/// What a request does that wants a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operation {
    /// Signs another device in.
    SignIn,
    /// Sets a new password.
    NewPassword,
    /// Ends the account for ever.
    EndAccount,
    /// Signs devices out and removes them.
    RemoveDevices {
        /// The first of them.
        devices: Vec<OwnedDeviceId>,
        /// How many more there are.
        more: usize,
    },
    /// Adds an address of e-mail.
    AddEmail,
    /// Replaces the keys by which others know the person.
    ReplaceKeys,
    /// Adds a passkey.
    AddPasskey,
    /// Removes a passkey.
    RemovePasskey {
        /// Its short name.
        passkey: String,
    },
    /// Lets a provider of identities vouch for the person.
    AddLink {
        /// Its id.
        provider: String,
        /// Where the home is, as they type it, of whoever comes by a DID: whose it is shows there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        home: Option<String>,
    },
    /// Lets a provider vouch no longer.
    RemoveLink {
        /// The short name of the link.
        link: String,
    },
}

impl Operation {
    /// The removal of these devices.
    #[must_use]
    pub fn removal(devices: &[OwnedDeviceId]) -> Self {
        let fits = |it: &&OwnedDeviceId| it.as_str().len() <= limits::TOKEN_BYTES;
        let named: Vec<OwnedDeviceId> = devices.iter().filter(fits).take(NAMED).cloned().collect();
        let more = devices.len() - named.len();
        Self::RemoveDevices { devices: named, more }
    }
}

/// A session as it is sealed.
#[derive(Serialize, Deserialize)]
struct Sealed {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    operation: Operation,
    /// A seal over what the request says beside its proof: it may hold a password.
    parameters: String,
    random: String,
    expires_ms: i64,
}

/// What waits for its person's word.
pub struct Waiting {
    /// Who.
    pub user_id: OwnedUserId,
    /// The device that asks, and what it is called.
    pub device: (OwnedDeviceId, Option<String>),
    /// The OAuth client on it, if it is one.
    pub client_id: Option<String>,
    /// What it wants to do.
    pub operation: Operation,
    /// What the devices are called that it names.
    pub names: Vec<Option<String>>,
}

/// A confirmation that a request uses.
pub(super) struct Used {
    hash: [u8; 32],
    now_ms: i64,
}

impl Used {
    /// Uses it, once.
    pub(super) async fn spend(&self, tx: &mut Tx) -> Result<(), Error> {
        if tx.use_confirmation(&self.hash, self.now_ms).await? { Ok(()) } else { Err(over()) }
    }
}

impl Accounts {
    /// A session for a request that wants a proof: the one that it shows, if that is still good for it.
    pub async fn session_for(
        &self,
        asker: &Session,
        operation: &Operation,
        body: &Value,
        shown: Option<&str>,
    ) -> Result<String, Error> {
        if let Some(shown) = shown
            && self.is_for(shown, asker, operation, body)
            && self.stand(shown).await? != Stand::Used
        {
            return Ok(shown.to_owned());
        }
        let sealed = Sealed {
            user_id: asker.user_id.clone(),
            device_id: asker.device_id.clone(),
            operation: operation.clone(),
            parameters: self.parameters(body),
            random: URL_SAFE_NO_PAD.encode(self.ground.clock.random::<16>()),
            expires_ms: self.ground.clock.now_ms() + WAIT_MS,
        };
        seal(&self.ground.token_key, &sealed)
    }

    /// What its person has confirmed of a request, where they have.
    pub async fn confirmed_on_page(
        &self,
        asker: &Session,
        operation: &Operation,
        body: &Value,
        shown: &str,
    ) -> Result<Option<Confirmed>, Error> {
        if !self.is_for(shown, asker, operation, body) {
            return Ok(None);
        }
        let waits = self.stand(shown).await? == Stand::Waits;
        let used = Used { hash: hash(shown), now_ms: self.ground.clock.now_ms() };
        Ok(waits.then(|| Confirmed::on_page(asker.user_id.clone(), used)))
    }

    async fn stand(&self, session: &str) -> Result<Stand, Error> {
        let (hash, now_ms) = (hash(session), self.ground.clock.now_ms());
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(confirmations::stand(&mut snapshot, &hash, now_ms).await?)
    }

    /// The OAuth client that speaks, if one does.
    pub async fn client_of(&self, asker: &Session) -> Result<Option<String>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let device_id = asker.device_id.as_str();
        Ok(tokens::client_of(&mut snapshot, &asker.user_id, device_id).await?)
    }

    /// What a session is for, in the words that its person knows.
    pub async fn waiting(&self, session: &str) -> Result<Waiting, Error> {
        let sealed = self.unsealed(session)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let devices = accounts::devices(&mut snapshot, &sealed.user_id).await?;
        let device_id = sealed.device_id.as_str();
        let client_id = tokens::client_of(&mut snapshot, &sealed.user_id, device_id).await?;
        let name = |id: &OwnedDeviceId| {
            devices.iter().find(|it| it.device_id == *id).and_then(|it| it.name.clone())
        };
        let names = match &sealed.operation {
            Operation::RemoveDevices { devices, .. } => devices.iter().map(name).collect(),
            _ => Vec::new(),
        };
        Ok(Waiting {
            device: (sealed.device_id.clone(), name(&sealed.device_id)),
            user_id: sealed.user_id,
            client_id,
            operation: sealed.operation,
            names,
        })
    }

    /// Keeps that somebody confirmed what waits, who has just proven to be its person.
    pub async fn confirm_waiting(&self, session: &str, confirmed: Confirmed) -> Result<(), Error> {
        let sealed = self.unsealed(session)?;
        if *confirmed.user_id() != sealed.user_id {
            return Err(another());
        }
        let hash = hash(session);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let account = confirmed.still(tx).await?;
                let (user_id, expires_ms) = (&account.user_id, sealed.expires_ms);
                if tx.add_confirmation(&hash, user_id, expires_ms, KEPT).await? {
                    Ok(())
                } else {
                    Err(over())
                }
            })
        });
        write.await
    }

    /// What the page shows of somebody for whom a provider vouched just now: it confirms what waits in
    /// this session, and is good for nothing else.
    pub fn word_for(
        &self,
        session: &str,
        user_id: &UserId,
        browser: &[u8; 32],
    ) -> Result<String, Error> {
        if self.unsealed(session)?.user_id != user_id {
            return Err(another());
        }
        let seal = tag::seal(&self.ground.token_key, &of_word(session, user_id, browser));
        Ok(URL_SAFE_NO_PAD.encode(seal))
    }

    /// Whoever shows such a word for the session.
    pub fn known_by_word(
        &self,
        session: &str,
        word: &str,
        browser: &str,
    ) -> Result<Confirmed, Error> {
        let user_id = self.unsealed(session)?.user_id;
        let word = URL_SAFE_NO_PAD.decode(word).map_err(|_| over())?;
        let browser = Sha256::digest(browser).into();
        if !tag::is_sealed(&self.ground.token_key, &of_word(session, &user_id, &browser), &word) {
            return Err(over());
        }
        Ok(Confirmed::vouched(user_id))
    }

    /// Whether a session that is shown is good for this request.
    fn is_for(&self, shown: &str, asker: &Session, operation: &Operation, body: &Value) -> bool {
        self.unsealed(shown).is_ok_and(|sealed| {
            sealed.user_id == asker.user_id
                && sealed.device_id == asker.device_id
                && sealed.operation == *operation
                && sealed.parameters == self.parameters(body)
        })
    }

    fn unsealed(&self, session: &str) -> Result<Sealed, Error> {
        unseal(&self.ground.token_key, session, self.ground.clock.now_ms())
    }

    /// What stands for all that a request says beside its proof, and tells nobody what it was.
    fn parameters(&self, body: &Value) -> String {
        let mut said = body.clone();
        if let Some(said) = said.as_object_mut() {
            said.remove("auth");
        }
        said.sort_all_objects();
        let seal = tag::seal(&self.ground.token_key, &[PARAMETERS, said.to_string().as_bytes()]);
        URL_SAFE_NO_PAD.encode(seal)
    }
}

fn seal(key: &[u8; 32], sealed: &Sealed) -> Result<String, Error> {
    let text = serde_json::to_vec(sealed).map_err(Error::internal)?;
    let seal = tag::seal(key, &[SESSION, &text]);
    Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(seal)))
}

fn unseal(key: &[u8; 32], session: &str, now_ms: i64) -> Result<Sealed, Error> {
    if session.len() > SESSION_BYTES {
        return Err(over());
    }
    let (text, seal) = session.split_once('.').ok_or_else(over)?;
    let text = URL_SAFE_NO_PAD.decode(text).map_err(|_| over())?;
    let seal = URL_SAFE_NO_PAD.decode(seal).map_err(|_| over())?;
    if !tag::is_sealed(key, &[SESSION, &text], &seal) {
        return Err(over());
    }
    // What the node has sealed it can read, unless a newer one did.
    let sealed: Sealed = serde_json::from_slice(&text).map_err(Error::internal)?;
    if sealed.expires_ms <= now_ms {
        return Err(over());
    }
    Ok(sealed)
}

fn of_word<'w>(session: &'w str, user_id: &'w UserId, browser: &'w [u8; 32]) -> [&'w [u8]; 4] {
    [WORD, session.as_bytes(), user_id.as_bytes(), browser]
}

fn hash(session: &str) -> [u8; 32] {
    Sha256::digest(session).into()
}

/// One answer for all that is wrong with a session.
fn over() -> Error {
    Unproven::Over.into()
}

fn another() -> Error {
    Unproven::Another.into()
}

#[cfg(test)]
mod tests {
    use ruma::{owned_device_id, owned_user_id};

    use super::*;

    const KEY: [u8; 32] = [7; 32];

    fn opens(key: &[u8; 32], session: &str, now_ms: i64) -> bool {
        match unseal(key, session, now_ms) {
            Ok(_) => true,
            Err(Error::Unproven(Unproven::Over)) => false,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_session_opens_in_time_and_unchanged() {
        let sealed = Sealed {
            user_id: owned_user_id!("@ann:a.test"),
            device_id: owned_device_id!("PHONE"),
            operation: Operation::EndAccount,
            parameters: "p".to_owned(),
            random: "r".to_owned(),
            expires_ms: 1_000,
        };
        let session = seal(&KEY, &sealed).unwrap();
        assert!(opens(&KEY, &session, 999));
        assert!(!opens(&KEY, &session, 1_000));
        assert!(!opens(&[8; 32], &session, 999));
        for at in 0..session.len() {
            let mut changed = session.clone().into_bytes();
            changed[at] ^= 1;
            assert!(!opens(&KEY, &String::from_utf8(changed).unwrap(), 999), "{at}");
        }
        for junk in ["", ".", "e30.e30", &"x".repeat(300_000)] {
            assert!(!opens(&KEY, junk, 0));
        }
        bolero::check!().with_type::<String>().for_each(|text| assert!(!opens(&KEY, text, 0)));
    }

    #[test]
    fn however_many_devices_are_removed_a_session_stays_short() {
        let long: OwnedDeviceId = "\u{1}".repeat(255).into();
        let longer: OwnedDeviceId = "x".repeat(256).into();
        let many = [vec![longer; 2], vec![long; 500]].concat();
        let operation = Operation::removal(&many);
        let Operation::RemoveDevices { devices, more } = &operation else { panic!() };
        assert_eq!((devices.len(), *more), (3, 499));
        let sealed = Sealed {
            user_id: owned_user_id!("@ann:a.test"),
            device_id: "\u{1}".repeat(255).into(),
            operation,
            parameters: "p".repeat(43),
            random: "r".repeat(22),
            expires_ms: 1_000,
        };
        assert!(opens(&KEY, &seal(&KEY, &sealed).unwrap(), 0));
    }
}
