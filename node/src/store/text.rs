//! Texts from other servers, in a form that both engines can hold.

use std::borrow::Cow;

/// Stands before a digit in place of a character that could not be stored as it is.
const ESCAPE: char = '\u{1}';

/// The text without NUL, which PostgreSQL holds in no text: different texts stay different, and
/// all but the strangest stay what they are. An event's type or state key may hold any character.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['\0', ESCAPE]) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '\0' => escaped.extend([ESCAPE, '0']),
            ESCAPE => escaped.extend([ESCAPE, '1']),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// The text that [`escape`] was given.
pub(super) fn unescape(stored: String) -> String {
    if !stored.contains(ESCAPE) {
        return stored;
    }
    let mut text = String::with_capacity(stored.len());
    let mut characters = stored.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            ESCAPE if characters.next() == Some('0') => '\0',
            other => other,
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_without_having_held_a_nul() {
        bolero::check!().with_type::<String>().for_each(|text| {
            for text in [text.clone(), text.replace('a', "\0").replace('b', "\u{1}")] {
                let stored = escape(&text).into_owned();
                assert!(!stored.contains('\0'));
                assert_eq!(unescape(stored), text);
            }
        });
    }

    #[test]
    fn an_ordinary_text_stays_what_it_is() {
        assert!(matches!(escape("m.room.member"), Cow::Borrowed("m.room.member")));
        assert_eq!(escape("a\0\u{1}b"), "a\u{1}0\u{1}1b");
    }
}
