//! E-mail addresses of accounts: proving that one reads them, and what that is good for.
//!
//! A client asks for a proof, and holds its id and a secret of its own. A mail leads its reader to a
//! page of this node, where they confirm. Then, once, the client may use what they proved: for an
//! account of its own, for a new account, or for a new password. Following the link confirms nothing
//! by itself, for there are machines that follow every link in a mail.

mod mailer;

use std::sync::Arc;

use lettre::address::Address;
use ruma::{OwnedUserId, UserId};
use sha2::{Digest, Sha256};
use wayside_specs::limits;

use self::mailer::Mailer;
use super::{Error, Ground, Language, accounts::Accounts};
pub use crate::store::emails::EmailRow;
use crate::store::{
    StoreError, Tx,
    emails::{self, ProofRow},
};

/// How long a proof may take to be given and used, in milliseconds.
const PROOF_MS: i64 = 2 * 60 * 60 * 1_000;
/// Most mails to one address within that time.
const MAILS: i64 = 5;
/// Letters of the id of a proof, and of what its mail holds.
const SID_CHARS: usize = 24;
const TOKEN_CHARS: usize = 40;
/// Proofs that are forgotten in one go.
const AT_ONCE: i64 = 500;

/// The service of addresses.
pub struct Emails {
    ground: Arc<Ground>,
    accounts: Arc<Accounts>,
    mailer: Option<Mailer>,
}

/// What an address is proven for. A proof for one thing is good for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be an account's.
    Add,
    /// To make an account.
    Register,
    /// To set a new password.
    Password,
}

impl Purpose {
    const ALL: [Self; 3] = [Self::Add, Self::Register, Self::Password];

    fn as_str(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Register => "register",
            Self::Password => "password",
        }
    }

    /// What the mail says that its reader is asked for, and so does the page to which it leads.
    #[must_use]
    pub fn words(self, language: Language) -> &'static str {
        match (language, self) {
            (Language::English, Self::Add) => "to add this address to your account",
            (Language::English, Self::Register) => "to make an account with this address",
            (Language::English, Self::Password) => "to set a new password for your account",
            (Language::German, Self::Add) => "diese Adresse zu deinem Konto hinzuzufügen",
            (Language::German, Self::Register) => "ein Konto mit dieser Adresse anzulegen",
            (Language::German, Self::Password) => "ein neues Passwort für dein Konto zu setzen",
        }
    }
}

/// For what somebody is to prove that they read their mail.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// For what.
    pub purpose: Purpose,
    /// The address of this node, to which the mail leads.
    pub public: &'w str,
    /// In which language the mail is.
    pub language: Language,
}

/// What a client shows of a proof.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its id.
    pub sid: String,
    /// The secret with which it was asked for.
    pub client_secret: String,
}

/// What asking for a proof led to.
enum Asked {
    /// The mail went out before.
    Known(String),
    /// A mail is to go out, unless nobody would be helped by it.
    New { sid: String, token: String, helps: bool },
}

impl Emails {
    /// The service on its ground.
    pub fn new(ground: Arc<Ground>, accounts: Arc<Accounts>) -> anyhow::Result<Self> {
        let mailer = Mailer::of(&ground.config)?;
        Ok(Self { ground, accounts, mailer })
    }

    /// Whether this node sends mail.
    #[must_use]
    pub fn are_sent(&self) -> bool {
        self.mailer.is_some()
    }

    /// Sends a mail that asks its reader to prove that they read it; gives the proof's id. The same
    /// number of an attempt sends no second one. Whether an address is anybody's is not told to
    /// whoever wants a new password, neither by the answer nor by its time.
    pub async fn ask(
        self: &Arc<Self>,
        Wanted { purpose, public, language }: Wanted<'_>,
        (client_secret, attempt): (&str, i64),
        address: &str,
    ) -> Result<String, Error> {
        if self.mailer.is_none() {
            return Err(Error::MediumUnsupported);
        }
        let to = read_address(address)?;
        let address = canonical(address);
        let proof = ProofRow {
            sid: self.ground.clock.random_name(SID_CHARS),
            purpose: purpose.as_str().to_owned(),
            address,
            secret_hash: hash(client_secret),
            token_hash: [0; 32],
            attempt,
            validated_ms: None,
            expires_ms: self.ground.clock.now_ms() + PROOF_MS,
        };
        let token = self.ground.clock.random_name(TOKEN_CHARS);
        let asked = self.begin(purpose, proof, token).await?;
        let (sid, token) = match asked {
            Asked::New { sid, token, helps: true } => (sid, token),
            Asked::New { sid, .. } | Asked::Known(sid) => return Ok(sid),
        };
        let link = format!("{public}/confirm/{sid}/{token}");
        let (emails, id) = (self.clone(), sid.clone());
        let mail = mail(language, purpose, self.ground.server_name.as_str(), &link);
        let sending = async move { emails.send(to, mail, (&id, attempt)).await };
        if purpose == Purpose::Password {
            self.ground.tasks.spawn(async move {
                if let Err(error) = sending.await {
                    tracing::warn!(%error, "a mail could not be sent");
                }
            });
        } else {
            self.ground.to_its_end(sending).await?;
        }
        Ok(sid)
    }

