//! Asking other servers: signed, bounded, and not at all while they do not answer.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};
use ruma::ServerName;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};
use wayside_federation::request::Request;

use super::{Error, Server, Servers};
use crate::outbound::{Answer, Asking, Beyond, Bounds, CallError, Flow};

/// What an answer may cost unless the question says otherwise.
const BOUNDS: Bounds =
    Bounds { bytes: 1024 * 1024, beyond: Beyond::Refused, time: Duration::from_secs(20) };
/// How long a question waits while a server is asked as much as it may be at the same time.
const PLACE: Duration = Duration::from_secs(10);
/// From so many bytes on, an answer is read where nobody waits for these threads.
const LARGE: usize = 256 * 1024;
/// Most letters of a server's own words that are told to somebody.
const WORDS: usize = 300;

/// What a server is asked.
pub struct Question {
    asking: Asking,
    bounds: Bounds,
    is_signed: bool,
    is_urgent: bool,
    is_passing: bool,
}

impl Question {
    /// Reads something: the parts of the path from `_matrix` on, and the query.
    #[must_use]
    pub fn get(path: &[&str], query: &[(&str, &str)]) -> Self {
        let asking = Asking::get(path, query);
        Self { asking, bounds: BOUNDS, is_signed: true, is_urgent: false, is_passing: false }
    }

    /// The same with a body.
    pub fn with(self, method: Method, content: &impl Serialize) -> Result<Self, Error> {
        let content = serde_json::to_vec(content).map_err(Error::internal)?;
        Ok(Self { asking: self.asking.with(method, content), ..self })
    }

    /// The same for an answer of so many bytes at most, that may take so long.
    #[must_use]
    pub fn bounded(mut self, bytes: usize, time: Duration) -> Self {
        self.bounds = Bounds { bytes, time, ..BOUNDS };
        self
    }

    /// The same without saying who asks.
    #[must_use]
    pub fn unsigned(self) -> Self {
        Self { is_signed: false, ..self }
    }

    /// The same, of which nothing is noted where the server does not answer: whoever looks at what another
    /// names has it left alone by nobody.
    #[must_use]
    pub fn in_passing(self) -> Self {
        Self { is_passing: true, ..self }
    }

    /// The same also where the server has not answered lately: somebody waits for the answer.
    #[must_use]
    pub fn urgent(self) -> Self {
        Self { is_urgent: true, ..self }
    }
}

/// Why a server gave no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It is this node itself, or one that those who run it do not want to meet.
    #[error("this node does not meet the server {0}")]
    Unmet(String),
    /// It has not answered lately.
    #[error("the server {server} has not answered: it is tried again in {wait_ms} ms")]
    Paused {
        /// Which.
        server: String,
        /// When it is tried again, in milliseconds from now.
        wait_ms: i64,
    },
    /// It is asked much already, and does not answer that.
    #[error("the server {0} has not answered others yet: try again later")]
    Busy(String),
    /// It could not be reached.
    #[error("the server {server} could not be reached: {source}")]
    Unreached {
        /// Which.
        server: String,
        /// Why.
        source: CallError,
    },
    /// It does not want to.
    #[error("the server {server} refuses: {why}")]
    Refused {
        /// Which.
        server: String,
        /// The status of HTTP.
        status: u16,
        /// The code of Matrix, if there is one.
        code: String,
        /// Its own words.
        why: String,
        /// When it may be asked again, in milliseconds, where it says so.
        retry_ms: Option<u64>,
    },
    /// What it answers is of no use.
    #[error("the server {server} answers what it should not: {why}")]
    BadAnswer {
        /// Which.
        server: String,
        /// What is wrong with it.
        why: String,
    },
    /// This node failed.
    #[error(transparent)]
    Node(#[from] Error),
}

impl From<AskError> for Error {
    fn from(error: AskError) -> Self {
        let said = error.to_string();
        match error {
            AskError::Node(error) => error,
            AskError::Refused { status: 404, .. } => Self::NotFound(said),
            AskError::Refused { status: 403, .. } | AskError::Unmet(_) => Self::Forbidden(said),
            AskError::Refused { .. }
            | AskError::Paused { .. }
            | AskError::Busy(_)
            | AskError::Unreached { .. }
            | AskError::BadAnswer { .. } => Self::NoAnswer(said),
        }
    }
}

