//! Passkeys: made, shown, used once, and refused in every way in which somebody could cheat with them.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, Node, PASSWORD};

use crate::{
    authenticator::Authenticator,
    stage::{Deeds, Stage, refused, stories},
};

stories! {
    a_passkey_signs_in_until_it_is_removed;
    what_is_shown_is_good_once_and_for_what_it_was_asked;
    who_cheats_with_a_passkey_is_refused;
    a_passkey_confirms_what_its_owner_does;
    a_forgotten_password_is_replaced_by_a_passkey;
    a_passkey_lets_programs_in;
    whoever_is_locked_or_gone_shows_a_passkey_in_vain;
    passkeys_are_not_for_everybody_nor_without_end;
    an_address_of_digits_has_no_passkeys;
}

/// Where people find the node, as far as it and their browsers know.
pub(crate) const PUBLIC: &str = "https://way.example";
const PASSKEYS: &str = "/_wayside/v1/passkeys";
const LOGIN: &str = "/_matrix/client/v3/login";
const WHO: &str = "/_matrix/client/v3/account/whoami";

/// A node that has passkeys.
async fn node(stage: &Stage) -> Result<Node> {
    stage.other("b", |options| options.flag("--public-url", Some(PUBLIC))).await
}

/// What somebody shows who knows their password.
fn knowing(user: &Client) -> Value {
    json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": user.id() },
    })
}

pub(crate) async fn begin_adding(person: &Client) -> Result<Value> {
    let auth = json!({ "auth": knowing(person) });
    Ok(person.post(&format!("{PASSKEYS}/add"), &auth).await?)
}

/// Gives somebody a passkey.
pub(crate) async fn add(person: &Client) -> Result<(Authenticator, String)> {
    let mut device = Authenticator::new(PUBLIC)?;
    let begun = begin_adding(person).await?;
    let made = device.make(&begun["options"])?;
    let body = json!({ "ceremony": begun["ceremony"], "credential": made, "name": "My phone" });
    let added = person.post(PASSKEYS, &body).await?;
    let id = added["id"].as_str().with_context(|| format!("no id in {added}"))?;
    Ok((device, id.to_owned()))
}

/// Begins a ceremony.
pub(crate) async fn asked(nobody: &Client, goal: &str) -> Result<Value> {
    Ok(nobody.post(&format!("{PASSKEYS}/show"), &json!({ "for": goal })).await?)
}

pub(crate) fn shown(begun: &Value, device: &mut Authenticator) -> Result<Value> {
    Ok(json!({ "ceremony": begun["ceremony"], "credential": device.show(&begun["options"])? }))
}

async fn token(nobody: &Client, shown: &Value) -> Result<Value, CallError> {
    nobody.post(&format!("{PASSKEYS}/token"), shown).await
}

/// Signs in by a passkey; gives who it was.
async fn come_in(nobody: &Client, device: &mut Authenticator) -> Result<Value> {
    let given = token(nobody, &shown(&asked(nobody, "sign_in").await?, device)?).await?;
    let wish = json!({ "type": "m.login.token", "token": given["login_token"] });
    Ok(nobody.post(LOGIN, &wish).await?)
}

/// The stages that are offered where a proof is wanted.
pub(crate) fn offered(answer: &Result<Value, CallError>) -> Result<Vec<String>> {
    let Err(CallError::Refused { body, .. }) = answer else {
        anyhow::bail!("no proof is wanted: {answer:?}");
    };
    let flows = body["flows"].as_array().with_context(|| format!("no flows in {body}"))?;
    Ok(flows.iter().filter_map(|it| it["stages"][0].as_str().map(str::to_owned)).collect())
}

