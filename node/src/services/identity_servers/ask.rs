//! What identity servers are asked (identity service API v2): by HTTPS, within bounds, in the asker's name.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use wayside_federation::{request::Request, third_party::PledgeKey};
use wayside_specs::limits;

use super::{
    super::{Error, RefusedElsewhere},
    IdentityServers,
};
use crate::outbound::{Answer, Beyond, Bounds, Call, CallError, Method, Url};

/// What an answer may cost: somebody waits for it.
const CALL: Bounds =
    Bounds { bytes: 64 * 1024, beyond: Beyond::Refused, time: Duration::from_secs(10) };
/// Where identity servers answer.
const BASE: &str = "/_matrix/identity/v2";
/// Keys of one pledge, and bytes of the address where one of them is looked up.
const KEYS: usize = 10;
const ADDRESS_BYTES: usize = 2_048;
/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Most letters of an identity server's own words that are told to somebody.
const WORDS: usize = 300;
/// The longest that is told on of how long to wait, in milliseconds.
const LATER_MS: u64 = 60 * 60 * 1_000;
/// Codes that are told on as an identity server gives them. Others mean something of its own to whoever
/// hears them of this node.
const CODES: [&str; 11] = [
    "M_EMAIL_SEND_ERROR",
    "M_FORBIDDEN",
    "M_INVALID_EMAIL",
    "M_INVALID_PARAM",
    "M_NOT_FOUND",
    "M_NO_VALID_SESSION",
    "M_SESSION_EXPIRED",
    "M_SESSION_NOT_VALIDATED",
    "M_TERMS_NOT_SIGNED",
    "M_THREEPID_IN_USE",
    "M_UNAUTHORIZED",
];
/// What an identity server says to a lookup by a pepper that it has changed meanwhile.
const OLD_PEPPER: &str = "M_INVALID_PEPPER";

/// An identity server as a client names it, and how it knows the client.
pub struct Named {
    pub(super) server: OwnedServerName,
    token: String,
}

impl Named {
    /// Reads what a client names.
    pub fn read(id_server: &str, id_access_token: &str) -> Result<Self, Error> {
        let server = server(id_server)?;
        // What is put into a header and can be nobody's token ends here.
        let is_token = |it: char| it.is_ascii_graphic();
        if id_access_token.is_empty()
            || id_access_token.len() > ADDRESS_BYTES
            || !id_access_token.chars().all(is_token)
        {
            let why = "id_access_token is the token that the identity server has given";
            return Err(Error::Invalid(why.to_owned()));
        }
        Ok(Self { server, token: id_access_token.to_owned() })
    }
}

/// The name of an identity server.
pub(super) fn server(name: &str) -> Result<OwnedServerName, Error> {
    let named = ServerName::parse(name).ok().filter(|_| name.len() <= limits::ID_BYTES);
    named.ok_or_else(|| Error::Invalid(format!("id_server: {name:?} is no name of a server")))
}

/// An address of somebody, in a network that an identity server knows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ThirdPartyId {
    /// The network.
    pub medium: String,
    /// The address there.
    pub address: String,
}

impl ThirdPartyId {
    /// Reads an address; how an identity server compares it is for that to know, but for e-mail, of which
    /// all know.
    pub fn read(medium: &str, address: &str) -> Result<Self, Error> {
        let (medium, mut address) = (medium.to_owned(), address.trim().to_owned());
        if medium == "email" {
            address = address.to_lowercase();
        }
        let fits = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
        };
        if !fits(&medium, limits::TOKEN_BYTES) || !fits(&address, limits::EMAIL_BYTES) {
            let why = "medium and address say whom to invite";
            return Err(Error::Invalid(why.to_owned()));
        }
        Ok(Self { medium, address })
    }
}

/// An invitation that an identity server keeps for whoever shows that an address is theirs.
#[derive(Debug)]
pub struct Kept {
    /// What it is known by.
    pub token: String,
    /// What may be shown of the address.
    pub display_name: String,
    /// By which keys it signs.
    pub keys: Vec<PledgeKey>,
}

/// How an identity server wants addresses to be hidden that it is asked about.
#[derive(Deserialize)]
struct Hashing {
    algorithms: Vec<String>,
    lookup_pepper: String,
}

