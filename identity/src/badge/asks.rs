//! What a door asks of whoever comes: one of several credentials, each by an issuer that the door believes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};
use wayside_specs::{Did, Role};

use super::{Age, AgeGroup, AgeSource, Badge, NAME_BYTES, NodeRole, fits, is_id};
use crate::credential::Credential;

/// Most credentials of which one opens a door.
const MOST: usize = 16;
/// The type by which a home says that somebody lives with it.
const HOME: &str = "urn:wayside:HomeMembership";

/// Of what whoever comes has to show one; nobody comes in by asks of which there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asks(Vec<Ask>);

/// A credential that opens a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose word it has to be; that of the node of the door where it is not said.
    pub issuer: Option<Did>,
    /// What it has to say.
    pub wanted: Wanted,
}

/// What a credential has to say to open a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// That they have this badge.
    Badge {
        /// By what its issuer tells it from others.
        id: String,
        /// What people call it.
        name: Option<String>,
    },
    /// That they are at least so old.
    Age {
        /// The youngest group that may come in.
        at_least: Age,
        /// How that may have become known; in any way where none is named.
        sources: Vec<AgeSource>,
    },
    /// That they may do at least so much on the node that says it.
    Role(Role),
    /// That they live with the node that says it.
    Home,
}

/// Why something asks for nothing that can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is asked of whoever comes cannot be read: {0}")]
pub struct BadAsk(&'static str);

impl Asks {
    /// Reads what a door asks for; what it cannot read opens to nobody.
    pub fn read(value: &Value) -> Result<Self, BadAsk> {
        let list = value.as_array().ok_or(BadAsk("it is no list"))?;
        if list.is_empty() || list.len() > MOST {
            return Err(BadAsk("it has to name 1 to 16 credentials"));
        }
        list.iter().map(Ask::read).collect::<Result<_, _>>().map(Self)
    }

    /// Those of a list that an operator wrote.
    #[must_use]
    pub fn of(asks: &[Ask]) -> Self {
        Self(asks.to_vec())
    }

    /// Whether nothing is asked for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All that is asked for, of which one is enough.
    #[must_use]
    pub fn all(&self) -> &[Ask] {
        &self.0
    }

    /// Whether a credential says of somebody what is asked for; `node` is the node of the door. What it says is
    /// worth nothing before it was verified.
    #[must_use]
    pub fn fit(&self, credential: &Credential, whom: &Did, node: &Did) -> bool {
        self.0.iter().any(|ask| ask.fits(credential, whom, node))
    }
}

impl Ask {
    fn fits(&self, credential: &Credential, whom: &Did, node: &Did) -> bool {
        let issuer = self.issuer.as_ref().unwrap_or(node);
        // Whoever gives badges and has moved is who they were.
        let says: Option<Did> = credential.issuer().parse().ok();
        if says.is_none_or(|says| says.subject() != issuer.subject()) {
            return false;
        }
        match &self.wanted {
            Wanted::Badge { id, .. } => {
                Badge::of(credential, whom).is_some_and(|badge| badge.id() == id)
            }
            Wanted::Age { at_least, sources } => AgeGroup::of(credential, whom).is_some_and(|it| {
                it.age >= *at_least && (sources.is_empty() || sources.contains(&it.source))
            }),
            Wanted::Role(at_least) => {
                NodeRole::of(credential, whom).is_some_and(|it| it.role >= *at_least)
            }
            // A home speaks of those who live with it now, and not of whoever has left.
            Wanted::Home => {
                credential.is(HOME) && credential.is_plain() && credential.says_of(whom).is_some()
            }
        }
    }

    fn read(value: &Value) -> Result<Self, BadAsk> {
        let said = value.as_object().ok_or(BadAsk("one of it is no object"))?;
        let issuer = match said.get("issuer") {
            None | Some(Value::Null) => None,
            Some(issuer) => Some(issuer_of(issuer.as_str().unwrap_or_default())?),
        };
        let wanted = match text(said, "type")? {
            "Badge" => {
                let name = said.get("name").filter(|it| !it.is_null());
                let name = name.map(|it| it.as_str().unwrap_or_default());
                wanted_badge(text(said, "badge")?, name)?
            }
            "AgeGroup" => {
                let sources = match said.get("sources") {
                    None | Some(Value::Null) => Vec::new(),
                    Some(list) => {
                        let list = list.as_array().ok_or(BadAsk("sources is no list"))?;
                        if list.len() > AgeSource::ALL.len() {
                            return Err(BadAsk("sources is too long"));
                        }
                        let read = |it: &Value| source(it.as_str().unwrap_or_default());
                        list.iter().map(read).collect::<Result<_, _>>()?
                    }
                };
                Wanted::Age { at_least: age(text(said, "at_least")?)?, sources }
            }
            "NodeRole" => Wanted::Role(role(text(said, "at_least")?)?),
            "HomeMembership" => Wanted::Home,
            _ => return Err(BadAsk("a type in it is not known")),
        };
        Self::checked(issuer, wanted)
    }

    fn checked(issuer: Option<Did>, wanted: Wanted) -> Result<Self, BadAsk> {
        if wanted == Wanted::Home && issuer.is_none() {
            return Err(BadAsk("it does not say whose people it means"));
        }
        Ok(Self { issuer, wanted })
    }

    /// It as JSON, with the issuer that it means at a node.
    #[must_use]
    pub fn told(&self, node: Option<&Did>) -> Value {
        let mut told = match &self.wanted {
            Wanted::Badge { id, name } => json!({ "type": "Badge", "badge": id, "name": name }),
            Wanted::Age { at_least, sources } => {
                let sources: Vec<&str> = sources.iter().map(|it| it.as_str()).collect();
                json!({ "type": "AgeGroup", "at_least": at_least.as_str(), "sources": sources })
            }
            Wanted::Role(role) => json!({ "type": "NodeRole", "at_least": role.as_str() }),
            Wanted::Home => json!({ "type": "HomeMembership" }),
        };
        if let Some(issuer) = self.issuer.as_ref().or(node) {
            told["issuer"] = issuer.as_str().into();
        }
        told
    }
}

/// As an operator writes it: `badge ID`, `age GROUP`, `role ROLE` or `home`, and behind it the DID of whose word it
/// has to be; of an age also how it may have become known.
impl FromStr for Ask {
    type Err = BadAsk;

    fn from_str(text: &str) -> Result<Self, BadAsk> {
        let mut words = text.split_whitespace();
        let kind = words.next().unwrap_or_default();
        let said =
            if kind == "home" { "" } else { words.next().ok_or(BadAsk("a word is missing"))? };
        let mut rest = words.peekable();
        let issuer = rest.next_if(|word| word.starts_with("did:")).map(issuer_of).transpose()?;
        let wanted = match kind {
            "badge" => wanted_badge(said, None)?,
            "age" => Wanted::Age {
                at_least: age(said)?,
                sources: rest.by_ref().map(source).collect::<Result<_, _>>()?,
            },
            "role" => Wanted::Role(role(said)?),
            "home" => Wanted::Home,
            _ => return Err(BadAsk("it begins with badge, age, role or home")),
        };
        if rest.next().is_some() {
            return Err(BadAsk("a word too many, or an issuer that is no DID"));
        }
        Self::checked(issuer, wanted)
    }
}

impl<'de> Deserialize<'de> for Ask {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Wanted::Badge { id, .. } => write!(f, "badge {id}")?,
            Wanted::Age { at_least, .. } => write!(f, "age {}", at_least.as_str())?,
            Wanted::Role(role) => write!(f, "role {role}")?,
            Wanted::Home => f.write_str("home")?,
        }
        if let Some(issuer) = &self.issuer {
            write!(f, " {issuer}")?;
        }
        if let Wanted::Age { sources, .. } = &self.wanted {
            sources.iter().try_for_each(|source| write!(f, " {}", source.as_str()))?;
        }
        Ok(())
    }
}

