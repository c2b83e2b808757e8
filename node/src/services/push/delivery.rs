//! The duty that calls gateways: for each pusher in order, for many at once, for none without a bound.
//!
//! What a gateway was told is noted with its pusher, as a place in the stream, so that a restart goes on
//! there. That something may be new is only a word in memory ([`Wakes`]); what is new is read from the
//! store when its pusher has its turn. A gateway that does not answer has few calls under way at any
//! time, and each of its pushers rests longer after each failure.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use ruma::{OwnedUserId, UserId};
use serde_json::{Map, Value};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, sleep_until},
};
use wayside_specs::limits;

use super::{Error, Push, Pusher, PusherKey, notice};
use crate::{
    outbound::{Answer, Beyond, Bounds, Call, CallError},
    store::{StoreError, pushers},
};

/// Pushers for which the store is read at once.
const READERS: usize = 2;
/// Calls under way at once.
const CALLS: usize = 48;
/// Those of them to one host.
const CALLS_PER_HOST: usize = 4;
/// What a call may cost.
const CALL: Bounds =
    Bounds { bytes: 64 * 1024, beyond: Beyond::Refused, time: Duration::from_secs(10) };
/// Notices that a pusher is told of in one turn.
const TURN: usize = 10;
/// How long a pusher rests after a first failure, and at most.
const REST: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(15));
/// How long a gateway may fail before what waits for it is told by the count alone, in milliseconds,
/// and how long its pushers rest from then on.
const PATIENCE_MS: i64 = 24 * 60 * 60 * 1_000;
const LONG_REST: Duration = Duration::from_hours(1);
/// How far a pusher's place in the stream may be behind before it is noted though nothing was told.
const UNNOTED: i64 = 10_000;
/// How long the duty waits after the store could not be read.
const AGAIN: Duration = Duration::from_secs(5);

/// Who has pushers, and for whom something may be new.
pub(super) struct Wakes {
    state: Mutex<Woken>,
    bell: Notify,
    /// Turns for reading what is new: people who wait for answers read from the same store.
    reading: Semaphore,
}

#[derive(Default)]
pub(super) struct Woken {
    with_pushers: HashSet<OwnedUserId>,
    /// Those for whom something was counted that is not yet told to be.
    staged: HashSet<OwnedUserId>,
    /// Those for whom the duty is to look.
    due: HashSet<OwnedUserId>,
}

impl Default for Wakes {
    fn default() -> Self {
        let (state, bell) = (Mutex::default(), Notify::new());
        Self { state, bell, reading: Semaphore::new(READERS) }
    }
}

impl Wakes {
    /// Notes that somebody has a pusher, and that it should be looked at.
    pub(super) fn add(&self, user_id: &UserId) {
        let mut state = self.lock();
        state.with_pushers.insert(user_id.to_owned());
        state.due.insert(user_id.to_owned());
        drop(state);
        self.bell.notify_one();
    }

    /// For noting of several people that something is new for them.
    pub(super) fn lock(&self) -> MutexGuard<'_, Woken> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes those who were staged: what was counted for them can be read now.
    pub(super) fn ring(&self) {
        let mut state = self.lock();
        if state.staged.is_empty() {
            return;
        }
        let staged = std::mem::take(&mut state.staged);
        state.due.extend(staged);
        drop(state);
        self.bell.notify_one();
    }

    fn take(&self) -> HashSet<OwnedUserId> {
        std::mem::take(&mut self.lock().due)
    }
}

impl Woken {
    /// Whether something was counted for somebody that is not yet told to be.
    pub(super) fn is_staged(&self, user_id: &UserId) -> bool {
        self.staged.contains(user_id)
    }

    /// Notes that something is new for somebody, if they have a pusher.
    pub(super) fn stage(&mut self, user_id: &UserId) {
        if self.with_pushers.contains(user_id) && !self.staged.contains(user_id) {
            self.staged.insert(user_id.to_owned());
        }
    }
}

