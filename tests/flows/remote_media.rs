//! Files of other servers: fetched, kept as copies, and refused where they are none; and files for others.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::json;
use tokio::try_join;
use wayside_tests::{Client, Engine, Peer, PeerReply, Wire};

use crate::{
    abroad::{Abroad, times},
    hostile_media::{blobs, files},
    pair::Pair,
    pictures::{png, size},
    stage::{comes_true, refused},
};

const DOWNLOAD: &str = "/_matrix/federation/v1/media/download/";
const LEGACY: &str = "/_matrix/media/v3/download/";
const KIND: &str = "multipart/mixed; boundary=b";
const MIB: usize = 1024 * 1024;

fn path(what: &str, place: &str) -> String {
    format!("/_matrix/client/v1/media/{what}/{place}")
}

/// A file as servers hand it on, under this head.
fn parts(head: &str, file: &[u8]) -> Vec<u8> {
    let begin =
        format!("--b\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--b\r\n{head}\r\n\r\n");
    [begin.as_bytes(), file, b"\r\n--b--\r\n"].concat()
}

async fn both_ways(pair: Option<Pair>) -> Result<()> {
    let Some(mut pair) = pair else { return Ok(()) };
    let picture = png(64, 32, 32);
    let theirs = pair.sam.upload("image/png", picture.clone()).await?;
    let ours = pair.ann.upload("image/png", picture.clone()).await?;
    ensure!(pair.ann.download_path(&path("download", theirs.place())).await? == picture);
    ensure!(pair.sam.download_path(&path("download", ours.place())).await? == picture);
    let small = "?width=32&height=32&method=scale";
    let thumbnails = [
        (&pair.ann, format!("{}{small}", path("thumbnail", theirs.place()))),
        (&pair.sam, format!("{}{small}", path("thumbnail", ours.place()))),
    ];
    for (who, path) in thumbnails {
        let (width, height) = size(&who.download_path(&path).await?)?;
        ensure!(width <= 64 && height <= 32, "{path}: {width} x {height}");
    }
    let none = format!("{}/none", pair.other.server_name());
    refused(pair.ann.download_path(&path("download", &none)).await, 404, "M_NOT_FOUND")?;
    let none = format!("{}/none", pair.node.server_name());
    refused(pair.sam.download_path(&path("download", &none)).await, 404, "M_NOT_FOUND")?;

    // A file that is promised is waited for; the copy outlives its server.
    let awaited = pair.ann.reserve_media().await?;
    let waiting = format!("{}?timeout_ms=20000", path("download", awaited.place()));
    let upload = async { Ok(pair.ann.upload_to(&awaited, b"late".to_vec()).await?) };
    let (late, ()) = try_join!(async { Ok(pair.sam.download_path(&waiting).await?) }, upload)
        .map_err(|error: anyhow::Error| error)?;
    ensure!(late == b"late");
    pair.other.stop().await?;
    let named = path("download", &format!("{}/a.png", theirs.place()));
    ensure!(pair.ann.download_path(&named).await? == picture);
    pair.node.stop().await?;
    pair.node.restart().await?;
    let ann = pair.ann.at(pair.node.http());
    ensure!(ann.download_path(&named).await? == picture, "the copy outlives the process");
    pair.node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn remote_media_goes_both_ways_on_sqlite() -> Result<()> {
    both_ways(Pair::meet(Engine::Sqlite).await?).await
}

#[tokio::test]
async fn remote_media_goes_both_ways_on_postgres() -> Result<()> {
    both_ways(Pair::meet(Engine::Postgres).await?).await
}

#[tokio::test]
async fn remote_media_goes_both_ways_with_a_node() -> Result<()> {
    both_ways(Pair::of_nodes().await?).await
}

/// A person asks for a file of a peer.
async fn fetch(ann: &Client, peer: &Peer, id: &str) -> Result<Vec<u8>, wayside_tests::CallError> {
    ann.download_path(&path("download", &format!("{}/{id}?timeout_ms=0", peer.server_name()))).await
}

/// What a peer answers for a file.
fn answers(peer: &Peer, id: &str, reply: PeerReply) {
    peer.answer(Method::GET, &format!("{DOWNLOAD}{id}"), move |_| reply.clone());
}

#[tokio::test]
async fn remote_media_is_shown_no_better_than_own() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let peer = abroad.town.peer()?.start().await?;
    let head = "Content-Type: text/html\r\nContent-Disposition: inline; filename=\"a\\\"b.html\"";
    answers(&peer, "page", PeerReply::bytes(KIND, parts(head, b"<script>")));
    let door = Wire::to(abroad.node.http())?;
    let token = format!("Bearer {}", abroad.ann.session().token());
    let place = format!("{}/page", peer.server_name());
    let asked = |path: String| {
        let (door, token) = (&door, &token);
        async move { door.ask("GET", &path, &[("authorization", token)], b"").await }
    };
    let answer = asked(path("download", &place)).await?;
    ensure!(answer.status == 200 && answer.body == b"<script>", "{}", answer.short());
    let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
    let disposition = header("content-disposition");
    ensure!(disposition == "attachment; filename*=UTF-8''a%22b.html", "{disposition}");
    ensure!(header("content-security-policy").starts_with("sandbox"), "no policy");
    ensure!(header("x-content-type-options") == "nosniff", "types are guessed");

    // Whoever shows no token has nothing fetched, and many at once have it fetched once.
    let place = format!("{}/other", peer.server_name());
    let nobody = door.ask("GET", &path("download", &place), &[], b"").await?;
    ensure!(nobody.status == 401 && times(&peer, &format!("{DOWNLOAD}other")) == 0);
    let slowly = PeerReply::bytes(KIND, parts("Content-Type: text/plain", b"once"));
    answers(&peer, "other", slowly.dripping(8, Duration::from_millis(10)));
    let ann = &abroad.ann;
    let (a, b, c) = try_join!(
        fetch(ann, &peer, "other"),
        fetch(ann, &peer, "other"),
        fetch(ann, &peer, "other")
    )?;
    ensure!(a == b"once" && a == b && b == c && fetch(ann, &peer, "other").await? == a);
    ensure!(times(&peer, &format!("{DOWNLOAD}other")) == 1, "{:?}", peer.requests());

    // Names that would lead elsewhere are asked of nobody.
    for id in ["..%2f..%2fserver", "%2e%2e", "..", "a%00b", "a%3fb", "a%20b", "%c3%a9"] {
        let before = peer.requests().len();
        let place = format!("{}/{id}", peer.server_name());
        let answer = asked(path("download", &place)).await?;
        ensure!(matches!(answer.status, 400 | 404), "{id}: {}", answer.short());
        ensure!(peer.requests().len() == before, "{id}: {:?}", peer.requests());
    }
    // Servers that are older answer as they did, to whoever asks.
    peer.answer(Method::GET, LEGACY, |_| PeerReply::bytes("text/plain", b"old".to_vec()));
    ensure!(fetch(ann, &peer, "old").await? == b"old");
    let request = peer.request(&Method::GET, LEGACY).await?;
    ensure!(request.path.contains("allow_remote=false"), "{request:?}");
    ensure!(request.header("authorization").is_none(), "{request:?}");
    abroad.end().await
}

