//! A node that lies: raw events that no honest node would make, and answers that help nobody.

use std::collections::HashMap;

use ruma::{OwnedEventId, OwnedUserId};
use serde_json::{Value, json};
use wayside_federation::{event::Event, room::Standing};

use crate::{
    check,
    memory::Memory,
    node::{Node, server},
    siege::Siege,
    stage::{Ask, Message, Reply, Stage},
    workload,
};

/// How a hostile node answers questions.
pub(crate) struct Manner {
    style: Style,
    /// What it says when it is asked for an event that does not exist.
    masks: HashMap<OwnedEventId, String>,
    /// Whether the war is over: it makes no more attacks and acknowledges what it hears.
    pub(crate) is_tired: bool,
}

#[derive(Clone, Copy, Debug)]
enum Style {
    /// As an honest one would.
    Fair,
    /// Not at all.
    Silent,
    /// With something else than was asked.
    Wrong,
    /// With only what lies just before it, and old states.
    Stale,
}

type Attack = fn(&mut Siege<'_>) -> Option<()>;

/// Every attack by its name.
const ATTACKS: &[(&str, Attack)] = &[
    ("talks as an honest one", talk),
    ("forges signatures", forge),
    ("cites wrong auth events", cite_wrongly),
    ("equivocates", equivocate),
    ("backdates prev_events", backdate),
    ("claims a huge depth", sink),
    ("names events in a circle", circle),
    ("replays old levels through a branch", reset),
    ("takes power", usurp),
    ("tampers with events of others", tamper),
    ("sends what is no event", garble),
    ("opens more heads than are joined", fan),
    ("names events before they came", overtake),
    ("makes the room a second time", recreate),
    ("repeats the events of others", echo),
    ("reuses a transaction id", reuse),
];

impl Manner {
    pub(crate) fn drawn(stage: &mut Stage) -> Self {
        let style = *stage.pick(&[Style::Fair, Style::Silent, Style::Wrong, Style::Stale]);
        Self { style, masks: HashMap::new(), is_tired: false }
    }

    /// What it replies: `None` leaves that to the honest way, `Some(None)` is silence.
    #[expect(clippy::option_option, reason = "no answer of its own, and the answer of silence")]
    pub(crate) fn reply(
        &self,
        stage: &mut Stage,
        memory: Option<&Memory>,
        ask: &Ask,
    ) -> Option<Option<Reply>> {
        if let Ask::Events { ids, .. } = ask
            && let Some(mask) = ids.iter().find_map(|id| self.masks.get(id))
        {
            return Some(Some(Reply::Events(vec![mask.clone()])));
        }
        let memory = memory?;
        match (self.style, ask) {
            (Style::Fair, _) => None,
            (Style::Silent, _) => Some(None),
            (Style::Stale, Ask::Events { ids, .. }) => {
                let one = memory.backwards(ids, 1);
                Some(Some(Reply::Events(one.iter().map(|it| it.json().to_owned()).collect())))
            }
            (Style::Wrong, Ask::Events { .. }) => {
                let at = stage.roll(memory.placed.len());
                let wrong = memory.known(&memory.placed[at])?.event.json().to_owned();
                Some(Some(Reply::Events(vec![wrong, "{}".to_owned()])))
            }
            (Style::Wrong | Style::Stale, Ask::State { .. }) => {
                // The state as it was long ago: before bans, and with old levels.
                let at = stage.roll(memory.placed.len());
                let state = memory.events_of(memory.before(&memory.placed[at])?);
                let texts =
                    |events: &[&Event]| events.iter().map(|it| it.json().to_owned()).collect();
                let chain = texts(&memory.chain(&state));
                Some(Some(Reply::State { state: texts(&state), chain }))
            }
            (Style::Wrong | Style::Stale, _) => Some(Some(Reply::Refused)),
        }
    }
}

/// One attack, whichever the dice choose.
pub(crate) fn attack(stage: &mut Stage, node: &mut Node) {
    let (name, attack) = *stage.pick(ATTACKS);
    if node.memory().is_none() {
        return;
    }
    stage.note(|| format!("n{} {name}", node.at));
    if attack(&mut Siege { stage, node }).is_some() {
        *stage.counts.attacks.entry(name).or_default() += 1;
    }
}

/// The names of all attacks.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    ATTACKS.iter().map(|(name, _)| *name)
}

