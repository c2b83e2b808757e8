//! Pebble, an authority for tests by those who run Let's Encrypt, as a program, and the way from it to a node.

use std::{
    collections::BTreeMap,
    env, fs,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use anyhow::{Context, Result, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use reqwest::{Certificate, Client, Url};
use serde_json::json;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream, UdpSocket},
    process::{Child, Command},
    sync::watch,
    task::JoinSet,
};
use wayside_tests::skip;

use crate::stage::comes_true;

/// How often pebble is tried on other ports: it takes them by number, and another may be faster.
const TRIES: usize = 5;
/// How much of its log a failing story shows.
const SHOWN_LOG_LINES: usize = 60;

/// The authority. Its process ends with it.
pub(crate) struct Pebble {
    /// Missing once it has been ended.
    child: Option<Child>,
    client: Client,
    log: PathBuf,
    management: Url,
    /// Its directory.
    pub(crate) directory: Url,
    /// The authority of its own certificate, in PEM.
    pub(crate) trust: PathBuf,
    /// The way from it to the node.
    pub(crate) street: Street,
    _names: Names,
}

impl Pebble {
    /// Starts one that gives certificates for so many seconds, or says that there is no such program.
    pub(crate) async fn start(folder: &Path, valid_s: u32) -> Result<Option<Self>> {
        Self::start_for(folder, valid_s, &[]).await
    }

    /// The same for those alone whom it knows by these ids and keys, unless there are none.
    pub(crate) async fn start_for(
        folder: &Path,
        valid_s: u32,
        known: &[(&str, &str)],
    ) -> Result<Option<Self>> {
        let path = env::var_os("PATH").unwrap_or_default();
        if !env::split_paths(&path).any(|folder| folder.join("pebble").is_file()) {
            skip(
                "there is no program `pebble` (the Debian package of that name; make test installs it)",
            )?;
            return Ok(None);
        }
        let folder = folder.join("pebble");
        fs::create_dir(&folder)?;
        let own = OwnCertificate::make(&folder)?;
        let authority = Certificate::from_pem(&fs::read(&own.trust)?)?;
        let client = Client::builder().tls_certs_only([authority]).build()?;
        let (names, street) = (Names::open().await?, Street::open().await?);
        let log = folder.join("log");
        for _ in 0..TRIES {
            let (door, management) = (free_port().await?, free_port().await?);
            let config = folder.join("config.json");
            let settings = json!({ "pebble": {
                "listenAddress": door.to_string(),
                "managementListenAddress": management.to_string(),
                "certificate": own.certificate,
                "privateKey": own.key,
                "httpPort": street.port,
                "tlsPort": street.port,
                "certificateValidityPeriod": valid_s,
                "externalAccountBindingRequired": !known.is_empty(),
                "externalAccountMACKeys": known.iter().copied().collect::<BTreeMap<_, _>>(),
            }});
            fs::write(&config, settings.to_string())?;
            let output = File::create(&log)?;
            let mut child = Command::new("pebble")
                .arg("-config")
                .arg(&config)
                .args(["-dnsserver", &names.address.to_string()])
                // It neither dawdles, nor refuses what is right, nor believes what it has seen before.
                .envs([("PEBBLE_VA_NOSLEEP", "1"), ("PEBBLE_WFE_NONCEREJECT", "0")])
                .env("PEBBLE_AUTHZREUSE", "0")
                .stdin(Stdio::null())
                .stdout(output.try_clone()?)
                .stderr(output)
                .kill_on_drop(true)
                .spawn()
                .context("starting pebble")?;
            let directory = Url::parse(&format!("https://{door}/dir"))?;
            let management = Url::parse(&format!("https://{management}/"))?;
            let root = management.join("roots/0")?;
            let mut ended = false;
            comes_true("pebble answers", async || {
                ended = child.try_wait()?.is_some();
                let answers = async |url: &Url| client.get(url.clone()).send().await.is_ok();
                Ok(ended || (answers(&directory).await && answers(&root).await))
            })
            .await?;
            if !ended {
                let pebble = Self {
                    child: Some(child),
                    client,
                    log,
                    management,
                    directory,
                    trust: own.trust,
                    street,
                    _names: names,
                };
                return Ok(Some(pebble));
            }
        }
        bail!("pebble does not stay:\n{}", fs::read_to_string(&log)?)
    }

