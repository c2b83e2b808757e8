//! Tokens: secrets of 32 random bytes that say what they are for.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Random bytes of a token.
const RANDOM_BYTES: usize = 32;
/// Bytes of checksum behind them: enough to tell a mistyped token from a wrong one.
const CHECK_BYTES: usize = 4;
/// Longest token in bytes.
pub const TOKEN_BYTES: usize = 64;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `wat_`: opens the client API for one device.
    Access,
    /// `wrt_`: renews an access token.
    Refresh,
    /// `winv_`: lets somebody make an account.
    Invitation,
    /// `wgst_`: lets somebody in as a guest.
    GuestLink,
    /// `wvis_`: begins one visit of a world.
    Visit,
    /// `woid_`: tells another service who somebody is (client-server API, `OpenID`).
    OpenId,
    /// `wlog_`: signs one device in, soon (client-server API, token-based login).
    Login,
    /// `wcod_`: gives an OAuth client what it was let have (RFC 6749, authorization code).
    Code,
    /// `wdev_`: by it a device asks whether it was let in (RFC 8628, device code).
    Device,
    /// `wres_`: lets somebody choose a new password.
    Reset,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Access,
        Self::Refresh,
        Self::Invitation,
        Self::GuestLink,
        Self::Visit,
        Self::OpenId,
        Self::Login,
        Self::Code,
        Self::Device,
        Self::Reset,
    ];

    /// How its tokens begin.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Access => "wat_",
            Self::Refresh => "wrt_",
            Self::Invitation => "winv_",
            Self::GuestLink => "wgst_",
            Self::Visit => "wvis_",
            Self::OpenId => "woid_",
            Self::Login => "wlog_",
            Self::Code => "wcod_",
            Self::Device => "wdev_",
            Self::Reset => "wres_",
        }
    }
}

/// A token: prefix, then 32 random bytes and 4 bytes of checksum in base64url. It has no `Debug`.
#[derive(Clone)]
pub struct Secret {
    kind: Kind,
    text: String,
}

impl Secret {
    /// Makes a token of 32 fresh random bytes.
    #[must_use]
    pub fn mint(kind: Kind, random: [u8; RANDOM_BYTES]) -> Self {
        let mut bytes = [0; RANDOM_BYTES + CHECK_BYTES];
        bytes[..RANDOM_BYTES].copy_from_slice(&random);
        bytes[RANDOM_BYTES..].copy_from_slice(&checksum(kind, &random));
        let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
        Self { kind, text }
    }

    /// Reads a token that came in; `None` for everything that [`Secret::mint`] never made.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > TOKEN_BYTES {
            return None;
        }
        let kind = Kind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(kind.prefix())?).ok()?;
        let (random, check) = bytes.split_first_chunk::<RANDOM_BYTES>()?;
        let sound = check.ct_eq(&checksum(kind, random));
        bool::from(sound).then(|| Self { kind, text: text.to_owned() })
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The token itself, to be handed to its owner and to nobody else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// What is stored of it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(&self.text).into())
    }
}

/// The SHA-256 of a token; `==` takes the same time whatever it finds.
#[derive(Clone, Copy, Debug, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

fn checksum(kind: Kind, random: &[u8; RANDOM_BYTES]) -> [u8; CHECK_BYTES] {
    let hash = Sha256::new().chain_update(kind.prefix()).chain_update(random).finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use super::{Kind, Secret, TOKEN_BYTES};

    #[test]
    fn tokens_read_back_and_name_their_kind() {
        for kind in Kind::ALL {
            let token = Secret::mint(kind, [200; 32]);
            assert!(token.reveal().starts_with(kind.prefix()));
            assert!(token.reveal().len() <= TOKEN_BYTES);
            let back = Secret::parse(token.reveal()).unwrap();
            assert_eq!(back.kind(), kind);
            assert!(back.hash() == token.hash());
            assert!(Secret::mint(kind, [201; 32]).hash() != token.hash());
        }
        let hashes: Vec<_> = Kind::ALL.map(|kind| Secret::mint(kind, [1; 32]).hash()).into();
        assert!(hashes.iter().enumerate().all(|(at, a)| hashes[..at].iter().all(|b| a != b)));
    }

    #[test]
    fn junk_is_no_token() {
        let token = Secret::mint(Kind::Access, [3; 32]);
        let text = token.reveal();
        let body = &text[4..];
        for at in 4..text.len() {
            let mut damaged = text.as_bytes().to_vec();
            damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
            assert!(Secret::parse(std::str::from_utf8(&damaged).unwrap()).is_none(), "{at}");
        }
        let others = [
            String::new(),
            "wat_".into(),
            body.into(),
            format!("wrt_{body}"),
            format!("{text}="),
            format!("{text}A"),
            format!(" {text}"),
            text[..text.len() - 1].into(),
            "wat_ä".into(),
            format!("wat_{}", "A".repeat(100_000)),
        ];
        for other in others {
            assert!(Secret::parse(&other).is_none(), "{other}");
        }
    }
}
