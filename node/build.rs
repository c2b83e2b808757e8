//! Embeds the browser client that was built in `web/dist`, and says what to do where it was not.

use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
};

fn main() {
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
    let mut table = String::new();
    for file in &files {
        println!("cargo::rerun-if-changed={}", file.display());
        let path = file.strip_prefix(&dist).expect("it was found there").display().to_string();
        fs::read(file).expect("a file that was just listed").hash(&mut build);
        path.hash(&mut build);
        if file.extension().is_some_and(|kind| kind == "br") {
            continue;
        }
        let packed = PathBuf::from(format!("{}.br", file.display()));
        let brotli = if packed.exists() {
            format!("Some(include_bytes!({:?}))", packed.display().to_string())
        } else {
            "None".to_owned()
        };
        let file = file.display().to_string();
        let page = "Page { path: PATH, bytes: include_bytes!(FILE), brotli: BROTLI },";
        let page = page.replace("PATH", &format!("{path:?}")).replace("FILE", &format!("{file:?}"));
        table.push_str(&page.replace("BROTLI", &brotli));
    }
    let code = format!(
        "/// All files of the client, by path.\nstatic PAGES: &[Page] = &[{table}];\n\
         /// What tells this build of the client from others.\nconst BUILD: &str = \"{:016x}\";\n",
        build.finish()
    );
    let out = Path::new(&env::var("OUT_DIR").expect("cargo says it")).join("client.rs");
    fs::write(out, code).expect("writing into cargo's own folder");
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
