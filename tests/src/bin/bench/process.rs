//! What the system knows of a process: its time on the processor, and its memory.

use std::{collections::HashMap, fs, time::Duration};

use anyhow::{Context, Result};
use wayside_tests::{peak_bytes, resident_bytes};

use crate::ground::megabytes;

/// Ticks of the clock by which Linux counts the time of processes.
const TICKS_PER_S: f64 = 100.0;

/// The time that a process and its threads have had of the processor, to ten milliseconds.
pub(crate) fn cpu_ms(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? * 1_000.0 / TICKS_PER_S)
}

/// The time that each thread of a process has had of the processor, to the nanosecond. What a thread
/// had that has ended is not in it.
#[derive(Debug)]
pub(crate) struct Threads(HashMap<String, Duration>);

impl Threads {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut threads = HashMap::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let task = task?;
            // One that ends meanwhile has no such file any more.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let nanoseconds = text.split(' ').next().context("no time in schedstat")?.parse()?;
            let name = task.file_name().to_string_lossy().into_owned();
            threads.insert(name, Duration::from_nanos(nanoseconds));
        }
        Ok(Self(threads))
    }

    /// What they have had since.
    pub(crate) fn since(&self, before: &Self) -> Duration {
        let had = |name: &String| before.0.get(name).copied().unwrap_or_default();
        self.0.iter().map(|(name, time)| time.saturating_sub(had(name))).sum()
    }
}

pub(crate) fn resident_mb(pid: u32) -> Result<f64> {
    Ok(megabytes(resident_bytes(pid)?))
}

pub(crate) fn peak_mb(pid: u32) -> Result<f64> {
    Ok(megabytes(peak_bytes(pid)?))
}
