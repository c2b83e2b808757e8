//! What stands beside the events in an answer of `/sync`: receipts, typing, account data, presence.

use std::collections::{BTreeMap, HashMap};

use ruma::{OwnedUserId, UserId};
use serde_json::json;

use super::{
    super::{
        Error,
        filter::EventFilter,
        live::{Presence, Present},
        place,
        push::{PUSH_RULES, common_account_data},
    },
    Events,
    answer::UnreadPart,
    build::Building,
};
use crate::store::{
    people::{self, DataItem},
    rooms::{self, MemberRow, Membership, RoomRow},
};

impl Building<'_> {
    pub(super) async fn ephemeral(&mut self, room: &RoomRow, new: bool) -> Result<Events, Error> {
        let filter = &self.asked.filter.room.ephemeral;
        let mut list = Vec::new();
        if !filter.takes_room(room.room_id.as_str()) {
            return Ok(Events::default());
        }
        let moved =
            new || self.changed.as_ref().is_none_or(|it| it.receipts.contains(&room.room_no));
        if moved && filter.takes_type("m.receipt") {
            let since = if new { 0 } else { self.since };
            let own = &self.asker.user_id;
            let receipts = match self.ahead.receipts.remove(&room.room_no) {
                Some(receipts) => receipts,
                None => {
                    people::receipts_since(&mut self.snapshot, room.room_no, own, since).await?
                }
            };
            list.extend(self.receipts(receipts));
        }
        if filter.takes_type("m.typing")
            && let Some(users) = self.typing(room, new)
        {
            list.push(json!({ "type": "m.typing", "content": { "user_ids": users } }));
        }
        raw_events(&list)
    }

    /// Who types in a room, where the client does not know that.
    fn typing(&self, room: &RoomRow, new: bool) -> Option<Vec<OwnedUserId>> {
        let fresh = new || self.is_rest(room);
        let serial = if fresh || self.forgot_typing { 0 } else { self.serial };
        let mut typing = self.sync.live.typing_since(room.room_no, serial);
        if let Some(users) = &mut typing {
            users.retain(|user_id| !self.ignored.has(user_id));
        }
        if fresh {
            return typing.filter(|users| !users.is_empty());
        }
        // Whoever was told of somebody by the process before this one must hear that it ended.
        typing.or_else(|| self.forgot_typing.then(Vec::new))
    }

    /// Receipts as events, one for each thread (client-server API, receipts): in one of them a
    /// person's receipts of two threads on the same event would hide each other.
    pub(super) fn receipts(&self, receipts: Vec<people::Receipt>) -> Vec<serde_json::Value> {
        let filter = &self.asked.filter.room.ephemeral;
        let mut threads: BTreeMap<Option<String>, serde_json::Value> = BTreeMap::new();
        for receipt in receipts {
            let foreign = receipt.user_id != self.asker.user_id;
            if foreign
                && (receipt.kind == "m.read.private"
                    || self.ignored.has(&receipt.user_id)
                    || !filter.takes("m.receipt", receipt.user_id.as_str()))
            {
                continue;
            }
            let mut told = json!({ "ts": receipt.sent_ms });
            if let Some(thread) = &receipt.thread {
                told["thread_id"] = thread.as_str().into();
            }
            let content = threads.entry(receipt.thread).or_insert_with(|| json!({}));
            content[receipt.event_id.as_str()][&receipt.kind][receipt.user_id.as_str()] = told;
        }
        let event = |content| json!({ "type": "m.receipt", "content": content });
        threads.into_values().map(event).collect()
    }

    /// Looks up what the person has not read of these rooms.
    pub(super) async fn load_unread(&mut self, members: &[MemberRow]) -> Result<(), Error> {
        let inside = members.iter().filter(|member| member.membership == Membership::Join);
        let rooms: Vec<i64> = inside.map(|member| member.room_no).collect();
        if !rooms.is_empty() {
            let push = &self.sync.push;
            push.reach(self.now).await;
            let own = &self.asker.user_id;
            self.unread = push.unread(&mut self.snapshot, own, &rooms).await?;
        }
        Ok(())
    }

    /// What the person has not read of a room: all of it, or threads apart where the client asks for
    /// that (client-server API, receiving notifications).
    pub(super) fn unread(&self, room_no: i64) -> (UnreadPart, BTreeMap<String, UnreadPart>) {
        let apart = self.asked.filter.room.timeline.unread_thread_notifications;
        let (mut room, mut threads) = (UnreadPart::default(), BTreeMap::new());
        for (thread, count) in self.unread.get(&room_no).into_iter().flatten() {
            let part = if apart && !thread.is_empty() {
                threads.entry(thread.clone()).or_default()
            } else {
                &mut room
            };
            part.notification_count += count.notified;
            part.highlight_count += count.highlighted;
        }
        (room, threads)
    }

    /// What the person has not read of a room beside its threads.
    pub(super) fn unread_beside_threads(&self, room_no: i64) -> UnreadPart {
        let main = self.unread.get(&room_no).and_then(|threads| threads.get(""));
        let count = main.copied().unwrap_or_default();
        UnreadPart { notification_count: count.notified, highlight_count: count.highlighted }
    }

    /// The person's own data that changed: that of each room, and that of the account.
    pub(super) async fn account_data(&mut self) -> Result<(HashMap<i64, Events>, Events), Error> {
        if self.changed.as_ref().is_some_and(|changed| !changed.own) {
            return Ok((HashMap::new(), Events::default()));
        }
        let since = if self.asked.full_state { 0 } else { self.since };
        let items = people::data_since(&mut self.snapshot, &self.asker.user_id, since).await?;
        let mut by_room: HashMap<i64, Vec<DataItem>> = HashMap::new();
        for item in items {
            by_room.entry(item.room_no).or_default().push(item);
        }
        let mut global = by_room.remove(&0).unwrap_or_default();
        if since == 0 && !global.iter().any(|item| item.kind == PUSH_RULES) {
            // Whoever has set no push rules has those of everybody, and clients want to be told.
            let content = common_account_data(&self.asker.user_id);
            global.push(DataItem { room_no: 0, kind: PUSH_RULES.to_owned(), content });
        }
        let global = shown_data(&global, &self.asked.filter.account_data)?;
        let of_room = &self.asked.filter.room.account_data;
        let mut shown = HashMap::new();
        for (room_no, items) in by_room {
            let events = shown_data(&items, of_room)?;
            if !events.is_empty() {
                shown.insert(room_no, events);
            }
        }
        Ok((shown, global))
    }

    pub(super) async fn presence(&mut self) -> Result<Events, Error> {
        let filter = &self.asked.filter.presence;
        let now_ms = self.sync.ground.clock.now_ms();
        let live = &self.sync.live;
        let mut told: BTreeMap<OwnedUserId, Present> =
            live.present_since(self.serial).into_iter().collect();
        for user_id in std::mem::take(&mut self.met) {
            // Of somebody met only now, being away says nothing.
            let there = live.presence(&user_id).filter(|it| it.presence != Presence::Offline);
            if let Some(present) = there {
                told.insert(user_id, present);
            }
        }
        told.retain(|user_id, _| {
            filter.takes("m.presence", user_id.as_str()) && !self.ignored.has(user_id)
        });
        let others: Vec<&UserId> = told.keys().map(AsRef::as_ref).collect();
        let own = &self.asker.user_id;
        let near = rooms::who_share_a_room(&mut self.snapshot, own, &others).await?;
        told.retain(|user_id, _| user_id == own || near.contains(user_id));
        let list = told.iter().map(|(of, present)| presence_event(own, of, present, now_ms));
        raw_events(&list.collect::<Vec<_>>())
    }
}

