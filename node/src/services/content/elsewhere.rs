//! Files of other servers: fetched once for all who want them, kept as copies, and let go in their order.
//!
//! Whoever asks waits for a bounded time; the file comes within bounds of its own, and is there for
//! whoever asks next. What breaks off leaves nothing.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use quick_cache::sync::Cache;
use ruma::{OwnedServerName, ServerName};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};
use wayside_specs::limits;

use super::{
    super::{
        Error, Ground,
        servers::{AskError, Broken, Coming, Servers},
    },
    keeping::Keeper,
    unknown,
};
use crate::{
    clock::Clock,
    store::{
        blob::{Blob, Received, WriteError},
        media::{self, MediaRow},
        remote_media::{self, RemoteRow},
    },
};

/// Files that come at the same time, and how long one more waits for its turn.
const AT_ONCE: usize = 64;
/// The same of those that visitors bring along.
const BROUGHT_AT_ONCE: usize = 32;
const TURN: Duration = Duration::from_secs(20);
/// How long a file may take in all, and how long nothing of it may come.
const WHOLE: Duration = Duration::from_mins(10);
const SILENCE: Duration = Duration::from_secs(20);
/// How many bytes must have come for each second, once it has had that time to begin.
const BYTES_PER_S: u64 = 4 * 1024;
const BEGIN: Duration = Duration::from_secs(10);
/// Files that could not be had are remembered, so many and so long.
const MISSED: usize = 10_000;
const MISSED_FOR: Duration = Duration::from_mins(1);
/// How long whoever asks waits beyond the time for which they wait for an upload.
const PATIENCE: Duration = Duration::from_secs(30);
/// That a copy was used is noted so often at most, in milliseconds.
const USED_MS: i64 = 60 * 60 * 1_000;
/// Copies that go in one go.
const AWAY_AT_ONCE: i64 = 100;
/// Longest id of a file that is asked for.
const ID_BYTES: usize = 255;

/// A file of a server.
type Key = (OwnedServerName, String);
/// How fetching one ended; nothing while it comes.
type Ended = Option<Result<MediaRow, Missed>>;

/// Fetches files of other servers.
pub(super) struct Elsewhere {
    ground: Arc<Ground>,
    servers: Arc<Servers>,
    blob: Blob,
    keeper: Keeper,
    coming: Mutex<HashMap<Key, watch::Receiver<Ended>>>,
    missed: Cache<Key, (Instant, Missed)>,
    turns: Semaphore,
    brought: Semaphore,
}

/// Why a file could not be had, for all who wait for it.
#[derive(Clone, Debug)]
enum Missed {
    Unknown,
    NotYet,
    TooLarge(String),
    Forbidden(String),
    /// What the server answers is of no use, now and in a moment.
    Useless(String),
    /// Nobody is asked just now.
    NoAnswer(String),
    Node(Arc<Error>),
}

impl Elsewhere {
    pub(super) fn new(
        ground: Arc<Ground>,
        servers: Arc<Servers>,
        blob: Blob,
        keeper: Keeper,
    ) -> Self {
        let (coming, missed) = (Mutex::default(), Cache::new(MISSED));
        let (turns, brought) = (Semaphore::new(AT_ONCE), Semaphore::new(BROUGHT_AT_ONCE));
        Self { ground, servers, blob, keeper, coming, missed, turns, brought }
    }