#[tokio::test]
async fn remote_media_that_is_blocked_is_nobodys() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let peer = abroad.town.peer()?.start().await?;
    let root = Client::register(abroad.node.http(), "root").await?;
    let done = abroad.node.command(&["user", "role", "root", "--role", "operator"]).await?;
    ensure!(done.status.success(), "{done:?}");
    let (ann, picture) = (&abroad.ann, png(8, 8, 8));
    answers(&peer, "bad", PeerReply::bytes(KIND, parts("Content-Type: image/png", &picture)));
    ensure!(fetch(ann, &peer, "bad").await? == picture);
    let before = blobs(&abroad.node)?;
    let own = ann.upload("text/plain", b"own".to_vec()).await?;
    let theirs = format!("{}/bad", peer.server_name());
    let admin = |what: &str, place: &str| format!("/_synapse/admin/v1/media/{what}/{place}");
    let block = admin("quarantine", &theirs);
    refused(ann.post(&block, &json!({})).await, 403, "M_FORBIDDEN")?;
    refused(root.post(&admin("quarantine", "a%20b/x"), &json!({})).await, 400, "M_INVALID_PARAM")?;
    for place in [&*theirs, own.place()] {
        root.post(&admin("quarantine", place), &json!({})).await?;
        for what in ["download", "thumbnail"] {
            let path = format!("{}?width=8&height=8", path(what, place));
            refused(ann.download_path(&path).await, 404, "M_NOT_FOUND")?;
        }
    }
    // The copy is gone, the person's own file is kept for whoever looks into it, and no server has it.
    comes_true("the copy is gone", async || Ok(blobs(&abroad.node)? == before)).await?;
    let id = own.place().rsplit('/').next().context("an id")?;
    let (to, asked) = (abroad.node.destination(), format!("{DOWNLOAD}{id}"));
    let answer = peer.ask(&to, Method::GET, &asked, None).await?;
    ensure!(answer.status == 404, "{}", answer.short());
    ensure!(times(&peer, &format!("{DOWNLOAD}bad")) == 1, "what is blocked is asked for");
    for place in [&*theirs, own.place()] {
        root.post(&admin("unquarantine", place), &json!({})).await?;
        ann.download_path(&path("download", place)).await?;
    }
    ensure!(times(&peer, &format!("{DOWNLOAD}bad")) == 2, "it is not fetched again");
    abroad.end().await
}

