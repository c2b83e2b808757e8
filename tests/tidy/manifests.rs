//! Rules over the manifests: which room may know which, and where versions stand.

use toml::{Table, Value};

use crate::{
    Rule,
    tree::{TextFile, Tree, Violation},
};

/// Our rooms and the rooms of ours that each may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("specs", &[]),
    ("identity", &["wayside-specs"]),
    ("federation", &["wayside-specs"]),
    ("node/world", &["wayside-specs"]),
    ("node", &["wayside-specs", "wayside-identity", "wayside-federation", "wayside-world"]),
    ("client-xr", &["wayside-specs", "wayside-identity", "wayside-world"]),
    ("conformance", &["wayside-specs"]),
    ("tests", &["wayside", "wayside-federation", "wayside-identity"]),
];

/// Rooms without input or output of their own.
const PURE: &[&str] = &["specs", "identity", "federation", "node/world"];

/// What a pure room could do input or output with.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "hyper",
    "hyper-util",
    "mio",
    "quinn",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "sqlx",
    "str0m",
    "tokio",
    "tokio-util",
    "tungstenite",
    "webrtc",
    "wtransport",
];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "rooms depend on each other only along the arrows of the house",
        check: arrows,
        broken: &[
            &[("identity/Cargo.toml", "[dependencies]\nwayside-federation.workspace = true\n")],
            &[(
                "conformance/Cargo.toml",
                "[dev-dependencies]\nwayside-world = { workspace = true }\n",
            )],
            &[(
                "specs/Cargo.toml",
                "[target.'cfg(unix)'.dependencies]\nwayside.workspace = true\n",
            )],
            &[("annex/Cargo.toml", "[package]\nname = \"annex\"\n")],
        ],
        clean: &[&[
            ("Cargo.toml", "[workspace]\n"),
            ("identity/Cargo.toml", "[dependencies]\nwayside-specs.workspace = true\n"),
            (
                "tests/Cargo.toml",
                "[dependencies]\nwayside.workspace = true\nserde.workspace = true\n",
            ),
        ]],
    },
    Rule {
        name: "pure rooms depend on nothing that does input or output",
        check: pure_rooms,
        broken: &[
            &[("federation/Cargo.toml", "[dependencies]\ntokio.workspace = true\n")],
            &[("node/world/Cargo.toml", "[dev-dependencies]\nsqlx = { workspace = true }\n")],
        ],
        clean: &[&[
            ("federation/Cargo.toml", "[dependencies]\nruma.workspace = true\n"),
            ("node/Cargo.toml", "[dependencies]\ntokio.workspace = true\n"),
        ]],
    },
    Rule {
        name: "versions, paths and lints stand in the root manifest only",
        check: versions,
        broken: &[
            &[("specs/Cargo.toml", "[lints]\nworkspace = true\n[dependencies]\nserde = \"1\"\n")],
            &[(
                "specs/Cargo.toml",
                "[lints]\nworkspace = true\n[dependencies]\nserde = { version = \"1\", workspace = true }\n",
            )],
            &[(
                "specs/Cargo.toml",
                "[lints]\nworkspace = true\n[dependencies]\nserde = { git = \"a\" }\n",
            )],
            &[("specs/Cargo.toml", "[dependencies]\nserde.workspace = true\n")],
            &[("specs/Cargo.toml", "[package]\nversion = \"1.0.0\"\n[lints]\nworkspace = true\n")],
        ],
        clean: &[&[
            ("Cargo.toml", "[workspace.dependencies]\nserde = \"1\"\n"),
            (
                "specs/Cargo.toml",
                "[package]\nversion.workspace = true\n[lints]\nworkspace = true\n[dependencies]\nserde = { workspace = true, features = [\"rc\"] }\n",
            ),
        ]],
    },
];

fn arrows(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, room) in members(tree) {
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == room) else {
            violations
                .push(Violation::in_file(&file.path, format!("the house has no room {room}")));
            continue;
        };
        for (name, _) in dependencies(&manifest(file)) {
            let is_ours = name == "wayside" || name.starts_with("wayside-");
            if is_ours && !allowed.contains(&name.as_str()) {
                violations
                    .push(Violation::in_file(&file.path, format!("{room} may not know {name}")));
            }
        }
    }
    violations
}

fn pure_rooms(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, room) in members(tree).filter(|(_, room)| PURE.contains(room)) {
        for (name, _) in dependencies(&manifest(file)) {
            if IMPURE.contains(&name.as_str()) {
                violations.push(Violation::in_file(
                    &file.path,
                    format!("{room} is pure and may not use {name}"),
                ));
            }
        }
    }
    violations
}

fn versions(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, _) in members(tree) {
        let mut violation = |what: String| violations.push(Violation::in_file(&file.path, what));
        let manifest = manifest(file);
        for (name, value) in dependencies(&manifest) {
            let only_workspace = value.as_table().is_some_and(|table| {
                table.get("workspace") == Some(&Value::Boolean(true))
                    && ["version", "path", "git", "registry"]
                        .iter()
                        .all(|key| !table.contains_key(*key))
            });
            if !only_workspace {
                violation(format!("{name} is not taken from the workspace"));
            }
        }
        if manifest
            .get("package")
            .and_then(|package| package.get("version"))
            .is_some_and(Value::is_str)
        {
            violation("the version of the package is not the workspace's".to_owned());
        }
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints != Some(&Value::Boolean(true)) {
            violation("the lints of the workspace are not taken".to_owned());
        }
    }
    violations
}

/// The manifests of our rooms, with the room of each.
fn members(tree: &Tree) -> impl Iterator<Item = (&TextFile, &str)> {
    tree.texts.iter().filter_map(|file| Some((file, file.path.strip_suffix("/Cargo.toml")?)))
}

/// A manifest that cannot be read has no entries: cargo itself refuses it before any test runs.
fn manifest(file: &TextFile) -> Table {
    file.text.parse().unwrap_or_default()
}

/// All dependencies of a manifest, of whatever kind and target.
fn dependencies(manifest: &Table) -> Vec<(String, Value)> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter();
    let tables = targets.flat_map(Table::values).filter_map(Value::as_table).chain([manifest]);
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    tables
        .flat_map(|table| kinds.iter().filter_map(|kind| table.get(*kind)?.as_table()))
        .flatten()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}
