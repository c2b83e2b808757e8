//! The harness of the stories: a town of real nodes, and a plain Matrix client that walks about in it.
//!
//! Nothing here knows the inside of a node. A node is a program, found through `WAYSIDE_BIN` or
//! beside the running test, and is spoken to through its flags, its signals and its doors only.
//! Other servers of a town are [`Synapse`], which others wrote, and [`Peer`], which a story writes;
//! each has an [`Address`] and a certificate of the town's [`Authority`], and [`Names`] tell where
//! the rest is. What they sign and hash is ruma's work alone, so that it is a second opinion.
//!
//! ```no_run
//! # async fn story() -> anyhow::Result<()> {
//! use wayside_tests::{Client, Engine, Town};
//! let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
//! let mut node = town.node("a")?.start().await?;
//! let alice = Client::register(node.http(), "alice").await?;
//! let room = alice.create_room(&serde_json::json!({})).await?;
//! alice.send_text(&room, "txn-1", "hello").await?;
//! node.stop().await?;
//! # Ok(()) }
//! ```

mod address;
mod authority;
mod browser;
mod client;
mod destination;
mod engine;
mod homes;
mod identity_server;
mod metrics;
mod names;
mod node;
mod peer;
mod programs;
mod scene;
mod seeded;
mod signing;
mod synapse;
mod town;
mod wire;

pub use address::Address;
pub use authority::{Authority, Leaf};
pub use browser::Browser;
pub use client::{CallError, Client, EventId, MediaUri, PASSWORD, RoomId, Session, SyncToken};
pub use destination::Destination;
pub use engine::{Database, Engine};
pub use homes::{at_home, hosts, named, pages};
pub use identity_server::{IdentityServer, IdentityServerOptions};
pub use metrics::Metrics;
pub use names::{Names, Record};
pub use node::{Node, Options, Refusal};
pub use peer::{
    NO_SPAM, Pdu, Peer, PeerOptions, PeerReply, PeerRequest, PeerRoom, PolicyKey, SIGN, Signing,
    XMatrix,
};
pub use programs::{Script, Speaker, package_folder, peak_bytes, resident_bytes, skip};
pub use scene::{floor, glb};
pub use seeded::Seeded;
pub use signing::{SigningKey, verify};
pub use synapse::{Synapse, SynapseOptions};
pub use town::Town;
pub use wire::{Answer, Wire};
