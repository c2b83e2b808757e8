//! Letting people of other servers in, letting them knock and go (server-server API, joining, knocking, leaving).

use std::collections::HashSet;

use ruma::{EventId, OwnedServerName, RoomId, ServerName, UserId, events::TimelineEventType};
use serde_json::{Map, Value, json, value::RawValue};
use wayside_federation::{
    auth,
    event::{Draft, Event},
    room::Standing,
    state::StateKey,
    version::RoomVersion,
};

use super::{
    super::rooms::{self, Membership},
    Error, Federation, Ground,
    history::{StateAt, chain, whole},
    intake::Taken,
    known,
    verify::{VOUCHER, voucher_of},
};
use crate::store::{
    Tx, events,
    rooms::{RoomRow, heroes, servers},
};

/// Who wants to come or go, and by which rules their server can follow a room.
pub struct Wish<'w> {
    /// What they want to be: somebody in the room, who knocks, or who has left.
    pub to: Membership,
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
    /// Whether people are left out of the state.
    pub members_omitted: bool,
}

impl Federation {
    /// The event by which somebody of another server may come or go, for it to finish and sign.
    pub async fn make(&self, wish: Wish<'_>) -> Result<Value, Error> {
        let Wish { to, origin, room_id, user_id, versions } = wish;
        if user_id.server_name() != origin {
            return Err(Error::Forbidden(format!("{user_id} is none of the people of {origin}")));
        }
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = self.shared(&mut snapshot, room_id, origin).await?;
        let follows = versions.iter().any(|version| version == row.version.as_str());
        if !follows && to != Membership::Leave {
            return Err(Error::IncompatibleVersion(row.version.as_str().to_owned()));
        }
        drop(snapshot);
        let (ground, user_id, room_id) =
            (self.ground.clone(), user_id.to_owned(), room_id.to_owned());
        // Asked where it is written, for whoever vouches must be in the room then.
        let make = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let row = known(tx, &room_id).await?;
                template(&ground, tx, &row, to, &user_id).await
            })
        });
        make.await
    }

    /// Lets somebody of another server in by the event that it has signed; where it wants so, what it is
    /// told of the room leaves out its people.
    pub async fn send_join(
        &self,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        text: Box<RawValue>,
        omit_members: bool,
    ) -> Result<Joined, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = self.shared(&mut snapshot, room_id, origin).await?;
        drop(snapshot);
        let mut event = Event::receive(row.version, text.get())?;
        check(Membership::Join, &event, origin, room_id, event_id)?;
        if voucher_of(&event).is_some_and(|voucher| voucher == self.ground.server_name) {
            // Whoever wrote the event says that somebody here vouches: that is looked at again.
            self.vouches(room_id, event.sender()).await?;
            let own = &self.ground.server_name;
            event = event.cosign(row.version, own, &self.ground.server_key)?;
        }
        self.put_in(origin, row.version, event).await?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let stored = events::by_id(&mut snapshot, event_id).await?;
        // With the signature of the room's policy server, if it has one.
        let stood = stored.and_then(|it| Some((it.event, it.roots?)));
        let stood = stood.ok_or_else(|| Error::internal(anyhow::anyhow!("it was just written")))?;
        let (event, roots) = stood;
        let servers = servers(&mut snapshot, row.room_no).await?;
        let mut state = whole(&mut snapshot, roots.state_before).await?;
        let mut rests_on = state.clone();
        if omit_members {
            let heroes = if is_named(&state) {
                Vec::new()
            } else {
                heroes(&mut snapshot, row.room_no, event.sender()).await?
            };
            let is_hero =
                |it: &Event| heroes.iter().any(|hero| it.state_key() == Some(hero.as_str()));
            state.retain(|it| *it.kind() != TimelineEventType::RoomMember || is_hero(it));
            rests_on = [state.clone(), vec![event.clone()]].concat();
        }
        let mut chain = chain(&mut snapshot, &rests_on).await?;
        if omit_members {
            // What stands in the state need not be told again.
            let told: HashSet<&EventId> = state.iter().map(Event::id).collect();
            chain.retain(|it| !told.contains(it.id()));
        }
        let state = StateAt { state, chain };
        Ok(Joined { state, event, servers, members_omitted: omit_members })
    }

    /// Lets somebody of another server knock, or go; what whoever knocks may see of the room.
    pub async fn send(
        &self,
        to: Membership,
        origin: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
        text: Box<RawValue>,
    ) -> Result<Vec<Event>, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = self.shared(&mut snapshot, room_id, origin).await?;
        drop(snapshot);
        let event = Event::receive(row.version, text.get())?;
        check(to, &event, origin, room_id, event_id)?;
        self.put_in(origin, row.version, event).await?;
        let mut snapshot = self.ground.store.snapshot().await?;
        let row = self.shared(&mut snapshot, room_id, origin).await?;
        let keys = rooms::DOOR.iter().map(|kind| StateKey::new(kind.clone(), "")).collect();
        let shown = rooms::needed(&mut snapshot, &row, keys).await?;
        Ok(shown.into_values().map(|it| it.event).collect())
    }

    /// Puts an event about somebody of another server into the room, and tells the others of it.
    async fn put_in(
        &self,
        origin: &ServerName,
        version: RoomVersion,
        event: Event,
    ) -> Result<(), Error> {
        let room_id = event.room_id().to_owned();
        let event = self.believe(version, event).await?.map_err(Error::BadJson)?;
        match self.take(origin, &room_id, event, true).await? {
            Taken::Stands(Standing::Accepted) => Ok(()),
            Taken::Stands(_) => {
                Err(Error::Forbidden("the rules of the room do not allow it".to_owned()))
            }
            Taken::Misses(_) => {
                Err(Error::BadJson("the event names what is not in the room".to_owned()))
            }
        }
    }

    /// Refuses somebody for whom nobody here may vouch now.
    async fn vouches(&self, room_id: &RoomId, user_id: &UserId) -> Result<(), Error> {
        let (ground, room_id, user_id) =
            (self.ground.clone(), room_id.to_owned(), user_id.to_owned());
        let look = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let row = known(tx, &room_id).await?;
                match rooms::vouch_for(&ground, tx, &row, &user_id).await? {
                    Some(_) => Ok(()),
                    None => Err(Error::Forbidden("nobody has to vouch for them".to_owned())),
                }
            })
        });
        look.await
    }
}

