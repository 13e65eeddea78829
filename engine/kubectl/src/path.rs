//! Paths to fields: `--sort-by`, `-o jsonpath=…` and `-o custom-columns=…`.
//!
//! **Source of the semantics.** S: `client-go/util/jsonpath`, `cli-runtime/pkg/printers/jsonpath.go`,
//! `kubectl/pkg/cmd/get/customcolumn.go`.
//!
//! Deviation: of JSONPath there are fields (`.spec.clusterIP`, `.metadata.labels.a\.b/c`), places (`[0]`), all items (`[*]`),
//! and texts (`{"\n"}`); ranges, filters and slices are refused by name.

use std::str::FromStr;

use serde_json::Value;

use crate::fields::plain;

/// A path below an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Place(usize),
    All,
}

/// Why a text is no path that is supported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no path that is supported: expected fields such as .spec.ports[0].port or .items[*].metadata.name"
)]
pub struct PathError {
    text: String,
}

impl FieldPath {
    /// Every value that the path leads to.
    #[must_use]
    pub fn values<'a>(&self, object: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![object], |found, step| {
            let next = found.into_iter().flat_map(|value| match step {
                Step::Field(name) => value.get(name).into_iter().collect::<Vec<_>>(),
                Step::Place(place) => value.get(*place).into_iter().collect(),
                Step::All => value.as_array().into_iter().flatten().collect(),
            });
            next.collect()
        })
    }
}

impl FromStr for FieldPath {
    type Err = PathError;

    /// Reads `.a.b`, `a.b` or `{.a.b}`.
    fn from_str(text: &str) -> Result<Self, PathError> {
        let inner = text
            .strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'));
        steps(inner.unwrap_or(text)).map(Self).ok_or(PathError {
            text: text.to_owned(),
        })
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (place, after) = inner.split_once(']')?;
            steps.push(match place {
                "*" => Step::All,
                place => Step::Place(place.parse().ok()?),
            });
            rest = after;
            continue;
        }
        rest = match rest.strip_prefix('.') {
            Some(rest) => rest,
            None if steps.is_empty() => rest,
            None => return None,
        };
        let mut name = String::new();
        let mut chars = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, char)) = chars.next() {
            match char {
                '\\' => name.push(chars.next()?.1),
                '.' | '[' => {
                    end = at;
                    break;
                }
                char if char.is_ascii_alphanumeric() || "-_/".contains(char) => name.push(char),
                _ => return None,
            }
        }
        if name.is_empty() {
            return None;
        }
        steps.push(Step::Field(name));
        rest = &rest[end..];
    }
    (!steps.is_empty()).then_some(steps)
}

/// A text with paths in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Path(FieldPath),
}

impl JsonPath {
    /// The text for one object; what a path does not lead to is left out.
    pub(crate) fn print(&self, object: &Value) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Path(path) => {
                let values = path.values(object).into_iter().map(plain);
                values.collect::<Vec<_>>().join(" ")
            }
        });
        parts.collect()
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = || PathError {
            text: text.to_owned(),
        };
        if !text.contains('{') {
            return Ok(Self(vec![Part::Path(text.parse()?)]));
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some((before, inner)) = rest.split_once('{') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let (inner, after) = inner.split_once('}').ok_or_else(error)?;
            let quoted = inner
                .strip_prefix('"')
                .and_then(|text| text.strip_suffix('"'));
            parts.push(match quoted {
                Some(text) => Part::Text(text.replace("\\n", "\n").replace("\\t", "\t")),
                None => Part::Path(inner.parse().map_err(|_| error())?),
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self(parts))
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

    fn check(path: &str, expected: &str) {
        let object = json!({
            "metadata": {"labels": {"a.b/c": "d"}},
            "spec": {"ports": [{"port": 80}, {"port": 443}], "clusterIP": "None"},
        });
        assert_eq!(path.parse::<JsonPath>().unwrap().print(&object), expected);
    }

    #[test]
    fn fields_places_and_texts() {
        check("{.spec.clusterIP}", "None");
        check(".spec.clusterIP", "None");
        check("{.spec.ports[*].port}", "80 443");
        check("{.spec.ports[1].port}{\"\\n\"}", "443\n");
        check("{.metadata.labels.a\\.b/c}", "d");
        check("{.spec.gone}", "");
        check("ip={.spec.clusterIP};", "ip=None;");
    }

    #[test]
    fn what_is_not_supported_is_refused() {
        for text in [
            "{range .items[*]}",
            "{.a[?(@.b)]}",
            "{.a",
            "",
            "{..a}",
            ".a[1:2]",
            ".a[x]",
        ] {
            assert!(text.parse::<JsonPath>().is_err(), "{text:?}");
        }
        assert!("NAME".parse::<CustomColumns>().is_err());
        assert!("NAME:.a..b".parse::<CustomColumns>().is_err());
    }
}
