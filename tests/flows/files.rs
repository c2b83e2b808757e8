//! Files: sent at once or later, fetched whole or smaller, and safe to show.

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Result, ensure};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use wayside_tests::{Client, MediaUri, Options};

use crate::{
    pictures,
    stage::{Deeds, Stage, escaped, refused, stories},
};

stories! {
    a_file_comes_back_as_it_was_sent;
    a_file_can_follow_its_name;
    a_picture_is_made_smaller;
    everybody_has_room_of_their_own;
    a_file_that_nothing_names_is_swept_at_the_next_start;
}

const MEDIA: &str = "/_matrix/client/v1/media";

/// A request of somebody signed in, answered with its headers.
async fn fetch(
    who: &Client,
    stage: &Stage,
    method: Method,
    path: &str,
    body: &[u8],
) -> Result<Response> {
    let request = reqwest::Client::new().request(method, stage.node.http().join(path)?);
    let request = request.bearer_auth(who.session().token()).header("content-type", "text/html");
    Ok(request.body(body.to_vec()).send().await?)
}

fn header(answer: &Response, name: &str) -> String {
    answer.headers().get(name).and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned()
}

// Operations: getContentAuthed, getContentOverrideNameAuthed, uploadContent.
async fn a_file_comes_back_as_it_was_sent(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let (other, nobody) = (stage.person("bob").await?, Client::nobody(stage.node.http())?);
    let upload = "/_matrix/media/v3/upload?filename=caf%C3%A9.html";
    let answer: serde_json::Value =
        fetch(&ann, stage, Method::POST, upload, b"<script>").await?.json().await?;
    let uri = MediaUri::known(answer["content_uri"].as_str().unwrap_or_default());
    ensure!(uri.as_str().starts_with("mxc://a.test/"), "{answer}");
    ensure!(other.download(&uri).await? == b"<script>");
    for (path, name) in [
        (String::new(), "caf%C3%A9.html"),
        (format!("/{}", escaped("a \"b\".html")), "a%20%22b%22.html"),
    ] {
        let path = format!("{MEDIA}/download/{}{path}", uri.place());
        let answer = fetch(&other, stage, Method::GET, &path, b"").await?;
        // What a browser could run is never shown on this origin.
        ensure!(
            header(&answer, "content-disposition")
                == format!("attachment; filename*=UTF-8''{name}"),
            "{answer:?}"
        );
        ensure!(
            header(&answer, "content-type") == "text/html"
                && header(&answer, "x-content-type-options") == "nosniff",
            "{answer:?}"
        );
        ensure!(header(&answer, "content-security-policy").contains("sandbox"), "{answer:?}");
        ensure!(header(&answer, "cross-origin-resource-policy") == "cross-origin", "{answer:?}");
    }
    let text = ann.upload("text/plain", b"hello".to_vec()).await?;
    let answer =
        fetch(&ann, stage, Method::GET, &format!("{MEDIA}/download/{}", text.place()), b"").await?;
    ensure!(header(&answer, "content-disposition") == "inline", "{answer:?}");
    refused(nobody.download(&uri).await, 401, "M_MISSING_TOKEN")?;
    refused(ann.download(&MediaUri::known("mxc://a.test/none")).await, 404, "M_NOT_FOUND")?;
    // No server is at an address of this machine.
    let nowhere = MediaUri::known("mxc://127.0.0.1/none");
    refused(ann.download(&nowhere).await, 502, "M_UNKNOWN")?;
    refused(nobody.upload("text/plain", vec![]).await, 401, "M_MISSING_TOKEN")
}

