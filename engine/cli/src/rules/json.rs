//! A node's rules as typed tables for programs.
//!
//! The parts that every dialect has in common; [`super::xt`], [`super::nft`] and [`super::ipvs`] have the rest. Whatever
//! a dialect calls by a name is a key of a mapping, in the order of its tool's own listing; a rule carries its `text` as
//! that listing has it, and its `meaning`: whom it serves, as `trace` says it. What is absent is left out.

use control::NodeRules;
use rules::Compiler;
use ruleset::{Family, OriginId};
use serde_json::{Map, Value, json};

use super::{ipvs, nft, xt};
use crate::input::Instant;

/// All of it, as `--output json` prints it.
pub(super) fn rules(
    instant: &Instant,
    node: &str,
    mode: control::ProxyMode,
    family: Family,
    rules: Option<&NodeRules>,
) -> String {
    let control = instant.sim.control();
    let compiler = control.compiler();
    let mut value = json!({
        "apiVersion": scenario::API_VERSION,
        "kind": "Rules",
        "scenario": instant.scenario.name,
        "node": node,
        "mode": mode.as_str(),
        "seed": instant.scenario.seed.value(),
        "atNs": control.now().as_nanos(),
        "rules": rules.map_or(0, NodeRules::count),
    });
    match rules {
        None => {}
        Some(NodeRules::Iptables(compiled)) => {
            let tables = &compiled.tables[&family];
            value["iptables"] = json!({family_key(family): xt::tables(tables, compiler)});
        }
        Some(NodeRules::Nftables(compiled)) => value["nftables"] = nft::tables(compiled, compiler),
        Some(NodeRules::Ipvs(compiled)) => {
            let tables = &compiled.tables[&family];
            let key = family_key(family);
            value["iptables"] = json!({key: xt::tables(&tables.rules, compiler)});
            value["ipvs"] = json!({key: ipvs::servers(&tables.servers, compiler)});
            value["ipset"] = json!({key: ipvs::sets(&tables.sets)});
        }
    }
    format!("{value:#}\n")
}

const fn family_key(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// Whom something serves, in words.
pub(super) fn meaning(origin: Option<OriginId>, compiler: &Compiler) -> Option<Value> {
    origin.map(|id| compiler.origin(id).to_string().into())
}

/// A mapping of those keys that have a value.
pub(super) fn present<const N: usize>(keys: [(&str, Option<Value>); N]) -> Value {
    let given = keys
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)));
    given.collect::<Map<_, _>>().into()
}
