//! The coverage table: which tests show which id of the proxy reference.
//!
//! **What.** The workspace's tests are read for citations (`PROXY-13`, `PROXY-16/-17`, or a test called
//! `proxy_13_…`), and `PROXY-COVERAGE.md` has to say what was found. **Why.** A promise that nothing holds us to
//! is found here and not by a user. **Source of the semantics.** The ids are those of the proxy reference, 1 to
//! 76.
//!
//! `UPDATE_COVERAGE=1 cargo test -p switchboard-conformance --test coverage` writes the table anew.

mod scan;
mod table;

use std::path::{Path, PathBuf};

use scan::Citation;
use table::Entry;

const TABLE: &str = "engine/conformance/PROXY-COVERAGE.md";

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.ancestors().nth(2);
    root.expect("this crate is two folders below the root")
        .to_owned()
}

fn citations() -> Vec<Citation> {
    scan::tests(&root())
}

#[test]
fn every_id_is_covered_or_its_absence_explained() {
    let citations = citations();
    let mut gaps = Vec::new();
    for entry in Entry::all() {
        gaps.extend(entry.complaint(&citations, &root()));
    }
    assert!(gaps.is_empty(), "{}", gaps.join("\n"));
}

#[test]
fn the_table_is_up_to_date() {
    let path = root().join(TABLE);
    let table = table::render(&Entry::all(), &citations());
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        std::fs::write(&path, &table).expect("the table can be written");
    }
    let stored = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == table,
        "{TABLE} is stale: UPDATE_COVERAGE=1 cargo test -p switchboard-conformance --test coverage"
    );
}

#[test]
fn there_are_76_ids() {
    let numbers: Vec<u16> = Entry::all().iter().map(|entry| entry.number).collect();
    assert_eq!(numbers, (1..=76).collect::<Vec<u16>>());
}
