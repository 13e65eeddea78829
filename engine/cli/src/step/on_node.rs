//! Answers of the programs that one would run on a node: its rules and its connections.
//!
//! **Source of the semantics.** iptables-save(8), nft(8), ipvsadm(8), ipset(8); conntrack-tools 1.4.8,
//! `src/conntrack.c`.

use std::net::IpAddr;

use control::{NodeRules, Source};
use netfilter::Entry;
use ruleset::{Family, Protocol, ipvs};
use sim::Sim;

use super::command::{ConntrackOrder, IpvsadmOrder};

/// What prints a node's rules.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tool<'a> {
    /// `iptables-save` or `ip6tables-save`, of all tables or of one
    IptablesSave(Family, Option<&'a str>),
    /// `nft list ruleset`
    Nft,
    /// `ipvsadm -L` and `-S`
    Ipvsadm(&'a IpvsadmOrder),
    /// `ipset save`
    IpsetSave,
    /// `ipset list`, of all sets or of one
    IpsetList(Option<&'a str>),
}

impl<'a> Tool<'a> {
    /// `ipset` with these words.
    ///
    /// # Errors
    /// What is supported.
    pub(super) fn ipset(words: &'a [String]) -> Result<Self, String> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["save"] => Ok(Self::IpsetSave),
            ["list"] => Ok(Self::IpsetList(None)),
            ["list", name] => Ok(Self::IpsetList(Some(name))),
            _ => Err("supported here: ipset list [NAME], ipset save".to_owned()),
        }
    }

    /// What it prints of the rules that proxies have written to a node.
    ///
    /// # Errors
    /// When a set is asked for that is not there.
    pub(super) fn print(self, sim: &mut Sim, place: &Source) -> Result<String, String> {
        const TABLES: [&str; 5] = ["filter", "nat", "mangle", "raw", "security"];
        if let Self::IptablesSave(_, Some(table)) = self
            && !TABLES.contains(&table)
        {
            return Err(format!(
                "iptables-save: Cannot initialize: Table does not exist: {table}"
            ));
        }
        let Source::Node(node) = place else {
            return Ok(format!(
                "# {place} has a network of its own, without rules: say `on node/…`"
            ));
        };
        let all = sim.all_node_rules(node);
        let Some(first) = all.first() else {
            return Ok("# the node's proxy has written nothing yet".to_owned());
        };
        let texts = all.iter().filter_map(|rules| self.text(sim, node, rules));
        let texts: Vec<String> = texts.collect();
        if texts.is_empty() {
            let kind = match first {
                NodeRules::Iptables(_) => "iptables",
                NodeRules::Nftables(_) => "nftables",
                NodeRules::Ipvs(_) => "ipvs",
            };
            return Ok(format!("# nothing: the node's rules are those of {kind}"));
        }
        let text = texts.concat();
        match self {
            Self::IpsetList(Some(_)) if text.is_empty() => {
                Err("ipset v7.17: The set with the given name does not exist".to_owned())
            }
            _ => Ok(text),
        }
    }

    /// What it prints of some rules, if they are of its kind.
    fn text(self, sim: &Sim, node: &str, rules: &NodeRules) -> Option<String> {
        match (self, rules) {
            (Self::IptablesSave(family, table), NodeRules::Iptables(_) | NodeRules::Ipvs(_)) => {
                let text = rules.listing_of(family);
                Some(table.map_or_else(|| text.clone(), |table| of_table(&text, table)))
            }
            (Self::Nft, NodeRules::Nftables(_)) => Some(rules.listing()),
            (Self::Ipvsadm(order), NodeRules::Ipvs(compiled)) => {
                let families = compiled.tables.values();
                let servers = families.map(|tables| &tables.servers);
                Some(match order.save {
                    true => servers.map(ipvs::servers_text).collect(),
                    false => {
                        ipvs::servers_list(servers, |key, real| sim.server_load(node, key, real))
                    }
                })
            }
            (Self::IpsetSave, NodeRules::Ipvs(compiled)) => {
                let families = compiled.tables.values();
                let texts = families.map(|tables| ipvs::sets_text(&tables.sets, tables.family));
                Some(texts.collect())
            }
            (Self::IpsetList(name), NodeRules::Ipvs(compiled)) => {
                let families = compiled.tables.values();
                let texts = families.map(|tables| ipvs::sets_list(tables, name));
                let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
                Some(texts.join("\n"))
            }
            _ => None,
        }
    }
}

/// The part of a listing that is about a table.
fn of_table(listing: &str, table: &str) -> String {
    let begins = format!("*{table}");
    let lines = listing.lines().skip_while(|line| *line != begins);
    let mut is_over = false;
    let lines = lines.take_while(|line| !std::mem::replace(&mut is_over, *line == "COMMIT"));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The connections that a node tracks, as `conntrack -L` prints them.
///
/// # Errors
/// When nothing is to be listed, or a word is none.
pub(super) fn conntrack(
    sim: &Sim,
    place: &Source,
    order: &ConntrackOrder,
) -> Result<String, String> {
    if !order.list {
        return Err("supported here: conntrack -L [-p tcp|udp|icmp|sctp] [-s ADDRESS] [-d ADDRESS] [-f ipv4|ipv6]".to_owned());
    }
    let Source::Node(node) = place else {
        return Ok(format!(
            "# {place} has a network of its own, which tracks nothing: say `on node/…`"
        ));
    };
    let is_picked = order.filter()?;
    let entries = sim.connections(node).into_iter().flatten();
    let now = sim.control().now();
    let entries = entries.filter(|entry| is_picked(entry));
    let mut lines: Vec<String> = entries
        .map(|entry| format!("{}\n", entry.listing(now)))
        .collect();
    lines.push(format!(
        "conntrack v1.4.8 (conntrack-tools): {} flow entries have been shown.",
        lines.len()
    ));
    Ok(lines.concat())
}

impl ConntrackOrder {
    fn filter(&self) -> Result<impl Fn(&Entry) -> bool, String> {
        let protocol = match self.protocol.as_deref() {
            None => None,
            Some("tcp") => Some(Protocol::TCP),
            Some("udp") => Some(Protocol::UDP),
            Some("sctp") => Some(Protocol::SCTP),
            Some("icmp") => Some(Protocol::ICMP),
            Some("icmpv6") => Some(Protocol::ICMPV6),
            Some(other) => {
                return Err(format!(
                    "conntrack: unknown protocol {other}; supported here: tcp, udp, sctp, icmp, icmpv6"
                ));
            }
        };
        let family = match self.family.as_deref() {
            None => None,
            Some("ipv4") => Some(Family::V4),
            Some("ipv6") => Some(Family::V6),
            Some(other) => return Err(format!("conntrack: unknown family {other}: ipv4 or ipv6")),
        };
        let (source, destination): (Option<IpAddr>, Option<IpAddr>) =
            (self.source, self.destination);
        Ok(move |entry: &Entry| {
            let original = entry.original();
            protocol.is_none_or(|wanted| original.protocol() == wanted)
                && family.is_none_or(|wanted| original.family() == wanted)
                && source.is_none_or(|wanted| original.source() == wanted)
                && destination.is_none_or(|wanted| original.destination() == wanted)
        })
    }
}
