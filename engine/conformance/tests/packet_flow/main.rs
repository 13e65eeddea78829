//! The packet-flow table: from whom, to what, and what becomes of it.
//!
//! **What.** Every row of `flows/*.yaml` is held against the oracle in every mode, and against the compiled rules
//! of every layout. **Why.** One list for all: a layout that differs where nobody documented it fails here
//! (kube-proxy's `runPacketFlowTests` does the same). Where modes differ, the row says so in its own column.
//! **Source of the semantics.** Each row cites the ids of the reference that it follows from.

#[path = "../support/mod.rs"]
mod support;

mod expected;
mod fixture;
mod table;

use expected::Expected;
use fixture::Fixture;
use support::{LAYOUTS, LayoutPlane};
use switchboard_conformance::{DataPlane, Oracle, ProxyMode};
use table::Row;

/// The world and its rows, file by file.
const FILES: [(&str, &str); 9] = [
    ("01-cluster-ip", include_str!("flows/01-cluster-ip.yaml")),
    ("02-detection", include_str!("flows/02-detection.yaml")),
    ("03-truth-table", include_str!("flows/03-truth-table.yaml")),
    ("04-hints", include_str!("flows/04-hints.yaml")),
    ("05-node-port", include_str!("flows/05-node-port.yaml")),
    (
        "06-load-balancer",
        include_str!("flows/06-load-balancer.yaml"),
    ),
    (
        "07-external-ips",
        include_str!("flows/07-external-ips.yaml"),
    ),
    ("08-protocols", include_str!("flows/08-protocols.yaml")),
    ("09-dual-stack", include_str!("flows/09-dual-stack.yaml")),
];

fn fixtures() -> impl Iterator<Item = (&'static str, Fixture)> {
    FILES.into_iter().flat_map(|(file, text)| {
        Fixture::read_all(text)
            .into_iter()
            .map(move |one| (file, one))
    })
}

/// Shows every row to `judge`, which answers what it would have liked to see instead.
#[track_caller]
fn check_rows(mode: ProxyMode, mut judge: impl FnMut(&Fixture, &Row, &Expected) -> Option<String>) {
    let mut failures = Vec::new();
    for (file, fixture) in fixtures() {
        for row in &fixture.rows {
            let expected = row.expected(mode);
            if let Some(found) = judge(&fixture, row, expected) {
                failures.push(format!(
                    "{file}, {}: {} ({}): {}: expected {expected}, found {found}",
                    fixture.about, row.what, row.ids, row.packet
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{mode}: {} rows:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn the_oracle_agrees_with_every_row() {
    for mode in ProxyMode::ALL {
        check_rows(mode, |fixture, row, expected| {
            let allowed = Oracle::new(&fixture.cluster, mode).judge(&row.packet);
            (!expected.is_all_of(&allowed)).then(|| allowed.to_string())
        });
    }
}

#[test]
fn compiled_rules_agree_with_every_row() {
    for layout in LAYOUTS {
        let mut plane: Option<(String, LayoutPlane)> = None;
        check_rows(layout.mode(), |fixture, row, expected| {
            let is_other = |(about, _): &(String, LayoutPlane)| *about != fixture.about;
            if plane.as_ref().is_none_or(is_other) {
                let mut programmed = LayoutPlane::new(layout);
                programmed.apply(&fixture.cluster);
                programmed.settle();
                plane = Some((fixture.about.clone(), programmed));
            }
            let (_, plane) = plane.as_mut()?;
            let observed = plane.probe(&row.packet);
            (!expected.is_shown_by(&observed)).then(|| expected::words(&observed))
        });
    }
}

#[test]
fn the_table_is_large_and_every_row_cites_its_source() {
    let rows: Vec<Row> = fixtures().flat_map(|(_, fixture)| fixture.rows).collect();
    assert!(rows.len() >= 200, "{} rows", rows.len());
    for row in &rows {
        let cites = |id: &str| {
            let number = id.strip_prefix("PROXY-").map(str::parse::<u16>);
            matches!(number, Some(Ok(1..=76)))
        };
        assert!(!row.ids.is_empty(), "{}", row.what);
        assert!(row.ids.split(' ').all(cites), "{}: {}", row.what, row.ids);
    }
}

#[test]
fn what_a_fixture_is_about_is_said_once() {
    let mut abouts: Vec<String> = fixtures().map(|(_, fixture)| fixture.about).collect();
    abouts.sort();
    let count = abouts.len();
    abouts.dedup();
    assert_eq!(abouts.len(), count);
}
