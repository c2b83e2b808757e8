//! People who try to say and to become what the rules of a room do not allow them.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};
use wayside_tests::{Client, Engine, EventId, RoomId};

use crate::hostile::Siege;

pub(crate) const VERSIONS: [&str; 3] = ["10", "11", "12"];
const C: &str = "/_matrix/client/v3";
pub(crate) const GOOD: &[u16] = &[200];
pub(crate) const NO: &[u16] = &[403];
pub(crate) const BAD: &[u16] = &[400];
pub(crate) const LARGE: &[u16] = &[413];
/// Refused; whether as ill-formed or as forbidden is the room version's business.
const ANY_NO: &[u16] = &[400, 403];

/// A room with an owner, two moderators and a member, and somebody outside.
struct House {
    version: &'static str,
    room: RoomId,
    owner: Client,
    moderator: Client,
    peer: Client,
    member: Client,
    outsider: Client,
}

impl House {
    /// A house whose levels stand as [`House::levels`] gives them.
    async fn ruled(siege: &mut Siege, version: &'static str) -> Result<Self> {
        let house = Self::build(siege, version, json!({})).await?;
        let path = house.state("m.room.power_levels", "");
        let set = house.levels(&json!({})).to_string();
        siege.expect("the levels", &house.owner, ("PUT", &path, &set), GOOD).await?;
        Ok(house)
    }

    async fn build(siege: &Siege, version: &'static str, asked: Value) -> Result<Self> {
        let person = |name: &str| {
            let name = format!("{name}{version}");
            async move { siege.person(&name).await }
        };
        let (owner, moderator, peer, member, outsider) = tokio::try_join!(
            person("owner"),
            person("moderator"),
            person("peer"),
            person("member"),
            person("outsider"),
        )?;
        let mut asked = asked;
        asked["room_version"] = version.into();
        let inside = [&moderator, &peer, &member];
        asked["invite"] = inside.iter().map(|it| id_of(it)).collect::<Vec<_>>().into();
        let room = owner.create_room(&asked).await?;
        for who in inside {
            who.join(&room).await?;
        }
        Ok(Self { version, room, owner, moderator, peer, member, outsider })
    }

    /// The levels of the room, with these laid over them.
    fn levels(&self, over: &Value) -> Value {
        let mut users = json!({});
        if self.version != "12" {
            users[id_of(&self.owner)] = 100.into();
        }
        users[id_of(&self.moderator)] = 50.into();
        users[id_of(&self.peer)] = 50.into();
        let mut levels = json!({
            "ban": 50, "kick": 50, "redact": 50, "invite": 50, "users_default": 0,
            "events_default": 0, "state_default": 0, "users": users,
            "events": {"m.room.power_levels": 50, "m.room.encryption": 90},
            "notifications": {"room": 90},
        });
        for (key, value) in over.as_object().into_iter().flatten() {
            match value.as_object().filter(|_| levels[key].is_object()) {
                Some(inner) => {
                    for (name, level) in inner {
                        levels[key][name] = level.clone();
                    }
                }
                None => levels[key] = value.clone(),
            }
        }
        levels
    }

    fn state(&self, kind: &str, key: &str) -> String {
        format!("{C}/rooms/{}/state/{kind}/{key}", self.room)
    }

    fn send(&self, kind: &str, txn: &str) -> String {
        format!("{C}/rooms/{}/send/{kind}/{txn}", self.room)
    }

    fn to(&self, deed: &str) -> String {
        format!("{C}/rooms/{}/{deed}", self.room)
    }
}

pub(crate) fn id_of(who: &Client) -> &str {
    &who.session().user_id
}

