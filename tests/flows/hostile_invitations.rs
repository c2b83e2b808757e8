//! Invitations that are none: what servers hand over, what they answer, and how they would take one back.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use wayside_tests::{
    Answer, CallError, Client, Destination, Pdu, Peer, PeerReply, PeerRequest, PeerRoom, RoomId,
    SigningKey, verify,
};

use crate::{
    abroad::{Abroad, times, words},
    hostile_servers::Guest,
    shared_rooms::{set, state},
    stage::{Deeds, Ear, VERSIONS, comes_true, escaped, refused},
};

const C: &str = "/_matrix/client/v3";
const F: &str = "/_matrix/federation/v1";
const INVITE: &str = "/_matrix/federation/v2/invite/";
/// Invitations of one person that may be open at the same time, and of those how many are handed over at
/// once.
const OPEN: usize = 500;
const AT_ONCE: usize = 20;

type Refusal = (u16, &'static str);

const INVALID: Refusal = (400, "M_INVALID_PARAM");
const BAD: Refusal = (400, "M_BAD_JSON");

/// A server with a room of its own, whose owner invites people of the node.
struct Host {
    peer: Peer,
    to: Destination,
    owner: String,
    cabin: PeerRoom,
}

/// An invitation as it is handed over: the room and the event of the path, and how it is refused.
struct Handed {
    what: &'static str,
    room: String,
    id: String,
    body: Value,
    refusal: Refusal,
}

/// What is said along with an invitation into a room of a version.
fn wish(version: &str, event: &Value) -> Value {
    json!({ "room_version": version, "event": event, "invite_room_state": [] })
}

/// Asks the node to sign an invitation.
async fn hand(
    peer: &Peer,
    to: &Destination,
    (room, id): (&str, &str),
    body: &Value,
) -> Result<Answer> {
    let path = format!("{INVITE}{}/{}", escaped(room), escaped(id));
    peer.ask(to, Method::PUT, &path, Some(body)).await
}

impl Host {
    async fn open(abroad: &Abroad, version: &str) -> Result<Self> {
        let (peer, to) = (abroad.town.peer()?.start().await?, abroad.node.destination());
        let owner = peer.user("mallory");
        let cabin = PeerRoom::create(&peer, version, &owner)?;
        Ok(Self { peer, to, owner, cabin })
    }

    /// An invitation of somebody into the room; each that gives another reason is another one.
    fn invitation(&self, whom: &str, reason: &str) -> Result<Pdu> {
        let content = json!({ "membership": "invite", "reason": reason });
        self.cabin.seal(&self.cabin.draft(&self.owner, "m.room.member", Some(whom), &content)?)
    }

    /// Hands an invitation over as it should be.
    async fn invite(&self, invitation: &Pdu) -> Result<Answer> {
        let (room, body) = (self.cabin.id(), wish(self.cabin.version(), &invitation.json));
        hand(&self.peer, &self.to, (room, &invitation.id), &body).await
    }
}

/// Whether somebody sees an invitation into a room when they begin to look.
async fn is_invited(who: &Client, room: &str) -> Result<bool> {
    let (_, first) = Ear::begin(who, "").await?;
    Ok(first["rooms"]["invite"].get(room).is_some())
}

/// Waits for an invitation into a room.
async fn hears_of(ear: &mut Ear, room: &str) -> Result<()> {
    let heard = ear.hear(|news| news["rooms"]["invite"].get(room).map(|_| ())).await;
    heard.context("waiting for an invitation")
}

/// Events that invite nobody, or nobody by whom they are said to.
fn drafts(host: &Host, ann: &str) -> Result<Vec<(&'static str, Value, Refusal)>> {
    let own = &host.to.name;
    let content = json!({ "membership": "invite" });
    let right = host.cabin.draft(&host.owner, "m.room.member", Some(ann), &content)?;
    let with = |field: &str, value: Value| {
        let mut draft = right.clone();
        draft[field] = value;
        draft
    };
    let mut for_nobody = right.clone();
    for_nobody.as_object_mut().context("an event is an object")?.remove("state_key");
    let membership = |it: &str| with("content", json!({ "membership": it }));
    Ok(vec![
        ("by another server's", with("sender", json!("@eve:elsewhere.test")), INVALID),
        ("by somebody of the node", with("sender", json!(format!("@bob:{own}"))), INVALID),
        ("for somebody elsewhere", with("state_key", json!(host.peer.user("trudy"))), INVALID),
        (
            "for nobody known",
            with("state_key", json!(format!("@nobody:{own}"))),
            (404, "M_NOT_FOUND"),
        ),
        ("for no name", with("state_key", json!("ann")), INVALID),
        ("for nobody", for_nobody, INVALID),
        ("of another kind", with("type", json!("m.room.topic")), INVALID),
        ("of another room", with("room_id", json!("!elsewhere:town.test")), INVALID),
        ("a joining", membership("join"), INVALID),
        ("a leaving", membership("leave"), INVALID),
        ("a ban", membership("ban"), INVALID),
        ("a knock", membership("knock"), INVALID),
        ("of no standing", with("content", json!({})), INVALID),
    ])
}

fn lies(host: &Host, ann: &str) -> Result<Vec<Handed>> {
    let (cabin, version) = (&host.cabin, host.cabin.version());
    let handed = |what: &'static str, pdu: &Pdu, refusal: Refusal| {
        let (room, id) = (cabin.id().to_owned(), pdu.id.clone());
        Handed { what, room, id, body: wish(version, &pdu.json), refusal }
    };
    let mut lies = Vec::new();
    for (what, draft, refusal) in drafts(host, ann)? {
        lies.push(handed(what, &cabin.seal(&draft)?, refusal));
    }
    let (good, other) = (host.invitation(ann, "good")?, host.invitation(ann, "other")?);
    let of_good = |what: &'static str, refusal: Refusal| handed(what, &good, refusal);
    lies.push(Handed { id: other.id.clone(), ..of_good("under another id", INVALID) });
    let room = "!elsewhere:town.test".to_owned();
    lies.push(Handed { room, ..of_good("in another room", INVALID) });
    let signed = |what: &'static str, signatures: Value| {
        let mut pdu = good.clone();
        pdu.json["signatures"] = signatures;
        handed(what, &pdu, BAD)
    };
    lies.push(signed("unsigned", json!({})));
    lies.push(signed("signed as another one", other.json["signatures"].clone()));
    // As the right key would sign it, for nothing of this one is redacted.
    let content = json!({ "membership": "invite" });
    let plain = cabin.draft(&host.owner, "m.room.member", Some(ann), &content)?;
    let mut by_another = cabin.seal(&plain)?;
    by_another.json["signatures"] = json!({});
    let key = SigningKey::generate("peer_1")?;
    by_another.json = key.sign(host.peer.server_name(), &by_another.json)?;
    lies.push(handed("signed by another key", &by_another, BAD));
    let with = |what: &'static str, body: Value, refusal: Refusal| Handed {
        body,
        ..of_good(what, refusal)
    };
    for unknown in ["1", "9", "13", "twelve", ""] {
        let refusal = (400, "M_INCOMPATIBLE_ROOM_VERSION");
        lies.push(with("of a version unknown here", wish(unknown, &good.json), refusal));
    }
    let mut body = wish(version, &good.json);
    body["room_version"] = json!(12);
    lies.push(with("of a version that is no text", body, BAD));
    for nothing in [json!(null), json!("invite"), json!([]), json!({})] {
        lies.push(with("without an event", wish(version, &nothing), BAD));
    }
    let mut large = good.json.clone();
    large["content"]["reason"] = json!("x".repeat(70_000));
    lies.push(with("too large", wish(version, &large), (413, "M_TOO_LARGE")));
    Ok(lies)
}

