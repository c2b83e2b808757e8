//! Which events are let in, cited, redacted, and who has which power.

use ruma::events::TimelineEventType;
use serde_json::{Value, json};

use super::{
    Refusal, Verdict, admit, check, create_key, may_redact, needed_state, plan, power_levels,
};
use crate::{
    event::Event,
    testing::{Room, draft, key, server_key, user},
    version::RoomVersion,
};

/// A public room of alice in which bob has power 50 and carol none; answers its last event.
fn room(version: RoomVersion) -> (Room, ruma::OwnedEventId) {
    let (mut room, create) = Room::created(version, &json!({}));
    let mut users = json!({ user("bob"): 50 });
    if version < RoomVersion::V12 {
        users[user("alice").as_str()] = json!(100);
    }
    let levels = json!({ "users": users, "events": { "m.room.topic": 20 }, "invite": 30, "notifications": { "room": 60 } });
    let mut last = create;
    let join = json!({ "membership": "join" });
    let acts: [(&str, &str, String, &Value); 5] = [
        ("alice", "m.room.member", user("alice").into(), &join),
        ("alice", "m.room.power_levels", String::new(), &levels),
        ("alice", "m.room.join_rules", String::new(), &json!({ "join_rule": "public" })),
        ("bob", "m.room.member", user("bob").into(), &join),
        ("carol", "m.room.member", user("carol").into(), &join),
    ];
    for (sender, kind, state_key, content) in acts {
        last = room.send(&draft(sender, kind, Some(&state_key), content, 5), &[last]).unwrap();
    }
    (room, last)
}

/// An event after another one, citing what the state there says, allowed or not.
fn forge(
    room: &Room,
    sender: &str,
    kind: &str,
    state_key: Option<&str>,
    content: &Value,
    after: &ruma::OwnedEventId,
) -> Event {
    let draft = draft(sender, kind, state_key, content, 9);
    let state = &room.after[after];
    let keys =
        super::auth_keys(room.version, &draft.kind, &draft.sender, state_key, &draft.content)
            .unwrap();
    let auth = keys.iter().filter_map(|key| state.get(key).cloned()).collect();
    let prev = [(after.clone(), room.events[after].depth())];
    draft.seal(room.version, room.id.as_deref(), &prev, auth, &server_key()).unwrap()
}

fn verdict(
    room: &Room,
    event: &Event,
    before: &ruma::OwnedEventId,
    now: &ruma::OwnedEventId,
) -> Verdict {
    // Only what the plan names is there.
    let plan = plan(room.version, event).unwrap();
    let at = |key: &_, at: &ruma::OwnedEventId| {
        assert!(plan.state.contains(key), "{key:?} was not planned");
        room.at(&room.after[at], key)
    };
    admit(
        room.version,
        event,
        |id| {
            plan.auth
                .iter()
                .any(|known| known == id)
                .then(|| room.events.get(id).cloned())
                .flatten()
        },
        |key| at(key, before),
        |key| at(key, now),
    )
}

#[test]
fn events_pass_fail_softly_or_are_rejected() {
    for version in RoomVersion::ALL {
        let (mut room, last) = room(version);
        let ban = draft(
            "alice",
            "m.room.member",
            Some(user("carol").as_str()),
            &json!({ "membership": "ban" }),
            8,
        );
        let banned = room.send(&ban, std::slice::from_ref(&last)).unwrap();
        let hello = forge(&room, "carol", "m.room.message", None, &json!({}), &last);
        assert_eq!(verdict(&room, &hello, &last, &last), Verdict::Accept);
        assert!(matches!(
            verdict(&room, &hello, &last, &banned),
            Verdict::SoftFail(Refusal::CurrentState(_))
        ));
        assert!(matches!(
            verdict(&room, &hello, &banned, &banned),
            Verdict::Reject(Refusal::StateBefore(_))
        ));
        let late = forge(&room, "carol", "m.room.message", None, &json!({}), &banned);
        assert!(matches!(
            verdict(&room, &late, &last, &last),
            Verdict::Reject(Refusal::AuthEvents(_))
        ));
        let topic = forge(&room, "carol", "m.room.topic", Some(""), &json!({}), &last);
        assert!(matches!(
            verdict(&room, &topic, &last, &last),
            Verdict::Reject(Refusal::AuthEvents(_))
        ));
        let topic = forge(&room, "bob", "m.room.topic", Some(""), &json!({}), &last);
        assert_eq!(verdict(&room, &topic, &last, &last), Verdict::Accept);
        assert_eq!(check(version, &topic, |key| room.at(&room.after[&last], key)), Ok(()));
        assert!(matches!(check(version, &topic, |_| None), Err(Refusal::Rules(_))));
    }
}

