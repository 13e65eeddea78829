//! `-o jsonpath=…`: a text with paths in braces.
//!
//! **Source of the semantics.** S: `client-go/util/jsonpath`, `cli-runtime/pkg/printers/jsonpath.go`.

use std::str::FromStr;

use serde_json::Value;

use crate::fields::plain;
use crate::json;
use crate::path::{FieldPath, PathError, quoted};

/// Ranges within each other.
const DEPTH_MAX: usize = 10;

/// A text with paths in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Path(FieldPath),
    /// `{range .items[*]}…{end}`
    Range(FieldPath, Vec<Part>),
}

impl JsonPath {
    /// The text for one object; what a path does not lead to is left out.
    pub(crate) fn print(&self, object: &Value) -> String {
        printed(&self.0, object)
    }
}

fn printed(parts: &[Part], object: &Value) -> String {
    let texts = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Path(path) => {
            let values = path.values(object).into_iter().map(text_of);
            values.collect::<Vec<_>>().join(" ")
        }
        Part::Range(path, parts) => {
            let items = path.values(object).into_iter();
            items.map(|item| printed(parts, item)).collect()
        }
    });
    texts.collect()
}

/// What is no single value is printed as JSON.
fn text_of(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => json::compact(value),
        scalar => plain(scalar),
    }
}

impl FromStr for JsonPath {
    type Err = PathError;

    /// Reads `{.a.b}{"\n"}`; without braces it is a path.
    fn from_str(text: &str) -> Result<Self, PathError> {
        if !text.contains('{') {
            return Ok(Self(vec![Part::Path(text.parse()?)]));
        }
        let error = || PathError {
            text: text.to_owned(),
        };
        let mut rest = text;
        let parts = parts(&mut rest, 0).ok_or_else(error)?;
        match rest.is_empty() {
            true => Ok(Self(parts)),
            false => Err(error()),
        }
    }
}

/// Reads up to the end of the range that they are in, or of the text.
fn parts(rest: &mut &str, depth: usize) -> Option<Vec<Part>> {
    if depth > DEPTH_MAX {
        return None;
    }
    let mut parts = Vec::new();
    loop {
        let Some((before, after)) = rest.split_once('{') else {
            if !rest.is_empty() {
                parts.push(Part::Text(std::mem::take(rest).to_owned()));
            }
            // A range must have an end.
            return (depth == 0).then_some(parts);
        };
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        let (inner, after) = after.split_at(closing(after)?);
        *rest = &after[1..];
        let inner = inner.trim();
        parts.push(match inner.split_once(' ') {
            _ if inner == "end" => return (depth > 0).then_some(parts),
            Some(("range", path)) => {
                let path = path.parse().ok()?;
                Part::Range(path, self::parts(rest, depth + 1)?)
            }
            _ if inner.starts_with(['"', '\'']) => {
                let mut chars = inner.chars().peekable();
                let text = quoted(&mut chars)?;
                chars.next().is_none().then_some(Part::Text(text))?
            }
            _ => Part::Path(inner.parse().ok()?),
        });
    }
}

/// Where the brace is that closes, which is none in quotes.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (at, char) in text.char_indices() {
        match (quote, char) {
            _ if is_escaped => is_escaped = false,
            (_, '\\') => is_escaped = true,
            (None, '}') => return Some(at),
            (None, '"' | '\'') => quote = Some(char),
            (Some(open), _) if open == char => quote = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(path: &str, expected: &str) {
        let object = json!({
            "kind": "List",
            "items": [
                {"metadata": {"name": "web"}, "spec": {"ports": [{"port": 80}, {"port": 443}]}},
                {"metadata": {"name": "dns"}, "spec": {"ports": [{"targetPort": "<", "port": 53}]}},
            ],
        });
        assert_eq!(
            path.parse::<JsonPath>().unwrap().print(&object),
            expected,
            "{path}"
        );
    }

    #[test]
    fn paths_and_texts() {
        check("{.kind}", "List");
        check(".kind", "List");
        check("{.items[*].metadata.name}", "web dns");
        check(r#"{.items[1].spec.ports[0].port}{"\n"}"#, "53\n");
        check("kind={.kind};", "kind=List;");
        check(
            r#"{.items[?(@.metadata.name=="dns")].spec.ports[*].port}"#,
            "53",
        );
        check("{.gone}", "");
        check(r#"{"}\t{"}{.kind}"#, "}\t{List");
        check(
            "{.items[1]}",
            r#"{"metadata":{"name":"dns"},"spec":{"ports":[{"port":53,"targetPort":"<"}]}}"#
                .replace('<', "\\u003c")
                .as_str(),
        );
    }

    #[test]
    fn ranges() {
        check(
            r#"{range .items[*]}{.metadata.name}{"\t"}{.spec.ports[0].port}{"\n"}{end}"#,
            "web\t80\ndns\t53\n",
        );
        check(
            "{range .items[*]}{.metadata.name}: {range .spec.ports[*]}{.port},{end} {end}done",
            "web: 80,443, dns: 53, done",
        );
        check("{range .gone[*]}x{end}", "");
        check("{range .items[*].metadata}{@.name};{end}", "web;dns;");
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "{range .items[*]}",
            "{end}",
            "{range .a[*]}{end}{end}",
            "{.a",
            "{",
            "{}",
            "",
            "{\"a}",
            "{\"a\"b}",
            "{range}x{end}",
            "{.a[x]}",
        ] {
            assert!(text.parse::<JsonPath>().is_err(), "{text:?}");
        }
        let deep = "{range .a[*]}".repeat(DEPTH_MAX + 1) + &"{end}".repeat(DEPTH_MAX + 1);
        assert!(deep.parse::<JsonPath>().is_err());
    }
}