async fn a_passkey_signs_in_until_it_is_removed(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let nobody = Client::nobody(node.http())?;
    ensure!(nobody.get("/_wayside/v1/node").await?["passkeys"] == true);
    // The pages may ask for passkeys, and no page within them may.
    for page in ["/", "/sign-in"] {
        let page = reqwest::get(node.http().join(page)?).await?;
        let may = page.headers().get("permissions-policy").context("no policy")?.to_str()?;
        for deed in ["get", "create"] {
            ensure!(may.contains(&format!("publickey-credentials-{deed}=(self)")), "{may}");
        }
    }
    // Whoever only holds a token adds nothing.
    let bare = ann.post(&format!("{PASSKEYS}/add"), &json!({})).await;
    ensure!(offered(&bare)? == ["m.login.password", "m.login.sso"]);
    let begun = begin_adding(&ann).await?;
    let options = &begun["options"];
    ensure!(options["rp"]["id"] == "way.example" && options["user"]["name"] == ann.id(), "{begun}");
    ensure!(options["authenticatorSelection"]["residentKey"] == "required", "{begun}");
    ensure!(options["authenticatorSelection"]["userVerification"] == "required", "{begun}");
    let (mut device, id) = add(&ann).await?;
    let listed = ann.get(PASSKEYS).await?;
    let one = &listed["passkeys"][0];
    ensure!(one["id"] == id && one["name"] == "My phone" && one["used_ms"].is_null(), "{listed}");
    // The next one is told of the first, so that no device holds two, and of the same owner.
    let next = begin_adding(&ann).await?;
    let known = next["options"]["excludeCredentials"].as_array().map(Vec::len);
    ensure!(known == Some(1) && next["options"]["user"]["id"] == options["user"]["id"], "{next}");

    ensure!(come_in(&nobody, &mut device).await?["user_id"] == ann.id());
    ensure!(ann.get(PASSKEYS).await?["passkeys"][0]["used_ms"].is_i64());
    let one = format!("{PASSKEYS}/{id}");
    ann.call(Method::PUT, &one, Some(&json!({ "name": " Telephone " }))).await?;
    // A ceremony outlives the node's process, and so does all that was done.
    let begun = asked(&nobody, "sign_in").await?;
    node.stop().await?;
    node.restart().await?;
    let (ann, nobody) = (ann.at(node.http()), nobody.at(node.http()));
    token(&nobody, &shown(&begun, &mut device)?).await?;
    ensure!(ann.get(PASSKEYS).await?["passkeys"][0]["name"] == "Telephone");

    let begun = asked(&nobody, "sign_in").await?;
    let late = shown(&begun, &mut device)?;
    let bob = Client::register(node.http(), "bob").await?;
    let by_bob = json!({ "auth": knowing(&bob) });
    refused(bob.call(Method::DELETE, &one, Some(&by_bob)).await, 404, "M_NOT_FOUND")?;
    let rename = json!({ "name": "Bob's" });
    refused(bob.call(Method::PUT, &one, Some(&rename)).await, 404, "M_NOT_FOUND")?;
    let stages = offered(&ann.call(Method::DELETE, &one, None).await)?;
    ensure!(stages == ["m.login.password", "org.wayside.passkey", "m.login.sso"], "{stages:?}");
    ann.call(Method::DELETE, &one, Some(&json!({ "auth": knowing(&ann) }))).await?;
    ensure!(ann.get(PASSKEYS).await?["passkeys"] == json!([]));
    refused(token(&nobody, &late).await, 404, "M_NOT_FOUND")?;
    node.stop().await?;
    Ok(())
}

