//! Why a service refuses; every door turns these into its own protocol's words.

use ruma::OwnedUserId;
use wayside_federation::{auth::Refusal, device::RecordError, event::EventError};

use crate::store::{StoreError, blob::WriteError};

/// Why somebody is refused who shows who they are. Pages say each in the language of their person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// What they know is wrong.
    #[error("the name or the password is wrong")]
    Credentials,
    /// What they would confirm is over.
    #[error("this took too long, was for something else or is used: ask again where you came from")]
    Over,
    /// What they would confirm is somebody else's.
    #[error("this was asked for another account than yours")]
    Another,
    /// What they carry was given to another browser, or too long ago.
    #[error("this sign-in took too long, or began in another browser: begin again")]
    Astray,
    /// Their provider of identities vouches for nobody.
    #[error("{0} did not confirm who you are: begin again")]
    Unvouched(String),
    /// Their provider vouches for somebody who has no account here.
    #[error(
        "the account with which you came from {0} opens no account here, so it confirms nothing: \
         show in another way that it is you, or go there as somebody else"
    )]
    Stranger(String),
    /// Their provider does not say when they showed who they are.
    #[error(
        "{0} does not say when you showed it who you are, so it confirms nothing: show in another \
         way that it is you"
    )]
    Undated(String),
    /// They showed their provider who they are before they were asked to.
    #[error(
        "{0} did not ask you anew who you are, so it confirms nothing: sign out there, and begin again"
    )]
    Stale(String),
    /// What they answered was not asked here, was answered before, or too long ago.
    #[error("this took too long, or was shown before: begin again")]
    Late,
    /// What they showed does not say who they are.
    #[error("what you showed does not say who you are: {0}")]
    Unshown(String),
    /// The account that a DID names does not name the DID.
    #[error("{0} does not name this DID as its own, so that nobody can tell whose it is")]
    Unnamed(String),
    /// This node lets none of their home in.
    #[error("this node lets people of {0} in by invitation alone")]
    Unwelcome(String),
    /// Those who rule a world have shut them out.
    #[error("those who run this world have shut you out of it")]
    ShutOut,
    /// A ban list to which a world keeps has them.
    #[error("a ban list to which this world keeps shuts you out{}", because(.0.as_deref()))]
    Listed(Option<String>),
    /// They hold nothing of what a door asks for.
    #[error("you show nothing of what is asked of whoever comes in here")]
    Lacking,
    /// They show that a program may act for them, which does not say that they are there.
    #[error("a login token does not show that you are here: take your password or a passkey")]
    Absent,
}

impl Unproven {
    /// Its short name, and of whom it speaks.
    #[must_use]
    pub fn told(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Credentials => ("credentials", None),
            Self::Over => ("over", None),
            Self::Another => ("another", None),
            Self::Astray => ("astray", None),
            Self::Unvouched(name) => ("unvouched", Some(name)),
            Self::Stranger(name) => ("stranger", Some(name)),
            Self::Undated(name) => ("undated", Some(name)),
            Self::Stale(name) => ("stale", Some(name)),
            Self::Late => ("late", None),
            Self::Unshown(why) => ("unshown", Some(why)),
            Self::Unnamed(account) => ("unnamed", Some(account)),
            Self::Unwelcome(server) => ("unwelcome", Some(server)),
            Self::ShutOut => ("shut_out", None),
            Self::Listed(why) => ("listed", why.as_deref()),
            Self::Lacking => ("lacking", None),
            Self::Absent => ("absent", None),
        }
    }
}

/// A reason as the end of a sentence, where there is one.
fn because(why: Option<&str>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

/// What a server elsewhere says to what it does not do, in words that are told on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedElsewhere {
    /// The status of HTTP.
    pub status: u16,
    /// The code of Matrix.
    pub code: &'static str,
    /// In words.
    pub why: String,
    /// When it may be asked again, in milliseconds, where it says so.
    pub retry_ms: Option<u64>,
}

