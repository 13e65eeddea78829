//! Checks that several kinds share.
//!
//! A check adds what it finds to a list, or returns it; a field is named by its path from the object's root.

pub(crate) mod canonical;
pub(crate) mod container;
pub(crate) mod meta;
pub(crate) mod pod_spec;
pub(crate) mod probe;
pub(crate) mod selector;
pub(crate) mod taint;
pub(crate) mod text;

use crate::field::FieldError;
use crate::object::IntOrString;

/// Transport protocols, in the order in which messages list them.
pub(crate) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// What is wrong with an object, in the order of the checks.
pub(crate) type Errors = Vec<FieldError>;

/// An error if `value` is none of `supported`.
pub(crate) fn one_of(field: &str, value: &str, supported: &[&str]) -> Option<FieldError> {
    (!supported.contains(&value)).then(|| FieldError::unsupported(field, &value, supported))
}

/// Like [`one_of`], of a field that defaulting fills.
pub(crate) fn required_one_of(field: &str, value: &str, supported: &[&str]) -> Option<FieldError> {
    match value {
        "" => Some(FieldError::required(field, "")),
        value => one_of(field, value, supported),
    }
}

/// An error if `number` is below zero.
pub(crate) fn not_negative(field: &str, number: i64) -> Option<FieldError> {
    (number < 0).then(|| FieldError::invalid(field, &number, "must be greater than or equal to 0"))
}

/// An error if a field is not what it was.
pub(crate) fn immutable<T: PartialEq + serde::Serialize>(
    field: &str,
    new: &T,
    old: &T,
) -> Option<FieldError> {
    (new != old).then(|| FieldError::invalid(field, new, "field is immutable"))
}

/// A port number at `field` (API-23).
pub(crate) fn port(field: &str, number: i32) -> Vec<FieldError> {
    let error = |detail: String| FieldError::invalid(field, &number, &detail);
    text::port_number(number).into_iter().map(error).collect()
}

/// A port number, or the name of a container port (API-43).
pub(crate) fn port_or_name(field: &str, value: &IntOrString) -> Vec<FieldError> {
    match value {
        IntOrString::Int(number) => port(field, *number),
        IntOrString::String(name) => meta::complaints(field, name, text::port_name(name)),
    }
}

/// An IP address at `field` (API-24).
pub(crate) fn address(field: &str, text: &str) -> Vec<FieldError> {
    match text::address(text) {
        Ok(_) => Vec::new(),
        Err(found) => meta::complaints(field, text, found),
    }
}
