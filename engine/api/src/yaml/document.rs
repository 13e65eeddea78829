//! Files and the documents in them.

use serde_yaml::Value;

use super::locate::locate;
use super::syntax::explain;
use super::{Location, Part, Path, Problem};

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's name as the user gave it.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A file's name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
        }
    }
}

/// One document of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The file's name.
    pub source: String,
    /// The line of the file where `text` begins, from 1.
    pub first_line: u32,
    /// Its text.
    pub text: String,
    /// What it says, merge keys (`<<`) applied.
    pub value: Value,
}

/// How many lists and mappings in flow style may stand within each other.
const DEPTH_MAX: usize = 1_000;

/// Splits a file at its `---` lines and parses every document that is not empty.
///
/// JSON is YAML and is taken as well; a byte order mark is skipped.
///
/// # Errors
/// The first place that is no YAML, such as a duplicate key.
pub fn split(source: &Source) -> Result<Vec<Document>, Problem> {
    let text = source.text.strip_prefix('\u{feff}').unwrap_or(&source.text);
    let mut documents = Vec::new();
    let mut piece = String::new();
    let mut first_line = 1;
    for (number, line) in (1_u32..).zip(text.split_inclusive('\n')) {
        if is_separator(line) {
            documents.extend(parse(source, first_line, std::mem::take(&mut piece))?);
            first_line = number + 1;
        } else {
            piece.push_str(line);
        }
    }
    documents.extend(parse(source, first_line, piece)?);
    Ok(documents)
}

impl Document {
    /// Where `path` stands in the file; where it does not stand there, its nearest ancestor that does.
    #[must_use]
    pub fn locate(&self, path: &Path, part: Part) -> Location {
        let segments = path.segments();
        let found = (0..=segments.len()).rev().find_map(|length| {
            // What is missing is shown at the key of the mapping or list it is missing from.
            let part = if length < segments.len() {
                Part::Key
            } else {
                part
            };
            locate(&self.text, &segments[..length], part)
        });
        let place = found.unwrap_or(Location { line: 1, column: 1 });
        Location {
            line: place.line + self.first_line - 1,
            ..place
        }
    }

    /// A complaint about the value at `path`.
    #[must_use]
    pub fn problem(&self, path: &Path, part: Part, message: impl Into<String>) -> Problem {
        let Location { line, column } = self.locate(path, part);
        Problem {
            file: self.source.clone(),
            line,
            column,
            path: path.to_string(),
            message: message.into(),
            help: None,
        }
    }
}

/// `---`, alone or with blanks or a comment behind it.
fn is_separator(line: &str) -> bool {
    line.strip_prefix("---").is_some_and(|rest| {
        let blank = rest.trim();
        blank.is_empty() || (blank.starts_with('#') && rest.starts_with([' ', '\t']))
    })
}

fn parse(source: &Source, first_line: u32, text: String) -> Result<Option<Document>, Problem> {
    let refuse = |error: &serde_yaml::Error| {
        let found = explain(error, &text);
        Problem {
            file: source.name.clone(),
            line: found.line.saturating_add(first_line - 1),
            ..found
        }
    };
    if let Some(place) = too_deep(&text) {
        return Err(Problem {
            file: source.name.clone(),
            line: place.line.saturating_add(first_line - 1),
            column: place.column,
            path: String::new(),
            message: format!("more than {DEPTH_MAX} lists or mappings within each other"),
            help: None,
        });
    }
    let mut value: Value = serde_yaml::from_str(&text).map_err(|error| refuse(&error))?;
    value.apply_merge().map_err(|error| refuse(&error))?;
    let document = Document {
        source: source.name.clone(),
        first_line,
        text,
        value,
    };
    Ok((!document.value.is_null()).then_some(document))
}

/// Where brackets are opened within each other more often than anybody writes by hand, quoted ones counted too:
/// the scanner takes time quadratic in that depth before its own limit stops it.
fn too_deep(text: &str) -> Option<Location> {
    let mut depth = 0_usize;
    for (line, content) in (1..).zip(text.lines()) {
        for (column, character) in (1..).zip(content.chars()) {
            match character {
                '[' | '{' => depth += 1,
                ']' | '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth > DEPTH_MAX {
                return Some(Location { line, column });
            }
        }
    }
    None
}
