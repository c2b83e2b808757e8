//! What becomes of the store when SQLite fails or is kept busy, and when it is closed under load.

use std::time::Duration;

use tokio::{sync::oneshot, time::timeout};

use super::*;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_mins(1);
/// More than there is room for.
const HUGE: usize = 4 * 1024 * 1024;

/// A store whose file cannot grow by more than a few pages.
async fn small_store() -> Fresh {
    let fresh = Fresh::sqlite().await;
    limit_pages(&fresh.store, 20).await;
    fresh
}

/// Lets the file grow by so many pages from now on.
async fn limit_pages(store: &Store, more: i64) {
    let case = store.write::<(), StoreError>(move |tx| {
        Box::pin(async move {
            let count: i64 = tx.query("PRAGMA page_count").one().await?.unwrap().get(0)?;
            let limit = format!("PRAGMA max_page_count = {}", count + more);
            let Link::Sqlite(conn) = &mut tx.conn.link else { panic!("this is SQLite") };
            conn.execute(sqlx::AssertSqlSafe(limit)).await?;
            Ok(())
        })
    });
    case.await.unwrap();
}

/// Writes a megabyte.
async fn large(store: &Store, n: i64) {
    let case = store.write::<(), StoreError>(move |tx| {
        Box::pin(async move {
            let content = "x".repeat(1024 * 1024);
            let item = DataItem { room_no: n, kind: "large".into(), content };
            tx.set_data_item(ann(), &item).await.map(drop)
        })
    });
    case.await.unwrap();
}

/// Keeps the writer busy until the sender speaks, so that those who come are one group.
async fn gate(store: &Store) -> (oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let (open, opened) = oneshot::channel::<()>();
    let (begin, begun) = oneshot::channel::<()>();
    let store = store.clone();
    let gate = tokio::spawn(async move {
        let case = store.write::<(), StoreError>(|_| {
            Box::pin(async move {
                begin.send(()).unwrap();
                drop(opened.await);
                Ok(())
            })
        });
        // It is of the group, and told what the group is told.
        drop(case.await);
    });
    begun.await.unwrap();
    (open, gate)
}

#[tokio::test]
async fn a_full_disk_is_told_to_all_whom_it_undid() {
    let fresh = small_store().await;
    let store = &fresh.store;
    let (open, gate) = gate(store).await;
    let fills = store.write::<(), StoreError>(|tx| {
        Box::pin(async move { tx.settle_node_fact("huge", &vec![7; HUGE]).await.map(drop) })
    });
    let all = async { tokio::join!(put(store, "one", false), fills, put(store, "two", false)) };
    let opens = async {
        // All three wait by then: they are looked at before this is.
        tokio::task::yield_now().await;
        open.send(()).unwrap();
    };
    let ((one, full, two), ()) = timeout(LONG, async { tokio::join!(all, opens) }).await.unwrap();
    assert!(matches!(full, Err(StoreError::Full)), "{full:?}");
    let kept = kinds(store).await;
    for (kind, told) in [("one", one), ("two", two)] {
        assert!(matches!(told, Ok(()) | Err(StoreError::Full)), "{kind} was told {told:?}");
        assert_eq!(kept.contains(kind), told.is_ok(), "{kind} is there if it was said to be");
    }
    gate.await.unwrap();
    limit_pages(store, 100_000).await;
    put(store, "later", false).await.unwrap();
}

#[tokio::test]
async fn nothing_is_written_beside_a_transaction_that_was_undone() {
    let fresh = small_store().await;
    let careless = fresh.store.write::<(), StoreError>(|tx| {
        Box::pin(async move {
            let _passed_over = tx.settle_node_fact("huge", &vec![7; HUGE]).await;
            let item = DataItem { room_no: 0, kind: "beside".into(), content: "{}".into() };
            let _passed_over = tx.set_data_item(ann(), &item).await;
            Ok(())
        })
    });
    let told = careless.await;
    assert!(matches!(told, Err(StoreError::Full)), "{told:?}");
    assert_eq!(kinds(&fresh.store).await, HashSet::new(), "all of it was undone");
    put(&fresh.store, "later", false).await.unwrap();
}

#[tokio::test]
async fn the_log_of_changes_is_copied_and_begins_anew() {
    let fresh = Fresh::sqlite().await;
    let store = &fresh.store;
    let database = fresh.folder.path().join("wayside.db");
    let length = || std::fs::metadata(&database).unwrap().len();
    let (before, kept) = (length(), kept());
    for n in 0..20 {
        large(store, n).await;
    }
    let copied = async {
        while length() < before + 16 * 1024 * 1024 {
            put(store, "small", false).await.unwrap();
        }
    };
    timeout(LONG / 4, copied).await.expect("it is copied");
    // Far more than the log may hold, of which everything is there.
    for n in 0..100 {
        large(store, n).await;
    }
    bounded(store).await;
    assert!(store.wal_bytes().unwrap() > kept / 4, "it is not cut: to grow again would cost more");
    put(store, "small", false).await.unwrap();
    assert_eq!(kinds(store).await, HashSet::from(["large".to_owned(), "small".to_owned()]));
}

/// What the log's file keeps of its length.
fn kept() -> u64 {
    u64::try_from(wal::KEPT).unwrap()
}

/// Waits until the log is no longer than it may be, while others write.
async fn bounded(store: &Store) {
    let bounded = async {
        while store.wal_bytes().unwrap() > kept() {
            put(store, "small", false).await.unwrap();
        }
    };
    timeout(LONG / 4, bounded).await.expect("it is bounded again");
}

#[tokio::test]
async fn the_log_of_changes_shrinks_when_the_last_long_reader_is_gone() {
    let fresh = Fresh::sqlite().await;
    let store = &fresh.store;
    let mut reader = store.snapshot().await.unwrap();
    reader.position().await.unwrap();
    for n in 0..56 {
        large(store, n).await;
    }
    let grown = store.wal_bytes().unwrap();
    assert!(grown > kept(), "{grown} bytes: the reader needs what is older");
    drop(reader);
    bounded(store).await;
    put(store, "small", false).await.unwrap();
    assert_eq!(kinds(store).await, HashSet::from(["large".to_owned(), "small".to_owned()]));
}

#[tokio::test]
async fn a_store_under_load_closes_in_time() {
    let fresh = Fresh::sqlite().await;
    // More than one group takes, so that somebody waits after every one of them.
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..600 {
        let store = fresh.store.clone();
        writers.spawn(async move {
            let mut acknowledged = 0_u32;
            loop {
                match put(&store, &format!("w{writer}"), false).await {
                    Ok(()) => acknowledged += 1,
                    Err(error) => return (acknowledged, error),
                }
            }
        });
    }
    put(&fresh.store, "among them", false).await.unwrap();
    let begun = Clock.instant();
    timeout(LONG, fresh.store.close()).await.expect("the end is seen though others wait");
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    while let Some(ended) = timeout(LONG, writers.join_next()).await.unwrap() {
        let (_, error) = ended.unwrap();
        assert!(matches!(error, StoreError::Stopped), "{error:?}");
    }
}
