//! Judging connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use api::ObjectKey;
use base::format_duration;
use control::{Connection, Outcome, ReferenceError};

use super::{Mismatch, counted};
use crate::expect::{Backends, ConnectCheck, Outcomes};

/// The Pods that `backends:` stood for when the step began.
#[derive(Clone, Debug, Default)]
pub struct ExpectedPods {
    names: BTreeSet<String>,
    /// What it names and was not there: nobody can answer for it.
    missing: Vec<ReferenceError>,
}

impl FromIterator<Result<Vec<ObjectKey>, ReferenceError>> for ExpectedPods {
    fn from_iter<I>(references: I) -> Self
    where
        I: IntoIterator<Item = Result<Vec<ObjectKey>, ReferenceError>>,
    {
        let mut expected = Self::default();
        for reference in references {
            match reference {
                Ok(keys) => expected.names.extend(keys.iter().map(ToString::to_string)),
                Err(missing) => expected.missing.push(missing),
            }
        }
        expected
    }
}

/// Judges connections; `expected` is what `backends:` stands for.
#[must_use]
pub fn connect(
    check: &ConnectCheck,
    expected: &ExpectedPods,
    seen: &[Connection],
) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    if let Some(outcomes) = &check.outcomes {
        judge_outcomes(outcomes, seen, &mut mismatches);
    }
    if let Some(backends) = &check.backends {
        let strangers = judge_backends(backends, expected, &backend_counts(seen), &mut mismatches);
        for (mismatch, name) in strangers {
            let is_it =
                |one: &Connection| one.backend.as_ref().is_some_and(|peer| peer.name == name);
            mismatches[mismatch].examples = all_of(seen, is_it);
        }
    }
    if check.uniform {
        let named = matches!(
            check.backends,
            Some(Backends::Exactly(_) | Backends::Within(_))
        );
        judge_spread(named.then_some(expected), seen, &mut mismatches);
    }
    if let Some(wanted) = check.peer_seen {
        judge_peer(wanted, seen, &mut mismatches);
    }
    let latencies = latencies(seen);
    for (rank, range) in &check.latency {
        match rank.of(&latencies) {
            None => mismatches.push(
                "no connection was made, so there is no latency"
                    .to_owned()
                    .into(),
            ),
            Some(latency) if range.contains(latency) => {}
            Some(latency) => {
                let text = format!(
                    "{} of the latency is {}",
                    rank.as_str(),
                    format_duration(latency)
                );
                mismatches.push(text.into());
            }
        }
    }
    mismatches
}

/// How many connections ended in each way that occurred.
#[must_use]
pub fn outcome_counts(seen: &[Connection]) -> BTreeMap<Outcome, u64> {
    let mut counts = BTreeMap::new();
    for connection in seen {
        *counts.entry(connection.outcome).or_default() += 1;
    }
    counts
}

/// How many connections each backend answered.
#[must_use]
pub fn backend_counts(seen: &[Connection]) -> BTreeMap<&str, u64> {
    let mut counts = BTreeMap::new();
    for peer in seen
        .iter()
        .filter_map(|connection| connection.backend.as_ref())
    {
        *counts.entry(peer.name.as_str()).or_default() += 1;
    }
    counts
}

/// The latencies of those connections that were made, in ascending order.
#[must_use]
pub fn latencies(seen: &[Connection]) -> Vec<Duration> {
    let mut latencies: Vec<Duration> = seen
        .iter()
        .filter_map(|connection| connection.latency)
        .collect();
    latencies.sort_unstable();
    latencies
}

