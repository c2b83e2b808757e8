//! Coming into rooms of other servers, knocking there and going (server-server API, joining, knocking, leaving).

use std::time::Duration;

use http::Method;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, value::RawValue};
use wayside_federation::{
    event::{Draft, Event},
    state::{NodeId, StateKey},
    version::RoomVersion,
};

use super::{
    super::{
        rooms::{self, Membership, Step, Wording, view::text_in},
        servers::{AskError, Question},
    },
    Error, Federation,
    invite::stripped,
    verify::VOUCHER,
};
use crate::store::{Tx, doors, events, rooms as stored};

/// Servers that are asked one after the other for one joining.
const SERVERS: usize = 10;
/// Most events by which another event may be said to come: what a graph's events name.
const PREV_EVENTS: usize = 20;
/// How long servers are asked of which each may take its time; then no further one is.
const PATIENCE: Duration = Duration::from_mins(5);
/// Bytes of a room that is told whole, and how long that may take.
const ROOM: (usize, Duration) = (256 * 1024 * 1024, Duration::from_mins(5));
/// Bytes of a template, and how long whoever stands at the door waits for it.
const TEMPLATE: (usize, Duration) = (128 * 1024, Duration::from_secs(30));

/// Where a room is.
enum Whereabouts {
    /// This node knows what it is like.
    Here {
        /// Servers that know it too.
        others: Vec<OwnedServerName>,
    },
    /// Others go on with it.
    Elsewhere {
        /// Servers that may know it.
        servers: Vec<OwnedServerName>,
        /// How the person stands to it.
        standing: Option<Membership>,
    },
}

/// Somebody who wants to stand to a room in another way.
struct Going<'g> {
    room_id: &'g RoomId,
    user_id: &'g UserId,
    step: &'g Step,
}

/// The event by which somebody comes, as another server would have it.
#[derive(Deserialize)]
struct Template {
    room_version: Option<String>,
    event: Wanted,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(rename = "type")]
    kind: String,
    sender: OwnedUserId,
    state_key: String,
    room_id: OwnedRoomId,
    content: Map<String, Value>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    depth: u64,
}

/// What is shown to somebody who knocks.
#[derive(Deserialize)]
struct Knocked {
    #[serde(default)]
    knock_room_state: Vec<Box<RawValue>>,
}

/// A room as another server lets this node into it.
#[derive(Deserialize)]
pub(super) struct LetIn {
    #[serde(default)]
    pub(super) members_omitted: bool,
    pub(super) state: Vec<Box<RawValue>>,
    pub(super) auth_chain: Vec<Box<RawValue>>,
    pub(super) event: Option<Box<RawValue>>,
}

impl Federation {
    /// Changes how `target` stands to a room, in the name of `sender`, wherever the room is. Servers
    /// that may know it are asked where this node does not.
    pub async fn step(
        &self,
        room_id: &RoomId,
        sender: &UserId,
        target: &UserId,
        step: Step,
        via: &[OwnedServerName],
    ) -> Result<(), Error> {
        if step.to == Membership::Invite && !self.ground.is_local(target) {
            return self.invite(room_id, sender, target, Wording::Step(step)).await.map(drop);
        }
        let alone = matches!(step.to, Membership::Join | Membership::Knock | Membership::Leave);
        if sender != target || !alone {
            return self.rooms.step(room_id, sender, target, step).await;
        }
        let going = Going { room_id, user_id: target, step: &step };
        if let Whereabouts::Here { others } = self.whereabouts(&going, via).await? {
            return self.step_here(&going, others).await;
        }
        let door = self.door(room_id);
        let _asks = door.asking.acquire().await.map_err(Error::internal)?;
        // Somebody else of this node may have come in while this one waited.
        let (servers, standing) = match self.whereabouts(&going, via).await? {
            Whereabouts::Here { others } => return self.step_here(&going, others).await,
            Whereabouts::Elsewhere { servers, standing } => (servers, standing),
        };
        if step.guest && step.to != Membership::Leave {
            return Err(Error::Guest);
        }
        if step.to == Membership::Leave {
            if !matches!(standing, Some(Membership::Invite | Membership::Knock)) {
                return Err(Error::Forbidden("you are not in this room".to_owned()));
            }
            if let Err(error) = self.through_any(&going, &servers).await {
                // Nobody has to stand at a door for ever that nobody opens.
                tracing::info!(%error, "a server does not hear that an invitation is refused");
                self.turn_away(&going).await?;
            }
            return Ok(());
        }
        self.through_any(&going, &servers).await
    }

