//! The index of what was said: which words each event holds, and which events hold some words.
//!
//! Words are found and cut here and not by the engines, so that both find the same, and so that
//! nothing in a question can read as the syntax of an engine's search: a word is letters and digits.

use std::fmt::Write;

use ruma::EventId;
use serde_json::{Value, json};

use super::{
    Reads, StoreError, Tx, dialect,
    events::{StoredEvent, Verdict},
};

/// What of an event's content is searched, in the order of the index.
pub const KEYS: [&str; 3] = ["body", "name", "topic"];
/// Longer words are cut, in bytes.
const WORD_BYTES: usize = 64;
/// Words of one text that are kept; none behind them are found.
const WORDS: usize = 8_000;

/// The words of an event, for each of [`KEYS`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The event's number.
    pub event_no: i64,
    /// Its room's.
    pub room_no: i64,
    /// The words.
    pub words: [Vec<String>; 3],
}

/// What is looked for.
#[derive(Clone, Debug)]
pub struct WordsAsked<'a> {
    /// Words that must all be there.
    pub words: &'a [String],
    /// In which of [`KEYS`].
    pub keys: [bool; 3],
    /// In which rooms, by their numbers.
    pub rooms: &'a [i64],
    /// Events with a higher number do not count.
    pub upto: i64,
    /// At most so many, the newest.
    pub limit: i64,
}

