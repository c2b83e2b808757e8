//! Events that are sealed, received, verified, redacted, damaged and invented.

use bolero::check;
use ruma::{
    CanonicalJsonValue, EventId, OwnedEventId, RoomId,
    signatures::{content_hash, reference_hash},
};
use serde_json::{json, value::RawValue};

use super::{Draft, Event, EventError};
use crate::{
    canonical,
    key::{PublicKeys, ServerKey},
    testing::{Room, draft, server_key, user},
    version::RoomVersion,
};

fn keys_of(name: &str, key: &ServerKey) -> PublicKeys {
    let mut keys = PublicKeys::new();
    keys.insert(user(name).server_name(), key.key_id().as_str(), &key.public_key_base64()).unwrap();
    keys
}

fn id(n: usize) -> OwnedEventId {
    OwnedEventId::try_from(format!("${n:043}")).unwrap()
}

/// The same event by the slow way: ruma's hashes over the finished text.
fn agree_with_ruma(version: RoomVersion, event: &Event) {
    let object = canonical::parse_object(event.json()).unwrap();
    assert_eq!(canonical::to_string(&object), event.json(), "the text is canonical");
    let hash = object["hashes"].as_object().unwrap()["sha256"].as_str().unwrap().to_owned();
    assert_eq!(content_hash(&object).unwrap().encode(), hash);
    assert_eq!(
        format!("${}", reference_hash(&object, version.rules()).unwrap()),
        event.id().as_str()
    );
}

/// Two events say the same in every field.
fn same(a: &Event, b: &Event) {
    assert_eq!(
        (a.id(), a.room_id(), a.sender(), a.kind()),
        (b.id(), b.room_id(), b.sender(), b.kind())
    );
    assert_eq!((a.state_key(), a.depth(), a.redacts()), (b.state_key(), b.depth(), b.redacts()));
    assert_eq!((a.prev_events(), a.auth_events()), (b.prev_events(), b.auth_events()));
    assert_eq!((a.content().get(), a.json()), (b.content().get(), b.json()));
    assert_eq!(a.origin_server_ts(), b.origin_server_ts());
    assert_eq!((a.rejected(), a.is_state()), (b.rejected(), b.is_state()));
    let rooms = (ruma::state_res::Event::room_id(a), ruma::state_res::Event::room_id(b));
    assert_eq!(rooms.0, rooms.1);
}

#[test]
fn sealed_events_are_received_verified_and_stored() {
    let key = server_key();
    for version in RoomVersion::ALL {
        let (room, create) = Room::created(version, &json!({}));
        let mut drafts = vec![
            draft("bob", "m.room.message", None, &json!({ "z": 1, "body": "hällo \u{7}\"" }), 9),
            draft(
                "bob",
                "m.room.member",
                Some(user("bob").as_str()),
                &json!({ "membership": "join", "x": 1 }),
                9,
            ),
            draft(
                "bob",
                "m.room.power_levels",
                Some(""),
                &json!({ "ban": 1, "users": {}, "y": {} }),
                9,
            ),
            draft("bob", "org.example \"quoted\"", Some("\\"), &json!({}), 9),
        ];
        let mut redaction = draft("bob", "m.room.redaction", None, &json!({ "reason": "no" }), 9);
        redaction.redacts = Some(id(7));
        drafts.push(redaction);
        let mut events = vec![room.events[&create].clone()];
        for draft in drafts {
            let sealed = draft.seal(
                version,
                room.id.as_deref(),
                &[(create.clone(), 1), (id(1), 41)],
                vec![id(2)],
                &key,
            );
            events.push(sealed.unwrap());
        }
        for event in events {
            agree_with_ruma(version, &event);
            let received = Event::receive(version, event.json()).unwrap();
            same(&received, &event);
            let name = if event.depth() == 1 { "alice" } else { "bob" };
            same(&received.clone().verify(version, &keys_of(name, &key)).unwrap(), &event);
            let unknown = received.verify(version, &keys_of("carol", &key));
            assert!(matches!(unknown, Err(EventError::BadSignature(_))));
            same(
                &Event::from_stored(version, event.id().to_owned(), event.json(), false).unwrap(),
                &event,
            );
            let marked = event.with_rejected(true);
            assert!(marked.rejected() && !marked.with_rejected(false).rejected());
            // A redacted event keeps its id and its signature.
            let redacted = event.redact(version).unwrap();
            assert_eq!(redacted.id(), event.id());
            let again = Event::receive(version, redacted.json()).unwrap();
            assert_eq!(again.id(), event.id());
            let verified = again.verify(version, &keys_of(name, &key)).unwrap();
            assert_eq!(verified.json(), redacted.json());
        }
    }
}

