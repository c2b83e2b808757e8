//! Sliding sync: a client follows a stretch of its rooms and loses nothing of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, RoomId};

use crate::stage::{Deeds, Stage, list, one, refused, room_of, stories};

stories! {
    a_window_follows_what_happens;
    an_answer_that_was_lost_is_told_again;
    requests_that_overlap_break_nothing;
    filters_and_subscriptions_choose_rooms;
    the_wanted_state_and_those_who_speak_are_told;
    who_changed_is_told_with_more_of_the_state;
    state_that_is_wanted_again_is_told_as_it_is;
    pages_begin_where_an_answer_was;
    a_longer_timeline_is_told_at_once;
    invitations_and_endings_are_told;
    rooms_of_which_there_is_nothing_new_wake_nobody;
    a_room_becomes_a_conversation_between_two;
    a_space_is_looked_up_once_for_all_lists;
    who_asks_for_too_much_is_refused;
}

const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// A connection of somebody's client.
pub(crate) struct Slide {
    pub(crate) client: Client,
    pub(crate) pos: Option<String>,
    pub(crate) body: Value,
}

impl Slide {
    pub(crate) fn of(client: &Client, body: Value) -> Self {
        Self { client: client.clone(), pos: None, body }
    }

    /// What is new, without waiting for it.
    pub(crate) async fn now(&mut self) -> Result<Value> {
        let answer = self.ask(0).await?;
        self.pos = answer["pos"].as_str().map(str::to_owned);
        Ok(answer)
    }

    /// What is new, as soon as there is something.
    pub(crate) async fn next(&mut self) -> Result<Value> {
        let answer = self.ask(10_000).await?;
        self.pos = answer["pos"].as_str().map(str::to_owned);
        Ok(answer)
    }

    pub(crate) async fn ask(&self, wait_ms: u32) -> Result<Value, CallError> {
        let pos = self.pos.as_ref().map(|pos| format!("&pos={pos}")).unwrap_or_default();
        self.client.post(&format!("{SLIDING}?timeout={wait_ms}{pos}"), &self.body).await
    }
}

/// One list of the first rooms, with so many events of each.
pub(crate) fn window(last: u32, limit: u32) -> Value {
    json!({ "lists": { "all": { "ranges": [[0, last]], "timeline_limit": limit, "required_state": [] } } })
}

pub(crate) fn names(answer: &Value) -> Vec<String> {
    answer["rooms"].as_object().map(|rooms| rooms.keys().cloned().collect()).unwrap_or_default()
}

pub(crate) fn told<'a>(answer: &'a Value, room: &RoomId) -> &'a Value {
    &answer["rooms"][room.as_str()]
}

fn bodies(room: &Value) -> Vec<String> {
    crate::stage::bodies(&list(&room["timeline"]))
}

pub(crate) fn ids(rooms: &[&RoomId]) -> Vec<String> {
    let mut ids: Vec<String> = rooms.iter().map(|room| room.as_str().to_owned()).collect();
    ids.sort();
    ids
}