fn talk(siege: &mut Siege<'_>) -> Option<()> {
    let who = siege.somebody();
    let (kind, state_key) = match siege.stage.roll(3) {
        0 => ("m.room.topic", Some("")),
        1 => ("m.room.member", Some(who.as_str())),
        _ => ("m.room.message", None),
    };
    let content = json!({ "membership": "join", "topic": format!("{}", siege.stage.now) });
    siege.node.say(siege.stage, &who, kind, state_key, &content).map(|_| ())
}

fn forge(siege: &mut Siege<'_>) -> Option<()> {
    let heads = siege.heads();
    let victim = OwnedUserId::try_from("@resident:n0.example").unwrap();
    let mut levels = workload::levels(siege.node)?;
    levels["users"][siege.node.user("mallory").as_str()] = json!(100);
    let raw = siege.raw(&victim, "m.room.power_levels", Some(""), levels, &heads)?;
    let signed = match siege.stage.roll(3) {
        // In the victim's name, with the wrong key.
        0 => siege.signed(&raw, &server(0)),
        // By another server than the sender's.
        1 => siege.seal(&raw),
        // A signature that belongs to another event.
        _ => {
            let mine = siege.node.user("mallory");
            let raw = siege.message(&mine, &heads)?;
            siege
                .seal(&raw)
                .replace("of the enemy", "of a friend")
                .replace("\"sha256\":\"", "\"sha256\":\"A")
        }
    };
    siege.strike(&[signed]);
    Some(())
}

fn cite_wrongly(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    let mut raw = siege.message(&who, &heads)?;
    match siege.stage.roll(5) {
        0 => drop(raw.auth.pop()),
        1 => raw.auth.push(siege.recent(10)),
        2 => raw.auth.extend(raw.auth.clone()),
        3 => raw.auth.push(OwnedEventId::try_from(format!("${}", "A".repeat(43))).unwrap()),
        // An event of its own that was refused.
        _ => {
            let me = siege.node.user("mallory");
            let mut levels = workload::levels(siege.node)?;
            levels["users"][me.as_str()] = json!(100);
            let bad = siege.raw(&me, "m.room.power_levels", Some(""), levels, &heads)?;
            let (id, bad) = siege.keep(&bad)?;
            raw.auth.push(id);
            siege.strike(&[bad]);
        }
    }
    let (_, text) = siege.keep(&raw)?;
    siege.strike(&[text]);
    Some(())
}

fn equivocate(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    for to in 0..siege.node.of {
        let name = json!({ "membership": "join", "displayname": format!("I am n{to}'s") });
        let mut raw = siege.raw(&who, "m.room.member", Some(who.as_str()), name, &heads)?;
        if siege.stage.chance(50) {
            let topic = json!({ "topic": format!("only for n{to}") });
            raw = siege.raw(&who, "m.room.topic", Some(""), topic, &heads)?;
        }
        if to != siege.node.at {
            let (_, text) = siege.keep(&raw)?;
            siege.strike_at(to, &[text]);
        }
    }
    Some(())
}

fn backdate(siege: &mut Siege<'_>) -> Option<()> {
    let who = siege.somebody();
    let old = siege.recent(80);
    let mut raw = siege.message(&who, std::slice::from_ref(&old))?;
    if siege.stage.chance(50) {
        let topic = json!({ "topic": "as it always was" });
        raw = siege.raw(&who, "m.room.topic", Some(""), topic, &[old])?;
    }
    raw.ts = [0, raw.ts, 9_000_000_000_000][siege.stage.roll(3)];
    let (_, text) = siege.keep(&raw)?;
    siege.strike(&[text]);
    Some(())
}

fn sink(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    let mut raw = siege.message(&who, &heads)?;
    raw.depth = [(1 << 53) - 1, (1 << 53) - 2, 0][siege.stage.roll(3)];
    let (_, text) = siege.keep(&raw)?;
    siege.strike(&[
        text.clone(),
        text.replace("\"depth\":9007199254740991", "\"depth\":9007199254740992"),
    ]);
    Some(())
}

