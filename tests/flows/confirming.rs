//! People confirm on the node's own page what programs ask, by whatever opens their account; and keep a way in.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, Url, redirect::Policy};
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, PASSWORD};

use crate::{
    authenticator::Authenticator,
    cross_signing::{self, Person},
    passkeys::{self, PUBLIC, asked, offered, shown},
    providers::{BROWSER, Club, Lie, reason},
    sign_in::{Program, said, with_token},
    stage::{Deeds, Stage, refused, stories},
};

stories! {
    what_a_program_asks_is_confirmed_on_the_page_once;
    what_is_confirmed_is_one_request_of_one_device;
    a_link_to_the_page_of_somebody_else_confirms_nothing;
    whoever_has_no_password_confirms_by_their_provider;
    a_provider_says_when_its_person_was_there;
    a_passkey_makes_an_account_elsewhere_known;
    a_program_that_was_let_in_is_sent_to_the_page;
    accounts_elsewhere_are_added_and_ended;
    the_last_way_into_an_account_stays;
}

const SIGN_IN: &str = "/_wayside/v1/sign-in";
const LOOK: &str = "/_wayside/v1/sign-in/look";
const LINKS: &str = "/_wayside/v1/links";
const LOGIN: &str = "/_matrix/client/v3/login";
const CHANGE: &str = "/_matrix/client/v3/account/password";
const PASSKEYS: &str = "/_wayside/v1/passkeys";
const WHO: &str = "/_matrix/client/v3/account/whoami";

/// The session that a refusal names, which asks for a proof.
fn session(answer: Result<Value, CallError>) -> Result<String> {
    match answer {
        Err(CallError::Refused { status, body, .. }) if status.as_u16() == 401 => {
            let session = body["session"].as_str();
            Ok(session.with_context(|| format!("no session in {body}"))?.to_owned())
        }
        other => anyhow::bail!("no proof is wanted: {other:?}"),
    }
}

fn with_session(session: &str) -> Value {
    json!({ "auth": { "session": session } })
}

/// What the page shows the node to confirm a session.
fn confirming(session: &str, proof: &Value) -> Value {
    json!({ "what": { "confirm": session }, "proof": proof })
}

fn by_password(user: &str, password: &str) -> Value {
    json!({ "user": user, "password": password })
}

fn knowing(user: &str) -> Value {
    json!({ "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": user } })
}

fn device_of(client: &Client) -> String {
    format!("/_matrix/client/v3/devices/{}", client.session().device_id)
}

/// Where the node sends a browser that opens this.
async fn sent_on(stage: &Stage, path: &str) -> Result<(u16, Option<Url>)> {
    let still = reqwest::Client::builder().redirect(Policy::none()).build()?;
    let answer = still.get(stage.node.http().join(path)?).send().await?;
    let to = answer.headers().get("location").map(|it| anyhow::Ok(Url::parse(it.to_str()?)?));
    Ok((answer.status().as_u16(), to.transpose()?))
}

