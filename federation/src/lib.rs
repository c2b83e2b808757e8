//! The federation's rules of evidence: which events exist, who may send them, what state they make.
//!
//! Every node of a room decides for itself, from the same events and without asking anyone, what
//! the room is like; this room of the house holds that reasoning and nothing else. [`event`] reads,
//! hashes, signs and redacts PDUs; [`key`] is the server's key and the published keys of others;
//! [`discovery`] says where another server is to be found, and [`request`] who asks; [`device`] reads
//! the keys by which people encrypt; [`auth`] judges an event against a state, [`acl`] says which
//! servers a room lets take part, [`policy`] which of them looks over what is said, and [`bans`] whom a
//! room of rules bans; [`third_party`] reads who was invited by an address; [`state`] keeps states as a
//! persistent tree in which a change costs a path; [`resolve`] joins forks with work in proportion to
//! what they differ on; and [`room`] says, with all of these, what an event does to its room.
//! Room versions 10, 11 and 12 ([`version`]); the types, rules and signatures beneath are ruma's.
//!
//! Its invariant: data in, decision out. There is no I/O, no clock and no randomness here, so the
//! same input gives the same answer on every machine and on every run; what is missing is named
//! ([`state::Missing`], [`resolve::ResolveError::Need`], [`room::Need`]) and fetched by the caller.
//!
//! ```
//! use ruma::{MilliSecondsSinceUnixEpoch, uint, user_id};
//! use serde_json::value::RawValue;
//! use wayside_federation::{auth, event::{Draft, Event}, key::ServerKey, version::RoomVersion};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = ServerKey::from_seed([1; 32], "a")?;
//! let create = Draft {
//!     kind: "m.room.create".into(),
//!     state_key: Some(String::new()),
//!     sender: user_id!("@world:node.example").to_owned(),
//!     content: RawValue::from_string(r#"{"room_version":"12"}"#.into())?,
//!     redacts: None,
//!     origin_server_ts: MilliSecondsSinceUnixEpoch(uint!(1)),
//! };
//! let create = create.seal(RoomVersion::V12, None, &[], vec![], &key)?;
//! assert_eq!(create.room_id().strip_sigil(), &create.id().as_str()[1..]);
//!
//! let received = Event::receive(RoomVersion::V12, create.json())?;
//! let verdict = auth::admit(RoomVersion::V12, &received, |_| None, |_| None, |_| None);
//! assert_eq!(verdict, auth::Verdict::Accept);
//! # Ok(()) }
//! ```

pub mod acl;
pub mod auth;
pub mod backoff;
pub mod bans;
pub mod canonical;
pub mod device;
pub mod discovery;
pub mod event;
pub mod key;
pub mod moments;
pub mod multipart;
pub mod outbox;
pub mod policy;
pub mod request;
pub mod resolve;
pub mod room;
mod seal;
pub mod state;
#[cfg(test)]
mod testing;
pub mod third_party;
pub mod version;
