//! Making worlds: their files, their room, their place in the space of worlds, and the first of all.

use ruma::{
    EventEncryptionAlgorithm, MxcUri, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomAliasId, UserId,
};
use serde_json::{Value, json, value::to_raw_value};
use tokio::task::spawn_blocking;
use wayside_identity::badge::Asks;
use wayside_specs::limits;
use wayside_world::{
    inspect::{self, Issue, Limits, Report, Severity},
    picture, plaza,
    scene::{Place, Scene},
};

use super::{
    super::{
        Error,
        content::{NewAsset, Said},
        rooms::{NewRoom, Preset, WORLD},
    },
    Worlds, spawn,
};
use crate::store::StoreError;

/// For whom a world may be, the most open first.
pub const RATINGS: [&str; 3] = ["general", "teen", "mature"];
/// What a scene is.
const SCENE_TYPE: &str = "model/gltf-binary";
/// The node's word for the room that is the space of its worlds.
const SPACE_FACT: &str = "worlds_space";
/// The node's word for having made a first world, so that one that is removed does not come back.
pub(super) const FIRST_FACT: &str = "first_world";

/// What a new world shall be.
#[derive(Clone, Debug)]
pub struct NewWorld {
    /// Who will rule it; nobody but the node where there is none.
    pub owner: Option<OwnedUserId>,
    /// What it is called.
    pub name: String,
    /// What there is to say of it.
    pub description: String,
    /// Its scene, an upload of this node.
    pub scene: OwnedMxcUri,
    /// Its picture, an upload of this node.
    pub preview: Option<OwnedMxcUri>,
    /// How many fit in.
    pub capacity: u16,
    /// One of [`RATINGS`].
    pub rating: String,
    /// The local part of its alias; made of its name without one.
    pub alias: Option<String>,
    /// Whether everybody may come and finds it in the directory.
    pub public: bool,
    /// Whether what is said there is encrypted; never where everybody may come.
    pub encrypted: bool,
    /// What whoever is not invited shows one of to come in; never where everybody may.
    pub asks: Asks,
}

impl NewWorld {
    /// Whether it is found by everybody: also by those who have to show something.
    fn is_listed(&self) -> bool {
        self.public || !self.asks.is_empty()
    }
}

/// A new world was looked into.
pub enum Made {
    /// It is there.
    World {
        /// Its room.
        room_id: OwnedRoomId,
        /// Its alias.
        alias: String,
        /// What was found in its scene.
        report: Box<Report>,
    },
    /// Its scene was refused.
    Refused(Box<Report>),
}

impl Worlds {
    /// Makes a world.
    pub async fn make(&self, new: NewWorld) -> Result<Made, Error> {
        check(&new)?;
        let (_, bytes) = self.content.upload_bytes(&new.scene).await?;
        let Looked { report, arrival, bytes } = look_into(bytes).await?;
        if !report.accepted {
            return Ok(Made::Refused(Box::new(report)));
        }
        let scene = NewAsset { bytes, content_type: SCENE_TYPE, lent: false };
        self.content.keep_asset(scene, |_, _| Box::pin(async { Ok(()) })).await?;
        if let Some(preview) = &new.preview {
            self.keep_preview(preview).await?;
        }
        let (room_id, alias) = self.room(&new, arrival).await?;
        if new.is_listed() {
            self.list_in_space(&room_id).await?;
        }
        Ok(Made::World { room_id, alias, report: Box::new(report) })
    }

