//! Inspection of uploaded 3D files: whether a GLB or a VRM can be shown to others without harm.
//!
//! [`asset`] looks at any GLB: its container, the tables of glTF 2.0, every index, every byte range,
//! every number, and its counts against [`Limits`]. [`avatar`] adds the rules of VRM 1.0 and 0.x,
//! reads what the author allows, and writes an accepted file anew as VRM 1.0 with every optional
//! field filled in, facing +Z. Both answer with a [`Report`] that is shown to who uploaded the file.
//!
//! Its invariant: whatever the bytes are, there is an answer and no panic, in time and memory that
//! the length of the file and the limits bound; nothing is allocated for what a file merely claims.
//! What [`Asset`] hands out was checked, so who reads it need not check again.
//!
//! ```
//! use wayside_world::inspect::{Limits, asset, avatar};
//!
//! let inspection = avatar(b"not a model");
//! assert!(!inspection.report.accepted && inspection.report.has("NOT_A_GLB"));
//! assert!(asset(b"glTF", &Limits::SCENE).is_err());
//! ```

mod accessor;
mod animation;
mod container;
mod core;
mod geometry;
mod limits;
mod normalise;
mod pictures;
mod report;
mod scene;
mod schema;
#[cfg(test)]
mod tests;
mod vrm;

use serde_json::Value;

use self::{
    accessor::{Accessor, View},
    report::Issues,
    scene::Forest,
};
pub use self::{
    geometry::Triangles,
    limits::Limits,
    report::{Counts, ISSUES_MAX, Issue, Licence, Rank, Report, Severity},
    scene::Matrix,
};

/// A GLB whose structure was checked.
pub struct Asset<'a> {
    parts: Parts<'a>,
    document: gltf::Document,
    report: Report,
}

impl<'a> Asset<'a> {
    /// What was found, without any error.
    #[must_use]
    pub const fn report(&self) -> &Report {
        &self.report
    }

    /// Its JSON. Every index in the properties of glTF 2.0 itself is in range.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.parts.root
    }

    /// Its JSON as the types of the crate `gltf`.
    #[must_use]
    pub const fn document(&self) -> &gltf::Document {
        &self.document
    }

    /// Its BIN chunk, in which every accessor and every image lies.
    #[must_use]
    pub const fn bin(&self) -> &'a [u8] {
        self.parts.bin
    }

    /// Positions and triangles of a primitive, in the space of its mesh, with what quantised and
    /// sparse accessors store decoded, and strips and fans taken apart. `None` for points and lines,
    /// and where there is no such primitive. Every corner is below the number of positions.
    #[must_use]
    pub fn triangles(&self, mesh: usize, primitive: usize) -> Option<Triangles> {
        geometry::triangles(&self.parts, mesh, primitive)
    }

    /// Where a node stands, as columns; the identity where there is no such node.
    #[must_use]
    pub fn world_transform(&self, node: usize) -> Matrix {
        self.parts.forest.worlds.get(node).copied().unwrap_or(scene::IDENTITY)
    }

    /// The nodes of the scene that is shown, with where they stand.
    pub fn shown_nodes(&self) -> impl Iterator<Item = (usize, Matrix)> {
        let forest = &self.parts.forest;
        let all = forest.worlds.iter().zip(&forest.shown).enumerate();
        all.filter(|(_, (_, shown))| **shown).map(|(node, (world, _))| (node, *world))
    }

    /// A point of a node's space, in the space of the scene.
    #[must_use]
    pub fn to_scene(&self, node: usize, point: [f32; 3]) -> [f32; 3] {
        scene::apply(&self.world_transform(node), point)
    }
}

/// The result of looking at an avatar.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// What was found.
    pub report: Report,
    /// The avatar as VRM 1.0 with every optional field written; where it is accepted.
    pub normalised: Option<Vec<u8>>,
}

/// Looks at the structure of any GLB. Half a second of work for 20 MB at most: the caller does it on
/// a thread for such work.
///
/// # Errors
/// The report, where it holds an error.
#[expect(clippy::result_large_err, reason = "made once for a file of megabytes")]
pub fn asset<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Asset<'a>, Report> {
    let (mut issues, mut counts) = (Issues::default(), Counts::default());
    let parts = examine(bytes, limits, &mut counts, &mut issues);
    let document = parts.as_ref().and_then(|parts| document(parts.json, &mut issues));
    match (parts, document) {
        (Some(parts), Some(document)) if !issues.refused() => {
            Ok(Asset { parts, document, report: issues.report(counts, None) })
        }
        _ => Err(issues.report(counts, None)),
    }
}

