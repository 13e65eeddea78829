//! Reads tests for citations.
//!
//! What counts is code under a crate's `tests`, a `tests.rs` or a module after `#[cfg(test)]` in its sources, and
//! what tests read: YAML files there and under `scenarios`. The header of a module (`//!`) names its sources and
//! shows nothing.

use std::path::{Path, PathBuf};

use crate::reference::REFERENCES;

/// An id: its part of the reference, and its number.
type Id = (&'static str, u16);

/// A place that cites an id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Citation {
    pub(crate) prefix: &'static str,
    pub(crate) number: u16,
    /// Below the root, with `/`.
    pub(crate) file: String,
    /// The test function, if it is in one or in the comment above one.
    pub(crate) test: Option<String>,
}

/// All citations of the workspace below `root`, in order.
pub(crate) fn tests(root: &Path) -> Vec<Citation> {
    let mut found = Vec::new();
    for path in files(&root.join("engine"))
        .into_iter()
        .chain(files(&root.join("scenarios")))
    {
        let below = path
            .strip_prefix(root)
            .expect("files are looked for below the root");
        let file = below.to_string_lossy().replace('\\', "/");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let lines = &lines[first_test_line(&file, &lines)..];
        let is_rust = file.ends_with(".rs");
        found.extend(
            cited(lines, is_rust)
                .into_iter()
                .map(|((prefix, number), test)| Citation {
                    prefix,
                    number,
                    file: file.clone(),
                    test,
                }),
        );
    }
    found.sort();
    found.dedup();
    found
}

/// Source and YAML files, but none of this test's own.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        for path in entries.map(|entry| entry.path()) {
            let own = path.ends_with("conformance/tests/coverage");
            let name = path.extension().and_then(|extension| extension.to_str());
            if path.is_dir() && !own {
                folders.push(path);
            } else if matches!(name, Some("rs" | "yaml")) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn first_test_line(file: &str, lines: &[&str]) -> usize {
    let all_tests = ["/tests/", "/tests.rs", "scenarios/"];
    if all_tests.iter().any(|part| file.contains(part)) {
        return 0;
    }
    let begins = |line: &&str| line.trim_start().starts_with("#[cfg(test)]");
    lines.iter().position(begins).unwrap_or(lines.len())
}

/// The ids that are cited, each with the test that cites it.
fn cited(lines: &[&str], is_rust: bool) -> Vec<(Id, Option<String>)> {
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if is_rust && line.trim_start().starts_with("//!") {
            continue;
        }
        let ids = ids(line);
        if !ids.is_empty() {
            let test = is_rust.then(|| test_at(lines, index)).flatten();
            found.extend(ids.into_iter().map(|id| (id, test.clone())));
        }
    }
    found
}

/// The test function around a line, or the one that its comment is about.
fn test_at(lines: &[&str], index: usize) -> Option<String> {
    let is_lead = |line: &str| line.trim_start().starts_with(['/', '#']);
    let start = if is_lead(lines[index]) {
        let following = lines[index..].iter().position(|line| !is_lead(line))?;
        index + following
    } else {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let is_function = |line: &str| line.trim_start().starts_with("fn ");
        let before = (0..=index).rev();
        before
            .into_iter()
            .find(|at| is_function(lines[*at]) && indent(lines[*at]) <= 4)?
    };
    let name = lines[start].trim_start().strip_prefix("fn ")?;
    let mut lead = lines[..start].iter().rev().take_while(|line| is_lead(line));
    let is_test = lead.any(|line| line.trim() == "#[test]");
    let end = name.find(['(', '<'])?;
    is_test.then(|| name[..end].to_owned())
}

/// `PROXY-16`, `API-16/-17`, `ALLOC-2, -5`, and those that the name of a function begins with.
fn ids(line: &str) -> Vec<Id> {
    let mut found = Vec::new();
    for prefix in REFERENCES.iter().map(|reference| reference.prefix) {
        let is_word = |at: usize| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| !c.is_alphanumeric() && c != '-' && c != '_')
        };
        let word = format!("{prefix}-");
        for (at, _) in line.match_indices(&word).filter(|(at, _)| is_word(*at)) {
            let mut rest = &line[at + word.len()..];
            while let Some(number) = leading_number(&mut rest) {
                found.push((prefix, number));
                let joined = ["/-", ", -", " and -"];
                match joined.iter().find_map(|joint| rest.strip_prefix(joint)) {
                    Some(next) => rest = next,
                    None => break,
                }
            }
        }
    }
    if let Some((_, name)) = line.split_once("fn ") {
        found.extend(ids_of_name(name));
    }
    found
}

/// `proxy_20_and_23_…`, `alloc_49_to_51_…`, `api_65_and_alloc_25_…`.
fn ids_of_name(name: &str) -> Vec<Id> {
    let mut found: Vec<Id> = Vec::new();
    let mut prefix = None;
    let mut is_range = false;
    for word in name.split(['_', '(', '<']) {
        let mut known = REFERENCES.iter().map(|reference| reference.prefix);
        let named = known.find(|known| known.to_lowercase() == word);
        match (named, prefix, word.parse::<u16>()) {
            (Some(named), ..) => prefix = Some(named),
            (None, Some(prefix), Ok(number)) => {
                let last = found.last().map_or(number, |(_, last)| *last);
                let first = if is_range { last + 1 } else { number };
                found.extend((first..=number).map(|number| (prefix, number)));
                is_range = false;
            }
            (None, Some(_), Err(_)) if word == "to" => is_range = true,
            (None, Some(_), Err(_)) if word == "and" => {}
            _ => break,
        }
    }
    found
}

fn leading_number(rest: &mut &str) -> Option<u16> {
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    *rest = after;
    number.parse().ok()
}

#[test]
fn citations_are_found_and_attributed() {
    let text = "
//! PROXY-1
/// PROXY-2, -3
#[test]
fn one() {
    check(\"PROXY-4/-5\");
}
fn helper() {
    // API-6 … PROXY-9, JSON-API-1
}
#[test]
fn proxy_20_and_23_both() {}
#[test]
fn api_65_and_alloc_49_to_51_all_of_3() {}";
    let lines: Vec<&str> = text.lines().collect();
    let one = || Some("one".to_owned());
    let both = || Some("proxy_20_and_23_both".to_owned());
    let all = || Some("api_65_and_alloc_49_to_51_all_of_3".to_owned());
    assert_eq!(
        cited(&lines, true),
        [
            (("PROXY", 2), one()),
            (("PROXY", 3), one()),
            (("PROXY", 4), one()),
            (("PROXY", 5), one()),
            (("PROXY", 9), None),
            (("API", 6), None),
            (("PROXY", 20), both()),
            (("PROXY", 23), both()),
            (("API", 65), all()),
            (("ALLOC", 49), all()),
            (("ALLOC", 50), all()),
            (("ALLOC", 51), all()),
        ]
    );
}
