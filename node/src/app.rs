//! The one place where a node is put together, started and ended.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    panic::AssertUnwindSafe,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use futures_util::FutureExt;
use ruma::{OwnedServerName, ServerName};
use tokio::{
    sync::mpsc,
    time::{Interval, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wayside_federation::key::ServerKey;

use crate::{
    clock::{Clock, matrix_time},
    config::Config,
    gateway::{
        self, App, Places,
        body::Pace,
        crowd::Crowd,
        listen::{Door, Hall, Listener},
    },
    instances::{Instances, Stood},
    ops::{
        certificates::{self, Authority, Certificates, Wish},
        descriptors, memory,
        metrics::Metrics,
    },
    outbound::{self, Chosen, Guarded, Names},
    services::{
        Ground, OldKey, Services, TRY_OUT,
        accounts::Accounts,
        affairs::Affairs,
        app_services::{AppServices, Registered},
        badges::Badges,
        bodies::Bodies,
        content::Content,
        credentials::Credentials,
        dids::Dids,
        emails::Emails,
        encryption::Encryption,
        federation::Federation,
        friends::{Beneath, Friends},
        identity_servers::IdentityServers,
        live::{Live, Moment},
        moving::{self, Moving},
        oauth::OAuth,
        oversight::Oversight,
        persons::Persons,
        previews::Previews,
        providers::{Providers, Wallets},
        push::Push,
        reports::Reports,
        rooms::Rooms,
        search::Search,
        servers::Servers,
        social::Social,
        sync::Sync,
        worlds::{Beside, Worlds},
    },
    store::{Purpose, Store, StoreError, blob::Blob, servers},
};

/// How long requests under way may take to finish when the node ends.
const DRAIN: Duration = Duration::from_secs(3);
/// How long what is cut off then may take to notice.
const CUT: Duration = Duration::from_millis(500);
/// How long the store may take to finish what it has accepted.
const CLOSE: Duration = Duration::from_secs(1);
/// How often the moment is looked through for what lasts too long: typing ends so late at most.
const LIVE_SWEEP: Duration = Duration::from_secs(1);
/// How often it is looked for what was said so long ago that it goes.
const RETENTION: Duration = Duration::from_mins(10);
/// How often requests of long ago are forgotten: a look costs a node at rest as much as a minute of rest.
const FORGETTING: Duration = Duration::from_mins(5);

/// Places where people stand that wait to be written down.
const STOOD: usize = 4_096;

/// A node that answers.
pub struct Running {
    /// Plain HTTP on this machine.
    pub http: String,
    /// HTTPS.
    pub https: String,
    /// Where other servers reach it.
    pub federation: String,
    /// HTTPS on the local network, if there is one.
    pub lan: Option<String>,
    /// SHA-256 of the node's own authority, where it serves with it.
    pub fingerprint: Option<String>,
    /// The services, for what the start has to say.
    pub app: Arc<App>,
    tasks: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

/// Services without doors, for the command line.
pub struct Inside {
    /// The services.
    pub services: Services,
    moments: mpsc::Receiver<Moment>,
    stood: mpsc::Receiver<Stood>,
}

/// Opens the data of a node and constructs its services.
pub async fn open(config: Config, purpose: Purpose) -> anyhow::Result<Inside> {
    let folder = config.data.clone();
    make_folder(&folder)?;
    let clock = Clock;
    let database = config.database.as_deref();
    let store = Store::open(&folder, database, purpose, clock).await;
    let store = store.with_context(|| match database {
        Some(_) => "opening the PostgreSQL database".to_owned(),
        None => format!("opening the data in {}", folder.display()),
    })?;
    let (server_name, token_key) = settle(&store, &config, purpose, clock).await?;
    let (server_key, old_keys) = signing_keys(&store, purpose, clock).await?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    // A command beside the node lets nobody in.
    let threads = if purpose == Purpose::Serving { world_threads(&config) } else { 0 };
    let blob = Blob::disk(&folder.join("blobs"), clock).await;
    let blob = blob.context("opening the folder of files")?;
    let (trust, private) = (config.trust_ca.as_deref(), config.allow_private_addresses);
    let names = Arc::new(Names::new(&config.dns_servers())?);
    let outbound = Guarded::new(trust, private, names.clone());
    let outbound = outbound.context("preparing for calls to others")?;
    let lines = outbound::Servers::new(trust, private, names)?;
    let app_services = Registered::read(&config.app_services, &server_name);
    let app_services = app_services.context("reading app_services")?;
    let ground = Arc::new(Ground {
        store,
        clock,
        config,
        app_services,
        server_name,
        server_key,
        old_keys,
        token_key,
        outbound,
        stop,
        tasks,
    });
    let (live, moments) = Live::new(u32::from_be_bytes(clock.random()));
    let (stands, stood) = mpsc::channel(STOOD);
    let instances = Instances::start(threads, clock, &stands);
    let instances = Arc::new(instances.context("starting the threads of worlds")?);
    let services = services(ground, Arc::new(live), lines, blob, instances)?;
    Ok(Inside { services, moments, stood })
}

/// The services of who is who and of what they were given, each on those below it.
fn identity(
    ground: &Arc<Ground>,
    servers: &Arc<Servers>,
) -> (Arc<Dids>, Arc<Credentials>, Arc<Persons>, Arc<Badges>) {
    let dids = Arc::new(Dids::new(ground.clone()));
    let credentials = Arc::new(Credentials::new(ground.clone(), dids.clone()));
    let persons = Arc::new(Persons::new(ground.clone(), dids.clone(), servers.clone()));
    let badges = Badges::new(ground.clone(), persons.clone(), credentials.clone());
    (dids, credentials, persons, Arc::new(badges))
}

/// The services of a node, each on those below it.
fn services(
    ground: Arc<Ground>,
    live: Arc<Live>,
    lines: outbound::Servers,
    blob: Blob,
    instances: Arc<Instances>,
) -> anyhow::Result<Services> {
    let accounts = Arc::new(Accounts::new(ground.clone()));
    let servers = Arc::new(Servers::new(ground.clone(), lines));
    let rooms = Arc::new(Rooms::new(ground.clone(), servers.clone()));
    let social = Arc::new(Social::new(ground.clone(), live.clone()));
    let content = Arc::new(Content::new(ground.clone(), servers.clone(), blob));
    let (dids, credentials, persons, badges) = identity(&ground, &servers);
    let bodies = Bodies::new(ground.clone(), content.clone(), instances.clone(), credentials);
    let bodies = Arc::new(bodies);
    let push = Arc::new(Push::new(ground.clone()));
    let app_services = AppServices::new(ground.clone(), rooms.clone(), live.clone())?;
    let emails = Emails::new(ground.clone(), accounts.clone()).context("preparing for mail")?;
    let encryption = Arc::new(Encryption::new(ground.clone(), servers.clone()));
    let identity_servers = Arc::new(IdentityServers::new(ground.clone()));
    let federation = Federation::new(
        ground.clone(),
        rooms.clone(),
        servers.clone(),
        identity_servers.clone(),
        encryption.clone(),
        live.clone(),
    );
    let federation = Arc::new(federation);
    let beside = Beside {
        rooms: rooms.clone(),
        social: social.clone(),
        content: content.clone(),
        bodies: bodies.clone(),
        instances: instances.clone(),
        persons: persons.clone(),
        badges: badges.clone(),
        servers: servers.clone(),
        federation: federation.clone(),
    };
    let worlds = Worlds::new(ground.clone(), beside);
    let affairs = Affairs::new(
        ground.clone(),
        accounts.clone(),
        rooms.clone(),
        federation.clone(),
        identity_servers.clone(),
        social.clone(),
    );
    let affairs = Arc::new(affairs);
    let beneath = Beneath {
        rooms: rooms.clone(),
        federation: federation.clone(),
        social: social.clone(),
        live: live.clone(),
        persons: persons.clone(),
    };
    let friends = Arc::new(Friends::new(ground.clone(), beneath));
    let moving = moving::Beneath {
        persons: persons.clone(),
        friends: friends.clone(),
        social: social.clone(),
        servers: servers.clone(),
        bodies: bodies.clone(),
        badges: badges.clone(),
    };
    let moving = Arc::new(Moving::new(ground.clone(), moving));
    let wallets = Wallets::new(ground.clone(), dids.clone(), persons.clone());
    Ok(Services {
        emails: Arc::new(emails),
        identity_servers,
        oauth: OAuth::new(ground.clone(), accounts.clone()),
        providers: Providers::new(ground.clone(), accounts.clone(), wallets)?,
        persons,
        dids,
        oversight: Oversight::new(ground.clone(), accounts.clone(), rooms.clone(), affairs.clone()),
        affairs,
        accounts,
        app_services: Arc::new(app_services),
        reports: Reports::new(ground.clone(), rooms.clone()),
        search: Arc::new(Search::new(ground.clone())),
        federation,
        friends,
        moving,
        servers,
        rooms,
        social,
        encryption,
        sync: Sync::new(ground.clone(), live.clone(), push.clone()),
        push,
        previews: Arc::new(Previews::new(ground.clone(), content.clone())),
        content,
        bodies,
        badges,
        worlds: Arc::new(worlds),
        instances,
        ground,
        live,
    })
}

/// What makes a node itself is settled at its first start and never changes.
async fn settle(
    store: &Store,
    config: &Config,
    purpose: Purpose,
    clock: Clock,
) -> anyhow::Result<(OwnedServerName, [u8; 32])> {
    let wished = match &config.server_name {
        Some(name) => name.clone(),
        None => try_out_name(config)?,
    };
    let settled = store.snapshot().await?.node_fact("server_name").await?;
    if purpose == Purpose::Command && settled.is_none() && config.server_name.is_none() {
        // Whoever looks at a folder, perhaps the wrong one, does not make a try-out of it for ever.
        bail!(
            "there is no node in {} yet: name one with `wayside init NAME`, or start a try-out \
             with `wayside serve`",
            config.data.display()
        );
    }
    if let (Some(settled), Some(named)) = (&settled, &config.server_name)
        && settled.as_slice() != named.as_bytes()
    {
        let settled = String::from_utf8_lossy(settled);
        if settled.starts_with(TRY_OUT) {
            bail!(
                "this data belongs to a try-out, whose ids hold no name, and you call it {named}: \
                 take a new data folder with --data, and a new database if you use one"
            );
        }
        bail!(
            "this data belongs to the node {settled}, and you call it {named}: a name is for ever, so \
             use that name or a new data folder"
        );
    }
    let token_key = clock.random::<32>();
    let facts = store
        .write(move |tx| {
            Box::pin(async move {
                let name = tx.settle_node_fact("server_name", wished.as_bytes()).await?;
                let token_key = tx.settle_node_fact("token_key", &token_key).await?;
                Ok::<_, StoreError>((name, token_key))
            })
        })
        .await?;
    let name = String::from_utf8(facts.0).context("reading the node's name")?;
    let name = ServerName::parse(&name).context("reading the node's name")?;
    let token_key = <[u8; 32]>::try_from(facts.1).ok().context("reading the node's keys")?;
    Ok((name, token_key))
}

/// The key with which this node signs, and those with which it did before. One that is to retire does
/// so at the start of the node: what it signs until then, others may check against it.
async fn signing_keys(
    store: &Store,
    purpose: Purpose,
    clock: Clock,
) -> anyhow::Result<(ServerKey, Vec<OldKey>)> {
    let (seed, now_ms) = (clock.random::<32>(), clock.now_ms());
    let keys = store
        .write(move |tx| {
            Box::pin(async move {
                let keys = servers::signing_keys(tx).await?;
                let newest = keys.first();
                if newest.is_none_or(|key| key.retiring && purpose == Purpose::Serving) {
                    let key_id = format!("ed25519:{}", keys.len() + 1);
                    tx.begin_signing(&key_id, seed, now_ms).await?;
                }
                servers::signing_keys(tx).await
            })
        })
        .await?;
    let mut keys = keys.into_iter().map(|key| {
        let version = key.key_id.trim_start_matches("ed25519:");
        let read = ServerKey::from_seed(key.seed, version);
        Ok::<_, anyhow::Error>((read.context("reading the node's signing key")?, key.expired_ms))
    });
    let (newest, _) = keys.next().context("the node has no signing key")??;
    let old = keys.map(|key| {
        let (key, expired_ms) = key?;
        let expired = matrix_time(expired_ms.unwrap_or(now_ms));
        Ok((key.key_id().to_string(), key.public_key_base64(), expired))
    });
    Ok((newest, old.collect::<anyhow::Result<_>>()?))
}

/// A node without a name can be reached on this machine only, and is called so.
fn try_out_name(config: &Config) -> anyhow::Result<OwnedServerName> {
    let port = match config.federation.port() {
        0 => 8448,
        port => port,
    };
    ServerName::parse(format!("{TRY_OUT}{port}")).context("naming a try-out")
}

/// Makes the data folder, which only its owner may look into.
pub fn make_folder(folder: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("making the data folder {}", folder.display()))
}

/// Opens the doors of a node.
pub async fn start(config: Config) -> anyhow::Result<Running> {
    certificates::check(&config)?;
    let Inside { services, moments, stood } = open(config, Purpose::Serving).await?;
    services.content.sweep_unfinished().await.context("sweeping unfinished uploads")?;
    services.worlds.found().await.context("making the first world")?;
    services.app_services.prepare().await.context("making way for application services")?;
    let ground = services.ground.clone();
    let (stop, tasks) = (ground.stop.clone(), ground.tasks.clone());
    let config = &ground.config;
    duty(&tasks, "sweeping files", services.content.sweep_unnamed());
    let (remembering, ringing) = services.sync.follow(moments);
    duty(&tasks, "remembering news", remembering);
    duty(&tasks, "ringing for news", ringing);
    let commits = ground.store.bus().listen();
    duty(&tasks, "counting unread events", services.push.clone().follow(commits));
    let telling = services.federation.clone().tell(ground.store.bus().listen());
    duty(&tasks, "telling other servers", telling);
    let feeling = services.federation.clone().feel(ground.store.bus().listen());
    duty(&tasks, "gathering moments for other servers", feeling);
    duty(&tasks, "asking for devices of others", services.encryption.clone().mend_all());
    duty(&tasks, "telling push gateways", services.push.clone().deliver());
    duty(&tasks, "showing what is said in worlds", services.worlds.clone().follow());
    duty(&tasks, "indexing what is said", services.search.clone().follow());
    duty(&tasks, "gathering for application services", services.app_services.clone().gather());
    for service in services.app_services.reachable() {
        let deliver = services.app_services.clone().deliver(service);
        duty(&tasks, "delivering to an application service", deliver);
    }
    let telling = services.friends.clone().follow(ground.store.bus().listen());
    duty(&tasks, "telling friends where people are", telling);
    let handing = services.moving.clone().hand_out(ground.store.bus().listen());
    duty(&tasks, "handing out copies of what people need to move", handing);
    duty(&tasks, "keeping to ban lists", services.worlds.clone().keep_to_lists());
    duty(&tasks, "looking after doors", services.worlds.clone().look_after_doors());
    duty(&tasks, "keeping where people stand", services.worlds.clone().remember(stood));
    let lan = lan_address();
    let certificates = Arc::new(certificates_of(&ground, lan)?);
    let secure = Door::Secure(Arc::new(certificates.config()?));
    // The sockets are bound before the routers exist, because the pages tell their addresses.
    let bind = |name: &'static str, address: SocketAddr| async move {
        let socket = tokio::net::TcpListener::bind(address).await;
        socket.with_context(|| format!("listening for {name} on {address}"))
    };
    let http = bind("HTTP", config.http).await?;
    let https = bind("HTTPS", config.https).await?;
    let federation = bind("federation", config.federation).await?;
    let http_url = url("http", http.local_addr()?);
    let https_at = https.local_addr()?;
    let https_url = url("https", https_at);
    let federation_at = federation.local_addr()?;
    let federation_url = url("https", federation_at);
    let delegated = match &config.federation_address {
        Some(address) => address.to_string(),
        None => format!("{}:{}", ground.server_name.host(), federation_at.port()),
    };
    let lan = lan.filter(|_| !https_at.ip().is_loopback());
    let lan_url = lan.map(|address| url("https", SocketAddr::new(address, https_at.port())));
    let public = public_url(config, lan_url.as_deref(), &http_url, &https_url);
    let meter = services.instances.meter();
    services.accounts.offer_passkeys(&public);
    services.persons.settle(&public);
    services.providers.settle();
    let metrics = Metrics::new(ground.clock, ground.store.clone(), certificates.clone(), meter);
    let places = Places { public, https: https_url.clone(), federation: delegated };
    let app = Arc::new(App::new(services, metrics, places));
    let clients = gateway::router(&app, gateway::routes());
    let servers = gateway::router(&app, gateway::federation_routes());
    let plain = Door::Plain {
        https: lan_url.clone().unwrap_or_else(|| https_url.clone()),
        proxies: config.trusted_proxies.clone().into(),
    };
    let listeners = [
        Listener::new(http, plain, clients.clone()),
        Listener::new(https, secure.clone(), clients),
        Listener::new(federation, secure, servers),
    ];
    let cut = CancellationToken::new();
    let hall = hall(&app, &cut);
    for listener in listeners {
        duty(&tasks, "listening", listener.serve(hall.clone()));
    }
    duty(&tasks, "sweeping the moment", sweep(app.clone(), stop.clone()));
    duty(&tasks, "forgetting requests", forget(app.clone(), stop.clone()));
    duty(&tasks, "letting old talk go", let_go(app.clone(), stop.clone()));
    duty(&tasks, "finishing what was begun", resume(app.clone()));
    duty(&tasks, "giving memory back", memory::give_back(stop.clone()));
    let renewing = certificates.clone().follow(ground.clock, stop.clone());
    duty(&tasks, "renewing certificates", renewing);
    Ok(Running {
        http: http_url,
        https: https_url,
        federation: federation_url,
        lan: lan_url,
        fingerprint: certificates.fingerprint(),
        app,
        tasks,
        stop,
        cut,
    })
}

impl Running {
    /// Ends the node: takes no more requests, answers those under way, cuts off what takes too
    /// long, syncs the store. It has ended within five seconds, whatever others do.
    pub async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        // Those inside are told before their connections end, and where they stand is kept.
        let instances = self.app.services.instances.clone();
        let ending = tokio::task::spawn_blocking(move || instances.end());
        if timeout(DRAIN, ending).await.is_err() {
            tracing::warn!("the threads of worlds did not end in time");
        }
        if timeout(DRAIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some requests did not end in time and are cut off");
            self.cut.cancel();
            if timeout(CUT, self.tasks.wait()).await.is_err() {
                tracing::warn!("some tasks go on though they were cut off");
            }
        }
        if timeout(CLOSE, self.app.services.ground.store.close()).await.is_err() {
            tracing::warn!("the store did not close in time; what it acknowledged is on disk");
        }
    }
}

