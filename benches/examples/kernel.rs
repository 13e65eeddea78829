//! Programs the kernel of this network namespace by netlink with the rules of a cluster of so many Services, five endpoints
//! each, in the layout `flat`, and changes one endpoint of one Service again and again: `kernel SERVICES`. Prints what it
//! costs to go from the watch's log to the view (`view`), from that to tables (`compile`), to print them, to find what has to
//! happen and to put it into messages (`encode`), and what the load, that included, and a change cost from the finished tables
//! on: seconds of CPU, the kernel's included, and of the clock. Then, which part of the whole load's CPU is ours: from the view
//! on, and from the log on.

use std::convert::Infallible;
use std::thread;

use api::WatchEvent;
use node::{NftLayout, NftTools, NftablesSink, message_bytes};
use rules::{Capabilities, Compiler};
use ruleset::nft::{NftTables, NftTransaction, script_text};
use rustix::time::{ClockId, clock_gettime};
use switchboard_benches::cluster::{events, node as facts, view, without_an_endpoint};

/// So often an endpoint goes and comes back; the median is printed.
const CHANGES: usize = 50;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let services: usize = arguments.next().ok_or("usage: kernel SERVICES")?.parse()?;
    let capabilities = Capabilities {
        nfacct: false,
        ..Capabilities::ALL
    };
    let facts = facts();
    let events = events_by_themselves(services)?;
    let (before, viewed) = spend(|| Ok::<_, Infallible>(view(&events)))?;
    report("view", viewed);
    let mut compiler = Compiler::new(capabilities);
    let (all, compiled) = spend(|| Ok::<_, Infallible>(compiler.flat(&before, &facts)))?;
    report("compile", compiled);
    let after = without_an_endpoint(&before, services / 2);
    let less = compiler.flat_after(Some(&all), &after, &facts).tables;
    let all = all.tables;
    let (_, printed) = spend(|| Ok::<_, Infallible>(script_text(&all)))?;
    report("print", printed);
    let nothing = NftTables::new();
    let (_, encoded) = spend(|| {
        let load = NftTransaction::between(&nothing, &all.canonical());
        message_bytes(&load, &nothing)
    })?;
    report("encode", encoded);
    let mut sink = NftablesSink::new(NftTools::new(), capabilities).in_layout(NftLayout::Flat);
    let (_, loaded) = spend(|| sink.update(&all))?;
    report("load", loaded);
    let share = |before: f64| 100.0 * (before + encoded.0) / (before + loaded.0);
    let (of_rules, of_all) = (share(compiled.0), share(viewed.0 + compiled.0));
    println!(
        "flat by netlink    ours    {of_rules:.0} % of the load's CPU, {of_all:.0} % with the view"
    );
    let mut spent = Vec::with_capacity(2 * CHANGES);
    for _ in 0..CHANGES {
        spent.push(spend(|| sink.update(&less))?.1);
        spent.push(spend(|| sink.update(&all))?.1);
    }
    report("change", median(spent));
    if let Some(unencodable) = sink.take_unencodable() {
        return Err(unencodable.into());
    }
    Ok(())
}

/// What makes a cluster leaves a heap of small pieces, whose clearing up would be taken for ours: so a thread does it that has
/// a heap of its own.
#[expect(clippy::disallowed_methods, reason = "nothing else runs meanwhile")]
fn events_by_themselves(services: usize) -> Result<Vec<WatchEvent>, &'static str> {
    let events = thread::spawn(move || events(services)).join();
    events.map_err(|_| "the cluster was not made")
}

/// Seconds of this thread's processor, and of the clock.
type Spent = (f64, f64);

fn spend<T, E>(work: impl FnOnce() -> Result<T, E>) -> Result<(T, Spent), E> {
    let clocks = [ClockId::ThreadCPUTime, ClockId::Monotonic];
    let before = clocks.map(seconds);
    let done = work()?;
    let after = clocks.map(seconds);
    Ok((done, (after[0] - before[0], after[1] - before[1])))
}

fn seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn median(spent: Vec<Spent>) -> Spent {
    let (mut processor, mut wall): (Vec<f64>, Vec<f64>) = spent.into_iter().unzip();
    let middle = processor.len() / 2;
    processor.sort_by(f64::total_cmp);
    wall.sort_by(f64::total_cmp);
    (processor[middle], wall[middle])
}

fn report(what: &str, (processor, wall): Spent) {
    println!(
        "{:<18} {what:<7} {processor:8.6} s of CPU {wall:8.6} s",
        "flat by netlink"
    );
}
