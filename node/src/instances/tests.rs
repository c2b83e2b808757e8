//! Shards with visits whose connections behave, hang and vanish.

use std::time::Duration;

use ruma::{device_id, room_id, user_id};
use tokio::time::timeout;
use wayside_world::{
    glb::Builder,
    realtime::{FromNode, Visitor},
    scene::Scene,
};

use super::*;

const SOON: Duration = Duration::from_secs(20);

fn floor() -> Arc<Scene> {
    let mut builder = Builder::new();
    let corners = [[-9.0, 0.0, -9.0], [-9.0, 0.0, 9.0], [9.0, 0.0, 9.0], [9.0, 0.0, -9.0]];
    let at = builder.attribute(&corners, true);
    let indices = builder.indices(&[0, 1, 2, 0, 2, 3]);
    let part = serde_json::json!({ "attributes": { "POSITION": at }, "indices": indices });
    let mesh = builder.add("meshes", serde_json::json!({ "primitives": [part] }));
    let node = builder.add("nodes", serde_json::json!({ "mesh": mesh }));
    Arc::new(Scene::read(&builder.finish(&[node], "a floor")).unwrap())
}

struct Stage {
    instances: Instances,
    stood: mpsc::Receiver<Stood>,
    scene: Arc<Scene>,
}

impl Stage {
    fn set() -> Self {
        let (stands, stood) = mpsc::channel(64);
        let instances = Instances::start(1, Clock, &stands).unwrap();
        Self { instances, stood, scene: floor() }
    }

    async fn enter(&self, user_id: &UserId, capacity: u16) -> Result<Visit, Closed> {
        let room_id = room_id!("!a:a.test").to_owned();
        let world =
            World { room_id, scene: self.scene.clone(), capacity, spawn: None, mature: false };
        let who = Visitor { name: user_id.localpart().to_owned(), ..Visitor::default() };
        let (user_id, device_id) = (user_id.to_owned(), device_id!("PHONE").to_owned());
        let names = vec![user_id.to_string()];
        let meeting = Meeting { names, ..Meeting::default() };
        let (unfit, unworn, at) = (None, None, None);
        let coming = Coming { user_id, device_id, who, meeting, unfit, unworn, at };
        self.instances.visit(&world, &coming).await
    }
}

async fn until(batches: &mut Batches, wanted: impl Fn(&FromNode) -> bool) {
    let found = timeout(SOON, async {
        while let Some(batch) = batches.recv().await {
            if batch.iter().any(|frame| wanted(&FromNode::read(frame).unwrap())) {
                return;
            }
        }
        panic!("the visit ended");
    });
    found.await.expect("the frame comes");
}

#[tokio::test]
async fn people_meet_and_one_person_is_here_once() {
    let stage = Stage::set();
    let mut ann = stage.enter(user_id!("@ann:a.test"), 9).await.unwrap();
    let mut batches = ann.batches();
    until(&mut batches, |frame| matches!(frame, FromNode::Welcome { .. })).await;
    let bob = stage.enter(user_id!("@bob:a.test"), 9).await.unwrap();
    until(
        &mut batches,
        |frame| matches!(frame, FromNode::Entered { who, .. } if who.name == "bob"),
    )
    .await;
    bob.put(FromClient::Emote { emote: 1 }).unwrap();
    until(&mut batches, |frame| matches!(frame, FromNode::Emoted { emote: 1, .. })).await;
    let crowd = stage.instances.crowd(room_id!("!a:a.test")).unwrap();
    assert_eq!(crowd.count(), 2);
    let again = stage.enter(user_id!("@bob:a.test"), 9).await.unwrap();
    timeout(SOON, bob.ended().cancelled()).await.unwrap();
    assert_eq!(bob.over().why, Bye::Replaced);
    // The end of the first visit does not end the one that took its place.
    drop(bob);
    again.put(FromClient::Emote { emote: 2 }).unwrap();
    until(&mut batches, |frame| matches!(frame, FromNode::Emoted { emote: 2, .. })).await;
    stage.instances.show(room_id!("!a:a.test"), user_id!("@bob:a.test"), "{}".to_owned());
    until(&mut batches, |frame| matches!(frame, FromNode::Event { .. })).await;
    stage.instances.change(user_id!("@bob:a.test"), &Changed::Name("Bobby".to_owned()));
    until(
        &mut batches,
        |frame| matches!(frame, FromNode::Entered { who, .. } if who.name == "Bobby"),
    )
    .await;
    drop(again);
    until(&mut batches, |frame| matches!(frame, FromNode::Left { .. })).await;
    assert!(stage.instances.remove(room_id!("!a:a.test"), user_id!("@ann:a.test"), Bye::Removed));
    timeout(SOON, ann.ended().cancelled()).await.unwrap();
    assert_eq!(ann.over().why, Bye::Removed);
}