/// What the listeners share.
fn hall(app: &App, cut: &CancellationToken) -> Hall {
    let ground = &app.services.ground;
    let config = &ground.config;
    // A fourth part of the files that may be open is left for all else.
    let most = config.max_connections.min(descriptors::raise() / 4 * 3);
    let (each, proxies) = (config.max_connections_per_address, config.trusted_proxies.clone());
    let crowd = Crowd::new(most, each, proxies.into(), app.metrics.connections.clone());
    Hall {
        clock: ground.clock,
        tasks: ground.tasks.clone(),
        stop: ground.stop.clone(),
        cut: cut.clone(),
        crowd: Arc::new(crowd),
        pace: Pace::default(),
    }
}

/// Does what an earlier process had begun and did not finish.
async fn resume(app: Arc<App>) {
    if let Err(error) = app.services.affairs.finish_ended().await {
        tracing::warn!(%error, "not everybody whose account has ended could leave their rooms");
    }
    if let Err(error) = app.services.oversight.resume().await {
        tracing::warn!(%error, "not all rooms are deleted that were to be; it goes on at the next start");
    }
    if let Err(error) = app.services.rooms.catch_up().await {
        tracing::warn!(%error, "not all that was there before is looked through; it goes on at the next start");
    }
}

/// Has a duty done beside everything else. One that breaks off is missed only later and elsewhere, so
/// its name is told at once.
fn duty(tasks: &TaskTracker, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
    tasks.spawn(async move {
        if AssertUnwindSafe(work).catch_unwind().await.is_err() {
            tracing::error!(name, "a duty of the node broke off: restart it");
        }
    });
}

