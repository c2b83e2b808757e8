//! Embeds the browser client that was built in `web/dist`, and says what to do where it was not.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

fn main() {
    fold_what_is_the_same();
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("cargo says it")).join("web/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    assert!(
        dist.join("index.html").exists(),
        "the browser client is not built: run .ci/web.sh, or `make run`, which does"
    );
    let mut files = Vec::new();
    gather(&dist, &mut files);
    files.sort();
    let mut build = DefaultHasher::new();
    let mut count = 0;
    let mut table = String::new();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let path = file.strip_prefix(&dist).expect("it was found there").display().to_string();
        fs::read(file).expect("a file that was just listed").hash(&mut build);
        path.hash(&mut build);
        // Of what is there compressed too, only the smaller is embedded.
        let name = path.strip_suffix(".br");
        let other = dist.join(name.map_or_else(|| format!("{path}.br"), str::to_owned));
        let size = |file: &Path| fs::metadata(file).map_or(u64::MAX, |about| about.len());
        if size(&other) < size(file) + u64::from(name.is_some()) {
            continue;
        }
        count += 1;
        let kind = if name.is_some() { "brotli" } else { "plain" };
        let (name, file) = (name.unwrap_or(&path), file.display());
        let page = format!("Page::{kind}({name:?}, include_bytes!(\"{file}\")),");
        table.push_str(&page);
    }
    let code = format!(
        "/// All files of the client, by path.\nstatic PAGES: [Page; {count}] = [{table}];\n\
         /// What tells this build of the client from others.\nconst BUILD: &str = \"{:016x}\";\n",
        build.finish()
    );
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says it")).join("client.rs");
    fs::write(out, code).expect("writing into cargo's own folder");
}

/// Has the linker keep functions once that came out the same, where it is one that can.
fn fold_what_is_the_same() {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    if release && flags.contains("lld") {
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}

fn gather(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the client") {
        let path = entry.expect("an entry of a folder").path();
        if path.is_dir() {
            gather(&path, files);
        } else {
            files.push(path);
        }
    }
}
