//! Invitations by an address against identity servers and servers that lie, and people who may not.

use std::time::Duration;

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{CallError, Client, Engine, Node, Peer, PeerReply, RoomId, SigningKey, Town};

use crate::{
    abroad::{self, times},
    addresses::{PLEDGE, member, pledges},
    hostile_servers::Guest,
    shared_rooms::set,
    stage::{Deeds, VERSIONS, comes_true, escaped, refused},
};

const C: &str = "/_matrix/client/v3";
/// Where identity servers answer, and servers carry invitations out.
const I: &str = "/_matrix/identity/v2";
const EXCHANGE: &str = "/_matrix/federation/v1/exchange_third_party_invite";
const ON_BIND: &str = "/_matrix/federation/v1/3pid/onbind";

/// A node, and a server of the tests' own that is an identity server too.
struct Scene {
    node: Node,
    ann: Client,
    room: RoomId,
    peer: Peer,
    /// By which the identity server signs.
    key: SigningKey,
    _town: Town,
}

impl Scene {
    async fn begin(version: &str) -> Result<Option<Self>> {
        let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(None) };
        let node = town.server("a")?.start().await?;
        let ann = Client::register(node.http(), "ann").await?;
        let wish = json!({ "preset": "private_chat", "room_version": version });
        let room = ann.create_room(&wish).await?;
        let (peer, key) = (town.peer()?.start().await?, SigningKey::generate("0")?);
        let hashing = json!({ "algorithms": ["sha256"], "lookup_pepper": "p" });
        answers(&peer, Method::GET, "hash_details", PeerReply::json(&hashing));
        answers(&peer, Method::POST, "lookup", PeerReply::json(&json!({ "mappings": {} })));
        Ok(Some(Self { node, ann, room, peer, key, _town: town }))
    }

    /// What an identity server says of an invitation that it keeps.
    fn kept(&self, token: &str) -> Value {
        let url = format!("https://{}/isvalid", self.peer.server_name());
        let key = json!({ "public_key": self.key.public(), "key_validity_url": url });
        json!({ "token": token, "display_name": "m...", "public_keys": [key] })
    }

    async fn invite(&self, who: &Client) -> Result<Value, CallError> {
        let whom = json!({
            "id_server": self.peer.server_name(), "id_access_token": "t", "medium": "email",
            "address": "mallory@town.test",
        });
        who.post(&format!("{C}/rooms/{}/invite", self.room), &whom).await
    }

    /// Has ann pledge to invite whoever an address belongs to.
    async fn pledge(&self, token: &str) -> Result<()> {
        let url = format!("https://{}/isvalid", self.peer.server_name());
        let content = json!({
            "display_name": "m...", "public_key": self.key.public(), "key_validity_url": url,
        });
        self.ann.set_state(&self.room, PLEDGE, token, &content).await.map(drop)
    }

    /// What the identity server signs of somebody.
    fn proof(&self, of: &str, token: &str) -> Result<Value> {
        self.key.sign(self.peer.server_name(), &json!({ "mxid": of, "token": token }))
    }

    /// An invitation as a server asks for it.
    fn wish(&self, of: &str, signed: &Value) -> Value {
        let carried = json!({ "display_name": "m...", "signed": signed });
        json!({
            "type": "m.room.member", "room_id": self.room.as_str(), "sender": self.ann.id(),
            "state_key": of,
            "content": { "membership": "invite", "third_party_invite": carried },
        })
    }

    async fn exchange(&self, wish: &Value) -> Result<(u16, String)> {
        let path = format!("{EXCHANGE}/{}", escaped(self.room.as_str()));
        let to = self.node.destination();
        let answer = self.peer.ask(&to, Method::PUT, &path, Some(wish)).await?;
        Ok((answer.status, answer.errcode()))
    }

    async fn standing(&self, of: &str) -> Result<Value> {
        Ok(member(&self.ann, &self.room, of).await?["content"]["membership"].clone())
    }

    async fn end(mut self) -> Result<()> {
        abroad::end(&mut self.node).await
    }
}

fn answers(peer: &Peer, method: Method, what: &str, reply: PeerReply) {
    peer.answer(method, &format!("{I}/{what}"), move |_| reply.clone());
}

