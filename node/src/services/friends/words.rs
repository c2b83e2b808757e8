//! What is said of friendship in rooms, and what follows from it (specs/social.md, "Friends").

use std::collections::{BTreeMap, HashMap};

use ruma::{EventId, OwnedEventId, OwnedRoomId, OwnedUserId, UserId};
use serde_json::{Value, value::RawValue};
use wayside_federation::state::EventNo;
use wayside_identity::friend;

use super::super::{Error, rooms::view::text_in};
use crate::store::{
    Reads,
    events::{self, StoredEvent},
    friends::{self, Word},
    rooms::{self, Membership, RoomRow},
};

/// Longest message with which somebody asks, in bytes.
pub(super) const MESSAGE_BYTES: usize = 500;
/// Largest record that is looked at, in bytes.
const RECORD_BYTES: usize = 16 * 1024;
/// Most accounts that somebody says they have left of which is taken notice.
const FORMERLY: usize = 16;

/// How two people stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Both have said that they are friends.
    Friend,
    /// The other one has asked.
    Asking,
    /// The other one was asked.
    Asked,
}

impl Standing {
    /// The word for it in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Friend => "friend",
            Self::Asking => "asking",
            Self::Asked => "asked",
        }
    }
}

/// What is between somebody and somebody else.
#[derive(Clone, Debug)]
pub struct Bond {
    /// The other one.
    pub user_id: OwnedUserId,
    /// How they stand to each other.
    pub standing: Standing,
    /// The room of their conversation.
    pub room_id: OwnedRoomId,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: i64,
    /// With what words one of them has asked.
    pub message: Option<String>,
    /// What the other one is called in that room.
    pub name: Option<String>,
    /// Their picture there.
    pub avatar_url: Option<String>,
    /// What the other one has signed.
    pub(super) record: Option<Value>,
    /// Whether whoever it is about stands at the door of the room.
    pub(super) at_door: bool,
    /// The event by which the other one says it, where it is known here.
    pub(super) theirs: Option<OwnedEventId>,
    /// The accounts that the other one says they have left.
    pub(super) formerly: Vec<OwnedUserId>,
}

/// What one says in one room.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    with: Option<OwnedUserId>,
    refuses: Option<OwnedEventId>,
    message: Option<String>,
    record: Option<Value>,
    formerly: Vec<OwnedUserId>,
}

impl Said {
    /// Reads the content of an event; what does not read says nothing.
    pub(super) fn read(content: &str) -> Self {
        let Ok(content) = serde_json::from_str::<Value>(content) else { return Self::default() };
        let text = |name: &str| content.get(name).and_then(Value::as_str);
        let message = text("message").map(str::trim).filter(|it| !it.is_empty());
        let record = content.get("record").filter(|it| it.is_object());
        let formerly = content.get("formerly").and_then(Value::as_array).into_iter().flatten();
        let formerly = formerly.filter_map(|it| UserId::parse(it.as_str()?).ok()).take(FORMERLY);
        Self {
            with: text("with").and_then(|it| UserId::parse(it).ok()),
            refuses: text("refuses").and_then(|it| EventId::parse(it).ok()),
            message: message.filter(|it| it.len() <= MESSAGE_BYTES).map(str::to_owned),
            record: record.filter(|it| it.to_string().len() <= RECORD_BYTES).cloned(),
            formerly: formerly.collect(),
        }
    }
}

/// A word of somebody in a room of which this node knows the state.
struct Spoken {
    said: Said,
    event_id: OwnedEventId,
    sent_ms: i64,
    /// Whether they are in the room.
    is_in: bool,
}

/// Everything that is between somebody and others, each of these once.
pub(super) async fn bonds(from: &mut impl Reads, user_id: &UserId) -> Result<Vec<Bond>, Error> {
    let mut found = inside(from, user_id).await?;
    found.extend(at_doors(from, user_id).await?);
    let mut by_person: BTreeMap<OwnedUserId, Bond> = BTreeMap::new();
    for bond in found {
        let known = by_person.get(&bond.user_id);
        // Of several the one that says most counts: two who asked each other at once see it of each other.
        if known.is_none_or(|known| bond.standing < known.standing) {
            by_person.insert(bond.user_id.clone(), bond);
        }
    }
    Ok(by_person.into_values().collect())
}

/// Everything that is between two, in every room.
pub(super) async fn all_between(
    from: &mut impl Reads,
    user_id: &UserId,
    other: &UserId,
) -> Result<Vec<Bond>, Error> {
    let mut found = inside(from, user_id).await?;
    found.extend(at_doors(from, user_id).await?);
    found.retain(|bond| bond.user_id == other);
    Ok(found)
}

