//! What waits for other servers: in which order, how much of it, and until when.

use ruma::{ServerName, server_name};
use wayside_federation::outbox::Item;
use wayside_specs::limits;

use super::*;
use crate::store::{
    behind::Queued,
    servers::{Destination, DestinationRow, KeyRow},
};

const ROOM: i64 = 7;

on_both_engines! {
    what_is_passed_on_late_waits_behind_what_was_there => late_is_last;
    a_server_that_is_away_misses_rooms_not_events => away_misses_rooms;
    a_server_that_is_slow_misses_nothing => slow_misses_nothing;
    rooms_that_a_server_has_left_are_bounded => left_rooms_are_bounded;
    letters_for_a_server_are_bounded => letters_are_bounded;
    servers_that_never_answered_are_forgotten => never_met_are_forgotten;
    keys_of_strangers_are_forgotten => strangers_keys_are_forgotten;
}

fn away() -> &'static ServerName {
    server_name!("away.test")
}

/// Changes the store, with what may go wrong in it.
macro_rules! change {
    ($fresh:ident, |$tx:ident| $body:expr) => {
        $fresh
            .store
            .write::<_, StoreError>(move |$tx| Box::pin(async move { $body }))
            .await
            .unwrap()
    };
}

async fn fails(fresh: &Fresh, server: &'static ServerName, gone: Destination) {
    change!(fresh, |tx| tx.set_destination(server, gone).await);
}

fn failures(failures: u32) -> Destination {
    Destination { failures, failing_ms: Some(1), retry_ms: 1, ..Destination::default() }
}

async fn queued(fresh: &Fresh, server: &ServerName) -> Queued {
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let all = servers::destinations(&mut snapshot, &servers::Rank::FIRST, 100).await.unwrap();
    let found = all.into_iter().find(|it: &DestinationRow| it.server == server);
    found.map(|it| it.queued).unwrap_or_default()
}

/// Says so many events in a room in which somebody of the server is, of these numbers on.
async fn say(fresh: &Fresh, room_no: i64, first: i64, many: i64) {
    change!(fresh, |tx| {
        for event_no in first..first + many {
            tx.tell_servers(room_no, EventNo(event_no), server_name!("a.test")).await?;
        }
        Ok(())
    });
}

async fn come_in(fresh: &Fresh, rooms: std::ops::Range<i64>) {
    change!(fresh, |tx| {
        for room_no in rooms {
            tx.count_server(room_no, away(), 1).await?;
        }
        Ok(())
    });
}

async fn late_is_last(fresh: Fresh) {
    let room_id = ruma::room_id!("!room:a.test");
    let stored = |number, kind: &str, key: Option<&str>| StoredEvent {
        event: event_of(room_id, kind, key),
        event_no: EventNo(number),
        room_no: ROOM,
        position: None,
        verdict: Verdict::Accepted,
        roots: None,
        redacted_by: None,
    };
    let early = stored(500, "m.room.member", Some(ann().as_str()));
    let late = stored(100, "late", None);
    let (first, second) = change!(fresh, |tx| {
        tx.add_room(&room_row(room_id, None)).await?;
        tx.add_events(&[early.clone(), late.clone()]).await?;
        tx.tell_server(away(), ROOM, early.event_no).await?;
        tx.send_letters(away(), ann(), "{}").await?;
        // It was here before the other, and nobody was told of it.
        tx.tell_server(away(), ROOM, late.event_no).await?;
        tx.tell_server(away(), ROOM, late.event_no).await?;
        tx.tell_server(away(), ROOM, early.event_no).await?;
        Ok((early.event.json().to_owned(), late.event.json().to_owned()))
    });
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let events = outgoing::waiting(&mut snapshot, away()).await.unwrap();
    let letters = edus::waiting(&mut snapshot, away()).await.unwrap();
    let told: Vec<&Item> = events.iter().map(|it| &it.item).collect();
    assert_eq!(told, [&Item::Pdu(first.clone()), &Item::Pdu(second)]);
    let upto = letters[0].position;
    assert!(events[0].position < upto && upto < events[1].position);
    drop(snapshot);
    change!(fresh, |tx| tx.delivered(away(), upto).await);
    assert_eq!(queued(&fresh, away()).await, Queued { events: 1, rooms: 0, edus: 0 });
    // What is let go of is told to nobody; but of a room that is deleted who has left it is.
    change!(fresh, |tx| {
        tx.tell_server(away(), ROOM, EventNo(500)).await?;
        tx.remove_room(ROOM).await?;
        tx.purge_events(ROOM, 10).await
    });
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let events = outgoing::waiting(&mut snapshot, away()).await.unwrap();
    let told: Vec<&Item> = events.iter().map(|it| &it.item).collect();
    assert_eq!(told, [&Item::Pdu(first)]);
    drop(snapshot);
    change!(fresh, |tx| tx.delivered(away(), i64::MAX).await);
    assert_eq!(queued(&fresh, away()).await, Queued::default());
}

