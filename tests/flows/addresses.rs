//! Invitations by an address: pledged where an identity server knows nobody, and carried out when somebody proves it theirs.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::try_join;
use wayside_tests::{Client, Engine, IdentityServer, Node, RoomId, Town};

use crate::{
    abroad,
    emails::Mailbox,
    shared_rooms::hears,
    stage::{Deeds, Ear, Stage, VERSIONS, comes_true, list, one, part, refused, stories},
};

stories! {
    an_address_is_invited_and_its_owner_comes;
}

const C: &str = "/_matrix/client/v3";
/// The type of the event that pledges an invitation.
pub(crate) const PLEDGE: &str = "m.room.third_party_invite";

/// A real identity server, and where its mail goes.
struct Office {
    server: IdentityServer,
    mailbox: Mailbox,
}

/// Somebody with a token at the identity server.
struct Known<'k> {
    client: &'k Client,
    token: String,
}

impl Office {
    /// Opens it in a town; nothing where it is not to be had.
    async fn open(town: &Town) -> Result<Option<Self>> {
        let Some(mailbox) = Mailbox::listen().await? else { return Ok(None) };
        let Some(options) = town.identity_server("id", mailbox.port)? else { return Ok(None) };
        Ok(Some(Self { server: options.start().await?, mailbox }))
    }

    async fn ask(&self, method: Method, path: &str, token: &str, body: &Value) -> Result<Value> {
        let url = self.server.http().join(&format!("/_matrix/identity/v2/{path}"))?;
        let asked = reqwest::Client::new().request(method, url).bearer_auth(token);
        let answer = asked.body(body.to_string()).send().await?;
        let status = answer.status();
        let told = answer.text().await?;
        ensure!(status.is_success(), "{path}: {status} {told}");
        Ok(serde_json::from_str(&told)?)
    }

    /// Lets somebody in by the word of their server.
    async fn know<'k>(&self, client: &'k Client) -> Result<Known<'k>> {
        let path = format!("{C}/user/{}/openid/request_token", client.id());
        let shown = client.post(&path, &json!({})).await?;
        let told = self.ask(Method::POST, "account/register", "", &shown).await?;
        let token = told["token"].as_str().context("a token")?.to_owned();
        Ok(Known { client, token })
    }

    /// The session in which somebody has shown that they read what is sent to an address.
    async fn prove(&mut self, known: &Known<'_>, address: &str) -> Result<(String, String)> {
        let secret = format!("secret-of-{}", address.replace('@', "-"));
        let asked = json!({ "client_secret": secret, "email": address, "send_attempt": 1 });
        let path = "validate/email/requestToken";
        let told = self.ask(Method::POST, path, &known.token, &asked).await?;
        let sid = told["sid"].as_str().context("a session")?.to_owned();
        let token = self.word(address, "token").await?;
        let shown = json!({ "sid": sid, "client_secret": secret, "token": token });
        let path = "validate/email/submitToken";
        let told = self.ask(Method::POST, path, &known.token, &shown).await?;
        ensure!(told["success"] == true, "{told}");
        Ok((sid, secret))
    }

    /// Binds an address to somebody through their own server.
    async fn bind(&mut self, known: &Known<'_>, address: &str) -> Result<()> {
        let (sid, secret) = self.prove(known, address).await?;
        let bound = json!({
            "sid": sid, "client_secret": secret,
            "id_server": self.server.server_name(), "id_access_token": known.token,
        });
        known.client.post(&format!("{C}/account/3pid/bind"), &bound).await?;
        Ok(())
    }

    /// What a client says of an address.
    fn names(&self, known: &Known<'_>, address: &str) -> Value {
        json!({
            "id_server": self.server.server_name(), "id_access_token": known.token,
            "medium": "email", "address": address,
        })
    }

    async fn invite(&self, known: &Known<'_>, room: &RoomId, address: &str) -> Result<()> {
        let whom = self.names(known, address);
        known.client.post(&format!("{C}/rooms/{room}/invite"), &whom).await?;
        Ok(())
    }

    /// The next mail, which must be to this address.
    async fn mail(&mut self, to: &str) -> Result<String> {
        let mail = self.mailbox.mail().await?;
        ensure!(mail["to"] == json!([to]), "{mail}");
        Ok(mail["text"].as_str().context("a text")?.to_owned())
    }

    /// What the next mail says under a name.
    async fn word(&mut self, to: &str, name: &str) -> Result<String> {
        said(&self.mail(to).await?, name)
    }

    /// Whose an address is, as the identity server tells anybody who asks.
    async fn owner(&self, known: &Known<'_>, address: &str) -> Result<Option<String>> {
        let details = self.ask(Method::GET, "hash_details", &known.token, &Value::Null).await?;
        let plain = format!("{address} email");
        let asked = json!({
            "addresses": [plain], "algorithm": "none", "pepper": details["lookup_pepper"],
        });
        let told = self.ask(Method::POST, "lookup", &known.token, &asked).await?;
        Ok(told["mappings"][&plain].as_str().map(ToOwned::to_owned))
    }
}

