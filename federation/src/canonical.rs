//! Reading JSON from strangers into canonical JSON (appendices, "Canonical JSON").

use std::{collections::BTreeMap, fmt, ops::Range};

use ruma::{CanonicalJsonObject, CanonicalJsonValue, Int};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
};

/// Why a text is not a canonical JSON object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// The text does not parse, or nests deeper than 127 levels.
    #[error("reading JSON: {0}")]
    NotJson(String),
    /// It parses, but holds a fraction, an exponent, an integer beyond ±(2^53 − 1), or is no object.
    #[error("reading canonical JSON: {0}")]
    NotCanonical(String),
}

/// Reads one JSON object; keys in any order, the last of equal keys wins.
///
/// Serialising the result with `serde_json` gives its canonical form. Unlike a way through
/// `serde_json::Value`, the private keys by which that library smuggles raw values are refused here:
/// they would let a stranger nest texts within texts past the bound on depth.
pub fn parse_object(json: &str) -> Result<CanonicalJsonObject, CanonicalError> {
    match serde_json::from_str::<Strict>(json) {
        Ok(Strict(CanonicalJsonValue::Object(object))) => Ok(object),
        Ok(_) => Err(CanonicalError::NotCanonical("want an object".into())),
        Err(error) if error.is_data() => Err(CanonicalError::NotCanonical(error.to_string())),
        Err(error) => Err(CanonicalError::NotJson(error.to_string())),
    }
}

/// Writes an object in its canonical form.
#[must_use]
#[expect(clippy::missing_panics_doc, reason = "maps of strings to JSON values always serialise")]
pub fn to_string(object: &CanonicalJsonObject) -> String {
    serde_json::to_string(object).expect("maps of strings to JSON values always serialise")
}

/// The text of one JSON object with its keys in order and nothing between its parts, for the
/// signature of a request: numbers that are not canonical are written as `serde_json` writes them,
/// so that one of them does not make the whole request a stranger's.
pub fn normal(json: &str) -> Result<String, CanonicalError> {
    let mut out = Vec::with_capacity(json.len());
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = Writer(&mut out).deserialize(&mut reader).and_then(|()| reader.end());
    read.map_err(|error| CanonicalError::NotJson(error.to_string()))?;
    if out.first() != Some(&b'{') {
        return Err(CanonicalError::NotCanonical("want an object".into()));
    }
    String::from_utf8(out).map_err(|error| CanonicalError::NotJson(error.to_string()))
}

/// Writes a value while it is read.
struct Writer<'o>(&'o mut Vec<u8>);