#[test]
fn the_redacted_id_stands_where_the_version_wants_it() {
    for version in RoomVersion::ALL {
        let (room, create) = Room::created(version, &json!({}));
        let mut redaction = draft("bob", "m.room.redaction", None, &json!({}), 9);
        redaction.redacts = Some(create.clone());
        let event = redaction
            .seal(version, room.id.as_deref(), &[(create.clone(), 1)], vec![], &server_key())
            .unwrap();
        let object = canonical::parse_object(event.json()).unwrap();
        let top = object.get("redacts").and_then(CanonicalJsonValue::as_str);
        let inner = object["content"].as_object().unwrap().get("redacts");
        let inner = inner.and_then(CanonicalJsonValue::as_str);
        let (old, new) = if version == RoomVersion::V10 { (top, inner) } else { (inner, top) };
        assert_eq!((old, new), (Some(create.as_str()), None));
        assert_eq!(event.redacts(), Some::<&EventId>(&create));
        let stray =
            Draft { redacts: Some(create), ..draft("bob", "m.room.message", None, &json!({}), 9) };
        let stray = stray.seal(version, room.id.as_deref(), &[], vec![], &server_key());
        assert!(matches!(stray, Err(EventError::BadFormat(_))));
    }
}

#[test]
fn a_changed_content_comes_back_redacted() {
    let (room, create) = Room::created(RoomVersion::V12, &json!({}));
    let key = server_key();
    let draft = draft("bob", "m.room.message", None, &json!({ "body": "yes" }), 9);
    let event =
        draft.seal(RoomVersion::V12, room.id.as_deref(), &[(create, 1)], vec![], &key).unwrap();
    let changed = event.json().replace("\"yes\"", "\"no\"");
    let received = Event::receive(RoomVersion::V12, &changed).unwrap();
    assert_eq!(received.id(), event.id());
    let verified = received.verify(RoomVersion::V12, &keys_of("bob", &key)).unwrap();
    assert_eq!((verified.id(), verified.content().get()), (event.id(), "{}"));
    // What the signature covers cannot change at all.
    let changed = event.json().replace("m.room.message", "m.room.massage");
    let received = Event::receive(RoomVersion::V12, &changed).unwrap();
    assert!(matches!(
        received.verify(RoomVersion::V12, &keys_of("bob", &key)),
        Err(EventError::BadSignature(_))
    ));
}

#[test]
fn a_second_server_signs_beside_the_first() {
    let (room, create) = Room::created(RoomVersion::V11, &json!({}));
    let key = server_key();
    let content =
        json!({ "membership": "join", "join_authorised_via_users_server": user("alice") });
    let join = draft("bob", "m.room.member", Some(user("bob").as_str()), &content, 9);
    let event =
        join.seal(RoomVersion::V11, room.id.as_deref(), &[(create, 1)], vec![], &key).unwrap();
    let mut both = keys_of("bob", &key);
    let other = ServerKey::from_seed([9; 32], "b").unwrap();
    both.extend(&keys_of("alice", &other));
    assert!(event.clone().verify(RoomVersion::V11, &both).is_err());
    let signed = event.cosign(RoomVersion::V11, user("alice").server_name(), &other).unwrap();
    assert_eq!(signed.id(), event.id());
    same(&signed.clone().verify(RoomVersion::V11, &both).unwrap(), &signed);
}

