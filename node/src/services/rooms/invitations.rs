//! Invitations: whom they reach, and those that another server has to sign before they stand.

use std::sync::Arc;

use ruma::{MilliSecondsSinceUnixEpoch, OwnedEventId, RoomId, UserId, events::StateEventType};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use wayside_federation::{
    auth, event::Event, state::StateKey, third_party::Pledge, version::RoomVersion,
};
use wayside_identity::friend;

use super::{
    super::{Error, Ground, servers::Urgency},
    DOOR, Rooms, Step,
    append::{self, Saying, Sealed, needed},
    content, joined_room,
    membership::{self, PROVEN},
    place::place,
    signing,
    view::text_in,
};
use crate::store::{
    Reads, people,
    rooms::{self, Membership, RoomRow},
};

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
                let room = match wording {
                    // Whoever has pledged it may be gone by now.
                    Wording::Step(Step { proven: Some(_), .. }) => {
                        membership::known_room(ground, tx, room_id).await?
                    }
                    _ => joined_room(tx, room_id, sender).await?,
                };
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
                if let Wording::Step(Step { proven: Some(proven), .. }) = wording
                    && let Some(known) = redeemed(tx, &room, target, proven).await?
                {
                    return Ok(Proposal::Same(known));
                }
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
                // Whether they ask to be friends (specs/social.md).
                keys.push(StateKey::new(friend::EVENT.into(), sender.as_str()));
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
                let content: Map<String, Value> =
                    serde_json::from_str(invitation.content().get()).map_err(Error::internal)?;
                if let (Some(proven), Some(target)) = (
                    content.get(PROVEN),
                    invitation.state_key().and_then(|it| UserId::parse(it).ok()),
                ) && redeemed(tx, &room, &target, proven).await?.is_some()
                {
                    return Ok(());
                }
                place(&ground, tx, &mut room, invitation).await?;
                Ok(tx.move_room(&room).await?)
            })
        });
        write.await
    }
}

impl Rooms {
    /// What an identity server tells somebody of a room, and of who invites them into it by an address
    /// (identity service API, `POST /store-invite`). Whoever may not invite is refused.
    pub async fn introduce(
        &self,
        room_id: &RoomId,
        sender: &UserId,
    ) -> Result<Map<String, Value>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = joined_room(&mut snapshot, room_id, sender).await?;
        let of_room = |kind: &StateEventType| StateKey::new(kind.clone(), "");
        let member = StateKey::new(StateEventType::RoomMember, sender.as_str());
        let (create, levels) =
            (of_room(&StateEventType::RoomCreate), of_room(&StateEventType::RoomPowerLevels));
        let mut keys: Vec<_> = INTRODUCED.iter().map(|(_, kind, _)| of_room(kind)).collect();
        keys.extend([create.clone(), levels.clone(), member.clone()]);
        keys.sort();
        keys.dedup();
        let held = needed(&mut snapshot, &room, keys).await?;
        let unknown = || Error::internal(anyhow::anyhow!("the room has no beginning"));
        let create = &held.get(&create).ok_or_else(unknown)?.event;
        let levels =
            auth::power_levels(room.version, create, held.get(&levels).map(|it| &it.event));
        if levels.user(sender) < levels.invite() {
            return Err(Error::Forbidden("you may not invite anybody here".to_owned()));
        }
        let text = |key: &StateKey, field: &str| text_in(&held.get(key)?.event, field);
        let mut told = Map::new();
        for (name, kind, field) in INTRODUCED {
            told.extend(text(&of_room(&kind), field).map(|it| (name.to_owned(), it.into())));
        }
        for (name, field) in
            [("sender_display_name", "displayname"), ("sender_avatar_url", "avatar_url")]
        {
            told.extend(text(&member, field).map(|it| (name.to_owned(), it.into())));
        }
        told.insert("room_id".to_owned(), room_id.as_str().into());
        told.insert("sender".to_owned(), sender.as_str().into());
        Ok(told)
    }
}

/// The event by which somebody is in a room, or invited into it, of whom it has pledged that they would be.
/// The rules let a proof put whoever is in the room out of it, and let it count for ever: here it opens no
/// door that was shut since, by whoever.
pub(in crate::services) async fn redeemed(
    from: &mut impl Reads,
    room: &RoomRow,
    target: &UserId,
    proven: &Value,
) -> Result<Option<OwnedEventId>, Error> {
    let token = proven.pointer("/signed/token").and_then(Value::as_str).unwrap_or_default();
    let pledge = Pledge::state_key(token);
    let member = StateKey::new(StateEventType::RoomMember, target.as_str());
    let held = needed(from, room, vec![pledge.clone(), member.clone()]).await?;
    let none = || Error::Forbidden("the room has no such invitation".to_owned());
    let pledged = held.get(&pledge).ok_or_else(none)?;
    let Some(now) = held.get(&member) else { return Ok(None) };
    match append::membership_of(&now.event) {
        Some(Membership::Join | Membership::Invite) => Ok(Some(now.event.id().to_owned())),
        _ if now.event.depth() > pledged.event.depth() => {
            let why = format!("{target} has left the room or stands at its door since");
            Err(Error::Forbidden(why))
        }
        _ => Ok(None),
    }
}

/// What an identity server is told of a room: its name there, and where the room's state says it.
const INTRODUCED: [(&str, StateEventType, &str); 5] = [
    ("room_alias", StateEventType::RoomCanonicalAlias, "alias"),
    ("room_avatar_url", StateEventType::RoomAvatar, "url"),
    ("room_join_rules", StateEventType::RoomJoinRules, "join_rule"),
    ("room_name", StateEventType::RoomName, "name"),
    ("room_type", StateEventType::RoomCreate, "type"),
];

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
