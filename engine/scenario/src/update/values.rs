//! What a step's expectation would have to be, for what was seen to be expected.

use std::time::Duration;

use api::yaml::Path;
use base::format_duration;
use serde_json::{Map, Value as Json, json};

use super::{explain, rules, stop};
use crate::range::Range;
use crate::report::StepReport;

/// One value of an expectation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Change {
    /// The value at this path below `expect` becomes this one.
    To(Path, Json),
    /// These keys of `expect` get these values, whether or not they are there; with null they go.
    Keys(Map<String, Json>),
    /// It cannot be said, for this reason.
    Cannot(String),
}

/// Everything of a failed step's expectation that does not hold.
pub(super) fn changes(step: &StepReport, namespace: &str) -> Vec<Change> {
    let (Some(given), Some(seen)) = (step.expected.as_object(), step.observed.as_object()) else {
        return Vec::new();
    };
    if given.is_empty() {
        return vec![Change::Cannot("it expects nothing and failed".to_owned())];
    }
    if seen.is_empty() {
        return vec![Change::Cannot("nothing was seen".to_owned())];
    }
    if step.verb == "rules" {
        return vec![rules::rules(given, seen)];
    }
    let mut found = Vec::new();
    for (key, given) in given {
        match (step.verb, key.as_str()) {
            ("resolve", _) => found.extend(resolve(key, given, seen)),
            ("connect" | "open" | "send", _) => {
                found.extend(connect(key, given, seen, step, namespace));
            }
            ("probe", _) => found.extend(probe(key, given, seen)),
            ("stop", _) => found.extend(stop::stop(key, given, seen, step, namespace)),
            ("explain", _) => found.extend(explain::explain(key, given, seen)),
            ("get", "object") => match seen.get(key) {
                Some(seen) => fields(&Path::root().key(key), given, seen, &mut found),
                None => found.extend(cannot("no object was seen")),
            },
            _ => found.extend(printed(key, given, seen)),
        }
    }
    match found.is_empty() {
        true => vec![Change::Cannot(
            "what failed has no value of its own to write".to_owned(),
        )],
        false => found,
    }
}

pub(super) fn to(key: &str, value: impl Into<Json>) -> Option<Change> {
    Some(Change::To(Path::root().key(key), value.into()))
}

pub(super) fn cannot(why: &str) -> Option<Change> {
    Some(Change::Cannot(why.to_owned()))
}

