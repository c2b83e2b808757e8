//! What honest people do: they talk, come and go, and those who may moderate.

use ruma::OwnedUserId;
use serde_json::{Value, json};
use wayside_federation::{state::StateKey, version::RoomVersion};

use crate::{
    check,
    node::{Node, server},
    stage::Stage,
};

/// Makes the room: everybody who lives in a node of honest people may moderate it for good.
pub(crate) fn open(stage: &mut Stage, founder: &mut Node, honest: usize) {
    founder.found(stage);
    let me = founder.user("resident");
    let mut users = json!({});
    for at in 0..honest {
        users[format!("@resident:{}", server(at))] = json!(stage.pick(&[50, 100]));
    }
    users[me.as_str()] = json!(100);
    if stage.version == RoomVersion::V12 {
        users.as_object_mut().unwrap().remove(me.as_str());
    }
    if stage.chance(40)
        && let Some(user) = check::hostile_users(stage).first()
    {
        users[user.as_str()] = json!(50);
        stage.granted = 50;
    }
    let topic = [0, 50][stage.roll(2)];
    let levels = json!({ "users": users, "events": { "m.room.topic": topic } });
    founder.say(stage, &me, "m.room.power_levels", Some(""), &levels).unwrap();
    // Who came in by an open door only is out again by the rules of resolution if the door is closed
    // and somebody then opens a branch from before they came. A node whose people are all out has no
    // part in the room, so those who must stay are invited: that their joining cites.
    let invite = json!({ "membership": "invite" });
    for at in 1..honest {
        let resident = format!("@resident:{}", server(at));
        founder.say(stage, &me, "m.room.member", Some(&resident), &invite).unwrap();
    }
    let rule = json!({ "join_rule": "public" });
    founder.say(stage, &me, "m.room.join_rules", Some(""), &rule).unwrap();
}

/// One act of somebody on an honest node; nothing if it is not allowed.
pub(crate) fn act(stage: &mut Stage, node: &mut Node) {
    let Some(memory) = node.memory() else { return };
    let (resident, guest) = (node.user("resident"), node.user("guest"));
    let inside = check::members(memory).get(guest.as_str()).is_some_and(|it| it == "join");
    let lot = stage.roll(100);
    match lot {
        0..35 => {
            let body = json!({ "body": format!("{} of n{}", stage.now, node.at) });
            let who = if inside && lot.is_multiple_of(2) { &guest } else { &resident };
            node.say(stage, who, "m.room.message", None, &body);
        }
        35..42 => {
            let others = node.others();
            if !others.is_empty() {
                let to = *stage.pick(&others);
                node.whisper(stage, to);
            }
        }
        42..62 => {
            let membership = if inside && lot.is_multiple_of(3) { "leave" } else { "join" };
            let content = json!({ "membership": membership, "displayname": format!("G{lot}") });
            node.say(stage, &guest, "m.room.member", Some(guest.as_str()), &content);
        }
        62..76 => {
            let who = if inside && lot.is_multiple_of(2) { &guest } else { &resident };
            let topic = json!({ "topic": format!("{} of n{}", stage.now, node.at) });
            node.say(stage, who, "m.room.topic", Some(""), &topic);
        }
        76..89 => moderate(stage, node, &resident),
        89..95 => shift_levels(stage, node, &resident),
        _ => {
            let rule = *stage.pick(&["public", "public", "invite"]);
            let rule = json!({ "join_rule": rule });
            node.say(stage, &resident, "m.room.join_rules", Some(""), &rule);
        }
    }
}

/// Those whom honest people moderate: guests, and the people of the hostile node.
fn subjects(stage: &Stage, node: &Node) -> Vec<OwnedUserId> {
    let guests = (0..node.of)
        .filter(|at| Some(*at) != stage.hostile)
        .map(|at| OwnedUserId::try_from(format!("@guest:{}", server(at))).unwrap());
    guests.chain(check::hostile_users(stage)).collect()
}

fn moderate(stage: &mut Stage, node: &mut Node, resident: &OwnedUserId) {
    let subjects = subjects(stage, node);
    let subject = stage.pick(&subjects).clone();
    let membership = ["leave", "leave", "ban", "ban", "ban"][stage.roll(5)];
    let content = json!({ "membership": membership });
    node.say(stage, resident, "m.room.member", Some(subject.as_str()), &content);
}

fn shift_levels(stage: &mut Stage, node: &mut Node, resident: &OwnedUserId) {
    let Some(mut levels) = levels(node) else { return };
    let subjects = subjects(stage, node);
    let subject = stage.pick(&subjects).clone();
    match stage.roll(4) {
        0 => levels["events"]["m.room.topic"] = json!(stage.pick(&[0, 25, 50])),
        1 => levels["invite"] = json!(stage.pick(&[0, 50])),
        _ => {
            let level = [0, 0, 25, 50][stage.roll(4)];
            levels["users"][subject.as_str()] = json!(level);
            if check::hostile_users(stage).contains(&subject) {
                // Also one that comes to nothing is counted: it only makes the check milder.
                stage.granted = stage.granted.max(level);
            }
        }
    }
    node.say(stage, resident, "m.room.power_levels", Some(""), &levels);
}

/// The content of the levels as a node sees them.
pub(crate) fn levels(node: &Node) -> Option<Value> {
    let memory = node.memory()?;
    let key = StateKey::new("m.room.power_levels".into(), "");
    let event = memory.at(memory.room.state, &key)?;
    serde_json::from_str(event.content().get()).ok()
}

/// What every honest node says at the end, so that the branches join.
pub(crate) fn join_up(stage: &mut Stage, node: &mut Node) {
    let resident = node.user("resident");
    let body = json!({ "body": "all is well" });
    let said = node.say(stage, &resident, "m.room.message", None, &body);
    if said.is_none() && node.memory().is_some() {
        stage.blame(format!("{resident} may not speak any more"));
    }
}

/// Opens the door again, for those who still want to come in.
pub(crate) fn open_door(stage: &mut Stage, founder: &mut Node) {
    let me = founder.user("resident");
    let rule = json!({ "join_rule": "public" });
    founder.say(stage, &me, "m.room.join_rules", Some(""), &rule);
}
