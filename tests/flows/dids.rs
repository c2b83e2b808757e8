//! A node finds whom a DID stands for, wherever they moved, and is not misled on the way.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use wayside_identity::{
    did::webvh::{
        History,
        write::{Draft, begin, commitment, go_on, witnessed},
    },
    key::SigningKey,
    time::Moment,
};
use wayside_tests::{CallError, Options, Peer, PeerReply, Record};

use crate::{
    abroad::{Abroad, times},
    stage::escaped,
};

/// The port at which hosts of DIDs answer.
const PORT: u16 = 8450;
/// Much longer than it takes to see that something is too large.
const SOON: Duration = Duration::from_secs(5);

/// A host of DIDs: files by their paths.
pub(crate) struct Host {
    peer: Peer,
    name: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Host {
    pub(crate) async fn open(abroad: &Abroad, name: &str) -> Result<Self> {
        let options = abroad.town.peer()?;
        let std::net::IpAddr::V4(ip) = options.ip() else { bail!("an address of IPv4") };
        let leaf = abroad.town.authority().leaf(&[name])?;
        let peer = options.on(&[PORT]).named(name, leaf).start().await?;
        abroad.names.add(name, Record::A(ip));
        let files: Arc<Mutex<BTreeMap<String, Vec<u8>>>> = Arc::default();
        for folder in ["/people/", "/.well-known/did.json"] {
            let served = files.clone();
            peer.answer(Method::GET, folder, move |request| {
                let files = served.lock().unwrap_or_else(PoisonError::into_inner);
                match files.get(request.path.as_str()) {
                    Some(bytes) => PeerReply::bytes("application/octet-stream", bytes.clone()),
                    None => PeerReply::refusal(404, "M_NOT_FOUND", "nothing here"),
                }
            });
        }
        Ok(Self { peer, name: name.to_owned(), files })
    }

    pub(crate) fn put(&self, path: &str, bytes: impl Into<Vec<u8>>) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.insert(path.to_owned(), bytes.into());
    }

    fn forget(&self, path: &str) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(path);
    }

    /// The DID of the host itself, whose document is below `/.well-known/`.
    pub(crate) fn own_did(&self) -> String {
        format!("did:web:{}%3A{PORT}", self.name)
    }

    pub(crate) fn did_web(&self, who: &str) -> String {
        format!("did:web:{}%3A{PORT}:people:{who}", self.name)
    }

    fn webvh(&self, scid: &str, who: &str) -> String {
        format!("did:webvh:{scid}:{}%3A{PORT}:people:{who}", self.name)
    }
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed([seed; 32])
}

pub(crate) fn multikey(seed: u8) -> String {
    key(seed).public().to_multikey()
}

pub(crate) fn now() -> Result<Moment> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(Moment(i64::try_from(since.as_millis())?))
}

/// A log that its person goes on with; its versions begin an hour ago, and are a second apart.
struct Log {
    text: String,
}

impl Log {
    fn begun(parameters: Value, host: &Host, who: &str) -> Result<Self> {
        let document = json!({
            "@context": ["https://www.w3.org/ns/did/v1"],
            "id": host.webvh("{SCID}", who),
        });
        let draft = Draft { parameters, document, time: Moment(now()?.0 - 3_600_000) };
        Ok(Self { text: begin(&draft, &key(1)) + "\n" })
    }

    /// One whose keys are committed to, and that may move.
    fn of_person(host: &Host, who: &str) -> Result<Self> {
        let next = [2, 3, 4].map(|seed| commitment(&multikey(seed)));
        let parameters =
            json!({"updateKeys": [multikey(1)], "nextKeyHashes": next, "portable": true});
        Self::begun(parameters, host, who)
    }

    fn history(&self) -> Result<History> {
        Ok(History::read(self.text.as_bytes(), None, now()?)?)
    }

    fn did(&self) -> Result<String> {
        Ok(self.history()?.did().to_string())
    }

