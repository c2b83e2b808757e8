//! The room versions that this house speaks, and their rules.

use std::sync::OnceLock;

use ruma::{RoomVersionId, room_version_rules::RoomVersionRules};

/// A room version that the house can create, join and resolve (`content/rooms/v10.md` to `v12.md`).
///
/// Ordered by age: `V10 < V11 < V12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoomVersion {
    /// Version 10: integer power levels, `knock_restricted`.
    V10,
    /// Version 11: the creator is the sender of the create event; `redacts` lives in the content.
    V11,
    /// Version 12: the room id is the hash of the create event, creators outrank everyone,
    /// state resolution 2.1.
    V12,
}

impl RoomVersion {
    /// The version of rooms that are created without naming one.
    pub const DEFAULT: Self = Self::V12;

    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V10, Self::V11, Self::V12];

    /// Reads the identifier of a room version; `None` for one that is not spoken here.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The identifier as it stands in `content.room_version` of a create event.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V10 => "10",
            Self::V11 => "11",
            Self::V12 => "12",
        }
    }

    /// The identifier as ruma's type.
    #[must_use]
    pub const fn id(self) -> RoomVersionId {
        match self {
            Self::V10 => RoomVersionId::V10,
            Self::V11 => RoomVersionId::V11,
            Self::V12 => RoomVersionId::V12,
        }
    }

    /// The rules of this version: format, redaction, signatures, authorisation, resolution.
    #[must_use]
    pub fn rules(self) -> &'static RoomVersionRules {
        static RULES: OnceLock<[RoomVersionRules; 3]> = OnceLock::new();
        let rules = RULES
            .get_or_init(|| [RoomVersionRules::V10, RoomVersionRules::V11, RoomVersionRules::V12]);
        match self {
            Self::V10 => &rules[0],
            Self::V11 => &rules[1],
            Self::V12 => &rules[2],
        }
    }

    /// Whether the room id is the hash of the create event and that event is in no `auth_events`.
    #[must_use]
    pub fn create_is_room_id(self) -> bool {
        self.rules().authorization.room_create_event_id_as_room_id
    }
}

#[cfg(test)]
mod tests {
    use super::RoomVersion;

    #[test]
    fn every_version_reads_back() {
        for version in RoomVersion::ALL {
            assert_eq!(RoomVersion::parse(version.as_str()), Some(version));
            assert_eq!(version.id().as_str(), version.as_str());
            assert_eq!(version.create_is_room_id(), version == RoomVersion::V12);
        }
        for unknown in ["", "9", "13", "010", "org.matrix.msc2716v4"] {
            assert_eq!(RoomVersion::parse(unknown), None);
        }
        assert_eq!(RoomVersion::ALL.last(), Some(&RoomVersion::DEFAULT));
    }
}
