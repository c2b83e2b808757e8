//! The doors by which programs are let in: OAuth 2.0 as Matrix has it, and what the sign-in page asks.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use ruma::DeviceId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    App,
    fault::Fault,
    http::{ACCOUNT, ACCOUNT_ACTIONS, read, unkept},
    json::Kind,
    matrix::client::NOBODY,
    passkeys::{PASSKEY, ShownPasskey},
    table::{Access, Call, Rate, Reply, Route, done, json as reply},
};
use crate::services::{
    Error,
    accounts::{Confirmed, Operation, passkeys::Use},
    oauth::{Authorization, Given, Metadata, Refusal},
};

/// Longest values of a form.
const VALUE_BYTES: usize = 8 * 1024;

const API: &str = "/_wayside/v1/oauth";
/// Where clients that are in use look for the metadata, as it was proposed (MSC2965).
const PROPOSED_METADATA: &str = "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata";
const SSO: &str = "/_matrix/client/v3/login/sso/redirect";

/// What a page asks about: a list would be taken for it, too.
const ASKED: &[(&str, Kind)] = &[("what/authorization", Kind::Object)];
/// By what somebody proves who they are, likewise.
pub(super) const PROVEN: &[(&str, Kind)] =
    &[("proof", Kind::Object), PASSKEY[0], PASSKEY[1], PASSKEY[2]];

pub(super) fn routes() -> Vec<Route> {
    let (get, post, public) = (Method::GET, Method::POST, Access::Public);
    let (read, guess) = (Rate::Read, Rate::Guess);
    let below = |path: &str| format!("{API}/{path}");
    vec![
        Route::own(get.clone(), "/_matrix/client/v1/auth_metadata", public, read, metadata),
        Route::own(get.clone(), "/.well-known/oauth-authorization-server", public, read, metadata),
        Route::own(get.clone(), PROPOSED_METADATA, public, read, metadata),
        Route::own(get.clone(), SSO, public, read, sso),
        Route::own(get, &format!("{SSO}/{{provider}}"), public, read, sso),
        Route::own(post.clone(), &below("register"), public, guess, register),
        Route::own(post.clone(), &below("token"), public, read, token).form(),
        Route::own(post.clone(), &below("revoke"), public, read, revoke).form(),
        Route::own(post.clone(), &below("device"), public, guess, device).form(),
        Route::own(post.clone(), "/_wayside/v1/sign-in/look", public, guess, look).typed(ASKED),
        Route::own(post, "/_wayside/v1/sign-in", public, guess, sign_in).typed(ASKED).typed(PROVEN),
    ]
}

/// What this node can do for programs (RFC 8414; client-server API, server metadata discovery).
async fn metadata(call: Call<Bytes>) -> Result<Reply, Fault> {
    let public = &call.app.places.public;
    let at = |path: &str| format!("{public}{API}/{path}");
    let mut reply = reply(&json!({
        "issuer": issuer(&call.app),
        "authorization_endpoint": format!("{public}/sign-in"),
        "token_endpoint": at("token"),
        "revocation_endpoint": at("revoke"),
        "registration_endpoint": at("register"),
        "device_authorization_endpoint": at("device"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported": [
            "authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code",
        ],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "prompt_values_supported": ["create"],
        "account_management_uri": format!("{public}{ACCOUNT}"),
        "account_management_actions_supported": ACCOUNT_ACTIONS,
    }));
    let hour = HeaderValue::from_static("public, max-age=3600");
    reply.headers_mut().insert(header::CACHE_CONTROL, hour);
    Ok(reply)
}

/// Who lets programs in here; the address has a path, as other issuers of Matrix have.
fn issuer(app: &App) -> String {
    format!("{}/", app.places.public)
}

