//! The parts of the reference that have a table, and their ids.

use std::path::Path;

use crate::scan::Citation;

/// A part of the reference.
pub(crate) struct Reference {
    /// What its ids begin with.
    pub(crate) prefix: &'static str,
    /// How many ids it has, from 1.
    pub(crate) ids: u16,
    /// The table, below the root.
    pub(crate) table: &'static str,
    /// Whose promises they are.
    pub(crate) whose: &'static str,
    /// What the part is called.
    pub(crate) name: &'static str,
    lines: &'static str,
}

/// All parts that have a table.
pub(crate) const REFERENCES: [Reference; 6] = [
    Reference {
        prefix: "PROXY",
        ids: 76,
        table: "engine/conformance/PROXY-COVERAGE.md",
        whose: "the proxy's",
        name: "proxy",
        lines: include_str!("ids/proxy.txt"),
    },
    Reference {
        prefix: "API",
        ids: 96,
        table: "engine/api/API-COVERAGE.md",
        whose: "the API server's",
        name: "API",
        lines: include_str!("ids/api.txt"),
    },
    Reference {
        prefix: "ALLOC",
        ids: 65,
        table: "engine/api/ALLOC-COVERAGE.md",
        whose: "the allocators'",
        name: "allocator",
        lines: include_str!("ids/alloc.txt"),
    },
    Reference {
        prefix: "EP",
        ids: 89,
        table: "engine/controllers/EP-COVERAGE.md",
        whose: "the endpoint controllers'",
        name: "endpoints",
        lines: include_str!("ids/endpoints.txt"),
    },
    Reference {
        prefix: "DNS",
        ids: 100,
        table: "engine/dns/DNS-COVERAGE.md",
        whose: "cluster DNS's",
        name: "DNS",
        lines: include_str!("ids/dns.txt"),
    },
    Reference {
        prefix: "DBG",
        ids: 100,
        table: "engine/explain/DBG-COVERAGE.md",
        whose: "the debugging guide's",
        name: "debugging",
        lines: include_str!("ids/debugging.txt"),
    },
];

/// An id of the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) number: u16,
    pub(crate) subject: &'static str,
    pub(crate) excuse: Option<Excuse>,
}

/// Why no test cites an id.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Excuse {
    /// A test shows it by recorded output.
    In(&'static str),
    /// It is still to come, or we differ.
    Reason(&'static str),
}

impl Reference {
    /// All ids, in order.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        let lines = self.lines.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| self.read(line)).collect()
    }

    fn read(&self, line: &'static str) -> Entry {
        let mut parts = line.split(" | ");
        let mut part = || parts.next();
        let id = part().and_then(|id| id.strip_prefix(self.prefix)?.strip_prefix('-'));
        let number = id.and_then(|number| number.parse().ok());
        Entry {
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
}

impl Entry {
    /// What is wrong with the id, if anything.
    pub(crate) fn complaint(
        &self,
        of: &Reference,
        citations: &[Citation],
        root: &Path,
    ) -> Option<String> {
        let id = format!("{}-{}", of.prefix, self.number);
        let is_cited = citations
            .iter()
            .any(|one| (one.prefix, one.number) == (of.prefix, self.number));
        match (self.excuse, is_cited) {
            (None, false) => Some(format!(
                "{id} ({}): no test cites it, and its line does not say why",
                self.subject
            )),
            (Some(Excuse::Reason(reason)), true) if reason.starts_with("later") => Some(format!(
                "{id}: its line says {reason:?}, but a test cites it"
            )),
            (Some(Excuse::In(file)), _) if !root.join(file).is_file() => {
                Some(format!("{id}: its line names {file}, which is not there"))
            }
            _ => None,
        }
    }
}
