//! Every route that only servers may call, called by servers that mean no good and by those who are none.
//!
//! The table gives each route one valid call; all hostile calls are made from it, so that a route that
//! is added to the node is attacked in every way here or the story fails.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside::gateway::{
    federation_routes,
    table::{Access, Route},
};
use wayside_tests::{
    Answer, Client, Destination, Engine, PASSWORD, Pdu, Peer, PeerReply, PeerRoom, RoomId, Signing,
    SigningKey, Town, Wire,
};

use crate::{
    abroad::Abroad,
    addresses::PLEDGE,
    hostile_servers::Guest,
    pictures::png,
    stage::{Deeds, escaped},
};

/// A valid call of a route. In its texts `<ann>` is somebody here, `<alias>` that of a public room, in
/// which the peer's `<mallory>` is, by an event `<join>` with the body `<joining>`. At the `<lodge>` they
/// knock by `<knock>` and go by `<leave>`; into a room of their own they invite Ann by `<invite>`.
/// `<picture>` is a file of this node. An identity server has given `<proof>` that an address is Mallory's.
struct Row {
    method: &'static str,
    path: &'static str,
    /// What stands for the variables of the path, in their order.
    arguments: &'static [&'static str],
    query: &'static str,
    body: &'static str,
    /// How it is answered, and by what code of an error.
    answer: (u16, &'static str),
    /// Whether it holds events, in which more may be nested than in what this node reads itself.
    holds_events: bool,
}

/// A row without variables, query or body.
const PLAIN: Row = Row {
    method: "GET",
    path: "",
    arguments: &[],
    query: "",
    body: "",
    answer: (200, ""),
    holds_events: false,
};

/// Copies of what somebody needs to come back without their home, of whom nobody here knows.
const COPIES: Row = Row {
    path: "/_matrix/federation/unstable/org.wayside/copies/{scid}",
    arguments: &["QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"],
    answer: (404, "M_NOT_FOUND"),
    ..PLAIN
};

