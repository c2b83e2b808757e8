//! What somebody takes along when they move: who they are called, whom they know, and whom they do not want to.
//!
//! A home packs it for its people and seals it, so that nobody reads it but who has the words by which they come
//! back (`specs/identity.md`, "Moving"). Whoever unpacks it believes nothing of it: it is what somebody brings, and
//! says at most what they could have said by themselves.
//!
//! ```
//! use wayside_identity::{luggage::{Known, Luggage}, time::Moment};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bob = Known { account: "@bob:b.example".to_owned(), did: None, name: Some("Bob".to_owned()) };
//! let packed = Luggage {
//!     scid: "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".to_owned(),
//!     account: "@ada:a.example".to_owned(),
//!     packed: Moment(1_000),
//!     name: Some("Ada".to_owned()),
//!     avatar: None,
//!     friends: vec![bob],
//!     blocked: Vec::new(),
//!     credentials: Vec::new(),
//! };
//! assert_eq!(Luggage::read(&packed.told())?, packed);
//! # Ok(()) }
//! ```

use serde_json::{Map, Value, json};
use wayside_specs::{Did, limits};

use crate::time::Moment;

/// What binds a seal to this use (`info` of RFC 9180).
pub const INFO: &[u8] = b"wayside luggage";
/// The version of the format.
const VERSION: u64 = 1;
/// Longest name and account in bytes (Matrix: user ids).
const NAME_BYTES: usize = 255;
/// What is wrong with credentials that are none.
const CREDENTIALS: &str = "credentials is no list of credentials, or too long";
/// Largest description of a body in bytes.
const AVATAR_BYTES: usize = 64 * 1024;

/// What somebody takes along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Luggage {
    /// Whose: what their DID is compared by, wherever they live.
    pub scid: String,
    /// The account that they leave.
    pub account: String,
    /// When it was packed.
    pub packed: Moment,
    /// What they are called.
    pub name: Option<String>,
    /// The body that they wear, as their profile tells it.
    pub avatar: Option<Value>,
    /// Their friends.
    pub friends: Vec<Known>,
    /// Whom they block.
    pub blocked: Vec<Known>,
    /// What they were given.
    pub credentials: Vec<Given>,
}

/// Somebody of whom luggage speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Their account.
    pub account: String,
    /// Their DID, where it is known.
    pub did: Option<String>,
    /// What they are called, where it is known.
    pub name: Option<String>,
}

/// Something that somebody was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The credential.
    pub credential: Value,
    /// Whether everybody is shown it.
    pub shown: bool,
}

/// Why something is no luggage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no luggage: {0}")]
pub struct BadLuggage(&'static str);

impl Luggage {
    /// Reads luggage of whoever brings it. Members that are not known are passed over.
    pub fn read(value: &Value) -> Result<Self, BadLuggage> {
        let object = value.as_object().ok_or(BadLuggage("it is no object"))?;
        if value.to_string().len() > limits::LUGGAGE_BYTES {
            return Err(BadLuggage("it is too large"));
        }
        match object.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            Some(later) if later > VERSION => {
                return Err(BadLuggage("it was packed by a later release of Wayside"));
            }
            _ => return Err(BadLuggage("it says no version")),
        }
        let scid = text(object, "scid")?.ok_or(BadLuggage("it does not say whose it is"))?;
        let account = text(object, "account")?.ok_or(BadLuggage("it names no account"))?;
        let packed = object.get("packed_ms").and_then(Value::as_i64).filter(|ms| *ms >= 0);
        let avatar = object.get("avatar").filter(|it| !it.is_null()).cloned();
        let fits = |it: &Value| it.is_object() && it.to_string().len() <= AVATAR_BYTES;
        if avatar.as_ref().is_some_and(|it| !fits(it)) {
            return Err(BadLuggage("its avatar is no object, or too large"));
        }
        Ok(Self {
            scid,
            account,
            packed: Moment(packed.ok_or(BadLuggage("it does not say when it was packed"))?),
            name: text(object, "name")?,
            avatar,
            friends: known(object, "friends", usize::try_from(limits::FRIENDS).unwrap_or(0))?,
            blocked: known(object, "blocked", limits::BLOCKS)?,
            credentials: credentials(object)?,
        })
    }

    /// It as JSON. What is too much for one piece of luggage is left out, names first, so that it can be read.
    #[must_use]
    pub fn told(&self) -> Value {
        let whole = self.written(Known::told);
        if whole.to_string().len() <= limits::LUGGAGE_BYTES {
            return whole;
        }
        let named = self.written(|it| json!({ "account": it.account, "did": it.did }));
        if named.to_string().len() <= limits::LUGGAGE_BYTES {
            return named;
        }
        let bare = Self { credentials: Vec::new(), ..self.clone() };
        bare.written(|it| json!({ "account": it.account }))
    }

    fn written(&self, one: impl Fn(&Known) -> Value) -> Value {
        let mut told = json!({
            "version": VERSION,
            "scid": self.scid,
            "account": self.account,
            "packed_ms": self.packed.0,
            "friends": self.friends.iter().map(&one).collect::<Vec<_>>(),
            "blocked": self.blocked.iter().map(&one).collect::<Vec<_>>(),
        });
        if !self.credentials.is_empty() {
            let tell = |it: &Given| json!({ "credential": it.credential, "shown": it.shown });
            told["credentials"] = self.credentials.iter().map(tell).collect();
        }
        if let Some(name) = &self.name {
            told["name"] = name.as_str().into();
        }
        if let Some(avatar) = &self.avatar {
            told["avatar"] = avatar.clone();
        }
        told
    }
}

impl Known {
    fn told(&self) -> Value {
        let mut told = json!({ "account": self.account });
        for (field, value) in [("did", &self.did), ("name", &self.name)] {
            if let Some(value) = value {
                told[field] = value.as_str().into();
            }
        }
        told
    }
}

