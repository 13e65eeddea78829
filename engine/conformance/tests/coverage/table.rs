//! The table of who covers which id.

use std::collections::{BTreeMap, BTreeSet};

use crate::reference::{Entry, Excuse, Reference};
use crate::scan::Citation;

/// The table as Markdown.
pub(crate) fn render(reference: &Reference, citations: &[Citation]) -> String {
    let (whose, name) = (reference.whose, reference.name);
    let mut text = format!(
        "<!-- Written by `UPDATE_COVERAGE=1 cargo test -p switchboard-conformance --test coverage`. -->\n\n\
         # What tests show of {whose} promises\n\n\
         One line per id of the {name} reference. A file is followed by those of its tests that cite the id;\n\
         where none is named, the whole file is about it.\n\n\
         | id | what | shown by |\n|---|---|---|\n",
    );
    for entry in reference.entries() {
        let mut cells = shown_by(reference, entry, citations);
        match entry.excuse {
            Some(Excuse::In(file)) => cells.push(format!("`{file}`")),
            Some(Excuse::Reason(reason)) => cells.push(reason.to_owned()),
            None => {}
        }
        text.push_str(&format!(
            "| {}-{} | {} | {} |\n",
            reference.prefix,
            entry.number,
            entry.subject,
            cells.join("<br>")
        ));
    }
    text
}

/// A cell per file.
fn shown_by(reference: &Reference, entry: Entry, citations: &[Citation]) -> Vec<String> {
    let mut files: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let of_entry = |one: &&Citation| (one.prefix, one.number) == (reference.prefix, entry.number);
    for citation in citations.iter().filter(of_entry) {
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
