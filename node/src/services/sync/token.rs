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
    /// Whether anybody typed then: a client that was told so must hear of the end.
    pub typing: bool,
    /// What the answers so far had no room for.
    pub rest: Option<Rest>,
    /// Up to where messages to the device were told, where some were: those may be forgotten when
    /// the token comes back, and others may wait behind them.
    pub letters: Option<i64>,
}

/// The rooms that a client has not been told of up to the token's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// All with a higher number than this.
    pub beyond: i64,
    /// Up to where the client knows of them.
    pub position: i64,
}

impl Token {
    /// Up to where a client knows of a room.
    #[must_use]
    pub fn position_of(&self, room_no: i64) -> i64 {
        let rest = self.rest.filter(|rest| room_no > rest.beyond);
        rest.map_or(self.position, |rest| rest.position)
    }

    /// The text for a client: `s<position>_<serial>_<boot>_<typing>_<seal>`, and before the seal
    /// `<beyond>_<position>` where there is a rest, and `m<position>` where messages were told.
    #[must_use]
    pub fn seal(&self, key: &[u8; 32], user_id: &UserId) -> String {
        let typing = u8::from(self.typing);
        let mut body = format!("s{}_{}_{}_{typing}", self.position, self.serial, self.boot);
        if let Some(Rest { beyond, position }) = self.rest {
            body = format!("{body}_{beyond}_{position}");
        }
        if let Some(letters) = self.letters {
            body = format!("{body}_m{letters}");
        }
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
        let mut token = Self {
            position: parts.next()?.parse().ok()?,
            serial: parts.next()?.parse().ok()?,
            boot: parts.next()?.parse().ok()?,
            typing: parts.next()? == "1",
            rest: None,
            letters: None,
        };
        let mut part = parts.next();
        if let Some(beyond) = part.filter(|part| !part.starts_with('m')) {
            let (beyond, position) = (beyond.parse().ok()?, parts.next()?.parse().ok()?);
            token.rest = Some(Rest { beyond, position });
            part = parts.next();
        }
        if let Some(letters) = part {
            token.letters = Some(letters.strip_prefix('m')?.parse().ok()?);
        }
        parts.next().is_none().then_some(token)
    }
}

/// The name of an answer of sliding sync, which no other has. It opens nothing: it is for the
/// connection that it was given to, and shows where in the stream it was, so that pages may begin
/// there (proposal 4186).
#[must_use]
pub(super) fn pos(position: i64, random: &str) -> String {
    format!("p{position}_{random}")
}

/// The position that a pagination token of [`super::page_token`] names, or a [`pos`].
#[must_use]
pub(super) fn page_position(text: &str) -> Option<i64> {
    let position = match text.strip_prefix('p') {
        Some(rest) => rest.split_once('_')?.0,
        None => text.strip_prefix('t')?,
    };
    position.parse().ok()
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn a_token_reads_back_for_its_owner_and_for_nobody_else() {
        let key = [7; 32];
        let (rest, letters) = (None, Some(41));
        let token = Token { position: 42, serial: 3, boot: 9, typing: true, rest, letters };
        let text = token.seal(&key, user_id!("@ann:a.test"));
        assert_eq!(Token::parse(&key, user_id!("@ann:a.test"), &text), Some(token));
        assert_eq!(Token::parse(&key, user_id!("@bob:a.test"), &text), None);
        assert_eq!(Token::parse(&[8; 32], user_id!("@ann:a.test"), &text), None);
        let future = text.replacen("s42", "s43", 1);
        assert_eq!(Token::parse(&key, user_id!("@ann:a.test"), &future), None);
    }

    #[test]
    fn every_place_reads_back() {
        type Parts = (i64, u64, u32, bool, Option<(i64, i64)>, Option<i64>);
        bolero::check!().with_type::<Parts>().for_each(
            |&(position, serial, boot, typing, rest, letters)| {
                let rest = rest.map(|(beyond, position)| Rest { beyond, position });
                let token = Token { position, serial, boot, typing, rest, letters };
                let text = token.seal(&[7; 32], user_id!("@ann:a.test"));
                assert_eq!(Token::parse(&[7; 32], user_id!("@ann:a.test"), &text), Some(token));
                let page = super::super::page_token(position);
                assert_eq!(page_position(&page), Some(position));
                assert_eq!(page_position(&pos(position, "any")), Some(position));
            },
        );
    }

    #[test]
    fn no_text_makes_it_panic() {
        bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            assert_eq!(Token::parse(&[7; 32], user_id!("@ann:a.test"), &text), None);
            // Nor would it with a seal that fits.
            for text in [
                text.to_string(),
                format!("s{text}"),
                format!("s1_{text}_3"),
                format!("s1_2_3_{text}"),
            ] {
                let _whatever_it_is = Token::read(&text);
            }
            for text in [text.to_string(), format!("t{text}"), format!("p{text}")] {
                let _whatever_it_is = page_position(&text);
            }
        });
    }
}