/// A text of a bounded length, where there is one.
fn text(object: &Map<String, Value>, name: &str) -> Result<Option<String>, BadLuggage> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= NAME_BYTES => Ok(Some(text.clone())),
        Some(_) => Err(BadLuggage("a name in it is no text, or too long")),
    }
}

/// The credentials in it, where there are some.
fn credentials(object: &Map<String, Value>) -> Result<Vec<Given>, BadLuggage> {
    let wrong = BadLuggage(CREDENTIALS);
    let list = match object.get("credentials") {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(wrong),
    };
    let most = usize::try_from(limits::HELD).unwrap_or(0);
    if list.len() > most {
        return Err(wrong);
    }
    let read = |it: &Value| {
        let credential = it.get("credential").filter(|it| it.is_object())?;
        let shown = it.get("shown").and_then(Value::as_bool)?;
        let fits = credential.to_string().len() <= limits::HELD_BYTES;
        fits.then(|| Given { credential: credential.clone(), shown })
    };
    list.iter().map(|it| read(it).ok_or(wrong)).collect()
}

fn known(object: &Map<String, Value>, name: &str, most: usize) -> Result<Vec<Known>, BadLuggage> {
    let list = match object.get(name) {
        None => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= most => list,
        Some(_) => return Err(BadLuggage("friends or blocked is no list, or too long")),
    };
    let read = |one: &Value| {
        let one = one.as_object().ok_or(BadLuggage("one of those it knows is no object"))?;
        let account =
            text(one, "account")?.ok_or(BadLuggage("one of those it knows has no account"))?;
        let did = match one.get("did") {
            None | Some(Value::Null) => None,
            Some(Value::String(did)) if did.parse::<Did>().is_ok() => Some(did.clone()),
            Some(_) => return Err(BadLuggage("a did in it is none")),
        };
        Ok(Known { account, did, name: text(one, "name")? })
    };
    list.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> Luggage {
        let one = |number: usize| Known {
            account: format!("@friend-{number}:b.example"),
            did: Some(format!("did:web:b.example:people:friend-{number}")),
            name: Some("A friend of many years".to_owned()),
        };
        Luggage {
            scid: "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG".to_owned(),
            account: "@ada:a.example".to_owned(),
            packed: Moment(1_000),
            name: Some("Ada".to_owned()),
            avatar: Some(json!({ "variant": 3 })),
            friends: (0..1_000).map(one).collect(),
            blocked: (0..3).map(one).collect(),
            credentials: vec![Given { credential: json!({ "type": ["Badge"] }), shown: true }],
        }
    }

    #[test]
    fn luggage_is_read_as_it_was_packed() {
        assert_eq!(Luggage::read(&packed().told()), Ok(packed()));
        let mut heavy = packed();
        heavy.friends.iter_mut().for_each(|it| it.name = Some("n".repeat(255)));
        heavy
            .friends
            .iter_mut()
            .for_each(|it| it.did = Some(format!("did:web:{}", "d".repeat(240))));
        let read = Luggage::read(&heavy.told()).unwrap();
        assert_eq!(read.friends.len(), 1_000, "nobody is left behind for want of room");
        assert!(read.friends.iter().all(|it| it.name.is_none() && it.did.is_some()));
    }

    #[test]
    fn what_is_no_luggage_is_refused() {
        let with = |name: &str, value: Value| {
            let mut told = packed().told();
            told[name] = value;
            told
        };
        let many = |most: usize| Value::from(vec![json!({ "account": "@a:b" }); most]);
        for (bad, why) in [
            (json!([]), "it is no object"),
            (json!({}), "it says no version"),
            (with("version", json!(0)), "it says no version"),
            (with("version", json!(2)), "it was packed by a later release of Wayside"),
            (with("scid", Value::Null), "it does not say whose it is"),
            (with("account", Value::Null), "it names no account"),
            (with("account", json!(7)), "a name in it is no text, or too long"),
            (with("name", json!("n".repeat(256))), "a name in it is no text, or too long"),
            (with("packed_ms", json!(-1)), "it does not say when it was packed"),
            (with("avatar", json!("x")), "its avatar is no object, or too large"),
            (
                with("avatar", json!({ "x": "y".repeat(70_000) })),
                "its avatar is no object, or too large",
            ),
            (with("friends", many(1_001)), "friends or blocked is no list, or too long"),
            (with("blocked", many(2_001)), "friends or blocked is no list, or too long"),
            (with("friends", json!({})), "friends or blocked is no list, or too long"),
            (with("friends", json!([7])), "one of those it knows is no object"),
            (with("friends", json!([{}])), "one of those it knows has no account"),
            (with("friends", json!([{ "account": "@a:b", "did": "x" }])), "a did in it is none"),
            (with("credentials", json!({})), CREDENTIALS),
            (with("credentials", json!([{ "shown": true }])), CREDENTIALS),
            (with("credentials", json!([{ "credential": {} }])), CREDENTIALS),
            (with("credentials", json!([{ "credential": "x", "shown": true }])), CREDENTIALS),
            (
                with("credentials", json!(vec![json!({ "credential": {}, "shown": true }); 65])),
                CREDENTIALS,
            ),
            (
                with(
                    "credentials",
                    json!([{ "credential": { "x": "y".repeat(20_000) }, "shown": true }]),
                ),
                CREDENTIALS,
            ),
            (with("more", json!("x".repeat(600_000))), "it is too large"),
        ] {
            assert_eq!(Luggage::read(&bad), Err(BadLuggage(why)));
        }
        assert!(Luggage::read(&with("more", json!("for a later release"))).is_ok());
    }
}
