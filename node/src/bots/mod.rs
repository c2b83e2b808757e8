//! People without a head: guests of a node who walk about in one of its worlds, for load and tests.
//!
//! They come in as everybody does, by a guest's link, and speak the real-time protocol; each walks
//! where the scene lets it. What they saw of each other is told at the end.

mod walker;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures_util::{SinkExt, StreamExt};

use serde_json::{Value, json};
use tokio::{
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};
use wayside_world::{
    realtime::{FromClient, FromNode, Pose, TICK_HZ, VERSION},
    scene::Scene,
};

use self::walker::Walker;
use crate::{
    clock::Clock,
    outbound::{Method, Outbound, escaped},
};

/// How long coming in may take.
const COMING_IN: Duration = Duration::from_secs(30);

/// What bots shall do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The node's address.
    pub url: String,
    /// The world's alias or id; the node's first without one.
    pub world: Option<String>,
    /// A link for guests, or the text at its end; a node with open registration needs none.
    pub invitation: Option<String>,
    /// How many come.
    pub count: usize,
    /// For how long they stay.
    pub lasts: Duration,
    /// A further authority to trust.
    pub trust: Option<std::path::PathBuf>,
}

/// What the bots saw, all together.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Bots that stayed to the end.
    pub stayed: u64,
    /// Bytes of frames that came.
    pub bytes: u64,
    /// Snapshots that came.
    pub snapshots: u64,
    /// Poses of others in them.
    pub poses: u64,
    /// Times that the node did not believe where a bot was.
    pub corrections: u64,
    /// Seconds of all of them together.
    pub seconds: f64,
}

impl Seen {
    /// As JSON, for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "stayed": self.stayed, "bytes": self.bytes, "snapshots": self.snapshots,
            "poses": self.poses, "corrections": self.corrections, "seconds": self.seconds,
        })
    }
}

/// Sends bots to a world and tells what they saw.
pub async fn run(plan: &Plan, clock: Clock) -> anyhow::Result<Seen> {
    let outbound = Outbound::to(&plan.url, plan.trust.as_deref())?;
    let about = outbound.json(Method::GET, "/_wayside/v1/node", None, None).await?;
    let first = about["default_world"].as_str().map(str::to_owned);
    let world = plan.world.clone().or(first).context("the node has no world to go to")?;
    let shown = outbound.json(Method::GET, &world_path(&world, ""), None, None).await?;
    let scene = shown["scene"]["url"].as_str().context("the world has no scene")?;
    let scene = Arc::new(Scene::read(&outbound.bytes(scene).await?)?);
    let mut bots = JoinSet::new();
    for number in 0..plan.count {
        let (outbound, plan, world, scene) =
            (outbound.clone(), plan.clone(), world.clone(), scene.clone());
        bots.spawn(async move { bot(number, &outbound, &plan, &world, &scene, clock).await });
    }
    let mut seen = Seen::default();
    while let Some(done) = bots.join_next().await {
        let one = done.context("a bot broke off")??;
        seen.stayed += one.stayed;
        seen.bytes += one.bytes;
        seen.snapshots += one.snapshots;
        seen.poses += one.poses;
        seen.corrections += one.corrections;
        seen.seconds += one.seconds;
    }
    Ok(seen)
}

async fn bot(
    number: usize,
    outbound: &Outbound,
    plan: &Plan,
    world: &str,
    scene: &Scene,
    clock: Clock,
) -> anyhow::Result<Seen> {
    let coming = come_in(number, outbound, plan, world);
    let mut socket = timeout(COMING_IN, coming).await.context("coming in took too long")??;
    let pose = welcomed(&mut socket).await?;
    let mut walker = Walker::new(pose, u64::try_from(number).unwrap_or(0));
    let begun = clock.instant();
    let mut seen = Seen::default();
    let mut ticks = interval(Duration::from_secs(1) / u32::from(TICK_HZ));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while begun.elapsed() < plan.lasts {
        tokio::select! {
            _ = ticks.tick() => {
                let frame = walker.step(scene).bytes();
                socket.send(Message::Binary(frame)).await.context("the connection broke off")?;
            }
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => note(&mut seen, &mut walker, &bytes)?,
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error).context("the connection broke off"),
                None => bail!("the node closed the connection"),
            },
        }
    }
    seen.seconds = begun.elapsed().as_secs_f64();
    seen.stayed = 1;
    socket.send(Message::Binary(FromClient::Go.bytes())).await?;
    Ok(seen)
}

