//! Invitations: whom they reach, and those that another server has to sign before they stand.

use std::sync::Arc;

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UserId, events::StateEventType};
use serde::Deserialize;
use serde_json::value::RawValue;
use wayside_federation::{event::Event, version::RoomVersion};

use super::{
    super::{Error, Ground, servers::Urgency},
    DOOR, Rooms, Step,
    append::{self, Saying, Sealed, needed},
    content, joined_room, membership,
    place::place,
    signing,
};
use crate::store::{Reads, people, rooms};
use wayside_federation::state::StateKey;

/// The account data by which a person wants no invitations (client-server API, invite permission).
const KIND: &str = "m.invite_permission_config";

/// How somebody invites somebody else.
#[derive(Clone, Debug)]
pub enum Wording {
    /// In the words of this node.
    Step(Step),
    /// By a member event as their client wrote it, which is to count as sent then.
    Given(Box<RawValue>, Option<MilliSecondsSinceUnixEpoch>),
}

/// What comes of an invitation.
pub enum Proposal {
    /// One that their server is asked to sign.
    New(Box<Proposed>),
    /// Nothing: they are invited already, by this event.
    Same(OwnedEventId),
}

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
    /// Makes the invitation of somebody who lives elsewhere, with the signature of the room's policy
    /// server, if it has one; nothing is written down.
    pub async fn propose(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        target: &UserId,
        wording: Wording,
    ) -> Result<Proposal, Error> {
        let ground = self.ground.clone();
        let (room_id, sender, target) = (room_id.to_owned(), sender.to_owned(), target.to_owned());
        let asked = Arc::new((ground, room_id, sender, target, wording));
        // Where it is written, for what is read must be of one moment and nothing of it old.
        let make = self.write(Urgency::Awaited, move |tx, signings| {
            let asked = asked.clone();
            Box::pin(async move {
                let (ground, room_id, sender, target, wording) = &*asked;
                let room = joined_room(tx, room_id, sender).await?;
                let (value, sent) = match wording {
                    Wording::Step(step) => {
                        (membership::member_content(ground, tx, &room, target, step).await?, None)
                    }
                    Wording::Given(value, sent) => {
                        if membership::is_guest(tx, sender).await? {
                            return Err(Error::Guest);
                        }
                        let (_, given) = membership::member_given(value)?;
                        (content(&given.into())?, *sent)
                    }
                };
                let mut saying = Saying::state(StateEventType::RoomMember, target.as_str(), value);
                saying.sent = sent;
                let event = match append::seal(ground, tx, signings, &room, sender, saying).await? {
                    Sealed::New(event, _) => event,
                    Sealed::Same(stored) => {
                        return Ok(Proposal::Same(stored.event.id().to_owned()));
                    }
                };
                let mut keys: Vec<_> =
                    DOOR.iter().map(|kind| StateKey::new(kind.clone(), "")).collect();
                keys.push(StateKey::new(StateEventType::RoomMember, sender.as_str()));
                let shown = needed(tx, &room, keys).await?.into_values().map(|it| it.event);
                let (version, shown) = (room.version, shown.collect());
                Ok(Proposal::New(Box::new(Proposed { version, event, shown })))
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
                signing::check(tx, &ground, &room, &invitation).await?;
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
