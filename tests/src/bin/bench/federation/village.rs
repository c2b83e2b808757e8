//! A room of thousands, which a server of the bench's own serves to the node and to Synapse.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Result, ensure};
use reqwest::{Method, Url};
use serde_json::{Value, json};
use wayside_tests::{Client, Destination, Pdu, Peer, PeerReply, PeerRoom, RoomId, Town};

use super::{VERSION, come_in};

pub(super) const MEMBERS: usize = 5_000;
/// One of so many members has changed their name since they came: the joining that this event cites is
/// in the auth chain.
const RENAMED: usize = 10;

/// A room of all these members, and the server whose people they are.
pub(super) struct Village {
    peer: Peer,
    room: Arc<Mutex<PeerRoom>>,
    id: RoomId,
}

impl Village {
    pub(super) async fn found(town: &Town) -> Result<Self> {
        eprintln!("  laying out a room of {MEMBERS}");
        let peer = town.peer()?.start().await?;
        let creator = peer.user("creator");
        let mut room = PeerRoom::create(&peer, VERSION, &creator)?;
        room.send(&creator, "m.room.name", Some(""), &json!({ "name": "Village" }))?;
        let shared = json!({ "history_visibility": "shared" });
        room.send(&creator, "m.room.history_visibility", Some(""), &shared)?;
        for number in 1..MEMBERS {
            let user = peer.user(&format!("villager{number}"));
            let mut content = json!({ "membership": "join", "displayname": format!("{number}") });
            room.send(&user, "m.room.member", Some(&user), &content)?;
            if number.is_multiple_of(RENAMED) {
                content["displayname"] = json!(format!("Villager {number}"));
                room.send(&user, "m.room.member", Some(&user), &content)?;
            }
        }
        let id = RoomId::known(room.id());
        // Written once: whoever joins is told the same, and nobody waits until it is written again.
        let texts = |events: Vec<&Pdu>| {
            Value::Array(events.into_iter().map(|event| event.json.clone()).collect()).to_string()
        };
        let (state, chain) = (texts(room.state()), texts(room.auth_chain()));
        let origin = peer.server_name().to_owned();
        let room = peer.host(room);
        let door = format!("/_matrix/federation/v2/send_join/{id}/");
        peer.answer(Method::PUT, &door, move |request| {
            let event = String::from_utf8_lossy(&request.body);
            let told = format!(
                r#"{{"origin":"{origin}","state":{state},"auth_chain":{chain},"event":{event},"members_omitted":false}}"#
            );
            PeerReply::bytes("application/json", told.into_bytes())
        });
        Ok(Self { peer, room, id })
    }

    /// Lets somebody come into it who is new on their server, and the server so as well; how long that took.
    pub(super) async fn joined_by(&self, base: &Url) -> Result<(Client, Duration)> {
        let ann = Client::register(base, "ann").await?;
        let through = self.peer.server_name();
        let took = come_in((base, &ann), &self.id, through, MEMBERS + 1).await?;
        Ok((ann, took))
    }

    pub(super) const fn id(&self) -> &RoomId {
        &self.id
    }

    /// Sends a message that was said before the villagers came, as far as can be known: what it comes
    /// after is missing, and the room's state there is what its creator began with.
    pub(super) async fn say_of_old(&self, to: &Destination, number: usize) -> Result<()> {
        let event = {
            let room = self.room.lock().expect("nobody has panicked");
            let creator = self.peer.user("creator");
            let is_first = |it: &&Pdu| it.json["sender"] == *creator;
            let first: Vec<String> =
                room.events().iter().filter(is_first).map(|it| it.id.clone()).collect();
            let told = json!({ "pdu_ids": first, "auth_chain_ids": first });
            let place = format!("/_matrix/federation/v1/state_ids/{}", self.id);
            self.peer.answer(Method::GET, &place, move |_| PeerReply::json(&told));
            let content = json!({ "msgtype": "m.text", "body": format!("Of old, {number}") });
            let mut draft = room.draft(&creator, "m.room.message", None, &content)?;
            let missing = format!("missing{number}");
            draft["prev_events"] = json!([format!("${missing:A<43}")]);
            room.seal(&draft)?
        };
        let answer = self.peer.transact(to, &[&event], &[]).await?.json();
        ensure!(answer["pdus"][&event.id] == json!({}), "it is refused: {answer}");
        Ok(())
    }
}
