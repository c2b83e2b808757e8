//! What registration files say of application services, read strictly.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use http::Uri;
use regex::{Regex, RegexBuilder};
use ruma::{OwnedUserId, RoomAliasId, RoomId, ServerName, UserId};
use serde::Deserialize;
use serde_saphyr::Spanned;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{super::Error, overlap};

/// Largest registration file in bytes.
const FILE_BYTES: u64 = 256 * 1024;
/// Most application services of a node: each event is matched with all of them.
const SERVICES: usize = 64;
/// Largest compiled pattern in bytes.
const PATTERN_BYTES: usize = 1024 * 1024;
/// Fewest characters of a token: what is shorter can be guessed.
const TOKEN_CHARS: usize = 16;
/// The local part of the node's own user, who belongs to no application service.
const NODE_USER: &str = "_wayside";

/// Why the registrations could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// The file cannot be read.
    #[error("reading the registration {path} of an application service")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file says something that cannot be.
    #[error("the registration {path}, line {line}: {message}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where, counted from 1.
        line: u64,
        /// What is wrong and what would be right.
        message: String,
    },
    /// There are too many.
    #[error("app_services names more than {SERVICES} registrations: run more nodes")]
    TooMany,
}

/// A file as bridges write it. What is not of the specification is theirs, and left alone.
#[derive(Deserialize)]
struct RegistrationFile {
    id: Spanned<String>,
    url: Option<Spanned<String>>,
    as_token: Spanned<String>,
    hs_token: Spanned<String>,
    sender_localpart: Spanned<String>,
    namespaces: NamespacesFile,
    rate_limited: Option<bool>,
    receive_ephemeral: Option<bool>,
    /// The name of the same before version 1.13, which many bridges still write beside it.
    #[serde(rename = "de.sorunome.msc2409.push_ephemeral")]
    push_ephemeral: Option<bool>,
    protocols: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct NamespacesFile {
    users: Option<Vec<NamespaceFile>>,
    aliases: Option<Vec<NamespaceFile>>,
    rooms: Option<Vec<NamespaceFile>>,
}

#[derive(Deserialize)]
struct NamespaceFile {
    regex: Spanned<String>,
    exclusive: bool,
}

/// An application service, as its registration describes it.
pub struct AppService {
    /// Its id, for ever.
    pub id: Arc<str>,
    /// Where it answers, without a slash at the end; nowhere if it wants no traffic.
    pub url: Option<String>,
    /// The user in whose name it speaks where it names no other.
    pub sender: OwnedUserId,
    /// Whether those in whose names it speaks may ask only so often.
    pub rate_limited: bool,
    /// Whether it is told who types, has read and is present.
    pub ephemeral: bool,
    /// The networks to which it leads.
    pub protocols: Vec<String>,
    own_token: [u8; 32],
    node_token: String,
    users: Vec<Namespace>,
    aliases: Vec<Namespace>,
    rooms: Vec<Namespace>,
}

/// A part of all names.
struct Namespace {
    pattern: Regex,
    text: String,
    exclusive: bool,
    line: u64,
}

/// All application services of a node.
#[derive(Default)]
pub struct Registered {
    all: Vec<Arc<AppService>>,
}

impl AppService {
    /// What the node shows it to be known.
    pub(super) fn node_token(&self) -> &str {
        &self.node_token
    }

    /// Whether it speaks for that person of this node.
    #[must_use]
    pub fn owns(&self, user_id: &UserId) -> bool {
        *user_id == self.sender
            || (user_id.server_name() == self.sender.server_name()
                && user_id.localpart() != NODE_USER
                && holds(&self.users, user_id.as_str(), false))
    }

    /// Whether the alias is one of those that it names.
    #[must_use]
    pub fn owns_alias(&self, alias: &RoomAliasId) -> bool {
        holds(&self.aliases, alias.as_str(), false)
    }

    pub(super) fn names_aliases(&self) -> bool {
        !self.aliases.is_empty()
    }

