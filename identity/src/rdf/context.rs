//! What the terms of a document mean: contexts (JSON-LD 1.1 API, section 4).

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde_json::{Map, Value};

use super::{Error, many, unsupported};

pub(super) type Active<'c> = Arc<Context<'c>>;
pub(super) type Members = Map<String, Value>;

/// What the terms of a place in the document mean: the "active context".
#[derive(Clone, Default)]
pub(super) struct Context<'c> {
    pub(super) terms: HashMap<&'c str, Arc<Term<'c>>>,
    pub(super) vocabulary: Option<&'c str>,
    /// What holds again in the next node within, where a type brought this context.
    pub(super) previous: Option<Active<'c>>,
}

/// What one term means.
#[derive(Default)]
pub(super) struct Term<'c> {
    /// An IRI or a keyword; none where a context takes a meaning away.
    pub(super) iri: Option<String>,
    pub(super) is_prefix: bool,
    pub(super) is_protected: bool,
    pub(super) coercion: Option<String>,
    /// Whether each value is a graph of its own; a set is what every term holds anyway.
    pub(super) holds_graphs: bool,
    pub(super) context: Option<&'c Value>,
}

impl Term<'_> {
    /// Whether two definitions say the same, protected or not.
    fn means_the_same(&self, other: &Self) -> bool {
        (&self.iri, self.is_prefix, &self.coercion, self.holds_graphs, self.context)
            == (&other.iri, other.is_prefix, &other.coercion, other.holds_graphs, other.context)
    }
}

/// How a context is entered: by a key of the document, by a property or by a type.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Entry {
    Named,
    Property,
    Type,
}

impl<'c> Context<'c> {
    /// The context after a definition of ours (algorithm 4.1.2).
    pub(super) fn apply(
        self: &Arc<Self>,
        local: &'c Value,
        entry: Entry,
    ) -> Result<Arc<Self>, Error> {
        let mut result = match local {
            Value::Null => {
                let guarded = self.terms.iter().find(|(_, term)| term.is_protected);
                if let (Some((term, _)), false) = (guarded, entry == Entry::Property) {
                    return Err(Error::Conflict((*term).to_owned()));
                }
                Self::default()
            }
            Value::Object(definitions) => {
                let mut context = Self::clone(self);
                context.define_all(definitions, entry == Entry::Property)?;
                context
            }
            _ => return Err(Error::BadContext("@context".to_owned())),
        };
        if entry == Entry::Type && result.previous.is_none() {
            result.previous = Some(Arc::clone(self));
        }
        Ok(Arc::new(result))
    }

    fn define_all(&mut self, definitions: &'c Members, may_override: bool) -> Result<(), Error> {
        let mut definer = Definer { definitions, may_override, begun: BTreeMap::new() };
        for (key, value) in definitions {
            match (key.as_str(), value) {
                ("@version" | "@protected", _) => {}
                ("@vocab", Value::String(vocabulary)) if is_iri(vocabulary) => {
                    self.vocabulary = Some(vocabulary);
                }
                _ if key.starts_with('@') => return Err(Error::BadContext(key.clone())),
                _ => {}
            }
        }
        for term in definitions.keys().filter(|key| !key.starts_with('@')) {
            definer.define(self, term)?;
        }
        Ok(())
    }

    /// IRI expansion (algorithm 5.2.2) within a document: none for what stays relative.
    pub(super) fn iri(&self, text: &str, by_vocabulary: bool) -> Option<String> {
        if is_keyword(text) {
            return Some(text.to_owned());
        }
        if looks_like_keyword(text) {
            return None;
        }
        if let Some(term) = self.terms.get(text) {
            let is_alias = term.iri.as_deref().is_some_and(is_keyword);
            if by_vocabulary || is_alias {
                return term.iri.clone();
            }
        }
        let prefixed = split_compact(text).and_then(|(prefix, rest)| {
            let term = self.terms.get(prefix).filter(|term| term.is_prefix)?;
            Some(term.iri.clone()? + rest)
        });
        let as_it_is = || (text.starts_with("_:") || is_iri(text)).then(|| text.to_owned());
        let by_vocabulary = || {
            let vocabulary = self.vocabulary.filter(|_| by_vocabulary)?;
            Some(vocabulary.to_owned() + text)
        };
        prefixed.or_else(as_it_is).or_else(by_vocabulary)
    }

    /// What a key of an object stands for: an IRI or a keyword.
    pub(super) fn key(&self, key: &str) -> Result<String, Error> {
        let iri = self.iri(key, true);
        match iri {
            Some(iri) if is_keyword(&iri) || is_iri(&iri) => Ok(iri),
            _ if looks_like_keyword(key) => unsupported(key),
            _ => Err(Error::UndefinedTerm(key.to_owned())),
        }
    }

    pub(super) fn has(&self, members: &Members, keyword: &str) -> bool {
        members.keys().any(|key| self.iri(key, true).as_deref() == Some(keyword))
    }
}

/// The definition of terms by one object (algorithm 4.2.2).
struct Definer<'c> {
    definitions: &'c Members,
    may_override: bool,
    /// Terms that are begun (false) or done (true), so that a circle is seen.
    begun: BTreeMap<&'c str, bool>,
}

