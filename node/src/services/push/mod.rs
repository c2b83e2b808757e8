//! What people want to be told of: their push rules, what they have not read, and whom to wake for it.
//!
//! A duty follows the stream, judges each event by the rules of those in its room, and counts. What it
//! has counted is in memory and written down now and then with the position that it has reached, so
//! that sending waits for nobody's rules and a restart counts nothing twice.

mod counting;
mod delivery;
mod notice;
mod notifications;
mod pushers;
mod rules;

use std::sync::{Arc, Mutex};

use ruma::{
    OwnedUserId, UserId,
    push::{Action, InsertPushRuleError, NewPushRule, RemovePushRuleError, RuleKind, Ruleset},
};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::watch;
use wayside_specs::limits;

use self::{counting::Counting, delivery::Wakes};
pub use self::{
    notifications::{Notification, Notifications, Only},
    pushers::{Pusher, PusherKey, PusherWish},
};
use super::{Error, Ground};
pub use crate::store::unread::{Count, Threads};
use crate::store::{
    Reads, Tx,
    people::{self, DataItem},
};

/// The type of account data under which push rules are kept and told.
pub const PUSH_RULES: &str = "m.push_rules";

/// The service of push rules and of what they count.
pub struct Push {
    ground: Arc<Ground>,
    counting: Mutex<Counting>,
    /// Up to where events were counted.
    counted: watch::Sender<i64>,
    wakes: Wakes,
}

impl Push {
    /// The service on its ground; the duties [`Push::follow`] and [`Push::deliver`] must run beside it.
    #[must_use]
    pub fn new(ground: Arc<Ground>) -> Self {
        let counted = watch::Sender::new(0);
        Self { ground, counting: Mutex::default(), counted, wakes: Wakes::default() }
    }

    /// Somebody's rules: the common ones, with what they changed of them and set themselves.
    pub async fn rules(&self, user_id: &UserId) -> Result<Ruleset, Error> {
        let mut snapshot = self.ground.store.snapshot().await?;
        stored(&mut snapshot, user_id).await
    }

    /// Sets a rule.
    pub async fn set_rule(
        &self,
        user_id: &UserId,
        rule: NewPushRule,
        after: Option<String>,
        before: Option<String>,
    ) -> Result<(), Error> {
        self.change(user_id, move |rules| {
            rules.insert(rule, after.as_deref(), before.as_deref()).map_err(|error| match error {
                InsertPushRuleError::UnknownRuleId => Error::NotFound(error.to_string()),
                other => Error::Invalid(other.to_string()),
            })
        })
        .await
    }

    /// Removes a rule that the person set.
    pub async fn remove_rule(
        &self,
        user_id: &UserId,
        kind: RuleKind,
        rule_id: String,
    ) -> Result<(), Error> {
        self.change(user_id, move |rules| {
            rules.remove(kind, rule_id).map_err(|error| match error {
                RemovePushRuleError::NotFound => no_rule(),
                other => Error::Invalid(other.to_string()),
            })
        })
        .await
    }

    /// Switches a rule on or off.
    pub async fn enable_rule(
        &self,
        user_id: &UserId,
        kind: RuleKind,
        rule_id: String,
        enabled: bool,
    ) -> Result<(), Error> {
        self.change(user_id, move |rules| {
            rules.set_enabled(kind, rule_id, enabled).map_err(|_| no_rule())
        })
        .await
    }

    /// Sets what a rule wants done.
    pub async fn set_actions(
        &self,
        user_id: &UserId,
        kind: RuleKind,
        rule_id: String,
        actions: Vec<Action>,
    ) -> Result<(), Error> {
        self.change(user_id, move |rules| {
            rules.set_actions(kind, rule_id, actions).map_err(|_| no_rule())
        })
        .await
    }

    async fn change(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut Ruleset) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let user_id = user_id.to_owned();
        self.ground
            .store
            .write(move |tx| Box::pin(async move { write(tx, user_id, change).await }))
            .await
    }
}

/// The push rules of somebody as account data.
#[must_use]
pub fn as_account_data(rules: &Ruleset) -> Value {
    json!({ "global": by_kind(rules) })
}

/// The push rules of somebody, with an empty list for each kind of which there are none: clients look
/// through all of them.
#[must_use]
pub fn by_kind(rules: &Ruleset) -> Value {
    json!({
        "override": rules.override_,
        "content": rules.content,
        "room": rules.room,
        "sender": rules.sender,
        "underride": rules.underride,
    })
}

/// The content of the account data that holds the rules of somebody who has set none.
pub(super) fn common_account_data(user_id: &UserId) -> String {
    as_account_data(&Ruleset::server_default(user_id)).to_string()
}

async fn stored(from: &mut impl Reads, user_id: &UserId) -> Result<Ruleset, Error> {
    let item = people::data_item(from, user_id, 0, PUSH_RULES).await?;
    item.map_or_else(|| Ok(Ruleset::server_default(user_id)), |text| read(&text, user_id))
}

/// Rules as they were stored, with the common ones of this version.
fn read(text: &str, user_id: &UserId) -> Result<Ruleset, Error> {
    #[derive(serde::Deserialize)]
    struct Stored {
        global: Box<RawValue>,
    }
    let stored: Stored = serde_json::from_str(text).map_err(Error::internal)?;
    let mut rules: Ruleset = serde_json::from_str(stored.global.get()).map_err(Error::internal)?;
    rules.update_with_server_default(Ruleset::server_default(user_id));
    Ok(rules)
}

async fn write(
    tx: &mut Tx,
    user_id: OwnedUserId,
    change: impl FnOnce(&mut Ruleset) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut rules = stored(tx, &user_id).await?;
    change(&mut rules)?;
    if rules.iter().count() > limits::PUSH_RULES {
        return Err(Error::TooLarge(format!("at most {} rules are kept", limits::PUSH_RULES)));
    }
    let content = as_account_data(&rules).to_string();
    if content.len() > limits::PUSH_RULES_BYTES {
        let most = limits::PUSH_RULES_BYTES;
        return Err(Error::TooLarge(format!("rules have at most {most} bytes together")));
    }
    let item = DataItem { room_no: 0, kind: PUSH_RULES.to_owned(), content };
    Ok(tx.set_data_item(&user_id, &item).await?)
}

fn no_rule() -> Error {
    Error::NotFound("there is no such push rule".to_owned())
}
