//! What each command does.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufRead, IsTerminal, Write},
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::ArgMatches;
use ruma::{RoomOrAliasId, owned_server_name};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use wayside::{
    app::{self, Running},
    bots::{self, Plan},
    clock::Clock,
    config::{Config, LogFormat},
    ops::certificates,
    services::{
        Services,
        accounts::{DeviceWish, Hold, Invited, Registering, Traces},
        app_services::Registered,
        badges::{Gift, What},
        worlds::{Made, NewWorld},
    },
    store::Purpose,
};
use wayside_identity::badge::{Age, AgeGroup, AgeSource, Ask, Asks, Badge};
use wayside_specs::{Did, Role};

use crate::text;

/// A link for the first operator works so long, in milliseconds.
const FIRST_LINK_MS: i64 = 24 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// The file of the data folder that holds the address of the node's last start.
const ADDRESS_FILE: &str = "address";
/// Rows of a list that are read at once.
const PAGE: i64 = 500;

/// Runs a node until it is told to end.
pub(crate) async fn serve(config: Config) -> anyhow::Result<()> {
    begin_log(&config)?;
    let _lock = lock(&config.data)?;
    let try_out = config.server_name.is_none();
    let mut term = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let data = config.data.clone();
    let running = app::start(config).await?;
    greet(&running, try_out).await?;
    // Commands beside the running node show links with the address that it has now.
    fs::write(data.join(ADDRESS_FILE), &running.app.places.public)
        .context("noting the node's address in the data folder")?;
    let mut out = io::stdout();
    writeln!(
        out,
        "ready http={} https={} federation={}",
        running.http, running.https, running.federation
    )
    .and_then(|()| out.flush())
    .context("saying that the node is ready")?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("shutting down");
    running.end().await;
    Ok(())
}

/// Only one process serves a data folder; the lock ends with the process, however it ends.
pub(crate) fn lock(folder: &Path) -> anyhow::Result<File> {
    app::make_folder(folder)?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("opening {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another node serves the data in {}: end it first", folder.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("locking {}", path.display()))
        }
    }
}

fn begin_log(config: &Config) -> anyhow::Result<()> {
    // The crate of the event rules writes a line for every check of every event.
    let filter = format!("ruma_state_res=error,{}", config.log);
    let filter = EnvFilter::try_new(&filter)
        .with_context(|| format!("{:?} is no right value of log", config.log))?;
    // Where the log cannot be written, as on a full disk, the line is lost: reporting that on the same
    // stream would panic, and with it the request that was being answered.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    match config.log_format {
        LogFormat::Json => builder.json().init(),
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).init(),
    }
    Ok(())
}

/// Says to the person at the terminal how to go on.
async fn greet(running: &Running, try_out: bool) -> anyhow::Result<()> {
    let app = &running.app;
    let mut lines = vec![
        String::new(),
        format!("  {} is open at {}", app.services.ground.server_name, app.places.public),
    ];
    if try_out {
        lines.push(
            "  It is a try-out: it has no name and meets no other nodes. Name one with".to_owned(),
        );
        lines.push(
            "  `wayside init NAME` in a new data folder before people live on it.".to_owned(),
        );
    }
    lines.push(format!("  On this machine: {}", running.http));
    if let Some(lan) = &running.lan {
        lines.push(format!("  On your network: {lan}"));
        lines.extend(qr(lan));
    }
    if let Some(fingerprint) = &running.fingerprint {
        lines.push(
            "  Browsers will warn once: the node vouches for itself. Its authority is".to_owned(),
        );
        lines.push(format!("  SHA-256 {fingerprint}"));
    }
    if !app.services.accounts.has_operator().await? {
        let text =
            app.services.accounts.invite(Role::Operator, 1, Some(FIRST_LINK_MS), None).await?;
        lines.push(
            "  Nobody runs this node yet. Make your account here (works once, for a day):"
                .to_owned(),
        );
        lines.push(format!("  {}/join/{text}", app.places.public));
        if app.places.public != running.http {
            lines.push(format!("  or on this machine: {}/join/{text}", running.http));
        }
    }
    lines.push(String::new());
    for line in lines {
        eprintln!("{line}");
    }
    Ok(())
}

