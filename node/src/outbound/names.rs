//! Names of machines, looked up by DNS.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::Context;
use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig, ResolverOpts},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::RData,
};
use wayside_federation::discovery::Service;

/// How long one question may take before it is asked again, and how often it is.
const ANSWER: (Duration, usize) = (Duration::from_secs(4), 2);
/// Answers that are remembered while they last.
const REMEMBERED: u64 = 4_096;
/// However long an answer says that it lasts, or that there is none.
const LASTS_MOST: Duration = Duration::from_hours(1);

/// Looks names up.
#[derive(Debug)]
pub struct Names {
    /// Missing where nobody says whom to ask.
    resolver: Option<TokioResolver>,
}

/// Why a name stands for nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum NameError {
    /// No DNS server is known.
    #[error("this machine knows no DNS server: name some by dns_servers")]
    NoServers,
    /// The question failed.
    #[error("looking up {name}: {source}")]
    Failed {
        /// The name.
        name: String,
        /// Why.
        source: NetError,
    },
}

impl Names {
    /// Asks these servers, or without any those that the machine's own settings name.
    pub fn new(servers: &[SocketAddr]) -> anyhow::Result<Self> {
        let (config, mut options) = if servers.is_empty() {
            match hickory_resolver::system_conf::read_system_conf() {
                Ok(found) => found,
                Err(error) => {
                    tracing::warn!(%error, "no names can be looked up: the machine's DNS settings do not read");
                    return Ok(Self { resolver: None });
                }
            }
        } else {
            let servers = servers.iter().map(|at| {
                let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
                    way.port = at.port();
                    way
                });
                NameServerConfig::new(at.ip(), true, ways.into())
            });
            (
                ResolverConfig::from_parts(None, Vec::new(), servers.collect()),
                ResolverOpts::default(),
            )
        };
        options.timeout = ANSWER.0;
        options.attempts = ANSWER.1;
        options.cache_size = REMEMBERED;
        options.positive_max_ttl = Some(LASTS_MOST);
        options.negative_max_ttl = Some(LASTS_MOST);
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(config, provider).with_options(options);
        let resolver = resolver.build().context("preparing to look names up")?;
        Ok(Self { resolver: Some(resolver) })
    }

    /// The addresses of a machine.
    pub(super) async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NameError> {
        let found = match self.resolver()?.lookup_ip(absolute(name)).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(source) => return Err(NameError::Failed { name: name.to_owned(), source }),
        };
        Ok(found.iter().collect())
    }

    /// The SRV records of a name.
    pub(super) async fn services(&self, name: &str) -> Result<Vec<Service>, NameError> {
        let found = match self.resolver()?.srv_lookup(absolute(name)).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(source) => return Err(NameError::Failed { name: name.to_owned(), source }),
        };
        let service = |data: &RData| match data {
            RData::SRV(record) => Some(Service {
                priority: record.priority,
                weight: record.weight,
                port: record.port,
                target: record.target.to_string().trim_end_matches('.').to_owned(),
            }),
            _ => None,
        };
        Ok(found.answers().iter().filter_map(|record| service(&record.data)).collect())
    }

    fn resolver(&self) -> Result<&TokioResolver, NameError> {
        self.resolver.as_ref().ok_or(NameError::NoServers)
    }
}

/// A name that is not looked for below the machine's own domain.
fn absolute(name: &str) -> String {
    if name.ends_with('.') { name.to_owned() } else { format!("{name}.") }
}
