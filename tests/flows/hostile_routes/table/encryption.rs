//! Samples of encryption: keys, signatures, backups, and messages to devices.

use super::{Row, delete, get, post, put};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [encrypting(), backing_up()].concat()
}

fn encrypting() -> Vec<Row> {
    vec![
        post(
            "/keys/upload",
            "",
            r#"{"device_keys":{"user_id":"<alice>","device_id":"<own_device>","algorithms":["a"],
               "keys":{"ed25519:X":"k"},"signatures":{"<alice>":{"ed25519:X":"s"}}},
               "one_time_keys":{"signed_curve25519:A":{"key":"k","signatures":{"<alice>":{"ed25519:X":"s"}}}},
               "fallback_keys":{"signed_curve25519:F":{"key":"k","fallback":true,"signatures":{"<alice>":{"ed25519:X":"s"}}}}}"#,
        )
        // Keys are objects or texts.
        .free(&["/one_time_keys/*", "/fallback_keys/*"]),
        post("/keys/query", "", r#"{"timeout":1000,"device_keys":{"<alice>":["X"]}}"#).anyones(),
        post(
            "/keys/claim",
            "",
            r#"{"timeout":1000,"one_time_keys":{"<alice>":{"X":"signed_curve25519"}}}"#,
        )
        .anyones(),
        get("/keys/changes", "").query("from=<since>&to=<since>"),
        post(
            "/keys/device_signing/upload",
            "",
            r#"{"master_key":{"user_id":"<alice>","usage":["master"],"keys":{"ed25519:<master>":"<master>"},"signatures":{}},
               "self_signing_key":{"user_id":"<alice>","usage":["self_signing"],"keys":{"ed25519:<self_signing>":"<self_signing>"},
               "signatures":{"<alice>":{"ed25519:<master>":"<self_signing_signed>"}}},
               "user_signing_key":{"user_id":"<alice>","usage":["user_signing"],"keys":{"ed25519:<user_signing>":"<user_signing>"},
               "signatures":{"<alice>":{"ed25519:<master>":"<user_signing_signed>"}}},
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#,
        ),
        post(
            "/keys/signatures/upload",
            "",
            r#"{"<alice>":{"X":{"user_id":"<alice>","signatures":{"<alice>":{"ed25519:X":"s"}}}}}"#,
        )
        // What is wrong with a signature is said beside those that were kept.
        .free(&["/*/*"])
        .anyones(),
        put(
            "/sendToDevice/{event_type}/{txn_id}",
            "org.example.note <new>",
            r#"{"messages":{"<alice>":{"*":{"a":1}}}}"#,
        )
        .free(&["/messages/*/*"])
        .anyones(),
    ]
}

fn backing_up() -> Vec<Row> {
    let algorithm = r#"{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{"public_key":"YWJj","signatures":{}}}"#;
    let changed = r#"{"version":"<backup>","algorithm":"m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data":{"public_key":"YWJj","signatures":{}}}"#;
    let key = r#"{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"a":"b"}}"#;
    let sessions = r#"{"sessions":{"s":{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"a":"b"}}}}"#;
    let all = r#"{"rooms":{"!r:a.test":{"sessions":{"s":{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"a":"b"}}}}}}"#;
    let version = "/room_keys/version/{version}";
    let of_room = "/room_keys/keys/{room_id}";
    let one = "/room_keys/keys/{room_id}/{session_id}";
    // What the algorithms keep is theirs to read.
    let free = &["/auth_data/*", "/session_data/*"];
    vec![
        post("/room_keys/version", "", algorithm).free(free),
        get("/room_keys/version", "").query("a=<backup>"),
        get(version, "<backup>"),
        put(version, "<backup>", changed).free(free),
        delete(version, "<backup>", ""),
        put("/room_keys/keys", "", all)
            .query("version=<backup>")
            .free(&["/rooms/*/sessions/*/session_data/*"]),
        put(of_room, "!r:a.test", sessions)
            .query("version=<backup>")
            .free(&["/sessions/*/session_data/*"]),
        put(one, "!r:a.test s", key).query("version=<backup>").free(free),
        get("/room_keys/keys", "").query("version=<backup>"),
        get(of_room, "!r:a.test").query("version=<backup>"),
        get(one, "!r:a.test s").query("version=<backup>"),
        delete("/room_keys/keys", "", "").query("version=<backup>"),
        delete(of_room, "!r:a.test", "").query("version=<backup>"),
        delete(one, "!r:a.test s", "").query("version=<backup>"),
    ]
}
