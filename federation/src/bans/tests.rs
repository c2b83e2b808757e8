//! Rules that say what they say, and those who would rather they took for ever.

use bolero::check;
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, user_id};
use serde_json::{json, value::to_raw_value};

use super::*;

const USER: &str = "m.policy.rule.user";
const SERVER: &str = "m.policy.rule.server";
const ROOM: &str = "m.policy.rule.room";

fn ban(entity: &str) -> Value {
    json!({ "entity": entity, "recommendation": "m.ban", "reason": "spam" })
}

fn put(rules: &mut Rules, kind: &str, key: &str, content: &Value) {
    rules.put(kind, key, &to_raw_value(content).unwrap()).unwrap();
}

fn of(kind: &str, entities: &[&str]) -> Rules {
    let mut rules = Rules::default();
    for entity in entities {
        put(&mut rules, kind, entity, &ban(entity));
    }
    rules
}

fn covers_user(rules: &Rules, user_id: &str, names: &[&str]) -> Option<String> {
    let user_id = OwnedUserId::try_from(user_id).unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    rules.judge_user(&user_id, &names).map(|rule| rule.entity.clone())
}

fn covers_server(rules: &Rules, server: &str) -> bool {
    rules.judge_server(&OwnedServerName::try_from(server).unwrap()).is_some()
}

/// What a pattern covers, by trying every way to read it.
fn naive(glob: &[char], name: &[char]) -> bool {
    match (glob.split_first(), name.split_first()) {
        (None, _) => name.is_empty(),
        (Some(('*', rest)), None) => naive(rest, name),
        (Some(('*', rest)), Some((_, shorter))) => naive(rest, name) || naive(glob, shorter),
        (Some(('?', rest)), Some((_, shorter))) => naive(rest, shorter),
        (Some((letter, rest)), Some((first, shorter))) => letter == first && naive(rest, shorter),
        (Some(_), None) => false,
    }
}

fn covers(glob: &str, name: &str) -> bool {
    Name::new(name).held_against(glob, &mut Vec::new()).0
}

#[test]
fn patterns_cover_whole_names() {
    let long = "a".repeat(200);
    for (glob, name, covered) in [
        ("*", "", true),
        ("**", "", true),
        ("", "", true),
        ("", "a", false),
        ("?", "", false),
        ("?", "é", true),
        ("??", "é", false),
        ("@spam*:*.test", "@spam7:a.test", true),
        ("@spam*:*.test", "@spam:test", false),
        ("*.test", "a.test.evil", false),
        ("a*b*c", "aXbYbZc", true),
        ("a*b*c", "aXbYbZ", false),
        ("a?c", "abc", true),
        ("A", "a", false),
        ("[a]", "a", false),
        ("\\*", "*", false),
        (&long, &long, true),
        (&long[..199], &long, false),
        (&format!("{}*", &long[..64]), &long[..64], true),
        (&format!("{}?", &long[..63]), &long[..64], true),
        (&format!("{}?", &long[..64]), &long[..64], false),
    ] {
        assert_eq!(covers(glob, name), covered, "{glob} {name}");
    }
}

#[test]
fn patterns_cover_what_a_naive_reader_finds() {
    check!().with_type::<(Vec<u8>, Vec<u8>, u8)>().for_each(|(glob, name, stretch)| {
        let glob: Vec<char> =
            glob.iter().take(9).map(|at| ['*', '?', 'a', 'b'][usize::from(at % 4)]).collect();
        // Names that reach over the end of a word of places.
        let start = std::iter::repeat_n('a', usize::from(*stretch) % 130);
        let rest = name.iter().take(9).map(|at| ['a', 'b'][usize::from(at % 2)]);
        let rest: Vec<char> = rest.collect();
        for name in [rest.clone(), start.chain(rest).collect()] {
            let texts = [&glob, &name].map(|letters| letters.iter().collect::<String>());
            let [pattern, text] = &texts;
            // The naive one takes too long over many stars.
            let stars = glob.iter().filter(|sign| **sign == '*').count();
            if stars <= 3 || name.len() < 16 {
                assert_eq!(covers(pattern, text), naive(&glob, &name), "{pattern} {text}");
            }
        }
    });
}

