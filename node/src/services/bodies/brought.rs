//! Bodies that people of other nodes bring along.
//!
//! They are fetched from their home as any file is, held against the hash that their profile names, looked into
//! by the bounds of this node, and shown if their author lets it.
//!
//! What was looked into is known from then on; those that are seen least lately are forgotten first. One body of
//! a home is fetched at once, and one of all is looked into: whoever comes meanwhile is seen in the body that
//! everybody has.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use ruma::{MxcUri, OwnedServerName, OwnedUserId, ServerName, UserId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use wayside_identity::{
    avatar::{Body, Licence, Refused, Terms, Uploaded},
    credential::Credential,
};
use wayside_specs::Did;
use wayside_world::inspect;

use super::{Bodies, Wearing, Worn, is_lent, terms_of, wearing};
use crate::{
    instances,
    services::{
        Error, Ground,
        content::{BODY_TYPE, Content, NewAsset},
        credentials::Unbelieved,
    },
    store::brought::{self, BroughtRow},
};

/// How long all of it may take.
const WHOLE: Duration = Duration::from_mins(2);
/// Most bodies that are known; they take a quarter of what files of other servers may, beside those.
const KNOWN: i64 = 20_000;
const SHARE: u64 = 4;
/// Bodies that are forgotten in one go.
const AWAY_AT_ONCE: i64 = 20;
/// That a body was seen is noted so often at most, in milliseconds.
const SEEN_MS: i64 = 60 * 60 * 1_000;
/// How long it is believed that one cannot be worn: another version of the node may think otherwise.
const REFUSED_MS: i64 = 24 * 60 * 60 * 1_000;
/// Longest licence, in bytes.
const LICENCE_BYTES: usize = 16 * 1024;

/// A body that somebody brought along, and who they are.
#[derive(Clone, Debug)]
pub struct Brought {
    /// Their account at home.
    pub account: OwnedUserId,
    /// Their DID.
    pub did: Did,
    /// The body.
    pub body: Uploaded,
}

/// Why a body that was brought is not shown.
enum Unworn {
    /// Its author does not let it.
    Refused(Refused),
    /// It is another one than their profile says.
    Changed,
    /// It is none that can be worn here.
    Unusable,
    TooLarge,
    /// Whoever has it, or whoever stands by its licence, did not answer.
    Silent(String),
    Node(Error),
}

impl Bodies {
    /// What somebody of elsewhere is seen in until their own body is here, and that one, if they have one.
    #[must_use]
    pub fn of_visitor(
        &self,
        account: &UserId,
        said: Option<&Value>,
    ) -> (Wearing, Option<Uploaded>) {
        let worn = |variant| wearing(account, Worn { variant, blob: None });
        match said.and_then(Body::read) {
            None => (worn(0), None),
            Some(Body::Generated { variant }) => (worn(variant.into()), None),
            Some(Body::Uploaded(body)) => (worn(0), Some(body)),
        }
    }

