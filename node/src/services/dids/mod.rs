//! Whose document a DID leads to: fetched, proven, and held against what was seen of it before.
//!
//! Every DID is found once however many ask, within bounds of size and time, at addresses that anybody
//! may reach, and no redirect is followed: the place stands in the DID. What was found is believed for
//! as long as it says itself, an hour at most, and for no longer than whoever asks allows: for a key
//! that somebody signs in by, a minute is long.
//!
//! Of a did:webvh the newest version is remembered, of the 200,000 that were asked for last. A log that is
//! shorter, or tells another history, is refused wherever it stands; and whoever has moved is looked for
//! where they moved to.

mod found;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use quick_cache::sync::Cache;
use tokio::{
    sync::{OnceCell, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::timeout,
};
use url::Url;
use wayside_identity::{
    did::{
        DidError, Plan, plan, web,
        webvh::{Fault, History, Place, VersionId},
    },
    time::Moment,
};
use wayside_specs::{Did, limits};

pub use self::found::{Resolved, Unresolved, Webvh};
use super::{Error, Ground};
use crate::{
    outbound::{Beyond, Bounds, Call, Method},
    store::{
        Tx,
        dids::{self, SeenDid},
    },
};

/// DIDs that are remembered.
const REMEMBERED: usize = 2_000;
/// How long a document may be believed at the longest and the shortest, in milliseconds.
const LONGEST_MS: i64 = 60 * 60 * 1_000;
const SHORTEST_MS: i64 = 60 * 1_000;
/// How long a document of did:web is believed, which says nothing of it.
const WEB_MS: i64 = 5 * 60 * 1_000;
/// How long it is remembered that there was none, in milliseconds: whoever mends theirs waits so long.
const FAILED_MS: i64 = 5_000;
/// DIDs that are fetched at once, and how long one more waits for its turn.
const FETCHES: usize = 32;
const TURN: std::time::Duration = std::time::Duration::from_secs(10);
/// DIDs of one host that are fetched at once: one that is slow takes no turns from others.
const OF_A_HOST: usize = 4;
/// How long one address may take.
const ANSWER: std::time::Duration = std::time::Duration::from_secs(10);
/// How long all of them may take for one DID.
const WHOLE: std::time::Duration = std::time::Duration::from_secs(20);
/// A search that began so long ago is joined by whoever wants the newest, in milliseconds.
const JOINED_MS: i64 = 1_000;
/// Logs that are proven at once: each may take much memory for a moment.
const PROVEN_AT_ONCE: usize = 2;
/// Places that a log leads on to, from the one where it was looked for.
const HOPS: usize = 3;
/// After so many versions that are kept, it is looked whether there are too many.
const TIDYING: u64 = 1_000;

/// Which version of a did:webvh is asked for (DID 1.0, section 3.2.1; did:webvh, "Reading DID URLs").
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// That of this id.
    Id(String),
    /// That of this number, from 1.
    Number(usize),
    /// That which was good then.
    Time(Moment),
}

/// The service of DIDs.
pub struct Dids {
    ground: Arc<Ground>,
    remembered: Cache<Did, Arc<Remembered>>,
    /// Whoever looks for a DID and finds none makes its place at once.
    placing: Mutex<()>,
    fetching: Semaphore,
    /// The hosts of which something is fetched, each with its own turns.
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
    proving: Semaphore,
    kept: AtomicU64,
}

/// A turn to fetch something: one of all and one of its host.
struct Turn<'d> {
    _host: OwnedSemaphorePermit,
    _all: SemaphorePermit<'d>,
}

/// A DID that was asked for.
struct Remembered {
    since_ms: i64,
    found: OnceCell<Result<Arc<Resolved>, Arc<Unresolved>>>,
}

impl Remembered {
    /// Whether it is still good at that time for whoever wants nothing older than so much.
    fn is_good(&self, now_ms: i64, max_age_ms: i64) -> bool {
        let lasts_ms = match self.found.get() {
            Some(Ok(resolved)) => resolved.lasts_ms.min(max_age_ms),
            Some(Err(_)) => FAILED_MS.min(max_age_ms),
            // It is being fetched, which has an end of its own.
            None => JOINED_MS.max(max_age_ms),
        };
        now_ms - self.since_ms < lasts_ms
    }
}

