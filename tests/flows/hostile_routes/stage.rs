//! The stage on which the samples play: people, and things of theirs that are made when first named.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use wayside_tests::{Client, EventId, PASSWORD, RoomId};

use crate::{cross_signing::Person, passkeys, pictures::png, worlds::floor};

/// People and things.
pub(crate) struct Stage {
    base: Url,
    alice: Client,
    bob: Client,
    mallory: Client,
    guest: Client,
    /// Who runs the node.
    root: Client,
    things: HashMap<String, String>,
}

/// From what the keys are made with which Alice signs.
const SIGNING: u8 = 70;

/// What is taken by a name must be new: no name is given twice in a process.
pub(crate) fn new_name() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("n{}", MADE.fetch_add(1, Ordering::Relaxed))
}

impl Stage {
    /// A stage with four new people, and whoever runs the node.
    pub(crate) async fn set(base: &Url, root: Client) -> Result<Self> {
        let (alice, bob, mallory, guest) = tokio::try_join!(
            person(base, "alice"),
            person(base, "bob"),
            person(base, "mallory"),
            Client::guest(base),
        )?;
        let things = HashMap::new();
        Ok(Self { base: base.clone(), alice, bob, mallory, guest, root, things })
    }

    /// Clears the stage after something was changed; new people where somebody has gone.
    pub(crate) async fn clear(&mut self, people_too: bool) -> Result<()> {
        self.things.clear();
        if people_too {
            *self = Self::set(&self.base, self.root.clone()).await?;
        }
        Ok(())
    }

    /// The token of somebody on the stage.
    pub(crate) fn token(&self, who: &str) -> Result<&str> {
        Ok(self.person(who)?.session().token())
    }