    /// The version after, by a key that was committed to, at another host if one is given.
    fn gone_on(&self, seed: u8, host: Option<(&Host, &str)>) -> Result<Self> {
        let history = self.history()?;
        let mut document = history.latest().document.value().clone();
        if let Some((host, who)) = host {
            let old = history.did().to_string();
            document["id"] = json!(host.webvh(history.scid(), who));
            document["alsoKnownAs"] = json!([old]);
        }
        let next = [seed + 1, seed + 2, seed + 3].map(|seed| commitment(&multikey(seed)));
        let parameters = json!({"updateKeys": [multikey(seed)], "nextKeyHashes": next});
        let time = Moment(history.latest().time.0 + 1_000);
        let line = go_on(&history, &Draft { parameters, document, time }, &key(seed));
        Ok(Self { text: format!("{}{line}\n", self.text) })
    }
}

fn path(did: &str, query: &str) -> String {
    format!("/_wayside/v1/dids/{}{query}", escaped(did))
}

/// What the node's door says of a DID, and by which status.
async fn asked(abroad: &Abroad, did: &str, query: &str) -> Result<(u16, Value)> {
    match abroad.ann.get(&path(did, query)).await {
        Ok(told) => Ok((200, told)),
        Err(CallError::Refused { status, body, .. }) => Ok((status.as_u16(), body)),
        Err(other) => Err(other.into()),
    }
}

/// What the command says of it, which believes nothing that was found before.
async fn anew(abroad: &Abroad, did: &str) -> Result<Value> {
    let trust = abroad.town.authority().pem().to_string_lossy();
    let names = abroad.names.place().to_string();
    let settings = ["--allow-private-addresses", "--trust-ca", &trust, "--dns-servers", &names];
    let said = abroad.node.command(&[&["did", did], &settings[..]].concat()).await?;
    let told: Value = serde_json::from_str(&said.stdout).with_context(|| format!("{said:?}"))?;
    ensure!(said.status.success() == told["didDocument"].is_object(), "{said:?}");
    Ok(told)
}

fn id(told: &Value) -> &str {
    told["didDocument"]["id"].as_str().unwrap_or_default()
}

/// The word for why nothing was found, and that the reason in words names something.
fn refusal<'t>(told: &'t Value, names: &str) -> Result<&'t str> {
    let metadata = &told["didResolutionMetadata"];
    let detail = metadata["problemDetails"]["detail"].as_str().unwrap_or_default();
    ensure!(told["didDocument"].is_null() && detail.contains(names), "{names:?}: {told}");
    metadata["error"].as_str().with_context(|| format!("no error: {told}"))
}

#[tokio::test]
async fn dids_of_every_method_are_resolved() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let host = Host::open(&abroad, "p.test").await?;
    let did_key = format!("did:key:{}", multikey(1));
    let did_web = host.did_web("bob");
    let document = json!({"id": did_web, "verificationMethod": [{"id": "#k", "type": "Multikey",
        "controller": did_web, "publicKeyMultibase": multikey(5)}]});
    host.put("/people/bob/did.json", document.to_string());
    let log = Log::of_person(&host, "ada")?.gone_on(2, None)?;
    host.put("/people/ada/did.jsonl", log.text.clone());
    let did_webvh = log.did()?;
    for did in [&did_key, &did_web, &did_webvh] {
        let (status, told) = asked(&abroad, did, "").await?;
        ensure!((status, id(&told)) == (200, did.as_str()), "{status} {told}");
        ensure!(id(&anew(&abroad, did).await?) == did, "{did}");
    }
    let (_, told) = asked(&abroad, &did_webvh, "").await?;
    let metadata = &told["didDocumentMetadata"];
    ensure!(metadata["versionNumber"] == 2 && metadata["portable"] == true, "{told}");

    // Versions of before, each way in which one can be asked for.
    let first = &log.history()?.versions()[0].id.to_string();
    let time = wayside_identity::time::write(log.history()?.versions()[0].time);
    for query in [
        format!("?versionId={first}"),
        "?versionNumber=1".to_owned(),
        format!("?versionTime={time}"),
    ] {
        let (status, told) = asked(&abroad, &did_webvh, &query).await?;
        ensure!(status == 200 && told["didDocumentMetadata"]["versionId"] == **first, "{told}");
    }
    for query in [
        "?versionNumber=3",
        "?versionNumber=0",
        "?versionId=1-x",
        "?versionTime=2000-01-01T00:00:00Z",
    ] {
        let (status, told) = asked(&abroad, &did_webvh, query).await?;
        ensure!(
            (status, refusal(&told, "no such version")?) == (404, "notFound"),
            "{query} {told}"
        );
    }
    abroad.end().await
}

