//! The door for Matrix clients (client-server API): one table, a file for each part of the API.

mod account;
mod admin;
mod backups;
mod beyond;
mod bridges;
pub(super) mod directory;
mod emails;
mod fallback;
mod keys;
pub(in crate::gateway::matrix) mod media;
mod near;
mod node;
mod people;
mod proof;
mod push;
mod read;
mod relations;
mod reports;
mod rooms;
mod search;
pub(in crate::gateway::matrix) mod spaces;
mod sync;

pub(in crate::gateway) use self::{
    account::NOBODY,
    proof::{BY_PASSKEY, Wanting, older, prove},
};
use crate::gateway::table::Route;

pub(in crate::gateway) fn routes() -> Vec<Route> {
    [
        node::routes(),
        account::routes(),
        fallback::routes(),
        emails::routes(),
        rooms::routes(),
        read::routes(),
        relations::routes(),
        sync::routes(),
        keys::routes(),
        backups::routes(),
        push::routes(),
        people::routes(),
        directory::routes(),
        spaces::routes(),
        search::routes(),
        reports::routes(),
        beyond::routes(),
        media::routes(),
        admin::routes(),
        bridges::routes(),
        near::routes(),
    ]
    .concat()
}
