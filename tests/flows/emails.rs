//! Addresses of e-mail: proven by a mail that a real server takes, and what a proof is good for.

use std::{env, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};
use wayside_tests::{CallError, Client, PASSWORD, package_folder, skip};

use crate::stage::{Deeds, Stage, refused, stories};

stories! {
    an_address_is_added_and_signed_in_with;
    a_forgotten_password_is_set_anew;
    an_account_is_made_with_an_address;
    mails_are_bounded_and_not_sent_twice;
    mails_speak_as_their_reader_does;
}

const C: &str = "/_matrix/client/v3";
const NEW: &str = "a new and long enough password";
/// The longest that a mail may take.
const SENT: Duration = Duration::from_secs(20);

/// A mail server, and what it is handed.
pub(crate) struct Mailbox {
    pub(crate) port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    /// Ends with the story.
    _server: Child,
}

impl Mailbox {
    /// Opens one; nothing where there is no Python.
    pub(crate) async fn listen() -> Result<Option<Self>> {
        let Some(python) = env::var_os("WAYSIDE_PYTHON") else {
            skip("WAYSIDE_PYTHON is not set (make test sets it)")?;
            return Ok(None);
        };
        let mut server = Command::new(python)
            .arg(package_folder().join("flows/mailbox.py"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting the mail server")?;
        let stdout = server.stdout.take().context("it has a standard output")?;
        let lines = BufReader::new(stdout).lines();
        let mut mailbox = Self { port: 0, lines, _server: server };
        let port = mailbox.mail().await?["port"].as_u64().context("it tells its port")?;
        mailbox.port = port.try_into()?;
        Ok(Some(mailbox))
    }

    /// The same, and puts the stage on a node that hands its mail there.
    pub(crate) async fn open(stage: &mut Stage) -> Result<Option<Self>> {
        let Some(mailbox) = Self::listen().await? else { return Ok(None) };
        stage.node.stop().await?;
        let url = format!("smtp://127.0.0.1:{}", mailbox.port);
        stage.node = stage
            .other("m", |it| {
                it.flag("--smtp", Some(&url)).flag("--mail-from", Some("Node <node@m.test>"))
            })
            .await?;
        Ok(Some(mailbox))
    }

    /// The next mail.
    pub(crate) async fn mail(&mut self) -> Result<Value> {
        let line = timeout(SENT, self.lines.next_line()).await.context("no mail comes")??;
        Ok(serde_json::from_str(&line.context("the mail server has ended")?)?)
    }

    /// The path of the link in the next mail, which must be to this address.
    pub(crate) async fn link(&mut self, to: &str) -> Result<String> {
        let mail = self.mail().await?;
        ensure!(mail["to"] == json!([to]), "{mail}");
        ensure!(mail["from"] == "Node <node@m.test>", "{mail}");
        ensure!(mail["subject"].as_str().is_some_and(|it| it.contains("m.test")), "{mail}");
        let text = mail["text"].as_str().context("a text")?;
        let at = text.find("/confirm/").with_context(|| format!("no link in {text}"))?;
        let link = text[at..].split_whitespace().next().unwrap_or_default();
        Ok(link.to_owned())
    }
}

/// Asks for a proof as a page does whose browser asks for German; gives the mail.
async fn asked_in_german(
    stage: &Stage,
    mailbox: &mut Mailbox,
    what: &str,
    address: &str,
) -> Result<Value> {
    let url = stage.node.http().join(&format!("{C}/{what}/email/requestToken"))?;
    let body = json!({ "client_secret": "german", "email": address, "send_attempt": 1 });
    let asked = reqwest::Client::new().post(url).header("accept-language", "de-DE,de;q=0.9");
    let answer = asked.body(body.to_string()).send().await?;
    ensure!(answer.status().is_success(), "{answer:?}");
    mailbox.mail().await
}

/// What the page says to somebody whose browser asks for German.
async fn german(stage: &Stage, link: &str) -> Result<String> {
    let asked = reqwest::Client::new().get(stage.node.http().join(link)?);
    let answer = asked.header("accept-language", "de-DE,de;q=0.9,en;q=0.8").send().await?;
    Ok(answer.text().await?)
}

/// Opens the link as a browser does; with `confirms`, presses the button too.
async fn visit(stage: &Stage, link: &str, confirms: bool) -> Result<(u16, String)> {
    let url = stage.node.http().join(link)?;
    let http = reqwest::Client::new();
    let request = if confirms { http.post(url) } else { http.get(url) };
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    Ok((status, answer.text().await?))
}

async fn ask(
    client: &Client,
    what: &str,
    secret: &str,
    address: &str,
    attempt: u32,
) -> Result<String, CallError> {
    let body = json!({ "client_secret": secret, "email": address, "send_attempt": attempt });
    let answer = client.post(&format!("{C}/{what}/email/requestToken"), &body).await?;
    Ok(answer["sid"].as_str().unwrap_or_default().to_owned())
}

fn password_of(person: &Client) -> Value {
    json!({
        "type": "m.login.password", "password": PASSWORD,
        "identifier": { "type": "m.id.user", "user": person.id() },
    })
}

fn by_mail(sid: &str, secret: &str) -> Value {
    json!({
        "type": "m.login.email.identity",
        "threepid_creds": { "sid": sid, "client_secret": secret },
    })
}

async fn login(stage: &Stage, address: &str, password: &str) -> Result<Value, CallError> {
    let body = json!({
        "type": "m.login.password", "password": password,
        "identifier": { "type": "m.id.thirdparty", "medium": "email", "address": address },
    });
    let nobody = Client::nobody(stage.node.http()).expect("a client can be made");
    nobody.post(&format!("{C}/login"), &body).await
}

/// Gives somebody an address.
async fn give(stage: &Stage, mailbox: &mut Mailbox, person: &Client, address: &str) -> Result<()> {
    let sid = ask(person, "account/3pid", "give", address, 1).await?;
    let link = mailbox.link(address).await?;
    ensure!(visit(stage, &link, true).await?.0 == 200);
    let body = json!({ "sid": sid, "client_secret": "give", "auth": password_of(person) });
    person.post(&format!("{C}/account/3pid/add"), &body).await?;
    Ok(())
}

async fn addresses(person: &Client) -> Result<Vec<Value>> {
    let answer = person.get(&format!("{C}/account/3pid")).await?;
    Ok(answer["threepids"].as_array().context("a list")?.clone())
}

// Operations: getAccount3PIDs, add3PID, delete3pidFromAccount, requestTokenTo3PIDEmail.
async fn an_address_is_added_and_signed_in_with(stage: &mut Stage) -> Result<()> {
    let Some(mut mailbox) = Mailbox::open(stage).await? else { return Ok(()) };
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let can = ann.get(&format!("{C}/capabilities")).await?;
    ensure!(can["capabilities"]["m.3pid_changes"]["enabled"] == true, "{can}");
    let sid = ask(&ann, "account/3pid", "s3cret", "Ann@Mail.test", 1).await?;
    let link = mailbox.link("Ann@Mail.test").await?;
    let add = format!("{C}/account/3pid/add");
    let mut body = json!({ "sid": sid, "client_secret": "s3cret", "auth": password_of(&ann) });
    // Opening the link proves nothing: there are machines that do. Nor does guessing at it.
    let (status, page) = visit(stage, &link, false).await?;
    ensure!(status == 200 && page.contains("ann@mail.test") && page.contains("<form"), "{page}");
    ensure!(visit(stage, &format!("{link}x"), true).await?.0 == 404);
    ensure!(visit(stage, &format!("/confirm/{sid}/guess"), true).await?.0 == 404);
    refused(ann.post(&add, &body).await, 400, "M_THREEPID_AUTH_FAILED")?;
    ensure!(visit(stage, &link, true).await?.0 == 200);
    // It is good for whoever asked for it, with their secret, and after they showed their password.
    body["client_secret"] = "other".into();
    refused(ann.post(&add, &body).await, 400, "M_THREEPID_AUTH_FAILED")?;
    body["client_secret"] = "s3cret".into();
    let auth = body.as_object_mut().and_then(|it| it.remove("auth")).context("the password")?;
    let unproven = ann.post(&add, &body).await;
    let asked =
        matches!(&unproven, Err(CallError::Refused { status, .. }) if status.as_u16() == 401);
    ensure!(asked, "{unproven:?}");
    body["auth"] = auth;
    ann.post(&add, &body).await?;
    refused(ann.post(&add, &body).await, 400, "M_THREEPID_AUTH_FAILED")?;
    let listed = addresses(&ann).await?;
    ensure!(listed.len() == 1 && listed[0]["medium"] == "email", "{listed:?}");
    ensure!(listed[0]["address"] == "ann@mail.test", "{listed:?}");
    ensure!(listed[0]["validated_at"].is_i64() && listed[0]["added_at"].is_i64(), "{listed:?}");
    // An address is one person's.
    for what in ["account/3pid", "register"] {
        refused(ask(&bob, what, "s", "ANN@mail.test", 1).await, 400, "M_THREEPID_IN_USE")?;
    }
    stage.restart().await?;
    let (ann, bob) = (ann.at(stage.node.http()), bob.at(stage.node.http()));
    ensure!(login(stage, "ANN@mail.TEST", PASSWORD).await?["user_id"] == ann.id());
    refused(login(stage, "ann@mail.test", "wrong").await, 403, "M_FORBIDDEN")?;
    refused(login(stage, "bob@mail.test", PASSWORD).await, 403, "M_FORBIDDEN")?;
    let gone = json!({ "medium": "email", "address": "ann@mail.test" });
    let delete = format!("{C}/account/3pid/delete");
    bob.post(&delete, &gone).await?;
    ensure!(addresses(&ann).await?.len() == 1, "somebody else's stays");
    let answer = ann.post(&delete, &gone).await?;
    ensure!(answer["id_server_unbind_result"] == "no-support", "{answer}");
    ensure!(addresses(&ann).await?.is_empty());
    refused(login(stage, "ann@mail.test", PASSWORD).await, 403, "M_FORBIDDEN")
}

// Operations: requestTokenToResetPasswordEmail.
async fn a_forgotten_password_is_set_anew(stage: &mut Stage) -> Result<()> {
    let Some(mut mailbox) = Mailbox::open(stage).await? else { return Ok(()) };
    let ann = stage.person("ann").await?;
    give(stage, &mut mailbox, &ann, "ann@mail.test").await?;
    let nobody = Client::nobody(stage.node.http())?;
    // Whose an address is, or nobody's, is answered alike; the next mail is to who has one.
    let none = ask(&nobody, "account/password", "s", "none@mail.test", 1).await?;
    let sid = ask(&nobody, "account/password", "s", "ann@mail.test", 1).await?;
    ensure!(none.len() == sid.len() && none != sid, "{none} {sid}");
    let link = mailbox.link("ann@mail.test").await?;
    let path = format!("{C}/account/password");
    let body = json!({ "new_password": NEW, "auth": by_mail(&sid, "s") });
    let asks = async |body: &Value| -> Result<Value> {
        match nobody.post(&path, body).await {
            Err(CallError::Refused { status, body, .. }) if status.as_u16() == 401 => Ok(body),
            other => anyhow::bail!("wanted 401, got {other:?}"),
        }
    };
    let told = asks(&json!({ "new_password": NEW })).await?;
    ensure!(told["flows"] == json!([{ "stages": ["m.login.email.identity"] }]), "{told}");
    ensure!(asks(&body).await?["errcode"] == "M_FORBIDDEN", "it is not confirmed yet");
    let (_, page) = visit(stage, &link, false).await?;
    ensure!(page.contains("set a new password"), "whoever confirms is told what: {page}");
    let page = german(stage, &link).await?;
    ensure!(page.contains("<html lang=\"de\">") && page.contains("ann@mail.test"), "{page}");
    ensure!(page.contains("ein neues Passwort für dein Konto zu setzen"), "{page}");
    ensure!(visit(stage, &link, true).await?.0 == 200);
    // A proof for one thing is good for no other.
    let add = json!({ "sid": sid, "client_secret": "s", "auth": password_of(&ann) });
    let added = ann.post(&format!("{C}/account/3pid/add"), &add).await;
    refused(added, 400, "M_THREEPID_AUTH_FAILED")?;
    let weak = json!({ "new_password": "1", "auth": by_mail(&sid, "s") });
    refused(nobody.post(&path, &weak).await, 400, "M_WEAK_PASSWORD")?;
    nobody.post(&path, &body).await?;
    ensure!(asks(&body).await?["errcode"] == "M_FORBIDDEN", "it was used");
    // All devices were signed out, and only the new password is good.
    refused(ann.get(&format!("{C}/account/whoami")).await, 401, "M_UNKNOWN_TOKEN")?;
    refused(login(stage, "ann@mail.test", PASSWORD).await, 403, "M_FORBIDDEN")?;
    ensure!(login(stage, "ann@mail.test", NEW).await?["user_id"] == ann.id());
    Ok(())
}

// Operations: requestTokenToRegisterEmail.
async fn an_account_is_made_with_an_address(stage: &mut Stage) -> Result<()> {
    let Some(mut mailbox) = Mailbox::open(stage).await? else { return Ok(()) };
    let nobody = Client::nobody(stage.node.http())?;
    let register = format!("{C}/register");
    let told = match nobody.post(&register, &json!({ "username": "ann" })).await {
        Err(CallError::Refused { status, body, .. }) if status.as_u16() == 401 => body,
        other => anyhow::bail!("wanted 401, got {other:?}"),
    };
    let flow = |stage: &str| json!({ "stages": [stage] });
    let flows = json!([flow("m.login.dummy"), flow("m.login.email.identity")]);
    ensure!(told["flows"] == flows, "{told}");
    let sid = ask(&nobody, "register", "s", "ann@mail.test", 1).await?;
    let link = mailbox.link("ann@mail.test").await?;
    let wish = json!({ "username": "ann", "password": PASSWORD, "auth": by_mail(&sid, "s") });
    let early = nobody.post(&register, &wish).await;
    let asked = matches!(&early, Err(CallError::Refused { status, .. }) if status.as_u16() == 401);
    ensure!(asked, "{early:?}");
    ensure!(visit(stage, &link, true).await?.0 == 200);
    let ann = nobody.clone().signed_in(&nobody.post(&register, &wish).await?)?;
    ensure!(addresses(&ann).await?[0]["address"] == "ann@mail.test");
    ensure!(login(stage, "ann@mail.test", PASSWORD).await?["user_id"] == ann.id());
    // On the page on which people let programs in, it is a name like the other.
    let on = |user: &str| {
        let proof = json!({ "user": user, "password": PASSWORD });
        json!({ "what": { "sso": "https://client.example/" }, "proof": proof })
    };
    let page = "/_wayside/v1/sign-in";
    let back = nobody.post(page, &on(" ann@mail.test ")).await?["location"].to_string();
    let (_, token) = back.trim_matches('"').split_once("loginToken=").context("a token")?;
    let opened = nobody
        .post(&format!("{C}/login"), &json!({ "type": "m.login.token", "token": token }))
        .await?;
    ensure!(opened["user_id"] == ann.id(), "{opened}");
    for nobodys in ["bob@mail.test", "ann@", "ann@mail.test@mail.test"] {
        refused(nobody.post(page, &on(nobodys)).await, 403, "M_FORBIDDEN")?;
    }
    // With the account goes its address, which is free for another.
    let end = json!({ "auth": password_of(&ann) });
    ann.post(&format!("{C}/account/deactivate"), &end).await?;
    refused(login(stage, "ann@mail.test", PASSWORD).await, 403, "M_FORBIDDEN")?;
    let bob = stage.person("bob").await?;
    give(stage, &mut mailbox, &bob, "ann@mail.test").await?;
    ensure!(login(stage, "ann@mail.test", PASSWORD).await?["user_id"] == bob.id());
    Ok(())
}

async fn mails_speak_as_their_reader_does(stage: &mut Stage) -> Result<()> {
    let Some(mut mailbox) = Mailbox::open(stage).await? else { return Ok(()) };
    let ann = stage.person("ann").await?;
    give(stage, &mut mailbox, &ann, "ann@mail.test").await?;
    for (what, address, asked) in [
        ("register", "bea@mail.test", "ein Konto mit dieser Adresse anzulegen"),
        ("account/password", "ann@mail.test", "ein neues Passwort für dein Konto zu setzen"),
    ] {
        let mail = asked_in_german(stage, &mut mailbox, what, address).await?;
        let told = |part: &str| mail[part].as_str().unwrap_or_default().to_owned();
        ensure!(told("subject") == "Bestätige deine Adresse für m.test", "{mail}");
        ensure!(told("text").contains(asked) && told("text").contains("/confirm/"), "{mail}");
        ensure!(!told("text").contains("open this page"), "{mail}");
    }
    // Whoever says no language, or none that is known, reads English.
    let nobody = Client::nobody(stage.node.http())?;
    ask(&nobody, "register", "s", "eve@mail.test", 1).await?;
    let mail = mailbox.mail().await?;
    ensure!(mail["text"].as_str().is_some_and(|it| it.contains("open this page")), "{mail}");
    Ok(())
}

async fn mails_are_bounded_and_not_sent_twice(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let unsupported = "M_THREEPID_MEDIUM_NOT_SUPPORTED";
    for what in ["account/3pid", "register", "account/password"] {
        refused(ask(&ann, what, "s", "ann@mail.test", 1).await, 400, unsupported)?;
    }
    let Some(mut mailbox) = Mailbox::open(stage).await? else { return Ok(()) };
    let ann = stage.person("ann").await?;
    let what = "account/3pid";
    let sid = ask(&ann, what, "s", "ann@mail.test", 1).await?;
    let first = mailbox.link("ann@mail.test").await?;
    ensure!(ask(&ann, what, "s", "ann@mail.test", 1).await? == sid, "the same attempt");
    ensure!(ask(&ann, what, "s", "ann@mail.test", 2).await? == sid, "a further attempt");
    let second = mailbox.link("ann@mail.test").await?;
    ensure!(first != second && visit(stage, &first, true).await?.0 == 404, "the newest counts");
    ensure!(ask(&ann, what, "other", "ann@mail.test", 1).await? != sid, "another client");
    mailbox.link("ann@mail.test").await?;
    for secret in ["more", "yet more"] {
        ask(&ann, "account/password", &secret.replace(' ', "-"), "ann@mail.test", 1).await?;
    }
    // Five mails to one address are enough, also where nobody is helped by them.
    for what in ["account/3pid", "register", "account/password"] {
        let more = ask(&ann, what, "and-more", "ann@mail.test", 1).await;
        refused(more, 429, "M_LIMIT_EXCEEDED")?;
    }
    // What the server did not take was not sent, and is tried again by the same attempt.
    for _ in 0..2 {
        refused(ask(&ann, what, "s", "refused@mail.test", 1).await, 502, "M_UNKNOWN")?;
    }
    for wrong in ["", "ann", "ann@", "a@b.test\r\nBcc: c@d.test", "a b@c.test"] {
        refused(ask(&ann, what, "s", wrong, 1).await, 400, "M_INVALID_PARAM")?;
    }
    Ok(())
}
