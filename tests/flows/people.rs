//! People: profiles, their own data, presence.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wayside_tests::Client;

use crate::stage::{Deeds, Ear, Stage, escaped, is_quiet, list, one, part, refused, stories};

stories! {
    a_profile_holds_any_field;
    a_name_spreads_into_rooms;
    own_data_is_ones_own;
    presence_is_shown_and_ends;
    who_wants_no_invitations_gets_none;
}

fn profile(who: &Client, field: &str) -> String {
    format!("/_matrix/client/v3/profile/{}{field}", escaped(who.id()))
}

// Operations: getUserProfile, deleteProfileField, getProfileField, setProfileField.
async fn a_profile_holds_any_field(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let nobody = Client::nobody(stage.node.http())?;
    let fields = [
        ("displayname", json!("Ann")),
        ("avatar_url", json!("mxc://a.test/abc")),
        ("m.tz", json!("Europe/London")),
        ("org.example.avatar_vrm", json!({"url": "mxc://a.test/vrm", "list": [1, null, "x"]})),
        ("org.example.nothing", Value::Null),
    ];
    for (name, value) in &fields {
        let path = profile(&ann, &format!("/{name}"));
        ann.put(&path, &json!({*name: value, "other": 1}))
            .await
            .with_context(|| (*name).to_owned())?;
        ensure!(nobody.get(&path).await? == json!({*name: value}), "{name}");
    }
    let whole = nobody.get(&profile(&ann, "")).await?;
    ensure!(fields.iter().all(|(name, value)| whole[*name] == *value), "{whole}");
    ensure!(whole.as_object().is_some_and(|it| it.len() == fields.len()), "{whole}");

    let key = |length: usize| format!("org.{}", "k".repeat(length - 4));
    let cases = [
        ("org.example.x".to_owned(), json!({}), "M_MISSING_PARAM"),
        ("displayname".to_owned(), json!({"displayname": 7}), "M_BAD_JSON"),
        ("avatar_url".to_owned(), json!({"avatar_url": "http://a.test/x"}), "M_BAD_JSON"),
        ("Org.Example".to_owned(), json!({"Org.Example": 1}), "M_INVALID_PARAM"),
        (key(256), json!({key(256): 1}), "M_KEY_TOO_LARGE"),
        (
            "org.example.big".to_owned(),
            json!({"org.example.big": "x".repeat(65_536)}),
            "M_PROFILE_TOO_LARGE",
        ),
    ];
    for (name, body, code) in cases {
        refused(ann.put(&profile(&ann, &format!("/{name}")), &body).await, 400, code)?;
    }
    ann.put(&profile(&ann, &format!("/{}", key(255))), &json!({key(255): 1})).await?;
    // What fits only alone does not fit beside the rest; what takes its place does.
    let half = |name: &str| json!({name: "x".repeat(40_000)});
    ann.put(&profile(&ann, "/org.half"), &half("org.half")).await?;
    refused(
        ann.put(&profile(&ann, "/org.other"), &half("org.other")).await,
        400,
        "M_PROFILE_TOO_LARGE",
    )?;
    ann.put(&profile(&ann, "/org.half"), &half("org.half")).await?;
    for _ in 0..2 {
        ann.delete(&profile(&ann, "/org.half")).await?;
        refused(nobody.get(&profile(&ann, "/org.half")).await, 404, "M_NOT_FOUND")?;
    }
    refused(
        bob.put(&profile(&ann, "/displayname"), &json!({"displayname": "Eve"})).await,
        403,
        "M_FORBIDDEN",
    )?;
    refused(bob.delete(&profile(&ann, "/displayname")).await, 403, "M_FORBIDDEN")?;
    refused(nobody.put(&profile(&ann, "/displayname"), &json!({})).await, 401, "M_MISSING_TOKEN")?;
    refused(nobody.get("/_matrix/client/v3/profile/@none:a.test").await, 404, "M_NOT_FOUND")
}