#[test]
fn no_pattern_takes_longer_than_its_signs() {
    let name = "a".repeat(255);
    let mut reached = Vec::new();
    for hostile in [
        "a*".repeat(512),
        "*a".repeat(511) + "b",
        "*a?".repeat(341) + "b",
        "*?".repeat(512),
        "?*a*".repeat(256),
        "*".repeat(1_024),
        format!("*{}b*", "a".repeat(254)),
        format!("*{}b", "?a".repeat(120)),
    ] {
        let words = 255 / WORD + 1;
        let (covered, work) = Name::new(&name).held_against(&hostile, &mut reached);
        assert!(work <= hostile.len() * words, "{work} for {hostile:.20}");
        assert_eq!(covered, hostile == "*".repeat(1_024), "{hostile:.20}");
    }
    let hostile = format!("*{}b", "a*".repeat(500));
    let mut rules = Rules::default();
    for number in 0..1_000 {
        put(&mut rules, USER, &number.to_string(), &ban(&hostile));
    }
    let long = format!("@{}:a.test", "a".repeat(240));
    assert_eq!(covers_user(&rules, &long, &[]), None);
}

#[test]
fn rules_cover_people_servers_and_rooms() {
    let rules = of(USER, &["@eve:e.test", "@spam*:*", "e.test"]);
    assert_eq!(covers_user(&rules, "@eve:e.test", &[]).as_deref(), Some("@eve:e.test"));
    assert_eq!(covers_user(&rules, "@spam9:b.test", &[]).as_deref(), Some("@spam*:*"));
    assert_eq!(covers_user(&rules, "@ann:e.test", &[]), None, "a rule of people is of whole ids");
    assert_eq!(covers_user(&rules, "@Eve:e.test", &[]), None, "letters are what they are");
    assert!(!covers_server(&rules, "e.test"));

    let rules = of(SERVER, &["Evil.test", "*.Bad.test", "odd.test:8449", "[::1]"]);
    for server in ["evil.test", "EVIL.test", "evil.test:8448", "a.bad.test", "A.BAD.TEST:1"] {
        assert!(covers_server(&rules, server), "{server}");
    }
    assert!(covers_server(&rules, "odd.test:8449") && covers_server(&rules, "[::1]:8448"));
    for server in ["evil.test.com", "bad.test", "odd.test", "odd.test:8448", "an.evil.test"] {
        assert!(!covers_server(&rules, server), "{server}");
    }
    assert_eq!(covers_user(&rules, "@ann:evil.test:8448", &[]).as_deref(), Some("Evil.test"));
    assert_eq!(covers_user(&rules, "@ann:a.test", &[]), None);

    let rules = of(ROOM, &["!bad:a.test", "!*:e.test"]);
    let room = |id: &str| rules.judge_room(&OwnedRoomId::try_from(id).unwrap()).is_some();
    assert!(room("!bad:a.test") && room("!any:e.test") && !room("!good:a.test"));
    // What covers a person more closely is named first.
    let mut both = of(SERVER, &["e.test"]);
    put(&mut both, USER, "glob", &ban("@*:e.test"));
    assert_eq!(covers_user(&both, "@eve:e.test", &[]).as_deref(), Some("@*:e.test"));
    put(&mut both, USER, "person", &ban("did:web:e.test"));
    let by_name = covers_user(&both, "@eve:e.test", &["did:web:e.test"]);
    assert_eq!(by_name.as_deref(), Some("did:web:e.test"));
}

