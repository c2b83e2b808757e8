//! A node finds other servers by their names, step by step, and demands the right certificate of each.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, TcpListener},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net};
use wayside_tests::{Address, Peer, PeerReply, Record};

use crate::abroad::{Abroad, PROFILE, may_serve_web, times, words};

/// Where a server says to whom it has delegated.
const WELL_KNOWN: &str = "/.well-known/matrix/server";
/// A port that is not the usual one.
const PORT: u16 = 8450;
/// A port at which nobody is.
const DEAD: u16 = 8451;
/// Far more than it takes to find out that a name stands for nothing.
const SOON: Duration = Duration::from_secs(5);

/// The steps of discovery (server-server API, "Resolving server names"), each with what it needs and
/// what follows: the server that is looked for; to whom it has delegated; the names that stand for its
/// address; SRV records as name, priority, port and target; the port at which it answers; the header
/// `Host` of what it is asked; for what its certificate must be, and for what that may be in vain. `a` is
/// a name below which all others of the way are, `ip` the address of the server.
const WAYS: &[&str] = &[
    // Step 1.
    "ip      |           |        |  | 8448 | ip | ip | a.test",
    "ip:8450 |           |        |  | 8450 | ip:8450 | ip | a.test",
    // Step 2.
    "a.test:8450 |       | a.test |  | 8450 | a.test:8450 | a.test | ip to.a.test",
    // Steps 3.1 to 3.5.
    "a.test  | ip        |        |  | 8448 | ip | ip | a.test",
    "a.test  | ip:8450   |        |  | 8450 | ip:8450 | ip | a.test",
    "a.test  | to.a.test:8450 | to.a.test | | 8450 | to.a.test:8450 | to.a.test | ip a.test",
    "a.test  | to.a.test | at.a.test | _matrix-fed._tcp.to.a.test 1 8450 at.a.test | 8450 | to.a.test | to.a.test | a.test at.a.test",
    "a.test  | to.a.test | at.a.test | _matrix._tcp.to.a.test 1 8450 at.a.test | 8450 | to.a.test | to.a.test | a.test at.a.test",
    "a.test  | to.a.test | to.a.test |  | 8448 | to.a.test | to.a.test | ip a.test",
    // Step 4; of two services the newer counts, and of two places the first that is open.
    "a.test  |           | at.a.test | _matrix-fed._tcp.a.test 1 8450 at.a.test, _matrix._tcp.a.test 0 8451 at.a.test | 8450 | a.test | a.test | ip at.a.test",
    "a.test  |           | at.a.test dead.a.test | _matrix-fed._tcp.a.test 2 8450 at.a.test, _matrix-fed._tcp.a.test 0 8448 none.a.test, _matrix-fed._tcp.a.test 1 8451 dead.a.test | 8450 | a.test | a.test | at.a.test dead.a.test",
    // Steps 5 and 6.
    "a.test  |           | at.a.test | _matrix._tcp.a.test 1 8450 at.a.test | 8450 | a.test | a.test | ip at.a.test",
    "a.test  |           | a.test |  | 8448 | a.test | a.test | ip to.a.test",
];