/// Says of the identity server's key whether it is in use.
fn key_is(peer: &Peer, told: &Value) {
    let reply = PeerReply::json(told);
    peer.answer(Method::GET, "/isvalid", move |_| reply.clone());
}

/// Whatever the identity server answers, nobody is pledged anything that is worth nothing.
#[tokio::test]
async fn identity_servers_that_lie_are_not_believed() -> Result<()> {
    let Some(scene) = Scene::begin("12").await? else { return Ok(()) };
    let (peer, ann) = (&scene.peer, &scene.ann);
    let good = scene.kept("t");
    let keys = |keys: Value| {
        let mut kept = good.clone();
        kept["public_keys"] = keys;
        PeerReply::json(&kept)
    };
    let token = |token: Value| {
        let mut kept = good.clone();
        kept["token"] = token;
        PeerReply::json(&kept)
    };
    let odd = [
        (PeerReply::json(&json!([])), 502, "M_UNKNOWN"),
        (PeerReply::bytes("text/html", b"<p>hello</p>".to_vec()), 502, "M_UNKNOWN"),
        (PeerReply::bytes("application/json", vec![b' '; 10 << 20]), 502, "M_UNKNOWN"),
        (keys(json!([])), 502, "M_UNKNOWN"),
        (keys(json!([{ "public_key": "short" }])), 502, "M_UNKNOWN"),
        (keys(json!([{ "public_key": 7 }])), 502, "M_UNKNOWN"),
        (token(json!("")), 502, "M_UNKNOWN"),
        (token(json!("x".repeat(256))), 502, "M_UNKNOWN"),
        (token(json!("a\0b")), 502, "M_UNKNOWN"),
        (
            PeerReply::json(&good).status(302).header("location", "https://127.0.0.1/"),
            502,
            "M_UNKNOWN",
        ),
        (PeerReply::refusal(500, "M_UNKNOWN", "broken"), 502, "M_UNKNOWN"),
        (PeerReply::refusal(401, "M_UNKNOWN_TOKEN", "who?"), 403, "M_FORBIDDEN"),
        (PeerReply::refusal(403, "M_TERMS_NOT_SIGNED", "read"), 403, "M_TERMS_NOT_SIGNED"),
        (PeerReply::refusal(429, "M_LIMIT_EXCEEDED", "later"), 429, "M_LIMIT_EXCEEDED"),
        (PeerReply::json(&good).after(Duration::from_mins(1)), 502, "M_UNKNOWN"),
    ];
    for (reply, status, code) in odd {
        answers(peer, Method::POST, "store-invite", reply.clone());
        refused(scene.invite(ann).await, status, code)
            .map_err(|it| it.context(format!("{reply:?}")))?;
    }
    // As is what it says of addresses that it knows.
    for whom in [json!("nobody"), json!(7)] {
        peer.answer(Method::POST, &format!("{I}/lookup"), move |request| {
            let asked = request.json()["addresses"][0].as_str().unwrap_or_default().to_owned();
            PeerReply::json(&json!({ "mappings": { asked: whom } }))
        });
        refused(scene.invite(ann).await, 502, "M_UNKNOWN")?;
    }
    let hashing = json!({ "algorithms": ["md5"], "lookup_pepper": "p" });
    answers(peer, Method::GET, "hash_details", PeerReply::json(&hashing));
    refused(scene.invite(ann).await, 502, "M_UNKNOWN")?;
    ensure!(pledges(ann, &scene.room).await?.is_empty(), "something is pledged");
    scene.end().await
}

