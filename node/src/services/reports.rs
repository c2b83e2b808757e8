//! Reports of what is wrong, for those who run the node.

use std::sync::Arc;

use ruma::{EventId, RoomId, UserId};
use wayside_specs::limits;

use super::{
    Error, Ground,
    rooms::{Asker, Rooms},
};
use crate::store::{
    accounts,
    reports::{self, Report},
    rooms,
};

/// The service of reports.
pub struct Reports {
    ground: Arc<Ground>,
    rooms: Arc<Rooms>,
}

/// What a report is about.
#[derive(Clone, Debug)]
pub enum Subject<'a> {
    /// A room.
    Room(&'a RoomId),
    /// An event of a room that the reporter is in.
    Event(&'a RoomId, &'a EventId),
    /// A person.
    Person(&'a UserId),
}

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

impl Reports {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, rooms: Arc<Rooms>) -> Self {
        Self { ground, rooms }
    }

    /// Keeps a report. One of a room or person whom this node does not know is taken like any other
    /// and kept nowhere, so that nobody learns whether they are here.
    pub async fn report(
        &self,
        asker: &Asker,
        subject: Subject<'_>,
        reason: &str,
    ) -> Result<(), Error> {
        if reason.len() > limits::REASON_BYTES {
            return Err(Error::TooLarge("a reason has at most 4096 bytes".to_owned()));
        }
        if reason.contains('\0') {
            return Err(Error::Invalid("a reason holds no character NUL".to_owned()));
        }
        if let Subject::Room(room_id) = subject
            && room_id.as_str().len() < 2
        {
            return Err(Error::Invalid(format!("{room_id:?} is no room")));
        }
        if let Subject::Event(room_id, event_id) = subject {
            self.rooms.event_within(asker, room_id, event_id).await?;
        }
        let known = self.is_known(&subject).await?;
        let (mut room_id, mut event_id, mut user_id) = (None, None, None);
        match subject {
            Subject::Room(room) => room_id = Some(room.to_string()),
            Subject::Event(room, event) => {
                (room_id, event_id) = (Some(room.to_string()), Some(event.to_string()));
            }
            Subject::Person(person) => user_id = Some(person.to_string()),
        }
        let now_ms = self.ground.clock.now_ms();
        let report = Report {
            report_no: 0,
            reporter: asker.user_id.clone(),
            room_id,
            event_id,
            user_id,
            reason: reason.to_owned(),
            reported_ms: now_ms,
        };
        self.ground
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let since_ms = now_ms - DAY_MS;
                    let made = reports::count_since(tx, &report.reporter, since_ms).await?;
                    if made >= limits::REPORTS_PER_DAY {
                        let retry_ms = u64::try_from(DAY_MS).unwrap_or_default();
                        return Err(Error::TooOften { retry_ms });
                    }
                    if known {
                        tx.add_report(&report).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    /// Reports by their numbers, starting behind one; for operators.
    pub async fn page(&self, behind: i64, limit: i64) -> Result<Vec<Report>, Error> {
        Ok(reports::page(&mut self.ground.store.snapshot().await?, behind, limit).await?)
    }

    async fn is_known(&self, subject: &Subject<'_>) -> Result<bool, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        Ok(match subject {
            Subject::Room(room_id) => rooms::room(&mut snapshot, room_id).await?.is_some(),
            Subject::Event(..) => true,
            Subject::Person(user_id) => {
                accounts::account(&mut snapshot, user_id).await?.is_some()
                    || rooms::has_been_here(&mut snapshot, user_id).await?
            }
        })
    }
}
