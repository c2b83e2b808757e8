//! States of rooms that nothing names any more, and how their nodes go.
//!
//! They come of joinings that did not come to pass or went through many states, of states that another
//! server told for nothing, and of events that were let go of.

use std::collections::HashSet;

use wayside_federation::state::NodeId;

use super::{super::Error, Rooms};
use crate::store::{
    StoreError,
    loose::{self, Walk},
};

/// How long a state may be loose, in milliseconds: whoever makes one names it soon.
const LOOSE_MS: i64 = 60 * 60_000;
/// Rooms that are looked at in one go.
const ROOMS: i64 = 100;
/// Nodes that are condemned and removed at once, so that nobody waits long behind it.
const AT_ONCE: usize = 1_000;
/// Nodes of a room that are kept in mind (about 100 MB); one of more states is left as it is.
const NODES: usize = 2_000_000;

impl Rooms {
    /// Removes what is left of states that nothing has named for a while; how many nodes it were.
    pub async fn collect_states(&self, now_ms: i64) -> Result<u64, Error> {
        let before_ms = now_ms.saturating_sub(LOOSE_MS);
        let (mut behind, mut gone) = (0, 0);
        loop {
            let mut snapshot = self.ground.store.snapshot().await?;
            let page = loose::rooms(&mut snapshot, before_ms, behind, ROOMS).await?;
            drop(snapshot);
            let Some(last) = page.last() else { return Ok(gone) };
            behind = *last;
            for room_no in page {
                if self.ground.stop.is_cancelled() {
                    return Ok(gone);
                }
                gone += self.collect_of(room_no, before_ms).await?;
            }
        }
    }