impl Writer<'_> {
    fn put<E: serde::de::Error>(self, value: &(impl Serialize + ?Sized)) -> Result<(), E> {
        serde_json::to_writer(self.0, value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Writer<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Writer<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.put(&())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.put(&value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.put(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.0.push(b'[');
        let begin = self.0.len();
        loop {
            let before = self.0.len();
            if before > begin {
                self.0.push(b',');
            }
            if items.next_element_seed(Writer(self.0))?.is_none() {
                self.0.truncate(before);
                self.0.push(b']');
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let begin = self.0.len();
        let mut parts: BTreeMap<String, Range<usize>> = BTreeMap::new();
        let mut sorted = true;
        while let Some(key) = entries.next_key::<String>()? {
            // The last of equal keys counts, as it does everywhere else here.
            sorted &= parts.last_key_value().is_none_or(|(last, _)| *last < key);
            self.0.push(if parts.is_empty() { b'{' } else { b',' });
            let from = self.0.len();
            Writer(self.0).put(&key)?;
            self.0.push(b':');
            entries.next_value_seed(Writer(self.0))?;
            parts.insert(key, from..self.0.len());
        }
        if parts.is_empty() {
            self.0.push(b'{');
        }
        if !sorted {
            let ordered: Vec<&[u8]> = parts.into_values().map(|part| &self.0[part]).collect();
            let ordered = ordered.join(&b',');
            self.0.truncate(begin + 1);
            self.0.extend_from_slice(&ordered);
        }
        self.0.push(b'}');
        Ok(())
    }
}

/// A canonical value that was read without detours.
struct Strict(CanonicalJsonValue);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = CanonicalJsonValue;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("canonical JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Self::Value, E> {
        Int::try_from(value)
            .map(CanonicalJsonValue::Integer)
            .map_err(|_| E::custom("an integer beyond ±(2^53 - 1)"))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Self::Value, E> {
        Int::try_from(value)
            .map(CanonicalJsonValue::Integer)
            .map_err(|_| E::custom("an integer beyond ±(2^53 - 1)"))
    }

    fn visit_f64<E: serde::de::Error>(self, _value: f64) -> Result<Self::Value, E> {
        Err(E::custom("a number with a fraction, an exponent or a negative zero"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(CanonicalJsonValue::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut array = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(CanonicalJsonValue::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut object = CanonicalJsonObject::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key.starts_with("$serde_json::private::") {
                return Err(A::Error::custom("a key that is reserved by the JSON library"));
            }
            let Strict(value) = entries.next_value()?;
            object.insert(key, value);
        }
        Ok(CanonicalJsonValue::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{CanonicalError, normal, parse_object, to_string};

    #[derive(Deserialize)]
    struct Vector {
        from: String,
        to: Option<String>,
    }

    /// The specification's examples and our own. Its last one, which shows how a program may write
    /// `-0` and `1e10`, is refused: in an event these are no canonical numbers.
    #[test]
    fn texts_become_canonical_or_are_refused() {
        let vectors: Vec<Vector> =
            serde_json::from_str(include_str!("../vectors/canonical.json")).unwrap();
        for Vector { from, to } in vectors {
            let canonical = parse_object(&from).ok().map(|object| to_string(&object));
            assert_eq!(canonical, to, "{from}");
        }
    }

    #[test]
    fn normal_texts_are_canonical_where_they_can_be() {
        for (text, expected) in [
            ("{}", Some("{}")),
            (" { } ", Some("{}")),
            (
                r#"{"a":[],"b":[ 1 , [ ] , {"d":1,"c":2} ]}"#,
                Some(r#"{"a":[],"b":[1,[],{"c":2,"d":1}]}"#),
            ),
            (r#"{"b":1,"a":2,"b":{"y":1,"x":[2]}}"#, Some(r#"{"a":2,"b":{"x":[2],"y":1}}"#)),
            (r#"{"b":1,"b":2}"#, Some(r#"{"b":2}"#)),
            (
                r#"{"a":1.50,"b":-0.0,"c":18446744073709551615}"#,
                Some(r#"{"a":1.5,"b":-0.0,"c":18446744073709551615}"#),
            ),
            ("{\"\\u00e9\":\"\\u0001\\/\"}", Some("{\"é\":\"\\u0001/\"}")),
            (
                r#"{"$serde_json::private::RawValue":"[1, 2]"}"#,
                Some(r#"{"$serde_json::private::RawValue":"[1, 2]"}"#),
            ),
            ("[]", None),
            ("{} {}", None),
            ("{", None),
            ("", None),
        ] {
            assert_eq!(normal(text).ok().as_deref(), expected, "{text}");
        }
        assert!(normal(&format!("{{\"a\":{}{}}}", "[".repeat(200), "]".repeat(200))).is_err());
        bolero::check!().with_type::<String>().for_each(|text| {
            if let (Ok(object), Ok(normal)) = (parse_object(text), normal(text)) {
                assert_eq!(to_string(&object), normal);
            }
        });
    }

    #[test]
    fn nesting_is_bounded() {
        let nest = |depth: usize| {
            parse_object(&format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth)))
        };
        assert!(nest(120).is_ok());
        assert!(matches!(nest(128), Err(CanonicalError::NotJson(_))));
        assert!(matches!(nest(1_000_000), Err(CanonicalError::NotJson(_))));
    }
}
