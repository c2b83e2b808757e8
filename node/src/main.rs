//! The command line of a node.

mod carrying;
mod commands;
mod init;

use std::process::ExitCode;

use anyhow::Context;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use wayside::{
    config::{self, Config, KEYS, Kind},
    services::worlds::RATINGS,
};
use wayside_identity::badge::{Age, AgeSource};
use wayside_specs::Role;

/// Gives memory back to the system. The C library keeps what was freed for each of its threads: as
/// hashing a password takes 19 MiB on whichever thread is free, it kept half a gigabyte after a hundred.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // The allocator asks for huge pages, of which each keeps two megabytes where little is used: 18 MB
    // of an idle node. Where the system does not let a process refuse them, it only takes more.
    let _refused = rustix::thread::disable_transparent_huge_pages(true);
    let matches = match command().try_get_matches() {
        Ok(matches) => matches,
        // Help and version go to standard output and are no failure; clap knows which is which.
        Err(error) => error.exit(),
    };
    match run(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wayside: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let (name, arguments) = matches.subcommand().context("no command was given")?;
    if name == "config" && arguments.subcommand_name() == Some("example") {
        // Asked for above all where the settings there are cannot be read.
        print!("{}", config::example());
        return Ok(());
    }
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("another provider of cryptography was installed"))?;
    let config = if name == "bots" { None } else { Some(Config::load(&given(arguments))?) };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let done = runtime.block_on(async {
        let Some(config) = config else { return commands::bots(arguments).await };
        match name {
            "init" => init::init(config, text(arguments, "name")).await,
            "serve" => commands::serve(config).await,
            "config" => commands::check(&config),
            "did" => commands::did(config, text(arguments, "did")).await,
            "account" => Box::pin(carrying::account(config, arguments)).await,
            "badge" => Box::pin(commands::badge(config, arguments)).await,
            "user" => Box::pin(commands::user(config, arguments)).await,
            "invite" => commands::invite(config, arguments).await,
            "room" => commands::room(config, arguments).await,
            "world" => commands::world(config, arguments).await,
            "reports" => commands::reports(config).await,
            "key" => commands::key(config, arguments).await,
            other => anyhow::bail!("there is no command {other}"),
        }
    });
    // Work on threads of its own, such as hashing for somebody who has gone, is not waited for.
    runtime.shutdown_background();
    done
}

fn command() -> Command {
    Command::new("wayside")
        .about("A federated metaverse node: worlds, chat and identity for a community")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(Command::new("init").about("Name this node, for ever").arg(
            Arg::new("name").required(true).help("The domain of the node, such as example.org"),
        )))
        .subcommand(with_settings(Command::new("serve").about("Run the node")))
        .subcommand(with_settings(
            Command::new("config")
                .about("Look at the settings")
                .subcommand_required(true)
                .subcommand(Command::new("check").about("Say whether the settings are right"))
                .subcommand(Command::new("example").about("Print an example of wayside.toml")),
        ))
        .subcommand(with_settings(user_command()))
        .subcommand(with_settings(account_command()))
        .subcommand(with_settings(badge_command()))
        .subcommand(with_settings(
            Command::new("invite")
                .about("Make a link with which somebody can make an account")
                .arg(role_argument().default_value("member"))
                .arg(
                    Arg::new("uses")
                        .long("uses")
                        .value_parser(value_parser!(i64).range(1..=1000))
                        .default_value("1")
                        .help("How many accounts it makes"),
                )
                .arg(
                    Arg::new("days")
                        .long("days")
                        .value_parser(value_parser!(i64).range(1..=3650))
                        .default_value("7")
                        .help("For how many days"),
                ),
        ))
        .subcommand(with_settings(
            Command::new("did")
                .about("Resolve a DID as this node does, and print what it finds")
                .arg(Arg::new("did").required(true).help("Such as did:web:example.org")),
        ))
        .subcommand(with_settings(world_command()))
        .subcommand(with_settings(
            Command::new("reports").about("List what people have reported, the oldest first"),
        ))
        .subcommand(with_settings(
            Command::new("key")
                .about("Look after the key by which other servers know this node")
                .subcommand_required(true)
                .subcommand(Command::new("list").about("List the keys, the one in use first"))
                .subcommand(
                    Command::new("rotate").about("Let the next start of the node take another key"),
                ),
        ))
        .subcommand(bots_command())
        .subcommand(with_settings(
            Command::new("room")
                .about("Look at the rooms")
                .subcommand_required(true)
                .subcommand(Command::new("list").about("List all rooms"))
                .subcommand(
                    Command::new("publish")
                        .about("List a room in the public directory, or take it off")
                        .arg(Arg::new("room").required(true).help("The room's id or alias"))
                        .arg(
                            Arg::new("off")
                                .long("off")
                                .action(ArgAction::SetTrue)
                                .help("Take it off"),
                        ),
                )
                .subcommand(
                    Command::new("forget")
                        .about("Let go of what was said in a room longer ago; its state stays")
                        .arg(Arg::new("room").required(true).help("The room's id or alias"))
                        .arg(
                            option("days", "Days that are kept")
                                .value_parser(value_parser!(u32))
                                .required(true),
                        ),
                ),
        ))
}