/// The coming or going of somebody of another server as it would be now, without what its own server makes.
async fn template(
    ground: &Ground,
    tx: &mut Tx,
    row: &RoomRow,
    to: Membership,
    user_id: &UserId,
) -> Result<Value, Error> {
    let mut content = Map::new();
    content.insert("membership".to_owned(), to.as_str().into());
    if to == Membership::Join
        && let Some(keeper) = rooms::vouch_for(ground, tx, row, user_id).await?
    {
        content.insert(VOUCHER.to_owned(), keeper.as_str().into());
    }
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

/// Whether a state gives its room a name by which others know it.
fn is_named(state: &[Event]) -> bool {
    let names = [TimelineEventType::RoomName, TimelineEventType::RoomCanonicalAlias];
    state.iter().any(|it| it.state_key() == Some("") && names.contains(it.kind()))
}

/// Whether an event is the coming or going that it is said to be.
fn check(
    to: Membership,
    event: &Event,
    origin: &ServerName,
    room_id: &RoomId,
    event_id: &EventId,
) -> Result<(), Error> {
    check_said(to, event, origin, room_id, event_id)?;
    if event.state_key() != Some(event.sender().as_str()) {
        return Err(Error::Invalid("people come and go by themselves".to_owned()));
    }
    Ok(())
}

/// Whether an event says of somebody what it is said to say, by the word of somebody of the server that
/// asks.
pub(super) fn check_said(
    to: Membership,
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
    if !is_member || rooms::membership_of(event) != Some(to) {
        return Err(Error::Invalid(format!("the event is no {}", to.as_str())));
    }
    if event.sender().server_name() != origin {
        return wrong("its sender is none of the people of the server that asks");
    }
    Ok(())
}
