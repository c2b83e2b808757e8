//! People come with an account elsewhere, and a provider that lies vouches for nobody.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result, ensure};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::KeyPair;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;
use wayside_tests::{CallError, Client, Options, PASSWORD};

use crate::stage::{Deeds, Stage, comes_true, refused, stories};

stories! {
    a_newcomer_makes_an_account_and_comes_again;
    an_account_of_the_node_is_made_known;
    a_provider_that_lies_vouches_for_nobody;
    what_people_carry_is_theirs_and_of_now;
    one_that_is_away_is_told_as_away;
}

const API: &str = "/_wayside/v1/providers";
const LOGIN: &str = "/_matrix/client/v3/login";
/// The key by which every page of these stories is known.
pub(crate) const BROWSER: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "the-key";

/// In what a provider lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    None,
    Issuer,
    Audience,
    SecondAudience,
    Party,
    Nonce,
    Over,
    Nobody,
    Unsigned,
    OtherKey,
    PublicKeyAsSecret,
    Userinfo,
    Undated,
    Stale,
    ToCome,
    Refuses,
    Fails,
    TooMuch,
}

/// Somebody on their way, as the provider saw them.
struct Visitor {
    subject: String,
    nonce: String,
    challenge: String,
    redirect: String,
    /// Whether it is to be said when they showed who they are.
    dated: bool,
}

struct Inside {
    base: String,
    key: KeyPair,
    other_key: KeyPair,
    lie: Mutex<Lie>,
    visitors: Mutex<HashMap<String, Visitor>>,
    /// How often it was asked who it is.
    asked: Mutex<u32>,
}

/// A provider of identities of the story's own: only such a one lies.
pub(crate) struct Club {
    inside: Arc<Inside>,
    serving: JoinHandle<()>,
    _file: TempDir,
}

impl Drop for Club {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Club {
    /// Opens one, and puts the stage on a node that believes it.
    async fn open(stage: &mut Stage, more: &str) -> Result<Self> {
        Self::open_at(stage, more, None).await
    }

