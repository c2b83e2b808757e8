//! Newcomers show on the node's own pages what their program does not know how to ask for.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, PASSWORD};

use crate::{
    emails::Mailbox,
    stage::{Stage, refused, stories},
};

stories! {
    a_program_that_knows_no_stage_makes_an_account;
    an_invitation_is_shown_on_the_page;
    an_address_is_proven_on_the_page;
    pages_of_registration_refuse_what_nobody_waits_for;
}

const REGISTER: &str = "/_matrix/client/v3/register";

/// What the page answers: its status, its text, and the policy that it stands under.
struct Shown {
    status: u16,
    text: String,
    policy: String,
}

fn page_of(stage_name: &str, session: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("session", session)
        .finish();
    format!("/_matrix/client/v3/auth/{stage_name}/fallback/web?{query}")
}

async fn shown(request: reqwest::RequestBuilder) -> Result<Shown> {
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let policy = answer.headers().get("content-security-policy");
    let policy = policy.map(|it| it.to_str()).transpose()?.unwrap_or_default().to_owned();
    Ok(Shown { status, text: answer.text().await?, policy })
}

/// Opens a page as a browser does.
async fn open(stage: &Stage, path: &str) -> Result<Shown> {
    shown(reqwest::Client::new().get(stage.node.http().join(path)?)).await
}

/// Sends its form.
async fn send(stage: &Stage, path: &str, form: &[(&str, &str)]) -> Result<Shown> {
    let mut written = url::form_urlencoded::Serializer::new(String::new());
    let body = written.extend_pairs(form).finish();
    let request = reqwest::Client::new().post(stage.node.http().join(path)?).body(body);
    shown(request.header("content-type", "application/x-www-form-urlencoded")).await
}

/// The session of a refusal, and the stages that it offers, each by itself.
fn asked(answer: Result<Value, CallError>) -> Result<(String, Vec<String>)> {
    let Err(CallError::Refused { status, body, .. }) = answer else {
        anyhow::bail!("nothing more is wanted: {answer:?}")
    };
    ensure!(status.as_u16() == 401, "{status} {body}");
    let flows = body["flows"].as_array().context("flows")?;
    let stages = flows.iter().map(|it| it["stages"][0].as_str().unwrap_or_default().to_owned());
    let session = body["session"].as_str().context("a session")?;
    Ok((session.to_owned(), stages.collect()))
}

fn wish(name: &str, auth: &Value) -> Value {
    json!({ "username": name, "password": PASSWORD, "auth": auth })
}

fn with(session: &str) -> Value {
    json!({ "session": session })
}

/// The page says to the program that it is done, by a script that its policy names, and by no other.
fn is_done(page: &Shown) -> Result<()> {
    ensure!(page.status == 200 && page.text.contains("window.onAuthDone()"), "{}", page.text);
    ensure!(page.text.contains("postMessage(\"authDone\", \"*\")"), "{}", page.text);
    ensure!(page.policy.contains("script-src 'sha256-"), "{}", page.policy);
    ensure!(page.policy.contains("frame-ancestors 'none'"), "{}", page.policy);
    ensure!(!page.policy.contains("unsafe"), "{}", page.policy);
    Ok(())
}

