//! How many files and connections this process may hold open at once.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that is made use of.
const MOST: u64 = 65_536;

/// Raises the limit of this process as far as the system lets it, and says what it is then. A
/// service manager often starts programs with 1,024, which a few hundred clients use up.
#[must_use]
pub fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(MOST, |maximum| maximum.min(MOST));
    let now = limit.current.unwrap_or(MOST);
    let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
    let reached =
        if now < wanted && setrlimit(Resource::Nofile, raised).is_ok() { wanted } else { now };
    usize::try_from(reached).unwrap_or(usize::MAX)
}
