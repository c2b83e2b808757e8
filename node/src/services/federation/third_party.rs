//! Invitations by an address: pledged where nobody is known by it yet, and carried out when somebody proves to be.
//!
//! Whoever invites leaves a pledge in the room (`m.room.third_party_invite`). The identity server tells the
//! server of whoever the address is bound to ([`Federation::bound`]); if that is in the room, it writes the
//! invitation down itself, and else hands the proof to the server that has pledged it
//! ([`Federation::exchange`]), which invites as ever.

use std::{collections::HashSet, time::Duration};

use futures_util::{StreamExt as _, stream};
use http::Method;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId, events::TimelineEventType};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use tokio::time::timeout;
use wayside_federation::third_party::{Pledge, Proof};

use super::{
    super::{
        identity_servers::{Named, ThirdPartyId},
        rooms::{self, Membership, Step},
        servers::Question,
    },
    Error, Federation,
};
use crate::store::rooms as stored;

/// Invitations that one address has waiting for it of which an identity server tells at once, and of
/// which are carried out beside each other.
const WAITING: usize = 100;
const BESIDE: usize = 4;
/// Servers that are asked to carry some of them out in one go: anybody may name any.
const SERVERS: usize = 10;
/// Addresses of which is told at the same time, how long one of them takes at most, and when whoever
/// tells comes again, in milliseconds.
pub(super) const TELLING: usize = 4;
const PATIENCE: Duration = Duration::from_secs(30);
const AGAIN_MS: u64 = 5_000;
/// Bytes of the answer of a server that carries one out, and how long it is waited for: it asks others
/// meanwhile.
const ANSWER: (usize, Duration) = (16 * 1024, Duration::from_secs(20));

/// Whom somebody invites by an address.
pub struct Addressed {
    /// The identity server that knows the address.
    pub at: Named,
    /// The address.
    pub id: ThirdPartyId,
    /// Whether the invitation is to a conversation between two.
    pub is_direct: bool,
}

/// What an identity server tells when an address is bound (server-server API, `PUT /3pid/onbind`).
#[derive(Deserialize)]
pub struct Bound {
    mxid: OwnedUserId,
    /// Sydent leaves them out where there are none.
    #[serde(default)]
    invites: Vec<Waiting>,
}

/// An invitation that has waited for that.
#[derive(Deserialize)]
struct Waiting {
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    signed: Box<RawValue>,
}

/// An invitation as the server of whom it invites asks for it (server-server API,
/// `PUT /exchange_third_party_invite`).
#[derive(Deserialize)]
pub struct Exchange {
    #[serde(rename = "type")]
    kind: TimelineEventType,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    state_key: OwnedUserId,
    content: Exchanged,
}

#[derive(Deserialize)]
struct Exchanged {
    membership: String,
    third_party_invite: Carried,
}

#[derive(Deserialize)]
struct Carried {
    signed: Box<RawValue>,
}

impl Federation {
    /// Invites whoever an address belongs to: at once where the identity server knows them, and else when
    /// they show it that the address is theirs.
    pub async fn invite_by_address(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        addressed: Addressed,
    ) -> Result<(), Error> {
        // First, for the identity server writes to whom it does not know.
        let introduced = self.rooms.introduce(room_id, sender).await?;
        let Addressed { at, id, is_direct } = addressed;
        if let Some(target) = self.identity_servers.owner(&at, &id).await? {
            let mut step = Step::to(Membership::Invite);
            step.is_direct = is_direct;
            return self.step(room_id, sender, &target, step, &[]).await;
        }
        let kept = self.identity_servers.keep(&at, &id, introduced).await?;
        let pledge = Pledge::new(kept.display_name, kept.keys);
        let pledge = pledge.ok_or_else(|| Error::NoAnswer("it names no key".to_owned()))?;
        let content = serde_json::value::to_raw_value(&pledge).map_err(Error::internal)?;
        let kind = TimelineEventType::RoomThirdPartyInvite;
        self.rooms.set_state(room_id, sender, kind, kept.token, content, None).await.map(drop)
    }

