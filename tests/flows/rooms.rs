//! Rooms: who comes and goes, what their state is, and how they are found.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::{Client, RoomId};

use crate::stage::{
    Deeds, Ear, Stage, VERSIONS, escaped, list, one, part, refused, room_of, stories,
};

stories! {
    every_way_into_a_room;
    power_decides_who_goes;
    guests_come_where_they_are_let_in;
    state_is_set_and_read_in_every_form;
    a_request_that_is_repeated_does_nothing_more;
    only_who_may_redacts;
    aliases_and_the_directory;
    what_is_missing_or_unknown_is_said;
}

// Operations: joinRoom, knockRoom, inviteUser, joinRoomById.
async fn every_way_into_a_room(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    bob.put(
        &format!("/_matrix/client/v3/profile/{}/displayname", escaped(bob.id())),
        &json!({"displayname": "Bob"}),
    )
    .await?;
    let home = ann.create_room(&json!({"preset": "public_chat"})).await?;
    bob.join(&home).await?;
    for version in VERSIONS {
        let ruled = |rule: &str| json!({"room_version": version, "initial_state": [{"type": "m.room.join_rules", "content": {"join_rule": rule, "allow": [{"type": "m.room_membership", "room_id": home.as_str()}]}}]});
        let join = |room: &RoomId| format!("/_matrix/client/v3/rooms/{room}/join");
        let knock = |room: &RoomId| format!("/_matrix/client/v3/knock/{room}");

        let invite = ann.create_room(&ruled("invite")).await?;
        refused(bob.post(&join(&invite), &json!({})).await, 403, "M_FORBIDDEN")?;
        refused(bob.post(&knock(&invite), &json!({})).await, 403, "M_FORBIDDEN")?;
        ann.post(
            &format!("/_matrix/client/v3/rooms/{invite}/invite"),
            &json!({"user_id": bob.id(), "reason": "come"}),
        )
        .await?;
        let shown = ann.state(&invite, "m.room.member", &escaped(bob.id())).await?;
        ensure!(shown["displayname"] == "Bob" && shown["reason"] == "come", "{shown}");
        bob.post(&join(&invite), &json!({"reason": "hello"})).await?;
        bob.post(&join(&invite), &json!({})).await?;
        ensure!(
            bob.state(&invite, "m.room.member", &escaped(bob.id())).await?["reason"] == "hello"
        );
        refused(ann.deed(&invite, "invite", Some(&bob)).await, 403, "M_FORBIDDEN")?;
        refused(cat.deed(&invite, "invite", Some(&cat)).await, 403, "M_FORBIDDEN")?;

        let knocked = ann.create_room(&ruled("knock")).await?;
        refused(bob.post(&join(&knocked), &json!({})).await, 403, "M_FORBIDDEN")?;
        bob.post(&knock(&knocked), &json!({"reason": "please"})).await?;
        let path = format!("/_matrix/client/v3/rooms/{knocked}/members?membership=knock");
        ensure!(list(&ann.get(&path).await?["chunk"]).len() == 1);
        ann.deed(&knocked, "invite", Some(&bob)).await?;
        bob.join(&knocked).await?;
        refused(bob.post(&knock(&knocked), &json!({})).await, 403, "M_FORBIDDEN")?;

        for rule in ["restricted", "knock_restricted"] {
            let restricted = ann.create_room(&ruled(rule)).await?;
            bob.join(&restricted).await?;
            let member = bob.state(&restricted, "m.room.member", &escaped(bob.id())).await?;
            ensure!(member["join_authorised_via_users_server"] == ann.id(), "{member}");
            refused(cat.post(&join(&restricted), &json!({})).await, 403, "M_FORBIDDEN")?;
            // Nobody vouches for themselves in somebody else's name.
            let forged =
                json!({"membership": "join", "join_authorised_via_users_server": ann.id()});
            let path = format!(
                "/_matrix/client/v3/rooms/{restricted}/state/m.room.member/{}",
                escaped(cat.id())
            );
            refused(cat.put(&path, &forged).await, 403, "M_FORBIDDEN")?;
            if rule == "knock_restricted" {
                cat.post(&knock(&restricted), &json!({})).await?;
                ann.deed(&restricted, "invite", Some(&cat)).await?;
                cat.join(&restricted).await?;
            }
        }
        let name = format!("open-{version}");
        let open = ann
            .create_room(
                &json!({"preset": "public_chat", "room_version": version, "room_alias_name": name}),
            )
            .await?;
        let alias = escaped(&format!("#{name}:a.test"));
        let joined = bob.post(&format!("/_matrix/client/v3/join/{alias}"), &json!({})).await?;
        ensure!(joined["room_id"] == open.as_str(), "{joined}");
    }
    refused(
        bob.post("/_matrix/client/v3/join/%23none%3Aa.test", &json!({})).await,
        404,
        "M_NOT_FOUND",
    )?;
    refused(bob.post("/_matrix/client/v3/join/!none", &json!({})).await, 404, "M_NOT_FOUND")
}

