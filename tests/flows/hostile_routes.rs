//! Every route of the node's own table, called by people who mean no good.
//!
//! The table in [`table`] gives each route one valid call; all hostile calls are made from it, so
//! that a route that is added to the node is attacked in every way here or the story fails. What
//! Matrix specifies for a call is known from [`fields`], and stands in the samples likewise.

mod fields;
mod stage;
mod table;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wayside::gateway::{
    federation_routes, routes,
    table::{Access, Route},
};
use wayside_tests::{Answer, Client, Engine, Town, Wire};

use crate::{passkeys::PUBLIC, serve::authority_of};

use self::{
    fields::{Field, is_below, pointers, strange_values, wrong_values},
    stage::Stage,
    table::{After, Row, rows},
};

/// How many rows are played at the same time, each on a stage of its own.
const LANES: usize = 4;
/// With what a value of a wrong kind is refused; the last, where a room would begin with it.
const WRONG_KIND: [&str; 4] =
    ["M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM", "M_INVALID_ROOM_STATE"];

#[tokio::test]
async fn hostile_routes_on_sqlite() -> Result<()> {
    every_route(Engine::Sqlite).await
}

#[tokio::test]
async fn hostile_routes_on_postgres() -> Result<()> {
    every_route(Engine::Postgres).await
}

#[test]
fn hostile_routes_have_a_sample_each() {
    let known: BTreeSet<String> = all_routes()
        .iter()
        .flat_map(|(_, it)| it.paths.iter().map(move |path| format!("{} {path}", it.method)))
        .collect();
    let (further, rows): (Vec<Row>, Vec<Row>) = rows().into_iter().partition(|row| row.again);
    let sampled: BTreeSet<String> =
        rows.iter().map(|row| format!("{} {}", row.method, row.path)).collect();
    assert_eq!(sampled.len(), rows.len(), "a route has two samples");
    let unknown: Vec<&String> = sampled.difference(&known).collect();
    assert!(unknown.is_empty(), "samples of routes that the node has not: {unknown:?}");
    for row in further {
        let route = format!("{} {}", row.method, row.path);
        assert!(sampled.contains(&route), "{route} has a further sample, but no first one");
    }
    for (_, route) in all_routes() {
        let has = |path: &String| sampled.contains(&format!("{} {path}", route.method));
        let found = route.paths.iter().filter(|path| has(path)).count();
        assert_eq!(found, 1, "{} {:?} needs one sample in the table", route.method, route.paths);
    }
}

#[test]
fn hostile_routes_have_every_field_of_the_specification_in_their_samples() {
    let (rows, fields) = (rows(), Field::all());
    assert!(fields.len() > 400, "the list of fields is not whole: {}", fields.len());
    let mut missing = Vec::new();
    for field in &fields {
        let mut of_route = rows.iter().filter(|row| field.is_of(row)).peekable();
        assert!(of_route.peek().is_some(), "{:?} has a field, but no sample", field.route);
        let stands = |row: &Row| {
            if let Some(name) = field.place.strip_prefix('?') {
                return row.query.split('&').any(|pair| pair.split('=').next() == Some(name));
            }
            let body = serde_json::from_str(row.body).unwrap_or_default();
            pointers(&body, "").iter().any(|pointer| field.is_at(pointer))
        };
        if !of_route.any(stands) {
            missing.push(format!("{} {} {}", field.route.0, field.route.1, field.place));
        }
    }
    assert!(missing.is_empty(), "these stand in no sample:\n{}", missing.join("\n"));
}

async fn every_route(engine: Engine) -> Result<()> {
    let Some(town) = Town::found(engine)? else {
        return Ok(());
    };
    // Of an address with a name, so that it has passkeys.
    // And it looks for no others, whoever is asked about.
    let options = town.node("a")?.flag("--public-url", Some(PUBLIC));
    let mut node = options.flag("--never-federate-with", Some("*")).start().await?;
    let root = Client::register(node.http(), "root").await?;
    let done = node.command(&["user", "role", "root", "--role", "operator"]).await?;
    ensure!(done.status.success(), "{done:?}");
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let client = node.http().clone();
        let authority = authority_of(&node)?;
        let doors = (Wire::to(&client)?, Wire::secure(node.federation(), &authority, "http/1.1")?);
        let root = root.clone();
        lanes.spawn(async move { play(lane, &client, root, doors).await });
    }
    let mut found = Vec::new();
    while let Some(lane) = lanes.join_next().await {
        found.extend(lane??);
    }
    let panics: Vec<String> =
        node.log().lines().filter(|it| it.contains("panicked at")).map(str::to_owned).collect();
    found.extend(panics);
    ensure!(found.is_empty(), "{} defects:\n{}", found.len(), found.join("\n"));
    node.stop().await?;
    Ok(())
}

