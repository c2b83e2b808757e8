//! What a client was told of a room's state, and from where on it must hear of each part of it.

use std::{collections::BTreeMap, sync::Arc};

use super::asked::{Part, Required};
use crate::store::events::StoredEvent;

/// Parts that are remembered while nobody wants them. Of more, those are told as a whole when they
/// are wanted again that have been behind for longest.
const UNWANTED: usize = 8;

/// Which parts of a room's state a client was told, and up to where in the stream it was told how
/// they changed. A part that is wanted no more falls behind when something of it changes, so that
/// it is brought up to date when it is wanted again (proposal 4186, changes to `required_state`).
#[derive(Clone, Debug, Default)]
pub(super) struct ToldState {
    parts: Vec<(Arc<Part>, i64)>,
    /// The same for the members who changed, where the client wanted those who speak.
    lazy: Option<i64>,
}

/// What a client must be told of a room's state beside its latest changes.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Parts that it was never told of.
    pub(super) whole: Vec<Arc<Part>>,
    /// Parts that have fallen behind, by the position from where on.
    pub(super) since: BTreeMap<i64, Behind>,
}

/// What has fallen behind.
#[derive(Debug, Default)]
pub(super) struct Behind {
    parts: Vec<Arc<Part>>,
    members: bool,
}

impl ToldState {
    /// Whether a client that was told of the room up to a position must be told more than changed
    /// since.
    pub(super) fn falls_short_of(&self, required: &Required, upto: i64) -> bool {
        let behind = |known: Option<i64>| known.is_none_or(|known| known < upto);
        (required.lazy && behind(self.lazy)) || required.parts().any(|part| behind(self.upto(part)))
    }

    /// What a client that was told of the room up to a position must be told beside what changed
    /// since.
    pub(super) fn owed(&self, required: &Required, upto: i64) -> Owed {
        let mut owed = Owed::default();
        for part in required.parts() {
            match self.upto(part) {
                None => owed.whole.push(part.clone()),
                Some(known) if known < upto => {
                    owed.since.entry(known).or_default().parts.push(part.clone());
                }
                Some(_) => {}
            }
        }
        if let Some(known) = self.lazy.filter(|known| required.lazy && *known < upto) {
            owed.since.entry(known).or_default().members = true;
        }
        owed
    }

    /// What the client knows when it was told all that is required of the state as it is now.
    pub(super) fn anew(required: &Required, now: i64) -> Self {
        let parts = required.parts().map(|part| (part.clone(), now)).collect();
        Self { parts, lazy: required.lazy.then_some(now) }
    }

    /// The same where it was told what is owed and what of these changes is required, after it had
    /// been told up to a position. Behind a gap it holds no members to be true.
    pub(super) fn after(
        &self,
        required: &Required,
        upto: i64,
        now: i64,
        (changes, gap): (&[StoredEvent], bool),
    ) -> Self {
        let mut after = Self::anew(required, now);
        let keeps = |known: i64, touches: &dyn Fn(&str, &str) -> bool| {
            let touched = changes.iter().any(|it| {
                touches(&it.event.kind().to_string(), it.event.state_key().unwrap_or_default())
            });
            if known < upto || touched { known } else { now }
        };
        let mut unwanted: Vec<(Arc<Part>, i64)> = self
            .parts
            .iter()
            .filter(|(part, _)| !required.has(part))
            .map(|(part, known)| (part.clone(), keeps(*known, &|kind, key| part.wants(kind, key))))
            .collect();
        unwanted.sort_by_key(|(_, known)| std::cmp::Reverse(*known));
        unwanted.truncate(UNWANTED);
        after.parts.extend(unwanted);
        if !required.lazy && !gap {
            let member = |kind: &str, _: &str| kind == "m.room.member";
            after.lazy = self.lazy.map(|known| keeps(known, &member));
        }
        after
    }

    fn upto(&self, part: &Arc<Part>) -> Option<i64> {
        self.parts.iter().find(|(it, _)| it == part).map(|(_, known)| *known)
    }
}

impl Behind {
    /// Whether an entry of the state is among it; members where they are told of at all.
    pub(super) fn has(&self, kind: &str, key: &str, members: bool) -> bool {
        (self.members && members && kind == "m.room.member")
            || self.parts.iter().any(|part| part.wants(kind, key))
    }
}
