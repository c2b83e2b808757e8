//! All that plain HTTP gives to other machines: the way to HTTPS.

use http::{HeaderValue, StatusCode, header};

use crate::gateway::table::Reply;

const PAGE: &str = include_str!("plain.html");

/// A page that says where to go on.
#[must_use]
pub fn only_https(https: &str) -> Reply {
    let mut reply = Reply::new(PAGE.replace("{https}", &escaped(https)).into());
    *reply.status_mut() = StatusCode::UPGRADE_REQUIRED;
    let headers = reply.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_stays_text() {
        assert_eq!(escaped("https://a/?x=\"<b>'&"), "https://a/?x=&quot;&lt;b&gt;&#39;&amp;");
        assert_eq!(only_https("https://a.test").status(), 426);
        assert!(PAGE.starts_with("<!doctype html>\n<html lang=\"en\">"));
    }
}
