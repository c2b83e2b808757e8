//! `wayside`: a federated metaverse node.
//!
//! The library is the program without its command line, so that tests can read its table of routes
//! and its settings. Requests come in through [`gateway`], which calls [`services`], which call
//! [`store`]; [`app`] is the one place where all of it is constructed.

pub mod app;
pub mod bots;
pub mod clock;
pub mod config;
pub mod gateway;
pub mod instances;
pub mod ops;
pub mod outbound;
pub mod services;
pub mod store;
