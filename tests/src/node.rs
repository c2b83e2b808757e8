//! One node as a process: started, stopped, killed and started again on the same data.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    Address, Database, Destination, Metrics,
    programs::{end_of, node_program, signal_term},
};

/// From start to the ready line, with room for a machine that does other things.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// From SIGTERM to the end: what an operator's service manager is promised.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// How a node is started. Its doors open on free ports of the loopback address.
#[derive(Debug)]
pub struct Options {
    data: PathBuf,
    log: PathBuf,
    flags: Vec<String>,
    environment: Vec<(String, OsString)>,
    database: Option<Database>,
    file_limit: Option<u64>,
    /// Kept so that nobody else takes it.
    _address: Option<Address>,
}

impl Options {
    /// A node on this data folder with open registration and no rate limit, without a first world,
    /// and with no name as yet.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        let flags = "--http 127.0.0.1:0 --https 127.0.0.1:0 --federation 127.0.0.1:0 --registration open --no-rate-limit --first-world=false";
        Self {
            data: data.to_owned(),
            log: data.with_extension("log"),
            flags: flags.split(' ').map(str::to_owned).collect(),
            environment: Vec::new(),
            database: None,
            file_limit: None,
            _address: None,
        }
    }

    /// Gives the node its server name.
    #[must_use]
    pub fn named(self, server_name: &str) -> Self {
        self.flag("--server-name", Some(server_name))
    }

    /// Lets other servers reach the node at an address of its own, by which it is named.
    #[must_use]
    pub fn at(self, address: Address) -> Self {
        let named = self.named(&address.server_name());
        let set = named
            .flag("--federation", Some(&address.federation().to_string()))
            .flag("--https", Some(&address.port(0).to_string()));
        Self { _address: Some(address), ..set }
    }

    /// Puts the node on a database of its own.
    #[must_use]
    pub fn on(self, database: Database) -> Self {
        Self { database: Some(database), ..self }
    }

    /// Sets a flag, in place of its earlier value if it had one.
    #[must_use]
    pub fn flag(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(at) = self.flags.iter().position(|flag| flag == name) {
            self.flags.drain(at..(at + 1 + usize::from(value.is_some())).min(self.flags.len()));
        }
        self.flags.push(name.to_owned());
        self.flags.extend(value.map(str::to_owned));
        self
    }

    /// Takes a flag that has no value away again.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.flags.retain(|flag| flag != name);
        self
    }

    /// Lets the node make its first world.
    #[must_use]
    pub fn with_first_world(self) -> Self {
        self.without("--first-world=false")
    }

    /// Sets a variable of the node's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Lets the system refuse to write files of the node beyond a size, in KiB, which is neither a
    /// full disk nor a wrong permission.
    #[must_use]
    pub fn file_limit(self, kibibytes: u64) -> Self {
        Self { file_limit: Some(kibibytes), ..self }
    }

    /// The data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The server name; empty where it has none as yet.
    #[must_use]
    pub fn server_name(&self) -> &str {
        let at = self.flags.iter().position(|flag| flag == "--server-name");
        at.and_then(|at| self.flags.get(at + 1)).map_or("", String::as_str)
    }

    /// Starts the node and waits until it is ready.
    pub async fn start(self) -> Result<Node> {
        let mut node = Node { options: self, running: None, ready_in: Duration::ZERO };
        node.restart().await?;
        Ok(node)
    }

    /// Starts a node that must refuse to run, and returns how it did.
    pub async fn start_refused(&self) -> Result<Refusal> {
        let mut serve = self.program()?;
        self.serve(&mut serve);
        ended(serve).await
    }

    /// Runs another command of the program, with `--data` of this node, to its end.
    pub async fn run(&self, command: &[&str]) -> Result<Refusal> {
        let mut program = self.program()?;
        program.args(command).arg("--data").arg(&self.data);
        ended(program).await
    }

    fn serve(&self, program: &mut Command) {
        program.arg("serve").arg("--data").arg(&self.data).args(&self.flags);
        if let Some(database) = &self.database {
            program.args(["--database", database.url()]);
        }
    }

    fn program(&self) -> Result<Command> {
        let program = node_program()?;
        let mut command = match self.file_limit {
            None => Command::new(program),
            Some(kibibytes) => {
                // Without the trap, the signal that comes with the refusal would end the node.
                let limited =
                    format!("trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"", kibibytes * 2);
                let mut shell = Command::new("sh");
                shell.args(["-c", &limited]).arg(program);
                shell
            }
        };
        command.kill_on_drop(true).stdin(Stdio::null());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }
}

