//! Rules judge events as the specification says, also where patterns are strange.

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedUserId,
    push::{NewConditionalPushRule, NewPatternedPushRule, NewPushRule, NewSimplePushRule},
    room_id, uint,
};
use serde_json::{json, value::to_raw_value};
use wayside_federation::{event::Draft, key::ServerKey, version::RoomVersion};

use super::*;

fn event(kind: &str, key: Option<&str>, content: &Value) -> Event {
    let key_of_server = ServerKey::from_seed([1; 32], "a").unwrap();
    let draft = Draft {
        kind: kind.into(),
        state_key: key.map(str::to_owned),
        sender: user_id!("@bob:a.test").to_owned(),
        content: to_raw_value(content).unwrap(),
        redacts: None,
        origin_server_ts: MilliSecondsSinceUnixEpoch(uint!(1)),
    };
    let room = room_id!("!r:a.test");
    draft.seal(RoomVersion::V11, Some(room), &[], Vec::new(), &key_of_server).unwrap()
}

fn ann() -> Who<'static> {
    Who { user_id: user_id!("@ann:a.test"), display_name: Some("Ann Lee") }
}

/// Whether Ann is told of an event, and whether it stands out.
fn told(rules: &Rules, event: &Event, joined: i64) -> (bool, bool) {
    let rule = rules.judge(&Seen::of(event, joined), ann());
    rule.map_or((false, false), |rule| (rule.notifies, rule.notifies && rule.highlights))
}

#[test]
fn the_common_rules_say_what_the_specification_says() {
    let rules = Rules::common();
    let message = |content: Value| event("m.room.message", None, &content);
    let text = |body: &str| json!({ "msgtype": "m.text", "body": body });
    let with = |name: &str, value: Value| {
        let mut content = text("hi");
        content[name] = value;
        message(content)
    };
    let plain = message(text("hi"));
    assert_eq!(told(&rules, &plain, 3), (true, false));
    assert_eq!(told(&rules, &plain, 2), (true, false));
    let notice = message(json!({ "msgtype": "m.notice", "body": "hi" }));
    assert_eq!(told(&rules, &notice, 3), (false, false));
    let mention = with("m.mentions", json!({ "user_ids": ["@cleo:a.test", "@ann:a.test"] }));
    assert_eq!(told(&rules, &mention, 3), (true, true));
    let other = with("m.mentions", json!({ "user_ids": ["@cleo:a.test"] }));
    assert_eq!(told(&rules, &other, 3), (true, false));
    let edit = with("m.relates_to", json!({ "rel_type": "m.replace", "event_id": "$e" }));
    assert_eq!(told(&rules, &edit, 3), (false, false));
    let encrypted =
        event("m.room.encrypted", None, &json!({ "algorithm": "m.megolm.v1.aes-sha2" }));
    assert_eq!(told(&rules, &encrypted, 3), (true, false));
    let invite = json!({ "membership": "invite" });
    assert_eq!(
        told(&rules, &event("m.room.member", Some("@ann:a.test"), &invite), 3),
        (true, false)
    );
    assert_eq!(
        told(&rules, &event("m.room.member", Some("@x:a.test"), &invite), 3),
        (false, false)
    );
    let tombstone = event("m.room.tombstone", Some(""), &json!({ "body": "gone" }));
    assert_eq!(told(&rules, &tombstone, 3), (true, true));
    assert_eq!(told(&rules, &event("m.reaction", None, &json!({})), 3), (false, false));
    assert_eq!(told(&rules, &event("org.example.note", None, &json!({})), 2), (false, false));
    // To call the whole room takes the power to.
    let everybody = with("m.mentions", json!({ "room": true }));
    assert_eq!(told(&rules, &everybody, 3), (true, false));
    let mut seen = Seen::of(&everybody, 3);
    assert!(seen.calls_the_room());
    seen.sender_may_notify = true;
    assert!(rules.judge(&seen, ann()).unwrap().highlights);
    // Nobody is told of what they said themselves.
    let bob = Who { user_id: user_id!("@bob:a.test"), display_name: None };
    assert!(rules.judge(&Seen::of(&plain, 3), bob).is_none());
}

#[test]
fn who_is_not_named_hears_what_everybody_hears() {
    let rules = Rules::common();
    let invite = event("m.room.member", Some("@ann:a.test"), &json!({ "membership": "invite" }));
    let content = json!({ "body": "hi", "m.mentions": { "user_ids": ["@ann:a.test"] } });
    let mention = event("m.room.message", None, &content);
    for event in [&invite, &mention] {
        let seen = Seen::of(event, 9);
        assert!(seen.names(ann().user_id));
        let cleo = user_id!("@cleo:a.test");
        assert!(!seen.names(cleo));
        let nobody = user_id!("@anybody:invalid");
        let of = |user_id| rules.judge(&seen, Who { user_id, display_name: None });
        let same = (of(cleo), of(nobody));
        assert_eq!(same.0.map(|it| it.notifies), same.1.map(|it| it.notifies));
        assert!(of(ann().user_id).unwrap().notifies);
    }
}

