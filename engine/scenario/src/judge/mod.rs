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

mod connections;
mod probes;
mod traffic;

use control::Resolution;
use serde_json::Value as Json;

use crate::expect::{ResolveCheck, RulesCheck, TextCheck};

pub use connections::{ExpectedPods, backend_counts, connect, latencies, outcome_counts};
pub use probes::{percent, probe, probe_shares, probe_words, verdict_of};
pub use traffic::stop;

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// In words.
    pub text: String,
    /// The connections that show it, by their place among those judged.
    pub examples: Vec<usize>,
}

impl From<String> for Mismatch {
    fn from(text: String) -> Self {
        Self {
            text,
            examples: Vec::new(),
        }
    }
}

/// Judges the text that kubectl printed for a refusal.
#[must_use]
pub fn error_text(check: &TextCheck, seen: Option<&str>) -> Vec<Mismatch> {
    match seen {
        None => vec!["nothing was refused".to_owned().into()],
        Some(seen) => text(check, seen, "the error"),
    }
}

/// Judges a printed text; `what` is what it is called.
#[must_use]
pub fn text(check: &TextCheck, seen: &str, what: &str) -> Vec<Mismatch> {
    match check {
        TextCheck::Exactly(wanted) if wanted.trim() == seen.trim() => Vec::new(),
        TextCheck::Exactly(_) => vec![format!("{what} is another one").into()],
        TextCheck::Contains(parts) => missing_parts(parts, seen, what),
        TextCheck::Matches(pattern) if pattern.is_match(seen.trim()) => Vec::new(),
        TextCheck::Matches(pattern) => {
            vec![format!("{what} does not match {:?}", pattern.as_str()).into()]
        }
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
        mismatches.push(
            format!(
                "it took {}",
                counted(seen.attempts.len(), "query", "queries")
            )
            .into(),
        );
    }
    mismatches
}

/// `1 query`, `2 queries`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
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
            let text = format!(
                "{path} has {}, expected {}",
                counted(seen.len(), "item", "items"),
                given.len()
            );
            mismatches.push(text.into());
        }
        // As in manifests, null is the same as absent.
        (Json::Null, None) => {}
        (given, Some(seen)) if given == seen => {}
        (given, Some(seen)) => {
            mismatches.push(format!("{path} is {seen}, expected {given}").into());
        }
        (given, None) => mismatches.push(format!("{path} is absent, expected {given}").into()),
    }
}
