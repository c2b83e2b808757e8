//! Samples of rooms: making and changing them, reading of them, finding them.

use super::{ONE, Row, delete, get, post, put};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [rooms(), reading(), finding()].concat()
}

/// With what somebody shows who was invited by an address; nobody needs it here.
const JOIN: &str = r#"{"reason":"r","third_party_signed":{"sender":"<bob>","mxid":"<alice>","token":"t",
    "signatures":{"example.org":{"ed25519:0":"s"}}}}"#;

fn rooms() -> Vec<Row> {
    let refused = |row: Row| Row { status: Some(400), ..row };
    vec![
        post(
            "/createRoom",
            "",
            r#"{"room_version":"11","preset":"private_chat","visibility":"private","name":"n","topic":"t",
               "room_alias_name":"a<new>","invite":["<bob>"],"is_direct":true,
               "creation_content":{"m.federate":true},"power_level_content_override":{"invite":0},
               "initial_state":[{"type":"m.room.guest_access","state_key":"","content":{"guest_access":"can_join"}}]}"#,
        )
        // The rules of rooms say nothing about guest access; only these words count for us.
        .free(&["/initial_state/*/content/guest_access"])
        .keeps(),
        // Where nobody is called: the room is made all the same.
        post(
            "/createRoom",
            "",
            r#"{"invite_3pid":[{"id_server":"127.0.0.1","id_access_token":"t","medium":"email","address":"a@example.org"}]}"#,
        )
        .again(),
        put(
            "/rooms/{room_id}/send/{event_type}/{txn_id}",
            "<room> m.room.message <new>",
            r#"{"msgtype":"m.text","body":"hello"}"#,
        )
        .free(&["/msgtype", "/body"]),
        put(
            "/rooms/{room_id}/state/{event_type}/{state_key}",
            "<room> org.example.note k",
            r#"{"note":"n"}"#,
        )
        .free(&["/note"]),
        put("/rooms/{room_id}/redact/{event_id}/{txn_id}", "<room> <event> <new>", r#"{"reason":"r"}"#),
        post("/rooms/{room_id}/join", "<open>", JOIN).anyones(),
        post("/join/{room_id_or_alias}", "<open>", JOIN).anyones(),
        post("/knock/{room_id_or_alias}", "<knocked>", r#"{"reason":"r"}"#).anyones(),
        post("/rooms/{room_id}/leave", "<room>", r#"{"reason":"r"}"#),
        post("/rooms/{room_id}/invite", "<room>", r#"{"user_id":"<mallory>","reason":"r"}"#),
        refused(post(
            "/rooms/{room_id}/invite",
            "<room>",
            r#"{"id_server":"127.0.0.1","id_access_token":"t","medium":"email","address":"a@example.org"}"#,
        ))
        .again(),
        post("/rooms/{room_id}/kick", "<room>", r#"{"user_id":"<bob>","reason":"r"}"#),
        post("/rooms/{room_id}/ban", "<room>", r#"{"user_id":"<bob>","reason":"r"}"#),
        post("/rooms/{room_id}/unban", "<banned>", r#"{"user_id":"<bob>","reason":"r"}"#),
        post("/rooms/{room_id}/forget", "<left>", "{}").anyones(),
        post(
            "/rooms/{room_id}/upgrade",
            "<room>",
            r#"{"new_version":"12","additional_creators":["<bob>"]}"#,
        ),
        get("/joined_rooms", ""),
    ]
}

fn reading() -> Vec<Row> {
    vec![
        get("/rooms/{room_id}/event/{event_id}", "<room> <event>"),
        get("/rooms/{room_id}/messages", "<room>")
            .query("dir=b&limit=5&from=<since>&filter=%7B%22lazy_load_members%22:true%7D"),
        get("/rooms/{room_id}/context/{event_id}", "<room> <event>").query("limit=3"),
        get(&format!("{ONE}/relations/{{event_id}}"), "<room> <event>")
            .query("dir=b&limit=5&from=<since>&to=<since>&recurse=true"),
        get(&format!("{ONE}/relations/{{event_id}}/{{rel_type}}"), "<room> <event> m.thread")
            .query("dir=f&limit=5&from=<since>&to=<since>&recurse=true"),
        get(
            &format!("{ONE}/relations/{{event_id}}/{{rel_type}}/{{event_type}}"),
            "<room> <event> m.thread m.room.message",
        )
        .query("dir=f&limit=5&from=<since>&to=<since>&recurse=true"),
        get(&format!("{ONE}/threads"), "<room>").query("include=participated&limit=5&from=<since>"),
        get("/rooms/{room_id}/state", "<room>"),
        get("/rooms/{room_id}/state/{event_type}/{state_key}", "<room> m.room.member <alice>")
            .query("format=content"),
        get("/rooms/{room_id}/initialSync", "<room>"),
        post(
            "/search",
            "",
            r#"{"search_categories":{"room_events":{"search_term":"secret","keys":["content.body"],"order_by":"recent",
               "filter":{"limit":3,"rooms":["<room>"],"not_rooms":["!n:a.test"],"types":["m.room.message"],
               "not_types":["t"],"senders":["<alice>"],"not_senders":["<mallory>"],"contains_url":false,"lazy_load_members":true,
               "include_redundant_members":true,"unread_thread_notifications":true},"include_state":true,"groupings":{"group_by":[{"key":"room_id"}]},
               "event_context":{"before_limit":1,"after_limit":1,"include_profile":true}}}}"#,
        )
        .anyones()
        .keeps(),
        get(&format!("{ONE}/timestamp_to_event"), "<room>").query("ts=1&dir=f"),
        get(&format!("{ONE}/hierarchy"), "<room>").query("suggested_only=true&limit=5&max_depth=2"),
        get("/rooms/{room_id}/members", "<room>")
            .query("membership=join&not_membership=leave&at=<since>"),
        get("/rooms/{room_id}/joined_members", "<room>"),
    ]
}

fn finding() -> Vec<Row> {
    vec![
        get("/publicRooms", "").query("limit=5&since=n1_2").nobody(),
        post(
            "/publicRooms",
            "",
            r#"{"limit":5,"since":"n1_2","filter":{"generic_search_term":"a","room_types":[null]}}"#,
        )
        .query("server=a.test")
        .keeps(),
        post("/publicRooms", "", r#"{"third_party_instance_id":"irc","include_all_networks":false}"#)
            .again(),
        get("/directory/list/room/{room_id}", "<room>").nobody(),
        put("/directory/list/room/{room_id}", "<room>", r#"{"visibility":"public"}"#),
        get("/directory/room/{room_alias}", "<alias>").nobody(),
        put("/directory/room/{room_alias}", "<new_alias>", r#"{"room_id":"<room>"}"#),
        delete("/directory/room/{room_alias}", "<alias>", ""),
        get("/rooms/{room_id}/aliases", "<room>"),
        get("/_matrix/client/v1/room_summary/{room_id_or_alias}", "<open>").query("via=a.test").nobody(),
        get("/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}", "<open>")
            .query("via=a.test")
            .nobody(),
    ]
}
