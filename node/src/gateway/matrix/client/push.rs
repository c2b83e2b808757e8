//! Push rules, what they told of, and whom to tell.

use ruma::api::client::push::{
    PusherKind, delete_pushrule, get_notifications, get_pushers, get_pushrule,
    get_pushrule_actions, get_pushrule_enabled, get_pushrules_all, get_pushrules_global_scope,
    set_pusher::{self, v3::PusherAction},
    set_pushrule, set_pushrule_actions, set_pushrule_enabled,
};
use ruma::push::{AnyPushRuleRef, RuleKind};
use serde::Serialize;
use serde_json::{Value, json};
use wayside_specs::limits;

use super::read::asker;
use crate::{
    gateway::{
        fault::Fault,
        table::{Access, Asked, Rate, Reply, Route, done, json as reply},
    },
    services::{
        Error,
        push::{Only, Pusher, PusherWish, as_account_data, by_kind},
    },
};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::matrix(Access::Account, Rate::Read, all),
        Route::matrix(Access::Account, Rate::Read, global),
        Route::matrix(Access::Account, Rate::Read, one),
        Route::matrix(Access::Account, Rate::Write, set),
        Route::matrix(Access::Account, Rate::Write, remove),
        Route::matrix(Access::Account, Rate::Read, enabled),
        Route::matrix(Access::Account, Rate::Write, enable),
        Route::matrix(Access::Account, Rate::Read, actions),
        Route::matrix(Access::Account, Rate::Write, set_actions),
        Route::matrix(Access::Account, Rate::Read, notifications),
        Route::matrix(Access::Account, Rate::Read, pushers),
        Route::matrix(Access::Account, Rate::Write, set_pusher),
    ]
}

async fn all(asked: Asked<get_pushrules_all::v3::Request>) -> Result<Reply, Fault> {
    let rules = asked.app.services.push.rules(&asked.session()?.user_id).await?;
    Ok(reply(&as_account_data(&rules)))
}

async fn global(asked: Asked<get_pushrules_global_scope::v3::Request>) -> Result<Reply, Fault> {
    let rules = asked.app.services.push.rules(&asked.session()?.user_id).await?;
    Ok(reply(&by_kind(&rules)))
}

/// A part of one rule of the asker.
async fn part<T>(
    asked: &Asked<T>,
    kind: &RuleKind,
    rule_id: &str,
    part: impl FnOnce(AnyPushRuleRef<'_>) -> Result<Value, Error>,
) -> Result<Reply, Fault> {
    let rules = asked.app.services.push.rules(&asked.session()?.user_id).await?;
    let rule = rules.get(kind.clone(), rule_id);
    let rule = rule.ok_or_else(|| Error::NotFound("there is no such push rule".to_owned()))?;
    Ok(reply(&part(rule)?))
}

async fn one(asked: Asked<get_pushrule::v3::Request>) -> Result<Reply, Fault> {
    let value = |rule: AnyPushRuleRef<'_>| match rule {
        AnyPushRuleRef::Override(rule) | AnyPushRuleRef::Underride(rule) => to_value(rule),
        AnyPushRuleRef::Content(rule) => to_value(rule),
        AnyPushRuleRef::Room(rule) => to_value(rule),
        AnyPushRuleRef::Sender(rule) => to_value(rule),
        _ => Err(Error::NotFound("there is no such push rule".to_owned())),
    };
    part(&asked, &asked.body.kind, &asked.body.rule_id, value).await
}

async fn enabled(asked: Asked<get_pushrule_enabled::v3::Request>) -> Result<Reply, Fault> {
    let value = |rule: AnyPushRuleRef<'_>| Ok(json!({ "enabled": rule.enabled() }));
    part(&asked, &asked.body.kind, &asked.body.rule_id, value).await
}

async fn actions(asked: Asked<get_pushrule_actions::v3::Request>) -> Result<Reply, Fault> {
    let value = |rule: AnyPushRuleRef<'_>| Ok(json!({ "actions": to_value(rule.actions())? }));
    part(&asked, &asked.body.kind, &asked.body.rule_id, value).await
}

fn to_value(value: &(impl Serialize + ?Sized)) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(Error::internal)
}

async fn set(asked: Asked<set_pushrule::v3::Request>) -> Result<Reply, Fault> {
    let user_id = asked.session()?.user_id.clone();
    let set_pushrule::v3::Request { rule, before, after, .. } = asked.body;
    asked.app.services.push.set_rule(&user_id, rule, after, before).await?;
    Ok(done())
}