/// The rooms in which somebody says that they are somebody's friend, whatever that is worth.
pub(super) async fn wished_in(
    from: &mut impl Reads,
    user_id: &UserId,
    other: &UserId,
) -> Result<Vec<OwnedRoomId>, Error> {
    let mut words = friends::words(from, user_id, friend::EVENT).await?;
    words.retain(|word| word.by == user_id && word.standing == Membership::Join);
    let numbers: Vec<EventNo> = words.iter().map(|word| word.event_no).collect();
    let stored = events::by_numbers(from, &numbers).await?;
    let names = |stored: &StoredEvent| {
        Said::read(stored.event.content().get()).with.as_deref() == Some(other)
    };
    words.retain(|word| stored.get(&word.event_no).is_some_and(names));
    let rooms_no: Vec<i64> = words.iter().map(|word| word.room_no).collect();
    let rooms = rooms::by_numbers(from, &rooms_no).await?;
    Ok(rooms.into_iter().map(|room| room.room_id).collect())
}

/// A room in which both have spoken of it before and are still, so that each can again; and what whoever asks
/// has refused there.
pub(super) async fn spoken_in(
    from: &mut impl Reads,
    user_id: &UserId,
    other: &UserId,
) -> Result<Option<(OwnedRoomId, Option<OwnedEventId>)>, Error> {
    let words = friends::words(from, user_id, friend::EVENT).await?;
    for words in words.chunk_by(|a, b| a.room_no == b.room_no) {
        let said_by = |one: &UserId| {
            let is_in = |word: &&Word| word.theirs == Membership::Join;
            words.iter().filter(is_in).find(|word| word.by == one)
        };
        let (Some(mine), Some(_)) = (said_by(user_id), said_by(other)) else { continue };
        let rooms = rooms::by_numbers(from, &[mine.room_no]).await?;
        let Some(room) = rooms.into_iter().find(|room| room.joined <= 2) else { continue };
        let stored = events::by_numbers(from, &[mine.event_no]).await?;
        let said = stored.get(&mine.event_no).map(|it| Said::read(it.event.content().get()));
        return Ok(Some((room.room_id, said.and_then(|said| said.refuses))));
    }
    Ok(None)
}

/// What follows from the state of rooms that are known here.
async fn inside(from: &mut impl Reads, user_id: &UserId) -> Result<Vec<Bond>, Error> {
    let words = friends::words(from, user_id, friend::EVENT).await?;
    let numbers: Vec<EventNo> = words.iter().map(|word| word.event_no).collect();
    let stored = events::by_numbers(from, &numbers).await?;
    let mut rooms_no: Vec<i64> = words.iter().map(|word| word.room_no).collect();
    rooms_no.dedup();
    let rooms = rooms::by_numbers(from, &rooms_no).await?;
    let rooms: HashMap<i64, RoomRow> = rooms.into_iter().map(|it| (it.room_no, it)).collect();
    let mut found = Vec::new();
    for words in words.chunk_by(|a, b| a.room_no == b.room_no) {
        let Some(room) = rooms.get(&words[0].room_no) else { continue };
        let spoken: BTreeMap<&UserId, Spoken> =
            words.iter().filter_map(|word| Some((&*word.by, spoken(word, &stored)?))).collect();
        let at_door = words[0].standing == Membership::Invite;
        found.extend(of_room(from, user_id, room, at_door, &spoken).await?);
    }
    Ok(found)
}

fn spoken(word: &Word, stored: &HashMap<EventNo, StoredEvent>) -> Option<Spoken> {
    let stored = stored.get(&word.event_no)?;
    Some(Spoken {
        said: Said::read(stored.event.content().get()),
        event_id: stored.event.id().to_owned(),
        sent_ms: stored.sent_ms(),
        is_in: word.theirs == Membership::Join,
    })
}