    /// The text with things in place of the words in angle brackets.
    pub(crate) async fn fill(&mut self, text: &str) -> Result<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            let (word, after) = after.split_once('>').context("a bracket stays open")?;
            filled += before;
            filled += &self.thing(word).await?;
            rest = after;
        }
        Ok(filled + rest)
    }

    /// A place in what Alice hears.
    pub(crate) async fn now(&self) -> Result<String> {
        let none = r#"{"room":{"rooms":[]},"account_data":{"limit":0}}"#;
        let filter: String = url::form_urlencoded::byte_serialize(none.as_bytes()).collect();
        let heard = self.heard(&format!("filter={filter}")).await?;
        Ok(heard["next_batch"].as_str().context("a sync names no place")?.to_owned())
    }

    /// What has changed for Alice since then: events of her rooms, her data, messages to her device.
    pub(crate) async fn news(&self, since: &str) -> Result<Vec<Value>> {
        let heard = self.heard(&format!("since={since}")).await?;
        let mut news = Vec::new();
        let mut look =
            |part: &Value| news.extend(part["events"].as_array().into_iter().flatten().cloned());
        look(&heard["account_data"]);
        look(&heard["to_device"]);
        for way in ["join", "invite", "knock", "leave"] {
            for room in heard["rooms"][way].as_object().into_iter().flat_map(|rooms| rooms.values())
            {
                for part in ["timeline", "state", "account_data", "invite_state", "knock_state"] {
                    look(&room[part]);
                }
            }
        }
        Ok(news)
    }

    async fn heard(&self, query: &str) -> Result<Value> {
        let path = format!("/_matrix/client/v3/sync?timeout=0&set_presence=offline&{query}");
        Ok(self.alice.get(&path).await?)
    }

    fn person(&self, who: &str) -> Result<&Client> {
        Ok(match who {
            "alice" => &self.alice,
            "bob" => &self.bob,
            "mallory" => &self.mallory,
            "guest" => &self.guest,
            "root" => &self.root,
            other => bail!("nobody on the stage is called {other:?}"),
        })
    }

    async fn thing(&mut self, word: &str) -> Result<String> {
        match word {
            "new" => return Ok(new_name()),
            "new_alias" => return Ok(format!("#{}:a.test", new_name())),
            "password" => return Ok(PASSWORD.to_owned()),
            _ => {}
        }
        if let Ok(person) = self.person(word) {
            return Ok(person.session().user_id.clone());
        }
        if let Some(known) = self.things.get(word) {
            return Ok(known.clone());
        }
        let made = Box::pin(self.make(word)).await.with_context(|| format!("making <{word}>"))?;
        self.things.insert(word.to_owned(), made.clone());
        Ok(made)
    }

    async fn make(&mut self, word: &str) -> Result<String> {
        let (alice, bob) = (self.alice.clone(), self.bob.clone());
        Ok(match word {
            "room" => self.room_of_two().await?.to_string(),
            "event" => {
                let room = RoomId::known(&Box::pin(self.thing("room")).await?);
                alice.send_text(&room, &new_name(), "secret").await?.to_string()
            }
            "open" => bob.create_room(&json!({"preset": "public_chat"})).await?.to_string(),
            "knocked" => {
                let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": "knock"}});
                bob.create_room(&json!({"initial_state": [rule]})).await?.to_string()
            }
            "banned" => {
                let room = self.room_of_two().await?;
                let who = json!({"user_id": bob.session().user_id});
                alice.post(&format!("/_matrix/client/v3/rooms/{room}/ban"), &who).await?;
                room.to_string()
            }
            "left" => {
                let room = self.room_of_two().await?;
                let path = format!("/_matrix/client/v3/rooms/{room}/leave");
                alice.post(&path, &json!({})).await?;
                room.to_string()
            }
            "alias" => {
                let name = new_name();
                let asked = json!({"room_alias_name": name, "name": "secret"});
                alice.create_room(&asked).await?;
                format!("#{name}:a.test")
            }
            "device" => {
                let name = alice.session().user_id[1..].split(':').next().unwrap_or_default();
                Client::login(&self.base, name).await?.session().device_id.clone()
            }
            "awaited" => {
                let place = alice.reserve_media().await?;
                place.place().trim_start_matches("a.test/").to_owned()
            }
            "picture" => {
                let place = alice.upload("image/png", png(4, 4, 4)).await?;
                place.place().trim_start_matches("a.test/").to_owned()
            }
            "master" | "self_signing" | "user_signing" => key_of(&alice, word)?,
            "self_signing_signed" | "user_signing_signed" => signature_of(&alice, word)?,
            _ => self.make_own(&alice, word).await?,
        })
    }

    /// Things of Alice's account.
    async fn make_own(&mut self, alice: &Client, word: &str) -> Result<String> {
        let me = &alice.session().user_id;
        let user = format!("/_matrix/client/v3/user/{me}");
        let secret = json!({"s": "secret"});
        Ok(match word {
            "filter" => {
                let answer = alice.post(&format!("{user}/filter"), &json!({})).await?;
                answer["filter_id"].as_str().context("no filter id")?.to_owned()
            }
            "data" => {
                let path = format!("{user}/account_data/org.example.data");
                alice.call(Method::PUT, &path, Some(&secret)).await?;
                "org.example.data".to_owned()
            }
            "room_data" => {
                let room = Box::pin(self.thing("room")).await?;
                let path = format!("{user}/rooms/{room}/account_data/org.example.data");
                alice.call(Method::PUT, &path, Some(&secret)).await?;
                "org.example.data".to_owned()
            }
            "present" => {
                let path = format!("/_matrix/client/v3/presence/{me}/status");
                let here = json!({"presence": "online", "status_msg": "secret"});
                alice.call(Method::PUT, &path, Some(&here)).await?;
                me.clone()
            }
            "push_rule" => {
                let name = new_name();
                let path = format!("/_matrix/client/v3/pushrules/global/content/{name}");
                let rule = json!({ "pattern": "p", "actions": ["notify"] });
                alice.call(Method::PUT, &path, Some(&rule)).await?;
                name
            }
            "program" => {
                let said = json!({
                    "client_uri": "https://app.test/", "redirect_uris": ["https://app.test/"],
                    "grant_types": ["authorization_code", "urn:ietf:params:oauth:grant-type:device_code"],
                });
                let made = alice.post("/_wayside/v1/oauth/register", &said).await?;
                made["client_id"].as_str().context("no client id")?.to_owned()
            }
            "openid" => openid_of(alice).await?,
            "passkey" => passkeys::add(alice).await?.1,
            "own_device" => alice.session().device_id.clone(),
            "backup" => {
                let keys = "/_matrix/client/v3/room_keys";
                let algorithm = "m.megolm_backup.v1.curve25519-aes-sha2";
                let auth_data = json!({ "public_key": "YWJj", "signatures": {} });
                let body = json!({ "algorithm": algorithm, "auth_data": auth_data });
                let made = alice.post(&format!("{keys}/version"), &body).await?;
                let version = made["version"].as_str().context("no version")?.to_owned();
                let key = json!({
                    "first_message_index": 9, "forwarded_count": 0, "is_verified": false,
                    "session_data": { "s": "secret" },
                });
                let path = format!("{keys}/keys/!r:a.test/s?version={version}");
                alice.call(Method::PUT, &path, Some(&key)).await?;
                version
            }
            "since" => alice.sync(None, std::time::Duration::ZERO).await?.1.to_string(),
            "invitation" => {
                let answer =
                    alice.post("/_wayside/v1/invitations", &json!({"role": "guest"})).await?;
                answer["invitation"].as_str().context("no invitation")?.to_owned()
            }
            "script" => {
                let page = self.fetched("/").await?;
                let page = String::from_utf8(page)?;
                let script = page.split("/web/").nth(1).and_then(|rest| rest.split('"').next());
                script.context("the page names no script")?.to_owned()
            }
            "scene" => {
                let scene = alice.upload("model/gltf-binary", floor()).await?;
                format!("mxc://{}", scene.place())
            }
            "preview" => {
                let picture = alice.upload("image/png", png(4, 4, 4)).await?;
                format!("mxc://{}", picture.place())
            }
            "world" => {
                let scene = Box::pin(self.thing("scene")).await?;
                let wish = json!({"name": new_name(), "scene": scene});
                let made = alice.post("/_wayside/v1/worlds", &wish).await?;
                made["room_id"].as_str().context("no room")?.to_owned()
            }
            "asset" => {
                let world = Box::pin(self.thing("world")).await?;
                let shown = alice.get(&format!("/_wayside/v1/worlds/{world}")).await?;
                shown["scene"]["sha256"].as_str().context("no scene")?.to_owned()
            }
            "worn" => {
                let body = self.vrm().await?;
                let kept = alice.send_bytes("/_wayside/v1/avatars?name=a.vrm", body).await?;
                kept["sha256"].as_str().context("no hash")?.to_owned()
            }
            other => bail!("the stage does not know what <{other}> is"),
        })
    }

    /// A body that can be worn: a generated one.
    pub(crate) async fn vrm(&self) -> Result<Vec<u8>> {
        self.fetched("/_wayside/v1/bodies/0000000000000007").await
    }

    async fn fetched(&self, path: &str) -> Result<Vec<u8>> {
        let answer = reqwest::get(self.base.join(path)?).await?.error_for_status()?;
        Ok(answer.bytes().await?.to_vec())
    }

    /// A room of Alice's in which Bob is too, with a message that is for them only.
    async fn room_of_two(&self) -> Result<RoomId> {
        let asked = json!({"invite": [self.bob.session().user_id], "name": "secret"});
        let room = self.alice.create_room(&asked).await?;
        self.bob.join(&room).await?;
        let _message: EventId = self.alice.send_text(&room, &new_name(), "secret").await?;
        Ok(room)
    }
}

