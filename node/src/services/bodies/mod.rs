//! Bodies: the one that everybody has, those that they upload, and which of them they wear.
//!
//! Whoever comes from another node wears here what they wear at home: it is fetched, looked into and held
//! against its licence as in [`brought`], and until then they are seen in the body that everybody has.

mod brought;
mod moved;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use quick_cache::sync::Cache;
use ruma::{OwnedServerName, UserId};
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, task::spawn_blocking};
use wayside_identity::{
    avatar::{Licence, Permission, Refused, Terms},
    credential::Credential,
    time::Moment,
};
use wayside_specs::{Did, limits};
use wayside_world::{
    body,
    inspect::{self, Report},
    motion::{self, Motion},
};

pub use self::brought::Brought;
use super::{
    Error, Ground,
    content::{BODY_TYPE, Content, Forms, NewAsset},
    credentials::Credentials,
};
pub use crate::store::assets::AvatarRow;
use crate::{
    instances::{self, Changed, Instances},
    store::assets::{self, Worn},
};

/// Bodies made or looked into at the same time; each takes a core.
const WORKING: usize = 2;
/// Generated bodies that are kept in memory, some of a hundred kilobytes each.
const KEPT: usize = 64;
/// Generated bodies that somebody can choose from.
pub const VARIANTS: i64 = 1 << 32;
/// How many of them are shown to them.
const LOOKS: i64 = 64;

/// The service of bodies.
pub struct Bodies {
    ground: Arc<Ground>,
    content: Arc<Content>,
    instances: Arc<Instances>,
    credentials: Arc<Credentials>,
    working: Arc<Semaphore>,
    /// One turn for all bodies that are brought, so that they do not hold up those of people here.
    looking: Arc<Semaphore>,
    /// The homes of which a body is fetched, each with its own turn.
    homes: Mutex<HashMap<OwnedServerName, Arc<Semaphore>>>,
    made: Cache<u64, Forms>,
    moves: Cache<&'static str, Forms>,
}

/// What somebody wears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wearing {
    /// Which generated body is theirs.
    pub variant: i64,
    /// Its seed.
    pub seed: u64,
    /// The upload that they wear instead.
    pub upload: Option<[u8; 32]>,
    /// The reference to the body that they wear.
    pub avatar: String,
    /// Why it is not shown in a world for violence and sexual acts as well.
    pub unfit: Option<&'static str>,
}

impl Wearing {
    /// The reference to the body that they have of themselves.
    #[must_use]
    pub fn fallback(&self) -> String {
        format!("/_wayside/v1/bodies/{:016x}", self.seed)
    }
}

/// The generated bodies that somebody is shown to choose from, the first of all that are theirs.
#[must_use]
pub fn looks(user_id: &UserId) -> Vec<String> {
    (0..LOOKS).map(|variant| wearing(user_id, Worn { variant, blob: None }).fallback()).collect()
}

/// A body that was uploaded was looked into.
pub enum Looked {
    /// It was accepted and kept.
    Kept(Box<AvatarRow>),
    /// It was refused.
    Refused(Box<Report>),
}

impl Bodies {
    /// The service on its ground.
    #[must_use]
    pub fn new(
        ground: Arc<Ground>,
        content: Arc<Content>,
        instances: Arc<Instances>,
        credentials: Arc<Credentials>,
    ) -> Self {
        let turns = |count| Arc::new(Semaphore::new(count));
        let (made, moves) = (Cache::new(KEPT), Cache::new(Motion::ALL.len() * 2));
        let (working, looking, homes) = (turns(WORKING), turns(1), Mutex::default());
        Self { ground, content, instances, credentials, working, looking, homes, made, moves }
    }