/// Finds a server on a way, and one more whose certificate is for something else.
async fn is_found(way: &str, at: usize, abroad: &Abroad) -> Result<()> {
    for (label, is_right) in [("right", true), ("wrong", false)] {
        let options = abroad.town.peer()?;
        let IpAddr::V4(ip) = options.ip() else { continue };
        let label = format!("{label}{at}.test");
        let way = way.replace("a.test", &label).replace("ip", &ip.to_string());
        let parts: Vec<&str> = way.split('|').map(str::trim).collect();
        let &[server, delegated, names, services, port, host, certificate, in_vain] = &parts[..]
        else {
            bail!("a way has eight parts: {way}");
        };
        let certified: Vec<&str> =
            if is_right { vec![certificate] } else { in_vain.split(' ').collect() };
        let leaf = abroad.town.authority().leaf(&certified)?;
        let peer = options.on(&[port.parse()?]).named(server, leaf).start().await?;
        peer.answer(Method::GET, PROFILE, |_| PeerReply::json(&json!({ "displayname": "P" })));
        for name in names.split_whitespace() {
            abroad.names.add(name, Record::A(ip));
        }
        for service in services.split(", ").filter(|it| !it.is_empty()) {
            let [name, priority, port, target] = service.split(' ').collect::<Vec<_>>()[..] else {
                bail!("a service has four parts: {service}");
            };
            let (priority, port, target) = (priority.parse()?, port.parse()?, target.to_owned());
            abroad.names.add(name, Record::Srv { priority, weight: 1, port, target });
        }
        let site = match delegated {
            "" => None,
            to => Some(delegating(abroad, &label, to).await?),
        };
        let found = abroad.profile(&format!("@pia:{server}")).await;
        if is_right {
            let profile = found?;
            ensure!(profile["displayname"] == "P", "{profile}");
            let request = peer.request(&Method::GET, PROFILE).await?;
            let told = request.authority.as_ref().unwrap_or(&request.host);
            ensure!(request.host == host && told == host, "{request:?}");
            let wanted = Some(certificate).filter(|name| name.parse::<IpAddr>().is_err());
            ensure!(request.certificate_of.as_deref() == wanted, "{request:?}");
            // However it is found, it is called by its own name.
            ensure!(request.x_matrix()?.destination.as_deref() == Some(server), "{request:?}");
        } else {
            let (status, why) = words(found)?;
            ensure!(status == 502 && why.contains("certificate"), "{status} {why}");
            ensure!(peer.requests().is_empty(), "{:?}", peer.requests());
        }
        let asked = site.map_or(1, |site| times(&site, WELL_KNOWN));
        ensure!(asked == 1, "asked {asked} times to whom it has delegated");
    }
    Ok(())
}

/// The site of a name, which delegates.
async fn delegating(abroad: &Abroad, name: &str, to: &str) -> Result<Peer> {
    let options = abroad.town.peer()?.on(&[443]);
    let IpAddr::V4(ip) = options.ip() else { bail!("an address of IPv4") };
    abroad.names.add(name, Record::A(ip));
    let site = options.named(name, abroad.town.authority().leaf(&[name])?).start().await?;
    let document = json!({ "m.server": to });
    site.answer(Method::GET, WELL_KNOWN, move |_| PeerReply::json(&document));
    Ok(site)
}

#[tokio::test]
async fn discovery_takes_every_step_and_wants_the_certificate_of_each() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let web = may_serve_web()?;
    let is_delegated = |way: &str| way.split('|').nth(1).is_some_and(|to| !to.trim().is_empty());
    let ways = WAYS.iter().enumerate().filter(|(_, way)| web || !is_delegated(way));
    let found =
        ways.map(async |(at, way)| is_found(way, at, &abroad).await.context(way.to_owned()));
    try_join_all(found).await?;
    abroad.end().await
}

/// What a site says in place of a plain document, and whether that is followed.
struct Word {
    what: &'static str,
    followed: bool,
    reply: fn(name: &str, target: &str) -> PeerReply,
}

const WORDS: &[Word] = &[
    Word { what: "a document", followed: true, reply: |name, _| document(name) },
    Word {
        what: "a document of another kind",
        followed: true,
        reply: |name, _| PeerReply::bytes("text/plain", delegation(name).into_bytes()),
    },
    Word { what: "four hops", followed: true, reply: |name, at| hop(name, at, 4) },
    Word { what: "five hops", followed: false, reply: |name, at| hop(name, at, 5) },
    Word { what: "a loop", followed: false, reply: |_, at| moved(at) },
    Word {
        what: "a way to plain HTTP",
        followed: false,
        reply: |name, _| moved(&format!("http://{name}:{DEAD}/")),
    },
    Word {
        what: "a way with a password",
        followed: false,
        reply: |name, at| {
            if at == WELL_KNOWN { moved(&format!("https://a:b@{name}/x")) } else { document(name) }
        },
    },
    Word { what: "a way to nowhere", followed: false, reply: |_, _| moved("https://") },
    Word { what: "a refusal", followed: false, reply: |name, _| document(name).status(404) },
    Word { what: "a failure", followed: false, reply: |name, _| document(name).status(500) },
    Word {
        what: "no JSON",
        followed: false,
        reply: |_, _| PeerReply::bytes("application/json", b"{\"m.server\":".to_vec()),
    },
    Word {
        what: "another kind of JSON",
        followed: false,
        reply: |_, _| PeerReply::json(&json!({ "m.server": ["b.test"] })),
    },
    Word {
        what: "no name",
        followed: false,
        reply: |_, _| PeerReply::json(&json!({ "m.server": "b.test:port/../x" })),
    },
    Word {
        what: "too much",
        followed: false,
        reply: |name, _| {
            let long = format!("{}{}", delegation(name), " ".repeat(60_000));
            PeerReply::bytes("application/json", long.into_bytes())
        },
    },
    Word {
        what: "drops",
        followed: false,
        reply: |name, _| document(name).dripping(1, Duration::from_secs(1)),
    },
];

