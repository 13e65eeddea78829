//! Prints what a kernel's tools are given for a cluster of so many Services, five endpoints each:
//! `rules iptables|nftables|flat SERVICES load|change [COUNTS]`. A change is one endpoint of one Service that goes.
//!
//! With COUNTS, the Services are of UDP, and the last ones have 1, 2, … COUNTS endpoints instead. `rules LAYOUT SERVICES
//! frontends` prints where the Services are reached, in their order.

use std::io::Write as _;

use rules::{Capabilities, ClusterView, CompiledNftables, Compiler};
use ruleset::Family;
use ruleset::nft::{NftTransaction, script_text};
use ruleset::xt::{XtTransaction, restore_text};
use switchboard_benches::cluster::{
    events, frontend, node, over_udp, view, with_endpoints, without_an_endpoint,
};

const USAGE: &str = "usage: rules iptables|nftables|flat SERVICES load|change|frontends [COUNTS]";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layout, services, what, counts @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let services: usize = services.parse()?;
    let mut cluster = view(&events(services));
    if let Some(counts) = counts.first() {
        cluster = with_counts(&cluster, services, counts.parse()?).ok_or(USAGE)?;
    }
    let text = match what.as_str() {
        "frontends" => (0..services)
            .map(|index| format!("{}\n", frontend(&cluster, index)))
            .collect(),
        "load" => text(layout, &cluster, None)?,
        "change" => {
            let after = without_an_endpoint(&cluster, services / 2);
            text(layout, &cluster, Some(&after))?
        }
        _ => return Err(USAGE.into()),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// `None` when there are fewer Services than that.
fn with_counts(view: &ClusterView, services: usize, counts: usize) -> Option<ClusterView> {
    let last = (services.checked_sub(counts)?..services).zip(1..);
    Some(last.fold(over_udp(view), |view, (index, count)| {
        with_endpoints(&view, index, count)
    }))
}

/// What loads the rules of a cluster, or what makes them those of another.
fn text(layout: &str, before: &ClusterView, after: Option<&ClusterView>) -> Result<String, String> {
    let mut compiler = Compiler::new(Capabilities {
        nfacct: false,
        ..Capabilities::ALL
    });
    let node = node();
    let compile = match layout {
        "iptables" => {
            let mut tables = |view| compiler.iptables(view, &node).tables[&Family::V4].clone();
            let before = tables(before);
            let Some(after) = after else {
                return Ok(restore_text(&before));
            };
            let units = XtTransaction::between(&before, &tables(after)).units;
            let texts = units.iter().map(|unit| unit.restore_text(Family::V4));
            return Ok(texts.collect());
        }
        "nftables" => Compiler::nftables,
        "flat" => Compiler::flat,
        _ => return Err(USAGE.into()),
    };
    let mut tables = |view| -> CompiledNftables { compile(&mut compiler, view, &node) };
    let before = tables(before).tables;
    Ok(match after {
        None => script_text(&before),
        Some(after) => NftTransaction::between(&before, &tables(after).tables).script(),
    })
}