// Operations: ban, getJoinedMembersByRoom, kick, unban.
async fn power_decides_who_goes(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    for version in VERSIONS {
        let asked = json!({"preset": "public_chat", "room_version": version});
        let room = room_of(&[&ann, &bob, &cat], &asked).await?;
        for verb in ["kick", "ban"] {
            refused(bob.deed(&room, verb, Some(&ann)).await, 403, "M_FORBIDDEN")?;
        }
        ann.post(
            &format!("/_matrix/client/v3/rooms/{room}/kick"),
            &json!({"user_id": bob.id(), "reason": "noise"}),
        )
        .await?;
        let member = ann.state(&room, "m.room.member", &escaped(bob.id())).await?;
        ensure!(member["membership"] == "leave" && member["reason"] == "noise", "{member}");
        refused(ann.deed(&room, "kick", Some(&bob)).await, 403, "M_FORBIDDEN")?;
        refused(ann.deed(&room, "unban", Some(&bob)).await, 403, "M_FORBIDDEN")?;
        bob.join(&room).await?;
        ann.deed(&room, "ban", Some(&bob)).await?;
        refused(
            bob.post(&format!("/_matrix/client/v3/join/{room}"), &json!({})).await,
            403,
            "M_FORBIDDEN",
        )?;
        refused(ann.deed(&room, "invite", Some(&bob)).await, 403, "M_FORBIDDEN")?;
        refused(bob.deed(&room, "leave", None).await, 403, "M_FORBIDDEN")?;
        refused(cat.deed(&room, "unban", Some(&bob)).await, 403, "M_FORBIDDEN")?;
        ann.deed(&room, "unban", Some(&bob)).await?;
        let answer = bob.deed(&room, "leave", None).await;
        refused(answer, 403, "M_FORBIDDEN")?;

        refused(cat.deed(&room, "forget", None).await, 400, "M_UNKNOWN")?;
        let members = |query: &str| format!("/_matrix/client/v3/rooms/{room}/members{query}");
        for (query, count) in
            [("", 3), ("?membership=join", 2), ("?not_membership=leave", 2), ("?membership=ban", 0)]
        {
            let found = list(&ann.get(&members(query)).await?["chunk"]);
            ensure!(found.len() == count, "{query}: {found:?}");
        }
        let joined = ann.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await?;
        ensure!(joined["joined"].as_object().is_some_and(|it| it.len() == 2), "{joined}");
        refused(
            bob.get(&format!("/_matrix/client/v3/rooms/{room}/joined_members")).await,
            403,
            "M_FORBIDDEN",
        )?;
        let before = Ear::of(&ann).await?.token;
        cat.deed(&room, "leave", None).await?;
        let then =
            list(&ann.get(&members(&format!("?membership=join&at={before}"))).await?["chunk"]);
        ensure!(then.len() == 2, "as it was at {before}: {then:?}");
        ensure!(list(&ann.get(&members("?membership=join&at=t1")).await?["chunk"]).is_empty());
    }
    Ok(())
}