/// The pepper may change between two questions, and only then is it asked for again.
#[tokio::test]
async fn a_pepper_that_has_changed_is_asked_for_anew() -> Result<()> {
    let Some(scene) = Scene::begin("12").await? else { return Ok(()) };
    let peer = &scene.peer;
    peer.answer(Method::POST, &format!("{I}/lookup"), |request| {
        if request.json()["pepper"] == "p" {
            return PeerReply::refusal(400, "M_INVALID_PEPPER", "another one");
        }
        PeerReply::json(&json!({ "mappings": {} }))
    });
    answers(peer, Method::POST, "store-invite", PeerReply::json(&scene.kept("t")));
    // Asked twice at most: one that never fits is a refusal.
    refused(scene.invite(&scene.ann).await, 400, "M_FORBIDDEN")?;
    let (details, lookup) = (format!("{I}/hash_details"), format!("{I}/lookup"));
    ensure!(times(peer, &details) == 2 && times(peer, &lookup) == 2);
    let fresh = json!({ "algorithms": ["none"], "lookup_pepper": "q" });
    answers(peer, Method::GET, "hash_details", PeerReply::json(&fresh));
    scene.invite(&scene.ann).await?;
    ensure!(pledges(&scene.ann, &scene.room).await?.len() == 1, "nothing is pledged");
    scene.end().await
}

/// No mail goes out for whoever may not invite, and no server is named that is none.
#[tokio::test]
async fn whoever_may_not_invite_has_nobody_asked() -> Result<()> {
    let Some(scene) = Scene::begin("12").await? else { return Ok(()) };
    let bob = Client::register(scene.node.http(), "bob").await?;
    answers(&scene.peer, Method::POST, "store-invite", PeerReply::json(&scene.kept("t")));
    refused(scene.invite(&bob).await, 403, "M_FORBIDDEN")?;
    scene.ann.deed(&scene.room, "invite", Some(&bob)).await?;
    bob.join(&scene.room).await?;
    set(&scene.ann, &scene.room, "m.room.power_levels", json!({ "invite": 50 })).await?;
    refused(scene.invite(&bob).await, 403, "M_FORBIDDEN")?;
    ensure!(times(&scene.peer, I) == 0, "the identity server was asked");
    let path = format!("{C}/rooms/{}/invite", scene.room);
    let name = scene.peer.server_name();
    for (id_server, token, address) in [
        ("https://id.test", "t", "a@b.test"),
        ("id.test/x", "t", "a@b.test"),
        (name, "", "a@b.test"),
        (name, "a\r\nb: c", "a@b.test"),
        (name, "t", ""),
        (name, "t", &"a".repeat(255)),
    ] {
        let whom = json!({
            "id_server": id_server, "id_access_token": token, "medium": "email", "address": address,
        });
        refused(scene.ann.post(&path, &whom).await, 400, "M_INVALID_PARAM")?;
    }
    let whom = json!({
        "id_server": name, "id_access_token": "t", "medium": "email", "address": "a@b.test",
    });
    let many = json!({ "invite_3pid": vec![whom; 21] });
    refused(scene.ann.post(&format!("{C}/createRoom"), &many).await, 400, "M_INVALID_PARAM")?;
    ensure!(times(&scene.peer, I) == 0, "the identity server was asked");
    scene.end().await
}

