//! What a migration leaves to be done beside the running node.
//!
//! It is done some at a time, and on from where it ended, however often the node is killed meanwhile.

use std::collections::BTreeSet;

use futures_util::future::BoxFuture;
use ruma::{OwnedUserId, UserId};

use super::{super::Error, Rooms, place::note_openness};
use crate::store::{Tx, events, rooms, walks};

/// Rows seen to in one go, so that nobody waits long behind it, and the largest events take little room.
const AT_ONCE: i64 = 32;

/// What is done with the rows of a walk behind a number: gives the number of the last one.
type Step = for<'t> fn(&'t mut Tx, i64) -> BoxFuture<'t, Result<Option<i64>, Error>>;

impl Rooms {
    /// Does for all that was there before what is done for what comes now.
    pub async fn catch_up(&self) -> Result<(), Error> {
        let walks: [(&'static str, Step); 4] =
            [("relations", relate), ("open_rooms", open), ("names", name), ("auth_edges", cite)];
        for (name, step) in walks {
            self.walk(name, step).await?;
        }
        Ok(())
    }

    async fn walk(&self, name: &'static str, step: Step) -> Result<(), Error> {
        // Looked at first, so that a node that has done so writes nothing.
        let walk = walks::walk(&mut self.ground.store.snapshot().await?, name).await?;
        let mut done = walk.goal.is_none_or(|goal| walk.reached >= goal);
        while !done && !self.ground.stop.is_cancelled() {
            // Read where it is written, so that nothing changes in between.
            let go = self.ground.store.write::<_, Error>(move |tx| {
                Box::pin(async move {
                    let walk = walks::walk(tx, name).await?;
                    let goal = walk.goal.unwrap_or_default();
                    let reached = step(tx, walk.reached).await?.unwrap_or(goal);
                    tx.walk_on(name, reached).await?;
                    Ok(reached >= goal)
                })
            });
            done = go.await?;
        }
        Ok(())
    }
}

/// Writes down what events relate to.
fn relate(tx: &mut Tx, behind: i64) -> BoxFuture<'_, Result<Option<i64>, Error>> {
    Box::pin(async move {
        let page = events::numbered(tx, behind, AT_ONCE).await?;
        tx.relate(&page).await?;
        Ok(page.last().map(|it| it.event_no.0))
    })
}

/// Writes down what state events cite.
fn cite(tx: &mut Tx, behind: i64) -> BoxFuture<'_, Result<Option<i64>, Error>> {
    Box::pin(async move {
        let page = events::numbered(tx, behind, AT_ONCE).await?;
        tx.note_cited(&page).await?;
        Ok(page.last().map(|it| it.event_no.0))
    })
}

/// Notes which rooms are open to all.
fn open(tx: &mut Tx, behind: i64) -> BoxFuture<'_, Result<Option<i64>, Error>> {
    Box::pin(async move {
        let page = rooms::all(tx, behind, AT_ONCE).await?;
        for room in &page {
            note_openness(tx, room).await?;
        }
        Ok(page.last().map(|room| room.room_no))
    })
}

/// Notes under which names people are found who have ever been in a room.
fn name(tx: &mut Tx, behind: i64) -> BoxFuture<'_, Result<Option<i64>, Error>> {
    Box::pin(async move {
        let page = events::numbered(tx, behind, AT_ONCE).await?;
        let members = page.iter().filter(|it| it.event.kind().to_string() == "m.room.member");
        let people = members.filter_map(|it| UserId::parse(it.event.state_key()?).ok());
        let people: BTreeSet<OwnedUserId> = people.collect();
        tx.note_names(&people.iter().map(AsRef::as_ref).collect::<Vec<_>>()).await?;
        Ok(page.last().map(|it| it.event_no.0))
    })
}