/// The routes of both doors, with whether they are the other servers'. Those that only servers may call
/// have a story of their own.
fn all_routes() -> Vec<(bool, Route)> {
    let ours = routes().into_iter().map(|it| (false, it));
    let theirs = federation_routes().into_iter().filter(|it| it.access != Access::Server);
    ours.chain(theirs.map(|it| (true, it))).collect()
}

/// Plays every `LANES`-th row and returns what was wrong.
async fn play(lane: usize, client: &Url, root: Client, doors: (Wire, Wire)) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut stage = Stage::set(client, root).await?;
    let routes = all_routes();
    for row in rows().into_iter().skip(lane).step_by(LANES) {
        let of_row = |route: &Route| {
            route.method.as_str() == row.method && route.paths.iter().any(|it| it == row.path)
        };
        let found_route = routes.iter().find(|(_, it)| of_row(it));
        let (theirs, route) = found_route.context("the story before this one names the row")?;
        let methods = methods_of(&routes, row.path);
        let wire = if *theirs { doors.1.clone() } else { doors.0.clone() };
        let fields = Field::all().into_iter().filter(|field| field.is_of(&row)).collect();
        let mut attack = Attack {
            wire,
            stage,
            route: route.clone(),
            row,
            fields,
            code: String::new(),
            found: Vec::new(),
        };
        attack.all(&methods).await.with_context(|| format!("attacking {}", attack.row.path))?;
        found.append(&mut attack.found);
        stage = attack.stage;
    }
    Ok(found)
}

fn methods_of(routes: &[(bool, Route)], path: &str) -> BTreeSet<String> {
    let at = routes.iter().filter(|(_, route)| route.paths.iter().any(|it| it == path));
    at.map(|(_, route)| route.method.to_string()).collect()
}

/// All that is tried on one route.
struct Attack {
    wire: Wire,
    stage: Stage,
    route: Route,
    row: Row,
    /// What is known of the fields of its calls.
    fields: Vec<Field>,
    /// The code with which the sample is refused, if it is.
    code: String,
    found: Vec<String>,
}

/// A call made from the sample, to be changed in one place.
#[derive(Clone, Debug)]
struct Call {
    method: String,
    template: String,
    arguments: Vec<String>,
    query: String,
    body: Vec<u8>,
    token: Option<String>,
}

impl Call {
    fn target(&self) -> String {
        let mut target = String::new();
        let mut arguments = self.arguments.iter();
        let mut rest = self.template.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            target += before;
            target += arguments.next().map_or("", String::as_str);
            rest = after.split_once('}').map_or("", |(_, after)| after);
        }
        target += rest;
        if self.query.is_empty() { target } else { format!("{target}?{}", self.query) }
    }
}

impl Attack {
    async fn all(&mut self, methods: &BTreeSet<String>) -> Result<()> {
        self.sample_succeeds().await?;
        if self.row.again {
            return self.fields().await;
        }
        self.strangers().await?;
        self.wrong_method_and_path(methods).await?;
        self.arguments().await?;
        self.queries().await?;
        if self.route.json {
            self.bodies().await?;
            self.fields().await?;
        } else if self.row.method != "GET" && self.route.body_bytes != usize::MAX {
            self.forms().await?;
        }
        Ok(())
    }

    /// The sample, on the stage as it is.
    async fn call(&mut self) -> Result<Call> {
        let row = self.row.clone();
        let mut arguments = Vec::new();
        for argument in row.arguments.split_whitespace() {
            arguments.push(escaped(&self.stage.fill(argument).await?));
        }
        let token = match row.who {
            "" => None,
            who => Some(self.stage.token(who)?.to_owned()),
        };
        Ok(Call {
            method: row.method.to_owned(),
            template: row.path.to_owned(),
            arguments,
            query: self.stage.fill(row.query).await?,
            body: if row.body == "<vrm>" {
                self.stage.vrm().await?
            } else {
                self.stage.fill(row.body).await?.into_bytes()
            },
            token,
        })
    }