async fn guests_come_where_they_are_let_in(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let guest = Client::guest(stage.node.http()).await?;
    let shut = ann.create_room(&json!({"preset": "public_chat"})).await?;
    let open = ann.create_room(&json!({"preset": "public_chat", "initial_state": [{"type": "m.room.guest_access", "content": {"guest_access": "can_join"}}]})).await?;
    refused(
        guest.post(&format!("/_matrix/client/v3/join/{shut}"), &json!({})).await,
        403,
        "M_GUEST_ACCESS_FORBIDDEN",
    )?;
    let own = |room: &RoomId| {
        format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{}", escaped(guest.id()))
    };
    refused(
        guest.put(&own(&shut), &json!({"membership": "join"})).await,
        403,
        "M_GUEST_ACCESS_FORBIDDEN",
    )?;
    for step in ["knock", "ban", "invite"] {
        let asked = guest.put(&own(&shut), &json!({"membership": step})).await;
        refused(asked, 403, "M_GUEST_ACCESS_FORBIDDEN")?;
    }
    guest.join(&open).await?;
    guest.say(&open, "hello").await?;
    refused(
        guest.post("/_matrix/client/v3/createRoom", &json!({})).await,
        403,
        "M_GUEST_ACCESS_FORBIDDEN",
    )?;
    refused(guest.deed(&open, "invite", Some(&ann)).await, 403, "M_GUEST_ACCESS_FORBIDDEN")?;
    let mut ear = Ear::of(&guest).await?;
    ann.set_state(&open, "m.room.guest_access", "", &json!({"guest_access": "forbidden"})).await?;
    let answer = ear.next().await?;
    ensure!(!part(&answer, &open, "leave").is_null(), "the guest is still there: {answer}");
    ensure!(
        ann.state(&open, "m.room.member", &escaped(guest.id())).await?["membership"] == "leave"
    );
    refused(guest.send_text(&open, "late", "still here").await, 403, "M_FORBIDDEN")?;
    // A rule that is emptied lets guests in no more than one that says so.
    let welcome = json!({"guest_access": "can_join"});
    let rule = ann.set_state(&open, "m.room.guest_access", "", &welcome).await?;
    guest.join(&open).await?;
    let redact = format!("/_matrix/client/v3/rooms/{open}/redact/{rule}/emptied");
    ann.put(&redact, &json!({})).await?;
    refused(guest.send_text(&open, "later", "still here").await, 403, "M_FORBIDDEN")
}

// Operations: getRoomState, getRoomStateWithKey, setRoomStateWithKey.
async fn state_is_set_and_read_in_every_form(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    bob.join(&room).await?;
    let state = format!("/_matrix/client/v3/rooms/{room}/state");
    let mut ids = Vec::new();
    for (path, content) in [
        ("org.example.a", 1),
        ("org.example.a/", 2),
        ("org.example.a/key", 3),
        ("org.example.a/%2Fodd%3F", 4),
    ] {
        let set = ann.put(&format!("{state}/{path}"), &json!({"n": content})).await?;
        ids.push(set["event_id"].clone());
        ensure!(ann.get(&format!("{state}/{path}")).await?["n"] == content, "{path}");
    }
    ensure!(ann.get(&format!("{state}/org.example.a")).await?["n"] == 2);
    let event = ann.get(&format!("{state}/org.example.a/key?format=event")).await?;
    ensure!(
        event["event_id"] == ids[2]
            && event["state_key"] == "key"
            && event["room_id"] == room.as_str(),
        "{event}"
    );
    ensure!(
        ann.get(&format!("{state}/org.example.a/key?format=content")).await? == json!({"n": 3})
    );
    let again = ann.put(&format!("{state}/org.example.a/key"), &json!({"n": 3})).await?;
    ensure!(again["event_id"] == ids[2], "the same state is no new event: {again}");
    let all = list(&ann.get(&state).await?);
    ensure!(
        one(&all, "org.example.a", Some("/odd?")).is_some()
            && one(&all, "m.room.create", Some("")).is_some()
    );

    refused(ann.get(&format!("{state}/org.example.none")).await, 404, "M_NOT_FOUND")?;
    refused(
        bob.put(&format!("{state}/m.room.name"), &json!({"name": "Mine"})).await,
        403,
        "M_FORBIDDEN",
    )?;
    refused(ann.put(&format!("{state}/m.room.create"), &json!({})).await, 403, "M_FORBIDDEN")?;
    refused(
        ann.put(&format!("{state}/org.example.a"), &json!({"n": 1.5})).await,
        400,
        "M_BAD_JSON",
    )?;
    refused(
        ann.put(&format!("{state}/org.example.a/{}", "k".repeat(256)), &json!({})).await,
        413,
        "M_TOO_LARGE",
    )?;
    // State that belongs to a person is theirs alone.
    refused(
        ann.put(&format!("{state}/org.example.own/{}", escaped(bob.id())), &json!({})).await,
        403,
        "M_FORBIDDEN",
    )?;
    for (content, code) in [
        (json!({"alias": "#none:a.test"}), "M_BAD_ALIAS"),
        (json!({"alt_aliases": ["nonsense"]}), "M_INVALID_PARAM"),
    ] {
        refused(ann.put(&format!("{state}/m.room.canonical_alias"), &content).await, 400, code)?;
    }
    let stranger = stage.person("cat").await?;
    refused(stranger.get(&state).await, 403, "M_FORBIDDEN")?;
    refused(stranger.get("/_matrix/client/v3/rooms/!none/state").await, 403, "M_FORBIDDEN")
}