async fn remove(asked: Asked<delete_pushrule::v3::Request>) -> Result<Reply, Fault> {
    let (kind, rule_id) = (asked.body.kind.clone(), asked.body.rule_id.clone());
    asked.app.services.push.remove_rule(&asked.session()?.user_id, kind, rule_id).await?;
    Ok(done())
}

async fn enable(asked: Asked<set_pushrule_enabled::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let (kind, rule_id) = (body.kind.clone(), body.rule_id.clone());
    let user_id = &asked.session()?.user_id;
    asked.app.services.push.enable_rule(user_id, kind, rule_id, body.enabled).await?;
    Ok(done())
}

async fn set_actions(asked: Asked<set_pushrule_actions::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let (kind, rule_id) = (body.kind.clone(), body.rule_id.clone());
    let user_id = &asked.session()?.user_id;
    asked.app.services.push.set_actions(user_id, kind, rule_id, body.actions.clone()).await?;
    Ok(done())
}

async fn notifications(asked: Asked<get_notifications::v3::Request>) -> Result<Reply, Fault> {
    let body = &asked.body;
    let wrong = |_| Fault::BadParameter("from is not a next_token of this node".to_owned());
    let before = body.from.as_deref().map(str::parse).transpose().map_err(wrong)?;
    let limit = body.limit.map_or(50, |wanted| usize::try_from(wanted).unwrap_or(usize::MAX));
    let limit = limit.clamp(1, limits::NOTIFICATIONS);
    let highlights = body.only.as_deref().is_some_and(|only| only.contains("highlight"));
    let only = if highlights { Only::Highlights } else { Only::All };
    let push = &asked.app.services.push;
    let found = push.notifications(&asker(&asked)?, before, limit, only).await?;
    let list: Vec<Value> = found
        .list
        .iter()
        .map(|it| {
            Ok::<_, Error>(json!({
                "actions": to_value(&it.actions)?,
                "event": to_value(&it.event)?,
                "read": it.read,
                "room_id": it.room_id,
                "ts": it.sent_ms,
            }))
        })
        .collect::<Result<_, _>>()?;
    let mut body = json!({ "notifications": list });
    if let Some(next) = found.next {
        body["next_token"] = next.to_string().into();
    }
    Ok(reply(&body))
}

async fn pushers(asked: Asked<get_pushers::v3::Request>) -> Result<Reply, Fault> {
    let found = asked.app.services.push.pushers(&asked.session()?.user_id).await?;
    let found: Result<Vec<Value>, Error> = found.iter().map(pusher_json).collect();
    Ok(reply(&json!({ "pushers": found? })))
}

fn pusher_json(pusher: &Pusher) -> Result<Value, Error> {
    let data: Value = serde_json::from_str(&pusher.data).map_err(Error::internal)?;
    let mut body = json!({
        "app_id": pusher.key.app_id,
        "pushkey": pusher.key.pushkey,
        "kind": "http",
        "app_display_name": pusher.app_name,
        "device_display_name": pusher.device_name,
        "lang": pusher.lang,
        "data": data,
    });
    if let Some(tag) = &pusher.profile_tag {
        body["profile_tag"] = tag.as_str().into();
    }
    Ok(body)
}

async fn set_pusher(asked: Asked<set_pusher::v3::Request>) -> Result<Reply, Fault> {
    let push = &asked.app.services.push;
    // Without one, the request's type takes it for a wish to delete.
    if asked.json.get("kind").is_none() {
        return Err(Error::Missing("kind is http or null".to_owned()).into());
    }
    let post = match &asked.body.action {
        PusherAction::Post(post) => post,
        PusherAction::Delete(ids) => {
            let (app_id, pushkey) = (ids.app_id.clone(), ids.pushkey.clone());
            push.remove_pusher(&asked.session()?.user_id, app_id, pushkey).await?;
            return Ok(done());
        }
        _ => return Err(Fault::BadParameter("kind is http or null".to_owned())),
    };
    let pusher = &post.pusher;
    if !matches!(pusher.kind, PusherKind::Http(_)) {
        return Err(Fault::BadParameter("pushers are of the kind http here".to_owned()));
    }
    let wish = PusherWish {
        app_id: pusher.ids.app_id.clone(),
        pushkey: pusher.ids.pushkey.clone(),
        app_name: pusher.app_display_name.clone(),
        device_name: pusher.device_display_name.clone(),
        profile_tag: pusher.profile_tag.clone(),
        lang: pusher.lang.clone(),
        // All of it goes on to the gateway, also what the request's type does not know.
        data: asked.json["data"].as_object().cloned().unwrap_or_default(),
        append: post.append,
    };
    push.set_pusher(asked.session()?, wish).await?;
    Ok(done())
}
