//! The shape of the repository: crate directions, forbidden calls, file headers, links.
//!
//! **Why.** The architecture is what may *not* be used from where; such rules hold only when something fails
//! that breaks them. rust-analyzer's `xtask/src/tidy.rs` does the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which of our crates each crate is built on; whatever those are built on may be used as well. `base` is a
/// leaf that everybody may use. The book's architecture page shows this table.
const ARROWS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("api", &[]),
    ("kubectl", &["api"]),
    ("ruleset", &[]),
    ("rules", &["ruleset"]),
    ("netfilter", &["ruleset"]),
    ("controllers", &["api"]),
    ("dns", &["api"]),
    ("proxy", &["api", "rules"]),
    ("control", &["api", "controllers", "dns", "proxy"]),
    ("plane", &["netfilter"]),
    ("sim", &["control", "plane"]),
    ("scenario", &["control", "kubectl", "explain"]),
    ("explain", &["control", "netfilter", "rules"]),
    ("conformance", &["api"]),
    ("node", &["proxy", "control", "ruleset"]),
    (
        "cli",
        &["sim", "scenario", "explain", "conformance", "node"],
    ),
];

/// The crates that may talk to the machine.
const WITH_IO: [&str; 2] = ["cli", "node"];

/// Words of code that talk to the machine.
const IO_WORDS: &[&str] = &[
    "fs::",
    "env::",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixDatagram",
    "UnixListener",
    "UnixStream",
];

/// Past this, a file has a second noun in it.
const LINES_MAX: usize = 800;

fn root() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = cli
        .ancestors()
        .nth(2)
        .expect("this crate is two folders below the root");
    root.to_owned()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder that are kept, in order of their paths.
fn files(folder: &Path) -> Vec<PathBuf> {
    const NOT_KEPT: [&str; 6] = [
        ".git",
        "target",
        "corpus",
        "artifacts",
        "book/book",
        "coverage",
    ];
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.expect("the folder can be read").path();
            if NOT_KEPT.iter().any(|name| path.ends_with(name)) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn with_extension(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = files(folder);
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found
}

/// The path as people write it, from the root.
fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn engine_crates() -> BTreeSet<String> {
    let manifests = files(&root().join("engine"))
        .into_iter()
        .filter(|path| path.ends_with("Cargo.toml"));
    manifests
        .map(|path| {
            let folder = path
                .parent()
                .and_then(Path::file_name)
                .expect("a manifest stands in a folder");
            folder.to_string_lossy().into_owned()
        })
        .collect()
}

fn manifest(name: &str) -> String {
    read(&root().join("engine").join(name).join("Cargo.toml"))
}

/// The keys of one section of a manifest: `base` for `base.workspace = true`.
fn keys<'a>(manifest: &'a str, section: &str) -> Vec<&'a str> {
    let header = format!("[{section}]");
    let lines = manifest
        .lines()
        .skip_while(move |line| line.trim() != header)
        .skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .filter(|key| !key.is_empty())
        .collect()
}

/// All that a crate may use.
fn reachable(name: &str) -> BTreeSet<&'static str> {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut reached = BTreeSet::from(["base"]);
    let mut open: Vec<&str> = arrows
        .get(name)
        .into_iter()
        .copied()
        .flatten()
        .copied()
        .collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(arrows[next]);
        }
    }
    reached
}

/// What each of our crates is built on as a lock file has it, by names that manifests use.
fn locked(lock: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    fn in_manifests(package: &str) -> &str {
        match package {
            "yaml_serde" => "serde_yaml",
            _ => package.strip_prefix("switchboard-").unwrap_or(package),
        }
    }
    let packages = lock.split("[[package]]").filter_map(|package| {
        let (_, named) = package.split_once("name = \"switchboard-")?;
        let (name, rest) = named.split_once('"')?;
        let dependencies = rest.lines().filter_map(|line| {
            // With its version behind it where several are locked.
            let dependency = line.strip_prefix(" \"")?.split(['"', ' ']).next()?;
            Some(in_manifests(dependency))
        });
        Some((name, dependencies.collect()))
    });
    packages.collect()
}

