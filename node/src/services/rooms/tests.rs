//! What is decided in rooms with very many people.

use ruma::UserId;
use serde_json::{json, value::to_raw_value};
use wayside_federation::state::EventNo;

use super::*;
use crate::{
    app,
    config::{Config, Registration},
    services::{
        Services,
        accounts::{DeviceWish, Registering},
    },
    store::{Purpose, StoreError, rooms::MemberRow},
};

async fn person(services: &Services, name: &str) -> OwnedUserId {
    let wish = Registering {
        name: Some(name.to_owned()),
        password: Some("correct horse battery staple".to_owned()),
        invitation: None,
        guest: false,
        device: DeviceWish { no_device: true, ..DeviceWish::default() },
    };
    services.accounts.register(wish).await.unwrap().user_id
}

/// Puts so many people into a room, whose names come before all others.
async fn crowd(services: &Services, room: &RoomId, count: usize) {
    let room = room.to_owned();
    let case = services.ground.store.write::<(), StoreError>(move |tx| {
        Box::pin(async move {
            let room_no = rooms::room(tx, &room).await?.unwrap().room_no;
            for number in 0..count {
                let member = MemberRow {
                    user_id: UserId::parse(format!("@0-{number}:localhost:8448")).unwrap(),
                    room_no,
                    membership: Membership::Join,
                    event_no: EventNo(1),
                    position: 1,
                    left: None,
                    forgotten: false,
                };
                tx.set_memberships(&[member]).await?;
            }
            Ok(())
        })
    });
    case.await.unwrap();
}

#[tokio::test]
async fn whoever_may_let_others_in_is_found_among_very_many() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let config = Config { data, registration: Registration::Open, ..Config::default() };
    let services = app::open(config, Purpose::Serving).await.unwrap().services;
    let (zoe, ann) = (person(&services, "zoe").await, person(&services, "ann").await);
    let open = NewRoom { creator: Some(zoe.clone()), preset: Preset::Public, ..NewRoom::default() };
    let home = services.rooms.create(open).await.unwrap();
    let rule = json!({"join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": home}]});
    let rule = ("m.room.join_rules".to_owned(), String::new(), to_raw_value(&rule).unwrap());
    let few = NewRoom {
        creator: Some(zoe.clone()),
        initial_state: vec![rule],
        power_levels: json!({"invite": 50}).as_object().unwrap().clone(),
        ..NewRoom::default()
    };
    let room = services.rooms.create(few).await.unwrap();
    crowd(&services, &room, 1_200).await;
    let join = || Step::to(Membership::Join);
    let early = services.rooms.step(&room, &ann, &ann, join()).await;
    assert!(matches!(early, Err(Error::Forbidden(_))), "{early:?}");
    services.rooms.step(&home, &ann, &ann, join()).await.unwrap();
    services.rooms.step(&room, &ann, &ann, join()).await.unwrap();
}

/// Two rooms that one person makes in one millisecond, and that their create events name.
#[tokio::test]
async fn rooms_of_one_moment_are_two() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let config = Config { data, registration: Registration::Open, ..Config::default() };
    let services = app::open(config, Purpose::Serving).await.unwrap().services;
    let ann = person(&services, "ann").await;
    let (ground, at) = (services.ground.clone(), services.ground.clock.now());
    let case = services.ground.store.write::<_, Error>(move |tx| {
        let (ground, ann) = (ground.clone(), ann.clone());
        Box::pin(async move {
            let mut made = Vec::new();
            for _ in 0..3 {
                let room =
                    create::begin(&ground, tx, &ann, &NewRoom::default(), (None, at)).await?;
                made.push(room.room_id);
            }
            Ok(made)
        })
    });
    let made = case.await.unwrap();
    assert!(made[0] != made[1] && made[1] != made[2] && made[0] != made[2], "{made:?}");
}

