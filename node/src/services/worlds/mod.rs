//! Worlds: rooms that people walk in.
//!
//! A world is a room of type [`WORLD`] that the node's service user has made; its state says what
//! scene it shows, and its members are those who may come. Here worlds are made and listed, visits
//! are granted and begun, and what is committed in a world's room is shown to those inside.

mod admission;
mod beyond;
mod follow;
mod found;
mod lists;
mod movers;
mod portals;
mod spawn;
mod visitors;
mod visits;

use std::{
    collections::HashSet,
    sync::{Arc, Weak},
};

use quick_cache::sync::Cache;
use ruma::{MxcUri, OwnedRoomId, OwnedUserId, RoomId, RoomOrAliasId, ServerName, UserId};
use serde_json::Value;
use tokio::task::spawn_blocking;
use wayside_identity::badge::Asks;
use wayside_specs::limits;
use wayside_world::{
    picture::Thumbnail,
    scene::{Place, Scene},
};

use self::{beyond::Beyond, lists::Watch, visits::Tickets};
pub use self::{
    beyond::{Target, Trouble},
    found::{Made, NewWorld, RATINGS},
    portals::{Portal, Stands},
    visitors::Welcomed,
    visits::Granted,
};
use super::{
    Error, Ground,
    badges::Badges,
    bans::Bans,
    bodies::Bodies,
    content::Content,
    federation::Federation,
    persons::Persons,
    rooms::{DirectoryPlace, DirectoryQuery, Listed, Membership, Rooms, WORLD},
    servers::Servers,
    social::Social,
};
use crate::instances::Instances;

/// Most worlds that are listed.
const LISTED: usize = 200;
/// Names of those inside that are told of each world.
const NAMES: usize = 8;
/// Scenes that stay in memory though nobody is in them.
const SCENES: usize = 16;
/// How many people fit into a world that says nothing else.
const CAPACITY: u16 = 50;

/// The service of worlds.
pub struct Worlds {
    ground: Arc<Ground>,
    rooms: Arc<Rooms>,
    social: Arc<Social>,
    content: Arc<Content>,
    bodies: Arc<Bodies>,
    instances: Arc<Instances>,
    persons: Arc<Persons>,
    badges: Arc<Badges>,
    servers: Arc<Servers>,
    federation: Arc<Federation>,
    bans: Bans,
    watch: Watch,
    beyond: Beyond,
    scenes: Cache<[u8; 32], Weak<Scene>>,
    recent: Cache<[u8; 32], Arc<Scene>>,
    tickets: Tickets,
}

/// What worlds are made of.
pub struct Beside {
    /// Their rooms.
    pub rooms: Arc<Rooms>,
    /// The names of those who come.
    pub social: Arc<Social>,
    /// Their scenes and pictures.
    pub content: Arc<Content>,
    /// What is worn in them.
    pub bodies: Arc<Bodies>,
    /// Where they run.
    pub instances: Arc<Instances>,
    /// Who comes from elsewhere.
    pub persons: Arc<Persons>,
    /// What those hold who come.
    pub badges: Arc<Badges>,
    /// The nodes to which portals lead.
    pub servers: Arc<Servers>,
    /// The way into rooms of other servers that say who is shut out.
    pub federation: Arc<Federation>,
}

/// A world as it is shown to those who are not in it.
#[derive(Clone, Debug)]
pub struct World {
    /// Its room.
    pub room_id: OwnedRoomId,
    /// Its alias.
    pub alias: Option<String>,
    /// What it is called.
    pub name: String,
    /// What its makers say of it.
    pub description: String,
    /// SHA-256 of its picture.
    pub preview: Option<[u8; 32]>,
    /// SHA-256 of its scene.
    pub scene: [u8; 32],
    /// The size of its scene in bytes.
    pub scene_bytes: u64,
    /// How many are in it.
    pub people: usize,
    /// How many may be.
    pub capacity: u16,
    /// Where people arrive, where its state says so.
    pub spawn: Option<Place>,
    /// For whom it is.
    pub rating: String,
    /// What some of those inside are called.
    pub names: Vec<String>,
    /// Whether anybody may come.
    pub public: bool,
    /// What whoever comes shows one of, where it is neither for everybody nor for those alone who are invited.
    pub asks: Asks,
    /// Whether what is said there is encrypted.
    pub encrypted: bool,
    /// How whoever asks stands to its room, where they are in it or invited to it.
    pub standing: Option<Membership>,
}