/// Nobody sees anything of what is refused, and then of one that is good.
async fn false_invitations(abroad: &Abroad, version: &str) -> Result<()> {
    let host = Host::open(abroad, version).await?;
    let (ann, own) = (&abroad.ann, &host.to.name);
    let mut ear = Ear::of(ann).await?;
    for Handed { what, room, id, body, refusal } in lies(&host, ann.id())? {
        let answer = hand(&host.peer, &host.to, (&room, &id), &body).await?;
        let is_refused = (answer.status, &*answer.errcode()) == refusal;
        ensure!(is_refused, "{what}: wanted {refusal:?}, got {}", answer.short());
        ear.hears_nothing().await.context(what)?;
        ensure!(!is_invited(ann, host.cabin.id()).await?, "{what}: it is shown");
    }
    let good = host.invitation(ann.id(), "good")?;
    let signed = host.invite(&good).await?;
    ensure!(signed.status == 200, "{}", signed.short());
    let mut signed = signed.json()["event"].clone();
    ensure!(host.cabin.identify(&signed)?.id == good.id, "{signed}");
    let theirs = &good.json["signatures"][host.peer.server_name()];
    ensure!(signed["signatures"][host.peer.server_name()] == *theirs, "{signed}");
    // What is signed is what redaction leaves.
    signed["content"] = json!({ "membership": "invite" });
    let door = host.peer.door(&host.to)?;
    let published = door.ask("GET", "/_matrix/key/v2/server", &[], b"").await?.json();
    verify(&signed, own, &published)?;
    hears_of(&mut ear, host.cabin.id()).await
}