#[test]
fn a_rejected_or_unknown_cited_event_rejects() {
    for version in RoomVersion::ALL {
        let (mut room, last) = room(version);
        let hello = forge(&room, "carol", "m.room.message", None, &json!({}), &last);
        let state = room.after[&last].clone();
        let levels = state[&key("m.room.power_levels", "")].clone();
        let whole = room.events[&levels].clone();
        room.events.insert(levels.clone(), whole.with_rejected(true));
        assert!(matches!(
            verdict(&room, &hello, &last, &last),
            Verdict::Reject(Refusal::AuthEvents(_))
        ));
        room.events.remove(&levels);
        assert!(matches!(
            verdict(&room, &hello, &last, &last),
            Verdict::Reject(Refusal::AuthEvents(_))
        ));
        room.events.insert(levels, whole);
        assert_eq!(verdict(&room, &hello, &last, &last), Verdict::Accept);
        let create = state[&create_key()].clone();
        let whole = room.events.remove(&create).unwrap();
        room.events.insert(create, whole.with_rejected(true));
        assert!(matches!(
            verdict(&room, &hello, &last, &last),
            Verdict::Reject(Refusal::AuthEvents(_))
        ));
    }
}

#[test]
fn the_create_event_is_needed_but_cited_only_before_version_12() {
    for version in RoomVersion::ALL {
        let (room, last) = room(version);
        let create = room.after[&last][&create_key()].clone();
        let hello = forge(&room, "carol", "m.room.message", None, &json!({}), &last);
        let plan = plan(version, &hello).unwrap();
        assert_eq!(hello.auth_events().contains(&create), version < RoomVersion::V12);
        assert_eq!(plan.auth.iter().filter(|id| **id == create).count(), 1);
        assert_eq!(plan.state.iter().filter(|key| **key == create_key()).count(), 1);
        let kind = TimelineEventType::RoomCreate;
        let none = needed_state(version, &kind, hello.sender(), Some(""), hello.content()).unwrap();
        assert!(none.is_empty());
        let made = &room.events[&create];
        assert_eq!(admit(version, made, |_| None, |_| None, |_| None), Verdict::Accept);
    }
}

#[test]
fn power_is_read_from_the_room() {
    for version in RoomVersion::ALL {
        let (room, last) = room(version);
        let state = &room.after[&last];
        let create = room.at(state, &create_key()).unwrap();
        let event = room.at(state, &key("m.room.power_levels", ""));
        let levels = power_levels(version, &create, event.as_ref());
        let top = if version == RoomVersion::V12 { i64::MAX } else { 100 };
        assert_eq!(levels.user(&user("alice")), top);
        assert_eq!((levels.user(&user("bob")), levels.user(&user("carol"))), (50, 0));
        assert_eq!(levels.event(&TimelineEventType::RoomTopic, true), 20);
        assert_eq!(levels.event(&TimelineEventType::RoomName, true), 50);
        assert_eq!(levels.event(&TimelineEventType::RoomMessage, false), 0);
        assert_eq!(
            (levels.invite(), levels.kick(), levels.ban(), levels.redact()),
            (30, 50, 50, 50)
        );
        assert_eq!(levels.notifications_room(), 60);
        let bare = power_levels(version, &create, None);
        assert_eq!(bare.user(&user("alice")), top);
        assert_eq!((bare.user(&user("bob")), bare.invite(), bare.notifications_room()), (0, 0, 50));
    }
}

#[test]
fn redactions_need_power_or_the_same_server() {
    for version in RoomVersion::ALL {
        let (room, last) = room(version);
        let said = |name: &str| {
            forge(&room, name, "m.room.message", None, &json!({ "body": name }), &last)
        };
        let may = |sender: &str, target: &Event, named: &Event| {
            let mut redaction = draft(sender, "m.room.redaction", None, &json!({}), 9);
            redaction.redacts = Some(named.id().to_owned());
            let redaction =
                redaction.seal(version, room.id.as_deref(), &[], vec![], &server_key()).unwrap();
            may_redact(version, &redaction, target, |key| room.at(&room.after[&last], key))
        };
        let (alice, bob, carol) = (said("alice"), said("bob"), said("carol"));
        assert!(may("carol", &carol, &carol), "her own");
        assert!(may("bob", &carol, &carol), "with power 50");
        assert!(may("alice", &bob, &bob), "with all power");
        assert!(!may("carol", &bob, &bob), "without power");
        assert!(!may("bob", &carol, &alice), "it names another event");
    }
}
