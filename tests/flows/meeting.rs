//! Meetings: people in real browsers beside each other in the first world of a node.

use std::{
    env, fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Browser, Client, Engine, Node, PASSWORD, Script, Town, package_folder};

const PHASE_LIMIT: Duration = Duration::from_mins(1);
/// From the ready line of a node that was started again to everybody being back in its world.
const BACK_LIMIT: Duration = Duration::from_secs(3);
const WORLD: &str = "#plaza:a.test";
const MOTIONS: &str = "idle walk run sit jump wave dance point";
/// Seeds of bodies, spread over the range of seeds.
const SEEDS: u64 = 12;

/// What both pages are told when they are opened: Ann has an account, Gus a link of hers.
async fn invited(node: &Node) -> Result<Value> {
    let ann = Client::register(node.http(), "ann").await?;
    let wish = json!({"role": "guest", "uses": 1, "lasts_ms": 600_000});
    let made = ann.post("/_wayside/v1/invitations", &wish).await?;
    let invitation = made["invitation"].as_str().context("an invitation")?;
    Ok(json!({
        "world": node.http().join("/w/plaza")?.as_str(),
        "link": node.http().join("/join/")?.join(invitation)?.as_str(),
        "user": "ann",
        "password": PASSWORD,
    }))
}

#[tokio::test]
async fn meeting() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(bob) = Script::find("meet.py")? else { return Ok(()) };
    let Some(mut pages) = Browser::open("meeting.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let url = node.http().as_str().to_owned();
    let state = town.folder().join("meet.json").display().to_string();

    pages.step("arrive", invited(&node).await?).await?;
    pages.step("walk", json!({})).await?;
    pages.step("sit", json!({})).await?;
    pages.step("wave", json!({})).await?;

    bob.run(&["join", &state, &url, WORLD], PHASE_LIMIT).await?;
    let (ann, gus, other) =
        ("what an evening", "the light, Ann", "I only read it, but it sounds so");
    pages.step("talk", json!({"lines": {"ann": ann, "gus": gus}})).await?;
    bob.run(&["talk", &state, &url, other, ann, gus], PHASE_LIMIT).await?;
    pages.step("hear", json!({"line": other})).await?;

    let user_id = pages.step("stay", json!({"password": PASSWORD})).await?;
    pages.step("member", json!({"userId": user_id})).await?;

    // Pages come back to the address they know, so the node opens its door there again.
    let port = node.http().port().context("a port")?;
    node.stop().await?;
    pages.step("lost", json!({})).await?;
    let door = format!("127.0.0.1:{port}");
    let node = town.node("a")?.with_first_world().flag("--http", Some(&door));
    let mut node = node.start().await?;
    let ready = Instant::now();
    pages.step("back", json!({})).await?;
    let took = ready.elapsed();
    ensure!(took < BACK_LIMIT, "everybody was back only {took:?} after the node was ready");
    pages.step("again", json!({})).await?;
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

/// The corpus of files of others, or `None` with a word on it where it is not on this machine.
pub(crate) fn corpora() -> Option<PathBuf> {
    let beside = package_folder().join("../../shared/corpora");
    let folder = env::var_os("WAYSIDE_CORPORA").map_or(beside, PathBuf::from);
    let found = folder.is_dir().then_some(folder);
    if found.is_none() {
        println!("skipped: avatars that others made (WAYSIDE_CORPORA names no folder)");
    }
    found
}

#[tokio::test]
async fn meeting_in_bodies_of_their_own() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(corpora) = corpora() else { return Ok(()) };
    let Some(mut pages) = Browser::open("avatars.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    pages.step("arrive", invited(&node).await?).await?;

    let knight = corpora.join("avatars-cc0-vrm1/kaykit_knight.vrm");
    let broken = town.folder().join("broken.vrm");
    let whole = fs::read(&knight).with_context(|| knight.display().to_string())?;
    fs::write(&broken, &whole[..whole.len() / 2])?;

    let asked = json!({"file": knight, "name": "knight", "before": null});
    let first = pages.step("wear", asked).await?;
    let told = pages.step("refuse", json!({"file": broken, "name": "broken"})).await?;
    let told = told.as_str().context("words")?;
    ensure!(told.starts_with("This avatar cannot be worn.") && told.contains("Error:"), "{told}");
    let older = corpora.join("avatars-vrm0/cool_loops.vrm");
    let asked = json!({"file": older, "name": "loops", "before": first});
    let second = pages.step("wear", asked).await?;
    ensure!(first != second, "{first}");
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn meeting_through_a_headset() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut pages) = Browser::open("immersion.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    pages.step("arrive", invited(&node).await?).await?;
    for step in ["enter", "teleport", "wave", "panel", "hands", "leave"] {
        pages.step(step, json!({})).await?;
    }
    pages.close().await?;
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn files_for_browsers_are_without_fault() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut validator) = Browser::open("files.mjs")? else { return Ok(()) };
    let mut node = town.node("a")?.with_first_world().start().await?;
    let nobody = Client::nobody(node.http())?;
    let world = nobody.get("/_wayside/v1/worlds/%23plaza:a.test").await?;
    let scene = world["scene"]["url"].as_str().context("a scene")?.to_owned();
    let bodies = (0..SEEDS).map(|one| {
        let seed = one.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("/_wayside/v1/bodies/{seed:016x}")
    });
    let motions = MOTIONS.split(' ').map(|name| format!("/_wayside/v1/motions/{name}"));
    for path in [scene.clone()].into_iter().chain(bodies).chain(motions) {
        let url = node.http().join(&path)?;
        let found = validator.step("validate", json!({"url": url.as_str()})).await?;
        ensure!(found["errors"] == 0, "{path}: {found}");
        ensure!(path != scene || found["warnings"] == 0, "{path}: {found}");
    }
    validator.close().await?;
    node.stop().await?;
    Ok(())
}
