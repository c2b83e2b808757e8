//! Accounts: how people come in, on which devices they are, and how they go.

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, Node, PASSWORD};

use crate::stage::{Deeds, Ear, Stage, escaped, list, part, refused, stories};

stories! {
    an_open_node_takes_everybody;
    invitations_open_a_node_that_asks_for_them;
    a_guest_stays;
    a_guest_stays_by_invitation_where_one_is_needed;
    a_login_names_its_person_in_many_ways;
    devices_come_and_go;
    older_clients_prove_who_they_are;
    a_password_is_changed_by_who_knows_it;
    a_link_of_the_operator_gives_a_new_password;
    a_role_and_a_password_changed_at_once_both_stay;
    an_account_ends_for_ever;
    a_node_says_what_it_is;
}

const REGISTER: &str = "/_matrix/client/v3/register";
const LOGIN: &str = "/_matrix/client/v3/login";
const WHO: &str = "/_matrix/client/v3/account/whoami";

/// The body of a 401 that asks for a proof.
fn asked_for<T: std::fmt::Debug>(answer: Result<T, CallError>, stage: &str) -> Result<Value> {
    let Err(CallError::Refused { status, body, .. }) = answer else {
        anyhow::bail!("wanted a question for a proof, got {answer:?}");
    };
    let mut flows = vec![json!({"stages": [stage]})];
    if stage == "m.login.password" {
        // Whoever has a password may show it on the node's own page as well.
        flows.push(json!({"stages": ["m.login.sso"]}));
    }
    let right = body["flows"] == json!(flows);
    ensure!(status == StatusCode::UNAUTHORIZED && right, "{status} {body}");
    ensure!(body["session"].is_string() && body["params"].is_object(), "{body}");
    Ok(body)
}

/// The body of a login or registration with the token that it gave.
async fn enter(node: &Node, path: &str, body: &Value) -> Result<(Client, Value), CallError> {
    let nobody = Client::nobody(node.http()).expect("a client can be made");
    let answer = nobody.post(path, body).await?;
    let client = nobody.signed_in(&answer).expect("the answer holds a session");
    Ok((client, answer))
}

// Operations: getTokenOwner, register, checkUsernameAvailability.
async fn an_open_node_takes_everybody(stage: &mut Stage) -> Result<()> {
    let nobody = Client::nobody(stage.node.http())?;
    let mut wish = json!({"username": "ann", "password": PASSWORD, "device_id": "PHONE", "initial_device_display_name": "My phone"});
    let asked = asked_for(nobody.post(REGISTER, &wish).await, "m.login.dummy")?;
    wish["auth"] = json!({"session": asked["session"]});
    asked_for(nobody.post(REGISTER, &wish).await, "m.login.dummy")?;
    wish["auth"] = json!({"type": "m.login.dummy", "session": asked["session"]});
    let (ann, answer) = enter(&stage.node, REGISTER, &wish).await?;
    ensure!(answer["user_id"] == "@ann:a.test" && answer["device_id"] == "PHONE", "{answer}");
    ensure!(ann.get("/_matrix/client/v3/devices/PHONE").await?["display_name"] == "My phone");
    ensure!(
        ann.get(WHO).await?
            == json!({"user_id": "@ann:a.test", "device_id": "PHONE", "is_guest": false})
    );

    let dummy = json!({"type": "m.login.dummy"});
    let quiet = nobody
        .post(
            REGISTER,
            &json!({"username": "bob", "password": PASSWORD, "inhibit_login": true, "auth": dummy}),
        )
        .await?;
    ensure!(quiet["user_id"] == "@bob:a.test" && quiet.get("access_token").is_none(), "{quiet}");
    let (_, named) =
        enter(&stage.node, REGISTER, &json!({"password": PASSWORD, "auth": dummy})).await?;
    ensure!(named["user_id"].as_str().is_some_and(|it| it.ends_with(":a.test")), "{named}");
    let cases = [
        (json!({"username": "ann", "password": PASSWORD}), "M_USER_IN_USE"),
        (json!({"username": "ann", "password": PASSWORD, "auth": dummy}), "M_USER_IN_USE"),
        (json!({"username": "Ann Lee", "password": PASSWORD}), "M_INVALID_USERNAME"),
        (json!({"username": "_kept", "password": PASSWORD}), "M_INVALID_USERNAME"),
        (json!({"username": "cat", "password": "x", "auth": dummy}), "M_WEAK_PASSWORD"),
        (json!({"username": "cat", "auth": dummy}), "M_MISSING_PARAM"),
        (json!({"username": 7, "auth": dummy}), "M_BAD_JSON"),
    ];
    for (wish, code) in cases {
        refused(nobody.post(REGISTER, &wish).await, 400, code).with_context(|| wish.to_string())?;
    }
    let available = |name: &str| format!("{REGISTER}/available?username={name}");
    ensure!(nobody.get(&available("free")).await?["available"] == true);
    refused(nobody.get(&available("ann")).await, 400, "M_USER_IN_USE")?;
    refused(nobody.get(&available("A%20B")).await, 400, "M_INVALID_USERNAME")
}