/// A node that nobody visits is not woken thirty times a second.
#[tokio::test]
async fn without_an_instance_no_time_passes_and_the_end_is_heard() {
    let stage = Stage::set();
    let ticks = || stage.instances.meter().lateness.read().count;
    // Several ticks long, if there were any.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(ticks(), 0);
    let mut ann = stage.enter(user_id!("@ann:a.test"), 9).await.unwrap();
    until(&mut ann.batches(), |frame| matches!(frame, FromNode::Welcome { .. })).await;
    let ticking = async {
        while ticks() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, ticking).await.expect("it ticks while somebody is there");
    let other = Stage::set();
    timeout(SOON, tokio::task::spawn_blocking(move || other.instances.end()))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_full_instance_lets_nobody_in() {
    let stage = Stage::set();
    let _ann = stage.enter(user_id!("@ann:a.test"), 1).await.unwrap();
    assert_eq!(stage.enter(user_id!("@bob:a.test"), 1).await.err(), Some(Closed::Full));
}

#[tokio::test]
async fn only_the_device_that_is_signed_out_leaves() {
    let stage = Stage::set();
    let (ann, bob) = (user_id!("@ann:a.test"), user_id!("@bob:a.test"));
    let visit = stage.enter(ann, 9).await.unwrap();
    let mut near = stage.enter(bob, 9).await.unwrap();
    let mut batches = near.batches();
    let staying = |names: &[&str]| names.iter().map(|name| (*name).into()).collect();
    assert!(stage.instances.sign_out(ann, &staying(&["DESK", "PHONE"])));
    stage.instances.change(ann, &Changed::Kept);
    visit.put(FromClient::Emote { emote: 1 }).unwrap();
    until(&mut batches, |frame| matches!(frame, FromNode::Emoted { .. })).await;
    assert!(!visit.ended().is_cancelled(), "another device was signed out");
    assert!(stage.instances.sign_out(ann, &staying(&["DESK"])));
    until(&mut batches, |frame| matches!(frame, FromNode::Left { .. })).await;
    timeout(SOON, visit.ended().cancelled()).await.unwrap();
    assert_eq!(visit.over(), Over { why: Bye::SignedOut, again_ms: u32::MAX });
    assert!(!near.ended().is_cancelled());
}

#[tokio::test]
async fn who_takes_nothing_is_shown_out_and_nobody_waits() {
    let stage = Stage::set();
    let mut hangs = stage.enter(user_id!("@ann:a.test"), 9).await.unwrap();
    // Its batches are never taken.
    let _stuck = hangs.batches();
    let mut near = stage.enter(user_id!("@bob:a.test"), 9).await.unwrap();
    let mut batches = near.batches();
    let event = "x".repeat(60_000);
    for _ in 0..40 {
        stage.instances.show(room_id!("!a:a.test"), user_id!("@bob:a.test"), event.clone());
        until(&mut batches, |frame| matches!(frame, FromNode::Event { .. })).await;
        near.put(FromClient::Ping { nonce: 1 }).unwrap();
        until(&mut batches, |frame| matches!(frame, FromNode::Pong { .. })).await;
    }
    // So much waits that it is not given the time that others have to catch up.
    let ended = hangs.ended();
    timeout(Duration::from_secs(5), ended.cancelled()).await.expect("shown out for what waits");
    assert_eq!(hangs.over().why, Bye::Slow);
}

#[tokio::test]
async fn the_end_is_told_and_where_people_stand_is_kept() {
    let mut stage = Stage::set();
    let ann = stage.enter(user_id!("@ann:a.test"), 9).await.unwrap();
    let ending = tokio::task::spawn_blocking(move || {
        stage.instances.end();
        let mut kept = Vec::new();
        while let Ok(stood) = stage.stood.try_recv() {
            kept.push(stood.user_id);
        }
        kept
    });
    let kept = ending.await.unwrap();
    assert_eq!(kept, [user_id!("@ann:a.test").to_owned()]);
    assert_eq!(ann.over().why, Bye::Ending);
    assert_eq!(ann.put(FromClient::Stand).err(), Some(Bye::Ending));
}
