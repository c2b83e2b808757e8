//! What relates to what: edits, threads and the like.

use ruma::{
    EventId, RoomId, UInt,
    api::{
        Direction,
        client::{
            relations::{
                get_relating_events, get_relating_events_with_rel_type,
                get_relating_events_with_rel_type_and_event_type,
            },
            threads::get_threads,
        },
    },
};
use serde::Serialize;
use serde_json::value::RawValue;
use wayside_specs::limits;

use super::read::{asker, text};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route},
    },
    services::{
        rooms::{DEPTH, Listing, RelationsAsked, ThreadsAsked},
        sync::page_token,
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Read, all),
        Route::matrix(Access::Account, Rate::Read, of_a_type),
        Route::matrix(Access::Account, Rate::Read, of_both_types),
        Route::matrix(Access::Account, Rate::Read, threads),
    ]
}

/// Events of a page where the client names no number.
const PAGE: u32 = 20;

/// What the three ways to ask for relations have in common.
struct Wish<'a> {
    room_id: &'a RoomId,
    event_id: &'a EventId,
    rel_type: Option<String>,
    kind: Option<String>,
    from: Option<&'a str>,
    to: Option<&'a str>,
    dir: Direction,
    limit: Option<UInt>,
    recurse: bool,
}

async fn all(asked: Asked<get_relating_events::v1::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let wish = Wish {
        room_id: &body.room_id,
        event_id: &body.event_id,
        rel_type: None,
        kind: None,
        from: body.from.as_deref(),
        to: body.to.as_deref(),
        dir: body.dir,
        limit: body.limit,
        recurse: body.recurse,
    };
    relations(&asked, wish).await
}

async fn of_a_type(
    asked: Asked<get_relating_events_with_rel_type::v1::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    let wish = Wish {
        room_id: &body.room_id,
        event_id: &body.event_id,
        rel_type: Some(body.rel_type.to_string()),
        kind: None,
        from: body.from.as_deref(),
        to: body.to.as_deref(),
        dir: body.dir,
        limit: body.limit,
        recurse: body.recurse,
    };
    relations(&asked, wish).await
}

async fn of_both_types(
    asked: Asked<get_relating_events_with_rel_type_and_event_type::v1::Request>,
) -> Result<Reply, Fault> {
    let body = &asked.body;
    let wish = Wish {
        room_id: &body.room_id,
        event_id: &body.event_id,
        rel_type: Some(body.rel_type.to_string()),
        kind: Some(body.event_type.to_string()),
        from: body.from.as_deref(),
        to: body.to.as_deref(),
        dir: body.dir,
        limit: body.limit,
        recurse: body.recurse,
    };
    relations(&asked, wish).await
}

async fn relations<T>(asked: &Asked<T>, wish: Wish<'_>) -> Result<Reply, Fault> {
    let (who, sync) = (asker(asked)?, &asked.app.services.sync);
    let from = sync.read_page_token(&who.user_id, wish.from).await?;
    let wanted = RelationsAsked {
        rel_type: wish.rel_type,
        kind: wish.kind,
        from,
        to: sync.read_page_token(&who.user_id, wish.to).await?,
        back: wish.dir == Direction::Backward,
        limit: limit(wish.limit),
        recurse: wish.recurse,
    };
    let rooms = &asked.app.services.rooms;
    let Listing { events, end } =
        rooms.relations(&who, wish.room_id, wish.event_id, wanted).await?;
    text(&PageJson {
        chunk: events.into_iter().map(|it| it.json).collect(),
        next_batch: end.map(page_token),
        prev_batch: from.map(page_token),
        recursion_depth: wish.recurse.then_some(DEPTH),
    })
}

async fn threads(asked: Asked<get_threads::v1::Request>) -> Result<Reply, Fault> {
    let (who, body) = (asker(&asked)?, &asked.body);
    let own = match &body.include {
        get_threads::v1::IncludeThreads::All => false,
        get_threads::v1::IncludeThreads::Participated => true,
        _ => return Err(Fault::BadParameter("include is all or participated".to_owned())),
    };
    let sync = &asked.app.services.sync;
    let from = sync.read_page_token(&who.user_id, body.from.as_deref()).await?;
    let wanted = ThreadsAsked { own, from, limit: limit(body.limit) };
    let Listing { events, end } =
        asked.app.services.rooms.threads(&who, &body.room_id, wanted).await?;
    text(&PageJson {
        chunk: events.into_iter().map(|it| it.json).collect(),
        next_batch: end.map(page_token),
        prev_batch: None,
        recursion_depth: None,
    })
}

fn limit(wanted: Option<UInt>) -> i64 {
    let wanted = wanted.map_or(PAGE, |it| u32::try_from(u64::from(it)).unwrap_or(u32::MAX));
    i64::from(wanted.clamp(1, limits::PAGE_EVENTS))
}

#[derive(Serialize)]
struct PageJson {
    chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recursion_depth: Option<i64>,
}
