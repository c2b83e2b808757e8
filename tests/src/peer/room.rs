//! A room as a peer keeps it: its events in a row, hashed and signed by ruma alone.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use anyhow::{Context, Result};
use ruma::{
    RoomVersionId,
    room_version_rules::RoomVersionRules,
    signatures::{hash_and_sign_event, reference_hash},
};
use serde_json::{Value, json};

use super::{Peer, now_ms};
use crate::{SigningKey, signing::canonical};

/// An event as servers hand it on.
#[derive(Clone, Debug, PartialEq)]
pub struct Pdu {
    /// Its id, which is not in it.
    pub id: String,
    /// The event.
    pub json: Value,
}

/// A room of one of the versions 10, 11 and 12.
#[derive(Clone, Debug)]
pub struct PeerRoom {
    id: String,
    version: RoomVersionId,
    rules: RoomVersionRules,
    pub(super) server: String,
    pub(super) key: Arc<SigningKey>,
    events: Vec<Pdu>,
    /// Where among them the newest of each type and state key is: rooms of thousands are made too.
    newest: BTreeMap<(String, String), usize>,
}

impl PeerRoom {
    /// Makes a room that everybody may join: its create event, the creator's join, power levels and
    /// join rules.
    pub fn create(peer: &Peer, version: &str, creator: &str) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let version = RoomVersionId::try_from(version)?;
        let rules = version.rules().with_context(|| format!("no rules of version {version}"))?;
        let server = peer.server_name().to_owned();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let id = format!("!room{number}:{server}");
        let (key, events, newest) = (Arc::clone(peer.key()), Vec::new(), BTreeMap::new());
        let mut room = Self { id, version, rules, server, key, events, newest };
        let mut content = json!({ "room_version": room.version.as_str() });
        if room.version == RoomVersionId::V10 {
            content["creator"] = json!(creator);
        }
        // It names the room: two of one millisecond would be one.
        if room.is_named_by_create() {
            content["test.number"] = json!(number);
        }
        let first = room.send(creator, "m.room.create", Some(""), &content)?;
        if room.is_named_by_create() {
            room.id = first.id.replacen('$', "!", 1);
        }
        room.send(creator, "m.room.member", Some(creator), &json!({ "membership": "join" }))?;
        // A creator of version 12 is above all levels and may not stand among them.
        let users = if room.is_named_by_create() { json!({}) } else { json!({ creator: 100 }) };
        room.send(creator, "m.room.power_levels", Some(""), &json!({ "users": users }))?;
        room.send(creator, "m.room.join_rules", Some(""), &json!({ "join_rule": "public" }))?;
        Ok(room)
    }

    /// A room of another server as it told it: its events, each behind those that it cites.
    pub fn told(peer: &Peer, version: &str, id: &str, events: Vec<Value>) -> Result<Self> {
        let version = RoomVersionId::try_from(version)?;
        let rules = version.rules().with_context(|| format!("no rules of version {version}"))?;
        let (server, key) = (peer.server_name().to_owned(), Arc::clone(peer.key()));
        let (id, newest) = (id.to_owned(), BTreeMap::new());
        let mut room = Self { id, version, rules, server, key, events: Vec::new(), newest };
        for event in events {
            let event = room.identify(&event)?;
            room.add(event);
        }
        Ok(room)
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        self.version.as_str()
    }

    /// All its events, oldest first.
    #[must_use]
    pub fn events(&self) -> &[Pdu] {
        &self.events
    }

    /// The state after the newest event, oldest first.
    #[must_use]
    pub fn state(&self) -> Vec<&Pdu> {
        let mut places: Vec<usize> = self.newest.values().copied().collect();
        places.sort_unstable();
        places.into_iter().map(|at| &self.events[at]).collect()
    }

    /// All events by which the state is authorised, oldest first.
    #[must_use]
    pub fn auth_chain(&self) -> Vec<&Pdu> {
        let named = |json: &Value| -> Vec<String> {
            let ids = json["auth_events"].as_array().into_iter().flatten();
            ids.filter_map(|id| id.as_str().map(str::to_owned)).collect()
        };
        let mut wanted: HashSet<String> =
            self.state().iter().flat_map(|event| named(&event.json)).collect();
        // Version 12 never names the create event, which belongs to every chain.
        wanted.extend(self.events.first().map(|create| create.id.clone()));
        let mut chain = Vec::new();
        // What an event names lies before it.
        for event in self.events.iter().rev() {
            if wanted.contains(&event.id) {
                wanted.extend(named(&event.json));
                chain.push(event);
            }
        }
        chain.reverse();
        chain
    }

    /// An event after the newest one, which is neither hashed nor signed: a story may change it, and
    /// another server may sign it.
    pub fn draft(
        &self,
        sender: &str,
        kind: &str,
        state_key: Option<&str>,
        content: &Value,
    ) -> Result<Value> {
        let last = self.events.last();
        let depth = last.and_then(|it| it.json["depth"].as_u64()).unwrap_or(0) + 1;
        let mut event = json!({
            "room_id": self.id,
            "type": kind,
            "sender": sender,
            "content": content,
            "origin_server_ts": now_ms()?,
            "depth": depth,
            "prev_events": last.map(|it| &it.id).into_iter().collect::<Vec<_>>(),
        });
        if let Some(state_key) = state_key {
            event["state_key"] = json!(state_key);
        }
        if kind == "m.room.create" && self.is_named_by_create() {
            event.as_object_mut().context("an event is an object")?.remove("room_id");
        }
        event["auth_events"] = json!(self.authorised_by(&event));
        Ok(event)
    }

    /// Hashes and signs a draft of this server, and so finds its id.
    pub fn seal(&self, draft: &Value) -> Result<Pdu> {
        let mut event = canonical(draft)?;
        hash_and_sign_event(&self.server, self.key.pair(), &mut event, &self.rules.redaction)?;
        self.identify(&serde_json::to_value(event)?)
    }

    /// Finds the id of an event that somebody else sealed.
    pub fn identify(&self, event: &Value) -> Result<Pdu> {
        let id = format!("${}", reference_hash(&canonical(event)?, &self.rules)?);
        Ok(Pdu { id, json: event.clone() })
    }

    /// Puts an event at the end of the room, whoever made it.
    pub fn add(&mut self, event: Pdu) {
        if let Some(state_key) = event.json.get("state_key") {
            let place = place(&event.json["type"], state_key);
            self.newest.insert(place, self.events.len());
        }
        self.events.push(event);
    }

    /// Makes an event of somebody here, and puts it at the end of the room.
    pub fn send(
        &mut self,
        sender: &str,
        kind: &str,
        state_key: Option<&str>,
        content: &Value,
    ) -> Result<Pdu> {
        let event = self.seal(&self.draft(sender, kind, state_key, content)?)?;
        self.add(event.clone());
        Ok(event)
    }

    /// Whether the create event gives the room its id, and is in no list of what authorises.
    fn is_named_by_create(&self) -> bool {
        self.version == RoomVersionId::V12
    }

    /// The ids of the state that authorises an event (server-server API, "Auth events selection").
    fn authorised_by(&self, event: &Value) -> Vec<String> {
        let (kind, content) = (&event["type"], &event["content"]);
        let sender = event["sender"].as_str().unwrap_or_default();
        let mut wanted = vec![("m.room.power_levels", ""), ("m.room.member", sender)];
        if !self.is_named_by_create() {
            wanted.push(("m.room.create", ""));
        }
        if kind == "m.room.member" {
            wanted.push(("m.room.member", event["state_key"].as_str().unwrap_or_default()));
            if ["join", "invite", "knock"].iter().any(|it| content["membership"] == *it) {
                wanted.push(("m.room.join_rules", ""));
            }
            if let Some(voucher) = content["join_authorised_via_users_server"].as_str() {
                wanted.push(("m.room.member", voucher));
            }
        }
        let found =
            |(kind, key): (&str, &str)| self.newest.get(&place(&json!(kind), &json!(key))).copied();
        let places: BTreeSet<usize> = wanted.into_iter().filter_map(found).collect();
        places.into_iter().map(|at| self.events[at].id.clone()).collect()
    }
}

/// Where an event stands in the state; a story may write anything there.
fn place(kind: &Value, state_key: &Value) -> (String, String) {
    (kind.to_string(), state_key.to_string())
}
