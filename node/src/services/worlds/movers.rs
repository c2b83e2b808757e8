//! People who have moved: what they had in a world under the account they left is theirs under the new one.
//!
//! That an account was theirs has to be known here from before, when it came in and showed the same DID: what a
//! log says of earlier accounts is its writer's word alone.

use ruma::{
    OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::Value;

use super::{
    super::{
        Error,
        rooms::{Asker, Membership, Step, WORLD},
    },
    Worlds,
};
use crate::store::{badges, rooms, visitors};

/// Somebody who has moved.
pub(super) struct Mover<'m> {
    /// Their account of now.
    pub account: &'m UserId,
    /// By what they are compared.
    pub subject: &'m str,
    /// The accounts that they say they have left.
    pub formerly: &'m [OwnedUserId],
}

impl Worlds {
    /// Gives somebody who has moved what they had in a world: they are let in where they were in, and have the
    /// powers that they had. The accounts that they have left have neither any more: whoever holds the node of one
    /// of them is nobody here.
    pub(super) async fn follow_mover(
        &self,
        mover: Mover<'_>,
        room_id: &RoomId,
    ) -> Result<(), Error> {
        if mover.formerly.is_empty() {
            return Ok(());
        }
        let by = self.service_user()?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut left = Vec::new();
        for one in mover.formerly {
            let person = visitors::only_person_of(&mut snapshot, one).await?;
            if one != mover.account && person.as_deref() == Some(mover.subject) {
                left.push(one.clone());
            }
        }
        let room = rooms::room(&mut snapshot, room_id).await?;
        let Some(room) = room.filter(|room| room.kind.as_deref() == Some(WORLD)) else {
            return Ok(());
        };
        let mut people: Vec<&UserId> = left.iter().map(|one| &**one).collect();
        people.extend([mover.account, &*by]);
        let rows = rooms::memberships_among(&mut snapshot, room.room_no, &people).await?;
        drop(snapshot);
        let standing = |one: &UserId| rows.get(one).map(|row| row.membership);
        let is_near =
            |one: &UserId| matches!(standing(one), Some(Membership::Join | Membership::Invite));
        let is_out = |one: &UserId| standing(one) == Some(Membership::Ban);
        if left.is_empty()
            || !is_near(&by)
            || is_out(mover.account)
            || left.iter().any(|it| is_out(it))
        {
            return Ok(());
        }
        if left.iter().any(|it| is_near(it)) && !is_near(mover.account) {
            let invite = Step::to(Membership::Invite);
            self.federation.step(room_id, &by, mover.account, invite, &[]).await?;
        }
        self.give_powers(room_id, &by, mover.account, &left).await?;
        let mut snapshot = self.ground.store.snapshot().await?;
        for one in &left {
            // What they came in by is looked at as before.
            if let Some(row) = badges::admitted(&mut snapshot, room.room_no, one).await? {
                let what = (row.credential, row.until_ms);
                self.keep_admitted(room.room_no, mover.account, what).await?;
            }
        }
        drop(snapshot);
        for one in left.iter().filter(|it| is_near(it)) {
            let why = format!("{one} has moved: they are {} now", mover.account);
            let leave = Step::to(Membership::Leave).because(Some(why));
            self.rooms.step(room_id, &by, one, leave).await?;
        }
        Ok(())
    }

    /// Gives somebody the highest power level that accounts of theirs had, which have it no more.
    async fn give_powers(
        &self,
        room_id: &RoomId,
        by: &UserId,
        account: &UserId,
        left: &[OwnedUserId],
    ) -> Result<(), Error> {
        let asker = Asker { user_id: by.to_owned(), device_id: "SERVICE".into() };
        let kind = StateEventType::RoomPowerLevels;
        let content = match self.rooms.state_event(&asker, room_id, kind, "").await {
            Ok(event) => event,
            Err(Error::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let event: Value = serde_json::from_str(content.get()).map_err(Error::internal)?;
        let mut content = event["content"].clone();
        let Some(users) = content.get_mut("users").and_then(Value::as_object_mut) else {
            return Ok(());
        };
        let levels = left.iter().filter_map(|one| users.remove(one.as_str())?.as_i64());
        let Some(highest) = levels.collect::<Vec<_>>().into_iter().max() else { return Ok(()) };
        let own = users.get(account.as_str()).and_then(Value::as_i64);
        users.insert(account.to_string(), own.map_or(highest, |own| own.max(highest)).into());
        let content = serde_json::value::to_raw_value(&content).map_err(Error::internal)?;
        let kind = TimelineEventType::RoomPowerLevels;
        self.rooms.set_state(room_id, by, kind, String::new(), content, None).await.map(drop)
    }
}
