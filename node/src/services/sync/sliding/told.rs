//! What a client was told of a room's state, and from where on it must hear of each part of it.

use std::{collections::BTreeMap, sync::Arc};

use super::asked::{Part, Required};

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

    /// The same where it was told what is owed and what is required of these types and keys, which
    /// changed since it had been told up to a position. Behind a gap it holds no members to be true.
    pub(super) fn after(
        &self,
        required: &Required,
        upto: i64,
        now: i64,
        (changes, gap): (&[(String, String)], bool),
    ) -> Self {
        let mut after = Self::anew(required, now);
        let keeps = |known: i64, touches: &dyn Fn(&str, &str) -> bool| {
            let touched = changes.iter().any(|(kind, key)| touches(kind, key));
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

#[cfg(test)]
mod tests {
    use super::{super::asked::Rule, *};

    /// What asks for one type of state, or for those who speak.
    fn required(kinds: &[&str]) -> Required {
        let mut required = Required::default();
        for kind in kinds {
            let key = if *kind == "m.room.member" { "$LAZY" } else { "" };
            let wish = serde_json::from_value(serde_json::json!([[kind, key]])).unwrap();
            required.add(&Rule::of(&wish, "@ann:a.test"));
        }
        required
    }

    fn changed(kind: &str) -> Vec<(String, String)> {
        vec![(kind.to_owned(), String::new())]
    }

    #[test]
    fn what_nobody_wants_falls_behind_when_it_changes() {
        let (some, all) = (required(&["name"]), required(&["name", "pins"]));
        let told = ToldState::anew(&all, 1);
        assert!(!told.falls_short_of(&all, 1) && !told.falls_short_of(&some, 1));
        let other = told.after(&some, 1, 2, (&changed("name"), false));
        assert!(!other.falls_short_of(&all, 2), "nothing of it changed");
        let behind = other.after(&some, 2, 3, (&changed("pins"), false));
        assert!(behind.falls_short_of(&all, 3) && !behind.falls_short_of(&some, 3));
        let later = behind.after(&some, 3, 4, (&changed("name"), false));
        let owed = later.owed(&all, 4);
        assert!(owed.whole.is_empty());
        let [(since, behind)] = &owed.since.iter().collect::<Vec<_>>()[..] else {
            panic!("{owed:?}")
        };
        assert!(**since == 2 && behind.has("pins", "", true) && !behind.has("name", "", true));
        assert!(!later.after(&all, 4, 5, (&[], false)).falls_short_of(&all, 5));
    }

    #[test]
    fn members_who_changed_unheard_are_owed_but_behind_a_gap() {
        let (some, lazy) = (required(&["name"]), required(&["name", "m.room.member"]));
        let told = ToldState::anew(&lazy, 1);
        let behind = told.after(&some, 1, 2, (&changed("m.room.member"), false));
        let owed = behind.owed(&lazy, 2);
        assert!(owed.since[&1].has("m.room.member", "@bob:a.test", true));
        assert!(!owed.since[&1].has("m.room.member", "@bob:a.test", false));
        let forgotten = behind.after(&some, 2, 3, (&[], true));
        assert!(forgotten.falls_short_of(&lazy, 3) && forgotten.owed(&lazy, 3).since.is_empty());
    }

    #[test]
    fn few_parts_are_remembered_unwanted() {
        let none = Required::default();
        let kinds: Vec<String> = (0..=UNWANTED).map(|n| format!("kind{n}")).collect();
        let mut told = ToldState::default();
        for (upto, kind) in (0..).step_by(2).zip(&kinds) {
            // Each is told, and changes when nobody wants it any more.
            told = told.after(&required(&[kind]), upto, upto + 1, (&[], false));
            told = told.after(&none, upto + 1, upto + 2, (&changed(kind), false));
            assert!(told.parts.len() <= UNWANTED);
        }
        let all: Vec<&str> = kinds.iter().map(String::as_str).collect();
        let owed = told.owed(&required(&all), 100);
        assert_eq!((owed.whole.len(), owed.since.len()), (1, UNWANTED));
        assert!(owed.whole[0].wants("kind0", ""), "what was behind for longest");
    }
}
