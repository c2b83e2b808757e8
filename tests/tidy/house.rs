//! Rules over places: what may stand where in the house, and what only one file may do.

use crate::{
    Rule,
    rust_file::RustFile,
    tree::{Tree, Violation},
};

/// All that may stand at the top.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "Makefile",
    "README.md",
    "LICENSE",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
    ".gitattributes",
    ".gitignore",
    ".ci",
    "client-xr",
    "conformance",
    "federation",
    "identity",
    "node",
    "specs",
    "tests",
];

const PURE: &[&str] = &["specs/", "identity/", "federation/", "node/world/"];

/// Folders of machines and people, in two parts so that this file does not hold them.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/wo", "rk/")];

/// How an SQL statement begins, and a word that must follow for it to be one.
const STATEMENTS: &[(&str, &str)] = &[
    ("select ", " from "),
    ("select ", "("),
    ("insert into ", " "),
    ("update ", " set "),
    ("delete from ", " "),
    ("create table ", " "),
    ("create index ", " "),
    ("alter table ", " "),
    ("drop table ", " "),
    ("pragma ", ""),
    ("savepoint ", ""),
];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "at the top stands only what the map shows",
        check: top_level,
        broken: &[&[("notes.md", "")], &[("scripts/run.sh", "")]],
        clean: &[&[("Cargo.toml", ""), ("tests/tidy.rs", ""), (".ci/run", ""), ("README.md", "")]],
    },
    Rule {
        name: "no file names a folder of somebody's machine",
        check: machine_paths,
        broken: &[
            &[("README.md", concat!("see /ro", "ot/notes\n"))],
            &[("a.sh", concat!("cd /ho", "me/me\n"))],
        ],
        clean: &[&[("README.md", "see ./notes, $HOME/.cache and /var/tmp/\n")]],
    },
    Rule {
        name: "SQL stands only under node/src/store",
        check: sql_in_store,
        broken: &[
            &[("node/src/services/a.rs", "fn f() { g(\"SELECT id FROM rooms WHERE id = $1\") }")],
            &[("node/src/app.rs", "fn f() { g(r#\"\n  INSERT INTO rooms (id) VALUES ($1)\"#) }")],
            &[("node/src/ops/backup.rs", "use sqlx::Row;")],
        ],
        clean: &[&[
            ("node/src/store/rooms.rs", "use sqlx::Row; fn f() { g(\"SELECT id FROM rooms\") }"),
            (
                "node/src/services/a.rs",
                "fn f() { g(\"select a room from the list\"); h(\"update failed\") }",
            ),
        ]],
    },
    Rule {
        name: "the one HTTP client is in node/src/outbound",
        check: one_http_client,
        broken: &[
            &[("node/src/services/a.rs", "use reqwest::Client;")],
            &[("node/src/app.rs", "fn f() { reqwest::get(a); }")],
        ],
        clean: &[&[
            ("node/src/outbound.rs", "use reqwest::Client;"),
            ("node/src/outbound/chosen.rs", "use reqwest::Client;"),
            ("tests/src/client.rs", "use reqwest::Client;"),
        ]],
    },
    Rule {
        name: "the node asks the time in clock.rs only",
        check: one_clock,
        broken: &[
            &[("node/src/services/a.rs", "fn f() { std::time::SystemTime::now(); }")],
            &[("node/src/ops/a.rs", "fn f() { tracing::info!(\"{:?}\", Instant::now()); }")],
        ],
        clean: &[&[
            ("node/src/clock.rs", "fn f() { SystemTime::now(); }"),
            (
                "node/src/services/a.rs",
                "fn f(clock: &Clock) { clock.now(); }\n#[cfg(test)]\nmod tests { fn g() { Instant::now(); } }",
            ),
        ]],
    },
    Rule {
        name: "the node spawns on its task tracker, but for the store's writer and its log",
        check: tracked_tasks,
        broken: &[
            &[("node/src/services/a.rs", "fn f() { tokio::spawn(async {}); }")],
            &[("node/src/gateway/a.rs", "use tokio::{spawn, time}; fn f() { spawn(g()); }")],
        ],
        clean: &[&[
            ("node/src/store/writer.rs", "fn f() { tokio::spawn(g()); }"),
            ("node/src/store/wal.rs", "fn f() { tokio::spawn(g()); }"),
            (
                "node/src/services/a.rs",
                "fn f() { tasks.spawn(g()); tokio::task::spawn_blocking(h); }\n#[cfg(test)]\nmod tests { fn g() { tokio::spawn(h()); } }",
            ),
        ]],
    },
    Rule {
        name: "pure rooms neither read the world outside nor the clock nor chance",
        check: pure_rooms,
        broken: &[
            &[("identity/src/a.rs", "use std::fs;")],
            &[("federation/src/a.rs", "fn f() { std::time::Instant::now(); }")],
            &[("node/world/src/a.rs", "use std::net::{IpAddr, UdpSocket};")],
            &[("specs/src/a.rs", "fn f() { rand::rng(); }")],
        ],
        clean: &[&[
            (
                "identity/src/a.rs",
                "use std::net::IpAddr; use std::time::Duration; fn f(now: SystemTime) {}",
            ),
            ("node/src/a.rs", "use std::fs;"),
            ("specs/src/a.rs", "//! Read.\n#[cfg(test)]\nmod tests { use std::fs; }"),
        ]],
    },
    Rule {
        name: "the simulation neither waits nor locks",
        check: world_never_waits,
        broken: &[
            &[("node/world/src/a.rs", "async fn f() {}")],
            &[("node/world/src/a.rs", "fn f() { g!(a.await); }")],
            &[("node/world/src/a.rs", "use std::sync::{Arc, Mutex};")],
            &[("node/world/src/a.rs", "fn f() { std::thread::sleep(a); }")],
        ],
        clean: &[&[
            (
                "node/world/src/a.rs",
                "//! They await the lock.\nuse std::sync::Arc; fn f() { \"a.await\"; }",
            ),
            ("node/src/a.rs", "async fn f() { a.await; }"),
        ]],
    },
];

