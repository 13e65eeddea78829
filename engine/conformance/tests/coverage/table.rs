//! The ids, and the table of who covers them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::scan::Citation;

/// An id of the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u16,
    subject: &'static str,
    excuse: Option<Excuse>,
}

/// Why no test cites an id.
#[derive(Clone, Copy, Debug)]
enum Excuse {
    /// A test shows it by recorded output.
    In(&'static str),
    /// It is still to come, or we differ.
    Reason(&'static str),
}

impl Entry {
    /// All ids, in order.
    pub(crate) fn all() -> Vec<Self> {
        let lines = include_str!("ids.txt").lines();
        lines
            .filter(|line| !line.starts_with('#'))
            .map(Self::read)
            .collect()
    }

    fn read(line: &'static str) -> Self {
        let mut parts = line.split(" | ");
        let mut part = || parts.next();
        let number = part().and_then(|id| id.strip_prefix("PROXY-")?.parse().ok());
        Self {
            number: number.unwrap_or_else(|| panic!("a line begins with its id: {line}")),
            subject: part().unwrap_or_else(|| panic!("an id has a subject: {line}")),
            excuse: part().map(|excuse| match excuse.strip_prefix("in: ") {
                Some(file) => Excuse::In(file),
                None => {
                    let known = ["later: ", "Deviation: "];
                    let is_known = known.iter().any(|word| excuse.starts_with(word));
                    assert!(is_known, "neither a file nor a reason: {line}");
                    Excuse::Reason(excuse)
                }
            }),
        }
    }

    /// What is wrong with the id, if anything.
    pub(crate) fn complaint(&self, citations: &[Citation], root: &Path) -> Option<String> {
        let id = format!("PROXY-{}", self.number);
        let is_cited = citations.iter().any(|one| one.number == self.number);
        match (self.excuse, is_cited) {
            (None, false) => Some(format!(
                "{id} ({}): no test cites it, and ids.txt does not say why",
                self.subject
            )),
            (Some(Excuse::Reason(reason)), true) if reason.starts_with("later") => Some(format!(
                "{id}: ids.txt says {reason:?}, but a test cites it"
            )),
            (Some(Excuse::In(file)), _) if !root.join(file).is_file() => {
                Some(format!("{id}: ids.txt names {file}, which is not there"))
            }
            _ => None,
        }
    }
}

/// The table as Markdown.
pub(crate) fn render(entries: &[Entry], citations: &[Citation]) -> String {
    let mut text = String::from(
        "<!-- Written by `UPDATE_COVERAGE=1 cargo test -p switchboard-conformance --test coverage`. -->\n\n\
         # What tests show of the proxy's promises\n\n\
         One line per id of the proxy reference. A file is followed by those of its tests that cite the id;\n\
         where none is named, the whole file is about it.\n\n\
         | id | what | shown by |\n|---|---|---|\n",
    );
    for entry in entries {
        let mut cells = shown_by(entry.number, citations);
        match entry.excuse {
            Some(Excuse::In(file)) => cells.push(format!("`{file}`")),
            Some(Excuse::Reason(reason)) => cells.push(reason.to_owned()),
            None => {}
        }
        text.push_str(&format!(
            "| PROXY-{} | {} | {} |\n",
            entry.number,
            entry.subject,
            cells.join("<br>")
        ));
    }
    text
}

/// A cell per file.
fn shown_by(number: u16, citations: &[Citation]) -> Vec<String> {
    let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for citation in citations.iter().filter(|one| one.number == number) {
        let tests = files.entry(&citation.file).or_default();
        tests.extend(citation.test.as_deref());
    }
    files
        .into_iter()
        .map(|(file, tests)| {
            let tests: Vec<&str> = tests.into_iter().collect();
            match tests.is_empty() {
                true => format!("`{file}`"),
                false => format!("`{file}`: {}", tests.join(", ")),
            }
        })
        .collect()
}