fn circle(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    let lot = siege.stage.now;
    let nowhere = OwnedEventId::try_from(format!("${lot:0>43}")).unwrap();
    let mut first = siege.message(&who, &heads)?;
    match siege.stage.roll(3) {
        0 => first.prev = vec![nowhere.clone()],
        1 => first.auth.push(nowhere.clone()),
        _ => first.prev.push(nowhere.clone()),
    }
    let text = siege.seal(&first);
    let id = siege.stage.receive(&text)?.id().to_owned();
    let mut second = siege.message(&who, &heads)?;
    second.prev = vec![id];
    second.auth.push(nowhere.clone());
    let second = siege.seal(&second);
    siege.node.manner.as_mut()?.masks.insert(nowhere, second.clone());
    siege.strike(&[second, text]);
    Some(())
}

/// Old levels, and whatever mallory once might do, on a branch from before she fell; on top of it
/// something that she or somebody else may still say.
fn reset(siege: &mut Siege<'_>) -> Option<()> {
    let (mallory, trudy) = (siege.node.user("mallory"), siege.node.user("trudy"));
    let mut tip = siege.recent(60);
    let mut branch = Vec::new();
    for _ in 0..=siege.stage.roll(3) {
        let memory = siege.memory();
        let root = memory.after(&tip)?;
        let held = memory.events_of(root);
        let levels = held.iter().find(|it| it.kind().to_string() == "m.room.power_levels")?;
        let mut levels: Value = serde_json::from_str(levels.content().get()).unwrap();
        let raw = match siege.stage.roll(6) {
            // The same levels again, as an event of her own.
            0 | 1 => {
                levels["events"]["m.room.name"] = json!(siege.stage.roll(50));
                siege.raw(&mallory, "m.room.power_levels", Some(""), levels, &[tip.clone()])?
            }
            2 => {
                let rule = json!({ "join_rule": "public" });
                siege.raw(&mallory, "m.room.join_rules", Some(""), rule, &[tip.clone()])?
            }
            3 => {
                let leave = json!({ "membership": "leave" });
                let whom =
                    if siege.stage.chance(50) { "@guest:n0.example" } else { "@guest:n1.example" };
                siege.raw(&mallory, "m.room.member", Some(whom), leave, &[tip.clone()])?
            }
            4 => {
                let who = if siege.stage.chance(50) { &trudy } else { &mallory };
                let join = json!({ "membership": "join", "displayname": "back again" });
                siege.raw(who, "m.room.member", Some(who.as_str()), join, &[tip.clone()])?
            }
            _ => {
                // A moderator may make another: then later bans of hers need not hold.
                siege.stage.passed_on |= siege.stage.granted >= 50;
                levels["users"][trudy.as_str()] = json!(50);
                siege.raw(&mallory, "m.room.power_levels", Some(""), levels, &[tip.clone()])?
            }
        };
        let (id, text) = siege.keep(&raw)?;
        if siege.memory().known(&id)?.standing != Standing::Rejected {
            tip = id;
        }
        branch.push(text);
    }
    let who = if siege.stage.chance(50) { trudy } else { mallory };
    let heads = siege.heads();
    let mut prev = vec![tip];
    if siege.stage.chance(30) {
        prev.splice(0..0, heads.into_iter().take(1));
    }
    let raw = siege.message(&who, &prev)?;
    branch.push(siege.keep(&raw)?.1);
    if siege.stage.chance(30) {
        // Only the tip: the rest is to be asked for.
        branch.drain(..branch.len() - 1);
    }
    siege.strike(&branch);
    Some(())
}

fn usurp(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    let mut levels = workload::levels(siege.node)?;
    let raw = match siege.stage.roll(5) {
        0 => {
            levels["users"][who.as_str()] = json!(100);
            siege.raw(&who, "m.room.power_levels", Some(""), levels, &heads)?
        }
        1 => {
            levels["users_default"] = json!(100);
            siege.raw(&who, "m.room.power_levels", Some(""), levels, &heads)?
        }
        2 => {
            let ban = json!({ "membership": "ban" });
            siege.raw(&who, "m.room.member", Some("@resident:n0.example"), ban, &heads)?
        }
        3 => {
            let leave = json!({ "membership": "leave" });
            siege.raw(&who, "m.room.member", Some("@resident:n1.example"), leave, &heads)?
        }
        _ => {
            let join = json!({ "membership": "join" });
            siege.raw(&who, "m.room.member", Some("@guest:n0.example"), join, &heads)?
        }
    };
    let (id, text) = siege.keep(&raw)?;
    let after = siege.message(&who, &[id])?;
    let (_, after) = siege.keep(&after)?;
    siege.strike(&[text, after]);
    Some(())
}

