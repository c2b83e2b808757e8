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

const FIRST: &str = include_str!("pages/first.html");
const JOIN: &str = include_str!("pages/join.html");
const GONE: &str = include_str!("pages/gone.html");
const PLAIN: &str = include_str!("pages/plain.html");
const STYLE: &str = include_str!("pages/style.css");
const SCRIPT: &str = include_str!("pages/join.js");
const ICON: &str = include_str!("pages/icon.svg");

pub(super) async fn first(call: Call<Bytes>) -> Result<Reply, Fault> {
    let ground = &call.app.services.ground;
    let how = match ground.config.registration {
        Registration::Open => "Anybody may make an account here, from any Matrix app.",
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
    Ok(page(&filled(FIRST, &texts)))
}

pub(super) async fn join(call: Call<Bytes>) -> Result<Reply, Fault> {
    let name = escaped(call.app.services.ground.server_name.as_str());
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let Some(invitation) = call.app.services.accounts.invitation(text).await? else {
        let mut reply = page(&filled(GONE, &[("{name}", name)]));
        *reply.status_mut() = StatusCode::NOT_FOUND;
        return Ok(reply);
    };
    let (role, greeting) = match invitation.role {
        Role::Guest => (
            "guest",
            "Come in as a guest: you need no password, and you can keep your account later.",
        ),
        Role::Member => ("member", "Choose the name that you will have here, for ever."),
        Role::Moderator => {
            ("moderator", "You are asked to help keep order here. Choose your name.")
        }
        Role::Operator => (
            "operator",
            "You will run this node. Choose the name that you will have here, for ever.",
        ),
    };
    let texts = [
        ("{name}", name),
        ("{role}", role.to_owned()),
        ("{greeting}", greeting.to_owned()),
        ("{invitation}", escaped(text)),
        ("{public}", escaped(&call.app.places.public)),
    ];
    Ok(page(&filled(JOIN, &texts)))
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
    let mut reply = page(&filled(PLAIN, &[("{https}", escaped(https))]));
    *reply.status_mut() = StatusCode::UPGRADE_REQUIRED;
    reply.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
    reply
}

fn page(html: &str) -> Reply {
    let mut reply = file(html, "text/html; charset=utf-8");
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                  img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
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
