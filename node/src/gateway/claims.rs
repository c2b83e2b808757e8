//! What a request says about who asks: a token, and behind a proxy an address.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header};

/// The access token: in the header, or for older clients in the query.
pub(super) fn token(headers: &HeaderMap, query: Option<&str>) -> Option<String> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let value = value.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    let pair = query?.split('&').find_map(|pair| pair.strip_prefix("access_token="))?;
    Some(pair.to_owned())
}

/// Whom a proxy that is trusted speaks for; otherwise whoever is at the other end.
///
/// Each proxy adds at the end of `X-Forwarded-For` whom it heard, in the same line or one of its
/// own. The last address that is no proxy of ours is therefore the first that nobody can have made
/// up; before one that does not read as an address, nothing can be believed.
pub(super) fn address(trusted: &[IpAddr], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    let peer = peer.to_canonical();
    if !trusted.contains(&peer) {
        return peer;
    }
    let lines: Vec<&str> = headers
        .get_all("x-forwarded-for")
        .iter()
        .map(|value| value.to_str().unwrap_or("not to be read"))
        .collect();
    let chain = lines.iter().flat_map(|line| line.split(',')).rev().map(read);
    chain.map_while(|address| address).find(|address| !trusted.contains(address)).unwrap_or(peer)
}

/// An address, with or without a port.
fn read(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse::<IpAddr>().ok().or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(name: &'static str, lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(name, value);
            }
        }
        headers
    }

    #[test]
    fn a_token_stands_in_the_header_or_the_query() {
        for (line, query, expected) in [
            (Some("Bearer abc"), None, Some("abc")),
            (Some("bEARER  abc "), Some("access_token=x"), Some("abc")),
            (Some("Basic abc"), Some("access_token=x"), None),
            (Some("Bearer"), None, None),
            (Some(""), Some("access_token=x"), None),
            (None, Some("a=b&access_token=x&access_token=y"), Some("x")),
            (None, Some("xaccess_token=x"), None),
            (None, None, None),
        ] {
            let lines: Vec<&[u8]> = line.iter().map(|it| it.as_bytes()).collect();
            let found = token(&headers("authorization", &lines), query);
            assert_eq!(found.as_deref(), expected, "{line:?} {query:?}");
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_what_it_added() {
        let proxies: Vec<IpAddr> =
            ["192.0.2.1", "192.0.2.2"].iter().map(|it| it.parse().unwrap()).collect();
        for (peer, lines, expected) in [
            ("192.0.2.1", &["198.51.100.7"][..], "198.51.100.7"),
            ("198.51.100.9", &["198.51.100.7"], "198.51.100.9"),
            ("192.0.2.1", &["203.0.113.5, 198.51.100.7"], "198.51.100.7"),
            ("192.0.2.1", &["203.0.113.5, 198.51.100.7, 192.0.2.2"], "198.51.100.7"),
            // A proxy may write a line of its own, behind the one that the client made up.
            ("192.0.2.1", &["203.0.113.5", "198.51.100.7"], "198.51.100.7"),
            ("192.0.2.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("192.0.2.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("::ffff:192.0.2.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            // What a proxy could not name does not let an older, made-up address through.
            ("192.0.2.1", &["203.0.113.5, unknown"], "192.0.2.1"),
            ("192.0.2.1", &["203.0.113.5, \u{e9}"], "192.0.2.1"),
            ("192.0.2.1", &["192.0.2.2"], "192.0.2.1"),
            ("192.0.2.1", &[""], "192.0.2.1"),
            ("192.0.2.1", &[], "192.0.2.1"),
        ] {
            let bytes: Vec<&[u8]> = lines.iter().map(|it| it.as_bytes()).collect();
            let headers = headers("x-forwarded-for", &bytes);
            let found = address(&proxies, peer.parse().unwrap(), &headers);
            assert_eq!(found, expected.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
        }
    }

    #[test]
    fn no_header_makes_it_panic() {
        let peer = IpAddr::from([192, 0, 2, 1]);
        bolero::check!().with_type::<(Vec<u8>, Vec<u8>, String)>().for_each(|(one, two, query)| {
            let claimed = address(&[peer], peer, &headers("x-forwarded-for", &[one, two]));
            assert_eq!(claimed, claimed.to_canonical());
            let found = token(&headers("authorization", &[one, two]), Some(query));
            assert!(found.is_none_or(|found| found.len() <= one.len().max(query.len())));
        });
    }
}