    pub(super) fn names_room(&self, room_id: &RoomId) -> bool {
        holds(&self.rooms, room_id.as_str(), false)
    }
}

impl Registered {
    /// Reads the files that the settings name.
    pub fn read(files: &[PathBuf], server: &ServerName) -> Result<Self, RegistrationError> {
        if files.len() > SERVICES {
            return Err(RegistrationError::TooMany);
        }
        let mut all: Vec<(&Path, Arc<AppService>)> = Vec::new();
        for path in files {
            let (service, lines) = one(path, server)?;
            for (other_path, other) in &all {
                clash(&service, other).map_or(Ok(()), |(line, what)| {
                    let line = line.unwrap_or(lines);
                    let message = format!("{what}, as {} does", other_path.display());
                    Err(RegistrationError::Wrong { path: path.clone(), line, message })
                })?;
            }
            all.push((path, Arc::new(service)));
        }
        Ok(Self { all: all.into_iter().map(|(_, service)| service).collect() })
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Arc<AppService>] {
        &self.all
    }

    /// The one of that id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<AppService>> {
        self.all.iter().find(|service| *service.id == *id)
    }

    /// The one that shows this token.
    #[must_use]
    pub fn by_token(&self, shown: &str) -> Option<&Arc<AppService>> {
        if self.all.is_empty() {
            return None;
        }
        let shown: [u8; 32] = Sha256::digest(shown).into();
        self.all.iter().find(|service| bool::from(service.own_token.ct_eq(&shown)))
    }

    /// Refuses a name for a new account that an application service keeps for itself.
    pub fn check_user(&self, user_id: &UserId) -> Result<(), Error> {
        let kept = |service: &Arc<AppService>| {
            *user_id == service.sender || holds(&service.users, user_id.as_str(), true)
        };
        if self.all.iter().any(kept) {
            return Err(Error::Exclusive(format!("{user_id} is kept for an application service")));
        }
        Ok(())
    }

    /// Refuses an alias that an application service keeps for itself, and to an application service
    /// each that is none of its own.
    pub fn check_alias(&self, alias: &RoomAliasId, by: Option<&str>) -> Result<(), Error> {
        let kept = |service: &Arc<AppService>| holds(&service.aliases, alias.as_str(), true);
        let refused = match by {
            Some(id) => !self.get(id).is_some_and(|service| service.owns_alias(alias)),
            None => self.all.iter().any(kept),
        };
        if refused {
            return Err(Error::Exclusive(format!("{alias} is kept for an application service")));
        }
        Ok(())
    }
}

fn holds(namespaces: &[Namespace], name: &str, exclusively: bool) -> bool {
    let counts = |it: &&Namespace| it.exclusive || !exclusively;
    namespaces.iter().filter(counts).any(|it| it.pattern.is_match(name))
}

/// What two services cannot both have, and in which line of the first it stands.
fn clash(one: &AppService, other: &AppService) -> Option<(Option<u64>, String)> {
    if one.id == other.id {
        return Some((None, format!("the id {:?} must be its own; it is used twice", one.id)));
    }
    if bool::from(one.own_token.ct_eq(&other.own_token)) {
        return Some((None, "the as_token must be its own: make a new one; it is used".to_owned()));
    }
    if one.sender == other.sender {
        return Some((None, format!("{} must be its own; it is used twice", one.sender)));
    }
    if holds(&other.users, one.sender.as_str(), true) {
        return Some((None, format!("{} is claimed exclusively", one.sender)));
    }
    let sender = other.sender.as_str();
    if let Some(claim) = one.users.iter().find(|it| it.exclusive && it.pattern.is_match(sender)) {
        return Some((Some(claim.line), format!("{:?} claims {sender} exclusively", claim.text)));
    }
    for (mine, theirs) in
        [(&one.users, &other.users), (&one.aliases, &other.aliases), (&one.rooms, &other.rooms)]
    {
        for claim in mine.iter().filter(|it| it.exclusive) {
            for rival in theirs.iter().filter(|it| it.exclusive) {
                if let Some(both) = overlap::both(&claim.text, &rival.text) {
                    let what = format!(
                        "{:?} claims exclusively what {:?} claims too, for example {both:?}: make \
                         one of them narrower",
                        claim.text, rival.text
                    );
                    return Some((Some(claim.line), what));
                }
            }
        }
    }
    None
}