/// An invitation that does not match its hash is one without what could have been put into it.
async fn changed(abroad: &Abroad, version: &str) -> Result<()> {
    let host = Host::open(abroad, version).await?;
    let mut ear = Ear::of(&abroad.ann).await?;
    let mut invitation = host.invitation(abroad.ann.id(), "true")?;
    invitation.json["content"]["reason"] = json!("false");
    let answer = host.invite(&invitation).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    let event = answer.json()["event"].clone();
    ensure!(event["content"] == json!({ "membership": "invite" }), "{event}");
    ensure!(host.cabin.identify(&event)?.id == invitation.id, "{event}");
    hears_of(&mut ear, host.cabin.id()).await
}

#[tokio::test]
async fn hostile_invitations_are_refused_and_a_good_one_is_seen() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        let of = |what: &str| format!("{what}, version {version}");
        false_invitations(&abroad, version).await.with_context(|| of("false ones"))?;
        changed(&abroad, version).await.with_context(|| of("changed"))?;
    }
    abroad.end().await
}

/// Nobody invites into a room that is here whose rules shut their server out.
async fn shut_out(abroad: &Abroad, bob: &Client, version: &str) -> Result<()> {
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = bob.create_room(&request).await?;
    let peer = abroad.town.peer()?.start().await?;
    let guest = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
    let mut ear = Ear::of(&abroad.ann).await?;
    let host = guest.peer.server_name().split(':').next().context("a host")?.to_owned();
    for (deny, status) in [(json!([host]), 403_u16), (json!([]), 200)] {
        let rule = json!({ "allow": ["*"], "deny": deny, "allow_ip_literals": true });
        set(bob, &room, "m.room.server_acl", rule).await?;
        let content = json!({ "membership": "invite", "reason": status.to_string() });
        let (who, whom) = (&guest.mallory, Some(abroad.ann.id()));
        let draft = guest.room.draft(who, "m.room.member", whom, &content)?;
        let invitation = guest.room.seal(&draft)?;
        let place = (room.as_str(), invitation.id.as_str());
        let body = wish(version, &invitation.json);
        let answer = hand(&guest.peer, &guest.to, place, &body).await?;
        ensure!(answer.status == status, "{deny}: {}", answer.short());
        ensure!(status == 200 || answer.errcode() == "M_FORBIDDEN", "{}", answer.short());
        // It stands when it comes as an event of the room.
        ear.hears_nothing().await?;
    }
    Ok(())
}

#[tokio::test]
async fn hostile_invitations_into_rooms_that_shut_a_server_out() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let bob = Client::register(abroad.node.http(), "bob").await?;
    for version in VERSIONS {
        shut_out(&abroad, &bob, version).await.with_context(|| format!("version {version}"))?;
    }
    abroad.end().await
}