/// The invitation in what a node says at its first start.
fn first_link(log: &str) -> Result<&str> {
    let link = log.split("/join/").nth(1).and_then(|rest| rest.split_whitespace().next());
    link.context("the node shows a link for its first operator")
}

// Operations: registrationTokenValidity.
async fn invitations_open_a_node_that_asks_for_them(stage: &mut Stage) -> Result<()> {
    let mut node =
        stage.other("b", |options| options.flag("--registration", Some("token"))).await?;
    let mut closed =
        stage.other("c", |options| options.flag("--registration", Some("closed"))).await?;
    let nobody = Client::nobody(node.http())?;
    let wish =
        |name: &str, auth: Value| json!({"username": name, "password": PASSWORD, "auth": auth});
    let token = |text: &str| json!({"type": "m.login.registration_token", "token": text});
    let stage_name = "m.login.registration_token";
    asked_for(nobody.post(REGISTER, &json!({"username": "ann"})).await, stage_name)?;
    asked_for(
        nobody.post(REGISTER, &wish("ann", json!({"type": "m.login.dummy"}))).await,
        stage_name,
    )?;
    let wrong =
        asked_for(nobody.post(REGISTER, &wish("ann", token("nonsense"))).await, stage_name)?;
    ensure!(wrong["errcode"] == "M_FORBIDDEN", "{wrong}");
    let guest = format!("{REGISTER}?kind=guest");
    refused(nobody.post(&guest, &json!({})).await, 403, "M_FORBIDDEN")?;
    let none = Client::nobody(closed.http())?;
    refused(none.post(REGISTER, &json!({"username": "ann"})).await, 403, "M_FORBIDDEN")?;
    refused(
        none.post(REGISTER, &wish("ann", json!({"type": "m.login.dummy"}))).await,
        403,
        "M_FORBIDDEN",
    )?;
    refused(none.post(&guest, &json!({})).await, 403, "M_FORBIDDEN")?;
    // The first operator comes by the link that the node shows at its first start, also to a closed
    // node, where nobody else can be let in by a person.
    let log = closed.log();
    let (root, _) = enter(&closed, REGISTER, &wish("root", token(first_link(&log)?))).await?;
    let made = root.post("/_wayside/v1/invitations", &json!({"role": "member"})).await;
    refused(made, 403, "M_FORBIDDEN")?;
    closed.stop().await?;

    let log = node.log();
    let first = first_link(&log)?;
    let valid = |text: &str| {
        format!("/_matrix/client/v1/register/m.login.registration_token/validity?token={text}")
    };
    ensure!(nobody.get(&valid(first)).await?["valid"] == true);
    let (root, _) = enter(&node, REGISTER, &wish("root", token(first))).await?;
    ensure!(nobody.get(&valid(first)).await?["valid"] == false);
    asked_for(nobody.post(REGISTER, &wish("second", token(first))).await, stage_name)?;

    let invite = "/_wayside/v1/invitations";
    let mut people = vec![(root, "operator")];
    for role in ["moderator", "member"] {
        let made = people[0].0.post(invite, &json!({"role": role, "uses": 1})).await?;
        let text = made["invitation"].as_str().context("an invitation")?;
        ensure!(made["link"].as_str().is_some_and(|link| link.ends_with(text)), "{made}");
        people.push((enter(&node, REGISTER, &wish(role, token(text))).await?.0, role));
    }
    let may = |who: &str, whom: &str| match who {
        "operator" => true,
        "moderator" => matches!(whom, "member" | "guest"),
        _ => whom == "guest",
    };
    for (who, role) in &people {
        for whom in ["operator", "moderator", "member", "guest"] {
            let answer = who.post(invite, &json!({"role": whom})).await;
            if may(role, whom) {
                answer.with_context(|| format!("{role} invites {whom}"))?;
            } else {
                refused(answer, 403, "M_FORBIDDEN")?;
            }
        }
    }
    let root = &people[0].0;
    for (body, code) in [
        (json!({"role": "king"}), "M_BAD_JSON"),
        (json!({"role": "guest", "uses": 0}), "M_INVALID_PARAM"),
        (json!({"role": "guest", "lasts_ms": -1}), "M_INVALID_PARAM"),
    ] {
        refused(root.post(invite, &body).await, 400, code)?;
    }
    let link = root.post(invite, &json!({"role": "guest", "uses": 2})).await?["invitation"].clone();
    let shown = json!({"auth": token(link.as_str().context("a link")?)});
    let (visitor, _) = enter(&node, &guest, &shown).await?;
    refused(
        nobody.post(REGISTER, &wish("cheat", shown["auth"].clone())).await,
        403,
        "M_FORBIDDEN",
    )?;
    refused(
        visitor.post(invite, &json!({"role": "guest"})).await,
        403,
        "M_GUEST_ACCESS_FORBIDDEN",
    )?;
    refused(
        visitor.post("/_wayside/v1/account/keep", &json!({"password": PASSWORD})).await,
        403,
        "M_FORBIDDEN",
    )?;
    node.stop().await?;
    Ok(())
}