/// An address as a code for a phone's camera, two rows of it in one line of text.
fn qr(address: &str) -> Vec<String> {
    let Ok(code) = qrcode::QrCode::new(address) else { return Vec::new() };
    let drawn = code.render::<qrcode::render::unicode::Dense1x2>().quiet_zone(true).build();
    // Cameras want dark on light, whatever colours the terminal has.
    let (light, off) =
        if io::stderr().is_terminal() { ("\x1b[30;107m", "\x1b[0m") } else { ("", "") };
    drawn.lines().map(|line| format!("  {light}{line}{off}")).collect()
}

/// Checks the settings.
pub(crate) fn check(config: &Config) -> anyhow::Result<()> {
    EnvFilter::try_new(&config.log)
        .with_context(|| format!("{:?} is no right value of log", config.log))?;
    certificates::check(config)?;
    let server_name = config.server_name.clone();
    let server_name = server_name.unwrap_or_else(|| owned_server_name!("localhost"));
    Registered::read(&config.app_services, &server_name).context("reading app_services")?;
    let name = config.server_name.as_ref().map_or("a try-out without a name", |it| it.as_str());
    println!("The settings are right: {name}, data in {}.", config.data.display());
    Ok(())
}

/// Looks after accounts.
pub(crate) async fn user(config: Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let public = public_url(&config);
    let inside = app::open(config, Purpose::Command).await?;
    let services = &inside.services;
    let done = match arguments.subcommand() {
        Some(("add", given)) => add_user(services, given).await,
        Some(("role", given)) => {
            let user_id = named(services, text(given, "name"))?;
            let role: Role = text(given, "role").parse()?;
            services.accounts.set_role(&user_id, role).await?;
            println!("{user_id} is {role} now.");
            Ok(())
        }
        Some(("password", given)) => {
            let user_id = named(services, text(given, "name"))?;
            services.accounts.replace_password(&user_id, read_password()?, true).await?;
            println!("{user_id} has a new password and is signed out everywhere.");
            Ok(())
        }
        Some(("reset", given)) => {
            let user_id = named(services, text(given, "name"))?;
            let link = services.accounts.reset_link(&user_id).await?;
            print_link(public.as_deref(), "reset", &link);
            Ok(())
        }
        Some(("end", given)) => {
            let user_id = named(services, text(given, "name"))?;
            services.accounts.account(&user_id).await?.context("there is no such account")?;
            let traces = Traces::of(given.get_flag("erase"));
            let staying = services.affairs.end_account(&user_id, None, traces).await?.staying;
            println!("{user_id} has ended. The name stays taken.");
            if staying > 0 {
                bail!("{staying} rooms could not be left: try again when the node rests");
            }
            Ok(())
        }
        Some((word, given)) if word != "list" => hold_user(services, word, given).await,
        _ => list_users(services).await,
    };
    services.ground.store.close().await;
    done
}

async fn add_user(services: &Services, given: &ArgMatches) -> anyhow::Result<()> {
    let role: Role = text(given, "role").parse()?;
    // An invitation of one use carries the role, so that there is one way to make an account.
    let invitation = services.accounts.invite(role, 1, Some(DAY_MS), None).await?;
    let wish = Registering {
        name: Some(text(given, "name").to_owned()),
        password: Some(read_password()?),
        invitation: Some(Invited::by(&invitation)?),
        guest: false,
        device: DeviceWish { no_device: true, ..DeviceWish::default() },
    };
    let made = services.accounts.register(wish).await?;
    println!("{} lives here now, as {role}.", made.user_id);
    Ok(())
}

/// Locks or suspends somebody, or no longer.
async fn hold_user(services: &Services, word: &str, given: &ArgMatches) -> anyhow::Result<()> {
    let user_id = named(services, text(given, "name"))?;
    let (hold, held, now) = match word {
        "lock" => (Hold::Locked, true, "locked: nothing is open to them until you unlock them"),
        "unlock" => (Hold::Locked, false, "not locked any more"),
        "suspend" => (Hold::Suspended, true, "suspended: they read, and change nothing"),
        "unsuspend" => (Hold::Suspended, false, "not suspended any more"),
        other => bail!("there is no command {other}"),
    };
    services.accounts.hold(&user_id, hold, held, false).await?;
    println!("{user_id} is {now}.");
    Ok(())
}

