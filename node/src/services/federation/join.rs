//! Letting people of other servers in (server-server API, joining rooms).

use ruma::{EventId, OwnedServerName, RoomId, ServerName, UserId, events::TimelineEventType};
use serde_json::{Map, Value, json, value::RawValue};
use wayside_federation::{
    auth,
    event::{Draft, Event},
    room::Standing,
};

use super::{
    super::rooms::{self, Membership},
    Error, Federation, Ground,
    history::{StateAt, state_of},
    intake::Taken,
    known,
    verify::voucher_of,
};
use crate::store::{
    Tx, events,
    rooms::{RoomRow, servers},
};

/// Who wants to come in, and by which rules their server can follow a room.
pub struct Wish<'w> {
    /// The server that asks.
    pub origin: &'w ServerName,
    /// The room.
    pub room_id: &'w RoomId,
    /// Who.
    pub user_id: &'w UserId,
    /// The room versions that it knows.
    pub versions: Vec<String>,
}

/// A room for a server whose first person has come in.
pub struct Joined {
    /// The state before.
    pub state: StateAt,
    /// The joining as it stands.
    pub event: Event,
    /// The servers that are in the room.
    pub servers: Vec<OwnedServerName>,
}

impl Federation {
    /// The event by which somebody of another server may come in, for it to finish and sign.
    pub async fn make_join(&self, wish: Wish<'_>) -> Result<Value, Error> {
        let Wish { origin, room_id, user_id, versions } = wish;
        if user_id.server_name() != origin {
            return Err(Error::Forbidden(format!("{user_id} is none of the people of {origin}")));
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = self.shared(&mut snapshot, room_id, origin).await?;
        if !versions.iter().any(|version| version == row.version.as_str()) {
            return Err(Error::IncompatibleVersion(row.version.as_str().to_owned()));
        }
        drop(snapshot);
        let (ground, user_id, room_id) =
            (self.ground.clone(), user_id.to_owned(), room_id.to_owned());
        // Asked where it is written, for whoever vouches must be in the room then.
        let make = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let row = known(tx, &room_id).await?;
                template(&ground, tx, &row, &user_id).await
            })
        });
        make.await
    }

    /// Lets somebody of another server in by the event that it has signed.
    pub async fn send_join(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        text: Box<RawValue>,
    ) -> Result<Joined, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = self.shared(&mut snapshot, room_id, origin).await?;
        drop(snapshot);
        let mut event = Event::receive(row.version, text.get())?;
        check(&event, origin, room_id, event_id)?;
        if voucher_of(&event).is_some_and(|voucher| voucher == self.ground.server_name) {
            // Whoever wrote the event says that somebody here vouches: that is looked at again.
            self.vouches(room_id, event.sender()).await?;
            let own = &self.ground.server_name;
            event = event.cosign(row.version, own, &self.ground.server_key)?;
        }
        let believed = self.believed(row.version, vec![Ok(event)]).await?.pop();
        let believed = believed.unwrap_or_else(|| Err("it is no event".to_owned()));
        let event = believed.map_err(Error::BadJson)?;
        match self.take(origin, room_id, event.clone(), true).await? {
            Taken::Stands(Standing::Accepted) => {}
            Taken::Stands(_) => {
                return Err(Error::Forbidden(
                    "the rules of the room do not let them in".to_owned(),
                ));
            }
            Taken::Misses(_) => {
                return Err(Error::BadJson("the event names what is not in the room".to_owned()));
            }
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let stored = events::by_id(&mut snapshot, event.id()).await?;
        let roots = stored.and_then(|it| it.roots);
        let roots = roots.ok_or_else(|| Error::internal(anyhow::anyhow!("it was just written")))?;
        let state = state_of(&mut snapshot, roots.state_before).await?;
        let servers = servers(&mut snapshot, row.room_no).await?;
        Ok(Joined { state, event, servers })
    }
}

impl Federation {
    /// Refuses somebody for whom nobody here may vouch now.
    async fn vouches(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), Error> {
        let (ground, room_id, user_id) =
            (self.ground.clone(), room_id.to_owned(), user_id.to_owned());
        let look = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let row = known(tx, &room_id).await?;
                let mut content = Map::new();
                rooms::vouch_for(&ground, tx, &row, &user_id, &mut content).await?;
                if content.is_empty() {
                    let why = "they are in none of the rooms whose members the room lets in";
                    return Err(Error::Forbidden(why.to_owned()));
                }
                Ok(())
            })
        });
        look.await
    }
}

/// The joining of somebody of another server as it would be now, without what its own server makes.
async fn template(
    ground: &Ground,
    tx: &mut Tx,
    row: &RoomRow,
    user_id: &UserId,
) -> Result<Value, Error> {
    let mut content = Map::new();
    content.insert("membership".to_owned(), Membership::Join.as_str().into());
    rooms::vouch_for(ground, tx, row, user_id, &mut content).await?;
    let content: Box<RawValue> =
        serde_json::value::to_raw_value(&content).map_err(Error::internal)?;
    let (version, kind) = (row.version, TimelineEventType::RoomMember);
    let key = Some(user_id.as_str());
    let cited = auth::auth_keys(version, &kind, user_id, key, &content)?;
    let keys = auth::needed_state(version, &kind, user_id, key, &content)?;
    let held = rooms::needed(tx, row, keys).await?;
    let cited = cited.iter().filter_map(|key| held.get(key));
    let cited = cited.map(|it| it.event.id().to_owned()).collect();
    let draft = Draft {
        kind,
        state_key: Some(user_id.to_string()),
        sender: user_id.to_owned(),
        content,
        redacts: None,
        origin_server_ts: ground.clock.now(),
    };
    let prev = row.prev_events();
    let event = draft.seal(version, Some(&row.room_id), &prev, cited, &ground.server_key)?;
    auth::check(version, &event, |key| held.get(key).map(|it| it.event.clone()))?;
    let mut template: Value = serde_json::from_str(event.json()).map_err(Error::internal)?;
    if let Some(template) = template.as_object_mut() {
        template.remove("hashes");
        template.remove("signatures");
    }
    Ok(json!({ "room_version": version.as_str(), "event": template }))
}

/// Whether an event is the joining that it is said to be.
fn check(
    event: &Event,
    origin: &ServerName,
    room_id: &RoomId,
    event_id: &EventId,
) -> Result<(), Error> {
    let wrong = |why: &str| Err(Error::Invalid(why.to_owned()));
    if event.id() != event_id {
        return wrong("the event has another id than the path says");
    }
    if event.room_id() != room_id {
        return wrong("the event is of another room");
    }
    let is_member = *event.kind() == TimelineEventType::RoomMember;
    if !is_member || rooms::membership_of(event) != Some(Membership::Join) {
        return wrong("the event is no joining");
    }
    if event.state_key() != Some(event.sender().as_str()) {
        return wrong("people come in by themselves");
    }
    if event.sender().server_name() != origin {
        return wrong("its sender is none of the people of the server that asks");
    }
    Ok(())
}