#[test]
fn rules_that_people_set_are_stronger_than_the_common_ones() {
    let owner: OwnedUserId = ann().user_id.to_owned();
    let mut set = Ruleset::server_default(&owner);
    let quiet = NewSimplePushRule::new(room_id!("!r:a.test").to_owned(), Vec::new());
    set.insert(NewPushRule::Room(quiet), None, None).unwrap();
    let loud = [Action::Notify, Action::SetTweak(ruma::push::Tweak::Highlight(true.into()))];
    let word = NewPatternedPushRule::new("w".into(), "tea".into(), loud.to_vec());
    set.insert(NewPushRule::Content(word), None, None).unwrap();
    let message = |body: &str| event("m.room.message", None, &json!({ "body": body }));
    let rules = Rules::of(&set, &owner, Ignored::default());
    assert_eq!(told(&rules, &message("hello"), 3), (false, false));
    assert_eq!(told(&rules, &message("some TEA?"), 3), (true, true));
    assert_eq!(told(&rules, &message("steam"), 3), (false, false));
    #[expect(deprecated, reason = "clients of before may set it")]
    let name = PushCondition::ContainsDisplayName;
    let name = NewConditionalPushRule::new("n".into(), vec![name], loud.to_vec());
    set.insert(NewPushRule::Override(name), None, None).unwrap();
    let rules = Rules::of(&set, &owner, Ignored::default());
    assert!(rules.want_display_name() && !Rules::common().want_display_name());
    assert_eq!(told(&rules, &message("ask ann lee."), 3), (true, true));
    assert_eq!(told(&rules, &message("ask ann leeward"), 3), (false, false));
    set.set_enabled(ruma::push::RuleKind::Override, ".m.rule.master", true).unwrap();
    assert_eq!(
        told(&Rules::of(&set, &owner, Ignored::default()), &message("tea, Ann Lee"), 3),
        (false, false)
    );
}

#[test]
fn who_is_ignored_tells_nobody_anything() {
    let owner = ann().user_id;
    let ignored = Ignored::read(r#"{"ignored_users":{"@bob:a.test":{}}}"#, owner);
    let rules = Rules::of(&Ruleset::server_default(owner), owner, ignored);
    let content = json!({ "body": "hi", "m.mentions": { "user_ids": [owner] } });
    assert_eq!(told(&rules, &event("m.room.message", None, &content), 3), (false, false));
}

#[test]
fn patterns_match_words_of_a_body_and_the_whole_of_all_else() {
    let own = ann().user_id;
    for (pattern, text, in_body, expected) in [
        ("tea", "tea", true, true),
        ("tea", "my-tea!", true, true),
        ("tea", "tea_pot", true, false),
        ("tea", "ÄTEA", true, true),
        ("t?a", "a tea b", true, true),
        ("t*a", "the grand plaza", true, true),
        ("t*a", "totally", true, false),
        ("", "", true, false),
        ("m.room.*", "m.room.name", false, true),
        ("m.room.*", "xm.room.name", false, false),
        ("m.room", "m.room.name", false, false),
        ("M.Room", "m.rOOm", false, true),
        ("é*", "Éa", false, true),
        ("[a]?", "[A]b", false, true),
        ("a*b", "a\nb", false, true),
    ] {
        let fits = Pattern::of(pattern, in_body).fits(text, own);
        assert_eq!(fits, expected, "{pattern:?} in {text:?}");
    }
}

#[test]
fn no_rule_and_no_event_makes_it_panic() {
    type Parts = (String, String, String, bool);
    bolero::check!().with_type::<Parts>().for_each(|(key, pattern, text, in_body)| {
        let _whatever_it_is = Pattern::of(pattern, *in_body).fits(text, ann().user_id);
        let _whatever_it_is = holds_words(text, &pattern.to_lowercase());
        let content = json!({ "body": text, key: { key: [text, 1, null] }, "m.mentions": text });
        let message = event("m.room.message", None, &content);
        let mut set = Ruleset::server_default(ann().user_id);
        let data = EventMatchConditionData::new(format!("content.{key}"), pattern.clone());
        let rule = NewConditionalPushRule::new("x".into(), vec![data.into()], Vec::new());
        set.insert(NewPushRule::Override(rule), None, None).unwrap();
        let seen = Seen::of(&message, 1);
        let _whatever_it_is =
            Rules::of(&set, ann().user_id, Ignored::default()).judge(&seen, ann());
    });
}