async fn list_users(services: &Services) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let page = services.accounts.list(&after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.user_id.to_string();
        for account in &page {
            let ended = if account.ended_ms.is_some() { " (ended)" } else { "" };
            let locked = if account.held.locked { " (locked)" } else { "" };
            let suspended = if account.held.suspended { " (suspended)" } else { "" };
            println!("{} {}{ended}{locked}{suspended}", account.user_id, account.role);
        }
    }
}

pub(crate) fn named(services: &Services, name: &str) -> anyhow::Result<ruma::OwnedUserId> {
    let parsed = if name.starts_with('@') {
        ruma::UserId::parse(name)
    } else {
        services.ground.user_id(name)
    };
    parsed.with_context(|| format!("{name:?} is no name of an account"))
}

fn read_password() -> anyhow::Result<String> {
    if io::stdin().is_terminal() {
        eprint!("Password: ");
    }
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("reading the password from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!("a password is read from standard input, and none came");
    }
    Ok(password.to_owned())
}

/// Makes a link with which somebody can make an account.
pub(crate) async fn invite(config: Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let role: Role = text(arguments, "role").parse()?;
    let uses = arguments.get_one::<i64>("uses").copied().unwrap_or(1);
    let days = arguments.get_one::<i64>("days").copied().unwrap_or(7);
    let public = public_url(&config);
    let inside = app::open(config, Purpose::Command).await?;
    let services = &inside.services;
    let link = services.accounts.invite(role, uses, Some(days * DAY_MS), None).await;
    services.ground.store.close().await;
    print_link(public.as_deref(), "join", &link?);
    Ok(())
}

/// The address of the node as far as a command beside it can know.
pub(crate) fn public_url(config: &Config) -> Option<String> {
    let noted = fs::read_to_string(config.data.join(ADDRESS_FILE)).ok();
    config.public_url.clone().or(noted)
}

fn print_link(public: Option<&str>, page: &str, link: &str) {
    match public {
        Some(url) => println!("{}/{page}/{link}", url.trim_end_matches('/')),
        None => {
            println!("/{page}/{link} below the node's address, which its first start will tell");
        }
    }
}

/// Gives people badges, and takes them back.
pub(crate) async fn badge(config: Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let public = public_url(&config);
    let inside = app::open(config, Purpose::Command).await?;
    let services = &inside.services;
    // What is said in the node's name is said under its address.
    services.persons.settle(public.as_deref().unwrap_or_default());
    let done = match arguments.subcommand() {
        Some((word @ ("give" | "age"), given)) => give(services, word, given).await,
        Some(("take-back", given)) => {
            let number = given.get_one::<i64>("number").copied().unwrap_or_default();
            services.badges.take_back(number).await?;
            println!("It is taken back: others know within five minutes.");
            Ok(())
        }
        _ => list_given(services).await,
    };
    services.ground.store.close().await;
    done
}

async fn give(services: &Services, word: &str, given: &ArgMatches) -> anyhow::Result<()> {
    let to = named(services, text(given, "name"))?;
    let gift =
        if word == "age" {
            let (age, source) = (text(given, "group"), text(given, "source"));
            let age = Age::named(age).with_context(|| format!("{age:?} is no age group"))?;
            let source =
                AgeSource::named(source).with_context(|| format!("{source:?} is no source"))?;
            Gift::Age(AgeGroup { age, source })
        } else {
            let description = given.get_one::<String>("description").map(String::as_str);
            let badge = Badge::new(text(given, "id"), text(given, "title"), description, None);
            Gift::Badge(badge.context(
                "the id, the title or the description is empty, too long or of wrong signs",
            )?)
        };
    let days = given.get_one::<i64>("days").copied();
    let until_ms = days.map(|days| services.ground.clock.now_ms().saturating_add(days * DAY_MS));
    let (number, _) = services.badges.give("the operator", &to, &gift, until_ms).await?;
    println!(
        "{to} has it, under the number {number}. `wayside badge take-back {number}` takes it back."
    );
    Ok(())
}

