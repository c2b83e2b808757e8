//! What leads beyond a node: reports to whoever runs it.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::stage::{Deeds, Stage, refused, room_of, stories};

stories! {
    reports_reach_whoever_runs_the_node;
    a_person_reports_only_so_much;
}

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
