//! People come in at nodes where they have no account, or another one, by the DID that they hold at home.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use url::Url;
use wayside_identity::{
    credential::Draft,
    login::{self, Asked},
    proof::{Claims, Proof, Purpose},
    time::Moment,
};
use wayside_tests::{CallError, Client, Node, PASSWORD, RoomId};

use crate::{
    abroad::{end, words},
    dids::{Host, key, multikey, now},
    homes::{Homes, IDENTITY, Person, named, write},
    stage::{Deeds, refused},
    worlds::{Visit, connect, floor, over, world_of},
};

const API: &str = "/_wayside/v1/providers";
const LOGIN: &str = "/_matrix/client/v3/login";
/// The reason of BYE for those who were turned out (specs/realtime.md).
const REMOVED: u8 = 5;
/// What the page keeps while its person is away.
const BROWSER: &str = "a secret of the page of 32 signs, or more";

/// Ada with her keys, at home, and a node on which she has no account.
pub(crate) struct Journey {
    pub(crate) homes: Homes,
    pub(crate) commons: Node,
    pub(crate) nobody: Client,
    pub(crate) did: String,
    log: String,
}

/// What a node asks on the page of a home.
struct Request {
    page: Url,
    asked: HashMap<String, String>,
}

impl Request {
    fn read(answer: &Value) -> Result<Self> {
        let page = Url::parse(answer["location"].as_str().context("a location")?)?;
        let asked = page.query_pairs().into_owned().collect();
        Ok(Self { page, asked })
    }

    fn of(&self, name: &str) -> Result<&str> {
        self.asked.get(name).map(String::as_str).with_context(|| format!("{name}: {}", self.page))
    }
}

impl Journey {
    pub(crate) async fn begin() -> Result<Option<Self>> {
        let Some(homes) = Homes::begin().await? else { return Ok(None) };
        let commons = named(&homes.abroad, "commons", "commons.test").await?;
        let nobody = Client::nobody(commons.http())?;
        let person = Person::of(&homes.ada).await?;
        let log = Person::begun(person.document(), Person::parameters(1))? + "\n";
        let told = write(&homes.ada, &log).await?;
        let did = told["did"].as_str().context("a DID")?.to_owned();
        let path = format!("/_matrix/client/v3/profile/{}/displayname", homes.ada.id());
        homes.ada.put(&path, &json!({ "displayname": "Ada of Home" })).await?;
        Ok(Some(Self { homes, commons, nobody, did, log }))
    }

    /// The name of the home as people type it.
    fn home(&self) -> Result<String> {
        let host = self.did.split(':').nth(3).context("a host")?;
        Ok(host.replace("%3A", ":"))
    }

    /// The DID of her home.
    pub(crate) fn home_did(&self) -> Result<String> {
        Ok(format!("did:web:{}", self.did.split(':').nth(3).context("a host")?))
    }

    /// The name by which she is compared.
    fn subject(&self) -> String {
        self.did.splitn(4, ':').take(3).collect::<Vec<_>>().join(":")
    }

    /// Begins at the other node.
    async fn asked(&self) -> Result<Request> {
        let body = json!({ "browser": BROWSER, "home": self.home()? });
        Request::read(&self.nobody.post(&format!("{API}/did/begin"), &body).await?)
    }

    /// The word of the home for its member.
    async fn membership(&self, client: &Client) -> Result<Value> {
        let told = client.post(&format!("{IDENTITY}/membership"), &json!({})).await?;
        Ok(told["credential"].clone())
    }

    /// What Ada's page makes for a request.
    async fn presentation(&self, request: &Request) -> Result<Value> {
        let word = self.membership(&self.homes.ada).await?;
        self.shown(request.of("client_id")?, request.of("nonce")?, now()?, &[word])
    }

    fn shown(
        &self,
        domain: &str,
        challenge: &str,
        now: Moment,
        credentials: &[Value],
    ) -> Result<Value> {
        let method = format!("{}#{}", self.did, multikey(20));
        let asked = Asked { domain, challenge, now };
        Ok(login::present(&self.did.parse()?, &method, &asked, credentials, &key(20)))
    }

