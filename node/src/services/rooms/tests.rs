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
                tx.set_membership(&member).await?;
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