    /// Makes a call. Whatever it was: no answer may be an inner failure, and every refusal has the
    /// form that Matrix wants. What changed something clears the stage.
    async fn make(&mut self, what: &str, call: &Call) -> Result<Answer> {
        let authorization = call.token.as_ref().map(|token| format!("Bearer {token}"));
        let headers: Vec<(&str, &str)> =
            authorization.iter().map(|value| ("authorization", value.as_str())).collect();
        let answer = match self.wire.ask(&call.method, &call.target(), &headers, &call.body).await {
            Ok(answer) => answer,
            // No answer is the worst answer, and no reason to stop looking.
            Err(error) => {
                Answer { status: 599, headers: Vec::new(), body: format!("{error:#}").into_bytes() }
            }
        };
        if answer.status >= 500 {
            self.wrong(what, &answer);
        }
        if answer.status >= 400
            && answer.status != 599
            && !self.row.page
            && let Err(error) = is_refusal(&answer)
        {
            self.wrong(&format!("{what}: {error}"), &answer);
        }
        if answer.is_success() && call.method != "GET" && self.row.after != After::Same {
            self.stage.clear(self.row.after == After::Ended).await?;
        }
        Ok(answer)
    }

    /// Makes a call that must be answered with one of these statuses, and error codes if any.
    async fn refused(
        &mut self,
        what: &str,
        call: &Call,
        statuses: &[u16],
        codes: &[&str],
    ) -> Result<()> {
        let answer = self.make(what, call).await?;
        let code = answer.errcode();
        // What a program says of itself is refused in the words of RFC 7591, whatever is wrong with it.
        let of_program = self.row.path.ends_with("/oauth/register")
            && answer.json()["error"].as_str().is_some_and(|it| it.starts_with("invalid_"));
        let code_fits = codes.is_empty() || codes.contains(&code.as_str()) || of_program;
        if !statuses.contains(&answer.status) || (!code_fits && !self.row.page) {
            self.wrong(&format!("{what} (want {statuses:?} {codes:?})"), &answer);
        }
        Ok(())
    }

    fn wrong(&mut self, what: &str, answer: &Answer) {
        let Row { method, path, .. } = &self.row;
        self.found.push(format!("{method} {path}: {what}: {}", answer.short()));
    }

    async fn sample_succeeds(&mut self) -> Result<()> {
        let call = self.call().await?;
        let first = self.make("the sample", &call).await?;
        let fits = |status: u16| first.status == status;
        if !self.row.status.map_or(first.is_success(), fits) {
            self.wrong("the sample fails", &first);
        }
        self.code = first.errcode();
        if self.row.again {
            return Ok(());
        }
        let paths = self.route.paths.clone();
        let alias = self.row.path.replacen("/v3/", "/r0/", 1);
        if self.row.path.contains("/v3/") && !paths.contains(&alias) {
            self.wrong("has no alias of r0", &first);
        }
        let main = self.row.path;
        for path in paths.iter().filter(|path| *path != main) {
            let call = Call { template: path.clone(), ..self.call().await? };
            let answer = self.make(path, &call).await?;
            let same_shape = *path != alias || keys(&answer) == keys(&first);
            // State with an empty key need not be there.
            if (answer.status != first.status || !same_shape) && *path == alias {
                self.wrong(&format!("{path} answers otherwise"), &answer);
            }
        }
        Ok(())
    }