/// The words of one value or a list.
pub(super) fn words(given: &Json) -> Vec<&str> {
    match given {
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// A word alone, or several as a list.
fn one_or_list(mut words: Vec<&str>) -> Json {
    match words.len() {
        1 => words.remove(0).into(),
        _ => words.into(),
    }
}

/// Whether a count lies in the range that is given.
pub(super) fn holds(given: &Json, count: u64) -> bool {
    let text = given
        .as_str()
        .map_or_else(|| given.to_string(), str::to_owned);
    let range: Result<Range<u64>, _> = text.parse();
    range.is_ok_and(|range| range.contains(count))
}

fn resolve(key: &str, given: &Json, seen: &Map<String, Json>) -> Option<Change> {
    let now = seen.get(key)?;
    let sorted = |value: &Json| {
        let mut words: Vec<String> = words(value).into_iter().map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    let is_met = match key {
        "rcode" => words(given).contains(&now.as_str()?),
        "answers" => sorted(given) == sorted(now),
        _ => holds(given, now.as_u64()?),
    };
    if is_met { None } else { to(key, now.clone()) }
}

fn connect(
    key: &str,
    given: &Json,
    seen: &Map<String, Json>,
    step: &StepReport,
    namespace: &str,
) -> Option<Change> {
    let counts = |key: &str| seen.get(key).and_then(Json::as_object);
    match key {
        "outcome" => {
            let ended: Vec<&str> = counts("outcomes")?.keys().map(String::as_str).collect();
            let allowed = words(given);
            let is_met = ended.iter().all(|one| allowed.contains(one));
            if is_met {
                None
            } else {
                to(key, one_or_list(ended))
            }
        }
        "outcomes" => {
            let (ended, given) = (counts("outcomes")?, given.as_object()?);
            let count = |outcome: &str| ended.get(outcome).and_then(Json::as_u64).unwrap_or(0);
            let is_met = given
                .iter()
                .all(|(outcome, range)| holds(range, count(outcome)))
                && ended.keys().all(|outcome| given.contains_key(outcome));
            if is_met { None } else { to(key, ended.clone()) }
        }
        "backends" => backends(given, counts("backends")?, step, namespace),
        "peerSeen" => match &seen.get("peersSeen")?.as_array()?[..] {
            [only] if only == given => None,
            [only] => to(key, only.clone()),
            _ => cannot("servers saw several addresses, or none"),
        },
        "latency" => latency(given, counts("latencyNs")?),
        _ => None,
    }
}

/// Who answered, by what the expectation says of them.
pub(super) fn backends(
    given: &Json,
    answered: &Map<String, Json>,
    step: &StepReport,
    namespace: &str,
) -> Option<Change> {
    // What workloads stand for is known only to whoever judged.
    let about = [
        "never answered",
        "is not expected to",
        "answered, expected",
        "at this instant",
    ];
    let is_met = !step
        .why
        .iter()
        .any(|why| about.iter().any(|part| why.contains(part)));
    let way = given.as_object()?.keys().next()?;
    let prefix = format!("pod/{namespace}/");
    let names = answered
        .keys()
        .map(|name| match name.strip_prefix(&prefix) {
            Some(short) => format!("pod/{short}"),
            None => name.clone(),
        });
    let names: Vec<String> = names.collect();
    let now = match way.as_str() {
        "count" => Json::from(names.len()),
        _ => Json::from(names),
    };
    let path = Path::root().key("backends").key(way);
    (!is_met).then_some(Change::To(path, now))
}

/// The first percentile that is not as expected.
pub(super) fn latency(given: &Json, ranks: &Map<String, Json>) -> Option<Change> {
    let (rank, now) = given.as_object()?.iter().find_map(|(rank, range)| {
        let now = Duration::from_nanos(ranks.get(rank)?.as_u64()?);
        let range: Range<Duration> = range.as_str()?.parse().ok()?;
        (!range.contains(now)).then_some((rank, now))
    })?;
    let path = Path::root().key("latency").key(rank);
    Some(Change::To(path, format_duration(now).into()))
}

fn probe(key: &str, given: &Json, seen: &Map<String, Json>) -> Option<Change> {
    let outcomes = seen.get("outcomes")?.as_array()?;
    let sent: Vec<&Json> = outcomes
        .iter()
        .filter(|one| one.get("to").is_some())
        .collect();
    let verdicts = outcomes
        .iter()
        .filter_map(|one| one.get("verdict")?.as_str());
    let verdicts: Vec<&str> = verdicts.collect();
    match key {
        "verdict" if !sent.is_empty() => cannot("the packet is sent on: expect `backends`"),
        "verdict" => {
            let allowed = words(given);
            let is_met = verdicts.iter().all(|one| allowed.contains(one));
            if is_met {
                None
            } else {
                to(key, one_or_list(verdicts))
            }
        }
        "answered" => answered(given, outcomes),
        "backends" | "endpoints" | "snat" if !verdicts.is_empty() => {
            cannot(&format!("expect `verdict: {}`", verdicts.join(", ")))
        }
        "snat" => {
            let mut translated: Vec<&Json> = sent.iter().map(|one| &one["snat"]).collect();
            translated.dedup();
            match translated[..] {
                [only] if only == given => None,
                [only] => to(key, only.clone()),
                _ => cannot("some are translated and some are not: expect `endpoints`"),
            }
        }
        "backends" => {
            let mut now = sent
                .iter()
                .filter_map(|one| one["to"].as_str())
                .collect::<Vec<_>>();
            now.sort_unstable();
            now.dedup();
            let mut allowed = words(given);
            allowed.sort_unstable();
            if allowed == now { None } else { to(key, now) }
        }
        "endpoints" => {
            let now = sent.iter().map(|one| {
                let share = one["p"].as_f64().unwrap_or(1.0);
                json!({"to": one["to"], "snat": one["snat"], "p": fraction(share)})
            });
            to(key, now.collect::<Vec<_>>())
        }
        _ => None,
    }
}

/// Whether answers get back. Nobody answers what rules refuse or drop.
fn answered(given: &Json, outcomes: &[Json]) -> Option<Change> {
    let mut heard = outcomes.iter().map(|one| match one["verdict"].as_str() {
        Some("reject" | "drop") => Some(false),
        _ => one["answered"].as_bool(),
    });
    let first = heard.next()?;
    match (first, heard.all(|one| one == first)) {
        (Some(now), true) if *given == now => None,
        (Some(now), true) => to("answered", now),
        (None, true) => cannot("whether anybody answers is not known"),
        (_, false) => cannot("not all answers are known to get back, or known to be lost"),
    }
}

/// A share as scenarios write it; six digits are all that was seen of it.
fn fraction(share: f64) -> String {
    let of = |denominator: u32| {
        let numerator = (share * f64::from(denominator)).round();
        let is_it = (numerator / f64::from(denominator) - share).abs() < 1e-6;
        is_it.then(|| match denominator {
            1 => numerator.to_string(),
            _ => format!("{numerator}/{denominator}"),
        })
    };
    let exact = (1..=1000).find_map(of);
    exact.unwrap_or_else(|| format!("{}/1000000", (share * 1e6).round()))
}

/// A text that kubectl printed.
fn printed(key: &str, given: &Json, seen: &Map<String, Json>) -> Option<Change> {
    let now = match key {
        "output" => seen.get("output"),
        "error" => seen.get("error").or_else(|| seen.get("errors")?.get(0)),
        _ => return None,
    };
    let Some(now) = now.and_then(Json::as_str) else {
        return cannot(&format!("there was no {key}"));
    };
    match given.as_str() {
        Some(given) if given.trim() == now.trim() => None,
        Some(_) => to(key, now.trim_end()),
        None => cannot(&format!(
            "a part of the {key} is not there, and which other one is meant only you know"
        )),
    }
}

/// The fields of an object that are not as given; a list of another length is written anew, with the fields that were
/// given of its items.
fn fields(at: &Path, given: &Json, seen: &Json, found: &mut Vec<Change>) {
    match (given, seen) {
        (Json::Object(given), Json::Object(seen)) => {
            for (key, given) in given {
                fields(
                    &at.key(key),
                    given,
                    seen.get(key).unwrap_or(&Json::Null),
                    found,
                );
            }
        }
        (Json::Array(given), Json::Array(seen)) if given.len() == seen.len() => {
            for (index, (given, seen)) in given.iter().zip(seen).enumerate() {
                fields(&at.index(index), given, seen, found);
            }
        }
        (given, seen) if given == seen => {}
        (given, seen) => found.push(Change::To(at.clone(), like(given, seen))),
    }
}

/// As much of `seen` as `given` says something about.
fn like(given: &Json, seen: &Json) -> Json {
    match (given, seen) {
        (Json::Object(given), Json::Object(seen)) => {
            let fields = given.iter().map(|(key, given)| {
                let seen = seen.get(key).unwrap_or(&Json::Null);
                (key.clone(), like(given, seen))
            });
            Json::Object(fields.collect())
        }
        (Json::Array(given), Json::Array(seen)) => {
            let shape = |index: usize| given.get(index).or(given.last());
            let items = seen
                .iter()
                .enumerate()
                .map(|(index, seen)| match shape(index) {
                    Some(given) => like(given, seen),
                    None => seen.clone(),
                });
            items.collect()
        }
        (_, seen) => seen.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_as_fractions() {
        let check = |share: f64, text: &str| assert_eq!(fraction(share), text);
        check(1.0, "1");
        check(0.333_333, "1/3");
        check(0.666_667, "2/3");
        check(0.0, "0");
    }

    #[test]
    fn only_the_fields_that_differ() {
        let given = json!({"spec": {"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}, "kind": "Service"});
        let seen = json!({"spec": {"type": "ClusterIP", "x": 1, "ports": [{"port": 80, "name": "a"}]}, "kind": "Service"});
        let mut found = Vec::new();
        fields(&Path::root(), &given, &seen, &mut found);
        let to = |path: &str, value: Json| Change::To(Path::parse(path), value);
        let expected = [
            to("spec.type", json!("ClusterIP")),
            to("spec.ports", json!([{"port": 80}])),
        ];
        assert_eq!(found, expected);
    }
}
