//! The house keeps itself in order: its invariants and the checkable part of its style, as rules.
//!
//! A rule is a pure function over the project's files, and carries its own proof: small trees that
//! it must find broken, and small trees that it must leave alone.

#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/manifests.rs"]
mod manifests;
#[path = "tidy/prose.rs"]
mod prose;
#[path = "tidy/rust_file.rs"]
mod rust_file;
#[path = "tidy/style.rs"]
mod style;
#[path = "tidy/tree.rs"]
mod tree;

use tree::{Tree, Violation};

/// Files as path and text.
type Sample = &'static [(&'static str, &'static str)];

struct Rule {
    /// What holds, as a sentence.
    name: &'static str,
    check: fn(&Tree) -> Vec<Violation>,
    /// Trees in each of which the rule finds something.
    broken: &'static [Sample],
    /// Trees in which it finds nothing, close to the edge where there is one.
    clean: &'static [Sample],
}

fn rules() -> impl Iterator<Item = &'static Rule> {
    [manifests::RULES, house::RULES, layers::RULES, style::RULES, prose::RULES]
        .into_iter()
        .flatten()
}

#[test]
fn the_project_keeps_every_rule() {
    let tree = Tree::of_project().unwrap();
    let mut report = Vec::new();
    for rule in rules() {
        let violations = (rule.check)(&tree);
        if !violations.is_empty() {
            report.push(format!("{}:", rule.name));
            report.extend(violations.iter().map(|violation| format!("  {violation}")));
        }
    }
    for warning in style::long_files(&tree) {
        println!("warning: {warning}");
    }
    assert!(report.is_empty(), "rules are broken\n{}", report.join("\n"));
}

#[test]
fn every_rule_finds_what_is_planted() {
    for rule in rules() {
        assert!(!rule.broken.is_empty(), "{} proves nothing", rule.name);
        for sample in rule.broken {
            let found = (rule.check)(&Tree::of_sample(sample));
            assert!(!found.is_empty(), "{}: finds nothing in {sample:?}", rule.name);
        }
    }
}

#[test]
fn every_rule_leaves_clean_files_alone() {
    for rule in rules() {
        assert!(!rule.clean.is_empty(), "{} has no clean sample", rule.name);
        for sample in rule.clean {
            let found = (rule.check)(&Tree::of_sample(sample));
            assert!(found.is_empty(), "{}: finds {found:?} in {sample:?}", rule.name);
        }
    }
}