/// Reads one file; gives the line of its id too.
fn one(path: &Path, server: &ServerName) -> Result<(AppService, u64), RegistrationError> {
    let unread = |source| RegistrationError::Read { path: path.to_owned(), source };
    let wrong = |line: u64, message: String| RegistrationError::Wrong {
        path: path.to_owned(),
        line,
        message,
    };
    if fs::metadata(path).map_err(unread)?.len() > FILE_BYTES {
        return Err(wrong(1, format!("a registration has at most {FILE_BYTES} bytes")));
    }
    let text = fs::read_to_string(path).map_err(unread)?;
    let file: RegistrationFile = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        wrong(line, error.without_snippet().to_string())
    })?;
    let filled = |text: &Spanned<String>, name: &str| {
        let line = text.referenced.line();
        if text.value.is_empty() || text.value.contains(char::is_control) {
            return Err(wrong(line, format!("{name} is a text of at least one character")));
        }
        Ok(text.value.clone())
    };
    let secret = |text: &Spanned<String>, name: &str| {
        let value = filled(text, name)?;
        if value.chars().count() < TOKEN_CHARS || !value.chars().all(|c| c.is_ascii_graphic()) {
            let what = format!("{name} is a secret of at least {TOKEN_CHARS} letters or digits");
            return Err(wrong(text.referenced.line(), what));
        }
        Ok(value)
    };
    let namespaces = |list: &Option<Vec<NamespaceFile>>| {
        let list = list.as_deref().unwrap_or_default();
        list.iter()
            .map(|it| namespace(it).map_err(|(line, why)| wrong(line, why)))
            .collect::<Result<_, _>>()
    };
    let url = match file.url.as_ref().filter(|url| !url.value.is_empty()) {
        None => None,
        Some(url) if is_address(&url.value) => Some(url.value.trim_end_matches('/').to_owned()),
        Some(url) => {
            let what = "url is an address such as http://localhost:29318, or null".to_owned();
            return Err(wrong(url.referenced.line(), what));
        }
    };
    let local = &file.sender_localpart;
    let sender = UserId::parse(format!("@{}:{server}", local.value)).ok();
    let sender = sender.filter(|id| id.validate_strict().is_ok() && id.localpart() != NODE_USER);
    let sender = sender.ok_or_else(|| {
        let what = format!("sender_localpart: {:?} cannot be the name of a user", local.value);
        wrong(local.referenced.line(), what + "; take a-z, 0-9 and . _ = - / +")
    })?;
    let service = AppService {
        id: filled(&file.id, "id")?.into(),
        url,
        sender,
        rate_limited: file.rate_limited.unwrap_or(true),
        ephemeral: file.receive_ephemeral.or(file.push_ephemeral).unwrap_or(false),
        protocols: file.protocols.unwrap_or_default(),
        own_token: Sha256::digest(secret(&file.as_token, "as_token")?).into(),
        node_token: secret(&file.hs_token, "hs_token")?,
        users: namespaces(&file.namespaces.users)?,
        aliases: namespaces(&file.namespaces.aliases)?,
        rooms: namespaces(&file.namespaces.rooms)?,
    };
    Ok((service, file.id.referenced.line()))
}

/// A pattern holds from the beginning of a name on and may end before it, as other servers read it.
fn namespace(file: &NamespaceFile) -> Result<Namespace, (u64, String)> {
    let (text, line) = (&file.regex.value, file.regex.referenced.line());
    let pattern = RegexBuilder::new(&format!("^(?:{text})")).size_limit(PATTERN_BYTES).build();
    let pattern = pattern.map_err(|error| (line, format!("regex: {error}")))?;
    Ok(Namespace { pattern, text: text.clone(), exclusive: file.exclusive, line })
}

fn is_address(text: &str) -> bool {
    (text.starts_with("https://") || text.starts_with("http://"))
        && !text.contains(['?', '#'])
        && text.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}

#[cfg(test)]
mod tests {
    use ruma::{owned_server_name, room_alias_id, user_id};

    use super::*;

    const GOOD: &str = "id: irc\nurl: http://localhost:9/\nas_token: aaaaaaaaaaaaaaaaaaaa\n\
                        hs_token: hhhhhhhhhhhhhhhhhhhh\nsender_localpart: _irc_bot\nnamespaces:\n  users:\n  \
                        - {regex: '@_irc_.*', exclusive: true}\n  aliases:\n  \
                        - {regex: '#_irc_.*', exclusive: true}\n";

