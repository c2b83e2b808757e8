//! Ephemeral data units of other servers: each read and judged by itself, so that none fails another.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{EventId, OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, ServerName, UserId};
use serde::Deserialize;
use serde_json::value::RawValue;
use wayside_federation::{device::Usage, moments::Reader};
use wayside_specs::limits;

use super::{
    super::{
        encryption::abroad,
        live::{AWAY_ELSEWHERE_MS, FromAfar, Presence},
        place::Whereabouts,
        social,
    },
    Error, Federation, Ground, admits,
};
use crate::store::{
    Reads, Tx, accounts, events,
    keys::{DeviceRecord, PersonRecord},
    people, remote,
    rooms::{self, Membership, RoomRow},
};

/// Changes that are written down together, so that others may write in between.
const AT_ONCE: usize = 500;
/// Most receipts, or people's presences, of one unit; those behind them are passed over.
const MANY: usize = 1_000;
/// How long somebody types elsewhere whose server says no more of it, in milliseconds.
const TYPING_MS: i64 = 60_000;
/// Earlier changes of a list that one of its changes may name.
const PREVIOUS: usize = 20;

/// One unit as it comes.
#[derive(Deserialize)]
pub(super) struct Unit {
    edu_type: String,
    content: Box<RawValue>,
}

/// What a unit says that came whole, of people of the server that sent it.
#[derive(Debug)]
enum Said {
    Letters(Letters),
    Device(Box<DeviceChange>),
    Person(OwnedUserId, Option<Box<RawValue>>, Option<Box<RawValue>>),
    Receipts(Vec<(Reader, OwnedEventId, i64)>),
    Typing(OwnedRoomId, OwnedUserId, bool),
    Presence(Vec<Push>),
}

#[derive(Debug, Deserialize)]
struct Letters {
    sender: OwnedUserId,
    #[serde(rename = "type")]
    kind: String,
    message_id: String,
    messages: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
}

