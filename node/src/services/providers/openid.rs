//! The talk with a provider of identities (`OpenID` Connect Core 1.0, Discovery 1.0).

use std::{collections::HashMap, sync::Arc, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::sync::Mutex;
use url::Url;

use super::file::{Provider, is_sealed};
use crate::{
    clock::Clock,
    outbound::{Chosen, Method, Proof, Reached, Unreached},
};

/// How long one answer of a provider may take.
const WAIT: Duration = Duration::from_secs(10);
/// How long what a provider says of itself is believed, in milliseconds.
const FRESH_MS: i64 = 60 * 60 * 1_000;
/// Keys that are not known are asked for at most this often, in milliseconds.
const KEYS_EVERY_MS: i64 = 30 * 1_000;
/// How long one that did not answer is left alone, in milliseconds: whoever comes meanwhile is told so at
/// once, and does not wait behind all who came before.
const RESTS_MS: i64 = 5_000;
/// How far the clocks of two machines may be apart, in seconds.
const SKEW_S: f64 = 60.0;
/// Longest name by which a provider knows somebody, in bytes (`OpenID` Connect Core 1.0, 2).
const SUBJECT_BYTES: usize = 255;
/// How a provider may sign: with a key of which this node knows the public half alone.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Why a provider vouches for nobody.
#[derive(Debug, thiserror::Error)]
pub(super) enum TalkError {
    /// It is away.
    #[error("{what}: {source}")]
    Away {
        /// What was asked for.
        what: &'static str,
        /// Why it was not answered.
        source: Unreached,
    },
    /// It did not answer a moment ago.
    #[error("it did not answer a moment ago")]
    Rests,
    /// It does not speak as it should.
    #[error("{0}")]
    Wrong(String),
    /// It does not say when its person showed who they are.
    #[error("its id_token says not when its person showed who they are (auth_time)")]
    Undated,
    /// Its person showed that before they were asked to.
    #[error("its person showed who they are before they were asked to")]
    Stale,
    /// It does not know the code.
    #[error("the code was refused: {0}")]
    Refused(String),
}

/// What a provider says of itself (`OpenID` Connect Discovery 1.0, 3).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<Value>,
}

/// What a provider gives for a code.
#[derive(Deserialize)]
struct Given {
    id_token: String,
    access_token: Option<String>,
}

/// Whom a provider vouches for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct Person {
    /// The name by which it knows them, for ever.
    pub sub: String,
    pub name: Option<String>,
    pub preferred_username: Option<String>,
    pub nickname: Option<String>,
    pub email: Option<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    azp: Option<String>,
    exp: f64,
    auth_time: Option<f64>,
    nonce: Option<String>,
    #[serde(flatten)]
    person: Person,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// What a code is shown with.
pub(super) struct Exchange<'e> {
    pub code: &'e str,
    pub verifier: &'e str,
    pub nonce: &'e str,
    pub redirect: &'e str,
    /// Since when its person must have shown who they are, in milliseconds since the epoch, where that
    /// counts.
    pub since_ms: Option<i64>,
}

/// What a provider said of itself, when, and until when it is not asked again.
#[derive(Default)]
struct Said {
    last: Option<(i64, Arc<Metadata>)>,
    rests_until_ms: i64,
}

/// The talk with one provider, and what is remembered of it.
pub(super) struct Talk {
    line: Chosen,
    clock: Clock,
    said: Mutex<Said>,
    keys: Mutex<Option<(i64, Arc<Vec<Jwk>>)>>,
}

impl Talk {
    pub(super) fn new(line: Chosen, clock: Clock) -> Self {
        Self { line, clock, said: Mutex::default(), keys: Mutex::default() }
    }

    /// Where to send somebody who is to be vouched for (`OpenID` Connect Core 1.0, 3.1.2.1; RFC 7636).
    pub(super) async fn door(
        &self,
        provider: &Provider,
        words: &[(&str, &str)],
    ) -> Result<String, TalkError> {
        let said = self.said(provider).await?;
        let mut door = endpoint(&said.authorization_endpoint)?;
        door.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("scope", &provider.scope)
            .extend_pairs(words);
        Ok(door.into())
    }

    /// Refuses what did not come from this provider (RFC 9207).
    pub(super) async fn came_from(
        &self,
        provider: &Provider,
        issuer: Option<&str>,
    ) -> Result<(), TalkError> {
        let said = self.said(provider).await?;
        match issuer {
            None if said.authorization_response_iss_parameter_supported => {
                Err(TalkError::Refused("the answer does not say whose it is".to_owned()))
            }
            Some(issuer) if issuer != said.issuer => {
                Err(TalkError::Refused(format!("the answer is another's: {issuer}")))
            }
            _ => Ok(()),
        }
    }

