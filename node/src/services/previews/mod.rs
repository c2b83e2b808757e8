//! Previews of pages that people link to (client-server API, `GET /media/preview_url`).
//!
//! What was found is remembered in memory for a while, and so is that nothing was: however many ask,
//! a page is fetched once. Its picture becomes a file of this node, which counts against nobody's
//! quota; such files go after some days, and the oldest go earlier where there are too many bytes.

mod page;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
use wayside_specs::limits;
use wayside_world::picture;

use super::{Error, Ground, content::Content};
use crate::outbound::{Answer, Beyond, Bounds, CallError, Url};

/// What fetching a page may cost; what is said in its head stands in its first part.
const PAGE: Bounds =
    Bounds { bytes: 1024 * 1024, beyond: Beyond::Cut, time: Duration::from_secs(10) };
/// What fetching a picture may cost.
const PICTURE: Bounds =
    Bounds { bytes: 8 * 1024 * 1024, beyond: Beyond::Refused, time: Duration::from_secs(15) };
/// Pages that are remembered.
const REMEMBERED: usize = 2_000;
/// How long what was found is remembered, and that nothing was.
const FOUND: Duration = Duration::from_hours(1);
const NOT_FOUND: Duration = Duration::from_mins(5);
/// Pages fetched at once, and how long one more waits for its turn.
const FETCHES: usize = 8;
const WAIT: Duration = Duration::from_secs(10);
/// How long the file of a picture stays, in milliseconds, and most bytes of all of them.
const FILE_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
const FILE_BYTES: i64 = 512 * 1024 * 1024;

/// The service of previews.
pub struct Previews {
    ground: Arc<Ground>,
    content: Arc<Content>,
    remembered: Cache<String, Arc<Remembered>>,
    /// Whoever looks for a page and finds none makes its place at once.
    placing: Mutex<()>,
    fetching: Arc<Semaphore>,
}

/// A page that was asked for.
struct Remembered {
    since: Instant,
    found: OnceCell<Result<Value, NoPreview>>,
}

/// Why there is no preview of a page.
#[derive(Clone, Debug)]
enum NoPreview {
    /// The address leads to where nobody may be led.
    Banned,
    /// There was no answer, or none that says anything.
    NoAnswer(String),
}

impl From<CallError> for NoPreview {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Banned => Self::Banned,
            other => Self::NoAnswer(other.to_string()),
        }
    }
}

impl From<NoPreview> for Error {
    fn from(why: NoPreview) -> Self {
        match why {
            NoPreview::Banned => {
                Self::Forbidden("the address leads into a network that is not public".to_owned())
            }
            NoPreview::NoAnswer(why) => Self::NoAnswer(format!("there is no preview: {why}")),
        }
    }
}

impl Remembered {
    fn is_over(&self, now: Instant) -> bool {
        let lasts = match self.found.get() {
            Some(Ok(_)) => FOUND,
            Some(Err(_)) => NOT_FOUND,
            // It is being fetched, which takes an end of its own.
            None => return false,
        };
        now.saturating_duration_since(self.since) > lasts
    }
}

impl Previews {
    /// The service on its ground; the sweep of its files must run beside it.
    #[must_use]
    pub fn new(ground: Arc<Ground>, content: Arc<Content>) -> Self {
        Self {
            ground,
            content,
            remembered: Cache::new(REMEMBERED),
            placing: Mutex::new(()),
            fetching: Arc::new(Semaphore::new(FETCHES)),
        }
    }

    /// Whether this node makes previews.
    #[must_use]
    pub fn are_made(&self) -> bool {
        self.ground.config.url_previews
    }

    /// What the page at an address says about itself: Open Graph's properties, its picture as a file
    /// of this node.
    pub async fn preview(self: &Arc<Self>, address: &str) -> Result<Value, Error> {
        if address.len() > limits::URL_BYTES {
            let most = limits::URL_BYTES;
            return Err(Error::Invalid(format!("url has at most {most} bytes")));
        }
        let wrong = |error: CallError| match error {
            CallError::Banned => NoPreview::Banned.into(),
            other => Error::Invalid(format!("url: {other}")),
        };
        let mut url = self.ground.outbound.address(address, true).map_err(wrong)?;
        // What stands behind it is for whoever shows the page, and no server hears of it.
        url.set_fragment(None);
        let place = self.place(url.as_str());
        let previews = self.clone();
        // It goes on though whoever asked hangs up: others may wait for the same page.
        let found = self.ground.to_its_end(async move {
            let fetch = || previews.fetch(url);
            Ok(place.found.get_or_try_init(fetch).await?.clone())
        });
        Ok(found.await??)
    }