impl Dids {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        Self {
            ground,
            remembered: Cache::new(REMEMBERED),
            placing: Mutex::new(()),
            fetching: Semaphore::new(FETCHES),
            hosts: Mutex::default(),
            proving: Semaphore::new(PROVEN_AT_ONCE),
            kept: AtomicU64::new(0),
        }
    }

    /// The document of a DID, found at most so many milliseconds ago.
    pub async fn resolve(
        self: &Arc<Self>,
        did: &Did,
        max_age_ms: i64,
    ) -> Result<Arc<Resolved>, Arc<Unresolved>> {
        let planned = plan(did).map_err(|error| Arc::new(error.into()))?;
        if let Plan::Known(document) = planned {
            return Ok(Arc::new(Resolved::known(*document)));
        }
        let place = self.place(did, max_age_ms);
        let (dids, did) = (self.clone(), did.clone());
        // It goes on though whoever asked hangs up: others may wait for the same.
        let found = self.ground.to_its_end(async move {
            let fetch = || async {
                let found = dids.find(&did, planned).await;
                if let Err(Unresolved::Node(Error::Internal(cause))) = &found {
                    tracing::error!(cause = %format!("{cause:#}"), "looking for a DID failed here");
                }
                found.map(Arc::new).map_err(Arc::new)
            };
            let found = place.found.get_or_init(fetch).await.clone();
            let is_passing = match &found {
                // A large document is not worth the memory that it takes from others.
                Ok(resolved) => resolved.is_large(),
                // That there was no turn says nothing of the DID.
                Err(why) => matches!(**why, Unresolved::Crowded),
            };
            if is_passing {
                dids.remembered.remove_if(&did, |other| Arc::ptr_eq(other, &place));
            }
            Ok(found)
        });
        found.await.unwrap_or_else(|error| Err(Arc::new(error.into())))
    }

    /// One version of a did:webvh, out of a history that is found anew.
    pub async fn version(&self, did: &Did, asked: &Asked) -> Result<Resolved, Unresolved> {
        let Plan::Webvh(place) = plan(did)? else { return Err(Unresolved::NoVersion) };
        let _turn = self.turn(place.log()).await?;
        let history = self.follow(did, place).await?;
        let version = match asked {
            Asked::Id(id) => history.versions().iter().find(|it| it.id.to_string() == *id),
            Asked::Number(number) => {
                number.checked_sub(1).and_then(|it| history.versions().get(it))
            }
            Asked::Time(moment) => history.at(*moment),
        };
        Ok(Resolved::webvh(&history, version.ok_or(Unresolved::NoVersion)?, SHORTEST_MS))
    }

    fn place(&self, did: &Did, max_age_ms: i64) -> Arc<Remembered> {
        let now_ms = self.ground.clock.now_ms();
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.remembered.get(did).filter(|known| known.is_good(now_ms, max_age_ms));
        known.unwrap_or_else(|| {
            let place = Arc::new(Remembered { since_ms: now_ms, found: OnceCell::new() });
            self.remembered.insert(did.clone(), place.clone());
            place
        })
    }

    /// A turn for what is fetched from there: first one of its host, so that whoever waits for a slow one
    /// takes no turn from others meanwhile.
    async fn turn(&self, url: &Url) -> Result<Turn<'_>, Unresolved> {
        let host = url.host_str().unwrap_or_default();
        let turns = {
            let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
            hosts.retain(|_, turns| Arc::strong_count(turns) > 1);
            hosts
                .entry(host.to_owned())
                .or_insert_with(|| Arc::new(Semaphore::new(OF_A_HOST)))
                .clone()
        };
        let turn = async {
            let host = turns.acquire_owned().await.map_err(Error::internal)?;
            let all = self.fetching.acquire().await.map_err(Error::internal)?;
            Ok(Turn { _host: host, _all: all })
        };
        timeout(TURN, turn).await.map_err(|_| Unresolved::Crowded)?
    }

    async fn find(&self, did: &Did, planned: Plan) -> Result<Resolved, Unresolved> {
        match planned {
            Plan::Known(document) => Ok(Resolved::known(*document)),
            Plan::Web(url) => {
                let _turn = self.turn(&url).await?;
                let bytes = self.fetch(&url, limits::DID_DOCUMENT_BYTES).await?;
                Ok(Resolved::web(web::read(did, &bytes)?, WEB_MS))
            }
            Plan::Webvh(place) => {
                let _turn = self.turn(place.log()).await?;
                let history = self.follow(did, place).await?;
                let lasts_ms = i64::try_from(history.latest().parameters.ttl_s).unwrap_or(i64::MAX);
                let lasts_ms = lasts_ms.saturating_mul(1_000).clamp(SHORTEST_MS, LONGEST_MS);
                Ok(Resolved::webvh(&history, history.latest(), lasts_ms))
            }
        }
    }

    /// Looks for a log where it was seen last, then where the DID says, and on to where it leads.
    async fn follow(&self, did: &Did, asked: Place) -> Result<Arc<History>, Unresolved> {
        let search = async {
            let seen = self.seen(asked.scid()).await?;
            let known = seen.as_ref().and_then(|seen| Place::of(&seen.did).ok());
            let first = known.filter(|known| *known != asked);
            let mut refusal = None;
            for place in first.into_iter().chain([asked]) {
                match self.lead(did, place).await {
                    Ok(history) => return Ok(history),
                    // What broke a rule says more than that somebody did not answer.
                    Err(why) if refusal.is_none() || !why.is_absence() => refusal = Some(why),
                    Err(_) => {}
                }
            }
            Err(refusal.unwrap_or(Unresolved::Crowded))
        };
        timeout(WHOLE, search).await.map_err(|_| Unresolved::TooSlow)?
    }

    async fn seen(&self, scid: &str) -> Result<Option<SeenDid>, Unresolved> {
        Ok(dids::seen(&mut self.ground.store.snapshot().await?, scid).await?)
    }

    /// The log at a place, or where it leads from there: whoever moved says so in the log of before.
    async fn lead(&self, did: &Did, mut place: Place) -> Result<Arc<History>, Unresolved> {
        let mut newest: Option<Arc<History>> = None;
        for _ in 0..HOPS {
            let history = match self.log(&place).await {
                Ok(history) => Arc::new(history),
                // It said that it is elsewhere, and nobody is there: what it said itself is what is known.
                Err(why) if why.is_absence() && newest.is_some() => break,
                Err(why) => return Err(why),
            };
            let history = match &newest {
                Some(before) => longer(before, &history)?,
                None => history,
            };
            self.met_before(&history, &place).await?;
            // Kept before it is looked at for a name: it is a history of this SCID, whoever asked.
            self.keep(&history).await?;
            let next = Place::of(history.did())?;
            let stays =
                next == place || newest.as_ref().is_some_and(|it| it.did() == history.did());
            newest = Some(history);
            if stays {
                break;
            }
            place = next;
        }
        let newest = newest.ok_or(Unresolved::Crowded)?;
        if newest.has_name(did) {
            return Ok(newest);
        }
        Err(Unresolved::Did(DidError::OtherSubject(newest.did().to_string())))
    }

    /// Whether a history is of the SCID that its place stands for. Of one that is new here and has moved,
    /// the place before is asked too: whoever holds a key that was replaced there could have moved it.
    async fn met_before(&self, history: &Arc<History>, place: &Place) -> Result<(), Unresolved> {
        if history.scid() != place.scid() {
            return Err(Unresolved::Did(DidError::OtherSubject(history.did().to_string())));
        }
        let places = history.versions().iter().rev();
        let places = places.filter_map(|version| {
            let number = i64::try_from(version.id.number).ok()?;
            Some((number, Place::of(version.document.id()).ok()?))
        });
        let now = Place::of(history.did())?;
        let Some((number, before)) = places.into_iter().find(|(_, other)| *other != now) else {
            return Ok(());
        };
        let seen = self.seen(history.scid()).await?;
        if before == *place || seen.is_some_and(|seen| seen.version > number) {
            return Ok(());
        }
        match self.log(&before).await {
            Ok(other) => longer(history, &Arc::new(other)).map(drop),
            Err(why) if why.is_absence() => Ok(()),
            // What is no history of theirs contradicts none.
            Err(Unresolved::Did(_)) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// The log at a place, proven, with its witnesses where it has some.
    async fn log(&self, place: &Place) -> Result<History, Unresolved> {
        let log = self.fetch(place.log(), limits::DID_LOG_BYTES).await?;
        match self.read(log.clone(), None).await {
            Err(Unresolved::Did(DidError::BadLog { why: Fault::Unwitnessed { .. }, .. })) => {
                let witness = self.fetch(place.witness(), limits::DID_WITNESS_BYTES).await?;
                self.read(log, Some(witness)).await
            }
            other => other,
        }
    }

    async fn read(
        &self,
        log: bytes::Bytes,
        witness: Option<bytes::Bytes>,
    ) -> Result<History, Unresolved> {
        let _proving = self.proving.acquire().await.map_err(Error::internal)?;
        let now = Moment(self.ground.clock.now_ms());
        let read = move || History::read(&log, witness.as_deref(), now);
        Ok(spawn_blocking(read).await.map_err(Error::internal)??)
    }

    /// A log that somebody hands in, proven.
    pub(super) async fn proven(&self, log: Vec<u8>) -> Result<History, Error> {
        self.read(log.into(), None).await.map_err(|why| match why {
            Unresolved::Node(error) => error,
            other => Error::Invalid(other.to_string()),
        })
    }

    /// Forgets what was found of somebody who has written a version here.
    pub(super) fn forget(&self, history: &History) {
        for version in history.versions() {
            self.remembered.remove(version.document.id());
        }
    }

    /// Keeps that a version was seen; another may have been kept since this one was looked for.
    async fn keep(&self, history: &Arc<History>) -> Result<(), Unresolved> {
        let (now_ms, history) = (self.ground.clock.now_ms(), history.clone());
        let tidy = self.kept.fetch_add(1, Ordering::Relaxed).is_multiple_of(TIDYING);
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let kept = keep(tx, &history, now_ms).await?;
                if tidy {
                    tx.forget_seen_dids().await?;
                }
                Ok(kept)
            })
        });
        if write.await? { Ok(()) } else { Err(Unresolved::Older) }
    }

    /// What an issuer publishes beside its document, by the same turns and the same guard.
    pub async fn published(&self, url: &Url, most: usize) -> Result<bytes::Bytes, Unresolved> {
        let _turn = self.turn(url).await?;
        self.fetch(url, most).await
    }

    async fn fetch(&self, url: &Url, most: usize) -> Result<bytes::Bytes, Unresolved> {
        let bounds = Bounds { bytes: most, beyond: Beyond::Refused, time: ANSWER };
        let call = Call { method: Method::GET, authorization: None, body: None };
        let answer = self.ground.outbound.call(url, false, call, bounds).await;
        let answer = answer.map_err(|why| Unresolved::Unreached { url: url.clone(), why })?;
        match answer.status.as_u16() {
            200 => Ok(answer.bytes),
            404 | 410 => Err(Unresolved::Absent(url.clone())),
            300..400 => Err(Unresolved::Redirected(url.clone())),
            status => Err(Unresolved::Answered { url: url.clone(), status }),
        }
    }
}

