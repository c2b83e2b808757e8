//! A plain Matrix client: it sends what it is told, hides nothing, and never tries again.

use std::{env, fmt, time::Duration};

use anyhow::{Context, Result, ensure};
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::{Value, json};

/// Longer than any long poll that a story asks for.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);
/// The variable that names the version of rooms whose makers name none.
const ROOM_VERSION: &str = "WAYSIDE_TEST_ROOM_VERSION";
/// The password of everybody in a story.
pub const PASSWORD: &str = "correct horse battery staple";

macro_rules! text_types {
    ($($(#[doc = $doc:literal])+ $name:ident;)+) => {
        $($(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(String);

        impl $name {
            fn of(answer: &Value, key: &str) -> Result<Self> {
                let text = answer[key].as_str();
                Ok(Self(text.with_context(|| format!("no text {key:?} in {answer}"))?.to_owned()))
            }

            /// An id that a story knows from elsewhere.
            #[must_use]
            pub fn known(text: &str) -> Self {
                Self(text.to_owned())
            }

            /// The id as it travels.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(&self.0)
            }
        })+
    };
}

text_types! {
    /// The id of a room.
    RoomId;
    /// The id of an event.
    EventId;
    /// Where a medium is: `mxc://server/id`.
    MediaUri;
    /// A place in the stream of what happens, to sync or page from.
    SyncToken;
}

impl EventId {
    /// The id of an event as a client receives it.
    pub fn of_event(event: &Value) -> Result<Self> {
        Self::of(event, "event_id")
    }
}

/// Why a call had no good answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No answer came: whether the node did what was asked is unknown.
    #[error("{method} {path}: no answer")]
    Unanswered {
        /// The method of the call.
        method: Method,
        /// The path of the call.
        path: String,
        /// What broke.
        source: reqwest::Error,
    },
    /// The node refused.
    #[error("{method} {path}: {status} {body}")]
    Refused {
        /// The method of the call.
        method: Method,
        /// The path of the call.
        path: String,
        /// The status of the answer.
        status: StatusCode,
        /// The body of the answer: JSON, or a string where it was none.
        body: Value,
    },
}

impl CallError {
    /// The Matrix error code of a refusal.
    #[must_use]
    pub fn errcode(&self) -> Option<&str> {
        match self {
            Self::Unanswered { .. } => None,
            Self::Refused { body, .. } => body["errcode"].as_str(),
        }
    }
}

/// Who is logged in.
#[derive(Clone, Debug)]
pub struct Session {
    /// The whole user id.
    pub user_id: String,
    /// The device of this login.
    pub device_id: String,
    token: String,
}

impl Session {
    /// The access token, for stories that misuse it.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }
}

/// A client of one node, of one person or of nobody yet.
///
/// Ids go into paths as they are: none that a node makes needs escaping there. Names of aliases do,
/// and are not for this client.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    session: Option<Session>,
}

