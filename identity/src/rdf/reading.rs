//! A document as statements (JSON-LD 1.1 API, sections 5 and 8).

use std::{
    collections::{BTreeSet, HashMap},
    fmt::Write as _,
    sync::Arc,
};

use serde_json::{Number, Value};

use super::{
    Contexts, Error, MAX_CONTEXTS, MAX_TEXT, Part, Quad, bundled,
    context::{Active, Entry, Members, is_iri, is_keyword},
    dropped, malformed, many, unsupported,
};

const RDF: &str = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
const XSD: &str = "http://www.w3.org/2001/XMLSchema#";
/// Above it, readers of JSON disagree on which integer is meant (RFC 8785, section 3.2.2.3).
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// Collects the statements of a document.
pub(super) struct Reader<'c> {
    more: &'c Contexts,
    quads: BTreeSet<Quad>,
    /// The graph that the walk is in; none is the default graph.
    graph: Option<Part>,
    labels: HashMap<String, usize>,
    blanks: usize,
    contexts_left: usize,
    text_left: usize,
}

impl<'c> Reader<'c> {
    /// The statements of a document, and how many blank nodes they have.
    pub(super) fn read(
        root: &'c Members,
        more: &'c Contexts,
    ) -> Result<(BTreeSet<Quad>, usize), Error> {
        let mut reader = Reader {
            more,
            quads: BTreeSet::new(),
            graph: None,
            labels: HashMap::new(),
            blanks: 0,
            contexts_left: MAX_CONTEXTS,
            text_left: MAX_TEXT,
        };
        let context = reader.enter(&Arc::default(), None, root)?;
        reader.node(&context, root)?;
        if reader.quads.is_empty() {
            return dropped("@graph");
        }
        Ok((reader.quads, reader.blanks))
    }