fn tamper(siege: &mut Siege<'_>) -> Option<()> {
    let id = siege.recent(5);
    let text = siege.memory().known(&id)?.event.json();
    let mut pdu: Value = serde_json::from_str(text).unwrap();
    pdu["content"]["body"] = json!("what was never said");
    siege.strike(&[pdu.to_string()]);
    Some(())
}

fn garble(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    let good = siege.message(&who, &heads)?;
    let mut wide = siege.message(&who, &heads)?;
    wide.prev = vec![heads.first()?.clone(); 21];
    let mut cited = siege.message(&who, &heads)?;
    cited.auth = vec![heads.first()?.clone(); 11];
    let good = siege.seal(&good);
    let pdus = [
        "null".to_owned(),
        "[".repeat(3_000),
        "{}".to_owned(),
        good.replace("\"depth\":", "\"depth\":1.5e3,\"x\":"),
        good.replace("\"room_id\":\"!", "\"room_id\":\"#"),
        siege.seal(&wide),
        siege.seal(&cited),
        good.replace("of the enemy", &"a".repeat(66_000)),
    ];
    siege.strike(&pdus);
    Some(())
}

fn fan(siege: &mut Siege<'_>) -> Option<()> {
    // It costs everybody much, so it is not made as often as it is drawn.
    if siege.stage.chance(60) {
        return None;
    }
    let (who, prev) = (siege.somebody(), siege.recent(30));
    let mut pdus = Vec::new();
    for lot in 0..23 {
        let body = json!({ "body": format!("head {lot}") });
        let mut raw = siege.raw(&who, "m.room.message", None, body, std::slice::from_ref(&prev))?;
        if siege.stage.chance(20) {
            raw.depth = (1 << 53) - 1;
        }
        pdus.push(siege.keep(&raw)?.1);
    }
    siege.strike(&pdus);
    Some(())
}

fn overtake(siege: &mut Siege<'_>) -> Option<()> {
    let who = siege.somebody();
    let newest = siege.memory().placed.last()?.clone();
    let raw = siege.message(&who, &[newest])?;
    let text = siege.seal(&raw);
    siege.strike(&[text]);
    Some(())
}

fn recreate(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    let content = json!({ "room_version": siege.stage.version.as_str(), "creator": who });
    let mut raw = siege.raw(&who, "m.room.create", Some(""), content, &heads)?;
    if siege.stage.chance(50) {
        (raw.prev, raw.auth) = (Vec::new(), Vec::new());
    }
    let text = siege.seal(&raw);
    let elsewhere = siege.memory().room.id.to_string();
    let message = siege.message(&who, &heads)?;
    let message = siege.seal(&message).replace(&elsewhere, "!elsewhere:n0.example");
    siege.strike(&[text, message]);
    Some(())
}

fn echo(siege: &mut Siege<'_>) -> Option<()> {
    let mut pdus = Vec::new();
    for _ in 0..6 {
        let id = siege.recent(20);
        pdus.push(siege.memory().known(&id)?.event.json().to_owned());
    }
    pdus.push(pdus[0].clone());
    siege.strike(&pdus);
    Some(())
}

fn reuse(siege: &mut Siege<'_>) -> Option<()> {
    let (who, heads) = (siege.somebody(), siege.heads());
    for lot in 0..2 {
        let body = json!({ "body": format!("{lot} under one name") });
        let raw = siege.raw(&who, "m.room.message", None, body, &heads)?;
        let (_, text) = siege.keep(&raw)?;
        for to in siege.some() {
            let (id, pdus) = ("always".to_owned(), vec![text.clone()]);
            siege.stage.send(
                siege.node.at,
                to,
                Message::Transaction { id, pdus, edus: Vec::new() },
            );
        }
    }
    Some(())
}

/// Trudy comes in as well, through her own node.
pub(crate) fn bring(stage: &mut Stage, node: &mut Node) {
    let trudy = node.user("trudy");
    let is_in = node.memory().is_some_and(|memory| {
        check::members(memory).get(trudy.as_str()).is_some_and(|it| it == "join")
    });
    if !is_in {
        let join = json!({ "membership": "join" });
        node.say(stage, &trudy, "m.room.member", Some(trudy.as_str()), &join);
    }
}