impl Servers {
    /// Asks a server, and reads what it answers.
    pub async fn ask<T: DeserializeOwned + Send + 'static>(
        &self,
        name: &ServerName,
        question: Question,
    ) -> Result<T, AskError> {
        let answer = self.answered(name, question).await?;
        if answer.bytes.len() < LARGE {
            return read(name, &answer);
        }
        let name = name.to_owned();
        let read = tokio::task::spawn_blocking(move || read(&name, &answer));
        read.await.map_err(Error::internal)?
    }

    /// Asks a server for bytes.
    pub(super) async fn fetch(
        &self,
        name: &ServerName,
        question: Question,
    ) -> Result<Bytes, AskError> {
        let answer = self.answered(name, question).await?;
        if answer.status.is_success() {
            return Ok(answer.bytes);
        }
        Err(refused(name, answer.status, refusal(&answer.bytes)))
    }

    async fn answered(&self, name: &ServerName, question: Question) -> Result<Answer, AskError> {
        let server = self.met(name).await?;
        self.is_due(&server, &question)?;
        let place = timeout(PLACE, server.calls.acquire()).await;
        let place = place.map_err(|_| AskError::Busy(name.to_string()))?;
        let _place = place.map_err(Error::internal)?;
        // Those before may have found out that it does not answer.
        self.is_due(&server, &question)?;
        self.call(&server, question).await
    }

    /// Refuses where a server may not be asked now, for whoever has something to do before that; and says
    /// whether it has answered when it was asked last.
    pub async fn may_ask(&self, name: &ServerName) -> Result<bool, AskError> {
        let server = self.met(name).await?;
        self.is_free(&server)?;
        Ok(server.gone().failures == 0)
    }

    /// Asks a server for what is read while it comes; the answer begins within the question's time. What
    /// it refuses is read as far as the question's bytes go. The place beside other such questions goes
    /// with what is given along.
    pub(super) async fn open(
        &self,
        name: &ServerName,
        question: Question,
    ) -> Result<(Flow, OwnedSemaphorePermit), AskError> {
        let server = self.met(name).await?;
        self.is_due(&server, &question)?;
        let place = timeout(PLACE, server.files.clone().acquire_owned()).await;
        let place = place.map_err(|_| AskError::Busy(name.to_string()))?;
        let place = place.map_err(Error::internal)?;
        self.is_due(&server, &question)?;
        let Question { mut asking, bounds, is_signed, .. } = question;
        if is_signed {
            asking.authorization = Some(self.sign(name, &asking)?);
        }
        let failures = server.gone().failures;
        let open = async { self.line(&server).await?.open(asking, bounds.time).await };
        let opened = timeout(bounds.time, open).await;
        let flow = match opened.unwrap_or(Err(CallError::TooSlow(bounds.time))) {
            Ok(flow) => flow,
            Err(source) => return Err(self.unreached(&server, failures, source).await),
        };
        if flow.status.is_success() {
            self.note_reached(&server).await?;
            return Ok((flow, place));
        }
        let status = flow.status;
        let words = timeout(bounds.time, flow.beginning(bounds.bytes)).await;
        let said = refusal(&words.unwrap_or_default());
        // These say something about one file, and nothing about the server.
        let of_file = ["M_NOT_YET_UPLOADED", "M_TOO_LARGE"].contains(&&*said.errcode);
        if !of_file && (status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS) {
            let why = format!("it answered {status}");
            self.note_failed(&server, failures, &why, said.retry_after_ms).await?;
        } else {
            self.note_reached(&server).await?;
        }
        Err(refused(name, status, said))
    }

    /// What is known of a server, if it is one that may be asked.
    async fn met(&self, name: &ServerName) -> Result<Arc<Server>, AskError> {
        if *name == self.ground.server_name || !self.meets(name) {
            return Err(AskError::Unmet(name.to_string()));
        }
        Ok(self.server(name).await?)
    }

    async fn unreached(&self, server: &Server, failures: u32, source: CallError) -> AskError {
        tracing::debug!(%source, server = %server.name, "a server could not be reached");
        self.lost(server).await;
        let noted = self.note_failed(server, failures, &source.to_string(), None).await;
        let server = server.name.to_string();
        noted.map_or_else(AskError::Node, |()| AskError::Unreached { server, source })
    }

    /// Refuses what is not urgent while a server is left alone.
    fn is_due(&self, server: &Server, question: &Question) -> Result<(), AskError> {
        if question.is_urgent { Ok(()) } else { self.is_free(server) }
    }

    fn is_free(&self, server: &Server) -> Result<(), AskError> {
        let wait_ms = server.gone().retry_ms - self.ground.clock.now_ms();
        if wait_ms > 0 {
            return Err(AskError::Paused { server: server.name.to_string(), wait_ms });
        }
        Ok(())
    }

    async fn call(&self, server: &Server, question: Question) -> Result<Answer, AskError> {
        let name = &server.name;
        let Question { mut asking, bounds, is_signed, is_passing, .. } = question;
        if is_signed {
            asking.authorization = Some(self.sign(name, &asking)?);
        }
        let failures = server.gone().failures;
        let answer = async { self.line(server).await?.call(asking, bounds).await };
        // Looking for the server counts too.
        let answer = timeout(bounds.time, answer).await;
        match answer.unwrap_or(Err(CallError::TooSlow(bounds.time))) {
            Ok(answer) => {
                let status = answer.status;
                let is_bad = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                if is_passing {
                    // One page of it says nothing of how it does as a server.
                } else if is_bad {
                    let why = format!("it answered {status}");
                    self.note_failed(server, failures, &why, retry_after_ms(&answer)).await?;
                } else {
                    self.note_reached(server).await?;
                }
                Ok(answer)
            }
            // It is there: one answer that is too large is no reason to leave it alone.
            Err(error @ CallError::TooLarge(_)) => {
                self.note_reached(server).await?;
                Err(AskError::BadAnswer { server: name.to_string(), why: error.to_string() })
            }
            Err(source) if is_passing => {
                Err(AskError::Unreached { server: name.to_string(), source })
            }
            Err(source) => Err(self.unreached(server, failures, source).await),
        }
    }

    fn sign(&self, destination: &ServerName, asking: &Asking) -> Result<String, AskError> {
        let content = asking.content.as_deref().map(std::str::from_utf8).transpose();
        let content = content.map_err(Error::internal)?;
        let request = Request { method: asking.method.as_str(), uri: &asking.uri, content };
        let ground = &self.ground;
        let signed = request.sign(&ground.server_name, destination, &ground.server_key);
        Ok(signed.map_err(Error::internal)?)
    }
}

/// How a server says why it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errcode: String,
    error: String,
    retry_after_ms: Option<u64>,
}

fn refusal(words: &[u8]) -> Refusal {
    serde_json::from_slice(words).unwrap_or_default()
}

fn retry_after_ms(answer: &Answer) -> Option<u64> {
    refusal(&answer.bytes).retry_after_ms
}

fn refused(name: &ServerName, status: StatusCode, said: Refusal) -> AskError {
    let Refusal { errcode: code, error, retry_after_ms: retry_ms } = said;
    let words: String = error.chars().filter(|it| !it.is_control()).take(WORDS).collect();
    let status = status.as_u16();
    let why = if words.is_empty() { format!("status {status}") } else { words };
    AskError::Refused { server: name.to_string(), status, code, why, retry_ms }
}

fn read<T: DeserializeOwned>(name: &ServerName, answer: &Answer) -> Result<T, AskError> {
    let server = name.to_string();
    if !answer.status.is_success() {
        return Err(refused(name, answer.status, refusal(&answer.bytes)));
    }
    let read = serde_json::from_slice::<T>(&answer.bytes);
    read.map_err(|error| AskError::BadAnswer { server, why: error.to_string() })
}
