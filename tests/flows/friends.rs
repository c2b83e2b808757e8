//! People become friends across nodes, see where friends are, and meet nobody whom they block.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use wayside_identity::friend::{Friendship, With};
use wayside_tests::{Client, Engine, Node, RoomId};

use crate::{
    abroad::end,
    dids::{key, multikey, now},
    homes::named,
    pair::Pair,
    stage::{Deeds, Ear, comes_true, escaped, refused, room_of},
    visitors::{Journey, answered, visitors_of},
    worlds::{Visit, connect, floor, world_of},
};

const FRIENDS: &str = "/_wayside/v1/friends";
const PLACE: &str = "/_wayside/v1/place";

fn friend(who: &Client) -> String {
    format!("{FRIENDS}/{}", escaped(who.id()))
}

fn block(user_id: &str) -> String {
    format!("/_wayside/v1/blocks/{}", escaped(user_id))
}

/// What is between two people, as one of them is told.
pub(crate) async fn between(me: &Client, other: &str) -> Result<Value> {
    let told = me.get(FRIENDS).await?;
    let all = told["friends"].as_array().context("friends")?;
    let found: Vec<&Value> = all.iter().filter(|one| one["user_id"] == other).collect();
    ensure!(found.len() < 2, "{other} stands there twice: {told}");
    Ok(found.first().map(|one| (*one).clone()).unwrap_or_default())
}

/// Waits until somebody stands to somebody else in that way.
pub(crate) async fn stands(me: &Client, other: &str, standing: Option<&str>) -> Result<Value> {
    let mut last = Value::Null;
    let what = format!("{other} is {standing:?} to {}", me.id());
    comes_true(&what, async || {
        last = between(me, other).await?;
        Ok(last["standing"].as_str() == standing)
    })
    .await
    .with_context(|| format!("{last}"))?;
    Ok(last)
}

/// Two people become friends.
pub(crate) async fn befriend(one: &Client, other: &Client) -> Result<()> {
    one.put(&friend(other), &json!({})).await?;
    stands(other, one.id(), Some("asking")).await?;
    other.put(&friend(one), &json!({})).await?;
    stands(one, other.id(), Some("friend")).await?;
    Ok(())
}

fn plaza(public: bool) -> Value {
    json!({ "world": "#plaza:a.test", "server": "a.test", "name": "The Plaza", "public": public })
}

/// The place of somebody in an answer of sync, where their presence came: null where it holds none.
fn place_in(answer: &Value, who: &Client) -> Option<Value> {
    let events = answer["presence"]["events"].as_array()?;
    let event = events.iter().rev().find(|event| event["sender"] == who.id())?;
    Some(event["content"]["org.wayside.place"].clone())
}

/// Listens until somebody is told of a place like that.
async fn hears(ear: &mut Ear, of: &Client, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    let mut heard = Vec::new();
    for _ in 0..50 {
        let answer = ear.next().await?;
        if let Some(place) = place_in(&answer, of) {
            if wanted(&place) {
                return Ok(place);
            }
            heard.push(place);
        }
    }
    bail!("nothing like that is told: {heard:?}")
}

