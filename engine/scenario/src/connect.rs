//! `connect`, and judging the connections of every verb that makes some.

use std::collections::BTreeSet;

use control::{Connection, ReferenceError, Target};
use serde_json::{Map, Value as Json, json};

use crate::act::Judged;
use crate::expect::{Backends, ConnectCheck, Percentile};
use crate::judge::{self, ExpectedPods};
use crate::reference::SourceRef;
use crate::report::nanos;
use crate::run::Runner;
use crate::step::Dial;
use crate::{why, words};

pub(crate) fn connect(
    runner: &mut Runner<'_>,
    from: &SourceRef,
    dial: &Dial,
    check: Option<&ConnectCheck>,
) -> Result<Judged, ReferenceError> {
    let expected = expected_pods(runner, check);
    let from = from.resolve(runner.world)?;
    let seen = runner.world.connect(&dial.request(from.clone()))?;
    runner.count(&from, &seen);
    let what = format!("connect to {}", dial.to);
    Ok(judge_connections(
        runner,
        (&what, &dial.to),
        check,
        &expected,
        &seen,
    ))
}

/// The Pods that an expectation of backends stands for at this instant.
pub(crate) fn expected_pods(runner: &Runner<'_>, check: Option<&ConnectCheck>) -> ExpectedPods {
    expected_pods_of(runner, check.and_then(|check| check.backends.as_ref()))
}

pub(crate) fn expected_pods_of(runner: &Runner<'_>, backends: Option<&Backends>) -> ExpectedPods {
    match backends {
        Some(Backends::Exactly(pods) | Backends::Within(pods)) => {
            pods.iter().map(|pods| pods.pods(runner.world)).collect()
        }
        Some(Backends::Count(_)) | None => ExpectedPods::default(),
    }
}

/// Judges connections that were made to a target, or what was sent there on one; `what` is what their client did.
pub(crate) fn judge_connections(
    runner: &Runner<'_>,
    (what, to): (&str, &Target),
    check: Option<&ConnectCheck>,
    expected: &ExpectedPods,
    seen: &[Connection],
) -> Judged {
    let mismatches = check.map_or_else(Vec::new, |check| judge::connect(check, expected, seen));
    let summary = words::connections(seen, &runner.scenario.namespace);
    let mut judged = Judged::by(&mismatches, connections_json(seen), vec![summary]);
    let examples: BTreeSet<usize> = mismatches
        .iter()
        .flat_map(|mismatch| &mismatch.examples)
        .copied()
        .collect();
    let explained = why::samples(examples.into_iter().map(|index| &seen[index]))
        .into_iter()
        .flat_map(|one| why::attempt(what, to, one));
    let explained: Vec<String> = explained.collect();
    judged.why.splice(0..0, explained);
    judged
}

fn connections_json(seen: &[Connection]) -> Json {
    let count = |counts: Vec<(&str, u64)>| -> Map<String, Json> {
        counts
            .into_iter()
            .map(|(key, count)| (key.to_owned(), count.into()))
            .collect()
    };
    let outcomes = judge::outcome_counts(seen);
    let outcomes = outcomes
        .iter()
        .map(|(outcome, count)| (outcome.as_str(), *count))
        .collect();
    let peers: BTreeSet<String> = seen
        .iter()
        .filter_map(|one| one.peer_seen)
        .map(|peer| peer.ip().to_string())
        .collect();
    let latencies = judge::latencies(seen);
    let ranks = Percentile::ALL
        .iter()
        .filter_map(|(key, rank)| Some((*key, nanos(rank.of(&latencies)?))));
    json!({
        "connections": seen.len(),
        "outcomes": count(outcomes),
        "backends": count(judge::backend_counts(seen).into_iter().collect()),
        "peersSeen": peers,
        "latencyNs": count(ranks.collect()),
    })
}
