//! The verbs of a node: what can be done, whoever asks and by whichever door.
//!
//! Services call the store and each other downwards only; doors call services. Each service is a
//! struct on a common [`Ground`], and every refusal is an [`Error`].

pub mod accounts;
pub mod affairs;
pub mod app_services;
pub mod badges;
pub mod bans;
pub mod bodies;
pub mod content;
pub mod credentials;
pub mod dids;
pub mod emails;
pub mod encryption;
mod error;
pub mod federation;
pub mod filter;
pub mod friends;
mod ground;
pub mod identity_servers;
mod language;
pub mod live;
pub mod moving;
pub mod oauth;
pub mod oversight;
pub mod persons;
pub mod place;
pub mod previews;
pub mod providers;
pub mod push;
pub mod reports;
pub mod rooms;
pub mod search;
pub mod servers;
pub mod social;
pub mod sync;
pub mod worlds;

use std::sync::Arc;

use self::{
    accounts::Accounts, affairs::Affairs, app_services::AppServices, badges::Badges,
    bodies::Bodies, content::Content, dids::Dids, emails::Emails, encryption::Encryption,
    federation::Federation, friends::Friends, identity_servers::IdentityServers, live::Live,
    moving::Moving, oauth::OAuth, oversight::Oversight, persons::Persons, previews::Previews,
    providers::Providers, push::Push, reports::Reports, rooms::Rooms, search::Search,
    servers::Servers, social::Social, sync::Sync, worlds::Worlds,
};
pub use self::{
    error::{Error, RefusedElsewhere, Unproven},
    ground::{Ground, OldKey, TRY_OUT},
    language::Language,
};
use crate::instances::Instances;

/// All services of a node.
pub struct Services {
    /// What they stand on.
    pub ground: Arc<Ground>,
    /// Who may come in.
    pub accounts: Arc<Accounts>,
    /// By which programs.
    pub oauth: OAuth,
    /// By whose word.
    pub providers: Providers,
    /// Rooms.
    pub rooms: Arc<Rooms>,
    /// What is reported to those who run the node.
    pub reports: Reports,
    /// Finding what was said.
    pub search: Arc<Search>,
    /// Rooms that are shared with them.
    pub federation: Arc<Federation>,
    /// Other servers.
    pub servers: Arc<Servers>,
    /// People.
    pub social: Arc<Social>,
    /// Whom they know.
    pub friends: Arc<Friends>,
    /// What they need to live elsewhere as who they are.
    pub moving: Arc<Moving>,
    /// What concerns a person everywhere.
    pub affairs: Arc<Affairs>,
    /// What those who run the node do with accounts and rooms.
    pub oversight: Oversight,
    /// Bridges and bots.
    pub app_services: Arc<AppServices>,
    /// Addresses of e-mail.
    pub emails: Arc<Emails>,
    /// Whose document a DID leads to.
    pub dids: Arc<Dids>,
    /// The DIDs of people here.
    pub persons: Arc<Persons>,
    /// Those who know whose an address is.
    pub identity_servers: Arc<IdentityServers>,
    /// What clients need to encrypt.
    pub encryption: Arc<Encryption>,
    /// What people want to be told of.
    pub push: Arc<Push>,
    /// Previews of what people link to.
    pub previews: Arc<Previews>,
    /// News for clients.
    pub sync: Sync,
    /// Uploads.
    pub content: Arc<Content>,
    /// What people look like.
    pub bodies: Arc<Bodies>,
    /// What they were given.
    pub badges: Arc<Badges>,
    /// Where they meet.
    pub worlds: Arc<Worlds>,
    /// Where worlds run.
    pub instances: Arc<Instances>,
    /// The things of the moment.
    pub live: Arc<Live>,
}