async fn a_program_that_knows_no_stage_makes_an_account(stage: &mut Stage) -> Result<()> {
    let nobody = Client::nobody(stage.node.http())?;
    let (session, stages) = asked(nobody.post(REGISTER, &wish("ann", &Value::Null)).await)?;
    ensure!(stages == ["m.login.dummy"], "{stages:?}");
    let auth = with(&session);
    // Before anybody has looked at the page, nothing was shown, and the session goes on.
    let (same, _) = asked(nobody.post(REGISTER, &wish("ann", &auth)).await)?;
    ensure!(same == session, "another session for the same");
    let path = page_of("m.login.dummy", &session);
    let seen = open(stage, &path).await?;
    ensure!(seen.status == 200 && seen.text.contains("<form"), "{}", seen.text);
    ensure!(
        !seen.policy.contains("script-src") && !seen.text.contains("onAuthDone"),
        "{}",
        seen.text
    );
    asked(nobody.post(REGISTER, &wish("ann", &auth)).await).context("a look is no word")?;
    is_done(&send(stage, &path, &[]).await?)?;
    // By its older address too, and in the words of its reader.
    let german = reqwest::Client::new().get(stage.node.http().join(&path.replace("/v3/", "/r0/"))?);
    let german = shown(german.header("accept-language", "de")).await?;
    ensure!(german.text.contains("lang=\"de\"") && german.text.contains("Ein neues Konto"));

    // It outlives the process, and a name that somebody has.
    stage.restart().await?;
    let nobody = Client::nobody(stage.node.http())?;
    stage.person("bob").await?;
    refused(nobody.post(REGISTER, &wish("bob", &auth)).await, 400, "M_USER_IN_USE")?;
    let made = nobody.post(REGISTER, &wish("ann", &auth)).await?;
    ensure!(made["user_id"] == "@ann:a.test", "{made}");
    // It has served.
    asked(nobody.post(REGISTER, &wish("bea", &auth)).await).context("served twice")?;
    let ann = nobody.signed_in(&made)?;
    ann.get("/_matrix/client/v3/account/whoami").await?;
    Ok(())
}

async fn an_invitation_is_shown_on_the_page(stage: &mut Stage) -> Result<()> {
    let node = stage.other("t", |it| it.flag("--registration", Some("token"))).await?;
    stage.node.stop().await?;
    stage.node = node;
    let nobody = Client::nobody(stage.node.http())?;
    let printed = stage.node.command(&["invite", "--role", "member"]).await?;
    ensure!(printed.status.success(), "{printed:?}");
    let link = printed.stdout.trim().to_owned();
    let (session, stages) = asked(nobody.post(REGISTER, &wish("ann", &Value::Null)).await)?;
    ensure!(stages == ["m.login.registration_token"], "{stages:?}");
    let path = page_of("m.login.registration_token", &session);
    let seen = open(stage, &path).await?;
    ensure!(seen.text.contains("name=\"token\""), "{}", seen.text);
    for wrong in ["", "winv_of_nobody", "\"><script>alert(1)</script>", &"x".repeat(2_000)] {
        let page = send(stage, &path, &[("token", wrong)]).await?;
        ensure!(page.status == 403 && page.text.contains("unknown, used up or over"), "{wrong}");
        ensure!(!page.text.contains("<script"), "{}", page.text);
    }
    let auth = with(&session);
    asked(nobody.post(REGISTER, &wish("ann", &auth)).await).context("a wrong one was taken")?;
    // Another stage than the one that is wanted here has no page.
    for other in ["m.login.dummy", "m.login.email.identity"] {
        ensure!(send(stage, &page_of(other, &session), &[]).await?.status == 404, "{other}");
    }
    // The whole link is as good as its last part.
    is_done(&send(stage, &path, &[("token", &link)]).await?)?;
    let made = nobody.post(REGISTER, &wish("ann", &auth)).await?;
    ensure!(made["user_id"] == "@ann:t.test", "{made}");
    // The invitation was good for one.
    let (next, _) = asked(nobody.post(REGISTER, &wish("bea", &auth)).await)?;
    let page =
        send(stage, &page_of("m.login.registration_token", &next), &[("token", &link)]).await?;
    ensure!(page.status == 403, "{}", page.text);
    Ok(())
}