    /// Makes the first world of a node that never had one, unless its operator wants none.
    pub async fn found(&self) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let there = snapshot.node_fact(FIRST_FACT).await?.is_some();
        drop(snapshot);
        if there || !self.ground.config.first_world {
            return Ok(());
        }
        let owner = self.service_user()?;
        let made = spawn_blocking(plaza::glb).await.map_err(Error::internal)?;
        let scene = self.own_upload(&owner, made, SCENE_TYPE, "plaza.glb").await?;
        let picture = plaza::PREVIEW.to_vec();
        let preview = self.own_upload(&owner, picture, "image/jpeg", "plaza.jpg").await?;
        let made = self
            .make(NewWorld {
                owner: None,
                name: "Plaza".to_owned(),
                description: "A square by the water, in the evening: a place to meet.".to_owned(),
                scene,
                preview: Some(preview),
                capacity: super::CAPACITY,
                rating: RATINGS[0].to_owned(),
                alias: Some("plaza".to_owned()),
                public: true,
                encrypted: false,
                asks: Asks::default(),
            })
            .await?;
        let Made::World { room_id, .. } = made else {
            return Err(Error::internal(anyhow::anyhow!("the generated plaza was refused")));
        };
        self.settle(FIRST_FACT, room_id.as_str()).await.map(drop)
    }

    /// Takes in a file that the node or its operator brings.
    pub async fn own_upload(
        &self,
        owner: &UserId,
        bytes: Vec<u8>,
        content_type: &str,
        file_name: &str,
    ) -> Result<OwnedMxcUri, Error> {
        let said = Said {
            content_type: Some(content_type.to_owned()),
            file_name: Some(file_name.to_owned()),
        };
        let bytes = futures_util::stream::iter([Ok::<_, std::io::Error>(bytes.into())]);
        self.content.upload(owner, bytes, said).await
    }

    async fn keep_preview(&self, preview: &MxcUri) -> Result<(), Error> {
        let (_, bytes) = self.content.upload_bytes(preview).await?;
        let content_type = picture::probe(&bytes)
            .map_err(|error| Error::Invalid(format!("the picture of the world: {error}")))?
            .format
            .content_type();
        let picture = NewAsset { bytes, content_type, lent: false };
        self.content.keep_asset(picture, |_, _| Box::pin(async { Ok(()) })).await
    }

    async fn room(
        &self,
        new: &NewWorld,
        arrival: Option<Place>,
    ) -> Result<(OwnedRoomId, String), Error> {
        let mut state = json!({
            "scene_url": new.scene,
            "scene_name": new.name,
            "scene_description": new.description,
            "preview_url": new.preview,
            // As Third Room calls it.
            "scene_preview_url": new.preview,
            "capacity": new.capacity,
            "rating": new.rating,
        });
        if let Some(spawn) = arrival.and_then(spawn::written) {
            state["spawn"] = spawn;
        }
        if !new.asks.is_empty() {
            state["asks"] = new.asks.all().iter().map(|ask| ask.told(None)).collect();
        }
        let raw = |value: &Value| to_raw_value(value).map_err(Error::internal);
        let mut initial_state = vec![(WORLD.to_owned(), String::new(), raw(&state)?)];
        // Guests have no device that could read what is encrypted.
        let guests =
            json!({ "guest_access": if new.encrypted { "forbidden" } else { "can_join" } });
        initial_state.push(("m.room.guest_access".into(), String::new(), raw(&guests)?));
        if new.encrypted {
            let content = json!({ "algorithm": EventEncryptionAlgorithm::MegolmV1AesSha2 });
            initial_state.push(("m.room.encryption".into(), String::new(), raw(&content)?));
        }
        if let Some(preview) = &new.preview {
            let avatar = json!({ "url": preview });
            initial_state.push(("m.room.avatar".into(), String::new(), raw(&avatar)?));
        }
        let creator = self.service_user()?;
        let mut users = serde_json::Map::new();
        if let Some(owner) = &new.owner {
            users.insert(owner.to_string(), 100.into());
        }
        let mut power_levels = serde_json::Map::new();
        power_levels.insert("users".to_owned(), users.into());
        if !new.asks.is_empty() {
            // Whoever came in by what they hold lets in nobody who holds nothing.
            power_levels.insert("invite".to_owned(), 50.into());
        }
        let preset = if new.public { Preset::Public } else { Preset::Private };
        let invite = new.owner.iter().filter(|_| !new.public).cloned().collect();
        let mut creation_content = serde_json::Map::new();
        creation_content.insert("type".to_owned(), WORLD.into());
        let base = new.alias.clone().unwrap_or_else(|| slug(&new.name));
        // A name that is taken gets a number behind it.
        for nth in 1..100 {
            let alias = if nth == 1 { base.clone() } else { format!("{base}-{nth}") };
            let made = self.rooms.create(NewRoom {
                creator: Some(creator.clone()),
                preset,
                creation_content: creation_content.clone(),
                initial_state: initial_state.clone(),
                power_levels: power_levels.clone(),
                name: Some(new.name.clone()),
                topic: Some(new.description.clone()).filter(|it| !it.is_empty()),
                alias: Some(alias.clone()),
                invite: Vec::clone(&invite),
                published: new.is_listed(),
                ..NewRoom::default()
            });
            match made.await {
                Ok(room_id) => {
                    return Ok((room_id, format!("#{alias}:{}", self.ground.server_name)));
                }
                Err(Error::AliasTaken(_)) if new.alias.is_none() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::AliasTaken(base))
    }

    /// The room that is the space of the worlds here.
    async fn space(&self) -> Result<OwnedRoomId, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let known = snapshot.node_fact(SPACE_FACT).await?;
        drop(snapshot);
        if let Some(known) = known {
            return room_of(&known);
        }
        // One that was made when a crash came between it and its being noted.
        let made = match self.space_by_name().await? {
            Some(room_id) => room_id,
            None => match self.new_space(true).await {
                // Whoever made another world meanwhile was quicker, or the name is not the node's.
                Err(Error::AliasTaken(_)) => match self.space_by_name().await? {
                    Some(room_id) => room_id,
                    None => self.new_space(false).await?,
                },
                made => made?,
            },
        };
        room_of(&self.settle(SPACE_FACT, made.as_str()).await?)
    }

    /// The node's own room that has the name of the space.
    async fn space_by_name(&self) -> Result<Option<OwnedRoomId>, Error> {
        let alias = format!("#worlds:{}", self.ground.server_name);
        let alias = RoomAliasId::parse(alias).map_err(Error::internal)?;
        let room_id = match self.rooms.by_alias(&alias).await {
            Ok(room_id) => room_id,
            Err(Error::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let own = self.is_member(&room_id, &self.service_user()?).await?;
        Ok(own.then_some(room_id))
    }

    async fn new_space(&self, named: bool) -> Result<OwnedRoomId, Error> {
        let mut creation_content = serde_json::Map::new();
        creation_content.insert("type".to_owned(), "m.space".into());
        let made = self.rooms.create(NewRoom {
            creator: Some(self.service_user()?),
            preset: Preset::Public,
            creation_content,
            name: Some(format!("Worlds of {}", self.ground.server_name)),
            alias: named.then(|| "worlds".to_owned()),
            published: true,
            ..NewRoom::default()
        });
        made.await
    }

    async fn list_in_space(&self, room_id: &OwnedRoomId) -> Result<(), Error> {
        let space = self.space().await?;
        let child = json!({ "via": [self.ground.server_name], "suggested": true });
        let child = to_raw_value(&child).map_err(Error::internal)?;
        let sender = self.service_user()?;
        let kind = "m.space.child".into();
        self.rooms
            .set_state(&space, &sender, kind, room_id.to_string(), child, None)
            .await
            .map(drop)
    }

    async fn settle(&self, fact: &'static str, value: &str) -> Result<Vec<u8>, Error> {
        let value = value.as_bytes().to_vec();
        let settle = self.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.settle_node_fact(fact, &value).await })
        });
        Ok(settle.await?)
    }
}