    async fn finish(&self, request: &Request, shown: &Value) -> Result<Result<Value, CallError>> {
        let body = json!({
            "state": request.of("state")?, "vp_token": { "home": [shown] }, "browser": BROWSER,
        });
        Ok(self.nobody.post(&format!("{API}/finish"), &body).await)
    }

    /// The whole way there, home and back.
    async fn arrive(&self) -> Result<Result<Value, CallError>> {
        let request = self.asked().await?;
        let shown = self.presentation(&request).await?;
        self.finish(&request, &shown).await
    }

    /// She goes to live on another node, with the same keys.
    pub(crate) async fn move_to(&mut self, node: &Node) -> Result<()> {
        let ada = Client::register(node.http(), "ada").await?;
        let (from, to) = (Person::of(&self.homes.ada).await?, Person::of(&ada).await?);
        let log = Self::moving(&self.log, &from, &to)?;
        write(&self.homes.ada, &log[self.log.len()..]).await?;
        let told = write(&ada, &log).await?;
        self.lives(ada, &told, log).map(drop)
    }

    /// The version by which she moves from one home to another, on a log that somebody has kept.
    pub(crate) fn moving(log: &str, from: &Person, to: &Person) -> Result<String> {
        let number = u8::try_from(log.lines().count() + 1)?;
        let next = Person::gone_on(log, number, |document| {
            Person::moved(document, &from.place, &to.place, &to.account);
            let text = document.to_string().replace(&from.node_key, &to.node_key);
            *document = serde_json::from_str(&text).unwrap_or_default();
        })?;
        Ok(format!("{log}{next}\n"))
    }

    /// She lives there from now on; gives whom she was.
    pub(crate) fn lives(&mut self, ada: Client, told: &Value, log: String) -> Result<Client> {
        told["did"].as_str().context("a DID")?.clone_into(&mut self.did);
        self.log = log;
        Ok(std::mem::replace(&mut self.homes.ada, ada))
    }

    pub(crate) async fn end(mut self) -> Result<()> {
        end(&mut self.commons).await?;
        self.homes.end().await
    }
}

/// That what somebody showed was refused for one reason, with a word on why.
pub(crate) fn unproven(answer: &Result<Value, CallError>, reason: &str, names: &str) -> Result<()> {
    match answer {
        Err(CallError::Refused { status, body, .. }) => {
            let why = body["error"].as_str().unwrap_or_default();
            let fits = status.as_u16() == 403 && body["org.wayside.reason"] == reason;
            ensure!(fits && why.contains(names), "{reason} {names:?}: {status} {body}");
            Ok(())
        }
        other => bail!("wanted {reason}, got {other:?}"),
    }
}