#[tokio::test]
async fn people_of_two_nodes_become_friends() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let (ada, commons) = (&journey.homes.ada, &journey.commons);
    let bob = Client::register(commons.http(), "bob").await?;
    let asked = ada.put(&friend(&bob), &json!({ "message": " We met at the Plaza " })).await?;
    ensure!(asked["standing"] == "asked", "{asked}");
    let asking = stands(&bob, ada.id(), Some("asking")).await?;
    ensure!(
        asking["message"] == "We met at the Plaza" && asking["name"] == "Ada of Home",
        "{asking}"
    );
    // Who asks twice has asked once.
    let again = ada.put(&friend(&bob), &json!({})).await?;
    ensure!(again == asked, "{again}");
    let answered = bob.put(&friend(ada), &json!({})).await?;
    ensure!(answered["standing"] == "friend", "{answered}");
    ensure!(answered["room_id"] == asked["room_id"], "{answered}");
    stands(ada, bob.id(), Some("friend")).await?;
    // She is known by her DID, which names the account as the account names it.
    comes_true("bob knows the DID of ada", async || {
        Ok(between(&bob, ada.id()).await?["did"] == journey.did.as_str())
    })
    .await?;
    ensure!(between(ada, bob.id()).await?.get("did").is_none(), "he has written none");
    // Their conversation is one between two, for every program.
    for (me, other) in [(ada, &bob), (&bob, ada)] {
        let path = format!("/_matrix/client/v3/user/{}/account_data/m.direct", me.id());
        let direct = me.get(&path).await?;
        ensure!(direct[other.id()] == json!([asked["room_id"]]), "{direct}");
    }

    // Whoever ends it is asked anew, and says so anew.
    bob.delete(&friend(ada)).await?;
    stands(ada, bob.id(), None).await?;
    ensure!(between(&bob, ada.id()).await?.is_null(), "he asks himself");
    bob.put(&friend(ada), &json!({ "message": "I am sorry" })).await?;
    ensure!(between(&bob, ada.id()).await?["standing"] == "asked", "what she said is long past");
    let asking = stands(ada, bob.id(), Some("asking")).await?;
    ensure!(asking["message"] == "I am sorry", "{asking}");
    ada.put(&friend(&bob), &json!({})).await?;
    let friends = stands(&bob, ada.id(), Some("friend")).await?;
    ensure!(friends["room_id"] == asked["room_id"], "they have a conversation: {friends}");

    // A question may be refused, and taken back.
    let eve = Client::register(commons.http(), "eve").await?;
    eve.put(&friend(ada), &json!({})).await?;
    stands(ada, eve.id(), Some("asking")).await?;
    ada.delete(&friend(&eve)).await?;
    stands(&eve, ada.id(), None).await?;
    eve.put(&friend(ada), &json!({})).await?;
    stands(ada, eve.id(), Some("asking")).await?;
    eve.delete(&friend(ada)).await?;
    stands(ada, eve.id(), None).await?;
    refused(eve.delete(&friend(ada)).await, 404, "M_NOT_FOUND")?;

    // What cannot be is refused in words.
    let nobody =
        format!("{FRIENDS}/{}", escaped(&format!("@nobody:{}", journey.homes.home.server_name())));
    refused(ada.put(&nobody, &json!({})).await, 404, "M_NOT_FOUND")?;
    let there = format!("@nobody:{}", commons.server_name());
    let path = format!("{FRIENDS}/{}", escaped(&there));
    refused(ada.put(&path, &json!({})).await, 404, "M_NOT_FOUND")?;
    ensure!(between(ada, &there).await?.is_null(), "nobody was asked");
    let lost = format!("{FRIENDS}/{}", escaped("@bob:nowhere.test"));
    refused(ada.put(&lost, &json!({})).await, 502, "M_UNKNOWN")?;
    refused(ada.put(&friend(ada), &json!({})).await, 400, "M_INVALID_PARAM")?;
    let long = json!({ "message": "x".repeat(501) });
    refused(ada.put(&friend(&eve), &long).await, 413, "M_TOO_LARGE")?;
    journey.end().await
}

