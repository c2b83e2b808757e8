//! The page to which a mail leads, where its reader confirms that they read it.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use super::paper::{Paper, spoken_in};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Call, Rate, Reply, Route},
    },
    services::Language,
};

/// What the page says, in one of the languages of the client.
struct Words {
    language: Language,
    ask: &'static str,
    /// With the address, the node and what it was asked for in braces.
    question: &'static str,
    yes: &'static str,
    thanks: &'static str,
    go_back: &'static str,
    over: &'static str,
    anew: &'static str,
}

const ENGLISH: Words = Words {
    language: Language::English,
    ask: "Is this your address?",
    question: "Do you read what is sent to {address}, and did you ask {node} {purpose}? If you did \
               not, close this page: whoever did gets nothing then.",
    yes: "Yes, that is my address",
    thanks: "Thank you",
    go_back: "Go back to where you were asked for your address, and go on there.",
    over: "This link is over",
    anew: "It was used, or it is too old, or a newer mail took its place. Ask for a new one.",
};

const GERMAN: Words = Words {
    language: Language::German,
    ask: "Ist das deine Adresse?",
    question: "Liest du, was an {address} gesendet wird, und hast du {node} gebeten, {purpose}? \
               Wenn nicht, schließ diese Seite: Wer auch immer es war, hat dann nichts davon.",
    yes: "Ja, das ist meine Adresse",
    thanks: "Danke",
    go_back: "Geh dorthin zurück, wo du nach deiner Adresse gefragt wurdest, und mach dort weiter.",
    over: "Dieser Link gilt nicht mehr",
    anew: "Er wurde benutzt oder ist zu alt, oder eine neuere Mail trat an seine Stelle. Lass dir \
           eine neue schicken.",
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
    let question = question.replace("{purpose}", purpose.words(words.language));
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

fn spoken(headers: &HeaderMap) -> &'static Words {
    match spoken_in(headers) {
        Language::English => &ENGLISH,
        Language::German => &GERMAN,
    }
}

fn page(status: StatusCode, words: &Words, node: &str, [title, text, form]: [&str; 3]) -> Reply {
    Paper { language: words.language, status, node, title, text, form, script: None }.reply()
}

fn over(words: &Words, node: &str) -> Reply {
    page(StatusCode::NOT_FOUND, words, node, [words.over, words.anew, ""])
}