async fn list_given(services: &Services) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page = services.badges.given(None, after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.number;
        for given in &page {
            let what = match &given.what {
                Some(What::Badge(badge)) => format!("badge {} ({})", badge.id(), badge.name()),
                Some(What::Age(age)) => {
                    format!("age {} ({})", age.age.as_str(), age.source.as_str())
                }
                Some(What::Role(role)) => format!("role {}", role.role),
                None => "something that this release does not know".to_owned(),
            };
            let back = if given.taken_back_ms.is_some() { ", taken back" } else { "" };
            println!("{} {} {what}, by {}{back}", given.number, given.user_id, given.giver);
        }
    }
}

/// Looks at the rooms.
pub(crate) async fn room(config: Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let inside = app::open(config, Purpose::Command).await?;
    let services = &inside.services;
    let done = match arguments.subcommand() {
        Some(("publish", given)) => {
            let name = text(given, "room");
            let named =
                RoomOrAliasId::parse(name).with_context(|| format!("{name:?} is no room"))?;
            let room_id = services.rooms.resolve(&named).await?;
            let listed = !given.get_flag("off");
            services.rooms.operator_publish(&room_id, listed).await?;
            println!("{room_id} is {} the public directory.", if listed { "in" } else { "not in" });
            Ok(())
        }
        Some(("forget", given)) => forget(services, given).await,
        _ => list_rooms(services).await,
    };
    services.ground.store.close().await;
    done
}

/// Lists what people have reported.
pub(crate) async fn reports(config: Config) -> anyhow::Result<()> {
    let inside = app::open(config, Purpose::Command).await?;
    let services = &inside.services;
    let done = list_reports(services).await;
    services.ground.store.close().await;
    done
}

async fn list_reports(services: &Services) -> anyhow::Result<()> {
    let mut behind = 0;
    loop {
        let page = services.reports.page(behind, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        behind = last.report_no;
        for report in &page {
            let parts = [&report.user_id, &report.room_id, &report.event_id];
            let subject: Vec<&str> = parts.into_iter().filter_map(Option::as_deref).collect();
            // Reasons are the words of others: nothing in them moves the cursor of a terminal.
            let reason = report.reason.escape_debug();
            let (by, at) = (&report.reporter, report.reported_ms);
            println!("{} {at} {by} reports {}: \"{reason}\"", report.report_no, subject.join(" "));
        }
    }
}

/// Looks after the key by which other servers know the node.
pub(crate) async fn key(config: Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let inside = app::open(config, Purpose::Command).await?;
    let ground = &inside.services.ground;
    let rotates = arguments.subcommand_name() == Some("rotate");
    let done = if rotates { inside.services.servers.retire_key().await } else { Ok(()) };
    if rotates && done.is_ok() {
        println!("The next start of the node takes another key: restart it.");
    }
    if !rotates {
        let public = ground.server_key.public_key_base64();
        println!("{} {public} in use", ground.server_key.key_id());
        for (key_id, public, expired) in &ground.old_keys {
            println!("{key_id} {public} until {}", expired.get());
        }
    }
    ground.store.close().await;
    Ok(done?)
}

/// Sends bots to a world.
pub(crate) async fn bots(given: &ArgMatches) -> anyhow::Result<()> {
    let optional = |name: &str| given.get_one::<String>(name).cloned();
    let plan = Plan {
        url: text(given, "url").to_owned(),
        world: optional("world"),
        invitation: optional("invitation"),
        count: given.get_one::<u16>("count").copied().unwrap_or(1).into(),
        lasts: Duration::from_secs(given.get_one::<u32>("seconds").copied().unwrap_or(1).into()),
        trust: optional("trust-ca").map(Into::into),
    };
    eprintln!("{} bots walk for {} s", plan.count, plan.lasts.as_secs());
    println!("{}", bots::run(&plan, Clock).await?.json());
    Ok(())
}

/// Looks after worlds.
pub(crate) async fn world(config: Config, arguments: &ArgMatches) -> anyhow::Result<()> {
    let inside = app::open(config, Purpose::Command).await?;
    let services = &inside.services;
    let done = match arguments.subcommand() {
        Some(("add", given)) => add_world(services, given).await,
        _ => list_worlds(services).await,
    };
    services.ground.store.close().await;
    done
}

async fn add_world(services: &Services, given: &ArgMatches) -> anyhow::Result<()> {
    let owner = given.get_one::<String>("owner").map(|name| named(services, name)).transpose()?;
    if let Some(owner) = &owner {
        services.accounts.account(owner).await?.context("there is no such account")?;
    }
    let keeper = match &owner {
        Some(owner) => owner.clone(),
        None => services.ground.user_id("_wayside")?,
    };
    let scene = brought(services, &keeper, text(given, "scene")).await?;
    let preview = match given.get_one::<String>("preview") {
        Some(path) => Some(brought(services, &keeper, path).await?),
        None => None,
    };
    let asks: Vec<Ask> = given
        .get_many::<String>("asks")
        .into_iter()
        .flatten()
        .map(|text| text.parse().with_context(|| format!("{text:?} asks for nothing")))
        .collect::<Result<_, _>>()?;
    let new = NewWorld {
        owner,
        name: text(given, "name").to_owned(),
        description: text(given, "description").to_owned(),
        scene,
        preview,
        capacity: given.get_one::<u16>("capacity").copied().unwrap_or(50),
        rating: text(given, "rating").to_owned(),
        alias: given.get_one::<String>("alias").cloned(),
        public: !given.get_flag("private"),
        encrypted: given.get_flag("encrypted"),
        asks: Asks::of(&asks),
    };
    match services.worlds.make(new).await? {
        Made::World { room_id, alias, report } => {
            for issue in &report.issues {
                println!("{}: {} at {}", issue.code, issue.message, issue.pointer);
            }
            println!("{alias} is there now, the room {room_id}.");
            Ok(())
        }
        Made::Refused(report) => {
            for issue in &report.issues {
                eprintln!("{}: {} at {}", issue.code, issue.message, issue.pointer);
            }
            bail!("the scene cannot be used: mend what is named above and try again")
        }
    }
}

/// Takes a file of this machine in as an upload.
async fn brought(
    services: &Services,
    owner: &ruma::UserId,
    path: &str,
) -> anyhow::Result<ruma::OwnedMxcUri> {
    let bytes = fs::read(path).with_context(|| format!("reading {path}"))?;
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let kind = match name.rsplit('.').next().unwrap_or_default() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        _ => "model/gltf-binary",
    };
    Ok(services.worlds.own_upload(owner, bytes, kind, &name).await?)
}

