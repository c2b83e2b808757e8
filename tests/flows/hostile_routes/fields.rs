//! The fields that the specification gives the requests of each route, and values that are wrong for them.

use serde_json::{Value, json};

use super::table::Row;

/// A field of a request, as the client-server API describes it.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// The method and the route's main path, as the node's table writes it.
    pub(crate) route: (&'static str, &'static str),
    /// A JSON pointer into the body, in which a star stands for each key and place, or a question mark
    /// and the name of a part of the query.
    pub(crate) place: &'static str,
    /// What it takes: kinds of JSON, or for a part of the query an equals sign and its words.
    kinds: Vec<&'static str>,
    /// Why something else may be ignored instead of refused, where it may.
    pub(crate) ignored: Option<&'static str>,
}

impl Field {
    /// All that are known: a line each, of columns parted by tabs.
    pub(crate) fn all() -> Vec<Self> {
        let lines = include_str!("fields.tsv").lines();
        lines.filter(|line| !line.starts_with('#')).map(Self::of_line).collect()
    }

    fn of_line(line: &'static str) -> Self {
        let columns: Vec<&str> = line.split('\t').collect();
        let (&[method, path, place, kinds], rest) =
            columns.split_first_chunk().expect("a field has a method, a path, a place and kinds");
        assert!(rest.len() < 2, "a field has at most one reason: {line}");
        let kinds = kinds.split('|').collect();
        Self { route: (method, path), place, kinds, ignored: rest.first().copied() }
    }

    /// Whether it is a field of this row's route.
    pub(crate) fn is_of(&self, row: &Row) -> bool {
        self.route == (row.method, row.path)
    }

    /// Whether it is at this place of the body.
    pub(crate) fn is_at(&self, pointer: &str) -> bool {
        self.place.split('/').count() == pointer.split('/').count() && is_below(pointer, self.place)
    }

    /// Whether a value is of a kind that it takes.
    fn takes(&self, value: &Value) -> bool {
        self.kinds.iter().any(|kind| match *kind {
            "object" => value.is_object(),
            "array" => value.is_array(),
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "null" => value.is_null(),
            other => panic!("{other:?} is no kind of JSON: {}", self.place),
        })
    }

    /// Texts that are wrong for it as a part of a query.
    pub(crate) fn wrong_texts(&self) -> &'static [&'static str] {
        match self.kinds[..] {
            ["integer"] => &["true", "1.5", "word", "{}"],
            ["boolean"] => &["2", "1.5", "word", "{}"],
            [first, ..] if first.starts_with('=') => &["7", "true", "word", "{}"],
            _ => panic!("{:?} is no kind of a query's part: {}", self.kinds, self.place),
        }
    }
}

/// Whether a place is one that the pattern names, or lies within it.
pub(crate) fn is_below(pointer: &str, pattern: &str) -> bool {
    let mut steps = pointer.split('/');
    pattern.split('/').all(|wanted| steps.next().is_some_and(|it| wanted == "*" || it == wanted))
}

/// Values of kinds that are wrong at a place: for what is known of it, or else for what stands there.
/// Null may stand for nothing anywhere, and is not among them.
pub(crate) fn wrong_values(is: &Value, field: Option<&Field>) -> Vec<Value> {
    let kinds = [
        json!(true),
        json!(7),
        json!(1.5),
        json!("text"),
        json!([]),
        json!({}),
        json!([[]]),
        json!(["text"]),
        json!({"a": []}),
    ];
    let kind = |value: &Value| std::mem::discriminant(value);
    let right = |value: &Value| match field {
        Some(field) => field.takes(value),
        None => kind(value) == kind(is),
    };
    kinds.into_iter().filter(|value| !right(value)).collect()
}

/// Values that need not be wrong, but strange: they are only not to break anything.
pub(crate) fn strange_values(is: &Value) -> Vec<Value> {
    let mut all = vec![Value::Null];
    match is {
        Value::Number(_) => all.extend([
            json!(-1),
            json!(0),
            json!(1.5),
            json!(1e300),
            json!(u64::MAX),
            json!(i64::MIN),
        ]),
        Value::String(_) => all.extend([
            json!(""),
            json!("\0"),
            json!("LONE"),
            json!("x".repeat(70_000)),
            json!("@\u{202e}:a.test"),
        ]),
        Value::Array(items) => {
            let item = items.first().cloned().unwrap_or(json!("x"));
            all.push(Value::Array(vec![item; 1_000]));
        }
        _ => {}
    }
    all
}

/// All values in a body, as JSON pointers.
pub(crate) fn pointers(value: &Value, at: &str) -> Vec<String> {
    let inside: Vec<(String, &Value)> = match value {
        Value::Object(object) => object
            .iter()
            .map(|(key, value)| (key.replace('~', "~0").replace('/', "~1"), value))
            .collect(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(at, it)| (at.to_string(), it)).collect()
        }
        _ => Vec::new(),
    };
    let mut all = Vec::new();
    for (key, value) in inside {
        let at = format!("{at}/{key}");
        all.extend(pointers(value, &at));
        all.push(at);
    }
    all
}