/// The words of a text in small letters, in their order. What is written without spaces between its
/// words, as Chinese is, is taken letter by letter.
#[must_use]
pub fn words_of(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for letter in text.chars() {
        if words.len() >= WORDS {
            return words;
        }
        if letter.is_alphanumeric() && !stands_alone(letter) {
            if word.len() < WORD_BYTES {
                word.extend(letter.to_lowercase().filter(|it| it.is_alphanumeric()));
            }
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if letter.is_alphanumeric() {
            words.push(letter.to_string());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Letters of the scripts that put no spaces between words.
fn stands_alone(letter: char) -> bool {
    matches!(letter,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

impl Entry {
    /// The entry of an event, if it says anything that can be found: what is encrypted, emptied or
    /// not shown says nothing.
    #[must_use]
    pub fn of(stored: &StoredEvent) -> Option<Self> {
        let key = match stored.event.kind().to_string().as_str() {
            "m.room.message" => 0,
            "m.room.name" => 1,
            "m.room.topic" => 2,
            _ => return None,
        };
        let shown = stored.verdict == Verdict::Accepted && stored.position.is_some();
        if !shown || stored.redacted_by.is_some() {
            return None;
        }
        let content: Value = serde_json::from_str(stored.event.content().get()).ok()?;
        let mut words: [Vec<String>; 3] = Default::default();
        words[key] = words_of(content[KEYS[key]].as_str()?);
        if words[key].is_empty() {
            return None;
        }
        Some(Self { event_no: stored.event_no.0, room_no: stored.room_no, words })
    }
}

/// The events that hold words, the newest first, each with how well it fits: more is better.
pub async fn find(
    from: &mut impl Reads,
    asked: &WordsAsked<'_>,
) -> Result<Vec<(i64, i64)>, StoreError> {
    if asked.words.is_empty() || asked.rooms.is_empty() || asked.keys == [false; 3] {
        return Ok(Vec::new());
    }
    let conn = from.conn().0;
    let rows = if conn.is_postgres() {
        let said = postgres_words(asked);
        let rooms: Vec<String> = asked.rooms.iter().map(|room| format!("'room/{room}'")).collect();
        let question = format!("({said}) & ({})", rooms.join(" | "));
        let query = conn.query(dialect::POSTGRES_WORDS).bind(question).bind(said);
        query.bind(asked.upto).bind(asked.limit).all().await?
    } else {
        let query = conn.query(dialect::SQLITE_WORDS).bind(sqlite_question(asked));
        query.bind(asked.upto).bind(asked.limit).all().await?
    };
    rows.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}

fn sqlite_question(asked: &WordsAsked<'_>) -> String {
    let keys: Vec<&str> = keys(asked).map(|at| KEYS[at]).collect();
    let words: Vec<String> = asked.words.iter().map(|word| format!("\"{word}\"")).collect();
    let rooms: Vec<String> = asked.rooms.iter().map(|room| format!("\"r{room}\"")).collect();
    let (words, rooms) = (words.join(" AND "), rooms.join(" OR "));
    format!("({{{}}} : ({words})) AND (room : ({rooms}))", keys.join(" "))
}

fn postgres_words(asked: &WordsAsked<'_>) -> String {
    let mut weights: String = keys(asked).map(|at| ['A', 'B', 'C'][at]).collect();
    if weights.len() == KEYS.len() {
        // Weights are not in the index: without them, the rows themselves need not be looked at.
        weights.clear();
    }
    let words: Vec<String> = asked.words.iter().map(|word| format!("'{word}':{weights}")).collect();
    let words = words.join(" & ");
    if weights.is_empty() { words.replace("':", "'") } else { words }
}

fn keys(asked: &WordsAsked<'_>) -> impl Iterator<Item = usize> {
    let keys = asked.keys;
    (0..KEYS.len()).filter(move |at| keys[*at])
}

impl Tx {
    /// Puts events into the index, those that are still there.
    pub async fn add_words(&mut self, entries: &[Entry]) -> Result<(), StoreError> {
        let postgres = self.conn.is_postgres();
        let item = |entry: &Entry| {
            if postgres {
                return json!([entry.event_no, postgres_vector(entry)]);
            }
            let [body, name, topic] = entry.words.each_ref().map(|words| words.join(" "));
            json!([entry.event_no, body, name, topic, format!("r{}", entry.room_no)])
        };
        let items: Value = entries.iter().map(item).collect();
        self.query(dialect::add_words(postgres)).bind(items.to_string()).run().await.map(drop)
    }

    /// Takes an event out of the index that has been emptied.
    pub async fn forget_words(&mut self, event_id: &EventId) -> Result<(), StoreError> {
        let sql = dialect::forget_words(self.conn.is_postgres());
        self.query(sql).bind(event_id.as_str()).run().await.map(drop)
    }
}

/// The last place of a word that PostgreSQL counts.
const LAST_PLACE: usize = 16_383;

/// Words with their places and weights, and the room, which no word can be for its slash.
fn postgres_vector(entry: &Entry) -> String {
    let mut vector = format!("'room/{}':1D", entry.room_no);
    for (words, weight) in entry.words.iter().zip(['A', 'B', 'C']) {
        for (at, word) in words.iter().enumerate() {
            let place = (at + 1).min(LAST_PLACE);
            write!(vector, " '{word}':{place}{weight}").expect("writing to a string does not fail");
        }
    }
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_fall_into_words() {
        for (text, expected) in [
            ("Hello, WORLD!", &["hello", "world"][..]),
            ("Ärger \u{df}", &["ärger", "ß"]),
            ("a-b_c1 \u{1f600}", &["a", "b", "c1"]),
            ("今日 ok", &["今", "日", "ok"]),
            ("  ", &[]),
            (
                "'; DROP TABLE \"x\" OR NEAR(a b) * : ^",
                &["drop", "table", "x", "or", "near", "a", "b"],
            ),
        ] {
            assert_eq!(words_of(text), expected, "{text}");
        }
        assert_eq!(words_of(&"x".repeat(1_000))[0].len(), WORD_BYTES);
        assert_eq!(words_of(&"x ".repeat(WORDS + 10)).len(), WORDS);
    }

    #[test]
    fn no_word_is_more_than_letters_and_digits() {
        bolero::check!().with_type::<String>().for_each(|text| {
            for word in words_of(text) {
                assert!(!word.is_empty() && word.chars().all(char::is_alphanumeric), "{word:?}");
            }
        });
    }
}
