//! Uploads, downloads, thumbnails.

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use http::{HeaderValue, Method, Request, header};
use ruma::{
    api::client::{
        authenticated_media::{
            get_content, get_content_as_filename, get_content_thumbnail, get_media_config,
            get_media_preview,
        },
        media::create_mxc_uri,
    },
    media::Method as Resize,
};
use serde_json::json;
use tokio_util::io::ReaderStream;

use crate::{
    gateway::{
        App,
        fault::Fault,
        table::{Access, Asked, Call, Rate, Reply, Route, done, json as reply},
    },
    services::content::{Said, Served, ThumbnailWish},
};

pub(super) fn routes() -> Vec<Route> {
    let upload_path = "/_matrix/media/v3/upload";
    let late_path = "/_matrix/media/v3/upload/{server_name}/{media_id}";
    vec![
        Route::streaming(Method::POST, upload_path, Access::Account, Rate::Media, upload),
        Route::streaming(Method::PUT, late_path, Access::Account, Rate::Media, upload_late),
        Route::matrix(Access::Account, Rate::Media, reserve),
        Route::matrix(Access::Account, Rate::Media, download),
        Route::matrix(Access::Account, Rate::Media, download_as),
        Route::matrix(Access::Account, Rate::Media, thumbnail),
        Route::matrix(Access::Account, Rate::Read, config),
        Route::matrix(Access::Account, Rate::Outside, preview),
    ]
}

/// Types that a browser may show at once; all else is offered as a file (client-server API, serving inline content).
const SHOWN: [&str; 20] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
];

async fn upload(call: Call<Body>) -> Result<Reply, Fault> {
    let session = call.session.ok_or(Fault::MissingToken)?;
    let (said, bytes) = taken_in(&call.app, call.request)?;
    let content = &call.app.services.content;
    let uri = content.upload(&session.user_id, bytes, said).await?;
    Ok(reply(&json!({ "content_uri": uri })))
}

async fn reserve(asked: Asked<create_mxc_uri::v1::Request>) -> Result<Reply, Fault> {
    let owner = &asked.session()?.user_id;
    let (uri, expires_ms) = asked.app.services.content.reserve(owner).await?;
    Ok(reply(&json!({ "content_uri": uri, "unused_expires_at": expires_ms })))
}

async fn upload_late(call: Call<Body>) -> Result<Reply, Fault> {
    let session = call.session.ok_or(Fault::MissingToken)?;
    let [server, media_id] = call.path.as_slice() else { return Err(Fault::Unrecognized) };
    let (said, bytes) = taken_in(&call.app, call.request)?;
    let content = &call.app.services.content;
    content.upload_to(&session.user_id, server, media_id, bytes, said).await?;
    Ok(done())
}

/// What the request says about its file, and the bytes as they come.
fn taken_in(
    app: &App,
    request: Request<Body>,
) -> Result<(Said, BoxStream<'static, Result<Bytes, axum::Error>>), Fault> {
    let limit = app.services.ground.config.max_upload_bytes;
    let (parts, body) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    // What says beforehand that it is too large need not be sent at all.
    let announced = text(header::CONTENT_LENGTH).and_then(|it| it.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        let error = format!("the file is larger than the {limit} bytes allowed here");
        return Err(crate::services::Error::TooLarge(error).into());
    }
    let content_type = text(header::CONTENT_TYPE).map(str::to_owned);
    let file_name = parts.uri.query().and_then(file_name);
    Ok((Said { content_type, file_name }, body.into_data_stream().boxed()))
}

fn file_name(query: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        filename: Option<String>,
    }
    let uri = http::Uri::builder().path_and_query(format!("/?{query}")).build().ok()?;
    axum::extract::Query::<Named>::try_from_uri(&uri).ok()?.0.filename
}

async fn download(asked: Asked<get_content::v1::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let content = &asked.app.services.content;
    let served = content.download(&body.server_name, &body.media_id, body.timeout_ms).await?;
    Ok(file(served, None))
}

