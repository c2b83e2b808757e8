//! Resolution against stories that we tell, and against ruma's full algorithm on random rooms.

use std::collections::HashMap;

use ruma::OwnedEventId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    testing::{Room, draft, key, user},
    version::RoomVersion,
};

/// A story of `vectors/resolve/*.json`.
#[derive(Deserialize)]
struct Story {
    versions: Vec<String>,
    /// More content for the create event.
    #[serde(default)]
    create: Value,
    events: Vec<Told>,
    /// The events whose states are resolved.
    heads: Vec<String>,
    /// Per `type|state key` the event that wins; `null` for no entry.
    expect: HashMap<String, Option<String>>,
    /// What differs in some versions.
    #[serde(default)]
    expect_in: HashMap<String, HashMap<String, Option<String>>>,
}

#[derive(Deserialize)]
struct Told {
    name: String,
    after: Vec<String>,
    sender: String,
    #[serde(rename = "type")]
    kind: String,
    state_key: Option<String>,
    content: Value,
    ts: u64,
}

#[test]
fn the_stories_end_as_told() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/resolve");
    let mut told = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let story: Story = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        for version in &story.versions {
            tell(&story, RoomVersion::parse(version).unwrap(), &path.display().to_string());
            told += 1;
        }
    }
    assert!(told >= 20, "only {told} stories were found");
}

fn tell(story: &Story, version: RoomVersion, name: &str) {
    let more = if story.create.is_null() { json!({}) } else { story.create.clone() };
    let (mut room, create) = Room::created(version, &more);
    let mut names = HashMap::from([("create".to_owned(), create)]);
    for told in &story.events {
        let prev: Vec<OwnedEventId> = told.after.iter().map(|name| names[name].clone()).collect();
        let state_key = told.state_key.as_deref();
        let mut content = told.content.clone();
        if version == RoomVersion::V12
            && let Some(users) = content.get_mut("users").and_then(Value::as_object_mut)
        {
            users.remove(user("alice").as_str());
        }
        let draft = draft(&told.sender, &told.kind, state_key, &content, told.ts);
        let id = room.send(&draft, &prev);
        let id = id.unwrap_or_else(|error| panic!("{name}, {}: {error}", told.name));
        names.insert(told.name.clone(), id);
    }
    let heads: Vec<OwnedEventId> = story.heads.iter().map(|name| names[name].clone()).collect();
    let (state, _) = room.resolve_reduced(&heads);
    assert_eq!(state, room.resolve_fully(&heads), "{name} in {version:?}");
    let mut expect = story.expect.clone();
    expect.extend(story.expect_in.get(version.as_str()).cloned().unwrap_or_default());
    for (at, winner) in expect {
        let (kind, state_key) = at.split_once('|').unwrap();
        let found = state.get(&key(kind, state_key));
        let found = found.map(|id| names.iter().find(|(_, known)| *known == id).unwrap().0.clone());
        assert_eq!(found, winner, "{name} in {version:?}: {at}");
    }
}

/// A small linear congruential generator: the same rooms on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % sides as u64).unwrap()
    }
}

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "erin"];

#[test]
fn reduced_equals_full_in_random_rooms() {
    let (mut conflicts, mut most_rounds) = (0, 0);
    for version in RoomVersion::ALL {
        for seed in 0..40 {
            let mut dice = Dice(seed * 7_919 + 1);
            let (room, ids) = random_room(version, &mut dice, 60);
            for _ in 0..20 {
                let heads: Vec<OwnedEventId> =
                    (0..2 + dice.roll(2)).map(|_| ids[dice.roll(ids.len())].clone()).collect();
                let (reduced, rounds) = room.resolve_reduced(&heads);
                assert_eq!(reduced, room.resolve_fully(&heads), "seed {seed} in {version:?}");
                conflicts += usize::from(rounds > 0);
                most_rounds = most_rounds.max(rounds);
            }
        }
    }
    println!("{conflicts} conflicts, at most {most_rounds} rounds of loading");
    assert!(conflicts > 1_000);
}

/// A room in which people act at random after one or two of the last events.
fn random_room(version: RoomVersion, dice: &mut Dice, steps: usize) -> (Room, Vec<OwnedEventId>) {
    let (mut room, create) = Room::created(version, &json!({}));
    let mut ids = vec![create.clone()];
    let join = json!({ "membership": "join" });
    let alice = user("alice");
    let mut last = create;
    let opening = [
        ("m.room.member", alice.as_str(), join),
        ("m.room.power_levels", "", levels(version, &[("bob", 100), ("carol", 50)])),
        ("m.room.join_rules", "", json!({ "join_rule": "public" })),
    ];
    for (kind, state_key, content) in opening {
        last = room.send(&draft("alice", kind, Some(state_key), &content, 2), &[last]).unwrap();
        ids.push(last.clone());
    }
    for step in 0..steps {
        let recent = &ids[ids.len().saturating_sub(6).max(3)..];
        let mut prev = vec![recent[dice.roll(recent.len())].clone()];
        let other = recent[dice.roll(recent.len())].clone();
        if dice.roll(3) == 0 && other != prev[0] {
            prev.push(other);
        }
        let (sender, kind, state_key, content) = random_act(version, dice);
        // Clocks are wrong now and then.
        let ts = 10 + u64::try_from(step + dice.roll(12)).unwrap();
        if let Ok(id) = room.send(&draft(sender, kind, Some(&state_key), &content, ts), &prev) {
            ids.push(id);
        }
    }
    (room, ids)
}

fn random_act(
    version: RoomVersion,
    dice: &mut Dice,
) -> (&'static str, &'static str, String, Value) {
    let sender = PEOPLE[dice.roll(5)];
    let target = PEOPLE[dice.roll(5)];
    match dice.roll(10) {
        0..=2 => (sender, "m.room.member", user(sender).into(), json!({ "membership": "join" })),
        3 => (sender, "m.room.member", user(sender).into(), json!({ "membership": "leave" })),
        4 | 5 => {
            let membership = ["ban", "leave", "invite"][dice.roll(3)];
            ("alice", "m.room.member", user(target).into(), json!({ "membership": membership }))
        }
        6 => {
            let rule = ["public", "invite"][dice.roll(2)];
            (sender, "m.room.join_rules", String::new(), json!({ "join_rule": rule }))
        }
        7 => {
            let bob = [0, 50, 100][dice.roll(3)];
            let content = levels(version, &[("bob", bob), (target, 50)]);
            (["alice", "bob"][dice.roll(2)], "m.room.power_levels", String::new(), content)
        }
        8 => (sender, "m.room.topic", String::new(), json!({ "topic": dice.roll(100) })),
        _ => ("carol", "m.room.name", String::new(), json!({ "name": dice.roll(100).to_string() })),
    }
}

/// Power levels in which alice, the creator, stands at the top.
fn levels(version: RoomVersion, users: &[(&str, i64)]) -> Value {
    let mut all: HashMap<String, i64> =
        users.iter().map(|(name, level)| (user(name).into(), *level)).collect();
    all.insert(user("alice").into(), 100);
    if version == RoomVersion::V12 {
        all.remove(user("alice").as_str());
    }
    json!({ "users": all, "events": { "m.room.topic": 0 } })
}
