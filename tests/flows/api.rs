//! The table of the client-server API in specs/, made from routes and from what stories say they hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::json;
use wayside::gateway::routes;
use wayside_tests::package_folder;

use crate::stage::{Stage, refused, stories};

stories! {
    what_is_not_served_is_said_so;
}

/// The operations of version 1.19 that are not deprecated: method, path and name.
const OPERATIONS: &str = include_str!("api/operations.tsv");
/// Routes of the client doors beside them: those of proposals, what is deprecated, and what servers ask.
const BESIDE: [&str; 7] = [
    "GET /.well-known/matrix/server",
    "GET /_matrix/client/unstable/im.nheko.summary/rooms/{}/summary",
    "GET /_matrix/client/unstable/im.nheko.summary/summary/{}",
    "GET /_matrix/client/unstable/org.matrix.msc2965/auth_metadata",
    "GET /_matrix/client/v3/auth/{}/fallback/web",
    "POST /_matrix/client/v3/auth/{}/fallback/web",
    "POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
];
/// Operations whose answer is the same on every node and for everybody: nothing shows that they work.
const CONSTANT: [&str; 2] = ["getCapabilities", "getVersions"];

const HEAD: &str = "\
# The client-server API

Every operation of the Matrix client-server API, version 1.19, that is not deprecated, and how this node
answers it. `implemented`: the story behind it (in tests/flows) writes through it and sees the effect
elsewhere. `constant`: the answer is the same on every node and for everybody, so that no story could
show it. `M_UNRECOGNIZED`: the error of the specification for what a server does not know. Paths of
version 3 answer under `/r0/` too.

A test makes this table from the node's own table of routes and from the lines `Operations:` above the
stories, and fails where this file differs; with `WAYSIDE_WRITE=1` it writes the file.

| method | path | operation | answer | story |
|---|---|---|---|---|
";
const FOOT: &str = "
Beside them the node serves the pages of user-interactive authentication at
`/_matrix/client/v3/auth/{stage}/fallback/web`, held by the stories of `confirming` and `registering`.

Beside them the node serves simplified sliding sync (proposal 4186) at
`/_matrix/client/unstable/org.matrix.simplified_msc3575/sync`, held by the stories of `sliding`
and `sliding_beside`.
";

struct Operation {
    method: &'static str,
    path: &'static str,
    name: &'static str,
}

fn operations() -> Result<Vec<Operation>> {
    let lines = OPERATIONS.lines().filter(|line| !line.starts_with('#'));
    let read = lines.map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
        [method, path, name] => Ok(Operation { method, path, name }),
        _ => bail!("a line has three parts: {line}"),
    });
    read.collect()
}

impl Operation {
    fn route(&self) -> String {
        format!("{} {}", self.method, nameless(self.path))
    }

    /// How the node answers, seen from its routes and from the story that holds the operation.
    fn answer(&self, served: &BTreeSet<String>, story: Option<&String>) -> Result<&'static str> {
        let name = self.name;
        let is_served = served.contains(&self.route());
        Ok(match (is_served, story.is_some(), CONSTANT.contains(&name)) {
            (true, true, false) => "`implemented`",
            (true, false, true) => "`constant`",
            (false, false, false) => "`M_UNRECOGNIZED`",
            (true, false, false) => bail!("{name} is served, and no story holds it"),
            (false, true, _) => bail!("{name} is not served, and a story says that it holds it"),
            (_, _, true) => bail!("{name} is no constant"),
        })
    }
}

#[test]
fn api_table_says_what_the_node_serves() -> Result<()> {
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
    let operations = operations()?;
    let mut holders = holders()?;
    let (mut table, mut implemented) = (String::new(), 0);
    for operation in &operations {
        let Operation { method, path, name } = operation;
        let story = holders.remove(*name);
        let answer = operation.answer(&served, story.as_ref())?;
        implemented += usize::from(story.is_some());
        let story = story.map_or_else(|| "–".to_owned(), |story| format!("`{story}`"));
        writeln!(table, "| {method} | `{path}` | {name} | {answer} | {story} |")?;
    }
    ensure!(holders.is_empty(), "these are no operations of the list: {holders:?}");
    ensure!(operations.len() == 157, "version 1.19 has 157, the list {}", operations.len());
    ensure!(implemented >= 145, "{implemented} are implemented");

    let listed: BTreeSet<String> = operations.iter().map(Operation::route).collect();
    let old = |route: &str| route.contains("/r0/");
    // State with an empty key is asked for with and without its last part.
    let short = |route: &str| route.ends_with("/state/{}") || route.ends_with("/state/{}/");
    for route in &served {
        let known = listed.contains(route) || BESIDE.contains(&route.as_str());
        ensure!(known || old(route) || short(route), "{route} stands in no table");
    }

    let count = format!("\nImplemented: {implemented} of {}.\n", operations.len());
    let made = [HEAD, &table, &count, FOOT].concat();
    let path = package_folder().join("../specs/client-api.md");
    if std::env::var("WAYSIDE_WRITE").is_ok_and(|it| it == "1") {
        std::fs::write(&path, &made).with_context(|| format!("writing {path:?}"))?;
    }
    let committed = std::fs::read_to_string(&path).with_context(|| format!("reading {path:?}"))?;
    ensure!(committed == made, "{path:?} differs from what is served: run with WAYSIDE_WRITE=1");
    Ok(())
}

/// A path without the names of its variables, which differ between the node and the specification.
fn nameless(path: &str) -> String {
    filled(path, "{}")
}

/// A path with this in place of each variable.
fn filled(path: &str, value: &str) -> String {
    let mut short = String::new();
    let mut inside = false;
    for character in path.chars() {
        match character {
            '{' => inside = true,
            '}' => {
                inside = false;
                short.push_str(value);
            }
            other if !inside => short.push(other),
            _ => {}
        }
    }
    short
}

/// For each operation that a story says it holds, that story behind its file's name.
fn holders() -> Result<BTreeMap<String, String>> {
    let mut holders = BTreeMap::new();
    for entry in std::fs::read_dir(package_folder().join("flows"))? {
        let path = entry?.path();
        if path.extension().is_none_or(|it| it != "rs") {
            continue;
        }
        let file = path.file_stem().and_then(|it| it.to_str()).unwrap_or_default();
        let source = std::fs::read_to_string(&path)?;
        for part in source.split("\n// Operations: ").skip(1) {
            let (held, after) = part.split_once("\nasync fn ").with_context(|| {
                format!("{file}: `Operations:` stands directly above its story")
            })?;
            let story = after.split(['(', '<']).next().unwrap_or_default();
            ensure!(source.contains(&format!("\n    {story};\n")), "{file}::{story} is not played");
            let held = held.replace("\n// ", " ");
            let names = held.strip_suffix('.').context("the operations end with a full stop")?;
            for name in names.split(", ") {
                let other = holders.insert(name.to_owned(), format!("{file}::{story}"));
                ensure!(other.is_none(), "{name} is held by {other:?} and {file}::{story}");
            }
        }
    }
    Ok(holders)
}

async fn what_is_not_served_is_said_so(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let holders = holders()?;
    let mut asked = 0;
    for Operation { method, path, name } in operations()? {
        if holders.contains_key(name) || CONSTANT.contains(&name) {
            continue;
        }
        let answer =
            ann.call(Method::try_from(method)?, &filled(path, "x"), Some(&json!({}))).await;
        refused(answer, 404, "M_UNRECOGNIZED").with_context(|| name.to_owned())?;
        asked += 1;
    }
    ensure!(asked > 0, "all is served: this story and its row of the table may go");
    Ok(())
}
