//! Certificates that an authority gives by ACME, after it has looked at the node's own doors.

mod pebble;
mod refusing;
mod wishing;

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use reqwest::Url;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use wayside_tests::{Answer, Engine, Node, Options, Town, Wire};

use self::{
    pebble::Pebble,
    refusing::{ALONE_S, Mood, Refusing},
    wishing::Wishing,
};
use crate::{serve::authority_of, stage::comes_true};

const ASKED: &str = "GET /health/live HTTP/1.1\r\nhost: a.test\r\n\r\n";
const PROOF: &[&str] = &["acme-tls/1"];
const SITE: &[&str] = &["http/1.1"];
/// How an acmeIdentifier extension is called (1.3.6.1.5.5.7.1.31), in DER.
const ACME_IDENTIFIER: &[u8] = &[0x06, 0x08, 0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1F];
/// How the node says that it was given nothing.
const COMPLAINT: &str = "getting a certificate by ACME failed";

/// A node that asks this directory.
fn asking(options: Options, directory: &Url, trust: &Path) -> Options {
    options
        .flag("--acme-directory", Some(directory.as_str()))
        .flag("--acme-accept-terms=true", None)
        .flag("--acme-contact", Some("admin@a.test"))
        .flag("--trust-ca", trust.to_str())
}

/// Takes any certificate, to look at it.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// A connection to a door by a name and these protocols, whatever its certificate; an error where the
/// node does not shake hands.
async fn call(door: &Url, name: &str, protocols: &[&str]) -> Result<TlsStream<TcpStream>> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Any));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    let address = door.socket_addrs(|| None)?.first().copied().context("a door has an address")?;
    let stream = TcpStream::connect(address).await?;
    let name = ServerName::try_from(name.to_owned())?;
    Ok(TlsConnector::from(Arc::new(config)).connect(name, stream).await?)
}

/// The certificate that a connection was begun with.
fn shown(stream: &TlsStream<TcpStream>) -> Result<Vec<u8>> {
    let chain = stream.get_ref().1.peer_certificates().context("a certificate")?;
    Ok(chain.first().context("a certificate")?.to_vec())
}

/// The certificate with which a door serves its site.
async fn served(door: &Url) -> Result<Vec<u8>> {
    shown(&call(door, "a.test", SITE).await?)
}

