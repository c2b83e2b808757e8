//! A pair of servers: a node of ours and a Synapse, which know each other by name and certificate.

use anyhow::Result;
use tokio::try_join;
use wayside_tests::{Client, Engine, Node, Synapse, Town};

/// A node of ours and a Synapse, with somebody on each.
pub(crate) struct Pair {
    pub(crate) node: Node,
    pub(crate) synapse: Synapse,
    pub(crate) ann: Client,
    pub(crate) sam: Client,
    /// Last, so that it goes with its folder when both servers are gone.
    pub(crate) town: Town,
}

impl Pair {
    /// Starts both; nothing where one of them is not to be had.
    pub(crate) async fn meet(engine: Engine) -> Result<Option<Self>> {
        let Some(town) = Town::found(engine)? else { return Ok(None) };
        let Some(options) = town.synapse("s")? else { return Ok(None) };
        let (node, synapse) = try_join!(town.server("a")?.start(), options.start())?;
        let ann = Client::register(node.http(), "ann").await?;
        let sam = Client::register(synapse.http(), "sam").await?;
        Ok(Some(Self { node, synapse, ann, sam, town }))
    }
}