/// Servers carry out what an identity server has proven, and nothing else.
#[tokio::test]
async fn servers_exchange_nothing_but_what_is_proven() -> Result<()> {
    for version in VERSIONS {
        let Some(scene) = Scene::begin(version).await? else { return Ok(()) };
        let (peer, mallory) = (&scene.peer, scene.peer.user("mallory"));
        peer.take_invitations(version)?;
        let bob = Client::register(scene.node.http(), "bob").await?;
        scene.pledge("t").await?;
        let signed = scene.proof(&mallory, "t")?;
        let good = scene.wish(&mallory, &signed);
        let other = SigningKey::generate("0")?;
        let other = other.sign(peer.server_name(), &json!({ "mxid": mallory, "token": "t" }))?;
        let trudy = peer.user("trudy");
        let with = |place: &str, value: Value| {
            let mut wish = good.clone();
            if let Some(at) = wish.pointer_mut(place) {
                *at = value;
            }
            wish
        };
        let lies = [
            (with("/type", json!("m.room.topic")), 400, "M_INVALID_PARAM"),
            (with("/room_id", json!("!other:town.test")), 400, "M_INVALID_PARAM"),
            (with("/content/membership", json!("join")), 400, "M_INVALID_PARAM"),
            (with("/content/third_party_invite/signed", json!(7)), 400, "M_BAD_JSON"),
            (with("/content/third_party_invite/signed/mxid", json!("x")), 400, "M_BAD_JSON"),
            (with("/content", json!({ "membership": "invite" })), 400, "M_BAD_JSON"),
            (with("/state_key", json!(trudy)), 403, "M_FORBIDDEN"),
            (with("/sender", json!(bob.id())), 403, "M_FORBIDDEN"),
            (with("/sender", json!(mallory)), 403, "M_FORBIDDEN"),
            (with("/content/third_party_invite/signed/token", json!("u")), 403, "M_FORBIDDEN"),
            (scene.wish(&mallory, &other), 403, "M_FORBIDDEN"),
            (scene.wish(bob.id(), &scene.proof(bob.id(), "t")?), 403, "M_FORBIDDEN"),
        ];
        key_is(peer, &json!({ "valid": true }));
        for (lie, status, code) in lies {
            let told = scene.exchange(&lie).await?;
            ensure!(told == (status, code.to_owned()), "{version}: {told:?} to {lie}");
        }
        for (told, status) in [(json!({ "valid": false }), 403), (json!("yes"), 403)] {
            key_is(peer, &told);
            ensure!(scene.exchange(&good).await?.0 == status, "a key that is in no use: {told}");
        }
        let broken = PeerReply::refusal(500, "M_UNKNOWN", "broken");
        peer.answer(Method::GET, "/isvalid", move |_| broken.clone());
        ensure!(scene.exchange(&good).await?.0 == 502, "nobody can say whether the key is in use");
        ensure!(scene.standing(&mallory).await?.is_null(), "they are invited");

        key_is(peer, &json!({ "valid": true }));
        ensure!(scene.exchange(&good).await?.0 == 200);
        ensure!(scene.standing(&mallory).await? == "invite");
        ensure!(scene.exchange(&good).await?.0 == 200, "asked for again");
        // A door that is shut stays shut, whoever shut it, and what is taken back is nothing.
        let whom = json!({ "user_id": mallory });
        for verb in ["kick", "ban", "unban"] {
            scene.ann.post(&format!("{C}/rooms/{}/{verb}", scene.room), &whom).await?;
            let told = scene.exchange(&good).await?;
            ensure!(told == (403, "M_FORBIDDEN".to_owned()), "after {verb}: {told:?}");
        }
        scene.pledge("u").await?;
        let anew = scene.wish(&mallory, &scene.proof(&mallory, "u")?);
        ensure!(scene.exchange(&anew).await?.0 == 200, "invited anew");
        let late = scene.wish(&trudy, &scene.proof(&trudy, "u")?);
        scene.ann.set_state(&scene.room, PLEDGE, "u", &json!({})).await?;
        ensure!(scene.exchange(&late).await? == (403, "M_FORBIDDEN".to_owned()));
        ensure!(scene.standing(&trudy).await?.is_null(), "invited by what was taken back");
        scene.end().await?;
    }
    Ok(())
}