async fn away_misses_rooms(fresh: Fresh) {
    fails(&fresh, away(), failures(3)).await;
    come_in(&fresh, 1..4).await;
    for (room_no, first) in [(1, 1_000), (2, 2_000), (3, 3_000)] {
        say(&fresh, room_no, first, 340).await;
    }
    let most = limits::WAITING_EVENTS;
    assert_eq!(queued(&fresh, away()).await, Queued { events: 1_020, rooms: 0, edus: 0 });
    say(&fresh, 3, 3_340, 79).await;
    assert_eq!(queued(&fresh, away()).await.events, most + 99, "until it is looked at again");
    say(&fresh, 3, 3_419, 1).await;
    assert_eq!(queued(&fresh, away()).await, Queued { events: 0, rooms: 3, edus: 0 });
    // However much is said in them, and where not, one by one.
    come_in(&fresh, 4..5).await;
    say(&fresh, 1, 10_000, 2_500).await;
    say(&fresh, 4, 20_000, 5).await;
    assert_eq!(queued(&fresh, away()).await, Queued { events: 5, rooms: 3, edus: 0 });
    // Those first in which it has missed something for longest.
    let taken = change!(fresh, |tx| tx.take_behind(away(), 2).await);
    assert_eq!(taken, [(2, EventNo(2_339)), (3, EventNo(3_419))]);
    say(&fresh, 2, 30_000, 1).await;
    let fresh = fresh.reopened().await;
    assert_eq!(queued(&fresh, away()).await, Queued { events: 6, rooms: 1, edus: 0 });
    let taken = change!(fresh, |tx| tx.take_behind(away(), 2).await);
    assert_eq!(taken, [(1, EventNo(12_499))]);
    assert!(change!(fresh, |tx| tx.take_behind(away(), 2).await).is_empty());
}

async fn slow_misses_nothing(fresh: Fresh) {
    fails(&fresh, away(), failures(2)).await;
    come_in(&fresh, 1..2).await;
    say(&fresh, 1, 1_000, 3_000).await;
    assert_eq!(queued(&fresh, away()).await, Queued { events: 3_000, rooms: 0, edus: 0 });
    // Even so there is an end.
    say(&fresh, 1, 4_000, limits::WAITING_EVENTS_MOST - 2_900).await;
    assert_eq!(queued(&fresh, away()).await, Queued { events: 0, rooms: 1, edus: 0 });
}

async fn left_rooms_are_bounded(fresh: Fresh) {
    fails(&fresh, away(), failures(3)).await;
    come_in(&fresh, 1..2).await;
    say(&fresh, 1, 1, 1).await;
    change!(fresh, |tx| {
        for room_no in 100..1_199 {
            tx.tell_server(away(), room_no, EventNo(room_no)).await?;
        }
        Ok(())
    });
    let rooms = limits::WAITING_ROOMS_LEFT + 1;
    assert_eq!(queued(&fresh, away()).await, Queued { events: 0, rooms, edus: 0 });
    let taken = change!(fresh, |tx| tx.take_behind(away(), 2).await);
    assert_eq!(taken, [(1, EventNo(1)), (199, EventNo(199))], "the newest stay");
}

