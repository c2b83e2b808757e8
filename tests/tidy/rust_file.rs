//! A parsed Rust file: its tokens, imports, functions and attributes, with tests set apart.

use std::ops::RangeInclusive;

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use syn::{Attribute, UseTree, spanned::Spanned, visit::Visit};

use crate::tree::TextFile;

/// One word, mark or literal, and the line that it is on.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A function with a body.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From its signature to its closing brace.
    pub(crate) length: usize,
}

/// An imported path, with groups taken apart: `use a::{b, c}` is two of them.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

/// A `struct` or `enum` and what it derives.
#[derive(Debug)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) derives: Vec<String>,
    pub(crate) line: usize,
}

/// A Rust file, taken apart.
#[derive(Debug)]
pub(crate) struct RustFile {
    pub(crate) path: String,
    /// Lines that are not part of a test module.
    pub(crate) product_lines: usize,
    pub(crate) functions: Vec<Function>,
    /// Names of attributes with the lines they are on.
    pub(crate) attributes: Vec<(String, usize)>,
    pub(crate) imports: Vec<Import>,
    pub(crate) types: Vec<Type>,
    /// Every token outside of test modules; comments and documentation are none.
    pub(crate) tokens: Vec<Token>,
    /// Every name of a function, those of tests too.
    pub(crate) all_functions: Vec<String>,
    /// Whether the whole file is for tests.
    pub(crate) is_test: bool,
    /// Modules for tests that stand in files of their own.
    test_modules: Vec<String>,
}

impl RustFile {
    /// Takes a file apart, or returns `None` where it is not Rust.
    pub(crate) fn parse(file: &TextFile) -> Option<Self> {
        let syntax = syn::parse_file(&file.text).ok()?;
        let mut parts = Parts::default();
        parts.visit_file(&syntax);
        let in_tests = |line: usize| parts.tests.iter().any(|lines| lines.contains(&line));

        let mut tokens = Vec::new();
        flatten(file.text.parse().ok()?, &mut tokens);
        tokens.retain(|token| !in_tests(token.line));
        let lines = file.text.lines().count();
        let all_functions = parts.functions.iter().map(|function| function.name.clone()).collect();
        Some(Self {
            path: file.path.clone(),
            is_test: is_test_by_place(&file.path),
            test_modules: parts.test_modules,
            product_lines: (1..=lines).filter(|line| !in_tests(*line)).count(),
            tokens,
            all_functions,
            imports: parts.imports.into_iter().filter(|import| !in_tests(import.line)).collect(),
            types: parts.types,
            functions: parts.functions,
            attributes: parts.attributes,
        })
    }

    /// The lines on which this sequence of tokens begins, outside of tests. `::` is one token.
    pub(crate) fn finds(&self, sequence: &[&str]) -> Vec<usize> {
        self.tokens
            .windows(sequence.len())
            .filter(|window| {
                window.iter().map(|token| token.text.as_str()).eq(sequence.iter().copied())
            })
            .map(|window| window[0].line)
            .collect()
    }

    /// The lines on which a module is named: in a path, an import, or as a field that is called into.
    pub(crate) fn names_module(&self, module: &str) -> Vec<usize> {
        let mut lines = self.finds(&[module, "::"]);
        lines.extend(self.finds(&["::", module]));
        lines.extend(self.finds(&[".", module, "."]));
        // Further inside an import a `::` follows, which is found above.
        let ends_in = |import: &&Import| import.segments.last().is_some_and(|last| last == module);
        lines.extend(self.imports.iter().filter(ends_in).map(|import| import.line));
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    /// The string literals outside of tests and documentation, as they stand in the file.
    pub(crate) fn strings(&self) -> impl Iterator<Item = &Token> {
        let is_string = |text: &str| text.ends_with(['"', '#']) && text.contains('"');
        self.tokens.iter().filter(move |token| is_string(&token.text))
    }

    /// The starts of paths that belong to modules which this file declares for tests.
    pub(crate) fn test_places(&self) -> Vec<String> {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let is_door = ["lib.rs", "main.rs", "mod.rs"].contains(&name);
        let inside = if is_door { folder } else { self.path.trim_end_matches(".rs") };
        let places =
            |module: &String| [format!("{inside}/{module}.rs"), format!("{inside}/{module}/")];
        self.test_modules.iter().flat_map(places).collect()
    }

    /// Takes all of it for tests: nothing in it is product.
    pub(crate) fn set_apart(&mut self) {
        self.is_test = true;
        self.product_lines = 0;
        self.tokens.clear();
        self.imports.clear();
        self.types.clear();
    }
}

/// Stories and the rules themselves are for tests although nothing declares them so; their tokens
/// stay, because there are rules for stories.
fn is_test_by_place(path: &str) -> bool {
    let places = ["tests/flows/", "tests/sim/", "tests/tidy"];
    places.iter().any(|place| path.starts_with(place))
}

#[derive(Default)]
struct Parts {
    tests: Vec<RangeInclusive<usize>>,
    test_modules: Vec<String>,
    functions: Vec<Function>,
    attributes: Vec<(String, usize)>,
    imports: Vec<Import>,
    types: Vec<Type>,
}

impl Parts {
    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.span().start().line;
        let length = block.brace_token.span.close().end().line + 1 - line;
        self.functions.push(Function { name: signature.ident.to_string(), line, length });
    }