#[tokio::test]
async fn a_did_is_fetched_once_however_many_ask() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let host = Host::open(&abroad, "p.test").await?;
    let log = Log::of_person(&host, "ada")?;
    let text = log.text.clone().into_bytes();
    host.peer.answer(Method::GET, "/people/ada/did.jsonl", move |_| {
        PeerReply::bytes("text/jsonl", text.clone()).after(Duration::from_millis(300))
    });
    let did = log.did()?;
    let all = try_join_all((0..10).map(|_| asked(&abroad, &did, ""))).await?;
    ensure!(all.iter().all(|(status, told)| *status == 200 && id(told) == did), "{all:?}");
    ensure!(times(&host.peer, "/people/ada/did.jsonl") == 1, "it was fetched more than once");
    // Of nobody it is remembered only for a moment that there was nothing.
    let absent = host.did_web("eve");
    let all = try_join_all((0..10).map(|_| asked(&abroad, &absent, ""))).await?;
    ensure!(all.iter().all(|(status, _)| *status == 404), "{all:?}");
    ensure!(times(&host.peer, "/people/eve/") == 1, "nobody was fetched more than once");
    abroad.end().await
}

#[tokio::test]
async fn whoever_moved_is_found_where_they_moved_to() -> Result<()> {
    let Some(mut abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (old, mut new) =
        (Host::open(&abroad, "p.test").await?, Host::open(&abroad, "c.test").await?);
    let before = Log::of_person(&old, "ada")?;
    let moved = before.gone_on(2, Some((&new, "lovelace")))?;
    let (old_did, new_did) = (before.did()?, moved.did()?);
    old.put("/people/ada/did.jsonl", before.text.clone());
    ensure!(id(&anew(&abroad, &old_did).await?) == old_did, "before the move");

    // The old place tells where they went, and the new place what is new.
    let later = moved.gone_on(3, None)?;
    old.put("/people/ada/did.jsonl", moved.text.clone());
    new.put("/people/lovelace/did.jsonl", later.text.clone());
    for did in [&old_did, &new_did] {
        let told = anew(&abroad, did).await?;
        ensure!(id(&told) == new_did, "{told}");
        ensure!(told["didDocumentMetadata"]["versionNumber"] == 3, "{told}");
    }

    // The old place is gone, or comes back with what it had: they are found where they are.
    old.forget("/people/ada/did.jsonl");
    ensure!(id(&anew(&abroad, &old_did).await?) == new_did, "the old place is gone");
    old.put("/people/ada/did.jsonl", before.text.clone());
    ensure!(id(&anew(&abroad, &old_did).await?) == new_did, "the old place came back");
    // Where nobody else answers, it is not believed: not after a restart either.
    new.peer.stop().await;
    abroad.node.stop().await?;
    abroad.node.restart().await?;
    let told = anew(&abroad, &old_did).await?;
    ensure!(refusal(&told, "leaves out or changes what was seen")? == "invalidDid", "{told}");
    new.peer.restart().await?;
    ensure!(id(&anew(&abroad, &old_did).await?) == new_did, "the new place is back");
    abroad.end().await
}

#[tokio::test]
async fn logs_that_are_shorter_or_forked_are_refused() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let (host, other) =
        (Host::open(&abroad, "p.test").await?, Host::open(&abroad, "c.test").await?);
    let first = Log::of_person(&host, "ada")?;
    let seen = first.gone_on(2, None)?;
    let forked = first.gone_on(3, None)?.gone_on(4, None)?;
    let did = first.did()?;
    let file = "/people/ada/did.jsonl";
    host.put(file, seen.text.clone());
    ensure!(id(&anew(&abroad, &did).await?) == did, "the first look");
    for (log, label) in [(&first, "shorter"), (&forked, "forked")] {
        host.put(file, log.text.clone());
        let told = anew(&abroad, &did).await?;
        ensure!(refusal(&told, "leaves out or changes")? == "invalidDid", "{label}: {told}");
    }
    host.put(file, seen.gone_on(3, None)?.text);
    ensure!(id(&anew(&abroad, &did).await?) == did, "it goes on");

    // A key that was replaced moves the person elsewhere: the place of before says otherwise.
    let thief = Host::open(&abroad, "e.test").await?;
    let taken = seen.gone_on(4, Some((&thief, "ada")))?;
    thief.put(file, taken.text.clone());
    let told = anew(&abroad, &taken.did()?).await?;
    ensure!(refusal(&told, "leaves out or changes")? == "invalidDid", "{told}");
    ensure!(id(&anew(&abroad, &did).await?) == did, "nothing changed for who was robbed");
    // So it does where nobody here has heard of them before.
    let begun = Log::of_person(&host, "cid")?;
    host.put("/people/cid/did.jsonl", begun.gone_on(2, None)?.text);
    let taken = begun.gone_on(3, Some((&thief, "cid")))?;
    thief.put("/people/cid/did.jsonl", taken.text.clone());
    let told = anew(&abroad, &taken.did()?).await?;
    ensure!(refusal(&told, "different histories")? == "invalidDid", "{told}");

    // A move that the place it leads to contradicts.
    let begun = Log::of_person(&host, "bob")?;
    let moved = begun.gone_on(2, Some((&other, "bob")))?;
    host.put("/people/bob/did.jsonl", moved.text.clone());
    let elsewhere = begun.gone_on(3, Some((&other, "bob")))?;
    other.put("/people/bob/did.jsonl", elsewhere.text);
    let told = anew(&abroad, &begun.did()?).await?;
    ensure!(refusal(&told, "different histories")? == "invalidDid", "{told}");
    abroad.end().await
}

