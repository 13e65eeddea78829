//! `switchboard trace --iptables-save FILE --packet …`: what a real node's rules do with a packet.
//!
//! The dump is all that is known of the node: its addresses are those given, everything else leaves through
//! `eth0`, and no connection exists yet. Where a dump holds a rule that is not understood, the answer is
//! "unknown", never a guess.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use base::SimTime;
use miette::Report;
use netfilter::{
    Hop, Ingress, InterfaceName, NodeState, NodeTables, Packet, Ratio, Recorder, Routing, Ruleset,
    TraceEvent, Verdict, eval, explore,
};
use ruleset::{Family, Protocol, nft, xt};
use serde_json::{Value, json};

use crate::args::{DumpArgs, Output};
use crate::{Exit, input, output};

/// A packet as the command line gives it: `tcp:10.0.0.2:40000>10.96.0.10:53`.
struct Asked {
    protocol: Protocol,
    source: SocketAddr,
    destination: SocketAddr,
}

/// One thing that may become of the packet.
struct Branch {
    share: Ratio,
    outcome: String,
    rules: Vec<String>,
}

/// The node as far as a dump's reader knows it.
struct Node<'a>(&'a [IpAddr]);

impl Routing for Node<'_> {
    fn is_local(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    fn route(&self, destination: IpAddr) -> Option<Hop> {
        let like = |address: &&IpAddr| address.is_ipv4() == destination.is_ipv4();
        let source_address = self.0.iter().find(like).copied().unwrap_or(destination);
        Some(Hop {
            interface: InterfaceName::literal("eth0"),
            source_address,
        })
    }
}

/// Evaluates a packet on a dump.
pub(crate) fn run(args: &DumpArgs, format: Output) -> Result<Exit, Report> {
    let text = args.packet.as_deref().ok_or_else(|| {
        input::error(
            "--packet is missing",
            Some("for example --packet 'tcp:10.0.0.2:40000>10.96.0.10:53'"),
        )
    })?;
    let asked = parse_packet(text)?;
    let bytes = match asked.protocol {
        Protocol::TCP => plane::tcp_syn(asked.source, asked.destination),
        _ => plane::udp_datagram(asked.source, asked.destination, b"hello"),
    };
    let bytes = bytes.map_err(|why| input::error(format!("--packet: {why}"), None))?;
    let tables = match load(args, Family::of(asked.destination.ip()))? {
        Ok(tables) => tables,
        Err(unknown) => {
            output::print(&format!("unknown: {unknown}\n"))?;
            return Ok(Exit::CannotTell);
        }
    };
    let branches = branches(&tables, &args.address, &asked, &Packet::new(bytes));
    output::print(&match format {
        Output::Human => human(&asked, &branches),
        Output::Json => json_text(&asked, &branches),
    })?;
    Ok(Exit::Passed)
}

/// The tables of a dump, or why what they do cannot be told.
fn load(args: &DumpArgs, family: Family) -> Result<Result<NodeTables, String>, Report> {
    let read = |file: &Path| {
        fs::read_to_string(file)
            .map_err(|why| input::error(format!("cannot read {}: {why}", file.display()), None))
    };
    let mut owners: Vec<Ruleset> = Vec::new();
    if let Some(file) = &args.iptables_save {
        match xt::parse(&read(file)?, family) {
            Ok(tables) => owners.push(Arc::new(tables).into()),
            Err(why) => return Ok(Err(format!("{}:{why}", file.display()))),
        }
    }
    if let Some(file) = &args.nft {
        match nft::parse(&read(file)?) {
            Ok(tables) => owners.push(Arc::new(tables).into()),
            Err(why) => return Ok(Err(format!("{}:{why}", file.display()))),
        }
    }
    Ok(NodeTables::new(owners).map_err(|why| why.to_string()))
}