// Operations: sendMessage.
async fn a_request_that_is_repeated_does_nothing_more(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let phone = Client::login(stage.node.http(), "ann").await?;
    let (room, other) = (ann.create_room(&json!({})).await?, ann.create_room(&json!({})).await?);
    let send =
        |room: &RoomId, kind: &str| format!("/_matrix/client/v3/rooms/{room}/send/{kind}/txn");
    let body = json!({"body": "once"});
    let first = ann.put(&send(&room, "m.room.message"), &body).await?["event_id"].clone();
    stage.restart().await?;
    let (ann, phone) = (ann.at(stage.node.http()), phone.at(stage.node.http()));
    let again = ann.put(&send(&room, "m.room.message"), &body).await?;
    ensure!(again["event_id"] == first, "{again}");
    // Another device, room or type makes another request of the same id.
    for (who, path) in [
        (&phone, send(&room, "m.room.message")),
        (&ann, send(&other, "m.room.message")),
        (&ann, send(&room, "org.example")),
    ] {
        let event = who.put(&path, &body).await?;
        ensure!(event["event_id"] != first, "{path}: {event}");
    }
    let id = first.as_str().context("an id")?;
    let redact = format!("/_matrix/client/v3/rooms/{room}/redact/{id}/txn");
    let once = ann.put(&redact, &json!({})).await?;
    ensure!(ann.put(&redact, &json!({})).await? == once && once["event_id"] != first);
    Ok(())
}

