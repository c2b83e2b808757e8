//! Every setting of a node: one struct, from which the flags, the environment and the example file come.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs, io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::Uri;
use lettre::{Address, AsyncSmtpTransport, Tokio1Executor, message::Mailbox};
use ruma::{OwnedRoomOrAliasId, OwnedServerName, OwnedUserId};
use serde::Deserialize;
use toml::{Table, Value};
use url::Url;
use wayside_identity::badge::Ask;

/// Most names of one certificate that is asked for by ACME.
const CERTIFICATE_NAMES: usize = 25;
/// Most letters of the id under which an authority knows the operator.
const KEY_ID_CHARS: usize = 255;
/// Least bytes of the key that goes with it: fewer are guessed.
const HMAC_BYTES: usize = 16;

/// Who may make an account without being an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anybody who can reach the node.
    Open,
    /// Holders of an invitation.
    #[default]
    Token,
    /// Nobody but those for whom the operator does it, by `wayside user add` or `wayside invite`.
    Closed,
}

/// Which people of other nodes may visit the worlds here that are for everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visitors {
    /// Whoever shows who they are.
    #[default]
    Open,
    /// Those who live on the nodes that are listed.
    Nodes,
    /// Those who show something of what is asked for.
    Credentials,
    /// Those alone who are invited to a world.
    Invited,
}

impl Visitors {
    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Nodes => "nodes",
            Self::Credentials => "credentials",
            Self::Invited => "invited",
        }
    }

    /// The one that is written so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let all = [Self::Open, Self::Nodes, Self::Credentials, Self::Invited];
        all.into_iter().find(|it| it.name() == name)
    }
}

/// How log lines are written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// How a value is written on the command line and in the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Present or absent; `true` or `false` in the environment.
    Flag,
    /// A whole number.
    Number,
    /// Texts parted by commas.
    List,
}

/// One key of the configuration, as the example file, the flags and the environment show it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name in `wayside.toml`.
    pub name: &'static str,
    /// What it means, line by line.
    pub doc: &'static [&'static str],
    /// The value in the example file, in TOML.
    pub example: &'static str,
    /// How its value is written as text.
    pub kind: Kind,
}

impl Key {
    /// `WAYSIDE_<KEY>`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("WAYSIDE_{}", self.name.to_uppercase())
    }

    /// `--key` without its dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }
}

macro_rules! settings {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr, $kind:ident $example:literal;)+) => {
        /// The settings of a node, after file, environment and flags have been laid over each other.
        #[derive(Clone, Debug, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct Config {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// All keys, in the order of the example file.
        pub const KEYS: &[Key] = &[
            $(Key { name: stringify!($name), doc: &[$($doc),+], example: $example, kind: Kind::$kind },)+
        ];
    };
}

