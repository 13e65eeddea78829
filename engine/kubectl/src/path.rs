//! Paths to fields: `--sort-by`, `-o custom-columns=…`, and the paths of `-o jsonpath=…`.
//!
//! **Source of the semantics.** S: `client-go/util/jsonpath`, `kubectl/pkg/cmd/get/customcolumn.go`.
//!
//! Deviation: a place that a list does not have leads nowhere, where kubectl stops with an error; `['a','b']`, of several keys
//! at once, is refused.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::str::{Chars, FromStr};

use serde_json::Value;

/// Steps of a path: more is a mistake.
const STEPS_MAX: usize = 100;
/// Tests within each other.
const DEPTH_MAX: usize = 10;

/// A path below an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    /// `.name`, `['name']`
    Field(String),
    /// `..name`: wherever it is
    Anywhere(String),
    /// `[0]`; from the end if it is negative
    Place(i64),
    /// `[1:3]`, `[::2]`
    Slice {
        from: Option<i64>,
        to: Option<i64>,
        by: usize,
    },
    /// `[*]`, `.*`
    All,
    /// `[?(@.name=="http")]`
    Where(Test),
}

/// What an item must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Exists(Operand),
    Compares(Operand, Comparison, Operand),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operand {
    Path(FieldPath),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// Why a text is no path that is supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no path that is supported: expected fields such as .spec.ports[0].port, .items[*].metadata.name or .spec.ports[?(@.name==\"http\")].port"
)]
pub struct PathError {
    pub(crate) text: String,
}

impl FieldPath {
    /// Every value that the path leads to.
    #[must_use]
    pub fn values<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![object], |found, step| {
            found
                .into_iter()
                .flat_map(|value| step.from(value))
                .collect()
        })
    }
}

impl Step {
    fn from<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Anywhere(name) => {
                let mut found = Vec::new();
                collect(value, name, &mut found);
                found
            }
            Self::Place(place) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let at = counted(*place, items.len());
                at.and_then(|at| items.get(at)).into_iter().collect()
            }
            Self::Slice { from, to, by } => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let bound = |place: i64| match counted(place, items.len()) {
                    Some(at) => at.min(items.len()),
                    None => 0,
                };
                let (from, to) = (from.map_or(0, bound), to.map_or(items.len(), bound));
                let within = items.get(from..to).unwrap_or_default();
                within.iter().step_by(*by).collect()
            }
            Self::All => children(value),
            Self::Where(test) => {
                let mut items = children(value);
                items.retain(|item| test.holds(item));
                items
            }
        }
    }
}

/// A place counted from the beginning; `None` if it is before that.
fn counted(place: i64, len: usize) -> Option<usize> {
    match usize::try_from(place) {
        Ok(place) => Some(place),
        Err(_) => len.checked_sub(usize::try_from(place.unsigned_abs()).ok()?),
    }
}

/// The items of a list, or the values of a mapping.
fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn collect<'a>(value: &'a Value, name: &str, found: &mut Vec<&'a Value>) {
    found.extend(value.get(name));
    for child in children(value) {
        collect(child, name, found);
    }
}

impl Test {
    fn holds(&self, item: &Value) -> bool {
        match self {
            Self::Exists(operand) => operand.value(item).is_some(),
            Self::Compares(left, comparison, right) => {
                match (left.value(item), right.value(item)) {
                    (Some(left), Some(right)) => comparison.holds(left, right),
                    _ => false,
                }
            }
        }
    }
}

impl Operand {
    fn value<'a>(&'a self, item: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Path(path) => path.values(item).first().copied(),
            Self::Value(value) => Some(value),
        }
    }
}

impl Comparison {
    const SPELLED: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    fn holds(self, left: &Value, right: &Value) -> bool {
        let order = match (left, right) {
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (Value::Number(left), Value::Number(right)) => left
                .as_f64()
                .zip(right.as_f64())
                .and_then(|(left, right)| left.partial_cmp(&right)),
            (left, right) => (left == right).then_some(Ordering::Equal),
        };
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
        }
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    /// Reads `.a.b`, `a.b` or `{.a.b}`.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        let error = || PathError {
            text: text.to_owned(),
        };
        let inner = inner.unwrap_or(text).trim();
        let mut reader = Reader {
            rest: inner.chars().peekable(),
            depth: 0,
        };
        let path = reader.path().filter(|_| reader.rest.peek().is_none());
        path.ok_or_else(error)
    }
}

/// What is left of a text.
type Rest<'a> = Peekable<Chars<'a>>;

