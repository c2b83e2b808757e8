//! Who is near somebody: people they can find, and the rooms that they share with one of them.

use ruma::{OwnedRoomId, UserId};
use wayside_specs::limits;

use super::{super::Error, Rooms};
use crate::store::names::{self, Found};

/// A page of the rooms that two people share.
#[derive(Debug)]
pub struct Shared {
    /// The rooms.
    pub rooms: Vec<OwnedRoomId>,
    /// How many there are in all.
    pub all: i64,
    /// Behind which number the next page begins, if there is one.
    pub next: Option<i64>,
}

/// Rooms of one page.
const PAGE: usize = 100;

impl Rooms {
    /// People by a part of their id or name, at most `limit`, and whether there are more.
    pub async fn find_people(
        &self,
        asker: &UserId,
        text: &str,
        limit: usize,
    ) -> Result<(Vec<Found>, bool), Error> {
        if text.len() > limits::NAME_BYTES {
            return Err(Error::Invalid("a name has at most 512 bytes".to_owned()));
        }
        let text = text.trim().to_lowercase();
        if text.is_empty() {
            return Ok((Vec::new(), false));
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let wanted = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut found = names::find(&mut snapshot, asker, &text, wanted).await?;
        let limited = found.len() > limit;
        found.truncate(limit);
        Ok((found, limited))
    }

    /// The rooms in which both somebody and another person are (client-server API, mutual rooms).
    pub async fn shared(
        &self,
        asker: &UserId,
        other: &UserId,
        behind: i64,
    ) -> Result<Shared, Error> {
        if asker == other {
            return Err(Error::Invalid("these are your own rooms: name somebody else".to_owned()));
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let wanted = i64::try_from(PAGE + 1).unwrap_or(i64::MAX);
        let mut found = names::shared(&mut snapshot, (asker, other), behind, wanted).await?;
        let more = found.len() > PAGE;
        found.truncate(PAGE);
        Ok(Shared {
            next: found.last().map(|(number, _)| *number).filter(|_| more),
            rooms: found.into_iter().map(|(_, room_id)| room_id).collect(),
            all: names::shared_count(&mut snapshot, asker, other).await?,
        })
    }
}