pub(crate) fn nested(depth: usize) -> String {
    format!("{{\"a\":{}1{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

#[tokio::test]
async fn hostile_events_contents_on_sqlite() -> Result<()> {
    contents(Engine::Sqlite).await
}

#[tokio::test]
async fn hostile_events_contents_on_postgres() -> Result<()> {
    contents(Engine::Postgres).await
}

async fn contents(engine: Engine) -> Result<()> {
    let Some(mut siege) = Siege::lay(engine, &[]).await? else { return Ok(()) };
    let text = |length: usize| json!({"body": "x".repeat(length)}).to_string();
    let cases: &[(String, &[u16])] = &[
        (r#"{"a":1.5}"#.into(), BAD),
        (r#"{"a":1e3}"#.into(), BAD),
        (r#"{"a":-0.0}"#.into(), BAD),
        (r#"{"a":1e400}"#.into(), BAD),
        (r#"{"a":9007199254740991,"b":-9007199254740991}"#.into(), GOOD),
        (r#"{"a":9007199254740992}"#.into(), BAD),
        (r#"{"a":[{"b":-9007199254740992}]}"#.into(), BAD),
        (r#"{"a":18446744073709551616}"#.into(), BAD),
        (r#"{"a":1,"a":2}"#.into(), GOOD),
        (r#"{"a":"\ud800"}"#.into(), BAD),
        (r#"{"a":"\ud83d\ude00"}"#.into(), GOOD),
        (r#"{"a":"\u0000","\u0000":1}"#.into(), GOOD),
        (r#"{"$serde_json::private::RawValue":"{\"body\":1.5}"}"#.into(), BAD),
        (r#"{"a":{"\u0024serde_json::private::RawValue":"1.5"}}"#.into(), BAD),
        (r#"{"a":{"$serde_json::private::Number":"1.5"}}"#.into(), BAD),
        (nested(100), GOOD),
        (nested(101), BAD),
        (text(64_000), GOOD),
        (text(65_500), LARGE),
        (text(127_000), LARGE),
    ];
    for version in VERSIONS {
        let house = House::build(&siege, version, json!({})).await?;
        for (at, (body, want)) in cases.iter().enumerate() {
            let shown = body.chars().take(60).collect::<String>();
            for path in
                [house.send("m.room.message", &format!("c{at}")), house.state("org.example.c", "")]
            {
                let what = format!("v{version} {shown}");
                siege.expect(&what, &house.owner, ("PUT", &path, body), want).await?;
            }
        }
        of_long_names(&mut siege, &house).await?;
        what_stands_can_be_read_and_emptied(&mut siege, &house).await?;
    }
    siege.lift().await
}

async fn of_long_names(siege: &mut Siege, house: &House) -> Result<()> {
    let long = |length: usize| "k".repeat(length);
    for (kind, key, want) in [
        (long(255), String::new(), GOOD),
        (long(256), String::new(), LARGE),
        ("org.example.k".to_owned(), long(255), GOOD),
        ("org.example.k".to_owned(), long(256), LARGE),
        ("org.example.k".to_owned(), "%C3%A4".repeat(127), GOOD),
        ("org.example.k".to_owned(), "%C3%A4".repeat(128), LARGE),
        (long(5_000), String::new(), LARGE),
    ] {
        let what = format!("v{} type of {}, key of {}", house.version, kind.len(), key.len());
        siege.expect(&what, &house.owner, ("PUT", &house.state(&kind, &key), "{}"), want).await?;
        if key.is_empty() {
            let path = house.send(&kind, "long");
            siege.expect(&what, &house.owner, ("PUT", &path, "{}"), want).await?;
        }
    }
    Ok(())
}

/// All that was taken in comes out again, to a client and to whoever empties it.
async fn what_stands_can_be_read_and_emptied(siege: &mut Siege, house: &House) -> Result<()> {
    let (_, since) = house.member.sync(None, Duration::ZERO).await?;
    let (events, _) = house.member.messages(&house.room, Some(&since), 100).await?;
    let said: Vec<&Value> = events.iter().filter(|it| it["type"] == "m.room.message").collect();
    let right = said.iter().any(|it| it["content"] == json!({"a": 2}))
        && said.iter().any(|it| it["content"] == json!({"a": "\0", "\0": 1}));
    siege.check(right, || format!("v{}: contents came back otherwise", house.version));
    for (at, event) in said.iter().enumerate() {
        let id = EventId::of_event(event)?;
        let path = house.to(&format!("redact/{id}/e{at}"));
        siege
            .expect("redacting what was taken in", &house.owner, ("PUT", &path, "{}"), GOOD)
            .await?;
        let emptied = house.member.get(&house.to(&format!("event/{id}"))).await?;
        siege.check(emptied["content"] == json!({}), || format!("not emptied: {emptied}"));
    }
    Ok(())
}

#[tokio::test]
async fn hostile_events_power() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    for version in VERSIONS {
        let house = House::ruled(&mut siege, version).await?;
        let path = house.state("m.room.power_levels", "");
        let (moderator, peer) = (id_of(&house.moderator), id_of(&house.peer));
        let (member, owner) = (id_of(&house.member), id_of(&house.owner));
        let by_moderator: Vec<(&str, Value, &[u16])> = vec![
            ("raise oneself", json!({"users": {moderator: 51}}), NO),
            ("raise somebody above oneself", json!({"users": {member: 51}}), NO),
            ("lower an equal", json!({"users": {peer: 0}}), NO),
            ("lower or name the owner", json!({"users": {owner: 0}}), NO),
            ("raise everybody", json!({"users_default": 51}), NO),
            ("lower what is above oneself", json!({"events": {"m.room.encryption": 0}}), NO),
            ("raise what is below to above", json!({"events": {"org.example.a": 51}}), NO),
            ("lower the bell", json!({"notifications": {"room": 0}}), NO),
            ("ban above oneself", json!({"ban": 51}), NO),
            ("levels as texts", json!({"users_default": "0"}), ANY_NO),
            ("a text among users", json!({"users": {member: "0"}}), ANY_NO),
            ("a text among events", json!({"events": {"org.example.a": "0"}}), ANY_NO),
            ("no number", json!({"kick": true}), ANY_NO),
            ("a fraction", json!({"kick": 49.5}), BAD),
            ("nobody's name", json!({"users": {"nobody": 0}}), ANY_NO),
            ("users as a list", json!({"users": [member]}), ANY_NO),
            ("users as nothing", json!({"users": null}), ANY_NO),
        ];
        for (what, over, want) in by_moderator {
            let body = house.levels(&over).to_string();
            let what = format!("v{version} {what}");
            siege.expect(&what, &house.moderator, ("PUT", &path, &body), want).await?;
        }
        siege.expect("all gone", &house.moderator, ("PUT", &path, "{}"), NO).await?;
        let body = house.levels(&json!({"users": {member: 1}})).to_string();
        siege.expect("a member", &house.member, ("PUT", &path, &body), NO).await?;
        siege.expect("an outsider", &house.outsider, ("PUT", &path, &body), NO).await?;
        let levels = house.owner.state(&house.room, "m.room.power_levels", "").await?;
        siege.check(levels == house.levels(&json!({})), || format!("v{version} levels: {levels}"));
        siege.expect("what is allowed", &house.moderator, ("PUT", &path, &body), GOOD).await?;
        if version == "12" {
            of_creators(&mut siege, &house).await?;
        }
    }
    siege.lift().await
}

/// Creators of version 12 stand above all levels, and nothing that anybody writes changes that.
async fn of_creators(siege: &mut Siege, house: &House) -> Result<()> {
    let (owner, moderator) = (id_of(&house.owner), id_of(&house.moderator));
    let path = house.state("m.room.power_levels", "");
    for level in [0, 100, 9_007_199_254_740_991_i64] {
        let body = house.levels(&json!({"users": {owner: level}})).to_string();
        siege.expect("a creator among users", &house.owner, ("PUT", &path, &body), NO).await?;
    }
    let most = house.levels(&json!({"users": {moderator: 9_007_199_254_740_991_i64}})).to_string();
    siege.expect("the highest level", &house.owner, ("PUT", &path, &most), GOOD).await?;
    let creator = json!({"user_id": owner}).to_string();
    for deed in ["kick", "ban"] {
        let call = ("POST", &*house.to(deed), &*creator);
        siege.expect("against a creator", &house.moderator, call, NO).await?;
    }
    for member in ["leave", "ban"] {
        let body = json!({"membership": member}).to_string();
        let path = house.state("m.room.member", owner);
        let call = ("PUT", &*path, &*body);
        siege.expect("against a creator", &house.moderator, call, NO).await?;
    }
    Ok(())
}

#[tokio::test]
async fn hostile_events_membership() -> Result<()> {
    let Some(mut siege) = Siege::lay(Engine::Sqlite, &[]).await? else { return Ok(()) };
    for version in VERSIONS {
        let house = House::ruled(&mut siege, version).await?;
        from_outside(&mut siege, &house).await?;
        against_others(&mut siege, &house).await?;
        when_banned(&mut siege, &house).await?;
        of_reserved_kinds(&mut siege, &house).await?;
        through_a_forged_voucher(&mut siege, &house).await?;
    }
    siege.lift().await
}

async fn from_outside(siege: &mut Siege, house: &House) -> Result<()> {
    let me = id_of(&house.outsider);
    let own = house.state("m.room.member", me);
    let other = house.state("m.room.member", id_of(&house.member));
    let vouched =
        json!({"membership": "join", "join_authorised_via_users_server": id_of(&house.owner)});
    let signed = json!({"membership": "invite", "third_party_invite": {"display_name": "x",
        "signed": {"mxid": me, "token": "t", "signatures": {"a.test": {"ed25519:1": "AAAA"}}}}});
    for (what, method, path, body) in [
        ("join", "POST", house.to("join"), "{}".to_owned()),
        ("join as state", "PUT", own.clone(), r#"{"membership":"join"}"#.to_owned()),
        ("join vouched for", "PUT", own.clone(), vouched.to_string()),
        ("knock", "POST", format!("{C}/knock/{}", house.room), "{}".to_owned()),
        ("knock as state", "PUT", own.clone(), r#"{"membership":"knock"}"#.to_owned()),
        ("leave", "POST", house.to("leave"), "{}".to_owned()),
        ("invite oneself", "PUT", own.clone(), r#"{"membership":"invite"}"#.to_owned()),
        ("invite oneself with a signature", "PUT", own.clone(), signed.to_string()),
        ("make a member leave", "PUT", other, r#"{"membership":"leave"}"#.to_owned()),
        ("say", "PUT", house.send("m.room.message", "o1"), "{}".to_owned()),
        ("set state", "PUT", house.state("org.example.s", ""), "{}".to_owned()),
        ("read", "GET", house.to("messages?dir=b"), String::new()),
        ("read state", "GET", house.to("state"), String::new()),
        ("read members", "GET", house.to("members"), String::new()),
        ("type", "PUT", house.to(&format!("typing/{me}")), r#"{"typing":false}"#.to_owned()),
        ("read aliases", "GET", house.to("aliases"), String::new()),
    ] {
        let what = format!("v{} from outside: {what}", house.version);
        siege.expect(&what, &house.outsider, (method, &path, &body), ANY_NO).await?;
    }
    let wrong = r#"{"membership":"king"}"#;
    siege.expect("no membership", &house.outsider, ("PUT", &own, wrong), BAD).await?;
    Ok(())
}

async fn against_others(siege: &mut Siege, house: &House) -> Result<()> {
    let House { owner, moderator, peer, member, outsider, .. } = house;
    let cases: Vec<(&Client, &str, &Client, &str)> = vec![
        (member, "leave", moderator, "kick a higher one"),
        (member, "ban", outsider, "ban without the level"),
        (member, "ban", owner, "ban the owner"),
        (member, "invite", outsider, "invite without the level"),
        (member, "join", outsider, "let somebody else join"),
        (member, "knock", outsider, "knock for somebody else"),
        (member, "join", moderator, "rewrite somebody else's joining"),
        (moderator, "leave", peer, "kick an equal"),
        (moderator, "ban", peer, "ban an equal"),
        (moderator, "ban", owner, "ban the owner"),
        (moderator, "leave", owner, "kick the owner"),
        (moderator, "invite", member, "invite who is in"),
        (moderator, "join", outsider, "let somebody else join"),
        (owner, "join", outsider, "let somebody else join"),
        (owner, "ban", owner, "ban oneself"),
        (owner, "invite", owner, "invite oneself"),
        (owner, "knock", owner, "knock from inside"),
    ];
    for (who, membership, whom, what) in cases {
        let what = format!("v{} {what}", house.version);
        let path = house.state("m.room.member", id_of(whom));
        let body = json!({ "membership": membership }).to_string();
        siege.expect(&what, who, ("PUT", &path, &body), NO).await?;
        let deed = match membership {
            "leave" => "kick",
            "ban" | "invite" => membership,
            _ => continue,
        };
        let body = json!({"user_id": id_of(whom)}).to_string();
        siege.expect(&what, who, ("POST", &house.to(deed), &body), NO).await?;
    }
    // A state key that begins with @ is that person's alone.
    for (who, key, want) in [
        (member, id_of(owner), NO),
        (member, id_of(outsider), NO),
        (owner, id_of(member), NO),
        (member, "@nobody", NO),
        (member, id_of(member), GOOD),
        (member, "plain", GOOD),
    ] {
        let what = format!("v{} the state key {key}", house.version);
        siege
            .expect(&what, who, ("PUT", &house.state("org.example.mine", key), "{}"), want)
            .await?;
    }
    Ok(())
}

async fn when_banned(siege: &mut Siege, house: &House) -> Result<()> {
    let House { moderator, outsider, .. } = house;
    let whom = json!({"user_id": id_of(outsider)}).to_string();
    siege.expect("ban", moderator, ("POST", &house.to("ban"), &whom), GOOD).await?;
    let own = house.state("m.room.member", id_of(outsider));
    for (what, who, method, path, body) in [
        ("unban oneself by joining", outsider, "POST", house.to("join"), "{}"),
        ("unban oneself as state", outsider, "PUT", own.clone(), r#"{"membership":"join"}"#),
        ("unban oneself by leaving", outsider, "POST", house.to("leave"), "{}"),
        (
            "unban oneself by leaving as state",
            outsider,
            "PUT",
            own.clone(),
            r#"{"membership":"leave"}"#,
        ),
        ("knock", outsider, "PUT", own.clone(), r#"{"membership":"knock"}"#),
        ("invite who is banned", moderator, "POST", house.to("invite"), &whom),
        (
            "invite who is banned as state",
            moderator,
            "PUT",
            own.clone(),
            r#"{"membership":"invite"}"#,
        ),
        ("unban without the level", &house.member, "POST", house.to("unban"), &whom),
        (
            "unban without the level as state",
            &house.member,
            "PUT",
            own,
            r#"{"membership":"leave"}"#,
        ),
        ("kick who is banned", moderator, "POST", house.to("kick"), &whom),
    ] {
        let what = format!("v{} when banned: {what}", house.version);
        siege.expect(&what, who, (method, &path, body), NO).await?;
    }
    Ok(())
}

async fn of_reserved_kinds(siege: &mut Siege, house: &House) -> Result<()> {
    let House { owner, moderator, member, room, .. } = house;
    let target = owner.send_text(room, "keep", "keep me").await?;
    let create = json!({"room_version": house.version, "creator": id_of(owner)}).to_string();
    let redacts = json!({ "redacts": target.as_str() }).to_string();
    for (what, who, path, body) in [
        ("a second creation", owner, house.state("m.room.create", ""), &*create),
        ("a creation beside", owner, house.state("m.room.create", "x"), &create),
        ("a creation as a message", owner, house.send("m.room.create", "r1"), &create),
        (
            "a member event as a message",
            owner,
            house.send("m.room.member", "r2"),
            r#"{"membership":"join"}"#,
        ),
        ("a redaction without a target", owner, house.send("m.room.redaction", "r3"), "{}"),
        ("a redaction as a message", member, house.send("m.room.redaction", "r4"), &redacts),
        ("a redaction as state", member, house.state("m.room.redaction", ""), &redacts),
        ("a redaction as state by the owner", owner, house.state("m.room.redaction", ""), &redacts),
        ("a redaction", member, house.to(&format!("redact/{target}/r5")), "{}"),
    ] {
        let what = format!("v{} {what}", house.version);
        siege.expect(&what, who, ("PUT", &path, body), ANY_NO).await?;
    }
    let kept = member.get(&house.to(&format!("event/{target}"))).await?;
    siege.check(kept["content"]["body"] == "keep me", || {
        format!("v{} emptied: {kept}", house.version)
    });
    // An event of another room, and one that is none.
    let elsewhere = owner.create_room(&json!({})).await?;
    let foreign = owner.send_text(&elsewhere, "f", "elsewhere").await?;
    for id in [foreign.as_str(), "$none"] {
        let path = house.to(&format!("redact/{id}/f{}", id.len()));
        siege.expect("redact elsewhere", moderator, ("PUT", &path, "{}"), &[400, 403, 404]).await?;
    }
    let own = member.send_text(room, "own", "mine").await?;
    for (who, id) in [(member, &own), (moderator, &target)] {
        let path = house.to(&format!("redact/{id}/g"));
        siege.expect("a redaction that is allowed", who, ("PUT", &path, "{}"), GOOD).await?;
    }
    Ok(())
}

/// In a restricted room, somebody's own word that a member vouches for them counts for nothing.
async fn through_a_forged_voucher(siege: &mut Siege, house: &House) -> Result<()> {
    let inner = house.owner.create_room(&json!({})).await?;
    let rule = json!({"type": "m.room.join_rules", "content": {"join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": inner.as_str()}]}});
    let asked = json!({"room_version": house.version, "initial_state": [rule]});
    let room = house.owner.create_room(&asked).await?;
    let own = format!("{C}/rooms/{room}/state/m.room.member/{}", id_of(&house.outsider));
    for voucher in [id_of(&house.owner), id_of(&house.outsider), "@ghost:a.test", "ghost"] {
        let body = json!({"membership": "join", "join_authorised_via_users_server": voucher});
        let what = format!("v{} vouched for by {voucher}", house.version);
        siege.expect(&what, &house.outsider, ("PUT", &own, &body.to_string()), NO).await?;
    }
    let guest = Client::guest(siege.node.http()).await?;
    let open = house.owner.create_room(&json!({"preset": "public_chat"})).await?;
    let own = format!("{C}/rooms/{open}/state/m.room.member/{}", id_of(&guest));
    for (method, path, body) in [
        ("PUT", own, r#"{"membership":"join"}"#),
        ("POST", format!("{C}/rooms/{open}/join"), "{}"),
        ("POST", format!("{C}/join/{open}"), "{}"),
    ] {
        siege.expect("a guest where none may come", &guest, (method, &path, body), NO).await?;
    }
    Ok(())
}