/// How an identity server says why it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errcode: String,
    error: String,
    retry_after_ms: Option<u64>,
}

/// Why an identity server did not do something.
enum Unanswered {
    /// By a code of its own.
    Refused(u16, Refusal),
    /// For another reason.
    Failed(Error),
}

impl From<Unanswered> for Error {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::Failed(error) => error,
            Unanswered::Refused(status, refusal) => told(status, refusal),
        }
    }
}

impl IdentityServers {
    /// Whose an address is, if somebody has told the identity server.
    pub async fn owner(&self, at: &Named, id: &ThirdPartyId) -> Result<Option<OwnedUserId>, Error> {
        match self.look_up(at, id).await {
            Err(Unanswered::Refused(_, refusal)) if refusal.errcode == OLD_PEPPER => {
                Ok(self.look_up(at, id).await?)
            }
            other => Ok(other?),
        }
    }

    async fn look_up(
        &self,
        at: &Named,
        id: &ThirdPartyId,
    ) -> Result<Option<OwnedUserId>, Unanswered> {
        #[derive(Deserialize)]
        struct Found {
            mappings: Map<String, Value>,
        }
        let hashing: Hashing = self.ask(at, Method::GET, "hash_details", None).await?;
        let Hashing { algorithms, lookup_pepper: pepper } = hashing;
        let knows = |wanted: &str| algorithms.iter().any(|it| it == wanted);
        let plain = format!("{} {}", id.address, id.medium);
        let (algorithm, asked) = if knows("sha256") {
            let hash = Sha256::digest(format!("{plain} {pepper}"));
            ("sha256", BASE64_URL_SAFE_NO_PAD.encode(hash))
        } else if knows("none") {
            ("none", plain)
        } else {
            let why = "it hides addresses in a way that is not known here";
            return Err(Unanswered::Failed(useless(&at.server, why)));
        };
        let body = json!({ "addresses": [&asked], "algorithm": algorithm, "pepper": pepper });
        let found: Found = self.ask(at, Method::POST, "lookup", Some(&body)).await?;
        let Some(user_id) = found.mappings.get(&asked) else { return Ok(None) };
        let user_id = user_id.as_str().and_then(|it| UserId::parse(it).ok());
        let wrong = || Unanswered::Failed(useless(&at.server, "it names nobody by a Matrix name"));
        user_id.map(Some).ok_or_else(wrong)
    }

    /// Has an identity server keep an invitation, and tell whoever reads what is sent to the address of
    /// it; `introduced` is what they are told of the room and of who invites.
    pub async fn keep(
        &self,
        at: &Named,
        id: &ThirdPartyId,
        mut introduced: Map<String, Value>,
    ) -> Result<Kept, Error> {
        #[derive(Deserialize)]
        struct Stored {
            token: String,
            #[serde(default)]
            display_name: String,
            #[serde(default)]
            public_keys: Vec<PledgeKey>,
        }
        introduced.insert("medium".to_owned(), id.medium.as_str().into());
        introduced.insert("address".to_owned(), id.address.as_str().into());
        let body = Value::Object(introduced);
        let stored: Stored = self.ask(at, Method::POST, "store-invite", Some(&body)).await?;
        let Stored { token, display_name, public_keys } = stored;
        if token.is_empty() || token.len() > limits::ID_BYTES || token.contains('\0') {
            return Err(useless(&at.server, "its token is no state key"));
        }
        let keys: Vec<_> = public_keys.into_iter().filter(is_key).take(KEYS).collect();
        if keys.is_empty() {
            return Err(useless(&at.server, "it names no key by which it signs"));
        }
        let shown = |it: &char| !it.is_control();
        let display_name = display_name.chars().filter(shown).take(WORDS).collect();
        Ok(Kept { token, display_name, keys })
    }

