//! The languages in which a node speaks to people by itself: those of its client.

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, where nothing else is known.
    #[default]
    English,
    /// German.
    German,
}

impl Language {
    /// The first in which there are words of those that somebody's browser asks for (`Accept-Language`):
    /// browsers name the best one first.
    #[must_use]
    pub fn of(wanted: &str) -> Self {
        let known = |tag: &str| {
            let tag = tag.split([';', '-']).next()?.trim();
            [Self::English, Self::German].into_iter().find(|it| it.tag().eq_ignore_ascii_case(tag))
        };
        wanted.split(',').find_map(known).unwrap_or_default()
    }

    /// Its tag (BCP 47).
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_known_is_spoken() {
        for (wanted, language) in [
            ("de-CH,de;q=0.9,en;q=0.8", Language::German),
            ("fr-FR, DE;q=0.5", Language::German),
            ("en-GB,de;q=0.9", Language::English),
            ("den", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(Language::of(wanted), language, "{wanted}");
        }
    }
}