struct Reader<'a> {
    rest: Rest<'a>,
    /// In how many tests it is.
    depth: usize,
}

impl Reader<'_> {
    /// Reads up to what cannot be a part of a path.
    fn path(&mut self) -> Option<FieldPath> {
        let rest = &mut self.rest;
        let is_rooted = rest.next_if(|char| matches!(char, '$' | '@')).is_some();
        let mut steps = Vec::new();
        while steps.len() <= STEPS_MAX {
            let step = match self.rest.peek() {
                Some('[') => self.bracket()?,
                Some('.') => self.dot()?,
                Some(_) if steps.is_empty() && !is_rooted => Step::Field(name(&mut self.rest)?),
                _ if steps.is_empty() && !is_rooted => return None,
                _ => return Some(FieldPath(steps)),
            };
            steps.push(step);
        }
        None
    }

    /// What begins with a dot.
    fn dot(&mut self) -> Option<Step> {
        let rest = &mut self.rest;
        rest.next_if_eq(&'.')?;
        let is_anywhere = rest.next_if_eq(&'.').is_some();
        match rest.peek() {
            Some('*') if !is_anywhere => rest.next().map(|_| Step::All),
            // `.[0]` is `[0]`.
            Some('[') if !is_anywhere => self.bracket(),
            _ if is_anywhere => name(rest).map(Step::Anywhere),
            _ => name(rest).map(Step::Field),
        }
    }

    /// What stands in brackets.
    fn bracket(&mut self) -> Option<Step> {
        self.rest.next_if_eq(&'[')?;
        let step = match self.rest.peek()? {
            '*' => self.rest.next().map(|_| Step::All)?,
            '?' => self.test().map(Step::Where)?,
            '\'' | '"' => Step::Field(quoted(&mut self.rest)?),
            _ => places(&mut self.rest)?,
        };
        self.rest.next_if_eq(&']').map(|_| step)
    }

    /// `?(@.a == 1)`
    fn test(&mut self) -> Option<Test> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return None;
        }
        self.rest.next_if_eq(&'?')?;
        self.rest.next_if_eq(&'(')?;
        let left = self.operand()?;
        let mut spelled = String::new();
        while let Some(char) = self.rest.next_if(|char| "=!<>".contains(*char)) {
            spelled.push(char);
        }
        let test = match &*spelled {
            "" => Test::Exists(left),
            spelled => {
                let mut known = Comparison::SPELLED.into_iter();
                let (_, comparison) = known.find(|(text, _)| *text == spelled)?;
                Test::Compares(left, comparison, self.operand()?)
            }
        };
        self.depth -= 1;
        self.rest.next_if_eq(&')').map(|_| test)
    }

    /// A path or a value, with the spaces around it.
    fn operand(&mut self) -> Option<Operand> {
        spaces(&mut self.rest);
        let operand = match self.rest.peek()? {
            '@' | '$' | '.' => Operand::Path(self.path()?),
            '\'' | '"' => Operand::Value(quoted(&mut self.rest)?.into()),
            _ => Operand::Value(word(&mut self.rest)?),
        };
        spaces(&mut self.rest);
        Some(operand)
    }
}

fn spaces(rest: &mut Rest<'_>) {
    while rest.next_if_eq(&' ').is_some() {}
}

fn name(rest: &mut Rest<'_>) -> Option<String> {
    let mut name = String::new();
    while let Some(char) =
        rest.next_if(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '/' | '\\'))
    {
        name.push(if char == '\\' { rest.next()? } else { char });
    }
    (!name.is_empty()).then_some(name)
}

/// A number, `true` or `false`.
fn word(rest: &mut Rest<'_>) -> Option<Value> {
    let mut word = String::new();
    while let Some(char) =
        rest.next_if(|char| char.is_ascii_alphanumeric() || "+-.".contains(*char))
    {
        word.push(char);
    }
    serde_json::from_str(&word).ok()
}

/// `0`, `-1`, `1:3`, `::2`
fn places(rest: &mut Rest<'_>) -> Option<Step> {
    let mut text = String::new();
    while let Some(char) = rest.next_if(|char| char.is_ascii_digit() || "-:".contains(*char)) {
        text.push(char);
    }
    let place = |text: &str| match text {
        "" => Some(None),
        text => text.parse().ok().map(Some),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts[..] {
        [only] => only.parse().ok().map(Step::Place),
        [from, to] | [from, to, _] => Some(Step::Slice {
            from: place(from)?,
            to: place(to)?,
            by: match parts.get(2) {
                None => 1,
                Some(by) => by.parse().ok().filter(|by| *by > 0)?,
            },
        }),
        _ => None,
    }
}

/// A text between quotes, as Go writes it.
pub(crate) fn quoted(rest: &mut Rest<'_>) -> Option<String> {
    let quote = rest.next()?;
    let mut text = String::new();
    loop {
        match rest.next()? {
            char if char == quote => return Some(text),
            '\\' => text.push(match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                char => char,
            }),
            char => text.push(char),
        }
    }
}

