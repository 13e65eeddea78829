//! What a `rules` step saw of the texts that it asked about.

use serde_json::{Map, Value as Json};

use super::values::{Change, words};

/// Every text that the expectation names, where it belongs: which other one was meant is not known, but whether this one
/// is there is.
pub(super) fn rules(given: &Map<String, Json>, seen: &Map<String, Json>) -> Change {
    let asked: Vec<&str> = ["contains", "absent"]
        .iter()
        .filter_map(|key| given.get(*key))
        .flat_map(words)
        .collect();
    let now = |key: &str| {
        let texts = seen.get(key).map(words).unwrap_or_default();
        let texts = asked.iter().filter(|text| texts.contains(*text)).copied();
        let texts: Vec<&str> = texts.collect();
        match texts.is_empty() {
            true => Json::Null,
            false => texts.into(),
        }
    };
    match (now("contains"), now("absent")) {
        (Json::Null, Json::Null) => Change::Cannot("no rules were seen".to_owned()),
        (contains, absent) => Change::Keys(Map::from_iter([
            ("contains".to_owned(), contains),
            ("absent".to_owned(), absent),
        ])),
    }
}
