//! Which objects are meant: by a Service's selector, by labels, by fields.
//!
//! **Source of the semantics.** API-35, API-72 … API-74.

mod field;
mod label;
mod parse;
mod service;

pub use field::FieldSelector;
pub use label::{Requirement, Selector, Test};
pub use service::matches;

/// Why a text or object is no selector, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SelectorError(String);