#[tokio::test]
async fn somebody_comes_in_by_their_did() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    ensure!(journey.nobody.get("/_wayside/v1/node").await?["dids"] == true);
    let request = journey.asked().await?;
    let back = request.of("redirect_uri")?.to_owned();
    ensure!(request.page.path() == "/present" && request.page.host_str() == Some("home.test"));
    ensure!(back.starts_with("https://commons.test:") && back.ends_with("/sign-in/return"));
    ensure!(request.of("client_id")? == format!("redirect_uri:{back}"), "{}", request.page);
    ensure!(request.of("response_type")? == "vp_token", "{}", request.page);

    let shown = journey.presentation(&request).await?;
    let newcomer = journey.finish(&request, &shown).await??;
    let home = journey.homes.home.server_name();
    ensure!(newcomer["name"] == "ada" && newcomer["displayname"] == "Ada of Home", "{newcomer}");
    ensure!(newcomer["provider"] == home && newcomer["registration"] == true, "{newcomer}");
    // It was good once.
    unproven(&journey.finish(&request, &shown).await?, "astray", "begin again")?;

    let wish = json!({ "ticket": newcomer["ticket"], "browser": BROWSER, "name": "ada" });
    let made = journey.nobody.post(&format!("{API}/register"), &wish).await?;
    let by = |token: &Value| json!({ "type": "m.login.token", "token": token });
    let opened = journey.nobody.post(LOGIN, &by(&made["login_token"])).await?;
    let there = journey.nobody.at(journey.commons.http()).signed_in(&opened)?;
    let links = there.get("/_wayside/v1/links").await?;
    ensure!(
        links["links"][0]["provider"] == "did" && links["links"][0]["did"] == journey.subject(),
        "{links}"
    );

    // She comes again, also after her log has gone on, and by no key that was taken out of it.
    let again = journey.arrive().await??;
    ensure!(again["user_id"] == there.id(), "{again}");
    let next = Person::gone_on(&journey.log, 2, |document| {
        let text = document.to_string().replace(&multikey(20), &multikey(21));
        *document = serde_json::from_str(&text).unwrap_or_default();
    })?;
    write(&journey.homes.ada, &next).await?;
    journey.commons.stop().await?;
    journey.commons.restart().await?;
    journey.nobody = Client::nobody(journey.commons.http())?;
    unproven(&journey.arrive().await?, "unshown", "is none of those")?;
    journey.end().await
}

#[tokio::test]
async fn what_shows_nobody_lets_nobody_in() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let request = journey.asked().await?;
    let (domain, nonce) = (request.of("client_id")?, request.of("nonce")?);
    let word = journey.membership(&journey.homes.ada).await?;
    let words = std::slice::from_ref(&word);
    let eve = Client::register(journey.homes.home.http(), "eve").await?;
    let none = eve.post(&format!("{IDENTITY}/membership"), &json!({})).await;
    refused(none, 404, "M_NOT_FOUND")?;
    let mut changed = word.clone();
    changed["credentialSubject"]["name"] = "The Operator".into();
    let elsewhere = "redirect_uri:https://elsewhere.test/sign-in/return";
    let minutes = |minutes: i64| Ok::<_, anyhow::Error>(now()?.plus_ms(minutes * 60_000));
    let other_purpose = {
        let mut bare = journey.shown(domain, nonce, now()?, words)?;
        bare.as_object_mut().context("an object")?.remove("proof");
        let claims = Claims {
            verification_method: &format!("{}#{}", journey.did, multikey(20)),
            purpose: Purpose::AssertionMethod,
            created: now()?,
            expires: None,
            domain: Some(domain),
            challenge: Some(nonce),
        };
        bare["proof"] = Proof::sign(&bare, &claims, &key(20));
        bare
    };
    let stolen = login::present(
        &journey.did.parse()?,
        &format!("{}#{}", journey.did, multikey(20)),
        &Asked { domain, challenge: nonce, now: now()? },
        words,
        &key(22),
    );
    // Nobody vouches for themselves, not even with what their home says of them.
    let own = |issuer: &str, method: &str, seed: u8| {
        let draft = Draft {
            issuer: json!(issuer),
            types: &["HomeMembership"],
            subject: word["credentialSubject"].clone(),
            from: now()?,
            until: None,
            status: None,
        };
        anyhow::Ok(draft.signed(method, &key(seed)))
    };
    let by_herself = own(&journey.did, &format!("{}#{}", journey.did, multikey(20)), 20)?;
    let home = word["issuer"]["id"].as_str().context("an issuer")?;
    let as_home = own(home, &format!("{home}#{}", multikey(20)), 20)?;
    for (shown, names) in [
        (journey.shown(domain, nonce, now()?, &[by_herself])?, "not that of your home"),
        (journey.shown(domain, nonce, now()?, &[as_home])?, "may not make statements"),
        (journey.shown(elsewhere, nonce, now()?, words)?, "is not this node"),
        (journey.shown(domain, "another", now()?, words)?, "another question"),
        (journey.shown(domain, nonce, minutes(10)?, words)?, "still to come"),
        (journey.shown(domain, nonce, minutes(-11)?, words)?, "good until"),
        (journey.shown(domain, nonce, now()?, &[])?, "no word of your home"),
        (journey.shown(domain, nonce, now()?, &[changed])?, "does not verify"),
        (other_purpose, "assertionMethod"),
        (stolen, "does not verify"),
        (json!({}), "its holder"),
    ] {
        unproven(&journey.finish(&request, &shown).await?, "unshown", names)?;
    }
    // What was asked for one browser is answered by no other, and a code is no presentation.
    let good = journey.shown(domain, nonce, now()?, words)?;
    let state = request.of("state")?;
    for (more, status, code) in [
        (
            json!({ "vp_token": { "home": [good] }, "browser": BROWSER.replace('a', "b") }),
            403,
            "M_FORBIDDEN",
        ),
        (
            json!({ "vp_token": { "home": [good] }, "browser": BROWSER, "code": "x" }),
            400,
            "M_BAD_JSON",
        ),
        (
            json!({ "vp_token": { "home": [good] }, "browser": BROWSER, "iss": "x" }),
            400,
            "M_BAD_JSON",
        ),
        (json!({ "vp_token": { "house": [good] }, "browser": BROWSER }), 403, "M_FORBIDDEN"),
        (json!({ "vp_token": { "home": [good, good] }, "browser": BROWSER }), 403, "M_FORBIDDEN"),
        (json!({ "vp_token": [good], "browser": BROWSER }), 400, "M_BAD_JSON"),
        (json!({ "code": "x", "browser": BROWSER }), 403, "M_FORBIDDEN"),
        (json!({ "browser": BROWSER }), 400, "M_BAD_JSON"),
    ] {
        let mut body = more;
        body["state"] = state.into();
        refused(journey.nobody.post(&format!("{API}/finish"), &body).await, status, code)?;
    }
    ensure!(journey.finish(&request, &good).await??["ticket"].is_string(), "and the good one is");
    journey.end().await
}

