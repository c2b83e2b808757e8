//! What a client does not want to hear of (client-server API, filtering).

use std::borrow::Cow;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _},
};
use serde_json::{Map, Value};
use wayside_federation::event::Event;

/// A filter of `/sync`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Filter {
    /// Of the person's own account data.
    #[serde(deserialize_with = "object")]
    pub account_data: EventFilter,
    /// Of others' presence.
    #[serde(deserialize_with = "object")]
    pub presence: EventFilter,
    /// Of rooms.
    #[serde(deserialize_with = "object")]
    pub room: RoomFilter,
    /// Only these parts of the events of rooms.
    pub event_fields: Option<Fields>,
    /// In which form the events of rooms are.
    pub event_format: EventFormat,
}

/// The forms that events of rooms can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EventFormat {
    /// The one for clients.
    #[default]
    Client,
    /// As servers send them to each other.
    Federation,
}

/// Parts of events, named by paths such as `content.body`; a dot or backslash within a name has a
/// backslash before it.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Names")]
pub struct Fields(Vec<Vec<String>>);

impl TryFrom<Names> for Fields {
    type Error = String;

    fn try_from(paths: Names) -> Result<Self, String> {
        Ok(Self(paths.0.iter().map(|path| read_path(path)).collect()))
    }
}

impl Fields {
    /// The event with only the parts that are named.
    #[must_use]
    pub fn of(&self, event: &str) -> Cow<'static, str> {
        let Ok(whole) = serde_json::from_str::<Value>(event) else { return "{}".into() };
        let mut part = Value::Object(Map::new());
        for path in &self.0 {
            let held = path.iter().try_fold(&whole, |at, name| at.as_object()?.get(name));
            let (Some(held), Some((last, above))) = (held, path.split_last()) else { continue };
            let place = above.iter().try_fold(&mut part, |at, name| {
                Some(at.as_object_mut()?.entry(name).or_insert_with(|| Value::Object(Map::new())))
            });
            if let Some(place) = place.and_then(Value::as_object_mut) {
                place.insert(last.clone(), held.clone());
            }
        }
        part.to_string().into()
    }
}

/// Reads the name of a part of an event, such as `content.body`: a dot or backslash within one of its
/// names has a backslash before it.
#[must_use]
pub fn read_path(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(character) = characters.next() {
        let end = names.len() - 1;
        match character {
            '.' => names.push(String::new()),
            '\\' if matches!(characters.peek(), Some('.' | '\\')) => {
                names[end].extend(characters.next());
            }
            other => names[end].push(other),
        }
    }
    names
}

/// A filter of rooms and what is in them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct RoomFilter {
    /// Only these rooms.
    pub rooms: Option<Names>,
    /// None of these.
    pub not_rooms: Names,
    /// Whether rooms that were left count in a first answer.
    pub include_leave: bool,
    /// Of the person's own data of a room.
    #[serde(deserialize_with = "object")]
    pub account_data: EventFilter,
    /// Of receipts and typing.
    #[serde(deserialize_with = "object")]
    pub ephemeral: EventFilter,
    /// Of state.
    #[serde(deserialize_with = "object")]
    pub state: EventFilter,
    /// Of the timeline.
    #[serde(deserialize_with = "object")]
    pub timeline: EventFilter,
}

/// A filter of events.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EventFilter {
    /// At most so many; whoever names more than can be counted gets as many as anybody.
    #[serde(deserialize_with = "at_most")]
    pub limit: Option<u32>,
    /// Only of these senders.
    pub senders: Option<Names>,
    /// Of none of these.
    pub not_senders: Names,
    /// Only of these types, in which `*` stands for anything.
    pub types: Option<Names>,
    /// Of none of these.
    pub not_types: Names,
    /// Only of these rooms.
    pub rooms: Option<Names>,
    /// Of none of these.
    pub not_rooms: Names,
    /// Only those whose content has a `url`, or has none.
    pub contains_url: Option<bool>,
    /// Whether to leave out members who do not speak.
    pub lazy_load_members: bool,
    /// Whether what is unread in threads is told apart.
    pub unread_thread_notifications: bool,
    /// Only those to which something relates in one of these ways.
    pub related_by_rel_types: Option<Names>,
    /// Only those to which something of one of these senders relates.
    pub related_by_senders: Option<Names>,
}

/// Texts that are compared with every event: a bounded number of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Names(Vec<String>);

/// Most entries of one list of a filter.
const NAMES: usize = 1_000;

impl TryFrom<Vec<String>> for Names {
    type Error = String;

    fn try_from(list: Vec<String>) -> Result<Self, String> {
        if list.len() <= NAMES {
            Ok(Self(list))
        } else {
            Err(format!("a list of a filter has at most {NAMES} entries"))
        }
    }
}

impl Names {
    fn has(&self, text: &str) -> bool {
        self.0.iter().any(|it| it == text)
    }