#[test]
fn rules_cover_persons_wherever_they_live() {
    let here = "did:webvh:QmX:a.test:people:eve";
    let rules = of(USER, &[here, "did:web:f.test", "did:web:*", "did:*", "did:webvh:QmY?"]);
    for names in [
        &[here][..],
        &["did:webvh:QmX"],
        &["did:webvh:QmX:c.test"],
        &["@eve:a.test", "did:web:other.test", "did:web:f.test"],
    ] {
        assert!(covers_user(&rules, "@anybody:b.test", names).is_some(), "{names:?}");
    }
    for names in [
        &[][..],
        &["did:webvh:QmXX:a.test:people:eve"],
        &["did:web:f.test:people:eve"],
        &["did:web:F.test"],
        &["did:webvh:QmYZ"],
        &["no did", ""],
    ] {
        assert_eq!(covers_user(&rules, "@anybody:b.test", names), None, "{names:?}");
    }
    // A person is not a server.
    assert!(!covers_server(&of(SERVER, &[here]), "a.test"));
}

#[test]
fn rules_are_replaced_and_taken_back() {
    let mut rules = Rules::default();
    let banned = |rules: &Rules, name: &str| covers_user(rules, &format!("@{name}:a.test"), &[]);
    put(&mut rules, USER, "one", &ban("@eve:a.test"));
    put(&mut rules, USER, "two", &ban("@eve:a.test"));
    put(&mut rules, USER, "one", &ban("@b*:a.test"));
    assert!(banned(&rules, "eve").is_some() && banned(&rules, "bob").is_some());
    put(&mut rules, USER, "two", &json!({}));
    assert!(banned(&rules, "eve").is_none());
    put(&mut rules, USER, "one", &ban("@mallory:a.test"));
    assert!(banned(&rules, "bob").is_none() && banned(&rules, "mallory").is_some());
    // The same key of another kind is another rule.
    put(&mut rules, SERVER, "one", &json!({}));
    assert!(banned(&rules, "mallory").is_some());
    for none in [
        json!([]),
        json!(null),
        json!({ "entity": "@mallory:a.test" }),
        json!({ "recommendation": "m.ban" }),
        json!({ "entity": "@mallory:a.test", "recommendation": "m.praise" }),
        json!({ "entity": "@mallory:a.test", "recommendation": ["m.ban"] }),
        json!({ "entity": ["@mallory:a.test"], "recommendation": "m.ban" }),
        ban(""),
        ban(&"*".repeat(ENTITY_BYTES + 1)),
    ] {
        put(&mut rules, USER, "one", &ban("@mallory:a.test"));
        assert!(banned(&rules, "mallory").is_some());
        put(&mut rules, USER, "one", &none);
        assert_eq!(banned(&rules, "mallory"), None, "{none}");
    }
    put(&mut rules, USER, "long", &ban(&"*".repeat(ENTITY_BYTES)));
    assert!(banned(&rules, "anybody").is_some());
    put(&mut rules, "m.room.topic", "long", &json!({}));
    put(&mut rules, "m.policy.rule", "long", &ban("@eve:a.test"));
    assert!(banned(&rules, "anybody").is_some());
    put(&mut rules, USER, "long", &json!({}));
    assert!(rules.users.exact.is_empty() && rules.users.globs.is_empty());
}

#[test]
fn newer_types_of_rules_hide_older_ones() {
    let [new, old, oldest] = [USER, "m.room.rule.user", "org.matrix.mjolnir.rule.user"];
    let eve = user_id!("@eve:a.test");
    let legacy = json!({ "entity": "@eve:a.test", "recommendation": "org.matrix.mjolnir.ban" });
    for (said, banned) in [
        (vec![(old, legacy.clone())], true),
        (vec![(oldest, legacy.clone())], true),
        (vec![(oldest, legacy.clone()), (oldest, json!({}))], false),
        (vec![(new, json!({})), (oldest, legacy.clone())], false),
        (vec![(oldest, legacy.clone()), (new, json!({}))], false),
        (vec![(old, json!({})), (oldest, legacy.clone())], false),
        (vec![(oldest, json!({})), (old, legacy.clone())], true),
        (vec![(new, ban("@eve:a.test")), (old, json!({}))], true),
        (vec![(old, json!({})), (new, ban("@eve:a.test"))], true),
        (vec![(new, ban("@bob:a.test")), (old, legacy.clone())], false),
    ] {
        let mut rules = Rules::default();
        for (kind, content) in &said {
            put(&mut rules, kind, "key", content);
        }
        assert_eq!(rules.judge_user(eve, &[]).is_some(), banned, "{said:?}");
    }
    for kind in KINDS {
        let mut rules = Rules::default();
        put(&mut rules, kind, "key", &ban("*"));
        let server = covers_server(&rules, "a.test");
        let room = rules.judge_room(&OwnedRoomId::try_from("!a:a.test").unwrap()).is_some();
        assert_eq!((server, room), (kind.ends_with("server"), kind.ends_with("room")), "{kind}");
        assert_eq!(rules.judge_user(eve, &[]).is_some(), !kind.ends_with("room"), "{kind}");
    }
}

