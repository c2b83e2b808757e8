//! Certificates of an authority that is asked for them by ACME (RFC 8555).
//!
//! The authority looks at the encrypted doors themselves for proof that the names lead here. At most
//! one attempt is under way; every one is counted on disk before it begins, and after each that fails
//! the next comes later, or when the authority says.

mod attempt;
mod kept;
mod line;
mod pace;
mod proof;
mod renewal;

use std::{fmt, ops::Range, path::Path, sync::Mutex, time::Duration};

use sha2::{Digest, Sha256};
use tokio::time::timeout;
use x509_parser::extensions::GeneralName;

pub use self::proof::ACME_TLS;
pub(super) use self::proof::{Proofs, SITE, wants_proof};
use self::{
    attempt::AcmeError,
    kept::{Attempts, Kept},
    line::Line,
};
use super::{CertificateError, Served, locked};
use crate::{clock::Clock, config::Config, outbound::Chosen};

/// How long all of one attempt may take.
const ATTEMPT: Duration = Duration::from_mins(10);
/// Most letters that are logged of what an authority says.
const SAID: usize = 1_000;

/// What is asked for, and whom.
#[derive(Clone, Debug)]
pub struct Wish {
    directory: String,
    contact: Option<String>,
    binding: Option<Binding>,
    names: Vec<String>,
}

/// By what an authority knows the operator already (RFC 8555, 7.3.4).
#[derive(Clone)]
struct Binding {
    key_id: String,
    key: Vec<u8>,
}

impl fmt::Debug for Binding {
    /// The key is a secret.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Binding").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl Wish {
    /// What the settings wish, if they do.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let directory = config.acme_directory.clone()?;
        let contact = config.acme_contact.clone();
        let binding = config.acme_binding().map(|(key_id, key)| Binding { key_id, key });
        Some(Self { directory, contact, binding, names: config.certificate_names() })
    }
}

/// How getting certificates goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many attempts failed since the last certificate.
    pub failures: u32,
    /// When the last one failed, in milliseconds since the epoch.
    pub failed_ms: Option<i64>,
    /// When the next one is made, in milliseconds since the epoch.
    pub next_ms: i64,
}

/// Gets certificates from one authority.
pub(super) struct Acme {
    wish: Wish,
    kept: Kept,
    client: Chosen,
    pub(super) proofs: Proofs,
    state: Mutex<State>,
}

struct State {
    attempts: Attempts,
    /// When the certificate that is here is to be replaced; `None` where there is none yet.
    due_ms: Option<i64>,
    /// Whether that is because its authority wishes so.
    is_wished: bool,
    /// That certificate, and from when to when it is good.
    leaf: Option<(Vec<u8>, Range<i64>)>,
    /// When its authority is asked for its wishes.
    ask_ms: i64,
}

impl Acme {
    /// Opens what is kept below a folder, and gives the certificate that is there.
    pub(super) fn open(
        wish: Wish,
        folder: &Path,
        client: Chosen,
    ) -> Result<(Self, Option<Served>), CertificateError> {
        let kept = Kept::open(folder, &wish.directory)?;
        let served = kept.certificate();
        let attempts = kept.attempts(&wish.names);
        let due_ms = served.as_ref().map(|served| due_ms(served, &wish.names));
        let leaf = served.as_ref().map(leaf_of);
        let state = State { attempts, due_ms, is_wished: false, leaf, ask_ms: 0 };
        let state = Mutex::new(state);
        Ok((Self { wish, kept, client, proofs: Proofs::default(), state }, served))
    }

    /// Whether there is a certificate of the authority.
    pub(super) fn has_certificate(&self) -> bool {
        locked(&self.state).due_ms.is_some()
    }

    /// How it goes.
    pub(super) fn standing(&self) -> Standing {
        let State { attempts, due_ms, .. } = &*locked(&self.state);
        let Attempts { failures, failed_ms, next_ms, .. } = *attempts;
        let waits_until = if failures > 0 { next_ms } else { 0 };
        Standing { failures, failed_ms, next_ms: waits_until.max(due_ms.unwrap_or(0)) }
    }

    /// Says at the start what is under way.
    pub(super) fn announce(&self, clock: Clock) {
        let Wish { directory, names, .. } = &self.wish;
        if self.has_certificate() {
            tracing::info!(directory, ?names, "certificates come by ACME, and one is there");
        } else {
            tracing::info!(
                directory,
                ?names,
                "certificates come by ACME, and the node's own authority vouches until the first one"
            );
        }
        let Standing { failures, next_ms, .. } = self.standing();
        let again_in_s = (next_ms - clock.now_ms()) / 1000;
        if failures > 0 && again_in_s > 0 {
            tracing::warn!(
                failures,
                again_in_s,
                sooner = %self.kept.attempts_path().display(),
                "attempts before this start brought no certificate, and the next one waits: it is made \
                 at a restart if the file named sooner is removed"
            );
        }
    }

