//! `switchboard trace --iptables-save FILE --packet …`: what a real node's rules do with a packet.
//!
//! The dump is all that is known of the node: its addresses and links are those given, everything else leaves
//! through `eth0`, and no connection exists yet. A rule that is not understood matters only to a packet that reaches
//! it, and only where it decides what becomes of the packet: the answer is then "unknown" and names the rule, never
//! a guess.

mod answer;
mod files;
mod lines;
mod node;
mod packet;

use base::SimTime;
use miette::Report;
use netfilter::{NodeState, NodeTables, Recorder, TooManyBranches, Verdict, eval, survey};
use ruleset::Family;

use answer::{Branch, Fate, Unknown, describe};
use files::Files;
use lines::Lines;
pub(crate) use node::Link;
use node::Node;
use packet::Asked;

use crate::args::{DumpArgs, Output};
use crate::{Exit, input, output};

/// Evaluates a packet on a dump.
pub(crate) fn run(args: &DumpArgs, format: Output) -> Result<Exit, Report> {
    let text = args.packet.as_deref().ok_or_else(|| {
        input::error(
            "--packet is missing",
            Some("for example --packet 'tcp:10.0.0.2:40000>10.96.0.10:53'"),
        )
    })?;
    let asked = Asked::parse(text)?;
    let packet = asked.packet()?;
    let node = Node {
        addresses: &args.address,
        links: &args.link,
        source: asked.source.ip(),
        arrival: args.in_interface,
    };
    let mut notes = Vec::new();
    if args.address.is_empty() {
        notes.push(
            "no --address: a packet for the node itself counts as one for another host".to_owned(),
        );
    }
    let branches = match Files::read(args, Family::of(asked.destination.ip()))? {
        Err(unknown) => unknown.alone(),
        Ok(files) => {
            notes.extend_from_slice(&files.notes);
            match files.tables() {
                Err(unknown) => unknown.alone(),
                Ok(tables) => branches(&tables, &files, &node, &asked, &packet),
            }
        }
    };
    for note in &notes {
        output::complain(&format!("note: {note}"));
    }
    output::print(&match format {
        Output::Human => answer::human(&asked, &branches),
        Output::Json => answer::json_text(&asked, &branches, &notes),
    })?;
    let is_known = branches.iter().all(|branch| branch.fate.is_ok());
    Ok(if is_known {
        Exit::Passed
    } else {
        Exit::CannotTell
    })
}

fn branches(
    tables: &NodeTables,
    files: &Files,
    node: &Node<'_>,
    asked: &Asked,
    packet: &netfilter::Packet,
) -> Vec<Branch> {
    let state = NodeState::new();
    let arrives_by = node.arrives_by();
    let ingress = node.ingress(&arrives_by);
    let mut lines = Lines::new(Family::of(asked.source.ip()));
    let run = |chooser: &mut netfilter::Explorer| {
        let mut recorder = Recorder::matched_only();
        let evaluation = eval(
            tables,
            &state,
            node,
            packet.clone(),
            ingress,
            SimTime::ZERO,
            chooser,
            &mut recorder,
        );
        match evaluation.verdict {
            Verdict::Unknown(doubt) => Err(doubt),
            verdict => Ok(Fate {
                outcome: describe(&verdict, asked),
                rules: lines.of(recorder.events()),
            }),
        }
    };
    match survey(run, |one, other| one.outcome == other.outcome) {
        Err(why @ TooManyBranches) => {
            let unknown = Unknown {
                at: None,
                reason: why.to_string(),
                help: None,
            };
            unknown.alone()
        }
        Ok(found) => {
            let found = found.into_iter().map(|(share, fate)| Branch {
                share,
                fate: fate.map_err(|doubt| Unknown::of(&doubt, files)),
            });
            found.collect()
        }
    }
}