    fn fits(&self, text: &str) -> bool {
        self.0.iter().any(|it| fits(it, text))
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl RoomFilter {
    /// Whether a room counts.
    #[must_use]
    pub fn takes(&self, room_id: &str) -> bool {
        self.rooms.as_ref().is_none_or(|rooms| rooms.has(room_id)) && !self.not_rooms.has(room_id)
    }
}

impl EventFilter {
    /// Whether an event of a room counts.
    #[must_use]
    pub fn takes_event(&self, event: &Event) -> bool {
        self.takes_room(event.room_id().as_str())
            && (self.takes_all() || self.takes(&event.kind().to_string(), event.sender().as_str()))
            && (self.contains_url.is_none() || self.takes_content(event.content().get()))
    }

    /// Whether an event of that type by that sender counts.
    #[must_use]
    pub fn takes(&self, kind: &str, sender: &str) -> bool {
        self.takes_type(kind)
            && self.senders.as_ref().is_none_or(|list| list.has(sender))
            && !self.not_senders.has(sender)
    }

    /// Whether an event of that type counts.
    #[must_use]
    pub fn takes_type(&self, kind: &str) -> bool {
        self.types.as_ref().is_none_or(|list| list.fits(kind)) && !self.not_types.fits(kind)
    }

    /// Whether events of that room count.
    #[must_use]
    pub fn takes_room(&self, room_id: &str) -> bool {
        self.rooms.as_ref().is_none_or(|list| list.has(room_id)) && !self.not_rooms.has(room_id)
    }

    /// Whether an event with that content counts.
    #[must_use]
    pub fn takes_content(&self, content: &str) -> bool {
        #[derive(Deserialize)]
        struct Url {
            url: Option<serde::de::IgnoredAny>,
        }
        let Some(wanted) = self.contains_url else { return true };
        let has = serde_json::from_str::<Url>(content).is_ok_and(|it| it.url.is_some());
        has == wanted
    }

    /// Whether what relates to an event matters.
    #[must_use]
    pub fn asks_for_relations(&self) -> bool {
        self.related_by_rel_types.is_some() || self.related_by_senders.is_some()
    }

    /// Whether an event counts for something of that sender that relates to it in that way.
    #[must_use]
    pub fn takes_relation(&self, rel_type: &str, sender: &str) -> bool {
        self.related_by_rel_types.as_ref().is_none_or(|list| list.has(rel_type))
            && self.related_by_senders.as_ref().is_none_or(|list| list.has(sender))
    }

    /// Whether everything counts, so that nothing needs to be looked at.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.types.is_none()
            && self.not_types.is_empty()
            && self.senders.is_none()
            && self.not_senders.is_empty()
            && self.rooms.is_none()
            && self.not_rooms.is_empty()
            && self.contains_url.is_none()
            && !self.asks_for_relations()
    }
}

/// Reads an object, and nothing for null: the derived readers would take a list for one too.
pub(super) fn object<'de, D, T>(reader: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(reader)?;
    if value.is_null() {
        return Ok(T::default());
    }
    if !value.is_object() {
        return Err(D::Error::custom("an object is wanted here"));
    }
    serde_json::from_value(value).map_err(D::Error::custom)
}

fn at_most<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<u32>, D::Error> {
    let wanted = Option::<u64>::deserialize(reader)?;
    Ok(wanted.map(|wanted| u32::try_from(wanted).unwrap_or(u32::MAX)))
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
    fn no_pattern_makes_it_panic_and_stars_take_in_what_they_stand_for() {
        bolero::check!().with_type::<(String, String, String)>().for_each(|(one, two, text)| {
            let _whatever_it_is = fits(one, text);
            let (one, two) = (one.replace('*', ""), two.replace('*', ""));
            assert!(fits(&format!("{one}*{two}"), &format!("{one}{text}{two}")));
            assert!(fits(&one, &one) && fits("*", text) && fits("**", text));
        });
    }

    #[test]
    fn only_the_named_parts_stay() {
        let event = r#"{"type":"m.x","content":{"body":"hi","a.b":{"c":[1]},"d":2}}"#;
        let cases = [
            (r#"["type","content.body"]"#, r#"{"type":"m.x","content":{"body":"hi"}}"#),
            (r#"["content.a\\.b.c"]"#, r#"{"content":{"a.b":{"c":[1]}}}"#),
            (r#"["content","content.body"]"#, r#"{"content":{"body":"hi","a.b":{"c":[1]},"d":2}}"#),
            (r#"["content.body.more","none","","."]"#, "{}"),
            ("[]", "{}"),
        ];
        for (fields, expected) in cases {
            let fields: Fields = serde_json::from_str(fields).unwrap();
            let part: Value = serde_json::from_str(&fields.of(event)).unwrap();
            assert_eq!(part, serde_json::from_str::<Value>(expected).unwrap());
        }
    }

    #[test]
    fn no_path_makes_it_panic() {
        bolero::check!().with_type::<Vec<String>>().for_each(|paths| {
            let fields = Fields(paths.iter().map(|path| read_path(path)).collect());
            let _whatever_it_is = fields.of(r#"{"a":{"b":{"c":1}}}"#);
        });
    }

    #[test]
    fn a_list_is_not_for_ever() {
        let of = |count: usize| serde_json::json!({ "not_types": vec!["a"; count] });
        assert!(serde_json::from_value::<EventFilter>(of(NAMES)).is_ok());
        assert!(serde_json::from_value::<EventFilter>(of(NAMES + 1)).is_err());
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
