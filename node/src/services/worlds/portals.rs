//! Portals: the doors of a world to others, which are state of its room (specs/worlds.md).
//!
//! What lies behind one is asked for by the node and not by those who stand before it: who looks at a portal
//! is told to nobody.

use futures_util::stream::{self, StreamExt};
use ruma::{
    MatrixUri, OwnedRoomOrAliasId, OwnedServerName, RoomOrAliasId, UserId, matrix_uri::MatrixId,
};
use serde_json::Value;
use wayside_specs::limits;
use wayside_world::scene::Place;

use super::{
    super::Error,
    Worlds,
    beyond::{Target, Trouble},
    spawn,
};
use crate::store::{
    events::{self, StoredEvent},
    rooms::{self, StateOf},
};

/// The state that is a portal.
pub(super) const PORTAL: &str = "org.wayside.portal";
/// Most portals of one world that count, the oldest first.
const PORTALS: usize = 64;
/// How many are looked at for that: those of whom nothing is left count too.
const LOOKED_AT: usize = 2_048;
/// Longest portal.
const CONTENT_BYTES: usize = 8 * 1024;
/// Worlds behind portals that are asked for at once.
const AT_ONCE: usize = 8;
/// Longest `matrix:` URI.
const URI_BYTES: usize = 2_048;

/// A portal, and what is known of the world behind it.
#[derive(Debug)]
pub struct Portal {
    /// Its state key.
    pub id: String,
    /// The address as its makers wrote it.
    pub uri: String,
    /// What its makers call it.
    pub name: Option<String>,
    /// Where it stands, if it does.
    pub stands: Option<Stands>,
    /// The world behind it.
    pub address: OwnedRoomOrAliasId,
    /// The node on which that is.
    pub server: OwnedServerName,
    /// That world as its node shows it.
    pub target: Result<Target, Trouble>,
}

/// Where a portal stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Stands {
    /// At a node of the scene.
    Node(String),
    /// Somewhere in it.
    At(Place),
}

/// What a portal says.
#[derive(Debug, PartialEq)]
struct Said {
    uri: String,
    name: Option<String>,
    stands: Option<Stands>,
    address: OwnedRoomOrAliasId,
    server: OwnedServerName,
}

impl Worlds {
    /// The portals of a world, for those who may come to it.
    pub async fn portals(
        &self,
        name: &RoomOrAliasId,
        asker: Option<&UserId>,
    ) -> Result<Vec<Portal>, Error> {
        let world = self.get(name, asker).await?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = rooms::room(&mut snapshot, &world.room_id).await? else {
            return Ok(Vec::new());
        };
        let mut numbers =
            rooms::state_events(&mut snapshot, room.room_no, StateOf::Kind(PORTAL)).await?;
        numbers.sort_unstable();
        numbers.truncate(LOOKED_AT);
        let mut all = Vec::new();
        // Not all at once: there may be as many as those who rule the room like, of any size.
        for some in numbers.chunks(PORTALS) {
            let mut found = events::by_numbers(&mut snapshot, some).await?;
            all.extend(some.iter().filter_map(|number| said(&found.remove(number)?)));
            if all.len() >= PORTALS {
                break;
            }
        }
        drop(snapshot);
        all.truncate(PORTALS);
        let looked = all.into_iter().map(|(id, said)| self.looked_through(id, said, asker));
        Ok(stream::iter(looked).buffered(AT_ONCE).collect().await)
    }

    async fn looked_through(&self, id: String, said: Said, asker: Option<&UserId>) -> Portal {
        let Said { uri, name, stands, address, server } = said;
        let target = if server == self.ground.server_name {
            match self.get(&address, asker).await {
                Ok(world) => Ok(Target::here(world)),
                Err(Error::NotFound(_) | Error::Invalid(_)) => Err(Trouble::Unknown),
                Err(error) => {
                    tracing::warn!(%error, "a world behind a portal could not be looked at");
                    Err(Trouble::Silent)
                }
            }
        } else {
            self.beyond.target(&self.servers, &server, &address).await
        };
        Portal { id, uri, name, stands, address, server, target }
    }
}