    /// The same in a room that is here.
    async fn step_here(
        &self,
        going: &Going<'_>,
        others: Vec<OwnedServerName>,
    ) -> Result<(), Error> {
        let Going { room_id, user_id, step } = *going;
        let done = self.rooms.step(room_id, user_id, user_id, step.clone()).await;
        if step.to != Membership::Join || step.guest || others.is_empty() {
            return done;
        }
        match done {
            // Perhaps nobody here may vouch for them, but somebody of another server may.
            Err(Error::Forbidden(why)) if self.is_restricted(room_id).await? => {
                let through = self.through_any(going, &others).await;
                through.map_err(|_| Error::Forbidden(why))
            }
            done => done,
        }
    }

    async fn is_restricted(&self, room_id: &RoomId) -> Result<bool, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let Some(room) = stored::room(&mut snapshot, room_id).await? else { return Ok(false) };
        let key = StateKey::new(StateEventType::RoomJoinRules, "");
        let held = rooms::needed(&mut snapshot, &room, vec![key.clone()]).await?;
        let rule = held.get(&key).and_then(|it| text_in(&it.event, "join_rule"));
        Ok(matches!(rule.as_deref(), Some("restricted" | "knock_restricted")))
    }

    /// Where a room is, for somebody.
    async fn whereabouts(
        &self,
        going: &Going<'_>,
        via: &[OwnedServerName],
    ) -> Result<Whereabouts, Error> {
        let own = &self.ground.server_name;
        let mut snapshot = self.ground.store.snapshot().await?;
        let mut servers: Vec<OwnedServerName> = via.to_vec();
        let mut standing = None;
        if let Some(room) = stored::room(&mut snapshot, going.room_id).await? {
            let others = if room.others > 0 {
                stored::servers(&mut snapshot, room.room_no).await?
            } else {
                Vec::new()
            };
            let others: Vec<_> = others.into_iter().filter(|it| it != own).take(SERVERS).collect();
            if !rooms::is_elsewhere(&mut snapshot, &room, own).await? {
                return Ok(Whereabouts::Here { others });
            }
            if let Some(row) =
                stored::membership(&mut snapshot, room.room_no, going.user_id).await?
            {
                standing = Some(row.membership);
                let said = events::by_numbers(&mut snapshot, &[row.event_no]).await?;
                // Whoever invites knows the room.
                let inviter = said.values().map(|it| it.event.sender().server_name().to_owned());
                servers.extend(inviter);
            }
            servers.extend(doors::server(&mut snapshot, room.room_no, going.user_id).await?);
            servers.extend(others);
        }
        servers.extend(going.room_id.server_name().map(ToOwned::to_owned));
        let mut seen = std::collections::HashSet::new();
        servers.retain(|it| it != own && seen.insert(it.clone()));
        servers.truncate(SERVERS);
        Ok(Whereabouts::Elsewhere { servers, standing })
    }

    /// Asks one server after the other until one lets them.
    async fn through_any(
        &self,
        going: &Going<'_>,
        servers: &[OwnedServerName],
    ) -> Result<(), Error> {
        let mut told = None;
        let begun = self.ground.clock.instant();
        for server in servers {
            if self.ground.clock.instant().duration_since(begun) > PATIENCE {
                break;
            }
            match self.through(going, server).await {
                Ok(()) => return Ok(()),
                Err(AskError::Node(error)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, room_id = %going.room_id, "a server lets nobody in");
                    let error = Error::from(error);
                    // That they may not is worth more than that another was not to be reached.
                    if told.is_none() || matches!(error, Error::Forbidden(_)) {
                        told = Some(error);
                    }
                }
            }
        }
        let room_id = going.room_id;
        Err(told.unwrap_or_else(|| {
            let why = format!(
                "this node does not know the room {room_id}, nor a server that is in it: name one by via"
            );
            Error::NotFound(why)
        }))
    }

    async fn through(&self, going: &Going<'_>, server: &ServerName) -> Result<(), AskError> {
        let (version, event) = self.agree(going, server).await?;
        let (room, id) = (going.room_id.as_str(), event.id().as_str());
        match going.step.to {
            Membership::Join => {
                let path = ["_matrix", "federation", "v2", "send_join", room, id];
                let whole = [("omit_members", "false")];
                let told: LetIn = self.hand(server, &path, &whole, &event, ROOM).await?;
                self.come_in(server, version, event, told).await
            }
            Membership::Knock => {
                let path = ["_matrix", "federation", "v1", "send_knock", room, id];
                let told: Knocked = self.hand(server, &path, &[], &event, TEMPLATE).await?;
                let shown = stripped(version, going.room_id, &told.knock_room_state);
                Ok(self.stand_outside(version, event, Some((server, shown))).await?)
            }
            _ => {
                let path = ["_matrix", "federation", "v2", "send_leave", room, id];
                let _empty: Map<String, Value> =
                    self.hand(server, &path, &[], &event, TEMPLATE).await?;
                Ok(self.stand_outside(version, event, None).await?)
            }
        }
    }

    /// Hands a server an event, for it to put into its room.
    async fn hand<T: DeserializeOwned + Send + 'static>(
        &self,
        server: &ServerName,
        path: &[&str],
        query: &[(&str, &str)],
        event: &Event,
        (bytes, time): (usize, Duration),
    ) -> Result<T, AskError> {
        let text = RawValue::from_string(event.json().to_owned()).map_err(Error::internal)?;
        let question = Question::get(path, query).with(Method::PUT, &text)?;
        self.servers.ask(server, question.bounded(bytes, time).urgent()).await
    }

    /// Agrees with a server on the event by which somebody comes or goes.
    async fn agree(
        &self,
        going: &Going<'_>,
        server: &ServerName,
    ) -> Result<(RoomVersion, Event), AskError> {
        let Going { room_id, user_id, step } = *going;
        let verb = match step.to {
            Membership::Join => "make_join",
            Membership::Knock => "make_knock",
            _ => "make_leave",
        };
        let path = ["_matrix", "federation", "v1", verb, room_id.as_str(), user_id.as_str()];
        let known: Vec<(&str, &str)> = if step.to == Membership::Leave {
            Vec::new()
        } else {
            RoomVersion::ALL.iter().map(|version| ("ver", version.as_str())).collect()
        };
        let question = Question::get(&path, &known).bounded(TEMPLATE.0, TEMPLATE.1).urgent();
        let template: Template = self.servers.ask(server, question).await?;
        let wrong =
            |why: &str| AskError::BadAnswer { server: server.to_string(), why: why.to_owned() };
        let version = template.room_version.as_deref().and_then(RoomVersion::parse);
        let version = version.ok_or_else(|| wrong("the room follows rules unknown here"))?;
        let Wanted {
            kind,
            sender,
            state_key,
            room_id: room,
            content,
            prev_events,
            auth_events,
            depth,
        } = template.event;
        let says = content.get("membership").and_then(Value::as_str);
        if kind != "m.room.member"
            || sender != *user_id
            || state_key != user_id.as_str()
            || room != *room_id
            || says != Some(step.to.as_str())
        {
            return Err(wrong("its event says something else than what was asked for"));
        }
        if prev_events.is_empty() || prev_events.len() > PREV_EVENTS || depth == 0 {
            return Err(wrong("its event stands nowhere in the room"));
        }
        let mut own = self.content_of(user_id, step).await?;
        if step.to == Membership::Join {
            own.extend(content.get_key_value(VOUCHER).map(|(key, it)| (key.clone(), it.clone())));
        }
        let prev: Vec<_> = prev_events.into_iter().map(|id| (id, depth - 1)).collect();
        let draft = Draft {
            kind: TimelineEventType::RoomMember,
            state_key: Some(user_id.to_string()),
            sender: user_id.to_owned(),
            content: serde_json::value::to_raw_value(&own).map_err(Error::internal)?,
            redacts: None,
            origin_server_ts: self.ground.clock.now(),
        };
        let key = &self.ground.server_key;
        let event = draft.seal(version, Some(room_id), &prev, auth_events, key);
        Ok((version, event.map_err(|error| wrong(&error.to_string()))?))
    }

    /// How somebody shows themselves who comes, and what they say.
    async fn content_of(&self, user_id: &UserId, step: &Step) -> Result<Map<String, Value>, Error> {
        let mut content = if step.to == Membership::Leave {
            Map::new()
        } else {
            rooms::person(&mut self.ground.store.snapshot().await?, user_id).await?
        };
        content.insert("membership".to_owned(), step.to.as_str().into());
        if let Some(reason) = &step.reason {
            content.insert("reason".to_owned(), reason.as_str().into());
        }
        Ok(content)
    }

    /// Writes down how somebody stands to a room that goes on without this node, and what they see of
    /// it.
    pub(super) async fn stand_outside(
        &self,
        version: RoomVersion,
        event: Event,
        shown: Option<(&ServerName, Vec<Value>)>,
    ) -> Result<(), Error> {
        let ground = self.ground.clone();
        let shown = shown.map(|(server, shown)| (server.to_owned(), shown));
        let write = self.ground.store.write(move |tx| {
            Box::pin(async move {
                let kind = shown.as_ref().and_then(|(_, shown)| shown.iter().find_map(room_kind));
                let mut room = heard_of(tx, event.room_id(), version, kind).await?;
                if !rooms::is_elsewhere(tx, &room, &ground.server_name).await? {
                    // The event comes with the others of the room.
                    return Ok(());
                }
                let user_id = event.state_key().and_then(|key| UserId::parse(key).ok());
                if let Some(user_id) = user_id {
                    match shown {
                        Some((server, shown)) => {
                            let text = Value::Array(shown).to_string();
                            tx.show_at_door(room.room_no, &user_id, &server, &text).await?;
                        }
                        None => tx.close_door(room.room_no, &user_id).await?,
                    }
                }
                rooms::move_outside(&ground, tx, &mut room, event).await?;
                Ok(tx.move_room(&room).await?)
            })
        });
        write.await
    }

    /// Lets somebody turn away from the door of a room whose servers do not hear of it.
    async fn turn_away(&self, going: &Going<'_>) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let unknown = || Error::Forbidden("you are not in this room".to_owned());
        let room = stored::room(&mut snapshot, going.room_id).await?.ok_or_else(unknown)?;
        let row = stored::membership(&mut snapshot, room.room_no, going.user_id).await?;
        let row = row.ok_or_else(unknown)?;
        let said = events::by_numbers(&mut snapshot, &[row.event_no]).await?;
        let said = said.into_values().next().ok_or_else(unknown)?.event;
        drop(snapshot);
        let content = self.content_of(going.user_id, going.step).await?;
        let draft = Draft {
            kind: TimelineEventType::RoomMember,
            state_key: Some(going.user_id.to_string()),
            sender: going.user_id.to_owned(),
            content: serde_json::value::to_raw_value(&content).map_err(Error::internal)?,
            redacts: None,
            origin_server_ts: self.ground.clock.now(),
        };
        let prev = [(said.id().to_owned(), said.depth())];
        let (cited, key) = (vec![said.id().to_owned()], &self.ground.server_key);
        let event = draft.seal(room.version, Some(going.room_id), &prev, cited, key)?;
        self.stand_outside(room.version, event, None).await
    }
}

