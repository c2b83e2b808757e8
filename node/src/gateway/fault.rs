//! Refusals in Matrix's words: status, code and a sentence.

use http::{HeaderValue, StatusCode, header};
use ruma::api::error::FromHttpRequestError;
use serde_json::{Value, json};

use super::table::{Reply, json as json_reply};
use crate::{
    clock::Clock,
    services::{
        Error,
        oauth::{OAuthError, Refusal},
    },
};

/// Why a door did not let a request through, or what a service said.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A service refused.
    #[error(transparent)]
    Service(#[from] Error),
    /// The route wants to know who asks.
    #[error("an access token is needed: sign in first")]
    MissingToken,
    /// The body is no JSON.
    #[error("{0}")]
    NotJson(String),
    /// The body is JSON of another form than wanted.
    #[error("{0}")]
    BadJson(String),
    /// A part of the path or query does not parse.
    #[error("{0}")]
    BadParameter(String),
    /// There is no such route.
    #[error("this node does not know this request")]
    Unrecognized,
    /// There is such a path, but not for this method.
    #[error("this path cannot be asked in this way")]
    WrongMethod,
    /// The body is larger than the route takes.
    #[error("the body is larger than the {0} bytes that this request may have")]
    BodyTooLarge(usize),
    /// The body came too slowly to be waited for.
    #[error(
        "the body came more slowly than {0} bytes a second: send it again when the line is faster"
    )]
    TooSlow(u32),
    /// What is asked for is none of the kinds that this node knows.
    #[error("{0}")]
    Unknown(String),
    /// The alias of a room that was to be made names another room.
    #[error("the alias {0} names another room already")]
    AliasInUse(String),
    /// The role does not reach.
    #[error("this is only for those who are {0} or more")]
    RoleTooLow(&'static str),
    /// A program is refused, in the words of OAuth 2.0.
    #[error(transparent)]
    OAuth(#[from] Refusal),
    /// More must be shown before this is done (client-server API, user-interactive authentication).
    #[error("more must be shown before this is done")]
    Interactive(Value),
}

impl From<OAuthError> for Fault {
    fn from(error: OAuthError) -> Self {
        match error {
            OAuthError::Refused(refusal) => Self::OAuth(refusal),
            OAuthError::Node(error) => Self::Service(error),
        }
    }
}

impl Fault {
    /// For a body that does not parse as JSON.
    #[must_use]
    pub fn not_json(error: &serde_json::Error) -> Self {
        Self::NotJson(format!("the body is not JSON: {error}"))
    }

    /// For a body of the wrong form.
    #[must_use]
    pub fn bad_json(why: &str) -> Self {
        Self::BadJson(why.to_owned())
    }

    /// For a request that ruma could not read.
    #[must_use]
    pub fn unparsed(error: &FromHttpRequestError) -> Self {
        let text = error.to_string();
        if text.contains("missing field") {
            return Self::Service(Error::Missing(format!("the request is not whole: {text}")));
        }
        if let FromHttpRequestError::Deserialization(
            ruma::api::error::DeserializationError::Json(json),
        ) = error
        {
            return Self::BadJson(format!("the body has not the form that is wanted: {json}"));
        }
        Self::BadParameter(format!("a part of the request does not parse: {text}"))
    }

    /// The reply that says so. What failed inside gets an id, which stands in the log beside the cause.
    #[must_use]
    pub fn into_reply(self, clock: Clock) -> Reply {
        if let Self::Interactive(body) = self {
            let mut reply = json_reply(&body);
            *reply.status_mut() = StatusCode::UNAUTHORIZED;
            return reply;
        }
        let (status, code) = self.status_and_code();
        let mut body = json!({ "errcode": code, "error": self.to_string() });
        let retry_ms = match &self {
            Self::Service(Error::TooOften { retry_ms } | Error::Crowded { retry_ms, .. }) => {
                Some(*retry_ms)
            }
            Self::Service(Error::Policy(refusal) | Error::IdentityServer(refusal)) => {
                refusal.retry_ms
            }
            _ => None,
        };
        if let Some(retry_ms) = retry_ms {
            body["retry_after_ms"] = retry_ms.into();
        }
        if let Self::OAuth(refusal) = &self {
            // In the words of OAuth alone: by a code of Matrix beside them, matrix-js-sdk takes them for
            // an error of Matrix, and goes on showing a refresh token that is worth nothing.
            body = json!({ "error": refusal.code, "error_description": refusal.why });
        }
        if matches!(self, Self::Service(Error::Locked | Error::SoftLogout)) {
            // The client keeps what it holds: it comes back to the same device.
            body["soft_logout"] = true.into();
        }
        if let Self::Service(Error::Unproven(why)) = &self {
            // For pages, which speak as their people do.
            let (reason, name) = why.told();
            body["org.wayside.reason"] = reason.into();
            if let Some(name) = name {
                body["org.wayside.name"] = name.into();
            }
        }
        if let Self::Service(Error::IncompatibleVersion(version)) = &self {
            body["room_version"] = version.as_str().into();
        }
        if let Self::Service(Error::WrongBackup { current }) = &self {
            body["current_version"] = current.as_str().into();
        }
        if let Self::Service(Error::ServiceStatus { status, body: told }) = &self {
            body["status"] = (*status).into();
            body["body"] = told.as_str().into();
        }
        let failed = !matches!(
            self,
            Self::Service(
                Error::NotYetUploaded
                    | Error::NoAnswer(_)
                    | Error::TooLargeElsewhere(_)
                    | Error::Crowded { .. }
                    | Error::ServiceStatus { .. }
                    | Error::ServiceConnection(_)
                    | Error::ServiceTimeout
            )
        );
        if status.is_server_error() && failed {
            let id = clock.random_name(8);
            let cause = match &self {
                Self::Service(Error::Internal(cause) | Error::Unavailable(cause)) => {
                    format!("{cause:#}")
                }
                other => other.to_string(),
            };
            tracing::error!(%id, %cause, "a request failed");
            body["error"] = format!("{self} (id {id})").into();
        }
        let mut reply = json_reply(&body);
        *reply.status_mut() = status;
        if let Some(retry_ms) = retry_ms {
            let seconds = HeaderValue::from(retry_ms.div_ceil(1000));
            reply.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        reply
    }

    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Service(error) => service(error),
            Self::MissingToken => (StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN"),
            Self::NotJson(_) => (StatusCode::BAD_REQUEST, "M_NOT_JSON"),
            Self::BadJson(_) => (StatusCode::BAD_REQUEST, "M_BAD_JSON"),
            Self::BadParameter(_) => (StatusCode::BAD_REQUEST, "M_INVALID_PARAM"),
            Self::Unrecognized => (StatusCode::NOT_FOUND, "M_UNRECOGNIZED"),
            Self::WrongMethod => (StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED"),
            Self::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE"),
            Self::TooSlow(_) => (StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN"),
            Self::AliasInUse(_) => (StatusCode::BAD_REQUEST, "M_ROOM_IN_USE"),
            Self::RoleTooLow(_) => (StatusCode::FORBIDDEN, "M_FORBIDDEN"),
            Self::OAuth(refusal) if refusal.code == "temporarily_unavailable" => {
                (StatusCode::SERVICE_UNAVAILABLE, "M_LIMIT_EXCEEDED")
            }
            Self::Unknown(_) | Self::OAuth(_) => (StatusCode::BAD_REQUEST, "M_UNKNOWN"),
            Self::Interactive(_) => (StatusCode::UNAUTHORIZED, "M_FORBIDDEN"),
        }
    }
}

/// The codes of the client-server API's common and other error codes.
fn service(error: &Error) -> (StatusCode, &'static str) {
    match error {
        Error::Forbidden(_) | Error::Unproven(_) => (StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        Error::NotFound(_) | Error::NoPasskeys => (StatusCode::NOT_FOUND, "M_NOT_FOUND"),
        Error::Invalid(_) => (StatusCode::BAD_REQUEST, "M_INVALID_PARAM"),
        Error::BadJson(_) => (StatusCode::BAD_REQUEST, "M_BAD_JSON"),
        Error::Missing(_) => (StatusCode::BAD_REQUEST, "M_MISSING_PARAM"),
        Error::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE"),
        Error::UnknownToken | Error::SoftLogout => (StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN"),
        Error::AccountEnded => (StatusCode::FORBIDDEN, "M_USER_DEACTIVATED"),
        Error::Unsigned(_) => (StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED"),
        Error::Locked => (StatusCode::UNAUTHORIZED, "M_USER_LOCKED"),
        Error::Suspended => (StatusCode::FORBIDDEN, "M_USER_SUSPENDED"),
        Error::Exclusive(_) => (StatusCode::BAD_REQUEST, "M_EXCLUSIVE"),
        Error::UnknownDevice(_) => (StatusCode::BAD_REQUEST, "M_UNKNOWN_DEVICE"),
        Error::NoServiceUrl => (StatusCode::BAD_REQUEST, "M_URL_NOT_SET"),
        Error::ServiceStatus { .. } => (StatusCode::BAD_GATEWAY, "M_BAD_STATUS"),
        Error::ServiceConnection(_) => (StatusCode::BAD_GATEWAY, "M_CONNECTION_FAILED"),
        Error::ServiceTimeout => (StatusCode::GATEWAY_TIMEOUT, "M_CONNECTION_TIMEOUT"),
        Error::NameTaken(_) => (StatusCode::BAD_REQUEST, "M_USER_IN_USE"),
        Error::NameInvalid(_) => (StatusCode::BAD_REQUEST, "M_INVALID_USERNAME"),
        Error::WeakPassword(_) => (StatusCode::BAD_REQUEST, "M_WEAK_PASSWORD"),
        Error::BadSignature(_) => (StatusCode::BAD_REQUEST, "M_INVALID_SIGNATURE"),
        Error::WrongBackup { .. } => (StatusCode::FORBIDDEN, "M_WRONG_ROOM_KEYS_VERSION"),
        Error::UnknownPos => (StatusCode::BAD_REQUEST, "M_UNKNOWN_POS"),
        Error::AliasTaken(_) => (StatusCode::CONFLICT, "M_ROOM_IN_USE"),
        Error::RoomVersion(_) => (StatusCode::BAD_REQUEST, "M_UNSUPPORTED_ROOM_VERSION"),
        Error::IncompatibleVersion(_) => (StatusCode::BAD_REQUEST, "M_INCOMPATIBLE_ROOM_VERSION"),
        Error::UnknownMember(_) => (StatusCode::BAD_REQUEST, "M_UNABLE_TO_AUTHORISE_JOIN"),
        Error::NoVoucher(_) => (StatusCode::BAD_REQUEST, "M_UNABLE_TO_GRANT_JOIN"),
        Error::AnnotatedAlready => (StatusCode::BAD_REQUEST, "M_DUPLICATE_ANNOTATION"),
        Error::InviteBlocked(_) => (StatusCode::FORBIDDEN, "M_INVITE_BLOCKED"),
        Error::NotLeft => (StatusCode::BAD_REQUEST, "M_UNKNOWN"),
        Error::BadAlias(_) => (StatusCode::BAD_REQUEST, "M_BAD_ALIAS"),
        Error::KeptByNode(_) => (StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON"),
        Error::ProfileTooLarge => (StatusCode::BAD_REQUEST, "M_PROFILE_TOO_LARGE"),
        Error::ProfileKeyTooLarge => (StatusCode::BAD_REQUEST, "M_KEY_TOO_LARGE"),
        Error::NotYetUploaded => (StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED"),
        Error::MediumUnsupported => (StatusCode::BAD_REQUEST, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
        Error::EmailTaken => (StatusCode::BAD_REQUEST, "M_THREEPID_IN_USE"),
        Error::EmailUnproven => (StatusCode::BAD_REQUEST, "M_THREEPID_AUTH_FAILED"),
        Error::NoAnswer(_) => (StatusCode::BAD_GATEWAY, "M_UNKNOWN"),
        Error::TooLargeElsewhere(_) => (StatusCode::BAD_GATEWAY, "M_TOO_LARGE"),
        Error::AlreadyUploaded => (StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA"),
        Error::RoomState(_) => (StatusCode::BAD_REQUEST, "M_INVALID_ROOM_STATE"),
        Error::Policy(refusal) | Error::IdentityServer(refusal) => {
            (StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN), refusal.code)
        }
        Error::Guest => (StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN"),
        Error::TooOften { .. } => (StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED"),
        Error::Crowded { .. } => (StatusCode::SERVICE_UNAVAILABLE, "M_LIMIT_EXCEEDED"),
        Error::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "M_UNKNOWN"),
        Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "M_UNKNOWN"),
        Error::Full => (StatusCode::INSUFFICIENT_STORAGE, "M_UNKNOWN"),
    }
}