fn said(mail: &str, name: &str) -> Result<String> {
    let line = mail.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    Ok(line.with_context(|| format!("no {name} in {mail}"))?.trim().to_owned())
}

/// The pledges of a room that were not taken back.
pub(crate) async fn pledges(who: &Client, room: &RoomId) -> Result<Vec<Value>> {
    let mut state = list(&who.get(&format!("{C}/rooms/{room}/state")).await?);
    state.retain(|it| it["type"] == PLEDGE && it["content"] != json!({}));
    Ok(state)
}

/// How somebody stands to a room, and the rest of what their member event says.
pub(crate) async fn member(who: &Client, room: &RoomId, of: &str) -> Result<Value> {
    let state = list(&who.get(&format!("{C}/rooms/{room}/state")).await?);
    Ok(one(&state, "m.room.member", Some(of)).cloned().unwrap_or_default())
}

async fn stands(who: &Client, room: &RoomId, of: &str, how: &str) -> Result<()> {
    comes_true(&format!("{of} is seen as {how}"), async || {
        Ok(member(who, room, of).await?["content"]["membership"] == how)
    })
    .await
}

/// Waits until somebody hears that they are invited.
async fn invited(ear: &mut Ear, room: &RoomId) -> Result<Vec<Value>> {
    let shown = |news: &Value| {
        let shown = list(part(news, room, "invite/invite_state"));
        (!shown.is_empty()).then_some(shown)
    };
    ear.hear(shown).await.context("waiting for an invitation")
}

async fn private(who: &Client, version: &str) -> Result<RoomId> {
    let name = format!("Harbour {version}");
    let wish = json!({ "preset": "private_chat", "name": name, "room_version": version });
    who.create_room(&wish).await
}

async fn end(nodes: &mut [&mut Node]) -> Result<()> {
    for node in nodes {
        abroad::end(node).await?;
    }
    Ok(())
}

/// From the address to the room, in every version of rooms; then straight, for the address is known.
// Operations: inviteBy3PID, bind3PID, unbind3pidFromAccount.
async fn an_address_is_invited_and_its_owner_comes(stage: &mut Stage) -> Result<()> {
    let town = &stage.town;
    let Some(mut office) = Office::open(town).await? else { return Ok(()) };
    let (mut a, mut b) = try_join!(town.server("home")?.start(), town.server("away")?.start())?;
    let ann = Client::register(a.http(), "ann").await?;
    let bob = Client::register(b.http(), "bob").await?;
    let (ann_there, bob_there) = (office.know(&ann).await?, office.know(&bob).await?);
    let (mut ann_hears, mut bob_hears) = (Ear::of(&ann).await?, Ear::of(&bob).await?);
    for version in VERSIONS {
        let room = private(&ann, version).await?;
        let address = format!("bob-{version}@town.test");
        office.invite(&ann_there, &room, &address.to_uppercase()).await?;
        let mail = office.mail(&address).await?;
        ensure!(said(&mail, "room")? == room.as_str(), "{mail}");
        ensure!(said(&mail, "room_name")? == format!("Harbour {version}"), "{mail}");
        let pledged = pledges(&ann, &room).await?;
        ensure!(pledged.len() == 1, "{pledged:?}");
        let pledge = &pledged[0];
        ensure!(pledge["state_key"] == said(&mail, "token")?, "{pledge}");
        ensure!(!pledge.to_string().contains(&address), "the room is told the address: {pledge}");
        ensure!(pledge["content"]["public_keys"].as_array().is_some_and(|it| it.len() == 2));

        office.bind(&bob_there, &address).await?;
        let shown = invited(&mut bob_hears, &room).await?;
        ensure!(one(&shown, "m.room.name", None).is_some(), "{shown:?}");
        stands(&ann, &room, bob.id(), "invite").await?;
        let invitation = member(&ann, &room, bob.id()).await?;
        let proof = &invitation["content"]["third_party_invite"];
        ensure!(invitation["sender"] == ann.id(), "{invitation}");
        ensure!(proof["display_name"] == pledge["content"]["display_name"], "{invitation}");
        ensure!(proof["signed"]["mxid"] == bob.id(), "{invitation}");
        ensure!(proof["signed"]["token"] == pledge["state_key"], "{invitation}");
        bob.join(&room).await?;
        bob.say(&room, "here I am").await?;
        hears(&mut ann_hears, &room, "here I am").await?;
    }
    known_addresses(&mut office, (&ann_there, &bob_there), &mut bob_hears).await?;
    end(&mut [&mut a, &mut b]).await?;
    office.server.stop().await
}

