//! The stage of a story: one node on one engine, people on it, and ears that follow what they hear.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use wayside_tests::{CallError, Client, Engine, Node, Options, RoomId, SyncToken, Town};

/// Every room version that a node makes.
pub(crate) const VERSIONS: [&str; 3] = ["10", "11", "12"];
/// The longest that news may take; far more than they do, so that only a lost one takes it.
const NEWS_LIMIT: Duration = Duration::from_secs(10);

/// The longest that a node may take to notice what nobody tells it; far more than it does.
const NOTICED: Duration = Duration::from_secs(40);

/// Makes a test on each engine of every story named.
macro_rules! stories {
    ($($story:ident;)+) => {
        $(mod $story {
            #[tokio::test]
            async fn on_sqlite() -> anyhow::Result<()> {
                $crate::stage::Stage::play(wayside_tests::Engine::Sqlite, super::$story).await
            }

            #[tokio::test]
            async fn on_postgres() -> anyhow::Result<()> {
                $crate::stage::Stage::play(wayside_tests::Engine::Postgres, super::$story).await
            }
        })+
    };
}
pub(crate) use stories;

/// One node with its town.
pub(crate) struct Stage {
    pub(crate) node: Node,
    pub(crate) town: Town,
}

impl Stage {
    /// Plays a story on a new node with open registration.
    pub(crate) async fn play(
        engine: Engine,
        story: impl AsyncFnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        let Some(town) = Town::found(engine)? else { return Ok(()) };
        let node = town.node("a")?.start().await?;
        let mut stage = Self { node, town };
        story(&mut stage).await?;
        stage.node.stop().await?;
        Ok(())
    }

    /// Starts another node, with other settings.
    pub(crate) async fn other(
        &self,
        name: &str,
        set: impl FnOnce(Options) -> Options,
    ) -> Result<Node> {
        set(self.town.node(name)?).start().await
    }

    /// Somebody with an account.
    pub(crate) async fn person(&self, name: &str) -> Result<Client> {
        Client::register(self.node.http(), name).await
    }

    /// Somebody who runs the node.
    pub(crate) async fn operator(&self, name: &str) -> Result<Client> {
        let person = self.person(name).await?;
        let done = self.node.command(&["user", "role", name, "--role", "operator"]).await?;
        ensure!(done.status.success(), "{done:?}");
        Ok(person)
    }

    /// Stops the node and starts it on the same data.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.node.stop().await?;
        self.node.restart().await
    }
}

/// Somebody's client that follows what happens.
pub(crate) struct Ear {
    pub(crate) client: Client,
    pub(crate) token: SyncToken,
    query: String,
}

impl Ear {
    /// Begins to follow; gives the first answer too.
    pub(crate) async fn begin(client: &Client, query: &str) -> Result<(Self, Value)> {
        let first = client.get(&format!("/_matrix/client/v3/sync?timeout=0{query}")).await?;
        let token = token_of(&first)?;
        Ok((Self { client: client.clone(), token, query: query.to_owned() }, first))
    }

    /// Begins to follow from here.
    pub(crate) async fn of(client: &Client) -> Result<Self> {
        Ok(Self::begin(client, "").await?.0)
    }

    /// What is new, without waiting for it.
    pub(crate) async fn now(&mut self) -> Result<Value> {
        self.ask(Duration::ZERO).await
    }

    /// What is new, as soon as there is something.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        self.ask(NEWS_LIMIT).await
    }

    /// What is new, or why it is not told, within a time.
    pub(crate) async fn wait(&self, wait: Duration) -> Result<Value, CallError> {
        let (token, query) = (&self.token, &self.query);
        let path =
            format!("/_matrix/client/v3/sync?timeout={}&since={token}{query}", wait.as_millis());
        self.client.get(&path).await
    }

    /// Listens until something is heard; an answer in between that says something else is fine.
    pub(crate) async fn hear<T>(&mut self, what: impl Fn(&Value) -> Option<T>) -> Result<T> {
        let mut heard = Vec::new();
        for _ in 0..100 {
            let asked = Instant::now();
            let answer = self.next().await?;
            if let Some(found) = what(&answer) {
                return Ok(found);
            }
            // Synapse may answer before its time with nothing that is of interest here.
            let is_late = asked.elapsed() >= NEWS_LIMIT;
            ensure!(!is_quiet(&answer) || !is_late, "nothing comes; heard {heard:?}");
            heard.push(answer);
        }
        bail!("not among what was heard: {heard:?}")
    }

    /// Checks that there is nothing new, and that the token says so.
    pub(crate) async fn hears_nothing(&mut self) -> Result<()> {
        let answer = self.now().await?;
        ensure!(is_quiet(&answer), "there is something: {answer}");
        Ok(())
    }

    async fn ask(&mut self, wait: Duration) -> Result<Value> {
        let answer = self.wait(wait).await?;
        self.token = token_of(&answer)?;
        Ok(answer)
    }
}

/// Whether an answer of sync says nothing; one's own presence is no news.
pub(crate) fn is_quiet(answer: &Value) -> bool {
    answer["rooms"].as_object().is_none_or(serde_json::Map::is_empty)
        && answer.get("account_data").is_none()
}

