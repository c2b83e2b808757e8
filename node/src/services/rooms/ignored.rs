//! Whom somebody does not want to hear (client-server API, ignoring users).

use std::collections::{BTreeSet, HashSet};

use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use wayside_federation::event::Event;

use super::super::Error;
use crate::store::{Reads, events::StoredEvent, people, visitors};

/// The people whom somebody ignores, under every account that is known here to be theirs. What they say is
/// kept from them; what they do to the state of rooms is not, because clients would otherwise disagree
/// about the rooms.
#[derive(Clone, Debug, Default)]
pub struct Ignored {
    /// Those whom the list names.
    named: BTreeSet<OwnedUserId>,
    /// All accounts of theirs, those among them.
    accounts: HashSet<OwnedUserId>,
    /// By what their DIDs are compared, as far as they are known here.
    persons: BTreeSet<String>,
}

impl Ignored {
    /// The type of account data that says so.
    pub const KIND: &str = "m.ignored_user_list";

    /// Those whom a person ignores: one look, once for each request.
    pub async fn of(from: &mut impl Reads, user_id: &UserId) -> Result<Self, Error> {
        let item = people::data_item(from, user_id, 0, Self::KIND).await?;
        let mut ignored = item.map(|text| Self::read(&text, user_id)).unwrap_or_default();
        if !ignored.is_empty() {
            let named: Vec<&UserId> = ignored.named.iter().map(AsRef::as_ref).collect();
            let (persons, accounts) = visitors::persons_of(from, &named).await?;
            ignored.accounts.extend(accounts.into_iter().filter(|id| id != user_id));
            ignored.persons.extend(persons);
        }
        Ok(ignored)
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
        let named: BTreeSet<OwnedUserId> = listed.filter(|id| id != user_id).collect();
        Self { accounts: named.iter().cloned().collect(), named, persons: BTreeSet::new() }
    }

    /// Those whom the list names.
    pub fn named(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.named.iter()
    }

    /// All accounts that are known to be theirs.
    pub fn accounts(&self) -> impl Iterator<Item = &OwnedUserId> {
        self.accounts.iter()
    }

    /// All names by which they are known: those of their persons, those whom the list names, and their other
    /// accounts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let named = self.named.iter();
        let others = self.accounts.iter().filter(|account| !self.named.contains(*account));
        let accounts = named.chain(others).map(|account| account.as_str());
        self.persons.iter().map(String::as_str).chain(accounts)
    }

    /// Whether they ignore the person whose DID is compared by this.
    #[must_use]
    pub fn has_person(&self, subject: &str) -> bool {
        self.persons.contains(subject)
    }

    /// Whether they ignore nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// Whether they ignore that person.
    #[must_use]
    pub fn has(&self, user_id: &UserId) -> bool {
        !self.accounts.is_empty() && self.accounts.contains(user_id)
    }

    /// Whether an event is kept from them.
    #[must_use]
    pub fn hides(&self, event: &Event) -> bool {
        event.state_key().is_none() && self.has(event.sender())
    }

    /// The events that are not kept from them.
    #[must_use]
    pub fn heard(&self, mut page: Vec<StoredEvent>) -> Vec<StoredEvent> {
        if !self.is_empty() {
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
