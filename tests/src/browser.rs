//! Pages of a real browser: a script in tests/browser holds them and does one step after the other.

use std::{env, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::programs::{package_folder, skip};

/// For one step, which may load a world on a machine that draws it without a graphics card.
const STEP_LIMIT: Duration = Duration::from_secs(200);
/// From the last step to the end of the script and its browser.
const END_LIMIT: Duration = Duration::from_secs(20);

/// A script that holds pages of a browser, or looks at files with the tools of the web. It ends
/// with its story, and its browser with it.
#[derive(Debug)]
pub struct Browser {
    name: String,
    child: Child,
    steps: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    /// Profiles of the browser; gone with it.
    _scratch: TempDir,
}

impl Browser {
    /// Starts `tests/browser/NAME`, or returns `None` with a word on it where the machine has no
    /// browser or the packages of the scripts are not there.
    pub fn open(name: &str) -> Result<Option<Self>> {
        let Some(packages) = env::var_os("WAYSIDE_BROWSER").filter(|it| Path::new(it).is_dir())
        else {
            skip("WAYSIDE_BROWSER names no folder of packages (make test sets it)")?;
            return Ok(None);
        };
        let program = env::var_os("WAYSIDE_CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".into());
        if !Path::new(&program).is_file() {
            skip("there is no Chromium")?;
            return Ok(None);
        }
        let tests = package_folder();
        let pictures = env::var_os("WAYSIDE_SHOTS")
            .unwrap_or_else(|| tests.with_file_name("out").join("shots").into());
        let scratch = tempfile::Builder::new().prefix("wayside-browser.").tempdir()?;
        let mut child = Command::new("node")
            .arg(tests.join("browser").join(name))
            .env("WAYSIDE_BROWSER", packages)
            .env("WAYSIDE_CHROMIUM", program)
            .env("WAYSIDE_SHOTS", pictures)
            .env("TMPDIR", scratch.path())
            .env("XDG_CONFIG_HOME", scratch.path())
            .env("XDG_CACHE_HOME", scratch.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting node, the program that runs scripts of the web")?;
        let steps = child.stdin.take().context("the script has no standard input")?;
        let answers = child.stdout.take().context("the script has no standard output")?;
        let answers = BufReader::new(answers).lines();
        Ok(Some(Self { name: name.to_owned(), child, steps, answers, _scratch: scratch }))
    }

    /// Lets the script do one of its steps, with what the step asks for, and returns what it says.
    pub async fn step(&mut self, step: &str, mut asked: Value) -> Result<Value> {
        let name = format!("{step} of {}", self.name);
        asked["step"] = json!(step);
        self.steps.write_all(format!("{asked}\n").as_bytes()).await?;
        let Ok(line) = timeout(STEP_LIMIT, self.answers.next_line()).await else {
            bail!("{name} took longer than {STEP_LIMIT:?}");
        };
        let line = line?.with_context(|| format!("the script ended instead of {name}"))?;
        let mut answer: Value =
            serde_json::from_str(&line).with_context(|| format!("{name} said {line:?}"))?;
        if let Some(why) = answer["failed"].as_str() {
            bail!("{name} failed: {why}");
        }
        Ok(answer["done"].take())
    }

    /// Ends the pages; an error if anything broke on one of them.
    pub async fn close(self) -> Result<()> {
        let Self { name, mut child, steps, .. } = self;
        drop(steps);
        let Ok(status) = timeout(END_LIMIT, child.wait()).await else {
            bail!("{name} still runs {END_LIMIT:?} after its last step");
        };
        let status = status?;
        ensure!(status.success(), "{name} ended with {status}");
        Ok(())
    }
}