// Operations: redactEvent.
async fn only_who_may_redacts(stage: &mut Stage) -> Result<()> {
    let (ann, bob, cat) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("cat").await?);
    for version in VERSIONS {
        let asked = json!({"preset": "public_chat", "room_version": version});
        let room = room_of(&[&ann, &bob, &cat], &asked).await?;
        let said = bob.say(&room, "mine").await?;
        let redact = |event: &str, txn: &str| {
            format!("/_matrix/client/v3/rooms/{room}/redact/{event}/{txn}")
        };
        let read = |event: &str| format!("/_matrix/client/v3/rooms/{room}/event/{event}");
        // Being of one server gives nobody power over what another said.
        refused(cat.put(&redact(&said, "1"), &json!({})).await, 403, "M_FORBIDDEN")?;
        ensure!(bob.get(&read(&said)).await?["content"]["body"] == "mine");
        bob.put(&redact(&said, "1"), &json!({})).await?;
        ensure!(bob.get(&read(&said)).await?["content"] == json!({}));
        let said = bob.say(&room, "other").await?;
        // A redaction is sent as any event too, its target inside the content in every version.
        let send = format!("/_matrix/client/v3/rooms/{room}/send/m.room.redaction/1");
        let event = ann.put(&send, &json!({"redacts": said, "reason": "spam"})).await?;
        ensure!(bob.get(&read(&said)).await?["content"] == json!({}), "version {version}");
        let id = event["event_id"].as_str().context("an id")?;
        ensure!(bob.get(&read(id)).await?["content"]["reason"] == "spam");
        refused(ann.put(&redact("$none", "2"), &json!({})).await, 404, "M_NOT_FOUND")?;
        refused(ann.put(&format!("{send}0"), &json!({})).await, 400, "M_MISSING_PARAM")?;
        // Of a member event the membership stays, of the create event all does.
        let member = bob
            .get(&format!(
                "/_matrix/client/v3/rooms/{room}/state/m.room.member/{}?format=event",
                escaped(bob.id())
            ))
            .await?;
        let id = member["event_id"].as_str().context("an id")?;
        bob.put(&redact(id, "3"), &json!({})).await?;
        ensure!(
            bob.state(&room, "m.room.member", &escaped(bob.id())).await?
                == json!({"membership": "join"})
        );
        let state = list(&ann.get(&format!("/_matrix/client/v3/rooms/{room}/state")).await?);
        let shown = one(&state, "m.room.member", Some(bob.id())).context("Bob")?;
        ensure!(shown["unsigned"]["redacted_because"]["type"] == "m.room.redaction", "{shown}");
        let create = one(&state, "m.room.create", None)
            .and_then(|it| it["event_id"].as_str())
            .context("create")?;
        refused(ann.put(&redact(create, "4"), &json!({})).await, 403, "M_FORBIDDEN")?;
    }
    Ok(())
}