    /// What somebody who lives here wears.
    pub async fn of(&self, user_id: &UserId) -> Result<Wearing, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let worn = assets::worn(&mut snapshot, user_id).await?.unwrap_or_default();
        let mut wearing = wearing(user_id, worn);
        let Some(blob) = worn.blob else { return Ok(wearing) };
        let mine = assets::avatars_of(&mut snapshot, user_id).await?;
        let Some(row) = mine.into_iter().find(|row| row.blob == blob) else { return Ok(wearing) };
        let file = &report_of(&row)["licence"];
        let now = Moment(self.ground.clock.now_ms());
        let licence = row.licence.as_deref().and_then(|text| licence_in(text, &blob, now));
        let terms = terms_of(file).with(licence.as_ref());
        wearing.avatar = self.content.reference(&blob, is_lent(file));
        wearing.unfit = terms.fit_mature().err().map(Refused::code);
        wearing.upload = Some(blob);
        Ok(wearing)
    }

    /// The generated body of a seed.
    pub async fn generated(&self, seed: u64) -> Result<Forms, Error> {
        if let Some(made) = self.made.get(&seed) {
            return Ok(made);
        }
        let made = work(&self.working, move || Forms::of(body::vrm(seed))).await?;
        let made = made.map_err(Error::internal)?;
        self.made.insert(seed, made.clone());
        Ok(made)
    }

    /// What bodies do under a name.
    pub async fn motion(&self, name: &str) -> Result<Forms, Error> {
        let motion = Motion::from_name(name)
            .ok_or_else(|| Error::NotFound(format!("there is no motion {name:?}")))?;
        if let Some(made) = self.moves.get(motion.name()) {
            return Ok(made);
        }
        let made = work(&self.working, move || Forms::of(motion::vrma(motion))).await?;
        let made = made.map_err(Error::internal)?;
        self.moves.insert(motion.name(), made.clone());
        Ok(made)
    }

    /// The uploads of somebody.
    pub async fn uploads(&self, user_id: &UserId) -> Result<Vec<AvatarRow>, Error> {
        Ok(assets::avatars_of(&mut self.ground.store.snapshot().await?, user_id).await?)
    }

    /// The reference by which its owner sees an upload.
    #[must_use]
    pub fn reference(&self, avatar: &AvatarRow) -> String {
        self.content.reference(&avatar.blob, is_lent(&report_of(avatar)["licence"]))
    }

    /// Looks into a body and keeps it, in the form in which it is worn, if it is right.
    pub async fn add(
        &self,
        user_id: &UserId,
        name: String,
        bytes: Vec<u8>,
    ) -> Result<Looked, Error> {
        if name.len() > limits::NAME_BYTES {
            return Err(Error::TooLarge("the name of a body has at most 512 bytes".to_owned()));
        }
        let inspection = work(&self.working, move || inspect::avatar(&bytes)).await?;
        let Some(normalised) = inspection.normalised else {
            return Ok(Looked::Refused(Box::new(inspection.report)));
        };
        let report = json!(inspection.report);
        let lent = is_lent(&report["licence"]);
        let file = NewAsset { bytes: normalised, content_type: BODY_TYPE, lent };
        let report = report.to_string();
        let (user_id, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        let keeping = self.content.keep_asset(file, move |tx, asset| {
            Box::pin(async move {
                let mine = assets::avatars_of(tx, &user_id).await?;
                let known = mine.iter().any(|it| it.blob == asset.blob);
                if !known && mine.len() >= limits::AVATARS_PER_USER {
                    let most = limits::AVATARS_PER_USER;
                    return Err(Error::Forbidden(format!(
                        "you have {most} bodies, which is the most: remove one first"
                    )));
                }
                let licence =
                    mine.into_iter().find_map(|it| (it.blob == asset.blob).then_some(it.licence));
                let licence = licence.flatten();
                let row = AvatarRow { blob: asset.blob, size: asset.size, name, report, licence };
                tx.add_avatar(&user_id, &row, now_ms).await?;
                Ok(row)
            })
        });
        keeping.await.map(|row| Looked::Kept(Box::new(row)))
    }

    /// Removes an upload of somebody.
    pub async fn remove(&self, user_id: &UserId, blob: [u8; 32]) -> Result<(), Error> {
        let owner = user_id.to_owned();
        let removing = self.ground.store.write::<bool, Error>(move |tx| {
            Box::pin(async move { Ok(tx.remove_avatar(&owner, &blob).await?) })
        });
        if !removing.await? {
            return Err(no_such_body());
        }
        self.show(user_id).await?;
        self.content.let_go(blob).await
    }

    /// Has somebody wear one of the generated bodies.
    pub async fn wear_generated(&self, user_id: &UserId, variant: i64) -> Result<(), Error> {
        if !(0..VARIANTS).contains(&variant) {
            return Err(Error::Invalid("variant is a number from 0 to 4294967295".to_owned()));
        }
        let owner = user_id.to_owned();
        let wearing = self.ground.store.write::<(), Error>(move |tx| {
            Box::pin(async move { Ok(tx.wear(&owner, Worn { variant, blob: None }).await?) })
        });
        wearing.await?;
        self.show(user_id).await
    }

    /// Has somebody wear one of their uploads.
    pub async fn wear_upload(&self, user_id: &UserId, blob: [u8; 32]) -> Result<(), Error> {
        let owner = user_id.to_owned();
        let wearing = self.ground.store.write::<(), Error>(move |tx| {
            Box::pin(async move {
                if !assets::avatars_of(tx, &owner).await?.iter().any(|it| it.blob == blob) {
                    return Err(no_such_body());
                }
                let variant = assets::worn(tx, &owner).await?.unwrap_or_default().variant;
                Ok(tx.wear(&owner, Worn { variant, blob: Some(blob) }).await?)
            })
        });
        wearing.await?;
        self.show(user_id).await
    }

    /// Keeps the licence by which somebody wears one of their uploads, or lets it go where there is none.
    pub async fn license(
        &self,
        user_id: &UserId,
        did: Option<&Did>,
        blob: [u8; 32],
        credential: Option<&Value>,
    ) -> Result<(), Error> {
        if let Some(credential) = credential {
            let did = did.ok_or_else(|| Error::NotFound("you have no DID here yet".to_owned()))?;
            self.check_licence(did, &blob, credential).await?;
        }
        let (owner, text) = (user_id.to_owned(), credential.map(Value::to_string));
        let keeping = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.license_avatar(&owner, &blob, text.as_deref()).await?) })
        });
        if !keeping.await? {
            return Err(no_such_body());
        }
        self.show(user_id).await
    }

    /// Shows those around somebody what they wear now.
    async fn show(&self, user_id: &UserId) -> Result<(), Error> {
        let Wearing { avatar, unfit, .. } = self.of(user_id).await?;
        self.instances.change(user_id, &Changed::Avatar(instances::Worn { avatar, unfit }));
        Ok(())
    }
}

