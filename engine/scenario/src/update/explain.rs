//! What an `explain` found.

use api::yaml::Path;
use serde_json::{Map, Value as Json};

use super::values::{Change, to, words};

/// What a key of the expectation would have to say.
pub(super) fn explain(key: &str, given: &Json, seen: &Map<String, Json>) -> Option<Change> {
    let now = seen.get(key)?;
    match (key, given.get("contains")) {
        ("verdict", _) if given == now => None,
        ("findings", None) => {
            let (wanted, found) = (words(given), words(now));
            let is_met = wanted.len() == found.len() && wanted.iter().all(|id| found.contains(id));
            if is_met { None } else { to(key, now.clone()) }
        }
        ("findings", Some(wanted)) => {
            let (wanted, found) = (words(wanted), words(now));
            let still: Vec<&str> = wanted
                .iter()
                .filter(|id| found.contains(*id))
                .copied()
                .collect();
            let path = Path::root().key(key).key("contains");
            match (
                still.len() == wanted.len(),
                still.is_empty(),
                found.is_empty(),
            ) {
                (true, _, _) => None,
                (false, false, _) => Some(Change::To(path, still.into())),
                (false, true, false) => Some(Change::To(path, found.into())),
                // A list that others may stand beside is not empty.
                (false, true, true) => to(key, Vec::<&str>::new()),
            }
        }
        _ => to(key, now.clone()),
    }
}