/// What is proven is for the node to look at before it stands in a member event: the rules let a proof put
/// somebody out of the room, and let it count for ever.
#[tokio::test]
async fn a_proof_neither_puts_anybody_out_nor_back_in() -> Result<()> {
    let Some(scene) = Scene::begin("12").await? else { return Ok(()) };
    let (ann, room) = (&scene.ann, &scene.room);
    key_is(&scene.peer, &json!({ "valid": true }));
    let cat = Client::register(scene.node.http(), "cat").await?;
    let bob = Client::register(scene.node.http(), "bob").await?;
    for guest in [&cat, &bob] {
        ann.deed(room, "invite", Some(guest)).await?;
        guest.join(room).await?;
    }
    // Cat may invite, and has pledges of her own; she is her own identity server, too.
    set(ann, room, "m.room.power_levels", json!({ "invite": 0, "state_default": 0 })).await?;
    let pledge = json!({ "display_name": "x", "public_key": scene.key.public() });
    cat.set_state(room, PLEDGE, "cats", &pledge).await?;
    let forged = |of: &Client| -> Result<Value> {
        let carried = json!({ "display_name": "x", "signed": scene.proof(of.id(), "cats")? });
        Ok(json!({ "membership": "invite", "third_party_invite": carried }))
    };
    let place = |of: &Client| format!("{C}/rooms/{room}/state/m.room.member/{}", of.id());
    refused(cat.put(&place(&bob), &forged(&bob)?).await, 403, "M_FORBIDDEN")?;
    ensure!(scene.standing(bob.id()).await? == "join", "cat has put bob out");
    ann.deed(room, "kick", Some(&cat)).await?;
    refused(cat.put(&place(&cat), &forged(&cat)?).await, 403, "M_FORBIDDEN")?;

    // Whoever was put out does not come by knocking first, nor is anybody called back who has left.
    set(ann, room, "m.room.join_rules", json!({ "join_rule": "knock" })).await?;
    scene.pledge("t").await?;
    let signed = json!({ "mxid": bob.id(), "sender": ann.id(), "token": "t" });
    let signed = scene.key.sign(scene.peer.server_name(), &signed)?;
    let come = json!({ "third_party_signed": signed });
    let path = format!("{C}/join/{room}");
    bob.post(&path, &come).await?;
    ann.deed(room, "kick", Some(&bob)).await?;
    refused(bob.post(&path, &come).await, 403, "M_FORBIDDEN")?;
    bob.post(&format!("{C}/knock/{room}"), &json!({})).await?;
    refused(bob.post(&path, &come).await, 403, "M_FORBIDDEN")?;
    bob.deed(room, "leave", None).await?;
    refused(bob.post(&path, &come).await, 403, "M_FORBIDDEN")?;
    scene.end().await
}

/// Anybody may say that an address was bound: nothing comes of it but what is proven.
#[tokio::test]
async fn whoever_tells_of_an_address_has_to_prove_it() -> Result<()> {
    let Some(scene) = Scene::begin("12").await? else { return Ok(()) };
    let (peer, to) = (&scene.peer, scene.node.destination());
    let bob = Client::register(scene.node.http(), "bob").await?;
    scene.pledge("t").await?;
    key_is(peer, &json!({ "valid": true }));
    let tell = async |body: &Value| -> Result<u16> {
        let door = peer.door(&to)?;
        let body = body.to_string();
        let headers = [("content-type", "application/json")];
        let mut statuses = Vec::new();
        for method in ["PUT", "POST"] {
            statuses.push(door.ask(method, ON_BIND, &headers, body.as_bytes()).await?.status);
        }
        ensure!(statuses[0] == statuses[1], "{statuses:?}");
        Ok(statuses[0])
    };
    let invite = |of: &str, signed: Value| {
        json!({
            "medium": "email", "address": "bob@town.test", "mxid": of, "room_id": scene.room.as_str(),
            "sender": scene.ann.id(), "signed": signed,
        })
    };
    let told = |of: &str, invites: Value| json!({ "medium": "email", "address": "bob@town.test", "mxid": of, "invites": invites });
    let mallory = peer.user("mallory");
    let forged = SigningKey::generate("0")?;
    let forged = forged.sign(peer.server_name(), &json!({ "mxid": bob.id(), "token": "t" }))?;
    let others = scene.proof(&mallory, "t")?;
    for (body, status) in [
        (json!([]), 400),
        (json!({ "mxid": 7 }), 400),
        (told(bob.id(), json!([7])), 400),
        (told(&mallory, json!([])), 404),
        (json!({ "medium": "email", "address": "bob@town.test", "mxid": bob.id() }), 200),
        (told(bob.id(), json!([invite(bob.id(), forged.clone())])), 200),
        (told(bob.id(), json!([invite(&mallory, others)])), 200),
        (told(bob.id(), json!([invite(bob.id(), json!({ "mxid": bob.id() }))])), 200),
        (told(bob.id(), json!(vec![invite(bob.id(), forged); 101])), 413),
    ] {
        let got = tell(&body).await?;
        ensure!(got == status, "{got} to {body}");
    }
    ensure!(scene.standing(bob.id()).await?.is_null(), "invited by what nobody has proven");
    // A server that is needed and does not answer: whoever tells of it comes again. One that comes to
    // nothing takes none of the others with it.
    let mut elsewhere = invite(bob.id(), scene.proof(bob.id(), "t")?);
    elsewhere["room_id"] = json!("!none:town.test");
    elsewhere["sender"] = json!("@eve:127.0.0.1");
    let good = invite(bob.id(), scene.proof(bob.id(), "t")?);
    let got = tell(&told(bob.id(), json!([elsewhere, good]))).await?;
    ensure!(got == 502, "{got}");
    ensure!(scene.standing(bob.id()).await? == "invite");
    // Nor do many that are gone keep it waiting for ever: whoever tells comes again.
    let cat = Client::register(scene.node.http(), "cat").await?;
    let mut many: Vec<Value> = (2..14)
        .map(|n| -> Result<Value> {
            let mut gone = invite(cat.id(), scene.proof(cat.id(), "t")?);
            gone["room_id"] = json!(format!("!none{n}:town.test"));
            gone["sender"] = json!(format!("@eve:127.0.0.{n}"));
            Ok(gone)
        })
        .collect::<Result<_>>()?;
    many.push(invite(cat.id(), scene.proof(cat.id(), "t")?));
    let all = told(cat.id(), json!(many));
    comes_true("the one that can be", async || {
        let _comes_again = tell(&all).await?;
        Ok(scene.standing(cat.id()).await? == "invite")
    })
    .await?;
    scene.end().await
}

