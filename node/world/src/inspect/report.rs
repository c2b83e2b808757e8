//! What an inspection says: counts, a rank, the licence, and what is wrong and where.

use serde::Serialize;

/// Most issues of a report; one more says how many were left out.
pub const ISSUES_MAX: usize = 200;
/// Most issues of one code, so that a thousand of one kind do not hide the rest.
const SAME_CODE_MAX: usize = 20;

/// The result of an inspection, as it is shown to who uploaded the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether the file may be used: there is no error among the issues.
    pub accepted: bool,
    /// How heavy it is to draw.
    pub rank: Rank,
    /// What it is made of.
    pub counts: Counts,
    /// What its author allows; only avatars carry this.
    pub licence: Option<Licence>,
    /// What was found, in the order of finding.
    pub issues: Vec<Issue>,
}

impl Report {
    /// Whether an issue of that code was found.
    #[must_use]
    pub fn has(&self, code: &str) -> bool {
        self.issues.iter().any(|issue| issue.code == code)
    }
}

/// Something that was found in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Issue {
    /// What it is, for programs: `UPPER_SNAKE`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where: a JSON pointer (RFC 6901) into the JSON of the glTF, or `/bin`.
    pub pointer: String,
    /// What is wrong and what would be right, for people.
    pub message: String,
}

/// How bad an issue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file works, but not quite as meant.
    Warning,
    /// Worth knowing.
    Information,
}

/// How heavy a file is to draw, by the worst of its counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    /// Light on every device.
    Excellent,
    /// Light on most devices.
    Good,
    /// Fine in small groups.
    Medium,
    /// Fine for one or two in a room.
    Poor,
    /// Heavier than all of these, or refused.
    VeryPoor,
}

/// What a file is made of. What several nodes share counts once for each, as it is drawn.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Bytes of the file.
    pub bytes: u64,
    /// Triangles that are drawn.
    pub triangles: u64,
    /// Vertices that are drawn.
    pub vertices: u64,
    /// Primitives that are drawn: draw calls.
    pub draws: u64,
    /// Materials.
    pub materials: u64,
    /// Nodes.
    pub nodes: u64,
    /// Nodes that are joints of skins.
    pub bones: u64,
    /// Morph targets of all meshes.
    pub morph_targets: u64,
    /// Images.
    pub textures: u64,
    /// Bytes of all images when they are decoded, four a pixel.
    pub texture_bytes: u64,
    /// Nodes that springs move.
    pub spring_joints: u64,
}

/// What an author allows, in the words of VRM 1.0; what is not said is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a permission of its own")]
pub struct Licence {
    /// The name of the avatar.
    pub name: String,
    /// Who made it.
    pub authors: Vec<String>,
    /// Who may wear it: `onlyAuthor`, `onlySeparatelyLicensedPerson` or `everyone`.
    pub avatar_permission: &'static str,
    /// Whether it may be shown in acts of excessive violence.
    pub violent: bool,
    /// Whether it may be shown in sexual acts.
    pub sexual: bool,
    /// Whether it may be used for politics or religion.
    pub political: bool,
    /// Whether it may be used in antisocial or hateful ways.
    pub antisocial: bool,
    /// `personalNonProfit`, `personalProfit` or `corporation`.
    pub commercial: &'static str,
    /// Whether it may be given on.
    pub redistribution: bool,
    /// `prohibited`, `allowModification` or `allowModificationRedistribution`.
    pub modification: &'static str,
    /// Whether the author must be named.
    pub credit_required: bool,
    /// Where the licence stands.
    pub licence_url: Option<String>,
    /// Where further terms stand; only addresses of the web.
    pub other_licence_url: Option<String>,
}

/// Gathers issues within their bounds.
#[derive(Default)]
pub(super) struct Issues {
    list: Vec<Issue>,
    left_out: usize,
    errors: usize,
}

impl Issues {
    pub(super) fn error(
        &mut self,
        code: &'static str,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.errors += 1;
        self.add(code, Severity::Error, pointer.into(), message.into());
    }

    pub(super) fn warn(
        &mut self,
        code: &'static str,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.add(code, Severity::Warning, pointer.into(), message.into());
    }

    pub(super) fn tell(
        &mut self,
        code: &'static str,
        pointer: impl Into<String>,
        message: impl Into<String>,
    ) {
        self.add(code, Severity::Information, pointer.into(), message.into());
    }

    /// Whether the file is refused already.
    pub(super) fn refused(&self) -> bool {
        self.errors > 0
    }

    fn add(
        &mut self,
        code: &'static str,
        severity: Severity,
        pointer: String,
        mut message: String,
    ) {
        // The first error is kept whatever came before it: it says why the file is refused.
        let first_error = severity == Severity::Error && self.errors == 1;
        let same = self.list.iter().filter(|issue| issue.code == code).count();
        if !first_error && (self.list.len() >= ISSUES_MAX || same >= SAME_CODE_MAX) {
            self.left_out += 1;
            return;
        }
        if self.list.len() >= ISSUES_MAX {
            self.list.pop();
            self.left_out += 1;
        }
        shorten(&mut message, 300);
        let mut pointer = pointer;
        shorten(&mut pointer, 300);
        self.list.push(Issue { code, severity, pointer, message });
    }

    /// The report; a file with an error is of the lowest rank.
    pub(super) fn report(mut self, counts: Counts, licence: Option<Licence>) -> Report {
        if self.left_out > 0 {
            self.list.push(Issue {
                code: "MORE_ISSUES",
                severity: Severity::Information,
                pointer: String::new(),
                message: format!("{} more issues are not listed", self.left_out),
            });
        }
        let accepted = self.errors == 0;
        let rank = if accepted { super::limits::rank(&counts) } else { Rank::VeryPoor };
        Report { accepted, rank, counts, licence, issues: self.list }
    }
}

/// Cuts a text of a stranger to at most so many bytes, at the border of a letter.
pub(super) fn shorten(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}

/// One more token of a JSON pointer, escaped as RFC 6901 wants it.
pub(super) fn token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_issues_are_bounded_and_the_first_error_stays() {
        const CODES: [&str; 12] = ["A", "B", "C", "D", "E", "F", "G", "H", "I", "J", "K", "L"];
        let mut issues = Issues::default();
        for code in CODES {
            for _ in 0..30 {
                issues.warn(code, "/nodes/0", "wrong");
            }
        }
        issues.error("LATE", "/bin", "too late");
        issues.error("LATE", "/bin", "later");
        let report = issues.report(Counts::default(), None);
        assert!(!report.accepted && report.rank == Rank::VeryPoor && report.has("LATE"));
        assert_eq!(report.issues.len(), ISSUES_MAX + 1);
        let last = report.issues.last().unwrap();
        assert_eq!((last.code, &last.message[..3]), ("MORE_ISSUES", "162"));
    }

    #[test]
    fn texts_are_cut_between_letters() {
        let mut text = "äöü".to_owned();
        shorten(&mut text, 3);
        assert_eq!(text, "ä…");
        assert_eq!(token("a/b~c"), "a~1b~0c");
    }
}