// Operations: getRoomVisibilityOnDirectory, setRoomVisibilityOnDirectory, deleteRoomAlias,
// getRoomIdByAlias, setRoomAlias, getPublicRooms, queryPublicRooms, getLocalAliases.
async fn aliases_and_the_directory(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    bob.join(&room).await?;
    let path = |alias: &str| format!("/_matrix/client/v3/directory/room/{}", escaped(alias));
    let named = json!({"room_id": room.as_str()});
    bob.put(&path("#hall:a.test"), &named).await?;
    refused(ann.put(&path("#hall:a.test"), &named).await, 409, "M_ROOM_IN_USE")?;
    refused(ann.put(&path("#hall:b.test"), &named).await, 400, "M_INVALID_PARAM")?;
    refused(ann.get(&path("#none:a.test")).await, 404, "M_NOT_FOUND")?;
    let list_path = format!("/_matrix/client/v3/rooms/{room}/aliases");
    ensure!(ann.get(&list_path).await?["aliases"] == json!(["#hall:a.test"]));
    let cat = stage.person("cat").await?;
    refused(cat.get(&list_path).await, 403, "M_FORBIDDEN")?;
    refused(cat.delete(&path("#hall:a.test")).await, 403, "M_FORBIDDEN")?;
    ann.delete(&path("#hall:a.test")).await?;
    refused(ann.delete(&path("#hall:a.test")).await, 404, "M_NOT_FOUND")?;

    let mut rooms = Vec::new();
    for (number, name) in
        ["Garden", "Cellar", "Attic", "Garden shed", "Porch"].into_iter().enumerate()
    {
        let kind = if number % 2 == 0 { json!({"type": "org.example.world"}) } else { json!({}) };
        let room = ann
            .create_room(&json!({"visibility": "public", "name": name, "creation_content": kind}))
            .await?;
        rooms.push(room.as_str().to_owned());
    }
    bob.post(&format!("/_matrix/client/v3/join/{}", rooms[2]), &json!({})).await?;
    let shown = |page: &Value| {
        list(&page["chunk"])
            .iter()
            .filter_map(|it| it["room_id"].as_str().map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let nobody = Client::nobody(stage.node.http())?;
    let (mut pages, mut since, mut back) = (Vec::new(), String::new(), None);
    loop {
        let page = nobody.get(&format!("/_matrix/client/v3/publicRooms?limit=2{since}")).await?;
        ensure!(page["total_room_count_estimate"] == 5, "{page}");
        ensure!(page.get("prev_batch").is_some() != pages.is_empty(), "{page}");
        pages.push(shown(&page));
        back = page["prev_batch"].as_str().map(str::to_owned).or(back);
        match page["next_batch"].as_str() {
            Some(next) => since = format!("&since={next}"),
            None => break,
        }
    }
    ensure!(pages.iter().map(Vec::len).collect::<Vec<_>>() == [2, 2, 1], "{pages:?}");
    ensure!(pages[0][0] == rooms[2], "the fullest comes first: {pages:?}");
    let back = back.context("a way back")?;
    let before =
        nobody.get(&format!("/_matrix/client/v3/publicRooms?limit=2&since={back}")).await?;
    ensure!(shown(&before) == pages[1], "back: {before}");
    let search = |filter: Value| json!({"filter": filter});
    for (filter, expected) in [
        (json!({"generic_search_term": "gARDen"}), 2),
        (json!({"room_types": ["org.example.world"]}), 3),
        (json!({"room_types": [null]}), 2),
        (json!({"room_types": [null, "org.example.world"]}), 5),
        (json!({"generic_search_term": "garden", "room_types": [null]}), 1),
    ] {
        let page = ann.post("/_matrix/client/v3/publicRooms", &search(filter.clone())).await?;
        ensure!(shown(&page).len() == expected, "{filter}: {page}");
    }
    let page = ann.post("/_matrix/client/v3/publicRooms", &json!({"limit": 1})).await?;
    let first = &page["chunk"][0];
    ensure!(
        first["num_joined_members"] == 2
            && first["name"] == "Attic"
            && first["join_rule"] == "public"
            && first["world_readable"] == false
            && first["guest_can_join"] == false
            && first["room_type"] == "org.example.world",
        "{first}"
    );
    let listed = format!("/_matrix/client/v3/directory/list/room/{}", rooms[2]);
    refused(bob.put(&listed, &json!({"visibility": "private"})).await, 403, "M_FORBIDDEN")?;
    ann.put(&listed, &json!({"visibility": "private"})).await?;
    ensure!(nobody.get(&listed).await?["visibility"] == "private");
    ensure!(shown(&nobody.get("/_matrix/client/v3/publicRooms").await?).len() == 4);
    for wrong in [json!({"visibility": 7}), json!({"visibility": "secret"})] {
        refused(ann.put(&listed, &wrong).await, 400, "M_BAD_JSON")?;
    }
    ensure!(nobody.get(&listed).await?["visibility"] == "private");
    // Who says no more lists it.
    ann.put(&listed, &json!({})).await?;
    ensure!(nobody.get(&listed).await?["visibility"] == "public");
    ensure!(shown(&nobody.get("/_matrix/client/v3/publicRooms").await?).len() == 5);
    refused(nobody.get("/_matrix/client/v3/directory/list/room/!none").await, 404, "M_NOT_FOUND")?;
    refused(nobody.post("/_matrix/client/v3/publicRooms", &json!({})).await, 401, "M_MISSING_TOKEN")
}

async fn what_is_missing_or_unknown_is_said(stage: &mut Stage) -> Result<()> {
    let ann = stage.person("ann").await?;
    let room = ann.create_room(&json!({})).await?;
    let rooms = format!("/_matrix/client/v3/rooms/{room}");
    for (path, code) in [
        ("messages", "M_MISSING_PARAM"),
        ("messages?dir=x", "M_INVALID_PARAM"),
        ("members?membership=gone", "M_INVALID_PARAM"),
        ("members?not_membership=gone", "M_INVALID_PARAM"),
    ] {
        refused(ann.get(&format!("{rooms}/{path}")).await, 400, code).context(path)?;
    }
    for (path, body, code) in [
        (format!("{rooms}/kick"), json!({"reason": "none named"}), "M_MISSING_PARAM"),
        (format!("{rooms}/kick"), json!({"user_id": 5}), "M_BAD_JSON"),
        ("/_matrix/client/v3/register?kind=robot".to_owned(), json!({}), "M_INVALID_PARAM"),
    ] {
        refused(ann.post(&path, &body).await, 400, code).context(path)?;
    }
    Ok(())
}