/// What is shown of a room of version 12 may not begin it by another event than the one that names it.
#[tokio::test]
async fn hostile_invitations_by_which_a_room_begins_otherwise() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (ann, host) = (&abroad.ann, Host::open(&abroad, "12").await?);
    let other = PeerRoom::create(&host.peer, "12", &host.owner)?;
    let begins = |room: &PeerRoom| room.events()[0].json.clone();
    let mut claimed = begins(&host.cabin);
    claimed["content"]["type"] = json!("m.space");
    for (reason, shown, is_shown) in [
        ("of another room", begins(&other), false),
        ("claimed", claimed, false),
        ("right", begins(&host.cabin), true),
    ] {
        let invitation = host.invitation(ann.id(), reason)?;
        let mut body = wish("12", &invitation.json);
        body["invite_room_state"] = json!([shown]);
        let place = (host.cabin.id(), &*invitation.id);
        let answer = hand(&host.peer, &host.to, place, &body).await?;
        ensure!(answer.status == 200, "{reason}: {}", answer.short());
        let (_, first) = Ear::begin(ann, "").await?;
        let shown = &first["rooms"]["invite"][host.cabin.id()]["invite_state"]["events"];
        let shown = shown.as_array().context("what is shown of the room")?;
        let begins = shown.iter().any(|it| it["type"] == "m.room.create");
        ensure!(begins == is_shown, "{reason}: {shown:?}");
    }
    abroad.end().await
}

/// Rooms whose ids, or what is known of them here, are of another version than is said.
#[tokio::test]
async fn hostile_invitations_into_rooms_of_another_version_than_is_said() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let bob = Client::register(abroad.node.http(), "bob").await?;
    let mut ear = Ear::of(&abroad.ann).await?;
    // An id with a server's name is of no room of version 12, and one without of none before.
    for (version, said) in [("10", "12"), ("11", "12"), ("12", "10"), ("12", "11")] {
        let host = Host::open(&abroad, version).await?;
        let invitation = host.invitation(abroad.ann.id(), "other")?;
        let (room, body) = (host.cabin.id(), wish(said, &invitation.json));
        let answer = hand(&host.peer, &host.to, (room, &invitation.id), &body).await?;
        let is_refused = (400..500).contains(&answer.status);
        ensure!(is_refused, "{version}, said to be {said}: {}", answer.short());
        ear.hears_nothing().await?;
    }
    for (version, said) in [("10", "11"), ("11", "10")] {
        let request = json!({ "preset": "public_chat", "room_version": version });
        let room = bob.create_room(&request).await?;
        let peer = abroad.town.peer()?.start().await?;
        let guest = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
        let (who, whom) = (&guest.mallory, Some(abroad.ann.id()));
        let content = json!({ "membership": "invite" });
        let invitation =
            guest.room.seal(&guest.room.draft(who, "m.room.member", whom, &content)?)?;
        let place = (room.as_str(), invitation.id.as_str());
        let body = wish(said, &invitation.json);
        let answer = hand(&guest.peer, &guest.to, place, &body).await?;
        let is_refused = (400..500).contains(&answer.status);
        ensure!(is_refused, "here in {version}, said to be {said}: {}", answer.short());
        ear.hears_nothing().await?;
    }
    abroad.end().await
}

/// Whoever invites into a room of another server may say of it what it is not: whoever lets somebody in knows.
async fn false_natures(abroad: &Abroad, version: &str, said: &str) -> Result<()> {
    let (ann, Host { peer, to, cabin, .. }) = (&abroad.ann, Host::open(abroad, version).await?);
    let liar = abroad.town.peer()?.start().await?;
    let events = cabin.events().iter().map(|it| it.json.clone()).collect();
    let told = PeerRoom::told(&liar, said, cabin.id(), events)?;
    let (mallory, content) = (liar.user("mallory"), json!({ "membership": "invite" }));
    let invitation =
        told.seal(&told.draft(&mallory, "m.room.member", Some(ann.id()), &content)?)?;
    let mut body = wish(said, &invitation.json);
    let begins = json!({ "type": "m.space", "room_version": said });
    body["invite_room_state"] = json!([{
        "type": "m.room.create", "state_key": "", "sender": mallory, "content": begins,
    }]);
    let answer = hand(&liar, &to, (cabin.id(), &invitation.id), &body).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    let room = RoomId::known(cabin.id());
    ensure!(is_invited(ann, cabin.id()).await?, "nobody is invited");
    let hosted = peer.host(cabin);
    ann.join_through(&room, peer.server_name()).await?;
    ann.say(&room, "hello").await?;
    peer.event(|it| it["content"]["body"] == "hello").await?;
    let welcome = {
        let mut hosted = hosted.lock().expect("nobody has panicked");
        let (owner, text) = (peer.user("mallory"), json!({ "body": "welcome" }));
        hosted.send(&owner, "m.room.message", None, &text)?
    };
    let answer = peer.transact(&to, &[&welcome], &[]).await?.json();
    ensure!(answer["pdus"][&welcome.id] == json!({}), "{answer}");
    let below = ann.get(&format!("/_matrix/client/v1/rooms/{room}/hierarchy")).await?;
    ensure!(below["rooms"][0]["room_type"].is_null(), "it is taken for a space: {below}");
    Ok(())
}

