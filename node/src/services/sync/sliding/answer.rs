//! The form of an answer of sliding sync.

use std::collections::BTreeMap;

use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::super::{Events, devices::DeviceLists};

/// What is told.
#[derive(Debug, Default, Serialize)]
pub struct Answer {
    /// The token for asking on.
    pub pos: String,
    /// Whether there was more to tell than one answer holds.
    #[serde(skip)]
    pub(super) more: bool,
    pub(super) lists: BTreeMap<String, ListPart>,
    pub(super) rooms: BTreeMap<OwnedRoomId, RoomPart>,
    pub(super) extensions: ExtensionsPart,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct ListPart {
    pub(super) count: usize,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct RoomPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) initial: Option<bool>,
    pub(super) membership: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) lists: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bump_stamp: Option<i64>,
    /// A text, or null where it was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) heroes: Option<Vec<HeroPart>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_dm: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) joined_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invited_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notification_count: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) highlight_count: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) required_state: Vec<Box<RawValue>>,
    #[serde(rename = "timeline", skip_serializing_if = "Vec::is_empty")]
    pub(super) timeline: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prev_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) limited: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) num_live: Option<usize>,
    /// The name that the clients of today know it by.
    #[serde(rename = "unstable_expanded_timeline", skip_serializing_if = "Option::is_none")]
    pub(super) expanded_timeline: Option<bool>,
    /// What is shown to who is invited or knocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) invite_state: Option<Vec<Box<RawValue>>>,
}

#[derive(Debug, Serialize)]
pub(super) struct HeroPart {
    pub(super) user_id: OwnedUserId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) displayname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) avatar_url: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct ExtensionsPart {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to_device: Option<LettersPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) e2ee: Option<KeysPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account_data: Option<DataPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) receipts: Option<MomentsPart>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) typing: Option<MomentsPart>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct LettersPart {
    pub(super) next_batch: String,
    #[serde(flatten)]
    pub(super) events: Events,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct KeysPart {
    #[serde(rename = "device_lists", skip_serializing_if = "DeviceLists::is_empty")]
    pub(super) lists: DeviceLists,
    #[serde(rename = "device_one_time_keys_count")]
    pub(super) one_time_keys: BTreeMap<String, i64>,
    #[serde(rename = "device_unused_fallback_key_types")]
    pub(super) unused_fallback: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct DataPart {
    pub(super) global: Vec<Box<RawValue>>,
    pub(super) rooms: BTreeMap<OwnedRoomId, Vec<Box<RawValue>>>,
}

/// One event for each room.
#[derive(Debug, Default, Serialize)]
pub(super) struct MomentsPart {
    pub(super) rooms: BTreeMap<OwnedRoomId, Value>,
}

impl RoomPart {
    /// How large its events are, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let events = self.required_state.iter().chain(&self.timeline);
        let door = self.invite_state.iter().flatten();
        events.chain(door).map(|event| event.get().len()).sum()
    }
}

impl Answer {
    /// Whether there is nothing to tell but a new token.
    pub(super) fn is_empty(&self) -> bool {
        let beside = &self.extensions;
        let no_letters = beside.to_device.as_ref().is_none_or(|it| it.events.is_empty());
        let no_keys = beside.e2ee.as_ref().is_none_or(|it| it.lists.is_empty());
        let no_data = beside
            .account_data
            .as_ref()
            .is_none_or(|it| it.global.is_empty() && it.rooms.is_empty());
        let no_moments = [&beside.receipts, &beside.typing]
            .into_iter()
            .flatten()
            .all(|moments| moments.rooms.is_empty());
        !self.more && self.rooms.is_empty() && no_letters && no_keys && no_data && no_moments
    }
}