/// An invitation needs nobody's signature where an identity server has proven whom it invites. What a wrong
/// hash leaves of it without that proof would be bob's own invitation.
#[test]
fn nobody_invites_in_the_name_of_others_by_a_proof_that_redaction_takes_away() {
    let key = server_key();
    let signed = json!({ "mxid": user("carol"), "token": "t", "signatures": { "id.example": { "a:b": "c" } } });
    for version in RoomVersion::ALL {
        let (room, create) = Room::created(version, &json!({}));
        // Later versions keep that there is to be one, and the rules refuse what has none.
        let keeps_proof = version != RoomVersion::V10;
        for proof in
            [json!({ "display_name": "c", "signed": signed }), json!({ "display_name": "c" })]
        {
            let content = json!({ "membership": "invite", "third_party_invite": proof });
            let carol = user("carol");
            let invite = draft("bob", "m.room.member", Some(carol.as_str()), &content, 9);
            let prev = [(create.clone(), 1)];
            let invite = invite.seal(version, room.id.as_deref(), &prev, vec![], &key).unwrap();
            let invite = invite.sign_instead(version, carol.server_name(), &key).unwrap();
            assert!(!invite.json().contains("bob.example\":{"), "{}", invite.json());
            let keys = keys_of("carol", &key);
            same(&invite.clone().verify(version, &keys).unwrap(), &invite);

            let hash = invite.json().split("sha256\":\"").nth(1).unwrap()[..43].to_owned();
            let lies = invite.json().replace(&hash, &"A".repeat(43));
            let lies = Event::receive(version, &lies).unwrap();
            match lies.clone().verify(version, &keys) {
                Ok(left) => {
                    let says = left.content().get().contains("third_party_invite");
                    assert!(keeps_proof && says, "{version:?}: {}", left.json());
                }
                Err(error) => {
                    assert!(!keeps_proof, "{version:?}: {error}");
                    assert!(matches!(error, EventError::BadSignature(_)), "{error}");
                }
            }
            // Whoever invites by themselves has signed what is left.
            let own = lies.cosign(version, user("bob").server_name(), &key).unwrap();
            assert!(own.verify(version, &keys_of("bob", &key)).is_ok());
        }
    }
}

#[test]
fn prev_events_and_depth_are_bounded() {
    let (room, _) = Room::created(RoomVersion::V12, &json!({}));
    let seal = |prev: &[(OwnedEventId, u64)]| {
        let draft = draft("bob", "m.room.message", None, &json!({}), 9);
        draft.seal(RoomVersion::V12, room.id.as_deref(), prev, vec![], &server_key()).unwrap()
    };
    assert_eq!(seal(&[]).depth(), 1);
    let many: Vec<_> = (0..50).map(|n| (id(n), n as u64)).collect();
    let event = seal(&many);
    assert_eq!((event.depth(), event.prev_events().len()), (50, 20));
    assert!(event.prev_events().iter().all(|prev| *prev >= id(30)));
    let deep = seal(&[(id(1), (1 << 53) - 1)]);
    assert_eq!(deep.depth(), (1 << 53) - 1);
    assert!(Event::receive(RoomVersion::V12, deep.json()).is_ok());
    assert_eq!(seal(&[(id(1), u64::MAX)]).depth(), (1 << 53) - 1);
}

#[test]
fn drafts_that_cannot_be_events_are_refused() {
    let room = RoomId::parse("!r:bob.example").unwrap();
    let seal = |draft: Draft, auth: usize| {
        let auth = (0..auth).map(id).collect();
        draft.seal(RoomVersion::V11, Some(&room), &[(id(1), 1)], auth, &server_key()).map(|_| ())
    };
    let message = |content: &str| Draft {
        content: RawValue::from_string(content.to_owned()).unwrap(),
        ..draft("bob", "m.room.message", None, &json!({}), 9)
    };
    let long = |bytes: usize| message(&format!("{{\"a\":\"{}\"}}", "x".repeat(bytes)));
    for content in ["{\"a\":1.5}", "{\"a\":9007199254740992}", "[]", "{\"a\":1e3}"] {
        assert!(matches!(seal(message(content), 0), Err(EventError::NotCanonical(_))), "{content}");
    }
    assert_eq!(seal(long(64_000), 0), Ok(()));
    assert_eq!(seal(long(65_535), 0), Err(EventError::TooLarge));
    assert_eq!(seal(long(1_000_000), 0), Err(EventError::TooLarge));
    assert_eq!(seal(message("{}"), 10), Ok(()));
    assert!(matches!(seal(message("{}"), 11), Err(EventError::BadFormat(_))));
    for (bytes, result) in [(255, Ok(())), (256, Err(EventError::TooLarge))] {
        let key = "k".repeat(bytes);
        assert_eq!(seal(draft("bob", "a", Some(&key), &json!({}), 9), 0), result);
        assert_eq!(seal(draft("bob", &key, None, &json!({}), 9), 0), result);
    }
    let roomless = draft("bob", "m.room.message", None, &json!({}), 9);
    let roomless = roomless.seal(RoomVersion::V12, None, &[], vec![], &server_key());
    assert!(matches!(roomless, Err(EventError::BadFormat(_))));
}

