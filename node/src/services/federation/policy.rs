//! What the policy server of a room says to events of others (server-server API, "Validating Policy Server signatures").

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use wayside_federation::{event::Event, policy::Policy, version::RoomVersion};

use super::{
    super::servers::{AskError, Unsigned, Urgency},
    Error, Federation,
    workers::on_each,
};

/// Questions about the events of one transaction that are asked at the same time.
const AT_ONCE: usize = 16;
/// For how long a policy server that does not answer is asked again: what it does not sign now is never
/// shown, and a server that begins anew is back in a moment.
const HICCUP: Duration = Duration::from_secs(3);

/// What is known of an event before it is decided on.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    /// By which policy server.
    pub(super) policy: Policy,
    /// Whether it has signed the event.
    pub(super) is_signed: bool,
}

impl Federation {
    /// Finds out what policy servers say to events, which come back with their signatures: what they have
    /// signed already they are not asked about.
    pub(super) async fn judge(
        &self,
        version: RoomVersion,
        events: Vec<(Policy, Event)>,
    ) -> Result<Vec<(Event, Judged)>, Error> {
        let ask = async |(event, judged): (Event, Judged)| {
            if judged.is_signed {
                return Ok::<_, Error>((event, judged));
            }
            match self.signed_in_time(version, &judged.policy, &event).await? {
                Ok(signed) => Ok((signed, Judged { is_signed: true, ..judged })),
                Err(why) => {
                    let (server, event_id) = (judged.policy.server(), event.id());
                    match why {
                        Unsigned::Refused(why) => {
                            tracing::debug!(?why, %server, %event_id, "an event is not signed");
                        }
                        Unsigned::Silent(why) => {
                            tracing::info!(why, %server, "a policy server is not to be had");
                        }
                    }
                    Ok((event, judged))
                }
            }
        };
        let looked_at = signed(version, events).await?;
        let mut answers = stream::iter(looked_at).map(ask).buffered(AT_ONCE);
        let mut told = Vec::new();
        while let Some(answer) = answers.next().await {
            told.push(answer?);
        }
        Ok(told)
    }

    /// Asks again for a moment while the server is not to be reached.
    async fn signed_in_time(
        &self,
        version: RoomVersion,
        policy: &Policy,
        event: &Event,
    ) -> Result<Result<Event, Unsigned>, Error> {
        let begun: Instant = self.ground.clock.instant();
        loop {
            let answer = self.servers.have_signed(policy, version, event, Urgency::Calm).await?;
            let Err(Unsigned::Silent(_)) = &answer else { return Ok(answer) };
            let wait = match self.servers.may_ask(policy.server()).await {
                Err(AskError::Node(error)) => return Err(error),
                Err(AskError::Paused { wait_ms, .. }) => {
                    Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0))
                }
                Ok(_) | Err(_) => return Ok(answer),
            };
            if self.ground.clock.instant() + wait > begun + HICCUP {
                return Ok(answer);
            }
            self.servers.wait_for(policy.server()).await;
        }
    }
}

/// Whether policy servers have signed events.
pub(super) async fn signed(
    version: RoomVersion,
    events: Vec<(Policy, Event)>,
) -> Result<Vec<(Event, Judged)>, Error> {
    let look = move |(policy, event): (Policy, Event)| {
        let is_signed = policy.has_signed(version, &event);
        (event, Judged { policy, is_signed })
    };
    on_each(events, look).await
}
