//! Comparing what was seen with what was expected.
//!
//! **What.** One pure function per verb; each returns every [`Mismatch`] in words, none when the expectation holds.
//! **Why.** Worlds differ, judging does not: nothing here touches a world.
//! **Source of the semantics.** The scenario language's contract, and where it leaves a choice:
//! - `outcomes`: a way of ending that is not named must not occur.
//! - `spread: uniform`: of n connections answered by k expected backends, each backend has at least one, and
//!   none is further than four standard deviations of a fair die, √(n·(1/k)·(1−1/k)), from n/k.
//! - `p:` of a probe agrees within 10⁻⁶: kernel rules hold probabilities as multiples of 2⁻³¹.
//! - `object:` compares the items of a list one by one, each by the fields given; lengths must agree.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use api::ObjectKey;
use base::format_duration;
use control::{Connection, Outcome, Probe, ProbeOutcome, Resolution};
use serde_json::Value as Json;

use crate::expect::{
    Backends, ConnectCheck, EndpointCheck, ErrorText, Fraction, Outcomes, ProbeCheck, ResolveCheck,
    RulesCheck, Verdict,
};

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// In words.
    pub text: String,
    /// The first connection that shows it, among those judged.
    pub example: Option<usize>,
}

impl From<String> for Mismatch {
    fn from(text: String) -> Self {
        Self {
            text,
            example: None,
        }
    }
}

/// The Pods that `backends:` stood for when the step began.
#[derive(Clone, Debug, Default)]
pub struct ExpectedPods(BTreeSet<String>);

impl FromIterator<ObjectKey> for ExpectedPods {
    fn from_iter<I: IntoIterator<Item = ObjectKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| key.to_string()).collect())
    }
}

/// Judges the text that kubectl printed for a refusal.
#[must_use]
pub fn error_text(check: &ErrorText, seen: Option<&str>) -> Vec<Mismatch> {
    let Some(seen) = seen else {
        return vec!["nothing was refused".to_owned().into()];
    };
    match check {
        ErrorText::Exactly(text) if text.trim() == seen.trim() => Vec::new(),
        ErrorText::Exactly(_) => vec![format!("the error is another one: {seen}").into()],
        ErrorText::Contains(parts) => missing_parts(parts, seen, "the error"),
    }
}

/// Judges a printed text by its parts.
#[must_use]
pub fn missing_parts(parts: &[String], seen: &str, what: &str) -> Vec<Mismatch> {
    let missing = parts.iter().filter(|part| !seen.contains(part.as_str()));
    missing
        .map(|part| format!("{what} does not contain {part:?}").into())
        .collect()
}

/// Judges the fields of an object: every one of `given` must be in `seen` and equal.
#[must_use]
pub fn object(given: &Json, seen: &Json) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    compare(given, Some(seen), "", &mut mismatches);
    mismatches
}

/// Judges the text of a node's rules.
#[must_use]
pub fn rules(check: &RulesCheck, seen: &str) -> Vec<Mismatch> {
    let mut mismatches = missing_parts(&check.contains, seen, "the rules' text");
    for part in &check.absent {
        if let Some(line) = seen.lines().find(|line| line.contains(part.as_str())) {
            mismatches.push(format!("{part:?} should be absent, but there is: {line}").into());
        } else if seen.contains(part.as_str()) {
            mismatches.push(format!("{part:?} should be absent").into());
        }
    }
    mismatches
}

