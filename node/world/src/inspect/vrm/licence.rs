//! What authors allow: the words of VRM 1.0, those of 0.x in them, and what silence means.

use serde_json::Value;

use crate::inspect::{
    list,
    report::{Issues, Licence, shorten},
};

pub(in crate::inspect) const PERMISSIONS: &[&str] =
    &["onlyAuthor", "onlySeparatelyLicensedPerson", "everyone"];
pub(in crate::inspect) const COMMERCIAL: &[&str] =
    &["personalNonProfit", "personalProfit", "corporation"];
pub(in crate::inspect) const CREDIT: &[&str] = &["required", "unnecessary"];
pub(in crate::inspect) const MODIFICATION: &[&str] =
    &["prohibited", "allowModification", "allowModificationRedistribution"];
/// The one licence that VRM 1.0 files carry; clients refuse to load others.
pub(in crate::inspect) const LICENCE: &str = "https://vrm.dev/licenses/1.0/";

/// Reads the licence of VRM 1.0 and says what is missing from its meta.
pub(super) fn of_1(meta: &Value, issues: &mut Issues) -> Licence {
    const AT: &str = "/extensions/VRMC_vrm/meta";
    if meta["licenseUrl"] != LICENCE {
        issues.error(
            "LICENCE_UNKNOWN",
            format!("{AT}/licenseUrl"),
            format!("{LICENCE} would be right"),
        );
    }
    if meta["name"].as_str().unwrap_or_default().is_empty() {
        issues.warn("META_MISSING", format!("{AT}/name"), "an avatar with a name would be right");
    }
    if !list(meta, "authors")
        .iter()
        .any(|author| author.as_str().is_some_and(|name| !name.is_empty()))
    {
        issues.warn(
            "META_MISSING",
            format!("{AT}/authors"),
            "an avatar with its authors would be right",
        );
    }
    let licence = read(meta);
    if licence.other_licence_url.is_none()
        && !meta["otherLicenseUrl"].as_str().unwrap_or_default().is_empty()
    {
        issues.warn(
            "URL_NOT_WEB",
            format!("{AT}/otherLicenseUrl"),
            "an address of the web would be right",
        );
    }
    told(&licence, AT, issues);
    licence
}

/// Reads the licence of VRM 0.x.
pub(super) fn of_0(meta: &Value, issues: &mut Issues) -> Licence {
    const AT: &str = "/extensions/VRM/meta";
    for name in ["title", "author"] {
        if meta[name].as_str().unwrap_or_default().is_empty() {
            issues.warn(
                "META_MISSING",
                format!("{AT}/{name}"),
                "an avatar with its name and author would be right",
            );
        }
    }
    let licence = read(&crate::inspect::normalise::meta::from_0(meta, &Value::Null));
    told(&licence, AT, issues);
    licence
}

fn told(licence: &Licence, pointer: &str, issues: &mut Issues) {
    if licence.avatar_permission != "everyone" {
        let message = format!("only some may wear it: {}", licence.avatar_permission);
        issues.tell("LICENCE_RESTRICTED", pointer, message);
    }
}

/// The licence in the words of VRM 1.0; what is absent is not allowed.
fn read(meta: &Value) -> Licence {
    let word = |name: &str, words: &'static [&'static str]| {
        words.iter().copied().find(|word| meta[name] == *word).unwrap_or(words[0])
    };
    let flag = |name: &str| meta[name].as_bool().unwrap_or(false);
    let text = |value: &Value| {
        let mut text = value.as_str().unwrap_or_default().to_owned();
        shorten(&mut text, 500);
        text
    };
    let authors = list(meta, "authors").iter().take(50).map(text);
    Licence {
        name: text(&meta["name"]),
        authors: authors.filter(|author| !author.is_empty()).collect(),
        avatar_permission: word("avatarPermission", PERMISSIONS),
        violent: flag("allowExcessivelyViolentUsage"),
        sexual: flag("allowExcessivelySexualUsage"),
        political: flag("allowPoliticalOrReligiousUsage"),
        antisocial: flag("allowAntisocialOrHateUsage"),
        commercial: word("commercialUsage", COMMERCIAL),
        redistribution: flag("allowRedistribution"),
        modification: word("modification", MODIFICATION),
        credit_required: word("creditNotation", CREDIT) == "required",
        licence_url: web(&meta["licenseUrl"]),
        other_licence_url: web(&meta["otherLicenseUrl"]),
    }
}

/// An address that may be shown as a link: of the web, and of a bearable length.
pub(in crate::inspect) fn web(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    let is_web = lower.starts_with("https://") || lower.starts_with("http://");
    let plain = text.len() <= 2_000
        && !text.contains(|letter: char| letter.is_whitespace() || letter.is_control());
    (is_web && plain).then(|| text.to_owned())
}
