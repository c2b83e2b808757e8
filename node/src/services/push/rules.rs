//! Push rules made ready for judging many events, and how they judge one (client-server API, push rules).
//!
//! The rules that the specification gives to everybody are the same for all but for who is meant by
//! them. So they are kept once, and what they say of an event to those whom it does not name is
//! found once for a whole room.

use std::{
    collections::HashSet,
    ops::RangeBounds,
    sync::{Arc, OnceLock},
};

use regex::{Regex, RegexBuilder};
use ruma::{
    UserId,
    push::{
        Action, AnyPushRuleRef, EventMatchConditionData, PushCondition, RoomMemberCountIs, Ruleset,
        ScalarJsonValue,
    },
    user_id,
};
use serde_json::Value;
use wayside_federation::event::Event;

use crate::{
    services::{filter::read_path, rooms::Ignored},
    store::relations,
};

/// Largest compiled pattern with wildcards, in bytes: what needs more matches nothing.
const PATTERN_BYTES: usize = 256 * 1024;

/// Somebody's rules, the strongest first, without those that are switched off; and whom they do not
/// want to hear at all.
#[derive(Debug)]
pub(super) struct Rules {
    rules: Vec<Rule>,
    ignored: Ignored,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    conditions: Vec<Condition>,
    /// What it wants done.
    pub(super) actions: Vec<Action>,
    /// Whether it wants its person told.
    pub(super) notifies: bool,
    /// Whether it wants the event to stand out.
    pub(super) highlights: bool,
}

#[derive(Debug)]
enum Condition {
    Match(Path, Pattern),
    Is(Path, Scalar),
    Contains(Path, Scalar),
    /// The body holds the name that the person shows in the room.
    DisplayName,
    Members(RoomMemberCountIs),
    /// The sender may notify the whole room.
    SenderMayNotify,
    /// A condition that this node does not know holds for no event.
    Unknown,
}

/// A value to compare with.
#[derive(Debug)]
enum Scalar {
    Just(ScalarJsonValue),
    /// The id of the person whose rules these are.
    Own,
}

#[derive(Debug)]
enum Pattern {
    /// The id of the person whose rules these are.
    Own,
    /// The whole text, in any case.
    Whole(String),
    /// These words somewhere in it, in any case.
    Words(String),
    /// With wildcards.
    Wild(Regex),
    Never,
}

/// The name of a part of an event, such as `content.body`.
#[derive(Debug)]
struct Path(Vec<String>);

/// For whom an event is judged.
#[derive(Clone, Copy)]
pub(super) struct Who<'w> {
    /// The person.
    pub(super) user_id: &'w UserId,
    /// The name that they show in the room, for rules that look for it.
    pub(super) display_name: Option<&'w str>,
}

/// An event made ready for judging, with what counts of its room.
pub(super) struct Seen<'e> {
    event: &'e Event,
    content: Value,
    kind: String,
    /// How many are in the room.
    joined: i64,
    /// Whether the sender may notify the whole room.
    pub(super) sender_may_notify: bool,
    /// Those whom the event names, so that it may mean something else to them than to others.
    named: HashSet<String>,
    /// The thread that the event belongs to, by its root.
    pub(super) thread: Option<String>,
}

impl Rules {
    /// The rules of somebody, made ready.
    pub(super) fn of(ruleset: &Ruleset, owner: &UserId, ignored: Ignored) -> Self {
        let enabled = ruleset.iter().filter(|rule| rule.enabled());
        Self { rules: enabled.map(|rule| Rule::of(rule, owner)).collect(), ignored }
    }

    /// The rules of everybody who has set none.
    pub(super) fn common() -> Arc<Self> {
        static COMMON: OnceLock<Arc<Rules>> = OnceLock::new();
        // Whoever it is stands in the rules as their owner, and is nobody in particular.
        let anybody = user_id!("@anybody:invalid");
        let rules = || Self::of(&Ruleset::server_default(anybody), anybody, Ignored::default());
        COMMON.get_or_init(|| Arc::new(rules())).clone()
    }

    /// Whether these are the common rules.
    pub(super) fn are_common(self: &Arc<Self>) -> bool {
        Arc::ptr_eq(self, &Self::common())
    }

    /// The strongest rule that the event fulfils.
    pub(super) fn judge(&self, seen: &Seen<'_>, who: Who<'_>) -> Option<&Rule> {
        if seen.event.sender() == who.user_id || self.ignored.has(seen.event.sender()) {
            return None;
        }
        let fulfils = |condition: &Condition| condition.holds(seen, who);
        self.rules.iter().find(|rule| rule.conditions.iter().all(fulfils))
    }

