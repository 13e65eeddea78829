//! `traffic` and `stop`: requests while other steps run.

use std::collections::{BTreeMap, BTreeSet};

use control::{ReferenceError, Tally, Target, TrafficFailure, TrafficReport, TrafficRequest};
use serde_json::{Map, Value as Json, json};

use crate::act::Judged;
use crate::connect::expected_pods_of;
use crate::expect::StopCheck;
use crate::judge;
use crate::metrics::latency_json;
use crate::run::Runner;
use crate::step::TrafficStart;
use crate::words;

/// Failures that are told of in words.
const TOLD_MAX: usize = 4;

/// What goes on between the steps of a run.
#[derive(Default)]
pub(crate) struct Background {
    /// Where connections go that are held.
    pub(crate) held: BTreeMap<String, Target>,
    /// Traffic that nobody has stopped.
    pub(crate) running: BTreeSet<String>,
}

pub(crate) fn traffic(
    runner: &mut Runner<'_>,
    start: &TrafficStart,
) -> Result<Judged, ReferenceError> {
    let from = start.from.iter().map(|from| from.sender(runner.world));
    let request = TrafficRequest {
        id: start.id.clone(),
        from: from.collect::<Result<_, _>>()?,
        to: start.dial.to.clone(),
        protocol: start.dial.protocol,
        rate: start.rate,
        span: start.span,
        reuse: start.reuse,
        timeout: start.dial.timeout,
        payload: start.dial.payload.clone(),
    };
    runner.world.start_traffic(&request)?;
    runner.background.running.insert(start.id.clone());
    Ok(Judged::by(&[], json!({}), Vec::new()))
}

pub(crate) fn stop(
    runner: &mut Runner<'_>,
    id: &str,
    check: Option<&StopCheck>,
) -> Result<Judged, ReferenceError> {
    let backends = check.and_then(|check| check.backends.as_ref());
    let expected = expected_pods_of(runner, backends);
    let seen = runner.world.stop_traffic(id)?;
    runner.background.running.remove(id);
    runner.metrics().count_traffic(&seen);
    let mismatches = check.map_or_else(Vec::new, |check| judge::stop(check, &expected, &seen));
    let lines = summary(&seen, &runner.scenario.namespace);
    let mut judged = Judged::by(&mismatches, observed(&seen), lines);
    if !judged.passed {
        judged
            .why
            .extend(seen.failures.iter().take(TOLD_MAX).map(failure));
    }
    Ok(judged)
}

impl Runner<'_> {
    /// Ends the traffic that no step has stopped.
    pub(crate) fn stop_the_rest(&mut self) {
        for id in std::mem::take(&mut self.background.running) {
            let Ok(seen) = self.world.stop_traffic(&id) else {
                continue;
            };
            self.metrics().count_traffic(&seen);
            let lines = summary(&seen, &self.scenario.namespace).join("; ");
            self.warn(format!("traffic {id} was never stopped: {lines}"));
        }
    }
}

fn summary(seen: &TrafficReport, namespace: &str) -> Vec<String> {
    let mut lines = vec![words::traffic(&seen.all(), namespace)];
    if seen.established.total() > 0 {
        let (new, established) = (seen.new.total(), seen.established.total());
        lines.push(format!(
            "{new} on new connections ({} failed), {established} on established ones ({} failed)",
            seen.new.failed(),
            seen.established.failed()
        ));
    }
    for (count, what) in [
        (seen.nobody, "times nobody was there to send"),
        (seen.abandoned, "requests were given up with their client"),
    ] {
        if count > 0 {
            lines.push(format!("{count} {what}"));
        }
    }
    lines.extend(
        seen.failures
            .first()
            .map(|first| format!("first failure: {}", failure(first))),
    );
    lines
}

/// `at 10.2s deployment/… : refused: node-a's rules still had …`
fn failure(failure: &TrafficFailure) -> String {
    let TrafficFailure {
        started,
        from,
        outcome,
        why,
        ..
    } = failure;
    format!("{outcome} at {started}, {from}: {why}")
}

fn observed(seen: &TrafficReport) -> Json {
    let failures = seen.failures.iter().map(|failure| {
        json!({
            "startNs": failure.started.as_nanos(),
            "endNs": failure.finished.as_nanos(),
            "from": failure.from.to_string(),
            "outcome": failure.outcome.as_str(),
            "connection": if failure.established { "established" } else { "new" },
            "why": failure.why,
        })
    });
    json!({
        "startNs": seen.started.as_nanos(),
        "endNs": seen.ended.as_nanos(),
        "all": tally_json(&seen.all()),
        "new": tally_json(&seen.new),
        "established": tally_json(&seen.established),
        "nobody": seen.nobody,
        "abandoned": seen.abandoned,
        "failures": failures.collect::<Vec<_>>(),
    })
}

fn tally_json(tally: &Tally) -> Json {
    let outcomes = tally.by(|fate| Some(fate.outcome));
    let outcomes = outcomes
        .into_iter()
        .map(|(outcome, count)| (outcome.as_str().to_owned(), Json::from(count)));
    let mut zones: BTreeMap<&str, BTreeMap<&str, u64>> = BTreeMap::new();
    let pairs = tally.by(|fate| Some((&*fate.from_zone, fate.to_zone.as_deref()?)));
    for ((from, to), count) in pairs {
        zones.entry(from).or_default().insert(to, count);
    }
    json!({
        "requests": tally.total(),
        "failed": tally.failed(),
        "outcomes": outcomes.collect::<Map<_, _>>(),
        "backends": tally.by(|fate| fate.backend.as_deref()),
        "zones": zones,
        "latencyNs": latency_json(&tally.latency),
    })
}