async fn letters_are_bounded(fresh: Fresh) {
    let (eve, bob) = (user_id!("@eve:a.test"), user_id!("@bob:a.test"));
    let send = async |sender: &'static UserId, many: i64, bytes: usize| {
        change!(fresh, |tx| {
            let content = format!("{{\"n\":\"{}\"}}", "x".repeat(bytes));
            let mut gone = 0;
            for _ in 0..many {
                gone += tx.send_letters(away(), sender, &content).await?;
            }
            Ok(gone)
        })
    };
    let of_sender = async |sender: &UserId| {
        let mut snapshot = fresh.store.snapshot().await.unwrap();
        edus::of_sender(&mut snapshot, away(), sender).await.unwrap()
    };
    let most = limits::LETTERS_OF_SENDER;
    assert_eq!(send(bob, 1, 1).await, 0);
    assert_eq!(send(eve, most, 1).await, 0);
    assert_eq!(send(eve, 99, 1).await, 99);
    assert_eq!((of_sender(eve).await, of_sender(bob).await), (most, 1));
    // By bytes: 16 MiB of her newest.
    assert_eq!(send(eve, 300, 64_000).await, 5_038);
    assert_eq!(of_sender(eve).await, 262);
    assert_eq!(of_sender(bob).await, 1);
}

async fn strangers_keys_are_forgotten(fresh: Fresh) {
    let (near, old, new) =
        (server_name!("near.test"), server_name!("old.test"), server_name!("new.test"));
    let key = |fetched_ms: i64| KeyRow {
        key_id: "ed25519:1".to_owned(),
        public: "k".to_owned(),
        expired_ms: None,
        valid_until_ms: 99,
        fetched_ms,
        document: "{}".to_owned(),
    };
    change!(fresh, |tx| {
        // Whoever was in a room once may have said something there.
        tx.count_server(1, near, 1).await?;
        tx.count_server(1, near, -1).await?;
        for (server, fetched_ms) in [(near, 1), (old, 2), (new, 3)] {
            tx.keep_keys(server, &[key(fetched_ms)]).await?;
        }
        Ok(())
    });
    let left = async || {
        let mut snapshot = fresh.store.snapshot().await.unwrap();
        let mut left = Vec::new();
        for server in [near, old, new] {
            left.push(servers::keys(&mut snapshot, server).await.unwrap().len());
        }
        left
    };
    assert_eq!(change!(fresh, |tx| tx.forget_strangers_keys(2, 2).await), 0);
    assert_eq!(left().await, [1, 1, 1]);
    assert_eq!(change!(fresh, |tx| tx.forget_strangers_keys(2, 1).await), 1, "one too many");
    assert_eq!(left().await, [1, 0, 1]);
    assert_eq!(change!(fresh, |tx| tx.forget_strangers_keys(4, 100).await), 1, "too old");
    assert_eq!(left().await, [1, 0, 0]);
}

async fn never_met_are_forgotten(fresh: Fresh) {
    let (never, once, near, new) = (
        server_name!("never.test"),
        server_name!("once.test"),
        server_name!("near.test"),
        server_name!("new.test"),
    );
    for (name, reached_ms, failing_ms) in
        [(never, None, 5), (once, Some(1), 5), (near, None, 5), (new, None, 10)]
    {
        let why = Some("no\u{fffd}where".to_owned());
        let failing_ms = Some(failing_ms);
        let gone = Destination { reached_ms, failures: 9, failing_ms, retry_ms: 99, why };
        fails(&fresh, name, gone).await;
    }
    change!(fresh, |tx| {
        tx.count_server(1, near, 1).await?;
        for name in [never, once, near, new] {
            tx.send_letters(name, ann(), "{}").await?;
            tx.tell_server(name, ROOM, EventNo(1)).await?;
        }
        Ok(())
    });
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    assert_eq!(servers::never_met(&mut snapshot, 5, 100).await.unwrap(), [] as [&ServerName; 0]);
    assert_eq!(servers::never_met(&mut snapshot, 6, 100).await.unwrap(), [never]);
    assert_eq!(servers::never_met(&mut snapshot, 5, 1).await.unwrap(), [never], "one too many");
    drop(snapshot);
    assert_eq!(change!(fresh, |tx| tx.forget_never_met(6, 100).await), [never]);
    let mut snapshot = fresh.store.snapshot().await.unwrap();
    let left = servers::destinations(&mut snapshot, &servers::Rank::FIRST, 10).await.unwrap();
    let names: Vec<&ServerName> = left.iter().map(|it| &*it.server).collect();
    assert_eq!(names, [near, new, once]);
    assert_eq!(left[0].gone.why.as_deref(), Some("no\u{fffd}where"));
    assert_eq!(left[0].queued, Queued { events: 1, rooms: 0, edus: 1 });
}
