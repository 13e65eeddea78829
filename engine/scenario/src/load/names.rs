//! Names in a scenario file that are its user's own.
//!
//! **Source of the semantics.** API-15, API-17, API-20, API-21: they become names and labels of objects, which the
//! API server would refuse without knowing the line.

use std::collections::BTreeSet;

use crate::cursor::{Cursor, Read};

/// Reads an RFC 1123 subdomain.
pub(super) fn subdomain<'a>(at: &Cursor<'a>) -> Read<&'a str> {
    let name = at.name()?;
    check_subdomain(at, name).map(|()| name)
}

/// Notes that `name` is no RFC 1123 subdomain, unless it is one.
pub(super) fn check_subdomain(at: &Cursor<'_>, name: &str) -> Read<()> {
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(at.refuse(format!(
        "{name:?} is no name: expected an RFC 1123 subdomain: at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part"
    )))
}

/// Reads an RFC 1123 label.
pub(super) fn label<'a>(at: &Cursor<'a>) -> Read<&'a str> {
    let name = at.name()?;
    if name.len() <= 63 && is_label(name) {
        return Ok(name);
    }
    Err(at.refuse(format!(
        "{name:?} is no name: expected an RFC 1123 label: at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends"
    )))
}

/// Reads the value of a label of an object.
pub(super) fn label_value<'a>(at: &Cursor<'a>) -> Read<&'a str> {
    let text = at.text()?;
    check_label_value(at, text).map(|()| text)
}

/// Notes that `text` cannot be the value of a label, unless it can.
pub(super) fn check_label_value(at: &Cursor<'_>, text: &str) -> Read<()> {
    if text.is_empty() || is_name_part(text) {
        return Ok(());
    }
    Err(at.refuse(format!(
        "{text:?} cannot be a label's value: expected at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
    )))
}

/// Notes that `key` cannot be the key of a label, unless it can.
pub(super) fn check_label_key(at: &Cursor<'_>, key: &str) -> Read<()> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fits =
        prefix.is_none_or(|prefix| prefix.len() <= 253 && prefix.split('.').all(is_label));
    if prefix_fits && is_name_part(name) {
        return Ok(());
    }
    let message = format!(
        "{key:?} cannot be a label's key: expected one such as `tier` or `example.com/tier`"
    );
    Err(at.refuse_key(message, None))
}

/// Reads the name of a node or an outside host, which nothing before has.
pub(super) fn fresh_host(at: &Cursor<'_>, used: &mut BTreeSet<String>) -> Read<String> {
    let name = subdomain(at)?;
    if used.insert(name.to_owned()) {
        Ok(name.to_owned())
    } else {
        Err(at.refuse(format!("the name {name:?} is used twice")))
    }
}

fn is_label(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_name_part(text: &str) -> bool {
    let is_edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.len() <= 63
        && is_edge(text.bytes().next())
        && is_edge(text.bytes().last())
        && text.bytes().all(is_inner)
}