/// How a turn of a pusher ended.
enum Ended {
    /// All is told that there is to tell.
    Told,
    /// There is more to tell.
    More,
    /// Its gateway did not answer; it may rest so long.
    Failed { long: bool },
    /// The store could not be read or written.
    Broken,
}

type Turn = Pin<Box<dyn Future<Output = (PusherKey, Ended)> + Send>>;

/// A pusher that has something to do.
struct Job {
    host: String,
    failures: u32,
    /// Until when it rests.
    rests: Option<Instant>,
    /// Whether it was woken while its turn was under way.
    again: bool,
}

/// Pushers that have something to do, by the hosts of their gateways.
#[derive(Default)]
struct Jobs {
    known: HashMap<PusherKey, Job>,
    hosts: HashMap<String, Host>,
    /// Hosts with pushers that are ready, and fewer calls under way than they may have.
    turns: VecDeque<String>,
    resting: BTreeSet<(Instant, PusherKey)>,
}

#[derive(Default)]
struct Host {
    ready: VecDeque<PusherKey>,
    running: usize,
    /// Whether it stands in line for a turn.
    stands: bool,
}

impl Jobs {
    fn wake(&mut self, key: PusherKey, host: String) {
        if let Some(job) = self.known.get_mut(&key) {
            // One that rests looks for all that is new when it wakes.
            job.again = true;
            return;
        }
        let job = Job { host, failures: 0, rests: None, again: false };
        self.known.insert(key.clone(), job);
        self.ready(key);
    }

    fn ready(&mut self, key: PusherKey) {
        let Some(job) = self.known.get_mut(&key) else { return };
        (job.rests, job.again) = (None, false);
        let name = job.host.clone();
        self.hosts.entry(name.clone()).or_default().ready.push_back(key);
        self.stand(name);
    }

    fn stand(&mut self, name: String) {
        let Some(host) = self.hosts.get_mut(&name) else { return };
        if !host.stands && !host.ready.is_empty() && host.running < CALLS_PER_HOST {
            host.stands = true;
            self.turns.push_back(name);
        }
    }

    /// The next pusher whose turn may begin.
    fn next(&mut self) -> Option<PusherKey> {
        while let Some(name) = self.turns.pop_front() {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.stands = false;
            let key = host.ready.pop_front();
            host.running += usize::from(key.is_some());
            self.stand(name);
            if key.is_some() {
                return key;
            }
        }
        None
    }

    fn ended(&mut self, key: PusherKey, ended: &Ended, now: Instant) {
        let Some(name) = self.known.get(&key).map(|job| job.host.clone()) else { return };
        if let Some(host) = self.hosts.get_mut(&name) {
            host.running -= 1;
            if host.running == 0 && host.ready.is_empty() {
                self.hosts.remove(&name);
            } else {
                self.stand(name);
            }
        }
        let Some(job) = self.known.get_mut(&key) else { return };
        let rest = match ended {
            Ended::Told if !job.again => {
                self.known.remove(&key);
                return;
            }
            Ended::Told | Ended::More => {
                job.failures = 0;
                return self.ready(key);
            }
            Ended::Failed { long } => {
                job.failures = job.failures.saturating_add(1);
                let rest = REST.0.saturating_mul(1 << (job.failures - 1).min(16)).min(REST.1);
                if *long { LONG_REST } else { rest }
            }
            Ended::Broken => AGAIN,
        };
        job.rests = Some(now + rest);
        self.resting.insert((now + rest, key));
    }

    /// Wakes those whose rest is over.
    fn rested(&mut self, now: Instant) {
        while let Some((until, _)) = self.resting.first() {
            if *until > now {
                return;
            }
            let Some((until, key)) = self.resting.pop_first() else { return };
            if self.known.get(&key).is_some_and(|job| job.rests == Some(until)) {
                self.ready(key);
            }
        }
    }
}