settings! {
    /// The folder of everything that this node keeps.
    data: PathBuf = PathBuf::from("wayside-data"), Text "\"wayside-data\"";
    /// The name of this node in every user id and room id, for ever; `wayside init NAME` sets it.
    /// Without it the node is a try-out that nobody outside this machine can reach by name.
    server_name: Option<OwnedServerName> = None, Text "\"example.org\"";
    /// Address and port of plain HTTP. From other machines it only points to HTTPS.
    http: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8008)), Text "\"0.0.0.0:8008\"";
    /// Address and port of HTTPS for clients and browsers.
    https: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8443)), Text "\"0.0.0.0:8443\"";
    /// Address and port on which other servers reach this node.
    federation: SocketAddr = SocketAddr::from(([0, 0, 0, 0], 8448)), Text "\"0.0.0.0:8448\"";
    /// The address that people type, if a proxy or another port stands before this node.
    public_url: Option<String> = None, Text "\"https://example.org\"";
    /// Certificate chain in PEM, read again when it changes; without it the node's own authority
    /// makes one.
    tls_cert: Option<PathBuf> = None, Text "\"/etc/wayside/cert.pem\"";
    /// Private key of the certificate, in PEM, read again when it changes.
    tls_key: Option<PathBuf> = None, Text "\"/etc/wayside/key.pem\"";
    /// The ACME directory of an authority that gives certificates, instead of `tls_cert`. It looks at
    /// port 443 of each name, which must lead to the HTTPS of this node (TLS-ALPN-01).
    acme_directory: Option<String> = None, Text "\"https://acme-v02.api.letsencrypt.org/directory\"";
    /// Whether you agree to the terms of service of that authority: none gives certificates without.
    acme_accept_terms: bool = false, Flag "false";
    /// Where that authority reaches you by mail.
    acme_contact: Option<String> = None, Text "\"admin@example.org\"";
    /// The id under which that authority knows you already, if it gives certificates only to those whom it
    /// does (external account binding); `acme_eab_hmac_key` belongs to it.
    acme_eab_key_id: Option<String> = None, Text "\"kid-1\"";
    /// The key that goes with that id, in base64 as the authority shows it.
    acme_eab_hmac_key: Option<String> = None, Text "\"a key of that authority\"";
    /// The names in that certificate; without them the host of `server_name` and that of `public_url`.
    acme_names: Vec<String> = Vec::new(), List "[]";
    /// A further authority in PEM that this node trusts when it calls other servers.
    trust_ca: Option<PathBuf> = None, Text "\"/etc/wayside/ca.pem\"";
    /// Let this node call private and loopback addresses; for tests and closed networks only.
    allow_private_addresses: bool = false, Flag "false";
    /// DNS servers to ask in place of those of this machine, such as `192.0.2.53` or `192.0.2.53:5353`.
    dns_servers: Vec<DnsServer> = Vec::new(), List "[]";
    /// Host and port at which other servers reach this node, if that is not the port of `federation`
    /// at the server name; they learn it from `/.well-known/matrix/server`.
    federation_address: Option<OwnedServerName> = None, Text "\"matrix.example.org:443\"";
    /// Meet these servers and no others; `*` and `?` stand for any letters and for one. Without any,
    /// all are met.
    federate_only_with: Vec<String> = Vec::new(), List "[]";
    /// Meet none of these servers.
    never_federate_with: Vec<String> = Vec::new(), List "[]";
    /// Servers whose word on the keys of others is believed when those cannot be reached.
    key_notaries: Vec<OwnedServerName> = Vec::new(), List "[]";
    /// Proxies whose `X-Forwarded-For` is believed, as IP addresses.
    trusted_proxies: Vec<IpAddr> = Vec::new(), List "[]";
    /// Who may make an account: open, token or closed.
    registration: Registration = Registration::Token, Text "\"token\"";
    /// Which people of other nodes may visit the worlds here that are for everybody: open (whoever shows who
    /// they are), nodes (those of `visitor_nodes`), credentials (whoever shows one of `visitors_ask`) or invited
    /// (those alone who are invited to a world).
    visitors: Visitors = Visitors::Open, Text "\"open\"";
    /// The nodes whose people may visit, by their server names, where `visitors` says nodes.
    visitor_nodes: Vec<OwnedServerName> = Vec::new(), List "[]";
    /// What visitors show one of, where `visitors` says credentials: "badge ID", "age GROUP", "role ROLE" or "home",
    /// and behind it the DID of whose word it has to be (this node's without one); of an age also how it is known.
    visitors_ask: Vec<Ask> = Vec::new(), List "[\"badge friend-of-the-house\"]";
    /// Ban lists to which all worlds here keep: rooms of Matrix with rules (`m.policy.rule.*`), by alias or id.
    ban_lists: Vec<OwnedRoomOrAliasId> = Vec::new(), List "[]";
    /// `postgres://user@host/name` to keep facts in PostgreSQL; SQLite in the data folder without it.
    database: Option<String> = None, Text "\"postgres://wayside@localhost/wayside\"";
    /// Switch the limits on how often one may ask off; for tests and measurements only.
    no_rate_limit: bool = false, Flag "false";
    /// Most connections open at once; further ones are closed at once.
    max_connections: usize = 16_384, Number "16384";
    /// Most of them from one IPv4 address or one /64 of IPv6; this machine itself and trusted
    /// proxies may have more.
    max_connections_per_address: usize = 512, Number "512";
    /// Largest uploaded file in bytes.
    max_upload_bytes: u64 = 25 * 1024 * 1024, Number "26214400";
    /// Most bytes of uploads that one account may keep.
    media_quota_bytes: u64 = 2 * 1024 * 1024 * 1024, Number "2147483648";
    /// Largest file of another server that is fetched, in bytes.
    max_remote_file_bytes: u64 = 100 * 1024 * 1024, Number "104857600";
    /// Most bytes that copies of other servers' files take; those that were used least lately go first. Bodies
    /// in which people of other nodes were here take a quarter of that beside it.
    remote_media_bytes: u64 = 4 * 1024 * 1024 * 1024, Number "4294967296";
    /// Days for which what is said in worlds is kept, unless a world's `m.room.retention` says
    /// otherwise; 0 keeps it for ever.
    world_retention_days: u32 = 30, Number "30";
    /// The same for all other rooms.
    retention_days: u32 = 0, Number "0";
    /// Fetch pages that people link to, so that their clients can show what they are about.
    url_previews: bool = false, Flag "false";
    /// The server to which this node hands mail, such as `smtps://name:password@mail.example.org`, or
    /// `smtp://mail.example.org?tls=required`; without it no mail is sent.
    smtp: Option<String> = None, Text "\"smtps://name:password@mail.example.org\"";
    /// Whom its mail is from.
    mail_from: Option<String> = None, Text "\"Example <wayside@example.org>\"";
    /// Make a first world, the plaza, when a node starts for the first time.
    first_world: bool = true, Flag "true";
    /// Threads on which worlds run; 0 takes half of the processor's, and at least one.
    world_threads: usize = 0, Number "0";
    /// TURN servers that help calls through firewalls, such as `turn:turn.example.org:3478`.
    turn_uris: Vec<String> = Vec::new(), List "[]";
    /// The secret that these servers have in common with this node (coturn's `static-auth-secret`).
    turn_secret: Option<String> = None, Text "\"a long secret\"";
    /// Where people reach whoever runs this node, by mail.
    support_email: Option<String> = None, Text "\"admin@example.org\"";
    /// The same by Matrix.
    support_matrix_id: Option<OwnedUserId> = None, Text "\"@admin:example.org\"";
    /// A page that helps people with this node.
    support_page: Option<String> = None, Text "\"https://example.org/help\"";
    /// The secret in common with tools that make accounts by Synapse's admin API; none may without it.
    registration_shared_secret: Option<String> = None, Text "\"a long secret of your own\"";
    /// Registration files of application services, such as bridges.
    app_services: Vec<PathBuf> = Vec::new(), List "[]";
    /// Files that describe where people may sign in who have an account elsewhere (`OpenID` Connect).
    identity_providers: Vec<PathBuf> = Vec::new(), List "[]";
    /// What to log, for example `info` or `wayside=debug,info`.
    log: String = "info".to_owned(), Text "\"info\"";
    /// How to log: text or json.
    log_format: LogFormat = LogFormat::Text, Text "\"text\"";
}

