//! Who someone is, as far as secrets prove it: passwords, tokens and tags.
//!
//! [`password`] hashes with Argon2id, [`token`] mints the secrets that a session, an invitation or a
//! guest link carries, [`tag`] keys opaque texts that go out and come back, and [`turn`]
//! what opens a TURN server.
//!
//! Its invariant: a secret comes in as an argument and leaves as a hash. There is no I/O, clock or
//! randomness here (salts and random bytes are parameters), no type that holds a secret prints it,
//! and every comparison of secrets takes the same time whatever they are. Hashing a password takes
//! tens of milliseconds and 19 MiB: the caller does it on a thread for such work.
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

pub mod password;
pub mod shared_secret;
pub mod tag;
pub mod token;
pub mod turn;
