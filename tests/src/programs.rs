//! Programs that the stories run: the node, Python, and what ends a process gently.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    time::timeout,
};

/// How much of a log a failing story shows.
const SHOWN_LOG_LINES: usize = 60;

/// Whether this run may not leave anything out.
fn is_ci() -> bool {
    env::var_os("CI").is_some_and(|value| value == "true")
}

/// The folder of this crate in the checkout that is being tested: a build that is shared between
/// checkouts may have been made in another one.
#[must_use]
pub fn package_folder() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// Leaves a story out because this machine lacks something: says so under the story's name, and
/// fails in CI, where setup brings everything.
pub fn skip(why: &str) -> Result<()> {
    let thread = std::thread::current();
    let story = thread.name().unwrap_or("a story");
    ensure!(!is_ci(), "{story} cannot be left out in CI: {why}");
    println!("skipped: {story}: {why}");
    Ok(())
}

/// The end of a log, as a failing story shows it.
pub(crate) fn end_of(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n")
}

/// Asks a process to end. The standard library can only kill, hence the shell.
pub(crate) async fn signal_term(pid: u32) -> Result<()> {
    let status = Command::new("sh").args(["-c", &format!("kill -TERM {pid}")]).status().await?;
    ensure!(status.success(), "process {pid} is not there to be ended");
    Ok(())
}

/// The node's program: `WAYSIDE_BIN`, else the one built beside the running test or bench.
pub(crate) fn node_program() -> Result<PathBuf> {
    if let Some(named) = env::var_os("WAYSIDE_BIN") {
        return Ok(named.into());
    }
    let here = env::current_exe().context("finding the running program")?;
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("wayside"))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!(
                "no program `wayside` beside {}: build it (cargo build --workspace --bins) or name it in WAYSIDE_BIN",
                here.display()
            )
        })
}

/// A script of the stories, run by the interpreter that has its packages.
#[derive(Debug)]
pub struct Script {
    program: PathBuf,
    path: PathBuf,
}

impl Script {
    /// The script `flows/NAME`, or `None` with a word on it where `WAYSIDE_PYTHON` is not set.
    pub fn find(name: &str) -> Result<Option<Self>> {
        let Some(python) = env::var_os("WAYSIDE_PYTHON") else {
            skip("WAYSIDE_PYTHON is not set (make test sets it)")?;
            return Ok(None);
        };
        let path = package_folder().join("flows").join(name);
        Ok(Some(Self { program: python.into(), path }))
    }

    /// The script `clients/NAME` of a client that others wrote, for Python or Node.js by its ending,
    /// or `None` with a word on it where one of the variables that lead to its packages leads nowhere.
    pub fn of_client(name: &str, packages: &[&str]) -> Result<Option<Self>> {
        for variable in packages {
            if !env::var_os(variable).is_some_and(|place| Path::new(&place).exists()) {
                skip(&format!("{variable} leads to nothing that is there (make test sets it)"))?;
                return Ok(None);
            }
        }
        // Packages of Python come with an interpreter of their own.
        let is_python = Path::new(name).extension().is_some_and(|ending| ending == "py");
        let python = || packages.first().and_then(env::var_os);
        let program = if is_python { python() } else { Some("node".into()) };
        let program = program.context("no variable leads to Python")?.into();
        Ok(Some(Self { program, path: package_folder().join("clients").join(name) }))
    }

    /// Runs the script to its end.
    pub async fn run(&self, arguments: &[&str], limit: Duration) -> Result<()> {
        self.answer(arguments, Vec::new(), limit).await.map(drop)
    }

    /// Runs the script to its end on what it is given, and reads the JSON that it prints.
    pub async fn ask(&self, arguments: &[&str], given: &Value, limit: Duration) -> Result<Value> {
        let printed = self.answer(arguments, given.to_string().into_bytes(), limit).await?;
        serde_json::from_slice(&printed).with_context(|| format!("{} spoke", self.path.display()))
    }

    /// Starts the script, which prints lines of JSON until its standard input ends.
    pub fn start(&self, arguments: &[&str]) -> Result<Speaker> {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn()?;
        let lines = child.stdout.take().context("the script has no standard output")?;
        Ok(Speaker { child, lines: BufReader::new(lines).lines() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.path).args(arguments).stdin(Stdio::piped()).kill_on_drop(true);
        command
    }

    async fn answer(&self, arguments: &[&str], given: Vec<u8>, limit: Duration) -> Result<Vec<u8>> {
        let name = self.path.display();
        let mut command = self.command(arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let run = async {
            let mut child = command.spawn()?;
            if let Some(mut input) = child.stdin.take() {
                input.write_all(&given).await?;
            }
            child.wait_with_output().await
        };
        let Ok(output) = timeout(limit, run).await else {
            bail!("{name} {arguments:?} took longer than {limit:?}");
        };
        let output = output.with_context(|| format!("running {name}"))?;
        ensure!(
            output.status.success(),
            "{name} {arguments:?} failed:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(output.stdout)
    }
}

/// A script that goes on, and prints lines of JSON; it ends with its story.
#[derive(Debug)]
pub struct Speaker {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Speaker {
    /// The next line.
    pub async fn next(&mut self, limit: Duration) -> Result<Value> {
        let Ok(line) = timeout(limit, self.lines.next_line()).await else {
            bail!("a script said nothing for {limit:?}");
        };
        let line = line?.context("a script ended")?;
        serde_json::from_str(&line).with_context(|| format!("a script said {line:?}"))
    }

    /// Ends it.
    pub async fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        ensure!(self.child.wait().await?.success(), "a script failed");
        Ok(())
    }
}

/// Bytes of memory that a process has now, as Linux tells them.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

/// The most bytes of memory that a process has ever had.
pub fn peak_bytes(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib = kib.with_context(|| format!("no {name} of process {pid}"))?;
    Ok(kib.parse::<u64>()? * 1024)
}