#[tokio::test]
async fn homes_that_lie_vouch_for_nobody() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    // A host of Eve's own, which says of itself that she is Ada.
    let evil = Host::open(&journey.homes.abroad, "evil.test").await?;
    let account = format!("matrix:u/{}", journey.homes.ada.id().trim_start_matches('@'));
    let (eve, node) = (evil.did_web("eve"), evil.own_did());
    let method = |did: &str, seed: u8| {
        json!({"id": format!("{did}#{}", multikey(seed)), "type": "Multikey", "controller": did,
            "publicKeyMultibase": multikey(seed)})
    };
    let own = method(&eve, 30);
    let document = json!({"id": eve, "alsoKnownAs": [account], "verificationMethod": [own],
        "authentication": [own["id"]]});
    evil.put("/people/eve/did.json", document.to_string());
    let word = method(&node, 31);
    let document =
        json!({"id": node, "verificationMethod": [word], "assertionMethod": [word["id"]]});
    evil.put("/.well-known/did.json", document.to_string());
    let draft = Draft {
        issuer: json!(node),
        types: &["HomeMembership"],
        subject: json!({"id": eve, "account": account, "name": "Ada of Home"}),
        from: now()?,
        until: None,
        status: None,
    };
    let lie = draft.signed(word["id"].as_str().context("an id")?, &key(31));
    let request = journey.asked().await?;
    let (domain, challenge) = (request.of("client_id")?, request.of("nonce")?);
    let show = |credentials: &[Value]| {
        let asked = Asked { domain, challenge, now: now()? };
        let method = own["id"].as_str().context("an id")?;
        anyhow::Ok(login::present(&eve.parse()?, method, &asked, credentials, &key(30)))
    };
    let refused = journey.finish(&request, &show(&[lie])?).await?;
    unproven(&refused, "unnamed", "does not name this DID")?;
    // Nor does Ada herself come from a home that her account does not name: one that lets her say anything.
    let person = Person::of(&journey.homes.ada).await?;
    let place = evil.did_web("ada").trim_start_matches("did:web:").to_owned();
    let moved = Person::gone_on(&journey.log, 2, |document| {
        Person::moved(document, &person.place, &place, &person.account);
    })?;
    evil.put("/people/ada/did.jsonl", format!("{}{moved}\n", journey.log));
    let there = journey.did.replace(&person.place, &place);
    let draft = Draft { subject: json!({"id": there, "account": account}), ..draft };
    let asked = Asked { domain, challenge, now: now()? };
    let method = format!("{there}#{}", multikey(20));
    let word = draft.signed(word["id"].as_str().context("an id")?, &key(31));
    let shown = login::present(&there.parse()?, &method, &asked, &[word], &key(20));
    let refused = journey.finish(&request, &shown).await?;
    unproven(&refused, "unnamed", "does not name this DID")?;
    // Nor does the word of Ada's home help, which speaks of her.
    let borrowed = journey.membership(&journey.homes.ada).await?;
    let refused = journey.finish(&request, &show(&[borrowed])?).await?;
    unproven(&refused, "unshown", "not that of your home")?;
    journey.end().await
}

