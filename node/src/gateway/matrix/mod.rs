//! The doors that speak Matrix: to clients and to other servers.

pub mod client;
pub mod federation;