    /// Learns whom a code is about.
    pub(super) async fn person(
        &self,
        provider: &Provider,
        exchange: Exchange<'_>,
    ) -> Result<Person, TalkError> {
        let said = self.said(provider).await?;
        let given = self.exchange(provider, &said, &exchange).await?;
        let token = &given.id_token;
        let keys = self.keys(&said, false).await?;
        let since_s = exchange.since_ms.map(seconds);
        let now_s = seconds(self.clock.now_ms());
        let wanted = Wanted { provider, nonce: exchange.nonce, since_s, now_s };
        let person = match judge(token, &keys, &wanted) {
            // Providers change their keys.
            Err(Verdict::UnknownKey) => judge(token, &self.keys(&said, true).await?, &wanted),
            known => known,
        };
        let mut person = person.map_err(|why| match why {
            Verdict::Undated => TalkError::Undated,
            Verdict::Stale => TalkError::Stale,
            why => TalkError::Wrong(format!("its id_token {why}")),
        })?;
        if let (Some(at), Some(token)) = (&said.userinfo_endpoint, &given.access_token) {
            let url = endpoint(at)?;
            let proof = Proof::Bearer(token);
            let more: Person = read(
                "its userinfo",
                self.line.call(Method::GET, url.as_str(), proof, None, WAIT).await,
            )?;
            // What is said there of somebody else is worth nothing (OpenID Connect Core 1.0, 5.3.2).
            if more.sub != person.sub {
                return Err(TalkError::Wrong("its userinfo is about somebody else".to_owned()));
            }
            person.name = person.name.or(more.name);
            person.preferred_username = person.preferred_username.or(more.preferred_username);
            person.nickname = person.nickname.or(more.nickname);
            person.email = person.email.or(more.email);
        }
        Ok(person)
    }

    async fn exchange(
        &self,
        provider: &Provider,
        said: &Metadata,
        exchange: &Exchange<'_>,
    ) -> Result<Given, TalkError> {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code),
            ("redirect_uri", exchange.redirect),
            ("code_verifier", exchange.verifier),
        ];
        let methods = said.token_endpoint_auth_methods_supported.as_deref();
        // Without a word of the provider it is this one (OpenID Connect Discovery 1.0, 3).
        let basic = methods.is_none_or(|all| all.iter().any(|it| it == "client_secret_basic"));
        // Both are written as in a form before they become a header (RFC 6749, 2.3.1).
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let (name, secret): (String, Option<String>) =
            (encoded(&provider.client_id), provider.client_secret.as_deref().map(encoded));
        let proof = match (&secret, &provider.client_secret) {
            (Some(secret), _) if basic => Proof::Basic(&name, secret),
            (_, Some(secret)) => {
                form.push(("client_id", &provider.client_id));
                form.push(("client_secret", secret));
                Proof::None
            }
            _ => {
                form.push(("client_id", &provider.client_id));
                Proof::None
            }
        };
        let url = endpoint(&said.token_endpoint)?;
        let reached = self.line.form(url.as_str(), proof, &form, WAIT).await;
        if let Ok(reached) = &reached
            && (400..500).contains(&reached.status)
        {
            let why = reached.json().and_then(|it| Some(it.get("error")?.as_str()?.to_owned()));
            let why = why.unwrap_or_else(|| format!("it answered {}", reached.status));
            return Err(TalkError::Refused(why.chars().take(80).collect()));
        }
        read("its token endpoint", reached)
    }

    async fn said(&self, provider: &Provider) -> Result<Arc<Metadata>, TalkError> {
        // One asks, and those who come meanwhile wait for the answer.
        let mut said = self.said.lock().await;
        let now_ms = self.clock.now_ms();
        if let Some((when_ms, known)) = &said.last
            && now_ms - when_ms < FRESH_MS
        {
            return Ok(known.clone());
        }
        if now_ms < said.rests_until_ms {
            return Err(TalkError::Rests);
        }
        match self.ask(provider).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                said.last = Some((now_ms, metadata.clone()));
                Ok(metadata)
            }
            Err(why) => {
                said.rests_until_ms = self.clock.now_ms() + RESTS_MS;
                Err(why)
            }
        }
    }

    async fn ask(&self, provider: &Provider) -> Result<Metadata, TalkError> {
        let issuer = provider.issuer.trim_end_matches('/');
        let at = format!("{issuer}/.well-known/openid-configuration");
        let metadata: Metadata = read("its configuration", self.get(&at).await)?;
        if metadata.issuer != provider.issuer {
            return Err(TalkError::Wrong(format!(
                "it calls itself {}: its file here has to call it the same",
                metadata.issuer
            )));
        }
        Ok(metadata)
    }

    async fn keys(&self, said: &Metadata, anew: bool) -> Result<Arc<Vec<Jwk>>, TalkError> {
        let mut keys = self.keys.lock().await;
        let now_ms = self.clock.now_ms();
        let lasts_ms = if anew { KEYS_EVERY_MS } else { FRESH_MS };
        if let Some((when_ms, known)) = &*keys
            && now_ms - when_ms < lasts_ms
        {
            return Ok(known.clone());
        }
        let url = endpoint(&said.jwks_uri)?;
        let found: Keys = read("its keys", self.get(url.as_str()).await)?;
        // Keys of kinds that this node does not know are other people's business.
        let found = found.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        let found = Arc::new(found.collect());
        *keys = Some((now_ms, Arc::clone(&found)));
        Ok(found)
    }

    async fn get(&self, url: &str) -> Result<Reached, Unreached> {
        self.line.call(Method::GET, url, Proof::None, None, WAIT).await
    }
}