    async fn begin(
        &self,
        purpose: Purpose,
        mut proof: ProofRow,
        token: String,
    ) -> Result<Asked, Error> {
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let owner = emails::owner(tx, &proof.address).await?;
                    if purpose != Purpose::Password && owner.is_some() {
                        return Err(Error::EmailTaken);
                    }
                    let known =
                        emails::proof_of(tx, purpose.as_str(), &proof.address, &proof.secret_hash)
                            .await?;
                    if let Some(known) = known {
                        if known.expires_ms <= now_ms {
                            tx.remove_proof(&known.sid).await?;
                        } else if known.attempt >= proof.attempt || known.validated_ms.is_some() {
                            return Ok(Asked::Known(known.sid));
                        } else {
                            proof.sid = known.sid;
                        }
                    }
                    if emails::mails_to(tx, &proof.address, now_ms).await? >= MAILS {
                        let retry_ms = u64::try_from(PROOF_MS / MAILS).unwrap_or(0);
                        return Err(Error::TooOften { retry_ms });
                    }
                    proof.token_hash = hash(&token);
                    tx.ask_proof(&proof).await?;
                    let helps = purpose != Purpose::Password || owner.is_some();
                    Ok(Asked::New { sid: proof.sid, token, helps })
                })
            })
            .await
    }

    async fn send(
        &self,
        to: Address,
        (subject, text): (String, String),
        (sid, attempt): (&str, i64),
    ) -> Result<(), Error> {
        let Some(mailer) = &self.mailer else { return Err(Error::MediumUnsupported) };
        let sent = mailer.send(to, subject, text).await;
        let Err(error) = sent else { return Ok(()) };
        let sid = sid.to_owned();
        let noting = self.ground.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move { tx.note_unsent(&sid, attempt).await })
        });
        noting.await?;
        let error = format!("{error:#}");
        tracing::warn!(%error, "the mail server did not take a mail");
        Err(Error::NoAnswer("the mail could not be sent: try again later".to_owned()))
    }

    /// Whether a link of a mail is good: for which address, and what its reader confirms by it.
    pub async fn link(&self, sid: &str, token: &str) -> Result<Option<(String, Purpose)>, Error> {
        let proof = emails::proof(&mut self.ground.store.snapshot().await?, sid).await?;
        let now_ms = self.ground.clock.now_ms();
        // Both are hashes of what nobody can guess: how long it takes to compare them tells nothing.
        let good = |proof: &ProofRow| proof.expires_ms > now_ms && proof.token_hash == hash(token);
        let Some(proof) = proof.filter(good) else { return Ok(None) };
        let purpose = Purpose::ALL.into_iter().find(|it| it.as_str() == proof.purpose);
        Ok(purpose.map(|purpose| (proof.address, purpose)))
    }

    /// Takes the proof that whoever opened a link gives; whether the link was good.
    pub async fn confirm(&self, sid: &str, token: &str) -> Result<bool, Error> {
        if self.link(sid, token).await?.is_none() {
            return Ok(false);
        }
        let (sid, now_ms) = (sid.to_owned(), self.ground.clock.now_ms());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    tx.give_proof(&sid, now_ms).await?;
                    Ok(true)
                })
            })
            .await
    }

    /// Checks that a proof was given, without using it.
    pub async fn check(&self, purpose: Purpose, shown: &Shown) -> Result<(), Error> {
        let proof = emails::proof(&mut self.ground.store.snapshot().await?, &shown.sid).await?;
        given(proof, purpose, shown, self.ground.clock.now_ms()).map(drop)
    }

    /// Makes a proven address an account's.
    pub async fn add(&self, user_id: &UserId, purpose: Purpose, shown: Shown) -> Result<(), Error> {
        let (user_id, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let proof = take(tx, purpose, &shown, now_ms).await?;
                    let most = limits::EMAILS_PER_USER;
                    let known = emails::of_person(tx, &user_id, most).await?.len();
                    if i64::try_from(known).is_ok_and(|count| count >= most) {
                        return Err(Error::TooLarge(format!("at most {most} addresses are kept")));
                    }
                    let validated_ms = proof.validated_ms.unwrap_or(now_ms);
                    let email = EmailRow { address: proof.address, validated_ms, added_ms: now_ms };
                    tx.add_email(&user_id, &email).await.map_err(|error| match error {
                        StoreError::Taken => Error::EmailTaken,
                        other => other.into(),
                    })
                })
            })
            .await
    }

    /// The addresses of an account.
    pub async fn list(&self, user_id: &UserId) -> Result<Vec<EmailRow>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(emails::of_person(&mut snapshot, user_id, limits::EMAILS_PER_USER).await?)
    }

    /// Takes an address from an account; one that it does not have is gone already.
    pub async fn remove(&self, user_id: &UserId, address: &str) -> Result<(), Error> {
        let (user_id, address) = (user_id.to_owned(), canonical(address));
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move { Ok(tx.remove_email(&user_id, &address).await?) })
            })
            .await
    }

    /// Whose an address is.
    pub async fn owner(&self, address: &str) -> Result<Option<OwnedUserId>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(emails::owner(&mut snapshot, &canonical(address)).await?)
    }

    /// Sets a new password for the account whose address was proven, and if wished signs it out
    /// everywhere.
    pub async fn reset_password(
        &self,
        shown: Shown,
        password: String,
        sign_out: bool,
    ) -> Result<(), Error> {
        // Hashing takes long: it is not done for everybody who asks.
        self.check(Purpose::Password, &shown).await?;
        let password = self.accounts.hash(password).await?;
        let now_ms = self.ground.clock.now_ms();
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let proof = take(tx, Purpose::Password, &shown, now_ms).await?;
                    let owner = emails::owner(tx, &proof.address).await?.ok_or_else(unproven)?;
                    if !tx.set_password(&owner, &password).await? {
                        return Err(Error::AccountEnded);
                    }
                    if sign_out {
                        tx.remove_devices(&owner, None).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Forgets proofs that have ended.
    pub async fn sweep(&self) {
        let now_ms = self.ground.clock.now_ms();
        let forgetting = self.ground.store.write::<u64, StoreError>(move |tx| {
            Box::pin(async move { tx.forget_proofs(now_ms, AT_ONCE).await })
        });
        if let Err(error) = forgetting.await {
            tracing::warn!(%error, "forgetting proofs of addresses failed; it is tried again");
        }
    }
}

/// The subject and the text of a mail that asks its reader to confirm something.
fn mail(language: Language, purpose: Purpose, node: &str, link: &str) -> (String, String) {
    let what = purpose.words(language);
    match language {
        Language::English => (
            format!("Confirm your address for {node}"),
            format!(
                "Somebody, we hope you, asked {node} {what}.\n\nTo confirm it, open this page:\n\n\
                 {link}\n\nIt works for two hours. If it was not you, do nothing: nothing happens then.\n"
            ),
        ),
        Language::German => (
            format!("Bestätige deine Adresse für {node}"),
            format!(
                "Jemand, hoffentlich du, hat {node} gebeten, {what}.\n\nÖffne diese Seite, um es zu \
                 bestätigen:\n\n{link}\n\nSie gilt zwei Stunden. Wenn du es nicht warst, tu nichts: Dann \
                 geschieht nichts.\n"
            ),
        ),
    }
}

/// Uses a proof, which is good once.
async fn take(
    tx: &mut Tx,
    purpose: Purpose,
    shown: &Shown,
    now_ms: i64,
) -> Result<ProofRow, Error> {
    let proof = given(emails::proof(tx, &shown.sid).await?, purpose, shown, now_ms)?;
    tx.remove_proof(&proof.sid).await?;
    Ok(proof)
}

fn given(
    proof: Option<ProofRow>,
    purpose: Purpose,
    shown: &Shown,
    now_ms: i64,
) -> Result<ProofRow, Error> {
    let secret_hash = hash(&shown.client_secret);
    let good = |proof: &ProofRow| {
        proof.purpose == purpose.as_str()
            && proof.secret_hash == secret_hash
            && proof.validated_ms.is_some()
            && proof.expires_ms > now_ms
    };
    proof.filter(good).ok_or_else(unproven)
}

fn unproven() -> Error {
    Error::EmailUnproven
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// An address as it is compared (client-server API, third-party identifiers: case is folded).
fn canonical(address: &str) -> String {
    address.trim().to_lowercase()
}

fn read_address(text: &str) -> Result<Address, Error> {
    let wrong = || Error::Invalid("email is no address of e-mail".to_owned());
    if text.len() > limits::EMAIL_BYTES {
        return Err(wrong());
    }
    text.trim().parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_and_stays_within_its_line() {
        assert_eq!(canonical(" Ann@Example.ORG "), "ann@example.org");
        for right in ["a@b.test", "a+b@b.test", "ann.o'tea@b.test"] {
            assert!(read_address(right).is_ok(), "{right}");
        }
        let long = format!("{}@b.test", "a".repeat(300));
        let wrong = [
            "",
            "a",
            "@b.test",
            "a@",
            "a@b\r\nBcc: c@d.test",
            "a b@c.test",
            "a@b@c.test",
            "<a@b.test>",
        ];
        for wrong in wrong.into_iter().chain([long.as_str()]) {
            assert!(read_address(wrong).is_err(), "{wrong}");
        }
    }
}