async fn person(base: &Url, name: &str) -> Result<Client> {
    let client = Client::register(base, &format!("{name}-{}", new_name())).await?;
    let path = format!("/_matrix/client/v3/profile/{}/displayname", client.session().user_id);
    client.call(Method::PUT, &path, Some(&json!({"displayname": name}))).await?;
    Ok(client)
}

/// The public half of one of the keys with which somebody signs.
fn key_of(who: &Client, word: &str) -> Result<String> {
    let key = &Person::of(SIGNING)?.keys(who)?[format!("{word}_key")]["keys"];
    let public = key.as_object().and_then(|keys| keys.values().next());
    Ok(public.and_then(Value::as_str).context("no key")?.to_owned())
}

/// What the first of these keys signed another with.
fn signature_of(who: &Client, word: &str) -> Result<String> {
    let key = &Person::of(SIGNING)?.keys(who)?[word.replace("_signed", "_key")];
    let by_key = &key["signatures"][&who.session().user_id];
    let signature = by_key.as_object().and_then(|keys| keys.values().next());
    Ok(signature.and_then(Value::as_str).context("no signature")?.to_owned())
}

/// A token by which another service may ask who somebody is.
async fn openid_of(who: &Client) -> Result<String> {
    let path = format!("/_matrix/client/v3/user/{}/openid/request_token", who.session().user_id);
    let made = who.post(&path, &json!({})).await?;
    Ok(made["access_token"].as_str().context("no token")?.to_owned())
}