fn branches(
    tables: &NodeTables,
    addresses: &[IpAddr],
    asked: &Asked,
    packet: &Packet,
) -> Vec<Branch> {
    let source = asked.source.ip();
    let local = addresses.contains(&source) || source.is_loopback();
    let ingress = if local {
        Ingress::Local
    } else {
        Ingress::Interface("eth0")
    };
    let (state, node) = (NodeState::new(), Node(addresses));
    let found = explore(|chooser| {
        let mut recorder = Recorder::matched_only();
        let evaluation = eval(
            tables,
            &state,
            &node,
            packet.clone(),
            ingress,
            SimTime::ZERO,
            chooser,
            &mut recorder,
        );
        (evaluation.verdict, recorder.into_events())
    });
    let family = Family::of(source);
    found
        .into_iter()
        .map(|(share, (verdict, events))| Branch {
            share,
            outcome: describe(&verdict, asked),
            rules: rules(&events, family),
        })
        .collect()
}

fn describe(verdict: &Verdict, asked: &Asked) -> String {
    let (packet, way) = match verdict {
        Verdict::Deliver(packet) => (packet, "handed to a process of the node".to_owned()),
        Verdict::Forward { packet, interface } => (packet, format!("sent out of {interface}")),
        Verdict::Drop(reason) => return format!("dropped: {reason}"),
        Verdict::Reject { reason, .. } => return format!("refused: {reason}"),
    };
    let Some(tuple) = packet.tuple() else {
        return way;
    };
    let mut text = way;
    if tuple.destination_socket() != asked.destination {
        let _ = write!(text, ", to {}", tuple.destination_socket());
    }
    if tuple.source_socket() != asked.source {
        let _ = write!(text, ", as from {}", tuple.source_socket().ip());
    }
    if tuple.destination_socket() == asked.destination && tuple.source_socket() == asked.source {
        text.push_str(", unchanged");
    }
    text
}

fn rules(events: &[TraceEvent], family: Family) -> Vec<String> {
    let told = events.iter().filter_map(|event| match event {
        TraceEvent::Hook(hook) => Some(format!("{hook}:")),
        TraceEvent::Rule {
            rule,
            matched: true,
        } => Some(format!("  {}: {}", rule.place().chain, rule.line(family))),
        TraceEvent::Element(element) => {
            let key: Vec<String> = element.key.iter().map(ToString::to_string).collect();
            let value = element.value.as_ref().map(|value| format!(" : {value}"));
            Some(format!(
                "    element {}{}",
                key.join(" . "),
                value.unwrap_or_default()
            ))
        }
        _ => None,
    });
    told.collect()
}

fn human(asked: &Asked, branches: &[Branch]) -> String {
    let mut text = format!(
        "{} {} -> {}\n",
        asked.protocol, asked.source, asked.destination
    );
    for branch in branches {
        let share = percent(branch.share);
        let _ = writeln!(text, "\n{share:.1} %  {}", branch.outcome);
        for rule in &branch.rules {
            let _ = writeln!(text, "  {rule}");
        }
    }
    text
}

fn json_text(asked: &Asked, branches: &[Branch]) -> String {
    let branches = branches.iter().map(|branch| {
        let p = format!(
            "{}/{}",
            branch.share.numerator(),
            branch.share.denominator()
        );
        json!({"p": p, "outcome": branch.outcome, "rules": branch.rules})
    });
    let value = json!({
        "apiVersion": "switchboard.dev/v1alpha1",
        "kind": "DumpTrace",
        "protocol": asked.protocol.to_string(),
        "source": asked.source.to_string(),
        "destination": asked.destination.to_string(),
        "outcomes": branches.collect::<Vec<Value>>(),
    });
    format!("{value:#}\n")
}

#[expect(clippy::cast_precision_loss, reason = "printed with one digit")]
fn percent(share: Ratio) -> f64 {
    share.numerator() as f64 / share.denominator() as f64 * 100.0
}

fn parse_packet(text: &str) -> Result<Asked, Report> {
    let parts = text.split_once(':').and_then(|(protocol, ends)| {
        let (source, destination) = ends.split_once('>')?;
        let protocol = Protocol::parse(protocol)?;
        let known = matches!(protocol, Protocol::TCP | Protocol::UDP);
        Some(Asked {
            protocol: Some(protocol).filter(|_| known)?,
            source: source.parse().ok()?,
            destination: destination.parse().ok()?,
        })
    });
    parts.ok_or_else(|| {
        input::error(
            format!("--packet: {text:?} is no packet"),
            Some("expected tcp|udp:SOURCE:PORT>DESTINATION:PORT, such as 'tcp:10.0.0.2:40000>10.96.0.10:53'"),
        )
    })
}