async fn a_window_follows_what_happens(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut rooms = Vec::new();
    for n in 0..4 {
        let wish = json!({ "preset": "public_chat", "name": format!("room {n}") });
        rooms.push(room_of(&[&ann, &bob], &wish).await?);
        ann.say(&rooms[n], &format!("first in {n}")).await?;
    }
    let mut bobs = Slide::of(&bob, window(1, 2));
    let first = bobs.now().await?;
    ensure!(first["lists"]["all"]["count"] == 4, "{first}");
    ensure!(names(&first) == ids(&[&rooms[3], &rooms[2]]), "the liveliest two: {first}");
    let room = told(&first, &rooms[3]);
    ensure!(room["initial"] == true && room["name"] == "room 3", "{room}");
    ensure!(room["joined_count"] == 2 && room["notification_count"] == 1, "{room}");
    ensure!(room["limited"] == true && room["num_live"] == 0, "{room}");
    ensure!(bodies(room) == ["first in 3"], "{room}");
    let quiet = bobs.now().await?;
    ensure!(names(&quiet).is_empty() && quiet["lists"]["all"]["count"] == 4, "{quiet}");

    // What happens in a room that the window does not show brings it in.
    ann.say(&rooms[0], "look here").await?;
    let answer = bobs.next().await?;
    ensure!(names(&answer) == ids(&[&rooms[0]]), "{answer}");
    let room = told(&answer, &rooms[0]);
    ensure!(room["initial"] == true && room["num_live"] == 1, "{room}");
    ensure!(bodies(room) == ["first in 0", "look here"], "{room}");
    // A room that is known is told of in part.
    ann.say(&rooms[3], "again").await?;
    let answer = bobs.next().await?;
    let room = told(&answer, &rooms[3]);
    ensure!(bodies(room) == ["again"] && room.get("initial").is_none(), "{room}");
    ensure!(room.get("name").is_none() && room["limited"] == false, "{room}");
    let before = room["bump_stamp"].as_i64().context("a stamp")?;
    ann.set_state(&rooms[3], "m.room.name", "", &json!({ "name": "another" })).await?;
    let answer = bobs.next().await?;
    let room = told(&answer, &rooms[3]);
    ensure!(room["name"] == "another" && room.get("bump_stamp").is_none(), "{room}");
    ensure!(
        before > told(&first, &rooms[3])["bump_stamp"].as_i64().unwrap_or(i64::MAX),
        "{before}"
    );
    // More than the window shows is told as a gap, and messages fill it.
    for n in 0..5 {
        ann.say(&rooms[3], &format!("gap {n}")).await?;
    }
    let answer = bobs.now().await?;
    let room = told(&answer, &rooms[3]);
    ensure!(room["limited"] == true && bodies(room) == ["gap 3", "gap 4"], "{room}");
    let from = room["prev_batch"].as_str().context("a token")?;
    let path = format!("/_matrix/client/v3/rooms/{}/messages?dir=b&limit=3&from={from}", rooms[3]);
    let page = bob.get(&path).await?;
    ensure!(crate::stage::bodies(&list(&page["chunk"])) == ["gap 2", "gap 1", "gap 0"], "{page}");
    Ok(())
}

async fn an_answer_that_was_lost_is_told_again(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let mut bobs = Slide::of(&bob, window(9, 5));
    bobs.now().await?;
    ann.say(&room, "one").await?;
    let lost = bobs.ask(10_000).await?;
    ensure!(bodies(told(&lost, &room)) == ["one"], "{lost}");
    ann.say(&room, "two").await?;
    let again = bobs.ask(10_000).await?;
    ensure!(bodies(told(&again, &room)) == ["one", "two"], "{again}");
    let gone = lost["pos"].as_str().context("a pos")?.to_owned();
    bobs.pos = again["pos"].as_str().map(str::to_owned);
    let quiet = bobs.now().await?;
    ensure!(names(&quiet).is_empty(), "told twice: {quiet}");
    for unknown in [gone.as_str(), "none"] {
        let wrong = Slide { pos: Some(unknown.to_owned()), ..Slide::of(&bob, window(9, 5)) };
        refused(wrong.ask(0).await, 400, "M_UNKNOWN_POS")?;
    }
    // Somebody else's pos opens nothing, nor does another connection's.
    let pos = bobs.pos.clone();
    let anns = Slide { pos: pos.clone(), ..Slide::of(&ann, window(9, 5)) };
    refused(anns.ask(0).await, 400, "M_UNKNOWN_POS")?;
    let mut body = window(9, 5);
    body["conn_id"] = "other".into();
    let mut other = Slide { pos, ..Slide::of(&bob, body) };
    refused(other.ask(0).await, 400, "M_UNKNOWN_POS")?;
    other.pos = None;
    ensure!(told(&other.now().await?, &room)["initial"] == true);
    ensure!(names(&bobs.now().await?).is_empty(), "the two do not disturb each other");
    stage.restart().await?;
    bobs.client = bob.at(stage.node.http());
    refused(bobs.ask(0).await, 400, "M_UNKNOWN_POS")?;
    bobs.pos = None;
    ensure!(told(&bobs.now().await?, &room)["initial"] == true);
    Ok(())
}