    /// Nobody, somebody with a token that is none, somebody else, and those whose role is too low.
    async fn strangers(&mut self) -> Result<()> {
        let access = format!("{:?}", self.route.access);
        // Whoever signs in or makes an account may still show a token of before.
        if matches!(access.as_str(), "Public" | "Service") {
            return Ok(());
        }
        if access == "Perhaps" {
            // Who may come without a token may not come with a wrong one.
            for junk in ["junk", "wat_AAAA"] {
                let call = Call { token: Some(junk.to_owned()), ..self.call().await? };
                self.refused("with a junk token", &call, &[401], &["M_UNKNOWN_TOKEN"]).await?;
            }
            return Ok(());
        }
        ensure!(
            !self.row.who.is_empty(),
            "the sample of a route that is not public names who asks"
        );
        let call = self.call().await?;
        let missing = Call { token: None, ..call.clone() };
        self.refused("without a token", &missing, &[401], &["M_MISSING_TOKEN"]).await?;
        let longer = format!("{}x", call.token.clone().unwrap_or_default());
        for junk in ["junk", "", "wat_AAAA", longer.as_str()] {
            let call = Call { token: Some(junk.to_owned()), ..call.clone() };
            let codes = ["M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"];
            let codes = if junk.is_empty() { &codes[..] } else { &codes[..1] };
            self.refused("with a junk token", &call, &[401], codes).await?;
        }
        if access.starts_with("AtLeast") && access != "AtLeast(Guest)" {
            let guest = self.stage.token("guest")?.to_owned();
            let call = Call { token: Some(guest), ..self.call().await? };
            let code = ["M_GUEST_ACCESS_FORBIDDEN"];
            self.refused("as a guest", &call, &[403], &code).await?;
        }
        if matches!(access.as_str(), "AtLeast(Moderator)" | "AtLeast(Operator)") {
            let member = self.stage.token("mallory")?.to_owned();
            let call = Call { token: Some(member), ..self.call().await? };
            self.refused("as a member", &call, &[403], &["M_FORBIDDEN"]).await?;
        }
        let named = !self.row.arguments.is_empty() || self.row.body.contains("<alice>");
        if named && !self.row.anyones {
            let mallory = self.stage.token("mallory")?.to_owned();
            let call = Call { token: Some(mallory), ..self.call().await? };
            let answer = self.make("as somebody else", &call).await?;
            let told = String::from_utf8_lossy(&answer.body).contains("secret");
            if !(400..500).contains(&answer.status) || told {
                self.wrong("somebody else gets on with it", &answer);
            }
        }
        Ok(())
    }