/// Looks at an avatar: at most [`Limits::AVATAR`], of VRM 1.0 or 0.x. The same bytes give the same
/// answer, and the normalised bytes, looked at again, are accepted and give themselves.
#[must_use]
pub fn avatar(bytes: &[u8]) -> Inspection {
    let (mut issues, mut counts) = (Issues::default(), Counts::default());
    let parts = examine(bytes, &Limits::AVATAR, &mut counts, &mut issues);
    let Some(parts) = parts.filter(|_| !issues.refused()) else {
        return Inspection { report: issues.report(counts, None), normalised: None };
    };
    let licence = vrm::check(&parts, &mut counts, &mut issues);
    let mut normalised = None;
    if !issues.refused() {
        let bytes = normalise::avatar(parts);
        // Nothing that is handed to others goes unseen, not even what was written here.
        let (mut again, mut counted) = (Issues::default(), Counts::default());
        let parts = examine(&bytes, &Limits::AVATAR, &mut counted, &mut again);
        if let Some(parts) = &parts {
            vrm::check(parts, &mut counted, &mut again);
        }
        if again.refused() {
            let report = again.report(counted, None);
            let first = report.issues.iter().find(|issue| issue.severity == Severity::Error);
            let what = first
                .map_or_else(String::new, |issue| format!("{}: {}", issue.code, issue.message));
            issues.error("NOT_CONVERTIBLE", "", format!("it cannot be written as VRM 1.0: {what}"));
        } else {
            normalised = Some(bytes);
        }
    }
    Inspection { report: issues.report(counts, licence), normalised }
}

/// What was found to be a GLB, with its parts taken out.
struct Parts<'a> {
    root: Value,
    json: &'a [u8],
    bin: &'a [u8],
    views: Vec<View>,
    accessors: Vec<Accessor>,
    forest: Forest,
}

/// Checks the structure, each step on the ground that the one before it has made firm.
fn examine<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    counts: &mut Counts,
    issues: &mut Issues,
) -> Option<Parts<'a>> {
    counts.bytes = bytes.len() as u64;
    let opened = container::open(bytes, limits, issues)?;
    let (root, json, bin) = (opened.root, opened.json, opened.bin);
    core::check(&root, issues);
    if issues.refused() {
        return None;
    }
    counts.nodes = list(&root, "nodes").len() as u64;
    counts.materials = list(&root, "materials").len() as u64;
    counts.textures = list(&root, "images").len() as u64;
    let (bones, joints) = scene::joints(&root);
    counts.bones = bones;
    for (code, is, most, what) in [
        ("TOO_MANY_MATERIALS", counts.materials, limits.materials, "materials"),
        ("TOO_MANY_BONES", bones, limits.bones, "bones"),
        ("TOO_MANY_BONES", joints, 8 * limits.bones, "joints of skins"),
    ] {
        if is > most {
            issues.error(code, "", format!("{is} {what}; at most {most} would be right"));
        }
    }
    let views = accessor::views(&root, bin, issues);
    let forest = scene::forest(&root, limits, issues);
    let forest = forest.filter(|_| !issues.refused())?;
    let accessors = accessor::accessors(&root, &views, bin, limits, issues);
    if issues.refused() {
        return None;
    }
    let parts = Parts { root, json, bin, views, accessors, forest };
    if !geometry::count(&parts, limits, counts, issues) {
        return None;
    }
    accessor::numbers(&parts, issues);
    geometry::check(&parts, issues);
    scene::skins(&parts, issues);
    animation::check(&parts, issues);
    counts.texture_bytes = pictures::check(&parts, limits, issues);
    let metres = geometry::reach(&parts);
    if metres > limits.metres {
        let message =
            format!("it reaches {metres} metres; at most {} would be right", limits.metres);
        issues.error("TOO_LARGE", "/scenes", message);
    }
    Some(parts)
}

/// The types of the crate `gltf`; what it cannot read, the scene reader could not use.
fn document(json: &[u8], issues: &mut Issues) -> Option<gltf::Document> {
    if issues.refused() {
        return None;
    }
    match serde_json::from_slice(json) {
        Ok(root) => Some(gltf::Document::from_json_without_validation(root)),
        Err(error) => {
            issues.error("JSON_BROKEN", "", format!("the JSON is not that of a glTF: {error}"));
            None
        }
    }
}

/// The list of that name; an empty one where there is none.
fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The count of that name; zero where there is none.
fn number(value: &Value, name: &str) -> usize {
    index(value, name).unwrap_or(0)
}

/// The index of that name.
fn index(value: &Value, name: &str) -> Option<usize> {
    usize::try_from(value.get(name)?.as_u64()?).ok()
}

/// The numbers of that name, if there are so many of them.
#[expect(clippy::cast_possible_truncation, reason = "each was found to fit")]
fn numbers<const N: usize>(value: &Value, name: &str) -> Option<[f32; N]> {
    let list: Vec<f32> =
        list(value, name).iter().filter_map(|number| Some(number.as_f64()? as f32)).collect();
    list.try_into().ok()
}

/// Whether an asset says that it uses an extension.
fn uses(root: &Value, extension: &str) -> bool {
    list(root, "extensionsUsed").iter().any(|used| used == extension)
}
