//! Rules over the code itself: the part of the style that a program can check.

use crate::{
    Rule,
    tree::{TextFile, Tree, Violation, is_kind},
};

const FILE_LINES: usize = 1_000;
const FILE_LINES_WARNED: usize = 600;
const FUNCTION_LINES: usize = 100;
/// Under node/world, where every function is on the path of a tick.
const TICK_FUNCTION_LINES: usize = 70;

/// Words for work that was put off, in parts so that this file does not hold them.
const PUT_OFF: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// A text ten times over, for samples that must be long.
macro_rules! ten {
    ($text:expr) => {
        concat!($text, $text, $text, $text, $text, $text, $text, $text, $text, $text)
    };
}

pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "every Rust file can be parsed",
        check: parses,
        broken: &[&[("specs/src/a.rs", "fn f( {}")]],
        clean: &[&[("specs/src/a.rs", "fn f() {}"), ("README.md", "fn f( {}")]],
    },
    Rule {
        name: "line 1 of a file is one //! sentence",
        check: first_line,
        broken: &[
            &[("specs/src/a.rs", "use a;\n")],
            &[("specs/src/a.rs", "\n//! Late.\n")],
            &[("specs/src/a.rs", "//! not a sentence\n")],
            &[("specs/src/a.rs", "")],
        ],
        clean: &[&[("specs/src/a.rs", "//! A sentence.\n")], &[("a.py", "import a\n")]],
    },
    Rule {
        name: "a file has at most 1,000 lines without its tests",
        check: file_length,
        broken: &[&[("specs/src/a.rs", concat!(ten!(ten!(ten!("mod a;\n"))), "mod b;\n"))]],
        clean: &[&[
            ("specs/src/a.rs", ten!(ten!(ten!("mod a;\n")))),
            (
                "specs/src/b.rs",
                concat!("#[cfg(test)]\nmod tests {\n", ten!(ten!(ten!("mod a;\n"))), "}\n"),
            ),
        ]],
    },
    Rule {
        name: "a function has at most 100 lines, under node/world 70",
        check: function_length,
        broken: &[
            &[("node/src/a.rs", concat!("fn f() {\n", ten!(ten!("g();\n")), "}\n"))],
            &[(
                "node/world/src/a.rs",
                concat!(
                    "impl A { fn f() {\n",
                    ten!("g();\ng();\ng();\ng();\ng();\ng();\ng();\n"),
                    "} }\n"
                ),
            )],
        ],
        clean: &[&[(
            "node/src/a.rs",
            concat!("fn f() {\n", ten!("g();\ng();\ng();\ng();\ng();\ng();\ng();\n"), "}\n"),
        )]],
    },
    Rule {
        name: "nothing outside of tests is unwrapped",
        check: no_unwrap,
        broken: &[
            &[("node/src/a.rs", "fn f() { a().unwrap(); }")],
            &[("tests/src/a.rs", "fn f() { ensure!(a.unwrap()); }")],
        ],
        clean: &[
            &[(
                "node/src/a.rs",
                "fn f() { a.unwrap_or(1); a.expect(\"why this holds\"); }\n#[cfg(test)]\nmod tests { fn g() { a.unwrap(); } }",
            )],
            &[("tests/flows/a.rs", "fn f() { a.unwrap(); }")],
            &[("federation/tests/a.rs", "fn f() { a.unwrap(); }")],
            &[("federation/benches/a.rs", "fn f() { a.unwrap(); }")],
            &[
                ("node/src/a.rs", "#[cfg(test)]\nmod testing;"),
                ("node/src/a/testing.rs", "fn f() { a.unwrap(); }"),
            ],
        ],
    },
    Rule {
        name: "a lint is expected with its reason, never allowed",
        check: no_allow,
        broken: &[
            &[("specs/src/a.rs", "#[allow(dead_code)]\nfn f() {}")],
            &[("specs/src/lib.rs", "#![allow(clippy::all)]\n")],
            &[("specs/src/a.rs", "#[expect(dead_code)]\nfn f() {}")],
        ],
        clean: &[&[(
            "specs/src/a.rs",
            "#[expect(dead_code, reason = \"until step 2\")]\nfn f() { \"#[allow(a)]\"; }",
        )]],
    },
    Rule {
        name: "unsafe code is in one module of the native client at most",
        check: no_unsafe,
        broken: &[&[("node/src/a.rs", "fn f() { unsafe { g() } }")]],
        clean: &[&[
            ("client-xr/src/ffi.rs", "fn f() { unsafe { g() } }"),
            ("node/src/a.rs", "//! Not unsafe.\n"),
        ]],
    },
    Rule {
        name: "no work is put off in a comment",
        check: nothing_put_off,
        broken: &[
            &[("specs/src/a.rs", concat!("// TO", "DO: more\n"))],
            &[("README.md", concat!("FIX", "ME\n"))],
        ],
        clean: &[&[("specs/src/a.rs", "// What is to do is done.\n")]],
    },
    Rule {
        name: "no code is kept in a comment",
        check: no_code_in_comments,
        broken: &[
            &[("specs/src/a.rs", "fn f() {\n    // let a = b(c);\n}\n")],
            &[("specs/src/a.rs", "// if a == b {\n")],
            &[("specs/src/a.rs", "// self.go(there)?;\n")],
        ],
        clean: &[&[(
            "specs/src/a.rs",
            "// It is late; the others have gone;\n// if they come back, they wait.\n/// ```\n/// let a = b;\n/// ```\nfn f() {}\n// }\n",
        )]],
    },
    Rule {
        name: "secrets can neither be printed nor compared in variable time",
        check: secrets_are_silent,
        broken: &[
            &[("identity/src/a.rs", "#[derive(Clone, Debug)]\nstruct AccessToken(String);")],
            &[("node/src/a.rs", "#[derive(serde::Serialize)]\npub struct SigningSecret { a: u8 }")],
            &[("node/src/a.rs", "#[derive(PartialEq)]\npub struct Password(String);")],
        ],
        clean: &[&[(
            "node/src/a.rs",
            "#[derive(Clone)]\nstruct AccessToken(String);\n#[derive(Debug)]\nstruct TokenKind;",
        )]],
    },
    Rule {
        name: "stories neither sleep nor take a fixed port",
        check: stories_wait_for_facts,
        broken: &[
            &[("tests/flows/a.rs", "async fn f() { tokio::time::sleep(a).await; }")],
            &[("tests/flows/a.rs", "fn f() { g(\"127.0.0.1:8008\"); }")],
            &[("tests/flows/a.py", "    await asyncio.sleep(1)\n")],
        ],
        clean: &[&[
            ("tests/flows/a.rs", "fn f() { g(\"127.0.0.1:0\"); asleep(); }"),
            ("node/src/a.rs", "fn f() { sleep(a); }"),
        ]],
    },
];