/// Keeps what a program says of itself (RFC 7591).
async fn register(call: Call<Bytes>) -> Result<Reply, Fault> {
    let said: Metadata = read(call.request.body()).map_err(|fault| match fault {
        Fault::NotJson(why) | Fault::BadJson(why) => refusal("invalid_client_metadata", &why),
        fault => fault,
    })?;
    let (client_id, kept) = call.app.services.oauth.register(said).await?;
    let mut body = serde_json::to_value(kept).map_err(Error::internal)?;
    body["client_id"] = client_id.into();
    let mut reply = reply(&body);
    *reply.status_mut() = StatusCode::CREATED;
    Ok(unkept(reply))
}

/// Gives tokens for what a program shows (RFC 6749, 3.2).
async fn token(call: Call<Bytes>) -> Result<Reply, Fault> {
    let form = form(call.request.body())?;
    let part = |name: &str| part(&form, name);
    let oauth = &call.app.services.oauth;
    let client_id = part("client_id")?;
    let given = match part("grant_type")? {
        "authorization_code" => {
            let (code, uri) = (part("code")?, part("redirect_uri")?);
            oauth.exchange(client_id, code, uri, part("code_verifier")?).await?
        }
        "refresh_token" => oauth.renew(client_id, part("refresh_token")?).await?,
        "urn:ietf:params:oauth:grant-type:device_code" => {
            oauth.ask(client_id, part("device_code")?).await?
        }
        _ => return Err(refusal("unsupported_grant_type", "this node gives nothing for that")),
    };
    Ok(unkept(reply(&given_json(given))))
}

fn given_json(given: Given) -> Value {
    let Given { tokens, scope } = given;
    let mut body = json!({ "access_token": tokens.access, "token_type": "Bearer" });
    if let Some(lasts_ms) = tokens.lasts_ms {
        body["expires_in"] = (lasts_ms / 1_000).into();
    }
    if let Some(refresh) = tokens.refresh {
        body["refresh_token"] = refresh.into();
    }
    if let Some(scope) = scope {
        body["scope"] = scope.text.into();
    }
    body
}

/// Signs a device out by one of its tokens (RFC 7009).
async fn revoke(call: Call<Bytes>) -> Result<Reply, Fault> {
    let form = form(call.request.body())?;
    let client_id = form.get("client_id").map(String::as_str);
    call.app.services.oauth.revoke(client_id, part(&form, "token")?).await?;
    Ok(unkept(done()))
}

/// Begins the waiting of a device (RFC 8628, 3.1).
async fn device(call: Call<Bytes>) -> Result<Reply, Fault> {
    let form = form(call.request.body())?;
    let (client_id, scope) = (part(&form, "client_id")?, part(&form, "scope")?);
    let begun = call.app.services.oauth.begin(client_id, scope).await?;
    Ok(unkept(reply(&begun.told(&format!("{}/link", call.app.places.public)))))
}

/// Sends people to the sign-in page (client-server API, `m.login.sso`).
async fn sso(call: Call<Bytes>) -> Result<Reply, Fault> {
    let query = query(call.request.uri())?;
    let redirect = query.get("redirectUrl");
    let missing = || Error::Missing("redirectUrl says where to go back to".to_owned());
    let redirect = redirect.ok_or_else(missing)?;
    call.app.services.oauth.sign_on_target(redirect)?;
    let mut page =
        url::form_urlencoded::Serializer::new(format!("{}/sign-in?", call.app.places.public));
    page.append_pair("sso", redirect);
    let newcomer = match query.get("action").map(String::as_str) {
        None | Some("login") => false,
        Some("register") => true,
        Some(_) => return Err(Fault::BadParameter("action is login or register".to_owned())),
    };
    if let Some(provider) = call.path.first() {
        let provider = call.app.services.providers.get(provider)?;
        page.append_pair("provider", &provider.id);
    }
    if newcomer {
        page.append_pair("prompt", "create");
    }
    let page = HeaderValue::try_from(page.finish()).map_err(Error::internal)?;
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::FOUND;
    reply.headers_mut().insert(header::LOCATION, page);
    Ok(unkept(reply))
}