    /// Whether an identity server signs by a key still, where it is told.
    pub async fn is_in_use(&self, key: &PledgeKey) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Told {
            valid: bool,
        }
        let Some(place) = &key.key_validity_url else { return Ok(true) };
        let plain = self.ground.config.allow_private_addresses;
        let wrong = |error: CallError| Error::Forbidden(format!("key_validity_url: {error}"));
        let mut url = self.ground.outbound.address(place, plain).map_err(wrong)?;
        url.query_pairs_mut().append_pair("public_key", &key.public_key);
        let answer = self.ground.outbound.get(&url, plain, "application/json", CALL).await;
        let answer = answer.map_err(|error| {
            Error::NoAnswer(format!("the key of the identity server could not be proven: {error}"))
        })?;
        if answer.status.is_server_error() {
            let status = answer.status;
            let why = format!("the key of the identity server could not be proven: {status}");
            return Err(Error::NoAnswer(why));
        }
        Ok(serde_json::from_slice::<Told>(&answer.bytes).is_ok_and(|it| it.valid))
    }

    /// Has an identity server know that an address, which its reader has shown it to be theirs, is
    /// somebody's of this node.
    pub(super) async fn bind_there(
        &self,
        at: &Named,
        (sid, client_secret): (&str, &str),
        user_id: &UserId,
    ) -> Result<ThirdPartyId, Error> {
        let body = json!({ "sid": sid, "client_secret": client_secret, "mxid": user_id });
        let bound: ThirdPartyId = self.ask(at, Method::POST, "3pid/bind", Some(&body)).await?;
        ThirdPartyId::read(&bound.medium, &bound.address)
            .map_err(|_| useless(&at.server, "it does not say which address it has bound"))
    }

    /// Has an identity server forget whose an address is, by the word of this node.
    pub(super) async fn unbind_there(
        &self,
        server: &ServerName,
        id: &ThirdPartyId,
        user_id: &UserId,
    ) -> Result<(), Error> {
        let ThirdPartyId { medium, address } = id;
        let threepid = json!({ "medium": medium, "address": address });
        let body = json!({ "mxid": user_id, "threepid": threepid });
        let content = body.to_string();
        let uri = format!("{BASE}/3pid/unbind");
        let request = Request { method: "POST", uri: &uri, content: Some(&content) };
        let ground = &self.ground;
        let (own, key) = (&ground.server_name, &ground.server_key);
        let signed = request.sign_for_identity_server(own, server, key);
        let signed = signed.map_err(Error::internal)?;
        let call = Call { method: Method::POST, authorization: Some(&signed), body: Some(&body) };
        let _done: Map<String, Value> = self.call(server, "3pid/unbind", call).await?;
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        at: &Named,
        method: Method,
        what: &str,
        body: Option<&Value>,
    ) -> Result<T, Unanswered> {
        let bearer = format!("Bearer {}", at.token);
        let call = Call { method, authorization: Some(&bearer), body };
        self.call(&at.server, what, call).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        server: &ServerName,
        what: &str,
        call: Call<'_>,
    ) -> Result<T, Unanswered> {
        let failed = |error| Unanswered::Failed(error);
        let outbound = &self.ground.outbound;
        let unreached = |error: CallError| failed(unreached(server, &error));
        let url = outbound.address(&format!("https://{server}{BASE}/{what}"), false);
        let url: Url = url.map_err(unreached)?;
        let answer: Answer = outbound.call(&url, false, call, CALL).await.map_err(unreached)?;
        let status = answer.status;
        if status.is_success() {
            let read = serde_json::from_slice(&answer.bytes);
            return read.map_err(|error| failed(useless(server, &error.to_string())));
        }
        if status.is_client_error() {
            let refusal = serde_json::from_slice(&answer.bytes).unwrap_or_default();
            return Err(Unanswered::Refused(status.as_u16(), refusal));
        }
        Err(failed(useless(server, &format!("status {status}"))))
    }
}

/// Whether a key can be one, and is looked up where it may be.
fn is_key(key: &PledgeKey) -> bool {
    let bytes = ruma::third_party_invite::IdentityServerBase64PublicKey(key.public_key.clone());
    bytes.decode().is_ok_and(|it| it.len() == KEY_BYTES)
        && key.key_validity_url.as_ref().is_none_or(|it| it.len() <= ADDRESS_BYTES)
}

fn useless(server: &ServerName, why: &str) -> Error {
    Error::NoAnswer(format!("the identity server {server} gives no answer that helps: {why}"))
}

fn unreached(server: &ServerName, error: &CallError) -> Error {
    match error {
        CallError::Banned | CallError::BadAddress(_) => {
            Error::Invalid(format!("id_server: {server}: {error}"))
        }
        _ => Error::NoAnswer(format!("the identity server {server} gave no answer: {error}")),
    }
}