/// Reads a portal; nothing where the state says none.
fn said(stored: &StoredEvent) -> Option<(String, Said)> {
    let id = stored.event.state_key().filter(|key| !key.is_empty())?;
    let content = stored.event.content().get();
    let content =
        (content.len() <= CONTENT_BYTES).then(|| serde_json::from_str(content).ok())??;
    Some((id.to_owned(), read(&content)?))
}

fn read(content: &Value) -> Option<Said> {
    let uri = content["uri"].as_str().filter(|uri| uri.len() <= URI_BYTES)?;
    let (address, server) = leads_to(uri)?;
    let short = |text: &&str| !text.trim().is_empty() && text.len() <= limits::NAME_BYTES;
    let name = content["name"].as_str().filter(short).map(str::to_owned);
    let node = content["node"].as_str().filter(|node| node.len() <= limits::ID_BYTES);
    let stands = match node {
        Some(node) => Some(Stands::Node(node.to_owned())),
        None => spawn::place(content).map(Stands::At),
    };
    Some(Said { uri: uri.to_owned(), name, stands, address, server })
}

/// The world that a `matrix:` URI names, and the node on which it is.
fn leads_to(uri: &str) -> Option<(OwnedRoomOrAliasId, OwnedServerName)> {
    let uri = MatrixUri::parse(uri).ok()?;
    match uri.id() {
        MatrixId::RoomAlias(alias) => Some((alias.clone().into(), alias.server_name().to_owned())),
        MatrixId::Room(room_id) => {
            // Not every id of a room names its node.
            let via = uri.via().first().cloned();
            let server = via.or_else(|| room_id.server_name().map(ToOwned::to_owned))?;
            Some((room_id.clone().into(), server))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_portal_leads_to_a_world_of_a_node() {
        for (uri, address, server) in [
            ("matrix:r/garden:b.test", "#garden:b.test", "b.test"),
            (
                "matrix:r/garden:b.test:8448?action=join&via=c.test",
                "#garden:b.test:8448",
                "b.test:8448",
            ),
            ("matrix:r/%C3%BCber%20all:b.test", "#über all:b.test", "b.test"),
            ("matrix:roomid/abc?via=b.test&via=c.test", "!abc", "b.test"),
            ("matrix:roomid/abc:b.test", "!abc:b.test", "b.test"),
            ("matrix:roomid/abc:b.test?via=c.test", "!abc:b.test", "c.test"),
        ] {
            let (found, on) = leads_to(uri).unwrap_or_else(|| panic!("{uri}"));
            assert_eq!((found.as_str(), on.as_str()), (address, server), "{uri}");
        }
        for uri in [
            "",
            "matrix:u/ann:b.test",
            "matrix:roomid/abc",
            "matrix:r/garden",
            "matrix:r/garden:b.test/e/abc",
            "https://b.test/w/garden",
            "javascript:alert(1)",
        ] {
            assert_eq!(leads_to(uri), None, "{uri}");
        }
    }

    #[test]
    fn what_is_no_portal_is_left_out() {
        let uri = "matrix:r/garden:b.test";
        assert_eq!(read(&json!({ "uri": uri })).unwrap().stands, None);
        let placed = json!({ "uri": uri, "name": " The garden", "position_mm": [1000, 0, 0] });
        let placed = read(&placed).unwrap();
        assert_eq!(placed.stands, Some(Stands::At(Place { at: [1.0, 0.0, 0.0], yaw: 0.0 })));
        let at = json!({ "uri": uri, "node": "portal_1", "position_mm": [1, 0, 0], "name": " " });
        let at = read(&at).unwrap();
        assert_eq!((at.stands, at.name), (Some(Stands::Node("portal_1".to_owned())), None));
        for unplaced in [
            json!({ "uri": uri, "position_mm": [0, 0, 16_777_001] }),
            json!({ "uri": uri, "position_mm": "here" }),
            json!({ "uri": uri, "node": "x".repeat(256) }),
        ] {
            assert_eq!(read(&unplaced).unwrap().stands, None, "{unplaced}");
        }
        let long = format!("matrix:r/garden:b.test?via={}", "b".repeat(2_048));
        for none in [json!({}), json!({ "uri": 1 }), json!({ "uri": long }), json!([]), json!(null)]
        {
            assert_eq!(read(&none), None, "{none}");
        }
        bolero::check!().with_type::<String>().for_each(|text| {
            let _read = read(&json!({ "uri": format!("matrix:{text}"), "name": text }));
        });
    }
}