#[tokio::test]
async fn witnesses_are_asked_for_where_there_are_some() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let host = Host::open(&abroad, "p.test").await?;
    let witness =
        json!({"threshold": 1, "witnesses": [{"id": format!("did:key:{}", multikey(9))}]});
    let parameters = json!({"updateKeys": [multikey(1)], "witness": witness});
    let log = Log::begun(parameters, &host, "ada")?;
    host.put("/people/ada/did.jsonl", log.text.clone());
    let entry: Value = serde_json::from_str(log.text.trim())?;
    let did = entry["state"]["id"].as_str().context("a DID")?.to_owned();
    let told = anew(&abroad, &did).await?;
    refusal(&told, "did-witness.json")?;
    let version = entry["versionId"].as_str().context("a version")?.parse()?;
    let file = |seed| {
        let proof = witnessed(&version, Moment(0), &key(seed));
        json!([{"versionId": version.to_string(), "proof": [proof]}]).to_string()
    };
    host.put("/people/ada/did-witness.json", file(8));
    let told = anew(&abroad, &did).await?;
    ensure!(refusal(&told, "0 of its witnesses")? == "invalidDid", "{told}");
    host.put("/people/ada/did-witness.json", file(9));
    ensure!(id(&anew(&abroad, &did).await?) == did, "witnessed");
    abroad.end().await
}

