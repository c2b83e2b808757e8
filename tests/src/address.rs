//! Loopback addresses of their own for the servers of a story, so that each can have the port of federation.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail};

/// Where servers expect each other (server-server API, "Server discovery").
pub(crate) const FEDERATION_PORT: u16 = 8448;
/// Networks of 256 addresses in 127.0.0.0/8, without the first and the last.
const NETWORKS: u32 = 65_534;
/// Addresses of one of them that a process takes, in turn.
const HOSTS: u32 = 254;
/// The last network, of which no process takes any in turn.
const LASTING: u32 = 65_535;

/// An address in 127.0.0.0/8 that nobody else has as long as this is kept.
///
/// Tests run at the same time, each in a process of its own: the process id leads to a network, a
/// count to an address in it. Ids come round again, hence the claim.
#[derive(Debug)]
pub struct Address {
    ip: Ipv4Addr,
    /// Federation sends no datagrams: whoever has this port of them has the address.
    _claim: UdpSocket,
}

impl Address {
    /// Takes the next address on which a server can be bound.
    pub fn claim() -> Result<Self> {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let network = process::id() % NETWORKS + 1;
        for _ in 0..HOSTS {
            let host = TAKEN.fetch_add(1, Ordering::Relaxed) % HOSTS + 1;
            let ip = Ipv4Addr::from_bits((127 << 24) | (network << 8) | host);
            let place = (ip, FEDERATION_PORT);
            if let (Ok(claim), Ok(_probe)) = (UdpSocket::bind(place), TcpListener::bind(place)) {
                return Ok(Self { ip, _claim: claim });
            }
        }
        bail!("port {FEDERATION_PORT} is taken on every loopback address of network {network}")
    }

    /// Takes the address of a number, from 1 on, that is the same in every run: for a server whose data
    /// are kept, for its name is written all over them. Who else has it must end first.
    pub fn lasting(number: u8) -> Result<Self> {
        let ip = Ipv4Addr::from_bits((127 << 24) | (LASTING << 8) | u32::from(number));
        let claim = UdpSocket::bind((ip, FEDERATION_PORT));
        Ok(Self { ip, _claim: claim.with_context(|| format!("taking the address {ip}"))? })
    }

    /// The address itself.
    #[must_use]
    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// A port of it.
    #[must_use]
    pub fn port(&self, port: u16) -> SocketAddr {
        (self.ip, port).into()
    }

    /// Where other servers reach whoever has it.
    #[must_use]
    pub fn federation(&self) -> SocketAddr {
        self.port(FEDERATION_PORT)
    }

    /// The Matrix name of whoever has it, which needs no discovery: the digits and the port.
    #[must_use]
    pub fn server_name(&self) -> String {
        self.federation().to_string()
    }

    /// A port of it that nobody has now, and that nobody else will look for here.
    pub fn free_port(&self) -> Result<SocketAddr> {
        let listener = TcpListener::bind(self.port(0));
        listener.and_then(|it| it.local_addr()).context("finding a free port")
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::{Address, FEDERATION_PORT};

    #[test]
    fn addresses_are_apart_and_can_be_bound() {
        let (first, second) = (Address::claim().unwrap(), Address::claim().unwrap());
        assert_ne!(first.ip(), second.ip());
        for address in [first, second] {
            assert!(address.ip().is_loopback());
            assert_ne!(address.ip().octets()[1..3], [0, 0]);
            assert_eq!(address.server_name(), format!("{}:{FEDERATION_PORT}", address.ip()));
            TcpListener::bind(address.federation()).unwrap();
        }
    }

    #[test]
    fn an_address_that_lasts_is_of_one_at_a_time() {
        let first = Address::lasting(254).unwrap();
        assert_eq!(first.server_name(), "127.255.255.254:8448");
        assert!(Address::lasting(254).is_err());
        drop(first);
        Address::lasting(254).unwrap();
    }
}
