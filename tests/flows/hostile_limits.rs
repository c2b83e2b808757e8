//! Those who ask more often than anybody needs to: they are told to wait, and nobody else is.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use serde_json::json;
use wayside::gateway::{
    federation_routes, routes,
    table::{Access, Rate, Route},
};
use wayside_tests::{Client, Engine, Wire};

use crate::{hostile::Siege, serve::authority_of};

/// More calls than any budget allows at once, at whatever speed they are made here.
const CALLS: usize = 3_000;
/// More calls than any monitor makes.
const FREE_CALLS: usize = 1_000;
/// Those who may log out in vain before a refusal of it is missed.
const LEAVERS: usize = 6;

/// Somebody's calls of one class of the table: what it is called, and what to call.
const CLASSES: [(&str, &str, &str, &str); 4] = [
    ("Read", "GET", "/_matrix/client/v3/account/whoami", ""),
    ("Write", "PUT", "/_matrix/client/v3/user/<me>/account_data/org.example.a", "{}"),
    ("Media", "GET", "/_matrix/client/v1/media/download/a.test/none", ""),
    ("Outside", "GET", "/_matrix/client/v1/media/preview_url?url=none", ""),
];

#[tokio::test]
async fn hostile_limits_of_every_class() -> Result<()> {
    let Some(mut siege) = Siege::limited(Engine::Sqlite, false).await? else { return Ok(()) };
    let mut known: BTreeSet<&str> = CLASSES.iter().map(|(class, ..)| *class).collect();
    // That of other servers is tried by the stories about admitting them.
    known.extend(["Free", "Guess", "Federation"]);
    for route in routes().iter().chain(&federation_routes()) {
        let class = format!("{:?}", route.rate);
        siege.check(known.contains(class.as_str()), || format!("nobody tries the class {class}"));
    }

    let (alice, bob) = (siege.person("alice").await?, siege.person("bob").await?);
    for (at, (class, method, path, body)) in CLASSES.into_iter().enumerate() {
        until_told_to_wait(&mut siege, class, Some(&alice), (method, path, body)).await?;
        // Neither somebody else nor another class has to wait for it.
        let of_bob = path.replace("<me>", &bob.session().user_id);
        siege.expect(class, &bob, (method, &of_bob, body), &[200, 404]).await?;
        if let Some((other, method, path, body)) = CLASSES.get(at + 1) {
            let path = path.replace("<me>", &alice.session().user_id);
            siege.expect(other, &alice, (method, &path, body), &[200, 404]).await?;
        }
    }

    for at in 0..FREE_CALLS {
        let answer = siege.wire.ask("GET", "/_matrix/client/versions", &[], b"").await?;
        siege.check(answer.status == 200, || {
            format!("call {at} of what is free: {}", answer.short())
        });
    }

    // Guessing, of passwords and of tokens alike, is by address: it leaves no budget to go on with,
    // and those who are signed in do not notice.
    let wrong = r#"{"type":"m.login.password","identifier":{"type":"m.id.user","user":"alice"},"password":"guessed"}"#;
    until_told_to_wait(&mut siege, "Guess", None, ("POST", "/_matrix/client/v3/login", wrong))
        .await?;
    let headers = [("authorization", "Bearer guessed")];
    let answer = siege.wire.ask("GET", CLASSES[0].2, &headers, b"").await?;
    siege.check(answer.status == 429, || format!("a guessed token: {}", answer.short()));
    siege.expect("who is signed in", &bob, ("GET", CLASSES[0].2, ""), &[200]).await?;
    // A name in a header is no other address, where nobody trusts the sender of the header.
    let headers = [("x-forwarded-for", "192.0.2.77"), ("forwarded", "for=192.0.2.77")];
    // Another address would have all of its budget; of this one's, a slow machine may find one more.
    let login = "/_matrix/client/v3/login";
    let mut refused = false;
    for _ in 0..3 {
        let answer = siege.wire.ask("POST", login, &headers, wrong.as_bytes()).await?;
        refused |= answer.status == 429;
    }
    siege.check(refused, || "from a made-up address nobody has to wait".to_owned());
    siege.end().await
}

