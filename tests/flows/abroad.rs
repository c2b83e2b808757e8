//! The stage of stories among servers: a node that finds others by names that the story tells it.

use std::{fmt::Debug, net::TcpListener};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use wayside_tests::{Address, CallError, Client, Engine, Names, Node, Options, Peer, Town, skip};

use crate::stage::escaped;

/// Where servers ask each other for profiles.
pub(crate) const PROFILE: &str = "/_matrix/federation/v1/query/profile";

/// A node among servers, and somebody who lives there.
pub(crate) struct Abroad {
    pub(crate) node: Node,
    pub(crate) ann: Client,
    pub(crate) names: Names,
    /// Last, so that it goes with its folder when all servers are gone.
    pub(crate) town: Town,
}

impl Abroad {
    /// Starts the node with further settings.
    pub(crate) async fn begin(set: impl FnOnce(Options) -> Options) -> Result<Option<Self>> {
        let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(None) };
        Self::begin_in(town, set).await.map(Some)
    }

    /// The same in a town in which there may be others already.
    pub(crate) async fn begin_in(town: Town, set: impl FnOnce(Options) -> Options) -> Result<Self> {
        let names = Names::open().await?;
        let options = town.server("a")?.flag("--dns-servers", Some(&names.place().to_string()));
        let node = set(options).start().await?;
        let ann = Client::register(node.http(), "ann").await?;
        Ok(Self { node, ann, names, town })
    }

    /// Asks for the profile of somebody who lives elsewhere.
    pub(crate) async fn profile(&self, user_id: &str) -> Result<Value, CallError> {
        self.ann.get(&format!("/_matrix/client/v3/profile/{}", escaped(user_id))).await
    }

    /// Ends the story.
    pub(crate) async fn end(mut self) -> Result<()> {
        end(&mut self.node).await
    }
}

/// Stops a node in which nothing panicked, and nothing failed inside.
pub(crate) async fn end(node: &mut Node) -> Result<()> {
    let log = node.log();
    let is_defect = |it: &&str| it.contains("panicked at") || it.contains("a request failed");
    let defects: Vec<&str> = log.lines().filter(is_defect).collect();
    ensure!(defects.is_empty(), "in the log: {defects:?}");
    node.stop().await?;
    Ok(())
}

/// The status of a refusal, and its words.
pub(crate) fn words<T: Debug>(answer: Result<T, CallError>) -> Result<(u16, String)> {
    match answer {
        Err(CallError::Refused { status, body, .. }) => {
            let words = body["error"].as_str().with_context(|| format!("no words: {body}"))?;
            Ok((status.as_u16(), words.to_owned()))
        }
        other => bail!("no refusal: {other:?}"),
    }
}

/// How often a peer was asked for what begins so.
pub(crate) fn times(peer: &Peer, target: &str) -> usize {
    peer.requests().iter().filter(|it| it.target().starts_with(target)).count()
}

/// Whether the port of the web can be served here; says so where it cannot.
pub(crate) fn may_serve_web() -> Result<bool> {
    let may = TcpListener::bind(Address::claim()?.port(443)).is_ok();
    if !may {
        skip("port 443 cannot be served here, where .well-known documents are looked for")?;
    }
    Ok(may)
}