/// What is told of a refusal: the identity server's own words, where they are of those that it may say. A
/// 401 is about the client's token there, and would be taken for one about its token here.
fn told(status: u16, refusal: Refusal) -> Error {
    let Refusal { errcode, error, retry_after_ms } = refusal;
    let words: String = error.chars().filter(|it| !it.is_control()).take(WORDS).collect();
    let why = if words.is_empty() {
        format!("the identity server refuses with status {status}")
    } else {
        format!("the identity server refuses: {words}")
    };
    if status == StatusCode::TOO_MANY_REQUESTS.as_u16() {
        let (code, retry_ms) = ("M_LIMIT_EXCEEDED", retry_after_ms.map(|it| it.min(LATER_MS)));
        return Error::IdentityServer(RefusedElsewhere { status, code, why, retry_ms });
    }
    let code = CODES.into_iter().find(|it| *it == errcode).unwrap_or("M_FORBIDDEN");
    let status = if [400, 404].contains(&status) { status } else { 403 };
    Error::IdentityServer(RefusedElsewhere { status, code, why, retry_ms: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(status: u16, code: &str) -> (u16, &'static str) {
        let (errcode, error) = (code.to_owned(), "no\n".to_owned());
        let refusal = Refusal { errcode, error, retry_after_ms: Some(u64::MAX) };
        let Error::IdentityServer(told) = told(status, refusal) else { panic!("another error") };
        assert!(told.why.ends_with(": no") && told.retry_ms.is_none_or(|it| it <= LATER_MS));
        (told.status, told.code)
    }

    #[test]
    fn only_what_an_identity_server_may_say_is_told_on() {
        for (status, code, wanted) in [
            (401, "M_UNAUTHORIZED", (403, "M_UNAUTHORIZED")),
            (401, "M_UNKNOWN_TOKEN", (403, "M_FORBIDDEN")),
            (403, "M_TERMS_NOT_SIGNED", (403, "M_TERMS_NOT_SIGNED")),
            (400, "M_INVALID_PARAM", (400, "M_INVALID_PARAM")),
            (404, "M_NOT_FOUND", (404, "M_NOT_FOUND")),
            (404, "M_UNRECOGNIZED", (404, "M_FORBIDDEN")),
            (418, "", (403, "M_FORBIDDEN")),
            (429, "M_UNKNOWN", (429, "M_LIMIT_EXCEEDED")),
        ] {
            assert_eq!(refusal(status, code), wanted, "{status} {code}");
        }
    }

    #[test]
    fn what_a_client_names_is_read() {
        assert!(Named::read("id.example:8090", "t").is_ok());
        assert!(Named::read("[::1]:8090", "t").is_ok());
        for (server, token) in [
            ("", "t"),
            ("https://id.example", "t"),
            ("id.example/path", "t"),
            ("a@id.example", "t"),
            ("id.example", ""),
            ("id.example", "a b"),
            ("id.example", "a\r\nb: c"),
        ] {
            assert!(Named::read(server, token).is_err(), "{server} {token}");
        }
        let long = "x".repeat(ADDRESS_BYTES + 1);
        assert!(Named::read("id.example", &long).is_err());
    }

    #[test]
    fn addresses_of_mail_are_compared_in_small_letters() {
        let read = ThirdPartyId::read("email", " Bob@Example.ORG ").unwrap();
        assert_eq!(read.address, "bob@example.org");
        assert_eq!(ThirdPartyId::read("x", "Bob").unwrap().address, "Bob");
        for (medium, address) in [("", "a"), ("email", " "), ("email", "a\0b"), ("e\n", "a")] {
            assert!(ThirdPartyId::read(medium, address).is_err(), "{medium:?} {address:?}");
        }
    }

    #[test]
    fn a_key_is_one_of_its_length() {
        let key = |bytes: usize, url: usize| PledgeKey {
            public_key: BASE64_URL_SAFE_NO_PAD.encode(vec![255; bytes]),
            key_validity_url: Some("x".repeat(url)),
        };
        assert!(is_key(&key(32, ADDRESS_BYTES)));
        assert!(
            !is_key(&key(31, 1)) && !is_key(&key(33, 1)) && !is_key(&key(32, ADDRESS_BYTES + 1))
        );
    }
}
