//! One suite of the store, run against both engines.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicU32, Ordering},
};

use ruma::{UserId, user_id};
use sqlx::Executor;
use wayside_federation::state::{EventNo, NodeId, StateKey};
use wayside_specs::Role;

use super::*;
use crate::store::{bus::Change, people::DataItem};

/// A store of its own for one test; the folder goes with it.
struct Fresh {
    store: Store,
    folder: tempfile::TempDir,
    database: Option<String>,
}

impl Fresh {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None).await.unwrap();
        Self { store, folder, database: None }
    }

    /// A database of its own in the cluster of the test run.
    async fn postgres() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(cluster) = std::env::var("WAYSIDE_TEST_POSTGRES") else {
            assert!(std::env::var("CI").is_err(), "in CI PostgreSQL must be there");
            eprintln!("skipped on PostgreSQL: WAYSIDE_TEST_POSTGRES is not set");
            return None;
        };
        let name =
            format!("store_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let options = PgConnectOptions::from_str(&cluster).unwrap();
        let mut admin = sqlx::PgConnection::connect_with(&options).await.unwrap();
        let create = format!("CREATE DATABASE {name}");
        admin.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
        let options = options.database(&name);
        let database = options.to_url_lossy().to_string();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Some(&database)).await.unwrap();
        Some(Self { store, folder, database: Some(database) })
    }

    async fn reopened(self) -> Self {
        let Self { store, folder, database } = self;
        store.close().await;
        let store = Store::open(folder.path(), database.as_deref()).await.unwrap();
        Self { store, folder, database }
    }
}

/// Runs a test on both engines.
macro_rules! on_both_engines {
    ($($name:ident => $test:ident;)+) => {
        mod sqlite {
            $(#[tokio::test] async fn $name() { super::$test(super::Fresh::sqlite().await).await; })+
        }
        mod postgres {
            $(#[tokio::test] async fn $name() {
                if let Some(fresh) = super::Fresh::postgres().await { super::$test(fresh).await; }
            })+
        }
    };
}

on_both_engines! {
    a_failed_use_case_undoes_nothing_but_itself => failure_is_alone;
    a_panic_undoes_nothing_but_itself => panic_is_alone;
    what_was_acknowledged_is_there_after_opening_again => acknowledged_is_durable;
    changes_are_told_after_commit_and_in_order => told_in_order;
    a_snapshot_sees_one_moment => snapshot_is_one_moment;
    writers_that_wait_share_a_commit => writers_share_commits;
    a_taken_name_is_said_to_be_taken => taken_is_taken;
    lists_of_any_length_find_what_they_name => lists_of_any_length;
    states_are_changed_and_compared => states_change;
    facts_of_the_node_never_change => facts_stay;
    names_of_files_that_never_come_are_given_up => names_are_given_up;
}

fn ann() -> &'static UserId {
    user_id!("@ann:a.test")
}

async fn put(store: &Store, kind: &str, fail: bool) -> Result<(), StoreError> {
    let kind = kind.to_owned();
    store
        .write(move |tx| {
            Box::pin(async move {
                let item = DataItem { room_no: 0, kind, content: "{}".to_owned() };
                tx.set_data_item(ann(), &item).await?;
                if fail { Err(StoreError::Damaged("on purpose")) } else { Ok(()) }
            })
        })
        .await
}

async fn kinds(store: &Store) -> HashSet<String> {
    let mut snapshot = store.snapshot().await.unwrap();
    let items = people::data_since(&mut snapshot, ann(), 0).await.unwrap();
    items.into_iter().map(|item| item.kind).collect()
}

async fn failure_is_alone(fresh: Fresh) {
    let names: Vec<String> = (0..40).map(|n| format!("k{n}")).collect();
    let all = names.iter().enumerate().map(|(n, name)| put(&fresh.store, name, n % 3 == 0));
    let results = futures_util::future::join_all(all).await;
    let kept = kinds(&fresh.store).await;
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), n % 3 == 0);
        assert_eq!(kept.contains(&names[n]), n % 3 != 0, "k{n}");
    }
}

async fn panic_is_alone(fresh: Fresh) {
    let panics = fresh.store.write::<(), StoreError>(|tx| {
        Box::pin(async move {
            let item = DataItem { room_no: 0, kind: "lost".into(), content: "{}".into() };
            tx.set_data_item(ann(), &item).await?;
            panic!("on purpose");
        })
    });
    let (lost, kept) = tokio::join!(panics, put(&fresh.store, "kept", false));
    assert!(matches!(lost, Err(StoreError::Stopped(_))));
    kept.unwrap();
    assert_eq!(kinds(&fresh.store).await, HashSet::from(["kept".to_owned()]));
}

async fn acknowledged_is_durable(fresh: Fresh) {
    put(&fresh.store, "one", false).await.unwrap();
    let before = fresh.store.snapshot().await.unwrap().position().await.unwrap();
    let fresh = fresh.reopened().await;
    assert_eq!(kinds(&fresh.store).await, HashSet::from(["one".to_owned()]));
    put(&fresh.store, "two", false).await.unwrap();
    let after = fresh.store.snapshot().await.unwrap().position().await.unwrap();
    assert!(after > before, "positions go on where they were");
}