/// Judges a lookup.
#[must_use]
pub fn resolve(check: &ResolveCheck, seen: &Resolution) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    if !check.rcode.is_empty() && !check.rcode.contains(&seen.rcode) {
        mismatches.push(format!("the answer's code is {}", seen.rcode).into());
    }
    if let Some(expected) = &check.answers {
        let sorted = |mut texts: Vec<&str>| {
            texts.sort_unstable();
            texts.join(", ")
        };
        let expected = sorted(expected.iter().map(String::as_str).collect());
        let answers = sorted(
            seen.answers
                .iter()
                .map(|answer| answer.data.as_str())
                .collect(),
        );
        if expected != answers {
            let answers = if answers.is_empty() {
                "nothing"
            } else {
                &answers
            };
            mismatches.push(format!("the answers are {answers}").into());
        }
    }
    if let Some(queries) = check.queries
        && !queries.contains(seen.attempts.len() as u64)
    {
        mismatches.push(format!("it took {} queries", seen.attempts.len()).into());
    }
    mismatches
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
        judge_backends(backends, expected, seen, &mut mismatches);
    }
    if check.uniform {
        judge_spread(
            check.backends.is_some().then_some(expected),
            seen,
            &mut mismatches,
        );
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

/// Judges what may become of a first packet.
#[must_use]
pub fn probe(check: &ProbeCheck, seen: &Probe) -> Vec<Mismatch> {
    let mut mismatches = Vec::new();
    let shares = probe_shares(seen);
    if let Some(backends) = &check.backends {
        let wanted = backends.iter().map(|to| EndpointCheck {
            to: *to,
            snat: None,
            share: None,
        });
        judge_endpoints(&wanted.collect::<Vec<_>>(), &shares, &mut mismatches);
    }
    if let Some(endpoints) = &check.endpoints {
        judge_endpoints(endpoints, &shares, &mut mismatches);
    }
    if let Some(wanted) = check.snat {
        for (outcome, _) in &shares {
            match outcome {
                ProbeOutcome::Endpoint { snat, .. } if *snat == wanted => {}
                ProbeOutcome::Endpoint { to, snat: true } => {
                    mismatches.push(format!("the source is translated on the way to {to}").into());
                }
                ProbeOutcome::Endpoint { to, snat: false } => {
                    mismatches
                        .push(format!("the source is not translated on the way to {to}").into());
                }
                other => {
                    mismatches.push(format!("the packet is {} instead", probe_words(other)).into())
                }
            }
        }
    }
    if let Some(verdicts) = &check.verdicts {
        for (outcome, share) in &shares {
            if !verdict_of(outcome).is_some_and(|verdict| verdicts.contains(&verdict)) {
                mismatches.push(
                    format!(
                        "the packet is {} ({})",
                        probe_words(outcome),
                        percent(*share)
                    )
                    .into(),
                );
            }
        }
    }
    mismatches
}

/// Every outcome once, with the sum of its shares, in the order of first appearance.
#[must_use]
pub fn probe_shares(seen: &Probe) -> Vec<(ProbeOutcome, f64)> {
    let mut shares: Vec<(ProbeOutcome, f64)> = Vec::new();
    for (share, outcome) in &seen.outcomes {
        match shares.iter_mut().find(|(known, _)| known == outcome) {
            Some((_, sum)) => *sum += share.as_f64(),
            None => shares.push((outcome.clone(), share.as_f64())),
        }
    }
    shares
}

/// What becomes of a packet: `sent to 10.244.1.2:8080`.
#[must_use]
pub fn probe_words(outcome: &ProbeOutcome) -> String {
    match outcome {
        ProbeOutcome::Endpoint { to, snat: false } => format!("sent to {to}"),
        ProbeOutcome::Endpoint { to, snat: true } => {
            format!("sent to {to} with a translated source")
        }
        ProbeOutcome::Reject => "refused by a rule".to_owned(),
        ProbeOutcome::Drop => "dropped by a rule".to_owned(),
        ProbeOutcome::Untouched => "left untouched by every Service's rules".to_owned(),
    }
}

/// A share for people: `33.3%`.
#[must_use]
pub fn percent(share: f64) -> String {
    let text = format!("{:.1}", share * 100.0);
    format!("{}%", text.strip_suffix(".0").unwrap_or(&text))
}

/// The verdict that an outcome is, unless the packet is sent on.
#[must_use]
pub fn verdict_of(outcome: &ProbeOutcome) -> Option<Verdict> {
    match outcome {
        ProbeOutcome::Endpoint { .. } => None,
        ProbeOutcome::Reject => Some(Verdict::Reject),
        ProbeOutcome::Drop => Some(Verdict::Drop),
        ProbeOutcome::Untouched => Some(Verdict::Untouched),
    }
}

fn judge_outcomes(check: &Outcomes, seen: &[Connection], mismatches: &mut Vec<Mismatch>) {
    let first = |outcome| {
        seen.iter()
            .position(|connection| connection.outcome == outcome)
    };
    let counts = outcome_counts(seen);
    let total = seen.len();
    match check {
        Outcomes::AnyOf(allowed) => {
            for (outcome, count) in counts
                .iter()
                .filter(|(outcome, _)| !allowed.contains(outcome))
            {
                let text = format!("{count} of {total} ended as {outcome}");
                mismatches.push(Mismatch {
                    text,
                    example: first(*outcome),
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
                    let example = first(outcome).filter(|_| outcome != Outcome::Connected);
                    mismatches.push(Mismatch { text, example });
                }
            }
        }
    }
}

fn judge_backends(
    check: &Backends,
    expected: &ExpectedPods,
    seen: &[Connection],
    mismatches: &mut Vec<Mismatch>,
) {
    let counts = backend_counts(seen);
    for (name, count) in counts
        .iter()
        .filter(|(name, _)| !expected.0.contains(**name))
    {
        let is_it = |connection: &Connection| {
            connection
                .backend
                .as_ref()
                .is_some_and(|peer| peer.name == *name)
        };
        let text = format!("{name} answered {count} times and is not expected to");
        mismatches.push(Mismatch {
            text,
            example: seen.iter().position(is_it),
        });
    }
    if matches!(check, Backends::Exactly(_)) {
        let silent = expected
            .0
            .iter()
            .filter(|name| !counts.contains_key(name.as_str()));
        mismatches.extend(silent.map(|name| format!("{name} never answered").into()));
    }
}

fn judge_spread(
    expected: Option<&ExpectedPods>,
    seen: &[Connection],
    mismatches: &mut Vec<Mismatch>,
) {
    let counts = backend_counts(seen);
    let names: BTreeSet<&str> = match expected {
        Some(expected) => expected.0.iter().map(String::as_str).collect(),
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
            example: Some(index),
        });
    } else if seen.iter().all(|connection| connection.peer_seen.is_none()) {
        mismatches.push("no server saw a connection".to_owned().into());
    }
}