fn bots_command() -> Command {
    Command::new("bots")
        .about("Send guests to a world who walk about in it, and say what they saw")
        .arg(option("url", "The node's address").default_value("http://localhost:8008"))
        .arg(option("world", "The world's alias or id; without it the node's first"))
        .arg(option("invitation", "A link for guests, where the node wants one"))
        .arg(option("trust-ca", "A further authority in PEM to trust"))
        .arg(
            option("count", "How many")
                .value_parser(value_parser!(u16).range(1..=1000))
                .default_value("10"),
        )
        .arg(
            option("seconds", "For how long")
                .value_parser(value_parser!(u32).range(1..=3600))
                .default_value("60"),
        )
}

fn world_command() -> Command {
    let add = Command::new("add")
        .about("Make a world of a scene")
        .arg(Arg::new("scene").required(true).help("The scene, a binary glTF file (GLB)"))
        .arg(option("name", "What the world is called").required(true))
        .arg(option("description", "What there is to say of it").default_value(""))
        .arg(option("preview", "Its picture, a PNG, JPEG or WebP file"))
        .arg(option("alias", "Its address, without # and the node's name; made of its name"))
        .arg(option("owner", "Who rules it, the name of an account"))
        .arg(
            option("capacity", "How many people fit in")
                .value_parser(value_parser!(u16).range(1..=1000))
                .default_value("50"),
        )
        .arg(
            option("rating", "For whom it is")
                .value_parser(RATINGS.to_vec())
                .default_value(RATINGS[0]),
        )
        .arg(
            Arg::new("private")
                .long("private")
                .action(ArgAction::SetTrue)
                .requires("owner")
                .help("Only for those who are invited, and in no directory"),
        )
        .arg(
            Arg::new("encrypted")
                .long("encrypted")
                .action(ArgAction::SetTrue)
                .requires("private")
                .help("What is said there is encrypted, for ever"),
        )
        .arg(
            option("asks", "Who shows one of these may come: \"badge ID\", \"age GROUP\", \"role ROLE\" or \"home\", \
                            and the DID of whose word it has to be (may be given more than once)")
                .requires("private")
                .action(ArgAction::Append),
        );
    Command::new("world")
        .about("Look after worlds")
        .subcommand_required(true)
        .subcommand(add)
        .subcommand(Command::new("list").about("List the worlds of the directory"))
}

fn account_command() -> Command {
    let folder = || Arg::new("folder").required(true).help("The folder of files");
    Command::new("account")
        .about("Let people take along what is theirs when they move to another node")
        .subcommand_required(true)
        .subcommand(
            Command::new("export")
                .about("Write what somebody takes along into a new folder")
                .arg(Arg::new("name").required(true).help("The name, with or without the node's"))
                .arg(folder()),
        )
        .subcommand(
            Command::new("import")
                .about("Keep what somebody takes along from another node until they move in")
                .arg(folder()),
        )
}

