//! What people were given: by those who run this node, and what they hold and show of it.

use bytes::Bytes;
use http::{HeaderValue, Method, header};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};
use wayside_identity::badge::{Age, AgeGroup, AgeSource, Asks, Badge};
use wayside_specs::Role;

use super::{read, unkept};
use crate::{
    gateway::{
        fault::Fault,
        json::Kind,
        table::{Access, Call, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        badges::{Gift, Given, Holding, What},
    },
};

/// What somebody brings, which is looked at last.
const BROUGHT: &[(&str, Kind)] = &[("credential", Kind::Object)];

pub(super) fn routes() -> Vec<Route> {
    let (member, moderator) = (Access::AtLeast(Role::Member), Access::AtLeast(Role::Moderator));
    let (held, one) =
        ("/_wayside/v1/identity/credentials", "/_wayside/v1/identity/credentials/{id}");
    let (given, taken) = ("/_wayside/v1/given", "/_wayside/v1/given/{number}");
    let list = "/_wayside/v1/credentials/status/{list}";
    vec![
        Route::own(Method::GET, list, Access::Public, Rate::Read, status),
        Route::own(Method::GET, held, member, Rate::Read, all_held),
        Route::own(Method::POST, held, member, Rate::Outside, hold).typed(BROUGHT),
        Route::own(Method::PUT, one, member, Rate::Write, show),
        Route::own(Method::DELETE, one, member, Rate::Write, drop_held),
        Route::own(Method::GET, "/_wayside/v1/badges", member, Rate::Read, gives),
        Route::own(Method::DELETE, "/_wayside/v1/badges/{badge}", moderator, Rate::Write, forget),
        Route::own(Method::GET, given, moderator, Rate::Read, all_given),
        Route::own(Method::POST, given, moderator, Rate::Outside, give),
        Route::own(Method::DELETE, taken, moderator, Rate::Write, take_back),
    ]
}

/// A list by which this node takes back what it gave (Bitstring Status List 1.0).
async fn status(call: Call<Bytes>) -> Result<Reply, Fault> {
    let text = call.path.first().map(String::as_str).unwrap_or_default();
    let none = || Error::NotFound("this node has no such list".to_owned());
    let number: i64 = text.parse().map_err(|_| none())?;
    if number.to_string() != text {
        return Err(none().into());
    }
    let mut reply = Reply::new(call.app.services.badges.list(number).await?.into());
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/vc"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(reply)
}

async fn all_held(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let held = call.app.services.badges.held(&session.user_id).await?;
    let held: Vec<Value> = held.iter().map(held_told).collect();
    Ok(unkept(reply(&json!({ "credentials": held }))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HoldBody {
    credential: Value,
}

async fn hold(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let HoldBody { credential } = read(call.request.body())?;
    let hold = call.app.services.badges.hold(&session.user_id, &credential);
    Ok(unkept(reply(&held_told(&Box::pin(hold).await?))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowBody {
    shown: bool,
}

async fn show(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let ShowBody { shown } = read(call.request.body())?;
    call.app.services.badges.show(&session.user_id, first(&call), shown).await?;
    Ok(done())
}

async fn drop_held(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    call.app.services.badges.drop_held(&session.user_id, first(&call)).await?;
    Ok(done())
}

/// The badges that this node gives.
async fn gives(call: Call<Bytes>) -> Result<Reply, Fault> {
    let told = |(badge, name, description)| json!({ "badge": badge, "name": name, "description": description });
    let badges = call.app.services.badges.gives().await?;
    let badges: Vec<Value> = badges.into_iter().map(told).collect();
    Ok(reply(&json!({ "badges": badges })))
}

/// Gives a badge no more.
async fn forget(call: Call<Bytes>) -> Result<Reply, Fault> {
    call.app.services.badges.forget(first(&call)).await?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GiveBody {
    user_id: OwnedUserId,
    badge: Option<BadgeBody>,
    age: Option<AgeBody>,
    until_ms: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BadgeBody {
    id: String,
    name: String,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AgeBody {
    group: String,
    source: String,
}

/// Gives somebody something in the node's name.
async fn give(call: Call<Bytes>) -> Result<Reply, Fault> {
    let session = call.session.as_ref().ok_or(Fault::MissingToken)?;
    let GiveBody { user_id, badge, age, until_ms } = read(call.request.body())?;
    let gift = match (badge, age) {
        (Some(BadgeBody { id, name, description }), None) => {
            let badge = Badge::new(&id, &name, description.as_deref(), None);
            let why = "a badge has an id of 1 to 64 letters, digits, \".\", \"-\" and \"_\", a name of 1 to 255 bytes, \
                       and a description of 1 to 1024 or none";
            Gift::Badge(badge.ok_or_else(|| Fault::BadParameter(why.to_owned()))?)
        }
        (None, Some(AgeBody { group, source })) => {
            let wrong = || {
                let names = Age::ALL.map(Age::as_str).join(", ");
                let sources = AgeSource::ALL.map(AgeSource::as_str).join(", ");
                Fault::BadParameter(format!("group is one of {names}, source one of {sources}"))
            };
            let age = Age::named(&group).ok_or_else(wrong)?;
            Gift::Age(AgeGroup { age, source: AgeSource::named(&source).ok_or_else(wrong)? })
        }
        _ => return Err(Fault::BadParameter("one of badge and age is given".to_owned())),
    };
    let badges = &call.app.services.badges;
    let given = badges.give(session.user_id.as_str(), &user_id, &gift, until_ms);
    let (number, credential) = Box::pin(given).await?;
    Ok(reply(&json!({ "number": number, "credential": credential })))
}

/// What was given, to one person or to all, by its numbers.
async fn all_given(call: Call<Bytes>) -> Result<Reply, Fault> {
    let (mut to, mut behind) = (None, 0);
    let query = call.request.uri().query().unwrap_or_default();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let wrong = |what| Fault::BadParameter(format!("{name}: {value:?} is no {what}"));
        match name.as_ref() {
            "user_id" => {
                to = Some(OwnedUserId::try_from(&*value).map_err(|_| wrong("user id"))?);
            }
            "from" => behind = value.parse::<i64>().map_err(|_| wrong("number"))?,
            _ => {}
        }
    }
    let given = call.app.services.badges.given(to.as_deref(), behind).await?;
    let given: Vec<Value> = given.iter().map(given_told).collect();
    Ok(reply(&json!({ "given": given })))
}

async fn take_back(call: Call<Bytes>) -> Result<Reply, Fault> {
    let number = first(&call).parse();
    let number =
        number.map_err(|_| Error::NotFound("nothing was given by that number".to_owned()))?;
    call.app.services.badges.take_back(number).await?;
    Ok(done())
}

fn first(call: &Call<Bytes>) -> &str {
    call.path.first().map(String::as_str).unwrap_or_default()
}

fn held_told(held: &Holding) -> Value {
    let mut told = what_told(Some(&held.what));
    told["id"] = held.id.as_str().into();
    told["issuer"] = held.issuer.as_str().into();
    told["issuer_name"] = held.issuer_name.as_str().into();
    told["until_ms"] = held.until_ms.into();
    told["shown"] = held.shown.into();
    told["held_ms"] = held.held_ms.into();
    told["credential"] = held.credential.value().clone();
    told
}

fn given_told(given: &Given) -> Value {
    let mut told = what_told(given.what.as_ref());
    told["number"] = given.number.into();
    told["user_id"] = given.user_id.as_str().into();
    told["giver"] = given.giver.as_str().into();
    told["given_ms"] = given.given_ms.into();
    told["until_ms"] = given.until_ms.into();
    told["taken_back_ms"] = given.taken_back_ms.into();
    told
}

fn what_told(what: Option<&What>) -> Value {
    match what {
        Some(What::Badge(badge)) => json!({
            "type": "Badge", "badge": badge.id(), "name": badge.name(),
            "description": badge.description(),
        }),
        Some(What::Age(age)) => json!({
            "type": "AgeGroup", "age_group": age.age.as_str(), "age_source": age.source.as_str(),
        }),
        Some(What::Role(role)) => json!({ "type": "NodeRole", "role": role.role.as_str() }),
        None => json!({ "type": null }),
    }
}

/// What is asked of whoever comes in somewhere, as a client says it to its home.
pub(super) fn asked(value: Option<&Value>) -> Result<Asks, Fault> {
    match value {
        None => Ok(Asks::default()),
        Some(Value::Array(none)) if none.is_empty() => Ok(Asks::default()),
        Some(value) => Asks::read(value).map_err(|why| Fault::bad_json(&why.to_string())),
    }
}
