//! Complaints about fields, in Kubernetes' words.
//!
//! **Source of the semantics.** API-1 … API-5; S: `apimachinery/pkg/util/validation/field/errors.go`.

use std::fmt;

use serde::Serialize;

use crate::status::Cause;

/// One complaint: `<path>: <type>[: <value>][: <detail>]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldError {
    field: String,
    reason: &'static str,
    body: String,
}

impl FieldError {
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let body = match detail {
            "" => "Required value".to_owned(),
            detail => format!("Required value: {detail}"),
        };
        Self {
            field: field.into(),
            reason: "FieldValueRequired",
            body,
        }
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &impl Serialize, detail: &str) -> Self {
        let value = rendered(value);
        let body = match detail {
            "" => format!("Invalid value: {value}"),
            detail => format!("Invalid value: {value}: {detail}"),
        };
        Self {
            field: field.into(),
            reason: "FieldValueInvalid",
            body,
        }
    }

    pub(crate) fn unsupported(
        field: impl Into<String>,
        value: &impl Serialize,
        supported: &[&str],
    ) -> Self {
        let names: Vec<String> = supported.iter().map(rendered).collect();
        let body = format!(
            "Unsupported value: {}: supported values: {}",
            rendered(value),
            names.join(", ")
        );
        Self {
            field: field.into(),
            reason: "FieldValueNotSupported",
            body,
        }
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &impl Serialize) -> Self {
        Self {
            field: field.into(),
            reason: "FieldValueDuplicate",
            body: format!("Duplicate value: {}", rendered(value)),
        }
    }

    pub(crate) fn duplicate_because(
        field: impl Into<String>,
        value: &impl Serialize,
        detail: &str,
    ) -> Self {
        let mut error = Self::duplicate(field, value);
        error.body = format!("{}: {detail}", error.body);
        error
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        let body = format!("Forbidden: {detail}");
        Self {
            field: field.into(),
            reason: "FieldValueForbidden",
            body,
        }
    }

    pub(crate) fn too_many(field: impl Into<String>, count: usize, max: usize) -> Self {
        let body = format!("Too many: {count}: must have at most {max} items");
        Self {
            field: field.into(),
            reason: "FieldValueTooMany",
            body,
        }
    }

    pub(crate) fn too_long(field: impl Into<String>, max: usize) -> Self {
        let body = format!("Too long: may not be more than {max} bytes");
        Self {
            field: field.into(),
            reason: "FieldValueTooLong",
            body,
        }
    }

    pub(crate) fn into_cause(self) -> Cause {
        Cause {
            reason: self.reason,
            message: self.body,
            field: self.field,
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body)
    }
}

/// Values print as JSON (API-3).
fn rendered(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("field values are texts, numbers, lists and structs")
}