#[tokio::test]
async fn an_account_is_opened_by_the_did_that_is_linked_to_it() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let links = "/_wayside/v1/links";
    let mut wish = json!({ "provider": "did", "browser": BROWSER, "home": journey.home()? });
    let asked = bob.post(links, &wish).await;
    let Err(CallError::Refused { status, body, .. }) = asked else { bail!("{asked:?}") };
    ensure!(status.as_u16() == 401, "{body}");
    wish["auth"] = json!({ "type": "m.login.password", "password": PASSWORD,
        "session": body["session"], "identifier": { "type": "m.id.user", "user": "bob" } });
    let request = Request::read(&bob.post(links, &wish).await?)?;
    let shown = journey.presentation(&request).await?;
    let linked = journey.finish(&request, &shown).await??;
    ensure!(linked["linked"] == journey.homes.home.server_name(), "{linked}");
    ensure!(journey.arrive().await??["user_id"] == bob.id());

    // One DID opens one account, and none when it is let go.
    let cay = Client::register(journey.commons.http(), "cay").await?;
    wish["auth"]["identifier"]["user"] = "cay".into();
    wish["auth"].as_object_mut().context("auth")?.remove("session");
    let request = Request::read(&cay.post(links, &wish).await?)?;
    let shown = journey.presentation(&request).await?;
    refused(journey.finish(&request, &shown).await?, 403, "M_FORBIDDEN")?;
    let all = bob.get(links).await?;
    let path = format!("{links}/{}", all["links"][0]["id"].as_str().context("an id")?);
    let auth = json!({ "auth": { "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": "bob" } } });
    bob.call(Method::DELETE, &path, Some(&auth)).await?;
    ensure!(journey.arrive().await??["ticket"].is_string());
    journey.end().await
}