impl Push {
    /// Calls the gateways of everybody's pushers, until the node stops.
    pub async fn deliver(self: Arc<Self>) {
        let stop = self.ground.stop.clone();
        let delivering = async {
            while let Err(error) = self.remember_people().await {
                tracing::warn!(%error, "the pushers could not be read; it is tried again");
                tokio::time::sleep(AGAIN).await;
            }
            self.call_gateways().await;
        };
        // What was not told then is told after the next start.
        let _ended = stop.run_until_cancelled(delivering).await;
    }

    /// Learns who has pushers, and wakes those for whose pushers something may be left to do.
    async fn remember_people(&self) -> Result<(), StoreError> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let people = pushers::people(&mut snapshot).await?;
        let left = pushers::people_left(&mut snapshot).await?;
        // What the counting has still to catch up with is judged first: it wakes others by itself.
        let now = snapshot.position().await?;
        drop(snapshot);
        self.wakes.lock().with_pushers.extend(people);
        self.reach(now).await;
        self.wakes.lock().due.extend(left);
        self.wakes.bell.notify_one();
        Ok(())
    }

    async fn call_gateways(self: &Arc<Self>) {
        let mut jobs = Jobs::default();
        let mut running: FuturesUnordered<Turn> = FuturesUnordered::new();
        loop {
            while running.len() < CALLS {
                let Some(key) = jobs.next() else { break };
                running.push(self.clone().turn(key));
            }
            let rest = jobs.resting.first().map(|(until, _)| *until);
            // Where nobody rests, any time is as good.
            let rest = sleep_until(rest.unwrap_or_else(|| self.instant() + LONG_REST));
            tokio::select! {
                () = self.wakes.bell.notified() => {
                    for user_id in self.wakes.take() {
                        self.wake(&mut jobs, user_id).await;
                    }
                }
                Some((key, ended)) = running.next(), if !running.is_empty() => {
                    jobs.ended(key, &ended, self.instant());
                }
                () = rest => jobs.rested(self.instant()),
            }
        }
    }

    async fn wake(&self, jobs: &mut Jobs, user_id: OwnedUserId) {
        let found = async {
            let mut snapshot = self.ground.store.snapshot().await?;
            pushers::of_person(&mut snapshot, &user_id, limits::PUSHERS_PER_USER).await
        };
        match found.await {
            Ok(found) if found.is_empty() => {
                self.wakes.lock().with_pushers.remove(&user_id);
            }
            Ok(found) => {
                // One may have been set while those before it were found to be gone.
                self.wakes.lock().with_pushers.insert(user_id);
                for pusher in found {
                    let gateway = data_of(&pusher).and_then(|data| self.gateway(&data));
                    // Settings may have changed since it was set.
                    let Ok(gateway) = gateway else { continue };
                    let host = gateway.host_str().unwrap_or_default();
                    let port = gateway.port_or_known_default().unwrap_or_default();
                    jobs.wake(pusher.key, format!("{host}:{port}"));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the pushers of somebody could not be read; it is tried again");
                self.wakes.lock().staged.insert(user_id);
            }
        }
    }

    fn instant(&self) -> Instant {
        Instant::from_std(self.ground.clock.instant())
    }

    /// A turn of a pusher, on a task of its own: it may hold a connection to the store, which must not
    /// wait for whatever this duty waits for.
    fn turn(self: Arc<Self>, key: PusherKey) -> Turn {
        let (tasks, stop) = (self.ground.tasks.clone(), self.ground.stop.clone());
        let own = key.clone();
        let telling = tasks.spawn(async move { stop.run_until_cancelled(self.tell(&own)).await });
        Box::pin(async move {
            let ended = match telling.await {
                Ok(Some(Ok(ended))) => ended,
                Ok(Some(Err(error))) => {
                    tracing::warn!(%error, "telling a gateway broke off; it is tried again");
                    Ended::Broken
                }
                Ok(None) => Ended::Broken,
                Err(error) => {
                    tracing::error!(%error, "telling a gateway broke off; it is tried again");
                    Ended::Broken
                }
            };
            (key, ended)
        })
    }

    /// Tells the gateway of a pusher what is new, oldest first, as far as one turn goes.
    async fn tell(&self, key: &PusherKey) -> Result<Ended, Error> {
        let reading = self.wakes.reading.acquire().await.map_err(Error::internal)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(pusher) = pushers::pusher(&mut snapshot, key).await? else {
            return Ok(Ended::Told);
        };
        let Some((unread, upto)) = self.standing(&mut snapshot, &key.user_id).await? else {
            return Ok(Ended::Told);
        };
        // What is noted for a pusher never goes back, not even to where the counting still is.
        let upto = upto.max(pusher.reached);
        drop(snapshot);
        // All that was counted is in this one.
        let mut snapshot = self.ground.store.snapshot().await?;
        let data = data_of(&pusher)?;
        let mut notices = self.notices(&mut snapshot, &pusher, upto).await?;
        let now_ms = self.ground.clock.now_ms();
        let long = pusher.failing_ms.is_some_and(|since_ms| now_ms - since_ms >= PATIENCE_MS);
        if long && notices.len() > 1 {
            notices.drain(..notices.len() - 1);
            let reached = notices.first().map_or(upto, |notice| notice.place() - 1);
            self.noting(key, move |tx, key| {
                Box::pin(async move { tx.give_pushes_up(&key, reached).await })
            })
            .await?;
        }
        let is_more = notices.len() > TURN;
        notices.truncate(TURN);
        let mut calls: Vec<(i64, Value)> = Vec::new();
        for notice in &notices {
            let told = self.notification(&mut snapshot, &pusher, &data, notice, unread).await?;
            calls.push((notice.place(), told));
        }
        drop(snapshot);
        drop(reading);
        if let Some((last, _)) = calls.last_mut().filter(|_| !is_more) {
            *last = upto.max(*last);
        } else if calls.is_empty() && unread != pusher.badge {
            calls.push((upto, notice::badge(&pusher, &data, unread)));
        } else if calls.is_empty() && upto - pusher.reached > UNNOTED {
            let badge = pusher.badge;
            self.noting(key, move |tx, key| {
                Box::pin(async move { tx.note_pushed(&key, upto, badge).await })
            })
            .await?;
        }
        for (place, told) in calls {
            match self.call(&pusher, &data, &told).await {
                Ok(answer) if is_rejected(&answer, &pusher) => {
                    let set_ms = Some(pusher.set_ms);
                    self.noting(key, move |tx, key| {
                        Box::pin(async move { tx.remove_pusher(&key, set_ms).await })
                    })
                    .await?;
                    return Ok(Ended::Told);
                }
                Ok(_) => {
                    self.noting(key, move |tx, key| {
                        Box::pin(async move { tx.note_pushed(&key, place, unread).await })
                    })
                    .await?;
                }
                Err(error) => {
                    tracing::debug!(%error, "a gateway did not answer");
                    self.noting(key, move |tx, key| {
                        Box::pin(async move { tx.note_push_failing(&key, now_ms).await })
                    })
                    .await?;
                    return Ok(Ended::Failed { long });
                }
            }
        }
        Ok(if is_more { Ended::More } else { Ended::Told })
    }

    async fn call(
        &self,
        pusher: &Pusher,
        data: &Map<String, Value>,
        told: &Value,
    ) -> Result<Answer, CallError> {
        let wrong = |_| CallError::BadAddress("the pusher names no gateway");
        let gateway = self.gateway(data).map_err(wrong)?;
        debug_assert!(!pusher.key.pushkey.is_empty(), "a pusher has a key");
        let plain = self.ground.config.allow_private_addresses;
        let answer = self.ground.outbound.call(&gateway, plain, Call::post(told), CALL).await?;
        if answer.status.is_success() {
            return Ok(answer);
        }
        Err(CallError::Failed(format!("it answered {}", answer.status)))
    }

    async fn noting(
        &self,
        key: &PusherKey,
        note: impl for<'t> FnOnce(
            &'t mut crate::store::Tx,
            PusherKey,
        )
            -> futures_util::future::BoxFuture<'t, Result<(), StoreError>>
        + Send
        + 'static,
    ) -> Result<(), StoreError> {
        let key = key.clone();
        self.ground.store.write(move |tx| note(tx, key)).await
    }
}

