//! Which servers a room lets take part (client-server API, `m.room.server_acl`).

use std::net::IpAddr;

use ruma::ServerName;
use serde_json::{Value, value::RawValue};

/// The rule of a room, read once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAcl {
    allow: Vec<String>,
    deny: Vec<String>,
    ip_literals: bool,
}

impl ServerAcl {
    /// Reads the content of an `m.room.server_acl` event. What has the wrong shape counts as absent,
    /// and a room that allows nobody by name allows nobody.
    #[must_use]
    pub fn read(content: &RawValue) -> Self {
        let content: Value = serde_json::from_str(content.get()).unwrap_or_default();
        let patterns = |field: &str| {
            let list = content[field].as_array().map(Vec::as_slice).unwrap_or_default();
            list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            allow: patterns("allow"),
            deny: patterns("deny"),
            ip_literals: content["allow_ip_literals"].as_bool().unwrap_or(true),
        }
    }

    /// Whether a server may take part. Its port does not count.
    #[must_use]
    pub fn admits(&self, server: &ServerName) -> bool {
        let host = server.host();
        let is_literal = || {
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            bare.parse::<IpAddr>().is_ok()
        };
        if !self.ip_literals && is_literal() {
            return false;
        }
        let named = |list: &[String]| list.iter().any(|pattern| matches(pattern, host));
        !named(&self.deny) && named(&self.allow)
    }
}

/// Whether a pattern covers a name, whatever the case of its letters: `*` stands for any letters, `?`
/// for one. The time is at most in proportion to the product of both lengths.
#[must_use]
pub fn matches(pattern: &str, name: &str) -> bool {
    let lower = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (pattern, name) = (lower(pattern), lower(name));
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the name it stands for.
    let mut star: Option<(usize, usize)> = None;
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(letter) if *letter == '?' || *letter == name[seen] => {
                at += 1;
                seen += 1;
            }
            _ => {
                let Some((place, covered)) = star else { return false };
                star = Some((place, covered + 1));
                at = place + 1;
                seen = covered + 1;
            }
        }
    }
    pattern[at..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use ruma::OwnedServerName;
    use serde_json::value::to_raw_value;

    use super::*;

    fn admits(rule: &Value, server: &str) -> bool {
        let server = OwnedServerName::try_from(server).unwrap();
        ServerAcl::read(&to_raw_value(rule).unwrap()).admits(&server)
    }

    #[test]
    fn patterns_cover_names() {
        for (pattern, name, covers) in [
            ("*", "", true),
            ("*", "a.test", true),
            ("a.test", "A.TEST", true),
            ("A.Test", "a.test", true),
            ("a?test", "a.test", true),
            ("a?test", "atest", false),
            ("*.test", "a.b.test", true),
            ("*.test", "test", false),
            ("*.test", "a.test.evil", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a**", "a", true),
            ("", "", true),
            ("", "a", false),
            ("a.test", "xa.test", false),
            ("[::1]", "[::1]", true),
        ] {
            assert_eq!(matches(pattern, name), covers, "{pattern} {name}");
        }
        // What makes slow matchers go back over and over.
        assert!(!matches(&format!("{}b", "*a".repeat(60)), &"a".repeat(255)));
    }

    #[test]
    fn rules_are_read_as_the_specification_says() {
        use serde_json::json;
        let all = json!({ "allow": ["*"], "deny": ["evil.test", "*.evil.test"] });
        assert!(admits(&all, "a.test") && admits(&all, "1.2.3.4:8448"));
        assert!(!admits(&all, "evil.test") && !admits(&all, "EVIL.test:8448"));
        assert!(!admits(&all, "x.evil.test"));
        let named = json!({ "allow": ["*"], "allow_ip_literals": false });
        assert!(admits(&named, "a.test") && !admits(&named, "1.2.3.4"));
        assert!(!admits(&named, "[::1]:8448"));
        for nobody in [json!({}), json!({ "allow": "*" }), json!({ "allow": [1, null] }), json!([])]
        {
            assert!(!admits(&nobody, "a.test"), "{nobody}");
        }
        // A wrong shape does not switch the rest off.
        let odd = json!({ "allow": [5, "a.test"], "deny": {}, "allow_ip_literals": "no" });
        assert!(admits(&odd, "a.test") && !admits(&odd, "b.test"));
    }
}