async fn what_is_shown_is_good_once_and_for_what_it_was_asked(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let bob = Client::register(node.http(), "bob").await?;
    let nobody = Client::nobody(node.http())?;
    let (mut device, _) = add(&ann).await?;
    let first = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    token(&nobody, &first).await?;
    refused(token(&nobody, &first).await, 403, "M_FORBIDDEN")?;
    // Of two at once, one is let in.
    let twice = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    let (one, other) = tokio::join!(token(&nobody, &twice), token(&nobody, &twice));
    ensure!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");

    let for_password = shown(&asked(&nobody, "password").await?, &mut device)?;
    refused(token(&nobody, &for_password).await, 403, "M_FORBIDDEN")?;
    let confirming = ann.post(&format!("{PASSKEYS}/confirm"), &json!({})).await?;
    let for_confirming = shown(&confirming, &mut device)?;
    refused(token(&nobody, &for_confirming).await, 403, "M_FORBIDDEN")?;
    let mut for_sign_in = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    for_sign_in["password"] = "another good password".into();
    let reset = format!("{PASSKEYS}/password");
    refused(nobody.post(&reset, &for_sign_in).await, 403, "M_FORBIDDEN")?;

    // A passkey is added by whoever began to, once.
    let begun = begin_adding(&ann).await?;
    let made = Authenticator::new(PUBLIC)?.make(&begun["options"])?;
    let body = json!({ "ceremony": begun["ceremony"], "credential": made, "name": "x" });
    refused(bob.post(PASSKEYS, &body).await, 403, "M_FORBIDDEN")?;
    ann.post(PASSKEYS, &body).await?;
    refused(ann.post(PASSKEYS, &body).await, 403, "M_FORBIDDEN")?;
    // What is somebody's already becomes nobody else's.
    let begun = begin_adding(&bob).await?;
    let again = device.make(&begun["options"])?;
    let body = json!({ "ceremony": begun["ceremony"], "credential": again, "name": "x" });
    refused(bob.post(PASSKEYS, &body).await, 400, "M_INVALID_PARAM")?;
    node.stop().await?;
    Ok(())
}

async fn who_cheats_with_a_passkey_is_refused(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let bob = Client::register(node.http(), "bob").await?;
    let nobody = Client::nobody(node.http())?;
    let (mut device, _) = add(&ann).await?;
    let (mut bobs, _) = add(&bob).await?;
    let sign_in = async || asked(&nobody, "sign_in").await;
    let wrongly = async |body: Value| refused(token(&nobody, &body).await, 403, "M_FORBIDDEN");

    // A page elsewhere, one on a line that others can change, or of an authenticator that looks at nobody.
    for origin in ["https://evil.example", "http://way.example", "https://below.way.example"] {
        origin.clone_into(&mut device.origin);
        wrongly(shown(&sign_in().await?, &mut device)?).await?;
    }
    PUBLIC.clone_into(&mut device.origin);
    device.verifies = false;
    wrongly(shown(&sign_in().await?, &mut device)?).await?;
    device.verifies = true;
    let mut elsewhere = sign_in().await?;
    elsewhere["options"]["rpId"] = "evil.example".into();
    wrongly(shown(&elsewhere, &mut device)?).await?;
    // Another challenge than the ceremony's, and a ceremony that nobody sealed.
    let (one, other) = (sign_in().await?, sign_in().await?);
    let mut crossed = shown(&one, &mut device)?;
    crossed["ceremony"] = other["ceremony"].clone();
    wrongly(crossed).await?;
    let mut forged = shown(&one, &mut device)?;
    let sealed = forged["ceremony"].as_str().context("a ceremony")?;
    let (text, seal) = sealed.split_once('.').context("a seal")?;
    let (text, seal) = (text.to_owned(), seal.to_owned());
    for wrong in [format!("{text}."), format!("{text}.{text}"), format!("A{text}.{seal}"), seal] {
        forged["ceremony"] = wrong.into();
        wrongly(forged.clone()).await?;
    }
    // Somebody else's name on one's own passkey, none at all, and a signature that is none.
    let own = std::mem::replace(&mut device.handle, bobs.handle.clone());
    wrongly(shown(&sign_in().await?, &mut device)?).await?;
    device.handle = None;
    wrongly(shown(&sign_in().await?, &mut device)?).await?;
    device.handle = own;
    let mut signed = shown(&sign_in().await?, &mut device)?;
    let begun = json!({ "rpId": "way.example", "challenge": "AAAA" });
    let stolen = bobs.show(&begun)?["response"]["signature"].clone();
    signed["credential"]["response"]["signature"] = stolen;
    wrongly(signed).await?;
    let stranger = shown(&sign_in().await?, &mut Authenticator::new(PUBLIC)?)?;
    refused(token(&nobody, &stranger).await, 404, "M_NOT_FOUND")?;
    let mut junk = shown(&sign_in().await?, &mut device)?;
    junk["credential"]["response"] = json!(["AAAA", "AAAA", "AAAA", "AAAA"]);
    refused(token(&nobody, &junk).await, 400, "M_BAD_JSON")?;

    // None of this has cost Ann anything.
    come_in(&nobody, &mut device).await?;
    // A copy that counts by itself comes too late, and whoever runs the node can read of it.
    device.counter -= 2;
    wrongly(shown(&sign_in().await?, &mut device)?).await?;
    ensure!(node.log().contains("the counter of a passkey went back"), "nothing is logged");
    device.counter += 2;
    come_in(&nobody, &mut device).await?;

    // What is made on another page is kept no more than what is shown there.
    let begun = begin_adding(&ann).await?;
    for (origin, verifies) in [("https://evil.example", true), (PUBLIC, false)] {
        let mut wrong = Authenticator::new(origin)?;
        wrong.verifies = verifies;
        let made = wrong.make(&begun["options"])?;
        let body = json!({ "ceremony": begun["ceremony"], "credential": made, "name": "x" });
        refused(ann.post(PASSKEYS, &body).await, 403, "M_FORBIDDEN")?;
    }
    let mut made = Authenticator::new(PUBLIC)?.make(&begun["options"])?;
    made["clientExtensionResults"] = json!({ "credProps": { "rk": false } });
    let body = json!({ "ceremony": begun["ceremony"], "credential": made, "name": "x" });
    refused(ann.post(PASSKEYS, &body).await, 400, "M_INVALID_PARAM")?;
    node.stop().await?;
    Ok(())
}

