//! Files that are too large, cut off, bombs, or named so that they would end up elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::{StreamExt, stream};
use reqwest::{Body, Certificate};
use tokio::{
    io::{self, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use wayside_tests::{Answer, Client, Engine, Node, Wire};

use crate::{
    hostile::Siege,
    pictures::{gif, png},
    serve::authority_of,
};

const DOWNLOAD: &str = "/_matrix/client/v1/media/download";
const THUMBNAIL: &str = "/_matrix/client/v1/media/thumbnail";
const UPLOAD: &str = "/_matrix/media/v3/upload";
const MIB: usize = 1024 * 1024;

/// How an upload says how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Announced,
    Chunked,
}

/// Uploads `sent` of `total` zeros while listening for the answer, then hangs up.
async fn upload(
    wire: &Wire,
    who: &Client,
    length: Length,
    (sent, total): (usize, usize),
) -> Result<Vec<u8>> {
    let token = who.session().token();
    let said = match length {
        Length::Announced => format!("content-length: {total}"),
        Length::Chunked => "transfer-encoding: chunked".to_owned(),
    };
    let head = format!(
        "POST {UPLOAD} HTTP/1.1\r\nhost: a.test\r\nauthorization: Bearer {token}\r\n{said}\r\n\r\n"
    );
    let (mut reading, mut writing) = io::split(wire.open().await?);
    let piece = vec![0; 64 * 1024];
    let write = async {
        writing.write_all(head.as_bytes()).await?;
        for at in (0..sent).step_by(piece.len()) {
            let part = &piece[..piece.len().min(sent - at)];
            if length == Length::Chunked {
                writing.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
                writing.write_all(part).await?;
                writing.write_all(b"\r\n").await?;
            } else {
                writing.write_all(part).await?;
            }
        }
        if sent == total && length == Length::Chunked {
            writing.write_all(b"0\r\n\r\n").await?;
        }
        if sent < total {
            writing.shutdown().await?;
        }
        anyhow::Ok(())
    };
    let mut answer = Vec::new();
    let read = async {
        // One answer is enough: the connection may stay open behind it.
        while Answer::first(&answer).is_err() && reading.read_buf(&mut answer).await? > 0 {}
        anyhow::Ok(())
    };
    let (_cut_off, _reset) = tokio::join!(write, read);
    Ok(answer)
}

/// Files under the node's data, by whether their path holds the word.
pub(crate) fn files(node: &Node, word: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![node.data().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().to_string_lossy().contains(word) {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// Files whose names are the hashes of what is in them.
pub(crate) fn blobs(node: &Node) -> Result<usize> {
    let is_hash = |path: &Path| path.file_name().is_some_and(|name| name.len() == 64);
    Ok(files(node, "")?.iter().filter(|path| is_hash(path)).count())
}

/// Asks until nothing is left of uploads under way; what is cut off is noticed a moment later.
async fn nothing_unfinished(siege: &Siege) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(10) {
        if files(&siege.node, "unfinished")?.is_empty() {
            return Ok(());
        }
        siege.wire.ask("GET", "/health/live", &[], b"").await?;
    }
    bail!("left behind: {:?}", files(&siege.node, "unfinished")?)
}

/// The most memory that the node ever took, in bytes.
fn peak(node: &Node) -> Result<usize> {
    let pid = node.pid().context("the node has ended")?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = line.context("no peak")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib * 1024)
}

#[tokio::test]
async fn hostile_media_too_large_or_cut_off() -> Result<()> {
    let quota = (2 * MIB).to_string();
    let flags = [("--media-quota-bytes", Some(&*quota))];
    let Some(mut small) = Siege::lay(Engine::Sqlite, &flags).await? else { return Ok(()) };
    let alice = small.person("alice").await?;
    for length in [Length::Announced, Length::Chunked] {
        for sent in [0, 1, 600_000] {
            upload(&small.wire, &alice, length, (sent, MIB)).await?;
        }
    }
    cancelled(&small, &alice).await?;
    nothing_unfinished(&small).await?;
    let left = blobs(&small.node)?;
    small.check(left == 0, || format!("{left} blobs of uploads that were cut off"));
    // All of the quota is still there, once.
    let mut taken = Vec::new();
    for (size, want) in [(MIB, 200), (MIB + 1, 413), (MIB, 200), (1, 403)] {
        let answer =
            Answer::first(&upload(&small.wire, &alice, Length::Chunked, (size, size)).await?)?;
        small.check(answer.status == want, || {
            format!("{size} bytes (want {want}): {}", answer.short())
        });
        taken.push(answer.status);
    }
    // Nor can it be outrun.
    let bob = small.person("bob").await?;
    let half = MIB + MIB / 2;
    let one = || upload(&small.wire, &bob, Length::Announced, (half, half));
    let answers = tokio::try_join!(one(), one(), one(), one())?;
    let answers = [answers.0, answers.1, answers.2, answers.3];
    let good =
        answers.iter().filter(|it| Answer::first(it).is_ok_and(|it| it.is_success())).count();
    small.check(good == 1, || format!("{good} uploads at once fit into a quota for one"));
    nothing_unfinished(&small).await?;
    small.lift().await?;

    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    let alice = siege.person("alice").await?;
    let before = peak(&siege.node)?;
    for length in [Length::Announced, Length::Chunked] {
        let answer = upload(&siege.wire, &alice, length, (200 * MIB, 200 * MIB)).await?;
        let answer = Answer::first(&answer).with_context(|| format!("{length:?}: no answer"))?;
        let right = answer.status == 413 && answer.errcode() == "M_TOO_LARGE";
        siege.check(right, || format!("200 MiB, {length:?}: {}", answer.short()));
    }
    // A client that others wrote sees the same.
    let refused = alice.upload("application/octet-stream", vec![0; 60 * MIB]).await;
    let code = refused.as_ref().err().and_then(|error| error.errcode()).map(str::to_owned);
    siege.check(code.as_deref() == Some("M_TOO_LARGE"), || format!("60 MiB: {refused:?}"));
    // The system counts by processor, and adds up late: the second look may see a little less.
    let grown = peak(&siege.node)?.saturating_sub(before);
    siege.check(grown < 32 * MIB, || format!("uploads took {grown} bytes of memory"));
    nothing_unfinished(&siege).await?;
    let left = blobs(&siege.node)?;
    siege.check(left == 0, || format!("{left} blobs of uploads that were refused"));
    siege.lift().await
}

/// An upload over HTTP/2 that is called off while the connection stays.
async fn cancelled(siege: &Siege, who: &Client) -> Result<()> {
    let authority = Certificate::from_pem(&fs::read(authority_of(&siege.node)?)?)?;
    let http = reqwest::Client::builder().tls_certs_only([authority]).build()?;
    let part = stream::once(async { Ok::<_, std::io::Error>(vec![0; 100_000]) });
    let never_ending = Body::wrap_stream(part.chain(stream::pending()));
    let url = siege.node.https().join(UPLOAD)?;
    let sending = http.post(url).bearer_auth(who.session().token()).body(never_ending).send();
    let begun = async {
        while files(&siege.node, "unfinished")?.is_empty() {
            siege.wire.ask("GET", "/health/live", &[], b"").await?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        answer = sending => bail!("answered before its end: {answer:?}"),
        begun = timeout(Duration::from_secs(10), begun) => begun?,
    }
}

#[tokio::test]
async fn hostile_media_bombs() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    let alice = siege.person("alice").await?;
    let good = png(64, 64, 64);
    let cases: Vec<(&str, Vec<u8>, &[u16])> = vec![
        ("a good one", good.clone(), &[200]),
        ("a huge header", png(60_000, 60_000, 1), &[413]),
        ("the largest header", png(u32::MAX, u32::MAX, 0), &[400, 413]),
        ("no width", png(0, 64, 64), &[400]),
        ("a decompression bomb", png(20_000, 20_000, 20_000), &[413]),
        ("more rows than its header says", png(64, 64, 400_000), &[200, 400]),
        ("fewer rows than its header says", png(6_000, 6_000, 1), &[200, 400]),
        ("one long row", png(50_000_000, 1, 1), &[200, 400, 413]),
        ("half of it", good[..good.len() / 2].to_vec(), &[400]),
        ("its first bytes", good[..8].to_vec(), &[400]),
        ("frames without end", gif(64, 64, 20_000), &[200]),
        ("a huge canvas", gif(u16::MAX, u16::MAX, 1), &[413]),
        ("no canvas", gif(0, 0, 1), &[200, 400]),
        (
            "a drawing with a script",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>".to_vec(),
            &[400],
        ),
        ("text", b"I am a picture".to_vec(), &[400]),
        ("nothing", Vec::new(), &[400]),
        ("a header of JPEG", [&b"\xff\xd8\xff\xe0"[..], &[0xff; 4_000]].concat(), &[400]),
        (
            "a header of WebP",
            [&b"RIFF\xff\xff\xff\xffWEBPVP8X"[..], &[0xff; 400]].concat(),
            &[400, 413],
        ),
    ];
    let before = peak(&siege.node)?;
    for (what, bytes, want) in cases {
        let uri = alice.upload("image/png", bytes).await?;
        let path = format!("{THUMBNAIL}/{}?width=32&height=32&method=scale", uri.place());
        let begun = Instant::now();
        let answer = siege.expect(what, &alice, ("GET", &path, ""), want).await?;
        let took = begun.elapsed();
        siege.check(took < Duration::from_secs(5), || format!("{what} took {took:?}"));
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        let picture = !answer.is_success() || kind == "image/png" || kind == "image/jpeg";
        siege.check(picture, || format!("{what} came as {kind}"));
    }
    // Two may be drawn at once, of 256 MiB each at most.
    let grown = peak(&siege.node)?.saturating_sub(before);
    siege.check(grown < 600 * MIB, || format!("bombs took {grown} bytes of memory"));

    let uri = alice.upload("image/png", good).await?;
    let blobs_before = blobs(&siege.node)?;
    for (width, height, want) in [
        ("0", "0", 400),
        ("0", "32", 400),
        ("-1", "32", 400),
        ("1.5", "32", 400),
        ("99999999999999999999", "32", 400),
        ("9007199254740991", "9007199254740991", 200),
        ("4294967297", "1", 200),
        ("1", "1", 200),
    ] {
        let path = format!("{THUMBNAIL}/{}?width={width}&height={height}", uri.place());
        let what = format!("{width} times {height}");
        siege.expect(&what, &alice, ("GET", &path, ""), &[want]).await?;
    }
    for side in 1..150 {
        let path = format!("{THUMBNAIL}/{}?width={side}&height={side}", uri.place());
        siege.expect("many sizes", &alice, ("GET", &path, ""), &[200]).await?;
    }
    let made = blobs(&siege.node)? - blobs_before;
    siege.check(made <= 12, || format!("{made} thumbnails were kept of one picture"));
    siege.lift().await
}

#[tokio::test]
async fn hostile_media_names_on_sqlite() -> Result<()> {
    names(Engine::Sqlite).await
}

#[tokio::test]
async fn hostile_media_names_on_postgres() -> Result<()> {
    names(Engine::Postgres).await
}

async fn names(engine: Engine) -> Result<()> {
    let Some(mut siege) = Siege::lay(engine, &[]).await? else { return Ok(()) };
    let alice = siege.person("alice").await?;
    let known = alice.upload("image/png", png(4, 4, 4)).await?;
    let media_id = known.place().trim_start_matches("a.test/").to_owned();
    let long = "a".repeat(9_000);
    let path_tricks = [
        "..",
        "%2e%2e",
        "..%2f..%2fwayside.db",
        "%2e%2e%2f%2e%2e%2fwayside.toml",
        "%2fetc%2fpasswd",
        "..%5c..%5ca",
        "%00",
        "a%00.png",
        ".",
        "%2e",
        "~",
        "%7e%2f",
        "file:%2f%2f%2fetc%2fpasswd",
        "con",
        "%ff",
        "%25%32%65",
        &long,
    ];
    for trick in path_tricks {
        let with_id = |server: &str, id: &str| {
            [
                format!("{DOWNLOAD}/{server}/{id}"),
                format!("{DOWNLOAD}/{server}/{id}/f"),
                format!("{THUMBNAIL}/{server}/{id}?width=32&height=32"),
            ]
        };
        let what = trick.chars().take(30).collect::<String>();
        for path in with_id("a.test", trick).into_iter().chain(with_id(trick, &media_id)) {
            siege.expect(&what, &alice, ("GET", &path, ""), &[400, 404, 502]).await?;
        }
        for (server, id) in [("a.test", trick), (trick, &*media_id)] {
            let path = format!("{UPLOAD}/{server}/{id}");
            siege.expect(&what, &alice, ("PUT", &path, "x"), &[400, 403, 404, 409]).await?;
        }
    }
    for server in
        ["localhost", "127.0.0.1", "[::1]", "a.test:8448", "A.TEST", "a.test.", "elsewhere.test"]
    {
        let path = format!("{DOWNLOAD}/{server}/{media_id}");
        siege.expect(server, &alice, ("GET", &path, ""), &[400, 404, 502]).await?;
    }
    file_names(&mut siege, &alice, known.place()).await?;
    kinds(&mut siege, &alice).await?;
    siege.lift().await
}

/// Whatever a file is called: the name stays inside its header.
async fn file_names(siege: &mut Siege, alice: &Client, place: &str) -> Result<()> {
    let bearer = format!("Bearer {}", alice.session().token());
    for name in [
        "../../etc/passwd",
        "a\"; filename=\"b.exe",
        "a\r\nset-cookie: x=y",
        "a;b=c",
        "\u{202e}gnp.exe",
        "ä😀.png",
        "%2e",
        "\\\\server\\share",
        "a\tb",
        "CON",
        " ",
        "\u{7f}",
        "'",
        "UTF-8''x",
    ] {
        let escaped = name.bytes().map(|byte| format!("%{byte:02x}")).collect::<Vec<_>>().concat();
        let path = format!("{UPLOAD}?filename={escaped}");
        let made = siege.expect(name, alice, ("POST", &path, "x"), &[200]).await?;
        let uri = made.json()["content_uri"].as_str().unwrap_or_default().to_owned();
        for path in [
            format!("{DOWNLOAD}/{}", uri.trim_start_matches("mxc://")),
            format!("{DOWNLOAD}/{place}/{escaped}"),
        ] {
            let answer = siege.wire.ask("GET", &path, &[("authorization", &bearer)], b"").await?;
            let said = answer.header("content-disposition").unwrap_or_default().to_owned();
            let encoded: String = name
                .bytes()
                .map(|byte| match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        char::from(byte).to_string()
                    }
                    _ => format!("%{byte:02X}"),
                })
                .collect();
            let right =
                answer.status == 200 && said.ends_with(&format!("; filename*=UTF-8''{encoded}"));
            siege.check(right, || format!("{name:?}: {} {said:?}", answer.status));
            siege
                .check(answer.header("set-cookie").is_none(), || format!("{name:?} sets a cookie"));
        }
    }
    let long = format!("{UPLOAD}?filename={}", "x".repeat(600));
    siege.expect("a long name", alice, ("POST", &long, "x"), &[400, 413]).await?;
    for query in ["filename=%00", "filename=a%00b"] {
        let path = format!("{UPLOAD}?{query}");
        siege.expect(query, alice, ("POST", &path, "x"), &[400]).await?;
    }
    Ok(())
}