fn seconds(ms: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this age are exact")]
    let ms = ms as f64;
    ms / 1_000.0
}

/// An address that a provider names: nothing is sent where somebody may read along.
fn endpoint(text: &str) -> Result<Url, TalkError> {
    let wrong = || TalkError::Wrong(format!("it names {text:?}, which is no https:// address"));
    let url = Url::parse(text).map_err(|_| wrong())?;
    if is_sealed(&url) { Ok(url) } else { Err(wrong()) }
}

fn read<T: DeserializeOwned>(
    what: &'static str,
    reached: Result<Reached, Unreached>,
) -> Result<T, TalkError> {
    let reached = reached.map_err(|source| TalkError::Away { what, source })?;
    if !reached.is_success() {
        return Err(TalkError::Wrong(format!("{what} answered {}", reached.status)));
    }
    // An object, for a list would be read as one in the order of its fields.
    let object = serde_json::from_slice::<HashMap<String, Value>>(&reached.body);
    let object = object.map(|it| Value::Object(it.into_iter().collect()));
    let whole = object.and_then(serde_json::from_value);
    whole.map_err(|error| TalkError::Wrong(format!("{what} cannot be read: {error}")))
}

/// Why an `id_token` proves nothing.
#[derive(Debug, PartialEq, thiserror::Error)]
enum Verdict {
    #[error("is signed with a key that the provider does not publish")]
    UnknownKey,
    #[error("says not when its person showed who they are")]
    Undated,
    #[error("is of somebody who showed who they are too long ago")]
    Stale,
    #[error("{0}")]
    Wrong(&'static str),
}

/// What an `id_token` has to fit.
struct Wanted<'w> {
    provider: &'w Provider,
    nonce: &'w str,
    /// Since when its person must have shown who they are, where that counts.
    since_s: Option<f64>,
    now_s: f64,
}

/// Whom an `id_token` is about, if it is for this node and of now (`OpenID` Connect Core 1.0, 3.1.3.7).
fn judge(token: &str, keys: &[Jwk], wanted: &Wanted<'_>) -> Result<Person, Verdict> {
    let header = decode_header(token).map_err(|_| Verdict::Wrong("cannot be read"))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Verdict::Wrong("is signed in a way that this node does not take"));
    }
    let mut rules = Validation::new(header.alg);
    // All of these are looked at below, by the clock of this node.
    (rules.validate_exp, rules.validate_aud) = (false, false);
    rules.required_spec_claims.clear();
    let fitting = keys.iter().filter(|key| {
        let common = &key.common;
        let signs = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
        let named = header.kid.is_none() || common.key_id == header.kid;
        let alg = common.key_algorithm.is_none_or(|it| it == KeyAlgorithm::from(header.alg));
        signs && named && alg
    });
    let mut verdict = Verdict::UnknownKey;
    for key in fitting {
        let Ok(key) = DecodingKey::from_jwk(key) else { continue };
        match decode::<Claims>(token, &key, &rules) {
            Ok(read) => return sound(read.claims, wanted),
            Err(error) => match error.kind() {
                ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => {}
                _ => verdict = Verdict::Wrong("lacks what it has to say"),
            },
        }
    }
    Err(verdict)
}

