//! The hostile node at work: raw events that are hashed and signed as any other, and whom they go to.

use std::collections::HashMap;

use ruma::{CanonicalJsonObject, OwnedEventId, OwnedUserId, signatures::add_content_hash_to_event};
use serde_json::{Value, json, value::to_raw_value};
use wayside_federation::{auth, canonical, room::Outcome, version::RoomVersion};

use crate::{
    memory::Memory,
    node::Node,
    stage::{Message, Stage},
};

/// The hostile node at work.
pub(crate) struct Siege<'s> {
    pub(crate) stage: &'s mut Stage,
    pub(crate) node: &'s mut Node,
}

/// A raw event before it is hashed and signed.
pub(crate) struct Raw {
    pub(crate) sender: OwnedUserId,
    pub(crate) kind: &'static str,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Value,
    pub(crate) prev: Vec<OwnedEventId>,
    pub(crate) auth: Vec<OwnedEventId>,
    pub(crate) depth: u64,
    pub(crate) ts: u64,
}

impl Siege<'_> {
    pub(crate) fn memory(&self) -> &Memory {
        self.node.memory().expect("a node attacks only from within the room")
    }

    pub(crate) fn somebody(&mut self) -> OwnedUserId {
        let name = ["mallory", "trudy"][self.stage.roll(2)];
        self.node.user(name)
    }

    /// One of the last so many placed events.
    pub(crate) fn recent(&mut self, last: usize) -> OwnedEventId {
        let from = self.memory().placed.len().saturating_sub(last);
        let recent = self.memory().placed[from..].to_vec();
        self.stage.pick(&recent).clone()
    }

    /// An event as it would be right after these, by the state there.
    pub(crate) fn raw(
        &self,
        sender: &OwnedUserId,
        kind: &'static str,
        state_key: Option<&str>,
        content: Value,
        prev: &[OwnedEventId],
    ) -> Option<Raw> {
        let memory = self.memory();
        let root = memory.after(prev.last()?)?;
        let text = to_raw_value(&content).unwrap();
        let keys =
            auth::auth_keys(self.stage.version, &kind.into(), sender, state_key, &text).ok()?;
        let held = |key| memory.at(root, key).map(|event| event.id().to_owned());
        let mut auth: Vec<OwnedEventId> = keys.iter().filter_map(held).collect();
        if self.stage.version == RoomVersion::V12 {
            auth.retain(|id| id.as_str()[1..] != *memory.room.id.strip_sigil());
        }
        let depth = |id: &OwnedEventId| memory.known(id).map_or(0, |known| known.event.depth());
        Some(Raw {
            sender: sender.clone(),
            kind,
            state_key: state_key.map(ToOwned::to_owned),
            content,
            prev: prev.to_vec(),
            auth,
            depth: (prev.iter().map(depth).max().unwrap_or(0) + 1).min((1 << 53) - 1),
            ts: 1_000_000 + self.stage.now,
        })
    }

    pub(crate) fn message(&self, sender: &OwnedUserId, prev: &[OwnedEventId]) -> Option<Raw> {
        let body = json!({ "body": format!("{} of the enemy", self.stage.now) });
        self.raw(sender, "m.room.message", None, body, prev)
    }

    /// Hashes and signs as `server`, with the hostile node's own key.
    pub(crate) fn signed(&self, raw: &Raw, server: &str) -> String {
        let mut pdu = json!({
            "type": raw.kind, "sender": raw.sender, "content": raw.content, "depth": raw.depth,
            "room_id": self.memory().room.id, "origin_server_ts": raw.ts,
            "prev_events": raw.prev, "auth_events": raw.auth,
        });
        if let Some(state_key) = &raw.state_key {
            pdu["state_key"] = json!(state_key);
        }
        let mut pdu: CanonicalJsonObject = canonical::parse_object(&pdu.to_string()).unwrap();
        add_content_hash_to_event(&mut pdu).unwrap();
        let server = <&ruma::ServerName>::try_from(server).unwrap();
        self.node.key.sign_event(self.stage.version, server, &mut pdu).unwrap();
        canonical::to_string(&pdu)
    }

    pub(crate) fn seal(&self, raw: &Raw) -> String {
        self.signed(raw, self.node.name.as_str())
    }

    /// Seals an event and takes it into the node's own memory, to build on it.
    pub(crate) fn keep(&mut self, raw: &Raw) -> Option<(OwnedEventId, String)> {
        let text = self.seal(raw);
        let event = self.stage.receive(&text)?;
        if let Ok(Outcome::Placed(placed)) = self.node.decide(&event, &HashMap::new()) {
            self.node.store(self.stage, &event, *placed);
        }
        Some((event.id().to_owned(), text))
    }

    /// Some of the honest nodes, at least one.
    pub(crate) fn some(&mut self) -> Vec<usize> {
        let all: Vec<usize> = (0..self.node.of).filter(|at| *at != self.node.at).collect();
        let mut some: Vec<usize> = all.iter().copied().filter(|_| self.stage.chance(60)).collect();
        if some.is_empty() {
            some.push(*self.stage.pick(&all));
        }
        some
    }

    /// Sends these to some, in one transaction.
    pub(crate) fn strike(&mut self, pdus: &[String]) {
        for to in self.some() {
            self.strike_at(to, pdus);
        }
    }

    pub(crate) fn strike_at(&mut self, to: usize, pdus: &[String]) {
        let id = format!("e{}", self.node.next_number());
        let message = Message::Transaction { id, pdus: pdus.to_vec(), edus: Vec::new() };
        self.stage.send(self.node.at, to, message);
    }

    pub(crate) fn heads(&self) -> Vec<OwnedEventId> {
        self.memory().room.heads.iter().take(20).map(|head| head.id.clone()).collect()
    }
}
