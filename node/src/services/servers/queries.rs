//! Single questions to other servers: profiles, aliases, their directories (server-server API, queries).

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use ruma::{OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, RoomOrAliasId, ServerName, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;
use wayside_specs::limits;

use super::{AskError, Error, Question, Servers};

/// An object of JSON, of which the fields are the asked server's affair.
pub type Object = Map<String, Value>;

/// A room, and servers that know it.
#[derive(Clone, Debug, Deserialize)]
pub struct Place {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Servers of people who are in it.
    pub servers: Vec<OwnedServerName>,
}

/// What a node says of itself beside the server-server API (specs/api.md).
#[derive(Clone, Debug, Deserialize)]
pub struct Node {
    /// Where its pages are.
    pub public_url: String,
    /// Whether its people have DIDs, and others come by theirs.
    #[serde(default)]
    pub dids: bool,
}

/// How long somebody waits for such an answer.
const WAIT: Duration = Duration::from_secs(20);
/// The same for what somebody only looks at in passing.
const GLANCE: Duration = Duration::from_secs(5);
/// Most bytes of a page of a directory.
const DIRECTORY_BYTES: usize = 2 * 1024 * 1024;
/// Most bytes of what a node says of itself.
const NODE_BYTES: usize = 64 * 1024;
/// Most bytes of a file that is looked at in passing.
const ASSET_BYTES: usize = 4 * 1024 * 1024;
/// Most servers of one room that are kept.
const PLACES: usize = 200;
/// Fields of a profile that are text (client-server API, profiles).
const TEXTS: [&str; 2] = ["displayname", "avatar_url"];
/// Fields that say how one page of a directory hangs together with others.
const PAGE_FIELDS: [&str; 3] = ["next_batch", "prev_batch", "total_room_count_estimate"];

impl Servers {
    /// The profile of somebody who lives elsewhere, or one field of it.
    pub async fn profile(&self, user_id: &UserId, field: Option<&str>) -> Result<Object, Error> {
        let question = of_profile(user_id, field);
        let mut profile: Object = self.ask(user_id.server_name(), question).await?;
        // So some servers say that there is no such field; and what clients read as text is text.
        let is_text = |name: &str| TEXTS.contains(&name);
        profile.retain(|name, value| !value.is_null() && (!is_text(name) || value.is_string()));
        Ok(profile)
    }

    /// The profile of somebody who stands before the door, empty where there is none: their server is asked
    /// though it did not answer of late.
    pub async fn profile_now(&self, user_id: &UserId) -> Result<Object, Error> {
        let question = of_profile(user_id, None).urgent();
        let asked: Result<Object, Error> =
            self.ask(user_id.server_name(), question).await.map_err(Error::from);
        match asked {
            Err(Error::NotFound(_)) => Ok(Object::new()),
            asked => asked,
        }
    }

    /// What a node of another server's name says of itself.
    pub async fn node(&self, server: &ServerName) -> Result<Node, Error> {
        let question = Question::get(&["_wayside", "v1", "node"], &[]).unsigned().urgent();
        let node: Node = self.ask(server, question.bounded(NODE_BYTES, WAIT)).await?;
        let is_page = Url::parse(&node.public_url).is_ok_and(|url| {
            url.scheme() == "https" && url.has_host() && url.username().is_empty()
        });
        if !is_page {
            let why = format!("{server} is no node that people can visit: it has no https address");
            return Err(Error::NotFound(why));
        }
        Ok(node)
    }

    /// A world of another node as it is shown to everybody (specs/api.md).
    pub async fn world(
        &self,
        server: &ServerName,
        name: &RoomOrAliasId,
    ) -> Result<Object, AskError> {
        let path = ["_wayside", "v1", "worlds", name.as_str()];
        let question = Question::get(&path, &[]).unsigned().in_passing();
        self.ask(server, question.bounded(NODE_BYTES, GLANCE)).await
    }

    /// A file that another node has under its hash.
    pub async fn asset(&self, server: &ServerName, hash: &[u8; 32]) -> Result<Bytes, AskError> {
        let name = hex::encode(hash);
        let question =
            Question::get(&["_wayside", "v1", "assets", &*name], &[]).unsigned().in_passing();
        let bytes = self.fetch(server, question.bounded(ASSET_BYTES, GLANCE)).await?;
        if Sha256::digest(&bytes)[..] != hash[..] {
            let why = format!("the file {name} is another one");
            return Err(AskError::BadAnswer { server: server.to_string(), why });
        }
        Ok(bytes)
    }

    /// The room that an alias of another server names.
    pub async fn alias(&self, alias: &RoomAliasId) -> Result<Place, Error> {
        let query = [("room_alias", alias.as_str())];
        let path = ["_matrix", "federation", "v1", "query", "directory"];
        // Somebody stands before the door.
        let question = Question::get(&path, &query).urgent();
        let mut place: Place = self.ask(alias.server_name(), question).await?;
        place.servers.truncate(PLACES);
        Ok(place)
    }

    /// A page of the directory of another server; the wish is what a client would ask for.
    pub async fn directory(&self, server: &ServerName, wish: &Value) -> Result<Object, Error> {
        let path = ["_matrix", "federation", "v1", "publicRooms"];
        let question = Question::get(&path, &[]).bounded(DIRECTORY_BYTES, WAIT).urgent();
        let answer: Object = self.ask(server, question.with(Method::POST, wish)?).await?;
        Ok(page(server, answer)?)
    }
}

fn of_profile(user_id: &UserId, field: Option<&str>) -> Question {
    let mut query = vec![("user_id", user_id.as_str())];
    query.extend(field.map(|field| ("field", field)));
    let question = Question::get(&["_matrix", "federation", "v1", "query", "profile"], &query);
    question.bounded(2 * limits::PROFILE_BYTES, WAIT)
}

/// A page of a directory as clients know it, without what is no room.
fn page(server: &ServerName, mut answer: Object) -> Result<Object, AskError> {
    let Some(Value::Array(mut chunk)) = answer.remove("chunk") else {
        let why = "a page of a directory without rooms".to_owned();
        return Err(AskError::BadAnswer { server: server.to_string(), why });
    };
    let is_room = |entry: &Value| {
        let room_id = entry.get("room_id").and_then(Value::as_str);
        room_id.is_some_and(|room_id| RoomId::parse(room_id).is_ok())
    };
    chunk.retain(is_room);
    answer.retain(|name, _| PAGE_FIELDS.contains(&name.as_str()));
    answer.insert("chunk".to_owned(), chunk.into());
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_holds_rooms_and_what_belongs_to_it() {
        let read =
            |answer: Value| page(server_name!("a.test"), answer.as_object().unwrap().clone());
        let room = json!({ "room_id": "!a:a.test", "name": "A", "more": [1] });
        let found = read(json!({
            "chunk": [room, { "name": "none" }, { "room_id": 1 }, { "room_id": "a" }, 5],
            "next_batch": "x",
            "other": "y",
        }));
        assert_eq!(Value::Object(found.unwrap()), json!({ "chunk": [room], "next_batch": "x" }));
        for wrong in [json!({}), json!({ "chunk": {} })] {
            assert!(matches!(read(wrong), Err(AskError::BadAnswer { .. })));
        }
    }
}
