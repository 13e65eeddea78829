//! Sets as `ipset list` prints them.
//!
//! Source: `ipset_print_data` and the headers that ipset 7.17 prints.
//!
//! Deviation: without the lines `Revision` and `Size in memory`, which are a kernel's own affair, and without `bucketsize` and
//! `initval`, which stand in `Header` on kernels from 5.11 on; members stand sorted.

use std::fmt::Write as _;

use super::{IpvsTables, set_text};

/// Every set of a family with its members, or the one of a name.
#[must_use]
pub fn sets_list(tables: &IpvsTables, only: Option<&str>) -> String {
    let mut text = String::new();
    let sets = tables.sets.iter();
    for (name, set) in sets.filter(|(name, _)| only.is_none_or(|only| only == name.as_str())) {
        let uses = tables.rules.set_matches();
        let references = uses.filter(|one| one.set == *name).count();
        let before = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(
            text,
            "{before}Name: {name}\nType: {}\nHeader: {}\nReferences: {references}\nNumber of entries: {}\nMembers:",
            set.kind,
            set_text::header(set.kind, tables.family),
            set.entries.len()
        );
        for entry in &set.entries {
            let _ = writeln!(text, "{entry}");
        }
    }
    text
}
