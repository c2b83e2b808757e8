//! `wayside account`: what somebody takes along, as a folder of files.

use std::{fs, path::Path};

use anyhow::{Context, bail, ensure};
use clap::ArgMatches;
use serde_json::json;
use wayside::{
    app,
    config::Config,
    services::{Services, moving::Exported},
    store::Purpose,
};
use wayside_specs::limits;

use crate::{commands::named, text};

/// Who it is, and what is sealed for them.
const ACCOUNT: &str = "account.json";
/// Their bodies, by their hashes.
const BODIES: &str = "bodies";
/// Their uploads, by their ids, and what those are.
const MEDIA: &str = "media";
const LIST: &str = "media.json";
/// Largest file of an account that is read: a log, luggage, and what JSON escapes of both.
const ACCOUNT_BYTES: u64 = 2 * (limits::DID_LOG_BYTES + 2 * limits::LUGGAGE_BYTES) as u64;

/// Lets somebody take along what is theirs, or takes it in.
pub(crate) async fn account(config: Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let public = crate::commands::public_url(&config);
    let inside = app::open(config, Purpose::Command).await?;
    let services = &inside.services;
    // Whether somebody lives here says their DID, which is under the address of the node.
    services.persons.settle(public.as_deref().unwrap_or_default());
    let done = match arguments.subcommand() {
        Some(("export", given)) => export(services, given).await,
        Some(("import", given)) => import(services, given).await,
        _ => bail!("there is no such command"),
    };
    services.ground.store.close().await;
    done
}

async fn export(services: &Services, given: &ArgMatches) -> anyhow::Result<()> {
    let user_id = named(services, text(given, "name"))?;
    let folder = Path::new(text(given, "folder"));
    let exported = services.moving.export(&user_id).await?;
    let making = || format!("making the folder {}", folder.display());
    ensure!(!folder.exists(), "{} is there already: name a new folder", folder.display());
    for part in [folder.to_owned(), folder.join(BODIES), folder.join(MEDIA)] {
        app::make_folder(&part).with_context(making)?;
    }
    let write = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
    };
    write(&folder.join(ACCOUNT), serde_json::to_string_pretty(&exported)?.as_bytes())?;
    let bodies = services.moving.bodies_of(&user_id).await?;
    for hash in &bodies {
        let bytes = services.content.asset_bytes(hash).await?;
        write(&folder.join(BODIES).join(format!("{}.vrm", hex::encode(hash))), &bytes)?;
    }
    let mut uploads = Vec::new();
    loop {
        let behind =
            uploads.last().map_or("", |it: &wayside::services::moving::Upload| &it.media_id);
        let page = services.moving.uploads_of(&user_id, behind).await?;
        if page.is_empty() {
            break;
        }
        for upload in &page {
            let bytes = services.content.asset_bytes(upload.hash()).await?;
            write(&folder.join(MEDIA).join(&upload.media_id), &bytes)?;
        }
        eprintln!("{} uploads so far", uploads.len() + page.len());
        uploads.extend(page);
    }
    write(&folder.join(LIST), serde_json::to_string_pretty(&json!(uploads))?.as_bytes())?;
    let (folder, bodies, uploads) = (folder.display(), bodies.len(), uploads.len());
    println!("{user_id} is in {folder}, with {bodies} bodies and {uploads} uploads.");
    println!(
        "Friends, blocks and badges are sealed in it: they open by that person's own words alone."
    );
    Ok(())
}

async fn import(services: &Services, given: &ArgMatches) -> anyhow::Result<()> {
    let folder = Path::new(text(given, "folder"));
    let account = read(&folder.join(ACCOUNT), ACCOUNT_BYTES)?;
    let exported: Exported = serde_json::from_slice(&account).with_context(|| {
        format!("{} is no account that was exported", folder.join(ACCOUNT).display())
    })?;
    let who = exported.account.clone();
    services.moving.import(exported).await?;
    let (mut kept, mut refused) = (0, 0);
    for entry in
        fs::read_dir(folder.join(BODIES)).into_iter().flatten().take(limits::AVATARS_PER_USER)
    {
        let path = entry.context("looking for bodies")?.path();
        let bytes = read(&path, limits::AVATAR_BYTES as u64)?;
        let fits = services.bodies.take_in(bytes).await?;
        *(if fits { &mut kept } else { &mut refused }) += 1;
    }
    println!("What {who} takes along is here now, with {kept} bodies.");
    if refused > 0 {
        println!("{refused} bodies cannot be worn here.");
    }
    println!(
        "They make an account on the page of this node, choose \"I come from another node\" on the page of \
         their identity, and say their twelve words."
    );
    Ok(())
}

/// A file of a bounded size.
fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let size = fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?.len();
    ensure!(size <= most, "{} is larger than {most} bytes", path.display());
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}