#[test]
fn the_create_event_of_version_12_names_its_room_and_nothing_cites_it() {
    let (room, create) = Room::created(RoomVersion::V12, &json!({}));
    let event = &room.events[&create];
    assert_eq!(event.room_id().as_str(), format!("!{}", &create.as_str()[1..]));
    assert!(!event.json().contains("room_id"));
    let auth = vec![create.clone(), id(1)];
    let message = draft("alice", "m.room.message", None, &json!({}), 9);
    let message =
        message.seal(RoomVersion::V12, room.id.as_deref(), &[(create, 1)], auth, &server_key());
    assert_eq!(message.unwrap().auth_events(), [id(1)]);
}

fn seeds() -> Vec<String> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/seeds/event");
    let files = std::fs::read_dir(dir).unwrap();
    files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}

#[test]
fn formats_are_checked_at_the_door() {
    let (room, create) = Room::created(RoomVersion::V10, &json!({}));
    let good = draft("bob", "m.room.member", Some("@x:y"), &json!({}), 9);
    let good = good
        .seal(RoomVersion::V10, room.id.as_deref(), &[(create, 1)], vec![id(3)], &server_key())
        .unwrap();
    for (from, to) in [
        ("\"depth\":2", "\"depth\":-1"),
        ("\"depth\":2", "\"depth\":9007199254740992"),
        ("\"depth\":2", "\"depth\":2.0"),
        ("\"origin_server_ts\":9", "\"origin_server_ts\":-9"),
        ("\"state_key\":\"@x:y\"", "\"state_key\":null"),
        ("\"sender\":\"@bob", "\"sender\":\"bob"),
        ("\"room_id\":\"!room:", "\"room_ID\":\"!room:"),
        ("\"content\":{}", "\"content\":[]"),
        ("\"type\":\"m.room.member\"", "\"type\":7"),
        ("\"prev_events\":[", "\"prev_events\":[7,"),
    ] {
        let bad = good.json().replacen(from, to, 1);
        assert_ne!(bad, good.json(), "{from}");
        assert!(Event::receive(RoomVersion::V10, &bad).is_err(), "{to}");
    }
    let padded = good.json().replacen(
        '{',
        &format!("{{\"unsigned\":{{\"a\":\"{}\"}},", "x".repeat(70_000)),
        1,
    );
    assert_eq!(Event::receive(RoomVersion::V10, &padded).unwrap().json(), good.json());
    let large = good.json().replacen(
        "\"content\":{",
        &format!("\"content\":{{\"a\":\"{}\"", "x".repeat(65_535)),
        1,
    );
    assert_eq!(Event::receive(RoomVersion::V10, &large).unwrap_err(), EventError::TooLarge);
    assert_eq!(
        Event::receive(RoomVersion::V10, &" ".repeat(1 << 20)).unwrap_err(),
        EventError::TooLarge
    );
}

#[test]
fn events_of_strangers_never_panic() {
    let seeds = seeds();
    assert!(seeds.len() >= 4);
    let keys = keys_of("bob", &server_key());
    check!().with_type::<(usize, usize, u8, Vec<u8>)>().for_each(|(pick, at, byte, bytes)| {
        let mut damaged = seeds[pick % seeds.len()].clone().into_bytes();
        let at = at % damaged.len();
        damaged[at] = *byte;
        for bytes in [bytes, &damaged] {
            let Ok(text) = std::str::from_utf8(bytes) else { continue };
            for version in RoomVersion::ALL {
                if let Ok(event) = Event::receive(version, text) {
                    let _ = event.redact(version);
                    let _ = crate::auth::plan(version, &event);
                    let _ = event.verify(version, &keys);
                }
            }
        }
    });
}

/// The seeds are events of today: sealed, not damaged, and read by every version they are of.
#[test]
fn the_seeds_of_the_fuzz_target_are_what_is_sealed_today() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/seeds/event");
    for version in RoomVersion::ALL {
        let (room, create) = Room::created(version, &json!({}));
        let content =
            json!({ "membership": "join", "join_authorised_via_users_server": "@a:bob.example" });
        let join = draft("bob", "m.room.member", Some(user("bob").as_str()), &content, 9);
        let join = join.seal(
            version,
            room.id.as_deref(),
            &[(create.clone(), 1)],
            vec![id(2)],
            &server_key(),
        );
        let named = [("create", room.events[&create].clone()), ("join", join.unwrap())];
        for (name, event) in named {
            let path = format!("{dir}/{name}_{}.json", version.as_str());
            assert_eq!(std::fs::read_to_string(&path).unwrap(), event.json(), "{path}");
        }
    }
}
