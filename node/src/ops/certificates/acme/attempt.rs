//! One attempt to get a certificate: the account, the order, the proof of each name, and what comes.

use std::time::Duration;

use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeType, Error, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::{
    super::{CertificateError, Served},
    Wish, apart,
    kept::{self, Kept},
    line::Line,
    names_of, pace,
    proof::Proofs,
};
use crate::clock::Clock;

/// How an order is followed: from half a second on in growing steps, or as the authority wishes.
const FOLLOWING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_mins(3));

/// Why an attempt brought no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    /// The authority refused something, or its directory could not be called.
    #[error(transparent)]
    Protocol(#[from] Error),
    /// It looked at a name and did not find the proof.
    #[error("the authority could not see that {name} leads here: {problem}")]
    Unproven {
        /// The name.
        name: String,
        /// What it saw.
        problem: Problem,
    },
    /// It does not make an account for whom it should know already.
    #[error("the authority makes no account for the id in acme_eab_key_id: {0}")]
    Unbound(Problem),
    /// It does not look at proofs of the one kind that this node shows.
    #[error("the authority does not prove {0} by tls-alpn-01")]
    OtherProofs(String),
    /// It asks to prove what was not ordered.
    #[error("the authority wants a proof of {0}, which is not among the names asked for")]
    Unasked(String),
    /// The order came to nothing, and the authority does not say why.
    #[error("the order became {0:?}")]
    Order(OrderStatus),
    /// A name of the order has no proof that could still be shown.
    #[error("the proof of {name} is {status:?} before it was looked at")]
    Authorization {
        /// The name.
        name: String,
        /// What became of it.
        status: AuthorizationStatus,
    },
    /// What came is for other names.
    #[error("the certificate that came is not for {0}")]
    Missing(String),
    /// All of it took too long.
    #[error("it took longer than {} minutes", .0.as_secs() / 60)]
    TooLong(Duration),
    /// What came cannot be used, or something cannot be written down.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Making a key or a request failed.
    #[error("making a request for a certificate")]
    Request(#[from] rcgen::Error),
    /// The process is ending.
    #[error("writing down what was got broke off")]
    BrokeOff(#[from] tokio::task::JoinError),
}

impl AcmeError {
    /// The kind of refusal, as RFC 8555 names it (6.7).
    fn kind(&self) -> Option<&str> {
        let (Self::Protocol(Error::Api(problem))
        | Self::Unproven { problem, .. }
        | Self::Unbound(problem)) = self
        else {
            return None;
        };
        problem.r#type.as_deref()?.strip_prefix("urn:ietf:params:acme:error:")
    }

    /// Whether the authority does not know the account any more.
    pub(super) fn is_account_unknown(&self) -> bool {
        matches!(self, Self::Protocol(_)) && self.kind() == Some("accountDoesNotExist")
    }

    /// When the authority would not be asked in vain, as far as the error itself tells.
    pub(super) fn wish_ms(&self, clock: Clock) -> Option<i64> {
        match self {
            Self::Protocol(Error::Timeout(Some(instant))) => {
                let wait = instant.saturating_duration_since(clock.instant());
                Some(clock.now_ms().saturating_add(i64::try_from(wait.as_millis()).ok()?))
            }
            _ if self.kind() == Some("rateLimited") => Some(pace::after_limit_ms(clock.now_ms())),
            _ => None,
        }
    }

    /// What whoever runs the node can do.
    pub(super) fn advice(&self) -> &'static str {
        const NAMES: &str = "see that each name of the certificate (acme_names) leads to this \
                             machine from everywhere, that its port 443 reaches the HTTPS of this \
                             node, and that no CAA record forbids the authority";
        match (self, self.kind()) {
            (_, Some("rateLimited")) => {
                "nothing: the authority has given as much as it gives in a while, and is asked \
                 again when it may be"
            }
            (Self::Unbound(_), kind) if kind != Some("userActionRequired") => {
                "see that acme_eab_key_id and acme_eab_hmac_key are the id and the key that the \
                 authority has given you, and that it has not given them for one use that is over"
            }
            (Self::Unproven { .. }, _)
            | (_, Some("caa" | "connection" | "dns" | "incorrectResponse" | "tls")) => NAMES,
            (_, Some("rejectedIdentifier" | "unsupportedIdentifier")) => {
                "leave names to which the authority gives no certificate out of acme_names"
            }
            (_, Some("invalidContact" | "unsupportedContact")) => "correct acme_contact",
            (_, Some("externalAccountRequired")) => {
                "set acme_eab_key_id and acme_eab_hmac_key: this authority gives certificates to those \
                 whom it knows already, and gives them such an id and key"
            }
            (_, Some("userActionRequired")) => {
                "read the terms of service, which have changed, and do what the authority says"
            }
            (_, Some("accountDoesNotExist")) => {
                "nothing: the authority has forgotten the account, and the next attempt makes another"
            }
            (_, Some("unauthorized")) => {
                "if the account was closed at the authority, remove its account.json below tls/acme in \
                 the data folder and restart the node"
            }
            (Self::Certificate(CertificateError::File { .. }) | Self::BrokeOff(_), _) => {
                "see that the folder tls/acme of the data folder can be written and its disk has room"
            }
            (Self::OtherProofs(_), _) => {
                "name another directory in acme_directory, or get certificates by another program and \
                 name them in tls_cert and tls_key"
            }
            (Self::Protocol(Error::Other(_) | Error::Json(_) | Error::Str(_)), None) => {
                "see that acme_directory is right, and that it can be called from here; trust_ca names \
                 the authority of its own certificate where that is no public one"
            }
            _ => "nothing, if it passes by itself; else ask the authority",
        }
    }
}

/// Gets a certificate for the names, and keeps it; it may take the place of one whose authority wishes so.
pub(super) async fn certificate(
    wish: &Wish,
    kept: &Kept,
    proofs: &Proofs,
    line: Line,
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Served, AcmeError> {
    let account = account(wish, kept, line).await?;
    let names: Vec<_> = wish.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = order(&account, &names, replaces).await?;
    match order.state().status {
        OrderStatus::Pending => prove(&mut order, wish, proofs).await?,
        // Proven by an earlier order.
        OrderStatus::Ready => {}
        status => return Err(AcmeError::Order(status)),
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(wish.names.clone())?;
    params.distinguished_name = DistinguishedName::new();
    order.finalize_csr(params.serialize_request(&key)?.der()).await?;
    let chain = order.poll_certificate(&FOLLOWING).await?;
    let text = [key.serialize_pem(), chain].concat();
    let served = kept.read_certificate(text.as_bytes())?;
    let given = names_of(&served);
    if let Some(name) = wish.names.iter().find(|name| !given.contains(name)) {
        return Err(AcmeError::Missing(name.clone()));
    }
    let kept = kept.clone();
    apart(move || kept.keep_certificate(text.as_bytes())).await??;
    Ok(served)
}

/// Orders a certificate, in the place of another if the authority knows what that means.
async fn order(
    account: &Account,
    names: &[Identifier],
    replaces: Option<CertificateIdentifier<'static>>,
) -> Result<Order, Error> {
    if let Some(replaces) = replaces {
        match account.new_order(&NewOrder::new(names).replaces(replaces)).await {
            Ok(order) => return Ok(order),
            Err(Error::Api(problem))
                if problem.r#type.as_deref() == Some("urn:ietf:params:acme:error:rateLimited") =>
            {
                return Err(Error::Api(problem));
            }
            // It may have been replaced already (RFC 9773, 5).
            Err(error) => tracing::debug!(%error, "an order that replaces another is refused"),
        }
    }
    account.new_order(&NewOrder::new(names)).await
}

/// The account with the authority: the one that is kept, or a new one.
async fn account(wish: &Wish, kept: &Kept, line: Line) -> Result<Account, AcmeError> {
    let builder = Account::builder_with_http(Box::new(line));
    let contact = wish.contact.as_ref().map(|it| format!("mailto:{it}"));
    let contacts: Vec<&str> = contact.as_deref().into_iter().collect();
    let (looking, writing) = (kept.clone(), kept.clone());
    let key_id = wish.binding.as_ref().map(|it| it.key_id.clone());
    let known = apart(move || looking.account()).await?;
    // Whoever is known to the authority under another id by now has another account with it. Once there is
    // one, the id and its key are needed no more.
    if let Some(known) = known.filter(|known| key_id.is_none() || known.key_id == key_id) {
        let account = builder.from_credentials(known.credentials).await?;
        if known.contact != wish.contact {
            account.update_contacts(&contacts).await?;
            let contact = wish.contact.clone();
            apart(move || writing.note_contact(contact)).await??;
        }
        return Ok(account);
    }
    // The settings are refused where the operator has not agreed.
    let new = NewAccount {
        contact: &contacts,
        terms_of_service_agreed: true,
        only_return_existing: false,
    };
    let binding = wish.binding.as_ref();
    let binding = binding.map(|it| ExternalAccountKey::new(it.key_id.clone(), &it.key));
    let made = builder.create(&new, wish.directory.clone(), binding.as_ref()).await;
    let (account, credentials) = match made {
        Err(Error::Api(problem)) if binding.is_some() => return Err(AcmeError::Unbound(problem)),
        made => made?,
    };
    let (directory, contact) = (wish.directory.clone(), wish.contact.clone());
    let made = kept::Account { directory, contact, key_id, credentials };
    apart(move || writing.keep_account(&made)).await??;
    Ok(account)
}

/// Shows a proof of each name that has not been proven yet, until the authority has looked at all.
async fn prove(order: &mut Order, wish: &Wish, proofs: &Proofs) -> Result<(), AcmeError> {
    let _while_asked = proofs.while_asked();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string();
        if !wish.names.contains(&name) {
            return Err(AcmeError::Unasked(name));
        }
        match authorization.status {
            AuthorizationStatus::Pending => {}
            AuthorizationStatus::Valid => continue,
            status => return Err(AcmeError::Authorization { name, status }),
        }
        let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
            return Err(AcmeError::OtherProofs(name));
        };
        let digest = challenge.key_authorization().digest();
        let digest = digest.as_ref().try_into().expect("SHA-256 gives 32 bytes");
        proofs.show(&name, digest)?;
        challenge.set_ready().await?;
    }
    match order.poll_ready(&FOLLOWING).await {
        Ok(OrderStatus::Ready) => Ok(()),
        other => Err(match (unproven(order).await, other) {
            (Some(unproven), _) => unproven,
            (None, Ok(status)) => AcmeError::Order(status),
            (None, Err(error)) => error.into(),
        }),
    }
}

/// The first name that could not be proven, and why: an order itself often says neither.
async fn unproven(order: &mut Order) -> Option<AcmeError> {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let name = authorization.identifier().to_string();
        let seen = authorization.refresh().await.ok()?;
        if let Some(problem) = seen.challenges.iter().find_map(|it| it.error.clone()) {
            return Some(AcmeError::Unproven { name, problem });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str) -> Problem {
        let kind = format!("urn:ietf:params:acme:error:{kind}");
        serde_json::from_value(serde_json::json!({ "type": kind, "detail": "no" })).unwrap()
    }

    #[test]
    fn refusals_say_what_to_do_and_limits_when_to_come_back() {
        let refused = |kind: &str| AcmeError::Protocol(Error::Api(problem(kind)));
        for (kind, advice) in [
            ("rateLimited", "nothing"),
            ("caa", "port 443"),
            ("rejectedIdentifier", "acme_names"),
            ("invalidContact", "acme_contact"),
            ("externalAccountRequired", "acme_eab_key_id"),
            ("userActionRequired", "terms"),
            ("unauthorized", "account.json"),
            ("somethingNew", "authority"),
        ] {
            let said = refused(kind).advice();
            assert!(said.contains(advice), "{kind}: {said}");
            let waits = refused(kind).wish_ms(Clock).is_some();
            assert_eq!(waits, kind == "rateLimited", "{kind}");
        }
        for kind in ["malformed", "unauthorized", "externalAccountRequired", "somethingNew"] {
            let said = AcmeError::Unbound(problem(kind)).advice();
            assert!(said.contains("acme_eab_hmac_key"), "{kind}: {said}");
        }
        assert!(AcmeError::Unbound(problem("rateLimited")).advice().contains("nothing"));
        // Of a name that is looked at, the same word means another thing.
        let name = "a.test".to_owned();
        let unproven = AcmeError::Unproven { name, problem: problem("unauthorized") };
        assert!(unproven.advice().contains("port 443"), "{}", unproven.advice());
        assert!(unproven.to_string().contains("a.test") && !unproven.is_account_unknown());
        assert!(refused("accountDoesNotExist").is_account_unknown());
        let unknown = AcmeError::Protocol(Error::Str("nothing"));
        assert!(unknown.kind().is_none() && unknown.advice().contains("acme_directory"));
    }
}