/// The answer of a service that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// They did not show that they are who they say.
    #[error(transparent)]
    Unproven(#[from] Unproven),
    /// There is no such thing, or not for them.
    #[error("{0}")]
    NotFound(String),
    /// A value does not fit.
    #[error("{0}")]
    Invalid(String),
    /// The content is JSON, but not what is wanted.
    #[error("{0}")]
    BadJson(String),
    /// A value that is needed is missing.
    #[error("{0}")]
    Missing(String),
    /// What was sent is larger than allowed.
    #[error("{0}")]
    TooLarge(String),
    /// The access token stands for nothing.
    #[error("the access token is unknown: sign in again")]
    UnknownToken,
    /// What opened a device is over; the device itself is not.
    #[error("the time of this token is over: renew it, or sign in again on this device")]
    SoftLogout,
    /// The account has ended.
    #[error("this account has been ended")]
    AccountEnded,
    /// Browsers keep no passkeys for this node.
    #[error("this node has no passkeys: whoever runs it gives it an https address with a name")]
    NoPasskeys,
    /// Those who run the node have locked the account.
    #[error("this account is locked: those who run this node can unlock it")]
    Locked,
    /// Those who run the node have suspended the account.
    #[error("this account is suspended: it reads, but changes nothing")]
    Suspended,
    /// The name is kept for an application service, or is none of the one that asks.
    #[error("{0}")]
    Exclusive(String),
    /// An application service names a device that its user does not have.
    #[error("the user has no device {0:?}")]
    UnknownDevice(String),
    /// An application service that wants no traffic asks to be called.
    #[error("the registration of this application service names no url")]
    NoServiceUrl,
    /// An application service answered its call with a refusal.
    #[error("the application service answered {status}")]
    ServiceStatus {
        /// The status of HTTP.
        status: u16,
        /// The beginning of what it said.
        body: String,
    },
    /// An application service could not be called.
    #[error("the application service was called, and {0}")]
    ServiceConnection(String),
    /// An application service did not answer its call in time.
    #[error("the application service did not answer in time")]
    ServiceTimeout,
    /// The name of an account is taken.
    #[error("the name {0} is taken: choose another")]
    NameTaken(String),
    /// The name of an account is not allowed.
    #[error("{0}")]
    NameInvalid(String),
    /// The password is too easy or too long.
    #[error("{0}")]
    WeakPassword(String),
    /// A signature that must be there is missing or wrong.
    #[error("{0}")]
    BadSignature(String),
    /// Keys were sent for another backup than the newest.
    #[error("the newest backup is another one: keys are taken for that one alone")]
    WrongBackup {
        /// The newest.
        current: String,
    },
    /// What a client calls the answer before is none that it was given, or long past.
    #[error("this pos is unknown here by now: begin without one")]
    UnknownPos,
    /// The alias names a room already.
    #[error("the alias {0} names another room already")]
    AliasTaken(String),
    /// This node does not know the room version.
    #[error("the room version {0} is not one of 10, 11 and 12")]
    RoomVersion(String),
    /// A server does not know the rules that a room follows.
    #[error("the room follows version {0}, which your server does not know")]
    IncompatibleVersion(String),
    /// Nobody here knows whether a room's rules let somebody in: those of other rooms do.
    #[error(
        "whether {0} may come in is not known here: none of this server is in a room whose members may"
    )]
    UnknownMember(OwnedUserId),
    /// A room's rules let somebody in, and nobody here may say so.
    #[error("nobody of this server may let {0} in")]
    NoVoucher(OwnedUserId),
    /// The person wants no invitations.
    #[error("{0} takes no invitations")]
    InviteBlocked(OwnedUserId),
    /// They have reacted to the event in this very way.
    #[error("you have reacted to this event in this way already")]
    AnnotatedAlready,
    /// They are in the room, or at its door.
    #[error("leave the room before you forget it")]
    NotLeft,
    /// Aliases that a room claims for itself name another room, or none.
    #[error("the alias {0} does not name this room")]
    BadAlias(String),
    /// The room would be made in a way that its own rules refuse.
    #[error("{0}")]
    RoomState(String),
    /// The kind of account data is the node's own to set.
    #[error("{0} is set in a way of its own")]
    KeptByNode(String),
    /// A profile would become too large.
    #[error("a profile has at most 64 KiB")]
    ProfileTooLarge,
    /// The name of a profile field is too long.
    #[error("the name of a profile field has at most 255 bytes")]
    ProfileKeyTooLarge,
    /// The name of a file that is still to come.
    #[error("this file has not been uploaded yet")]
    NotYetUploaded,
    /// A file of that name is there already.
    #[error("this file has been uploaded already, and files never change")]
    AlreadyUploaded,
    /// This node has nothing to do with such addresses.
    #[error("this node knows people by e-mail at most, and only where it can send some")]
    MediumUnsupported,
    /// The address is an account's already.
    #[error("this address belongs to an account already")]
    EmailTaken,
    /// Nobody has proven that they read what is sent to the address, or what they proved is used up.
    #[error("the address has not been confirmed: open the link in the mail first")]
    EmailUnproven,
    /// A request is not known to come from the server that it says it does.
    #[error("{0}")]
    Unsigned(String),
    /// Somebody elsewhere, whom the node was asked to call, gave no answer that helps.
    #[error("{0}")]
    NoAnswer(String),
    /// What somebody elsewhere keeps is larger than this node takes.
    #[error("{0}")]
    TooLargeElsewhere(String),
    /// The policy server of the room does not want it said there.
    #[error("{}", .0.why)]
    Policy(RefusedElsewhere),
    /// The identity server that somebody has named does not do what it was asked.
    #[error("{}", .0.why)]
    IdentityServer(RefusedElsewhere),
    /// Guests may not do that.
    #[error("guests may not do that: make your account a lasting one first")]
    Guest,
    /// They ask too often.
    #[error("too many requests: try again in {retry_ms} ms")]
    TooOften {
        /// When it may work again, in milliseconds.
        retry_ms: u64,
    },
    /// There is no room for them just now.
    #[error("{why}: try again in {retry_ms} ms")]
    Crowded {
        /// What is full.
        why: String,
        /// When it may work again, in milliseconds.
        retry_ms: u64,
    },
    /// Something on this node failed; the asker gets an id of it and nothing more.
    #[error("something failed on this node")]
    Internal(#[source] anyhow::Error),
    /// The store cannot be reached, or takes nothing in now. Whether the last change was made is not
    /// known where its answer was lost: a repeated request with its transaction id makes it once.
    #[error("this node cannot reach its store just now: try again in a while")]
    Unavailable(#[source] anyhow::Error),
    /// No room is left on this node's disk.
    #[error("the node's disk is full: nothing was changed; tell its operator")]
    Full,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Nul => Self::Invalid(
                "the character NUL can be part of no name, id or text here".to_owned(),
            ),
            away @ (StoreError::Unreachable
            | StoreError::Silent(_)
            | StoreError::Busy
            | StoreError::Served
            | StoreError::Stopped) => Self::Unavailable(away.into()),
            other => Self::Internal(other.into()),
        }
    }
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::TooLarge { limit } => {
                Self::TooLarge(format!("the file is larger than the {limit} bytes allowed here"))
            }
            WriteError::BrokenOff => Self::Invalid("the file did not arrive whole".to_owned()),
            WriteError::Store(error) => error.into(),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Forbidden(refusal.to_string())
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::BadFormat(_) => Self::BadJson(error.to_string()),
            RecordError::Foreign(_) => Self::Invalid(error.to_string()),
            RecordError::BadSignature(_) => Self::BadSignature(error.to_string()),
        }
    }
}

impl From<EventError> for Error {
    fn from(error: EventError) -> Self {
        match error {
            EventError::TooLarge => Self::TooLarge(error.to_string()),
            other => Self::BadJson(other.to_string()),
        }
    }
}

impl Error {
    /// Refuses a token of a place in the stream that this node has not reached.
    #[must_use]
    pub fn from_the_future() -> Self {
        Self::Invalid("the token is from a future that this node does not know".to_owned())
    }

    /// Wraps a failure that is this node's own.
    pub fn internal(error: impl Into<anyhow::Error>) -> Self {
        Self::Internal(error.into())
    }
}
