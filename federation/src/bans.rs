//! Whom a room of rules bans (client-server API, "Moderation policy lists", MSC2313).
//!
//! A list is the state of a room: each event of one of [`KINDS`] says a rule about people, servers or rooms. What
//! follows from a rule is for whoever keeps to the list; here is read what it says, and whom it covers. Only the
//! recommendation to ban counts: an event with another one, or with none that is known, says no rule.
//!
//! An entity is a pattern, `*` for any letters and `?` for one, or (of people) the DID of a person. Whoever writes
//! a list may write 20,000 patterns that are as slow as can be: a name is held against each of them in one pass.
//!
//! ```
//! use ruma::user_id;
//! use serde_json::value::to_raw_value;
//! use wayside_federation::bans::Rules;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut rules = Rules::default();
//! let content = serde_json::json!({ "entity": "@spam*:*", "recommendation": "m.ban", "reason": "ads" });
//! rules.put("m.policy.rule.user", "spam", &to_raw_value(&content)?)?;
//! let rule = rules.judge_user(user_id!("@spam7:a.test"), &[]).ok_or("it covers them")?;
//! assert_eq!(rule.reason.as_deref(), Some("ads"));
//! assert_eq!(rules.judge_user(user_id!("@ann:a.test"), &[]), None);
//! # Ok(()) }
//! ```

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use ruma::{RoomId, ServerName, UserId};
use serde_json::{Value, value::RawValue};
use wayside_specs::Did;

/// The types of state that say rules: of people, of servers and of rooms, the newest name of each first.
pub const KINDS: [&str; 9] = [
    "m.policy.rule.user",
    "m.room.rule.user",
    "org.matrix.mjolnir.rule.user",
    "m.policy.rule.server",
    "m.room.rule.server",
    "org.matrix.mjolnir.rule.server",
    "m.policy.rule.room",
    "m.room.rule.room",
    "org.matrix.mjolnir.rule.room",
];
/// By how many names one kind of rule goes.
const AGES: usize = 3;
/// The recommendation that counts, by both of its names.
const BAN: [&str; 2] = ["m.ban", "org.matrix.mjolnir.ban"];
/// Most rules of one room.
pub const MOST: usize = 20_000;
/// Longest entity in bytes.
const ENTITY_BYTES: usize = 1_024;
/// Longest reason in bytes: of a longer one the beginning is kept.
const REASON_BYTES: usize = 512;
/// Places in a name that one word holds.
const WORD: usize = u64::BITS as usize;

/// The rules of one room.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    users: Book,
    servers: Book,
    rooms: Book,
}

/// A rule by which somebody is to be banned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Whom it covers, as it was written.
    pub entity: String,
    /// Why, if that is said.
    pub reason: Option<String>,
}

/// A room has more rules than are kept, those counted that were taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a room of rules has more than {MOST}: those beyond are not kept to")]
pub struct Full;

impl Rules {
    /// Takes what an event of the state of the room says: a rule in the place of the one before, or none any
    /// more. An event by an older name of its type counts only where there is none by a newer one with that state
    /// key, whatever that says and in whatever order they come. An event of another type says nothing here.
    pub fn put(&mut self, kind: &str, state_key: &str, content: &RawValue) -> Result<(), Full> {
        let Some(place) = KINDS.iter().position(|it| *it == kind) else { return Ok(()) };
        let kept = self.users.said.len() + self.servers.said.len() + self.rooms.said.len();
        let (book, subject) = match place / AGES {
            0 => (&mut self.users, Subject::User),
            1 => (&mut self.servers, Subject::Server),
            _ => (&mut self.rooms, Subject::Room),
        };
        let rule = Rule::read(content).and_then(|rule| Some((subject.pattern(&rule)?, rule)));
        book.put(place % AGES, state_key, rule, kept < MOST)
    }

    /// By which rule somebody is to be banned: one of people that covers their account, or a person by one of
    /// their DIDs, or else one that covers their server.
    #[must_use]
    pub fn judge_user(&self, user_id: &UserId, names: &[String]) -> Option<&Rule> {
        let people = &self.users;
        let by_name = || {
            let mut persons = names.iter().filter_map(|name| name.parse::<Did>().ok());
            persons.find_map(|did| people.exactly(did.subject()))
        };
        let of_people = people.exactly(user_id.as_str()).or_else(by_name);
        let of_people = of_people.or_else(|| people.loosely(user_id.as_str()));
        of_people.or_else(|| self.judge_server(user_id.server_name()))
    }