/// Whoever is known by an address is invited as ever; and is known no longer when they wish so.
async fn known_addresses(
    office: &mut Office,
    (ann, bob): (&Known<'_>, &Known<'_>),
    bob_hears: &mut Ear,
) -> Result<()> {
    let whom = office.names(ann, "bob-12@town.test");
    let wish = json!({ "preset": "private_chat", "invite_3pid": [whom] });
    let room = ann.client.create_room(&wish).await?;
    invited(bob_hears, &room).await?;
    ensure!(pledges(ann.client, &room).await?.is_empty(), "a pledge for whom all know");
    stands(ann.client, &room, bob.client.id(), "invite").await?;
    let invitation = member(ann.client, &room, bob.client.id()).await?;
    ensure!(invitation["content"].get("third_party_invite").is_none(), "{invitation}");

    let bind = format!("{C}/account/3pid/unbind");
    let forget = |address: &str| json!({ "medium": "email", "address": address });
    for (path, address) in [
        (bind.as_str(), "bob-10@town.test"),
        (&format!("{C}/account/3pid/delete"), "BOB-11@town.test"),
    ] {
        let told = bob.client.post(path, &forget(address)).await?;
        ensure!(told["id_server_unbind_result"] == "success", "{told}");
        let owner = office.owner(ann, &address.to_lowercase()).await?;
        ensure!(owner.is_none(), "{owner:?}");
        // Gone is gone: there is nobody left to ask.
        let told = bob.client.post(path, &forget(address)).await?;
        ensure!(told["id_server_unbind_result"] == "no-support", "{told}");
    }
    ensure!(office.owner(ann, "bob-12@town.test").await?.as_deref() == Some(bob.client.id()));

    // With the account goes what it has bound.
    let password = json!({
        "type": "m.login.password", "password": wayside_tests::PASSWORD,
        "identifier": { "type": "m.id.user", "user": bob.client.id() },
    });
    let ended = json!({ "auth": password, "erase": false });
    let told = bob.client.post(&format!("{C}/account/deactivate"), &ended).await?;
    ensure!(told["id_server_unbind_result"] == "success", "{told}");
    ensure!(office.owner(ann, "bob-12@town.test").await?.is_none(), "it is known still");
    Ok(())
}

/// With a server of others: its people are invited by our node, and ours by it.
#[tokio::test]
async fn addresses_lead_to_synapse_and_back() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut office) = Office::open(&town).await? else { return Ok(()) };
    let Some(options) = town.synapse("s")? else { return Ok(()) };
    let (mut a, mut s) = try_join!(town.server("a")?.start(), options.start())?;
    let ann = Client::register(a.http(), "ann").await?;
    let sam = Client::register(s.http(), "sam").await?;
    let (ann_there, sam_there) = (office.know(&ann).await?, office.know(&sam).await?);
    for version in VERSIONS {
        for (host, hosts, guest) in [(&ann_there, "a", &sam_there), (&sam_there, "s", &ann_there)] {
            let room = private(host.client, version).await?;
            let mut guest_hears = Ear::of(guest.client).await?;
            let mut host_hears = Ear::of(host.client).await?;
            let address = format!("guest-of-{hosts}-{version}@town.test");
            office.invite(host, &room, &address).await?;
            office.mail(&address).await?;
            office.bind(guest, &address).await?;
            invited(&mut guest_hears, &room).await?;
            // Whoever invites writes it down when the other has signed it.
            stands(host.client, &room, guest.client.id(), "invite").await?;
            guest.client.join(&room).await?;
            guest.client.say(&room, "found you").await?;
            hears(&mut host_hears, &room, "found you").await?;
        }
    }
    end(&mut [&mut a]).await?;
    s.stop().await?;
    office.server.stop().await
}