/// The address of a DNS server, with a port where it is not the usual one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum DnsServer {
    /// With a port.
    At(SocketAddr),
    /// Without.
    On(IpAddr),
}

/// The port of DNS.
const DNS_PORT: u16 = 53;

/// Why the settings could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is there but cannot be read.
    #[error("reading the configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML, has an unknown key or a value of the wrong type.
    #[error("the configuration file {path} is not right: {message}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        message: String,
    },
    /// A flag or variable has a value that does not fit.
    #[error("the value {value:?} given by {origin} is not right: {message}")]
    Value {
        /// The flag or variable.
        origin: String,
        /// What was given.
        value: String,
        /// What would be right.
        message: String,
    },
    /// Two settings contradict each other.
    #[error("{0}")]
    Contradiction(String),
}

/// The name of the file inside the data folder.
pub const FILE_NAME: &str = "wayside.toml";

impl Config {
    /// Lays the file, `WAYSIDE_*` and the flags over the defaults; later ones win.
    ///
    /// `flags` holds the texts given on the command line by key name.
    pub fn load(flags: &[(&'static str, String)]) -> Result<Self, ConfigError> {
        let mut given = BTreeMap::new();
        for variable in KEYS.iter().map(Key::variable) {
            match env::var(&variable) {
                Ok(value) => drop(given.insert(variable, value)),
                Err(env::VarError::NotPresent) => {}
                Err(env::VarError::NotUnicode(value)) => {
                    let value = value.to_string_lossy().into_owned();
                    let message = "it is no UTF-8".to_owned();
                    return Err(ConfigError::Value { origin: variable, value, message });
                }
            }
        }
        Self::layer(flags, |key| {
            given.get(&key.variable()).map(|value| (key.variable(), value.clone()))
        })
    }

    fn layer(
        flags: &[(&'static str, String)],
        environment: impl Fn(&Key) -> Option<(String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut over = Table::new();
        for key in KEYS {
            let flag = flags.iter().find(|(name, _)| *name == key.name);
            let given = flag
                .map(|(_, value)| (format!("--{}", key.flag()), value.clone()))
                .or_else(|| environment(key));
            if let Some((origin, text)) = given {
                let value = parse(key, &origin, &text)?;
                over.insert(key.name.to_owned(), value);
            }
        }
        let data = over
            .get("data")
            .and_then(Value::as_str)
            .map_or_else(|| Self::default().data, PathBuf::from);
        let mut table = read_file(&data.join(FILE_NAME))?;
        table.extend(over);
        table.insert("data".to_owned(), Value::String(data.display().to_string()));
        let config: Self = table.try_into().map_err(|error: toml::de::Error| {
            ConfigError::Contradiction(format!("reading the settings: {}", error.message()))
        })?;
        config.check()
    }

    /// The DNS servers to ask; none for those of the machine.
    #[must_use]
    pub fn dns_servers(&self) -> Vec<SocketAddr> {
        let at = |server: &DnsServer| match *server {
            DnsServer::At(address) => address,
            DnsServer::On(address) => SocketAddr::new(address, DNS_PORT),
        };
        self.dns_servers.iter().map(at).collect()
    }

    fn check(self) -> Result<Self, ConfigError> {
        if self.tls_cert.is_some() != self.tls_key.is_some() {
            let message = "tls_cert and tls_key belong together: give both or neither";
            return Err(ConfigError::Contradiction(message.to_owned()));
        }
        if self.turn_uris.is_empty() != self.turn_secret.as_ref().is_none_or(String::is_empty) {
            let message = "turn_uris and turn_secret belong together: give both or neither";
            return Err(ConfigError::Contradiction(message.to_owned()));
        }
        let is_turn = |uri: &String| uri.starts_with("turn:") || uri.starts_with("turns:");
        if !self.turn_uris.iter().all(is_turn) {
            let message =
                "turn_uris begin with turn: or turns:, as turn:turn.example.org:3478 does";
            return Err(ConfigError::Contradiction(message.to_owned()));
        }
        if self.registration_shared_secret.as_ref().is_some_and(|it| it.chars().count() < 16) {
            let message = "registration_shared_secret has at least 16 characters: whoever guesses it \
                           makes operators; leave it out to let no tool make accounts";
            return Err(ConfigError::Contradiction(message.to_owned()));
        }
        let counts = [
            ("max_connections", self.max_connections == 0),
            ("max_connections_per_address", self.max_connections_per_address == 0),
            ("max_upload_bytes", self.max_upload_bytes == 0),
            ("max_remote_file_bytes", self.max_remote_file_bytes == 0),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, is_none)| *is_none) {
            return Err(ConfigError::Contradiction(format!("{name} must be at least 1")));
        }
        if self.remote_media_bytes < self.max_remote_file_bytes {
            let message = "remote_media_bytes must be at least max_remote_file_bytes: one file that was \
                           fetched is kept while it is sent";
            return Err(ConfigError::Contradiction(message.to_owned()));
        }
        if let Some(database) = &self.database
            && !database.starts_with("postgres://")
            && !database.starts_with("postgresql://")
        {
            let message = "database must be a postgres:// URL; leave it out for SQLite";
            return Err(ConfigError::Contradiction(message.to_owned()));
        }
        if let Some(url) = &self.public_url
            && !is_address(url)
        {
            let message = "public_url must be an address such as https://example.org, with \
                           https:// or http:// before it and nothing like ? or # behind";
            return Err(ConfigError::Contradiction(message.to_owned()));
        }
        self.check_mail()?;
        self.check_acme()?;
        Ok(self)
    }

    /// The names of the certificate that is asked for by ACME, each once, in lower case.
    #[must_use]
    pub fn certificate_names(&self) -> Vec<String> {
        let mut names: Vec<String> = if self.acme_names.is_empty() {
            let url = self.public_url.as_deref().and_then(|url| Url::parse(url).ok());
            let server = self.server_name.as_ref().map(|it| it.host().to_ascii_lowercase());
            let public = url.and_then(|url| url.host_str().map(str::to_owned));
            // What is no name of the DNS has no certificate, and needs none to be a server's name.
            server.into_iter().chain(public).filter(|name| is_dns_name(name)).collect()
        } else {
            self.acme_names.iter().map(|name| name.to_ascii_lowercase()).collect()
        };
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        names
    }

    fn check_acme(&self) -> Result<(), ConfigError> {
        let wrong = |message: String| Err(ConfigError::Contradiction(message));
        let Some(directory) = &self.acme_directory else {
            let beside = [
                ("acme_accept_terms", self.acme_accept_terms),
                ("acme_contact", self.acme_contact.is_some()),
                ("acme_eab_key_id", self.acme_eab_key_id.is_some()),
                ("acme_eab_hmac_key", self.acme_eab_hmac_key.is_some()),
                ("acme_names", !self.acme_names.is_empty()),
            ];
            return match beside.into_iter().find(|(_, is_given)| *is_given) {
                Some((name, _)) => wrong(format!(
                    "{name} belongs to acme_directory: name the directory, or leave both out"
                )),
                None => Ok(()),
            };
        };
        if self.tls_cert.is_some() {
            return wrong(
                "tls_cert and acme_directory exclude each other: give the certificate \
                          that you have, or the directory that gives one"
                    .to_owned(),
            );
        }
        if !is_directory(directory) {
            return wrong(
                "acme_directory must be the https:// address of an ACME directory, such \
                          as https://acme-v02.api.letsencrypt.org/directory"
                    .to_owned(),
            );
        }
        if !self.acme_accept_terms {
            return wrong(
                "acme_accept_terms must be true: read the terms of service of the \
                          authority that acme_directory names, and agree to them by it"
                    .to_owned(),
            );
        }
        if self.acme_contact.as_ref().is_some_and(|it| it.parse::<Address>().is_err()) {
            return wrong(
                "acme_contact must be a mail address such as admin@example.org".to_owned(),
            );
        }
        self.check_acme_binding()?;
        let names = self.certificate_names();
        if let Some(name) = names.iter().find(|name| !is_dns_name(name)) {
            return wrong(format!(
                "acme_names must be names of the DNS such as example.org, and {name:?} is none: \
                 addresses, wildcards and localhost cannot be proven by TLS-ALPN-01"
            ));
        }
        if names.is_empty() {
            return wrong(
                "acme_directory needs a name to give a certificate for: set server_name, \
                          or list acme_names"
                    .to_owned(),
            );
        }
        if names.len() > CERTIFICATE_NAMES {
            return wrong(format!("acme_names must be at most {CERTIFICATE_NAMES}"));
        }
        Ok(())
    }

    fn check_acme_binding(&self) -> Result<(), ConfigError> {
        let wrong = |message: &str| Err(ConfigError::Contradiction(message.to_owned()));
        if self.acme_eab_key_id.is_some() != self.acme_eab_hmac_key.is_some() {
            return wrong(
                "acme_eab_key_id and acme_eab_hmac_key belong together: give both or neither",
            );
        }
        let is_id = |id: &String| (1..=KEY_ID_CHARS).contains(&id.chars().count());
        if !self.acme_eab_key_id.as_ref().is_none_or(is_id) {
            return wrong("acme_eab_key_id must be the id that the authority gave you");
        }
        if self.acme_eab_hmac_key.is_some() && self.acme_binding().is_none() {
            // What stands there is a secret, and is not repeated.
            return wrong(
                "acme_eab_hmac_key must be the key that the authority gave you, in base64 and of at \
                 least 16 bytes",
            );
        }
        Ok(())
    }

    /// The id under which an authority knows the operator, and the key that goes with it.
    #[must_use]
    pub fn acme_binding(&self) -> Option<(String, Vec<u8>)> {
        let (id, key) = (self.acme_eab_key_id.clone()?, self.acme_eab_hmac_key.as_ref()?);
        // Authorities show it in either alphabet, padded or not.
        let plain = key.trim_end_matches('=').replace('+', "-").replace('/', "_");
        let key = URL_SAFE_NO_PAD.decode(plain).ok()?;
        (key.len() >= HMAC_BYTES).then_some((id, key))
    }

    fn check_mail(&self) -> Result<(), ConfigError> {
        let wrong = |message: &str| Err(ConfigError::Contradiction(message.to_owned()));
        let (smtp, from) = match (&self.smtp, &self.mail_from) {
            (Some(smtp), Some(from)) => (smtp, from),
            (None, None) => return Ok(()),
            _ => return wrong("smtp and mail_from belong together: give both or neither"),
        };
        if AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp).is_err() {
            return wrong("smtp must be an address such as smtps://name:password@mail.example.org");
        }
        if from.parse::<Mailbox>().is_err() {
            return wrong("mail_from must be an address such as Example <wayside@example.org>");
        }
        Ok(())
    }
}

/// The example file, made from the doc comments of [`Config`].
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Settings of a Wayside node. Each line shows a key with an example or its default;\n\
         # remove the leading # to set it. WAYSIDE_<KEY> and --key win over this file.\n",
    );
    for key in KEYS {
        text.push('\n');
        for line in key.doc {
            text.push_str("##");
            text.push_str(line);
            text.push('\n');
        }
        text.extend(["#", key.name, " = ", key.example, "\n"]);
    }
    text
}

/// Whether links can be made of a text by writing their paths behind it.
fn is_address(text: &str) -> bool {
    let has_host = |uri: &Uri| uri.host().is_some_and(|host| !host.is_empty());
    (text.starts_with("https://") || text.starts_with("http://"))
        && !text.contains(['?', '#'])
        && text.parse::<Uri>().is_ok_and(|uri| has_host(&uri))
}

/// Whether a text is an address of an ACME directory, without a password that logs would show.
fn is_directory(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    })
}

