//! Reading JSON from strangers into canonical JSON (appendices, "Canonical JSON").

use std::fmt;

use ruma::{CanonicalJsonObject, CanonicalJsonValue, Int};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
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

    use super::{CanonicalError, parse_object, to_string};

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
    fn nesting_is_bounded() {
        let nest = |depth: usize| {
            parse_object(&format!("{{\"a\":{}1{}}}", "[".repeat(depth), "]".repeat(depth)))
        };
        assert!(nest(120).is_ok());
        assert!(matches!(nest(128), Err(CanonicalError::NotJson(_))));
        assert!(matches!(nest(1_000_000), Err(CanonicalError::NotJson(_))));
    }
}