fn token_of(answer: &Value) -> Result<SyncToken> {
    let text = answer["next_batch"].as_str().context("an answer of sync has a token")?;
    Ok(SyncToken::known(text))
}

/// A part of a room in an answer of sync: `join`, `invite`, `knock` or `leave`, then the rest.
pub(crate) fn part<'a>(answer: &'a Value, room: &RoomId, path: &str) -> &'a Value {
    let (kind, rest) = path.split_once('/').unwrap_or((path, ""));
    let mut value = &answer["rooms"][kind][room.as_str()];
    for name in rest.split('/').filter(|name| !name.is_empty()) {
        value = &value[name];
    }
    value
}

/// The list of events in a part of an answer.
pub(crate) fn list(value: &Value) -> Vec<Value> {
    value["events"].as_array().or(value.as_array()).cloned().unwrap_or_default()
}

/// The texts of the messages among events.
pub(crate) fn bodies(events: &[Value]) -> Vec<String> {
    let body = |event: &Value| event["content"]["body"].as_str().map(str::to_owned);
    events.iter().filter_map(body).collect()
}

/// The first event of a type, with a state key where one is given.
pub(crate) fn one<'a>(events: &'a [Value], kind: &str, key: Option<&str>) -> Option<&'a Value> {
    events.iter().find(|it| it["type"] == kind && key.is_none_or(|key| it["state_key"] == key))
}

/// Checks that a call was refused with this status and code.
pub(crate) fn refused<T: Debug>(
    answer: Result<T, CallError>,
    status: u16,
    code: &str,
) -> Result<()> {
    match answer {
        Err(CallError::Refused { status: got, body, path, .. }) => {
            ensure!(
                got.as_u16() == status && body["errcode"] == code,
                "{path}: wanted {status} {code}, got {got} {body}"
            );
            Ok(())
        }
        other => bail!("wanted {status} {code}, got {other:?}"),
    }
}

/// Who types in a room, where an answer of sync says that.
pub(crate) fn typists(answer: &Value, room: &RoomId) -> Option<Vec<Value>> {
    let ephemeral = list(part(answer, room, "join/ephemeral"));
    one(&ephemeral, "m.typing", None).map(|it| list(&it["content"]["user_ids"]))
}

/// A room of the first, in which all others are too.
pub(crate) async fn room_of(people: &[&Client], request: &Value) -> Result<RoomId> {
    let room = people[0].create_room(request).await?;
    for person in &people[1..] {
        person.join(&room).await?;
    }
    Ok(room)
}

/// Waits for something that nobody tells, and that can only be asked for again and again.
pub(crate) async fn comes_true(
    what: &str,
    mut is_so: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    let asking = async {
        while !is_so().await? {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    timeout(NOTICED, asking).await.with_context(|| format!("{what}: not after {NOTICED:?}"))?
}

/// A transaction id that no other has.
pub(crate) fn new_txn() -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!("x{}", MADE.fetch_add(1, Ordering::Relaxed))
}

/// Sends an event of any type, and gives its id.
pub(crate) async fn send(
    who: &Client,
    room: &RoomId,
    kind: &str,
    content: &Value,
) -> Result<String> {
    let path = format!("/_matrix/client/v3/rooms/{room}/send/{kind}/{}", new_txn());
    let answer = who.put(&path, content).await?;
    Ok(answer["event_id"].as_str().context("an event has an id")?.to_owned())
}

/// Empties an event.
pub(crate) async fn redact(who: &Client, room: &RoomId, event: &str) -> Result<()> {
    let path = format!("/_matrix/client/v3/rooms/{room}/redact/{event}/{}", new_txn());
    who.put(&path, &json!({})).await?;
    Ok(())
}

/// Text as it stands in a path or query.
pub(crate) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Short ways to what stories do most.
pub(crate) trait Deeds {
    /// Any PUT of JSON.
    async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError>;
    /// Any DELETE.
    async fn delete(&self, path: &str) -> Result<Value, CallError>;
    /// POSTs to a room: `join`, `leave`, `forget`, and with whom: `invite`, `kick`, `ban`, `unban`.
    async fn deed(
        &self,
        room: &RoomId,
        verb: &str,
        whom: Option<&Client>,
    ) -> Result<Value, CallError>;
    /// Says something, and gives the event's id.
    async fn say(&self, room: &RoomId, text: &str) -> Result<String>;
    /// The whole user id.
    fn id(&self) -> &str;
}

impl Deeds for Client {
    async fn put(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::PUT, path, Some(body)).await
    }

    async fn delete(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::DELETE, path, None).await
    }

    async fn deed(
        &self,
        room: &RoomId,
        verb: &str,
        whom: Option<&Client>,
    ) -> Result<Value, CallError> {
        let body = whom.map_or_else(|| json!({}), |whom| json!({ "user_id": whom.id() }));
        self.post(&format!("/_matrix/client/v3/rooms/{room}/{verb}"), &body).await
    }

    async fn say(&self, room: &RoomId, text: &str) -> Result<String> {
        let event = self.send_text(room, &escaped(text), text).await?;
        Ok(event.as_str().to_owned())
    }

    fn id(&self) -> &str {
        &self.session().user_id
    }
}