    /// The copy of a file, fetched if there is none.
    pub(super) async fn row(
        self: &Arc<Self>,
        server: &ServerName,
        media_id: &str,
        wait: Duration,
    ) -> Result<MediaRow, Error> {
        let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~=".contains(&byte);
        let is_id = (1..=ID_BYTES).contains(&media_id.len())
            && media_id.bytes().all(is_sign)
            && media_id.bytes().any(|byte| byte != b'.');
        if !is_id {
            return Err(unknown());
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let copy = remote_media::copy(&mut snapshot, server, media_id).await?;
        drop(snapshot);
        if let Some(RemoteRow { media, used_ms }) = copy {
            self.note_used(server, media_id, used_ms).await?;
            return Ok(media);
        }
        let key = (server.to_owned(), media_id.to_owned());
        if let Some((since, why)) = self.missed.get(&key) {
            if self.ground.clock.instant() < since + MISSED_FOR {
                return Err(why.into());
            }
            self.missed.remove(&key);
        }
        let mut coming = self.coming(key, wait);
        let ended = async {
            let ended = coming.wait_for(Option::is_some).await;
            ended.ok().and_then(|ended| ended.clone())
        };
        tokio::select! {
            ended = timeout(wait + PATIENCE, ended) => match ended {
                Ok(Some(ended)) => Ok(ended?),
                // It broke off with the node, or inside.
                Ok(None) => Err(Error::NoAnswer("the file did not come: try again".to_owned())),
                // It goes on, and is there for whoever asks again.
                Err(_) => Err(Error::NotYetUploaded),
            },
            () = self.ground.stop.cancelled() => Err(Error::NotYetUploaded),
        }
    }

    /// A file that somebody brings along: it is fetched as long as its caller waits, within bounds of its own, and
    /// no copy of it is kept as one. What people here wait for has other turns.
    pub(super) async fn brought(
        &self,
        server: &ServerName,
        media_id: &str,
        most: u64,
    ) -> Result<Received, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        if remote_media::is_blocked(&mut snapshot, server, media_id).await? {
            return Err(unknown());
        }
        drop(snapshot);
        let _turn = self.brought.acquire().await.map_err(Error::internal)?;
        let coming = self.servers.file(server, media_id, BEGIN).await.map_err(Missed::from)?;
        let received = self.blob.receive(paced(coming.bytes, self.ground.clock), most).await;
        Ok(received.map_err(Missed::from)?)
    }

    /// Joins those who wait for a file; the first has it fetched.
    fn coming(self: &Arc<Self>, key: Key, wait: Duration) -> watch::Receiver<Ended> {
        let mut under_way = self.under_way();
        if let Some(coming) = under_way.get(&key) {
            return coming.clone();
        }
        let (told, coming) = watch::channel(None);
        under_way.insert(key.clone(), coming.clone());
        drop(under_way);
        let landing = Landing { elsewhere: self.clone(), key };
        self.ground.tasks.spawn(async move {
            let this = &landing.elsewhere;
            // Boxed: many may come at the same time.
            let fetching = Box::pin(this.fetch(&landing.key, wait));
            let Some(ended) = this.ground.stop.run_until_cancelled(fetching).await else {
                return;
            };
            if let Err(why @ (Missed::Unknown | Missed::TooLarge(_) | Missed::Useless(_))) = &ended
            {
                let since = this.ground.clock.instant();
                this.missed.insert(landing.key.clone(), (since, why.clone()));
            }
            // Those who ask from here on find the copy.
            told.send_replace(Some(ended));
        });
        coming
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<Key, watch::Receiver<Ended>>> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self, (server, media_id): &Key, wait: Duration) -> Result<MediaRow, Missed> {
        let turn = timeout(TURN, self.turns.acquire()).await;
        let busy = || Missed::NoAnswer("too many files are being fetched: try again".to_owned());
        let _turn = turn.map_err(|_| busy())?.map_err(Error::internal)?;
        let Coming { said, bytes } = self.servers.file(server, media_id, wait).await?;
        let most = self.ground.config.max_remote_file_bytes;
        let received = self.blob.receive(paced(bytes, self.ground.clock), most).await?;
        let fits = |text: &String| text.len() <= limits::NAME_BYTES && !text.contains('\0');
        let written = received.written();
        let row = MediaRow {
            blob: written.hash,
            size: i64::try_from(written.size).map_err(Error::internal)?,
            content_type: said.content_type.filter(fits),
            file_name: said.file_name.filter(fits),
        };
        let (server, media_id) = (server.clone(), media_id.clone());
        let now_ms = self.ground.clock.now_ms();
        let naming = self.keeper.keep(received, move |tx| {
            Box::pin(async move {
                // It may have been blocked while it came.
                if remote_media::is_blocked(tx, &server, &media_id).await? {
                    return Err(unknown());
                }
                tx.add_copy(&server, &media_id, &row, now_ms).await?;
                // Another process may have been first.
                let copy = remote_media::copy(tx, &server, &media_id).await?;
                Ok(copy.map_or(row, |copy| copy.media))
            })
        });
        let row = naming.await?;
        if row.blob != written.hash {
            self.keeper.discard(vec![written.hash]).await;
        }
        self.make_room().await?;
        Ok(row)
    }

