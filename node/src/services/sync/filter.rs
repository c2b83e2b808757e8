//! What a client does not want to hear of (client-server API, filtering).

use serde::Deserialize;

/// A filter of `/sync`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Of the person's own account data.
    pub account_data: EventFilter,
    /// Of others' presence.
    pub presence: EventFilter,
    /// Of rooms.
    pub room: RoomFilter,
}

/// A filter of rooms and what is in them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RoomFilter {
    /// Only these rooms.
    pub rooms: Option<Vec<String>>,
    /// None of these.
    pub not_rooms: Vec<String>,
    /// Whether rooms that were left count in a first answer.
    pub include_leave: bool,
    /// Of the person's own data of a room.
    pub account_data: EventFilter,
    /// Of receipts and typing.
    pub ephemeral: EventFilter,
    /// Of state.
    pub state: EventFilter,
    /// Of the timeline.
    pub timeline: EventFilter,
}

/// A filter of events.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// At most so many.
    pub limit: Option<u32>,
    /// Only of these senders.
    pub senders: Option<Vec<String>>,
    /// Of none of these.
    pub not_senders: Vec<String>,
    /// Only of these types, in which `*` stands for anything.
    pub types: Option<Vec<String>>,
    /// Of none of these.
    pub not_types: Vec<String>,
    /// Only of these rooms.
    pub rooms: Option<Vec<String>>,
    /// Of none of these.
    pub not_rooms: Vec<String>,
    /// Only those whose content has a `url`, or has none.
    pub contains_url: Option<bool>,
    /// Whether to leave out members who do not speak.
    pub lazy_load_members: bool,
}

impl RoomFilter {
    /// Whether a room counts.
    #[must_use]
    pub fn takes(&self, room_id: &str) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|it| it == room_id))
            && !self.not_rooms.iter().any(|it| it == room_id)
    }
}

impl EventFilter {
    /// Whether an event of that type by that sender counts.
    #[must_use]
    pub fn takes(&self, kind: &str, sender: &str) -> bool {
        self.takes_type(kind)
            && self.senders.as_ref().is_none_or(|list| list.iter().any(|it| it == sender))
            && !self.not_senders.iter().any(|it| it == sender)
    }

    /// Whether an event of that type counts.
    #[must_use]
    pub fn takes_type(&self, kind: &str) -> bool {
        self.types.as_ref().is_none_or(|list| list.iter().any(|it| fits(it, kind)))
            && !self.not_types.iter().any(|it| fits(it, kind))
    }

    /// Whether events of that room count.
    #[must_use]
    pub fn takes_room(&self, room_id: &str) -> bool {
        self.rooms.as_ref().is_none_or(|list| list.iter().any(|it| it == room_id))
            && !self.not_rooms.iter().any(|it| it == room_id)
    }

    /// Whether an event with that content counts.
    #[must_use]
    pub fn takes_content(&self, content: &str) -> bool {
        let Some(wanted) = self.contains_url else { return true };
        #[derive(Deserialize)]
        struct Url {
            url: Option<serde::de::IgnoredAny>,
        }
        let has = serde_json::from_str::<Url>(content).is_ok_and(|it| it.url.is_some());
        has == wanted
    }

    /// Whether everything counts, so that nothing needs to be looked at.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.types.is_none()
            && self.not_types.is_empty()
            && self.senders.is_none()
            && self.not_senders.is_empty()
            && self.contains_url.is_none()
    }
}

/// Whether a text fits a pattern in which `*` stands for any text; in time linear in both.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.len() >= last.len() && rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        let cases = [
            ("m.room.*", "m.room.message", true),
            ("m.room.*", "m.roomy", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("ab*ba", "aba", false),
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "m.room.messages", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(fits(pattern, text), expected, "{pattern} against {text}");
        }
    }

    #[test]
    fn what_is_excluded_wins_over_what_is_included() {
        let filter: EventFilter =
            serde_json::from_str(r#"{"types":["m.*"],"not_types":["m.room.member"]}"#).unwrap();
        assert!(filter.takes("m.room.name", "@a:b"));
        assert!(!filter.takes("m.room.member", "@a:b"));
        assert!(!filter.takes("org.example", "@a:b"));
    }
}
