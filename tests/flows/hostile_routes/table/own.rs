//! Samples of the node's own routes: pages, invitations, worlds, and what people wear there.

use super::{Row, delete, get, page, post, put};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [own(), identity(), worlds()].concat()
}

fn identity() -> Vec<Row> {
    vec![
        get("/_wayside/v1/identity", ""),
        Row { status: Some(400), ..post("/_wayside/v1/identity", "", r#"{"log":"{}"}"#) },
        Row {
            status: Some(404),
            ..post(
                "/_wayside/v1/identity/saved",
                "",
                r#"{"seal_key":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}"#,
            )
        },
        // Nobody knows them, nothing leads here, and nothing of it is theirs.
        Row {
            status: Some(404),
            ..post(
                "/_wayside/v1/identity/search",
                "",
                r#"{"account":"@ada:a.test","seal_key":"x","at":[]}"#,
            )
        },
        Row { status: Some(400), ..put("/_wayside/v1/identity/moved", "", r#"{"log":"{}"}"#) },
        Row {
            status: Some(403),
            ..post(
                "/_wayside/v1/identity/luggage",
                "",
                r#"{"version":1,"scid":"Qm","account":"@ada:a.test","packed_ms":1,
                    "friends":[{"account":"@bob:b.test"}],"blocked":[]}"#,
            )
        },
        Row {
            status: Some(404),
            ..post(
                "/_wayside/v1/identity/membership",
                "",
                r#"{"asks":[{"type":"Badge","badge":"x"}]}"#,
            )
        },
        get("/_wayside/v1/identity/credentials", ""),
        Row {
            status: Some(404),
            ..post("/_wayside/v1/identity/credentials", "", r#"{"credential":{}}"#)
        },
        Row {
            status: Some(404),
            ..put("/_wayside/v1/identity/credentials/{id}", "00", r#"{"shown":true}"#)
        },
        Row { status: Some(404), ..delete("/_wayside/v1/identity/credentials/{id}", "00", "") },
        get("/_wayside/v1/badges", ""),
        Row { status: Some(404), ..delete("/_wayside/v1/badges/{badge}", "none", "").root() },
        get("/_wayside/v1/given", "").root(),
        Row {
            status: Some(404),
            ..post(
                "/_wayside/v1/given",
                "",
                r#"{"user_id":"<alice>","badge":{"id":"x","name":"X","description":"Y"},
                    "until_ms":9007199254740991}"#,
            )
            .root()
        },
        Row { status: Some(404), ..delete("/_wayside/v1/given/{number}", "1", "").root() },
        get("/_wayside/v1/credentials/status/{list}", "1").anyones(),
    ]
}

fn own() -> Vec<Row> {
    vec![
        page("/", ""),
        page("/join/{invitation}", "<invitation>"),
        page("/w/{world}", "plaza"),
        page("/account", ""),
        page("/sign-in", ""),
        page("/sign-in/return", ""),
        page("/link", ""),
        page("/present", ""),
        page("/open", ""),
        page("/reset/{link}", "wres_unknown"),
        page("/web/{name}", "<script>"),
        page("/manifest.webmanifest", ""),
        page("/service-worker.js", ""),
        page("/icon.svg", ""),
        page("/icon-192.png", ""),
        page("/icon-512.png", ""),
        page("/health/live", ""),
        page("/health/ready", ""),
        page("/metrics", ""),
        post("/_wayside/v1/invitations", "", r#"{"role":"guest","uses":1,"lasts_ms":60000}"#),
        post("/_wayside/v1/account/keep", "", r#"{"password":"<password>"}"#).guest().ends(),
        Row {
            status: Some(403),
            ..post(
                "/_wayside/v1/account/keep",
                "",
                r#"{"password":"<password>","invitation":"unknown"}"#,
            )
            .guest()
            .again()
            // Without the invitation it is a good call.
            .ends()
        },
        get("/_wayside/v1/account", ""),
        get("/_wayside/v1/servers", "").query("from=.a.test").root(),
        Row { status: Some(404), ..post("/_wayside/v1/servers/{server}/try", "b.test", "").root() },
        get("/_wayside/v1/dids/{did}", "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp")
            .anyones(),
        Row { page: false, ..page("/.well-known/did.json", "") },
        get("/_wayside/v1/friends", ""),
        // Nobody is called so, or is known.
        Row {
            status: Some(404),
            ..put("/_wayside/v1/friends/{user_id}", "@nobody:a.test", r#"{"message":"Hello"}"#)
        },
        Row { status: Some(404), ..delete("/_wayside/v1/friends/{user_id}", "@nobody:a.test", "") },
        get("/_wayside/v1/blocks", ""),
        put("/_wayside/v1/blocks/{user_id}", "@nobody:a.test", "{}").anyones(),
        delete("/_wayside/v1/blocks/{user_id}", "@nobody:a.test", "").anyones(),
        put(
            "/_wayside/v1/place",
            "",
            r##"{"world":"#plaza:a.test","server":"a.test","name":"The Plaza","public":true}"##,
        ),
        delete("/_wayside/v1/place", "", ""),
        get("/_wayside/v1/nodes/{server}", "a.test").anyones(),
        // Its DID says nothing of a home.
        Row {
            status: Some(404),
            ..post(
                "/_wayside/v1/homes",
                "",
                r#"{"home":"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"}"#,
            )
            .nobody()
        },
        Row { page: false, status: Some(404), ..page("/people/{name}/did.jsonl", "alice") },
        Row { page: false, status: Some(404), ..page("/people/{name}/did.json", "nobody") },
        get("/_wayside/v1/node", "").nobody(),
        get("/_wayside/v1/invitations/{invitation}", "<invitation>").nobody(),
        get("/_matrix/federation/v1/version", "").nobody(),
        get("/_matrix/key/v2/server", "").nobody(),
        get("/_matrix/key/v2/server/{key_id}", "ed25519:1").nobody(),
        get("/_matrix/key/v2/server/", "").nobody(),
        get("/_matrix/key/v2/query/{server}", "a.test").query("minimum_valid_until_ts=5").nobody(),
        post(
            "/_matrix/key/v2/query",
            "",
            r#"{"server_keys":{"a.test":{"ed25519:1":{"minimum_valid_until_ts":5}}}}"#,
        )
        .nobody()
        .keeps(),
        get("/_matrix/federation/v1/openid/userinfo", "").query("access_token=<openid>").nobody(),
        put("/_matrix/federation/v1/3pid/onbind", "", BOUND).nobody(),
        post("/_matrix/federation/v1/3pid/onbind", "", BOUND).nobody(),
    ]
}

/// What an identity server tells of an address for which nothing has waited.
const BOUND: &str = r#"{"medium":"email","address":"a@example.org","mxid":"<alice>","invites":[]}"#;

fn worlds() -> Vec<Row> {
    let one = "/_wayside/v1/worlds/{world}";
    vec![
        get("/_wayside/v1/worlds", "").nobody(),
        post(
            "/_wayside/v1/worlds",
            "",
            r#"{"name":"w","description":"d","scene":"<scene>","preview":"<preview>","capacity":5,"rating":"general","public":true,"encrypted":false}"#,
        ),
        get(one, "<world>").nobody(),
        get("/_wayside/v1/worlds/{world}/portals", "<world>").nobody(),
        Row {
            status: Some(404),
            ..get("/_wayside/v1/previews/{server}/{hash}", "b.test <worn>").nobody()
        },
        post("/_wayside/v1/worlds/{world}/visits", "<world>", "{}").anyones(),
        post("/_wayside/v1/visitors/challenge", "", "{}").nobody(),
        Row {
            status: Some(403),
            ..post(
                "/_wayside/v1/worlds/{world}/visitors",
                "<world>",
                r#"{"challenge":"a.1.b","presentation":{},"blocks":{"salt":"AAAAAAAAAAAAAAAAAAAAAA","hashes":[]}}"#,
            )
            .nobody()
        },
        get("/_wayside/v1/avatar", ""),
        put("/_wayside/v1/avatar", "", r#"{"variant":3}"#),
        put("/_wayside/v1/avatar", "", r#"{"sha256":"<worn>"}"#).again(),
        post("/_wayside/v1/avatars", "", "<vrm>").query("name=a.vrm"),
        put("/_wayside/v1/avatars/{hash}/licence", "<worn>", r#"{"credential":null}"#),
        Row {
            status: Some(400),
            ..put("/_wayside/v1/avatars/{hash}/licence", "<worn>", r#"{"credential":{}}"#).again()
        },
        delete("/_wayside/v1/avatars/{hash}", "<worn>", ""),
        get("/_wayside/v1/assets/{hash}", "<asset>").nobody(),
        get("/_wayside/v1/bodies/{seed}", "0000000000000001").nobody(),
        get("/_wayside/v1/motions/{name}", "wave").nobody(),
        Row { status: Some(426), ..get("/_wayside/v1/realtime", "").nobody() },
    ]
}
