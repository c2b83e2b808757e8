//! Whom somebody does not want to hear (client-server API, ignoring users).

use std::collections::HashSet;

use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use wayside_federation::event::Event;

use super::super::Error;
use crate::store::{Reads, events::StoredEvent, people};

/// The people whom somebody ignores. What they say is kept from them; what they do to the state of
/// rooms is not, because clients would otherwise disagree about the rooms.
#[derive(Clone, Debug, Default)]
pub struct Ignored(HashSet<OwnedUserId>);

impl Ignored {
    /// The type of account data that says so.
    pub const KIND: &str = "m.ignored_user_list";

    /// Those whom a person ignores: one look, once for each request.
    pub async fn of(from: &mut impl Reads, user_id: &UserId) -> Result<Self, Error> {
        let item = people::data_item(from, user_id, 0, Self::KIND).await?;
        Ok(item.map(|text| Self::read(&text, user_id)).unwrap_or_default())
    }

    /// Nobody can ignore themselves, and a list that does not read ignores nobody.
    #[must_use]
    pub fn read(text: &str, user_id: &UserId) -> Self {
        #[derive(Deserialize)]
        struct Content {
            ignored_users: serde_json::Map<String, serde_json::Value>,
        }
        let Ok(content) = serde_json::from_str::<Content>(text) else { return Self::default() };
        let listed = content.ignored_users.into_iter().filter_map(|(id, _)| id.try_into().ok());
        Self(listed.filter(|id| id != user_id).collect())
    }

    /// Whether they ignore nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether they ignore that person.
    #[must_use]
    pub fn has(&self, user_id: &UserId) -> bool {
        !self.0.is_empty() && self.0.contains(user_id)
    }

    /// Whether an event is kept from them.
    #[must_use]
    pub fn hides(&self, event: &Event) -> bool {
        event.state_key().is_none() && self.has(event.sender())
    }

    /// The events that are not kept from them.
    #[must_use]
    pub fn heard(&self, mut page: Vec<StoredEvent>) -> Vec<StoredEvent> {
        if !self.0.is_empty() {
            page.retain(|it| !self.hides(&it.event));
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn a_list_is_read_as_far_as_it_reads() {
        let me = user_id!("@me:a.test");
        let text = r#"{"ignored_users":{"@bob:a.test":{},"@me:a.test":{},"nobody":{}}}"#;
        let ignored = Ignored::read(text, me);
        assert!(ignored.has(user_id!("@bob:a.test")) && !ignored.has(me));
        for junk in ["", "{}", "[]", r#"{"ignored_users":[]}"#, r#"{"ignored_users":7}"#] {
            assert!(Ignored::read(junk, me).is_empty(), "{junk}");
        }
    }
}