/// Whether a line of code uses a word, and not only a longer one that ends with it.
fn uses(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

/// What a page links to: `](target)`, without its fragment, if it is no address of the web.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let targets = page
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or(target))
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn every_crate_has_its_place() {
    let known: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(engine_crates(), known);
}

#[test]
fn crates_depend_in_one_direction() {
    let mut complaints = Vec::new();
    for name in engine_crates() {
        let allowed = reachable(&name);
        for dependency in keys(&manifest(&name), "dependencies") {
            let is_ours = ARROWS.iter().any(|(ours, _)| *ours == dependency);
            if is_ours && !allowed.contains(dependency) {
                complaints.push(format!(
                    "engine/{name}/Cargo.toml: {name} must not depend on {dependency}"
                ));
            }
        }
    }
    assert_none(&complaints);
}

/// The fuzz targets are a workspace of their own, which no build of this one brings up to date.
#[test]
fn the_lock_file_of_the_fuzz_targets_is_up_to_date() {
    let lock = read(&root().join("fuzz/Cargo.lock"));
    let mut complaints = Vec::new();
    for (name, locked) in locked(&lock) {
        if name == "fuzz" {
            continue;
        }
        let manifest = manifest(name);
        let wanted: BTreeSet<&str> = keys(&manifest, "dependencies").into_iter().collect();
        if locked != wanted {
            complaints.push(format!(
                "fuzz/Cargo.lock: {name} is locked with {locked:?}, its manifest has {wanted:?}: run cargo metadata in fuzz"
            ));
        }
    }
    assert_none(&complaints);
}

