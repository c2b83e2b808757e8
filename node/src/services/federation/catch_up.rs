//! Servers that come back after so long that what they have missed does not wait for them any more.
//!
//! Of each room such a server gets what is newest. By that it learns that it has missed something, and asks
//! for the rest in its own time (server-server API, "Backfilling and retrieving missing events").

use ruma::{OwnedEventId, ServerName};
use wayside_federation::{outbox::PDUS, state::EventNo};

use super::{super::servers::AskError, Error, Federation};
use crate::store::{
    Tx,
    events::{self, StoredEvent, Verdict},
    rooms,
};

impl Federation {
    /// Lets what is newest in some of the rooms of which a server has missed more wait for it. Nothing is
    /// done while it is left alone: there would only be more by then.
    pub(super) async fn catch_up(&self, server: &ServerName) -> Result<(), AskError> {
        let answers = self.servers.may_ask(server).await?;
        // One is enough to find out whether it does.
        let most = if answers { PDUS } else { 1 };
        let server = server.to_owned();
        // From here on these rooms are like any other: what comes is put behind it, and what is sent is
        // the same after a crash.
        let put = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                for (room_no, missed) in tx.take_behind(&server, most).await? {
                    for event_no in newest(tx, &server, room_no, missed).await? {
                        tx.tell_server(&server, room_no, event_no).await?;
                    }
                }
                Ok(())
            })
        });
        Ok(put.await?)
    }
}

/// What a server is to be told of a room in which `missed` is the last that it should have been told: the
/// events where the room's graph ends, by whoever they are; `missed` itself where the server is in the
/// room no more, which it may not know, or has made those others.
async fn newest(
    tx: &mut Tx,
    server: &ServerName,
    room_no: i64,
    missed: EventNo,
) -> Result<Vec<EventNo>, Error> {
    let mut heads = Vec::new();
    if rooms::has_server(tx, room_no, server).await?
        && let Some(room) = rooms::by_numbers(tx, &[room_no]).await?.pop()
    {
        let ids: Vec<OwnedEventId> = room.prev_events().into_iter().map(|(id, _)| id).collect();
        heads = events::by_ids(tx, &ids).await?;
    }
    let is_for_them = |it: &StoredEvent| {
        it.verdict == Verdict::Accepted && it.event.sender().server_name() != server
    };
    heads.retain(is_for_them);
    heads.sort_by_key(|it| (it.event.depth(), it.event_no));
    if heads.is_empty() {
        // It may be gone by now, and then there is nothing to tell.
        return Ok(events::by_numbers(tx, &[missed]).await?.into_keys().collect());
    }
    Ok(heads.into_iter().map(|it| it.event_no).collect())
}
