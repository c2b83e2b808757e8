//! The browser client, as it was built beside the node and embedded in it.

use std::{io::Read, sync::OnceLock};

use brotli_decompressor::Decompressor;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route},
    },
    services::Error,
};

/// One file of the client.
struct Page {
    /// Its path below the root.
    path: &'static str,
    /// As it was built: compressed with brotli, where that is smaller.
    bytes: &'static [u8],
    brotli: bool,
    /// The same as it is, once somebody has asked for it who takes no brotli; most browsers do.
    unpacked: OnceLock<Result<Bytes, String>>,
}

impl Page {
    const fn plain(path: &'static str, bytes: &'static [u8]) -> Self {
        Self { path, bytes, brotli: false, unpacked: OnceLock::new() }
    }

    const fn brotli(path: &'static str, bytes: &'static [u8]) -> Self {
        Self { path, bytes, brotli: true, unpacked: OnceLock::new() }
    }

    /// The file as it is.
    fn whole(&self) -> Result<Bytes, Error> {
        if !self.brotli {
            return Ok(Bytes::from_static(self.bytes));
        }
        let unpacked = self.unpacked.get_or_init(|| {
            let mut whole = Vec::new();
            let done = Decompressor::new(self.bytes, UNPACKING_BYTES).read_to_end(&mut whole);
            done.map(|_| whole.into()).map_err(|error| format!("{}: {error}", self.path))
        });
        unpacked.clone().map_err(|why| Error::Internal(anyhow::Error::msg(why)))
    }
}

/// Bytes that are unpacked in one step.
const UNPACKING_BYTES: usize = 64 * 1024;

include!(concat!(env!("OUT_DIR"), "/client.rs"));

/// What the client may do: nothing that this node does not serve, but talk to other nodes.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self' https: http: ws: wss: blob: data:; \
                      img-src 'self' https: blob: data:; media-src 'self' blob:; worker-src 'self'; \
                      manifest-src 'self'; font-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";
/// What the page may do on which people type their passwords for others: ask this node, and nobody.
const SIGN_IN_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                              connect-src 'self'; img-src 'self'; form-action 'none'; \
                              frame-ancestors 'none'; base-uri 'none'";
/// The same of the page on which people show another node who they are: the answer may be posted there,
/// once they have said so (`OpenID` for Verifiable Presentations 1.0, 8.2).
const PRESENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                              connect-src 'self' https:; img-src 'self'; form-action 'none'; \
                              frame-ancestors 'none'; base-uri 'none'";
/// What a worker of the page may do, which brings a policy of its own: the one that encrypts is
/// WebAssembly, and asks this node alone.
const WORKER_POLICY: &str =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'";

/// Passkeys are asked for on these pages, and by no page that they might ever show.
const PERMISSIONS: &str = "publickey-credentials-get=(self), publickey-credentials-create=(self)";

/// The page on which people look after their account.
pub(in crate::gateway) const ACCOUNT: &str = "/account";

/// What that page does for people whom a program sends there (client-server API, account management URL
/// actions).
pub(in crate::gateway) const ACCOUNT_ACTIONS: [&str; 6] = [
    "org.matrix.profile",
    "org.matrix.devices_list",
    "org.matrix.device_view",
    "org.matrix.device_delete",
    "org.matrix.account_deactivate",
    RESET_KEYS,
];
/// Making new keys where all are lost.
pub(in crate::gateway) const RESET_KEYS: &str = "org.matrix.cross_signing_reset";

pub(super) fn routes() -> Vec<Route> {
    let page = |path: &str| Route::own(Method::GET, path, Access::Public, Rate::Free, page);
    let sign_in = |path: &str| Route::own(Method::GET, path, Access::Public, Rate::Free, sign_in);
    let file = |path: &str| Route::own(Method::GET, path, Access::Public, Rate::Free, file);
    vec![
        page("/"),
        page("/join/{invitation}"),
        page("/w/{world}"),
        page("/open"),
        page(ACCOUNT),
        sign_in("/sign-in"),
        sign_in("/sign-in/return"),
        sign_in("/link"),
        sign_in("/reset/{link}"),
        Route::own(Method::GET, "/present", Access::Public, Rate::Free, present),
        file("/web/{name}"),
        file("/manifest.webmanifest"),
        file("/service-worker.js"),
        file("/icon.svg"),
        file("/icon-192.png"),
        file("/icon-512.png"),
    ]
}

/// The page itself, whatever it will show.
async fn page(call: Call<Bytes>) -> Result<Reply, Fault> {
    shown("index.html", POLICY, &call)
}

/// The page on which people let programs and devices in, and choose a new password.
async fn sign_in(call: Call<Bytes>) -> Result<Reply, Fault> {
    shown("sign-in.html", SIGN_IN_POLICY, &call)
}