/// Every route of both doors but the free ones and those of other servers refuses who has used up its class of the budget, by
/// person or by address, before it looks at anything else that is asked.
#[tokio::test]
async fn hostile_limits_of_every_route() -> Result<()> {
    let Some(mut siege) = Siege::limited(Engine::Sqlite, false).await? else { return Ok(()) };
    let alice = siege.person("alice").await?;
    let mut leavers = Vec::new();
    for at in 0..LEAVERS {
        leavers.push(siege.person(&format!("leaver{at}")).await?);
    }
    let authority = authority_of(&siege.node)?;
    let theirs = Wire::secure(siege.node.federation(), &authority, "http/1.1")?;
    let ours = routes().into_iter().map(|route| (siege.wire.clone(), route));
    let all = ours.chain(federation_routes().into_iter().map(|route| (theirs.clone(), route)));
    let mut limited: Vec<(Wire, Route)> =
        all.filter(|(_, it)| it.rate != Rate::Free && it.access != Access::Server).collect();
    // Those of one class come one after the other, so that each finds the budget nearly used up.
    limited.sort_by_key(|(_, route)| (route.rate, route.access == Access::Public));
    let bearer = format!("Bearer {}", alice.session().token());
    for (wire, route) in limited {
        let path = route.paths.first().context("a route has a path")?;
        let path = path.replace(['{', '}'], "");
        if path.contains("/logout") {
            logging_out(&mut siege, &mut leavers, &path).await?;
            continue;
        }
        let open = [Access::Public, Access::Perhaps].contains(&route.access);
        let token = [("authorization", bearer.as_str())];
        let headers = if open { &[][..] } else { &token[..] };
        let mut minded = false;
        for _ in 0..CALLS {
            let answer = wire.ask(route.method.as_str(), &path, headers, b"").await?;
            siege.check(answer.status < 500, || format!("{path}: {}", answer.short()));
            minded = answer.status == 429 && answer.errcode() == "M_LIMIT_EXCEEDED";
            if minded {
                break;
            }
        }
        siege.check(minded, || format!("{} {path}: nobody minds", route.method));
    }
    siege.end().await
}

/// A call that ends its own session can be made once only, and on a busy machine the budget may have
/// recovered just then: others try it until one is refused.
async fn logging_out(siege: &mut Siege, leavers: &mut Vec<Client>, path: &str) -> Result<()> {
    let (class, method, other, body) = CLASSES[1];
    while let Some(leaver) = leavers.pop() {
        until_told_to_wait(siege, class, Some(&leaver), (method, other, body)).await?;
        let answer = siege.ask(&leaver, "POST", path, b"").await?;
        if answer.status == 429 {
            siege.check(answer.errcode() == "M_LIMIT_EXCEEDED", || answer.short());
            return Ok(());
        }
        siege.check(answer.status == 200, || format!("{path}: {}", answer.short()));
    }
    siege.check(false, || format!("POST {path}: nobody minds"));
    Ok(())
}

/// Guesses at one account, each from an address of its own.
const GUESSES: u32 = 100;

#[tokio::test]
async fn hostile_limits_of_guesses_at_one_account_from_everywhere() -> Result<()> {
    let Some(mut siege) = Siege::limited(Engine::Sqlite, true).await? else { return Ok(()) };
    siege.person("alice").await?;
    let guess = |name: &str| {
        let who = json!({"type": "m.id.user", "user": name});
        json!({"type": "m.login.password", "identifier": who, "password": "guessed"}).to_string()
    };
    let login = "/_matrix/client/v3/login";
    // All at once: one after the other, a slow machine would have them wait for less than the budget
    // gives anew.
    let guesses = (0..GUESSES).map(async |at| {
        let from = format!("198.51.100.{at}");
        let headers = [("x-forwarded-for", from.as_str())];
        siege.wire.ask("POST", login, &headers, guess("alice").as_bytes()).await
    });
    let mut minded = false;
    for answer in join_all(guesses).await {
        let answer = answer?;
        minded |= answer.status == 429;
        let right = answer.status == 429 || answer.errcode() == "M_FORBIDDEN";
        siege.check(right, || format!("a guess: {}", answer.short()));
    }
    siege.check(minded, || format!("{GUESSES} guesses at one account and nobody minds"));
    let headers = [("x-forwarded-for", "203.0.113.1")];
    let answer = siege.wire.ask("POST", login, &headers, guess("bob").as_bytes()).await?;
    siege.check(answer.errcode() == "M_FORBIDDEN", || format!("somebody else: {}", answer.short()));
    siege.end().await
}

async fn until_told_to_wait(
    siege: &mut Siege,
    class: &str,
    who: Option<&Client>,
    (method, path, body): (&str, &str, &str),
) -> Result<()> {
    let bearer = who.map(|who| format!("Bearer {}", who.session().token()));
    let headers: Vec<(&str, &str)> =
        bearer.iter().map(|it| ("authorization", it.as_str())).collect();
    let path = path.replace("<me>", who.map_or("", |who| &who.session().user_id));
    for _ in 0..CALLS {
        let answer = siege.wire.ask(method, &path, &headers, body.as_bytes()).await?;
        if answer.status != 429 {
            siege.check(answer.status < 500, || format!("{class}: {}", answer.short()));
            continue;
        }
        let wait_ms = answer.json()["retry_after_ms"].as_u64().context("no retry_after_ms")?;
        let wait_s: u64 = answer.header("retry-after").context("no Retry-After")?.parse()?;
        let right = answer.errcode() == "M_LIMIT_EXCEEDED"
            && (1..=10_000).contains(&wait_ms)
            && wait_s == wait_ms.div_ceil(1_000)
            && answer.json()["error"].is_string();
        siege.check(right, || format!("{class}: {} and {wait_s} s", answer.short()));
        return Ok(());
    }
    siege.check(false, || format!("{class}: {CALLS} calls and nobody minds"));
    Ok(())
}
