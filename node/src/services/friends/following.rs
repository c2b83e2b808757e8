//! Friends who move: they ask anew under their new account, and are friends again without a word.
//!
//! That is so where three things are known: that whoever asks is the person whose DID signs it, that this DID has
//! named the account of the friend before, and that this node has found itself that the account named this DID and no
//! other (specs/social.md, "Friends who move"). What only they say of themselves makes nobody anybody's friend.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedUserId, UserId};
use wayside_specs::Did;

use super::{Bond, Error, Friends, Standing, Step, bonds, records};
use crate::store::{
    friends::{self, Checked},
    rooms::{self, Membership},
    visitors,
};

impl Friends {
    /// Asks a friend anew for somebody who has moved here from those accounts.
    pub async fn meet_again(
        self: &Arc<Self>,
        user_id: &UserId,
        other: &UserId,
        formerly: &[OwnedUserId],
    ) -> Result<(Standing, OwnedRoomId), Error> {
        let (friends, user_id) = (self.clone(), user_id.to_owned());
        let (other, formerly) = (other.to_owned(), formerly.to_vec());
        let asking = async move { friends.wish(&user_id, &other, None, &formerly).await };
        self.ground.to_its_end(asking).await
    }

    /// Whether somebody of this node is a friend of somebody who lives elsewhere.
    pub async fn has_friend(&self, other: &UserId) -> Result<bool, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let kind = wayside_identity::friend::EVENT;
        let mut people: Vec<OwnedUserId> =
            friends::words(&mut snapshot, other, kind).await?.into_iter().map(|it| it.by).collect();
        people.retain(|one| self.ground.is_local(one));
        people.sort();
        people.dedup();
        for user_id in people {
            let mut bonds = bonds(&mut snapshot, &user_id).await?.into_iter();
            if bonds.any(|it| it.user_id == other && it.standing == Standing::Friend) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Finds out in the background whether those who were just invited to a room are asked there by a friend who has
    /// moved. Whoever is missed is found when their person looks at their friends.
    pub(super) fn look_at_doors(self: &Arc<Self>, room_no: i64, members: &[OwnedUserId]) {
        for user_id in members.iter().filter(|one| self.ground.is_local(one)) {
            let (friends, user_id) = (self.clone(), user_id.clone());
            self.ground.tasks.spawn(async move {
                if let Err(error) = friends.look_at_door(room_no, &user_id).await {
                    tracing::warn!(%error, %user_id, "a friend who has moved may be met later");
                }
            });
        }
    }

    async fn look_at_door(self: &Arc<Self>, room_no: i64, user_id: &UserId) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = rooms::membership(&mut snapshot, room_no, user_id).await?;
        if row.is_none_or(|row| row.membership != Membership::Invite) {
            return Ok(());
        }
        let Some(room) = rooms::by_numbers(&mut snapshot, &[room_no]).await?.pop() else {
            return Ok(());
        };
        drop(snapshot);
        // Strangers may invite as many as they like: they wait for each other, and nobody for them.
        let _turn = self.following.acquire().await.map_err(Error::internal)?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut bonds = bonds(&mut snapshot, user_id).await?;
        let friends: Vec<_> = bonds
            .iter()
            .filter(|it| it.standing == Standing::Friend)
            .map(|it| it.user_id.clone())
            .collect();
        bonds.retain(|it| {
            let is_mover = it.formerly.iter().any(|one| friends.contains(one));
            it.room_id == room.room_id && it.standing == Standing::Asking && is_mover
        });
        let known = records::dids(&mut snapshot, &bonds).await?;
        drop(snapshot);
        for (bond, known) in bonds.iter().zip(known) {
            self.look_into(user_id, bond, known.as_ref());
        }
        Ok(())
    }

    /// Does in the background what was left undone of meeting somebody who has moved.
    pub(super) fn follow_up(self: &Arc<Self>, user_id: &UserId, bond: &Bond, known: &Checked) {
        let Some(did) = known.did.clone().filter(|_| !known.formerly.is_empty()) else { return };
        let (friends, user_id, bond) = (self.clone(), user_id.to_owned(), bond.clone());
        let formerly = known.formerly.clone();
        self.ground.tasks.spawn(async move {
            if let Err(error) = friends.meet_mover(&user_id, &bond, &did, &formerly).await {
                tracing::debug!(%error, %user_id, "a friend who has moved is met later");
            }
        });
    }

    /// Accepts whoever asks where they are a friend who has moved, and lets the accounts be that they have left.
    pub(super) async fn meet_mover(
        self: &Arc<Self>,
        user_id: &UserId,
        bond: &Bond,
        did: &Did,
        formerly: &[OwnedUserId],
    ) -> Result<(), Error> {
        if bond.standing == Standing::Asked || formerly.is_empty() {
            return Ok(());
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut left = bonds(&mut snapshot, user_id).await?;
        left.retain(|it| it.standing == Standing::Friend && formerly.contains(&it.user_id));
        let mut known = Vec::new();
        for left in left {
            let person = visitors::only_person_of(&mut snapshot, &left.user_id).await?;
            if left.user_id != bond.user_id && person.as_deref() == Some(did.subject()) {
                known.push(left);
            }
        }
        drop(snapshot);
        if known.is_empty() {
            return Ok(());
        }
        let (friends, user_id, bond) = (self.clone(), user_id.to_owned(), bond.clone());
        self.ground
            .to_its_end(async move {
                if bond.standing == Standing::Asking {
                    friends.accept_alone(&user_id, &bond).await?;
                }
                for bond in &known {
                    friends.part(&user_id, bond).await?;
                }
                Ok(())
            })
            .await
    }

    /// Accepts for somebody who was not asked for their word: into a conversation of two, and no other room.
    async fn accept_alone(self: &Arc<Self>, user_id: &UserId, bond: &Bond) -> Result<(), Error> {
        let Bond { user_id: other, room_id, at_door, .. } = bond;
        if *at_door {
            let via = [other.server_name().to_owned()];
            let join = Step::to(Membership::Join);
            self.beneath.federation.step(room_id, user_id, user_id, join, &via).await?;
        }
        let room = rooms::room(&mut self.ground.store.snapshot().await?, room_id).await?;
        if room.is_none_or(|room| room.joined > 2) {
            self.leave(room_id, user_id).await;
            return Err(Error::Forbidden(format!("{room_id} is no conversation of two")));
        }
        self.answer(user_id, other, room_id).await
    }
}