const ROWS: &[Row] = &[
    Row {
        method: "GET",
        path: "/_matrix/federation/v1/query/profile",
        query: "user_id=<ann>&field=displayname",
        body: "",
        ..PLAIN
    },
    Row {
        method: "GET",
        path: "/_matrix/federation/v1/query/directory",
        query: "room_alias=<alias>",
        body: "",
        ..PLAIN
    },
    Row {
        method: "GET",
        path: "/_matrix/federation/v1/publicRooms",
        query: "limit=5&include_all_networks=true&third_party_instance_id=irc",
        body: "",
        ..PLAIN
    },
    Row {
        method: "POST",
        path: "/_matrix/federation/v1/publicRooms",
        query: "",
        body: r#"{"limit":5,"filter":{"generic_search_term":"harbour","room_types":[null]},"include_all_networks":false}"#,
        ..PLAIN
    },
    Row {
        method: "PUT",
        path: "/_matrix/federation/v1/send/{txn_id}",
        arguments: &["sample"],
        body: r#"{"origin":"a","origin_server_ts":1,"pdus":[],"edus":[]}"#,
        holds_events: true,
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/make_join/{room_id}/{user_id}",
        arguments: &["<room>", "<mallory>"],
        query: "ver=12",
        ..PLAIN
    },
    Row {
        method: "PUT",
        path: "/_matrix/federation/v2/send_join/{room_id}/{event_id}",
        arguments: &["<room>", "<join>"],
        body: "<joining>",
        holds_events: true,
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/make_knock/{room_id}/{user_id}",
        arguments: &["<lodge>", "<mallory>"],
        query: "ver=12",
        ..PLAIN
    },
    Row {
        method: "PUT",
        path: "/_matrix/federation/v1/send_knock/{room_id}/{event_id}",
        arguments: &["<lodge>", "<knock>"],
        body: "<knocking>",
        holds_events: true,
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/make_leave/{room_id}/{user_id}",
        arguments: &["<lodge>", "<mallory>"],
        ..PLAIN
    },
    Row {
        method: "PUT",
        path: "/_matrix/federation/v2/send_leave/{room_id}/{event_id}",
        arguments: &["<lodge>", "<leave>"],
        body: "<leaving>",
        holds_events: true,
        ..PLAIN
    },
    Row {
        method: "PUT",
        path: "/_matrix/federation/v2/invite/{room_id}/{event_id}",
        arguments: &["<cabin>", "<invite>"],
        body: r#"{"room_version":"12","event":<inviting>,"invite_room_state":[]}"#,
        holds_events: true,
        ..PLAIN
    },
    Row {
        method: "PUT",
        path: "/_matrix/federation/v1/exchange_third_party_invite/{room_id}",
        arguments: &["<room>"],
        body: r#"{"type":"m.room.member","room_id":"<room>","sender":"<ann>","state_key":"<mallory>",
            "content":{"membership":"invite","third_party_invite":{"display_name":"m","signed":<proof>}}}"#,
        ..PLAIN
    },
    Row {
        method: "POST",
        path: "/_matrix/federation/v1/get_missing_events/{room_id}",
        arguments: &["<room>"],
        body: r#"{"earliest_events":[],"latest_events":["<join>"],"limit":5,"min_depth":1}"#,
        holds_events: true,
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/backfill/{room_id}",
        arguments: &["<room>"],
        query: "v=<join>&limit=5",
        ..PLAIN
    },
    Row { path: "/_matrix/federation/v1/event/{event_id}", arguments: &["<join>"], ..PLAIN },
    Row {
        path: "/_matrix/federation/v1/state/{room_id}",
        arguments: &["<room>"],
        query: "event_id=<join>",
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/state_ids/{room_id}",
        arguments: &["<room>"],
        query: "event_id=<join>",
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/event_auth/{room_id}/{event_id}",
        arguments: &["<room>", "<join>"],
        ..PLAIN
    },
    Row { path: "/_matrix/federation/v1/user/devices/{user_id}", arguments: &["<ann>"], ..PLAIN },
    Row {
        method: "POST",
        path: "/_matrix/federation/v1/user/keys/query",
        body: r#"{"device_keys":{"<ann>":[]}}"#,
        ..PLAIN
    },
    Row {
        method: "POST",
        path: "/_matrix/federation/v1/user/keys/claim",
        body: r#"{"one_time_keys":{"<ann>":{"A":"signed_curve25519"}}}"#,
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/hierarchy/{room_id}",
        arguments: &["<room>"],
        query: "suggested_only=true",
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/timestamp_to_event/{room_id}",
        arguments: &["<room>"],
        query: "ts=1&dir=f",
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/media/download/{media_id}",
        arguments: &["<picture>"],
        query: "timeout_ms=1",
        ..PLAIN
    },
    Row {
        path: "/_matrix/federation/v1/media/thumbnail/{media_id}",
        arguments: &["<picture>"],
        query: "width=8&height=8&method=crop&animated=false&timeout_ms=1",
        ..PLAIN
    },
    Row { query: "account=<mallory>&key=hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo", ..COPIES },
    Row {
        method: "PUT",
        body: r#"{"account":"<mallory>","log":"{}","packed_ms":1,"sealed":"AAAA",
            "seal_key":"hSDwCYkwp1R0i33ctD73Wg2_Og0mOBr066SpjqqbTmo"}"#,
        answer: (403, "M_FORBIDDEN"),
        ..COPIES
    },
    Row { method: "DELETE", body: r#"{"account":"<mallory>"}"#, answer: (200, ""), ..COPIES },
];

fn server_routes() -> Vec<Route> {
    federation_routes().into_iter().filter(|it| it.access == Access::Server).collect()
}

