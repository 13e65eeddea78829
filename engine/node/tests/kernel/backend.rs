//! The ways to write rules and have them loaded. A layout or a tool that is new is one more entry.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use rules::{Capabilities, ClusterView, Compiler, NodeFacts};
use ruleset::Family;
use ruleset::xt::{self, ChainName, TableName, XtRule, XtTables};
use switchboard_node::{IptablesTools, ToolError, Variant};

use crate::site::run;

/// The tables that a kernel always has, so they can be read and emptied.
const TABLES: [TableName; 4] = [
    TableName::Raw,
    TableName::Mangle,
    TableName::Nat,
    TableName::Filter,
];

/// A dialect and the tool that loads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Iptables(Variant),
}

impl Backend {
    pub(crate) const ALL: [Self; 2] = [
        Self::Iptables(Variant::Nft),
        Self::Iptables(Variant::Legacy),
    ];

    /// Fit for the name of a namespace.
    pub(crate) fn name(self) -> String {
        let Self::Iptables(variant) = self;
        format!("iptables-{variant:?}").to_lowercase()
    }

    /// The rules of a node, in this backend's layout.
    pub(crate) fn compile(self, view: &ClusterView, facts: &NodeFacts) -> Vec<Arc<XtTables>> {
        let Self::Iptables(_) = self;
        let mut compiler = Compiler::new(Capabilities::default());
        compiler
            .iptables(view, facts)
            .tables
            .into_values()
            .collect()
    }

    pub(crate) fn tools(self) -> IptablesTools {
        let Self::Iptables(variant) = self;
        IptablesTools::new(variant)
    }

    /// Whether its tools are there and may be used in a namespace.
    ///
    /// # Errors
    /// With the reason when not.
    pub(crate) fn is_usable(self, netns: &str) -> Result<(), String> {
        let conntrack = Command::new("conntrack").arg("--version").output();
        conntrack.map_err(|error| format!("conntrack: {error}"))?;
        let tools = self.tools().in_netns(netns);
        match tools.check(Family::V4, "*nat\nCOMMIT\n") {
            Err(error @ (ToolError::NotFound { .. } | ToolError::Permission { .. })) => {
                Err(error.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Makes these the only rules of the kernel, and checks that it has them as they were sent.
    pub(crate) fn load(self, owned: &[Arc<XtTables>]) {
        self.wipe();
        let tools = self.tools();
        for tables in owned {
            let text = xt::restore_text(tables);
            tools
                .restore(tables.family, &text)
                .unwrap_or_else(|error| panic!("{error}\n{text}"));
            let there = read_back(&tools, tables.family, TABLES);
            assert_eq!(telling(&there), telling(tables), "{self:?}");
        }
    }

    fn wipe(self) {
        let Self::Iptables(variant) = self;
        for base in ["iptables", "ip6tables"] {
            let tool = format!("{base}-{variant:?}-restore").to_lowercase();
            let text = TABLES.map(|table| format!("*{table}\n{}COMMIT\n", policies(table)));
            run(&tool, &[], &text.concat());
        }
    }
}

/// A restore that flushes leaves policies as they are unless it says otherwise.
fn policies(table: TableName) -> String {
    let chains = table.built_in_chains().iter();
    chains
        .map(|chain| format!(":{chain} ACCEPT [0:0]\n"))
        .collect()
}

/// What the kernel has.
pub(crate) fn read_back(
    tools: &IptablesTools,
    family: Family,
    tables: impl IntoIterator<Item = TableName>,
) -> XtTables {
    let saved: String = tables
        .into_iter()
        .map(|table| tools.save(family, table).unwrap())
        .collect();
    xt::parse(&saved, family).unwrap()
}

/// Chains that hold no rules and drop nothing say nothing: a kernel lists all built-in ones, a compiler none.
pub(crate) fn telling(tables: &XtTables) -> BTreeMap<(TableName, ChainName), &[XtRule]> {
    let chains = tables.tables.iter().flat_map(|(table, content)| {
        content
            .chains
            .iter()
            .map(|(chain, body)| ((*table, *chain), body.rules.as_slice()))
    });
    chains
        .filter(|((table, chain), rules)| {
            !rules.is_empty() || !table.built_in_chains().contains(&chain.as_str())
        })
        .collect()
}