#[tokio::test]
async fn hostile_invitations_do_not_say_what_a_room_is() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for (version, said) in [("10", "11"), ("11", "10"), ("11", "11")] {
        let done = false_natures(&abroad, version, said).await;
        done.with_context(|| format!("{version}, said to be {said}"))?;
    }
    abroad.end().await
}

/// Leavings by which nobody takes an invitation back, each with who sends it.
fn retractions<'p>(
    host: &'p Host,
    eve: &'p Peer,
    ann: &str,
    invitation: &Pdu,
) -> Result<Vec<(&'static str, &'p Peer, Pdu)>> {
    let (cabin, leave) = (&host.cabin, json!({ "membership": "leave" }));
    let jsons = cabin.events().iter().map(|it| it.json.clone()).collect();
    let of_eve = PeerRoom::told(eve, cabin.version(), cabin.id(), jsons)?;
    let by =
        |sender: &str, content: &Value| cabin.draft(sender, "m.room.member", Some(ann), content);
    let theirs = by(&host.owner, &leave)?;
    let mut of_nothing = theirs.clone();
    let cited = of_nothing["auth_events"].as_array_mut().context("a list")?;
    let all = cited.len();
    cited.retain(|id| *id != invitation.id.as_str());
    ensure!(cited.len() + 1 == all, "a leaving cites the invitation");
    let mut unsigned = cabin.seal(&theirs)?;
    unsigned.json["signatures"] = json!({});
    let own = eve.user("eve");
    let ban = json!({ "membership": "ban" });
    Ok(vec![
        ("by somebody of another server", eve, of_eve.seal(&by(&own, &leave)?)?),
        ("a ban by them", eve, of_eve.seal(&by(&own, &ban)?)?),
        ("in the name of who has invited", eve, of_eve.seal(&theirs)?),
        ("handed on by another server", eve, cabin.seal(&theirs)?),
        ("in the name of another", &host.peer, cabin.seal(&by(&own, &leave)?)?),
        ("unsigned", &host.peer, unsigned),
        ("of no invitation", &host.peer, cabin.seal(&of_nothing)?),
    ])
}

/// An invitation is taken back by the server that has invited, and by no other.
async fn taken_back(abroad: &Abroad, version: &str) -> Result<()> {
    let mut host = Host::open(abroad, version).await?;
    let (ann, eve) = (&abroad.ann, abroad.town.peer()?.start().await?);
    let invitation = host.invitation(ann.id(), "come")?;
    let signed = host.invite(&invitation).await?;
    ensure!(signed.status == 200, "{}", signed.short());
    host.cabin.add(invitation.clone());
    let mut ear = Ear::of(ann).await?;
    for (what, peer, leave) in retractions(&host, &eve, ann.id(), &invitation)? {
        let answer = peer.transact(&host.to, &[&leave], &[]).await?;
        ensure!(answer.status == 200, "{what}: {}", answer.short());
        let told = answer.json()["pdus"][&leave.id].clone();
        ensure!(told["error"].is_string(), "{what}: {}", answer.short());
        ear.hears_nothing().await.context(what)?;
        ensure!(is_invited(ann, host.cabin.id()).await?, "{what}: it is taken back");
    }
    let content = json!({ "membership": "leave" });
    let leave = host.cabin.draft(&host.owner, "m.room.member", Some(ann.id()), &content)?;
    let leave = host.cabin.seal(&leave)?;
    let answer = host.peer.transact(&host.to, &[&leave], &[]).await?;
    ensure!(answer.json()["pdus"][&leave.id] == json!({}), "{}", answer.short());
    let place = host.cabin.id();
    ear.hear(|news| news["rooms"]["leave"].get(place).map(|_| ())).await?;
    ensure!(!is_invited(ann, place).await?, "it is there still");
    Ok(())
}

