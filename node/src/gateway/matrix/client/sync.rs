//! News and filters.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use ruma::{
    api::client::{
        filter::{create_filter, get_filter},
        sync::sync_events,
    },
    presence::PresenceState,
};
use serde::Deserialize;
use serde_json::json;

use super::read::{asker, filter_in, text};
use crate::{
    gateway::{
        fault::Fault,
        json::{Kind, check, object},
        table::{Access, Asked, Call, Rate, Reply, Route, json as reply},
    },
    services::{
        Error,
        accounts::Session,
        filter::Filter,
        live::Presence,
        rooms::Asker,
        sync::{
            Asked as Wanted,
            sliding::{Body, Sliding},
        },
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Read, sync),
        Route::own(Method::POST, SLIDING, Access::Account, Rate::Read, slide)
            .large()
            .for_suspended(),
        Route::matrix(Access::Account, Rate::Write, create_filter).large().for_suspended(),
        Route::matrix(Access::Account, Rate::Read, filter),
    ]
}

async fn sync(asked: Asked<sync_events::v3::Request>) -> Result<Reply, Fault> {
    let who = asker(&asked)?;
    let body = &asked.body;
    let filter = match &body.filter {
        None => Filter::default(),
        // What begins so is JSON and never an id (client-server API, `GET /sync`).
        Some(sync_events::v3::Filter::FilterId(id)) if id.starts_with('{') => {
            return Err(Fault::BadParameter("filter is JSON, but not that of a filter".to_owned()));
        }
        Some(sync_events::v3::Filter::FilterId(id)) => {
            let stored = Box::pin(asked.app.services.social.filter(&who.user_id, id)).await?;
            // It was kept when lists still passed for objects, if it cannot be read.
            let unread = |error| Fault::BadParameter(format!("this filter is none: {error}"));
            serde_json::from_str(stored.get()).map_err(unread)?
        }
        Some(sync_events::v3::Filter::FilterDefinition(_)) => filter_in(&asked.query)?,
        Some(_) => {
            return Err(Fault::BadParameter("the filter is neither an id nor a filter".to_owned()));
        }
    };
    let wanted = Wanted {
        since: body.since.clone(),
        wait: body.timeout.unwrap_or(Duration::ZERO),
        full_state: body.full_state,
        state_after: body.use_state_after,
        presence: shown(asked.session()?, &body.set_presence)?,
        filter,
    };
    let answer = asked.app.services.sync.ask(&who, &wanted).await?;
    if !wanted.wait.is_zero() {
        // Whoever was signed out while they waited hears nothing more. Boxed, so that waiting holds no
        // room for it.
        Box::pin(asked.app.services.accounts.still_signed_in(asked.session()?)).await?;
    }
    text(&answer)
}

/// Where the clients of today ask for sliding sync.
const SLIDING: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/// Lists would be taken for these, too.
const STATE: &[(&str, Kind)] = &[
    ("room_subscriptions/*", Kind::Object),
    ("room_subscriptions/*/required_state/include/*", Kind::Object),
    ("room_subscriptions/*/required_state/exclude/*", Kind::Object),
    ("lists/*/required_state/include/*", Kind::Object),
    ("lists/*/required_state/exclude/*", Kind::Object),
];

/// Read by hand: clients write it in the forms of several texts of the proposal.
async fn slide(call: Call<Bytes>) -> Result<Reply, Fault> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Query {
        pos: Option<String>,
        timeout: Option<u64>,
        set_presence: PresenceState,
    }
    let Call { app, session, request, .. } = call;
    let session = session.ok_or(Fault::MissingToken)?;
    let query = axum::extract::Query::<Query>::try_from_uri(request.uri());
    let query = query.map_err(|error| Fault::BadParameter(error.body_text()))?.0;
    let json = object(request.body())?;
    check(&json, STATE)?;
    // Whoever waits holds nothing of what they asked but what was read of it.
    drop(request);
    let text = json.to_string();
    let body: Body = serde_json::from_value(json).map_err(|error| {
        Fault::BadJson(format!("the body has not the form that is wanted: {error}"))
    })?;
    let who = Asker { user_id: session.user_id.clone(), device_id: session.device_id.clone() };
    let wait = Duration::from_millis(query.timeout.unwrap_or(0));
    let presence = shown(&session, &query.set_presence)?;
    let asked = Sliding { pos: query.pos, wait, presence, body, text };
    let answer = app.services.sync.slide(&who, &asked).await?;
    if !wait.is_zero() {
        Box::pin(app.services.accounts.still_signed_in(&session)).await?;
    }
    self::text(&answer)
}

/// What asking for news says about a person; suspended people change nothing that others see.
fn shown(session: &Session, state: &PresenceState) -> Result<Option<Presence>, Fault> {
    let presence = match state {
        PresenceState::Online => Some(Presence::Online),
        PresenceState::Unavailable => Some(Presence::Unavailable),
        // Asking as offline says nothing.
        PresenceState::Offline => None,
        _ => {
            let wanted = "set_presence is online, unavailable or offline";
            return Err(Fault::BadParameter(wanted.to_owned()));
        }
    };
    Ok(presence.filter(|_| !session.held.suspended))
}

async fn create_filter(asked: Asked<create_filter::v3::Request>) -> Result<Reply, Fault> {
    let session = asked.session()?;
    own(asked.body.user_id == session.user_id)?;
    // Checked now, so that a later sync by its id cannot fail.
    let _readable: Filter = serde_json::from_value(asked.json.clone())
        .map_err(|error| Fault::BadJson(error.to_string()))?;
    let raw = serde_json::value::to_raw_value(&asked.json).map_err(Error::internal)?;
    let filter_id = asked.app.services.social.add_filter(&session.user_id, &raw).await?;
    Ok(reply(&json!({ "filter_id": filter_id })))
}

async fn filter(asked: Asked<get_filter::v3::Request>) -> Result<Reply, Fault> {
    let session = asked.session()?;
    own(asked.body.user_id == session.user_id)?;
    text(&asked.app.services.social.filter(&session.user_id, &asked.body.filter_id).await?)
}

/// What belongs to one person is only for that person.
pub(super) fn own(is_own: bool) -> Result<(), Fault> {
    if is_own {
        Ok(())
    } else {
        Err(Error::Forbidden("this belongs to somebody else".to_owned()).into())
    }
}
