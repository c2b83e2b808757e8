//! A valid sample of every route: without one a route may not be in the node's table.

/// A valid call of a route. Words in angle brackets stand for things that the stage makes.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The method.
    pub(crate) method: &'static str,
    /// The route's main path, as the node's table writes it.
    pub(crate) path: &'static str,
    /// The values of the variables in the path, parted by spaces.
    pub(crate) arguments: &'static str,
    /// The query, without its question mark.
    pub(crate) query: &'static str,
    /// The body.
    pub(crate) body: &'static str,
    /// Who calls: a word of the stage, or nobody.
    pub(crate) who: &'static str,
    /// Whether other people get on with the same call as well.
    pub(crate) anyones: bool,
    /// Where in the body the specification takes any JSON, as JSON pointers.
    pub(crate) free: &'static [&'static str],
    /// Whether a good call ends the caller's session or account.
    pub(crate) ends: bool,
    /// Whether people read it in a browser, so that it refuses with a page.
    pub(crate) page: bool,
    /// How the sample is answered, where that is no success.
    pub(crate) status: Option<u16>,
}

const C: &str = "/_matrix/client/v3";
const ONE: &str = "/_matrix/client/v1/rooms/{room_id}";

/// All samples.
pub(crate) fn rows() -> Vec<Row> {
    let matrix = [coming_in(), rooms(), reading(), people(), finding(), media()];
    let others = [
        letting_in(),
        showing_passkeys(),
        mailing(),
        encrypting(),
        backing_up(),
        pushing(),
        own(),
        worlds(),
        running(),
        bridging(),
        overseeing(),
    ];
    [matrix.concat(), others.concat(), vec![sliding()]].concat()
}

fn row(method: &'static str, path: &str, arguments: &'static str, body: &'static str) -> Row {
    let path = if path.starts_with("/_") || path.starts_with("/.") {
        path.to_owned()
    } else {
        format!("{C}{path}")
    };
    Row {
        method,
        // Made once and compared often; the story is a short-lived process.
        path: path.leak(),
        arguments,
        query: "",
        body,
        who: "alice",
        anyones: false,
        free: &[],
        ends: false,
        page: false,
        status: None,
    }
}

fn get(path: &str, arguments: &'static str) -> Row {
    row("GET", path, arguments, "")
}

fn put(path: &str, arguments: &'static str, body: &'static str) -> Row {
    row("PUT", path, arguments, body)
}

fn post(path: &str, arguments: &'static str, body: &'static str) -> Row {
    row("POST", path, arguments, body)
}

fn delete(path: &str, arguments: &'static str, body: &'static str) -> Row {
    row("DELETE", path, arguments, body)
}

fn page(path: &'static str, arguments: &'static str) -> Row {
    Row { path, page: true, ..get("", arguments) }.nobody()
}

impl Row {
    fn nobody(self) -> Self {
        Self { who: "", ..self }
    }

    fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    fn guest(self) -> Self {
        Self { who: "guest", ..self }
    }

    fn root(self) -> Self {
        Self { who: "root", ..self }
    }

    fn anyones(self) -> Self {
        Self { anyones: true, ..self }
    }

    fn ends(self) -> Self {
        Self { ends: true, ..self }
    }

    fn query(self, query: &'static str) -> Self {
        Self { query, ..self }
    }

    fn free(self, free: &'static [&'static str]) -> Self {
        Self { free, ..self }
    }
}

const AUTH: &str = r#"{"auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>"}}"#;