/// Whether both doors serve with certificates of this authority, for this name.
async fn both_serve(node: &Node, authority: &Path, name: &str) -> Result<bool> {
    for door in [node.https(), node.federation()] {
        let wire = Wire::secure(door, authority, "http/1.1")?.named(name)?;
        if wire.open().await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Looks at a door as an authority does, and checks that it is shown a proof and nothing else.
async fn is_shown_a_proof(door: &Url) -> Result<bool> {
    let Ok(mut stream) = call(door, "a.test", PROOF).await else { return Ok(false) };
    let certificate = shown(&stream)?;
    let has_digest = certificate.windows(ACME_IDENTIFIER.len()).any(|it| it == ACME_IDENTIFIER);
    ensure!(has_digest, "a certificate without a digest is shown as a proof");
    // Whoever goes on to ask for something gets no answer: the connection ends.
    let _cut_off = stream.write_all(ASKED.as_bytes()).await;
    let mut all = Vec::new();
    let _ended_or_reset = stream.read_to_end(&mut all).await;
    ensure!(all.is_empty(), "HTTP is spoken to who wants a proof: {all:?}");
    Ok(true)
}

/// Checks that whoever asks for a proof that is not to be had is not let in at all.
async fn is_shown_nothing(door: &Url, name: &str, protocols: &[&str]) -> Result<()> {
    // The client may find out only as it reads that the node broke off.
    if let Ok(mut stream) = call(door, name, protocols).await {
        let _cut_off = stream.write_all(ASKED.as_bytes()).await;
        let mut all = Vec::new();
        let ended = stream.read_to_end(&mut all).await;
        bail!("{name} by {protocols:?} is let in: {ended:?}, {all:?}");
    }
    Ok(())
}

async fn gauge(node: &Node, name: &str) -> Result<f64> {
    Ok(node.metrics().await?.sum(name))
}

/// In how many seconds the node asks next.
async fn asks_in_s(node: &Node) -> Result<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    Ok(gauge(node, "wayside_acme_next_attempt_seconds").await? - now)
}

#[tokio::test]
async fn a_certificate_comes_by_acme_and_outlives_restarts() -> Result<()> {
    const YEAR_S: u32 = 365 * 24 * 60 * 60;
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(pebble) = Pebble::start(town.folder(), YEAR_S).await? else { return Ok(()) };
    let root = pebble.root(town.folder()).await?;
    let options = asking(town.node("a")?, &pebble.directory, &pebble.trust);
    let options = options.flag("--public-url", Some("https://play.a.test"));
    let mut node = options.start().await?;

    // As long as the authority finds no way here, the node vouches for itself.
    let own = authority_of(&node)?;
    ensure!(both_serve(&node, &own, "a.test").await?, "not its own certificate");
    ensure!(node.log().contains("vouches for itself"), "does not show its authority");

    pebble.street.lead_to(node.https())?;
    comes_true("a certificate", async || both_serve(&node, &root, "a.test").await).await?;
    ensure!(both_serve(&node, &root, "play.a.test").await?, "not for both names");
    ensure!(!both_serve(&node, &own, "a.test").await?, "its own one is served on");
    for door in [node.https(), node.federation()] {
        is_shown_nothing(door, "a.test", PROOF).await?;
    }
    let first = served(node.https()).await?;
    let third_s = f64::from(YEAR_S / 3);
    let settled = async || {
        let (expiry_s, in_s) =
            (gauge(&node, "wayside_certificate_expiry_seconds").await?, asks_in_s(&node).await?);
        ensure!(expiry_s > 1.7e9 && in_s > 1.9 * third_s && in_s < 2.2 * third_s, "{in_s}");
        ensure!(gauge(&node, "wayside_acme_failed_attempts").await? < 0.5);
        Ok(())
    };
    settled().await?;
    ensure!(pebble.asked()? == (1, 1), "accounts and orders: {:?}", pebble.asked()?);

    for _ in 0..2 {
        node.stop().await?;
        node.restart().await?;
        ensure!(served(node.https()).await? == first, "another one after a restart");
        ensure!(both_serve(&node, &root, "a.test").await?);
        ensure!(asks_in_s(&node).await? > 1.9 * third_s, "it is not content");
    }
    ensure!(!node.log().contains(COMPLAINT), "something failed:\n{}", node.log());
    ensure!(pebble.asked()? == (1, 1), "accounts and orders: {:?}", pebble.asked()?);
    node.stop().await?;
    pebble.end().await
}

#[tokio::test]
async fn a_certificate_of_acme_is_renewed_while_the_node_serves() -> Result<()> {
    const SHORT_S: u32 = 15;
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(pebble) = Pebble::start(town.folder(), SHORT_S).await? else { return Ok(()) };
    let root = pebble.root(town.folder()).await?;
    let options = asking(town.node("a")?, &pebble.directory, &pebble.trust);
    let mut node = options.start().await?;
    // One door is as good as the other.
    pebble.street.lead_to(node.federation())?;
    comes_true("a certificate", async || both_serve(&node, &root, "a.test").await).await?;
    let first = served(node.https()).await?;
    let mut standing = call(node.https(), "a.test", SITE).await?;
    standing.write_all(ASKED.as_bytes()).await?;
    ensure!(standing.read(&mut [0; 4_096]).await? > 0);

    comes_true("a second one", async || Ok(served(node.https()).await? != first)).await?;
    ensure!(both_serve(&node, &root, "a.test").await?, "the second one is not good");
    ensure!(pebble.asked()? == (1, 2), "accounts and orders: {:?}", pebble.asked()?);
    standing.write_all(ASKED.as_bytes()).await?;
    let mut all = Vec::new();
    while Answer::first(&all).is_err() && standing.read_buf(&mut all).await? > 0 {}
    ensure!(Answer::first(&all)?.status == 200, "whoever came before cannot go on");

    // The authority does not get here any more: what is served stays, and it is not asked again soon.
    pebble.street.shut();
    let second = served(node.https()).await?;
    comes_true("a failure", async || Ok(node.log().contains(COMPLAINT))).await?;
    let failed_s = gauge(&node, "wayside_acme_last_failure_seconds").await?;
    ensure!(failed_s > 1.7e9, "no time in seconds: {failed_s}");
    ensure!(served(node.https()).await? == second, "the second one has gone");
    let in_s = asks_in_s(&node).await?;
    ensure!((200.0..400.0).contains(&in_s), "asks again in {in_s} s");
    let log = node.log();
    ensure!(log.matches(COMPLAINT).count() == 1, "said once:\n{log}");
    ensure!(
        log.contains("a.test leads here") && log.contains("port 443"),
        "without advice:\n{log}"
    );
    let asked = pebble.asked()?;
    node.kill().await?;
    node.restart().await?;
    ensure!(served(node.https()).await? == second, "the second one is lost");
    let in_s = asks_in_s(&node).await?;
    ensure!((100.0..400.0).contains(&in_s), "asks again in {in_s} s");
    ensure!(pebble.asked()? == asked, "it came back sooner: {:?}", pebble.asked()?);
    node.stop().await?;
    pebble.end().await
}

/// An authority that wants a certificate replaced long before it ends, once; and answers of others that say
/// nothing of that.
#[tokio::test]
async fn a_certificate_is_replaced_when_its_authority_wishes() -> Result<()> {
    const YEAR_S: u32 = 365 * 24 * 60 * 60;
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let Some(pebble) = Pebble::start(town.folder(), YEAR_S).await? else { return Ok(()) };
    let root = pebble.root(town.folder()).await?;
    let wishing = Wishing::open(&pebble).await?;
    wishing.wishes("{\"suggestedWindow\":{\"start\":\"soon\",\"end\":\"later\"}}");
    let mut node = asking(town.node("a")?, &wishing.directory, &pebble.trust).start().await?;
    pebble.street.lead_to(node.https())?;
    comes_true("a certificate", async || both_serve(&node, &root, "a.test").await).await?;
    comes_true("it is asked", async || Ok(wishing.asked() > 0)).await?;
    let first = served(node.https()).await?;
    let third_s = f64::from(YEAR_S / 3);
    ensure!(asks_in_s(&node).await? > 1.9 * third_s, "what is no wish is followed");

    // Half a year before it would be replaced, after a restart, for who was asked is not asked again soon.
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let at = date_of;
    let window = json!({ "start": at(now_s + 7_200)?, "end": at(now_s + 7_260)? });
    wishing.wishes(&json!({ "suggestedWindow": window }).to_string());
    node.stop().await?;
    node.restart().await?;
    comes_true("a wish is heard", async || {
        let in_s = asks_in_s(&node).await?;
        Ok((7_000.0..7_300.0).contains(&in_s))
    })
    .await?;
    ensure!(served(node.https()).await? == first, "another one before its time");

    let window = json!({ "start": at(now_s - 7_200)?, "end": at(now_s - 3_600)? });
    wishing.wishes(&json!({ "suggestedWindow": window }).to_string());
    node.stop().await?;
    node.restart().await?;
    pebble.street.lead_to(node.https())?;
    comes_true("a second one", async || Ok(served(node.https()).await? != first)).await?;
    ensure!(both_serve(&node, &root, "a.test").await?, "the second one is not good");
    let second = served(node.https()).await?;
    // The same wish of the next one is not followed at once, over restarts too.
    node.stop().await?;
    let asked = wishing.asked();
    node.restart().await?;
    comes_true("it is asked", async || Ok(wishing.asked() > asked)).await?;
    comes_true("a wish is heard", async || {
        let in_s = asks_in_s(&node).await?;
        Ok((80_000.0..87_000.0).contains(&in_s))
    })
    .await?;
    ensure!(served(node.https()).await? == second, "one after the other");
    ensure!(!node.log().contains(COMPLAINT), "something failed:\n{}", node.log());
    node.stop().await?;
    pebble.end().await
}

/// A time as RFC 3339 writes it.
fn date_of(s: u64) -> Result<String> {
    let days = i64::try_from(s / 86_400)?;
    // Days to a date (proleptic Gregorian calendar), counted from the first of March of year 0.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (s / 3_600 % 24, s / 60 % 60, s % 60);
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// An authority gives certificates to those whom it knows already.
#[tokio::test]
async fn a_certificate_comes_by_an_id_that_the_authority_gave() -> Result<()> {
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    const WRONG: &str = "AAAAAM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let known = [("kid-1", KEY), ("kid-2", KEY)];
    let pebble = Pebble::start_for(town.folder(), 365 * 24 * 60 * 60, &known).await?;
    let Some(pebble) = pebble else { return Ok(()) };
    let root = pebble.root(town.folder()).await?;
    let bound = |options: Options, id: &str, key: &str| {
        let options = options.flag("--acme-eab-key-id", Some(id));
        options.flag("--acme-eab-hmac-key", Some(key))
    };
    let of = |name: &str| {
        Ok::<_, anyhow::Error>(asking(town.node(name)?, &pebble.directory, &pebble.trust))
    };
    for (name, options, advice) in [
        ("without one", of("b")?, "set acme_eab_key_id"),
        ("a wrong key", bound(of("c")?, "kid-1", WRONG), "see that acme_eab_key_id"),
        ("a wrong id", bound(of("d")?, "kid-9", KEY), "see that acme_eab_key_id"),
    ] {
        let mut node = options.start().await?;
        comes_true("a complaint", async || Ok(node.log().contains(COMPLAINT))).await?;
        let log = node.log();
        ensure!(log.contains(advice), "{name}: without advice:\n{log}");
        ensure!(!log.contains(WRONG) && !log.contains(KEY), "{name}: the key is logged:\n{log}");
        node.stop().await?;
    }
    let mut node = bound(of("a")?, "kid-1", KEY).start().await?;
    pebble.street.lead_to(node.https())?;
    comes_true("a certificate", async || both_serve(&node, &root, "a.test").await).await?;
    let asked = pebble.asked()?;
    // Once there is an account, it is the one that is asked with.
    node.stop().await?;
    node.restart().await?;
    ensure!(both_serve(&node, &root, "a.test").await?, "its certificate has gone");
    ensure!(pebble.asked()? == asked, "accounts and orders: {:?}", pebble.asked()?);
    node.stop().await?;
    pebble.end().await
}

#[tokio::test]
async fn a_proof_for_an_authority_is_no_way_into_the_site() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let authority = Refusing::open(town.folder(), Mood::Undecided).await?;
    let mut node = asking(town.node("a")?, &authority.directory, &authority.trust).start().await?;
    let own = authority_of(&node)?;
    for door in [node.https(), node.federation()] {
        comes_true("a proof", async || is_shown_a_proof(door).await).await?;
        for stranger in ["b.test", "localhost", "sub.a.test"] {
            is_shown_nothing(door, stranger, PROOF).await?;
        }
        is_shown_nothing(door, "a.test", &["acme-tls/1", "other"]).await?;
        let beside = call(door, "a.test", &["acme-tls/1", "http/1.1"]).await?;
        ensure!(beside.get_ref().1.alpn_protocol() == Some(b"http/1.1"), "no site");
        ensure!(both_serve(&node, &own, "a.test").await?, "a proof got into the site");
    }
    // A node that is asked to end does not wait for the authority.
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_authority_that_has_had_enough_is_left_alone() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let authority = Refusing::open(town.folder(), Mood::HadEnough).await?;
    let mut node = asking(town.node("a")?, &authority.directory, &authority.trust).start().await?;
    let complaints = |node: &Node| node.log().matches(COMPLAINT).count();
    comes_true("a complaint", async || Ok(complaints(&node) > 0)).await?;
    let log = node.log();
    ensure!(log.contains("too many certificates for a.test") && log.contains("advice"), "{log}");
    // Each first nonce was refused, and the same was asked with another.
    ensure!(authority.asked("POST /account") == 2 && authority.asked("POST /order") == 2);
    ensure!(both_serve(&node, &authority_of(&node)?, "a.test").await?, "its own one has gone");
    let alone_s = f64::from(ALONE_S);
    let in_s = asks_in_s(&node).await?;
    ensure!((alone_s - 60.0..alone_s + 1.0).contains(&in_s), "asks again in {in_s} s");
    ensure!((gauge(&node, "wayside_acme_failed_attempts").await? - 1.0).abs() < 0.5);

    // Neither a crash nor a restart makes it come back sooner.
    let looked = authority.asked("GET /directory");
    node.kill().await?;
    node.restart().await?;
    node.stop().await?;
    node.restart().await?;
    let in_s = asks_in_s(&node).await?;
    ensure!((alone_s - 90.0..alone_s + 1.0).contains(&in_s), "asks again in {in_s} s");
    ensure!(authority.asked("GET /directory") == looked, "it was asked again");

    // Who has mended what was wrong need not wait: the log names the file to remove.
    let file = log.split("sooner=").nth(1).and_then(|rest| rest.split_whitespace().next());
    node.stop().await?;
    std::fs::remove_file(file.context("no file to remove is named")?)?;
    node.restart().await?;
    comes_true("another try", async || Ok(complaints(&node) > 1)).await?;
    ensure!(authority.asked("POST /account") == 2, "the account was not kept");
    ensure!(authority.asked("POST /order") == 3);
    node.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_node_that_asks_no_authority_shows_no_proofs() -> Result<()> {
    let Some(town) = Town::found(Engine::Sqlite)? else { return Ok(()) };
    let mut node = town.node("a")?.start().await?;
    for door in [node.https(), node.federation()] {
        is_shown_nothing(door, "a.test", PROOF).await?;
        ensure!(call(door, "a.test", SITE).await.is_ok());
    }
    let names: Vec<String> = node.metrics().await?.names().map(str::to_owned).collect();
    ensure!(!names.iter().any(|name| name.contains("acme")), "{names:?}");
    node.stop().await?;
    Ok(())
}