/// A room that nobody of this node has been in yet, written down where it was not.
pub(super) async fn heard_of(
    tx: &mut Tx,
    room_id: &RoomId,
    version: RoomVersion,
    kind: Option<String>,
) -> Result<stored::RoomRow, Error> {
    if let Some(mut known) = stored::room(tx, room_id).await? {
        let is_other = known.version != version || kind.is_some() && known.kind != kind;
        // While nobody of this node was in it, it is what was said of it last: whoever spoke of it before may
        // have lied.
        if known.state_root == NodeId::EMPTY && is_other {
            (known.version, known.kind) = (version, kind.or(known.kind));
            tx.set_nature(&known).await?;
        }
        return Ok(known);
    }
    let room = stored::RoomRow {
        room_no: tx.next_number(),
        room_id: room_id.to_owned(),
        version,
        kind,
        heads: Vec::new(),
        state_root: NodeId::EMPTY,
        last_position: 0,
        joined: 0,
        invited: 0,
        published: false,
        others: 0,
        since_depth: 0,
    };
    tx.add_room(&room).await?;
    Ok(room)
}

/// The type of a room, if this is how it was made.
fn room_kind(event: &Value) -> Option<String> {
    let creates = event.get("type").and_then(Value::as_str) == Some("m.room.create");
    let kind = event.get("content").filter(|_| creates)?.get("type")?.as_str()?;
    Some(kind.to_owned())
}
