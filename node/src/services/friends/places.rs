//! In which world somebody is, for those who may know.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedUserId, ServerName, UserId};
use serde_json::Value;

use super::{
    super::{
        place::{FIELD, Place, Whereabouts, name_in, world_in},
        rooms::Ignored,
    },
    Error, Friends, Standing, bonds,
};
use crate::store::{Reads, people};

/// How long it is believed that somebody is in a world who does not say so again, in milliseconds.
pub const PLACE_MS: i64 = 180_000;

/// A world in which somebody says they are.
#[derive(Clone, Debug)]
pub struct NewPlace {
    /// Its alias or room.
    pub world: String,
    /// The name of its node.
    pub server: String,
    /// What it is called.
    pub name: String,
    /// Whether anybody may come.
    pub public: bool,
}

/// Who is told in which world somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Nobody,
    Friends,
    Everybody,
}

impl Tell {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Friends => "friends",
            Self::Everybody => "everybody",
        }
    }
}

/// Whom somebody lets know: account data of the kind of the field, and friends where it does not read.
pub(super) async fn tell(from: &mut impl Reads, user_id: &UserId) -> Result<Tell, Error> {
    let Some(text) = people::data_item(from, user_id, 0, FIELD).await? else {
        return Ok(Tell::Friends);
    };
    let content: Value = serde_json::from_str(&text).unwrap_or_default();
    Ok(match content.get("to").and_then(Value::as_str) {
        Some("everybody") => Tell::Everybody,
        Some("friends") => Tell::Friends,
        // Whoever says something that is not known here may have meant fewer.
        _ => Tell::Nobody,
    })
}

impl Friends {
    /// Notes in which world somebody is, until they say otherwise or no more.
    pub async fn set_place(self: &Arc<Self>, user_id: &UserId, new: NewPlace) -> Result<(), Error> {
        let wrong = |why: &str| Error::Invalid(why.to_owned());
        let world = world_in(&new.world).ok_or_else(|| wrong("world is no alias and no room"))?;
        let name =
            name_in(&new.name).ok_or_else(|| wrong("a name has 1 to 200 bytes in one line"))?;
        let server =
            ServerName::parse(&new.server).map_err(|_| wrong("server is no server name"))?;
        let now_ms = self.ground.clock.now_ms();
        let before = self.beneath.live.presence(user_id).and_then(|it| it.whereabouts);
        let open = new.public.then_some((world, name));
        let same = before.filter(|it| it.place.server == server && it.place.open == open);
        let since_ms = same.map_or(now_ms, |it| it.place.since_ms);
        self.tell_place(user_id, Place { server, open, since_ms }).await
    }

    /// Somebody is in no world any more.
    pub fn leave_place(&self, user_id: &UserId) {
        self.beneath.live.set_whereabouts(user_id, None, self.ground.clock.now_ms());
    }

    /// Tells those who may know now of where somebody is, and nobody else any more.
    pub(super) async fn retell(self: &Arc<Self>, user_id: &UserId) -> Result<(), Error> {
        let now = self.beneath.live.presence(user_id).and_then(|it| it.whereabouts);
        match now {
            Some(now) => self.tell_place(user_id, now.place.clone()).await,
            None => Ok(()),
        }
    }

    async fn tell_place(&self, user_id: &UserId, place: Place) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let ignored = Ignored::of(&mut snapshot, user_id).await?;
        let to = match tell(&mut snapshot, user_id).await? {
            Tell::Nobody => {
                self.leave_place(user_id);
                return Ok(());
            }
            Tell::Everybody => None,
            Tell::Friends => {
                let bonds = bonds(&mut snapshot, user_id).await?;
                let friends = bonds.into_iter().filter(|it| it.standing == Standing::Friend);
                Some(friends.map(|it| it.user_id).collect::<BTreeSet<OwnedUserId>>())
            }
        };
        drop(snapshot);
        let now_ms = self.ground.clock.now_ms();
        let not = ignored.accounts().cloned().collect();
        let whereabouts = Whereabouts { place, to, not, until_ms: now_ms + PLACE_MS };
        self.beneath.live.set_whereabouts(user_id, Some(whereabouts), now_ms);
        Ok(())
    }
}