    /// Asks the authority when it wants the certificate replaced, if it is time to. Where it does not say,
    /// what is held of that stays.
    pub(super) async fn ask_when_due(&self, clock: Clock) {
        let now_ms = clock.now_ms();
        let (certificate, valid_ms) = {
            let mut state = locked(&self.state);
            // One that lacks a name is replaced in any case.
            let may_wait = state.due_ms.is_some_and(|due_ms| due_ms > now_ms);
            let Some(leaf) = state.leaf.clone().filter(|_| may_wait) else { return };
            if now_ms < state.ask_ms {
                return;
            }
            state.ask_ms = pace::wishes_again_ms(now_ms, None);
            leaf
        };
        let line = Line::new(self.client.clone(), clock);
        let wished = renewal::wished(&line, &self.wish.directory, &certificate, now_ms).await;
        let wished = match wished {
            Ok(Some(wished)) => wished,
            Ok(None) => return,
            Err(error) => {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::debug!(error, "the authority does not say when to replace a certificate");
                return;
            }
        };
        let mut state = locked(&self.state);
        let due_ms = pace::wished_ms(
            &wished.window_ms,
            &valid_ms,
            state.attempts.wished_ms,
            chance_of(&certificate),
        );
        if state.due_ms.is_some_and(|before_ms| due_ms < before_ms) {
            let in_s = (due_ms - now_ms).max(0) / 1000;
            tracing::info!(in_s, "the authority wants the certificate replaced sooner");
        }
        (state.due_ms, state.is_wished) = (Some(due_ms), true);
        state.ask_ms = pace::wishes_again_ms(now_ms, wished.again_ms);
    }

    /// Makes an attempt if its time has come. `None`: it has not, or it failed and that was said.
    pub(super) async fn attempt_when_due(&self, clock: Clock) -> Option<Served> {
        if !self.is_due(clock.now_ms()) {
            return None;
        }
        match self.attempt(clock).await {
            Ok(served) => Some(served),
            Err(error) => {
                let next_ms = self.standing().next_ms;
                let advice = error.advice();
                let said = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(
                    error = said.chars().take(SAID).collect::<String>(),
                    advice,
                    again_in_s = (next_ms - clock.now_ms()) / 1000,
                    sooner = %self.kept.attempts_path().display(),
                    "getting a certificate by ACME failed, and what was served before stays: it is \
                     tried again later, or at a restart if the file named sooner is removed"
                );
                None
            }
        }
    }

    fn is_due(&self, now_ms: i64) -> bool {
        let latest_ms = now_ms + pace::LONGEST_MS;
        let mut state = locked(&self.state);
        // Written down by a clock that was ahead, and has been put right.
        state.attempts.next_ms = state.attempts.next_ms.min(latest_ms);
        drop(state);
        self.standing().next_ms <= now_ms
    }

    async fn attempt(&self, clock: Clock) -> Result<Served, AcmeError> {
        self.remember(self.begin(clock)).await?;
        let replaces = {
            let state = locked(&self.state);
            let wished = state.leaf.as_ref().filter(|_| state.is_wished);
            wished.and_then(|(certificate, _)| renewal::identifier(certificate))
        };
        let line = Line::new(self.client.clone(), clock);
        let getting =
            attempt::certificate(&self.wish, &self.kept, &self.proofs, line.clone(), replaces);
        let got = timeout(ATTEMPT, getting).await;
        let error = match got.unwrap_or(Err(AcmeError::TooLong(ATTEMPT))) {
            Ok(served) => return Ok(self.got(served, clock).await),
            Err(error) => error,
        };
        let wish_ms = line.wish_ms().or_else(|| error.wish_ms(clock));
        self.remember(self.fail(wish_ms, clock)).await?;
        if error.is_account_unknown() {
            let kept = self.kept.clone();
            apart(move || kept.forget_account()).await??;
        }
        Err(error)
    }

    /// Counts an attempt as failed before it is made: whoever ends in the middle of it does not come
    /// again at once.
    fn begin(&self, clock: Clock) -> Attempts {
        let mut state = locked(&self.state);
        let is_wished = state.is_wished;
        let attempts = &mut state.attempts;
        if is_wished {
            attempts.wished_ms = Some(clock.now_ms());
        }
        attempts.failures = attempts.failures.saturating_add(1);
        attempts.next_ms = pace::again_ms(clock.now_ms(), attempts.failures, None, chance(clock));
        attempts.clone()
    }

    fn fail(&self, wish_ms: Option<i64>, clock: Clock) -> Attempts {
        let (mut state, now_ms) = (locked(&self.state), clock.now_ms());
        let attempts = &mut state.attempts;
        attempts.failed_ms = Some(now_ms);
        attempts.next_ms = pace::again_ms(now_ms, attempts.failures, wish_ms, chance(clock));
        attempts.clone()
    }