async fn a_passkey_confirms_what_its_owner_does(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let bob = Client::register(node.http(), "bob").await?;
    let confirm = format!("{PASSKEYS}/confirm");
    refused(ann.post(&confirm, &json!({})).await, 404, "M_NOT_FOUND")?;
    let (mut device, id) = add(&ann).await?;
    let (mut bobs, _) = add(&bob).await?;
    let desk = Client::login(node.http(), "ann").await?;
    let proof = async |person: &Client, device: &mut Authenticator| {
        let mut auth = shown(&person.post(&confirm, &json!({})).await?, device)?;
        auth["type"] = "org.wayside.passkey".into();
        auth["session"] = "any".into();
        anyhow::Ok(json!({ "auth": auth }))
    };
    let path = format!("/_matrix/client/v3/devices/{}", desk.session().device_id);
    let stages = offered(&ann.call(Method::DELETE, &path, None).await)?;
    ensure!(stages == ["m.login.password", "org.wayside.passkey", "m.login.sso"], "{stages:?}");
    // Bob's passkey says who Bob is.
    let foreign = ann.post(&confirm, &json!({})).await?;
    let allowed = foreign["options"]["allowCredentials"].as_array().map(Vec::len);
    ensure!(allowed == Some(1), "{foreign}");
    let by_bob = proof(&ann, &mut bobs).await?;
    offered(&ann.call(Method::DELETE, &path, Some(&by_bob)).await)?;
    let by_ann = proof(&ann, &mut device).await?;
    offered(&bob.call(Method::DELETE, &path, Some(&by_ann)).await)?;
    desk.get(WHO).await?;
    ann.call(Method::DELETE, &path, Some(&by_ann)).await?;
    refused(desk.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    offered(&ann.call(Method::DELETE, &path, Some(&by_ann)).await).context("a proof used twice")?;

    let mut change = proof(&ann, &mut device).await?;
    change["new_password"] = "a new one that she will remember".into();
    ann.post("/_matrix/client/v3/account/password", &change).await?;
    let old = json!({
        "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "ann" },
        "password": PASSWORD,
    });
    let nobody = Client::nobody(node.http())?;
    refused(nobody.post(LOGIN, &old).await, 403, "M_FORBIDDEN")?;
    come_in(&nobody, &mut device).await.context("passkeys outlive passwords")?;
    let another = proof(&ann, &mut device).await?;
    ann.post(&format!("{PASSKEYS}/add"), &another).await?;
    let removing = proof(&ann, &mut device).await?;
    ann.call(Method::DELETE, &format!("{PASSKEYS}/{id}"), Some(&removing)).await?;
    ensure!(ann.get(PASSKEYS).await?["passkeys"] == json!([]));
    node.stop().await?;
    Ok(())
}

async fn a_forgotten_password_is_replaced_by_a_passkey(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let nobody = Client::nobody(node.http())?;
    let (mut device, _) = add(&ann).await?;
    let reset = format!("{PASSKEYS}/password");
    let mut body = shown(&asked(&nobody, "password").await?, &mut device)?;
    body["password"] = "short".into();
    refused(nobody.post(&reset, &body).await, 400, "M_WEAK_PASSWORD")?;
    let chosen = "a new one that she will remember";
    body["password"] = chosen.into();
    let done = nobody.post(&reset, &body).await.context("a weak one uses nothing up")?;
    ensure!(done["user_id"] == ann.id(), "{done}");
    refused(nobody.post(&reset, &body).await, 403, "M_FORBIDDEN")?;
    refused(ann.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    let log_in = |password: &str| {
        json!({
            "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "ann" },
            "password": password,
        })
    };
    refused(nobody.post(LOGIN, &log_in(PASSWORD)).await, 403, "M_FORBIDDEN")?;
    nobody.post(LOGIN, &log_in(chosen)).await?;
    come_in(&nobody, &mut device).await?;
    node.stop().await?;
    Ok(())
}

async fn a_passkey_lets_programs_in(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let nobody = Client::nobody(node.http())?;
    let (mut device, _) = add(&ann).await?;
    let what = json!({ "sso": "https://client.example/" });
    let passkey = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    let mut body = json!({ "what": what, "passkey": passkey });
    body["proof"] = json!({ "user": "ann", "password": PASSWORD });
    let path = "/_wayside/v1/sign-in";
    refused(nobody.post(path, &body).await, 400, "M_BAD_JSON")?;
    body["proof"] = Value::Null;
    let answer = nobody.post(path, &body).await?;
    let back = reqwest::Url::parse(answer["location"].as_str().context("a way back")?)?;
    let token = back.query_pairs().find(|(name, _)| name == "loginToken");
    let token = token.with_context(|| format!("no login token in {back}"))?.1.into_owned();
    let opened = nobody.post(LOGIN, &json!({ "type": "m.login.token", "token": token })).await?;
    ensure!(opened["user_id"] == ann.id(), "{opened}");
    refused(nobody.post(path, &body).await, 403, "M_FORBIDDEN")?;
    node.stop().await?;
    Ok(())
}

async fn whoever_is_locked_or_gone_shows_a_passkey_in_vain(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let nobody = Client::nobody(node.http())?;
    let (mut device, _) = add(&ann).await?;
    let lock = async |node: &Node, word: &str| {
        let done = node.command(&["user", word, "ann"]).await?;
        ensure!(done.status.success(), "{done:?}");
        anyhow::Ok(())
    };
    let sign_in = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    let on = json!({ "what": { "sso": "https://client.example/" }, "passkey": sign_in });
    // The last one of the three is shown last: a device counts on.
    let mut reset = shown(&asked(&nobody, "password").await?, &mut device)?;
    reset["password"] = "a new one that she will remember".into();
    lock(&node, "lock").await?;
    refused(token(&nobody, &sign_in).await, 401, "M_USER_LOCKED")?;
    refused(nobody.post("/_wayside/v1/sign-in", &on).await, 401, "M_USER_LOCKED")?;
    let password = format!("{PASSKEYS}/password");
    refused(nobody.post(&password, &reset).await, 401, "M_USER_LOCKED")?;
    refused(ann.get(PASSKEYS).await, 401, "M_USER_LOCKED")?;
    // Who cannot prove to be Ann does not learn it.
    "https://evil.example".clone_into(&mut device.origin);
    let wrong = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    refused(token(&nobody, &wrong).await, 403, "M_FORBIDDEN")?;
    PUBLIC.clone_into(&mut device.origin);
    // Nothing was used up by trying.
    lock(&node, "unlock").await?;
    token(&nobody, &sign_in).await?;
    nobody.post(&password, &reset).await?;

    let opened = come_in(&nobody, &mut device).await?;
    let ann = Client::nobody(node.http())?.signed_in(&opened)?;
    let confirming = ann.post(&format!("{PASSKEYS}/confirm"), &json!({})).await?;
    let mut auth = shown(&confirming, &mut device)?;
    auth["type"] = "org.wayside.passkey".into();
    let late = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    let end = "/_matrix/client/v3/account/deactivate";
    ann.post(end, &json!({ "auth": auth, "erase": true })).await?;
    refused(token(&nobody, &late).await, 404, "M_NOT_FOUND")?;
    node.stop().await?;
    Ok(())
}

async fn passkeys_are_not_for_everybody_nor_without_end(stage: &mut Stage) -> Result<()> {
    let mut node = node(stage).await?;
    let ann = Client::register(node.http(), "ann").await?;
    let guest = Client::guest(node.http()).await?;
    for path in ["/add", "/confirm"] {
        let asked = guest.post(&format!("{PASSKEYS}{path}"), &json!({})).await;
        refused(asked, 403, "M_GUEST_ACCESS_FORBIDDEN")?;
    }
    for wrong in ["", "  ", &"x".repeat(513)] {
        let begun = begin_adding(&ann).await?;
        let made = Authenticator::new(PUBLIC)?.make(&begun["options"])?;
        let body = json!({ "ceremony": begun["ceremony"], "credential": made, "name": wrong });
        refused(ann.post(PASSKEYS, &body).await, 400, "M_INVALID_PARAM")?;
    }
    let early = begin_adding(&ann).await?;
    for _ in 0..20 {
        add(&ann).await?;
    }
    let auth = json!({ "auth": knowing(&ann) });
    refused(ann.post(&format!("{PASSKEYS}/add"), &auth).await, 413, "M_TOO_LARGE")?;
    // Also not for whoever began before.
    let made = Authenticator::new(PUBLIC)?.make(&early["options"])?;
    let body = json!({ "ceremony": early["ceremony"], "credential": made, "name": "x" });
    refused(ann.post(PASSKEYS, &body).await, 413, "M_TOO_LARGE")?;
    ensure!(ann.get(PASSKEYS).await?["passkeys"].as_array().map(Vec::len) == Some(20));
    node.stop().await?;
    Ok(())
}

async fn an_address_of_digits_has_no_passkeys(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    ensure!(nobody.get("/_wayside/v1/node").await?["passkeys"] == false);
    let auth = json!({ "auth": knowing(&ann) });
    refused(ann.post(&format!("{PASSKEYS}/add"), &auth).await, 404, "M_NOT_FOUND")?;
    refused(ann.post(&format!("{PASSKEYS}/confirm"), &json!({})).await, 404, "M_NOT_FOUND")?;
    let asked = nobody.post(&format!("{PASSKEYS}/show"), &json!({ "for": "sign_in" })).await;
    refused(asked, 404, "M_NOT_FOUND")
}