#[test]
fn server_routes_have_a_sample_each() {
    let of = |row: &Row| format!("{} {}", row.method, row.path);
    let samples: BTreeSet<String> = ROWS.iter().map(of).collect();
    assert_eq!(samples.len(), ROWS.len(), "a route has two samples");
    let mut known = BTreeSet::new();
    for route in server_routes() {
        let names = route.paths.iter().map(|path| format!("{} {path}", route.method));
        let found: Vec<String> = names.filter(|it| samples.contains(it)).collect();
        assert_eq!(found.len(), 1, "{} {:?} needs one sample", route.method, route.paths);
        known.extend(found);
    }
    assert_eq!(samples, known, "samples of routes that the node has not");
}

#[tokio::test]
async fn server_routes_let_only_servers_in() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let friend = town.peer()?.start().await?;
    let banned = town.peer()?.start().await?;
    let host = banned.destination().url.host_str().context("a host")?.to_owned();
    let not_banned =
        |options: wayside_tests::Options| options.flag("--never-federate-with", Some(&host));
    let abroad = Abroad::begin_in(town, not_banned).await?;
    let room =
        json!({ "preset": "public_chat", "visibility": "public", "room_alias_name": "harbour" });
    let room = abroad.ann.create_room(&room).await?;
    let guest = Guest::come(friend, &abroad.node, room.as_str(), "12").await?;
    let doors = Doors::find(&guest.peer, &abroad, &room).await?;
    let picture = abroad.ann.upload("image/png", png(16, 16, 16)).await?;
    let picture = picture.place().rsplit('/').next().context("an id")?.to_owned();
    let old = with_an_old_key(&abroad).await?;
    let mut found = Vec::new();
    for row in ROWS {
        let routes = server_routes();
        let of_row = |it: &&Route| {
            it.method.as_str() == row.method && it.paths.iter().any(|path| path == row.path)
        };
        let route =
            routes.iter().find(of_row).context("the story before this one names the row")?;
        let to = abroad.node.destination();
        let door = Wire::secure(&to.url, abroad.town.authority().pem(), "http/1.1")?;
        let mut attack = Attack {
            to,
            door,
            friend: &guest.peer,
            guest: &guest,
            doors: &doors,
            picture: &picture,
            row,
            route,
            found: Vec::new(),
            ann: abroad.ann.id(),
        };
        attack.signatures(&banned, &old).await?;
        attack.headers().await?;
        attack.methods_and_paths(&routes).await?;
        attack.queries().await?;
        attack.bodies().await?;
        found.append(&mut attack.found);
    }
    ensure!(found.is_empty(), "{} defects:\n{}", found.len(), found.join("\n"));
    abroad.end().await
}

/// Where the peer's person stands before a door, and the node's before one of theirs.
struct Doors {
    lodge: String,
    knock: Pdu,
    leave: Pdu,
    cabin: String,
    invite: Pdu,
    /// That the peer's person has an address by which they were invited into the room.
    proof: Value,
}

impl Doors {
    async fn find(peer: &Peer, abroad: &Abroad, room: &RoomId) -> Result<Self> {
        let rule = json!([{
            "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" },
        }]);
        let lodge = abroad.ann.create_room(&json!({ "initial_state": rule })).await?;
        let (to, mallory) = (abroad.node.destination(), peer.user("mallory"));
        let seen = PeerRoom::told(peer, "12", lodge.as_str(), Vec::new())?;
        let (place, who) = (escaped(lodge.as_str()), escaped(&mallory));
        let make = async |verb: &str| {
            let path = format!("/_matrix/federation/v1/{verb}/{place}/{who}?ver=12");
            let made = peer.ask(&to, Method::GET, &path, None).await?;
            ensure!(made.status == 200, "{}", made.short());
            seen.seal(&made.json()["event"])
        };
        let knock = make("make_knock").await?;
        let path = format!("/_matrix/federation/v1/send_knock/{place}/{}", escaped(&knock.id));
        let told = peer.ask(&to, Method::PUT, &path, Some(&knock.json)).await?;
        ensure!(
            told.status == 200 && told.json()["knock_room_state"].is_array(),
            "{}",
            told.short()
        );
        let leave = make("make_leave").await?;
        let cabin = PeerRoom::create(peer, "12", &mallory)?;
        let content = json!({ "membership": "invite" });
        let invite = cabin.draft(&mallory, "m.room.member", Some(abroad.ann.id()), &content)?;
        let invite = cabin.seal(&invite)?;
        let key = SigningKey::generate("0")?;
        let pledge = json!({ "public_key": key.public() });
        abroad.ann.set_state(room, PLEDGE, "t", &pledge).await?;
        let proof = key.sign("id.test", &json!({ "mxid": mallory, "token": "t" }))?;
        let (lodge, cabin) = (lodge.to_string(), cabin.id().to_owned());
        Ok(Self { lodge, knock, leave, cabin, invite, proof })
    }
}

