//! Bodies: the one that everybody has, those that they upload, and which of them they wear.

use std::sync::Arc;

use quick_cache::sync::Cache;
use ruma::UserId;
use serde_json::{Value, value::RawValue};
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, task::spawn_blocking};
use wayside_specs::limits;
use wayside_world::{
    body,
    inspect::{self, Report},
    motion::{self, Motion},
};

use super::{
    Error, Ground,
    content::{Content, Forms},
};
pub use crate::store::assets::AvatarRow;
use crate::{
    instances::{Changed, Instances},
    store::assets::{self, Worn},
};

/// Bodies made or looked into at the same time; each takes a core.
const WORKING: usize = 2;
/// Generated bodies that are kept in memory, some of a hundred kilobytes each.
const KEPT: usize = 64;
/// What a VRM is.
const CONTENT_TYPE: &str = "model/gltf-binary";
/// Generated bodies that somebody can choose from.
pub const VARIANTS: i64 = 1 << 32;
/// How many of them are shown to them.
const LOOKS: i64 = 64;

/// The service of bodies.
pub struct Bodies {
    ground: Arc<Ground>,
    content: Arc<Content>,
    instances: Arc<Instances>,
    working: Arc<Semaphore>,
    made: Cache<u64, Forms>,
    moves: Cache<&'static str, Forms>,
}

/// What somebody wears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wearing {
    /// Which generated body is theirs.
    pub variant: i64,
    /// Its seed.
    pub seed: u64,
    /// The upload that they wear instead.
    pub upload: Option<[u8; 32]>,
}

impl Wearing {
    /// The reference to the body that they wear.
    #[must_use]
    pub fn avatar(&self) -> String {
        self.upload.map_or_else(|| self.fallback(), |blob| asset_path(&blob))
    }

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

/// The reference to a file that is fetched by its hash.
#[must_use]
pub fn asset_path(blob: &[u8; 32]) -> String {
    format!("/_wayside/v1/assets/{}", hex::encode(blob))
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
    pub fn new(ground: Arc<Ground>, content: Arc<Content>, instances: Arc<Instances>) -> Self {
        let working = Arc::new(Semaphore::new(WORKING));
        let (made, moves) = (Cache::new(KEPT), Cache::new(Motion::ALL.len() * 2));
        Self { ground, content, instances, working, made, moves }
    }

    /// What somebody wears.
    pub async fn of(&self, user_id: &UserId) -> Result<Wearing, Error> {
        let worn = assets::worn(&mut self.ground.store.snapshot().await?, user_id).await?;
        Ok(wearing(user_id, worn.unwrap_or_default()))
    }

    /// The generated body of a seed.
    pub async fn generated(&self, seed: u64) -> Result<Forms, Error> {
        if let Some(made) = self.made.get(&seed) {
            return Ok(made);
        }
        let made = self.work(move || Forms::of(body::vrm(seed))).await?;
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
        let made = self.work(move || Forms::of(motion::vrma(motion))).await?;
        let made = made.map_err(Error::internal)?;
        self.moves.insert(motion.name(), made.clone());
        Ok(made)
    }

    /// The uploads of somebody.
    pub async fn uploads(&self, user_id: &UserId) -> Result<Vec<AvatarRow>, Error> {
        Ok(assets::avatars_of(&mut self.ground.store.snapshot().await?, user_id).await?)
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
        let inspection = self.work(move || inspect::avatar(&bytes)).await?;
        let Some(normalised) = inspection.normalised else {
            return Ok(Looked::Refused(Box::new(inspection.report)));
        };
        let report = serde_json::to_string(&inspection.report).map_err(Error::internal)?;
        let (user_id, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        let keeping = self.content.keep_asset(normalised, CONTENT_TYPE, move |tx, asset| {
            Box::pin(async move {
                let mine = assets::avatars_of(tx, &user_id).await?;
                let known = mine.iter().any(|it| it.blob == asset.blob);
                if !known && mine.len() >= limits::AVATARS_PER_USER {
                    let most = limits::AVATARS_PER_USER;
                    return Err(Error::Forbidden(format!(
                        "you have {most} bodies, which is the most: remove one first"
                    )));
                }
                let row = AvatarRow { blob: asset.blob, size: asset.size, name, report };
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
            return Err(Error::NotFound("you have no such body".to_owned()));
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
                    return Err(Error::NotFound("you have no such body".to_owned()));
                }
                let variant = assets::worn(tx, &owner).await?.unwrap_or_default().variant;
                Ok(tx.wear(&owner, Worn { variant, blob: Some(blob) }).await?)
            })
        });
        wearing.await?;
        self.show(user_id).await
    }

    /// Shows those around somebody what they wear now.
    async fn show(&self, user_id: &UserId) -> Result<(), Error> {
        let avatar = self.of(user_id).await?.avatar();
        self.instances.change(user_id, &Changed::Avatar(avatar));
        Ok(())
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.working.clone().acquire_owned().await.map_err(Error::internal)?;
        let working = move || {
            // The turn lasts as long as the work, also when nobody waits for it any more.
            let _turn = turn;
            work()
        };
        spawn_blocking(working).await.map_err(Error::internal)
    }
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
    Wearing { variant: worn.variant, seed: u64::from_be_bytes(*seed), upload: worn.blob }
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
        let dressed = wearing(ann, Worn { variant: 0, blob: Some([7; 32]) });
        assert!(dressed.avatar().ends_with(&"07".repeat(32)));
        assert_eq!(dressed.fallback(), of(ann, 0).avatar());
        assert_eq!(looks(ann)[1], of(ann, 1).avatar());
    }
}
