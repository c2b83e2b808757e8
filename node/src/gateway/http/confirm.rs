//! The page to which a mail leads, where its reader confirms that they read it.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{client, plain::escaped};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route},
    },
    services::emails::Purpose,
};

const PAGE: &str = include_str!("confirm.html");

/// What the page says, in one of the languages of the client.
struct Words {
    language: &'static str,
    ask: &'static str,
    /// With the address, the node and what it was asked for in braces.
    question: &'static str,
    yes: &'static str,
    thanks: &'static str,
    go_back: &'static str,
    over: &'static str,
    anew: &'static str,
    purpose: fn(Purpose) -> &'static str,
}

const ENGLISH: Words = Words {
    language: "en",
    ask: "Is this your address?",
    question: "Do you read what is sent to {address}, and did you ask {node} {purpose}? If you did \
               not, close this page: whoever did gets nothing then.",
    yes: "Yes, that is my address",
    thanks: "Thank you",
    go_back: "Go back to where you were asked for your address, and go on there.",
    over: "This link is over",
    anew: "It was used, or it is too old, or a newer mail took its place. Ask for a new one.",
    purpose: Purpose::words,
};

const GERMAN: Words = Words {
    language: "de",
    ask: "Ist das deine Adresse?",
    question: "Liest du, was an {address} gesendet wird, und hast du {node} gebeten, {purpose}? \
               Wenn nicht, schließ diese Seite: Wer auch immer es war, hat dann nichts davon.",
    yes: "Ja, das ist meine Adresse",
    thanks: "Danke",
    go_back: "Geh dorthin zurück, wo du nach deiner Adresse gefragt wurdest, und mach dort weiter.",
    over: "Dieser Link gilt nicht mehr",
    anew: "Er wurde benutzt oder ist zu alt, oder eine neuere Mail trat an seine Stelle. Lass dir \
           eine neue schicken.",
    purpose: |purpose| match purpose {
        Purpose::Add => "diese Adresse zu deinem Konto hinzuzufügen",
        Purpose::Register => "ein Konto mit dieser Adresse anzulegen",
        Purpose::Password => "ein neues Passwort für dein Konto zu setzen",
    },
};

pub(super) fn routes() -> Vec<Route> {
    let path = "/confirm/{sid}/{token}";
    vec![
        Route::own(Method::GET, path, Access::Public, Rate::Guess, show),
        Route::streaming(Method::POST, path, Access::Public, Rate::Guess, confirm),
    ]
}

/// Asks, and does nothing: there are machines that open every link in a mail.
async fn show(call: Call<Bytes>) -> Result<Reply, Fault> {
    let [sid, token] = call.path.as_slice() else { return Err(Fault::Unrecognized) };
    let words = spoken(call.request.headers());
    let node = call.app.services.ground.server_name.as_str();
    let Some((address, purpose)) = call.app.services.emails.link(sid, token).await? else {
        return Ok(over(words, node));
    };
    let question = words.question.replace("{node}", node);
    let question = question.replace("{purpose}", (words.purpose)(purpose));
    let question = question.replace("{address}", &address);
    let button = format!(
        "<form method=\"post\"><button class=\"primary\" autofocus>{}</button></form>",
        words.yes
    );
    Ok(page(StatusCode::OK, words, node, [words.ask, &question, &button]))
}

async fn confirm(call: Call<Body>) -> Result<Reply, Fault> {
    let [sid, token] = call.path.as_slice() else { return Err(Fault::Unrecognized) };
    let words = spoken(call.request.headers());
    let node = call.app.services.ground.server_name.as_str();
    if !call.app.services.emails.confirm(sid, token).await? {
        return Ok(over(words, node));
    }
    Ok(page(StatusCode::OK, words, node, [words.thanks, words.go_back, ""]))
}

fn over(words: &Words, node: &str) -> Reply {
    page(StatusCode::NOT_FOUND, words, node, [words.over, words.anew, ""])
}

/// The first language of the browser's in which there are words: browsers name the best one first.
fn spoken(headers: &HeaderMap) -> &'static Words {
    let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|it| it.to_str().ok());
    let tags = wanted.unwrap_or_default().split(',').filter_map(|it| it.split([';', '-']).next());
    let known = |tag: &str| {
        [&ENGLISH, &GERMAN].into_iter().find(|it| it.language.eq_ignore_ascii_case(tag.trim()))
    };
    tags.into_iter().find_map(known).unwrap_or(&ENGLISH)
}

/// Looks as the client does, whose style it shares; it needs no script.
fn page(status: StatusCode, words: &Words, node: &str, [title, text, form]: [&str; 3]) -> Reply {
    let html = PAGE.replace("{language}", words.language).replace("{title}", title);
    let html = html.replace("{form}", form).replace("{node}", node);
    let style = client::built("web/shell-", ".css").unwrap_or_default();
    let scenery = client::built("web/evening-", ".webp").unwrap_or_default();
    let html = html.replace("{style}", style).replace("{scenery}", scenery);
    let mut reply = Reply::new(html.replace("{text}", &escaped(text)).into());
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    let policy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
                  frame-ancestors 'none'; base-uri 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_an_address_stays_text() {
        let shown = page(StatusCode::OK, &ENGLISH, "a.test", ["t", "\"<script>\"@a.test", ""]);
        assert_eq!(shown.headers()[header::CACHE_CONTROL], "no-store");
        assert!(PAGE.starts_with("<!doctype html>\n<html lang=\"{language}\">"));
        assert!(!escaped("<script>").contains('<'));
    }

    #[test]
    fn the_page_speaks_as_its_reader_does() {
        for (wanted, language) in [
            ("de-CH,de;q=0.9,en;q=0.8", "de"),
            ("fr-FR, DE;q=0.5", "de"),
            ("en-GB,de;q=0.9", "en"),
            ("den", "en"),
            ("", "en"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static(wanted));
            assert_eq!(spoken(&headers).language, language, "{wanted}");
        }
        assert_eq!(spoken(&HeaderMap::new()).language, "en");
    }
}