    /// The context inside an object (algorithm 5.1.2, steps 3 and 7 to 9), before its types speak.
    fn enter(
        &mut self,
        outer: &Active<'c>,
        property: Option<&str>,
        members: &Members,
    ) -> Result<Active<'c>, Error> {
        let scoped = property.and_then(|key| outer.terms.get(key)).and_then(|term| term.context);
        let is_reference = members.len() == 1 && outer.has(members, "@id");
        let stays = is_reference || outer.has(members, "@value");
        let mut context = outer.previous.as_ref().filter(|_| !stays).unwrap_or(outer).clone();
        if let Some(scoped) = scoped {
            context = context.apply(scoped, Entry::Property)?;
        }
        match members.get("@context") {
            Some(named) => self.named(&context, named),
            None => Ok(context),
        }
    }

    /// The context after those that an object names.
    fn named(&mut self, context: &Active<'c>, named: &Value) -> Result<Active<'c>, Error> {
        let mut context = Arc::clone(context);
        for one in many(named) {
            let address = one.as_str().ok_or(Error::InlineContext)?;
            self.contexts_left = self.contexts_left.checked_sub(1).ok_or(Error::TooLarge)?;
            let document = bundled().get(address).or_else(|| self.more.get(address));
            let local = document.and_then(|document| document.get("@context"));
            let local = local.ok_or_else(|| Error::UnknownContext(address.to_owned()))?;
            context = context.apply(local, Entry::Named)?;
        }
        Ok(context)
    }

    /// The context after what the types of an object bring (step 11).
    fn typed(context: &Active<'c>, members: &Members) -> Result<Active<'c>, Error> {
        let mut result = Arc::clone(context);
        for (key, value) in members {
            if context.iri(key, true).as_deref() != Some("@type") {
                continue;
            }
            for name in many(value).iter().filter_map(Value::as_str).collect::<BTreeSet<_>>() {
                if let Some(scoped) = context.terms.get(name).and_then(|term| term.context) {
                    result = result.apply(scoped, Entry::Type)?;
                }
            }
        }
        Ok(result)
    }

    /// Reads a node and says what names it; `outer` is its context before its types speak.
    fn node(&mut self, outer: &Active<'c>, members: &Members) -> Result<Part, Error> {
        let context = Self::typed(outer, members)?;
        let mut keys = Vec::with_capacity(members.len());
        let mut id = None;
        for (key, value) in members {
            match (context.key(key)?.as_str(), value) {
                ("@context", _) => {}
                ("@id", Value::String(text)) if id.is_none() => {
                    id = Some(self.reference(context.iri(text, false), text)?);
                }
                ("@id", _) => malformed("a node must have one @id, a string")?,
                (iri, _) => keys.push((iri.to_owned(), key.as_str(), value)),
            }
        }
        let subject = id.unwrap_or_else(|| self.blank());
        for (iri, key, value) in keys {
            match iri.as_str() {
                "@type" => {
                    for name in many(value) {
                        let name =
                            name.as_str().ok_or(Error::Malformed("a type must be a string"))?;
                        let iri = outer.iri(name, true).filter(|iri| is_iri(iri));
                        let iri = iri.ok_or_else(|| Error::UndefinedTerm(name.to_owned()))?;
                        self.say(&subject, &format!("{RDF}type"), Part::iri(&iri))?;
                    }
                    if many(value).is_empty() {
                        return dropped(key);
                    }
                }
                keyword if is_keyword(keyword) => unsupported(keyword)?,
                _ => self.property(&context, &subject, (key, &iri), value)?,
            }
        }
        Ok(subject)
    }

    /// Reads what a property says of a subject (step 13); the key stands with its IRI.
    fn property(
        &mut self,
        context: &Active<'c>,
        subject: &Part,
        (key, iri): (&str, &str),
        value: &Value,
    ) -> Result<(), Error> {
        let term = context.terms.get(key);
        if term.is_some_and(|term| term.coercion.as_deref() == Some("@json")) {
            return self.say(subject, iri, json_literal(value));
        }
        let mut objects = Vec::new();
        self.objects(
            context,
            (key, term.is_some_and(|term| term.holds_graphs)),
            value,
            &mut objects,
        )?;
        if objects.is_empty() {
            return dropped(key);
        }
        objects.into_iter().try_for_each(|object| self.say(subject, iri, object))
    }

    /// The objects that a value stands for; arrays are flat in RDF. With the key stands whether each
    /// value is a graph of its own, which must then say something.
    fn objects(
        &mut self,
        outer: &Active<'c>,
        (key, as_graph): (&str, bool),
        value: &Value,
        found: &mut Vec<Part>,
    ) -> Result<(), Error> {
        let members = match value {
            Value::Array(items) => {
                let mut each = items.iter();
                return each.try_for_each(|item| self.objects(outer, (key, as_graph), item, found));
            }
            Value::Object(members) => members,
            // A string for a graph would name a node of which the graph says nothing.
            scalar if scalar.is_null() || as_graph => return dropped(key),
            scalar => {
                found.push(self.scalar(outer, key, scalar)?);
                return Ok(());
            }
        };
        let context = self.enter(outer, Some(key), members)?;
        let is_value = context.has(members, "@value");
        found.push(match (is_value, as_graph) {
            (true, true) => return dropped(key),
            (true, false) => Self::value_object(&context, key, members)?,
            (false, false) => self.node(&context, members)?,
            (false, true) => {
                let (graph, before) = (self.blank(), self.quads.len());
                let outside = self.graph.replace(graph.clone());
                self.node(&context, members)?;
                self.graph = outside;
                if self.quads.len() == before {
                    return dropped(key);
                }
                graph
            }
        });
        Ok(())
    }

    /// The object that a bare value stands for (algorithm 5.3.2).
    fn scalar(&mut self, outer: &Active<'c>, key: &str, value: &Value) -> Result<Part, Error> {
        let scoped = outer.terms.get(key).and_then(|term| term.context);
        let inner = scoped.map(|scoped| outer.apply(scoped, Entry::Property)).transpose()?;
        let context = inner.as_ref().unwrap_or(outer);
        let coercion = context.terms.get(key).and_then(|term| term.coercion.as_deref());
        match (coercion, value) {
            (Some(how @ ("@id" | "@vocab")), Value::String(text)) => {
                self.reference(context.iri(text, how == "@vocab"), text)
            }
            (None | Some("@id" | "@vocab" | "@none"), value) => literal(value, None),
            (Some(datatype), value) => literal(value, Some(datatype)),
        }
    }

    fn value_object(context: &Active<'c>, key: &str, members: &Members) -> Result<Part, Error> {
        let (mut value, mut datatype, mut language) = (None, None, None);
        for (name, member) in members {
            match (context.key(name)?.as_str(), member) {
                ("@context", _) => {}
                ("@value", member) if value.is_none() => value = Some(member),
                ("@type", Value::String(name)) if datatype.is_none() => {
                    let iri = context.iri(name, true).filter(|iri| iri == "@json" || is_iri(iri));
                    let undefined = || Error::UndefinedTerm(name.clone());
                    datatype = Some(iri.ok_or_else(undefined)?);
                }
                ("@language", Value::String(tag)) if language.is_none() => language = Some(tag),
                (keyword @ ("@direction" | "@index"), _) => unsupported(keyword)?,
                _ => malformed(
                    "a value has @value and either @type or @language, once and as strings",
                )?,
            }
        }
        let value = value.unwrap_or(&Value::Null);
        match (datatype.as_deref(), language, value) {
            (Some("@json"), None, value) => Ok(json_literal(value)),
            (_, _, Value::Null) => dropped(key),
            (datatype, None, value) => literal(value, datatype),
            (None, Some(tag), Value::String(text)) if is_language(tag) => {
                let tag = tag.to_ascii_lowercase();
                Ok(Part::Fixed(format!("{}@{tag}", quoted(text)).into()))
            }
            _ => malformed("only a string has a language, and then no type"),
        }
    }

    /// An IRI or the blank node of a label.
    fn reference(&mut self, iri: Option<String>, text: &str) -> Result<Part, Error> {
        match iri {
            Some(iri) if is_iri(&iri) => Ok(Part::iri(&iri)),
            Some(label) if label.starts_with("_:") => {
                let blank = *self.labels.entry(label).or_insert(self.blanks);
                self.blanks += usize::from(blank == self.blanks);
                Ok(Part::Blank(blank))
            }
            _ => Err(Error::NotAnIri(text.to_owned())),
        }
    }

    fn blank(&mut self) -> Part {
        self.blanks += 1;
        Part::Blank(self.blanks - 1)
    }

    fn say(&mut self, subject: &Part, predicate: &str, object: Part) -> Result<(), Error> {
        let (subject, graph) = (subject.clone(), self.graph.clone());
        let quad = Quad { subject, predicate: predicate.into(), object, graph };
        let length = quad.line(|_| "_:c14n0000").len();
        self.text_left = self.text_left.checked_sub(length).ok_or(Error::TooLarge)?;
        self.quads.insert(quad);
        Ok(())
    }
}

fn literal(value: &Value, datatype: Option<&str>) -> Result<Part, Error> {
    let (text, own) = match value {
        Value::String(text) => (text.clone(), "string"),
        Value::Bool(truth) => (truth.to_string(), "boolean"),
        Value::Number(number) => number_text(number, datatype)?,
        _ => return malformed("a value must be a string, number or boolean"),
    };
    let datatype = datatype.map_or_else(|| format!("{XSD}{own}"), str::to_owned);
    Ok(typed_literal(&text, &datatype))
}

fn typed_literal(text: &str, datatype: &str) -> Part {
    let text = quoted(text);
    let is_string = datatype.strip_prefix(XSD) == Some("string");
    Part::Fixed(if is_string { text.into() } else { format!("{text}^^<{datatype}>").into() })
}

/// A number as RDF spells it, and which type of XML Schema it has by itself.
fn number_text(number: &Number, datatype: Option<&str>) -> Result<(String, &'static str), Error> {
    let unreadable =
        Error::Malformed("an integer must be within 2^53, beyond which readers differ");
    let float = number.as_f64().ok_or(unreadable.clone())?;
    let is_double = datatype.and_then(|datatype| datatype.strip_prefix(XSD)) == Some("double");
    if is_double || float.fract() != 0.0 || float.abs() >= 1e21 {
        return Ok((double(float), "double"));
    }
    if float.abs() > MAX_SAFE_INTEGER {
        return Err(unreadable);
    }
    // Minus zero is zero.
    Ok((if float == 0.0 { "0".to_owned() } else { format!("{float:.0}") }, "integer"))
}

/// The canonical spelling of a double: one digit, a point, up to fifteen digits, an exponent.
fn double(float: f64) -> String {
    let spelt = format!("{float:.15E}");
    let (digits, exponent) = spelt.split_once('E').unwrap_or((&spelt, "0"));
    let digits = digits.trim_end_matches('0');
    let zero = if digits.ends_with('.') { "0" } else { "" };
    format!("{digits}{zero}E{exponent}")
}

fn is_language(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let is_part = |part: &str| {
        matches!(part.len(), 1..=8) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    parts.all(is_part) && tag.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// A text as a literal spells it (RDFC-1.0, section 5).
fn quoted(text: &str) -> String {
    const SHORT: [(char, char); 7] = [
        ('\u{8}', 'b'),
        ('\t', 't'),
        ('\n', 'n'),
        ('\u{c}', 'f'),
        ('\r', 'r'),
        ('"', '"'),
        ('\\', '\\'),
    ];
    let mut quoted = String::from('"');
    for c in text.chars() {
        if let Some((_, short)) = SHORT.iter().find(|(long, _)| *long == c) {
            quoted.extend(['\\', *short]);
        } else if matches!(c, '\0'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}') {
            write!(quoted, "\\u{:04X}", u32::from(c)).expect("a string takes all text");
        } else {
            quoted.push(c);
        }
    }
    quoted + "\""
}

/// A value of type `@json`: its canonical JSON (RFC 8785) as a literal.
fn json_literal(value: &Value) -> Part {
    typed_literal(&crate::json::canonical(value), &format!("{RDF}JSON"))
}