#[tokio::test]
async fn homes_that_are_none_are_told_apart() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let begin = format!("{API}/did/begin");
    let host = Host::open(&journey.homes.abroad, "plain.test").await?;
    host.put("/people/x/did.json", json!({"id": host.did_web("x")}).to_string());
    let ask = async |home: Value| {
        let body = json!({ "browser": BROWSER, "home": home });
        journey.nobody.post(&begin, &body).await
    };
    for (home, status, code) in [
        (json!("a b"), 400, "M_INVALID_PARAM"),
        (json!(""), 400, "M_INVALID_PARAM"),
        (json!("http://home.test"), 400, "M_INVALID_PARAM"),
        (json!("did:nothing"), 400, "M_INVALID_PARAM"),
        (json!(7), 400, "M_BAD_JSON"),
        (Value::Null, 400, "M_MISSING_PARAM"),
        (json!(host.did_web("x")), 404, "M_NOT_FOUND"),
        (json!("nowhere.test"), 502, "M_UNKNOWN"),
        // There is somebody, who knows nothing of DIDs.
        (json!("plain.test:8450"), 404, "M_NOT_FOUND"),
    ] {
        let told = ask(home.clone()).await;
        refused(told, status, code).with_context(|| format!("{home}"))?;
    }
    // By the page of a world there, and an account.
    let home = journey.home()?;
    for typed in [format!("https://{home}/w/plaza"), format!("@ada:{home}")] {
        let told = journey.nobody.post("/_wayside/v1/homes", &json!({ "home": typed })).await?;
        ensure!(told["url"] == format!("https://{home}/"), "{typed}: {told}");
        let request = Request::read(&ask(json!(typed)).await?)?;
        ensure!(request.page.host_str() == Some("home.test"), "{typed}: {}", request.page);
    }
    // The other way round: where the pages of a node are that is known by its server's name.
    let ada = &journey.homes.ada;
    let of = |server: &str| format!("/_wayside/v1/nodes/{server}");
    let told = ada.get(&of(journey.commons.server_name())).await?;
    let page = told["public_url"].as_str().unwrap_or_default();
    ensure!(page.starts_with("https://commons.test:") && told["dids"] == true, "{told}");
    let own = ada.get(&of(journey.homes.home.server_name())).await?;
    ensure!(own["public_url"] == format!("https://{home}"), "{own}");
    refused(ada.get(&of("a:b:c")).await, 400, "M_INVALID_PARAM")?;
    refused(ada.get(&of(journey.homes.abroad.node.server_name())).await, 404, "M_NOT_FOUND")?;
    refused(ada.get(&of("nowhere.test")).await, 502, "M_UNKNOWN")?;
    journey.end().await
}

/// What somebody is asked before they visit, and what they answer.
pub(crate) async fn answered(journey: &Journey, change: impl Fn(&mut String)) -> Result<Value> {
    let word = journey.membership(&journey.homes.ada).await?;
    answered_by(journey, change, &[word]).await
}

/// The same with what the home shows beside its word at a door that asks for something, and with more.
pub(crate) async fn answered_with(
    journey: &Journey,
    asks: &Value,
    more: &[Value],
) -> Result<Value> {
    let path = format!("{IDENTITY}/membership");
    let told = journey.homes.ada.post(&path, &json!({ "asks": asks })).await?;
    let mut shown = vec![told["credential"].clone()];
    for more in ["others", "asked"] {
        shown.extend(told[more].as_array().into_iter().flatten().cloned());
    }
    shown.extend_from_slice(more);
    answered_by(journey, |_| {}, &shown).await
}

async fn answered_by(
    journey: &Journey,
    change: impl Fn(&mut String),
    credentials: &[Value],
) -> Result<Value> {
    let asked = journey.nobody.post("/_wayside/v1/visitors/challenge", &json!({})).await?;
    let challenge = asked["challenge"].as_str().context("a challenge")?.to_owned();
    let mut domain = asked["domain"].as_str().context("a domain")?.to_owned();
    ensure!(domain.starts_with("origin:https://commons.test:"), "{asked}");
    change(&mut domain);
    let presentation = journey.shown(&domain, &challenge, now()?, credentials)?;
    Ok(json!({ "challenge": challenge, "presentation": presentation }))
}

pub(crate) fn visits_of(alias: &str) -> String {
    format!("/_wayside/v1/worlds/{}/visits", alias.replace('#', "%23"))
}

pub(crate) fn visitors_of(alias: &str) -> String {
    format!("/_wayside/v1/worlds/{}/visitors", alias.replace('#', "%23"))
}

