//! When an authority wants a certificate replaced (RFC 9773, ACME renewal information).

use std::ops::Range;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Method, Request, header::RETRY_AFTER};
use instant_acme::{BodyWrapper, CertificateIdentifier};
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::extensions::ParsedExtension;

use super::{
    line::{Line, LineError},
    pace,
};

/// What an authority wishes of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wished {
    /// Within which time it is to be replaced, in milliseconds since the epoch.
    pub(super) window_ms: Range<i64>,
    /// When it is to be asked again, if it says so.
    pub(super) again_ms: Option<i64>,
}

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewalError {
    /// The authority could not be called.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It answers with a refusal.
    #[error("the authority answered {0}")]
    Refused(http::StatusCode),
    /// It answers what it should not.
    #[error("the authority does not say when: {0}")]
    BadAnswer(String),
    /// The certificate says nothing of whose it is.
    #[error("the certificate does not name the key of its authority")]
    NoIssuer,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Directory {
    renewal_info: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    suggested_window: Window,
}

#[derive(Deserialize)]
struct Window {
    start: String,
    end: String,
}

/// By what an authority knows a certificate that it gave (RFC 9773, 4.1).
pub(super) fn identifier(certificate: &[u8]) -> Option<CertificateIdentifier<'static>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let key = parsed.iter_extensions().find_map(|it| match it.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(it) => it.key_identifier.as_ref().map(|it| it.0),
        _ => None,
    })?;
    Some(CertificateIdentifier {
        authority_key_identifier: URL_SAFE_NO_PAD.encode(key).into(),
        serial: URL_SAFE_NO_PAD.encode(parsed.tbs_certificate.raw_serial()).into(),
    })
}

/// What the authority of a directory wishes of a certificate; nothing where it has no wishes.
pub(super) async fn wished(
    line: &Line,
    directory: &str,
    certificate: &[u8],
    now_ms: i64,
) -> Result<Option<Wished>, RenewalError> {
    let (body, _) = get(line, directory).await?;
    let bad = |error: &dyn std::fmt::Display| RenewalError::BadAnswer(error.to_string());
    let read: Directory = serde_json::from_slice(&body).map_err(|error| bad(&error))?;
    let Some(place) = read.renewal_info else { return Ok(None) };
    let id = identifier(certificate).ok_or(RenewalError::NoIssuer)?;
    let (body, again) = get(line, &format!("{}/{id}", place.trim_end_matches('/'))).await?;
    let window_ms = window_ms(&body).map_err(|why| bad(&why))?;
    let again_ms = again.and_then(|it| pace::retry_after_ms(&it, now_ms));
    Ok(Some(Wished { window_ms, again_ms }))
}

/// Reads something of the authority, and what it says of when to come again.
async fn get(line: &Line, address: &str) -> Result<(Bytes, Option<String>), RenewalError> {
    let request = Request::builder().method(Method::GET).uri(address);
    let request = request.body(BodyWrapper::default());
    let request = request.map_err(|error| RenewalError::BadAnswer(error.to_string()))?;
    let answer = line.clone().call(request).await?;
    if !answer.status().is_success() {
        return Err(RenewalError::Refused(answer.status()));
    }
    let again = answer.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    let again = again.map(str::to_owned);
    Ok((answer.into_body(), again))
}

/// The window that an answer names, in milliseconds since the epoch.
fn window_ms(body: &[u8]) -> Result<Range<i64>, String> {
    let read: Info = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let ms = |text: &str| {
        let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| error.to_string())?;
        Ok::<_, String>(at.unix_timestamp().saturating_mul(1000))
    };
    let (start, end) = (ms(&read.suggested_window.start)?, ms(&read.suggested_window.end)?);
    if start < end { Ok(start..end) } else { Err("its window ends before it begins".to_owned()) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_is_read_and_what_is_none_is_refused() {
        let read = |start: &str, end: &str| {
            let window = json!({ "suggestedWindow": { "start": start, "end": end } });
            window_ms(window.to_string().as_bytes())
        };
        let read_well = read("2026-01-03T00:00:00Z", "2026-01-03T01:00:00.5+01:00");
        assert!(read_well.is_err(), "it has no length");
        let read_well = read("2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z").unwrap();
        assert_eq!(read_well, 1_767_398_400_000..1_767_484_800_000);
        for (start, end) in [
            ("2026-01-04T00:00:00Z", "2026-01-03T00:00:00Z"),
            ("2026-01-03", "2026-01-04T00:00:00Z"),
            ("", ""),
            ("2026-13-03T00:00:00Z", "2026-01-04T00:00:00Z"),
        ] {
            assert!(read(start, end).is_err(), "{start} {end}");
        }
        for wrong in ["", "[]", "{}", "{\"suggestedWindow\":{}}", "{\"suggestedWindow\":7}"] {
            assert!(window_ms(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_certificate_is_known_by_its_authority_and_number() {
        for wrong in [&b""[..], b"none"] {
            assert!(identifier(wrong).is_none());
        }
        // One that vouches for itself names no other key.
        let (chain, _) = super::super::super::tests::pair("a.test");
        let (_, pem) = x509_parser::pem::parse_x509_pem(chain.as_bytes()).unwrap();
        let named = identifier(&pem.contents).map(|id| id.to_string());
        assert!(named.is_none_or(|id| id.split('.').count() == 2));
    }
}
