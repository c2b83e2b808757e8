//! The vectors of specs/vectors/social.json, which were made without this code.

use serde_json::{Value, json};

use super::{section_of, text};
use crate::{
    blocks::Blocks,
    credential::Credential,
    friend::{Friendship, With},
    key::SigningKey,
    time,
};

const VECTORS: &str = include_str!("../../../specs/vectors/social.json");

fn vectors(section: &str) -> Vec<Value> {
    section_of(VECTORS, section)
}

fn texts<'v>(vector: &'v Value, member: &str) -> Vec<&'v str> {
    let list = vector[member].as_array().unwrap_or_else(|| panic!("{member} of {vector}"));
    list.iter().map(|one| one.as_str().unwrap()).collect()
}

#[test]
fn vectors_of_friendships() {
    for vector in vectors("friends") {
        let name = text(&vector, "name");
        let with = match vector["with"].get("person") {
            Some(did) => With::Person(did.as_str().unwrap().parse().unwrap()),
            None => With::Account(text(&vector["with"], "account").to_owned()),
        };
        let friendship = Friendship {
            from: text(&vector, "from").parse().unwrap(),
            account: text(&vector, "account").to_owned(),
            with,
        };
        let seed = hex::decode(text(&vector, "seed")).unwrap();
        let key = SigningKey::from_seed(seed.try_into().unwrap());
        let since = time::read(text(&vector, "since")).unwrap();
        let method = format!("{}#{}", friendship.from, key.public().to_multikey());
        let record = friendship.signed(since, &method, &key);
        assert_eq!(record, vector["record"], "{name}");
        let read = Friendship::read(&Credential::read(&vector["record"]).unwrap());
        assert_eq!(read, Some(friendship), "{name}");
    }
    for vector in vectors("no_friends") {
        let credential = Credential::read(&vector["record"]).unwrap();
        assert_eq!(Friendship::read(&credential), None, "{}", vector["name"]);
    }
}

#[test]
fn vectors_of_blocks() {
    for vector in vectors("blocks") {
        let blocks = Blocks::read(&vector["told"]).unwrap();
        let mut made = Blocks::new(*blocks.salt());
        for name in texts(&vector, "names") {
            made.add(name);
            assert!(blocks.has(name), "{name} in {}", vector["name"]);
        }
        assert_eq!(made.to_json(), vector["told"], "{}", vector["name"]);
        for name in texts(&vector, "others") {
            assert!(!blocks.has(name), "{name} in {}", vector["name"]);
        }
    }
    for vector in vectors("no_blocks") {
        assert!(Blocks::read(&vector["told"]).is_err(), "{}", vector["name"]);
    }
    assert!(Blocks::read(&json!(null)).is_err());
}
