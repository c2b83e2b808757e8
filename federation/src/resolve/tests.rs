//! Resolution against stories that we tell, and against ruma's full algorithm on random rooms.
//!
//! These stories tell the scenarios of the published tests of `ruma-state-res` in our own words and
//! data: `private_room` and `public_room` (its minimal chats), `later_door` (its tiebreak by
//! `origin_server_ts`), `ban_and_levels`, `topic_and_levels`, `administrator_and_moderator`,
//! `topic_and_ban`, `door_and_join`, `two_joins` (its concurrent joins), `door_is_lost` and
//! `levels_are_lost` (problems A and B of MSC4297, by resolution 2 and 2.1).

use std::collections::HashMap;

use ruma::OwnedEventId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    auth::key_of,
    testing::{Dice, Room, draft, key, random_room, user},
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
    #[serde(default)]
    heads: Vec<String>,
    /// States that are resolved too, spelled out: what servers hold that have gone wrong before.
    #[serde(default)]
    states: Vec<Vec<String>>,
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
    assert!(told >= 55, "only {told} stories were found");
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
    let mut heads: Vec<OwnedEventId> = story.heads.iter().map(|name| names[name].clone()).collect();
    for (at, held) in story.states.iter().enumerate() {
        let head = OwnedEventId::try_from(format!("$state-{at}")).unwrap();
        let entry =
            |name: &String| (key_of(&room.events[&names[name]]).unwrap(), names[name].clone());
        room.after.insert(head.clone(), held.iter().map(entry).collect());
        heads.push(head);
    }
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
