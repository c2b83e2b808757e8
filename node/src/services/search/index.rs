//! The duty that keeps the index of words.

use std::{sync::Arc, time::Duration};

use ruma::OwnedEventId;
use tokio::{
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
    time::{sleep, timeout},
};

use super::{super::Error, Search};
use crate::store::{
    bus::{Change, Commit},
    events::{self, StoredEvent},
    walks::{self, Walk},
    words::Entry,
};

/// The name of the walk.
const WALK: &str = "words";
/// Events read in one go: few, because the largest are large.
const AT_ONCE: i64 = 4;
/// Events written in one go, and bytes of their words, so that nobody waits long behind it.
const BATCH: (usize, usize) = (64, 64 * 1024);
/// How long what is new is gathered before it is written, while nobody waits for it.
const GATHERED: Duration = Duration::from_millis(500);
/// How long after a failure it is tried again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a question waits for the index.
const WAIT: Duration = Duration::from_secs(2);
/// Events that say nothing are not worth a write, until there were so many of them.
const UNWRITTEN: i64 = 20_000;

/// What is written in one go.
#[derive(Default)]
struct Batch {
    entries: Vec<Entry>,
    emptied: Vec<OwnedEventId>,
    bytes: usize,
}

impl Batch {
    fn take_in(&mut self, page: &[StoredEvent]) {
        for stored in page {
            self.emptied.extend(stored.event.redacts().map(ToOwned::to_owned));
            if let Some(entry) = Entry::of(stored) {
                self.bytes += entry.words.iter().flatten().map(String::len).sum::<usize>();
                self.entries.push(entry);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.emptied.is_empty()
    }

    fn is_large(&self) -> bool {
        self.entries.len() + self.emptied.len() >= BATCH.0 || self.bytes >= BATCH.1
    }
}

impl Search {
    /// Keeps the index, until the node stops.
    pub async fn follow(self: Arc<Self>) {
        let mut commits = self.ground.store.bus().listen();
        let stop = self.ground.stop.clone();
        let following = async {
            loop {
                let pause = match self.index().await {
                    Ok(()) => GATHERED,
                    Err(error) => {
                        tracing::warn!(%error, "the index of what was said falls behind; it is tried again");
                        AGAIN
                    }
                };
                if pause == GATHERED && !next_event(&mut commits).await {
                    return;
                }
                // Whoever asks meanwhile has it done at once.
                tokio::select! { () = sleep(pause) => {}, () = self.hurry.notified() => {} }
                while !matches!(commits.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed))
                {
                }
            }
        };
        // Cut off or closed: the node ends either way.
        let _ended = stop.run_until_cancelled(following).await;
    }

    /// Waits, but not for long, until the index has come to a position.
    pub(super) async fn reach(&self, position: i64) {
        let mut reached = self.reached.subscribe();
        if *reached.borrow_and_update() >= position {
            return;
        }
        self.hurry.notify_one();
        // What is not there by then is found by a later question.
        let _late = timeout(WAIT, reached.wait_for(|reached| *reached >= position)).await;
    }

    /// Sees to all events that there are now.
    async fn index(&self) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut written = walks::walk(&mut snapshot, WALK).await?.reached;
        let mut read = (*self.reached.borrow()).max(written);
        loop {
            let now = snapshot.position().await?;
            let mut batch = Batch::default();
            let is_full = loop {
                let page = events::numbered(&mut snapshot, read, AT_ONCE).await?;
                let is_full = i64::try_from(page.len()) == Ok(AT_ONCE);
                let last = page.last().map(|it| it.event_no.0).filter(|_| is_full);
                read = last.unwrap_or(now).max(read);
                batch.take_in(&page);
                if !is_full || batch.is_large() {
                    break is_full;
                }
            };
            drop(snapshot);
            if !batch.is_empty() || read - written >= UNWRITTEN {
                self.write(written, read, batch).await?;
                written = read;
            }
            self.reached.send_replace(read);
            if !is_full {
                return Ok(());
            }
            snapshot = self.ground.store.snapshot().await?;
        }
    }

    async fn write(&self, written: i64, read: i64, batch: Batch) -> Result<(), Error> {
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let Walk { reached, .. } = walks::walk(tx, WALK).await?;
                    if reached > written {
                        // Another process has come further: what it wrote is not written twice.
                        return Ok(());
                    }
                    tx.add_words(&batch.entries).await?;
                    for event_id in &batch.emptied {
                        tx.forget_words(event_id).await?;
                    }
                    Ok(tx.walk_on(WALK, read).await?)
                })
            })
            .await
    }
}

/// Waits for a commit that may have brought an event; false when there will be none any more.
async fn next_event(commits: &mut Receiver<Arc<Commit>>) -> bool {
    loop {
        match commits.recv().await {
            Ok(commit) if !commit.lost => {
                let is_event = |change: &Change| matches!(change, Change::Event { .. });
                if commit.changes.iter().any(is_event) {
                    return true;
                }
            }
            Ok(_) | Err(RecvError::Lagged(_)) => return true,
            Err(RecvError::Closed) => return false,
        }
    }
}
