//! One suite of the store, run against both engines.

use std::{
    collections::HashSet,
    str::FromStr,
    sync::atomic::{AtomicU32, Ordering},
};

use ruma::{RoomId, UserId, user_id};
use serde_json::value::RawValue;
use sqlx::{ConnectOptions, Executor, postgres::PgConnectOptions};
use wayside_federation::{
    event::{Draft, Event},
    key::ServerKey,
    state::{EventNo, NodeId, StateKey},
    version::RoomVersion,
};
use wayside_specs::Role;

use super::*;
use crate::store::{
    bus::Change,
    events::{Roots, StoredEvent, Stretch, Verdict},
    letters,
    people::DataItem,
    rooms::RoomRow,
};

mod broken;
mod line;

/// A store of its own for one test; the folder goes with it.
struct Fresh {
    store: Store,
    folder: tempfile::TempDir,
    database: Option<String>,
}

impl Fresh {
    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), None, Purpose::Serving).await.unwrap();
        Self { store, folder, database: None }
    }

    async fn postgres() -> Option<Self> {
        let database = new_database().await?;
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path(), Some(&database), Purpose::Serving).await.unwrap();
        Some(Self { store, folder, database: Some(database) })
    }

    async fn reopened(self) -> Self {
        let Self { store, folder, database } = self;
        store.close().await;
        let store = open(folder.path(), database.as_deref(), Purpose::Serving).await.unwrap();
        Self { store, folder, database }
    }

    /// The same data as another process has them.
    async fn beside(&self, purpose: Purpose) -> Result<Store, StoreError> {
        open(self.folder.path(), self.database.as_deref(), purpose).await
    }
}

/// A database of its own in the cluster of the test run, as a URL.
async fn new_database() -> Option<String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let Ok(cluster) = std::env::var("WAYSIDE_TEST_POSTGRES") else {
        assert!(std::env::var("CI").is_err(), "in CI PostgreSQL must be there");
        eprintln!("skipped on PostgreSQL: WAYSIDE_TEST_POSTGRES is not set");
        return None;
    };
    let name = format!("store_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let options = PgConnectOptions::from_str(&cluster).unwrap();
    let mut admin = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let create = format!("CREATE DATABASE {name}");
    admin.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    Some(options.database(&name).to_url_lossy().to_string())
}

async fn open(
    folder: &Path,
    database: Option<&str>,
    purpose: Purpose,
) -> Result<Store, StoreError> {
    Store::open(folder, database, purpose, Clock).await
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
    letters_of_whoever_sends_too_many_give_way => letters_give_way;
    what_was_acknowledged_is_there_after_opening_again => acknowledged_is_durable;
    changes_are_told_after_commit_and_in_order => told_in_order;
    a_snapshot_sees_one_moment => snapshot_is_one_moment;
    writers_that_wait_share_a_commit => writers_share_commits;
    a_taken_name_is_said_to_be_taken => taken_is_taken;
    lists_of_any_length_find_what_they_name => lists_of_any_length;
    states_are_changed_and_compared => states_change;
    what_is_written_again_is_not_removed => condemned_come_back;
    a_state_that_is_made_again_is_loose_anew => made_again_stays_loose;
    facts_of_the_node_never_change => facts_stay;
    names_of_files_that_never_come_are_given_up => names_are_given_up;
    events_of_any_kind_and_place_come_back => events_come_back;
    receipts_in_threads_give_way => receipts_give_way;
    requests_are_forgotten_the_oldest_first => requests_are_forgotten;
    what_servers_sent_is_bounded_and_forgotten => sendings_are_bounded;
    data_of_the_first_migration_stays => first_migration_stays;
    what_another_process_wrote_is_told_as_lost => others_are_told_as_lost;
}

mod waiting;

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