async fn told_in_order(fresh: Fresh) {
    let mut heard = fresh.store.bus().listen();
    let names: Vec<String> = (0..20).map(|n| format!("k{n}")).collect();
    futures_util::future::join_all(names.iter().map(|name| put(&fresh.store, name, name == "k7")))
        .await;
    let mut positions = Vec::new();
    while positions.len() < 19 {
        let commit = heard.recv().await.unwrap();
        let now = fresh.store.snapshot().await.unwrap().position().await.unwrap();
        assert!(now >= commit.position, "whoever hears of a commit can read it");
        positions.extend(commit.changes.iter().map(|change| match change {
            Change::Person { position, .. }
            | Change::Receipt { position, .. }
            | Change::Event { position, .. } => *position,
        }));
    }
    assert!(positions.is_sorted_by(|a, b| a < b), "{positions:?}");
    assert!(heard.try_recv().is_err(), "nothing is told of what was undone");
}

async fn snapshot_is_one_moment(fresh: Fresh) {
    put(&fresh.store, "one", false).await.unwrap();
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let before = snapshot.position().await.unwrap();
    put(&fresh.store, "two", false).await.unwrap();
    assert_eq!(snapshot.position().await.unwrap(), before);
    assert_eq!(people::data_since(&mut snapshot, ann(), 0).await.unwrap().len(), 1);
}

async fn writers_share_commits(fresh: Fresh) {
    let before = fresh.store.writer_counts();
    let one = |writer: usize| {
        let store = &fresh.store;
        async move {
            for n in 0..25 {
                put(store, &format!("w{writer}-{n}"), false).await.unwrap();
            }
        }
    };
    futures_util::future::join_all((0..8).map(one)).await;
    let now = fresh.store.writer_counts();
    let (transactions, commits) =
        (now.transactions - before.transactions, now.commits - before.commits);
    assert_eq!(transactions, 200);
    assert!(commits * 4 <= transactions, "{transactions} use cases took {commits} commits");
}

async fn taken_is_taken(fresh: Fresh) {
    let add = || {
        fresh
            .store
            .write(|tx| Box::pin(async move { tx.add_account(ann(), None, Role::Member, 1).await }))
    };
    add().await.unwrap();
    assert!(matches!(add().await, Err(StoreError::Taken)));
}

async fn lists_of_any_length(fresh: Fresh) {
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    for length in [0_i64, 1, 2, 5, 16, 17, 255, 256, 300] {
        let numbers: Vec<EventNo> = (0..length).map(EventNo).collect();
        let found = events::by_numbers(&mut snapshot, &numbers).await.unwrap();
        assert!(found.is_empty());
    }
}

async fn states_change(fresh: Fresh) {
    let keys: Vec<StateKey> =
        (0..500).map(|n| StateKey::new("m.room.member".into(), format!("@u{n}:a.test"))).collect();
    let changes: Vec<_> =
        keys.iter().zip(1..).map(|(key, n)| (key.hash(), Some(EventNo(n)))).collect();
    let other = (keys[7].hash(), Some(EventNo(9_000)));
    let (first, second) = fresh
        .store
        .write(move |tx| {
            Box::pin(async move {
                let first = tx.change_state(NodeId::EMPTY, &changes).await?;
                let second = tx.change_state(first, &[other]).await?;
                Ok::<_, StoreError>((first, second))
            })
        })
        .await
        .unwrap();
    let fresh = fresh.reopened().await;
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let found = state::lookup(&mut snapshot, second, &keys).await.unwrap();
    assert_eq!((found[7], found[8]), (Some(EventNo(9_000)), Some(EventNo(9))));
    let differences = state::difference(&mut snapshot, first, second).await.unwrap();
    assert_eq!(differences.len(), 1);
    assert_eq!(state::entries(&mut snapshot, first).await.unwrap().len(), 500);
}

async fn facts_stay(fresh: Fresh) {
    let settle = |value: &'static [u8]| {
        fresh.store.write(move |tx| {
            Box::pin(async move { tx.settle_node_fact("server_name", value).await })
        })
    };
    assert_eq!(settle(b"a.test").await.unwrap(), b"a.test");
    assert_eq!(settle(b"b.test").await.unwrap(), b"a.test");
}

async fn names_are_given_up(fresh: Fresh) {
    let reserve = async |name: &'static str, now_ms: i64| {
        let case = fresh.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move { tx.await_media(name, ann(), now_ms, now_ms + 100).await })
        });
        case.await.unwrap();
    };
    reserve("first", 0).await;
    reserve("second", 50).await;
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    for (now_ms, there, left) in [(99, true, (2, Some(100))), (100, false, (1, Some(150)))] {
        let awaited = media::awaited(&mut snapshot, "first", now_ms).await.unwrap();
        assert_eq!(awaited.is_some(), there, "at {now_ms}");
        assert_eq!(media::awaited_of(&mut snapshot, ann(), now_ms).await.unwrap(), left);
    }
    drop(snapshot);
    // A new name sweeps the old ones away.
    reserve("third", 120).await;
    let take = async |name: &'static str| {
        let case = fresh.store.write::<bool, StoreError>(move |tx| {
            Box::pin(async move { tx.take_awaited(name).await })
        });
        case.await.unwrap()
    };
    assert_eq!(
        [take("first").await, take("second").await, take("second").await],
        [false, true, false]
    );
}
