//! The form of an answer of `/sync`.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Events, devices::DeviceLists};

/// What is told.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// The token for asking on.
    pub next_batch: String,
    /// Whether there was more to tell than one answer holds: asking on gives it at once.
    #[serde(skip)]
    pub(super) more: bool,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(super) account_data: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(super) presence: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(super) to_device: Events,
    #[serde(skip_serializing_if = "DeviceLists::is_empty")]
    pub(super) device_lists: DeviceLists,
    pub(super) device_one_time_keys_count: BTreeMap<String, i64>,
    pub(super) device_unused_fallback_key_types: Vec<String>,
    pub(super) rooms: RoomsPart,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct RoomsPart {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) join: BTreeMap<OwnedRoomId, JoinedPart>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) invite: BTreeMap<OwnedRoomId, InvitePart>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) knock: BTreeMap<OwnedRoomId, KnockPart>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) leave: BTreeMap<OwnedRoomId, LeftPart>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct JoinedPart {
    pub(super) summary: SummaryPart,
    pub(super) unread_notifications: UnreadPart,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) unread_thread_notifications: BTreeMap<String, UnreadPart>,
    #[serde(flatten)]
    pub(super) timeline: StatefulTimeline,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(super) ephemeral: Events,
    #[serde(skip_serializing_if = "Events::is_empty")]
    pub(super) account_data: Events,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct UnreadPart {
    pub(super) notification_count: i64,
    pub(super) highlight_count: i64,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct LeftPart {
    #[serde(flatten)]
    pub(super) timeline: StatefulTimeline,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct StatefulTimeline {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<Events>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state_after: Option<Events>,
    pub(super) timeline: TimelinePart,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct TimelinePart {
    pub(super) events: Vec<Box<RawValue>>,
    pub(super) limited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_batch: Option<String>,
}

impl StatefulTimeline {
    /// How large its events are, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let state = [&self.state, &self.state_after].into_iter().flatten();
        let timeline: usize = self.timeline.events.iter().map(|event| event.get().len()).sum();
        state.map(Events::bytes).sum::<usize>() + timeline
    }

    /// Whether there is nothing in it to tell.
    pub(super) fn is_empty(&self) -> bool {
        let no_state = [&self.state, &self.state_after];
        no_state.into_iter().flatten().all(Events::is_empty)
            && self.timeline.events.is_empty()
            && !self.timeline.limited
    }
}

#[derive(Debug, Default, Serialize)]
pub(super) struct SummaryPart {
    #[serde(rename = "m.heroes", skip_serializing_if = "Option::is_none")]
    pub(super) heroes: Option<Vec<OwnedUserId>>,
    #[serde(rename = "m.joined_member_count", skip_serializing_if = "Option::is_none")]
    pub(super) joined: Option<i64>,
    #[serde(rename = "m.invited_member_count", skip_serializing_if = "Option::is_none")]
    pub(super) invited: Option<i64>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct InvitePart {
    pub(super) invite_state: Events,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct KnockPart {
    pub(super) knock_state: Events,
}

impl JoinedPart {
    /// How large its events are, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.timeline.bytes() + self.ephemeral.bytes() + self.account_data.bytes()
    }
}

impl Answer {
    /// Whether there is nothing to tell but a new token.
    pub(super) fn is_empty(&self) -> bool {
        let rooms = &self.rooms;
        !self.more
            && self.account_data.is_empty()
            && self.presence.is_empty()
            && self.to_device.is_empty()
            && self.device_lists.is_empty()
            && rooms.join.is_empty()
            && rooms.invite.is_empty()
            && rooms.knock.is_empty()
            && rooms.leave.is_empty()
    }
}