/// What a migration leaves for later is done beside the running node, once.
#[tokio::test]
async fn what_was_there_before_is_looked_through() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let config = Config { data, registration: Registration::Open, ..Config::default() };
    let services = app::open(config, Purpose::Serving).await.unwrap().services;
    let (ann, bob) = (person(&services, "ann").await, person(&services, "bob").await);
    let open = NewRoom { creator: Some(ann.clone()), preset: Preset::Public, ..NewRoom::default() };
    let room = services.rooms.create(open).await.unwrap();
    let request = |number: usize| Request {
        user_id: ann.clone(),
        device_id: "D".into(),
        scope: "send".to_owned(),
        txn_id: number.to_string(),
        sent: None,
    };
    let root = to_raw_value(&json!({"msgtype": "m.text", "body": "root"})).unwrap();
    let root = services.rooms.send(&room, "m.room.message".into(), root, request(0)).await.unwrap();
    for number in 1..=450 {
        let reply = json!({"msgtype": "m.text", "body": "reply",
            "m.relates_to": {"rel_type": "m.thread", "event_id": root}});
        let reply = to_raw_value(&reply).unwrap();
        let said = services.rooms.send(&room, "m.room.message".into(), reply, request(number));
        said.await.unwrap();
    }
    let asker = Asker { user_id: ann.clone(), device_id: "D".into() };
    let told = async || {
        let event = services.rooms.event(&asker, &room, &root).await.unwrap();
        let (found, _) = services.rooms.find_people(&bob, "ann", 10).await.unwrap();
        (event.json.get().contains("\"count\":450"), found.len())
    };
    assert_eq!(told().await, (true, 1));
    let forget = services.ground.store.write::<(), StoreError>(|tx| Box::pin(tx.forget_walks()));
    forget.await.unwrap();
    assert_eq!(told().await, (false, 0));
    services.rooms.catch_up().await.unwrap();
    assert_eq!(told().await, (true, 1));
    let before = services.ground.store.writer_counts().transactions;
    services.rooms.catch_up().await.unwrap();
    assert_eq!(services.ground.store.writer_counts().transactions, before, "it is done once");
}

/// Worlds forget after the days that the node gives them, other rooms when they are told to.
#[tokio::test]
async fn worlds_forget_sooner_than_other_rooms() {
    const DAY_MS: i64 = 24 * 60 * 60_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_owned();
    let config = Config { data, registration: Registration::Open, ..Config::default() };
    let services = app::open(config, Purpose::Serving).await.unwrap().services;
    let ann = person(&services, "ann").await;
    let made = async |kind: &str, kept: serde_json::Value| {
        let kept = ("m.room.retention".to_owned(), String::new(), to_raw_value(&kept).unwrap());
        let new = NewRoom {
            creator: Some(ann.clone()),
            creation_content: json!({"type": kind}).as_object().unwrap().clone(),
            initial_state: vec![kept],
            ..NewRoom::default()
        };
        services.rooms.create(new).await.unwrap()
    };
    let rooms = [
        made(WORLD, json!({})).await,
        made(WORLD, json!({"max_lifetime": 60 * DAY_MS})).await,
        made("other", json!({})).await,
        made("other", json!({"max_lifetime": DAY_MS})).await,
    ];
    let mut said = Vec::new();
    for (number, room) in rooms.iter().enumerate() {
        let request = Request {
            user_id: ann.clone(),
            device_id: "D".into(),
            scope: "send".to_owned(),
            txn_id: number.to_string(),
            sent: None,
        };
        let line = to_raw_value(&json!({"msgtype": "m.text", "body": "line"})).unwrap();
        let sent = services.rooms.send(room, "m.room.message".into(), line, request);
        said.push(sent.await.unwrap());
    }
    let asker = Asker { user_id: ann.clone(), device_id: "D".into() };
    let kept = async || {
        let mut kept = Vec::new();
        for (room, event) in rooms.iter().zip(&said) {
            kept.push(services.rooms.event(&asker, room, event).await.is_ok());
        }
        kept
    };
    let now_ms = services.ground.clock.now_ms();
    for (days, gone, expected) in [
        (0, 0, [true, true, true, true]),
        (2, 1, [true, true, true, false]),
        (31, 1, [false, true, true, false]),
        (61, 1, [false, false, true, false]),
        (9_000, 0, [false, false, true, false]),
    ] {
        let forgotten = services.rooms.forget_old(now_ms + days * DAY_MS).await.unwrap();
        assert_eq!((forgotten, kept().await), (gone, expected.to_vec()), "after {days} days");
    }
    // What the rooms stand on is still there: nothing of what was said is in it, and its id is its hash.
    for (room, event) in rooms.iter().zip(&said) {
        let mut snapshot = services.ground.store.snapshot().await.unwrap();
        let row = rooms::room(&mut snapshot, room).await.unwrap().unwrap();
        let stored = events::by_id(&mut snapshot, &row.heads[0].id).await.unwrap().unwrap();
        assert_eq!(stored.event.id(), event);
        let is_kept = stored.position.is_some();
        assert_eq!(stored.event.json().contains("line"), is_kept, "{}", stored.event.json());
        assert_eq!(stored.event.redact(row.version).unwrap().id(), event);
    }
}