/// What an application keeps with its pusher.
fn data_of(pusher: &Pusher) -> Result<Map<String, Value>, Error> {
    serde_json::from_str(&pusher.data).map_err(Error::internal)
}

/// Whether a gateway says that there is nobody any more at the place where a pusher leads.
fn is_rejected(answer: &Answer, pusher: &Pusher) -> bool {
    let body: Value = serde_json::from_slice(&answer.bytes).unwrap_or_default();
    let rejected = body.get("rejected").and_then(Value::as_array);
    let own = |key: &Value| key.as_str() == Some(pusher.key.pushkey.as_str());
    rejected.is_some_and(|rejected| rejected.iter().any(own))
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn key(name: &str) -> PusherKey {
        let user_id = user_id!("@a:a.test").to_owned();
        PusherKey { user_id, app_id: "app".to_owned(), pushkey: name.to_owned() }
    }

    fn next(jobs: &mut Jobs) -> Option<String> {
        jobs.next().map(|key| key.pushkey)
    }

    #[test]
    fn a_host_has_few_calls_and_others_have_theirs() {
        let (mut jobs, now) = (Jobs::default(), Instant::now());
        for n in 0..10 {
            jobs.wake(key(&format!("slow{n}")), "slow".to_owned());
        }
        jobs.wake(key("good"), "good".to_owned());
        let running: Vec<String> = std::iter::from_fn(|| next(&mut jobs)).collect();
        assert_eq!(running, ["slow0", "good", "slow1", "slow2", "slow3"]);
        jobs.ended(key("good"), &Ended::Told, now);
        jobs.ended(key("slow1"), &Ended::Told, now);
        assert_eq!((next(&mut jobs).as_deref(), next(&mut jobs)), (Some("slow4"), None));
        assert!(!jobs.hosts.contains_key("good") && jobs.hosts["slow"].running == CALLS_PER_HOST);
    }

    #[test]
    fn a_pusher_has_one_turn_at_a_time_and_rests_longer_each_time() {
        let (mut jobs, mut now) = (Jobs::default(), Instant::now());
        jobs.wake(key("a"), "h".to_owned());
        assert_eq!(next(&mut jobs).as_deref(), Some("a"));
        // Woken meanwhile, it has another turn after this one.
        jobs.wake(key("a"), "h".to_owned());
        assert_eq!(next(&mut jobs), None);
        jobs.ended(key("a"), &Ended::Told, now);
        assert_eq!(next(&mut jobs).as_deref(), Some("a"));
        let mut rests = Vec::new();
        for _ in 0..12 {
            jobs.ended(key("a"), &Ended::Failed { long: false }, now);
            // What is new does not end a rest.
            jobs.wake(key("a"), "h".to_owned());
            assert_eq!(next(&mut jobs), None);
            let until = jobs.resting.first().map(|(until, _)| *until).unwrap();
            rests.push((until - now).as_secs());
            jobs.rested(until - Duration::from_millis(1));
            assert_eq!(next(&mut jobs), None);
            jobs.rested(until);
            assert_eq!(next(&mut jobs).as_deref(), Some("a"));
            now = until;
        }
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        jobs.ended(key("a"), &Ended::More, now);
        assert_eq!(next(&mut jobs).as_deref(), Some("a"));
        jobs.ended(key("a"), &Ended::Failed { long: true }, now);
        assert_eq!(jobs.resting.first().map(|(until, _)| *until - now), Some(LONG_REST));
        jobs.rested(now + LONG_REST);
        assert_eq!(next(&mut jobs).as_deref(), Some("a"));
        jobs.ended(key("a"), &Ended::Told, now);
        assert!(jobs.known.is_empty() && jobs.hosts.is_empty() && jobs.resting.is_empty());
    }
}
