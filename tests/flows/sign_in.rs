//! What opens devices: tokens that are renewed, and programs and devices that people let in.

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use reqwest::{StatusCode, Url, header, redirect::Policy};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wayside_tests::{CallError, Client, PASSWORD};

use crate::stage::{Deeds, Stage, comes_true, escaped, refused, stories};

stories! {
    a_token_is_renewed_and_the_one_before_ends;
    a_refresh_token_shown_twice_ends_what_it_opened;
    a_login_token_signs_one_device_in;
    a_program_is_let_in;
    a_program_that_does_wrong_is_refused;
    a_code_that_is_shown_twice_ends_what_it_gave;
    a_device_is_let_in_by_its_code;
    older_clients_are_sent_to_the_page_and_back;
    whoever_is_locked_comes_in_by_nothing;
}

const LOGIN: &str = "/_matrix/client/v3/login";
const REFRESH: &str = "/_matrix/client/v3/refresh";
const WHO: &str = "/_matrix/client/v3/account/whoami";
const LOOK: &str = "/_wayside/v1/sign-in/look";
const SIGN_IN: &str = "/_wayside/v1/sign-in";
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const VERIFIER: &str = "a-verifier-of-at-least-forty-three-letters-and-digits";
const BACK: &str = "https://app.example.com/back";

/// Whoever shows a token.
pub(crate) fn with_token(stage: &Stage, answer: &Value) -> Result<Client> {
    let (user, device) = (json!("@who:a.test"), json!("ANY"));
    let session =
        json!({ "user_id": user, "device_id": device, "access_token": answer["access_token"] });
    Client::nobody(stage.node.http())?.signed_in(&session)
}

fn text<'a>(answer: &'a Value, key: &str) -> Result<&'a str> {
    answer[key].as_str().with_context(|| format!("no text {key:?} in {answer}"))
}

fn log_in(name: &str) -> Value {
    json!({
        "type": "m.login.password", "identifier": { "type": "m.id.user", "user": name },
        "password": PASSWORD, "device_id": "PHONE", "refresh_token": true,
    })
}

/// A refusal that leaves the device as it is.
fn softly<T: std::fmt::Debug>(answer: Result<T, CallError>) -> Result<()> {
    let Err(CallError::Refused { body, .. }) = &answer else {
        anyhow::bail!("wanted a soft logout, got {answer:?}");
    };
    ensure!(body["soft_logout"] == true, "{body}");
    refused(answer, 401, "M_UNKNOWN_TOKEN")
}