    /// Carries out what has waited for somebody of this node to have an address. Where a server that is
    /// needed for it does not answer, whoever tells of it is to come again.
    pub async fn bound(&self, bound: Bound) -> Result<(), Error> {
        let Bound { mxid: target, invites } = bound;
        if !self.ground.is_local(&target) {
            return Err(Error::NotFound(format!("{target} does not live here")));
        }
        if invites.len() > WAITING {
            return Err(Error::TooLarge(format!("at most {WAITING} invitations are told at once")));
        }
        let full = |_| Error::TooOften { retry_ms: AGAIN_MS };
        let _place = self.telling.try_acquire().map_err(full)?;
        let target = &target;
        let mut open = self.not_yet_invited(target, invites).await?;
        // With others first each time: those that come to nothing are in nobody's way for ever.
        let turn = self.ground.clock.now_ms().unsigned_abs() % open.len().max(1) as u64;
        open.rotate_left(usize::try_from(turn).unwrap_or(0));
        let mut asked = HashSet::new();
        let (near, later): (Vec<_>, Vec<_>) = open.into_iter().partition(|waiting| {
            let server = waiting.sender.server_name();
            asked.contains(server) || asked.len() < SERVERS && asked.insert(server.to_owned())
        });
        let carried = near.into_iter().map(async |waiting| {
            let Waiting { room_id, sender, signed } = waiting;
            match self.wait_no_longer(&room_id, &sender, target, &signed).await {
                // One that comes to nothing does so each time, and takes none of the others with it.
                Err(error @ (Error::NoAnswer(_) | Error::Unavailable(_) | Error::Full)) => {
                    Err(error)
                }
                Err(error) => {
                    tracing::debug!(%error, %room_id, "an invitation by an address comes to nothing");
                    Ok(())
                }
                Ok(()) => Ok(()),
            }
        });
        let carried = stream::iter(carried).buffer_unordered(BESIDE).collect::<Vec<_>>();
        let again = || Error::NoAnswer("servers that are needed have not answered".to_owned());
        let carried = timeout(PATIENCE, carried).await.map_err(|_| again())?;
        carried.into_iter().collect::<Result<(), _>>()?;
        // Those that are done are left out the next time.
        if later.is_empty() { Ok(()) } else { Err(again()) }
    }

