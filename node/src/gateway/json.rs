//! Reading the JSON of strangers: one object, bounded in depth, without keys that mean more than they say.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use wayside_specs::limits;

use super::fault::Fault;

/// How the JSON library marks values that it smuggles through others. Read as one of its values, a
/// text behind such a key becomes JSON of its own, past every check of the text around it.
const SMUGGLED: &str = "$serde_json::private::";

/// The JSON object that a body is.
pub(super) fn object(body: &[u8]) -> Result<Value, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let read = Nested { left: limits::JSON_DEPTH }.deserialize(&mut reader);
    match read.and_then(|value| reader.end().map(|()| value)) {
        Ok(value) if value.is_object() => Ok(value),
        Ok(_) => Err(Fault::bad_json("the body must be a JSON object")),
        Err(error) if error.is_data() => Err(Fault::bad_json(&error.to_string())),
        Err(error) => Err(Fault::not_json(&error)),
    }
}

/// What a field of a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Truth,
    Object,
}

impl Kind {
    fn is_of(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Truth => value.is_boolean(),
            Self::Object => value.is_object(),
        }
    }

    /// Whether all that stands at this place within a value is of this kind, or null, which stands for
    /// nothing. What has no such place is for another rule to look at.
    fn is_at(self, place: Option<&str>, value: &Value) -> bool {
        let Some(place) = place else { return value.is_null() || self.is_of(value) };
        let (step, rest) = match place.split_once('/') {
            Some((step, rest)) => (step, Some(rest)),
            None => (place, None),
        };
        match value {
            Value::Object(fields) if step == "*" => fields.values().all(|it| self.is_at(rest, it)),
            Value::Array(items) if step == "*" => items.iter().all(|it| self.is_at(rest, it)),
            Value::Object(fields) => fields.get(step).is_none_or(|it| self.is_at(rest, it)),
            _ => true,
        }
    }
}

/// Refuses a body in which one of these fields is of another kind, for those that its reader takes for
/// something else. Places are names parted by slashes, in which a star stands for each key and place.
pub(super) fn check(body: &Value, fields: &[(&str, Kind)]) -> Result<(), Fault> {
    for (place, kind) in fields {
        if !kind.is_at(Some(place), body) {
            let wanted = match kind {
                Kind::Text => "a string",
                Kind::Truth => "true or false",
                Kind::Object => "an object",
            };
            return Err(Fault::BadJson(format!("{place} is {wanted}")));
        }
    }
    Ok(())
}

/// A value within which so many more may be nested.
#[derive(Clone, Copy)]
struct Nested {
    left: usize,
}

impl Nested {
    fn inside<E: serde::de::Error>(self) -> Result<Self, E> {
        let left = self.left.checked_sub(1);
        let most = limits::JSON_DEPTH;
        left.map(|left| Self { left })
            .ok_or_else(|| E::custom(format!("JSON nests at most {most} deep here")))
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number without end"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inside)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key.starts_with(SMUGGLED) {
                return Err(A::Error::custom("a key that is reserved by the JSON library"));
            }
            object.insert(key, entries.next_value_seed(inside)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_objects_of_bounded_depth_are_read() {
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for good in
            ["{}", " {\"a\":[1,-1,1.5,null,true,\"\\u0000\"]} ", &nested(limits::JSON_DEPTH)]
        {
            let value = object(good.as_bytes()).unwrap();
            assert_eq!(value, serde_json::from_str::<Value>(good).unwrap(), "{good}");
        }
        let smuggled = r#"{"a":{"\u0024serde_json::private::RawValue":"[]"}}"#;
        for bad in ["[]", "null", smuggled, &nested(limits::JSON_DEPTH + 1), &nested(100_000)] {
            assert!(matches!(object(bad.as_bytes()), Err(Fault::BadJson(_))), "{bad:.80}");
        }
        for none in ["", "{", "{} x", "{\"a\":\"\\ud800\"}", "\u{feff}{}"] {
            assert!(matches!(object(none.as_bytes()), Err(Fault::NotJson(_))), "{none}");
        }
    }

    #[test]
    fn what_is_of_another_kind_is_found_wherever_it_stands() {
        let fields = [("a", Kind::Object), ("a/*/b", Kind::Truth), ("a/*/c/*", Kind::Text)];
        for (body, good) in [
            (serde_json::json!({}), true),
            (serde_json::json!({ "a": null }), true),
            (serde_json::json!({ "a": [] }), false),
            (serde_json::json!({ "a": {} }), true),
            (serde_json::json!({ "a": { "x": 7, "y": { "b": true, "c": ["t", null] } } }), true),
            (serde_json::json!({ "a": { "x": {}, "y": { "b": "no" } } }), false),
            (serde_json::json!({ "a": { "x": {}, "y": { "c": ["t", 7] } } }), false),
            (serde_json::json!({ "a": { "x": {}, "y": { "c": { "d": [] } } } }), false),
        ] {
            assert_eq!(check(&body, &fields).is_ok(), good, "{body}");
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_it_reads_the_library_reads_too() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            if let Ok(value) = object(bytes) {
                assert_eq!(serde_json::from_slice::<Value>(bytes).ok(), Some(value));
            }
        });
    }
}