fn judge_endpoints(
    wanted: &[EndpointCheck],
    shares: &[(ProbeOutcome, f64)],
    mismatches: &mut Vec<Mismatch>,
) {
    const SHARE_ERROR_MAX: f64 = 1e-6;
    for (outcome, share) in shares {
        let known = matches!(outcome, ProbeOutcome::Endpoint { to, .. } if wanted.iter().any(|one| one.to == *to));
        if !known {
            let text = format!(
                "the packet may also be {} ({})",
                probe_words(outcome),
                percent(*share)
            );
            mismatches.push(text.into());
        }
    }
    for EndpointCheck { to, snat, share } in wanted {
        let reached = shares.iter().filter_map(|(outcome, share)| match outcome {
            ProbeOutcome::Endpoint { to: reached, snat } if reached == to => Some((*snat, *share)),
            _ => None,
        });
        let reached: Vec<(bool, f64)> = reached.collect();
        if reached.is_empty() {
            mismatches.push(format!("{to} is never chosen").into());
            continue;
        }
        if let Some(wanted) = snat
            && reached.iter().any(|(snat, _)| snat != wanted)
        {
            let is = if *wanted { "is not" } else { "is" };
            mismatches.push(format!("the source {is} translated on the way to {to}").into());
        }
        let sum: f64 = reached.iter().map(|(_, share)| share).sum();
        if let Some(wanted) = share.map(Fraction::as_f64)
            && (sum - wanted).abs() > SHARE_ERROR_MAX
        {
            mismatches.push(format!("{to} is chosen for {} of all", percent(sum)).into());
        }
    }
}

fn compare(given: &Json, seen: Option<&Json>, path: &str, mismatches: &mut Vec<Mismatch>) {
    match (given, seen) {
        (Json::Object(given), Some(Json::Object(seen))) => {
            for (key, value) in given {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                compare(value, seen.get(key), &path, mismatches);
            }
        }
        (Json::Array(given), Some(Json::Array(seen))) if given.len() == seen.len() => {
            for (index, (given, seen)) in given.iter().zip(seen).enumerate() {
                compare(given, Some(seen), &format!("{path}[{index}]"), mismatches);
            }
        }
        (Json::Array(given), Some(Json::Array(seen))) => {
            let text = format!("{path} has {} items, expected {}", seen.len(), given.len());
            mismatches.push(text.into());
        }
        // As in manifests, null is the same as absent.
        (Json::Null, None) => {}
        (given, Some(seen)) if given == seen => {}
        (given, Some(seen)) => {
            mismatches.push(format!("{path} is {seen}, expected {given}").into())
        }
        (given, None) => mismatches.push(format!("{path} is absent, expected {given}").into()),
    }
}