async fn requests_that_overlap_break_nothing(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let mut bobs = Slide::of(&bob, window(9, 5));
    bobs.now().await?;
    bobs.now().await?;
    // One waits; another of the same pos is answered meanwhile, and is the one that the client heeds.
    let given_up = async { bobs.ask(10_000).await.context("the request that was given up") };
    let heeded = async {
        let mut changed = window(9, 5);
        changed["lists"]["all"]["required_state"] = json!([["m.room.create", ""]]);
        let other = Slide { pos: bobs.pos.clone(), ..Slide::of(&bob, changed) };
        let answer = other.ask(10_000).await?;
        ann.say(&room, "hello").await?;
        anyhow::Ok(answer)
    };
    let (given_up, heeded) = tokio::join!(given_up, heeded);
    let (given_up, heeded) = (given_up?, heeded?);
    ensure!(bodies(told(&given_up, &room)) == ["hello"], "{given_up}");
    ensure!(given_up["pos"] != heeded["pos"]);
    bobs.body["lists"]["all"]["required_state"] = json!([["m.room.create", ""]]);
    bobs.pos = heeded["pos"].as_str().map(str::to_owned);
    let answer = bobs.next().await?;
    ensure!(bodies(told(&answer, &room)) == ["hello"], "{answer}");
    ensure!(state_of(told(&answer, &room)).is_empty(), "the one that was heeded told it: {answer}");
    // The other is past now.
    let past = given_up["pos"].as_str().map(str::to_owned);
    let past = Slide { pos: past, ..Slide::of(&bob, window(9, 5)) };
    refused(past.ask(0).await, 400, "M_UNKNOWN_POS")?;
    ensure!(names(&bobs.now().await?).is_empty());
    Ok(())
}

async fn filters_and_subscriptions_choose_rooms(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let encryption = json!({
        "type": "m.room.encryption", "state_key": "",
        "content": { "algorithm": "m.megolm.v1.aes-sha2" },
    });
    let plain = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let sealed =
        room_of(&[&ann, &bob], &json!({ "preset": "public_chat", "initial_state": [encryption] }))
            .await?;
    let space = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" } });
    let space = room_of(&[&ann, &bob], &space).await?;
    let child = json!({ "via": ["a.test"] });
    ann.set_state(&space, "m.space.child", plain.as_str(), &child).await?;
    let invited = ann.create_room(&json!({ "invite": [bob.id()] })).await?;
    let data = format!("/_matrix/client/v3/user/{}", bob.id());
    let direct = json!({ ann.id(): [sealed.as_str()] });
    bob.put(&format!("{data}/account_data/m.direct"), &direct).await?;
    bob.put(&format!("{data}/rooms/{plain}/tags/m.favourite"), &json!({ "order": 0.5 })).await?;
    for (filters, expected) in [
        (json!({}), vec![&plain, &sealed, &space, &invited]),
        (json!({ "is_dm": true }), vec![&sealed]),
        (json!({ "is_dm": false, "is_invite": false }), vec![&plain, &space]),
        (json!({ "is_encrypted": true }), vec![&sealed]),
        (json!({ "is_invite": true }), vec![&invited]),
        (json!({ "room_types": ["m.space"] }), vec![&space]),
        (json!({ "room_types": [null], "is_invite": false }), vec![&plain, &sealed]),
        (json!({ "not_room_types": [null] }), vec![&space]),
        (json!({ "tags": ["m.favourite"] }), vec![&plain]),
        (json!({ "not_tags": ["m.favourite"], "is_encrypted": true }), vec![&sealed]),
        (json!({ "spaces": [space.as_str(), "!none:a.test"] }), vec![&plain]),
    ] {
        let list = json!({ "ranges": [[0, 9]], "timeline_limit": 1, "filters": filters });
        let answer = Slide::of(&bob, json!({ "lists": { "some": list } })).now().await?;
        ensure!(names(&answer) == ids(&expected), "{filters}: {answer}");
        ensure!(answer["lists"]["some"]["count"] == expected.len(), "{filters}: {answer}");
    }
    // A subscription needs no list, and opens nothing that is closed.
    let closed = ann.create_room(&json!({})).await?;
    let wish = json!({ "timeline_limit": 1, "required_state": [["m.room.create", ""]] });
    let body = json!({ "room_subscriptions": {
        plain.as_str(): wish, closed.as_str(): wish, "!none:a.test": wish,
    } });
    let mut bobs = Slide::of(&bob, body);
    let answer = bobs.now().await?;
    ensure!(names(&answer) == ids(&[&plain]), "{answer}");
    ann.say(&sealed, "elsewhere").await?;
    ann.say(&plain, "here").await?;
    let answer = bobs.next().await?;
    ensure!(names(&answer) == ids(&[&plain]), "{answer}");
    Ok(())
}

