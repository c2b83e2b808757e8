//! Finding what was said.

use std::collections::BTreeMap;

use ruma::api::client::search::search_events::v3::{
    self as search_events, GroupingKey, OrderBy, SearchKeys,
};
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::read::{asker, only_json, text};
use crate::{
    gateway::{
        fault::Fault,
        json::{Kind, check},
        table::{Access, Asked, Rate, Reply, Route},
    },
    services::{
        Error,
        filter::EventFilter,
        search::{Context, Hit, Hits, SearchAsked},
        sync::page_token,
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![Route::matrix(Access::Account, Rate::Read, search).for_suspended()]
}

/// Lists would be taken for these, with their fields in the order in which their types have them.
const OBJECTS: &[(&str, Kind)] = &[
    ("search_categories", Kind::Object),
    ("search_categories/room_events", Kind::Object),
    ("search_categories/room_events/event_context", Kind::Object),
    ("search_categories/room_events/filter", Kind::Object),
    ("search_categories/room_events/groupings", Kind::Object),
    ("search_categories/room_events/groupings/group_by/*", Kind::Object),
];

async fn search(asked: Asked<search_events::Request>) -> Result<Reply, Fault> {
    let who = asker(&asked)?;
    check(&asked.json, OBJECTS)?;
    let Some(criteria) = &asked.body.search_categories.room_events else {
        return text(&Answer { search_categories: Categories { room_events: None } });
    };
    let keys = match &criteria.keys {
        None => [true; 3],
        Some(given) => {
            let known =
                [SearchKeys::ContentBody, SearchKeys::ContentName, SearchKeys::ContentTopic];
            if given.iter().any(|key| !known.contains(key)) {
                let why = "keys are content.body, content.name and content.topic";
                return Err(Fault::BadParameter(why.to_owned()));
            }
            known.map(|key| given.contains(&key))
        }
    };
    let recent = match &criteria.order_by {
        None | Some(OrderBy::Rank) => false,
        Some(OrderBy::Recent) => true,
        Some(_) => return Err(Fault::BadParameter("order_by is rank or recent".to_owned())),
    };
    let context = &criteria.event_context;
    let number = |wanted: ruma::UInt| i64::try_from(u64::from(wanted)).unwrap_or(i64::MAX);
    let given = asked.json.pointer("/search_categories/room_events/event_context");
    let wanted = SearchAsked {
        text: criteria.search_term.clone(),
        keys,
        filter: filter(&asked.json)?,
        recent,
        around: given
            .filter(|given| given.is_object())
            .map(|_| (number(context.before_limit), number(context.after_limit))),
        profiles: context.include_profile,
        from: asked.body.next_batch.clone(),
    };
    let found = asked.app.services.search.ask(&who, &wanted).await?;
    let mut state = BTreeMap::new();
    if criteria.include_state == Some(true) {
        for hit in &found.hits {
            if !state.contains_key(hit.room_id.as_str()) {
                let of_room = asked.app.services.rooms.state(&who, &hit.room_id).await?;
                state.insert(hit.room_id.to_string(), of_room);
            }
        }
    }
    let groups =
        groups(&found, criteria.groupings.group_by.iter().filter_map(|it| it.key.as_ref()))?;
    text(&Answer {
        search_categories: Categories { room_events: Some(answer(found, groups, state)?) },
    })
}

/// The filter as it came, because the request's type leaves some of its keys out.
fn filter(body: &Value) -> Result<EventFilter, Fault> {
    let given = body.pointer("/search_categories/room_events/filter").filter(|it| !it.is_null());
    let given = given.map(|given| serde_json::from_value(given.clone())).transpose();
    given.map(Option::unwrap_or_default).map_err(|error| Fault::BadJson(error.to_string()))
}

/// The hits parted by room or sender, the groups in the order of their first hits.
fn groups<'k>(
    found: &Hits,
    keys: impl Iterator<Item = &'k GroupingKey>,
) -> Result<BTreeMap<&'static str, BTreeMap<String, Group>>, Fault> {
    let mut groups = BTreeMap::new();
    for key in keys {
        let (name, of): (_, fn(&Hit) -> String) = match key {
            GroupingKey::RoomId => ("room_id", |hit| hit.room_id.to_string()),
            GroupingKey::Sender => ("sender", |hit| hit.event.sender.to_string()),
            _ => return Err(Fault::BadParameter("groups are by room_id or sender".to_owned())),
        };
        let mut parts: BTreeMap<String, Group> = BTreeMap::new();
        for hit in &found.hits {
            let order = parts.len() + 1;
            let group = parts.entry(of(hit));
            let group = group.or_insert_with(|| Group { order, results: Vec::new() });
            group.results.push(hit.event_id.clone());
        }
        groups.insert(name, parts);
    }
    Ok(groups)
}

fn answer(
    found: Hits,
    groups: BTreeMap<&'static str, BTreeMap<String, Group>>,
    state: BTreeMap<String, Vec<Box<RawValue>>>,
) -> Result<EventsPart, Fault> {
    let mut results = Vec::with_capacity(found.hits.len());
    for hit in found.hits {
        results.push(ResultPart {
            rank: hit.rank,
            result: hit.event.json,
            context: hit.context.map(context_part).transpose()?,
        });
    }
    Ok(EventsPart {
        count: found.count,
        highlights: found.words,
        results,
        state,
        groups,
        next_batch: found.next,
    })
}

fn context_part(context: Context) -> Result<ContextPart, Fault> {
    let mut profile_info = BTreeMap::new();
    for (who, member) in context.profiles {
        let member: Map<String, Value> =
            serde_json::from_str(member.get()).map_err(Error::internal)?;
        let shown = member.into_iter().filter(|(name, value)| {
            matches!(name.as_str(), "displayname" | "avatar_url") && value.is_string()
        });
        profile_info.insert(who.to_string(), shown.collect());
    }
    Ok(ContextPart {
        start: page_token(context.start),
        end: page_token(context.end),
        events_before: only_json(context.before),
        events_after: only_json(context.after),
        profile_info,
    })
}

#[derive(Serialize)]
struct Answer {
    search_categories: Categories,
}

#[derive(Serialize)]
struct Categories {
    #[serde(skip_serializing_if = "Option::is_none")]
    room_events: Option<EventsPart>,
}

#[derive(Serialize)]
struct EventsPart {
    count: usize,
    highlights: Vec<String>,
    results: Vec<ResultPart>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    state: BTreeMap<String, Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<&'static str, BTreeMap<String, Group>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}

#[derive(Serialize)]
struct ResultPart {
    rank: i64,
    result: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<ContextPart>,
}

#[derive(Serialize)]
struct ContextPart {
    start: String,
    end: String,
    events_before: Vec<Box<RawValue>>,
    events_after: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    profile_info: BTreeMap<String, Map<String, Value>>,
}

#[derive(Serialize)]
struct Group {
    order: usize,
    results: Vec<String>,
}