#[tokio::test]
async fn friends_see_in_which_world_somebody_is() -> Result<()> {
    let Some(pair) = Pair::of_nodes().await? else { return Ok(()) };
    let Pair { ann, sam, .. } = &pair;
    let eve = Client::register(pair.other.http(), "eve").await?;
    befriend(ann, sam).await?;
    // She shares a room with her, and is no friend.
    let open = json!({ "preset": "public_chat" });
    let shared = ann.create_room(&open).await?;
    eve.join_through(&shared, pair.node.server_name()).await?;
    let (mut ear, _) = Ear::begin(sam, "").await?;
    let (mut other, _) = Ear::begin(&eve, "").await?;
    let lasts = ann.put(PLACE, &plaza(true)).await?;
    ensure!(lasts["lasts_ms"] == 180_000, "{lasts}");
    let place = hears(&mut ear, ann, |it| !it.is_null()).await?;
    ensure!(
        place["world"] == "#plaza:a.test"
            && place["name"] == "The Plaza"
            && place["public"] == true,
        "{place}"
    );
    let told = between(sam, ann.id()).await?;
    ensure!(told["place"] == place && told["presence"] == "online", "{told}");
    let seen = hears(&mut other, ann, |_| true).await?;
    ensure!(seen.is_null(), "who is no friend is told {seen}");

    // Of a world that is not open, they learn that she is in one.
    ann.put(PLACE, &plaza(false)).await?;
    let place = hears(&mut ear, ann, |it| it["public"] == false).await?;
    ensure!(place.get("world").is_none() && place.get("name").is_none(), "{place}");
    ann.delete(PLACE).await?;
    hears(&mut ear, ann, Value::is_null).await?;

    // As widely as she allows.
    let tell = format!("/_matrix/client/v3/user/{}/account_data/org.wayside.place", ann.id());
    ann.put(&tell, &json!({ "to": "everybody" })).await?;
    ann.put(PLACE, &plaza(true)).await?;
    hears(&mut other, ann, |it| it["name"] == "The Plaza").await?;
    ann.put(&tell, &json!({ "to": "nobody" })).await?;
    ann.put(PLACE, &plaza(true)).await?;
    for ear in [&mut ear, &mut other] {
        hears(ear, ann, Value::is_null).await?;
    }
    ensure!(ann.get(FRIENDS).await?["tell"] == "nobody", "what she has said");
    // Whoever is blocked, or no friend any more, is told no more at once.
    ann.put(&tell, &json!({ "to": "friends" })).await?;
    ann.put(PLACE, &plaza(true)).await?;
    hears(&mut ear, ann, |it| it["name"] == "The Plaza").await?;
    ann.delete(&friend(sam)).await?;
    hears(&mut ear, ann, Value::is_null).await?;
    for (field, wrong) in [("world", "plaza"), ("server", "a b"), ("name", ""), ("name", "a\nb")] {
        let mut place = plaza(true);
        place[field] = wrong.into();
        refused(ann.put(PLACE, &place).await, 400, "M_INVALID_PARAM")?;
    }
    pair.end().await
}

#[tokio::test]
async fn people_of_other_servers_are_friends_by_coming() -> Result<()> {
    let Some(pair) = Pair::meet(Engine::Sqlite).await? else { return Ok(()) };
    let Pair { ann, sam, .. } = &pair;
    let (mut ear, _) = Ear::begin(sam, "").await?;
    let asked = ann.put(&friend(sam), &json!({ "message": "Hello" })).await?;
    let room = RoomId::known(asked["room_id"].as_str().context("a room")?);
    // Any program shows it as an invitation to a conversation, with the question in it.
    let state = ear
        .hear(|it| {
            let state = &it["rooms"]["invite"][room.as_str()]["invite_state"]["events"];
            state.as_array().cloned()
        })
        .await?;
    let word = state.iter().find(|it| it["type"] == "org.wayside.friend").context("a question")?;
    ensure!(word["content"]["with"] == sam.id() && word["sender"] == ann.id(), "{word}");
    sam.join_through(&room, pair.node.server_name()).await?;
    let known = stands(ann, sam.id(), Some("friend")).await?;
    ensure!(known.get("did").is_none(), "they have none: {known}");
    sam.deed(&room, "leave", None).await?;
    stands(ann, sam.id(), None).await?;
    pair.end().await
}

#[tokio::test]
async fn whoever_joins_by_another_program_has_answered() -> Result<()> {
    let Some(pair) = Pair::of_nodes().await? else { return Ok(()) };
    let Pair { ann, sam, .. } = &pair;
    let asked = ann.put(&friend(sam), &json!({})).await?;
    stands(sam, ann.id(), Some("asking")).await?;
    let room = RoomId::known(asked["room_id"].as_str().context("a room")?);
    sam.join_through(&room, pair.node.server_name()).await?;
    stands(sam, ann.id(), Some("friend")).await?;
    stands(ann, sam.id(), Some("friend")).await?;
    let said = ann.state(&room, "org.wayside.friend", sam.id()).await?;
    ensure!(said["with"] == ann.id(), "{said}");
    // In a room of many nobody is asked by whoever may speak there.
    let ida = Client::register(pair.node.http(), "ida").await?;
    let levels = json!({ "users": { sam.id(): 100, ann.id(): 100 } });
    let many = json!({ "preset": "public_chat", "power_level_content_override": levels });
    let many = room_of(&[&ida, ann], &many).await?;
    sam.join_through(&many, pair.node.server_name()).await?;
    let word = json!({ "with": ann.id() });
    ida.set_state(&many, "org.wayside.friend", ida.id(), &word).await?;
    ensure!(between(ann, ida.id()).await?.is_null(), "she is asked");
    pair.end().await
}