// Operations: createContent, uploadContentToMXC.
async fn a_file_can_follow_its_name(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let made = ann.post("/_matrix/media/v1/create", &json!({})).await?;
    ensure!(made["unused_expires_at"].is_u64(), "{made}");
    let uri = MediaUri::known(made["content_uri"].as_str().unwrap_or_default());
    refused(bob.download(&uri).await, 504, "M_NOT_YET_UPLOADED")?;
    refused(bob.upload_to(&uri, b"mine".to_vec()).await, 403, "M_FORBIDDEN")?;
    refused(
        ann.upload_to(&MediaUri::known("mxc://a.test/none"), vec![]).await,
        404,
        "M_NOT_FOUND",
    )?;
    refused(
        ann.upload_to(&MediaUri::known("mxc://b.test/none"), vec![]).await,
        404,
        "M_NOT_FOUND",
    )?;
    // The name outlives a restart, and who waits for the file is answered when it comes.
    stage.restart().await?;
    let (ann, bob) = (ann.at(stage.node.http()), bob.at(stage.node.http()));
    let path = format!("{MEDIA}/download/{}?timeout_ms=20000", uri.place());
    let waits = fetch(&bob, stage, Method::GET, &path, b"");
    let comes = async {
        tokio::task::yield_now().await;
        ann.upload_to(&uri, b"late".to_vec()).await
    };
    let (waited, came) = tokio::join!(waits, comes);
    came?;
    let waited = waited?;
    ensure!(waited.status() == StatusCode::OK && waited.bytes().await? == "late");
    refused(ann.upload_to(&uri, b"other".to_vec()).await, 409, "M_CANNOT_OVERWRITE_MEDIA")?;
    refused(bob.upload_to(&uri, b"other".to_vec()).await, 409, "M_CANNOT_OVERWRITE_MEDIA")?;
    ensure!(bob.download(&uri).await? == b"late");
    let whole = ann.upload("text/plain", b"whole".to_vec()).await?;
    refused(ann.upload_to(&whole, b"other".to_vec()).await, 409, "M_CANNOT_OVERWRITE_MEDIA")?;

    // A hundred names may wait for their files at once; each file that comes makes room for one.
    let mut names = Vec::new();
    for _ in 0..100 {
        names.push(bob.reserve_media().await?);
    }
    let create = async || bob.post("/_matrix/media/v1/create", &json!({})).await;
    refused(create().await, 429, "M_LIMIT_EXCEEDED")?;
    bob.upload_to(&names[0], b"one".to_vec()).await?;
    create().await?;
    refused(create().await, 429, "M_LIMIT_EXCEEDED")?;
    ann.reserve_media().await?;
    refused(
        Client::nobody(stage.node.http())?
            .put("/_matrix/media/v3/upload/a.test/x", &json!({}))
            .await,
        401,
        "M_MISSING_TOKEN",
    )
}

// Operations: getContentThumbnailAuthed.
async fn a_picture_is_made_smaller(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let picture = ann.upload("image/png", pictures::png(400, 200, 200)).await?;
    let thumbnail = |query: &str| format!("{MEDIA}/thumbnail/{}?{query}", picture.place());
    for (query, size) in [
        ("width=64&height=64", (64, 32)),
        ("width=64&height=64&method=crop", (64, 64)),
        ("width=64&height=64&method=scale&animated=false", (64, 32)),
    ] {
        let answer = fetch(&ann, stage, Method::GET, &thumbnail(query), b"").await?;
        ensure!(
            answer.status() == StatusCode::OK && header(&answer, "content-type") == "image/png",
            "{query}: {answer:?}"
        );
        ensure!(header(&answer, "content-disposition").starts_with("inline"), "{answer:?}");
        let made = pictures::size(&answer.bytes().await?)?;
        ensure!(made == size, "{query}: {made:?}");
    }
    // What moves does so for who asks for it, and stands still for all others.
    let moving = ann.upload("image/gif", pictures::gif(400, 200, 3)).await?;
    for (query, kind) in [
        ("width=64&height=64&animated=true", "image/gif"),
        ("width=64&height=64", "image/png"),
        ("width=64&height=64&animated=false", "image/png"),
    ] {
        let path = format!("{MEDIA}/thumbnail/{}?{query}", moving.place());
        let answer = fetch(&ann, stage, Method::GET, &path, b"").await?;
        ensure!(header(&answer, "content-type") == kind, "{query}: {answer:?}");
        ensure!(header(&answer, "content-disposition").starts_with("inline"), "{answer:?}");
    }
    refused(ann.get(&thumbnail("width=0&height=64")).await, 400, "M_INVALID_PARAM")?;
    refused(ann.get(&thumbnail("height=64")).await, 400, "M_MISSING_PARAM")?;
    let text = ann.upload("text/plain", b"no picture".to_vec()).await?;
    let path = format!("{MEDIA}/thumbnail/{}?width=64&height=64", text.place());
    refused(ann.get(&path).await, 400, "M_INVALID_PARAM")?;
    let uri = ann.reserve_media().await?;
    let path = format!("{MEDIA}/thumbnail/{}?width=64&height=64&timeout_ms=0", uri.place());
    refused(ann.get(&path).await, 504, "M_NOT_YET_UPLOADED")
}

