//! The step `await`: what the user has brought is done there, one thing after the other.

use serde_json::{Value as Json, json};

use crate::act::{Judged, act};
use crate::run::Runner;

/// Does all of the repair, whether or not a part of it is refused.
pub(crate) fn carry_out(runner: &mut Runner<'_>) -> Judged {
    let scenario = runner.scenario;
    let actions = scenario.repair.iter().flatten();
    let mut done: Vec<Judged> = actions.map(|action| act(runner, action)).collect();
    if done.len() == 1 {
        return done.remove(0);
    }
    let observed: Vec<Json> = done.iter().map(|judged| judged.observed.clone()).collect();
    let passed = done.iter().all(|judged| judged.passed);
    let (seen, why): (Vec<_>, Vec<_>) = done
        .into_iter()
        .map(|judged| (judged.seen, judged.why))
        .unzip();
    Judged {
        passed,
        observed: json!({ "steps": observed }),
        seen: seen.concat(),
        why: why.concat(),
        findings: Vec::new(),
    }
}
