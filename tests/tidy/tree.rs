//! The files that the rules look at, read once.

use std::{fmt, fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::rust_file::RustFile;

/// A place where a rule is broken.
#[derive(Debug)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    what: String,
}

impl Violation {
    /// In a line of a file, counted from 1.
    pub(crate) fn at(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }

    /// In a file as a whole.
    pub(crate) fn in_file(path: &str, what: impl Into<String>) -> Self {
        Self::at(path, 1, what)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct TextFile {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl TextFile {
    /// Its lines, counted from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// The files of the project, or of a sample.
#[derive(Debug)]
pub(crate) struct Tree {
    /// Every file that is text, by path.
    pub(crate) texts: Vec<TextFile>,
    /// The Rust files among them that can be parsed.
    pub(crate) rust: Vec<RustFile>,
    /// Paths of all files, text or not.
    pub(crate) paths: Vec<String>,
}

impl Tree {
    /// All files that git keeps or would keep: committed ones and new ones, but no ignored ones.
    pub(crate) fn of_project() -> Result<Self> {
        let package = wayside_tests::package_folder();
        let root = package.parent().context("tests/ is in no folder")?;
        let output = Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
            .current_dir(root)
            .output()
            .context("running git")?;
        ensure!(output.status.success(), "git: {}", String::from_utf8_lossy(&output.stderr));
        let list = String::from_utf8(output.stdout).context("a path is not UTF-8")?;

        let (mut texts, mut paths) = (Vec::new(), Vec::new());
        for path in list.split('\0').filter(|path| !path.is_empty()) {
            // A file that was deleted and not yet committed is still listed.
            let Ok(bytes) = fs::read(root.join(path)) else {
                continue;
            };
            paths.push(path.to_owned());
            if let Ok(text) = String::from_utf8(bytes) {
                texts.push(TextFile { path: path.to_owned(), text });
            }
        }
        ensure!(!texts.is_empty(), "git lists no file");
        Ok(Self::new(texts, paths))
    }

    /// The files of a sample.
    pub(crate) fn of_sample(files: &[(&str, &str)]) -> Self {
        let texts = files
            .iter()
            .map(|(path, text)| TextFile { path: (*path).to_owned(), text: (*text).to_owned() })
            .collect();
        Self::new(texts, files.iter().map(|(path, _)| (*path).to_owned()).collect())
    }

    fn new(texts: Vec<TextFile>, paths: Vec<String>) -> Self {
        let is_rust = |file: &&TextFile| is_kind(&file.path, "rs");
        let mut rust: Vec<_> = texts.iter().filter(is_rust).filter_map(RustFile::parse).collect();
        let test_places: Vec<_> = rust.iter().flat_map(RustFile::test_places).collect();
        for file in &mut rust {
            let declared = test_places.iter().any(|place| file.path.starts_with(place));
            // The folder in which cargo looks for a room's own integration tests.
            let apart = ["/tests/", "/benches/"].iter().any(|place| file.path.contains(place));
            if declared || apart {
                file.set_apart();
            }
        }
        Self { texts, rust, paths }
    }

    /// The Rust files under one of these folders.
    pub(crate) fn rust_under(&self, folders: &[&str]) -> impl Iterator<Item = &RustFile> {
        self.rust.iter().filter(|file| folders.iter().any(|folder| file.path.starts_with(folder)))
    }

    /// The text files of a kind, by the end of their names.
    pub(crate) fn texts_of(&self, kind: &str) -> impl Iterator<Item = &TextFile> {
        self.texts.iter().filter(move |file| is_kind(&file.path, kind))
    }
}

pub(crate) fn is_kind(path: &str, kind: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == kind)
}
