//! Rooms whose graph has many ends: joined by an event that nobody needs to see.

use ruma::{
    UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::value::RawValue;
use wayside_federation::{auth, state::StateKey};
use wayside_specs::limits;

use super::{
    super::{Error, Ground},
    append::{Saying, append, needed},
    membership::able,
    signing::Signings,
};
use crate::store::{Tx, rooms::RoomRow};

/// The type of events that only join others, as other servers make them too. They are told to nobody:
/// whoever meets one, because a later event names it, asks for it.
pub(super) const JOINT: &str = "org.matrix.dummy_event";

/// Joints that are made one after the other.
const AT_ONCE: usize = 16;

/// Joins the heads of a room where there are more than one event can name, if somebody of this node may
/// speak there: each event that comes in would cost more with each of them.
pub(in crate::services) async fn join_heads(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
) -> Result<(), Error> {
    if room.heads.len() <= limits::PREV_EVENTS {
        return Ok(());
    }
    let create = StateKey::new(StateEventType::RoomCreate, "");
    let levels = StateKey::new(StateEventType::RoomPowerLevels, "");
    let held = needed(tx, room, vec![create.clone(), levels.clone()]).await?;
    let Some(create) = held.get(&create) else { return Ok(()) };
    let levels = held.get(&levels).map(|it| &it.event);
    let levels = auth::power_levels(room.version, &create.event, levels);
    let least = levels.event(&TimelineEventType::from(JOINT), false);
    let Some(speaker) = able(ground, tx, room, &levels, least).await? else { return Ok(()) };
    for _ in 0..AT_ONCE {
        if room.heads.len() <= limits::PREV_EVENTS {
            break;
        }
        match join(ground, tx, room, &speaker).await {
            Ok(()) => {}
            // What some of the heads lead to together may not let them speak, or cannot be found out: what
            // others send is not to fail by that.
            Err(Error::Forbidden(why) | Error::BadJson(why)) => {
                tracing::debug!(why, room_id = %room.room_id, "the heads of a room stay apart");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

async fn join(
    ground: &Ground,
    tx: &mut Tx,
    room: &mut RoomRow,
    speaker: &UserId,
) -> Result<(), Error> {
    let content = RawValue::from_string("{}".to_owned()).map_err(Error::internal)?;
    let saying = Saying { kind: JOINT.into(), state_key: None, content, redacts: None, sent: None };
    // A policy server is not asked: it would look over nothing that anybody sees.
    let mut unasked = Signings::default();
    append(ground, tx, &mut unasked, room, speaker, saying).await.map(drop)
}
