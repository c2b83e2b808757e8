//! Nodes that people reach by a name, by https, and browsers that find them by it.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use reqwest::Url;

use crate::{Address, Client, Names, Node, Options, Record, Town};

/// Starts a node that is found by a name of the story's, by https.
pub async fn named(town: &Town, names: &Names, label: &str, name: &str) -> Result<Node> {
    let address = Address::claim()?;
    let (ip, port) = (address.ip(), address.free_port()?.port());
    names.add(name, Record::A(ip));
    let options = town.server(label)?.at(address);
    let options = options.flag("--dns-servers", Some(&names.place().to_string()));
    at_home(town, options, name, SocketAddr::new(ip.into(), port)).await
}

/// Starts a node whose pages are at a name and an address.
pub async fn at_home(town: &Town, options: Options, name: &str, at: SocketAddr) -> Result<Node> {
    let leaf = town.authority().leaf(&[name, &at.ip().to_string()])?;
    let options = options
        .flag("--tls-cert", leaf.certificate.to_str())
        .flag("--tls-key", leaf.key.to_str())
        .flag("--https", Some(&at.to_string()))
        .flag("--public-url", Some(&format!("https://{name}:{}", at.port())));
    options.start().await
}

/// Where the pages of a node are.
pub async fn pages(node: &Node) -> Result<Url> {
    let about = Client::nobody(node.http())?.get("/_wayside/v1/node").await?;
    Ok(Url::parse(about["public_url"].as_str().context("an address")?)?)
}

/// Where a browser finds nodes by the names of their pages.
pub fn hosts(all: &[(&Url, &Node)]) -> Result<String> {
    let one = |(url, node): &(&Url, &Node)| {
        let name = url.host_str().context("a name")?;
        Ok(format!("MAP {name} {}", node.https().host_str().context("an address")?))
    };
    Ok(all.iter().map(one).collect::<Result<Vec<_>>>()?.join(", "))
}
