//! Long rows of events, each of which rests on the one before: made as text, for there are many.

use anyhow::{Context, Result, ensure};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::signatures::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Pdu, PeerRoom, now_ms};

impl PeerRoom {
    /// So many joinings of somebody who is in the room, each of which cites and follows the one before,
    /// as canonical JSON with their ids; the first follows `before`, which it cites too. The room itself
    /// does not hold them. It is of version 12.
    pub fn joinings(&self, who: &str, before: &str, many: usize) -> Result<Vec<(String, String)>> {
        ensure!(self.version() == "12", "only events of version 12 are made so");
        let of_state = |kind: &str| {
            let state = self.state().into_iter().find(|it| it.json["type"] == kind);
            state.map(|it| it.id.clone()).with_context(|| format!("a room has {kind}"))
        };
        let (levels, rule) = (of_state("m.room.power_levels")?, of_state("m.room.join_rules")?);
        let depth = self.events().last().and_then(|it| it.json["depth"].as_u64()).unwrap_or(0);
        let (room, server, key, at) = (self.id(), &self.server, &self.key, now_ms()?);
        let key_id = key.id();
        let mut before = before.to_owned();
        let mut made = Vec::with_capacity(many);
        for depth in (depth + 1..).take(many) {
            let head = format!(
                r#"{{"auth_events":["{levels}","{rule}","{before}"],"content":{{"membership":"join"}},"depth":{depth},"#
            );
            let middle = format!(
                r#""origin_server_ts":{at},"prev_events":["{before}"],"room_id":"{room}","sender":"{who}","#
            );
            let tail = format!(r#""state_key":"{who}","type":"m.room.member"}}"#);
            let hash = Sha256::digest(format!("{head}{middle}{tail}"));
            let hash = format!(r#""hashes":{{"sha256":"{}"}},"#, STANDARD_NO_PAD.encode(hash));
            // Nothing of such an event is redacted, so this is what is signed.
            let plain = format!("{head}{hash}{middle}{tail}");
            let signature = key.pair().sign(plain.as_bytes()).base64();
            let signed = format!(r#""signatures":{{"{server}":{{"{key_id}":"{signature}"}}}},"#);
            before = format!("${}", URL_SAFE_NO_PAD.encode(Sha256::digest(&plain)));
            made.push((before.clone(), format!("{head}{hash}{middle}{signed}{tail}")));
        }
        Ok(made)
    }

    /// The room as it is told to who comes in by this event, with these before that in the auth chain,
    /// the last of which stands in the state in place of what was there.
    pub fn told_with(&self, joined: &Value, before: &[(String, String)]) -> Result<String> {
        let last: Value = match before.last() {
            Some((_, text)) => serde_json::from_str(text)?,
            None => json!({}),
        };
        let stays = |it: &&Pdu| {
            it.json["type"] != last["type"] || it.json["state_key"] != last["state_key"]
        };
        let texts = |events: Vec<&Pdu>| -> Vec<String> {
            events.into_iter().map(|it| it.json.to_string()).collect()
        };
        let mut state = texts(self.state().into_iter().filter(stays).collect());
        state.extend(before.last().map(|(_, text)| text.clone()));
        let mut chain = texts(self.events().iter().collect());
        chain.extend(before.iter().map(|(_, text)| text.clone()));
        let (state, chain, server) = (state.join(","), chain.join(","), &self.server);
        Ok(format!(
            r#"{{"auth_chain":[{chain}],"event":{joined},"members_omitted":false,"origin":"{server}","state":[{state}]}}"#
        ))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use crate::{Engine, Town, signing::verify};

    #[tokio::test]
    async fn joinings_are_what_servers_make() {
        let town = Town::found(Engine::Sqlite).unwrap().unwrap();
        let peer = town.peer().unwrap().start().await.unwrap();
        let owner = peer.user("ann");
        let room = super::PeerRoom::create(&peer, "12", &owner).unwrap();
        let first = room.state()[1].id.clone();
        let published = peer.key().published(peer.server_name(), 1).unwrap();
        for (id, text) in room.joinings(&owner, &first, 3).unwrap() {
            let event: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(room.identify(&event).unwrap().id, id);
            assert_eq!(event.to_string(), text, "its keys are in order");
            verify(&event, peer.server_name(), &published).unwrap();
            // Sealed anew, it is the same.
            let mut draft = event.clone();
            for field in ["hashes", "signatures"] {
                draft.as_object_mut().unwrap().remove(field);
            }
            assert_eq!(room.seal(&draft).unwrap().json, event);
        }
    }
}
