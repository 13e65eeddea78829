//! Checks that several kinds share.

pub(crate) mod meta;
pub(crate) mod text;

use crate::field::FieldError;
use crate::object::IntOrString;

/// Transport protocols, in the order in which messages list them.
pub(crate) const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// An error if `value` is none of `supported`.
pub(crate) fn one_of(field: &str, value: &str, supported: &[&str]) -> Option<FieldError> {
    (!supported.contains(&value)).then(|| FieldError::unsupported(field, value, supported))
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