fn state_of(room: &Value) -> Vec<(String, String)> {
    let state = list(&room["required_state"]);
    let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
    let mut keys: Vec<(String, String)> =
        state.iter().map(|it| (text(it, "type"), text(it, "state_key"))).collect();
    keys.sort();
    keys
}

async fn the_wanted_state_and_those_who_speak_are_told(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let cleo = stage.person("cleo").await?;
    let wish = json!({ "preset": "public_chat", "name": "n", "topic": "t" });
    let room = room_of(&[&ann, &bob, &cleo], &wish).await?;
    cleo.say(&room, "hello").await?;
    let ask = |state: Value| json!({ "room_subscriptions": { room.as_str(): { "timeline_limit": 1, "required_state": state } } });
    let key = |kind: &str, key: &str| (kind.to_owned(), key.to_owned());
    let state = json!([
        ["m.room.topic", ""],
        ["m.room.none", ""],
        ["m.room.member", "$ME"],
        ["m.room.member", "$LAZY"],
    ]);
    let mut bobs = Slide::of(&bob, ask(state));
    let answer = bobs.now().await?;
    let expected =
        [key("m.room.member", bob.id()), key("m.room.member", cleo.id()), key("m.room.topic", "")];
    ensure!(state_of(told(&answer, &room)) == expected, "{answer}");
    // Who has spoken is known; who speaks now is not yet.
    cleo.say(&room, "again").await?;
    let answer = bobs.next().await?;
    ensure!(state_of(told(&answer, &room)).is_empty(), "{answer}");
    ann.say(&room, "and me").await?;
    let answer = bobs.next().await?;
    ensure!(state_of(told(&answer, &room)) == [key("m.room.member", ann.id())], "{answer}");
    // Of what changes only what is wanted.
    ann.set_state(&room, "m.room.name", "", &json!({ "name": "other" })).await?;
    ann.set_state(&room, "m.room.topic", "", &json!({ "topic": "other" })).await?;
    let answer = bobs.now().await?;
    let found = state_of(told(&answer, &room));
    ensure!(found.contains(&key("m.room.topic", "")), "{answer}");
    ensure!(!found.contains(&key("m.room.name", "")), "{answer}");
    let topic = list(&told(&answer, &room)["required_state"]);
    ensure!(one(&topic, "m.room.topic", None).is_some_and(|it| it["content"]["topic"] == "other"));
    // Whoever wants more is told of it without waiting for something to happen.
    bobs.body = ask(json!([["m.room.topic", ""], ["m.room.create", ""]]));
    let answer = bobs.next().await?;
    let found = state_of(told(&answer, &room));
    ensure!(found.contains(&key("m.room.create", "")), "{answer}");
    let everything = Slide::of(&bob, ask(json!([["*", "*"]]))).now().await?;
    let found = state_of(told(&everything, &room));
    for wanted in [key("m.room.power_levels", ""), key("m.room.member", ann.id())] {
        ensure!(found.contains(&wanted), "{found:?}");
    }
    let elements = json!({ "include": [{}], "exclude": [{ "type": "m.room.member" }] });
    let found = Slide::of(&bob, ask(elements)).now().await?;
    let found = state_of(told(&found, &room));
    ensure!(!found.iter().any(|(kind, _)| kind == "m.room.member") && found.len() > 4, "{found:?}");
    Ok(())
}

async fn who_changed_is_told_with_more_of_the_state(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let ask = |state: Value| json!({ "room_subscriptions": { room.as_str(): { "timeline_limit": 9, "required_state": state } } });
    let mut anns = Slide::of(&ann, ask(json!([["m.room.member", "$LAZY"]])));
    let known = state_of(told(&anns.now().await?, &room));
    ensure!(known.contains(&("m.room.member".to_owned(), bob.id().to_owned())), "{known:?}");
    bob.post(&format!("/_matrix/client/v3/rooms/{room}/leave"), &json!({})).await?;
    anns.body = ask(json!([["m.room.member", "$LAZY"], ["m.room.create", ""]]));
    let answer = anns.next().await?;
    let state = list(&told(&answer, &room)["required_state"]);
    let bobs = one(&state, "m.room.member", Some(bob.id())).context("who left is not told of")?;
    ensure!(bobs["content"]["membership"] == "leave", "{answer}");
    ensure!(one(&state, "m.room.create", None).is_some(), "{answer}");
    Ok(())
}

