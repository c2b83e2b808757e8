//! How many connections are open: in all, and from each address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::limit::customer;
use crate::ops::metrics::{Connections, Refused};

/// The connections of all listeners. Further ones are closed as soon as they are accepted: whoever
/// waited unseen could not be told from a network that fails, and would keep others waiting.
pub struct Crowd {
    most: usize,
    most_each: usize,
    /// Proxies that are trusted, who come for many.
    proxies: Arc<[IpAddr]>,
    open: Mutex<Open>,
    counts: Connections,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// By address, of IPv6 by the first 64 bits; bounded by the number of all.
    each: HashMap<IpAddr, usize>,
}

/// The place of one open connection, for those whose connection outlives its requests.
#[derive(Clone)]
pub(super) struct Staying {
    _place: Arc<Place>,
}

impl Staying {
    pub(super) fn new(place: Place) -> Self {
        Self { _place: Arc::new(place) }
    }
}

/// The place of one open connection.
pub(super) struct Place {
    crowd: Arc<Crowd>,
    /// Whose it is, where they are counted.
    customer: Option<IpAddr>,
}

impl Crowd {
    /// Nobody yet, and room for `most`, of each address for `most_each`.
    #[must_use]
    pub fn new(most: usize, most_each: usize, proxies: Arc<[IpAddr]>, counts: Connections) -> Self {
        Self { most, most_each, proxies, open: Mutex::default(), counts }
    }

    /// A place for a connection from there, if there is one left. This machine itself and trusted
    /// proxies may come as often as there is room at all.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let peer = peer.to_canonical();
        let is_counted = !peer.is_loopback() && !self.proxies.contains(&peer);
        let customer = is_counted.then(|| customer(peer));
        let mut open = self.open();
        if open.all >= self.most {
            self.counts.refuse(Refused::Full);
            return None;
        }
        if let Some(customer) = customer {
            let mine = open.each.get(&customer).copied().unwrap_or(0);
            if mine >= self.most_each {
                self.counts.refuse(Refused::Address);
                return None;
            }
            open.each.insert(customer, mine + 1);
        }
        open.all += 1;
        drop(open);
        self.counts.open.inc();
        Some(Place { crowd: self.clone(), customer })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.crowd.open();
        open.all -= 1;
        if let Some(customer) = self.customer
            && let Some(mine) = open.each.get_mut(&customer)
        {
            *mine -= 1;
            if *mine == 0 {
                open.each.remove(&customer);
            }
        }
        drop(open);
        self.crowd.counts.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_places_and_all_have_theirs() {
        let proxies = ["192.0.2.9".parse().unwrap()];
        let crowd = Arc::new(Crowd::new(7, 2, proxies.into(), Connections::default()));
        let enter = |peer: &str| crowd.enter(peer.parse().unwrap());
        let first = enter("192.0.2.1").unwrap();
        let second = enter("::ffff:192.0.2.1").unwrap();
        assert!(enter("192.0.2.1").is_none(), "a third from one address");
        let neighbours = [enter("2001:db8::1").unwrap(), enter("2001:db8::ffff:1").unwrap()];
        assert!(enter("2001:db8::2:1").is_none(), "a third from one customer");
        let near = [enter("127.0.0.1").unwrap(), enter("192.0.2.9").unwrap()];
        let others = [near, [enter("192.0.2.9").unwrap(), first]];
        assert!(enter("192.0.2.2").is_none(), "an eighth");
        assert!(enter("127.0.0.1").is_none(), "an eighth from this machine");
        drop(others);
        drop(enter("192.0.2.1").unwrap());
        assert_eq!(crowd.open().all, 3);
        drop((second, neighbours));
        assert!(crowd.open().each.is_empty(), "whoever has gone is forgotten");
    }
}
