//! Synapse, the server of others that the node is compared with, set up as well as it can be.

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use serde_json::json;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};
use wayside_tests::Client;

/// How long it may take to start: it makes its tables first.
const START: Duration = Duration::from_mins(1);
/// How long it may take to end by itself.
const END: Duration = Duration::from_secs(10);

/// A running Synapse with one process on SQLite.
pub(crate) struct Synapse {
    child: Child,
    pub(crate) base: Url,
    pub(crate) pid: u32,
}

impl Synapse {
    /// Starts one in a folder: rate limits raised, passwords cheap, nothing logged but warnings.
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let python: PathBuf = env::var_os("WAYSIDE_SYNAPSE")
            .context("WAYSIDE_SYNAPSE leads to no Synapse (make bench sets it)")?
            .into();
        ensure!(python.exists(), "there is no Synapse at {}", python.display());
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let at = folder.join("synapse");
        fs::create_dir_all(&at)?;
        let config = at.join("homeserver.yaml");
        fs::write(&config, settings(&at, port))?;
        fs::write(at.join("log.yaml"), LOG)?;
        let run = |more: &[&str]| {
            let mut command = Command::new(&python);
            command.args(["-m", "synapse.app.homeserver", "-c"]).arg(&config).args(more);
            command.current_dir(&at).stdin(Stdio::null()).kill_on_drop(true);
            command
        };
        let keys = run(&["--generate-keys"]).output().await.context("making Synapse's keys")?;
        let told = String::from_utf8_lossy(&keys.stderr);
        ensure!(keys.status.success(), "Synapse makes no keys: {told}");
        let log = File::create(at.join("log"))?;
        let child = run(&[]).stdout(log.try_clone()?).stderr(log).spawn()?;
        let pid = child.id().context("Synapse has ended at once")?;
        let base = Url::parse(&format!("http://127.0.0.1:{port}/"))?;
        let mut synapse = Self { child, base, pid };
        let begun = Instant::now();
        let nobody = Client::nobody(&synapse.base)?;
        while nobody.get("/_matrix/client/versions").await.is_err() {
            if begun.elapsed() > START || synapse.child.try_wait()?.is_some() {
                let told = fs::read_to_string(at.join("log")).unwrap_or_default();
                bail!("Synapse does not start: {told}");
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(synapse)
    }

    pub(crate) async fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.pid.to_string()).status().await?;
        if timeout(END, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}

const LOG: &str = "version: 1\nhandlers:\n  file:\n    class: logging.StreamHandler\n\
                   root:\n  level: WARNING\n  handlers: [file]\n";

/// Its settings, as JSON: any JSON is YAML.
fn settings(at: &Path, port: u16) -> String {
    let free = json!({ "per_second": 1_000_000, "burst_count": 1_000_000 });
    let mut all = json!({
        "server_name": "a.test",
        "pid_file": at.join("pid"),
        "report_stats": false,
        "bcrypt_rounds": 4,
        "enable_registration": true,
        "enable_registration_without_verification": true,
        "suppress_key_server_warning": true,
        "trusted_key_servers": [],
        "signing_key_path": at.join("signing.key"),
        "media_store_path": at.join("media"),
        "log_config": at.join("log.yaml"),
        "macaroon_secret_key": "bench",
        "form_secret": "bench",
        "caches": { "global_factor": 4.0 },
        "database": { "name": "sqlite3", "args": { "database": at.join("homeserver.db") } },
        "listeners": [{
            "port": port, "type": "http", "bind_addresses": ["127.0.0.1"],
            "resources": [{ "names": ["client"] }],
        }],
        "rc_login": { "address": free, "account": free, "failed_attempts": free },
        "rc_joins": { "local": free, "remote": free },
        "rc_invites": { "per_room": free, "per_user": free, "per_issuer": free },
    });
    for name in ["message", "registration", "presence", "room_creation", "joins_per_room"] {
        all[format!("rc_{name}")] = free.clone();
    }
    all.to_string()
}
