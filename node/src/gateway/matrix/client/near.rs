//! Who is near: people by their names, rooms shared with one of them, and the tags of one's own rooms.

use bytes::Bytes;
use http::Method;
use ruma::{
    UserId,
    api::client::{
        peeking::get_current_state,
        tag::{create_tag, delete_tag, get_tags},
        user_directory::search_users,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use wayside_specs::Role;

use super::{
    read::{asker, only_json, text},
    sync::own,
};
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Call, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        filter::EventFilter,
        rooms::{Found, Membership, PageAsked},
        sync::page_token,
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::AtLeast(Role::Member), Rate::Read, find_people).for_suspended(),
        Route::own(Method::GET, SHARED, Access::Account, Rate::Read, shared),
        Route::matrix(Access::Account, Rate::Read, tags),
        Route::matrix(Access::Account, Rate::Write, set_tag),
        Route::matrix(Access::Account, Rate::Write, remove_tag),
        Route::matrix(Access::Account, Rate::Read, glance),
    ]
}

/// The path of the rooms that two people share, which came with version 1.19.
const SHARED: &str = "/_matrix/client/v1/mutual_rooms";
/// The most people of one answer.
const PEOPLE: u64 = 100;
/// Events of a first look into a room.
const GLANCE: i64 = 20;

async fn find_people(asked: Asked<search_users::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let limit = usize::try_from(u64::from(body.limit).min(PEOPLE)).unwrap_or_default();
    let asker = &asked.session()?.user_id;
    let rooms = &asked.app.services.rooms;
    let (found, limited) = rooms.find_people(asker, &body.search_term, limit).await?;
    let results: Vec<Value> = found.into_iter().map(shown).collect();
    Ok(reply(&json!({ "results": results, "limited": limited })))
}

fn shown(found: Found) -> Value {
    let mut shown = json!({ "user_id": found.user_id });
    if let Some(name) = found.name {
        shown["display_name"] = name.into();
    }
    if let Some(avatar_url) = found.avatar_url {
        shown["avatar_url"] = avatar_url.into();
    }
    shown
}

async fn shared(call: Call<Bytes>) -> Result<Reply, Fault> {
    #[derive(Deserialize)]
    struct Wish {
        user_id: Option<String>,
        from: Option<String>,
    }
    let asker = &call.session.as_ref().ok_or(Fault::MissingToken)?.user_id;
    let wish = axum::extract::Query::<Wish>::try_from_uri(call.request.uri());
    let wrong = |_| Fault::BadParameter("the query does not parse".to_owned());
    let Wish { user_id, from } = wish.map_err(wrong)?.0;
    let user_id = user_id.ok_or_else(|| Error::Invalid("user_id says with whom".to_owned()))?;
    let from = from.map(|text| {
        let number = text.strip_prefix('m').and_then(|number| number.parse().ok());
        number.ok_or_else(|| Fault::BadParameter(format!("{text:?} is no token of this node")))
    });
    let from = from.transpose()?.unwrap_or(0);
    let Some(other) = UserId::parse(&user_id).ok().filter(|it| it.validate_strict().is_ok()) else {
        return Err(Error::Invalid("user_id is the name of no user".to_owned()).into());
    };
    let found = call.app.services.rooms.shared(asker, &other, from).await?;
    let mut body = json!({ "joined": found.rooms, "count": found.all });
    if let Some(next) = found.next {
        body["next_batch"] = format!("m{next}").into();
    }
    Ok(reply(&body))
}

async fn tags(asked: Asked<get_tags::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    Ok(reply(&asked.app.services.social.tags(&body.user_id, &body.room_id).await?))
}

async fn set_tag(asked: Asked<create_tag::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let told: Map<String, Value> = asked.json.as_object().cloned().unwrap_or_default();
    let social = &asked.app.services.social;
    social.set_tag(&body.user_id, &body.room_id, &body.tag, Some(told)).await?;
    Ok(done())
}

async fn remove_tag(asked: Asked<delete_tag::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    own(body.user_id == asked.session()?.user_id)?;
    let social = &asked.app.services.social;
    social.set_tag(&body.user_id, &body.room_id, &body.tag, None).await?;
    Ok(done())
}

/// A first look into a room: its newest events, its state, and what of it is the asker's own.
async fn glance(asked: Asked<get_current_state::v3::Request>) -> Result<Reply, Fault> {
    let (who, room_id) = (asker(&asked)?, &asked.body.room_id);
    let services = &asked.app.services;
    let wanted = PageAsked {
        from: None,
        to: None,
        back: true,
        limit: GLANCE,
        filter: EventFilter::default(),
    };
    let mut page = services.rooms.page(&who, room_id, wanted).await?;
    page.events.reverse();
    let standing = services.rooms.standing(room_id, &who.user_id).await?;
    let published = services.rooms.is_published(room_id).await?;
    text(&Glance {
        room_id: room_id.as_str(),
        membership: standing.unwrap_or(Membership::Leave).as_str(),
        messages: Messages {
            start: page.end.map(page_token),
            end: page_token(page.start),
            chunk: only_json(page.events),
        },
        state: services.rooms.state(&who, room_id).await?,
        visibility: if published { "public" } else { "private" },
        account_data: services.social.data_of_room(&who.user_id, room_id).await?,
    })
}

#[derive(Serialize)]
struct Glance<'a> {
    room_id: &'a str,
    membership: &'static str,
    messages: Messages,
    state: Vec<Box<RawValue>>,
    visibility: &'static str,
    account_data: Vec<Box<RawValue>>,
}

#[derive(Serialize)]
struct Messages {
    #[serde(skip_serializing_if = "Option::is_none")]
    start: Option<String>,
    end: String,
    chunk: Vec<Box<RawValue>>,
}
