//! The meta of VRM 0.x in the words of 1.0: what was not granted stays forbidden.

use serde_json::{Value, json};

use crate::inspect::{
    index, list,
    vrm::licence::{LICENCE, web},
};

/// The meta of VRM 1.0; absent values are null.
pub(in crate::inspect) fn from_0(meta: &Value, textures: &Value) -> Value {
    let text = |name: &str| meta[name].as_str().unwrap_or_default();
    let allows = |name: &str| text(name).eq_ignore_ascii_case("allow");
    let permission = match text("allowedUserName").to_ascii_lowercase().as_str() {
        "everyone" => "everyone",
        "explicitlylicensedperson" => "onlySeparatelyLicensedPerson",
        _ => "onlyAuthor",
    };
    let common = Common::named(text("licenseName"));
    let links = ["otherLicenseUrl", "otherPermissionUrl"].map(|name| web(&meta[name]));
    let link = links
        .into_iter()
        .flatten()
        .next()
        .or_else(|| common.as_ref().map(|one| one.link.to_owned()));
    let texture = index(meta, "texture").and_then(|at| textures.as_array()?.get(at));
    let reference = Some(text("reference")).filter(|text| !text.is_empty());
    let or =
        |text: &str, other: &str| if text.is_empty() { other.to_owned() } else { text.to_owned() };
    json!({
        "name": or(text("title"), "avatar"),
        "version": text("version"),
        "authors": [or(text("author"), "unknown")],
        "contactInformation": text("contactInformation"),
        "references": reference.map(|reference| [reference]),
        "thumbnailImage": texture.and_then(|texture| index(texture, "source")),
        "licenseUrl": LICENCE,
        "avatarPermission": permission,
        "allowExcessivelyViolentUsage": allows("violentUssageName"),
        "allowExcessivelySexualUsage": allows("sexualUssageName"),
        "commercialUsage": if allows("commercialUssageName") { "personalProfit" } else { "personalNonProfit" },
        "allowPoliticalOrReligiousUsage": false,
        "allowAntisocialOrHateUsage": false,
        "creditNotation": if common.as_ref().is_some_and(|one| one.free) { "unnecessary" } else { "required" },
        "allowRedistribution": common.is_some(),
        "modification": match &common {
            Some(common) if common.changes => "allowModificationRedistribution",
            _ => "prohibited",
        },
        "otherLicenseUrl": link,
    })
}

/// A Creative Commons licence that VRM 0.x can name: each allows to give the file on.
struct Common {
    link: &'static str,
    free: bool,
    changes: bool,
}

impl Common {
    fn named(name: &str) -> Option<Self> {
        let (link, free, changes) = match name {
            "CC0" => ("https://creativecommons.org/publicdomain/zero/1.0/", true, true),
            "CC_BY" => ("https://creativecommons.org/licenses/by/4.0/", false, true),
            "CC_BY_NC" => ("https://creativecommons.org/licenses/by-nc/4.0/", false, true),
            "CC_BY_SA" => ("https://creativecommons.org/licenses/by-sa/4.0/", false, true),
            "CC_BY_NC_SA" => ("https://creativecommons.org/licenses/by-nc-sa/4.0/", false, true),
            "CC_BY_ND" => ("https://creativecommons.org/licenses/by-nd/4.0/", false, false),
            "CC_BY_NC_ND" => ("https://creativecommons.org/licenses/by-nc-nd/4.0/", false, false),
            _ => return None,
        };
        Some(Self { link, free, changes })
    }
}

/// Completes the meta of VRM 1.0.
pub(super) fn fill(meta: &mut Value) {
    let Some(map) = meta.as_object_mut() else { return };
    for (name, value) in [
        ("version", json!("")),
        ("copyrightInformation", json!("")),
        ("contactInformation", json!("")),
        ("thirdPartyLicenses", json!("")),
        ("avatarPermission", json!("onlyAuthor")),
        ("allowExcessivelyViolentUsage", json!(false)),
        ("allowExcessivelySexualUsage", json!(false)),
        ("commercialUsage", json!("personalNonProfit")),
        ("allowPoliticalOrReligiousUsage", json!(false)),
        ("allowAntisocialOrHateUsage", json!(false)),
        ("creditNotation", json!("required")),
        ("allowRedistribution", json!(false)),
        ("modification", json!("prohibited")),
    ] {
        map.entry(name).or_insert(value);
    }
    // What may be absent but not empty.
    if map
        .get("references")
        .is_some_and(|references| references.as_array().is_some_and(Vec::is_empty))
    {
        map.remove("references");
    }
    if map.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
        map.insert("name".into(), "avatar".into());
    }
    let authors: Vec<Value> = list(&Value::Object(map.clone()), "authors")
        .iter()
        .filter(|author| *author != "")
        .cloned()
        .collect();
    map.insert(
        "authors".into(),
        if authors.is_empty() { json!(["unknown"]) } else { authors.into() },
    );
    // Clients show it as a link.
    if map.get("otherLicenseUrl").is_some_and(|url| web(url).is_none()) {
        map.remove("otherLicenseUrl");
    }
}