/// What a browser could run is only ever offered to be kept.
async fn kinds(siege: &mut Siege, alice: &Client) -> Result<()> {
    let bearer = format!("Bearer {}", alice.session().token());
    for (kind, shown) in [
        ("image/png", true),
        ("IMAGE/PNG", true),
        ("text/plain; charset=utf-8", true),
        ("text/html", false),
        ("TEXT/HTML", false),
        ("text/html;charset=utf-7", false),
        (" text/html", false),
        ("text/html,image/png", false),
        ("image/png,text/html", false),
        ("image/svg+xml", false),
        ("application/xhtml+xml", false),
        ("text/xml", false),
        ("application/pdf", false),
        ("application/javascript", false),
        ("text/javascript", false),
        ("multipart/x-mixed-replace", false),
        ("message/rfc822", false),
        ("junk", false),
        ("", false),
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let made = siege.wire.ask("POST", UPLOAD, &headers, b"<script>alert(1)</script>").await?;
        ensure!(made.is_success(), "{kind}: {}", made.short());
        let uri = made.json()["content_uri"].as_str().unwrap_or_default().to_owned();
        let place = uri.trim_start_matches("mxc://");
        for path in [format!("{DOWNLOAD}/{place}"), format!("{DOWNLOAD}/{place}/x.html")] {
            let answer = siege.wire.ask("GET", &path, &headers[..1], b"").await?;
            let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
            let said = header("content-disposition");
            let right = said.starts_with(if shown { "inline" } else { "attachment" });
            siege.check(right, || format!("{kind:?} as {said:?}"));
            let policy = header("content-security-policy");
            siege.check(
                policy.starts_with("sandbox;") && policy.contains("script-src 'none'"),
                || format!("{kind:?} under {policy:?}"),
            );
            let guessed = header("x-content-type-options");
            siege.check(guessed == "nosniff", || format!("{kind:?} may be guessed: {guessed:?}"));
        }
        let path = format!("{THUMBNAIL}/{place}?width=32&height=32");
        siege.expect(kind, alice, ("GET", &path, ""), &[400]).await?;
    }
    Ok(())
}