/// Whoever has pledged it is away: a server that is in the room carries it out, and all believe it.
#[tokio::test]
async fn an_invitation_stands_though_its_sender_is_away() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut office) = Office::open(&town).await? else { return Ok(()) };
    let Some(options) = town.synapse("s")? else { return Ok(()) };
    let (a, b) = (town.server("a")?, town.server("b")?);
    let (mut a, mut b, mut s) = try_join!(a.start(), b.start(), options.start())?;
    let ann = Client::register(a.http(), "ann").await?;
    let bob = Client::register(b.http(), "bob").await?;
    let cat = Client::register(b.http(), "cat").await?;
    let sam = Client::register(s.http(), "sam").await?;
    let (ann_there, bob_there) = (office.know(&ann).await?, office.know(&bob).await?);
    for version in VERSIONS {
        // It answers somewhere else each time that it starts.
        let ann = ann.at(a.http());
        let room = private(&ann, version).await?;
        for guest in [&cat, &sam] {
            let mut ear = Ear::of(guest).await?;
            ann.deed(&room, "invite", Some(guest)).await?;
            invited(&mut ear, &room).await?;
            guest.join(&room).await?;
        }
        let address = format!("away-{version}@town.test");
        let ann_there = Known { client: &ann, token: ann_there.token.clone() };
        office.invite(&ann_there, &room, &address).await?;
        office.mail(&address).await?;
        for guest in [&cat, &sam] {
            comes_true("the pledge is known", async || Ok(pledges(guest, &room).await?.len() == 1))
                .await?;
        }
        a.stop().await?;
        let mut bob_hears = Ear::of(&bob).await?;
        office.bind(&bob_there, &address).await?;
        invited(&mut bob_hears, &room).await?;
        let invitation = member(&cat, &room, bob.id()).await?;
        ensure!(invitation["sender"] == ann.id(), "{invitation}");
        stands(&sam, &room, bob.id(), "invite").await?;
        bob.join(&room).await?;
        stands(&sam, &room, bob.id(), "join").await?;
        a.restart().await?;
        stands(&ann.at(a.http()), &room, bob.id(), "join").await?;
    }
    end(&mut [&mut a, &mut b]).await?;
    s.stop().await?;
    office.server.stop().await
}

/// Whoever has the mail may come by it, without an address of their own at the identity server.
#[tokio::test]
async fn whoever_has_the_mail_comes_by_what_it_holds() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(mut office) = Office::open(&town).await? else { return Ok(()) };
    let (mut a, mut b) = try_join!(town.server("a")?.start(), town.server("b")?.start())?;
    let ann = Client::register(a.http(), "ann").await?;
    let dan = Client::register(a.http(), "dan").await?;
    let bob = Client::register(b.http(), "bob").await?;
    let ann_there = office.know(&ann).await?;
    let room = private(&ann, "12").await?;
    for (guest, address) in [(&dan, "dan@town.test"), (&bob, "bob@town.test")] {
        let there = office.know(guest).await?;
        office.invite(&ann_there, &room, address).await?;
        let mail = office.mail(address).await?;
        let asked = json!({
            "token": said(&mail, "token")?, "private_key": said(&mail, "private_key")?,
            "mxid": guest.id(),
        });
        let signed = office.ask(Method::POST, "sign-ed25519", &there.token, &asked).await?;
        let path = format!("{C}/join/{room}?via={}", a.destination().name);
        refused(guest.post(&path, &json!({})).await, 403, "M_FORBIDDEN")?;
        for (field, other) in [("mxid", json!(ann.id())), ("token", json!("other"))] {
            let mut wrong = signed.clone();
            wrong[field] = other;
            let shown = json!({ "third_party_signed": wrong });
            refused(guest.post(&path, &shown).await, 403, "M_FORBIDDEN")?;
        }
        guest.post(&path, &json!({ "third_party_signed": signed })).await?;
        stands(&ann, &room, guest.id(), "join").await?;
        // It opens the door once: whoever was put out stays out.
        ann.deed(&room, "kick", Some(guest)).await?;
        stands(guest, &room, guest.id(), "leave").await?;
        let again = guest.post(&path, &json!({ "third_party_signed": signed })).await;
        refused(again, 403, "M_FORBIDDEN")?;
    }
    end(&mut [&mut a, &mut b]).await?;
    office.server.stop().await
}