    /// Brings somebody's body here: how it is shown, or the short name of why it is not.
    pub async fn bring(&self, brought: &Brought) -> Result<instances::Worn, &'static str> {
        let bringing = Box::pin(timeout(WHOLE, self.worn_by(brought)));
        let ended = self.ground.stop.run_until_cancelled(bringing).await;
        let why = match ended {
            Some(Ok(Ok(worn))) => return Ok(worn),
            Some(Ok(Err(why))) => why,
            Some(Err(_)) | None => Unworn::Silent("it took too long".to_owned()),
        };
        match &why {
            Unworn::Node(error) => tracing::warn!(%error, "a body could not be brought here"),
            Unworn::Silent(why) => tracing::debug!(%why, "a body could not be brought here"),
            _ => {}
        }
        Err(why.code())
    }

    async fn worn_by(
        &self,
        Brought { account, did, body }: &Brought,
    ) -> Result<instances::Worn, Unworn> {
        let (server, media_id) =
            <&MxcUri>::from(&*body.url).parts().map_err(|_| Unworn::Unusable)?;
        // It is their home that says what they wear, and that has it.
        if server != account.server_name() {
            return Err(Unworn::Unusable);
        }
        let row = self.looked_into(server, media_id, &body.sha256).await?;
        let blob = row.blob.ok_or(Unworn::Unusable)?;
        let file: Value = serde_json::from_str(&row.licence).map_err(Error::internal)?;
        let terms = self.allowed(&file, body, did).await?;
        Ok(instances::Worn {
            avatar: self.content.reference(&blob, is_lent(&file)),
            unfit: terms.fit_mature().err().map(Refused::code),
        })
    }

    /// Takes in a body that somebody of another node wore, from whoever brings its file; whether it can be worn.
    pub async fn take_in(&self, bytes: Vec<u8>) -> Result<bool, Error> {
        let source: [u8; 32] = Sha256::digest(&bytes).into();
        let inspection = spawn_blocking(move || inspect::avatar(&bytes)).await;
        let inspection = inspection.map_err(Error::internal)?;
        let Some(normalised) = inspection.normalised else { return Ok(false) };
        let licence = json!(inspection.report.licence);
        match self.keep_brought(source, Some(normalised), &licence).await {
            Ok(_) => Ok(true),
            Err(Unworn::Node(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// The bytes of a body that was seen here, by the hash that its home names.
    pub(super) async fn known_here(&self, source: &[u8; 32]) -> Result<Option<Vec<u8>>, Error> {
        let row = brought::brought(&mut self.ground.store.snapshot().await?, source).await?;
        let Some(blob) = row.and_then(|row| row.blob) else { return Ok(None) };
        self.content.asset_bytes(&blob).await.map(Some)
    }

    /// What its author allows to whoever wears it, by the file and the licence that they bring.
    async fn allowed(&self, file: &Value, body: &Uploaded, did: &Did) -> Result<Terms, Unworn> {
        let terms = terms_of(file);
        let licence = match &body.licence {
            Some(credential) => self.licence(credential, &body.sha256).await,
            None => Ok(None),
        };
        let known = licence.as_ref().ok().and_then(Option::as_ref);
        match (terms.let_wear(known, did), licence) {
            (Ok(terms), _) => Ok(terms),
            (Err(_), Err(why)) => Err(why),
            (Err(why), Ok(_)) => Err(Unworn::Refused(why)),
        }
    }

    /// The licence that a credential is, if it proves itself and its author stands by it still.
    async fn licence(
        &self,
        credential: &Value,
        sha256: &[u8; 32],
    ) -> Result<Option<Licence>, Unworn> {
        if credential.to_string().len() > LICENCE_BYTES {
            return Ok(None);
        }
        let Ok(credential) = Credential::read(credential) else { return Ok(None) };
        let Ok(licence) = Licence::read(&credential, sha256) else { return Ok(None) };
        match self.credentials.stands(&credential).await {
            Ok(()) => Ok(Some(licence)),
            Err(Unbelieved::Silent(why)) => Err(Unworn::Silent(why)),
            Err(Unbelieved::Node(error)) => Err(Unworn::Node(error)),
            Err(_) => Ok(None),
        }
    }

    /// Refuses a licence by which somebody may not wear their upload.
    pub(super) async fn check_licence(
        &self,
        did: &Did,
        blob: &[u8; 32],
        credential: &Value,
    ) -> Result<(), Error> {
        let wrong = |why: &str| Error::Invalid(format!("this licence is of no use: {why}"));
        let licence = self.licence(credential, blob).await.map_err(|why| match why {
            Unworn::Node(error) => error,
            Unworn::Silent(why) => Error::NoAnswer(why),
            _ => wrong("it cannot be verified"),
        })?;
        let licence = licence.ok_or_else(|| {
            wrong("it is no credential of the type AvatarLicence of this body that proves itself")
        })?;
        // The strictest of all files.
        let closed = terms_of(&Value::Null);
        closed.let_wear(Some(&licence), did).map(drop).map_err(|why| wrong(&why.to_string()))
    }

    /// What is known of the body that a home names by a hash, which is looked into if it is new.
    async fn looked_into(
        &self,
        server: &ServerName,
        media_id: &str,
        source: &[u8; 32],
    ) -> Result<BroughtRow, Unworn> {
        if let Some(row) = self.known(source).await? {
            return Ok(row);
        }
        let turns = self.turns_of(server.to_owned());
        let _turn = turns.acquire().await.map_err(Error::internal)?;
        // Whoever had the turn before may have brought the same.
        if let Some(row) = self.known(source).await? {
            return Ok(row);
        }
        let received = self.content.brought(server, media_id).await?;
        if received.written().hash != *source {
            return Err(Unworn::Changed);
        }
        // It waits on the disk, and is in memory only while it is looked into.
        let turn = self.looking.clone().acquire_owned().await.map_err(Error::internal)?;
        let bytes = received.read().await?;
        drop(received);
        let looking = spawn_blocking(move || {
            let _turn = turn;
            inspect::avatar(&bytes)
        });
        let inspection = looking.await.map_err(Error::internal)?;
        let licence = json!(inspection.report.licence);
        self.keep_brought(*source, inspection.normalised, &licence).await
    }

    async fn known(&self, source: &[u8; 32]) -> Result<Option<BroughtRow>, Unworn> {
        let row = brought::brought(&mut self.ground.store.snapshot().await?, source).await?;
        let Some(row) = row else { return Ok(None) };
        let (now_ms, source) = (self.ground.clock.now_ms(), *source);
        let age_ms = now_ms - row.used_ms;
        if row.blob.is_none() {
            return Ok((age_ms < REFUSED_MS).then_some(row));
        }
        if age_ms > SEEN_MS {
            let see = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move { Ok(tx.see_brought(&source, now_ms).await?) })
            });
            see.await?;
        }
        Ok(Some(row))
    }

    async fn keep_brought(
        &self,
        source: [u8; 32],
        normalised: Option<Vec<u8>>,
        licence: &Value,
    ) -> Result<BroughtRow, Unworn> {
        let used_ms = self.ground.clock.now_ms();
        let mut row = BroughtRow { blob: None, licence: licence.to_string(), used_ms };
        let kept = if let Some(bytes) = normalised {
            let file = NewAsset { bytes, content_type: BODY_TYPE, lent: is_lent(licence) };
            let keep = self.content.keep_asset(file, move |tx, asset| {
                Box::pin(async move {
                    row.blob = Some(asset.blob);
                    tx.keep_brought(&source, asset.size, &row).await?;
                    Ok(row)
                })
            });
            keep.await?
        } else {
            row.licence = Value::Null.to_string();
            let keep = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    tx.keep_brought(&source, 0, &row).await?;
                    Ok(row)
                })
            });
            keep.await?
        };
        // Whoever has come waits for none of that.
        self.ground.tasks.spawn(make_room(self.ground.clone(), self.content.clone()));
        Ok(kept)
    }

    fn turns_of(&self, home: OwnedServerName) -> Arc<Semaphore> {
        let mut homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        homes.retain(|_, turns| Arc::strong_count(turns) > 1);
        homes.entry(home).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }
}

