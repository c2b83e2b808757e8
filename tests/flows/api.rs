//! The table of the client-server API in specs/ says what the node serves, and which story holds it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use wayside::gateway::routes;
use wayside_tests::package_folder;

/// Routes of the client API beside the table: those of proposals, and what is deprecated.
const BESIDE: [&str; 6] = [
    "GET /_matrix/client/unstable/im.nheko.summary/rooms/{}/summary",
    "GET /_matrix/client/unstable/im.nheko.summary/summary/{}",
    "GET /_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
    "GET /_matrix/client/v3/auth/{}/fallback/web",
    "POST /_matrix/client/v3/auth/{}/fallback/web",
    "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
];
/// Operations that share their path with another one: a route of that path does not implement them.
const NOT_BY_THEIR_PATH: [&str; 1] = ["inviteBy3PID"];

/// A row of the table.
struct Row {
    route: String,
    operation: String,
    story: Option<String>,
}

#[test]
fn api_table_says_what_the_node_serves() -> Result<()> {
    let path = package_folder().join("../specs/client-api.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
    let rows = read(&text)?;
    let served: BTreeSet<String> = routes()
        .iter()
        .flat_map(|route| route.paths.iter().map(move |path| (route.method.to_string(), path)))
        .filter(|(_, path)| {
            path.starts_with("/_matrix/client/")
                || path.starts_with("/_matrix/media/")
                || path.starts_with("/.well-known/matrix/")
        })
        .map(|(method, path)| format!("{method} {}", nameless(path)))
        .collect();
    let stories = stories()?;
    let mut implemented = 0;
    for row in &rows {
        let is_served = served.contains(&row.route);
        let shared = NOT_BY_THEIR_PATH.contains(&row.operation.as_str());
        ensure!(
            row.story.is_some() == (is_served && !shared),
            "{} ({}): the table and the router disagree",
            row.operation,
            row.route
        );
        if let Some(story) = &row.story {
            implemented += 1;
            ensure!(stories.contains(story), "{}: no story is called {story}", row.operation);
        }
    }
    let counted = format!("Implemented: {implemented} of {}.", rows.len());
    ensure!(text.contains(&counted), "the table counts wrong: {counted}");
    ensure!(rows.len() == 157, "version 1.19 has 157 operations, the table {}", rows.len());

    let listed: BTreeSet<&str> = rows.iter().map(|row| row.route.as_str()).collect();
    let old = |route: &str| route.contains("/r0/");
    // State with an empty key is asked for with and without its last part.
    let short = |route: &str| route.ends_with("/state/{}") || route.ends_with("/state/{}/");
    for route in &served {
        let known = listed.contains(route.as_str()) || BESIDE.contains(&route.as_str());
        ensure!(known || old(route) || short(route), "{route} stands in no table");
    }
    Ok(())
}

/// A path without the names of its variables, which differ between the node and the specification.
fn nameless(path: &str) -> String {
    let mut short = String::new();
    let mut inside = false;
    for character in path.chars() {
        match character {
            '{' => inside = true,
            '}' => {
                inside = false;
                short.push_str("{}");
            }
            other if !inside => short.push(other),
            _ => {}
        }
    }
    short
}

fn read(text: &str) -> Result<Vec<Row>> {
    let lines = text.lines().filter(|line| line.contains("| `/"));
    lines
        .map(|line| {
            let cells: Vec<&str> =
                line.trim_matches('|').split('|').map(|it| it.trim().trim_matches('`')).collect();
            let [method, path, operation, story] = cells[..] else {
                anyhow::bail!("a row has four cells: {line}");
            };
            Ok(Row {
                route: format!("{method} {}", nameless(path)),
                operation: operation.to_owned(),
                story: (story != "–").then(|| story.to_owned()),
            })
        })
        .collect()
}

/// The names of all stories, each behind its file's.
fn stories() -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(package_folder().join("flows"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "rs") {
            let file = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default().to_owned();
            files.insert(file, std::fs::read_to_string(path)?);
        }
    }
    for (file, source) in files {
        let bodies = source.split("\nasync fn ").skip(1);
        let called = bodies.filter_map(|body| body.split_once('(').map(|(name, _)| name));
        names.extend(called.map(|name| format!("{file}::{name}")));
    }
    Ok(names)
}