#[tokio::test]
async fn hostile_remote_media_leaves_nothing() -> Result<()> {
    let most = (2 * MIB).to_string();
    let small = |options: wayside_tests::Options| {
        options
            .flag("--max-remote-file-bytes", Some(&MIB.to_string()))
            .flag("--remote-media-bytes", Some(&most))
    };
    let Some(abroad) = Abroad::begin(small).await? else { return Ok(()) };
    let (peer, failing) = (abroad.town.peer()?.start().await?, abroad.town.peer()?.start().await?);
    let (ann, plain) = (&abroad.ann, "Content-Type: text/plain");
    let before = blobs(&abroad.node)?;
    let elsewhere = |to: &str| parts(&format!("Location: {to}"), b"");
    let mut three = parts(plain, b"x");
    three.truncate(three.len() - 4);
    let three = [three, b"\r\n\r\ny\r\n--b--\r\n".to_vec()].concat();
    let mut cut_off = parts(plain, b"x");
    cut_off.truncate(cut_off.len() - 9);
    let long_head = format!("{plain}\r\nX: {}", "x".repeat(100_000));
    let many_heads = format!("{plain}\r\n{}X: y", "X: y\r\n".repeat(100_000));
    let bytes = PeerReply::bytes;
    let peers = peer.server_name();
    let wrong = [
        ("boundary", bytes("multipart/mixed; boundary=c", parts(plain, b"x"))),
        ("none", bytes("text/plain", b"x".to_vec())),
        ("one", bytes(KIND, b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n--b--".to_vec())),
        ("three", bytes(KIND, three)),
        ("cut", bytes(KIND, cut_off)),
        ("long", bytes(KIND, parts(&long_head, b"x"))),
        ("many", bytes(KIND, parts(&many_heads, b"x"))),
        ("preamble", bytes(KIND, vec![b'x'; 8 * MIB])),
        ("plain", bytes(KIND, elsewhere("http://nowhere.test/x"))),
        ("password", bytes(KIND, elsewhere(&format!("https://a:b@{peers}/x")))),
        ("relative", bytes(KIND, elsewhere("/x"))),
        ("nowhere", bytes(KIND, elsewhere(&format!("https://{peers}/nowhere")))),
        ("file", bytes(KIND, elsewhere("file:///etc/passwd"))),
        ("closed", bytes(KIND, elsewhere("https://nowhere.test/x"))),
        ("moved", bytes(KIND, Vec::new()).status(302).header("location", "https://nowhere.test/")),
    ];
    for (id, reply) in wrong {
        answers(&peer, id, reply);
        let answer = fetch(ann, &peer, id).await;
        refused(answer, 502, "M_UNKNOWN").with_context(|| id.to_owned())?;
        // Nobody is asked for it again and again.
        refused(fetch(ann, &peer, id).await, 502, "M_UNKNOWN")?;
        let asked = times(&peer, &format!("{DOWNLOAD}{id}"));
        ensure!(asked == 1, "{id} was asked for {asked} times");
    }
    let endless = bytes(KIND, parts(plain, &vec![0; 16 * MIB]));
    answers(&peer, "large", endless.clone());
    answers(&peer, "endless", endless.dripping(64 * 1024, Duration::ZERO));
    for id in ["large", "endless"] {
        refused(fetch(ann, &peer, id).await, 502, "M_TOO_LARGE").with_context(|| id.to_owned())?;
    }
    answers(&peer, "gone", PeerReply::refusal(404, "M_NOT_FOUND", "no such file"));
    refused(fetch(ann, &peer, "gone").await, 404, "M_NOT_FOUND")?;
    answers(&peer, "later", PeerReply::refusal(504, "M_NOT_YET_UPLOADED", "wait"));
    refused(fetch(ann, &peer, "later").await, 504, "M_NOT_YET_UPLOADED")?;
    answers(&peer, "later", bytes(KIND, parts(plain, b"late")));
    ensure!(fetch(ann, &peer, "later").await? == b"late", "what is to come is asked for again");

    // Where a file lies elsewhere, it is fetched from there.
    answers(&peer, "led", bytes(KIND, elsewhere(&format!("https://{peers}/store/led"))));
    peer.answer(Method::GET, "/store/led", |_| PeerReply::bytes("text/plain", b"led".to_vec()));
    ensure!(fetch(ann, &peer, "led").await? == b"led");

    // Drops that come too slowly are waited for no longer than they are worth.
    let drops = bytes(KIND, parts(plain, &[0; 4_000])).dripping(1, Duration::from_millis(200));
    answers(&peer, "slow", drops);
    refused(fetch(ann, &peer, "slow").await, 502, "M_UNKNOWN").context("slow")?;
    answers(&failing, "a", PeerReply::refusal(500, "M_UNKNOWN", "no"));
    refused(fetch(ann, &failing, "a").await, 502, "M_UNKNOWN")?;
    refused(fetch(ann, &failing, "b").await, 502, "M_UNKNOWN")?;
    ensure!(times(&failing, DOWNLOAD) == 1, "it is not left alone: {:?}", failing.requests());
    comes_true("nothing is left of what broke off", async || {
        Ok(files(&abroad.node, "unfinished")?.is_empty() && blobs(&abroad.node)? == before + 2)
    })
    .await?;

    // There is room for two of these; what was used least lately goes first.
    for id in ["first", "second", "third"] {
        let seed = u8::try_from(id.len())?;
        answers(&peer, id, bytes(KIND, parts(plain, &vec![seed; 900_000])));
        ensure!(fetch(ann, &peer, id).await?.len() == 900_000);
    }
    ensure!(fetch(ann, &peer, "third").await?.len() == 900_000);
    ensure!(times(&peer, &format!("{DOWNLOAD}third")) == 1, "the newest went");
    ensure!(fetch(ann, &peer, "first").await?.len() == 900_000);
    ensure!(times(&peer, &format!("{DOWNLOAD}first")) == 2, "the oldest stayed");
    abroad.end().await
}
