//! What must hold: at every step on each honest node, and between them once all is quiet.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::Value;
use wayside_federation::{auth, event::Event, room::Standing, state::StateKey};

use crate::{
    memory::{Memory, key_of},
    node::Node,
    stage::{Stage, short},
};

/// Of a hundred honest events, those that must stand at every honest node.
const STANDING: usize = 95;

/// Everybody's membership as the room's state has it.
pub(crate) fn members(memory: &Memory) -> BTreeMap<String, String> {
    let events = memory.events_of(memory.room.state);
    let of = |event: &&Event| event.kind().to_string() == "m.room.member";
    let entry = |event: &Event| {
        let content: Value = serde_json::from_str(event.content().get()).unwrap();
        let membership = content["membership"].as_str()?.to_owned();
        Some((event.state_key()?.to_owned(), membership))
    };
    events.into_iter().filter(of).filter_map(entry).collect()
}

/// What is shown is allowed by the state of now.
pub(crate) fn may_be_shown(stage: &mut Stage, at: usize, memory: &Memory, event: &Event) {
    let root = memory.room.state;
    let held = |key: &StateKey| memory.at(root, key).cloned();
    if let Err(why) = auth::check(stage.version, event, held) {
        stage.blame(format!("n{at} shows {} {}: {why}", short(event.id()), event.kind()));
    }
}

/// Nobody hostile has more power than an honest event ever gave.
pub(crate) fn nobody_rose(stage: &mut Stage, at: usize, memory: &Memory) {
    let root = memory.room.state;
    let held = |kind: &str| memory.at(root, &StateKey::new(kind.into(), ""));
    let Some(create) = held("m.room.create") else {
        stage.blame(format!("n{at} has no create event"));
        return;
    };
    let Some(levels) = held("m.room.power_levels") else {
        if memory.placed.len() > 4 {
            stage.blame(format!("n{at} lost the power levels"));
        }
        return;
    };
    let levels = auth::power_levels(stage.version, create, Some(levels));
    for user in hostile_users(stage) {
        let level = levels.user(&user);
        if level > stage.granted {
            stage.blame(format!("{user} has level {level} on n{at}, given was {}", stage.granted));
        }
    }
}

/// The people of the hostile node.
pub(crate) fn hostile_users(stage: &Stage) -> Vec<OwnedUserId> {
    let user = |name: &str, at: usize| {
        OwnedUserId::try_from(format!("@{name}:{}", crate::node::server(at))).unwrap()
    };
    stage.hostile.iter().flat_map(|at| ["mallory", "trudy"].map(|name| user(name, *at))).collect()
}

/// What must hold when all is quiet.
pub(crate) fn at_the_end(stage: &mut Stage, nodes: &[Node]) {
    let honest: Vec<&Node> = nodes.iter().filter(|node| node.manner.is_none()).collect();
    for node in &honest {
        if node.memory().is_none() {
            stage.blame(format!("n{} never came in", node.at));
        }
        let told: HashSet<&OwnedEventId> = node.kept.shown.iter().collect();
        if told.len() != node.kept.shown.len() {
            stage.blame(format!("n{} showed an event twice", node.at));
        }
    }
    agree(stage, &honest);
    queues_are_kept(stage, &honest);
    enough_stand(stage, &honest);
    bans_hold(stage, &honest);
}

fn agree(stage: &mut Stage, honest: &[&Node]) {
    let seen: Vec<(&&Node, &Memory)> =
        honest.iter().filter_map(|node| Some((node, node.memory()?))).collect();
    let Some((first, rest)) = seen.split_first() else { return };
    let state = first.1.spelled(first.1.room.state);
    let heads = |memory: &Memory| -> BTreeSet<OwnedEventId> {
        memory.room.heads.iter().map(|head| head.id.clone()).collect()
    };
    for (node, memory) in rest {
        let other = memory.spelled(memory.room.state);
        if other != state {
            let keys: BTreeSet<&StateKey> = state.keys().chain(other.keys()).collect();
            let differing: Vec<String> = keys
                .into_iter()
                .filter(|key| state.get(key) != other.get(key))
                .map(|key| {
                    let (a, b) = (state.get(key).map(short), other.get(key).map(short));
                    format!("{} {}: {a:?} and {b:?}", key.kind, key.key)
                })
                .collect();
            stage.blame(format!("n0 and n{} disagree on {}", node.at, differing.join(", ")));
        }
        if members(memory) != members(first.1) {
            stage.blame(format!("n0 and n{} disagree on who is in", node.at));
        }
        if heads(memory) != heads(first.1) {
            stage.blame(format!(
                "n0 and n{} have different heads: {:?} and {:?}",
                node.at,
                heads(first.1),
                heads(memory)
            ));
        }
    }
}