async fn a_name_spreads_into_rooms(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let path = profile(&ann, "/displayname");
    ann.put(&path, &json!({"displayname": "Ann"})).await?;
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    let own = ann.create_room(&json!({"preset": "public_chat"})).await?;
    bob.join(&room).await?;
    ann.set_state(
        &own,
        "m.room.member",
        &escaped(ann.id()),
        &json!({"membership": "join", "displayname": "Here other"}),
    )
    .await?;
    let mut ear = Ear::of(&bob).await?;
    let shown = async |room: &wayside_tests::RoomId| -> Result<Value> {
        Ok(ann.state(room, "m.room.member", &escaped(ann.id())).await?["displayname"].clone())
    };
    ann.put(&format!("{path}?propagate_to=unchanged"), &json!({"displayname": "Anne"})).await?;
    ensure!(shown(&room).await? == "Anne" && shown(&own).await? == "Here other");
    let answer = ear.next().await?;
    let events = list(part(&answer, &room, "join/timeline"));
    let moved = one(&events, "m.room.member", Some(ann.id())).context("the name is news")?;
    ensure!(
        moved["content"]["displayname"] == "Anne"
            && moved["unsigned"]["prev_content"]["displayname"] == "Ann",
        "{moved}"
    );
    ann.put(&format!("{path}?propagate_to=none"), &json!({"displayname": "Annie"})).await?;
    ensure!(shown(&room).await? == "Anne" && ann.get(&path).await?["displayname"] == "Annie");
    ear.hears_nothing().await?;
    ann.put(&path, &json!({"displayname": "Ann"})).await?;
    ensure!(shown(&room).await? == "Ann" && shown(&own).await? == "Ann");
    refused(
        ann.put(&format!("{path}?propagate_to=some"), &json!({"displayname": "A"})).await,
        400,
        "M_INVALID_PARAM",
    )?;
    // Null takes the name away, as does DELETE.
    ann.put(&path, &json!({"displayname": null})).await?;
    ensure!(shown(&room).await?.is_null());
    refused(ann.get(&path).await, 404, "M_NOT_FOUND")?;
    ann.put(&path, &json!({"displayname": "Ann"})).await?;
    ann.delete(&path).await?;
    ensure!(shown(&room).await?.is_null());
    Ok(())
}

// Operations: getAccountData, setAccountData, getAccountDataPerRoom, setAccountDataPerRoom.
async fn own_data_is_ones_own(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let phone = Client::login(stage.node.http(), "ann").await?;
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    bob.join(&room).await?;
    let user = format!("/_matrix/client/v3/user/{}", escaped(ann.id()));
    let (global, of_room) =
        (format!("{user}/account_data"), format!("{user}/rooms/{room}/account_data"));
    let (mut ear, mut other) = (Ear::of(&phone).await?, Ear::of(&bob).await?);
    other.now().await?;
    for data in [&global, &of_room] {
        let path = format!("{data}/org.example.setting");
        refused(ann.get(&path).await, 404, "M_NOT_FOUND")?;
        ann.put(&path, &json!({"value": [1, {"deep": true}]})).await?;
        ensure!(phone.get(&path).await? == json!({"value": [1, {"deep": true}]}));
        refused(bob.get(&path).await, 403, "M_FORBIDDEN")?;
        refused(bob.put(&path, &json!({})).await, 403, "M_FORBIDDEN")?;
        for kind in ["m.fully_read", "m.push_rules"] {
            refused(ann.put(&format!("{data}/{kind}"), &json!({})).await, 405, "M_BAD_JSON")?;
        }
        refused(ann.put(&path, &json!([1])).await, 400, "M_BAD_JSON")?;
        // Larger than any event, for clients keep long lists here.
        ann.put(&format!("{data}/org.example.long"), &json!({"x": "x".repeat(300_000)})).await?;
    }
    let answer = ear.next().await?;
    let kinds = |value: &Value| list(value).iter().map(|it| it["type"].clone()).collect::<Vec<_>>();
    ensure!(
        kinds(&answer["account_data"]) == ["org.example.setting", "org.example.long"],
        "{answer}"
    );
    ensure!(kinds(part(&answer, &room, "join/account_data")).len() == 2, "{answer}");
    ensure!(list(part(&answer, &room, "join/timeline")).is_empty(), "{answer}");
    ear.hears_nothing().await?;
    ensure!(is_quiet(&other.now().await?), "Bob hears of Ann's data");
    // What was set for a room before it was joined comes with the joining.
    let later = bob.create_room(&json!({"invite": [ann.id()]})).await?;
    let path = format!("{user}/rooms/{later}/account_data/org.example.early");
    ann.put(&path, &json!({"early": true})).await?;
    ear.now().await?;
    ann.join(&later).await?;
    let answer = ear.next().await?;
    ensure!(kinds(part(&answer, &later, "join/account_data")) == ["org.example.early"], "{answer}");
    refused(
        ann.put(&format!("{user}/rooms/nonsense/account_data/a"), &json!({})).await,
        400,
        "M_INVALID_PARAM",
    )
}