/// Files that will break their limit soon.
pub(crate) fn long_files(tree: &Tree) -> Vec<Violation> {
    let long = tree.rust.iter().filter(|file| file.product_lines > FILE_LINES_WARNED);
    long.map(|file| {
        Violation::in_file(&file.path, format!("{} lines without tests", file.product_lines))
    })
    .collect()
}

fn parses(tree: &Tree) -> Vec<Violation> {
    let parsed = |path: &str| tree.rust.iter().any(|file| file.path == path);
    let broken = tree.texts_of("rs").filter(|file| !parsed(&file.path));
    broken.map(|file| Violation::in_file(&file.path, "is not Rust")).collect()
}

fn first_line(tree: &Tree) -> Vec<Violation> {
    let is_sentence = |line: &str| line.starts_with("//! ") && line.ends_with(['.', '?', '!']);
    let without =
        tree.texts_of("rs").filter(|file| !file.text.lines().next().is_some_and(is_sentence));
    without
        .map(|file| Violation::in_file(&file.path, "does not begin with a //! sentence"))
        .collect()
}

fn file_length(tree: &Tree) -> Vec<Violation> {
    let long = tree.rust.iter().filter(|file| file.product_lines > FILE_LINES);
    long.map(|file| {
        Violation::in_file(&file.path, format!("{} lines without tests", file.product_lines))
    })
    .collect()
}

fn function_length(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.rust {
        let in_tick = file.path.starts_with("node/world/");
        let limit = if in_tick { TICK_FUNCTION_LINES } else { FUNCTION_LINES };
        for function in file.functions.iter().filter(|function| function.length > limit) {
            let what = format!("{} has {} lines of {limit}", function.name, function.length);
            violations.push(Violation::at(&file.path, function.line, what));
        }
    }
    violations
}

fn no_unwrap(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust.iter().filter(|file| !file.is_test) {
        let lines = file.finds(&[".", "unwrap", "("]).into_iter();
        violations.extend(lines.map(|line| Violation::at(&file.path, line, "unwraps")));
    }
    violations
}