fn delegation(name: &str) -> String {
    json!({ "m.server": format!("{name}:8448") }).to_string()
}

fn document(name: &str) -> PeerReply {
    PeerReply::bytes("application/json", delegation(name).into_bytes())
}

fn moved(to: &str) -> PeerReply {
    PeerReply::bytes("text/plain", Vec::new()).status(302).header("location", to)
}

/// The document behind so many redirects.
fn hop(name: &str, target: &str, hops: usize) -> PeerReply {
    let at = target.strip_prefix("/hop/").and_then(|at| at.parse().ok()).unwrap_or(0);
    if at == hops { document(name) } else { moved(&format!("/hop/{}", at + 1)) }
}

/// Answers plain HTTP with a document, for whoever does not mind.
async fn plain(ip: Ipv4Addr, document: String) -> Result<()> {
    let door = net::TcpListener::bind((ip, DEAD)).await?;
    loop {
        let (mut stream, _) = door.accept().await?;
        let length = document.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all((head + &document).as_bytes()).await?;
    }
}

#[tokio::test]
async fn discovery_follows_no_word_that_is_none() -> Result<()> {
    if !may_serve_web()? {
        return Ok(());
    }
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let asked = WORDS.iter().enumerate().map(async |(at, word)| {
        let name = format!("word{at}.test");
        let options = abroad.town.peer()?.on(&[443, 8448]);
        let IpAddr::V4(ip) = options.ip() else { return Ok(()) };
        abroad.names.add(&name, Record::A(ip));
        let insecure = tokio::spawn(plain(ip, delegation(&name)));
        let peer = options.named(&name, abroad.town.authority().leaf(&[&name])?).start().await?;
        let (reply, called) = (word.reply, name.clone());
        peer.answer(Method::GET, "/", move |request| reply(&called, &request.target()));
        peer.answer(Method::GET, PROFILE, |_| PeerReply::json(&json!({ "displayname": "P" })));
        abroad.profile(&format!("@pia:{name}")).await?;
        let host = peer.request(&Method::GET, PROFILE).await?.host;
        let wanted = if word.followed { format!("{name}:8448") } else { name };
        ensure!(host == wanted, "{}: called as {host} after {:?}", word.what, peer.requests());
        insecure.abort();
        anyhow::Ok(())
    });
    try_join_all(asked).await?;
    abroad.end().await
}

/// While a word is believed, a server is looked for where it was, however often it goes away.
#[tokio::test]
async fn discovery_remembers_to_whom_a_server_has_delegated() -> Result<()> {
    if !may_serve_web()? {
        return Ok(());
    }
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let options = abroad.town.peer()?;
    let place = format!("{}:8448", options.ip());
    let leaf = abroad.town.authority().leaf(&[&options.ip().to_string()])?;
    let mut peer = options.named("far.test", leaf).start().await?;
    peer.answer(Method::POST, "/_matrix/federation/v1/publicRooms", |_| {
        PeerReply::json(&json!({ "chunk": [] }))
    });
    let site = delegating(&abroad, "far.test", &place).await?;
    let path = "/_matrix/client/v3/publicRooms?server=far.test";
    for _ in 0..3 {
        abroad.ann.get(path).await?;
        peer.stop().await;
        let (status, why) = words(abroad.ann.get(path).await)?;
        ensure!(status == 502 && why.contains("reached"), "{status} {why}");
        peer.restart().await?;
    }
    abroad.ann.get(path).await?;
    let asked = times(&site, WELL_KNOWN);
    ensure!(asked == 1, "asked {asked} times");
    abroad.end().await
}

