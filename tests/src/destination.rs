//! A server as other servers know it.

use reqwest::Url;

/// A Matrix server that can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its server name, for which requests to it are signed.
    pub name: String,
    /// Where it answers other servers.
    pub url: Url,
}
