//! How often one may ask: a budget for each person, and for each address that is nobody yet.
//!
//! A budget is one number: until when it is used up. Each kind of budget keeps so many of them and
//! no more, and asking costs the same however many there are. When all places are taken, whoever
//! asked least and longest ago is forgotten, and so has a whole budget again: with very many
//! addresses somebody can make the node forget what others used up, but never lock anybody out.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use quick_cache::sync::Cache;
use ruma::{OwnedServerName, OwnedUserId};

use super::table::Rate;
use crate::{clock::Clock, services::Error};

/// Whose budget is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A signed-in person, on whatever device.
    Person(OwnedUserId),
    /// A server that has signed what it asks.
    Server(OwnedServerName),
    /// An address; of IPv6 the first 64 bits, which are one customer.
    Address(IpAddr),
}

/// The budgets of everybody who asked lately.
pub(super) struct Limits {
    kinds: Vec<Kind>,
    clock: Clock,
    begin: Instant,
}

/// Budgets of one kind.
struct Kind {
    rate: Rate,
    /// One is earned each time so many nanoseconds have gone by.
    every_ns: u64,
    /// A budget may be used up so far ahead, in nanoseconds.
    ahead_ns: u64,
    /// Until when each is used up, in nanoseconds since the start.
    used_ns: Cache<Who, Arc<AtomicU64>>,
}

/// Budgets of one kind that are kept at once.
const BUDGETS: usize = 50_000;
/// Those for which there is room from the beginning.
const BUDGETS_AT_FIRST: usize = 500;

impl Limits {
    /// The budgets of a node; `off` gives none.
    #[must_use]
    pub(super) fn new(off: bool, clock: Clock) -> Self {
        let kinds = vec![
            Kind::new(Rate::Guess, 1, 10),
            // More than one address can use up, so that nobody alone locks a person out.
            Kind::new(Rate::Guessed, 5, 30),
            // Many people may come from one address, each with a budget of their own.
            Kind::new(Rate::Shown, 300, 3_000),
            Kind::new(Rate::Read, 50, 400),
            Kind::new(Rate::Write, 10, 100),
            Kind::new(Rate::Media, 20, 200),
            Kind::new(Rate::Outside, 1, 30),
            // A server speaks for all its people: it has as much as the busiest of them need.
            Kind::new(Rate::Federation, 100, 1_000),
        ];
        let kinds = if off { Vec::new() } else { kinds };
        Self { kinds, clock, begin: clock.instant() }
    }

    /// Takes one from the budget, or says when there will be one again.
    pub(super) fn take(&self, rate: Rate, who: &Who) -> Result<(), Error> {
        self.take_at(rate, who, self.clock.instant().saturating_duration_since(self.begin))
    }

    fn take_at(&self, rate: Rate, who: &Who, since_begin: Duration) -> Result<(), Error> {
        let Some(kind) = self.kinds.iter().find(|kind| kind.rate == rate) else { return Ok(()) };
        let now_ns = u64::try_from(since_begin.as_nanos()).unwrap_or(u64::MAX);
        kind.take(who, now_ns).map_err(|wait_ns| {
            let retry_ms = wait_ns.div_ceil(1_000_000).max(1);
            Error::TooOften { retry_ms }
        })
    }
}

impl Kind {
    fn new(rate: Rate, per_second: u64, at_once: u64) -> Self {
        let every_ns = 1_000_000_000 / per_second;
        let ahead_ns = every_ns * (at_once - 1);
        let used_ns = Cache::with(
            BUDGETS_AT_FIRST,
            BUDGETS as u64,
            quick_cache::UnitWeighter,
            quick_cache::DefaultHashBuilder::default(),
            quick_cache::sync::DefaultLifecycle::default(),
        );
        Self { rate, every_ns, ahead_ns, used_ns }
    }

    /// Takes one, or gives how many nanoseconds to wait.
    fn take(&self, who: &Who, now_ns: u64) -> Result<(), u64> {
        let whole = || Ok::<_, std::convert::Infallible>(Arc::default());
        let Ok(used_ns) = self.used_ns.get_or_insert_with(who, whole);
        let taken = used_ns.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used_ns| {
            let used_ns = used_ns.max(now_ns);
            (used_ns - now_ns <= self.ahead_ns).then(|| used_ns + self.every_ns)
        });
        taken.map(drop).map_err(|used_ns| used_ns.saturating_sub(now_ns + self.ahead_ns))
    }
}

impl Who {
    /// The budget of an address.
    #[must_use]
    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(customer(address))
    }
}

/// What stands for all addresses of one customer: of IPv6 the first 64 bits.
#[must_use]
pub(super) fn customer(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mut parts = address.segments();
            parts[4..].fill(0);
            IpAddr::from(parts)
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Who {
        Who::address(text.parse().unwrap())
    }

    #[test]
    fn a_budget_is_each_ones_own_and_fills_again() {
        let limits = Limits::new(false, Clock);
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        let at = Duration::from_secs;
        for _ in 0..10 {
            limits.take_at(Rate::Guess, &one, at(5)).unwrap();
        }
        let over = limits.take_at(Rate::Guess, &one, at(5)).unwrap_err();
        assert!(matches!(over, Error::TooOften { retry_ms: 1_000 }), "{over:?}");
        limits.take_at(Rate::Guess, &other, at(5)).unwrap();
        limits.take_at(Rate::Read, &one, at(5)).unwrap();
        limits.take_at(Rate::Free, &one, at(5)).unwrap();
        let early = limits.take_at(Rate::Guess, &one, Duration::from_millis(5_400)).unwrap_err();
        assert!(matches!(early, Error::TooOften { retry_ms: 600 }), "{early:?}");
        limits.take_at(Rate::Guess, &one, at(6)).unwrap();
        limits.take_at(Rate::Guess, &one, at(6)).unwrap_err();
        for _ in 0..10 {
            limits.take_at(Rate::Guess, &one, at(1_000)).unwrap();
        }
        limits.take_at(Rate::Guess, &one, at(1_000)).unwrap_err();
        Limits::new(true, Clock).take(Rate::Guess, &one).unwrap();
    }

    #[test]
    fn very_many_addresses_neither_fill_the_memory_nor_lock_anybody_out() {
        let limits = Limits::new(false, Clock);
        let somebody = address("192.0.2.1");
        let many = 3 * u32::try_from(BUDGETS).unwrap();
        for number in 0..many {
            let customer = (0x2001_0db8_u128 << 96) | (u128::from(number) << 64);
            let who = Who::address(std::net::Ipv6Addr::from(customer | 1).into());
            limits.take_at(Rate::Read, &who, Duration::ZERO).unwrap();
            if number % 1_000 == 0 {
                limits.take_at(Rate::Read, &somebody, Duration::ZERO).unwrap();
            }
        }
        let kind = limits.kinds.iter().find(|kind| kind.rate == Rate::Read).unwrap();
        assert!(kind.used_ns.len() <= BUDGETS, "{} are kept", kind.used_ns.len());
    }

    #[test]
    fn one_customer_of_ipv6_has_one_budget() {
        assert_eq!(address("2001:db8:1:2:3::4"), address("2001:db8:1:2:ffff::1"));
        assert_ne!(address("2001:db8:1:2::1"), address("2001:db8:1:3::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
    }
}