fn top_level(tree: &Tree) -> Vec<Violation> {
    let top = |path: &str| path.split('/').next().map(str::to_owned).unwrap_or_default();
    let strange = tree.paths.iter().filter(|path| !TOP.contains(&top(path).as_str()));
    strange
        .map(|path| Violation::in_file(path, format!("{} is not on the map", top(path))))
        .collect()
}

fn machine_paths(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.texts {
        for (number, line) in file.lines() {
            for path in MACHINE_PATHS.iter().filter(|path| line.contains(**path)) {
                violations.push(Violation::at(&file.path, number, format!("names {path}")));
            }
        }
    }
    violations
}

fn sql_in_store(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let rooms = [PURE, &["node/src/", "conformance/", "client-xr/"]].concat();
    for file in tree.rust_under(&rooms).filter(|file| !file.path.starts_with("node/src/store/")) {
        for string in file.strings().filter(|string| is_statement(&string.text)) {
            violations.push(Violation::at(&file.path, string.line, "an SQL statement"));
        }
        at_lines(file, file.names_module("sqlx"), "names sqlx", &mut violations);
    }
    violations
}

fn is_statement(literal: &str) -> bool {
    let words: Vec<&str> =
        literal.trim_start_matches(['r', '#', '"', '\\', 'n']).split_whitespace().collect();
    let text = words.join(" ");
    // Prose is written in lower case, statements begin with a word in capitals.
    let shouted =
        words.first().is_some_and(|word| word.chars().all(|letter| letter.is_ascii_uppercase()));
    let text = text.to_lowercase();
    shouted && STATEMENTS.iter().any(|(start, then)| text.starts_with(start) && text.contains(then))
}

fn one_http_client(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let rooms = [PURE, &["node/"]].concat();
    for file in tree.rust_under(&rooms).filter(|file| !file.path.starts_with("node/src/outbound")) {
        at_lines(file, file.names_module("reqwest"), "names reqwest", &mut violations);
    }
    violations
}

fn one_clock(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust_under(&["node/src/"]).filter(|file| file.path != "node/src/clock.rs") {
        at_lines(file, reads_clock(file), "asks the time", &mut violations);
    }
    violations
}

fn tracked_tasks(tree: &Tree) -> Vec<Violation> {
    // The writer is joined by the store itself, which outlives the tracker's tasks, and so is what
    // copies its log, by the connection that it holds.
    const OWN: &[&str] = &["node/src/store/writer.rs", "node/src/store/wal.rs"];
    let mut violations = Vec::new();
    for file in tree.rust_under(&["node/src/"]).filter(|file| !OWN.contains(&&*file.path)) {
        let mut lines = file.finds(&["tokio", "::", "spawn"]);
        lines.extend(file.finds(&["tokio", "::", "task", "::", "spawn", "("]));
        lines.extend(file.finds(&["{", "spawn", ","]));
        at_lines(file, lines, "spawns past the tracker", &mut violations);
    }
    violations
}

fn pure_rooms(tree: &Tree) -> Vec<Violation> {
    const OUTSIDE: &[&str] = &[
        "fs",
        "env",
        "process",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "ToSocketAddrs",
        "UnixStream",
        "rand",
        "getrandom",
        "RandomState",
        "OsRng",
    ];
    let mut violations = Vec::new();
    for file in tree.rust_under(PURE) {
        for module in OUTSIDE {
            at_lines(file, file.names_module(module), &format!("names {module}"), &mut violations);
        }
        at_lines(file, reads_clock(file), "asks the time", &mut violations);
    }
    violations
}

fn world_never_waits(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust_under(&["node/world/"]) {
        for word in ["async", "await", "Mutex", "RwLock", "Condvar", "thread", "mpsc"] {
            at_lines(file, file.finds(&[word]), &format!("uses {word}"), &mut violations);
        }
    }
    violations
}

fn reads_clock(file: &RustFile) -> Vec<usize> {
    const CLOCKS: [&str; 6] = [
        "SystemTime",
        "Instant",
        "Utc",
        "OffsetDateTime",
        "MilliSecondsSinceUnixEpoch",
        "SecondsSinceUnixEpoch",
    ];
    CLOCKS.iter().flat_map(|clock| file.finds(&[clock, "::", "now"])).collect()
}

fn at_lines(file: &RustFile, lines: Vec<usize>, what: &str, violations: &mut Vec<Violation>) {
    violations.extend(lines.into_iter().map(|line| Violation::at(&file.path, line, what)));
}