fn badge_command() -> Command {
    let name = || {
        Arg::new("name")
            .required(true)
            .help("Who: a name here, or the whole one of somebody elsewhere")
    };
    let days = |needed: bool| {
        option("days", "For how many days it is good")
            .value_parser(clap::value_parser!(i64).range(1..=36_500))
            .required(needed)
    };
    Command::new("badge")
        .about("Give people badges in the node's name, and take them back")
        .subcommand_required(true)
        .subcommand(Command::new("list").about("List all that was given"))
        .subcommand(
            Command::new("give")
                .about("Give somebody a badge")
                .arg(name())
                .arg(Arg::new("id").required(true).help("What tells the badge from others"))
                .arg(Arg::new("title").required(true).help("What people call it"))
                .arg(option("description", "What it is given for"))
                .arg(days(false)),
        )
        .subcommand(
            Command::new("age")
                .about("Say how old somebody is, as closely as worlds have to know")
                .arg(name())
                .arg(
                    Arg::new("group")
                        .required(true)
                        .value_parser(Age::ALL.map(Age::as_str).to_vec())
                        .help("Their age group"),
                )
                .arg(
                    option("source", "How that is known")
                        .value_parser(AgeSource::ALL.map(AgeSource::as_str).to_vec())
                        .required(true),
                )
                .arg(days(true)),
        )
        .subcommand(
            Command::new("take-back").about("Take back what was given").arg(
                Arg::new("number")
                    .required(true)
                    .value_parser(clap::value_parser!(i64))
                    .help("Its number, as `wayside badge list` tells it"),
            ),
        )
}

fn user_command() -> Command {
    let name = || Arg::new("name").required(true).help("The name, with or without the node's");
    Command::new("user")
        .about("Look after accounts")
        .subcommand_required(true)
        .subcommand(Command::new("list").about("List all accounts"))
        .subcommand(
            Command::new("add")
                .about("Make an account; the password is read from standard input")
                .arg(name())
                .arg(role_argument().default_value("member")),
        )
        .subcommand(
            Command::new("role")
                .about("Change what somebody may do")
                .arg(name())
                .arg(role_argument().required(true)),
        )
        .subcommand(
            Command::new("password").about("Set a password, read from standard input").arg(name()),
        )
        .subcommand(
            Command::new("reset")
                .about("Print a link by which somebody chooses a new password, within a day")
                .arg(name()),
        )
        .subcommand(
            Command::new("end").about("End an account for ever").arg(name()).arg(
                Arg::new("erase")
                    .long("erase")
                    .action(ArgAction::SetTrue)
                    .help("Show what they said to those alone who were in the room then"),
            ),
        )
        .subcommand(
            Command::new("lock").about("Keep somebody out, until they are unlocked").arg(name()),
        )
        .subcommand(Command::new("unlock").about("Let somebody in again").arg(name()))
        .subcommand(
            Command::new("suspend").about("Let somebody read and change nothing").arg(name()),
        )
        .subcommand(Command::new("unsuspend").about("Let somebody do all again").arg(name()))
}

/// An argument that is named, with a value.
fn option(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).help(help)
}

fn role_argument() -> Arg {
    let roles = Role::ALL.map(Role::as_str);
    Arg::new("role").long("role").value_parser(roles.to_vec()).help("What they may do")
}

/// Every key of the configuration as a flag, after the words of the command.
fn with_settings(command: Command) -> Command {
    KEYS.iter().fold(command, |command, key| {
        let help = key.doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
        let arg =
            Arg::new(key.name).long(key.flag()).help(help).help_heading("Settings").global(true);
        command.arg(match key.kind {
            Kind::Flag => arg.num_args(0..=1).default_missing_value("true").require_equals(true),
            Kind::Text | Kind::Number | Kind::List => arg.num_args(1),
        })
    })
}

fn given(arguments: &ArgMatches) -> Vec<(&'static str, String)> {
    // A flag may stand after the subcommand's word; clap gives global ones to the innermost.
    let innermost = arguments.subcommand().map_or(arguments, |(_, inner)| inner);
    KEYS.iter()
        .filter_map(|key| Some((key.name, innermost.get_one::<String>(key.name)?.clone())))
        .collect()
}

fn text<'a>(arguments: &'a ArgMatches, name: &str) -> &'a str {
    arguments.get_one::<String>(name).map_or("", String::as_str)
}
