//! Samples of running a node: its operators' routes, and those of application services.

use super::{Row, delete, get, post, put};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [overseeing(), running(), bridging()].concat()
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
        Row { status: Some(400), ..put(user, "<alice>", r#"{"user_type":"bot"}"#).root().again() },
        post("/_synapse/admin/v1/deactivate/{user_id}", "<alice>", r#"{"erase":false}"#).root().ends(),
        post("/_synapse/admin/v1/media/quarantine/{server}/{media_id}", "b.test none", "").root(),
        post("/_synapse/admin/v1/media/unquarantine/{server}/{media_id}", "b.test none", "").root(),
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
        delete("/_synapse/admin/v2/rooms/{room_id}", "<room>", r#"{"new_room_user_id":"<bob>","room_name":"n","message":"m","block":false,"purge":true,"force_purge":false}"#).root(),
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
