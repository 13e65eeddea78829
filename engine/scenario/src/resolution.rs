//! The step `resolve`: one lookup, and its queries as JSON.

use control::{Attempt, ReferenceError, ResolveRequest};
use serde_json::{Value as Json, json};

use crate::act::Judged;
use crate::expect::ResolveCheck;
use crate::run::Runner;
use crate::{judge, why, words};

/// The queries of a lookup, in turn, as reports and the command line have them.
#[must_use]
pub fn attempts_json(attempts: &[Attempt]) -> Json {
    let attempts = attempts.iter().map(|attempt| {
        json!({
            "name": attempt.name,
            "type": attempt.record_type,
            "server": attempt.server.to_string(),
            "protocol": attempt.protocol.to_string().to_uppercase(),
            "result": attempt.result,
            "sentNs": attempt.sent.as_nanos(),
            "knownNs": attempt.known.as_nanos(),
        })
    });
    attempts.collect()
}

/// Looks a name up, and judges.
pub(crate) fn resolve(
    runner: &mut Runner<'_>,
    request: &ResolveRequest,
    check: Option<&ResolveCheck>,
) -> Result<Judged, ReferenceError> {
    let seen = runner.world.resolve(request)?;
    runner.metrics().dns_queries += seen.attempts.len() as u64;
    let mismatches = check.map_or_else(Vec::new, |check| judge::resolve(check, &seen));
    let answers: Vec<&str> = seen
        .answers
        .iter()
        .map(|answer| answer.data.as_str())
        .collect();
    let summary = match &answers[..] {
        [] => seen.rcode.clone(),
        answers => answers.join(", "),
    };
    let observed = json!({
        "rcode": seen.rcode,
        "answers": answers,
        "queries": seen.attempts.len(),
        "attempts": attempts_json(&seen.attempts),
    });
    let told = vec![summary + &words::queries(&seen)];
    let mut judged = Judged::by(&mismatches, observed, told);
    if !judged.passed {
        let explained = why::resolution(&request.name, &seen);
        judged.why.splice(0..0, explained);
    }
    Ok(judged)
}