/// A peer that says of the key by which it signs that it has expired.
async fn with_an_old_key(abroad: &Abroad) -> Result<Peer> {
    let peer = abroad.town.peer()?.start().await?;
    let key = SigningKey::generate("new")?;
    let mut keys = key.published(peer.server_name(), 9_000_000_000_000)?;
    keys["old_verify_keys"] =
        json!({ peer.key().id(): { "key": peer.key().public(), "expired_ts": 1_000_000 } });
    let keys = key.sign(peer.server_name(), &keys)?;
    peer.answer(Method::GET, "/_matrix/key/v2/server", move |_| PeerReply::json(&keys));
    Ok(peer)
}

/// All that is tried on one route.
struct Attack<'s> {
    to: Destination,
    door: Wire,
    friend: &'s Peer,
    guest: &'s Guest,
    doors: &'s Doors,
    picture: &'s str,
    row: &'s Row,
    route: &'s Route,
    ann: &'s str,
    found: Vec<String>,
}

impl Attack<'_> {
    /// A text of the table with what its words stand for, as it stands in a path or query.
    fn filled(&self, text: &str) -> String {
        let alias = format!("#harbour:{}", self.to.name);
        let mallory = self.friend.user("mallory");
        let words = [
            ("<ann>", self.ann),
            ("<alias>", &alias),
            ("<room>", self.guest.room.id()),
            ("<mallory>", &mallory),
            ("<join>", &self.guest.join.id),
            ("<lodge>", &self.doors.lodge),
            ("<cabin>", &self.doors.cabin),
            ("<knock>", &self.doors.knock.id),
            ("<leave>", &self.doors.leave.id),
            ("<invite>", &self.doors.invite.id),
            ("<picture>", self.picture),
        ];
        words.iter().fold(text.to_owned(), |text, (word, is)| text.replace(word, &escaped(is)))
    }

    fn path(&self) -> String {
        let (mut path, mut rest) = (String::new(), self.row.path);
        for argument in self.row.arguments {
            let (before, after) = rest.split_once('{').unwrap_or((rest, "}"));
            path = path + before + &self.filled(argument);
            rest = after.split_once('}').map_or("", |(_, after)| after);
        }
        path + rest
    }

    fn target(&self) -> String {
        let query = self.filled(self.row.query);
        format!("{}?{query}", self.path()).trim_end_matches('?').to_owned()
    }

    fn body(&self) -> String {
        let words = [
            ("<join>", self.guest.join.id.clone()),
            ("<joining>", self.guest.join.json.to_string()),
            ("<knocking>", self.doors.knock.json.to_string()),
            ("<leaving>", self.doors.leave.json.to_string()),
            ("<inviting>", self.doors.invite.json.to_string()),
            ("<ann>", self.ann.to_owned()),
            ("<room>", self.guest.room.id().to_owned()),
            ("<mallory>", self.friend.user("mallory")),
            ("<proof>", self.doors.proof.to_string()),
        ];
        words.iter().fold(self.row.body.to_owned(), |text, (word, is)| text.replace(word, is))
    }

    fn method(&self) -> Result<Method> {
        Ok(self.row.method.parse()?)
    }

    fn content(&self) -> Option<Value> {
        serde_json::from_str(&self.body()).ok()
    }

    /// The header by which a peer signs the sample, or this target in its place.
    fn header(&self, by: &Peer, target: &str, signing: Signing<'_>) -> Result<Option<String>> {
        by.authorization(&self.to, &self.method()?, target, self.content().as_ref(), signing)
    }

    /// Makes a call. Whatever it is: no answer is an inner failure, and each refusal is one of Matrix.
    async fn make(
        &mut self,
        what: &str,
        call: (&str, &str),
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer> {
        let answer = self.door.ask(call.0, call.1, headers, body).await.context(what.to_owned())?;
        self.look_at(what, &answer);
        Ok(answer)
    }

    fn look_at(&mut self, what: &str, answer: &Answer) {
        let told = answer.json();
        let is_refusal = told["errcode"].as_str().is_some_and(|code| code.starts_with("M_"))
            && told["error"].is_string()
            && answer.header("content-type") == Some("application/json");
        if answer.status >= 500 || (answer.status >= 400 && !is_refusal) {
            self.wrong(what, answer);
        }
    }

    fn wrong(&mut self, what: &str, answer: &Answer) {
        let Row { method, path, .. } = self.row;
        self.found.push(format!("{method} {path}: {what}: {}", answer.short()));
    }

    fn expect(&mut self, what: &str, answer: &Answer, status: u16, codes: &[&str]) {
        if answer.status != status || !(codes.is_empty() || codes.contains(&&*answer.errcode())) {
            self.wrong(&format!("{what} (want {status} {codes:?})"), answer);
        }
    }

    /// The sample with a header or none.
    async fn sample(&mut self, what: &str, authorization: Option<&str>) -> Result<Answer> {
        let target = self.target();
        let headers: Vec<_> = authorization.iter().map(|it| ("authorization", *it)).collect();
        let body = self.body();
        self.make(what, (self.row.method, &target), &headers, body.as_bytes()).await
    }

    async fn signatures(&mut self, banned: &Peer, old: &Peer) -> Result<()> {
        let (friend, own) = (self.friend, self.to.name.clone());
        let (same, other) = (SigningKey::generate("peer_1")?, SigningKey::generate("other")?);
        let unsigned = (401, "M_UNAUTHORIZED");
        let attempts = [
            ("signed", friend, Signing::Right, self.row.answer),
            ("signed for nobody", friend, Signing::ForNobody, self.row.answer),
            ("unsigned", friend, Signing::Missing, unsigned),
            ("with a broken signature", friend, Signing::Broken, unsigned),
            ("by another key", friend, Signing::By(&same), unsigned),
            ("by an unknown key", friend, Signing::By(&other), unsigned),
            ("by an expired key", old, Signing::Right, unsigned),
            ("for another server", friend, Signing::For("elsewhere.test"), unsigned),
            ("for almost this server", friend, Signing::For(&format!("{own}0")), unsigned),
            ("as the node itself", friend, Signing::As(&own), unsigned),
            ("as another server", friend, Signing::As(old.server_name()), unsigned),
            ("as nobody", friend, Signing::As("nobody.test"), unsigned),
            ("as no name", friend, Signing::As("a b"), unsigned),
            ("as one who is not met", banned, Signing::Right, (403, "M_FORBIDDEN")),
            (
                "in the name of one who is not met",
                friend,
                Signing::As(banned.server_name()),
                (403, "M_FORBIDDEN"),
            ),
            ("signed again", friend, Signing::Right, self.row.answer),
        ];
        for (what, by, signing, (status, code)) in attempts {
            let header = self.header(by, &self.target(), signing)?;
            let answer = self.sample(what, header.as_deref()).await?;
            self.expect(what, &answer, status, &[code]);
        }
        Ok(())
    }

    async fn headers(&mut self) -> Result<()> {
        let right = self.header(self.friend, &self.target(), Signing::Right)?.context("signed")?;
        let name = self.friend.server_name();
        let long = "x".repeat(5_000);
        for header in [
            "",
            "Bearer abc",
            "X-Matrix",
            "X-Matrix ",
            "X-Matrix =,=",
            "X-Matrix origin",
            "X-Matrix origin=\"",
            &format!("X-Matrix origin=\"{name}\""),
            &format!("X-Matrix origin=\"{name}\",key=\"\",sig=\"\""),
            &format!("X-Matrix origin=\"{name}\",key=\"ed25519:peer_1\",sig=\"====\""),
            &format!("X-Matrix origin=\"{name}\",key=\"ed25519:{long}\",sig=\"AAAA\""),
            &format!("X-Matrix origin=\"{long}\",key=\"ed25519:peer_1\",sig=\"AAAA\""),
            &format!("{right},origin=\"{name}\""),
            &right.replacen("X-Matrix", "X-Matrix2", 1),
            &right.replacen("sig=\"", "sig=\"\u{e9}", 1),
            &right.replacen("ed25519", "rsa", 1),
            &"X-Matrix ".repeat(2_000),
        ] {
            let what = format!("header {:?}", header.chars().take(80).collect::<String>());
            let answer = self.sample(&what, Some(header)).await?;
            self.expect(&what, &answer, 401, &["M_UNAUTHORIZED"]);
        }
        // As lines of bytes: letters that are none, more of them than a head may have, and two of one.
        let (right, good) = (right.as_bytes(), self.row.answer.0);
        for (what, lines, statuses) in [
            ("bytes", vec![&b"X-Matrix origin=\"\xff\xfe\x80\""[..]], &[401, 400][..]),
            ("100 KB", vec![&[right, &b",x=\"y\"".repeat(20_000)].concat()[..]], &[401, 431]),
            ("right and wrong", vec![right, &b"X-Matrix origin=\"a\""[..]], &[good, 401]),
            ("wrong and right", vec![&b"Bearer a"[..], right], &[good, 401]),
            ("right twice", vec![right, right], &[good, 401]),
        ] {
            let (method, target) = (self.row.method, self.target());
            let body = self.body();
            let mut bytes =
                format!("{method} {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n")
                    .into_bytes();
            for line in lines {
                bytes.extend([b"authorization: ", line, b"\r\n"].concat());
            }
            bytes.extend(format!("content-length: {}\r\n\r\n{body}", body.len()).into_bytes());
            let answer = self.door.send(&bytes).await.context(what)?;
            if !statuses.contains(&answer.status) {
                self.wrong(what, &answer);
            }
        }
        Ok(())
    }

    async fn methods_and_paths(&mut self, routes: &[Route]) -> Result<()> {
        let target = self.target();
        let header = self.header(self.friend, &target, Signing::Right)?.context("signed")?;
        let headers = [("authorization", header.as_str())];
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH"] {
            let serves = |it: &Route| {
                it.method == *method && it.paths.iter().any(|path| path == self.row.path)
            };
            if !routes.iter().any(serves) {
                let answer = self.make(method, (method, &target), &headers, b"").await?;
                self.expect(method, &answer, 405, &["M_UNRECOGNIZED"]);
            }
        }
        let nowhere = format!("{}/is/not/to/be/found/here", self.path());
        let answer = self.make("nowhere", (self.row.method, &nowhere), &headers, b"").await?;
        self.expect("nowhere", &answer, 404, &["M_UNRECOGNIZED"]);
        Ok(())
    }

    /// Each value of the query in turn is something else, is missing, or stands twice; all are signed.
    async fn queries(&mut self) -> Result<()> {
        let target = self.target();
        let query = target.split_once('?').map_or("", |(_, query)| query).to_owned();
        let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        let long = "9".repeat(5_000);
        let junk = [
            "",
            "-1",
            "1.5",
            "99999999999999999999",
            "%00",
            "%ff%fe",
            "%",
            "%zz",
            "@:",
            "%23:",
            "{",
            &long,
        ];
        for at in 0..pairs.len() {
            let name = pairs[at].split('=').next().unwrap_or_default();
            let mut changes = vec![String::new(), format!("{0}&{0}", pairs[at]), name.to_owned()];
            changes.extend(junk.iter().map(|junk| format!("{name}={junk}")));
            for change in changes {
                let mut pairs = pairs.clone();
                pairs[at] = &change;
                let target = format!("{}?{}", self.path(), pairs.join("&"));
                let header =
                    self.header(self.friend, &target, Signing::Right)?.context("signed")?;
                let what = format!("query {:?}", change.chars().take(60).collect::<String>());
                let headers = [("authorization", header.as_str())];
                let body = self.body();
                let call = (self.row.method, &*target);
                let answer = self.make(&what, call, &headers, body.as_bytes()).await?;
                if ![self.row.answer.0, 200, 400, 404].contains(&answer.status) {
                    self.wrong(&what, &answer);
                }
            }
        }
        Ok(())
    }

    /// Bodies that are no JSON, no object, or far too much of it. What can be signed is.
    async fn bodies(&mut self) -> Result<()> {
        let target = self.target();
        let header = self.header(self.friend, &target, Signing::Right)?.context("signed")?;
        let headers = [("authorization", header.as_str())];
        let large = vec![b' '; self.route.body_bytes.saturating_add(1).min(80 * 1024 * 1024)];
        let answer = self.make("too much", (self.row.method, &target), &headers, &large).await?;
        self.expect("too much", &answer, 413, &["M_TOO_LARGE"]);
        if !self.route.json {
            return Ok(());
        }
        let deep = "{\"a\":".repeat(100_000 / 6);
        let codes = ["M_NOT_JSON", "M_BAD_JSON"];
        for body in [
            &b"{"[..],
            b"nonsense",
            b"{\"a\":1} x",
            b"{\"a\":\"\xff\xfe\"}",
            b"\0",
            b"[]",
            b"7",
            deep.as_bytes(),
        ] {
            let what = format!("body {:?}", String::from_utf8_lossy(&body[..body.len().min(30)]));
            let answer = self.make(&what, (self.row.method, &target), &headers, body).await?;
            self.expect(&what, &answer, 400, &codes);
        }
        if self.row.holds_events {
            return Ok(());
        }
        let mut nested = json!(1);
        for _ in 0..101 {
            nested = json!({ "a": nested });
        }
        let smuggled = json!({ "$serde_json::private::RawValue": "{}" });
        for (what, body) in [("depth", nested), ("a key of the JSON library's own", smuggled)] {
            let answer = self.friend.ask(&self.to, self.method()?, &target, Some(&body)).await?;
            self.look_at(what, &answer);
            self.expect(what, &answer, 400, &codes);
        }
        Ok(())
    }
}