#[derive(Debug, Deserialize)]
struct DeviceChange {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    device_display_name: Option<String>,
    stream_id: i64,
    #[serde(default)]
    prev_id: Vec<i64>,
    #[serde(default)]
    deleted: bool,
    keys: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct PersonChange {
    user_id: OwnedUserId,
    master_key: Option<Box<RawValue>>,
    self_signing_key: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Typist {
    room_id: OwnedRoomId,
    user_id: OwnedUserId,
    typing: bool,
}

#[derive(Deserialize)]
struct Receipt {
    event_ids: Vec<OwnedEventId>,
    data: ReceiptData,
}

#[derive(Deserialize)]
struct ReceiptData {
    #[serde(default)]
    ts: i64,
    thread_id: Option<String>,
}

#[derive(Deserialize)]
struct Presences {
    push: Vec<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
struct Push {
    user_id: OwnedUserId,
    presence: String,
    status_msg: Option<String>,
    #[serde(default)]
    last_active_ago: i64,
    #[serde(rename = "org.wayside.place")]
    place: Option<serde_json::Value>,
}

impl Said {
    /// Reads a unit; nothing of a kind that is not known, which is no fault.
    fn read(origin: &ServerName, unit: &RawValue) -> Result<Option<Self>, String> {
        let unit: Unit = parse(unit)?;
        let content = &*unit.content;
        // What people write to each other may hold it; no name that is written down does.
        let is_letter = unit.edu_type == "m.direct_to_device";
        if !is_letter && content.get().contains("\\u0000") {
            return Err("no name holds the character NUL".to_owned());
        }
        let own = |user_id: &UserId| {
            let is_own = user_id.server_name() == origin && !user_id.as_str().contains('\0');
            if is_own { Ok(()) } else { Err(format!("{user_id} is not theirs")) }
        };
        Ok(Some(match unit.edu_type.as_str() {
            "m.direct_to_device" => {
                let letters: Letters = parse(content)?;
                own(&letters.sender)?;
                letters.check()?;
                Self::Letters(letters)
            }
            "m.device_list_update" => {
                let change: DeviceChange = parse(content)?;
                own(&change.user_id)?;
                let id = change.device_id.as_str();
                if id.is_empty() || id.len() > limits::TOKEN_BYTES {
                    return Err("a device_id has 1 to 255 bytes".to_owned());
                }
                Self::Device(Box::new(change))
            }
            "m.signing_key_update" => {
                let change: PersonChange = parse(content)?;
                own(&change.user_id)?;
                Self::Person(change.user_id, change.master_key, change.self_signing_key)
            }
            "m.receipt" => Self::Receipts(receipts(origin, content)?),
            "m.typing" => {
                let typing: Typist = parse(content)?;
                own(&typing.user_id)?;
                Self::Typing(typing.room_id, typing.user_id, typing.typing)
            }
            "m.presence" => {
                let all: Presences = parse(content)?;
                let read = all.push.iter().take(MANY).filter_map(|one| parse::<Push>(one).ok());
                Self::Presence(read.filter(|push| own(&push.user_id).is_ok()).collect())
            }
            _ => return Ok(None),
        }))
    }

    /// How many changes it makes at most, roughly.
    fn weight(&self) -> usize {
        match self {
            Self::Letters(letters) => {
                letters.messages.values().map(BTreeMap::len).sum::<usize>().max(1)
            }
            Self::Receipts(receipts) => receipts.len(),
            _ => 1,
        }
    }
}

impl Letters {
    fn check(&self) -> Result<(), String> {
        let (kind, id) = (&self.kind, &self.message_id);
        if kind.is_empty() || kind.len() > limits::ID_BYTES || kind.contains('\0') {
            return Err("a type has 1 to 255 bytes".to_owned());
        }
        if id.is_empty() || id.chars().count() > limits::LETTER_ID_CHARS || id.contains('\0') {
            return Err("a message_id has 1 to 32 letters".to_owned());
        }
        let all = || self.messages.values().flatten();
        if all().count() > limits::LETTERS_AT_ONCE {
            return Err(format!("a unit has at most {} messages", limits::LETTERS_AT_ONCE));
        }
        let fits = |content: &RawValue| {
            let text = content.get();
            text.starts_with('{') && text.len() <= limits::EVENT_BYTES
        };
        if !all().all(|(device, content)| !device.contains('\0') && fits(content)) {
            return Err("a message is an object of at most 65535 bytes".to_owned());
        }
        Ok(())
    }
}

fn parse<'v, T: Deserialize<'v>>(json: &'v RawValue) -> Result<T, String> {
    serde_json::from_str(json.get()).map_err(|error| error.to_string())
}

/// The receipts of people of a server; what does not read as one is passed over.
fn receipts(
    origin: &ServerName,
    content: &RawValue,
) -> Result<Vec<(Reader, OwnedEventId, i64)>, String> {
    let rooms: BTreeMap<OwnedRoomId, BTreeMap<String, Box<RawValue>>> = parse(content)?;
    let mut found = Vec::new();
    for (room_id, kinds) in rooms {
        // Other kinds are not for others to know.
        let Some(of_people) = kinds.get("m.read") else { continue };
        let of_people: BTreeMap<OwnedUserId, Box<RawValue>> = parse(of_people)?;
        for (user_id, receipt) in of_people {
            let Ok(Receipt { event_ids, data }) = parse(&receipt) else { continue };
            let known = |thread: &str| thread == "main" || EventId::parse(thread).is_ok();
            let thread = data.thread_id.filter(|it| it.len() <= limits::ID_BYTES && known(it));
            let is_own = user_id.server_name() == origin && !user_id.as_str().contains('\0');
            if let ([event_id], true, true) = (&*event_ids, is_own, found.len() < MANY) {
                let reader = Reader { thread, room_id: room_id.clone(), user_id };
                found.push((reader, event_id.clone(), data.ts));
            }
        }
    }
    Ok(found)
}

impl Federation {
    /// Takes units in. What is to last is on disk then; one that is wrong is passed over.
    pub(super) async fn take_units(
        &self,
        origin: &ServerName,
        units: &[Box<RawValue>],
    ) -> Result<(), Error> {
        let mut lasting = Vec::new();
        let mut weight = 0;
        for unit in units {
            match Said::read(origin, unit) {
                Ok(Some(Said::Typing(room_id, user_id, typing))) => {
                    self.hear_typing(origin, &room_id, &user_id, typing).await?;
                }
                Ok(Some(Said::Presence(pushes))) => self.hear_presence(pushes).await?,
                Ok(Some(said)) => {
                    weight += said.weight();
                    lasting.push(said);
                    if weight >= AT_ONCE {
                        self.write_down(origin, std::mem::take(&mut lasting)).await?;
                        weight = 0;
                    }
                }
                Ok(None) => {}
                Err(why) => tracing::debug!(%origin, why, "an ephemeral data unit is refused"),
            }
        }
        if lasting.is_empty() { Ok(()) } else { self.write_down(origin, lasting).await }
    }

    async fn write_down(&self, origin: &ServerName, said: Vec<Said>) -> Result<(), Error> {
        let (ground, origin) = (self.ground.clone(), origin.to_owned());
        let write = self.ground.store.write::<_, Error>(move |tx| {
            Box::pin(async move {
                let mut gaps = Vec::new();
                for said in said {
                    match said {
                        Said::Letters(letters) => leave(&ground, tx, &origin, letters).await?,
                        Said::Device(change) => {
                            gaps.extend(change_device(&ground, tx, *change).await?);
                        }
                        Said::Person(user_id, master, own) => {
                            let keys = (master.as_deref(), own.as_deref());
                            change_person(&ground, tx, &user_id, keys).await?;
                        }
                        Said::Receipts(receipts) => {
                            read_on(&ground, tx, &origin, receipts).await?;
                        }
                        Said::Typing(..) | Said::Presence(_) => {}
                    }
                }
                Ok(gaps)
            })
        });
        for user_id in write.await? {
            self.encryption.mend(user_id);
        }
        Ok(())
    }

    async fn hear_typing(
        &self,
        origin: &ServerName,
        room_id: &ruma::RoomId,
        user_id: &UserId,
        typing: bool,
    ) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        if let Some(room) = room_with(&self.ground, &mut snapshot, origin, room_id).await?
            && is_inside(&mut snapshot, &room, user_id).await?
        {
            let until_ms = typing.then(|| self.ground.clock.now_ms() + TYPING_MS);
            self.live.set_typing(room.room_no, user_id, until_ms);
        }
        Ok(())
    }

    async fn hear_presence(&self, pushes: Vec<Push>) -> Result<(), Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        let own = &self.ground.server_name;
        for Push { user_id, presence, status_msg, last_active_ago, place } in pushes {
            let Some(presence) = Presence::parse(&presence) else { continue };
            let status = status_msg.filter(|it| it.len() <= limits::STATUS_BYTES);
            if remote::is_near(&mut snapshot, &user_id, own).await? {
                let now_ms = self.ground.clock.now_ms();
                let active_ms = now_ms.saturating_sub(last_active_ago.max(0));
                let heard = |told| Whereabouts::heard(told, own, now_ms, AWAY_ELSEWHERE_MS);
                let mut whereabouts = place.as_ref().and_then(heard);
                if let Some(to) = whereabouts.as_mut().and_then(|it| it.to.as_mut()) {
                    // Nobody is kept whom it does not concern.
                    let named: Vec<&UserId> = to.iter().map(AsRef::as_ref).collect();
                    let near = rooms::who_share_a_room(&mut snapshot, &user_id, &named).await?;
                    to.retain(|one| near.contains(one));
                }
                let whereabouts = whereabouts.map(Arc::new);
                let told = FromAfar { presence, status, active_ms, whereabouts };
                self.live.hear_presence(&user_id, told, now_ms);
            }
        }
        Ok(())
    }
}

/// A room that somebody here is in, and in which the server may take part; nothing where that is not so.
async fn room_with(
    ground: &Arc<Ground>,
    from: &mut impl Reads,
    origin: &ServerName,
    room_id: &ruma::RoomId,
) -> Result<Option<RoomRow>, Error> {
    let Some(room) = rooms::room(from, room_id).await? else { return Ok(None) };
    let is_shared = rooms::has_server(from, room.room_no, &ground.server_name).await?
        && admits(from, &room, origin).await?;
    Ok(Some(room).filter(|_| is_shared))
}

async fn is_inside(from: &mut impl Reads, room: &RoomRow, user_id: &UserId) -> Result<bool, Error> {
    let row = rooms::membership(from, room.room_no, user_id).await?;
    Ok(row.is_some_and(|row| row.membership == Membership::Join))
}

/// Leaves messages for the devices of people here, those of each id once.
async fn leave(
    ground: &Ground,
    tx: &mut Tx,
    origin: &ServerName,
    letters: Letters,
) -> Result<(), Error> {
    let now_ms = ground.clock.now_ms();
    if tx.is_left(origin, &letters.message_id).await? {
        return Ok(());
    }
    let (mut bytes, mut is_left) = (0, false);
    'people: for (user_id, devices) in &letters.messages {
        if !ground.is_local(user_id) || user_id.as_str().contains('\0') {
            continue;
        }
        for (device, content) in devices {
            let named: Vec<OwnedDeviceId> = if device == "*" {
                let all = accounts::devices(tx, user_id).await?;
                all.into_iter().map(|device| device.device_id).collect()
            } else if accounts::has_device(tx, user_id, device).await? {
                vec![device.as_str().into()]
            } else {
                Vec::new()
            };
            bytes += named.len() * content.get().len();
            if bytes > limits::LETTER_BYTES_AT_ONCE {
                tracing::debug!(%origin, "messages for too many devices are passed over");
                break 'people;
            }
            for device in named {
                is_left = true;
                let (sender, kind) = (&letters.sender, letters.kind.as_str());
                tx.add_letter(user_id, &device, sender, kind, content.get()).await?;
            }
        }
    }
    // What nobody here has got leaves no trace: it could be sent without end.
    if is_left {
        tx.remember_left(origin, &letters.message_id, now_ms).await?;
    }
    Ok(())
}

