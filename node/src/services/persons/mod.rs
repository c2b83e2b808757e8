//! The DIDs of people of this node: kept and published here, and written by nobody but them.
//!
//! Whoever holds the keys writes a version, and the node takes it in if the whole log proves itself, names
//! this node as its place and this account as `matrix:` URI, and lets nobody but the person show that
//! they are it. The node's own key may stand under `assertionMethod` alone, by which it vouches for its
//! people and is none of them.
//!
//! An account of which no client has brought keys has a did:web, which the node holds for it: provisional,
//! and as good as the node's word. So has every other beside its did:webvh, for those who know no other.
//!
//! Whoever comes from elsewhere shows who they are by their own key and by the word of their home
//! ([`Persons::shown`]); DID and account have to name each other.

mod moved;
mod shown;
mod word;

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use ruma::UserId;
use serde_json::{Value, json};
use url::{Host, Url};
use wayside_identity::{
    did::{
        Document,
        document::CONTEXT,
        place,
        webvh::{History, Place, Version, is_hash},
    },
    json,
    key::{PublicKey, SigningKey},
    proof::Purpose,
    tag,
};
use wayside_specs::{Did, limits};

pub use self::{
    moved::Carried,
    shown::{CHALLENGE_MS, Challenge, MEMBERSHIP, Shown},
    word::Voice,
};
use super::{
    Error, Ground,
    dids::{self, Dids},
    servers::Servers,
};
use crate::store::{
    accounts,
    persons::{self, PersonRow},
    providers::of_person,
};

/// The profile field by which an account names its DID (specs/identity.md).
pub const PROFILE_FIELD: &str = "org.wayside.did";
/// By what somebody is known here, in place of a provider of identities, who comes by their DID.
pub const BY_DID: &str = "did";
/// Below what path people's documents are.
const FOLDER: &str = "people";

/// The service of people's DIDs.
pub struct Persons {
    ground: Arc<Ground>,
    dids: Arc<Dids>,
    servers: Arc<Servers>,
    /// Where documents of this node are found; none where its address is no https name.
    site: OnceLock<Site>,
    key: SigningKey,
    /// How many came from elsewhere since the start.
    came: AtomicU64,
}

struct Site {
    /// The host as part of a DID.
    host: String,
    /// The address of the node.
    base: Url,
}

/// What a client needs to know to write somebody's DID.
#[derive(Debug)]
pub struct Identity {
    /// The log, if they have one.
    pub log: Option<String>,
    /// What their DID is called now: of those without a log, the did:web that the node holds.
    pub did: Option<Did>,
    /// Whether they have said that they saved what recovers it.
    pub saved: bool,
    /// The key to which their luggage is sealed, if their client has given one.
    pub seal_key: Option<Vec<u8>>,
    /// The host of their DID with its port, and the path below it; none where this node has no DIDs.
    pub place: Option<(String, [String; 2])>,
    /// The address of this node.
    pub service: Option<String>,
    /// The node's key for assertions.
    pub node_key: PublicKey,
    /// The DID of elsewhere by which they come in here, if they do: they are that person here too.
    pub linked: Option<String>,
}

impl Persons {
    /// The service on its ground.
    #[must_use]
    pub fn new(ground: Arc<Ground>, dids: Arc<Dids>, servers: Arc<Servers>) -> Self {
        // A key of its own, which nobody has who has only what it signs.
        let seed = tag::seal(&ground.token_key, &[b"the key by which this node vouches", b"1"]);
        Self {
            ground,
            dids,
            servers,
            site: OnceLock::new(),
            key: SigningKey::from_seed(seed),
            came: AtomicU64::new(0),
        }
    }

    /// Offers DIDs below the address that people type, where that is https and a name.
    pub fn settle(&self, public: &str) {
        let Ok(base) = Url::parse(public) else { return };
        let Some(Host::Domain(name)) = base.host() else { return };
        if base.scheme() != "https" || !self.ground.has_name() {
            tracing::info!("no DIDs here: the node has no name, or public_url is no https name");
            return;
        }
        let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
        let site = Site { host: place::of_host(&format!("{name}{port}")), base };
        // The address is settled once, before the doors open.
        let _settled = self.site.get_or_init(|| site);
    }

