//! Those who do not keep to HTTP: too slow, too long, cut short, or two requests in the shape of one.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::timeout,
};
use wayside_tests::{Answer, Engine, Seeded, Wire};

use crate::{hostile::Siege, serve::authority_of};

/// Longer than a node waits for anybody who says nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// What a healthy request may take while others misbehave, on a machine with other work.
const QUICK: Duration = Duration::from_secs(3);
const LIVE: &str = "GET /health/live HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n";

fn count(all: &[u8], what: &str) -> usize {
    all.windows(what.len()).filter(|window| *window == what.as_bytes()).count()
}

async fn is_healthy(siege: &mut Siege, after: &str) -> Result<()> {
    let begun = Instant::now();
    let answer = siege.wire.send(LIVE.as_bytes()).await?;
    let took = begun.elapsed();
    let right = answer.status == 200 && took < QUICK;
    siege.check(right, || format!("after {after}: {} in {took:?}", answer.short()));
    Ok(())
}

/// What begins like a request and must not get on, nor may what comes behind it pass for one.
#[tokio::test]
async fn hostile_wire_requests_that_are_none() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    let post = |headers: &str, body: &str| {
        format!("POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a.test\r\n{headers}\r\n\r\n{body}")
    };
    let long = "x".repeat(200_000);
    let many = (0..500).map(|at| format!("x-{at}: y\r\n")).collect::<Vec<_>>().concat();
    let cases: Vec<(&str, String)> = vec![
        ("two lengths", post("content-length: 2\r\ncontent-length: 3", "{}x")),
        ("a list of lengths", post("content-length: 2, 3", "{}x")),
        ("a signed length", post("content-length: +2", "{}")),
        ("a length below nothing", post("content-length: -2", "{}")),
        ("a length in hexadecimal", post("content-length: 0x2", "{}")),
        ("a length without end", post("content-length: 99999999999999999999", "{}")),
        ("an empty length", post("content-length:", "{}")),
        ("a space before the colon", post("content-length : 2", "{}")),
        ("a folded header", post("content-length: 2\r\n x: y", "{}")),
        ("another coding", post("transfer-encoding: xchunked", "2\r\n{}\r\n0\r\n\r\n")),
        (
            "a coding around chunks",
            post("transfer-encoding: chunked, gzip", "2\r\n{}\r\n0\r\n\r\n"),
        ),
        ("a tab in the coding", post("transfer-encoding: \u{b}chunked", "2\r\n{}\r\n0\r\n\r\n")),
        ("a chunk without end", post("transfer-encoding: chunked", "fffffffffffffffff\r\n{}")),
        ("a chunk below nothing", post("transfer-encoding: chunked", "-2\r\n{}\r\n0\r\n\r\n")),
        (
            "a chunk with a long word",
            post("transfer-encoding: chunked", &format!("2;{long}\r\n{{}}\r\n0\r\n\r\n")),
        ),
        (
            "chunks of the old protocol",
            post("transfer-encoding: chunked", "2\r\n{}\r\n0\r\n\r\n").replace("1.1", "1.0"),
        ),
        ("a NUL in a header", post("x: a\0b", "")),
        ("a lone line end in a header", post("x: a\rb", "")),
        ("a header without a name", post(": a", "")),
        ("a header without a colon", post("content-length", "")),
        ("a long header", post(&format!("x: {long}"), "")),
        ("many headers", post(&format!("{many}content-length: 0"), "")),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n")),
        ("a space in the path", "GET /health/live /x HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
        ("no version", "GET /health/live\r\n\r\n".to_owned()),
        ("a version to come", "GET /health/live HTTP/7.3\r\nhost: a\r\n\r\n".to_owned()),
        ("another protocol", "SSH-2.0-x\r\n\r\n".to_owned()),
        ("a handshake where none is wanted", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\r\n\r\n".to_owned()),
        (
            "frames of nothing",
            format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{}", "\u{7f}".repeat(4_000)),
        ),
        ("no method", " / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned()),
    ];
    for (what, bytes) in cases {
        let all = siege.wire.converse(format!("{bytes}{LIVE}").as_bytes()).await?;
        let answer = Answer::first(&all).ok();
        let refused =
            answer.as_ref().is_none_or(|it| (400..500).contains(&it.status) || it.status == 501);
        let shown = String::from_utf8_lossy(&all).chars().take(300).collect::<String>();
        siege.check(refused, || format!("{what}: {shown}"));
        siege.check(count(&all, "ok\n") == 0, || {
            format!("{what}: what came behind it was answered: {shown}")
        });
        is_healthy(&mut siege, what).await?;
    }
    let mut seeded = Seeded::from_env(4);
    for _ in 0..50 {
        let length = usize::try_from(seeded.between(1, 3_000))?;
        let mut bytes = seeded.bytes(length);
        bytes.extend(b"\r\n\r\n");
        let all = siege.wire.converse(&bytes).await?;
        let good = Answer::first(&all).is_ok_and(|it| it.is_success());
        siege.check(!good, || "noise was answered".to_owned());
    }
    is_healthy(&mut siege, "noise").await?;
    siege.lift().await
}

/// What is HTTP, but asks for more than it gets.
#[tokio::test]
async fn hostile_wire_requests_that_want_more() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    let get = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n\r\n")
    };
    let upgrade = "host: a.test\r\nconnection: upgrade\r\nupgrade";
    let socket = "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    for (what, bytes) in [
        ("a socket", get("/", &format!("{upgrade}: websocket\r\n{socket}"))),
        ("a socket of junk", get("/health/live", &format!("{upgrade}: websocket, \u{7f}\r\nsec-websocket-key: \u{1}"))),
        ("the next protocol", get("/", &format!("{upgrade}: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__"))),
        ("a tunnel", "CONNECT elsewhere.test:443 HTTP/1.1\r\nhost: elsewhere.test\r\nconnection: close\r\n\r\n".to_owned()),
        ("a mirror", "TRACE / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-mirror: secret\r\n\r\n".to_owned()),
        ("everything", "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned()),
        ("no host", "GET /_matrix/client/versions HTTP/1.1\r\nconnection: close\r\n\r\n".to_owned()),
    ] {
        // What would be said on the other protocol is not to be answered here.
        let all = siege.wire.converse(format!("{bytes}\u{81}\u{85}\0\0\0\0hello").as_bytes()).await?;
        let answer = Answer::first(&all).map_or(400, |it| it.status);
        siege.check(answer != 101 && answer < 500, || format!("{what}: {answer}"));
        siege.check(count(&all, "x-mirror") == 0, || format!("{what} came back"));
        is_healthy(&mut siege, what).await?;
    }
    for host in [
        "evil.test",
        "\"><script>evil</script>",
        "a.test\r\nhost: evil.test",
        "a.test\r\nx-forwarded-host: evil.test",
        "evil.test:99999",
    ] {
        for path in [
            "/",
            "/join/evil-",
            "/_matrix/client/versions",
            "/.well-known/matrix/client",
            "/nowhere",
            "http://evil.test/",
        ] {
            let all = siege.wire.converse(get(path, &format!("host: {host}")).as_bytes()).await?;
            siege.check(count(&all, "evil") == 0, || {
                format!("{host:?} {path}: {}", String::from_utf8_lossy(&all))
            });
        }
    }
    waits_for_leave(&mut siege).await?;
    // A thousand at once are answered, in their order.
    let alive = LIVE.replace("connection: close\r\n", "");
    let nowhere = alive.replace("/health/live", "/nowhere");
    let all =
        siege.wire.converse(format!("{}{nowhere}{LIVE}", alive.repeat(998)).as_bytes()).await?;
    let (good, none) = (count(&all, "HTTP/1.1 200"), count(&all, "HTTP/1.1 404"));
    siege.check((good, none) == (999, 1), || format!("{good} and {none} answers of a thousand"));
    siege.lift().await
}