    /// By which rule a server is to be banned, whatever its port: one that names a port covers that alone.
    #[must_use]
    pub fn judge_server(&self, server: &ServerName) -> Option<&Rule> {
        let whole = server.as_str().to_ascii_lowercase();
        let host = server.host().to_ascii_lowercase();
        let exact = self.servers.exactly(&whole).or_else(|| self.servers.exactly(&host));
        let loose = || {
            let of_host = || self.servers.loosely(&host).filter(|_| host != whole);
            self.servers.loosely(&whole).or_else(of_host)
        };
        exact.or_else(loose)
    }

    /// By which rule a room is to be shunned, as it is named there: by its id.
    #[must_use]
    pub fn judge_room(&self, room_id: &RoomId) -> Option<&Rule> {
        let exact = self.rooms.exactly(room_id.as_str());
        exact.or_else(|| self.rooms.loosely(room_id.as_str()))
    }
}

impl Rule {
    fn read(content: &RawValue) -> Option<Self> {
        let content: Value = serde_json::from_str(content.get()).ok()?;
        let text = |name: &str| content.get(name).and_then(Value::as_str);
        if !BAN.contains(&text("recommendation")?) {
            return None;
        }
        let entity = text("entity")?;
        let fits = !entity.is_empty() && entity.len() <= ENTITY_BYTES;
        let reason = text("reason").map(readable).filter(|reason| !reason.is_empty());
        fits.then(|| Self { entity: entity.to_owned(), reason })
    }
}

/// What people can be shown of a text of a stranger.
fn readable(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if shown.len() + letter.len_utf8() > REASON_BYTES {
            break;
        }
        shown.push(letter);
    }
    shown.trim().to_owned()
}

/// What a rule is about.
#[derive(Clone, Copy)]
enum Subject {
    User,
    Server,
    Room,
}

/// How it says whom it covers.
enum Pattern {
    /// One name.
    Exact(String),
    /// Every name of a form.
    Glob(String),
}

impl Subject {
    /// None where it covers nobody.
    fn pattern(self, rule: &Rule) -> Option<Pattern> {
        let entity = match self {
            Self::User if rule.entity.starts_with("did:") => {
                let person: Did = rule.entity.parse().ok()?;
                return Some(Pattern::Exact(person.subject().to_owned()));
            }
            Self::User | Self::Room => rule.entity.clone(),
            Self::Server => rule.entity.to_ascii_lowercase(),
        };
        let is_glob = entity.contains(['*', '?']);
        Some(if is_glob { Pattern::Glob(entity) } else { Pattern::Exact(entity) })
    }
}

/// The rules of one kind. Of several that cover a name, the one of the smallest state key is given, so that the
/// answer does not hang on the order in which they came.
#[derive(Clone, Debug, Default)]
struct Book {
    /// What the event of the newest type says, by state key.
    said: BTreeMap<Arc<str>, Said>,
    /// The state keys of the rules that cover one name.
    exact: HashMap<String, BTreeSet<Arc<str>>>,
    /// The patterns of those that cover many.
    globs: BTreeMap<Arc<str>, String>,
}

/// What an event says: a rule, or that there is none by the older types either.
#[derive(Clone, Debug)]
struct Said {
    age: usize,
    rule: Option<Rule>,
    /// The one name that the rule covers.
    name: Option<String>,
}

impl Book {
    fn put(
        &mut self,
        age: usize,
        state_key: &str,
        rule: Option<(Pattern, Rule)>,
        has_room: bool,
    ) -> Result<(), Full> {
        let known = self.said.get_key_value(state_key);
        if known.is_some_and(|(_, said)| said.age < age) {
            return Ok(());
        }
        let key = match known {
            Some((key, _)) => key.clone(),
            None if has_room => state_key.into(),
            None if rule.is_some() => return Err(Full),
            None => return Ok(()),
        };
        self.take_back(&key);
        let (name, rule) = match rule {
            Some((Pattern::Exact(name), rule)) => (Some(name), Some(rule)),
            Some((Pattern::Glob(glob), rule)) => {
                self.globs.insert(key.clone(), glob);
                (None, Some(rule))
            }
            // Beneath the oldest type there is nothing to be hidden.
            None if age + 1 == AGES => return Ok(()),
            None => (None, None),
        };
        if let Some(name) = &name {
            self.exact.entry(name.clone()).or_default().insert(key.clone());
        }
        self.said.insert(key, Said { age, rule, name });
        Ok(())
    }

