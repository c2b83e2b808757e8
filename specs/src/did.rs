//! The syntax of decentralized identifiers (W3C DID 1.0, section 3.1), without any method's rules.

use std::{fmt, str::FromStr};

use crate::limits;

/// A DID: `did:`, the name of a method and what the method calls the subject.
///
/// The text is kept as it came and compared letter by letter, since no two spellings of a DID are the
/// same DID. Beside the letters of the grammar it may hold letters and digits of other scripts, which
/// did:webvh uses in names of hosts; nothing that separates, hides or turns text around.
///
/// ```
/// use wayside_specs::Did;
/// let did: Did = "did:web:example.org:people:ada".parse()?;
/// assert_eq!((did.method(), did.id()), ("web", "example.org:people:ada"));
/// assert!("did:web:example.org#key".parse::<Did>().is_err());
/// # Ok::<(), wayside_specs::NoDid>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Did(String);

/// The text is no DID.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading a DID: {0}")]
pub struct NoDid(&'static str);

impl Did {
    /// The whole text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the method.
    #[must_use]
    pub fn method(&self) -> &str {
        self.parts().0
    }

    /// What the method calls the subject.
    #[must_use]
    pub fn id(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        let rest = &self.0["did:".len()..];
        rest.split_once(':').expect("a DID was parsed, and has a method")
    }
}

impl Did {
    /// The name by which its subject is compared: of a did:webvh the method and the SCID, which no move
    /// changes, of all others the whole DID.
    ///
    /// ```
    /// let did: wayside_specs::Did = "did:webvh:QmX:a.example:people:ada".parse().unwrap();
    /// assert_eq!(did.subject(), "did:webvh:QmX");
    /// ```
    #[must_use]
    pub fn subject(&self) -> &str {
        if self.method() != "webvh" {
            return self.as_str();
        }
        let scid = self.id().split(':').next().unwrap_or_default();
        &self.0[..self.0.len() - self.id().len() + scid.len()]
    }
}

impl FromStr for Did {
    type Err = NoDid;

    fn from_str(text: &str) -> Result<Self, NoDid> {
        if text.len() > limits::DID_BYTES {
            return Err(NoDid("it is too long"));
        }
        let rest = text.strip_prefix("did:").ok_or(NoDid("it must begin with did:"))?;
        let (method, id) = rest.split_once(':').ok_or(NoDid("it names no method"))?;
        let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        if method.is_empty() || !method.bytes().all(plain) {
            return Err(NoDid("the name of its method must be of small letters and digits"));
        }
        if id.is_empty() || id.ends_with(':') {
            return Err(NoDid("it names nobody"));
        }
        let mut letters = id.chars();
        while let Some(letter) = letters.next() {
            let fits = match letter {
                '.' | '-' | '_' | ':' => true,
                '%' => {
                    let digits = [letters.next(), letters.next()];
                    digits.iter().all(|digit| digit.is_some_and(|it| it.is_ascii_hexdigit()))
                }
                letter => letter.is_alphanumeric(),
            };
            if !fits {
                return Err(NoDid("it holds a sign that stands in no DID"));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Did;

    #[test]
    fn a_did_has_a_method_and_a_name() {
        for (text, method, id) in [
            ("did:key:z6Mk", "key", "z6Mk"),
            ("did:web:localhost%3A8448", "web", "localhost%3A8448"),
            ("did:example:a::b", "example", "a::b"),
            ("did:webvh:Q:jp納豆.例.jp:用户", "webvh", "Q:jp納豆.例.jp:用户"),
        ] {
            let did: Did = text.parse().unwrap();
            assert_eq!((did.method(), did.id(), did.to_string().as_str()), (method, id, text));
        }
    }

    #[test]
    fn what_is_no_did_is_refused() {
        for text in [
            "",
            "did",
            "did:",
            "did:key",
            "did:key:",
            "DID:key:z",
            "did:Key:z",
            "did:ke-y:z",
            "did::z",
            "did:web:a:",
            "did:web:a#b",
            "did:web:a/b",
            "did:web:a?b",
            "did:web:a b",
            "did:web:a%2",
            "did:web:a%zz",
            "did:web:a%",
            "did:web:a\u{202e}b",
            "did:web:a\u{200b}b",
            "did:web:a\n",
            "did:web:a\u{0}",
            " did:web:a",
            "did:web:a@b",
            "did:web:[::1]",
        ] {
            assert!(text.parse::<Did>().is_err(), "{text:?}");
        }
        let long = format!("did:web:{}", "a".repeat(crate::limits::DID_BYTES - 8));
        assert!(long.parse::<Did>().is_ok());
        assert!(format!("{long}a").parse::<Did>().is_err());
    }
}
