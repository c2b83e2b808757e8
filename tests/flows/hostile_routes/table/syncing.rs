//! Samples of keeping up: sync, its filters, and sliding sync.

use super::{Row, get, post};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    vec![
        get("/sync", "")
            .query("since=<since>&timeout=0&set_presence=offline&filter=<filter>&full_state=true"),
        post(
            "/user/{user_id}/filter",
            "<alice>",
            r#"{"event_format":"client","event_fields":["type"],"presence":{"types":["*"],"not_types":[]},"account_data":{"limit":1},
               "room":{"rooms":["<room>"],"include_leave":false,"state":{"lazy_load_members":true},
               "timeline":{"limit":5,"senders":["<alice>"],"contains_url":false}}}"#,
        ),
        get("/user/{user_id}/filter/{filter_id}", "<alice> <filter>"),
        sliding(),
    ]
}

fn sliding() -> Row {
    post(
        "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
        "",
        r#"{"conn_id":"c","lists":{"all":{"ranges":[[0,9]],"timeline_limit":5,
           "required_state":[["m.room.name",""]],"filters":{"is_dm":false,"spaces":["!r:a.test"],
           "is_encrypted":false,"is_invite":false,"room_types":["t"],"not_room_types":["u"],
           "tags":["t"],"not_tags":["u"]}}},
           "room_subscriptions":{"<room>":{"timeline_limit":5,"required_state":[["m.room.name",""]]}},
           "extensions":{"to_device":{"enabled":true,"limit":5,"since":"m1"},"e2ee":{"enabled":true},
           "account_data":{"enabled":true},"receipts":{"enabled":true},"typing":{"enabled":true}}}"#,
    )
    // State is named by pairs or by elements.
    .free(&["/lists/all/required_state", "/room_subscriptions/!"])
    .query("timeout=0&set_presence=offline")
}