/// Ends now and then what has lasted too long, while there is something that does.
async fn sweep(app: Arc<App>, stop: CancellationToken) {
    let (live, clock) = (&app.services.live, app.services.ground.clock);
    let mut stirs = live.stirs();
    let sweeping = async {
        loop {
            // What stirs after the look is seen all the same.
            stirs.borrow_and_update();
            if !live.sweep(clock.now_ms()) && stirs.changed().await.is_err() {
                break;
            }
            sleep(LIVE_SWEEP).await;
        }
    };
    stop.run_until_cancelled(sweeping).await;
}

/// Forgets now and then requests that nobody repeats any more.
async fn forget(app: Arc<App>, stop: CancellationToken) {
    let mut seldom = steady(FORGETTING);
    while stop.run_until_cancelled(seldom.tick()).await.is_some() {
        app.services.rooms.forget_requests().await;
        app.services.federation.forget_answers().await;
        app.services.servers.forget_strangers().await;
        app.services.worlds.forget_places().await;
        app.services.encryption.forget_letters().await;
        app.services.oauth.forget().await;
        app.services.accounts.sweep().await;
        app.services.previews.sweep().await;
        app.services.emails.sweep().await;
    }
}

/// Lets go now and then of what was said longer ago than it is kept.
async fn let_go(app: Arc<App>, stop: CancellationToken) {
    let mut seldom = steady(RETENTION);
    while stop.run_until_cancelled(seldom.tick()).await.is_some() {
        let now_ms = app.services.ground.clock.now_ms();
        match app.services.rooms.forget_old(now_ms).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "what was said long ago is gone"),
            Err(error) => {
                tracing::warn!(%error, "letting old talk go failed; it is tried again");
            }
        }
        match app.services.rooms.collect_states(now_ms).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "nodes of states that nothing names are gone"),
            Err(error) => {
                tracing::warn!(%error, "removing old states failed; it is tried again");
            }
        }
    }
}

