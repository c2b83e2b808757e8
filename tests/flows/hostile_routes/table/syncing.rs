//! Samples of keeping up: sync, its filters, and sliding sync.

use super::{Row, get, post};

const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    vec![
        get("/sync", "")
            .query("since=<since>&timeout=0&set_presence=offline&filter=<filter>&full_state=true&use_state_after=true"),
        post(
            "/user/{user_id}/filter",
            "<alice>",
            r#"{"event_format":"client","event_fields":["type"],
               "presence":{"limit":5,"types":["*"],"not_types":["t"],"senders":["<alice>"],"not_senders":["<mallory>"]},
               "account_data":{"limit":5,"types":["*"],"not_types":["t"],"senders":["<alice>"],"not_senders":["<mallory>"]},
               "room":{"rooms":["<room>"],"not_rooms":["!n:a.test"],"include_leave":false,
               "state":{"limit":5,"types":["*"],"not_types":["t"],"senders":["<alice>"],"not_senders":["<mallory>"],"rooms":["<room>"],"not_rooms":["!n:a.test"],"contains_url":false,
               "lazy_load_members":true,"include_redundant_members":true,"unread_thread_notifications":true},
               "timeline":{"limit":5,"types":["*"],"not_types":["t"],"senders":["<alice>"],"not_senders":["<mallory>"],"rooms":["<room>"],"not_rooms":["!n:a.test"],"contains_url":false,
               "lazy_load_members":true,"include_redundant_members":true,"unread_thread_notifications":true},
               "ephemeral":{"limit":5,"types":["*"],"not_types":["t"],"senders":["<alice>"],"not_senders":["<mallory>"],"rooms":["<room>"],"not_rooms":["!n:a.test"],"contains_url":false,
               "lazy_load_members":true,"include_redundant_members":true,"unread_thread_notifications":true},
               "account_data":{"limit":5,"types":["*"],"not_types":["t"],"senders":["<alice>"],"not_senders":["<mallory>"],"rooms":["<room>"],"not_rooms":["!n:a.test"],"contains_url":false,
               "lazy_load_members":true,"include_redundant_members":true,"unread_thread_notifications":true}}}"#,
        )
        .keeps(),
        get("/user/{user_id}/filter/{filter_id}", "<alice> <filter>"),
        sliding(),
        // In the words of the proposal's last text.
        post(
            SLIDING,
            "",
            r#"{"lists":{"all":{"range":[0,9],"timeline_limit":5,"required_state":{"include":[{"type":"m.room.name","state_key":""}],
               "exclude":[{"type":"m.room.topic","state_key":""}],"lazy_members":true}}},
               "room_subscriptions":{"<room>":{"timeline_limit":5,"required_state":{"include":[{"type":"m.room.name","state_key":""}],
               "exclude":[{"type":"m.room.topic","state_key":""}],"lazy_members":true}}}}"#,
        )
        .query("timeout=0")
        .keeps()
        .again(),
    ]
}

fn sliding() -> Row {
    post(
        SLIDING,
        "",
        r#"{"conn_id":"c","lists":{"all":{"ranges":[[0,9]],"timeline_limit":5,
           "required_state":[["m.room.name",""]],"filters":{"is_dm":false,"spaces":["!r:a.test"],
           "is_encrypted":false,"is_invite":false,"room_types":["t"],"not_room_types":["u"],
           "tags":["t"],"not_tags":["u"]}}},
           "room_subscriptions":{"<room>":{"timeline_limit":5,"required_state":[["m.room.name",""]]}},
           "extensions":{"to_device":{"enabled":true,"limit":5,"since":"m1"},"e2ee":{"enabled":true},
           "account_data":{"enabled":true,"lists":["all"],"rooms":["<room>"]},
           "receipts":{"enabled":true,"lists":["all"],"rooms":["<room>"]},
           "typing":{"enabled":true,"lists":["all"],"rooms":["<room>"]}}}"#,
    )
    // State is named by pairs or by elements.
    .free(&["/lists/*/required_state/*", "/room_subscriptions/*/required_state/*"])
    .query("timeout=0&set_presence=offline")
    .keeps()
}
