//! Label selectors as the flag `-l` takes them.
//!
//! **Source of the semantics.** API-74; S: `apimachinery/pkg/labels/selector.go`: `a=b`, `a==b`, `a!=b`, `a in (b,c)`,
//! `a notin (b)`, `a`, `!a`, all joined by commas. `!=` and `notin` hold where the label is missing.

use std::fmt;
use std::str::FromStr;

use api::{LabelRequirement, LabelSelector, StringMap};

/// Requirements that must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<LabelRequirement>);

/// Why a text is no selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unable to parse {part:?} in the selector {text:?}: expected key=value, key!=value, key in (a,b), key notin (a,b), key or !key"
)]
pub struct SelectorError {
    text: String,
    part: String,
}

impl Selector {
    /// Whether an object with these labels is selected.
    #[must_use]
    pub fn matches(&self, labels: &StringMap) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match requirement.operator.as_str() {
                "In" => value.is_some_and(|value| requirement.values.contains(value)),
                "NotIn" => !value.is_some_and(|value| requirement.values.contains(value)),
                "Exists" => value.is_some(),
                _ => value.is_none(),
            }
        })
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let requirements = parts(text).map(|part| {
            requirement(part.trim()).ok_or_else(|| SelectorError {
                text: text.to_owned(),
                part: part.trim().to_owned(),
            })
        });
        requirements.collect::<Result<_, _>>().map(Self)
    }
}

/// What stands between the commas that are not in parentheses.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    text.split(move |char| {
        match char {
            '(' => inside = true,
            ')' => inside = false,
            _ => {}
        }
        char == ',' && !inside
    })
}

fn requirement(text: &str) -> Option<LabelRequirement> {
    let made = |key: &str, operator: &str, values: Vec<&str>| {
        let (key, operator) = (key.trim(), operator.to_owned());
        let is_word = |word: &str| {
            word.chars()
                .all(|char| char.is_ascii_alphanumeric() || "-_./".contains(char))
        };
        let values: Vec<String> = values.iter().map(|value| value.trim().to_owned()).collect();
        let is_well_formed =
            !key.is_empty() && is_word(key) && values.iter().all(|value| is_word(value));
        is_well_formed.then(|| LabelRequirement {
            key: key.to_owned(),
            operator,
            values,
        })
    };
    if let Some(key) = text.strip_prefix('!') {
        return made(key, "DoesNotExist", Vec::new());
    }
    if let Some((key, value)) = text.split_once("!=") {
        return made(key, "NotIn", vec![value]);
    }
    if let Some((key, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return made(key, "In", vec![value]);
    }
    let Some((head, values)) = text.split_once('(') else {
        return made(text, "Exists", Vec::new());
    };
    let values = values.trim_end().strip_suffix(')')?.split(',').collect();
    let (key, operator) = head.trim().split_once(char::is_whitespace)?;
    match operator.trim() {
        "in" => made(key, "In", values),
        "notin" => made(key, "NotIn", values),
        _ => None,
    }
}

/// `app=web,tier in (a,b)`: how tables show a workload's or policy's selector; `<none>` if it is empty.
pub(crate) fn spelled(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else {
        return "<none>".to_owned();
    };
    let labels = selector.match_labels.iter();
    let equal = labels.map(|(key, value)| (key.as_str(), format!("{key}={value}")));
    let others = selector.match_expressions.iter();
    let others = others.map(|requirement| (requirement.key.as_str(), expression(requirement)));
    let mut all: Vec<_> = equal.chain(others).collect();
    all.sort_by_key(|(key, _)| *key);
    let texts: Vec<String> = all.into_iter().map(|(_, text)| text).collect();
    match texts.is_empty() {
        true => "<none>".to_owned(),
        false => texts.join(","),
    }
}

fn expression(requirement: &LabelRequirement) -> String {
    let key = &requirement.key;
    let mut values: Vec<&str> = requirement.values.iter().map(String::as_str).collect();
    values.sort_unstable();
    let values = values.join(",");
    match requirement.operator.as_str() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.clone(),
        _ => format!("!{key}"),
    }
}

/// `app=web,tier=front`; `<none>` without any.
pub(crate) fn pairs(labels: &StringMap) -> String {
    joined(labels.iter().map(|(key, value)| format!("{key}={value}")))
}

/// Joined by commas; `<none>` of nothing.
pub(crate) fn joined(items: impl Iterator<Item = impl fmt::Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    match items.is_empty() {
        true => "<none>".to_owned(),
        false => items.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(selector: &str, labels: &[(&str, &str)], expected: bool) {
        let labels = labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let selector: Selector = selector.parse().unwrap();
        assert_eq!(selector.matches(&labels), expected, "{selector:?}");
    }

    #[test]
    fn api_74_every_operator() {
        let web = &[("app", "web"), ("tier", "")][..];
        for (selector, expected) in [
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=", true),
            ("app=api", false),
            ("app!=web", false),
            ("zone!=a", true),
            ("app in (api, web)", true),
            ("app in (api)", false),
            ("app notin (api),app", true),
            ("zone notin (a)", true),
            ("zone", false),
            ("!zone", true),
            ("!app", false),
        ] {
            check(selector, web, expected);
        }
    }

    #[test]
    fn says_what_it_cannot_parse() {
        for text in [
            "",
            "a,,b",
            "=a",
            "a in b",
            "a in (b",
            "a b",
            "a within (b)",
            "a=b c",
        ] {
            assert!(text.parse::<Selector>().is_err(), "{text:?}");
        }
        let error = "app=web,a b".parse::<Selector>().unwrap_err();
        assert!(
            error.to_string().starts_with("unable to parse \"a b\""),
            "{error}"
        );
    }
}