/// `forbid(unsafe_code)`, `missing_docs` and the rest stand in the workspace's lints.
#[test]
fn every_crate_takes_the_lints() {
    assert!(read(&root().join("Cargo.toml")).contains("\nunsafe_code = \"forbid\"\n"));
    let mut manifests: Vec<PathBuf> = vec![root().join("benches/Cargo.toml")];
    manifests.extend(
        engine_crates()
            .iter()
            .map(|name| root().join("engine").join(name).join("Cargo.toml")),
    );
    manifests.retain(|path| !read(path).contains("\n[lints]\nworkspace = true\n"));
    let complaints = manifests
        .iter()
        .map(|path| format!("{}: no [lints] workspace = true", shown(path)));
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn every_source_file_says_what_it_is() {
    let mut complaints = Vec::new();
    for folder in ["engine", "benches", "fuzz"] {
        for path in with_extension(&root().join(folder), "rs") {
            // A module's tests beside it are a part of it.
            let is_beside = path.ends_with("tests.rs");
            if !is_beside && !read(&path).starts_with("//!") {
                complaints.push(format!(
                    "{}: does not begin with a //! header",
                    shown(&path)
                ));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn files_stay_short() {
    let mut complaints = Vec::new();
    for path in with_extension(&root(), "rs") {
        let lines = read(&path).lines().count();
        if lines > LINES_MAX {
            complaints.push(format!(
                "{}: {lines} lines, more than {LINES_MAX}",
                shown(&path)
            ));
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_core_does_not_talk_to_the_machine() {
    let mut complaints = Vec::new();
    for name in engine_crates() {
        if WITH_IO.contains(&name.as_str()) {
            continue;
        }
        for path in with_extension(&root().join("engine").join(&name).join("src"), "rs") {
            for (index, line) in read(&path).lines().enumerate() {
                let is_comment = line.trim_start().starts_with("//");
                for word in IO_WORDS
                    .iter()
                    .filter(|word| !is_comment && uses(line, word))
                {
                    complaints.push(format!(
                        "{}:{}: {word} belongs in node or cli",
                        shown(&path),
                        index + 1
                    ));
                }
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn nobody_names_folders_of_a_machine() {
    // Spelled in two parts, so that this file passes.
    let folders = [
        concat!("/wo", "rk/"),
        concat!("/tm", "p/"),
        concat!("/ho", "me/"),
    ];
    let mut complaints = Vec::new();
    for path in files(&root()) {
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (index, line) in text.lines().enumerate() {
            for folder in folders.iter().filter(|folder| line.contains(*folder)) {
                complaints.push(format!("{}:{}: names {folder}", shown(&path), index + 1));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn links_lead_somewhere() {
    let mut pages = with_extension(&root().join("book"), "md");
    pages
        .extend(["README.md", "benches/README.md", "fuzz/README.md"].map(|page| root().join(page)));
    let mut complaints = Vec::new();
    for page in pages {
        let folder = page.parent().expect("a page stands in a folder");
        for target in links(&read(&page)).filter(|target| !folder.join(target).exists()) {
            complaints.push(format!("{}: {target} does not exist", shown(&page)));
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_book_lists_every_chapter() {
    let source = root().join("book/src");
    let summary = read(&source.join("SUMMARY.md"));
    let listed: BTreeSet<PathBuf> = links(&summary).map(|link| source.join(link)).collect();
    let mut chapters = with_extension(&source, "md");
    chapters.retain(|chapter| !chapter.ends_with("SUMMARY.md"));
    assert_eq!(chapters.into_iter().collect::<BTreeSet<_>>(), listed);
}

#[test]
fn the_book_shows_the_arrows() {
    let page = read(&root().join("book/src/architecture.md"));
    let mut complaints = Vec::new();
    for (name, uses) in ARROWS {
        let uses: Vec<String> = uses.iter().map(|used| format!("`{used}`")).collect();
        let uses = if uses.is_empty() {
            "–".to_owned()
        } else {
            uses.join(", ")
        };
        let (start, end) = (format!("| `{name}` |"), format!("| {uses} |"));
        if !page
            .lines()
            .any(|line| line.starts_with(&start) && line.ends_with(&end))
        {
            complaints.push(format!("book/src/architecture.md: no row {start} … {end}"));
        }
    }
    assert_none(&complaints);
}

#[test]
fn the_readme_indexes_every_crate() {
    let readme = read(&root().join("README.md"));
    let missing = ARROWS
        .iter()
        .filter(|(name, _)| !readme.contains(&format!("](engine/{name})")));
    let complaints = missing.map(|(name, _)| format!("README.md: no link to engine/{name}"));
    assert_none(&complaints.collect::<Vec<_>>());
}

#[test]
fn the_checks_see_what_they_look_for() {
    let manifest = "[package]\nname = \"x\"\n\n[dependencies]\napi.workspace = true\n# why\nserde = { path = \"y\" }\n\n\
                    [dev-dependencies]\nsim.workspace = true\n";
    assert_eq!(keys(manifest, "dependencies"), ["api", "serde"]);
    assert_eq!(keys(manifest, "dev-dependencies"), ["sim"]);
    let lock = "[[package]]\nname = \"switchboard-x\"\nversion = \"0\"\ndependencies = [\n \"serde 1.0.0\",\n \
                \"switchboard-api\",\n]\n\n[[package]]\nname = \"y\"\n";
    let of_x = BTreeSet::from(["api", "serde"]);
    assert_eq!(locked(lock), BTreeMap::from([("x", of_x)]));
    assert!(reachable("sim").contains("ruleset"));
    assert!(!reachable("rules").contains("api"));
    assert!(uses("    let text = fs::read(path);", "fs::"));
    assert!(!uses("    let text = offs::read(path);", "fs::"));
    let page = "[a](b.md#c) [d](https://e) [f](#g)";
    assert_eq!(links(page).collect::<Vec<_>>(), ["b.md"]);
}