async fn state_that_is_wanted_again_is_told_as_it_is(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat", "name": "n" })).await?;
    let little = json!([["m.room.create", ""]]);
    let much = json!([
        ["m.room.create", ""],
        ["m.room.pinned_events", ""],
        ["m.room.topic", ""],
        ["m.room.member", "$LAZY"],
    ]);
    let few = json!({ "ranges": [[0, 9]], "timeline_limit": 20, "required_state": little });
    let closed = json!({ "lists": { "all": few } });
    let mut open = closed.clone();
    open["room_subscriptions"][room.as_str()] =
        json!({ "timeline_limit": 20, "required_state": much });
    let pin = async |event_id: &str| {
        let pinned = json!({ "pinned": [event_id] });
        ann.set_state(&room, "m.room.pinned_events", "", &pinned).await
    };
    let key = |kind: &str, key: &str| (kind.to_owned(), key.to_owned());
    ann.set_state(&room, "m.room.topic", "", &json!({ "topic": "t" })).await?;
    pin("$one").await?;
    let mut bobs = Slide::of(&bob, open.clone());
    let known = state_of(told(&bobs.now().await?, &room));
    ensure!(known.contains(&key("m.room.pinned_events", "")), "{known:?}");
    // A room that is shut and opened again, in which nothing happened, has nothing to tell.
    bobs.body = closed.clone();
    ensure!(names(&bobs.now().await?).is_empty());
    bobs.body = open.clone();
    ensure!(names(&bobs.now().await?).is_empty(), "told twice");
    // What changes while the room is shut is told only when it is opened again, and nothing else is.
    bobs.body = closed.clone();
    bobs.now().await?;
    pin("$two").await?;
    let named = json!({ "membership": "join", "displayname": "Ann" });
    ann.set_state(&room, "m.room.member", ann.id(), &named).await?;
    ann.say(&room, "while it is shut").await?;
    for _ in 0..9 {
        let answer = bobs.now().await?;
        ensure!(state_of(told(&answer, &room)).is_empty(), "not wanted now: {answer}");
        if names(&answer).is_empty() {
            break;
        }
    }
    bobs.body = open.clone();
    let answer = bobs.next().await?;
    let again = told(&answer, &room);
    let expected = [key("m.room.member", ann.id()), key("m.room.pinned_events", "")];
    ensure!(state_of(again) == expected && again.get("initial").is_none(), "{answer}");
    let pinned = list(&again["required_state"]);
    let pinned = one(&pinned, "m.room.pinned_events", None).context("the pin")?;
    ensure!(pinned["content"]["pinned"] == json!(["$two"]), "{answer}");
    ensure!(names(&bobs.now().await?).is_empty(), "once");
    // From here on it is told as it changes.
    pin("$three").await?;
    let answer = bobs.next().await?;
    ensure!(state_of(told(&answer, &room)) == [key("m.room.pinned_events", "")], "{answer}");
    Ok(())
}

async fn pages_begin_where_an_answer_was(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let root = ann.say(&room, "root").await?;
    let reply = async |body: &str| {
        let relation = json!({ "rel_type": "m.thread", "event_id": root });
        let content = json!({ "msgtype": "m.text", "body": body, "m.relates_to": relation });
        let path = format!("/_matrix/client/v3/rooms/{room}/send/m.room.message/{body}");
        ann.put(&path, &content).await
    };
    reply("before").await?;
    let mut bobs = Slide::of(&bob, window(9, 5));
    bobs.now().await?;
    let pos = bobs.pos.clone().context("a pos")?;
    reply("since").await?;
    let messages = format!("/_matrix/client/v3/rooms/{room}/messages?limit=1&from={pos}");
    let relations = format!("/_matrix/client/v1/rooms/{room}/relations/{root}?limit=1&from={pos}");
    for path in [messages, relations] {
        for (dir, expected) in [("b", "before"), ("f", "since")] {
            let page = bob.get(&format!("{path}&dir={dir}")).await?;
            ensure!(crate::stage::bodies(&list(&page["chunk"])) == [expected], "{dir}: {page}");
        }
    }
    // It is a place to anybody who may read the room, and says nothing of what it is the pos of.
    for wrong in ["p", "p_", "px_a", "p1"] {
        let path = format!("/_matrix/client/v3/rooms/{room}/messages?dir=b&from={wrong}");
        refused(bob.get(&path).await, 400, "M_INVALID_PARAM")?;
        let slide = Slide { pos: Some(wrong.to_owned()), ..Slide::of(&bob, window(9, 5)) };
        refused(slide.ask(0).await, 400, "M_UNKNOWN_POS")?;
    }
    Ok(())
}

