//! Rules over the specifications: every MUST has a number and a test that holds it.

use crate::{
    Rule,
    tree::{TextFile, Tree, Violation},
};

pub(crate) const RULES: &[Rule] = &[Rule {
    name: "each MUST in specs/ carries a number, is held by a test that exists, and is numbered once",
    check: musts,
    broken: &[
        &[("specs/pose.md", "A decoder MUST refuse it.\n")],
        &[("specs/pose.md", "**POSE-1** A decoder MUST refuse it.\n")],
        &[("specs/pose.md", "**POSE-1** A decoder MUST refuse it. (held by `nobody`)\n")],
        &[
            (
                "specs/pose.md",
                "- **POSE-1** It MUST be. (held by `it_is`)\n- **POSE-1** That MUST be. (held by `it_is`)\n",
            ),
            ("tests/flows/a.rs", "fn it_is() {}"),
        ],
    ],
    clean: &[
        &[
            (
                "specs/pose.md",
                "- **POSE-1** A decoder\n  MUST refuse it. (held by `it_is` and\n  `pose/edge`)\n- Free prose must not.\n\n```\nMUST\n```\n",
            ),
            ("node/world/src/a.rs", "#[cfg(test)]\nmod tests { fn it_is() {} }"),
            ("conformance/cases/pose/edge.rs", "//! It.\n"),
        ],
        &[("README.md", "You MUST see it.\n")],
    ],
}];

fn musts(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut numbers = Vec::new();
    for file in tree.texts_of("md").filter(|file| file.path.starts_with("specs/")) {
        for (line, text) in paragraphs(file) {
            if !text.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == "MUST") {
                continue;
            }
            let mut violation =
                |what: String| violations.push(Violation::at(&file.path, line, what));
            match number(&text) {
                None => violation("a MUST without a number: begin it with **NAME-1**".to_owned()),
                Some(number) if numbers.contains(&number) => {
                    violation(format!("{number} is given twice"));
                }
                Some(number) => numbers.push(number),
            }
            let holders = holders(&text);
            if holders.is_empty() {
                violation("a MUST that nothing holds: end it with (held by `test`)".to_owned());
            }
            for holder in holders.iter().filter(|holder| !exists(tree, holder)) {
                violation(format!("held by {holder}, which does not exist"));
            }
        }
    }
    violations
}

/// Paragraphs and list items with the lines they begin on, without code blocks.
fn paragraphs(file: &TextFile) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let (mut in_code, mut goes_on) = (false, false);
    for (number, line) in file.lines() {
        let text = line.trim();
        if text.starts_with("```") {
            in_code = !in_code;
        }
        if in_code || text.is_empty() || text.starts_with("```") {
            goes_on = false;
            continue;
        }
        let begins = text.starts_with("- ") || text.starts_with("* ") || text.starts_with("**");
        match found.last_mut() {
            Some((_, paragraph)) if goes_on && !begins => {
                paragraph.push(' ');
                paragraph.push_str(text);
            }
            _ => found.push((number, text.to_owned())),
        }
        goes_on = true;
    }
    found
}

/// The number that a paragraph begins with: `**NAME-1**`.
fn number(paragraph: &str) -> Option<String> {
    let text = paragraph.trim_start_matches(['-', '*', ' ']);
    let number = text.split("**").next()?;
    let (name, digits) = number.rsplit_once('-')?;
    let right = !name.is_empty()
        && name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '-')
        && digits.parse::<u32>().is_ok();
    right.then(|| number.to_owned())
}

/// The names in backquotes after "held by".
fn holders(paragraph: &str) -> Vec<String> {
    let Some((_, list)) = paragraph.split_once("(held by ") else {
        return Vec::new();
    };
    let list = list.split(')').next().unwrap_or_default();
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// A holder is a test function, or a case of the conformance suite by its path.
fn exists(tree: &Tree, holder: &str) -> bool {
    let is_function =
        || tree.rust.iter().any(|file| file.all_functions.iter().any(|name| name == holder));
    let is_case =
        || tree.paths.iter().any(|path| path.starts_with(&format!("conformance/cases/{holder}.")));
    is_function() || is_case()
}