#[tokio::test]
async fn hostile_invitations_are_not_taken_back_by_others() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        taken_back(&abroad, version).await.with_context(|| format!("version {version}"))?;
    }
    abroad.end().await
}

/// How a server answers that is asked to sign an invitation.
type Signing = Box<dyn Fn(&PeerRequest) -> PeerReply + Send + Sync>;

/// An event signed by the server of a room, however it was signed before.
fn sealed(room: &PeerRoom, event: &Value) -> Value {
    room.seal(event).map_or(Value::Null, |event| event.json)
}

fn answers(peer: &Peer, version: &str) -> Result<Vec<(&'static str, Signing, Refusal)>> {
    let seals = || PeerRoom::told(peer, version, "!none:town.test", Vec::new());
    let (one, two) = (seals()?, seals()?);
    let (key, name) = (SigningKey::generate("peer_1")?, peer.server_name().to_owned());
    let bytes = |bytes: Vec<u8>| PeerReply::bytes("application/json", bytes);
    let reply = |reply: PeerReply| -> Signing { Box::new(move |_| reply.clone()) };
    let useless = (502, "M_UNKNOWN");
    let another: Signing = Box::new(move |request| {
        let mut event = request.json()["event"].clone();
        event["content"]["reason"] = json!("another");
        PeerReply::json(&json!({ "event": sealed(&one, &event) }))
    });
    let unsigned: Signing =
        Box::new(|request| PeerReply::json(&json!({ "event": request.json()["event"] })));
    let forged: Signing = {
        let name = name.clone();
        Box::new(move |request| {
            let asked = request.json()["event"].clone();
            let mut other = asked.clone();
            other["content"]["reason"] = json!("other");
            let mut event = sealed(&two, &asked);
            event["signatures"][&name] = sealed(&two, &other)["signatures"][&name].clone();
            PeerReply::json(&json!({ "event": event }))
        })
    };
    let by_another: Signing = Box::new(move |request| {
        let signed = key.sign(&name, &request.json()["event"]).unwrap_or_default();
        PeerReply::json(&json!({ "event": signed }))
    });
    Ok(vec![
        ("another event", another, useless),
        ("unsigned", unsigned, useless),
        ("signed as another one", forged, useless),
        ("signed by another key", by_another, useless),
        ("nothing", reply(PeerReply::json(&json!({}))), useless),
        ("no event", reply(PeerReply::json(&json!({ "event": "signed" }))), useless),
        ("a list", reply(PeerReply::json(&json!([200, {}]))), useless),
        ("no JSON", reply(bytes(b"{\"event\":".to_vec())), useless),
        ("too much", reply(bytes(vec![b' '; 1 << 20])), useless),
        ("a failure", reply(PeerReply::refusal(500, "M_UNKNOWN", "broken")), useless),
        (
            "a refusal",
            reply(PeerReply::refusal(403, "M_FORBIDDEN", "they want none")),
            (403, "M_FORBIDDEN"),
        ),
        (
            "nobody of that name",
            reply(PeerReply::refusal(404, "M_NOT_FOUND", "who?")),
            (404, "M_NOT_FOUND"),
        ),
    ])
}

