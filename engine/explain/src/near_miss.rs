//! Which Pods a selector nearly matches, and in what they differ.
//!
//! Source of the semantics: DBG-77, DBG-80. Pods that satisfy no term count as well if a key at least is there:
//! the commonest selector has one term.

use api::yaml::closest;
use api::{Pod, StringMap};

/// The Pods nearest to a selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NearMiss<'a> {
    pub(crate) pods: Vec<&'a Pod>,
    /// What they lack; not empty.
    pub(crate) unmet: Vec<Unmet>,
}

/// A term of a selector that a Pod does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unmet {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) found: Found,
}

/// What a Pod has instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No such label.
    Nothing,
    /// Another value.
    Value(String),
    /// The value, under another key.
    UnderKey(String),
    /// Key and value, each in the other's place.
    Swapped,
}

/// The Pods that satisfy the most terms of a selector, and of those the ones that differ least.
pub(crate) fn nearest<'a>(selector: &StringMap, pods: &[&'a Pod]) -> Option<NearMiss<'a>> {
    let scored: Vec<_> = pods
        .iter()
        .map(|pod| (unmet(selector, &pod.metadata.labels), *pod))
        .filter(|(unmet, _)| !unmet.is_empty())
        .map(|(unmet, pod)| {
            let satisfied = selector.len() - unmet.len();
            let likeness: usize = unmet.iter().map(Unmet::likeness).sum();
            ((satisfied, likeness), unmet, pod)
        })
        .collect();
    let (best, ..) = scored.iter().max_by_key(|(score, ..)| *score)?;
    // Of equally near ones, those that differ in the same way as the first.
    let (_, unmet, _) = scored
        .iter()
        .find(|(score, ..)| score == best && *score != (0, 0))?;
    let same = scored.iter().filter(|(_, other, _)| other == unmet);
    Some(NearMiss {
        pods: same.map(|(.., pod)| *pod).collect(),
        unmet: unmet.clone(),
    })
}

fn unmet(selector: &StringMap, labels: &StringMap) -> Vec<Unmet> {
    let terms = selector
        .iter()
        .filter(|(key, value)| labels.get(*key) != Some(value));
    let found = |key: &String, value: &String| match labels.get(key) {
        Some(other) => Found::Value(other.clone()),
        None if labels.get(value) == Some(key) => Found::Swapped,
        None => {
            let elsewhere = labels.iter().find(|(_, other)| *other == value);
            elsewhere.map_or(Found::Nothing, |(other, _)| Found::UnderKey(other.clone()))
        }
    };
    terms
        .map(|(key, value)| Unmet {
            key: key.clone(),
            value: value.clone(),
            found: found(key, value),
        })
        .collect()
}

impl Unmet {
    /// How much like a slip of the pen it looks.
    fn likeness(&self) -> usize {
        match &self.found {
            Found::Nothing => 0,
            Found::Value(other) if closest(&self.value, [other.as_str()]).is_none() => 1,
            Found::Value(_) => 2,
            Found::UnderKey(_) | Found::Swapped => 3,
        }
    }

    /// What to change: in the Service, or in the Pods.
    pub(crate) fn fix(&self) -> String {
        let Self { key, value, found } = self;
        match found {
            Found::Nothing => {
                format!("remove {key} from spec.selector, or label the Pods {key}={value}")
            }
            Found::Value(other) => format!(
                "change spec.selector.{key} to {other}, or the Pods' label {key} to {value}"
            ),
            Found::UnderKey(other) => format!("write {other}={value} for {key} in spec.selector"),
            Found::Swapped => format!("write {value}={key} for {key}={value} in spec.selector"),
        }
    }

    /// Reads after the names of Pods, which `have`, or one of which `has`, something else.
    pub(crate) fn told(&self, have: &str) -> String {
        let Self { key, value, found } = self;
        match found {
            Found::Nothing => format!("{have} no label {key}"),
            Found::Value(other) if other.eq_ignore_ascii_case(value) => {
                format!("{have} {key}={other} (letter case differs)")
            }
            Found::Value(other) => format!("{have} {key}={other}"),
            Found::UnderKey(other) => format!("{have} that value as {other}={value}"),
            Found::Swapped => format!("{have} {value}={key} (key and value are swapped)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use api::ObjectMeta;

    use super::*;

    fn labels(text: &str) -> StringMap {
        let pairs = text
            .split_whitespace()
            .filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn check(selector: &str, pods: &[&str], expected: Option<(&[usize], &str)>) {
        let pods: Vec<Pod> = pods
            .iter()
            .enumerate()
            .map(|(n, text)| Pod {
                metadata: ObjectMeta {
                    labels: labels(text),
                    ..ObjectMeta::named("shop", &n.to_string())
                },
                ..Pod::default()
            })
            .collect();
        let found = nearest(&labels(selector), &pods.iter().collect::<Vec<_>>());
        let found = found.map(|near| {
            let pods = near
                .pods
                .iter()
                .map(|pod| pod.metadata.name.parse().unwrap());
            let unmet: Vec<String> = near.unmet.iter().map(|unmet| unmet.told("have")).collect();
            (pods.collect::<Vec<usize>>(), unmet.join(", "))
        });
        let expected = expected.map(|(pods, unmet)| (pods.to_vec(), unmet.to_owned()));
        assert_eq!(found, expected, "{selector}");
    }

    #[test]
    fn dbg_77_the_most_satisfied_terms_win() {
        let pods = [
            "app=web tier=frontend",
            "app=web tier=frontend",
            "app=db tier=fe",
            "app=db",
        ];
        check(
            "app=web tier=fe",
            &pods,
            Some((&[0, 1], "have tier=frontend")),
        );
        check(
            "app=web tier=fe",
            &["app=web"],
            Some((&[0], "have no label tier")),
        );
    }

    #[test]
    fn dbg_77_slips_go_before_strangers() {
        check(
            "app=web",
            &["app=db", "app=Web"],
            Some((&[1], "have app=Web (letter case differs)")),
        );
        check(
            "app=web",
            &["app=db", "app=wep"],
            Some((&[1], "have app=wep")),
        );
        let renamed = "app.kubernetes.io/name=web";
        let expected = "have that value as app.kubernetes.io/name=web";
        check("app=web", &["app=db", renamed], Some((&[1], expected)));
        check(
            "app=api-svc",
            &["app=api-service"],
            Some((&[0], "have app=api-service")),
        );
    }

    #[test]
    fn dbg_21_key_and_value_swapped() {
        let expected = "have app=web (key and value are swapped)";
        check("web=app", &["app=db", "app=web"], Some((&[1], expected)));
    }

    #[test]
    fn nothing_in_common_is_no_near_miss() {
        check("app=web", &["run=db", ""], None);
        check("app=web", &[], None);
    }
}
