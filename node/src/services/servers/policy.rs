//! Policy servers: asked to sign what is said in the rooms that they look over (server-server API, policy servers).

use std::time::Duration;

use http::Method;
use serde_json::{Map, Value, value::RawValue};
use wayside_federation::{
    event::{Event, EventError},
    policy::{KEY_ID, Policy},
    version::RoomVersion,
};

use super::{super::RefusedElsewhere, AskError, Error, Question, Servers};

/// Bytes of an answer: one signature, or why there is none.
const ANSWER: usize = 16 * 1024;
/// How long somebody waits who says something, and how long a transaction of another server.
const PATIENCE: Duration = Duration::from_secs(20);
const PATIENCE_OF_SERVERS: Duration = Duration::from_secs(10);
/// Codes that are told on as a policy server gives them. Others mean something of its own to whoever
/// hears them of this node: that a token is worth nothing, for example, and clients sign out.
const CODES: [&str; 6] =
    ["M_FORBIDDEN", "M_BAD_JSON", "M_NOT_JSON", "M_NOT_FOUND", "M_LIMIT_EXCEEDED", "M_SAFETY"];
/// The longest that is told on of how long to wait, in milliseconds.
const LATER_MS: u64 = 60 * 60 * 1_000;

/// How much hangs on the answer of a policy server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody here waits for it: it is asked also while it is left alone.
    Awaited,
    /// Nobody waits here.
    Calm,
}

/// Why a policy server has not signed something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsigned {
    /// It does not want to.
    Refused(RefusedElsewhere),
    /// It gave no answer that is of use.
    Silent(String),
}

impl From<Unsigned> for Error {
    fn from(unsigned: Unsigned) -> Self {
        match unsigned {
            Unsigned::Refused(refusal) => Self::Policy(refusal),
            Unsigned::Silent(why) => Self::NoAnswer(why),
        }
    }
}

impl Servers {
    /// The event as the policy server of its room has signed it.
    pub async fn have_signed(
        &self,
        policy: &Policy,
        version: RoomVersion,
        event: &Event,
        urgency: Urgency,
    ) -> Result<Result<Event, Unsigned>, Error> {
        let text = RawValue::from_string(event.json().to_owned()).map_err(Error::internal)?;
        let question = Question::get(&["_matrix", "policy", "v1", "sign"], &[]);
        let question = question.with(Method::POST, &text)?;
        let question = match urgency {
            Urgency::Awaited => question.bounded(ANSWER, PATIENCE).urgent(),
            Urgency::Calm => question.bounded(ANSWER, PATIENCE_OF_SERVERS),
        };
        let server = policy.server();
        let answer: Map<String, Value> = match self.ask(server, question).await {
            Ok(answer) => answer,
            Err(AskError::Node(error)) => return Err(error),
            Err(error) => return Ok(Err(unsigned(error))),
        };
        let signature = answer.get(server.as_str()).and_then(|it| it.get(KEY_ID));
        let Some(signature) = signature.and_then(Value::as_str) else {
            // It may hide why.
            let why = format!("the policy server {server} does not sign this");
            return Ok(Err(refusal(403, "M_FORBIDDEN", why, None)));
        };
        Ok(match policy.sign(version, event, signature) {
            Ok(signed) => Ok(signed),
            Err(EventError::TooLarge) => {
                let why = "with the signature of the room's policy server it would be too large";
                Err(refusal(413, "M_TOO_LARGE", why.to_owned(), None))
            }
            Err(error) => {
                let (server, why) = (server.to_string(), error.to_string());
                Err(Unsigned::Silent(AskError::BadAnswer { server, why }.to_string()))
            }
        })
    }
}

fn refusal(status: u16, code: &'static str, why: String, retry_ms: Option<u64>) -> Unsigned {
    Unsigned::Refused(RefusedElsewhere { status, code, why, retry_ms })
}

/// What is told of an answer that is no signature: the policy server's own words, where they are of those
/// that it may say (server-server API, `POST /_matrix/policy/v1/sign`).
fn unsigned(error: AskError) -> Unsigned {
    let silent = Unsigned::Silent(error.to_string());
    let AskError::Refused { status, code, why, retry_ms, .. } = error else { return silent };
    let known = CODES.into_iter().find(|it| *it == code);
    match (status, known) {
        (404, Some("M_NOT_FOUND")) => refusal(404, "M_NOT_FOUND", why, None),
        (429, _) => refusal(429, "M_LIMIT_EXCEEDED", why, retry_ms.map(|it| it.min(LATER_MS))),
        (400 | 403, Some("M_LIMIT_EXCEEDED" | "M_NOT_FOUND") | None) => {
            refusal(403, "M_FORBIDDEN", why, None)
        }
        (400 | 403, Some(code)) => refusal(status, code, why, None),
        _ => silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(status: u16, code: &str) -> Option<(u16, &'static str)> {
        let (server, why, code) = ("policy.test".to_owned(), "no".to_owned(), code.to_owned());
        let refused = AskError::Refused { server, status, code, why, retry_ms: Some(u64::MAX) };
        match unsigned(refused) {
            Unsigned::Refused(refusal) => {
                assert!(refusal.why == "no" && refusal.retry_ms.is_none_or(|it| it <= LATER_MS));
                Some((refusal.status, refusal.code))
            }
            Unsigned::Silent(_) => None,
        }
    }

    #[test]
    fn only_what_a_policy_server_may_say_is_told_on_in_its_words() {
        for (status, code, wanted) in [
            (400, "M_FORBIDDEN", Some((400, "M_FORBIDDEN"))),
            (403, "M_FORBIDDEN", Some((403, "M_FORBIDDEN"))),
            (400, "M_SAFETY", Some((400, "M_SAFETY"))),
            (400, "M_BAD_JSON", Some((400, "M_BAD_JSON"))),
            (404, "M_NOT_FOUND", Some((404, "M_NOT_FOUND"))),
            (429, "M_LIMIT_EXCEEDED", Some((429, "M_LIMIT_EXCEEDED"))),
            (429, "M_UNKNOWN_TOKEN", Some((429, "M_LIMIT_EXCEEDED"))),
            // A client would sign out, or take the door for unknown here.
            (400, "M_UNKNOWN_TOKEN", Some((403, "M_FORBIDDEN"))),
            (403, "M_USER_DEACTIVATED", Some((403, "M_FORBIDDEN"))),
            (400, "", Some((403, "M_FORBIDDEN"))),
            (401, "M_UNKNOWN_TOKEN", None),
            (401, "M_FORBIDDEN", None),
            (404, "M_UNRECOGNIZED", None),
            (405, "M_UNRECOGNIZED", None),
            (302, "M_FORBIDDEN", None),
            (500, "M_FORBIDDEN", None),
        ] {
            assert_eq!(told(status, code), wanted, "{status} {code}");
        }
    }
}
