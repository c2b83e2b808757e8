//! Checks JSON against tables of what may stand where; the tables stand beside their rules.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::report::{Issues, token};

/// What a value must be.
pub(super) enum Kind {
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// A text of at least one letter.
    Name,
    /// A number from one bound to the other.
    Number(f64, f64),
    /// A whole number from one bound to the other.
    Whole(u64, u64),
    /// The place of a thing in the top-level array of that name.
    Index(&'static str),
    /// The same, in an array inside an extension at the root: the extension, the array.
    IndexIn(&'static str, &'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these numbers.
    Code(&'static [u64]),
    /// A list of so many things: the least and the most. A list that is shorter than the least by
    /// being empty is only worth a warning.
    List(&'static Kind, usize, usize),
    /// An object of that shape.
    Object(&'static Shape),
    /// An object whose names are free.
    Map(&'static Kind),
}

/// A property of an object.
pub(super) struct Field {
    name: &'static str,
    kind: Kind,
    required: bool,
}

/// The properties of an object and the extensions that it may carry; others are not looked at.
pub(super) struct Shape {
    pub(super) fields: &'static [Field],
    pub(super) extensions: &'static [(&'static str, &'static Shape)],
}

/// Any number that fits 32 bits.
pub(super) const FLOAT: Kind = Kind::Number(f32::MIN as f64, f32::MAX as f64);
/// No number below zero.
pub(super) const POSITIVE: Kind = Kind::Number(0.0, f32::MAX as f64);
/// From nothing to all.
pub(super) const SHARE: Kind = Kind::Number(0.0, 1.0);
/// A count or an offset in bytes.
pub(super) const COUNT: Kind = Kind::Whole(0, u32::MAX as u64);
/// A list of any length but none.
pub(super) const MANY: usize = usize::MAX;

/// A property that must be there.
pub(super) const fn need(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: true }
}

/// A property that may be there.
pub(super) const fn may(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, required: false }
}

/// Goes over JSON with a table in hand.
pub(super) struct Checker<'a> {
    root: &'a Value,
    issues: &'a mut Issues,
    pointer: String,
}

impl<'a> Checker<'a> {
    pub(super) fn new(root: &'a Value, issues: &'a mut Issues) -> Self {
        Self { root, issues, pointer: String::new() }
    }

    /// Checks a value that stands at a pointer.
    pub(super) fn check(&mut self, value: &Value, kind: &Kind, pointer: &str) {
        pointer.clone_into(&mut self.pointer);
        self.value(value, kind);
    }

    fn value(&mut self, value: &Value, kind: &Kind) {
        match kind {
            Kind::Flag => self.must(value.is_boolean(), "true or false"),
            Kind::Text => self.must(value.is_string(), "a text"),
            Kind::Name => self.must(value.as_str().is_some_and(|text| !text.is_empty()), "a text"),
            Kind::Number(least, most) => self.number(value, *least, *most),
            Kind::Whole(least, most) => match value.as_u64() {
                Some(number) if (*least..=*most).contains(&number) => {}
                Some(_) => {
                    self.error(
                        "OUT_OF_RANGE",
                        format!("a number of {least} to {most} would be right"),
                    );
                }
                None => self.must(false, "a whole number"),
            },
            Kind::Index(array) => self.index(value, array, self.root.get(array)),
            Kind::IndexIn(extension, array) => {
                let list =
                    self.root.get("extensions").and_then(|all| all.get(extension)?.get(array));
                self.index(value, array, list);
            }
            Kind::Word(words) => {
                if !value.as_str().is_some_and(|word| words.contains(&word)) {
                    self.error(
                        "UNKNOWN_VALUE",
                        format!("one of {} would be right", words.join(", ")),
                    );
                }
            }
            Kind::Code(codes) => {
                if !value.as_u64().is_some_and(|code| codes.contains(&code)) {
                    self.error("UNKNOWN_VALUE", format!("one of {codes:?} would be right"));
                }
            }
            Kind::List(kind, least, most) => match value {
                Value::Array(list) => self.list(list, kind, *least, *most),
                _ => self.must(false, "a list"),
            },
            Kind::Object(shape) => match value {
                Value::Object(map) => self.object(map, shape),
                _ => self.must(false, "an object"),
            },
            Kind::Map(kind) => match value {
                Value::Object(map) => {
                    for (name, value) in map {
                        self.inside(name, |checker| checker.value(value, kind));
                    }
                }
                _ => self.must(false, "an object"),
            },
        }
    }

    fn must(&mut self, right: bool, what: &str) {
        if !right {
            self.error("WRONG_TYPE", format!("{what} would be right"));
        }
    }

    fn number(&mut self, value: &Value, least: f64, most: f64) {
        match value.as_f64() {
            Some(number) if !(f64::from(f32::MIN)..=f64::from(f32::MAX)).contains(&number) => {
                self.error("NOT_FINITE", "a number that fits 32 bits would be right".to_owned());
            }
            Some(number) if (least..=most).contains(&number) => {}
            Some(_) => {
                let bounds = if most > 1e9 {
                    format!("{least} or more")
                } else {
                    format!("{least} to {most}")
                };
                // Whoever draws it takes the nearest number that is allowed.
                let message = format!("a number of {bounds} would be right");
                self.issues.warn("OUT_OF_RANGE", self.pointer.clone(), message);
            }
            None => self.must(false, "a number"),
        }
    }

    fn index(&mut self, value: &Value, array: &str, list: Option<&Value>) {
        let length = list.and_then(Value::as_array).map_or(0, Vec::len);
        match value.as_u64() {
            Some(index) if index < length as u64 => {}
            Some(_) => {
                self.error(
                    "INDEX_OUT_OF_RANGE",
                    format!("an index below {length}, how many {array} there are, would be right"),
                );
            }
            None => self.must(false, "an index of 0 or more"),
        }
    }

    fn list(&mut self, list: &[Value], kind: &Kind, least: usize, most: usize) {
        if list.is_empty() && least == 1 {
            let message = "an empty list; leaving it out would be right";
            self.issues.warn("EMPTY_LIST", self.pointer.clone(), message);
        } else if list.len() < least || list.len() > most {
            self.error("OUT_OF_RANGE", format!("a list of {least} to {most} would be right"));
            return;
        }
        let length = self.pointer.len();
        for (index, value) in list.iter().enumerate() {
            // Writing to a text cannot fail.
            let _ = write!(self.pointer, "/{index}");
            self.value(value, kind);
            self.pointer.truncate(length);
        }
    }

    fn object(&mut self, map: &Map<String, Value>, shape: &Shape) {
        for field in shape.fields {
            match map.get(field.name) {
                Some(value) => self.inside(field.name, |checker| checker.value(value, &field.kind)),
                None if field.required => {
                    self.error("MISSING", format!("{} is missing", field.name));
                }
                None => {}
            }
        }
        match map.get("extensions") {
            Some(Value::Object(extensions)) => {
                for (name, shape) in shape.extensions {
                    if let Some(value) = extensions.get(*name) {
                        let kind = Kind::Object(shape);
                        self.inside("extensions", |checker| {
                            checker.inside(name, |checker| checker.value(value, &kind));
                        });
                    }
                }
            }
            Some(_) => self.inside("extensions", |checker| checker.must(false, "an object")),
            None => {}
        }
    }

    fn inside(&mut self, name: &str, look: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        // A name may be as long as the file, and the pointer is copied for each issue below it.
        let short = name.char_indices().nth(64).map_or(name, |(end, _)| &name[..end]);
        self.pointer.push_str(&token(short));
        look(self);
        self.pointer.truncate(length);
    }

    fn error(&mut self, code: &'static str, message: String) {
        self.issues.error(code, self.pointer.clone(), message);
    }
}
