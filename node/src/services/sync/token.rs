//! Sync tokens: a place in the stream and in the moment, sealed for one person.

use ruma::UserId;
use wayside_identity::tag;

/// Up to where a client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// The position in the stored stream.
    pub position: i64,
    /// The count of moments.
    pub serial: u64,
    /// In which start of the process that count was.
    pub boot: u32,
}

impl Token {
    /// The text for a client: `s<position>_<serial>_<boot>_<seal>`.
    #[must_use]
    pub fn seal(&self, key: &[u8; 32], user_id: &UserId) -> String {
        let body = format!("s{}_{}_{}", self.position, self.serial, self.boot);
        let seal = hex::encode(tag::tag(key, &[b"sync", user_id.as_bytes(), body.as_bytes()]));
        format!("{body}_{seal}")
    }

    /// Reads a token that was sealed for that person; nothing otherwise.
    #[must_use]
    pub fn parse(key: &[u8; 32], user_id: &UserId, text: &str) -> Option<Self> {
        let (body, seal) = text.rsplit_once('_')?;
        let sealed = [b"sync", user_id.as_bytes(), body.as_bytes()];
        let mut claimed = [0; 8];
        hex::decode_to_slice(seal, &mut claimed).ok()?;
        if tag::matches(key, &sealed, &claimed) { Self::read(body) } else { None }
    }

    fn read(body: &str) -> Option<Self> {
        let mut parts = body.strip_prefix('s')?.split('_');
        let token = Self {
            position: parts.next()?.parse().ok()?,
            serial: parts.next()?.parse().ok()?,
            boot: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(token)
    }
}

/// The position that a pagination token of [`super::page_token`] names.
#[must_use]
pub(super) fn page_position(text: &str) -> Option<i64> {
    text.strip_prefix('t')?.parse().ok().filter(|position| *position >= 0)
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn a_token_reads_back_for_its_owner_and_for_nobody_else() {
        let key = [7; 32];
        let token = Token { position: 42, serial: 3, boot: 9 };
        let text = token.seal(&key, user_id!("@ann:a.test"));
        assert_eq!(Token::parse(&key, user_id!("@ann:a.test"), &text), Some(token));
        assert_eq!(Token::parse(&key, user_id!("@bob:a.test"), &text), None);
        assert_eq!(Token::parse(&[8; 32], user_id!("@ann:a.test"), &text), None);
        let future = text.replacen("s42", "s43", 1);
        assert_eq!(Token::parse(&key, user_id!("@ann:a.test"), &future), None);
    }

    #[test]
    fn every_place_reads_back() {
        bolero::check!().with_type::<(i64, u64, u32)>().for_each(|&(position, serial, boot)| {
            let token = Token { position, serial, boot };
            let text = token.seal(&[7; 32], user_id!("@ann:a.test"));
            assert_eq!(Token::parse(&[7; 32], user_id!("@ann:a.test"), &text), Some(token));
            let page = super::super::page_token(position);
            assert_eq!(page_position(&page), Some(position.max(0)));
        });
    }

    #[test]
    fn no_text_makes_it_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(Token::parse(&[7; 32], user_id!("@ann:a.test"), &text), None);
            // Nor would it with a seal that fits.
            for text in [text.to_string(), format!("s{text}"), format!("s1_{text}_3")] {
                let _whatever_it_is = Token::read(&text);
            }
            let position = page_position(&text).or_else(|| page_position(&format!("t{text}")));
            assert!(position.is_none_or(|position| position >= 0));
        });
    }
}