/// Headers, and the paths of what stands below them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomColumns(pub(crate) Vec<(String, FieldPath)>);

/// Why a text names no columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// A column has no path.
    #[error("{column:?} is no column: expected HEADER:.path, such as NAME:.metadata.name")]
    Shape {
        /// What was written.
        column: String,
    },
    /// A column's path is malformed.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl FromStr for CustomColumns {
    type Err = ColumnsError;

    fn from_str(text: &str) -> Result<Self, ColumnsError> {
        let columns = text.split(',').map(|column| match column.split_once(':') {
            Some((header, path)) if !header.is_empty() => Ok((header.to_owned(), path.parse()?)),
            _ => Err(ColumnsError::Shape {
                column: column.to_owned(),
            }),
        });
        columns.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fields::plain;

    fn check(path: &str, expected: &[&str]) {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "d"}},
            "spec": {
                "ports": [
                    {"name": "http", "port": 80, "targetPort": "web"},
                    {"name": "https", "port": 443},
                    {"name": "dns", "port": 53, "nodePort": 30053},
                ],
                "clusterIP": "None",
                "publishNotReadyAddresses": true,
            },
        });
        let seen = path.parse::<FieldPath>().unwrap();
        let seen: Vec<String> = seen.values(&object).into_iter().map(plain).collect();
        assert_eq!(seen, expected, "{path}");
    }

    #[test]
    fn fields_and_places() {
        check(".spec.clusterIP", &["None"]);
        check("spec.clusterIP", &["None"]);
        check("{.spec.clusterIP}", &["None"]);
        check("$.spec.clusterIP", &["None"]);
        check(r".metadata.labels.a\.b/c", &["d"]);
        check(".metadata.labels['a.b/c']", &["d"]);
        check(".spec.ports[1].port", &["443"]);
        check(".spec.ports[-1].port", &["53"]);
        check(".spec.ports[-4].port", &[]);
        check(".spec.ports[3].port", &[]);
        check(".spec.gone", &[]);
        check(".spec.clusterIP[0]", &[]);
    }

    #[test]
    fn several_at_once() {
        check(".spec.ports[*].port", &["80", "443", "53"]);
        check(".metadata.labels.*", &["d"]);
        check("..port", &["80", "443", "53"]);
        check(".spec.ports[0:2].name", &["http", "https"]);
        check(".spec.ports[1:].name", &["https", "dns"]);
        check(".spec.ports[-2:].name", &["https", "dns"]);
        check(".spec.ports[::2].name", &["http", "dns"]);
        check(".spec.ports[2:1].name", &[]);
    }

    #[test]
    fn items_that_meet_a_test() {
        check(r#".spec.ports[?(@.name=="http")].port"#, &["80"]);
        check(".spec.ports[?(@.name != 'http')].port", &["443", "53"]);
        check(".spec.ports[?(@.port>=80)].name", &["http", "https"]);
        check(".spec.ports[?(@.port < 80)].name", &["dns"]);
        check(".spec.ports[?(@.nodePort)].name", &["dns"]);
        check(".spec.ports[?(@.targetPort=='web')].port", &["80"]);
        check(".spec.ports[?(@.targetPort==80)].port", &[]);
        check(".spec[?(@==true)]", &["true"]);
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for text in [
            "",
            ".",
            "..",
            ".a..",
            ".a[",
            ".a[x]",
            ".a[1:2:0]",
            ".a[1:2:3:4]",
            ".a['b','c']",
            ".a[?(@.b]",
            ".a[?(@.b=1)]",
            ".a[?(@.b==)]",
            ".a['b]",
            ".a b",
            "{.a",
            ".a]",
        ] {
            assert!(text.parse::<FieldPath>().is_err(), "{text:?}");
        }
        assert!(
            format!("{}.a", ".a".repeat(STEPS_MAX))
                .parse::<FieldPath>()
                .is_err()
        );
        let deep = ".a[?(@".repeat(1_000_000);
        assert!(deep.parse::<FieldPath>().is_err());
        assert!("NAME".parse::<CustomColumns>().is_err());
        assert!("NAME:.a...b".parse::<CustomColumns>().is_err());
    }
}