    /// A file with the authority of its certificates, in PEM.
    pub(crate) async fn root(&self, folder: &Path) -> Result<PathBuf> {
        let answer = self.client.get(self.management.join("roots/0")?).send().await?;
        let path = folder.join("pebble-root.pem");
        fs::write(&path, answer.error_for_status()?.bytes().await?)?;
        Ok(path)
    }

    /// How many accounts it was asked for, and how many certificates.
    pub(crate) fn asked(&self) -> Result<(usize, usize)> {
        let log = fs::read_to_string(&self.log)?;
        let count = |path: &str| log.matches(&format!("POST {path} -> calling handler")).count();
        Ok((count("/sign-me-up"), count("/order-plz")))
    }

    /// Ends it.
    pub(crate) async fn end(mut self) -> Result<()> {
        let mut child = self.child.take().context("it is ended once")?;
        Ok(child.kill().await?)
    }
}

impl Drop for Pebble {
    /// One that still runs belongs to a story that broke off: the end of its log is shown.
    fn drop(&mut self) {
        if self.child.is_some() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..].join("\n");
            eprintln!("---- log of pebble ----\n{tail}");
        }
    }
}

/// The certificate of an authority's own door, made by an authority of its own.
pub(crate) struct OwnCertificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) trust: PathBuf,
}

impl OwnCertificate {
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let mut authority = CertificateParams::default();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.distinguished_name.push(DnType::CommonName, "of the authority's door");
        let issuer_key = KeyPair::generate()?;
        let made = authority.self_signed(&issuer_key)?;
        let (key, issuer) = (KeyPair::generate()?, Issuer::new(authority, issuer_key));
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let leaf = params.signed_by(&key, &issuer)?;
        let own = Self {
            certificate: folder.join("door.pem"),
            key: folder.join("door.key"),
            trust: folder.join("door-authority.pem"),
        };
        fs::write(&own.certificate, leaf.pem())?;
        fs::write(&own.key, key.serialize_pem())?;
        fs::write(&own.trust, made.pem())?;
        Ok(own)
    }
}

/// The way from an authority to a node: it looks at one port, which leads to whatever door the node
/// has at the time. Who comes while it leads nowhere waits; who comes when it is shut is sent away.
pub(crate) struct Street {
    port: u16,
    leads: Arc<watch::Sender<Leads>>,
    _open: JoinSet<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Leads {
    Nowhere,
    To(SocketAddr),
    Shut,
}

impl Street {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let leads = Arc::new(watch::Sender::new(Leads::Nowhere));
        let known = leads.clone();
        let mut open = JoinSet::new();
        open.spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let mut told = known.subscribe();
                tokio::spawn(async move {
                    let leads = told.wait_for(|leads| *leads != Leads::Nowhere).await;
                    let Ok(Leads::To(door)) = leads.map(|leads| *leads) else { return };
                    if let Ok(mut far) = TcpStream::connect(door).await {
                        let _ended = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Ok(Self { port, leads, _open: open })
    }

    /// From now on it leads to this door.
    pub(crate) fn lead_to(&self, door: &Url) -> Result<()> {
        let address =
            door.socket_addrs(|| None)?.first().copied().context("a door has an address")?;
        self.leads.send_replace(Leads::To(address));
        Ok(())
    }

    /// From now on nobody gets through.
    pub(crate) fn shut(&self) {
        self.leads.send_replace(Leads::Shut);
    }
}

/// A server of the DNS that finds every name on this machine.
struct Names {
    address: SocketAddr,
    _open: JoinSet<()>,
}

impl Names {
    async fn open() -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = socket.local_addr()?;
        let mut open = JoinSet::new();
        open.spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut question).await {
                if let Some(answer) = answer(&question[..length]) {
                    let _lost = socket.send_to(&answer, peer).await;
                }
            }
        });
        Ok(Self { address, _open: open })
    }
}

/// The answer to a question of the DNS (RFC 1035, 4): 127.0.0.1 to who asks for an IPv4 address, and
/// nothing to all others.
fn answer(asked: &[u8]) -> Option<Vec<u8>> {
    const HEAD: usize = 12;
    let name_bytes = asked.get(HEAD..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = asked.get(HEAD..HEAD + name_bytes + 4)?;
    let wants_v4 = question[name_bytes..] == [0, 1, 0, 1];
    let mut answer = asked[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(wants_v4), 0, 0, 0, 0]);
    answer.extend(question);
    if wants_v4 {
        // The name that was asked for, IPv4, for no time at all.
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

/// A port of this machine that nobody had a moment ago.
async fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?)
}
