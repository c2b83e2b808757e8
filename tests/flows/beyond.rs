//! What leads beyond a node: reports to whoever runs it, other services, calls through firewalls.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, Node, Wire};

use crate::{
    serve::authority_of,
    stage::{Deeds, Stage, refused, room_of, stories},
};

stories! {
    reports_reach_whoever_runs_the_node;
    a_person_reports_only_so_much;
    other_services_and_turn_servers_are_spoken_to;
}

/// What the door for other servers tells of whoever made a token.
async fn userinfo(node: &Node, token: &str) -> Result<(u16, Value)> {
    let wire = Wire::secure(node.federation(), &authority_of(node)?, "http/1.1")?;
    let target = format!("/_matrix/federation/v1/openid/userinfo?access_token={token}");
    let answer = wire.ask("GET", &target, &[], b"").await?;
    Ok((answer.status, answer.json()))
}

// Operations: reportRoom, reportEvent, reportUser.
async fn reports_reach_whoever_runs_the_node(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    let room = room_of(&[&ann, &bob], &json!({"preset": "public_chat"})).await?;
    let event = bob.say(&room, "spam").await?;
    let c = "/_matrix/client/v3";
    let why = |text: &str| json!({"reason": text});
    ann.post(&format!("{c}/rooms/{room}/report/{event}"), &why("spam \u{1b}[2J\nhere")).await?;
    cat.post(&format!("{c}/rooms/{room}/report"), &why("")).await?;
    cat.post(&format!("{c}/users/{}/report", bob.id()), &why("rude")).await?;
    // Whether there is such a room or person is not told, and what is not there is not kept.
    cat.post(&format!("{c}/rooms/!none:a.test/report"), &why("nothing")).await?;
    cat.post(&format!("{c}/users/@none:b.test/report"), &why("nobody")).await?;
    // An event is for those to report who see it in a room that they are in.
    let path = format!("{c}/rooms/{room}/report/{event}");
    refused(cat.post(&path, &why("")).await, 404, "M_NOT_FOUND")?;
    for nothing in [format!("{room}/report/$none"), format!("!none:a.test/report/{event}")] {
        let path = format!("{c}/rooms/{nothing}");
        refused(ann.post(&path, &why("")).await, 404, "M_NOT_FOUND")?;
    }
    ann.post(&path, &json!({})).await?;
    let long = "x".repeat(5_000);
    refused(ann.post(&path, &why(&long)).await, 413, "M_TOO_LARGE")?;
    let listed = stage.node.command(&["reports"]).await?.stdout;
    let lines: Vec<&str> = listed.lines().collect();
    ensure!(lines.len() == 4, "{listed}");
    ensure!(lines[0].contains(&event) && lines[0].contains(ann.id()), "{listed}");
    ensure!(lines[0].contains("spam") && !lines[0].contains('\u{1b}'), "{listed}");
    ensure!(lines[1].contains(room.as_str()) && lines[1].contains(cat.id()), "{listed}");
    ensure!(lines[2].contains(bob.id()) && lines[2].contains("rude"), "{listed}");
    Ok(())
}

async fn a_person_reports_only_so_much(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let path = format!("/_matrix/client/v3/users/{}/report", bob.id());
    let all = (0..100).map(|number| {
        let (ann, path) = (&ann, &path);
        async move { ann.post(path, &json!({"reason": number.to_string()})).await }
    });
    futures_util::future::try_join_all(all).await?;
    refused(ann.post(&path, &json!({"reason": "more"})).await, 429, "M_LIMIT_EXCEEDED")?;
    bob.post(&path, &json!({"reason": "it is me"})).await?;
    let listed = stage.node.command(&["reports"]).await?.stdout;
    ensure!(listed.lines().count() == 101, "{}", listed.lines().count());
    Ok(())
}

// Operations: getWellknownSupport, requestOpenIdToken, getTurnServer.
async fn other_services_and_turn_servers_are_spoken_to(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let path = format!("/_matrix/client/v3/user/{}/openid/request_token", ann.id());
    let token = ann.post(&path, &json!({})).await?;
    ensure!(token["token_type"] == "Bearer" && token["expires_in"] == 3600, "{token}");
    ensure!(token["matrix_server_name"] == "a.test", "{token}");
    ensure!(token["access_token"].as_str().is_some_and(|it| it.starts_with("woid_")), "{token}");
    refused(bob.post(&path, &json!({})).await, 403, "M_FORBIDDEN")?;
    // Whoever she shows it to asks the node who she is.
    let nobody = Client::nobody(stage.node.http())?;
    let secret = token["access_token"].as_str().unwrap_or_default();
    ensure!(userinfo(&stage.node, secret).await? == (200, json!({"sub": ann.id()})), "of a token");
    let (status, body) = userinfo(&stage.node, &secret.replace("woid_", "woid_A")).await?;
    ensure!(status == 401 && body["errcode"] == "M_UNKNOWN_TOKEN", "of another: {body}");
    let (status, body) = userinfo(&stage.node, "").await?;
    ensure!(status == 401 && body["errcode"] == "M_UNKNOWN_TOKEN", "of none: {body}");
    ensure!(ann.get("/_matrix/client/v3/thirdparty/protocols").await? == json!({}));
    let (turn, support) = ("/_matrix/client/v3/voip/turnServer", "/.well-known/matrix/support");
    ensure!(ann.get(turn).await? == json!({}));
    refused(nobody.get(support).await, 404, "M_NOT_FOUND")?;
    // Where whoever runs the node has named them, they are told.
    let mut node = stage
        .other("b", |options| {
            options
                .flag("--turn-uris", Some("turn:turn.a.test,turns:turn.a.test"))
                .flag("--turn-secret", Some("secret"))
                .flag("--support-email", Some("admin@a.test"))
                .flag("--support-matrix-id", Some("@admin:a.test"))
                .flag("--support-page", Some("https://a.test/help"))
        })
        .await?;
    let cat = Client::register(node.http(), "cat").await?;
    let made = cat.get(turn).await?;
    ensure!(made["uris"] == json!(["turn:turn.a.test", "turns:turn.a.test"]), "{made}");
    ensure!(made["ttl"] == 86_400, "{made}");
    let name = made["username"].as_str().context("a name")?;
    ensure!(name.ends_with(&format!(":{}", cat.id())), "{made}");
    ensure!(made["password"].as_str().is_some_and(|it| it.len() == 28), "{made}");
    let told = Client::nobody(node.http())?.get(support).await?;
    let contact = json!({"role": "m.role.admin", "email_address": "admin@a.test", "matrix_id": "@admin:a.test"});
    ensure!(
        told == json!({"contacts": [contact], "support_page": "https://a.test/help"}),
        "{told}"
    );
    node.stop().await?;
    Ok(())
}
