//! Pages that people link to are previewed, by a node that is allowed to and reaches nothing private.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Router,
    body::Body,
    extract::State,
    http::{StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use wayside_tests::{CallError, Client, MediaUri};

use crate::{
    pictures::png,
    stage::{Stage, escaped, refused, stories},
};

stories! {
    a_page_is_previewed_with_its_picture;
    what_is_no_page_says_so;
    previews_reach_nothing_that_is_not_public;
    previews_are_off_until_they_are_wanted;
}

const PREVIEW: &str = "/_matrix/client/v1/media/preview_url";

const PAGE: &str = r#"<!doctype html><html><head>
<title>Not this one</title>
<meta property="og:title" content="Tea &amp; Cake">
<meta name="description" content="All about tea.">
<meta property="og:image" content="/picture.png?large">
<meta property="og:image:width" content="9999">
</head><body><script>"<meta property='og:title' content='nor this'>"</script></body></html>"#;

/// A site, and how often each of its pages was asked for.
struct Site {
    base: String,
    asked: Arc<Mutex<HashMap<String, usize>>>,
    serving: JoinHandle<()>,
}

impl Site {
    async fn open() -> Result<Self> {
        let asked: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", socket.local_addr()?);
        let router = Router::new().fallback(answer).with_state(asked.clone());
        let serving = tokio::spawn(async move {
            // It ends with the story.
            let _ended = axum::serve(socket, router).await;
        });
        Ok(Self { base, asked, serving })
    }

    fn asked(&self, path: &str) -> usize {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(path)
            .copied()
            .unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(asked): State<Arc<Mutex<HashMap<String, usize>>>>, uri: Uri) -> Response {
    *asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .entry(uri.path().to_owned())
        .or_default() += 1;
    let html = "text/html; charset=utf-8";
    let page = |body: &str| ([(header::CONTENT_TYPE, html)], body.to_owned()).into_response();
    match uri.path() {
        "/" => page(PAGE),
        "/picture.png" => ([(header::CONTENT_TYPE, "image/png")], png(6, 4, 4)).into_response(),
        "/leads" => (StatusCode::FOUND, [(header::LOCATION, "/")]).into_response(),
        "/round" => (StatusCode::FOUND, [(header::LOCATION, "/round")]).into_response(),
        "/bad-picture" => page("<title>t</title><meta property=og:image content=/leads>"),
        "/windows" => (
            [(header::CONTENT_TYPE, "text/html; charset=windows-1252")],
            b"<title>caf\xe9".to_vec(),
        )
            .into_response(),
        "/text" => ([(header::CONTENT_TYPE, "text/plain")], "<title>no</title>").into_response(),
        "/empty" => page(""),
        "/not-a-picture.png" => {
            ([(header::CONTENT_TYPE, "image/png")], "no picture").into_response()
        }
        "/endless" => {
            let first = stream::iter([b"<title>first</title>".to_vec()]);
            let rest = stream::repeat_with(|| vec![b' '; 64 * 1024]);
            let body = Body::from_stream(first.chain(rest).map(Ok::<_, std::io::Error>));
            ([(header::CONTENT_TYPE, html)], body).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn previewing(stage: &mut Stage, private: bool) -> Result<()> {
    stage.node.stop().await?;
    stage.node = stage
        .other("v", |it| {
            let it = it.flag("--url-previews", None).flag("--media-quota-bytes", Some("1"));
            if private { it.flag("--allow-private-addresses", None) } else { it }
        })
        .await?;
    Ok(())
}

async fn preview(person: &Client, url: &str) -> Result<Value, CallError> {
    person.get(&format!("{PREVIEW}?url={}&ts=1", escaped(url))).await
}

// Operations: getUrlPreviewAuthed.
async fn a_page_is_previewed_with_its_picture(stage: &mut Stage) -> Result<()> {
    previewing(stage, true).await?;
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let site = Site::open().await?;
    let url = format!("{}/leads#part", site.base);
    // However many ask at once, the page is fetched once.
    let (told, other, again) =
        tokio::try_join!(preview(&ann, &url), preview(&bob, &url), preview(&ann, &url))?;
    ensure!(told == other && told == again, "{told} {other}");
    ensure!(told["og:title"] == "Tea & Cake", "{told}");
    ensure!(told["og:description"] == "All about tea.", "{told}");
    ensure!(told["og:image:width"] == 6 && told["og:image:height"] == 4, "{told}");
    ensure!(told["og:image:type"] == "image/png", "{told}");
    let picture = png(6, 4, 4);
    ensure!(told["matrix:image:size"] == picture.len(), "{told}");
    let uri = told["og:image"].as_str().context("a picture")?.to_owned();
    ensure!(uri.starts_with("mxc://v.test/"), "{uri}");
    // It counts against nobody's quota, which here leaves room for nothing.
    ensure!(bob.download(&MediaUri::known(&uri)).await? == picture);
    preview(&bob, &format!("{}/leads", site.base)).await?;
    for path in ["/leads", "/", "/picture.png"] {
        ensure!(site.asked(path) == 1, "{path}: {}", site.asked(path));
    }
    stage.restart().await?;
    let bob = bob.at(stage.node.http());
    ensure!(bob.download(&MediaUri::known(&uri)).await? == picture);
    let thumbnail = format!(
        "/_matrix/client/v1/media/thumbnail/{}?width=32&height=32&method=scale",
        uri.trim_start_matches("mxc://")
    );
    let made = bob.download_path(&thumbnail).await?;
    ensure!(made.starts_with(b"\x89PNG"), "{} bytes", made.len());
    Ok(())
}

async fn what_is_no_page_says_so(stage: &mut Stage) -> Result<()> {
    previewing(stage, true).await?;
    let ann = stage.person("ann").await?;
    let site = Site::open().await?;
    let at = |path: &str| format!("{}{path}", site.base);
    let picture = preview(&ann, &at("/picture.png")).await?;
    ensure!(picture["og:image:width"] == 6 && picture.get("og:title").is_none(), "{picture}");
    for (path, expected) in [
        ("/windows", json!({ "og:title": "café" })),
        ("/bad-picture", json!({ "og:title": "t" })),
        ("/endless", json!({ "og:title": "first" })),
        ("/text", json!({})),
        ("/empty", json!({})),
        ("/not-a-picture.png", json!({})),
    ] {
        let told = preview(&ann, &at(path)).await?;
        ensure!(told == expected, "{path}: {told}");
    }
    for path in ["/none", "/none", "/round"] {
        refused(preview(&ann, &at(path)).await, 502, "M_UNKNOWN")?;
    }
    ensure!(site.asked("/none") == 1, "that there is nothing is remembered");
    // Nobody listens there any more.
    let closed = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    refused(preview(&ann, &format!("http://{closed}/")).await, 502, "M_UNKNOWN")?;
    let long = at(&format!("/{}", "x".repeat(2_048)));
    for wrong in ["", "nowhere", "file:///etc/passwd", "ftp://a.test/", "http://a:b@a.test/", &long]
    {
        refused(preview(&ann, wrong).await, 400, "M_INVALID_PARAM")?;
    }
    refused(ann.get(PREVIEW).await, 400, "M_MISSING_PARAM")
}

async fn previews_reach_nothing_that_is_not_public(stage: &mut Stage) -> Result<()> {
    previewing(stage, false).await?;
    let ann = stage.person("ann").await?;
    let site = Site::open().await?;
    let port = site.base.rsplit(':').next().context("a port")?;
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f000001",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00::1]",
        "[64:ff9b::7f00:1]",
    ] {
        let answer = preview(&ann, &format!("http://{host}:{port}/")).await;
        refused(answer, 403, "M_FORBIDDEN").with_context(|| host.to_owned())?;
    }
    ensure!(site.asked("/") == 0, "nobody called it");
    Ok(())
}

async fn previews_are_off_until_they_are_wanted(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let site = Site::open().await?;
    refused(preview(&ann, &site.base).await, 404, "M_UNRECOGNIZED")?;
    ensure!(site.asked("/") == 0, "nobody called it");
    Ok(())
}