    /// Those of the invitations into rooms in which somebody is not yet, nor invited.
    async fn not_yet_invited(
        &self,
        target: &UserId,
        invites: Vec<Waiting>,
    ) -> Result<Vec<Waiting>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut open = Vec::with_capacity(invites.len());
        for waiting in invites {
            let row = match stored::room(&mut snapshot, &waiting.room_id).await? {
                Some(room) => stored::membership(&mut snapshot, room.room_no, target).await?,
                None => None,
            };
            let is_done = row
                .is_some_and(|it| matches!(it.membership, Membership::Invite | Membership::Join));
            if !is_done {
                open.push(waiting);
            }
        }
        Ok(open)
    }

    async fn wait_no_longer(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        target: &UserId,
        signed: &RawValue,
    ) -> Result<(), Error> {
        let proof = Proof::read(signed)?;
        if proof.user_id() != target {
            // Sydent tells of an address without invitations what it has told of the one before.
            return Err(Error::Invalid(format!("signed.mxid: want {target}")));
        }
        self.may_be_invited(room_id, target).await?;
        self.carry_out(room_id, sender, &proof).await
    }

    /// Has somebody of this node invited by a proof that they show when they come (client-server API,
    /// `third_party_signed`).
    pub async fn show_proof(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        signed: &RawValue,
    ) -> Result<(), Error> {
        let proof = Proof::read(signed)?;
        if proof.user_id() != user_id {
            return Err(Error::Forbidden(format!("nothing is proven of {user_id}")));
        }
        let sender = proof.sender().ok_or_else(|| {
            Error::BadJson("third_party_signed.sender says who invites".to_owned())
        })?;
        self.carry_out(room_id, sender, &proof).await
    }

    async fn carry_out(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        proof: &Proof,
    ) -> Result<(), Error> {
        let target = proof.user_id();
        let (own, theirs) = (&self.ground.server_name, sender.server_name());
        let mut snapshot = self.ground.store.snapshot().await?;
        match self.shared(&mut snapshot, room_id, own).await {
            Ok(_) => {
                drop(snapshot);
                return self.redeem(room_id, sender, proof).await;
            }
            // The room may shut this server out, whose people it has not put out yet.
            Err(Error::NotFound(_) | Error::Forbidden(_)) if theirs != own => {}
            Err(error) => return Err(error),
        }
        drop(snapshot);
        // The pledge's own name for them is known there.
        let invite = json!({ "membership": "invite", "third_party_invite": proof.carried("") });
        let asking = json!({
            "type": TimelineEventType::RoomMember.to_string(),
            "room_id": room_id, "sender": sender, "state_key": target, "content": invite,
        });
        let path = ["_matrix", "federation", "v1", "exchange_third_party_invite", room_id.as_str()];
        let question = Question::get(&path, &[]).with(Method::PUT, &asking)?;
        let question = question.bounded(ANSWER.0, ANSWER.1);
        let _done: Value = self.servers.ask(theirs, question).await?;
        Ok(())
    }

    /// Invites somebody of another server whose address somebody here has pledged to invite.
    pub async fn exchange(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        wish: Exchange,
    ) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        self.shared(&mut snapshot, room_id, origin).await?;
        drop(snapshot);
        let Exchange { kind, room_id: said, sender, state_key: target, content } = wish;
        let invites = kind == TimelineEventType::RoomMember && content.membership == "invite";
        if !invites || said != room_id {
            let why = "the event is no invitation into the room of the path";
            return Err(Error::Invalid(why.to_owned()));
        }
        let proof = Proof::read(&content.third_party_invite.signed)?;
        if *proof.user_id() != target || target.server_name() != origin {
            let why = format!("nothing is proven of somebody of {origin}");
            return Err(Error::Forbidden(why));
        }
        if !self.ground.is_local(&sender) {
            let why =
                format!("{sender} does not live here: their server carries out what they pledge");
            return Err(Error::Forbidden(why));
        }
        self.redeem(room_id, &sender, &proof).await
    }

    /// Turns a pledge into an invitation, in the name of whoever has given it.
    async fn redeem(&self, room_id: &RoomId, sender: &UserId, proof: &Proof) -> Result<(), Error> {
        let target = proof.user_id();
        let none = || Error::Forbidden("the room has no such invitation".to_owned());
        let mut snapshot = self.ground.store.snapshot().await?;
        let room = stored::room(&mut snapshot, room_id).await?.ok_or_else(none)?;
        let pledged = Pledge::state_key(proof.token());
        let held = rooms::needed(&mut snapshot, &room, vec![pledged.clone()]).await?;
        let pledged = held.get(&pledged).filter(|it| it.event.sender() == sender);
        let pledged = pledged.ok_or_else(none)?;
        let pledge = Pledge::read(pledged.event.content()).ok_or_else(none)?;
        let signer = pledge.signer(proof).ok_or_else(|| {
            Error::Forbidden("the proof is signed by no key of the invitation".to_owned())
        })?;
        let carried = proof.carried(&pledge.display_name);
        let carried = serde_json::to_value(carried).map_err(Error::internal)?;
        // Looked at again where it is written: whoever has pledged it says where the key is looked up,
        // and so how long that takes.
        if rooms::redeemed(&mut snapshot, &room, target, &carried).await?.is_some() {
            return Ok(());
        }
        drop(snapshot);
        if !self.identity_servers.is_in_use(&signer).await? {
            let why = "the identity server has taken back the key by which this is proven";
            return Err(Error::Forbidden(why.to_owned()));
        }
        let mut step = Step::to(Membership::Invite);
        step.proven = Some(carried);
        self.step(room_id, sender, target, step, &[]).await
    }
}
