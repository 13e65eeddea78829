//! Prints what a kernel's tools are given for a cluster of so many Services, five endpoints each:
//! `rules iptables|nftables|flat SERVICES load|change`. A change is one endpoint of one Service that goes.

use std::io::Write as _;

use rules::{Capabilities, CompiledNftables, Compiler};
use ruleset::Family;
use ruleset::nft::{NftTransaction, script_text};
use ruleset::xt::{XtTransaction, restore_text};
use switchboard_benches::cluster::{events, node, view, without_an_endpoint};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = "usage: rules iptables|nftables|flat SERVICES load|change";
    let [layout, services, what] = arguments.as_slice() else {
        return Err(usage.into());
    };
    let services: usize = services.parse()?;
    let before = view(&events(services));
    let after = without_an_endpoint(&before, services / 2);
    let mut compiler = Compiler::new(Capabilities {
        nfacct: false,
        ..Capabilities::ALL
    });
    let node = node();
    let mut iptables = |view| compiler.iptables(view, &node).tables[&Family::V4].clone();
    let text = match (layout.as_str(), what.as_str()) {
        ("iptables", "load") => restore_text(&iptables(&before)),
        ("iptables", "change") => {
            let (before, after) = (iptables(&before), iptables(&after));
            let units = XtTransaction::between(&before, &after).units;
            let texts = units.iter().map(|unit| unit.restore_text(Family::V4));
            texts.collect()
        }
        (layout @ ("nftables" | "flat"), what @ ("load" | "change")) => {
            let compile = match layout {
                "flat" => Compiler::flat,
                _ => Compiler::nftables,
            };
            let mut tables = |view| -> CompiledNftables { compile(&mut compiler, view, &node) };
            let (before, after) = (tables(&before).tables, tables(&after).tables);
            match what {
                "load" => script_text(&before),
                _ => NftTransaction::between(&before, &after).script(),
            }
        }
        _ => return Err(usage.into()),
    };
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(())
}