async fn what_a_program_asks_is_confirmed_on_the_page_once(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let desk = Client::login(stage.node.http(), "ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let path = device_of(&desk);
    let name = json!({ "display_name": "The desk" });
    desk.call(Method::PUT, &path, Some(&name)).await?;
    let bare = ann.call(Method::DELETE, &path, None).await;
    ensure!(offered(&bare)? == ["m.login.password", "m.login.sso"], "{bare:?}");
    let waits = session(bare)?;

    // The specification's page, also by its older address, is the sign-in page.
    for version in ["v3", "r0"] {
        for stage_name in ["m.login.sso", "m.login.password"] {
            let page =
                format!("/_matrix/client/{version}/auth/{stage_name}/fallback/web?session={waits}");
            let (status, to) = sent_on(stage, &page).await?;
            let to = to.context("nowhere to go")?;
            ensure!(status == 302 && to.path() == "/sign-in", "{status} {to}");
            ensure!(said(&to, "confirm").as_deref() == Some(&*waits), "{to}");
        }
    }
    let page = reqwest::get(stage.node.http().join(&format!("/sign-in?confirm={waits}"))?).await?;
    let policy = page.headers()["content-security-policy"].to_str()?.to_owned();
    ensure!(policy.contains("frame-ancestors 'none'"), "{policy}");
    ensure!(!page.headers().contains_key("cross-origin-opener-policy"), "the program is not told");
    for wrong in ["m.login.terms", "org.example.unknown"] {
        let page = format!("/_matrix/client/v3/auth/{wrong}/fallback/web?session={waits}");
        ensure!(sent_on(stage, &page).await?.0 == 404);
    }
    ensure!(sent_on(stage, "/_matrix/client/v3/auth/m.login.sso/fallback/web").await?.0 == 400);

    let look = json!({ "what": { "confirm": waits } });
    let seen = nobody.post(LOOK, &look).await?;
    let device = &desk.session().device_id;
    let operation = json!({
        "kind": "remove_devices", "devices": [{ "id": device, "name": "The desk" }], "more": 0,
    });
    ensure!(seen["operation"] == operation && seen["user_id"] == ann.id(), "{seen}");
    ensure!(seen["device"]["id"] == json!(ann.session().device_id), "{seen}");
    let ways = json!({ "password": true, "passkey": false, "providers": [] });
    ensure!(seen["ways"] == ways && seen["program"].is_null(), "{seen}");

    // Whoever asks too early asks again in the same session.
    let again = with_session(&waits);
    ensure!(session(ann.call(Method::DELETE, &path, Some(&again)).await)? == waits);
    let wrong = confirming(&waits, &by_password("ann", "not her password"));
    refused(nobody.post(SIGN_IN, &wrong).await, 403, "M_FORBIDDEN")?;
    let nothing = json!({ "what": { "confirm": waits } });
    refused(nobody.post(SIGN_IN, &nothing).await, 400, "M_BAD_JSON")?;
    ensure!(session(ann.call(Method::DELETE, &path, Some(&again)).await)? == waits);
    let right = confirming(&waits, &by_password(ann.id(), PASSWORD));
    ensure!(nobody.post(SIGN_IN, &right).await? == json!({ "location": null }));
    refused(nobody.post(SIGN_IN, &right).await, 403, "M_FORBIDDEN").context("confirmed twice")?;

    // What was confirmed outlives the process, and is used once.
    stage.restart().await?;
    let (ann, desk) = (ann.at(stage.node.http()), desk.at(stage.node.http()));
    let nobody = Client::nobody(stage.node.http())?;
    let typed = json!({ "auth": { "type": "m.login.sso", "session": waits } });
    ann.call(Method::DELETE, &path, Some(&typed)).await?;
    refused(desk.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    let new = session(ann.call(Method::DELETE, &path, Some(&again)).await).context("used twice")?;
    ensure!(new != waits, "a session that is used leads nowhere");
    refused(nobody.post(SIGN_IN, &right).await, 403, "M_FORBIDDEN").context("used and confirmed")
}

async fn what_is_confirmed_is_one_request_of_one_device(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let bob = stage.person("bob").await?;
    let desk = Client::login(stage.node.http(), "ann").await?;
    let other = Client::login(stage.node.http(), "ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let confirm = async |session: &str| {
        nobody.post(SIGN_IN, &confirming(session, &by_password("ann", PASSWORD))).await
    };
    let path = device_of(&desk);
    let waits = session(ann.call(Method::DELETE, &path, None).await)?;
    confirm(&waits).await?;
    let shown = with_session(&waits);
    // Another device of hers, another person, another device to remove, another operation.
    for (who, path) in [(&other, &path), (&bob, &path), (&ann, &device_of(&other))] {
        let new = session(who.call(Method::DELETE, path, Some(&shown)).await)?;
        ensure!(new != waits, "a session of another request goes on");
    }
    session(ann.post("/_matrix/client/v3/account/deactivate", &shown).await)?;
    session(ann.post("/_matrix/client/v1/login/get_token", &shown).await)?;
    let devices = json!([desk.session().device_id, other.session().device_id]);
    let many = json!({ "devices": devices, "auth": { "session": waits } });
    session(ann.post("/_matrix/client/v3/delete_devices", &many).await)?;
    desk.get(WHO).await?;
    other.get(WHO).await?;

    // The same operation with other words in it: a password that she did not choose.
    let change = |password: &str, session: &str| json!({ "new_password": password, "logout_devices": false, "auth": { "session": session } });
    let waits = session(ann.post(CHANGE, &change("what she chose herself", "")).await)?;
    ensure!(!waits.contains("what she chose"), "{waits}");
    confirm(&waits).await?;
    session(ann.post(CHANGE, &change("what somebody else chose", &waits)).await)?;
    let mut more = change("what she chose herself", &waits);
    more["logout_devices"] = json!(true);
    session(ann.post(CHANGE, &more).await)?;
    ann.post(CHANGE, &change("what she chose herself", &waits)).await?;
    let log_in = json!({ "type": "m.login.password", "password": "what she chose herself",
        "identifier": { "type": "m.id.user", "user": "ann" } });
    nobody.post(LOGIN, &log_in).await?;
    Ok(())
}

async fn a_link_to_the_page_of_somebody_else_confirms_nothing(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let eve = stage.person("eve").await?;
    let desk = Client::login(stage.node.http(), "eve").await?;
    let nobody = Client::nobody(stage.node.http())?;
    // Eve has Ann open a page that asks for something of Eve's: Ann's word is not Eve's.
    let path = device_of(&desk);
    let of_eve = session(eve.call(Method::DELETE, &path, None).await)?;
    let by_ann = confirming(&of_eve, &by_password("ann", PASSWORD));
    refused(nobody.post(SIGN_IN, &by_ann).await, 403, "M_FORBIDDEN")?;
    session(eve.call(Method::DELETE, &path, Some(&with_session(&of_eve))).await)?;
    // A program that may sign Ann in once does not confirm anything by that.
    let on = json!({ "what": { "sso": "https://client.example/" }, "proof": by_password("ann", PASSWORD) });
    let back = nobody.post(SIGN_IN, &on).await?;
    let back = Url::parse(back["location"].as_str().context("a way back")?)?;
    let token = said(&back, "loginToken").context("a token")?;
    let of_ann = session(ann.post("/_matrix/client/v3/account/deactivate", &json!({})).await)?;
    let by_token = confirming(&of_ann, &json!({ "login_token": token }));
    refused(nobody.post(SIGN_IN, &by_token).await, 403, "M_FORBIDDEN")?;
    let log_in = json!({ "type": "m.login.token", "token": token });
    nobody.post(LOGIN, &log_in).await.context("the token was not used up by it")?;
    // What nobody sealed is nothing.
    let (text, seal) = of_ann.split_once('.').context("a seal")?;
    let (eves, _) = of_eve.split_once('.').context("a seal")?;
    let forged = [
        format!("{eves}.{seal}"),
        format!("{text}."),
        format!("A{text}.{seal}"),
        seal.to_owned(),
        "x".repeat(20_000),
    ];
    for forged in forged {
        let look = json!({ "what": { "confirm": forged } });
        refused(nobody.post(LOOK, &look).await, 403, "M_FORBIDDEN")?;
        let confirm = confirming(&forged, &by_password("ann", PASSWORD));
        refused(nobody.post(SIGN_IN, &confirm).await, 403, "M_FORBIDDEN")?;
        session(ann.post("/_matrix/client/v3/account/deactivate", &with_session(&forged)).await)?;
    }
    // Whoever is locked confirms nothing.
    let lock = async |word: &str| {
        let done = stage.node.command(&["user", word, "ann"]).await?;
        ensure!(done.status.success(), "{done:?}");
        anyhow::Ok(())
    };
    lock("lock").await?;
    let right = confirming(&of_ann, &by_password("ann", PASSWORD));
    refused(nobody.post(SIGN_IN, &right).await, 401, "M_USER_LOCKED")?;
    lock("unlock").await?;
    nobody.post(SIGN_IN, &right).await?;
    ann.post("/_matrix/client/v3/account/deactivate", &with_session(&of_ann)).await?;
    refused(ann.get(WHO).await, 401, "M_UNKNOWN_TOKEN")
}

/// Somebody whom the club knows by this, with an account that has no password.
async fn member(stage: &Stage, club: &Club, subject: &str, name: &str) -> Result<Client> {
    let nobody = Client::nobody(stage.node.http())?;
    let newcomer = club.arrive(&nobody, subject).await??;
    let wish = json!({ "ticket": newcomer["ticket"], "browser": BROWSER, "name": name });
    let made = nobody.post("/_wayside/v1/providers/register", &wish).await?;
    let log_in = json!({ "type": "m.login.token", "token": made["login_token"] });
    let opened = nobody.post(LOGIN, &log_in).await?;
    nobody.signed_in(&opened)
}

/// Goes to the club to confirm a session, and comes back.
async fn vouched(
    nobody: &Client,
    club: &Club,
    session: &str,
    subject: &str,
) -> Result<Result<Value, CallError>> {
    let begin = json!({ "browser": BROWSER, "confirm": true });
    let answer = nobody.post("/_wayside/v1/providers/club/begin", &begin).await?;
    let (mut came, asked) = club.knock(&answer, subject)?;
    ensure!(asked.get("prompt").map(String::as_str) == Some("login"), "{asked:?}");
    ensure!(asked.get("max_age").map(String::as_str) == Some("300"), "{asked:?}");
    came["confirm"] = session.into();
    Ok(nobody.post("/_wayside/v1/providers/finish", &came).await)
}

/// Confirms a session by the club.
async fn confirm(nobody: &Client, club: &Club, session: &str, subject: &str) -> Result<()> {
    let word = vouched(nobody, club, session, subject).await??;
    let proof = json!({ "word": word["word"], "browser": BROWSER });
    nobody.post(SIGN_IN, &confirming(session, &proof)).await?;
    Ok(())
}

async fn whoever_has_no_password_confirms_by_their_provider(stage: &mut Stage) -> Result<()> {
    let club = Club::open_at(stage, "", Some(PUBLIC)).await?;
    let nobody = Client::nobody(stage.node.http())?;
    let ann = member(stage, &club, "17", "ann").await?;
    member(stage, &club, "18", "bea").await?;
    let bare = ann.post(&format!("{PASSKEYS}/add"), &json!({})).await;
    ensure!(offered(&bare)? == ["m.login.sso"], "{bare:?}");
    let waits = session(bare)?;
    let seen = nobody.post(LOOK, &json!({ "what": { "confirm": waits } })).await?;
    let ways = json!({ "password": false, "passkey": false, "providers": ["club"] });
    ensure!(seen["operation"]["kind"] == "add_passkey" && seen["ways"] == ways, "{seen}");

    // Somebody else, and somebody who is nobody here.
    for (subject, why) in [("18", "another"), ("19", "stranger")] {
        let answer = vouched(&nobody, &club, &waits, subject).await?;
        ensure!(reason(&answer)? == why, "{answer:?}");
        refused(answer, 403, "M_FORBIDDEN")?;
    }
    let word = vouched(&nobody, &club, &waits, "17").await??;
    ensure!(word["user_id"] == ann.id() && word["login_token"].is_null(), "{word}");
    let proof = json!({ "word": word["word"], "browser": BROWSER });
    // It confirms this session, in this browser, and lets nobody in.
    let other = session(ann.post("/_matrix/client/v3/account/deactivate", &json!({})).await)?;
    refused(nobody.post(SIGN_IN, &confirming(&other, &proof)).await, 403, "M_FORBIDDEN")?;
    let elsewhere = json!({ "word": word["word"], "browser": "f".repeat(32) });
    refused(nobody.post(SIGN_IN, &confirming(&waits, &elsewhere)).await, 403, "M_FORBIDDEN")?;
    let on = json!({ "what": { "sso": "https://client.example/" }, "proof": proof });
    refused(nobody.post(SIGN_IN, &on).await, 403, "M_FORBIDDEN")?;
    for junk in ["", "junk", "====", &"A".repeat(43)] {
        let junk = json!({ "word": junk, "browser": BROWSER });
        refused(nobody.post(SIGN_IN, &confirming(&waits, &junk)).await, 403, "M_FORBIDDEN")?;
    }
    nobody.post(SIGN_IN, &confirming(&waits, &proof)).await?;
    refused(nobody.post(SIGN_IN, &confirming(&waits, &proof)).await, 403, "M_FORBIDDEN")?;

    let begun = ann.post(&format!("{PASSKEYS}/add"), &with_session(&waits)).await?;
    let mut device = Authenticator::new(PUBLIC)?;
    let made = device.make(&begun["options"])?;
    let body = json!({ "ceremony": begun["ceremony"], "credential": made, "name": "My phone" });
    ann.post(PASSKEYS, &body).await?;

    // Now the passkey confirms on the page as well; another's does not.
    let path = "/_matrix/client/v1/login/get_token";
    let bare = ann.post(path, &json!({})).await;
    ensure!(offered(&bare)? == ["org.wayside.passkey", "m.login.sso"], "{bare:?}");
    let waits = session(bare)?;
    let carl = stage.person("carl").await?;
    let (mut carls, _) = passkeys::add(&carl).await?;
    let foreign = shown(&asked(&nobody, "sign_in").await?, &mut carls)?;
    let body = json!({ "what": { "confirm": waits }, "passkey": foreign });
    refused(nobody.post(SIGN_IN, &body).await, 403, "M_FORBIDDEN")?;
    let own = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    let body = json!({ "what": { "confirm": waits }, "passkey": own });
    nobody.post(SIGN_IN, &body).await?;
    let given = ann.post(path, &with_session(&waits)).await?;
    ensure!(given["login_token"].is_string(), "{given}");
    Ok(())
}

async fn a_provider_says_when_its_person_was_there(stage: &mut Stage) -> Result<()> {
    let club = Club::open_at(stage, "", Some(PUBLIC)).await?;
    let nobody = Client::nobody(stage.node.http())?;
    let ann = member(stage, &club, "17", "ann").await?;
    let waits = session(ann.post(&format!("{PASSKEYS}/add"), &json!({})).await)?;
    for (lie, status, why) in [
        (Lie::Undated, 403, Some("undated")),
        (Lie::Stale, 403, Some("stale")),
        (Lie::ToCome, 502, None),
    ] {
        club.lies(lie);
        let answer = vouched(&nobody, &club, &waits, "17").await?;
        if let Some(why) = why {
            ensure!(reason(&answer)? == why, "{lie:?}: {answer:?}");
        }
        let code = if status == 403 { "M_FORBIDDEN" } else { "M_UNKNOWN" };
        refused(answer, status, code).with_context(|| format!("{lie:?}"))?;
        // Coming in is no confirming: for that it need not be told.
        ensure!(club.arrive(&nobody, "17").await??["user_id"] == ann.id(), "{lie:?}");
    }
    club.lies(Lie::None);
    // Whoever set out to come in was not asked anew, and confirms nothing by it.
    let begin = json!({ "browser": BROWSER });
    let answer = nobody.post("/_wayside/v1/providers/club/begin", &begin).await?;
    let (mut came, asked) = club.knock(&answer, "17")?;
    ensure!(!asked.contains_key("max_age") && !asked.contains_key("prompt"), "{asked:?}");
    came["confirm"] = waits.as_str().into();
    let unasked = nobody.post("/_wayside/v1/providers/finish", &came).await;
    ensure!(reason(&unasked)? == "undated", "{unasked:?}");
    refused(unasked, 403, "M_FORBIDDEN")?;
    session(ann.post(&format!("{PASSKEYS}/add"), &with_session(&waits)).await)?;
    confirm(&nobody, &club, &waits, "17").await?;
    ann.post(&format!("{PASSKEYS}/add"), &with_session(&waits)).await?;
    Ok(())
}

async fn a_passkey_makes_an_account_elsewhere_known(stage: &mut Stage) -> Result<()> {
    let club = Club::open_at(stage, "registration = false\n", Some(PUBLIC)).await?;
    let nobody = Client::nobody(stage.node.http())?;
    let carl = stage.person("carl").await?;
    let (mut device, _) = passkeys::add(&carl).await?;
    let newcomer = club.arrive(&nobody, "carl of the club").await??;
    let link = "/_wayside/v1/providers/link";
    let by = |shown: &Value| json!({ "ticket": newcomer["ticket"], "browser": BROWSER, "passkey": shown });
    let other = shown(&asked(&nobody, "password").await?, &mut device)?;
    refused(nobody.post(link, &by(&other)).await, 403, "M_FORBIDDEN")?;
    let mine = shown(&asked(&nobody, "sign_in").await?, &mut device)?;
    let mut both = by(&mine);
    both["proof"] = by_password("carl", PASSWORD);
    refused(nobody.post(link, &both).await, 400, "M_BAD_JSON")?;
    let linked = nobody.post(link, &by(&mine)).await?;
    ensure!(linked["user_id"] == carl.id(), "{linked}");
    ensure!(club.arrive(&nobody, "carl of the club").await??["user_id"] == carl.id());
    Ok(())
}

async fn a_program_that_was_let_in_is_sent_to_the_page(stage: &mut Stage) -> Result<()> {
    stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let app = Program::of_app(stage).await?;
    let back = app.let_in(&app.asks(json!({})), "ann").await?;
    let (_, given) = app.exchange(&said(&back, "code").context("a code")?, &[]).await?;
    let who = with_token(stage, &given)?.get(WHO).await?;
    let session_of_app = json!({
        "user_id": who["user_id"], "device_id": who["device_id"], "access_token": given["access_token"],
    });
    let app = Client::nobody(stage.node.http())?.signed_in(&session_of_app)?;
    let (first, second) = (Person::of(10)?, Person::of(20)?);
    app.post(cross_signing::UPLOAD, &first.keys(&app)?).await?;
    let keys = second.keys(&app)?;
    let bare = app.post(cross_signing::UPLOAD, &keys).await;
    ensure!(offered(&bare)? == ["m.oauth", "m.login.sso"], "{bare:?}");
    let Err(CallError::Refused { body, .. }) = &bare else { anyhow::bail!("{bare:?}") };
    let page = Url::parse(body["params"]["m.oauth"]["url"].as_str().context("a page")?)?;
    ensure!(page.path() == "/sign-in", "{page}");
    let action = said(&page, "action");
    ensure!(action.as_deref() == Some("org.matrix.cross_signing_reset"), "{page}");
    let waits = session(bare)?;
    ensure!(said(&page, "confirm").as_deref() == Some(&*waits), "{page}");
    let seen = nobody.post(LOOK, &json!({ "what": { "confirm": waits } })).await?;
    ensure!(seen["operation"] == json!({ "kind": "replace_keys" }), "{seen}");
    let program = json!({ "name": "App", "uri": "https://example.com/" });
    ensure!(seen["program"] == program && seen["device"]["id"] == "APPDEVICE1", "{seen}");
    let mut again = keys.clone();
    again["auth"] = json!({ "type": "m.oauth", "session": waits });
    session(app.post(cross_signing::UPLOAD, &again).await)?;
    nobody.post(SIGN_IN, &confirming(&waits, &by_password("ann", PASSWORD))).await?;
    app.post(cross_signing::UPLOAD, &again).await?;
    let query = json!({ "device_keys": { app.id(): [] } });
    let now = app.post("/_matrix/client/v3/keys/query", &query).await?;
    ensure!(now["master_keys"][app.id()] == keys["master_key"], "{now}");
    // Elsewhere such a program has no stage of its own, and sees no password.
    let bare = app.call(Method::DELETE, &device_of(&app), None).await;
    ensure!(offered(&bare)? == ["m.login.sso"], "{bare:?}");
    Ok(())
}

async fn accounts_elsewhere_are_added_and_ended(stage: &mut Stage) -> Result<()> {
    let club = Club::open_at(stage, "", Some(PUBLIC)).await?;
    let nobody = Client::nobody(stage.node.http())?;
    let ann = member(stage, &club, "17", "ann").await?;
    let bob = stage.person("bob").await?;
    let guest = Client::guest(stage.node.http()).await?;
    ensure!(bob.get(LINKS).await? == json!({ "links": [] }));
    refused(guest.get(LINKS).await, 403, "M_GUEST_ACCESS_FORBIDDEN")?;
    let wish = |provider: &str| json!({ "provider": provider, "browser": BROWSER });
    let proven = |mut body: Value, user: &str| {
        body["auth"] = knowing(user);
        body
    };
    refused(bob.post(LINKS, &wish("unknown")).await, 404, "M_NOT_FOUND")?;
    session(bob.post(LINKS, &wish("club")).await)?;
    let answer = bob.post(LINKS, &proven(wish("club"), "bob")).await?;
    let finish = "/_wayside/v1/providers/finish";
    let (came, _) = club.knock(&answer, "bob of the club")?;
    // Another browser did not set out, and what he carries is his.
    let mut stolen = came.clone();
    stolen["browser"] = "f".repeat(32).into();
    refused(nobody.post(finish, &stolen).await, 403, "M_FORBIDDEN")?;
    let mut forged = came.clone();
    let state = came["state"].as_str().context("a state")?;
    forged["state"] = state.replacen("club.", "club2.", 1).into();
    refused(nobody.post(finish, &forged).await, 403, "M_FORBIDDEN")?;
    let linked = nobody.post(finish, &came).await?;
    ensure!(linked == json!({ "user_id": bob.id(), "linked": "The Club" }), "{linked}");
    refused(nobody.post(finish, &came).await, 403, "M_FORBIDDEN")?;
    let known = club.arrive(&nobody, "bob of the club").await??;
    ensure!(known["user_id"] == bob.id(), "{known}");

    // One name opens one account.
    let answer = bob.post(LINKS, &proven(wish("club"), "bob")).await?;
    let (came, _) = club.knock(&answer, "17")?;
    refused(nobody.post(finish, &came).await, 403, "M_FORBIDDEN")?;
    let listed = bob.get(LINKS).await?;
    let links = listed["links"].as_array().context("links")?;
    ensure!(links.len() == 1 && links[0]["name"] == "The Club", "{listed}");
    ensure!(links[0]["provider"] == "club" && links[0]["linked_ms"].is_i64(), "{listed}");
    ensure!(!listed.to_string().contains("bob of the club"), "{listed}");
    // Somebody who was locked while they were away.
    let answer = bob.post(LINKS, &proven(wish("club"), "bob")).await?;
    let (came, _) = club.knock(&answer, "bob elsewhere")?;
    let lock = async |word: &str| {
        let done = stage.node.command(&["user", word, "bob"]).await?;
        ensure!(done.status.success(), "{done:?}");
        anyhow::Ok(())
    };
    lock("lock").await?;
    refused(nobody.post(finish, &came).await, 401, "M_USER_LOCKED")?;
    lock("unlock").await?;

    let id = links[0]["id"].as_str().context("an id")?;
    let one = format!("{LINKS}/{id}");
    session(bob.call(Method::DELETE, &one, None).await)?;
    let waits = session(ann.call(Method::DELETE, &one, None).await)?;
    confirm(&nobody, &club, &waits, "17").await?;
    let of_ann = ann.call(Method::DELETE, &one, Some(&with_session(&waits))).await;
    refused(of_ann, 404, "M_NOT_FOUND").context("the link is Bob's")?;
    let auth = json!({ "auth": knowing("bob") });
    bob.call(Method::DELETE, &one, Some(&auth)).await?;
    ensure!(bob.get(LINKS).await? == json!({ "links": [] }));
    refused(bob.call(Method::DELETE, &one, Some(&auth)).await, 404, "M_NOT_FOUND")?;
    let newcomer = club.arrive(&nobody, "bob of the club").await??;
    ensure!(newcomer["ticket"].is_string(), "{newcomer}");

    // Not without end.
    for number in 0..20 {
        let answer = bob.post(LINKS, &proven(wish("club"), "bob")).await?;
        let (came, _) = club.knock(&answer, &format!("bob {number}"))?;
        nobody.post(finish, &came).await?;
    }
    refused(bob.post(LINKS, &proven(wish("club"), "bob")).await, 413, "M_TOO_LARGE")?;
    ensure!(bob.get(LINKS).await?["links"].as_array().map(Vec::len) == Some(20));
    Ok(())
}

async fn the_last_way_into_an_account_stays(stage: &mut Stage) -> Result<()> {
    let club = Club::open_at(stage, "", Some(PUBLIC)).await?;
    let nobody = Client::nobody(stage.node.http())?;
    let ann = member(stage, &club, "17", "ann").await?;
    let link = async || {
        let listed = ann.get(LINKS).await?;
        let id = listed["links"][0]["id"].as_str().with_context(|| format!("{listed}"))?;
        anyhow::Ok(format!("{LINKS}/{id}"))
    };
    let one = link().await?;
    let waits = session(ann.call(Method::DELETE, &one, None).await)?;
    confirm(&nobody, &club, &waits, "17").await?;
    let last = ann.call(Method::DELETE, &one, Some(&with_session(&waits))).await;
    refused(last, 403, "M_FORBIDDEN").context("nothing else opens it")?;
    ensure!(link().await? == one, "it is gone all the same");
    // What was not done was not used up either: with a passkey beside it, the same word ends the link.
    let adding = session(ann.post(&format!("{PASSKEYS}/add"), &json!({})).await)?;
    confirm(&nobody, &club, &adding, "17").await?;
    let begun = ann.post(&format!("{PASSKEYS}/add"), &with_session(&adding)).await?;
    let mut device = Authenticator::new(PUBLIC)?;
    let made = device.make(&begun["options"])?;
    let body = json!({ "ceremony": begun["ceremony"], "credential": made, "name": "My phone" });
    let passkey = ann.post(PASSKEYS, &body).await?;
    let passkey = format!("{PASSKEYS}/{}", passkey["id"].as_str().context("an id")?);
    ann.call(Method::DELETE, &one, Some(&with_session(&waits))).await?;
    ensure!(ann.get(LINKS).await? == json!({ "links": [] }));

    let proof = async |device: &mut Authenticator| {
        let begun = ann.post(&format!("{PASSKEYS}/confirm"), &json!({})).await?;
        let mut auth = shown(&begun, device)?;
        auth["type"] = "org.wayside.passkey".into();
        anyhow::Ok(auth)
    };
    let auth = json!({ "auth": proof(&mut device).await? });
    let last = ann.call(Method::DELETE, &passkey, Some(&auth)).await;
    refused(last, 403, "M_FORBIDDEN").context("nothing else opens it")?;
    // With a link beside it, the passkey may go.
    let mut wish = json!({ "provider": "club", "browser": BROWSER });
    wish["auth"] = proof(&mut device).await?;
    let answer = ann.post(LINKS, &wish).await?;
    let (came, _) = club.knock(&answer, "17")?;
    nobody.post("/_wayside/v1/providers/finish", &came).await?;
    let auth = json!({ "auth": proof(&mut device).await? });
    ann.call(Method::DELETE, &passkey, Some(&auth)).await?;
    ensure!(club.arrive(&nobody, "17").await??["user_id"] == ann.id());
    Ok(())
}
