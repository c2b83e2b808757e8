//! A peer in whose room others are: it lets them in, and hands on what is said.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Pdu, Peer, PeerReply, PeerRoom, SEND, locked, now_ms};
use crate::{Answer, Destination};

impl Peer {
    /// Lets others into a room and shows them its events. The room is given back, to go on in it.
    #[must_use]
    pub fn host(&self, room: PeerRoom) -> Arc<Mutex<PeerRoom>> {
        let id = room.id().to_owned();
        let room = Arc::new(Mutex::new(room));
        let template = format!("/_matrix/federation/v1/make_join/{id}/");
        let shared = Arc::clone(&room);
        self.answer(Method::GET, &template.clone(), move |request| {
            let target = request.target();
            let user = target.strip_prefix(&template).unwrap_or_default();
            let room = locked(&shared);
            let content = json!({ "membership": "join" });
            answered(
                room.draft(user, "m.room.member", Some(user), &content)
                    .map(|event| json!({ "room_version": room.version(), "event": event })),
            )
        });
        let shared = Arc::clone(&room);
        let origin = self.server_name().to_owned();
        let door = format!("/_matrix/federation/v2/send_join/{id}/");
        self.answer(Method::PUT, &door, move |request| {
            let event = request.json();
            let mut room = locked(&shared);
            let (state, chain) = (jsons(&room.state()), jsons(&room.auth_chain()));
            answered(room.identify(&event).map(|joined| {
                room.add(joined);
                json!({
                    "origin": origin, "state": state, "auth_chain": chain, "event": event,
                    "members_omitted": false,
                })
            }))
        });
        let shared = Arc::clone(&room);
        self.answer(Method::GET, "/_matrix/federation/v1/event/", move |request| {
            let target = request.target();
            let id = target.rsplit('/').next().unwrap_or_default();
            match locked(&shared).events().iter().find(|event| event.id == id) {
                Some(event) => PeerReply::json(&json!({ "pdus": [event.json] })),
                None => PeerReply::refusal(404, "M_NOT_FOUND", "no such event"),
            }
        });
        room
    }

    /// Lets somebody of its people into a room of another server, as any server does: the room as that
    /// told it, and the joining.
    pub async fn enter(
        &self,
        to: &Destination,
        room: &str,
        version: &str,
        user: &str,
    ) -> Result<(PeerRoom, Pdu)> {
        let path = format!("/_matrix/federation/v1/make_join/{room}/{user}?ver={version}");
        let made = self.ask(to, Method::GET, &path, None).await?;
        ensure!(made.status == 200, "{}", made.short());
        let empty = PeerRoom::told(self, version, room, Vec::new())?;
        let join = empty.seal(&made.json()["event"])?;
        let path = format!("/_matrix/federation/v2/send_join/{room}/{}", join.id);
        let joined = self.ask(to, Method::PUT, &path, Some(&join.json)).await?;
        ensure!(joined.status == 200, "{}", joined.short());
        let joined = joined.json();
        let mut events: Vec<Value> = Vec::new();
        let told = [&joined["auth_chain"], &joined["state"]];
        for event in told.into_iter().filter_map(Value::as_array).flatten().chain([&join.json]) {
            if !events.contains(event) {
                events.push(event.clone());
            }
        }
        Ok((PeerRoom::told(self, version, room, events)?, join))
    }

    /// Lets somebody of its people go from a room of another server, as any server does: the leaving.
    pub async fn leave(&self, to: &Destination, room: &PeerRoom, user: &str) -> Result<Pdu> {
        let path = format!("/_matrix/federation/v1/make_leave/{}/{user}", room.id());
        let made = self.ask(to, Method::GET, &path, None).await?;
        ensure!(made.status == 200, "{}", made.short());
        let leave = room.seal(&made.json()["event"])?;
        let path = format!("/_matrix/federation/v2/send_leave/{}/{}", room.id(), leave.id);
        let left = self.ask(to, Method::PUT, &path, Some(&leave.json)).await?;
        ensure!(left.status == 200, "{}", left.short());
        Ok(leave)
    }

    /// Signs invitations of its people into rooms of a version, as any server does.
    pub fn take_invitations(&self, version: &str) -> Result<()> {
        let empty = PeerRoom::told(self, version, "!none:town.test", Vec::new())?;
        self.answer(Method::PUT, "/_matrix/federation/v2/invite/", move |request| {
            let signed = empty.seal(&request.json()["event"]);
            answered(signed.map(|event| json!({ "event": event.json })))
        });
        Ok(())
    }

    /// Sends a transaction, under an id that no other has.
    pub async fn transact(
        &self,
        to: &Destination,
        pdus: &[&Pdu],
        edus: &[Value],
    ) -> Result<Answer> {
        static SENT: AtomicU32 = AtomicU32::new(0);
        let path =
            format!("{SEND}t{}-{}", std::process::id(), SENT.fetch_add(1, Ordering::Relaxed));
        let content = json!({
            "origin": self.server_name(), "origin_server_ts": now_ms()?, "pdus": jsons(pdus),
            "edus": edus,
        });
        self.ask(to, Method::PUT, &path, Some(&content)).await
    }
}

fn jsons(events: &[&Pdu]) -> Vec<Value> {
    events.iter().map(|event| event.json.clone()).collect()
}

fn answered(found: Result<Value>) -> PeerReply {
    found.map_or_else(
        |error| PeerReply::refusal(400, "M_BAD_JSON", &format!("{error:#}")),
        |found| PeerReply::json(&found),
    )
}