/// Whoever invites is told why nobody is invited, and nothing of it stands in the room.
async fn unsigned_ones(abroad: &Abroad, version: &str) -> Result<()> {
    let ann = &abroad.ann;
    let request = json!({ "preset": "private_chat", "room_version": version });
    let room = ann.create_room(&request).await?;
    let peer = abroad.town.peer()?.start().await?;
    let pia = peer.user("pia");
    let (invite, entry) = (format!("{C}/rooms/{room}/invite"), format!("m.room.member/{pia}"));
    let (whom, content) = (json!({ "user_id": pia }), json!({ "membership": "invite" }));
    let mut ear = Ear::of(ann).await?;
    for (what, signing, (status, code)) in answers(&peer, version)? {
        peer.answer(Method::PUT, INVITE, signing);
        let path = format!("{C}/rooms/{room}/state/{entry}");
        for answer in [ann.post(&invite, &whom).await, ann.put(&path, &content).await] {
            if let Err(CallError::Refused { body, .. }) = &answer {
                let said = body["error"].as_str().unwrap_or_default();
                ensure!(said.contains(peer.server_name()), "{what}: {body}");
            }
            refused(answer, status, code).context(what)?;
        }
        ear.hears_nothing().await.context(what)?;
        let member = state(ann, &room, &entry).await?;
        ensure!(member.is_none(), "{what}: {member:?}");
    }
    peer.take_invitations(version)?;
    ann.post(&invite, &whom).await?;
    let member = state(ann, &room, &entry).await?.context("an invitation")?;
    ensure!(member["membership"] == "invite", "{member}");
    Ok(())
}

#[tokio::test]
async fn hostile_invitations_that_are_not_signed_are_none() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        unsigned_ones(&abroad, version).await.with_context(|| format!("version {version}"))?;
    }
    abroad.end().await
}

/// Hands an invitation over into one of many rooms of a host.
async fn invite_into(host: &Host, draft: &Value, number: usize) -> Result<Answer> {
    let room = format!("!open{number}:{}", host.peer.server_name());
    let mut draft = draft.clone();
    draft["room_id"] = json!(room);
    let invitation = host.cabin.seal(&draft)?;
    let body = wish("11", &invitation.json);
    hand(&host.peer, &host.to, (&room, &invitation.id), &body).await
}

/// Somebody has so many invitations and no more, until they refuse one.
#[tokio::test]
async fn hostile_invitations_without_an_end() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (host, ann) = (Host::open(&abroad, "11").await?, &abroad.ann);
    let content = json!({ "membership": "invite" });
    let draft = host.cabin.draft(&host.owner, "m.room.member", Some(ann.id()), &content)?;
    let numbers: Vec<usize> = (0..OPEN).collect();
    for part in numbers.chunks(AT_ONCE) {
        let part = part.iter().map(|number| invite_into(&host, &draft, *number));
        for answer in try_join_all(part).await? {
            ensure!(answer.status == 200, "{}", answer.short());
        }
    }
    let more = invite_into(&host, &draft, OPEN).await?;
    ensure!(more.status == 403 && more.errcode() == "M_FORBIDDEN", "{}", more.short());
    // Its server does not know how one goes there: they are rid of it all the same.
    let first = RoomId::known(&format!("!open0:{}", host.peer.server_name()));
    ann.deed(&first, "leave", None).await?;
    let more = invite_into(&host, &draft, OPEN).await?;
    ensure!(more.status == 200, "{}", more.short());
    let more = invite_into(&host, &draft, OPEN + 1).await?;
    ensure!(more.status == 403, "{}", more.short());
    abroad.end().await
}

/// What templates say in place of what they should.
fn changes(peer: &Peer) -> Vec<(&'static str, Value)> {
    let mallory = json!(peer.user("mallory"));
    vec![
        ("sender", mallory.clone()),
        ("state_key", mallory),
        ("room_id", json!("!another:room.test")),
        ("type", json!("m.room.message")),
        ("content", json!({ "membership": "join" })),
        ("content", json!("none")),
        ("prev_events", json!([])),
        ("prev_events", json!(vec!["$x"; 30])),
        ("auth_events", json!(vec!["$x"; 30])),
        ("depth", json!(0)),
        ("depth", json!("deep")),
    ]
}

/// Has the peer answer whoever asks for the event by which to go or to knock.
fn template(peer: &Peer, path: &str, version: &str, event: &Value) {
    let told = json!({ "room_version": version, "event": event });
    peer.answer(Method::GET, path, move |_| PeerReply::json(&told));
}

