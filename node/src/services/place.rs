//! In which world somebody is, as their friends are told (specs/social.md).

use std::collections::BTreeSet;

use ruma::{OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, ServerName, UserId};
use serde_json::{Value, json};

/// Under what name presence holds it.
pub const FIELD: &str = "org.wayside.place";
/// Longest name of a world that is told, in bytes.
const NAME_BYTES: usize = 200;
/// Most people of one server whom one person lets know.
const TOLD: usize = 1_000;

/// A world of a node. Of one that is not open to everybody nothing is told but where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The name of its node.
    pub server: OwnedServerName,
    /// The world and what it is called, where anybody may come.
    pub open: Option<(OwnedRoomOrAliasId, String)>,
    /// Since when they are there, in milliseconds since the epoch.
    pub since_ms: i64,
}

/// Where somebody is, and who may know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whereabouts {
    /// Where.
    pub place: Place,
    /// Those who are told; without them everybody who sees how they are present.
    pub to: Option<BTreeSet<OwnedUserId>>,
    /// Those who are not told in any case.
    pub not: BTreeSet<OwnedUserId>,
    /// Until when it is believed, in milliseconds since the epoch.
    pub until_ms: i64,
}

impl Place {
    /// The place as clients and other nodes are told.
    #[must_use]
    pub fn told(&self) -> Value {
        let mut told = json!({
            "server": self.server,
            "public": self.open.is_some(),
            "since_ms": self.since_ms,
        });
        if let Some((world, name)) = &self.open {
            told["world"] = world.as_str().into();
            told["name"] = name.as_str().into();
        }
        told
    }

    /// Reads what another node tells; nothing where it does not read.
    fn read(told: &Value, now_ms: i64) -> Option<Self> {
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        let is_open = told.get("public").and_then(Value::as_bool)?;
        let open = match (is_open, text("world"), text("name")) {
            (true, Some(world), Some(name)) => Some((world_in(world)?, name_in(name)?)),
            (true, ..) => return None,
            (false, ..) => None,
        };
        let since_ms = told.get("since_ms").and_then(Value::as_i64)?;
        Some(Self {
            server: ServerName::parse(text("server")?).ok()?,
            open,
            since_ms: since_ms.clamp(0, now_ms),
        })
    }
}

impl Whereabouts {
    /// The place, where it is for that person to know.
    #[must_use]
    pub fn for_one(&self, user_id: &UserId) -> Option<&Place> {
        let told = self.to.as_ref().is_none_or(|to| to.contains(user_id));
        (told && !self.not.contains(user_id)).then_some(&self.place)
    }

    /// The same for the people of a server: what that is told beside their presence. One on which somebody lives
    /// who is not told is told nothing that is for everybody.
    #[must_use]
    pub fn for_server(&self, server: &ServerName) -> Option<Value> {
        let there = |one: &&OwnedUserId| one.server_name() == server;
        let Some(to) = &self.to else {
            let kept = self.not.iter().any(|one| there(&one));
            return (!kept).then(|| json!({ "place": self.place.told() }));
        };
        let to = to.iter().filter(there).filter(|one| !self.not.contains(*one));
        let to: Vec<_> = to.take(TOLD).collect();
        (!to.is_empty()).then(|| json!({ "place": self.place.told(), "for": to }))
    }

    /// Reads what another server tells beside a presence, for its own people alone; nothing where it does
    /// not read.
    #[must_use]
    pub fn heard(told: &Value, own: &ServerName, now_ms: i64, lasts_ms: i64) -> Option<Self> {
        let place = Place::read(told.get("place")?, now_ms)?;
        let to = match told.get("for") {
            None => None,
            Some(to) => {
                let named = to.as_array()?.iter().take(TOLD).filter_map(Value::as_str);
                let named = named.filter_map(|one| UserId::parse(one).ok());
                Some(named.filter(|one| one.server_name() == own).collect())
            }
        };
        Some(Self { place, to, not: BTreeSet::new(), until_ms: now_ms + lasts_ms })
    }