impl<'c> Definer<'c> {
    fn define(&mut self, context: &mut Context<'c>, term: &'c str) -> Result<(), Error> {
        match self.begun.get(term) {
            Some(true) => return Ok(()),
            Some(false) => return Err(Error::BadContext(term.to_owned())),
            None => self.begun.insert(term, false),
        };
        let previous = context.terms.remove(term);
        let mut meaning = self.meaning(context, term)?;
        if let Some(previous) = previous.filter(|term| term.is_protected && !self.may_override) {
            if !previous.means_the_same(&meaning) {
                return Err(Error::Conflict(term.to_owned()));
            }
            meaning.is_protected = true;
        }
        context.terms.insert(term, Arc::new(meaning));
        self.begun.insert(term, true);
        Ok(())
    }

    fn meaning(&mut self, context: &mut Context<'c>, term: &'c str) -> Result<Term<'c>, Error> {
        let bad = || Error::BadContext(term.to_owned());
        let is_protected = self.definitions.get("@protected") == Some(&Value::Bool(true));
        let mut meaning = Term { is_protected, ..Term::default() };
        let value = self.definitions.get(term).ok_or_else(bad)?;
        let id = match value {
            Value::Null => return Ok(meaning),
            Value::String(id) => Some(id.as_str()),
            Value::Object(members) => {
                let mut id = None;
                for (key, value) in members {
                    match (key.as_str(), value) {
                        ("@id", Value::String(text)) => id = Some(text.as_str()),
                        ("@type", Value::String(text)) => {
                            let iri = self.expand(context, text)?.filter(|iri| is_coercion(iri));
                            meaning.coercion = Some(iri.ok_or_else(bad)?);
                        }
                        ("@container", names) => {
                            let known = |name: &Value| name == "@graph" || name == "@set";
                            meaning.holds_graphs = many(names).contains(&Value::from("@graph"));
                            many(names).iter().all(known).then_some(()).ok_or_else(bad)?;
                        }
                        ("@context", Value::Null | Value::Object(_)) => {
                            meaning.context = Some(value);
                        }
                        ("@protected", Value::Bool(protects)) => meaning.is_protected = *protects,
                        _ => return Err(bad()),
                    }
                }
                id
            }
            _ => return Err(bad()),
        };
        let iri = match id {
            Some(id) if id != term => self.expand(context, id)?,
            _ if split_compact(term).is_some() => self.expand(context, term)?,
            _ => context.vocabulary.map(|vocabulary| vocabulary.to_owned() + term),
        };
        let iri = iri.filter(|iri| is_keyword(iri) || is_iri(iri)).ok_or_else(bad)?;
        let is_simple = value.is_string() && !term.contains([':', '/']);
        meaning.is_prefix = is_simple && iri.ends_with([':', '/', '?', '#', '[', ']', '@']);
        meaning.iri = Some(iri);
        Ok(meaning)
    }

    /// IRI expansion while terms are being defined: those that the text uses come first.
    fn expand(
        &mut self,
        context: &mut Context<'c>,
        text: &'c str,
    ) -> Result<Option<String>, Error> {
        let prefix =
            || split_compact(text).and_then(|(prefix, _)| self.definitions.get_key_value(prefix));
        let used = self.definitions.get_key_value(text).or_else(prefix);
        if let Some((used, _)) = used {
            // A term may be spelt with its own prefix, as `"a:b": {"@id": "a:b"}`.
            if !(used == text && self.begun.get(used.as_str()) == Some(&false)) {
                self.define(context, used)?;
            }
        }
        Ok(context.iri(text, true))
    }
}

fn is_coercion(iri: &str) -> bool {
    matches!(iri, "@id" | "@vocab" | "@json" | "@none") || is_iri(iri)
}

pub(super) fn is_keyword(text: &str) -> bool {
    const KEYWORDS: &str = "@base @container @context @default @direction @embed @graph @id \
        @import @included @index @json @language @list @nest @none @prefix @propagate @protected \
        @reverse @set @type @value @vocab";
    text.starts_with('@') && KEYWORDS.split(' ').any(|keyword| keyword == text)
}

pub(super) fn looks_like_keyword(text: &str) -> bool {
    text.strip_prefix('@')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphabetic()))
}

/// Splits `prefix:rest`, unless it is a blank node or has an authority, which no prefix touches.
fn split_compact(text: &str) -> Option<(&str, &str)> {
    let (prefix, rest) = text.split_once(':')?;
    (!prefix.is_empty() && prefix != "_" && !rest.starts_with("//")).then_some((prefix, rest))
}

/// Whether a text is an absolute IRI that can stand between `<` and `>` as it is.
pub(crate) fn is_iri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    let letter = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
    let body = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let barred = |c: char| {
        c <= ' ' || matches!(c, '<' | '>' | '"' | '{' | '}' | '|' | '^' | '`' | '\\' | '\u{7f}')
    };
    letter && scheme.chars().all(body) && !rest.contains(barred)
}
