//! A real Synapse: the server of others with which nodes federate and are compared.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use serde_json::{Value, json};
use tokio::{
    net::UnixDatagram,
    process::{Child, Command},
    time::timeout,
};

use crate::{
    Address, Authority, Destination, Leaf, SigningKey,
    programs::{end_of, signal_term, skip},
};

/// How long it may take to start: it makes its tables first, on a machine that does other things.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long it may take to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// What it tells a service manager when all its doors are open (`sd_notify(3)`).
const READY: &[u8] = b"READY=1";

/// How a Synapse is started: one process on SQLite, with an address of its own as its server name.
#[derive(Debug)]
pub struct SynapseOptions {
    python: PathBuf,
    folder: PathBuf,
    address: Address,
    authority: PathBuf,
    settings: Value,
    log_level: String,
}

impl SynapseOptions {
    /// A Synapse on this folder, or `None` with a word on it where `WAYSIDE_SYNAPSE` leads to none. It
    /// signs as it did if it has run on the folder before.
    pub(crate) fn find(
        folder: &Path,
        authority: &Authority,
        address: Address,
    ) -> Result<Option<Self>> {
        let python = env::var_os("WAYSIDE_SYNAPSE").map(PathBuf::from);
        let Some(python) = python.filter(|python| python.exists()) else {
            skip("WAYSIDE_SYNAPSE leads to no Synapse (make test sets it)")?;
            return Ok(None);
        };
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let leaf = authority.leaf(&[&address.ip().to_string()])?;
        let mut settings = settings(folder, &address, &leaf, authority.pem())?;
        settings["signing_key"] = json!(signing_key(folder)?);
        let (folder, log_level) = (folder.to_owned(), "INFO".to_owned());
        let authority = authority.pem().to_owned();
        Ok(Some(Self { python, folder, address, authority, settings, log_level }))
    }

    /// Sets a key of its configuration, in place of what stood there.
    #[must_use]
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.settings[key] = value;
        self
    }

    /// Logs from this level on: what is written costs time, which counts where it is measured.
    #[must_use]
    pub fn log_level(self, level: &str) -> Self {
        Self { log_level: level.to_owned(), ..self }
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Result<Synapse> {
        let door = |scheme: &str, listener: usize| {
            let port = &self.settings["listeners"][listener]["port"];
            Url::parse(&format!("{scheme}://{}:{port}/", self.address.ip()))
        };
        let (federation, http) = (door("https", 0)?, door("http", 1)?);
        let ready_in = Duration::ZERO;
        let mut synapse = Synapse { options: self, http, federation, running: None, ready_in };
        synapse.restart().await?;
        Ok(synapse)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("homeserver.log")
    }
}

/// A Synapse, running or between two runs.
#[derive(Debug)]
pub struct Synapse {
    options: SynapseOptions,
    http: Url,
    federation: Url,
    running: Option<Child>,
    ready_in: Duration,
}

impl Synapse {
    /// Where clients reach it.
    #[must_use]
    pub fn http(&self) -> &Url {
        &self.http
    }

    /// Where other servers reach it.
    #[must_use]
    pub fn federation(&self) -> &Url {
        &self.federation
    }

    /// Its server name.
    #[must_use]
    pub fn server_name(&self) -> String {
        self.options.address.server_name()
    }

    /// It as other servers know it.
    #[must_use]
    pub fn destination(&self) -> Destination {
        Destination { name: self.server_name(), url: self.federation.clone() }
    }

    /// How long its last start took.
    #[must_use]
    pub fn ready_in(&self) -> Duration {
        self.ready_in
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(Child::id)
    }

    /// All it has logged, over all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.options.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Starts it again on the same data and at the same addresses, after `stop` or `kill`.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "Synapse runs already");
        let (folder, log_file) = (&self.options.folder, self.options.log_file());
        let config = folder.join("homeserver.yaml");
        // Any JSON is YAML.
        fs::write(&config, self.options.settings.to_string())?;
        fs::write(folder.join("log.yaml"), logging(&log_file, &self.options.log_level))?;
        let log = File::options().create(true).append(true).open(&log_file)?;
        let notice = folder.join("notice");
        let _of_a_run_before = fs::remove_file(&notice);
        let told = UnixDatagram::bind(&notice)?;

        let begun = Instant::now();
        let mut child = Command::new(&self.options.python)
            .args(["-m", "synapse.app.homeserver", "-c"])
            .arg(&config)
            .env("NOTIFY_SOCKET", &notice)
            // Whom it trusts where it asks others than servers: its own setting is for these alone.
            .env("SSL_CERT_FILE", &self.options.authority)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting Synapse")?;
        tokio::select! {
            ready = timeout(READY_LIMIT, ready(&told)) => match ready {
                Ok(ready) => ready?,
                Err(_) => bail!("Synapse is not ready after {READY_LIMIT:?}:\n{}", self.log_tail()),
            },
            ended = child.wait() => {
                bail!("Synapse ended ({}) instead of being ready:\n{}", ended?, self.log_tail());
            }
        }
        self.ready_in = begun.elapsed();
        self.running = Some(child);
        Ok(())
    }

    /// Asks it to end, as a service manager does, and ends it where it does not.
    pub async fn stop(&mut self) -> Result<()> {
        let mut running = self.running.take().context("Synapse does not run")?;
        signal_term(running.id().context("Synapse has ended by itself")?).await?;
        if timeout(STOP_LIMIT, running.wait()).await.is_err() {
            running.kill().await?;
        }
        Ok(())
    }

    /// Ends it without a warning, as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        let mut running = self.running.take().context("Synapse does not run")?;
        Ok(running.kill().await?)
    }

    fn log_tail(&self) -> String {
        end_of(&self.log())
    }
}

