//! What friends sign, and whose it is.

use std::sync::Arc;

use ruma::{OwnedUserId, UserId};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wayside_identity::{credential::Credential, friend::Friendship};
use wayside_specs::Did;

use super::{Bond, Error, Friends};
use crate::store::{
    Reads,
    friends::{self, Checked},
};

/// After how long somebody of elsewhere is looked into again who was not found out about, in milliseconds.
const AGAIN_MS: i64 = 10 * 60 * 1_000;

/// What came of looking into what the others have signed, for each of these.
pub(super) async fn dids(
    from: &mut impl Reads,
    bonds: &[Bond],
) -> Result<Vec<Option<Checked>>, Error> {
    let hashes: Vec<_> =
        bonds.iter().map(|bond| Some(hash_of(&bond.user_id, bond.record.as_ref()?))).collect();
    let wanted: Vec<[u8; 32]> = hashes.iter().flatten().copied().collect();
    let mut found = friends::checked(from, &wanted).await?;
    Ok(hashes.into_iter().map(|hash| found.remove(&hash?)).collect())
}

/// By what it is remembered: a record is looked into for the account that gives it, and proves nothing of
/// another that has copied it.
fn hash_of(user_id: &UserId, record: &Value) -> [u8; 32] {
    Sha256::digest(format!("{user_id}\0{record}")).into()
}

/// Whose a record is.
pub(super) struct Owned {
    /// The DID of whoever has signed it.
    pub did: Did,
    /// The accounts that they say they have left.
    pub formerly: Vec<OwnedUserId>,
}

impl Friends {
    /// What somebody of this node signs for a friend; nothing where they have no DID.
    pub(super) async fn record(
        &self,
        user_id: &UserId,
        other: &UserId,
    ) -> Result<Option<Value>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let (subjects, _) = crate::store::visitors::persons_of(&mut snapshot, &[other]).await?;
        drop(snapshot);
        let did = if self.ground.is_local(other) {
            self.beneath.persons.identity(other).await?.did
        } else {
            subjects.iter().find_map(|subject| subject.parse().ok())
        };
        self.beneath.persons.befriend(user_id, other, did).await
    }

    /// Finds out in the background whose a record of elsewhere is, where that is not known; whoever asks and is a
    /// friend who has moved is one again.
    pub(super) fn look_into(
        self: &Arc<Self>,
        owner: &UserId,
        bond: &Bond,
        known: Option<&Checked>,
    ) {
        let now_ms = self.ground.clock.now_ms();
        let fresh = |it: &Checked| it.did.is_some() || now_ms - it.checked_ms < AGAIN_MS;
        let Some(record) = &bond.record else { return };
        if known.is_some_and(fresh) || !self.may_look(&format!("{owner} {}", bond.user_id)) {
            return;
        }
        let (friends, owner, record) = (self.clone(), owner.to_owned(), record.clone());
        let bond = bond.clone();
        self.ground.tasks.spawn(async move {
            let seen = async {
                let Some(owned) = friends.prove(&bond.user_id, &record).await? else { return Ok(()) };
                friends.meet_mover(&owner, &bond, &owned.did, &owned.formerly).await
            };
            if let Err(error) = seen.await {
                tracing::debug!(%error, user_id = %bond.user_id, "a record of friendship was not looked into");
            }
        });
    }

    /// Looks into a record, and remembers what came of it; whose it is, where it proves itself.
    async fn prove(&self, user_id: &UserId, record: &Value) -> Result<Option<Owned>, Error> {
        let Ok(_turn) = self.checking.acquire().await else { return Ok(None) };
        let proven = self.owner(user_id, record).await;
        let proven = match proven {
            // Whoever does not answer now may later.
            Err(error @ (Error::NoAnswer(_) | Error::Internal(_))) => {
                return Err(error);
            }
            proven => proven.map_err(|error| error.to_string()),
        };
        let (hash, user_id) = (hash_of(user_id, record), user_id.to_owned());
        let now_ms = self.ground.clock.now_ms();
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let came = proven.as_ref().map(|it| (&it.did, &it.formerly[..]));
                let came = came.map_err(String::as_str);
                tx.note_checked(&hash, &user_id, came, now_ms).await?;
                if let Ok(owned) = &proven {
                    tx.keep_subject(owned.did.subject(), &user_id, now_ms).await?;
                }
                Ok(proven.ok())
            })
        });
        write.await
    }

    /// Whose a record is that an account has given.
    async fn owner(&self, user_id: &UserId, record: &Value) -> Result<Owned, Error> {
        let wrong = |why: &str| Error::Invalid(why.to_owned());
        let credential = Credential::read(record).map_err(|it| wrong(&it.to_string()))?;
        let said = Friendship::read(&credential).ok_or_else(|| wrong("it is no friendship"))?;
        if said.account != user_id.as_str() {
            return Err(wrong("it is of another account"));
        }
        let persons = &self.beneath.persons;
        let formerly = persons.stands_by(user_id, &said.from, &credential).await?;
        Ok(Owned { did: said.from, formerly })
    }

    /// Finds out in the background by what DID somebody of elsewhere is known, so that they are the same
    /// person under another account.
    pub(super) fn learn_of(self: &Arc<Self>, user_id: &UserId) {
        if self.ground.is_local(user_id) || !self.may_look(user_id.as_str()) {
            return;
        }
        let (friends, user_id): (_, OwnedUserId) = (self.clone(), user_id.to_owned());
        self.ground.tasks.spawn(async move {
            let Ok(_turn) = friends.checking.acquire().await else { return };
            let learnt = async {
                let Some(did) = friends.beneath.persons.named_by(&user_id).await? else {
                    return Ok(());
                };
                let now_ms = friends.ground.clock.now_ms();
                let (subject, account) = (did.subject().to_owned(), user_id.clone());
                let write = friends.ground.store.write::<_, Error>(move |tx| {
                    Box::pin(async move { Ok(tx.keep_subject(&subject, &account, now_ms).await?) })
                });
                write.await
            };
            if let Err(error) = learnt.await {
                tracing::debug!(%error, %user_id, "the DID of somebody was not learnt");
            }
        });
    }

    /// Whether somebody was not looked into just now.
    fn may_look(&self, whom: &str) -> bool {
        let now_ms = self.ground.clock.now_ms();
        if self.looked_into.get(whom).is_some_and(|at_ms| now_ms - at_ms < AGAIN_MS) {
            return false;
        }
        self.looked_into.insert(whom.to_owned(), now_ms);
        true
    }
}