impl Client {
    /// A client that is not logged in.
    pub fn nobody(base: &Url) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(ANSWER_LIMIT).build()?;
        Ok(Self { http, base: base.clone(), session: None })
    }

    /// The same person, who waits so long for an answer.
    pub fn patient(self, limit: Duration) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(limit).build()?;
        Ok(Self { http, ..self })
    }

    /// Makes an account and logs in with it.
    pub async fn register(base: &Url, name: &str) -> Result<Self> {
        let asked = json!({
            "username": name, "password": PASSWORD, "auth": {"type": "m.login.dummy"},
        });
        Self::nobody(base)?.enter("/_matrix/client/v3/register", &asked).await
    }

    /// Comes in as a guest of an open node.
    pub async fn guest(base: &Url) -> Result<Self> {
        Self::nobody(base)?.enter("/_matrix/client/v3/register?kind=guest", &json!({})).await
    }

    /// Logs in to an account that `register` made.
    pub async fn login(base: &Url, name: &str) -> Result<Self> {
        let asked = json!({
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": name},
            "password": PASSWORD,
        });
        Self::nobody(base)?.enter("/_matrix/client/v3/login", &asked).await
    }

    /// The same person at another address of the node: ports change when it is started again.
    #[must_use]
    pub fn at(&self, base: &Url) -> Self {
        Self { base: base.clone(), ..self.clone() }
    }

    /// The login of this client.
    ///
    /// # Panics
    /// If it is nobody.
    #[must_use]
    pub fn session(&self) -> &Session {
        self.session.as_ref().expect("a story asks only those who logged in who they are")
    }

    /// Makes a room of this request, and returns its id. In a run that is about older rooms
    /// (`WAYSIDE_TEST_ROOM_VERSION`), it is of that version unless the request names one.
    pub async fn create_room(&self, request: &Value) -> Result<RoomId> {
        let mut request = request.clone();
        if let (Ok(version), Some(fields)) = (env::var(ROOM_VERSION), request.as_object_mut()) {
            fields.entry("room_version").or_insert_with(|| json!(version));
        }
        let answer = self.post("/_matrix/client/v3/createRoom", &request).await?;
        RoomId::of(&answer, "room_id")
    }

    /// Joins a room of this node.
    pub async fn join(&self, room: &RoomId) -> Result<()> {
        self.post(&format!("/_matrix/client/v3/join/{room}"), &json!({})).await?;
        Ok(())
    }

    /// Joins a room by way of a server that is in it.
    pub async fn join_through(&self, room: &RoomId, server: &str) -> Result<()> {
        // Both names of the parameter: servers of before 1.12 know the first alone.
        let path = format!("/_matrix/client/v3/join/{room}?server_name={server}&via={server}");
        self.post(&path, &json!({})).await?;
        Ok(())
    }

    /// Says something in a room.
    pub async fn send_text(
        &self,
        room: &RoomId,
        txn: &str,
        body: &str,
    ) -> Result<EventId, CallError> {
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
        let content = json!({"msgtype": "m.text", "body": body});
        let answer = self.call(Method::PUT, &path, Some(&content)).await?;
        Ok(EventId(answer["event_id"].as_str().unwrap_or_default().to_owned()))
    }

    /// Sets the state of a room.
    pub async fn set_state(
        &self,
        room: &RoomId,
        kind: &str,
        key: &str,
        content: &Value,
    ) -> Result<EventId> {
        let path = format!("/_matrix/client/v3/rooms/{room}/state/{kind}/{key}");
        EventId::of(&self.call(Method::PUT, &path, Some(content)).await?, "event_id")
    }

    /// The content of a room's state.
    pub async fn state(&self, room: &RoomId, kind: &str, key: &str) -> Result<Value, CallError> {
        self.get(&format!("/_matrix/client/v3/rooms/{room}/state/{kind}/{key}")).await
    }

    /// What has happened since `since`; waits up to `wait` for something to happen.
    pub async fn sync(
        &self,
        since: Option<&SyncToken>,
        wait: Duration,
    ) -> Result<(Value, SyncToken)> {
        let since = since.map(|token| format!("&since={token}")).unwrap_or_default();
        let path = format!("/_matrix/client/v3/sync?timeout={}{since}", wait.as_millis());
        let answer = self.get(&path).await?;
        let token = SyncToken::of(&answer, "next_batch")?;
        Ok((answer, token))
    }

    /// A page of a room's events, newest first, and where the next page begins if there is one.
    pub async fn messages(
        &self,
        room: &RoomId,
        from: Option<&SyncToken>,
        limit: usize,
    ) -> Result<(Vec<Value>, Option<SyncToken>)> {
        let place = from.map(|token| format!("&from={token}")).unwrap_or_default();
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&limit={limit}{place}");
        let mut answer = self.get(&path).await?;
        let end = answer.get("end").is_some().then(|| SyncToken::of(&answer, "end")).transpose()?;
        ensure!(
            end.is_none() || end.as_ref() != from,
            "the page after {from:?} begins where it began"
        );
        let Value::Array(events) = answer["chunk"].take() else {
            anyhow::bail!("no chunk in {answer}")
        };
        Ok((events, end))
    }

    /// Uploads a medium.
    pub async fn upload(&self, kind: &str, bytes: Vec<u8>) -> Result<MediaUri, CallError> {
        let path = "/_matrix/media/v3/upload";
        let request = self.request(Method::POST, path).header("content-type", kind).body(bytes);
        let answer = answer_of(Method::POST, path, request).await?;
        Ok(MediaUri(answer["content_uri"].as_str().unwrap_or_default().to_owned()))
    }

    /// Asks for a name under which a medium can be uploaded later.
    pub async fn reserve_media(&self) -> Result<MediaUri> {
        MediaUri::of(&self.post("/_matrix/media/v1/create", &json!({})).await?, "content_uri")
    }

    /// Uploads a medium under a name that was asked for before.
    pub async fn upload_to(&self, uri: &MediaUri, bytes: Vec<u8>) -> Result<(), CallError> {
        let path = format!("/_matrix/media/v3/upload/{}", uri.place());
        let kind = "application/octet-stream";
        let request = self.request(Method::PUT, &path).header("content-type", kind).body(bytes);
        answer_of(Method::PUT, &path, request).await.map(drop)
    }

    /// Downloads a medium.
    pub async fn download(&self, uri: &MediaUri) -> Result<Vec<u8>, CallError> {
        let path = format!("/_matrix/client/v1/media/download/{}?timeout_ms=0", uri.place());
        self.download_path(&path).await
    }

    /// Downloads what a path holds.
    pub async fn download_path(&self, path: &str) -> Result<Vec<u8>, CallError> {
        let unanswered =
            |source| CallError::Unanswered { method: Method::GET, path: path.to_owned(), source };
        let response = self.request(Method::GET, path).send().await.map_err(unanswered)?;
        let status = response.status();
        let bytes = response.bytes().await.map_err(unanswered)?;
        if status.is_success() {
            return Ok(bytes.to_vec());
        }
        let (path, body) = (path.to_owned(), json_or_text(&bytes));
        Err(CallError::Refused { method: Method::GET, path, status, body })
    }

    /// Any POST of bytes.
    pub async fn send_bytes(&self, path: &str, bytes: Vec<u8>) -> Result<Value, CallError> {
        let request = self.request(Method::POST, path).body(bytes);
        answer_of(Method::POST, path, request).await
    }

    /// Any GET.
    pub async fn get(&self, path: &str) -> Result<Value, CallError> {
        self.call(Method::GET, path, None).await
    }

    /// Any POST of JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CallError> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Any call with JSON both ways.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CallError> {
        let request = self.request(method.clone(), path);
        let request = match body {
            Some(body) => request.json(body),
            None => request,
        };
        answer_of(method, path, request).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url =
            self.base.join(path).expect("a path that a story writes can stand behind an address");
        let request = self.http.request(method, url);
        match &self.session {
            Some(session) => request.bearer_auth(&session.token),
            None => request,
        }
    }

    async fn enter(self, path: &str, asked: &Value) -> Result<Self> {
        let answer = self.post(path, asked).await?;
        self.signed_in(&answer).with_context(|| format!("reading the answer of {path}"))
    }

    /// This client with the session that an answer of a login or registration gives.
    pub fn signed_in(self, answer: &Value) -> Result<Self> {
        let text = |key: &str| {
            let text = answer[key].as_str().map(str::to_owned);
            text.with_context(|| format!("no text {key:?} in {answer}"))
        };
        let session = Session {
            user_id: text("user_id")?,
            device_id: text("device_id")?,
            token: text("access_token")?,
        };
        Ok(Self { session: Some(session), ..self })
    }
}

impl MediaUri {
    /// `server/id`, as it stands in paths.
    #[must_use]
    pub fn place(&self) -> &str {
        self.0.trim_start_matches("mxc://")
    }
}

async fn answer_of(
    method: Method,
    path: &str,
    request: RequestBuilder,
) -> Result<Value, CallError> {
    let unanswered =
        |source| CallError::Unanswered { method: method.clone(), path: path.to_owned(), source };
    let response = request.send().await.map_err(unanswered)?;
    let status = response.status();
    let body = json_or_text(&response.bytes().await.map_err(unanswered)?);
    if status.is_success() {
        return Ok(body);
    }
    Err(CallError::Refused { method, path: path.to_owned(), status, body })
}

fn json_or_text(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}