    /// Forgets what was said under a state key.
    fn take_back(&mut self, key: &Arc<str>) {
        self.globs.remove(key);
        let Some(name) = self.said.remove(key).and_then(|said| said.name) else { return };
        if let Some(keys) = self.exact.get_mut(&name) {
            keys.remove(key);
            if keys.is_empty() {
                self.exact.remove(&name);
            }
        }
    }

    fn exactly(&self, name: &str) -> Option<&Rule> {
        self.rule(self.exact.get(name)?.first()?)
    }

    fn loosely(&self, name: &str) -> Option<&Rule> {
        if self.globs.is_empty() {
            return None;
        }
        let (name, mut reached) = (Name::new(name), Vec::new());
        let mut globs = self.globs.iter();
        let (key, _) = globs.find(|(_, glob)| name.held_against(glob, &mut reached).0)?;
        self.rule(key)
    }

    fn rule(&self, key: &str) -> Option<&Rule> {
        self.said.get(key)?.rule.as_ref()
    }
}

/// A name that is held against patterns: at which places of it each of its letters stands, a place a bit.
struct Name {
    letters: Vec<(char, Vec<u64>)>,
    length: usize,
}

impl Name {
    fn new(text: &str) -> Self {
        let mut letters: BTreeMap<char, Vec<u64>> = BTreeMap::new();
        let length = text.chars().count();
        for (place, letter) in text.chars().enumerate() {
            let places = letters.entry(letter).or_insert_with(|| vec![0; length / WORD + 1]);
            places[place / WORD] |= 1 << (place % WORD);
        }
        Self { letters: letters.into_iter().collect(), length }
    }

    /// Whether a pattern covers the whole name, and how many words of places were looked at to tell: for each
    /// sign of the pattern at most those that the name has, for all ways to read it are gone at once.
    fn held_against(&self, glob: &str, reached: &mut Vec<u64>) -> (bool, usize) {
        let words = self.length / WORD + 1;
        // How much of the name the pattern up to here can cover.
        reached.clear();
        reached.resize(words, 0);
        reached[0] = 1;
        let mut work = 0;
        for sign in glob.chars() {
            work += words;
            match sign {
                '*' => self.cover_more(reached),
                '?' => self.step(reached, None),
                letter => {
                    let found = self.letters.binary_search_by_key(&letter, |(it, _)| *it);
                    let Ok(found) = found else { return (false, work) };
                    self.step(reached, Some(&self.letters[found].1));
                }
            }
            if reached.iter().all(|word| *word == 0) {
                return (false, work);
            }
        }
        (reached[self.length / WORD] >> (self.length % WORD) & 1 == 1, work)
    }

    /// One letter further: any, or one that stands at these places.
    fn step(&self, reached: &mut [u64], places: Option<&Vec<u64>>) {
        let mut carry = 0;
        for (at, word) in reached.iter_mut().enumerate() {
            let here = places.map_or(*word, |places| *word & places[at]);
            *word = here << 1 | carry;
            carry = here >> (WORD - 1);
        }
        self.end(reached);
    }

    /// Any number of letters further.
    fn cover_more(&self, reached: &mut [u64]) {
        let mut below = 0;
        for word in reached.iter_mut() {
            // All places from the lowest on.
            *word = below | (*word | word.wrapping_neg());
            below = if *word == 0 { 0 } else { u64::MAX };
        }
        self.end(reached);
    }

    /// Behind its end the name has no places.
    fn end(&self, reached: &mut [u64]) {
        reached[self.length / WORD] &= u64::MAX >> (WORD - 1 - self.length % WORD);
    }
}

#[cfg(test)]
mod tests;