// Operations: refresh.
async fn a_token_is_renewed_and_the_one_before_ends(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let first = nobody.post(LOGIN, &log_in("ann")).await?;
    ensure!(first["expires_in_ms"] == 300_000, "{first}");
    let renew = |answer: &Value| json!({ "refresh_token": answer["refresh_token"] });
    // Without the wish there is nothing to renew.
    let mut plain = log_in("ann");
    plain["refresh_token"] = json!(false);
    plain["device_id"] = json!("OTHER");
    let lasting = nobody.post(LOGIN, &plain).await?;
    ensure!(lasting.get("refresh_token").is_none() && lasting.get("expires_in_ms").is_none());

    // An answer that was lost is asked for again, and what was lost with it is worth nothing.
    let lost = nobody.post(REFRESH, &renew(&first)).await?;
    let second = nobody.post(REFRESH, &renew(&first)).await?;
    refused(with_token(stage, &lost)?.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    with_token(stage, &first)?.get(WHO).await.context("the first is good until another is used")?;
    let who = with_token(stage, &second)?.get(WHO).await?;
    ensure!(who["user_id"] == ann.id() && who["device_id"] == "PHONE", "{who}");
    // From now on the first is over; that is noted beside the answer.
    let before = with_token(stage, &first)?;
    comes_true("the token before ends", async || Ok(before.get(WHO).await.is_err())).await?;
    refused(before.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    // What was renewed outlives a restart.
    stage.restart().await?;
    let nobody = Client::nobody(stage.node.http())?;
    let third = nobody.post(REFRESH, &renew(&second)).await?;
    with_token(stage, &third)?.get(WHO).await?;
    ensure!(text(&third, "refresh_token")? != text(&second, "refresh_token")?);
    for wrong in ["", "junk", text(&third, "access_token")?] {
        softly(nobody.post(REFRESH, &json!({ "refresh_token": wrong })).await)?;
    }
    with_token(stage, &third)?.post("/_matrix/client/v3/logout", &json!({})).await?;
    softly(nobody.post(REFRESH, &renew(&third)).await)
}

async fn a_refresh_token_shown_twice_ends_what_it_opened(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let first = nobody.post(LOGIN, &log_in("ann")).await?;
    let renew = |answer: &Value| json!({ "refresh_token": answer["refresh_token"] });
    let second = nobody.post(REFRESH, &renew(&first)).await?;
    // By using what the second gave, the first is spent.
    let third = nobody.post(REFRESH, &renew(&second)).await?;
    // Whoever shows it now is a thief, or was stolen from: nobody goes on before they sign in again.
    softly(nobody.post(REFRESH, &renew(&first)).await)?;
    for tokens in [&second, &third] {
        softly(nobody.post(REFRESH, &renew(tokens)).await)?;
    }
    softly(with_token(stage, &third)?.get(WHO).await)?;
    // The device and its keys are still there, and open again by a password.
    ensure!(ann.get("/_matrix/client/v3/devices/PHONE").await?["device_id"] == "PHONE");
    let again = nobody.post(LOGIN, &log_in("ann")).await?;
    with_token(stage, &again)?.get(WHO).await?;
    Ok(())
}

// Operations: generateLoginToken.
async fn a_login_token_signs_one_device_in(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let path = "/_matrix/client/v1/login/get_token";
    let asked = ann.post(path, &json!({})).await;
    let Err(CallError::Refused { status: StatusCode::UNAUTHORIZED, body, .. }) = asked else {
        anyhow::bail!("a login token without a password: {asked:?}");
    };
    let stages = json!([{ "stages": ["m.login.password"] }, { "stages": ["m.login.sso"] }]);
    ensure!(body["flows"] == stages, "{body}");
    let proof = json!({
        "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "ann" },
        "password": PASSWORD, "session": body["session"],
    });
    let given = ann.post(path, &json!({ "auth": proof })).await?;
    ensure!(given["expires_in_ms"] == 120_000, "{given}");
    let flows = nobody.get(LOGIN).await?;
    ensure!(flows.to_string().contains(r#""get_login_token":true"#), "{flows}");
    let capable = ann.get("/_matrix/client/v3/capabilities").await?;
    ensure!(capable["capabilities"]["m.get_login_token"]["enabled"] == true, "{capable}");
    let wish =
        json!({ "type": "m.login.token", "token": given["login_token"], "device_id": "TABLET" });
    let opened = nobody.post(LOGIN, &wish).await?;
    ensure!(opened["user_id"] == ann.id() && opened["device_id"] == "TABLET", "{opened}");
    with_token(stage, &opened)?.get(WHO).await?;
    refused(nobody.post(LOGIN, &wish).await, 403, "M_FORBIDDEN")?;
    for wrong in ["", "junk", ann.session().token()] {
        let wish = json!({ "type": "m.login.token", "token": wrong });
        refused(nobody.post(LOGIN, &wish).await, 403, "M_FORBIDDEN")?;
    }
    Ok(())
}

/// A program that registered at the node.
pub(crate) struct Program {
    client: Client,
    base: Url,
    metadata: Value,
    id: String,
}

impl Program {
    async fn register(stage: &Stage, said: &Value) -> Result<Self> {
        let base = stage.node.http().clone();
        let client = Client::nobody(&base)?;
        let metadata = client.get("/_matrix/client/v1/auth_metadata").await?;
        // Clients that are in use look where it was proposed (MSC2965).
        let proposed = "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata";
        ensure!(client.get(proposed).await? == metadata, "it is the same at both places");
        let path = Url::parse(text(&metadata, "registration_endpoint")?)?.path().to_owned();
        let registered = client.post(&path, said).await?;
        let id = text(&registered, "client_id")?.to_owned();
        ensure!(registered["client_uri"] == said["client_uri"], "{registered}");
        Ok(Self { client, base, metadata, id })
    }

    pub(crate) async fn of_app(stage: &Stage) -> Result<Self> {
        let grants = ["authorization_code", "refresh_token", DEVICE_GRANT];
        Self::register(stage, &app(json!({ "grant_types": grants }))).await
    }

    /// What it asks of somebody, with something changed.
    pub(crate) fn asks(&self, change: Value) -> Value {
        let mut asked = json!({
            "client_id": self.id, "redirect_uri": BACK, "response_type": "code", "state": "of app",
            "scope": "urn:matrix:client:api:* urn:matrix:client:device:APPDEVICE1",
            "code_challenge": URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)),
            "code_challenge_method": "S256",
        });
        merge(&mut asked, change);
        json!({ "authorization": asked })
    }

    /// Where somebody is sent who signs in for it.
    pub(crate) async fn let_in(&self, what: &Value, user: &str) -> Result<Url> {
        let proof = json!({ "user": user, "password": PASSWORD });
        let answer = self.client.post(SIGN_IN, &json!({ "what": what, "proof": proof })).await?;
        Ok(Url::parse(text(&answer, "location")?)?)
    }

    /// Posts a form to one of the node's addresses for programs.
    async fn form(&self, endpoint: &str, parts: &[(&str, &str)]) -> Result<(u16, Value)> {
        let path = Url::parse(text(&self.metadata, endpoint)?)?.path().to_owned();
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(parts);
        let asked = reqwest::Client::new().post(self.base.join(&path)?).body(body.finish());
        let answer =
            asked.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded").send().await?;
        ensure!(answer.headers().get(header::CACHE_CONTROL).is_none_or(|it| it == "no-store"));
        let status = answer.status().as_u16();
        Ok((status, serde_json::from_str(&answer.text().await?)?))
    }

    pub(crate) async fn exchange(
        &self,
        code: &str,
        change: &[(&str, &str)],
    ) -> Result<(u16, Value)> {
        let mut parts = vec![
            ("grant_type", "authorization_code"),
            ("client_id", &self.id),
            ("code", code),
            ("redirect_uri", BACK),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in change {
            parts.retain(|(known, _)| known != name);
            parts.push((name, value));
        }
        self.form("token_endpoint", &parts).await
    }

    async fn renew(&self, token: &Value) -> Result<(u16, Value)> {
        let token = text(token, "refresh_token")?;
        let parts =
            [("grant_type", "refresh_token"), ("client_id", &self.id), ("refresh_token", token)];
        self.form("token_endpoint", &parts).await
    }
}

fn app(change: Value) -> Value {
    let mut said = json!({
        "client_name": "App", "client_uri": "https://example.com/", "redirect_uris": [BACK],
        "application_type": "web", "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"], "token_endpoint_auth_method": "none",
    });
    merge(&mut said, change);
    said
}

fn merge(into: &mut Value, change: Value) {
    if let Value::Object(change) = change {
        for (name, value) in change {
            into[name] = value;
        }
    }
}

pub(crate) fn said(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn oauth_refused((status, body): (u16, Value), code: &str) -> Result<()> {
    ensure!(status == 400 && body["error"] == code, "wanted {code}, got {status} {body}");
    ensure!(body["error_description"].is_string() && body["errcode"].is_null(), "{body}");
    Ok(())
}

// Operations: getAuthMetadata.
async fn a_program_is_let_in(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let app = Program::of_app(stage).await?;
    let same = app.client.get("/.well-known/oauth-authorization-server").await?;
    ensure!(same == app.metadata && same["issuer"].is_string(), "{same}");
    let again = Program::of_app(stage).await?;
    ensure!(again.id == app.id, "the same words make the same program");

    let asked = app.asks(json!({}));
    let shown = app.client.post(LOOK, &json!({ "what": asked })).await?;
    ensure!(shown == json!({ "name": "App", "uri": "https://example.com/" }), "{shown}");
    let back = app.let_in(&asked, "ann").await?;
    ensure!(back.as_str().starts_with("https://app.example.com/back?"), "{back}");
    ensure!(said(&back, "state").as_deref() == Some("of app"), "{back}");
    ensure!(said(&back, "iss").as_deref() == app.metadata["issuer"].as_str(), "{back}");
    let code = said(&back, "code").context("no code")?;
    let (status, given) = app.exchange(&code, &[]).await?;
    ensure!(status == 200 && given["token_type"] == "Bearer", "{given}");
    ensure!(
        given["expires_in"] == 300 && given["scope"] == asked["authorization"]["scope"],
        "{given}"
    );
    let opened = with_token(stage, &given)?;
    let who = opened.get(WHO).await?;
    ensure!(
        who == json!({ "user_id": ann.id(), "device_id": "APPDEVICE1", "is_guest": false }),
        "{who}"
    );
    ensure!(ann.get("/_matrix/client/v3/devices/APPDEVICE1").await?["display_name"] == "App");

    // The tokens of a program are renewed by that program alone.
    let nobody = Client::nobody(stage.node.http())?;
    let plain = json!({ "refresh_token": given["refresh_token"] });
    softly(nobody.post(REFRESH, &plain).await)?;
    let (status, renewed) = app.renew(&given).await?;
    ensure!(status == 200 && renewed["access_token"] != given["access_token"], "{renewed}");
    with_token(stage, &renewed)?.get(WHO).await?;

    // By fragment, for programs that are pages.
    let asked =
        app.asks(json!({ "response_mode": "fragment", "scope": asked["authorization"]["scope"] }));
    let back = app.let_in(&asked, "ann").await?;
    ensure!(
        back.query().is_none() && back.fragment().is_some_and(|it| it.contains("code=")),
        "{back}"
    );

    let token = text(&renewed, "refresh_token")?.to_owned();
    let other = Program::register(stage, &self::app(json!({ "client_name": "Other" }))).await?;
    let revoke = |client: &str| [("token", token.clone()), ("client_id", client.to_owned())];
    let parts = revoke(&other.id);
    let parts: Vec<(&str, &str)> =
        parts.iter().map(|(name, value)| (*name, value.as_str())).collect();
    oauth_refused(app.form("revocation_endpoint", &parts).await?, "invalid_client")?;
    with_token(stage, &renewed)?.get(WHO).await.context("another's revocation does nothing")?;
    let parts = revoke(&app.id);
    let parts: Vec<(&str, &str)> =
        parts.iter().map(|(name, value)| (*name, value.as_str())).collect();
    for _ in 0..2 {
        ensure!(app.form("revocation_endpoint", &parts).await?.0 == 200);
    }
    refused(with_token(stage, &renewed)?.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    refused(ann.get("/_matrix/client/v3/devices/APPDEVICE1").await, 404, "M_NOT_FOUND")
}

async fn a_program_that_does_wrong_is_refused(stage: &mut Stage) -> Result<()> {
    stage.person("ann").await?;
    let app = Program::of_app(stage).await?;
    let proof = json!({ "user": "ann", "password": PASSWORD });
    // Nobody is sent anywhere for these.
    for (change, code) in [
        (json!({ "client_id": "unknown" }), "invalid_client"),
        (json!({ "redirect_uri": "https://evil.test/" }), "invalid_request"),
        (json!({ "redirect_uri": "https://app.example.com/back/../" }), "invalid_request"),
        (json!({ "response_mode": "form_post" }), "invalid_request"),
    ] {
        let what = app.asks(change);
        for (path, body) in [
            (LOOK, json!({ "what": what })),
            (SIGN_IN, json!({ "what": what, "proof": proof })),
            (SIGN_IN, json!({ "what": what })),
        ] {
            let Err(CallError::Refused { status, body, .. }) = app.client.post(path, &body).await
            else {
                anyhow::bail!("{what} was let through by {path}");
            };
            oauth_refused((status.as_u16(), body), code)?;
        }
    }
    // These are told to the program.
    for (change, code) in [
        (json!({ "response_type": "token" }), "unsupported_response_type"),
        (json!({ "scope": "urn:matrix:client:api:*" }), "invalid_scope"),
        (json!({ "scope": "openid" }), "invalid_scope"),
        (json!({ "code_challenge_method": "plain" }), "invalid_request"),
        (json!({ "code_challenge": "short" }), "invalid_request"),
        (json!({ "code_challenge": null }), "invalid_request"),
    ] {
        let back = app.let_in(&app.asks(change), "ann").await?;
        ensure!(said(&back, "error").as_deref() == Some(code), "wanted {code}: {back}");
        ensure!(said(&back, "code").is_none() && said(&back, "state").is_some(), "{back}");
    }
    let denied = app.client.post(SIGN_IN, &json!({ "what": app.asks(json!({})) })).await?;
    ensure!(text(&denied, "location")?.contains("error=access_denied"), "{denied}");
    let wrong = json!({ "user": "ann", "password": "not hers at all" });
    let body = json!({ "what": app.asks(json!({})), "proof": wrong });
    refused(app.client.post(SIGN_IN, &body).await, 403, "M_FORBIDDEN")?;

    let code = said(&app.let_in(&app.asks(json!({})), "ann").await?, "code").context("no code")?;
    let other = Program::register(stage, &self::app(json!({ "client_name": "Other" }))).await?;
    for (change, error) in [
        (vec![("code_verifier", "a-verifier-of-somebody-else-who-has-the-code")], "invalid_grant"),
        (vec![("redirect_uri", "https://app.example.com/")], "invalid_grant"),
        (vec![("client_id", other.id.as_str())], "invalid_grant"),
        (vec![("client_id", "unknown")], "invalid_client"),
        (vec![("code", "wcod_AAAA")], "invalid_grant"),
        (vec![("code", "")], "invalid_request"),
        (vec![("grant_type", "password")], "unsupported_grant_type"),
        (vec![("grant_type", "refresh_token")], "invalid_request"),
    ] {
        oauth_refused(app.exchange(&code, &change).await?, error)
            .with_context(|| format!("{change:?}"))?;
    }
    let twice = [("grant_type", "refresh_token"), ("client_id", "a"), ("client_id", "b")];
    oauth_refused(app.form("token_endpoint", &twice).await?, "invalid_request")?;
    let (status, given) = app.exchange(&code, &[]).await?;
    ensure!(status == 200, "wrong guesses do not use the code up: {given}");
    let register = Url::parse(text(&app.metadata, "registration_endpoint")?)?.path().to_owned();
    for (change, code) in [
        (json!({ "client_uri": "http://example.com/" }), "invalid_client_metadata"),
        (json!({ "redirect_uris": ["https://evil.test/"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": "https://app.test/" }), "invalid_client_metadata"),
        (json!({ "grant_types": null }), "invalid_client_metadata"),
    ] {
        let Err(CallError::Refused { status, body, .. }) =
            app.client.post(&register, &self::app(change.clone())).await
        else {
            anyhow::bail!("{change} was taken");
        };
        oauth_refused((status.as_u16(), body), code)?;
    }
    Ok(())
}

async fn a_code_that_is_shown_twice_ends_what_it_gave(stage: &mut Stage) -> Result<()> {
    stage.person("ann").await?;
    let app = Program::of_app(stage).await?;
    let code = said(&app.let_in(&app.asks(json!({})), "ann").await?, "code").context("no code")?;
    let (status, given) = app.exchange(&code, &[]).await?;
    ensure!(status == 200, "{given}");
    with_token(stage, &given)?.get(WHO).await?;
    oauth_refused(app.exchange(&code, &[]).await?, "invalid_grant")?;
    softly(with_token(stage, &given)?.get(WHO).await)?;
    oauth_refused(app.renew(&given).await?, "invalid_grant")
}

async fn a_device_is_let_in_by_its_code(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let app = Program::of_app(stage).await?;
    let scope = "urn:matrix:client:api:* urn:matrix:client:device:TELEVISION";
    let begin = [("client_id", app.id.as_str()), ("scope", scope)];
    let poll = async |begun: &Value| {
        let code = text(begun, "device_code")?;
        let parts =
            [("grant_type", DEVICE_GRANT), ("client_id", app.id.as_str()), ("device_code", code)];
        app.form("token_endpoint", &parts).await
    };
    let (status, begun) = app.form("device_authorization_endpoint", &begin).await?;
    ensure!(status == 200 && begun["interval"] == 5 && begun["expires_in"] == 900, "{begun}");
    let code = text(&begun, "user_code")?.to_owned();
    ensure!(text(&begun, "verification_uri_complete")?.ends_with(&format!("/link?code={code}")));
    oauth_refused(poll(&begun).await?, "authorization_pending")?;
    oauth_refused(poll(&begun).await?, "slow_down").context("it asks again at once")?;

    let what = json!({ "device": code.to_lowercase().replace('-', " ") });
    let shown = app.client.post(LOOK, &json!({ "what": what })).await?;
    ensure!(shown["name"] == "App", "{shown}");
    let proof = json!({ "user": "ann", "password": PASSWORD });
    let answer = app.client.post(SIGN_IN, &json!({ "what": what, "proof": proof })).await?;
    ensure!(answer == json!({ "location": null }), "{answer}");
    // What was decided is decided.
    let late = app.client.post(SIGN_IN, &json!({ "what": what })).await;
    refused(late, 404, "M_NOT_FOUND")?;
    let (status, given) = poll(&begun).await?;
    ensure!(status == 200 && given["scope"] == scope, "{given}");
    let who = with_token(stage, &given)?.get(WHO).await?;
    ensure!(who["user_id"] == ann.id() && who["device_id"] == "TELEVISION", "{who}");
    oauth_refused(poll(&begun).await?, "expired_token")?;

    let (_, begun) = app.form("device_authorization_endpoint", &begin).await?;
    let what = json!({ "device": begun["user_code"] });
    app.client.post(SIGN_IN, &json!({ "what": what })).await?;
    oauth_refused(poll(&begun).await?, "access_denied")?;
    for unknown in ["", "BCDF-GHJK", "nonsense"] {
        let what = json!({ "device": unknown });
        refused(app.client.post(LOOK, &json!({ "what": what })).await, 404, "M_NOT_FOUND")?;
    }
    let plain =
        Program::register(stage, &self::app(json!({ "client_name": "No devices" }))).await?;
    let begin = [("client_id", plain.id.as_str()), ("scope", scope)];
    let refusal = plain.form("device_authorization_endpoint", &begin).await?;
    oauth_refused(refusal, "unauthorized_client")
}

// Operations: redirectToSSO.
async fn older_clients_are_sent_to_the_page_and_back(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let flows = nobody.get(LOGIN).await?;
    ensure!(flows["flows"].to_string().contains("m.login.sso"), "{flows}");
    let path = "/_matrix/client/v3/login/sso/redirect";
    let still = reqwest::Client::builder().redirect(Policy::none()).build()?;
    let goal = "https://client.example/?x=1#room";
    let mut asked = stage.node.http().join(path)?;
    asked.query_pairs_mut().append_pair("redirectUrl", goal).append_pair("action", "register");
    let answer = still.get(asked).send().await?;
    ensure!(answer.status() == StatusCode::FOUND, "{answer:?}");
    let page = Url::parse(answer.headers()[header::LOCATION].to_str()?)?;
    ensure!(page.path() == "/sign-in" && said(&page, "sso").as_deref() == Some(goal), "{page}");
    ensure!(said(&page, "prompt").as_deref() == Some("create"), "{page}");
    let what = json!({ "sso": goal });
    ensure!(nobody.post(LOOK, &json!({ "what": what })).await?["name"] == "client.example");
    let proof = json!({ "user": "ann", "password": PASSWORD });
    let answer = nobody.post(SIGN_IN, &json!({ "what": what, "proof": proof })).await?;
    let back = Url::parse(text(&answer, "location")?)?;
    ensure!(back.fragment() == Some("room") && said(&back, "x").as_deref() == Some("1"), "{back}");
    let token = said(&back, "loginToken").context("no login token")?;
    let opened = nobody.post(LOGIN, &json!({ "type": "m.login.token", "token": token })).await?;
    ensure!(opened["user_id"] == ann.id(), "{opened}");

    refused(nobody.get(path).await, 400, "M_MISSING_PARAM")?;
    for wrong in ["javascript:alert(1)", "data:text/html,x", "nowhere"] {
        let asked = format!("{path}?redirectUrl={}", escaped(wrong));
        refused(nobody.get(&asked).await, 400, "M_INVALID_PARAM")?;
        let body = json!({ "what": { "sso": wrong }, "proof": proof });
        refused(nobody.post(SIGN_IN, &body).await, 400, "M_INVALID_PARAM")?;
    }
    Ok(())
}

async fn whoever_is_locked_comes_in_by_nothing(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let app = Program::of_app(stage).await?;
    let nobody = Client::nobody(stage.node.http())?;
    let renewable = nobody.post(LOGIN, &log_in("ann")).await?;
    let code = said(&app.let_in(&app.asks(json!({})), "ann").await?, "code").context("no code")?;
    let proof = json!({ "user": "ann", "password": PASSWORD });
    let on = json!({ "what": { "sso": "https://client.example/" }, "proof": proof });
    let back = Url::parse(text(&nobody.post(SIGN_IN, &on).await?, "location")?)?;
    let token = said(&back, "loginToken").context("no login token")?;
    let lock = async |word: &str| {
        let done = stage.node.command(&["user", word, "ann"]).await?;
        ensure!(done.status.success(), "{done:?}");
        anyhow::Ok(())
    };
    lock("lock").await?;
    let renew = json!({ "refresh_token": renewable["refresh_token"] });
    let by_token = json!({ "type": "m.login.token", "token": token });
    refused(ann.get(WHO).await, 401, "M_USER_LOCKED")?;
    refused(nobody.post(REFRESH, &renew).await, 401, "M_USER_LOCKED")?;
    refused(nobody.post(LOGIN, &by_token).await, 401, "M_USER_LOCKED")?;
    let body = json!({ "what": app.asks(json!({})), "proof": proof });
    refused(nobody.post(SIGN_IN, &body).await, 401, "M_USER_LOCKED")?;
    let (status, answer) = app.exchange(&code, &[]).await?;
    ensure!(status == 401 && answer["errcode"] == "M_USER_LOCKED", "{status} {answer}");
    // Nothing was used up by trying.
    lock("unlock").await?;
    nobody.post(REFRESH, &renew).await?;
    nobody.post(LOGIN, &by_token).await?;
    ensure!(app.exchange(&code, &[]).await?.0 == 200);
    Ok(())
}