// Operations: getConfigAuthed.
async fn everybody_has_room_of_their_own(stage: &mut Stage) -> Result<()> {
    stage.node.stop().await?;
    let small = |it: Options| {
        it.flag("--media-quota-bytes", Some("1000")).flag("--max-upload-bytes", Some("900"))
    };
    stage.node = stage.other("q", small).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let send = async |who: &Client, bytes: usize| who.upload("text/plain", vec![b'x'; bytes]).await;
    let config = ann.get(&format!("{MEDIA}/config")).await?;
    ensure!(config["m.upload.size"] == 900, "{config}");
    refused(send(&ann, 901).await, 413, "M_TOO_LARGE")?;
    let kept = send(&ann, 600).await?;
    // What does not fit is not kept, and takes no room.
    for _ in 0..2 {
        refused(send(&ann, 401).await, 413, "M_TOO_LARGE")?;
    }
    let awaited = ann.reserve_media().await?;
    refused(ann.upload_to(&awaited, vec![b'x'; 401]).await, 413, "M_TOO_LARGE")?;
    ann.upload_to(&awaited, vec![b'x'; 300]).await?;
    stage.restart().await?;
    let (ann, bob) = (ann.at(stage.node.http()), bob.at(stage.node.http()));
    // The same bytes again take room again, for they have a name more.
    send(&ann, 100).await?;
    refused(send(&ann, 1).await, 403, "M_FORBIDDEN")?;
    ensure!(ann.download(&kept).await?.len() == 600, "what is there stays");
    send(&bob, 900).await?;
    send(&bob, 100).await?;
    refused(send(&bob, 1).await, 403, "M_FORBIDDEN")
}

/// Makes a file look as if it had been written hours ago.
fn make_old(file: &Path) -> Result<()> {
    let hours_ago = SystemTime::now() - Duration::from_hours(3);
    Ok(File::options().write(true).open(file)?.set_modified(hours_ago)?)
}

async fn a_file_that_nothing_names_is_swept_at_the_next_start(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let uri = ann.upload("text/plain", b"named".to_vec()).await?;
    let blobs = stage.node.data().join("blobs");
    for shelf in fs::read_dir(&blobs)? {
        for file in fs::read_dir(shelf?.path())? {
            make_old(&file?.path())?;
        }
    }
    // On the last shelf, so that all others have been gone through when it goes.
    let shelf = blobs.join("ff");
    fs::create_dir_all(&shelf)?;
    let orphan = |digit: &str| shelf.join(format!("ff{}", digit.repeat(62)));
    let (old, new) = (orphan("0"), orphan("1"));
    for file in [&old, &new] {
        fs::write(file, "nobody's")?;
    }
    make_old(&old)?;
    stage.restart().await?;
    let begun = Instant::now();
    while old.exists() {
        ensure!(begun.elapsed() < Duration::from_secs(30), "it is still there");
        reqwest::get(stage.node.http().join("/health/live")?).await?;
    }
    ensure!(new.exists(), "somebody may be about to name it");
    ensure!(ann.at(stage.node.http()).download(&uri).await? == b"named", "it is named");
    Ok(())
}