fn no_allow(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.rust {
        for (name, line) in &file.attributes {
            if name == "allow" {
                violations.push(Violation::at(&file.path, *line, "allows a lint"));
            }
        }
        for (at, token) in
            file.tokens.iter().enumerate().filter(|(_, token)| token.text == "expect")
        {
            let is_attribute = at > 0 && file.tokens[at - 1].text == "[";
            let end = file.tokens[at..].iter().position(|token| token.text == "]").unwrap_or(0);
            let has_reason = file.tokens[at..at + end].iter().any(|token| token.text == "reason");
            if is_attribute && !has_reason {
                violations.push(Violation::at(
                    &file.path,
                    token.line,
                    "expects a lint without a reason",
                ));
            }
        }
    }
    violations
}

fn no_unsafe(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let is_ffi = |path: &str| path.starts_with("client-xr/") && path.contains("/ffi");
    for file in tree.rust.iter().filter(|file| !is_ffi(&file.path)) {
        let lines = file.finds(&["unsafe"]).into_iter();
        violations.extend(lines.map(|line| Violation::at(&file.path, line, "is unsafe")));
    }
    violations
}

fn nothing_put_off(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    // Licences and lock files are not ours to word.
    let ours = |file: &&TextFile| !["LICENSE", "Cargo.lock"].contains(&file.path.as_str());
    for file in tree.texts.iter().filter(ours) {
        for (number, line) in file.lines() {
            let mut words = line.split(|letter: char| !letter.is_alphanumeric());
            if words.any(|word| PUT_OFF.contains(&word)) {
                violations.push(Violation::at(&file.path, number, "puts work off"));
            }
        }
    }
    violations
}

fn no_code_in_comments(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.texts_of("rs") {
        for (number, line) in file.lines() {
            let comment =
                line.trim_start().strip_prefix("//").filter(|rest| !rest.starts_with(['/', '!']));
            if comment.is_some_and(|comment| is_code(comment.trim())) {
                violations.push(Violation::at(&file.path, number, "keeps code in a comment"));
            }
        }
    }
    violations
}

/// Prose hardly ever parses as a statement; what opens a block must begin as code does.
fn is_code(comment: &str) -> bool {
    const BEGINNINGS: [&str; 9] =
        ["fn ", "pub ", "impl ", "struct ", "enum ", "if ", "for ", "while ", "match "];
    let opens = comment.ends_with('{') && BEGINNINGS.iter().any(|start| comment.starts_with(start));
    let is_statement = comment.ends_with(';') && syn::parse_str::<Statement>(comment).is_ok();
    opens || is_statement
}

struct Statement;

impl syn::parse::Parse for Statement {
    fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<Self> {
        syn::Block::parse_within(input).map(|_| Self)
    }
}

fn secrets_are_silent(tree: &Tree) -> Vec<Violation> {
    const SECRETS: [&str; 4] = ["Password", "Secret", "AccessToken", "PrivateKey"];
    const TELLING: [&str; 5] = ["Debug", "Serialize", "PartialEq", "PartialOrd", "Hash"];
    let mut violations = Vec::new();
    for file in
        tree.rust_under(&["identity/src/", "federation/src/", "node/src/", "node/world/src/"])
    {
        for kind in
            file.types.iter().filter(|kind| SECRETS.iter().any(|end| kind.name.ends_with(end)))
        {
            for derive in kind.derives.iter().filter(|derive| TELLING.contains(&derive.as_str())) {
                let what = format!("the secret {} derives {derive}", kind.name);
                violations.push(Violation::at(&file.path, kind.line, what));
            }
        }
    }
    violations
}

fn stories_wait_for_facts(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in tree.rust_under(&["tests/flows/"]) {
        let sleeps = file.finds(&["sleep", "("]).into_iter();
        violations.extend(sleeps.map(|line| Violation::at(&file.path, line, "sleeps")));
        let ports = file.strings().filter(|string| has_fixed_port(&string.text));
        violations.extend(
            ports.map(|string| Violation::at(&file.path, string.line, "takes a fixed port")),
        );
    }
    for file in tree
        .texts
        .iter()
        .filter(|file| file.path.starts_with("tests/flows/") && is_kind(&file.path, "py"))
    {
        let sleeps = file.lines().filter(|(_, line)| line.contains("sleep("));
        violations.extend(sleeps.map(|(number, _)| Violation::at(&file.path, number, "sleeps")));
    }
    violations
}

fn has_fixed_port(literal: &str) -> bool {
    let places = ["127.0.0.1:", "localhost:", "0.0.0.0:"];
    places.iter().filter_map(|place| literal.split_once(place)).any(|(_, port)| {
        let digits: String = port.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().is_ok_and(|port: u16| port != 0)
    })
}
