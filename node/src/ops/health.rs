//! Whether the store answers: asked by monitors as often as they like, found out once a second.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::time::timeout;

use crate::clock::Clock;

/// An answer is good for so long.
const FRESH: Duration = Duration::from_secs(1);
/// A store that takes longer does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known about the store.
pub struct Health {
    clock: Clock,
    known: Mutex<Option<Known>>,
    /// Held by whoever finds out.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy)]
struct Known {
    ready: bool,
    at: Instant,
}

impl Health {
    /// Of a store that nobody has asked yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, known: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// Whether the store answers, as was found out within the last second or is by `ask` now. While
    /// one caller asks, the others get the answer from before, and wait only where there is none.
    pub async fn ready<E: std::fmt::Display>(
        &self,
        ask: impl AsyncFnOnce() -> Result<(), E>,
    ) -> bool {
        let known = self.known();
        if let Some(known) = known.filter(|it| self.is_fresh(it)) {
            return known.ready;
        }
        let _asking = match (self.asking.try_lock(), known) {
            (Ok(asking), _) => asking,
            (Err(_), Some(known)) => return known.ready,
            (Err(_), None) => self.asking.lock().await,
        };
        if let Some(known) = self.known().filter(|it| self.is_fresh(it)) {
            return known.ready;
        }
        let ready = match timeout(PATIENCE, ask()).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the store does not answer");
                false
            }
            Err(_) => {
                tracing::warn!("the store takes longer than {PATIENCE:?} to answer");
                false
            }
        };
        let known = Known { ready, at: self.clock.instant() };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
        ready
    }

    fn known(&self) -> Option<Known> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_fresh(&self, known: &Known) -> bool {
        self.clock.instant().saturating_duration_since(known.at) < FRESH
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_crowd_that_asks_costs_one_question() {
        let health = Health::new(Clock);
        let (asked, answer) = (AtomicUsize::new(0), Notify::new());
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            answer.notified().await;
            Ok::<_, String>(())
        };
        let crowd = join_all((0..100).map(|_| health.ready(ask)));
        let (all, ()) = tokio::join!(crowd, async { answer.notify_one() });
        assert!(all.into_iter().all(|ready| ready));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_old_answer_serves_while_a_new_one_is_found() {
        let health = Health::new(Clock);
        assert!(!health.ready(async || Err("gone")).await);
        assert!(!health.ready(async || Ok::<_, String>(())).await, "known for a second");
        let old = Clock.instant().checked_sub(FRESH).unwrap();
        *health.known.lock().unwrap() = Some(Known { ready: false, at: old });
        let (answer, found) = (Notify::new(), Notify::new());
        let first = health.ready(async || {
            found.notify_one();
            answer.notified().await;
            Ok::<_, String>(())
        });
        let second = async {
            found.notified().await;
            let meanwhile = health.ready(async || Err("asked twice")).await;
            answer.notify_one();
            meanwhile
        };
        assert_eq!(tokio::join!(first, second), (true, false));
        assert!(health.ready(async || Err("asked again")).await);
    }
}
