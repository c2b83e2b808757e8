//! `make bench`: measures the release build of the node, a row per number, into `out/bench.json`.
//!
//! `ONLY=prefix` measures the rows whose names start so and leaves the others in the file as they
//! were. A row over its limit is shown, not punished: the exit code says only whether it all ran.

mod ground;
mod rows;

use std::{env, path::Path, process::ExitCode};

use anyhow::Result;

use rows::{Book, Row};

const BOOK: &str = "out/bench.json";

/// What is measured together, because one preparation serves all of its rows.
///
/// To add rows: name them in a group here (or in a new one), and measure them in the function that
/// `measure` calls for it.
#[derive(Clone, Copy, Debug)]
enum Group {
    Binary,
    Disk,
    Sqlite,
    Postgres,
}

const GROUPS: &[(Group, &[&str])] = &[
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
];

async fn measure(group: Group) -> Result<Vec<Row>> {
    match group {
        Group::Binary => ground::binary(),
        Group::Disk => ground::disk(),
        Group::Sqlite => ground::sqlite().await,
        Group::Postgres => ground::postgres().await,
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let only = env::var("ONLY").unwrap_or_default();
    let mut book = Book::open(Path::new(BOOK))?;
    let mut all_ran = true;
    for (group, names) in GROUPS {
        if !names.iter().any(|name| name.starts_with(&only)) {
            continue;
        }
        eprintln!("measuring {}", names.join(", "));
        match measure(*group).await {
            Ok(rows) => book.enter(rows.into_iter().filter(|row| row.name.starts_with(&only))),
            Err(error) => {
                eprintln!("{group:?} could not be measured: {error:#}");
                all_ran = false;
            }
        }
    }
    book.save()?;
    print!("{book}");
    Ok(if all_ran { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