    fn read(files: &[&str]) -> Result<Registered, RegistrationError> {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<PathBuf> = files
            .iter()
            .enumerate()
            .map(|(number, text)| {
                let path = folder.path().join(format!("{number}.yaml"));
                fs::write(&path, text).unwrap();
                path
            })
            .collect();
        Registered::read(&paths, &owned_server_name!("a.test"))
    }

    /// What is said of files, with the line.
    fn complaint(files: &[&str]) -> (u64, String) {
        match read(files).err().expect("the files are refused") {
            RegistrationError::Wrong { line, message, .. } => (line, message),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_service_owns_what_its_file_says() {
        let known = read(&[GOOD]).unwrap();
        let service = known.by_token("aaaaaaaaaaaaaaaaaaaa").unwrap();
        assert_eq!(service.url.as_deref(), Some("http://localhost:9"));
        assert!(known.by_token("hhhhhhhhhhhhhhhhhhhh").is_none());
        for (user, owned) in [
            (user_id!("@_irc_ann:a.test"), true),
            (user_id!("@_irc_bot:a.test"), true),
            (user_id!("@_irc_ann:b.test"), false),
            (user_id!("@ann_irc_:a.test"), false),
        ] {
            assert_eq!(service.owns(user), owned, "{user}");
        }
        assert!(known.check_user(user_id!("@_irc_ann:a.test")).is_err());
        assert!(known.check_user(user_id!("@ann:a.test")).is_ok());
        let (kept, free) = (room_alias_id!("#_irc_a:a.test"), room_alias_id!("#a:a.test"));
        assert!(known.check_alias(kept, None).is_err() && known.check_alias(free, None).is_ok());
        assert!(known.check_alias(kept, Some("irc")).is_ok());
        assert!(known.check_alias(free, Some("irc")).is_err());
    }

    #[test]
    fn nobody_speaks_for_the_node_itself() {
        let all = GOOD.replace("'@_irc_.*', exclusive: true", "'@.*', exclusive: false");
        let known = read(&[&all]).unwrap();
        let service = known.get("irc").unwrap();
        assert!(service.owns(user_id!("@ann:a.test")));
        assert!(!service.owns(user_id!("@_wayside:a.test")));
        assert!(known.check_user(user_id!("@ann:a.test")).is_ok());
        assert!(known.check_user(user_id!("@_irc_bot:a.test")).is_err(), "its sender is its own");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (from, to, line, word) in [
            ("id: irc", "id: ''", 1, "id is"),
            ("http://localhost:9/", "localhost:9", 2, "url is"),
            ("as_token: aaaaaaaaaaaaaaaaaaaa", "as_token: short", 3, "as_token is"),
            ("hs_token: hhhhhhhhhhhhhhhhhhhh", "other: 1", 0, "hs_token"),
            ("_irc_bot", "'a b'", 5, "sender_localpart"),
            ("_irc_bot", "_wayside", 5, "sender_localpart"),
            ("'@_irc_.*'", "'@_irc_('", 8, "regex"),
            ("exclusive: true", "exclusive: maybe", 8, ""),
            ("id: irc", "id: [", 0, ""),
        ] {
            let (found, message) = complaint(&[&GOOD.replacen(from, to, 1)]);
            assert!(line == 0 || found == line, "{to}: line {found}: {message}");
            assert!(message.contains(word), "{to}: {message}");
        }
    }

    #[test]
    fn what_two_claim_is_refused() {
        let other = GOOD.replace("irc", "xmpp").replace("aaaa", "bbbb");
        assert_eq!(read(&[GOOD, &other]).unwrap().all().len(), 2);
        for (from, to, line, word) in [
            ("id: xmpp", "id: irc", 1, "id \"irc\""),
            ("bbbb", "aaaa", 1, "as_token"),
            ("_xmpp_bot", "_irc_bot", 1, "@_irc_bot:a.test"),
            ("_xmpp_bot", "_irc_other", 1, "@_irc_other:a.test"),
            ("@_xmpp_.*", "@_(irc|xmpp)_bot", 8, "@_irc_bot"),
            ("@_xmpp_.*", "@_i.*_x", 8, "@_irc_"),
            ("#_xmpp_.*", "#.*", 10, "#_irc_"),
        ] {
            let (found, message) = complaint(&[GOOD, &other.replace(from, to)]);
            assert_eq!(found, line, "{to}: {message}");
            assert!(message.contains(word) && message.contains("0.yaml"), "{to}: {message}");
        }
    }
}
