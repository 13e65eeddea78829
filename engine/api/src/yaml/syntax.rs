//! What is no YAML, in words that help.
//!
//! The YAML library names what its scanner or its reader met, in the words that kubectl has too. To whoever made
//! one of the commonest mistakes (a tab, a key given twice, a number too large) they are riddles, so those get an
//! explanation, at the place that has to change.

use super::locate::duplicate;
use super::{Location, Problem};

/// The complaint behind an error of the YAML library; its line counts in `text`, and it names no file yet.
pub(super) fn explain(error: &serde_yaml::Error, text: &str) -> Problem {
    let number = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let place = error
        .location()
        .map_or(Location { line: 1, column: 1 }, |place| Location {
            line: number(place.line()),
            column: number(place.column()),
        });
    let full = error.to_string();
    let said = full.split(" at line ").next().unwrap_or(&full);
    let at = |place: Location, path: &str, message: String, help: Option<&str>| Problem {
        file: String::new(),
        line: place.line,
        column: place.column,
        path: path
            .trim_end_matches(": ")
            .trim_start_matches('.')
            .to_owned(),
        message,
        help: help.map(str::to_owned),
    };
    if let Some((path, _)) = said.split_once("duplicate entry with key ") {
        let message = &said[path.len()..];
        let place = duplicate(text).unwrap_or(place);
        let help = "a key may be given once only: this is the second time";
        return at(place, path, message.to_owned(), Some(help));
    }
    if let Some((path, rest)) = said.split_once("invalid type: integer `")
        && let Some((digits, _)) = rest.split_once('`')
    {
        let message = format!("{digits} is too large a number");
        let help = "put it in quotes if it is text";
        return at(place, path, message, Some(help));
    }
    let help = match character(text, place) {
        Some('\t') => Some("YAML is indented by spaces: put spaces in place of the tab"),
        Some('@' | '`' | '%') if said.contains("cannot start any token") => {
            Some("put a value that begins with this character in quotes")
        }
        _ => None,
    };
    at(place, "", said.to_owned(), help)
}

fn character(text: &str, place: Location) -> Option<char> {
    let nth = |place: u32| usize::try_from(place).ok()?.checked_sub(1);
    let line = text.lines().nth(nth(place.line)?)?;
    line.chars().nth(nth(place.column)?)
}