    /// Whether people of this node have DIDs, and others come in by theirs.
    #[must_use]
    pub fn are_here(&self) -> bool {
        self.site.get().is_some()
    }

    /// The base of the pages of this node, where it has DIDs.
    #[must_use]
    pub fn pages(&self) -> Option<&Url> {
        self.site.get().map(|site| &site.base)
    }

    /// What is known of somebody's DID.
    pub async fn identity(&self, user_id: &UserId) -> Result<Identity, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = persons::of_account(&mut snapshot, user_id).await?;
        let links = of_person(&mut snapshot, user_id, limits::LINKS_PER_USER).await?;
        drop(snapshot);
        let did = row.as_ref().map(|row| row.did.clone()).or_else(|| self.provisional(user_id));
        let text = |row: &PersonRow| String::from_utf8_lossy(&row.log).into_owned();
        let site = self.site.get().filter(|_| segment(user_id).is_some());
        Ok(Identity {
            log: row.as_ref().map(text),
            did,
            saved: row.as_ref().is_some_and(|row| row.saved_ms.is_some()),
            seal_key: row.and_then(|row| row.seal_key),
            place: site.map(|site| (site.host.replace("%3A", ":"), path(user_id))),
            service: site.map(|site| site.base.to_string()),
            node_key: self.key.public(),
            linked: links.into_iter().find(|it| it.issuer == BY_DID).map(|it| it.subject),
        })
    }

    /// Takes in what somebody wrote: the first versions of their DID, or those after what is here.
    pub async fn take(&self, user_id: &UserId, lines: &str) -> Result<Identity, Error> {
        let before = persons::of_account(&mut self.ground.store.snapshot().await?, user_id).await?;
        let mut log = before.as_ref().map(|row| row.log.clone()).unwrap_or_default();
        log.extend_from_slice(lines.trim_end_matches('\n').as_bytes());
        log.push(b'\n');
        let history = Arc::new(self.dids.proven(log.clone()).await?);
        let known = before.as_ref().map_or(0, |row| lines_of(&row.log));
        let is_here = self.judge(user_id, &history, known)?;
        self.keep(user_id, before, (history, log), is_here).await?;
        self.identity(user_id).await
    }

    /// Keeps a log that was judged for an account, in place of what was there before.
    async fn keep(
        &self,
        user_id: &UserId,
        before: Option<PersonRow>,
        (history, log): (Arc<History>, Vec<u8>),
        is_here: bool,
    ) -> Result<(), Error> {
        let written = history.clone();
        let (owner, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        let kept = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let account = accounts::account(tx, &owner).await?;
                if account.is_none_or(|account| account.ended_ms.is_some()) {
                    return Err(Error::AccountEnded);
                }
                let now = persons::of_account(tx, &owner).await?;
                let of_another = now.as_ref().filter(|row| row.scid != history.scid());
                if of_another.is_some_and(|row| row.saved_ms.is_some()) {
                    let why = "this account has an identity of its own that was saved: make another account, \
                               and move in there";
                    return Err(Error::Forbidden(why.to_owned()));
                }
                if now.map(|row| row.log) != before.map(|row| row.log) {
                    let why = "the log has gone on meanwhile: read it again";
                    return Err(Error::Invalid(why.to_owned()));
                }
                let other = persons::of_scid(tx, history.scid()).await?;
                if other.is_some_and(|other| other.user_id != owner) {
                    let why = "this DID is that of another account here";
                    return Err(Error::Forbidden(why.to_owned()));
                }
                if !dids::keep(tx, &history, now_ms).await? {
                    let why = "the log leaves out or changes what was seen of this DID before";
                    return Err(Error::Invalid(why.to_owned()));
                }
                tx.keep_log(&owner, (history.scid(), history.did()), &log).await?;
                // Whoever is elsewhere, or nobody any more, is not vouched for here.
                let named = is_here.then(|| Value::from(history.did().as_str()).to_string());
                Ok(tx.set_profile_field(&owner, PROFILE_FIELD, named.as_deref()).await?)
            })
        });
        kept.await?;
        self.dids.forget(&written);
        Ok(())
    }

    /// Notes that somebody has saved what recovers their DID, with the key to which their luggage is sealed.
    pub async fn note_saved(
        &self,
        user_id: &UserId,
        seal_key: Option<[u8; 32]>,
    ) -> Result<(), Error> {
        let (user_id, now_ms) = (user_id.to_owned(), self.ground.clock.now_ms());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let key = seal_key.map(|key| key.to_vec());
                Ok(tx.note_saved(&user_id, key, now_ms).await?)
            })
        });
        if write.await? { Ok(()) } else { Err(Error::NotFound("you have no DID yet".to_owned())) }
    }

    /// The log of somebody's did:webvh, as the whole world reads it.
    pub async fn log(&self, localpart: &str) -> Result<Option<Vec<u8>>, Error> {
        let Ok(user_id) = self.ground.user_id(localpart) else { return Ok(None) };
        let row = persons::of_account(&mut self.ground.store.snapshot().await?, &user_id).await?;
        Ok(row.map(|row| row.log))
    }

    /// The document of somebody's did:web.
    pub async fn document(&self, localpart: &str) -> Result<Option<Value>, Error> {
        let Ok(user_id) = self.ground.user_id(localpart) else { return Ok(None) };
        let Some(did) = self.provisional(&user_id) else { return Ok(None) };
        let mut snapshot = self.ground.store.snapshot().await?;
        let account = accounts::account(&mut snapshot, &user_id).await?;
        if account.is_none_or(|account| account.ended_ms.is_some()) {
            return Ok(None);
        }
        let Some(row) = persons::of_account(&mut snapshot, &user_id).await? else {
            return Ok(Some(self.held(&did, &user_id)));
        };
        // The log was proven when it was taken in: whoever asks costs no proof again.
        let entry = json::read(last_version(&row.log)).map_err(Error::internal)?;
        let is_here = own_log(self.site.get(), &user_id).is_some_and(|own| is_at(&row.did, &own));
        if !is_here || entry["parameters"]["deactivated"] == true {
            // Whoever is elsewhere, or nobody any more, is not vouched for here.
            return Ok(None);
        }
        Ok(Some(parallel(&entry["state"], &did, &row)?))
    }

    /// The document of a DID that the node holds: nobody can show that they are it.
    fn held(&self, did: &Did, user_id: &UserId) -> Value {
        let multikey = self.key.public().to_multikey();
        let method = format!("{did}#node-{multikey}");
        json!({
            "@context": CONTEXT[..2],
            "id": did.as_str(),
            "alsoKnownAs": [user_id.matrix_uri(false).to_string()],
            "verificationMethod": [{"id": method, "type": "Multikey", "controller": did.as_str(),
                "publicKeyMultibase": multikey}],
            "assertionMethod": [method],
        })
    }

    fn provisional(&self, user_id: &UserId) -> Option<Did> {
        let [folder, name] = [FOLDER.to_owned(), segment(user_id)?];
        format!("did:web:{}:{folder}:{name}", self.site.get()?.host).parse().ok()
    }

    /// Whether a log may be that of an account here of which so many versions are known, and whether its
    /// person is here still.
    fn judge(&self, user_id: &UserId, history: &History, known: usize) -> Result<bool, Error> {
        let refuse = |why: &str| Err(Error::Invalid(why.to_owned()));
        let Some(own) = own_log(self.site.get(), user_id) else {
            return refuse("accounts of that name have no DID on this node");
        };
        let is_here = |version: &Version| is_at(version.document.id(), &own);
        let latest = history.latest();
        let stays = is_here(latest) && !latest.parameters.deactivated;
        // They go, or come to an end, from where they were, and say so there.
        if !stays && known == 0 {
            return refuse("the DID must be found at the place that this node gives you");
        }
        for version in history.versions().iter().skip(known).filter(|version| is_here(version)) {
            if version.parameters.deactivated {
                continue;
            }
            if !version.parameters.portable {
                return refuse("the DID must be portable, so that you can leave");
            }
            let hashes = version.parameters.next_key_hashes.iter().filter(|hash| is_hash(hash));
            // Whoever comes to an end gives up commitment first.
            let ends = latest.parameters.deactivated;
            if !ends && hashes.collect::<BTreeSet<_>>().len() < 2 {
                return refuse("the log must commit to the next update key and to a recovery key");
            }
            self.judge_document(user_id, history, &version.document)?;
        }
        Ok(stays)
    }

    fn judge_document(
        &self,
        user_id: &UserId,
        history: &History,
        document: &Document,
    ) -> Result<(), Error> {
        let refuse = |why: &str| Err(Error::Invalid(why.to_owned()));
        let is_account = |name: &&String| name.to_ascii_lowercase().starts_with("matrix:");
        let accounts: Vec<_> = document.also_known_as().iter().filter(is_account).collect();
        if accounts != [&user_id.matrix_uri(false).to_string()] {
            return refuse("alsoKnownAs must name your account as matrix: URI, and no other");
        }
        let is_log = |name: &&String| name.to_ascii_lowercase().starts_with("did:webvh:");
        let own = |name: &String| name.parse().is_ok_and(|name| history.has_name(&name));
        if !document.also_known_as().iter().filter(is_log).all(own) {
            return refuse("alsoKnownAs must name no did:webvh but what yours was called");
        }
        let (id, below) = (document.id().as_str(), format!("{}#", document.id()));
        let node = self.key.public();
        for purpose in Purpose::ALL {
            let mut named = document.named(purpose);
            let is_own = |name: &str| {
                let method = document.methods().iter().find(|method| method.id == name);
                method.is_some_and(|it| it.controller == id && it.id.starts_with(&below))
            };
            if !named.all(is_own) {
                return refuse(
                    "every key must stand in the document, and be controlled by its DID",
                );
            }
            let mut keys = document.keys(purpose).map(|method| method.key.as_ref());
            if purpose != Purpose::AssertionMethod && keys.any(|key| key == Some(&node)) {
                return refuse("the key of a node may stand under assertionMethod alone");
            }
        }
        let mut own = document.keys(Purpose::Authentication).peekable();
        if own.peek().is_none() || own.any(|method| method.key.is_none()) {
            return refuse("authentication must hold keys of yours, and one at least");
        }
        Ok(())
    }
}