/// What waited for a destination came there, in its order.
fn queues_are_kept(stage: &mut Stage, honest: &[&Node]) {
    for from in honest {
        for to in honest {
            let Some(queue) = from.kept.queues.get(&to.at) else { continue };
            let handed = to.kept.handed.get(&from.at).map(Vec::as_slice).unwrap_or_default();
            // A transaction carries what is of the room and what is beside it in two lists.
            for beside in [false, true] {
                let kind = |text: &&String| text.starts_with("{\"message_id\"") == beside;
                let sent: Vec<&String> = queue.all.iter().filter(kind).collect();
                let came: Vec<&String> = handed.iter().filter(kind).collect();
                if came != sent {
                    let at = sent.iter().zip(&came).take_while(|(a, b)| a == b).count();
                    stage.blame(format!(
                        "of {} things n{} worked on {} from n{}, and not in order after {at}",
                        sent.len(),
                        to.at,
                        came.len(),
                        from.at
                    ));
                }
            }
        }
    }
}

/// Of the events that an honest node made because they were allowed, nearly all stand everywhere.
///
/// An event that was soft-failed counts as one that stands: by the specification it was authorised
/// where it lies in the graph and takes part in the state; only because a ban, a kick or a level that
/// its maker had not heard of came first is it not shown. What the specification wants never to
/// happen to an honest event is rejection, or that it does not come at all.
fn enough_stand(stage: &mut Stage, honest: &[&Node]) {
    let mut reports = Vec::new();
    for node in honest {
        let Some(memory) = node.memory() else { continue };
        let standing = |id| memory.known(id).map(|known| known.standing);
        // Who came late never hears of what went before.
        let concerned: Vec<Option<Standing>> = stage
            .made
            .iter()
            .filter(|made| node.at == 0 || made.at >= node.kept.in_since)
            .map(|made| standing(made.event.id()))
            .collect();
        let stand = concerned
            .iter()
            .filter(|it| matches!(it, Some(Standing::Accepted | Standing::SoftFailed)))
            .count();
        let soft = concerned.iter().filter(|it| **it == Some(Standing::SoftFailed)).count();
        stage.counts.soft_failed += soft as u64;
        stage.counts.judged += concerned.len() as u64;
        if stand * 100 < concerned.len() * STANDING {
            reports.push(format!(
                "n{}: {stand} of {} honest events stand",
                node.at,
                concerned.len()
            ));
        }
    }
    for report in reports {
        stage.blame(report);
    }
}

/// Whom the founder banned is banned, unless somebody honest undid it, or somebody hostile had the
/// power to.
fn bans_hold(stage: &mut Stage, honest: &[&Node]) {
    let Some(founder) = honest.first().and_then(|node| node.memory()) else { return };
    let place = |event: &Event| founder.placed.iter().position(|id| id == event.id());
    let acts: Vec<(&Event, String)> = stage
        .made
        .iter()
        .filter(|made| made.event.kind().to_string() == "m.room.member")
        .map(|made| {
            let content: Value = serde_json::from_str(made.event.content().get()).unwrap();
            (&made.event, content["membership"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let (mut broken, mut judged) = (Vec::new(), 0);
    for (ban, _) in acts.iter().filter(|(event, membership)| {
        membership == "ban" && event.sender().as_str() == "@resident:n0.example"
    }) {
        let undone = acts.iter().any(|(event, membership)| {
            membership == "leave"
                && event.state_key() == ban.state_key()
                && (place(event).is_none() || place(event) > place(ban))
        });
        let user = ban.state_key().unwrap_or_default();
        let by_power = stage.passed_on || (stage.granted >= 50 && !user.starts_with("@mallory"));
        if undone || by_power {
            continue;
        }
        judged += 1;
        for node in honest {
            let Some(memory) = node.memory() else { continue };
            let now = key_of(ban).and_then(|key| memory.at(memory.room.state, &key));
            let content = now.map(|event| event.content().get().to_owned()).unwrap_or_default();
            if !content.contains("\"ban\"") {
                broken.push(format!(
                    "{user}, whom {} banned, is not on n{}",
                    short(ban.id()),
                    node.at
                ));
            }
        }
    }
    stage.counts.bans += judged;
    for what in broken {
        stage.blame(what);
    }
}