    /// The same for a node that is known by an address of its own.
    pub(crate) async fn open_at(
        stage: &mut Stage,
        more: &str,
        public: Option<&str>,
    ) -> Result<Self> {
        let socket = TcpListener::bind("127.0.0.1:0").await?;
        let base = format!("http://{}", socket.local_addr()?);
        let inside = Arc::new(Inside {
            base: base.clone(),
            key: KeyPair::generate()?,
            other_key: KeyPair::generate()?,
            lie: Mutex::new(Lie::None),
            visitors: Mutex::default(),
            asked: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/me", get(userinfo))
            .with_state(inside.clone());
        let serving = tokio::spawn(async move {
            let _ended = axum::serve(socket, router).await;
        });
        let file = tempfile::tempdir()?;
        let path = file.path().join("club.toml");
        let words = format!(
            "id = \"club\"\nname = \"The Club\"\nissuer = \"{base}\"\nclient_id = \"wayside\"\n\
             client_secret = \"a secret: with a colon\"\n{more}"
        );
        fs::write(&path, words)?;
        let path = path.to_str().context("a path of UTF-8")?.to_owned();
        stage.node.stop().await?;
        let settings = |options: Options| {
            let options = options.flag("--identity-providers", Some(&path));
            if public.is_some() { options.flag("--public-url", public) } else { options }
        };
        stage.node = stage.other("p", settings).await?;
        Ok(Self { inside, serving, _file: file })
    }

    pub(crate) fn lies(&self, lie: Lie) {
        *held(&self.inside.lie) = lie;
    }

    /// Goes there as a browser would that the node sends, says who it is, and is sent back.
    async fn visit(&self, nobody: &Client, subject: &str) -> Result<Value> {
        let body = json!({ "browser": BROWSER });
        let answer = nobody.post(&format!("{API}/club/begin"), &body).await?;
        self.knock(&answer, subject).map(|(came, _)| came)
    }

    /// Goes where the node said; gives what its visitor is sent back with, and what was asked.
    pub(crate) fn knock(
        &self,
        answer: &Value,
        subject: &str,
    ) -> Result<(Value, HashMap<String, String>)> {
        let door = Url::parse(answer["location"].as_str().context("a location")?)?;
        ensure!(door.as_str().starts_with(&format!("{}/door?", self.inside.base)), "{door}");
        let said: HashMap<String, String> = door.query_pairs().into_owned().collect();
        let of = |name: &str| said.get(name).cloned().with_context(|| format!("{name} in {door}"));
        ensure!(of("response_type")? == "code" && of("client_id")? == "wayside", "{door}");
        ensure!(of("code_challenge_method")? == "S256", "{door}");
        ensure!(of("scope")?.split(' ').any(|it| it == "openid"), "{door}");
        let visitor = Visitor {
            subject: subject.to_owned(),
            nonce: of("nonce")?,
            challenge: of("code_challenge")?,
            redirect: of("redirect_uri")?,
            dated: said.contains_key("max_age"),
        };
        let code = format!("code of {}", of("state")?);
        held(&self.inside.visitors).insert(code.clone(), visitor);
        let came = json!({
            "state": of("state")?, "code": code, "iss": self.inside.base, "browser": BROWSER,
        });
        Ok((came, said))
    }

    /// Comes back from there.
    pub(crate) async fn arrive(
        &self,
        nobody: &Client,
        subject: &str,
    ) -> Result<Result<Value, CallError>> {
        let body = self.visit(nobody, subject).await?;
        Ok(nobody.post(&format!("{API}/finish"), &body).await)
    }
}

async fn configuration(State(club): State<Arc<Inside>>) -> Response {
    *held(&club.asked) += 1;
    if *held(&club.lie) == Lie::Fails {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let at = |path: &str| format!("{}/{path}", club.base);
    Json(json!({
        "issuer": club.base,
        "authorization_endpoint": at("door"),
        "token_endpoint": at("token"),
        "jwks_uri": at("keys"),
        "userinfo_endpoint": at("me"),
        "authorization_response_iss_parameter_supported": true,
    }))
    .into_response()
}

async fn keys(State(club): State<Arc<Inside>>) -> Json<Value> {
    let point = club.key.public_key_raw();
    let part = |range| URL_SAFE_NO_PAD.encode(&point[range]);
    Json(json!({ "keys": [
        { "kty": "brand-new", "kid": "unknown" },
        { "kty": "EC", "crv": "P-256", "use": "sig", "kid": KEY, "x": part(1..33), "y": part(33..65) },
    ] }))
}

async fn token(State(club): State<Arc<Inside>>, headers: HeaderMap, body: String) -> Response {
    let form: HashMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let lie = *held(&club.lie);
    let refusal =
        |why: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": why }))).into_response();
    match lie {
        Lie::Refuses => return refusal("invalid_grant"),
        Lie::Fails => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Lie::TooMuch => return "x".repeat(3_000_000).into_response(),
        _ => {}
    }
    // The name and secret are written as in a form first (RFC 6749, 2.3.1).
    let basic =
        base64::engine::general_purpose::STANDARD.encode("wayside:a+secret%3A+with+a+colon");
    if headers.get("authorization").and_then(|it| it.to_str().ok())
        != Some(&format!("Basic {basic}"))
    {
        return refusal("invalid_client");
    }
    let of = |name: &str| form.get(name).cloned().unwrap_or_default();
    let Some(visitor) = held(&club.visitors).remove(&of("code")) else {
        return refusal("invalid_grant");
    };
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(of("code_verifier")));
    if of("grant_type") != "authorization_code"
        || challenge != visitor.challenge
        || of("redirect_uri") != visitor.redirect
    {
        return refusal("invalid_grant");
    }
    let token = word(&club, &visitor, lie).unwrap_or_default();
    Json(json!({ "id_token": token, "access_token": visitor.subject, "token_type": "Bearer" }))
        .into_response()
}

/// What the provider says of a visitor.
fn word(club: &Inside, visitor: &Visitor, lie: Lie) -> Result<String> {
    let mut claims = json!({
        "iss": club.base, "sub": visitor.subject, "aud": "wayside", "nonce": visitor.nonce,
        "exp": jsonwebtoken::get_current_timestamp() + 300,
    });
    let now = jsonwebtoken::get_current_timestamp();
    if visitor.dated {
        claims["auth_time"] = now.into();
    }
    match lie {
        Lie::Undated => drop(claims.as_object_mut().and_then(|it| it.remove("auth_time"))),
        Lie::Stale => claims["auth_time"] = (now - 3_600).into(),
        Lie::ToCome => claims["auth_time"] = (now + 3_600).into(),
        Lie::Issuer => claims["iss"] = "https://other.example".into(),
        Lie::Audience => claims["aud"] = "another".into(),
        Lie::SecondAudience => claims["aud"] = json!(["wayside", "another"]),
        Lie::Party => claims["azp"] = "another".into(),
        Lie::Nonce => claims["nonce"] = "of before".into(),
        Lie::Over => claims["exp"] = (jsonwebtoken::get_current_timestamp() - 120).into(),
        Lie::Nobody => claims["sub"] = "".into(),
        _ => {}
    }
    let header = Header { kid: Some(KEY.to_owned()), ..Header::new(Algorithm::ES256) };
    let with =
        |key: &KeyPair| encode(&header, &claims, &EncodingKey::from_ec_der(key.serialized_der()));
    Ok(match lie {
        Lie::OtherKey => with(&club.other_key)?,
        Lie::Unsigned => {
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            format!("{}.{}.", part(&json!({ "alg": "none", "kid": KEY })), part(&claims))
        }
        Lie::PublicKeyAsSecret => {
            let header = Header { kid: Some(KEY.to_owned()), ..Header::new(Algorithm::HS256) };
            encode(&header, &claims, &EncodingKey::from_secret(club.key.public_key_raw()))?
        }
        _ => with(&club.key)?,
    })
}

async fn userinfo(State(club): State<Arc<Inside>>, headers: HeaderMap) -> Json<Value> {
    let bearer = headers.get("authorization").and_then(|it| it.to_str().ok()).unwrap_or_default();
    let subject = bearer.trim_start_matches("Bearer ");
    let lies = *held(&club.lie) == Lie::Userinfo;
    let sub = if lies { "somebody else" } else { subject };
    Json(json!({ "sub": sub, "name": "Ann of the Club", "preferred_username": "Ann.Club" }))
}

/// What pages are told of why somebody was not taken for who they say.
pub(crate) fn reason(answer: &Result<Value, CallError>) -> Result<String> {
    match answer {
        Err(CallError::Refused { body, .. }) => {
            let reason = body["org.wayside.reason"].as_str();
            Ok(reason.with_context(|| format!("no reason in {body}"))?.to_owned())
        }
        other => anyhow::bail!("no refusal: {other:?}"),
    }
}

async fn a_newcomer_makes_an_account_and_comes_again(stage: &mut Stage) -> Result<()> {
    let club = Club::open(stage, "brand = \"club\"\n").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let offered = json!([{ "id": "club", "name": "The Club", "brand": "club" }]);
    let flows = nobody.get(LOGIN).await?;
    let sso =
        flows["flows"].as_array().and_then(|all| all.iter().find(|it| it["type"] == "m.login.sso"));
    ensure!(sso.is_some_and(|it| it["identity_providers"] == offered), "{flows}");
    ensure!(nobody.get("/_wayside/v1/node").await?["providers"] == offered);

    let newcomer = club.arrive(&nobody, "17").await??;
    ensure!(
        newcomer["name"] == "ann.club" && newcomer["displayname"] == "Ann of the Club",
        "{newcomer}"
    );
    ensure!(newcomer["registration"] == true && newcomer["provider"] == "The Club", "{newcomer}");
    let wish =
        |name: &str| json!({ "ticket": newcomer["ticket"], "browser": BROWSER, "name": name });
    let register = format!("{API}/register");
    refused(nobody.post(&register, &wish("Not A Name")).await, 400, "M_INVALID_USERNAME")?;
    let made = nobody.post(&register, &wish("ann")).await?;
    ensure!(made["user_id"] == "@ann:p.test", "{made}");
    refused(nobody.post(&register, &wish("ann")).await, 400, "M_USER_IN_USE")?;
    refused(nobody.post(&register, &wish("bea")).await, 403, "M_FORBIDDEN")?;
    refused(nobody.get("/_matrix/client/v3/profile/@bea:p.test").await, 404, "M_NOT_FOUND")?;
    let by = |token: &Value| json!({ "type": "m.login.token", "token": token });
    let opened = nobody.post(LOGIN, &by(&made["login_token"])).await?;
    ensure!(opened["user_id"] == "@ann:p.test", "{opened}");
    let profile = nobody.get("/_matrix/client/v3/profile/@ann:p.test").await?;
    ensure!(profile["displayname"] == "Ann of the Club", "{profile}");

    stage.restart().await?;
    let nobody = Client::nobody(stage.node.http())?;
    let again = club.arrive(&nobody, "17").await??;
    ensure!(again["user_id"] == "@ann:p.test", "{again}");
    // What she has proven lets a program in, once.
    let goal = "https://client.example/back";
    let body = json!({ "what": { "sso": goal }, "proof": { "login_token": again["login_token"] } });
    let on = nobody.post("/_wayside/v1/sign-in", &body).await?;
    let back = Url::parse(on["location"].as_str().context("a location")?)?;
    let (_, token) =
        back.query_pairs().find(|(name, _)| name == "loginToken").context("a token")?;
    let opened = nobody.post(LOGIN, &by(&json!(token))).await?;
    ensure!(opened["user_id"] == "@ann:p.test", "{opened}");
    refused(nobody.post("/_wayside/v1/sign-in", &body).await, 403, "M_FORBIDDEN")?;

    let other = club.arrive(&nobody, "18").await??;
    ensure!(other["ticket"].is_string() && other["user_id"].is_null(), "{other}");
    Ok(())
}

async fn an_account_of_the_node_is_made_known(stage: &mut Stage) -> Result<()> {
    let club = Club::open(stage, "registration = false\n").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let bob = stage.person("bob").await?;
    let newcomer = club.arrive(&nobody, "bob of the club").await??;
    ensure!(newcomer["registration"] == false, "{newcomer}");
    let ticket = &newcomer["ticket"];
    let wish = json!({ "ticket": ticket, "browser": BROWSER, "name": "bobby" });
    refused(nobody.post(&format!("{API}/register"), &wish).await, 403, "M_FORBIDDEN")?;
    let link = format!("{API}/link");
    let proof = |password: &str| json!({ "ticket": ticket, "browser": BROWSER, "proof": { "user": "bob", "password": password } });
    let wrong = nobody.post(&link, &proof("not his")).await;
    ensure!(reason(&wrong)? == "credentials", "{wrong:?}");
    refused(wrong, 403, "M_FORBIDDEN")?;
    // What opens his account for ever takes himself: a login token says nothing, and stays good.
    let goal = "https://client.example/back";
    let body = json!({ "what": { "sso": goal }, "proof": { "user": "bob", "password": PASSWORD } });
    let on = nobody.post("/_wayside/v1/sign-in", &body).await?;
    let back = Url::parse(on["location"].as_str().context("a location")?)?;
    let (_, token) =
        back.query_pairs().find(|(name, _)| name == "loginToken").context("a token")?;
    for shown in
        [json!({ "login_token": token }), json!({ "word": "A".repeat(43), "browser": BROWSER })]
    {
        let wish = json!({ "ticket": ticket, "browser": BROWSER, "proof": shown });
        let absent = nobody.post(&link, &wish).await;
        ensure!(reason(&absent)? == "absent", "{absent:?}");
        refused(absent, 403, "M_FORBIDDEN")?;
    }
    let opened = json!({ "type": "m.login.token", "token": token });
    nobody.post(LOGIN, &opened).await.context("the token was not used up by it")?;
    let bare = json!({ "ticket": ticket, "browser": BROWSER });
    refused(nobody.post(&link, &bare).await, 400, "M_BAD_JSON")?;
    let unknown = club.arrive(&nobody, "bob of the club").await??;
    ensure!(unknown["ticket"].is_string(), "he is known by what was refused: {unknown}");
    let linked = nobody.post(&link, &proof(PASSWORD)).await?;
    ensure!(linked["user_id"] == bob.id(), "{linked}");
    refused(nobody.post(&link, &proof(PASSWORD)).await, 403, "M_FORBIDDEN")?;
    let known = club.arrive(&nobody, "bob of the club").await??;
    ensure!(known["user_id"] == bob.id(), "{known}");

    let run = async |words: &[&str]| {
        let done = stage.node.command(words).await?;
        ensure!(done.status.success(), "{done:?}");
        anyhow::Ok(())
    };
    run(&["user", "lock", "bob"]).await?;
    refused(club.arrive(&nobody, "bob of the club").await?, 401, "M_USER_LOCKED")?;
    let by = json!({ "type": "m.login.token", "token": known["login_token"] });
    refused(nobody.post(LOGIN, &by).await, 401, "M_USER_LOCKED")?;
    run(&["user", "unlock", "bob"]).await?;
    ensure!(club.arrive(&nobody, "bob of the club").await??["user_id"] == bob.id());

    // An account that has ended is nobody's any more.
    let auth = json!({ "auth": { "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": "bob" } } });
    bob.post("/_matrix/client/v3/account/deactivate", &auth).await?;
    let gone = club.arrive(&nobody, "bob of the club").await??;
    ensure!(gone["ticket"].is_string() && gone["user_id"].is_null(), "{gone}");
    Ok(())
}

async fn a_provider_that_lies_vouches_for_nobody(stage: &mut Stage) -> Result<()> {
    let club = Club::open(stage, "").await?;
    let nobody = Client::nobody(stage.node.http())?;
    for lie in [
        Lie::Issuer,
        Lie::Audience,
        Lie::SecondAudience,
        Lie::Party,
        Lie::Nonce,
        Lie::Over,
        Lie::Nobody,
        Lie::Unsigned,
        Lie::OtherKey,
        Lie::PublicKeyAsSecret,
        Lie::Userinfo,
        Lie::Fails,
        Lie::TooMuch,
    ] {
        club.lies(lie);
        refused(club.arrive(&nobody, "17").await?, 502, "M_UNKNOWN")
            .with_context(|| format!("{lie:?}"))?;
    }
    club.lies(Lie::Refuses);
    refused(club.arrive(&nobody, "17").await?, 403, "M_FORBIDDEN")?;
    club.lies(Lie::None);
    ensure!(club.arrive(&nobody, "17").await??["ticket"].is_string());
    drop(club);
    Ok(())
}

// Operations: redirectToIdP.
async fn what_people_carry_is_theirs_and_of_now(stage: &mut Stage) -> Result<()> {
    let club = Club::open(stage, "").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let finish = format!("{API}/finish");
    let other = "f".repeat(32);
    for (name, value) in [
        ("browser", other.clone()),
        ("state", "club.AAAA.99999999999999.AAAA".to_owned()),
        ("state", "club".to_owned()),
        ("iss", "https://other.example".to_owned()),
        ("code", "another's".to_owned()),
    ] {
        let mut came = club.visit(&nobody, "17").await?;
        came[name] = value.clone().into();
        refused(nobody.post(&finish, &came).await, 403, "M_FORBIDDEN").with_context(|| value)?;
    }
    let mut came = club.visit(&nobody, "17").await?;
    came.as_object_mut().context("an object")?.remove("iss");
    refused(nobody.post(&finish, &came).await, 403, "M_FORBIDDEN")?;
    let came = club.visit(&nobody, "17").await?;
    let newcomer = nobody.post(&finish, &came).await?;
    // The provider knows each code once.
    refused(nobody.post(&finish, &came).await, 403, "M_FORBIDDEN")?;

    let ticket = newcomer["ticket"].as_str().context("a ticket")?;
    let (body, seal) = ticket.split_once('.').context("a seal")?;
    let forged = URL_SAFE_NO_PAD
        .encode(String::from_utf8(URL_SAFE_NO_PAD.decode(body)?)?.replace("\"17\"", "\"16\""));
    let register = format!("{API}/register");
    for (ticket, browser) in [
        (ticket.to_owned(), other.as_str()),
        (format!("{forged}.{seal}"), BROWSER),
        (format!("{body}."), BROWSER),
        (body.to_owned(), BROWSER),
    ] {
        let wish = json!({ "ticket": ticket, "browser": browser, "name": "eve" });
        refused(nobody.post(&register, &wish).await, 403, "M_FORBIDDEN")?;
    }
    let short = json!({ "browser": "short" });
    refused(nobody.post(&format!("{API}/club/begin"), &short).await, 400, "M_INVALID_PARAM")?;
    let body = json!({ "browser": BROWSER });
    refused(nobody.post(&format!("{API}/unknown/begin"), &body).await, 404, "M_NOT_FOUND")?;

    // A client that names a provider has its people sent there.
    let still = reqwest::Client::builder().redirect(Policy::none()).build()?;
    let sso = "/_matrix/client/v3/login/sso/redirect";
    let asked = format!("{sso}/club?redirectUrl=https%3A%2F%2Fclient.example%2F");
    let answer = still.get(stage.node.http().join(&asked)?).send().await?;
    let page = Url::parse(answer.headers()["location"].to_str()?)?;
    let said: HashMap<String, String> = page.query_pairs().into_owned().collect();
    ensure!(answer.status().as_u16() == 302 && page.path() == "/sign-in", "{page}");
    ensure!(said["provider"] == "club" && said["sso"] == "https://client.example/", "{page}");
    let asked = format!("{sso}/unknown?redirectUrl=https%3A%2F%2Fclient.example%2F");
    refused(nobody.get(&asked).await, 404, "M_NOT_FOUND")?;
    drop(club);
    Ok(())
}

async fn one_that_is_away_is_told_as_away(stage: &mut Stage) -> Result<()> {
    let club = Club::open(stage, "").await?;
    club.lies(Lie::Fails);
    let nobody = Client::nobody(stage.node.http())?;
    let begin = format!("{API}/club/begin");
    let body = json!({ "browser": BROWSER });
    refused(nobody.post(&begin, &body).await, 502, "M_UNKNOWN")?;
    // It is left alone for a while, and asked again then.
    let asked = *held(&club.inside.asked);
    refused(nobody.post(&begin, &body).await, 502, "M_UNKNOWN")?;
    ensure!(*held(&club.inside.asked) == asked, "it is asked again at once");
    club.lies(Lie::None);
    comes_true("it is asked again", async || Ok(nobody.post(&begin, &body).await.is_ok())).await
}
