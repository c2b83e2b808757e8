//! The page to which a mail leads, where its reader confirms that they read it.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};

use super::{client, plain::escaped};
use crate::gateway::{
    fault::Fault,
    table::{Access, Call, Rate, Reply, Route},
};

const PAGE: &str = include_str!("confirm.html");
const BUTTON: &str = "<form method=\"post\"><button class=\"primary\" autofocus>\
                      Yes, that is my address</button></form>";

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
    let Some((address, what)) = call.app.services.emails.link(sid, token).await? else {
        return Ok(over(&call));
    };
    let name = name_of(&call);
    let question = format!(
        "Do you read what is sent to {address}, and did you ask {name} {what}? If you did not, \
         close this page: whoever did gets nothing then."
    );
    Ok(page(StatusCode::OK, name, "Is this your address?", &question, BUTTON))
}

async fn confirm(call: Call<Body>) -> Result<Reply, Fault> {
    let [sid, token] = call.path.as_slice() else { return Err(Fault::Unrecognized) };
    if !call.app.services.emails.confirm(sid, token).await? {
        return Ok(over(&call));
    }
    let text = "Go back to where you were asked for your address, and go on there.";
    Ok(page(StatusCode::OK, name_of(&call), "Thank you", text, ""))
}

fn over<T>(call: &Call<T>) -> Reply {
    let text = "It was used, or it is too old, or a newer mail took its place. Ask for a new one.";
    page(StatusCode::NOT_FOUND, name_of(call), "This link is over", text, "")
}

fn name_of<T>(call: &Call<T>) -> &str {
    call.app.services.ground.server_name.as_str()
}

/// Looks as the client does, whose style it shares; it needs no script.
fn page(status: StatusCode, node: &str, title: &str, text: &str, form: &str) -> Reply {
    let html = PAGE.replace("{title}", title).replace("{form}", form).replace("{node}", node);
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
        let reply = page(StatusCode::OK, "a.test", "t", "\"<script>\"@a.test", BUTTON);
        assert_eq!(reply.headers()[header::CACHE_CONTROL], "no-store");
        assert!(PAGE.starts_with("<!doctype html>\n<html lang=\"en\">"));
        assert!(!escaped("<script>").contains('<'));
    }
}