#[tokio::test]
async fn discovery_of_what_stands_for_nothing_is_soon_over() -> Result<()> {
    let Some(abroad) = Abroad::begin(|options| options).await? else { return Ok(()) };
    let target = "gone.test".to_owned();
    let record = Record::Srv { priority: 0, weight: 0, port: 8448, target };
    abroad.names.add("_matrix-fed._tcp.led.test", record);
    let none = Record::Srv { priority: 0, weight: 0, port: 0, target: ".".to_owned() };
    abroad.names.add("_matrix-fed._tcp.off.test", none);
    for (server, why) in [
        ("nobody.test", "nobody.test stands for no address"),
        ("nobody.test:8450", "nobody.test stands for no address"),
        ("led.test", "gone.test stands for no address"),
        ("off.test", "no service"),
        (&*Address::claim()?.server_name(), "refused"),
    ] {
        let begun = Instant::now();
        let (status, said) = words(abroad.profile(&format!("@pia:{server}")).await)?;
        ensure!(status == 502 && said.contains(why), "{server}: {status} {said}");
        ensure!(begun.elapsed() < SOON, "{server}: after {:?}", begun.elapsed());
    }
    abroad.end().await
}

/// A node that may call nobody but the public Internet opens no connection to anything else, in
/// whatever words its address is written.
#[tokio::test]
async fn discovery_leads_to_nothing_private() -> Result<()> {
    let public = |options: wayside_tests::Options| options.without("--allow-private-addresses");
    let Some(abroad) = Abroad::begin(public).await? else { return Ok(()) };
    let address = Address::claim()?;
    let (ip, names) = (address.ip(), &abroad.names);
    let ports = if may_serve_web()? { &[PORT, 8448, 443][..] } else { &[PORT, 8448] };
    let doors: Vec<TcpListener> =
        ports.iter().map(|port| TcpListener::bind((ip, *port))).collect::<Result<_, _>>()?;
    names.add("a.test", Record::A(ip));
    names.add("b.test", Record::Cname("a.test".to_owned()));
    names.add("c.test", Record::Aaaa(ip.to_ipv6_mapped()));
    let service = Record::Srv { priority: 0, weight: 0, port: PORT, target: "a.test".to_owned() };
    names.add("_matrix-fed._tcp.d.test", service.clone());
    names.add("_matrix._tcp.e.test", service);
    // To the web some numbers are addresses; a DNS server that is bribed says that they are names.
    let [_, second, third, fourth] = ip.octets();
    let tail = u32::from_be_bytes([0, second, third, fourth]);
    let numbers = [
        ip.to_bits().to_string(),
        format!("127.{tail}"),
        format!("0x7f.{second}.{third}.{fourth}"),
        format!("0177.{second}.{third}.{fourth}"),
    ];
    for number in &numbers {
        names.add(number, Record::A([8, 8, 8, 8].into()));
    }
    let private = [
        ip.to_string(),
        format!("{ip}:{PORT}"),
        format!("[::ffff:{ip}]:{PORT}"),
        format!("[::{ip}]:{PORT}"),
        "[::1]:8450".to_owned(),
        "a.test".to_owned(),
        format!("a.test:{PORT}"),
        format!("b.test:{PORT}"),
        format!("c.test:{PORT}"),
        "d.test".to_owned(),
        "e.test".to_owned(),
    ];
    let numbers = numbers.iter().map(|number| format!("{number}:{PORT}"));
    let all = private.into_iter().map(|server| (server, "not public"));
    for (server, why) in all.chain(numbers.map(|server| (server, "no address"))) {
        let (status, said) = words(abroad.profile(&format!("@pia:{server}")).await)?;
        ensure!(status == 502 && said.contains(why), "{server}: {status} {said}");
    }
    for door in doors {
        door.set_nonblocking(true)?;
        let came = door.accept();
        let nobody = came.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        ensure!(nobody, "somebody came to {:?}: {came:?}", door.local_addr());
    }
    abroad.end().await
}