fn note(seen: &mut Seen, walker: &mut Walker, bytes: &[u8]) -> anyhow::Result<()> {
    seen.bytes += bytes.len() as u64;
    match FromNode::read(bytes)? {
        FromNode::Snapshot { bodies, .. } => {
            seen.snapshots += 1;
            seen.poses += bodies.len() as u64;
        }
        FromNode::Correction { pose, .. } => {
            seen.corrections += 1;
            walker.put_back(pose);
        }
        FromNode::Bye { reason, .. } => bail!("the node ended the visit: {reason:?}"),
        _ => {}
    }
    Ok(())
}

/// Makes a guest, asks for a visit and connects.
async fn come_in(
    number: usize,
    outbound: &Outbound,
    plan: &Plan,
    world: &str,
) -> anyhow::Result<WebSocketStream<Line>> {
    let invitation = plan.invitation.as_deref().and_then(|link| link.rsplit('/').next());
    let mut wish = json!({ "initial_device_display_name": "bot" });
    if let Some(invitation) = invitation {
        wish["auth"] = json!({ "type": "m.login.registration_token", "token": invitation });
    }
    let path = "/_matrix/client/v3/register?kind=guest";
    let guest = outbound.json(Method::POST, path, None, Some(&wish)).await?;
    let token = guest["access_token"].as_str().context("the guest got no token")?;
    let user_id = guest["user_id"].as_str().context("the guest got no name")?;
    let path = format!("/_matrix/client/v3/profile/{}/displayname", escaped(user_id));
    let name = json!({ "displayname": format!("Bot {}", number + 1) });
    outbound.json(Method::PUT, &path, Some(token), Some(&name)).await?;
    let path = world_path(world, "/visits");
    let granted = outbound.json(Method::POST, &path, Some(token), Some(&json!({}))).await?;
    let ticket = granted["ticket"].as_str().context("the visit got no ticket")?;
    let at = granted["transports"][0]["url"].as_str().context("no transport is offered")?;
    let mut socket = connect(outbound, at, plan.trust.as_deref()).await?;
    let hello = FromClient::Hello { version: VERSION, ticket: ticket.to_owned() };
    socket.send(Message::Binary(hello.bytes())).await?;
    Ok(socket)
}

async fn welcomed(socket: &mut WebSocketStream<Line>) -> anyhow::Result<Pose> {
    while let Some(message) = timeout(COMING_IN, socket.next()).await? {
        let Message::Binary(bytes) = message? else { continue };
        match FromNode::read(&bytes)? {
            FromNode::Welcome { pose, .. } => return Ok(pose),
            FromNode::Bye { reason, .. } => bail!("the node refused the visit: {reason:?}"),
            _ => {}
        }
    }
    bail!("the node closed the connection")
}

/// A connection, encrypted or not.
type Line = Box<dyn Both>;

trait Both: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send> Both for T {}

async fn connect(
    outbound: &Outbound,
    at: &str,
    trust: Option<&Path>,
) -> anyhow::Result<WebSocketStream<Line>> {
    let mut url = outbound.base().join(at)?;
    let host = url.host_str().context("the address has no host")?.to_owned();
    let port = url.port_or_known_default().context("the address has no port")?;
    let secure = matches!(url.scheme(), "https" | "wss");
    let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
    stream.set_nodelay(true)?;
    let line: Line = if secure {
        let name = rustls::pki_types::ServerName::try_from(host)?;
        let connector = TlsConnector::from(Arc::new(tls(trust)?));
        Box::new(connector.connect(name, stream).await?)
    } else {
        Box::new(stream)
    };
    let scheme = if secure { "wss" } else { "ws" };
    url.set_scheme(scheme).map_err(|()| anyhow::anyhow!("{url} cannot be a WebSocket"))?;
    Ok(client_async(url.as_str(), line).await?.0)
}

fn tls(trust: Option<&Path>) -> anyhow::Result<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    if let Some(trust) = trust {
        for certificate in rustls::pki_types::CertificateDer::pem_file_iter(trust)? {
            roots.add(certificate?)?;
        }
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

fn world_path(world: &str, behind: &str) -> String {
    format!("/_wayside/v1/worlds/{}{behind}", escaped(world))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_becomes_part_of_a_path() {
        let path = world_path("#plaza:a.test", "/visits");
        assert_eq!(path, "/_wayside/v1/worlds/%23plaza%3Aa.test/visits");
    }
}