/// Whether a text is a name that an authority can look up (RFC 1035, 2.3.1).
fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253
        && text.split('.').all(is_label)
        // The last label of an address is a number, and localhost is a machine's own (RFC 6761).
        && !last.bytes().all(|byte| byte.is_ascii_digit())
        && last != "localhost"
}

fn parse(key: &Key, origin: &str, text: &str) -> Result<Value, ConfigError> {
    let wrong = |message: &str| ConfigError::Value {
        origin: origin.to_owned(),
        value: text.to_owned(),
        message: message.to_owned(),
    };
    let value = match key.kind {
        Kind::Text => Value::String(text.to_owned()),
        Kind::Flag => Value::Boolean(text.parse().map_err(|_| wrong("true or false is"))?),
        Kind::Number => Value::Integer(text.parse().map_err(|_| wrong("a whole number is"))?),
        Kind::List => Value::Array(
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Value::String(part.to_owned()))
                .collect(),
        ),
    };
    // One key alone is tried at once, so that the error names the flag or variable it came from.
    let alone = Table::from_iter([(key.name.to_owned(), value.clone())]);
    match alone.try_into::<Config>() {
        Ok(_) => Ok(value),
        Err(error) => Err(wrong(error.message())),
    }
}

fn read_file(path: &Path) -> Result<Table, ConfigError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Table::new()),
        Err(source) => return Err(ConfigError::Read { path: path.to_owned(), source }),
    };
    let wrong = |error: toml::de::Error| ConfigError::File {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    };
    toml::from_str::<Config>(&text).map_err(wrong)?;
    toml::from_str(&text).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: &str, flags: &[(&'static str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE_NAME), file).unwrap();
        let mut all = vec![("data", folder.path().display().to_string())];
        all.extend(flags.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Config::layer(&all, |key| {
            (key.name == "log").then(|| ("WAYSIDE_LOG".to_owned(), "debug".to_owned()))
        })
    }

    #[test]
    fn flags_win_over_the_environment_and_the_environment_over_the_file() {
        let file = "log = \"warn\"\nserver_name = \"a.test\"\nregistration = \"open\"\n";
        let config = load(file, &[("registration", "closed")]).unwrap();
        assert_eq!(config.log, "debug");
        assert_eq!(config.registration, Registration::Closed);
        assert_eq!(config.server_name.unwrap(), "a.test");
    }

    #[test]
    fn an_unknown_key_or_a_wrong_type_is_refused_by_name() {
        let unknown = load("sever_name = \"a.test\"\n", &[]).unwrap_err().to_string();
        assert!(unknown.contains("sever_name"), "{unknown}");
        let wrong = load("max_upload_bytes = \"many\"\n", &[]).unwrap_err().to_string();
        assert!(wrong.contains("max_upload_bytes"), "{wrong}");
        let flag = load("", &[("http", "nowhere")]).unwrap_err().to_string();
        assert!(flag.contains("--http") && flag.contains("nowhere"), "{flag}");
        let unsure = load("", &[("url_previews", "perhaps")]).unwrap_err().to_string();
        assert!(unsure.contains("--url-previews") && unsure.contains("perhaps"), "{unsure}");
        for (file, why) in [
            ("smtp = \"smtp://a.test\"\n", "smtp and mail_from"),
            ("mail_from = \"a@a.test\"\n", "smtp and mail_from"),
            ("smtp = \"http://a.test\"\nmail_from = \"a@a.test\"\n", "smtp must"),
            ("smtp = \"a.test\"\nmail_from = \"a@a.test\"\n", "smtp must"),
            ("smtp = \"smtp://a.test\"\nmail_from = \"nobody\"\n", "mail_from must"),
        ] {
            let wrong = load(file, &[]).unwrap_err().to_string();
            assert!(wrong.starts_with(why), "{file}: {wrong}");
        }
        let both = "smtp = \"smtps://a:b@a.test:465\"\nmail_from = \"A <a@a.test>\"\n";
        assert!(load(both, &[]).is_ok());
        let half = load("tls_cert = \"x.pem\"\n", &[]).unwrap_err().to_string();
        assert!(half.contains("tls_key"), "{half}");
        for wrong in ["example.org", "https://", "https:///x", "https://a b", "https://a.test/?x"] {
            let url = load("", &[("public_url", wrong)]).unwrap_err().to_string();
            assert!(url.starts_with("public_url must"), "{wrong}: {url}");
        }
        let lone = load("turn_uris = [\"turn:a.test\"]\n", &[]).unwrap_err().to_string();
        assert!(lone.contains("turn_secret"), "{lone}");
        let wrong = load("turn_uris = [\"a.test\"]\nturn_secret = \"s\"\n", &[]).unwrap_err();
        assert!(wrong.to_string().contains("turns:"), "{wrong}");
        let short =
            load("registration_shared_secret = \"guessed\"\n", &[]).unwrap_err().to_string();
        assert!(short.starts_with("registration_shared_secret has"), "{short}");
        for right in ["https://a.test", "http://a.test:8008/", "https://[::1]:8443/below"] {
            assert!(load("", &[("public_url", right)]).is_ok(), "{right}");
        }
        let smaller = load("max_remote_file_bytes = 2\nremote_media_bytes = 1\n", &[]);
        let smaller = smaller.unwrap_err().to_string();
        assert!(smaller.contains("remote_media_bytes"), "{smaller}");
        for name in [
            "max_connections",
            "max_connections_per_address",
            "max_upload_bytes",
            "max_remote_file_bytes",
        ] {
            let none = load("", &[(name, "0")]).unwrap_err().to_string();
            assert!(none.starts_with(&format!("{name} must")), "{none}");
            let less = load(&format!("{name} = -1\n"), &[]).unwrap_err().to_string();
            assert!(less.contains(name), "{less}");
        }
    }

    #[test]
    fn certificates_by_acme_want_an_authority_its_terms_and_names() {
        const DIRECTORY: &str = "acme_directory = \"https://ca.test/dir\"\n";
        const AGREED: &str = "acme_accept_terms = true\n";
        const NAME: &str = "server_name = \"A.test:8448\"\n";
        let together = |parts: &[&str]| load(&parts.concat(), &[]);
        let config = together(&[DIRECTORY, AGREED, NAME]).unwrap();
        assert_eq!(config.certificate_names(), ["a.test"]);
        let public = "public_url = \"https://Play.a.test:8443/\"\n";
        let config = together(&[DIRECTORY, AGREED, NAME, public]).unwrap();
        assert_eq!(config.certificate_names(), ["a.test", "play.a.test"]);
        let names = "acme_names = [\"b.test\", \"B.test\", \"c.test\"]\n";
        let config = together(&[DIRECTORY, AGREED, NAME, names]).unwrap();
        assert_eq!(config.certificate_names(), ["b.test", "c.test"]);
        let contact = "acme_contact = \"me@a.test\"\n";
        assert!(together(&[DIRECTORY, AGREED, contact, names]).is_ok());

        let id = "acme_eab_key_id = \"kid\"\n";
        let key = "acme_eab_hmac_key = \"zWNDZM6eQGHWpSRTPal5eIUYFTu7EajV\"\n";
        let bound = together(&[DIRECTORY, AGREED, NAME, id, key]).unwrap();
        let (known_as, secret) = bound.acme_binding().unwrap();
        assert_eq!((known_as.as_str(), secret.len()), ("kid", 24));
        assert!(config.acme_binding().is_none());
        for good in ["zWNDZM6eQGHWpSRTPal5eI/+FTu7EaiV", "zWNDZM6eQGHWpSRTPal5eA=="] {
            let text = format!("acme_eab_hmac_key = \"{good}\"\n");
            assert!(together(&[DIRECTORY, AGREED, NAME, id, &text]).is_ok(), "{good}");
        }
        for wrong in ["", "short", "zWNDZM6eQGHWpSRTPal5 IUYFTu7EajV", "zWNDZM6eQGHWpSRTP!l5eIUY"] {
            let text = format!("acme_eab_hmac_key = \"{wrong}\"\n");
            let said = together(&[DIRECTORY, AGREED, NAME, id, &text]).unwrap_err().to_string();
            assert!(said.starts_with("acme_eab_hmac_key must"), "{wrong}: {said}");
            assert!(wrong.is_empty() || !said.contains(wrong), "{said}");
        }
        let many: Vec<String> =
            (0..=CERTIFICATE_NAMES).map(|at| format!("\"n{at}.test\"")).collect();
        let many = format!("acme_names = [{}]\n", many.join(", "));
        let pair = "tls_cert = \"x.pem\"\ntls_key = \"y.pem\"\n";
        for (parts, why) in [
            (&[AGREED][..], "acme_accept_terms belongs to acme_directory"),
            (&[contact], "acme_contact belongs to acme_directory"),
            (&[names], "acme_names belongs to acme_directory"),
            (&[id], "acme_eab_key_id belongs to acme_directory"),
            (&[key], "acme_eab_hmac_key belongs to acme_directory"),
            (&[DIRECTORY, AGREED, NAME, id], "acme_eab_key_id and acme_eab_hmac_key belong"),
            (&[DIRECTORY, AGREED, NAME, key], "acme_eab_key_id and acme_eab_hmac_key belong"),
            (&[DIRECTORY, AGREED, NAME, key, "acme_eab_key_id = \"\"\n"], "acme_eab_key_id must"),
            (&[DIRECTORY, NAME], "acme_accept_terms must be true"),
            (&[DIRECTORY, AGREED, NAME, pair], "tls_cert and acme_directory exclude"),
            (&[DIRECTORY, AGREED, NAME, "acme_contact = \"me\"\n"], "acme_contact must"),
            (&[DIRECTORY, AGREED], "acme_directory needs a name"),
            (&[DIRECTORY, AGREED, "server_name = \"192.0.2.1\"\n"], "acme_directory needs a name"),
            (&[DIRECTORY, AGREED, "server_name = \"[::1]:1\"\n"], "acme_directory needs a name"),
            (&[DIRECTORY, AGREED, &many], "acme_names must be at most"),
        ] {
            let wrong = together(parts).unwrap_err().to_string();
            assert!(wrong.starts_with(why), "{parts:?}: {wrong}");
        }
        for wrong in ["http://ca.test/dir", "ca.test", "https://", "https://me:pw@ca.test/", "/dir"]
        {
            let flags = [("acme_directory", wrong), ("acme_accept_terms", "true")];
            let said = load(NAME, &flags).unwrap_err().to_string();
            assert!(said.starts_with("acme_directory must"), "{wrong}: {said}");
        }
        for wrong in ["192.0.2.1", "::1", "*.a.test", "localhost", "a..test", "-a.test", "a_b.test"]
        {
            let said = load(&[DIRECTORY, AGREED, NAME].concat(), &[("acme_names", wrong)]);
            let said = said.unwrap_err().to_string();
            assert!(said.starts_with("acme_names must") && said.contains(wrong), "{wrong}: {said}");
        }
    }

    #[test]
    fn the_committed_example_file_is_the_one_that_the_settings_make() {
        let committed = include_str!("../wayside.example.toml");
        assert_eq!(
            committed,
            example(),
            "write `wayside config example` to node/wayside.example.toml"
        );
    }

    #[test]
    fn the_example_file_holds_every_key_and_is_valid_when_uncommented() {
        let example = example();
        let uncommented: String = example
            .lines()
            .filter(|line| !line.starts_with("##") && !line.starts_with("# "))
            .flat_map(|line| [line.trim_start_matches('#'), "\n"])
            .collect();
        let table: Table = toml::from_str(&uncommented).unwrap();
        assert_eq!(table.len(), KEYS.len());
        let config: Config = toml::from_str(&uncommented).unwrap();
        assert_eq!(config.max_upload_bytes, Config::default().max_upload_bytes);
        assert_eq!(config.http, Config::default().http);
    }
}