    async fn got(&self, served: Served, clock: Clock) -> Served {
        let due_ms = due_ms(&served, &self.wish.names);
        let attempts = {
            let mut state = locked(&self.state);
            (state.due_ms, state.is_wished) = (Some(due_ms), false);
            (state.leaf, state.ask_ms) = (Some(leaf_of(&served)), 0);
            if due_ms > clock.now_ms() {
                let (names, wished_ms) = (self.wish.names.clone(), state.attempts.wished_ms);
                state.attempts = Attempts { names, wished_ms, ..Attempts::default() };
            } else {
                // It counts as failed, or they would be ordered one after the other.
                tracing::warn!(
                    "the certificate that came by ACME is one to be replaced already, and the next is \
                     not asked for at once: see that the clock of this machine is right"
                );
            }
            state.attempts.clone()
        };
        if let Err(error) = self.remember(attempts).await {
            let error = anyhow::Error::from(error);
            tracing::warn!(
                error = format!("{error:#}"),
                "that getting a certificate succeeded could not be written down: see that the folder \
                 tls/acme of the data folder can be written and its disk has room"
            );
        }
        served
    }

    async fn remember(&self, attempts: Attempts) -> Result<(), AcmeError> {
        let kept = self.kept.clone();
        Ok(apart(move || kept.keep_attempts(&attempts)).await??)
    }
}

/// When a certificate is to be replaced: at once, where it lacks one of the names.
fn due_ms(served: &Served, names: &[String]) -> i64 {
    let given = names_of(served);
    if !names.iter().all(|name| given.contains(name)) {
        return 0;
    }
    pace::due_ms(&served.valid_ms, chance_of(&served.key.cert[0]))
}

/// A certificate, and from when to when it is good.
fn leaf_of(served: &Served) -> (Vec<u8>, Range<i64>) {
    (served.key.cert[0].to_vec(), served.valid_ms.clone())
}

/// Chance that every look finds again, without anybody keeping it.
fn chance_of(certificate: &[u8]) -> u64 {
    let digest = Sha256::digest(certificate);
    let mut eight = [0; 8];
    eight.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(eight)
}

/// The names that a certificate is for, in lower case.
fn names_of(served: &Served) -> Vec<String> {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&served.key.cert[0]) else {
        return Vec::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

fn chance(clock: Clock) -> u64 {
    u64::from_be_bytes(clock.random())
}

/// Reads or writes files where that keeps nobody waiting.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    tokio::task::spawn_blocking(work).await
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::tests::pair, *};

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    /// Some day of 2026.
    const NOW_MS: i64 = 1_780_000_000_000;

    fn open(folder: &Path, names: &[&str]) -> Acme {
        let names = names.iter().map(|it| (*it).to_owned()).collect();
        let directory = "https://ca.test/dir".to_owned();
        let wish = Wish { directory, contact: None, binding: None, names };
        Acme::open(wish, folder, Chosen::new(None).unwrap()).unwrap().0
    }

    #[test]
    fn the_first_certificate_is_asked_for_at_once_and_others_when_due() {
        let folder = tempfile::tempdir().unwrap();
        let acme = open(folder.path(), &["a.test"]);
        assert!(!acme.has_certificate() && acme.is_due(NOW_MS));
        // Good for more than two thousand years.
        let (chain, key) = pair("a.test");
        acme.kept.keep_certificate([key, chain].concat().as_bytes()).unwrap();
        let acme = open(folder.path(), &["a.test"]);
        assert!(acme.has_certificate() && !acme.is_due(NOW_MS));
        assert!(acme.standing().next_ms > NOW_MS + 365 * DAY_MS);
        let acme = open(folder.path(), &["a.test", "b.test"]);
        assert!(acme.has_certificate() && acme.is_due(NOW_MS), "one name is missing");
    }

    #[test]
    fn failures_are_waited_for_over_restarts_but_not_those_of_a_wrong_clock() {
        let folder = tempfile::tempdir().unwrap();
        let acme = open(folder.path(), &["a.test"]);
        acme.kept.keep_attempts(&acme.begin(Clock)).unwrap();
        acme.kept.keep_attempts(&acme.fail(None, Clock)).unwrap();
        let Standing { failures, failed_ms, next_ms } = acme.standing();
        assert!(failures == 1 && failed_ms.is_some_and(|it| it < next_ms));
        let acme = open(folder.path(), &["a.test"]);
        assert_eq!(acme.standing(), Standing { failures, failed_ms, next_ms });
        assert!(!acme.is_due(next_ms - 1) && acme.is_due(next_ms));
        assert!(open(folder.path(), &["b.test"]).is_due(next_ms - 1), "of other names");

        let mut ahead = acme.begin(Clock);
        ahead.next_ms = NOW_MS + 3_650 * DAY_MS;
        acme.kept.keep_attempts(&ahead).unwrap();
        let acme = open(folder.path(), &["a.test"]);
        assert!(!acme.is_due(NOW_MS) && !acme.is_due(NOW_MS + DAY_MS));
        assert!(acme.is_due(NOW_MS + pace::LONGEST_MS), "not for ten years");
        fs::remove_file(acme.kept.attempts_path()).unwrap();
        assert!(open(folder.path(), &["a.test"]).is_due(NOW_MS), "removed by the operator");
    }
}