/// Notes a change of somebody's devices; who must be asked for all of them, because one was missed.
async fn change_device(
    ground: &Ground,
    tx: &mut Tx,
    change: DeviceChange,
) -> Result<Option<OwnedUserId>, Error> {
    let DeviceChange { user_id, device_id, stream_id, prev_id, .. } = &change;
    if !remote::is_near(tx, user_id, &ground.server_name).await? {
        return Ok(None);
    }
    let Some(list) = remote::list(tx, user_id).await? else {
        // Nobody has asked for it yet; whoever is about to shall know that there is something new.
        tx.note_key_change(user_id, None).await?;
        return Ok(None);
    };
    if list.stream_id.is_some_and(|known| known >= *stream_id) && !list.stale {
        return Ok(None);
    }
    let follows = !list.stale
        && prev_id.len() <= PREVIOUS
        && !prev_id.is_empty()
        && prev_id.iter().all(|prev| Some(*prev) == list.stream_id);
    let name = change.device_display_name.clone();
    let record = change.keys.as_deref().map(|keys| abroad::device(user_id, device_id, keys, name));
    // What is not theirs is worth nothing, and their server is asked what is.
    let is_good = record.as_ref().is_none_or(Option::is_some);
    let fits = match record.as_ref().and_then(Option::as_ref) {
        Some(record) => has_room(tx, record).await?,
        None => true,
    };
    let known_upto = Some(*stream_id).filter(|_| follows && is_good && fits);
    tx.hear_of_list(user_id, known_upto).await?;
    if known_upto.is_some() {
        match record.flatten().filter(|_| !change.deleted) {
            Some(record) => tx.put_remote_device(&record).await?,
            None => tx.remove_remote_device(user_id, device_id).await?,
        }
    }
    tx.note_key_change(user_id, None).await?;
    Ok(Some(change.user_id).filter(|_| known_upto.is_none()))
}