impl Worlds {
    /// The service on its ground, with what stands beside it.
    #[must_use]
    pub fn new(ground: Arc<Ground>, beside: Beside) -> Self {
        let Beside {
            rooms,
            social,
            content,
            bodies,
            instances,
            persons,
            badges,
            servers,
            federation,
        } = beside;
        let (scenes, recent) = (Cache::new(SCENES * 8), Cache::new(SCENES));
        let (tickets, beyond) = (Tickets::default(), Beyond::new(ground.clock));
        Self {
            ground,
            rooms,
            social,
            content,
            bodies,
            instances,
            persons,
            badges,
            servers,
            federation,
            bans: Bans::default(),
            watch: Watch::default(),
            beyond,
            scenes,
            recent,
            tickets,
        }
    }

    /// The picture of a world of another node, where it is behind a portal here.
    pub async fn picture_beyond(
        &self,
        server: &ServerName,
        hash: &[u8; 32],
    ) -> Result<Option<Arc<Thumbnail>>, Error> {
        self.beyond.picture(&self.servers, server, hash).await
    }

    /// The worlds of the public directory and those that are only for some and for the asker, those
    /// with most people inside first.
    pub async fn list(&self, asker: Option<&UserId>) -> Result<Vec<World>, Error> {
        let mut query = DirectoryQuery {
            limit: LISTED,
            kinds: Some(vec![Some(WORLD.to_owned())]),
            ..DirectoryQuery::default()
        };
        let mut worlds = match asker {
            Some(asker) => self.of_member(asker).await?,
            None => Vec::new(),
        };
        let known: HashSet<OwnedRoomId> = worlds.iter().map(|it| it.room_id.clone()).collect();
        loop {
            let page = self.rooms.directory(&query).await?;
            for listed in page.rooms.into_iter().filter(|it| !known.contains(&it.room_id)) {
                // A room whose state shows no scene of this node is no world that can be entered.
                worlds.extend(self.shown(listed).await?);
            }
            match page.next {
                Some(next @ DirectoryPlace::Behind(..)) if worlds.len() < LISTED => {
                    query.place = next;
                }
                _ => break,
            }
        }
        worlds.sort_by_key(|world| std::cmp::Reverse(world.people));
        Ok(worlds)
    }

    /// The worlds that somebody is in or was invited to.
    async fn of_member(&self, user_id: &UserId) -> Result<Vec<World>, Error> {
        let mut worlds = Vec::new();
        for membership in [Membership::Invite, Membership::Join] {
            let rooms = self.rooms.of_kind(WORLD, user_id, membership).await?;
            for listed in rooms {
                if worlds.len() == LISTED {
                    return Ok(worlds);
                }
                let shown = self.shown(listed).await?;
                worlds.extend(shown.map(|world| World { standing: Some(membership), ..world }));
            }
        }
        Ok(worlds)
    }

    /// One world, for those who may come to it.
    pub async fn get(&self, name: &RoomOrAliasId, asker: Option<&UserId>) -> Result<World, Error> {
        let unknown = || Error::NotFound(format!("there is no world {name}, or it is not for you"));
        let room_id = self.rooms.resolve(name).await.map_err(|error| match error {
            Error::NotFound(_) => unknown(),
            other => other,
        })?;
        let (listed, published) = self.rooms.listing(&room_id).await?.ok_or_else(unknown)?;
        if listed.kind.as_deref() != Some(WORLD) {
            return Err(unknown());
        }
        let standing = match asker {
            Some(asker) => self.rooms.standing(&room_id, asker).await?,
            None => None,
        };
        // Whoever holds what is asked for may come, and has to find it first.
        let is_open = published
            || listed.join_rule.as_deref() == Some("public")
            || !admission::asks_of(&listed).is_empty();
        if !is_open && !matches!(standing, Some(Membership::Join | Membership::Invite)) {
            return Err(unknown());
        }
        let gone = format!("the scene of the world {name} is gone: tell its makers");
        let world = self.shown(listed).await?.ok_or(Error::NotFound(gone))?;
        let near = |it: &Membership| matches!(it, Membership::Join | Membership::Invite);
        Ok(World { standing: standing.filter(near), ..world })
    }

