//! `make bench`: measures the release build of the node, a row per number, into `out/bench.json`.
//!
//! `ONLY=prefix` measures the rows whose names start so and leaves the others in the file as they
//! were. A row over its limit is shown, not punished; so is one that could not be measured.

mod federation;
mod ground;
mod line;
mod matrix;
mod process;
mod rows;
mod seen;
mod travel;
mod world;

use std::{env, path::Path};

use anyhow::Result;

use rows::{Book, Row};

const BOOK: &str = "out/bench.json";

/// What is measured together, because one preparation serves all of its rows.
///
/// To add rows: name them in a group here (or in a new one), and measure them in the function that
/// `measure` calls for it.
#[derive(Clone, Copy, Debug)]
enum Group {
    Rules,
    Binary,
    Disk,
    Sqlite,
    Postgres,
    Synapse,
    MatrixPostgres,
    Pollers,
    Files,
    Bots,
    Pages,
    Inbound,
    Seen,
    Conflicts,
    Branches,
    LargeJoin,
    Idle,
    RealJoin,
    Proofs,
    Travel,
}

const GROUPS: &[(Group, &[&str])] = &[
    (
        Group::Rules,
        &[
            "ground.state_event_v10_us",
            "ground.state_event_v10_growth",
            "ground.state_event_v11_us",
            "ground.state_event_v11_growth",
            "ground.state_event_v12_us",
            "ground.state_event_v12_growth",
        ],
    ),
    (Group::Binary, &["ground.binary_mb"]),
    (Group::Disk, &["ground.fsync_floor_per_s"]),
    (
        Group::Sqlite,
        &[
            "ground.events_per_s_sqlite",
            "ground.tx_per_fsync",
            "ground.restart_ready_ms",
            "ground.rss_idle_mb",
        ],
    ),
    (Group::Postgres, &["ground.events_per_s_postgres"]),
    (
        Group::Synapse,
        &[
            "matrix.messages_ratio",
            "matrix.messages_per_s",
            "matrix.seen_p50_ratio",
            "matrix.seen_p99_ratio",
            "matrix.seen_p50_ms",
            "matrix.seen_control_p99_ms",
            "matrix.initial_sync_ratio",
            "matrix.initial_sync_ms",
            "matrix.quiet_sync_cpu_ms",
            "matrix.rss_ratio",
        ],
    ),
    (
        Group::MatrixPostgres,
        &[
            "matrix.messages_per_s_postgres",
            "matrix.seen_p50_ms_postgres",
            "matrix.initial_sync_ms_postgres",
            "matrix.quiet_sync_cpu_ms_postgres",
        ],
    ),
    (Group::Pollers, &["matrix.pollers_mb"]),
    (
        Group::Files,
        &[
            "world.body_ms",
            "world.body_kb",
            "world.inspect_s",
            "world.plaza_ms",
            "world.plaza_mb",
            "world.scene_ms",
        ],
    ),
    (
        Group::Bots,
        &[
            "world.bot_cpu_ms_per_s",
            "world.body_bytes_per_s",
            "world.tick_late_p50_us",
            "world.tick_late_p99_us",
            "world.tick_work_p99_us",
        ],
    ),
    (
        Group::Pages,
        &["world.first_step_s", "world.page_mb", "world.frame_ratio", "world.script_ms"],
    ),
    (
        Group::Inbound,
        &[
            "federation.inbound_ratio",
            "federation.inbound_per_s",
            "federation.inbound_synapse_per_s",
            "federation.inbound_cpu_us",
            "federation.inbound_many_per_s",
        ],
    ),
    (
        Group::Seen,
        &[
            "federation.seen_p50_ms",
            "federation.seen_p99_ms",
            "federation.seen_control_p99_ms",
            "federation.seen_synapse_p50_ms",
            "federation.seen_synapse_p99_ms",
            "federation.seen_p50_ratio",
            "federation.seen_p99_ratio",
        ],
    ),
    (Group::Conflicts, &["federation.resolution_ms"]),
    (
        Group::Branches,
        &[
            "federation.branches_ms",
            "federation.branches_cpu_ms",
            "federation.branches_local_send_p99_ms",
            "federation.branches_control_p99_ms",
            "federation.branches_rss_mb",
        ],
    ),
    (
        Group::LargeJoin,
        &[
            "federation.join_5000_ratio",
            "federation.join_5000_s",
            "federation.join_5000_synapse_s",
            "federation.join_5000_rss_mb",
            "federation.join_5000_synapse_rss_mb",
            "federation.join_5000_local_send_p99_ms",
        ],
    ),
    (Group::Idle, &["federation.idle_cpu_ms_per_min", "federation.idle_requests"]),
    (Group::RealJoin, &["federation.join_500_s", "federation.join_500_synapse_s"]),
    (
        Group::Proofs,
        &[
            "identity.signatures_per_s",
            "identity.did_proofs_per_s",
            "identity.webvh_log_ms",
            "identity.jcs_credentials_per_s",
            "identity.rdfc_credentials_per_s",
        ],
    ),
    (
        Group::Travel,
        &[
            "identity.visit_cold_p50_ms",
            "identity.visit_warm_p50_ms",
            "identity.visit_home_p50_ms",
            "identity.portal_walks_lost",
            "identity.portal_walk_p50_ms",
        ],
    ),
];

async fn measure(group: Group) -> Result<Vec<Row>> {
    match group {
        Group::Rules => ground::rules(),
        Group::Binary => ground::binary(),
        Group::Disk => ground::disk(),
        Group::Sqlite => ground::sqlite().await,
        Group::Postgres => ground::postgres().await,
        Group::Synapse => matrix::beside_synapse().await,
        Group::MatrixPostgres => matrix::on_postgres().await,
        Group::Pollers => matrix::pollers().await,
        Group::Files => world::files(),
        Group::Bots => world::bots().await,
        Group::Pages => world::pages().await,
        Group::Inbound => federation::inbound().await,
        Group::Seen => federation::seen().await,
        Group::Proofs => ground::pure("wayside-identity", "costs"),
        Group::Conflicts => federation::conflicts(),
        Group::Branches => federation::branches().await,
        Group::LargeJoin => federation::large_join().await,
        Group::Travel => travel::rows().await,
        Group::Idle => federation::idle().await,
        Group::RealJoin => federation::real_join().await,
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let only = env::var("ONLY").unwrap_or_default();
    let mut book = Book::open(Path::new(BOOK))?;
    for (group, names) in GROUPS {
        if !names.iter().any(|name| name.starts_with(&only)) {
            continue;
        }
        eprintln!("measuring {}", names.join(", "));
        let rows = measure(*group).await.unwrap_or_else(|error| {
            eprintln!("{group:?} could not be measured: {error:#}");
            names.iter().map(|name| Row::unmeasured(name, &error)).collect()
        });
        book.enter(rows.into_iter().filter(|row| row.name.starts_with(&only)));
    }
    book.save()?;
    print!("{book}");
    Ok(())
}