#[tokio::test]
async fn hosts_that_mislead_are_refused_in_time() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let host = Host::open(&abroad, "p.test").await?;
    let log = Log::of_person(&host, "ada")?;
    let sound = json!({"id": host.did_web("ada")}).to_string();
    host.put("/people/ada/did.json", sound);
    let good = host.did_web("ada");
    let large = format!("{{\"id\": {good:?}, \"more\": {:?}}}", "a".repeat(10_000_000));
    host.put("/people/large/did.json", large.clone());
    host.put("/people/large/did.jsonl", large);
    host.put("/people/other/did.json", json!({"id": good}).to_string());
    host.put("/people/other/did.jsonl", log.text.clone());
    host.put("/people/twice/did.json", format!("{{\"id\": {good:?}, \"id\": {good:?}}}"));
    host.put("/people/words/did.json", "<html>");
    let to = format!("https://p.test:{PORT}/people/ada/did.json");
    host.peer.answer(Method::GET, "/people/away/", move |_| {
        PeerReply::bytes("text/html", Vec::new()).status(302).header("location", &to)
    });
    host.peer.answer(Method::GET, "/people/ill/", |_| PeerReply::json(&json!({})).status(500));
    // The names of others in the logs of somebody: the SCID of one does not stand for another.
    let stranger = Log::begun(json!({"updateKeys": [multikey(1)]}), &host, "other")?;
    let leaf = abroad.town.authority().leaf(&["other.test"])?;
    let options = abroad.town.peer()?;
    let std::net::IpAddr::V4(ip) = options.ip() else { bail!("an address of IPv4") };
    let liar = options.on(&[PORT]).named("liar.test", leaf).start().await?;
    abroad.names.add("liar.test", Record::A(ip));
    for (did, error, status, words) in [
        (host.did_web("large"), "internalError", 502, "larger than"),
        (host.webvh(log.history()?.scid(), "large"), "internalError", 502, "larger than"),
        (host.did_web("other"), "invalidDidDocument", 400, "is that of"),
        (stranger.did()?, "invalidDidDocument", 400, "is that of"),
        (host.did_web("twice"), "invalidDid", 400, "twice"),
        (host.did_web("words"), "invalidDid", 400, "reading JSON"),
        (host.did_web("away"), "internalError", 502, "leads elsewhere"),
        (host.did_web("ill"), "internalError", 502, "answered 500"),
        (host.did_web("nobody"), "notFound", 404, "nothing at"),
        (format!("did:web:liar.test%3A{PORT}"), "internalError", 502, "certificate"),
        ("did:web:nowhere.test".to_owned(), "internalError", 502, "nowhere.test"),
        ("did:web:127.0.0.1".to_owned(), "invalidDid", 400, "a name, not a number"),
        ("did:plc:ewvi7nxzyoun6zhxrhs64oiz".to_owned(), "methodNotSupported", 501, "not known"),
    ] {
        let begun = std::time::Instant::now();
        let (got, told) = asked(&abroad, &did, "").await?;
        ensure!((got, refusal(&told, words)?) == (status, error), "{did}: {got} {told}");
        ensure!(begun.elapsed() < SOON, "{did}: {:?}", begun.elapsed());
    }
    for text in ["did:web", "ada", "did:web:a b", "DID:web:a.example"] {
        let (status, told) = asked(&abroad, text, "").await?;
        ensure!(status == 400 && told["errcode"] == "M_INVALID_PARAM", "{text}: {told}");
    }
    ensure!(asked(&abroad, &good, "").await?.0 == 200, "nobody else is disturbed");
    drop(liar);
    abroad.end().await
}

#[tokio::test]
async fn nothing_private_is_reached_for_a_did() -> Result<()> {
    let closed = |options: Options| options.without("--allow-private-addresses");
    let Some(abroad) = Abroad::begin(closed).await? else { return Ok(()) };
    let host = Host::open(&abroad, "p.test").await?;
    host.put("/people/ada/did.json", json!({"id": host.did_web("ada")}).to_string());
    for did in [host.did_web("ada"), "did:web:localhost%3A8008".to_owned()] {
        let (status, told) = asked(&abroad, &did, "").await?;
        ensure!(status == 502, "{told}");
        refusal(&told, "not public")?;
    }
    ensure!(host.peer.requests().is_empty(), "it was called");
    abroad.end().await
}