    /// Whether a rule looks for the name that the person shows.
    pub(super) fn want_display_name(&self) -> bool {
        let mut conditions = self.rules.iter().flat_map(|rule| &rule.conditions);
        conditions.any(|condition| matches!(condition, Condition::DisplayName))
    }
}

impl Rule {
    fn of(rule: AnyPushRuleRef<'_>, owner: &UserId) -> Self {
        let is = |key: &str, value: &str| {
            vec![Condition::Is(Path::read(key), Scalar::of(&value.into(), owner))]
        };
        let conditions = match rule {
            AnyPushRuleRef::Override(rule) | AnyPushRuleRef::Underride(rule) => {
                rule.conditions.iter().map(|condition| Condition::of(condition, owner)).collect()
            }
            AnyPushRuleRef::Content(rule) => {
                let body =
                    EventMatchConditionData::new("content.body".into(), rule.pattern.clone());
                vec![Condition::matching(&body, owner)]
            }
            AnyPushRuleRef::Room(rule) => is("room_id", rule.rule_id.as_str()),
            AnyPushRuleRef::Sender(rule) => is("sender", rule.rule_id.as_str()),
            _ => vec![Condition::Unknown],
        };
        Self {
            conditions,
            actions: rule.actions().to_vec(),
            notifies: rule.triggers_notification(),
            highlights: rule.triggers_highlight(),
        }
    }
}

impl Condition {
    #[expect(deprecated, reason = "rules that people set long ago may still hold it")]
    fn of(condition: &PushCondition, owner: &UserId) -> Self {
        match condition {
            PushCondition::EventMatch(data) => Self::matching(data, owner),
            PushCondition::EventPropertyIs(data) => {
                Self::Is(Path::read(&data.key), Scalar::of(&data.value, owner))
            }
            PushCondition::EventPropertyContains(data) => {
                Self::Contains(Path::read(&data.key), Scalar::of(&data.value, owner))
            }
            PushCondition::RoomMemberCount(data) => Self::Members(data.is),
            PushCondition::ContainsDisplayName => Self::DisplayName,
            PushCondition::SenderNotificationPermission(data) if data.key.as_str() == "room" => {
                Self::SenderMayNotify
            }
            _ => Self::Unknown,
        }
    }

    fn matching(data: &EventMatchConditionData, owner: &UserId) -> Self {
        let pattern = if data.pattern == owner.as_str() && data.key != "content.body" {
            Pattern::Own
        } else {
            Pattern::of(&data.pattern, data.key == "content.body")
        };
        Self::Match(Path::read(&data.key), pattern)
    }

    fn holds(&self, seen: &Seen<'_>, who: Who<'_>) -> bool {
        match self {
            Self::Match(path, pattern) => {
                path.text(seen).is_some_and(|text| pattern.fits(text, who.user_id))
            }
            Self::Is(path, scalar) => match path.text(seen) {
                Some(text) => scalar.is_text(text, who.user_id),
                None => path.value(seen).is_some_and(|value| scalar.is(value, who.user_id)),
            },
            Self::Contains(path, scalar) => {
                let list = path.value(seen).and_then(Value::as_array);
                list.is_some_and(|list| list.iter().any(|value| scalar.is(value, who.user_id)))
            }
            Self::DisplayName => {
                let body = seen.content.get("body").and_then(Value::as_str);
                let name = who.display_name.filter(|name| !name.is_empty());
                let holds = |(body, name): (&str, &str)| holds_words(body, &name.to_lowercase());
                body.zip(name).is_some_and(holds)
            }
            Self::Members(count) => {
                let joined = u32::try_from(seen.joined).unwrap_or(u32::MAX);
                count.contains(&joined.into())
            }
            Self::SenderMayNotify => seen.sender_may_notify,
            Self::Unknown => false,
        }
    }
}

impl Scalar {
    fn of(value: &ScalarJsonValue, owner: &UserId) -> Self {
        match value {
            ScalarJsonValue::String(text) if text == owner.as_str() => Self::Own,
            other => Self::Just(other.clone()),
        }
    }

    fn is_text(&self, text: &str, own: &UserId) -> bool {
        match self {
            Self::Own => text == own.as_str(),
            Self::Just(ScalarJsonValue::String(wanted)) => wanted == text,
            Self::Just(_) => false,
        }
    }

    fn is(&self, value: &Value, own: &UserId) -> bool {
        match (self, value) {
            (_, Value::String(text)) => self.is_text(text, own),
            (Self::Just(ScalarJsonValue::Null), Value::Null) => true,
            (Self::Just(ScalarJsonValue::Bool(wanted)), Value::Bool(is)) => wanted == is,
            (Self::Just(ScalarJsonValue::Integer(wanted)), Value::Number(is)) => {
                is.as_i64() == Some(i64::from(*wanted))
            }
            _ => false,
        }
    }
}

