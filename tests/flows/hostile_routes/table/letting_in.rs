//! Samples of tokens, programs, passkeys, and the page on which people let programs in.

use super::{AUTH, Row, delete, get, post, put};

/// All of them.
pub(super) fn rows() -> Vec<Row> {
    [letting_in(), coming_from_elsewhere(), showing_passkeys()].concat()
}

/// Tokens, programs, and the page on which people let them in.
fn letting_in() -> Vec<Row> {
    let own = "/_wayside/v1/oauth";
    let answered = |status: u16, row: Row| Row { status: Some(status), ..row.nobody() };
    let look = |body| post("/_wayside/v1/sign-in/look", "", body).again();
    let sign_in = |body| post("/_wayside/v1/sign-in", "", body).again();
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
        answered(404, look(r#"{"what":{"device":"ABCDEFGH"}}"#)),
        look(r#"{"what":{"sso":"https://a.test/"}}"#).nobody(),
        answered(403, look(r#"{"what":{"confirm":"s"}}"#)),
        post("/_wayside/v1/sign-in", "", SIGN_IN).nobody(),
        answered(403, sign_in(r#"{"what":{"device":"ABCDEFGH"},"proof":{"login_token":"t"}}"#)),
        answered(
            403,
            sign_in(r#"{"what":{"sso":"https://a.test/"},"proof":{"word":"w","browser":"0123456789abcdef0123456789abcdef"}}"#),
        ),
        answered(403, sign_in(CONFIRM_BY_PASSKEY)),
    ]
}

/// Those whom a provider or their home knows.
fn coming_from_elsewhere() -> Vec<Row> {
    let answered = |status: u16, row: Row| Row { status: Some(status), ..row.nobody() };
    vec![
        // The node of the story knows no provider.
        answered(404, post("/_wayside/v1/providers/{provider}/begin", "unknown", r#"{"browser":"0123456789abcdef0123456789abcdef","confirm":false}"#)),
        // Its DID says nothing of a home.
        answered(404, post("/_wayside/v1/providers/{provider}/begin", "did", r#"{"browser":"0123456789abcdef0123456789abcdef","home":"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"}"#).again()),
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
            post(
                "/_wayside/v1/providers/finish",
                "",
                r#"{"state":"club.a.1.b","code":"c","browser":"0123456789abcdef0123456789abcdef","confirm":"s"}"#,
            )
            .again(),
        ),
        answered(
            403,
            post(
                "/_wayside/v1/providers/finish",
                "",
                r#"{"state":"did.a.1.b","vp_token":{"home":[]},"browser":"0123456789abcdef0123456789abcdef"}"#,
            )
            .again(),
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
        answered(403, post("/_wayside/v1/providers/link", "", LINK_BY_PASSKEY).again()),
        // The node of the story knows no provider, and Alice is known by none.
        get("/_wayside/v1/links", ""),
        Row { status: Some(404), ..post("/_wayside/v1/links", "", ADD_LINK) },
        Row { status: Some(404), ..post("/_wayside/v1/links", "", ADD_DID).again() },
        Row { status: Some(404), ..delete("/_wayside/v1/links/{link}", "unknown", AUTH) },
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

const ADD_LINK: &str = r#"{"provider":"club","browser":"0123456789abcdef0123456789abcdef","auth":{"type":"m.login.password",
    "identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#;
const ADD_DID: &str = r#"{"provider":"did","home":"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
    "browser":"0123456789abcdef0123456789abcdef","auth":{"type":"m.login.password",
    "identifier":{"type":"m.id.user","user":"<alice>"},"password":"<password>","session":"s"}}"#;
const LINK_BY_PASSKEY: &str = r#"{"ticket":"a.b","browser":"0123456789abcdef0123456789abcdef","passkey":{"ceremony":"e30.e30",
    "credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30",
    "authenticatorData":"AAAA","signature":"AAAA","userHandle":"AAAA"},"clientExtensionResults":{}}}}"#;
const CONFIRM_BY_PASSKEY: &str = r#"{"what":{"confirm":"s"},"passkey":{"ceremony":"e30.e30",
    "credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30",
    "authenticatorData":"AAAA","signature":"AAAA","userHandle":"AAAA"},"clientExtensionResults":{}}}}"#;
const ADD_PASSKEY: &str = r#"{"ceremony":"e30.e30","name":"x","credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","attestationObject":"oA","transports":["usb"]},"clientExtensionResults":{}}}"#;
const SHOWN: &str = r#"{"ceremony":"e30.e30","credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AAAA","signature":"AAAA","userHandle":"AAAA"},"clientExtensionResults":{}}}"#;
const PASSKEY_PASSWORD: &str = r#"{"ceremony":"e30.e30","password":"<password>","credential":{"id":"AAAA","rawId":"AAAA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AAAA","signature":"AAAA","userHandle":"AAAA"},"clientExtensionResults":{}}}"#;

const LOOK: &str =
    r#"{"what":{"authorization":{"client_id":"<program>","redirect_uri":"https://app.test/"}}}"#;

const SIGN_IN: &str = r#"{"what":{"authorization":{"client_id":"<program>","redirect_uri":"https://app.test/",
    "response_type":"code","response_mode":"query","state":"s","code_challenge_method":"S256",
    "scope":"urn:matrix:client:api:* urn:matrix:client:device:HOSTILE",
    "code_challenge":"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}},
    "proof":{"user":"<alice>","password":"<password>"}}"#;