/// A node that meets some servers only lets no others in, asks no others, and calls nobody to find out.
#[tokio::test]
async fn server_routes_are_for_those_who_are_met() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let (friend, other) = (town.peer()?.start().await?, town.peer()?.start().await?);
    let host = friend.destination().url.host_str().context("a host")?.to_owned();
    let picky = |options: wayside_tests::Options| options.flag("--federate-only-with", Some(&host));
    let abroad = Abroad::begin_in(town, picky).await?;
    let to = abroad.node.destination();
    let path = "/_matrix/federation/v1/publicRooms";
    let answer = friend.ask(&to, Method::GET, path, None).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    let answer = other.ask(&to, Method::GET, path, None).await?;
    ensure!(answer.status == 403 && answer.errcode() == "M_FORBIDDEN", "{}", answer.short());
    let path = format!("/_matrix/key/v2/query/{}", other.server_name());
    let answer = friend.ask(&to, Method::GET, &path, None).await?;
    ensure!(answer.json() == json!({ "server_keys": [] }), "{}", answer.short());
    crate::stage::refused(abroad.profile(&other.user("pia")).await, 403, "M_FORBIDDEN")?;
    ensure!(other.requests().is_empty(), "{:?}", other.requests());
    abroad.end().await
}

/// What servers may ask of what is not there, not theirs to know, or not a question.
#[tokio::test]
async fn server_routes_tell_no_more_than_they_should() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let bob = Client::register(abroad.node.http(), "bob").await?;
    let user = json!({ "type": "m.id.user", "user": "bob" });
    let auth = json!({ "type": "m.login.password", "identifier": user, "password": PASSWORD });
    bob.post("/_matrix/client/v3/account/deactivate", &json!({ "auth": auth })).await?;
    let peer = abroad.town.peer()?.start().await?;
    let to = abroad.node.destination();
    let own = escaped(&to.name);
    let elsewhere = escaped(peer.server_name());
    let queries = [
        (format!("query/profile?user_id=%40ann:{own}"), 200, ""),
        (format!("query/profile?user_id=%40ann:{own}&field=org.example.none"), 200, ""),
        (format!("query/profile?user_id=%40nobody:{own}"), 404, "M_NOT_FOUND"),
        (format!("query/profile?user_id=%40bob:{own}"), 404, "M_NOT_FOUND"),
        (format!("query/profile?user_id=%40pia:{elsewhere}"), 404, "M_NOT_FOUND"),
        ("query/profile".to_owned(), 400, "M_MISSING_PARAM"),
        ("query/profile?user_id=ann".to_owned(), 400, "M_INVALID_PARAM"),
        (format!("query/directory?room_alias=%23none:{own}"), 404, "M_NOT_FOUND"),
        (format!("query/directory?room_alias=%23none:{elsewhere}"), 404, "M_NOT_FOUND"),
        ("query/directory".to_owned(), 400, "M_MISSING_PARAM"),
        ("query/directory?room_alias=none".to_owned(), 400, "M_INVALID_PARAM"),
        ("publicRooms?limit=0".to_owned(), 200, ""),
        ("publicRooms?limit=18446744073709551615".to_owned(), 200, ""),
        ("publicRooms?limit=-1".to_owned(), 400, "M_INVALID_PARAM"),
        ("publicRooms?limit=many".to_owned(), 400, "M_INVALID_PARAM"),
        ("publicRooms?since=garbage".to_owned(), 400, "M_INVALID_PARAM"),
        ("publicRooms?since=n1_".to_owned(), 400, "M_INVALID_PARAM"),
        ("publicRooms?since=%00".to_owned(), 400, "M_INVALID_PARAM"),
        ("publicRooms?include_all_networks=perhaps".to_owned(), 400, "M_INVALID_PARAM"),
    ];
    for (path, status, code) in queries {
        let path = format!("/_matrix/federation/v1/{path}");
        let answer = peer.ask(&to, Method::GET, &path, None).await?;
        let right = answer.status == status && answer.errcode() == code;
        ensure!(right, "{path}: wanted {status} {code}, got {}", answer.short());
    }
    for body in [
        json!({ "limit": "5" }),
        json!({ "limit": -1 }),
        json!({ "since": 5 }),
        json!({ "since": "garbage" }),
        json!({ "filter": [] }),
        json!({ "filter": "all" }),
        json!({ "filter": { "generic_search_term": 5 } }),
        json!({ "filter": { "room_types": "m.space" } }),
        json!({ "filter": { "room_types": [5] } }),
        json!({ "include_all_networks": "true" }),
        json!({ "third_party_instance_id": ["irc"] }),
    ] {
        let answer =
            peer.ask(&to, Method::POST, "/_matrix/federation/v1/publicRooms", Some(&body)).await?;
        ensure!(answer.status == 400, "{body}: {}", answer.short());
    }
    // What a later version adds is no reason to refuse.
    let later = json!({ "filter": { "org.example.later": 1 }, "org.example.later": [] });
    let path = "/_matrix/federation/v1/publicRooms";
    let answer = peer.ask(&to, Method::POST, path, Some(&later)).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    abroad.end().await
}