/// How many threads worlds get.
fn world_threads(config: &Config) -> usize {
    match config.world_threads {
        0 => std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1)),
        threads => threads,
    }
}

fn steady(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn certificates_of(ground: &Ground, lan: Option<IpAddr>) -> anyhow::Result<Certificates> {
    let config = &ground.config;
    if let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) {
        return Ok(Certificates::files(certificate, key)?);
    }
    let name = ground.server_name.host().to_owned();
    let authority = Authority::open(&config.data.join("tls"), &name)?;
    let mut names = vec!["localhost".to_owned()];
    let mut addresses: Vec<IpAddr> = vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    addresses.extend(lan);
    match name.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => addresses.push(address),
        Err(_) if !names.contains(&name) => names.insert(0, name),
        Err(_) => {}
    }
    let own = Certificates::own(authority, names, addresses, ground.clock.now_ms())?;
    let Some(wish) = Wish::of(config) else { return Ok(own) };
    let client = Chosen::new(config.trust_ca.as_deref())?;
    Ok(own.until_given(wish, &config.data.join("tls").join("acme"), client)?)
}

/// The address that people type: the operator's word, else the local network, else this machine.
fn public_url(config: &Config, lan: Option<&str>, http: &str, https: &str) -> String {
    if let Some(url) = &config.public_url {
        return url.trim_end_matches('/').to_owned();
    }
    let local = if config.http.ip().is_loopback() { http } else { https };
    lan.unwrap_or(local).to_owned()
}

/// A URL without a slash at its end; an address that means all of them is shown as this machine.
fn url(scheme: &str, address: SocketAddr) -> String {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    format!("{scheme}://{host}:{}", address.port())
}

/// The address of this machine in its local network, if it is in one.
fn lan_address() -> Option<IpAddr> {
    let interfaces = if_addrs::get_if_addrs().ok()?;
    let addresses = interfaces.iter().filter(|it| it.is_oper_up() && !is_inner(&it.name));
    let mut addresses: Vec<Ipv4Addr> = addresses
        .filter_map(|it| match it.ip() {
            IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_link_local() => Some(ip),
            _ => None,
        })
        .collect();
    // A home network has private addresses; a public one is the next best that others can reach.
    addresses.sort_by_key(|ip| !ip.is_private());
    addresses.first().copied().map(IpAddr::V4)
}

/// Whether an interface leads only to containers and virtual machines inside this machine.
fn is_inner(interface: &str) -> bool {
    ["docker", "br-", "veth", "virbr", "cni", "podman"].iter().any(|it| interface.starts_with(it))
}