/// The page on which people show another node who they are.
async fn present(call: Call<Bytes>) -> Result<Reply, Fault> {
    let mut reply = shown("present.html", PRESENT_POLICY, &call)?;
    // No page that opened it in a window of its own holds that window.
    let opener = HeaderName::from_static("cross-origin-opener-policy");
    reply.headers_mut().insert(opener, HeaderValue::from_static("same-origin"));
    Ok(reply)
}

fn shown(name: &str, policy: &'static str, call: &Call<Bytes>) -> Result<Reply, Fault> {
    let mut reply = found(name, call.request.headers())?;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("permissions-policy", HeaderValue::from_static(PERMISSIONS));
    Ok(reply)
}

async fn file(call: Call<Bytes>) -> Result<Reply, Fault> {
    let path = call.request.uri().path().trim_start_matches('/').to_owned();
    let mut reply = found(&path, call.request.headers())?;
    // The names below /web/ hold the hash of what they name.
    let keep =
        if path.starts_with("web/") { "public, max-age=31536000, immutable" } else { "no-cache" };
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    if path.strip_suffix(".js").is_some() {
        let policy = HeaderValue::from_static(WORKER_POLICY);
        reply.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    Ok(reply)
}

/// The path of the one file of the client whose name begins and ends so: between them is a hash.
pub(super) fn built(start: &str, end: &str) -> Option<&'static str> {
    let mut paths = PAGES.iter().map(|page| page.path);
    paths.find(|path| path.starts_with(start) && path.ends_with(end))
}

fn found(path: &str, asked: &HeaderMap) -> Result<Reply, Fault> {
    let at = PAGES.binary_search_by_key(&path, |page| page.path);
    let page = at.map(|at| &PAGES[at]).map_err(|_| Fault::Unrecognized)?;
    let etag = format!("\"{BUILD}\"");
    let known = asked.get(header::IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    let not_modified = known == Some(&etag);
    let takes_brotli = asked.get(header::ACCEPT_ENCODING).and_then(|it| it.to_str().ok());
    let takes_brotli = takes_brotli.is_some_and(|it| {
        it.split(',').any(|it| it.split(';').next().map(str::trim) == Some("br"))
    });
    let packed = page.brotli && takes_brotli;
    let body = match (not_modified, packed) {
        (true, _) => Bytes::new(),
        (_, true) => Bytes::from_static(page.bytes),
        (_, false) => page.whole()?,
    };
    let mut reply = Reply::new(body.into());
    if not_modified {
        *reply.status_mut() = http::StatusCode::NOT_MODIFIED;
    }
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind_of(path)));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if packed && !not_modified {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    }
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    Ok(reply)
}

fn kind_of(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "webmanifest" => "application/manifest+json",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_whole() {
        assert!(PAGES.is_sorted_by_key(|page| page.path));
        for path in ["index.html", "sign-in.html", "present.html", "service-worker.js", "icon.svg"]
        {
            assert!(found(path, &HeaderMap::new()).is_ok(), "{path}");
        }
        assert!(found("../Cargo.toml", &HeaderMap::new()).is_err());
        // What pages of the node's own share with it.
        assert!(built("web/shell-", ".css").is_some() && built("web/evening-", ".webp").is_some());
        for name in ["index.html", "sign-in.html", "present.html"] {
            let html = PAGES.iter().find(|page| page.path == name).unwrap().whole().unwrap();
            let html = std::str::from_utf8(&html).unwrap();
            for part in html.split('"').filter(|part| part.starts_with("/web/")) {
                let path = part.trim_start_matches('/');
                assert!(found(path, &HeaderMap::new()).is_ok(), "{name} names {path}");
            }
        }
    }

    #[test]
    fn every_file_unpacks() {
        let packed = PAGES.iter().filter(|page| page.brotli).count();
        assert!(packed > 3, "{packed} files are compressed");
        for page in &PAGES {
            let whole = page.whole().unwrap();
            assert!(!page.brotli || whole.len() > page.bytes.len(), "{}", page.path);
        }
    }

    #[test]
    fn who_takes_brotli_gets_it() {
        let mut asked = HeaderMap::new();
        let plain = found("index.html", &asked).unwrap();
        assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
        asked.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br;q=0.9"));
        let packed = found("index.html", &asked).unwrap();
        assert_eq!(packed.headers()[header::CONTENT_ENCODING], "br");
        let etag = packed.headers()[header::ETAG].clone();
        asked.insert(header::IF_NONE_MATCH, etag);
        assert_eq!(found("index.html", &asked).unwrap().status(), 304);
    }
}
