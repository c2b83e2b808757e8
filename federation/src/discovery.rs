//! Where a server is to be found, by its name: the steps, without taking them (server-server API, "Server discovery").

use std::{net::IpAddr, time::Duration};

use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;

/// The port of servers that name none.
const PORT: u16 = 8448;
/// Most bytes of a `.well-known` document that are read.
pub const WELL_KNOWN_BYTES: usize = 50 * 1024;

/// How long what was found without a word on it is believed.
const BELIEVED: Duration = Duration::from_hours(24);
/// The longest that a `.well-known` document may be believed, whatever it says.
const BELIEVED_MOST: Duration = Duration::from_hours(48);
/// The shortest: nobody makes this node ask again at every request.
const BELIEVED_LEAST: Duration = Duration::from_mins(5);
/// How long an answer that was none is believed at first; it doubles each time, up to the most.
const FAILED: Duration = Duration::from_mins(2);
const FAILED_MOST: Duration = Duration::from_hours(1);

/// What to look up next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `https://HOST/.well-known/matrix/server`; then [`Search::well_known`].
    WellKnown(String),
    /// The SRV records of this name; then [`Search::services`].
    Services(String),
    /// Nothing: this is the way.
    Found(Way),
}

/// How to speak with a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Where to connect: the first that works.
    pub targets: Vec<Target>,
    /// The `Host` header of each request.
    pub host: String,
    /// The name or address for which the certificate must be.
    pub certificate: String,
}

/// A place to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// An address, or a name to be looked up.
    pub host: String,
    /// The port of TCP.
    pub port: u16,
}

/// One SRV record (RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The lowest comes first.
    pub priority: u16,
    /// Among equals, the share that this one wants.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The name, without the dot at its end; empty where there is decidedly no such service.
    pub target: String,
}

/// A search for a server that is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    /// Whom to look for now: the server itself, or the one to which it has delegated.
    name: OwnedServerName,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before `.well-known`.
    Begun,
    /// Its SRV records are to be looked up.
    Services,
    /// The same under the name that was used before version 1.8.
    OldServices,
    /// Neither delegates.
    Itself,
}

impl Search {
    /// Begins to look for a server.
    #[must_use]
    pub fn of(server: &ServerName) -> Self {
        Self { name: server.to_owned(), stage: Stage::Begun }
    }

    /// What comes next.
    #[must_use]
    pub fn step(&self) -> Step {
        let host = self.name.host();
        let whole = || self.name.to_string();
        if let Some(address) = literal(host) {
            let port = self.name.port().unwrap_or(PORT);
            return Step::Found(Way::to(address.to_string(), port, whole()));
        }
        if let Some(port) = self.name.port() {
            return Step::Found(Way::to(host.to_owned(), port, whole()));
        }
        match self.stage {
            Stage::Begun => Step::WellKnown(host.to_owned()),
            Stage::Services => Step::Services(format!("_matrix-fed._tcp.{host}")),
            Stage::OldServices => Step::Services(format!("_matrix._tcp.{host}")),
            Stage::Itself => Step::Found(Way::to(host.to_owned(), PORT, whole())),
        }
    }

    /// Goes on with the server that `.well-known` names, or with none where there was no such word.
    #[must_use]
    pub fn well_known(self, delegated: Option<OwnedServerName>) -> Self {
        Self { name: delegated.unwrap_or(self.name), stage: Stage::Services }
    }

    /// Goes on with the SRV records that were found. `lot` decides among records of equal
    /// priority: any number. Without any record the search goes on.
    pub fn services(self, mut found: Vec<Service>, lot: u64) -> Result<Way, Self> {
        if found.is_empty() {
            let stage = match self.stage {
                Stage::Services => Stage::OldServices,
                _ => Stage::Itself,
            };
            return Err(Self { stage, ..self });
        }
        found.retain(|service| !service.target.is_empty());
        found.truncate(SERVICES);
        let target = |service: Service| Target { host: service.target, port: service.port };
        let host = self.name.host().to_owned();
        Ok(Way {
            targets: in_order(found, lot).into_iter().map(target).collect(),
            certificate: host.clone(),
            host,
        })
    }
}

