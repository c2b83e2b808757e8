//! The book of measured rows: kept in a JSON file, merged by name, shown as a table.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Which side of its limit a value should be on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// One measured number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) limit: Option<f64>,
    pub(crate) better: Better,
    /// Whether the value keeps its limit; true where there is none.
    pub(crate) ok: bool,
    /// How it was measured, and beside what.
    pub(crate) note: String,
}

impl Row {
    /// A row without a limit.
    pub(crate) fn new(name: &str, value: f64, unit: &str, better: Better) -> Self {
        Self {
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
            limit: None,
            better,
            ok: true,
            note: String::new(),
        }
    }

    /// A row in whose place nothing could be measured, which is never ok.
    pub(crate) fn unmeasured(name: &str, error: &anyhow::Error) -> Self {
        let note = format!("could not be measured: {error:#}");
        Self { ok: false, ..Self::new(name, 0.0, "", Better::Lower).note(note) }
    }

    /// The same row held to a limit.
    pub(crate) fn limit(self, limit: f64) -> Self {
        let ok = match self.better {
            Better::Lower => self.value <= limit,
            Better::Higher => self.value >= limit,
        };
        Self { limit: Some(limit), ok, ..self }
    }

    /// The same row with a word on how it was measured.
    pub(crate) fn note(self, note: impl Into<String>) -> Self {
        Self { note: note.into(), ..self }
    }
}

/// All rows ever measured here, each by its newest value.
pub(crate) struct Book {
    path: PathBuf,
    rows: BTreeMap<String, Row>,
}

impl Book {
    /// Reads the book, or begins one.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let rows: Vec<Row> = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("{} does not hold rows", path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let rows = rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        Ok(Self { path: path.to_owned(), rows })
    }

    /// Puts new rows in the place of older ones of their names.
    pub(crate) fn enter(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows.into_iter().map(|row| (row.name.clone(), row)));
    }

    /// Writes the book.
    pub(crate) fn save(&self) -> Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let rows: Vec<&Row> = self.rows.values().collect();
        let text = serde_json::to_string_pretty(&rows)?;
        fs::write(&self.path, text + "\n")
            .with_context(|| format!("writing {}", self.path.display()))
    }
}

impl fmt::Display for Book {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in self.rows.values() {
            let Row { name, value, unit, note, .. } = row;
            let limit = match (row.limit, row.better) {
                (None, _) => String::new(),
                (Some(limit), Better::Lower) => format!("<= {limit}"),
                (Some(limit), Better::Higher) => format!(">= {limit}"),
            };
            let verdict = if row.ok { "ok" } else { "MISSED" };
            // What is small would be nothing with one digit behind the point.
            let digits = if value.abs() < 10.0 { 3 } else { 1 };
            writeln!(
                out,
                "{name:<40} {value:>10.digits$} {unit:<6} {limit:<9} {verdict:<6} {note}"
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Better, Book, Row};

    #[test]
    fn a_limit_is_kept_from_its_better_side_and_the_edge_belongs_to_it() {
        let row = |better| Row::new("a", 10.0, "ms", better);
        assert!(row(Better::Lower).limit(10.0).ok && row(Better::Higher).limit(10.0).ok);
        assert!(!row(Better::Lower).limit(9.9).ok && !row(Better::Higher).limit(10.1).ok);
        assert!(row(Better::Lower).ok);
    }

    #[test]
    fn rows_are_merged_by_name_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out/bench.json");
        let row = |name, value| Row::new(name, value, "ms", Better::Lower).note("n");
        let mut book = Book::open(&path).unwrap();
        book.enter([row("a", 1.0), row("b", 2.0)]);
        book.save().unwrap();

        let mut book = Book::open(&path).unwrap();
        book.enter([row("b", 3.0)]);
        book.save().unwrap();
        let book = Book::open(&path).unwrap();
        let values: Vec<(&str, f64)> =
            book.rows.values().map(|row| (row.name.as_str(), row.value)).collect();
        assert_eq!(values, [("a", 1.0), ("b", 3.0)]);
    }

    #[test]
    fn a_file_that_is_no_book_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bench.json");
        std::fs::write(&path, "notes of mine").unwrap();
        assert!(Book::open(&path).is_err());
    }
}
