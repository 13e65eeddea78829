//! The coverage tables: which tests show which id of the reference.
//!
//! **What.** The workspace's tests are read for citations (`PROXY-13`, `API-16/-17`, or a test called
//! `alloc_13_…`), and a table per part of the reference has to say what was found. **Why.** A promise that nothing
//! holds us to is found here and not by a user. **Source of the semantics.** The ids are those of the reference,
//! listed in `ids`.
//!
//! `UPDATE_COVERAGE=1 cargo test -p switchboard-conformance --test coverage` writes the tables anew.

mod reference;
mod scan;
mod table;

use std::path::{Path, PathBuf};

use reference::{REFERENCES, Reference};

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2);
    root.expect("this crate is two folders below the root")
        .to_owned()
}

#[test]
fn every_id_is_covered_or_its_absence_explained() {
    let citations = scan::tests(&root());
    let complaints = |reference: &Reference| -> Vec<String> {
        let entries = reference.entries().into_iter();
        entries
            .filter_map(|entry| entry.complaint(reference, &citations, &root()))
            .collect()
    };
    let gaps: Vec<String> = REFERENCES.iter().flat_map(complaints).collect();
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
}

#[test]
fn the_tables_are_up_to_date() {
    let citations = scan::tests(&root());
    let mut stale = Vec::new();
    for reference in &REFERENCES {
        let path = root().join(reference.table);
        let table = table::render(reference, &citations);
        if std::env::var_os("UPDATE_COVERAGE").is_some() {
            std::fs::write(&path, &table).expect("the table can be written");
        }
        if std::fs::read_to_string(&path).unwrap_or_default() != table {
            stale.push(reference.table);
        }
    }
    assert!(
        stale.is_empty(),
        "{} is stale: UPDATE_COVERAGE=1 cargo test -p switchboard-conformance --test coverage",
        stale.join(", ")
    );
}

#[test]
fn every_id_has_its_line() {
    for reference in &REFERENCES {
        let entries = reference.entries();
        let numbers: Vec<u16> = entries.iter().map(|entry| entry.number).collect();
        let all: Vec<u16> = (1..=reference.ids).collect();
        assert_eq!(numbers, all, "{}", reference.prefix);
    }
}

#[test]
fn only_ids_of_the_reference_are_cited() {
    let known = |prefix: &str, number: u16| {
        let reference = REFERENCES
            .iter()
            .find(|reference| reference.prefix == prefix);
        reference.is_some_and(|reference| (1..=reference.ids).contains(&number))
    };
    let unknown = scan::tests(&root());
    let unknown = unknown.iter().filter(|one| !known(one.prefix, one.number));
    let shown: Vec<String> = unknown
        .map(|one| format!("{}-{} in {}", one.prefix, one.number, one.file))
        .collect();
    assert!(shown.is_empty(), "no such id: {}", shown.join(", "));
}
