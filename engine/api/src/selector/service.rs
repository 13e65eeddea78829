//! Which Pods a Service selects.
//!
//! **Source of the semantics.** API-72, API-73: equality only; every key must be there with that value;
//! a selector that is absent or empty selects nothing.

use crate::object::StringMap;

/// Whether `labels` satisfy `selector`.
#[must_use]
pub fn matches(selector: &StringMap, labels: &StringMap) -> bool {
    let holds = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    !selector.is_empty() && selector.iter().all(holds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str) -> StringMap {
        let pairs = text
            .split_whitespace()
            .map(|pair| pair.split_once('=').unwrap());
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn check(selector: &str, labels: &str, expected: bool) {
        assert_eq!(
            matches(&map(selector), &map(labels)),
            expected,
            "{selector:?} on {labels:?}"
        );
    }

    #[test]
    fn api_72_all_keys_with_exactly_that_value() {
        check("app=web", "app=web", true);
        check("app=web", "app=web tier=front", true);
        check("app=web tier=front", "app=web", false);
        check("app=web", "app=Web", false);
        check("app=web", "App=web", false);
        check("app=", "app=", true);
        check("app=", "", false);
    }

    #[test]
    fn api_73_nothing_selects_nothing() {
        check("", "app=web", false);
        check("", "", false);
    }
}
