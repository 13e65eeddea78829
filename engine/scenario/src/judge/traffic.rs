//! Judging traffic.

use base::format_duration;
use control::{Tally, TrafficReport};

use super::connections::judge_backends;
use super::{ExpectedPods, Mismatch};
use crate::expect::{StopCheck, TallyCheck};

/// Judges traffic that has ended; `expected` is what `backends:` stands for.
#[must_use]
pub fn stop(check: &StopCheck, expected: &ExpectedPods, seen: &TrafficReport) -> Vec<Mismatch> {
    let all = seen.all();
    let mut mismatches = Vec::new();
    for (check, seen, of) in [
        (&check.all, &all, ""),
        (&check.new, &seen.new, " on new connections"),
        (
            &check.established,
            &seen.established,
            " on established connections",
        ),
    ] {
        judge_tally(check, seen, of, &mut mismatches);
    }
    if let Some(backends) = &check.backends {
        let counts = all.by(|fate| fate.backend.as_deref());
        judge_backends(backends, expected, &counts, &mut mismatches);
    }
    for (rank, range) in &check.latency {
        let name = rank.as_str();
        match all.latency.percentile(rank.hundredths().into()) {
            Some(latency) if range.contains(latency) => {}
            Some(latency) => {
                let latency = format_duration(latency);
                mismatches.push(format!("{name} of the latency is {latency}").into());
            }
            None => mismatches.push(
                "no request was answered, so there is no latency"
                    .to_owned()
                    .into(),
            ),
        }
    }
    mismatches
}

fn judge_tally(check: &TallyCheck, seen: &Tally, of: &str, mismatches: &mut Vec<Mismatch>) {
    let total = seen.total();
    let failed = check
        .failed
        .iter()
        .map(|range| ("failed".to_owned(), seen.failed(), range));
    let outcomes = check
        .outcomes
        .iter()
        .map(|(outcome, range)| (format!("ended as {outcome}"), seen.count(*outcome), range));
    for (what, count, range) in failed.chain(outcomes) {
        if !range.contains(count) {
            let text = format!("{count} of {total} requests{of} {what}, expected {range}");
            mismatches.push(text.into());
        }
    }
}
