//! What a person may do on their home node.

use std::{fmt, str::FromStr};

/// The role of an account on its home node; a later variant may do all that an earlier one may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Came by a link, has a name and a body, but no password yet.
    Guest,
    /// Lives here.
    Member,
    /// Keeps order: sees reports, removes people and content.
    Moderator,
    /// Runs the node.
    Operator,
}

/// The text names no role.
#[derive(Debug, thiserror::Error)]
#[error("reading a role: {0:?} is none of guest, member, moderator, operator")]
pub struct UnknownRole(String);

impl Role {
    /// Every role, the least able first.
    pub const ALL: [Self; 4] = [Self::Guest, Self::Member, Self::Moderator, Self::Operator];

    /// The word used in the store, in configuration and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| UnknownRole(text.chars().take(32).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_reads_back_and_strangers_do_not() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        assert!("Operator".parse::<Role>().is_err());
        assert!("".parse::<Role>().is_err());
    }
}