/// Asks somebody by a room that is made by hand, with a record of one's own choice.
async fn ask_by_hand(who: &Client, whom: &str, record: &Value) -> Result<()> {
    let word = json!({ "with": whom, "record": record });
    let state = json!({ "type": "org.wayside.friend", "state_key": who.id(), "content": word });
    let room = json!({
        "preset": "trusted_private_chat", "is_direct": true, "invite": [whom], "initial_state": [state],
    });
    who.create_room(&room).await?;
    Ok(())
}

#[tokio::test]
async fn records_of_others_make_nobody_known() -> Result<()> {
    let Some(journey) = Journey::begin().await? else { return Ok(()) };
    let (ada, bob) = (&journey.homes.ada, Client::register(journey.commons.http(), "bob").await?);
    let ida = Client::register(journey.commons.http(), "ida").await?;
    let asked = ada.put(&friend(&ida), &json!({})).await?;
    let room = RoomId::known(asked["room_id"].as_str().context("a room")?);
    let hers = ada.state(&room, "org.wayside.friend", ada.id()).await?["record"].clone();
    ensure!(hers["issuer"]["id"] == journey.did.as_str(), "{hers}");
    let bob_did = bob.get("/_wayside/v1/identity").await?["did"].clone();
    let made_up = |account: &str| -> Result<Value> {
        let said = Friendship {
            from: journey.did.parse()?,
            account: account.to_owned(),
            with: With::Person(bob_did.as_str().context("a DID")?.parse()?),
        };
        Ok(said.signed(now()?, &format!("{}#{}", journey.did, multikey(40)), &key(40)))
    };
    let home = journey.homes.home.http();
    let mut liars = Vec::new();
    for (name, record) in [
        ("eve", hers.clone()),
        ("mallory", made_up(ada.id())?),
        ("trudy", made_up(&format!("@trudy:{}", journey.homes.home.server_name()))?),
        ("oscar", json!({ "issuer": journey.did, "type": "Friendship" })),
    ] {
        let liar = Client::register(home, name).await?;
        ask_by_hand(&liar, bob.id(), &record).await?;
        stands(&bob, liar.id(), Some("asking")).await?;
        liars.push(liar);
    }
    // Whoever is who they say is known, and nobody else is by then.
    ada.put(&friend(&bob), &json!({})).await?;
    comes_true("bob knows the DID of ada", async || {
        Ok(between(&bob, ada.id()).await?["did"] == journey.did.as_str())
    })
    .await?;
    for liar in &liars {
        let known = between(&bob, liar.id()).await?;
        ensure!(known["standing"] == "asking" && known.get("did").is_none(), "{known}");
    }
    journey.end().await
}

/// Whether somebody who comes sees a person there: who is in is told before oneself.
async fn sees(node: &Node, granted: &Value, other: &str) -> Result<(Visit, bool)> {
    let ticket = granted["ticket"].as_str().context("a ticket")?;
    let mut visit = Visit::on(connect(node).await?, ticket).await?;
    let mut seen = false;
    loop {
        let entered = visit.next(0x43).await?;
        seen |= entered.windows(other.len()).any(|at| at == other.as_bytes());
        if entered[3] & 2 != 0 {
            return Ok((visit, seen));
        }
    }
}

async fn blocks_of(who: &Client) -> Result<Value> {
    let blocks = who.get("/_wayside/v1/blocks").await?;
    let hashes = blocks["hashes"].as_array().context("hashes")?;
    ensure!(!hashes.is_empty(), "{blocks}");
    Ok(blocks)
}

