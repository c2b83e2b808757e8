//! Reading rooms.

use ruma::{
    UInt,
    api::{
        Direction,
        client::{
            context::get_context,
            membership::{get_member_events, joined_members},
            message::get_message_events,
            room::{get_event_by_timestamp, get_room_event},
            state::{
                get_state_event_for_key::{self, v3::StateEventFormat},
                get_state_events,
            },
        },
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use url::form_urlencoded;
use wayside_specs::limits;

use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, json as reply, json_bytes},
    },
    services::{
        Error,
        federation::Past,
        rooms::{Asker, MembersAsked, Membership, Page, PageAsked, Rendered},
        sync::page_token,
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Read, event),
        Route::matrix(Access::Account, Rate::Read, messages),
        Route::matrix(Access::Account, Rate::Read, context),
        Route::matrix(Access::Account, Rate::Read, nearest),
        Route::matrix(Access::Account, Rate::Read, state),
        Route::matrix(Access::Account, Rate::Read, state_event),
        Route::matrix(Access::Account, Rate::Read, members),
        Route::matrix(Access::Account, Rate::Read, joined_members),
    ]
}

/// How often other servers are asked for more of what was before, where little of it is to be seen.
const LOOKS: usize = 3;

/// Who asks, as the services want to know it.
pub(super) fn asker<T>(asked: &Asked<T>) -> Result<Asker, Fault> {
    let session = asked.session()?;
    Ok(Asker { user_id: session.user_id.clone(), device_id: session.device_id.clone() })
}

async fn event(asked: Asked<get_room_event::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let found =
        asked.app.services.rooms.event(&asker(&asked)?, &body.room_id, &body.event_id).await?;
    text(&found.json)
}

async fn messages(asked: Asked<get_message_events::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let (rooms, sync) = (&asked.app.services.rooms, &asked.app.services.sync);
    let who = asker(&asked)?;
    let wanted = PageAsked {
        from: sync.read_page_token(&who.user_id, body.from.as_deref()).await?,
        to: sync.read_page_token(&who.user_id, body.to.as_deref()).await?,
        back: body.dir == Direction::Backward,
        limit: page_limit(body.limit).max(1),
        filter: filter_in(&asked.query)?,
    };
    let mut page = rooms.page(&who, &body.room_id, wanted.clone()).await?;
    for _ in 0..LOOKS {
        let Some(reading) = read_by(&wanted, &page) else { break };
        let past = asked.app.services.federation.look_back(&body.room_id, reading).await?;
        if past == Past::Came {
            page = rooms.page(&who, &body.room_id, wanted.clone()).await?;
            continue;
        }
        // There is more, which somebody may tell later.
        let is_silent = past == Past::Silent && page.end.is_none() && wanted.to.is_none();
        if let Some(last) = page.events.last().filter(|_| is_silent) {
            page.end = Some(last.position - 1);
        }
        break;
    }
    text(&PageJson {
        chunk: only_json(page.events),
        start: page_token(page.start),
        end: page.end.map(page_token),
        state: page.members,
    })
}

async fn context(asked: Asked<get_context::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let limit = page_limit(body.limit);
    let who = asker(&asked)?;
    let filter = filter_in(&asked.query)?;
    let rooms = &asked.app.services.rooms;
    let around = rooms.around(&who, &body.room_id, &body.event_id, limit, &filter).await?;
    text(&ContextJson {
        event: around.event.json,
        events_before: only_json(around.before),
        events_after: only_json(around.after),
        state: around.state,
        start: page_token(around.start),
        end: page_token(around.end),
    })
}

async fn nearest(asked: Asked<get_event_by_timestamp::v1::Request>) -> Result<Reply, Fault> {
    let (who, body) = (asker(&asked)?, &asked.body);
    let at_ms = i64::try_from(u64::from(body.ts.get())).unwrap_or(i64::MAX);
    let back = body.dir == Direction::Backward;
    let federation = &asked.app.services.federation;
    let found = federation.nearest_seen(&who, &body.room_id, at_ms, back).await;
    let (event_id, sent_ms) = found?;
    Ok(reply(&json!({ "event_id": event_id, "origin_server_ts": sent_ms })))
}

