//! Finding a server: the steps of discovery taken, and what was found remembered while it lasts.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ruma::OwnedServerName;
use wayside_federation::discovery::{
    Search, Step, WELL_KNOWN_BYTES, Way, believed_for, failed_for, read_well_known,
};

use super::{Server, Servers};
use crate::outbound::{Beyond, Bounds, CallError, Line, Url};

/// What a `.well-known` document may cost.
const WELL_KNOWN: Bounds =
    Bounds { bytes: WELL_KNOWN_BYTES, beyond: Beyond::Refused, time: Duration::from_secs(10) };
/// How long addresses are used without looking them up again.
const ADDRESSES_LAST: Duration = Duration::from_mins(10);

/// Where a server was found.
#[derive(Default)]
pub(super) struct Found {
    line: Option<(Arc<Line>, Instant)>,
    /// To whom it has delegated, if to anybody, and until when that is believed.
    delegated: Option<(Option<OwnedServerName>, Instant)>,
    /// How often in a row there was no word on that.
    silences: u32,
}

impl Servers {
    /// The line to a server, opened if there is none.
    pub(super) async fn line(&self, server: &Server) -> Result<Arc<Line>, CallError> {
        let mut found = server.found.lock().await;
        let now = self.ground.clock.instant();
        if let Some((line, until)) = &found.line
            && now < *until
        {
            return Ok(line.clone());
        }
        let way = self.way(server, &mut found).await?;
        let line = Arc::new(self.lines.open(&way).await?);
        found.line = Some((line.clone(), now + ADDRESSES_LAST));
        Ok(line)
    }

    /// Forgets where a server was found, after it could not be reached there.
    pub(super) async fn lost(&self, server: &Server) {
        server.found.lock().await.line = None;
    }

    async fn way(&self, server: &Server, found: &mut Found) -> Result<Way, CallError> {
        let mut search = Search::of(&server.name);
        loop {
            match search.step() {
                Step::Found(way) => return Ok(way),
                Step::WellKnown(host) => {
                    search = search.well_known(self.delegation(&host, found).await);
                }
                Step::Services(name) => {
                    let services = self.lines.services(&name).await?;
                    let lot = u64::from_be_bytes(self.ground.clock.random());
                    match search.services(services, lot) {
                        Ok(way) => return Ok(way),
                        Err(further) => search = further,
                    }
                }
            }
        }
    }

    /// To whom a server has delegated, as its `.well-known` document says.
    async fn delegation(&self, host: &str, found: &mut Found) -> Option<OwnedServerName> {
        let now = self.ground.clock.instant();
        if let Some((delegated, until)) = &found.delegated
            && now < *until
        {
            return delegated.clone();
        }
        let (delegated, lasts) = if let Some((delegated, lasts)) = self.well_known(host).await {
            found.silences = 0;
            (Some(delegated), lasts)
        } else {
            found.silences = found.silences.saturating_add(1);
            (None, failed_for(found.silences))
        };
        found.delegated = Some((delegated.clone(), now + lasts));
        delegated
    }

    async fn well_known(&self, host: &str) -> Option<(OwnedServerName, Duration)> {
        let url = Url::parse(&format!("https://{host}/.well-known/matrix/server")).ok()?;
        let answer = self.ground.outbound.get(&url, false, "application/json", WELL_KNOWN).await;
        let answer = match answer {
            Ok(answer) if answer.status.is_success() => answer,
            // Most servers have none.
            Ok(_) => return None,
            Err(error) => {
                tracing::debug!(%error, "a server has no word on where it is");
                return None;
            }
        };
        let delegated = read_well_known(&answer.bytes)?;
        Some((delegated, believed_for(answer.cache_control.as_deref())))
    }
}
