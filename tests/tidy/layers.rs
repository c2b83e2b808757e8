//! Rules over the layers of the node: gateway calls services, services call the store, never back.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Rule,
    rust_file::RustFile,
    tree::{Tree, Violation},
};

/// A folder, and the modules that no file in it may name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("node/src/gateway", &["store"]),
    ("node/src/services", &["gateway"]),
    ("node/src/store", &["gateway", "services"]),
    ("node/src/instances", &["gateway"]),
];

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "gateway -> services -> store: no layer is skipped or called from below",
        check: layers,
        broken: &[
            &[("node/src/gateway/a.rs", "use crate::{services, store::Store};")],
            &[("node/src/gateway/a.rs", "async fn f(app: App) { app.store.read().await; }")],
            &[("node/src/services/a.rs", "use crate::gateway::Caller;")],
            &[("node/src/store/mod.rs", "fn f() { crate::services::g(); }")],
        ],
        clean: &[&[
            (
                "node/src/gateway/a.rs",
                "use crate::services::Rooms; fn f() { flag.store(true, Relaxed); }",
            ),
            ("node/src/services/a.rs", "use crate::store::Store;"),
            ("node/src/app.rs", "use crate::{gateway, services, store};"),
        ]],
    },
    Rule {
        name: "services know each other without a cycle",
        check: no_cycles,
        broken: &[
            &[
                ("node/src/services/a.rs", "use super::b::B;"),
                ("node/src/services/b/mod.rs", "mod c;"),
                ("node/src/services/b/c.rs", "use crate::services::{a::A, Error};"),
            ],
            &[
                ("node/src/services/a.rs", "fn f() { super::b::g() }"),
                ("node/src/services/b.rs", "fn g() { crate::services::c::h() }"),
                ("node/src/services/c.rs", "use super::{Error, a};"),
            ],
        ],
        clean: &[&[
            ("node/src/services/mod.rs", "mod a; mod b; mod c;"),
            ("node/src/services/a.rs", "use super::{b::B, c};"),
            ("node/src/services/b.rs", "use super::c::C;"),
            (
                "node/src/services/c.rs",
                "fn f() { self::a() } #[cfg(test)] mod tests { use crate::services::a; }",
            ),
        ]],
    },
];

fn layers(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (folder, modules) in FORBIDDEN {
        for file in tree.rust_under(&[folder]) {
            for module in *modules {
                let lines = file.names_module(module).into_iter();
                violations.extend(
                    lines.map(|line| Violation::at(&file.path, line, format!("names {module}"))),
                );
            }
        }
    }
    violations
}

const SERVICES: &str = "node/src/services/";

fn no_cycles(tree: &Tree) -> Vec<Violation> {
    let services: BTreeSet<&str> = tree.rust_under(&[SERVICES]).filter_map(service_of).collect();
    let mut known: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in tree.rust_under(&[SERVICES]) {
        let Some(service) = service_of(file) else {
            continue;
        };
        let others = services.iter().filter(|other| **other != service && knows(file, other));
        known.entry(service).or_default().extend(others);
    }
    let in_cycle = |service: &&str| reachable(&known, service).contains(*service);
    let cycle: Vec<&str> = services.into_iter().filter(in_cycle).collect();
    if cycle.is_empty() {
        return Vec::new();
    }
    vec![Violation::in_file(
        SERVICES,
        format!("these know each other in a circle: {}", cycle.join(", ")),
    )]
}

/// The service that a file belongs to; the door of all services belongs to none.
fn service_of(file: &RustFile) -> Option<&str> {
    let inside = file.path.strip_prefix(SERVICES)?;
    let name = inside.split('/').next()?;
    Some(name.strip_suffix(".rs").unwrap_or(name)).filter(|name| *name != "mod")
}

/// Whether a file names another service: from the crate's root, or from the folder of services.
fn knows(file: &RustFile, other: &str) -> bool {
    let inside = file.path.strip_prefix(SERVICES).unwrap_or_default();
    let depth = inside.matches('/').count() + usize::from(!inside.ends_with("mod.rs"));
    let up: Vec<&str> = vec!["super"; depth];
    let starts = [vec!["crate", "services"], up];
    starts.iter().any(|start| {
        let path: Vec<&str> = start.iter().copied().chain([other]).collect();
        let imported = file.imports.iter().any(|import| {
            import.segments.len() >= path.len()
                && import.segments.iter().zip(&path).all(|(a, b)| a == b)
        });
        let tokens: Vec<&str> = path.iter().flat_map(|segment| [*segment, "::"]).collect();
        imported || !file.finds(&tokens).is_empty()
    })
}

fn reachable<'a>(known: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = known.get(from).into_iter().flatten().copied().collect();
    while let Some(service) = open.pop() {
        if seen.insert(service) {
            open.extend(known.get(service).into_iter().flatten());
        }
    }
    seen
}
