//! `open`, `send`, `close`: connections that are held across steps.

use std::time::Duration;

use control::{ReferenceError, Target};
use serde_json::json;

use crate::act::Judged;
use crate::connect::{expected_pods, judge_connections};
use crate::expect::ConnectCheck;
use crate::reference::SourceRef;
use crate::run::Runner;
use crate::step::Dial;

pub(crate) fn open(
    runner: &mut Runner<'_>,
    id: &str,
    from: &SourceRef,
    dial: &Dial,
    check: Option<&ConnectCheck>,
) -> Result<Judged, ReferenceError> {
    let expected = expected_pods(runner, check);
    let from = from.resolve(runner.world)?;
    let request = dial.request(from.clone());
    let seen = [runner.world.open(id, &request)?];
    runner.count(&from, &seen);
    runner
        .background
        .held
        .insert(id.to_owned(), dial.to.clone());
    let what = format!("connect to {}", dial.to);
    Ok(judge_connections(
        runner,
        (&what, &dial.to),
        check,
        &expected,
        &seen,
    ))
}

pub(crate) fn send(
    runner: &mut Runner<'_>,
    id: &str,
    payload: &[u8],
    timeout: Duration,
    check: Option<&ConnectCheck>,
) -> Result<Judged, ReferenceError> {
    let expected = expected_pods(runner, check);
    let to = held(runner, id)?;
    let seen = [runner.world.send(id, payload, timeout)?];
    let what = format!("send on {id} to {to}");
    Ok(judge_connections(
        runner,
        (&what, &to),
        check,
        &expected,
        &seen,
    ))
}

pub(crate) fn close(runner: &mut Runner<'_>, id: &str) -> Result<Judged, ReferenceError> {
    held(runner, id)?;
    let end = runner.world.close(id)?;
    runner.background.held.remove(id);
    let (observed, seen) = match end {
        None => (json!({"stood": true}), "closed".to_owned()),
        Some(outcome) => (
            json!({"stood": false, "ended": outcome.as_str()}),
            format!("it was over already: {outcome}"),
        ),
    };
    Ok(Judged::by(&[], observed, vec![seen]))
}

/// Where a connection goes that is held. One whose `open` was skipped, or found no source, is not.
fn held(runner: &Runner<'_>, id: &str) -> Result<Target, ReferenceError> {
    let held = &runner.background.held;
    held.get(id).cloned().ok_or_else(|| ReferenceError {
        wanted: format!("open connection {id:?}"),
        existing: held.keys().cloned().collect(),
    })
}