/// Where the log of somebody is who lives at that site.
fn own_log(site: Option<&Site>, user_id: &UserId) -> Option<Url> {
    let id = format!("{}:{FOLDER}:{}", site?.host, segment(user_id)?);
    place::address(&id, "did.jsonl").ok()
}

/// Whether a DID names that address as its place.
fn is_at(did: &Did, log: &Url) -> bool {
    Place::of(did).is_ok_and(|place| place.log() == log)
}

/// The last line of a log.
fn last_version(log: &[u8]) -> &[u8] {
    let lines = log.strip_suffix(b"\n").unwrap_or(log);
    lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default()
}

fn lines_of(log: &[u8]) -> usize {
    log.split_inclusive(|byte| *byte == b'\n').count()
}

/// The document of a did:webvh under the did:web of the same place (did:webvh, "Publishing a Parallel
/// `did:web` DID").
fn parallel(document: &Value, did: &Did, row: &PersonRow) -> Result<Value, Error> {
    let text = document.to_string().replace(&format!("did:webvh:{}:", row.scid), "did:web:");
    let mut value = json::read(text.as_bytes()).map_err(Error::internal)?;
    if let Some(names) = value.get_mut("alsoKnownAs").and_then(Value::as_array_mut) {
        names.retain(|name| name != did.as_str());
        names.push(row.did.as_str().into());
    }
    Ok(value)
}

/// The name of an account as a part of a DID. One with a slash in it has none: a path would break.
fn segment(user_id: &UserId) -> Option<String> {
    let name = user_id.localpart();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
        return None;
    }
    let encoded = |byte: u8| {
        if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    Some(name.bytes().map(encoded).collect())
}

fn path(user_id: &UserId) -> [String; 2] {
    [FOLDER.to_owned(), user_id.localpart().to_owned()]
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::segment;

    #[test]
    fn names_of_accounts_become_parts_of_dids() {
        assert_eq!(segment(user_id!("@ada.l-1_2:a.test")).as_deref(), Some("ada.l-1_2"));
        assert_eq!(segment(user_id!("@a=b+c:a.test")).as_deref(), Some("a%3Db%2Bc"));
        assert_eq!(segment(user_id!("@a/b:a.test")), None);
    }
}
