//! The ways to write rules and have them loaded. A layout or a tool that is new is one more entry.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use netfilter::Ruleset;
use rules::{Capabilities, ClusterView, Compiler, NodeFacts};
use ruleset::Family;
use ruleset::nft::{self, NftTables};
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
    Nftables,
    /// Nftables in the layout of our own.
    Flat,
}

impl Backend {
    pub(crate) const ALL: [Self; 4] = [
        Self::Iptables(Variant::Nft),
        Self::Iptables(Variant::Legacy),
        Self::Nftables,
        Self::Flat,
    ];

    /// Those that take the iptables dialect.
    pub(crate) const IPTABLES: [Self; 2] = [
        Self::Iptables(Variant::Nft),
        Self::Iptables(Variant::Legacy),
    ];

    /// Fit for the name of a namespace.
    pub(crate) fn name(self) -> String {
        match self {
            Self::Iptables(variant) => format!("iptables-{variant:?}").to_lowercase(),
            Self::Nftables => "nftables".to_owned(),
            Self::Flat => "flat".to_owned(),
        }
    }

    /// The rules of a node, in this backend's layout.
    pub(crate) fn compile(self, view: &ClusterView, facts: &NodeFacts) -> Vec<Ruleset> {
        let mut compiler = Compiler::new(Capabilities::default());
        match self {
            Self::Iptables(_) => {
                let compiled = compiler.iptables(view, facts).tables;
                compiled.into_values().map(Into::into).collect()
            }
            Self::Nftables => vec![compiler.nftables(view, facts).tables.into()],
            Self::Flat => vec![compiler.flat(view, facts).tables.into()],
        }
    }

    /// Whether its tools are there and may be used in a namespace.
    ///
    /// # Errors
    /// With the reason when not.
    pub(crate) fn is_usable(self, netns: &str) -> Result<(), String> {
        let conntrack = Command::new("conntrack").arg("--version").output();
        conntrack.map_err(|error| format!("conntrack: {error}"))?;
        match self {
            Self::Iptables(variant) => {
                let tools = IptablesTools::new(variant).in_netns(netns);
                match tools.check(Family::V4, "*nat\nCOMMIT\n") {
                    Err(error @ (ToolError::NotFound { .. } | ToolError::Permission { .. })) => {
                        Err(error.to_string())
                    }
                    _ => Ok(()),
                }
            }
            Self::Nftables | Self::Flat => {
                let mut nft = Command::new("ip");
                nft.args(["netns", "exec", netns, "nft", "list", "ruleset"]);
                match nft.output() {
                    Ok(output) if output.status.success() => Ok(()),
                    Ok(output) => Err(format!("nft: {}", String::from_utf8_lossy(&output.stderr))),
                    Err(error) => Err(format!("ip: {error}")),
                }
            }
        }
    }

    /// Makes these the only rules of the kernel, and checks that it has them as they were sent.
    pub(crate) fn load(self, owned: &[Ruleset]) {
        self.wipe();
        for one in owned {
            match (self, one) {
                (Self::Iptables(variant), Ruleset::Xt(tables)) => load_iptables(variant, tables),
                (Self::Nftables | Self::Flat, Ruleset::Nft(tables)) => load_nftables(tables),
                _ => panic!("{self:?} does not take {}", text(one)),
            }
        }
    }

    fn wipe(self) {
        let Self::Iptables(variant) = self else {
            return run("nft", &["flush", "ruleset"], "");
        };
        for base in ["iptables", "ip6tables"] {
            let tool = format!("{base}-{variant:?}-restore").to_lowercase();
            let text = TABLES.map(|table| format!("*{table}\n{}COMMIT\n", policies(table)));
            run(&tool, &[], &text.concat());
        }
    }
}

/// Rules as their tool prints them.
pub(crate) fn text(one: &Ruleset) -> String {
    match one {
        Ruleset::Xt(tables) => xt::save_text(tables),
        Ruleset::Nft(tables) => nft::list_text(tables),
        Ruleset::Ipvs(_) => panic!("no kernel is programmed in IPVS mode"),
    }
}

fn load_iptables(variant: Variant, tables: &Arc<XtTables>) {
    let tools = IptablesTools::new(variant);
    let text = xt::restore_text(tables);
    tools
        .restore(tables.family, &text)
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    let there = read_back(&tools, tables.family, TABLES);
    assert_eq!(telling(&there), telling(tables), "{variant:?}");
}

fn load_nftables(tables: &NftTables) {
    run("nft", &["-f", "-"], &nft::script_text(tables));
    check_nftables(tables);
}

/// Checks that the kernel has these tables and no others.
pub(crate) fn check_nftables(tables: &NftTables) {
    let listed = Command::new("nft").args(["list", "ruleset"]).output();
    let listed = listed.expect("it has just loaded the rules").stdout;
    let listed = String::from_utf8(listed).expect("nft writes text");
    let there = nft::parse(&listed).unwrap_or_else(|error| panic!("{error}\n{listed}"));
    assert!(
        there.canonical() == tables.canonical(),
        "sent {}\nlisted {}",
        nft::list_text(&tables.canonical()),
        nft::list_text(&there.canonical())
    );
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