#[tokio::test]
async fn whoever_is_blocked_is_not_met() -> Result<()> {
    let Some(mut journey) = Journey::begin().await? else { return Ok(()) };
    let bob = Client::register(journey.commons.http(), "bob").await?;
    befriend(&journey.homes.ada, &bob).await?;
    comes_true("bob knows the DID of ada", async || {
        Ok(between(&bob, journey.homes.ada.id()).await?["did"] == journey.did.as_str())
    })
    .await?;
    let alias = world_of(&bob, "The Floor", floor(), 20).await?;
    let path = visitors_of(&alias);
    let ada = journey.homes.ada.id().to_owned();
    let visits = crate::visitors::visits_of(&alias);
    let mut his = Visit::begin(&journey.commons, &bob, &alias).await?;
    his.next(0x43).await?;

    // As friends they see each other; as soon as he blocks her, neither sees the other.
    let granted = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await?;
    ensure!(granted["blocks"] == true, "{granted}");
    let (mut hers, seen) = sees(&journey.commons, &granted, bob.id()).await?;
    ensure!(seen, "they are no friends yet");
    his.next(0x43).await?;
    bob.put(&block(&ada), &json!({})).await?;
    let (gone, left) = (his.next(0x44).await?, hers.next(0x44).await?);
    ensure!(gone[1..3] == hers.slot.to_le_bytes() && left[1..3] == his.slot.to_le_bytes());
    stands(&journey.homes.ada, bob.id(), None).await?;
    let told = bob.get(FRIENDS).await?;
    ensure!(told["friends"] == json!([]) && told["blocked"][0]["user_id"] == ada, "{told}");
    // What she says in the world is kept from him.
    let room = RoomId::known(granted["world"]["room_id"].as_str().context("a room")?);
    journey.homes.ada.join_through(&room, journey.commons.server_name()).await?;
    journey.homes.ada.send_text(&room, "1", "from her").await?;
    hers.next(0x49).await?;
    let ida = Client::register(journey.commons.http(), "ida").await?;
    ida.join(&room).await?;
    ida.send_text(&room, "1", "from ida").await?;
    let heard = String::from_utf8_lossy(&his.next(0x49).await?).into_owned();
    ensure!(heard.contains("from ida"), "he hears {heard}");
    // Nor does she ask him any more, or find him when she comes again.
    journey.homes.ada.put(&friend(&bob), &json!({})).await?;
    ensure!(between(&bob, &ada).await?.is_null(), "she asks");
    refused(bob.put(&friend(&journey.homes.ada), &json!({})).await, 403, "M_FORBIDDEN")?;
    drop(hers);
    let granted = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await?;
    let (hers, seen) = sees(&journey.commons, &granted, bob.id()).await?;
    ensure!(!seen, "she sees him");
    drop(hers);

    // Under another account she is the same person.
    let mut elsewhere = named(&journey.homes.abroad, "c", "c.test").await?;
    journey.move_to(&elsewhere).await?;
    let granted = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await?;
    let (hers, seen) = sees(&journey.commons, &granted, bob.id()).await?;
    ensure!(!seen, "she sees him after a move");
    drop(hers);
    let asked = journey.homes.ada.put(&friend(&bob), &json!({})).await?;
    ensure!(asked["standing"] == "asked", "she is told that she is blocked: {asked}");
    ensure!(between(&bob, journey.homes.ada.id()).await?.is_null(), "she asks after a move");
    journey.homes.ada.delete(&friend(&bob)).await?;
    bob.delete(&block(&ada)).await?;
    ensure!(bob.get(FRIENDS).await?["blocked"] == json!([]), "he takes it back");
    let granted = journey.nobody.post(&path, &answered(&journey, |_| {}).await?).await?;
    let (hers, seen) = sees(&journey.commons, &granted, bob.id()).await?;
    ensure!(seen, "she sees him again");
    drop(hers);

    // Her own blocks go with her: the node learns of them by nobody whom it does not know.
    journey.homes.ada.put(&block(bob.id()), &json!({})).await?;
    let mut body = answered(&journey, |_| {}).await?;
    body["blocks"] = blocks_of(&journey.homes.ada).await?;
    ensure!(!body["blocks"].to_string().contains("bob"), "{}", body["blocks"]);
    let granted = journey.nobody.post(&path, &body).await?;
    let (mut hers, seen) = sees(&journey.commons, &granted, bob.id()).await?;
    ensure!(!seen, "she sees whom she blocks");
    // And where she changes her mind while she is there, her client says so.
    hers.send(&[&[0x08][..], &[7; 16], &[0, 0]].concat()).await?;
    let entered = hers.next(0x43).await?;
    ensure!(entered.windows(bob.id().len()).any(|at| at == bob.id().as_bytes()), "{entered:?}");
    let mut broken = answered(&journey, |_| {}).await?;
    broken["blocks"] = json!({ "salt": "AA", "hashes": [] });
    refused(journey.nobody.post(&path, &broken).await, 400, "M_BAD_JSON")?;
    let member = bob.post(&visits, &json!({})).await?;
    ensure!(member.get("blocks").is_none(), "the node knows whom its people block: {member}");
    end(&mut elsewhere).await?;
    journey.end().await
}