// Operations: getPresence, setPresence.
async fn presence_is_shown_and_ends(stage: &mut Stage) -> Result<()> {
    let (ann, bob) = (stage.person("ann").await?, stage.person("bob").await?);
    let room = ann.create_room(&json!({"preset": "public_chat"})).await?;
    bob.join(&room).await?;
    let status = |who: &Client| format!("/_matrix/client/v3/presence/{}/status", escaped(who.id()));
    refused(bob.get(&status(&ann)).await, 404, "M_NOT_FOUND")?;
    // Asking for news makes one present, unless one says otherwise.
    ann.get("/_matrix/client/v3/sync?set_presence=offline").await?;
    refused(bob.get(&status(&ann)).await, 404, "M_NOT_FOUND")?;
    ann.get("/_matrix/client/v3/sync?set_presence=unavailable").await?;
    ensure!(bob.get(&status(&ann)).await?["presence"] == "unavailable");
    let mut ear = Ear::of(&bob).await?;
    ann.get("/_matrix/client/v3/sync").await?;
    let told =
        |answer: &Value| list(&answer["presence"]).into_iter().find(|it| it["sender"] == ann.id());
    let event = ear.hear(told).await?;
    ensure!(
        event["type"] == "m.presence"
            && event["content"]["presence"] == "online"
            && event["content"]["currently_active"] == true
            && event["content"]["last_active_ago"].is_u64(),
        "{event}"
    );
    ann.put(&status(&ann), &json!({"presence": "offline", "status_msg": "bye"})).await?;
    let event = ear.hear(told).await?;
    ensure!(
        event["content"]["presence"] == "offline" && event["content"]["status_msg"] == "bye",
        "{event}"
    );
    refused(ann.put(&status(&ann), &json!({"presence": "dancing"})).await, 400, "M_BAD_JSON")?;
    refused(
        ann.put(&status(&ann), &json!({"presence": "online", "status_msg": "x".repeat(1_025)}))
            .await,
        413,
        "M_TOO_LARGE",
    )?;
    // Who meets is told how the other is.
    let cat = stage.person("cat").await?;
    let (mut cats, mut anns) = (Ear::of(&cat).await?, Ear::of(&ann).await?);
    cats.now().await?;
    cat.join(&room).await?;
    cats.hear(told).await?;
    anns.hear(|it| it["presence"].to_string().contains(cat.id()).then_some(())).await?;
    // After the last common room they are strangers.
    bob.deed(&room, "leave", None).await?;
    refused(bob.get(&status(&ann)).await, 403, "M_FORBIDDEN")
}

/// Client-server API, invite permission.
async fn who_wants_no_invitations_gets_none(stage: &mut Stage) -> Result<()> {
    let (ann, bob, eve) =
        (stage.person("ann").await?, stage.person("bob").await?, stage.person("eve").await?);
    let early = ann.create_room(&json!({"preset": "private_chat", "invite": [bob.id()]})).await?;
    let room = ann.create_room(&json!({"preset": "private_chat"})).await?;
    let mut ear = Ear::of(&bob).await?;
    let permission = format!(
        "/_matrix/client/v3/user/{}/account_data/m.invite_permission_config",
        escaped(bob.id())
    );
    bob.put(&permission, &json!({"default_action": "block"})).await?;
    ear.now().await?;

    let invite = format!("/_matrix/client/v3/rooms/{room}/invite");
    let wish = json!({"user_id": bob.id()});
    refused(ann.post(&invite, &wish).await, 403, "M_INVITE_BLOCKED")?;
    let member =
        format!("/_matrix/client/v3/rooms/{room}/state/m.room.member/{}", escaped(bob.id()));
    let invited = json!({"membership": "invite"});
    refused(ann.put(&member, &invited).await, 403, "M_INVITE_BLOCKED")?;
    let with_bob = json!({"preset": "private_chat", "invite": [bob.id()]});
    refused(ann.post("/_matrix/client/v3/createRoom", &with_bob).await, 403, "M_INVITE_BLOCKED")?;
    // Whoever could not invite them anyway learns nothing of it.
    refused(eve.post(&invite, &wish).await, 403, "M_FORBIDDEN")?;
    refused(ann.state(&room, "m.room.member", bob.id()).await, 404, "M_NOT_FOUND")?;
    ensure!(is_quiet(&ear.now().await?), "somebody who wants no invitations heard of one");

    // What came before is not shown either, in either kind of sync; and everybody else's is.
    let (_, first) = Ear::begin(&bob, "").await?;
    ensure!(part(&first, &early, "invite").is_null(), "{first}");
    let lists = json!({"lists": {"all": {"ranges": [[0, 9]], "timeline_limit": 1,
        "required_state": []}}});
    let sliding = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    let slid = bob.post(sliding, &lists).await?;
    ensure!(slid["rooms"].get(early.as_str()).is_none(), "{slid}");
    ann.post(&invite, &json!({"user_id": eve.id()})).await?;

    // They come to rooms that let everybody in, and can be invited again when they want to.
    bob.put(&permission, &json!({"default_action": "whatever"})).await?;
    ann.post(&invite, &wish).await?;
    let told = ear.now().await?;
    ensure!(!part(&told, &room, "invite").is_null(), "{told}");
    bob.join(&room).await
}