#[test]
fn the_answer_hangs_on_no_order() {
    check!().with_type::<Vec<(u8, u8, u8)>>().for_each(|puts| {
        // Of one type and key the last one counts: so each is put once.
        let mut seen = BTreeSet::new();
        let mut puts = puts.clone();
        puts.retain(|(kind, key, _)| seen.insert((kind % 3, key % 4)));
        let built = |puts: &mut dyn Iterator<Item = &(u8, u8, u8)>| {
            let mut rules = Rules::default();
            for (kind, key, content) in puts {
                let content = match content % 4 {
                    0 => json!({}),
                    1 => ban("@eve:a.test"),
                    2 => ban("@e*:a.test"),
                    _ => ban("did:web:e.test"),
                };
                put(&mut rules, KINDS[usize::from(kind % 3)], &(key % 4).to_string(), &content);
            }
            covers_user(&rules, "@eve:a.test", &["did:web:e.test"])
        };
        assert_eq!(built(&mut puts.iter()), built(&mut puts.iter().rev()));
    });
}

#[test]
fn reasons_are_short_and_can_be_shown() {
    let reason = |reason: Value| {
        let mut rules = Rules::default();
        let mut content = ban("@eve:a.test");
        content["reason"] = reason;
        put(&mut rules, USER, "key", &content);
        rules.judge_user(user_id!("@eve:a.test"), &[]).unwrap().reason.clone()
    };
    assert_eq!(reason(json!("ads\u{1b}[2J\n\u{0}\u{85}")).as_deref(), Some("ads[2J"));
    for none in [json!(null), json!(7), json!(""), json!(" \n "), json!(["ads"])] {
        assert_eq!(reason(none.clone()), None, "{none}");
    }
    assert_eq!(reason(json!("x".repeat(513))).unwrap().len(), 512);
    assert_eq!(reason(json!("é".repeat(300))).unwrap().len(), 512);
    assert_eq!(reason(json!(format!("x{}", "é".repeat(300)))).unwrap().len(), 511);
}

#[test]
fn a_room_has_so_many_rules_and_no_more() {
    let mut rules = Rules::default();
    let contents = [ban("@eve:a.test"), json!({})].map(|it| to_raw_value(&it).unwrap());
    let [banned, none] = &contents;
    for number in 0..MOST {
        rules.put([USER, SERVER][number % 2], &number.to_string(), banned).unwrap();
    }
    assert_eq!(rules.put(USER, "beyond", banned), Err(Full));
    assert_eq!(rules.put(ROOM, "beyond", banned), Err(Full));
    assert_eq!(rules.put(USER, "beyond", none), Ok(()));
    assert_eq!(rules.put(USER, "0", none), Ok(()), "what is there can be changed");
    assert_eq!(rules.put(USER, "0", banned), Ok(()));
    // Many rules of one name are not slow either.
    for number in 0..MOST {
        rules.put([USER, SERVER][number % 2], &number.to_string(), none).unwrap();
    }
    assert_eq!(rules.judge_user(user_id!("@eve:a.test"), &[]), None);
}
