//! Invitations: whom they reach, and those that another server has to sign before they stand.

use ruma::{RoomId, UserId, events::StateEventType};
use serde::Deserialize;
use wayside_federation::{event::Event, version::RoomVersion};

use super::{
    super::{Error, Ground},
    DOOR, Rooms, Step,
    append::{self, Saying, Sealed, needed},
    joined_room, membership,
    place::place,
};
use crate::store::{Reads, people, rooms};
use wayside_federation::state::StateKey;

/// The account data by which a person wants no invitations (client-server API, invite permission).
const KIND: &str = "m.invite_permission_config";

/// An invitation that stands when the server of whom it names has signed it.
pub struct Proposed {
    /// The rules of its room.
    pub version: RoomVersion,
    /// The invitation.
    pub event: Event,
    /// What they may see of the room before they come.
    pub shown: Vec<Event>,
}

impl Rooms {
    /// Makes the invitation of somebody who lives elsewhere; nothing is written down. Nothing comes of
    /// it where they are invited already.
    pub async fn propose(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        target: &UserId,
        step: Step,
    ) -> Result<Option<Proposed>, Error> {
        let ground = self.ground.clone();
        let (room_id, sender, target) = (room_id.to_owned(), sender.to_owned(), target.to_owned());
        // Where it is written, for what is read must be of one moment and nothing of it old.
        let make = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let room = joined_room(tx, &room_id, &sender).await?;
                let value = membership::member_content(&ground, tx, &room, &target, &step).await?;
                let saying = Saying::state(StateEventType::RoomMember, target.as_str(), value);
                let Sealed::New(event, _) =
                    append::seal(&ground, tx, &room, &sender, saying).await?
                else {
                    return Ok(None);
                };
                let mut keys: Vec<_> =
                    DOOR.iter().map(|kind| StateKey::new(kind.clone(), "")).collect();
                keys.push(StateKey::new(StateEventType::RoomMember, sender.as_str()));
                let shown = needed(tx, &room, keys).await?.into_values().map(|it| it.event);
                Ok(Some(Proposed { version: room.version, event, shown: shown.collect() }))
            })
        });
        make.await
    }

    /// Writes down an invitation that was signed.
    pub async fn conclude(&self, invitation: Event) -> Result<(), Error> {
        let ground = self.ground.clone();
        let write = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let room = rooms::room(tx, invitation.room_id()).await?;
                let mut room =
                    room.ok_or_else(|| Error::NotFound("the room is gone".to_owned()))?;
                place(&ground, tx, &mut room, invitation).await?;
                Ok(tx.move_room(&room).await?)
            })
        });
        write.await
    }
}

/// Those who live elsewhere are invited one by one, for their servers have to sign it.
pub(super) fn reachable(ground: &Ground, target: &UserId) -> Result<(), Error> {
    if ground.is_local(target) {
        return Ok(());
    }
    let why = format!("{target} lives on another server, which is asked for invitations only");
    Err(Error::Invalid(why))
}

/// Refuses the invitation of somebody who wants none. It is asked after the rules of the room, so that
/// only those who could invite them learn of it.
pub(super) async fn accepted(from: &mut impl Reads, target: &UserId) -> Result<(), Error> {
    if blocks_invitations(from, target).await? {
        return Err(Error::InviteBlocked(target.to_owned()));
    }
    Ok(())
}

/// Whether somebody wants no invitations. What does not read says nothing.
pub async fn blocks_invitations(from: &mut impl Reads, user_id: &UserId) -> Result<bool, Error> {
    Ok(people::data_item(from, user_id, 0, KIND).await?.is_some_and(|text| blocks(&text)))
}

fn blocks(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Content {
        default_action: String,
    }
    serde_json::from_str::<Content>(text).is_ok_and(|content| content.default_action == "block")
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn only_what_is_known_blocks() {
        assert!(blocks(r#"{"default_action":"block","other":1}"#));
        for text in
            ["{}", r#"{"default_action":"allow"}"#, r#"{"default_action":true}"#, "[]", "block"]
        {
            assert!(!blocks(text), "{text}");
        }
    }
}