    /// Where somebody goes who has no wish: the alias of the node's own first world, as long as it
    /// is listed, and otherwise of the first that is.
    pub async fn first(&self) -> Result<Option<String>, Error> {
        let founded = self.ground.store.snapshot().await?.node_fact(found::FIRST_FACT).await?;
        if let Some(founded) = founded {
            let listing = self.rooms.listing(&found::room_of(&founded)?).await?;
            if let Some((Listed { alias: Some(alias), .. }, true)) = listing {
                return Ok(Some(alias));
            }
        }
        let query = DirectoryQuery {
            limit: 1,
            kinds: Some(vec![Some(WORLD.to_owned())]),
            ..DirectoryQuery::default()
        };
        let page = self.rooms.directory(&query).await?;
        Ok(page.rooms.into_iter().next().and_then(|listed| listed.alias))
    }

    async fn shown(&self, listed: Listed) -> Result<Option<World>, Error> {
        let Some(said) = &listed.world else { return Ok(None) };
        let Some(scene) = self.upload_of(said, "scene_url").await? else { return Ok(None) };
        let Ok(scene_file) = self.content.asset(&scene, None).await else { return Ok(None) };
        let preview = self.upload_of(said, "preview_url").await?;
        let crowd = self.instances.crowd(&listed.room_id);
        let text = |name: &str| said[name].as_str().unwrap_or_default().to_owned();
        let named = listed.name.clone().unwrap_or_else(|| text("scene_name"));
        Ok(Some(World {
            name: named,
            description: listed.topic.clone().unwrap_or_else(|| text("scene_description")),
            preview,
            scene,
            scene_bytes: scene_file.size,
            people: crowd.as_ref().map_or(0, |crowd| crowd.count()),
            capacity: capacity_of(said),
            spawn: spawn::named(said),
            rating: said["rating"].as_str().unwrap_or(RATINGS[0]).to_owned(),
            names: crowd.map(|crowd| crowd.names(NAMES)).unwrap_or_default(),
            public: listed.join_rule.as_deref() == Some("public"),
            asks: admission::asks_of(&listed),
            encrypted: listed.encryption.is_some(),
            standing: None,
            alias: listed.alias,
            room_id: listed.room_id,
        }))
    }

    /// The hash of an upload that a field of the state names; nothing where it is gone.
    async fn upload_of(&self, said: &Value, field: &str) -> Result<Option<[u8; 32]>, Error> {
        let Some(uri) = said[field].as_str() else { return Ok(None) };
        match self.content.upload_hash(<&MxcUri>::from(uri)).await {
            Ok(blob) => Ok(Some(blob)),
            Err(Error::NotFound(_) | Error::Invalid(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The scene of that hash as instances need it; read once for all of them.
    async fn scene(&self, blob: [u8; 32]) -> Result<Arc<Scene>, Error> {
        if let Some(scene) = self.scenes.get(&blob).and_then(|weak| weak.upgrade()) {
            return Ok(scene);
        }
        let bytes = self.content.asset_bytes(&blob).await?;
        let read = spawn_blocking(move || Scene::read(&bytes)).await.map_err(Error::internal)?;
        let scene = Arc::new(read.map_err(|error| Error::NotFound(error.to_string()))?);
        self.scenes.insert(blob, Arc::downgrade(&scene));
        self.recent.insert(blob, scene.clone());
        Ok(scene)
    }

    /// The person in whose name the node makes rooms.
    fn service_user(&self) -> Result<OwnedUserId, Error> {
        self.ground.user_id("_wayside").map_err(Error::internal)
    }

    /// What somebody is called here.
    async fn name_of(&self, user_id: &UserId) -> Result<String, Error> {
        let profile = match self.social.profile(user_id).await {
            Ok(profile) => profile,
            Err(Error::NotFound(_)) => serde_json::Map::new(),
            Err(error) => return Err(error),
        };
        let name = profile.get("displayname").and_then(Value::as_str).map(str::trim);
        let name = name.filter(|name| !name.is_empty());
        Ok(name.unwrap_or(user_id.localpart()).to_owned())
    }

    /// Whether somebody may be in a world.
    async fn is_member(&self, room_id: &RoomId, user_id: &UserId) -> Result<bool, Error> {
        Ok(self.rooms.standing(room_id, user_id).await? == Some(Membership::Join))
    }
}

fn capacity_of(said: &Value) -> u16 {
    let said = said["capacity"].as_u64().and_then(|it| u16::try_from(it).ok());
    said.map_or(CAPACITY, |capacity| capacity.clamp(1, limits::INSTANCE_PEOPLE))
}