    /// Whether the same is told of both to the same people.
    #[must_use]
    pub fn is_told_as(&self, other: &Self) -> bool {
        (&self.place, &self.to, &self.not) == (&other.place, &other.to, &other.not)
    }
}

/// A world by its alias or its room.
#[must_use]
pub fn world_in(text: &str) -> Option<OwnedRoomOrAliasId> {
    let fits = text.len() <= 255 && !text.contains(char::is_control);
    OwnedRoomOrAliasId::try_from(text).ok().filter(|_| fits)
}

/// What a world is called.
#[must_use]
pub fn name_in(text: &str) -> Option<String> {
    let name = text.trim();
    let fits = !name.is_empty() && name.len() <= NAME_BYTES && !name.contains(char::is_control);
    fits.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use ruma::{server_name, user_id};

    use super::*;

    fn whereabouts(to: Option<&[&str]>) -> Whereabouts {
        let open = world_in("#plaza:b.test").zip(name_in("The Plaza"));
        let place = Place { server: server_name!("b.test").to_owned(), open, since_ms: 5 };
        let to = to.map(|to| to.iter().map(|one| UserId::parse(*one).unwrap()).collect());
        Whereabouts { place, to, not: BTreeSet::new(), until_ms: 60 }
    }

    #[test]
    fn a_place_is_told_to_those_alone_who_may_know() {
        let some = whereabouts(Some(&["@bob:b.test", "@cid:c.test"]));
        assert!(some.for_one(user_id!("@bob:b.test")).is_some());
        assert!(some.for_one(user_id!("@eve:b.test")).is_none());
        let told = some.for_server(server_name!("b.test")).unwrap();
        assert_eq!(told["for"], json!(["@bob:b.test"]));
        assert!(some.for_server(server_name!("d.test")).is_none());
        let heard = Whereabouts::heard(&told, server_name!("b.test"), 10, 50).unwrap();
        assert_eq!(heard.place, some.place);
        assert!(heard.for_one(user_id!("@bob:b.test")).is_some());
        assert!(heard.for_one(user_id!("@cid:c.test")).is_none());
        let all = whereabouts(None);
        let heard = all.for_server(server_name!("d.test")).unwrap();
        let heard = Whereabouts::heard(&heard, server_name!("d.test"), 10, 50).unwrap();
        assert!(heard.for_one(user_id!("@eve:d.test")).is_some());
        // Whoever is kept from it is not told with everybody else.
        let kept = Whereabouts { not: [user_id!("@eve:d.test").to_owned()].into(), ..all };
        assert!(kept.for_one(user_id!("@eve:d.test")).is_none());
        assert!(kept.for_one(user_id!("@bob:b.test")).is_some());
        assert!(kept.for_server(server_name!("d.test")).is_none());
        assert!(kept.for_server(server_name!("b.test")).is_some());
    }

    #[test]
    fn of_a_world_that_is_not_open_nothing_is_told_but_its_node() {
        let mut hidden = whereabouts(None);
        hidden.place.open = None;
        let told = hidden.place.told();
        assert_eq!(told, json!({ "server": "b.test", "public": false, "since_ms": 5 }));
        assert_eq!(Place::read(&told, 10), Some(hidden.place));
    }

    #[test]
    fn what_does_not_read_is_no_place() {
        let good = whereabouts(None).place.told();
        assert!(Place::read(&good, 10).is_some());
        for (field, wrong) in [
            ("server", json!("no server")),
            ("server", json!(7)),
            ("public", json!("yes")),
            ("since_ms", json!("now")),
            ("world", json!("plaza")),
            ("world", json!(format!("#{}:b.test", "x".repeat(300)))),
            ("name", json!("")),
            ("name", json!("a\nb")),
            ("name", json!("x".repeat(300))),
            ("name", Value::Null),
        ] {
            let mut told = good.clone();
            told[field] = wrong;
            assert_eq!(Place::read(&told, 10), None, "{told}");
        }
        for told in [json!([]), json!({ "place": good, "for": "me" }), json!({ "place": 7 })] {
            assert!(Whereabouts::heard(&told, server_name!("b.test"), 10, 50).is_none(), "{told}");
        }
    }
}
