//! A node admits servers by their keys: which of them prove something, how often they are fetched, and for whom.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use wayside_tests::{Answer, Engine, Peer, PeerReply, Signing, SigningKey, Town, Wire, verify};

use crate::{
    abroad::{Abroad, times},
    hostile_servers::Guest,
    stage::{VERSIONS, bodies},
};

/// What servers ask here to be admitted.
const ROOMS: &str = "/_matrix/federation/v1/publicRooms";
/// Where they publish their keys, and where notaries tell of those of others.
const KEYS: &str = "/_matrix/key/v2/server";
const NOTARY: &str = "/_matrix/key/v2/query";
/// A time far ahead, in milliseconds.
const FAR_MS: u64 = 9_000_000_000_000;
/// Far longer than anybody waits.
const NEVER: Duration = Duration::from_mins(10);
/// What an answer may take that nobody holds up, on a machine with other work.
const QUICK: Duration = Duration::from_secs(5);

async fn admitted(abroad: &Abroad, peer: &Peer) -> Result<Answer> {
    peer.ask(&abroad.node.destination(), Method::GET, ROOMS, None).await
}

fn is_unsigned(what: &str, answer: &Answer) -> Result<()> {
    let right = answer.status == 401 && answer.errcode() == "M_UNAUTHORIZED";
    ensure!(right, "{what}: {}", answer.short());
    Ok(())
}

/// What a server publishes in place of its keys.
type Published = fn(key: &SigningKey, name: &str) -> Result<PeerReply>;

const PUBLISHED: &[(&str, Published)] = &[
    ("unsigned", |key, name| {
        let mut keys = key.published(name, FAR_MS)?;
        keys["signatures"] = json!({});
        Ok(PeerReply::json(&keys))
    }),
    ("signed by another", |key, name| {
        let other = SigningKey::generate("peer_1")?;
        signed(&other, name, &shown(name, &json!({ key.id(): { "key": key.public() } })))
    }),
    ("signed in another's name", |key, name| {
        signed(key, "other.test", &shown(name, &json!({ key.id(): { "key": key.public() } })))
    }),
    ("of another server", |key, _| Ok(PeerReply::json(&key.published("other.test", FAR_MS)?))),
    ("signed, and then changed", |key, name| {
        let mut keys = key.published(name, 1_000)?;
        keys["valid_until_ts"] = FAR_MS.into();
        Ok(PeerReply::json(&keys))
    }),
    ("over", |key, name| Ok(PeerReply::json(&key.published(name, 1_000)?))),
    ("too large", |key, name| {
        let mut keys = key.published(name, FAR_MS)?;
        keys["more"] = "x".repeat(70_000).into();
        signed(key, name, &keys)
    }),
    ("a hundred", |key, name| {
        let mut keys = json!({ key.id(): { "key": key.public() } });
        for at in 0..100 {
            keys[format!("ed25519:more{at}")] = json!({ "key": key.public() });
        }
        signed(key, name, &shown(name, &keys))
    }),
    ("too short", |key, name| {
        signed(key, name, &shown(name, &json!({ key.id(): { "key": "AAAA" } })))
    }),
    ("too long", |key, name| {
        let long = format!("{}AAAA", key.public());
        signed(key, name, &shown(name, &json!({ key.id(): { "key": long } })))
    }),
    ("no base64", |key, name| {
        signed(key, name, &shown(name, &json!({ key.id(): { "key": "\u{e9}" } })))
    }),
    ("a list", |key, name| signed(key, name, &shown(name, &json!([key.public()])))),
    ("none", |key, name| signed(key, name, &shown(name, &json!({})))),
    ("a number", |key, name| signed(key, name, &shown(name, &json!({ key.id(): 7 })))),
    ("of another kind", |key, name| {
        signed(key, name, &shown(name, &json!({ "rsa:1": { "key": key.public() } })))
    }),
    ("no JSON", |_, _| Ok(PeerReply::bytes("application/json", b"{\"server_name\":".to_vec()))),
    ("deep", |_, _| Ok(PeerReply::bytes("application/json", "[".repeat(60_000).into_bytes()))),
    ("a refusal", |key, name| Ok(PeerReply::json(&key.published(name, FAR_MS)?).status(403))),
];

