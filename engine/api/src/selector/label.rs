//! Selectors over labels: those of lists and watches (`app=web,tier in (a, b),!old`), of workloads and policies.
//!
//! **Source of the semantics.** API-74; S: `apimachinery/pkg/labels/selector.go`,
//! `apimachinery/pkg/apis/meta/v1/helpers.go`.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::SelectorError;
use super::parse::Parser;
use crate::object::{LabelRequirement, LabelSelector, StringMap};
use crate::validate::text;

/// All requirements must hold; without any, everything is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// What is asked of one label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What is asked of it.
    pub test: Test,
}

/// What is asked of a label's value. `NotIn` holds for an object without the label, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// `key`
    Exists,
    /// `!key`
    DoesNotExist,
    /// `key=value`, `key in (a, b)`
    In(BTreeSet<String>),
    /// `key!=value`, `key notin (a, b)`
    NotIn(BTreeSet<String>),
    /// `key>number`
    Greater(i64),
    /// `key<number`
    Less(i64),
}

impl Selector {
    /// What is asked, in the order of the keys.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether nothing is asked, so that everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether `labels` satisfy every requirement.
    #[must_use]
    pub fn matches(&self, labels: &StringMap) -> bool {
        self.requirements
            .iter()
            .all(|requirement| requirement.holds(labels))
    }

    fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|left, right| left.key.cmp(&right.key));
        Self { requirements }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Parser::new(text).requirements().map(Self::new)
    }
}

impl TryFrom<&LabelSelector> for Selector {
    type Error = SelectorError;

    fn try_from(selector: &LabelSelector) -> Result<Self, SelectorError> {
        let equal = selector.match_labels.iter().map(|(key, value)| {
            let value = BTreeSet::from([value.clone()]);
            Requirement::new(key.clone(), Test::In(value))
        });
        let others = selector.match_expressions.iter().map(read_expression);
        equal.chain(others).collect::<Result<_, _>>().map(Self::new)
    }
}

impl Requirement {
    /// Checks key and values.
    pub(super) fn new(key: String, test: Test) -> Result<Self, SelectorError> {
        check_key(&key)?;
        let (Test::In(values) | Test::NotIn(values)) = &test else {
            return Ok(Self { key, test });
        };
        if values.is_empty() {
            return Err(SelectorError(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                    .to_owned(),
            ));
        }
        for (index, value) in values.iter().enumerate() {
            let found = text::label_value(value);
            if !found.is_empty() {
                return Err(SelectorError(format!(
                    "values[{index}][{key}]: Invalid value: {value:?}: {}",
                    found.join("; ")
                )));
            }
        }
        Ok(Self { key, test })
    }

    fn holds(&self, labels: &StringMap) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Greater(bound) => number().is_some_and(|number| number > *bound),
            Test::Less(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

/// A key is checked as soon as it is read; the field has no path then, which Go prints as `<nil>`.
pub(super) fn check_key(key: &str) -> Result<(), SelectorError> {
    let found = text::qualified_name(key);
    if found.is_empty() {
        return Ok(());
    }
    let found = found.join("; ");
    Err(SelectorError(format!(
        "<nil>: Invalid value: {key:?}: {found}"
    )))
}

fn read_expression(expression: &LabelRequirement) -> Result<Requirement, SelectorError> {
    let values = || expression.values.iter().cloned().collect();
    let test = match expression.operator.as_str() {
        "In" => Test::In(values()),
        "NotIn" => Test::NotIn(values()),
        "Exists" => Test::Exists,
        "DoesNotExist" => Test::DoesNotExist,
        other => {
            return Err(SelectorError(format!(
                "{other:?} is not a valid label selector operator"
            )));
        }
    };
    Requirement::new(expression.key.clone(), test)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> StringMap {
        let pairs = text.split_whitespace();
        pairs
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    fn check(selector: &str, on: &str, expected: bool) {
        let parsed: Selector = selector.parse().unwrap();
        assert_eq!(
            parsed.matches(&labels(on)),
            expected,
            "{selector:?} on {on:?}"
        );
    }

    #[test]
    fn api_74_set_based_requirements() {
        for (selector, on, expected) in [
            ("", "", true),
            ("app=web", "app=web", true),
            ("app==web", "app=api", false),
            ("app = web , tier in ( a , b )", "app=web tier=b", true),
            ("tier in (a,b)", "", false),
            ("tier notin (a,b)", "", true),
            ("tier notin (a,b)", "tier=a", false),
            ("tier!=a", "tier=b", true),
            ("tier!=a", "", true),
            ("tier", "tier=", true),
            ("!tier", "tier=", false),
            ("!tier", "app=web", true),
            ("tier=", "tier=", true),
            ("tier in (,a)", "tier=", true),
            ("tier in ()", "tier=", true),
            ("n>3", "n=4", true),
            ("n>3", "n=3", false),
            ("n<3", "n=x", false),
            ("n<3", "", false),
            ("in in (in)", "in=in", true),
        ] {
            check(selector, on, expected);
        }
    }

    #[test]
    fn what_is_no_selector_is_said_in_the_servers_words() {
        for (selector, expected) in [
            (
                "=a",
                "found '=', expected: !, identifier, or 'end of string'",
            ),
            ("a=b,", "found '', expected: identifier after ','"),
            (
                "a b",
                "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt",
            ),
            ("a=b c", "found 'c', expected: ',' or 'end of string'"),
            (
                "a in b",
                "unable to parse requirement: found 'b' expected: '('",
            ),
            (
                "a in (b c)",
                "unable to parse requirement: found 'c', expected: ',' or ')'",
            ),
            (
                "a in (=)",
                "unable to parse requirement: found '=', expected: ',', ')' or identifier",
            ),
            (
                "a=(",
                "unable to parse requirement: found '(', expected: identifier",
            ),
            (
                "!",
                "unable to parse requirement: found '', expected: identifier",
            ),
            (
                "n>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ] {
            let error = selector.parse::<Selector>().unwrap_err();
            assert_eq!(error.to_string(), expected, "{selector:?}");
        }
        let error = "-a".parse::<Selector>().unwrap_err().to_string();
        assert!(error.starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist of"), "{error}");
        let error = "a=-b".parse::<Selector>().unwrap_err().to_string();
        assert!(error.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label must be"), "{error}");
    }

    #[test]
    fn selectors_of_workloads() {
        let selector = LabelSelector {
            match_labels: labels("app=web"),
            match_expressions: vec![LabelRequirement {
                key: "tier".to_owned(),
                operator: "NotIn".to_owned(),
                values: vec!["a".to_owned()],
            }],
        };
        let parsed = Selector::try_from(&selector).unwrap();
        assert!(parsed.matches(&labels("app=web")));
        assert!(!parsed.matches(&labels("app=web tier=a")));
        let everything = Selector::try_from(&LabelSelector::default()).unwrap();
        assert!(everything.is_empty() && everything.matches(&labels("")));
        let mut wrong = selector.clone();
        wrong.match_expressions[0].operator = "Like".to_owned();
        let error = Selector::try_from(&wrong).unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"Like\" is not a valid label selector operator"
        );
        wrong.match_expressions[0].operator = "In".to_owned();
        wrong.match_expressions[0].values.clear();
        assert!(Selector::try_from(&wrong).is_err());
    }
}