async fn list_worlds(services: &Services) -> anyhow::Result<()> {
    for world in services.worlds.list(None).await? {
        let alias = world.alias.as_deref().unwrap_or(world.room_id.as_str());
        println!("{alias} {} ({} people at most)", world.name, world.capacity);
    }
    Ok(())
}

/// Lets go of what was said in a room long ago.
async fn forget(services: &Services, given: &ArgMatches) -> anyhow::Result<()> {
    let name = text(given, "room");
    let named = RoomOrAliasId::parse(name).with_context(|| format!("{name:?} is no room"))?;
    let room_id = services.rooms.resolve(&named).await?;
    let days = given.get_one::<u32>("days").copied().unwrap_or_default();
    let kept_ms = i64::from(days) * 24 * 60 * 60_000;
    let before_ms = services.ground.clock.now_ms() - kept_ms;
    let gone = services.rooms.operator_forget(&room_id, before_ms).await?;
    println!("{gone} events of {room_id} are gone; its state stays.");
    Ok(())
}

async fn list_rooms(services: &Services) -> anyhow::Result<()> {
    let mut after = 0;
    loop {
        let page = services.rooms.all(after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = *last;
        for (_, listed) in &page {
            let name = listed.name.as_deref().or(listed.alias.as_deref()).unwrap_or("-");
            println!("{} {} in it: {name}", listed.room_id, listed.joined);
        }
    }
}

/// Resolves a DID, and says what was found or why nothing was.
pub(crate) async fn did(config: Config, did: &str) -> anyhow::Result<()> {
    let did: Did = did.parse()?;
    let inside = app::open(config, Purpose::Command).await?;
    let resolved = inside.services.dids.resolve(&did, 0).await;
    inside.services.ground.store.close().await;
    let told = match &resolved {
        Ok(resolved) => resolved.told(),
        Err(why) => why.told(),
    };
    println!("{}", serde_json::to_string_pretty(&told)?);
    match resolved {
        Ok(_) => Ok(()),
        Err(why) => bail!("{did} could not be resolved: {why}"),
    }
}