async fn a_guest_stays(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&json!({"initial_state": [{"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}], "preset": "public_chat"})).await?;
    let guest = Client::guest(stage.node.http()).await?;
    ensure!(guest.get(WHO).await?["is_guest"] == true);
    let wish = json!({
        "username": "own", "password": PASSWORD, "device_id": "MINE", "inhibit_login": true,
        "initial_device_display_name": "A browser",
    });
    let (visitor, answer) = enter(&stage.node, &format!("{REGISTER}?kind=guest"), &wish).await?;
    ensure!(visitor.id().starts_with("@guest-") && answer["device_id"] != "MINE", "{answer}");
    let devices = list(&visitor.get("/_matrix/client/v3/devices").await?["devices"]);
    ensure!(devices.len() == 1 && devices[0]["display_name"] == "A browser", "{devices:?}");
    refused(
        Client::nobody(stage.node.http())?
            .post(
                LOGIN,
                &json!({"type": "m.login.password", "user": visitor.id(), "password": PASSWORD}),
            )
            .await,
        403,
        "M_FORBIDDEN",
    )?;
    guest.join(&room).await?;
    let keep = "/_wayside/v1/account/keep";
    refused(guest.post(keep, &json!({"password": "x"})).await, 400, "M_WEAK_PASSWORD")?;
    guest.post(keep, &json!({"password": PASSWORD})).await?;
    ensure!(guest.get(WHO).await?["is_guest"] == false);
    guest.say(&room, "I stay").await?;
    guest.create_room(&json!({})).await?;
    let again = Client::login(stage.node.http(), guest.id()).await?;
    ensure!(again.id() == guest.id());
    refused(guest.post(keep, &json!({"password": PASSWORD})).await, 400, "M_INVALID_PARAM")
}

async fn a_guest_stays_by_invitation_where_one_is_needed(stage: &mut Stage) -> Result<()> {
    let mut node =
        stage.other("b", |options| options.flag("--registration", Some("token"))).await?;
    let shown = |text: &Value| json!({"type": "m.login.registration_token", "token": text});
    let invited = async |who: &Client, role: &str| -> Result<Value> {
        let made = who.post("/_wayside/v1/invitations", &json!({"role": role})).await?;
        Ok(made["invitation"].clone())
    };
    let first = json!(first_link(&node.log())?);
    let wish = json!({"username": "root", "password": PASSWORD, "auth": shown(&first)});
    let (root, _) = enter(&node, REGISTER, &wish).await?;
    let link = invited(&root, "guest").await?;

    // The page on which a guest comes in knows by this what the node will want of who stays.
    let wants = async |node: &Node| -> Result<Value> {
        let about = reqwest::get(node.http().join("/_wayside/v1/node")?).await?;
        Ok(about.error_for_status()?.json::<Value>().await?["registration"].clone())
    };
    ensure!(wants(&node).await? == "token" && wants(&stage.node).await? == "open");
    let text = link.as_str().context("an invitation")?;
    let role =
        Client::nobody(node.http())?.get(&format!("/_wayside/v1/invitations/{text}")).await?;
    ensure!(role["role"] == "guest", "{role}");

    let path = format!("{REGISTER}?kind=guest");
    let (guest, _) = enter(&node, &path, &json!({"auth": shown(&link)})).await?;
    let keep = "/_wayside/v1/account/keep";
    refused(guest.post(keep, &json!({"password": PASSWORD})).await, 403, "M_FORBIDDEN")?;
    let invitation = invited(&root, "member").await?;
    guest.post(keep, &json!({"password": PASSWORD, "invitation": invitation})).await?;
    let who = guest.get(WHO).await?;
    ensure!(who["is_guest"] == false && who["user_id"] == guest.id(), "{who}");
    node.stop().await?;
    Ok(())
}

// Operations: getLoginFlows, login.
async fn a_login_names_its_person_in_many_ways(stage: &mut Stage) -> Result<()> {
    stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let flows = nobody.get(LOGIN).await?;
    ensure!(flows["flows"][0] == json!({"type": "m.login.password"}), "{flows}");
    let with = |mut extra: Value, password: &str| {
        extra["type"] = "m.login.password".into();
        extra["password"] = password.into();
        extra
    };
    let name = |user: &str| json!({"identifier": {"type": "m.id.user", "user": user}});
    for who in [
        name("ann"),
        name("@ann:a.test"),
        name("Ann"),
        json!({"user": "ann"}),
        json!({"user": "@ann:a.test"}),
    ] {
        let (client, answer) = enter(&stage.node, LOGIN, &with(who, PASSWORD)).await?;
        ensure!(client.id() == "@ann:a.test" && answer["device_id"].is_string(), "{answer}");
        ensure!(answer["well_known"]["m.homeserver"]["base_url"].is_string(), "{answer}");
    }
    for who in [name("ann"), name("nobody"), name("@ann:b.test"), name("@broken")] {
        refused(nobody.post(LOGIN, &with(who, "wrong password")).await, 403, "M_FORBIDDEN")?;
    }
    let cases = [
        (json!({"type": "org.example.magic"}), "M_UNKNOWN"),
        (
            with(
                json!({"identifier": {"type": "m.id.phone", "country": "GB", "phone": "1"}}),
                PASSWORD,
            ),
            "M_UNKNOWN",
        ),
        (with(json!({}), PASSWORD), "M_MISSING_PARAM"),
        (json!({"identifier": {"type": "m.id.user", "user": "ann"}}), "M_BAD_JSON"),
        (with(json!({"device_id": "D".repeat(256), "user": "ann"}), PASSWORD), "M_INVALID_PARAM"),
    ];
    for (body, code) in cases {
        refused(nobody.post(LOGIN, &body).await, 400, code).with_context(|| body.to_string())?;
    }
    // The older paths lead to the same.
    enter(&stage.node, "/_matrix/client/r0/login", &with(name("ann"), PASSWORD)).await?;
    Ok(())
}

// Operations: deleteDevices, getDevices, deleteDevice, getDevice, updateDevice, logout,
// logout_all.
async fn devices_come_and_go(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let login = |device: &str| json!({"type": "m.login.password", "user": "ann", "password": PASSWORD, "device_id": device});
    let (tablet, _) = enter(&stage.node, LOGIN, &login("TABLET")).await?;
    let (again, _) = enter(&stage.node, LOGIN, &login("TABLET")).await?;
    refused(tablet.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    let devices = "/_matrix/client/v3/devices";
    ensure!(list(&ann.get(devices).await?["devices"]).len() == 2, "one for each device id");
    ann.put(&format!("{devices}/TABLET"), &json!({"display_name": "Tablet"})).await?;
    let shown = again.get(&format!("{devices}/TABLET")).await?;
    ensure!(shown["display_name"] == "Tablet" && shown["device_id"] == "TABLET", "{shown}");
    refused(ann.get(&format!("{devices}/NONE")).await, 404, "M_NOT_FOUND")?;
    refused(ann.put(&format!("{devices}/NONE"), &json!({})).await, 404, "M_NOT_FOUND")?;

    let remove = async |auth: Value| {
        ann.call(Method::DELETE, &format!("{devices}/TABLET"), Some(&auth)).await
    };
    asked_for(remove(json!({})).await, "m.login.password")?;
    let proof = |user: &str, password: &str| json!({"auth": {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": user}, "password": password}});
    let wrong = asked_for(remove(proof("ann", "wrong")).await, "m.login.password")?;
    ensure!(wrong["errcode"] == "M_FORBIDDEN", "{wrong}");
    stage.person("bob").await?;
    asked_for(remove(proof("bob", PASSWORD)).await, "m.login.password")?;
    remove(proof("@ann:a.test", PASSWORD)).await?;
    refused(again.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    let (one, two) = (
        enter(&stage.node, LOGIN, &login("ONE")).await?.0,
        enter(&stage.node, LOGIN, &login("TWO")).await?.0,
    );
    let mut both = proof("ann", PASSWORD);
    // However many are named, and however few of them there are.
    let mut names: Vec<String> = (0..200).map(|n| format!("NONE{n}")).collect();
    names.push("ONE".to_owned());
    both["devices"] = json!(names);
    ann.post("/_matrix/client/v3/delete_devices", &both).await?;
    refused(one.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;

    // Who waits for news while they are signed out is told nothing more.
    let mut ear = Ear::of(&two).await?;
    let news = format!("/_matrix/client/v3/user/{}/account_data/org.late", escaped(ann.id()));
    let (heard, gone) = tokio::join!(ear.next(), async {
        tokio::task::yield_now().await;
        two.post("/_matrix/client/v3/logout", &json!({})).await?;
        ann.put(&news, &json!({"secret": true})).await
    });
    gone?;
    ensure!(!heard.is_ok_and(|it| it.to_string().contains("secret")), "told after the end");
    refused(two.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    ann.get(WHO).await?;
    let (three, _) = enter(&stage.node, LOGIN, &login("THREE")).await?;
    ann.post("/_matrix/client/v3/logout/all", &json!({})).await?;
    for gone in [&ann, &three] {
        refused(gone.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    }
    let nobody = Client::nobody(stage.node.http())?;
    refused(nobody.get(WHO).await, 401, "M_MISSING_TOKEN")?;
    // A token may stand in the query too.
    let (four, _) = enter(&stage.node, LOGIN, &login("FOUR")).await?;
    nobody.get(&format!("{WHO}?access_token={}", four.session().token())).await?;
    Ok(())
}

async fn older_clients_prove_who_they_are(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let older = |user: Value, password: &str| json!({"auth": {"type": "m.login.password", "user": user, "password": password}});
    let tablet = Client::login(stage.node.http(), "ann").await?;
    let path = format!("/_matrix/client/v3/devices/{}", tablet.session().device_id);
    let remove = async |auth: Value| ann.call(Method::DELETE, &path, Some(&auth)).await;
    for wrong in [older(json!("ann"), "wrong"), older(json!(bob.id()), PASSWORD)] {
        let wrong = asked_for(remove(wrong).await, "m.login.password")?;
        ensure!(wrong["errcode"] == "M_FORBIDDEN", "{wrong}");
    }
    refused(remove(older(json!(7), PASSWORD)).await, 400, "M_BAD_JSON")?;
    tablet.get(WHO).await?;
    remove(older(json!(ann.id()), PASSWORD)).await?;
    refused(tablet.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;

    let mut change = older(json!("ann"), PASSWORD);
    change["new_password"] = "another long password".into();
    ann.post("/_matrix/client/v3/account/password", &change).await?;
    // An identifier says more than the name beside it.
    let mut end = older(json!("ann"), "another long password");
    end["auth"]["identifier"] = json!({"type": "m.id.user", "user": bob.id()});
    let path = "/_matrix/client/v3/account/deactivate";
    asked_for(ann.post(path, &end).await, "m.login.password")?;
    ann.post(path, &older(json!("ann"), "another long password")).await?;
    refused(ann.get(WHO).await, 401, "M_UNKNOWN_TOKEN")
}

// Operations: changePassword.
async fn a_password_is_changed_by_who_knows_it(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let phone = Client::login(stage.node.http(), "ann").await?;
    let path = "/_matrix/client/v3/account/password";
    let change = |new: &str, old: &str, others: bool| {
        json!({"new_password": new, "logout_devices": others,
        "auth": {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "ann"}, "password": old}})
    };
    asked_for(
        ann.post(path, &json!({"new_password": "another long password"})).await,
        "m.login.password",
    )?;
    asked_for(
        ann.post(path, &change("another long password", "wrong", true)).await,
        "m.login.password",
    )?;
    refused(ann.post(path, &change("x", PASSWORD, true)).await, 400, "M_WEAK_PASSWORD")?;
    ann.post(path, &change("another long password", PASSWORD, false)).await?;
    phone.get(WHO).await?;
    refused(
        Client::nobody(stage.node.http())?
            .post(LOGIN, &json!({"type": "m.login.password", "user": "ann", "password": PASSWORD}))
            .await,
        403,
        "M_FORBIDDEN",
    )?;
    ann.post(path, &change(PASSWORD, "another long password", true)).await?;
    ann.get(WHO).await?;
    refused(phone.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    let guest = Client::guest(stage.node.http()).await?;
    refused(
        guest.post(path, &json!({"new_password": PASSWORD})).await,
        403,
        "M_GUEST_ACCESS_FORBIDDEN",
    )
}

async fn a_link_of_the_operator_gives_a_new_password(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let printed = stage.node.command(&["user", "reset", "ann"]).await?.stdout;
    let code = printed.trim().rsplit_once("/reset/").context("a link is printed")?.1.to_owned();
    let path = format!("/_wayside/v1/resets/{code}");
    ensure!(nobody.get(&path).await? == json!({"user_id": "@ann:a.test"}));
    // A password that is none does not use the link up.
    refused(nobody.post(&path, &json!({"password": "x"})).await, 400, "M_WEAK_PASSWORD")?;
    let new = "a new one that she will remember";
    nobody.post(&path, &json!({ "password": new })).await?;
    refused(ann.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    let login = |password: &str| json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "ann"}, "password": password});
    refused(nobody.post(LOGIN, &login(PASSWORD)).await, 403, "M_FORBIDDEN")?;
    nobody.post(LOGIN, &login(new)).await?;
    refused(nobody.get(&path).await, 404, "M_NOT_FOUND")?;
    refused(nobody.post(&path, &json!({ "password": PASSWORD })).await, 404, "M_NOT_FOUND")?;
    for code in ["wres_unknown", ann.session().token()] {
        let path = format!("/_wayside/v1/resets/{code}");
        refused(nobody.get(&path).await, 404, "M_NOT_FOUND")?;
    }
    let unknown = stage.node.command(&["user", "reset", "nobody"]).await?;
    unknown.names("nobody")
}

async fn a_role_and_a_password_changed_at_once_both_stay(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let nobody = Client::nobody(stage.node.http())?;
    let mut old = PASSWORD.to_owned();
    for (round, role) in ["moderator", "operator", "member", "operator"].into_iter().enumerate() {
        let new = format!("a long password of round {round}");
        let change = json!({"new_password": new, "auth": {"type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": "ann"}, "password": old}});
        let command = ["user", "role", "ann", "--role", role];
        let (changed, given) = tokio::join!(
            ann.post("/_matrix/client/v3/account/password", &change),
            stage.node.command(&command),
        );
        changed?;
        let given = given?;
        ensure!(given.status.success(), "{}", given.stderr);
        let listed = stage.node.command(&["user", "list"]).await?.stdout;
        ensure!(listed.contains(&format!("@ann:a.test {role}\n")), "not {role}: {listed}");
        let login = |password: &str| json!({"type": "m.login.password", "user": "ann", "password": password});
        refused(nobody.post(LOGIN, &login(&old)).await, 403, "M_FORBIDDEN")?;
        nobody.post(LOGIN, &login(&new)).await?;
        old = new;
    }
    Ok(())
}

// Operations: deactivateAccount.
async fn an_account_ends_for_ever(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = bob.create_room(&json!({"preset": "public_chat"})).await?;
    let other = bob.create_room(&json!({"invite": [ann.id()]})).await?;
    ann.join(&room).await?;
    let mut ear = Ear::of(&bob).await?;
    let path = "/_matrix/client/v3/account/deactivate";
    asked_for(ann.post(path, &json!({})).await, "m.login.password")?;
    let proof = json!({"auth": {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "ann"}, "password": PASSWORD}});
    let answer = ann.post(path, &proof).await?;
    ensure!(answer["id_server_unbind_result"].is_string(), "{answer}");
    refused(ann.get(WHO).await, 401, "M_UNKNOWN_TOKEN")?;
    let nobody = Client::nobody(stage.node.http())?;
    refused(
        nobody
            .post(LOGIN, &json!({"type": "m.login.password", "user": "ann", "password": PASSWORD}))
            .await,
        403,
        "M_USER_DEACTIVATED",
    )?;
    refused(nobody.post(REGISTER, &json!({"username": "ann", "password": PASSWORD, "auth": {"type": "m.login.dummy"}})).await, 400, "M_USER_IN_USE")?;
    refused(nobody.get("/_matrix/client/v3/profile/@ann:a.test").await, 404, "M_NOT_FOUND")?;
    let answer = ear.next().await?;
    ensure!(!list(part(&answer, &room, "join/timeline")).is_empty(), "{answer}");
    for room in [&room, &other] {
        let member = bob.state(room, "m.room.member", &escaped(ann.id())).await?;
        ensure!(member["membership"] == "leave", "{member}");
    }
    Ok(())
}

// Operations: getWellknown.
async fn a_node_says_what_it_is(stage: &mut Stage) -> Result<()> {
    let nobody = Client::nobody(stage.node.http())?;
    let versions = nobody.get("/_matrix/client/versions").await?;
    let said = list(&versions["versions"]);
    ensure!(said.contains(&json!("v1.12")) && said.contains(&json!("v1.19")), "{versions}");
    for feature in ["simplified_msc3575", "e2e_cross_signing", "msc3827.stable"] {
        let told = &versions["unstable_features"][format!("org.matrix.{feature}")];
        ensure!(told == true, "{versions}");
    }
    let known = nobody.get("/.well-known/matrix/client").await?;
    ensure!(
        known["m.homeserver"]["base_url"].as_str().is_some_and(|it| it.starts_with("http")),
        "{known}"
    );
    let mut other = stage
        .other("b", |options| options.flag("--public-url", Some("https://way.example")))
        .await?;
    let known = Client::nobody(other.http())?.get("/.well-known/matrix/client").await?;
    ensure!(known["m.homeserver"]["base_url"] == "https://way.example", "{known}");
    other.stop().await?;
    refused(nobody.get("/_matrix/client/v3/capabilities").await, 401, "M_MISSING_TOKEN")?;
    let ann = stage.person("ann").await?;
    let can = &ann.get("/_matrix/client/v3/capabilities").await?["capabilities"];
    ensure!(
        can["m.room_versions"]
            == json!({"default": "12", "available": {"10": "stable", "11": "stable", "12": "stable"}}),
        "{can}"
    );
    ensure!(
        can["m.change_password"]["enabled"] == true && can["m.profile_fields"]["enabled"] == true,
        "{can}"
    );
    refused(ann.get("/_matrix/client/v3/nothing/here").await, 404, "M_UNRECOGNIZED")?;
    refused(ann.call(Method::PATCH, WHO, None).await, 405, "M_UNRECOGNIZED")?;
    refused(ann.delete(WHO).await, 405, "M_UNRECOGNIZED")?;

    // Pages of other origins may ask, and ask beforehand (client-server API, web browser clients).
    let http = reqwest::Client::new();
    for (method, path) in [
        (Method::OPTIONS, LOGIN),
        (Method::OPTIONS, "/_matrix/media/v3/upload"),
        (Method::GET, "/_matrix/client/versions"),
        (Method::GET, WHO),
        (Method::GET, "/nowhere"),
    ] {
        let answer = http
            .request(method.clone(), stage.node.http().join(path)?)
            .header("origin", "https://client.example")
            .send()
            .await?;
        let header = |name: &str| {
            answer
                .headers()
                .get(name)
                .and_then(|it| it.to_str().ok())
                .unwrap_or_default()
                .to_lowercase()
        };
        ensure!(header("access-control-allow-origin") == "*", "{method} {path}");
        ensure!(
            ["get", "post", "put", "delete", "options"]
                .iter()
                .all(|it| header("access-control-allow-methods").contains(it)),
            "{method} {path}"
        );
        ensure!(
            ["x-requested-with", "content-type", "authorization"]
                .iter()
                .all(|it| header("access-control-allow-headers").contains(it)),
            "{method} {path}"
        );
        // A page asks once what it may ask, and not before every request.
        let kept = header("access-control-max-age");
        ensure!((kept == "7200") == (method == Method::OPTIONS), "{method} {path}: {kept}");
        ensure!(
            method != Method::OPTIONS || answer.status().is_success(),
            "{path}: {}",
            answer.status()
        );
    }
    Ok(())
}