/// A document of keys without signatures.
fn shown(name: &str, keys: &Value) -> Value {
    json!({ "server_name": name, "valid_until_ts": FAR_MS, "verify_keys": keys })
}

fn signed(key: &SigningKey, name: &str, document: &Value) -> Result<PeerReply> {
    Ok(PeerReply::json(&key.sign(name, document)?))
}

#[tokio::test]
async fn admitting_nobody_by_keys_that_prove_nothing() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let honest = abroad.town.peer()?.start().await?;
    ensure!(admitted(&abroad, &honest).await?.status == 200);
    for (what, published) in PUBLISHED {
        let peer = abroad.town.peer()?.start().await?;
        let reply = published(peer.key(), peer.server_name())?;
        peer.answer(Method::GET, KEYS, move |_| reply.clone());
        is_unsigned(what, &admitted(&abroad, &peer).await.context(*what)?)?;
        ensure!(times(&peer, KEYS) == 1, "{what}: {:?}", peer.requests());
    }
    abroad.end().await
}

#[tokio::test]
async fn admitting_remembers_keys_while_they_are_good() -> Result<()> {
    let Some(mut abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (good, over) = (abroad.town.peer()?.start().await?, abroad.town.peer()?.start().await?);
    over.end_keys_at(1_000);
    for _ in 0..3 {
        ensure!(admitted(&abroad, &good).await?.status == 200);
        is_unsigned("keys that are over", &admitted(&abroad, &over).await?)?;
    }
    // Those that are over are fetched again, but not at every request.
    ensure!(times(&over, KEYS) == 1, "{:?}", over.requests());
    over.end_keys_at(0);
    abroad.node.stop().await?;
    abroad.node.restart().await?;
    for peer in [&good, &over] {
        let answer = admitted(&abroad, peer).await?;
        ensure!(answer.status == 200, "after a restart: {}", answer.short());
    }
    let fetched = (times(&good, KEYS), times(&over, KEYS));
    ensure!(fetched == (1, 2), "fetched {fetched:?} times");

    // Another key is asked for at once, by however many it is shown: once.
    let other = SigningKey::generate("other")?;
    let to = abroad.node.destination();
    let door = Wire::secure(&to.url, abroad.town.authority().pem(), "http/1.1")?;
    let made_up = (0..300).map(|at| {
        let right = good.authorization(&to, &Method::GET, ROOMS, None, Signing::By(&other))?;
        Ok(right.context("signed")?.replace("ed25519:other", &format!("ed25519:made_up{at}")))
    });
    let made_up: Vec<String> = made_up.collect::<Result<_>>()?;
    let statuses = at_once(&door, &made_up, "").await?;
    ensure!(statuses == vec![401; 300], "{statuses:?}");
    ensure!(times(&good, KEYS) == 2, "fetched {} times", times(&good, KEYS));
    ensure!(admitted(&abroad, &good).await?.status == 200);
    abroad.end().await
}

/// Asks for rooms on one connection, once with each of these headers; gives the statuses.
async fn at_once(door: &Wire, headers: &[String], further: &str) -> Result<Vec<u16>> {
    let mut bytes = String::new();
    for (at, header) in headers.iter().enumerate() {
        let end = if at + 1 == headers.len() { "connection: close\r\n" } else { "" };
        let head = format!("GET {ROOMS} HTTP/1.1\r\nhost: a\r\nauthorization: {header}\r\n");
        bytes.extend([&head, further, end, "\r\n"]);
    }
    let all = door.converse(bytes.as_bytes()).await?;
    let all = String::from_utf8_lossy(&all);
    let statuses = all.split("HTTP/1.1 ").skip(1).filter_map(|it| it.get(..3)?.parse().ok());
    Ok(statuses.collect())
}

/// Whoever names keys that are slow to come holds up nobody whose keys are known.
#[tokio::test]
async fn admitting_the_known_while_keys_are_fetched() -> Result<()> {
    let Some(mut abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let peer = abroad.town.peer()?.start().await?;
    ensure!(admitted(&abroad, &peer).await?.status == 200);
    abroad.node.stop().await?;
    abroad.node.restart().await?;
    peer.answer(Method::GET, KEYS, |_| PeerReply::json(&json!({})).after(NEVER));
    peer.request(&Method::GET, KEYS).await?;

    let other = SigningKey::generate("made_up")?;
    let to = abroad.node.destination();
    let door = Wire::secure(&to.url, abroad.town.authority().pem(), "http/1.1")?;
    let header = peer.authorization(&to, &Method::GET, ROOMS, None, Signing::By(&other))?;
    let header = header.context("signed")?;
    let mut waiting = JoinSet::new();
    for _ in 0..3 {
        let (door, header) = (door.clone(), header.clone());
        waiting.spawn(async move { at_once(&door, &[header], "").await });
    }
    peer.request(&Method::GET, KEYS).await?;
    let begun = Instant::now();
    let answer = admitted(&abroad, &peer).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    ensure!(begun.elapsed() < QUICK, "admitted after {:?}", begun.elapsed());
    ensure!(waiting.try_join_next().is_none(), "nobody waits for the keys");
    abroad.end().await
}

/// What a notary says of the keys of a server that is away, and whether that is believed.
type Told = fn(keys: &SigningKey, name: &str, notary: &Peer) -> Result<Value>;

const TOLD: &[(&str, bool, Told)] = &[
    ("signed by both", true, |key, name, notary| by_both(notary, &key.published(name, FAR_MS)?)),
    ("not signed by the notary", false, |key, name, _| key.published(name, FAR_MS)),
    ("signed by another notary", false, |key, name, notary| {
        SigningKey::generate("peer_1")?.sign(notary.server_name(), &key.published(name, FAR_MS)?)
    }),
    ("not signed by the server", false, |key, name, notary| {
        by_both(notary, &shown(name, &json!({ key.id(): { "key": key.public() } })))
    }),
    ("signed by another server", false, |key, name, notary| {
        let keys = shown(name, &json!({ key.id(): { "key": key.public() } }));
        by_both(notary, &SigningKey::generate("peer_1")?.sign(name, &keys)?)
    }),
    ("of another server", false, |key, _, notary| {
        by_both(notary, &key.published("other.test", FAR_MS)?)
    }),
    ("over", false, |key, name, notary| by_both(notary, &key.published(name, 1_000)?)),
    ("nothing", false, |_, _, _| Ok(json!({}))),
];

fn by_both(notary: &Peer, document: &Value) -> Result<Value> {
    notary.key().sign(notary.server_name(), document)
}

#[tokio::test]
async fn admitting_by_the_word_of_notaries() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let (mut away, notary) = (town.peer()?.start().await?, town.peer()?.start().await?);
    away.stop().await;
    let notaries = format!("{},{}", away.server_name(), notary.server_name());
    let believing =
        |options: wayside_tests::Options| options.flag("--key-notaries", Some(&notaries));
    let abroad = Abroad::begin_in(town, believing).await?;
    for (what, is_believed, told) in TOLD {
        let mut peer = abroad.town.peer()?.start().await?;
        peer.stop().await;
        let keys = json!({ "server_keys": [told(peer.key(), peer.server_name(), &notary)?] });
        notary.answer(Method::POST, NOTARY, move |_| PeerReply::json(&keys));
        let answer = admitted(&abroad, &peer).await?;
        let asked = notary.request(&Method::POST, NOTARY).await.context(*what)?;
        ensure!(asked.json()["server_keys"][peer.server_name()].is_object(), "{what}: {asked:?}");
        if *is_believed {
            ensure!(answer.status == 200, "{what}: {}", answer.short());
        } else {
            is_unsigned(what, &answer)?;
        }
    }
    // A server that is there needs nobody's word, and for a notary nobody else vouches.
    let peer = abroad.town.peer()?.start().await?;
    ensure!(admitted(&abroad, &peer).await?.status == 200);
    is_unsigned("a notary that is away", &admitted(&abroad, &away).await?)?;
    ensure!(times(&notary, NOTARY) == 0, "{:?}", notary.requests());
    ensure!(times(&notary, KEYS) == 1, "{:?}", notary.requests());
    abroad.end().await
}

#[tokio::test]
async fn admitting_as_a_notary_of_others() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let to = abroad.node.destination();
    let door = Wire::secure(&to.url, abroad.town.authority().pem(), "http/1.1")?;
    let (peer, slow) = (abroad.town.peer()?.start().await?, abroad.town.peer()?.start().await?);
    slow.answer(Method::GET, KEYS, |_| PeerReply::json(&json!({})).after(NEVER));
    let ask = async |servers: &[&str]| {
        let wishes: serde_json::Map<String, Value> =
            servers.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        let wish = json!({ "server_keys": wishes }).to_string();
        door.ask("POST", NOTARY, &[], wish.as_bytes()).await
    };
    // Those who hang and those who are not there leave the others' answers.
    let names = [slow.server_name(), "nobody.test", peer.server_name(), &to.name];
    let told = ask(&names).await?;
    let told = told.json();
    let documents = told["server_keys"].as_array().context("documents")?;
    let mut of: Vec<_> = documents.iter().map(|it| it["server_name"].as_str()).collect();
    of.sort_unstable();
    let mut wanted = [Some(peer.server_name()), Some(&*to.name)];
    wanted.sort_unstable();
    ensure!(of == wanted, "{told}");
    let own = door.ask("GET", KEYS, &[], b"").await?.json();
    for document in documents {
        verify(document, &to.name, &own)?;
        let name = document["server_name"].as_str().context("a name")?;
        verify(document, name, document)?;
    }
    // A hundred and no more; each of them only once, however often somebody asks.
    let many: Vec<String> = (0..101).map(|at| format!("nobody{at}.test")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let answer = ask(&many).await?;
    ensure!(answer.status == 400 && answer.errcode() == "M_INVALID_PARAM", "{}", answer.short());
    let asked = abroad.names.asked();
    ensure!(!asked.iter().any(|(name, _)| name.contains("nobody0")), "{asked:?}");
    let answer = ask(&many[..100]).await?;
    ensure!(answer.json() == json!({ "server_keys": [] }), "{}", answer.short());
    for _ in 0..3 {
        ensure!(
            ask(&[peer.server_name()]).await?.json()["server_keys"]
                .as_array()
                .is_some_and(|it| it.len() == 1)
        );
    }
    ensure!(times(&peer, KEYS) == 1, "{:?}", peer.requests());
    abroad.end().await
}

/// Events that somebody says to have made after the key had ended by which they are signed.
async fn after_the_end(abroad: &Abroad, version: &str) -> Result<()> {
    let request = json!({ "preset": "public_chat", "room_version": version });
    let room = abroad.ann.create_room(&request).await?;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let end_ms = u64::try_from(now_ms)? + 60 * 60 * 1_000;
    let peer = abroad.town.peer()?.start().await?;
    peer.end_keys_at(end_ms);
    let guest = Guest::come(peer, &abroad.node, room.as_str(), version).await?;
    let made = |text: &str, at_ms: Option<u64>| {
        let content = json!({ "body": text });
        let mut draft = guest.room.draft(&guest.mallory, "m.room.message", None, &content)?;
        if let Some(at_ms) = at_ms {
            draft["origin_server_ts"] = at_ms.into();
        }
        guest.room.seal(&draft)
    };
    let (now, last) = (made("now", None)?, made("at the end", Some(end_ms))?);
    let late = [made("after it", Some(end_ms + 1))?, made("long after it", Some(FAR_MS))?];
    let all = [&late[0], &now, &late[1], &last];
    let answer = guest.peer.transact(&guest.to, &all, &[]).await?;
    ensure!(answer.status == 200, "{}", answer.short());
    let told = answer.json()["pdus"].clone();
    ensure!(told[&now.id] == json!({}) && told[&last.id] == json!({}), "{told}");
    ensure!(late.iter().all(|it| told[&it.id]["error"].is_string()), "{told}");
    let (events, _) = abroad.ann.messages(&room, None, 10).await?;
    let mut seen = bodies(&events);
    seen.sort_unstable();
    ensure!(seen == ["at the end", "now"], "{seen:?}");
    // By the same key the same server goes on.
    let next = made("next", None)?;
    let answer = guest.peer.transact(&guest.to, &[&next], &[]).await?;
    ensure!(answer.json()["pdus"][&next.id] == json!({}), "{}", answer.short());
    Ok(())
}

#[tokio::test]
async fn admitting_nothing_that_was_made_after_its_key_had_ended() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    for version in VERSIONS {
        after_the_end(&abroad, version).await.with_context(|| format!("version {version}"))?;
    }
    abroad.end().await
}

