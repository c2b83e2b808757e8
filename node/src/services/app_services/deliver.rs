//! The tasks that deliver: one for each service, in order, again and again until it has taken it.

use std::{
    collections::HashMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::{json, value::RawValue};
use tokio::time::sleep;
use wayside_federation::state::EventNo;

use super::{
    super::{
        Error,
        rooms::format::{Form, Unsigned, client_event},
    },
    AppService, AppServices, Method,
    moments::Waiting,
};
use crate::store::{
    StoreError,
    app_services::{self, Sending},
    events,
};

/// Events of one transaction.
const EVENTS: i64 = 100;
/// Bytes of events after which a transaction takes in no further one.
const BYTES: usize = 1024 * 1024;
/// Things of the moment of one transaction.
const MOMENTS: usize = 100;
/// How long a service may take to take one in.
const ANSWER: Duration = Duration::from_mins(1);
/// How long it is let be after the first failure; each further one doubles that.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest that it is let be.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

impl AppServices {
    /// The services to which something is delivered.
    #[must_use]
    pub fn reachable(&self) -> Vec<Arc<AppService>> {
        let all = self.ground.app_services.all().iter();
        all.filter(|service| service.url.is_some()).cloned().collect()
    }

    /// Delivers to one service, until the node stops.
    pub async fn deliver(self: Arc<Self>, service: Arc<AppService>) {
        let bell = self.bells.get(&service.id).cloned().unwrap_or_default();
        let stop = self.ground.stop.clone();
        let delivering = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let done = match self.next_transaction(&service).await {
                    Ok(None) => {
                        bell.notified().await;
                        continue;
                    }
                    Ok(Some(sending)) => self.send(&service, &sending).await,
                    Err(error) => Err(format!("{:#}", anyhow::Error::from(error))),
                };
                let Err(why) = done else {
                    pause = FIRST_PAUSE;
                    continue;
                };
                let (service, pause_s) = (&*service.id, pause.as_secs());
                tracing::warn!(
                    service,
                    why,
                    pause_s,
                    "an application service did not take its events"
                );
                pause = tokio::select! {
                    () = sleep(pause) => (pause * 2).min(LONGEST_PAUSE),
                    () = self.answered(service) => FIRST_PAUSE,
                };
            }
        };
        let _ended = stop.run_until_cancelled(delivering).await;
    }

    /// The transaction that is to be sent next: what was begun before, or else what has come since.
    async fn next_transaction(&self, service: &AppService) -> Result<Option<Sending>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        if let Some(sending) = app_services::sending(&mut snapshot, &service.id).await? {
            return Ok(Some(sending));
        }
        let queued = app_services::queued(&mut snapshot, &service.id, EVENTS).await?;
        let numbers: Vec<EventNo> = queued.iter().copied().map(EventNo).collect();
        let mut found = events::by_numbers(&mut snapshot, &numbers).await?;
        drop(snapshot);
        let (mut list, mut bytes, mut upto): (Vec<Box<RawValue>>, usize, i64) = (Vec::new(), 0, 0);
        for number in &numbers {
            // What was purged meanwhile is nobody's to see.
            if let Some(stored) = found.remove(number) {
                let event = client_event(&stored, Form::default(), Unsigned::default());
                if !list.is_empty() && bytes + event.get().len() > BYTES {
                    break;
                }
                bytes += event.get().len();
                list.push(event);
            }
            upto = number.0;
        }
        let moments = self.waiting().get_mut(&service.id).map(|it| it.take(MOMENTS));
        let moments = moments.unwrap_or_default();
        if numbers.is_empty() && moments.is_empty() {
            return Ok(None);
        }
        let mut body = json!({ "events": list });
        if !moments.is_empty() {
            body["ephemeral"] = moments.into();
        }
        let (id, body) = (service.id.clone(), body.to_string());
        let begin = self.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.begin_sending(&id, upto, body).await })
        });
        Ok(Some(begin.await?))
    }

    /// Sends a transaction, and notes that it has arrived.
    async fn send(&self, service: &AppService, sending: &Sending) -> Result<(), String> {
        let path = format!("/_matrix/app/v1/transactions/{}", sending.txn_no);
        let body = sending.body.clone().into_bytes();
        let reached = self.call(service, Method::PUT, &path, Some(body), ANSWER).await;
        let reached = reached.map_err(|error| error.to_string())?;
        if !reached.is_success() {
            return Err(format!("it answered {}", reached.status));
        }
        let (id, upto) = (service.id.clone(), sending.upto);
        let end = self.ground.store.write::<_, StoreError>(move |tx| {
            Box::pin(async move { tx.end_sending(&id, upto).await })
        });
        end.await.map_err(|error| error.to_string())
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, HashMap<Arc<str>, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
