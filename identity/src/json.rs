//! JSON that is signed: read so that two readers see the same, and written in one way only.

use std::fmt::{self, Write as _};

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The text is no JSON that can be signed.
#[derive(Debug, thiserror::Error)]
#[error("reading JSON: {0}")]
pub struct NoJson(#[from] serde_json::Error);

/// Reads JSON as RFC 7493 bounds it: no name stands twice in an object, and no whole number of 64 bits is
/// larger than a double can tell from its neighbours. Nesting is bounded at 128 by the parser.
///
/// ```
/// assert!(wayside_identity::json::read(br#"{"a":1}"#).is_ok());
/// assert!(wayside_identity::json::read(br#"{"a":1,"a":2}"#).is_err());
/// ```
pub fn read(bytes: &[u8]) -> Result<Value, NoJson> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Largest whole number that a double holds as such: 2^53 - 1 (RFC 7493, section 2.2).
const MOST: u64 = (1 << 53) - 1;

struct Strict;

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MOST {
            return Err(E::custom("a whole number is larger than 2^53 - 1"));
        }
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MOST {
            return Err(E::custom("a whole number is smaller than 1 - 2^53"));
        }
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| E::custom("a number is out of range"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(Self)?;
            if object.insert(name, value).is_some() {
                return Err(de::Error::custom("a name stands twice in one object"));
            }
        }
        Ok(Value::Object(object))
    }
}

/// The one way to write a value: the JSON Canonicalization Scheme (RFC 8785).
#[must_use]
pub fn canonical(value: &Value) -> String {
    let mut text = String::with_capacity(512);
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => write_number(text, number),
        Value::String(value) => write_string(text, value),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Object(members) => write_object(text, members),
    }
}

fn write_object(text: &mut String, members: &Map<String, Value>) {
    let mut sorted: Vec<_> = members.iter().collect();
    // Section 3.2.3 sorts by the units of UTF-16; only beyond the basic plane is that another order
    // than that of bytes.
    let ascii = sorted.iter().all(|(name, _)| name.is_ascii());
    if ascii {
        sorted.sort_unstable_by_key(|(name, _)| *name);
    } else {
        sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    text.push('{');
    for (index, (name, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_string(text, name);
        text.push(':');
        write_value(text, value);
    }
    text.push('}');
}

/// As ECMAScript writes a double (section 3.2.2.3).
fn write_number(text: &mut String, number: &Number) {
    let whole = number.as_i64().filter(|whole| whole.unsigned_abs() <= MOST);
    match (whole, number.as_f64()) {
        (Some(whole), _) => write!(text, "{whole}").expect("a String takes all that is written"),
        (None, Some(double)) => text.push_str(ryu_js::Buffer::new().format(double)),
        (None, None) => unreachable!("without arbitrary precision, every number is a double"),
    }
}

/// With the least that must be escaped (section 3.2.2.2).
fn write_string(text: &mut String, value: &str) {
    text.push('"');
    let mut plain = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        text.push_str(&value[plain..at]);
        plain = at + 1;
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            0x08 => text.push_str("\\b"),
            b'\t' => text.push_str("\\t"),
            b'\n' => text.push_str("\\n"),
            0x0c => text.push_str("\\f"),
            b'\r' => text.push_str("\\r"),
            other => write!(text, "\\u{other:04x}").expect("a String takes all that is written"),
        }
    }
    text.push_str(&value[plain..]);
    text.push('"');
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{canonical, read};

    #[test]
    fn what_two_readers_would_see_otherwise_is_refused() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            "9007199254740992",
            "-9007199254740992",
            "18446744073709551616e999",
            "[1] 2",
            "{",
            "",
            "\"\\ud800\"",
            &"[".repeat(200),
        ] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read(b"\"\xff\"").is_err());
        for text in ["9007199254740991", "-9007199254740991", r#"{"a":[{"a":1},{"a":1}]}"#] {
            assert_eq!(canonical(&read(text.as_bytes()).unwrap()), text);
        }
    }

    /// The numbers are samples of RFC 8785, appendix B, by their bits.
    #[test]
    fn numbers_are_written_as_ecmascript_does() {
        for (bits, text) in [
            (0x0000_0000_0000_0000_u64, "0"),
            (0x8000_0000_0000_0000, "0"),
            (0x0000_0000_0000_0001, "5e-324"),
            (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
            (0x4340_0000_0000_0000, "9007199254740992"),
            (0x4430_0000_0000_0000, "295147905179352830000"),
            (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
            (0x44b5_2d02_c7e1_4af6, "1e+23"),
            (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
            (0x444b_1ae4_d6e2_ef50, "1e+21"),
            (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
            (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
            (0x41b3_de43_5555_5555, "333333333.3333333"),
            (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        ] {
            assert_eq!(canonical(&json!(f64::from_bits(bits))), text, "{bits:x}");
        }
    }

    #[test]
    fn names_are_sorted_by_units_of_utf_16_and_texts_barely_escaped() {
        let names = json!({"\u{20ac}": 1, "\r": 2, "\u{fb33}": 3, "1": 4, "\u{1f600}": 5, "\u{80}": 6, "\u{f6}": 7});
        let expected = "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"\u{f6}\":7,\"\u{20ac}\":1,\"\u{1f600}\":5,\"\u{fb33}\":3}";
        assert_eq!(canonical(&names), expected);
        let text = json!("\u{20ac}$\u{f}\nA'B\"\\\"/\u{7f}\u{8}\t\u{c}");
        assert_eq!(canonical(&text), "\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\"/\u{7f}\\b\\t\\f\"");
    }

    #[test]
    fn canonical_json_reads_as_what_was_written() {
        bolero::check!().with_max_len(512).for_each(|bytes: &[u8]| {
            let Ok(value) = read(bytes) else { return };
            let text = canonical(&value);
            let again: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(canonical(&again), text);
        });
    }
}
