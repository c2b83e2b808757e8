//! Worlds of other nodes, as those nodes show them to everybody: asked for once for all who look.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;
use ruma::{OwnedServerName, RoomOrAliasId, ServerName};
use serde_json::Value;
use tokio::{
    sync::{OnceCell, Semaphore},
    time::timeout,
};
use wayside_specs::limits;
use wayside_world::picture::{self, Method, Size, Thumbnail};

use super::{
    super::{
        Error,
        servers::{AskError, Object, Servers},
    },
    RATINGS, World,
};
use crate::{clock::Clock, config::Visitors, services::content::asset_path};

/// Worlds of other nodes that are remembered, and for how long what was said of one is believed, in
/// milliseconds.
const REMEMBERED: usize = 2_000;
const BELIEVED_MS: i64 = 15_000;
/// Pictures of them that are kept, some tens of kilobytes each.
const PICTURES: usize = 512;
/// Other nodes that are asked at once, and how long whoever looks waits for it in all.
const GLANCES: usize = 8;
const PATIENCE: Duration = Duration::from_secs(6);
/// Pictures that are drawn at once.
const DRAWING: usize = 1;
/// How large they are shown.
const SIZE: Size = Size { width: 640, height: 640 };

/// The world behind a portal.
#[derive(Clone, Debug)]
pub struct Target {
    /// What it is called.
    pub name: String,
    /// What there is to say of it.
    pub description: String,
    /// For whom it is.
    pub rating: String,
    /// How many are in it, and how many fit in.
    pub people: u64,
    /// How many fit in.
    pub capacity: u64,
    /// Whether anybody may come.
    pub public: bool,
    /// The path of its picture on this node.
    pub preview: Option<String>,
    /// Whom its node lets in of others; none where it is on this node.
    pub visitors: Option<Visitors>,
}

/// Why nothing is known of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Its node does not answer.
    Silent,
    /// There is none for everybody.
    Unknown,
    /// Its node takes nobody in who lives elsewhere.
    Closed,
}

impl Trouble {
    /// Its short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Unknown => "unknown",
            Self::Closed => "closed",
        }
    }
}

/// What was found of worlds of other nodes.
pub(super) struct Beyond {
    clock: Clock,
    looked: Cache<(OwnedServerName, String), Arc<Looked>>,
    pictures: Cache<(OwnedServerName, [u8; 32]), Arc<Picture>>,
    /// Whoever looks for a world and finds none makes its place at once.
    placing: Mutex<()>,
    drawing: Arc<Semaphore>,
    glances: Semaphore,
}

struct Looked {
    since_ms: i64,
    found: OnceCell<Result<Target, Trouble>>,
}

/// A picture that a node has of a world, fetched when somebody looks at it.
type Picture = OnceCell<Option<Arc<Thumbnail>>>;

impl Target {
    /// A world of this node.
    pub(super) fn here(world: World) -> Self {
        Self {
            name: world.name,
            description: world.description,
            rating: world.rating,
            people: world.people as u64,
            capacity: world.capacity.into(),
            public: world.public,
            preview: world.preview.map(|blob| asset_path(&blob)),
            visitors: None,
        }
    }
}

impl Beyond {
    pub(super) fn new(clock: Clock) -> Self {
        let (looked, pictures) = (Cache::new(REMEMBERED), Cache::new(PICTURES));
        let drawing = Arc::new(Semaphore::new(DRAWING));
        let (placing, glances) = (Mutex::default(), Semaphore::new(GLANCES));
        Self { clock, looked, pictures, placing, drawing, glances }
    }

    /// A world as its node shows it to everybody.
    pub(super) async fn target(
        &self,
        servers: &Servers,
        server: &ServerName,
        address: &RoomOrAliasId,
    ) -> Result<Target, Trouble> {
        let place = self.place(server, address);
        let look = || async {
            let asked = async {
                match servers.world(server, address).await {
                    Ok(said) => Ok(Ok(said)),
                    Err(AskError::Refused { status: 404, .. }) => Ok(Err(Trouble::Unknown)),
                    Err(silent) => Err(silent),
                }
            };
            let said = self.glance(Box::pin(asked)).await.unwrap_or(Err(Trouble::Silent));
            said.and_then(|said| self.read(server, &said))
        };
        place.found.get_or_init(look).await.clone()
    }