#[tokio::test]
async fn somebody_visits_a_world_without_an_account_there() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let path = visitors_of(&alias);
    let ada = journey.homes.ada.id().to_owned();
    let body = answered(&journey, |_| {}).await?;
    let granted = journey.nobody.post(&path, &body).await?;
    let ticket = granted["ticket"].as_str().context("a ticket")?;
    let mut visit = Visit::on(connect(&journey.commons).await?, ticket).await?;
    // What was shown once is shown no more, here or elsewhere.
    unproven(&journey.nobody.post(&path, &body).await, "late", "shown before")?;
    let elsewhere =
        answered(&journey, |domain| *domain = domain.replace("commons", "other")).await?;
    unproven(&journey.nobody.post(&path, &elsewhere).await, "unshown", "is not this node")?;
    let mut made_up = answered(&journey, |_| {}).await?;
    made_up["challenge"] = "AAAA.9999999999999.AAAA".into();
    unproven(&journey.nobody.post(&path, &made_up).await, "late", "begin again")?;

    // Others see her by her name, with her home, which brings her into the room for its chat.
    let mut seen = Visit::begin(&journey.commons, &bob, &alias).await?;
    let entered = seen.next(0x43).await?;
    let shown = |text: &str| entered.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    ensure!(shown(&ada) && shown("Ada of Home"), "{entered:?}");
    let room = RoomId::known(granted["world"]["room_id"].as_str().context("a room")?);
    journey.homes.ada.join_through(&room, journey.commons.server_name()).await?;
    journey.homes.ada.send_text(&room, "1", "hello from home").await?;
    while !String::from_utf8_lossy(&visit.next(0x49).await?).contains("hello from home") {}

    // A ban ends the visit, and follows her to where she moves.
    bob.join(&room).await?;
    let ban = json!({ "user_id": ada });
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/ban"), &ban).await?;
    ensure!(over(&mut visit.socket).await? == REMOVED, "she stays");
    let again = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await;
    let (status, said) = words(again)?;
    ensure!(status == 403 && said.contains("shut you out"), "{status} {said}");
    let mut elsewhere = named(&journey.homes.abroad, "c", "c.test").await?;
    journey.move_to(&elsewhere).await?;
    journey.nobody = Client::nobody(journey.commons.http())?;
    let again = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await;
    let (status, said) = words(again)?;
    ensure!(status == 403 && said.contains("shut you out"), "after a move: {status} {said}");
    // Nor does she come in by an account of the node that she opens by the same DID.
    let newcomer = journey.arrive().await??;
    let wish = json!({ "ticket": newcomer["ticket"], "browser": BROWSER, "name": "lovelace" });
    let made = journey.nobody.post(&format!("{API}/register"), &wish).await?;
    let by = json!({ "type": "m.login.token", "token": made["login_token"] });
    let opened = journey.nobody.post(LOGIN, &by).await?;
    let there = journey.nobody.at(journey.commons.http()).signed_in(&opened)?;
    let (status, said) = words(there.post(&visits_of(&alias), &json!({})).await)?;
    ensure!(status == 403 && said.contains("shut you out"), "as a member: {status} {said}");
    // Elsewhere on the node she may go as before, under her new name.
    let other = world_of(&bob, "The Other Floor", floor(), 20).await?;
    let body = answered(&journey, |_| {}).await?;
    let granted = journey.nobody.post(&visitors_of(&other), &body).await?;
    ensure!(granted["ticket"].is_string(), "{granted}");
    end(&mut elsewhere).await?;
    journey.end().await
}