/// Whether a device finds room among those that its person has.
async fn has_room(tx: &mut Tx, device: &DeviceRecord) -> Result<bool, Error> {
    let known = remote::devices(tx, &[&device.user_id]).await?;
    let is_known = known.iter().any(|it| it.device_id == device.device_id);
    Ok(is_known || known.len() < limits::REMOTE_DEVICES)
}

/// Notes a change of somebody's own keys.
async fn change_person(
    ground: &Ground,
    tx: &mut Tx,
    user_id: &UserId,
    (master, own): (Option<&RawValue>, Option<&RawValue>),
) -> Result<(), Error> {
    if !remote::is_near(tx, user_id, &ground.server_name).await? {
        return Ok(());
    }
    if remote::list(tx, user_id).await?.is_some() {
        let held = super::super::encryption::held(tx, user_id).await?;
        let given: Vec<PersonRecord> =
            abroad::persons(user_id, master, own, held.get(&Usage::Master));
        if given.is_empty() {
            tracing::debug!(%user_id, "keys of a person are not theirs");
            return Ok(());
        }
        super::super::encryption::take_person(tx, user_id, &held, given).await?;
    }
    Ok(tx.note_key_change(user_id, None).await?)
}

/// Moves receipts of people elsewhere, as far as they are in rooms that are shared with their server.
async fn read_on(
    ground: &Arc<Ground>,
    tx: &mut Tx,
    origin: &ServerName,
    receipts: Vec<(Reader, OwnedEventId, i64)>,
) -> Result<(), Error> {
    let now_ms = ground.clock.now_ms();
    for (Reader { thread, room_id, user_id }, event_id, at_ms) in receipts {
        let Some(room) = room_with(ground, tx, origin, &room_id).await? else { continue };
        let event = events::by_id(tx, &event_id).await?;
        if event.is_none_or(|event| event.room_no != room.room_no)
            || !is_inside(tx, &room, &user_id).await?
        {
            continue;
        }
        let of = (&*user_id, "m.read", thread.as_deref());
        let before = people::receipt(tx, room.room_no, of).await?;
        if social::reads_on(tx, before.as_deref(), &event_id).await? {
            let at_ms = if (1..now_ms).contains(&at_ms) { at_ms } else { now_ms };
            let thread = thread.as_deref();
            tx.set_receipt(room.room_no, &user_id, "m.read", thread, &event_id, at_ms).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ruma::server_name;
    use serde_json::{Value, json, value::to_raw_value};

    use super::*;

    fn read(unit: &Value) -> Result<Option<Said>, String> {
        Said::read(server_name!("b.test"), &to_raw_value(unit).unwrap())
    }

    fn letters(change: impl FnOnce(&mut Value)) -> Value {
        let mut content = json!({
            "sender": "@bob:b.test", "type": "m.test", "message_id": "1",
            "messages": { "@ann:a.test": { "A": {} } },
        });
        change(&mut content);
        json!({ "edu_type": "m.direct_to_device", "content": content })
    }

    #[test]
    fn messages_are_theirs_and_of_a_size() {
        assert!(matches!(read(&letters(|_| {})), Ok(Some(Said::Letters(_)))));
        let wrong: [fn(&mut Value); 8] = [
            |it| it["sender"] = json!("@bob:c.test"),
            |it| it["type"] = json!("x".repeat(256)),
            |it| it["message_id"] = json!("x".repeat(33)),
            |it| it["message_id"] = json!(""),
            |it| it["message_id"] = json!("a\0b"),
            |it| it["messages"]["@ann:a.test"]["A"] = json!({ "x": "x".repeat(65_536) }),
            |it| it["messages"]["@ann:a.test"]["A"] = json!([]),
            |it| {
                let many = (0..5_001).map(|n| (n.to_string(), json!({})));
                it["messages"]["@ann:a.test"] = Value::Object(many.collect());
            },
        ];
        for change in wrong {
            let unit = letters(change);
            let short: String = unit.to_string().chars().take(200).collect();
            assert!(read(&unit).is_err(), "{short}");
        }
    }

    #[test]
    fn nobody_speaks_for_people_of_others() {
        for (kind, content) in [
            (
                "m.typing",
                json!({ "room_id": "!r:a.test", "user_id": "@ann:a.test", "typing": true }),
            ),
            (
                "m.device_list_update",
                json!({ "user_id": "@ann:a.test", "device_id": "A", "stream_id": 1 }),
            ),
            ("m.signing_key_update", json!({ "user_id": "@ann:a.test" })),
        ] {
            assert!(read(&json!({ "edu_type": kind, "content": content })).is_err(), "{kind}");
        }
        let receipt = json!({ "event_ids": ["$a"], "data": { "ts": 1 } });
        let people = json!({ "@ann:a.test": receipt, "@bob:b.test": receipt, "@eve:b.test": 5 });
        let content = json!({ "!r:a.test": { "m.read": people, "m.read.private": people } });
        let found = read(&json!({ "edu_type": "m.receipt", "content": content }));
        let Ok(Some(Said::Receipts(found))) = found else { panic!("{found:?}") };
        let names: Vec<&str> = found.iter().map(|(it, ..)| it.user_id.as_str()).collect();
        assert_eq!(names, ["@bob:b.test"]);
        let push = json!([
            { "user_id": "@ann:a.test", "presence": "online", "last_active_ago": 1 },
            { "user_id": "@bob:b.test", "presence": "online", "last_active_ago": 1 },
            { "user_id": "@bob:b.test" },
        ]);
        let found = read(&json!({ "edu_type": "m.presence", "content": { "push": push } }));
        let Ok(Some(Said::Presence(found))) = found else { panic!("{found:?}") };
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn what_is_no_unit_is_refused_and_what_is_unknown_is_not() {
        let nul = json!({ "room_id": "!r\0:a.test", "user_id": "@bob:b.test", "typing": true });
        let nul = json!({ "edu_type": "m.typing", "content": nul });
        for wrong in [nul, json!(5), json!({}), json!({ "edu_type": "m.typing" }), json!(null)] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
        let unknown = read(&json!({ "edu_type": "org.test.new", "content": {} }));
        assert!(matches!(unknown, Ok(None)), "{unknown:?}");
    }
}