/// What somebody is asked to let in.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// A program that sent them.
    Authorization(Authorization),
    /// A device that shows this code.
    Device(String),
    /// A client that wants a login token brought to this address.
    Sso(String),
    /// A request that waits, in this session, until its person confirms it.
    Confirm(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LookBody {
    what: What,
}

/// What the page shows before it asks for a password.
async fn look(call: Call<Bytes>) -> Result<Reply, Fault> {
    let LookBody { what } = read(call.request.body())?;
    let oauth = &call.app.services.oauth;
    let program = |client: &Metadata| json!({ "name": client.name(), "uri": client.uri() });
    Ok(reply(&match what {
        What::Authorization(asked) => program(&oauth.look(&asked).await?),
        What::Device(code) => program(&oauth.look_at_device(&code).await?),
        What::Sso(redirect) => json!({ "name": oauth.sign_on_target(&redirect)? }),
        What::Confirm(session) => waiting(&call.app, &session).await?,
    }))
}

/// What waits for its person's word, and who asks for it.
async fn waiting(app: &App, session: &str) -> Result<Value, Fault> {
    let waiting = app.services.accounts.waiting(session).await?;
    let device = |id: &DeviceId, name: &Option<String>| json!({ "id": id, "name": name });
    let mut operation = serde_json::to_value(&waiting.operation).map_err(Error::internal)?;
    if let Operation::RemoveDevices { devices, .. } = &waiting.operation {
        let named = devices.iter().zip(&waiting.names).map(|(id, name)| device(id, name));
        operation["devices"] = named.collect();
    }
    let (id, name) = &waiting.device;
    let ways = app.services.accounts.ways(&waiting.user_id).await?;
    let links = app.services.providers.links(&waiting.user_id).await?;
    let providers: Vec<String> = links.into_iter().filter_map(|it| it.provider).collect();
    let mut told = json!({
        "user_id": waiting.user_id, "device": device(id, name), "operation": operation,
        "ways": { "password": ways.password, "passkey": ways.passkey, "providers": providers },
    });
    if let Some(client_id) = &waiting.client_id {
        let client = app.services.oauth.client(client_id).await?;
        told["program"] = json!({ "name": client.name(), "uri": client.uri() });
    }
    Ok(told)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignInBody {
    what: What,
    /// Who lets it in; nobody, where it is turned away.
    proof: Option<Proof>,
    /// The same by a passkey.
    passkey: Option<ShownPasskey>,
}

/// By what somebody is known who signs in.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum Proof {
    /// What they know.
    Password { user: String, password: String },
    /// That they have come in already, by another way.
    LoginToken { login_token: String },
    /// That a provider of identities vouched for them to a page of this browser, for what they confirm.
    Word { word: String, browser: String },
}

/// Lets a program or a device in, or turns it away; says where the page goes on, if anywhere.
async fn sign_in(call: Call<Bytes>) -> Result<Reply, Fault> {
    let SignInBody { what, proof, passkey } = read(call.request.body())?;
    let (oauth, issuer) = (&call.app.services.oauth, issuer(&call.app));
    let accounts = &call.app.services.accounts;
    let confirmed = match (proof, passkey) {
        (Some(proof), None) => Some(match &what {
            What::Confirm(session) => confirm_for(&call.app, session, proof).await?,
            _ => confirm(&call.app, proof).await?,
        }),
        (None, Some(shown)) => Some(accounts.known_by_passkey(Use::SignIn, shown.into()).await?),
        (Some(_), Some(_)) => return Err(Fault::bad_json("either a proof or a passkey is shown")),
        (None, None) => None,
    };
    let location = match (what, confirmed) {
        (What::Authorization(asked), Some(by)) => Some(oauth.allow(&asked, by, &issuer).await?),
        (What::Authorization(asked), None) => Some(oauth.deny(&asked, &issuer).await?),
        (What::Device(code), by) => {
            oauth.decide(&code, by).await?;
            None
        }
        (What::Sso(redirect), Some(by)) => Some(oauth.sign_on(&redirect, by).await?),
        (What::Confirm(session), Some(by)) => {
            accounts.confirm_waiting(&session, by).await?;
            None
        }
        (What::Sso(_) | What::Confirm(_), None) => {
            return Err(Fault::bad_json("proof says who signs in"));
        }
    };
    Ok(unkept(reply(&json!({ "location": location }))))
}

pub(super) async fn confirm(app: &App, proof: Proof) -> Result<Confirmed, Fault> {
    let accounts = &app.services.accounts;
    match proof {
        Proof::Password { user, password } => {
            let user_id = accounts.named(&named(app, user).await?)?;
            app.guessed(&user_id)?;
            Ok(accounts.known(&user_id, password).await?)
        }
        Proof::LoginToken { login_token } => Ok(accounts.spend_login_token(&login_token).await?),
        Proof::Word { .. } => {
            Err(Error::Forbidden("this proof confirms a request, and nothing else".to_owned())
                .into())
        }
    }
}

/// Whom somebody means by what they type for their name: their address of e-mail is one as well, which
/// no name of an account could be.
async fn named(app: &App, user: String) -> Result<String, Error> {
    let user = user.trim();
    if user.starts_with('@') || !user.contains('@') {
        return Ok(user.to_owned());
    }
    let owner = app.services.emails.owner(user).await?;
    // Whose it is not costs as long, and is told alike.
    Ok(owner.map_or_else(|| NOBODY.to_owned(), |owner| owner.to_string()))
}

/// The same for a request that waits. A login token says nothing there: programs hold such too.
async fn confirm_for(app: &App, session: &str, proof: Proof) -> Result<Confirmed, Fault> {
    match proof {
        Proof::Password { .. } => confirm(app, proof).await,
        Proof::Word { word, browser } => {
            Ok(app.services.accounts.known_by_word(session, &word, &browser)?)
        }
        Proof::LoginToken { .. } => {
            let why = "a login token does not confirm this: show who you are anew";
            Err(Error::Forbidden(why.to_owned()).into())
        }
    }
}

/// The parts of an address behind its path.
pub(super) fn query(uri: &Uri) -> Result<BTreeMap<String, String>, Fault> {
    form(uri.query().unwrap_or_default().as_bytes())
}

/// The parts of a form or query; none may stand twice (RFC 6749, 3.1 and 3.2).
pub(super) fn form(text: &[u8]) -> Result<BTreeMap<String, String>, Fault> {
    let mut parts = BTreeMap::new();
    for (name, value) in url::form_urlencoded::parse(text) {
        if value.len() > VALUE_BYTES {
            return Err(refusal("invalid_request", "a value has at most 8 KiB"));
        }
        if parts.insert(name.to_string(), value.into_owned()).is_some() {
            return Err(refusal("invalid_request", &format!("{name:?} stands twice")));
        }
    }
    Ok(parts)
}

fn part<'f>(form: &'f BTreeMap<String, String>, name: &str) -> Result<&'f str, Fault> {
    let missing = || refusal("invalid_request", &format!("{name} is missing"));
    form.get(name).map(String::as_str).filter(|value| !value.is_empty()).ok_or_else(missing)
}

fn refusal(code: &'static str, why: &str) -> Fault {
    Fault::OAuth(Refusal { code, why: why.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_everything_once() {
        let parts = form(b"a=1%20+2&b=&c").unwrap();
        assert_eq!(parts["a"], "1  2");
        assert!(part(&parts, "b").is_err() && part(&parts, "d").is_err());
        assert!(form(b"a=1&a=2").is_err());
        assert!(form(format!("a={}", "x".repeat(9_000)).as_bytes()).is_err());
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            let _any = form(bytes);
        });
    }
}