#[tokio::test]
async fn a_node_says_whose_people_may_visit() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let path = visitors_of(&alias);
    let home = journey.homes.home.server_name().to_owned();
    for (visitors, nodes, names) in [
        ("nodes", Some("elsewhere.test".to_owned()), "by invitation alone"),
        ("nodes", Some(home.clone()), ""),
        ("invited", None, "by invitation alone"),
    ] {
        journey.commons.stop().await?;
        journey.commons.change("--visitors", Some(visitors));
        journey.commons.change("--visitor-nodes", nodes.as_deref());
        journey.commons.restart().await?;
        journey.nobody = Client::nobody(journey.commons.http())?;
        let answer = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await;
        if names.is_empty() {
            ensure!(answer?["ticket"].is_string(), "{visitors} {nodes:?}");
        } else {
            let (status, said) = words(answer)?;
            ensure!(status == 403 && said.contains(names), "{visitors}: {status} {said}");
        }
    }
    // Whoever is invited comes in all the same, and whoever lives there signs in.
    let bob = bob.at(journey.commons.http());
    let room = bob.get(&format!("/_wayside/v1/worlds/{}", alias.replace('#', "%23"))).await?;
    let room = RoomId::known(room["room_id"].as_str().context("a room")?);
    bob.join(&room).await?;
    let invite = json!({ "user_id": journey.homes.ada.id() });
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/invite"), &invite).await?;
    let answer = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await?;
    ensure!(answer["ticket"].is_string(), "{answer}");
    // A world that shuts a server out shuts out its people, whoever they are, and those who are inside.
    let ticket = answer["ticket"].as_str().context("a ticket")?;
    let mut visit = Visit::on(connect(&journey.commons).await?, ticket).await?;
    let acl =
        json!({ "allow": ["*"], "deny": [home.split(':').next()], "allow_ip_literals": true });
    bob.set_state(&room, "m.room.server_acl", "", &acl).await?;
    ensure!(over(&mut visit.socket).await? == REMOVED, "she stays");
    let answer = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await;
    let (status, said) = words(answer)?;
    ensure!(status == 403 && said.contains("shut you out"), "{status} {said}");
    let none = journey.homes.abroad.ann.post("/_wayside/v1/visitors/challenge", &json!({})).await;
    refused(none, 404, "M_NOT_FOUND")?;
    journey.end().await
}

#[tokio::test]
async fn visitors_of_a_private_world_see_its_portals() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    let scene = bob.upload("model/gltf-binary", floor()).await?;
    let scene = format!("mxc://{}", scene.place());
    let mut dens = Vec::new();
    for name in ["Den", "Cellar"] {
        let wish = json!({ "name": name, "scene": scene, "public": false });
        let made = bob.post("/_wayside/v1/worlds", &wish).await?;
        let room = RoomId::known(made["room_id"].as_str().context("a room")?);
        bob.join(&room).await?;
        let door = json!({ "uri": "matrix:r/plaza:elsewhere.test" });
        bob.set_state(&room, "org.wayside.portal", "door", &door).await?;
        let invite = json!({ "user_id": journey.homes.ada.id() });
        bob.post(&format!("/_matrix/client/v3/rooms/{room}/invite"), &invite).await?;
        dens.push(room);
    }
    let api = |room: &RoomId, what: &str| format!("/_wayside/v1/worlds/{room}/{what}");
    let shown = answered(&journey, |_| {}).await?;
    let granted = journey.nobody.post(&api(&dens[0], "visitors"), &shown).await?;
    let pass = granted["pass"].as_str().context("a pass")?;
    let doors = |room: &RoomId, pass: &str| format!("{}?pass={pass}", api(room, "portals"));
    let told = journey.nobody.get(&doors(&dens[0], pass)).await?;
    ensure!(told["portals"].as_array().is_some_and(|it| it.len() == 1), "{told}");
    // By none, by one of another world, or by one that somebody made up, there is no such world.
    let (until, rest) = pass.split_once('.').context("a time")?;
    let later = format!("{}.{rest}", until.parse::<i64>()? + 1);
    for bad in ["", "x", "1.2.3", &later, &pass[..pass.len() - 1]] {
        refused(journey.nobody.get(&doors(&dens[0], bad)).await, 404, "M_NOT_FOUND")?;
    }
    refused(journey.nobody.get(&doors(&dens[1], pass)).await, 404, "M_NOT_FOUND")?;
    // Nor for whoever was shown out.
    let kick = json!({ "user_id": journey.homes.ada.id() });
    bob.post(&format!("/_matrix/client/v3/rooms/{}/kick", dens[0]), &kick).await?;
    refused(journey.nobody.get(&doors(&dens[0], pass)).await, 404, "M_NOT_FOUND")?;
    journey.end().await
}
