//! `switchboard rules`

mod ipvs;
mod json;
mod nft;
mod xt;

use control::ProxyMode;
use miette::Report;
use ruleset::Family;

use crate::args::{FamilyArg, Output, RulesArgs};
use crate::{Exit, input, output};

/// Prints the rules that a node would load at an instant.
pub(crate) fn run(args: &RulesArgs) -> Result<Exit, Report> {
    let mut instant = input::at_instant(&args.instant)?;
    let family = match args.family {
        FamilyArg::Ipv4 => Family::V4,
        FamilyArg::Ipv6 => Family::V6,
    };
    let mode = instant.sim.control().proxy_mode(&args.node);
    let mode = mode.map_err(|missing| input::error(missing.to_string(), None))?;
    if args.output == Output::Json {
        let rules = instant.sim.node_rules(&args.node);
        let text = json::rules(&instant, &args.node, mode, family, rules.as_ref());
        output::print(&text)?;
        return Ok(Exit::Passed);
    }
    let text = instant
        .sim
        .rule_script(&args.node, family)
        .unwrap_or_default();
    let what = match mode {
        ProxyMode::Iptables => format!("{family} rules, for {}", restorer(family)),
        ProxyMode::Ipvs => format!("{family}: what each tool takes stands below its ###"),
        ProxyMode::Nftables | ProxyMode::Flat => "rules of both families, for nft -f".to_owned(),
    };
    let header = format!(
        "# {what}: node {} in mode {}, scenario {}, seed {}, at {}\n",
        args.node,
        mode,
        instant.scenario.name,
        instant.scenario.seed.value(),
        instant.label,
    );
    let nothing = if text.is_empty() {
        "# the node's proxy has written nothing yet\n"
    } else {
        ""
    };
    output::print(&format!("{header}{nothing}{text}"))?;
    Ok(Exit::Passed)
}

const fn restorer(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables-restore",
        Family::V6 => "ip6tables-restore",
    }
}