/// What follows from what is said in one room. A word holds until the other one answers that very word by a
/// refusal: whoever wants it after that says it anew.
async fn of_room(
    from: &mut impl Reads,
    user_id: &UserId,
    room: &RoomRow,
    at_door: bool,
    spoken: &BTreeMap<&UserId, Spoken>,
) -> Result<Option<Bond>, Error> {
    let mine = spoken.get(user_id).filter(|_| !at_door);
    let names = |it: &Spoken, one: &UserId| it.said.with.as_deref() == Some(one);
    let refused = |by: Option<&Spoken>, it: &Spoken| {
        by.is_some_and(|by| by.said.refuses.as_ref() == Some(&it.event_id))
    };
    let asks = |it: &Spoken| it.is_in && names(it, user_id) && !refused(mine, it);
    let asking = spoken.iter().find(|(by, it)| **by != user_id && asks(it));
    let wished = mine.and_then(|mine| {
        let with = mine.said.with.as_deref()?;
        (!refused(spoken.get(with), mine)).then_some((with, mine))
    });
    let Some((with, mine)) = wished else {
        // Whoever may speak in a room of many does not ask each of them.
        let (Some((by, it)), true) = (asking, room.joined <= 2) else { return Ok(None) };
        let bond = bond(from, room, by, Standing::Asking, it).await?;
        return Ok(Some(Bond { at_door, ..bond }));
    };
    let theirs = spoken.get(with);
    let row = rooms::membership(from, room.room_no, with).await?;
    let standing = match row.map(|row| row.membership) {
        Some(Membership::Join) if theirs.is_none_or(asks) => Standing::Friend,
        // They came when they were asked, with a program that knows no other answer, or have not answered.
        Some(Membership::Join | Membership::Invite) => Standing::Asked,
        _ => return Ok(None),
    };
    let answered = theirs.filter(|_| standing == Standing::Friend);
    let mut bond = bond(from, room, with, standing, answered.unwrap_or(mine)).await?;
    if answered.is_none() {
        bond.record = None;
    }
    bond.theirs = theirs.map(|it| it.event_id.clone());
    bond.message.clone_from(&mine.said.message);
    Ok(Some(bond))
}

async fn bond(
    from: &mut impl Reads,
    room: &RoomRow,
    other: &UserId,
    standing: Standing,
    told: &Spoken,
) -> Result<Bond, Error> {
    let row = rooms::membership(from, room.room_no, other).await?;
    let member = match row {
        Some(row) => events::by_numbers(from, &[row.event_no]).await?.remove(&row.event_no),
        None => None,
    };
    let text = |name: &str| member.as_ref().and_then(|it| text_in(&it.event, name));
    Ok(Bond {
        user_id: other.to_owned(),
        standing,
        room_id: room.room_id.clone(),
        since_ms: told.sent_ms,
        message: told.said.message.clone(),
        name: text("displayname"),
        avatar_url: text("avatar_url"),
        record: told.said.record.clone(),
        at_door: false,
        theirs: Some(told.event_id.clone()),
        formerly: told.said.formerly.clone(),
    })
}

/// Who asks by an invitation to a room of which this node knows no more than what was shown with it.
async fn at_doors(from: &mut impl Reads, user_id: &UserId) -> Result<Vec<Bond>, Error> {
    let mut found = Vec::new();
    let doors = friends::at_doors(from, user_id).await?;
    let asking = doors.into_iter().filter_map(|(room_no, shown)| {
        Some((room_no, asked_by(&serde_json::from_str::<Vec<Value>>(&shown).ok()?, user_id)?))
    });
    let asking: Vec<_> = asking.collect();
    let numbers: Vec<i64> = asking.iter().map(|(room_no, _)| *room_no).collect();
    let rooms = rooms::by_numbers(from, &numbers).await?;
    for (room_no, Asking { by, said, name, avatar_url }) in asking {
        let Some(room) = rooms.iter().find(|room| room.room_no == room_no) else { continue };
        let row = rooms::membership(from, room_no, user_id).await?;
        let invitation = match row {
            Some(row) => events::by_numbers(from, &[row.event_no]).await?.remove(&row.event_no),
            None => None,
        };
        // Nobody asks in the name of somebody else.
        let Some(invitation) = invitation.filter(|it| it.event.sender() == by) else { continue };
        found.push(Bond {
            user_id: by,
            standing: Standing::Asking,
            room_id: room.room_id.clone(),
            since_ms: invitation.sent_ms(),
            message: said.message,
            name,
            avatar_url,
            record: said.record,
            at_door: true,
            theirs: None,
            formerly: said.formerly,
        });
    }
    Ok(found)
}

/// Who asks somebody by what is shown of a room.
struct Asking {
    by: OwnedUserId,
    said: Said,
    name: Option<String>,
    avatar_url: Option<String>,
}

