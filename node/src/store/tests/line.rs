//! What becomes of the store when the way to PostgreSQL breaks, or when two want to serve it.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::*;

/// Far longer than anything here takes.
const LONG: Duration = Duration::from_mins(1);

/// What a way to the server does with what passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Hands it on.
    Open,
    /// Hands a COMMIT on and breaks off when the server has answered it, then is open again.
    CutAtCommit,
    /// Lets nothing pass, and does not say so: as when the server's process is stopped.
    Held,
}

/// A way to the cluster of the test run that can break.
struct Road {
    folder: tempfile::TempDir,
    way: watch::Sender<Way>,
    _travellers: JoinSet<()>,
}

impl Road {
    /// A road to the server of `database`, and the database's URL by that road; nothing where the
    /// server has no socket in the file system.
    fn build(database: &str) -> Option<(Self, String)> {
        let options = PgConnectOptions::from_str(database).unwrap();
        let Some(server) = options.get_socket() else {
            eprintln!("skipped: the server of WAYSIDE_TEST_POSTGRES has no socket here");
            return None;
        };
        let server = server.join(format!(".s.PGSQL.{}", options.get_port()));
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).unwrap();
        let way = watch::Sender::new(Way::Open);
        let mut travellers = JoinSet::new();
        let told = way.clone();
        travellers.spawn(async move {
            let mut pairs = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&server).await.unwrap();
                pairs.spawn(travel(client, server, told.clone()));
            }
        });
        let url = options.socket(folder.path()).port(5432).to_url_lossy().to_string();
        Some((Self { folder, way, _travellers: travellers }, url))
    }

    async fn store(&self, url: &str) -> Store {
        open(self.folder.path(), Some(url), Purpose::Serving).await.unwrap()
    }
}