/// Whoever asks beforehand is refused before a byte of the body was sent.
async fn waits_for_leave(siege: &mut Siege) -> Result<()> {
    let alice = siege.person("alice").await?;
    let (token, much) = (alice.session().token(), 200 * 1024 * 1024);
    for (what, path, token, length, want) in [
        ("nobody", "media/v3/upload", "junk", 10, 401),
        ("too large a file", "media/v3/upload", token, much, 413),
        ("too large a request", "client/v3/createRoom", token, much, 413),
    ] {
        let head = format!(
            "POST /_matrix/{path} HTTP/1.1\r\nhost: a.test\r\nauthorization: Bearer {token}\r\n\
             content-length: {length}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n"
        );
        let mut stream = siege.wire.open().await?;
        stream.write_all(head.as_bytes()).await?;
        let mut all = Vec::new();
        while Answer::first(&all).is_err() && stream.read_buf(&mut all).await? > 0 {}
        let answer = Answer::first(&all)?;
        siege.check(answer.status == want, || format!("{what}: {}", answer.short()));
        siege.check(!all.starts_with(b"HTTP/1.1 100"), || format!("{what} was asked to go on"));
    }
    Ok(())
}

/// Those who say nothing, or stop in the middle, are given up; the others do not notice.
#[tokio::test]
async fn hostile_wire_slow_ones() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    let authority = authority_of(&siege.node)?;
    let plain = siege.wire.clone();
    // The encrypted port, spoken to in the clear.
    let unshaken = Wire::to(siege.node.https())?;
    let first = Wire::secure(siege.node.https(), &authority, "http/1.1")?;
    let second = Wire::secure(siege.node.https(), &authority, "h2")?;
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let head = "GET /health/live HTTP/1.1\r\nhost: a.te";
    let body =
        "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a.test\r\ncontent-length: 9\r\n\r\n{";
    let chunk = "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n\r\n9\r\n{";
    let asked = LIVE.replace("connection: close\r\n", "");
    let cases = [
        ("says nothing", &plain, ""),
        ("half a head", &plain, head),
        ("half a preface", &plain, &preface[..9]),
        ("only a preface", &plain, preface),
        ("half a body", &plain, body),
        ("half a chunk", &plain, chunk),
        ("nothing more", &plain, &asked),
        ("no handshake", &unshaken, ""),
        ("half a handshake", &unshaken, "\u{16}\u{3}\u{1}\u{2}\0\u{1}"),
        ("shakes hands and says nothing", &first, ""),
        ("shakes hands and half a head", &first, head),
        ("shakes hands for the next protocol and says nothing", &second, ""),
        ("shakes hands for the next protocol and half its preface", &second, &preface[..9]),
    ];
    let mut slow = JoinSet::new();
    for (what, wire, said) in cases {
        let mut stream = wire.open().await.context(what)?;
        stream.write_all(said.as_bytes()).await?;
        stream.flush().await?;
        slow.spawn(async move {
            let ended = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await;
            (what, ended.is_ok())
        });
    }
    let mut idle = Vec::new();
    for _ in 0..room_for_connections()? {
        idle.push(siege.wire.open().await?);
    }
    is_healthy(&mut siege, "many connections").await?;
    let peer = siege.person("peer").await?;
    siege
        .expect("a person", &peer, ("GET", "/_matrix/client/v3/sync?timeout=0", ""), &[200])
        .await?;
    while let Some(ended) = slow.join_next().await {
        let (what, is_given_up) = ended?;
        siege.check(is_given_up, || format!("{what}: still waited for after {PATIENCE:?}"));
    }
    // All those who said nothing were given up as well.
    let all_gone = async {
        for mut stream in idle {
            let _reset_counts_too = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    let gone = timeout(PATIENCE, all_gone).await;
    siege.check(gone.is_ok(), || "idle connections stay".to_owned());
    is_healthy(&mut siege, "those who were slow").await?;
    siege.lift().await
}

/// Thousands, or as many as this process may open beside the node's own ends of them.
fn room_for_connections() -> Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let most: usize =
        line.and_then(|it| it.split_whitespace().next()).context("no limit")?.parse()?;
    ensure!(most >= 256, "{most} open files are too few for a story");
    Ok(2_000.min(most / 2))
}