async fn an_address_is_proven_on_the_page(stage: &mut Stage) -> Result<()> {
    let Some(mut mailbox) = Mailbox::open(stage).await? else { return Ok(()) };
    let nobody = Client::nobody(stage.node.http())?;
    let (session, stages) = asked(nobody.post(REGISTER, &wish("ann", &Value::Null)).await)?;
    ensure!(stages == ["m.login.dummy", "m.login.email.identity"], "{stages:?}");
    let path = page_of("m.login.email.identity", &session);
    ensure!(open(stage, &path).await?.text.contains("name=\"email\""));
    for wrong in ["", "nobody", "a@b@c", &format!("{}@mail.test", "x".repeat(3_000))] {
        let page = send(stage, &path, &[("email", wrong)]).await?;
        ensure!(page.status == 403 && page.text.contains("no address"), "{wrong}: {}", page.text);
    }
    let sent = send(stage, &path, &[("email", "ann@mail.test")]).await?;
    ensure!(sent.status == 200 && sent.text.contains("ann@mail.test"), "{}", sent.text);
    let sid = sent.text.split_once("name=\"sid\" value=\"").context("an id")?.1;
    let sid = sid.split('"').next().unwrap_or_default();
    let answer = [("email", "ann@mail.test"), ("sid", sid)];
    let early = send(stage, &path, &answer).await?;
    ensure!(early.status == 403 && early.text.contains("not confirmed yet"), "{}", early.text);
    let link = mailbox.link("ann@mail.test").await?;
    let confirmed = reqwest::Client::new().post(stage.node.http().join(&link)?).send().await?;
    ensure!(confirmed.status().is_success(), "{confirmed:?}");
    // It was proven for this session: another one has no part in it.
    let (other, _) = asked(nobody.post(REGISTER, &wish("eve", &Value::Null)).await)?;
    let stolen = send(stage, &page_of("m.login.email.identity", &other), &answer).await?;
    ensure!(stolen.status == 403, "{}", stolen.text);
    is_done(&send(stage, &path, &answer).await?)?;
    let made = nobody.post(REGISTER, &wish("ann", &with(&session))).await?;
    let ann = nobody.signed_in(&made)?;
    let addresses = ann.get("/_matrix/client/v3/account/3pid").await?;
    ensure!(addresses["threepids"][0]["address"] == "ann@mail.test", "{addresses}");
    // An address that is somebody's is told.
    let taken = send(stage, &page_of("m.login.email.identity", &other), &answer[..1]).await?;
    ensure!(taken.status == 403 && taken.text.contains("belongs to an account"), "{}", taken.text);
    Ok(())
}

async fn pages_of_registration_refuse_what_nobody_waits_for(stage: &mut Stage) -> Result<()> {
    let nobody = Client::nobody(stage.node.http())?;
    let (session, _) = asked(nobody.post(REGISTER, &wish("ann", &Value::Null)).await)?;
    let (body, seal) = session.rsplit_once('.').context("a seal")?;
    let (random, end) = body.split_once('.').context("an end")?;
    for unknown in [
        "any".to_owned(),
        format!("{random}.9{end}.{seal}"),
        format!("{body}."),
        format!("{session}x"),
        "<script>".to_owned(),
        "x".repeat(6_000),
    ] {
        let path = page_of("m.login.dummy", &unknown);
        for page in [open(stage, &path).await?, send(stage, &path, &[]).await?] {
            ensure!(page.status == 403 && page.text.contains("over"), "{unknown}: {}", page.text);
            ensure!(!page.text.contains("<script") && !page.text.contains("onAuthDone"));
        }
        let (new, _) = asked(nobody.post(REGISTER, &wish("ann", &with(&unknown))).await)?;
        ensure!(new != unknown, "a session of nobody's goes on");
    }
    // What the node does not ask for has no page, nor has a session that is missing.
    for wrong in ["m.login.registration_token", "m.login.email.identity", "m.login.terms"] {
        ensure!(open(stage, &page_of(wrong, &session)).await?.status == 404, "{wrong}");
        ensure!(send(stage, &page_of(wrong, &session), &[]).await?.status == 404, "{wrong}");
    }
    let bare = "/_matrix/client/v3/auth/m.login.dummy/fallback/web";
    ensure!(open(stage, bare).await?.status == 400 && send(stage, bare, &[]).await?.status == 400);
    // The pages on which people confirm take no form.
    ensure!(send(stage, &page_of("m.login.sso", &session), &[]).await?.status == 404);

    // Whoever guesses is told to wait.
    let node = stage.other("l", |it| it.without("--no-rate-limit")).await?;
    stage.node.stop().await?;
    stage.node = node;
    let nobody = Client::nobody(stage.node.http())?;
    let (session, _) = asked(nobody.post(REGISTER, &wish("ann", &Value::Null)).await)?;
    let path = page_of("m.login.dummy", &session);
    for _ in 0..200 {
        let page = send(stage, &path, &[]).await?;
        if page.status == 429 {
            return Ok(());
        }
        ensure!(page.status == 200, "{}", page.text);
    }
    anyhow::bail!("nobody was told to wait")
}