/// An invitation in ann's name that she has not signed: its proof is none, and a wrong hash has it taken
/// away, so that her own invitation would be left.
#[tokio::test]
async fn nobody_is_invited_by_a_proof_that_is_taken_away() -> Result<()> {
    for version in VERSIONS {
        let Some(scene) = Scene::begin(version).await? else { return Ok(()) };
        set(&scene.ann, &scene.room, "m.room.join_rules", json!({ "join_rule": "public" })).await?;
        let mut levels = scene.ann.state(&scene.room, "m.room.power_levels", "").await?;
        levels["invite"] = json!(0);
        set(&scene.ann, &scene.room, "m.room.power_levels", levels).await?;
        let Scene { peer, node, ann, room, _town, key: _ } = scene;
        let guest = Guest::come(peer, &node, room.as_str(), version).await?;
        let trudy = guest.peer.user("trudy");
        for carried in [
            json!({ "display_name": "t" }),
            json!({ "display_name": "t", "signed": {
            "mxid": trudy, "token": "t", "signatures": { "x": { "ed25519:0": "AAAA" } },
        } }),
        ] {
            let content = json!({ "membership": "invite", "third_party_invite": carried });
            let draft = guest.room.draft(ann.id(), "m.room.member", Some(&trudy), &content)?;
            let mut lie = guest.room.seal(&draft)?;
            for wrong_hash in [false, true] {
                if wrong_hash {
                    lie.json["hashes"]["sha256"] = json!("A".repeat(43));
                    let mut bare = lie.json.clone();
                    bare.as_object_mut().map(|it| it.remove("signatures"));
                    lie = guest.room.identify(&bare)?;
                    lie.json["signatures"] = json!({ guest.peer.server_name(): {} });
                }
                let answer = guest.peer.transact(&guest.to, &[&lie], &[]).await?;
                ensure!(answer.status == 200, "{}", answer.short());
                let told = answer.json()["pdus"][&lie.id].clone();
                // What is signed by nobody is not even worth a result.
                ensure!(told != json!({}), "version {version}: {} to {}", answer.short(), lie.id);
                let member = member(&ann, &room, &trudy).await?;
                ensure!(member.is_null(), "version {version}: {member}");
            }
        }
        // The same in the guest's own name, signed by their server: it is for no other reason that the
        // others came to nothing.
        let content = json!({ "membership": "invite" });
        let (mallory, kind) = (&guest.mallory, "m.room.member");
        let honest =
            guest.room.seal(&guest.room.draft(mallory, kind, Some(&trudy), &content)?)?;
        let answer = guest.peer.transact(&guest.to, &[&honest], &[]).await?;
        ensure!(answer.json()["pdus"][&honest.id] == json!({}), "{}", answer.short());
        ensure!(member(&ann, &room, &trudy).await?["content"]["membership"] == "invite");
        let mut node = node;
        abroad::end(&mut node).await?;
    }
    Ok(())
}