fn judge_outcomes(check: &Outcomes, seen: &[Connection], mismatches: &mut Vec<Mismatch>) {
    let ended = |outcome| all_of(seen, |connection| connection.outcome == outcome);
    let counts = outcome_counts(seen);
    let total = seen.len();
    match check {
        Outcomes::AnyOf(allowed) => {
            for (outcome, count) in counts
                .iter()
                .filter(|(outcome, _)| !allowed.contains(outcome))
            {
                let text = match total {
                    1 => format!("it ended as {outcome}"),
                    _ => format!("{count} of {total} ended as {outcome}"),
                };
                mismatches.push(Mismatch {
                    text,
                    examples: ended(*outcome),
                });
            }
        }
        Outcomes::Counts(ranges) => {
            for outcome in Outcome::ALL {
                let count = counts.get(&outcome).copied().unwrap_or(0);
                let range = ranges.get(&outcome);
                if !range.map_or(count == 0, |range| range.contains(count)) {
                    let wanted = range.map_or_else(|| "none".to_owned(), ToString::to_string);
                    let text = format!("{count} of {total} ended as {outcome}, expected {wanted}");
                    // A connection that was made is no example of why there are too few of them.
                    let examples = match outcome {
                        Outcome::Connected => Vec::new(),
                        _ => ended(outcome),
                    };
                    mismatches.push(Mismatch { text, examples });
                }
            }
        }
    }
}

/// Judges how many each backend answered. Gives the complaints of backends that were not expected, with their names.
pub(super) fn judge_backends(
    check: &Backends,
    expected: &ExpectedPods,
    counts: &BTreeMap<&str, u64>,
    mismatches: &mut Vec<Mismatch>,
) -> Vec<(usize, String)> {
    let mut strangers = Vec::new();
    if let Backends::Count(range) = check {
        let count = counts.len();
        if !range.contains(count as u64) {
            let answered = counted(count, "backend", "backends");
            mismatches.push(format!("{answered} answered, expected {range}").into());
        }
        return strangers;
    }
    let missing = expected.missing.iter();
    mismatches.extend(missing.map(|error| error.to_string().into()));
    for (name, count) in counts
        .iter()
        .filter(|(name, _)| !expected.names.contains(**name))
    {
        strangers.push((mismatches.len(), (*name).to_owned()));
        mismatches.push(format!("{name} answered {count} times and is not expected to").into());
    }
    if matches!(check, Backends::Exactly(_)) {
        let silent = expected
            .names
            .iter()
            .filter(|name| !counts.contains_key(name.as_str()));
        mismatches.extend(silent.map(|name| format!("{name} never answered").into()));
    }
    strangers
}

fn judge_spread(
    expected: Option<&ExpectedPods>,
    seen: &[Connection],
    mismatches: &mut Vec<Mismatch>,
) {
    let counts = backend_counts(seen);
    let names: BTreeSet<&str> = match expected {
        Some(expected) => expected.names.iter().map(String::as_str).collect(),
        None => counts.keys().copied().collect(),
    };
    let total: u64 = counts.values().sum();
    let shares = names.len() as u64;
    if total == 0 {
        mismatches.push("nobody answered, so nothing is spread".to_owned().into());
        return;
    }
    for name in names {
        let count = counts.get(name).copied().unwrap_or(0);
        // (count − n/k)² ≤ 16·n·(k−1)/k², in whole numbers.
        let distance = (count * shares).abs_diff(total);
        let is_far = distance * distance > 16 * total * (shares - 1);
        if count == 0 || is_far {
            let text =
                format!("{name} answered {count} of {total}: not a uniform spread over {shares}");
            mismatches.push(text.into());
        }
    }
}

fn judge_peer(wanted: IpAddr, seen: &[Connection], mismatches: &mut Vec<Mismatch>) {
    let other =
        |connection: &Connection| connection.peer_seen.is_some_and(|peer| peer.ip() != wanted);
    if let Some(index) = seen.iter().position(other)
        && let Some(peer) = seen[index].peer_seen
    {
        let text = format!("a server saw the connection come from {}", peer.ip());
        mismatches.push(Mismatch {
            text,
            examples: all_of(seen, other),
        });
    } else if seen.iter().all(|connection| connection.peer_seen.is_none()) {
        mismatches.push("no server saw a connection".to_owned().into());
    }
}

/// The places of those connections that are so.
fn all_of(seen: &[Connection], is_so: impl Fn(&Connection) -> bool) -> Vec<usize> {
    let places = seen.iter().enumerate().filter(|(_, one)| is_so(one));
    places.map(|(place, _)| place).collect()
}
