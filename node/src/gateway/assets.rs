//! Files by their hash: they never change, so whoever fetched one once need not ask again.
//!
//! Scenes and bodies go out packed to those who take them so; a part of a file is always one of the
//! file as it is.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use super::{
    fault::Fault,
    table::{Access, Call, Rate, Reply, Route},
};
use crate::services::{
    Error,
    content::{Forms, Served},
};

/// Kept for a year by everybody who passes it on (RFC 8246).
const FOREVER: &str = "public, max-age=31536000, immutable";
/// Kept for a day by whoever was shown it.
const LENT: &str = "private, max-age=86400, immutable";

#[derive(Deserialize)]
struct Loan {
    loan: Option<String>,
}

pub(super) fn routes() -> Vec<Route> {
    let (read, public) = (Rate::Read, Access::Public);
    vec![
        shown_to_all(),
        Route::own(Method::GET, "/_wayside/v1/bodies/{seed}", public, read, body),
        Route::own(Method::GET, "/_wayside/v1/motions/{name}", public, read, motion),
    ]
}

/// The one by which other nodes see what a world here looks like.
pub(super) fn shown_to_all() -> Route {
    Route::own(Method::GET, "/_wayside/v1/assets/{hash}", Access::Public, Rate::Read, asset)
}

/// A scene, a picture of one, or a body that somebody uploaded.
async fn asset(call: Call<Bytes>) -> Result<Reply, Fault> {
    let hash = hash_of(call.path.first().map(String::as_str).unwrap_or_default())?;
    let (tags, headers) = (Tags::of(&hex::encode(hash)), call.request.headers());
    if let Some(known) = tags.known(headers) {
        return Ok(not_modified(known));
    }
    let content = &call.app.services.content;
    let loan = axum::extract::Query::<Loan>::try_from_uri(call.request.uri());
    let loan = loan.ok().and_then(|query| query.0.loan);
    let served = content.asset(&hash, loan.as_deref()).await?;
    let range = headers.get(header::RANGE).and_then(|it| it.to_str().ok());
    // Who asks for the rest of another form would put together what does not belong together.
    let fits = headers.get(header::IF_RANGE).is_none_or(|it| it == tags.whole.as_str());
    let range = range.filter(|_| fits);
    let mut reply = if range.is_none()
        && takes_gzip(headers)
        && let Some(packed) = content.packed(&served).await
    {
        packed_reply(packed, &served.content_type.unwrap_or_default(), &tags)
    } else {
        sent(served, range, &tags.whole).await?
    };
    // What is lent is passed on by nobody.
    let kept = HeaderValue::from_static(if loan.is_some() { LENT } else { FOREVER });
    reply.headers_mut().insert(header::CACHE_CONTROL, kept);
    Ok(reply)
}

/// The generated body of a seed.
async fn body(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let seed = (text.len() == 16).then(|| u64::from_str_radix(text, 16).ok()).flatten();
    let seed =
        seed.ok_or_else(|| Fault::BadParameter("a seed is 16 hexadecimal digits".to_owned()))?;
    // Made anew by each version of the node: kept for a day, not for ever.
    let tags = Tags::of(&format!("{seed:016x}-{}", env!("CARGO_PKG_VERSION")));
    if let Some(known) = tags.known(call.request.headers()) {
        return Ok(not_modified(known));
    }
    let forms = call.app.services.bodies.generated(seed).await?;
    Ok(made(forms, call.request.headers(), &tags))
}

/// What bodies do.
async fn motion(call: Call<Bytes>) -> Result<Reply, Fault> {
    let name = call.path.first().map(String::as_str).unwrap_or_default();
    let tags = Tags::of(env!("CARGO_PKG_VERSION"));
    if let Some(known) = tags.known(call.request.headers()) {
        return Ok(not_modified(known));
    }
    let forms = call.app.services.bodies.motion(name).await?;
    Ok(made(forms, call.request.headers(), &tags))
}

/// The hash that a path names.
pub(super) fn hash_of(text: &str) -> Result<[u8; 32], Fault> {
    let mut hash = [0; 32];
    if text.len() != 64 || hex::decode_to_slice(text, &mut hash).is_err() {
        return Err(Fault::BadParameter("sha256 is 64 hexadecimal digits".to_owned()));
    }
    Ok(hash)
}

/// A picture that is the same for ever under its hash.
pub(super) fn picture(bytes: Vec<u8>, kind: &str) -> Reply {
    let mut reply = Reply::new(Body::from(bytes));
    headed(reply.headers_mut(), kind, None);
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(FOREVER));
    reply
}

/// Something that the node makes itself.
fn made(forms: Forms, asked: &HeaderMap, tags: &Tags) -> Reply {
    let kind = "model/gltf-binary";
    let mut reply = if let Some(packed) = forms.packed.filter(|_| takes_gzip(asked)) {
        packed_reply(packed, kind, tags)
    } else {
        let mut reply = Reply::new(Body::from(forms.whole));
        headed(reply.headers_mut(), kind, Some(&tags.whole));
        reply
    };
    let day = HeaderValue::from_static("public, max-age=86400");
    reply.headers_mut().insert(header::CACHE_CONTROL, day);
    reply
}

fn packed_reply(packed: Bytes, kind: &str, tags: &Tags) -> Reply {
    let mut reply = Reply::new(Body::from(packed));
    headed(reply.headers_mut(), kind, Some(&tags.packed));
    reply.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
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
    headed(headers, &kind, Some(etag));
    headers.insert(header::CONTENT_LENGTH, bytes.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some((first, last)) = part {
        let range = HeaderValue::try_from(format!("bytes {first}-{last}/{size}"));
        headers.insert(header::CONTENT_RANGE, range.map_err(Error::internal)?);
    }
    Ok(reply)
}

/// What every file says: what it is, and that it can do nothing on this origin.
fn headed(headers: &mut HeaderMap, kind: &str, etag: Option<&str>) {
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, HeaderValue::try_from(kind).unwrap_or(unknown));
    if let Some(Ok(etag)) = etag.map(HeaderValue::try_from) {
        headers.insert(header::ETAG, etag);
    }
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
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
    reply.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    reply
}

/// The tags of the two forms of a file, which are different bytes.
struct Tags {
    whole: String,
    packed: String,
}

impl Tags {
    fn of(name: &str) -> Self {
        Self { whole: format!("\"{name}\""), packed: format!("\"{name}-gzip\"") }
    }

    /// The form that whoever asks has already; what is in it is the same in both.
    fn known(&self, headers: &HeaderMap) -> Option<&str> {
        [&self.whole, &self.packed].into_iter().map(String::as_str).find(|it| is_known(headers, it))
    }
}

/// Whether whoever asks takes what is packed with gzip (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|it| it.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
        named && weight.is_none_or(|weight| weight > 0.0)
    })
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
    fn who_takes_gzip_says_so() {
        for (lists, takes) in [
            (&["gzip"][..], true),
            (&["br, GZIP;q=0.5, deflate"], true),
            (&["br", "gzip"], true),
            (&["gzip;q=0"], false),
            (&["gzip; q=0.000, br"], false),
            (&["br, deflate"], false),
            (&["identity"], false),
            (&["x-gzipped"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = HeaderMap::new();
            for list in lists {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(list));
            }
            assert_eq!(takes_gzip(&headers), takes, "{lists:?}");
        }
    }

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