fn coming_in() -> Vec<Row> {
    vec![
        get("/_matrix/client/versions", "").nobody(),
        get("/.well-known/matrix/client", "").nobody(),
        get("/capabilities", ""),
        Row { status: Some(404), ..get("/.well-known/matrix/support", "").nobody() },
        get("/voip/turnServer", ""),
        post("/user/{user_id}/openid/request_token", "<alice>", "{}"),
        post(
            "/register",
            "",
            r#"{"username":"u<new>","password":"<password>","device_id":"D","initial_device_display_name":"d",
               "inhibit_login":false,"refresh_token":false,"auth":{"type":"m.login.dummy"}}"#,
        )
        .nobody(),
        get("/register/available", "").query("username=u<new>").nobody(),
        get("/_matrix/client/v1/register/m.login.registration_token/validity", "")
            .query("token=<invitation>")
            .nobody(),
        get("/login", "").nobody(),
        post(
            "/login",
            "",
            r#"{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>",
               "device_id":"D","initial_device_display_name":"d","refresh_token":true}"#,
        )
        .nobody(),
        post("/logout", "", "{}").anyones().ends(),
        post("/logout/all", "", "{}").anyones().ends(),
        get("/account/whoami", ""),
        post(
            "/account/password",
            "",
            r#"{"new_password":"<password>","logout_devices":false,
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>"}}"#,
        )
        .ends(),
        post(
            "/account/deactivate",
            "",
            r#"{"erase":false,
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>"}}"#,
        )
        .ends(),
        get("/devices", ""),
        get("/devices/{device_id}", "<device>"),
        put("/devices/{device_id}", "<device>", r#"{"display_name":"d"}"#),
        delete("/devices/{device_id}", "<device>", AUTH),
        post(
            "/delete_devices",
            "",
            r#"{"devices":["<device>"],
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>"}}"#,
        ),
    ]
}

/// Without a server to hand mail to, nobody is known by an address.
fn mailing() -> Vec<Row> {
    let ask = r#"{"client_secret":"s","email":"a@example.org","send_attempt":1,"next_link":"https://example.org/"}"#;
    let refused = |row: Row| Row { status: Some(400), ..row };
    let over = |row: Row| Row { status: Some(404), page: true, ..row };
    vec![
        refused(post("/account/3pid/email/requestToken", "", ask).nobody()),
        refused(post("/register/email/requestToken", "", ask).nobody()),
        refused(post("/account/password/email/requestToken", "", ask).nobody()),
        get("/account/3pid", "").anyones(),
        refused(post(
            "/account/3pid/add",
            "",
            r#"{"client_secret":"s","sid":"s",
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>"}}"#,
        )),
        post(
            "/account/3pid/delete",
            "",
            r#"{"medium":"email","address":"a@example.org","id_server":"example.org"}"#,
        )
        .anyones(),
        over(page("/confirm/{sid}/{token}", "none none")),
        over(post("/_/confirm", "none none", "").nobody()).at("/confirm/{sid}/{token}"),
    ]
}