/// The stretch of a room over which a page backwards has led, with the event before which it began.
fn read_by(wanted: &PageAsked, page: &Page) -> Option<(i64, i64)> {
    let end = page.end.max(wanted.to).map_or(i64::MIN, |end| end.saturating_add(1));
    wanted.back.then(|| (end, wanted.from.map_or(i64::MAX, |from| from.saturating_add(1))))
}

/// How many events a page may have, within this node's bounds.
fn page_limit(wanted: UInt) -> i64 {
    let wanted = u32::try_from(u64::from(wanted)).unwrap_or(u32::MAX);
    i64::from(wanted.min(limits::PAGE_EVENTS))
}

/// The filter of a query as it came, because the types of requests leave some of its keys out.
pub(super) fn filter_in<F: DeserializeOwned + Default>(query: &str) -> Result<F, Fault> {
    let mut filters = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "filter");
    let text = filters.next().map(|(_, text)| text).filter(|text| !text.is_empty());
    if filters.next().is_some() {
        return Err(Fault::BadParameter("filter stands twice".to_owned()));
    }
    let Some(text) = text else { return Ok(F::default()) };
    serde_json::from_str(&text)
        .map_err(|error| Fault::BadParameter(format!("the filter is none: {error}")))
}

async fn state(asked: Asked<get_state_events::v3::Request>) -> Result<Reply, Fault> {
    text(&asked.app.services.rooms.state(&asker(&asked)?, &asked.body.room_id).await?)
}

async fn state_event(asked: Asked<get_state_event_for_key::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let whole = match body.format {
        StateEventFormat::Content => false,
        StateEventFormat::Event => true,
        _ => return Err(Fault::BadParameter("format is content or event".to_owned())),
    };
    let (kind, key) = (body.event_type.clone(), body.state_key.as_str());
    let rooms = &asked.app.services.rooms;
    let event = rooms.state_event(&asker(&asked)?, &body.room_id, kind, key).await?;
    if whole {
        return text(&event);
    }
    let content: Content<'_> = serde_json::from_str(event.get()).map_err(Error::internal)?;
    text(&content.content)
}

async fn members(asked: Asked<get_member_events::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let who = asker(&asked)?;
    let filter = |word: Option<String>| {
        let wrong = || Fault::BadParameter("a membership is none that there is".to_owned());
        word.map(|word| Membership::parse(&word).ok_or_else(wrong)).transpose()
    };
    let sync = &asked.app.services.sync;
    let wanted = MembersAsked {
        only: filter(body.membership.as_ref().map(ToString::to_string))?,
        not: filter(body.not_membership.as_ref().map(ToString::to_string))?,
        at: sync.read_page_token(&who.user_id, body.at.as_deref()).await?,
    };
    let chunk = asked.app.services.rooms.members(&who, &body.room_id, wanted).await?;
    text(&Chunk { chunk })
}

async fn joined_members(asked: Asked<joined_members::v3::Request>) -> Result<Reply, Fault> {
    let rooms = &asked.app.services.rooms;
    let members = rooms.joined_members(&asker(&asked)?, &asked.body.room_id).await?;
    let joined: serde_json::Map<String, Value> = members
        .into_iter()
        .map(|(user_id, (name, avatar))| {
            let mut shown = json!({});
            if let Some(name) = name {
                shown["display_name"] = name.into();
            }
            if let Some(avatar) = avatar {
                shown["avatar_url"] = avatar.into();
            }
            (user_id.to_string(), shown)
        })
        .collect();
    Ok(reply(&json!({ "joined": joined })))
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Serialize)]
struct Chunk {
    chunk: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct PageJson {
    chunk: Vec<Box<RawValue>>,
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    state: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct ContextJson {
    event: Box<RawValue>,
    events_before: Vec<Box<RawValue>>,
    events_after: Vec<Box<RawValue>>,
    state: Vec<Box<RawValue>>,
    start: String,
    end: String,
}

pub(super) fn only_json(events: Vec<Rendered>) -> Vec<Box<RawValue>> {
    events.into_iter().map(|it| it.json).collect()
}

/// A reply of something that holds raw JSON.
pub(super) fn text(value: &impl Serialize) -> Result<Reply, Fault> {
    Ok(json_bytes(serde_json::to_string(value).map_err(Error::internal)?))
}