fn text<'m>(said: &'m Map<String, Value>, name: &str) -> Result<&'m str, BadAsk> {
    said.get(name).and_then(Value::as_str).ok_or(BadAsk("a member is missing or no text"))
}

fn issuer_of(text: &str) -> Result<Did, BadAsk> {
    text.parse().map_err(|_| BadAsk("an issuer in it is no DID"))
}

fn wanted_badge(id: &str, name: Option<&str>) -> Result<Wanted, BadAsk> {
    if !is_id(id) {
        return Err(BadAsk("the id of a badge in it is none"));
    }
    if name.is_some_and(|name| !fits(name, NAME_BYTES)) {
        return Err(BadAsk("the name of a badge in it is none"));
    }
    Ok(Wanted::Badge { id: id.to_owned(), name: name.map(str::to_owned) })
}

fn age(text: &str) -> Result<Age, BadAsk> {
    Age::named(text).ok_or(BadAsk("an age group in it is not known"))
}

fn source(text: &str) -> Result<AgeSource, BadAsk> {
    AgeSource::named(text).ok_or(BadAsk("a source of an age in it is not known"))
}

fn role(text: &str) -> Result<Role, BadAsk> {
    text.parse().map_err(|_| BadAsk("a role in it is not known"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{credential::Draft, key::SigningKey, time::Moment};

    const NOW: Moment = Moment(1_700_000_000_000);
    const SCID: &str = "QmQq6Kg4ZZ1p49znzxnWmes4LkkWgMWLrnrfPre8UD56bz";

    fn did(text: &str) -> Did {
        text.parse().unwrap()
    }

    fn node() -> Did {
        did("did:web:a.example")
    }

    fn ada(home: &str) -> Did {
        did(&format!("did:webvh:{SCID}:{home}:people:ada"))
    }

    fn signed(draft: &Draft<'_>) -> Credential {
        let key = SigningKey::from_seed([1; 32]);
        Credential::read(&draft.signed("did:web:a.example#word", &key)).unwrap()
    }

    fn badge(issuer: &Did, whom: &Did) -> Credential {
        let badge = Badge::new("first-light", "First light", None, None).unwrap();
        signed(&badge.draft(issuer, whom, NOW, None))
    }

    fn asks(value: &Value) -> Asks {
        Asks::read(value).unwrap()
    }

    #[test]
    fn a_door_opens_to_what_it_asks_for_alone() {
        let whom = ada("a.example");
        let has = badge(&node(), &whom);
        let own =
            asks(&json!([{ "type": "Badge", "badge": "first-light", "name": "First light" }]));
        assert!(own.fit(&has, &whom, &node()));
        assert!(own.fit(&has, &ada("c.example"), &node()), "they have moved");
        assert!(!own.fit(&has, &whom, &did("did:web:b.example")), "it is another node's word");
        assert!(!own.fit(&has, &did("did:web:a.example:people:bob"), &node()), "it is of another");
        let of_b =
            json!([{ "type": "Badge", "badge": "first-light", "issuer": "did:web:b.example" }]);
        assert!(!asks(&of_b).fit(&has, &whom, &node()));
        let other = json!([{ "type": "Badge", "badge": "last-light" }]);
        assert!(!asks(&other).fit(&has, &whom, &node()));
        let two = json!([other[0], { "type": "Badge", "badge": "first-light" }]);
        assert!(asks(&two).fit(&has, &whom, &node()), "one is enough");
        assert!(!Asks::default().fit(&has, &whom, &node()));
    }

    #[test]
    fn ages_and_roles_are_enough_from_where_it_is_said() {
        let whom = ada("a.example");
        let age = AgeGroup { age: Age::From16, source: AgeSource::Estimated };
        let age = signed(&age.draft(&node(), &whom, NOW, NOW.plus_ms(1_000)));
        for (ask, opens) in [
            (json!({ "type": "AgeGroup", "at_least": "13to15" }), true),
            (
                json!({ "type": "AgeGroup", "at_least": "16to17", "sources": ["estimated", "verified"] }),
                true,
            ),
            (json!({ "type": "AgeGroup", "at_least": "16to17", "sources": ["verified"] }), false),
            (json!({ "type": "AgeGroup", "at_least": "18plus" }), false),
            (json!({ "type": "NodeRole", "at_least": "guest" }), false),
        ] {
            assert_eq!(asks(&json!([ask])).fit(&age, &whom, &node()), opens, "{ask}");
        }
        let role = NodeRole { role: Role::Moderator, node: node() };
        let role = signed(&role.draft(&whom, NOW, None));
        for (ask, opens) in [
            (json!({ "type": "NodeRole", "at_least": "member" }), true),
            (
                json!({ "type": "NodeRole", "at_least": "moderator", "issuer": "did:web:a.example" }),
                true,
            ),
            (json!({ "type": "NodeRole", "at_least": "operator" }), false),
            (
                json!({ "type": "NodeRole", "at_least": "member", "issuer": "did:web:b.example" }),
                false,
            ),
        ] {
            assert_eq!(asks(&json!([ask])).fit(&role, &whom, &node()), opens, "{ask}");
        }
    }

    #[test]
    fn what_asks_for_nothing_that_can_be_shown_is_refused() {
        let bad = [
            json!(null),
            json!({}),
            json!([]),
            json!([1]),
            json!([{}]),
            json!([{ "type": "Badge" }]),
            json!([{ "type": "Badge", "badge": "no id" }]),
            json!([{ "type": "Badge", "badge": "x", "name": "" }]),
            json!([{ "type": "Badge", "badge": "x", "name": 1 }]),
            json!([{ "type": "Badge", "badge": "x", "issuer": "b.example" }]),
            json!([{ "type": "Badge", "badge": "x", "issuer": 1 }]),
            json!([{ "type": "AgeGroup", "at_least": "21plus" }]),
            json!([{ "type": "AgeGroup", "at_least": "18plus", "sources": ["guessed"] }]),
            json!([{ "type": "AgeGroup", "at_least": "18plus", "sources": "verified" }]),
            json!([{ "type": "AgeGroup", "at_least": "18plus", "sources": vec!["verified"; 5] }]),
            json!([{ "type": "NodeRole", "at_least": "king" }]),
            json!([{ "type": "HomeMembership" }]),
            json!([{ "type": "Friendship" }]),
            json!(vec![json!({ "type": "Badge", "badge": "x" }); MOST + 1]),
        ];
        for value in bad {
            assert!(Asks::read(&value).is_err(), "{value}");
        }
    }

    #[test]
    fn what_an_operator_writes_is_read_back() {
        for text in [
            "badge first-light",
            "badge first-light did:web:b.example",
            "age 18plus did:web:b.example verified estimated",
            "age 13to15",
            "role moderator did:web:b.example",
            "home did:web:b.example",
        ] {
            let ask: Ask = text.parse().unwrap();
            assert_eq!(ask.to_string(), text);
            assert_eq!(Asks::read(&json!([ask.told(None)])).unwrap().all(), [ask]);
        }
        for text in [
            "",
            "badge",
            "home",
            "home b.example",
            "king x",
            "age 18plus always",
            "badge x y",
            "role king",
        ] {
            assert!(text.parse::<Ask>().is_err(), "{text}");
        }
    }
}
