//! What a `stop` saw of its traffic.

use api::yaml::Path;
use serde_json::{Map, Value as Json};

use super::values::{Change, backends, cannot, holds, latency};
use crate::report::StepReport;

/// What a key of the expectation would have to say: counts of all requests stand beside those of new and of established
/// connections.
pub(super) fn stop(
    key: &str,
    given: &Json,
    seen: &Map<String, Json>,
    step: &StepReport,
    namespace: &str,
) -> Vec<Change> {
    let all = seen.get("all").and_then(Json::as_object);
    let of_all = |part: &str| all.and_then(|all| all.get(part)?.as_object());
    match key {
        "new" | "established" => {
            let tally = seen.get(key).and_then(Json::as_object);
            let keys = given.as_object().into_iter().flatten();
            let path = Path::root().key(key);
            let changes = keys.filter_map(|(key, given)| count(&path, key, given, tally?));
            changes.collect()
        }
        "backends" => {
            let answered = of_all("backends");
            let change = answered.and_then(|seen| backends(given, seen, step, namespace));
            change.into_iter().collect()
        }
        "latency" => match of_all("latencyNs") {
            Some(ranks) if ranks.len() > 1 => latency(given, ranks).into_iter().collect(),
            _ => cannot("no request was answered").into_iter().collect(),
        },
        _ => {
            let change = all.and_then(|all| count(&Path::root(), key, given, all));
            change.into_iter().collect()
        }
    }
}

/// How many requests failed, or ended in a way.
fn count(at: &Path, key: &str, given: &Json, tally: &Map<String, Json>) -> Option<Change> {
    let now = match key {
        "failed" => tally.get("failed")?.as_u64()?,
        "within" | "throughout" => return None,
        outcome => tally
            .get("outcomes")?
            .get(outcome)
            .and_then(Json::as_u64)
            .unwrap_or(0),
    };
    (!holds(given, now)).then(|| Change::To(at.key(key), now.into()))
}