/// A scene that was looked into.
struct Looked {
    report: Report,
    /// Where people arrive in it.
    arrival: Option<Place>,
    bytes: Vec<u8>,
}

/// Looks into a scene away from everybody who waits, and gives its bytes back.
async fn look_into(bytes: Vec<u8>) -> Result<Looked, Error> {
    let looking = move || {
        let asset = match inspect::asset(&bytes, &Limits::SCENE) {
            Ok(asset) => asset,
            Err(report) => return Looked { report, arrival: None, bytes },
        };
        let mut report = asset.report().clone();
        let arrival = match Scene::of(&asset) {
            Ok(scene) => Some(scene.arrival(0)),
            Err(error) => {
                report.accepted = false;
                report.issues.push(Issue {
                    code: "SCENE_UNUSABLE",
                    severity: Severity::Error,
                    pointer: String::new(),
                    message: error.to_string(),
                });
                None
            }
        };
        drop(asset);
        Looked { report, arrival, bytes }
    };
    spawn_blocking(looking).await.map_err(Error::internal)
}

fn check(new: &NewWorld) -> Result<(), Error> {
    if new.name.trim().is_empty() || new.name.len() > limits::NAME_BYTES {
        return Err(Error::Invalid("the name of a world has 1 to 512 bytes".to_owned()));
    }
    if new.description.len() > limits::DESCRIPTION_BYTES {
        return Err(Error::TooLarge(
            "the description of a world has at most 4096 bytes".to_owned(),
        ));
    }
    if !RATINGS.contains(&new.rating.as_str()) {
        return Err(Error::Invalid("rating is general, teen or mature".to_owned()));
    }
    if new.public && new.encrypted {
        let why = "a world that anybody may enter is not encrypted: make it private";
        return Err(Error::Invalid(why.to_owned()));
    }
    if new.public && !new.asks.is_empty() {
        let why = "a world that anybody may enter asks for nothing: make it private";
        return Err(Error::Invalid(why.to_owned()));
    }
    if !(1..=limits::INSTANCE_PEOPLE).contains(&new.capacity) {
        let most = limits::INSTANCE_PEOPLE;
        return Err(Error::Invalid(format!("capacity is a number from 1 to {most}")));
    }
    Ok(())
}

/// What an alias can be made of: the letters and digits of a name.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for letter in name.to_lowercase().chars() {
        if letter.is_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    let end = slug.floor_char_boundary(64);
    if slug.is_empty() { "world".to_owned() } else { slug[..end].to_owned() }
}

pub(super) fn room_of(fact: &[u8]) -> Result<OwnedRoomId, Error> {
    let text = std::str::from_utf8(fact).map_err(Error::internal)?;
    OwnedRoomId::try_from(text).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_makes_an_alias() {
        for (name, alias) in [
            ("The Plaza", "the-plaza"),
            ("  Größe & Höhe! ", "größe-höhe"),
            ("#:@", "world"),
            ("a\0b\nc", "a-b-c"),
        ] {
            assert_eq!(slug(name), alias);
        }
        assert!(slug(&"ä".repeat(100)).len() <= 64);
    }
}