/// Of two histories of one SCID the one that goes on from the other.
fn longer(one: &Arc<History>, other: &Arc<History>) -> Result<Arc<History>, Unresolved> {
    let is_shorter = one.versions().len() < other.versions().len();
    let (long, short) = if is_shorter { (other, one) } else { (one, other) };
    if long.scid() == short.scid() && long.continues(&short.latest().id) {
        return Ok(long.clone());
    }
    Err(Unresolved::Forked)
}

/// Keeps that a version was seen, if its history goes on from what was seen before.
pub(super) async fn keep(tx: &mut Tx, history: &History, now_ms: i64) -> Result<bool, Error> {
    let latest = &history.latest().id;
    let version = i64::try_from(latest.number).map_err(Error::internal)?;
    let seen = dids::seen(tx, history.scid()).await?;
    if seen.is_some_and(|seen| !goes_on(history, &seen)) {
        return Ok(false);
    }
    let (scid, hash) = (history.scid().to_owned(), latest.hash.clone());
    tx.keep_seen_did(&SeenDid { scid, version, hash, did: history.did().clone() }, now_ms).await?;
    Ok(true)
}

fn goes_on(history: &History, seen: &SeenDid) -> bool {
    let number = usize::try_from(seen.version).unwrap_or(usize::MAX);
    history.continues(&VersionId { number, hash: seen.hash.clone() })
}