async fn download_as(asked: Asked<get_content_as_filename::v1::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let content = &asked.app.services.content;
    let served = content.download(&body.server_name, &body.media_id, body.timeout_ms).await?;
    Ok(file(served, Some(&body.filename)))
}

async fn thumbnail(asked: Asked<get_content_thumbnail::v1::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let crop = match &body.method {
        None | Some(Resize::Scale) => false,
        Some(Resize::Crop) => true,
        Some(_) => return Err(Fault::BadParameter("method is crop or scale".to_owned())),
    };
    let (width, height) = (body.width.into(), body.height.into());
    let wish = ThumbnailWish { width, height, crop, animated: body.animated == Some(true) };
    let content = &asked.app.services.content;
    let wait = body.timeout_ms;
    Ok(file(content.thumbnail(&body.server_name, &body.media_id, wish, wait).await?, None))
}

async fn config(asked: Asked<get_media_config::v1::Request>) -> Result<Reply, Fault> {
    Ok(reply(&json!({ "m.upload.size": asked.app.services.ground.config.max_upload_bytes })))
}

async fn preview(asked: Asked<get_media_preview::v1::Request>) -> Result<Reply, Fault> {
    let previews = &asked.app.services.previews;
    if !previews.are_made() {
        return Err(Fault::Unrecognized);
    }
    Ok(reply(&previews.preview(&asked.body.url).await?))
}

/// Whether a browser may show what is said to be of a type.
pub(in crate::gateway::matrix) fn is_shown(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    SHOWN.contains(&essence.as_str())
}

/// A file as a reply. It can do nothing on this origin: no script, no frame, no guessing of types.
fn file(served: Served, name: Option<&str>) -> Reply {
    let kind = served.content_type.unwrap_or_default();
    let shown = is_shown(&kind);
    let mut reply = Reply::new(Body::from_stream(ReaderStream::new(served.file)));
    let headers = reply.headers_mut();
    let unknown = HeaderValue::from_static("application/octet-stream");
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::try_from(&kind).ok().filter(|_| shown || !kind.is_empty()).unwrap_or(unknown),
    );
    headers.insert(header::CONTENT_LENGTH, served.size.into());
    let disposition = disposition(shown, name.or(served.file_name.as_deref()));
    headers.insert(header::CONTENT_DISPOSITION, disposition);
    let policy = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
                  style-src 'unsafe-inline'; object-src 'self'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    let origin = HeaderValue::from_static("cross-origin");
    headers.insert("cross-origin-resource-policy", origin);
    let keep = HeaderValue::from_static("private, max-age=31536000, immutable");
    headers.insert(header::CACHE_CONTROL, keep);
    reply
}

/// The name that the file is offered under (RFC 6266, RFC 8187).
pub(in crate::gateway::matrix) fn disposition(shown: bool, name: Option<&str>) -> HeaderValue {
    let kind = if shown { "inline" } else { "attachment" };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return HeaderValue::from_static(kind);
    };
    let encoded: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect();
    let value = format!("{kind}; filename*=UTF-8''{encoded}");
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_is_taken_from_any_query_or_none_is() {
        assert_eq!(file_name("a=b&filename=c%20d%2Fe"), Some("c d/e".to_owned()));
        for none in ["", "&&", "filename", "filename=%ff", "filename=a&filename=b", "=", "%", "a=b"]
        {
            let found = file_name(none);
            assert!(found.is_none_or(|found| found.is_empty() || found == "\u{fffd}"), "{none}");
        }
        bolero::check!().with_type::<String>().for_each(|query| {
            let _whatever_it_is = (file_name(query), file_name(&format!("filename={query}")));
        });
    }

    #[test]
    fn no_file_name_breaks_out_of_its_header() {
        let value = disposition(false, Some("../a\"b\r\nSet-Cookie: x\u{e9}"));
        let text = value.to_str().unwrap();
        assert!(text.starts_with("attachment; filename*=UTF-8''..%2Fa%22b%0D%0A"), "{text}");
        assert!(text.ends_with("%C3%A9"), "{text}");
        bolero::check!().with_type::<String>().for_each(|name| {
            let value = disposition(true, Some(name));
            assert!(value.to_str().is_ok());
        });
    }
}