/// Reads what is shown of a room with an invitation, where it is a question for friendship.
fn asked_by(shown: &[Value], user_id: &UserId) -> Option<Asking> {
    let text = |event: &Value, name: &str| event.get(name)?.as_str().map(str::to_owned);
    let of_kind = |kind: &'static str| {
        shown.iter().filter(move |event| event.get("type").and_then(Value::as_str) == Some(kind))
    };
    let (by, said) = of_kind(friend::EVENT).find_map(|event| {
        let by =
            text(event, "sender").filter(|by| Some(by) == text(event, "state_key").as_ref())?;
        let said = Said::read(&event.get("content")?.to_string());
        let is_mine = said.with.as_deref() == Some(user_id);
        Some((UserId::parse(by).ok()?, said)).filter(|_| is_mine)
    })?;
    let is_theirs = |event: &&Value| text(event, "state_key").as_deref() == Some(by.as_str());
    let member = of_kind("m.room.member").find(is_theirs);
    let of_member = |name: &str| text(member?.get("content")?, name);
    let (name, avatar_url) = (of_member("displayname"), of_member("avatar_url"));
    Some(Asking { by, said, name, avatar_url })
}

/// What somebody says who is somebody's friend, or asks for it.
pub(super) struct Wish<'w> {
    /// Whose.
    pub with: &'w UserId,
    /// What they sign.
    pub record: Option<Value>,
    /// With what words.
    pub message: Option<&'w str>,
    /// What they have refused before stays refused, so that nobody becomes a friend again who did not say so
    /// anew.
    pub refused: Option<&'w EventId>,
    /// Under which accounts the other one may know them.
    pub formerly: &'w [OwnedUserId],
}

impl Wish<'_> {
    /// The content of the event.
    pub(super) fn said(self, at_ms: i64) -> Result<Box<RawValue>, Error> {
        let mut content = serde_json::json!({ "with": self.with, "asked_ms": at_ms });
        if let Some(record) = self.record {
            content["record"] = record;
        }
        if let Some(message) = self.message {
            content["message"] = message.into();
        }
        if let Some(refused) = self.refused {
            content["refuses"] = refused.as_str().into();
        }
        if !self.formerly.is_empty() {
            content["formerly"] = serde_json::json!(self.formerly);
        }
        serde_json::value::to_raw_value(&content).map_err(Error::internal)
    }
}

/// What somebody says who is not, or no more: what the other one has said is answered by it.
pub(super) fn refusal(theirs: Option<&EventId>) -> Result<Box<RawValue>, Error> {
    let content = match theirs {
        Some(theirs) => serde_json::json!({ "refuses": theirs }),
        None => serde_json::json!({}),
    };
    serde_json::value::to_raw_value(&content).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::json;

    use super::*;

    fn shown(sender: &str, key: &str, with: &str) -> Vec<Value> {
        let content = json!({ "with": with, "message": " Hello ", "record": { "id": "x" } });
        vec![
            json!({ "type": "m.room.member", "sender": sender, "state_key": sender,
                    "content": { "membership": "join", "displayname": "Bob" } }),
            json!({ "type": friend::EVENT, "sender": sender, "state_key": key, "content": content }),
        ]
    }

    #[test]
    fn who_asks_is_read_from_what_an_invitation_shows() {
        let me = user_id!("@ada:a.test");
        let asking = asked_by(&shown("@bob:b.test", "@bob:b.test", me.as_str()), me).unwrap();
        assert_eq!(asking.by, "@bob:b.test");
        assert_eq!(asking.said.message.as_deref(), Some("Hello"));
        assert_eq!(asking.name.as_deref(), Some("Bob"));
        assert!(asking.said.record.is_some());
        // In the name of somebody else, or of somebody else, nobody asks.
        assert!(asked_by(&shown("@bob:b.test", "@eve:b.test", me.as_str()), me).is_none());
        assert!(asked_by(&shown("@bob:b.test", "@bob:b.test", "@eve:a.test"), me).is_none());
        for junk in [json!(7), json!({}), json!({ "type": friend::EVENT, "content": [] })] {
            assert!(asked_by(&[junk], me).is_none());
        }
    }

    #[test]
    fn words_are_read_as_far_as_they_read() {
        let long = json!({ "with": "@a:b", "message": "x".repeat(501) }).to_string();
        assert!(Said::read(&long).message.is_none());
        let large = json!({ "with": "@a:b", "record": { "x": "y".repeat(20_000) } }).to_string();
        assert!(Said::read(&large).record.is_none());
        for junk in ["", "[]", "7", r#"{"with":7}"#, r#"{"with":"bob"}"#, r#"{"record":"x"}"#] {
            let said = Said::read(junk);
            assert!(said.with.is_none() && said.record.is_none(), "{junk}");
        }
    }
}
