//! Pages of the node's own that need no client: in the language of their reader, and looking as the client does.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::client;
use crate::{gateway::table::Reply, services::Language};

const PAGE: &str = include_str!("paper.html");

/// The language of a browser.
pub(in crate::gateway) fn spoken_in(headers: &HeaderMap) -> Language {
    let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|it| it.to_str().ok());
    Language::of(wanted.unwrap_or_default())
}

/// A page of one card.
pub(in crate::gateway) struct Paper<'p> {
    pub(in crate::gateway) language: Language,
    pub(in crate::gateway) status: StatusCode,
    /// The node that speaks.
    pub(in crate::gateway) node: &'p str,
    /// The node's own words.
    pub(in crate::gateway) title: &'p str,
    /// Any words.
    pub(in crate::gateway) text: &'p str,
    /// HTML below them, in which all words of others are [`escaped`].
    pub(in crate::gateway) form: &'p str,
    /// A script of the node's own, which is run and no other.
    pub(in crate::gateway) script: Option<&'static str>,
}

impl Paper<'_> {
    /// The page as it is sent.
    pub(in crate::gateway) fn reply(&self) -> Reply {
        let style = client::built("web/shell-", ".css").unwrap_or_default();
        let scenery = client::built("web/evening-", ".webp").unwrap_or_default();
        let script = self.script.map(|it| format!("<script>{it}</script>\n")).unwrap_or_default();
        let mut html = PAGE.replace("{language}", self.language.tag());
        // What others have written comes last, so that nothing in it is taken for a place.
        for (place, words) in [
            ("{title}", self.title),
            ("{node}", self.node),
            ("{style}", style),
            ("{scenery}", scenery),
            ("{script}", &script),
            ("{form}", self.form),
            ("{text}", &escaped(self.text)),
        ] {
            html = html.replace(place, words);
        }
        let mut reply = Reply::new(html.into());
        *reply.status_mut() = self.status;
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        let run = self.script.map(|it| format!("script-src 'sha256-{}'; ", hash(it)));
        let policy = format!(
            "default-src 'none'; {}style-src 'self'; img-src 'self'; form-action 'self'; \
             frame-ancestors 'none'; base-uri 'none'",
            run.unwrap_or_default()
        );
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        reply
    }
}

/// What a policy names a script by.
pub(super) fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text))
}

/// Text that stays text within HTML.
pub(in crate::gateway) fn escaped(text: &str) -> String {
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

    fn paper(text: &'static str, script: Option<&'static str>) -> Paper<'static> {
        Paper {
            language: Language::English,
            status: StatusCode::OK,
            node: "a.test",
            title: "t",
            text,
            form: "",
            script,
        }
    }

    #[test]
    fn what_others_write_stays_text() {
        let shown = paper("\"<script>\"@a.test", None).reply();
        assert_eq!(shown.headers()[header::CACHE_CONTROL], "no-store");
        let policy = shown.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(!policy.contains("script-src"), "{policy}");
        assert!(PAGE.starts_with("<!doctype html>\n<html lang=\"{language}\">"));
        assert_eq!(escaped("https://a/?x=\"<b>'&"), "https://a/?x=&quot;&lt;b&gt;&#39;&amp;");
    }

    #[test]
    fn the_nodes_own_script_runs_and_no_other() {
        let shown = paper("", Some("go();")).reply();
        let policy = shown.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        let named = format!("script-src 'sha256-{}';", STANDARD.encode(Sha256::digest("go();")));
        assert!(policy.contains(&named), "{policy}");
    }
}
