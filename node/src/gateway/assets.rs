//! Files by their hash: they never change, so whoever fetched one once need not ask again.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{
    fault::Fault,
    table::{Access, Call, Rate, Reply, Route},
};
use crate::services::{Error, content::Served};

/// Kept for a year by everybody who passes it on (RFC 8246).
const FOREVER: &str = "public, max-age=31536000, immutable";

pub(super) fn routes() -> Vec<Route> {
    let (read, public) = (Rate::Read, Access::Public);
    vec![
        Route::own(Method::GET, "/_wayside/v1/assets/{hash}", public, read, asset),
        Route::own(Method::GET, "/_wayside/v1/bodies/{seed}", public, read, body),
        Route::own(Method::GET, "/_wayside/v1/motions/{name}", public, read, motion),
    ]
}

/// A scene, a picture of one, or a body that somebody uploaded.
async fn asset(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let mut hash = [0; 32];
    if text.len() != 64 || hex::decode_to_slice(text, &mut hash).is_err() {
        return Err(Fault::BadParameter("a hash is 64 hexadecimal digits".to_owned()));
    }
    let etag = format!("\"{}\"", hex::encode(hash));
    if is_known(call.request.headers(), &etag) {
        return Ok(not_modified(&etag));
    }
    let served = call.app.services.content.asset(&hash).await?;
    let range = call.request.headers().get(header::RANGE).and_then(|it| it.to_str().ok());
    sent(served, range, &etag).await
}

/// The generated body of a seed.
async fn body(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let seed = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    let seed =
        seed.ok_or_else(|| Fault::BadParameter("a seed is 16 hexadecimal digits".to_owned()))?;
    // Made anew by each version of the node: kept for a day, not for ever.
    let etag = format!("\"{seed:016x}-{}\"", env!("CARGO_PKG_VERSION"));
    if is_known(call.request.headers(), &etag) {
        return Ok(not_modified(&etag));
    }
    Ok(made(&call.app.services.bodies.generated(seed).await?, &etag))
}

/// What bodies do.
async fn motion(call: Call<Bytes>) -> Result<Reply, Fault> {
    let name = call.path.first().map(String::as_str).unwrap_or_default();
    let etag = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    if is_known(call.request.headers(), &etag) {
        return Ok(not_modified(&etag));
    }
    Ok(made(&call.app.services.bodies.motion(name).await?, &etag))
}

/// Something that the node makes itself.
fn made(bytes: &[u8], etag: &str) -> Reply {
    let mut reply = Reply::new(Body::from(Bytes::copy_from_slice(bytes)));
    headed(reply.headers_mut(), "model/gltf-binary", etag);
    let day = HeaderValue::from_static("public, max-age=86400");
    reply.headers_mut().insert(header::CACHE_CONTROL, day);
    reply
}

async fn sent(served: Served, range: Option<&str>, etag: &str) -> Result<Reply, Fault> {
    let Served { mut file, size, content_type, .. } = served;
    let kind = content_type.unwrap_or_default();
    let part = match range.map(|range| part_of(range, size)) {
        None | Some(Asked::Whole) => None,
        Some(Asked::Part(first, last)) => Some((first, last)),
        Some(Asked::Beyond) => {
            let mut reply = Reply::new(Body::empty());
            *reply.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            let whole =
                HeaderValue::try_from(format!("bytes */{size}")).map_err(Error::internal)?;
            reply.headers_mut().insert(header::CONTENT_RANGE, whole);
            return Ok(reply);
        }
    };
    let (status, bytes, body) = if let Some((first, last)) = part {
        file.seek(std::io::SeekFrom::Start(first)).await.map_err(Error::internal)?;
        let bytes = last - first + 1;
        (StatusCode::PARTIAL_CONTENT, bytes, Body::from_stream(ReaderStream::new(file.take(bytes))))
    } else {
        (StatusCode::OK, size, Body::from_stream(ReaderStream::new(file)))
    };
    let mut reply = Reply::new(body);
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headed(headers, &kind, etag);
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    if let Some((first, last)) = part {
        let range = HeaderValue::try_from(format!("bytes {first}-{last}/{size}"));
        headers.insert(header::CONTENT_RANGE, range.map_err(Error::internal)?);
    }
    Ok(reply)
}

/// What every file says: what it is, and that it can do nothing on this origin.
fn headed(headers: &mut HeaderMap, kind: &str, etag: &str) {
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::try_from(kind).unwrap_or(unknown));
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    let policy = HeaderValue::from_static("sandbox; default-src 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    let anywhere = HeaderValue::from_static("cross-origin");
    headers.insert("cross-origin-resource-policy", anywhere);
}

fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    known.is_some_and(|known| known.split(',').any(|it| it.trim().trim_start_matches("W/") == etag))
}

fn not_modified(etag: &str) -> Reply {
    let mut reply = Reply::new(Body::empty());
    *reply.status_mut() = StatusCode::NOT_MODIFIED;
    if let Ok(etag) = HeaderValue::try_from(etag) {
        reply.headers_mut().insert(header::ETAG, etag);
    }
    reply
}

/// What a `Range` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    /// From the first to the last byte.
    Part(u64, u64),
    Beyond,
}

/// One range of bytes; several, or what is none, is answered with the whole (RFC 9110, 14.2).
fn part_of(range: &str, size: u64) -> Asked {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|it| it.split_once('-')) else {
        return Asked::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    match (number(first), number(last)) {
        (Ok(first), _) if first >= size => Asked::Beyond,
        (Ok(first), Ok(last)) if last >= first => Asked::Part(first, last.min(size - 1)),
        (Ok(first), Err(_)) if last.trim().is_empty() => Asked::Part(first, size - 1),
        (Err(_), Ok(0)) if first.trim().is_empty() => Asked::Beyond,
        (Err(_), Ok(end)) if first.trim().is_empty() && size > 0 => {
            Asked::Part(size.saturating_sub(end), size - 1)
        }
        _ => Asked::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_or_the_whole_is_sent() {
        for (range, asked) in [
            ("bytes=0-9", Asked::Part(0, 9)),
            ("bytes=90-", Asked::Part(90, 99)),
            ("bytes=90-1000", Asked::Part(90, 99)),
            ("bytes=-10", Asked::Part(90, 99)),
            ("bytes=-1000", Asked::Part(0, 99)),
            ("bytes=100-", Asked::Beyond),
            ("bytes=-0", Asked::Beyond),
            ("bytes=9-0", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("lines=0-1", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(part_of(range, 100), asked, "{range}");
        }
        bolero::check!().with_type::<(String, u64)>().for_each(|(range, size)| {
            if let Asked::Part(first, last) = part_of(range, *size) {
                assert!(first <= last && last < *size);
            }
        });
    }
}
