//! Samples of coming in and going: accounts, devices, and addresses of people.

use super::{AUTH, Row, delete, get, page, post, put};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [coming_in(), mailing()].concat()
}

fn coming_in() -> Vec<Row> {
    vec![
        get("/_matrix/client/versions", "").nobody(),
        get("/.well-known/matrix/client", "").nobody(),
        get("/.well-known/matrix/server", "").nobody(),
        get("/capabilities", ""),
        Row { status: Some(404), ..get("/.well-known/matrix/support", "").nobody() },
        get("/voip/turnServer", ""),
        post("/user/{user_id}/openid/request_token", "<alice>", "{}"),
        post(
            "/register",
            "",
            r#"{"username":"u<new>","password":"<password>","device_id":"D","initial_device_display_name":"d",
               "inhibit_login":false,"refresh_token":false,"auth":{"type":"m.login.dummy","session":"s"}}"#,
        )
        .nobody()
        .query("kind=user"),
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
        // Clients of before 2018 name themselves so.
        post(
            "/login",
            "",
            r#"{"type":"m.login.password","user":"<alice>","password":"<password>"}"#,
        )
        .nobody()
        .again(),
        Row {
            status: Some(403),
            ..post("/login", "", r#"{"type":"m.login.token","token":"unknown"}"#).nobody().again()
        },
        post("/logout", "", "{}").anyones().ends(),
        post("/logout/all", "", "{}").anyones().ends(),
        get("/account/whoami", ""),
        post(
            "/account/password",
            "",
            r#"{"new_password":"<password>","logout_devices":false,
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#,
        )
        .ends(),
        post(
            "/account/deactivate",
            "",
            r#"{"erase":false,"id_server":"example.org",
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#,
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
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#,
        ),
        // So clients of before 2018 prove who they are.
        post(
            "/delete_devices",
            "",
            r#"{"devices":["<device>"],"auth":{"type":"m.login.password","user":"<alice>","password":"<password>"}}"#,
        )
        .again(),
    ]
}

/// Without a server to hand mail to, nobody is known by an address.
fn mailing() -> Vec<Row> {
    let ask = r#"{"client_secret":"s","email":"a@example.org","send_attempt":1,"next_link":"https://example.org/",
        "id_server":"example.org","id_access_token":"t"}"#;
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
               "auth":{"type":"m.login.password","identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#,
        )),
        post(
            "/account/3pid/delete",
            "",
            r#"{"medium":"email","address":"a@example.org","id_server":"127.0.0.1"}"#,
        )
        .anyones(),
        // No identity server is at an address to which nobody is called.
        refused(post(
            "/account/3pid/bind",
            "",
            r#"{"client_secret":"s","sid":"s","id_server":"127.0.0.1","id_access_token":"t"}"#,
        )),
        post(
            "/account/3pid/unbind",
            "",
            r#"{"medium":"email","address":"a@example.org","id_server":"127.0.0.1"}"#,
        )
        .anyones(),
        over(page("/confirm/{sid}/{token}", "none none")),
        over(post("/_/confirm", "none none", "").nobody()).at("/confirm/{sid}/{token}"),
    ]
}