impl Way {
    fn to(host: String, port: u16, header: String) -> Self {
        let targets = vec![Target { host: host.clone(), port }];
        Self { targets, host: header, certificate: host }
    }
}

/// Most records of one name that are looked at.
const SERVICES: usize = 16;

/// The records in the order in which they are to be tried: by priority, and among equals drawn by
/// their weights.
fn in_order(mut found: Vec<Service>, mut lot: u64) -> Vec<Service> {
    let mut order = Vec::with_capacity(found.len());
    while let Some(first) = found.iter().map(|service| service.priority).min() {
        let equals: Vec<usize> =
            (0..found.len()).filter(|at| found[*at].priority == first).collect();
        // One more each, so that those of no weight come at last but do come.
        let weigh = |at: usize| u64::from(found[at].weight) + 1;
        let whole: u64 = equals.iter().map(|at| weigh(*at)).sum();
        let mut drawn = lot % whole;
        lot = lot.rotate_left(17).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut chosen = equals[0];
        for at in equals {
            chosen = at;
            if drawn < weigh(at) {
                break;
            }
            drawn -= weigh(at);
        }
        order.push(found.remove(chosen));
    }
    order
}

/// An IP literal of a server name.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Reads a `.well-known` document: the server to which it delegates.
#[must_use]
pub fn read_well_known(document: &[u8]) -> Option<OwnedServerName> {
    #[derive(Deserialize)]
    struct WellKnown {
        #[serde(rename = "m.server")]
        server: OwnedServerName,
    }
    let read = document.get(..document.len().min(WELL_KNOWN_BYTES))?;
    Some(serde_json::from_slice::<WellKnown>(read).ok()?.server)
}