impl Pattern {
    fn of(pattern: &str, in_body: bool) -> Self {
        if !pattern.contains(['*', '?']) {
            let text = pattern.to_lowercase();
            return if in_body { Self::Words(text) } else { Self::Whole(text) };
        }
        let mut wild = String::with_capacity(pattern.len() + 16);
        for character in pattern.chars() {
            match character {
                '*' => wild.push_str(".*"),
                '?' => wild.push('.'),
                other => wild.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
            }
        }
        let whole = if in_body {
            format!("(?:^|[^A-Za-z0-9_])(?:{wild})(?:$|[^A-Za-z0-9_])")
        } else {
            format!("^(?:{wild})$")
        };
        let made = RegexBuilder::new(&whole)
            .case_insensitive(true)
            .dot_matches_new_line(true)
            .size_limit(PATTERN_BYTES)
            .build();
        made.map_or(Self::Never, Self::Wild)
    }

    fn fits(&self, text: &str, own: &UserId) -> bool {
        match self {
            Self::Own => text.eq_ignore_ascii_case(own.as_str()),
            Self::Whole(wanted) => same_in_any_case(text, wanted),
            Self::Words(words) => holds_words(text, words),
            Self::Wild(regex) => regex.is_match(text),
            Self::Never => false,
        }
    }
}

/// Whether a text is the same as one in small letters, but for its case.
fn same_in_any_case(text: &str, small: &str) -> bool {
    if text.is_ascii() { text.eq_ignore_ascii_case(small) } else { text.to_lowercase() == small }
}

/// Whether words in small letters stand in a text, with something else than letters of ASCII, digits
/// and `_` around them.
fn holds_words(text: &str, words: &str) -> bool {
    if words.is_empty() {
        return false;
    }
    let text = text.to_lowercase();
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let stands = |(at, _): (usize, &str)| {
        let before = text[..at].chars().next_back();
        let after = text[at + words.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    };
    text.match_indices(words).any(stands)
}

impl Path {
    fn read(path: &str) -> Self {
        Self(read_path(path))
    }

    fn value<'s>(&self, seen: &'s Seen<'_>) -> Option<&'s Value> {
        let (first, rest) = self.0.split_first()?;
        if first != "content" {
            return None;
        }
        rest.iter().try_fold(&seen.content, |at, name| at.as_object()?.get(name))
    }

    fn text<'s>(&self, seen: &'s Seen<'_>) -> Option<&'s str> {
        let [name] = self.0.as_slice() else { return self.value(seen)?.as_str() };
        match name.as_str() {
            "type" => Some(&seen.kind),
            "sender" => Some(seen.event.sender().as_str()),
            "room_id" => Some(seen.event.room_id().as_str()),
            "event_id" => Some(seen.event.id().as_str()),
            "state_key" => seen.event.state_key(),
            _ => None,
        }
    }
}

impl<'e> Seen<'e> {
    /// Makes an event of a room with so many people ready.
    pub(super) fn of(event: &'e Event, joined: i64) -> Self {
        let content: Value = serde_json::from_str(event.content().get()).unwrap_or_default();
        let mentions = content.get("m.mentions").and_then(|it| it.get("user_ids"));
        let mentioned = mentions.and_then(Value::as_array).into_iter().flatten();
        let mut named: HashSet<String> =
            mentioned.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        named.extend(event.state_key().filter(|key| !key.is_empty()).map(str::to_owned));
        let thread = thread_of(event);
        let kind = event.kind().to_string();
        Self { event, content, kind, joined, sender_may_notify: false, named, thread }
    }

    /// Whether the event means something to somebody that it does not mean to others.
    pub(super) fn names(&self, user_id: &UserId) -> bool {
        self.named.contains(user_id.as_str())
    }

    /// Whether it counts if the sender may notify the whole room.
    pub(super) fn calls_the_room(&self) -> bool {
        let mentions = self.content.get("m.mentions");
        mentions.and_then(|it| it.get("room")) == Some(&Value::Bool(true))
            || self
                .content
                .get("body")
                .and_then(Value::as_str)
                .is_some_and(|body| body.contains("@room"))
    }
}

/// The root of the thread that an event belongs to (client-server API, threading).
fn thread_of(event: &Event) -> Option<String> {
    let relation = relations::relation(event).filter(|it| it.rel_type == "m.thread")?;
    Some(relation.target.into())
}

#[cfg(test)]
mod tests;
