//! How often one may ask: a budget for each person, and for each address that is nobody yet.

use std::{net::IpAddr, num::NonZeroU32};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use ruma::OwnedUserId;

use super::table::Rate;
use crate::services::Error;

/// Whose budget is used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// A signed-in person, on whatever device.
    Person(OwnedUserId),
    /// An address; of IPv6 the first 64 bits, which are one customer.
    Address(IpAddr),
}

/// The budgets of everybody who asked lately.
pub(super) struct Limits {
    budgets: Vec<(Rate, DefaultKeyedRateLimiter<Who>)>,
    clock: governor::clock::DefaultClock,
}

/// Budgets kept at once; when there are more, those that are whole again are forgotten.
const BUDGETS: usize = 100_000;

impl Limits {
    /// The budgets of a node; `off` gives none.
    #[must_use]
    pub(super) fn new(off: bool) -> Self {
        let budget = |rate, per_second, burst| {
            let per_second = NonZeroU32::new(per_second).expect("the table has no zero");
            let burst = NonZeroU32::new(burst).expect("the table has no zero");
            (rate, RateLimiter::keyed(Quota::per_second(per_second).allow_burst(burst)))
        };
        let budgets = if off {
            Vec::new()
        } else {
            vec![
                budget(Rate::Guess, 1, 10),
                // More than one address can use up, so that nobody alone locks a person out.
                budget(Rate::Guessed, 5, 30),
                budget(Rate::Read, 50, 400),
                budget(Rate::Write, 10, 100),
                budget(Rate::Media, 20, 200),
            ]
        };
        Self { budgets, clock: governor::clock::DefaultClock::default() }
    }

    /// Takes one from the budget, or says when there will be one again.
    pub(super) fn take(&self, rate: Rate, who: &Who) -> Result<(), Error> {
        let Some((_, budget)) = self.budgets.iter().find(|(of, _)| *of == rate) else {
            return Ok(());
        };
        if budget.len() > BUDGETS {
            budget.retain_recent();
        }
        budget.check_key(who).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
            Error::TooOften { retry_ms }
        })
    }

    /// Forgets the budgets that are whole again.
    pub(super) fn sweep(&self) {
        for (_, budget) in &self.budgets {
            budget.retain_recent();
            budget.shrink_to_fit();
        }
    }
}

impl Who {
    /// The budget of an address.
    #[must_use]
    pub(super) fn address(address: IpAddr) -> Self {
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) => {
                let mut parts = address.segments();
                parts[4..].fill(0);
                IpAddr::from(parts)
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_each_ones_own_and_ends() {
        let limits = Limits::new(false);
        let one = || Who::address("192.0.2.1".parse().unwrap());
        for _ in 0..10 {
            limits.take(Rate::Guess, &one()).unwrap();
        }
        let over = limits.take(Rate::Guess, &one()).unwrap_err();
        assert!(matches!(over, Error::TooOften { retry_ms } if retry_ms > 0));
        limits.take(Rate::Guess, &Who::address("192.0.2.2".parse().unwrap())).unwrap();
        limits.take(Rate::Read, &one()).unwrap();
        limits.take(Rate::Free, &one()).unwrap();
    }

    #[test]
    fn one_customer_of_ipv6_has_one_budget() {
        let who = |text: &str| Who::address(text.parse().unwrap());
        assert_eq!(who("2001:db8:1:2:3::4"), who("2001:db8:1:2:ffff::1"));
        assert_ne!(who("2001:db8:1:2::1"), who("2001:db8:1:3::1"));
        assert_eq!(who("::ffff:192.0.2.1"), who("192.0.2.1"));
    }
}