fn sound(claims: Claims, wanted: &Wanted<'_>) -> Result<Person, Verdict> {
    let Claims { iss, aud, azp, exp, auth_time, nonce: shown, person } = claims;
    let Wanted { provider, nonce, since_s, now_s } = *wanted;
    if iss != provider.issuer {
        return Err(Verdict::Wrong("is another provider's"));
    }
    let (mine, many) = match &aud {
        Audience::One(one) => (*one == provider.client_id, false),
        Audience::Many(all) => (all.contains(&provider.client_id), all.len() > 1),
    };
    let party = azp.as_ref().is_none_or(|it| *it == provider.client_id);
    if !mine || !party || (many && azp.is_none()) {
        return Err(Verdict::Wrong("is for somebody else"));
    }
    if exp + SKEW_S <= now_s {
        return Err(Verdict::Wrong("is over"));
    }
    if shown.as_deref() != Some(nonce) {
        return Err(Verdict::Wrong("is about another sign-in"));
    }
    if !(1..=SUBJECT_BYTES).contains(&person.sub.len()) {
        return Err(Verdict::Wrong("names nobody"));
    }
    if let Some(since_s) = since_s {
        let shown_s = auth_time.ok_or(Verdict::Undated)?;
        if shown_s + SKEW_S < since_s {
            return Err(Verdict::Stale);
        }
        if shown_s > now_s + SKEW_S {
            return Err(Verdict::Wrong("is of somebody who will show who they are"));
        }
    }
    Ok(person)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_S: f64 = 1_800_000_000.0;

    fn provider() -> Provider {
        Provider {
            id: "club".to_owned(),
            name: "The Club".to_owned(),
            brand: None,
            registration: true,
            issuer: "https://club.test".to_owned(),
            client_id: "wayside".to_owned(),
            client_secret: None,
            scope: "openid".to_owned(),
        }
    }

    /// What is found of a word with these claims beside or in place of the right ones.
    fn found(more: &Value, since_s: Option<f64>) -> Result<String, Verdict> {
        let mut claims = json!({
            "iss": "https://club.test", "sub": "17", "aud": "wayside", "nonce": "n",
            "exp": NOW_S + 300.0, "auth_time": NOW_S,
        });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let provider = provider();
        let wanted = Wanted { provider: &provider, nonce: "n", since_s, now_s: NOW_S };
        match serde_json::from_value(claims) {
            Ok(claims) => sound(claims, &wanted).map(|person| person.sub),
            Err(_) => Err(Verdict::Wrong("cannot be read")),
        }
    }

    #[test]
    fn whoever_confirms_has_shown_who_they_are_since_they_were_asked() {
        let began = Some(NOW_S - 100.0);
        assert_eq!(found(&json!({}), began).as_deref(), Ok("17"));
        for (auth_time, verdict) in [
            (json!(null), Verdict::Undated),
            (json!(NOW_S - 161.0), Verdict::Stale),
            (json!(0), Verdict::Stale),
            (json!(-1e300), Verdict::Stale),
            (json!(NOW_S + 61.0), Verdict::Wrong("is of somebody who will show who they are")),
            (json!(1e300), Verdict::Wrong("is of somebody who will show who they are")),
            (json!("now"), Verdict::Wrong("cannot be read")),
            (json!([NOW_S]), Verdict::Wrong("cannot be read")),
        ] {
            let given = json!({ "auth_time": auth_time });
            assert_eq!(found(&given, began), Err(verdict), "{given}");
        }
        // Clocks differ a little.
        for near in [NOW_S - 159.0, NOW_S + 59.0] {
            assert!(found(&json!({ "auth_time": near }), began).is_ok(), "{near}");
        }
    }

    #[test]
    fn whoever_only_comes_in_need_not_say_when() {
        for auth_time in [json!(null), json!(0), json!(NOW_S + 1e6)] {
            assert!(found(&json!({ "auth_time": auth_time }), None).is_ok());
        }
    }

    #[test]
    fn claims_for_others_or_of_another_time_prove_nothing() {
        for (name, value) in [
            ("iss", json!("https://other.test")),
            ("aud", json!("another")),
            ("aud", json!(["wayside", "another"])),
            ("azp", json!("another")),
            ("exp", json!(NOW_S - 61.0)),
            ("nonce", json!(null)),
            ("nonce", json!("m")),
            ("sub", json!("")),
            ("sub", json!("s".repeat(256))),
            ("sub", json!(17)),
        ] {
            for since_s in [None, Some(NOW_S)] {
                assert!(found(&json!({ name: value }), since_s).is_err(), "{name}: {value}");
            }
        }
    }
}