async fn a_longer_timeline_is_told_at_once(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    for n in 0..4 {
        ann.say(&room, &format!("{n}")).await?;
    }
    let mut bobs = Slide::of(&bob, window(9, 1));
    ensure!(bodies(told(&bobs.now().await?, &room)) == ["3"]);
    bobs.body = window(9, 3);
    let answer = bobs.next().await?;
    let longer = told(&answer, &room);
    ensure!(bodies(longer) == ["1", "2", "3"] && longer["num_live"] == 0, "{longer}");
    ensure!(longer["unstable_expanded_timeline"] == true, "{longer}");
    ensure!(names(&bobs.now().await?).is_empty(), "once");
    // A shorter one and the same again tell nothing: the client has them.
    for limit in [1, 3] {
        bobs.body = window(9, limit);
        ensure!(names(&bobs.now().await?).is_empty(), "{limit}");
    }
    Ok(())
}

async fn invitations_and_endings_are_told(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let mut bobs = Slide::of(&bob, window(9, 5));
    bobs.now().await?;
    let room = ann.create_room(&json!({ "name": "come", "invite": [bob.id()] })).await?;
    let answer = bobs.next().await?;
    let shown = told(&answer, &room);
    ensure!(shown["membership"] == "invite" && shown.get("timeline").is_none(), "{shown}");
    let state = list(&shown["invite_state"]);
    ensure!(one(&state, "m.room.name", None).is_some_and(|it| it["content"]["name"] == "come"));
    ensure!(one(&state, "m.room.member", Some(bob.id())).is_some(), "{shown}");
    bob.join(&room).await?;
    let answer = bobs.next().await?;
    let inside = told(&answer, &room);
    ensure!(inside["membership"] == "join" && inside["initial"] == true, "{inside}");
    ensure!(inside["name"] == "come", "{inside}");
    ann.say(&room, "welcome").await?;
    bobs.next().await?;
    ann.deed(&room, "kick", Some(&bob)).await?;
    ann.say(&room, "he is gone").await?;
    let answer = bobs.next().await?;
    let ended = told(&answer, &room);
    ensure!(ended["membership"] == "leave" && bodies(ended).is_empty(), "{ended}");
    let ending = list(&ended["timeline"]);
    ensure!(one(&ending, "m.room.member", Some(bob.id())).is_some(), "{ended}");
    ensure!(names(&bobs.now().await?).is_empty(), "once");
    // Who begins is told of having been shown out, and not of having left.
    let other = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    bob.deed(&other, "leave", None).await?;
    let fresh = Slide::of(&bob, window(9, 5)).now().await?;
    ensure!(names(&fresh) == ids(&[&room]), "{fresh}");
    Ok(())
}