fn rooms() -> Vec<Row> {
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
        .free(&["/initial_state/0/content/guest_access"]),
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
        post("/rooms/{room_id}/join", "<open>", r#"{"reason":"r"}"#).anyones(),
        post("/join/{room_id_or_alias}", "<open>", r#"{"reason":"r"}"#).anyones(),
        post("/knock/{room_id_or_alias}", "<knocked>", r#"{"reason":"r"}"#).anyones(),
        post("/rooms/{room_id}/leave", "<room>", r#"{"reason":"r"}"#),
        post("/rooms/{room_id}/invite", "<room>", r#"{"user_id":"<mallory>","reason":"r"}"#),
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
        get("/rooms/{room_id}/state/{event_type}/{state_key}", "<room> m.room.member <alice>"),
        get("/rooms/{room_id}/initialSync", "<room>"),
        post(
            "/search",
            "",
            r#"{"search_categories":{"room_events":{"search_term":"secret","keys":["content.body"],"order_by":"recent",
               "filter":{"limit":3,"rooms":["<room>"]},"include_state":true,"groupings":{"group_by":[{"key":"room_id"}]},
               "event_context":{"before_limit":1,"after_limit":1,"include_profile":true}}}}"#,
        ),
        get(&format!("{ONE}/timestamp_to_event"), "<room>").query("ts=1&dir=f"),
        get(&format!("{ONE}/hierarchy"), "<room>").query("suggested_only=true&limit=5&max_depth=2"),
        get("/rooms/{room_id}/members", "<room>").query("membership=join&at=<since>"),
        get("/rooms/{room_id}/joined_members", "<room>"),
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
    ]
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

fn finding() -> Vec<Row> {
    vec![
        get("/publicRooms", "").query("limit=5&since=n1_2").nobody(),
        post(
            "/publicRooms",
            "",
            r#"{"limit":5,"since":"n1_2","filter":{"generic_search_term":"a","room_types":[null]}}"#,
        )
        // Null stands for rooms without a type, and texts for themselves.
        .free(&["/filter/room_types/0"]),
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
            ..get("/_matrix/client/v1/media/preview_url", "").query("url=https://example.org/")
        },
    ]
}

fn encrypting() -> Vec<Row> {
    vec![
        post(
            "/keys/upload",
            "",
            r#"{"device_keys":{"user_id":"<alice>","device_id":"<own_device>","algorithms":["a"],
               "keys":{"ed25519:X":"k"},"signatures":{"<alice>":{"ed25519:X":"s"}}},
               "one_time_keys":{"signed_curve25519:A":{"key":"k","signatures":{"<alice>":{"ed25519:X":"s"}}}},
               "fallback_keys":{"signed_curve25519:F":{"key":"k","fallback":true}}}"#,
        )
        // Keys are objects or texts.
        .free(&["/one_time_keys/signed_curve25519:A", "/fallback_keys/signed_curve25519:F"]),
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
            r#"{"master_key":{"user_id":"<alice>","usage":["master"],
               "keys":{"ed25519:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}},
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>"}}"#,
        ),
        post(
            "/keys/signatures/upload",
            "",
            r#"{"<alice>":{"X":{"user_id":"<alice>","signatures":{"<alice>":{"ed25519:X":"s"}}}}}"#,
        )
        // What is wrong with a signature is said beside those that were kept.
        .free(&["/@"])
        .anyones(),
        put(
            "/sendToDevice/{event_type}/{txn_id}",
            "org.example.note <new>",
            r#"{"messages":{"<alice>":{"*":{"a":1}}}}"#,
        )
        .free(&["/messages/@"])
        .anyones(),
    ]
}

