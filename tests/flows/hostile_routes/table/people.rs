//! Samples of what people have for themselves: profiles, data, notifications, files.

use super::{Row, delete, get, post, put};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [people(), pushing(), media()].concat()
}

fn people() -> Vec<Row> {
    vec![
        get("/profile/{user_id}", "<alice>").nobody(),
        get("/profile/{user_id}/{field}", "<alice> displayname").nobody(),
        put("/profile/{user_id}/{field}", "<alice> displayname", r#"{"displayname":"Alice"}"#),
        delete("/profile/{user_id}/{field}", "<alice> displayname", "{}"),
        get("/user/{user_id}/account_data/{event_type}", "<alice> <data>"),
        put("/user/{user_id}/account_data/{event_type}", "<alice> org.example.a", r#"{"a":1}"#)
            .free(&["/a"]),
        get(
            "/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
            "<alice> <room> <room_data>",
        ),
        put(
            "/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
            "<alice> <room> org.example.a",
            r#"{"a":1}"#,
        )
        .free(&["/a"]),
        put(
            "/rooms/{room_id}/typing/{user_id}",
            "<room> <alice>",
            r#"{"typing":true,"timeout":1000}"#,
        ),
        post(
            "/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
            "<room> m.read <event>",
            r#"{"thread_id":"main"}"#,
        ),
        post(
            "/rooms/{room_id}/read_markers",
            "<room>",
            r#"{"m.fully_read":"<event>","m.read":"<event>","m.read.private":"<event>"}"#,
        ),
        post("/rooms/{room_id}/report", "<room>", r#"{"reason":"r"}"#).anyones(),
        post("/rooms/{room_id}/report/{event_id}", "<room> <event>", r#"{"reason":"r"}"#),
        post("/users/{user_id}/report", "<bob>", r#"{"reason":"r"}"#).anyones(),
        get("/user/{user_id}/rooms/{room_id}/tags", "<alice> <room>"),
        put(
            "/user/{user_id}/rooms/{room_id}/tags/{tag}",
            "<alice> <room> u.work",
            r#"{"order":0.5}"#,
        ),
        delete("/user/{user_id}/rooms/{room_id}/tags/{tag}", "<alice> <room> u.work", "{}"),
        post("/user_directory/search", "", r#"{"search_term":"<bob>","limit":3}"#),
        get("/_matrix/client/v1/mutual_rooms", "").query("user_id=<bob>&from=m1"),
        get("/presence/{user_id}/status", "<present>"),
        put("/presence/{user_id}/status", "<alice>", r#"{"presence":"online","status_msg":"s"}"#),
    ]
}

fn pushing() -> Vec<Row> {
    let one = "/pushrules/global/{kind}/{rule_id}";
    let message = "underride .m.rule.message";
    vec![
        get("/pushrules/", ""),
        get("/pushrules/global/", ""),
        get(one, message).anyones(),
        put(one, "content <new>", r#"{"pattern":"p","actions":["notify"]}"#)
            // An action may be a word or an object.
            .free(&["/actions/*"])
            .anyones(),
        put(
            one,
            "override <new>",
            r#"{"actions":[{"set_tweak":"sound","value":"default"}],"conditions":[
               {"kind":"event_match","key":"content.body","pattern":"p"},{"kind":"room_member_count","is":"2"},
               {"kind":"event_property_is","key":"content.m\\.b","value":true}]}"#,
        )
        .free(&["/actions/*"])
        .anyones()
        .again(),
        delete(one, "content <push_rule>", ""),
        get("/pushrules/global/{kind}/{rule_id}/enabled", message).anyones(),
        put("/pushrules/global/{kind}/{rule_id}/enabled", message, r#"{"enabled":true}"#).anyones(),
        get("/pushrules/global/{kind}/{rule_id}/actions", message).anyones(),
        put("/pushrules/global/{kind}/{rule_id}/actions", message, r#"{"actions":["notify"]}"#)
            .free(&["/actions/*"])
            .anyones(),
        get("/notifications", "").query("from=5&limit=5&only=highlight"),
        get("/pushers", "").anyones(),
        post(
            "/pushers/set",
            "",
            r#"{"app_id":"org.example.app","pushkey":"<new>","kind":"http","app_display_name":"a",
               "device_display_name":"d","profile_tag":"p","lang":"en","append":true,
               "data":{"url":"https://push.example.org/_matrix/push/v1/notify","format":"event_id_only"}}"#,
        )
        .anyones(),
    ]
}

fn media() -> Vec<Row> {
    let download = "/_matrix/client/v1/media/download/{server_name}/{media_id}";
    let named = "/_matrix/client/v1/media/download/{server_name}/{media_id}/{filename}";
    let thumbnail = "/_matrix/client/v1/media/thumbnail/{server_name}/{media_id}";
    vec![
        post("/_matrix/media/v3/upload", "", "any bytes").query("filename=f.bin"),
        put("/_matrix/media/v3/upload/{server_name}/{media_id}", "a.test <awaited>", "any bytes")
            .query("filename=f.bin"),
        post("/_matrix/media/v1/create", "", ""),
        get(download, "a.test <picture>").query("allow_remote=false&timeout_ms=1").anyones(),
        get(named, "a.test <picture> f.png").query("allow_remote=false&timeout_ms=1").anyones(),
        get(thumbnail, "a.test <picture>")
            .query("width=8&height=8&method=crop&animated=false&timeout_ms=1")
            .anyones(),
        get("/_matrix/client/v1/media/config", ""),
        // Off here, and so unknown.
        Row {
            status: Some(404),
            ..get("/_matrix/client/v1/media/preview_url", "").query("url=https://example.org/&ts=1")
        },
    ]
}
