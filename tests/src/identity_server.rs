//! A real identity server, Sydent, which knows whose an address is and keeps invitations to the rest.

use std::{
    env,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdout, Command},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    Address, Authority, Leaf,
    programs::{end_of, signal_term, skip},
};

/// How long it may take to start, on a machine that does other things.
const READY_LIMIT: Duration = Duration::from_mins(1);
/// How long it may take to end by itself.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// The folder of what it writes, among those of other brands.
const BRAND: &str = "town";
/// How its mails begin. It fills in what stands in `%(...)s`.
const HEAD: &str = "\
From: %(from)s
To: %(to)s
Date: %(date)s
Message-ID: %(messageid)s
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
";
/// The rest of a mail to somebody who is invited: a word a line, for stories to read.
const INVITATION: &str = "\
Subject: %(subject_header_value)s

room: %(room_id)s
room_name: %(room_name)s
sender: %(sender)s
token: %(token)s
private_key: %(ephemeral_private_key)s
";
/// The rest of a mail to somebody who says that an address is theirs.
const VALIDATION: &str = "\
Subject: Is this your address?

link: %(link)s
token: %(token)s
";

/// How an identity server is started: with an address of its own, at whose port of federation clients
/// and servers find it by HTTPS.
#[derive(Debug)]
pub struct IdentityServerOptions {
    python: PathBuf,
    folder: PathBuf,
    address: Address,
    leaf: Leaf,
    authority: PathBuf,
    /// Where Sydent itself answers, in plain HTTP: it knows no other.
    inside: SocketAddr,
}

impl IdentityServerOptions {
    /// A Sydent on this folder that hands its mail to a port of `127.0.0.1`, or `None` with a word on
    /// it where `WAYSIDE_SYDENT` leads to none.
    pub(crate) fn find(
        folder: &Path,
        authority: &Authority,
        address: Address,
        mail_port: u16,
    ) -> Result<Option<Self>> {
        let python = env::var_os("WAYSIDE_SYDENT").map(PathBuf::from);
        let Some(python) = python.filter(|python| python.exists()) else {
            skip("WAYSIDE_SYDENT leads to no Sydent (make test sets it)")?;
            return Ok(None);
        };
        let templates = folder.join("templates").join(BRAND);
        fs::create_dir_all(&templates).with_context(|| format!("making {}", folder.display()))?;
        fs::write(templates.join("invite_template.eml"), format!("{HEAD}{INVITATION}"))?;
        fs::write(templates.join("verification_template.eml"), format!("{HEAD}{VALIDATION}"))?;
        fs::write(templates.join("verify_response_template.html"), "%(message)s\n")?;
        let (folder, inside) = (folder.to_owned(), address.free_port()?);
        let leaf = authority.leaf(&[&address.ip().to_string()])?;
        let authority = authority.pem().to_owned();
        let options = Self { python, folder, address, leaf, authority, inside };
        // Sydent adds its key to it.
        fs::write(options.config(), options.settings(mail_port))?;
        Ok(Some(options))
    }

    /// Starts it and waits until its doors are open.
    pub async fn start(self) -> Result<IdentityServer> {
        let http = Url::parse(&format!("http://{}/", self.inside))?;
        let mut server = IdentityServer { options: self, http, running: None };
        server.restart().await?;
        Ok(server)
    }

    fn config(&self) -> PathBuf {
        self.folder.join("sydent.conf")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("sydent.log")
    }

    /// How its door serves: what stands behind it knows no HTTP/2.
    fn tls(&self) -> Result<Arc<ServerConfig>> {
        let mut tls = Arc::unwrap_or_clone(self.leaf.server_config()?);
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(tls))
    }

    /// Its settings: loopback allowed, no limit on mails, and its process id said on standard output,
    /// which it does as soon as its doors are open.
    fn settings(&self, mail_port: u16) -> String {
        let (folder, name) = (self.folder.display(), self.address.server_name());
        let (ip, port) = (self.inside.ip(), self.inside.port());
        format!(
            "[general]
server.name = {name}
pidfile.path = /dev/stdout
templates.path = {folder}/templates
brand.default = {BRAND}
ip.whitelist = 127.0.0.0/8
[db]
db.file = {folder}/sydent.db
[http]
clientapi.http.bind_address = {ip}
clientapi.http.port = {port}
client_http_base = https://{name}
[email]
email.from = Sydent <sydent@town.test>
email.hostname = town.test
email.smtphost = 127.0.0.1
email.smtpport = {mail_port}
email.ratelimit_sender.burst = 1000000
"
        )
    }
}

