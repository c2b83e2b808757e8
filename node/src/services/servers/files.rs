//! Files of other servers, asked for and read while they come (server-server API, content repository).

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use ruma::ServerName;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};
use wayside_federation::multipart::{Head, Multipart, MultipartError, Piece, file_name};

use super::{AskError, Question, Servers};
use crate::outbound::{CallError, Flow};

/// How long an answer may take to begin, beyond the time for which the server is to wait for the file.
const BEGIN: Duration = Duration::from_secs(20);
/// Most bytes of a refusal that are read.
const REFUSAL_BYTES: usize = 16 * 1024;

/// A file that comes: what is said of it, and its bytes, as many and as slowly as it pleases whoever sends
/// them. It was whole only where nothing fails before the end.
pub struct Coming {
    /// What is said of it.
    pub said: Head,
    /// Its bytes.
    pub bytes: BoxStream<'static, Result<Bytes, Broken>>,
}

/// Why a file that began to come did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The line broke off.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It is none of two parts.
    #[error(transparent)]
    Multipart(#[from] MultipartError),
}

impl Servers {
    /// Asks a server for a file of its own, which it is to wait for so long where it has been promised
    /// and has not come.
    pub async fn file(
        &self,
        name: &ServerName,
        media_id: &str,
        wait: Duration,
    ) -> Result<Coming, AskError> {
        let wait_ms = wait.as_millis().to_string();
        let query = [("timeout_ms", &*wait_ms)];
        let path = ["_matrix", "federation", "v1", "media", "download", media_id];
        let question = Question::get(&path, &query).bounded(REFUSAL_BYTES, wait + BEGIN);
        match self.open(name, question).await {
            Ok(opened) => self.parted(name, opened).await,
            // It is older than these questions, and answers as it did then, to whoever asks.
            Err(AskError::Refused { status: 404, code, .. }) if code == "M_UNRECOGNIZED" => {
                let query = [("allow_remote", "false"), ("timeout_ms", &*wait_ms)];
                let path = ["_matrix", "media", "v3", "download", name.as_str(), media_id];
                let question = Question::get(&path, &query).bounded(REFUSAL_BYTES, wait + BEGIN);
                Ok(plain(self.open(name, question.unsigned()).await?))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads up to the file, which may be elsewhere.
    async fn parted(
        &self,
        name: &ServerName,
        (flow, place): (Flow, OwnedSemaphorePermit),
    ) -> Result<Coming, AskError> {
        let bad = |why: String| AskError::BadAnswer { server: name.to_string(), why };
        let kind = flow.content_type.unwrap_or_default();
        let reader = Multipart::new(&kind).map_err(|error| bad(error.to_string()))?;
        let mut parts = Parts { reader, bytes: flow.bytes, _place: place };
        let until = Instant::from_std(self.ground.clock.instant() + BEGIN);
        let said = loop {
            let piece = timeout_at(until, parts.next()).await;
            let piece = piece.map_err(|_| bad(CallError::TooSlow(BEGIN).to_string()))?;
            match piece.map_err(|error| bad(error.to_string()))? {
                Some(Piece::Head(said)) => break said,
                Some(_) => {}
                None => return Err(bad(MultipartError::CutOff.to_string())),
            }
        };
        let Some(location) = said.location else {
            let bytes = stream::try_unfold(parts, |mut parts: Parts| async move {
                Ok(match parts.next().await? {
                    Some(Piece::Bytes(bytes)) => Some((Bytes::from(bytes), parts)),
                    Some(Piece::Head(_) | Piece::End) | None => None,
                })
            });
            return Ok(Coming { said, bytes: bytes.boxed() });
        };
        let outbound = &self.ground.outbound;
        let flow = async {
            let url = outbound.address(&location, false)?;
            outbound.open(&url, false, "*/*", BEGIN).await
        };
        let flow = timeout(BEGIN, flow).await.unwrap_or(Err(CallError::TooSlow(BEGIN)));
        let flow = flow.map_err(|error| bad(format!("the file is to lie elsewhere: {error}")))?;
        if !flow.status.is_success() {
            return Err(bad(format!("the file is to lie where there is none: {}", flow.status)));
        }
        let Parts { _place: place, .. } = parts;
        Ok(plain((flow, place)))
    }
}

/// A file that is the whole answer.
fn plain((flow, place): (Flow, OwnedSemaphorePermit)) -> Coming {
    let file_name = flow.disposition.as_deref().and_then(file_name);
    let said = Head { content_type: flow.content_type, file_name, location: None };
    let bytes = flow.bytes.map_err(Broken::from).inspect(move |_| {
        // The place is kept while the bytes come.
        let _place = &place;
    });
    Coming { said, bytes: bytes.boxed() }
}

/// An answer of two parts while it comes.
struct Parts {
    reader: Multipart,
    bytes: BoxStream<'static, Result<Bytes, CallError>>,
    _place: OwnedSemaphorePermit,
}

impl Parts {
    async fn next(&mut self) -> Result<Option<Piece>, Broken> {
        loop {
            if let Some(piece) = self.reader.piece()? {
                return Ok(Some(piece));
            }
            let Some(bytes) = self.bytes.next().await else {
                self.reader.end()?;
                return Ok(None);
            };
            self.reader.push(&bytes?);
        }
    }
}
