//! Where on the web a DID leads: the rules that did:web and did:webvh share.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use super::DidError;

/// What is encoded of a segment of a path (RFC 3986, section 3.3), beside all that is not ASCII.
const ENCODED: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b'\\')
    .add(b'%')
    .add(b'^')
    .add(b'|')
    .add(b'[')
    .add(b']');

/// The address of a file under the host and path that a DID names: the host with a port behind `%3A` if
/// it has one, then segments of a path, between colons. Without a path the file lies in `.well-known`.
///
/// Everything is judged after decoding, as whoever connects would see it: a host must be the name of a
/// machine and no number, and no segment may lead elsewhere.
///
/// ```
/// use wayside_identity::did::place::address;
/// let at = |id| address(id, "did.json").map(|url| url.to_string()).ok();
/// assert_eq!(at("a.example").as_deref(), Some("https://a.example/.well-known/did.json"));
/// assert_eq!(at("a.example%3a8448:x").as_deref(), Some("https://a.example:8448/x/did.json"));
/// assert_eq!(at("127%2E0%2e0.1"), None);
/// assert_eq!(at("a.example:%2e%2E:x"), None);
/// ```
pub fn address(id: &str, file: &str) -> Result<Url, DidError> {
    let mut segments = id.split(':');
    let host = segments.next().unwrap_or_default();
    let (host, port) = host_and_port(host)?;
    let mut path = String::new();
    for segment in segments {
        let segment = decoded(segment)?;
        let leads_away = matches!(segment.as_str(), "" | "." | "..");
        if leads_away || segment.contains(['/', '\\']) || segment.contains(char::is_control) {
            return Err(DidError::BadDid("a part of its path leads elsewhere"));
        }
        path.push('/');
        path.extend(utf8_percent_encode(&segment, &ENCODED));
    }
    if path.is_empty() {
        path.push_str("/.well-known");
    }
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let address = Url::parse(&format!("https://{host}{port}{path}/{file}"));
    address.map_err(|_| DidError::BadDid("it leads to no address of the web"))
}

/// A host as one part of such a DID: the colon before a port has to be encoded.
#[must_use]
pub fn of_host(host: &str) -> String {
    host.replace(':', "%3A")
}

/// The host that such a part of a DID names, as people write it.
#[must_use]
pub fn to_host(part: &str) -> String {
    host_and_port(part).map_or_else(
        |_| part.to_owned(),
        |(host, port)| port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")),
    )
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), DidError> {
    let text = decoded(text)?;
    let (host, port) = match text.split_once(':') {
        None => (text.as_str(), None),
        Some((host, port)) => {
            let digits = port.bytes().all(|digit| digit.is_ascii_digit());
            let number = port.parse().ok().filter(|number| digits && *number > 0);
            let number: u16 = number.ok_or(DidError::BadDid("the port of its host is none"))?;
            (host, Some(number))
        }
    };
    let named = host.contains('.') || host.eq_ignore_ascii_case("localhost");
    match Host::parse(host) {
        Ok(Host::Domain(name)) if named && !name.starts_with('.') && !name.ends_with('.') => {
            Ok((name, port))
        }
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => {
            Err(DidError::BadDid("its host must be a name, not a number"))
        }
        _ => Err(DidError::BadDid("its host is no name of a machine")),
    }
}

fn decoded(text: &str) -> Result<String, DidError> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| DidError::BadDid("a part of it is no text"))?;
    // What is encoded twice would be decoded again by whoever is less careful.
    if decoded.contains('%') {
        return Err(DidError::BadDid("a part of it is encoded twice"));
    }
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::{address, of_host};

    #[test]
    fn hosts_and_paths_become_addresses() {
        for (id, url) in [
            ("example.com", "https://example.com/.well-known/did.jsonl"),
            ("issuer.example.com", "https://issuer.example.com/.well-known/did.jsonl"),
            ("example.com:dids:issuer", "https://example.com/dids/issuer/did.jsonl"),
            ("example.com%3A3000:dids:issuer", "https://example.com:3000/dids/issuer/did.jsonl"),
            (
                "jp納豆.例.jp:用户",
                "https://xn--jp-cd2fp15c.xn--fsq.jp/%E7%94%A8%E6%88%B7/did.jsonl",
            ),
            ("localhost%3A8448:people:ada", "https://localhost:8448/people/ada/did.jsonl"),
            ("a.example:people:a%3Db%2Bc", "https://a.example/people/a=b+c/did.jsonl"),
        ] {
            assert_eq!(address(id, "did.jsonl").unwrap().as_str(), url);
        }
        assert_eq!(of_host("a.example:8448"), "a.example%3A8448");
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for id in [
            "",
            "127.0.0.1",
            "127.0.0.1%3a8080",
            "127%2E0%2E0%2E1",
            "169%2e254%2e169%2e254",
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "%5B%3A%3A1%5D",
            "example",
            "example.com.",
            ".example.com",
            "a.example%3A",
            "a.example%3A0",
            "a.example%3A65536",
            "a.example%3A+80",
            "a.example%3A80%3A1",
            "a.example%2Fb",
            "a.example%40b.example",
            "user%40a.example",
            "a.example%23x",
            "a.example%3Fx",
            "a.example%00",
            "a.example:..:admin",
            "a.example:.",
            "a.example:%2E%2e:admin",
            "a.example:%252e%252e",
            "a.example:a%2Fb",
            "a.example:a%5Cb",
            "a.example::b",
            "a.example:%00",
            "a.example:%ff",
            "a%252eexample",
            "１２７.0.0.1",
        ] {
            assert!(address(id, "did.jsonl").is_err(), "{id}");
        }
    }
}