/// Items of account data as events, without those that a filter leaves out.
pub(super) fn shown_data(items: &[DataItem], filter: &EventFilter) -> Result<Events, Error> {
    let mut events = Vec::new();
    for item in items.iter().filter(|item| filter.takes_type(&item.kind)) {
        events.push(item.event().map_err(Error::internal)?);
    }
    Ok(Events { events })
}

/// A presence as `/sync` and `/presence` show it.
fn presence_event(
    asker: &UserId,
    user_id: &UserId,
    present: &Present,
    now_ms: i64,
) -> serde_json::Value {
    let mut content = json!({
        "presence": present.presence.as_str(),
        "last_active_ago": (now_ms - present.active_ms).max(0),
        "currently_active": present.presence == Presence::Online,
    });
    if let Some(status) = &present.status {
        content["status_msg"] = status.as_str().into();
    }
    let whereabouts = present.whereabouts.as_ref();
    if let Some(place) = whereabouts.and_then(|it| it.for_one(asker)) {
        content[place::FIELD] = place.told();
    }
    json!({ "type": "m.presence", "sender": user_id, "content": content })
}

fn raw_events(list: &[serde_json::Value]) -> Result<Events, Error> {
    let events = list.iter().map(serde_json::value::to_raw_value).collect::<Result<_, _>>();
    Ok(Events { events: events.map_err(Error::internal)? })
}