async fn letters_give_way(fresh: Fresh) {
    const FEW: i64 = 3;
    let (bob, cat) = (user_id!("@bob:a.test"), user_id!("@cat:a.test"));
    let sent = fresh.store.write::<(), StoreError>(move |tx| {
        Box::pin(async move {
            let device = "D".into();
            for sender in [cat, bob, bob, bob, bob] {
                tx.add_letter(ann(), device, sender, "t", "{}").await?;
            }
            tx.add_letter(ann(), device, cat, "t", &format!("{{\"a\":\"{}\"}}", "x".repeat(90)))
                .await
        })
    });
    sent.await.unwrap();
    let waiting = async || {
        let mut snapshot = fresh.store.snapshot().await.unwrap();
        let all = letters::letters(&mut snapshot, ann(), "D".into(), 0, 100).await.unwrap();
        let from = |who: &UserId| all.iter().filter(|it| it.sender == who).count();
        (from(bob), from(cat))
    };
    for (of_sender, of_all, stay) in [
        ((FEW, 1_000), 100, (3, 2)),
        // By bytes, of which the newest alone are too many.
        ((FEW, 90), 100, (3, 0)),
        ((FEW, 90), 2, (2, 0)),
        ((FEW, 90), 2, (2, 0)),
    ] {
        let mut snapshot = fresh.store.snapshot().await.unwrap();
        let found = letters::overfull(&mut snapshot, of_sender, of_all).await.unwrap();
        drop(snapshot);
        let forget = fresh.store.write::<(), StoreError>(move |tx| {
            Box::pin(async move {
                for over in &found {
                    tx.forget_overfull(over).await?;
                }
                Ok(())
            })
        });
        forget.await.unwrap();
        assert_eq!(waiting().await, stay, "{of_sender:?} {of_all}");
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
    assert!(matches!(lost, Err(StoreError::BrokenOff)));
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
            | Change::Keys { position, .. }
            | Change::Letter { position, .. }
            | Change::Account { position, .. }
            | Change::Outgoing { position, .. }
            | Change::Forgotten { position, .. }
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

async fn condemned_come_back(fresh: Fresh) {
    let changes: Vec<_> = (1..=500)
        .map(|n| (StateKey::new("m.test".into(), n.to_string()).hash(), Some(EventNo(n))))
        .collect();
    let done = fresh.store.write::<_, StoreError>(move |tx| {
        Box::pin(async move {
            let root = tx.change_state(NodeId::EMPTY, &changes).await?;
            let mut walk = loose::Walk::from([root]);
            while !walk.go_on(tx).await? {}
            let nodes = walk.met;
            tx.condemn(&nodes, 7).await?;
            tx.change_state(NodeId::EMPTY, &changes).await?;
            let written_again = tx.remove_condemned(&nodes, 7).await?;
            tx.condemn(&nodes, 7).await?;
            tx.condemn(&nodes, 8).await?;
            let of_another = tx.remove_condemned(&nodes, 7).await?;
            let own = tx.remove_condemned(&nodes, 8).await?;
            let (_, left) = tx.traces_of_room(0).await?;
            Ok((written_again, of_another, own == nodes.len() as u64, nodes.len() > 32, left))
        })
    });
    assert_eq!(done.await.unwrap(), (0, 0, true, true, 0));
}

async fn made_again_stays_loose(fresh: Fresh) {
    let root = NodeId([7; 16]);
    let done = fresh.store.write::<_, StoreError>(move |tx| {
        Box::pin(async move {
            tx.loosen(1, [root, NodeId::EMPTY], 5).await?;
            tx.loosen(1, [root], 10).await?;
            tx.fasten(1, &[root], 10).await?;
            let stays = loose::of_room(tx, 1).await?;
            tx.fasten(1, &[root], 11).await?;
            Ok((stays, loose::of_room(tx, 1).await?))
        })
    });
    assert_eq!(done.await.unwrap(), (vec![(root, 10)], Vec::new()));
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

/// An event of a room, of any type and state key.
fn event_of(room_id: &RoomId, kind: &str, key: Option<&str>) -> Event {
    let draft = Draft {
        kind: kind.into(),
        state_key: key.map(str::to_owned),
        sender: ann().to_owned(),
        content: RawValue::from_string("{}".to_owned()).unwrap(),
        redacts: None,
        origin_server_ts: ruma::MilliSecondsSinceUnixEpoch(ruma::uint!(1)),
    };
    let key = ServerKey::from_seed([7; 32], "test").unwrap();
    let heads = [(ruma::event_id!("$before").to_owned(), 1)];
    draft.seal(RoomVersion::V11, Some(room_id), &heads, Vec::new(), &key).unwrap()
}

fn room_row(room_id: &RoomId, kind: Option<&str>) -> RoomRow {
    RoomRow {
        room_no: 7,
        room_id: room_id.to_owned(),
        version: RoomVersion::V11,
        kind: kind.map(str::to_owned),
        heads: Vec::new(),
        state_root: NodeId::EMPTY,
        last_position: 1,
        joined: 0,
        invited: 0,
        published: false,
        others: 0,
        since_depth: 0,
    }
}

async fn events_come_back(fresh: Fresh) {
    let room_id = ruma::room_id!("!room:a.test");
    let root = |byte| NodeId([byte; 16]);
    let line = Roots::in_line(root(1), root(2));
    let fork = Roots { room_before: root(3), room_after: root(4), ..line };
    // An outlier; the timeline; a branch beside it; and two of a time before this node was there.
    let cases = [
        ("a\0b", Some("c"), None, None),
        ("m.room.name", Some(""), Some(5), Some(line)),
        ("m.room.topic", Some("\0\u{1}"), Some(6), Some(fork)),
        ("m.room.message", None, Some(-9), Some(Roots { room_after: root(4), ..line })),
        ("m.room.message", Some("x"), Some(-10), Some(line)),
    ];
    let stored: Vec<StoredEvent> = cases
        .iter()
        .zip(100..)
        .map(|((kind, key, position, roots), number)| StoredEvent {
            event: event_of(room_id, kind, *key),
            event_no: EventNo(number),
            room_no: 7,
            position: *position,
            verdict: Verdict::Accepted,
            roots: *roots,
            redacted_by: None,
        })
        .collect();
    let given = stored.clone();
    let case = fresh.store.write::<(), StoreError>(move |tx| {
        Box::pin(async move {
            tx.add_room(&room_row(room_id, Some("a\0room"))).await?;
            tx.add_events(&given).await?;
            for one in &given {
                let kind = one.event.kind().to_string();
                if let Some(key) = one.event.state_key() {
                    tx.set_state(7, &[(kind, key, one.event_no)]).await?;
                }
            }
            Ok(())
        })
    });
    case.await.unwrap();
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let room = rooms::room(&mut snapshot, room_id).await.unwrap().unwrap();
    assert_eq!(room.kind.as_deref(), Some("a\0room"));
    for one in &stored {
        let found = events::by_id(&mut snapshot, one.event.id()).await.unwrap().unwrap();
        assert_eq!((found.position, found.roots), (one.position, one.roots));
        assert_eq!(found.event.json(), one.event.json());
    }
    let held = rooms::state_events(&mut snapshot, 7, rooms::StateOf::Kind("a\0b")).await.unwrap();
    assert_eq!(held, [EventNo(100)]);
    assert_eq!(rooms::state_events(&mut snapshot, 7, rooms::StateOf::All).await.unwrap().len(), 4);
    let positions = async |snapshot: &mut Snapshot, stretch| {
        let found = events::timeline(snapshot, 7, stretch, 10).await.unwrap();
        found.into_iter().filter_map(|it| it.position).collect::<Vec<_>>()
    };
    let back = Stretch::Back { upto: 5, after: i64::MIN };
    assert_eq!(positions(&mut snapshot, back).await, [5, -9, -10]);
    let forth = Stretch::Forth { after: -10, upto: i64::MAX };
    assert_eq!(positions(&mut snapshot, forth).await, [-9, 5, 6]);
}

async fn receipts_give_way(fresh: Fresh) {
    let most = wayside_specs::limits::THREAD_RECEIPTS_PER_USER;
    let bob = user_id!("@bob:a.test");
    let case = fresh.store.write::<(), StoreError>(move |tx| {
        Box::pin(async move {
            let event = ruma::event_id!("$event");
            tx.set_receipt(7, ann(), "m.read", None, event, 1).await?;
            tx.set_receipt(7, bob, "m.read.private", None, event, 1).await?;
            for thread in 0..most + 5 {
                let thread = format!("$t{thread}");
                tx.set_receipt(7, ann(), "m.read", Some(&thread), event, 1).await?;
            }
            Ok(())
        })
    });
    case.await.unwrap();
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let told = async |snapshot: &mut Snapshot, who: &UserId| {
        people::receipts_since(snapshot, 7, who, 0).await.unwrap()
    };
    let own = told(&mut snapshot, ann()).await;
    let most = usize::try_from(most).unwrap();
    assert_eq!(own.len(), most + 1, "that of the whole room stays");
    let threads: Vec<_> = own.iter().filter_map(|it| it.thread.as_deref()).collect();
    assert!(threads.contains(&"$t5") && !threads.contains(&"$t4"), "the oldest give way");
    let others = told(&mut snapshot, bob).await;
    assert_eq!(others.len(), most + 2);
    let private = |it: &people::Receipt| it.kind == "m.read.private";
    assert!(others.iter().any(private) && !own.iter().any(private));
}

async fn requests_are_forgotten(fresh: Fresh) {
    let device = ruma::device_id!("phone");
    let case = fresh.store.write::<_, StoreError>(move |tx| {
        Box::pin(async move {
            for at in 0..20_i64 {
                let (txn, event) = (format!("t{at}"), format!("$e{at}"));
                let event = <&ruma::EventId>::try_from(event.as_str()).unwrap();
                tx.remember_request(ann(), device, "send", &txn, event, at / 2).await?;
            }
            Ok([tx.forget_requests(8, 5).await?, tx.forget_requests(8, 100).await?])
        })
    });
    assert_eq!(case.await.unwrap(), [6, 10], "those of one time go together");
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    assert_eq!(events::oldest_request(&mut snapshot).await.unwrap(), Some(8));
    for (txn, there) in [("t15", false), ("t16", true)] {
        let made = events::made_by(&mut snapshot, ann(), device, "send", txn).await.unwrap();
        assert_eq!(made.is_some(), there, "{txn}");
    }
}

async fn sendings_are_bounded(fresh: Fresh) {
    let (busy, seldom) = (ruma::server_name!("busy.test"), ruma::server_name!("seldom.test"));
    let case = fresh.store.write::<_, StoreError>(move |tx| {
        Box::pin(async move {
            for at in 0..1_500_i64 {
                tx.remember_answer(busy, &format!("t{at}"), "{}", at).await?;
                tx.remember_left(busy, &format!("m{at}"), at).await?;
            }
            tx.remember_answer(seldom, "t0", "{}", 0).await?;
            tx.remember_left(seldom, "m0", 0).await?;
            tx.bound_answers(busy, 1_200).await?;
            tx.bound_left(busy, 1_100).await?;
            Ok([
                tx.is_left(busy, "m399").await?,
                tx.is_left(busy, "m400").await?,
                tx.is_left(seldom, "m0").await?,
            ])
        })
    });
    assert_eq!(case.await.unwrap(), [false, true, true], "the older ones of that server go");
    let answered = async |server, txn_id| {
        let mut snapshot = fresh.store.snapshot().await.unwrap();
        outgoing::answered(&mut snapshot, server, txn_id).await.unwrap().is_some()
    };
    assert!(!answered(busy, "t299").await && answered(busy, "t300").await);
    assert!(answered(seldom, "t0").await);
    // More than one piece of each is old.
    let forget = fresh.store.forget(|tx| Box::pin(async { tx.forget_answers(1_450).await }));
    forget.await.unwrap();
    let forget = fresh.store.forget(|tx| Box::pin(async { tx.forget_letter_ids(1_450).await }));
    forget.await.unwrap();
    assert!(!answered(busy, "t1449").await && answered(busy, "t1450").await);
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    assert_eq!(edus::oldest_letter(&mut snapshot).await.unwrap(), Some(1_450));
}

/// What a node wrote that knew only the first migration is there after the others.
async fn first_migration_stays(fresh: Fresh) {
    let Fresh { store, folder, database } = fresh;
    store.close().await;
    let first = |postgres| {
        let all = dialect::migrator(postgres);
        sqlx::migrate::Migrator::with_migrations(all.iter().take(1).cloned().collect())
    };
    let mut conn = if let Some(url) = &database {
        let mut conn = sqlx::PgConnection::connect(url).await.unwrap();
        conn.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await.unwrap();
        first(true).run_direct(None, &mut conn, false).await.unwrap();
        Conn::new(db::Link::Postgres(conn))
    } else {
        let path = folder.path().join("wayside.db");
        std::fs::remove_file(&path).unwrap();
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut conn = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        first(false).run_direct(None, &mut conn, false).await.unwrap();
        Conn::new(db::Link::Sqlite(conn))
    };
    let room_id = ruma::room_id!("!room:a.test");
    let event = event_of(room_id, "m.room.name", Some(""));
    let sql = "INSERT INTO account_data (user_id, room_no, kind, content, position) \
               VALUES ('@ann:a.test', 0, 'kind', '{}', 2)";
    conn.query(sql).run().await.unwrap();
    let sql = "INSERT INTO rooms (room_no, room_id, version, heads, state_root, last_position, joined, \
               invited, published) VALUES (7, '!room:a.test', '11', '', $1, 5, 0, 0, 0)";
    conn.query(sql).bind(vec![2_u8; 16]).run().await.unwrap();
    let sql = "INSERT INTO events (event_no, event_id, room_no, position, verdict, kind, state_key, sender, \
               state_before, state_after, pdu) VALUES (5, $1, 7, 5, 0, 'm.room.name', '', '@ann:a.test', \
               $2, $3, $4)";
    let query = conn.query(sql).bind(event.id().as_str()).bind(vec![1_u8; 16]);
    query.bind(vec![2_u8; 16]).bind(event.json()).run().await.unwrap();
    drop(conn);

    let opened = open(folder.path(), database.as_deref(), Purpose::Serving).await;
    let store = opened.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    let found = events::by_id(&mut snapshot, event.id()).await.unwrap().unwrap();
    assert_eq!(found.roots, Some(Roots::in_line(NodeId([1; 16]), NodeId([2; 16]))));
    assert_eq!(people::data_size(&mut snapshot, ann()).await.unwrap(), (1, 6));
}

async fn others_are_told_as_lost(fresh: Fresh) {
    put(&fresh.store, "before", false).await.unwrap();
    let mut heard = fresh.store.bus().listen();
    let other = fresh.beside(Purpose::Command).await.unwrap();
    put(&other, "theirs", false).await.unwrap();
    let theirs = other.snapshot().await.unwrap().position().await.unwrap();
    other.close().await;
    put(&fresh.store, "mine", false).await.unwrap();
    let lost = heard.recv().await.unwrap();
    assert!(lost.lost && lost.changes.is_empty(), "{lost:?}");
    assert!(lost.position >= theirs, "it covers what the other process wrote");
    let mine = heard.recv().await.unwrap();
    assert!(!mine.lost && mine.changes.len() == 1 && mine.position > theirs, "{mine:?}");
}