    /// Asks another node in passing: not for long, and not many at once, whoever looks.
    async fn glance<T>(&self, asking: impl Future<Output = Result<T, AskError>>) -> Option<T> {
        let glance = async {
            let _turn = self.glances.acquire().await.ok()?;
            asking.await.ok()
        };
        timeout(PATIENCE, glance).await.ok().flatten()
    }

    fn place(&self, server: &ServerName, address: &RoomOrAliasId) -> Arc<Looked> {
        let (key, now_ms) = ((server.to_owned(), address.to_string()), self.clock.now_ms());
        let _placing = self.placing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.looked.get(&key).filter(|it| now_ms - it.since_ms < BELIEVED_MS);
        known.unwrap_or_else(|| {
            let place = Arc::new(Looked { since_ms: now_ms, found: OnceCell::new() });
            self.looked.insert(key, place.clone());
            place
        })
    }

    /// What a node says of a world: bounded, as a stranger's words are.
    fn read(&self, server: &ServerName, said: &Object) -> Result<Target, Trouble> {
        let text = |name: &str, most: usize| {
            let text = said.get(name).and_then(Value::as_str).unwrap_or_default();
            let end = text.floor_char_boundary(most.min(text.len()));
            text[..end].to_owned()
        };
        let number = |name: &str| said.get(name).and_then(Value::as_u64).unwrap_or_default();
        let visitors = said.get("visitors").and_then(Value::as_str);
        let visitors = visitors.and_then(Visitors::named).ok_or(Trouble::Closed)?;
        let rating = text("rating", 16);
        // What is not known may be for anything.
        let known = RATINGS.into_iter().find(|known| *known == rating);
        Ok(Target {
            name: text("name", limits::NAME_BYTES),
            description: text("description", limits::DESCRIPTION_BYTES),
            rating: known.unwrap_or(RATINGS[2]).to_owned(),
            people: number("people"),
            capacity: number("capacity"),
            public: said.get("public") == Some(&Value::Bool(true)),
            preview: self.preview(server, said),
            visitors: Some(visitors),
        })
    }

    /// The path by which the picture of a world is seen here.
    fn preview(&self, server: &ServerName, said: &Object) -> Option<String> {
        let path = said.get("preview").and_then(Value::as_str)?;
        let text = path.strip_prefix("/_wayside/v1/assets/")?;
        let mut hash = [0; 32];
        hex::decode_to_slice(text, &mut hash).ok()?;
        let key = (server.to_owned(), hash);
        if self.pictures.get(&key).is_none() {
            self.pictures.insert(key, Arc::default());
        }
        Some(format!("/_wayside/v1/previews/{server}/{}", hex::encode(hash)))
    }

    /// The picture of a world of another node, drawn anew; nothing where it is none of a portal here.
    pub(super) async fn picture(
        &self,
        servers: &Servers,
        server: &ServerName,
        hash: &[u8; 32],
    ) -> Result<Option<Arc<Thumbnail>>, Error> {
        let key = (server.to_owned(), *hash);
        let Some(picture) = self.pictures.get(&key) else { return Ok(None) };
        let draw = || async {
            let Some(bytes) = self.glance(Box::pin(servers.asset(server, hash))).await else {
                // It is asked for again by the next who look.
                self.pictures.remove_if(&key, |other| Arc::ptr_eq(other, &picture));
                return Ok(None);
            };
            let turn = self.drawing.clone().acquire_owned().await.map_err(Error::internal)?;
            let draw = move || {
                let _turn = turn;
                picture::thumbnail(&bytes, SIZE, Method::Scale).ok()
            };
            let drawn = tokio::task::spawn_blocking(draw).await.map_err(Error::internal)?;
            Ok(drawn.map(Arc::new))
        };
        picture.get_or_try_init(draw).await.cloned()
    }
}
