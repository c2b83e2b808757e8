//! Who someone is: by what they know on one node, and by what they can sign anywhere.
//!
//! On one node: [`password`] hashes with Argon2id, [`token`] mints the secrets that a session, an
//! invitation or a guest link carries, [`tag`] keys opaque texts that go out and come back, and
//! [`turn`] what opens a TURN server. Anywhere: [`did`] says whose keys are whose, [`proof`] signs and
//! verifies JSON with them (written one way by [`json`], or as what it says by [`rdf`]), [`login`] is
//! how somebody shows a node that they are a DID, and [`credential`] what others say of them, with proofs
//! inside or a token by [`jose`] around it. Of those, [`badge`] holds what people are given, [`friend`] what friends
//! say of each other, and [`status`] tells whether who said it still stands by it. [`blocks`] is whom somebody does
//! not want to meet, without saying who that is, and [`luggage`] what they take along when they move.
//!
//! Its invariant: a secret comes in as an argument and leaves as a hash or a signature. There is no
//! I/O, clock or randomness here (salts, random bytes and the time are parameters), no type that holds
//! a secret prints it, and every comparison of secrets takes the same time whatever they are. What is
//! fetched for a DID comes in as bytes of a stranger: all of it is bounded before it is looked at.
//! Hashing a password takes tens of milliseconds and 19 MiB, and reading a log or a document of the
//! largest size about as long: the caller does it on a thread for such work.
//!
//! ```
//! use wayside_identity::{password, token::{Kind, Secret}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! password::acceptable("correct horse")?;
//! let hash = password::hash("correct horse", [7; 16])?;
//! assert!(password::verify("correct horse", hash.as_str()));
//!
//! let token = Secret::mint(Kind::Access, [9; 32]);
//! let came_back = Secret::parse(token.reveal()).ok_or("not a token")?;
//! assert!(came_back.hash() == token.hash());
//! # Ok(()) }
//! ```

pub mod avatar;
pub mod badge;
pub mod blocks;
pub mod credential;
pub mod did;
pub mod friend;
pub mod jose;
pub mod json;
pub mod key;
pub mod login;
pub mod luggage;
pub mod password;
pub mod proof;
pub mod rdf;
pub mod shared_secret;
pub mod status;
pub mod tag;
pub mod time;
pub mod token;
pub mod turn;
#[cfg(test)]
mod vectors;
