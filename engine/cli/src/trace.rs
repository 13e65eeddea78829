//! `switchboard trace`

use std::fmt::Write as _;

use control::{ProbeOutcome, ProxyMode, Share, Target, TargetError};
use miette::Report;
use ruleset::Protocol;
use scenario::SourceRef;
use serde_json::{Value, json};
use sim::{Hop, Step, Trace};

use crate::args::{Output, ProtocolArg, TraceArgs};
use crate::input::Instant;
use crate::{Exit, dump, input, output};

/// Follows one packet and its answer.
pub(crate) fn run(args: &TraceArgs) -> Result<Exit, Report> {
    if args.dump.is_given() {
        return dump::run(&args.dump, args.output);
    }
    let (Some(instant), Some(from), Some(to)) = (&args.instant, &args.from, &args.to) else {
        let help = "either --in FILE --from SOURCE --to TARGET, or --iptables-save FILE (or --nft FILE) \
                    --address IP --packet PACKET";
        return Err(input::error("what is to be traced?", Some(help)));
    };
    let mut instant = input::at_instant(instant)?;
    let namespace = &instant.scenario.namespace;
    let bad = |what: &str, why: String| input::error(format!("--{what}: {why}"), None);
    let from = SourceRef::parse(from, namespace).map_err(|why| bad("from", why.to_string()))?;
    let from = from
        .resolve(&instant.sim)
        .map_err(|why| bad("from", why.to_string()))?;
    let to: Target = to
        .parse()
        .map_err(|why: TargetError| bad("to", why.to_string()))?;
    let protocol = match args.protocol {
        ProtocolArg::Tcp => Protocol::TCP,
        ProtocolArg::Udp => Protocol::UDP,
        ProtocolArg::Sctp => Protocol::SCTP,
    };
    let trace = instant.sim.trace(&from, &to, protocol);
    let trace = trace.map_err(|why| input::error(why.to_string(), None))?;
    let mode = instant.sim.control().proxy_mode_at(&from);
    output::print(&match args.output {
        Output::Human => human(&trace, &instant.label, mode),
        Output::Json => json_text(&trace, &instant, mode),
    })?;
    Ok(Exit::Passed)
}

/// The way of a packet, for people; `label` says which instant it is, and `mode` how the sender's node is programmed.
pub(crate) fn human(trace: &Trace, label: &str, mode: ProxyMode) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} → {}   at {label}, mode {mode}",
        trace.from, trace.to
    );
    if !trace.names.is_empty() {
        text.push_str("\nname\n");
        for (name, said) in &trace.names {
            let _ = writeln!(text, "  {name}  {said}");
        }
    }
    if trace.alternatives.len() > 1 {
        text.push_str("\nwhat may become of it\n");
        for (share, outcome) in &trace.alternatives {
            let _ = writeln!(text, "  {:>6}  {}", percent(*share), outcome_text(outcome));
        }
    }
    text.push_str("\nrequest\n");
    trace
        .request
        .iter()
        .for_each(|hop| write_hop(&mut text, hop));
    match trace.reply.is_empty() {
        true => text.push_str("\nreply\n  none: nobody answers\n"),
        false => text.push_str("\nreply\n"),
    }
    trace.reply.iter().for_each(|hop| write_hop(&mut text, hop));
    text
}

fn write_hop(text: &mut String, hop: &Hop) {
    let _ = writeln!(text, "  {}   {}   {}", hop.at, hop.place, hop.packet);
    for step in &hop.steps {
        match step {
            Step::Hook(hook) => {
                let _ = writeln!(text, "    {hook}");
            }
            Step::Rule {
                text: rule,
                meaning,
                skipped,
            } => {
                let tried = match skipped {
                    0 => String::new(),
                    1 => "   (1 rule before it did not match)".to_owned(),
                    n => format!("   ({n} rules before it did not match)"),
                };
                let _ = writeln!(text, "      {rule}{tried}");
                if !meaning.is_empty() {
                    let _ = writeln!(text, "        ↳ {meaning}");
                }
            }
            Step::Element {
                text: found,
                meaning,
            } => {
                let _ = writeln!(text, "        {found}");
                if !meaning.is_empty() {
                    let _ = writeln!(text, "          ↳ {meaning}");
                }
            }
            other => {
                let _ = writeln!(text, "      {other}");
            }
        }
    }
    let _ = writeln!(text, "    → {}", hop.outcome);
}

fn json_text(trace: &Trace, instant: &Instant, mode: ProxyMode) -> String {
    let hops = |hops: &[Hop]| -> Vec<Value> { hops.iter().map(hop_json).collect() };
    let alternatives = trace.alternatives.iter().map(|(share, outcome)| {
        let p = format!("{}/{}", share.numerator, share.denominator);
        json!({"p": p, "outcome": outcome_text(outcome)})
    });
    let names = trace
        .names
        .iter()
        .map(|(name, said)| json!({"name": name, "answer": said}));
    let value = json!({
        "apiVersion": "switchboard.dev/v1alpha1",
        "kind": "Trace",
        "scenario": instant.scenario.name,
        "mode": mode.as_str(),
        "seed": instant.scenario.seed.value(),
        "atNs": trace.at.as_nanos(),
        "from": trace.from,
        "to": trace.to,
        "names": names.collect::<Vec<_>>(),
        "alternatives": alternatives.collect::<Vec<_>>(),
        "request": hops(&trace.request),
        "reply": hops(&trace.reply),
    });
    format!("{value:#}\n")
}

fn hop_json(hop: &Hop) -> Value {
    let steps: Vec<Value> = hop.steps.iter().map(step_json).collect();
    json!({
        "atNs": hop.at.as_nanos(),
        "place": hop.place,
        "packet": hop.packet,
        "steps": steps,
        "outcome": hop.outcome,
    })
}

fn step_json(step: &Step) -> Value {
    match step {
        Step::Hook(hook) => json!({"hook": hook}),
        Step::Conntrack(state) => json!({"conntrack": state}),
        Step::Rule {
            text,
            meaning,
            skipped,
        } => {
            json!({"rule": text, "meaning": meaning, "skipped": skipped})
        }
        Step::Element { text, meaning } => json!({"element": text, "meaning": meaning}),
        Step::Verdict(verdict) => json!({"verdict": verdict}),
        Step::Translated(before, after) => {
            json!({"translated": {"before": before, "after": after}})
        }
        Step::Routed(route) => json!({"route": route}),
    }
}

fn outcome_text(outcome: &ProbeOutcome) -> String {
    match outcome {
        ProbeOutcome::Endpoint { to, snat: false } => format!("sent to {to}"),
        ProbeOutcome::Endpoint { to, snat: true } => {
            format!("sent to {to}, with the node's address as its source")
        }
        ProbeOutcome::Reject => "refused".to_owned(),
        ProbeOutcome::Drop => "dropped".to_owned(),
        ProbeOutcome::Untouched => "left as it is".to_owned(),
    }
}

fn percent(share: Share) -> String {
    format!("{:.1} %", share.as_f64() * 100.0)
}