    fn place(&self, url: &str) -> Arc<Remembered> {
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.ground.clock.instant();
        if let Some(known) = self.remembered.get(url).filter(|known| !known.is_over(now)) {
            return known;
        }
        let place = Arc::new(Remembered { since: now, found: OnceCell::new() });
        self.remembered.insert(url.to_owned(), place.clone());
        place
    }

    /// Fetches a page; the outer failure is this node's own, and is not remembered.
    async fn fetch(&self, url: Url) -> Result<Result<Value, NoPreview>, Error> {
        let turn = timeout(WAIT, self.fetching.acquire()).await;
        let crowded =
            |_| Error::Crowded { why: "many previews are being made".to_owned(), retry_ms: 5_000 };
        let _turn = turn.map_err(crowded)?.map_err(Error::internal)?;
        let accept = "text/html, application/xhtml+xml, image/*;q=0.9, */*;q=0.5";
        let answer = match self.ground.outbound.get(&url, true, accept, PAGE).await {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => {
                return Ok(Err(NoPreview::NoAnswer(format!("it answers {}", answer.status))));
            }
            Err(error) => return Ok(Err(error.into())),
        };
        let kind = answer.content_type.clone().unwrap_or_default().to_ascii_lowercase();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_owned();
        let mut told = Map::new();
        if kind.starts_with("image/") {
            let whole = if answer.bytes.len() < PAGE.bytes {
                Some(answer)
            } else {
                self.fetch_picture(&answer.url).await
            };
            self.add_picture(&mut told, whole).await?;
        } else if ["text/html", "application/xhtml+xml", ""].contains(&kind.as_str()) {
            let url = answer.url.clone();
            let reading = move || page::read(&answer.bytes, answer.content_type.as_deref());
            let page = spawn_blocking(reading).await.map_err(Error::internal)?;
            let image = page.image.and_then(|image| url.join(&image).ok());
            told.extend(page.properties.into_iter().map(|(name, text)| (name, text.into())));
            if let Some(image) = image {
                let picture = self.fetch_picture(&image).await;
                self.add_picture(&mut told, picture).await?;
            }
        }
        Ok(Ok(Value::Object(told)))
    }

    async fn fetch_picture(&self, url: &Url) -> Option<Answer> {
        let answer = self.ground.outbound.get(url, true, "image/*", PICTURE).await;
        // A preview without its picture is still one.
        answer.ok().filter(|answer| answer.status.is_success())
    }

    /// Keeps a picture, if it is one, and says what it is.
    async fn add_picture(
        &self,
        told: &mut Map<String, Value>,
        answer: Option<Answer>,
    ) -> Result<(), Error> {
        let Some(answer) = answer else { return Ok(()) };
        let bytes = answer.bytes.clone();
        let looking = spawn_blocking(move || picture::probe(&bytes));
        let Ok(picture) = looking.await.map_err(Error::internal)? else { return Ok(()) };
        let (size, kind) = (answer.bytes.len(), picture.format.content_type());
        let uri = self.content.keep_for_preview(answer.bytes.to_vec(), kind).await?;
        told.insert("og:image".to_owned(), uri.as_str().into());
        told.insert("og:image:type".to_owned(), kind.into());
        told.insert("og:image:width".to_owned(), picture.width.into());
        told.insert("og:image:height".to_owned(), picture.height.into());
        told.insert("matrix:image:size".to_owned(), size.into());
        Ok(())
    }

    /// Removes files that have been there for long, and the oldest where there are too many bytes.
    pub async fn sweep(&self) {
        let before_ms = self.ground.clock.now_ms() - FILE_MS;
        if let Err(error) = self.content.sweep_previews(before_ms, FILE_BYTES).await {
            tracing::warn!(%error, "removing files of previews failed; it is tried again");
        }
    }
}