/// Whoever refuses an invitation signs nothing but that, and is rid of it all the same.
async fn false_leavings(abroad: &Abroad, version: &str) -> Result<()> {
    let host = Host::open(abroad, version).await?;
    let (ann, peer) = (&abroad.ann, &host.peer);
    let here = RoomId::known(host.cabin.id());
    let (make, send) = (format!("{F}/make_leave/{here}/"), "/_matrix/federation/v2/send_leave/");
    let content = json!({ "membership": "leave" });
    let right = host.cabin.draft(ann.id(), "m.room.member", Some(ann.id()), &content)?;
    for (number, (field, value)) in changes(peer).into_iter().enumerate() {
        let invitation = host.invitation(ann.id(), &number.to_string())?;
        let signed = host.invite(&invitation).await?;
        ensure!(signed.status == 200, "{field} {value}: {}", signed.short());
        let mut event = right.clone();
        event[field] = value.clone();
        template(peer, &make, version, &event);
        ann.deed(&here, "leave", None).await?;
        peer.request(&Method::GET, &make).await?;
        ensure!(times(peer, send) == 0, "{field} {value}: it was handed on");
        ensure!(!is_invited(ann, here.as_str()).await?, "{field} {value}: it is there still");
    }
    let invitation = host.invitation(ann.id(), "again")?;
    ensure!(host.invite(&invitation).await?.status == 200);
    template(peer, &make, version, &right);
    peer.answer(Method::PUT, send, |_| PeerReply::json(&json!({})));
    ann.deed(&here, "leave", None).await?;
    let sent = peer.request(&Method::PUT, send).await?;
    let event = host.cabin.identify(&sent.json())?;
    ensure!(sent.target().ends_with(&event.id), "{}", sent.line());
    let says = &event.json["content"]["membership"];
    ensure!(*says == "leave" && event.json["sender"] == ann.id(), "{}", event.json);
    Ok(())
}

/// Whoever knocks signs nothing but that, and does not knock by anything else.
async fn false_knocks(abroad: &Abroad, version: &str) -> Result<()> {
    let mut host = Host::open(abroad, version).await?;
    let owner = host.owner.clone();
    let rule = json!({ "join_rule": "knock" });
    host.cabin.send(&owner, "m.room.join_rules", Some(""), &rule)?;
    let (ann, peer, place) = (&abroad.ann, &host.peer, host.cabin.id());
    let (make, send) = (format!("{F}/make_knock/{place}/"), format!("{F}/send_knock/"));
    let path = format!("{C}/knock/{place}?via={}", peer.server_name());
    let content = json!({ "membership": "knock" });
    let right = host.cabin.draft(ann.id(), "m.room.member", Some(ann.id()), &content)?;
    let mut ear = Ear::of(ann).await?;
    for (field, value) in changes(peer) {
        let mut event = right.clone();
        event[field] = value.clone();
        template(peer, &make, version, &event);
        let (status, said) = words(ann.post(&path, &json!({})).await)?;
        let is_clear = status == 502 && said.contains(peer.server_name());
        ensure!(is_clear, "{field} {value}: {status} {said}");
        ensure!(times(peer, &send) == 0, "{field} {value}: it was handed on");
        ear.hears_nothing().await.with_context(|| format!("{field} {value}"))?;
    }
    template(peer, &make, version, &right);
    peer.answer(Method::PUT, &send, |_| PeerReply::json(&json!({ "knock_room_state": [] })));
    ann.post(&path, &json!({})).await?;
    let sent = peer.request(&Method::PUT, &send).await?;
    let event = host.cabin.identify(&sent.json())?;
    ensure!(sent.target().ends_with(&event.id), "{}", sent.line());
    ensure!(event.json["content"]["membership"] == "knock", "{}", event.json);
    comes_true("the knock", async || {
        let (_, first) = Ear::begin(ann, "").await?;
        Ok(first["rooms"]["knock"].get(place).is_some())
    })
    .await
}

#[tokio::test]
async fn hostile_invitations_are_refused_by_no_false_word() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        let of = |what: &str| format!("{what}, version {version}");
        false_leavings(&abroad, version).await.with_context(|| of("leavings"))?;
        false_knocks(&abroad, version).await.with_context(|| of("knocks"))?;
    }
    abroad.end().await
}