/// Forgets bodies, those first that were seen least lately, until the others may stay.
async fn make_room(ground: Arc<Ground>, content: Arc<Content>) {
    // A part of what other servers' files may take, beside which it counts.
    let share = ground.config.remote_media_bytes / SHARE;
    let most = i64::try_from(share).unwrap_or(i64::MAX);
    let forget = async {
        loop {
            let (bytes, count) = brought::size(&mut ground.store.snapshot().await?).await?;
            if bytes <= most && count <= KNOWN {
                return Ok::<_, Error>(());
            }
            let forget = ground.store.write::<_, Error>(|tx| {
                Box::pin(async move { Ok(tx.forget_least_brought(AWAY_AT_ONCE).await?) })
            });
            content.discard(forget.await?).await;
        }
    };
    if let Err(error) = forget.await {
        tracing::warn!(%error, "forgetting bodies failed; it is tried again with the next");
    }
}

impl Unworn {
    /// Its short name (specs/travel.md).
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(why) => why.code(),
            Self::Changed => "body_changed",
            Self::Unusable => "body_unusable",
            Self::TooLarge => "body_too_large",
            Self::Silent(_) | Self::Node(_) => "body_silent",
        }
    }
}

impl From<Error> for Unworn {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) | Error::Forbidden(_) => Self::Unusable,
            Error::TooLargeElsewhere(_) => Self::TooLarge,
            Error::NoAnswer(why) => Self::Silent(why),
            Error::NotYetUploaded => Self::Silent("its file has not come".to_owned()),
            other => Self::Node(other),
        }
    }
}

impl From<crate::store::StoreError> for Unworn {
    fn from(error: crate::store::StoreError) -> Self {
        Self::Node(error.into())
    }
}