/// Carries bytes both ways until one side, or the way, breaks off.
async fn travel(mut client: UnixStream, mut server: UnixStream, way: watch::Sender<Way>) {
    let (mut up, mut down) = (vec![0; 65_536], vec![0; 65_536]);
    loop {
        tokio::select! {
            read = client.read(&mut up) => {
                let Ok(read @ 1..) = read else { return };
                free(&way).await;
                if server.write_all(&up[..read]).await.is_err() {
                    return;
                }
                let commits = up[..read].windows(6).any(|word| word == b"COMMIT");
                if commits && *way.borrow() == Way::CutAtCommit {
                    let _answered = server.read(&mut down).await;
                    way.send_replace(Way::Open);
                    return;
                }
            }
            read = server.read(&mut down) => {
                let Ok(read @ 1..) = read else { return };
                free(&way).await;
                if client.write_all(&down[..read]).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn free(way: &watch::Sender<Way>) {
    let mut way = way.subscribe();
    // The road goes with its builder; then nothing passes any more either.
    drop(way.wait_for(|way| *way != Way::Held).await);
}

/// Tries until the store takes the change, as people do.
async fn put_at_last(store: &Store, kind: &str) {
    let tries = async {
        while put(store, kind, false).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, tries).await.expect("the store takes changes again");
}

/// Ends all sessions of a database from outside, as an operator or a restart of the server does.
async fn end_sessions(database: &str) {
    let options = PgConnectOptions::from_str(database).unwrap();
    let mut admin = sqlx::PgConnection::connect_with(&options).await.unwrap();
    let end = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    admin.execute(end).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_told_as_lost() {
    let Some(database) = new_database().await else { return };
    let Some((road, url)) = Road::build(&database) else { return };
    let store = road.store(&url).await;
    put(&store, "before", false).await.unwrap();
    let mut heard = store.bus().listen();
    road.way.send_replace(Way::CutAtCommit);
    put(&store, "cut", false).await.unwrap_err();
    assert!(kinds(&store).await.contains("cut"), "the server has kept it");
    let position = store.snapshot().await.unwrap().position().await.unwrap();
    let commit = timeout(LONG, heard.recv()).await.unwrap().unwrap();
    assert!(commit.lost && commit.position >= position, "{commit:?}");
    put_at_last(&store, "after").await;
    store.close().await;
}

#[tokio::test]
async fn a_database_is_served_by_one_process() {
    let Some(fresh) = Fresh::postgres().await else { return };
    let second = fresh.beside(Purpose::Serving).await.unwrap_err();
    assert!(matches!(second, StoreError::Served), "{second:?}");
    let command = fresh.beside(Purpose::Command).await.unwrap();
    put(&command, "by a command", false).await.unwrap();
    command.close().await;
    put(&fresh.store, "by the one that serves", false).await.unwrap();

    // The connection is lost and taken again: the database is still this one's.
    let database = fresh.database.clone().unwrap();
    end_sessions(&database).await;
    put_at_last(&fresh.store, "again").await;
    let second = fresh.beside(Purpose::Serving).await.unwrap_err();
    assert!(matches!(second, StoreError::Served), "{second:?}");

    fresh.store.close().await;
    let next = fresh.beside(Purpose::Serving).await.unwrap();
    put(&next, "by the next", false).await.unwrap();
    next.close().await;
}

#[tokio::test]
async fn whoever_lost_the_database_to_another_writes_nothing() {
    let Some(fresh) = Fresh::postgres().await else { return };
    end_sessions(fresh.database.as_deref().unwrap()).await;
    let other = fresh.beside(Purpose::Serving).await.unwrap();
    let refused = async {
        while !matches!(put(&fresh.store, "mine", false).await, Err(StoreError::Served)) {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, refused).await.expect("it is said that another node serves");
    assert!(!kinds(&other).await.contains("mine"), "nothing was written meanwhile");
    other.close().await;
    put_at_last(&fresh.store, "mine").await;
    fresh.store.close().await;
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_reached_again() {
    let Some(database) = new_database().await else { return };
    let Some((road, url)) = Road::build(&database) else { return };
    let store = road.store(&url).await;
    put(&store, "before", false).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();

    road.way.send_replace(Way::Held);
    let all = async {
        tokio::join!(
            put(&store, "first", false),
            put(&store, "second", false),
            async { snapshot.position().await.map(drop) },
            async { store.snapshot().await.map(drop) },
        )
    };
    let (first, second, view, new_view) = timeout(LONG, all).await.expect("nobody waits for ever");
    for ended in [first, second, view, new_view] {
        assert!(matches!(ended, Err(StoreError::Silent(_) | StoreError::Busy)), "{ended:?}");
    }
    // From now on it is known that the server hangs, and nobody waits for more than one attempt.
    let refused = timeout(LONG / 4, put(&store, "third", false)).await.expect("refused soon");
    assert!(matches!(refused, Err(StoreError::Silent(_))), "{refused:?}");
    drop(snapshot);

    road.way.send_replace(Way::Open);
    put_at_last(&store, "after").await;
    let mut found = kinds(&store).await;
    // Whether the first two were kept before the way was held is not known, but they were told so.
    found.retain(|kind| ["before", "third", "after"].contains(&kind.as_str()));
    assert_eq!(found, HashSet::from(["before".to_owned(), "after".to_owned()]));
    store.close().await;
}

#[tokio::test]
async fn every_session_asks_for_what_the_node_promises() {
    let Some(database) = new_database().await else { return };
    let options = PgConnectOptions::from_str(&database).unwrap();
    let mut admin = sqlx::PgConnection::connect_with(&options).await.unwrap();
    // The settings of the server and of the database are not the node's to trust.
    let name = options.get_database().unwrap();
    for setting in ["synchronous_commit = off", "statement_timeout = 0", "lock_timeout = 0"] {
        let alter = format!("ALTER DATABASE {name} SET {setting}");
        admin.execute(sqlx::AssertSqlSafe(alter)).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path(), Some(&database), Purpose::Serving).await.unwrap();
    let sql = "SELECT concat_ws(' ', current_setting('synchronous_commit'), \
               current_setting('statement_timeout'), current_setting('lock_timeout'), \
               current_setting('idle_in_transaction_session_timeout'))";
    let reads = store.snapshot().await.unwrap().conn.query(sql).one().await.unwrap().unwrap();
    let writes = store.write::<String, StoreError>(move |tx| {
        Box::pin(async move { tx.query(sql).one().await?.unwrap().get(0) })
    });
    for settings in [reads.get::<String>(0).unwrap(), writes.await.unwrap()] {
        assert_eq!(settings, "on 10s 5s 1min");
    }
    store.close().await;
}

#[tokio::test]
async fn a_store_closes_in_time_though_the_server_hangs() {
    let Some(database) = new_database().await else { return };
    let Some((road, url)) = Road::build(&database) else { return };
    let store = road.store(&url).await;
    put(&store, "before", false).await.unwrap();
    let _reads = store.snapshot().await.unwrap();
    road.way.send_replace(Way::Held);
    let begun = Clock.instant();
    let (told, ()) = timeout(LONG, async {
        tokio::join!(put(&store, "late", false), async {
            tokio::task::yield_now().await;
            store.close().await;
        })
    })
    .await
    .expect("it closes");
    assert!(begun.elapsed() < Duration::from_secs(4), "it took {:?}", begun.elapsed());
    assert!(matches!(told, Err(StoreError::Stopped)), "{told:?}");
}