async fn rooms_of_which_there_is_nothing_new_wake_nobody(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let inside = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let aside = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let banned = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    ann.deed(&banned, "ban", Some(&bob)).await?;
    let kicked = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    ann.deed(&kicked, "kick", Some(&bob)).await?;
    let rule = json!({ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" } });
    let knocked = ann.create_room(&json!({ "initial_state": [rule] })).await?;
    bob.post(&format!("/_matrix/client/v3/knock/{knocked}"), &json!({})).await?;
    let invited = ann.create_room(&json!({ "invite": [bob.id()] })).await?;
    let wish = json!({
        "ranges": [[0, 9]], "timeline_limit": 5,
        "required_state": [["m.room.name", ""], ["m.room.member", "$LAZY"]],
    });
    let mut bobs = Slide::of(&bob, json!({ "lists": { "all": wish } }));
    let first = bobs.now().await?;
    let all = ids(&[&inside, &aside, &banned, &kicked, &knocked, &invited]);
    ensure!(names(&first) == all, "{first}");
    // What happens elsewhere tells nothing anew of those that somebody sees from outside.
    let said = ann.say(&inside, "hello").await?;
    let answer = bobs.next().await?;
    ensure!(names(&answer) == ids(&[&inside]), "{answer}");
    // Who waits for invitations goes on waiting.
    let mut waiting = wish.clone();
    waiting["filters"] = json!({ "is_invite": true });
    let mut waiting = Slide::of(&bob, json!({ "conn_id": "w", "lists": { "all": waiting } }));
    ensure!(names(&waiting.now().await?) == ids(&[&invited]));
    waiting.now().await?;
    ann.say(&inside, "again").await?;
    let answer = waiting.ask(300).await?;
    ensure!(names(&answer).is_empty(), "{answer}");
    bobs.next().await?;
    // What others have read changes no count.
    let read = |room: &RoomId, event_id: &str| {
        format!("/_matrix/client/v3/rooms/{room}/receipt/m.read/{event_id}")
    };
    ann.post(&read(&inside, &said), &json!({})).await?;
    let answer = bobs.ask(300).await?;
    ensure!(names(&answer).is_empty(), "{answer}");
    // What the person has read is told also of a room that the window showed neither then nor since.
    bobs.now().await?;
    let count = |answer: &Value, room: &RoomId| told(answer, room)["notification_count"].clone();
    let said = ann.say(&aside, "unread").await?;
    ensure!(count(&bobs.next().await?, &aside) == 1);
    ann.say(&inside, "the newest").await?;
    bobs.next().await?;
    let wide = bobs.body.clone();
    bobs.body["lists"]["all"]["ranges"] = json!([[0, 0]]);
    bob.post(&read(&aside, &said), &json!({})).await?;
    let answer = bobs.now().await?;
    ensure!(names(&answer).is_empty(), "{answer}");
    bobs.now().await?;
    bobs.body = wide;
    let answer = bobs.next().await?;
    ensure!(names(&answer) == ids(&[&aside]) && count(&answer, &aside) == 0, "{answer}");
    ensure!(names(&bobs.now().await?).is_empty(), "once");
    Ok(())
}

async fn a_room_becomes_a_conversation_between_two(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let other = room_of(&[&ann, &bob], &json!({ "preset": "public_chat" })).await?;
    let data = format!("/_matrix/client/v3/user/{}/account_data/m.direct", bob.id());
    let mut bobs = Slide::of(&bob, window(9, 5));
    ensure!(told(&bobs.now().await?, &room).get("is_dm").is_none());
    bobs.now().await?;
    bob.put(&data, &json!({ ann.id(): [room.as_str()], "@odd:a.test": 7 })).await?;
    let answer = bobs.next().await?;
    ensure!(names(&answer) == ids(&[&room]), "{answer}");
    let turned = told(&answer, &room);
    ensure!(turned["is_dm"] == true && turned.get("initial").is_none(), "{answer}");
    ann.say(&room, "hello").await?;
    ensure!(told(&bobs.next().await?, &room).get("is_dm").is_none(), "once");
    // It is told also when the window shows the room again.
    bobs.body["lists"]["all"]["ranges"] = json!([[0, 0]]);
    bobs.now().await?;
    bob.put(&data, &json!({ ann.id(): [other.as_str()] })).await?;
    let answer = bobs.next().await?;
    ensure!(names(&answer) == ids(&[&room]) && told(&answer, &room)["is_dm"] == false, "{answer}");
    bobs.body = window(9, 5);
    let answer = bobs.next().await?;
    ensure!(names(&answer) == ids(&[&other]) && told(&answer, &other)["is_dm"] == true, "{answer}");
    ensure!(names(&bobs.now().await?).is_empty());
    Ok(())
}

async fn a_space_is_looked_up_once_for_all_lists(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let mut rooms = Vec::new();
    for _ in 0..3 {
        rooms.push(ann.create_room(&json!({})).await?);
    }
    let child = |room: &str| json!({ "type": "m.space.child", "state_key": room, "content": { "via": ["a.test"] } });
    let mut spaces = Vec::new();
    for room in &rooms[..2] {
        let mut children: Vec<Value> = (0..100).map(|n| child(&format!("!c{n}:a.test"))).collect();
        children.push(child(room.as_str()));
        let space = json!({ "creation_content": { "type": "m.space" }, "initial_state": children });
        spaces.push(ann.create_room(&space).await?);
    }
    let list = |named: &[RoomId]| {
        let named: Vec<&str> = named.iter().map(RoomId::as_str).collect();
        json!({ "ranges": [[0, 9]], "timeline_limit": 0, "required_state": [], "filters": { "spaces": named } })
    };
    let both = json!({ "one": list(&spaces[..1]), "other": list(&spaces[1..]), "both": list(&spaces), "none": list(&rooms) });
    let answer = Slide::of(&ann, json!({ "lists": both })).now().await?;
    ensure!(names(&answer) == ids(&[&rooms[0], &rooms[1]]), "{answer}");
    let lists = json!({ "one": { "count": 1 }, "other": { "count": 1 }, "both": { "count": 2 }, "none": { "count": 0 } });
    ensure!(answer["lists"] == lists, "{answer}");
    // Each list once more costs little beside the first: looked up for each, it is a hundred times.
    let ask = async |count: usize| -> Result<Duration> {
        let lists: serde_json::Map<String, Value> =
            (0..count).map(|n| (n.to_string(), list(&spaces))).collect();
        let body = json!({ "lists": lists });
        let mut least = Duration::MAX;
        for _ in 0..5 {
            let begun = Instant::now();
            Slide::of(&ann, body.clone()).now().await?;
            least = least.min(begun.elapsed());
        }
        Ok(least)
    };
    let (one, hundred) = (ask(1).await?, ask(100).await?);
    ensure!(hundred < one * 10, "one list takes {one:?}, a hundred take {hundred:?}");
    Ok(())
}

async fn who_asks_for_too_much_is_refused(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let many: serde_json::Map<String, Value> =
        (0..101).map(|n| (n.to_string(), json!({}))).collect();
    let pairs = vec![json!(["a", "b"]); 201];
    for (body, code) in [
        (json!({ "lists": many }), "M_INVALID_PARAM"),
        (json!({ "lists": { "a": { "ranges": [[5, 1]] } } }), "M_INVALID_PARAM"),
        (json!({ "lists": { "a": { "required_state": pairs } } }), "M_INVALID_PARAM"),
        (json!({ "lists": { "a": { "ranges": [[-1, 1]] } } }), "M_BAD_JSON"),
        (json!({ "lists": { "a": { "timeline_limit": "x" } } }), "M_BAD_JSON"),
        (json!({ "room_subscriptions": { "none": {} } }), "M_BAD_JSON"),
        (
            json!({ "extensions": { "to_device": { "enabled": true, "since": "x" } } }),
            "M_INVALID_PARAM",
        ),
    ] {
        refused(Slide::of(&ann, body).ask(0).await, 400, code)?;
    }
    // Odd wishes that harm nobody are answered.
    for body in [
        json!({ "extensions": null, "lists": null, "room_subscriptions": null }),
        json!({ "extensions": { "receipts": null, "typing": { "lists": null } } }),
        json!({ "lists": { "a": { "ranges": [[0, u32::MAX]], "timeline_limit": u32::MAX } } }),
        json!({ "lists": { "a": { "ranges": [[7, 9]] } } }),
        json!({ "lists": { "a": { "required_state": [["*", ""]] } } }),
        json!({}),
    ] {
        Slide::of(&ann, body).ask(0).await?;
    }
    for query in ["timeout=x", "set_presence=dancing"] {
        let wrong = format!("{SLIDING}?{query}");
        refused(ann.post(&wrong, &json!({})).await, 400, "M_INVALID_PARAM")?;
    }
    let wrong = "/_matrix/client/v3/sync?set_presence=dancing";
    refused(ann.get(wrong).await, 400, "M_INVALID_PARAM")?;
    for state in ["online", "offline", "unavailable"] {
        ann.post(&format!("{SLIDING}?set_presence={state}"), &json!({})).await?;
        ann.get(&format!("/_matrix/client/v3/sync?set_presence={state}")).await?;
    }
    Ok(())
}
