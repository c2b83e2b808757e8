//! The pages that a person meets before there is a client: what this is, and how to come in.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use wayside_specs::Role;

use crate::{
    config::Registration,
    gateway::{
        fault::Fault,
        table::{Call, Reply},
    },
};

/// What every page is, around its body.
const PAGE: &str = include_str!("pages/page.html");
/// The body of a page with the node's mark.
const MAIN: &str = include_str!("pages/main.html");
const FIRST: &str = include_str!("pages/first.html");
const JOIN: &str = include_str!("pages/join.html");
/// What those see who have come in, on the page of their invitation.
const WELCOME: &str = include_str!("pages/welcome.html");
/// What a guest who wants to stay is asked for where an invitation is needed.
const KEEP: &str = include_str!("pages/keep.html");
const GONE: &str = include_str!("pages/gone.html");
const PLAIN: &str = include_str!("pages/plain.html");
const STYLE: &str = include_str!("pages/style.css");
const SCRIPT: &str = include_str!("pages/join.js");
const ICON: &str = include_str!("pages/icon.svg");
/// What the head of a page names that is served encrypted.
const LINKS: &str = "<link rel=\"icon\" href=\"/icon.svg\" type=\"image/svg+xml\">\n\
                     <link rel=\"stylesheet\" href=\"/style.css\">";

pub(super) async fn first(call: Call<Bytes>) -> Result<Reply, Fault> {
    let ground = &call.app.services.ground;
    let how = match ground.config.registration {
        Registration::Open => "Anybody may make an account here, from a Matrix app.",
        Registration::Token => {
            "You need an invitation: a link from somebody who lives here. It opens a page on which \
             you choose your name."
        }
        Registration::Closed => "This node takes no new people. Its operator makes accounts.",
    };
    let try_out = if ground.config.server_name.is_none() {
        "<p class=\"notice\">This node is a try-out: it has no name of its own yet, and nobody \
         outside this machine can reach it by name.</p>"
    } else {
        ""
    };
    let texts = [
        ("{name}", escaped(ground.server_name.as_str())),
        ("{public}", escaped(&call.app.places.public)),
        ("{how}", how.to_owned()),
        ("{try_out}", try_out.to_owned()),
        ("{version}", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    let name = ground.server_name.as_str();
    Ok(page(name, LINKS, &marked("a Wayside node", &filled(FIRST, &texts))))
}

pub(super) async fn join(call: Call<Bytes>) -> Result<Reply, Fault> {
    let ground = &call.app.services.ground;
    let name = ground.server_name.as_str();
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let keep = match ground.config.registration {
        Registration::Open => "",
        Registration::Token | Registration::Closed => KEEP,
    };
    let public = escaped(&call.app.places.public);
    let welcome = [("{keep}", keep.trim_end().to_owned()), ("{public}", public)];
    let welcome = ("{welcome}", filled(WELCOME, &welcome).trim_end().to_owned());
    let links = format!("{LINKS}\n<script src=\"/join.js\" defer></script>");
    let title = format!("Join {name}");
    let Some(invitation) = call.app.services.accounts.invitation(text).await? else {
        // With the script: a guest who comes back to a link that is used up is known by it.
        let mut reply = page(&title, &links, &marked(name, &filled(GONE, &[welcome])));
        *reply.status_mut() = StatusCode::NOT_FOUND;
        return Ok(reply);
    };
    let texts = [
        ("{name}", escaped(name)),
        ("{role}", invitation.role.as_str().to_owned()),
        ("{greeting}", greeting(invitation.role).to_owned()),
        ("{invitation}", escaped(text)),
        welcome,
    ];
    Ok(page(&title, &links, &marked(name, &filled(JOIN, &texts))))
}

/// What somebody is told who is invited to this role.
fn greeting(role: Role) -> &'static str {
    match role {
        Role::Guest => {
            "Come in as a guest: you need no password, and you can keep your account later."
        }
        Role::Member => "Choose the name that you will have here, for ever.",
        Role::Moderator => "You are asked to help keep order here. Choose your name.",
        Role::Operator => {
            "You will run this node. Choose the name that you will have here, for ever."
        }
    }
}

pub(super) async fn style(_: Call<Bytes>) -> Result<Reply, Fault> {
    Ok(file(STYLE, "text/css; charset=utf-8"))
}

pub(super) async fn script(_: Call<Bytes>) -> Result<Reply, Fault> {
    Ok(file(SCRIPT, "text/javascript; charset=utf-8"))
}

pub(super) async fn icon(_: Call<Bytes>) -> Result<Reply, Fault> {
    Ok(file(ICON, "image/svg+xml"))
}

/// All that plain HTTP gives to other machines: the way to HTTPS.
#[must_use]
pub fn only_https(https: &str) -> Reply {
    // Neither icon nor style: they too would only lead to HTTPS.
    let body = filled(PLAIN, &[("{https}", escaped(https))]);
    let mut reply = page("Go on by HTTPS", "", &body);
    *reply.status_mut() = StatusCode::UPGRADE_REQUIRED;
    reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
    reply
}

/// A whole page of its title, the links of its head, and its body, which is filled in last: what it
/// holds is not looked through again.
fn page(title: &str, links: &str, body: &str) -> Reply {
    let texts = [
        ("{title}", escaped(title)),
        ("{links}", links.to_owned()),
        ("{body}", body.trim_end().to_owned()),
    ];
    let mut reply = file(&filled(PAGE, &texts), "text/html; charset=utf-8");
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                  img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A body with the node's mark and a word beside it.
fn marked(mark: &str, main: &str) -> String {
    filled(MAIN, &[("{mark}", escaped(mark)), ("{main}", main.trim_end().to_owned())])
}

fn file(text: &str, kind: &'static str) -> Reply {
    let mut reply = Reply::new(text.to_owned().into());
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

fn filled(page: &str, texts: &[(&str, String)]) -> String {
    texts.iter().fold(page.to_owned(), |page, (name, text)| page.replace(name, text))
}

fn escaped(text: &str) -> String {
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
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn every_page_is_whole_and_nothing_is_left_to_fill_in() {
        let reply = page("A & <b>", LINKS, &marked("x{body}<y>", GONE));
        let bytes = reply.into_body().collect().await.unwrap().to_bytes();
        let html = std::str::from_utf8(&bytes).unwrap();
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">\n<head>\n"), "{html}");
        assert!(html.contains("<title>A &amp; &lt;b&gt;</title>"), "{html}");
        // What is filled in is not looked through for more to fill in.
        assert!(html.contains("<span>x{body}&lt;y&gt;</span>"), "{html}");
        assert_eq!(html.matches("<main>").count(), 1);
        assert!(!html.contains("{main}") && !html.contains("{title}") && !html.contains("{links}"));
        for body in [FIRST, JOIN, GONE, PLAIN] {
            assert!(!body.contains("<head") && !body.contains("<html"), "{body:.80}");
        }
    }
}