    fn define(&mut self, name: &syn::Ident, attributes: &[Attribute]) {
        let mut derives = Vec::new();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("derive")) {
            // A derive that cannot be read derives nothing that we know.
            let _ = attribute.parse_nested_meta(|meta| {
                derives.extend(meta.path.segments.last().map(|segment| segment.ident.to_string()));
                Ok(())
            });
        }
        self.types.push(Type { name: name.to_string(), derives, line: name.span().start().line });
    }
}

impl<'ast> Visit<'ast> for Parts {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if is_for_tests(&item.attrs) {
            self.tests.push(item.span().start().line..=item.span().end().line);
            if item.content.is_none() {
                self.test_modules.push(item.ident.to_string());
            }
        }
        syn::visit::visit_item_mod(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        syn::visit::visit_trait_item_fn(self, item);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Some(name) = attribute.path().segments.last() {
            self.attributes.push((name.ident.to_string(), attribute.span().start().line));
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        take_apart(&item.tree, Vec::new(), &mut self.imports);
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.define(&item.ident, &item.attrs);
        syn::visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.define(&item.ident, &item.attrs);
        syn::visit::visit_item_enum(self, item);
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    };
    attributes.iter().any(is_test)
}

fn take_apart(tree: &UseTree, mut segments: Vec<String>, imports: &mut Vec<Import>) {
    let line = tree.span().start().line;
    match tree {
        UseTree::Path(path) => {
            segments.push(path.ident.to_string());
            take_apart(&path.tree, segments, imports);
        }
        UseTree::Group(group) => {
            for item in &group.items {
                take_apart(item, segments.clone(), imports);
            }
        }
        UseTree::Name(syn::UseName { ident }) | UseTree::Rename(syn::UseRename { ident, .. }) => {
            segments.push(ident.to_string());
            imports.push(Import { segments, line });
        }
        UseTree::Glob(_) => imports.push(Import { segments, line }),
    }
}

/// Tokens in the order of the file, with groups opened. Documentation, which the parser turns into
/// attributes, is left out.
fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        let line = tree.span().start().line;
        let mut push = |text: String| tokens.push(Token { text, line });
        match tree {
            TokenTree::Group(group) if is_documentation(&group) => {}
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                push(open.to_owned());
                flatten(group.stream(), tokens);
                let line = group.span_close().start().line;
                tokens.push(Token { text: close.to_owned(), line });
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' && mark.spacing() == Spacing::Joint => {
                let second = |next: &TokenTree| matches!(next, TokenTree::Punct(next) if next.as_char() == ':');
                let is_path = trees.next_if(second).is_some();
                push(if is_path { "::" } else { ":" }.to_owned());
            }
            other => push(other.to_string()),
        }
    }
}

fn is_documentation(group: &proc_macro2::Group) -> bool {
    group.delimiter() == Delimiter::Bracket
        && matches!(group.stream().into_iter().next(), Some(TokenTree::Ident(name)) if name == "doc")
}

#[cfg(test)]
mod tests {
    use super::RustFile;
    use crate::tree::TextFile;

    fn file(text: &str) -> RustFile {
        RustFile::parse(&TextFile { path: "a.rs".to_owned(), text: text.to_owned() }).unwrap()
    }

    #[test]
    fn tests_comments_and_documentation_are_no_product() {
        let text = "//! a.unwrap()\n// a.unwrap()\nfn f() { \".unwrap()\"; }\n#[cfg(test)]\nmod tests {\n fn g() { a.unwrap(); }\n}\n";
        let file = file(text);
        assert!(file.finds(&[".", "unwrap"]).is_empty());
        assert_eq!(file.product_lines, 3);
        assert_eq!(file.all_functions, ["f", "g"]);
    }

    #[test]
    fn tokens_inside_macros_are_found() {
        assert_eq!(
            file("fn f() {\n ensure!(a\n  .unwrap());\n}").finds(&[".", "unwrap", "("]),
            [3]
        );
    }

    #[test]
    fn a_module_is_found_in_paths_imports_and_fields_but_not_as_a_method() {
        let named = |text: &str| !file(text).names_module("store").is_empty();
        for text in [
            "use crate::{a, store::{B, C}};",
            "use crate::store;",
            "fn f() { crate::store::g() }",
            "fn f() { store::g() }",
            "fn f() { app.store.read() }",
        ] {
            assert!(named(text), "{text}");
        }
        for text in ["fn f() { flag.store(true, Relaxed) }", "use crate::restore;", "fn store() {}"]
        {
            assert!(!named(text), "{text}");
        }
    }
}