    async fn wrong_method_and_path(&mut self, methods: &BTreeSet<String>) -> Result<()> {
        let call = self.call().await?;
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            if !methods.contains(method) {
                let call = Call { method: method.to_owned(), ..call.clone() };
                let what = format!("{method} here");
                self.refused(&what, &call, &[405], &["M_UNRECOGNIZED"]).await?;
            }
        }
        let template = format!("{}/is/not/to/be/found/here", call.template.trim_end_matches('/'));
        let nowhere = Call { template, ..call.clone() };
        self.refused("an unknown path", &nowhere, &[404], &["M_UNRECOGNIZED"]).await?;
        let asks = [
            ("origin", "https://elsewhere.test"),
            ("access-control-request-method", self.row.method),
            ("access-control-request-headers", "authorization,content-type"),
        ];
        let answer = self.wire.ask("OPTIONS", &call.target(), &asks, b"").await?;
        let allows = |name: &str, word: &str| {
            let value = answer.header(name).unwrap_or_default().to_lowercase();
            value.split(',').any(|it| it.trim() == word.to_lowercase())
        };
        if !(answer.is_success()
            && allows("access-control-allow-origin", "*")
            && allows("access-control-allow-methods", self.row.method)
            && allows("access-control-allow-headers", "authorization")
            && allows("access-control-allow-headers", "content-type"))
        {
            self.wrong("a preflight of another origin", &answer);
        }
        Ok(())
    }

    /// Each argument of the path in turn is something else.
    async fn arguments(&mut self) -> Result<()> {
        for at in 0..self.row.arguments.split_whitespace().count() {
            let word = self.row.arguments.split_whitespace().nth(at).unwrap_or_default();
            // What is an id has a sigil; all else may be any text.
            let is_id = self.stage.fill(word).await?.starts_with(['@', '!', '#', '$']);
            let long = "x".repeat(9_000);
            let long_id = format!("@{}:a.test", "x".repeat(300));
            let junk = [
                "%00",
                "%ff%fe",
                "%c0%80",
                "%2e%2e",
                "%2f%2f",
                ".",
                "!",
                "@",
                "%23",
                "$",
                "@:",
                "@a:",
                "@a:b%00",
                "%40a%0d%0aX-A:b:a.test",
                "%F0%9F%98%80",
                "-1",
                "null",
                "%7B%7D",
                "%",
                "%zz",
                long.as_str(),
                long_id.as_str(),
            ];
            for junk in junk {
                let mut call = self.call().await?;
                junk.clone_into(&mut call.arguments[at]);
                let what =
                    format!("argument {at} is {:?}", junk.chars().take(40).collect::<String>());
                let answer = self.make(&what, &call).await?;
                if is_id && !matches!(answer.status, 400 | 403 | 404 | 405 | 413 | 414) {
                    self.wrong(&what, &answer);
                }
            }
        }
        Ok(())
    }

    /// Each value of the query in turn is something else, is missing, or stands twice.
    async fn queries(&mut self) -> Result<()> {
        let pairs = self.row.query.split('&').filter(|pair| !pair.is_empty()).count();
        let long = "9".repeat(5_000);
        for at in 0..pairs {
            let name = self.row.query.split('&').nth(at).unwrap_or_default();
            let place = format!("?{}", name.split('=').next().unwrap_or_default());
            let known = self.fields.iter().find(|field| field.place == place);
            for wrong in known.map(Field::wrong_texts).unwrap_or_default() {
                let mut call = self.call().await?;
                call.query = changed(&call.query, at, |name| Some(format!("{name}={wrong}")));
                let what = format!("query {:?}", call.query);
                self.refused(&what, &call, &[400], &[]).await?;
            }
            for junk in [
                "",
                "-1",
                "1.5",
                "1e99",
                "99999999999999999999",
                "true",
                "%00",
                "%ff",
                "{",
                "[]",
                &long,
            ] {
                let mut call = self.call().await?;
                call.query = changed(&call.query, at, |name| Some(format!("{name}={junk}")));
                let what = format!("query {:?}", call.query.chars().take(80).collect::<String>());
                self.make(&what, &call).await?;
            }
            for twice in [true, false] {
                let mut call = self.call().await?;
                let with = |name: &str| twice.then(|| format!("{name}=1&{name}=2"));
                call.query = changed(&call.query, at, with);
                let what = format!("query {:?}", call.query);
                self.make(&what, &call).await?;
            }
        }
        Ok(())
    }

    /// Bodies that are no JSON, no object, or far too much of it.
    async fn bodies(&mut self) -> Result<()> {
        let call = self.call().await?;
        let with = |body: &[u8]| Call { body: body.to_vec(), ..call.clone() };
        let not_json: [&[u8]; 7] = [
            b"{",
            b"nonsense",
            b"{\"a\":}",
            b"{\"a\":1} x",
            b"{\"a\":\"\xff\xfe\"}",
            b"{'a':1}",
            b"\0",
        ];
        for body in not_json {
            let what = format!("body {:?}", String::from_utf8_lossy(body));
            self.refused(&what, &with(body), &[400], &["M_NOT_JSON"]).await?;
        }
        for body in ["[]", "\"{}\"", "7", "null", "true", "[{}]"] {
            let what = format!("body {body}");
            self.refused(&what, &with(body.as_bytes()), &[400], &["M_BAD_JSON"]).await?;
        }
        for (open, close, depth) in
            [("[", "]", 101), ("[", "]", 100_000 / 4), ("{\"a\":", "}", 101)]
        {
            let text = format!("{{\"a\":{}1{}}}", open.repeat(depth), close.repeat(depth));
            let codes = ["M_BAD_JSON", "M_NOT_JSON"];
            self.refused(&format!("depth {depth}"), &with(text.as_bytes()), &[400], &codes).await?;
        }
        let smuggled = br#"{"$serde_json::private::RawValue":"{\"a\":1}"}"#;
        let what = "a key of the JSON library's own";
        self.refused(what, &with(smuggled), &[400], &["M_BAD_JSON"]).await?;
        let padding = "x".repeat(self.route.body_bytes);
        let large = with(json!({ "padding": padding }).to_string().as_bytes());
        self.refused("a body over the limit", &large, &[413], &["M_TOO_LARGE"]).await?;
        Ok(())
    }

    /// Bodies of routes that take no JSON: bytes that are no form, and far too many.
    async fn forms(&mut self) -> Result<()> {
        let call = self.call().await?;
        let with = |body: &[u8]| Call { body: body.to_vec(), ..call.clone() };
        // What has a sample of JSON reads no body at all.
        if !call.body.is_empty() && !call.body.starts_with(b"{") {
            for body in [&b"\xff\xfe=\0"[..], b"%", b"&&==", b"{}", b"="] {
                let what = format!("body {:?}", String::from_utf8_lossy(body));
                self.refused(&what, &with(body), &[400, 401], &[]).await?;
            }
        }
        let large = with("x".repeat(self.route.body_bytes + 1).as_bytes());
        self.refused("a body over the limit", &large, &[413], &["M_TOO_LARGE"]).await
    }

    /// Each value of the body in turn is of another kind, which changes nothing; then it is strange.
    async fn fields(&mut self) -> Result<()> {
        let call = self.call().await?;
        let Ok(sample) = serde_json::from_slice::<Value>(&call.body) else { return Ok(()) };
        let before = self.stage.now().await?;
        let mut strange = Vec::new();
        for pointer in pointers(&sample, "") {
            let is = sample.pointer(&pointer).cloned().unwrap_or_default();
            let known = self.fields.iter().find(|field| field.is_at(&pointer)).cloned();
            let free = match &known {
                Some(field) => field.ignored.is_some(),
                None => self.row.free.iter().any(|it| is_below(&pointer, it)),
            };
            for value in wrong_values(&is, known.as_ref()) {
                if free {
                    strange.push((pointer.clone(), value));
                } else {
                    self.field(&pointer, &value, true).await?;
                }
            }
            strange.extend(strange_values(&is).into_iter().map(|value| (pointer.clone(), value)));
        }
        let news = self.stage.news(&before).await;
        if !news.as_ref().is_ok_and(Vec::is_empty) {
            let Row { method, path, .. } = &self.row;
            self.found.push(format!("{method} {path}: wrong types changed something: {news:?}"));
        }
        for (pointer, value) in strange {
            self.field(&pointer, &value, false).await?;
        }
        Ok(())
    }

    /// The sample with one value of its body made anew, which must be refused or only not break
    /// anything.
    async fn field(&mut self, pointer: &str, value: &Value, refused: bool) -> Result<()> {
        let mut call = self.call().await?;
        let mut body: Value = serde_json::from_slice(&call.body)?;
        if let Some(place) = body.pointer_mut(pointer) {
            *place = value.clone();
        }
        call.body = body.to_string().replace("\"LONE\"", "\"\\ud800\"").into_bytes();
        let shown: String = value.to_string().chars().take(60).collect();
        let what = format!("{pointer} is {shown}");
        if !refused {
            self.make(&what, &call).await?;
            return Ok(());
        }
        // A sample that is refused by itself would else be refused whatever its fields are.
        let codes: Vec<&str> =
            WRONG_KIND.iter().copied().filter(|code| *code != self.code).collect();
        self.refused(&what, &call, &[400], &codes).await
    }
}