/// How long a `.well-known` document is believed, by its `Cache-Control` header (RFC 9111).
#[must_use]
pub fn believed_for(cache_control: Option<&str>) -> Duration {
    let directives = cache_control.unwrap_or_default().split(',').map(str::trim);
    let mut age = None;
    for directive in directives {
        let directive = directive.to_ascii_lowercase();
        if directive == "no-store" || directive == "no-cache" {
            return BELIEVED_LEAST;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            age = seconds.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    age.unwrap_or(BELIEVED).clamp(BELIEVED_LEAST, BELIEVED_MOST)
}

/// How long it is believed that there is none, after so many failures in a row.
#[must_use]
pub fn failed_for(failures: u32) -> Duration {
    FAILED.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(FAILED_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(name: &str) -> Search {
        Search::of(&OwnedServerName::try_from(name).unwrap())
    }

    fn way(target: (&str, u16), host: &str, certificate: &str) -> Step {
        let targets = vec![Target { host: target.0.to_owned(), port: target.1 }];
        Step::Found(Way { targets, host: host.to_owned(), certificate: certificate.to_owned() })
    }

    fn service(priority: u16, weight: u16, port: u16, target: &str) -> Service {
        Service { priority, weight, port, target: target.to_owned() }
    }

    #[test]
    fn addresses_and_ports_are_taken_at_their_word() {
        for (name, target, host, certificate) in [
            ("1.2.3.4", ("1.2.3.4", 8448), "1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:1", ("1.2.3.4", 1), "1.2.3.4:1", "1.2.3.4"),
            ("[2001:db8::1]", ("2001:db8::1", 8448), "[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:1", ("2001:db8::1", 1), "[2001:db8::1]:1", "2001:db8::1"),
            ("a.test:443", ("a.test", 443), "a.test:443", "a.test"),
        ] {
            assert_eq!(search(name).step(), way(target, host, certificate), "{name}");
        }
    }

    #[test]
    fn names_are_followed_step_by_step() {
        let begun = search("a.test");
        assert_eq!(begun.step(), Step::WellKnown("a.test".into()));
        for (delegated, target, host, certificate) in [
            ("1.2.3.4", ("1.2.3.4", 8448), "1.2.3.4", "1.2.3.4"),
            ("1.2.3.4:1", ("1.2.3.4", 1), "1.2.3.4:1", "1.2.3.4"),
            ("b.test:1", ("b.test", 1), "b.test:1", "b.test"),
        ] {
            let next = begun.clone().well_known(Some(delegated.try_into().unwrap()));
            assert_eq!(next.step(), way(target, host, certificate), "{delegated}");
        }
        for (delegated, name) in [(Some("b.test"), "b.test"), (None, "a.test")] {
            let next = begun.clone().well_known(delegated.map(|it| it.try_into().unwrap()));
            assert_eq!(next.step(), Step::Services(format!("_matrix-fed._tcp.{name}")));
            let found = next.clone().services(vec![service(1, 1, 5, "c.test")], 0).unwrap();
            assert_eq!(Step::Found(found), way(("c.test", 5), name, name));
            let older = next.services(Vec::new(), 0).unwrap_err();
            assert_eq!(older.step(), Step::Services(format!("_matrix._tcp.{name}")));
            let itself = older.services(Vec::new(), 0).unwrap_err();
            assert_eq!(itself.step(), way((name, 8448), name, name));
        }
    }

    #[test]
    fn services_are_tried_by_priority_and_drawn_by_weight() {
        let names = |lot| {
            let found = vec![
                service(2, 9, 1, "late"),
                service(1, 0, 1, "light"),
                service(1, 98, 1, "heavy"),
            ];
            let way = search("a.test").well_known(None).services(found, lot).unwrap();
            way.targets.into_iter().map(|it| it.host).collect::<Vec<_>>()
        };
        assert_eq!(names(0), ["light", "heavy", "late"]);
        let heavy_first = (0..1_000).filter(|lot| names(*lot)[0] == "heavy").count();
        assert!((985..=995).contains(&heavy_first), "{heavy_first}");
        assert!((0..100).all(|lot| names(lot)[2] == "late"));
        // A service that is decidedly not there is no reason to look elsewhere.
        let none = search("a.test").well_known(None).services(vec![service(0, 0, 0, "")], 0);
        assert_eq!(none.map(|way| way.targets), Ok(Vec::new()));
    }

    #[test]
    fn documents_are_read_and_believed_within_bounds() {
        let read = |text: &str| read_well_known(text.as_bytes()).map(|it| it.to_string());
        assert_eq!(read(r#"{"m.server":"b.test:1","more":1}"#).as_deref(), Some("b.test:1"));
        for wrong in ["", "{", "{}", "[]", r#"{"m.server":1}"#, r#"{"m.server":"a b"}"#] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        let long = format!("{{\"m.server\":\"b.test\"{}}}", " ".repeat(WELL_KNOWN_BYTES));
        assert_eq!(read(&long), None);
        let hours = |hours| Duration::from_hours(hours);
        for (header, expected) in [
            (None, hours(24)),
            (Some(""), hours(24)),
            (Some("max-age=7200"), hours(2)),
            (Some("public, Max-Age=\"7200\""), hours(2)),
            (Some("max-age=99999999999"), hours(48)),
            (Some("max-age=0"), BELIEVED_LEAST),
            (Some("max-age=7200, no-store"), BELIEVED_LEAST),
            (Some("max-age=much"), hours(24)),
        ] {
            assert_eq!(believed_for(header), expected, "{header:?}");
        }
        let waits: Vec<u64> = (0..9).map(|n| failed_for(n).as_secs() / 60).collect();
        assert_eq!(waits, [2, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(failed_for(u32::MAX), FAILED_MOST);
    }
}
