//! All that plain HTTP gives to other machines: the way to HTTPS.

use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::paper::{escaped, hash, spoken_in};
use crate::{gateway::table::Reply, services::Language};

const PAGE: &str = include_str!("plain.html");
/// All of its look: nothing else is given without encryption.
const STYLE: &str = include_str!("plain.css");

/// What the page says, in one of the languages of the client.
struct Words {
    title: &'static str,
    lead: &'static str,
    go: &'static str,
    warning: &'static str,
}

const ENGLISH: Words = Words {
    title: "Go on by HTTPS",
    lead: "From other machines this node is reached over an encrypted connection only.",
    go: "Go on encrypted",
    warning: "If your browser warns you: the node has no public certificate yet and vouches for itself. \
              Whoever runs it can tell you its fingerprint.",
};

const GERMAN: Words = Words {
    title: "Weiter über HTTPS",
    lead: "Von anderen Geräten aus ist dieser Knoten nur über eine verschlüsselte Verbindung erreichbar.",
    go: "Verschlüsselt weiter",
    warning: "Wenn dein Browser dich warnt: Der Knoten hat noch kein öffentliches Zertifikat und bürgt \
              für sich selbst. Wer ihn betreibt, kann dir seinen Fingerabdruck nennen.",
};

/// A page that says where to go on, to a browser that asks in these words.
#[must_use]
pub fn only_https(https: &str, asked: &HeaderMap) -> Reply {
    let language = spoken_in(asked);
    let words = match language {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
    };
    let mut html = PAGE.replace("{language}", language.tag()).replace("{style}", STYLE);
    for (place, text) in [
        ("{title}", words.title),
        ("{lead}", words.lead),
        ("{go}", words.go),
        ("{warning}", words.warning),
        ("{https}", &escaped(https)),
    ] {
        html = html.replace(place, text);
    }
    let mut reply = Reply::new(html.into());
    *reply.status_mut() = StatusCode::UPGRADE_REQUIRED;
    let headers = reply.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; frame-ancestors 'none'; base-uri 'none'",
        hash(STYLE)
    );
    if let Ok(policy) = HeaderValue::try_from(policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("accept-language"));
    reply
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    async fn shown(https: &str, language: &'static str) -> (Reply, String) {
        let mut asked = HeaderMap::new();
        asked.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(language));
        let (head, body) = only_https(https, &asked).into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (
            Reply::from_parts(head, axum::body::Body::empty()),
            String::from_utf8(bytes.into()).unwrap(),
        )
    }

    #[tokio::test]
    async fn an_address_stays_text() {
        let (reply, html) = shown("https://a.test/?x=\"<b>{go}", "en").await;
        assert_eq!(reply.status(), 426);
        assert!(html.contains("href=\"https://a.test/?x=&quot;&lt;b&gt;{go}\""), "{html}");
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"));
    }

    #[tokio::test]
    async fn it_speaks_as_its_reader_does_and_looks_by_its_own_style_alone() {
        let (_, german) = shown("https://a.test", "de-DE,en;q=0.5").await;
        assert!(german.contains("lang=\"de\"") && german.contains(GERMAN.title), "{german}");
        let (reply, english) = shown("https://a.test", "fr").await;
        assert!(english.contains(ENGLISH.title) && !english.contains("{title}"), "{english}");
        let style = english.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
        let policy = reply.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains(&format!("style-src 'sha256-{}';", hash(style))), "{policy}");
        assert!(!english.contains("style=\"") && !english.contains("<script"), "{english}");
    }
}