/// An identity server, running or between two runs.
#[derive(Debug)]
pub struct IdentityServer {
    options: IdentityServerOptions,
    http: Url,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    /// Its standard output stays open: it may still say something there.
    _said: Lines<BufReader<ChildStdout>>,
    doors: JoinSet<()>,
}

impl IdentityServer {
    /// What clients call it, as `id_server`: the digits and the port, behind which it answers HTTPS
    /// with a certificate of the town.
    #[must_use]
    pub fn server_name(&self) -> String {
        self.options.address.server_name()
    }

    /// Where it answers plain HTTP.
    #[must_use]
    pub fn http(&self) -> &Url {
        &self.http
    }

    /// All it has logged, over all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(self.options.log_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Starts it again on the same data and at the same addresses, after `stop`.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "Sydent runs already");
        let options = &self.options;
        let log = File::options().create(true).append(true).open(options.log_file())?;
        let mut child = Command::new(&options.python)
            .args(["-m", "sydent.sydent"])
            .env("SYDENT_CONF", options.config())
            // Whom it trusts when it asks homeservers.
            .env("SSL_CERT_FILE", &options.authority)
            .current_dir(&options.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting Sydent")?;
        let stdout = child.stdout.take().context("Sydent has no standard output")?;
        let mut said = BufReader::new(stdout).lines();
        match timeout(READY_LIMIT, ready(&mut said)).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => bail!("Sydent ended instead of being ready:\n{}", self.log_tail()),
            Ok(Err(error)) => return Err(error).context("reading Sydent's standard output"),
            Err(_) => bail!("Sydent is not ready after {READY_LIMIT:?}:\n{}", self.log_tail()),
        }
        let mut doors = JoinSet::new();
        let door = open(options.address.federation(), options.tls()?, options.inside).await?;
        doors.spawn(door);
        self.running = Some(Running { child, _said: said, doors });
        Ok(())
    }

    /// Closes its doors, asks it to end, as a service manager does, and ends it where it does not. It
    /// forgets then whom it still had to tell of an address.
    pub async fn stop(&mut self) -> Result<()> {
        let mut running = self.running.take().context("Sydent does not run")?;
        running.doors.shutdown().await;
        signal_term(running.child.id().context("Sydent has ended by itself")?).await?;
        if timeout(STOP_LIMIT, running.child.wait()).await.is_err() {
            running.child.kill().await?;
        }
        Ok(())
    }

    fn log_tail(&self) -> String {
        end_of(&self.log())
    }
}

impl Drop for IdentityServer {
    /// One that still runs belongs to a story that broke off: the end of its log is shown. The
    /// process is killed with its handle, and the doors close with theirs.
    fn drop(&mut self) {
        if self.running.is_some() {
            let name = self.server_name();
            eprintln!("---- log of the Sydent {name} ----\n{}", self.log_tail());
        }
    }
}

/// Waits for its process id; `false` where it ends without.
async fn ready(said: &mut Lines<BufReader<ChildStdout>>) -> std::io::Result<bool> {
    while let Some(line) = said.next_line().await? {
        if line.parse::<u32>().is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Binds the HTTPS that the Matrix specification asks for, and returns what lets clients through it as
/// long as it is polled.
async fn open(
    place: SocketAddr,
    tls: Arc<ServerConfig>,
    inside: SocketAddr,
) -> Result<impl Future<Output = ()> + Send + use<>> {
    let listener = TcpListener::bind(place).await.with_context(|| format!("binding {place}"))?;
    let acceptor = TlsAcceptor::from(tls);
    Ok(async move {
        // They end with the door.
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(let_through(stream, acceptor.clone(), inside));
            while connections.try_join_next().is_some() {}
        }
    })
}

/// Who breaks off is no concern of the door.
async fn let_through(outside: TcpStream, acceptor: TlsAcceptor, inside: SocketAddr) {
    let Ok(mut outside) = acceptor.accept(outside).await else { return };
    let Ok(mut inside) = TcpStream::connect(inside).await else { return };
    let _broken_off = copy_bidirectional(&mut outside, &mut inside).await;
}