    /// Lets copies go, those first that were used least lately, until the others may stay.
    async fn make_room(&self) -> Result<(), Error> {
        let most = i64::try_from(self.ground.config.remote_media_bytes).unwrap_or(i64::MAX);
        loop {
            let mut snapshot = self.ground.store.snapshot().await?;
            let (bytes, _) = remote_media::least_used(&mut snapshot, 0).await?;
            drop(snapshot);
            if bytes <= most {
                return Ok(());
            }
            let case = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    let (mut bytes, least) = remote_media::least_used(tx, AWAY_AT_ONCE).await?;
                    let mut away = Vec::new();
                    for (server, media_id, blob, size) in least {
                        if bytes <= most {
                            break;
                        }
                        tx.remove_copy(&server, &media_id).await?;
                        bytes -= size;
                        let made = media::thumbnails(tx, &blob).await?;
                        away.push(blob);
                        away.extend(made.into_iter().map(|(.., made)| made.blob));
                    }
                    while tx.remove_left_thumbnails().await? > 0 {}
                    Ok(away)
                })
            });
            let away = case.await?;
            self.keeper.discard(away).await;
        }
    }

    async fn note_used(
        &self,
        server: &ServerName,
        media_id: &str,
        used_ms: i64,
    ) -> Result<(), Error> {
        let now_ms = self.ground.clock.now_ms();
        if now_ms - used_ms < USED_MS {
            return Ok(());
        }
        let (server, media_id) = (server.to_owned(), media_id.to_owned());
        let note = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move { Ok(tx.use_copy(&server, &media_id, now_ms).await?) })
        });
        note.await
    }
}

/// Ends the waiting for a file, however fetching it ends.
struct Landing {
    elsewhere: Arc<Elsewhere>,
    key: Key,
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.elsewhere.under_way().remove(&self.key);
    }
}

/// The same bytes, but that they break off where they come too slowly.
fn paced(
    bytes: BoxStream<'static, Result<Bytes, Broken>>,
    clock: Clock,
) -> BoxStream<'static, Result<Bytes, ()>> {
    let begun = clock.instant();
    let paced = stream::unfold(Some((bytes, 0_u64)), move |state| async move {
        let (mut bytes, came) = state?;
        let Ok(chunk) = timeout(SILENCE, bytes.next()).await else {
            tracing::debug!("a file of another server did not go on");
            return Some((Err(()), None));
        };
        match chunk? {
            Ok(chunk) => {
                let (came, gone) = (came + chunk.len() as u64, clock.instant() - begun);
                let due = gone.saturating_sub(BEGIN).as_secs() * BYTES_PER_S;
                if came < due || gone > WHOLE {
                    tracing::debug!(came, "a file of another server came too slowly");
                    return Some((Err(()), None));
                }
                Some((Ok(chunk), Some((bytes, came))))
            }
            Err(error) => {
                tracing::debug!(%error, "a file of another server broke off");
                Some((Err(()), None))
            }
        }
    });
    paced.boxed()
}

impl From<AskError> for Missed {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused { code, .. } if code == "M_NOT_YET_UPLOADED" => Self::NotYet,
            AskError::Refused { code, server, .. } if code == "M_TOO_LARGE" => {
                Self::TooLarge(format!("the server {server} says that the file is too large"))
            }
            AskError::Refused { status: 403 | 404, .. } => Error::from(error).into(),
            AskError::Refused { .. } | AskError::BadAnswer { .. } => {
                Self::Useless(error.to_string())
            }
            other => Error::from(other).into(),
        }
    }
}

impl From<WriteError> for Missed {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::TooLarge { limit } => Self::TooLarge(format!(
                "the file is larger than the {limit} bytes that are fetched"
            )),
            WriteError::BrokenOff => Self::Useless("the file did not come whole".to_owned()),
            WriteError::Store(error) => Error::from(error).into(),
        }
    }
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::Unknown,
            Error::Forbidden(why) => Self::Forbidden(why),
            Error::NoAnswer(why) => Self::NoAnswer(why),
            other => Self::Node(Arc::new(other)),
        }
    }
}

impl From<Missed> for Error {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Unknown => unknown(),
            Missed::NotYet => Self::NotYetUploaded,
            Missed::TooLarge(why) => Self::TooLargeElsewhere(why),
            Missed::Forbidden(why) => Self::Forbidden(why),
            Missed::Useless(why) | Missed::NoAnswer(why) => Self::NoAnswer(why),
            Missed::Node(error) => match &*error {
                Self::Full => Self::Full,
                Self::Unavailable(cause) => Self::Unavailable(anyhow::anyhow!("{cause:#}")),
                other => Self::Internal(anyhow::anyhow!("fetching a file: {other:?}")),
            },
        }
    }
}