    /// The same in one room.
    async fn collect_of(&self, room_no: i64, before_ms: i64) -> Result<u64, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let loose = loose::of_room(&mut snapshot, room_no).await?;
        let named = loose::named(&mut snapshot, room_no).await?;
        drop(snapshot);
        let old: Vec<NodeId> =
            loose.into_iter().filter(|(_, since)| *since < before_ms).map(|it| it.0).collect();
        let (fast, left): (Vec<_>, Vec<_>) = old.into_iter().partition(|it| named.contains(it));
        self.fasten(room_no, fast, before_ms).await?;
        if left.is_empty() {
            return Ok(0);
        }
        let Some(condemned) = self.nodes_below(left.clone()).await? else { return Ok(0) };
        let by = self.condemn(condemned.met.clone()).await?;
        // Looked at behind that: what is named from now on was written anew, or is named now.
        let mut snapshot = self.ground.store.snapshot().await?;
        let loose = loose::of_room(&mut snapshot, room_no).await?;
        let mut named = loose::named(&mut snapshot, room_no).await?;
        drop(snapshot);
        let left: HashSet<NodeId> = left.into_iter().collect();
        // Whoever makes a state has it noted as loose before it is named, also one that was there before.
        let stays = |(root, since): &(NodeId, i64)| *since >= before_ms || !left.contains(root);
        named.extend(loose.into_iter().filter(stays).map(|it| it.0));
        let Some(kept) = self.nodes_below(named).await? else { return Ok(0) };
        if kept.lacks {
            tracing::warn!(room_no, "a state of a room is not whole; what is loose there stays");
            return Ok(0);
        }
        let mut goes = condemned.met;
        goes.retain(|node| !kept.has_met(*node));
        // What leads to others goes behind them, or nothing would lead to those after a crash.
        goes.reverse();
        let mut gone = 0;
        for part in goes.chunks(AT_ONCE) {
            let part = part.to_vec();
            let remove = self.ground.store.write::<_, StoreError>(move |tx| {
                Box::pin(async move { tx.remove_condemned(&part, by).await })
            });
            gone += remove.await?;
        }
        self.fasten(room_no, left.into_iter().collect(), before_ms).await?;
        Ok(gone)
    }

    /// All nodes of the trees below these roots; nothing where they are too many.
    async fn nodes_below(
        &self,
        roots: impl IntoIterator<Item = NodeId>,
    ) -> Result<Option<Walk>, Error> {
        let mut walk = Walk::from(roots);
        loop {
            // One for each step, so that none is held for long.
            let mut snapshot = self.ground.store.snapshot().await?;
            if walk.go_on(&mut snapshot).await? {
                return Ok(Some(walk));
            }
            if walk.met.len() > NODES || self.ground.stop.is_cancelled() {
                return Ok(None);
            }
        }
    }

    /// Condemns nodes; by which number.
    async fn condemn(&self, nodes: Vec<NodeId>) -> Result<i64, Error> {
        let number = self.ground.store.write::<_, StoreError>(|tx| {
            let number = tx.next_number();
            Box::pin(async move { Ok(number) })
        });
        let by = number.await?;
        for part in nodes.chunks(AT_ONCE) {
            let part = part.to_vec();
            let condemn = self.ground.store.write::<_, StoreError>(move |tx| {
                Box::pin(async move { tx.condemn(&part, by).await })
            });
            condemn.await?;
        }
        Ok(by)
    }

    async fn fasten(&self, room_no: i64, roots: Vec<NodeId>, before_ms: i64) -> Result<(), Error> {
        if roots.is_empty() {
            return Ok(());
        }
        let fasten = self.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.fasten(room_no, &roots, before_ms).await })
        });
        Ok(fasten.await?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::to_raw_value};
    use wayside_federation::state::{EventNo, KeyHash, StateKey};

    use super::*;
    use crate::{
        app,
        config::{Config, Registration},
        services::{
            Services,
            accounts::{DeviceWish, Registering},
            rooms::NewRoom,
        },
        store::{Purpose, rooms, state},
    };

    fn key(name: &str) -> KeyHash {
        StateKey::new("m.test".into(), name).hash()
    }

    /// A state that differs from another in a few entries, and that nothing names.
    async fn loose_state(services: &Services, room_no: i64, of: NodeId, name: &str) -> NodeId {
        let entries: Vec<_> =
            (0..3).map(|at| (key(&format!("{name}{at}")), Some(EventNo(at + 1)))).collect();
        let now_ms = services.ground.clock.now_ms();
        let made = services.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move {
                let root = tx.change_state(of, &entries).await?;
                tx.loosen(room_no, [root, of], now_ms).await?;
                Ok(root)
            })
        });
        made.await.unwrap()
    }

    async fn nodes(services: &Services) -> usize {
        let count = services
            .ground
            .store
            .write::<_, StoreError>(|tx| Box::pin(async move { tx.traces_of_room(0).await }));
        usize::try_from(count.await.unwrap().1).unwrap()
    }

    #[tokio::test]
    async fn what_nothing_names_goes_and_all_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().to_owned();
        let config = Config { data, registration: Registration::Open, ..Config::default() };
        let services = app::open(config, Purpose::Serving).await.unwrap().services;
        let wish = Registering {
            name: Some("ann".to_owned()),
            password: Some("correct horse battery staple".to_owned()),
            invitation: None,
            guest: false,
            device: DeviceWish { no_device: true, ..DeviceWish::default() },
        };
        let ann = services.accounts.register(wish).await.unwrap().user_id;
        let content = to_raw_value(&json!({})).unwrap();
        let entry = |at: usize| ("m.test".to_owned(), format!("s{at}"), content.clone());
        let initial_state = (0..60).map(entry).collect();
        let new = NewRoom { creator: Some(ann), initial_state, ..NewRoom::default() };
        let room = services.rooms.create(new).await.unwrap();
        let mut snapshot = services.ground.store.snapshot().await.unwrap();
        let row = rooms::room(&mut snapshot, &room).await.unwrap().unwrap();
        let (room_no, now) = (row.room_no, row.state_root);
        let named = loose::named(&mut snapshot, room_no).await.unwrap();
        drop(snapshot);
        assert!(named.len() > 60, "{}", named.len());
        let whole = nodes(&services).await;
        // One after the other, as a joining goes; and beside them, from a state of long ago.
        let mut root = now;
        for at in 0..20 {
            root = loose_state(&services, room_no, root, &format!("step{at}-")).await;
        }
        let old = *named.iter().find(|it| **it != now).unwrap();
        loose_state(&services, room_no, old, "aside").await;
        assert!(nodes(&services).await > whole + 20);
        let now_ms = services.ground.clock.now_ms();
        assert_eq!(services.rooms.collect_states(now_ms).await.unwrap(), 0, "they are young");
        // Of two states that share most of what they are made of, the one that is made again stays.
        let later_ms = now_ms + 2 * LOOSE_MS;
        let stays = services.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.loosen(room_no, [root], later_ms).await })
        });
        stays.await.unwrap();
        assert!(services.rooms.collect_states(later_ms).await.unwrap() > 0);
        let mut snapshot = services.ground.store.snapshot().await.unwrap();
        assert_eq!(loose::of_room(&mut snapshot, room_no).await.unwrap(), [(root, later_ms)]);
        let count = state::entries(&mut snapshot, now).await.unwrap().len();
        assert_eq!(state::entries(&mut snapshot, root).await.unwrap().len(), count + 60);
        drop(snapshot);
        let kept = named.iter().copied().chain([root]);
        let kept = services.rooms.nodes_below(kept).await.unwrap().unwrap();
        assert_eq!(nodes(&services).await, kept.met.len(), "what it shares with others goes too");
        services.rooms.collect_states(later_ms + 2 * LOOSE_MS).await.unwrap();
        assert_eq!(nodes(&services).await, whole);
        let kept = services.rooms.nodes_below(named).await.unwrap().unwrap();
        assert!(!kept.lacks && kept.met.len() == whole, "{} of {whole}", kept.met.len());
    }
}
