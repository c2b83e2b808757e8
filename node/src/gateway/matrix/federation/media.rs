//! Files of this node for other servers, in two parts (server-server API, content repository).

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Method, header};
use tokio_util::io::ReaderStream;
use wayside_specs::limits;

use super::queries::{field, needed, number, truth};
use crate::{
    gateway::{
        fault::Fault,
        matrix::client::media::{disposition, is_shown},
        table::{Access, Call, Rate, Reply, Route},
    },
    services::{
        Error,
        content::{Served, ThumbnailWish},
    },
};

pub(super) fn routes() -> Vec<Route> {
    let (server, rate) = (Access::Server, Rate::Federation);
    vec![
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/media/download/{media_id}",
            server,
            rate,
            download,
        ),
        Route::own(
            Method::GET,
            "/_matrix/federation/v1/media/thumbnail/{media_id}",
            server,
            rate,
            thumbnail,
        ),
    ]
}

/// Letters between the parts: as many as can stand in no file by chance.
const BOUNDARY_CHARS: usize = 32;
/// How long a file is waited for that is still to come, where the query does not say.
const WAIT_MS: u64 = 20_000;

async fn download(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (media_id, wait) = (media_id(&call)?, wait(&call)?);
    let services = &call.app.services;
    let served = services.content.for_servers(media_id, wait).await?;
    parts(&call, served)
}

async fn thumbnail(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (media_id, wait) = (media_id(&call)?, wait(&call)?);
    let crop = match field(&call, "method").as_deref() {
        None | Some("scale") => false,
        Some("crop") => true,
        Some(_) => return Err(Fault::BadParameter("method is crop or scale".to_owned())),
    };
    let (width, height) = (number(&needed(&call, "width")?)?, number(&needed(&call, "height")?)?);
    let animated = field(&call, "animated").map(|text| truth(&text)).transpose()? == Some(true);
    let wish = ThumbnailWish { width, height, crop, animated };
    let services = &call.app.services;
    let own = &services.ground.server_name;
    parts(&call, services.content.thumbnail(own, media_id, wish, wait).await?)
}

fn media_id(call: &Call<Bytes>) -> Result<&str, Fault> {
    Ok(call.path.first().ok_or(Fault::Unrecognized)?)
}

fn wait(call: &Call<Bytes>) -> Result<Duration, Fault> {
    let wait_ms = field(call, "timeout_ms").map(|text| number(&text)).transpose()?;
    Ok(Duration::from_millis(wait_ms.unwrap_or(WAIT_MS).min(limits::DOWNLOAD_WAIT_MS)))
}

/// A file as a reply: an object that says nothing as yet, and the bytes.
fn parts(call: &Call<Bytes>, served: Served) -> Result<Reply, Fault> {
    let boundary = call.app.services.ground.clock.random_name(BOUNDARY_CHARS);
    let kind = served.content_type.unwrap_or_default();
    let shown = disposition(is_shown(&kind), served.file_name.as_deref());
    let unknown = HeaderValue::from_static("application/octet-stream");
    let kind = HeaderValue::try_from(kind).ok().filter(|kind| !kind.is_empty()).unwrap_or(unknown);
    let mut begin = format!(
        "--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\nContent-Type: "
    )
    .into_bytes();
    begin.extend_from_slice(kind.as_bytes());
    begin.extend_from_slice(b"\r\nContent-Disposition: ");
    begin.extend_from_slice(shown.as_bytes());
    begin.extend_from_slice(b"\r\n\r\n");
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    let length = begin.len() as u64 + served.size + end.len() as u64;
    let whole = |bytes: Vec<u8>| stream::iter([Ok::<_, std::io::Error>(Bytes::from(bytes))]);
    let body = whole(begin).chain(ReaderStream::new(served.file)).chain(whole(end));
    let mut reply = Reply::new(Body::from_stream(body));
    let kind = HeaderValue::try_from(format!("multipart/mixed; boundary={boundary}"));
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.map_err(Error::internal)?);
    headers.insert(header::CONTENT_LENGTH, length.into());
    Ok(reply)
}