/// Works where it holds nobody up, when it has its turn.
async fn work<T: Send + 'static>(
    turns: &Arc<Semaphore>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let turn = turns.clone().acquire_owned().await.map_err(Error::internal)?;
    let working = move || {
        // The turn lasts as long as the work, also when nobody waits for it any more.
        let _turn = turn;
        work()
    };
    spawn_blocking(working).await.map_err(Error::internal)
}

fn no_such_body() -> Error {
    Error::NotFound("you have no such body".to_owned())
}

/// The licence of a body as it was kept, which was verified before, as long as it is good.
fn licence_in(text: &str, blob: &[u8; 32], now: Moment) -> Option<Licence> {
    let credential = Credential::read(&serde_json::from_str(text).ok()?).ok()?;
    let is_good = credential.valid_until().is_none_or(|until| now < until);
    is_good.then(|| Licence::read(&credential, blob).ok())?
}

/// What the file of a body says that its author allows.
fn terms_of(licence: &Value) -> Terms {
    let allows = |name: &str| licence[name] == true;
    Terms {
        permission: Permission::named(licence["avatar_permission"].as_str()),
        violent: allows("violent"),
        sexual: allows("sexual"),
    }
}

/// Whether its author lets a body be shown and not be given on.
fn is_lent(licence: &Value) -> bool {
    licence["redistribution"] != true
}

/// What was found in an upload when it was accepted.
#[must_use]
pub fn report_of(avatar: &AvatarRow) -> Value {
    let report = serde_json::from_str::<Box<RawValue>>(&avatar.report);
    report.ok().and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

fn wearing(user_id: &UserId, worn: Worn) -> Wearing {
    let hash = Sha256::new()
        .chain_update(b"wayside body\0")
        .chain_update(user_id.as_bytes())
        .chain_update(worn.variant.to_be_bytes())
        .finalize();
    let (seed, _) = hash.split_first_chunk::<8>().expect("a SHA-256 has 32 bytes");
    let seed = u64::from_be_bytes(*seed);
    let mut wearing =
        Wearing { variant: worn.variant, seed, upload: None, avatar: String::new(), unfit: None };
    wearing.avatar = wearing.fallback();
    wearing
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn everybody_has_a_body_of_their_own_and_keeps_it() {
        let (ann, bob) = (user_id!("@ann:a.test"), user_id!("@bob:a.test"));
        let of = |user, variant| wearing(user, Worn { variant, blob: None });
        assert_eq!(of(ann, 0), of(ann, 0));
        assert_ne!(of(ann, 0).seed, of(bob, 0).seed);
        assert_ne!(of(ann, 0).seed, of(ann, 1).seed);
        assert_eq!(of(ann, 1).avatar, of(ann, 1).fallback());
        assert_eq!(looks(ann)[1], of(ann, 1).avatar);
    }
}