/// Whether a refusal has the standard form (client-server API, "Standard error response").
fn is_refusal(answer: &Answer) -> Result<()> {
    let body = answer.json();
    // What asks for a proof first has a form of its own (client-server API, user-interactive authentication).
    let asks = answer.status == 401 && body["flows"].is_array() && body["session"].is_string();
    // And so has what refuses programs (RFC 6749, 5.2).
    let of_oauth = body["error"].is_string() && body["error_description"].is_string();
    ensure!(
        asks || of_oauth || (body["errcode"].is_string() && body["error"].is_string()),
        "no standard error"
    );
    let code = body["errcode"].as_str().unwrap_or("M_");
    ensure!(code.starts_with("M_"), "{code} is no code");
    ensure!(
        answer.header("content-type") == Some("application/json"),
        "the refusal is not said to be JSON"
    );
    ensure!(
        answer.header("access-control-allow-origin") == Some("*"),
        "other origins may not read it"
    );
    Ok(())
}

fn keys(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    body.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default()
}

/// The query with what stands at this place made anew; nothing takes it away.
fn changed(query: &str, at: usize, with: impl Fn(&str) -> Option<String>) -> String {
    let pairs = query.split('&').enumerate().filter_map(|(index, pair)| {
        if index == at {
            with(pair.split('=').next().unwrap_or_default())
        } else {
            Some(pair.to_owned())
        }
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// A text as a segment of a path.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~@:!$".contains(byte);
    let escape =
        |byte: u8| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}
