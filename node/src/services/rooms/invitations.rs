//! Whom an invitation reaches: people of this node who have not said that they want none.

use ruma::UserId;
use serde::Deserialize;

use super::super::{Error, Ground};
use crate::store::{Reads, people};

/// The account data by which a person wants no invitations (client-server API, invite permission).
const KIND: &str = "m.invite_permission_config";

/// Only those who live here can be told of an invitation.
pub(super) fn reachable(ground: &Ground, target: &UserId) -> Result<(), Error> {
    if ground.is_local(target) {
        return Ok(());
    }
    Err(Error::Invalid(format!("{target} lives on a server that cannot be reached from here")))
}

/// Refuses the invitation of somebody who wants none. It is asked after the rules of the room, so that
/// only those who could invite them learn of it.
pub(super) async fn accepted(from: &mut impl Reads, target: &UserId) -> Result<(), Error> {
    if blocks_invitations(from, target).await? {
        return Err(Error::InviteBlocked(target.to_owned()));
    }
    Ok(())
}

/// Whether somebody wants no invitations. What does not read says nothing.
pub async fn blocks_invitations(from: &mut impl Reads, user_id: &UserId) -> Result<bool, Error> {
    Ok(people::data_item(from, user_id, 0, KIND).await?.is_some_and(|text| blocks(&text)))
}

fn blocks(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Content {
        default_action: String,
    }
    serde_json::from_str::<Content>(text).is_ok_and(|content| content.default_action == "block")
}

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn only_what_is_known_blocks() {
        assert!(blocks(r#"{"default_action":"block","other":1}"#));
        for text in
            ["{}", r#"{"default_action":"allow"}"#, r#"{"default_action":true}"#, "[]", "block"]
        {
            assert!(!blocks(text), "{text}");
        }
    }
}