fn backing_up() -> Vec<Row> {
    let algorithm = r#"{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{"public_key":"YWJj","signatures":{}}}"#;
    let key = r#"{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"a":"b"}}"#;
    let sessions = r#"{"sessions":{"s":{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"a":"b"}}}}"#;
    let all = r#"{"rooms":{"!r:a.test":{"sessions":{"s":{"first_message_index":1,"forwarded_count":0,"is_verified":true,"session_data":{"a":"b"}}}}}}"#;
    let version = "/room_keys/version/{version}";
    let of_room = "/room_keys/keys/{room_id}";
    let one = "/room_keys/keys/{room_id}/{session_id}";
    // What the algorithms keep is theirs to read.
    let free = &["/auth_data/", "/session_data/"];
    vec![
        post("/room_keys/version", "", algorithm).free(free),
        get("/room_keys/version", "").query("a=<backup>"),
        get(version, "<backup>"),
        put(version, "<backup>", algorithm).free(free),
        delete(version, "<backup>", ""),
        put("/room_keys/keys", "", all)
            .query("version=<backup>")
            .free(&["/rooms/!r:a.test/sessions/s/session_data/"]),
        put(of_room, "!r:a.test", sessions)
            .query("version=<backup>")
            .free(&["/sessions/s/session_data/"]),
        put(one, "!r:a.test s", key).query("version=<backup>").free(free),
        get("/room_keys/keys", "").query("version=<backup>"),
        get(of_room, "!r:a.test").query("version=<backup>"),
        get(one, "!r:a.test s").query("version=<backup>"),
        delete("/room_keys/keys", "", "").query("version=<backup>"),
        delete(of_room, "!r:a.test", "").query("version=<backup>"),
        delete(one, "!r:a.test s", "").query("version=<backup>"),
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

fn pushing() -> Vec<Row> {
    let one = "/pushrules/global/{kind}/{rule_id}";
    let message = "underride .m.rule.message";
    vec![
        get("/pushrules/", ""),
        get("/pushrules/global/", ""),
        get(one, message).anyones(),
        put(one, "content <new>", r#"{"pattern":"p","actions":["notify"]}"#)
            // An action may be a word or an object.
            .free(&["/actions/"])
            .anyones(),
        delete(one, "content <push_rule>", ""),
        get("/pushrules/global/{kind}/{rule_id}/enabled", message).anyones(),
        put("/pushrules/global/{kind}/{rule_id}/enabled", message, r#"{"enabled":true}"#).anyones(),
        get("/pushrules/global/{kind}/{rule_id}/actions", message).anyones(),
        put("/pushrules/global/{kind}/{rule_id}/actions", message, r#"{"actions":["notify"]}"#)
            .free(&["/actions/"])
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

/// Tokens, programs, and the page on which people let them in.
fn letting_in() -> Vec<Row> {
    let own = "/_wayside/v1/oauth";
    let answered = |status: u16, row: Row| Row { status: Some(status), ..row.nobody() };
    let form = |name: &str, body| post(&format!("{own}/{name}"), "", body);
    vec![
        answered(404, get("/_wayside/v1/resets/{link}", "wres_unknown")),
        answered(404, post("/_wayside/v1/resets/{link}", "wres_unknown", r#"{"password":"<password>"}"#)),
        answered(401, post("/refresh", "", r#"{"refresh_token":"wrt_unknown"}"#)),
        post("/_matrix/client/v1/login/get_token", "", AUTH),
        get("/_matrix/client/v1/auth_metadata", "").nobody(),
        get("/_matrix/client/unstable/org.matrix.msc2965/auth_metadata", "").nobody(),
        get("/.well-known/oauth-authorization-server", "").nobody(),
        answered(302, get("/login/sso/redirect", "").query("redirectUrl=https%3A%2F%2Fa.test&action=login")),
        post(
            &format!("{own}/register"),
            "",
            r#"{"client_name":"App","client_uri":"https://app.test/","redirect_uris":["https://app.test/"],
               "logo_uri":"https://app.test/l.png","tos_uri":"https://app.test/t","policy_uri":"https://app.test/p",
               "application_type":"web","grant_types":["authorization_code"],"response_types":["code"],
               "token_endpoint_auth_method":"none"}"#,
        )
        .nobody(),
        answered(400, form("token", "grant_type=authorization_code&client_id=x&code=x&redirect_uri=x&code_verifier=x")),
        form("revoke", "token=x&client_id=x").nobody(),
        form(
            "device",
            "client_id=<program>&scope=urn:matrix:client:api:*+urn:matrix:client:device:HOSTILE",
        )
        .nobody(),
        answered(
            404,
            get("/login/sso/redirect/{provider}", "unknown").query("redirectUrl=https%3A%2F%2Fa.test&action=login"),
        ),
        // The node of the story knows no provider.
        answered(404, post("/_wayside/v1/providers/{provider}/begin", "unknown", r#"{"browser":"0123456789abcdef0123456789abcdef"}"#)),
        answered(
            403,
            post(
                "/_wayside/v1/providers/finish",
                "",
                r#"{"state":"club.a.1.b","code":"c","iss":"https://a.test","browser":"0123456789abcdef0123456789abcdef"}"#,
            ),
        ),
        answered(
            403,
            post("/_wayside/v1/providers/register", "", r#"{"ticket":"a.b","browser":"0123456789abcdef0123456789abcdef","name":"ann"}"#),
        ),
        answered(
            403,
            post(
                "/_wayside/v1/providers/link",
                "",
                r#"{"ticket":"a.b","browser":"0123456789abcdef0123456789abcdef","proof":{"user":"<alice>","password":"<password>"}}"#,
            ),
        ),
        // The node of the story knows no provider, and Alice is known by none.
        get("/_wayside/v1/links", ""),
        Row { status: Some(404), ..post("/_wayside/v1/links", "", ADD_LINK) },
        Row { status: Some(404), ..delete("/_wayside/v1/links/{link}", "unknown", AUTH) },
        answered(
            302,
            get("/auth/{stage}/fallback/web", "m.login.sso").query("session=any"),
        ),
        Row {
            page: true,
            status: Some(403),
            ..post("/auth/{stage}/fallback/web", "m.login.dummy", "").query("session=any").nobody()
        },
        post("/_wayside/v1/sign-in/look", "", LOOK).nobody(),
        post("/_wayside/v1/sign-in", "", SIGN_IN).nobody(),
    ]
}

/// Passkeys. Only a device could answer a ceremony: what is shown here answers none.
fn showing_passkeys() -> Vec<Row> {
    let own = "/_wayside/v1/passkeys";
    let below = |name: &str, body| post(&format!("{own}/{name}"), "", body);
    let one = "/_wayside/v1/passkeys/{passkey}";
    vec![
        get(own, ""),
        below("add", AUTH),
        Row { status: Some(403), ..post(own, "", ADD_PASSKEY) },
        put(one, "<passkey>", r#"{"name":"secret"}"#),
        delete(one, "<passkey>", AUTH),
        Row { status: Some(404), who: "bob", ..below("confirm", "{}") },
        below("show", r#"{"for":"sign_in"}"#).nobody(),
        Row { status: Some(403), ..below("token", SHOWN).nobody() },
        Row { status: Some(403), ..below("password", PASSKEY_PASSWORD).nobody() },
    ]
}

const ADD_LINK: &str = r#"{"provider":"club","browser":"0123456789abcdef0123456789abcdef"}"#;
const ADD_PASSKEY: &str = r#"{"ceremony":"e30.e30","name":"x","credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA"},"clientExtensionResults":{}}}"#;
const SHOWN: &str = r#"{"ceremony":"e30.e30","credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AAAA","signature":"AAAA","userHandle":"AAAA"},"clientExtensionResults":{}}}"#;
const PASSKEY_PASSWORD: &str = r#"{"ceremony":"e30.e30","password":"<password>","credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AAAA","signature":"AAAA","userHandle":"AAAA"},"clientExtensionResults":{}}}"#;

const LOOK: &str =
    r#"{"what":{"authorization":{"client_id":"<program>","redirect_uri":"https://app.test/"}}}"#;

const SIGN_IN: &str = r#"{"what":{"authorization":{"client_id":"<program>","redirect_uri":"https://app.test/",
    "response_type":"code","response_mode":"query","state":"s","code_challenge_method":"S256",
    "scope":"urn:matrix:client:api:* urn:matrix:client:device:HOSTILE",
    "code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}},
    "proof":{"user":"<alice>","password":"<password>"}}"#;

fn own() -> Vec<Row> {
    vec![
        page("/", ""),
        page("/join/{invitation}", "<invitation>"),
        page("/w/{world}", "plaza"),
        page("/account", ""),
        page("/sign-in", ""),
        page("/sign-in/return", ""),
        page("/link", ""),
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
        get("/_wayside/v1/node", "").nobody(),
        get("/_wayside/v1/invitations/{invitation}", "<invitation>").nobody(),
        get("/_matrix/federation/v1/version", "").nobody(),
        get("/_matrix/key/v2/server", "").nobody(),
        get("/_matrix/federation/v1/openid/userinfo", "").query("access_token=<openid>").nobody(),
    ]
}

fn overseeing() -> Vec<Row> {
    let user = "/_synapse/admin/v2/users/{user_id}";
    let room = "/_synapse/admin/v1/rooms/{room_id}";
    let unknown = |row: Row| Row { status: Some(404), ..row };
    vec![
        get("/_synapse/admin/v1/server_version", "").nobody(),
        // The node of the story shares no secret with tools.
        unknown(get("/_synapse/admin/v1/register", "").nobody()),
        unknown(
            post(
                "/_synapse/admin/v1/register",
                "",
                r#"{"nonce":"n","username":"u<new>","password":"<password>","admin":false,"mac":"00",
                   "displayname":"d","user_type":"t"}"#,
            )
            .nobody(),
        ),
        get("/_synapse/admin/v2/users", "")
            .query("from=0&limit=5&name=a&guests=true&deactivated=true&locked=true&admins=false&order_by=name&dir=f")
            .root(),
        get(user, "<alice>").root(),
        put(
            user,
            "<alice>",
            r#"{"password":"<password>","logout_devices":false,"displayname":"d","avatar_url":"mxc://a.test/a",
               "admin":false,"deactivated":false,"locked":false,"threepids":[],"external_ids":[]}"#,
        )
        .root()
        .ends(),
        post("/_synapse/admin/v1/deactivate/{user_id}", "<alice>", r#"{"erase":false}"#).root().ends(),
        get("/_synapse/admin/v1/rooms", "")
            .query("from=0&limit=5&search_term=s&order_by=name&dir=f")
            .root(),
        get(room, "<room>").root(),
        get("/_synapse/admin/v1/rooms/{room_id}/members", "<room>").root(),
        delete(
            room,
            "<room>",
            r#"{"new_room_user_id":"<bob>","room_name":"n","message":"m","block":false,"purge":true,"force_purge":false}"#,
        )
        .root(),
        delete("/_synapse/admin/v2/rooms/{room_id}", "<room>", r#"{"block":false,"purge":true}"#).root(),
        unknown(get("/_synapse/admin/v2/rooms/{room_id}/delete_status", "<room>").root()),
        unknown(get("/_synapse/admin/v2/rooms/delete_status/{delete_id}", "none").root()),
    ]
}

fn running() -> Vec<Row> {
    let lock = "/_matrix/client/v1/admin/lock/{user_id}";
    let suspend = "/_matrix/client/v1/admin/suspend/{user_id}";
    vec![
        get("/admin/whois/{user_id}", "<alice>"),
        get(lock, "<alice>").root(),
        put(lock, "<alice>", r#"{"locked":false}"#).root(),
        get(suspend, "<alice>").root(),
        put(suspend, "<alice>", r#"{"suspended":false}"#).root(),
    ]
}

/// The node of the story has no application services: most of this leads nowhere.
fn bridging() -> Vec<Row> {
    let none = |row: Row| Row { status: Some(404), ..row }.anyones();
    let forbidden = |row: Row| Row { status: Some(403), ..row };
    vec![
        get("/thirdparty/protocols", ""),
        none(get("/thirdparty/protocol/{protocol}", "irc")),
        none(get("/thirdparty/location/{protocol}", "irc").query("channel=c")),
        none(get("/thirdparty/location", "").query("alias=%23a:a.test")),
        none(get("/thirdparty/user/{protocol}", "irc").query("nick=n")),
        none(get("/thirdparty/user", "").query("userid=<bob>")),
        forbidden(post(
            "/_matrix/client/v1/appservice/{appservice_id}/ping",
            "irc",
            r#"{"transaction_id":"t"}"#,
        )),
        forbidden(put(
            "/directory/list/appservice/{network_id}/{room_id}",
            "irc <room>",
            r#"{"visibility":"public"}"#,
        )),
    ]
}

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
        post("/_wayside/v1/worlds/{world}/visits", "<world>", "{}").anyones(),
        get("/_wayside/v1/avatar", ""),
        put("/_wayside/v1/avatar", "", r#"{"variant":3}"#),
        post("/_wayside/v1/avatars", "", "<vrm>").query("name=a.vrm"),
        delete("/_wayside/v1/avatars/{hash}", "<worn>", ""),
        get("/_wayside/v1/assets/{hash}", "<asset>").nobody(),
        get("/_wayside/v1/bodies/{seed}", "0000000000000001").nobody(),
        get("/_wayside/v1/motions/{name}", "wave").nobody(),
        Row { status: Some(426), ..get("/_wayside/v1/realtime", "").nobody() },
    ]
}