impl Drop for Synapse {
    /// One that still runs belongs to a story that broke off: the end of its log is shown. The
    /// process is killed with its handle.
    fn drop(&mut self) {
        if self.running.is_some() {
            let name = self.server_name();
            eprintln!("---- log of the Synapse {name} ----\n{}", self.log_tail());
        }
    }
}

async fn ready(told: &UnixDatagram) -> Result<()> {
    let mut word = [0; 64];
    loop {
        let length = told.recv(&mut word).await?;
        if word[..length].starts_with(READY) {
            return Ok(());
        }
    }
}

/// The line of its key: that of the folder, or a new one.
fn signing_key(folder: &Path) -> Result<String> {
    let place = folder.join("signing.key");
    if !place.exists() {
        fs::write(&place, SigningKey::generate("a_1")?.line())?;
    }
    fs::read_to_string(&place).with_context(|| format!("reading {}", place.display()))
}

fn logging(file: &Path, level: &str) -> String {
    let format = "%(asctime)s %(levelname)s %(name)s %(request)s %(message)s";
    let all = json!({
        "version": 1,
        "formatters": { "line": { "format": format } },
        "handlers": {
            "file": { "class": "logging.FileHandler", "filename": file, "formatter": "line" },
        },
        "root": { "level": level, "handlers": ["file"] },
        "disable_existing_loggers": false,
    });
    all.to_string()
}

/// Its settings: no limits on how often one may ask, passwords cheap, the town trusted and nobody
/// else, loopback allowed, and no long silence towards a server that was away.
fn settings(folder: &Path, address: &Address, leaf: &Leaf, authority: &Path) -> Result<Value> {
    let clients = address.free_port()?;
    let listener = |port: u16, tls: bool, names: &[&str]| {
        let resources = json!([{ "names": names, "compress": false }]);
        json!({
            "port": port, "type": "http", "tls": tls, "bind_addresses": [address.ip()],
            "resources": resources,
        })
    };
    let mut all = json!({
        "server_name": address.server_name(),
        "public_baseurl": format!("http://{clients}/"),
        "pid_file": folder.join("pid"),
        "report_stats": false,
        "listeners": [
            listener(address.federation().port(), true, &["federation"]),
            listener(clients.port(), false, &["client"]),
        ],
        "tls_certificate_path": leaf.certificate,
        "tls_private_key_path": leaf.key,
        "federation_custom_ca_list": [authority],
        "federation_verify_certificates": true,
        "ip_range_blacklist": [],
        "federation_ip_range_blacklist": [],
        "trusted_key_servers": [],
        "suppress_key_server_warning": true,
        "media_store_path": folder.join("media"),
        "log_config": folder.join("log.yaml"),
        "database": { "name": "sqlite3", "args": { "database": folder.join("homeserver.db") } },
        "caches": { "global_factor": 4.0 },
        "macaroon_secret_key": "of the tests",
        "form_secret": "of the tests",
        "bcrypt_rounds": 4,
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "presence": { "enabled": true },
        "allow_public_rooms_over_federation": true,
        "room_list_publication_rules": [{ "action": "allow" }],
        "federation": {
            "client_timeout": "10s", "max_short_retries": 1, "max_long_retries": 1,
            "destination_min_retry_interval": "1s", "destination_retry_multiplier": 1,
            "destination_max_retry_interval": "5s",
        },
    });
    raise_limits(&mut all);
    Ok(all)
}

/// Lifts everything that Synapse limits by time.
fn raise_limits(settings: &mut Value) {
    let free = json!({ "per_second": 1_000_000, "burst_count": 1_000_000 });
    let simple = [
        "message",
        "registration",
        "registration_token_validity",
        "admin_redaction",
        "joins_per_room",
        "key_requests",
        "3pid_validation",
        "third_party_invite",
        "media_create",
        "room_creation",
        "reports",
        "user_directory",
        "profile",
        "delayed_event_mgmt",
    ];
    for name in simple {
        settings[format!("rc_{name}")] = free.clone();
    }
    settings["rc_login"] = json!({ "address": free, "account": free, "failed_attempts": free });
    settings["rc_joins"] = json!({ "local": free, "remote": free });
    settings["rc_invites"] = json!({ "per_room": free, "per_user": free, "per_issuer": free });
    settings["rc_presence"] = json!({ "per_user": free });
    settings["rc_federation"] = json!({
        "window_size": 1_000, "sleep_limit": 100_000, "sleep_delay": 1,
        "reject_limit": 100_000, "concurrent": 1_000,
    });
}
