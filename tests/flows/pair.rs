//! A pair of servers, a node of ours and a Synapse or another node, which know each other by name and certificate.

use anyhow::Result;
use reqwest::Url;
use tokio::try_join;
use wayside_tests::{Client, Destination, Engine, Node, Synapse, Town};

use crate::abroad;

/// A node of ours and another server, with somebody on each.
pub(crate) struct Pair {
    pub(crate) node: Node,
    /// The server of others, whose part a second node plays in some stories.
    pub(crate) other: Other,
    pub(crate) ann: Client,
    pub(crate) sam: Client,
    /// Last, so that it goes with its folder when both servers are gone.
    pub(crate) town: Town,
}

impl Pair {
    /// Starts a node and a Synapse; nothing where one of them is not to be had.
    pub(crate) async fn meet(engine: Engine) -> Result<Option<Self>> {
        let Some(town) = Town::found(engine)? else { return Ok(None) };
        let Some(options) = town.synapse("s")? else { return Ok(None) };
        let (node, synapse) = try_join!(town.server("a")?.start(), options.start())?;
        Self::with_people(town, node, Other::Synapse(synapse)).await.map(Some)
    }

    /// Starts two nodes, on SQLite: what one does in the story with Synapse, both do here.
    pub(crate) async fn of_nodes() -> Result<Option<Self>> {
        let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(None) };
        let (node, other) = try_join!(town.server("a")?.start(), town.server("s")?.start())?;
        Self::with_people(town, node, Other::Node(other)).await.map(Some)
    }

    async fn with_people(town: Town, node: Node, other: Other) -> Result<Self> {
        let ann = Client::register(node.http(), "ann").await?;
        let sam = Client::register(other.http(), "sam").await?;
        Ok(Self { node, other, ann, sam, town })
    }

    /// Ends the story of two servers that both run, in which no node failed inside.
    pub(crate) async fn end(mut self) -> Result<()> {
        abroad::end(&mut self.node).await?;
        match &mut self.other {
            Other::Synapse(synapse) => synapse.stop().await,
            Other::Node(node) => abroad::end(node).await,
        }
    }
}

/// The other server of a pair.
pub(crate) enum Other {
    Synapse(Synapse),
    Node(Node),
}

impl Other {
    /// Whether it is a node of ours, which does more than Synapse.
    pub(crate) fn is_node(&self) -> bool {
        matches!(self, Self::Node(_))
    }

    pub(crate) fn server_name(&self) -> String {
        match self {
            Self::Synapse(synapse) => synapse.server_name(),
            Self::Node(node) => node.server_name().to_owned(),
        }
    }

    pub(crate) fn destination(&self) -> Destination {
        match self {
            Self::Synapse(synapse) => synapse.destination(),
            Self::Node(node) => node.destination(),
        }
    }

    /// Where clients reach it: a node elsewhere after each start.
    pub(crate) fn http(&self) -> &Url {
        match self {
            Self::Synapse(synapse) => synapse.http(),
            Self::Node(node) => node.http(),
        }
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        match self {
            Self::Synapse(synapse) => synapse.stop().await,
            Self::Node(node) => node.stop().await.map(drop),
        }
    }

    pub(crate) async fn restart(&mut self) -> Result<()> {
        match self {
            Self::Synapse(synapse) => synapse.restart().await,
            Self::Node(node) => node.restart().await,
        }
    }
}