/// Runs a command of the program that is not to stay.
async fn ended(mut command: Command) -> Result<Refusal> {
    let Ok(output) = timeout(READY_LIMIT, command.output()).await else {
        bail!("{:?} still runs after {READY_LIMIT:?}", command.as_std());
    };
    let output = output.with_context(|| format!("running {:?}", command.as_std()))?;
    Ok(Refusal {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// How a command of the program ended that was not to stay.
#[derive(Debug)]
pub struct Refusal {
    /// Its exit code or signal.
    pub status: ExitStatus,
    /// All it said on standard output.
    pub stdout: String,
    /// All it said on standard error.
    pub stderr: String,
}

impl Refusal {
    /// Checks the contract of a refusal: a non-zero exit code and one readable sentence on standard
    /// error that names what was wrong.
    pub fn names(&self, what: &str) -> Result<()> {
        let said = self.stderr.trim();
        ensure!(
            self.status.code().is_some_and(|code| code != 0),
            "ended with {} saying {said:?}",
            self.status
        );
        ensure!(!said.contains("panicked at"), "panicked: {said}");
        ensure!(
            said.to_lowercase().contains(&what.to_lowercase()),
            "does not name {what:?}: {said:?}"
        );
        Ok(())
    }
}

/// A node, running or between two runs.
#[derive(Debug)]
pub struct Node {
    options: Options,
    running: Option<Running>,
    ready_in: Duration,
}

#[derive(Debug)]
struct Running {
    child: Child,
    addresses: BTreeMap<String, Url>,
    /// Keeps reading standard output: a full pipe would stop the node.
    reader: JoinHandle<()>,
}

impl Node {
    /// Where it answers plain HTTP.
    #[must_use]
    pub fn http(&self) -> &Url {
        self.address("http")
    }

    /// Where it answers HTTPS.
    #[must_use]
    pub fn https(&self) -> &Url {
        self.address("https")
    }

    /// Where other nodes reach it.
    #[must_use]
    pub fn federation(&self) -> &Url {
        self.address("federation")
    }

    /// Its server name; empty where it has none as yet.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.options.server_name()
    }

    /// It as other servers know it.
    #[must_use]
    pub fn destination(&self) -> Destination {
        Destination { name: self.server_name().to_owned(), url: self.federation().clone() }
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.options.data()
    }

    /// How long its last start took, from the call to the ready line.
    #[must_use]
    pub fn ready_in(&self) -> Duration {
        self.ready_in
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().and_then(|running| running.child.id())
    }

    /// All it has logged, over all its runs.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.options.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Reads its metrics.
    pub async fn metrics(&self) -> Result<Metrics> {
        let answer = reqwest::get(self.http().join("/metrics")?).await?.error_for_status()?;
        Metrics::parse(&answer.text().await?)
    }

    /// Runs another command of the program on its data to its end, beside it or while it rests.
    pub async fn command(&self, command: &[&str]) -> Result<Refusal> {
        self.command_told(command, Stdio::null()).await
    }

    /// Runs another command as [`Node::command`] does, with this file as its standard input.
    pub async fn command_told(&self, command: &[&str], input: impl Into<Stdio>) -> Result<Refusal> {
        let mut program = self.options.program()?;
        program.args(command).arg("--data").arg(&self.options.data).stdin(input);
        if let Some(database) = &self.options.database {
            program.args(["--database", database.url()]);
        }
        ended(program).await
    }

    /// Gives an option this value at the next start, or takes it away.
    pub fn change(&mut self, name: &str, value: Option<&str>) {
        if let Some(at) = self.options.flags.iter().position(|flag| flag == name) {
            self.options.flags.drain(at..at + 2);
        }
        let flag = value.map(|value| [name.to_owned(), value.to_owned()]);
        self.options.flags.extend(flag.into_iter().flatten());
    }

    /// Starts it again on the same data, after `stop` or `kill`.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(self.running.is_none(), "the node runs already");
        let log = File::options().create(true).append(true).open(&self.options.log)?;
        let mut command = self.options.program()?;
        self.options.serve(&mut command);
        command.stdout(Stdio::piped()).stderr(log.try_clone()?);

        let begun = Instant::now();
        let mut child = command.spawn().context("starting the node")?;
        let stdout = child.stdout.take().context("the node has no standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let ready = timeout(READY_LIMIT, ready_line(&mut lines, &log)).await;
        self.ready_in = begun.elapsed();
        let addresses = match ready {
            Ok(Ok(Some(line))) => parse_ready(&line)?,
            Ok(Ok(None)) => bail!(
                "the node ended ({}) instead of being ready:\n{}",
                child.wait().await?,
                self.log_tail()
            ),
            Ok(Err(error)) => return Err(error).context("reading the node's standard output"),
            Err(_) => bail!("the node is not ready after {READY_LIMIT:?}:\n{}", self.log_tail()),
        };
        let reader = tokio::spawn(keep_reading(lines, log));
        self.running = Some(Running { child, addresses, reader });
        Ok(())
    }

    /// Asks it to end, as a service manager does, and returns how long it took.
    pub async fn stop(&mut self) -> Result<Duration> {
        let mut running = self.running.take().context("the node does not run")?;
        let begun = Instant::now();
        signal_term(running.child.id().context("the node has ended by itself")?).await?;
        let Ok(status) = timeout(STOP_LIMIT, running.child.wait()).await else {
            bail!("the node still runs {STOP_LIMIT:?} after SIGTERM");
        };
        let took = begun.elapsed();
        let status = status?;
        running.reader.await?;
        ensure!(status.success(), "the node ended with {status} after SIGTERM");
        Ok(took)
    }

    /// Ends it without a warning, as a power cut would.
    pub async fn kill(&mut self) -> Result<()> {
        let mut running = self.running.take().context("the node does not run")?;
        if let Some(status) = running.child.try_wait()? {
            bail!("the node ended by itself ({status}) before it was killed");
        }
        running.child.kill().await?;
        running.reader.await?;
        Ok(())
    }

    fn address(&self, door: &str) -> &Url {
        let running = self.running.as_ref().expect("a story asks a running node for its address");
        running.addresses.get(door).expect("parse_ready has checked that every door is named")
    }

    fn log_tail(&self) -> String {
        end_of(&self.log())
    }
}

impl Drop for Node {
    /// A node that still runs belongs to a story that broke off: the end of its log is shown. The
    /// process is killed with its handle.
    fn drop(&mut self) {
        if self.running.is_some() {
            eprintln!(
                "---- log of the node on {} ----\n{}",
                self.data().display(),
                self.log_tail()
            );
        }
    }
}

async fn ready_line(
    lines: &mut Lines<BufReader<ChildStdout>>,
    mut log: &File,
) -> std::io::Result<Option<String>> {
    while let Some(line) = lines.next_line().await? {
        writeln!(log, "{line}")?;
        if line.starts_with("ready ") {
            return Ok(Some(line));
        }
    }
    Ok(None)
}

async fn keep_reading(mut lines: Lines<BufReader<ChildStdout>>, mut log: File) {
    while let Ok(Some(line)) = lines.next_line().await {
        // A log that cannot be written must not stop the node.
        let _ = writeln!(log, "{line}");
    }
}

fn parse_ready(line: &str) -> Result<BTreeMap<String, Url>> {
    let mut addresses = BTreeMap::new();
    for word in line.split_whitespace().skip(1) {
        let (door, url) =
            word.split_once('=').with_context(|| format!("{word:?} is not door=URL"))?;
        let url = Url::parse(url).with_context(|| format!("{url:?} is not a URL"))?;
        addresses.insert(door.to_owned(), url);
    }
    for door in ["http", "https", "federation"] {
        ensure!(addresses.contains_key(door), "no {door}=URL in {line:?}");
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Options, parse_ready};

    #[test]
    fn the_ready_line_names_every_door() {
        let line = "ready http=http://127.0.0.1:1 https=https://127.0.0.1:2 federation=https://127.0.0.1:3";
        assert_eq!(parse_ready(line).unwrap()["https"].port(), Some(2));
        for wrong in [
            "ready",
            "ready http=http://127.0.0.1:1",
            "ready http=nowhere https=x federation=y",
            "ready http",
        ] {
            assert!(parse_ready(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_flag_given_again_replaces_its_value() {
        let options = Options::new(Path::new("a")).flag("--http", Some("127.0.0.1:1"));
        let given: Vec<&String> =
            options.flags.iter().filter(|flag| flag.starts_with("--http")).collect();
        assert_eq!(given, ["--https", "--http"]);
        assert_eq!(options.flags.last().map(String::as_str), Some("127.0.0.1:1"));
    }
}