#[tokio::test]
async fn admitting_within_limits() -> Result<()> {
    let limited = |options: wayside_tests::Options| {
        options.without("--no-rate-limit").flag("--trusted-proxies", Some("127.0.0.1"))
    };
    let Some(abroad) = Abroad::begin(limited).await? else { return Ok(()) };
    let to = abroad.node.destination();
    let door = Wire::secure(&to.url, abroad.town.authority().pem(), "http/1.1")?;
    let (busy, other, new) = (
        abroad.town.peer()?.start().await?,
        abroad.town.peer()?.start().await?,
        abroad.town.peer()?.start().await?,
    );
    let signed = |peer: &Peer| {
        let header = peer.authorization(&to, &Method::GET, ROOMS, None, Signing::Right)?;
        header.context("signed")
    };
    let from = |last: u8| format!("x-forwarded-for: 192.0.2.{last}\r\n");
    let count = |statuses: &[u16], wanted: u16| statuses.iter().filter(|it| **it == wanted).count();

    // A server that asks without end is told to wait, from wherever it asks; others are not.
    let header = signed(&busy)?;
    let statuses = at_once(&door, &vec![header.clone(); 2_000], &from(1)).await?;
    let (good, late) = (count(&statuses, 200), count(&statuses, 429));
    ensure!(good >= 900 && late >= 100 && good + late == 2_000, "{good} and {late}");
    let headers = [("authorization", header.as_str()), ("x-forwarded-for", "192.0.2.2")];
    let mut answer = door.ask("GET", ROOMS, &headers, b"").await?;
    for _ in 0..10 {
        if answer.status == 429 {
            break;
        }
        answer = door.ask("GET", ROOMS, &headers, b"").await?;
    }
    ensure!(answer.errcode() == "M_LIMIT_EXCEEDED", "{}", answer.short());
    ensure!(
        answer.json()["retry_after_ms"].as_u64().is_some_and(|it| it > 0),
        "{}",
        answer.short()
    );
    ensure!(admitted(&abroad, &other).await?.status == 200);

    // Who floods the node in the names of others is told to wait before it looks for their keys.
    let forged = SigningKey::generate("forged")?;
    let header = other.authorization(&to, &Method::GET, ROOMS, None, Signing::By(&forged))?;
    let statuses = at_once(&door, &vec![header.context("signed")?; 5_000], &from(3)).await?;
    let (unsigned, late) = (count(&statuses, 401), count(&statuses, 429));
    ensure!(unsigned > 0 && late > 0 && unsigned + late == 5_000, "{unsigned} and {late}");
    ensure!(times(&other, KEYS) <= 2, "{:?}", other.requests());

    // And it may not send the node to whomever it names.
    let named: Vec<String> = (0..100)
        .map(|at| format!("X-Matrix origin=\"n{at}.test\",key=\"ed25519:1\",sig=\"AAAA\""))
        .collect();
    let statuses = at_once(&door, &named, &from(4)).await?;
    let (unsigned, late) = (count(&statuses, 401), count(&statuses, 429));
    ensure!(late > 20 && unsigned + late == 100, "{unsigned} and {late}");
    let asked = abroad.names.asked();
    let last = asked.iter().filter(|(name, _)| name.starts_with('n')).count();
    ensure!(last > 0 && !asked.iter().any(|(name, _)| name == "n99.test"), "{asked:?}");
    let statuses = at_once(&door, &[signed(&new)?], &from(4)).await?;
    ensure!(statuses == [429] && new.requests().is_empty(), "{statuses:?}");
    let statuses = at_once(&door, &[signed(&new)?], &from(5)).await?;
    ensure!(statuses == [200], "{statuses:?}");
    // Whose keys are known is admitted from there too.
    let statuses = at_once(&door, &[signed(&other)?], &from(4)).await?;
    ensure!(statuses == [200], "{statuses:?}");
    abroad.end().await
}
